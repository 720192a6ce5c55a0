//! What Kafka knows of a record as fields of its row: Connect's InsertField, and our Metadata for
//! what Connect has no transform for (the key and the headers).

use std::borrow::Cow;

use super::side::{fill_defaults, map_of, struct_of};
use super::{Reads, Side, Step, Transform};
use crate::data::options::Options;
use crate::data::schema::TIMESTAMP;
use crate::data::{
    ConnectRecord, Datum, Failure, PlanCache, Schema, SchemaDef, Type, Value, json_text, put_member,
};

/// Where a new field's value comes from.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    Topic,
    Partition,
    Offset,
    Timestamp,
    /// The timestamp as a time, also where no schema says that the number is one.
    Instant,
    Static(String),
    /// The key, whole.
    Key,
    /// All headers: a map from name to value; of equal names the last.
    Headers,
    /// The last header of that name.
    Header(String),
}

#[derive(Debug, Clone)]
struct NewField {
    name: String,
    optional: bool,
    source: Source,
}

impl NewField {
    /// A name with Connect's suffix: `?` optional, `!` required.
    fn new(name: &str, source: Source) -> Self {
        let (name, optional) = match name.strip_suffix('!') {
            Some(name) => (name, false),
            None => (name.strip_suffix('?').unwrap_or(name), true),
        };
        NewField { name: name.to_string(), optional, source }
    }

    /// The field's schema where the value has one. Key and headers bring their own.
    fn schema(&self, record: &ConnectRecord<'_>) -> Schema {
        let mut def = match &self.source {
            Source::Topic | Source::Static(_) => SchemaDef::new(Type::String),
            Source::Partition => SchemaDef::new(Type::Int32),
            Source::Offset => SchemaDef::new(Type::Int64),
            Source::Timestamp | Source::Instant => SchemaDef::new(Type::Int64).named(TIMESTAMP, 1),
            Source::Key => record.key.schema.as_ref().map_or_else(text, Schema::to_def),
            Source::Header(_) => text(),
            Source::Headers => {
                let mut def = SchemaDef::new(Type::Map);
                def.keys = Some(Schema::of(Type::String));
                def.items = Some(Schema::optional_of(Type::String));
                def
            }
        };
        def.optional = self.optional;
        def.build()
    }

    fn value<'a>(&self, record: &ConnectRecord<'a>, schema: Option<&Schema>) -> Datum<'a> {
        match &self.source {
            Source::Topic => Datum::text(record.topic.to_string()),
            Source::Partition => Datum::Int32(record.partition as i32),
            Source::Offset => Datum::Int64(record.offset.0 as i64),
            Source::Instant if schema.is_none() => {
                record.timestamp.map_or(Datum::Null, Datum::Instant)
            }
            Source::Timestamp | Source::Instant => {
                record.timestamp.map_or(Datum::Null, Datum::Int64)
            }
            Source::Static(text) => Datum::text(text.clone()),
            Source::Key if schema.is_none() || record.key.schema.is_some() => {
                record.key.datum.clone()
            }
            Source::Key => as_text(&record.key),
            Source::Header(name) => {
                let found = record.headers.iter().rev().find(|header| header.name == *name);
                found.map_or(Datum::Null, |header| as_text(&header.value))
            }
            Source::Headers => {
                let mut entries = Vec::with_capacity(record.headers.len());
                for header in &record.headers {
                    put_member(&mut entries, header.name.clone(), as_text(&header.value));
                }
                Datum::Map(entries)
            }
        }
    }
}

fn text() -> SchemaDef {
    SchemaDef::new(Type::String)
}

/// A header or schemaless key as text: plain for plain values, JSON for nested ones.
fn as_text<'a>(value: &Value<'a>) -> Datum<'a> {
    match &value.datum {
        Datum::Null => Datum::Null,
        Datum::String(text) => Datum::String(text.clone()),
        datum @ (Datum::Array(_) | Datum::Map(_) | Datum::Struct(_)) => {
            let mut out = Vec::new();
            // Text has a form for every value a converter makes.
            match json_text::write(&mut out, value.schema.as_ref(), datum, json_text::Times::Text) {
                Ok(()) => Datum::String(Cow::Owned(String::from_utf8_lossy(&out).into_owned())),
                Err(_) => Datum::Null,
            }
        }
        datum => super::cast::cast(value.schema.as_ref(), datum.clone(), Type::String)
            .unwrap_or(Datum::Null),
    }
}

/// Adds fields to one side; Connect's rules for names that exist.
#[derive(Debug)]
struct Inserter {
    side: Side,
    fields: Vec<NewField>,
    replace_null: bool,
    plans: PlanCache<Schema>,
}

impl Inserter {
    fn insert(&mut self, record: &mut ConnectRecord<'_>) -> Result<(), Failure> {
        const PURPOSE: &str = "field insertion";
        let fields = &self.fields;
        let Some(schema) = self.side.of(record).schema.clone() else {
            if self.side.of(record).datum.is_null() {
                return Ok(());
            }
            map_of(&mut self.side.of(record).datum, PURPOSE)?;
            for field in fields {
                let value = field.value(record, None);
                // Without a schema a missing time leaves no field.
                let is_time = matches!(field.source, Source::Timestamp | Source::Instant);
                if is_time && value.is_null() {
                    continue;
                }
                let entries = map_of(&mut self.side.of(record).datum, PURPOSE)?;
                put_member(entries, field.name.clone(), value);
            }
            return Ok(());
        };
        if self.side.of(record).datum.is_null() {
            return Ok(());
        }
        let out = self.plans.get(&schema, |schema| {
            let mut def = SchemaDef::basics_of(schema, Type::Struct);
            def.fields = schema.fields.clone();
            for field in fields {
                def.add_field(field.name.as_str(), field.schema(record))?;
            }
            Ok(def.build())
        })?;
        let added: Vec<_> = fields
            .iter()
            .zip(&out.fields[schema.fields.len()..])
            .map(|(field, out)| field.value(record, Some(&out.schema)))
            .collect();
        let value = self.side.of(record);
        let values = struct_of(&mut value.datum, PURPOSE)?;
        if self.replace_null {
            fill_defaults(values, &schema);
        }
        values.extend(added);
        value.schema = Some(out.clone());
        Ok(())
    }
}

/// Connect's InsertField.
#[derive(Debug)]
pub struct InsertField(Inserter);

impl InsertField {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let mut fields = Vec::new();
        for (key, source) in [
            ("topic.field", Source::Topic),
            ("partition.field", Source::Partition),
            ("offset.field", Source::Offset),
            ("timestamp.field", Source::Timestamp),
        ] {
            fields.extend(options.string(key).map(|name| NewField::new(name, source)));
        }
        if let Some(name) = options.string("static.field") {
            let Some(value) = options.string("static.value") else {
                let why = format!("No value specified for static field: {name}");
                return Err(Failure::option("static.value", "null", &why));
            };
            fields.push(NewField::new(name, Source::Static(value.to_string())));
        }
        if fields.is_empty() {
            return Err(Failure::config("No field insertion configured"));
        }
        let replace_null = options.boolean("replace.null.with.default", true)?;
        Ok(InsertField(Inserter { side, fields, replace_null, plans: PlanCache::default() }))
    }
}

impl Transform for InsertField {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        self.0.insert(record)?;
        Ok(Step::Keep)
    }
}

/// `starsink.transforms.Metadata`: topic, partition, offset, timestamp, key and headers as fields of
/// the value. Options: `topic.field`, `partition.field`, `offset.field`, `timestamp.field`,
/// `key.field`, `headers.field`, and `header.<name>.field` for single ones. Nulls stay nulls.
#[derive(Debug)]
pub struct Metadata {
    inserter: Inserter,
    /// Plans hold the key's schema too, so they are made anew when it changes.
    key_schema: Option<Schema>,
    takes_key: bool,
}

impl Metadata {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let mut fields = Vec::new();
        for (key, source) in [
            ("topic.field", Source::Topic),
            ("partition.field", Source::Partition),
            ("offset.field", Source::Offset),
            ("timestamp.field", Source::Instant),
            ("key.field", Source::Key),
            ("headers.field", Source::Headers),
        ] {
            fields.extend(options.string(key).map(|name| NewField::new(name, source)));
        }
        for (key, _) in options.iter() {
            let header = key.strip_prefix("header.").and_then(|key| key.strip_suffix(".field"));
            let Some(header) = header else { continue };
            let source = Source::Header(header.to_string());
            fields.extend(options.string(key).map(|name| NewField::new(name, source)));
        }
        if fields.is_empty() {
            return Err(Failure::config(
                "no field is named: set `topic.field`, `partition.field`, `offset.field`, \
                 `timestamp.field`, `key.field`, `headers.field` or `header.<name>.field`",
            ));
        }
        let takes_key = fields.iter().any(|field| field.source == Source::Key);
        let inserter = Inserter {
            side: Side::Value,
            fields,
            replace_null: false,
            plans: PlanCache::default(),
        };
        Ok(Metadata { inserter, key_schema: None, takes_key })
    }
}

impl Transform for Metadata {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let same = match (&self.key_schema, &record.key.schema) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is_same(b),
            _ => false,
        };
        if self.takes_key && !same {
            self.inserter.plans = PlanCache::default();
            self.key_schema = record.key.schema.clone();
        }
        self.inserter.insert(record)?;
        Ok(Step::Keep)
    }

    fn reads(&self) -> Reads {
        let headers =
            |field: &NewField| matches!(field.source, Source::Headers | Source::Header(_));
        Reads {
            key: self.takes_key,
            value: true,
            headers: self.inserter.fields.iter().any(headers),
        }
    }
}
