//! Tables: columns, keys, and the rows that are visible. A row remembers the label that brought
//! it, so that tests can count losses and duplicates exactly.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::value::{Cell, Type};

/// The data model of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Duplicate,
    Primary,
    Unique,
}

impl Keys {
    pub(crate) fn create_text(self) -> &'static str {
        match self {
            Self::Duplicate => "DUPLICATE KEY",
            Self::Primary => "PRIMARY KEY",
            Self::Unique => "UNIQUE KEY",
        }
    }

    pub(crate) fn v2_text(self) -> &'static str {
        match self {
            Self::Duplicate => "DUP_KEYS",
            Self::Primary => "PRIMARY_KEYS",
            Self::Unique => "UNIQUE_KEYS",
        }
    }

    pub(crate) fn column_key(self) -> &'static str {
        match self {
            Self::Duplicate => "DUP",
            Self::Primary => "PRI",
            Self::Unique => "UNI",
        }
    }

    pub(crate) fn replaces(self) -> bool {
        self != Self::Duplicate
    }
}

/// What a column takes when a load leaves it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Default {
    None,
    Null,
    Const(String),
    CurrentTimestamp,
    AutoIncrement,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
    pub(crate) default: Default,
    pub(crate) key: bool,
    /// Computed by the server (`AS (expr)`); never loaded.
    pub(crate) generated: Option<String>,
    pub(crate) comment: String,
}

impl Column {
    /// Whether a load may leave it out of `columns`.
    pub(crate) fn can_be_absent(&self) -> bool {
        self.nullable || self.default != Default::None || self.generated.is_some()
    }
}

/// A table's shape; shared with loads that began before it changed.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) table_id: u64,
    pub(crate) name: String,
    pub(crate) keys: Keys,
    pub(crate) columns: Vec<Column>,
    /// Everything of the DDL after the key clause, normalised for SHOW CREATE TABLE.
    pub(crate) distributed_by: Vec<String>,
    pub(crate) buckets: u32,
    pub(crate) comment: String,
    pub(crate) properties: Vec<(String, String)>,
}

impl Schema {
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn key_names(&self) -> Vec<&str> {
        self.columns.iter().filter(|c| c.key).map(|c| c.name.as_str()).collect()
    }
}

/// How much of what is loaded is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Keep {
    /// Typed rows, readable back.
    #[default]
    Rows,
    /// Only how many rows and bytes; rows are told by their `}` or their newline, so JSON rows
    /// must be flat.
    Nothing,
    /// As `Nothing`, and the sum and a mixed hash of one integer column of flat JSON rows.
    Tally(String),
}

/// Counts of what was loaded into a table and became visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows of JSON or CSV.
    pub rows: u64,
    /// Bytes of body, decompressed.
    pub bytes: u64,
    /// Sum of the tallied column, wrapping.
    pub id_sum: u64,
    /// Sum of `mix(id)` over all rows, wrapping: differs when one id replaces another.
    pub id_hash: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.id_sum = self.id_sum.wrapping_add(other.id_sum);
        self.id_hash = self.id_hash.wrapping_add(other.id_hash);
    }
}

/// The hash of one id in `Tally::id_hash` (the splitmix64 finaliser).
pub fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One change to a table, converted and checked.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) delete: bool,
    /// A cell per column; with a partial update only those of `Staged::columns` count.
    pub(crate) cells: Box<[Cell]>,
}

/// Changes of one load or transaction to one table, not yet visible.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) schema: Arc<Schema>,
    pub(crate) changes: Vec<Change>,
    /// Columns a partial update writes; `None` writes all.
    pub(crate) columns: Option<Vec<usize>>,
    /// Column of `merge_condition`.
    pub(crate) condition: Option<usize>,
    pub(crate) tally: Tally,
}

#[derive(Debug, Clone)]
struct Row {
    /// Index into the cluster's list of labels.
    label: u32,
    cells: Box<[Cell]>,
}

/// A table and its visible rows.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) schema: Arc<Schema>,
    pub(crate) keep: Keep,
    pub(crate) tally: Tally,
    rows: Vec<Option<Row>>,
    by_key: HashMap<Box<str>, usize>,
    live: usize,
    next_auto: i64,
}

impl Table {
    pub(crate) fn new(schema: Schema, keep: Keep) -> Self {
        Self {
            schema: Arc::new(schema),
            keep,
            tally: Tally::default(),
            rows: Vec::new(),
            by_key: HashMap::new(),
            live: 0,
            next_auto: 1,
        }
    }

    pub(crate) fn row_count(&self) -> u64 {
        if self.keep == Keep::Rows { self.live as u64 } else { self.tally.rows }
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.by_key.clear();
        self.live = 0;
        self.tally = Tally::default();
    }

    /// Makes `staged` visible under `label`.
    pub(crate) fn publish(&mut self, staged: Staged, label: u32) {
        self.tally.add(staged.tally);
        let Staged { schema, changes, columns, condition, .. } = staged;
        for mut change in changes {
            change.cells = self.fit(&schema, change.cells);
            if self.schema.keys.replaces() {
                self.apply_by_key(change, columns.as_deref(), condition, label);
            } else {
                self.insert(change.cells, label);
            }
        }
    }

    /// Cells of a load that began under an older shape, in today's columns.
    fn fit(&mut self, loaded: &Arc<Schema>, cells: Box<[Cell]>) -> Box<[Cell]> {
        let mut cells = if Arc::ptr_eq(loaded, &self.schema) {
            cells
        } else {
            let now = Arc::clone(&self.schema);
            now.columns
                .iter()
                .map(|c| loaded.position(&c.name).map_or(Cell::Null, |i| cells[i].clone()))
                .collect()
        };
        let schema = Arc::clone(&self.schema);
        for (cell, column) in cells.iter_mut().zip(&schema.columns) {
            if *cell == Cell::Null && column.default == Default::AutoIncrement {
                *cell = Cell::Int(self.next_auto);
                self.next_auto += 1;
            }
        }
        cells
    }

    fn insert(&mut self, cells: Box<[Cell]>, label: u32) {
        self.rows.push(Some(Row { label, cells }));
        self.live += 1;
    }

    fn apply_by_key(
        &mut self,
        change: Change,
        columns: Option<&[usize]>,
        condition: Option<usize>,
        label: u32,
    ) {
        let key = self.key_of(&change.cells);
        let at = self.by_key.get(&key).copied();
        if change.delete {
            if let Some(at) = at {
                self.rows[at] = None;
                self.by_key.remove(&key);
                self.live -= 1;
            }
            return;
        }
        match at.and_then(|at| self.rows[at].as_mut()) {
            Some(row) => {
                let loses =
                    condition.is_some_and(|c| compare(&change.cells[c], &row.cells[c]).is_lt());
                if loses {
                    return;
                }
                row.label = label;
                match columns {
                    None => row.cells = change.cells,
                    Some(columns) => {
                        for &i in columns {
                            row.cells[i] = change.cells[i].clone();
                        }
                    }
                }
            }
            None => {
                self.by_key.insert(key, self.rows.len());
                self.insert(change.cells, label);
            }
        }
    }

    fn key_of(&self, cells: &[Cell]) -> Box<str> {
        let mut key = String::new();
        for (cell, _) in cells.iter().zip(&self.schema.columns).filter(|(_, c)| c.key) {
            let text = cell.to_text().unwrap_or_default();
            // Lengths keep ("a", "bc") apart from ("ab", "c").
            key.push_str(&format!("{}:{text}", text.len()));
        }
        key.into()
    }

    /// Visible rows with the index of their label, in order of arrival.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[Cell], u32)> {
        self.rows.iter().flatten().map(|row| (&*row.cells, row.label))
    }

    /// Visible rows ordered by their columns from left to right, whatever order they came in.
    pub(crate) fn sorted_rows(&self) -> Vec<(&[Cell], u32)> {
        let mut rows: Vec<_> = self.rows().collect();
        rows.sort_by(|(a, _), (b, _)| {
            let orders = a.iter().zip(b.iter()).map(|(a, b)| compare(a, b));
            orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        rows
    }

    pub(crate) fn row_json(&self, cells: &[Cell]) -> Value {
        let pairs = self.schema.columns.iter().zip(cells);
        Value::Object(pairs.map(|(c, v)| (c.name.clone(), v.to_json())).collect::<Map<_, _>>())
    }

    /// Gives existing rows a value for a column added at the end.
    pub(crate) fn add_column(&mut self, column: Column) {
        let fill = default_cell(&column);
        let mut schema = (*self.schema).clone();
        schema.columns.push(column);
        self.schema = Arc::new(schema);
        for row in self.rows.iter_mut().flatten() {
            let mut cells = std::mem::take(&mut row.cells).into_vec();
            cells.push(fill.clone());
            row.cells = cells.into();
        }
    }
}

/// What a column holds when nothing was loaded into it; `CURRENT_TIMESTAMP` is filled by the load.
pub(crate) fn default_cell(column: &Column) -> Cell {
    match &column.default {
        Default::Const(text) => column.ty.cell_of_text(text).unwrap_or(Cell::Null),
        _ => Cell::Null,
    }
}

/// Order of two cells of one column; NULL first.
pub(crate) fn compare(a: &Cell, b: &Cell) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let number = |c: &Cell| match c {
        Cell::Int(n) => Some(*n as f64),
        Cell::Double(d) => Some(*d),
        Cell::Bool(b) => Some(f64::from(u8::from(*b))),
        Cell::Number(t) => t.parse().ok(),
        _ => None,
    };
    match (a, b) {
        (Cell::Null, Cell::Null) => Ordering::Equal,
        (Cell::Null, _) => Ordering::Less,
        (_, Cell::Null) => Ordering::Greater,
        (Cell::Int(a), Cell::Int(b)) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.to_text().cmp(&b.to_text()),
        },
    }
}
