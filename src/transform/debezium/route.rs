//! ByLogicalTableRouter and its successor ToLogicalTopicRouter: shards merged into one topic, with
//! the shard's name in the key.

use std::sync::Arc;

use super::{Shape, shape};
use crate::data::options::Options;
use crate::data::{ConnectRecord, Datum, Failure, PlanCache, Schema, Type};
use crate::java_regex::JavaRegex;
use crate::transform::side::struct_of;
use crate::transform::{Reads, Step, Transform};

/// How schema names are made from topics (`schema.name.adjustment.mode`).
#[derive(Debug, Clone, Copy)]
enum Naming {
    AsIs,
    Avro,
    AvroUnicode,
}

#[derive(Debug)]
pub struct TableRouter {
    regex: JavaRegex,
    replacement: String,
    /// Name of the key field that keeps keys of different shards apart.
    key_field: Option<String>,
    key_value: Option<(JavaRegex, String)>,
    naming: Naming,
    /// Schemas renamed for the topic they were last renamed for.
    keys: PlanCache<(Arc<str>, Schema)>,
    values: PlanCache<(Arc<str>, Schema)>,
}

impl TableRouter {
    pub fn build_table(options: &Options) -> Result<Self, Failure> {
        TableRouter::build(options, "__dbz__physicalTableIdentifier")
    }

    pub fn build_topic(options: &Options) -> Result<Self, Failure> {
        TableRouter::build(options, "__dbz__sourceIdentifier")
    }

    fn build(options: &Options, default_field: &str) -> Result<Self, Failure> {
        let regex = |key: &str, pattern: &str| {
            JavaRegex::compile(pattern).map_err(|f| Failure::option(key, pattern, &f.message))
        };
        let present = |key: &str| options.raw(key).filter(|text| !text.is_empty());
        let needed = |key: &str| {
            present(key).ok_or_else(|| Failure::config(format!("The '{key}' option is required")))
        };
        let key_value = match present("key.field.regex") {
            None => None,
            Some(pattern) => {
                let replacement = needed("key.field.replacement")?.to_string();
                Some((regex("key.field.regex", pattern)?, replacement))
            }
        };
        let field = present("key.field.name").unwrap_or(default_field).to_string();
        let namings =
            [("none", Naming::AsIs), ("avro", Naming::Avro), ("avro_unicode", Naming::AvroUnicode)];
        Ok(TableRouter {
            regex: regex("topic.regex", needed("topic.regex")?)?,
            replacement: needed("topic.replacement")?.to_string(),
            key_field: options.boolean("key.enforce.uniqueness", true)?.then_some(field),
            key_value,
            naming: options.choice("schema.name.adjustment.mode", &namings, Naming::AsIs)?,
            keys: PlanCache::default(),
            values: PlanCache::default(),
        })
    }

    fn schema_name(&self, topic: &str, suffix: &str) -> Arc<str> {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let name: String = match self.naming {
            Naming::AsIs => topic.to_string(),
            Naming::Avro => topic.chars().map(|c| if valid(c) { c } else { '_' }).collect(),
            Naming::AvroUnicode => topic
                .chars()
                .map(|c| if valid(c) { c.to_string() } else { format!("_u{:04x}", c as u32) })
                .collect(),
        };
        format!("{name}.{suffix}").into()
    }

    fn identifier(&self, topic: &str) -> Result<String, Failure> {
        match &self.key_value {
            Some((regex, replacement)) if regex.is_full_match(topic) => {
                regex.replace_first(topic, replacement)
            }
            _ => Ok(topic.to_string()),
        }
    }

    fn key(&mut self, record: &mut ConnectRecord<'_>, topic: &Arc<str>) -> Result<(), Failure> {
        if record.key.datum.is_null() {
            record.key.schema = None;
            return Ok(());
        }
        let identifier = self.identifier(&record.topic)?;
        let values = struct_of(&mut record.key.datum, "updating schema")?;
        let Some(schema) = &record.key.schema else {
            return Err(Failure::data("Schema required for [updating schema]"));
        };
        let name = self.schema_name(topic, "Key");
        let field = &self.key_field;
        let renamed = |schema: &Schema| {
            let mut def = schema.to_def();
            def.name = Some(name);
            if let Some(field) = field {
                def.add_field(field.as_str(), Schema::of(Type::String))?;
            }
            Ok((topic.clone(), def.build()))
        };
        let plan = renamed_for(&mut self.keys, schema, topic, renamed)?;
        if self.key_field.is_some() {
            values.push(Datum::text(identifier));
        }
        record.key.schema = Some(plan);
        Ok(())
    }

    /// Renames the envelope's schema and those of its rows.
    fn value(&mut self, record: &mut ConnectRecord<'_>, topic: &Arc<str>) -> Result<(), Failure> {
        let (Shape::Typed, Some(schema)) = (shape(&record.value), &record.value.schema) else {
            return Ok(());
        };
        let (row_name, name) =
            (self.schema_name(topic, "Value"), self.schema_name(topic, "Envelope"));
        let renamed = |schema: &Schema| {
            let mut def = schema.to_def();
            def.name = Some(name);
            for field in &mut def.fields {
                if matches!(&*field.name, "before" | "after") && field.schema.kind == Type::Struct {
                    let mut row = field.schema.to_def();
                    row.name = Some(row_name.clone());
                    field.schema = row.build();
                }
            }
            Ok((topic.clone(), def.build()))
        };
        let schema = renamed_for(&mut self.values, schema, topic, renamed)?;
        record.value.schema = Some(schema);
        Ok(())
    }
}

/// The schema renamed for `topic`; renamed anew when another topic was the last.
fn renamed_for(
    cache: &mut PlanCache<(Arc<str>, Schema)>,
    schema: &Schema,
    topic: &Arc<str>,
    rename: impl FnOnce(&Schema) -> Result<(Arc<str>, Schema), Failure>,
) -> Result<Schema, Failure> {
    let mut rename = Some(rename);
    let plan = cache.get(schema, |schema| (rename.take().expect("asked once"))(schema))?;
    if plan.0 != *topic
        && let Some(rename) = rename
    {
        *plan = rename(schema)?;
    }
    Ok(plan.1.clone())
}

impl Transform for TableRouter {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        if !self.regex.is_full_match(&record.topic) {
            return Ok(Step::Keep);
        }
        let topic = self.regex.replace_first(&record.topic, &self.replacement)?;
        if topic.is_empty() {
            return Ok(Step::Keep);
        }
        let topic: Arc<str> = topic.into();
        self.key(record, &topic)?;
        self.value(record, &topic)?;
        record.topic = topic;
        Ok(Step::Keep)
    }

    fn routes(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        Reads { key: true, ..Reads::VALUE }
    }
}
