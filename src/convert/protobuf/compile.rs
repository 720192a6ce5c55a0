//! A message type as Connect sees it: the mapping of Confluent's ProtobufData, reading side.

use prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax, Value as Proto,
};

use super::{MOST_FIELDS, Member, Plan, ProtobufOptions};
use crate::convert::json_schema::ANY;
use crate::data::schema::{DATE, DECIMAL, SCALE, TIME, TIMESTAMP, UNSIGNED};
use crate::data::{Failure, Schema, SchemaDef, Type};

const TAG: &str = "io.confluent.connect.protobuf.Tag";
const ENUM: &str = "io.confluent.connect.protobuf.Enum";
const PRECISION: &str = "connect.decimal.precision";
const FIELD_META: &str = "confluent.field_meta";

type Compiled = (Plan, SchemaDef);

struct Compiler {
    options: ProtobufOptions,
    /// Messages being compiled, by full name.
    open: Vec<String>,
    fields: usize,
}

pub(super) fn compile(
    message: &MessageDescriptor,
    options: ProtobufOptions,
) -> Result<Compiled, Failure> {
    let mut compiler = Compiler { options, open: Vec::new(), fields: 0 };
    if options.raw_wrappers_are_plain && is_wrapper(message) {
        return compiler.wrapper(message);
    }
    compiler.message(message)
}

fn is_wrapper(message: &MessageDescriptor) -> bool {
    let name = message.full_name();
    name.strip_prefix("google.protobuf.").is_some_and(|name| {
        matches!(
            name,
            "DoubleValue"
                | "FloatValue"
                | "Int64Value"
                | "UInt64Value"
                | "Int32Value"
                | "UInt32Value"
                | "BoolValue"
                | "StringValue"
                | "BytesValue"
        )
    })
}

/// The parameters that Confluent's own serializer puts on a field.
fn meta(field: &FieldDescriptor) -> Vec<(String, String)> {
    let options = field.options();
    let mut found = Vec::new();
    for (extension, value) in options.extensions() {
        let (FIELD_META, Proto::Message(meta)) = (extension.full_name(), value) else { continue };
        let params = meta.get_field_by_name("params");
        if let Some(Proto::Map(entries)) = params.as_deref() {
            for (key, value) in entries {
                if let (Some(key), Some(value)) = (key.as_str(), value.as_str()) {
                    found.push((key.to_string(), value.to_string()));
                }
            }
        }
    }
    found
}

fn param<'m>(meta: &'m [(String, String)], key: &str) -> Option<&'m str> {
    meta.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

impl Compiler {
    fn name(&self, simple: &str, full: &str) -> std::sync::Arc<str> {
        if self.options.full_names { full.into() } else { simple.into() }
    }

    fn message(&mut self, message: &MessageDescriptor) -> Result<Compiled, Failure> {
        let full = message.full_name().to_string();
        if self.open.contains(&full) {
            let mut def = SchemaDef::new(Type::String);
            def.name = Some(ANY.into());
            return Ok((Plan::Json, def));
        }
        self.open.push(full);
        let mut def = SchemaDef::new(Type::Struct);
        def.name = Some(self.name(message.name(), message.full_name()));
        let mut members = Vec::new();
        let unions = message.oneofs().filter(|union| !union.is_synthetic());
        for (at, union) in unions.enumerate() {
            let mut inner = SchemaDef::new(Type::Struct).optional();
            let mut choices = Vec::new();
            for field in union.fields() {
                let (plan, schema) = self.field(&field)?;
                if self.options.flatten_unions {
                    def.add_field(field.name(), schema)?;
                    members.push(Member::Field(field, plan));
                } else {
                    inner.add_field(field.name(), schema)?;
                    choices.push((field, plan));
                }
            }
            if !self.options.flatten_unions {
                let name = match self.options.index_for_unions {
                    true => format!("{}_{at}", union.name()),
                    false => union.name().to_string(),
                };
                inner.name = Some(name.as_str().into());
                def.add_field(name, inner.build())?;
                members.push(Member::OneOf(choices));
            }
        }
        let mut plain: Vec<FieldDescriptor> = message
            .fields()
            .filter(|field| field.containing_oneof().is_none_or(|union| union.is_synthetic()))
            .collect();
        // In the order of the file, not of the tags.
        plain.sort_by_key(|field| field.path().last().copied());
        for field in plain {
            let (plan, schema) = self.field(&field)?;
            def.add_field(field.name(), schema)?;
            members.push(Member::Field(field, plan));
        }
        self.open.pop();
        Ok((Plan::Message(members), def))
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<(Plan, Schema), Failure> {
        self.fields += 1;
        if self.fields > MOST_FIELDS {
            return Err(Failure::data("the Protobuf schema holds too many fields"));
        }
        let (plan, def) = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return Err(Failure::data("a Protobuf map has no entry type"));
            };
            let (key, key_def) = self.kind(&entry.map_entry_key_field())?;
            let (value, value_def) = self.kind(&entry.map_entry_value_field())?;
            let mut map = SchemaDef::new(Type::Map);
            map.keys = Some(key_def.optional().build());
            map.items = Some(value_def.optional().build());
            (Plan::Map(Box::new(key), Box::new(value)), map)
        } else if field.is_list() {
            let (plan, item) = self.kind(field)?;
            let mut array = SchemaDef::new(Type::Array);
            array.items = Some(item.optional().build());
            (Plan::List(Box::new(plan)), array)
        } else {
            self.kind(field)?
        };
        let mut def = def.parameter(TAG, &field.number().to_string());
        def.optional = self.is_optional(field);
        Ok((plan, def.build()))
    }

    fn is_optional(&self, field: &FieldDescriptor) -> bool {
        if !self.options.optional_for_nullables {
            // Proto2's `required` is the only field that cannot be absent.
            return field.cardinality() != prost_reflect::Cardinality::Required;
        }
        let proto2 = field.parent_file().syntax() == Syntax::Proto2;
        if proto2 && !self.options.optional_for_proto2 {
            return false;
        }
        field.supports_presence() && field.cardinality() != prost_reflect::Cardinality::Required
    }

    /// One value of a field, whatever its cardinality.
    fn kind(&mut self, field: &FieldDescriptor) -> Result<Compiled, Failure> {
        let plain = |kind| (Plan::Plain(kind), SchemaDef::new(kind));
        let meta = meta(field);
        Ok(match field.kind() {
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => match param(&meta, "connect.type") {
                Some("int8") => plain(Type::Int8),
                Some("int16") => plain(Type::Int16),
                _ => plain(Type::Int32),
            },
            Kind::Uint32 | Kind::Fixed32 | Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                plain(Type::Int64)
            }
            Kind::Uint64 | Kind::Fixed64 => {
                let (plan, def) = plain(Type::Int64);
                (plan, def.parameter(UNSIGNED, "true"))
            }
            Kind::Float => plain(Type::Float32),
            Kind::Double => plain(Type::Float64),
            Kind::Bool => plain(Type::Boolean),
            Kind::String => plain(Type::String),
            Kind::Bytes => plain(Type::Bytes),
            Kind::Enum(descriptor) => self.enumeration(descriptor),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => {
                    (Plan::Timestamp, SchemaDef::new(Type::Int64).named(TIMESTAMP, 1))
                }
                "google.type.Date" => (Plan::Date, SchemaDef::new(Type::Int32).named(DATE, 1)),
                "google.type.TimeOfDay" => {
                    (Plan::TimeOfDay, SchemaDef::new(Type::Int32).named(TIME, 1))
                }
                "confluent.type.Decimal" => decimal(&meta),
                _ if self.options.wrappers_are_plain && is_wrapper(&message) => {
                    self.wrapper(&message)?
                }
                _ => self.message(&message)?,
            },
        })
    }

    fn wrapper(&mut self, message: &MessageDescriptor) -> Result<Compiled, Failure> {
        let Some(field) = message.get_field_by_name("value") else {
            return Err(Failure::data("a Protobuf wrapper has no value"));
        };
        let (plan, def) = self.kind(&field)?;
        Ok((Plan::Wrapper(field, Box::new(plan)), def))
    }

    fn enumeration(&self, descriptor: EnumDescriptor) -> Compiled {
        if self.options.int_for_enums {
            return (Plan::EnumNumber, SchemaDef::new(Type::Int32));
        }
        let mut def = SchemaDef::new(Type::String);
        for value in descriptor.values() {
            def = def.parameter(&format!("{ENUM}.{}", value.name()), &value.number().to_string());
        }
        def.name = Some(self.name(descriptor.name(), descriptor.full_name()));
        (Plan::EnumName(descriptor), def)
    }
}

/// A decimal whose scale the field's parameters name; without one, each value brings its own.
fn decimal(meta: &[(String, String)]) -> Compiled {
    let scale = param(meta, SCALE).and_then(|scale| scale.parse::<i32>().ok());
    let mut def = SchemaDef::new(Type::Bytes)
        .named(DECIMAL, 1)
        .parameter(SCALE, &scale.unwrap_or(0).to_string());
    if let Some(precision) = param(meta, "precision") {
        def = def.parameter(PRECISION, precision);
    }
    (Plan::Decimal(scale), def)
}
