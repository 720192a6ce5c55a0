//! TimestampConverter: one field, or a whole side, between text, epoch numbers and time types.
//! Everything passes through milliseconds, as in Java.

use super::date_format::DateFormat;
use super::side::{fill_defaults, map_of, struct_of};
use super::{Side, Step, Transform, refuse};
use crate::data::options::Options;
use crate::data::schema::{DATE, TIME, TIMESTAMP};
use crate::data::time::MILLIS_PER_DAY;
use crate::data::{
    ConnectRecord, Datum, Exception, Failure, Logical, PlanCache, Schema, SchemaDef, Type, Value,
};

/// What a time is, or shall become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

/// Units of `unix.precision`: how many a millisecond has, or how many milliseconds one has.
#[derive(Debug, Clone, Copy)]
enum Precision {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

#[derive(Debug)]
pub struct TimestampConverter {
    side: Side,
    /// Empty: the whole side.
    field: String,
    target: Form,
    format: Option<(String, DateFormat)>,
    precision: Precision,
    replace_null: bool,
    plans: PlanCache<Plan>,
}

#[derive(Debug)]
struct Plan {
    out: Schema,
    /// Where the field stands, and what it is; `None`: the struct has no such field.
    cast: Option<(usize, Form)>,
}

impl TimestampConverter {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let target = match options.required("target.type")? {
            "string" => Form::Text,
            "unix" => Form::Unix,
            "Date" => Form::Date,
            "Time" => Form::Time,
            "Timestamp" => Form::Timestamp,
            other => {
                let why = "String must be one of: string, unix, Date, Time, Timestamp";
                return Err(Failure::option("target.type", other, why));
            }
        };
        let precision = match options.string("unix.precision").unwrap_or("milliseconds") {
            "seconds" => Precision::Seconds,
            "milliseconds" => Precision::Millis,
            "microseconds" => Precision::Micros,
            "nanoseconds" => Precision::Nanos,
            other => {
                let why = "String must be one of: nanoseconds, microseconds, milliseconds, seconds";
                return Err(Failure::option("unix.precision", other, why));
            }
        };
        let pattern = options.string("format").filter(|pattern| !pattern.is_empty());
        if pattern.is_none() && target == Form::Text {
            return Err(Failure::config(
                "TimestampConverter requires format option to be specified when using string \
                 timestamps",
            ));
        }
        let format = match pattern {
            None => None,
            Some(pattern) => {
                let compiled = DateFormat::compile(pattern).map_err(|failure| {
                    let why = "TimestampConverter requires a SimpleDateFormat-compatible pattern";
                    Failure::config(format!("{why}: {pattern}: {failure}"))
                })?;
                Some((pattern.to_string(), compiled))
            }
        };
        Ok(TimestampConverter {
            side,
            field: options.string("field").unwrap_or_default().to_string(),
            target,
            format,
            precision,
            replace_null: options.boolean("replace.null.with.default", true)?,
            plans: PlanCache::default(),
        })
    }
}

/// The settings that one conversion needs.
struct Settings<'s> {
    target: Form,
    format: Option<&'s (String, DateFormat)>,
    precision: Precision,
}

impl Settings<'_> {
    /// One value; `under_schema` decides how times are held (see [`Datum::Instant`]).
    fn convert<'a>(
        &self,
        datum: &Datum<'a>,
        from: Form,
        under_schema: bool,
    ) -> Result<Datum<'a>, Failure> {
        if datum.is_null() {
            return Ok(Datum::Null);
        }
        let millis = self.millis(datum, from)?;
        let day = millis.div_euclid(MILLIS_PER_DAY);
        let time = millis.rem_euclid(MILLIS_PER_DAY);
        let far = || Failure::data(format!("the date of {millis} ms is too far for a Date"));
        let int32 = |value: i64| i32::try_from(value).map(Datum::Int32).map_err(|_| far());
        match (self.target, under_schema) {
            (Form::Text, _) => match self.format {
                Some((_, format)) => Ok(Datum::text(format.format(millis))),
                None => refuse(Exception::Config, "the option `format` is missing"),
            },
            (Form::Unix, _) => self.unix(millis),
            (Form::Date, true) => int32(day),
            // The first day that int64 reaches into begins before it.
            (Form::Date, false) => {
                day.checked_mul(MILLIS_PER_DAY).map(Datum::Instant).ok_or_else(far)
            }
            (Form::Time, true) => int32(time),
            (Form::Time, false) => Ok(Datum::Instant(time)),
            (Form::Timestamp, true) => Ok(Datum::Int64(millis)),
            (Form::Timestamp, false) => Ok(Datum::Instant(millis)),
        }
    }

    fn unix<'a>(&self, millis: i64) -> Result<Datum<'a>, Failure> {
        let count = match self.precision {
            Precision::Seconds => Some(millis / 1_000),
            Precision::Millis => Some(millis),
            Precision::Micros => millis.checked_mul(1_000),
            Precision::Nanos => millis.checked_mul(1_000_000),
        };
        let far = || Failure::data(format!("{millis} ms is too far for this unix.precision"));
        count.map(Datum::Int64).ok_or_else(far)
    }

    fn millis(&self, datum: &Datum<'_>, from: Form) -> Result<i64, Failure> {
        match (from, datum) {
            (Form::Text, Datum::String(text)) => {
                let Some((pattern, format)) = self.format else {
                    return refuse(
                        Exception::NullPointer,
                        "text cannot be read as a time without the option `format`",
                    );
                };
                format.parse(text).ok_or_else(|| {
                    Failure::data(format!(
                        "Could not parse timestamp: value ({text}) does not match pattern \
                         ({pattern})"
                    ))
                })
            }
            (Form::Unix, Datum::Int64(count)) => match self.precision {
                Precision::Seconds => count.checked_mul(1_000).ok_or_else(|| {
                    Failure::data(format!("{count} seconds do not fit into milliseconds"))
                }),
                Precision::Millis => Ok(*count),
                Precision::Micros => Ok(count / 1_000),
                Precision::Nanos => Ok(count / 1_000_000),
            },
            (Form::Date, Datum::Int32(days)) => Ok(i64::from(*days) * MILLIS_PER_DAY),
            (Form::Time, Datum::Int32(millis)) => Ok(i64::from(*millis)),
            (Form::Timestamp, Datum::Int64(millis) | Datum::Instant(millis)) => Ok(*millis),
            (_, other) => refuse(
                Exception::Data,
                format!("Expected a time, but found a {}", other.java_class()),
            ),
        }
    }
}

/// What a schema says its values are.
fn form_of(schema: &Schema) -> Result<Form, Failure> {
    match (schema.logical(), schema.kind) {
        (Logical::Timestamp, _) => Ok(Form::Timestamp),
        (Logical::Date, _) => Ok(Form::Date),
        (Logical::Time, _) => Ok(Form::Time),
        (_, Type::String) => Ok(Form::Text),
        (_, Type::Int64) => Ok(Form::Unix),
        (_, kind) => refuse(
            Exception::Connect,
            format!(
                "Schema of type {} does not correspond to a known timestamp type format",
                schema.name.as_deref().unwrap_or(kind.name())
            ),
        ),
    }
}

/// What a value without schema is.
fn form_of_value(datum: &Datum<'_>) -> Result<Form, Failure> {
    match datum {
        // A null becomes a null whatever it is taken for.
        Datum::Null | Datum::Int64(_) => Ok(Form::Unix),
        Datum::String(_) => Ok(Form::Text),
        Datum::Instant(_) => Ok(Form::Timestamp),
        other => refuse(
            Exception::Data,
            format!(
                "TimestampConverter does not support {} objects as timestamps",
                other.java_class()
            ),
        ),
    }
}

fn target_schema(target: Form, optional: bool) -> Schema {
    let mut def = match target {
        Form::Text => SchemaDef::new(Type::String),
        Form::Unix => SchemaDef::new(Type::Int64),
        Form::Date => SchemaDef::new(Type::Int32).named(DATE, 1),
        Form::Time => SchemaDef::new(Type::Int32).named(TIME, 1),
        Form::Timestamp => SchemaDef::new(Type::Int64).named(TIMESTAMP, 1),
    };
    def.optional = optional;
    def.build()
}

fn plan(field: &str, target: Form, schema: &Schema) -> Result<Plan, Failure> {
    if field.is_empty() {
        let out = target_schema(target, schema.optional);
        return Ok(Plan { out, cast: Some((0, form_of(schema)?)) });
    }
    let Some(at) = schema.field_at(field) else {
        return Ok(Plan { out: schema.clone(), cast: None });
    };
    let mut def = schema.to_def();
    let old = &schema.fields[at].schema;
    def.fields[at].schema = target_schema(target, old.optional);
    Ok(Plan { cast: Some((at, form_of(old)?)), out: def.build() })
}

impl Transform for TimestampConverter {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        const PURPOSE: &str = "converting timestamp formats";
        let settings = Settings {
            target: self.target,
            format: self.format.as_ref(),
            precision: self.precision,
        };
        let value = self.side.of(record);
        let (field, target) = (&self.field, self.target);
        if value.datum.is_null() {
            // A null stays one, under the schema its kin get if there is one.
            if let Some(schema) = &value.schema
                && let Ok(plan) = self.plans.get(schema, |schema| plan(field, target, schema))
            {
                value.schema = Some(plan.out.clone());
            }
            return Ok(Step::Keep);
        }
        let Some(schema) = &value.schema else {
            if self.field.is_empty() {
                let form = form_of_value(&value.datum)?;
                *value = Value::schemaless(settings.convert(&value.datum, form, false)?);
                return Ok(Step::Keep);
            }
            let entries = map_of(&mut value.datum, PURPOSE)?;
            match entries.iter_mut().find(|(key, _)| key.as_str() == Some(&self.field)) {
                Some((_, datum)) => {
                    *datum = settings.convert(datum, form_of_value(datum)?, false)?;
                }
                None => entries.push((Datum::text(self.field.clone()), Datum::Null)),
            }
            return Ok(Step::Keep);
        };
        let plan = self.plans.get(schema, |schema| plan(field, target, schema))?;
        if self.field.is_empty() {
            let (_, form) = plan.cast.expect("a whole side is always converted");
            value.datum = settings.convert(&value.datum, form, true)?;
        } else {
            let values = struct_of(&mut value.datum, PURPOSE)?;
            if self.replace_null {
                fill_defaults(values, schema);
            }
            if let Some((at, form)) = plan.cast {
                values[at] = settings.convert(&values[at], form, true)?;
            }
        }
        value.schema = Some(plan.out.clone());
        Ok(Step::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_begins_before_int64_does_is_refused() {
        let settings = Settings { target: Form::Date, format: None, precision: Precision::Millis };
        let day = |millis| settings.convert(&Datum::Int64(millis), Form::Unix, false);
        assert_eq!(day(-1), Ok(Datum::Instant(-MILLIS_PER_DAY)));
        let refusal = day(i64::MIN).expect_err("no such day");
        assert!(refusal.message.contains("is too far for a Date"), "{refusal}");
        assert!(day(i64::MAX).is_ok());
    }
}
