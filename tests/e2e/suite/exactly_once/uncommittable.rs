//! StarRocks has prepared a label and refuses to commit it, whatever its words: after two minutes the
//! label is rolled back and its rows are loaded again.

use std::time::Duration;

use e2e::starsink::Output;
use serde_json::json;

use super::stage::{Stage, broker};
use crate::scene::SOON;

/// Two minutes of refusals each, twice.
const PATIENCE: Duration = Duration::from_secs(420);

impl Stage {
    fn load_patiently(&self, file: &str) -> Output {
        let args = ["load", "--no-progress", "-v", file];
        self.scene.starsink.run(&args, "", PATIENCE).expect("starsink runs")
    }
}

#[test]
fn a_label_that_a_restart_made_uncommittable_is_rolled_back_and_loaded_again() {
    let Some(stage) = Stage::new("a lost callback", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    stage.fault(
        &json!({"op": "commit", "at": "fe", "when": "before", "do": "hold", "name": "dying"}),
    );
    let process = stage.tail_every("3s", &[]);
    assert!(stage.is_held(SOON), "{}", process.said());
    process.kill();
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.scene.starrocks.lose_prepared().expect("the FE restarts");
    stage.scene.starrocks.release("dying").expect("released");

    // Its refusals are answers: they use up no retry.
    let ended = stage.load_patiently(&stage.file_with(&[("sink.maxretries", "0")])).expect(0);
    let ended = ended.says(&[
        "R3: prepared and intended",
        "warning: StarRocks refuses to commit label",
        "asked again for two minutes",
        "R3b: ",
        "R4: ",
    ]);
    assert!(!ended.stderr.contains("--map"), "{}", ended.stderr);
    stage.check_ids(&ids);
    stage.forget_logs();
}

#[test]
fn a_starrocks_that_commits_nothing_is_given_up_after_a_second_batch() {
    let Some(stage) = Stage::new("no commits", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    let refuses = json!({"op": "commit", "times": 0, "do": "fail", "text": "publish refused: why"});
    stage.fault(&refuses);
    let file = stage.file_with(&[("sink.maxretries", "0")]);
    let ended = stage.load_patiently(&file).expect(5);
    let ended = ended.says(&["R3b: ", "publish refused: why", "given up after 2 batches"]);
    assert_eq!(ended.stderr.matches("R3b: ").count(), 2, "{}", ended.stderr);
    assert_eq!(stage.ids(), [0; 0]);

    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.load_patiently(&file).expect(0);
    stage.check_ids(&ids);
    stage.forget_logs();
}
