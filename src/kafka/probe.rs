//! Tries one broker address over a plain socket, beside librdkafka: does the name resolve, does each of
//! its addresses answer, is its certificate good, is it Kafka, does it want a login? Sends what every
//! Kafka client sends first and logs in to nothing. Knows no topics and no groups.

mod tls;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::config::job::{PropertyValue, Source};

pub use tls::{Certificate, Fault, FaultKind};

/// How brokers are to be spoken to.
pub struct Probe {
    tls: Option<tls::Tls>,
    /// SASL's mechanism, where the protocol asks for one.
    mechanism: Option<String>,
    limit: Duration,
}

/// One address of a name, and what connecting to it came to.
#[derive(Debug)]
pub struct Tried {
    pub address: SocketAddr,
    pub outcome: Result<(), String>,
    /// No answer at all within the limit, which slows every connection down.
    pub timed_out: bool,
}

/// A broker that answered as Kafka does.
#[derive(Debug)]
pub struct Broker {
    pub tried: Vec<Tried>,
    pub certificate: Option<Certificate>,
    /// "3.9 or later", judged by the requests it knows.
    pub version: &'static str,
}

/// Why an address is no use.
#[derive(Debug)]
pub enum Failure {
    /// It is not `HOST:PORT`.
    Malformed,
    NoSuchName(String),
    /// None of its addresses answers.
    Unreachable(Vec<Tried>),
    /// The peer does not speak TLS.
    NotTls(String),
    /// It does, and nothing else, but was spoken to in plain text.
    WantsTls,
    /// The certificate is not trusted, expired or another host's.
    Untrusted {
        certificate: Certificate,
        why: Vec<Fault>,
    },
    /// Our own certificate, key or authorities cannot be used.
    OwnTls(String),
    /// What answers is not Kafka.
    NotKafka,
    /// The connection stands, and nothing is said within the limit.
    Silent,
    /// A listener that asks for a login was spoken to without.
    WantsLogin,
    /// A listener without login was asked for one.
    NoLogin,
    /// The listener has other mechanisms.
    NoMechanism {
        asked: String,
        known: Vec<String>,
    },
    /// The connection broke off, in these words.
    Broken(String),
}

/// A web server answers a short request in this time.
const WEB_ANSWER: Duration = Duration::from_secs(1);
/// Kafka's port where none is written.
const DEFAULT_PORT: u16 = 9092;

impl Probe {
    /// As the source's properties have it.
    pub fn new(source: &Source, limit: Duration) -> Result<Self, String> {
        let text = |name: &str| {
            source.properties.iter().find(|(known, _)| known == name).and_then(|(_, value)| {
                match value {
                    PropertyValue::Plain(text) => Some(text.to_ascii_lowercase()),
                    PropertyValue::Hidden(_) => None,
                }
            })
        };
        let protocol = text("security.protocol").unwrap_or_default();
        let tls = protocol.ends_with("ssl").then(|| tls::Tls::new(&source.properties));
        let mechanism = protocol
            .starts_with("sasl")
            .then(|| text("sasl.mechanisms").unwrap_or_else(|| "gssapi".into()).to_uppercase());
        Ok(Probe { tls: tls.transpose()?, mechanism, limit })
    }

    /// SASL's mechanism, where a login is asked for.
    pub fn mechanism(&self) -> Option<&str> {
        self.mechanism.as_deref()
    }

    /// Tries one `HOST:PORT`.
    pub fn broker(&self, address: &str) -> Result<Broker, Failure> {
        let (host, port) = split(address).ok_or(Failure::Malformed)?;
        let resolved = (host, port).to_socket_addrs();
        let resolved = resolved.map_err(|error| Failure::NoSuchName(reason(&error)))?;
        let mut addresses: Vec<SocketAddr> = vec![];
        for address in resolved {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let (stream, tried) = self.connect(&addresses);
        let Some(stream) = stream else { return Err(Failure::Unreachable(tried)) };
        let limited = stream
            .set_read_timeout(Some(self.limit))
            .and_then(|()| stream.set_write_timeout(Some(self.limit)))
            .and_then(|()| stream.set_nodelay(true));
        limited.map_err(|error| Failure::Broken(reason(&error)))?;
        let Some(tls) = &self.tls else {
            let mut stream = stream;
            let version = self
                .greet(&mut stream)
                .map_err(|failure| self.told_apart(failure, host, &tried))?;
            return Ok(Broker { tried, certificate: None, version });
        };
        let (mut stream, certificate) = tls.handshake(host, stream)?;
        let version = self.greet(&mut stream)?;
        Ok(Broker { tried, certificate: Some(certificate), version })
    }

    /// A peer that hangs up on plain text or says nothing: does it want TLS, or is it a web server that
    /// waits for the rest of a request?
    fn told_apart(&self, failure: Failure, host: &str, tried: &[Tried]) -> Failure {
        let hangs_up = match failure {
            Failure::Broken(_) => true,
            Failure::Silent => false,
            _ => return failure,
        };
        let live = tried.iter().find(|tried| tried.outcome.is_ok()).map(|tried| tried.address);
        let again = |limit: Duration| {
            let stream = TcpStream::connect_timeout(&live?, self.limit).ok()?;
            stream.set_read_timeout(Some(limit)).ok()?;
            Some(stream)
        };
        if hangs_up && again(self.limit).is_some_and(|stream| tls::is_spoken(host, stream)) {
            return Failure::WantsTls;
        }
        let is_web = again(WEB_ANSWER).is_some_and(|stream| wire::is_http(host, stream));
        if is_web { Failure::NotKafka } else { failure }
    }

    /// Connects to every address, so that a dead family of addresses shows; keeps the first.
    fn connect(&self, addresses: &[SocketAddr]) -> (Option<TcpStream>, Vec<Tried>) {
        let mut first = None;
        let mut tried = vec![];
        for &address in addresses {
            let outcome = TcpStream::connect_timeout(&address, self.limit);
            let timed_out =
                matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::TimedOut);
            let outcome = outcome.map_err(|error| reason(&error)).map(|stream| {
                first.get_or_insert(stream);
            });
            tried.push(Tried { address, outcome, timed_out });
        }
        (first, tried)
    }

    /// Asks what any client asks first, and for what its next request would need.
    fn greet(&self, stream: &mut (impl io::Read + io::Write)) -> Result<&'static str, Failure> {
        let apis = wire::api_versions(stream)?;
        match &self.mechanism {
            Some(mechanism) => wire::sasl_handshake(stream, mechanism)?,
            None => wire::metadata(stream, &apis)?,
        }
        Ok(apis.release())
    }
}

/// The parts of a list of brokers.
pub fn addresses(bootstrap: &str) -> Vec<String> {
    bootstrap.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
}

/// Host and port; librdkafka allows `protocol://` before and no port behind.
fn split(address: &str) -> Option<(&str, u16)> {
    let address = address.rsplit("://").next()?;
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        _ => (address, DEFAULT_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port))
}

/// An I/O error's words without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    match text.strip_prefix("failed to lookup address information: ") {
        Some(rest) => rest.to_owned(),
        None => text.to_lowercase(),
    }
}

/// For measuring one attempt.
pub fn timed<T>(ask: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let answer = ask();
    (answer, began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_port_or_be_of_version_6() {
        assert_eq!(split("kafka1:9093"), Some(("kafka1", 9093)));
        assert_eq!(split("kafka1"), Some(("kafka1", 9092)));
        assert_eq!(split("SASL_SSL://kafka1:9093"), Some(("kafka1", 9093)));
        assert_eq!(split("[::1]:9093"), Some(("::1", 9093)));
        assert_eq!(split("::1"), Some(("::1", 9092)));
        assert_eq!(split("kafka1:port"), None);
    }
}
