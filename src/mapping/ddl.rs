//! CREATE TABLE and ALTER TABLE statements to paste, in the SQL of StarRocks 2.5 and later. Nothing
//! here runs them.

use std::collections::HashSet;

use crate::error::is_unseen;
use crate::mapping::columns::{Column, Table};
use crate::mapping::infer::{self, Shape};

/// The statement that makes a table for rows of this shape; `source` says where they come from.
/// `None`: no row was seen, so nothing is known, or no name of a table. Members whose names cannot be a
/// column's are left out: see [`is_name`].
pub fn create(database: &str, table: &str, shape: &Shape, source: &str) -> Option<String> {
    let mut columns = shape.columns();
    columns.retain(|column| is_name(&column.name));
    let columns = in_key_order(columns);
    if columns.is_empty() || !is_name(table) {
        return None;
    }
    let definitions: Vec<String> =
        columns.iter().map(|column| format!("  {}", definition(column))).collect();
    let keys: Vec<&Column> = columns.iter().filter(|column| column.key).collect();
    let keys = if keys.is_empty() { None } else { Some(names(&keys)) };
    // Without a key the first column sorts and spreads the rows, where its type allows.
    let first = columns.first().filter(|column| infer::may_be_key(&column.kind));
    let first = first.map(|column| name(&column.name));
    let (clause, spread) = match (keys, first) {
        (Some(keys), _) => {
            (format!("PRIMARY KEY ({keys})\n"), format!("DISTRIBUTED BY HASH({keys})"))
        }
        (None, Some(first)) => {
            (format!("DUPLICATE KEY ({first})\n"), format!("DISTRIBUTED BY HASH({first})"))
        }
        (None, None) => (String::new(), "DISTRIBUTED BY RANDOM".to_owned()),
    };
    Some(format!(
        "CREATE TABLE {}.{} (\n{}\n)\n{clause}COMMENT {}\n{spread};",
        name(database),
        name(table),
        definitions.join(",\n"),
        text(source),
    ))
}

/// The statement that adds the columns which rows of this shape have and the table lacks, if any.
/// StarRocks compares names without regard to case.
pub fn alter(database: &str, table: &Table, shape: &Shape) -> Option<String> {
    let known: HashSet<String> =
        table.columns.iter().map(|known| known.name.to_ascii_lowercase()).collect();
    let lacks = |column: &Column| {
        is_name(&column.name) && !known.contains(&column.name.to_ascii_lowercase())
    };
    let missing: Vec<String> = shape
        .columns()
        .into_iter()
        .filter(lacks)
        .map(|column| definition(&Column { nullable: true, key: false, ..column }))
        .collect();
    let added = match missing.as_slice() {
        [] => return None,
        [one] => one.clone(),
        several => format!("(\n  {}\n)", several.join(",\n  ")),
    };
    Some(format!("ALTER TABLE {}.{} ADD COLUMN {added};", name(database), name(&table.name)))
}

/// Whether a statement may name something so. Names come out of records: what a terminal, a client or a
/// reader would take for something else is none.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(is_hidden)
}

/// Joiners, too, which a name of letters may hold and nobody sees.
fn is_hidden(letter: char) -> bool {
    is_unseen(letter) || matches!(letter, '\u{200c}' | '\u{200d}')
}

/// Key columns stand first, as StarRocks wants them; without a key the first that may be one.
fn in_key_order(mut columns: Vec<Column>) -> Vec<Column> {
    if columns.iter().all(|column| !column.key)
        && let Some(at) = columns.iter().position(|column| infer::may_be_key(&column.kind))
    {
        let first = columns.remove(at);
        columns.insert(0, first);
    }
    columns
}

fn definition(column: &Column) -> String {
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    format!("{} {} {null}", name(&column.name), infer::sql(&column.kind))
}

fn names(columns: &[&Column]) -> String {
    columns.iter().map(|column| name(&column.name)).collect::<Vec<_>>().join(", ")
}

fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// A text literal on one line.
fn text(text: &str) -> String {
    let shown: String = text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect();
    format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::JsonConverter;
    use crate::data::options::Options;
    use crate::mapping::columns::TableKind;

    fn shape(row: &'static str, key: Option<&'static str>) -> Shape {
        let options: Options = [("schemas.enable", "false")].into_iter().collect();
        let mut converter = JsonConverter::compile(&options).expect("it compiles");
        let mut shape = Shape::default();
        shape.see(&converter.convert(Some(row.as_bytes())).expect("JSON"));
        if let Some(key) = key {
            shape.see_key(&converter.convert(Some(key.as_bytes())).expect("JSON"));
        }
        shape
    }

    #[test]
    fn a_key_makes_a_primary_key_table_and_its_columns_stand_first() {
        let shape = shape(r#"{"city":"北京","id":1}"#, Some(r#"{"id":1}"#));
        let expect = "CREATE TABLE `shop`.`orders` (\n  `id` BIGINT NOT NULL,\n  `city` STRING NULL\n)\n\
                      PRIMARY KEY (`id`)\nCOMMENT \"topic \\\"x\\\"\"\nDISTRIBUTED BY HASH(`id`);";
        assert_eq!(create("shop", "orders", &shape, "topic \"x\"").as_deref(), Some(expect));
    }

    #[test]
    fn without_a_key_the_first_column_that_can_sorts() {
        let text = create("d", "t", &shape(r#"{"f":1.5,"a`b":"x"}"#, None), "s").expect("columns");
        assert!(
            text.contains("(\n  `a``b` STRING NULL,\n  `f` DOUBLE NULL\n)\nDUPLICATE KEY (`a``b`)")
        );
        let text = create("d", "t", &shape(r#"{"f":1.5}"#, None), "s").expect("columns");
        assert!(text.contains(")\nCOMMENT \"s\"\nDISTRIBUTED BY RANDOM;"), "{text}");
        assert_eq!(create("d", "t", &Shape::default(), "s"), None);
    }

    #[test]
    fn what_is_no_name_gets_into_no_statement() {
        let names = ["", "a\nb", "\u{1b}[31m", "\0", "\u{202e}x", "\u{9b}"];
        for bad in names {
            assert!(!is_name(bad), "{bad:?}");
            assert_eq!(create("d", bad, &shape(r#"{"a":1}"#, None), "s"), None);
        }
        let row = r#"{"":1,"a\nb":1,"\u001b[31m":1,"\u0000":1,"\u202ex":1,"城市":1}"#;
        let text = create("d", "t", &shape(row, None), "topic x\ny").expect("a column");
        assert!(text.contains("(\n  `城市` BIGINT NULL\n)"), "{text}");
        assert!(text.contains("COMMENT \"topic x y\""), "{text}");
        let table = Table { name: "t".into(), kind: TableKind::Primary, columns: vec![] };
        let text = alter("d", &table, &shape(row, None));
        assert_eq!(text.as_deref(), Some("ALTER TABLE `d`.`t` ADD COLUMN `城市` BIGINT NULL;"));
    }

    #[test]
    fn columns_that_a_table_lacks_are_added_in_one_statement() {
        let columns = vec![Column::new("ID", "bigint", false, true)];
        let table = Table { name: "t".into(), kind: TableKind::Primary, columns };
        let one = shape(r#"{"id":1,"city":"x"}"#, None);
        let expect = "ALTER TABLE `d`.`t` ADD COLUMN `city` STRING NULL;";
        assert_eq!(alter("d", &table, &one).as_deref(), Some(expect));
        let two = shape(r#"{"id":1,"city":"x","n":[1]}"#, None);
        let expect =
            "ALTER TABLE `d`.`t` ADD COLUMN (\n  `city` STRING NULL,\n  `n` ARRAY<BIGINT> NULL\n);";
        assert_eq!(alter("d", &table, &two).as_deref(), Some(expect));
        assert_eq!(alter("d", &table, &shape(r#"{"id":1}"#, None)), None);
    }
}
