//! Our records in the notation that the Java harness prints: one text or list a value, whose
//! first letter tells its class, so that no two classes look alike.

use serde_json::{Map, Value as Json, json};
use starsink::data::{ConnectRecord, Datum, Schema, Value};

/// A record that came out of a chain.
pub(super) fn record(record: &ConnectRecord<'_>) -> Json {
    let mut out = Map::new();
    out.insert("topic".into(), (&*record.topic).into());
    out.insert("timestamp".into(), record.timestamp.into());
    side("key", &record.key, &mut out);
    side("value", &record.value, &mut out);
    let header = |header: &starsink::data::Header<'_>| {
        let mut out = Map::new();
        out.insert("name".into(), (&*header.name).into());
        side("header", &header.value, &mut out);
        Json::Object(out)
    };
    out.insert("headers".into(), record.headers.iter().map(header).collect());
    Json::Object(out)
}

fn side(name: &str, value: &Value<'_>, out: &mut Map<String, Json>) {
    out.insert(format!("{name}_schema"), value.schema.as_ref().map_or(Json::Null, schema));
    out.insert(name.into(), datum(&value.datum));
}

fn schema(schema: &Schema) -> Json {
    let mut out = Map::new();
    out.insert("type".into(), format!("{:?}", schema.kind).to_lowercase().into());
    out.insert("optional".into(), schema.optional.into());
    if let Some(name) = &schema.name {
        out.insert("name".into(), (&**name).into());
    }
    if let Some(version) = schema.version {
        out.insert("version".into(), version.into());
    }
    if let Some(doc) = &schema.doc {
        out.insert("doc".into(), (&**doc).into());
    }
    if !schema.parameters.is_empty() {
        let pairs = schema.parameters.iter().map(|(key, value)| (key.to_string(), json!(**value)));
        out.insert("parameters".into(), Json::Object(pairs.collect()));
    }
    if let Some(default) = &schema.default {
        out.insert("default".into(), datum(default));
    }
    let under = |inner: &Option<Schema>| inner.as_ref().map_or(Json::Null, self::schema);
    match schema.kind {
        starsink::data::Type::Struct => {
            let field =
                |field: &starsink::data::Field| json!([*field.name, self::schema(&field.schema)]);
            out.insert("fields".into(), schema.fields.iter().map(field).collect());
        }
        starsink::data::Type::Map => {
            out.insert("keys".into(), under(&schema.keys));
            out.insert("values".into(), under(&schema.items));
        }
        starsink::data::Type::Array => {
            out.insert("items".into(), under(&schema.items));
        }
        _ => {}
    }
    Json::Object(out)
}

fn datum(datum: &Datum<'_>) -> Json {
    let all = |items: &[Datum<'_>]| -> Json { items.iter().map(self::datum).collect() };
    match datum {
        Datum::Null => Json::Null,
        Datum::Boolean(v) => (*v).into(),
        Datum::Int8(v) => format!("b:{v}").into(),
        Datum::Int16(v) => format!("s:{v}").into(),
        Datum::Int32(v) => format!("i:{v}").into(),
        Datum::Int64(v) => format!("l:{v}").into(),
        Datum::Float32(v) => {
            let bits = if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() };
            format!("f:{bits:x}").into()
        }
        Datum::Float64(v) => double(*v),
        Datum::Number(text) => as_java_holds(text),
        Datum::String(v) => format!("t:{v}").into(),
        Datum::Bytes(v) => format!("x:{}", hex(v)).into(),
        Datum::Decimal(v) => format!("D:{}:{}", hex(&v.to_bytes()), v.scale()).into(),
        Datum::Instant(v) => format!("T:{v}").into(),
        Datum::Array(v) => all(v),
        Datum::Map(entries) => {
            let entry = |(key, value): &(Datum<'_>, Datum<'_>)| {
                json!([self::datum(key), self::datum(value)])
            };
            json!({ "map": entries.iter().map(entry).collect::<Vec<_>>() })
        }
        Datum::Struct(v) => json!({ "struct": all(v) }),
    }
}

fn double(value: f64) -> Json {
    let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    format!("d:{bits:x}").into()
}

/// A schemaless number is kept digit for digit here; Java holds the low 64 bits of a whole one, and
/// the nearest double of any other.
pub(super) fn as_java_holds(text: &str) -> Json {
    if text.contains(['.', 'e', 'E']) {
        return double(text.parse().expect("a number"));
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let low = digits
        .bytes()
        .fold(0u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    let low = if negative { low.wrapping_neg() } else { low };
    format!("l:{}", low as i64).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes results comparable: maps, which have no order of their own, are sorted; zeros lose the
/// sign that Java's JSON reader takes from them.
pub(super) fn normalise(json: &mut Json) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(normalise),
        Json::String(text) if text == "d:8000000000000000" => *text = "d:0".to_owned(),
        Json::String(text) if text == "f:80000000" => *text = "f:0".to_owned(),
        Json::Object(members) => {
            members.values_mut().for_each(normalise);
            if let Some(Json::Array(entries)) = members.get_mut("map") {
                entries.sort_by_cached_key(|entry| entry[0].to_string());
            }
        }
        _ => {}
    }
}

/// Where two results part first, and what stands there in each.
pub(super) fn first_difference(a: &Json, b: &Json) -> (String, Json, Json) {
    fn walk(path: &str, a: &Json, b: &Json) -> Option<(String, Json, Json)> {
        match (a, b) {
            _ if a == b => None,
            (Json::Array(x), Json::Array(y)) if x.len() == y.len() => x
                .iter()
                .zip(y)
                .enumerate()
                .find_map(|(at, (a, b))| walk(&format!("{path}[{at}]"), a, b)),
            (Json::Object(x), Json::Object(y)) => {
                let names = x.keys().chain(y.keys().filter(|name| !x.contains_key(*name)));
                let mut pairs = names.map(|name| (name, &a[name], &b[name]));
                pairs.find_map(|(name, a, b)| walk(&format!("{path}.{name}"), a, b))
            }
            _ => Some((path.to_owned(), a.clone(), b.clone())),
        }
    }
    walk("", a, b).unwrap_or_default()
}

/// Collects the values in which two results of the same shape differ; false if the shape does.
pub(super) fn leaves(a: &Json, b: &Json, out: &mut Vec<(Json, Json)>) -> bool {
    match (a, b) {
        _ if a == b => true,
        (Json::Array(x), Json::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(a, b)| leaves(a, b, out))
        }
        (Json::Object(x), Json::Object(y)) => {
            x.len() == y.len()
                && x.iter().all(|(name, a)| y.get(name).is_some_and(|b| leaves(a, b, out)))
        }
        _ => {
            out.push((a.clone(), b.clone()));
            true
        }
    }
}
