//! Single message transforms: the chain a connector configuration names, compiled and applied.
//!
//! [`TRANSFORMS`] and [`predicate::PREDICATES`] are the only lists of what is known. A transform
//! compiles its plan once per schema it meets. Reads no bytes and writes no rows.

pub mod cast;
pub mod confluent;
pub mod date_format;
pub mod debezium;
pub mod explode;
pub mod fields;
pub mod flatten;
pub mod headers;
pub mod metadata;
pub mod predicate;
pub mod router;
pub mod starrocks;
pub mod timestamp;

mod idle;
mod side;

use std::fmt;

use crate::data::options::Options;
use crate::data::{ConnectRecord, Exception, Failure};
use crate::error::Problem;
pub use idle::Idle;
use predicate::Predicate;
pub use side::Side;

/// One step of a chain. Each lane has its own, so plans need no locks.
pub trait Transform: fmt::Debug + Send {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure>;

    /// What it looks at beyond topic, place and time; `$Key` transforms need not say it.
    fn reads(&self) -> Reads {
        Reads::VALUE
    }

    /// Whether it chooses the topic, and with that the table.
    fn routes(&self) -> bool {
        false
    }

    /// What it needs of a Debezium envelope.
    fn envelope_use(&self) -> EnvelopeUse {
        EnvelopeUse::All
    }
}

/// What a step needs of a Debezium envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeUse {
    /// Anything, and it may hand on all of it.
    All,
    /// The operation and the rows, and hands on the envelope.
    Rows,
    /// The operation and the rows, and hands on a row alone.
    RowsOnly,
}

/// Parts of a record that a step looks into. A part that nothing reads need not be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    pub key: bool,
    pub value: bool,
    pub headers: bool,
}

impl Reads {
    /// Only topic, place, time, and whether the value is null.
    pub const NOTHING: Reads = Reads { key: false, value: false, headers: false };
    pub const VALUE: Reads = Reads { key: false, value: true, headers: false };

    fn and(self, other: Reads) -> Reads {
        Reads {
            key: self.key || other.key,
            value: self.value || other.value,
            headers: self.headers || other.headers,
        }
    }
}

/// What one transform made of a record.
#[derive(Debug, PartialEq)]
pub enum Step<'a> {
    Keep,
    Drop(Why),
    /// The record became these, in order; perhaps none.
    Split(Vec<ConnectRecord<'a>>),
}

/// What a chain made of a record.
#[derive(Debug, PartialEq)]
pub enum Outcome<'a> {
    /// One record goes on: the one that was handed in, changed.
    Keep,
    Drop(Why),
    /// Several records go on instead of the one handed in.
    Many(Vec<ConnectRecord<'a>>),
}

/// Why a transform dropped a record on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A filter's condition.
    Filtered,
    /// A delete event, where deletes are asked to be dropped.
    Delete,
    /// A record with a null value, where those are asked to be dropped.
    Tombstone,
    /// A truncate event: it has no row.
    Truncate,
    /// A message that tells no row: a schema change or a transaction's mark.
    NoRow,
    /// A nested array without elements, where those are asked to be dropped.
    NoElements,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Filtered => "filtered",
            Why::Delete => "delete event dropped",
            Why::Tombstone => "tombstone dropped",
            Why::Truncate => "truncate event",
            Why::NoRow => "no row in it",
            Why::NoElements => "empty array",
        })
    }
}

/// A transform refused a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    /// The alias in `transforms`.
    pub alias: String,
    /// The Java class as configured.
    pub class: String,
    pub failure: Failure,
}

impl StageError {
    /// Connect's name of the stage, for dead letters.
    pub const CONNECT_STAGE: &'static str = "TRANSFORMATION";
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transform `{}` ({}): {}", self.alias, self.class, self.failure)
    }
}

impl std::error::Error for StageError {}

type Built = Result<Box<dyn Transform>, Failure>;

/// One known transform.
#[derive(Debug)]
pub struct Known {
    pub class: &'static str,
    /// Other class names of the same thing.
    pub also: &'static [&'static str],
    /// One sentence for `map --list transforms`.
    pub doc: &'static str,
    pub build: fn(&Options) -> Built,
}

/// A transform for either side: one line for `$Key`, one for `$Value`.
macro_rules! both_sides {
    ($name:literal, $doc:literal, $build:path) => {
        [
            Known {
                class: concat!($name, "$Key"),
                also: &[],
                doc: $doc,
                build: |options| Ok(Box::new($build(Side::Key, options)?)),
            },
            Known {
                class: concat!($name, "$Value"),
                also: &[],
                doc: $doc,
                build: |options| Ok(Box::new($build(Side::Value, options)?)),
            },
        ]
    };
}

macro_rules! one {
    ($name:literal, [$($also:literal),*], $doc:literal, $build:path) => {
        [Known {
            class: $name,
            also: &[$($also),*],
            doc: $doc,
            build: |options| Ok(Box::new($build(options)?)),
        }]
    };
}

/// Every known transform. A new one is a line here and a file beside this one.
pub const TRANSFORMS: &[&[Known]] = &[
    &both_sides!(
        "org.apache.kafka.connect.transforms.Cast",
        "Changes the type of fields or of the whole value.",
        cast::Cast::build
    ),
    &one!(
        "org.apache.kafka.connect.transforms.DropHeaders",
        [],
        "Removes headers by name.",
        headers::DropHeaders::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.ExtractField",
        "Makes one field the whole value.",
        fields::ExtractField::build
    ),
    &one!(
        "org.apache.kafka.connect.transforms.Filter",
        [],
        "Drops the record; goes with a predicate.",
        router::Filter::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.Flatten",
        "Lifts nested fields to the top, names joined.",
        flatten::Flatten::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.HeaderFrom",
        "Copies or moves fields into headers.",
        headers::HeaderFrom::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.HoistField",
        "Puts the whole value into one field.",
        fields::HoistField::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.InsertField",
        "Adds topic, partition, offset, timestamp or a fixed text as a field.",
        metadata::InsertField::build
    ),
    &one!(
        "org.apache.kafka.connect.transforms.InsertHeader",
        [],
        "Adds a header with a fixed text.",
        headers::InsertHeader::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.MaskField",
        "Replaces fields with an empty or a given value.",
        fields::MaskField::build
    ),
    &one!(
        "org.apache.kafka.connect.transforms.RegexRouter",
        [],
        "Renames the topic by a pattern.",
        router::RegexRouter::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.ReplaceField",
        "Keeps, drops or renames fields.",
        fields::ReplaceField::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.SetSchemaMetadata",
        "Sets the schema's name and version.",
        fields::SetSchemaMetadata::build
    ),
    &both_sides!(
        "org.apache.kafka.connect.transforms.TimestampConverter",
        "Turns times between epoch numbers, text, Date, Time and Timestamp.",
        timestamp::TimestampConverter::build
    ),
    &one!(
        "org.apache.kafka.connect.transforms.TimestampRouter",
        [],
        "Adds the record's time to the topic's name.",
        router::TimestampRouter::build
    ),
    &one!(
        "org.apache.kafka.connect.transforms.ValueToKey",
        [],
        "Makes a new key of fields of the value.",
        fields::ValueToKey::build
    ),
    &one!(
        "io.debezium.transforms.ExtractNewRecordState",
        [],
        "Turns a change event into its row.",
        debezium::unwrap::Unwrap::build
    ),
    &one!(
        "io.debezium.transforms.ByLogicalTableRouter",
        [],
        "Sends the events of sharded tables to one topic.",
        debezium::route::TableRouter::build_table
    ),
    &one!(
        "io.debezium.transforms.ToLogicalTopicRouter",
        [],
        "Sends the events of several topics to one.",
        debezium::route::TableRouter::build_topic
    ),
    &one!(
        "io.debezium.transforms.ExtractChangedRecordState",
        [],
        "Puts the names of changed fields into headers.",
        debezium::changes::ChangedFields::build
    ),
    &one!(
        "io.debezium.transforms.TimezoneConverter",
        [],
        "Moves times of change events into a zone.",
        debezium::timezone::TimezoneConverter::build
    ),
    &one!(
        "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord",
        [],
        "Adds `__op` to the row of a change event: 0 upsert, 1 delete.",
        starrocks::AddOp::build
    ),
    &one!(
        "com.starrocks.connector.kafka.transforms.TimeMillisToStringTransform",
        [],
        "Writes times of day as text.",
        starrocks::TimeToText::build
    ),
    &both_sides!(
        "io.confluent.connect.transforms.Drop",
        "Makes key or value null.",
        confluent::Drop::build
    ),
    &both_sides!(
        "io.confluent.connect.transforms.ExtractTopic",
        "Takes the topic's name from key or value.",
        confluent::ExtractTopic::build
    ),
    &one!(
        "io.confluent.connect.transforms.ExtractTopic$Header",
        [],
        "Takes the topic's name from a header.",
        confluent::ExtractTopic::build_header
    ),
    &one!(
        "io.confluent.connect.transforms.TombstoneHandler",
        ["io.aiven.kafka.connect.transforms.TombstoneHandler"],
        "Drops, reports or refuses records with a null value.",
        confluent::TombstoneHandler::build
    ),
    &one!(
        "io.confluent.connect.transforms.TopicRegexRouter",
        [],
        "Renames the topic by a pattern.",
        router::RegexRouter::build
    ),
    &one!(
        "io.confluent.connect.transforms.MessageTimestampRouter",
        [],
        "Adds a time inside the value to the topic's name.",
        confluent::MessageTimestampRouter::build
    ),
    &one!(
        "starsink.transforms.Explode",
        [],
        "Makes one row of each element of an array.",
        explode::Explode::build
    ),
    &one!(
        "starsink.transforms.CopyTo",
        [],
        "Sends the record to further topics, so to further tables.",
        explode::CopyTo::build
    ),
    &one!(
        "starsink.transforms.Metadata",
        [],
        "Adds topic, partition, offset, timestamp, key and headers as fields.",
        metadata::Metadata::build
    ),
];

/// Every known transform, one by one.
pub fn known() -> impl Iterator<Item = &'static Known> {
    TRANSFORMS.iter().flat_map(|group| group.iter())
}

/// One configured transform with its condition.
#[derive(Debug)]
struct Link {
    alias: String,
    class: String,
    condition: Option<(Predicate, bool)>,
    transform: Box<dyn Transform>,
}

/// The transforms of a configuration, in order. Empty: records pass as they are.
#[derive(Debug, Default)]
pub struct Chain {
    links: Vec<Link>,
    idle: Vec<Idle>,
}

impl Chain {
    /// Compiles `transforms`, `predicates` and what they name out of a whole configuration; the first
    /// problem, where there are several.
    pub fn compile(config: &Options) -> Result<Chain, Problem> {
        Chain::compile_all(config).map_err(|problems| {
            let (key, problem) = problems.into_iter().next().expect("a failure has a reason");
            problem.at(format!("`{key}`"))
        })
    }

    /// The same with every problem, each with the key it is about.
    pub fn compile_all(config: &Options) -> Result<Chain, Vec<(String, Problem)>> {
        let aliases = config.list("transforms");
        let mut links = Vec::with_capacity(aliases.len());
        let mut problems = vec![];
        let mut idle = Idle::aliases(config, "transforms");
        idle.extend(Idle::aliases(config, "predicates"));
        for (at, alias) in aliases.iter().enumerate() {
            if aliases[..at].contains(alias) {
                let what = format!("transform `{alias}` is named twice");
                problems.push(("transforms".into(), Problem::usage(what)));
                continue;
            }
            match link(config, alias, &mut idle) {
                Ok(link) => links.push(link),
                Err(problem) => problems.push(*problem),
            }
        }
        if problems.is_empty() { Ok(Chain { links, idle }) } else { Err(problems) }
    }

    /// Keys beside the transforms that change nothing: misspelt, or made idle by another.
    pub fn idle(&self) -> &[Idle] {
        &self.idle
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// What the chain looks into: parts of a record that it does not read need no converter.
    pub fn reads(&self) -> Reads {
        self.links.iter().fold(Reads::NOTHING, |all, link| all.and(link.reads()))
    }

    /// Whether records may leave under another topic than their own.
    pub fn routes(&self) -> bool {
        self.links.iter().any(|link| link.transform.routes())
    }

    /// Members of a Debezium envelope that no transform looks at before it becomes a row: a converter
    /// may leave them out.
    pub fn unused_in_envelopes(&self) -> &'static [&'static str] {
        for link in &self.links {
            let conditional = link.condition.is_some();
            match link.transform.envelope_use() {
                EnvelopeUse::RowsOnly if !conditional => return &["source", "transaction"],
                EnvelopeUse::Rows => {}
                EnvelopeUse::All if link.reads() == Reads::NOTHING => {}
                EnvelopeUse::RowsOnly | EnvelopeUse::All => return &[],
            }
        }
        &[]
    }

    /// Alias and class of each transform, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.links.iter().map(|link| (link.alias.as_str(), link.class.as_str()))
    }

    /// Alias and class of the first transform that looks into values.
    pub fn first_reader_of_values(&self) -> Option<(&str, &str)> {
        let reader = self.links.iter().find(|link| link.reads().value)?;
        Some((&reader.alias, &reader.class))
    }

    /// Applies every transform in turn. A drop ends the chain; after a split the remaining
    /// transforms see each record.
    pub fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Outcome<'a>, StageError> {
        apply_from(&mut self.links, record, &mut None)
    }

    /// As [`Chain::apply`]; `watch` sees the record after each transform that kept it.
    pub fn apply_watched<'a>(
        &mut self,
        record: &mut ConnectRecord<'a>,
        watch: &mut Watch<'_, 'a>,
    ) -> Result<Outcome<'a>, StageError> {
        apply_from(&mut self.links, record, &mut Some(watch))
    }
}

/// Called with a transform's alias and class and the record it made.
pub type Watch<'w, 'a> = dyn FnMut(&str, &str, &ConnectRecord<'a>) + 'w;

impl Link {
    fn reads(&self) -> Reads {
        let own = self.transform.reads();
        let side = match self.class.ends_with("$Key") {
            true if own.value => Reads { key: true, value: false, headers: own.headers },
            _ => own,
        };
        match &self.condition {
            Some((Predicate::HasHeaderKey(_), _)) => Reads { headers: true, ..side },
            Some((Predicate::TopicNameMatches(_) | Predicate::RecordIsTombstone, _)) | None => side,
        }
    }
}

fn apply_from<'a>(
    links: &mut [Link],
    record: &mut ConnectRecord<'a>,
    watch: &mut Option<&mut Watch<'_, 'a>>,
) -> Result<Outcome<'a>, StageError> {
    for at in 0..links.len() {
        let link = &mut links[at];
        if link
            .condition
            .as_ref()
            .is_some_and(|(predicate, negate)| predicate.test(record) == *negate)
        {
            continue;
        }
        let step = link.transform.apply(record).map_err(|failure| StageError {
            alias: link.alias.clone(),
            class: link.class.clone(),
            failure,
        })?;
        match step {
            Step::Keep => {
                if let Some(watch) = watch {
                    watch(&link.alias, &link.class, record);
                }
            }
            Step::Drop(why) => return Ok(Outcome::Drop(why)),
            Step::Split(records) => {
                if let Some(watch) = watch {
                    records.iter().for_each(|record| watch(&link.alias, &link.class, record));
                }
                return split(&mut links[at + 1..], records, watch);
            }
        }
    }
    Ok(Outcome::Keep)
}

fn split<'a>(
    links: &mut [Link],
    records: Vec<ConnectRecord<'a>>,
    watch: &mut Option<&mut Watch<'_, 'a>>,
) -> Result<Outcome<'a>, StageError> {
    let mut out = Vec::with_capacity(records.len());
    for mut record in records {
        match apply_from(links, &mut record, watch)? {
            Outcome::Keep => out.push(record),
            Outcome::Drop(_) => {}
            Outcome::Many(more) => out.extend(more),
        }
    }
    Ok(Outcome::Many(out))
}

fn link(
    config: &Options,
    alias: &str,
    idle: &mut Vec<Idle>,
) -> Result<Link, Box<(String, Problem)>> {
    let prefix = format!("transforms.{alias}.");
    let options = config.under(&prefix);
    let key = format!("{prefix}type");
    let Some(class) = options.string("type") else {
        let hint = format!("set `{key}` to the transform's Java class");
        let problem = Problem::usage(format!("transform `{alias}` has no class")).hint(hint);
        return Err(Box::new(("transforms".into(), problem)));
    };
    let Some(known) = find(class) else {
        let what = format!("transform `{alias}` is `{class}`, which this program does not have");
        return Err(Box::new((key, Problem::usage(what).hint(missing_hint(class)))));
    };
    let refused = |failure: Failure| {
        let what = format!("transform `{alias}` ({class}) cannot be configured");
        // Kafka's words name the option.
        let is_named = |name: &&str| failure.message.contains(&format!(" configuration {name}: "));
        let option = options.iter().map(|(name, _)| name).find(is_named);
        let key = option.map_or_else(|| key.clone(), |name| format!("{prefix}{name}"));
        Box::new((key, Problem::usage(what).cause(failure.message)))
    };
    let transform = (known.build)(&options).map_err(refused)?;
    let condition = match (options.string("predicate"), options.string("negate")) {
        (Some(name), negate) => {
            let predicate = Predicate::compile(config, name, idle).map_err(refused)?;
            // Parsed with Boolean.parseBoolean: anything but `true` is false.
            Some((predicate, negate.is_some_and(|text| text.eq_ignore_ascii_case("true"))))
        }
        (None, Some(_)) => {
            return Err(refused(Failure::config("`negate` needs a `predicate`")));
        }
        (None, None) => None,
    };
    idle.extend(Idle::options(&options, &prefix, known.class));
    // The full name, also where an alias was written: messages and dead letters carry it.
    Ok(Link { alias: alias.into(), class: known.class.into(), condition, transform })
}

/// By full class name, another name of the same class, or Connect's alias: the simple class name
/// where it is unique.
fn find(class: &str) -> Option<&'static Known> {
    let exact = known().find(|known| known.class == class || known.also.contains(&class));
    exact.or_else(|| {
        let simple = |known: &&Known| known.class.rsplit('.').next() == Some(class);
        let mut found = known().filter(simple);
        found.next().filter(|_| !class.contains('$') && found.next().is_none())
    })
}

/// What to say about a class we do not have: scripts, a forgotten side, or the list.
fn missing_hint(class: &str) -> String {
    let side = |known: &Known| known.class.strip_suffix("$Value") == Some(class);
    if let Some(known) = known().find(|known| side(known)) {
        let name = known.class.trim_end_matches("$Value");
        return format!("write `{name}$Value` or `{name}$Key`");
    }
    match class {
        "io.debezium.transforms.Filter" | "io.debezium.transforms.ContentBasedRouter" => {
            "its condition is a script for the JVM; use Connect's Filter with a predicate, or \
             RegexRouter"
                .into()
        }
        _ => "`starsink map --list transforms` shows the ones it has".into(),
    }
}

/// A missing or misused option, in Kafka's words.
fn refuse<T>(exception: Exception, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(exception, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(pairs: &[(&str, &str)]) -> Result<Chain, Problem> {
        Chain::compile(&pairs.iter().copied().collect())
    }

    #[test]
    fn class_names_are_unique() {
        let mut names: Vec<_> = known().flat_map(|k| k.also.iter().chain([&k.class])).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn an_unknown_class_is_refused_by_name() {
        let problem = compile(&[("transforms", "m"), ("transforms.m.type", "com.acme.MaskPan")])
            .expect_err("unknown");
        assert_eq!(
            problem.what,
            "transform `m` is `com.acme.MaskPan`, which this program does not have"
        );
        assert_eq!(problem.hints, ["`starsink map --list transforms` shows the ones it has"]);
        let problem = compile(&[
            ("transforms", "m"),
            ("transforms.m.type", "org.apache.kafka.connect.transforms.Cast"),
        ])
        .expect_err("no side");
        assert!(problem.hints[0].contains("Cast$Value"), "{:?}", problem.hints);
    }

    #[test]
    fn a_chain_says_which_parts_of_a_record_it_reads() {
        let reads = |class: &str, more: &[(&str, &str)]| {
            let mut pairs = vec![("transforms", "a"), ("transforms.a.type", class)];
            pairs.extend(more);
            compile(&pairs).expect("compiles").reads()
        };
        let regex = [("transforms.a.regex", "a"), ("transforms.a.replacement", "b")];
        assert_eq!(reads("RegexRouter", &regex), Reads::NOTHING);
        let key = reads(
            "org.apache.kafka.connect.transforms.HoistField$Key",
            &[("transforms.a.field", "k")],
        );
        assert_eq!(key, Reads { key: true, ..Reads::NOTHING });
        let header = [
            ("transforms.a.predicate", "h"),
            ("predicates", "h"),
            ("predicates.h.type", "HasHeaderKey"),
            ("predicates.h.name", "x"),
        ];
        assert_eq!(reads("Filter", &header), Reads { headers: true, ..Reads::NOTHING });
        assert_eq!(reads("io.debezium.transforms.ExtractNewRecordState", &[]), Reads::VALUE);
        let metadata = [("transforms.a.key.field", "k"), ("transforms.a.headers.field", "h")];
        let all = Reads { key: true, value: true, headers: true };
        assert_eq!(reads("starsink.transforms.Metadata", &metadata), all);
    }

    #[test]
    fn a_chain_says_whether_it_chooses_the_topic() {
        let routes = |class: &str, more: &[(&str, &str)]| {
            let mut pairs = vec![("transforms", "a"), ("transforms.a.type", class)];
            pairs.extend(more);
            compile(&pairs).expect("compiles").routes()
        };
        let regex = [("transforms.a.regex", "a"), ("transforms.a.replacement", "b")];
        assert!(routes("RegexRouter", &regex));
        assert!(routes("starsink.transforms.CopyTo", &[("transforms.a.topics", "x")]));
        assert!(routes("org.apache.kafka.connect.transforms.TimestampRouter", &[]));
        let field = [("transforms.a.field", "t")];
        assert!(routes("io.confluent.connect.transforms.ExtractTopic$Value", &field));
        assert!(!routes("org.apache.kafka.connect.transforms.HoistField$Value", &field));
        let unwrap = "io.debezium.transforms.ExtractNewRecordState";
        assert!(!routes(unwrap, &[]));
        assert!(routes(unwrap, &[("transforms.a.route.by.field", "t")]));
    }

    #[test]
    fn envelopes_are_needed_whole_unless_they_become_rows_first() {
        let add = "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord";
        let unused = |first: &str, more: &[(&str, &str)]| {
            let mut pairs = vec![
                ("transforms", "a,u"),
                ("transforms.a.type", first),
                ("transforms.u.type", "io.debezium.transforms.ExtractNewRecordState"),
            ];
            pairs.extend(more);
            compile(&pairs).expect("compiles").unused_in_envelopes().len()
        };
        assert_eq!(unused(add, &[]), 2);
        assert_eq!(unused(add, &[("transforms.u.add.fields", "lsn")]), 0);
        let delimiter = ("transforms.a.delimiter", "_");
        assert_eq!(unused("org.apache.kafka.connect.transforms.Flatten$Value", &[delimiter]), 0);
        assert_eq!(compile(&[]).expect("compiles").unused_in_envelopes().len(), 0);
    }

    #[test]
    fn an_alias_is_the_simple_name_where_it_is_unique() {
        assert!(find("RegexRouter").is_some());
        assert!(find("InsertField$Value").is_none());
        assert!(find("Value").is_none());
    }

    #[test]
    fn negate_without_predicate_and_repeated_aliases_are_refused() {
        let filter = ("transforms.f.type", "Filter");
        assert!(compile(&[("transforms", "f"), filter]).is_ok());
        assert!(compile(&[("transforms", "f"), filter, ("transforms.f.negate", "true")]).is_err());
        assert!(compile(&[("transforms", "f,f"), filter]).is_err());
        assert!(compile(&[("transforms", "f"), filter, ("transforms.f.predicate", "p")]).is_err());
    }
}
