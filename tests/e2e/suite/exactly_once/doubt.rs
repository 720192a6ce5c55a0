//! What a start finds and cannot simply finish: labels that StarRocks has forgotten, labels without an
//! intent, offsets and members of the Java connector.

use std::thread;
use std::time::Duration;

use e2e::starsink::Output;
use e2e::topics;
use serde_json::json;

use super::stage::{Stage, broker};
use crate::scene::{SOON, wait_until};

/// A label is proven forgotten by two rounds of questions, two minutes apart.
const PROOF: Duration = Duration::from_secs(240);

impl Stage {
    /// Leaves a batch committed in StarRocks and pending in the group, its process dead, its labels
    /// forgotten.
    fn leave_forgotten(&self) {
        self.fault(&json!({"op": "commit", "at": "fe", "when": "after", "times": 0, "do": "drop"}));
        let process = self.tail_every("3s", &[]);
        assert!(process.says("step 6: committing", SOON), "{}", process.said());
        wait_until("the rows are committed", SOON, || !self.ids().is_empty());
        process.kill();
        self.scene.starrocks.clear_faults().expect("faults are cleared");
        self.scene.starrocks.forget_labels().expect("labels are forgotten");
    }

    /// As if the intent's deadline had passed.
    fn let_deadline_pass(&self) {
        for topic in self.row_topics() {
            let bootstrap = &self.scene.bootstrap;
            let cursors = topics::committed(bootstrap, &self.group(), topic, 3).expect("offsets");
            let mut late = vec![];
            for (partition, cursor) in (0..).zip(cursors) {
                let Some((offset, text)) = cursor else { continue };
                let past = |field: &str| match field.starts_with("x=") {
                    true => "x=1".to_owned(),
                    false => field.to_owned(),
                };
                let text: Vec<String> = text.split(';').map(past).collect();
                late.push((partition, offset, text.join(";")));
            }
            topics::commit(bootstrap, &self.group(), topic, &late).expect("committed");
        }
    }

    fn settle(&self, args: &[&str]) -> Output {
        let args = [&["load", "-v", "--no-progress", "--settle"], args, &[self.file()]].concat();
        self.scene.starsink.run(&args, "", PROOF).expect("starsink runs")
    }

    fn has_pending(&self) -> bool {
        self.cursors().iter().flatten().any(|(_, text)| text.contains(";e="))
    }
}

#[test]
fn a_forgotten_label_is_inferred_to_be_committed_before_its_deadline_only() {
    let stages: Vec<Stage> =
        (0..4).filter_map(|_| Stage::new("forgotten labels", &broker())).collect();
    let [inferred, doubted, believed, reloaded] = &stages[..] else { return };
    let ids: Vec<Vec<u64>> = stages.iter().map(|stage| stage.put_rows(0, 300)).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            inferred.leave_forgotten();
            inferred.settle(&[]).expect(0).says(&["R6: forgotten by the server, inferred"]);
            inferred.load(&[]).expect(0);
            inferred.check_ids(&ids[0]);
        });
        scope.spawn(|| {
            doubted.leave_forgotten();
            doubted.let_deadline_pass();
            let said = ["it is in doubt whether", "--on-unknown committed", "label `"];
            doubted.settle(&[]).expect(2).says(&said);
            assert!(doubted.has_pending(), "a doubt changes nothing");
            doubted.check_ids(&ids[1]);
        });
        scope.spawn(|| {
            believed.leave_forgotten();
            believed.let_deadline_pass();
            let args = ["load", "--no-progress", "--settle", "--on-unknown", "committed"];
            let args = [&args[..], &[believed.file()]].concat();
            let said = ["asking again in 120 s", "taken for committed, by `--on-unknown`"];
            believed.scene.starsink.run(&args, "", PROOF).expect("it runs").expect(0).says(&said);
            believed.load(&[]).expect(0);
            believed.check_ids(&ids[2]);
        });
        scope.spawn(|| {
            reloaded.leave_forgotten();
            reloaded.let_deadline_pass();
            reloaded.settle(&["--on-unknown", "reload"]).expect(0);
            reloaded.load(&[]).expect(0);
            // It was committed after all: this is what the person took upon themselves.
            let mut twice = [&ids[3][..], &ids[3]].concat();
            twice.sort_unstable();
            reloaded.check_ids(&twice);
        });
    });
    stages.iter().for_each(Stage::forget_logs);
}

#[test]
fn a_batch_that_is_pending_in_another_database_is_not_taken_for_forgotten() {
    let Some(stage) = Stage::new("another database", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    stage.fault(&json!({"op": "commit", "at": "fe", "when": "before", "times": 0, "do": "drop"}));
    let process = stage.tail_every("3s", &[]);
    assert!(process.says("step 6: committing", SOON), "{}", process.said());
    process.kill();
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    // The same tables elsewhere.
    let other = format!("{}_other", stage.scene.starrocks.db);
    let tables = [&stage.rows, &stage.keyed].map(|table| {
        format!("CREATE TABLE {other}.{table} (id BIGINT NOT NULL) PRIMARY KEY (id) DISTRIBUTED BY HASH (id);")
    });
    let statements = format!("CREATE DATABASE {other}; {}", tables.concat());
    stage.scene.starrocks.execute(&statements).expect("a database");
    let said = ["is pending in database", &stage.scene.starrocks.db, "load --settle -D"];
    stage.settle(&["-D", &other]).expect(2).says(&said);
    let args = ["check", "--only", "delivery", "-D", &other, stage.file()];
    let shown = stage.scene.starsink.run(&args, "", SOON).expect("it runs").expect(2).stdout;
    assert!(shown.contains("is pending in database"), "{shown}");
    assert!(stage.has_pending(), "nothing was decided");
    stage.settle(&[]).expect(0);
    stage.load(&[]).expect(0);
    stage.check_ids(&ids);
    stage.forget_logs();
}

#[test]
fn a_pending_plain_load_is_loaded_under_its_label_until_that_may_be_forgotten() {
    let Some(stage) = Stage::old("pending plain loads", &broker()) else { return };
    let first = stage.put_rows(0, 300);
    let leave_unloaded = || {
        stage.fault(&json!({"op": "stream_load", "at": "be", "times": 0, "do": "drop"}));
        let process = stage.tail_every("3s", &[]);
        assert!(process.says("step 6: committing", SOON), "{}", process.said());
        process.kill();
        stage.scene.starrocks.clear_faults().expect("faults are cleared");
        assert!(stage.has_pending());
    };
    leave_unloaded();
    let file = stage.file();
    let shown = stage.scene.starsink.run(&["check", "--only", "delivery", file], "", SOON);
    let shown = shown.expect("it runs").expect(0).stdout;
    assert!(shown.contains("R8: intended but not loaded"), "{shown}");
    let said = ["as long as StarRocks remembers", "R8: intended but not loaded"];
    stage.settle(&[]).expect(0).says(&said);
    stage.check_ids(&first);

    let second = stage.put_rows(200, 300);
    let mut all = [first, second].concat();
    all.sort_unstable();
    leave_unloaded();
    stage.let_deadline_pass();
    stage.settle(&[]).expect(2).says(&["it is in doubt whether"]);
    assert!(stage.has_pending(), "a doubt changes nothing");
    stage.settle(&["--on-unknown", "reload"]).expect(0);
    stage.load(&[]).expect(0);
    stage.check_ids(&all);
    stage.forget_logs();
}

#[test]
fn strict_exactly_once_refuses_a_starrocks_without_transactions() {
    let Some(stage) = Stage::old("strictness", &broker()) else { return };
    let said = ["no transaction interface", "--delivery auto"];
    stage.load(&["--delivery", "exactly-once"]).expect(2).says(&said);
    stage.forget_logs();
}

#[test]
fn a_label_that_no_intent_names_is_ended_by_the_next_owner() {
    let Some(stage) = Stage::new("orphans", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    stage.fault(&json!({"op": "prepare", "at": "be", "when": "after", "do": "hold", "name": "o"}));
    let process = stage.tail_every("1s", &[]);
    assert!(stage.is_held(SOON), "{}", process.said());
    process.kill();
    stage.scene.starrocks.clear_faults().expect("faults are cleared");
    stage.scene.starrocks.release("o").expect("released");
    let left = stage.open_labels();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].1, "PREPARED");
    let process = stage.tail(&[]);
    wait_until("it is ended", SOON, || stage.open_labels().iter().all(|label| *label != left[0]));
    assert!(process.said().contains(&format!("ending label `{}`", left[0].0)));
    wait_until("the rows are there", SOON, || stage.ids() == ids);
    process.stop();
    stage.forget_logs();
}

#[test]
fn a_group_that_a_connect_worker_is_in_is_refused_with_its_members() {
    let Some(stage) = Stage::new("a worker", &broker()) else { return };
    stage.put_rows(0, 30);
    let client = "connector-consumer-orders-0";
    let worker =
        topics::join(&stage.scene.bootstrap, &stage.group(), client, &stage.row_topics()[0])
            .expect("joined");
    let said = ["is in use by a Kafka Connect worker", client, "stop or delete the connector"];
    stage.load(&[]).expect(2).says(&said);
    assert_eq!(stage.ids(), [0; 0]);
    drop(worker);
    stage.forget_logs();
}

#[test]
fn the_java_connectors_offsets_are_carried_on_and_its_off_by_one_is_said() {
    let Some(stage) = Stage::new("takeover", &broker()) else { return };
    let all = stage.put_rows(0, 300);
    for topic in stage.row_topics() {
        // Versions 1.0.3 and 1.0.4 commit the last loaded offset, not the one behind it.
        let offsets: Vec<_> = (0..3).map(|partition| (partition, 60, String::new())).collect();
        topics::commit(&stage.scene.bootstrap, &stage.group(), topic, &offsets).expect("committed");
    }
    stage.load(&[]).expect(0).says(&["which starsink did not write", "1.0.3 and 1.0.4"]);
    let index = |id: &u64| id % 1_000_000_000 % 500_000_000;
    let behind: Vec<u64> = all.into_iter().filter(|id| index(id) >= 60).collect();
    stage.check_ids(&behind);
    // The second time they are ours.
    let again = stage.load(&[]).expect(0);
    assert!(!again.stderr.contains("did not write"), "{}", again.stderr);
    stage.forget_logs();
}
