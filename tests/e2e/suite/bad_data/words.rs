//! What a run says of a bad record, word for word: one text for each stage, in `tests/golden/errors`.

use std::fs;

use e2e::produce::{self, Message};
use serde_json::Value;

use super::{Stage, TABLE, good};

/// What a run says on stderr about one bad record, its names of this moment replaced.
#[track_caller]
fn check_words(name: &str, bad: Message<'_>, settings: &[(&str, &str)]) {
    check_words_of(name, bad, settings, &[]);
}

#[track_caller]
fn check_words_of(name: &str, bad: Message<'_>, settings: &[(&str, &str)], args: &[&str]) {
    let stage = Stage::new(1, TABLE);
    let values = [good(0), good(2)];
    let key = Some(&b"{\"id\":1}"[..]);
    let [first, last] = values.each_ref().map(|value| Message { key, ..Message::value(value) });
    produce::put(&stage.scene.bootstrap, &stage.topic, &[first, bad, last]).expect("produced");
    let job = settings.iter().fold(stage.job(), |job, (key, value)| job.set(key, value));
    let report = stage.scene.dir.join("report.json");
    let shown = report.to_string_lossy().into_owned();
    let output = job.load(&[&["-q", "--report", &shown], args].concat()).expect(4);
    // What ended the run is among the reasons, though its record was not committed.
    let report: Value =
        serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
    let reason = &report["reasons"][0];
    assert_eq!(reason["count"], 1, "{report}");
    let place = format!("{}[0]@", stage.topic);
    assert!(reason["first"].as_str().is_some_and(|first| first.starts_with(&place)), "{report}");
    let mut text = output.stderr.clone();
    let labels: Vec<String> = text
        .split(['`', ' '])
        .filter(|word| word.starts_with("e2e_") && word.len() > 30)
        .map(str::to_owned)
        .collect();
    for label in labels {
        text = text.replace(&label, "LABEL");
    }
    let replace = [
        (stage.topic.as_str(), "TOPIC"),
        (stage.table.as_str(), "TABLE"),
        (job.get("name"), "NAME"),
        (stage.scene.bootstrap.as_str(), "KAFKA"),
    ];
    text = replace.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let log = text.split("error log ").nth(1).and_then(|rest| rest.split_whitespace().next());
    if let Some(url) = log.map(str::to_owned) {
        text = text.replace(&url, "URL");
    }
    let file = e2e::place::workspace().join("tests/golden/errors").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(&file, &text).expect("written");
    }
    let expect = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expect, "{} is not current: run with UPDATE=1", file.display());
}

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// A transform that makes values be converted and changes nothing.
const CONVERTED: [(&str, &str); 3] = [
    ("transforms", "r"),
    ("transforms.r.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
    ("transforms.r.exclude", "no_such_field"),
];

#[test]
fn a_key_that_cannot_be_read() {
    let bad = Message { key: Some(b"{\"id\":"), ..Message::value(r#"{"id":7,"city":"Oslo"}"#) };
    let settings = [
        ("key.converter", JSON),
        ("key.converter.schemas.enable", "false"),
        ("transforms", "k"),
        ("transforms.k.type", "org.apache.kafka.connect.transforms.ExtractField$Key"),
        ("transforms.k.field", "id"),
    ];
    check_words("key_converter", bad, &settings);
}

#[test]
fn a_value_that_is_not_one_json_object() {
    check_words("value_converter", Message::value("{\"id\":7 \"city\":1}"), &[]);
}

#[test]
fn a_value_that_its_converter_cannot_read() {
    let bad = Message::value("{\"id\":7 \"city\":1}");
    check_words("value_converter_converted", bad, &CONVERTED);
}

#[test]
fn a_header_that_cannot_be_read() {
    let bad = Message { headers: &[("to", b"{")], ..Message::value(r#"{"id":7,"city":"Oslo"}"#) };
    let settings = [
        ("header.converter", JSON),
        ("header.converter.schemas.enable", "false"),
        ("transforms", "t"),
        ("transforms.t.type", "io.confluent.connect.transforms.ExtractTopic$Header"),
        ("transforms.t.field", "to"),
        ("transforms.t.skip.missing.or.null", "true"),
    ];
    check_words("header_converter", bad, &settings);
}

#[test]
fn a_record_that_a_transform_cannot_take() {
    let settings = [
        ("transforms", "c"),
        ("transforms.c.type", "org.apache.kafka.connect.transforms.Cast$Value"),
        ("transforms.c.spec", "id:int64"),
    ];
    check_words("transform", Message::value(r#"{"id":"x","city":"Oslo"}"#), &settings);
}

#[test]
fn a_record_that_goes_to_no_table() {
    let settings = [
        ("transforms", "t"),
        ("transforms.t.type", "io.confluent.connect.transforms.ExtractTopic$Value"),
        ("transforms.t.field", "to"),
        ("transforms.t.skip.missing.or.null", "true"),
    ];
    let bad = Message::value(r#"{"id":7,"city":"Oslo","to":"no_such_table"}"#);
    check_words("routing", bad, &settings);
}

#[test]
fn a_value_that_no_column_can_hold() {
    let bad = Message::value(r#"{"id":7,"city":"Oslo","n":99999999999}"#);
    check_words("mapping", bad, &CONVERTED);
}

#[test]
fn a_row_that_starrocks_rejects() {
    check_words("starrocks", Message::value(r#"{"id":7}"#), &[]);
}

#[test]
fn more_bad_records_than_are_allowed() {
    let args = ["--on-error", "skip", "--max-errors", "0"];
    check_words_of("too_many", Message::value("not json"), &[], &args);
}
