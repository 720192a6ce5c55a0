//! Judges a table's columns by what was seen of the fields.

use std::collections::{HashMap, HashSet};

use crate::config::keys;
use crate::mapping::columns::{Column, Table};
use crate::mapping::layout::OP;
use crate::mapping::maker::Lookup;
use crate::mapping::survey::fields::FieldUse;
use crate::mapping::survey::{ColumnUse, ColumnVerdict, Said, TableUse};

/// By the headers of the loads.
pub(super) struct Judge<'j> {
    said: &'j Said,
    /// Fields and columns by their names in lower case: of several the first.
    fields: HashMap<String, usize>,
    columns: HashMap<String, usize>,
    /// Where `columns` lists a name, in lower case.
    listed: HashMap<String, usize>,
    /// Where a column stands among those that a row may hold.
    writable: HashMap<&'j str, usize>,
    /// Whether names are few enough to compare each with each.
    compares: bool,
}

/// Most pairs of names that are compared letter by letter.
const MOST_PAIRS: usize = 100_000;

impl<'j> Judge<'j> {
    pub(super) fn new(said: &'j Said, table: &'j TableUse) -> Judge<'j> {
        let known = match &table.lookup {
            Lookup::Known(known) => known.columns.as_slice(),
            Lookup::Hidden | Lookup::Missing(_) => &[],
        };
        let writable = known.iter().filter(|column| !column.made_by_server);
        Judge {
            said,
            fields: by_name(table.fields.iter().map(|field| field.name.as_str())),
            columns: by_name(known.iter().map(|column| column.name.as_str())),
            listed: by_name(said.layout.listed.iter().flatten().map(String::as_str)),
            writable: writable.enumerate().map(|(at, column)| (&*column.name, at)).collect(),
            compares: table.fields.len() * known.len() <= MOST_PAIRS,
        }
    }

    pub(super) fn columns(&self, table: &TableUse) -> Vec<ColumnUse> {
        let Lookup::Known(known) = &table.lookup else { return self.inferred(table) };
        let mut uses: Vec<ColumnUse> =
            known.columns.iter().map(|column| self.column(column, table)).collect();
        let used: HashSet<&str> =
            uses.iter().filter_map(|column| column.source.as_deref()).collect();
        let is_used = |field: &&FieldUse| used.contains(field.name.as_str());
        let others: Vec<&FieldUse> = table.fields.iter().filter(|field| !is_used(field)).collect();
        // A path is no name, and what paths do not reach is left out on purpose.
        let others = others
            .into_iter()
            .filter(|field| !self.said.layout.by_path && !field.name.starts_with('$'));
        let others: Vec<ColumnUse> = others.map(|field| self.extra(field, known)).collect();
        uses.extend(others);
        uses
    }

    fn column(&self, column: &Column, table: &TableUse) -> ColumnUse {
        let (source, field, verdict) = self.fed(column, table);
        ColumnUse {
            column: Some(column.name.clone()),
            kind: format!("{}{}", column.text, if column.key { " key" } else { "" }),
            source,
            source_kind: field.map(|field| field.kind.clone()).unwrap_or_default(),
            sample: field.and_then(|field| field.sample.clone()),
            verdict,
        }
    }

    /// What feeds a column, and whether that is good.
    fn fed<'t>(
        &self,
        column: &Column,
        table: &'t TableUse,
    ) -> (Option<String>, Option<&'t FieldUse>, ColumnVerdict) {
        let same = |name: &str| name.eq_ignore_ascii_case(&column.name);
        let lower = column.name.to_ascii_lowercase();
        if let Some((_, expression)) = self.said.derived.iter().find(|(name, _)| same(name)) {
            let why = "StarRocks computes it".to_owned();
            return (Some(expression.clone()), None, ColumnVerdict::Ok(why));
        }
        if column.made_by_server {
            return (None, None, ColumnVerdict::Ok("StarRocks fills it".to_owned()));
        }
        if table.fields.is_empty() {
            return (None, None, ColumnVerdict::Warn("no record was read".to_owned()));
        }
        let listed = self.said.layout.listed.as_ref();
        let place = listed.map(|_| self.listed.get(&lower).copied());
        if let Some(None) = place {
            return (None, None, unlisted(column));
        }
        if self.said.layout.by_path {
            let at = place.flatten().or_else(|| self.writable.get(&*column.name).copied());
            let Some(path) = at.and_then(|at| self.said.paths.get(at)) else {
                let why = "`json_root` or `jsonpaths` says where it stands".to_owned();
                return (None, None, ColumnVerdict::Ok(why));
            };
            let field = field(table, path);
            return (Some(path.clone()), field, field.map_or_else(|| unfed(column), fits));
        }
        let wanted = match (listed, place.flatten()) {
            (Some(names), Some(at)) => names[at].as_str(),
            _ => column.name.as_str(),
        };
        let exact = field(table, wanted);
        if let Some(field) = exact {
            return (Some(field.name.clone()), Some(field), fits(field));
        }
        match self.fields.get(&lower).map(|&at| &table.fields[at]) {
            Some(field) => {
                let why = format!(
                    "field `{}` differs in upper and lower case, so StarRocks reads NULL",
                    field.name
                );
                (Some(field.name.clone()), Some(field), ColumnVerdict::Fail(why))
            }
            None => (None, None, unfed(column)),
        }
    }

    fn extra(&self, field: &FieldUse, table: &Table) -> ColumnUse {
        let lower = field.name.to_ascii_lowercase();
        let names = self.said.layout.listed.as_deref().unwrap_or_default();
        let listed = self.listed.get(&lower).is_some_and(|&at| names[at] == field.name);
        let verdict = match field.name.as_str() {
            OP | "__deleted" => ColumnVerdict::Ok("it says whether the row is deleted".to_owned()),
            _ if listed => ColumnVerdict::Ok("`sink.properties.columns` uses it".to_owned()),
            _ if self.columns.contains_key(&lower) => {
                let why = "it differs from its column in upper and lower case, so it is left out";
                ColumnVerdict::Fail(why.to_owned())
            }
            name => {
                let columns = table.columns.iter().map(|column| column.name.as_str());
                let columns = columns.filter(|_| self.compares);
                let near = keys::nearest(name, columns);
                let near = near.map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
                ColumnVerdict::Warn(format!("no such column, so it is left out{near}"))
            }
        };
        ColumnUse {
            column: None,
            kind: String::new(),
            source: Some(field.name.clone()),
            source_kind: field.kind.clone(),
            sample: field.sample.clone(),
            verdict,
        }
    }

    /// Columns that the rows would need, where the table's own are not known. That a table is missing
    /// is said of the table, once.
    fn inferred(&self, table: &TableUse) -> Vec<ColumnUse> {
        let inferred = table.shape.columns();
        let inferred: HashMap<&str, &Column> =
            inferred.iter().map(|column| (column.name.as_str(), column)).collect();
        let fields = table.fields.iter().filter(|field| !field.name.starts_with('$'));
        fields
            .map(|field| {
                let column = inferred.get(field.name.as_str());
                ColumnUse {
                    column: column.map(|column| column.name.clone()),
                    kind: column.map(|column| format!("({})", column.text)).unwrap_or_default(),
                    source: Some(field.name.clone()),
                    source_kind: field.kind.clone(),
                    sample: field.sample.clone(),
                    verdict: ColumnVerdict::Unknown,
                }
            })
            .collect()
    }
}

/// Names in lower case, with the place of the first of each.
fn by_name<'n>(names: impl Iterator<Item = &'n str>) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    for (at, name) in names.enumerate() {
        places.entry(name.to_ascii_lowercase()).or_insert(at);
    }
    places
}

fn field<'t>(table: &'t TableUse, name: &str) -> Option<&'t FieldUse> {
    table.field_places.get(name).map(|&at| &table.fields[at])
}

fn fits(field: &FieldUse) -> ColumnVerdict {
    let told = |count: u64, why: &String| match (count, field.seen) {
        (1, 1) => why.clone(),
        (count, seen) => format!("{count} of {seen}: {why}"),
    };
    match (&field.first_misfit, &field.first_doubt) {
        (Some(why), _) => ColumnVerdict::Fail(told(field.misfits, why)),
        (None, Some(why)) => ColumnVerdict::Warn(told(field.doubts, why)),
        (None, None) => ColumnVerdict::Ok(String::new()),
    }
}

/// A column that the `columns` header leaves out takes its default.
fn unlisted(column: &Column) -> ColumnVerdict {
    match (&column.default, column.nullable) {
        (Some(default), _) => ColumnVerdict::Ok(format!("its default, `{default}`")),
        (None, true) => ColumnVerdict::Warn("not in `sink.properties.columns`: NULL".to_owned()),
        (None, false) => {
            let why = "not in `sink.properties.columns`, takes no NULL and has no default";
            ColumnVerdict::Fail(why.to_owned())
        }
    }
}

/// A column without a field: StarRocks reads NULL, not the default.
fn unfed(column: &Column) -> ColumnVerdict {
    let default = column.default.as_ref().map(|default| {
        format!("; its default `{default}` is used only if `sink.properties.columns` leaves it out")
    });
    let default = default.unwrap_or_default();
    match column.nullable {
        true => ColumnVerdict::Warn(format!("no field feeds it: NULL{default}")),
        false => ColumnVerdict::Fail(format!("no field feeds it, and it takes no NULL{default}")),
    }
}
