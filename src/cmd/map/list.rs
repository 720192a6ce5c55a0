//! `map --list`: what this program knows, out of its own tables.

use serde_json::{Value, json};

use crate::cli::Listed;
use crate::cmd::map::width;
use crate::config::keys::{KEYS, Key, Status, Type};
use crate::config::stream_load::HEADERS;
use crate::convert::CONVERTERS;
use crate::report;
use crate::report::table::{Table, wrapped};
use crate::transform::predicate::PREDICATES;
use crate::transform::{self};

/// Prints one list, as a table or as one JSON array.
pub(super) fn print(what: Listed, json: bool) {
    let rows = match what {
        Listed::Transforms => transforms(),
        Listed::Converters => converters(),
        Listed::Keys => keys(),
        Listed::Headers => headers(),
    };
    if json {
        report::out(&Value::Array(rows).to_string());
        return;
    }
    let names: Vec<String> = match rows.first() {
        Some(Value::Object(first)) => first.keys().cloned().collect(),
        _ => vec![],
    };
    let mut table = Table::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &rows {
        table.row(names.iter().map(|name| cell(row, name)).collect());
    }
    match width() {
        // A name that is cut can be looked up nowhere.
        Some(width) if table.natural_width() > width => stacked(&names, &rows, width),
        width => table.lines(0, width).iter().for_each(|line| report::out(line)),
    }
}

/// Each row's name on a line of its own, and below it what there is to say.
fn stacked(names: &[String], rows: &[Value], width: usize) {
    let Some((first, others)) = names.split_first() else { return };
    for row in rows {
        report::out(&cell(row, first));
        for name in others {
            let text = cell(row, name);
            if !text.is_empty() {
                wrapped(&format!("  {name}: {text}"), width, 4)
                    .iter()
                    .for_each(|line| report::out(line));
            }
        }
    }
}

fn cell(row: &Value, name: &str) -> String {
    match &row[name] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Both sides of a transform stand in one row: `Cast$Key` and `Cast$Value` as `Cast$Key|Value`.
fn transforms() -> Vec<Value> {
    let mut rows = vec![];
    for group in transform::TRANSFORMS {
        let Some(first) = group.first() else { continue };
        let class = match group.len() {
            1 => first.class.to_owned(),
            _ => format!("{}|Value", first.class),
        };
        let mut names = vec![class];
        names.extend(first.also.iter().map(|&name| name.to_owned()));
        for class in names {
            rows.push(json!({"class": class, "kind": "transform", "doc": first.doc}));
        }
    }
    for (class, _) in PREDICATES {
        let doc = match class.rsplit('.').next().unwrap_or_default() {
            "TopicNameMatches" => "The topic's whole name matches `pattern`.",
            "HasHeaderKey" => "A header `name` is there.",
            _ => "The value is null.",
        };
        rows.push(json!({"class": class, "kind": "predicate", "doc": doc}));
    }
    rows
}

fn converters() -> Vec<Value> {
    let row = |(class, alias, _): &(&str, &str, _)| json!({"class": class, "alias": alias});
    CONVERTERS.iter().map(|known| row(&(known.0, known.1, known.2))).collect()
}

fn keys() -> Vec<Value> {
    let row = |key: &Key| {
        json!({
            "key": key.name,
            "value": kind(key.kind),
            "default": key.default,
            "status": status(key.status),
            "doc": key.doc,
        })
    };
    KEYS.iter().map(row).collect()
}

fn kind(kind: Type) -> String {
    match kind {
        Type::Text => "text".to_owned(),
        Type::Password => "secret".to_owned(),
        Type::List => "list".to_owned(),
        Type::Boolean => "true, false".to_owned(),
        Type::Class => "class".to_owned(),
        Type::Integer { least, most: i64::MAX } => format!("from {least}"),
        Type::Integer { least, most } => format!("{least} to {most}"),
        Type::OneOf(values) => values.join(", "),
    }
}

fn status(status: Status) -> String {
    match status {
        Status::Honoured => "honoured".to_owned(),
        Status::Translated => "translated".to_owned(),
        Status::Ignored(why) => format!("ignored: {why}"),
        Status::Refused(instead) => format!("refused: {instead}"),
    }
}

fn headers() -> Vec<Value> {
    let row = |header: &crate::config::stream_load::Header| {
        json!({
            "header": header.name,
            "value": header.form,
            "set_by": header.set_by.word(),
            "since": header.since,
            "doc": header.doc,
        })
    };
    HEADERS.iter().map(row).collect()
}
