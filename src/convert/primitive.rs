//! Converters for one plain value: text, bytes, numbers in big-endian, boolean.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::data::options::Options;
use crate::data::{Datum, Failure, Schema, Type, Value};

/// How text is written in bytes (`converter.encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Latin1,
    Ascii,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    Text(Encoding),
    Bytes,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
}

/// The optional schema of each type, made once so that plans recognise it.
static SCHEMAS: LazyLock<[Schema; 8]> = LazyLock::new(|| {
    [
        Schema::optional_of(Type::String),
        Schema::optional_of(Type::Bytes),
        Schema::optional_of(Type::Int16),
        Schema::optional_of(Type::Int32),
        Schema::optional_of(Type::Int64),
        Schema::optional_of(Type::Float32),
        Schema::optional_of(Type::Float64),
        Schema::optional_of(Type::Boolean),
    ]
});

impl Primitive {
    /// StringConverter with its encoding.
    pub fn text(options: &Options) -> Result<Primitive, Failure> {
        let name = ["converter.encoding", "deserializer.encoding"]
            .iter()
            .find_map(|key| options.string(key))
            .unwrap_or("UTF-8");
        match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Ok(Primitive::Text(Encoding::Utf8)),
            "ISO-8859-1" | "ISO8859_1" | "LATIN1" => Ok(Primitive::Text(Encoding::Latin1)),
            "US-ASCII" | "ASCII" => Ok(Primitive::Text(Encoding::Ascii)),
            _ => Err(Failure::option(
                "converter.encoding",
                name,
                "only UTF-8, ISO-8859-1 and US-ASCII are read here",
            )),
        }
    }

    pub fn java_class(self) -> &'static str {
        match self {
            Primitive::Text(_) => "org.apache.kafka.connect.storage.StringConverter",
            Primitive::Bytes => "org.apache.kafka.connect.converters.ByteArrayConverter",
            Primitive::Short => "org.apache.kafka.connect.converters.ShortConverter",
            Primitive::Integer => "org.apache.kafka.connect.converters.IntegerConverter",
            Primitive::Long => "org.apache.kafka.connect.converters.LongConverter",
            Primitive::Float => "org.apache.kafka.connect.converters.FloatConverter",
            Primitive::Double => "org.apache.kafka.connect.converters.DoubleConverter",
            Primitive::Boolean => "org.apache.kafka.connect.converters.BooleanConverter",
        }
    }

    fn schema(self) -> Schema {
        let at = match self {
            Primitive::Text(_) => 0,
            Primitive::Bytes => 1,
            Primitive::Short => 2,
            Primitive::Integer => 3,
            Primitive::Long => 4,
            Primitive::Float => 5,
            Primitive::Double => 6,
            Primitive::Boolean => 7,
        };
        SCHEMAS[at].clone()
    }

    /// A null keeps the schema, as in Connect: a tombstone under StringConverter is (string, null).
    pub fn convert<'a>(self, bytes: Option<&'a [u8]>) -> Result<Value<'a>, Failure> {
        let Some(bytes) = bytes else { return Ok(Value::new(self.schema(), Datum::Null)) };
        let datum = match self {
            Primitive::Text(encoding) => Datum::String(encoding.decode(bytes)),
            Primitive::Bytes => Datum::Bytes(Cow::Borrowed(bytes)),
            Primitive::Short => Datum::Int16(i16::from_be_bytes(fixed(bytes, "short")?)),
            Primitive::Integer => Datum::Int32(i32::from_be_bytes(fixed(bytes, "integer")?)),
            Primitive::Long => Datum::Int64(i64::from_be_bytes(fixed(bytes, "long")?)),
            Primitive::Float => Datum::Float32(f32::from_be_bytes(fixed(bytes, "float")?)),
            Primitive::Double => Datum::Float64(f64::from_be_bytes(fixed(bytes, "double")?)),
            Primitive::Boolean => match fixed(bytes, "boolean")? {
                [0] => Datum::Boolean(false),
                [1] => Datum::Boolean(true),
                [other] => {
                    let why = format!("Failed to deserialize boolean: unexpected byte {other}");
                    return Err(Failure::data(why));
                }
            },
        };
        Ok(Value::new(self.schema(), datum))
    }
}

fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Failure> {
    bytes.try_into().map_err(|_| {
        let why = format!("{} bytes instead of {N}", bytes.len());
        Failure::data(format!("Failed to deserialize {what}: {why}"))
    })
}

impl Encoding {
    /// What cannot be decoded becomes U+FFFD, as in Java.
    fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Encoding::Utf8 => String::from_utf8_lossy(bytes),
            Encoding::Latin1 => bytes.iter().map(|&b| char::from(b)).collect(),
            Encoding::Ascii => {
                let char_of =
                    |b: u8| if b < 128 { char::from(b) } else { char::REPLACEMENT_CHARACTER };
                bytes.iter().map(|&b| char_of(b)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_their_exact_length() {
        let long = Primitive::Long.convert(Some(&[0, 0, 0, 0, 0, 0, 0, 42])).expect("eight bytes");
        assert_eq!(long.datum, Datum::Int64(42));
        assert!(Primitive::Long.convert(Some(&[0, 42])).is_err());
        assert!(Primitive::Boolean.convert(Some(&[2])).is_err());
    }

    #[test]
    fn a_null_keeps_its_schema() {
        let value = Primitive::Bytes.convert(None).expect("null is fine");
        assert_eq!(value.schema, Some(Schema::optional_of(Type::Bytes)));
        assert!(value.datum.is_null());
    }

    #[test]
    fn text_is_decoded_in_the_named_encoding() {
        let latin: Options = [("converter.encoding", "ISO-8859-1")].into_iter().collect();
        let text = Primitive::text(&latin).expect("known");
        assert_eq!(text.convert(Some(b"\xfc")).expect("decodes").datum, Datum::text("ü"));
        let other: Options = [("converter.encoding", "EBCDIC")].into_iter().collect();
        assert!(Primitive::text(&other).is_err());
    }
}
