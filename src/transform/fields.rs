//! Transforms of single fields: extract, hoist, mask, rename and drop, name the schema, make a key.

mod path;

use num_bigint::BigInt;

use super::side::{fill_default, fill_defaults, map_of, struct_of};
use super::{Side, Step, Transform, refuse};
use crate::data::options::Options;
use crate::data::{
    ConnectRecord, Datum, Decimal, Exception, Failure, Logical, PlanCache, Schema, SchemaDef, Type,
    Value, number, put_member,
};

/// Makes one field the whole side; with `field.syntax.version=V2` along a path.
#[derive(Debug)]
pub struct ExtractField {
    side: Side,
    name: String,
    /// V1: the one name. V2: the steps.
    steps: Vec<String>,
    nested: bool,
    replace_null: bool,
}

impl ExtractField {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let name = options.required("field")?.to_string();
        let versions = [("V1", false), ("V2", true)];
        let nested = options.choice("field.syntax.version", &versions, false)?;
        let steps = if nested { path::steps(&name)? } else { vec![name.clone()] };
        let replace_null = options.boolean("replace.null.with.default", true)?;
        Ok(ExtractField { side, name, steps, nested, replace_null })
    }

    fn schemaless<'a>(&self, datum: &mut Datum<'a>) -> Result<Datum<'a>, Failure> {
        let mut at = datum;
        for step in &self.steps {
            if at.is_null() {
                return Ok(Datum::Null);
            }
            let purpose = if self.nested { "nested field access" } else { "field extraction" };
            let entries = map_of(at, purpose)?;
            match entries.iter_mut().find(|(key, _)| key.as_str() == Some(step)) {
                Some((_, value)) => at = value,
                None => return Ok(Datum::Null),
            }
        }
        Ok(std::mem::replace(at, Datum::Null))
    }

    fn typed<'a>(&self, schema: Schema, datum: &mut Datum<'a>) -> Result<Value<'a>, Failure> {
        let mut at = datum;
        let mut schema = schema;
        let mut cut_short = false;
        let unknown =
            || Failure::new(Exception::IllegalArgument, format!("Unknown field: {}", self.name));
        for (depth, step) in self.steps.iter().enumerate() {
            let place = schema.field_at(step).ok_or_else(unknown)?;
            let next = schema.fields[place].schema.clone();
            if at.is_null() && depth > 0 {
                // A null on the way: the leaf's schema is still looked up.
                cut_short = true;
                schema = next;
                continue;
            }
            at = &mut struct_of(at, "field extraction")?[place];
            schema = next;
        }
        let mut found = std::mem::replace(at, Datum::Null);
        if self.replace_null && !cut_short {
            fill_default(&mut found, &schema);
        }
        Ok(Value::new(schema, found))
    }
}

impl Transform for ExtractField {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let value = self.side.of(record);
        match value.schema.clone() {
            None if value.datum.is_null() => {}
            None => value.datum = self.schemaless(&mut value.datum)?,
            // Of a null nothing but a null can be taken; its schema becomes the field's.
            Some(schema) if value.datum.is_null() => {
                let mut probe = schema;
                for step in &self.steps {
                    match probe.field(step) {
                        Some(field) => probe = field.schema.clone(),
                        None => return Ok(Step::Keep),
                    }
                }
                value.schema = Some(probe);
            }
            Some(schema) => *value = self.typed(schema, &mut value.datum)?,
        }
        Ok(Step::Keep)
    }
}

/// Wraps the side in a struct or map with one field.
#[derive(Debug)]
pub struct HoistField {
    side: Side,
    field: String,
    plans: PlanCache<Schema>,
}

impl HoistField {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let field = options.required("field")?.to_string();
        Ok(HoistField { side, field, plans: PlanCache::default() })
    }
}

impl Transform for HoistField {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let value = self.side.of(record);
        let datum = std::mem::replace(&mut value.datum, Datum::Null);
        match &value.schema {
            None => value.datum = Datum::Map(vec![(Datum::text(self.field.clone()), datum)]),
            Some(schema) => {
                let field = &self.field;
                let out = self.plans.get(schema, |schema| {
                    let mut def = SchemaDef::new(Type::Struct);
                    def.add_field(field.as_str(), schema.clone())?;
                    Ok(def.build())
                })?;
                *value = Value::new(out.clone(), Datum::Struct(vec![datum]));
            }
        }
        Ok(Step::Keep)
    }
}

/// Replaces fields by a neutral value or a given one.
#[derive(Debug)]
pub struct MaskField {
    side: Side,
    fields: Vec<String>,
    replacement: Option<String>,
    replace_null: bool,
    plans: PlanCache<Vec<usize>>,
}

impl MaskField {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let replacement = options.string("replacement").map(str::to_string);
        if replacement.as_deref() == Some("") {
            return Err(Failure::option("replacement", "", "String must be non-empty"));
        }
        Ok(MaskField {
            side,
            fields: options.required_list("fields")?,
            replacement,
            replace_null: options.boolean("replace.null.with.default", true)?,
            plans: PlanCache::default(),
        })
    }
}

impl Transform for MaskField {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        const PURPOSE: &str = "mask fields";
        let value = self.side.of(record);
        let replacement = self.replacement.as_deref();
        let Some(schema) = &value.schema else {
            let entries = map_of(&mut value.datum, PURPOSE)?;
            for name in &self.fields {
                match entries.iter_mut().find(|(key, _)| key.as_str() == Some(name)) {
                    Some((_, datum)) => *datum = masked(datum, None, replacement)?,
                    None => entries.push((Datum::text(name.clone()), Datum::Null)),
                }
            }
            return Ok(Step::Keep);
        };
        let values = struct_of(&mut value.datum, PURPOSE)?;
        let fields = &self.fields;
        let places = self.plans.get(schema, |schema| {
            Ok(fields.iter().filter_map(|name| schema.field_at(name)).collect())
        })?;
        if self.replace_null {
            fill_defaults(values, schema);
        }
        for &at in places.iter() {
            values[at] = masked(&values[at], Some(&schema.fields[at].schema), replacement)?;
        }
        Ok(Step::Keep)
    }
}

fn masked<'a>(
    datum: &Datum<'a>,
    schema: Option<&Schema>,
    replacement: Option<&str>,
) -> Result<Datum<'a>, Failure> {
    match replacement {
        None => neutral(datum),
        Some(_) if datum.is_null() => Ok(Datum::Null),
        Some(text) => replaced(datum, schema, text),
    }
}

fn neutral<'a>(datum: &Datum<'a>) -> Result<Datum<'a>, Failure> {
    Ok(match datum {
        Datum::Null => Datum::Null,
        Datum::Boolean(_) => Datum::Boolean(false),
        Datum::Int8(_) => Datum::Int8(0),
        Datum::Int16(_) => Datum::Int16(0),
        Datum::Int32(_) => Datum::Int32(0),
        Datum::Int64(_) => Datum::Int64(0),
        Datum::Float32(_) => Datum::Float32(0.0),
        Datum::Number(text) if number::is_whole(text) => Datum::Int64(0),
        Datum::Float64(_) | Datum::Number(_) => Datum::Float64(0.0),
        Datum::String(_) => Datum::text(""),
        Datum::Decimal(_) => Datum::Decimal(Box::new(Decimal::new(BigInt::ZERO, 0))),
        Datum::Instant(_) => Datum::Instant(0),
        Datum::Array(_) => Datum::Array(Vec::new()),
        Datum::Map(_) => Datum::Map(Vec::new()),
        Datum::Bytes(_) | Datum::Struct(_) => {
            let why = format!("Cannot mask value of type: class {}", datum.java_class());
            return Err(Failure::data(why));
        }
    })
}

fn replaced<'a>(
    datum: &Datum<'a>,
    schema: Option<&Schema>,
    text: &str,
) -> Result<Datum<'a>, Failure> {
    let class = match schema.map(Schema::logical) {
        Some(Logical::Date | Logical::Time | Logical::Timestamp) => "java.util.Date",
        _ => datum.java_class(),
    };
    let decimal = || {
        Decimal::parse(text).ok_or_else(|| {
            let why = format!("Unable to convert {text} (class java.lang.String) to a number");
            Failure::data(why)
        })
    };
    // As BigDecimal.longValue: the low 64 bits of the whole part.
    let long = || Ok::<i64, Failure>(super::cast::low_bits(&decimal()?));
    Ok(match datum {
        Datum::String(_) => Datum::text(text.to_string()),
        Datum::Int8(_) => Datum::Int8(long()? as i8),
        Datum::Int16(_) => Datum::Int16(long()? as i16),
        Datum::Int32(_) if class != "java.util.Date" => Datum::Int32(long()? as i32),
        Datum::Int64(_) if class != "java.util.Date" => Datum::Int64(long()?),
        Datum::Float32(_) => Datum::Float32(decimal()?.to_f32()),
        Datum::Number(text) if number::is_whole(text) => Datum::Int64(long()?),
        Datum::Float64(_) | Datum::Number(_) => Datum::Float64(decimal()?.to_f64()),
        Datum::Decimal(_) => Datum::Decimal(Box::new(decimal()?)),
        _ => {
            return Err(Failure::data(format!(
                "Cannot mask value of type class {class} with custom replacement."
            )));
        }
    })
}

/// Keeps, drops and renames fields.
#[derive(Debug)]
pub struct ReplaceField {
    side: Side,
    exclude: Vec<String>,
    include: Vec<String>,
    /// (old, new)
    renames: Vec<(String, String)>,
    replace_null: bool,
    plans: PlanCache<(Schema, Vec<bool>)>,
}

impl ReplaceField {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        // Kafka up to 3.9 knows the second name too; the first wins.
        let list = |name: &str, old: &str| match options.raw(name) {
            Some(_) => options.list(name),
            None => options.list(old),
        };
        let mut renames = Vec::new();
        let all = options.list("renames");
        for rename in &all {
            match rename.split_once(':') {
                Some((old, new)) if !old.is_empty() && !new.is_empty() && !new.contains(':') => {
                    renames.push((old.to_string(), new.to_string()));
                }
                _ => {
                    let why = format!("Invalid rename mapping: {rename}");
                    return Err(Failure::option("renames", &format!("[{}]", all.join(", ")), &why));
                }
            }
        }
        Ok(ReplaceField {
            side,
            exclude: list("exclude", "blacklist"),
            include: list("include", "whitelist"),
            renames,
            replace_null: options.boolean("replace.null.with.default", true)?,
            plans: PlanCache::default(),
        })
    }
}

fn keeps(include: &[String], exclude: &[String], name: &str) -> bool {
    let named = |list: &[String]| list.iter().any(|known| known == name);
    !named(exclude) && (include.is_empty() || named(include))
}

fn new_name<'r>(renames: &'r [(String, String)], name: &'r str) -> &'r str {
    renames.iter().find(|(old, _)| old == name).map_or(name, |(_, new)| new)
}

impl Transform for ReplaceField {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        const PURPOSE: &str = "field replacement";
        let value = self.side.of(record);
        if value.datum.is_null() {
            return Ok(Step::Keep);
        }
        let (exclude, include, renames) = (&self.exclude, &self.include, &self.renames);
        let Some(schema) = &value.schema else {
            let entries = std::mem::take(map_of(&mut value.datum, PURPOSE)?);
            let mut out = Vec::with_capacity(entries.len());
            for (key, datum) in entries {
                let Some(name) = key.as_str() else { continue };
                if keeps(include, exclude, name) {
                    put_member(&mut out, new_name(renames, name).to_string(), datum);
                }
            }
            value.datum = Datum::Map(out);
            return Ok(Step::Keep);
        };
        let values = struct_of(&mut value.datum, PURPOSE)?;
        let (out, kept) = self.plans.get(schema, |schema| {
            let mut def = SchemaDef::basics_of(schema, Type::Struct);
            let mut kept = Vec::with_capacity(schema.fields.len());
            for field in &schema.fields {
                let keep = keeps(include, exclude, &field.name);
                kept.push(keep);
                if keep {
                    def.add_field(new_name(renames, &field.name), field.schema.clone())?;
                }
            }
            Ok((def.build(), kept))
        })?;
        if self.replace_null {
            fill_defaults(values, schema);
        }
        let mut kept = kept.iter();
        values.retain(|_| *kept.next().expect("one per field"));
        value.schema = Some(out.clone());
        Ok(Step::Keep)
    }
}

/// Gives the schema a name, a version or both.
#[derive(Debug)]
pub struct SetSchemaMetadata {
    side: Side,
    name: Option<String>,
    version: Option<i32>,
    /// The struct is copied, and so nulls take their fields' defaults on the way.
    replace_null: bool,
    plans: PlanCache<Schema>,
}

impl SetSchemaMetadata {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let name = options.string("schema.name").map(str::to_string);
        let version = options.int("schema.version")?;
        if name.is_none() && version.is_none() {
            return Err(Failure::config("Neither schema name nor version configured"));
        }
        let replace_null = options.boolean("replace.null.with.default", true)?;
        Ok(SetSchemaMetadata { side, name, version, replace_null, plans: PlanCache::default() })
    }
}

impl Transform for SetSchemaMetadata {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let value = self.side.of(record);
        let Some(schema) = &value.schema else {
            if value.datum.is_null() {
                return Ok(Step::Keep);
            }
            return refuse(Exception::Data, "Schema required for [updating schema metadata]");
        };
        let (name, version) = (&self.name, self.version);
        let out = self.plans.get(schema, |schema| {
            let mut def = schema.to_def();
            def.name = name.as_deref().map(Into::into).or(def.name);
            def.version = version.or(def.version);
            Ok(def.build())
        })?;
        if let (true, Datum::Struct(values)) = (self.replace_null, &mut value.datum) {
            fill_defaults(values, schema);
        }
        value.schema = Some(out.clone());
        Ok(Step::Keep)
    }
}

/// Makes a key of fields of the value.
#[derive(Debug)]
pub struct ValueToKey {
    fields: Vec<String>,
    replace_null: bool,
    plans: PlanCache<(Schema, Vec<usize>)>,
}

impl ValueToKey {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let fields = options.required_list("fields")?;
        let replace_null = options.boolean("replace.null.with.default", true)?;
        Ok(ValueToKey { fields, replace_null, plans: PlanCache::default() })
    }
}

impl Transform for ValueToKey {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        const PURPOSE: &str = "copying fields from value to key";
        let Some(schema) = &record.value.schema else {
            map_of(&mut record.value.datum, PURPOSE)?;
            let mut key = Vec::with_capacity(self.fields.len());
            for name in &self.fields {
                let datum = record.value.datum.member(name).cloned().unwrap_or(Datum::Null);
                put_member(&mut key, name.clone(), datum);
            }
            record.key = Value::schemaless(Datum::Map(key));
            return Ok(Step::Keep);
        };
        let values = struct_of(&mut record.value.datum, PURPOSE)?;
        let fields = &self.fields;
        let (out, places) = self.plans.get(schema, |schema| {
            let mut def = SchemaDef::new(Type::Struct);
            let mut places = Vec::with_capacity(fields.len());
            for name in fields {
                let Some(at) = schema.field_at(name) else {
                    return Err(Failure::data(format!("Field does not exist: {name}")));
                };
                def.add_field(name.as_str(), schema.fields[at].schema.clone())?;
                places.push(at);
            }
            Ok((def.build(), places))
        })?;
        let mut key: Vec<_> = places.iter().map(|&at| values[at].clone()).collect();
        if self.replace_null {
            fill_defaults(&mut key, out);
        }
        record.key = Value::new(out.clone(), Datum::Struct(key));
        Ok(Step::Keep)
    }
}
