//! Rows that StarRocks names in its error log, and how a row made here is recognised among them. Pure.
//!
//! The log shows a row either as it was sent (a JSON object, a CSV line) or as the values of the
//! table's columns in order, `[7, NULL, 'text']`, whatever the row was. A row is recognised only where every value is the
//! same text; what StarRocks shows in another form (decimals, dates) is found by search instead.

use std::collections::HashMap;

use serde_json::Value;

use crate::pipeline::refuse::Verdict;
use crate::starrocks::client::TableName;

/// Named rows of all tables.
#[derive(Debug, Clone, Default)]
pub struct Named {
    tables: HashMap<String, OfTable>,
}

#[derive(Debug, Clone, Default)]
struct OfTable {
    /// Of the table, in order; empty where StarRocks does not show them.
    columns: Vec<String>,
    /// Where rows are CSV whose fields are just these columns.
    lines_as: Option<CsvLine>,
    lines: HashMap<Key, Verdict>,
}

/// How a line of CSV is made of a table's columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLine {
    pub separator: Vec<u8>,
    pub row_delimiter: Vec<u8>,
}

/// A row's values in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Json(String),
    Text(String),
    /// `None`: NULL.
    Cells(Vec<Option<String>>),
}

impl Named {
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Adds what a log names; whether anything of it is new.
    pub fn add(
        &mut self,
        table: &TableName,
        columns: &[String],
        lines_as: Option<CsvLine>,
        label: &str,
        log: &[String],
    ) -> bool {
        let of_table = self.tables.entry(table.table.clone()).or_default();
        of_table.columns = columns.to_vec();
        of_table.lines_as = lines_as;
        let before = of_table.lines.len();
        for line in log {
            if let Some((reason, row)) = split(line)
                && let Some(key) = Key::of_log(row)
            {
                let verdict = Verdict {
                    reason: reason.to_owned(),
                    words: line.clone(),
                    table: table.to_string(),
                    label: label.to_owned(),
                    by_name: true,
                };
                of_table.lines.entry(key).or_insert(verdict);
            }
        }
        of_table.lines.len() > before
    }

    /// What StarRocks says of this row: JSON without what joins it to others, or CSV with its delimiter.
    pub fn find(&self, table: &str, row: &[u8]) -> Option<&Verdict> {
        let of_table = self.tables.get(table)?;
        let text = std::str::from_utf8(row).ok()?;
        let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(text) else {
            let whole = of_table.lines.get(&Key::Text(text.trim_end().to_owned()));
            return whole.or_else(|| {
                let cells = of_table.lines_as.as_ref()?.cells(text)?;
                (cells.len() == of_table.columns.len())
                    .then(|| of_table.lines.get(&Key::Cells(cells)))?
            });
        };
        let whole = of_table.lines.get(&Key::Json(value.to_string()));
        whole.or_else(|| {
            let cells = of_table.columns.iter().map(|name| cell(&value[name.as_str()]));
            let cells: Vec<Option<String>> = cells.collect();
            (!cells.is_empty()).then(|| of_table.lines.get(&Key::Cells(cells)))?
        })
    }
}

impl CsvLine {
    /// The fields of one line; `None` where the separator is no text.
    fn cells(&self, line: &str) -> Option<Vec<Option<String>>> {
        let (separator, end) = (text(&self.separator)?, text(&self.row_delimiter)?);
        let cell = |cell: &str| (cell != "\\N").then(|| cell.to_owned());
        Some(line.strip_suffix(end).unwrap_or(line).split(separator).map(cell).collect())
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// `Error: REASON. Row: ROW`.
fn split(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("Error: ")?.split_once(". Row: ")
}

/// What a line of the log says, without the row.
pub fn reason(line: &str) -> &str {
    split(line).map_or_else(|| line.strip_prefix("Error: ").unwrap_or(line), |(reason, _)| reason)
}

impl Key {
    fn of_log(row: &str) -> Option<Key> {
        let row = row.trim_end();
        if row.starts_with('{') {
            return serde_json::from_str::<Value>(row)
                .ok()
                .map(|value| Key::Json(value.to_string()));
        }
        match row.strip_prefix('[').and_then(|row| row.strip_suffix(']')) {
            Some(cells) => Some(Key::Cells(cells_of(cells))),
            None if row.is_empty() => None,
            None => Some(Key::Text(row.to_owned())),
        }
    }
}

/// `7, NULL, 'text'`: texts stand between quotes that are not escaped inside.
fn cells_of(mut row: &str) -> Vec<Option<String>> {
    let mut cells = vec![];
    while !row.is_empty() {
        let (cell, rest) = match row.strip_prefix('\'') {
            Some(text) => {
                let end = text.find("', ").unwrap_or(text.len().saturating_sub(1));
                let rest = text.get(end + 1..).unwrap_or_default();
                (Some(text[..end].to_owned()), rest)
            }
            None => {
                let end = row.find(", ").unwrap_or(row.len());
                let text = &row[..end];
                ((text != "NULL").then(|| text.to_owned()), &row[end..])
            }
        };
        cells.push(cell);
        row = rest.strip_prefix(", ").unwrap_or_default();
    }
    cells
}

/// A JSON value as StarRocks' log shows the column's.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(u8::from(*truth).to_string()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, row: &str, expect: bool) {
        let mut named = Named::default();
        let columns = ["id", "city", "n"].map(String::from);
        let table = TableName { database: "d".into(), table: "t".into() };
        let line = CsvLine { separator: b",".into(), row_delimiter: b"\n".into() };
        assert!(named.add(&table, &columns, Some(line.clone()), "l", &[log.into()]));
        let is_new = named.add(&table, &columns, Some(line), "l", &[log.into()]);
        assert!(!is_new, "it is known now");
        let found = named.find("t", row.as_bytes());
        assert_eq!(found.is_some(), expect, "{log} {row}");
        assert!(found.is_none_or(|line| line.reason == "no" && line.words == log));
        assert_eq!(named.find("u", row.as_bytes()), None);
    }

    #[test]
    fn a_row_shown_as_it_was_sent_is_recognised_whatever_its_blanks() {
        check(r#"Error: no. Row: {"id":7,"city":"Oslo"}"#, r#"{"id": 7, "city":"Oslo"}"#, true);
        check(r#"Error: no. Row: {"id":7,"city":"Oslo"}"#, r#"{"id":8,"city":"Oslo"}"#, false);
        check("Error: no. Row: 7,Oslo,1", "7,Oslo,1\n", true);
        check("Error: no. Row: 7,Oslo,1", "7,Oslo,2\n", false);
    }

    #[test]
    fn a_row_shown_by_its_columns_is_recognised_value_by_value() {
        let row = |text: &str| format!("Error: no. Row: [{text}]");
        check(&row("7, NULL, 12"), r#"{"id":7,"n":12,"more":1}"#, true);
        check(&row("7, NULL, 12"), r#"{"id":7,"city":null,"n":12}"#, true);
        check(&row("7, 'Os', lo', 12"), r#"{"id":7,"city":"Oslo","n":12}"#, false);
        check(&row("7, 'O'slo', 12"), r#"{"id":7,"city":"O'slo","n":12}"#, true);
        check(&row("7, '', NULL"), r#"{"id":7,"city":""}"#, true);
        // A text is no NULL, and another number is another row.
        check(&row("7, NULL, 12"), r#"{"id":7,"city":"NULL","n":12}"#, false);
        check(&row("7, NULL, 12"), r#"{"id":7,"n":13}"#, false);
    }

    #[test]
    fn a_line_shown_by_its_columns_is_recognised_field_by_field() {
        let row = |text: &str| format!("Error: no. Row: [{text}]");
        check(&row("7, NULL, 12"), "7,\\N,12\n", true);
        check(&row("7, 'Oslo', 12"), "7,Oslo,12", true);
        // A text is no NULL, an empty one is none either, and more fields are another row.
        check(&row("7, NULL, 12"), "7,NULL,12\n", false);
        check(&row("7, NULL, 12"), "7,,12\n", false);
        check(&row("7, NULL, 12"), "7,\\N,12,\n", false);
    }

    #[test]
    fn what_names_no_row_adds_nothing() {
        let mut named = Named::default();
        let log = ["", "Error: no", "Error: no. Row: "].map(String::from);
        let table = TableName { database: "d".into(), table: "t".into() };
        assert!(!named.add(&table, &[], None, "l", &log));
        assert_eq!(reason("Error: no. Row: [1]"), "no");
        assert_eq!(reason("something else"), "something else");
    }
}
