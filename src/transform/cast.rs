//! Cast: changes fields, or a whole side, to another plain type, as Java's narrowing does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use num_bigint::BigInt;
use num_traits::ToPrimitive;

use super::date_format::DateFormat;
use super::side::{fill_defaults, map_of, struct_of};
use super::{Side, Step, Transform};
use crate::data::options::Options;
use crate::data::time::{MILLIS_PER_DAY, date_text};
use crate::data::{
    ConnectRecord, Datum, Decimal, Failure, Logical, PlanCache, Schema, SchemaDef, Type, number,
};

/// What a value can be cast to.
const TARGETS: [(&str, Type); 8] = [
    ("int8", Type::Int8),
    ("int16", Type::Int16),
    ("int32", Type::Int32),
    ("int64", Type::Int64),
    ("float32", Type::Float32),
    ("float64", Type::Float64),
    ("boolean", Type::Boolean),
    ("string", Type::String),
];

#[derive(Debug)]
enum Spec {
    Whole(Type),
    Fields(Vec<(String, Type)>),
}

#[derive(Debug)]
pub struct Cast {
    side: Side,
    spec: Spec,
    replace_null: bool,
    plans: PlanCache<Plan>,
}

#[derive(Debug)]
struct Plan {
    out: Schema,
    /// (place, target)
    casts: Vec<(usize, Type)>,
}

impl Cast {
    pub fn build(side: Side, options: &Options) -> Result<Self, Failure> {
        let parts = options.required_list("spec")?;
        let refused = |why: &str| Failure::option("spec", &format!("[{}]", parts.join(", ")), why);
        let mut fields = Vec::new();
        let mut whole = None;
        for part in &parts {
            let pieces: Vec<_> = part.split(':').map(str::trim).collect();
            match pieces[..] {
                [kind] => whole = Some(target(kind)?),
                [name, kind] => fields.push((name.to_string(), target(kind)?)),
                _ => return Err(refused(&format!("Invalid rename mapping: {part}"))),
            }
        }
        let spec = match (whole, fields.is_empty()) {
            (Some(kind), true) if parts.len() == 1 => Spec::Whole(kind),
            (None, false) => Spec::Fields(fields),
            _ => {
                return Err(refused(
                    "Cast transformations that specify a type to cast the entire value to may \
                     ony specify a single cast in their spec",
                ));
            }
        };
        let replace_null = options.boolean("replace.null.with.default", true)?;
        Ok(Cast { side, spec, replace_null, plans: PlanCache::default() })
    }
}

fn target(name: &str) -> Result<Type, Failure> {
    let found = TARGETS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, kind)| *kind).ok_or_else(|| match name.to_ascii_uppercase().as_str() {
        upper @ ("BYTES" | "ARRAY" | "MAP" | "STRUCT") => Failure::config(format!(
            "Cast transformation does not support casting to {upper}; supported types are {}",
            supported()
        )),
        _ => Failure::config(format!("Invalid type found in casting spec: {name}")),
    })
}

fn supported() -> String {
    let names: Vec<_> = TARGETS.iter().map(|(_, kind)| kind.name()).collect();
    format!("[{}]", names.join(", "))
}

fn plan(spec: &Spec, schema: &Schema) -> Result<Plan, Failure> {
    let (mut def, casts) = match spec {
        Spec::Whole(kind) => (SchemaDef::basics_of(schema, *kind), vec![]),
        Spec::Fields(fields) => {
            let mut def = SchemaDef::basics_of(schema, Type::Struct);
            let mut casts = Vec::new();
            for (at, field) in schema.fields.iter().enumerate() {
                let target = fields.iter().rev().find(|(name, _)| **name == *field.name);
                let out = match target {
                    None => field.schema.clone(),
                    Some((_, kind)) => {
                        casts.push((at, *kind));
                        cast_schema(&field.schema, *kind)?
                    }
                };
                def.add_field(field.name.clone(), out)?;
            }
            def.default = schema.default.clone();
            (def, casts)
        }
    };
    def.optional = schema.optional;
    if let (Spec::Whole(kind), Some(default)) = (spec, &schema.default) {
        def.default = Some(cast(Some(schema), default.clone(), *kind)?);
    }
    Ok(Plan { out: def.build(), casts })
}

/// The field's schema after the cast: plain, as optional as before, its default cast too.
fn cast_schema(schema: &Schema, kind: Type) -> Result<Schema, Failure> {
    let mut def = SchemaDef::new(kind);
    def.optional = schema.optional;
    if let Some(default) = &schema.default {
        def.default = Some(cast(Some(schema), default.clone(), kind)?);
    }
    Ok(def.build())
}

impl Transform for Cast {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let value = self.side.of(record);
        if value.datum.is_null() {
            return Ok(Step::Keep);
        }
        let spec = &self.spec;
        let take = |datum: &mut Datum<'a>| std::mem::replace(datum, Datum::Null);
        let Some(schema) = &value.schema else {
            match spec {
                Spec::Whole(kind) => value.datum = cast(None, take(&mut value.datum), *kind)?,
                Spec::Fields(fields) => {
                    let entries = map_of(&mut value.datum, "type casting")?;
                    for (name, kind) in fields {
                        match entries.iter_mut().find(|(key, _)| key.as_str() == Some(name)) {
                            Some((_, datum)) => *datum = cast(None, take(datum), *kind)?,
                            None => entries.push((Datum::text(name.clone()), Datum::Null)),
                        }
                    }
                }
            }
            return Ok(Step::Keep);
        };
        let plan = self.plans.get(schema, |schema| plan(spec, schema))?;
        match spec {
            Spec::Whole(kind) => value.datum = cast(Some(schema), take(&mut value.datum), *kind)?,
            Spec::Fields(_) => {
                let values = struct_of(&mut value.datum, "type casting")?;
                if self.replace_null {
                    fill_defaults(values, schema);
                }
                for &(at, kind) in &plan.casts {
                    let field = &schema.fields[at];
                    values[at] = cast(Some(&field.schema), take(&mut values[at]), kind)?;
                }
            }
        }
        value.schema = Some(plan.out.clone());
        Ok(Step::Keep)
    }
}

/// One value cast.
pub(super) fn cast<'a>(
    schema: Option<&Schema>,
    datum: Datum<'a>,
    kind: Type,
) -> Result<Datum<'a>, Failure> {
    if datum.is_null() {
        return Ok(Datum::Null);
    }
    if let Datum::Instant(_) = datum {
        return Err(Failure::data(format!(
            "Cast transformation was passed a value of type {} which is not supported by \
             Connect's data API",
            datum.java_class()
        )));
    }
    let nested = match &datum {
        Datum::Array(_) => Some("ARRAY"),
        Datum::Map(_) => Some("MAP"),
        Datum::Struct(_) => Some("STRUCT"),
        _ => None,
    };
    if let Some(nested) = nested {
        return Err(Failure::data(format!(
            "Cast transformation does not support casting from {nested}; supported types are {}",
            supported()
        )));
    }
    Ok(match kind {
        Type::Int8 => Datum::Int8(to_integer(&datum, i8::MIN.into(), i8::MAX.into())? as i8),
        Type::Int16 => Datum::Int16(to_integer(&datum, i16::MIN.into(), i16::MAX.into())? as i16),
        Type::Int32 => Datum::Int32(to_integer(&datum, i32::MIN.into(), i32::MAX.into())? as i32),
        Type::Int64 => Datum::Int64(to_integer(&datum, i64::MIN, i64::MAX)?),
        Type::Float32 => Datum::Float32(to_float(&datum)?.1),
        Type::Float64 => Datum::Float64(to_float(&datum)?.0),
        Type::Boolean => Datum::Boolean(match &datum {
            Datum::String(text) => text.eq_ignore_ascii_case("true"),
            Datum::Boolean(value) => *value,
            number => to_integer(number, i64::MIN, i64::MAX)? != 0,
        }),
        Type::String => Datum::text(to_text(schema, &datum)),
        Type::Bytes | Type::Array | Type::Map | Type::Struct => unreachable_target(kind)?,
    })
}

/// Targets are checked when the spec is read.
fn unreachable_target<'a>(kind: Type) -> Result<Datum<'a>, Failure> {
    Err(Failure::data(format!("Cast transformation does not support casting to {}", kind.name())))
}

/// The low 64 bits of the whole part.
pub(super) fn low_bits(decimal: &Decimal) -> i64 {
    // Beyond thousands of digits all low bits are zero: the number is a multiple of a power of ten.
    decimal.to_integer().map_or(0, |whole| truncated(&whole))
}

fn truncated(whole: &BigInt) -> i64 {
    let modulus: BigInt = BigInt::from(1) << 64;
    let low = ((whole % &modulus) + &modulus) % &modulus;
    low.to_u64().unwrap_or(0) as i64
}

/// As Java narrows: whole numbers keep their low bits, floats saturate, and reach the two small
/// types through int32. The caller cuts to its width. A whole number beyond int64 is refused.
fn to_integer(datum: &Datum<'_>, min: i64, max: i64) -> Result<i64, Failure> {
    let small = max < i64::from(i32::MAX);
    let float = |value: f64| {
        if small || max == i64::from(i32::MAX) { i64::from(value as i32) } else { value as i64 }
    };
    match datum {
        Datum::Int8(v) => Ok(i64::from(*v)),
        Datum::Int16(v) => Ok(i64::from(*v)),
        Datum::Int32(v) => Ok(i64::from(*v)),
        Datum::Int64(v) => Ok(*v),
        Datum::Float32(v) => Ok(float(f64::from(*v))),
        Datum::Float64(v) => Ok(float(*v)),
        Datum::Decimal(decimal) => Ok(low_bits(decimal)),
        Datum::Number(text) if number::is_whole(text) => Err(out_of_range(text)),
        Datum::Number(text) => Ok(float(text.parse().map_err(|_| out_of_range(text))?)),
        Datum::Boolean(v) => Ok(i64::from(*v)),
        Datum::String(text) => {
            number::parse_java_integer(text, min, max).ok_or_else(|| out_of_range(text))
        }
        other => Err(unexpected(other)),
    }
}

fn out_of_range(text: &str) -> Failure {
    Failure::data(format!("Value ({text}) was out of range for requested data type"))
}

fn unexpected(datum: &Datum<'_>) -> Failure {
    Failure::data(format!("Unexpected type in Cast transformation: class {}", datum.java_class()))
}

/// The value as double and as float, each rounded once from the original.
fn to_float(datum: &Datum<'_>) -> Result<(f64, f32), Failure> {
    let whole = |v: i64| (v as f64, v as f32);
    match datum {
        Datum::Int8(v) => Ok(whole((*v).into())),
        Datum::Int16(v) => Ok(whole((*v).into())),
        Datum::Int32(v) => Ok(whole((*v).into())),
        Datum::Int64(v) => Ok(whole(*v)),
        Datum::Float32(v) => Ok((f64::from(*v), *v)),
        Datum::Float64(v) => Ok((*v, *v as f32)),
        Datum::Decimal(decimal) => Ok((decimal.to_f64(), decimal.to_f32())),
        Datum::Boolean(v) => Ok(whole((*v).into())),
        Datum::Number(text) | Datum::String(text) => {
            let both = number::parse_java_double(text).zip(number::parse_java_float(text));
            both.ok_or_else(|| out_of_range(text))
        }
        other => Err(unexpected(other)),
    }
}

/// The value's text, as Java's `toString` and Connect's date forms have it.
fn to_text(schema: Option<&Schema>, datum: &Datum<'_>) -> String {
    match datum {
        Datum::Null | Datum::Instant(_) | Datum::Array(_) | Datum::Map(_) | Datum::Struct(_) => {
            String::new()
        }
        Datum::Boolean(v) => v.to_string(),
        Datum::Int8(v) => v.to_string(),
        Datum::Int16(v) => v.to_string(),
        Datum::Int32(v) => date_or_number(schema, (*v).into()),
        Datum::Int64(v) => date_or_number(schema, *v),
        Datum::Float32(v) => number::java_float(*v),
        Datum::Float64(v) => number::java_double(*v),
        Datum::Number(text) => number_text(text),
        Datum::String(text) => text.to_string(),
        Datum::Bytes(bytes) => BASE64.encode(bytes),
        Datum::Decimal(decimal) => decimal.to_string(),
    }
}

/// As Java prints the double, if a double holds the number; else the digits as they came.
fn number_text(text: &str) -> String {
    let java = text.parse().map(number::java_double).unwrap_or_default();
    match (Decimal::parse(text), Decimal::parse(&java)) {
        (Some(exact), Some(double))
            if exact.is_number(&double) && text.contains(['.', 'e', 'E']) =>
        {
            java
        }
        _ => text.to_string(),
    }
}

fn date_or_number(schema: Option<&Schema>, value: i64) -> String {
    let millis = match schema.map(Schema::logical) {
        Some(Logical::Date) => return date_text(value),
        Some(Logical::Time | Logical::Timestamp) => value,
        _ => return value.to_string(),
    };
    // Connect prints the shortest form that shows the instant; before 1970 only the full one does.
    let pattern = match millis {
        0..MILLIS_PER_DAY => "HH:mm:ss.SSS'Z'",
        _ if millis > 0 && millis % MILLIS_PER_DAY == 0 => "yyyy-MM-dd",
        _ => "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
    };
    DateFormat::compile(pattern).expect("a pattern of our own").format(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(datum: Datum<'static>, kind: Type, expect: Result<Datum<'static>, &str>) {
        let found = cast(None, datum.clone(), kind).map_err(|failure| failure.message);
        assert_eq!(found, expect.map_err(str::to_string), "{datum:?} to {kind:?}");
    }

    #[test]
    fn narrowing_follows_java() {
        check(Datum::Int64(300), Type::Int8, Ok(Datum::Int8(44)));
        check(Datum::Float64(1e20), Type::Int32, Ok(Datum::Int32(i32::MAX)));
        check(Datum::Float64(1e20), Type::Int8, Ok(Datum::Int8(-1)));
        check(Datum::Float64(f64::NAN), Type::Int64, Ok(Datum::Int64(0)));
        check(Datum::Number("0.9".into()), Type::Boolean, Ok(Datum::Boolean(false)));
        check(Datum::Boolean(true), Type::Float32, Ok(Datum::Float32(1.0)));
    }

    #[test]
    fn a_number_no_double_holds_keeps_its_digits_as_text() {
        let text = |text: &'static str| Ok(Datum::text(text));
        let number = |text: &'static str| Datum::Number(text.into());
        check(number("1e-05"), Type::String, text("1.0E-5"));
        check(number("1.50"), Type::String, text("1.5"));
        check(number("123456789012345678.12"), Type::String, text("123456789012345678.12"));
        check(number("9223372036854775808"), Type::String, text("9223372036854775808"));
        check(
            number("9223372036854775808"),
            Type::Int64,
            Err("Value (9223372036854775808) was out of range for requested data type"),
        );
    }
}
