//! Protobuf's binary form under a resolved schema. Fetches nothing: framing is [`super::wire`]'s,
//! registries are elsewhere.
//!
//! A message that contains itself has no columns: at the second meeting it becomes text that holds
//! JSON (see [`super::json_schema::ANY`]).

mod compile;
mod source;

use std::sync::Arc;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value as Proto};

use crate::data::options::Options;
use crate::data::time::{MILLIS_PER_DAY, days_of_date};
use crate::data::{Datum, Decimal, Failure, Schema, Type, Value, json_text};

/// Options of ProtobufConverter that change what is read.
#[derive(Debug, Clone, Copy)]
pub struct ProtobufOptions {
    /// `enhanced.protobuf.schema.support`: schemas have full names.
    pub full_names: bool,
    /// `int.for.enums`
    pub int_for_enums: bool,
    /// `optional.for.nullables`: only what can be absent is optional.
    pub optional_for_nullables: bool,
    /// `optional.for.proto2`
    pub optional_for_proto2: bool,
    /// `wrapper.for.nullables`: wrapper messages are plain nullable values.
    pub wrappers_are_plain: bool,
    /// `wrapper.for.raw.primitives`: a wrapper as the whole message is a plain value.
    pub raw_wrappers_are_plain: bool,
    /// `generate.index.for.unions`: a oneof's struct is `name_0`.
    pub index_for_unions: bool,
    /// `flatten.unions`: a oneof's members are fields of the message.
    pub flatten_unions: bool,
}

impl ProtobufOptions {
    pub fn compile(options: &Options) -> Result<ProtobufOptions, Failure> {
        for key in ["generalized.sum.type.support", "generate.struct.for.nulls"] {
            if options.boolean(key, false)? {
                return Err(Failure::config(format!("`{key}` is not supported for Protobuf here")));
            }
        }
        Ok(ProtobufOptions {
            full_names: options.boolean("enhanced.protobuf.schema.support", false)?,
            int_for_enums: options.boolean("int.for.enums", false)?,
            optional_for_nullables: options.boolean("optional.for.nullables", false)?,
            optional_for_proto2: options.boolean("optional.for.proto2", true)?,
            wrappers_are_plain: options.boolean("wrapper.for.nullables", false)?,
            raw_wrappers_are_plain: options.boolean("wrapper.for.raw.primitives", true)?,
            index_for_unions: options.boolean("generate.index.for.unions", true)?,
            flatten_unions: options.boolean("flatten.unions", false)?,
        })
    }
}

/// One message type of one schema, ready to decode. Cheap to share between lanes.
#[derive(Debug, Clone)]
pub struct ProtobufDecoder {
    message: MessageDescriptor,
    plan: Arc<Plan>,
    schema: Schema,
}

/// How one value becomes Connect data.
#[derive(Debug)]
enum Plan {
    /// Numbers, booleans, text and bytes; integers narrowed to this type.
    Plain(Type),
    EnumName(prost_reflect::EnumDescriptor),
    EnumNumber,
    Message(Vec<Member>),
    /// A wrapper message: its field `value`.
    Wrapper(FieldDescriptor, Box<Plan>),
    Timestamp,
    Date,
    TimeOfDay,
    Decimal(Option<i32>),
    List(Box<Plan>),
    Map(Box<Plan>, Box<Plan>),
    /// A message as JSON text.
    Json,
}

/// One field of a struct.
#[derive(Debug)]
enum Member {
    Field(FieldDescriptor, Plan),
    OneOf(Vec<(FieldDescriptor, Plan)>),
}

/// Message types written out for one schema at most.
const MOST_FIELDS: usize = 100_000;

impl ProtobufDecoder {
    /// Compiles a schema: `.proto` text, or a base64 FileDescriptorProto as some clients register it.
    /// `references`: (import path, schema). `indexes`: the frame's path to the message type.
    pub fn compile(
        schema: &str,
        references: &[(&str, &str)],
        indexes: &[i32],
        version: Option<i32>,
        options: ProtobufOptions,
    ) -> Result<ProtobufDecoder, Failure> {
        let file = source::file(schema, references)?;
        let message = source::message(&file, indexes)?;
        let (plan, mut def) = compile::compile(&message, options)?;
        def.version = def.version.or(version);
        Ok(ProtobufDecoder { message, plan: Arc::new(plan), schema: def.build() })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The message type, for tests and messages.
    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    /// Decodes one message without its frame.
    pub fn decode(&self, payload: &[u8]) -> Result<Value<'static>, Failure> {
        let message = DynamicMessage::decode(self.message.clone(), payload).map_err(|error| {
            Failure::data(format!("Failed to deserialize Protobuf data: {error}"))
        })?;
        let datum = self.plan.read(&Proto::Message(message))?;
        Ok(Value::new(self.schema.clone(), datum))
    }
}

impl Plan {
    fn read(&self, value: &Proto) -> Result<Datum<'static>, Failure> {
        Ok(match (self, value) {
            (Plan::Plain(kind), value) => plain(*kind, value)?,
            (Plan::EnumName(descriptor), Proto::EnumNumber(number)) => {
                // A number that the schema does not know keeps its digits.
                let name = descriptor.get_value(*number).map(|value| value.name().to_string());
                Datum::text(name.unwrap_or_else(|| number.to_string()))
            }
            (Plan::EnumNumber, Proto::EnumNumber(number)) => Datum::Int32(*number),
            (Plan::Message(members), Proto::Message(message)) => {
                let mut values = Vec::with_capacity(members.len());
                for member in members {
                    values.push(match member {
                        Member::Field(field, plan) => read_field(message, field, plan)?,
                        Member::OneOf(fields)
                            if fields.iter().any(|(f, _)| message.has_field(f)) =>
                        {
                            let read =
                                |(f, plan): &(FieldDescriptor, Plan)| read_field(message, f, plan);
                            Datum::Struct(fields.iter().map(read).collect::<Result<_, _>>()?)
                        }
                        Member::OneOf(_) => Datum::Null,
                    });
                }
                Datum::Struct(values)
            }
            (Plan::Wrapper(field, plan), Proto::Message(message)) => {
                plan.read(&message.get_field(field))?
            }
            (Plan::Timestamp, Proto::Message(message)) => {
                let millis = long(message, "seconds")
                    .checked_mul(1_000)
                    .and_then(|millis| millis.checked_add(long(message, "nanos") / 1_000_000));
                match millis {
                    Some(millis) => Datum::Int64(millis),
                    None => return Err(Failure::data("a Timestamp is too far for milliseconds")),
                }
            }
            (Plan::Date, Proto::Message(message)) => {
                let part = |name| long(message, name);
                let days = days_of_date(part("year"), part("month"), part("day"));
                Datum::Int32(days as i32)
            }
            (Plan::TimeOfDay, Proto::Message(message)) => {
                let part = |name| long(message, name);
                let seconds = (part("hours") * 60 + part("minutes")) * 60 + part("seconds");
                let millis = seconds * 1_000 + part("nanos") / 1_000_000;
                Datum::Int32(millis.clamp(0, MILLIS_PER_DAY) as i32)
            }
            (Plan::Decimal(scale), Proto::Message(message)) => {
                let bytes = message.get_field_by_name("value");
                let bytes = bytes.as_ref().and_then(|value| value.as_bytes());
                let scale = scale.unwrap_or(long(message, "scale") as i32);
                Datum::Decimal(Box::new(Decimal::from_bytes(bytes.map_or(&[], |b| b), scale)))
            }
            (Plan::List(inner), Proto::List(items)) => {
                Datum::Array(items.iter().map(|item| inner.read(item)).collect::<Result<_, _>>()?)
            }
            (Plan::Map(key, inner), Proto::Map(entries)) => {
                let mut out = Vec::with_capacity(entries.len());
                for (map_key, value) in entries {
                    out.push((key.read(&key_value(map_key))?, inner.read(value)?));
                }
                // The library's map has no order; a stable one makes equal messages equal rows.
                out.sort_by_key(|(key, _)| format!("{key:?}"));
                Datum::Map(out)
            }
            (Plan::Json, value) => {
                let mut out = Vec::new();
                json_text::write(&mut out, None, &as_json(value), json_text::Times::Numbers)?;
                Datum::text(String::from_utf8_lossy(&out).into_owned())
            }
            (_, other) => return Err(mismatch(other)),
        })
    }
}

/// Absent is null where presence is known; else a scalar has its zero value.
fn read_field(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    plan: &Plan,
) -> Result<Datum<'static>, Failure> {
    if field.supports_presence() && !message.has_field(field) {
        return Ok(Datum::Null);
    }
    plan.read(&message.get_field(field)).map_err(|f| Failure {
        message: format!("{} (in field `{}`)", f.message, field.name()),
        ..f
    })
}

fn plain(kind: Type, value: &Proto) -> Result<Datum<'static>, Failure> {
    let narrowed = |value: i32| {
        let datum = match kind {
            Type::Int8 => i8::try_from(value).ok().map(Datum::Int8),
            Type::Int16 => i16::try_from(value).ok().map(Datum::Int16),
            _ => Some(Datum::Int32(value)),
        };
        datum.ok_or_else(|| Failure::data(format!("{value} is no value of type {}", kind.name())))
    };
    Ok(match value {
        Proto::Bool(v) => Datum::Boolean(*v),
        Proto::I32(v) => narrowed(*v)?,
        Proto::I64(v) => Datum::Int64(*v),
        Proto::U32(v) => Datum::Int64((*v).into()),
        // As in Java, two's complement; the schema's parameter says that it is unsigned.
        Proto::U64(v) => Datum::Int64(*v as i64),
        Proto::F32(v) => Datum::Float32(*v),
        Proto::F64(v) => Datum::Float64(*v),
        Proto::String(v) => Datum::text(v.clone()),
        Proto::Bytes(v) => Datum::Bytes(v.to_vec().into()),
        other => return Err(mismatch(other)),
    })
}

fn mismatch(value: &Proto) -> Failure {
    Failure::data(format!("Protobuf value {value:?} does not fit its schema"))
}

fn long(message: &DynamicMessage, name: &str) -> i64 {
    match message.get_field_by_name(name).as_deref() {
        Some(Proto::I64(value)) => *value,
        Some(Proto::I32(value)) => (*value).into(),
        _ => 0,
    }
}

fn key_value(key: &prost_reflect::MapKey) -> Proto {
    Proto::from(key.clone())
}

/// A value as schemaless data: set fields by name.
fn as_json(value: &Proto) -> Datum<'static> {
    match value {
        Proto::Message(message) => {
            let field = |(field, value): (FieldDescriptor, &Proto)| {
                (Datum::text(field.name().to_string()), as_json(value))
            };
            Datum::Map(message.fields().map(field).collect())
        }
        Proto::List(items) => Datum::Array(items.iter().map(as_json).collect()),
        Proto::Map(entries) => {
            let text = |key: &prost_reflect::MapKey| match as_json(&key_value(key)) {
                key @ Datum::String(_) => key,
                Datum::Boolean(key) => Datum::text(key.to_string()),
                Datum::Int64(key) => Datum::text(key.to_string()),
                Datum::Int32(key) => Datum::text(key.to_string()),
                other => other,
            };
            let mut out: Vec<_> =
                entries.iter().map(|(key, value)| (text(key), as_json(value))).collect();
            out.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
            Datum::Map(out)
        }
        Proto::EnumNumber(number) => Datum::Int32(*number),
        Proto::U64(number) => match i64::try_from(*number) {
            Ok(number) => Datum::Int64(number),
            Err(_) => Datum::Number(number.to_string().into()),
        },
        plain_value => plain(Type::Int32, plain_value).unwrap_or(Datum::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ProtobufOptions {
        ProtobufOptions::compile(&Options::default()).expect("defaults")
    }

    #[track_caller]
    fn decoder(proto: &str, indexes: &[i32]) -> ProtobufDecoder {
        ProtobufDecoder::compile(proto, &[], indexes, None, options()).expect("compiles")
    }

    #[test]
    fn a_descriptor_of_another_syntax_is_refused_by_name() {
        // A FileDescriptorProto that says `editions`.
        let compiled = ProtobufDecoder::compile("YghlZGl0aW9ucw==", &[], &[0], None, options());
        let failure = compiled.expect_err("not known");
        assert!(failure.message.contains("syntax `editions`"), "{}", failure.message);
    }

    #[test]
    fn absent_scalars_are_zero_and_absent_optionals_null() {
        let decoder = decoder(
            r#"syntax = "proto3"; message Row { int32 a = 1; optional int32 b = 2; Row c = 3; repeated string d = 4; }"#,
            &[0],
        );
        let value = decoder.decode(&[]).expect("decodes");
        let expect = vec![Datum::Int32(0), Datum::Null, Datum::Null, Datum::Array(vec![])];
        assert_eq!(value.datum, Datum::Struct(expect));
    }

    #[test]
    fn a_message_within_itself_is_json_text() {
        let decoder =
            decoder(r#"syntax = "proto3"; message Row { int32 a = 1; Row c = 3; }"#, &[0]);
        let value = decoder.decode(&[0x1a, 2, 8, 7]).expect("decodes");
        let expect = vec![Datum::Int32(0), Datum::text(r#"{"a":7}"#)];
        assert_eq!(value.datum, Datum::Struct(expect));
    }

    #[test]
    fn message_indexes_name_nested_types() {
        let proto = r#"syntax = "proto3"; message A { map<string,int32> m = 1; message B { int64 x = 1; } } message C {}"#;
        assert_eq!(decoder(proto, &[0, 0]).message().name(), "B");
        assert_eq!(decoder(proto, &[1]).message().name(), "C");
        assert!(ProtobufDecoder::compile(proto, &[], &[2], None, options()).is_err());
    }

    #[test]
    fn imports_come_from_references_and_well_known_files() {
        let proto = r#"syntax = "proto3"; import "geo/p.proto"; import "google/protobuf/timestamp.proto"; import "google/type/date.proto";
            message Row { geo.P p = 1; google.protobuf.Timestamp t = 2; google.type.Date d = 3; }"#;
        let point = r#"syntax = "proto3"; package geo; message P { sint32 x = 1; }"#;
        let decoder =
            ProtobufDecoder::compile(proto, &[("geo/p.proto", point)], &[0], None, options())
                .expect("compiles");
        let value = decoder.decode(&[0x0a, 2, 8, 1, 0x12, 2, 8, 5]).expect("decodes");
        let point = Datum::Struct(vec![Datum::Int32(-1)]);
        assert_eq!(value.datum, Datum::Struct(vec![point, Datum::Int64(5_000), Datum::Null]));
        assert!(ProtobufDecoder::compile(proto, &[], &[0], None, options()).is_err());
    }

    #[test]
    fn an_unsigned_number_is_written_unsigned() {
        let decoder = decoder(r#"syntax = "proto3"; message Row { uint64 a = 1; }"#, &[0]);
        let bytes = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let value = decoder.decode(&bytes).expect("decodes");
        assert_eq!(value.datum, Datum::Struct(vec![Datum::Int64(-1)]));
        let mut out = Vec::new();
        json_text::write(&mut out, value.schema.as_ref(), &value.datum, json_text::Times::Text)
            .expect("writes");
        assert_eq!(out, br#"{"a":18446744073709551615}"#);
    }
}
