//! What the group holds is believed or refused, never passed over; who died in it keeps the next one
//! waiting for a session at most; and each run says which label holds which records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::produce::{self, Load};
use e2e::topics;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};
use serde_json::Value;

use super::stage::{Process, Stage, broker};
use crate::scene::{SOON, Scene, wait_until};

/// Kafka's default for a member that does not answer.
const SESSION: Duration = Duration::from_secs(10);

impl Stage {
    fn members(&self) -> usize {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.scene.bootstrap)
            .create()
            .expect("a client");
        let groups = consumer.fetch_group_list(Some(&self.group()), SOON).expect("groups are told");
        groups.groups().iter().map(|group| group.members().len()).sum()
    }
}

#[test]
fn a_position_that_does_not_fit_its_topic_is_refused_and_left_alone() {
    let Some(stage) = Stage::new("positions", &broker()) else { return };
    stage.put_rows(0, 300);
    let topic = &stage.row_topics()[0];
    let bootstrap = &stage.scene.bootstrap;
    topics::delete_records(bootstrap, topic, 50).expect("the first records are deleted");
    let cases = [
        (1_000, "", "ends at 100, but group"),
        (10, "", "begins at 50, but group"),
        (60, "another tool's", "metadata that starsink cannot use"),
        (60, "sk9;r=00000000000000aa;n=3", "metadata that starsink cannot use"),
        (60, "sk1;r=00000000000000aa;n=3;b=0000000000000001", "asked for something else"),
    ];
    for (offset, metadata, says) in cases {
        let offsets: Vec<_> = (0..3).map(|number| (number, offset, metadata.to_owned())).collect();
        topics::commit(bootstrap, &stage.group(), topic, &offsets).expect("committed");
        stage.load(&[]).expect(2).says(&[says, topic, "hint:"]);
        let left = topics::committed(bootstrap, &stage.group(), topic, 3).expect("offsets");
        for (stands, text) in left.into_iter().flatten() {
            assert_eq!(stands, offset, "{says}: it stays where it was");
            assert!(metadata.is_empty() || text == metadata, "{says}: `{text}`");
        }
        assert_eq!(stage.ids(), [0; 0], "{says}: nothing is loaded");
    }
    stage.forget_logs();
}

const TABLE: &str = "(id BIGINT NOT NULL, ts BIGINT) DUPLICATE KEY (id)";

#[test]
fn a_group_without_offsets_is_called_a_first_start() {
    let scene = Scene::on(broker());
    let (topic, table) = (scene.topic("first", 2), scene.table("first", TABLE));
    produce::fast(&scene.bootstrap, &Load::json(&topic, 2, 100)).expect("produced");
    let job = scene.job(&[(&topic, &table)]);
    let said = format!("group `connect-{}` has no offsets: a first start", job.get("name"));
    job.load(&[]).expect(0).says(&[&said, "with the first record of each partition"]);
    let again = job.load(&[]).expect(0);
    assert!(!again.stderr.contains("first start"), "{}", again.stderr);
    assert_eq!(scene.starrocks.count(&table).expect("counted"), 100);
}

#[test]
fn a_partition_whose_offset_is_gone_is_named_and_nothing_is_passed_over() {
    let scene = Scene::on(broker());
    let (topic, table) = (scene.topic("gone", 2), scene.table("gone", TABLE));
    produce::fast(&scene.bootstrap, &Load::json(&topic, 2, 100)).expect("produced");
    for reset in ["earliest", "latest"] {
        let job = scene.job(&[(&topic, &table)]);
        let job = job.set("consumer.override.auto.offset.reset", reset);
        let group = format!("connect-{}", job.get("name"));
        topics::commit(&scene.bootstrap, &group, &topic, &[(0, 50, String::new())])
            .expect("committed");
        let before = scene.starrocks.count(&table).expect("counted");
        let named = format!("beginning at {topic}[1]@0");
        let said = ["has no offset for some partitions", &named, "is loaded again"];
        let output = job.load(&[]).expect(0).says(&said);
        assert!(!output.stderr.contains("first start"), "{}", output.stderr);
        let loaded = scene.starrocks.count(&table).expect("counted") - before;
        assert_eq!(loaded, 50, "with `{reset}`");
    }
}

#[test]
fn a_load_is_not_complete_while_another_process_has_not_loaded_its_partitions() {
    let scene = Scene::on(broker());
    let (topic, table) = (scene.topic("shared", 2), scene.table("shared", TABLE));
    produce::fast(&scene.bootstrap, &Load::json(&topic, 2, 100)).expect("produced");
    let job = scene.job(&[(&topic, &table)]);
    let group = format!("connect-{}", job.get("name"));
    let other = topics::join(&scene.bootstrap, &group, "starsink-other", &topic).expect("joined");
    let stop = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        // It owns a partition and loads nothing.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                other.poll(Duration::from_millis(50));
            }
        });
        let output = job.load(&["--output", "json"]);
        stop.store(true, Ordering::Relaxed);
        output
    });
    let output = output.expect(0);
    let last = output.stdout.lines().last().expect("a summary");
    let summary: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(summary["complete"], false, "{summary}");
    assert_eq!(scene.starrocks.count(&table).expect("counted"), 50);
    assert!(output.stdout.contains("other processes of this name still load"), "{}", output.stdout);
    drop(other);
    let output = job.load(&["--output", "json"]).expect(0);
    let last = output.stdout.lines().last().expect("a summary");
    let summary: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(summary["complete"], true, "{summary}");
    assert_eq!(scene.starrocks.count(&table).expect("counted"), 100);
}

#[test]
fn a_dead_member_is_waited_for_by_name_and_one_that_ended_well_has_left() {
    let Some(stage) = Stage::new("members", &broker()) else { return };
    let ids = stage.put_rows(0, 300);
    let session = SESSION.as_millis().to_string();
    let file = stage.file_with(&[("consumer.override.session.timeout.ms", &session)]);
    let args = ["tail", "-v", "--no-progress", "--flush-interval", "300ms", &file];
    let start = || Process::of(stage.scene.starsink.start(&args, "").expect("it starts"), &stage);
    let process = start();
    wait_until("the rows are there", SOON, || stage.ids() == ids);
    let died = Instant::now();
    process.kill();
    let process = start();
    wait_until("it has its partitions", 2 * SOON, || process.said().contains("step 1: claimed"));
    // The coordinator lets a session end within its length; joining and a busy machine add to it.
    let waited = died.elapsed();
    assert!(waited < 3 * SESSION, "after {waited:?}");
    let said = format!("waiting for consumer group `{}`", stage.group());
    assert!(process.said().contains(&said), "{}", process.said());
    assert_eq!(stage.members(), 1);
    process.stop();
    assert_eq!(stage.members(), 0, "it has left");
    stage.check_ids(&ids);
    stage.forget_logs();
}

#[test]
fn a_group_that_takes_no_commits_is_told_before_anything_is_loaded() {
    for (code, says) in [
        (
            Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            "does not let this user commit offsets",
        ),
        (
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            "does not let this user commit offsets",
        ),
        (Code::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, "refuses offset metadata as long as"),
    ] {
        let kafka = MockCluster::new(1).expect("the mock cluster starts");
        let topic = topics::fresh_name("refused");
        kafka.create_topic(&topic, 3, 1).expect("created");
        let scene = Scene::on(kafka.bootstrap_servers());
        let table = scene.table("refused", "(id BIGINT NOT NULL, ts BIGINT) DUPLICATE KEY (id)");
        produce::fast(&scene.bootstrap, &Load::json(&topic, 3, 300)).expect("produced");
        kafka.request_errors(Api::OffsetCommit, &[code; 20]);
        let output = scene.job(&[(&topic, &table)]).load(&["-v"]).expect(2).says(&[says, "hint:"]);
        assert!(!output.stderr.contains("step 2"), "{}", output.stderr);
        assert_eq!(scene.starrocks.count(&table).expect("counted"), 0);
    }
}

#[test]
fn each_record_is_traced_to_its_label_and_each_label_to_its_records() {
    let Some(stage) = Stage::new("the audit trail", &broker()) else { return };
    let ids = stage.put_rows(0, 9_000);
    let report = stage.scene.dir.join("report.json");
    let shown = report.to_string_lossy().into_owned();
    let args = ["--output", "json", "--flush-bytes", "100KB", "--report", &shown];
    let output = stage.load(&args).expect(0);
    stage.check_ids(&ids);

    let events: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let only =
        |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    for name in ["start", "summary"] {
        assert_eq!(only(name)[0]["guarantee"], "exactly-once", "{}", only(name)[0]);
    }
    let report: Value =
        serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
    let labels = report["labels"].as_array().expect("labels");
    assert!(labels.len() > 2, "several batches: {report}");
    assert_eq!(only("load").len(), labels.len());

    let known: BTreeMap<String, String> =
        stage.scene.starrocks.labels().expect("labels").into_iter().collect();
    let mut ranges: BTreeMap<(String, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let (mut rows, mut names) = (0, BTreeSet::new());
    for entry in labels {
        let name = entry["label"].as_str().expect("a label");
        assert!(names.insert(name.to_owned()), "{name} is named twice");
        assert_eq!(known.get(name).map(String::as_str), Some("VISIBLE"), "{name}");
        assert_eq!(entry["state"], "committed");
        rows += entry["rows"].as_u64().expect("rows");
        for range in entry["ranges"].as_array().expect("ranges") {
            let number = |what: &str| range[what].as_u64().expect("a number");
            let place = (range["topic"].as_str().expect("a topic").to_owned(), number("partition"));
            ranges.entry(place).or_default().push((number("first"), number("next")));
        }
    }
    assert_eq!(rows, ids.len() as u64);
    assert_eq!(ranges.len(), 6, "two topics of three partitions");
    for (place, mut parts) in ranges {
        parts.sort_unstable();
        let end = parts.iter().fold(0, |at, (first, next)| {
            assert_eq!(*first, at, "{place:?}: {parts:?}");
            *next
        });
        assert_eq!(end, 3_000, "{place:?}");
    }
    stage.forget_logs();
}
