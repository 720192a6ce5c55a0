//! A TLS handshake with a broker as librdkafka would make it, but which tells what it saw: whose
//! certificate it is, until when it is good, and why it is not trusted. Owns no trust of its own: the
//! properties say whom to trust.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::asn1::Asn1Time;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::Failure;
use crate::config::job::PropertyValue;

/// A server's certificate, as far as a person wants to know.
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// Names and addresses it is good for.
    pub names: Vec<String>,
    /// As OpenSSL writes it: "Nov 24 20:00:00 2026 GMT".
    pub until: String,
    /// Whole days from now; negative once it has expired.
    pub days_left: i32,
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// OpenSSL's words.
    pub text: String,
}

/// As far as another remedy follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is another host's.
    Name,
    Other,
}

/// What a handshake needs, made once.
pub(super) struct Tls {
    connector: SslConnector,
    checks_name: bool,
    checks_all: bool,
}

impl Tls {
    pub(super) fn new(properties: &[(String, PropertyValue)]) -> Result<Self, String> {
        let text = |name: &str| {
            properties.iter().find(|(known, _)| known == name).map(|(_, value)| match value {
                PropertyValue::Plain(text) => text.as_str(),
                PropertyValue::Hidden(secret) => secret.reveal(),
            })
        };
        let failed = |error: openssl::error::ErrorStack| error.to_string();
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(failed)?;
        if let Some(pem) = text("ssl.ca.pem") {
            let store = builder.cert_store_mut();
            for authority in X509::stack_from_pem(pem.as_bytes()).map_err(failed)? {
                store.add_cert(authority).map_err(failed)?;
            }
        }
        match text("ssl.ca.location") {
            None => {}
            Some("probe") => {
                let found = openssl_probe::probe();
                let directory = found.cert_dir.first().map(|path| path.as_path());
                let file = found.cert_file.as_deref();
                if file.is_some() || directory.is_some() {
                    builder.load_verify_locations(file, directory).map_err(failed)?;
                }
            }
            Some(path) if Path::new(path).is_dir() => {
                builder.load_verify_locations(None, Some(Path::new(path))).map_err(failed)?;
            }
            Some(path) => {
                let pem = fs::read(path).map_err(|error| format!("`{path}`: {error}"))?;
                let authorities = X509::stack_from_pem(&pem).map_err(failed)?;
                if authorities.is_empty() {
                    return Err(format!("`{path}` holds no certificate"));
                }
                for authority in authorities {
                    builder.cert_store_mut().add_cert(authority).map_err(failed)?;
                }
            }
        }
        if let Some((chain, key)) = identity(&text)? {
            let [own, others @ ..] = chain.as_slice() else {
                return Err("there is a key without a certificate".into());
            };
            builder.set_certificate(own).map_err(failed)?;
            for other in others {
                builder.add_extra_chain_cert(other.clone()).map_err(failed)?;
            }
            builder.set_private_key(&key).map_err(failed)?;
        }
        let is =
            |name: &str, word: &str| text(name).is_some_and(|said| said.eq_ignore_ascii_case(word));
        Ok(Tls {
            connector: builder.build(),
            checks_name: !is("ssl.endpoint.identification.algorithm", "none"),
            checks_all: !is("enable.ssl.certificate.verification", "false"),
        })
    }

    /// Shakes hands and judges the certificate afterwards, so that a bad one can be described.
    pub(super) fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<(SslStream<TcpStream>, Certificate), Failure> {
        let faults = Arc::new(Mutex::new(vec![]));
        let broken = |error: openssl::error::ErrorStack| Failure::OwnTls(error.to_string());
        let mut configuration = self.connector.configure().map_err(broken)?;
        configuration.set_verify_hostname(self.checks_name);
        let heard = Arc::clone(&faults);
        configuration.set_verify_callback(SslVerifyMode::PEER, move |good, context| {
            if !good {
                let mut faults = heard.lock().unwrap_or_else(PoisonError::into_inner);
                let fault = Fault::of(context.error());
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
            true
        });
        let stream = configuration.connect(host, stream).map_err(|error| not_shaken(&error))?;
        let certificate = stream.ssl().peer_certificate();
        let certificate = certificate.map(|found| describe(&found)).unwrap_or_default();
        let faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        if self.checks_all && !faults.is_empty() {
            return Err(Failure::Untrusted { certificate, why: faults.clone() });
        }
        Ok((stream, certificate))
    }
}

impl Fault {
    fn of(result: X509VerifyResult) -> Fault {
        // X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h.
        let kind = match result.as_raw() {
            62 | 64 => FaultKind::Name,
            _ => FaultKind::Other,
        };
        Fault { kind, text: result.error_string().to_owned() }
    }
}

/// Whether the peer shakes hands in TLS, whoever it is.
pub(super) fn is_spoken(host: &str, stream: TcpStream) -> bool {
    let Ok(builder) = SslConnector::builder(SslMethod::tls_client()) else { return false };
    let Ok(mut configuration) = builder.build().configure() else { return false };
    configuration.set_verify(SslVerifyMode::NONE);
    configuration.set_verify_hostname(false);
    configuration.connect(host, stream).is_ok()
}

type Own = (Vec<X509>, PKey<openssl::pkey::Private>);

/// Our own certificate chain and key, where the properties name them.
fn identity<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<Own>, String> {
    let failed = |error: openssl::error::ErrorStack| error.to_string();
    let read = |path: &str| fs::read(path).map_err(|error| format!("`{path}`: {error}"));
    if let Some(path) = text("ssl.keystore.location") {
        let store = Pkcs12::from_der(&read(path)?).map_err(failed)?;
        let store = store.parse2(text("ssl.keystore.password").unwrap_or_default());
        let store = store.map_err(failed)?;
        let (Some(own), Some(key)) = (store.cert, store.pkey) else { return Ok(None) };
        let others = store.ca.into_iter().flatten();
        return Ok(Some((std::iter::once(own).chain(others).collect(), key)));
    }
    let pem = |inline: &str, location: &str| match (text(inline), text(location)) {
        (Some(pem), _) => Ok(Some(pem.as_bytes().to_vec())),
        (None, Some(path)) => read(path).map(Some),
        (None, None) => Ok(None),
    };
    let chain = pem("ssl.certificate.pem", "ssl.certificate.location")?;
    let key = pem("ssl.key.pem", "ssl.key.location")?;
    let (Some(chain), Some(key)) = (chain, key) else { return Ok(None) };
    let chain = X509::stack_from_pem(&chain).map_err(failed)?;
    let password = text("ssl.key.password").unwrap_or_default();
    let key = PKey::private_key_from_pem_passphrase(&key, password.as_bytes()).map_err(failed)?;
    Ok(Some((chain, key)))
}

fn describe(certificate: &X509Ref) -> Certificate {
    let names = certificate.subject_alt_names().into_iter().flatten().filter_map(|name| {
        let address = || match name.ipaddress()? {
            &[a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            bytes => <[u8; 16]>::try_from(bytes)
                .ok()
                .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        };
        name.dnsname().map(String::from).or_else(address)
    });
    let now = Asn1Time::days_from_now(0).ok();
    let left = now.and_then(|now| now.diff(certificate.not_after()).ok());
    let until = certificate.not_after().to_string();
    Certificate { names: names.collect(), until, days_left: left.map_or(0, |left| left.days) }
}

/// What a failed handshake means.
fn not_shaken(error: &openssl::ssl::HandshakeError<TcpStream>) -> Failure {
    match error {
        // The socket's time limit is up.
        openssl::ssl::HandshakeError::WouldBlock(_) => Failure::Silent,
        error => Failure::NotTls(handshake_words(error)),
    }
}

/// The first reason OpenSSL gives, without its numbers.
fn handshake_words(error: &openssl::ssl::HandshakeError<TcpStream>) -> String {
    let words = |error: &openssl::ssl::Error| {
        let reason = error.ssl_error().and_then(|stack| stack.errors().first()?.reason());
        match (reason, error.io_error()) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(io)) => super::reason(io),
            (None, None) => "the peer hangs up in the handshake".to_owned(),
        }
    };
    use openssl::ssl::HandshakeError::{Failure, SetupFailure, WouldBlock};
    match error {
        SetupFailure(stack) => stack.to_string(),
        Failure(stream) => words(stream.error()),
        WouldBlock(_) => "no answer in time".into(),
    }
}
