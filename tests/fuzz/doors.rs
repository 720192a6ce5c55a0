//! What each fuzz target does with its bytes. Included by the targets and by `tests/it/fuzz.rs`,
//! which walks a bounded corpus. A door panics where the program breaks a promise.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use starsink::config::{self, Environment, Overrides};
use starsink::convert::avro::{AvroDecoder, AvroOptions};
use starsink::convert::protobuf::{ProtobufDecoder, ProtobufOptions};
use starsink::convert::wire::{self, SchemaId};
use starsink::convert::{Converter, Payload, RegisteredSchema, SchemaKind, SchemaSource, Side};
use starsink::data::json_text::{self, Times};
use starsink::data::options::Options;
use starsink::data::{Failure, Value};
use starsink::encode::json::{self, Found, Scratch};

/// A configuration file, as `starsink load -` reads it.
pub(crate) fn properties(bytes: &[u8]) {
    let vars = BTreeMap::from([("NAME".to_owned(), "value".to_owned())]);
    let read = |path: &Path| match path.to_str() {
        Some("-") => Ok(bytes.to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
    match config::load(&["-".to_owned()], &Overrides::default(), &environment) {
        Ok((job, _)) => assert!(!job.name.is_empty()),
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
}

/// A record's value in JSON: checked and copied, and through JsonConverter with and without schemas.
pub(crate) fn json(bytes: &[u8]) {
    let mut scratch = Scratch::default();
    match json::check(bytes, &mut scratch) {
        Ok(Found::Object(row)) => assert_is_json(row),
        Ok(Found::RepeatedMember(row)) => {
            let mut once = vec![];
            json::deduplicate(row, &mut once);
            assert_eq!(json::check(&once, &mut scratch), Ok(Found::Object(&once)));
        }
        Err(bad) => {
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            // serde_json goes 127 deep, the check 1000: what the former reads, the latter takes.
            let object: Result<serde_json::Map<String, serde_json::Value>, _> =
                serde_json::from_slice(text);
            assert!(object.is_err(), "{bad:?} in what serde_json reads");
        }
    }
    for enabled in ["true", "false"] {
        let options = [("schemas.enable", enabled)].into_iter().collect();
        let mut converter = Converter::compile("JsonConverter", &options).expect("compiles");
        if let Ok(value) = converter.convert(Some(bytes)) {
            assert_can_be_written(&value);
        }
    }
}

const AVRO: [&str; 3] = [
    r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"]},{"name":"b","type":{"type":"array","items":"long"}},{"name":"c","type":{"type":"map","values":"bytes"}},{"name":"d","type":"double"}]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","int",{"type":"record","name":"I","fields":[{"name":"x","type":"float"}]}]},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"f","type":{"type":"fixed","name":"F","size":3}},{"name":"g","type":"boolean"}]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}},{"name":"b","type":{"type":"int","logicalType":"date"}},{"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"d","type":{"type":"int","connect.type":"int8"}}]}"#,
];

/// The first byte names a schema, or says that it comes first, up to a line's end.
fn schema_and_payload<'a>(bytes: &'a [u8], known: &[&'a str]) -> Option<(&'a str, &'a [u8])> {
    let (&first, rest) = bytes.split_first()?;
    if let Some(schema) = known.get(usize::from(first)) {
        return Some((schema, rest));
    }
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (schema, payload) = rest.split_at(end);
    Some((std::str::from_utf8(schema).ok()?, payload.get(1..).unwrap_or_default()))
}

/// An Avro schema and a message.
pub(crate) fn avro(bytes: &[u8]) {
    let Some((schema, payload)) = schema_and_payload(bytes, &AVRO) else { return };
    let options = AvroOptions::compile(&Options::default()).expect("defaults");
    let Ok(decoder) = AvroDecoder::compile(schema, &[], None, options) else { return };
    if let Ok(value) = decoder.decode(payload) {
        assert_can_be_written(&value);
    }
}

const PROTOBUF: [&str; 3] = [
    r#"syntax = "proto3"; message R { string a = 1; repeated int64 b = 2; map<string, bytes> c = 3; optional double d = 4; R e = 5; oneof o { bool x = 6; uint64 y = 7; } }"#,
    r#"syntax = "proto2"; message R { required int32 a = 1; repeated fixed32 b = 2 [packed = true]; enum E { Z = 0; O = 1; } optional E c = 3; optional group G = 4 { optional string s = 1; } }"#,
    r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/type/date.proto"; import "google/type/timeofday.proto"; import "confluent/type/decimal.proto"; import "google/protobuf/wrappers.proto";
    message R { google.protobuf.Timestamp t = 1; google.type.Date d = 2; google.type.TimeOfDay s = 3; confluent.type.Decimal n = 4; google.protobuf.StringValue w = 5; }"#,
];

/// A Protobuf schema and a message.
pub(crate) fn protobuf(bytes: &[u8]) {
    let Some((schema, payload)) = schema_and_payload(bytes, &PROTOBUF) else { return };
    let options = ProtobufOptions::compile(&Options::default()).expect("defaults");
    let Ok(decoder) = ProtobufDecoder::compile(schema, &[], &[0], None, options) else { return };
    if let Ok(value) = decoder.decode(payload) {
        assert_can_be_written(&value);
    }
}

/// A registry of three schemas, one a format; other ids are unknown to it.
#[derive(Debug)]
struct Three;

impl SchemaSource for Three {
    fn schema(
        &self,
        id: SchemaId,
        _subject: Option<&str>,
    ) -> Result<Arc<RegisteredSchema>, Failure> {
        let (kind, text) = match id {
            SchemaId::Number(1) => (SchemaKind::Avro, AVRO[0]),
            SchemaId::Number(2) => (SchemaKind::Protobuf, PROTOBUF[0]),
            SchemaId::Number(3) => (
                SchemaKind::Json,
                r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"oneOf":[{"type":"null"},{"type":"string"}]},"c":{}}}"#,
            ),
            other => return Err(Failure::data(format!("no schema {other}"))),
        };
        let (text, references) = (text.to_owned(), vec![]);
        Ok(Arc::new(RegisteredSchema { kind, text, references, version: None }))
    }
}

/// A message in Confluent's framing: a byte that says how long the header with the id is, 255 for
/// none, the header, and what the record holds.
pub(crate) fn framing(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let (header, message) = match first {
        255 => (None, rest),
        length => {
            let (header, message) = rest.split_at(usize::from(length).min(rest.len()));
            (Some(header), message)
        }
    };
    for protobuf in [false, true] {
        if let Ok(framed) = wire::split(header, message, protobuf) {
            assert!(message.ends_with(framed.payload));
            assert_eq!(framed.message_indexes.is_empty(), !protobuf);
        }
    }
    let source: Arc<dyn SchemaSource> = Arc::new(Three);
    for class in ["AvroConverter", "ProtobufConverter", "JsonSchemaConverter"] {
        let mut converter = Converter::compile(class, &Options::default()).expect("compiles");
        converter.attach(Side::Value, &source);
        let payload = Payload { topic: "t", id_header: header, bytes: Some(message) };
        if let Ok(value) = converter.convert_payload(payload) {
            assert_can_be_written(&value);
        }
    }
}

/// What a converter takes is JSON once it is written, or refused in words.
fn assert_can_be_written(value: &Value<'_>) {
    for times in [Times::Text, Times::Numbers] {
        let mut out = vec![];
        if json_text::write(&mut out, value.schema.as_ref(), &value.datum, times).is_ok() {
            assert_is_json(&out);
        }
    }
}

#[track_caller]
fn assert_is_json(text: &[u8]) {
    let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(text);
    assert!(is_json.is_ok(), "{is_json:?}: {}", String::from_utf8_lossy(text));
}
