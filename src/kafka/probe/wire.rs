//! The three requests of Kafka's protocol that tell what a listener is: ApiVersions, Metadata,
//! SaslHandshake. Owns their bytes and nothing else of the protocol; librdkafka does the rest.

use std::io::{self, Read, Write};

use super::Failure;

const FETCH: i16 = 1;
const METADATA: i16 = 3;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;

/// Answers to these requests are small; anything longer is not Kafka's.
const LONGEST_ANSWER: usize = 1 << 20;

/// First bytes of a TLS record that carries an alert.
const TLS_ALERT: u8 = 0x15;

/// Which requests a broker knows: (key, oldest, newest version).
pub(super) struct Apis(Vec<(i16, i16, i16)>);

impl Apis {
    /// The oldest release that knows what this broker knows, by its newest Fetch request.
    pub(super) fn release(&self) -> &'static str {
        match self.newest(FETCH) {
            Some(18..) => "Kafka 4.1 or later",
            Some(17) => "Kafka 3.9 or later",
            Some(16) => "Kafka 3.7 or later",
            Some(15) => "Kafka 3.5 or later",
            Some(13..) => "Kafka 3.1 or later",
            Some(12) => "Kafka 2.7 or later",
            Some(11) => "Kafka 2.3 or later",
            Some(_) => "Kafka before 2.3",
            None => "Kafka",
        }
    }

    fn newest(&self, key: i16) -> Option<i16> {
        self.0.iter().find(|(known, ..)| *known == key).map(|(.., newest)| *newest)
    }

    fn oldest(&self, key: i16) -> i16 {
        self.0.iter().find(|(known, ..)| *known == key).map_or(0, |(_, oldest, _)| *oldest)
    }
}

/// Which requests the peer knows: the question that needs no login.
pub(super) fn api_versions(stream: &mut (impl Read + Write)) -> Result<Apis, Failure> {
    let answer = ask(stream, API_VERSIONS, 0, &[]).map_err(|lost| match lost {
        Lost::Alert => Failure::WantsTls,
        Lost::Foreign => Failure::NotKafka,
        // A TLS listener hangs up on plain text without a word; so does much else.
        Lost::Closed => Failure::Broken("the peer hangs up on the first request".into()),
        Lost::Silent => Failure::Silent,
        Lost::Io(error) => Failure::Broken(super::reason(&error)),
    })?;
    read_apis(&answer).ok_or(Failure::NotKafka)
}

fn read_apis(answer: &[u8]) -> Option<Apis> {
    let mut answer = Reader(answer);
    let error = answer.i16()?;
    let count = answer.i32()?;
    if error != 0 || !(1..1000).contains(&count) {
        return None;
    }
    (0..count)
        .map(|_| Some((answer.i16()?, answer.i16()?, answer.i16()?)))
        .collect::<Option<_>>()
        .map(Apis)
}

/// Whether the listener answers without a login: asks for the metadata of no topic.
pub(super) fn metadata(stream: &mut (impl Read + Write), apis: &Apis) -> Result<(), Failure> {
    const NO_TOPICS: [u8; 4] = [0; 4];
    const NO_TOPICS_NOT_CREATED: [u8; 5] = [0; 5];
    let (version, body): (i16, &[u8]) = match apis.oldest(METADATA) {
        0 | 1 => (1, &NO_TOPICS),
        _ => (4, &NO_TOPICS_NOT_CREATED),
    };
    match ask(stream, METADATA, version, body) {
        Ok(_) => Ok(()),
        Err(Lost::Closed | Lost::Io(_)) => Err(Failure::WantsLogin),
        Err(Lost::Silent) => Err(Failure::Silent),
        Err(Lost::Alert | Lost::Foreign) => Err(Failure::NotKafka),
    }
}

/// Whether the listener has this mechanism. Sends no name and no password.
pub(super) fn sasl_handshake(
    stream: &mut (impl Read + Write),
    mechanism: &str,
) -> Result<(), Failure> {
    let answer = ask(stream, SASL_HANDSHAKE, 1, &string(mechanism));
    let answer = answer.map_err(|lost| match lost {
        Lost::Closed => Failure::Broken("the peer hangs up when a login is begun".into()),
        Lost::Silent => Failure::Silent,
        Lost::Io(error) => Failure::Broken(super::reason(&error)),
        Lost::Alert | Lost::Foreign => Failure::NotKafka,
    })?;
    let mut answer = Reader(&answer);
    match answer.i16() {
        Some(0) => Ok(()),
        Some(UNSUPPORTED_SASL_MECHANISM) => {
            let count = answer.i32().unwrap_or_default().clamp(0, 100);
            let known = (0..count).filter_map(|_| answer.text()).collect();
            Err(Failure::NoMechanism { asked: mechanism.into(), known })
        }
        Some(ILLEGAL_SASL_STATE) => Err(Failure::NoLogin),
        _ => Err(Failure::NotKafka),
    }
}

/// How an answer failed to come.
enum Lost {
    Closed,
    /// A TLS alert.
    Alert,
    /// Not in Kafka's form.
    Foreign,
    /// It did not come in time.
    Silent,
    Io(io::Error),
}

/// Sends one request and reads its answer, without the header.
fn ask(
    stream: &mut (impl Read + Write),
    key: i16,
    version: i16,
    body: &[u8],
) -> Result<Vec<u8>, Lost> {
    const CORRELATION: i32 = 7;
    let mut request = vec![];
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend(string("starsink-check"));
    request.extend(body);
    let size = i32::try_from(request.len()).unwrap_or(i32::MAX).to_be_bytes();
    let sent = stream.write_all(&[&size, request.as_slice()].concat());
    sent.and_then(|()| stream.flush()).map_err(lost)?;
    let mut head = [0; 8];
    stream.read_exact(&mut head[..4]).map_err(lost)?;
    if head[0] == TLS_ALERT && head[1] == 3 {
        return Err(Lost::Alert);
    }
    let size = usize::try_from(i32::from_be_bytes([head[0], head[1], head[2], head[3]]));
    let size = size.ok().filter(|size| (4..LONGEST_ANSWER).contains(size)).ok_or(Lost::Foreign)?;
    stream.read_exact(&mut head[4..]).map_err(lost)?;
    if head[4..] != CORRELATION.to_be_bytes() {
        return Err(Lost::Foreign);
    }
    let mut answer = vec![0; size - 4];
    stream.read_exact(&mut answer).map_err(lost)?;
    Ok(answer)
}

fn lost(error: io::Error) -> Lost {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock,
    };
    match error.kind() {
        // A socket's own time limit, by its two names.
        WouldBlock | TimedOut => Lost::Silent,
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Lost::Closed,
        _ => Lost::Io(error),
    }
}

/// Whether the peer answers a request of HTTP's in kind.
pub(super) fn is_http(host: &str, mut stream: impl Read + Write) -> bool {
    const ANSWER: &[u8] = b"HTTP/";
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut head = [0; ANSWER.len()];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head == ANSWER
}

/// A text with its length before it.
fn string(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes();
    [&length, text.as_bytes()].concat()
}

/// Takes numbers and texts off an answer.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn i16(&mut self) -> Option<i16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*bytes))
    }

    fn i32(&mut self) -> Option<i32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*bytes))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A peer that says this, whatever it is asked.
    struct Peer(Cursor<Vec<u8>>);

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn says(bytes: &[u8]) -> Peer {
        Peer(Cursor::new(bytes.to_vec()))
    }

    fn answers(body: &[u8]) -> Peer {
        let size = i32::try_from(body.len() + 4).unwrap();
        says(&[&size.to_be_bytes()[..], &7_i32.to_be_bytes(), body].concat())
    }

    #[test]
    fn a_broker_is_known_by_the_requests_it_knows() {
        let body = [0, 0, 0, 0, 0, 1, 0, 1, 0, 4, 0, 17];
        let apis = api_versions(&mut answers(&body)).ok().unwrap();
        assert_eq!(apis.release(), "Kafka 3.9 or later");
    }

    #[test]
    fn other_servers_are_told_apart() {
        let mut http = says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(matches!(api_versions(&mut http), Err(Failure::NotKafka)));
        let mut tls = says(&[0x15, 3, 3, 0, 2, 2, 70]);
        assert!(matches!(api_versions(&mut tls), Err(Failure::WantsTls)));
        assert!(matches!(api_versions(&mut says(b"")), Err(Failure::Broken(_))));
    }

    #[test]
    fn a_listener_names_its_mechanisms() {
        let body = [&[0, 33, 0, 0, 0, 1][..], &string("PLAIN")].concat();
        let Err(Failure::NoMechanism { known, .. }) = sasl_handshake(&mut answers(&body), "X")
        else {
            panic!("the mechanism is not known there")
        };
        assert_eq!(known, ["PLAIN"]);
        assert!(matches!(sasl_handshake(&mut answers(&[0, 34]), "X"), Err(Failure::NoLogin)));
    }
}
