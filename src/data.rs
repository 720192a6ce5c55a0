//! The Connect data model: schemas, values and records between converter and encoder.
//!
//! Values live as they travel on the wire: a Date is its days, a Timestamp its milliseconds, and the
//! schema's logical name says so. A struct holds its values in field order and leaves the names to
//! its schema. Text and bytes borrow from the record where they can. Numbers are exact: a schemaless
//! JSON number that is no int64 keeps its digits as text, and a decimal any number of them.
//! Nothing here reads bytes or writes rows: `convert` and `encode` do.

pub mod decimal;
pub mod failure;
pub mod json_text;
pub mod literal;
pub mod number;
pub mod options;
pub mod schema;
pub mod time;

use std::borrow::Cow;
use std::sync::Arc;

use crate::record::Offset;
pub use decimal::Decimal;
pub use failure::{Exception, Failure};
pub use schema::{Field, Logical, Schema, SchemaDef, Type};

/// One value. Its schema, if it has one, travels beside it (see [`Value`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    /// Schemaless only: the text of a JSON number that is no int64, digit for digit. Java's Double.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Decimal(Box<Decimal>),
    /// Schemaless only: an instant in milliseconds since the epoch (Java's `java.util.Date`). Under a
    /// schema a time is the integer its logical type is made of.
    Instant(i64),
    Array(Vec<Datum<'a>>),
    /// Entries in arrival order; keys are unique.
    Map(Vec<(Datum<'a>, Datum<'a>)>),
    /// As many values as the schema has fields, in their order; unset is null.
    Struct(Vec<Datum<'a>>),
}

impl<'a> Datum<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Datum::String(text.into())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Datum::String(text) => Some(text),
            _ => None,
        }
    }

    /// A map's value under a text key.
    pub fn member(&self, name: &str) -> Option<&Datum<'a>> {
        let Datum::Map(entries) = self else { return None };
        entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }

    /// Takes everything borrowed from the record into ownership.
    pub fn into_owned(self) -> Datum<'static> {
        let all = |items: Vec<Datum<'a>>| items.into_iter().map(Datum::into_owned).collect();
        match self {
            Datum::Null => Datum::Null,
            Datum::Boolean(v) => Datum::Boolean(v),
            Datum::Int8(v) => Datum::Int8(v),
            Datum::Int16(v) => Datum::Int16(v),
            Datum::Int32(v) => Datum::Int32(v),
            Datum::Int64(v) => Datum::Int64(v),
            Datum::Float32(v) => Datum::Float32(v),
            Datum::Float64(v) => Datum::Float64(v),
            Datum::Number(v) => Datum::Number(Cow::Owned(v.into_owned())),
            Datum::String(v) => Datum::String(Cow::Owned(v.into_owned())),
            Datum::Bytes(v) => Datum::Bytes(Cow::Owned(v.into_owned())),
            Datum::Decimal(v) => Datum::Decimal(v),
            Datum::Instant(v) => Datum::Instant(v),
            Datum::Array(v) => Datum::Array(all(v)),
            Datum::Map(v) => Datum::Map(
                v.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
            ),
            Datum::Struct(v) => Datum::Struct(all(v)),
        }
    }

    /// The Java class a message names where Connect would have printed it.
    pub fn java_class(&self) -> &'static str {
        match self {
            Datum::Null => "null",
            Datum::Boolean(_) => "java.lang.Boolean",
            Datum::Int8(_) => "java.lang.Byte",
            Datum::Int16(_) => "java.lang.Short",
            Datum::Int32(_) => "java.lang.Integer",
            Datum::Int64(_) => "java.lang.Long",
            Datum::Float32(_) => "java.lang.Float",
            Datum::Float64(_) | Datum::Number(_) => "java.lang.Double",
            Datum::String(_) => "java.lang.String",
            Datum::Bytes(_) => "byte[]",
            Datum::Decimal(_) => "java.math.BigDecimal",
            Datum::Instant(_) => "java.util.Date",
            Datum::Array(_) => "java.util.ArrayList",
            Datum::Map(_) => "java.util.HashMap",
            Datum::Struct(_) => "org.apache.kafka.connect.data.Struct",
        }
    }
}

/// Sets a map entry: replaces the value of a key that is there, appends otherwise.
pub fn put_member<'a>(
    entries: &mut Vec<(Datum<'a>, Datum<'a>)>,
    name: impl Into<Cow<'a, str>>,
    value: Datum<'a>,
) {
    let name = name.into();
    match entries.iter_mut().find(|(key, _)| key.as_str() == Some(&name)) {
        Some(entry) => entry.1 = value,
        None => entries.push((Datum::String(name), value)),
    }
}

/// A value with its schema (Connect's SchemaAndValue). Without schema it is self-described.
#[derive(Debug, Clone, PartialEq)]
pub struct Value<'a> {
    pub schema: Option<Schema>,
    pub datum: Datum<'a>,
}

impl<'a> Value<'a> {
    pub const NULL: Value<'static> = Value { schema: None, datum: Datum::Null };

    pub fn new(schema: Schema, datum: Datum<'a>) -> Self {
        Value { schema: Some(schema), datum }
    }

    pub fn schemaless(datum: Datum<'a>) -> Self {
        Value { schema: None, datum }
    }
}

/// One header of a record; names may repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Header<'a> {
    pub name: Cow<'a, str>,
    pub value: Value<'a>,
}

/// A record between converter and encoder. Transforms change it; where it came from they cannot:
/// progress is kept by the position the reader holds, never by these fields.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectRecord<'a> {
    /// Decides the table; routers change it.
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: Offset,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Value<'a>,
    pub value: Value<'a>,
    pub headers: Vec<Header<'a>>,
}

/// A plan per input schema, compiled once: the last one is found by one comparison, the others by
/// the schema's identity. Bounded, because a stream of ever new schemas must not fill the memory.
#[derive(Debug)]
pub struct PlanCache<P> {
    last: usize,
    plans: Vec<(Schema, P)>,
    index: std::collections::HashMap<usize, usize>,
}

/// Plans kept; beyond it the cache starts anew.
const PLANS_KEPT: usize = 4096;

impl<P> Default for PlanCache<P> {
    fn default() -> Self {
        PlanCache { last: 0, plans: Vec::new(), index: std::collections::HashMap::new() }
    }
}

impl<P> PlanCache<P> {
    /// The plan for `schema`, built by `compile` when it is met for the first time.
    pub fn get(
        &mut self,
        schema: &Schema,
        compile: impl FnOnce(&Schema) -> Result<P, Failure>,
    ) -> Result<&mut P, Failure> {
        let hit = self.plans.get(self.last).is_some_and(|(known, _)| known.is_same(schema));
        if !hit {
            self.last = match self.index.get(&schema.identity()) {
                Some(&at) => at,
                None => self.add(schema, compile(schema)?),
            };
        }
        Ok(&mut self.plans[self.last].1)
    }

    fn add(&mut self, schema: &Schema, plan: P) -> usize {
        if self.plans.len() >= PLANS_KEPT {
            self.plans.clear();
            self.index.clear();
        }
        // The plan keeps the schema alive, so its identity cannot come to mean another.
        self.index.insert(schema.identity(), self.plans.len());
        self.plans.push((schema.clone(), plan));
        self.plans.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datum_stays_small_enough_to_move_per_field() {
        assert!(size_of::<Datum<'_>>() <= 32, "{}", size_of::<Datum<'_>>());
    }

    #[test]
    fn a_plan_is_compiled_once_per_schema() {
        let (a, b) = (Schema::of(Type::Int8), Schema::of(Type::Int8));
        let mut cache = PlanCache::default();
        let mut built = 0;
        for schema in [&a, &b, &a, &a.clone(), &b] {
            cache
                .get(schema, |_| {
                    built += 1;
                    Ok(())
                })
                .expect("builds");
        }
        assert_eq!(built, 2);
    }

    #[test]
    fn a_member_that_is_there_is_replaced_in_place() {
        let mut entries = vec![(Datum::text("a"), Datum::Int8(1)), (Datum::text("b"), Datum::Null)];
        put_member(&mut entries, "a", Datum::Int8(2));
        put_member(&mut entries, "c", Datum::Int8(3));
        let names: Vec<_> = entries.iter().filter_map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(entries[0].1, Datum::Int8(2));
    }
}
