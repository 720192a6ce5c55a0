//! The Java connector's own two transforms.

use super::debezium::{Shape, shape};
use super::side::struct_of;
use super::{EnvelopeUse, Step, Transform};
use crate::data::options::Options;
use crate::data::time::MILLIS_PER_DAY;
use crate::data::{
    ConnectRecord, Datum, Failure, Logical, PlanCache, Schema, SchemaDef, Type, put_member,
};

/// StarRocks' column for the operation: 0 upserts, 1 deletes.
const OP: &str = "__op";
const UPSERT: i32 = 0;
const DELETE: i32 = 1;

/// AddOpFieldForDebeziumRecord: `__op` into the row of a change event. Two repairs to the Java class:
/// snapshot rows (`r`) get it too, and nulls stay nulls instead of becoming defaults.
#[derive(Debug)]
pub struct AddOp {
    plans: PlanCache<Plan>,
}

/// The envelope's schema with the field in `before` and in `after`; made when first needed.
#[derive(Debug)]
struct Plan {
    op: usize,
    before: Option<(usize, Option<Schema>)>,
    after: Option<(usize, Option<Schema>)>,
}

impl AddOp {
    pub fn build(_: &Options) -> Result<Self, Failure> {
        Ok(AddOp { plans: PlanCache::default() })
    }

    fn typed(&mut self, record: &mut ConnectRecord<'_>) -> Result<(), Failure> {
        let Some(schema) = &record.value.schema else { return Ok(()) };
        let plan = self.plans.get(schema, |schema| {
            let row = |name: &str| {
                let at = schema.field_at(name)?;
                (schema.fields[at].schema.kind == Type::Struct).then_some((at, None))
            };
            let op = schema.field_at("op").expect("an envelope has an op");
            Ok(Plan { op, before: row("before"), after: row("after") })
        })?;
        let values = struct_of(&mut record.value.datum, "adding __op")?;
        let op = values[plan.op].as_str().map_or(Change::Other, Change::of);
        let (row, code) = match op {
            Change::Upsert => (&mut plan.after, UPSERT),
            Change::Delete => (&mut plan.before, DELETE),
            Change::Other => return Ok(()),
        };
        let Some((at, out)) = row else { return Ok(()) };
        let Datum::Struct(columns) = &mut values[*at] else { return Ok(()) };
        if out.is_none() {
            let mut row = schema.fields[*at].schema.to_def();
            row.add_field(OP, Schema::of(Type::Int32))?;
            row.default = None;
            let mut def = schema.to_def();
            def.fields[*at].schema = row.build();
            *out = Some(def.build());
        }
        columns.push(Datum::Int32(code));
        record.value.schema = out.clone();
        Ok(())
    }
}

/// What a change event does to its row.
enum Change {
    Upsert,
    Delete,
    /// Truncates, messages, anything new.
    Other,
}

impl Change {
    fn of(op: &str) -> Change {
        match op {
            "c" | "u" | "r" => Change::Upsert,
            "d" => Change::Delete,
            _ => Change::Other,
        }
    }
}

impl Transform for AddOp {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        match shape(&record.value) {
            Shape::Tombstone | Shape::Other => {}
            Shape::Typed => self.typed(record)?,
            Shape::Untyped => {
                let op = record.value.datum.member("op").and_then(Datum::as_str);
                let (name, code) = match op.map_or(Change::Other, Change::of) {
                    Change::Upsert => ("after", UPSERT),
                    Change::Delete => ("before", DELETE),
                    Change::Other => return Ok(Step::Keep),
                };
                if let Datum::Map(entries) = &mut record.value.datum
                    && let Some((_, Datum::Map(row))) =
                        entries.iter_mut().find(|(key, _)| key.as_str() == Some(name))
                {
                    put_member(row, OP, Datum::Int32(code));
                }
            }
        }
        Ok(Step::Keep)
    }

    fn envelope_use(&self) -> EnvelopeUse {
        EnvelopeUse::Rows
    }
}

/// TimeMillisToStringTransform: times of day as text.
#[derive(Debug)]
pub struct TimeToText {
    /// Empty: every field of Kafka's Time.
    fields: Vec<String>,
    with_millis: bool,
    plans: PlanCache<(Schema, Vec<usize>)>,
}

impl TimeToText {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        // The Java class takes any other text for the first; a typing error is better refused.
        let with_millis = match options.string("format") {
            None | Some("" | "HH:mm:ss") => false,
            Some("HH:mm:ss.SSS") => true,
            Some(other) => {
                let why = "must be HH:mm:ss or HH:mm:ss.SSS";
                return Err(Failure::option("format", other, why));
            }
        };
        let fields = options.list("fields").into_iter().filter(|name| !name.is_empty()).collect();
        Ok(TimeToText { fields, with_millis, plans: PlanCache::default() })
    }
}

impl Transform for TimeToText {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let (Some(schema), Datum::Struct(values)) = (&record.value.schema, &mut record.value.datum)
        else {
            return Ok(Step::Keep);
        };
        let names = &self.fields;
        let (out, places) = self.plans.get(schema, |schema| {
            let mut def = schema.to_def();
            let mut places = Vec::new();
            for (at, field) in def.fields.iter_mut().enumerate() {
                let chosen = if names.is_empty() {
                    field.schema.logical() == Logical::Time
                } else {
                    names.iter().any(|name| **name == *field.name)
                };
                if chosen {
                    let mut text = SchemaDef::new(Type::String);
                    text.optional = field.schema.optional;
                    field.schema = text.build();
                    places.push(at);
                }
            }
            Ok((def.build(), places))
        })?;
        for &at in places.iter() {
            let old = &schema.fields[at].schema;
            values[at] = match &values[at] {
                Datum::Null => Datum::Null,
                Datum::Int64(millis) if old.logical() == Logical::Timestamp => {
                    clock(millis.rem_euclid(MILLIS_PER_DAY), self.with_millis)
                }
                Datum::Int32(_) if old.logical() == Logical::Date => clock(0, self.with_millis),
                Datum::Int8(millis) => clock((*millis).into(), self.with_millis),
                Datum::Int16(millis) => clock((*millis).into(), self.with_millis),
                Datum::Int32(millis) => clock((*millis).into(), self.with_millis),
                Datum::Int64(millis) => clock(*millis, self.with_millis),
                other => super::cast::cast(Some(old), other.clone(), Type::String)?,
            };
        }
        record.value.schema = Some(out.clone());
        Ok(Step::Keep)
    }
}

/// Milliseconds as hours, minutes, seconds; a negative count has a sign, hours may exceed 23.
fn clock<'a>(millis: i64, with_millis: bool) -> Datum<'a> {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    let (seconds, fraction) = (millis / 1_000, millis % 1_000);
    let clock =
        format!("{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Datum::text(if with_millis { format!("{clock}.{fraction:03}") } else { clock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_written_with_and_without_milliseconds() {
        assert_eq!(clock(64_957_123, false), Datum::text("18:02:37"));
        assert_eq!(clock(64_957_123, true), Datum::text("18:02:37.123"));
        assert_eq!(clock(-3_661_001, true), Datum::text("-01:01:01.001"));
        assert_eq!(clock(90_000_000, false), Datum::text("25:00:00"));
    }
}
