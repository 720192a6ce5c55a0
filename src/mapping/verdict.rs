//! How a record's fields meet a table's columns, one line each: for people who ask before they load.
//! Judges by the same rules that rows are written by; writes none.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::config::job::Body;
use crate::data::{Datum, Logical, Schema, Value, json_text};
use crate::mapping::cell::{self, Form, Misfit};
use crate::mapping::columns::{Column, ColumnType};
use crate::mapping::layout::{Layout, OP};
use crate::mapping::plan::RowWriter;
use crate::mapping::readable::{self, Unread};

/// One field, one column, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldLine {
    /// As the record has it after the transforms.
    pub field: Option<String>,
    /// The field's type: the schema's where there is one, else what the value is.
    pub field_type: Option<String>,
    pub column: Option<Column>,
    /// As it would be sent, cut short; `None` without a field.
    pub sample: Option<String>,
    pub verdict: Verdict,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    /// It is loaded, but not as somebody may expect.
    Doubtful(Doubt),
    /// The record is refused.
    Misfit(Misfit),
    /// Sent, and dropped by StarRocks: no column has this name.
    NoColumn,
    /// The column becomes NULL.
    NoField,
    /// The column takes no NULL: every such record is refused.
    NoFieldRefused,
    /// Numbered or computed by StarRocks.
    MadeByServer,
    /// It says what becomes of the row and is no column.
    Operation,
    /// The columns are not known.
    Unknown,
}

/// What becomes of a value that is sent, or of one that is not, where that is not what stands in the
/// record. Holds no value: safe to print where values are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// No field feeds a column that takes no NULL.
    Unfed,
    /// Where StarRocks alone looks at it: NULL, or rounded.
    Unread(Unread),
    TimeOfDay,
    Nanoseconds,
    /// NaN or Infinity in a FLOAT or DOUBLE.
    NotFinite,
    Base64,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Unfed => f.write_str("no field feeds it: NULL, which it does not take"),
            Doubt::Unread(Unread::Finer(scale)) => {
                write!(f, "it is rounded to {scale} digits after the point")
            }
            Doubt::Unread(Unread::EpochNumber) => f.write_str(
                "an epoch number: StarRocks makes it NULL; TimestampConverter makes it a time",
            ),
            Doubt::Unread(unread) => write!(f, "{unread}: StarRocks makes it NULL"),
            Doubt::TimeOfDay => f.write_str("the time of day is dropped"),
            Doubt::Nanoseconds => f.write_str("nanoseconds are cut to microseconds"),
            Doubt::NotFinite => {
                f.write_str("no finite number, which few clients of StarRocks read")
            }
            Doubt::Base64 => f.write_str("bytes are loaded as base64 text"),
        }
    }
}

/// How a value gets to StarRocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub form: Form,
    /// Nothing here looks at it, or `strict_mode=false` lets all pass: StarRocks alone decides.
    pub unseen: bool,
    /// StarRocks rejects what it would make NULL otherwise.
    pub strict: bool,
}

impl Sent {
    /// `copied`: the rows are not made here.
    pub fn of(layout: &Layout, copied: bool) -> Sent {
        let form = match layout.body {
            Body::Json => Form::Json,
            Body::Csv { .. } => Form::Csv,
        };
        Sent { form, unseen: copied || layout.lenient, strict: layout.strict }
    }
}

impl Verdict {
    /// Whether records are refused for it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Verdict::Misfit(_) | Verdict::NoFieldRefused)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Fits => f.write_str("ok"),
            Verdict::Doubtful(doubt) => doubt.fmt(f),
            Verdict::Misfit(misfit) => write!(f, "does not fit: {misfit}"),
            Verdict::NoColumn => f.write_str("no such column: dropped by StarRocks"),
            Verdict::NoField => f.write_str("no field feeds it: NULL"),
            Verdict::NoFieldRefused => f.write_str("takes no NULL, and no field feeds it"),
            Verdict::MadeByServer => f.write_str("made by StarRocks"),
            Verdict::Operation => f.write_str("upsert or delete"),
            Verdict::Unknown => f.write_str("columns not known"),
        }
    }
}

/// Most letters of a sample.
const SAMPLE: usize = 60;

/// The lines of one record's value: the table's columns in order, then fields without a column.
/// `copied`: the value's row is not made of it here.
pub fn lines(writer: &RowWriter, value: &Value<'_>, copied: bool) -> Vec<FieldLine> {
    let fields = fields_of(value);
    let Some(table) = writer.table() else {
        let unknown = |field: &Field<'_, '_>| line(writer, Some(field), None, Verdict::Unknown);
        return fields.iter().map(unknown).collect();
    };
    let layout = writer.layout();
    let sent = Sent::of(layout, copied);
    let mut by_name = HashMap::with_capacity(fields.len());
    for field in &fields {
        by_name.entry(field.name).or_insert(field);
    }
    let find = |column: &Column| by_name.get(column.name.as_str()).copied();
    let columns: HashSet<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut lines: Vec<FieldLine> = vec![];
    for column in &table.columns {
        let verdict = match find(column) {
            _ if column.made_by_server => Verdict::MadeByServer,
            Some(field) => judge(field, column, sent),
            None if column.nullable || layout.partial || layout.listed.is_some() => {
                Verdict::NoField
            }
            None if column.default.is_some() => Verdict::Doubtful(Doubt::Unfed),
            None => Verdict::NoFieldRefused,
        };
        lines.push(line(writer, find(column), Some(column), verdict));
    }
    for field in fields.iter().filter(|field| !columns.contains(field.name)) {
        let verdict = match field.name {
            OP | "__deleted" => Verdict::Operation,
            _ => Verdict::NoColumn,
        };
        lines.push(line(writer, Some(field), None, verdict));
    }
    lines
}

struct Field<'v, 'a> {
    name: &'v str,
    schema: Option<&'v Schema>,
    datum: &'v Datum<'a>,
}

fn fields_of<'v, 'a>(value: &'v Value<'a>) -> Vec<Field<'v, 'a>> {
    match (&value.schema, &value.datum) {
        (Some(schema), Datum::Struct(values)) => {
            let pairs = schema.fields.iter().zip(values);
            let field = |(field, datum): (&'v crate::data::Field, &'v Datum<'a>)| Field {
                name: &field.name,
                schema: Some(&field.schema),
                datum,
            };
            pairs.map(field).collect()
        }
        (_, Datum::Map(entries)) => {
            let field = |(key, datum): &'v (Datum<'a>, Datum<'a>)| {
                key.as_str().map(|name| Field { name, schema: None, datum })
            };
            entries.iter().filter_map(field).collect()
        }
        _ => vec![],
    }
}

fn line(
    writer: &RowWriter,
    field: Option<&Field<'_, '_>>,
    column: Option<&Column>,
    verdict: Verdict,
) -> FieldLine {
    let sample = field.map(|field| {
        let kind = column.map(|column| &column.kind);
        let form = Sent::of(writer.layout(), false).form;
        let mut out = vec![];
        if cell::write(&mut out, form, field.schema, field.datum, kind).is_err() {
            out.clear();
            // As it is, where the column does not take it.
            let _ = json_text::write(&mut out, field.schema, field.datum, json_text::Times::Text);
        }
        let text = String::from_utf8_lossy(&out);
        let mut sample: String = text.chars().take(SAMPLE).collect();
        if sample.len() < text.len() {
            sample.push('…');
        }
        sample
    });
    FieldLine {
        field: field.map(|field| field.name.to_owned()),
        field_type: field.map(|field| type_name(field.schema, field.datum)),
        column: column.cloned(),
        sample,
        verdict,
    }
}

/// "INT64 org.apache.kafka.connect.data.Timestamp", or what a schemaless value is.
fn type_name(schema: Option<&Schema>, datum: &Datum<'_>) -> String {
    match schema {
        Some(schema) => match &schema.name {
            Some(name) => format!("{} {name}", schema.kind.name()),
            None => schema.kind.name().to_owned(),
        },
        None => match datum {
            Datum::Null => "null",
            Datum::Boolean(_) => "boolean",
            Datum::Int8(_) | Datum::Int16(_) | Datum::Int32(_) | Datum::Int64(_) => "integer",
            Datum::Float32(_) | Datum::Float64(_) | Datum::Number(_) | Datum::Decimal(_) => {
                "number"
            }
            Datum::String(_) => "text",
            Datum::Bytes(_) => "bytes",
            Datum::Instant(_) => "timestamp",
            Datum::Array(_) => "array",
            Datum::Map(_) | Datum::Struct(_) => "object",
        }
        .to_owned(),
    }
}

/// What comes of one value in one column.
pub fn of_value(
    schema: Option<&Schema>,
    datum: &Datum<'_>,
    column: &Column,
    sent: Sent,
) -> Verdict {
    judge(&Field { name: &column.name, schema, datum }, column, sent)
}

fn judge(field: &Field<'_, '_>, column: &Column, sent: Sent) -> Verdict {
    if field.datum.is_null() {
        return if column.nullable {
            Verdict::Fits
        } else {
            Verdict::Misfit(Misfit::of("it is null, and the column takes no NULL"))
        };
    }
    let mut out = vec![];
    match cell::write(&mut out, sent.form, field.schema, field.datum, Some(&column.kind)) {
        Err(misfit) => match misfit.unread.filter(|_| sent.unseen) {
            Some(unread @ Unread::Finer(_)) => Verdict::Doubtful(Doubt::Unread(unread)),
            Some(_) if sent.strict => Verdict::Misfit(misfit),
            Some(unread) if column.nullable => Verdict::Doubtful(Doubt::Unread(unread)),
            Some(unread) => Verdict::Misfit(Misfit::of(format!(
                "{}, which the column does not take",
                Doubt::Unread(unread)
            ))),
            None => Verdict::Misfit(misfit),
        },
        Ok(()) => doubt(field, &column.kind, &out).map_or(Verdict::Fits, Verdict::Doubtful),
    }
}

/// What StarRocks will make of a value that is sent, where that is not the value.
fn doubt(field: &Field<'_, '_>, column: &ColumnType, sent: &[u8]) -> Option<Doubt> {
    let logical = field.schema.map_or(Logical::Plain, Schema::logical);
    match (column, field.datum.as_str()) {
        (ColumnType::Date, None)
            if matches!(logical, Logical::Timestamp | Logical::Epoch { .. }) =>
        {
            Some(Doubt::TimeOfDay)
        }
        (ColumnType::DateTime, None)
            if logical == (Logical::Epoch { per_second: 1_000_000_000 }) =>
        {
            Some(Doubt::Nanoseconds)
        }
        (ColumnType::Float | ColumnType::Double, _)
            if std::str::from_utf8(sent)
                .is_ok_and(|sent| readable::is_not_finite(sent.trim_matches('"'))) =>
        {
            Some(Doubt::NotFinite)
        }
        (ColumnType::Varbinary { .. } | ColumnType::Text { .. }, _)
            if matches!(field.datum, Datum::Bytes(_)) =>
        {
            Some(Doubt::Base64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::job::NewFields;
    use crate::mapping::columns::{Table, TableKind};
    use crate::mapping::layout::Layout;

    /// As copied rows are judged.
    fn told(columns: &[(&str, &str, bool)], json: &str) -> Vec<String> {
        judged(columns, json, &[], true)
    }

    fn judged(
        columns: &[(&str, &str, bool)],
        json: &str,
        headers: &[(&str, &str)],
        copied: bool,
    ) -> Vec<String> {
        let columns =
            columns.iter().map(|(name, kind, null)| Column::new(name, kind, *null, false));
        let table =
            Table { name: "t".into(), kind: TableKind::Duplicate, columns: columns.collect() };
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let layout = Layout::of(&Body::Json, &headers);
        let writer = RowWriter::new("t", layout, Some(Arc::new(table)), NewFields::Warn);
        let datum = crate::convert::json_reader::Reader::new(json).datum().expect("valid");
        let line = |line: FieldLine| {
            let name = |column: Option<Column>| column.map_or("-".into(), |column| column.name);
            format!(
                "{} → {}: {}",
                line.field.unwrap_or("-".into()),
                name(line.column),
                line.verdict
            )
        };
        lines(&writer, &Value::schemaless(datum), copied).into_iter().map(line).collect()
    }

    #[test]
    fn every_field_and_every_column_gets_its_verdict() {
        assert_eq!(
            told(
                &[
                    ("id", "tinyint", false),
                    ("at", "datetime", true),
                    ("n", "int", true),
                    ("d", "decimal(5,2)", true),
                    ("none", "int", true),
                    ("must", "int", false),
                ],
                r#"{"id":300,"at":1714283798721,"n":"x","d":1.234,"more":1}"#,
            ),
            [
                "id → id: does not fit: the number is out of its range: 300",
                "at → at: an epoch number: StarRocks makes it NULL; TimestampConverter makes it a time",
                "n → n: text that is no number: StarRocks makes it NULL",
                "d → d: it is rounded to 2 digits after the point",
                "- → none: no field feeds it: NULL",
                "- → must: takes no NULL, and no field feeds it",
                "more → -: no such column: dropped by StarRocks",
            ]
        );
    }

    #[test]
    fn text_that_starrocks_would_make_null_is_told() {
        let columns = [
            ("a", "date", true),
            ("b", "datetime", true),
            ("c", "boolean", true),
            ("d", "boolean", true),
            ("e", "array<int>", true),
            ("f", "array<int>", true),
            ("g", "date", false),
        ];
        let json = r#"{"a":"2024-02-31","b":"2024-2-29 10:00:00","c":"maybe","d":"TRUE","e":"no","f":[1],"g":"2024-13-01"}"#;
        assert_eq!(
            told(&columns, json),
            [
                "a → a: a day that no calendar has: StarRocks makes it NULL",
                "b → b: ok",
                "c → c: text that is neither true nor false: StarRocks makes it NULL",
                "d → d: ok",
                "e → e: text that is no list: StarRocks makes it NULL",
                "f → f: ok",
                "g → g: does not fit: a day that no calendar has: StarRocks makes it NULL, which the column does not take",
            ]
        );
    }

    #[test]
    fn what_starrocks_would_make_null_is_refused_where_rows_are_made_here() {
        let columns = [("n", "int", true), ("d", "decimal(5,2)", true), ("at", "date", true)];
        let json = r#"{"n":"x","d":1.234,"at":"soon"}"#;
        let refused = [
            "n → n: does not fit: text that is no number: x",
            "d → d: does not fit: more than 2 digits after the point: 1.234",
            "at → at: does not fit: text that is no date: soon",
        ];
        assert_eq!(judged(&columns, json, &[], false), refused);
        let left = [
            "n → n: text that is no number: StarRocks makes it NULL",
            "d → d: it is rounded to 2 digits after the point",
            "at → at: text that is no date: StarRocks makes it NULL",
        ];
        assert_eq!(judged(&columns, json, &[("strict_mode", "false")], false), left);
        assert_eq!(judged(&columns, json, &[], true), left);
        // StarRocks then rejects the row itself, but for the digits.
        let strict = judged(&columns, json, &[("strict_mode", "true")], true);
        assert_eq!(strict, [refused[0], left[1], refused[2]]);
    }

    #[test]
    fn dates_are_told_from_epochs() {
        assert_eq!(
            told(
                &[("a", "date", true), ("b", "date", true), ("c", "datetime", true)],
                r#"{"a":20240131,"b":"2024-01-31","c":"soon"}"#,
            ),
            ["a → a: ok", "b → b: ok", "c → c: text that is no date: StarRocks makes it NULL"]
        );
    }
}
