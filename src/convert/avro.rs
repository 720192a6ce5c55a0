//! Avro's binary form under a resolved schema. Fetches nothing: framing is [`super::wire`]'s,
//! registries are elsewhere.
//!
//! The schema is read here and not by a general library, because Connect's mapping lives in
//! attributes of plain types (`connect.type`, `connect.default`) that libraries drop, and because
//! values are decoded straight into Connect data, text and bytes borrowed from the message.

mod compile;

use std::borrow::Cow;
use std::sync::Arc;

use crate::data::options::Options;
use crate::data::{Datum, Decimal, Failure, Schema, Type, Value};

/// Options of AvroConverter that change what is read.
#[derive(Debug, Clone, Copy)]
pub struct AvroOptions {
    /// `enhanced.avro.schema.support`: members of unions are named by their full names.
    pub full_names: bool,
    /// `flatten.singleton.unions`.
    pub flatten_singletons: bool,
    /// `connect.meta.data`: the record's version goes into the schema.
    pub meta_data: bool,
}

impl AvroOptions {
    pub fn compile(options: &Options) -> Result<AvroOptions, Failure> {
        if options.boolean("generalized.sum.type.support", false)? {
            return Err(Failure::config(
                "`generalized.sum.type.support` is not supported for Avro here",
            ));
        }
        Ok(AvroOptions {
            full_names: options.boolean("enhanced.avro.schema.support", false)?,
            flatten_singletons: options.boolean("flatten.singleton.unions", true)?,
            meta_data: options.boolean("connect.meta.data", true)?,
        })
    }
}

/// One writer schema, ready to decode. Cheap to share between lanes.
#[derive(Debug, Clone)]
pub struct AvroDecoder {
    plan: Arc<Plan>,
    schema: Schema,
}

/// How to read one value; parallel to its Connect schema.
#[derive(Debug)]
enum Plan {
    Null,
    Boolean,
    /// A varint, narrowed to this Connect type.
    Int(Type),
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    /// Unscaled bytes; with a length when fixed.
    Decimal {
        scale: i32,
        fixed: Option<usize>,
    },
    Enum(Vec<String>),
    Array(Box<Plan>),
    Map(Box<Plan>),
    /// An array of records of key and value.
    Pairs(Box<Plan>, Box<Plan>),
    Record(Vec<Plan>),
    /// A union of null and one more; where null stands.
    Optional {
        null: usize,
        inner: Box<Plan>,
    },
    /// A wider union: the members in order, null without a field.
    Union {
        members: Vec<(Plan, Option<usize>)>,
        fields: usize,
    },
}

/// Elements believed before they are seen; a longer claim grows as it is read.
const FIRST_RESERVED: usize = 64;
/// Elements of one message that take no bytes (empty records) at most: a few bytes could claim any
/// number.
const MOST_EMPTY: usize = 1 << 16;

impl AvroDecoder {
    /// Compiles a schema. `references` are the schemas of other subjects it names, each after those
    /// it needs itself. `version` is the registry's, where known.
    pub fn compile(
        schema: &str,
        references: &[&str],
        version: Option<i32>,
        options: AvroOptions,
    ) -> Result<AvroDecoder, Failure> {
        let (plan, schema) = compile::compile(schema, references, version, options)?;
        Ok(AvroDecoder { plan: Arc::new(plan), schema })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Decodes one message without its frame. Bytes behind it are refused: they mean that another
    /// schema wrote it.
    pub fn decode<'a>(&self, payload: &'a [u8]) -> Result<Value<'a>, Failure> {
        let mut input = Input { bytes: payload, at: 0, empty: 0 };
        let datum = self.plan.read(&mut input)?;
        if input.at != payload.len() {
            return input.fail("more bytes than the schema describes");
        }
        Ok(Value::new(self.schema.clone(), datum))
    }
}

impl Plan {
    fn read<'a>(&self, input: &mut Input<'a>) -> Result<Datum<'a>, Failure> {
        Ok(match self {
            Plan::Null => Datum::Null,
            Plan::Boolean => match input.take(1)? {
                [0] => Datum::Boolean(false),
                [1] => Datum::Boolean(true),
                _ => return input.fail("a boolean is neither 0 nor 1"),
            },
            Plan::Int(kind) => {
                let value = input.long()?;
                let narrowed = match kind {
                    Type::Int8 => i8::try_from(value).ok().map(Datum::Int8),
                    Type::Int16 => i16::try_from(value).ok().map(Datum::Int16),
                    _ => i32::try_from(value).ok().map(Datum::Int32),
                };
                match narrowed {
                    Some(datum) => datum,
                    None => return input.fail("an integer is too large for its type"),
                }
            }
            Plan::Long => Datum::Int64(input.long()?),
            Plan::Float => Datum::Float32(f32::from_le_bytes(input.array()?)),
            Plan::Double => Datum::Float64(f64::from_le_bytes(input.array()?)),
            Plan::Bytes => Datum::Bytes(Cow::Borrowed(input.counted()?)),
            Plan::String => Datum::String(Cow::Borrowed(input.text()?)),
            Plan::Fixed(length) => Datum::Bytes(Cow::Borrowed(input.take(*length)?)),
            Plan::Decimal { scale, fixed } => {
                let bytes = match fixed {
                    Some(length) => input.take(*length)?,
                    None => input.counted()?,
                };
                Datum::Decimal(Box::new(Decimal::from_bytes(bytes, *scale)))
            }
            Plan::Enum(symbols) => {
                let symbol = usize::try_from(input.long()?).ok().and_then(|at| symbols.get(at));
                match symbol {
                    Some(symbol) => Datum::text(symbol.clone()),
                    None => return input.fail("an enum has no such symbol"),
                }
            }
            Plan::Array(inner) => Datum::Array(input.blocks(|input| inner.read(input))?),
            Plan::Map(inner) => Datum::Map(input.blocks(|input| {
                let key = Datum::String(Cow::Borrowed(input.text()?));
                Ok((key, inner.read(input)?))
            })?),
            Plan::Pairs(key, value) => {
                Datum::Map(input.blocks(|input| Ok((key.read(input)?, value.read(input)?)))?)
            }
            Plan::Record(fields) => {
                let mut values = Vec::with_capacity(fields.len());
                for field in fields {
                    values.push(field.read(input)?);
                }
                Datum::Struct(values)
            }
            Plan::Optional { null, inner } => match input.long()? {
                at if at == *null as i64 => Datum::Null,
                0 | 1 => inner.read(input)?,
                _ => return input.fail("a union has no such member"),
            },
            Plan::Union { members, fields } => {
                let member = usize::try_from(input.long()?).ok().and_then(|at| members.get(at));
                match member {
                    Some((_, None)) => Datum::Null,
                    Some((plan, Some(field))) => {
                        let mut values = vec![Datum::Null; *fields];
                        values[*field] = plan.read(input)?;
                        Datum::Struct(values)
                    }
                    None => return input.fail("a union has no such member"),
                }
            }
        })
    }
}

/// The bytes of a message, read from the front.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Elements so far that took no bytes.
    empty: usize,
}

impl<'a> Input<'a> {
    fn fail<T>(&self, why: &str) -> Result<T, Failure> {
        let at = self.at;
        Err(Failure::data(format!("Failed to deserialize Avro data at byte {at}: {why}")))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        match self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => self.fail("the message ends too early"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        Ok(self.take(N)?.try_into().expect("as many bytes as asked for"))
    }

    /// A zig-zag varint of 64 bits.
    #[inline]
    fn long(&mut self) -> Result<i64, Failure> {
        let mut value: u64 = 0;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return self.fail("the message ends too early");
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        self.fail("an integer is too long")
    }

    fn counted(&mut self) -> Result<&'a [u8], Failure> {
        match usize::try_from(self.long()?) {
            Ok(length) => self.take(length),
            Err(_) => self.fail("a length is negative"),
        }
    }

    fn text(&mut self) -> Result<&'a str, Failure> {
        let bytes = self.counted()?;
        std::str::from_utf8(bytes).or_else(|_| self.fail("a string is not UTF-8"))
    }

    /// The blocks of an array or map. A negative count is followed by the block's size.
    fn blocks<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(items);
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg().unwrap_or(i64::MAX);
            }
            items.reserve((count as usize).min(FIRST_RESERVED));
            for _ in 0..count {
                let before = self.at;
                items.push(each(self)?);
                self.empty += usize::from(self.at == before);
                if self.empty > MOST_EMPTY {
                    return self.fail("too many elements without content");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: AvroOptions =
        AvroOptions { full_names: false, flatten_singletons: true, meta_data: true };

    #[track_caller]
    fn check(schema: &str, bytes: &[u8], expect: Option<Datum<'_>>) {
        let decoder = AvroDecoder::compile(schema, &[], None, PLAIN).expect("compiles");
        assert_eq!(decoder.decode(bytes).ok().map(|value| value.datum), expect, "{bytes:?}");
    }

    #[test]
    fn values_are_decoded_and_every_byte_must_be_used() {
        check("\"long\"", &[0x01], Some(Datum::Int64(-1)));
        check(
            "\"long\"",
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            Some(Datum::Int64(i64::MAX)),
        );
        check("\"int\"", &[0x80, 0x80, 0x80, 0x80, 0x20], None);
        check("\"string\"", &[0x04, b'h', b'i'], Some(Datum::text("hi")));
        check("\"string\"", &[0x04, b'h'], None);
        check("\"string\"", &[0x01], None);
        check("\"boolean\"", &[2], None);
        check("\"long\"", &[0x02, 0x00], None);
        check("[\"null\",\"int\"]", &[0], Some(Datum::Null));
        check("[\"int\",\"null\"]", &[0, 4], Some(Datum::Int32(2)));
        check("[\"int\",\"null\"]", &[4], None);
    }

    #[test]
    fn blocks_come_with_and_without_their_size() {
        let array = r#"{"type":"array","items":"int"}"#;
        let two = Datum::Array(vec![Datum::Int32(1), Datum::Int32(2)]);
        check(array, &[4, 2, 4, 0], Some(two.clone()));
        check(array, &[3, 4, 2, 4, 0], Some(two));
        let nulls = r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#;
        check(nulls, &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0], None);
        // Nor may many arrays share them out.
        let nested = format!(r#"{{"type":"array","items":{nulls}}}"#);
        let one = [0xfe, 0xff, 0x03, 0];
        check(&nested, &[&[6], &one[..], &one, &one, &[0]].concat(), None);
    }

    #[test]
    fn a_wider_union_is_a_struct_with_one_field_set() {
        let schema =
            r#"["null","int",{"type":"record","name":"a.R","fields":[{"name":"x","type":"int"}]}]"#;
        let decoder = AvroDecoder::compile(schema, &[], None, PLAIN).expect("compiles");
        let names: Vec<_> = decoder.schema().fields.iter().map(|f| f.name.to_string()).collect();
        assert_eq!(names, ["int", "R"]);
        assert!(decoder.schema().optional);
        let record = Datum::Struct(vec![Datum::Int32(3)]);
        check(schema, &[4, 6], Some(Datum::Struct(vec![Datum::Null, record])));
    }

    #[test]
    fn recursion_and_unknown_names_are_refused() {
        for schema in [
            r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}"#,
            "\"missing\"",
            "\"null\"",
            "{",
        ] {
            assert!(AvroDecoder::compile(schema, &[], None, PLAIN).is_err(), "{schema}");
        }
    }

    #[test]
    fn references_are_found_by_name() {
        let point = r#"{"type":"record","name":"geo.P","fields":[{"name":"x","type":"int"}]}"#;
        let decoder = AvroDecoder::compile(
            r#"{"type":"record","name":"geo.L","fields":[{"name":"a","type":"P"},{"name":"b","type":"geo.P"}]}"#,
            &[point],
            None,
            PLAIN,
        )
        .expect("compiles");
        let point = |x| Datum::Struct(vec![Datum::Int32(x)]);
        let value = decoder.decode(&[2, 4]).expect("decodes");
        assert_eq!(value.datum, Datum::Struct(vec![point(1), point(2)]));
    }
}
