//! Judges a table's columns by what was seen of the fields.

use crate::config::keys;
use crate::mapping::columns::{Column, Table};
use crate::mapping::layout::OP;
use crate::mapping::maker::Lookup;
use crate::mapping::survey::fields::FieldUse;
use crate::mapping::survey::{ColumnUse, ColumnVerdict, Said, TableUse};

/// By the headers of the loads.
pub(super) struct Judge<'j> {
    pub(super) said: &'j Said,
}

impl Judge<'_> {
    pub(super) fn columns(&self, table: &TableUse) -> Vec<ColumnUse> {
        let Lookup::Known(known) = &table.lookup else { return self.inferred(table) };
        let mut uses: Vec<ColumnUse> =
            known.columns.iter().map(|column| self.column(column, table)).collect();
        let is_used = |field: &&FieldUse| {
            uses.iter().any(|column| column.source.as_deref() == Some(&*field.name))
        };
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
        let place = listed.map(|names| names.iter().position(|name| same(name)));
        if let Some(None) = place {
            return (None, None, unlisted(column));
        }
        if self.said.layout.by_path {
            let at = place.flatten().or_else(|| position(column, table));
            let Some(path) = at.and_then(|at| self.said.paths.get(at)) else {
                let why = "`json_root` or `jsonpaths` says where it stands".to_owned();
                return (None, None, ColumnVerdict::Ok(why));
            };
            let field = table.fields.iter().find(|field| field.name == *path);
            return (Some(path.clone()), field, field.map_or_else(|| unfed(column), fits));
        }
        let wanted = match (listed, place.flatten()) {
            (Some(names), Some(at)) => names[at].as_str(),
            _ => column.name.as_str(),
        };
        let exact = table.fields.iter().find(|field| field.name == wanted);
        if let Some(field) = exact {
            return (Some(field.name.clone()), Some(field), fits(field));
        }
        match table.fields.iter().find(|field| same(&field.name)) {
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
        let listed = self.said.layout.listed.iter().flatten().any(|name| *name == field.name);
        let verdict = match field.name.as_str() {
            OP | "__deleted" => ColumnVerdict::Ok("it says whether the row is deleted".to_owned()),
            _ if listed => ColumnVerdict::Ok("`sink.properties.columns` uses it".to_owned()),
            name if table.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)) => {
                let why = "it differs from its column in upper and lower case, so it is left out";
                ColumnVerdict::Fail(why.to_owned())
            }
            name => {
                let columns = table.columns.iter().map(|column| column.name.as_str());
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
        let fields = table.fields.iter().filter(|field| !field.name.starts_with('$'));
        fields
            .map(|field| {
                let column = inferred.iter().find(|column| column.name == field.name);
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

/// Where a column stands among those that a row may hold.
fn position(column: &Column, table: &TableUse) -> Option<usize> {
    let Lookup::Known(known) = &table.lookup else { return None };
    known.writable().position(|other| other.name == column.name)
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
