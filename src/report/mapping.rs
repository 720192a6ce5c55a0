//! A survey for people and for programs: text that fits a terminal, or one JSON document.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use crate::mapping::maker::{Lookup, Stage, Way};
use crate::mapping::plan::Op;
use crate::mapping::survey::{
    ColumnUse, ColumnVerdict, Outcome, Place, RefusedUse, Step, Survey, TableUse, TopicUse,
};
use crate::report::table::{Table, cut, printable, wrapped};
use crate::report::units::{counted, grouped};

/// A value is cut to this width, so that a verdict still finds room; so are the strings in a record
/// that a terminal shows.
const SAMPLE_WIDTH: usize = 40;

/// The whole survey as lines. `width`: the terminal's, where there is one.
pub fn text(survey: &Survey, redact: bool, width: Option<usize>) -> Vec<String> {
    let mut lines = vec![survey.way.to_string()];
    for topic in &survey.topics {
        lines.push(String::new());
        topic_lines(&mut lines, &survey.database, topic, redact, width);
    }
    // Names of topics, tables and columns come from outside.
    lines.iter().map(|line| printable(line)).collect()
}

fn topic_lines(
    lines: &mut Vec<String>,
    database: &str,
    topic: &TopicUse,
    redact: bool,
    width: Option<usize>,
) {
    for table in &topic.tables {
        let kind = match &table.lookup {
            Lookup::Known(known) => format!(" ({})", known.kind),
            Lookup::Hidden => " (columns not known)".to_owned(),
            Lookup::Missing(_) => ", which does not exist".to_owned(),
        };
        lines.push(format!("{} → {database}.{}{kind}: {}", topic.topic, table.name, counts(table)));
        let rows = columns(table).lines(2, width);
        // A verdict that the terminal has no room for stands below, whole.
        let cut_off = table
            .columns
            .iter()
            .zip(rows.iter().skip(1))
            .filter(|(column, line)| !line.ends_with(&*printable(&column.verdict.to_string())));
        let whole = |(column, _): (&ColumnUse, &String)| {
            let name = column.column.as_deref().or(column.source.as_deref()).unwrap_or_default();
            format!("  {}", printable(&format!("{name}: {}", column.verdict)))
        };
        let whole: Vec<String> = cut_off.map(whole).collect();
        lines.extend(rows);
        lines.extend(whole);
        if let Lookup::Missing(_) = table.lookup {
            lines.push("  `--ddl` with the same configuration prints a CREATE TABLE".to_owned());
        }
    }
    if topic.tables.is_empty() {
        lines.push(format!("{}: no row", topic.topic));
    }
    let others = others(topic);
    if !others.is_empty() {
        lines.push(format!("  {others}"));
    }
    // That a table is missing was said above.
    let told = topic.refused.iter().filter(|refused| refused.refusal.stage != Stage::Routing);
    lines.extend(told.map(|refused| format!("  {}", refused_line(refused, redact))));
}

fn counts(table: &TableUse) -> String {
    match table.deletes {
        0 => counted(table.rows, "row"),
        deletes => format!("{}, {}", counted(table.rows, "row"), counted(deletes, "delete")),
    }
}

/// "100 records: 2 tombstone, 1 refused".
fn others(topic: &TopicUse) -> String {
    let routed = |refused: &&RefusedUse| refused.refusal.stage == Stage::Routing;
    let count = |refused: &RefusedUse| refused.records;
    let missing = topic.tables.iter().any(|table| matches!(table.lookup, Lookup::Missing(_)));
    let homeless: u64 = match missing {
        true => topic.refused.iter().filter(routed).map(count).sum(),
        false => 0,
    };
    let refused = topic.refused.iter().map(count).sum::<u64>() - homeless;
    let skipped = topic.skipped.iter().map(|(why, count)| format!("{} {why}", grouped(*count)));
    let mut parts: Vec<String> = skipped.collect();
    if homeless > 0 {
        parts.push(format!("{} for a table that does not exist", grouped(homeless)));
    }
    if refused > 0 {
        parts.push(format!("{} refused", grouped(refused)));
    }
    match parts.as_slice() {
        [] => String::new(),
        parts => format!("of {}: {}", counted(topic.records, "record"), parts.join(", ")),
    }
}

fn refused_line(refused: &RefusedUse, redact: bool) -> String {
    let refusal = &refused.refusal;
    let cause = if redact { &refusal.safe_cause } else { &refusal.cause };
    let cause = if cause.is_empty() { String::new() } else { format!(": {cause}") };
    format!(
        "refused by the {}, {} (first {}): {}{cause}",
        refusal.stage,
        grouped(refused.records),
        refused.first,
        refusal.what,
    )
}

fn columns(table: &TableUse) -> Table {
    let mut out = Table::new(&["column", "type", "source", "sample", "verdict"]);
    for column in &table.columns {
        let dash = || "–".to_owned();
        out.row(vec![
            column.column.clone().unwrap_or_else(dash),
            column.kind.clone(),
            source(column).unwrap_or_else(dash),
            column.sample.as_deref().map_or_else(dash, |sample| cut(sample, SAMPLE_WIDTH)),
            column.verdict.to_string(),
        ]);
    }
    out
}

fn source(column: &ColumnUse) -> Option<String> {
    let source = column.source.as_ref()?;
    Some(match column.source_kind.as_str() {
        "" => source.clone(),
        kind => format!("{source} {kind}"),
    })
}

/// Each record before and after each transform, and what became of it; of a step only what it changed.
/// In a terminal of `width` columns long strings are cut and lines wrapped; without one all is whole.
pub fn steps(survey: &Survey, width: Option<usize>) -> Vec<String> {
    let mut of_place: HashMap<&Place, (Vec<&Step>, Vec<&Outcome>)> = HashMap::new();
    for step in &survey.steps {
        of_place.entry(&step.place).or_default().0.push(step);
    }
    for (place, outcome) in &survey.outcomes {
        of_place.entry(place).or_default().1.push(outcome);
    }
    let steps = survey.steps.iter().map(|step| &step.place);
    // What came to no end first, then each in the order of the ends.
    let endless = steps.filter(|place| of_place[place].1.is_empty());
    let places: Vec<&Place> =
        endless.chain(survey.outcomes.iter().map(|(place, _)| place)).collect();
    let names = survey.steps.iter().map(|step| step_name(step).width());
    let indent = names.max().unwrap_or_default();
    let mut lines = vec![];
    for place in places {
        // Told once, however many rows it has.
        let Some((steps, outcomes)) = of_place.remove(place) else { continue };
        lines.push(place.to_string());
        let mut before: Option<&Step> = None;
        for step in steps {
            lines.extend(step_lines(step, before, indent));
            before = Some(step);
        }
        lines.extend(outcomes.iter().map(|outcome| format!("  → {}", outcome_line(outcome))));
    }
    let fit = |line: String| match width {
        Some(width) => wrapped(&with_short_strings(&printable(&line)), width, indent + 4),
        None => vec![printable(&line)],
    };
    lines.into_iter().flat_map(fit).collect()
}

/// JSON with its long strings cut; text around it stays.
fn with_short_strings(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find('"') {
        let (before, string) = rest.split_at(begin + 1);
        let mut escaped = false;
        let end = string.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        out.push_str(before);
        out.push_str(&cut(&string[..end], SAMPLE_WIDTH));
        out.push('"');
        rest = &string[end + 1..];
    }
    out.push_str(rest);
    out
}

fn step_name(step: &Step) -> String {
    match &step.after {
        None => "converted".to_owned(),
        Some((alias, class)) => format!("{alias} ({})", class.rsplit('.').next().unwrap_or(class)),
    }
}

fn step_lines(step: &Step, before: Option<&Step>, indent: usize) -> Vec<String> {
    let name = step_name(step);
    let headers = |step: &Step| {
        let pairs = step.headers.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let parts = [
        ("topic", step.topic.clone(), before.map(|before| before.topic.clone())),
        ("key", step.key.clone(), before.map(|before| before.key.clone())),
        ("value", step.value.clone(), before.map(|before| before.value.clone())),
        ("headers", headers(step), before.map(headers)),
    ];
    let is_shown = |(name, now, then): &&(&str, String, Option<String>)| match then {
        Some(then) => now != then,
        // Where it came from says the line above, and nothing needs no line.
        None => *name == "value" || (*name != "topic" && !now.is_empty() && now != "null"),
    };
    let changed: Vec<_> = parts.iter().filter(is_shown).collect();
    let padded = |name: &str| format!("{name}{}", " ".repeat(indent - name.width()));
    if changed.is_empty() {
        return vec![format!("  {}  as before", padded(&name))];
    }
    let line = |(at, (part, now, _)): (usize, &&(&str, String, Option<String>))| {
        let name = if at == 0 { name.as_str() } else { "" };
        format!("  {}  {part} {now}", padded(name))
    };
    changed.iter().enumerate().map(line).collect()
}

fn outcome_line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Row { table, op: Op::Upsert, row } => format!("row of {table}: {row}"),
        Outcome::Row { table, op: Op::Delete, row } => format!("delete from {table}: {row}"),
        Outcome::Skipped(why) => why.clone(),
        Outcome::Refused { error, .. } => format!("refused: {error}"),
    }
}

/// One JSON document; `outcomes` and `steps` where they were asked for.
pub fn document(survey: &Survey, redact: bool) -> Value {
    let copied = !matches!(survey.way, Way::Convert(_));
    let topics: Vec<Value> = survey
        .topics
        .iter()
        .map(|topic| {
            let tables: Vec<Value> =
                topic.tables.iter().map(|table| table_value(&survey.database, table)).collect();
            let refused: Vec<Value> =
                topic.refused.iter().map(|refused| refused_value(refused, redact)).collect();
            json!({
                "topic": &*topic.topic,
                "records": topic.records,
                "skipped": topic.skipped,
                "refused": refused,
                "tables": tables,
            })
        })
        .collect();
    let mut document = json!({
        "schema": 1,
        "copied": copied,
        "way": survey.way.to_string(),
        "topics": topics,
    });
    if !survey.outcomes.is_empty() && !redact {
        let rows = survey.outcomes.iter().map(|(place, outcome)| outcome_value(place, outcome));
        document["rows"] = rows.collect();
    }
    if !survey.steps.is_empty() {
        document["steps"] = survey.steps.iter().map(step_value).collect();
    }
    document
}

fn table_value(database: &str, table: &TableUse) -> Value {
    let (state, kind) = match &table.lookup {
        Lookup::Known(known) => ("known", Some(known.kind.to_string())),
        Lookup::Hidden => ("hidden", None),
        Lookup::Missing(_) => ("missing", None),
    };
    let columns: Vec<Value> = table.columns.iter().map(column_value).collect();
    json!({
        "database": database,
        "table": table.name,
        "state": state,
        "kind": kind,
        "rows": table.rows,
        "deletes": table.deletes,
        "columns": columns,
    })
}

fn column_value(column: &ColumnUse) -> Value {
    let word = match &column.verdict {
        ColumnVerdict::Unknown => "unknown",
        ColumnVerdict::Ok(_) => "ok",
        ColumnVerdict::Warn(_) => "warn",
        ColumnVerdict::Fail(_) => "fail",
    };
    json!({
        "column": column.column,
        "type": column.kind,
        "source": column.source,
        "source_type": column.source_kind,
        "sample": column.sample,
        "verdict": word,
        "reason": column.verdict.reason(),
    })
}

fn refused_value(refused: &RefusedUse, redact: bool) -> Value {
    let refusal = &refused.refusal;
    json!({
        "stage": refusal.stage.connect_name(),
        "class": refusal.class,
        "error": refusal.what,
        "cause": if redact { &refusal.safe_cause } else { &refusal.cause },
        "table": refusal.table.as_deref(),
        "column": refusal.column,
        "records": refused.records,
        "first": refused.first.to_string(),
    })
}

/// One line of an `--expect` file: a row, or why there is none. A JSON row stays JSON, a CSV row is text.
pub fn outcome_value(place: &Place, outcome: &Outcome) -> Value {
    let mut value = match outcome {
        Outcome::Row { table, op, row } => {
            let row = serde_json::from_str::<Map<String, Value>>(row)
                .map_or_else(|_| Value::from(row.as_str()), Value::Object);
            let op = match op {
                Op::Upsert => "upsert",
                Op::Delete => "delete",
            };
            json!({"table": table, "op": op, "row": row})
        }
        Outcome::Skipped(why) => json!({"skipped": why}),
        Outcome::Refused { stage, class, error } => {
            json!({"refused": stage, "class": class, "error": error})
        }
    };
    value["at"] = place.to_string().into();
    value
}

fn step_value(step: &Step) -> Value {
    let headers: Map<String, Value> =
        step.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let raw = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    json!({
        "at": step.place.to_string(),
        "transform": step.after.as_ref().map(|(alias, _)| alias),
        "class": step.after.as_ref().map(|(_, class)| class),
        "topic": step.topic,
        "key": raw(&step.key),
        "value": raw(&step.value),
        "headers": headers,
    })
}

/// The rows expected and those made, compared line by line; empty where they agree. A line that names
/// none of `row`, `skipped` and `refused` is a row itself; members left out of a line are not compared.
pub fn difference(expected: &[(usize, Value)], made: &[Value]) -> Vec<Difference> {
    let agrees = |(expected, made): (&(usize, Value), &Value)| matches(&expected.1, made);
    let begin = expected.iter().zip(made).take_while(|pair| agrees(*pair)).count();
    let (rest, made_rest) = (&expected[begin..], &made[begin..]);
    let end =
        rest.iter().rev().zip(made_rest.iter().rev()).take_while(|pair| agrees(*pair)).count();
    let (rest, made_rest) = (&rest[..rest.len() - end], &made_rest[..made_rest.len() - end]);
    let pair = |at: usize| {
        let (expected, made) = (rest.get(at), made_rest.get(at));
        Difference {
            line: expected.map(|(line, _)| *line),
            expected: expected.map(|(_, value)| value.clone()),
            made: made.cloned(),
            agrees: expected.zip(made).is_some_and(|((_, value), made)| matches(value, made)),
        }
    };
    (0..rest.len().max(made_rest.len())).map(pair).collect()
}

/// One expected line beside what was made.
#[derive(Debug)]
pub struct Difference {
    /// In the file; `None`: something was made that is not expected.
    pub line: Option<usize>,
    pub expected: Option<Value>,
    pub made: Option<Value>,
    /// It stands between others that differ.
    pub agrees: bool,
}

/// Differences as lines; with `redact` places and names alone.
pub fn difference_text(differences: &[Difference], redact: bool) -> Vec<String> {
    let mut lines = vec![];
    for difference in differences {
        let line = difference.line.unwrap_or_default();
        let (minus, plus) = match (&difference.expected, &difference.made) {
            (Some(_), Some(_)) if difference.agrees => {
                lines.push(format!("  line {line}: as expected"));
                continue;
            }
            (Some(expected), Some(made)) => {
                let members = match members(expected, made).as_slice() {
                    [] => String::new(),
                    [one] => format!(": `{one}` differs"),
                    several => format!(": `{}` differ", several.join("`, `")),
                };
                lines.push(format!("@@ line {line}, {}{members}", place(made)));
                (Some(expected.clone()), Some(compared(expected, made)))
            }
            (Some(expected), None) => {
                lines.push(format!("@@ line {line}, no such row was made"));
                (Some(expected.clone()), None)
            }
            (None, Some(made)) => {
                lines.push(format!("@@ {}, not expected", place(made)));
                (None, Some(made.clone()))
            }
            (None, None) => continue,
        };
        if !redact {
            lines.extend(minus.map(|value| format!("-{value}")));
            lines.extend(plus.map(|value| format!("+{value}")));
        }
    }
    lines.iter().map(|line| printable(line)).collect()
}

/// The same as one document; with `redact` without rows.
pub fn difference_document(path: &str, differences: &[Difference], redact: bool) -> Value {
    let value = |difference: &Difference| {
        let both = difference.expected.as_ref().zip(difference.made.as_ref());
        let mut value = json!({
            "line": difference.line,
            "at": difference.made.as_ref().map(place),
            "members": both.map(|(expected, made)| members(expected, made)).unwrap_or_default(),
        });
        if !redact {
            value["expected"] = difference.expected.clone().unwrap_or_default();
            value["made"] = difference.made.clone().unwrap_or_default();
        }
        value
    };
    let differences: Vec<Value> =
        differences.iter().filter(|difference| !difference.agrees).map(value).collect();
    json!({
        "schema": 1,
        "expected": path,
        "agrees": differences.is_empty(),
        "differences": differences,
    })
}

fn place(made: &Value) -> &str {
    made["at"].as_str().unwrap_or_default()
}

fn is_bare(expected: &Value) -> bool {
    ["row", "skipped", "refused"].iter().all(|member| expected.get(member).is_none())
}

fn matches(expected: &Value, made: &Value) -> bool {
    if is_bare(expected) {
        return made.get("row") == Some(expected);
    }
    let Some(members) = expected.as_object() else { return false };
    members.iter().all(|(name, value)| made.get(name) == Some(value))
}

/// What was made, in the form of what was expected.
fn compared(expected: &Value, made: &Value) -> Value {
    if is_bare(expected)
        && let Some(row) = made.get("row")
    {
        return row.clone();
    }
    made.clone()
}

/// Names of the members that differ, where both are rows of members.
fn members(expected: &Value, made: &Value) -> Vec<String> {
    let expected = if is_bare(expected) { Some(expected) } else { expected.get("row") };
    let rows = expected.and_then(Value::as_object).zip(made.get("row").and_then(Value::as_object));
    let Some((expected, made)) = rows else { return vec![] };
    let differs = expected.iter().filter(|(name, value)| made.get(*name) != Some(value));
    let added = made.keys().filter(|name| !expected.contains_key(*name));
    differs.map(|(name, _)| name).chain(added).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: u64, row: Value) -> Value {
        json!({"table": "t", "op": "upsert", "row": row, "at": format!("t[0]@{offset}")})
    }

    fn expect(rows: &[Value]) -> Vec<(usize, Value)> {
        rows.iter().cloned().enumerate().map(|(at, row)| (at + 1, row)).collect()
    }

    fn told(expected: &[(usize, Value)], made: &[Value]) -> Vec<String> {
        difference_text(&difference(expected, made), false)
    }

    #[test]
    fn rows_that_agree_leave_nothing_to_say_and_members_left_out_are_not_compared() {
        let made = [row(0, json!({"id": 1})), json!({"skipped": "tombstone", "at": "t[0]@1"})];
        let bare = expect(&[json!({"id": 1}), json!({"skipped": "tombstone"})]);
        assert_eq!(told(&bare, &made), Vec::<String>::new());
        let full =
            expect(&[json!({"table": "t", "row": {"id": 1}}), json!({"skipped": "tombstone"})]);
        assert_eq!(told(&full, &made), Vec::<String>::new());
    }

    #[test]
    fn a_difference_names_line_place_and_members() {
        let made =
            [row(0, json!({"id": 1})), row(1, json!({"id": 2, "n": 1})), row(2, json!({"id": 3}))];
        let lines =
            told(&expect(&[json!({"id": 1}), json!({"id": 2, "m": 1}), json!({"id": 3})]), &made);
        let text =
            ["@@ line 2, t[0]@1: `m`, `n` differ", "-{\"id\":2,\"m\":1}", "+{\"id\":2,\"n\":1}"];
        assert_eq!(lines, text);
    }

    #[test]
    fn rows_too_few_and_too_many_are_told() {
        let made = [row(0, json!({"id": 1})), row(1, json!({"id": 3}))];
        let three = expect(&[json!({"id": 1}), json!({"id": 2}), json!({"id": 3})]);
        assert_eq!(told(&three, &made), ["@@ line 2, no such row was made", "-{\"id\":2}"]);
        let one = expect(&[json!({"id": 1})]);
        assert_eq!(told(&one, &made)[0], "@@ t[0]@1, not expected");
        // Digits count: 1.0 is not 1.
        let exact: Value = serde_json::from_str("{\"id\":1.0}").expect("JSON");
        assert_eq!(told(&expect(&[exact]), &made[..1]).len(), 3);
    }
}
