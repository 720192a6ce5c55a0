//! Text that tells its own type: what Connect's `Values.parseString` makes of headers and literals.
//!
//! Two deviations keep values whole: a number that a float would round becomes the wider float or
//! a decimal, and text behind a number (`12:30`) makes the whole a text.

use super::schema::{DATE, TIME, TIMESTAMP};
use super::time::{MILLIS_PER_DAY, days_of_date};
use super::{Datum, Decimal, Schema, SchemaDef, Type, Value, number};

/// Nested brackets read as arrays or maps; deeper ones make the whole a text.
const DEEPEST: usize = 64;

/// Parses a literal; never fails, because any text is at least a string.
pub fn parse(text: &str) -> Value<'static> {
    let string = || Value::new(Schema::of(Type::String), Datum::text(text.to_string()));
    if text.is_empty() {
        return string();
    }
    let mut tokens = Tokens { text, at: 0 };
    match text.trim_matches(|c| c <= ' ') {
        "null" => return Value::NULL,
        "true" => return Value::new(Schema::of(Type::Boolean), Datum::Boolean(true)),
        "false" => return Value::new(Schema::of(Type::Boolean), Datum::Boolean(false)),
        _ => {}
    }
    // Text behind a complete array or map is ignored, as Connect does.
    if let Some(value) = tokens.bracketed(0) {
        return value;
    }
    scalar(text.trim_matches(|c| c <= ' ')).unwrap_or_else(string)
}

/// A date, time, timestamp or number.
fn scalar(token: &str) -> Option<Value<'static>> {
    let first = token.chars().next()?;
    if first.is_ascii_digit()
        && let Some(value) = temporal(token)
    {
        return Some(value);
    }
    if first.is_ascii_digit() || first == '+' || first == '-' {
        return Decimal::parse(token).map(number_value);
    }
    None
}

/// The smallest type that holds the number exactly.
fn number_value(decimal: Decimal) -> Value<'static> {
    let typed = |kind, datum| Value::new(Schema::of(kind), datum);
    if let Some(whole) = decimal.to_i64_exact() {
        if let Ok(v) = i8::try_from(whole) {
            return typed(Type::Int8, Datum::Int8(v));
        }
        if let Ok(v) = i16::try_from(whole) {
            return typed(Type::Int16, Datum::Int16(v));
        }
        if let Ok(v) = i32::try_from(whole) {
            return typed(Type::Int32, Datum::Int32(v));
        }
        return typed(Type::Int64, Datum::Int64(whole));
    }
    let same = |text: String| Decimal::parse(&text).is_some_and(|back| back.is_number(&decimal));
    if decimal.scale() != 0 {
        let (single, double) = (decimal.to_f32(), decimal.to_f64());
        if single.is_finite() && same(number::java_float(single)) {
            return typed(Type::Float32, Datum::Float32(single));
        }
        if double.is_finite() && same(number::java_double(double)) {
            return typed(Type::Float64, Datum::Float64(double));
        }
    }
    Value::new(Schema::decimal(decimal.scale()), Datum::Decimal(Box::new(decimal)))
}

/// `yyyy-MM-dd`, `HH:mm:ss.SSS'Z'` or both joined by `T`; a colon may be escaped. UTC.
fn temporal(token: &str) -> Option<Value<'static>> {
    let token = token.replace("\\:", ":");
    let logical =
        |kind, name, datum| Some(Value::new(SchemaDef::new(kind).named(name, 1).build(), datum));
    match token.len() {
        10 => logical(Type::Int32, DATE, Datum::Int32(i32::try_from(date(&token)?).ok()?)),
        13 => logical(Type::Int32, TIME, Datum::Int32(i32::try_from(clock(&token)?).ok()?)),
        24 if token.as_bytes()[10] == b'T' => {
            let millis = date(&token[..10])? * MILLIS_PER_DAY + clock(&token[11..])?;
            logical(Type::Int64, TIMESTAMP, Datum::Int64(millis))
        }
        _ => None,
    }
}

fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
}

fn date(text: &str) -> Option<i64> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 7)?, digits(text, 8, 10)?);
    let days = days_of_date(year, month, day);
    let real = super::time::date_text(days) == text;
    real.then_some(days)
}

fn clock(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shaped = bytes[2] == b':' && bytes[5] == b':' && bytes[8] == b'.' && bytes[12] == b'Z';
    let (hour, minute) = (digits(text, 0, 2)?, digits(text, 3, 5)?);
    let (second, millis) = (digits(text, 6, 8)?, digits(text, 9, 12)?);
    (shaped && hour < 24 && minute < 60 && second < 60)
        .then_some(((hour * 60 + minute) * 60 + second) * 1_000 + millis)
}

/// The text cut at unescaped `: , { } [ ] "`, blanks around tokens skipped.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(|c| c <= ' ').len();
    }

    fn eat(&mut self, delimiter: char) -> bool {
        self.skip_blanks();
        let there = self.text[self.at..].starts_with(delimiter);
        self.at += usize::from(there);
        there
    }

    /// Up to the next delimiter, which stays.
    fn word(&mut self) -> &'t str {
        let start = self.at;
        let mut escaped = false;
        for (offset, c) in self.text[start..].char_indices() {
            match c {
                '\\' => escaped = !escaped,
                ':' | ',' | '{' | '}' | '[' | ']' | '"' if !escaped => {
                    self.at = start + offset;
                    return &self.text[start..self.at];
                }
                _ => escaped = false,
            }
        }
        self.at = self.text.len();
        &self.text[start..]
    }

    /// An array or a map; `None` when there is none or it is malformed.
    fn bracketed(&mut self, depth: usize) -> Option<Value<'static>> {
        if depth > DEEPEST {
            return None;
        }
        if self.eat('[') {
            return self.array(depth);
        }
        if self.eat('{') {
            return self.map(depth);
        }
        None
    }

    fn array(&mut self, depth: usize) -> Option<Value<'static>> {
        let mut items = Vec::new();
        let mut common = None;
        while !self.eat(']') {
            let item = self.element(depth)?;
            common = common_schema(common, &item);
            items.push(item.datum);
            if !self.eat(',') {
                if !self.eat(']') {
                    return None;
                }
                break;
            }
        }
        if let Some(schema) = &common {
            items = items.into_iter().map(|item| align(item, schema)).collect();
        }
        let mut def = SchemaDef::new(Type::Array);
        def.items = common;
        Some(Value::new(def.build(), Datum::Array(items)))
    }

    fn map(&mut self, depth: usize) -> Option<Value<'static>> {
        let mut entries: Vec<(Datum<'static>, Datum<'static>)> = Vec::new();
        let (mut keys, mut values) = (None, None);
        while !self.eat('}') {
            let key = self.element(depth)?;
            if key.datum.is_null() || !self.eat(':') {
                return None;
            }
            let value = self.element(depth)?;
            keys = common_schema(keys, &key);
            values = common_schema(values, &value);
            entries.retain(|(known, _)| *known != key.datum);
            entries.push((key.datum, value.datum));
            self.eat(',');
        }
        let mut def = SchemaDef::new(Type::Map);
        (def.keys, def.items) = (keys, values);
        for (key, value) in &mut entries {
            if let Some(schema) = &def.keys {
                *key = align(std::mem::replace(key, Datum::Null), schema);
            }
            if let Some(schema) = &def.items {
                *value = align(std::mem::replace(value, Datum::Null), schema);
            }
        }
        Some(Value::new(def.build(), Datum::Map(entries)))
    }

    fn element(&mut self, depth: usize) -> Option<Value<'static>> {
        self.skip_blanks();
        if self.eat('"') {
            return self.quoted();
        }
        if self.text[self.at..].starts_with(['[', '{']) {
            return self.bracketed(depth + 1);
        }
        let start = self.at;
        // A time holds four more tokens: two colons and what follows them.
        for length in [24, 13] {
            if let Some(token) = self.text.get(start..start + length)
                && let Some(value) = temporal(token)
            {
                self.at = start + length;
                return Some(value);
            }
        }
        let word = self.word().trim_matches(|c| c <= ' ');
        match word {
            "null" => Some(Value::NULL),
            "true" => Some(Value::new(Schema::of(Type::Boolean), Datum::Boolean(true))),
            "false" => Some(Value::new(Schema::of(Type::Boolean), Datum::Boolean(false))),
            word => scalar(word),
        }
    }

    fn quoted(&mut self) -> Option<Value<'static>> {
        let mut content = String::new();
        let mut escaped = false;
        for (offset, c) in self.text[self.at..].char_indices() {
            match c {
                '"' if !escaped => {
                    self.at += offset + 1;
                    return Some(temporal(&content).unwrap_or_else(|| {
                        Value::new(Schema::of(Type::String), Datum::text(content))
                    }));
                }
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
            content.push(c);
        }
        None
    }
}

/// How wide a number type is, for merging; others merge only with their equal.
fn width(kind: Type) -> Option<u8> {
    match kind {
        Type::Int8 => Some(0),
        Type::Int16 => Some(1),
        Type::Int32 => Some(2),
        Type::Int64 => Some(3),
        Type::Float32 => Some(4),
        Type::Float64 => Some(5),
        Type::Boolean | Type::String | Type::Bytes | Type::Array | Type::Map | Type::Struct => None,
    }
}

/// The schema that holds both; `None` when there is none, and then elements describe themselves.
fn common_schema(previous: Option<Schema>, latest: &Value<'static>) -> Option<Schema> {
    let Some(new) = &latest.schema else { return previous };
    let Some(previous) = previous else { return Some(new.clone()) };
    if previous.kind == new.kind && previous.name == new.name {
        return Some(previous);
    }
    let plain = previous.name.is_none() && new.name.is_none();
    match (width(previous.kind), width(new.kind)) {
        (Some(a), Some(b)) if plain => Some(if a >= b { previous } else { new.clone() }),
        _ => None,
    }
}

/// Widens a number to the common schema.
fn align(datum: Datum<'static>, schema: &Schema) -> Datum<'static> {
    let whole = match datum {
        Datum::Int8(v) => i64::from(v),
        Datum::Int16(v) => i64::from(v),
        Datum::Int32(v) => i64::from(v),
        Datum::Int64(v) => v,
        Datum::Float32(v) if schema.kind == Type::Float64 => return Datum::Float64(f64::from(v)),
        other => return other,
    };
    match schema.kind {
        Type::Int16 => Datum::Int16(whole as i16),
        Type::Int32 => Datum::Int32(whole as i32),
        Type::Int64 => Datum::Int64(whole),
        Type::Float32 => Datum::Float32(whole as f32),
        Type::Float64 => Datum::Float64(whole as f64),
        _ => datum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kind: Type, datum: Datum<'static>) {
        let value = parse(text);
        assert_eq!(value.schema.map(|schema| schema.kind), Some(kind), "type of `{text}`");
        assert_eq!(value.datum, datum, "`{text}`");
    }

    #[test]
    fn numbers_take_the_smallest_type_that_holds_them_exactly() {
        check("12", Type::Int8, Datum::Int8(12));
        check("300", Type::Int16, Datum::Int16(300));
        check("1.0", Type::Int8, Datum::Int8(1));
        check("1.5", Type::Float32, Datum::Float32(1.5));
        check("1.23456789", Type::Float64, Datum::Float64(1.23456789));
        let big = Decimal::parse("9223372036854775808").expect("a number");
        check("9223372036854775808", Type::Bytes, Datum::Decimal(Box::new(big)));
    }

    #[test]
    fn what_is_no_literal_stays_the_text_it_was() {
        for text in ["emea-1", "12:30", "[1,", "{a}", "2024-13-01", " ", "-", "\"q\""] {
            check(text, Type::String, Datum::text(text));
        }
    }

    #[test]
    fn arrays_merge_their_elements_types() {
        check("[1, 300]", Type::Array, Datum::Array(vec![Datum::Int16(1), Datum::Int16(300)]));
        let mixed = parse("[1,\"a\"]");
        assert_eq!(mixed.schema.expect("an array").items, None);
        check("{\"a\":1} x", Type::Map, Datum::Map(vec![(Datum::text("a"), Datum::Int8(1))]));
        check(&"[".repeat(10_000), Type::String, Datum::text("[".repeat(10_000)));
    }
}
