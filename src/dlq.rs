//! Dead letters: records that cannot be loaded, set aside in a Kafka topic or a file with key, value
//! and headers byte for byte and the reason beside them. Says when they are safe; when they have to
//! be is the delivery machine's business.

pub mod file;
pub mod letter;

use rdkafka::consumer::ConsumerGroupMetadata;

use crate::config::job::{DeadLetterTarget, DeadLetterTopic, DeadLetters};
use crate::dlq::file::Appender;
pub use crate::dlq::letter::{DeadLetter, Reason};
use crate::error::Problem;
use crate::kafka::producer::{NotWritten, Outcome, Outgoing, Producer};
use crate::record::{Offset, Partition};

/// Writes dead letters to the one place a run has for them.
pub struct Writer {
    out: Out,
    connector: String,
    context_headers: bool,
}

enum Out {
    File(Appender),
    Topic {
        to: DeadLetterTopic,
        /// `None` after a failure: a producer that gave up is not used again.
        producer: Option<Box<Producer>>,
        transactional_id: Option<String>,
    },
}

/// How a transaction of dead letters and offsets ended.
#[derive(Debug)]
pub enum Written {
    Committed,
    /// Nothing of it happened.
    NotWritten(Problem),
    /// It may have been committed; Kafka's words.
    Unknown(String),
}

impl Writer {
    /// Opens the place before the first record is read: creates the topic where it is missing, mends
    /// the file where a process died in mid-line. `id` names this process among those of its name.
    pub fn open(letters: &DeadLetters, connector: &str, id: &str) -> Result<Self, Problem> {
        let out = match &letters.target {
            DeadLetterTarget::File(path) => Out::File(Appender::open(path)?),
            DeadLetterTarget::Topic(to) => {
                let transactional_id =
                    to.exactly_once.then(|| format!("starsink-{connector}-{id}"));
                let producer = connected(to, transactional_id.as_deref())?;
                Out::Topic { to: to.clone(), producer: Some(producer), transactional_id }
            }
        };
        let context_headers = letters.context_headers;
        Ok(Writer { out, connector: connector.into(), context_headers })
    }

    /// Dead letters wait for the offsets they are written with.
    pub fn is_transactional(&self) -> bool {
        matches!(&self.out, Out::Topic { transactional_id: Some(_), .. })
    }

    /// Writes all of these; safe on return. Where it fails, some of them may be written.
    pub fn write(&mut self, letters: &[&DeadLetter]) -> Result<(), Problem> {
        if letters.is_empty() {
            return Ok(());
        }
        let outgoing =
            letters.iter().map(|letter| outgoing(letter, &self.connector, self.context_headers));
        match &mut self.out {
            Out::File(file) => file.append(letters, &self.connector),
            Out::Topic { to, producer, transactional_id } => {
                let client = match producer.take() {
                    Some(client) => client,
                    None => connected(to, transactional_id.as_deref())?,
                };
                match client.write(outgoing) {
                    Ok(()) => {
                        *producer = Some(client);
                        Ok(())
                    }
                    Err(failure) => Err(problem(&client, failure, letters)),
                }
            }
        }
    }

    /// Writes dead letters and offsets in one transaction; only where [`Writer::is_transactional`].
    pub fn write_with_offsets(
        &mut self,
        letters: &[&DeadLetter],
        offsets: &[(Partition, Offset, String)],
        member: &ConsumerGroupMetadata,
    ) -> Written {
        let Out::Topic { to, producer, transactional_id } = &mut self.out else {
            return Written::NotWritten(Problem::usage("a file takes no offsets"));
        };
        let client = match producer.take() {
            Some(client) => client,
            None => match connected(to, transactional_id.as_deref()) {
                Ok(client) => client,
                Err(problem) => return Written::NotWritten(problem),
            },
        };
        let outgoing =
            letters.iter().map(|letter| outgoing(letter, &self.connector, self.context_headers));
        match client.write_with_offsets(outgoing, offsets, member) {
            Outcome::Committed => {
                *producer = Some(client);
                Written::Committed
            }
            Outcome::Aborted(failure) => Written::NotWritten(problem(&client, failure, letters)),
            Outcome::Unknown(text) => Written::Unknown(text),
        }
    }
}

/// A producer whose topic is there: at the start, and again after a failure, when somebody may have
/// deleted the topic meanwhile.
fn connected(
    to: &DeadLetterTopic,
    transactional_id: Option<&str>,
) -> Result<Box<Producer>, Problem> {
    let producer = Producer::connect(to, transactional_id)?;
    if !producer.topic_exists()? {
        producer.create_topic()?;
    }
    Ok(Box::new(producer))
}

fn outgoing<'a>(letter: &'a DeadLetter, connector: &str, context_headers: bool) -> Outgoing<'a> {
    let mut headers = letter.headers.clone();
    if context_headers {
        headers.extend(letter.context(connector));
    }
    Outgoing {
        key: letter.key.as_deref(),
        value: letter.value.as_deref(),
        headers,
        timestamp_ms: letter.timestamp_ms,
    }
}

fn problem(client: &Producer, failure: NotWritten, letters: &[&DeadLetter]) -> Problem {
    let place = failure.index.and_then(|index| letters.get(index)).map(|letter| letter.place());
    client.problem(failure, place)
}
