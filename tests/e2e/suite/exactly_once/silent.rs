//! StarRocks falls silent when an intent stands. `load` ends after its retries and leaves the batch to
//! the next run; `tail` waits.

use std::fs;
use std::time::Duration;

use e2e::starsink::Output;
use serde_json::{Value, json};

use super::stage::{Stage, broker};
use crate::scene::{SOON, wait_until};

const GIVEN_UP: [&str; 3] =
    ["given up after", "`sink.maxretries`", "the same command again settles it first"];

impl Stage {
    /// Begin, load and prepare work; nothing else is answered, before it has taken effect.
    fn fall_silent(&self) {
        for op in ["commit", "get_load_state"] {
            self.fault(&json!({"op": op, "when": "before", "times": 0, "do": "drop"}));
        }
    }

    fn speak_again(&self) {
        self.scene.starrocks.clear_faults().expect("faults are cleared");
    }

    fn load_with(&self, file: &str, args: &[&str]) -> Output {
        let args = [&["load", "--no-progress", "-v"], args, &[file]].concat();
        self.scene.starsink.run(&args, "", SOON).expect("starsink runs")
    }

    fn is_pending(&self) -> bool {
        self.cursors().iter().flatten().any(|(_, text)| text.contains(";e="))
    }
}

#[test]
fn a_load_gives_up_and_the_next_run_settles_what_it_left() {
    let Some(stage) = Stage::new("a silent StarRocks", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    let file = stage.file_with(&[("sink.maxretries", "2")]);
    stage.fall_silent();
    let report = stage.scene.dir.join("report.json");
    let shown = report.to_string_lossy().into_owned();
    let ended = stage.load_with(&file, &["--report", &shown]).expect(5).says(&GIVEN_UP);
    ended.says(&["cannot commit a transaction for", "step 6: committing"]);
    let report: Value =
        serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
    let labels = report["labels"].as_array().expect("labels");
    assert!(labels.iter().all(|label| label["state"] == "pending"), "{report}");
    let rows = labels.iter().filter_map(|label| label["rows"].as_u64());
    assert_eq!(rows.sum::<u64>(), ids.len() as u64, "{report}");
    assert_eq!(labels[0]["ranges"].as_array().expect("ranges").len(), 6, "{report}");
    assert!(stage.is_pending(), "the intent stands");
    assert_eq!(stage.ids(), [0; 0]);

    // Neither does the next one wait for ever, whatever it was asked for.
    for args in [&[][..], &["--settle"]] {
        let ended = stage.load_with(&file, args).expect(5).says(&GIVEN_UP);
        let ended = ended.says(&["cannot ask for the state of label", "step 1: fetching"]);
        assert!(!ended.stderr.contains("step 2"), "{}", ended.stderr);
    }
    assert!(stage.is_pending(), "the intent stands");

    stage.speak_again();
    let ended = stage.load_with(&file, &[]).expect(0).says(&["R3: prepared and intended"]);
    assert!(ended.stdout.contains("settled: "), "{}", ended.stdout);
    stage.check_ids(&ids);
    stage.forget_logs();
}

#[test]
fn a_load_without_a_word_about_retries_waits_half_a_minute() {
    let Some(stage) = Stage::new("patience", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    stage.fall_silent();
    let file = stage.file();
    let run = stage.scene.starsink.start(&["load", "--no-progress", "-v", file], "");
    let mut run = run.expect("it starts");
    wait_until("it commits", SOON, || run.stderr().contains("step 6"));
    std::thread::sleep(Duration::from_secs(15));
    assert!(run.runs().expect("its state"), "given up too soon\n{}", run.stderr());
    run.wait(SOON).expect("it ends").expect(5).says(&GIVEN_UP);
    stage.speak_again();
    stage.load(&[]).expect(0);
    stage.check_ids(&ids);
    stage.forget_logs();
}

#[test]
fn a_tail_goes_on_when_starrocks_answers_again() {
    let Some(stage) = Stage::new("a patient tail", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    stage.fall_silent();
    let mut process = stage.tail(&[]);
    assert!(process.says("step 6: committing", SOON), "{}", process.said());
    // Longer than a `load` waits.
    std::thread::sleep(Duration::from_secs(40));
    process.check_runs();
    let warned = process.said().matches("warning: a pending batch waits for StarRocks").count();
    assert!((1..20).contains(&warned), "said {warned} times\n{}", process.said());
    stage.speak_again();
    wait_until("the rows are there", SOON, || stage.ids().len() >= ids.len());
    process.stop();
    stage.check_ids(&ids);
    assert!(!stage.is_pending());
    stage.forget_logs();
}

#[test]
fn a_plain_load_that_never_comes_through_is_given_up_with_its_intent() {
    let Some(stage) = Stage::old("a silent old StarRocks", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    let file = stage.file_with(&[("sink.maxretries", "2")]);
    stage.fault(&json!({"op": "stream_load", "at": "be", "times": 0, "do": "drop"}));
    // Once in the run that wrote the intent, once in one that finds it.
    for step in ["step 6: committing", "R8: intended but not loaded"] {
        stage.load_with(&file, &[]).expect(5).says(&["given up after", step]);
        assert!(stage.is_pending(), "the intent stands");
        assert_eq!(stage.ids(), [0; 0]);
    }
    stage.speak_again();
    stage.load_with(&file, &[]).expect(0);
    stage.check_ids(&ids);
    stage.forget_logs();
}

#[test]
fn a_load_gives_up_on_brokers_that_are_gone() {
    let mut kafka = super::cluster(1);
    let Some(stage) = Stage::new("brokers that are gone", &kafka.bootstrap()) else { return };
    let ids = stage.put_rows(0, 300);
    stage.fault(
        &json!({"op": "prepare", "at": "be", "when": "before", "do": "hold", "name": "gone"}),
    );
    let file = stage.file_with(&[("sink.maxretries", "2")]);
    let run = stage.scene.starsink.start(&["load", "--no-progress", "-v", &file], "");
    let mut run = run.expect("it starts");
    assert!(stage.is_held(SOON), "{}", run.stderr());
    kafka.kill(0);
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.scene.starrocks.release("gone").expect("released");
    run.wait(4 * SOON).expect("it ends").expect(5).says(&[
        "cannot reach Kafka at",
        "waiting for a broker",
        "nothing is lost, run the same command again",
    ]);
    kafka.restart(0).expect("it comes back");
    stage.load(&[]).expect(0);
    stage.check_ids(&ids);
    stage.forget_logs();
}
