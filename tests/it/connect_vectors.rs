//! Recorded results of Kafka's own Java classes: properties files, lists, config providers, JAAS
//! texts, topic patterns and client properties.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value;
use starsink::config::Environment;
use starsink::config::entry::{Entry, Origin};
use starsink::config::job::{OAuth, PropertyValue};
use starsink::config::pattern::TopicPattern;
use starsink::config::properties;
use starsink::config::providers::Providers;
use starsink::config::settings::java_list;
use starsink::kafka::{auth, jaas};
use starsink::secret::Secret;

/// Runs every vector of a kind, and fails if there is none.
fn each(kind: &str, check: impl Fn(&str, &Value)) {
    let all: Value = serde_json::from_str(include_str!("../fixtures/connect_vectors.json"))
        .expect("the fixture is JSON");
    let vectors = all["vectors"].as_array().expect("it holds a list");
    let mut count = 0;
    for vector in vectors.iter().filter(|vector| vector["kind"] == kind) {
        check(vector["id"].as_str().expect("a vector has an id"), vector);
        count += 1;
    }
    assert!(count > 0, "no vectors of kind {kind}");
}

fn text_map(value: &Value) -> BTreeMap<String, String> {
    let object = value.as_object().into_iter().flatten();
    object.map(|(k, v)| (k.clone(), v.as_str().expect("text").to_owned())).collect()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.map(|text| text.as_str().expect("text").to_owned()).collect()
}

#[test]
fn properties_files_read_as_in_java_but_for_their_charset() {
    each("properties", |id, vector| {
        let input = vector["input"].as_str().expect("text");
        // props-06 records that Java misreads UTF-8; this program does not, on purpose.
        let bytes: Vec<u8> = match id {
            "props-06" => input.chars().map(|letter| letter as u8).collect(),
            _ => input.bytes().collect(),
        };
        let parsed = properties::parse(&bytes).expect(id);
        let found: BTreeMap<String, String> =
            parsed.pairs.into_iter().map(|pair| (pair.key, pair.value)).collect();
        match id {
            "props-06" => assert_eq!(found["pw"], "ü"),
            _ => assert_eq!(found, text_map(&vector["expect"]["map"]), "{id}"),
        }
    });
}

#[test]
fn lists_split_as_in_java() {
    each("list", |id, vector| {
        let found = java_list(vector["text"].as_str().expect("text"));
        assert_eq!(found, texts(&vector["expect"]["list"]), "{id}");
    });
}

#[test]
fn references_resolve_as_in_java() {
    each("config_provider", |id, vector| {
        let files = text_map(&vector["files"]);
        let vars = text_map(&vector["env"]);
        let read = |path: &Path| {
            let found = files.get(&path.display().to_string());
            found.map(|text| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
        };
        let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
        let providers = Providers::declared(|_| None).unwrap_or_else(|_| panic!("{id}"));
        let mut found = BTreeMap::new();
        for (key, value) in text_map(&vector["config"]) {
            let mut entry = Entry { key, value, origin: Origin::Default };
            providers.resolve(&mut entry, &environment, &mut vec![]).expect(id);
            found.insert(entry.key, entry.value);
        }
        assert_eq!(found, text_map(&vector["expect"]["map"]), "{id}");
    });
}

#[test]
fn jaas_texts_read_as_in_java() {
    each("jaas", |id, vector| {
        let found = jaas::parse(vector["text"].as_str().expect("text"));
        let expect = &vector["expect"]["entries"][0];
        match found {
            Ok(login) => {
                assert_eq!(Some(login.module.as_str()), expect["module"].as_str(), "{id}");
                assert_eq!(Some(login.flag.as_str()), expect["flag"].as_str(), "{id}");
                assert_eq!(login.options, text_map(&expect["options"]), "{id}");
            }
            Err(_) => assert!(vector["expect"]["error"].is_object(), "{id}"),
        }
    });
}

#[test]
fn topic_patterns_match_as_in_java() {
    each("topic_regex", |id, vector| {
        let pattern = TopicPattern::new(vector["regex"].as_str().expect("text")).expect(id);
        let mut found = texts(&vector["topics"]);
        found.retain(|topic| pattern.is_match(topic));
        assert_eq!(found, texts(&vector["expect"]["subscribed"]), "{id}");
    });
}

#[test]
fn client_properties_translate_as_designed() {
    each("client_props", |id, vector| {
        let java: Vec<(String, Entry)> = text_map(&vector["java"])
            .into_iter()
            .map(|(key, value)| (key.clone(), Entry { key, value, origin: Origin::Default }))
            .collect();
        let vars = BTreeMap::new();
        let read = |_: &Path| Ok(include_bytes!("../fixtures/stores/trust.p12").to_vec());
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
        assert!(problems.is_empty(), "{id}: {problems:?}");
        let mut expect = text_map(&vector["expect"]["librdkafka"]);
        // Deliberate differences: partitions are taken whole, and tokens are fetched here.
        if id == "client-07" {
            expect.insert("partition.assignment.strategy".to_owned(), "range".to_owned());
        }
        expect.retain(|name, _| !name.starts_with("sasl.oauthbearer."));
        for (name, value) in expect {
            let found = translated.properties.iter().find(|(known, _)| *known == name);
            let hidden = PropertyValue::Hidden(Secret::new(value.clone()));
            let plain = PropertyValue::Plain(value);
            let found = found.map(|(_, value)| value);
            assert!(found == Some(&plain) || found == Some(&hidden), "{id}: {name} is {found:?}");
        }
        if id == "client-08" {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let expect = OAuth {
                endpoint: "https://idp/token".to_owned(),
                client_id: "id".to_owned(),
                client_secret: Secret::new("s"),
                scope: Some("a b".to_owned()),
                extensions: vec![pair("identityPoolId", "pool-9"), pair("logicalCluster", "lkc-1")],
            };
            assert_eq!(translated.oauth, Some(expect));
        }
    });
}
