//! A run, validated once: every later stage reads these types and re-checks nothing.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::pattern::TopicPattern;
use crate::convert::Converter;
use crate::data::options::Options;
use crate::error::Problem;
use crate::http::Tls;
use crate::secret::Secret;

/// Everything `load` or `tail` needs to know.
#[derive(Debug)]
pub struct Job {
    /// The connector's `name`: label prefix and consumer group come from it.
    pub name: String,
    pub source: Source,
    /// What a record's bytes mean.
    pub records: Records,
    pub format: Format,
    pub routes: Routes,
    pub target: Target,
    pub flush: FlushPolicy,
    pub delivery: DeliveryChoice,
    /// Parallel conversion lanes (`tasks.max`).
    pub lanes: usize,
    /// Loads in flight at once (`--loads`).
    pub loads: usize,
    /// The one byte budget (`--memory`): fetch queue, rows and bodies in flight.
    pub memory_bytes: u64,
    pub max_retries: Retries,
    pub errors: ErrorPolicy,
    /// Dead letters are loaded again instead of the topics.
    pub replay: Option<Replay>,
    /// Print no record content anywhere.
    pub redact_values: bool,
}

/// Where records come from.
#[derive(Clone, Debug)]
pub struct Source {
    pub bootstrap: String,
    pub topics: Topics,
    /// Consumer group, `connect-<name>` unless said otherwise.
    pub group: String,
    /// Said explicitly (`-G`, `consumer.override.group.id`): never replaced by a derived one.
    pub group_is_explicit: bool,
    /// Only these partitions (`-p`); empty: all.
    pub partitions: Vec<u32>,
    /// librdkafka properties, each once, translated from the Java client's. They hold no
    /// `bootstrap.servers`, `group.id` and `auto.offset.reset`: those are fields here.
    pub properties: Vec<(String, PropertyValue)>,
    /// Where a partition begins for which the group has no offset (`auto.offset.reset`).
    pub reset: Reset,
    /// Set when brokers want an OAUTHBEARER token: it must be fetched with these.
    pub oauth: Option<OAuth>,
}

impl Source {
    /// The effective librdkafka properties as `name=value`, in alphabetical order, secrets hidden:
    /// what `-X dump` prints.
    pub fn dump(&self) -> Vec<String> {
        let own = [("bootstrap.servers", &self.bootstrap), ("group.id", &self.group)];
        let own = own.into_iter().map(|(name, value)| format!("{name}={value}"));
        let shown = |(name, value): &(String, PropertyValue)| match value {
            PropertyValue::Plain(text) => format!("{name}={text}"),
            PropertyValue::Hidden(_) => format!("{name}=(hidden)"),
        };
        let mut lines: Vec<String> = own.chain(self.properties.iter().map(shown)).collect();
        lines.sort();
        lines
    }
}

/// What applies where the group has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    Beginning,
    End,
    /// Stop with an error.
    Refuse,
}

/// How to get an access token: OAuth 2's client credentials grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// `sasl.oauthbearer.token.endpoint.url`, http or https.
    pub endpoint: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// SASL extensions, sent to the broker beside the token.
    pub extensions: Vec<(String, String)>,
}

/// A schema registry, as one converter's options describe it.
#[derive(Debug, Clone)]
pub struct Registry {
    /// `http://host:port/path` without user and final slash; tried in this order.
    pub urls: Vec<String>,
    /// For messages: "`value.converter.schema.registry.url` (sink.properties:9)".
    pub origin: String,
    pub login: RegistryLogin,
    /// Sent with every request (`request.header.*` and what the login brings along).
    pub headers: Vec<(String, Secret)>,
    pub tls: Tls,
    /// `host:port` of an HTTP proxy.
    pub proxy: Option<String>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    /// Rounds over all addresses after the first one fails.
    pub max_retries: u32,
    /// Pause before the second round; doubles from there.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// What follows when all these rounds failed.
    pub again: Again,
}

/// How long what failed for a time only is tried again (`errors.retry.timeout`,
/// `errors.retry.delay.max.ms`), as Kafka Connect does around a converter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Counted from the first try; zero: it is not; `None`: for ever.
    pub within: Option<Duration>,
    pub longest_pause: Duration,
}

impl Again {
    /// One round of tries is enough.
    pub const NEVER: Again = Again { within: Some(Duration::ZERO), longest_pause: Duration::ZERO };
}

/// What a registry is shown to be let in.
#[derive(Debug, Clone)]
pub enum RegistryLogin {
    None,
    /// The whole value of `Authorization`.
    Fixed(Secret),
    /// A bearer token from this endpoint.
    Token(OAuth),
}

/// A librdkafka property's value; secret ones print as `(hidden)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    Plain(String),
    Hidden(Secret),
}

#[derive(Debug, Clone)]
pub enum Topics {
    Named(Vec<String>),
    /// Java's meaning: the whole name must match.
    Matching(TopicPattern),
}

impl Topics {
    /// Whether a topic of this name is among them.
    pub fn take_in(&self, name: &str) -> bool {
        match self {
            Topics::Named(topics) => topics.iter().any(|topic| topic == name),
            Topics::Matching(pattern) => pattern.is_match(name),
        }
    }
}

/// How a record becomes rows: converters, transforms, and what a null value means. Each lane compiles
/// its own of them; that it can was checked when the configuration was read.
#[derive(Debug, Clone)]
pub struct Records {
    pub key: ConverterChoice,
    pub value: ConverterChoice,
    pub header: ConverterChoice,
    /// `transforms` and `predicates` with everything under them.
    pub chain: Options,
    /// Whether a transform of it may send a record to another topic's table.
    pub may_route: bool,
    pub tombstones: Tombstones,
    pub new_fields: NewFields,
}

/// A converter by its class, with its own options.
#[derive(Debug, Clone)]
pub struct ConverterChoice {
    pub class: String,
    pub options: Options,
    /// Where its schemas come from, if it needs any.
    pub registry: Option<Registry>,
}

/// What a value's bytes are, as far as it decides whether they can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// JsonConverter without schemas.
    PlainJson,
    /// JsonConverter with schemas.
    Schemas,
    /// String or ByteArray converter: ready-made JSON text or a CSV line.
    Text,
    Other,
}

/// `starsink.new.fields`: what a field means that no column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewFields {
    Warn,
    Refuse,
    Ignore,
}

/// `starsink.tombstones`: what a record without value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// Nothing; but a delete event that a transform turned into a null deletes.
    Unsaid,
    Skip,
    /// The row that the key names is deleted.
    Delete,
}

impl ConverterChoice {
    pub fn new(class: &str, options: Options) -> ConverterChoice {
        ConverterChoice { class: class.trim().to_owned(), options, registry: None }
    }

    /// Builds the converter; `key` is the configuration's name for it.
    pub fn compile(&self, key: &str) -> Result<Converter, Problem> {
        Converter::compile(&self.class, &self.options).map_err(|failure| {
            let what = format!("`{key}` is `{}`, which cannot be used", self.class);
            Problem::usage(what).cause(failure.message)
        })
    }

    pub fn kind(&self) -> ValueKind {
        let is_false =
            |key| self.options.string(key).is_some_and(|text| text.eq_ignore_ascii_case("false"));
        match self.class.rsplit('.').next().unwrap_or_default() {
            "JsonConverter" | "Json" if is_false("schemas.enable") => ValueKind::PlainJson,
            "JsonConverter" | "Json" => ValueKind::Schemas,
            "StringConverter" | "String" => match self.options.string("converter.encoding") {
                None => ValueKind::Text,
                Some(name) if name.eq_ignore_ascii_case("utf-8") => ValueKind::Text,
                Some(_) => ValueKind::Other,
            },
            "ByteArrayConverter" | "ByteArray" => ValueKind::Text,
            _ => ValueKind::Other,
        }
    }
}

/// What the load body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Json,
    /// Rows end with these bytes (`sink.properties.row_delimiter`, `\n` by default).
    Csv {
        row_delimiter: Vec<u8>,
    },
}

/// Topic to table: the map first, then the topic's own name.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// (topic, table).
    pub map: Vec<(String, String)>,
}

/// Where rows go.
#[derive(Debug, Clone)]
pub struct Target {
    pub fe: Vec<FeAddress>,
    pub database: String,
    pub user: String,
    pub password: Secret,
    /// Where the password came from, for the hint of a refused login: "`starrocks.password` (f:9)".
    pub password_origin: String,
    /// Where the FE addresses came from, likewise.
    pub fe_origin: String,
    /// Stream Load headers in lower case (`sink.properties.*`, `-H`), ours excluded: no `format`,
    /// `compression`, `strip_outer_array` or `ignore_json_size`. Values are legal header values.
    pub headers: Vec<(String, String)>,
    /// Headers of single tables (`sink.table.TABLE.properties.*`), which win: (table, name, value).
    pub own_headers: Vec<(String, String, String)>,
    pub compression: Compression,
    pub connect_timeout: Duration,
}

impl Target {
    pub fn table_headers(&self) -> TableHeaders {
        TableHeaders { general: self.headers.clone(), own: self.own_headers.clone() }
    }
}

/// The headers of each table's loads.
#[derive(Debug, Clone)]
pub struct TableHeaders {
    general: Vec<(String, String)>,
    own: Vec<(String, String, String)>,
}

impl TableHeaders {
    /// With other headers for every table than the job's.
    pub fn with_general(self, general: Vec<(String, String)>) -> TableHeaders {
        TableHeaders { general, ..self }
    }

    /// Those of one table, each name once.
    pub fn of(&self, table: &str) -> Vec<(String, String)> {
        let own = self.own.iter().filter(|(known, ..)| known == table);
        let own = own.map(|(_, name, value)| (name.clone(), value.clone()));
        let mut headers: Vec<(String, String)> = own.collect();
        let general = self.general.iter();
        let others: Vec<(String, String)> = general
            .filter(|(name, _)| headers.iter().all(|(own, _)| own != name))
            .cloned()
            .collect();
        headers.extend(others);
        headers
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeAddress {
    pub https: bool,
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4Frame,
    Gzip,
    Zstd,
}

/// Failed attempts in a row before a run gives up (`sink.maxretries`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// As the command has it: `load` gives up after a while, `tail` never.
    Unsaid,
    AtMost(u32),
    Endless,
}

impl Retries {
    /// Of `load` where nothing is said: about half a minute in all.
    pub const OF_LOAD: u32 = 6;
}

/// What becomes of records that cannot be loaded, at whatever stage, StarRocks' own rejection included.
#[derive(Debug, Clone)]
pub struct ErrorPolicy {
    pub on_bad_record: OnBadRecord,
    /// The run stops when more than this many were skipped or set aside.
    pub max_errors: Option<MaxErrors>,
    /// Tell each one, not only the first of a kind (`errors.log.enable`).
    pub tell_each: bool,
    /// Show what the record holds when telling (`errors.log.include.messages`).
    pub tell_content: bool,
}

/// A dead-letter policy without a target cannot be written.
#[derive(Debug, Clone)]
pub enum OnBadRecord {
    Stop,
    Skip,
    SetAside(Box<DeadLetters>),
}

/// Where records that were set aside go, and how.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    pub target: DeadLetterTarget,
    /// Whether headers say where a dead letter came from and why.
    pub context_headers: bool,
}

#[derive(Debug, Clone)]
pub enum DeadLetterTarget {
    Topic(DeadLetterTopic),
    /// One JSON object a line.
    File(PathBuf),
}

#[derive(Debug, Clone)]
pub struct DeadLetterTopic {
    pub name: String,
    /// Of a topic that must be created; `None`: the broker's default.
    pub replication: Option<u16>,
    /// Offsets and dead letters of a batch in one Kafka transaction.
    pub exactly_once: bool,
    pub bootstrap: String,
    /// librdkafka properties of the producer: connection and security alone.
    pub properties: Vec<(String, PropertyValue)>,
    /// Where its access tokens come from.
    pub oauth: Option<OAuth>,
}

/// `--replay`: [`Source::topics`] is where the dead letters are, or, for a file, whose first partition keeps
/// the position.
#[derive(Debug, Clone)]
pub struct Replay {
    /// What the configuration loads otherwise.
    pub topics: Topics,
    pub file: Option<PathBuf>,
}

/// `--max-errors`
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxErrors {
    Count(u64),
    /// Of the records read.
    Percent(f64),
}

/// When a batch is sealed: whichever comes first.
#[derive(Debug, Clone)]
pub struct FlushPolicy {
    pub max_bytes: u64,
    pub interval: Duration,
    /// `offset.flush.interval.ms`.
    pub offset_interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryChoice {
    ExactlyOnce,
    AtLeastOnce,
    Auto,
}

/// How far a run goes: `load` builds the first, `tail` the second, so `tail` cannot have a bound.
#[derive(Debug, Clone)]
pub enum Extent {
    Until(Bounds),
    Forever { start: Start, drain_timeout: Duration, status_file: Option<PathBuf> },
}

#[derive(Debug, Clone)]
pub struct Bounds {
    pub start: Start,
    pub until: Until,
    pub max_messages: Option<u64>,
}

/// `-o`. In `tail` it says where to begin if the group has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The group's committed offset, else what [`Source::reset`] says.
    Stored,
    Beginning,
    End,
    At(u64),
    /// This many before the end.
    Last(u64),
    /// Milliseconds since the epoch.
    Time(i64),
}

/// `--until`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// High watermarks when the run starts.
    Now,
    /// This offset, exclusive.
    At(u64),
    /// The first record at or after this time, exclusive; milliseconds since the epoch.
    Time(i64),
}
