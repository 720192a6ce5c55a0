//! Vectors about configuration files: properties, references, JAAS texts and client properties.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value as Json;
use starsink::config::Environment;
use starsink::config::entry::{Entry, Origin};
use starsink::config::job::{OAuth, PropertyValue};
use starsink::config::pattern::TopicPattern;
use starsink::config::properties;
use starsink::config::providers::Providers;
use starsink::config::settings::java_list;
use starsink::data::options::parse_list;
use starsink::java_regex::JavaRegex;
use starsink::kafka::{auth, jaas};
use starsink::secret::Secret;

use super::super::Deviation;
use super::super::notation::bytes;
use super::{Checked, differs, refusal};

type Texts = BTreeMap<String, String>;

fn text_map(json: &Json) -> Texts {
    let members = json.as_object().into_iter().flatten();
    members.map(|(k, v)| (k.clone(), v.as_str().expect("text").to_string())).collect()
}

fn texts(json: &Json) -> Vec<String> {
    let text = |json: &Json| json.as_str().expect("text").to_string();
    json.as_array().expect("a list").iter().map(text).collect()
}

fn entry(key: &str, value: &str) -> Entry {
    Entry { key: key.to_string(), value: value.to_string(), origin: Origin::Default }
}

fn same_map(found: Texts, expected: Texts) -> Checked {
    if found != expected { differs("the map", found, expected) } else { Ok(()) }
}

pub(crate) fn properties(vector: &Json, deviation: Option<&Deviation>) -> Checked {
    let input = bytes(&vector["input"]).expect("an input");
    let happened = properties::parse(&input)
        .map(|parsed| parsed.pairs.into_iter().map(|pair| (pair.key, pair.value)).collect())
        .map_err(|error| ("parse", format!("{error:?}")));
    let expect = &vector["expect"];
    let Some(found) = refusal(happened, expect, deviation)? else { return Ok(()) };
    let expected = match deviation {
        Some(Deviation::Gives(json)) => serde_json::from_str(json).expect("JSON"),
        _ => expect["map"].clone(),
    };
    same_map(found, text_map(&expected))
}

pub(crate) fn references(vector: &Json) -> Checked {
    let files = text_map(&vector["files"]);
    let vars = text_map(&vector["env"]);
    let read = |path: &Path| {
        let found = files.get(&path.display().to_string());
        found.map(|text| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    };
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
    let happened = resolve_all(&text_map(&vector["config"]), &environment);
    let Some(found) = refusal(happened, &vector["expect"], None)? else { return Ok(()) };
    same_map(found, text_map(&vector["expect"]["map"]))
}

fn resolve_all(config: &Texts, environment: &Environment<'_>) -> super::Happened<Texts> {
    let providers =
        Providers::declared(|_| None).map_err(|problem| ("configure", format!("{problem:?}")))?;
    let mut found = Texts::new();
    for (key, value) in config {
        let mut entry = entry(key, value);
        providers
            .resolve(&mut entry, environment, &mut vec![])
            .map_err(|problem| ("resolve", format!("{problem:?}")))?;
        found.insert(entry.key, entry.value);
    }
    Ok(found)
}

pub(crate) fn jaas_text(vector: &Json) -> Checked {
    let parsed = jaas::parse(vector["text"].as_str().expect("text"));
    let happened = parsed.map_err(|error| ("parse", format!("{error:?}")));
    let Some(found) = refusal(happened, &vector["expect"], None)? else { return Ok(()) };
    let expected = &vector["expect"]["entries"][0];
    if expected["module"] != found.module.as_str() || expected["flag"] != found.flag.as_str() {
        return differs("the login", (found.module, found.flag), expected);
    }
    same_map(found.options, text_map(&expected["options"]))
}

/// The pattern as transforms and predicates use it, and as `topics.regex` does.
pub(crate) fn topic_regex(vector: &Json) -> Checked {
    let text = vector["regex"].as_str().expect("a pattern");
    let regex = JavaRegex::compile(text).map_err(|failure| failure.message)?;
    let pattern = TopicPattern::new(text).map_err(|error| format!("{error:?}"))?;
    let topics = texts(&vector["topics"]);
    let expected = texts(&vector["expect"]["subscribed"]);
    let found: [Vec<String>; 2] = [
        topics.iter().filter(|topic| regex.is_full_match(topic)).cloned().collect(),
        topics.iter().filter(|topic| pattern.is_match(topic)).cloned().collect(),
    ];
    match found.iter().find(|found| **found != expected) {
        Some(found) => differs("the subscription", found, expected),
        None => Ok(()),
    }
}

/// A list as a transform's option and as a key of the connector.
pub(crate) fn list(vector: &Json) -> Checked {
    let text = vector["text"].as_str().expect("text");
    let expected = texts(&vector["expect"]["list"]);
    match [parse_list(text), java_list(text)].iter().find(|found| **found != expected) {
        Some(found) => differs("the list", found, expected),
        None => Ok(()),
    }
}

pub(crate) fn client_properties(vector: &Json) -> Checked {
    let java: Vec<(String, Entry)> = text_map(&vector["java"])
        .into_iter()
        .map(|(key, value)| (key.clone(), entry(&key, &value)))
        .collect();
    let vars = BTreeMap::new();
    let read = |_: &Path| Ok(include_bytes!("../../../fixtures/stores/trust.p12").to_vec());
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
    let request = auth::Request {
        java: &java,
        kafka_password: None,
        librdkafka: &[],
        client_id: String::new(),
        environment: &environment,
    };
    let mut problems = vec![];
    let translated = auth::translate(&request, &mut problems, &mut vec![]);
    if !problems.is_empty() {
        return Err(format!("refused: {problems:?}"));
    }
    let mut expected = text_map(&vector["expect"]["librdkafka"]);
    // Partitions are taken whole here: no assignor but the eager ones is offered.
    if let Some(assignor) = expected.get_mut("partition.assignment.strategy") {
        *assignor = "range".to_string();
    }
    // Tokens are fetched here and not by librdkafka.
    let oauth = expected_oauth(&mut expected);
    if translated.oauth != oauth {
        return differs("the login", translated.oauth, oauth);
    }
    for (name, value) in expected {
        let found = translated.properties.iter().find(|(known, _)| *known == name);
        let hidden = PropertyValue::Hidden(Secret::new(value.clone()));
        let plain = PropertyValue::Plain(value.clone());
        let found = found.map(|(_, value)| value);
        if found != Some(&plain) && found != Some(&hidden) {
            return differs(&name, found, value);
        }
    }
    Ok(())
}

/// Takes what would have librdkafka fetch tokens out of `expected`.
fn expected_oauth(expected: &mut Texts) -> Option<OAuth> {
    let mut take = |name: &str| expected.remove(&format!("sasl.oauthbearer.{name}"));
    take("method");
    let extensions = take("extensions").unwrap_or_default();
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').expect("name=value");
        (name.to_string(), value.to_string())
    };
    Some(OAuth {
        endpoint: take("token.endpoint.url")?,
        client_id: take("client.id")?,
        client_secret: Secret::new(take("client.secret")?),
        scope: take("scope"),
        extensions: extensions.split(',').filter(|text| !text.is_empty()).map(pair).collect(),
    })
}
