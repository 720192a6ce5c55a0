//! Transforms that decide where a record goes, or that it goes nowhere.

use std::sync::Arc;

use super::date_format::DateFormat;
use super::{Reads, Step, Transform, Why};
use crate::data::options::Options;
use crate::data::{ConnectRecord, Exception, Failure};
use crate::java_regex::JavaRegex;

/// Drops every record it sees; useful with a predicate.
#[derive(Debug)]
pub struct Filter;

impl Filter {
    pub fn build(_: &Options) -> Result<Self, Failure> {
        Ok(Filter)
    }
}

impl Transform for Filter {
    fn apply<'a>(&mut self, _: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        Ok(Step::Drop(Why::Filtered))
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// Renames the topic where the whole name matches; replaces the first match, which may be shorter.
#[derive(Debug)]
pub struct RegexRouter {
    regex: JavaRegex,
    replacement: String,
    last: Option<(Arc<str>, Arc<str>)>,
}

impl RegexRouter {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let pattern = options.required("regex")?;
        let regex = JavaRegex::compile(pattern)
            .map_err(|failure| Failure::option("regex", pattern, &failure.message))?;
        let replacement = options.required("replacement")?.to_string();
        Ok(RegexRouter { regex, replacement, last: None })
    }
}

impl Transform for RegexRouter {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        if let Some((from, to)) = &self.last
            && *from == record.topic
        {
            record.topic = to.clone();
            return Ok(Step::Keep);
        }
        let to = if self.regex.is_full_match(&record.topic) {
            self.regex.replace_first(&record.topic, &self.replacement)?.into()
        } else {
            record.topic.clone()
        };
        let from = std::mem::replace(&mut record.topic, to);
        self.last = Some((from, record.topic.clone()));
        Ok(Step::Keep)
    }

    fn routes(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// Adds the record's time to the topic.
#[derive(Debug)]
pub struct TimestampRouter {
    topic_format: String,
    timestamp_format: DateFormat,
}

impl TimestampRouter {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let pattern = options.string("timestamp.format").unwrap_or("yyyyMMdd");
        let topic_format = options.string("topic.format").unwrap_or("${topic}-${timestamp}");
        Ok(TimestampRouter {
            topic_format: topic_format.to_string(),
            timestamp_format: DateFormat::compile(pattern)?,
        })
    }

    pub(super) fn route(&self, topic: &str, millis: i64) -> Arc<str> {
        let time = self.timestamp_format.format(millis);
        self.topic_format.replace("${topic}", topic).replace("${timestamp}", &time).into()
    }
}

impl Transform for TimestampRouter {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let Some(millis) = record.timestamp else {
            let why = format!("Timestamp missing on record: {}@{}", record.topic, record.offset);
            return super::refuse(Exception::Data, why);
        };
        record.topic = self.route(&record.topic, millis);
        Ok(Step::Keep)
    }

    fn routes(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}
