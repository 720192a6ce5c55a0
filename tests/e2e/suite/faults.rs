//! The fault table: what goes wrong, and what the user gets.

use std::io;
use std::time::Duration;

use e2e::child::Guarded;
use e2e::produce::{self, Load, Message};
use e2e::proxy::Proxy;
use e2e::row;
use e2e::starrocks::Ids;
use e2e::topics;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{SOON, Scene, wait_until};

const SMALL: &str = "(id INT NOT NULL, city STRING NOT NULL)";
/// Nothing listens on port 1.
const NOBODY: &str = "127.0.0.1:1";
/// A broker or server that is not there is reported within 15 s; the rest is for a busy machine.
const REPORTED_WITHIN: Duration = Duration::from_secs(20);

/// A scene with a topic `fault_…` of three good records and a table for them.
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
        let (topic, table) = (scene.topic("fault", 1), scene.table("fault", SMALL));
        let stage = Stage { scene, topic, table };
        stage.put(&[r#"{"id":1,"city":"Oslo"}"#, r#"{"id":2,"city":"Lagos"}"#]);
        stage
    }

    fn put(&self, values: &[&str]) {
        let messages: Vec<Message<'_>> = values.iter().map(|text| Message::value(text)).collect();
        produce::put(&self.scene.bootstrap, &self.topic, &messages).expect("produced");
    }

    fn count(&self) -> u64 {
        self.scene.starrocks.count(&self.table).expect("counted")
    }

    /// Loads with these settings changed: the exit code is one of `codes`, stderr holds `texts`
    /// and a hint, nothing was loaded.
    #[track_caller]
    fn check_refused(&self, changes: &[(&str, &str)], codes: &[i32], texts: &[&str]) {
        let job = self.scene.job(&[(&self.topic, &self.table)]);
        let job = changes.iter().fold(job, |job, (key, value)| job.set(key, value));
        let output = job.load(&[]).expect_any(codes).says(texts).says(&["error:", "hint:"]);
        assert!(output.took < REPORTED_WITHIN, "reported after {:?}", output.took);
        assert_eq!(self.count(), 0);
    }

    /// Loads with these settings changed and expects the two good records.
    #[track_caller]
    fn check_loads(&self, changes: &[(&str, &str)]) {
        let job = self.scene.job(&[(&self.topic, &self.table)]);
        changes.iter().fold(job, |job, (key, value)| job.set(key, value)).load(&[]).expect(0);
        self.scene.check_rows(&self.table, &["id", "city"], &["1|Oslo", "2|Lagos"]);
    }
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    Stage::new().check_refused(
        &[("bootstrap.servers", NOBODY)],
        &[5],
        &["cannot reach Kafka at", NOBODY],
    );
}

#[test]
fn tls_to_a_listener_without_tls_is_named() {
    let stage = Stage::new();
    let address = stage.scene.bootstrap.clone();
    stage.check_refused(
        &[("consumer.override.security.protocol", "SSL")],
        &[2, 5],
        &[&address, "ssl"],
    );
}

#[test]
fn a_missing_topic_brings_the_nearest_name() {
    let stage = Stage::new();
    let wrong = stage.topic.replace("fault", "fualt");
    stage.check_refused(
        &[("topics", &wrong)],
        &[2],
        &[&wrong, "does not exist on", "did you mean", &stage.topic],
    );
}

#[test]
fn the_query_port_as_fe_address_is_recognised() {
    let stage = Stage::new();
    let query = stage.scene.starrocks.query.clone();
    stage.check_refused(
        &[("starrocks.http.url", &query)],
        &[2],
        &["cannot talk to the StarRocks FE at", &query, "query port"],
    );
}

#[test]
fn a_backend_as_fe_address_is_recognised() {
    let stage = Stage::new();
    let Some(be) = stage.scene.starrocks.be.clone() else {
        crate::scene::skip("a backend as FE address", "a real StarRocks' backends are not known");
        return;
    };
    stage.check_refused(
        &[("starrocks.http.url", &be)],
        &[2],
        &["is a StarRocks BE, not an FE", &be],
    );
}

#[test]
fn a_wrong_starrocks_password_is_refused_and_never_shown() {
    let stage = Stage::new();
    let user = stage.scene.starrocks.user.clone();
    stage.check_refused(
        &[("starrocks.password", "no-such-password")],
        &[2],
        &["does not accept", &user],
    );
    let job = stage.scene.job(&[(&stage.topic, &stage.table)]);
    let output = job.set("starrocks.password", "no-such-password").load(&["-v"]);
    assert!(!output.stderr.contains("no-such-password"), "{}", output.stderr);
}

#[test]
fn a_missing_database_or_table_is_named() {
    let stage = Stage::new();
    let map = format!("{}:no_such_table", stage.topic);
    stage.check_refused(
        &[("starrocks.topic2table.map", &map)],
        &[2],
        &["goes to table", "no_such_table", "which does not exist", &stage.topic],
    );
    stage.check_refused(
        &[("starrocks.database.name", "no_such_db")],
        &[2],
        &["no_such_db", "does not exist in StarRocks"],
    );
}

#[test]
fn one_fe_of_two_may_be_down() {
    let stage = Stage::new();
    let both = format!("{NOBODY},{}", stage.scene.starrocks.fe);
    stage.check_loads(&[("starrocks.http.url", &both)]);
}

#[test]
fn one_fe_of_two_may_die_in_mid_load() {
    let Some(scene) = Scene::with_standin("an FE that dies in mid-load") else { return };
    let topic = scene.topic("dying", 3);
    let table = scene.table("dying", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS));
    scene.starrocks.tally_ids(&table).expect("ids are tallied");
    let load = Load::json(&topic, 3, 600_000);
    produce::fast(&scene.bootstrap, &load).expect("produced");
    let slow = json!({"op": "prepare", "times": 0, "do": "delay", "ms": 1000});
    scene.starrocks.fault(&slow).expect("a fault is set");
    let proxy = Proxy::start(&scene.starrocks.fe).expect("a proxy starts");
    let both = format!("{},{}", proxy.address(), scene.starrocks.fe);
    let job = scene.job(&[(&topic, &table)]).set("starrocks.http.url", &both);
    let mut run = job.start(&["load", "--no-progress"]);
    wait_until("the first FE is used", SOON, || proxy.connections() > 0);
    drop(proxy);
    run.wait(2 * SOON).expect("it ends").expect(0);
    assert_eq!(scene.starrocks.ids(&table).expect("ids"), load.all().collect::<Ids>());
}

#[test]
fn a_backend_out_of_reach_is_named() {
    let Some(scene) = Scene::with_standin("a backend out of reach") else { return };
    let stage = Stage::on(scene);
    for op in ["stream_load", "begin", "load", "prepare"] {
        let away = json!({"op": op, "at": "fe", "times": 0, "do": "location", "host": NOBODY});
        stage.scene.starrocks.fault(&away).expect("a fault is set");
    }
    let job = stage.scene.job(&[(&stage.topic, &stage.table)]).set("sink.maxretries", "1");
    job.load(&[]).expect(5).says(&["sent the request on to", NOBODY, "hint:"]);
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.check_loads(&[("name", job.get("name"))]);
}

#[test]
fn a_record_that_is_no_json_object_stops_the_load_at_its_offset() {
    for bad in ["not json", "17", "\"text\"", "null", "", r#"{"id":3,"#] {
        let stage = Stage::new();
        stage.put(&[bad, r#"{"id":4,"city":"Chicago"}"#]);
        let job = stage.scene.job(&[(&stage.topic, &stage.table)]);
        let at = format!("{}[0]@2", stage.topic);
        job.load(&[]).expect(4).says(&["error:", &at]);
        // What stands before it is in the table, so that moving the group behind it loses nothing.
        assert_eq!(stage.count(), 2, "`{bad}`");
        // A second run finds the same record: it was not passed over.
        job.load(&[]).expect(4).says(&[&at]);
        assert_eq!(stage.count(), 2, "`{bad}`: nothing is loaded twice, nothing after it");
    }
}

#[test]
fn a_row_that_starrocks_rejects_stops_the_load_and_moves_no_offset() {
    let stage = Stage::new();
    stage.put(&[r#"{"id":3}"#]);
    let job = stage.scene.job(&[(&stage.topic, &stage.table)]);
    for _ in 0..2 {
        job.load(&[]).expect(4).says(&["error:", "rejected", &stage.table, "city"]);
        assert_eq!(stage.count(), 0);
    }
}

#[test]
fn a_signal_in_mid_batch_ends_in_bounded_time_and_loses_nothing() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let test = "a signal in mid-batch";
        let Some(scene) = Scene::with_standin(test) else { return };
        let stage = Stage::on(scene);
        for op in ["load", "stream_load"] {
            let hold = json!({"op": op, "at": "be", "times": 0, "do": "hold", "name": "batch"});
            stage.scene.starrocks.fault(&hold).expect("a fault is set");
        }
        let job = stage.scene.job(&[(&stage.topic, &stage.table)]);
        let mut run = job.start(&["load", "--no-progress"]);
        wait_until("a load is on its way", SOON, || {
            stage.scene.starrocks.holds().expect("held") > 0
        });
        run.signal(signal);
        run.wait(SOON).expect("it ends").expect(code);
        stage.scene.starrocks.clear_faults().expect("faults are cleared");
        stage.scene.starrocks.release("batch").expect("released");
        stage.check_loads(&[("name", job.get("name"))]);
    }
}

#[test]
fn what_a_signal_leaves_pending_is_told_and_the_next_run_says_what_it_settled() {
    let Some(scene) = Scene::with_standin("a batch left pending") else { return };
    let stage = Stage::on(scene);
    let hold = json!({"op": "commit", "at": "fe", "times": 0, "do": "hold", "name": "commit"});
    stage.scene.starrocks.fault(&hold).expect("a fault is set");
    let job = stage.scene.job(&[(&stage.topic, &stage.table)]);
    let mut run = job.start(&["load", "--no-progress"]);
    wait_until("a commit is on its way", SOON, || stage.scene.starrocks.holds().expect("held") > 0);
    run.signal(Signal::SIGINT);
    let told = run.wait(SOON).expect("it ends").expect(130).stdout;
    assert!(told.contains("nothing was committed") && told.contains("pending:"), "{told}");
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.scene.starrocks.release("commit").expect("released");
    let settled = format!("settled: {}[0]@0..2", stage.topic);
    let told = job.load(&[]).expect(0).stdout;
    assert!(told.contains(&settled), "{told}");
    assert_eq!(stage.count(), 2);
}

#[test]
fn a_closed_stdout_does_not_stop_a_load() {
    let stage = Stage::new();
    let file = stage.scene.job(&[(&stage.topic, &stage.table)]).file();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut command = stage.scene.starsink.command();
    command.args(["load", "--no-progress", &file]).stdout(writer);
    let mut run = Guarded::spawn(&mut command, None).expect("starsink starts");
    let status = run.wait(SOON).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert_eq!(stage.count(), 2);
}

#[test]
fn without_a_terminal_no_escape_sequence_is_written() {
    let stage = Stage::new();
    let file = stage.scene.job(&[(&stage.topic, &stage.table)]).file();
    let output = stage.scene.starsink.run(&["load", &file], "", SOON).expect("it runs").expect(0);
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
    }
}

#[test]
fn an_empty_topic_list_of_a_pattern_is_not_silence() {
    let stage = Stage::new();
    let pattern = topics::fresh_name("nothing_like_this");
    let job = stage.scene.job(&[]).without("topics").without("starrocks.topic2table.map");
    let output = job.set("topics.regex", &pattern).load(&[]);
    output.says(&["no topic on", &pattern]);
}
