//! The consumer: group membership, metadata, offsets. Rebalances are noted between polls and handled
//! by whoever polls, never inside a callback.

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as RdOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::config::job::{PropertyValue, Source, Topics};
use crate::config::keys;
use crate::error::Problem;
use crate::kafka::given::Given;
use crate::kafka::oauth::{self, TokenSource};
use crate::kafka::queue::{Messages, Queue, Waker};
use crate::record::{Offset, Partition};

/// How long the first contact may take before a run gives up (exit 5).
const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// Questions to a cluster that has answered before.
const ANSWER: Duration = Duration::from_secs(30);

/// The property that names the SASL mechanism, by either of its names.
const MECHANISM: [&str; 2] = ["sasl.mechanisms", "sasl.mechanism"];

/// What the group decided, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    Assigned(Vec<Partition>),
    Revoked,
    /// Expelled: the partitions may already belong to somebody else.
    Lost,
}

/// A committed offset with its metadata string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub partition: Partition,
    pub offset: Option<(Offset, String)>,
}

/// How a commit of offsets failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitError {
    Transient,
    NotMember,
    Denied,
    TooLong,
}

/// Where errors and group events wait until somebody asks.
#[derive(Default)]
pub struct Mailbox {
    events: Mutex<VecDeque<GroupEvent>>,
    errors: Mutex<Vec<String>>,
    authentication: Mutex<Option<String>>,
    /// Asked for tokens where OAUTHBEARER has an endpoint.
    tokens: Option<TokenSource>,
    token: Mutex<Token>,
}

/// What became of the token that OAUTHBEARER needs.
#[derive(Default)]
enum Token {
    /// None is needed, or nobody has asked yet.
    #[default]
    None,
    Fetched,
    Failed(Problem),
}

/// One member of one consumer group.
pub struct Consumer {
    pub(super) inner: Arc<BaseConsumer<Mailbox>>,
    queue: Queue<Mailbox>,
    pub(super) bootstrap: String,
    /// SASL's, for messages.
    mechanism: Option<String>,
    /// Records that take the place of a partition's.
    given: Option<Given>,
    assigned: Mutex<Assigned>,
}

/// What is assigned, and since when anew.
#[derive(Default)]
struct Assigned {
    partitions: Vec<Partition>,
    /// Until when, and when last, their messages are sent to the queue again.
    forwarding: Option<(Instant, Instant)>,
}

impl ClientContext for Mailbox {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let outcome = match &self.tokens {
            Some(source) => source.fetch(),
            None => oauth::unsecured(config),
        };
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(fetched) => {
                *token = Token::Fetched;
                Ok(fetched)
            }
            Err(problem) => {
                let causes = problem.causes.iter().map(|cause| format!(": {cause}"));
                let text: String = std::iter::once(problem.what.clone()).chain(causes).collect();
                // A token that is there may live on; librdkafka asks again and says so.
                if !matches!(*token, Token::Fetched) {
                    *token = Token::Failed(problem);
                }
                // librdkafka takes no text with a zero byte.
                Err(text.replace('\0', " ").into())
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // Errors arrive through `error` as well; the rest is librdkafka talking to itself.
        if matches!(
            level,
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical
        ) {
            push(&self.errors, format!("{fac}: {message}"));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let refused = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SSL
                    | RDKafkaErrorCode::SaslAuthenticationFailed
            )
        );
        // A token that cannot be had is the endpoint's doing, not the broker's.
        if refused && !reason.starts_with("Failed to acquire SASL OAUTHBEARER token") {
            let mut first = self.authentication.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| reason.into());
        }
        push(&self.errors, reason.into());
    }
}

impl ConsumerContext for Mailbox {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let event = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                GroupEvent::Assigned(partitions(list))
            }
            _ if consumer.assignment_lost() => GroupEvent::Lost,
            _ => GroupEvent::Revoked,
        };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

impl Consumer {
    /// Makes the client. Nothing is sent yet.
    pub fn new(source: &Source, memory_bytes: u64) -> Result<Self, Problem> {
        let (config, mailbox) = client_config(source, properties(source, memory_bytes));
        let inner = config.create_with_context(mailbox).map_err(|error| unusable(&error))?;
        let inner: Arc<BaseConsumer<Mailbox>> = Arc::new(inner);
        let queue = Queue::new(Arc::clone(&inner));
        let mechanism = source.properties.iter().find_map(|(name, value)| match value {
            PropertyValue::Plain(text) if MECHANISM.contains(&name.as_str()) => Some(text.clone()),
            _ => None,
        });
        let bootstrap = source.bootstrap.clone();
        Ok(Consumer { inner, queue, bootstrap, mechanism, given: None, assigned: Mutex::default() })
    }

    /// Reads these records in the place of their partition's; the group keeps the position.
    pub fn with_records(self, given: Given) -> Self {
        Consumer { given: Some(given), ..self }
    }

    /// Takes up to `most` entries, waiting up to `wait` for the first.
    pub fn read(&self, most: usize, wait: Duration) -> Result<Messages, Problem> {
        if let Some(given) = &self.given {
            let records = given.read(most)?;
            if !records.is_empty() {
                return Ok(Messages::of(records));
            }
        }
        self.forward_again();
        Ok(self.queue.read(most, wait))
    }

    /// A partition that was assigned before and is assigned anew loses its way to the queue when its
    /// old fetcher stops, some time after the call: it is shown the way until that is over.
    fn forward_again(&self) {
        const EVERY: Duration = Duration::from_millis(20);
        let mut assigned = self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((until, last)) = assigned.forwarding else { return };
        let now = Instant::now();
        if now >= until {
            assigned.forwarding = None;
        } else if now.duration_since(last) >= EVERY {
            assigned.forwarding = Some((until, now));
            for partition in &assigned.partitions {
                self.queue.forward(&partition.topic, number(partition));
            }
        }
    }

    pub fn queue(&self) -> &Queue<Mailbox> {
        &self.queue
    }

    pub fn waker(&self) -> Waker {
        self.queue.waker()
    }

    /// All topics of the cluster with their numbers of partitions, internal ones left out.
    pub fn topics(&self) -> Result<Vec<(String, u32)>, Problem> {
        let metadata = self.first_contact()?;
        let internal = ["__consumer_offsets", "__transaction_state", "__share_group_state"];
        let topic = |topic: &rdkafka::metadata::MetadataTopic| {
            (topic.name().to_string(), u32::try_from(topic.partitions().len()).unwrap_or(0))
        };
        let all = metadata.topics().iter().map(topic);
        Ok(all.filter(|(name, _)| !internal.contains(&name.as_str())).collect())
    }

    /// The topics this run reads, with their numbers of partitions.
    pub fn select(&self, topics: &Topics) -> Result<Vec<(String, u32)>, Problem> {
        let mut all = self.topics()?;
        all.sort();
        match topics {
            Topics::Matching(pattern) => {
                Ok(all.into_iter().filter(|(name, _)| pattern.is_match(name)).collect())
            }
            Topics::Named(names) => {
                let find = |name: &String| {
                    let found = all.iter().find(|(known, _)| known == name).cloned();
                    found.ok_or_else(|| self.no_such_topic(name, &all))
                };
                names.iter().map(find).collect()
            }
        }
    }

    /// Joins the group, or changes the topics of a member.
    pub fn subscribe(&self, topics: &[(String, u32)]) -> Result<(), Problem> {
        let names: Vec<&str> = topics.iter().map(|(name, _)| name.as_str()).collect();
        self.inner.subscribe(&names).map_err(|error| self.failed("subscribe", &error))
    }

    /// Leaves the group; [`Consumer::subscribe`] joins it again with a new generation.
    pub fn leave(&self) {
        self.inner.unsubscribe();
    }

    /// Serves the group: must be called at least every `max.poll.interval.ms`. Returns what the
    /// group decided since the last call.
    pub fn poll(&self, wait: Duration) -> Result<Vec<GroupEvent>, Problem> {
        if let Some(Err(error)) = self.inner.poll(wait) {
            let code = error.rdkafka_error_code();
            if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
                return Err(self.failed("read", &error));
            }
            if let Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed,
            ) = code
            {
                return Err(Problem::usage("Kafka refuses to let this user read")
                    .cause(error.to_string())
                    .hint("the user needs Read on the topics and on the consumer group"));
            }
        }
        let mut events = self.inner.context().events.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(events.drain(..).collect())
    }

    /// Starts reading these partitions from these offsets; all others stop.
    pub fn assign(&self, starts: &[(Partition, Offset)]) -> Result<(), Problem> {
        let mut list = TopicPartitionList::new();
        self.given.iter().for_each(|given| given.seek(of_given(given, starts)));
        // What takes a partition's place is not fetched.
        let starts = if self.given.is_some() { &[] } else { starts };
        self.note_assigned(starts);
        for (partition, offset) in starts {
            self.queue.forward(&partition.topic, number(partition));
            let offset = RdOffset::Offset(signed(*offset));
            let added = list.add_partition_offset(&partition.topic, number(partition), offset);
            added.map_err(|error| self.failed("assign", &error))?;
        }
        self.inner.assign(&list).map_err(|error| self.failed("assign", &error))
    }

    fn note_assigned(&self, starts: &[(Partition, Offset)]) {
        /// Stopping a fetcher takes milliseconds.
        const LONG_ENOUGH: Duration = Duration::from_secs(10);
        let mut assigned = self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        assigned.forwarding = (!assigned.partitions.is_empty()).then(|| (now + LONG_ENOUGH, now));
        assigned.partitions = starts.iter().map(|(partition, _)| partition.clone()).collect();
    }

    /// Gives all partitions back. The group goes on only after this.
    pub fn unassign(&self) {
        self.given.iter().for_each(|given| given.seek(None));
        *self.assigned.lock().unwrap_or_else(PoisonError::into_inner) = Assigned::default();
        // Fails only where nothing was assigned or the group is gone: both leave nothing assigned.
        let _ = self.inner.unassign();
    }

    /// Moves back (or on) to these offsets; what was fetched before is thrown away.
    pub fn seek(&self, starts: &[(Partition, Offset)]) -> Result<(), Problem> {
        if let Some(given) = &self.given {
            given.seek(of_given(given, starts));
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in starts {
            let offset = RdOffset::Offset(signed(*offset));
            let added = list.add_partition_offset(&partition.topic, number(partition), offset);
            added.map_err(|error| self.failed("seek", &error))?;
        }
        let done = self.inner.seek_partitions(list, ANSWER);
        done.map_err(|error| self.failed("seek", &error))?;
        Ok(())
    }

    /// First offset and end of a partition, asked of its leader.
    pub fn watermarks(&self, partition: &Partition) -> Result<(Offset, Offset), Problem> {
        if let Some(given) = self.given.as_ref().filter(|given| given.partition() == partition) {
            return Ok((Offset(0), Offset(given.length())));
        }
        let marks = self.inner.fetch_watermarks(&partition.topic, number(partition), ANSWER);
        let (low, high) = marks.map_err(|error| self.failed("read the watermarks", &error))?;
        Ok((unsigned(low), unsigned(high)))
    }

    /// Per partition the first offset whose record is at or after `time_ms`; `None`: past the last.
    pub fn offsets_at(
        &self,
        partitions: &[Partition],
        time_ms: i64,
    ) -> Result<Vec<(Partition, Option<Offset>)>, Problem> {
        self.offsets_at_raw(partitions, time_ms.max(0), ANSWER)
    }

    /// A time before the epoch is one of the protocol's marks.
    fn offsets_at_raw(
        &self,
        partitions: &[Partition],
        time_ms: i64,
        wait: Duration,
    ) -> Result<Vec<(Partition, Option<Offset>)>, Problem> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let asked = if time_ms < 0 { RdOffset::End } else { RdOffset::Offset(time_ms) };
            let added = list.add_partition_offset(&partition.topic, number(partition), asked);
            added.map_err(|error| self.failed("look up a time", &error))?;
        }
        let found = self.inner.offsets_for_times(list, wait);
        let found = found.map_err(|error| self.failed("look up a time", &error))?;
        let read = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let partition = named(element.topic(), element.partition());
            match element.offset() {
                RdOffset::Offset(offset) => (partition, Some(unsigned(offset))),
                _ => (partition, None),
            }
        };
        Ok(found.elements().into_iter().map(read).collect())
    }

    /// Where partitions end now, asked of their leaders in one round; those that do not answer are left out.
    pub fn ends_now(&self, partitions: &[Partition]) -> Result<Vec<(Partition, Offset)>, Problem> {
        /// What a ListOffsets request calls the end.
        const LATEST: i64 = -1;
        /// Nobody waits for it: a run that ends must not.
        const SOON: Duration = Duration::from_secs(2);
        let found = self.offsets_at_raw(partitions, LATEST, SOON)?;
        Ok(found.into_iter().filter_map(|(partition, end)| Some((partition, end?))).collect())
    }

    /// Reads committed offsets and metadata, stable ones only (`isolation.level=read_committed`).
    pub fn committed(&self, partitions: &[Partition]) -> Result<Vec<Committed>, Problem> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, number(partition));
        }
        let found = committed(&self.inner, &list, &PATIENT)
            .map_err(|error| self.failed("read the group's offsets", &error))?;
        let read = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            element.error().map_err(|error| self.failed("read the group's offsets", &error))?;
            let partition = named(element.topic(), element.partition());
            let offset = match element.offset() {
                RdOffset::Offset(offset) => {
                    Some((unsigned(offset), element.metadata().to_string()))
                }
                _ => None,
            };
            Ok(Committed { partition, offset })
        };
        found.elements().into_iter().map(read).collect()
    }

    /// Commits offsets with metadata, all in one request, and waits for the answer.
    pub fn commit(
        &self,
        cursors: &[(Partition, Offset, String)],
    ) -> Result<(), (CommitError, String)> {
        let mut list = TopicPartitionList::new();
        for (partition, offset, metadata) in cursors {
            let mut element = list.add_partition(&partition.topic, number(partition));
            let set = element.set_offset(RdOffset::Offset(signed(*offset)));
            set.map_err(|error| (CommitError::Transient, error.to_string()))?;
            element.set_metadata(metadata);
        }
        let sent = self.inner.commit(&list, CommitMode::Sync);
        sent.map_err(|error| (commit_error(&error), error.to_string()))
    }

    /// Who this member is in which generation, for a transaction that carries its offsets.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.inner.group_metadata()
    }

    /// True once the group has expelled this member, noticed or not.
    pub fn is_lost(&self) -> bool {
        self.inner.assignment_lost()
    }

    /// What librdkafka complained about since the last call, each text once.
    pub fn complaints(&self) -> Vec<String> {
        let mut errors = self.inner.context().errors.lock().unwrap_or_else(PoisonError::into_inner);
        let unique: BTreeSet<String> = errors.drain(..).collect();
        unique.into_iter().collect()
    }

    /// Whether any broker answers within this time; it is asked for this topic, or for all.
    pub fn reach(&self, topic: Option<&str>, within: Duration) -> Result<(), Problem> {
        match self.inner.fetch_metadata(topic, within) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// A Connect worker in the group would load every record a second time.
    pub fn refuse_connect_workers(&self, group: &str) -> Result<(), Problem> {
        let Ok(groups) = self.inner.fetch_group_list(Some(group), ANSWER) else { return Ok(()) };
        let members = groups.groups().iter().flat_map(|group| group.members());
        let workers: Vec<String> = members
            .filter(|member| member.client_id().starts_with("connector-consumer-"))
            .map(|member| format!("{} on {}", member.id(), member.client_host()))
            .collect();
        if workers.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::usage(format!(
            "group `{group}` is in use by a Kafka Connect worker; both would share its partitions"
        ));
        for worker in workers.iter().take(5) {
            problem = problem.at(worker.clone());
        }
        Err(problem.hint("stop or delete the connector first; its offsets carry over"))
    }

    /// The end of a run: leaves the group at once. librdkafka was seen, once, not to answer the second
    /// of these calls: the caller must not wait for ever.
    pub fn close(&self) {
        self.inner.unsubscribe();
        self.unassign();
        let deadline = Instant::now() + Duration::from_secs(2);
        let _ = self.inner.close_queue();
        while !self.inner.closed() && Instant::now() < deadline {
            if self.poll(Duration::from_millis(20)).is_ok_and(|events| !events.is_empty()) {
                self.unassign();
            }
        }
    }

    pub(super) fn first_contact(&self) -> Result<rdkafka::metadata::Metadata, Problem> {
        let deadline = Instant::now() + FIRST_CONTACT;
        self.first_token(deadline)?;
        loop {
            // Short tries, so that a refused login is reported at once instead of after the limit.
            let failure = match self.inner.fetch_metadata(None, Duration::from_secs(2)) {
                Ok(metadata) => return Ok(metadata),
                Err(failure) => failure,
            };
            let _ = self.inner.poll(Duration::ZERO);
            let mailbox = self.inner.context();
            let refused = mailbox.authentication.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(reason) = refused.as_deref() {
                return Err(self.refused(reason));
            }
            drop(refused);
            if Instant::now() >= deadline {
                return Err(self.unreachable(&failure));
            }
        }
    }

    /// Without a token there is no answer, and librdkafka asks for one only through `poll`.
    fn first_token(&self, deadline: Instant) -> Result<(), Problem> {
        let mailbox = self.inner.context();
        while mailbox.tokens.is_some() {
            let mut token = mailbox.token.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::take(&mut *token) {
                Token::Failed(problem) => return Err(problem),
                Token::Fetched => {
                    *token = Token::Fetched;
                    break;
                }
                Token::None => drop(token),
            }
            if Instant::now() >= deadline {
                break;
            }
            let _ = self.inner.poll(Duration::from_millis(20));
        }
        Ok(())
    }

    fn refused(&self, reason: &str) -> Problem {
        // librdkafka's own words are in capitals; the addresses it names (`sasl_ssl://`) are not.
        if !reason.contains("SASL") {
            let what = format!("Kafka at `{}` refuses the connection", self.bootstrap);
            return Problem::usage(what)
                .cause(reason)
                .hint("check `security.protocol` and `ssl.truststore.*` against the listener");
        }
        let login = self.mechanism.as_deref().map_or("login".into(), |m| format!("{m} login"));
        Problem::usage(format!("Kafka at `{}` refuses the {login}", self.bootstrap))
            .cause(reason)
            .hint("check `sasl.mechanism` and the user and password in `sasl.jaas.config`")
    }

    fn unreachable(&self, failure: &KafkaError) -> Problem {
        let mut problem =
            Problem::unavailable(format!("cannot reach Kafka at `{}`", self.bootstrap));
        // "1/1 brokers are down" says less than what happened to one of them.
        let complaints = self.complaints();
        let telling = complaints.iter().find(|text| !text.ends_with("brokers are down"));
        problem = match telling.or(complaints.first()) {
            Some(text) => problem.cause(text.clone()),
            None => problem.cause(failure.to_string()),
        };
        problem.hint(
            "check `bootstrap.servers`, and `security.protocol` if the listener wants TLS or SASL",
        )
    }

    /// What is said where a named topic does not exist.
    pub fn no_such_topic(&self, name: &str, all: &[(String, u32)]) -> Problem {
        let count = match all.len() {
            1 => "1 topic".to_owned(),
            count => format!("{count} topics"),
        };
        let what = format!("topic `{name}` does not exist on `{}` ({count} there)", self.bootstrap);
        let near = keys::nearest(name, all.iter().map(|(known, _)| known.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`? A pattern is written `-t '^{near}.*'`"),
            None => "`-t '^orders.*'` reads every topic that matches a pattern".into(),
        };
        Problem::usage(what).hint(hint)
    }

    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> Problem {
        let denied = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed
            )
        );
        let text = format!("cannot {what} at Kafka `{}`", self.bootstrap);
        if denied {
            return Problem::usage(text)
                .cause(error.to_string())
                .hint("the user needs Read on the topics and on the consumer group");
        }
        Problem::unavailable(text).cause(error.to_string())
    }
}

/// Properties as librdkafka takes them, and what its callbacks need.
pub(super) fn client_config(
    source: &Source,
    properties: Vec<(String, PropertyValue)>,
) -> (ClientConfig, Mailbox) {
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        match value {
            PropertyValue::Plain(text) => config.set(name, text),
            PropertyValue::Hidden(secret) => config.set(name, secret.reveal()),
        };
    }
    config.set_log_level(RDKafkaLogLevel::Critical);
    let tokens = source.oauth.as_ref().map(TokenSource::new);
    (config, Mailbox { tokens, ..Mailbox::default() })
}

pub(super) fn unusable(error: &KafkaError) -> Problem {
    Problem::usage("cannot make a Kafka client from this configuration")
        .cause(error.to_string())
        .hint("`-X dump` prints the librdkafka properties in force")
}

/// Everything librdkafka is told: the job's own properties between what may be overridden and what
/// the program rests on.
pub fn properties(source: &Source, memory_bytes: u64) -> Vec<(String, PropertyValue)> {
    // A quarter of the memory is librdkafka's queue; one response must fit it too.
    let queue_kib = (memory_bytes / 4 / 1024).clamp(1024, 2_097_151).to_string();
    let response_bytes = (memory_bytes / 6).clamp(1 << 20, 50 << 20).to_string();
    let preset = [
        ("client.id", "starsink"),
        // After kill -9 another process goes on within this time.
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "3000"),
        ("queued.max.messages.kbytes", &queue_kib),
        ("fetch.max.bytes", &response_bytes),
        // The search for a rejected row starts fetching anew with every piece, and an answer that waits
        // for news is in its way.
        ("fetch.wait.max.ms", "100"),
        // A full queue of small messages would otherwise pause fetching for a second.
        ("fetch.queue.backoff.ms", "5"),
    ];
    let plain = |name: &str, value: &str| (name.to_string(), PropertyValue::Plain(value.into()));
    let said = |name: &str| source.properties.iter().any(|(known, _)| known == name);
    let mut all: Vec<_> = preset
        .into_iter()
        .filter(|(name, _)| !said(name))
        .map(|(name, value)| plain(name, value))
        .collect();
    all.extend(source.properties.iter().cloned());
    all.extend([
        plain("bootstrap.servers", &source.bootstrap),
        plain("group.id", &source.group),
        plain("enable.partition.eof", "true"),
        // Never a silent reset: where a partition begins is decided here, not in librdkafka.
        plain("auto.offset.reset", "error"),
    ]);
    all
}

/// Waits for the answer to a question about offsets, in all 30 s.
const PATIENT: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// The group's offsets. librdkafka looks for the group's coordinator for ever, also where the user may
/// not know it, and says that beside the answer: so it is asked in steps of `waits`.
pub(super) fn committed(
    consumer: &BaseConsumer<Mailbox>,
    list: &TopicPartitionList,
    waits: &[Duration],
) -> Result<TopicPartitionList, KafkaError> {
    use RDKafkaErrorCode as Code;
    /// A few entries may stand before the one that counts.
    const MOST_ENTRIES: usize = 20;
    const COORDINATOR_PAUSE: Duration = Duration::from_millis(200);
    let mut outcome = Err(KafkaError::OffsetFetch(Code::OperationTimedOut));
    for wait in waits {
        let deadline = Instant::now() + *wait;
        let is_late = loop {
            outcome = consumer.committed_offsets(list.clone(), *wait);
            let code = outcome.as_ref().err().and_then(KafkaError::rdkafka_error_code);
            // The group is moving to another broker, or this one has just begun: soon it is there.
            let moves = matches!(
                code,
                Some(
                    Code::NotCoordinator
                        | Code::CoordinatorNotAvailable
                        | Code::CoordinatorLoadInProgress
                )
            );
            if !moves || Instant::now() >= deadline {
                let late = [Some(Code::OperationTimedOut), Some(Code::WaitingForCoordinator)];
                break moves || late.contains(&code);
            }
            thread::sleep(COORDINATOR_PAUSE);
        };
        if !is_late {
            break;
        }
        let mut entries = (0..MOST_ENTRIES).map_while(|_| consumer.poll(Duration::ZERO));
        let refused = entries.find_map(|entry| {
            let code = entry.err()?.rdkafka_error_code();
            let denied = [Code::GroupAuthorizationFailed, Code::TopicAuthorizationFailed];
            // Taken here, it is told nowhere else again.
            code.filter(|code| denied.contains(code))
        });
        if let Some(code) = refused {
            return Err(KafkaError::OffsetFetch(code));
        }
    }
    outcome
}

fn of_given(given: &Given, starts: &[(Partition, Offset)]) -> Option<u64> {
    let start = starts.iter().find(|(partition, _)| partition == given.partition());
    start.map(|(_, offset)| offset.0)
}

fn commit_error(error: &KafkaError) -> CommitError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress
            | Code::FencedInstanceId,
        ) => CommitError::NotMember,
        Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => {
            CommitError::Denied
        }
        Some(Code::OffsetMetadataTooLarge | Code::InvalidCommitOffsetSize) => CommitError::TooLong,
        _ => CommitError::Transient,
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().map(|element| named(element.topic(), element.partition())).collect()
}

pub(super) fn named(topic: &str, number: i32) -> Partition {
    Partition::new(topic, u32::try_from(number).unwrap_or_default())
}

pub(super) fn number(partition: &Partition) -> i32 {
    i32::try_from(partition.number).unwrap_or(i32::MAX)
}

pub(super) fn signed(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(offset: i64) -> Offset {
    Offset(u64::try_from(offset).unwrap_or(0))
}

fn push(errors: &Mutex<Vec<String>>, text: String) {
    const MOST: usize = 50;
    let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
    if errors.len() < MOST {
        errors.push(text);
    }
}
