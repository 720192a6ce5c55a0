//! Avro, Protobuf and JSON Schema through a real schema registry: topics whose schema was evolved twice,
//! filled by Confluent's Python serializers, loaded and compared row by row; a registry that is away; an
//! id that it does not know.

use std::sync::OnceLock;
use std::time::Duration;

use e2e::produce::{self, Message};
use e2e::registry::Registry;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{Job, Scene, own_broker_log, skip, wait_until};

/// The registry of all tests but the one that stops it.
fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Registry::start().expect("the registry starts"))
}

const COLUMNS: [&str; 12] = [
    "id", "big", "name", "amount", "city", "price", "day", "at", "active", "tags", "address",
    "kind",
];
const TABLE: &str = "(id INT, big BIGINT, name STRING, amount DOUBLE, city STRING, \
    price DECIMAL(18, 2), day DATE, at DATETIME, active BOOLEAN, tags ARRAY<STRING>, address JSON, \
    kind STRING) DUPLICATE KEY (id)";
const ROWS: usize = 600;

fn job<'a>(scene: &'a Scene, topic: &str, table: &str, class: &str, url: &str) -> Job<'a> {
    scene
        .job(&[(topic, table)])
        .without("value.converter.schemas.enable")
        .set("value.converter", class)
        .set("value.converter.schema.registry.url", url)
}

/// Rows as [`e2e::starrocks::StarRocks::rows`] gives them.
fn shown(rows: &[Value]) -> Vec<String> {
    let cell = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(is) => u8::from(*is).to_string(),
        other => other.to_string(),
    };
    let row = |row: &Value| COLUMNS.map(|column| cell(&row[column])).join("|");
    rows.iter().map(row).collect()
}

/// Compares all rows and shows the first that differ: hundreds at once tell nobody anything.
#[track_caller]
fn check_rows(scene: &Scene, table: &str, rows: &[Value]) {
    let mut expected = shown(rows);
    expected.sort_unstable();
    let found = scene.starrocks.rows(table, &COLUMNS).expect("rows are read");
    let differ = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert_eq!(differ, None, "the first of them is there, the second should be");
    assert_eq!(found.len(), expected.len());
}

#[track_caller]
fn check(format: &str, class: &str) {
    let scene = Scene::new();
    let topic = scene.topic(format, 3);
    let table = scene.table(format, TABLE);
    let url = registry().url();
    let rows = registry()
        .produce(&scene.bootstrap, format, &topic, ROWS, &[])
        .expect("messages are produced");
    assert_eq!(rows.len(), ROWS);
    job(&scene, &topic, &table, class, &url).load(&[]).expect(0);
    check_rows(&scene, &table, &rows);
}

#[test]
fn avro_evolved_twice_is_loaded_row_by_row() {
    check("avro", "io.confluent.connect.avro.AvroConverter");
}

#[test]
fn protobuf_evolved_twice_is_loaded_row_by_row() {
    check("protobuf", "io.confluent.connect.protobuf.ProtobufConverter");
}

#[test]
fn json_schema_evolved_twice_is_loaded_row_by_row() {
    check("json", "io.confluent.connect.json.JsonSchemaConverter");
}

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";

#[test]
fn a_registry_that_stands_still_costs_neither_the_membership_nor_rows() {
    let scene = Scene::new();
    let own = Registry::start().expect("the registry starts");
    let topic = scene.topic("frozen", 1);
    let table = scene.table("frozen", TABLE);
    let job = job(&scene, &topic, &table, AVRO, &own.url())
        .set("value.converter.http.read.timeout.ms", "500")
        .set("value.converter.max.retries", "1000")
        .set("value.converter.retries.wait.ms", "200")
        .set("value.converter.retries.max.wait.ms", "200")
        .set("bufferflush.intervalms", "1000")
        // Shorter than the standstill: a member that does not poll would be expelled in it.
        .set("consumer.override.max.poll.interval.ms", "10000")
        .set("consumer.override.session.timeout.ms", "10000");
    let rows = own.produce(&scene.bootstrap, "avro", &topic, 30, &[]).expect("produced");
    own.freeze();
    let mut run = job.start(&["tail", "--no-progress"]);
    let standstill = std::time::Instant::now() + Duration::from_secs(16);
    wait_until("the standstill is over", Duration::from_secs(30), || {
        assert!(run.runs().expect("its state"), "{}", run.stderr());
        std::time::Instant::now() > standstill
    });
    assert_eq!(scene.starrocks.count(&table).expect("a count"), 0);
    own.thaw();
    wait_until("the rows are there", Duration::from_secs(60), || {
        assert!(run.runs().expect("its state"), "{}", run.stderr());
        scene.starrocks.count(&table).expect("a count") == rows.len() as u64
    });
    check_membership(&format!("connect-{}", job.get("name")));
    run.signal(Signal::SIGTERM);
    run.wait(Duration::from_secs(60)).expect("it ends").expect(0);
    check_rows(&scene, &table, &rows);
}

/// The broker's coordinator writes down every member that it expels or that gives up.
#[track_caller]
fn check_membership(group: &str) {
    let Some(log) = own_broker_log() else {
        skip("whether a member was expelled", "the given broker's log is out of reach");
        return;
    };
    let lost: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(group) && (line.contains("failed") || line.contains("left")))
        .collect();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn a_registry_that_is_away_ends_the_run_and_the_next_one_loads_all() {
    let scene = Scene::new();
    let topic = scene.topic("away", 1);
    let table = scene.table("away", TABLE);
    let url = registry().url();
    let rows = registry().produce(&scene.bootstrap, "avro", &topic, 30, &[]).expect("produced");
    let nobody = "http://127.0.0.1:1/apis";
    let away = job(&scene, &topic, &table, AVRO, nobody)
        .set("value.converter.retries.wait.ms", "10")
        .set("value.converter.max.retries", "2");
    away.load(&[]).expect(5).says(&[
        "the schema registry cannot be reached",
        "`http://127.0.0.1:1/apis`",
        "tried 3 times",
    ]);
    assert_eq!(scene.starrocks.count(&table).expect("a count"), 0);
    let there = away.set("value.converter.schema.registry.url", &format!("{nobody},{url}"));
    there.load(&[]).expect(0);
    check_rows(&scene, &table, &rows);
}

#[test]
fn an_unknown_id_stops_the_run_and_names_id_and_subject_and_place() {
    let scene = Scene::new();
    let topic = scene.topic("unknown", 1);
    let table = scene.table("unknown", TABLE);
    registry().produce(&scene.bootstrap, "avro", &topic, 3, &[]).expect("produced");
    let message = Message { value: Some(&[0, 0, 0, 0x27, 0x0f, 1, 2]), ..Message::default() };
    produce::put(&scene.bootstrap, &topic, &[message]).expect("produced");
    let job = job(&scene, &topic, &table, AVRO, &registry().url());
    let (subject, place) = (format!("`{topic}-value`"), format!("{topic}[0]@3"));
    job.load(&[]).expect(4).says(&["has no schema with id 9999", &subject, &place]);
}
