//! A StarRocks table as a row sees it: its columns, their types, and what kind of table it is. Reads
//! the type texts of `DESC`; asks nobody and converts nothing.

use std::fmt;

/// One table's columns, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub kind: TableKind,
    pub columns: Vec<Column>,
}

/// What a table does with rows of equal keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    Duplicate,
    Aggregate,
    Unique,
    /// Knows deletes (`__op`).
    Primary,
    /// The server did not say.
    Unknown,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    /// The type as the server writes it, for messages.
    pub text: String,
    pub nullable: bool,
    pub key: bool,
    pub default: Option<String>,
    /// Computed or numbered by the server: no row may hold it.
    pub made_by_server: bool,
}

/// A column's type, as far as it decides how a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    LargeInt,
    Float,
    Double,
    Decimal {
        precision: u32,
        scale: u32,
    },
    Date,
    DateTime,
    /// CHAR, VARCHAR and STRING; the most bytes it holds, where it says.
    Text {
        most_bytes: Option<u32>,
    },
    Varbinary {
        most_bytes: Option<u32>,
    },
    Json,
    Array(Box<ColumnType>),
    Map(Box<ColumnType>, Box<ColumnType>),
    Struct(Vec<(String, ColumnType)>),
    /// BITMAP, HLL, PERCENTILE: fed by expressions only, so a value goes as it is.
    Opaque,
}

/// The length of a VARCHAR that says none; STRING is the same type.
const STRING_BYTES: u32 = 65_533;

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Columns of the key, in the table's order.
    pub fn keys(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.key)
    }

    /// Columns that a row may hold, in the table's order.
    pub fn writable(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.made_by_server)
    }
}

impl TableKind {
    /// From the table's own DDL (`SHOW CREATE TABLE`).
    pub fn of_ddl(ddl: &str) -> TableKind {
        // A JSON answer has its quotes escaped; the words stay.
        let has = |words: &str| ddl.contains(words);
        match () {
            () if has("PRIMARY KEY(") || has("PRIMARY KEY (") => TableKind::Primary,
            () if has("UNIQUE KEY(") || has("UNIQUE KEY (") => TableKind::Unique,
            () if has("AGGREGATE KEY(") || has("AGGREGATE KEY (") => TableKind::Aggregate,
            () if has("DUPLICATE KEY(") || has("DUPLICATE KEY (") => TableKind::Duplicate,
            () if has("CREATE TABLE") => TableKind::Duplicate,
            () => TableKind::Unknown,
        }
    }

    /// From the word that the table's description has (`PRIMARY_KEYS`, `DUP_KEYS` …).
    pub fn of_word(word: &str) -> TableKind {
        match word {
            "PRIMARY_KEYS" => TableKind::Primary,
            "UNIQUE_KEYS" => TableKind::Unique,
            "AGG_KEYS" => TableKind::Aggregate,
            "DUP_KEYS" => TableKind::Duplicate,
            _ => TableKind::Unknown,
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableKind::Duplicate => "duplicate key",
            TableKind::Aggregate => "aggregate",
            TableKind::Unique => "unique key",
            TableKind::Primary => "primary key",
            TableKind::Unknown => "unknown",
        })
    }
}

impl Column {
    /// A column as `DESC` lists it.
    pub fn new(name: &str, type_text: &str, nullable: bool, key: bool) -> Column {
        Column {
            name: name.to_owned(),
            kind: ColumnType::parse(type_text),
            text: type_text.to_ascii_uppercase(),
            nullable,
            key,
            default: None,
            made_by_server: false,
        }
    }
}

impl ColumnType {
    /// Reads a type's text, `varchar(20)` or `array<struct<a int(11)>>`. What is not known is
    /// [`ColumnType::Opaque`]: its values are written as they are.
    pub fn parse(text: &str) -> ColumnType {
        let mut parser = Parser { rest: text.trim() };
        parser.kind().unwrap_or(ColumnType::Opaque)
    }

    /// The inclusive range of an integer type.
    pub fn integer_range(&self) -> Option<(i128, i128)> {
        match self {
            ColumnType::TinyInt => Some((i8::MIN.into(), i8::MAX.into())),
            ColumnType::SmallInt => Some((i16::MIN.into(), i16::MAX.into())),
            ColumnType::Int => Some((i32::MIN.into(), i32::MAX.into())),
            ColumnType::BigInt => Some((i64::MIN.into(), i64::MAX.into())),
            ColumnType::LargeInt => Some((i128::MIN, i128::MAX)),
            _ => None,
        }
    }

    pub fn is_numeric(&self) -> bool {
        self.integer_range().is_some()
            || matches!(self, ColumnType::Float | ColumnType::Double | ColumnType::Decimal { .. })
    }

    /// DATE and DATETIME.
    pub fn is_time(&self) -> bool {
        matches!(self, ColumnType::Date | ColumnType::DateTime)
    }

    /// ARRAY, MAP and STRUCT.
    pub fn is_nested(&self) -> bool {
        matches!(self, ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_))
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn kind(&mut self) -> Option<ColumnType> {
        let word = self.word().to_ascii_lowercase();
        Some(match word.as_str() {
            "boolean" | "bool" => ColumnType::Boolean,
            // The display width of whole numbers says nothing.
            "tinyint" => self.plain(ColumnType::TinyInt),
            "smallint" => self.plain(ColumnType::SmallInt),
            "int" | "integer" => self.plain(ColumnType::Int),
            "bigint" => self.plain(ColumnType::BigInt),
            "largeint" => self.plain(ColumnType::LargeInt),
            "float" => ColumnType::Float,
            "double" => ColumnType::Double,
            "decimal" | "decimalv2" | "decimal32" | "decimal64" | "decimal128" | "decimal256"
            | "numeric" => {
                let (precision, scale) = match self.numbers()[..] {
                    [precision, scale] => (precision, scale),
                    [precision] => (precision, 0),
                    _ => (38, 9),
                };
                ColumnType::Decimal { precision, scale }
            }
            "date" => ColumnType::Date,
            "datetime" | "timestamp" => ColumnType::DateTime,
            "char" => {
                ColumnType::Text { most_bytes: Some(self.numbers().first().copied().unwrap_or(1)) }
            }
            "varchar" | "string" | "text" => {
                let most = self.numbers().first().copied().unwrap_or(STRING_BYTES);
                ColumnType::Text { most_bytes: Some(most) }
            }
            "varbinary" | "binary" => {
                ColumnType::Varbinary { most_bytes: self.numbers().first().copied() }
            }
            "json" => ColumnType::Json,
            "array" => {
                self.expect("<")?;
                let item = self.kind()?;
                self.expect(">")?;
                ColumnType::Array(Box::new(item))
            }
            "map" => {
                self.expect("<")?;
                let key = self.kind()?;
                self.expect(",")?;
                let value = self.kind()?;
                self.expect(">")?;
                ColumnType::Map(Box::new(key), Box::new(value))
            }
            "struct" => ColumnType::Struct(self.fields()?),
            _ => return None,
        })
    }

    fn fields(&mut self) -> Option<Vec<(String, ColumnType)>> {
        self.expect("<")?;
        let mut fields = vec![];
        loop {
            let name = self.name();
            // Some versions write `name:type`.
            let _ = self.expect(":");
            fields.push((name, self.kind()?));
            if self.expect(",").is_none() {
                self.expect(">")?;
                return Some(fields);
            }
        }
    }

    fn plain(&mut self, kind: ColumnType) -> ColumnType {
        self.numbers();
        kind
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn name(&mut self) -> String {
        self.rest = self.rest.trim_start();
        if let Some(quoted) = self.rest.strip_prefix('`')
            && let Some((name, rest)) = quoted.split_once('`')
        {
            self.rest = rest;
            return name.to_owned();
        }
        let end = self.rest.find([' ', ':']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }

    fn expect(&mut self, mark: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(mark)?;
        Some(())
    }

    /// `(10,2)`, if it comes next.
    fn numbers(&mut self) -> Vec<u32> {
        let Some(inner) = self.rest.trim_start().strip_prefix('(') else { return vec![] };
        let Some((inner, rest)) = inner.split_once(')') else { return vec![] };
        self.rest = rest;
        inner.split(',').filter_map(|number| number.trim().parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: ColumnType) {
        assert_eq!(ColumnType::parse(text), expect, "{text}");
    }

    #[test]
    fn types_are_read_as_desc_writes_them() {
        let text = |most| ColumnType::Text { most_bytes: Some(most) };
        check("bigint(20)", ColumnType::BigInt);
        check("BIGINT", ColumnType::BigInt);
        check("decimal(10,2)", ColumnType::Decimal { precision: 10, scale: 2 });
        check("DECIMAL64(18, 4)", ColumnType::Decimal { precision: 18, scale: 4 });
        check("varchar(20)", text(20));
        check("string", text(65_533));
        check("char(3)", text(3));
        check("varbinary", ColumnType::Varbinary { most_bytes: None });
        check("datetime", ColumnType::DateTime);
        check("bitmap", ColumnType::Opaque);
    }

    #[test]
    fn nested_types_are_read_whole() {
        let int = || Box::new(ColumnType::Int);
        check("array<array<int(11)>>", ColumnType::Array(Box::new(ColumnType::Array(int()))));
        check(
            "map<varchar(10), int>",
            ColumnType::Map(Box::new(ColumnType::Text { most_bytes: Some(10) }), int()),
        );
        let fields = vec![("a".into(), ColumnType::Int), ("b c".into(), ColumnType::Json)];
        check("struct<a int(11), `b c` json>", ColumnType::Struct(fields));
        check("struct<a int", ColumnType::Opaque);
    }

    #[test]
    fn a_tables_kind_stands_in_its_ddl() {
        let kind = |ddl| TableKind::of_ddl(ddl);
        assert_eq!(kind("CREATE TABLE `t` (...) PRIMARY KEY(`id`)"), TableKind::Primary);
        assert_eq!(kind("CREATE TABLE `t` (...) DUPLICATE KEY(`id`)"), TableKind::Duplicate);
        assert_eq!(kind("Access denied"), TableKind::Unknown);
    }
}
