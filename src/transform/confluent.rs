//! Confluent's transforms that sinks are combined with, from their documentation.

use std::sync::Arc;

use super::date_format::DateFormat;
use super::router::TimestampRouter;
use super::{Reads, Side, Step, Transform, Why, refuse};
use crate::data::options::Options;
use crate::data::{ConnectRecord, Datum, Exception, Failure, PlanCache, Schema, Value};

/// Drop$Key, Drop$Value: the side becomes null.
#[derive(Debug)]
pub struct Drop {
    side: Side,
    behaviour: SchemaBehaviour,
    plans: PlanCache<Schema>,
}

/// What becomes of the schema (`schema.behavior`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SchemaBehaviour {
    Nullify,
    Retain,
    ForceOptional,
}

impl Drop {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let choices = [
            ("nullify", SchemaBehaviour::Nullify),
            ("retain", SchemaBehaviour::Retain),
            ("force_optional", SchemaBehaviour::ForceOptional),
        ];
        let behaviour = options.choice("schema.behavior", &choices, SchemaBehaviour::Nullify)?;
        Ok(Drop { side, behaviour, plans: PlanCache::default() })
    }
}

impl Transform for Drop {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let value = self.side.of(record);
        let schema = match (self.behaviour, value.schema.take()) {
            (SchemaBehaviour::Nullify, _) | (_, None) => None,
            (SchemaBehaviour::Retain, Some(schema)) => Some(schema),
            (SchemaBehaviour::ForceOptional, Some(schema)) => {
                let out = self.plans.get(&schema, |schema| {
                    let mut def = schema.to_def();
                    def.optional = true;
                    Ok(def.build())
                })?;
                Some(out.clone())
            }
        };
        *value = Value { schema, datum: Datum::Null };
        Ok(Step::Keep)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// Where ExtractTopic looks.
#[derive(Debug)]
enum From {
    /// The whole side, or a path into it.
    Field(Side, Vec<String>),
    Header(String),
}

/// ExtractTopic: the topic out of a field or a header.
#[derive(Debug)]
pub struct ExtractTopic {
    from: From,
    skip_missing: bool,
}

impl ExtractTopic {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let path = options.string("field").unwrap_or_default();
        let steps = match options.string("field.format").unwrap_or("PLAIN") {
            _ if path.is_empty() => vec![],
            format if format.eq_ignore_ascii_case("PLAIN") => vec![path.to_string()],
            format if format.eq_ignore_ascii_case("JSON_PATH") => json_path(path)?,
            other => {
                return Err(Failure::option("field.format", other, "must be PLAIN or JSON_PATH"));
            }
        };
        let skip_missing = options.boolean("skip.missing.or.null", false)?;
        Ok(ExtractTopic { from: From::Field(side, steps), skip_missing })
    }

    pub fn build_header(options: &Options) -> Result<Self, Failure> {
        let name = options.required_text("field")?.to_string();
        let skip_missing = options.boolean("skip.missing.or.null", false)?;
        Ok(ExtractTopic { from: From::Header(name), skip_missing })
    }
}

/// The plain form `$.a.b` or `$["a"]["b"]`; filters and wildcards are refused.
fn json_path(path: &str) -> Result<Vec<String>, Failure> {
    let refused = || Failure::option("field", path, "only paths like $.a.b or $[\"a\"] are read");
    let mut rest = path.strip_prefix('$').ok_or_else(refused)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, behind) = if let Some(quoted) = rest.strip_prefix("[\"") {
            quoted.split_once("\"]").ok_or_else(refused)?
        } else if let Some(quoted) = rest.strip_prefix("['") {
            quoted.split_once("']").ok_or_else(refused)?
        } else {
            let name = rest.strip_prefix('.').ok_or_else(refused)?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            name.split_at(end)
        };
        if step.is_empty() || step.contains(['*', '?', '(']) {
            return Err(refused());
        }
        steps.push(step.to_string());
        rest = behind;
    }
    Ok(steps)
}

/// The value at a path; `None` where a step is missing.
fn lookup<'v, 'a>(value: &'v Value<'a>, steps: &[String]) -> Option<&'v Datum<'a>> {
    let mut schema = value.schema.as_ref();
    let mut datum = &value.datum;
    for step in steps {
        match (datum, schema) {
            (Datum::Struct(values), Some(of)) => {
                let at = of.field_at(step)?;
                datum = &values[at];
                schema = Some(&of.fields[at].schema);
            }
            (Datum::Map(_), of) => {
                datum = datum.member(step)?;
                schema = of.and_then(|of| of.items.as_ref());
            }
            _ => return None,
        }
    }
    Some(datum)
}

impl Transform for ExtractTopic {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let found = match &self.from {
            From::Field(Side::Key, steps) => lookup(&record.key, steps),
            From::Field(Side::Value, steps) => lookup(&record.value, steps),
            From::Header(name) => {
                let header = record.headers.iter().rev().find(|header| header.name == *name);
                header.map(|header| &header.value.datum)
            }
        };
        match found {
            Some(Datum::String(name)) if !name.is_empty() => {
                record.topic = (&**name).into();
                Ok(Step::Keep)
            }
            None | Some(Datum::Null) if self.skip_missing => Ok(Step::Keep),
            None | Some(Datum::Null) => {
                refuse(Exception::Data, "the topic's field is null or missing")
            }
            Some(other) => refuse(
                Exception::Data,
                format!("the topic's field is no text but a {}", other.java_class()),
            ),
        }
    }

    fn routes(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        let header = matches!(self.from, From::Header(_));
        Reads { key: false, value: !header, headers: header }
    }
}

/// What TombstoneHandler does (`behavior`); warnings are the reports' affair.
#[derive(Debug)]
pub struct TombstoneHandler {
    behaviour: OnTombstone,
}

#[derive(Debug, Clone, Copy)]
enum OnTombstone {
    Drop,
    Pass,
    Fail,
}

impl TombstoneHandler {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let choices = [
            ("drop_silent", OnTombstone::Drop),
            ("drop_warn", OnTombstone::Drop),
            ("ignore", OnTombstone::Pass),
            ("warn", OnTombstone::Pass),
            ("fail", OnTombstone::Fail),
        ];
        Ok(TombstoneHandler { behaviour: options.choice("behavior", &choices, OnTombstone::Drop)? })
    }
}

impl Transform for TombstoneHandler {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        match self.behaviour {
            _ if !record.value.datum.is_null() => Ok(Step::Keep),
            OnTombstone::Drop => Ok(Step::Drop(Why::Tombstone)),
            OnTombstone::Pass => Ok(Step::Keep),
            OnTombstone::Fail => refuse(Exception::Data, "Tombstone record encountered"),
        }
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// MessageTimestampRouter: the topic with a time out of the value.
#[derive(Debug)]
pub struct MessageTimestampRouter {
    router: TimestampRouter,
    format: DateFormat,
    /// Tried in order; the first that is there counts.
    fields: Vec<String>,
}

impl MessageTimestampRouter {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let pairs = [
            ("topic.format", options.string("topic.format")),
            ("timestamp.format", options.string("topic.timestamp.format")),
        ];
        let routing: Options =
            pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let pattern =
            options.string("message.timestamp.format").unwrap_or("yyyy-MM-dd'T'HH:mm:ss.SSSXXX");
        Ok(MessageTimestampRouter {
            router: TimestampRouter::build(&routing)?,
            format: DateFormat::compile(pattern)?,
            fields: options.required_list("message.timestamp.keys")?,
        })
    }
}

impl Transform for MessageTimestampRouter {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let found = self.fields.iter().find_map(|field| {
            let steps: Vec<String> = field.split('.').map(Into::into).collect();
            lookup(&record.value, &steps).filter(|datum| !datum.is_null())
        });
        let millis = match found {
            Some(Datum::Int64(millis) | Datum::Instant(millis)) => Some(*millis),
            Some(Datum::String(text)) => self.format.parse(text),
            _ => None,
        };
        let Some(millis) = millis else {
            let fields = self.fields.join(", ");
            return refuse(Exception::Data, format!("no time in any of the fields {fields}"));
        };
        let topic: Arc<str> = self.router.route(&record.topic, millis);
        record.topic = topic;
        Ok(Step::Keep)
    }

    fn routes(&self) -> bool {
        true
    }
}
