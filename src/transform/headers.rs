//! Transforms of headers: drop, insert, take from a field.

use std::borrow::Cow;

use super::side::{fill_default, fill_defaults, map_of, struct_of};
use super::{Reads, Side, Step, Transform};
use crate::data::options::Options;
use crate::data::{
    ConnectRecord, Datum, Failure, Header, PlanCache, Schema, SchemaDef, Type, Value, literal,
};

/// Removes every header of the given names.
#[derive(Debug)]
pub struct DropHeaders {
    names: Vec<String>,
}

impl DropHeaders {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        Ok(DropHeaders { names: options.required_list("headers")? })
    }
}

impl Transform for DropHeaders {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        record.headers.retain(|header| !self.names.iter().any(|name| *name == header.name));
        Ok(Step::Keep)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// Appends a header with a literal that tells its own type.
#[derive(Debug)]
pub struct InsertHeader {
    name: String,
    value: Value<'static>,
}

impl InsertHeader {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let name = options.required_text("header")?.to_string();
        Ok(InsertHeader { name, value: literal::parse(options.required("value.literal")?) })
    }
}

impl Transform for InsertHeader {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let name = Cow::Owned(self.name.clone());
        record.headers.push(Header { name, value: self.value.clone() });
        Ok(Step::Keep)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }
}

/// Copies or moves fields into headers.
#[derive(Debug)]
pub struct HeaderFrom {
    side: Side,
    /// (field, header)
    pairs: Vec<(String, String)>,
    moves: bool,
    replace_null: bool,
    plans: PlanCache<HeaderPlan>,
}

#[derive(Debug)]
struct HeaderPlan {
    /// Where each pair's field stands.
    places: Vec<usize>,
    out: Schema,
    /// Whether each field stays.
    stays: Vec<bool>,
}

impl HeaderFrom {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let fields = options.required_list("fields")?;
        let headers = options.required_list("headers")?;
        if fields.len() != headers.len() {
            return Err(Failure::config(
                "'fields' config must have the same number of elements as 'headers' config.",
            ));
        }
        options.required("operation")?;
        Ok(HeaderFrom {
            side,
            pairs: fields.into_iter().zip(headers).collect(),
            moves: options.choice("operation", &[("move", true), ("copy", false)], false)?,
            replace_null: options.boolean("replace.null.with.default", true)?,
            plans: PlanCache::default(),
        })
    }

    fn purpose(&self) -> &'static str {
        if self.moves { "header move" } else { "header copy" }
    }
}

fn header_plan(
    pairs: &[(String, String)],
    moves: bool,
    schema: &Schema,
) -> Result<HeaderPlan, Failure> {
    let place = |(field, _): &(String, String)| {
        schema.field_at(field).ok_or_else(|| Failure::data(format!("Unknown field: {field}")))
    };
    let places = pairs.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let stays: Vec<bool> =
        (0..schema.fields.len()).map(|at| !(moves && places.contains(&at))).collect();
    let out = if moves {
        let mut def = SchemaDef::basics_of(schema, Type::Struct);
        let kept = schema.fields.iter().zip(&stays).filter(|(_, stays)| **stays);
        def.fields = kept.map(|(field, _)| field.clone()).collect();
        def.build()
    } else {
        schema.clone()
    };
    Ok(HeaderPlan { places, out, stays })
}

impl Transform for HeaderFrom {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let purpose = self.purpose();
        let mut headers = Vec::with_capacity(self.pairs.len());
        let value = self.side.of(record);
        match value.schema.clone() {
            None => {
                let entries = map_of(&mut value.datum, purpose)?;
                for (field, name) in &self.pairs {
                    let found = entries.iter().find(|(key, _)| key.as_str() == Some(field));
                    let datum = found.map_or(Datum::Null, |(_, datum)| datum.clone());
                    headers.push((name, Value::schemaless(datum)));
                }
                if self.moves {
                    entries.retain(|(key, _)| {
                        !self.pairs.iter().any(|(field, _)| key.as_str() == Some(field))
                    });
                }
            }
            Some(schema) => {
                let values = struct_of(&mut value.datum, purpose)?;
                let (pairs, moves) = (&self.pairs, self.moves);
                let plan = self.plans.get(&schema, |schema| header_plan(pairs, moves, schema))?;
                for ((_, name), &at) in self.pairs.iter().zip(&plan.places) {
                    let (mut datum, field) = (values[at].clone(), &schema.fields[at].schema);
                    if self.replace_null {
                        fill_default(&mut datum, field);
                    }
                    headers.push((name, Value::new(field.clone(), datum)));
                }
                if self.moves {
                    if self.replace_null {
                        fill_defaults(values, &schema);
                    }
                    let mut stays = plan.stays.iter();
                    values.retain(|_| *stays.next().expect("one per field"));
                    value.schema = Some(plan.out.clone());
                }
            }
        }
        record.headers.extend(
            headers
                .into_iter()
                .map(|(name, value)| Header { name: Cow::Owned(name.clone()), value }),
        );
        Ok(Step::Keep)
    }
}
