//! What the delivery options promise: at least once, settling, bounded loads that resume, that are
//! complete, that leave each other and a `tail` alone; `check` that changes nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::starsink::Output;
use e2e::topics;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::stage::{Dice, Process, Stage, StopOnDrop, broker, difference, wait_for_progress};
use crate::scene::{SOON, wait_until};

impl Stage {
    pub(super) fn fault(&self, fault: &serde_json::Value) {
        self.scene.starrocks.fault(fault).expect("a fault is set");
    }

    /// `starsink load` with the stage's job, to its end.
    pub(super) fn load(&self, args: &[&str]) -> Output {
        let args = [&["load", "--no-progress"], args, &[self.file()]].concat();
        self.scene.starsink.run(&args, "", SOON).expect("starsink runs")
    }

    /// Leaves a batch prepared and intended, its process dead.
    pub(super) fn leave_pending(&self) {
        self.fault(&json!({"op": "commit", "times": 0, "do": "drop"}));
        let process = self.tail_every("3s", &[]);
        assert!(process.says("step 6: committing", SOON), "{}", process.said());
        process.kill();
        self.scene.starrocks.clear_faults().expect("faults are cleared");
    }

    #[track_caller]
    pub(super) fn check_ids(&self, expected: &[u64]) {
        let found = self.ids();
        assert!(found == expected, "{}", difference(expected, &found));
    }

    /// Offsets and metadata of the topics of rows.
    pub(super) fn cursors(&self) -> Vec<Option<(i64, String)>> {
        let of = |topic: &String| {
            topics::committed(&self.scene.bootstrap, &self.group(), topic, 3).expect("offsets")
        };
        self.row_topics().iter().flat_map(of).collect()
    }
}

#[test]
fn at_least_once_loses_nothing_to_kill_9() {
    let Some(stage) = Stage::new("at least once", &broker()) else { return };
    let (mut dice, stop) = (Dice::new(7), AtomicBool::new(false));
    let produced = thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let producers = stage.produce(scope, &stop);
        let mut process = stage.tail(&["--delivery", "at-least-once"]);
        assert!(process.says("a crash may load a batch twice", SOON), "{}", process.said());
        for _ in 0..4 {
            wait_for_progress(&stage, SOON);
            thread::sleep(dice.millis(700));
            process.kill();
            process = stage.tail(&["--delivery", "at-least-once"]);
        }
        stop.store(true, Ordering::Relaxed);
        let produced = producers.produced();
        let expected: BTreeSet<u64> = produced.ids.iter().copied().collect();
        wait_until("every row is there", SOON, || {
            let found: BTreeSet<u64> = stage.ids().into_iter().collect();
            found.is_superset(&expected)
        });
        process.stop();
        produced
    });
    let found: BTreeSet<u64> = stage.ids().into_iter().collect();
    assert_eq!(found.len(), produced.ids.len(), "rows nobody produced");
    stage.forget_logs();
}

#[test]
fn check_shows_what_is_pending_and_settle_finishes_it_and_loads_nothing_new() {
    let Some(stage) = Stage::new("settle", &broker()) else { return };
    let first = stage.put_rows(0, 600);
    stage.leave_pending();
    let second = stage.put_rows(200, 300);
    assert_eq!(stage.ids(), [0; 0], "nothing is committed yet");

    let before = stage.cursors();
    assert!(before.iter().flatten().any(|(_, text)| text.contains(";e=")), "{before:?}");
    let file = stage.file();
    let check = || {
        let run = stage.scene.starsink.run(&["check", "--only", "delivery", file], "", SOON);
        run.expect("it runs").expect(0).stdout
    };
    let shown = check();
    for text in ["is PREPARED", "next start: R3", "pending: ", "lag 300", &stage.group()] {
        assert!(shown.contains(text), "no `{text}`:\n{shown}");
    }
    assert_eq!(stage.cursors(), before, "check changes nothing");
    assert_eq!(stage.ids(), [0; 0], "check changes nothing");

    let told = stage.load(&["--settle", "--output", "json"]).expect(0).stdout;
    let events = || told.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let settled: Vec<Value> =
        events().filter(|event: &Value| event["event"] == "settled").collect();
    let table = format!("{}.{}", stage.scene.starrocks.db, stage.rows);
    assert!(settled.iter().any(|event| event["table"] == *table), "{told}");
    assert!(settled.iter().all(|event| event["rows"].is_null()), "{told}");
    let summary: Value = events().last().expect("a summary");
    let ranges = summary["settled"].as_array().expect("ranges");
    let offsets = |range: &Value| range["next"].as_u64().zip(range["first"].as_u64());
    let records = ranges.iter().filter_map(offsets).map(|(next, first)| next - first);
    assert_eq!(records.sum::<u64>(), first.len() as u64, "{summary}");
    stage.check_ids(&first);
    let shown = check();
    assert!(shown.contains("nothing pending") && !shown.contains("label"), "{shown}");
    stage.load(&["--settle"]).expect(0);
    stage.check_ids(&first);
    stage.load(&[]).expect(0);
    let mut all = [first, second].concat();
    all.sort_unstable();
    stage.check_ids(&all);
    stage.forget_logs();
}

#[test]
fn a_bounded_load_resumes_then_is_complete_then_loads_again_if_told_to() {
    let Some(stage) = Stage::new("a bounded load", &broker()) else { return };
    let all = stage.put_rows(0, 6_000);
    let bounded = ["-o", "beginning", "--flush-bytes", "100KB"];
    stage.fault(&json!({"op": "commit", "nth": 2, "times": 0, "do": "hold", "name": "middle"}));
    let file = stage.file();
    let args = [&["load", "-v", "--no-progress"][..], &bounded, &[file]].concat();
    let run = stage.scene.starsink.start(&args, "").expect("it starts");
    let mut run = Process::of(run, &stage);
    wait_until("some rows are loaded", SOON, || !stage.ids().is_empty());
    assert!(stage.is_held(SOON), "{}", run.said());
    run.check_runs();
    run.signal(Signal::SIGKILL);
    drop(run);
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.scene.starrocks.release("middle").expect("released");
    assert!(stage.ids().len() < all.len(), "nothing is left to resume");

    let output = stage.load(&bounded).expect(0);
    assert!(!output.stdout.contains("an earlier run of the same command"), "{}", output.stdout);
    stage.check_ids(&all);

    // More rows do not change what was asked for.
    let later = stage.put_rows(2_000, 30);
    let output = stage.load(&bounded).expect(0);
    for text in ["an earlier run of the same command loaded everything", "--restart"] {
        assert!(output.stdout.contains(text), "no `{text}`:\n{}", output.stdout);
    }
    stage.check_ids(&all);

    stage.load(&[&bounded[..], &["--restart"]].concat()).expect(0);
    let mut twice = [&all[..], &all, &later].concat();
    twice.sort_unstable();
    stage.check_ids(&twice);
    stage.forget_logs();
}

#[test]
fn two_bounded_loads_and_a_tail_at_the_same_time_leave_each_other_alone() {
    let Some(stage) = Stage::new("loads side by side", &broker()) else { return };
    let all = stage.put_rows(0, 3_000);
    let tail = stage.tail(&[]);
    let part = |args: &[&str]| {
        let file = stage.file();
        let args = [&["load", "--no-progress"], args, &[&file]].concat();
        stage.scene.starsink.start(&args, "").expect("it starts")
    };
    let mut runs = [part(&["-o", "0", "--until", "400"]), part(&["-o", "300", "--until", "500"])];
    for run in &mut runs {
        run.wait(SOON).expect("it ends").expect(0);
    }
    let index = |id: &u64| id % 1_000_000_000 % 500_000_000;
    let within = |from: u64, to: u64| {
        all.iter().copied().filter(move |id| (from..to).contains(&index(id))).collect::<Vec<_>>()
    };
    let mut expected = [all.clone(), within(0, 400), within(300, 500)].concat();
    expected.sort_unstable();
    wait_until("all are there", SOON, || stage.ids().len() >= expected.len());
    tail.stop();
    stage.check_ids(&expected);
    stage.forget_logs();
}

#[test]
fn a_number_of_records_is_counted_over_the_runs_of_one_command() {
    let Some(stage) = Stage::new("-c over several runs", &broker()) else { return };
    let all = stage.put_rows(0, 10_000);
    let some = ["-o", "beginning", "-c", "12000", "--flush-bytes", "60KB"];
    stage.fault(&json!({"op": "commit", "nth": 2, "times": 0, "do": "hold", "name": "middle"}));
    let file = stage.file();
    let args = [&["load", "-v", "--no-progress"][..], &some, &[file]].concat();
    let mut run = Process::of(stage.scene.starsink.start(&args, "").expect("it starts"), &stage);
    wait_until("some rows are loaded", SOON, || !stage.ids().is_empty());
    assert!(stage.is_held(SOON), "{}", run.said());
    run.check_runs();
    run.signal(Signal::SIGKILL);
    drop(run);
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.scene.starrocks.release("middle").expect("released");
    let half = stage.ids().len();
    assert!((1..12_000).contains(&half), "{half} rows: nothing is left to resume");

    stage.load(&some).expect(0);
    let loaded = stage.ids();
    assert_eq!(loaded.len(), 12_000, "as many as were asked for, over both runs");
    let distinct: BTreeSet<&u64> = loaded.iter().collect();
    assert_eq!(distinct.len(), 12_000, "each once");
    let output = stage.load(&some).expect(0);
    let said = "an earlier run of the same command loaded everything";
    assert!(output.stdout.contains(said), "{}", output.stdout);
    assert_eq!(stage.ids().len(), 12_000);

    // Another number is another command, with a count of its own.
    stage.load(&["-o", "beginning", "-c", "500"]).expect(0);
    assert_eq!(stage.ids().len(), 12_500);
    // Without a start of its own a load goes on in the group, and each run counts for itself.
    stage.load(&["-c", "100"]).expect(0);
    stage.load(&["-c", "100"]).expect(0);
    assert_eq!(stage.ids().len(), 12_700);
    stage.load(&[]).expect(0);
    assert_eq!(stage.ids().len(), 12_500 + all.len());
    stage.forget_logs();
}
