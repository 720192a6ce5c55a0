//! A record's value as a row of one table, in JSON or CSV: which field feeds which column, what the
//! operation is, what the row must not be. Compiled once per schema and table.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::config::job::{Body, NewFields};
use crate::convert::json_reader::Reader;
use crate::data::{Datum, Logical, PlanCache, Schema, Type, Value, json_text};
use crate::encode::json::Says;
use crate::mapping::cell::{self, Form, Misfit};
use crate::mapping::columns::{Table, TableKind};
use crate::mapping::layout::{Layout, OP};

/// The field that Debezium's unwrap adds to mark a deleted row.
const DELETED: &str = "__deleted";

/// What a row does to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Upsert,
    Delete,
}

/// What becomes of a ready-made JSON object.
#[derive(Debug)]
pub enum Copied<'r> {
    /// StarRocks reads its operation as it is meant.
    AsItIs(Op),
    /// Its operation is said in words that StarRocks does not know: its members, to be written anew.
    Anew(Datum<'r>),
}

/// Why a value is no row of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Without any value of the record.
    pub what: String,
    /// The value at fault, or the beginning of it.
    pub value: Option<String>,
    /// The column at fault.
    pub column: Option<String>,
}

impl Unfit {
    fn new(what: impl Into<String>) -> Unfit {
        Unfit { what: what.into(), value: None, column: None }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, ": {value}"))
    }
}

/// Writes rows of one table.
#[derive(Debug)]
pub struct RowWriter {
    name: Arc<str>,
    layout: Layout,
    table: Option<Arc<Table>>,
    /// Columns by name.
    places: HashMap<Box<str>, usize>,
    /// Fields of a CSV row, with the column each feeds.
    csv: Vec<(String, Option<usize>)>,
    plans: PlanCache<Plan>,
    /// For maps: the names of the last one, and the plan they make.
    names: Vec<String>,
    untyped: Plan,
    cell: Vec<u8>,
    new_fields: NewFields,
    /// Fields without a column that were met; `None`: no value was met yet.
    extras: Option<HashSet<String>>,
    /// Those of them that nobody was told of.
    news: Vec<NewField>,
    /// StarRocks is not asked: rows are shown, none is sent.
    offline: bool,
}

/// A field that appeared and that no column has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewField {
    pub name: String,
    /// The column type that would hold it.
    pub sql_type: String,
}

/// How the fields of one kind of value meet the columns.
#[derive(Debug, Default)]
struct Plan {
    /// By field.
    uses: Vec<Use>,
    /// By column: the field that feeds it.
    by_column: Vec<Option<usize>>,
    /// By CSV field.
    csv: Vec<Option<usize>>,
    op: Option<usize>,
    deleted: Option<usize>,
    /// A column that must have a value and gets none.
    unfed: Option<usize>,
    /// The first field that no column has, where that is known.
    extra: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Column(usize),
    /// No column has this name: sent all the same, for `columns` and for columns added later.
    Extra,
    /// It says the operation and is no column.
    Operation,
}

/// A struct or a map, by field.
#[derive(Clone, Copy)]
enum Fields<'v, 'a> {
    Struct(&'v Schema, &'v [Datum<'a>]),
    Map(&'v [(Datum<'a>, Datum<'a>)]),
}

impl<'v, 'a> Fields<'v, 'a> {
    fn get(self, at: usize) -> (Option<&'v Schema>, &'v Datum<'a>) {
        const NULL: &Datum<'static> = &Datum::Null;
        match self {
            Fields::Struct(schema, values) => {
                let field = &schema.fields[at];
                match values.get(at) {
                    // A value that must be there and is not: its default stands in.
                    Some(Datum::Null) if !field.schema.optional => {
                        let default = field.schema.default.as_ref().unwrap_or(NULL);
                        (Some(&field.schema), default)
                    }
                    value => (Some(&field.schema), value.unwrap_or(NULL)),
                }
            }
            Fields::Map(entries) => (None, &entries[at].1),
        }
    }

    fn name(self, at: usize) -> &'v str {
        match self {
            Fields::Struct(schema, _) => &schema.fields[at].name,
            Fields::Map(entries) => entries[at].0.as_str().unwrap_or_default(),
        }
    }

    /// `"name":`
    fn member(self, at: usize, out: &mut Vec<u8>) {
        match self {
            Fields::Struct(schema, _) => {
                out.extend_from_slice(schema.member_prefix(at).unwrap_or_default().as_bytes());
            }
            Fields::Map(_) => {
                json_text::string(out, self.name(at));
                out.push(b':');
            }
        }
    }
}

impl RowWriter {
    /// `table`: what StarRocks says of it; `None`: it says nothing.
    pub fn new(
        name: &str,
        layout: Layout,
        table: Option<Arc<Table>>,
        new_fields: NewFields,
    ) -> RowWriter {
        let columns = table.iter().flat_map(|table| table.columns.iter().enumerate());
        let places: HashMap<Box<str>, usize> =
            columns.map(|(at, column)| (column.name.as_str().into(), at)).collect();
        let names = match (&table, &layout.listed) {
            (Some(table), _) => layout.csv_fields(table),
            (None, Some(listed)) => listed.clone(),
            (None, None) => vec![],
        };
        let place = |name: String| {
            let column = places.get(name.as_str()).copied();
            (name, column)
        };
        let csv = names.into_iter().map(place).collect();
        RowWriter {
            name: name.into(),
            layout,
            table,
            places,
            csv,
            plans: PlanCache::default(),
            names: vec![],
            untyped: Plan::default(),
            cell: vec![],
            new_fields,
            extras: None,
            news: vec![],
            offline: false,
        }
    }

    /// For people who want to see rows without StarRocks.
    pub fn offline(self, offline: bool) -> RowWriter {
        RowWriter { offline, ..self }
    }

    /// Fields that appeared since this was asked last and that no column has.
    pub fn take_new_fields(&mut self) -> Vec<NewField> {
        std::mem::take(&mut self.news)
    }

    /// A writer that differs in what is known of the table.
    pub fn for_table(&self, table: Arc<Table>) -> RowWriter {
        RowWriter::new(&self.name, self.layout.clone(), Some(table), self.new_fields)
    }

    pub fn table(&self) -> Option<&Arc<Table>> {
        self.table.as_ref()
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn kind(&self) -> TableKind {
        self.table.as_ref().map_or(TableKind::Unknown, |table| table.kind)
    }

    /// Whether deletes can be told to this table.
    pub fn knows_deletes(&self) -> bool {
        matches!(self.kind(), TableKind::Primary | TableKind::Unknown)
    }

    /// Appends the row that a struct or map makes. On refusal `out` is as before.
    pub fn write(&mut self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<Op, Unfit> {
        self.guarded(out, |writer, out| writer.row(value, None, out))
    }

    /// Appends the row that deletes what a record's key names. A key that is no struct or map is the
    /// value of the table's only key column; text that is a JSON object with the key columns is that.
    pub fn delete(&mut self, key: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        if let Datum::String(text) = &key.datum
            && let Some(members) = self.json_key(text)?
        {
            let key = Value::schemaless(members);
            return self
                .guarded(out, |writer, out| writer.row(&key, Some(Op::Delete), out))
                .map(drop);
        }
        let (name, columns) = match (&key.datum, &self.table) {
            (Datum::Null, _) => return Err(self.no_key("the record has no key")),
            (Datum::Struct(_) | Datum::Map(_), _) => {
                return self
                    .guarded(out, |writer, out| writer.row(key, Some(Op::Delete), out))
                    .map(drop);
            }
            (_, Some(table)) => {
                (table.keys().next().map(|key| key.name.clone()), table.keys().count())
            }
            (_, None) => (None, 0),
        };
        let (Some(name), 1) = (name, columns) else {
            return Err(
                self.no_key("the record's key is a single value, and the table's key is not")
            );
        };
        let entries = vec![(Datum::text(name), key.datum.clone())];
        let key = Value::schemaless(Datum::Map(entries));
        self.guarded(out, |writer, out| writer.row(&key, Some(Op::Delete), out)).map(drop)
    }

    /// The object that a key's text is: read as text it would be deleted under a name that no row has,
    /// without a word. Other JSON is refused for the same reason; plain text is a key.
    fn json_key<'k>(&self, text: &'k str) -> Result<Option<Datum<'k>>, Unfit> {
        let is_quoted = |text: &str| text.len() > 1 && text.starts_with('"') && text.ends_with('"');
        let text = text.trim();
        if !text.starts_with('{') && !is_quoted(text) {
            return Ok(None);
        }
        let Ok(datum) = Reader::new(text).datum() else { return Ok(None) };
        let has = |column: &str| datum.member(column).is_some();
        let has_all = match &self.table {
            Some(table) => table.keys().all(|key| has(&key.name)),
            None => !has("payload"),
        };
        if matches!(datum, Datum::Map(_)) && has_all {
            return Ok(Some(datum));
        }
        Err(self.no_key(
            "the record's key is JSON, read as plain text; \
             `key.converter=org.apache.kafka.connect.json.JsonConverter` reads it \
             (`key.converter.schemas.enable=false` where it brings no schema)",
        ))
    }

    fn no_key(&self, why: &str) -> Unfit {
        Unfit::new(format!("a delete from `{}` names no row: {why}", self.name))
    }

    fn guarded<T>(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<T, Unfit>,
    ) -> Result<T, Unfit> {
        let start = out.len();
        let done = write(self, out);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn row(
        &mut self,
        value: &Value<'_>,
        asked: Option<Op>,
        out: &mut Vec<u8>,
    ) -> Result<Op, Unfit> {
        match (&value.schema, &value.datum) {
            (Some(schema), Datum::Struct(values)) => {
                let mut plans = std::mem::take(&mut self.plans);
                let names = || schema.fields.iter().map(|field| &*field.name);
                let plan = plans.get(schema, |_| {
                    let plan = self.plan(names());
                    self.note_extras(&plan, names(), |at| of_schema(&schema.fields[at].schema));
                    Ok(plan)
                });
                let plan = plan.expect("making a plan cannot fail");
                let done = self.write_row(Fields::Struct(schema, values), plan, asked, out);
                self.plans = plans;
                done
            }
            (_, Datum::Map(entries)) => {
                if entries.iter().any(|(key, _)| key.as_str().is_none()) {
                    return Err(Unfit::new("the value is a map whose keys are no names, no row"));
                }
                let names = || entries.iter().map(|(key, _)| key.as_str().unwrap_or_default());
                // Maps mostly have the members of the one before.
                if !names().eq(self.names.iter().map(String::as_str)) {
                    self.untyped = self.plan(names());
                    let plan = std::mem::take(&mut self.untyped);
                    self.note_extras(&plan, names(), |at| of_datum(&entries[at].1));
                    self.untyped = plan;
                    self.names = names().map(str::to_owned).collect();
                }
                let plan = std::mem::take(&mut self.untyped);
                let done = self.write_row(Fields::Map(entries), &plan, asked, out);
                self.untyped = plan;
                done
            }
            (_, other) => Err(Unfit::new(format!(
                "the value is a {}, not an object whose members could be columns",
                other.java_class()
            ))),
        }
    }

    fn plan<'n>(&self, names: impl Iterator<Item = &'n str>) -> Plan {
        let columns = self.table.as_ref().map_or(0, |table| table.columns.len());
        let mut plan = Plan { by_column: vec![None; columns], ..Plan::default() };
        let mut found = HashMap::new();
        for (at, name) in names.enumerate() {
            let column = self.places.get(name).copied();
            found.insert(name, at);
            let place = match (name, column) {
                (_, Some(column)) => {
                    plan.by_column[column] = Some(at);
                    Use::Column(column)
                }
                (OP, None) => {
                    plan.op = Some(at);
                    Use::Operation
                }
                (DELETED, None) if !self.layout.by_path => {
                    plan.deleted = Some(at);
                    // A table that is not shown may have such a column.
                    if self.table.is_some() { Use::Operation } else { Use::Extra }
                }
                _ => Use::Extra,
            };
            plan.uses.push(place);
        }
        // Of equal members the last counts, as a map has it.
        plan.csv = self.csv.iter().map(|(name, _)| found.get(name.as_str()).copied()).collect();
        plan.unfed = self.unfed(&plan);
        if self.compares_names() {
            plan.extra = plan.uses.iter().position(|place| *place == Use::Extra);
        }
        plan
    }

    /// Whether the names of fields are those of columns, and both are known.
    fn compares_names(&self) -> bool {
        self.table.is_some() && self.layout.listed.is_none() && !self.layout.by_path
    }

    /// Takes down fields that no column has. Those of the first value are how it is, those of later
    /// ones are news.
    fn note_extras<'n>(
        &mut self,
        plan: &Plan,
        names: impl Iterator<Item = &'n str>,
        sql_type: impl Fn(usize) -> String,
    ) {
        if !self.compares_names() || self.new_fields == NewFields::Ignore {
            return;
        }
        let is_first = self.extras.is_none();
        let extras = self.extras.get_or_insert_default();
        for (at, name) in names.enumerate() {
            if plan.uses[at] != Use::Extra || !extras.insert(name.to_owned()) || is_first {
                continue;
            }
            self.news.push(NewField { name: name.to_owned(), sql_type: sql_type(at) });
        }
    }

    /// A column that takes no NULL, has no default, and is fed by no field.
    fn unfed(&self, plan: &Plan) -> Option<usize> {
        let table = self.table.as_ref()?;
        if self.layout.partial || self.layout.by_path || self.layout.listed.is_some() {
            return None;
        }
        let hungry = |at: &usize| {
            let column = &table.columns[*at];
            plan.by_column[*at].is_none()
                && !column.nullable
                && !column.made_by_server
                && column.default.is_none()
        };
        (0..table.columns.len()).find(hungry)
    }

    fn write_row(
        &mut self,
        fields: Fields<'_, '_>,
        plan: &Plan,
        asked: Option<Op>,
        out: &mut Vec<u8>,
    ) -> Result<Op, Unfit> {
        if let (Some(at), NewFields::Refuse) = (plan.extra, self.new_fields) {
            let name = fields.name(at);
            return Err(Unfit::new(format!("field `{name}` has no column in `{}`", self.name)));
        }
        let op = match asked {
            Some(op) => op,
            None => self.operation(fields, plan)?,
        };
        if op == Op::Delete && !self.knows_deletes() {
            return Err(self.no_delete());
        }
        match (&self.layout.body, &self.table, op) {
            (Body::Csv { .. }, ..) => self.csv_row(fields, plan, op, out)?,
            // Where the server does not tell the key, the row is sent whole: it holds the key.
            (Body::Json, Some(table), Op::Delete)
                if !self.layout.by_path && table.keys().next().is_some() =>
            {
                let table = Arc::clone(table);
                self.json_delete(&table, fields, plan, out)?;
            }
            (Body::Json, _, op) => self.json_row(fields, plan, op, asked.is_some(), out)?,
        }
        Ok(op)
    }

    fn no_delete(&self) -> Unfit {
        Unfit::new(format!(
            "a row is to be deleted from `{}`, a {} table, which knows no deletes",
            self.name,
            self.kind()
        ))
    }

    /// How a ready-made object, UTF-8 and checked, goes to this table: a delete means the same as in a
    /// row that is made here. `says`: what its bytes tell at a glance.
    #[inline]
    pub fn copied<'r>(&self, row: &'r [u8], says: Says) -> Result<Copied<'r>, Unfit> {
        match says {
            Says::Nothing => Ok(Copied::AsItIs(Op::Upsert)),
            _ if self.layout.computes_op || self.places.contains_key(OP) => {
                Ok(Copied::AsItIs(Op::Upsert))
            }
            Says::Number { deletes: false } => Ok(Copied::AsItIs(Op::Upsert)),
            Says::Number { deletes: true } if self.knows_deletes() => {
                Ok(Copied::AsItIs(Op::Delete))
            }
            Says::Number { deletes: true } => Err(self.no_delete()),
            Says::More => self.said_in_words(row),
        }
    }

    fn said_in_words<'r>(&self, row: &'r [u8]) -> Result<Copied<'r>, Unfit> {
        let text = std::str::from_utf8(row).unwrap_or_default();
        // What one reader takes and the other does not is left to StarRocks.
        let Ok(members) = Reader::new(text).datum() else {
            return Ok(Copied::AsItIs(Op::Upsert));
        };
        let op = match (members.member(OP), members.member(DELETED)) {
            (Some(op), _) => operation_of(op).ok_or_else(no_operation)?,
            (None, Some(mark)) if !self.layout.by_path && !self.places.contains_key(DELETED) => {
                self.marked(mark)?
            }
            _ => Op::Upsert,
        };
        if op == Op::Delete && !self.knows_deletes() {
            return Err(self.no_delete());
        }
        let is_read = self.layout.by_path || (op == Op::Upsert && members.member(OP).is_none());
        Ok(if is_read { Copied::AsItIs(op) } else { Copied::Anew(members) })
    }

    /// What `__deleted` says, which is no column.
    fn marked(&self, mark: &Datum<'_>) -> Result<Op, Unfit> {
        let deletes = match mark {
            Datum::String(text) if text.eq_ignore_ascii_case("true") => true,
            Datum::String(text) if text.eq_ignore_ascii_case("false") => false,
            Datum::Boolean(deletes) => *deletes,
            Datum::Null => false,
            // Taken for no delete, it would bring back a row that is gone.
            _ => {
                let what = format!("`{DELETED}` is neither true nor false");
                return Err(Unfit { column: Some(DELETED.into()), ..Unfit::new(what) });
            }
        };
        match deletes {
            false => Ok(Op::Upsert),
            true if self.table.is_some() || self.offline => Ok(Op::Delete),
            true => {
                let what = format!(
                    "`{DELETED}` marks the row as deleted, and StarRocks does not show whether `{}` has \
                     such a column; `{OP}` beside it says what is meant \
                     (`AddOpFieldForDebeziumRecord`), or let the user see the table",
                    self.name
                );
                Err(Unfit { column: Some(DELETED.into()), ..Unfit::new(what) })
            }
        }
    }

    /// What the row says of itself: `__op`, or the mark of a rewritten delete.
    fn operation(&self, fields: Fields<'_, '_>, plan: &Plan) -> Result<Op, Unfit> {
        if let Some(at) = plan.op {
            let (_, datum) = fields.get(at);
            return operation_of(datum).ok_or_else(no_operation);
        }
        plan.deleted.map_or(Ok(Op::Upsert), |at| self.marked(fields.get(at).1))
    }

    fn json_row(
        &mut self,
        fields: Fields<'_, '_>,
        plan: &Plan,
        op: Op,
        asked: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfit> {
        if let (Some(column), false) = (plan.unfed, op == Op::Delete) {
            return Err(self.no_null(column, "no field feeds it"));
        }
        out.push(b'{');
        let mut first = true;
        for (at, place) in plan.uses.iter().enumerate() {
            let column = match place {
                Use::Operation => continue,
                Use::Extra => None,
                Use::Column(column) => Some(*column),
            };
            separate(out, &mut first);
            fields.member(at, out);
            let (schema, datum) = fields.get(at);
            self.value(out, Form::Json, schema, datum, column, fields.name(at))?;
        }
        let listed = || self.layout.listed.iter().flatten().any(|name| name == OP);
        let says = op == Op::Delete || asked || plan.op.is_some() || listed();
        if says && self.knows_deletes() {
            separate(out, &mut first);
            out.extend_from_slice(match op {
                Op::Upsert => b"\"__op\":0",
                Op::Delete => b"\"__op\":1",
            });
        }
        out.push(b'}');
        Ok(())
    }

    /// A row that deletes: the key, and what else the table insists on.
    fn json_delete(
        &mut self,
        table: &Table,
        fields: Fields<'_, '_>,
        plan: &Plan,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfit> {
        out.push(b'{');
        for (place, column) in table.columns.iter().enumerate() {
            if column.made_by_server
                || (column.nullable && !column.key)
                || !self.is_listed(&column.name)
            {
                continue;
            }
            json_text::string(out, &column.name);
            out.push(b':');
            self.deleted_value(out, Form::Json, table, place, fields, plan)?;
            out.push(b',');
        }
        out.extend_from_slice(b"\"__op\":1}");
        Ok(())
    }

    fn is_listed(&self, name: &str) -> bool {
        self.layout
            .listed
            .as_ref()
            .is_none_or(|listed| listed.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// A column's value in a row that deletes: the key's own, anything for the others.
    fn deleted_value(
        &mut self,
        out: &mut Vec<u8>,
        form: Form,
        table: &Table,
        place: usize,
        fields: Fields<'_, '_>,
        plan: &Plan,
    ) -> Result<(), Unfit> {
        let column = &table.columns[place];
        let given = plan.by_column[place].map(|at| fields.get(at));
        match given.filter(|(_, datum)| !datum.is_null()) {
            Some((schema, datum)) => {
                self.value(out, form, schema, datum, Some(place), &column.name)
            }
            None if column.key => Err(self.no_key(&format!("it has no `{}`", column.name))),
            None if column.nullable => {
                out.extend_from_slice(if form == Form::Json { b"null" } else { b"\\N" });
                Ok(())
            }
            None => {
                let text = cell::stand_in(&column.kind);
                if form == Form::Csv || cell::stand_in_is_bare(&column.kind) {
                    out.extend_from_slice(text.as_bytes());
                } else {
                    json_text::string(out, text);
                }
                Ok(())
            }
        }
    }

    fn csv_row(
        &mut self,
        fields: Fields<'_, '_>,
        plan: &Plan,
        op: Op,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfit> {
        if self.csv.is_empty() {
            return Err(Unfit::new(format!(
                "the columns of `{}` are not known, so a CSV row has no order; \
                 `sink.properties.columns` gives one",
                self.name
            )));
        }
        if let (Some(column), Op::Upsert) = (plan.unfed, op) {
            return Err(self.no_null(column, "no field feeds it"));
        }
        let csv = std::mem::take(&mut self.csv);
        let mut cell = std::mem::take(&mut self.cell);
        let done = csv.iter().enumerate().try_for_each(|(at, (name, column))| {
            if at > 0 {
                out.extend_from_slice(&self.layout.separator);
            }
            cell.clear();
            self.csv_field(&mut cell, (at, name, *column), fields, plan, op)?;
            self.push_field(out, &cell, name)
        });
        (self.csv, self.cell) = (csv, cell);
        done?;
        let Body::Csv { row_delimiter } = &self.layout.body else { return Ok(()) };
        out.extend_from_slice(row_delimiter);
        Ok(())
    }

    fn csv_field(
        &mut self,
        cell: &mut Vec<u8>,
        (at, name, column): (usize, &str, Option<usize>),
        fields: Fields<'_, '_>,
        plan: &Plan,
        op: Op,
    ) -> Result<(), Unfit> {
        if column.is_none() && name == OP {
            cell.push(if op == Op::Delete { b'1' } else { b'0' });
            return Ok(());
        }
        if let (Op::Delete, Some(place), Some(table)) = (op, column, self.table.clone()) {
            return self.deleted_value(cell, Form::Csv, &table, place, fields, plan);
        }
        match plan.csv[at] {
            Some(field) => {
                let (schema, datum) = fields.get(field);
                let is_text = matches!(datum, Datum::String(_));
                self.value(cell, Form::Csv, schema, datum, column, name)?;
                if is_text && cell == b"\\N" {
                    let what = format!("the text of `{name}` is `\\N`, which CSV reads as NULL");
                    return Err(Unfit { column: Some(name.into()), ..Unfit::new(what) });
                }
            }
            None => cell.extend_from_slice(b"\\N"),
        }
        Ok(())
    }

    /// A field's text must not be taken for the end of the field or of the row.
    fn push_field(&self, out: &mut Vec<u8>, cell: &[u8], name: &str) -> Result<(), Unfit> {
        let Body::Csv { row_delimiter } = &self.layout.body else { return Ok(()) };
        let holds = |mark: &[u8]| memchr::memmem::find(cell, mark).is_some();
        let separated = holds(&self.layout.separator) || holds(row_delimiter);
        match self.layout.enclose {
            Some(quote) if separated || cell.contains(&quote) => {
                out.push(quote);
                for byte in cell {
                    if *byte == quote {
                        out.push(quote);
                    }
                    out.push(*byte);
                }
                out.push(quote);
            }
            None if separated => {
                let what = format!(
                    "the value of `{name}` holds the column separator or the row delimiter; \
                     `sink.properties.column_separator=\\x01` and `row_delimiter=\\x02` are rarely met"
                );
                return Err(Unfit { column: Some(name.into()), ..Unfit::new(what) });
            }
            _ => out.extend_from_slice(cell),
        }
        Ok(())
    }

    fn value(
        &self,
        out: &mut Vec<u8>,
        form: Form,
        schema: Option<&Schema>,
        datum: &Datum<'_>,
        column: Option<usize>,
        name: &str,
    ) -> Result<(), Unfit> {
        let table = self.table.as_ref();
        let column = column.zip(table).map(|(at, table)| &table.columns[at]);
        if datum.is_null() {
            if let Some(schema) = schema.filter(|schema| !schema.optional) {
                return Err(Unfit::new(format!(
                    "Conversion error: null value for field that is required and has no default \
                     value (in field `{name}`, {})",
                    schema.kind.name()
                )));
            }
            if let Some(column) = column
                && !column.nullable
                && self.is_listed(&column.name)
                && !column.made_by_server
            {
                let at = self.places[column.name.as_str()];
                return Err(self.no_null(at, "its value is null"));
            }
        }
        let kind = column.map(|column| &column.kind);
        let start = out.len();
        let written = match cell::write(out, form, schema, datum, kind) {
            Err(_) if self.layout.lenient => {
                out.truncate(start);
                cell::write(out, form, schema, datum, None)
            }
            written => written,
        };
        written.map_err(|misfit| {
            let kind = column.map(|column| column.text.as_str());
            self.misfit(name, kind, misfit)
        })
    }

    fn misfit(&self, name: &str, kind: Option<&str>, misfit: Misfit) -> Unfit {
        let what = match kind {
            Some(kind) => {
                format!(
                    "a value does not fit column `{name}` ({kind}) of `{}`: {}",
                    self.name, misfit.why
                )
            }
            None => format!("field `{name}`: {}", misfit.why),
        };
        Unfit { what, value: misfit.value, column: Some(name.into()) }
    }

    fn no_null(&self, column: usize, why: &str) -> Unfit {
        let column = self.table.as_ref().map(|table| &table.columns[column]);
        let (name, kind) = column.map_or(("", ""), |c| (c.name.as_str(), c.text.as_str()));
        let what = format!("column `{name}` ({kind}) of `{}` takes no NULL, and {why}", self.name);
        Unfit { what, value: None, column: Some(name.into()) }
    }
}

fn separate(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

fn no_operation() -> Unfit {
    Unfit { column: Some(OP.into()), ..Unfit::new(format!("`{OP}` is neither 0 nor 1")) }
}

/// 0 and 1, StarRocks' words for them, and Debezium's letters.
fn operation_of(datum: &Datum<'_>) -> Option<Op> {
    match datum {
        Datum::Int8(0) | Datum::Int16(0) | Datum::Int32(0) | Datum::Int64(0) => Some(Op::Upsert),
        Datum::Int8(1) | Datum::Int16(1) | Datum::Int32(1) | Datum::Int64(1) => Some(Op::Delete),
        Datum::String(text) => match &**text {
            "0" | "upsert" | "c" | "u" | "r" => Some(Op::Upsert),
            "1" | "delete" | "d" => Some(Op::Delete),
            _ => None,
        },
        _ => None,
    }
}

/// The column type that holds a field of this schema.
fn of_schema(schema: &Schema) -> String {
    match schema.logical() {
        Logical::Decimal { scale: Some(scale) } if (0..=38).contains(&scale) => {
            return format!("DECIMAL(38, {scale})");
        }
        Logical::Date | Logical::EpochDays => return "DATE".into(),
        Logical::Timestamp | Logical::Epoch { .. } | Logical::ZonedTimestamp => {
            return "DATETIME".into();
        }
        Logical::VariableScaleDecimal => return "DECIMAL(38, 9)".into(),
        Logical::Json => return "JSON".into(),
        Logical::Unsigned => return "LARGEINT".into(),
        Logical::Plain | Logical::Decimal { .. } | Logical::Time | Logical::TimeOfDay { .. } => {}
    }
    match schema.kind {
        Type::Boolean => "BOOLEAN",
        Type::Int8 => "TINYINT",
        Type::Int16 => "SMALLINT",
        Type::Int32 => "INT",
        Type::Int64 => "BIGINT",
        Type::Float32 => "FLOAT",
        Type::Float64 => "DOUBLE",
        Type::String => "STRING",
        Type::Bytes => "VARBINARY",
        Type::Array | Type::Map | Type::Struct => "JSON",
    }
    .into()
}

/// The column type that holds this value, which brings no schema.
fn of_datum(datum: &Datum<'_>) -> String {
    match datum {
        Datum::Boolean(_) => "BOOLEAN",
        Datum::Int8(_) | Datum::Int16(_) | Datum::Int32(_) | Datum::Int64(_) => "BIGINT",
        Datum::Float32(_) | Datum::Float64(_) | Datum::Number(_) => "DOUBLE",
        Datum::Decimal(_) => "DECIMAL(38, 9)",
        Datum::Instant(_) => "DATETIME",
        Datum::Bytes(_) => "VARBINARY",
        Datum::Array(_) | Datum::Map(_) | Datum::Struct(_) => "JSON",
        Datum::Null | Datum::String(_) => "STRING",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::columns::Column;

    fn writer(new_fields: NewFields) -> RowWriter {
        let columns = vec![
            Column::new("id", "bigint", false, true),
            Column::new("city", "varchar(9)", true, false),
        ];
        let table = Table { name: "t".into(), kind: TableKind::Duplicate, columns };
        RowWriter::new("t", Layout::of(&Body::Json, &[]), Some(Arc::new(table)), new_fields)
    }

    fn value(names: &[&str]) -> Value<'static> {
        let entry = |name: &&str| (Datum::text((*name).to_owned()), Datum::Int64(7));
        Value::schemaless(Datum::Map(names.iter().map(entry).collect()))
    }

    #[test]
    fn a_field_that_appears_later_is_news_once_and_those_of_the_first_value_are_not() {
        let (mut writer, mut out) = (writer(NewFields::Warn), vec![]);
        writer.write(&value(&["id", "more"]), &mut out).expect("a row");
        assert_eq!(writer.take_new_fields(), []);
        for _ in 0..2 {
            writer.write(&value(&["id", "more", "newer"]), &mut out).expect("a row");
            writer.write(&value(&["id"]), &mut out).expect("a row");
        }
        let field = NewField { name: "newer".into(), sql_type: "BIGINT".into() };
        assert_eq!(writer.take_new_fields(), [field]);
        assert_eq!(writer.take_new_fields(), []);
    }

    #[test]
    fn a_row_that_deletes_is_sent_whole_where_the_server_tells_no_key() {
        let column = |name: &str, kind: &str, key: bool| Column::new(name, kind, !key, key);
        for (key, expect) in
            [(true, r#"{"id":7,"__op":1}"#), (false, r#"{"id":7,"city":7,"__op":1}"#)]
        {
            let columns = vec![column("id", "bigint", key), column("city", "bigint", false)];
            let table = Table { name: "t".into(), kind: TableKind::Unknown, columns };
            let layout = Layout::of(&Body::Json, &[]);
            let mut writer = RowWriter::new("t", layout, Some(Arc::new(table)), NewFields::Warn);
            let mut row = value(&["id", "city", OP]);
            let Datum::Map(entries) = &mut row.datum else { unreachable!("a map") };
            entries[2].1 = Datum::Int64(1);
            let mut out = vec![];
            assert_eq!(writer.write(&row, &mut out), Ok(Op::Delete));
            assert_eq!(String::from_utf8_lossy(&out), expect);
        }
    }

    #[test]
    fn a_field_without_a_column_is_refused_where_that_is_asked_for() {
        let (mut writer, mut out) = (writer(NewFields::Refuse), vec![]);
        writer.write(&value(&["id"]), &mut out).expect("a row");
        let unfit = writer.write(&value(&["id", "more"]), &mut out).expect_err("refused");
        assert_eq!(unfit.what, "field `more` has no column in `t`");
        assert_eq!(out, b"{\"id\":7}");
    }
}
