//! Errors of `docs/ERRORS.md` that take a broker or a StarRocks and are nobody else's business: text
//! and exit code of each. `tests/it/errors.rs` says where every line of that page is tested.

use std::time::Duration;

use e2e::kafka::{Kafka, Options, SASL_PASSWORD, SASL_USER};
use e2e::produce::{self, Message};
use e2e::starrocks::StarRocks;
use e2e::topics;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{Job, SOON, Scene, bootstrap, skip, wait_until};

const TABLE: &str = "(id INT NOT NULL, city STRING NOT NULL)";

/// Topic, table and three good records.
struct Stage {
    scene: Scene,
    topic: String,
    table: String,
}

impl Stage {
    fn new() -> Stage {
        Stage::on(Scene::new())
    }

    fn on(scene: Scene) -> Stage {
        let (topic, table) = (scene.topic("error", 1), scene.table("error", TABLE));
        let stage = Stage { scene, topic, table };
        stage.put(0, 3);
        stage
    }

    fn put(&self, first: u32, next: u32) {
        let values: Vec<String> =
            (first..next).map(|id| format!("{{\"id\":{id},\"city\":\"Oslo\"}}")).collect();
        self.put_values(&values);
    }

    fn put_values(&self, values: &[String]) {
        let messages: Vec<Message<'_>> = values.iter().map(|text| Message::value(text)).collect();
        produce::put(&self.scene.bootstrap, &self.topic, &messages).expect("produced");
    }

    fn job(&self) -> Job<'_> {
        self.scene.job(&[(&self.topic, &self.table)])
    }

    fn group(&self, job: &Job<'_>) -> String {
        format!("connect-{}", job.get("name"))
    }

    fn count(&self) -> u64 {
        self.scene.starrocks.count(&self.table).expect("counted")
    }

    /// A load with more arguments ends with this code, says this, and has loaded nothing.
    #[track_caller]
    fn refuses(&self, job: &Job<'_>, args: &[&str], code: i32, says: &[&str]) {
        let before = self.count();
        job.load(args).expect(code).says(&["error:"]).says(says);
        assert_eq!(self.count(), before);
    }
}

// ---- the command line and the client ----

#[test]
fn a_partition_that_the_topic_does_not_have_is_refused() {
    let stage = Stage::new();
    let says = ["has 1 partitions, so there is no partition 7", stage.topic.as_str()];
    stage.refuses(&stage.job(), &["-p", "7"], 2, &says);
}

#[test]
fn a_property_that_librdkafka_does_not_know_is_refused_by_it() {
    let stage = Stage::new();
    let says = ["cannot make a Kafka client from this configuration", "no.such.property"];
    stage.refuses(&stage.job(), &["-X", "no.such.property=1"], 2, &says);
}

#[test]
fn records_that_may_be_rolled_back_are_not_loaded_exactly_once() {
    let stage = Stage::new();
    let job = stage.job().set("consumer.override.isolation.level", "read_uncommitted");
    let says = ["exactly once is not possible with `isolation.level=read_uncommitted`"];
    stage.refuses(&job, &[], 2, &says);
    job.load(&["--delivery", "at-least-once"]).expect(0);
    assert_eq!(stage.count(), 3);
}

#[test]
fn a_report_that_cannot_be_written_is_told_and_the_load_is_done() {
    let stage = Stage::new();
    let output = stage.job().load(&["--report", "/nowhere/report.json"]).expect(2);
    output.says(&["cannot write the report to `/nowhere/report.json`"]);
    assert_eq!(stage.count(), 3);
}

// ---- the group's position ----

#[test]
fn a_new_group_that_must_not_choose_its_beginning_is_refused() {
    let stage = Stage::new();
    let job = stage.job().set("consumer.override.auto.offset.reset", "none");
    let says = ["has no offset for", &stage.topic, "`-o beginning`"];
    stage.refuses(&job, &[], 2, &says);
    job.load(&["-o", "beginning"]).expect(0);
    assert_eq!(stage.count(), 3);
}

#[test]
fn records_that_retention_deleted_before_they_were_loaded_are_told() {
    let stage = Stage::new();
    let job = stage.job();
    job.load(&[]).expect(0);
    stage.put(3, 9);
    topics::delete_records(&stage.scene.bootstrap, &stage.topic, 5).expect("deleted");
    let group = stage.group(&job);
    let says = ["begins at 5", &group, "stands at 3", "2 records were deleted"];
    stage.refuses(&job, &[], 2, &says);
}

#[test]
fn a_position_behind_the_end_of_the_topic_is_told() {
    let stage = Stage::new();
    let job = stage.job();
    let group = stage.group(&job);
    let offsets = [(0, 10, String::new())];
    topics::commit(&stage.scene.bootstrap, &group, &stage.topic, &offsets).expect("committed");
    let says = ["ends at 3", &group, "stands at 10", "created again or truncated"];
    stage.refuses(&job, &[], 2, &says);
}

#[test]
fn records_that_are_deleted_under_a_reader_are_told() {
    let stage = Stage::new();
    let job = stage.job();
    let mut run = job.start(&["tail", "--no-progress"]);
    wait_until("the first records are loaded", SOON, || stage.count() == 3);
    run.signal(Signal::SIGSTOP);
    stage.put(3, 9);
    topics::delete_records(&stage.scene.bootstrap, &stage.topic, 8).expect("deleted");
    // An answer with the new records may be on its way to the reader: behind it nothing is.
    std::thread::sleep(Duration::from_millis(700));
    stage.put(9, 12);
    topics::delete_records(&stage.scene.bootstrap, &stage.topic, 12).expect("deleted");
    run.signal(Signal::SIGCONT);
    let output = run.wait(SOON).expect("it ends").expect(2);
    output.says(&["no longer holds the offset to read from", &stage.topic, "retention"]);
}

#[test]
fn an_offset_with_somebody_elses_words_is_refused() {
    for (metadata, why) in [
        ("a note of mine", "cause: another program wrote it"),
        ("sk2;r=1", "cause: another version of starsink wrote it"),
        ("sk1;r=1", "cause: it begins as starsink's does, but is damaged"),
    ] {
        let stage = Stage::new();
        let job = stage.job();
        let group = stage.group(&job);
        let offsets = [(0, 1, metadata.to_owned())];
        topics::commit(&stage.scene.bootstrap, &group, &stage.topic, &offsets).expect("committed");
        let says = ["carries metadata that starsink cannot use", why, metadata, &group, "`-G`"];
        stage.refuses(&job, &[], 2, &says);
    }
}

#[test]
fn a_group_of_another_bounded_load_is_refused() {
    let stage = Stage::new();
    let group = topics::fresh_name("errors-group");
    let job = stage.job();
    job.load(&["-o", "beginning", "-c", "2", "-G", &group]).expect(0);
    let says = ["belongs to a bounded load that was asked for something else", &group, "`-G`"];
    stage.refuses(&job, &["-o", "beginning", "-c", "1", "-G", &group], 2, &says);
}

#[test]
fn a_broker_with_too_little_room_for_an_intent_is_told() {
    // Too little for a claim; enough for that, but not for an intent, and nothing may be loaded first.
    for limit in ["20", "60"] {
        let properties = vec![("offset.metadata.max.bytes".to_owned(), limit.to_owned())];
        let options = Options { properties, ..Options::default() };
        let kafka = Kafka::start(&options).expect("Kafka starts");
        let stage = Stage::on(Scene::on(kafka.bootstrap()));
        let says = ["refuses offset metadata as long as an intent", "offset.metadata.max.bytes"];
        stage.refuses(&stage.job(), &[], 2, &says);
        let labels = stage.scene.starrocks.labels().expect("labels");
        assert!(labels.is_empty(), "{limit}: {labels:?}");
        kafka.stop().expect("it stops");
    }
}

// ---- rights ----

#[test]
fn a_user_without_rights_is_told_which_are_missing() {
    let kafka = Kafka::start(&Options::with_access_lists()).expect("Kafka starts");
    let stage = Stage::on(Scene::on(kafka.bootstrap()));
    let authority = kafka.certificates().expect("certificates").authority();
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{SASL_USER}\" password=\"{SASL_PASSWORD}\";"
    );
    let job = stage
        .job()
        .set("bootstrap.servers", &kafka.secure_bootstrap().expect("a secure listener"))
        .set("consumer.override.security.protocol", "SASL_SSL")
        .set("consumer.override.sasl.mechanism", "PLAIN")
        .set("consumer.override.sasl.jaas.config", &jaas)
        .set("consumer.override.ssl.truststore.type", "PEM")
        .set("consumer.override.ssl.truststore.location", &authority.to_string_lossy());
    let group = stage.group(&job);
    let allow = |operation: &str, on: &[&str]| {
        kafka.allow(SASL_USER, operation, on).expect("allowed");
    };
    stage.refuses(&job, &[], 2, &["topic", &stage.topic, "does not exist"]);
    allow("Describe", &["--topic", &stage.topic]);
    stage.refuses(&job, &[], 2, &["Kafka refuses to let this user read", "Read", "group"]);
    allow("Read", &["--topic", &stage.topic]);
    stage.refuses(&job, &[], 2, &["Kafka refuses to let this user read", "group"]);
    allow("Read", &["--group", &group]);
    let mut run = job.start(&["tail", "--no-progress"]);
    wait_until("the first records are loaded", SOON, || stage.count() == 3);
    // What was allowed is taken back while the run is under way.
    kafka.forbid(SASL_USER, "Read", &["--group", &group]).expect("taken back");
    stage.put(3, 6);
    let output = run.wait(SOON).expect("it ends").expect(2);
    // Whichever question meets the refusal first.
    let ends = ["cannot read the group's offsets at Kafka", "Kafka refuses to let this user read"];
    assert!(ends.iter().any(|end| output.stderr.contains(end)), "{}", output.stderr);
    output.says(&["Read on the topics and on the"]);
    assert_eq!(stage.count(), 3, "nothing is loaded that cannot be remembered");
    allow("Read", &["--group", &group]);
    job.load(&[]).expect(0);
    assert_eq!(stage.count(), 6);
    kafka.stop().expect("it stops");
}

#[test]
fn a_starrocks_user_without_insert_is_told() {
    let stage = Stage::new();
    if !stage.scene.starrocks.is_standin() {
        skip("a user without INSERT", "it makes a user in the cluster");
        return;
    }
    let reader = "CREATE USER 'reader'@'%' IDENTIFIED BY 'r'; \
                  GRANT SELECT ON ALL TABLES IN DATABASE example_db TO USER 'reader'@'%';";
    stage.scene.starrocks.execute(reader).expect("a user is made");
    let job = stage.job().set("starrocks.username", "reader").set("starrocks.password", "r");
    let says = ["does not let user `reader` load into", &stage.table, "INSERT"];
    stage.refuses(&job, &[], 2, &says);
}

// ---- StarRocks ----

#[test]
fn an_fe_that_is_not_there_is_told() {
    let stage = Stage::new();
    let job = stage.job().set("starrocks.http.url", "127.0.0.1:1");
    stage.refuses(&job, &[], 5, &["cannot reach the StarRocks FE at `127.0.0.1:1`", "hint:"]);
}

#[test]
fn an_fe_that_does_not_tell_columns_is_named() {
    let Some(scene) = Scene::with_standin("an FE that does not answer") else { return };
    let stage = Stage::on(scene);
    for op in ["schema", "sql"] {
        let silent = json!({"op": op, "times": 0, "do": "drop"});
        stage.scene.starrocks.fault(&silent).expect("a fault is set");
    }
    let fe = stage.scene.starrocks.fe.clone();
    let says = ["cannot read the columns of", &stage.table, "no answer from", &fe];
    stage.refuses(&stage.job(), &[], 5, &says);
}

#[test]
fn a_cluster_without_a_live_backend_is_told() {
    let Some(scene) = Scene::with_standin("a cluster without a live backend") else { return };
    let stage = Stage::on(scene);
    stage.scene.starrocks.lose_backend().expect("it is dead");
    stage.refuses(&stage.job(), &[], 5, &["no BE of the StarRocks cluster at", "is alive"]);
}

#[test]
fn every_step_that_stays_refused_ends_the_run_and_the_next_one_loads_all() {
    for (op, verb) in [
        ("begin", "cannot begin a transaction for"),
        ("load", "cannot load rows for"),
        ("prepare", "cannot prepare a transaction for"),
    ] {
        let Some(scene) = Scene::with_standin("a step that stays refused") else { return };
        let stage = Stage::on(scene);
        let busy = json!({
            "op": op, "at": "be", "times": 0, "do": "fail",
            "text": "current running txns on db 1 is 100, larger than limit 100"
        });
        stage.scene.starrocks.fault(&busy).expect("a fault is set");
        let job = stage.job().set("sink.maxretries", "1");
        let says = [verb, "larger than limit 100", "given up after 2 attempts", "nothing is lost"];
        stage.refuses(&job, &[], 5, &says);
        stage.scene.starrocks.clear_faults().expect("faults are cleared");
        job.load(&[]).expect(0);
        assert_eq!(stage.count(), 3, "{op}");
    }
}

#[test]
fn a_load_that_starrocks_refuses_as_it_is_configured_is_not_tried_again() {
    let stage = Stage::new();
    let job = stage.job().set("sink.properties.columns", "id, city, lost=id");
    let says = ["cannot load rows for", "Mapping column is not in table", "starsink check"];
    stage.refuses(&job, &[], 2, &says);
}

#[test]
fn exactly_once_without_transactions_is_refused() {
    let old = StarRocks::standin_with(&["--version", "2.3"]).expect("StarRocks starts");
    let stage = Stage::on(Scene::of(bootstrap(), old));
    let says = ["exactly once is not possible without condition", "`--delivery auto`"];
    stage.refuses(&stage.job(), &["--delivery", "exactly-once"], 2, &says);
}

// ---- tables ----

/// Records that say themselves which table they go to.
fn sent_by_field<'a>(stage: &'a Stage, tables: &[String]) -> Job<'a> {
    for table in tables {
        stage.scene.starrocks.create_table(table, "(id INT, to_ STRING)").expect("a table");
    }
    let value = |table: &String| format!("{{\"id\":1,\"to_\":\"{table}\"}}");
    let values: Vec<String> = tables.iter().map(value).collect();
    stage.put_values(&values);
    stage
        .job()
        .set("transforms", "t")
        .set("transforms.t.type", "io.confluent.connect.transforms.ExtractTopic$Value")
        .set("transforms.t.field", "to_")
        .set("transforms.t.skip.missing.or.null", "true")
}

#[test]
fn more_tables_than_an_intent_can_name_are_told() {
    let Some(scene) = Scene::with_standin("hundreds of tables") else { return };
    let stage = Stage::on(scene);
    let tables: Vec<String> = (0..600).map(|n| format!("many_{n}")).collect();
    let job = sent_by_field(&stage, &tables);
    let says = ["one batch would go to more tables than an intent can name", "many_"];
    stage.refuses(&job, &[], 2, &says);
}

#[test]
fn tables_whose_names_share_a_hash_are_told() {
    let Some(scene) = Scene::with_standin("tables of given names") else { return };
    let stage = Stage::on(scene);
    let tables = ["orders_56055".to_owned(), "orders_157977".to_owned()];
    let job = sent_by_field(&stage, &tables);
    let says = ["share a hash and cannot be loaded by one run", &tables[0], &tables[1]];
    stage.refuses(&job, &[], 2, &says);
}

// ---- records ----

#[test]
fn a_record_larger_than_a_load_may_be_stops_the_run_by_name() {
    let Some(scene) = Scene::with_standin("a limit of the cluster") else { return };
    let (topic, table) = (topics::fresh_name("large"), scene.table("error", TABLE));
    let large = [("max.message.bytes", "8000000")];
    topics::create(&scene.bootstrap, &topic, 1, &large).expect("created");
    let stage = Stage { scene, topic, table };
    stage.put(0, 5);
    stage.put_values(&[format!("{{\"id\":5,\"city\":\"{}\"}}", "x".repeat(1_500_000))]);
    stage.put(6, 9);
    let small = "ADMIN SET FRONTEND CONFIG (\"streaming_load_max_mb\" = \"1\")";
    stage.scene.starrocks.execute(small).expect("the limit is set");
    let place = format!("{}[0]@5", stage.topic);
    let output = stage.job().load(&[]).expect(4);
    output.says(&["a record is too large for a load into", &place, "exceed limit", "--on-error"]);
    assert_eq!(stage.count(), 5, "what stands before it is loaded");
}

#[test]
fn letters_without_context_need_a_single_topic() {
    let stage = Stage::new();
    let (dead, other) = (topics::fresh_name("dead"), stage.scene.topic("other", 1));
    let map = format!("{}:{table},{other}:{table}", stage.topic, table = stage.table);
    stage.put_values(&["not json".to_owned()]);
    let both = format!("{},{other}", stage.topic);
    let job = stage
        .job()
        .set("topics", &both)
        .set("starrocks.topic2table.map", &map)
        .set("errors.deadletterqueue.context.headers.enable", "false");
    job.load(&["--dlq", &dead]).expect(3);
    assert_eq!(stage.count(), 3);
    let output = job.load(&["--replay", &dead]).expect(3);
    let says = "a dead letter has no headers that say which topic it came from";
    assert!(output.stdout.contains(says), "{}", output.stdout);
}

#[test]
fn an_empty_line_is_no_row() {
    let stage = Stage::new();
    stage.put_values(&[String::new()]);
    let job = stage
        .job()
        .set("value.converter", "org.apache.kafka.connect.storage.StringConverter")
        .set("sink.properties.format", "csv")
        .set("sink.properties.column_separator", "|")
        .set("sink.properties.columns", "city")
        .without("sink.properties.strip_outer_array");
    let place = format!("{}[0]@3", stage.topic);
    job.load(&["-o", "3"]).expect(4).says(&["a record is empty, not a CSV row", &place]);
    assert_eq!(stage.count(), 0);
}
