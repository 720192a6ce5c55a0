//! Rows as the `mysql` program prints them.

use serde_json::Value;

/// No column that may hold NULL is narrower than the word.
const LEAST_WIDTH: usize = 4;

/// Rows of one table (JSON objects with the same keys, all columns nullable) as lines of a
/// bordered table.
pub(crate) fn grid(columns: &[&str], rows: &[Value]) -> Vec<String> {
    let head = columns.iter().map(|column| (*column).to_owned()).collect();
    let cells = |row: &Value| columns.iter().map(|column| text(&row[*column])).collect();
    let lines: Vec<Vec<String>> = [head].into_iter().chain(rows.iter().map(cells)).collect();
    let width = |i: usize| {
        lines.iter().map(|line| line[i].chars().count()).fold(LEAST_WIDTH, std::cmp::max)
    };
    let numeric: Vec<bool> =
        columns.iter().map(|column| rows.iter().any(|row| row[*column].is_number())).collect();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let border: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
    let border = border + "+";
    let mut out = vec![border.clone()];
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).zip(&numeric).map(|((cell, &width), &numeric)| {
            // Numbers stand to the right, their column's name to the left.
            if numeric && number > 0 {
                format!("| {cell:>width$} ")
            } else {
                format!("| {cell:width$} ")
            }
        });
        out.push(cells.collect::<String>() + "|");
        if number == 0 {
            out.push(border.clone());
        }
    }
    out.push(border);
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(rows: &[Value], expect: &[&str]) {
        assert_eq!(grid(&["id", "city"], rows), expect);
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_and_numbers_stand_to_the_right() {
        let border = "+------+----------+";
        let head = "| id   | city     |";
        let rows = [json!({"id": 1, "city": "New York"}), json!({"id": 20, "city": null})];
        let expect = [border, head, border, "|    1 | New York |", "|   20 | NULL     |", border];
        check(&rows, &expect);
    }

    #[test]
    fn an_empty_table_is_its_head() {
        let border = "+------+------+";
        check(&[], &[border, "| id   | city |", border, border]);
    }
}
