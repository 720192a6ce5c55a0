//! The vectors' notation: JSON to Connect values and back to a comparison.

use serde_json::Value as Json;
use starsink::convert::json::{schema_of, typed};
use starsink::convert::json_reader::Reader;
use starsink::data::{Datum, Decimal, Schema, Value, number};

/// Replaces every `{"$ref": name}` by its definition.
pub(super) fn resolve(json: &mut Json, defs: &Json) {
    if let Some(name) = json.get("$ref").and_then(Json::as_str) {
        *json = defs[name].clone();
    }
    match json {
        Json::Object(members) => members.values_mut().for_each(|inner| resolve(inner, defs)),
        Json::Array(items) => items.iter_mut().for_each(|inner| resolve(inner, defs)),
        _ => {}
    }
}

/// The bytes of an input: text, `{"hex"}` or null.
pub(super) fn bytes(json: &Json) -> Option<Vec<u8>> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.clone().into_bytes()),
        other => Some(hex(other["hex"].as_str().expect("hexadecimal digits"))),
    }
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        let digit = |c: char| c.to_digit(16).expect("a hexadecimal digit") as u8;
        digit(pair[0]) << 4 | digit(pair[1])
    };
    digits.chunks(2).map(byte).collect()
}

pub(super) fn schema(json: &Json) -> Option<Schema> {
    match json {
        Json::Null => None,
        schema => Some(schema_of(schema).expect("a schema in Connect's notation")),
    }
}

/// A value under an optional schema.
pub(super) fn value(schema_json: &Json, json: &Json) -> Value<'static> {
    match schema(schema_json) {
        None => Value::schemaless(untyped(json)),
        Some(schema) => {
            let datum = under(&schema, json);
            Value::new(schema, datum)
        }
    }
}

/// A value under a schema. Null is legal anywhere: (schema, null) is a Connect value, and JSON Schema
/// leaves required fields null.
pub(super) fn under(schema: &Schema, json: &Json) -> Datum<'static> {
    let text = json.to_string();
    let datum = typed(&mut Reader::new(&text), &relaxed(schema), false);
    datum.unwrap_or_else(|failure| panic!("{text}: {failure}")).into_owned()
}

/// The schema with everything optional and without defaults.
fn relaxed(schema: &Schema) -> Schema {
    let mut def = schema.to_def();
    (def.optional, def.default) = (true, None);
    def.keys = def.keys.as_ref().map(relaxed);
    def.items = def.items.as_ref().map(relaxed);
    for field in &mut def.fields {
        field.schema = relaxed(&field.schema);
    }
    def.build()
}

/// A value that describes itself, `{"$int8": …}` and its kin included.
pub(super) fn untyped(json: &Json) -> Datum<'static> {
    match json {
        Json::Object(members) => {
            if let Some((kind, inner)) = members.iter().next()
                && members.len() == 1
                && kind.starts_with('$')
            {
                return marked(kind, inner);
            }
            let entry = |(key, inner): (&String, &Json)| (Datum::text(key.clone()), untyped(inner));
            Datum::Map(members.iter().map(entry).collect())
        }
        Json::Array(items) => Datum::Array(items.iter().map(untyped).collect()),
        other => {
            let text = other.to_string();
            Reader::new(&text).datum().expect("JSON").into_owned()
        }
    }
}

fn marked(kind: &str, inner: &Json) -> Datum<'static> {
    let text = inner.as_str().map_or_else(|| inner.to_string(), str::to_string);
    let whole = || text.parse::<i64>().expect("a whole number");
    let double = || number::parse_java_double(&text).expect("a number");
    match kind {
        "$int8" => Datum::Int8(whole() as i8),
        "$int16" => Datum::Int16(whole() as i16),
        "$int32" => Datum::Int32(whole() as i32),
        "$float32" => Datum::Float32(number::parse_java_float(&text).expect("a number")),
        "$float64" => Datum::Float64(double()),
        "$timestamp" => Datum::Instant(whole()),
        "$decimal" => Datum::Decimal(Box::new(Decimal::parse(&text).expect("a number"))),
        "$bytes" => {
            let schema = Schema::of(starsink::data::Type::Bytes);
            under(&schema, inner)
        }
        other => panic!("unknown mark {other}"),
    }
}

/// Equal as the notation has it: map order, a decimal's scale, and the way a schemaless fraction is
/// held do not count.
pub(super) fn same(found: &Datum<'_>, expected: &Datum<'_>) -> bool {
    match (found, expected) {
        (Datum::Map(a), Datum::Map(b)) => {
            let within = |(key, value): &(Datum<'_>, Datum<'_>)| {
                a.iter().any(|(known, found)| same(known, key) && same(found, value))
            };
            a.len() == b.len() && b.iter().all(within)
        }
        (Datum::Array(a), Datum::Array(b)) | (Datum::Struct(a), Datum::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Datum::Decimal(a), Datum::Decimal(b)) => a.is_number(b),
        (Datum::Float64(a), Datum::Float64(b)) => a == b || a.is_nan() && b.is_nan(),
        (Datum::Float32(a), Datum::Float32(b)) => a == b || a.is_nan() && b.is_nan(),
        (Datum::Number(text), Datum::Float64(value))
        | (Datum::Float64(value), Datum::Number(text)) => text.parse() == Ok(*value),
        (Datum::Number(a), Datum::Number(b)) => match (Decimal::parse(a), Decimal::parse(b)) {
            (Some(a), Some(b)) => a.is_number(&b),
            _ => false,
        },
        (a, b) => a == b,
    }
}
