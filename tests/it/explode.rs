//! `starsink.transforms.Explode`: one record becomes rows, with and without schema.

use starsink::convert::json_reader::Reader;
use starsink::data::json_text::{self, Times};
use starsink::data::{ConnectRecord, Datum, Value};
use starsink::record::Offset;
use starsink::transform::explode::Explode;
use starsink::transform::{Step, Transform};

fn record(json: &str) -> ConnectRecord<'_> {
    let datum = Reader::new(json).datum().expect("valid");
    ConnectRecord {
        topic: "t".into(),
        partition: 0,
        offset: Offset(1),
        timestamp: None,
        key: Value::NULL,
        value: Value::schemaless(datum),
        headers: vec![],
    }
}

#[track_caller]
fn check(options: &[(&str, &str)], input: &str, rows: &[&str]) {
    let mut explode = Explode::build(&options.iter().copied().collect()).expect("configures");
    let mut record = record(input);
    let found: Vec<String> = match explode.apply(&mut record).expect("applies") {
        Step::Split(records) => records.iter().map(|record| text(&record.value)).collect(),
        Step::Keep => vec![text(&record.value)],
        Step::Drop(_) => vec![],
    };
    assert_eq!(found, rows, "{input}");
}

fn text(value: &Value<'_>) -> String {
    let mut out = Vec::new();
    json_text::write(&mut out, value.schema.as_ref(), &value.datum, Times::Numbers)
        .expect("writes");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_top_level_array_becomes_rows() {
    check(&[], r#"[{"a":1},{"a":2}]"#, &[r#"{"a":1}"#, r#"{"a":2}"#]);
    check(&[], r#"{"a":1}"#, &[r#"{"a":1}"#]);
    check(&[("index.field", "n")], "[5,6]", &[r#"{"value":5,"n":0}"#, r#"{"value":6,"n":1}"#]);
    check(&[], "[]", &[]);
}

#[test]
fn an_element_without_schema_takes_the_place_of_a_parent_column_of_its_name() {
    let order = r#"{"id":7,"who":"x","items":[{"id":1}]}"#;
    check(&[("field", "items")], order, &[r#"{"id":1,"who":"x"}"#]);
    let kept = [("field", "items"), ("index.field", "who")];
    check(&kept, order, &[r#"{"id":1,"who":0}"#]);
}

#[test]
fn a_nested_array_becomes_rows_with_parent_columns() {
    let order = r#"{"id":7,"who":"x","items":[{"sku":"a","n":1},{"sku":"b","n":2}]}"#;
    check(
        &[("field", "items"), ("prefix", "item_"), ("index.field", "line")],
        order,
        &[
            r#"{"id":7,"who":"x","item_sku":"a","item_n":1,"line":0}"#,
            r#"{"id":7,"who":"x","item_sku":"b","item_n":2,"line":1}"#,
        ],
    );
    check(
        &[("field", "items"), ("fields.keep", "id")],
        order,
        &[r#"{"id":7,"sku":"a","n":1}"#, r#"{"id":7,"sku":"b","n":2}"#],
    );
    check(&[("field", "o.tags")], r#"{"id":1,"o":{"tags":["x"]}}"#, &[r#"{"id":1,"tags":"x"}"#]);
}

#[test]
fn a_record_without_elements_keeps_its_row_unless_told_otherwise() {
    check(&[("field", "items")], r#"{"id":7,"items":[]}"#, &[r#"{"id":7}"#]);
    check(&[("field", "items")], r#"{"id":7}"#, &[r#"{"id":7}"#]);
    check(&[("field", "items"), ("when.empty", "drop")], r#"{"id":7,"items":null}"#, &[]);
}

#[test]
fn structs_explode_under_their_schema() {
    let text_of = |json: &str| starsink::convert::json::parse_schema(json).expect("a schema");
    let schema = text_of(
        r#"{"type":"struct","fields":[{"field":"id","type":"int32"},
            {"field":"items","type":"array","items":{"type":"struct","fields":[{"field":"sku","type":"string"}]}}]}"#,
    );
    let items = ["a", "b"].map(|sku| Datum::Struct(vec![Datum::text(sku)])).to_vec();
    let mut record = record("null");
    record.value = Value::new(schema, Datum::Struct(vec![Datum::Int32(7), Datum::Array(items)]));
    let options = [("field", "items"), ("index.field", "n")].into_iter().collect();
    let mut explode = Explode::build(&options).expect("configures");
    let Step::Split(rows) = explode.apply(&mut record).expect("applies") else {
        panic!("split");
    };
    let rows: Vec<_> = rows.iter().map(|row| text(&row.value)).collect();
    assert_eq!(rows, [r#"{"id":7,"sku":"a","n":0}"#, r#"{"id":7,"sku":"b","n":1}"#]);
}
