//! Debezium's transforms and what they share: what an envelope is.
//!
//! An envelope is a struct whose schema name ends in `.Envelope`. Written without schemas it is a map
//! with Debezium's own members; Debezium's classes leave that alone, ours do not, because the row
//! would be the envelope itself.

pub mod changes;
pub mod route;
pub mod timezone;
pub mod unwrap;

use crate::data::{Datum, Schema, Value};

/// What a value is to a change data transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A struct with before, after, source and op.
    Typed,
    /// The same as a map without schema.
    Untyped,
    /// A null value.
    Tombstone,
    /// Anything else: heartbeats, schema changes, transaction marks, plain rows.
    Other,
}

pub(super) fn shape(value: &Value<'_>) -> Shape {
    match (&value.schema, &value.datum) {
        (_, Datum::Null) => Shape::Tombstone,
        (Some(schema), Datum::Struct(_)) if is_envelope_schema(schema) => Shape::Typed,
        (None, Datum::Map(_)) if is_envelope_map(&value.datum) => Shape::Untyped,
        _ => Shape::Other,
    }
}

fn is_envelope_schema(schema: &Schema) -> bool {
    schema.name.as_deref().is_some_and(|name| name.ends_with(".Envelope"))
        && schema.field_at("op").is_some()
}

/// `op`, a row member and a `source` that names its connector: nothing but Debezium writes that.
fn is_envelope_map(datum: &Datum<'_>) -> bool {
    let source = datum.member("source");
    datum.member("op").is_some_and(|op| op.as_str().is_some())
        && (datum.member("after").is_some() || datum.member("before").is_some())
        && source.is_some_and(|source| source.member("connector").is_some())
}
