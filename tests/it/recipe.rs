//! The documentation's Debezium recipe, from a message's bytes to the row: what each event becomes.

use starsink::convert::Converter;
use starsink::data::json_text::Times;
use starsink::data::{ConnectRecord, Value};
use starsink::encode::connect_json::write_row;
use starsink::record::Offset;
use starsink::transform::{Chain, Outcome};

/// The two transforms of the documentation page.
const RECIPE: [(&str, &str); 5] = [
    ("transforms", "addfield,unwrap"),
    (
        "transforms.addfield.type",
        "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord",
    ),
    ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
    ("transforms.unwrap.drop.tombstones", "true"),
    ("transforms.unwrap.delete.handling.mode", "rewrite"),
];

const ROW: &str = r#"{"type":"struct","optional":true,"name":"crm.t.Value","field":"ROW","fields":[
    {"field":"id","type":"int32"},
    {"field":"email","type":"string","optional":true},
    {"field":"lvl","type":"int32","optional":true,"default":7}]}"#;

/// A message as Debezium writes it, with its schema or without.
fn message(op: &str, before: &str, after: &str, with_schema: bool) -> String {
    let payload = format!(
        r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql","ts_ms":1}},"op":"{op}","ts_ms":2}}"#
    );
    if !with_schema {
        return payload;
    }
    let row = |field: &str| ROW.replace("ROW", field);
    let source = r#"{"field":"source","type":"struct","fields":[
        {"field":"connector","type":"string"},{"field":"ts_ms","type":"int64"}]}"#;
    let (before, after) = (row("before"), row("after"));
    format!(
        r#"{{"schema":{{"type":"struct","name":"crm.t.Envelope","fields":[{before},{after},{source},
            {{"field":"op","type":"string"}},{{"field":"ts_ms","type":"int64","optional":true}}]}},
            "payload":{payload}}}"#
    )
}

/// What becomes of a message: the row, `dropped: …`, `null`, or `refused: …`.
fn outcome(config: &[(&str, &str)], message: &str, with_schema: bool) -> String {
    let options = [
        ("schemas.enable", if with_schema { "true" } else { "false" }),
        ("replace.null.with.default", "false"),
    ];
    let mut converter =
        Converter::compile("Json", &options.into_iter().collect()).expect("a converter");
    let mut chain = Chain::compile(&config.iter().copied().collect()).expect("a chain");
    let mut record = ConnectRecord {
        topic: "crm.t".into(),
        partition: 0,
        offset: Offset(0),
        timestamp: None,
        key: Value::NULL,
        value: converter.convert(Some(message.as_bytes())).expect("converts"),
        headers: vec![],
    };
    match chain.apply(&mut record) {
        Err(error) => format!("refused: {}", error.failure),
        Ok(Outcome::Drop(why)) => format!("dropped: {why}"),
        Ok(Outcome::Many(_)) => "several".into(),
        Ok(Outcome::Keep) if record.value.datum.is_null() => "null".into(),
        Ok(Outcome::Keep) => {
            let mut out = Vec::new();
            write_row(&mut out, &record.value, Times::Text).expect("a row");
            String::from_utf8(out).expect("UTF-8")
        }
    }
}

/// The same with and without schema.
#[track_caller]
fn check(config: &[(&str, &str)], op: &str, before: &str, after: &str, expect: &str) {
    for with_schema in [true, false] {
        let message = message(op, before, after, with_schema);
        let found = outcome(config, &message, with_schema);
        assert!(found.starts_with(expect), "schema {with_schema}, {op}: {found}, not {expect}");
    }
}

const A: &str = r#"{"id":1,"email":"a","lvl":2}"#;
const NULLS: &str = r#"{"id":1,"email":null,"lvl":null}"#;

/// Keeps nulls of columns with a default, which the Java classes replace.
fn keeping_nulls() -> Vec<(&'static str, &'static str)> {
    let mut config = RECIPE.to_vec();
    config.push(("transforms.unwrap.replace.null.with.default", "false"));
    config
}

#[test]
fn every_event_of_the_recipe_becomes_its_row() {
    let row = |op, deleted| {
        format!(r#"{{"id":1,"email":"a","lvl":2,"__op":{op},"__deleted":"{deleted}"}}"#)
    };
    for op in ["c", "u", "r"] {
        check(&RECIPE, op, "null", A, &row(0, false));
    }
    check(&RECIPE, "u", NULLS, A, &row(0, false));
    check(&RECIPE, "d", A, "null", &row(1, true));
}

#[test]
fn a_null_column_with_a_default_stays_null_when_asked() {
    let row = r#"{"id":1,"email":null,"lvl":null,"__op":0,"__deleted":"false"}"#;
    check(&keeping_nulls(), "c", "null", NULLS, row);
}

#[test]
fn an_envelope_that_lost_its_rows_before_it_was_unwrapped_is_refused_and_not_dropped() {
    let config = [
        ("transforms", "flat,unwrap"),
        ("transforms.flat.type", "org.apache.kafka.connect.transforms.Flatten$Value"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
    ];
    for (op, before, after) in [("c", "null", A), ("u", A, A), ("d", A, "null")] {
        let found = outcome(&config, &message(op, before, after, true), true);
        assert_eq!(found, "refused: Unknown field: after", "{op}");
    }
}

#[test]
fn a_value_that_postgresql_did_not_log_is_known_as_text_bytes_lists_and_hstore() {
    let config = [
        ("transforms", "unwrap"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
    ];
    const IT: &str = "__debezium_unavailable_value";
    let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    for value in [
        format!("\"{IT}\""),
        format!("\"{base64}\""),
        format!("[\"{IT}\"]"),
        format!("[\"{base64}\"]"),
        format!("{{\"{IT}\":\"{IT}\"}}"),
    ] {
        let after = format!("{{\"id\":1,\"v\":{value}}}");
        let found = outcome(&config, &message("u", "null", &after, false), false);
        assert!(found.starts_with("refused: column `v` is unchanged"), "{value}: {found}");
    }
    let after = "{\"id\":1,\"v\":[\"a\",\"__debezium_unavailable_value\"]}";
    let found = outcome(&config, &message("u", "null", after, false), false);
    assert!(found.starts_with('{'), "a list of more is a value: {found}");
}

#[test]
fn truncates_are_dropped_and_deletes_without_image_are_refused() {
    check(&RECIPE, "t", "null", "null", "dropped: truncate event");
    check(&RECIPE, "d", "null", "null", "refused: the delete event has neither before nor after");
}

#[test]
fn without_delete_options_a_delete_becomes_a_null_value() {
    check(&RECIPE[..3], "d", A, "null", "null");
    let mut old = RECIPE[..3].to_vec();
    old.push(("transforms.unwrap.drop.tombstones", "true"));
    check(&old, "d", A, "null", "dropped: delete event dropped");
}

#[test]
fn documents_of_mongodb_are_refused_by_name() {
    let refused = "refused: the event's rows are documents, JSON in text";
    let untyped = r#"{"before":null,"after":"{\"_id\":1}","source":{"connector":"mongodb"},"op":"c","ts_ms":1}"#;
    let found = outcome(&RECIPE, untyped, false);
    assert!(found.starts_with(refused), "{found}");
    let text = r#"{"type":"string","optional":true,"name":"io.debezium.data.Json","field""#;
    let schema = format!(
        r#"{{"type":"struct","name":"m.Envelope","fields":[{text}:"before"}},{text}:"after"}},{{"type":"string","field":"op"}}]}}"#
    );
    for payload in [
        r#"{"before":null,"after":"{\"_id\":1}","op":"c"}"#,
        r#"{"before":null,"after":null,"op":"d"}"#,
    ] {
        let message = format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
        let found = outcome(&RECIPE, &message, true);
        assert!(found.starts_with(refused), "{found}");
    }
}
