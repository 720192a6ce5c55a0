//! One value as one table's column takes it: the text of a JSON member or of a CSV field. Exact or
//! refused: what the column can certainly not hold never becomes a NULL or another value.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::data::json_text::{self, Times};
use crate::data::{Datum, Decimal, Failure, Logical, Schema, number, time};
use crate::mapping::columns::ColumnType;

/// What a cell is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON value; text is quoted.
    Json,
    /// A CSV field; text stands bare, nested values are JSON.
    Csv,
}

/// Why a column cannot hold a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Without the value: safe to print where values are not.
    pub why: String,
    /// The value, or the beginning of it.
    pub value: Option<String>,
}

impl Misfit {
    /// A reason that no value belongs to.
    pub fn of(why: impl Into<String>) -> Misfit {
        Misfit { why: why.into(), value: None }
    }

    fn new(why: impl Into<String>, value: impl Into<String>) -> Misfit {
        const MOST: usize = 60;
        let value: String = value.into();
        let mut shown: String = value.chars().take(MOST).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Misfit { why: why.into(), value: Some(shown) }
    }

    fn kind(what: &str) -> Misfit {
        Misfit { why: format!("it cannot hold {what}"), value: None }
    }
}

impl From<Failure> for Misfit {
    fn from(failure: Failure) -> Misfit {
        // Its message may quote the value.
        Misfit::new("the value cannot be written", failure.message)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, ": {value}"))
    }
}

type Written = Result<(), Misfit>;

/// Appends a value. `column`: the type of the column it feeds; `None`: not known, times are text then.
/// Nulls are the caller's affair, except inside nested values.
pub fn write(
    out: &mut Vec<u8>,
    form: Form,
    schema: Option<&Schema>,
    datum: &Datum<'_>,
    column: Option<&ColumnType>,
) -> Written {
    match datum {
        Datum::Null => out.extend_from_slice(match form {
            Form::Json => b"null",
            Form::Csv => b"\\N",
        }),
        Datum::Boolean(value) => boolean(out, form, *value, column),
        Datum::Int8(value) => return integer(out, form, schema, (*value).into(), column),
        Datum::Int16(value) => return integer(out, form, schema, (*value).into(), column),
        Datum::Int32(value) => return integer(out, form, schema, (*value).into(), column),
        Datum::Int64(value) => return integer(out, form, schema, *value, column),
        Datum::Float32(value) => {
            return float(out, form, f64::from(*value), &number::java_float(*value), column);
        }
        Datum::Float64(value) => {
            let mut buffer = [0; number::SHORT_DOUBLE];
            return match number::short_double(*value, &mut buffer) {
                Some(java) => float(out, form, *value, java, column),
                None => float(out, form, *value, &number::java_double(*value), column),
            };
        }
        Datum::Number(text) => return numeral(out, form, text, column),
        Datum::String(text) => return string(out, form, schema, text, column),
        Datum::Bytes(bytes) => return self::bytes(out, form, bytes, column),
        Datum::Decimal(value) => return decimal(out, form, value, column),
        Datum::Instant(millis) => return instant(out, form, *millis, column),
        Datum::Array(items) => return array(out, form, schema, items, column),
        Datum::Map(entries) => return map(out, form, schema, entries, column),
        Datum::Struct(values) => return structure(out, form, schema, values, column),
    }
    Ok(())
}

fn text(out: &mut Vec<u8>, form: Form, value: &str) {
    match form {
        Form::Json => json_text::string(out, value),
        Form::Csv => out.extend_from_slice(value.as_bytes()),
    }
}

/// StarRocks takes no JSON boolean into a number, and writes one into text as a digit.
fn boolean(out: &mut Vec<u8>, form: Form, value: bool, column: Option<&ColumnType>) {
    let word = if value { "true" } else { "false" };
    match column {
        Some(kind) if kind.is_numeric() => out.push(if value { b'1' } else { b'0' }),
        Some(ColumnType::Text { .. }) => text(out, form, word),
        _ => out.extend_from_slice(word.as_bytes()),
    }
}

fn integer(
    out: &mut Vec<u8>,
    form: Form,
    schema: Option<&Schema>,
    value: i64,
    column: Option<&ColumnType>,
) -> Written {
    let logical = schema.map_or(Logical::Plain, Schema::logical);
    match logical {
        Logical::Plain => {}
        Logical::Unsigned if value < 0 => {
            return whole(out, i128::from(value as u64), column);
        }
        Logical::Unsigned => {}
        _ => {
            let number =
                column.is_some_and(|kind| kind.is_numeric() || *kind == ColumnType::Boolean);
            if !number
                && let Some(words) = schema.and_then(|s| time_text(s, logical, value, column))
            {
                return text_fits(out, form, &words, column);
            }
        }
    }
    whole(out, value.into(), column)
}

/// A date or time as text; DATETIME knows microseconds, so finer digits end there.
fn time_text(
    schema: &Schema,
    logical: Logical,
    value: i64,
    column: Option<&ColumnType>,
) -> Option<String> {
    match (logical, column) {
        (Logical::Epoch { per_second: 1_000_000_000 }, Some(ColumnType::DateTime)) => {
            Some(time::timestamp_text(value.div_euclid(1_000), 1_000_000))
        }
        _ => time::logical_text(schema, value),
    }
}

fn whole(out: &mut Vec<u8>, value: i128, column: Option<&ColumnType>) -> Written {
    if let Some(kind) = column {
        if let Some((least, most)) = kind.integer_range()
            && !(least..=most).contains(&value)
        {
            return Err(Misfit::new("the number is out of its range", value.to_string()));
        }
        match kind {
            ColumnType::Decimal { precision, scale } => {
                let digits = value.unsigned_abs().checked_ilog10().map_or(0, |log| log + 1);
                if digits > precision.saturating_sub(*scale) {
                    return Err(too_many_digits(&value.to_string()));
                }
            }
            ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_) => {
                return Err(Misfit::kind("a number"));
            }
            _ => {}
        }
    }
    match i64::try_from(value) {
        Ok(value) => json_text::signed(out, value),
        Err(_) => out.extend_from_slice(value.to_string().as_bytes()),
    }
    Ok(())
}

fn too_many_digits(value: &str) -> Misfit {
    Misfit::new("the number has more digits before the point than it holds", value)
}

fn float(
    out: &mut Vec<u8>,
    form: Form,
    value: f64,
    java: &str,
    column: Option<&ColumnType>,
) -> Written {
    let Some(kind) = column.filter(|kind| kind.is_numeric()) else {
        match column {
            Some(ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) => {
                return Err(Misfit::kind("a number"));
            }
            _ if value.is_finite() => out.extend_from_slice(java.as_bytes()),
            _ => text(out, form, java),
        }
        return Ok(());
    };
    if matches!(kind, ColumnType::Float | ColumnType::Double) {
        match value.is_finite() {
            true => out.extend_from_slice(java.as_bytes()),
            false => text(out, form, java),
        }
        return Ok(());
    }
    if !value.is_finite() {
        return Err(Misfit::new("it holds finite numbers only", java));
    }
    if let ColumnType::Decimal { precision, scale } = kind
        && value != 0.0
        && !java.contains('E')
    {
        return plain_decimal(out, java, *precision, *scale);
    }
    match Decimal::parse(java) {
        Some(exact) => decimal(out, form, &exact, column),
        None => Err(Misfit::new("it is no number", java)),
    }
}

/// All digits of a number, held against the column.
fn plain_decimal(out: &mut Vec<u8>, plain: &str, precision: u32, scale: u32) -> Written {
    let whole = plain.trim_start_matches('-').split('.').next().unwrap_or_default();
    let digits = whole.trim_start_matches('0').len();
    if digits > precision.saturating_sub(scale) as usize || plain.contains(['e', 'E']) {
        return Err(too_many_digits(plain));
    }
    out.extend_from_slice(plain.as_bytes());
    Ok(())
}

/// A JSON number's own digits.
fn numeral(out: &mut Vec<u8>, form: Form, digits: &str, column: Option<&ColumnType>) -> Written {
    match column {
        Some(kind)
            if kind.integer_range().is_some() || matches!(kind, ColumnType::Decimal { .. }) =>
        {
            match Decimal::parse(digits) {
                Some(exact) => decimal(out, form, &exact, column),
                None => Err(Misfit::new("it is no number", digits)),
            }
        }
        Some(ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) => {
            Err(Misfit::kind("a number"))
        }
        _ => {
            out.extend_from_slice(digits.as_bytes());
            Ok(())
        }
    }
}

fn decimal(
    out: &mut Vec<u8>,
    _form: Form,
    value: &Decimal,
    column: Option<&ColumnType>,
) -> Written {
    match column {
        Some(ColumnType::Decimal { precision, scale }) => {
            return plain_decimal(out, &value.to_plain(), *precision, *scale);
        }
        Some(ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) => {
            return Err(Misfit::kind("a number"));
        }
        Some(kind) if kind.integer_range().is_some() => {
            let whole = value.to_integer().filter(|whole| {
                Decimal::parse(&whole.to_string()).is_some_and(|whole| whole.is_number(value))
            });
            let Some(digits) = whole else {
                return Err(Misfit::new("it holds whole numbers only", value.to_plain()));
            };
            match digits.to_string().parse() {
                Ok(value) => return self::whole(out, value, column),
                Err(_) => {
                    let text = digits.to_string();
                    return Err(Misfit::new("the number is out of its range", text));
                }
            }
        }
        _ => out.extend_from_slice(value.to_plain().as_bytes()),
    }
    Ok(())
}

fn string(
    out: &mut Vec<u8>,
    form: Form,
    schema: Option<&Schema>,
    value: &str,
    column: Option<&ColumnType>,
) -> Written {
    match (schema.map_or(Logical::Plain, Schema::logical), column) {
        // What a JSON column is for; as text it would be a JSON string.
        (Logical::Json, Some(ColumnType::Json)) if is_json(value) => {
            out.extend_from_slice(value.trim().as_bytes());
            Ok(())
        }
        (
            Logical::Json,
            Some(ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)),
        ) if is_json(value) => {
            out.extend_from_slice(value.trim().as_bytes());
            Ok(())
        }
        (Logical::ZonedTimestamp, Some(ColumnType::DateTime | ColumnType::Date)) => {
            match utc_text(value) {
                Some(words) => text(out, form, &words),
                None => text(out, form, value),
            }
            Ok(())
        }
        // In CSV a JSON column's text is read as JSON.
        (_, Some(ColumnType::Json)) if form == Form::Csv => {
            json_text::string(out, value);
            Ok(())
        }
        _ => text_fits(out, form, value, column),
    }
}

fn is_json(value: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(value).is_ok()
}

/// An ISO time with an offset as StarRocks reads it, in UTC.
fn utc_text(value: &str) -> Option<String> {
    let instant: jiff::Timestamp = value.parse().ok()?;
    Some(time::timestamp_text(instant.as_microsecond(), 1_000_000))
}

fn text_fits(out: &mut Vec<u8>, form: Form, value: &str, column: Option<&ColumnType>) -> Written {
    if let Some(ColumnType::Text { most_bytes: Some(most) }) = column
        && value.len() > *most as usize
    {
        let why = format!("the text has {} bytes", value.len());
        return Err(Misfit::new(why, value));
    }
    text(out, form, value);
    Ok(())
}

/// Base64, as Connect writes bytes. Debezium's bit strings are numbers to a numeric column.
fn bytes(out: &mut Vec<u8>, form: Form, value: &[u8], column: Option<&ColumnType>) -> Written {
    match column {
        Some(kind) if kind.is_numeric() => Err(Misfit::kind("bytes")),
        Some(ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) => {
            Err(Misfit::kind("bytes"))
        }
        _ => text_fits(out, form, &BASE64.encode(value), column),
    }
}

fn instant(out: &mut Vec<u8>, form: Form, millis: i64, column: Option<&ColumnType>) -> Written {
    match column {
        Some(kind) if kind.is_numeric() => whole(out, millis.into(), column),
        _ => text_fits(out, form, &time::timestamp_text(millis, 1_000), column),
    }
}

/// Whether the column takes nested values at all; text columns take their JSON.
fn takes_nested(column: Option<&ColumnType>, what: &str) -> Written {
    match column {
        Some(kind)
            if kind.is_numeric()
                || matches!(
                    kind,
                    ColumnType::Boolean | ColumnType::Date | ColumnType::DateTime
                ) =>
        {
            Err(Misfit::kind(what))
        }
        _ => Ok(()),
    }
}

fn array(
    out: &mut Vec<u8>,
    form: Form,
    schema: Option<&Schema>,
    items: &[Datum<'_>],
    column: Option<&ColumnType>,
) -> Written {
    takes_nested(column, "an array")?;
    let inner = match column {
        Some(ColumnType::Array(inner)) => Some(&**inner),
        Some(ColumnType::Map(..) | ColumnType::Struct(_)) => return Err(Misfit::kind("an array")),
        _ => None,
    };
    let of = schema.and_then(|schema| schema.items.as_ref());
    nested_text(out, form, column, |out| {
        out.push(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write(out, Form::Json, of, item, inner)?;
        }
        out.push(b']');
        Ok(())
    })
}

fn map(
    out: &mut Vec<u8>,
    form: Form,
    schema: Option<&Schema>,
    entries: &[(Datum<'_>, Datum<'_>)],
    column: Option<&ColumnType>,
) -> Written {
    takes_nested(column, "a map")?;
    let (keys, values) = match schema {
        Some(schema) => (schema.keys.as_ref(), schema.items.as_ref()),
        None => (None, None),
    };
    let fields = match column {
        Some(ColumnType::Map(_, value)) => Inner::All(value),
        Some(ColumnType::Struct(fields)) => Inner::Named(fields),
        Some(ColumnType::Array(_)) => return Err(Misfit::kind("a map")),
        _ => Inner::Unknown,
    };
    let by_text = entries.iter().all(|(key, _)| key.as_str().is_some());
    if !by_text && matches!(fields, Inner::Unknown) {
        // Connect's form of a map whose keys are no text.
        return Ok(json_text::write(out, schema, &Datum::Map(entries.to_vec()), Times::Text)?);
    }
    nested_text(out, form, column, |out| {
        out.push(b'{');
        for (at, (key, value)) in entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let mut name = Vec::new();
            write(&mut name, Form::Csv, keys, key, None)?;
            let name = String::from_utf8_lossy(&name);
            json_text::string(out, &name);
            out.push(b':');
            write(out, Form::Json, values, value, fields.of(&name))?;
        }
        out.push(b'}');
        Ok(())
    })
}

/// The types of a nested value's members.
#[derive(Clone, Copy)]
enum Inner<'a> {
    Unknown,
    All(&'a ColumnType),
    Named(&'a [(String, ColumnType)]),
}

impl<'a> Inner<'a> {
    fn of(self, name: &str) -> Option<&'a ColumnType> {
        match self {
            Inner::Unknown => None,
            Inner::All(kind) => Some(kind),
            Inner::Named(fields) => {
                fields.iter().find(|(known, _)| known == name).map(|(_, kind)| kind)
            }
        }
    }
}

fn structure(
    out: &mut Vec<u8>,
    form: Form,
    schema: Option<&Schema>,
    values: &[Datum<'_>],
    column: Option<&ColumnType>,
) -> Written {
    let Some(schema) = schema else { return Err(Failure::data("Mismatching schema.").into()) };
    if schema.logical() == Logical::VariableScaleDecimal
        && let [Datum::Int32(scale), Datum::Bytes(bytes)] = values
    {
        return decimal(out, form, &Decimal::from_bytes(bytes, *scale), column);
    }
    takes_nested(column, "a struct")?;
    let fields = match column {
        Some(ColumnType::Map(_, value)) => Inner::All(value),
        Some(ColumnType::Struct(fields)) => Inner::Named(fields),
        Some(ColumnType::Array(_)) => return Err(Misfit::kind("a struct")),
        _ => Inner::Unknown,
    };
    nested_text(out, form, column, |out| {
        out.push(b'{');
        for (at, (value, field)) in values.iter().zip(&schema.fields).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(schema.member_prefix(at).unwrap_or_default().as_bytes());
            write(out, Form::Json, Some(&field.schema), value, fields.of(&field.name))?;
        }
        out.push(b'}');
        Ok(())
    })
}

/// Writes JSON and holds its length against a text column.
fn nested_text(
    out: &mut Vec<u8>,
    _form: Form,
    column: Option<&ColumnType>,
    json: impl FnOnce(&mut Vec<u8>) -> Written,
) -> Written {
    let start = out.len();
    json(out)?;
    if let Some(ColumnType::Text { most_bytes: Some(most) }) = column
        && out.len() - start > *most as usize
    {
        return Err(Misfit {
            why: format!("the JSON text has {} bytes", out.len() - start),
            value: None,
        });
    }
    Ok(())
}

/// A value that stands in where a deleted row must have one: the row goes, but StarRocks checks it.
pub fn stand_in(kind: &ColumnType) -> &'static str {
    match kind {
        ColumnType::Boolean => "false",
        ColumnType::TinyInt
        | ColumnType::SmallInt
        | ColumnType::Int
        | ColumnType::BigInt
        | ColumnType::LargeInt
        | ColumnType::Float
        | ColumnType::Double
        | ColumnType::Decimal { .. } => "0",
        ColumnType::Date => "1970-01-01",
        ColumnType::DateTime => "1970-01-01 00:00:00",
        ColumnType::Text { .. } | ColumnType::Varbinary { .. } | ColumnType::Opaque => "",
        ColumnType::Json | ColumnType::Map(..) | ColumnType::Struct(_) => "{}",
        ColumnType::Array(_) => "[]",
    }
}

/// Whether [`stand_in`] is JSON as it stands; else it is text to be quoted.
pub fn stand_in_is_bare(kind: &ColumnType) -> bool {
    !matches!(
        kind,
        ColumnType::Date
            | ColumnType::DateTime
            | ColumnType::Text { .. }
            | ColumnType::Varbinary { .. }
            | ColumnType::Opaque
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::{DATE, TIMESTAMP};
    use crate::data::{SchemaDef, Type};

    #[track_caller]
    fn check(schema: Option<&Schema>, datum: Datum<'_>, column: &str, expect: &str) {
        let kind = ColumnType::parse(column);
        let mut out = vec![];
        let done = write(&mut out, Form::Json, schema, &datum, Some(&kind));
        let found = match done {
            Ok(()) => String::from_utf8(out).expect("UTF-8"),
            Err(misfit) => format!("! {} {}", misfit.why, misfit.value.unwrap_or_default()),
        };
        assert_eq!(found.trim(), expect, "{datum:?} into {column}");
    }

    fn logical(kind: Type, name: &str) -> Schema {
        SchemaDef::new(kind).named(name, 1).build()
    }

    #[test]
    fn times_are_text_for_dates_and_text_and_numbers_for_numbers() {
        let timestamp = logical(Type::Int64, TIMESTAMP);
        let at = || Datum::Int64(1_714_283_798_721);
        check(Some(&timestamp), at(), "datetime", "\"2024-04-28 05:56:38.721\"");
        check(Some(&timestamp), at(), "varchar(30)", "\"2024-04-28 05:56:38.721\"");
        check(Some(&timestamp), at(), "bigint", "1714283798721");
        let date = logical(Type::Int32, DATE);
        check(Some(&date), Datum::Int32(19_000), "date", "\"2022-01-08\"");
        check(Some(&date), Datum::Int32(19_000), "int", "19000");
        let nano = logical(Type::Int64, "io.debezium.time.NanoTimestamp");
        let at = Datum::Int64(1_700_000_000_123_456_789);
        check(Some(&nano), at, "datetime", "\"2023-11-14 22:13:20.123456\"");
        let zoned = logical(Type::String, "io.debezium.time.ZonedTimestamp");
        let at = || Datum::text("2024-04-28T07:56:38.721+02:00");
        check(Some(&zoned), at(), "datetime", "\"2024-04-28 05:56:38.721\"");
        check(Some(&zoned), at(), "string", "\"2024-04-28T07:56:38.721+02:00\"");
        check(None, Datum::Instant(0), "datetime", "\"1970-01-01 00:00:00\"");
    }

    #[test]
    fn numbers_keep_their_digits_or_are_refused() {
        let number = |text| Datum::Number(std::borrow::Cow::Borrowed(text));
        let exact = |text| Datum::Decimal(Box::new(Decimal::parse(text).expect("a number")));
        check(None, Datum::Int32(300), "tinyint", "! the number is out of its range 300");
        check(None, Datum::Int32(100), "tinyint", "100");
        check(None, number("12345678901234567890"), "largeint", "12345678901234567890");
        check(None, number("1e2"), "int", "100");
        check(None, number("1.5"), "int", "! it holds whole numbers only 1.5");
        check(None, Datum::Float64(1.9), "int", "! it holds whole numbers only 1.9");
        check(None, Datum::Float64(1e7), "decimal(10,2)", "10000000");
        check(None, Datum::Float64(1e7), "double", "1.0E7");
        check(None, exact("1234567.891"), "decimal(10,3)", "1234567.891");
        check(
            None,
            exact("123456789.10"),
            "decimal(10,2)",
            "! the number has more digits before the point than it holds 123456789.10",
        );
        check(None, Datum::Boolean(true), "tinyint", "1");
        check(None, Datum::Boolean(true), "boolean", "true");
        check(None, Datum::Boolean(true), "string", "\"true\"");
    }

    #[test]
    fn usual_fractions_are_written_the_same_the_short_way() {
        let columns = ["decimal(6,2)", "decimal(10,0)", "double", "float", "int", "json", "string"];
        let kinds: Vec<ColumnType> = columns.iter().map(|text| ColumnType::parse(text)).collect();
        let mut bits: u64 = 3;
        for n in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = match n % 3 {
                0 => (bits >> 40) as f64 / 100.0,
                1 => -((bits >> 30) as f64) / 10f64.powi(n % 16),
                _ => f64::from_bits(bits),
            };
            for kind in &kinds {
                let (mut short, mut long) = (vec![], vec![]);
                let java = number::java_double(value);
                let by_short =
                    write(&mut short, Form::Json, None, &Datum::Float64(value), Some(kind));
                let by_long = match kind {
                    // As a number of any size.
                    ColumnType::Decimal { .. } if value.is_finite() => {
                        let exact = Decimal::parse(&java).expect("a number");
                        decimal(&mut long, Form::Json, &exact, Some(kind))
                    }
                    _ => float(&mut long, Form::Json, value, &java, Some(kind)),
                };
                assert_eq!(by_short, by_long, "{value:e} into {kind:?}");
                assert_eq!(short, long, "{value:e} into {kind:?}");
            }
        }
    }

    #[test]
    fn text_must_fit_and_json_is_embedded() {
        check(None, Datum::text("abcd"), "varchar(3)", "! the text has 4 bytes abcd");
        check(None, Datum::text("é"), "varchar(2)", "\"é\"");
        let json = logical(Type::String, "io.debezium.data.Json");
        check(Some(&json), Datum::text("{\"a\":1}"), "json", "{\"a\":1}");
        check(Some(&json), Datum::text("{\"a\":1}"), "string", r#""{\"a\":1}""#);
        check(Some(&json), Datum::text("{broken"), "json", "\"{broken\"");
        check(None, Datum::Bytes((&[0, 0xff][..]).into()), "varbinary", "\"AP8=\"");
    }

    #[test]
    fn nested_values_follow_their_columns() {
        let list = || Datum::Array(vec![Datum::Boolean(true), Datum::Null]);
        check(None, list(), "array<int>", "[1,null]");
        check(None, list(), "int", "! it cannot hold an array");
        let map = || Datum::Map(vec![(Datum::Int8(7), Datum::text("x"))]);
        check(None, map(), "map<int,string>", "{\"7\":\"x\"}");
        check(None, map(), "json", "[[7,\"x\"]]");
        let mut def = SchemaDef::new(Type::Struct);
        def.add_field("at", logical(Type::Int32, DATE)).expect("unique");
        let schema = def.build();
        let row = || Datum::Struct(vec![Datum::Int32(0)]);
        check(Some(&schema), row(), "struct<at date>", "{\"at\":\"1970-01-01\"}");
        check(Some(&schema), row(), "struct<at int>", "{\"at\":0}");
        check(Some(&schema), row(), "json", "{\"at\":\"1970-01-01\"}");
    }
}
