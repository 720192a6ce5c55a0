//! Values as JSON text, digit for digit. Which text a table's column needs is `encode`'s affair.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Datum, Decimal, Failure, Logical, Schema, Type, number, time};

/// Arrays and objects within one another at most, as Connect's parser has it; deeper text is refused
/// before a stack ends.
pub const DEEPEST: usize = 1000;

/// How dates and times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The number on the wire, as the Java connector writes it: days, milliseconds, microseconds.
    Numbers,
    /// Text as StarRocks reads it: `2024-01-31`, `12:34:56.789`, `2024-01-31 12:34:56.789`.
    Text,
}

/// Appends a value as JSON. Decimals are plain digits, bytes base64, NaN and infinities text, maps
/// with keys other than text lists of pairs. A null in a required field is refused.
pub fn write(
    out: &mut Vec<u8>,
    schema: Option<&Schema>,
    datum: &Datum<'_>,
    times: Times,
) -> Result<(), Failure> {
    match datum {
        Datum::Null => match schema {
            Some(schema) if !schema.optional => return required_null(out, schema, times),
            _ => out.extend_from_slice(b"null"),
        },
        Datum::Boolean(true) => out.extend_from_slice(b"true"),
        Datum::Boolean(false) => out.extend_from_slice(b"false"),
        Datum::Int8(v) => integer(out, schema, (*v).into(), times),
        Datum::Int16(v) => integer(out, schema, (*v).into(), times),
        Datum::Int32(v) => integer(out, schema, (*v).into(), times),
        Datum::Int64(v) => integer(out, schema, *v, times),
        Datum::Float32(v) => float(out, &number::java_float(*v), v.is_finite()),
        Datum::Float64(v) => float(out, &number::java_double(*v), v.is_finite()),
        Datum::Number(text) => out.extend_from_slice(text.as_bytes()),
        Datum::String(text) => string(out, text),
        Datum::Bytes(bytes) => string(out, &BASE64.encode(bytes)),
        Datum::Decimal(decimal) => out.extend_from_slice(decimal.to_plain().as_bytes()),
        Datum::Instant(millis) => match times {
            Times::Numbers => signed(out, *millis),
            Times::Text => string(out, &time::timestamp_text(*millis, 1_000)),
        },
        Datum::Array(items) => {
            let of = schema.and_then(|schema| schema.items.as_ref());
            list(out, items.iter(), |out, item| write(out, of, item, times))?;
        }
        Datum::Map(entries) => map(out, schema, entries, times)?,
        Datum::Struct(values) => structure(out, schema, values, times)?,
    }
    Ok(())
}

/// A whole number's digits. By hand, because every row has several and formatting is dear.
fn digits(out: &mut Vec<u8>, negative: bool, mut magnitude: u64) {
    // The longest uint64 has 20 digits.
    let mut buffer = [0u8; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (magnitude % 10) as u8;
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(&buffer[at..]);
}

/// Appends a whole number.
pub fn signed(out: &mut Vec<u8>, value: i64) {
    digits(out, value < 0, value.unsigned_abs());
}

/// A value that a schema requires is missing: its default stands in, if there is one.
fn required_null(out: &mut Vec<u8>, schema: &Schema, times: Times) -> Result<(), Failure> {
    match &schema.default {
        Some(default) if !default.is_null() => write(out, Some(schema), default, times),
        _ => Err(Failure::data(
            "Conversion error: null value for field that is required and has no default value",
        )),
    }
}

fn integer(out: &mut Vec<u8>, schema: Option<&Schema>, value: i64, times: Times) {
    if times == Times::Text
        && let Some(text) = schema.and_then(|schema| time::logical_text(schema, value))
    {
        return string(out, &text);
    }
    if value < 0 && schema.is_some_and(|schema| schema.logical() == Logical::Unsigned) {
        return digits(out, false, value as u64);
    }
    signed(out, value);
}

fn float(out: &mut Vec<u8>, text: &str, finite: bool) {
    if finite { out.extend_from_slice(text.as_bytes()) } else { string(out, text) }
}

fn list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut Vec<u8>, T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    out.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(out, item)?;
    }
    out.push(b']');
    Ok(())
}

fn map(
    out: &mut Vec<u8>,
    schema: Option<&Schema>,
    entries: &[(Datum<'_>, Datum<'_>)],
    times: Times,
) -> Result<(), Failure> {
    let (keys, values) = match schema {
        Some(schema) => (schema.keys.as_ref(), schema.items.as_ref()),
        None => (None, None),
    };
    let by_text = match keys {
        Some(keys) => keys.kind == Type::String,
        None => entries.iter().all(|(key, _)| key.as_str().is_some()),
    };
    if !by_text {
        return list(out, entries.iter(), |out, (key, value)| {
            out.push(b'[');
            write(out, keys, key, times)?;
            out.push(b',');
            write(out, values, value, times)?;
            out.push(b']');
            Ok(())
        });
    }
    out.push(b'{');
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, key.as_str().unwrap_or_default());
        out.push(b':');
        write(out, values, value, times)?;
    }
    out.push(b'}');
    Ok(())
}

fn structure(
    out: &mut Vec<u8>,
    schema: Option<&Schema>,
    values: &[Datum<'_>],
    times: Times,
) -> Result<(), Failure> {
    let Some(schema) = schema else {
        return Err(Failure::data("Mismatching schema."));
    };
    if schema.logical() == Logical::VariableScaleDecimal
        && let [Datum::Int32(scale), Datum::Bytes(bytes)] = values
    {
        let decimal = Decimal::from_bytes(bytes, *scale);
        out.extend_from_slice(decimal.to_plain().as_bytes());
        return Ok(());
    }
    out.push(b'{');
    for (at, (value, field)) in values.iter().zip(&schema.fields).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(schema.member_prefix(at).unwrap_or_default().as_bytes());
        write(out, Some(&field.schema), value, times).map_err(|failure| Failure {
            message: format!("{} (in field `{}`)", failure.message, field.name),
            ..failure
        })?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends a JSON string; only what JSON demands is escaped.
pub fn string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut at = 0;
    loop {
        let end = plain_end(bytes, at);
        out.extend_from_slice(&bytes[at..end]);
        let Some(&byte) = bytes.get(end) else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        at = end + 1;
    }
    out.push(b'"');
}

/// Where a run of string characters that need no escape ends: at a quote, a backslash, a control
/// character or the end.
#[inline]
pub fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at once: a byte is zero in `x` where `(x - ONES) & !x & HIGHS` has its high bit.
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')))
            | control;
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SchemaDef;
    use crate::data::schema::{DATE, TIME, TIMESTAMP};

    #[track_caller]
    fn check(schema: Option<&Schema>, datum: Datum<'_>, times: Times, expect: &str) {
        let mut out = Vec::new();
        write(&mut out, schema, &datum, times).expect("writes");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expect);
    }

    fn logical(kind: Type, name: &str) -> Schema {
        SchemaDef::new(kind).named(name, 1).build()
    }

    #[test]
    fn plain_values_are_written_as_the_java_connector_writes_them() {
        let plain = |datum, expect| check(None, datum, Times::Numbers, expect);
        plain(Datum::Int64(i64::MIN), "-9223372036854775808");
        plain(Datum::Int8(0), "0");
        plain(Datum::Float32(0.1), "0.1");
        plain(Datum::Float64(1e7), "1.0E7");
        plain(Datum::Float64(f64::NEG_INFINITY), "\"-Infinity\"");
        plain(Datum::Number("123456789012345678.12".into()), "123456789012345678.12");
        plain(Datum::text("q\" b\\ n\n u\u{1} t\t / é 😀"), r#""q\" b\\ n\n u\u0001 t\t / é 😀""#);
        plain(Datum::Bytes((&[0x00, 0xff, 0x10][..]).into()), "\"AP8Q\"");
        plain(Datum::Array(vec![Datum::Int8(1), Datum::Null]), "[1,null]");
        plain(Datum::Map(vec![(Datum::Int8(7), Datum::text("x"))]), "[[7,\"x\"]]");
        let small = Decimal::parse("1E-8").expect("a number");
        plain(Datum::Decimal(Box::new(small)), "0.00000001");
    }

    #[test]
    fn times_are_numbers_or_text_as_asked() {
        let both = |schema: Schema, datum: Datum<'_>, number: &str, text: &str| {
            check(Some(&schema), datum.clone(), Times::Numbers, number);
            check(Some(&schema), datum, Times::Text, text);
        };
        both(logical(Type::Int32, DATE), Datum::Int32(19_000), "19000", "\"2022-01-08\"");
        both(logical(Type::Int32, TIME), Datum::Int32(64_957_123), "64957123", "\"18:02:37.123\"");
        both(
            logical(Type::Int64, TIMESTAMP),
            Datum::Int64(1_714_283_798_721),
            "1714283798721",
            "\"2024-04-28 05:56:38.721\"",
        );
        both(
            logical(Type::Int64, "io.debezium.time.MicroTimestamp"),
            Datum::Int64(1_700_000_000_123_456),
            "1700000000123456",
            "\"2023-11-14 22:13:20.123456\"",
        );
    }

    #[test]
    fn structs_follow_their_schema_and_required_nulls_are_refused() {
        let mut def = SchemaDef::new(Type::Struct);
        def.add_field("a\"", Schema::of(Type::Int8)).expect("unique");
        def.add_field("b", Schema::optional_of(Type::String)).expect("unique");
        let schema = def.build();
        let row = |a| Datum::Struct(vec![a, Datum::Null]);
        check(Some(&schema), row(Datum::Int8(1)), Times::Text, r#"{"a\"":1,"b":null}"#);
        let failure = write(&mut Vec::new(), Some(&schema), &row(Datum::Null), Times::Text);
        assert!(failure.expect_err("required").message.contains("required"));
    }

    #[test]
    fn the_end_of_plain_text_is_found_at_every_place() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0x1f, 0x00] {
                let mut bytes = vec![b'x'; length];
                bytes.push(special);
                bytes.extend([b'y'; 9]);
                assert_eq!(plain_end(&bytes, 0), length, "{special}");
            }
            let high = vec![0xc3u8; length];
            assert_eq!(plain_end(&high, 0), length);
        }
    }
}
