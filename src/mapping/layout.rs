//! How the rows of one table's loads are laid out: what their headers say of columns and separators,
//! and the headers that the layout itself needs. Pure; sends nothing.

use crate::config::job::Body;
use crate::mapping::columns::{Table, TableKind};

/// StarRocks' column for the operation: 0 upserts, 1 deletes.
pub const OP: &str = "__op";

/// A table's loads, as their headers describe them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub body: Body,
    /// Plain names of the `columns` header, in order: JSON members or CSV fields.
    pub listed: Option<Vec<String>>,
    /// That header as it was said.
    columns: Option<String>,
    /// That header computes the operation, so `__op` of a row is not asked.
    pub computes_op: bool,
    /// `jsonpaths` or `json_root`: members are found by path, so their names are no columns'.
    pub by_path: bool,
    pub separator: Vec<u8>,
    pub enclose: Option<u8>,
    /// `partial_update`: a row holds some of the columns.
    pub partial: bool,
    /// `strict_mode=false`, said explicitly: what a column cannot hold may become NULL.
    pub lenient: bool,
    /// `strict_mode=true`: StarRocks refuses what a column cannot hold.
    pub strict: bool,
}

impl Layout {
    /// From the headers of the table's loads, names in lower case.
    pub fn of(body: &Body, headers: &[(String, String)]) -> Layout {
        let header = |name: &str| {
            headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let is = |name: &str, word: &str| {
            header(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
        };
        Layout {
            body: body.clone(),
            listed: header("columns").map(plain_names),
            columns: header("columns").map(str::to_owned),
            computes_op: header("columns").is_some_and(|columns| {
                derived_columns(columns).iter().any(|(name, _)| name.eq_ignore_ascii_case(OP))
            }),
            by_path: header("jsonpaths").is_some() || header("json_root").is_some(),
            separator: header("column_separator").map_or_else(|| b"\t".to_vec(), delimiter),
            enclose: header("enclose").and_then(|text| text.bytes().next()),
            partial: is("partial_update", "true"),
            lenient: is("strict_mode", "false"),
            strict: is("strict_mode", "true"),
        }
    }

    /// The `columns` header that CSV rows made here need: StarRocks is told the order, and where the
    /// operation stands. `None`: what the user's headers say is enough.
    pub fn columns_header(&self, table: &Table) -> Option<String> {
        let Body::Csv { .. } = self.body else { return None };
        let operation = table.kind == TableKind::Primary;
        match (&self.listed, &self.columns) {
            (Some(listed), Some(said)) => {
                let lacks = operation && !listed.iter().any(|name| name == OP);
                lacks.then(|| format!("{said},{}", quote(OP)))
            }
            _ => Some(
                self.csv_fields(table).iter().map(|name| quote(name)).collect::<Vec<_>>().join(","),
            ),
        }
    }

    /// Names of the fields of a CSV row made here, in order.
    pub fn csv_fields(&self, table: &Table) -> Vec<String> {
        let mut names = match &self.listed {
            Some(listed) => listed.clone(),
            None => table.writable().map(|column| column.name.clone()).collect(),
        };
        if table.kind == TableKind::Primary && !names.iter().any(|name| name == OP) {
            names.push(OP.to_owned());
        }
        names
    }
}

/// A name as the `columns` header takes it; backquotes where its letters need them.
fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Names without an expression, quotes taken off.
fn plain_names(header: &str) -> Vec<String> {
    parts(header).into_iter().filter_map(plain_name).collect()
}

/// Columns that a `columns` header computes: name and expression.
pub fn derived_columns(header: &str) -> Vec<(String, String)> {
    let derived = |part: &str| {
        let (name, expression) = part.split_once('=')?;
        Some((plain_name(name)?, expression.trim().to_owned()))
    };
    parts(header).into_iter().filter_map(derived).collect()
}

/// What commas separate, those inside parentheses or quotes left out.
fn parts(header: &str) -> Vec<&str> {
    let mut parts = vec![];
    let (mut depth, mut quote, mut start) = (0_u32, None, 0);
    for (at, byte) in header.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"' | b'`') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, b',') if depth == 0 => {
                parts.push(&header[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&header[start..]);
    parts
}

fn plain_name(part: &str) -> Option<String> {
    let part = part.trim();
    if let Some(quoted) = part.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
        && !quoted.contains('`')
    {
        return Some(quoted.to_owned());
    }
    let is_plain = !part.is_empty() && !part.contains(['=', '(', '`']);
    is_plain.then(|| part.to_owned())
}

/// A separator's bytes, from a header that was checked before.
fn delimiter(text: &str) -> Vec<u8> {
    let hex = ["\\x", "\\X", "0x", "0X"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let Some(hex) = hex else { return text.as_bytes().to_vec() };
    let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..hex.len()).step_by(2).map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::columns::Column;

    fn layout(body: Body, headers: &[(&str, &str)]) -> Layout {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Layout::of(&body, &headers)
    }

    #[test]
    fn plain_names_are_told_from_expressions() {
        let listed = "id, `na,me`, tmp, day = from_unixtime(tmp, '%Y,%m'), __op='delete'";
        let layout = layout(Body::Json, &[("columns", listed)]);
        assert_eq!(layout.listed.as_deref(), Some(&["id", "na,me", "tmp"].map(String::from)[..]));
        let derived = [("day", "from_unixtime(tmp, '%Y,%m')"), ("__op", "'delete'")];
        assert_eq!(derived_columns(listed), derived.map(|(name, e)| (name.into(), e.into())));
    }

    #[test]
    fn csv_rows_made_here_name_their_columns() {
        let csv = || Body::Csv { row_delimiter: b"\n".to_vec() };
        let mut made = Column::new("n", "bigint", false, false);
        made.made_by_server = true;
        let columns = vec![Column::new("id", "int", false, true), made];
        let mut table = Table { name: "t".into(), kind: TableKind::Primary, columns };
        let plain = layout(csv(), &[("column_separator", "\\x01")]);
        assert_eq!(plain.separator, [1]);
        assert_eq!(plain.columns_header(&table).as_deref(), Some("`id`,`__op`"));
        let listed = layout(csv(), &[("columns", "id")]);
        assert_eq!(listed.columns_header(&table).as_deref(), Some("id,`__op`"));
        table.kind = TableKind::Duplicate;
        assert_eq!(plain.columns_header(&table).as_deref(), Some("`id`"));
        assert_eq!(listed.columns_header(&table), None);
        assert_eq!(layout(Body::Json, &[]).columns_header(&table), None);
    }
}
