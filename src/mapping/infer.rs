//! What columns a topic's rows would need: types from schemas where values bring them, from the values
//! themselves otherwise. Sees rows after the transforms; asks nobody and writes no SQL.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::data::{Datum, Logical, Schema, Type, Value};
use crate::mapping::columns::{Column, ColumnType};
use crate::mapping::layout::OP;

/// Members that steer a row and are no columns of it.
const NO_COLUMNS: [&str; 2] = [OP, "__deleted"];

/// The members that rows of one table had, in the order they were met.
#[derive(Debug, Default)]
pub struct Shape {
    members: Vec<Member>,
    /// Where each member stands, by name.
    places: HashMap<Arc<str>, usize>,
    /// Names of the record key's fields, where keys have any.
    key: Vec<Arc<str>>,
    /// Rows seen.
    pub rows: u64,
    /// Some row said what it does: upsert or delete.
    pub says_operation: bool,
}

#[derive(Debug)]
struct Member {
    name: Arc<str>,
    guess: Guess,
}

/// What a member's values have been so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Guess {
    /// Nulls only.
    Unknown,
    /// An array whose elements nobody saw.
    EmptyArray,
    /// Numbers with a fraction and without schema: most digits before and behind the point.
    Fraction {
        whole: u32,
        scale: u32,
    },
    Kind(ColumnType),
}

/// Digits that a double keeps.
const DOUBLE_DIGITS: u32 = 15;
/// Most digits of a DECIMAL.
const DECIMAL_DIGITS: u32 = 38;

impl Shape {
    /// Takes one row into account.
    pub fn see(&mut self, value: &Value<'_>) {
        match (&value.schema, &value.datum) {
            (Some(schema), Datum::Struct(values)) => {
                self.rows += 1;
                for (field, datum) in schema.fields.iter().zip(values) {
                    self.member(&field.name, guess(Some(&field.schema), datum));
                }
            }
            (_, Datum::Map(entries)) => {
                self.rows += 1;
                for (name, datum) in entries {
                    if let Some(name) = name.as_str() {
                        self.member(name, guess(None, datum));
                    }
                }
            }
            (schema, Datum::Array(items)) => {
                let items_schema = schema.as_ref().and_then(|schema| schema.items.clone());
                for item in items {
                    self.see(&Value { schema: items_schema.clone(), datum: item.clone() });
                }
            }
            _ => {}
        }
    }

    /// Takes a record's key into account: names only count where each key has them.
    pub fn see_key(&mut self, key: &Value<'_>) {
        let names: Vec<Arc<str>> = match (&key.schema, &key.datum) {
            (Some(schema), Datum::Struct(_)) => {
                schema.fields.iter().map(|field| Arc::clone(&field.name)).collect()
            }
            (_, Datum::Map(entries)) => {
                entries.iter().filter_map(|(name, _)| name.as_str()).map(Arc::from).collect()
            }
            _ => vec![],
        };
        if self.key.is_empty() {
            self.key = names;
        }
    }

    fn member(&mut self, name: &str, guess: Guess) {
        if NO_COLUMNS.contains(&name) {
            self.says_operation = true;
            return;
        }
        match self.places.get(name) {
            Some(&at) => {
                let member = &mut self.members[at];
                let before = std::mem::replace(&mut member.guess, Guess::Unknown);
                member.guess = join(before, guess);
            }
            None => {
                let name: Arc<str> = name.into();
                self.places.insert(Arc::clone(&name), self.members.len());
                self.members.push(Member { name, guess });
            }
        }
    }

    /// The columns, those of the key first. A key is one only if the rows have all its fields, and
    /// each may be a key column. Of members that differ in upper and lower case only, the first is a
    /// column: StarRocks takes no two.
    pub fn columns(&self) -> Vec<Column> {
        let key = self.key();
        let mut columns = self.all_columns(&key);
        let mut names = HashSet::new();
        columns.retain(|column| names.insert(column.name.to_lowercase()));
        columns
    }

    fn all_columns(&self, key: &[Arc<str>]) -> Vec<Column> {
        let of_key: HashSet<&Arc<str>> = key.iter().collect();
        let column = |member: &Member| {
            let is_key = of_key.contains(&member.name);
            Column {
                kind: kind(&member.guess),
                ..Column::new(&member.name, &sql(&kind(&member.guess)), !is_key, is_key)
            }
        };
        let keys = key.iter().filter_map(|name| self.find(name));
        let others = self.members.iter().filter(|member| !of_key.contains(&member.name));
        keys.chain(others).map(column).collect()
    }

    fn find(&self, name: &str) -> Option<&Member> {
        self.places.get(name).map(|&at| &self.members[at])
    }

    /// Names of the members met, as columns would be called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.name)
    }

    fn key(&self) -> Vec<Arc<str>> {
        let fits = |name: &Arc<str>| {
            let member = self.find(name);
            member.is_some_and(|member| may_be_key(&kind(&member.guess)))
        };
        if self.key.iter().all(fits) { self.key.clone() } else { vec![] }
    }
}

/// Whether StarRocks takes a type into a primary key.
pub fn may_be_key(kind: &ColumnType) -> bool {
    match kind {
        ColumnType::Boolean
        | ColumnType::TinyInt
        | ColumnType::SmallInt
        | ColumnType::Int
        | ColumnType::BigInt
        | ColumnType::LargeInt
        | ColumnType::Date
        | ColumnType::DateTime
        | ColumnType::Text { .. } => true,
        ColumnType::Float
        | ColumnType::Double
        | ColumnType::Decimal { .. }
        | ColumnType::Varbinary { .. }
        | ColumnType::Json
        | ColumnType::Array(_)
        | ColumnType::Map(..)
        | ColumnType::Struct(_)
        | ColumnType::Opaque => false,
    }
}

/// A type as DDL has it.
pub fn sql(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Boolean => "BOOLEAN".into(),
        ColumnType::TinyInt => "TINYINT".into(),
        ColumnType::SmallInt => "SMALLINT".into(),
        ColumnType::Int => "INT".into(),
        ColumnType::BigInt => "BIGINT".into(),
        ColumnType::LargeInt => "LARGEINT".into(),
        ColumnType::Float => "FLOAT".into(),
        ColumnType::Double => "DOUBLE".into(),
        ColumnType::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
        ColumnType::Date => "DATE".into(),
        ColumnType::DateTime => "DATETIME".into(),
        ColumnType::Text { most_bytes: Some(most) } => format!("VARCHAR({most})"),
        ColumnType::Text { most_bytes: None } | ColumnType::Opaque => "STRING".into(),
        ColumnType::Varbinary { .. } => "VARBINARY".into(),
        ColumnType::Json | ColumnType::Map(..) | ColumnType::Struct(_) => "JSON".into(),
        ColumnType::Array(item) => format!("ARRAY<{}>", sql(item)),
    }
}

const TEXT: ColumnType = ColumnType::Text { most_bytes: None };

fn kind(guess: &Guess) -> ColumnType {
    match guess {
        Guess::Unknown => TEXT,
        Guess::EmptyArray => ColumnType::Array(Box::new(TEXT)),
        Guess::Fraction { whole, scale } => match whole + scale {
            digits if digits <= DOUBLE_DIGITS => ColumnType::Double,
            digits if digits <= DECIMAL_DIGITS => of_decimal(*scale as i32, None),
            _ => TEXT,
        },
        Guess::Kind(kind) => kind.clone(),
    }
}

fn guess(schema: Option<&Schema>, datum: &Datum<'_>) -> Guess {
    match schema {
        Some(schema) => Guess::Kind(of_schema(schema, datum)),
        None => of_value(datum),
    }
}

fn of_schema(schema: &Schema, datum: &Datum<'_>) -> ColumnType {
    match schema.logical() {
        Logical::Decimal { scale } => return of_decimal(scale.unwrap_or(0), precision(schema)),
        Logical::Date | Logical::EpochDays => return ColumnType::Date,
        Logical::Timestamp | Logical::Epoch { .. } | Logical::ZonedTimestamp => {
            return ColumnType::DateTime;
        }
        Logical::Time | Logical::TimeOfDay { .. } => return TEXT,
        Logical::VariableScaleDecimal => {
            return match datum {
                Datum::Decimal(value) => of_decimal(value.scale(), None),
                _ => of_decimal(9, None),
            };
        }
        Logical::Json => return ColumnType::Json,
        Logical::Unsigned => return ColumnType::LargeInt,
        Logical::Plain => {}
    }
    match schema.kind {
        Type::Int8 => ColumnType::TinyInt,
        Type::Int16 => ColumnType::SmallInt,
        Type::Int32 => ColumnType::Int,
        Type::Int64 => ColumnType::BigInt,
        Type::Float32 => ColumnType::Float,
        Type::Float64 => ColumnType::Double,
        Type::Boolean => ColumnType::Boolean,
        Type::String => TEXT,
        Type::Bytes => ColumnType::Varbinary { most_bytes: None },
        Type::Array => match &schema.items {
            Some(items) => array_of(of_schema(items, &Datum::Null)),
            None => ColumnType::Json,
        },
        Type::Map | Type::Struct => ColumnType::Json,
    }
}

/// Avro's and Debezium's parameters for a decimal's digits.
fn precision(schema: &Schema) -> Option<u32> {
    let names = ["connect.decimal.precision", "precision"];
    let said = schema.parameters.iter().find(|(name, _)| names.contains(&&**name));
    said.and_then(|(_, digits)| digits.trim().parse().ok())
}

fn of_decimal(scale: i32, precision: Option<u32>) -> ColumnType {
    let scale = u32::try_from(scale).unwrap_or(0);
    let precision = precision.unwrap_or(DECIMAL_DIGITS).max(scale).max(1);
    match precision <= DECIMAL_DIGITS {
        true => ColumnType::Decimal { precision, scale },
        false if scale <= DECIMAL_DIGITS => {
            ColumnType::Decimal { precision: DECIMAL_DIGITS, scale }
        }
        false => TEXT,
    }
}

fn array_of(item: ColumnType) -> ColumnType {
    match item {
        ColumnType::Json | ColumnType::Map(..) | ColumnType::Struct(_) | ColumnType::Opaque => {
            ColumnType::Json
        }
        item => ColumnType::Array(Box::new(item)),
    }
}

fn of_value(datum: &Datum<'_>) -> Guess {
    Guess::Kind(match datum {
        Datum::Null => return Guess::Unknown,
        Datum::Boolean(_) => ColumnType::Boolean,
        // A sample bounds nothing, so the widest common type.
        Datum::Int8(_) | Datum::Int16(_) | Datum::Int32(_) | Datum::Int64(_) => ColumnType::BigInt,
        Datum::Float32(_) | Datum::Float64(_) => ColumnType::Double,
        Datum::Number(text) => return of_number(text),
        Datum::String(text) => of_text(text),
        Datum::Bytes(_) => ColumnType::Varbinary { most_bytes: None },
        Datum::Decimal(value) => of_decimal(value.scale(), None),
        Datum::Instant(_) => ColumnType::DateTime,
        Datum::Map(_) | Datum::Struct(_) => ColumnType::Json,
        Datum::Array(items) => {
            let all = items.iter().map(of_value).fold(Guess::EmptyArray, |all, item| match all {
                Guess::EmptyArray => item,
                all => join(all, item),
            });
            return match all {
                Guess::EmptyArray | Guess::Unknown => Guess::EmptyArray,
                item => Guess::Kind(array_of(kind(&item))),
            };
        }
    })
}

/// A JSON number beyond int64, or with a fraction.
fn of_number(text: &str) -> Guess {
    let digits = text.trim_start_matches('-');
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let fits = text.parse::<i128>().is_ok();
        return Guess::Kind(if fits { ColumnType::LargeInt } else { TEXT });
    }
    if text.contains(['e', 'E']) {
        return Guess::Kind(ColumnType::Double);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len() as u32;
    Guess::Fraction { whole, scale: fraction.len() as u32 }
}

/// Text that is a date or a time in the form StarRocks takes.
fn of_text(text: &str) -> ColumnType {
    match text.len() {
        10 if is_date(text) => ColumnType::Date,
        19..=26 if text.is_ascii() && is_date(&text[..10]) && is_clock(&text[10..]) => {
            ColumnType::DateTime
        }
        _ => TEXT,
    }
}

/// `2026-01-31`, a day that there is.
fn is_date(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let is_digits = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    is_digits && (1..=days).contains(&day)
}

/// ` 12:30:59` or `T12:30:59.123456`.
fn is_clock(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    let fraction = match bytes.get(9) {
        None => true,
        Some(b'.') => bytes.len() > 10 && digits(10..bytes.len()),
        Some(_) => false,
    };
    matches!(bytes[0], b' ' | b'T')
        && digits(1..3)
        && digits(4..6)
        && digits(7..9)
        && (bytes[3], bytes[6]) == (b':', b':')
        && fraction
}

/// A type that holds the values of both.
fn join(a: Guess, b: Guess) -> Guess {
    match (a, b) {
        (Guess::Unknown, other) | (other, Guess::Unknown) => other,
        (Guess::EmptyArray, Guess::EmptyArray) => Guess::EmptyArray,
        (Guess::Fraction { whole, scale }, Guess::Fraction { whole: longer, scale: finer }) => {
            Guess::Fraction { whole: whole.max(longer), scale: scale.max(finer) }
        }
        // Whole numbers of a sample say little of their length.
        (number @ Guess::Fraction { .. }, Guess::Kind(other))
        | (Guess::Kind(other), number @ Guess::Fraction { .. })
            if other.integer_range().is_some() =>
        {
            number
        }
        (number @ Guess::Fraction { .. }, other) | (other, number @ Guess::Fraction { .. }) => {
            join(Guess::Kind(kind(&number)), other)
        }
        (Guess::EmptyArray, Guess::Kind(kind)) | (Guess::Kind(kind), Guess::EmptyArray) => {
            Guess::Kind(match kind {
                ColumnType::Array(_) => kind,
                _ => ColumnType::Json,
            })
        }
        (Guess::Kind(a), Guess::Kind(b)) => Guess::Kind(wider(a, b)),
    }
}

fn wider(a: ColumnType, b: ColumnType) -> ColumnType {
    if a == b {
        return a;
    }
    if let (Some(of_a), Some(of_b)) = (a.integer_range(), b.integer_range()) {
        return if of_a.1 >= of_b.1 { a } else { b };
    }
    match (a, b) {
        (ColumnType::Json, _) | (_, ColumnType::Json) => ColumnType::Json,
        (ColumnType::Array(a), ColumnType::Array(b)) => array_of(wider(*a, *b)),
        (ColumnType::Array(_), _) | (_, ColumnType::Array(_)) => ColumnType::Json,
        (ColumnType::Date, ColumnType::DateTime) | (ColumnType::DateTime, ColumnType::Date) => {
            ColumnType::DateTime
        }
        (
            ColumnType::Decimal { precision, scale },
            ColumnType::Decimal { precision: more, scale: finer },
        ) => of_decimal(
            scale.max(finer) as i32,
            Some((precision - scale).max(more - finer) + scale.max(finer)),
        ),
        (ColumnType::Decimal { scale, .. }, other) | (other, ColumnType::Decimal { scale, .. })
            if other.integer_range().is_some() =>
        {
            of_decimal(scale as i32, None)
        }
        (a, b) if a.is_numeric() && b.is_numeric() => ColumnType::Double,
        _ => TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::JsonConverter;
    use crate::data::SchemaDef;
    use crate::data::options::Options;

    fn converter(schemas: &str) -> JsonConverter {
        let options: Options = [("schemas.enable", schemas)].into_iter().collect();
        JsonConverter::compile(&options).expect("it compiles")
    }

    #[track_caller]
    fn check(rows: &[&str], expect: &[(&str, &str)]) {
        let mut shape = Shape::default();
        let mut converter = converter("false");
        for row in rows {
            shape.see(&converter.convert(Some(row.as_bytes())).expect("it is JSON"));
        }
        let columns = shape.columns();
        let found: Vec<_> =
            columns.iter().map(|column| (column.name.as_str(), column.text.as_str())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn values_without_schema_tell_their_types() {
        check(
            &[
                r#"{"i":1,"f":1.5,"b":true,"s":"x","d":"2026-01-31","t":"2026-01-31 10:00:00","o":{"a":1},"a":[1],"n":null}"#,
                r#"{"i":-9223372036854775808,"f":2,"b":false,"s":null,"d":"2026-02-01","t":"2026-01-31T10:00:00.123","o":null,"a":[],"n":null}"#,
            ],
            &[
                ("i", "BIGINT"),
                ("f", "DOUBLE"),
                ("b", "BOOLEAN"),
                ("s", "STRING"),
                ("d", "DATE"),
                ("t", "DATETIME"),
                ("o", "JSON"),
                ("a", "ARRAY<BIGINT>"),
                ("n", "STRING"),
            ],
        );
    }

    #[test]
    fn values_of_two_types_get_one_that_holds_both() {
        let two = |a: &str, b: &str, expect: &str| {
            let rows = [format!("{{\"v\":{a}}}"), format!("{{\"v\":{b}}}")];
            check(&[&rows[0], &rows[1]], &[("v", expect)]);
            check(&[&rows[1], &rows[0]], &[("v", expect)]);
        };
        two("1", "1.5", "DOUBLE");
        two("1", "12345678901234567890", "LARGEINT");
        two("1", "\"x\"", "STRING");
        two("\"2026-01-31\"", "\"2026-01-31 00:00:00\"", "DATETIME");
        two("\"2026-01-31\"", "\"soon\"", "STRING");
        two("{}", "\"x\"", "JSON");
        two("[]", "[\"x\"]", "ARRAY<STRING>");
        two("[1]", "[1.5]", "ARRAY<DOUBLE>");
        two("[1]", "[{}]", "JSON");
        two("[]", "1", "JSON");
        two("123456789012345678.12", "1.125", "DECIMAL(38, 3)");
        two("123456789012345678.12", "7", "DECIMAL(38, 2)");
        two("1.5", "1e300", "DOUBLE");
        two("1.5", "\"x\"", "STRING");
        two("true", "1", "STRING");
    }

    #[test]
    fn text_that_only_looks_like_a_time_is_text() {
        for text in
            ["2026-13-01", "2026-01-31 1:00:00", "2026-01-31 10:00:00Z", "20260131", "äöü-01-01"]
        {
            check(&[&format!("{{\"v\":\"{text}\"}}")], &[("v", "STRING")]);
        }
    }

    fn field(kind: Type, name: &str) -> Schema {
        SchemaDef::new(kind).named(name, 1).build()
    }

    #[test]
    fn schemas_decide_also_where_values_are_null() {
        let mut def = SchemaDef::new(Type::Struct);
        let fields = [
            ("id", Schema::of(Type::Int32)),
            (
                "price",
                SchemaDef::new(Type::Bytes)
                    .named(crate::data::schema::DECIMAL, 1)
                    .parameter("scale", "2")
                    .parameter("connect.decimal.precision", "10")
                    .build(),
            ),
            ("at", field(Type::Int64, "io.debezium.time.MicroTimestamp")),
            ("zoned", field(Type::String, "io.debezium.time.ZonedTimestamp")),
            ("day", field(Type::Int32, "io.debezium.time.Date")),
            ("doc", field(Type::String, "io.debezium.data.Json")),
            ("raw", Schema::optional_of(Type::Bytes)),
            ("__op", Schema::of(Type::Int32)),
        ];
        for (name, schema) in fields {
            def.add_field(name, schema).expect("names differ");
        }
        let mut shape = Shape::default();
        let values = std::iter::repeat_n(Datum::Null, 8).collect();
        shape.see(&Value::new(def.build(), Datum::Struct(values)));
        let mut key = SchemaDef::new(Type::Struct);
        key.add_field("id", Schema::of(Type::Int32)).expect("one field");
        shape.see_key(&Value::new(key.build(), Datum::Struct(vec![Datum::Int32(1)])));
        let columns = shape.columns();
        let found: Vec<_> =
            columns.iter().map(|c| (c.name.as_str(), c.text.as_str(), c.key)).collect();
        let expect = [
            ("id", "INT", true),
            ("price", "DECIMAL(10, 2)", false),
            ("at", "DATETIME", false),
            ("zoned", "DATETIME", false),
            ("day", "DATE", false),
            ("doc", "JSON", false),
            ("raw", "VARBINARY", false),
        ];
        assert_eq!(found, expect);
        assert!(shape.says_operation && !columns[0].nullable && columns[1].nullable);
    }

    #[test]
    fn of_members_that_differ_in_case_only_one_is_a_column() {
        check(&[r#"{"city":"x","City":"y","CITY":1}"#], &[("city", "STRING")]);
    }

    #[test]
    fn a_key_that_rows_lack_is_none() {
        let mut shape = Shape::default();
        let mut converter = converter("false");
        let mut datum =
            |text: &'static str| converter.convert(Some(text.as_bytes())).expect("JSON");
        let (row, key) = (datum(r#"{"id":1}"#), datum(r#"{"other":1}"#));
        shape.see(&row);
        shape.see_key(&key);
        assert!(shape.columns().iter().all(|column| !column.key));
    }
}
