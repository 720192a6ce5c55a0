//! From a load's headers and a table's shape to a plan per row: which source field feeds which
//! column, what absent columns hold, which rows are filtered and why (STREAM_LOAD 6.2, 6.3, 6.5).

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::load_spec::{Expr, Format, LoadSpec};
use crate::profile::Version;
use crate::table::{Change, Column, Default, Keys, Schema, Staged, Tally, default_cell};
use crate::value::{Cell, Misfit};

/// Lines of an error log per load, as the server keeps.
const LOG_LINES: usize = 50;

/// A primary key's largest encoded size.
const LARGEST_KEY_BYTES: usize = 128;

/// The pseudo column that says upsert or delete.
const OP: &str = "__op";

/// Where a value ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Column(usize),
    Op,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// Index of a source field.
    Field(usize),
    Literal(Option<String>),
}

/// A value of one row before conversion.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Missing,
    Json(&'a Value),
    Text(&'a str),
    /// `\N` in CSV.
    Null,
}

/// How rows of one load become changes of one table.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) schema: Arc<Schema>,
    pub(crate) spec: LoadSpec,
    /// Names of the source fields, in order: JSON keys, or CSV positions.
    pub(crate) fields: Vec<String>,
    steps: Vec<(Target, Origin)>,
    /// Cells of columns the load leaves out.
    template: Box<[Cell]>,
    /// Columns checked against NOT NULL.
    checked: Vec<usize>,
    partial: Option<Vec<usize>>,
    condition: Option<usize>,
    /// An array where none belongs is refused with a hint.
    pub(crate) array_hint: bool,
}

/// Rows converted so far, with what was filtered.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) changes: Vec<Change>,
    pub(crate) tally: Tally,
    pub(crate) total: u64,
    pub(crate) filtered: u64,
    pub(crate) log: Vec<String>,
    /// Text after the last row delimiter of a CSV body: the next body goes on there.
    pub(crate) carry: Vec<u8>,
}

impl Rows {
    pub(crate) fn loaded(&self) -> u64 {
        self.total - self.filtered
    }

    pub(crate) fn filter(&mut self, reason: &str, row: &str) {
        self.total += 1;
        self.filtered += 1;
        if self.log.len() < LOG_LINES {
            self.log.push(format!("Error: {reason}. Row: {row}"));
        }
    }

    /// The load's rows, ready to be prepared or committed.
    pub(crate) fn stage(&mut self, plan: &Plan) -> Staged {
        Staged {
            schema: Arc::clone(&plan.schema),
            changes: std::mem::take(&mut self.changes),
            columns: plan.partial.clone(),
            condition: plan.condition,
            tally: std::mem::take(&mut self.tally),
        }
    }
}

impl Plan {
    /// `now` is what CURRENT_TIMESTAMP defaults to. The error is the planner's text.
    pub(crate) fn new(
        schema: Arc<Schema>,
        spec: LoadSpec,
        now: &str,
        version: Version,
    ) -> Result<Self, String> {
        let mapping = Mapping::new(&schema, &spec)?;
        let template: Box<[Cell]> = schema
            .columns
            .iter()
            .map(|c| match c.default {
                Default::CurrentTimestamp => Cell::Text(now.into()),
                _ => default_cell(c),
            })
            .collect();
        let fed = mapping.fed_columns();
        let partial = spec.partial_update.then(|| fed.clone());
        let condition = condition(&schema, &spec, &fed)?;
        let checked = checked_columns(&schema, partial.as_deref());
        let Mapping { fields, steps } = mapping;
        let array_hint = version.array_hint();
        Ok(Self { schema, spec, fields, steps, template, checked, partial, condition, array_hint })
    }

    /// Converts one row; `raw` is its text for the error log.
    pub(crate) fn add<'a>(
        &self,
        rows: &mut Rows,
        field: impl Fn(usize) -> Field<'a>,
        raw: impl Fn() -> String,
    ) {
        let mut cells = self.template.clone();
        let mut delete = false;
        for (target, origin) in &self.steps {
            let value = match origin {
                Origin::Field(i) => field(*i),
                Origin::Literal(Some(text)) => Field::Text(text),
                Origin::Literal(None) => Field::Null,
            };
            match target {
                Target::Op => match op(value) {
                    Ok(is_delete) => delete = is_delete,
                    Err(reason) => return rows.filter(&reason, &raw()),
                },
                Target::Column(i) => match self.cell(*i, value) {
                    Ok(cell) => cells[*i] = cell,
                    Err(reason) => return rows.filter(&reason, &raw()),
                },
            }
        }
        let null = self.checked.iter().find(|&&i| cells[i] == Cell::Null);
        if let Some(&i) = null {
            let name = &self.schema.columns[i].name;
            let reason = format!("NULL value in non-nullable column '{name}'");
            return rows.filter(&reason, &shown(&cells));
        }
        if self.schema.keys == Keys::Primary && self.key_bytes(&cells) > LARGEST_KEY_BYTES {
            return rows.filter("primary key size exceed the limit", &shown(&cells));
        }
        rows.total += 1;
        rows.changes.push(Change { delete, cells });
    }

    fn key_bytes(&self, cells: &[Cell]) -> usize {
        let keys = self.schema.columns.iter().zip(cells).filter(|(c, _)| c.key);
        keys.map(|(column, cell)| match cell {
            Cell::Text(text) if column.ty.is_text() => text.len(),
            _ => column.ty.bytes() as usize,
        })
        .sum()
    }

    fn cell(&self, i: usize, value: Field<'_>) -> Result<Cell, String> {
        let column = &self.schema.columns[i];
        let converted = match value {
            Field::Missing | Field::Null => return Ok(Cell::Null),
            Field::Json(value) => column.ty.cell_of_json(value),
            Field::Text(text) => column.ty.cell_of_text(text),
        };
        match converted {
            Ok(cell) => Ok(cell),
            Err(Misfit::Refused(reason)) => Err(reason),
            Err(Misfit::Unconvertible) if !self.spec.strict => Ok(Cell::Null),
            Err(Misfit::Unconvertible) => Err(misfit_text(column, i, value)),
        }
    }
}

fn misfit_text(column: &Column, position: usize, value: Field<'_>) -> String {
    let text = match value {
        Field::Json(Value::String(s)) => s.clone(),
        Field::Json(other) => other.to_string(),
        Field::Text(text) => text.to_owned(),
        Field::Missing | Field::Null => String::new(),
    };
    format!(
        "The field (name = {}, pos = {position}) is out of range. Type: {}, Value length: {}, Value: {text}",
        column.name,
        column.ty.desc().to_ascii_uppercase(),
        text.len()
    )
}

fn shown(cells: &[Cell]) -> String {
    let texts: Vec<String> = cells.iter().map(Cell::to_log).collect();
    format!("[{}]", texts.join(", "))
}

/// Reads `__op`: 0 or missing is upsert, 1 is delete.
fn op(value: Field<'_>) -> Result<bool, String> {
    let text = match value {
        Field::Missing => return Ok(false),
        Field::Null | Field::Json(Value::Null) => {
            return Err("NULL value in non-nullable column '__op'".to_owned());
        }
        Field::Text(text) => text.to_owned(),
        Field::Json(Value::String(s)) => s.clone(),
        Field::Json(other) => other.to_string(),
    };
    match text.trim() {
        "0" => Ok(false),
        "1" => Ok(true),
        other => Err(format!("load op type string not supported: {other}")),
    }
}

struct Mapping {
    fields: Vec<String>,
    steps: Vec<(Target, Origin)>,
}

impl Mapping {
    fn new(schema: &Schema, spec: &LoadSpec) -> Result<Self, String> {
        let has_op = schema.keys == Keys::Primary;
        let mut mapping = match &spec.columns {
            Some(_) => Self::from_header(schema, spec)?,
            None => Self::all_columns(schema),
        };
        // JSON rows may carry the operation without its being listed; CSV rows may not.
        if has_op && spec.format == Format::Json && !mapping.feeds(Target::Op) {
            mapping.fields.push(OP.to_owned());
            mapping.steps.push((Target::Op, Origin::Field(mapping.fields.len() - 1)));
        }
        mapping.check(schema, spec)?;
        Ok(mapping)
    }

    fn all_columns(schema: &Schema) -> Self {
        let mut mapping = Self { fields: Vec::new(), steps: Vec::new() };
        for (i, column) in schema.columns.iter().enumerate() {
            if column.generated.is_none() && column.default != Default::AutoIncrement {
                mapping.steps.push((Target::Column(i), Origin::Field(mapping.fields.len())));
                mapping.fields.push(column.name.clone());
            }
        }
        mapping
    }

    fn from_header(schema: &Schema, spec: &LoadSpec) -> Result<Self, String> {
        let listed = spec.columns.as_deref().unwrap_or_default();
        let plain: Vec<String> =
            listed.iter().filter(|m| m.expr.is_none()).map(|m| m.name.clone()).collect();
        let target = |name: &str| {
            if name.eq_ignore_ascii_case(OP) && schema.keys == Keys::Primary {
                return Some(Target::Op);
            }
            schema.position(name).map(Target::Column)
        };
        let mut seen = HashSet::new();
        let mut steps = Vec::new();
        for mapped in listed {
            let place = target(&mapped.name);
            if !seen.insert(mapped.name.to_ascii_lowercase()) {
                return Err(format!("Duplicate column mapping: {}", mapped.name));
            }
            let origin = match &mapped.expr {
                None => plain.iter().position(|p| p == &mapped.name).map(Origin::Field),
                Some(Expr::Literal(text)) => Some(Origin::Literal(literal(place, text)?)),
                Some(Expr::Column(source)) => {
                    let at = plain.iter().position(|p| p.eq_ignore_ascii_case(source));
                    Some(Origin::Field(at.ok_or_else(|| {
                        format!("Column '{source}' cannot be resolved in columns")
                    })?))
                }
            };
            match (place, origin, &mapped.expr) {
                (Some(place), Some(origin), _) => steps.push((place, origin)),
                // A plain name that is no column is a temporary; a derived one must be a column.
                (None, _, None) => {}
                _ => {
                    return Err(format!("Mapping column is not in table. column: {}", mapped.name));
                }
            }
        }
        Ok(Self { fields: plain, steps })
    }

    fn feeds(&self, target: Target) -> bool {
        self.steps.iter().any(|(t, _)| *t == target)
    }

    fn fed_columns(&self) -> Vec<usize> {
        self.steps
            .iter()
            .filter_map(|(t, _)| match t {
                Target::Column(i) => Some(*i),
                Target::Op => None,
            })
            .collect()
    }

    fn check(&self, schema: &Schema, spec: &LoadSpec) -> Result<(), String> {
        if spec.partial_update && schema.keys != Keys::Primary {
            return Err("Only primary key table support partial update".to_owned());
        }
        for (i, column) in schema.columns.iter().enumerate() {
            if self.feeds(Target::Column(i)) {
                continue;
            }
            if spec.partial_update {
                if column.key {
                    return Err(format!(
                        "key column {} not in partial update columns",
                        column.name
                    ));
                }
            } else if !column.can_be_absent() {
                return Err(format!("Column has no default value. column: {}", column.name));
            }
        }
        Ok(())
    }
}

/// A literal in `columns`; for `__op` the words are translated and everything else is refused.
fn literal(place: Option<Target>, text: &Option<String>) -> Result<Option<String>, String> {
    if place != Some(Target::Op) {
        return Ok(text.clone());
    }
    let text = text.as_deref().unwrap_or("NULL");
    match text.to_ascii_lowercase().as_str() {
        "upsert" | "0" => Ok(Some("0".to_owned())),
        "delete" | "1" => Ok(Some("1".to_owned())),
        other if other.parse::<f64>().is_ok() => {
            Err("const load op type column should only be upsert(0)/delete(1)".to_owned())
        }
        _ => Err(format!("load op type string not supported: {text}")),
    }
}

fn condition(schema: &Schema, spec: &LoadSpec, fed: &[usize]) -> Result<Option<usize>, String> {
    let Some(name) = &spec.merge_condition else { return Ok(None) };
    if schema.keys != Keys::Primary {
        return Err("Conditional update only support primary key table".to_owned());
    }
    let at = schema
        .position(name)
        .filter(|i| fed.contains(i))
        .ok_or_else(|| format!("Merge condition column {name} does not exist. "))?;
    if schema.columns[at].key {
        return Err(format!("Merge condition column {name} should not include primary key. "));
    }
    Ok(Some(at))
}

fn checked_columns(schema: &Schema, partial: Option<&[usize]>) -> Vec<usize> {
    (0..schema.columns.len())
        .filter(|i| {
            let column = &schema.columns[*i];
            let loaded = partial.is_none_or(|p| p.contains(i));
            loaded
                && !column.nullable
                && column.generated.is_none()
                && column.default != Default::AutoIncrement
        })
        .collect()
}
