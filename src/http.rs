//! The one set-up of HTTP clients: TLS, time limits, what a failure means. Follows no redirect and
//! asks no environment for a proxy. Sends nothing, and knows no address.

use std::time::Duration;
use std::{fmt, io};

use openssl::x509::X509;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::AgentScope;

use crate::secret::Secret;

/// Whom to trust, and who we are. By default the system's authorities, and nobody.
#[derive(Clone)]
pub struct Tls(TlsConfig);

impl Default for Tls {
    fn default() -> Self {
        let roots = RootCerts::PlatformVerifier;
        Tls(TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(roots).build())
    }
}

impl Tls {
    /// `authorities`: certificates in PEM, trusted instead of the system's. `identity`: our own chain
    /// and its key (PKCS#8, not encrypted), in PEM. Says what is wrong with them.
    pub fn new(
        authorities: Option<&str>,
        identity: Option<(&str, &str)>,
    ) -> Result<Self, &'static str> {
        let roots = match authorities {
            Some(pem) => RootCerts::new_with_certs(&certificates(pem)?),
            None => RootCerts::PlatformVerifier,
        };
        let identity = match identity {
            Some((chain, key)) => {
                let key = PrivateKey::from_pem(key.as_bytes()).map_err(|_| "the key is damaged")?;
                Some(ClientCert::new_with_certs(&certificates(chain)?, key))
            }
            None => None,
        };
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls);
        Ok(Tls(tls.root_certs(roots).client_cert(identity).build()))
    }
}

/// At least one certificate.
fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, &'static str> {
    const DAMAGED: &str = "a certificate is damaged";
    let stack = X509::stack_from_pem(pem.as_bytes()).map_err(|_| DAMAGED)?;
    let der: Result<Vec<Vec<u8>>, _> = stack.iter().map(|one| one.to_der()).collect();
    let der = der.map_err(|_| DAMAGED)?;
    match der.is_empty() {
        true => Err("it holds no certificate"),
        false => Ok(der.iter().map(|one| Certificate::from_der(one).to_owned()).collect()),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// A client's settings, to be completed and built. `connect` and `answer` limit each part of an
/// exchange: finding and reaching the peer, the head of its answer, the answer's body.
pub fn config(tls: &Tls, connect: Duration, answer: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .tls_config(tls.0.clone())
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("starsink/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_recv_response(Some(answer))
        .timeout_recv_body(Some(answer))
}

/// The value of `Authorization` for a user and a password.
pub fn basic(user: &str, password: &str) -> Secret {
    let pair = format!("{user}:{password}");
    Secret::new(format!("Basic {}", openssl::base64::encode_block(pair.as_bytes())))
}

/// Whether the peer was reached and TLS failed, which a change of configuration mends.
pub fn is_of_tls(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::NativeTls(_) | ureq::Error::Tls(_))
}

/// What a transport error means, and whether the request may have had an effect.
pub fn describe(error: &ureq::Error) -> (String, bool) {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ureq::Error::HostNotFound => ("name lookup failed".into(), false),
        ureq::Error::ConnectionFailed => ("connection failed".into(), false),
        ureq::Error::Timeout(ureq::Timeout::Connect) => ("connection timed out".into(), false),
        ureq::Error::Timeout(ureq::Timeout::Resolve) => ("name lookup timed out".into(), false),
        ureq::Error::Timeout(phase) => (format!("no answer in time ({phase})"), true),
        // OpenSSL's words for a first record that is no TLS.
        ureq::Error::NativeTls(cause) if cause.to_string().contains("wrong version number") => (
            "the port does not speak TLS; without it the address begins with `http://`".into(),
            false,
        ),
        ureq::Error::NativeTls(cause) => (format!("TLS: {cause}"), false),
        ureq::Error::Tls(cause) => (format!("TLS: {cause}"), false),
        ureq::Error::Protocol(_) => ("the answer is not HTTP".into(), true),
        ureq::Error::Io(cause) => match cause.kind() {
            ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable => {
                (cause.to_string(), false)
            }
            // getaddrinfo's failures arrive without a kind of their own.
            _ if cause.to_string().contains("failed to lookup") => {
                ("name lookup failed".into(), false)
            }
            _ => (cause.to_string(), true),
        },
        other => (other.to_string(), true),
    }
}

/// An address for messages: without user, password and query, should it hold them. A password may hold
/// any letter, so whatever stands before the last `@` may belong to it.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let rest = rest.rsplit('@').next().unwrap_or(rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{rest}")
}

/// A text as one segment of a path or one value of a query.
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_port_without_tls_is_told_from_a_wrong_certificate() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Until the client goes away: a reset would hide the answer.
            io::copy(&mut stream, &mut io::sink()).ok();
        });
        let second = Duration::from_secs(5);
        let agent = config(&Tls::default(), second, second).build().new_agent();
        let error = agent.get(format!("https://{address}/")).call().unwrap_err();
        let (cause, sent) = describe(&error);
        assert!(cause.contains("does not speak TLS") && cause.contains("`http://`"), "{cause}");
        assert!(!sent);
        server.join().unwrap();
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        let url = "https://me:hunter2@registry:8081/api/v7?token=hunter2";
        assert_eq!(shown(url), "https://registry:8081/api/v7");
        assert_eq!(shown("registry:8081"), "http://registry:8081");
    }

    #[test]
    fn a_subject_is_one_segment() {
        assert_eq!(percent_encoded(":.ctx:a/b c-value"), "%3A.ctx%3Aa%2Fb%20c-value");
    }

    #[test]
    fn stores_without_certificates_are_refused_and_debug_shows_none() {
        assert!(Tls::new(Some("no certificate"), None).is_err());
        assert_eq!(format!("{:?}", Tls::default()), "Tls(…)");
    }
}
