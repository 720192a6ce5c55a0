//! What DESC, SHOW CREATE TABLE and `information_schema` say of the catalog (STREAM_LOAD 8.3).

use serde_json::Value;

use super::Session;
use crate::access::Privilege;
use crate::cluster::State;
use crate::profile::Version;
use crate::table::{Column, Default, Schema};
use crate::value::Type;

/// Names and rows of a virtual table.
pub(super) type Listing = (Vec<&'static str>, Vec<Vec<Value>>);

fn text(value: impl Into<String>) -> Value {
    Value::String(value.into())
}

fn visible<'a>(state: &'a State, session: &Session) -> Vec<(&'a str, &'a crate::table::Table)> {
    let user = state.users.0.get(&session.user);
    state
        .databases
        .iter()
        .flat_map(|(db, d)| d.tables.iter().map(move |(name, t)| (db.as_str(), name, t)))
        .filter(|(db, name, _)| user.is_some_and(|u| u.may(Privilege::Any, db, name)))
        .map(|(db, _, table)| (db, table))
        .collect()
}

/// A virtual table of `information_schema`, if the name is one.
pub(super) fn information_schema(
    state: &State,
    session: &Session,
    version: Version,
    name: &str,
) -> Option<Listing> {
    match name.to_ascii_lowercase().as_str() {
        "columns" => Some(columns(state, session)),
        "tables" => Some(tables(state, session)),
        "tables_config" => Some(tables_config(state, session)),
        "schemata" => Some(schemata(state, session)),
        "loads" if version.has_loads_table() => Some(loads(state)),
        _ => None,
    }
}

fn columns(state: &State, session: &Session) -> Listing {
    let names = vec![
        "TABLE_CATALOG",
        "TABLE_SCHEMA",
        "TABLE_NAME",
        "COLUMN_NAME",
        "ORDINAL_POSITION",
        "COLUMN_DEFAULT",
        "IS_NULLABLE",
        "DATA_TYPE",
        "COLUMN_SIZE",
        "DECIMAL_DIGITS",
        "NUMERIC_PRECISION",
        "NUMERIC_SCALE",
        "CHARACTER_MAXIMUM_LENGTH",
        "COLUMN_TYPE",
        "COLUMN_KEY",
        "EXTRA",
        "COLUMN_COMMENT",
        "GENERATION_EXPRESSION",
    ];
    let mut rows = Vec::new();
    for (db, table) in visible(state, session) {
        for (i, column) in table.schema.columns.iter().enumerate() {
            rows.push(column_row(db, &table.schema, i, column));
        }
    }
    (names, rows)
}

fn column_row(db: &str, schema: &Schema, i: usize, column: &Column) -> Vec<Value> {
    let size = column.ty.column_size().map_or(Value::Null, Value::from);
    let digits = match column.ty {
        Type::Decimal(_, s) => Value::from(s),
        Type::TinyInt | Type::SmallInt | Type::Int | Type::BigInt => Value::from(0),
        _ => Value::Null,
    };
    let numeric = !matches!(column.ty, Type::Char(_) | Type::Varchar(_) | Type::String);
    let (precision, length) =
        if numeric { (size.clone(), Value::Null) } else { (Value::Null, size.clone()) };
    let key = if column.key { schema.keys.column_key() } else { "" };
    let column_type = match &column.ty {
        // A BOOLEAN shows as the tinyint it is stored as.
        Type::Boolean => "tinyint(1)".to_owned(),
        other => other.create().replace(", ", ","),
    };
    vec![
        text("def"),
        text(db),
        text(&schema.name),
        text(&column.name),
        Value::from(i + 1),
        default_text(column).map_or(Value::Null, Value::String),
        text(if column.nullable { "YES" } else { "NO" }),
        text(column.ty.data_type()),
        size,
        digits.clone(),
        precision,
        digits,
        length,
        text(column_type),
        text(key),
        text(extra(column)),
        text(&column.comment),
        text(column.generated.clone().unwrap_or_default()),
    ]
}

fn default_text(column: &Column) -> Option<String> {
    match &column.default {
        Default::Const(text) => Some(text.clone()),
        Default::CurrentTimestamp => Some("CURRENT_TIMESTAMP".to_owned()),
        Default::None | Default::Null | Default::AutoIncrement => None,
    }
}

fn extra(column: &Column) -> &'static str {
    match column.default {
        Default::CurrentTimestamp => "DEFAULT_GENERATED",
        Default::AutoIncrement => "auto_increment",
        Default::None | Default::Null | Default::Const(_) => "",
    }
}

/// `defaultValueType` of the v2 schema.
pub(crate) fn default_kind(column: &Column) -> &'static str {
    match column.default {
        Default::Const(_) => "CONST",
        Default::CurrentTimestamp => "VARY",
        Default::None | Default::Null | Default::AutoIncrement => "NULL",
    }
}

fn tables(state: &State, session: &Session) -> Listing {
    let names = vec![
        "TABLE_CATALOG",
        "TABLE_SCHEMA",
        "TABLE_NAME",
        "TABLE_TYPE",
        "ENGINE",
        "TABLE_ROWS",
        "TABLE_COMMENT",
    ];
    let row = |(db, table): (&str, &crate::table::Table)| {
        vec![
            text("def"),
            text(db),
            text(&table.schema.name),
            text("BASE TABLE"),
            text("StarRocks"),
            Value::from(table.row_count()),
            text(&table.schema.comment),
        ]
    };
    (names, visible(state, session).into_iter().map(row).collect())
}

fn tables_config(state: &State, session: &Session) -> Listing {
    let names = vec![
        "TABLE_SCHEMA",
        "TABLE_NAME",
        "TABLE_ENGINE",
        "TABLE_MODEL",
        "PRIMARY_KEY",
        "PARTITION_KEY",
        "DISTRIBUTE_KEY",
        "DISTRIBUTE_TYPE",
        "DISTRIBUTE_BUCKET",
        "SORT_KEY",
        "PROPERTIES",
        "TABLE_ID",
    ];
    let row = |(db, table): (&str, &crate::table::Table)| {
        let schema = &table.schema;
        let list = |names: &[&str]| {
            text(names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "))
        };
        let keys = schema.key_names();
        let hash: Vec<&str> = schema.distributed_by.iter().map(String::as_str).collect();
        vec![
            text(db),
            text(&schema.name),
            text("OLAP"),
            text(schema.keys.v2_text()),
            if schema.keys.replaces() { list(&keys) } else { text("") },
            text(""),
            list(&hash),
            text(if hash.is_empty() { "RANDOM" } else { "HASH" }),
            Value::from(schema.buckets),
            list(&keys),
            text("{}"),
            Value::from(schema.table_id),
        ]
    };
    (names, visible(state, session).into_iter().map(row).collect())
}

fn schemata(state: &State, session: &Session) -> Listing {
    let names = vec!["CATALOG_NAME", "SCHEMA_NAME", "DEFAULT_CHARACTER_SET_NAME"];
    let rows = databases(state, session)
        .into_iter()
        .map(|db| vec![text("def"), text(db), text("utf8")])
        .collect();
    (names, rows)
}

/// Databases the user sees, `information_schema` among them.
pub(super) fn databases(state: &State, session: &Session) -> Vec<String> {
    let user = state.users.0.get(&session.user);
    let mut names: Vec<String> =
        state.databases.keys().filter(|db| user.is_some_and(|u| u.sees_db(db))).cloned().collect();
    names.push("information_schema".to_owned());
    names.sort();
    names
}

fn loads(state: &State) -> Listing {
    let names = vec![
        "JOB_ID",
        "LABEL",
        "DATABASE_NAME",
        "TABLE_NAME",
        "STATE",
        "TXN_ID",
        "TYPE",
        "ERROR_MSG",
    ];
    let row = |row: &crate::cluster::LoadRow| {
        vec![
            Value::from(0),
            text(&row.label),
            text(&row.db),
            text(&row.table),
            text(row.state),
            Value::from(row.txn_id),
            text("STREAM LOAD"),
            if row.error.is_empty() { Value::Null } else { text(&row.error) },
        ]
    };
    (names, state.loads.iter().map(row).collect())
}

/// The rows of DESC: Field, Type, Null, Key, Default, Extra.
pub(super) fn describe(schema: &Schema) -> Vec<Vec<Value>> {
    let row = |c: &Column| {
        vec![
            text(&c.name),
            text(c.ty.desc()),
            text(if c.nullable { "YES" } else { "NO" }),
            text(if c.key { "true" } else { "false" }),
            default_text(c).map_or(Value::Null, Value::String),
            text(extra(c)),
        ]
    };
    schema.columns.iter().map(row).collect()
}

/// The rows of SHOW FULL COLUMNS, whose Key says YES or NO.
pub(super) fn full_columns(schema: &Schema) -> Vec<Vec<Value>> {
    let row = |c: &Column| {
        vec![
            text(&c.name),
            text(c.ty.desc()),
            text(""),
            text(if c.nullable { "YES" } else { "NO" }),
            text(if c.key { "YES" } else { "NO" }),
            default_text(c).map_or(Value::Null, Value::String),
            text(extra(c)),
            text(""),
            text(&c.comment),
        ]
    };
    schema.columns.iter().map(row).collect()
}

/// The statement SHOW CREATE TABLE prints.
pub(crate) fn create_text(schema: &Schema) -> String {
    let columns: Vec<String> = schema.columns.iter().map(create_column).collect();
    let keys: Vec<String> = schema.key_names().iter().map(|k| format!("`{k}`")).collect();
    let hash: Vec<String> = schema.distributed_by.iter().map(|k| format!("`{k}`")).collect();
    let comment = match schema.comment.as_str() {
        "" => String::new(),
        comment => format!("COMMENT \"{comment}\"\n"),
    };
    let distribution = if hash.is_empty() {
        "DISTRIBUTED BY RANDOM".to_owned()
    } else {
        format!("DISTRIBUTED BY HASH({})", hash.join(", "))
    };
    let mut properties = vec![("compression".to_owned(), "LZ4".to_owned())];
    for (key, value) in &schema.properties {
        properties.retain(|(k, _)| k != key);
        properties.push((key.clone(), value.clone()));
    }
    if !properties.iter().any(|(k, _)| k == "replication_num") {
        properties.push(("replication_num".to_owned(), "1".to_owned()));
    }
    let properties: Vec<String> =
        properties.iter().map(|(k, v)| format!("\"{k}\" = \"{v}\"")).collect();
    format!(
        "CREATE TABLE `{}` (\n{}\n) ENGINE=OLAP \n{}({})\n{comment}{distribution} BUCKETS {} \nPROPERTIES (\n{}\n);",
        schema.name,
        columns.join(",\n"),
        schema.keys.create_text(),
        keys.join(", "),
        schema.buckets,
        properties.join(",\n")
    )
}

fn create_column(column: &Column) -> String {
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    let default = match &column.default {
        Default::Const(text) => format!(" DEFAULT \"{text}\""),
        Default::CurrentTimestamp => " DEFAULT CURRENT_TIMESTAMP".to_owned(),
        Default::AutoIncrement => " AUTO_INCREMENT".to_owned(),
        Default::None | Default::Null => String::new(),
    };
    let generated = column.generated.as_ref().map_or(String::new(), |g| format!(" AS {g}"));
    format!(
        "  `{}` {} {null}{default}{generated} COMMENT \"{}\"",
        column.name,
        column.ty.create(),
        column.comment
    )
}
