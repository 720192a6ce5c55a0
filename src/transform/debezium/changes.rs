//! ExtractChangedRecordState: which columns an update changed, as headers.

use std::borrow::Cow;

use super::{Shape, shape};
use crate::data::options::Options;
use crate::data::{ConnectRecord, Datum, Failure, Header, Schema, SchemaDef, Type, Value};
use crate::transform::{Step, Transform};

#[derive(Debug)]
pub struct ChangedFields {
    changed: Option<String>,
    unchanged: Option<String>,
}

impl ChangedFields {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let name = |key: &str| options.string(key).filter(|name| !name.is_empty()).map(Into::into);
        Ok(ChangedFields {
            changed: name("header.changed.name"),
            unchanged: name("header.unchanged.name"),
        })
    }
}

/// An optional array of names.
fn list_schema(name: &str) -> Schema {
    let mut def = SchemaDef::new(Type::Array).optional();
    def.items = Some(Schema::optional_of(Type::String));
    def.name = Some(name.into());
    def.build()
}

/// Names of the columns, with whether they changed. An insert or delete changes nothing.
fn compare(value: &Value<'_>) -> Vec<(String, bool)> {
    match (&value.schema, &value.datum) {
        (Some(schema), Datum::Struct(values)) => {
            let image = |name: &str| {
                let at = schema.field_at(name)?;
                match &values[at] {
                    Datum::Struct(columns) => Some((&schema.fields[at].schema, columns)),
                    _ => None,
                }
            };
            let (Some((_, before)), Some((row, after))) = (image("before"), image("after")) else {
                return Vec::new();
            };
            let names = row.fields.iter().map(|field| field.name.to_string());
            names
                .zip(before.iter().zip(after))
                .map(|(name, (old, new))| (name, old != new))
                .collect()
        }
        (_, datum) => {
            let image = |name: &str| match datum.member(name) {
                Some(Datum::Map(columns)) => Some(columns),
                _ => None,
            };
            let (Some(_), Some(after)) = (image("before"), image("after")) else {
                return Vec::new();
            };
            let before = datum.member("before");
            let old = |name: &str| before.and_then(|row| row.member(name));
            let columns = after.iter().filter_map(|(key, new)| Some((key.as_str()?, new)));
            columns.map(|(name, new)| (name.to_string(), old(name) != Some(new))).collect()
        }
    }
}

impl Transform for ChangedFields {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        match shape(&record.value) {
            Shape::Other | Shape::Tombstone => return Ok(Step::Keep),
            Shape::Typed | Shape::Untyped => {}
        }
        let columns = compare(&record.value);
        let headers = [(&self.changed, true, "changed"), (&self.unchanged, false, "unchanged")];
        for (header, wanted, schema) in headers {
            let Some(header) = header else { continue };
            let of_kind = columns.iter().filter(|(_, changed)| *changed == wanted);
            let names = of_kind.map(|(name, _)| Datum::text(name.clone())).collect();
            record.headers.push(Header {
                name: Cow::Owned(header.clone()),
                value: Value::new(list_schema(schema), Datum::Array(names)),
            });
        }
        Ok(Step::Keep)
    }
}
