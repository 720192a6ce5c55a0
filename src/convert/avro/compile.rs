//! An Avro schema as Connect sees it: the mapping of Confluent's AvroData, reading side.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::{AvroOptions, Plan};
use crate::data::schema::{DATE, DECIMAL, SCALE, TIME, TIMESTAMP};
use crate::data::{Datum, Decimal, Failure, Schema, SchemaDef, Type};

const ENUM: &str = "io.confluent.connect.avro.Enum";
const UNION: &str = "io.confluent.connect.avro.Union";
const FIELD_DEFAULT: &str = "io.confluent.connect.avro.field.default";
const FIXED_SIZE: &str = "connect.fixed.size";
const PRECISION: &str = "connect.decimal.precision";
/// Confluent's precision where a decimal names none.
const DEFAULT_PRECISION: i64 = 64;
/// Names Connect's own writer makes up for nameless structs.
const MADE_UP: &str = "io.confluent.connect.avro.ConnectDefault";

/// Plan and schema of one type.
type Compiled = (Plan, SchemaDef);

struct Compiler {
    options: AvroOptions,
    /// Named types seen so far, by full name.
    named: HashMap<String, Json>,
    /// Named types being compiled: meeting one again is a recursion.
    open: Vec<String>,
    /// Types compiled so far; names used over and over could multiply without end.
    compiled: usize,
}

/// Types that one schema may come to with every name written out.
const MOST_TYPES: usize = 100_000;

pub(super) fn compile(
    schema: &str,
    references: &[&str],
    version: Option<i32>,
    options: AvroOptions,
) -> Result<(Plan, Schema), Failure> {
    let read = |text: &str| -> Result<Json, Failure> {
        match serde_json::from_str(text) {
            Ok(json) => Ok(json),
            // Registries give primitive schemas without quotes now and then.
            Err(_)
                if text.trim().chars().all(|c| c.is_ascii_alphabetic())
                    && !text.trim().is_empty() =>
            {
                Ok(Json::from(text.trim()))
            }
            Err(error) => Err(Failure::data(format!("the Avro schema is no JSON: {error}"))),
        }
    };
    let mut compiler = Compiler { options, named: HashMap::new(), open: Vec::new(), compiled: 0 };
    for reference in references {
        compiler.collect(&read(reference)?, "");
    }
    let json = read(schema)?;
    compiler.collect(&json, "");
    let (plan, mut def) = compiler.any(&json, "", None)?;
    if def.version.is_none() && options.meta_data {
        def.version = version;
    }
    Ok((plan, def.build()))
}

fn text<'j>(members: &'j Map<String, Json>, key: &str) -> Option<&'j str> {
    members.get(key).and_then(Json::as_str)
}

/// The full name of a named type, and the namespace for what it holds.
fn full_name(members: &Map<String, Json>, namespace: &str) -> (String, String) {
    let name = text(members, "name").unwrap_or_default();
    let full = qualified(name, text(members, "namespace").unwrap_or(namespace));
    let inner = full.rsplit_once('.').map_or("", |(space, _)| space).to_string();
    (full, inner)
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_string()
    } else {
        format!("{namespace}.{name}")
    }
}

impl Compiler {
    /// Notes every named type, so that it can be used before and after it stands.
    fn collect(&mut self, json: &Json, namespace: &str) {
        match json {
            Json::Array(members) => members.iter().for_each(|one| self.collect(one, namespace)),
            Json::Object(members) => {
                let kind = text(members, "type");
                let mut inner = namespace.to_string();
                if matches!(kind, Some("record" | "error" | "enum" | "fixed")) {
                    let (full, space) = full_name(members, namespace);
                    let mut definition = members.clone();
                    definition.insert("namespace".into(), space.clone().into());
                    self.named.entry(full).or_insert(Json::Object(definition));
                    inner = space;
                }
                for key in ["type", "items", "values"] {
                    if let Some(part) = members.get(key).filter(|part| !part.is_string()) {
                        self.collect(part, &inner);
                    }
                }
                for field in members.get("fields").and_then(Json::as_array).into_iter().flatten() {
                    self.collect(&field["type"], &inner);
                }
            }
            _ => {}
        }
    }

    /// One type. `doc` is the field's.
    fn any(
        &mut self,
        json: &Json,
        namespace: &str,
        doc: Option<&str>,
    ) -> Result<Compiled, Failure> {
        self.compiled += 1;
        if self.compiled > MOST_TYPES {
            return Err(Failure::data("the Avro schema holds too many types"));
        }
        match json {
            Json::String(name) => self.by_name(name, namespace, doc, &Map::new()),
            Json::Array(members) => self.union(members, namespace, doc),
            Json::Object(members) => match members.get("type") {
                Some(Json::String(name)) => self.by_name(name, namespace, doc, members),
                Some(inner) => self.any(inner, namespace, doc),
                None => Err(Failure::data("an Avro schema has no `type`")),
            },
            other => Err(Failure::data(format!("{other} is no Avro schema"))),
        }
    }

    fn by_name(
        &mut self,
        name: &str,
        namespace: &str,
        doc: Option<&str>,
        members: &Map<String, Json>,
    ) -> Result<Compiled, Failure> {
        let logical = text(members, "logicalType");
        let (plan, mut def) = match name {
            "null" => {
                return Err(Failure::data(
                    "Standalone null schemas are not supported by this converter",
                ));
            }
            "boolean" => (Plan::Boolean, SchemaDef::new(Type::Boolean)),
            "int" => self.int(members, logical),
            "long" if logical == Some("timestamp-millis") => {
                (Plan::Long, SchemaDef::new(Type::Int64).named(TIMESTAMP, 1))
            }
            "long" => (Plan::Long, SchemaDef::new(Type::Int64)),
            "float" => (Plan::Float, SchemaDef::new(Type::Float32)),
            "double" => (Plan::Double, SchemaDef::new(Type::Float64)),
            "string" => (Plan::String, SchemaDef::new(Type::String)),
            "bytes" if logical == Some("decimal") => decimal(members, None),
            "bytes" => (Plan::Bytes, SchemaDef::new(Type::Bytes)),
            "array" => self.array(members, namespace)?,
            "map" => {
                let (plan, def) = self.part(members, "values", namespace)?;
                let mut map = SchemaDef::new(Type::Map);
                map.keys = Some(Schema::of(Type::String));
                map.items = Some(def.build());
                (Plan::Map(Box::new(plan)), map)
            }
            "enum" => enumeration(members, namespace)?,
            "fixed" => fixed(members, namespace, logical)?,
            "record" | "error" => self.record(members, namespace)?,
            name => return self.reference(name, namespace, doc),
        };
        self.attributes(members, doc, &mut def)?;
        Ok((plan, def))
    }

    fn reference(
        &mut self,
        name: &str,
        namespace: &str,
        doc: Option<&str>,
    ) -> Result<Compiled, Failure> {
        let qualified = qualified(name, namespace);
        let found = self.named.get(&qualified).or_else(|| self.named.get(name)).cloned();
        match found {
            Some(definition) => self.any(&definition, "", doc),
            None => Err(Failure::data(format!("Avro type `{qualified}` is not defined"))),
        }
    }

    fn int(&self, members: &Map<String, Json>, logical: Option<&str>) -> Compiled {
        let kind = match text(members, "connect.type") {
            Some("int8") => Type::Int8,
            Some("int16") => Type::Int16,
            _ => Type::Int32,
        };
        let def = match logical {
            Some("date") => SchemaDef::new(Type::Int32).named(DATE, 1),
            Some("time-millis") => SchemaDef::new(Type::Int32).named(TIME, 1),
            _ => SchemaDef::new(kind),
        };
        (Plan::Int(def.kind), def)
    }

    fn part(
        &mut self,
        members: &Map<String, Json>,
        key: &str,
        namespace: &str,
    ) -> Result<Compiled, Failure> {
        match members.get(key) {
            Some(inner) => self.any(inner, namespace, None),
            None => Err(Failure::data(format!("an Avro schema has no `{key}`"))),
        }
    }

    /// An array; of Connect's map entries it is a map.
    fn array(&mut self, members: &Map<String, Json>, namespace: &str) -> Result<Compiled, Failure> {
        let (plan, def) = self.part(members, "items", namespace)?;
        let entry = members.get("items").and_then(Json::as_object).is_some_and(|items| {
            text(items, "connect.internal.type") == Some("MapEntry")
                || text(items, "name") == Some("MapEntry")
                    && text(items, "namespace") == Some("io.confluent.connect.avro")
        });
        match plan {
            Plan::Record(mut fields) if entry && fields.len() == 2 => {
                let (value, key) = (fields.pop(), fields.pop());
                let (Some(key), Some(value)) = (key, value) else {
                    return Err(Failure::data("a map's entry has no key and value"));
                };
                let mut map = SchemaDef::new(Type::Map);
                map.keys = Some(def.fields[0].schema.clone());
                map.items = Some(def.fields[1].schema.clone());
                Ok((Plan::Pairs(Box::new(key), Box::new(value)), map))
            }
            plan => {
                let mut array = SchemaDef::new(Type::Array);
                array.items = Some(def.build());
                Ok((Plan::Array(Box::new(plan)), array))
            }
        }
    }

    fn record(
        &mut self,
        members: &Map<String, Json>,
        namespace: &str,
    ) -> Result<Compiled, Failure> {
        let (full, inner) = full_name(members, namespace);
        if self.open.contains(&full) {
            return Err(Failure::data(format!(
                "Avro record `{full}` contains itself; recursive schemas have no columns"
            )));
        }
        self.open.push(full.clone());
        let mut def = SchemaDef::new(Type::Struct);
        if !full.starts_with(MADE_UP) {
            def.name = Some(full.into());
        }
        let mut plans = Vec::new();
        for field in members.get("fields").and_then(Json::as_array).into_iter().flatten() {
            let Some(name) = field["name"].as_str() else {
                return Err(Failure::data("an Avro field has no name"));
            };
            let doc = field["doc"].as_str();
            let (plan, mut schema) = self.any(&field["type"], &inner, doc)?;
            // The default of a union is not taken over: it would be that of its first member.
            let union = field["type"].is_array();
            if let (Some(default), false) = (field.get("default"), union) {
                schema.default = Some(default_of(default, &schema)?);
                schema = schema.parameter(FIELD_DEFAULT, "true");
            }
            plans.push(plan);
            def.add_field(name, schema.build())?;
        }
        self.open.pop();
        Ok((Plan::Record(plans), def))
    }

    fn union(
        &mut self,
        members: &[Json],
        namespace: &str,
        doc: Option<&str>,
    ) -> Result<Compiled, Failure> {
        let is_null =
            |json: &Json| json == "null" || json.get("type").is_some_and(|kind| kind == "null");
        if let [only] = members
            && self.options.flatten_singletons
        {
            return self.any(only, namespace, doc);
        }
        if let [a, b] = members
            && (is_null(a) || is_null(b))
        {
            let (null, other) = if is_null(a) { (0, b) } else { (1, a) };
            let (plan, mut def) = self.any(other, namespace, doc)?;
            def.optional = true;
            return Ok((Plan::Optional { null, inner: Box::new(plan) }, def));
        }
        let mut def = SchemaDef::new(Type::Struct);
        def.name = Some(UNION.into());
        def.doc = doc.map(Into::into);
        let mut plans = Vec::new();
        for member in members {
            if is_null(member) {
                def.optional = true;
                plans.push((Plan::Null, None));
                continue;
            }
            let name = self.member_name(member, namespace);
            let (plan, mut schema) = self.any(member, namespace, None)?;
            schema.optional = true;
            plans.push((plan, Some(def.fields.len())));
            def.add_field(name, schema.build())?;
        }
        let fields = def.fields.len();
        Ok((Plan::Union { members: plans, fields }, def))
    }

    /// A union's field is named by its type: a named one by its simple name.
    fn member_name(&self, json: &Json, namespace: &str) -> String {
        let full = match json {
            Json::Object(members) => match text(members, "type") {
                Some("record" | "error" | "enum" | "fixed") => full_name(members, namespace).0,
                Some(kind) => kind.to_string(),
                None => String::new(),
            },
            Json::String(name) if self.named.contains_key(&qualified(name, namespace)) => {
                qualified(name, namespace)
            }
            other => other.as_str().unwrap_or_default().to_string(),
        };
        if self.options.full_names {
            return full;
        }
        full.rsplit('.').next().unwrap_or_default().to_string()
    }

    /// Connect's attributes, which any type may carry.
    fn attributes(
        &self,
        members: &Map<String, Json>,
        doc: Option<&str>,
        def: &mut SchemaDef,
    ) -> Result<(), Failure> {
        let doc = doc.or_else(|| text(members, "doc")).or_else(|| text(members, "connect.doc"));
        if let Some(doc) = doc {
            def.doc = Some(doc.into());
        }
        if let Some(name) = text(members, "connect.name")
            && !name.starts_with(MADE_UP)
        {
            def.name = Some(name.into());
        }
        if let Some(version) = members.get("connect.version").and_then(Json::as_i64) {
            def.version = i32::try_from(version).ok();
        }
        for (key, value) in
            members.get("connect.parameters").and_then(Json::as_object).into_iter().flatten()
        {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            *def = std::mem::replace(def, SchemaDef::new(Type::Int8)).parameter(key, &value);
        }
        if let Some(default) = members.get("connect.default").filter(|json| !json.is_null()) {
            def.default = Some(default_of(default, def)?);
        }
        Ok(())
    }
}

fn decimal(members: &Map<String, Json>, fixed: Option<usize>) -> Compiled {
    let number = |key: &str| members.get(key).and_then(Json::as_i64);
    let scale = number("scale").and_then(|scale| i32::try_from(scale).ok()).unwrap_or(0);
    let mut def =
        SchemaDef::new(Type::Bytes).named(DECIMAL, 1).parameter(SCALE, &scale.to_string());
    if let Some(precision) = number("precision").filter(|p| *p != DEFAULT_PRECISION) {
        def = def.parameter(PRECISION, &precision.to_string());
    }
    (Plan::Decimal { scale, fixed }, def)
}

fn fixed(
    members: &Map<String, Json>,
    namespace: &str,
    logical: Option<&str>,
) -> Result<Compiled, Failure> {
    let size = members.get("size").and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
    let Some(size) = size else { return Err(Failure::data("an Avro fixed has no size")) };
    let (plan, mut def) = match logical {
        Some("decimal") => decimal(members, Some(size)),
        _ => {
            let mut def = SchemaDef::new(Type::Bytes);
            def.name = Some(full_name(members, namespace).0.into());
            (Plan::Fixed(size), def)
        }
    };
    def = def.parameter(FIXED_SIZE, &size.to_string());
    Ok((plan, def))
}

fn enumeration(members: &Map<String, Json>, namespace: &str) -> Result<Compiled, Failure> {
    let full = full_name(members, namespace).0;
    let mut def = SchemaDef::new(Type::String).parameter(ENUM, &full);
    let mut symbols = Vec::new();
    for symbol in members.get("symbols").and_then(Json::as_array).into_iter().flatten() {
        let Some(symbol) = symbol.as_str() else {
            return Err(Failure::data("an Avro enum has a symbol that is no text"));
        };
        def = def.parameter(&format!("{ENUM}.{symbol}"), symbol);
        symbols.push(symbol.to_string());
    }
    def.name = Some(full.into());
    Ok((Plan::Enum(symbols), def))
}

/// A default in Avro's JSON form.
fn default_of(json: &Json, def: &SchemaDef) -> Result<Datum<'static>, Failure> {
    let refused =
        || Failure::data(format!("the default {json} is no value of type {}", def.kind.name()));
    let whole = || json.as_i64().ok_or_else(refused);
    Ok(match (json, def.kind) {
        (Json::Null, _) => Datum::Null,
        (Json::Bool(value), Type::Boolean) => Datum::Boolean(*value),
        (_, Type::Int8) => Datum::Int8(i8::try_from(whole()?).map_err(|_| refused())?),
        (_, Type::Int16) => Datum::Int16(i16::try_from(whole()?).map_err(|_| refused())?),
        (_, Type::Int32) => Datum::Int32(i32::try_from(whole()?).map_err(|_| refused())?),
        (_, Type::Int64) => Datum::Int64(whole()?),
        (Json::Number(number), Type::Float32) => {
            Datum::Float32(number.to_string().parse().map_err(|_| refused())?)
        }
        (Json::Number(number), Type::Float64) => {
            Datum::Float64(number.to_string().parse().map_err(|_| refused())?)
        }
        (Json::String(text), Type::String) => Datum::text(text.clone()),
        // Avro writes bytes as the characters U+0000 to U+00FF.
        (Json::String(text), Type::Bytes) => {
            let bytes: Result<Vec<u8>, _> =
                text.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| refused())).collect();
            let bytes = bytes?;
            match def.parameters.iter().find(|(key, _)| &**key == SCALE) {
                Some((_, scale)) if def.name.as_deref() == Some(DECIMAL) => {
                    let scale = scale.parse().map_err(|_| refused())?;
                    Datum::Decimal(Box::new(Decimal::from_bytes(&bytes, scale)))
                }
                _ => Datum::Bytes(bytes.into()),
            }
        }
        (Json::Array(items), Type::Array) => {
            let of = def.items.as_ref().ok_or_else(refused)?;
            let items: Result<_, _> = items.iter().map(|item| default_of(item, of)).collect();
            Datum::Array(items?)
        }
        (Json::Object(members), Type::Map) => {
            let of = def.items.as_ref().ok_or_else(refused)?;
            let mut entries = Vec::with_capacity(members.len());
            for (key, value) in members {
                entries.push((Datum::text(key.clone()), default_of(value, of)?));
            }
            Datum::Map(entries)
        }
        (Json::Object(members), Type::Struct) => {
            let mut values = Vec::with_capacity(def.fields.len());
            for field in &def.fields {
                values.push(match members.get(&*field.name) {
                    Some(value) => default_of(value, &field.schema)?,
                    None => field.schema.default.clone().unwrap_or(Datum::Null),
                });
            }
            Datum::Struct(values)
        }
        _ => return Err(refused()),
    })
}
