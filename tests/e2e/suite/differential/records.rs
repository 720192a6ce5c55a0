//! Random schemas and values, as the bytes that a producer would have written.

use serde_json::{Map, Value as Json, json};

use super::dice::Dice;

/// Names that fields have, and that transforms ask for.
pub(super) const NAMES: [&str; 14] = [
    "id", "name", "qty", "price", "at", "day", "flag", "raw", "inner", "list", "tags", "note",
    "a.b", "x_y",
];

/// How the bytes of a side are made, and which converter reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Schemaless,
    WithSchema,
    /// A Debezium envelope, with its schema.
    Envelope,
    Text,
    Bytes,
    /// The number converters: class and width.
    Number(&'static str, usize),
}

/// What a field holds.
#[derive(Debug, Clone)]
enum Kind {
    /// A JSON name of Connect's plain types.
    Plain(&'static str),
    /// A type with a name of its own.
    Named(&'static str, &'static str),
    Decimal(i32),
    Array(Box<Schema>),
    Map(&'static str, Box<Schema>),
    Struct(Vec<(String, Schema)>),
    VariableScale,
}

#[derive(Debug, Clone)]
pub(super) struct Schema {
    kind: Kind,
    optional: bool,
    default: Option<Json>,
    name: Option<String>,
    version: Option<i32>,
    doc: Option<&'static str>,
    parameters: Option<Json>,
}

const PLAIN: [&str; 9] =
    ["int8", "int16", "int32", "int64", "float", "double", "boolean", "string", "bytes"];

const NAMED: [(&str, &str); 12] = [
    ("int32", "org.apache.kafka.connect.data.Date"),
    ("int32", "org.apache.kafka.connect.data.Time"),
    ("int64", "org.apache.kafka.connect.data.Timestamp"),
    ("int64", "org.apache.kafka.connect.data.Timestamp"),
    ("int32", "io.debezium.time.Date"),
    ("int32", "io.debezium.time.Time"),
    ("int64", "io.debezium.time.MicroTime"),
    ("int64", "io.debezium.time.Timestamp"),
    ("int64", "io.debezium.time.MicroTimestamp"),
    ("int64", "io.debezium.time.NanoTimestamp"),
    ("string", "io.debezium.time.ZonedTimestamp"),
    ("string", "io.debezium.data.Json"),
];

impl Schema {
    fn new(kind: Kind) -> Schema {
        Schema {
            kind,
            optional: false,
            default: None,
            name: None,
            version: None,
            doc: None,
            parameters: None,
        }
    }

    fn optional(mut self) -> Schema {
        self.optional = true;
        self
    }

    fn named(mut self, name: &str) -> Schema {
        self.name = Some(name.to_owned());
        self
    }

    /// A struct of random fields.
    pub(super) fn random_struct(dice: &mut Dice, depth: usize) -> Schema {
        let mut fields: Vec<(String, Schema)> = Vec::new();
        for _ in 0..1 + dice.below(if depth == 0 { 8 } else { 4 }) {
            let name = dice.pick(&NAMES);
            if fields.iter().all(|(known, _)| known != name) {
                fields.push((name.to_owned(), Schema::random(dice, depth + 1)));
            }
        }
        let mut schema = Schema::new(Kind::Struct(fields));
        if dice.once_in(3) {
            schema.name = Some(dice.pick(&["Order", "shop.Line", "r"]).to_owned());
            schema.version = dice.once_in(2).then_some(3);
        }
        schema.decorate(dice);
        schema
    }

    fn random(dice: &mut Dice, depth: usize) -> Schema {
        let mut schema = match dice.below(if depth > 2 { 12 } else { 17 }) {
            0..=7 => Schema::new(Kind::Plain(dice.pick(&PLAIN))),
            8 | 9 => {
                let (kind, name) = NAMED[dice.below(NAMED.len())];
                let mut schema = Schema::new(Kind::Named(kind, name));
                schema.version = Some(1);
                schema
            }
            10 => Schema::new(Kind::Decimal(dice.below(5) as i32)),
            11 => Schema::new(Kind::Plain("string")),
            12 | 13 => Schema::random_struct(dice, depth),
            14 => Schema::new(Kind::Array(Box::new(Schema::random(dice, depth + 1)))),
            15 => {
                let keys = dice.pick(&["string", "string", "int32", "int64"]);
                Schema::new(Kind::Map(keys, Box::new(Schema::random(dice, depth + 1))))
            }
            _ => Schema::new(Kind::VariableScale),
        };
        schema.optional = !dice.once_in(3);
        schema.decorate(dice);
        // JsonConverter refuses the default of a struct, also in an array or map: a rarity.
        if dice.once_in(if schema.is_nested() { 400 } else { 5 }) {
            schema.default = Some(schema.payload(dice, &mut Wild::never()));
        }
        schema
    }

    fn is_nested(&self) -> bool {
        match &self.kind {
            Kind::Struct(_) | Kind::VariableScale | Kind::Array(_) | Kind::Map(..) => true,
            Kind::Plain(_) | Kind::Named(..) | Kind::Decimal(_) => false,
        }
    }

    fn decorate(&mut self, dice: &mut Dice) {
        if dice.once_in(10) {
            self.doc = Some("what it is");
        }
        if dice.once_in(10) {
            self.parameters = Some(json!({"__debezium.source.column.type": "X", "k": ""}));
        }
    }

    fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Plain(name) | Kind::Named(name, _) => name,
            Kind::Decimal(_) => "bytes",
            Kind::Array(_) => "array",
            Kind::Map(..) => "map",
            Kind::Struct(_) | Kind::VariableScale => "struct",
        }
    }

    /// Connect's JSON form of the schema.
    pub(super) fn to_json(&self) -> Json {
        let mut out = Map::new();
        out.insert("type".into(), self.type_name().into());
        out.insert("optional".into(), self.optional.into());
        if let Some(name) = &self.name {
            out.insert("name".into(), name.as_str().into());
        }
        if let Some(version) = self.version {
            out.insert("version".into(), version.into());
        }
        if let Some(doc) = self.doc {
            out.insert("doc".into(), doc.into());
        }
        let mut parameters = self.parameters.clone();
        match &self.kind {
            Kind::Named(_, name) => {
                out.insert("name".into(), (*name).into());
            }
            Kind::Decimal(scale) => {
                out.insert("name".into(), "org.apache.kafka.connect.data.Decimal".into());
                out.insert("version".into(), 1.into());
                let mut all = parameters.take().unwrap_or_else(|| json!({}));
                all["scale"] = scale.to_string().into();
                parameters = Some(all);
            }
            Kind::Array(items) => {
                out.insert("items".into(), items.to_json());
            }
            Kind::Map(keys, values) => {
                out.insert("keys".into(), json!({"type": keys, "optional": false}));
                out.insert("values".into(), values.to_json());
            }
            Kind::Struct(fields) => {
                let field = |(name, schema): &(String, Schema)| {
                    let mut json = schema.to_json();
                    json["field"] = name.as_str().into();
                    json
                };
                out.insert("fields".into(), fields.iter().map(field).collect());
            }
            Kind::VariableScale => {
                out.insert("name".into(), "io.debezium.data.VariableScaleDecimal".into());
                let fields = json!([
                    {"type": "int32", "optional": false, "field": "scale"},
                    {"type": "bytes", "optional": false, "field": "value"}
                ]);
                out.insert("fields".into(), fields);
            }
            Kind::Plain(_) => {}
        }
        if let Some(parameters) = parameters {
            out.insert("parameters".into(), parameters);
        }
        if let Some(default) = &self.default {
            out.insert("default".into(), default.clone());
        }
        Json::Object(out)
    }

    /// A value of the schema in JsonConverter's notation; one of another type where `wild` says so.
    pub(super) fn payload(&self, dice: &mut Dice, wild: &mut Wild) -> Json {
        if wild.strikes(dice) {
            return dice
                .pick(&[&json!("12x"), &json!(7), &json!(true), &json!([1]), &json!({})])
                .clone();
        }
        if self.optional && dice.once_in(5) {
            return Json::Null;
        }
        match &self.kind {
            Kind::Plain(kind) => plain(kind, dice),
            Kind::Named(_, name) => named(name, dice),
            Kind::Decimal(_) => decimal(dice).into(),
            Kind::Array(items) => {
                (0..dice.below(4)).map(|_| items.payload(dice, wild)).collect::<Vec<_>>().into()
            }
            Kind::Map("string", values) => {
                let mut out = Map::new();
                for _ in 0..dice.below(4) {
                    out.insert(dice.pick(&NAMES).to_owned(), values.payload(dice, wild));
                }
                Json::Object(out)
            }
            Kind::Map(_, values) => (0..dice.below(4))
                .map(|key| json!([key * 7, values.payload(dice, wild)]))
                .collect::<Vec<_>>()
                .into(),
            Kind::Struct(fields) => {
                let mut out = Map::new();
                for (name, schema) in fields {
                    // A missing member counts as null.
                    if !(schema.optional && dice.once_in(20)) {
                        out.insert(name.clone(), schema.payload(dice, wild));
                    }
                }
                Json::Object(out)
            }
            Kind::VariableScale => json!({"scale": dice.below(5), "value": decimal(dice)}),
        }
    }
}

/// Values of the wrong type: rare, and known of afterwards.
#[derive(Debug)]
pub(super) struct Wild {
    once_in: Option<usize>,
    pub(super) struck: bool,
}

impl Wild {
    pub(super) fn never() -> Wild {
        Wild { once_in: None, struck: false }
    }

    pub(super) fn once_in(sides: usize) -> Wild {
        Wild { once_in: Some(sides), struck: false }
    }

    fn strikes(&mut self, dice: &mut Dice) -> bool {
        let strikes = self.once_in.is_some_and(|sides| dice.once_in(sides));
        self.struck |= strikes;
        strikes
    }
}

fn number(text: &str) -> Json {
    serde_json::from_str(text).expect("a JSON number")
}

fn integer(bits: u32, dice: &mut Dice) -> i64 {
    let (low, high) = (-1i64 << (bits - 1), (1i64 << (bits - 1)).wrapping_sub(1));
    match dice.below(8) {
        0 => low,
        1 => high,
        2 => 0,
        3 => -1,
        4 | 5 => dice.below(100) as i64,
        _ => (dice.next() as i64) >> (64 - bits),
    }
}

/// Fractions: of every size, and some that no double holds as written.
fn fraction(dice: &mut Dice) -> Json {
    number(match dice.below(16) {
        0 => "0.0",
        1 => "-1.5",
        2 => "100.0",
        3 => "1e7",
        4 => "1.0E-5",
        5 => "0.1",
        6 => "12345.678",
        7 => "1.7976931348623157E308",
        8 => "4.9E-324",
        9 => "3.4028235E38",
        10 => "-0.0",
        11 => "1e21",
        12 => "9007199254740993.0",
        13 => "2.5e-3",
        14 => "33333333.333333332",
        _ => "1234567.125",
    })
}

fn text(dice: &mut Dice) -> String {
    const TEXTS: [&str; 26] = [
        "",
        "a",
        "alpha beta",
        "17",
        "-3",
        "+8",
        " 5 ",
        "1.5",
        "1e3",
        "300",
        "70000",
        "9223372036854775808",
        "true",
        "TRUE",
        "no",
        "2024-01-31",
        "2024-02-30",
        "2024-01-31 12:34:56",
        "2023-11-14T22:13:20.123Z",
        "20240131",
        "12:34:56.789Z",
        "null",
        "ünï \"quoted\" \\ / \u{1} 字 😀",
        "{\"a\":1}",
        "NaN",
        "0x1p3",
    ];
    dice.pick(&TEXTS).to_owned()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let padded = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > chunk.len() { '=' } else { letter.into() });
        }
    }
    out
}

/// Base64 text of bytes, as a message of the harness and as JsonConverter has it.
pub(super) fn in_base64(bytes: Option<&[u8]>) -> Json {
    bytes.map_or(Json::Null, |bytes| base64(bytes).into())
}

fn decimal(dice: &mut Dice) -> String {
    let bytes: &[u8] = match dice.below(6) {
        0 => &[0],
        1 => &[0x04, 0xe2],
        2 => &[0xff],
        3 => &[0x80],
        4 => &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22],
        _ => &[0x00, 0xff],
    };
    base64(bytes)
}

fn plain(kind: &str, dice: &mut Dice) -> Json {
    match kind {
        "int8" => integer(8, dice).into(),
        "int16" => integer(16, dice).into(),
        "int32" => integer(32, dice).into(),
        "int64" => integer(64, dice).into(),
        "float" => {
            number(dice.pick(&["0.5", "-1.25", "1e10", "0.1", "16777217", "3.4028235E38", "7"]))
        }
        "double" => match dice.once_in(4) {
            true => integer(32, dice).into(),
            false => fraction(dice),
        },
        "boolean" => dice.once_in(2).into(),
        "string" => text(dice).into(),
        "bytes" => {
            const BYTES: [&[u8]; 4] = [&[], &[0], &[0, 0xff, 0x10], b"abc"];
            base64(dice.pick(&BYTES)).into()
        }
        other => unreachable!("{other}"),
    }
}

/// Milliseconds since the epoch: now, before, long before, and at the edges.
fn instant(dice: &mut Dice) -> i64 {
    match dice.below(8) {
        0 => 0,
        1 => -1,
        2 => 1_700_000_000_123,
        3 => 951_782_400_000,
        4 => -62_135_596_800_000,
        5 => 86_399_999,
        6 => 253_402_300_799_999,
        _ => (dice.next() % 4_000_000_000_000) as i64 - 1_000_000_000_000,
    }
}

fn named(name: &str, dice: &mut Dice) -> Json {
    match name {
        "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" => {
            instant(dice).div_euclid(86_400_000).into()
        }
        "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time" => {
            instant(dice).rem_euclid(86_400_000).into()
        }
        "io.debezium.time.MicroTime" => (instant(dice).rem_euclid(86_400_000) * 1_000).into(),
        "io.debezium.time.MicroTimestamp" => (instant(dice) * 1_000 + 7).into(),
        "io.debezium.time.NanoTimestamp" => {
            ((instant(dice) % 4_000_000_000_000) * 1_000_000).into()
        }
        "io.debezium.time.ZonedTimestamp" => dice
            .pick(&[
                "2024-01-31T12:34:56.789Z",
                "1969-12-31T23:59:59Z",
                "2024-06-01T00:00:00.123456Z",
            ])
            .into(),
        "io.debezium.data.Json" => dice.pick(&["{\"a\": 1}", "[]", "null"]).into(),
        _ => instant(dice).into(),
    }
}

/// Whole numbers that Java cuts to their low 64 bits.
pub(super) const BEYOND_INT64: [&str; 2] =
    ["9223372036854775809", "-123456789012345678901234567890"];

/// A value without schema, of the kind its name suggests or any other.
fn schemaless(name: &str, dice: &mut Dice, depth: usize) -> Json {
    match (name, dice.below(4)) {
        ("at" | "day", 1..) => match dice.below(3) {
            0 => instant(dice).into(),
            1 => (instant(dice) / 1_000).into(),
            _ => dice
                .pick(&[
                    "2024-01-31",
                    "2024-01-31 12:34:56",
                    "2023-11-14T22:13:20.123Z",
                    "20240131",
                ])
                .into(),
        },
        ("qty" | "id", 1..) => integer(32, dice).into(),
        ("price", 1..) => fraction(dice),
        ("flag", 1..) => dice.once_in(2).into(),
        ("name" | "note", 1..) => text(dice).into(),
        ("inner", 1..) if depth < 3 => object(dice, depth + 1),
        ("list" | "tags", 1..) if depth < 3 => {
            (0..dice.below(4)).map(|_| schemaless("", dice, depth + 1)).collect::<Vec<_>>().into()
        }
        _ => match dice.below(if depth < 3 { 9 } else { 7 }) {
            0 => Json::Null,
            1 => integer(64, dice).into(),
            2 => integer(16, dice).into(),
            3 => fraction(dice),
            4 => dice.once_in(2).into(),
            5 => text(dice).into(),
            6 if dice.once_in(6) => number(dice.pick(&BEYOND_INT64)),
            6 => text(dice).into(),
            7 => object(dice, depth + 1),
            _ => (0..dice.below(3))
                .map(|_| schemaless("", dice, depth + 1))
                .collect::<Vec<_>>()
                .into(),
        },
    }
}

fn object(dice: &mut Dice, depth: usize) -> Json {
    let mut out = Map::new();
    for _ in 0..dice.below(if depth == 0 { 9 } else { 4 }) {
        let name = dice.pick(&NAMES);
        out.insert(name.to_owned(), schemaless(name, dice, depth));
    }
    Json::Object(out)
}

/// A side of a case's records: how it is written, and its schemas, for a topic has several in time.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) form: Form,
    schemas: Vec<Schema>,
}

impl Side {
    pub(super) fn value(dice: &mut Dice) -> Side {
        let form = match dice.below(20) {
            0..=5 => Form::Schemaless,
            6..=12 => Form::WithSchema,
            13..=17 => Form::Envelope,
            18 => Form::Text,
            _ => *dice.pick(&[&Form::Bytes, &Form::Number("Long", 8), &Form::Number("Double", 8)]),
        };
        Side::of(form, dice)
    }

    pub(super) fn key(dice: &mut Dice, envelope: bool) -> Side {
        let form = match dice.below(8) {
            _ if envelope && !dice.once_in(6) => Form::WithSchema,
            0..=2 => Form::Schemaless,
            3..=5 => Form::WithSchema,
            6 => Form::Text,
            _ => *dice.pick(&[
                &Form::Bytes,
                &Form::Number("Short", 2),
                &Form::Number("Integer", 4),
                &Form::Number("Float", 4),
                &Form::Number("Boolean", 1),
            ]),
        };
        Side::of(form, dice)
    }

    fn of(form: Form, dice: &mut Dice) -> Side {
        let schemas = (0..1 + dice.below(2))
            .map(|_| match form {
                Form::Envelope => envelope_schema(dice),
                // Now and then a plain value under a schema.
                _ if dice.once_in(8) => Schema::random(dice, 2),
                _ => {
                    let mut schema = Schema::random_struct(dice, 0);
                    schema.optional = dice.once_in(3);
                    schema
                }
            })
            .collect();
        Side { form, schemas }
    }

    /// The converter's class.
    pub(super) fn class(&self) -> String {
        match self.form {
            Form::Schemaless | Form::WithSchema | Form::Envelope => {
                "org.apache.kafka.connect.json.JsonConverter".to_owned()
            }
            Form::Text => "org.apache.kafka.connect.storage.StringConverter".to_owned(),
            Form::Bytes => "org.apache.kafka.connect.converters.ByteArrayConverter".to_owned(),
            Form::Number(name, _) => format!("org.apache.kafka.connect.converters.{name}Converter"),
        }
    }

    /// One record's bytes of this side; `None` is Kafka's null.
    pub(super) fn bytes(&self, dice: &mut Dice, wild: &mut Wild) -> Option<Vec<u8>> {
        if dice.once_in(12) {
            return None;
        }
        let json = match self.form {
            Form::Schemaless if dice.once_in(15) => schemaless("", dice, 1),
            Form::Schemaless => object(dice, 0),
            Form::WithSchema => {
                let schema = &self.schemas[dice.below(self.schemas.len())];
                json!({"schema": schema.to_json(), "payload": schema.payload(dice, wild)})
            }
            Form::Envelope => {
                let schema = &self.schemas[dice.below(self.schemas.len())];
                json!({"schema": schema.to_json(), "payload": envelope(schema, dice, wild)})
            }
            Form::Text => return Some(text(dice).into_bytes()),
            Form::Bytes => return Some(dice.next().to_be_bytes()[..dice.below(8)].to_vec()),
            Form::Number("Boolean", _) => return Some(vec![dice.below(2) as u8]),
            Form::Number(_, width) => {
                let width = if dice.once_in(20) { width - 1 } else { width };
                return Some(dice.next().to_be_bytes()[..width].to_vec());
            }
        };
        Some(json.to_string().into_bytes())
    }
}

/// The schema of a table's change events.
fn envelope_schema(dice: &mut Dice) -> Schema {
    let mut row = Schema::random_struct(dice, 0).optional().named("crm.public.t.Value");
    row.version = None;
    let plain = |kind| Schema::new(Kind::Plain(kind));
    let field = |name: &str, schema| (name.to_owned(), schema);
    let source = Schema::new(Kind::Struct(vec![
        field("version", plain("string")),
        field("connector", plain("string")),
        field("ts_ms", plain("int64")),
        field("schema", plain("string").optional()),
        field("table", plain("string")),
        field("lsn", plain("int64").optional()),
    ]))
    .named("io.debezium.connector.postgresql.Source");
    let transaction = Schema::new(Kind::Struct(vec![
        field("id", plain("string")),
        field("total_order", plain("int64")),
        field("data_collection_order", plain("int64")),
    ]))
    .named("event.block")
    .optional();
    let mut fields = vec![
        field("before", row.clone()),
        field("after", row),
        field("source", source),
        field("op", plain("string")),
        field("ts_ms", plain("int64").optional()),
    ];
    if dice.once_in(2) {
        fields.push(field("transaction", transaction));
    }
    let mut schema = Schema::new(Kind::Struct(fields)).named("crm.public.t.Envelope");
    schema.version = Some(1);
    schema
}

fn envelope(schema: &Schema, dice: &mut Dice, wild: &mut Wild) -> Json {
    let Kind::Struct(fields) = &schema.kind else { unreachable!("an envelope is a struct") };
    let op = dice.pick(&["c", "c", "u", "u", "u", "d", "d", "r", "t"]);
    let (with_before, with_after) = match op {
        "c" | "r" => (false, true),
        "u" => (dice.once_in(2), true),
        "d" => (!dice.once_in(20), false),
        _ => (false, false),
    };
    let mut out = Map::new();
    for (name, schema) in fields {
        let value = match name.as_str() {
            "op" => op.into(),
            "before" if !with_before => Json::Null,
            "after" if !with_after => Json::Null,
            "before" | "after" => {
                let mut present = schema.clone();
                present.optional = false;
                present.payload(dice, wild)
            }
            _ => schema.payload(dice, &mut Wild::never()),
        };
        out.insert(name.clone(), value);
    }
    Json::Object(out)
}

/// A record's headers.
pub(super) fn headers(dice: &mut Dice) -> Vec<(String, Option<Vec<u8>>)> {
    const VALUES: [&str; 13] = [
        "[\"id\",\"name\"]",
        "12",
        "70000",
        "true",
        "abc",
        "",
        "null",
        "2024-01-31",
        "[1,2]",
        "{\"a\":1}",
        "1.5",
        "id,qty",
        "ü",
    ];
    (0..dice.below(3))
        .map(|_| {
            let value = dice.pick(&VALUES).as_bytes().to_vec();
            (dice.pick(&["h", "x", "drop"]).to_owned(), (!dice.once_in(10)).then_some(value))
        })
        .collect()
}
