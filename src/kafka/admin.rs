//! Settings of topics and brokers, and a group of its own to try a commit in: what only Kafka's
//! administrative requests tell. Owns a second client beside the consumer; the only thing it deletes is
//! the group it made.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as RdOffset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::config::job::{PropertyValue, Source};
use crate::error::Problem;
use crate::kafka::consumer::{self, Mailbox, client_config, number, signed, unusable};
use crate::kafka::rights::{self, Rights};
use crate::record::{Offset, Partition};

/// Answers to administrative requests.
const ANSWER: Duration = Duration::from_secs(5);

/// Administrative requests under the job's own login.
///
/// Never let go of: that takes a tenth of a second, and after a DeleteGroups request librdkafka 2.12.1
/// ends the process there. One look makes one of them.
pub struct Admin {
    inner: ManuallyDrop<AdminClient<Mailbox>>,
    source_properties: Vec<(String, PropertyValue)>,
}

impl Admin {
    pub fn new(source: &Source) -> Result<Self, Problem> {
        let properties = shared(source);
        let (config, mailbox) = client_config(source, properties.clone());
        let inner = config.create_with_context(mailbox).map_err(|error| unusable(&error))?;
        Ok(Admin { inner: ManuallyDrop::new(inner), source_properties: properties })
    }

    /// One setting of each topic; `None` where it cannot be read.
    pub fn topic_settings(&self, topics: &[&str], name: &str) -> Vec<Option<String>> {
        let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        self.settings(&asked, name).unwrap_or_else(|_| vec![None; topics.len()])
    }

    /// One setting of a broker, or why it cannot be read.
    pub fn broker_setting(&self, broker: i32, name: &str) -> Result<Option<String>, String> {
        let found = self.settings(&[ResourceSpecifier::Broker(broker)], name)?;
        Ok(found.into_iter().next().flatten())
    }

    fn settings(
        &self,
        asked: &[ResourceSpecifier<'_>],
        name: &str,
    ) -> Result<Vec<Option<String>>, String> {
        let options = options();
        let answer = wait(self.inner.describe_configs(asked, &options));
        let answer = answer.ok_or("no answer in time")?.map_err(|error| error.to_string())?;
        let value = |resource: ConfigResource| resource.get(name).and_then(|e| e.value.clone());
        let read = |found: Result<ConfigResource, _>| found.map(value);
        answer.into_iter().map(read).collect::<Result<_, _>>().map_err(|code| code.to_string())
    }

    /// Whether a topic of one partition could be made; makes none. The inner reason: Kafka's, `None`
    /// where it would not say.
    pub fn may_create(&self, topic: &str, replication: Option<u16>) -> Result<(), Option<String>> {
        // -1: as the brokers have it.
        let copies = replication.map_or(-1, i32::from);
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(copies));
        let options = options().validate_only(true);
        let answer = wait(self.inner.create_topics([&new], &options)).ok_or(None)?;
        match answer.map_err(|_| None)?.pop() {
            Some(Err((_, code))) => Err(Some(code.to_string())),
            _ => Ok(()),
        }
    }

    /// What this login may do with each of these topics, as far as Kafka says.
    pub fn rights(&self, topics: &[&str]) -> BTreeMap<String, Rights> {
        rights::of_topics(self.inner.inner(), topics, ANSWER)
    }

    /// Commits one offset with metadata of `length` bytes in `group`, which nobody may use, and deletes
    /// the group again; says whether that could be done.
    pub fn try_commit(
        &self,
        source: &Source,
        group: &str,
        at: (&Partition, Offset),
        length: usize,
    ) -> Result<bool, NoCommit> {
        let mut properties = self.source_properties.clone();
        properties.push(("group.id".into(), PropertyValue::Plain(group.into())));
        let (config, mailbox) = client_config(source, properties);
        let words = |error: KafkaError| NoCommit::Failed(error.to_string());
        let consumer: BaseConsumer<Mailbox> = config.create_with_context(mailbox).map_err(words)?;
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&at.0.topic, number(at.0));
        element.set_offset(RdOffset::Offset(signed(at.1))).map_err(words)?;
        element.set_metadata("x".repeat(length));
        // A commit in a group that this user may not use would wait for ever.
        const WAIT: Duration = Duration::from_secs(2);
        if let Err(error) = consumer::committed(&consumer, &list, &[WAIT]) {
            return Err(match error.rdkafka_error_code() {
                Some(Code::GroupAuthorizationFailed) => NoCommit::Denied(error.to_string()),
                _ => NoCommit::Failed(error.to_string()),
            });
        }
        consumer.commit(&list, CommitMode::Sync).map_err(words)?;
        let options = options();
        let deleted = wait(self.inner.delete_groups(&[group], &options));
        Ok(deleted.is_some_and(|all| all.is_ok_and(|groups| groups.iter().all(Result::is_ok))))
    }
}

/// Why a commit that was only tried failed, in Kafka's words.
#[derive(Debug)]
pub enum NoCommit {
    /// This user may not use the group.
    Denied(String),
    Failed(String),
}

/// The properties that every client of one login shares: a consumer's own are left out.
pub(super) fn shared(source: &Source) -> Vec<(String, PropertyValue)> {
    const SHARED: [&str; 9] = [
        "security.",
        "sasl.",
        "ssl.",
        "enable.ssl.",
        "enable.sasl.",
        "client.",
        "broker.address.",
        "socket.",
        "api.version.",
    ];
    let is_shared = |name: &str| SHARED.iter().any(|prefix| name.starts_with(prefix));
    let mut all: Vec<_> =
        source.properties.iter().filter(|(name, _)| is_shared(name)).cloned().collect();
    all.push(("bootstrap.servers".into(), PropertyValue::Plain(source.bootstrap.clone())));
    all
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for librdkafka's answer on this thread.
fn wait<T>(answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let deadline = Instant::now() + ANSWER + Duration::from_secs(1);
    loop {
        if let Poll::Ready(value) = answer.as_mut().poll(&mut context) {
            return Some(value);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        thread::park_timeout(left);
    }
}
