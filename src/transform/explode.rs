//! Our own: one record becomes several.
//!
//! `starsink.transforms.Explode`: a row per element of an array. Options:
//! `field` (name or dotted path of the array; without it the value itself is the array),
//! `fields.keep` (parent columns that each row gets; without it all but the one the path begins
//! with), `prefix` (before the element's members),
//! `index.field` (column for the element's place, from 0), `when.empty` (`keep`: one row without
//! element, the default; `drop`).
//!
//! `starsink.transforms.CopyTo`: the record under further topics. Options: `topics` (list;
//! `${topic}` stands for the record's own), `keep` (true: the original goes on too).

use std::sync::Arc;

use super::{Reads, Step, Transform, Why};
use crate::data::options::Options;
use crate::data::{
    ConnectRecord, Datum, Failure, PlanCache, Schema, SchemaDef, Type, Value, put_member,
};

#[derive(Debug)]
pub struct Explode {
    /// Steps to the array; empty: the value itself.
    path: Vec<String>,
    /// `None`: every column but the one the path begins with.
    keep: Option<Vec<String>>,
    prefix: String,
    index: Option<String>,
    drop_empty: bool,
    plans: PlanCache<Plan>,
}

/// For one schema of the value.
#[derive(Debug)]
struct Plan {
    out: Schema,
    /// Parent columns by place.
    kept: Vec<usize>,
    /// Places that lead to the array.
    path: Vec<usize>,
    /// Fields of an element that is a struct; `None`: the element itself is the column.
    element_fields: Option<usize>,
}

impl Explode {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let field = options.string("field").unwrap_or_default();
        let path = match field {
            "" => vec![],
            field => field.split('.').map(str::to_string).collect(),
        };
        let keep = options.raw("fields.keep").map(|_| options.list("fields.keep"));
        Ok(Explode {
            path,
            keep,
            prefix: options.string("prefix").unwrap_or_default().to_string(),
            index: options.string("index.field").map(str::to_string),
            drop_empty: options.choice("when.empty", &[("keep", false), ("drop", true)], false)?,
            plans: PlanCache::default(),
        })
    }

    fn keeps(&self, name: &str) -> bool {
        match &self.keep {
            Some(keep) => keep.iter().any(|kept| kept == name),
            None => self.path.first().is_none_or(|first| first != name),
        }
    }

    /// Name of the column for an element that is no struct.
    fn element_name(&self) -> String {
        let last = self.path.last().map_or("value", String::as_str);
        format!("{}{last}", self.prefix)
    }

    fn plan(&self, schema: &Schema) -> Result<Plan, Failure> {
        let mut array = schema.clone();
        let mut path = Vec::new();
        for step in &self.path {
            let at = array.field_at(step).ok_or_else(|| {
                Failure::data(format!("there is no field `{}` to explode", self.path.join(".")))
            })?;
            path.push(at);
            let next = array.fields[at].schema.clone();
            array = next;
        }
        let (Type::Array, Some(element)) = (array.kind, &array.items) else {
            let name = self.path.join(".");
            return Err(Failure::data(format!(
                "field `{name}` is a {}, not an array with a schema for its elements",
                array.kind.name()
            )));
        };
        let mut def = SchemaDef::basics_of(schema, Type::Struct);
        let mut kept = Vec::new();
        if !self.path.is_empty() {
            for (at, field) in schema.fields.iter().enumerate() {
                if self.keeps(&field.name) {
                    kept.push(at);
                    def.add_field(field.name.clone(), field.schema.clone())?;
                }
            }
        }
        let optional = |schema: &Schema| {
            let mut def = schema.to_def();
            def.optional = true;
            def.build()
        };
        let element_fields = (element.kind == Type::Struct).then_some(element.fields.len());
        if element_fields.is_some() {
            for field in &element.fields {
                let name = format!("{}{}", self.prefix, field.name);
                def.add_field(name, optional(&field.schema))?;
            }
        } else {
            def.add_field(self.element_name(), optional(element))?;
        }
        if let Some(index) = &self.index {
            def.add_field(index.as_str(), Schema::optional_of(Type::Int32))?;
        }
        Ok(Plan { out: def.build(), kept, path, element_fields })
    }

    fn typed<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let schema = record.value.schema.clone().expect("typed values have a schema");
        let mut plans = std::mem::take(&mut self.plans);
        let done = plans
            .get(&schema, |schema| self.plan(schema))
            .and_then(|plan| self.rows_typed(record, plan));
        self.plans = plans;
        done
    }

    fn rows_typed<'a>(
        &self,
        record: &mut ConnectRecord<'a>,
        plan: &Plan,
    ) -> Result<Step<'a>, Failure> {
        let mut array = &mut record.value.datum;
        for &at in &plan.path {
            match array {
                Datum::Struct(values) => array = &mut values[at],
                _ => break,
            }
        }
        let elements = match std::mem::replace(array, Datum::Null) {
            Datum::Array(elements) => elements,
            _ => Vec::new(),
        };
        let parent: Vec<Datum<'a>> = match &record.value.datum {
            Datum::Struct(values) => plan.kept.iter().map(|&at| values[at].clone()).collect(),
            _ => Vec::new(),
        };
        let row = |element: Datum<'a>, index: Option<i32>| {
            let mut values = parent.clone();
            match (plan.element_fields, element) {
                (Some(_), Datum::Struct(inner)) => values.extend(inner),
                (Some(count), _) => values.extend(std::iter::repeat_n(Datum::Null, count)),
                (None, element) => values.push(element),
            }
            if self.index.is_some() {
                values.push(index.map_or(Datum::Null, Datum::Int32));
            }
            Value::new(plan.out.clone(), Datum::Struct(values))
        };
        Ok(self.split(record, elements, row))
    }

    fn untyped<'a>(&self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let mut array = &mut record.value.datum;
        for step in &self.path {
            let Datum::Map(entries) = array else { break };
            let at = entries.iter().position(|(key, _)| key.as_str() == Some(step));
            let at = at.unwrap_or_else(|| {
                entries.push((Datum::text(step.clone()), Datum::Null));
                entries.len() - 1
            });
            array = &mut entries[at].1;
        }
        let elements = match std::mem::replace(array, Datum::Null) {
            Datum::Array(elements) => elements,
            Datum::Null => Vec::new(),
            // Already a single object: its own only element.
            other if self.path.is_empty() => vec![other],
            other => {
                return Err(Failure::data(format!(
                    "field `{}` is a {}, not an array",
                    self.path.join("."),
                    other.java_class()
                )));
            }
        };
        let parent: Vec<(Datum<'a>, Datum<'a>)> = match &record.value.datum {
            Datum::Map(entries) if !self.path.is_empty() => {
                let keeps = |key: &Datum<'a>| key.as_str().is_some_and(|name| self.keeps(name));
                entries.iter().filter(|(key, _)| keeps(key)).cloned().collect()
            }
            _ => Vec::new(),
        };
        let row = |element: Datum<'a>, index: Option<i32>| {
            let mut out = parent.clone();
            match element {
                Datum::Map(members) => {
                    for (key, value) in members {
                        let name = format!("{}{}", self.prefix, key.as_str().unwrap_or_default());
                        put_member(&mut out, name, value);
                    }
                }
                Datum::Null if index.is_none() => {}
                element => put_member(&mut out, self.element_name(), element),
            }
            if let Some(name) = &self.index {
                put_member(&mut out, name.clone(), index.map_or(Datum::Null, Datum::Int32));
            }
            Value::schemaless(Datum::Map(out))
        };
        Ok(self.split(record, elements, row))
    }

    fn split<'a>(
        &self,
        record: &ConnectRecord<'a>,
        elements: Vec<Datum<'a>>,
        row: impl Fn(Datum<'a>, Option<i32>) -> Value<'a>,
    ) -> Step<'a> {
        let with = |value: Value<'a>| ConnectRecord {
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.clone(),
            value,
            headers: record.headers.clone(),
        };
        if elements.is_empty() {
            // An empty array that is the whole value has no parent to keep a row for.
            if self.drop_empty || self.path.is_empty() {
                return Step::Drop(Why::NoElements);
            }
            return Step::Split(vec![with(row(Datum::Null, None))]);
        }
        let indexed = elements.into_iter().zip(0..);
        Step::Split(indexed.map(|(element, at)| with(row(element, Some(at)))).collect())
    }
}

impl Transform for Explode {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        match (&record.value.schema, &record.value.datum) {
            (_, Datum::Null) => Ok(Step::Keep),
            (Some(_), _) => self.typed(record),
            (None, _) => self.untyped(record),
        }
    }
}

#[derive(Debug)]
pub struct CopyTo {
    topics: Vec<String>,
    keep: bool,
}

impl CopyTo {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let keep = options.boolean("keep", true)?;
        Ok(CopyTo { topics: options.required_list("topics")?, keep })
    }
}

impl Transform for CopyTo {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let mut out = Vec::with_capacity(self.topics.len() + 1);
        if self.keep {
            out.push(record.clone());
        }
        for topic in &self.topics {
            let topic: Arc<str> = topic.replace("${topic}", &record.topic).into();
            out.push(ConnectRecord { topic, ..record.clone() });
        }
        Ok(Step::Split(out))
    }

    fn routes(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}
