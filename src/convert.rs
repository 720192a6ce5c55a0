//! Bytes in, Connect data out: key, value and header converters by their Java class names.
//!
//! A converter is pure: what it needs from elsewhere (a registry's schema) is handed to it.

pub mod avro;
pub mod json;
pub mod json_reader;
pub mod json_schema;
pub mod primitive;
pub mod protobuf;
pub mod registered;
pub mod schemas;
pub mod wire;

use std::sync::Arc;

use crate::data::options::Options;
use crate::data::{Exception, Failure, Value, literal};
use crate::error::Kind;

pub use json::JsonConverter;
pub use primitive::Primitive;
pub use registered::RegisteredConverter;
pub use schemas::{RegisteredSchema, SchemaKind, SchemaSource};

/// One configured converter. Keeps what it learned of schemas, so use one per topic side and lane.
#[derive(Debug)]
pub enum Converter {
    Json(Box<JsonConverter>),
    Primitive(Primitive),
    /// Avro, Protobuf and JSON Schema with a registry.
    Registered(Box<RegisteredConverter>),
    /// SimpleHeaderConverter: text that tells its own type.
    Literal,
}

/// Which part of a record a converter reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Key,
    Value,
}

impl Side {
    /// As subjects and options spell it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Key => "key",
            Side::Value => "value",
        }
    }
}

/// A key or value as it came, with what else of its record says how to read it.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a, 'r> {
    pub topic: &'r str,
    /// The last header named [`Converter::id_header`] that is not null.
    pub id_header: Option<&'r [u8]>,
    /// `None` is Kafka's null.
    pub bytes: Option<&'a [u8]>,
}

/// What a refusal means for the run: a record is bad, or something outside is not as it must be.
pub fn kind(failure: &Failure) -> Kind {
    match failure.exception {
        Exception::Retriable => Kind::Unavailable,
        Exception::Authorization | Exception::Config => Kind::Usage,
        Exception::Data
        | Exception::Connect
        | Exception::SchemaBuilder
        | Exception::IllegalArgument
        | Exception::IndexOutOfBounds
        | Exception::NullPointer
        | Exception::Serialization => Kind::BadRecord,
    }
}

/// Builds a converter from its own options (`value.converter.` removed).
type Build = fn(&Options) -> Result<Converter, Failure>;

/// Every converter: Java class name, Connect's alias, how to build it.
pub const CONVERTERS: &[(&str, &str, Build)] = &[
    ("org.apache.kafka.connect.json.JsonConverter", "Json", |options| {
        Ok(Converter::Json(Box::new(JsonConverter::compile(options)?)))
    }),
    ("org.apache.kafka.connect.storage.StringConverter", "String", |options| {
        Ok(Converter::Primitive(Primitive::text(options)?))
    }),
    ("org.apache.kafka.connect.converters.ByteArrayConverter", "ByteArray", |_| {
        Ok(Converter::Primitive(Primitive::Bytes))
    }),
    ("org.apache.kafka.connect.converters.ShortConverter", "Short", |_| {
        Ok(Converter::Primitive(Primitive::Short))
    }),
    ("org.apache.kafka.connect.converters.IntegerConverter", "Integer", |_| {
        Ok(Converter::Primitive(Primitive::Integer))
    }),
    ("org.apache.kafka.connect.converters.LongConverter", "Long", |_| {
        Ok(Converter::Primitive(Primitive::Long))
    }),
    ("org.apache.kafka.connect.converters.FloatConverter", "Float", |_| {
        Ok(Converter::Primitive(Primitive::Float))
    }),
    ("org.apache.kafka.connect.converters.DoubleConverter", "Double", |_| {
        Ok(Converter::Primitive(Primitive::Double))
    }),
    ("org.apache.kafka.connect.converters.BooleanConverter", "Boolean", |_| {
        Ok(Converter::Primitive(Primitive::Boolean))
    }),
    ("io.confluent.connect.avro.AvroConverter", "Avro", |options| {
        Ok(Converter::Registered(Box::new(RegisteredConverter::avro(options)?)))
    }),
    ("io.confluent.connect.protobuf.ProtobufConverter", "Protobuf", |options| {
        Ok(Converter::Registered(Box::new(RegisteredConverter::protobuf(options)?)))
    }),
    ("io.confluent.connect.json.JsonSchemaConverter", "JsonSchema", |options| {
        Ok(Converter::Registered(Box::new(RegisteredConverter::json_schema(options)?)))
    }),
    ("org.apache.kafka.connect.storage.SimpleHeaderConverter", "Simple", |_| {
        Ok(Converter::Literal)
    }),
];

/// Whether there is a converter of that class or alias.
pub fn is_known(class: &str) -> bool {
    find(class.trim()).is_some()
}

fn find(class: &str) -> Option<&'static (&'static str, &'static str, Build)> {
    let simple = |full: &str| full.rsplit('.').next() == Some(class);
    CONVERTERS.iter().find(|(full, alias, _)| *full == class || *alias == class || simple(full))
}

impl Converter {
    /// The converter of that Java class or alias, configured; unknown classes are refused by name.
    pub fn compile(class: &str, options: &Options) -> Result<Converter, Failure> {
        let class = class.trim();
        match find(class) {
            Some((_, _, build)) => build(options),
            None => Err(Failure::config(format!(
                "converter class `{class}` is not known here; `starsink map --list converters` \
                 shows the ones that are"
            ))),
        }
    }

    /// The Java class this stands for, for dead letters and messages.
    pub fn java_class(&self) -> &'static str {
        match self {
            Converter::Json(_) => "org.apache.kafka.connect.json.JsonConverter",
            Converter::Primitive(primitive) => primitive.java_class(),
            Converter::Registered(registered) => registered.java_class(),
            Converter::Literal => "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        }
    }

    /// Members of Debezium envelopes that need not be read; only JsonConverter makes use of it.
    pub fn leave_out_of_envelopes(&mut self, members: &[&'static str]) {
        match self {
            Converter::Json(json) => json.leave_out_of_envelopes(members),
            Converter::Primitive(_) | Converter::Registered(_) | Converter::Literal => {}
        }
    }

    /// Whether schemas come from a registry, which [`Converter::attach`] must name before the first
    /// record.
    pub fn needs_schemas(&self) -> bool {
        matches!(self, Converter::Registered(_))
    }

    /// Says which side of records is read here, and where schemas come from.
    pub fn attach(&mut self, side: Side, source: &Arc<dyn SchemaSource>) {
        match self {
            Converter::Registered(registered) => registered.attach(side, source),
            Converter::Json(_) | Converter::Primitive(_) | Converter::Literal => {}
        }
    }

    /// The record header to hand over with a [`Payload`]; `None` where none is looked at.
    pub fn id_header(&self) -> Option<&'static str> {
        match self {
            Converter::Registered(registered) => registered.id_header(),
            Converter::Json(_) | Converter::Primitive(_) | Converter::Literal => None,
        }
    }

    /// Converts one key, value or header that needs nothing else of its record.
    pub fn convert<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Value<'a>, Failure> {
        self.convert_payload(Payload { topic: "", id_header: None, bytes })
    }

    /// Converts one key, value or header.
    pub fn convert_payload<'a>(&mut self, payload: Payload<'a, '_>) -> Result<Value<'a>, Failure> {
        let bytes = payload.bytes;
        match self {
            Converter::Json(json) => json.convert(bytes),
            Converter::Primitive(primitive) => primitive.convert(bytes),
            Converter::Registered(registered) => registered.convert(payload),
            Converter::Literal => Ok(match bytes {
                None => Value::NULL,
                Some(bytes) => literal::parse(&String::from_utf8_lossy(bytes)),
            }),
        }
    }
}

/// Where a converter stands in Connect's order, for messages and dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    Key,
    Value,
    Header(Arc<str>),
}

impl Stage {
    /// Connect's name of the stage.
    pub fn connect_name(&self) -> &'static str {
        match self {
            Stage::Key => "KEY_CONVERTER",
            Stage::Value => "VALUE_CONVERTER",
            Stage::Header(_) => "HEADER_CONVERTER",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of its own: the same bytes on every machine.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) as usize % sides
        }

        /// The text with some bytes changed, dropped or doubled.
        fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
            let mut out = bytes.to_vec();
            for _ in 0..=self.roll(4) {
                if out.is_empty() {
                    break;
                }
                let at = self.roll(out.len());
                match self.roll(4) {
                    0 => out[at] = self.roll(256) as u8,
                    1 => drop(out.remove(at)),
                    2 => out.truncate(at),
                    _ => out.insert(at, b"{}[]\",:0-e\\"[self.roll(11)]),
                }
            }
            out
        }
    }

    const SEEDS: [&str; 6] = [
        r#"{"schema":{"type":"struct","fields":[{"field":"a","type":"int32"},{"field":"b","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}]},"payload":{"a":1,"b":"BOI="}}"#,
        r#"{"schema":{"type":"map","keys":{"type":"int8"},"values":{"type":"array","items":{"type":"double"}}},"payload":[[1,[1.5,null]]]}"#,
        r#"{"a":[1,-2.50e3,"\u00e9\ud83d\ude00",{"b":null,"c":true}],"d":12345678901234567890}"#,
        r#"[{"x":1},{"y":[[],{}]}]"#,
        "{a:1,\"b\":[2024-01-31,12:34:56.789Z]}",
        "\u{feff}{\"ä\":\"ö\"}",
    ];

    #[test]
    fn damaged_input_is_read_or_refused_but_never_a_panic() {
        let mut dice = Dice(7);
        for (class, _, build) in CONVERTERS {
            for enabled in ["true", "false"] {
                let options = [("schemas.enable", enabled)].into_iter().collect();
                let mut converter = build(&options).expect("builds");
                for round in 0..1_500 {
                    let bytes = dice.damage(SEEDS[round % SEEDS.len()].as_bytes());
                    let _ = converter.convert(Some(&bytes));
                }
                assert_eq!(converter.java_class(), *class);
            }
        }
    }

    #[test]
    fn damaged_binary_messages_are_read_or_refused_but_never_a_panic() {
        let mut dice = Dice(11);
        let avro = avro::AvroOptions::compile(&Options::default()).expect("defaults");
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"]},{"name":"b","type":{"type":"array","items":"long"}},{"name":"c","type":{"type":"map","values":"bytes"}}]}"#;
        let avro = avro::AvroDecoder::compile(schema, &[], None, avro).expect("compiles");
        let proto = protobuf::ProtobufOptions::compile(&Options::default()).expect("defaults");
        let source = r#"syntax = "proto3"; message R { string a = 1; repeated int64 b = 2; map<string, bytes> c = 3; }"#;
        let proto =
            protobuf::ProtobufDecoder::compile(source, &[], &[0], None, proto).expect("compiles");
        let seed = [2, 6, b'a', b'b', b'c', 4, 2, 4, 0, 2, 2, b'k', 2, 9, 0];
        for _ in 0..5_000 {
            let bytes = dice.damage(&seed);
            let _ = avro.decode(&bytes);
            let _ = proto.decode(&bytes);
            let _ = wire::split(None, &bytes, true);
        }
    }

    #[test]
    fn an_unknown_converter_is_refused_by_name() {
        let failure = Converter::compile("com.acme.Xml", &Options::default()).expect_err("unknown");
        assert!(failure.message.contains("`com.acme.Xml`"), "{failure}");
        assert!(Converter::compile("JsonConverter", &Options::default()).is_ok());
    }
}
