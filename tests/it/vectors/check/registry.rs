//! Vectors of the registry formats: a schema and a datum in, Connect data out. The messages' bytes
//! are made here, independent of the program.

use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use serde_json::Value as Json;
use starsink::convert::avro::{AvroDecoder, AvroOptions};
use starsink::convert::json_schema::{JsonSchemaDecoder, JsonSchemaOptions};
use starsink::convert::protobuf::{ProtobufDecoder, ProtobufOptions};
use starsink::data::options::Options;
use starsink::data::{Failure, Value};

use super::super::Deviation;
use super::super::notation::{hex, schema, under};
use super::{Checked, differs, refusal, same};

fn options(vector: &Json) -> Options {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let pairs = vector["config"].as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), text(value))).collect()
}

fn version(vector: &Json) -> Option<i32> {
    vector["version"].as_i64().and_then(|version| i32::try_from(version).ok())
}

/// Compares with what is expected: the schema only where the vector names one.
fn compare(
    happened: Result<Value<'static>, Failure>,
    vector: &Json,
    deviation: Option<&Deviation>,
) -> Checked {
    let mut expect = vector["expect"].clone();
    if let Some(error) = expect.get_mut("error") {
        error["phase"] = "convert".into();
    }
    let happened = happened.map_err(|failure| ("convert", failure.message));
    let Some(found) = refusal(happened, &expect, deviation)? else { return Ok(()) };
    if let Some(json) = expect.get("schema")
        && found.schema != schema(json)
    {
        return differs("the schema", &found.schema, schema(json));
    }
    let Some(schema) = &found.schema else { return differs("the schema", "none", "one") };
    let expected = under(schema, &expect["value"]);
    if !same(&found.datum, &expected) {
        return differs("the value", &found.datum, expected);
    }
    Ok(())
}

pub(crate) fn avro(vector: &Json, deviation: Option<&Deviation>) -> Checked {
    let happened = (|| {
        let options = AvroOptions::compile(&options(vector))?;
        let text = vector["schema"].to_string();
        let decoder = AvroDecoder::compile(&text, &[], version(vector), options)?;
        let mut bytes = Vec::new();
        encode(&vector["schema"], &vector["datum"], &mut bytes);
        decoder
            .decode(&bytes)
            .map(|value| Value { schema: value.schema, datum: value.datum.into_owned() })
    })();
    compare(happened, vector, deviation)
}

/// Avro's binary form of a datum in the vectors' notation.
fn encode(schema: &Json, datum: &Json, out: &mut Vec<u8>) {
    if let Some(members) = schema.as_array() {
        let at = members.iter().position(|member| fits(member, datum)).expect("a union's member");
        zigzag(at as i64, out);
        let inner = datum
            .as_object()
            .filter(|_| !is_complex(&members[at]))
            .and_then(|object| object.values().next().filter(|_| !object.contains_key("hex")));
        return encode(&members[at], inner.unwrap_or(datum), out);
    }
    let kind = schema["type"].as_str().or(schema.as_str());
    let Some(kind) = kind else { return encode(&schema["type"], datum, out) };
    match kind {
        "null" => {}
        "boolean" => out.push(datum.as_bool().expect("a boolean").into()),
        "int" | "long" => zigzag(datum.as_i64().expect("an integer"), out),
        "float" => {
            out.extend((datum.as_f64().expect("a number") as f32).to_le_bytes());
        }
        "double" => out.extend(datum.as_f64().expect("a number").to_le_bytes()),
        "string" => {
            let text = datum.as_str().expect("text");
            zigzag(text.len() as i64, out);
            out.extend(text.as_bytes());
        }
        "bytes" => {
            let bytes = hex(datum["hex"].as_str().expect("hexadecimal"));
            zigzag(bytes.len() as i64, out);
            out.extend(bytes);
        }
        "fixed" => out.extend(hex(datum["hex"].as_str().expect("hexadecimal"))),
        "enum" => {
            let symbols = schema["symbols"].as_array().expect("symbols");
            zigzag(symbols.iter().position(|s| s == datum).expect("a symbol") as i64, out);
        }
        "array" => {
            let items = datum.as_array().expect("an array");
            if !items.is_empty() {
                zigzag(items.len() as i64, out);
                items.iter().for_each(|item| encode(&schema["items"], item, out));
            }
            out.push(0);
        }
        "map" => {
            let entries = datum.as_object().expect("a map");
            if !entries.is_empty() {
                zigzag(entries.len() as i64, out);
                for (key, value) in entries {
                    zigzag(key.len() as i64, out);
                    out.extend(key.as_bytes());
                    encode(&schema["values"], value, out);
                }
            }
            out.push(0);
        }
        "record" => {
            for field in schema["fields"].as_array().expect("fields") {
                let name = field["name"].as_str().expect("a name");
                encode(&field["type"], &datum[name], out);
            }
        }
        other => panic!("no encoder for Avro type {other}"),
    }
}

fn is_complex(schema: &Json) -> bool {
    matches!(schema["type"].as_str(), Some("record" | "map"))
}

fn fits(schema: &Json, datum: &Json) -> bool {
    let kind = schema["type"].as_str().or(schema.as_str()).unwrap_or_default();
    match datum {
        Json::Null => kind == "null",
        Json::Bool(_) => kind == "boolean",
        Json::Number(number) if number.is_i64() => matches!(kind, "int" | "long"),
        Json::Number(_) => matches!(kind, "float" | "double"),
        Json::String(_) => matches!(kind, "string" | "enum"),
        Json::Array(_) => kind == "array",
        Json::Object(members) if members.contains_key("hex") => matches!(kind, "bytes" | "fixed"),
        Json::Object(members) => {
            // Avro's JSON names the member: {"string": …}.
            let named = members
                .keys()
                .next()
                .is_some_and(|name| name == kind || Some(name.as_str()) == schema["name"].as_str());
            named || matches!(kind, "record" | "map")
        }
    }
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn protobuf(vector: &Json, deviation: Option<&Deviation>) -> Checked {
    let happened = (|| {
        let options = ProtobufOptions::compile(&options(vector))?;
        let proto = vector["proto"].as_str().expect("a schema");
        // The message is of the last type in the file.
        let messages = (0..)
            .take_while(|&at| ProtobufDecoder::compile(proto, &[], &[at], None, options).is_ok());
        let last = messages.last().unwrap_or(0);
        let decoder = ProtobufDecoder::compile(proto, &[], &[last], version(vector), options)?;
        let text = vector["message"].as_str().expect("a message");
        let message = DynamicMessage::parse_text_format(decoder.message().clone(), text)
            .expect("text format");
        decoder.decode(&message.encode_to_vec())
    })();
    compare(happened, vector, deviation)
}

pub(crate) fn json_schema(vector: &Json, deviation: Option<&Deviation>) -> Checked {
    let happened = (|| {
        let options = JsonSchemaOptions::compile(&options(vector))?;
        let text = vector["schema"].to_string();
        let decoder = JsonSchemaDecoder::compile(&text, &[], version(vector), options)?;
        let payload = vector["payload"].as_str().expect("a payload").as_bytes();
        decoder
            .decode(payload)
            .map(|value| Value { schema: value.schema, datum: value.datum.into_owned() })
    })();
    compare(happened, vector, deviation)
}
