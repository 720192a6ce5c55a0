//! Key or value of a record, and the checks that Connect makes before it touches one.

use crate::data::{ConnectRecord, Datum, Failure, Schema, Value};

/// Which side of a record a transform works on (`$Key`, `$Value`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Key,
    Value,
}

impl Side {
    pub fn of<'r, 'a>(self, record: &'r mut ConnectRecord<'a>) -> &'r mut Value<'a> {
        match self {
            Side::Key => &mut record.key,
            Side::Value => &mut record.value,
        }
    }
}

pub(super) type Entries<'a> = Vec<(Datum<'a>, Datum<'a>)>;

/// A map where there is no schema, or Connect's refusal.
pub(super) fn map_of<'r, 'a>(
    datum: &'r mut Datum<'a>,
    purpose: &str,
) -> Result<&'r mut Entries<'a>, Failure> {
    match datum {
        Datum::Map(entries) => Ok(entries),
        other => Err(Failure::data(format!(
            "Only Map objects supported in absence of schema for [{purpose}], found: {}",
            other.java_class()
        ))),
    }
}

/// A struct's values, or Connect's refusal.
pub(super) fn struct_of<'r, 'a>(
    datum: &'r mut Datum<'a>,
    purpose: &str,
) -> Result<&'r mut Vec<Datum<'a>>, Failure> {
    match datum {
        Datum::Struct(values) => Ok(values),
        other => Err(Failure::data(format!(
            "Only Struct objects supported for [{purpose}], found: {}",
            other.java_class()
        ))),
    }
}

/// Replaces nulls by their fields' defaults, which Connect's transforms do by reading them.
pub(super) fn fill_defaults(values: &mut [Datum<'_>], schema: &Schema) {
    for (value, field) in values.iter_mut().zip(&schema.fields) {
        fill_default(value, &field.schema);
    }
}

/// As [`fill_defaults`], one value.
pub(super) fn fill_default(value: &mut Datum<'_>, schema: &Schema) {
    if value.is_null()
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
}
