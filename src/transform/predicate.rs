//! Predicates: when a transform runs. They see the record as changed so far.

use crate::data::options::Options;
use crate::data::{ConnectRecord, Failure};
use crate::java_regex::JavaRegex;
use crate::transform::Idle;

/// A configured predicate.
#[derive(Debug)]
pub enum Predicate {
    /// The whole topic name matches.
    TopicNameMatches(JavaRegex),
    HasHeaderKey(String),
    /// The value is null, whatever its schema.
    RecordIsTombstone,
}

type Build = fn(&Options) -> Result<Predicate, Failure>;

/// Every known predicate by its Java class.
pub const PREDICATES: &[(&str, Build)] = &[
    ("org.apache.kafka.connect.transforms.predicates.TopicNameMatches", |options| {
        let pattern = options.required_text("pattern")?;
        let regex = JavaRegex::compile(pattern).map_err(|failure| {
            Failure::option("pattern", pattern, &format!("entry must be a Java regex: {failure}"))
        })?;
        Ok(Predicate::TopicNameMatches(regex))
    }),
    ("org.apache.kafka.connect.transforms.predicates.HasHeaderKey", |options| {
        Ok(Predicate::HasHeaderKey(options.required_text("name")?.to_string()))
    }),
    ("org.apache.kafka.connect.transforms.predicates.RecordIsTombstone", |_| {
        Ok(Predicate::RecordIsTombstone)
    }),
];

impl Predicate {
    /// The predicate of that alias out of a whole configuration; options that it does not know go to
    /// `idle`.
    pub fn compile(
        config: &Options,
        alias: &str,
        idle: &mut Vec<Idle>,
    ) -> Result<Predicate, Failure> {
        if !config.list("predicates").iter().any(|known| known == alias) {
            let why = format!("predicate `{alias}` is not listed in `predicates`");
            return Err(Failure::option("predicate", alias, &why));
        }
        let prefix = format!("predicates.{alias}.");
        let options = config.under(&prefix);
        let class = options.required("type")?;
        let simple = |full: &str| full.rsplit('.').next() == Some(class);
        match PREDICATES.iter().find(|(known, _)| *known == class || simple(known)) {
            Some((class, build)) => {
                let predicate = build(&options)?;
                idle.extend(Idle::options(&options, &prefix, class));
                Ok(predicate)
            }
            None => Err(Failure::config(format!(
                "predicate `{alias}` is `{class}`, which this program does not have"
            ))),
        }
    }

    pub fn test(&self, record: &ConnectRecord<'_>) -> bool {
        match self {
            Predicate::TopicNameMatches(regex) => regex.is_full_match(&record.topic),
            Predicate::HasHeaderKey(name) => record.headers.iter().any(|h| h.name == *name),
            Predicate::RecordIsTombstone => record.value.datum.is_null(),
        }
    }
}
