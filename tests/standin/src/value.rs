//! Column types, and how a JSON value or a CSV field becomes a cell of one (STREAM_LOAD 6.4, 7).
//! Knows nothing of rows, nullability or strict mode: it says whether a value converts.

use serde_json::{Number, Value};

/// A column's type. Nested types keep their spelling only: their values are stored as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    LargeInt,
    Float,
    Double,
    /// Precision and scale.
    Decimal(u32, u32),
    Date,
    DateTime,
    /// Length in bytes.
    Char(u32),
    /// Length in bytes.
    Varchar(u32),
    /// STRING and TEXT: a VARCHAR of the largest length, shown as such.
    String,
    Varbinary(Option<u32>),
    Json,
    /// ARRAY, MAP or STRUCT as typed in the DDL.
    Nested(String),
    /// BITMAP, HLL, PERCENTILE: filled by expressions only.
    Opaque(String),
}

/// StarRocks' STRING is `varchar(65533)` before 3.x and in most listings since.
pub(crate) const STRING_BYTES: u32 = 65533;

/// One value in a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Digits of a LARGEINT or DECIMAL.
    Number(Box<str>),
    /// Strings, dates and times.
    Text(Box<str>),
    /// JSON text of a JSON, ARRAY, MAP or STRUCT value.
    Json(Box<str>),
}

/// Why a value does not become a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// No conversion: NULL, or a filtered row in strict mode.
    Unconvertible,
    /// A filtered row in any mode.
    Refused(String),
}

impl Cell {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::from(*n),
            Self::Double(d) => Number::from_f64(*d).map_or(Value::Null, Value::Number),
            Self::Number(text) | Self::Json(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()))
            }
            Self::Text(text) => Value::String(text.to_string()),
        }
    }

    /// What a MySQL client is shown; `None` is NULL.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(b) => u8::from(*b).to_string(),
            Self::Int(n) => n.to_string(),
            Self::Double(d) => d.to_string(),
            Self::Number(t) | Self::Text(t) | Self::Json(t) => t.to_string(),
        })
    }

    /// How an error log shows the cell.
    pub(crate) fn to_log(&self) -> String {
        match self {
            Self::Text(t) => format!("'{t}'"),
            other => other.to_text().unwrap_or_else(|| "NULL".to_owned()),
        }
    }
}

impl Type {
    /// The spelling of DESC: `varchar(20)`, `decimal(10,2)`, `tinyint`.
    pub(crate) fn desc(&self) -> String {
        match self {
            Self::Boolean => "boolean".into(),
            Self::TinyInt => "tinyint".into(),
            Self::SmallInt => "smallint".into(),
            Self::Int => "int".into(),
            Self::BigInt => "bigint".into(),
            Self::LargeInt => "largeint".into(),
            Self::Float => "float".into(),
            Self::Double => "double".into(),
            Self::Decimal(p, s) => format!("decimal({p},{s})"),
            Self::Date => "date".into(),
            Self::DateTime => "datetime".into(),
            Self::Char(n) => format!("char({n})"),
            Self::Varchar(n) => format!("varchar({n})"),
            Self::String => format!("varchar({STRING_BYTES})"),
            Self::Varbinary(Some(n)) => format!("varbinary({n})"),
            Self::Varbinary(None) => "varbinary".into(),
            Self::Json => "json".into(),
            Self::Nested(text) | Self::Opaque(text) => text.clone(),
        }
    }

    /// The spelling of SHOW CREATE TABLE: `bigint(20)`, `decimal(10, 2)`.
    pub(crate) fn create(&self) -> String {
        match self {
            Self::TinyInt => "tinyint(4)".into(),
            Self::SmallInt => "smallint(6)".into(),
            Self::Int => "int(11)".into(),
            Self::BigInt => "bigint(20)".into(),
            Self::LargeInt => "largeint(40)".into(),
            Self::Decimal(p, s) => format!("decimal({p}, {s})"),
            other => other.desc(),
        }
    }

    /// The name in `information_schema.columns.DATA_TYPE`; BOOLEAN is a `tinyint` there.
    pub(crate) fn data_type(&self) -> String {
        match self {
            Self::Boolean | Self::TinyInt => "tinyint".into(),
            Self::LargeInt => "bigint unsigned".into(),
            Self::String => "varchar".into(),
            Self::Nested(text) => {
                text.split(['<', '(']).next().unwrap_or_default().to_ascii_lowercase()
            }
            other => {
                let text = other.desc();
                text.split('(').next().unwrap_or_default().to_owned()
            }
        }
    }

    /// The internal name of `_schema` and the v2 schema: `BIGINT`, `DECIMAL64`.
    pub(crate) fn primitive(&self) -> String {
        match self {
            Self::Decimal(p, _) if *p <= 9 => "DECIMAL32".into(),
            Self::Decimal(p, _) if *p <= 18 => "DECIMAL64".into(),
            Self::Decimal(..) => "DECIMAL128".into(),
            Self::String => "VARCHAR".into(),
            other => other.data_type_upper(),
        }
    }

    fn data_type_upper(&self) -> String {
        match self {
            Self::Boolean => "BOOLEAN".into(),
            Self::LargeInt => "LARGEINT".into(),
            other => other.data_type().to_ascii_uppercase(),
        }
    }

    /// Bytes of storage, as the v2 schema tells.
    pub(crate) fn bytes(&self) -> u32 {
        match self {
            Self::Boolean | Self::TinyInt => 1,
            Self::SmallInt => 2,
            Self::Int | Self::Float => 4,
            Self::BigInt | Self::Double | Self::Date | Self::DateTime => 8,
            Self::Decimal(p, _) if *p <= 9 => 4,
            Self::Decimal(p, _) if *p <= 18 => 8,
            _ => 16,
        }
    }

    /// Character length or numeric precision, where the type has one.
    pub(crate) fn column_size(&self) -> Option<u32> {
        match self {
            Self::TinyInt => Some(3),
            Self::SmallInt => Some(5),
            Self::Int => Some(10),
            Self::BigInt => Some(19),
            Self::LargeInt => Some(39),
            Self::Decimal(p, _) => Some(*p),
            Self::Char(n) | Self::Varchar(n) | Self::Varbinary(Some(n)) => Some(*n),
            Self::String => Some(STRING_BYTES),
            _ => None,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Char(_) | Self::Varchar(_) | Self::String | Self::Varbinary(_))
    }

    fn int_range(&self) -> Option<(i64, i64)> {
        Some(match self {
            Self::TinyInt => (i64::from(i8::MIN), i64::from(i8::MAX)),
            Self::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::BigInt => (i64::MIN, i64::MAX),
            _ => return None,
        })
    }

    /// A JSON value as a cell of this type.
    pub(crate) fn cell_of_json(&self, value: &Value) -> Result<Cell, Misfit> {
        if value.is_null() {
            return Ok(Cell::Null);
        }
        match self {
            Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt => match value {
                Value::Number(n) => self.int(n.as_str()),
                Value::String(s) => self.int(s.trim()),
                _ => Err(Misfit::Unconvertible),
            },
            Self::Float | Self::Double => match value {
                Value::Number(n) => float(n.as_str()),
                Value::String(s) => float(s.trim()),
                _ => Err(Misfit::Unconvertible),
            },
            Self::Boolean => boolean(value),
            Self::Char(_) | Self::Varchar(_) | Self::String | Self::Varbinary(_) => {
                self.text(&plain_text(value))
            }
            Self::Json => Ok(Cell::Json(value.to_string().into())),
            Self::Nested(text) => nested(text, value),
            Self::LargeInt | Self::Decimal(..) | Self::Date | Self::DateTime => match value {
                Value::Array(_) | Value::Object(_) => Err(Misfit::Unconvertible),
                scalar => self.cell_of_text(&plain_text(scalar)),
            },
            Self::Opaque(name) => {
                Err(Misfit::Refused(format!("{name} column needs an expression")))
            }
        }
    }

    /// A CSV field, or the text of a JSON value that is cast, as a cell of this type.
    pub(crate) fn cell_of_text(&self, text: &str) -> Result<Cell, Misfit> {
        match self {
            Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt => self.int(text.trim()),
            Self::Float | Self::Double => float(text.trim()),
            Self::Boolean => boolean(&Value::String(text.to_owned())),
            Self::LargeInt => large_int(text.trim()),
            Self::Decimal(p, s) => decimal(text.trim(), *p, *s),
            Self::Date => date(text.trim()).map(|d| Cell::Text(d.into())),
            Self::DateTime => date_time(text.trim()).map(|d| Cell::Text(d.into())),
            Self::Char(_) | Self::Varchar(_) | Self::String | Self::Varbinary(_) => self.text(text),
            Self::Json => match serde_json::from_str::<Value>(text) {
                Ok(value) => Ok(Cell::Json(value.to_string().into())),
                Err(_) => Err(Misfit::Unconvertible),
            },
            Self::Nested(spelled) => match serde_json::from_str::<Value>(text) {
                Ok(value) => nested(spelled, &value),
                Err(_) => Err(Misfit::Unconvertible),
            },
            Self::Opaque(name) => {
                Err(Misfit::Refused(format!("{name} column needs an expression")))
            }
        }
    }

    fn int(&self, text: &str) -> Result<Cell, Misfit> {
        let (low, high) = self.int_range().ok_or(Misfit::Unconvertible)?;
        if let Ok(n) = text.parse::<i64>() {
            return if (low..=high).contains(&n) {
                Ok(Cell::Int(n))
            } else {
                Err(Misfit::Unconvertible)
            };
        }
        // Whole numbers that i64 cannot hold are out of range, not rounded through a double.
        let fractional = text.contains(['.', 'e', 'E']);
        let n = text.parse::<f64>().ok().filter(|d| fractional && d.is_finite()).map(f64::trunc);
        match n {
            Some(d) if d >= low as f64 && d <= high as f64 && d < 9.223_372_036_854_775e18 => {
                Ok(Cell::Int(d as i64))
            }
            _ => Err(Misfit::Unconvertible),
        }
    }

    fn text(&self, text: &str) -> Result<Cell, Misfit> {
        let limit = match self {
            Self::Char(n) | Self::Varchar(n) | Self::Varbinary(Some(n)) => *n,
            Self::String => STRING_BYTES,
            // 1 MiB is the server's default `olap_string_max_length`.
            _ => 1024 * 1024,
        };
        if text.len() > limit as usize {
            let cut: String = text.chars().take(50).collect();
            return Err(Misfit::Refused(format!(
                "String '{cut}' is too long. The max length is {limit}"
            )));
        }
        Ok(Cell::Text(text.into()))
    }
}

/// Text of a JSON value in a string column: bool as 1/0, numbers as sent, the rest minified.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Bool(b) => u8::from(*b).to_string(),
        other => other.to_string(),
    }
}

fn float(text: &str) -> Result<Cell, Misfit> {
    match text.parse::<f64>() {
        Ok(d) if d.is_finite() => Ok(Cell::Double(d)),
        _ => Err(Misfit::Unconvertible),
    }
}

fn boolean(value: &Value) -> Result<Cell, Misfit> {
    match value {
        Value::Bool(b) => Ok(Cell::Bool(*b)),
        Value::Number(n) => match n.as_str().parse::<f64>() {
            Ok(d) => Ok(Cell::Bool(d != 0.0)),
            Err(_) => Err(Misfit::Unconvertible),
        },
        Value::String(s) => match s.trim() {
            t if t.eq_ignore_ascii_case("true") => Ok(Cell::Bool(true)),
            t if t.eq_ignore_ascii_case("false") => Ok(Cell::Bool(false)),
            t => match t.parse::<i64>() {
                Ok(n) => Ok(Cell::Bool(n != 0)),
                Err(_) => Err(Misfit::Unconvertible),
            },
        },
        _ => Err(Misfit::Unconvertible),
    }
}

fn large_int(text: &str) -> Result<Cell, Misfit> {
    text.parse::<i128>()
        .map(|n| Cell::Number(n.to_string().into()))
        .map_err(|_| Misfit::Unconvertible)
}

/// Digits with exactly `scale` decimals, rounded half away from zero.
fn decimal(text: &str, precision: u32, scale: u32) -> Result<Cell, Misfit> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().map_err(|_| Misfit::Unconvertible)?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if all.is_empty() || !all.iter().all(u8::is_ascii_digit) || exponent.abs() > 400 {
        return Err(Misfit::Unconvertible);
    }
    // Position of the decimal point in `all`, then the digits kept up to `scale` decimals.
    let point = whole.len() as i64 + i64::from(exponent);
    let kept = point + i64::from(scale);
    let at = |i: i64| usize::try_from(i).ok().and_then(|i| all.get(i)).map_or(0, |d| d - b'0');
    let mut unscaled: u128 = 0;
    for i in 0..kept.max(0) {
        unscaled = unscaled
            .checked_mul(10)
            .and_then(|u| u.checked_add(u128::from(at(i))))
            .ok_or(Misfit::Unconvertible)?;
    }
    if kept >= 0 && at(kept) >= 5 {
        unscaled += 1;
    }
    if unscaled >= 10u128.checked_pow(precision).ok_or(Misfit::Unconvertible)? {
        return Err(Misfit::Unconvertible);
    }
    let width = scale as usize + 1;
    let padded = format!("{unscaled:0>width$}");
    let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
    let sign = if negative && unscaled != 0 { "-" } else { "" };
    let text =
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
    Ok(Cell::Number(text.into()))
}

fn date(text: &str) -> Result<String, Misfit> {
    date_time(text).map(|t| t[..10].to_owned())
}

/// `YYYY-MM-DD`, `YYYYMMDD`, either with ` hh:mm:ss[.ffffff]`; a zone makes it unconvertible.
fn date_time(text: &str) -> Result<String, Misfit> {
    let (day, time) = match text.split_once([' ', 'T']) {
        Some((day, time)) => (day, time.trim()),
        None => (text, "00:00:00"),
    };
    let day = calendar_day(day).ok_or(Misfit::Unconvertible)?;
    let (clock, micros) = time.split_once('.').unwrap_or((time, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let [h, m, s] = parts.as_slice() else { return Err(Misfit::Unconvertible) };
    let number = |text: &str, limit: u32| {
        let fits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|n| fits && *n < limit).ok_or(Misfit::Unconvertible)
    };
    let clock = format!("{:02}:{:02}:{:02}", number(h, 24)?, number(m, 60)?, number(s, 60)?);
    if micros.len() > 6 || !micros.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Misfit::Unconvertible);
    }
    if micros.bytes().all(|b| b == b'0') {
        return Ok(format!("{day} {clock}"));
    }
    Ok(format!("{day} {clock}.{micros:0<6}"))
}

fn calendar_day(text: &str) -> Option<String> {
    let (y, m, d) = if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        (&text[..4], &text[4..6], &text[6..])
    } else {
        let mut parts = text.split('-');
        let day = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || day.0.len() != 4 {
            return None;
        }
        day
    };
    let short = |t: &str| (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    if !short(m) || !short(d) {
        return None;
    }
    let (y, m, d) = (y.parse::<u32>().ok()?, m.parse::<u32>().ok()?, d.parse::<u32>().ok()?);
    let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days = match m {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&d).then(|| format!("{y:04}-{m:02}-{d:02}"))
}

fn nested(spelled: &str, value: &Value) -> Result<Cell, Misfit> {
    let wants_array = spelled.to_ascii_lowercase().starts_with("array");
    match value {
        Value::Array(_) if wants_array => Ok(Cell::Json(value.to_string().into())),
        Value::Object(_) if !wants_array => Ok(Cell::Json(value.to_string().into())),
        _ => Err(Misfit::Unconvertible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ty: Type, json: &str, expect: Result<&str, ()>) {
        let value: Value = serde_json::from_str(json).unwrap();
        let got = ty.cell_of_json(&value).map(|c| c.to_json().to_string()).map_err(|_| ());
        assert_eq!(got, expect.map(str::to_owned), "{json} into {}", ty.desc());
    }

    #[test]
    fn numbers_are_range_checked_and_lose_their_fraction() {
        check(Type::Int, "1.9", Ok("1"));
        check(Type::Int, "-1.9", Ok("-1"));
        check(Type::Int, "\"12.7\"", Ok("12"));
        check(Type::TinyInt, "128", Err(()));
        check(Type::BigInt, "9223372036854775807", Ok("9223372036854775807"));
        check(Type::BigInt, "9223372036854775808", Err(()));
        check(Type::Int, "true", Err(()));
        check(Type::Int, "[1]", Err(()));
        check(Type::Double, "\"1.5\"", Ok("1.5"));
    }

    #[test]
    fn strings_take_any_value_as_text() {
        check(Type::Varchar(20), "true", Ok("\"1\""));
        check(Type::Varchar(20), "1.50", Ok("\"1.50\""));
        check(Type::Varchar(20), "{ \"a\" : 1 }", Ok("\"{\\\"a\\\":1}\""));
        check(Type::Varchar(3), "\"abcd\"", Err(()));
    }

    #[test]
    fn decimals_keep_their_scale_and_round_half_up() {
        check(Type::Decimal(10, 2), "1.5", Ok("1.50"));
        check(Type::Decimal(10, 2), "1.005", Ok("1.01"));
        check(Type::Decimal(10, 2), "-0.001", Ok("0.00"));
        check(Type::Decimal(4, 2), "100", Err(()));
        check(Type::Decimal(10, 0), "1e3", Ok("1000"));
        check(Type::Decimal(10, 3), "12e-2", Ok("0.120"));
        check(
            Type::LargeInt,
            "170141183460469231731687303715884105727",
            Ok("170141183460469231731687303715884105727"),
        );
    }

    #[test]
    fn dates_are_checked_against_the_calendar() {
        check(Type::Date, "\"2024-02-29\"", Ok("\"2024-02-29\""));
        check(Type::Date, "\"2023-02-29\"", Err(()));
        check(Type::DateTime, "\"2024-01-02T03:04:05.1\"", Ok("\"2024-01-02 03:04:05.100000\""));
        check(Type::DateTime, "\"2024-01-02 03:04:05\"", Ok("\"2024-01-02 03:04:05\""));
        check(Type::DateTime, "1700000000000", Err(()));
        check(Type::DateTime, "\"2024-01-02T03:04:05Z\"", Err(()));
    }

    #[test]
    fn booleans_take_words_and_numbers() {
        check(Type::Boolean, "\"TRUE\"", Ok("true"));
        check(Type::Boolean, "0", Ok("false"));
        check(Type::Boolean, "\"2\"", Ok("true"));
        check(Type::Boolean, "\"yes\"", Err(()));
    }
}
