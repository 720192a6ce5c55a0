//! One value as one table's column takes it: the text of a JSON member or of a CSV field. Exact or
//! refused: what the column can certainly not hold never becomes a NULL or another value.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::data::json_text::{self, Times};
use crate::data::{Datum, Decimal, Failure, Logical, Schema, number, time};
use crate::error::is_unseen;
use crate::mapping::columns::ColumnType;
use crate::mapping::readable::{self, Numeral, Unread};

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
    /// Sent all the same, StarRocks would not refuse it but read it so.
    pub unread: Option<Unread>,
}

impl Misfit {
    /// A reason that no value belongs to.
    pub fn of(why: impl Into<String>) -> Misfit {
        Misfit { why: why.into(), value: None, unread: None }
    }

    pub fn new(why: impl Into<String>, value: impl Into<String>) -> Misfit {
        const MOST: usize = 60;
        let value: String = value.into();
        let seen = |letter: char| if is_unseen(letter) { '\u{fffd}' } else { letter };
        let mut shown: String = value.chars().take(MOST).map(seen).collect();
        if value.chars().nth(MOST).is_some() {
            shown.push('…');
        }
        Misfit { why: why.into(), value: Some(shown), unread: None }
    }

    fn kind(what: &str) -> Misfit {
        Misfit::of(format!("it cannot hold {what}"))
    }

    fn unread(unread: Unread, value: &str) -> Misfit {
        Misfit { unread: Some(unread), ..Misfit::new(unread.to_string(), value) }
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
        Datum::Boolean(value) => return boolean(out, form, *value, column),
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
fn boolean(out: &mut Vec<u8>, form: Form, value: bool, column: Option<&ColumnType>) -> Written {
    let word = if value { "true" } else { "false" };
    match column {
        Some(kind) if kind.is_numeric() => out.push(if value { b'1' } else { b'0' }),
        Some(ColumnType::Text { .. }) => text(out, form, word),
        Some(kind) if kind.is_time() || kind.is_nested() => {
            return Err(Misfit::kind("a boolean"));
        }
        _ => out.extend_from_slice(word.as_bytes()),
    }
    Ok(())
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
        // As text its numbers would pass for those of a day.
        Logical::Time | Logical::TimeOfDay { .. } if column.is_some_and(ColumnType::is_time) => {
            return Err(Misfit::kind("a time of day"));
        }
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
            return Err(out_of_range(&value.to_string()));
        }
        match kind {
            ColumnType::Decimal { precision, scale } => {
                let digits = value.unsigned_abs().checked_ilog10().map_or(0, |log| log + 1);
                if digits > precision.saturating_sub(*scale) {
                    return Err(too_many_digits(&value.to_string()));
                }
            }
            kind if kind.is_time() => number_as_time(&value.to_string(), kind)?,
            kind if kind.is_nested() => return Err(Misfit::kind("a number")),
            _ => {}
        }
    }
    match i64::try_from(value) {
        Ok(value) => json_text::signed(out, value),
        Err(_) => out.extend_from_slice(value.to_string().as_bytes()),
    }
    Ok(())
}

fn number_as_time(digits: &str, kind: &ColumnType) -> Written {
    match readable::of_number_as_time(digits, *kind == ColumnType::DateTime) {
        Some(unread) => Err(Misfit::unread(unread, digits)),
        None => Ok(()),
    }
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
            Some(kind) if kind.is_nested() => return Err(Misfit::kind("a number")),
            Some(kind) if kind.is_time() => return Err(Misfit::unread(Unread::EpochNumber, java)),
            _ if value.is_finite() => out.extend_from_slice(java.as_bytes()),
            Some(ColumnType::Boolean) => return Err(Misfit::unread(Unread::NoTruth, java)),
            _ => text(out, form, java),
        }
        return Ok(());
    };
    if matches!(kind, ColumnType::Float | ColumnType::Double) {
        match value.is_finite() {
            true if *kind == ColumnType::Float && value.abs() > f64::from(f32::MAX) => {
                return Err(out_of_range(java));
            }
            true => out.extend_from_slice(java.as_bytes()),
            // StarRocks' reader of floats knows these words.
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
    plain_fits(plain, precision, scale)?;
    out.extend_from_slice(plain.as_bytes());
    Ok(())
}

/// No digit is lost: StarRocks would round those behind the scale.
fn plain_fits(plain: &str, precision: u32, scale: u32) -> Written {
    match Numeral::of(plain) {
        Some(number) if number.with_exponent.is_none() => {
            numeral_fits(&number, plain, precision, scale)
        }
        // Only numbers of more zeros than are written out keep an exponent.
        _ => Err(too_many_digits(plain)),
    }
}

fn numeral_fits(number: &Numeral<'_>, text: &str, precision: u32, scale: u32) -> Written {
    if number.whole.len() > precision.saturating_sub(scale) as usize {
        return Err(too_many_digits(text));
    }
    if number.fraction.len() > scale as usize {
        return Err(Misfit::unread(Unread::Finer(scale), text));
    }
    Ok(())
}

fn out_of_range(value: &str) -> Misfit {
    Misfit::new("the number is out of its range", value)
}

/// Whether a number column reads a text as the number it is.
fn number_fits(value: &str, kind: &ColumnType) -> Written {
    let no_number = || Misfit::unread(Unread::NoNumber, value);
    let float = matches!(kind, ColumnType::Float | ColumnType::Double);
    let Some(number) = Numeral::of(value) else {
        return if float && readable::is_not_finite(value) { Ok(()) } else { Err(no_number()) };
    };
    if float {
        return float_fits(value.trim(), kind);
    }
    if let Some(unsigned) = number.with_exponent {
        // Rare: as the number it stands for.
        let exact = Decimal::parse(unsigned).ok_or_else(no_number)?;
        let exact = if number.negative { exact.negated() } else { exact };
        return decimal(&mut vec![], Form::Json, &exact, Some(kind));
    }
    match kind {
        ColumnType::Decimal { precision, scale } => {
            numeral_fits(&number, value, *precision, *scale)
        }
        _ if !number.fraction.is_empty() => Err(whole_only(value)),
        kind => match (number.whole(), kind.integer_range()) {
            (Some(number), Some((least, most))) if (least..=most).contains(&number) => Ok(()),
            _ => Err(out_of_range(value)),
        },
    }
}

/// Whether digits stay below the largest FLOAT or DOUBLE.
fn float_fits(digits: &str, kind: &ColumnType) -> Written {
    // Nothing so short reaches that far.
    if digits.len() < 38 && !digits.contains(['e', 'E']) {
        return Ok(());
    }
    let most = if *kind == ColumnType::Float { f64::from(f32::MAX) } else { f64::MAX };
    match digits.parse::<f64>() {
        Ok(value) if value.abs() <= most => Ok(()),
        _ => Err(out_of_range(digits)),
    }
}

fn whole_only(value: &str) -> Misfit {
    Misfit::new("it holds whole numbers only", value)
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
        Some(kind) if kind.is_nested() => Err(Misfit::kind("a number")),
        kind => {
            match kind {
                Some(kind @ (ColumnType::Float | ColumnType::Double)) => float_fits(digits, kind)?,
                Some(kind) if kind.is_time() => number_as_time(digits, kind)?,
                _ => {}
            }
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
        Some(kind) if kind.is_nested() => return Err(Misfit::kind("a number")),
        Some(kind) if kind.is_time() => {
            let plain = value.to_plain();
            number_as_time(&plain, kind)?;
            out.extend_from_slice(plain.as_bytes());
        }
        Some(kind @ (ColumnType::Float | ColumnType::Double)) => {
            let plain = value.to_plain();
            float_fits(&plain, kind)?;
            out.extend_from_slice(plain.as_bytes());
        }
        Some(kind) if kind.integer_range().is_some() => {
            let whole = value.to_integer().filter(|whole| {
                Decimal::parse(&whole.to_string()).is_some_and(|whole| whole.is_number(value))
            });
            let Some(digits) = whole else {
                return Err(whole_only(&value.to_plain()));
            };
            match digits.to_string().parse() {
                Ok(value) => return self::whole(out, value, column),
                Err(_) => {
                    let text = digits.to_string();
                    return Err(out_of_range(&text));
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
        (logical, Some(kind))
            if kind.is_time()
                && (logical == Logical::ZonedTimestamp
                    || value.trim_end().ends_with('Z')
                    || readable::has_offset(value)) =>
        {
            match utc_text(value.trim()) {
                Some(words) => text_fits(out, form, &words, column),
                // Whose clock it shows would be lost.
                None if readable::has_offset(value) => Err(Misfit::unread(Unread::Offset, value)),
                // A day, as Debezium's IsoDate has it.
                None => text_fits(out, form, value.trim_end().trim_end_matches('Z'), column),
            }
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

/// Text that its column reads as what it is.
fn text_fits(out: &mut Vec<u8>, form: Form, value: &str, column: Option<&ColumnType>) -> Written {
    let unread = match column {
        Some(ColumnType::Text { most_bytes: Some(most) }) if value.len() > *most as usize => {
            let why = format!("the text has {} bytes", value.len());
            return Err(Misfit::new(why, value));
        }
        Some(kind) if kind.is_numeric() => {
            number_fits(value, kind)?;
            // Read as digits alone, unlike the narrower ones.
            (*kind == ColumnType::LargeInt && value.contains(['.', 'e', 'E']))
                .then_some(Unread::NoNumber)
        }
        Some(ColumnType::Date) => readable::of_time(value, false),
        Some(ColumnType::DateTime) => readable::of_time(value, true),
        Some(ColumnType::Boolean) => {
            let is_truth = readable::is_truth(value, form == Form::Json);
            (!is_truth).then_some(Unread::NoTruth)
        }
        // Out of JSON they are read from arrays and objects only, out of CSV from their text.
        Some(ColumnType::Array(_)) => {
            (form == Form::Json || !value.starts_with('[')).then_some(Unread::NoList)
        }
        Some(ColumnType::Map(..) | ColumnType::Struct(_)) => {
            (form == Form::Json || !value.starts_with('{')).then_some(Unread::NoObject)
        }
        _ => None,
    };
    if let Some(unread) = unread {
        return Err(Misfit::unread(unread, value));
    }
    text(out, form, value);
    Ok(())
}

/// Base64, as Connect writes bytes. Debezium's bit strings are numbers to a numeric column.
fn bytes(out: &mut Vec<u8>, form: Form, value: &[u8], column: Option<&ColumnType>) -> Written {
    match column {
        Some(kind)
            if kind.is_numeric()
                || kind.is_time()
                || kind.is_nested()
                || *kind == ColumnType::Boolean =>
        {
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
    let named = match column {
        Some(ColumnType::Map(key, _)) => Some(&**key),
        _ => None,
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
            write(&mut name, Form::Csv, keys, key, named)?;
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
        return Err(Misfit::of(format!("the JSON text has {} bytes", out.len() - start)));
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
    fn text_that_a_column_cannot_hold_is_refused_and_the_number_or_day_it_is_passes() {
        let word = |text: &str, column: &str, expect: &str| {
            check(None, Datum::text(text.to_owned()), column, expect);
        };
        for (text, column) in [
            ("42", "tinyint"),
            (" +5 ", "int"),
            ("1e3", "bigint"),
            ("12.0", "int"),
            ("170141183460469231731687303715884105727", "largeint"),
            ("1e-3", "double"),
            ("NaN", "double"),
            ("-12.3400", "decimal(6,2)"),
            ("1.5e1", "decimal(6,2)"),
            ("TRUE", "boolean"),
            ("0", "boolean"),
            ("2024-1-2", "date"),
            ("2024-01-31 12:34:56.5", "datetime"),
            ("anything", "json"),
            ("anything", "bitmap"),
        ] {
            word(text, column, &format!("\"{text}\""));
        }
        word("x", "int", "! text that is no number x");
        word("", "double", "! text that is no number");
        word("nancy", "double", "! text that is no number nancy");
        word("NaN", "decimal(6,2)", "! text that is no number NaN");
        word("300", "tinyint", "! the number is out of its range 300");
        word("1e400", "double", "! the number is out of its range 1e400");
        word("1e39", "float", "! the number is out of its range 1e39");
        word("1.9", "int", "! it holds whole numbers only 1.9");
        word("15e-1", "int", "! it holds whole numbers only 1.5");
        word("1.005", "decimal(6,2)", "! more than 2 digits after the point 1.005");
        word(
            "12345.6",
            "decimal(6,2)",
            "! the number has more digits before the point than it holds 12345.6",
        );
        word("maybe", "boolean", "! text that is neither true nor false maybe");
        word("soon", "date", "! text that is no date soon");
        word("2024-02-31", "datetime", "! a day that no calendar has 2024-02-31");
        // What turns the reading direction is not shown.
        word("1\u{202e}2", "int", "! text that is no number 1\u{fffd}2");
        word("[1]", "array<int>", "! text that is no list [1]");
        word("{}", "map<int,int>", "! text that is no object {}");
        check(
            None,
            Datum::Array(vec![Datum::text("x")]),
            "array<int>",
            "! text that is no number x",
        );
        let map = Datum::Map(vec![(Datum::text("x"), Datum::Int8(1))]);
        check(None, map, "map<int,int>", "! text that is no number x");
    }

    #[test]
    fn csv_lists_are_read_out_of_their_text() {
        let mut out = vec![];
        let kind = ColumnType::parse("array<int>");
        let list = Datum::text("[1,2]");
        assert_eq!(write(&mut out, Form::Csv, None, &list, Some(&kind)), Ok(()));
        assert_eq!(out, b"[1,2]");
    }

    #[test]
    fn numbers_that_starrocks_would_make_null_or_round_are_refused() {
        let number = |text| Datum::Number(std::borrow::Cow::Borrowed(text));
        check(None, Datum::Float64(f64::NAN), "double", "\"NaN\"");
        check(None, Datum::Float64(f64::NAN), "decimal(6,2)", "! it holds finite numbers only NaN");
        check(
            None,
            Datum::Float32(f32::INFINITY),
            "boolean",
            "! text that is neither true nor false Infinity",
        );
        check(None, Datum::Float64(1e39), "float", "! the number is out of its range 1.0E39");
        check(None, number("1e400"), "double", "! the number is out of its range 1e400");
        check(None, number("1.50"), "decimal(4,1)", "1.50");
        check(None, number("1.55"), "decimal(4,1)", "! more than 1 digits after the point 1.55");
        check(None, Datum::Boolean(true), "date", "! it cannot hold a boolean");
        check(None, Datum::Int64(20_240_131), "date", "20240131");
        let epoch = "! an epoch number, which `TimestampConverter` makes a time 1714283798721";
        check(None, Datum::Int64(1_714_283_798_721), "datetime", epoch);
        check(None, number("1714283798721"), "datetime", epoch);
    }

    #[test]
    fn times_that_no_date_column_holds_are_refused_and_iso_texts_are_written_as_times() {
        let date = logical(Type::Int32, DATE);
        let year = "! a year before 0000 or after 9999";
        check(Some(&date), Datum::Int32(i32::MAX), "date", &format!("{year} 5881580-07-11"));
        check(Some(&date), Datum::Int32(-719_529), "date", &format!("{year} -0001-12-31"));
        check(Some(&date), Datum::Int32(-719_528), "date", "\"0000-01-01\"");
        check(Some(&date), Datum::Int32(i32::MAX), "string", "\"5881580-07-11\"");
        let micro = logical(Type::Int64, "io.debezium.time.MicroTimestamp");
        // PostgreSQL's infinity.
        let at = Datum::Int64(9_223_372_036_825_200_000);
        check(Some(&micro), at, "datetime", &format!("{year} 294247-01-10 04:00:25.200"));
        let time = logical(Type::Int64, "io.debezium.time.MicroTime");
        check(Some(&time), Datum::Int64(0), "datetime", "! it cannot hold a time of day");
        let iso = |name: &str| logical(Type::String, &format!("io.debezium.time.{name}"));
        let at = || Datum::text("2020-01-02T03:04:05.123456Z");
        for schema in [Some(&iso("IsoTimestamp")), None] {
            check(schema, at(), "datetime", "\"2020-01-02 03:04:05.123456\"");
            check(schema, at(), "string", "\"2020-01-02T03:04:05.123456Z\"");
        }
        check(Some(&iso("IsoDate")), Datum::text("2020-01-02Z"), "date", "\"2020-01-02\"");
        for text in
            ["2020-01-02T03:04:05+02:00", "2020-01-02 03:04:05+02", "2020-01-02T03:04:05.0+0200"]
        {
            check(None, Datum::text(text), "datetime", "\"2020-01-02 01:04:05\"");
        }
        let unread = "! a time with an offset that cannot be read 2020-01-02 03:04:05+2:00";
        check(None, Datum::text("2020-01-02 03:04:05+2:00"), "datetime", unread);
        check(None, Datum::text("1.0"), "largeint", "! text that is no number 1.0");
        check(None, Datum::text("infinityZ"), "date", "! text that is no date infinity");
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
