//! Rows that StarRocks refuses in a plain load, whose intent stands before it: the rest is loaded exactly
//! once, the record becomes a dead letter, also through kill −9.

use std::collections::BTreeSet;
use std::fs;

use e2e::produce::{self, Message};
use e2e::read;
use e2e::starsink::Output;
use e2e::topics;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::stage::{Process, Stage, broker};
use crate::scene::{SOON, wait_until};

/// Records of partition 0 before the bad one.
const BEFORE: u64 = 500;

/// Several thousand rows, one of which lacks the column that must not be NULL.
struct Refusing {
    stage: Stage,
    ids: Vec<u64>,
    dead: String,
}

impl Refusing {
    fn new(test: &str) -> Option<Refusing> {
        let stage = Stage::old(test, &broker())?;
        let mut ids = stage.put_rows(0, 3 * BEFORE);
        let bad = Message { partition: 0, value: Some(br#"{"ts":1}"#), ..Message::default() };
        produce::put(&stage.scene.bootstrap, &stage.row_topics()[0], &[bad]).expect("produced");
        ids.extend(stage.put_rows(BEFORE, 3 * BEFORE));
        ids.sort_unstable();
        Some(Refusing { stage, ids, dead: topics::fresh_name("refused") })
    }

    fn args(&self) -> Vec<&str> {
        vec!["load", "-v", "--no-progress", "--dlq", &self.dead]
    }

    fn load(&self, args: &[&str]) -> Output {
        let args = [&self.args()[..], args, &[self.stage.file()]].concat();
        self.stage.scene.starsink.run(&args, "", 3 * SOON).expect("starsink runs")
    }

    /// Offsets of the dead letters, which are all of the first topic's partition 0.
    fn letters(&self) -> Vec<u64> {
        let letters = read::all(&self.stage.scene.bootstrap, &self.dead).expect("letters are read");
        let number = |letter: &read::Record| {
            let header = |what: &str| letter.header(&format!("__connect.errors.{what}"));
            assert_eq!(header("topic").expect("a topic"), self.stage.row_topics()[0]);
            assert_eq!(header("partition").expect("a partition"), "0");
            header("offset").expect("an offset").parse().expect("a number")
        };
        letters.iter().map(number).collect()
    }

    /// Every good row once, nothing pending, every cursor at the end.
    fn check(&self) {
        self.stage.check_ids(&self.ids);
        let bootstrap = &self.stage.scene.bootstrap;
        for topic in self.stage.row_topics() {
            let ends = topics::watermarks(bootstrap, topic).expect("watermarks");
            let cursors = topics::committed(bootstrap, &self.stage.group(), topic, 3);
            for (cursor, (_, end)) in cursors.expect("offsets").into_iter().zip(ends) {
                let (offset, text) = cursor.expect("an offset");
                assert_eq!(offset, end, "{text}");
                assert!(!text.contains(";e="), "{text}");
            }
        }
    }
}

#[test]
fn a_refused_row_of_a_plain_load_is_set_aside_and_the_rest_is_loaded_once() {
    let Some(refusing) = Refusing::new("a refused row of a plain load") else { return };
    let report = refusing.stage.scene.dir.join("report.json");
    let output = refusing.load(&["--report", &report.to_string_lossy()]).expect(3);
    output.says(&["as long as StarRocks remembers", "looking for them in", "R4: all aborted"]);
    refusing.check();
    assert_eq!(refusing.letters(), [BEFORE]);
    let report: Value =
        serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
    assert_eq!(report["set_aside"], 1, "{report}");
    assert_eq!(report["loaded"].as_u64(), Some(refusing.ids.len() as u64), "{report}");
    let extra = report["extra_loads"].as_u64().expect("a number");
    super::tell(&format!("one refused row of {} took {extra} loads", refusing.ids.len() + 1));
    let levels = u64::from((refusing.ids.len() as u64 + 1).next_power_of_two().ilog2()) + 1;
    assert!((1..=2 * levels + 1).contains(&extra), "{extra} loads");
    refusing.load(&[]).expect(0);
    refusing.check();
    assert_eq!(refusing.letters(), [BEFORE]);
    refusing.stage.forget_logs();
}

#[test]
fn kill_9_in_the_search_for_a_refused_row_loses_and_doubles_nothing() {
    let Some(refusing) = Refusing::new("kill -9 beside a refused row") else { return };
    let stage = &refusing.stage;
    let starrocks = &stage.scene.starrocks;
    // In the refused load itself, and ever later in the search.
    for (kill, (nth, when)) in [
        (1, "before"),
        (1, "after"),
        (2, "after"),
        (3, "before"),
        (4, "after"),
        (6, "after"),
        (9, "before"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("refused{kill}");
        stage.fault(&json!({"op": "stream_load", "at": "be", "when": when, "nth": nth, "do": "hold", "name": name}));
        let args = [&refusing.args()[..], &[stage.file()]].concat();
        let run = stage.scene.starsink.start(&args, "").expect("it starts");
        let process = Process::of(run, stage);
        wait_until("a load is held", SOON, || {
            starrocks.holds().expect("holds") > 0 || process.said().contains("summary")
        });
        process.signal(Signal::SIGKILL);
        drop(process);
        starrocks.clear_faults().expect("faults are cleared");
        starrocks.release(&name).expect("released");
    }
    refusing.load(&[]).expect_any(&[0, 3]);
    refusing.check();
    let letters = refusing.letters();
    super::tell(&format!("7 kills beside a refused row: {} dead letters", letters.len()));
    assert_eq!(letters.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([BEFORE]));
    stage.forget_logs();
}

#[test]
fn a_refused_row_that_stops_the_run_leaves_nothing_pending() {
    let Some(refusing) = Refusing::new("a refused row that stops the run") else { return };
    let stage = &refusing.stage;
    stage.load(&[]).expect(4).says(&["StarRocks rejected 1 of 6001 rows"]);
    assert_eq!(stage.ids(), [0; 0]);
    assert!(stage.cursors().iter().flatten().all(|(_, text)| !text.contains(";e=")));
    // Somebody decides to go without it.
    stage.load(&["--on-error", "skip"]).expect(3);
    refusing.check();
    stage.forget_logs();
}
