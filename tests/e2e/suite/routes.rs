//! Topics to tables: two, fifty by a pattern, several into one; CSV; partial update.

use e2e::produce::{self, Load, Message, Shape};
use e2e::row::{self, Row};
use e2e::topics;

use crate::scene::Scene;

const SMALL: &str = "(id INT, city STRING)";

fn put(scene: &Scene, topic: &str, values: &[&str]) {
    let messages: Vec<Message<'_>> = values.iter().map(|text| Message::value(text)).collect();
    produce::put(&scene.bootstrap, topic, &messages).expect("produced");
}

#[test]
fn two_topics_fill_two_tables() {
    let scene = Scene::new();
    let (topic1, topic2) = (scene.topic("one", 1), scene.topic("two", 2));
    let (table1, table2) = (scene.table("one", SMALL), scene.table("two", SMALL));
    put(&scene, &topic1, &[r#"{"id":1,"city":"Oslo"}"#]);
    put(&scene, &topic2, &[r#"{"id":2,"city":"Lagos"}"#]);
    scene.job(&[(&topic1, &table1), (&topic2, &table2)]).load(&[]).expect(0);
    scene.check_rows(&table1, &["id", "city"], &["1|Oslo"]);
    scene.check_rows(&table2, &["id", "city"], &["2|Lagos"]);
}

#[test]
fn several_topics_fill_one_table() {
    let scene = Scene::new();
    let (topic1, topic2) = (scene.topic("left", 1), scene.topic("right", 1));
    let table = scene.table("both", SMALL);
    put(&scene, &topic1, &[r#"{"id":1,"city":"Oslo"}"#, r#"{"id":2,"city":"Chicago"}"#]);
    put(&scene, &topic2, &[r#"{"id":3,"city":"Lagos"}"#]);
    scene.job(&[(&topic1, &table), (&topic2, &table)]).load(&[]).expect(0);
    scene.check_rows(&table, &["id", "city"], &["1|Oslo", "2|Chicago", "3|Lagos"]);
}

#[test]
fn a_pattern_over_fifty_topics_fills_the_tables_of_their_names() {
    const TOPICS: usize = 50;
    let scene = Scene::new();
    let prefix = topics::fresh_name("many");
    let names: Vec<String> = (0..TOPICS).map(|n| format!("{prefix}_t{n}")).collect();
    let names_ref: Vec<&str> = names.iter().map(String::as_str).collect();
    topics::create_all(&scene.bootstrap, &names_ref, 1, &[]).expect("created");
    // A topic that the pattern must not match: Java's patterns match whole names.
    let other = format!("x{prefix}_t0");
    topics::create(&scene.bootstrap, &other, 1, &[]).expect("created");
    put(&scene, &other, &[r#"{"id":-1,"city":"nowhere"}"#]);
    for (n, name) in names.iter().enumerate() {
        scene.starrocks.create_table(name, SMALL).expect("created");
        put(&scene, name, &[&format!(r#"{{"id":{n},"city":"Oslo"}}"#)]);
    }
    let job = scene.job(&[]).without("topics").without("starrocks.topic2table.map");
    job.set("topics.regex", &format!("{prefix}_t[0-9]+")).load(&[]).expect(0);
    for (n, name) in names.iter().enumerate() {
        scene.check_rows(name, &["id", "city"], &[&format!("{n}|Oslo")]);
    }
}

#[test]
fn csv_lines_with_a_control_character_between_columns_arrive() {
    const SEPARATOR: &str = "\u{1}";
    const COLUMNS: [&str; 4] = ["id", "city", "qty", "note"];
    let scene = Scene::new();
    let topic = scene.topic("csv", 1);
    let table = scene.table("csv", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS));
    let load = Load { shape: Shape::Csv(SEPARATOR.to_owned()), ..Load::json(&topic, 1, 100) };
    produce::fast(&scene.bootstrap, &load).expect("produced");
    scene
        .job(&[(&topic, &table)])
        .without("sink.properties.strip_outer_array")
        .set("value.converter", "org.apache.kafka.connect.storage.StringConverter")
        .set("sink.properties.format", "csv")
        .set("sink.properties.column_separator", r"\x01")
        .load(&[])
        .expect(0);
    let expected: Vec<String> = load.all().map(|row| csv_columns(row, SEPARATOR)).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    scene.check_rows(&table, &COLUMNS, &expected);
}

/// The columns id, city, qty and note of a row, as they stand in its line.
fn csv_columns(row: Row, separator: &str) -> String {
    let mut line = String::new();
    row.csv(separator, &mut line);
    let cells: Vec<&str> = line.split(separator).collect();
    [cells[0], cells[3], cells[5], cells[9]].join("|")
}

#[test]
fn a_partial_update_leaves_the_other_columns_alone() {
    let scene = Scene::new();
    let (whole, part) = (scene.topic("whole", 1), scene.topic("part", 1));
    let table = scene.table(
        "partial",
        "(id INT NOT NULL, city STRING, note STRING) PRIMARY KEY (id) DISTRIBUTED BY HASH (id)",
    );
    put(
        &scene,
        &whole,
        &[r#"{"id":1,"city":"Oslo","note":"a"}"#, r#"{"id":2,"city":"Lagos","note":"b"}"#],
    );
    scene.job(&[(&whole, &table)]).load(&[]).expect(0);
    put(&scene, &part, &[r#"{"id":1,"city":"Chicago"}"#]);
    scene
        .job(&[(&part, &table)])
        .set("sink.properties.partial_update", "true")
        .set("sink.properties.columns", "id,city")
        .load(&[])
        .expect(0);
    scene.check_rows(&table, &["id", "city", "note"], &["1|Chicago|a", "2|Lagos|b"]);
}
