//! AvroConverter, ProtobufConverter and JsonSchemaConverter: a frame says which registered schema
//! wrote the payload. Compiles each schema once and keeps it; the schemas come from a
//! [`SchemaSource`].

use std::collections::HashMap;
use std::sync::Arc;

use super::avro::{AvroDecoder, AvroOptions};
use super::json_schema::{JsonSchemaDecoder, JsonSchemaOptions};
use super::protobuf::{ProtobufDecoder, ProtobufOptions};
use super::schemas::{RegisteredSchema, SchemaKind, SchemaSource};
use super::wire::{self, Framed, SchemaId};
use super::{Payload, Side};
use crate::data::options::Options;
use crate::data::{Failure, Value};

/// One of the three converters.
#[derive(Debug)]
pub struct RegisteredConverter {
    format: Format,
    /// For keys, for values.
    framings: [Framing; 2],
    subjects: [Subjects; 2],
    side: Side,
    source: Option<Arc<dyn SchemaSource>>,
    decoders: Decoders,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Avro(AvroOptions),
    Protobuf(ProtobufOptions),
    Json(JsonSchemaOptions),
}

/// Where the id stands: Confluent's `key.` and `value.schema.id.deserializer`.
#[derive(Debug, Clone)]
enum Framing {
    /// The record's header, else before the payload.
    HeaderOrPrefix,
    Prefix,
    /// Nowhere: the configuration names the one schema, and payloads are bare.
    Fixed {
        id: SchemaId,
        message_indexes: Vec<i32>,
    },
}

/// Under which subject a schema is expected (`subject.name.strategy`).
#[derive(Debug, Clone, Copy)]
enum Subjects {
    /// `<topic>-key`, `<topic>-value`.
    ByTopic,
    /// Named by the schema, which is not known before it is fetched.
    BySchema,
}

/// Compiled schemas. A schema that cannot be compiled is kept too: one refusal serves all its
/// records.
#[derive(Debug, Default)]
struct Decoders {
    last: usize,
    all: Vec<(SchemaId, Vec<i32>, Result<Decoder, Failure>)>,
    index: HashMap<(SchemaId, Vec<i32>), usize>,
}

/// Compiled schemas kept; beyond it the memory starts anew.
const DECODERS_KEPT: usize = 4096;

#[derive(Debug)]
enum Decoder {
    Avro(AvroDecoder),
    Protobuf(ProtobufDecoder),
    Json(JsonSchemaDecoder),
}

impl RegisteredConverter {
    pub fn avro(options: &Options) -> Result<Self, Failure> {
        Self::new(Format::Avro(AvroOptions::compile(options)?), options)
    }

    pub fn protobuf(options: &Options) -> Result<Self, Failure> {
        Self::new(Format::Protobuf(ProtobufOptions::compile(options)?), options)
    }

    pub fn json_schema(options: &Options) -> Result<Self, Failure> {
        Self::new(Format::Json(JsonSchemaOptions::compile(options)?), options)
    }

    fn new(format: Format, options: &Options) -> Result<Self, Failure> {
        for key in ["use.latest.version", "use.latest.with.metadata"] {
            let asked = options.string(key).is_some_and(|v| !v.eq_ignore_ascii_case("false"));
            if asked {
                return Err(Failure::config(format!(
                    "`{key}` is not supported here: values are read with the schema that wrote them"
                )));
            }
        }
        Ok(RegisteredConverter {
            framings: [Framing::of(options, "key")?, Framing::of(options, "value")?],
            subjects: [Subjects::of(options, "key"), Subjects::of(options, "value")],
            format,
            side: Side::Value,
            source: None,
            decoders: Decoders::default(),
        })
    }

    /// Says which side of records this converter reads, and where schemas come from.
    pub fn attach(&mut self, side: Side, source: &Arc<dyn SchemaSource>) {
        self.side = side;
        self.source = Some(Arc::clone(source));
    }

    pub fn java_class(&self) -> &'static str {
        match self.format {
            Format::Avro(_) => "io.confluent.connect.avro.AvroConverter",
            Format::Protobuf(_) => "io.confluent.connect.protobuf.ProtobufConverter",
            Format::Json(_) => "io.confluent.connect.json.JsonSchemaConverter",
        }
    }

    /// The record header that may hold the id; `None` where no header is looked at.
    pub fn id_header(&self) -> Option<&'static str> {
        match (self.framing(), self.side) {
            (Framing::HeaderOrPrefix, Side::Key) => Some(wire::KEY_HEADER),
            (Framing::HeaderOrPrefix, Side::Value) => Some(wire::VALUE_HEADER),
            (Framing::Prefix | Framing::Fixed { .. }, _) => None,
        }
    }

    fn framing(&self) -> &Framing {
        &self.framings[self.side as usize]
    }

    /// Converts one key or value; Kafka's null is Connect's.
    pub fn convert<'a>(&mut self, payload: Payload<'a, '_>) -> Result<Value<'a>, Failure> {
        let Some(bytes) = payload.bytes else { return Ok(Value::NULL) };
        let value = self.framed(payload.id_header, bytes).and_then(|framed| {
            let bytes = framed.payload;
            self.decoder(payload.topic, framed)?.decode(bytes)
        });
        value.map_err(|failure| self.in_words_of_connect(payload.topic, failure))
    }

    fn framed<'a>(&self, header: Option<&[u8]>, bytes: &'a [u8]) -> Result<Framed<'a>, Failure> {
        let protobuf = matches!(self.format, Format::Protobuf(_));
        match self.framing() {
            Framing::HeaderOrPrefix => wire::split(header, bytes, protobuf),
            Framing::Prefix => wire::split(None, bytes, protobuf),
            Framing::Fixed { id, message_indexes } => Ok(Framed {
                id: *id,
                message_indexes: if protobuf { message_indexes.clone() } else { vec![] },
                payload: bytes,
            }),
        }
    }

    fn decoder(&mut self, topic: &str, framed: Framed<'_>) -> Result<&Decoder, Failure> {
        let Framed { id, message_indexes, .. } = framed;
        let hit = self.decoders.all.get(self.decoders.last).is_some_and(|(known, indexes, _)| {
            // Without indexes, as in Avro, nothing is compared: the C library's comparison of nothing
            // looks at memory that is not there, which costs more than all of the rest.
            *known == id
                && indexes.len() == message_indexes.len()
                && (indexes.is_empty() || *indexes == message_indexes)
        });
        if !hit {
            let key = (id, message_indexes);
            self.decoders.last = match self.decoders.index.get(&key) {
                Some(&at) => at,
                None => {
                    let schema = self.fetch(id, topic)?;
                    let decoder = self.compile(&schema, id, &key.1);
                    self.decoders.add(key, decoder)
                }
            };
        }
        let (_, _, decoder) = &self.decoders.all[self.decoders.last];
        decoder.as_ref().map_err(Clone::clone)
    }

    fn fetch(&self, id: SchemaId, topic: &str) -> Result<Arc<RegisteredSchema>, Failure> {
        let Some(source) = &self.source else {
            return Err(Failure::config("no schema registry is set up for this converter"));
        };
        let subject = match self.subjects[self.side as usize] {
            Subjects::ByTopic => Some(format!("{topic}-{}", self.side.name())),
            Subjects::BySchema => None,
        };
        source.schema(id, subject.as_deref())
    }

    fn compile(
        &self,
        schema: &RegisteredSchema,
        id: SchemaId,
        message_indexes: &[i32],
    ) -> Result<Decoder, Failure> {
        let RegisteredSchema { kind, text, references, version } = schema;
        let names: Vec<(&str, &str)> =
            references.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let decoder = match (self.format, kind) {
            (Format::Avro(options), SchemaKind::Avro) => {
                let texts: Vec<&str> = names.iter().map(|(_, text)| *text).collect();
                AvroDecoder::compile(text, &texts, *version, options).map(Decoder::Avro)
            }
            (Format::Protobuf(options), SchemaKind::Protobuf) => {
                ProtobufDecoder::compile(text, &names, message_indexes, *version, options)
                    .map(Decoder::Protobuf)
            }
            (Format::Json(options), SchemaKind::Json) => {
                JsonSchemaDecoder::compile(text, &names, *version, options).map(Decoder::Json)
            }
            (_, other) => Err(Failure::data(format!("it is of type {}", other.name()))),
        };
        decoder.map_err(|f| Failure { message: format!("schema {id}: {}", f.message), ..f })
    }

    /// What Confluent's converters say before the reason.
    fn in_words_of_connect(&self, topic: &str, failure: Failure) -> Failure {
        let format = match self.format {
            Format::Avro(_) => "Avro",
            Format::Protobuf(_) => "Protobuf",
            Format::Json(_) => "JSON",
        };
        let message = format!(
            "Failed to deserialize data for topic {topic} to {format}: {}",
            failure.message
        );
        Failure { message, ..failure }
    }
}

impl Decoders {
    fn add(
        &mut self,
        (id, message_indexes): (SchemaId, Vec<i32>),
        decoder: Result<Decoder, Failure>,
    ) -> usize {
        if self.all.len() >= DECODERS_KEPT {
            self.all.clear();
            self.index.clear();
        }
        self.index.insert((id, message_indexes.clone()), self.all.len());
        self.all.push((id, message_indexes, decoder));
        self.all.len() - 1
    }
}

impl Decoder {
    fn decode<'a>(&self, payload: &'a [u8]) -> Result<Value<'a>, Failure> {
        match self {
            Decoder::Avro(decoder) => decoder.decode(payload),
            Decoder::Protobuf(decoder) => decoder.decode(payload),
            Decoder::Json(decoder) => decoder.decode(payload),
        }
    }
}

impl Framing {
    fn of(options: &Options, side: &str) -> Result<Framing, Failure> {
        let key = format!("{side}.schema.id.deserializer");
        let class = options.string(&key).unwrap_or_default();
        match class.rsplit('.').next().unwrap_or_default() {
            "" | "DualSchemaIdDeserializer" => Ok(Framing::HeaderOrPrefix),
            "PrefixSchemaIdDeserializer" => Ok(Framing::Prefix),
            "ConfigSchemaIdDeserializer" => Framing::fixed(options),
            _ => Err(Failure::option(
                &key,
                class,
                "DualSchemaIdDeserializer, PrefixSchemaIdDeserializer and \
                 ConfigSchemaIdDeserializer are known",
            )),
        }
    }

    fn fixed(options: &Options) -> Result<Framing, Failure> {
        let id = match (options.int("use.schema.id")?, options.string("use.schema.guid")) {
            // Confluent's default of both means that nothing was said.
            (Some(id), _) if id >= 0 => SchemaId::Number(id),
            (_, Some(text)) if !text.is_empty() => SchemaId::parse_guid(text)
                .ok_or_else(|| Failure::option("use.schema.guid", text, "Not a GUID"))?,
            _ => {
                return Err(Failure::config(
                    "ConfigSchemaIdDeserializer needs `use.schema.id` or `use.schema.guid`",
                ));
            }
        };
        let mut message_indexes = vec![];
        for text in options.list("use.message.indexes") {
            let index = text.parse();
            message_indexes.push(index.map_err(|_| {
                Failure::option("use.message.indexes", &text, "Not a number of type INT")
            })?);
        }
        if message_indexes.is_empty() {
            message_indexes.push(0);
        }
        Ok(Framing::Fixed { id, message_indexes })
    }
}

impl Subjects {
    fn of(options: &Options, side: &str) -> Subjects {
        let strategy = options.string(&format!("{side}.subject.name.strategy"));
        match strategy.and_then(|class| class.rsplit('.').next()) {
            None | Some("" | "TopicNameStrategy") => Subjects::ByTopic,
            Some(_) => Subjects::BySchema,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::convert::Converter;
    use crate::data::{Datum, Exception};

    /// Schemas by id; remembers what it was asked for.
    #[derive(Debug, Default)]
    struct Fixed {
        schemas: Vec<(SchemaId, RegisteredSchema)>,
        asked: Mutex<Vec<String>>,
    }

    impl SchemaSource for Fixed {
        fn schema(
            &self,
            id: SchemaId,
            subject: Option<&str>,
        ) -> Result<Arc<RegisteredSchema>, Failure> {
            self.asked.lock().unwrap().push(format!("{id} {}", subject.unwrap_or("-")));
            let found = self.schemas.iter().find(|(known, _)| *known == id);
            found
                .map(|(_, schema)| Arc::new(schema.clone()))
                .ok_or_else(|| Failure::data(format!("no schema {id}")))
        }
    }

    fn schema(kind: SchemaKind, text: &str) -> RegisteredSchema {
        RegisteredSchema { kind, text: text.into(), references: vec![], version: None }
    }

    fn number(id: i32) -> SchemaId {
        SchemaId::Number(id)
    }

    fn converter(class: &str, options: &[(&str, &str)], source: &Arc<Fixed>) -> Converter {
        let options = options.iter().copied().collect();
        let mut converter = Converter::compile(class, &options).expect("compiles");
        let source: Arc<dyn SchemaSource> = Arc::<Fixed>::clone(source);
        converter.attach(Side::Value, &source);
        converter
    }

    fn read<'a>(converter: &mut Converter, bytes: &'a [u8]) -> Result<Datum<'a>, Failure> {
        let payload = Payload { topic: "t", id_header: None, bytes: Some(bytes) };
        converter.convert_payload(payload).map(|value| value.datum)
    }

    #[test]
    fn two_versions_in_one_topic_are_each_read_with_their_own_schema() {
        let one = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
        let two = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}"#;
        let source = Arc::new(Fixed {
            schemas: vec![
                (number(1), schema(SchemaKind::Avro, one)),
                (number(2), schema(SchemaKind::Avro, two)),
            ],
            asked: Mutex::default(),
        });
        let mut converter = converter("io.confluent.connect.avro.AvroConverter", &[], &source);
        for _ in 0..3 {
            let old = read(&mut converter, &[0, 0, 0, 0, 1, 4]).expect("old");
            assert_eq!(old, Datum::Struct(vec![Datum::Int32(2)]));
            let new = read(&mut converter, &[0, 0, 0, 0, 2, 4, 2, b'x']).expect("new");
            assert_eq!(new, Datum::Struct(vec![Datum::Int32(2), Datum::text("x")]));
        }
        assert_eq!(*source.asked.lock().unwrap(), ["1 t-value", "2 t-value"]);
    }

    #[test]
    fn the_header_wins_unless_the_prefix_alone_counts() {
        let source = Arc::new(Fixed {
            schemas: vec![(number(1), schema(SchemaKind::Json, r#"{"type":"integer"}"#))],
            asked: Mutex::default(),
        });
        let class = "io.confluent.connect.json.JsonSchemaConverter";
        let mut dual = converter(class, &[], &source);
        assert_eq!(dual.id_header(), Some("__value_schema_id"));
        let header: &[u8] = &[0, 0, 0, 0, 1];
        let payload = Payload { topic: "t", id_header: Some(header), bytes: Some(b"7") };
        let value = dual.convert_payload(payload).expect("reads");
        assert_eq!(value.datum, Datum::Int64(7));
        let option = ("value.schema.id.deserializer", "x.y.PrefixSchemaIdDeserializer");
        let mut prefix = converter(class, &[option], &source);
        assert_eq!(prefix.id_header(), None);
        assert!(prefix.convert_payload(payload).is_err());
        assert_eq!(read(&mut prefix, b"\0\0\0\0\x017").expect("reads"), Datum::Int64(7));
    }

    #[test]
    fn a_configured_schema_reads_bare_payloads() {
        let proto = r#"syntax = "proto3"; message A { int32 x = 1; } message B { string y = 1; }"#;
        let source = Arc::new(Fixed {
            schemas: vec![(number(5), schema(SchemaKind::Protobuf, proto))],
            asked: Mutex::default(),
        });
        let mut converter = converter(
            "io.confluent.connect.protobuf.ProtobufConverter",
            &[
                ("value.schema.id.deserializer", "ConfigSchemaIdDeserializer"),
                ("use.schema.id", "5"),
                ("use.message.indexes", "1"),
                ("value.subject.name.strategy", "io.confluent.RecordNameStrategy"),
            ],
            &source,
        );
        let value = read(&mut converter, &[0x0a, 1, b'z']).expect("reads");
        assert_eq!(value, Datum::Struct(vec![Datum::text("z")]));
        assert_eq!(*source.asked.lock().unwrap(), ["5 -"]);
    }

    #[test]
    fn what_is_wrong_with_a_frame_or_schema_is_said_and_asked_once() {
        let source = Arc::new(Fixed {
            schemas: vec![
                (number(1), schema(SchemaKind::Json, r#"{"type":"integer"}"#)),
                (number(2), schema(SchemaKind::Avro, r#"{"type":"nothing"}"#)),
            ],
            asked: Mutex::default(),
        });
        let mut converter = converter("AvroConverter", &[], &source);
        let mut refused = |bytes: &[u8]| read(&mut converter, bytes).expect_err("refused");
        let failure = refused(b"{\"a\":1}");
        assert_eq!(failure.exception, Exception::Serialization);
        assert!(failure.message.starts_with("Failed to deserialize data for topic t to Avro: "));
        assert!(failure.message.contains("Unknown magic byte!"), "{failure}");
        assert!(refused(&[0, 0, 0, 0, 1, 0]).message.contains("schema 1: it is of type JSON"));
        for _ in 0..2 {
            assert!(refused(&[0, 0, 0, 0, 2, 0]).message.contains("`nothing`"));
        }
        assert!(refused(&[0, 0, 0, 0, 3, 0]).message.contains("no schema 3"));
        let asked = source.asked.lock().unwrap();
        assert_eq!(*asked, ["1 t-value", "2 t-value", "3 t-value"]);
    }

    #[test]
    fn a_tombstone_needs_no_schema() {
        let mut converter = Converter::compile("AvroConverter", &Options::default()).unwrap();
        assert_eq!(converter.convert(None), Ok(Value::NULL));
        assert!(converter.convert(Some(&[0, 0, 0, 0, 1])).is_err());
    }

    #[test]
    fn options_that_would_change_values_are_refused() {
        for (key, value) in [
            ("use.latest.version", "true"),
            ("value.schema.id.deserializer", "com.acme.Own"),
            ("value.schema.id.deserializer", "ConfigSchemaIdDeserializer"),
        ] {
            let options = [(key, value)].into_iter().collect();
            assert!(Converter::compile("AvroConverter", &options).is_err(), "{key}");
        }
    }
}
