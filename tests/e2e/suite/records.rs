//! What a configuration asks of a record, to the end: schemas, columns, transforms, change data,
//! one record into several tables.

use e2e::produce::{self, Message};

use crate::scene::{Job, Scene};

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

fn put(scene: &Scene, topic: &str, values: &[&str]) {
    let messages: Vec<Message<'_>> = values.iter().map(|text| Message::value(text)).collect();
    produce::put(&scene.bootstrap, topic, &messages).expect("produced");
}

/// Records with a key each; no value is a tombstone.
fn put_keyed(scene: &Scene, topic: &str, records: &[(&str, Option<&str>)]) {
    let messages: Vec<Message<'_>> = records
        .iter()
        .map(|(key, value)| Message {
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            ..Message::default()
        })
        .collect();
    produce::put(&scene.bootstrap, topic, &messages).expect("produced");
}

trait Configured: Sized {
    fn with(self, entries: &[(&str, &str)]) -> Self;
}

impl Configured for Job<'_> {
    fn with(self, entries: &[(&str, &str)]) -> Self {
        entries.iter().fold(self, |job, (key, value)| job.set(key, value))
    }
}

const ORDER_SCHEMA: &str = r#"{"type":"struct","name":"Order","fields":[
    {"field":"id","type":"int32"},
    {"field":"day","type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Date"},
    {"field":"at","type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp"},
    {"field":"price","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},
    {"field":"big","type":"int64","optional":true},
    {"field":"paid","type":"boolean","optional":true},
    {"field":"tags","type":"array","optional":true,"items":{"type":"string"}},
    {"field":"note","type":"string","optional":true,"default":"none"}]}"#;

fn order(payload: &str) -> String {
    format!(r#"{{"schema":{ORDER_SCHEMA},"payload":{payload}}}"#)
}

const ORDER_COLUMNS: [&str; 8] = ["id", "day", "at", "price", "big", "paid", "tags", "note"];
const ORDER_TABLE: &str = "(id INT, day DATE, at DATETIME, price DECIMAL(10,2), big BIGINT, \
    paid BOOLEAN, tags JSON, note VARCHAR(20))";

/// A decimal of base64, times of their numbers, and a null that stays null beside its default.
fn orders() -> [String; 2] {
    [
        order(
            r#"{"id":1,"day":19000,"at":1714283798721,"price":"BOI=","big":9223372036854775807,"paid":true,"tags":["a","b"],"note":"x"}"#,
        ),
        order(r#"{"id":2,"day":null,"note":null}"#),
    ]
}

#[test]
fn values_with_a_schema_arrive_in_typed_columns_as_json_and_as_csv() {
    let scene = Scene::new();
    let topic = scene.topic("orders", 1);
    let [whole, nulls] = orders();
    put(&scene, &topic, &[&whole, &nulls]);
    for format in ["json", "csv"] {
        let table = scene.table("orders", ORDER_TABLE);
        scene
            .job(&[(&topic, &table)])
            .without("sink.properties.strip_outer_array")
            .with(&[
                ("value.converter.schemas.enable", "true"),
                ("value.converter.replace.null.with.default", "false"),
                ("sink.properties.format", format),
                ("sink.properties.column_separator", r"\x01"),
            ])
            .load(&[])
            .expect(0);
        scene.check_rows(
            &table,
            &ORDER_COLUMNS,
            &[
                r#"1|2022-01-08|2024-04-28 05:56:38.721000|12.50|9223372036854775807|1|["a","b"]|x"#,
                "2|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            ],
        );
    }
}

#[test]
fn numeric_columns_get_the_numbers_of_times() {
    let scene = Scene::new();
    let topic = scene.topic("orders", 1);
    let [whole, _] = orders();
    put(&scene, &topic, &[&whole]);
    let table = scene.table("orders", "(id INT, day INT, at BIGINT, paid TINYINT)");
    scene
        .job(&[(&topic, &table)])
        .set("value.converter.schemas.enable", "true")
        .load(&[])
        .expect(0);
    scene.check_rows(&table, &["id", "day", "at", "paid"], &["1|19000|1714283798721|1"]);
}

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

fn event(op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql","table":"t"}},"op":"{op}","ts_ms":1}}"#
    )
}

/// The same in the envelope's own schema.
fn typed(event: &str) -> String {
    let row = |field: &str| {
        format!(
            r#"{{"field":"{field}","type":"struct","optional":true,"name":"s.t.Value","fields":[{{"field":"id","type":"int32"}},{{"field":"name","type":"string","optional":true}}]}}"#
        )
    };
    format!(
        r#"{{"schema":{{"type":"struct","name":"s.t.Envelope","fields":[{},{},{{"field":"source","type":"struct","optional":true,"fields":[{{"field":"connector","type":"string"}}]}},{{"field":"op","type":"string"}},{{"field":"ts_ms","type":"int64","optional":true}}]}},"payload":{event}}}"#,
        row("before"),
        row("after")
    )
}

const PEOPLE: &str =
    "(id INT NOT NULL, name VARCHAR(20) NOT NULL) PRIMARY KEY (id) DISTRIBUTED BY HASH (id)";

/// Snapshot, insert, update, delete with its tombstone, a changed key, a truncate.
fn history() -> Vec<(&'static str, Option<String>)> {
    let person = |id: u32, name: &str| format!(r#"{{"id":{id},"name":"{name}"}}"#);
    vec![
        (r#"{"id":1}"#, Some(event("r", "null", &person(1, "snapshot")))),
        (r#"{"id":2}"#, Some(event("c", "null", &person(2, "insert")))),
        (r#"{"id":3}"#, Some(event("c", "null", &person(3, "gone")))),
        (r#"{"id":2}"#, Some(event("u", "null", &person(2, "update")))),
        // Postgres' default: the image before holds the key alone.
        (r#"{"id":3}"#, Some(event("d", r#"{"id":3,"name":null}"#, "null"))),
        (r#"{"id":3}"#, None),
        (r#"{"id":4}"#, Some(event("c", "null", &person(4, "key change")))),
        (r#"{"id":4}"#, Some(event("d", r#"{"id":4,"name":null}"#, "null"))),
        (r#"{"id":4}"#, None),
        (r#"{"id":5}"#, Some(event("c", "null", &person(5, "key change")))),
        ("", Some(event("t", "null", "null"))),
    ]
}

fn put_history(scene: &Scene, topic: &str, shape: impl Fn(&str) -> String) {
    let records: Vec<(&str, Option<String>)> =
        history().into_iter().map(|(key, value)| (key, value.map(|value| shape(&value)))).collect();
    let borrowed: Vec<(&str, Option<&str>)> =
        records.iter().map(|(key, value)| (*key, value.as_deref())).collect();
    put_keyed(scene, topic, &borrowed);
}

const LEFT: [&str; 3] = ["1|snapshot", "2|update", "5|key change"];

#[test]
fn change_events_insert_update_delete_and_move_keys_with_and_without_schemas() {
    let scene = Scene::new();
    for enabled in ["true", "false"] {
        let topic = scene.topic("people", 1);
        let table = scene.table("people", PEOPLE);
        put_history(&scene, &topic, |event| {
            if enabled == "true" { typed(event) } else { event.to_owned() }
        });
        let output = scene
            .job(&[(&topic, &table)])
            .with(&RECIPE)
            .set("value.converter.schemas.enable", enabled)
            .load(&[]);
        let output = output.expect(0);
        scene.check_rows(&table, &["id", "name"], &LEFT);
        // Two tombstones and the truncate are no rows, and are counted.
        assert!(output.stdout.contains("skipped"), "{}", output.stdout);
    }
}

#[test]
fn change_events_arrive_as_csv_too() {
    let scene = Scene::new();
    let topic = scene.topic("people", 1);
    let table = scene.table("people", PEOPLE);
    put_history(&scene, &topic, str::to_owned);
    scene
        .job(&[(&topic, &table)])
        .without("sink.properties.strip_outer_array")
        .with(&RECIPE)
        .set("sink.properties.format", "csv")
        .load(&[])
        .expect(0);
    scene.check_rows(&table, &["id", "name"], &LEFT);
}

#[test]
fn an_unwrap_without_options_loses_no_delete() {
    let scene = Scene::new();
    let topic = scene.topic("people", 1);
    let table = scene.table("people", PEOPLE);
    put_history(&scene, &topic, typed);
    scene
        .job(&[(&topic, &table)])
        .with(&[
            ("transforms", "unwrap"),
            ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
            ("value.converter.schemas.enable", "true"),
            ("key.converter", JSON),
            ("key.converter.schemas.enable", "false"),
        ])
        .load(&[])
        .expect(0);
    scene.check_rows(&table, &["id", "name"], &LEFT);
}

#[test]
fn a_delete_for_a_table_that_knows_none_stops_the_run_at_its_place() {
    let scene = Scene::new();
    let topic = scene.topic("people", 1);
    let table = scene.table("people", "(id INT, name VARCHAR(20)) DUPLICATE KEY (id)");
    put_history(&scene, &topic, str::to_owned);
    let job = scene.job(&[(&topic, &table)]).with(&RECIPE);
    job.load(&[]).expect(4).says(&[
        &format!("a row is to be deleted from `{table}`, a duplicate key table"),
        &format!("{topic}[0]@4"),
        "TASK_PUT",
    ]);
    // What stands before it is loaded, as the rows they are for such a table.
    let rows = ["1|snapshot", "2|insert", "2|update", "3|gone"];
    scene.check_rows(&table, &["id", "name"], &rows);
    job.load(&[]).expect(4).says(&[&format!("{topic}[0]@4")]);
    scene.check_rows(&table, &["id", "name"], &rows);
}

#[test]
fn tombstones_delete_by_key_when_asked() {
    let scene = Scene::new();
    let topic = scene.topic("people", 1);
    let table = scene.table("people", PEOPLE);
    put_keyed(
        &scene,
        &topic,
        &[
            ("1", Some(r#"{"id":1,"name":"a"}"#)),
            ("2", Some(r#"{"id":2,"name":"b"}"#)),
            ("1", None),
        ],
    );
    scene
        .job(&[(&topic, &table)])
        .with(&[
            ("key.converter", JSON),
            ("key.converter.schemas.enable", "false"),
            ("starsink.tombstones", "delete"),
        ])
        .load(&[])
        .expect(0);
    scene.check_rows(&table, &["id", "name"], &["2|b"]);
}

#[test]
fn one_record_feeds_several_tables_and_becomes_several_rows() {
    let scene = Scene::new();
    let topic = scene.topic("carts", 1);
    let carts = scene.table("carts", "(id INT, who STRING)");
    let items = scene.table("items", "(id INT, sku STRING, line INT)");
    put(
        &scene,
        &topic,
        &[
            r#"{"id":1,"who":"x","items":[{"sku":"a"},{"sku":"b"}]}"#,
            r#"[{"id":2,"who":"y"},{"id":3,"who":"z"}]"#,
        ],
    );
    let copy = format!("{topic}_items");
    let map = format!("{topic}:{carts},{copy}:{items}");
    scene
        .job(&[(&topic, &carts)])
        .with(&[
            ("starrocks.topic2table.map", &map),
            ("transforms", "copy,lines"),
            ("transforms.copy.type", "starsink.transforms.CopyTo"),
            ("transforms.copy.topics", "${topic}_items"),
            ("transforms.lines.type", "starsink.transforms.Explode"),
            ("transforms.lines.field", "items"),
            ("transforms.lines.index.field", "line"),
            ("transforms.lines.when.empty", "drop"),
            ("transforms.lines.predicate", "copied"),
            ("predicates", "copied"),
            ("predicates.copied.type", "TopicNameMatches"),
            ("predicates.copied.pattern", ".*_items"),
        ])
        .load(&["-c", "1"])
        .expect(0);
    scene.check_rows(&carts, &["id", "who"], &["1|x"]);
    scene.check_rows(&items, &["id", "sku", "line"], &["1|a|0", "1|b|1"]);
}

#[test]
fn a_top_level_array_becomes_rows() {
    let scene = Scene::new();
    let topic = scene.topic("lists", 1);
    let table = scene.table("lists", "(id INT, who STRING)");
    put(&scene, &topic, &[r#"[{"id":2,"who":"y"},{"id":3,"who":"z"}]"#, r#"{"id":4,"who":"w"}"#]);
    scene.job(&[(&topic, &table)]).load(&[]).expect(0);
    scene.check_rows(&table, &["id", "who"], &["2|y", "3|z", "4|w"]);
}

#[test]
fn what_kafka_knows_of_a_record_becomes_columns() {
    let scene = Scene::new();
    let topic = scene.topic("meta", 1);
    let table = scene.table("meta", "(id INT, t STRING, p INT, o BIGINT, at DATETIME, src STRING)");
    let message = Message {
        key: Some(b"k"),
        value: Some(br#"{"id":1}"#),
        timestamp_ms: Some(1_714_283_798_721),
        ..Message::default()
    };
    produce::put(&scene.bootstrap, &topic, &[message]).expect("produced");
    scene
        .job(&[(&topic, &table)])
        .with(&[
            ("transforms", "where,when"),
            ("transforms.where.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
            ("transforms.where.topic.field", "t"),
            ("transforms.where.partition.field", "p"),
            ("transforms.where.offset.field", "o"),
            ("transforms.where.timestamp.field", "at"),
            ("transforms.where.static.field", "src"),
            ("transforms.where.static.value", "kafka"),
            (
                "transforms.when.type",
                "org.apache.kafka.connect.transforms.TimestampConverter$Value",
            ),
            ("transforms.when.field", "at"),
            ("transforms.when.target.type", "Timestamp"),
        ])
        .load(&[])
        .expect(0);
    scene.check_rows(
        &table,
        &["id", "t", "p", "o", "at", "src"],
        &[&format!("1|{topic}|0|0|2024-04-28 05:56:38.721000|kafka")],
    );
}

#[test]
fn a_refused_record_is_named_with_stage_class_and_place_and_nothing_behind_it_is_committed() {
    let scene = Scene::new();
    let topic = scene.topic("refused", 1);
    let table = scene.table("refused", "(id INT, n INT)");
    put(
        &scene,
        &topic,
        &[r#"{"id":1,"n":"7"}"#, r#"{"id":2,"n":"secret"}"#, r#"{"id":3,"n":"9"}"#],
    );
    let job = scene.job(&[(&topic, &table)]).with(&[
        ("transforms", "number"),
        ("transforms.number.type", "org.apache.kafka.connect.transforms.Cast$Value"),
        ("transforms.number.spec", "n:int32"),
    ]);
    job.load(&[]).expect(4).says(&[
        "transform `number` (org.apache.kafka.connect.transforms.Cast$Value) cannot take a record",
        &format!("{topic}[0]@1"),
        "TRANSFORMATION org.apache.kafka.connect.transforms.Cast$Value",
        r#"{"id":2,"n":"secret"}"#,
    ]);
    let output = job.load(&["--redact-values"]).expect(4);
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
    assert!(output.stderr.contains(&format!("{topic}[0]@1")), "{}", output.stderr);
    scene.check_rows(&table, &["id", "n"], &["1|7"]);
}
