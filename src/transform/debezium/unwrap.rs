//! ExtractNewRecordState: the row out of a change event.
//!
//! Options of both generations are honoured: `delete.tombstone.handling.mode` (2.5 on) wins; without
//! it `drop.tombstones` and `delete.handling.mode` (up to 3.1) mean what they meant. Without any of
//! the three a delete becomes a null value under its key, as from Debezium 3.2 on, so that no delete
//! vanishes here. A delete event without an image is an error where the image is asked for.

use std::borrow::Cow;

use super::{Shape, shape};
use crate::data::options::Options;
use crate::data::{
    ConnectRecord, Datum, Exception, Failure, Header, PlanCache, Schema, SchemaDef, Type, Value,
    put_member,
};
use crate::transform::side::{fill_defaults, struct_of};
use crate::transform::{EnvelopeUse, Reads, Step, Transform, Why};

/// What a delete event becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDelete {
    Drop,
    /// A null that keeps the row's schema.
    Null,
    /// A null without schema: a tombstone.
    Tombstone,
    /// The row before, marked.
    Rewrite,
}

/// The field that the rewrite modes add.
const DELETED: &str = "__deleted";

#[derive(Debug)]
pub struct Unwrap {
    on_delete: OnDelete,
    keep_tombstones: bool,
    fields: Vec<Reference>,
    headers: Vec<Reference>,
    header_prefix: String,
    route_by: Option<String>,
    drop_header: Option<String>,
    drop_from_key: bool,
    drop_optional_only: bool,
    replace_null: bool,
    /// A row with a column whose value the database did not send is refused.
    refuse_unavailable: bool,
    plans: PlanCache<Plan>,
}

/// A member of the envelope by name, and the name it gets.
#[derive(Debug, Clone)]
struct Reference {
    /// The struct it stands in, where one is given.
    parent: Option<String>,
    field: String,
    name: String,
}

impl Unwrap {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let (on_delete, keep_tombstones) = handling(options)?;
        let prefix = |key: &str| options.raw(key).unwrap_or("__").to_string();
        let header_prefix = prefix("add.headers.prefix");
        let text =
            |key: &str| options.raw(key).filter(|text| !text.trim().is_empty()).map(str::to_string);
        Ok(Unwrap {
            on_delete,
            keep_tombstones,
            fields: references(&options.list("add.fields"), &prefix("add.fields.prefix")),
            headers: references(&options.list("add.headers"), &header_prefix),
            header_prefix,
            route_by: text("route.by.field"),
            drop_header: text("drop.fields.header.name"),
            drop_from_key: options.boolean("drop.fields.from.key", false)?,
            drop_optional_only: options.boolean("drop.fields.keep.schema.compatible", true)?,
            replace_null: options.boolean("replace.null.with.default", true)?,
            refuse_unavailable: options.choice(
                "starsink.unavailable",
                &[("refuse", true), ("keep", false)],
                true,
            )?,
            plans: PlanCache::default(),
        })
    }
}

/// What happens to deletes, and whether tombstones pass.
fn handling(options: &Options) -> Result<(OnDelete, bool), Failure> {
    let invalid = |key: &str, value: &str| {
        let why = format!("Unable to validate config. The '{key}' value is invalid: {value}");
        Err(Failure::new(Exception::Connect, why))
    };
    const MODE: &str = "delete.tombstone.handling.mode";
    if let Some(mode) = options.raw(MODE) {
        return match mode.trim().to_ascii_lowercase().as_str() {
            "drop" => Ok((OnDelete::Drop, false)),
            "tombstone" => Ok((OnDelete::Null, false)),
            "rewrite" => Ok((OnDelete::Rewrite, false)),
            "rewrite-with-tombstone" => Ok((OnDelete::Rewrite, true)),
            "delete-to-tombstone" => Ok((OnDelete::Tombstone, false)),
            _ => invalid(MODE, mode),
        };
    }
    const OLD_MODE: &str = "delete.handling.mode";
    const OLD_DROP: &str = "drop.tombstones";
    let old = options.raw(OLD_MODE).is_some() || options.raw(OLD_DROP).is_some();
    let up_to_3_1 = options.choice("starsink.debezium", &[("3.1", true), ("3.2", false)], false)?;
    if !old && !up_to_3_1 {
        return Ok((OnDelete::Null, false));
    }
    let on_delete = match options.raw(OLD_MODE).map(str::trim) {
        None => OnDelete::Drop,
        Some(mode) => match mode.to_ascii_lowercase().as_str() {
            "drop" => OnDelete::Drop,
            "none" => OnDelete::Null,
            "rewrite" => OnDelete::Rewrite,
            _ => return invalid(OLD_MODE, mode),
        },
    };
    Ok((on_delete, !options.boolean(OLD_DROP, true)?))
}

fn references(list: &[String], prefix: &str) -> Vec<Reference> {
    let one = |text: &String| {
        let (path, alias) = match text.split_once(':') {
            Some((path, alias)) => (path.trim(), Some(alias.trim())),
            None => (text.trim(), None),
        };
        let (parent, field) = match path.split_once('.') {
            Some((parent, field)) => (Some(parent.to_string()), field),
            None => (None, path),
        };
        let name = match (alias, &parent) {
            (Some(alias), _) => format!("{prefix}{alias}"),
            (None, Some(parent)) => format!("{prefix}{parent}_{field}"),
            (None, None) => format!("{prefix}{field}"),
        };
        Reference { parent, field: field.to_string(), name }
    };
    list.iter().filter(|text| !text.trim().is_empty()).map(one).collect()
}

impl Reference {
    /// The struct a bare name is looked up in first; `None`: the envelope itself.
    fn home(&self) -> Option<&str> {
        match (&self.parent, self.field.as_str()) {
            (Some(parent), _) => Some(parent),
            (None, "op" | "ts_ms" | "ts_us" | "ts_ns" | "updateDescription") => None,
            (None, "id" | "total_order" | "data_collection_order") => Some("transaction"),
            (None, _) => Some("source"),
        }
    }

    fn unknown_struct(&self, name: &str) -> Failure {
        Failure::new(
            Exception::NullPointer,
            format!("the envelope has no struct `{name}`, which `{}` asks for", self.name),
        )
    }
}

/// Where everything stands in one envelope schema.
#[derive(Debug)]
struct Plan {
    op: Option<usize>,
    before: Option<Row>,
    after: Option<Row>,
    /// Values added to the row, as long as the row's schema.
    added: Vec<Place>,
    headers: Vec<(String, Schema, Place)>,
}

/// A member of the envelope, or of a struct in it.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    inner: Option<usize>,
}

#[derive(Debug)]
struct Row {
    at: usize,
    /// As the envelope has it, for nulls.
    given: Schema,
    /// The row alone.
    bare: Schema,
    /// The row with what is added; made when first needed, so that a clash of names in one of the
    /// two images does not refuse the other.
    full: Option<Schema>,
    route: Option<usize>,
}

impl Unwrap {
    /// Compiles the plan for an envelope's schema.
    fn plan(&self, schema: &Schema) -> Result<Plan, Failure> {
        let mut added = Vec::new();
        for reference in &self.fields {
            added.extend(resolve(reference, schema)?.map(|(_, place)| place));
        }
        let mut headers = Vec::new();
        for reference in &self.headers {
            if let Some((schema, place)) = resolve(reference, schema)? {
                headers.push((reference.name.clone(), schema, place));
            }
        }
        if schema.field("after").is_some_and(|after| after.schema.kind == Type::String) {
            return Err(documents());
        }
        Ok(Plan {
            op: schema.field_at("op"),
            before: self.row(schema, "before"),
            after: self.row(schema, "after"),
            added,
            headers,
        })
    }

    fn row(&self, envelope: &Schema, name: &str) -> Option<Row> {
        let at = envelope.field_at(name)?;
        let given = envelope.fields[at].schema.clone();
        let mut def = given.to_def();
        (def.optional, def.default) = (false, None);
        let route = self.route_by.as_ref().and_then(|field| given.field_at(field));
        Some(Row { at, given, bare: def.build(), full: None, route })
    }

    /// The row's schema with `__deleted` and the added fields.
    fn full_schema(&self, envelope: &Schema, row: &Schema) -> Result<Schema, Failure> {
        let mut def = row.to_def();
        if self.on_delete == OnDelete::Rewrite {
            def.add_field(DELETED, Schema::optional_of(Type::String))?;
        }
        for reference in &self.fields {
            if let Some((schema, _)) = resolve(reference, envelope)? {
                def.add_field(reference.name.as_str(), schema)?;
            }
        }
        Ok(def.build())
    }

    fn typed<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let schema = record.value.schema.clone().expect("an envelope has a schema");
        // The plan is taken out while it is used: it needs `self` to be compiled.
        let mut plans = std::mem::take(&mut self.plans);
        let done = plans
            .get(&schema, |schema| self.plan(schema))
            .and_then(|plan| self.unwrap_typed(record, &schema, plan));
        self.plans = plans;
        done
    }

    fn unwrap_typed<'a>(
        &self,
        record: &mut ConnectRecord<'a>,
        schema: &Schema,
        plan: &mut Plan,
    ) -> Result<Step<'a>, Failure> {
        let values = struct_of(&mut record.value.datum, "source field insertion")?;
        for (name, schema, place) in &plan.headers {
            let value = Value::new(schema.clone(), place.of(values));
            record.headers.push(Header { name: Cow::Owned(name.clone()), value });
        }
        let null = |row: &Option<Row>| row.as_ref().is_none_or(|row| values[row.at].is_null());
        let op = plan.op.and_then(|at| values[at].as_str()).unwrap_or_default();
        let deletes = null(&plan.after);
        let imageless = deletes && null(&plan.before);
        // An envelope whose rows are gone, by a Flatten before, is no event without row.
        let missing = [("after", &plan.after), ("before", &plan.before)];
        let asked = if deletes && op != "t" { &missing[..] } else { &missing[..1] };
        if let Some((name, _)) = asked.iter().find(|(_, row)| row.is_none()) {
            let why = format!("Unknown field: {name}");
            return Err(Failure::new(Exception::IllegalArgument, why));
        }
        if op == "t" {
            return Ok(Step::Drop(Why::Truncate));
        }
        if imageless && op != "d" {
            return Ok(Step::Drop(Why::NoRow));
        }
        if imageless && self.on_delete == OnDelete::Rewrite {
            return Err(no_image());
        }
        let row = if deletes { plan.before.as_mut() } else { plan.after.as_mut() };
        let Some(row) = row else { return Err(no_image()) };
        if deletes && self.on_delete == OnDelete::Drop {
            return Ok(Step::Drop(Why::Delete));
        }
        if let (Some(field), false) = (&self.route_by, imageless) {
            let Some(at) = row.route else {
                return Err(Failure::data(format!("{field} is not a valid field name")));
            };
            let kind = row.given.fields[at].schema.kind;
            if kind != Type::String {
                return Err(Failure::data(format!(
                    "Field '{field}' is not of type STRING but {}",
                    kind.name()
                )));
            }
            let Datum::Struct(columns) = &values[row.at] else { return Err(no_image()) };
            route(&mut record.topic, field, &columns[at])?;
        }
        if deletes {
            // A header that is no list matters only where a row loses fields.
            if self.on_delete != OnDelete::Rewrite
                && let Ok(Some(names)) = self.dropped_names(&record.headers)
            {
                self.drop_from_key(&names, &mut record.key)?;
            }
            match self.on_delete {
                OnDelete::Null => {
                    record.value = Value::new(row.given.clone(), Datum::Null);
                    return Ok(Step::Keep);
                }
                OnDelete::Tombstone => {
                    record.value = Value::NULL;
                    return Ok(Step::Keep);
                }
                OnDelete::Rewrite | OnDelete::Drop => {}
            }
        }
        let added: Vec<Datum<'a>> = plan.added.iter().map(|place| place.of(values)).collect();
        let mut image = std::mem::replace(&mut values[row.at], Datum::Null);
        if let (true, Datum::Struct(columns)) = (self.refuse_unavailable, &image) {
            let fields = &row.bare.fields;
            available(fields.iter().map(|field| &*field.name).zip(columns))?;
        }
        // Dropping columns changes the row's schema by record, so it is not part of the plan.
        let dropped = self.dropped_names(&record.headers)?;
        let bare = match &dropped {
            Some(names) => self.without(names, &row.bare, &mut image)?,
            None => row.bare.clone(),
        };
        let out = match &row.full {
            Some(full) if dropped.is_none() => full.clone(),
            _ => {
                let full = self.full_schema(schema, &bare)?;
                if dropped.is_none() {
                    row.full = Some(full.clone());
                }
                full
            }
        };
        if let Some(names) = &dropped {
            self.drop_from_key(names, &mut record.key)?;
        }
        let columns = struct_of(&mut image, "row")?;
        if self.on_delete == OnDelete::Rewrite {
            if self.replace_null {
                fill_defaults(columns, &bare);
            }
            columns.push(Datum::text(if deletes { "true" } else { "false" }));
        }
        columns.extend(added);
        record.value = Value::new(out, image);
        Ok(Step::Keep)
    }

    /// The names in the header that lists fields to drop: the first of that name.
    fn dropped_names(&self, headers: &[Header<'_>]) -> Result<Option<Vec<String>>, Failure> {
        let Some(name) = &self.drop_header else { return Ok(None) };
        match headers.iter().find(|header| header.name == *name).map(|header| &header.value.datum) {
            None | Some(Datum::Null) => Ok(None),
            Some(Datum::Array(items)) => {
                let names = items.iter().filter_map(|item| item.as_str().map(str::to_string));
                Ok(Some(names.collect()))
            }
            Some(other) => Err(Failure::data(format!(
                "header `{name}` is no list of fields to drop but {}",
                other.java_class()
            ))),
        }
    }

    /// The same for the key, where that is asked for; one that is no row keeps what it is.
    fn drop_from_key(&self, names: &[String], key: &mut Value<'_>) -> Result<(), Failure> {
        if let (true, Some(schema)) = (self.drop_from_key, &key.schema) {
            key.schema = Some(self.without(names, &schema.clone(), &mut key.datum)?);
        }
        Ok(())
    }

    /// Removes the named columns, only optional ones if the schema must stay compatible.
    fn without(
        &self,
        names: &[String],
        schema: &Schema,
        datum: &mut Datum<'_>,
    ) -> Result<Schema, Failure> {
        let Datum::Struct(values) = datum else { return Ok(schema.clone()) };
        let stays: Vec<bool> = schema
            .fields
            .iter()
            .map(|field| {
                let may_go = field.schema.optional || !self.drop_optional_only;
                !(may_go && names.iter().any(|name| **name == *field.name))
            })
            .collect();
        if self.drop_optional_only && stays.iter().all(|stays| *stays) {
            return Ok(schema.clone());
        }
        let mut def = SchemaDef::basics_of(schema, Type::Struct);
        let kept = schema.fields.iter().zip(&stays).filter(|(_, stays)| **stays);
        def.fields = kept.map(|(field, _)| field.clone()).collect();
        let mut stays = stays.iter();
        values.retain(|_| *stays.next().expect("one per field"));
        Ok(def.build())
    }
}

/// What Debezium writes for a large column that an update did not touch and PostgreSQL did not log.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same as `bytea` looks without schemas: its base64.
const UNAVAILABLE_BYTES: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";

/// Refuses a row with a column that the database did not send: written, the placeholder would
/// replace the value that is there.
fn available<'r, 'a: 'r>(
    columns: impl Iterator<Item = (&'r str, &'r Datum<'a>)>,
) -> Result<(), Failure> {
    let is_it = |datum: &Datum<'_>| match datum {
        Datum::String(text) => *text == UNAVAILABLE || *text == UNAVAILABLE_BYTES,
        Datum::Bytes(bytes) => **bytes == *UNAVAILABLE.as_bytes(),
        _ => false,
    };
    let missing = |column: &Datum<'_>| match column {
        Datum::Array(items) => matches!(&items[..], [item] if is_it(item)),
        // A column of PostgreSQL's `hstore`.
        Datum::Map(entries) => matches!(&entries[..], [(key, _)] if is_it(key)),
        other => is_it(other),
    };
    for (name, column) in columns {
        if missing(column) {
            return Err(Failure::data(format!(
                "column `{name}` is unchanged and PostgreSQL did not log its value; give the table \
                 REPLICA IDENTITY FULL, or write the placeholder with `starsink.unavailable=keep`"
            )));
        }
    }
    Ok(())
}

fn documents() -> Failure {
    Failure::data(
        "the event's rows are documents, JSON in text, as Debezium's MongoDB connector writes them; \
         this transform unwraps rows of columns, and ExtractNewDocumentState is not built",
    )
}

fn no_image() -> Failure {
    Failure::data(
        "the delete event has neither before nor after image, so there is no row to mark as \
         deleted; give the table a replica identity, or set delete.tombstone.handling.mode=tombstone",
    )
}

/// A string column names the topic; null or blank keeps it.
fn route(topic: &mut std::sync::Arc<str>, field: &str, column: &Datum<'_>) -> Result<(), Failure> {
    match column {
        Datum::Null => Ok(()),
        Datum::String(name) => {
            if !name.trim().is_empty() {
                *topic = (&**name).into();
            }
            Ok(())
        }
        other => Err(Failure::data(format!(
            "Field '{field}' is not of type STRING but {}",
            other.java_class()
        ))),
    }
}

impl Place {
    fn of<'a>(self, values: &[Datum<'a>]) -> Datum<'a> {
        match (self.inner, &values[self.at]) {
            (None, value) => value.clone(),
            (Some(inner), Datum::Struct(values)) => values[inner].clone(),
            (Some(_), _) => Datum::Null,
        }
    }
}

/// Finds a reference in an envelope's schema; `None`: a bare name that nothing has.
fn resolve(reference: &Reference, envelope: &Schema) -> Result<Option<(Schema, Place)>, Failure> {
    let optional = |schema: &Schema| {
        let mut def = schema.to_def();
        (def.optional, def.default) = (true, None);
        def.build()
    };
    if let Some(home) = reference.home() {
        match envelope.field_at(home) {
            Some(at) => {
                let inner = &envelope.fields[at].schema;
                if let Some(place) = inner.field_at(&reference.field) {
                    let schema = optional(&inner.fields[place].schema);
                    return Ok(Some((schema, Place { at, inner: Some(place) })));
                }
            }
            None if reference.parent.is_some() => return Err(reference.unknown_struct(home)),
            None => {}
        }
        if reference.parent.is_some() {
            return Ok(None);
        }
    }
    Ok(envelope
        .field_at(&reference.field)
        .map(|at| (optional(&envelope.fields[at].schema), Place { at, inner: None })))
}

/// As [`resolve`], in an envelope without schema.
fn resolve_untyped<'a>(
    reference: &Reference,
    envelope: &Datum<'a>,
) -> Result<Option<Datum<'a>>, Failure> {
    if let Some(home) = reference.home() {
        match envelope.member(home) {
            Some(Datum::Null) => return Ok(Some(Datum::Null)),
            Some(inner) => {
                if let Some(found) = inner.member(&reference.field) {
                    return Ok(Some(found.clone()));
                }
            }
            None if reference.parent.is_some() => return Err(reference.unknown_struct(home)),
            None => {}
        }
        if reference.parent.is_some() {
            return Ok(None);
        }
    }
    Ok(envelope.member(&reference.field).cloned())
}

impl Unwrap {
    /// The same for an envelope that is a map.
    fn untyped<'a>(&self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        for reference in &self.headers {
            if let Some(datum) = resolve_untyped(reference, &record.value.datum)? {
                let name = Cow::Owned(reference.name.clone());
                record.headers.push(Header { name, value: Value::schemaless(datum) });
            }
        }
        let mut added = Vec::new();
        for reference in &self.fields {
            let found = resolve_untyped(reference, &record.value.datum)?;
            added.extend(found.map(|datum| (reference.name.clone(), datum)));
        }
        let op = record.value.datum.member("op").and_then(Datum::as_str).unwrap_or_default();
        if op == "t" {
            return Ok(Step::Drop(Why::Truncate));
        }
        let is_delete = op == "d";
        let Datum::Map(entries) = &mut record.value.datum else { return Ok(Step::Keep) };
        let mut image = |name: &str| {
            let found = entries.iter_mut().find(|(key, _)| key.as_str() == Some(name));
            found.map_or(Datum::Null, |(_, value)| std::mem::replace(value, Datum::Null))
        };
        let (before, after) = (image("before"), image("after"));
        if [&before, &after].iter().any(|image| image.as_str().is_some()) {
            return Err(documents());
        }
        let deletes = after.is_null();
        if deletes && before.is_null() && !is_delete {
            return Ok(Step::Drop(Why::NoRow));
        }
        if deletes && self.on_delete == OnDelete::Drop {
            return Ok(Step::Drop(Why::Delete));
        }
        let row = if deletes { before } else { after };
        if let (Some(field), false) = (&self.route_by, row.is_null()) {
            let Some(column) = row.member(field) else {
                return Err(Failure::data(format!("{field} is not a valid field name")));
            };
            route(&mut record.topic, field, column)?;
        }
        if deletes && matches!(self.on_delete, OnDelete::Null | OnDelete::Tombstone) {
            record.value = Value::NULL;
            return Ok(Step::Keep);
        }
        let Datum::Map(mut row) = row else { return Err(no_image()) };
        if self.refuse_unavailable {
            available(row.iter().map(|(key, column)| (key.as_str().unwrap_or_default(), column)))?;
        }
        if let Some(names) = self.dropped_names(&record.headers)? {
            let named = |key: &Datum<'_>| names.iter().any(|name| key.as_str() == Some(name));
            row.retain(|(key, _)| !named(key));
            if self.drop_from_key
                && let Datum::Map(key) = &mut record.key.datum
            {
                key.retain(|(key, _)| !named(key));
            }
        }
        if self.on_delete == OnDelete::Rewrite {
            put_member(&mut row, DELETED, Datum::text(if deletes { "true" } else { "false" }));
        }
        for (name, datum) in added {
            put_member(&mut row, name, datum);
        }
        record.value = Value::schemaless(Datum::Map(row));
        Ok(Step::Keep)
    }
}

impl Transform for Unwrap {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        match shape(&record.value) {
            Shape::Other => Ok(Step::Keep),
            Shape::Typed => self.typed(record),
            Shape::Untyped => self.untyped(record),
            Shape::Tombstone => {
                // Of the headers asked for, a tombstone knows only what it is.
                if self.headers.iter().any(|header| header.parent.is_none() && header.field == "op")
                {
                    let name = Cow::Owned(format!("{}op", self.header_prefix));
                    let value = Value::new(Schema::of(Type::String), Datum::text("d"));
                    record.headers.push(Header { name, value });
                }
                if self.keep_tombstones { Ok(Step::Keep) } else { Ok(Step::Drop(Why::Tombstone)) }
            }
        }
    }

    fn routes(&self) -> bool {
        self.route_by.is_some()
    }

    fn reads(&self) -> Reads {
        Reads { key: self.drop_from_key, value: true, headers: self.drop_header.is_some() }
    }

    fn envelope_use(&self) -> EnvelopeUse {
        if self.fields.is_empty() && self.headers.is_empty() {
            EnvelopeUse::RowsOnly
        } else {
            EnvelopeUse::All
        }
    }
}
