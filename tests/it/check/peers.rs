//! Peers that are not what a configuration takes them for: silent ones, plain HTTP, TLS with bad
//! certificates, and brokers that know three requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// An address at which nobody listens: taken once and given back.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Serves each connection on a thread of its own, for as long as the process lives.
fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = Arc::clone(&each);
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// Takes connections and never says a word.
pub(crate) fn silent() -> SocketAddr {
    serve(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

/// Some web server.
pub(crate) fn web() -> SocketAddr {
    serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let body = "<html>It works!</html>";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
        let _ = write!(stream, "{head}Connection: close\r\n\r\n{body}");
    })
}

/// A schema registry that says this, whatever it is asked.
pub(crate) fn registry(status: &'static str, body: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        let kind = "Content-Type: application/vnd.schemaregistry.v1+json";
        let _ = write!(stream, "{head}{kind}\r\nConnection: close\r\n\r\n{body}");
    })
}

/// What a [`broker`] does once it has said which requests it knows.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Hangs up on anything but a login.
    WantLogin,
    /// Knows PLAIN alone.
    KnowPlain,
    /// Says that this listener has no login.
    KnowNoLogin,
}

/// A listener that knows ApiVersions and one way to go on.
pub(crate) fn broker(then: Then) -> SocketAddr {
    serve(move |mut stream| {
        let _ = talk(&mut stream, then);
    })
}

fn talk(stream: &mut TcpStream, then: Then) -> std::io::Result<()> {
    const METADATA: [u8; 6] = [0, 3, 0, 0, 0, 12];
    const FETCH: [u8; 6] = [0, 1, 0, 4, 0, 17];
    let correlation = receive(stream)?;
    send(stream, correlation, &[&[0, 0, 0, 0, 0, 2][..], &FETCH, &METADATA].concat())?;
    let correlation = receive(stream)?;
    match then {
        Then::WantLogin => Ok(()),
        Then::KnowPlain => {
            send(stream, correlation, &[&[0, 33, 0, 0, 0, 1, 0, 5][..], b"PLAIN"].concat())
        }
        Then::KnowNoLogin => send(stream, correlation, &[0, 34, 0, 0, 0, 0]),
    }
}

/// A broker that answers at its own address and tells clients another; it leads one topic.
pub(crate) fn advertising(elsewhere: SocketAddr, topic: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let _ = tell_elsewhere(&mut stream, elsewhere, topic);
    })
}

fn tell_elsewhere(stream: &mut TcpStream, at: SocketAddr, topic: &str) -> std::io::Result<()> {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap_or_default().to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    };
    let (port, host) = (u32::from(at.port()).to_be_bytes(), text(&at.ip().to_string()));
    let one = 1_u32.to_be_bytes();
    let broker = [&one[..], &[0, 0, 0, 7], &host, &port, &[255, 255]].concat();
    let partition = [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &one, &[0, 0, 0, 7], &one, &[0, 0, 0, 7]];
    let topic = [&one[..], &[0, 0], &text(topic), &[0], &one, &partition.concat()].concat();
    loop {
        let (request, correlation) = receive_kind(stream)?;
        match request {
            // ApiVersions in its oldest form; newer ones are refused, and asked again in that form.
            (18, 0) => {
                let apis = [[0, 18, 0, 0, 0, 0], [0, 3, 0, 0, 0, 1]].concat();
                send(stream, correlation, &[&[0, 0, 0, 0, 0, 2][..], &apis].concat())?;
            }
            (18, _) => send(stream, correlation, &[0, 35, 0, 0, 0, 0])?,
            (3, _) => send(stream, correlation, &[&broker[..], &[0, 0, 0, 7], &topic].concat())?,
            _ => return Ok(()),
        }
    }
}

/// Reads one request and gives its correlation id.
fn receive(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    receive_kind(stream).map(|(_, correlation)| correlation)
}

/// Reads one request: what it asks in which version, and its correlation id.
fn receive_kind(stream: &mut TcpStream) -> std::io::Result<((u16, u16), [u8; 4])> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut request = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut request)?;
    let number = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
    Ok(((number(0), number(2)), [request[4], request[5], request[6], request[7]]))
}

fn send(stream: &mut TcpStream, correlation: [u8; 4], body: &[u8]) -> std::io::Result<()> {
    let size = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
    stream.write_all(&[&size[..], &correlation, body].concat())
}

/// An authority, and what it signs.
pub(crate) struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = key();
        let certificate = certificate(&key, "authority", None, None, 365);
        Authority { key, certificate }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("a certificate is text")
    }

    /// A TLS server under a certificate for `name`, good until this many days from now.
    pub(crate) fn server(&self, name: &str, days: i64) -> SocketAddr {
        let own = key();
        let signed = certificate(&own, name, Some(name), Some(self), days);
        let mut acceptor =
            SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).expect("an acceptor");
        acceptor.set_certificate(&signed).expect("the certificate is taken");
        acceptor.set_private_key(&own).expect("the key is taken");
        let acceptor = acceptor.build();
        serve(move |stream| {
            if let Ok(mut stream) = acceptor.accept(stream) {
                let _ = stream.read(&mut [0; 4096]);
            }
        })
    }
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
}

/// Signed by `by`, or by itself; it began ten years ago.
fn certificate(
    key: &PKey<Private>,
    subject: &str,
    host: Option<&str>,
    by: Option<&Authority>,
    days: i64,
) -> X509 {
    let name = |text: &str| {
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_text("CN", text).expect("a name");
        name.build()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_s = i64::try_from(now.expect("after 1970").as_secs()).expect("in range");
    let at = |days: i64| Asn1Time::from_unix(now_s + days * 86_400).expect("a time");
    let mut builder = X509::builder().expect("a builder");
    builder.set_version(2).expect("version 3");
    let serial = BigNum::from_u32(1).and_then(|n| n.to_asn1_integer()).expect("a number");
    builder.set_serial_number(&serial).expect("a number");
    builder.set_subject_name(&name(subject)).expect("a name");
    let issuer = by.map_or_else(|| name(subject), |_| name("authority"));
    builder.set_issuer_name(&issuer).expect("a name");
    builder.set_not_before(&at(-3650)).expect("a time");
    builder.set_not_after(&at(days)).expect("a time");
    builder.set_pubkey(key).expect("a key");
    if by.is_none() {
        let ca = BasicConstraints::new().critical().ca().build().expect("an extension");
        builder.append_extension(ca).expect("an extension");
    }
    if let Some(host) = host {
        let context = builder.x509v3_context(by.map(|by| &*by.certificate), None);
        let mut names = SubjectAlternativeName::new();
        let names = match host.parse::<std::net::IpAddr>() {
            Ok(_) => names.ip(host),
            Err(_) => names.dns(host),
        };
        let names = names.build(&context).expect("an extension");
        builder.append_extension(names).expect("an extension");
    }
    let signer = by.map_or(key, |by| &by.key);
    builder.sign(signer, MessageDigest::sha256()).expect("it is signed");
    builder.build()
}
