//! The producer of dead letters: to one topic, each record acknowledged by all replicas before a
//! call comes back; on request together with the group's offsets in one transaction.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset as RdOffset, TopicPartitionList};

use crate::config::job::{DeadLetterTopic, PropertyValue};
use crate::error::Problem;
use crate::kafka::oauth::{self, TokenSource};
use crate::record::{Offset, Partition};

/// A record is acknowledged within this time or counts as not written.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(20);
/// Questions about the topic, and its creation.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// The broker ends a transaction whose process died after this; until then nobody can read the offsets
/// it holds, so it is short.
const TRANSACTION_WITHIN: Duration = Duration::from_secs(10);

/// One record on its way.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// A producer bound to one topic.
pub struct Producer {
    inner: BaseProducer<Mailbox>,
    to: DeadLetterTopic,
}

/// Why records were not written.
#[derive(Debug)]
pub struct NotWritten {
    /// The record it was said of, where it was said of one.
    pub index: Option<usize>,
    pub why: Why,
    /// Kafka's words.
    pub text: String,
}

/// What has to change before the same records can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    TooLarge,
    Denied,
    /// Time: brokers away, elections, a topic that was deleted and is made anew at the next attempt.
    Away,
}

/// How a transaction of records and offsets ended.
#[derive(Debug)]
pub enum Outcome {
    Committed,
    /// Nothing of it happened.
    Aborted(NotWritten),
    /// It may have been committed.
    Unknown(String),
}

#[derive(Default)]
struct Mailbox {
    refused: Mutex<Option<NotWritten>>,
    tokens: Option<TokenSource>,
}

impl ClientContext for Mailbox {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let fetched = match &self.tokens {
            Some(source) => source.fetch(),
            None => oauth::unsecured(config),
        };
        fetched.map_err(|problem| problem.what.replace('\0', " ").into())
    }

    /// What matters comes back with the records.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Mailbox {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let Err((error, message)) = result else { return };
        debug_assert!(!message.topic().is_empty());
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get_or_insert_with(|| NotWritten::of(error, Some(index)));
    }
}

impl NotWritten {
    fn of(error: &KafkaError, index: Option<usize>) -> Self {
        let why = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Why::TooLarge,
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => Why::Denied,
            _ => Why::Away,
        };
        NotWritten { index, why, text: error.to_string() }
    }
}

impl Producer {
    /// Makes the client; with a transactional id it shuts out an earlier producer of that id.
    pub fn connect(to: &DeadLetterTopic, transactional_id: Option<&str>) -> Result<Self, Problem> {
        let config = config(to, transactional_id);
        let tokens = to.oauth.as_ref().map(TokenSource::new);
        let mailbox = Mailbox { tokens, ..Mailbox::default() };
        let inner: BaseProducer<Mailbox> =
            config.create_with_context(mailbox).map_err(|error| {
                Problem::usage("cannot make a producer of dead letters from this configuration")
                    .cause(error.to_string())
            })?;
        let producer = Producer { inner, to: to.clone() };
        if transactional_id.is_some() {
            let failed = |error: KafkaError| producer.problem(NotWritten::of(&error, None), None);
            producer.inner.init_transactions(ACKNOWLEDGED_WITHIN).map_err(failed)?;
        }
        Ok(producer)
    }

    /// Whether the topic is there.
    pub fn topic_exists(&self) -> Result<bool, Problem> {
        let deadline = Instant::now() + ANSWERED_WITHIN;
        loop {
            self.inner.poll(Duration::ZERO);
            // All topics: asking for one by name may create it with the broker's defaults.
            match self.inner.client().fetch_metadata(None, Duration::from_secs(2)) {
                Ok(metadata) => {
                    return Ok(metadata.topics().iter().any(|topic| topic.name() == self.to.name));
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(self.problem(NotWritten::of(&error, None), None));
                }
                Err(_) => {}
            }
        }
    }

    /// Creates the topic with one partition, as Kafka Connect does.
    pub fn create_topic(&self) -> Result<(), Problem> {
        let replication = self.to.replication.map_or(-1, i32::from);
        let topic = NewTopic::new(&self.to.name, 1, TopicReplication::Fixed(replication));
        let options = AdminOptions::new()
            .operation_timeout(Some(ANSWERED_WITHIN))
            .request_timeout(Some(ANSWERED_WITHIN));
        let tokens = self.to.oauth.as_ref().map(TokenSource::new);
        let admin: AdminClient<Mailbox> = config(&self.to, None)
            .create_with_context(Mailbox { tokens, ..Mailbox::default() })
            .map_err(|error| self.not_created(&error.to_string()))?;
        let answers = wait(admin.create_topics([&topic], &options))
            .map_err(|error| self.not_created(&error.to_string()))?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(self.not_created(&code.to_string())),
            }
        }
        Ok(())
    }

    /// Writes all of these; comes back when every one is acknowledged or one is not.
    pub fn write<'a>(&self, records: impl Iterator<Item = Outgoing<'a>>) -> Result<(), NotWritten> {
        self.send(records)?;
        let flushed = self.inner.flush(ACKNOWLEDGED_WITHIN + Duration::from_secs(5));
        if let Some(refused) = self.take_refused() {
            return Err(refused);
        }
        flushed.map_err(|error| NotWritten::of(&error, None))
    }

    /// Writes records and offsets in one transaction; all of it happens or nothing.
    pub fn write_with_offsets<'a>(
        &self,
        records: impl Iterator<Item = Outgoing<'a>>,
        offsets: &[(Partition, Offset, String)],
        member: &ConsumerGroupMetadata,
    ) -> Outcome {
        if let Err(error) = self.inner.begin_transaction() {
            return Outcome::Aborted(NotWritten::of(&error, None));
        }
        let filled = self.send(records).and_then(|()| {
            let offsets = list(offsets);
            self.inner
                .send_offsets_to_transaction(&offsets, member, TRANSACTION_WITHIN)
                .map_err(|error| NotWritten::of(&error, None))
        });
        if let Err(failure) = filled {
            return self.abort(failure);
        }
        match self.inner.commit_transaction(TRANSACTION_WITHIN) {
            Ok(()) => Outcome::Committed,
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                let first = self.take_refused();
                let error = KafkaError::Transaction(error);
                self.abort(first.unwrap_or_else(|| NotWritten::of(&error, None)))
            }
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    fn abort(&self, failure: NotWritten) -> Outcome {
        match self.inner.abort_transaction(TRANSACTION_WITHIN) {
            Ok(()) => Outcome::Aborted(failure),
            // No commit was asked for: the broker aborts it in time, if nothing else does.
            Err(_) => Outcome::Aborted(failure),
        }
    }

    fn send<'a>(&self, records: impl Iterator<Item = Outgoing<'a>>) -> Result<(), NotWritten> {
        let deadline = Instant::now() + ACKNOWLEDGED_WITHIN;
        for (index, record) in records.enumerate() {
            let mut outgoing = record.into_record(&self.to.name, index);
            while let Err((error, back)) = self.inner.send(outgoing) {
                let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !is_full || Instant::now() >= deadline {
                    return Err(NotWritten::of(&error, Some(index)));
                }
                self.inner.poll(Duration::from_millis(50));
                outgoing = back;
            }
            self.inner.poll(Duration::ZERO);
        }
        Ok(())
    }

    fn take_refused(&self) -> Option<NotWritten> {
        let mailbox = self.inner.context();
        mailbox.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What a person reads; `record` is the place of the record it was said of.
    pub fn problem(&self, failure: NotWritten, record: Option<String>) -> Problem {
        let topic = &self.to.name;
        let problem = match failure.why {
            Why::TooLarge => {
                Problem::usage(format!("a dead letter is too large for topic `{topic}`"))
                    .hint("raise `max.message.bytes` of the topic, or set records aside in a file with `--dlq FILE`")
            }
            Why::Denied => {
                Problem::usage(format!("Kafka does not let this user write to dead-letter topic `{topic}`"))
                    .hint("the user needs Write and Describe on the topic; for exactly-once dead letters also Write on transactional ids that begin with `starsink-`")
            }
            Why::Away => Problem::unavailable(format!(
                "cannot write dead letters to topic `{topic}` at Kafka `{}`",
                self.to.bootstrap
            ))
            .hint("nothing is lost: offsets move only when dead letters are written"),
        };
        let problem = problem.cause(failure.text);
        record.into_iter().fold(problem, Problem::at)
    }

    fn not_created(&self, text: &str) -> Problem {
        let what =
            format!("dead-letter topic `{}` does not exist and cannot be created", self.to.name);
        Problem::usage(what).cause(text).hint(
            "create it, or let the user create topics; a topic that the user may not describe looks missing; \
             `errors.deadletterqueue.topic.replication.factor` must fit the number of brokers",
        )
    }
}

impl<'a> Outgoing<'a> {
    fn into_record(self, topic: &'a str, index: usize) -> BaseRecord<'a, [u8], [u8], usize> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers = headers.insert(Header { key: name, value: value.as_deref() });
        }
        let mut record = BaseRecord::with_opaque_to(topic, index).headers(headers);
        record.key = self.key;
        record.payload = self.value;
        record.timestamp = self.timestamp_ms;
        record
    }
}

fn config(to: &DeadLetterTopic, transactional_id: Option<&str>) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in &to.properties {
        match value {
            PropertyValue::Plain(text) => config.set(name, text),
            PropertyValue::Hidden(secret) => config.set(name, secret.reveal()),
        };
    }
    let acknowledged_ms = ACKNOWLEDGED_WITHIN.as_millis().to_string();
    config
        .set("bootstrap.servers", &to.bootstrap)
        .set("client.id", "starsink-dlq")
        // Retries inside the client neither double nor reorder.
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", &acknowledged_ms)
        // The topic's own limit decides what is too large.
        .set("message.max.bytes", "1000000000")
        // As the Java client spreads keys.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set_log_level(RDKafkaLogLevel::Critical);
    if let Some(id) = transactional_id {
        let within_ms = TRANSACTION_WITHIN.as_millis().to_string();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", &within_ms)
            // Not longer than the transaction it belongs to.
            .set("message.timeout.ms", &within_ms);
    }
    config
}

fn list(offsets: &[(Partition, Offset, String)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset, metadata) in offsets {
        let number = i32::try_from(partition.number).unwrap_or(i32::MAX);
        let offset = RdOffset::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX));
        let mut element = list.add_partition(&partition.topic, number);
        // Neither fails for a plain number and a text without zero bytes.
        let _ = element.set_offset(offset);
        element.set_metadata(metadata);
    }
    list
}

/// Runs a future of librdkafka's to its end: its own thread completes it, so waiting is parking.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
