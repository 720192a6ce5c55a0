//! Bytes in, Connect data out: key, value and header converters by their Java class names.
//!
//! A converter is pure: what it needs from elsewhere (a registry's schema) is handed to it.

pub mod json;
pub mod json_reader;
pub mod primitive;
pub mod wire;

use std::sync::Arc;

use crate::data::options::Options;
use crate::data::{Failure, Value, literal};

pub use json::JsonConverter;
pub use primitive::Primitive;

/// One configured converter. Keeps what it learned of schemas, so use one per topic side and lane.
#[derive(Debug)]
pub enum Converter {
    Json(Box<JsonConverter>),
    Primitive(Primitive),
    /// SimpleHeaderConverter: text that tells its own type.
    Literal,
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
    ("org.apache.kafka.connect.storage.SimpleHeaderConverter", "Simple", |_| {
        Ok(Converter::Literal)
    }),
];

impl Converter {
    /// The converter of that Java class or alias, configured; unknown classes are refused by name.
    pub fn compile(class: &str, options: &Options) -> Result<Converter, Failure> {
        let class = class.trim();
        let simple = |full: &str| full.rsplit('.').next() == Some(class);
        let known = CONVERTERS
            .iter()
            .find(|(full, alias, _)| *full == class || *alias == class || simple(full));
        match known {
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
            Converter::Literal => "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        }
    }

    /// Converts one key, value or header; `None` is Kafka's null.
    pub fn convert<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Value<'a>, Failure> {
        match self {
            Converter::Json(json) => json.convert(bytes),
            Converter::Primitive(primitive) => primitive.convert(bytes),
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
