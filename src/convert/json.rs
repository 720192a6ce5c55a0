//! JsonConverter: JSON with the schema in every message, with one for all, or with none.
//!
//! The schema of a message is compiled once and found again by its bytes; the payload is read
//! straight into values under it. Where the Java converter damages a value (numbers cut to fit, text
//! taken for zero, wrong types taken for null, text behind the value dropped) the record is refused.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::json_reader::{JsonError, Reader};
use crate::data::options::Options;
use crate::data::{
    Datum, Decimal, Exception, Failure, Logical, Schema, SchemaDef, Type, Value, number, time,
};

/// Room that a struct gets beyond its fields: transforms append a few.
const ROOM: usize = 4;
/// Schemas compared byte by byte before any hashing: a partition rarely mixes more.
const RECENT: usize = 4;

#[derive(Debug)]
pub struct JsonConverter {
    schemas_enabled: bool,
    replace_null_with_default: bool,
    /// `schema.content`: one schema for all messages, which then are bare payloads.
    fixed: Option<Schema>,
    cache: SchemaCache,
}

/// Compiled schemas by their text.
#[derive(Debug, Default)]
struct SchemaCache {
    /// Most recent first.
    recent: Vec<Recent>,
    all: HashMap<Box<str>, Schema>,
    capacity: usize,
    /// Members of change events that nothing will look at.
    unused: Vec<&'static str>,
}

#[derive(Debug)]
struct Recent {
    text: Box<str>,
    schema: Schema,
    /// Places of the unused members, if the schema is a change event's.
    unused: Vec<usize>,
}

impl JsonConverter {
    /// From `schemas.enable`, `schemas.cache.size`, `replace.null.with.default`, `schema.content`.
    /// `decimal.format` concerns writing only and is checked.
    pub fn compile(options: &Options) -> Result<JsonConverter, Failure> {
        options.choice("decimal.format", &[("BASE64", ()), ("NUMERIC", ())], ())?;
        let fixed = match options.string("schema.content") {
            None | Some("") => None,
            Some(text) => Some(parse_schema(text)?),
        };
        let capacity = options.int("schemas.cache.size")?.unwrap_or(1_000).max(1) as usize;
        Ok(JsonConverter {
            schemas_enabled: options.boolean("schemas.enable", true)?,
            replace_null_with_default: options.boolean("replace.null.with.default", true)?,
            fixed,
            cache: SchemaCache { capacity, ..SchemaCache::default() },
        })
    }

    /// Names members of Debezium envelopes that no transform looks at and no row will hold: they are
    /// checked to be JSON, but stay null. A chain of transforms knows which they are.
    pub fn leave_out_of_envelopes(&mut self, members: &[&'static str]) {
        self.cache = SchemaCache {
            unused: members.to_vec(),
            capacity: self.cache.capacity,
            ..SchemaCache::default()
        };
    }

    pub fn convert<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Value<'a>, Failure> {
        let Some(bytes) = bytes else { return Ok(Value::NULL) };
        if let Some(value) = self.usual_envelope(bytes) {
            return Ok(value);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            not_json(&format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1))
        })?;
        let mut reader = Reader::new(text.strip_prefix('\u{feff}').unwrap_or(text));
        let value = if !self.schemas_enabled {
            // Connect takes an empty message for a null.
            if reader.at_end() {
                return Ok(Value::NULL);
            }
            Value::schemaless(reader.datum().map_err(|error| syntax(&error))?)
        } else if let Some(schema) = &self.fixed {
            let datum = typed(&mut reader, schema, self.replace_null_with_default)?;
            Value::new(schema.clone(), datum)
        } else {
            self.envelope(&mut reader)?
        };
        if !reader.at_end() {
            let at = reader.position() + 1;
            return Err(not_json(&format!("more text behind the value, at byte {at}")));
        }
        Ok(value)
    }

    /// The envelope as Java's converter writes it, under the schema of the last message: its schema
    /// part is compared, not read. `None`: look closer, also for what is wrong.
    fn usual_envelope<'a>(&mut self, bytes: &'a [u8]) -> Option<Value<'a>> {
        if !self.schemas_enabled || self.fixed.is_some() {
            return None;
        }
        let Recent { text, schema, unused } = self.cache.recent.first()?;
        let behind = bytes.strip_prefix(b"{\"schema\":")?.strip_prefix(text.as_bytes())?;
        let payload = std::str::from_utf8(behind.strip_prefix(b",\"payload\":")?).ok()?;
        let mut reader = Reader::new(payload);
        let replace_null = self.replace_null_with_default;
        let datum = match &unused[..] {
            [] => typed(&mut reader, schema, replace_null).ok()?,
            unused if reader.peek() == b'{' => {
                struct_value(&mut reader, schema, replace_null, unused).ok()?
            }
            _ => return None,
        };
        reader.expect(b'}', "`}`").ok()?;
        reader.at_end().then(|| Value::new(schema.clone(), datum))
    }

    /// `{"schema": …, "payload": …}` in either order and nothing else.
    fn envelope<'a>(&mut self, reader: &mut Reader<'a>) -> Result<Value<'a>, Failure> {
        if reader.peek() != b'{' {
            let json = !reader.at_end();
            reader.skip().map_err(|error| syntax(&error))?;
            return Err(if json { not_an_envelope() } else { not_json("the message is empty") });
        }
        let at = |error: JsonError| syntax(&error);
        reader.open(b'{', "an object").map_err(at)?;
        let mut schema: Option<Option<Schema>> = None;
        // A payload that comes before its schema is read again once the schema is known.
        let mut early: Option<Reader<'a>> = None;
        let mut datum: Option<Datum<'a>> = None;
        let mut first = true;
        while reader.more(&mut first, b'}').map_err(at)? {
            let name = reader.name().map_err(at)?;
            match &*name {
                "schema" => schema = Some(self.cache.schema(reader)?),
                "payload" => match &schema {
                    Some(schema) => datum = Some(self.payload(reader, schema.as_ref())?),
                    None => {
                        early = Some(reader.clone());
                        reader.skip().map_err(at)?;
                    }
                },
                _ => return Err(not_an_envelope()),
            }
        }
        let Some(schema) = schema else { return Err(not_an_envelope()) };
        let datum = match (datum, early) {
            (Some(datum), _) => datum,
            (None, Some(mut early)) => self.payload(&mut early, schema.as_ref())?,
            (None, None) => return Err(not_an_envelope()),
        };
        Ok(Value { schema, datum })
    }

    fn payload<'a>(
        &self,
        reader: &mut Reader<'a>,
        schema: Option<&Schema>,
    ) -> Result<Datum<'a>, Failure> {
        match schema {
            Some(schema) => typed(reader, schema, self.replace_null_with_default),
            None => reader.datum().map_err(|error| syntax(&error)),
        }
    }
}

impl SchemaCache {
    /// Reads the schema that comes next; JSON null is no schema.
    fn schema(&mut self, reader: &mut Reader<'_>) -> Result<Option<Schema>, Failure> {
        if reader.null().map_err(|error| syntax(&error))? {
            return Ok(None);
        }
        // An object's text ends with itself: if a known one comes next, it is that one.
        let rest = reader.rest();
        if let Some(at) = self.recent.iter().position(|known| rest.starts_with(&*known.text)) {
            reader.advance(self.recent[at].text.len());
            self.recent[..=at].rotate_right(1);
            return Ok(Some(self.recent[0].schema.clone()));
        }
        let text = reader.raw().map_err(|error| syntax(&error))?;
        let schema = match self.all.get(text) {
            Some(schema) => schema.clone(),
            None => {
                let schema = parse_schema(text)?;
                if self.all.len() >= self.capacity {
                    self.all.clear();
                }
                self.all.insert(text.into(), schema.clone());
                schema
            }
        };
        if text.starts_with('{') {
            let event = schema.name.as_deref().is_some_and(|name| name.ends_with(".Envelope"));
            let unused = if event { &self.unused[..] } else { &[] };
            let unused = unused.iter().filter_map(|name| schema.field_at(name)).collect();
            self.recent.insert(0, Recent { text: text.into(), schema: schema.clone(), unused });
            self.recent.truncate(RECENT);
        }
        Ok(Some(schema))
    }
}

fn not_json(why: &str) -> Failure {
    Failure::data(format!(
        "Converting byte[] to Kafka Connect data failed due to serialization error: {why}"
    ))
}

fn syntax(error: &JsonError) -> Failure {
    not_json(&error.to_string())
}

fn not_an_envelope() -> Failure {
    Failure::data(
        "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not \
         contain additional fields. If you are trying to deserialize plain JSON data, set \
         schemas.enable=false in your converter configuration.",
    )
}

/// Reads one value under its schema, exactly or not at all.
pub fn typed<'a>(
    reader: &mut Reader<'a>,
    schema: &Schema,
    replace_null: bool,
) -> Result<Datum<'a>, Failure> {
    if reader.null().map_err(|error| syntax(&error))? {
        return null_under(schema, replace_null);
    }
    match schema.kind {
        Type::Struct => struct_value(reader, schema, replace_null, &[]),
        Type::String => match reader.peek() {
            b'"' => reader.string().map(Datum::String).map_err(|error| syntax(&error)),
            _ => mismatch(reader, schema),
        },
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 => integer(reader, schema),
        Type::Boolean => match reader.peek() {
            b't' | b'f' => reader.boolean().map(Datum::Boolean).map_err(|error| syntax(&error)),
            _ => mismatch(reader, schema),
        },
        Type::Float32 | Type::Float64 => float(reader, schema),
        Type::Bytes => bytes(reader, schema),
        Type::Array => {
            if reader.peek() != b'[' {
                return mismatch(reader, schema);
            }
            let mut items = Vec::new();
            elements(reader, |reader| {
                items.push(described(reader, schema.items.as_ref(), replace_null)?);
                Ok(())
            })?;
            Ok(Datum::Array(items))
        }
        Type::Map => map(reader, schema, replace_null),
    }
}

/// Under a schema if there is one, else as it describes itself.
fn described<'a>(
    reader: &mut Reader<'a>,
    schema: Option<&Schema>,
    replace_null: bool,
) -> Result<Datum<'a>, Failure> {
    match schema {
        Some(schema) => typed(reader, schema, replace_null),
        None => reader.datum().map_err(|error| syntax(&error)),
    }
}

fn elements<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&mut Reader<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    reader.open(b'[', "an array").map_err(|error| syntax(&error))?;
    let mut first = true;
    while reader.more(&mut first, b']').map_err(|error| syntax(&error))? {
        each(reader)?;
    }
    Ok(())
}

fn null_under<'a>(schema: &Schema, replace_null: bool) -> Result<Datum<'a>, Failure> {
    match &schema.default {
        Some(default) if replace_null => Ok(default.clone()),
        _ if schema.optional => Ok(Datum::Null),
        _ => {
            let kind = schema.kind.name();
            Err(Failure::data(format!("Invalid null value for required {kind} field")))
        }
    }
}

/// Fields at the `unused` places are skipped and stay null, required or not.
fn struct_value<'a>(
    reader: &mut Reader<'a>,
    schema: &Schema,
    replace_null: bool,
    unused: &[usize],
) -> Result<Datum<'a>, Failure> {
    if reader.peek() != b'{' {
        return mismatch(reader, schema);
    }
    reader.open(b'{', "an object").map_err(|error| syntax(&error))?;
    let mut values = Vec::with_capacity(schema.fields.len() + ROOM);
    values.resize_with(schema.fields.len(), || Datum::Null);
    // Members mostly come in the schema's order: the next field is tried first.
    let mut next = 0;
    let mut first = true;
    while reader.more(&mut first, b'}').map_err(|error| syntax(&error))? {
        let at = match schema.member_prefix(next) {
            Some(prefix) if reader.rest().starts_with(prefix) => {
                reader.advance(prefix.len());
                Some(next)
            }
            _ => {
                let name = reader.name().map_err(|error| syntax(&error))?;
                schema.field_at(&name)
            }
        };
        let Some(at) = at.filter(|at| !unused.contains(at)) else {
            // A member that the schema does not know, or that nobody wants.
            reader.skip().map_err(|error| syntax(&error))?;
            next = at.map_or(next, |at| at + 1);
            continue;
        };
        let field = &schema.fields[at];
        values[at] = typed(reader, &field.schema, replace_null)
            .map_err(|failure| in_field(failure, &field.name))?;
        next = at + 1;
    }
    for (at, (value, field)) in values.iter_mut().zip(&schema.fields).enumerate() {
        // Still null: missing, or null and allowed to be.
        if value.is_null()
            && !(field.schema.optional && field.schema.default.is_none())
            && !unused.contains(&at)
        {
            *value = missing(&field.schema, replace_null)
                .map_err(|failure| in_field(failure, &field.name))?;
        }
    }
    Ok(Datum::Struct(values))
}

fn missing<'a>(schema: &Schema, replace_null: bool) -> Result<Datum<'a>, Failure> {
    null_under(schema, replace_null).map_err(|_| {
        let kind = schema.kind.name();
        Failure::data(format!("Invalid value: null used for required field, schema type: {kind}"))
    })
}

fn in_field(failure: Failure, name: &str) -> Failure {
    Failure { message: format!("{} (in field `{name}`)", failure.message), ..failure }
}

/// The value is JSON, but not of the schema's type.
fn mismatch<'a>(reader: &mut Reader<'a>, schema: &Schema) -> Result<Datum<'a>, Failure> {
    let text = reader.raw().map_err(|error| syntax(&error))?;
    Err(refused(schema, text))
}

fn refused(schema: &Schema, text: &str) -> Failure {
    let mut excerpt: String = text.chars().take(60).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    let logical = schema.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    Failure::data(format!("{excerpt} is no value of type {}{logical}", schema.kind.name()))
}

fn integer<'a>(reader: &mut Reader<'a>, schema: &Schema) -> Result<Datum<'a>, Failure> {
    if !matches!(reader.peek(), b'-' | b'0'..=b'9') {
        return mismatch(reader, schema);
    }
    let from = reader.rest();
    let value = match reader.short_integer() {
        Some(value) => Some(value),
        None => match reader.number().map_err(|error| syntax(&error))? {
            (text, true) => text.parse::<i64>().ok(),
            // `1.0` and `1e3` are whole numbers too.
            (text, false) => Decimal::parse(text).and_then(|decimal| decimal.to_i64_exact()),
        },
    };
    let datum = value.and_then(|value| match schema.kind {
        Type::Int8 => i8::try_from(value).ok().map(Datum::Int8),
        Type::Int16 => i16::try_from(value).ok().map(Datum::Int16),
        Type::Int32 => i32::try_from(value).ok().map(Datum::Int32),
        _ => Some(Datum::Int64(value)),
    });
    match datum {
        Some(Datum::Int32(millis))
            if schema.logical() == Logical::Time
                && !(0..=time::MILLIS_PER_DAY).contains(&i64::from(millis)) =>
        {
            Err(Failure::data(
                "Time values must use number of milliseconds greater than 0 and less than 86400000",
            ))
        }
        Some(datum) => Ok(datum),
        None => Err(refused(schema, &from[..from.len() - reader.rest().len()])),
    }
}

fn float<'a>(reader: &mut Reader<'a>, schema: &Schema) -> Result<Datum<'a>, Failure> {
    let single = schema.kind == Type::Float32;
    match reader.peek() {
        b'-' | b'0'..=b'9' => {
            let (text, _) = reader.number().map_err(|error| syntax(&error))?;
            let datum = if single {
                text.parse().ok().filter(|v: &f32| v.is_finite()).map(Datum::Float32)
            } else {
                text.parse().ok().filter(|v: &f64| v.is_finite()).map(Datum::Float64)
            };
            datum.ok_or_else(|| refused(schema, text))
        }
        // JSON has no such numbers; Java's own converter writes them as text.
        b'"' => {
            let text = reader.string().map_err(|error| syntax(&error))?;
            let value = match &*text {
                "NaN" | "Infinity" | "-Infinity" => number::parse_java_double(&text),
                _ => None,
            };
            let value = value.ok_or_else(|| refused(schema, &format!("\"{text}\"")))?;
            Ok(if single { Datum::Float32(value as f32) } else { Datum::Float64(value) })
        }
        _ => mismatch(reader, schema),
    }
}

fn bytes<'a>(reader: &mut Reader<'a>, schema: &Schema) -> Result<Datum<'a>, Failure> {
    let decimal = match schema.logical() {
        Logical::Decimal { scale } => Some(scale),
        _ => None,
    };
    match (reader.peek(), decimal) {
        (b'"', decimal) => {
            let text = reader.string().map_err(|error| syntax(&error))?;
            let raw = BASE64.decode(text.as_bytes()).map_err(|error| {
                let what = if decimal.is_some() {
                    "Invalid bytes for Decimal field"
                } else {
                    "Invalid bytes field"
                };
                Failure::data(format!("{what}: {error}"))
            })?;
            match decimal {
                None => Ok(Datum::Bytes(Cow::Owned(raw))),
                Some(Some(scale)) => Ok(Datum::Decimal(Box::new(Decimal::from_bytes(&raw, scale)))),
                Some(None) => Err(Failure::data(
                    "Invalid Decimal schema: scale parameter not found or no integer.",
                )),
            }
        }
        (b'-' | b'0'..=b'9', Some(_)) => {
            let (text, _) = reader.number().map_err(|error| syntax(&error))?;
            let decimal = Decimal::parse(text).ok_or_else(|| refused(schema, text))?;
            Ok(Datum::Decimal(Box::new(decimal)))
        }
        _ => mismatch(reader, schema),
    }
}

/// An object where the keys are text, else an array of pairs.
fn map<'a>(
    reader: &mut Reader<'a>,
    schema: &Schema,
    replace_null: bool,
) -> Result<Datum<'a>, Failure> {
    let text_keys = schema.keys.as_ref().is_none_or(|keys| keys.kind == Type::String);
    let mut entries: Vec<(Datum<'a>, Datum<'a>)> = Vec::new();
    // As in a Java map, the last of equal keys wins.
    let put = |entries: &mut Vec<(Datum<'a>, Datum<'a>)>, key: Datum<'a>, value| match entries
        .iter_mut()
        .find(|(known, _)| *known == key)
    {
        Some(entry) => entry.1 = value,
        None => entries.push((key, value)),
    };
    match reader.peek() {
        b'{' if text_keys => {
            reader.open(b'{', "an object").map_err(|error| syntax(&error))?;
            let mut first = true;
            while reader.more(&mut first, b'}').map_err(|error| syntax(&error))? {
                let key = reader.name().map_err(|error| syntax(&error))?;
                let value = described(reader, schema.items.as_ref(), replace_null)?;
                put(&mut entries, Datum::String(key), value);
            }
        }
        b'[' => elements(reader, |reader| {
            let mut pair = Vec::with_capacity(2);
            if reader.peek() != b'[' {
                return mismatch(reader, schema).map(drop);
            }
            elements(reader, |reader| {
                let part = if pair.is_empty() { &schema.keys } else { &schema.items };
                pair.push(described(reader, part.as_ref(), replace_null)?);
                Ok(())
            })?;
            let Ok([key, value]) = <[Datum<'_>; 2]>::try_from(pair) else {
                return Err(Failure::data("a map's entry is not a pair of key and value"));
            };
            put(&mut entries, key, value);
            Ok(())
        })?,
        _ => return mismatch(reader, schema),
    }
    Ok(Datum::Map(entries))
}

/// Compiles a schema in Connect's JSON notation.
pub fn parse_schema(text: &str) -> Result<Schema, Failure> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| not_json(&error.to_string()))?;
    schema_of(&json)
}

/// The schema a JSON value describes.
pub fn schema_of(json: &serde_json::Value) -> Result<Schema, Failure> {
    use serde_json::Value as Json;
    let Json::Object(members) = json else {
        return Err(Failure::data("Schema must be a JSON object"));
    };
    let Some(Json::String(kind)) = members.get("type") else {
        return Err(Failure::data("Schema must contain 'type' field"));
    };
    let mut def = SchemaDef::new(type_of(kind)?);
    let part = |key: &str, what: &str| match members.get(key) {
        Some(Json::Null) => Ok(None),
        Some(schema) => schema_of(schema).map(Some),
        None => Err(Failure::data(format!("{what} schema did not specify the {key}"))),
    };
    match def.kind {
        Type::Array => def.items = part("items", "Array")?,
        Type::Map => {
            def.keys = part("keys", "Map")?;
            def.items = part("values", "Map")?;
        }
        Type::Struct => {
            let Some(Json::Array(fields)) = members.get("fields") else {
                return Err(Failure::data("Struct schema's \"fields\" argument is not an array."));
            };
            for field in fields {
                let Some(Json::String(name)) = field.get("field") else {
                    return Err(Failure::data("Struct schema's field name not specified properly"));
                };
                def.add_field(name.as_str(), schema_of(field)?)?;
            }
        }
        _ => {}
    }
    def.optional = members.get("optional") == Some(&Json::Bool(true));
    let text = |key: &str| members.get(key).and_then(Json::as_str).map(Into::into);
    (def.name, def.doc) = (text("name"), text("doc"));
    def.version = match members.get("version") {
        None | Some(Json::Null) => None,
        Some(version) => match version.as_i64().and_then(|v| i32::try_from(v).ok()) {
            Some(version) => Some(version),
            None => return Err(Failure::data("Invalid version type: not an integer")),
        },
    };
    if let Some(Json::Object(parameters)) = members.get("parameters") {
        for (key, value) in parameters {
            let Some(value) = value.as_str() else {
                return Err(Failure::data("Schema parameters must have string values."));
            };
            def = def.parameter(key, value);
        }
    }
    match members.get("default") {
        None | Some(Json::Null) => Ok(def.build()),
        Some(default) => {
            let text = default.to_string();
            let datum = typed(&mut Reader::new(&text), &def.clone().build(), true)?;
            def.default = Some(datum.into_owned());
            Ok(def.build())
        }
    }
}

fn type_of(name: &str) -> Result<Type, Failure> {
    const TYPES: [Type; 12] = [
        Type::Int8,
        Type::Int16,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Boolean,
        Type::String,
        Type::Bytes,
        Type::Array,
        Type::Map,
        Type::Struct,
    ];
    let found = TYPES.into_iter().find(|kind| kind.json_name() == name);
    found.ok_or_else(|| Failure::new(Exception::Data, format!("Unknown schema type: {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converter(options: &[(&str, &str)]) -> JsonConverter {
        let options: Options = options.iter().copied().collect();
        JsonConverter::compile(&options).expect("valid options")
    }

    #[track_caller]
    fn check(schema: &str, payload: &str, expect: Result<Datum<'static>, &str>) {
        let message = format!("{{\"schema\":{schema},\"payload\":{payload}}}");
        let found = converter(&[]).convert(Some(message.as_bytes())).map(|v| v.datum.into_owned());
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{message}"),
            (Err(failure), Err(part)) => {
                assert!(failure.message.contains(part), "{message}: {failure}");
            }
            (found, expect) => panic!("{message}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_not_zeroed() {
        let int = r#"{"type":"int32"}"#;
        check(int, "5", Ok(Datum::Int32(5)));
        check(int, "5.0", Ok(Datum::Int32(5)));
        check(int, "5.5", Err("5.5 is no value of type INT32"));
        check(int, "5000000000", Err("is no value of type INT32"));
        check(int, "\"12\"", Err("\"12\" is no value of type INT32"));
        check(r#"{"type":"boolean"}"#, "1", Err("1 is no value of type BOOLEAN"));
        check(r#"{"type":"string","optional":true}"#, "5", Err("5 is no value of type STRING"));
        check(r#"{"type":"double"}"#, "\"NaN2\"", Err("is no value of type FLOAT64"));
        check(r#"{"type":"double"}"#, "\"-Infinity\"", Ok(Datum::Float64(f64::NEG_INFINITY)));
        check(r#"{"type":"double"}"#, "1e999", Err("1e999 is no value of type FLOAT64"));
        check(int, "null", Err("Invalid null value for required INT32 field"));
    }

    #[test]
    fn decimals_arrive_digit_for_digit_as_number_or_base64() {
        let decimal = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}"#;
        let number = |text| Ok(Datum::Decimal(Box::new(Decimal::parse(text).expect("a number"))));
        check(decimal, "12345678901234567890123.45", number("12345678901234567890123.45"));
        check(decimal, "\"BOI=\"", number("12.50"));
        check(decimal, "\"12.50\"", Err("Invalid bytes for Decimal field"));
    }

    #[test]
    fn members_come_in_any_order_and_unknown_ones_vanish() {
        let schema = r#"{"type":"struct","fields":[{"field":"a","type":"int8"},{"field":"b","type":"string","optional":true},{"field":"c","type":"int8","default":3}]}"#;
        let row = |c| Ok(Datum::Struct(vec![Datum::Int8(1), Datum::text("x"), Datum::Int8(c)]));
        check(schema, r#"{"a":1,"b":"x","c":9}"#, row(9));
        check(schema, r#"{ "c" : 9 , "z":{"a":[1]}, "b":"x","a":1}"#, row(9));
        check(schema, r#"{"b":"x","a":1}"#, row(3));
        check(
            schema,
            r#"{"b":"x"}"#,
            Err("null used for required field, schema type: INT8 (in field `a`)"),
        );
    }

    #[test]
    fn the_same_schema_text_gives_the_same_schema() {
        let mut converter = converter(&[]);
        let texts: Vec<String> = (0..10)
            .map(|n| {
                format!("{{\"schema\":{{\"type\":\"int8\",\"name\":\"n{n}\"}},\"payload\":1}}")
            })
            .collect();
        let mut schema = |n: usize| {
            converter.convert(Some(texts[n].as_bytes())).expect("valid").schema.expect("a schema")
        };
        let first = schema(0);
        for n in [1, 2, 3, 4, 5, 6, 0] {
            assert_eq!(schema(n).is_same(&first), n == 0, "{n}");
        }
    }

    #[test]
    fn a_payload_may_come_before_its_schema() {
        let text = br#"{"payload":{"a":1},"schema":{"type":"struct","fields":[{"field":"a","type":"int8"}]}}"#;
        let value = converter(&[]).convert(Some(text)).expect("valid");
        assert_eq!(value.datum, Datum::Struct(vec![Datum::Int8(1)]));
    }

    #[test]
    fn text_behind_the_value_is_refused() {
        let mut converter = converter(&[("schemas.enable", "false")]);
        for text in ["{\"a\":1}{\"b\":2}", "1 x", "{} ,"] {
            let failure = converter.convert(Some(text.as_bytes())).expect_err(text);
            assert!(failure.message.contains("more text behind the value"), "{failure}");
        }
        assert!(converter.convert(Some(b" {} \n")).is_ok());
    }

    #[test]
    fn the_usual_envelope_is_read_as_any_other() {
        let mut converter = converter(&[]);
        let message =
            |payload: &str| format!("{{\"schema\":{{\"type\":\"int8\"}},\"payload\":{payload}}}");
        for _ in 0..2 {
            let good = message("7");
            assert_eq!(
                converter.convert(Some(good.as_bytes())).expect("valid").datum,
                Datum::Int8(7)
            );
            for bad in ["700", "7,\"x\":1", "7}", "", "\"\u{1}\""] {
                let bad = message(bad);
                assert!(converter.convert(Some(bad.as_bytes())).is_err(), "{bad}");
            }
        }
    }

    /// The short way through a known schema must not be told from the long one, whatever comes.
    #[test]
    fn a_known_schema_changes_no_result() {
        let schema = r#"{"type":"struct","name":"t.Envelope","fields":[{"field":"after","type":"struct","optional":true,"fields":[{"field":"id","type":"int64"},{"field":"n","type":"int16","optional":true},{"field":"x","type":"double","optional":true,"default":2.5},{"field":"s","type":"string","optional":true}]},{"field":"op","type":"string"}]}"#;
        let payload = r#"{"after":{"id":-1234567890123456789,"n":32767,"x":-12.50,"s":"a\"b\u00e9"},"op":"c"}"#;
        let good = format!("{{\"schema\":{schema},\"payload\":{payload}}}");
        let from = good.find("\"payload\"").expect("a payload");
        let (mut read, mut refused) = (0, 0);
        let mut compare = |text: &[u8]| {
            let (mut known, mut fresh) = (converter(&[]), converter(&[]));
            known.convert(Some(good.as_bytes())).expect("valid");
            let (short, long) = (known.convert(Some(text)), fresh.convert(Some(text)));
            assert_eq!(short, long, "{}", String::from_utf8_lossy(text));
            *(if long.is_ok() { &mut read } else { &mut refused }) += 1;
        };
        for at in from..good.len() {
            let mut cut = good.as_bytes().to_vec();
            cut.remove(at);
            compare(&cut);
            for byte in *b"0-.e\"\\{}[],: n\xff" {
                let mut changed = good.as_bytes().to_vec();
                changed[at] = byte;
                compare(&changed);
                changed[at] = good.as_bytes()[at];
                changed.insert(at, byte);
                compare(&changed);
            }
        }
        assert!(read > 100 && refused > 1_000, "{read} read, {refused} refused");
    }

    #[test]
    fn members_of_change_events_that_nobody_wants_are_checked_but_not_kept() {
        let message = |name: &str, source: &str| {
            format!(
                r#"{{"schema":{{"type":"struct","name":"{name}","fields":[{{"field":"source","type":"string"}},{{"field":"op","type":"string"}}]}},"payload":{{"source":{source},"op":"c"}}}}"#
            )
        };
        let mut converter = converter(&[]);
        converter.leave_out_of_envelopes(&["source"]);
        let row = |source| Datum::Struct(vec![source, Datum::text("c")]);
        for (name, kept) in [("t.Envelope", Datum::Null), ("t.Value", Datum::text("s"))] {
            let good = message(name, "\"s\"");
            // The first message of a schema is read whole.
            converter.convert(Some(good.as_bytes())).expect("valid");
            let found = converter.convert(Some(good.as_bytes())).expect("valid").datum;
            assert_eq!(found, row(kept), "{name}");
            let bad = message(name, "\"s");
            assert!(converter.convert(Some(bad.as_bytes())).is_err(), "{name}");
        }
    }

    #[test]
    fn a_fixed_schema_makes_messages_bare_payloads() {
        let mut converter = converter(&[("schema.content", r#"{"type":"int16"}"#)]);
        let value = converter.convert(Some(b"7")).expect("valid");
        assert_eq!(value, Value::new(Schema::of(Type::Int16), Datum::Int16(7)));
    }
}
