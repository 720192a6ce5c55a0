//! JsonSchemaConverter: JSON text under a resolved JSON Schema. Fetches nothing and does not
//! validate beyond what the mapping needs, as Confluent's converter by default.
//!
//! A schema that allows anything becomes text named [`ANY`], holding the JSON itself.

use serde_json::{Map, Value as Json};

use super::json_reader::Reader;
use crate::data::options::Options;
use crate::data::schema::{DECIMAL, SCALE};
use crate::data::{Datum, Decimal, Exception, Failure, Schema, SchemaDef, Type, Value, json_text};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const ENUM: &str = "io.confluent.connect.json.Enum";
const ONE_OF: &str = "io.confluent.connect.json.OneOf";
const ONE_OF_FIELD: &str = "io.confluent.connect.json.OneOf.field.";
/// Name of the text that holds a value of any type as JSON.
pub const ANY: &str = "starsink.data.Json";

#[derive(Debug, Clone, Copy)]
pub struct JsonSchemaOptions {
    /// `use.optional.for.nonrequired`
    pub optional_for_nonrequired: bool,
    /// `flatten.singleton.unions`
    pub flatten_singletons: bool,
}

impl JsonSchemaOptions {
    pub fn compile(options: &Options) -> Result<JsonSchemaOptions, Failure> {
        if options.boolean("generalized.sum.type.support", false)? {
            return Err(Failure::config(
                "`generalized.sum.type.support` is not supported for JSON Schema here",
            ));
        }
        if options.boolean("json.fail.invalid.schema", false)? {
            return Err(Failure::config("`json.fail.invalid.schema` is not supported here"));
        }
        Ok(JsonSchemaOptions {
            optional_for_nonrequired: options.boolean("use.optional.for.nonrequired", false)?,
            flatten_singletons: options.boolean("flatten.singleton.unions", true)?,
        })
    }
}

/// One JSON Schema, ready to read payloads.
#[derive(Debug, Clone)]
pub struct JsonSchemaDecoder {
    plan: std::sync::Arc<Plan>,
    schema: Schema,
}

/// How to read one value; parallel to its Connect schema.
#[derive(Debug)]
struct Plan {
    optional: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Whole(Type),
    Float(Type),
    Boolean,
    Text,
    Bytes,
    Decimal(i32),
    Array(Box<Plan>),
    /// An object whose members are entries.
    Object(Box<Plan>),
    /// An array of objects with `key` and `value`.
    Pairs(Box<Plan>, Box<Plan>),
    Struct(Vec<(String, Plan)>),
    OneOf(Vec<Plan>),
    Any,
}

type Compiled = (Form, SchemaDef);

impl JsonSchemaDecoder {
    /// Compiles a schema. `references`: (name in `$ref`, schema).
    pub fn compile(
        schema: &str,
        references: &[(&str, &str)],
        version: Option<i32>,
        options: JsonSchemaOptions,
    ) -> Result<JsonSchemaDecoder, Failure> {
        let read = |text: &str| -> Result<Json, Failure> {
            serde_json::from_str(text)
                .map_err(|error| Failure::data(format!("the JSON Schema is no JSON: {error}")))
        };
        let mut documents = vec![(String::new(), read(schema)?)];
        for (name, text) in references {
            documents.push((name.to_string(), read(text)?));
        }
        let mut compiler =
            Compiler { documents: &documents, options, open: Vec::new(), compiled: 0 };
        let (plan, mut def) = compiler.any(&documents[0].1, 0)?;
        def.version = def.version.or(version);
        Ok(JsonSchemaDecoder { plan: std::sync::Arc::new(plan), schema: def.build() })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads one message without its frame.
    pub fn decode<'a>(&self, payload: &'a [u8]) -> Result<Value<'a>, Failure> {
        let broken = |why: String| {
            Failure::data(format!(
                "Converting byte[] to Kafka Connect data failed due to serialization error: {why}"
            ))
        };
        let text = std::str::from_utf8(payload).map_err(|error| broken(error.to_string()))?;
        let mut reader = Reader::new(text);
        let json = reader.datum().map_err(|error| broken(error.to_string()))?;
        if !reader.at_end() {
            return Err(broken("more text behind the value".into()));
        }
        Ok(Value::new(self.schema.clone(), self.plan.read(json)?))
    }
}

struct Compiler<'d> {
    /// The schema itself under the empty name, then its references.
    documents: &'d [(String, Json)],
    options: JsonSchemaOptions,
    /// `$ref`s being followed: meeting one again is a recursion.
    open: Vec<(usize, String)>,
    compiled: usize,
}

/// Schemas that one may come to with every reference written out.
const MOST_SCHEMAS: usize = 100_000;

fn text<'j>(members: &'j Map<String, Json>, key: &str) -> Option<&'j str> {
    members.get(key).and_then(Json::as_str)
}

impl Compiler<'_> {
    fn any(&mut self, json: &Json, document: usize) -> Result<(Plan, SchemaDef), Failure> {
        self.compiled += 1;
        if self.compiled > MOST_SCHEMAS {
            return Err(Failure::data("the JSON Schema holds too many schemas"));
        }
        let Some(members) = json.as_object() else {
            return match json {
                Json::Bool(true) => Ok(self.finish(anything(), &Map::new())),
                other => Err(Failure::data(format!("{other} is no JSON Schema"))),
            };
        };
        if let Some(target) = text(members, "$ref") {
            return self.reference(target, document);
        }
        if let Some(all) = members.get("allOf").and_then(Json::as_array) {
            let merged = self.merged(members, all, document, 0)?;
            return self.any(&Json::Object(merged), document);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(choices) = members.get(key).and_then(Json::as_array) {
                return self.choice(members, choices, document);
            }
        }
        if let Some(values) = members.get("enum").and_then(Json::as_array) {
            return Ok(self.finish(enumeration(values), members));
        }
        if let Some(value) = members.get("const") {
            return Ok(self.finish(enumeration(std::slice::from_ref(value)), members));
        }
        match members.get("type") {
            Some(Json::Array(kinds)) => {
                let one = |kind: &Json| {
                    let mut members = members.clone();
                    members.insert("type".into(), kind.clone());
                    Json::Object(members)
                };
                let choices: Vec<_> = kinds.iter().map(one).collect();
                self.choice(&Map::new(), &choices, document)
            }
            Some(Json::String(kind)) => {
                let compiled = self.typed(kind, members, document)?;
                Ok(self.finish(compiled, members))
            }
            _ if members.contains_key("properties") => {
                let compiled = self.object(members, document)?;
                Ok(self.finish(compiled, members))
            }
            _ => Ok(self.finish(anything(), members)),
        }
    }

    fn reference(&mut self, target: &str, document: usize) -> Result<(Plan, SchemaDef), Failure> {
        let (name, pointer) = target.split_once('#').unwrap_or((target, ""));
        let found = match name {
            "" => Some(document),
            name => self.documents.iter().position(|(known, json)| {
                known == name || json.get("$id").and_then(Json::as_str) == Some(name)
            }),
        };
        let json =
            found.and_then(|at| self.documents[at].1.pointer(pointer).map(|json| (at, json)));
        let Some((at, json)) = json else {
            return Err(Failure::data(format!("JSON Schema `{target}` is not there")));
        };
        let step = (at, pointer.to_string());
        if self.open.contains(&step) {
            return Err(Failure::data(format!(
                "JSON Schema `{target}` contains itself; recursive schemas have no columns"
            )));
        }
        self.open.push(step);
        let done = self.any(json, at);
        self.open.pop();
        done
    }

    /// allOf: the members of all in one schema, properties and required ones joined.
    fn merged(
        &self,
        members: &Map<String, Json>,
        all: &[Json],
        document: usize,
        depth: usize,
    ) -> Result<Map<String, Json>, Failure> {
        if depth > 32 {
            return Err(Failure::data("`allOf` within `allOf` too often"));
        }
        let mut merged = members.clone();
        merged.remove("allOf");
        for part in all {
            let part = match part.get("$ref").and_then(Json::as_str) {
                Some(target) => {
                    let pointer = target.strip_prefix('#').ok_or_else(|| {
                        Failure::data(format!("`allOf` with `{target}` in another document"))
                    })?;
                    self.documents[document].1.pointer(pointer).ok_or_else(|| {
                        Failure::data(format!("JSON Schema `{target}` is not there"))
                    })?
                }
                None => part,
            };
            let Some(part) = part.as_object() else { continue };
            let flat;
            let part = match part.get("allOf").and_then(Json::as_array) {
                Some(inner) => {
                    flat = self.merged(part, inner, document, depth + 1)?;
                    &flat
                }
                None => part,
            };
            for (key, value) in part {
                match (merged.get_mut(key), value) {
                    (Some(Json::Object(old)), Json::Object(new)) => {
                        old.extend(new.iter().map(|(k, v)| (k.clone(), v.clone())));
                    }
                    (Some(Json::Array(old)), Json::Array(new)) => old.extend(new.iter().cloned()),
                    (Some(_), _) => {}
                    (None, value) => {
                        merged.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        Ok(merged)
    }

    fn choice(
        &mut self,
        members: &Map<String, Json>,
        choices: &[Json],
        document: usize,
    ) -> Result<(Plan, SchemaDef), Failure> {
        let is_null = |json: &&Json| json.get("type").is_some_and(|kind| kind == "null");
        let nullable = choices.iter().any(|json| is_null(&json));
        let others: Vec<_> = choices.iter().filter(|json| !is_null(json)).collect();
        let (mut plan, mut def) = match others[..] {
            [] => return Err(Failure::data("a JSON Schema of null alone has no column")),
            [only] if nullable || self.options.flatten_singletons => self.any(only, document)?,
            _ => {
                let mut def = SchemaDef::new(Type::Struct);
                def.name = Some(ONE_OF.into());
                let mut plans = Vec::new();
                for (at, choice) in others.iter().enumerate() {
                    let (mut plan, mut schema) = self.any(choice, document)?;
                    (plan.optional, schema.optional) = (true, true);
                    plans.push(plan);
                    def.add_field(format!("{ONE_OF_FIELD}{at}"), schema.build())?;
                }
                self.finish((Form::OneOf(plans), def), members)
            }
        };
        if nullable {
            (plan.optional, def.optional) = (true, true);
        }
        Ok((plan, def))
    }

    /// Name, version, documentation and parameters, which any schema may carry.
    fn finish(&self, compiled: Compiled, members: &Map<String, Json>) -> (Plan, SchemaDef) {
        let (form, mut def) = compiled;
        if let Some(title) = text(members, "title") {
            def.name = Some(title.into());
        }
        if let Some(version) = members.get("connect.version").and_then(Json::as_i64) {
            def.version = i32::try_from(version).ok();
        }
        if let Some(doc) = text(members, "description") {
            def.doc = Some(doc.into());
        }
        let parameters = members.get("connect.parameters").and_then(Json::as_object);
        for (key, value) in parameters.into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            def = def.parameter(key, &value);
        }
        let mut plan = Plan { optional: false, form };
        if let Form::Bytes = plan.form
            && def.name.as_deref() == Some(DECIMAL)
        {
            let scale = def.parameters.iter().find(|(key, _)| &**key == SCALE);
            let scale = scale.and_then(|(_, scale)| scale.parse().ok()).unwrap_or(0);
            plan.form = Form::Decimal(scale);
        }
        if let Some(default) = members.get("default").filter(|json| !json.is_null()) {
            let text = default.to_string();
            let datum = Reader::new(&text).datum().ok().map(Datum::into_owned);
            // A default that is not of the type is ignored: the schema is still good to read with.
            def.default = datum.and_then(|datum| plan.read(datum).ok());
        }
        (plan, def)
    }

    fn typed(
        &mut self,
        kind: &str,
        members: &Map<String, Json>,
        document: usize,
    ) -> Result<Compiled, Failure> {
        let connect = text(members, "connect.type").unwrap_or_default();
        let number = |whole: bool| match connect {
            "int8" => (Form::Whole(Type::Int8), SchemaDef::new(Type::Int8)),
            "int16" => (Form::Whole(Type::Int16), SchemaDef::new(Type::Int16)),
            "int32" => (Form::Whole(Type::Int32), SchemaDef::new(Type::Int32)),
            "float32" => (Form::Float(Type::Float32), SchemaDef::new(Type::Float32)),
            "bytes" => (Form::Bytes, SchemaDef::new(Type::Bytes)),
            "int64" => (Form::Whole(Type::Int64), SchemaDef::new(Type::Int64)),
            _ if whole => (Form::Whole(Type::Int64), SchemaDef::new(Type::Int64)),
            _ => (Form::Float(Type::Float64), SchemaDef::new(Type::Float64)),
        };
        match kind {
            "integer" => Ok(number(true)),
            "number" => Ok(number(false)),
            "boolean" => Ok((Form::Boolean, SchemaDef::new(Type::Boolean))),
            "string" if connect == "bytes" => Ok((Form::Bytes, SchemaDef::new(Type::Bytes))),
            "string" => Ok((Form::Text, SchemaDef::new(Type::String))),
            "array" => self.array(members, connect, document),
            "object" => self.object(members, document),
            "null" => Err(Failure::data("a JSON Schema of null alone has no column")),
            other => Err(Failure::data(format!("JSON Schema type `{other}` is not known"))),
        }
    }

    fn array(
        &mut self,
        members: &Map<String, Json>,
        connect: &str,
        document: usize,
    ) -> Result<Compiled, Failure> {
        let Some(items) = members.get("items") else {
            return Err(Failure::data("Array schema did not specify the items type"));
        };
        if connect == "map" {
            let (key, key_def) = self.any(&items["properties"]["key"], document)?;
            let (value, value_def) = self.any(&items["properties"]["value"], document)?;
            let mut def = SchemaDef::new(Type::Map);
            (def.keys, def.items) = (Some(key_def.build()), Some(value_def.build()));
            return Ok((Form::Pairs(Box::new(key), Box::new(value)), def));
        }
        let (plan, item) = self.any(items, document)?;
        let mut def = SchemaDef::new(Type::Array);
        def.items = Some(item.build());
        Ok((Form::Array(Box::new(plan)), def))
    }

    fn object(
        &mut self,
        members: &Map<String, Json>,
        document: usize,
    ) -> Result<Compiled, Failure> {
        let entries = members.get("additionalProperties").filter(|json| json.is_object());
        if text(members, "connect.type") == Some("map")
            && let Some(entries) = entries
        {
            let (plan, value) = self.any(entries, document)?;
            let mut def = SchemaDef::new(Type::Map);
            (def.keys, def.items) = (Some(Schema::of(Type::String)), Some(value.build()));
            return Ok((Form::Object(Box::new(plan)), def));
        }
        let required: Vec<&str> = members
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let properties = members.get("properties").and_then(Json::as_object);
        let mut ordered: Vec<(&String, &Json)> = properties.into_iter().flatten().collect();
        let index = |json: &Json| json.get("connect.index").and_then(Json::as_i64);
        ordered.sort_by_key(|(_, json)| index(json).unwrap_or(i64::MAX));
        let mut def = SchemaDef::new(Type::Struct);
        let mut plans = Vec::new();
        for (name, json) in ordered {
            let (mut plan, mut schema) = self.any(json, document)?;
            if self.options.optional_for_nonrequired && !required.contains(&name.as_str()) {
                (plan.optional, schema.optional) = (true, true);
            }
            plans.push((name.clone(), plan));
            def.add_field(name.as_str(), schema.build())?;
        }
        Ok((Form::Struct(plans), def))
    }
}

fn anything() -> Compiled {
    let mut def = SchemaDef::new(Type::String);
    def.name = Some(ANY.into());
    def.optional = true;
    (Form::Any, def)
}

fn enumeration(values: &[Json]) -> Compiled {
    let mut def = SchemaDef::new(Type::String).parameter(ENUM, "");
    for value in values {
        let symbol = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        def = def.parameter(&format!("{ENUM}.{symbol}"), &symbol);
    }
    def.optional = values.iter().any(Json::is_null);
    (Form::Text, def)
}

impl Plan {
    fn read<'a>(&self, json: Datum<'a>) -> Result<Datum<'a>, Failure> {
        if json.is_null() {
            return match (&self.form, self.optional) {
                (Form::Any, _) | (_, true) => Ok(Datum::Null),
                _ => Err(Failure::data(format!(
                    "Invalid null value for required {} field",
                    self.form.name()
                ))),
            };
        }
        match (&self.form, json) {
            (Form::Text, Datum::String(text)) => Ok(Datum::String(text)),
            // An enum may list numbers and booleans: their text is the symbol.
            (Form::Text, json @ (Datum::Int64(_) | Datum::Number(_) | Datum::Boolean(_))) => {
                as_json(&json)
            }
            (Form::Boolean, Datum::Boolean(value)) => Ok(Datum::Boolean(value)),
            (Form::Whole(kind), json) => whole(*kind, json),
            (Form::Float(kind), json) => float(*kind, json),
            (Form::Bytes, Datum::String(text)) => match BASE64.decode(text.as_bytes()) {
                Ok(bytes) => Ok(Datum::Bytes(bytes.into())),
                Err(error) => Err(Failure::data(format!("Invalid bytes field: {error}"))),
            },
            (Form::Decimal(scale), Datum::String(text)) => match BASE64.decode(text.as_bytes()) {
                Ok(bytes) => Ok(Datum::Decimal(Box::new(Decimal::from_bytes(&bytes, *scale)))),
                Err(error) => {
                    Err(Failure::data(format!("Invalid bytes for Decimal field: {error}")))
                }
            },
            (Form::Decimal(_), Datum::Int64(value)) => {
                Ok(Datum::Decimal(Box::new(Decimal::new(value.into(), 0))))
            }
            (Form::Decimal(_), Datum::Number(text)) => match Decimal::parse(&text) {
                Some(decimal) => Ok(Datum::Decimal(Box::new(decimal))),
                None => Err(self.refused(&Datum::Number(text))),
            },
            (Form::Array(inner), Datum::Array(items)) => {
                let items: Result<_, _> = items.into_iter().map(|item| inner.read(item)).collect();
                Ok(Datum::Array(items?))
            }
            (Form::Object(inner), Datum::Map(entries)) => {
                let entry = |(key, value)| Ok((key, inner.read(value)?));
                let entries: Result<_, Failure> = entries.into_iter().map(entry).collect();
                Ok(Datum::Map(entries?))
            }
            (Form::Pairs(key, value), Datum::Array(items)) => {
                let mut entries = Vec::with_capacity(items.len());
                for item in items {
                    let part = |name: &str| item.member(name).cloned().unwrap_or(Datum::Null);
                    entries.push((key.read(part("key"))?, value.read(part("value"))?));
                }
                Ok(Datum::Map(entries))
            }
            (Form::Struct(fields), Datum::Map(entries)) => structure(fields, entries),
            (Form::OneOf(plans), json) => one_of(plans, json),
            (Form::Any, json) => as_json(&json),
            (_, json) => Err(self.refused(&json)),
        }
    }

    fn refused(&self, json: &Datum<'_>) -> Failure {
        Failure::new(
            Exception::Data,
            format!("a {} is no value of type {}", json.java_class(), self.form.name()),
        )
    }
}

impl Form {
    fn name(&self) -> &'static str {
        match self {
            Form::Whole(kind) | Form::Float(kind) => kind.name(),
            Form::Boolean => "BOOLEAN",
            Form::Text | Form::Any => "STRING",
            Form::Bytes | Form::Decimal(_) => "BYTES",
            Form::Array(_) => "ARRAY",
            Form::Object(_) | Form::Pairs(..) => "MAP",
            Form::Struct(_) | Form::OneOf(_) => "STRUCT",
        }
    }
}

fn as_json<'a>(json: &Datum<'_>) -> Result<Datum<'a>, Failure> {
    let mut out = Vec::new();
    json_text::write(&mut out, None, json, json_text::Times::Numbers)?;
    Ok(Datum::text(String::from_utf8_lossy(&out).into_owned()))
}

fn whole<'a>(kind: Type, json: Datum<'a>) -> Result<Datum<'a>, Failure> {
    let value = match &json {
        Datum::Int64(value) => Some(*value),
        Datum::Number(text) => Decimal::parse(text).and_then(|decimal| decimal.to_i64_exact()),
        _ => None,
    };
    let datum = value.and_then(|value| match kind {
        Type::Int8 => i8::try_from(value).ok().map(Datum::Int8),
        Type::Int16 => i16::try_from(value).ok().map(Datum::Int16),
        Type::Int32 => i32::try_from(value).ok().map(Datum::Int32),
        _ => Some(Datum::Int64(value)),
    });
    datum.ok_or_else(|| Plan { optional: false, form: Form::Whole(kind) }.refused(&json))
}

fn float<'a>(kind: Type, json: Datum<'a>) -> Result<Datum<'a>, Failure> {
    let text = match &json {
        Datum::Int64(value) => value.to_string(),
        Datum::Number(text) => text.to_string(),
        _ => String::new(),
    };
    let datum = match kind {
        Type::Float32 => text.parse().ok().filter(|v: &f32| v.is_finite()).map(Datum::Float32),
        _ => text.parse().ok().filter(|v: &f64| v.is_finite()).map(Datum::Float64),
    };
    datum.ok_or_else(|| Plan { optional: false, form: Form::Float(kind) }.refused(&json))
}

/// A missing property is null, even a required one; undeclared ones are dropped.
fn structure<'a>(
    fields: &[(String, Plan)],
    mut entries: Vec<(Datum<'a>, Datum<'a>)>,
) -> Result<Datum<'a>, Failure> {
    let mut values = Vec::with_capacity(fields.len());
    for (name, plan) in fields {
        let found = entries.iter_mut().find(|(key, _)| key.as_str() == Some(name));
        values.push(match found {
            None => Datum::Null,
            Some((_, value)) => plan.read(std::mem::replace(value, Datum::Null)).map_err(|f| {
                Failure { message: format!("{} (in field `{name}`)", f.message), ..f }
            })?,
        });
    }
    Ok(Datum::Struct(values))
}

/// The first member that takes the value; among structs the one with most properties in common.
fn one_of<'a>(plans: &[Plan], json: Datum<'a>) -> Result<Datum<'a>, Failure> {
    let common = |plan: &Plan| match (&plan.form, &json) {
        (Form::Struct(fields), Datum::Map(_)) => {
            fields.iter().filter(|(name, _)| json.member(name).is_some()).count()
        }
        _ => 0,
    };
    let mut order: Vec<usize> = (0..plans.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(common(&plans[at])));
    for at in order {
        if let Ok(datum) = plans[at].read(json.clone()) {
            let mut values = vec![Datum::Null; plans.len()];
            values[at] = datum;
            return Ok(Datum::Struct(values));
        }
    }
    Err(Failure::data("the value is of none of the types of `oneOf`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, payload: &str, expect: Option<Datum<'_>>) {
        let options =
            JsonSchemaOptions { optional_for_nonrequired: false, flatten_singletons: true };
        let decoder = JsonSchemaDecoder::compile(schema, &[], None, options).expect("compiles");
        let found = decoder.decode(payload.as_bytes()).map(|value| value.datum);
        assert_eq!(found.ok(), expect, "{payload} under {schema}");
    }

    #[test]
    fn types_are_exact_or_refused() {
        check(r#"{"type":"integer"}"#, "1.0", Some(Datum::Int64(1)));
        check(r#"{"type":"integer"}"#, "1.5", None);
        check(r#"{"type":"integer"}"#, "9223372036854775808", None);
        check(r#"{"type":"number"}"#, "1", Some(Datum::Float64(1.0)));
        check(r#"{"type":"string"}"#, "{}", None);
        check(r#"{"enum":["a",1]}"#, "1", Some(Datum::text("1")));
        check("{}", r#"{"a":[1.50]}"#, Some(Datum::text(r#"{"a":[1.50]}"#)));
    }

    #[test]
    fn null_needs_a_schema_that_allows_it() {
        check(r#"{"type":"string"}"#, "null", None);
        check(r#"{"type":["string","null"]}"#, "null", Some(Datum::Null));
        let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
        check(schema, "{}", Some(Datum::Struct(vec![Datum::Null])));
        check(schema, r#"{"a":null}"#, None);
    }

    #[test]
    fn references_and_all_of_are_followed() {
        let schema = r##"{"definitions":{"p":{"type":"object","properties":{"x":{"type":"integer"}}}},
            "allOf":[{"$ref":"#/definitions/p"},{"properties":{"y":{"type":"string"}}}]}"##;
        check(
            schema,
            r#"{"x":1,"y":"z"}"#,
            Some(Datum::Struct(vec![Datum::Int64(1), Datum::text("z")])),
        );
        let options =
            JsonSchemaOptions { optional_for_nonrequired: false, flatten_singletons: true };
        let recursive = r##"{"type":"object","properties":{"n":{"$ref":"#"}}}"##;
        assert!(JsonSchemaDecoder::compile(recursive, &[], None, options).is_err());
    }
}
