//! `map` on a real broker and a StarRocks: what is shown, and DDL that makes a load possible.

use e2e::produce::{self, Message};
use serde_json::Value;

use crate::scene::{Job, SOON, Scene};

fn map(scene: &Scene, job: &Job<'_>, args: &[&str]) -> e2e::starsink::Output {
    let file = job.file();
    scene.starsink.run(&[&["map"], args, &[&file]].concat(), "", SOON).expect("starsink runs")
}

fn put(scene: &Scene, topic: &str, values: &[&str]) {
    let messages: Vec<Message<'_>> = values.iter().map(|text| Message::value(text)).collect();
    produce::put(&scene.bootstrap, topic, &messages).expect("produced");
}

#[test]
fn each_column_is_shown_with_its_field_a_value_and_a_verdict() {
    let scene = Scene::new();
    let topic = scene.topic("seen", 3);
    let definition = "(id INT NOT NULL, city VARCHAR(4), made DATETIME DEFAULT CURRENT_TIMESTAMP)";
    let table = scene.table("seen", definition);
    put(&scene, &topic, &[r#"{"id":1,"city":"北京","extra":1}"#, r#"{"id":2,"city":"Oslo"}"#, "{"]);
    let job = scene.job(&[(&topic, &table)]);
    let output = map(&scene, &job, &["--output", "json"]).expect(0);
    let document: Value = serde_json::from_str(output.stdout.trim()).expect("it is JSON");
    let seen = &document["topics"][0];
    assert_eq!(seen["records"], 3);
    assert_eq!(seen["refused"][0]["stage"], "VALUE_CONVERTER");
    let columns = seen["tables"][0]["columns"].as_array().expect("columns");
    let verdict = |name: &str| {
        let column = columns.iter().find(|c| c["column"] == name || c["source"] == name);
        let column = column.unwrap_or_else(|| panic!("{name} is not in {columns:?}"));
        (
            column["verdict"].as_str().unwrap_or_default(),
            column["reason"].as_str().unwrap_or_default(),
        )
    };
    assert_eq!(verdict("id"), ("ok", ""));
    // Six bytes of UTF-8 in VARCHAR(4).
    assert_eq!(verdict("city").0, "fail");
    assert!(verdict("city").1.starts_with("1 of 2: "), "{}", verdict("city").1);
    assert_eq!(verdict("made").0, "warn");
    assert!(verdict("extra").1.contains("no such column"));
    // Looking leaves nothing behind.
    assert!(scene.starrocks.labels().expect("labels").is_empty());
}

#[test]
fn the_ddl_of_a_missing_table_makes_one_that_the_topic_fits() {
    let Some(scene) =
        Scene::with_standin("the_ddl_of_a_missing_table_makes_one_that_the_topic_fits")
    else {
        return;
    };
    let topic = scene.topic("new", 1);
    let table = topic.replace(['-', '.'], "_");
    let row = r#"{"id":1,"city":"北京","price":12.5,"big":12345678901234567890,"day":"2026-01-31","at":"2026-01-31 10:00:00","ok":true,"tags":["a"],"more":{"a":1},"none":null}"#;
    put(&scene, &topic, &[row, r#"{"id":2,"city":null}"#]);
    let job = scene.job(&[(&topic, &table)]);
    let output = map(&scene, &job, &["--ddl"]).expect(0);
    assert!(output.stdout.contains("the table does not exist"), "{}", output.stdout);
    scene.starrocks.execute(&output.stdout).expect("StarRocks takes the statement");
    job.load(&[]).expect(0);
    let columns = ["id", "city", "big", "day", "at"];
    let expected =
        ["1|北京|12345678901234567890|2026-01-31|2026-01-31 10:00:00", "2|NULL|NULL|NULL|NULL"];
    scene.check_rows(&table, &columns, &expected);

    // A field joins; the statement that adds its column is the only thing left to say.
    put(&scene, &topic, &[r#"{"id":3,"city":"Oslo","added":7,"also":"x"}"#]);
    let output = map(&scene, &job, &["--ddl"]).expect(0);
    assert!(
        output.stdout.contains("ADD COLUMN (\n  `added` BIGINT NULL,\n  `also` STRING NULL\n)")
    );
    scene.starrocks.execute(&output.stdout).expect("StarRocks takes the statement");
    let output = map(&scene, &job, &["--ddl"]).expect(0);
    assert!(output.stdout.contains("every field has a column"), "{}", output.stdout);
    job.load(&[]).expect(0);
    scene.check_rows(&table, &["id", "added", "also"], &["1|NULL|NULL", "2|NULL|NULL", "3|7|x"]);
}

#[test]
fn the_keys_that_map_proposes_mend_the_mapping() {
    let scene = Scene::new();
    let topic = scene.topic("mend", 1);
    let definition = "(id INT, city STRING, state INT DEFAULT \"7\")";
    let table = scene.table("mend", definition);
    put(&scene, &topic, &[r#"{"ID":1,"City":"Oslo"}"#]);
    let job = scene.job(&[(&topic, &table)]);
    let output = map(&scene, &job, &["--properties", "--output", "json"]).expect(0);
    let document: Value = serde_json::from_str(output.stdout.trim()).expect("it is JSON");
    let proposed = document["proposed"].as_object().expect("proposals");
    assert!(proposed.contains_key("transforms.rename.renames"), "{proposed:?}");
    assert!(proposed.contains_key("sink.properties.columns"), "{proposed:?}");
    let config = document["config"].as_object().expect("keys");
    let mended =
        config.iter().fold(job, |job, (key, value)| job.set(key, value.as_str().expect("text")));
    mended.load(&[]).expect(0);
    scene.check_rows(&table, &["id", "city", "state"], &["1|Oslo|7"]);
}
