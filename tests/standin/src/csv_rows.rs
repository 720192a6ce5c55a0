//! CSV bodies into rows (STREAM_LOAD 7): plain splitting, and the slower reader that `enclose` or
//! `escape` switch to.

use crate::load_spec::CsvSpec;
use crate::plan::{Field, Plan, Rows};

/// What stands for NULL.
const NULL: &str = "\\N";

/// Adds every complete row of `rows.carry` and `body`; keeps what follows the last delimiter in
/// `rows.carry`.
pub(crate) fn read(plan: &Plan, body: &[u8], rows: &mut Rows) -> Result<(), String> {
    let mut text = std::mem::take(&mut rows.carry);
    text.extend_from_slice(body);
    let end = cut(plan, &text, rows, false);
    rows.carry = text[end..].to_vec();
    Ok(())
}

/// Adds the last row, which need not end with a delimiter.
pub(crate) fn finish(plan: &Plan, rows: &mut Rows) {
    let text = std::mem::take(&mut rows.carry);
    cut(plan, &text, rows, true);
}

/// Adds rows of `text`; gives how many bytes they took. `last` takes an unfinished row as well.
fn cut(plan: &Plan, text: &[u8], rows: &mut Rows, last: bool) -> usize {
    let spec = &plan.spec.csv;
    let mut at = 0;
    while at < text.len() {
        let row_end = end_of_row(spec, &text[at..]);
        let (end, next) = match row_end {
            Some(end) => (at + end, at + end + spec.row_delimiter.len()),
            None if last => (text.len(), text.len()),
            None => break,
        };
        add(plan, &text[at..end], rows);
        at = next;
    }
    at
}

/// Where the first row ends: a delimiter outside enclosed fields.
fn end_of_row(spec: &CsvSpec, text: &[u8]) -> Option<usize> {
    if spec.enclose.is_none() && spec.escape.is_none() {
        return memchr::memmem::find(text, &spec.row_delimiter);
    }
    let (mut i, mut inside) = (0, false);
    while i < text.len() {
        if spec.escape == Some(text[i]) {
            i += 2;
            continue;
        }
        if spec.enclose == Some(text[i]) {
            inside = !inside;
        } else if !inside && text[i..].starts_with(&spec.row_delimiter) {
            return Some(i);
        }
        i += 1;
    }
    None
}

fn add(plan: &Plan, row: &[u8], rows: &mut Rows) {
    let spec = &plan.spec.csv;
    if row.is_empty() {
        return;
    }
    let Ok(text) = std::str::from_utf8(row) else {
        return rows.filter("Invalid UTF-8 row", &String::from_utf8_lossy(row));
    };
    let fields = if spec.enclose.is_some() || spec.escape.is_some() {
        enclosed_fields(spec, row)
    } else {
        plain_fields(spec, text)
    };
    if fields.len() != plan.fields.len() {
        let reason = format!(
            "Target column count: {} doesn't match source value column count: {}. Column separator: '{}', Row delimiter: '{}'",
            plan.fields.len(),
            fields.len(),
            shown(&spec.column_separator),
            shown(&spec.row_delimiter)
        );
        return rows.filter(&reason, text);
    }
    plan.add(
        rows,
        |i| match &fields[i] {
            None => Field::Null,
            Some(text) => Field::Text(text),
        },
        || text.to_owned(),
    );
}

fn plain_fields(spec: &CsvSpec, text: &str) -> Vec<Option<String>> {
    let separator = String::from_utf8_lossy(&spec.column_separator).into_owned();
    text.split(separator.as_str())
        .map(|f| if spec.trim_space { f.trim_matches(' ') } else { f })
        .map(|f| (f != NULL).then(|| f.to_owned()))
        .collect()
}

fn enclosed_fields(spec: &CsvSpec, row: &[u8]) -> Vec<Option<String>> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (field, next) = one_field(spec, row, at);
        fields.push(field);
        match next {
            Some(next) => at = next,
            None => return fields,
        }
    }
}

/// The field that starts at `at`, and where the next one starts.
fn one_field(spec: &CsvSpec, row: &[u8], mut at: usize) -> (Option<String>, Option<usize>) {
    if spec.trim_space {
        while row.get(at) == Some(&b' ') {
            at += 1;
        }
    }
    let enclosed = spec.enclose.is_some() && row.get(at).copied() == spec.enclose;
    let mut inside = enclosed;
    let mut out = Vec::new();
    let mut i = if enclosed { at + 1 } else { at };
    let mut next = None;
    while i < row.len() {
        if spec.escape == Some(row[i]) && i + 1 < row.len() {
            out.push(row[i + 1]);
            i += 2;
        } else if inside && spec.enclose == Some(row[i]) {
            // Doubled, it stands for itself; single, it ends the field.
            if spec.enclose == row.get(i + 1).copied() {
                out.push(row[i]);
                i += 2;
            } else {
                inside = false;
                i += 1;
            }
        } else if !inside && row[i..].starts_with(&spec.column_separator) {
            next = Some(i + spec.column_separator.len());
            break;
        } else {
            out.push(row[i]);
            i += 1;
        }
    }
    let mut text = String::from_utf8_lossy(&out).into_owned();
    if spec.trim_space && !enclosed {
        text.truncate(text.trim_end_matches(' ').len());
    }
    let null = !enclosed && text == NULL;
    ((!null).then_some(text), next)
}

fn shown(delimiter: &[u8]) -> String {
    String::from_utf8_lossy(delimiter).escape_default().to_string()
}
