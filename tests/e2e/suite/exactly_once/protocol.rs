//! Every request of the protocol goes wrong once, on either side, and each record is loaded once all the
//! same: StarRocks' answers lost, late, cut off or replaced; Kafka's coordinator refusing, moving, dying.
//! Kafka is librdkafka's mock cluster here, whose errors can be scripted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::produce::{self, Load};
use e2e::starrocks::{self, StarRocks};
use e2e::topics;
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, skip, wait_until};

const PARTITIONS: u32 = 3;
/// Several of the chunks in which records are read, each of which makes a batch here.
const ROWS: u64 = 15_000;
/// Trials at once.
const SIDE_BY_SIDE: usize = 6;

/// One load through one mishap.
struct Trial {
    kafka: MockCluster<'static, DefaultProducerContext>,
    scene: Scene,
    topic: String,
    table: String,
    load: Load,
}

impl Trial {
    /// `standin`: arguments for it.
    fn new(brokers: i32, standin: &[&str]) -> Trial {
        let kafka = MockCluster::new(brokers).expect("the mock cluster starts");
        let topic = topics::fresh_name("trial");
        kafka.create_topic(&topic, PARTITIONS as i32, brokers).expect("created");
        let starrocks = StarRocks::standin_with(standin).expect("the stand-in starts");
        let scene = Scene::of(kafka.bootstrap_servers(), starrocks);
        let table = scene.table("trial", "(id BIGINT NOT NULL, ts BIGINT) DUPLICATE KEY (id)");
        let load = Load::json(&topic, PARTITIONS, ROWS);
        produce::fast(&scene.bootstrap, &load).expect("produced");
        Trial { kafka, scene, topic, table, load }
    }

    /// Loads everything in several batches; `meanwhile` runs beside it. Each row must be there once and
    /// every cursor idle at the end of its partition.
    fn run(&self, meanwhile: impl FnOnce()) {
        let job = self
            .scene
            .job(&[(&self.topic, &self.table)])
            .set("name", &self.topic)
            .set("consumer.override.session.timeout.ms", "6000")
            .set("consumer.override.heartbeat.interval.ms", "500");
        let mut run = job.start(&["load", "-v", "--no-progress", "--flush-bytes", "60KB"]);
        meanwhile();
        let output = run.wait(2 * SOON).expect("it ends").expect(0);
        assert!(output.stderr.contains("filling batch 3"), "one batch only\n{}", output.stderr);
        let rows = self.scene.starrocks.rows(&self.table, &["id"]).expect("rows are read");
        let mut found: Vec<u64> = rows.iter().map(|id| id.parse().expect("an id")).collect();
        found.sort_unstable();
        let mut expected: Vec<u64> = self.load.all().map(|row| row.id()).collect();
        expected.sort_unstable();
        let difference = super::stage::difference(&expected, &found);
        assert!(found == expected, "{difference}\n{}", output.stderr);
        let cursors =
            topics::committed(&self.scene.bootstrap, &self.group(), &self.topic, PARTITIONS);
        for cursor in cursors.expect("offsets").into_iter().flatten() {
            assert_eq!(cursor.0 as u64, ROWS / u64::from(PARTITIONS), "{}", output.stderr);
            assert!(!cursor.1.contains(";e="), "{cursor:?}\n{}", output.stderr);
        }
    }

    fn group(&self) -> String {
        format!("connect-{}", self.topic)
    }

    fn arrived(&self) -> u64 {
        self.scene.starrocks.tally(&self.table).expect("tally").rows
    }
}

/// Runs all trials, some side by side; names those that failed.
fn all<T: Sync + std::fmt::Debug>(trials: &[T], run: impl Fn(&T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(vec![]));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(trial)));
                    if ended.is_err() {
                        failed.lock().expect("no poison").push(format!("{trial:?}"));
                    }
                }
            });
        }
    });
    super::tell(&format!("{} trials", trials.len()));
    let failed = failed.into_inner().expect("no poison");
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), trials.len());
}

fn needs_standin(test: &str) -> bool {
    let is_real = std::env::var(starrocks::FE).is_ok();
    if is_real {
        skip(test, "it needs the stand-in's faults");
    }
    is_real
}

/// What may become of one request, before its effect and after it.
fn mishaps() -> Vec<Value> {
    vec![
        json!({"when": "before", "do": "drop"}),
        json!({"when": "after", "do": "drop"}),
        json!({"when": "before", "do": "delay", "ms": 1500}),
        json!({"when": "after", "do": "delay", "ms": 1500}),
        json!({"do": "truncate", "bytes": 9}),
        json!({"when": "before", "do": "answer", "status": 503, "body": ""}),
        json!({"when": "after", "do": "answer", "status": 500, "body": "<html>oops</html>"}),
    ]
}

fn fault(op: &str, at: &str, nth: u32, mishap: &Value) -> Value {
    let mut fault = mishap.clone();
    fault["op"] = op.into();
    fault["at"] = at.into();
    fault["nth"] = nth.into();
    fault
}

#[test]
fn every_request_to_starrocks_may_be_lost_late_or_garbled() {
    if needs_standin("StarRocks' mishaps") {
        return;
    }
    let mut trials: Vec<Vec<Value>> = vec![];
    for mishap in &mishaps() {
        for (op, at) in
            [("begin", "fe"), ("begin", "be"), ("load", "be"), ("prepare", "be"), ("commit", "fe")]
        {
            trials.push(vec![fault(op, at, 2, mishap)]);
        }
        // Requests that are made only after another one has failed.
        let lost = |op, at, when| fault(op, at, 2, &json!({"when": when, "do": "drop"}));
        trials.push(vec![lost("commit", "fe", "after"), fault("get_load_state", "fe", 1, mishap)]);
        trials.push(vec![lost("commit", "fe", "before"), fault("get_load_state", "fe", 1, mishap)]);
        trials.push(vec![lost("prepare", "be", "before"), fault("rollback", "fe", 2, mishap)]);
        trials.push(vec![lost("begin", "be", "after"), fault("cancel", "fe", 1, mishap)]);
    }
    trials.push(vec![fault("prepare", "be", 2, &json!({"do": "lose_prepare_answer", "ms": 500}))]);
    trials.push(vec![fault("commit", "fe", 2, &json!({"do": "publish_timeout", "ms": 1500}))]);
    all(&trials, |faults| {
        let trial = Trial::new(1, &[]);
        faults.iter().for_each(|fault| trial.scene.starrocks.fault(fault).expect("a fault is set"));
        trial.run(|| {});
    });
}

#[test]
fn every_request_of_a_plain_load_may_be_lost_late_or_garbled() {
    if needs_standin("mishaps of plain loads") {
        return;
    }
    let mut trials: Vec<Vec<Value>> = vec![];
    for mishap in &mishaps() {
        trials.push(vec![fault("stream_load", "fe", 2, mishap)]);
        trials.push(vec![fault("stream_load", "be", 2, mishap)]);
        let lost = fault("stream_load", "be", 2, &json!({"when": "after", "do": "drop"}));
        trials.push(vec![lost, fault("get_load_state", "fe", 1, mishap)]);
    }
    let text = "commit and publish txn failed";
    trials.push(vec![fault(
        "stream_load",
        "be",
        2,
        &json!({"do": "fail_after_commit", "text": text}),
    )]);
    trials.push(vec![fault(
        "stream_load",
        "be",
        2,
        &json!({"do": "fail", "text": "too many versions"}),
    )]);
    all(&trials, |faults| {
        let trial = Trial::new(1, &["--version", "2.3"]);
        faults.iter().for_each(|fault| trial.scene.starrocks.fault(fault).expect("a fault is set"));
        trial.run(|| {});
    });
}

#[test]
fn every_answer_of_the_coordinator_may_be_an_error() {
    use Code::{
        RD_KAFKA_RESP_ERR__TRANSPORT as TRANSPORT,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as LOADING,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION as GENERATION,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR as NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS as REBALANCE,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as TIMED_OUT,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID as MEMBER,
    };
    if needs_standin("the coordinator's errors") {
        return;
    }
    let mut trials: Vec<(Api, usize, Code)> = vec![];
    // The claim, the first intent, the one behind it.
    for before in 0..3 {
        for code in [
            LOADING,
            NOT_AVAILABLE,
            NOT_COORDINATOR,
            TIMED_OUT,
            GENERATION,
            MEMBER,
            REBALANCE,
            TRANSPORT,
        ] {
            trials.push((Api::OffsetCommit, before, code));
        }
    }
    for code in [LOADING, NOT_AVAILABLE, NOT_COORDINATOR, TRANSPORT] {
        trials.push((Api::OffsetFetch, 0, code));
        trials.push((Api::FindCoordinator, 0, code));
    }
    for code in [NOT_COORDINATOR, MEMBER, GENERATION, REBALANCE] {
        trials.push((Api::Heartbeat, 0, code));
        trials.push((Api::Heartbeat, 2, code));
        trials.push((Api::SyncGroup, 0, code));
    }
    all(&trials, |(api, before, code)| {
        let trial = Trial::new(1, &[]);
        let slow = json!({"op": "prepare", "at": "be", "times": 0, "do": "delay", "ms": 300});
        trial.scene.starrocks.fault(&slow).expect("a fault is set");
        let mut codes = vec![Code::RD_KAFKA_RESP_ERR_NO_ERROR; *before];
        codes.push(*code);
        trial.kafka.request_errors(*api, &codes);
        trial.run(|| {});
    });
}

#[test]
fn the_coordinator_moves_and_brokers_go_away_in_the_middle_of_a_batch() {
    if needs_standin("the coordinator moves") {
        return;
    }
    // Which request is held while it happens; a broker goes down, or only the coordinator moves.
    let mut trials = vec![];
    for (op, at, when) in [
        ("load", "be", "before"),
        ("prepare", "be", "after"),
        ("commit", "fe", "before"),
        ("commit", "fe", "after"),
    ] {
        trials.push((op, at, when, false));
        trials.push((op, at, when, true));
    }
    all(&trials, |(op, at, when, is_down)| {
        let trial = Trial::new(3, &[]);
        let hold =
            json!({"op": op, "at": at, "when": when, "nth": 2, "do": "hold", "name": "here"});
        trial.scene.starrocks.fault(&hold).expect("a fault is set");
        trial.run(|| {
            let is_held = || trial.scene.starrocks.holds().expect("holds") > 0;
            wait_until("the request is held", SOON, is_held);
            for broker in 1..=3 {
                if *is_down {
                    trial.kafka.broker_down(broker).expect("it goes down");
                    thread::sleep(Duration::from_millis(700));
                    trial.kafka.broker_up(broker).expect("it comes back");
                } else {
                    let group = MockCoordinator::Group(trial.group());
                    trial.kafka.coordinator(group, broker).expect("it moves");
                    thread::sleep(Duration::from_millis(400));
                }
            }
            trial.scene.starrocks.release("here").expect("released");
        });
        assert_eq!(trial.arrived(), ROWS);
    });
}
