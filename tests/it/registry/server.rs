//! A schema registry in a few lines: canned answers by path, over HTTP or TLS; remembers what it was
//! asked and how.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// (status, body) for the n-th request to a path, counted from 0.
type Answers = dyn Fn(&str, usize) -> (u16, String) + Send + Sync;

pub(crate) struct Server {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    peers: Arc<Mutex<Vec<bool>>>,
}

/// A certificate for `localhost`, signed by itself, and its key.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Server {
    pub(crate) fn start(
        answers: impl Fn(&str, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Server {
        Server::serve(None, Arc::new(answers))
    }

    pub(crate) fn start_tls(
        identity: &Identity,
        answers: impl Fn(&str, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Server {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_private_key(&identity.key).unwrap();
        acceptor.set_certificate(&identity.certificate).unwrap();
        // Whoever comes is asked for a certificate; none is turned away.
        acceptor.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        Server::serve(Some(acceptor.build()), Arc::new(answers))
    }

    fn serve(tls: Option<SslAcceptor>, answers: Arc<Answers>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, requests: Arc::default(), peers: Arc::default() };
        let (requests, peers) = (Arc::clone(&server.requests), Arc::clone(&server.peers));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream: TcpStream = stream.unwrap();
                match &tls {
                    None => answer(stream, &requests, &*answers),
                    Some(acceptor) => {
                        let Ok(stream) = acceptor.accept(stream) else { continue };
                        peers.lock().unwrap().push(stream.ssl().peer_certificate().is_some());
                        answer(stream, &requests, &*answers);
                    }
                }
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The paths of all requests so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |head: &String| head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.requests().iter().map(path).collect()
    }

    /// Whether each TLS peer showed a certificate.
    pub(crate) fn peers(&self) -> Vec<bool> {
        self.peers.lock().unwrap().clone()
    }
}

fn answer(mut stream: impl Read + Write, requests: &Mutex<Vec<String>>, answers: &Answers) {
    let mut head = String::new();
    let mut part = [0; 4096];
    while !head.contains("\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(n) if n > 0 => head += &String::from_utf8_lossy(&part[..n]),
            _ => return,
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut requests = requests.lock().unwrap();
        let same = requests.iter().filter(|head| head.split(' ').nth(1) == Some(&path)).count();
        requests.push(head);
        same
    };
    let (status, body) = answers(&path, before);
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    let _ = stream.flush();
}

impl Identity {
    pub(crate) fn new() -> Identity {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "localhost").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).and_then(|number| number.to_asn1_integer()).unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(constraints).unwrap();
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Identity { certificate: builder.build(), key }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }
}
