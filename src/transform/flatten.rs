//! Flatten: nested structs or maps become one level, names joined by a delimiter.

use super::side::{Entries, map_of, struct_of};
use super::{Side, Step, Transform};
use crate::data::options::Options;
use crate::data::{
    ConnectRecord, Datum, Failure, PlanCache, Schema, SchemaDef, Type, Value, put_member,
};

#[derive(Debug)]
pub struct Flatten {
    side: Side,
    delimiter: String,
    plans: PlanCache<Schema>,
}

impl Flatten {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let delimiter = options.string("delimiter").unwrap_or(".").to_string();
        Ok(Flatten { side, delimiter, plans: PlanCache::default() })
    }
}

impl Transform for Flatten {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        const PURPOSE: &str = "flattening";
        let value = self.side.of(record);
        if value.datum.is_null() {
            return Ok(Step::Keep);
        }
        let delimiter = &self.delimiter;
        let Some(schema) = value.schema.clone() else {
            let entries = std::mem::take(map_of(&mut value.datum, PURPOSE)?);
            let mut out = Vec::with_capacity(entries.len());
            flatten_map(entries, "", delimiter, &mut out)?;
            value.datum = Datum::Map(out);
            return Ok(Step::Keep);
        };
        let values = std::mem::take(struct_of(&mut value.datum, PURPOSE)?);
        let out = self.plans.get(&schema, |schema| {
            let mut def = SchemaDef::basics_of(schema, Type::Struct);
            let default = schema.default.as_ref();
            flatten_schema(schema, "", delimiter, schema.optional, default, &mut def)?;
            Ok(def.build())
        })?;
        let mut flat = Vec::with_capacity(out.fields.len());
        flatten_struct(Some(values), &schema, &mut flat);
        *value = Value::new(out.clone(), Datum::Struct(flat));
        Ok(Step::Keep)
    }
}

fn joined(prefix: &str, delimiter: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}{delimiter}{name}") }
}

fn flatten_map<'a>(
    entries: Entries<'a>,
    prefix: &str,
    delimiter: &str,
    out: &mut Entries<'a>,
) -> Result<(), Failure> {
    for (key, value) in entries {
        let name = joined(prefix, delimiter, key.as_str().unwrap_or_default());
        match value {
            Datum::Map(inner) => flatten_map(inner, &name, delimiter, out)?,
            Datum::Instant(_) | Datum::Struct(_) => {
                return Err(Failure::data(format!(
                    "Flatten transformation was passed a value of type class {} which is not \
                     supported by Connect's data API",
                    value.java_class()
                )));
            }
            value => put_member(out, name, value),
        }
    }
    Ok(())
}

/// A leaf is optional if anything above it is; its default is its own or its ancestor's.
fn flatten_schema(
    schema: &Schema,
    prefix: &str,
    delimiter: &str,
    optional: bool,
    default: Option<&Datum<'static>>,
    out: &mut SchemaDef,
) -> Result<(), Failure> {
    for (at, field) in schema.fields.iter().enumerate() {
        let name = joined(prefix, delimiter, &field.name);
        let optional = optional || field.schema.optional;
        let inherited = match default {
            Some(Datum::Struct(values)) => Some(&values[at]).filter(|value| !value.is_null()),
            _ => None,
        };
        let default = field.schema.default.as_ref().or(inherited);
        match field.schema.kind {
            Type::Struct => {
                flatten_schema(&field.schema, &name, delimiter, optional, default, out)?;
            }
            Type::Map => {
                return Err(Failure::data(format!(
                    "Flatten transformation does not support MAP for record with schemas (for \
                     field {name})."
                )));
            }
            _ => {
                let mut def = field.schema.to_def();
                def.optional = optional;
                def.default = default.cloned();
                out.add_field(name, def.build())?;
            }
        }
    }
    Ok(())
}

/// Appends the leaves; those of a null struct are null. Nulls with a default take it, as in Connect.
fn flatten_struct<'a>(values: Option<Vec<Datum<'a>>>, schema: &Schema, out: &mut Vec<Datum<'a>>) {
    let mut values = values.map(Vec::into_iter);
    for field in &schema.fields {
        let value = values.as_mut().map(|values| values.next().unwrap_or(Datum::Null));
        let value = match value {
            Some(Datum::Null) => field.schema.default.clone().map(|default| default as Datum<'a>),
            other => other,
        };
        match (field.schema.kind, value) {
            (Type::Struct, Some(Datum::Struct(inner))) => {
                flatten_struct(Some(inner), &field.schema, out);
            }
            (Type::Struct, _) => flatten_struct(None, &field.schema, out),
            (_, value) => out.push(value.unwrap_or(Datum::Null)),
        }
    }
}
