//! What the fields of a table's rows were: types, a value, and how the values fit the columns.

use crate::data::json_text::{self, Times};
use crate::data::{Datum, Schema, Value};
use crate::mapping::layout::OP;
use crate::mapping::maker::Lookup;
use crate::mapping::survey::TableUse;
use crate::mapping::verdict::{self, Sent, Verdict};

/// Longest value kept of one field.
const SAMPLE_LETTERS: usize = 200;

/// What a field's values were.
#[derive(Debug)]
pub(super) struct FieldUse {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) sample: Option<String>,
    pub(super) seen: u64,
    pub(super) nulls: u64,
    pub(super) misfits: u64,
    pub(super) first_misfit: Option<String>,
    pub(super) doubts: u64,
    pub(super) first_doubt: Option<String>,
}

/// How a value is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeing {
    pub(super) sent: Sent,
    /// Keep no value.
    pub(super) redact: bool,
}

impl TableUse {
    pub(super) fn see(&mut self, value: &Value<'_>, seen: Seeing) {
        match (&value.schema, &value.datum) {
            (Some(schema), Datum::Struct(values)) => {
                let deletes =
                    self.says_delete(|name| schema.field_at(name).and_then(|at| values.get(at)));
                for (field, datum) in schema.fields.iter().zip(values) {
                    self.field(&field.name, Some(&field.schema), datum, deletes, seen);
                }
            }
            (_, Datum::Map(entries)) => {
                let deletes = self.says_delete(|name| value.datum.member(name));
                for (name, datum) in entries {
                    self.field(name.as_str().unwrap_or_default(), None, datum, deletes, seen);
                }
            }
            (schema, Datum::Array(items)) => {
                let of = schema.as_ref().and_then(|schema| schema.items.clone());
                for item in items {
                    self.see(&Value { schema: of.clone(), datum: item.clone() }, seen);
                }
            }
            _ => {}
        }
    }

    /// Whether a row says that it deletes: then only its key counts.
    fn says_delete<'v, 'a: 'v>(&self, member: impl Fn(&str) -> Option<&'v Datum<'a>>) -> bool {
        let said = |name: &str| member(name).filter(|_| !self.places.contains_key(name));
        let is = |name: &str, words: &[&str]| {
            said(name).is_some_and(|datum| {
                let mut text = vec![];
                let written = json_text::write(&mut text, None, datum, Times::Text);
                written.is_ok() && words.iter().any(|word| word.as_bytes() == text)
            })
        };
        match said(OP) {
            Some(_) => is(OP, &["1", "\"1\"", "\"d\"", "\"delete\""]),
            None => is("__deleted", &["true", "\"true\""]),
        }
    }

    pub(super) fn field(
        &mut self,
        name: &str,
        schema: Option<&Schema>,
        datum: &Datum<'_>,
        deletes: bool,
        seen: Seeing,
    ) {
        let column = match &self.lookup {
            Lookup::Known(table) => self.places.get(name).map(|&at| &table.columns[at]),
            Lookup::Hidden | Lookup::Missing(_) => None,
        };
        // A row that deletes needs its key and nothing else.
        let judged = column
            .filter(|column| column.key || !deletes)
            .map(|column| verdict::of_value(schema, datum, column, seen.sent));
        let at = self.field_places.get(name).copied().unwrap_or_else(|| {
            self.field_places.insert(name.to_owned(), self.fields.len());
            self.fields.push(FieldUse {
                name: name.to_owned(),
                kind: String::new(),
                sample: None,
                seen: 0,
                nulls: 0,
                misfits: 0,
                first_misfit: None,
                doubts: 0,
                first_doubt: None,
            });
            self.fields.len() - 1
        });
        let field = &mut self.fields[at];
        field.seen += 1;
        field.nulls += u64::from(datum.is_null());
        if field.kind.is_empty() || field.kind == "null" {
            field.kind = kind_of(schema, datum);
        }
        if field.sample.is_none() && !datum.is_null() && !seen.redact {
            field.sample = Some(shown(schema, datum));
        }
        match judged {
            Some(Verdict::Misfit(misfit)) => {
                field.misfits += 1;
                let why = || if seen.redact { misfit.why.clone() } else { misfit.to_string() };
                field.first_misfit.get_or_insert_with(why);
            }
            Some(Verdict::Doubtful(doubt)) => {
                field.doubts += 1;
                field.first_doubt.get_or_insert_with(|| doubt.to_string());
            }
            None
            | Some(
                Verdict::Fits
                | Verdict::NoColumn
                | Verdict::NoField
                | Verdict::NoFieldRefused
                | Verdict::MadeByServer
                | Verdict::Operation
                | Verdict::Unknown,
            ) => {}
        }
    }
}

/// A value as people read it.
fn shown(schema: Option<&Schema>, datum: &Datum<'_>) -> String {
    let text = match datum {
        Datum::String(text) => text.to_string(),
        Datum::Array(_) | Datum::Map(_) | Datum::Struct(_) => json(schema, datum, Times::Text),
        // A date, a time or base64, whose letters need no escape.
        _ => json(schema, datum, Times::Text).trim_matches('"').to_owned(),
    };
    let mut shown: String = text.chars().take(SAMPLE_LETTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

pub(super) fn json(schema: Option<&Schema>, datum: &Datum<'_>, times: Times) -> String {
    let mut text = vec![];
    match json_text::write(&mut text, schema, datum, times) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        // A null where none may be: the failure says where.
        Err(failure) => format!("({failure})"),
    }
}

/// `INT64`, `MicroTimestamp`, or the JSON word where there is no schema.
fn kind_of(schema: Option<&Schema>, datum: &Datum<'_>) -> String {
    if let Some(schema) = schema {
        let logical = schema.name.as_deref().and_then(|name| name.rsplit('.').next());
        return logical.unwrap_or_else(|| schema.kind.name()).to_owned();
    }
    let word = match datum {
        Datum::Null => "null",
        Datum::Boolean(_) => "boolean",
        Datum::String(_) => "string",
        Datum::Bytes(_) => "bytes",
        Datum::Array(_) => "array",
        Datum::Map(_) | Datum::Struct(_) => "object",
        Datum::Instant(_) => "time",
        Datum::Int8(_)
        | Datum::Int16(_)
        | Datum::Int32(_)
        | Datum::Int64(_)
        | Datum::Float32(_)
        | Datum::Float64(_)
        | Datum::Number(_)
        | Datum::Decimal(_) => "number",
    };
    word.to_owned()
}
/// What stands at a JSON path of plain names, `$.a.b`; null where it leads nowhere or is another.
pub(super) fn at_path<'v, 'a>(
    path: &str,
    value: &'v Value<'a>,
) -> (Option<&'v Schema>, &'v Datum<'a>) {
    const NOTHING: &Datum<'static> = &Datum::Null;
    let names = path.strip_prefix('$').unwrap_or(path).split('.').filter(|name| !name.is_empty());
    let mut schema = value.schema.as_ref();
    let mut datum = &value.datum;
    for name in names {
        (schema, datum) = match (schema, datum) {
            (Some(of), Datum::Struct(values)) => match of.field_at(name) {
                Some(at) => (Some(&of.fields[at].schema), values.get(at).unwrap_or(NOTHING)),
                None => (None, NOTHING),
            },
            (_, map) => (None, map.member(name).unwrap_or(NOTHING)),
        };
    }
    (schema, datum)
}
