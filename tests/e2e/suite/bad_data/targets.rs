//! Places for dead letters that do not take them: each run ends as it should, nothing moves before its
//! dead letters are safe, and once the place is mended the same command completes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::kafka::{Kafka, Options, SASL_PASSWORD, SASL_USER};
use e2e::{read, topics};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Stage, TABLE, number};
use crate::scene::{Job, SOON, Scene, skip, wait_until};

const DELIVERIES: [&str; 2] = ["at-least-once", "exactly-once"];
/// A dead letter that nobody acknowledges is given up after half a minute, and tried again.
const PATIENCE: Duration = Duration::from_secs(150);

impl Stage {
    /// Records `first..next` with `bad` in the places named.
    fn put_more(&self, first: u64, next: u64, bad: &str, places: &[u64]) {
        let value = |id: u64| if places.contains(&id) { bad.to_owned() } else { super::good(id) };
        let records: Vec<super::Put> = (first..next).map(|id| (None, value(id))).collect();
        self.put_all(0, &records);
    }

    /// Nothing was loaded and the group stands where it stood.
    #[track_caller]
    fn check_untouched(&self, job: &Job<'_>) {
        assert_eq!(self.count(), 0, "nothing moves before its dead letters");
        let group = format!("connect-{}", job.get("name"));
        let offsets = topics::committed(&self.scene.bootstrap, &group, &self.topic, 1);
        let offset = offsets.expect("offsets")[0].as_ref().map_or(0, |(offset, _)| *offset);
        assert_eq!(offset, 0, "no offset moved");
    }
}

/// Text that no compression makes smaller.
fn noise(length: usize) -> String {
    let mut state = 7_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + ((state >> 33) % 89) as u8)
    };
    (0..length).map(|_| letter()).collect()
}

#[test]
fn a_topic_too_small_for_the_record_stops_the_run_until_there_is_room() {
    for delivery in DELIVERIES {
        let stage = Stage::new(1, TABLE);
        let small = [("max.message.bytes", "2000")];
        topics::create(&stage.scene.bootstrap, &stage.dead, 1, &small).expect("created");
        stage.put(10, &noise(6000), &[4]);
        let job = stage.job();
        let args = ["--dlq", &stage.dead, "--dlq-delivery", delivery];
        let place = format!("{}[0]@4", stage.topic);
        let output = job.load(&args).expect(2);
        output.says(&["too large for topic", &stage.dead, &place, "max.message.bytes"]);
        stage.check_untouched(&job);
        assert_eq!(stage.letters().len(), 0);
        let file = stage.scene.dir.join("dead.ndjson").to_string_lossy().into_owned();
        stage.load(&job, &["--dlq", &file], 3);
        assert_eq!((stage.count(), lines(Path::new(&file)).len()), (9, 1), "{delivery}");
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("the file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_file_takes_dead_letters() {
    let stage = Stage::new(1, TABLE);
    stage.put(200, "not json", &[3, 150]);
    let file = stage.scene.dir.join("dead.ndjson");
    stage.load(&stage.job(), &["--dlq", &file.to_string_lossy()], 3);
    let lines = lines(&file);
    let found: Vec<_> = lines.iter().map(|l| (l["offset"].as_u64(), l["value"].as_str())).collect();
    assert_eq!(found, [(Some(3), Some("not json")), (Some(150), Some("not json"))]);
    assert_eq!(stage.count(), 198);
}

/// A small file system of its own, gone when the test is.
struct Disk<'a>(&'a Path);

impl Disk<'_> {
    fn mount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0);
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).status().ok();
    }
}

#[test]
fn a_full_disk_moves_no_offset_until_there_is_room() {
    let stage = Stage::new(1, TABLE);
    let mount = stage.scene.dir.join("small");
    fs::create_dir_all(&mount).expect("a directory");
    let disk = Disk(&mount);
    if !disk.mount("size=16k") {
        skip("a full disk", "this user cannot mount a tmpfs");
        return;
    }
    let places: Vec<u64> = (0..200).collect();
    stage.put(300, "not json, and quite some text beside it", &places);
    let file = mount.join("dead.ndjson");
    let shown = file.to_string_lossy().into_owned();
    let job = stage.job().set("sink.maxretries", "1");
    let output = job.load(&["--dlq", &shown]).expect(5);
    output.says(&["dead-letter file", &shown, "no space left", "nothing is lost"]);
    stage.check_untouched(&job);
    assert_eq!(lines(&file).len(), 0, "no half of a batch is left behind");
    assert!(disk.mount("remount,size=8m"), "the disk grows");
    stage.load(&job, &["--dlq", &shown], 3);
    assert_eq!((stage.count(), lines(&file).len()), (100, 200));
}

#[test]
fn a_file_that_cannot_be_one_is_refused_before_anything_is_read() {
    let stage = Stage::new(1, TABLE);
    stage.put(10, "not json", &[4]);
    let job = stage.job();
    let refused = |file: &Path, texts: &[&str]| {
        let shown = file.to_string_lossy().into_owned();
        job.load(&["--dlq", &shown]).expect(2).says(texts).says(&[&shown]);
        stage.check_untouched(&job);
    };
    refused(&stage.scene.dir.join("missing/dead.ndjson"), &["cannot open", "no such file"]);
    let other = stage.scene.dir.join("other.ndjson");
    fs::write(&other, "{\"name\":\"mine\"}\n").expect("written");
    refused(&other, &["is not a file of dead letters"]);
    assert_eq!(fs::read_to_string(&other).expect("the file"), "{\"name\":\"mine\"}\n");
    let locked = stage.scene.dir.join("locked.ndjson");
    let held = fs::File::create(&locked).expect("made");
    held.lock().expect("locked");
    refused(&locked, &["another process writes dead letters to"]);
}

// ---- a topic that refuses ----

/// A broker that lets the user of its SASL listener do nothing it was not allowed.
fn guarded_broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| Kafka::start(&Options::with_access_lists()).expect("Kafka starts"))
}

/// Clients whose keys begin with `prefix` log in as the user.
fn as_user<'a>(job: Job<'a>, prefix: &str) -> Job<'a> {
    let authority = guarded_broker().certificates().expect("certificates").authority();
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{SASL_USER}\" password=\"{SASL_PASSWORD}\";"
    );
    job.set(&format!("{prefix}security.protocol"), "SASL_SSL")
        .set(&format!("{prefix}sasl.mechanism"), "PLAIN")
        .set(&format!("{prefix}sasl.jaas.config"), &jaas)
        .set(&format!("{prefix}ssl.truststore.type"), "PEM")
        .set(&format!("{prefix}ssl.truststore.location"), &authority.to_string_lossy())
}

#[test]
fn a_topic_that_the_user_may_not_write_stops_the_run_until_it_may() {
    let kafka = guarded_broker();
    let stage = Stage::on(Scene::on(kafka.bootstrap()), 1, TABLE);
    stage.put(50, "not json", &[4, 31]);
    let secure = kafka.secure_bootstrap().expect("a secure listener");
    let job = as_user(stage.job(), "producer.override.")
        .set("producer.override.bootstrap.servers", &secure);
    let args = ["--dlq", stage.dead.as_str()];
    // It may neither see the topic nor create one.
    let output = job.load(&args).expect(2);
    output.says(&[&stage.dead, "does not exist and cannot be created", "authorization"]);
    stage.check_untouched(&job);
    // It may see the topic, and no more.
    topics::create(&stage.scene.bootstrap, &stage.dead, 1, &[]).expect("created");
    kafka.allow(SASL_USER, "Describe", &["--topic", &stage.dead]).expect("allowed");
    let output = job.load(&args).expect(2);
    output.says(&["does not let this user write to dead-letter topic", &stage.dead, "Write"]);
    stage.check_untouched(&job);
    assert_eq!(stage.letters().len(), 0);
    kafka.allow(SASL_USER, "Write", &["--topic", &stage.dead]).expect("allowed");
    stage.load(&job, &args, 3);
    assert_eq!(stage.count(), 48);
    stage.check_letters(&[4, 31]);
}

#[test]
fn a_transactional_id_that_the_user_may_not_use_is_refused_before_anything_is_read() {
    let kafka = guarded_broker();
    let stage = Stage::on(Scene::on(kafka.bootstrap()), 1, TABLE);
    stage.put(50, "not json", &[4]);
    topics::create(&stage.scene.bootstrap, &stage.dead, 1, &[]).expect("created");
    let allow = |operation: &str, on: &[&str]| {
        kafka.allow(SASL_USER, operation, on).expect("allowed");
    };
    allow("Read", &["--topic", &stage.topic]);
    allow("Write", &["--topic", &stage.dead]);
    // Letters and offsets go to one cluster, by one listener.
    let secure = kafka.secure_bootstrap().expect("a secure listener");
    let job = as_user(stage.job(), "consumer.override.").set("bootstrap.servers", &secure);
    allow("Read", &["--group", &format!("connect-{}", job.get("name"))]);
    let args = ["--dlq", &stage.dead, "--dlq-delivery", "exactly-once"];
    let output = job.load(&args).expect(2);
    output.says(&["does not let this user write to dead-letter topic", "transactional ids"]);
    stage.check_untouched(&job);
    allow("Write", &["--transactional-id", "starsink-", "--resource-pattern-type", "prefixed"]);
    stage.load(&job, &args, 3);
    assert_eq!((stage.count(), stage.check_letters(&[4]).len()), (49, 1));
}

// ---- a topic that is away ----

/// Like a watcher: loads as records come, until it is told to stop.
fn tail<'a>(job: &'a Job<'a>, dead: &str, delivery: &str) -> e2e::starsink::Run {
    job.start(&["tail", "--no-progress", "--dlq", dead, "--dlq-delivery", delivery])
}

#[test]
fn a_topic_that_is_deleted_in_mid_run_is_made_anew() {
    let stage = Stage::new(1, TABLE);
    stage.put(20, "not json", &[4]);
    let job = stage.job();
    let mut run = tail(&job, &stage.dead, "at-least-once");
    wait_until("the first batch is loaded", SOON, || stage.count() == 19);
    topics::delete(&stage.scene.bootstrap, &stage.dead).expect("deleted");
    stage.put_more(20, 40, "not json", &[25]);
    wait_until("the second batch is loaded", PATIENCE, || {
        assert!(run.runs().expect("its state"), "{}", run.stderr());
        stage.count() == 38
    });
    run.signal(Signal::SIGTERM);
    run.wait(SOON).expect("it ends").expect(3);
    let found: Vec<u64> = stage.letters().iter().map(|letter| number(letter, "offset")).collect();
    assert_eq!(found, [25], "the letter of a batch that was loaded is in the new topic");
}

/// As logrotate moves it, without a word to the process.
#[test]
fn a_file_that_is_moved_in_mid_run_is_made_anew_and_the_status_has_the_books() {
    let stage = Stage::new(1, TABLE);
    stage.put(20, "not json", &[4]);
    let path = |name: &str| stage.scene.dir.join(name);
    let (file, moved, status) = (path("dead.ndjson"), path("dead.ndjson.1"), path("status.json"));
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let args = ["tail", "--no-progress", "--dlq", &shown(&file), "--status-file", &shown(&status)];
    let job = stage.job();
    let mut run = job.start(&args);
    wait_until("the first batch is loaded", SOON, || stage.count() == 19);
    fs::rename(&file, &moved).expect("moved");
    stage.put_more(20, 40, "not json", &[25]);
    wait_until("the second batch is loaded", SOON, || stage.count() == 38);
    wait_until("the status says so", SOON, || {
        let text = fs::read_to_string(&status).expect("a status");
        let status: Value = serde_json::from_str(&text).expect("JSON");
        let labels = status["labels"].as_array().map_or(0, Vec::len);
        let book = &status["partitions"][0];
        let count = &status["reasons"][0]["count"];
        status["event"] == "progress" && labels == 2 && book["read"] == 40 && *count == 2
    });
    assert!(run.runs().expect("its state"), "{}", run.stderr());
    run.signal(Signal::SIGTERM);
    run.wait(SOON).expect("it ends").expect(3);
    let offsets = |file: &Path| -> Vec<u64> {
        lines(file).iter().map(|line| line["offset"].as_u64().expect("a number")).collect()
    };
    assert_eq!((offsets(&moved), offsets(&file)), (vec![4], vec![25]));
}

#[test]
fn brokers_of_dead_letters_that_are_away_hold_the_batch_until_they_are_back() {
    let mut letters = Kafka::start(&Options::default()).expect("Kafka starts");
    let stage = Stage::new(1, TABLE);
    stage.put(20, "not json", &[4]);
    let away = letters.bootstrap();
    let job = stage.job().set("producer.override.bootstrap.servers", &away);
    let mut run = tail(&job, &stage.dead, "at-least-once");
    wait_until("the first batch is loaded", SOON, || stage.count() == 19);
    letters.kill(0);
    stage.put_more(20, 40, "not json", &[25]);
    // The first failure is silent, the second is told.
    wait_until("it says who is away", PATIENCE, || {
        assert!(run.runs().expect("its state"), "{}", run.stderr());
        run.stderr().contains("cannot write dead letters to topic")
    });
    assert_eq!(stage.count(), 19, "nothing moves before its dead letters");
    run.signal(Signal::SIGTERM);
    run.wait(SOON).expect("it ends").expect_any(&[3, 143]);
    // A bounded run gives up.
    let bounded = job.load(&["--dlq", &stage.dead]).expect(5);
    bounded.says(&["cannot write dead letters to topic", &stage.dead, &away, "nothing is lost"]);
    assert_eq!(stage.count(), 19);
    letters.restart(0).expect("it starts again");
    stage.load(&job, &["--dlq", &stage.dead], 3);
    assert_eq!(stage.count(), 38);
    let found = read::all(&away, &stage.dead).expect("dead letters are read");
    let found: Vec<u64> = found.iter().map(|letter| number(letter, "offset")).collect();
    assert_eq!(found, [4, 25]);
    letters.stop().expect("it stops");
}
