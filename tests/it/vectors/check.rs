//! One vector of each kind: what goes in, what must come out.

mod config;
mod registry;

use serde_json::Value as Json;
use starsink::convert::{Converter, wire};
use starsink::data::options::Options;
use starsink::data::{ConnectRecord, Header, Value};
use starsink::record::Offset;
use starsink::transform::date_format::DateFormat;
use starsink::transform::{Chain, Outcome};

use super::Deviation;
use super::notation::{bytes, hex, same, schema, untyped, value};

type Checked = Result<(), String>;

/// Runs one vector; `None` if its kind is not known.
pub(crate) fn vector(kind: &str, vector: &Json, deviation: Option<&Deviation>) -> Option<Checked> {
    Some(match kind {
        "transform" => transform(vector, deviation),
        "converter" => converter(vector, deviation),
        "header" => header(vector),
        "avro" => registry::avro(vector, deviation),
        "protobuf" => registry::protobuf(vector, deviation),
        "json_schema" => registry::json_schema(vector, deviation),
        "wire" => framing(vector),
        "topic_regex" => config::topic_regex(vector),
        "list" => config::list(vector),
        "properties" => config::properties(vector, deviation),
        "config_provider" => config::references(vector),
        "jaas" => config::jaas_text(vector),
        "client_props" => config::client_properties(vector),
        "simple_date_format" => date_format(vector),
        _ => return None,
    })
}

fn expected_phase(expect: &Json) -> Option<&str> {
    expect.get("error").map(|error| error["phase"].as_str().unwrap_or("convert"))
}

/// What happened: a result, or a refusal in a phase.
type Happened<T> = Result<T, (&'static str, String)>;

/// Compares a refusal with what the vector, or our deviation from it, asks for. `Ok(Some)` is a
/// result that is still to be compared.
fn refusal<T>(
    happened: Happened<T>,
    expect: &Json,
    deviation: Option<&Deviation>,
) -> Result<Option<T>, String> {
    match (happened, deviation) {
        (Err((_, message)), Some(Deviation::Refuses(words))) => {
            if message.contains(words) {
                Ok(None)
            } else {
                Err(format!("refused, but with `{message}`"))
            }
        }
        (Ok(_), Some(Deviation::Refuses(_))) => Err("was to be refused here".into()),
        (Ok(found), Some(Deviation::Gives(_))) => Ok(Some(found)),
        (Ok(found), None) => match expected_phase(expect) {
            None => Ok(Some(found)),
            Some(phase) => Err(format!("was to be refused in phase {phase}")),
        },
        (Err((phase, message)), _) => match expected_phase(expect) {
            Some(expected) if expected == phase => Ok(None),
            Some(expected) => Err(format!("refused in phase {phase}, not {expected}: {message}")),
            None => Err(format!("refused: {message}")),
        },
    }
}

fn differs(what: &str, found: impl std::fmt::Debug, expected: impl std::fmt::Debug) -> Checked {
    Err(format!("{what} is {found:?}, not {expected:?}"))
}

fn same_value(what: &str, found: &Value<'_>, expected: &Value<'_>) -> Checked {
    if found.schema != expected.schema {
        return differs(&format!("{what} schema"), &found.schema, &expected.schema);
    }
    if !same(&found.datum, &expected.datum) {
        return differs(what, &found.datum, &expected.datum);
    }
    Ok(())
}

/// The record a vector describes, absent members by the file's defaults.
fn record(json: &Json) -> ConnectRecord<'static> {
    let number = |key: &str, default: i64| match json.get(key) {
        None => Some(default),
        Some(value) => value.as_i64(),
    };
    let header = |header: &Json| Header {
        name: header["key"].as_str().expect("a header's name").to_string().into(),
        value: value(&header["schema"], &header["value"]),
    };
    ConnectRecord {
        topic: json.get("topic").and_then(Json::as_str).unwrap_or("orders").into(),
        partition: number("partition", 0).expect("a partition") as u32,
        offset: Offset(number("offset", 0).expect("an offset") as u64),
        timestamp: number("timestamp", 1_700_000_000_123),
        key: value(&json["key_schema"], &json["key"]),
        value: value(&json["value_schema"], &json["value"]),
        headers: json["headers"].as_array().into_iter().flatten().map(header).collect(),
    }
}

fn transform(vector: &Json, deviation: Option<&Deviation>) -> Checked {
    let expect = &vector["expect"];
    let given = &vector["record"];
    let mut config: Vec<(String, String)> = vector["transforms"]
        .as_object()
        .expect("a configuration")
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().expect("text").to_string()))
        .collect();
    // The profile says which generation's defaults Debezium's unwrap has.
    if vector["profile"] == "debezium-2.5..3.1" {
        for alias in ["u", "unwrap"] {
            config.push((format!("transforms.{alias}.starsink.debezium"), "3.1".into()));
        }
    }
    let happened = Chain::compile(&config.into_iter().collect())
        .map_err(|problem| ("configure", format!("{problem}: {:?}", problem.causes)))
        .and_then(|mut chain| {
            let mut record = record(given);
            match chain.apply(&mut record) {
                Ok(Outcome::Keep) => Ok(Some(record)),
                Ok(Outcome::Drop(_)) => Ok(None),
                Ok(Outcome::Many(_)) => Err(("apply", "became several records".to_string())),
                Err(error) => Err(("apply", error.to_string())),
            }
        });
    let Some(found) = refusal(happened, expect, deviation)? else { return Ok(()) };
    match (found, expect["dropped"] == true) {
        (None, true) => Ok(()),
        (None, false) => Err("was dropped".into()),
        (Some(_), true) => Err("was to be dropped".into()),
        (Some(found), false) => {
            // Members that the expectation does not name are those of the input, as written.
            let mut after = given.clone();
            for (key, value) in expect.as_object().expect("an expectation") {
                if key != "unchanged" {
                    after[key] = value.clone();
                }
            }
            if let Some(Deviation::Gives(json)) = deviation {
                after["value"] = serde_json::from_str(json).expect("JSON");
            }
            // A value that lost its side lost its schema with it, unless one is named.
            same_record(&found, &record(&after))
        }
    }
}

fn same_record(found: &ConnectRecord<'_>, expected: &ConnectRecord<'_>) -> Checked {
    if found.topic != expected.topic {
        return differs("the topic", &found.topic, &expected.topic);
    }
    let place = |record: &ConnectRecord<'_>| (record.partition, record.offset, record.timestamp);
    if place(found) != place(expected) {
        return differs("the place", place(found), place(expected));
    }
    same_value("the key", &found.key, &expected.key)?;
    same_value("the value", &found.value, &expected.value)?;
    let names = |record: &ConnectRecord<'_>| -> Vec<String> {
        record.headers.iter().map(|header| header.name.to_string()).collect()
    };
    if names(found) != names(expected) {
        return differs("the headers", names(found), names(expected));
    }
    for (found, expected) in found.headers.iter().zip(&expected.headers) {
        same_value(&format!("header {}", expected.name), &found.value, &expected.value)?;
    }
    Ok(())
}

fn converter(vector: &Json, deviation: Option<&Deviation>) -> Checked {
    let expect = &vector["expect"];
    let members = vector["converter"].as_object().expect("a converter");
    let class = members["class"].as_str().expect("a class");
    let options: Options = members
        .iter()
        .filter(|(key, _)| *key != "class")
        .map(|(key, value)| (key.clone(), value.as_str().expect("text").to_string()))
        .collect();
    let input = bytes(&vector["input"]);
    let happened = Converter::compile(class, &options)
        .map_err(|failure| ("configure", failure.message))
        .and_then(|mut converter| {
            let value = converter.convert(input.as_deref());
            let owned =
                |value: Value<'_>| Value { schema: value.schema, datum: value.datum.into_owned() };
            value.map(owned).map_err(|failure| ("convert", failure.message))
        });
    // A vector with advice that no deviation lists: schemaless JSON arrives digit for digit.
    let advised = vector.get("advice").is_some() && deviation.is_none();
    if advised && happened.is_err() {
        return Ok(());
    }
    let Some(found) = refusal(happened, expect, deviation)? else { return Ok(()) };
    let expected = match deviation {
        Some(Deviation::Gives(json)) => {
            let json: Json = serde_json::from_str(json).expect("JSON");
            Value::schemaless(untyped(&json))
        }
        _ => value(&expect["schema"], &expect["value"]),
    };
    match same_value("the value", &found, &expected) {
        Err(_) if advised && found.schema.is_none() => {
            let text = vector["input"].as_str().unwrap_or_default();
            let exact: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
            same_value("the value", &found, &Value::schemaless(untyped(&exact)))
        }
        other => other,
    }
}

fn header(vector: &Json) -> Checked {
    let mut converter = Converter::compile(
        "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        &Options::default(),
    )
    .map_err(|failure| failure.message)?;
    let input = bytes(&vector["input"]);
    let found = converter.convert(input.as_deref()).map_err(|failure| failure.message)?;
    let expect = &vector["expect"];
    // Where elements have no common schema they describe themselves, in the narrowest type; the
    // notation shows only their numbers.
    let expected_schema = schema(&expect["schema"]);
    if found.schema != expected_schema {
        return differs("the schema", &found.schema, &expected_schema);
    }
    let mixed = expected_schema.as_ref().is_some_and(|schema| {
        matches!(schema.kind, starsink::data::Type::Array | starsink::data::Type::Map)
            && schema.items.is_none()
    });
    let mut text = Vec::new();
    if mixed {
        starsink::data::json_text::write(
            &mut text,
            found.schema.as_ref(),
            &found.datum,
            starsink::data::json_text::Times::Numbers,
        )
        .map_err(|failure| failure.message)?;
        let found: Json = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        return if found == expect["value"] {
            Ok(())
        } else {
            differs("the value", found, &expect["value"])
        };
    }
    same_value("the value", &found, &value(&expect["schema"], &expect["value"]))
}

fn framing(vector: &Json) -> Checked {
    let expect = &vector["expect"];
    let name = if vector["is_key"] == true { wire::KEY_HEADER } else { wire::VALUE_HEADER };
    let block = vector["headers"]
        .as_array()
        .into_iter()
        .flatten()
        .rfind(|header| header["key"] == name && !header["value"].is_null())
        .and_then(|header| bytes(&header["value"]));
    let input = bytes(&vector["input"]).unwrap_or_default();
    let framed = wire::split(block.as_deref(), &input, vector["format"] == "PROTOBUF");
    let happened = framed.map_err(|failure| ("convert", failure.message));
    let Some(found) = refusal(happened, expect, None)? else { return Ok(()) };
    let id = match (expect["schema_id"].as_i64(), expect["guid"].as_str()) {
        (Some(id), _) => id.to_string(),
        (None, guid) => guid.unwrap_or_default().to_string(),
    };
    if found.id.to_string() != id {
        return differs("the id", found.id, id);
    }
    let indexes: Vec<i64> = expect["message_indexes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_i64)
        .collect();
    let found_indexes: Vec<i64> = found.message_indexes.iter().map(|&index| index.into()).collect();
    if found_indexes != indexes {
        return differs("the message indexes", found_indexes, indexes);
    }
    let payload = hex(expect["payload_hex"].as_str().expect("a payload"));
    if found.payload != payload {
        return differs("the payload", found.payload, payload);
    }
    Ok(())
}

fn date_format(vector: &Json) -> Checked {
    let expect = &vector["expect"];
    let format = DateFormat::compile(vector["pattern"].as_str().expect("a pattern"));
    let happened =
        format.map_err(|failure| ("configure", failure.message)).and_then(|format| {
            match (vector["millis"].as_i64(), vector["parse"].as_str()) {
                (Some(millis), _) => Ok(Json::from(format.format(millis))),
                (None, Some(text)) => match format.parse(text) {
                    Some(millis) => Ok(Json::from(millis)),
                    None => Err(("parse", "does not match the pattern".to_string())),
                },
                (None, None) => Err(("apply", "nothing to do".to_string())),
            }
        });
    let Some(found) = refusal(happened, expect, None)? else { return Ok(()) };
    let expected = expect.get("formatted").or_else(|| expect.get("parsed")).unwrap_or(&Json::Null);
    if found != *expected {
        return differs("the result", found, expected);
    }
    Ok(())
}
