//! `check` on a real broker: logins, certificates, retention, groups in use. What needs no real broker
//! stands in the fault matrix of `tests/it/check.rs`.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::kafka::{Kafka, Options, SASL_PASSWORD, SASL_USER};
use e2e::produce::{self, Message};
use e2e::starsink::Output;
use e2e::topics;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::scene::{Job, SOON, Scene, wait_until};
use crate::security::broker;

/// One record that fits one table, and a configuration for both.
struct Set {
    scene: Scene,
    topic: String,
    table: String,
}

impl Set {
    fn new(bootstrap: Option<String>) -> Set {
        let scene = bootstrap.map_or_else(Scene::new, Scene::on);
        let topic = scene.topic("checked", 1);
        let table = scene.table("checked", "(id INT, city STRING)");
        let set = Set { scene, topic, table };
        set.put(3, None);
        set
    }

    fn put(&self, count: usize, timestamp_ms: Option<i64>) {
        let record = Message { timestamp_ms, ..Message::value(r#"{"id":1,"city":"Oslo"}"#) };
        let records: Vec<Message<'_>> = (0..count).map(|_| Message { ..record }).collect();
        produce::put(&self.scene.bootstrap, &self.topic, &records).expect("produced");
    }

    fn job(&self) -> Job<'_> {
        self.scene.job(&[(&self.topic, &self.table)])
    }
}

fn check(set: &Set, job: &Job<'_>, args: &[&str]) -> Output {
    let file = job.file();
    let args = [&["check"], args, &[&file]].concat();
    set.scene.starsink.run(&args, "", SOON).expect("starsink runs")
}

/// Panics unless just one line fails, and holds these texts with what stands below it.
#[track_caller]
fn fails_once(output: Output, code: i32, texts: &[&str]) {
    let output = output.expect(code);
    let failed = output.stdout.matches("  FAIL  ").count();
    assert_eq!(failed, 1, "{}", output.stdout);
    for text in texts {
        assert!(output.stdout.contains(text), "no `{text}`:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains("not-the-password"), "{}", output.stdout);
}

/// Over SASL_SSL as `security.rs` has it.
fn secure<'a>(set: &'a Set, password: &str, authority: &std::path::Path) -> Job<'a> {
    let jaas = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required \
         username=\"{SASL_USER}\" password=\"{password}\";"
    );
    set.job()
        .set("bootstrap.servers", &broker().secure_bootstrap().expect("a secure listener"))
        .set("consumer.override.security.protocol", "SASL_SSL")
        .set("consumer.override.sasl.mechanism", "SCRAM-SHA-512")
        .set("consumer.override.sasl.jaas.config", &jaas)
        .set("consumer.override.ssl.truststore.type", "PEM")
        .set("consumer.override.ssl.truststore.location", &authority.display().to_string())
}

#[test]
fn a_login_over_tls_is_tried_and_a_wrong_password_found() {
    let set = Set::new(Some(broker().bootstrap()));
    let authority = broker().certificates().expect("certificates").authority();
    let output = check(&set, &secure(&set, SASL_PASSWORD, &authority), &[]).expect(0);
    for text in ["TLS, certificate good until", "SCRAM-SHA-512 as `loader`", "3 records, 3 to load"]
    {
        assert!(output.stdout.contains(text), "no `{text}`:\n{}", output.stdout);
    }
    let output = check(&set, &secure(&set, "not-the-password", &authority), &[]);
    fails_once(output, 2, &["login", "SCRAM-SHA-512", "sasl.jaas.config"]);
    let stranger = broker().certificates().expect("certificates").stranger();
    let output = check(&set, &secure(&set, SASL_PASSWORD, &stranger), &[]);
    fails_once(output, 2, &["its certificate is not trusted", "ssl.truststore.location"]);
}

#[test]
fn mechanisms_and_protocols_that_the_listener_has_not_are_named() {
    let set = Set::new(Some(broker().bootstrap()));
    let authority = broker().certificates().expect("certificates").authority();
    let job = secure(&set, SASL_PASSWORD, &authority);
    let plain = job.set("consumer.override.security.protocol", "SASL_PLAINTEXT");
    fails_once(check(&set, &plain, &[]), 2, &["it speaks TLS", "security.protocol=SASL_SSL"]);
    let open = broker().bootstrap();
    let job = secure(&set, SASL_PASSWORD, &authority).set("bootstrap.servers", &open);
    fails_once(check(&set, &job, &[]), 2, &["it does not speak TLS"]);
}

#[test]
fn records_that_retention_deleted_or_is_about_to_are_told() {
    let set = Set::new(None);
    let job = set.job();
    job.load(&[]).expect(0);
    set.put(10, None);
    topics::delete_records(&set.scene.bootstrap, &set.topic, 8).expect("deleted");
    let output = check(&set, &job, &[]);
    fails_once(output, 2, &["5 records were deleted by retention", "--reset-offsets"]);

    let old = topics::fresh_name("old");
    let hour = [("retention.ms", "3600000")];
    topics::create(&set.scene.bootstrap, &old, 1, &hour).expect("created");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let set = Set { topic: old, ..Set::new(None) };
    let minutes_ago = 57 * 60_000;
    set.put(5, Some(i64::try_from(now.as_millis()).expect("in range") - minutes_ago));
    let output = check(&set, &set.job(), &[]).expect(0);
    assert!(output.stdout.contains("is about to delete records"), "{}", output.stdout);
}

#[test]
fn a_connect_worker_in_the_group_is_named() {
    let set = Set::new(None);
    let job = set.job();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &set.scene.bootstrap)
        .set("group.id", format!("connect-{}", job.get("name")))
        .set("client.id", format!("connector-consumer-{}-0", job.get("name")))
        .create()
        .expect("a consumer");
    consumer.subscribe(&[&set.topic]).expect("subscribed");
    wait_until("the worker has its partition", SOON, || {
        let _ = consumer.poll(std::time::Duration::from_millis(100));
        consumer.assignment().is_ok_and(|list| list.count() > 0)
    });
    fails_once(check(&set, &job, &[]), 2, &["a Kafka Connect worker is in it", "stop or delete"]);
}

#[test]
fn with_leave_to_write_a_commit_and_a_transaction_are_tried_and_undone() {
    let set = Set::new(None);
    let job = set.job();
    let output = check(&set, &job, &["--write"]).expect(0);
    for text in ["4096 bytes committed in group", "begun and rolled back"] {
        assert!(output.stdout.contains(text), "no `{text}`:\n{}", output.stdout);
    }
    assert_eq!(set.scene.starrocks.count(&set.table).expect("counted"), 0);
    // Nothing is left of it: the load begins at the first record.
    job.load(&[]).expect(0);
    assert_eq!(set.scene.starrocks.count(&set.table).expect("counted"), 3);
}

/// Over SASL_SSL at a broker with access lists.
fn guarded<'a>(set: &'a Set, kafka: &Kafka) -> Job<'a> {
    let authority = kafka.certificates().expect("certificates").authority();
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required \
         username=\"{SASL_USER}\" password=\"{SASL_PASSWORD}\";"
    );
    let secure = kafka.secure_bootstrap().expect("a secure listener");
    let mut job = set.job().set("bootstrap.servers", &secure);
    for prefix in ["consumer.override.", "producer.override."] {
        job = job
            .set(&format!("{prefix}security.protocol"), "SASL_SSL")
            .set(&format!("{prefix}sasl.mechanism"), "PLAIN")
            .set(&format!("{prefix}sasl.jaas.config"), &jaas)
            .set(&format!("{prefix}ssl.truststore.type"), "PEM")
            .set(&format!("{prefix}ssl.truststore.location"), &authority.to_string_lossy());
    }
    job
}

#[test]
fn each_right_that_is_missing_is_named_by_one_line() {
    let kafka = Kafka::start(&Options::with_access_lists()).expect("Kafka starts");
    let set = Set::new(Some(kafka.bootstrap()));
    let job = guarded(&set, &kafka).set("name", "allowed");
    let allow = |operation: &str, on: &[&str]| kafka.allow(SASL_USER, operation, on).expect("done");
    allow("Describe", &["--topic", &set.topic]);
    allow("Read", &["--group", "connect-allowed"]);
    let output = check(&set, &job, &[]);
    fails_once(output, 2, &["does not let this user read its records", "Read on the topic"]);
    allow("Read", &["--topic", &set.topic]);
    let other = job.set("name", "of-another-group");
    let output = check(&set, &other, &[]);
    fails_once(
        output,
        2,
        &["group connect-of-another-group", "Read on the topics and on the consumer group"],
    );
    // A right to the group by its very name is enough, although no other group can be tried.
    let job = guarded(&set, &kafka).set("name", "allowed");
    let output = check(&set, &job, &["--write"]).expect(0);
    assert!(output.stdout.contains("no commit can be tried"), "{}", output.stdout);
    let dead = set.scene.topic("dead", 1);
    let letters = ["--on-error", "dlq", "--dlq", dead.as_str()];
    allow("Describe", &["--topic", &dead]);
    let output = check(&set, &job, &letters);
    fails_once(output, 2, &["does not let this user write to it", "Write on the topic"]);
    allow("Write", &["--topic", &dead]);
    let output = check(&set, &job, &letters).expect(0);
    assert!(output.stdout.contains("it is there and can be written"), "{}", output.stdout);
}

#[test]
fn a_transform_that_chooses_the_topic_chooses_the_table_that_is_looked_at() {
    let set = Set::new(None);
    let renamed = format!("{}_renamed", set.topic);
    let job = set
        .scene
        .job(&[(&renamed, &set.table)])
        .set("topics", &set.topic)
        .set("transforms", "r")
        .set("transforms.r.type", "org.apache.kafka.connect.transforms.RegexRouter")
        .set("transforms.r.regex", ".*")
        .set("transforms.r.replacement", "$0_renamed");
    let output = check(&set, &job, &[]).expect(0);
    assert!(output.stdout.contains(&format!(".{} ", set.table)), "{}", output.stdout);
    assert!(output.stdout.contains("3 records of"), "{}", output.stdout);
    let file = job.file();
    let output = set.scene.starsink.run(&["map", &file], "", SOON).expect("it runs").expect(0);
    assert!(!output.stdout.contains("does not exist"), "{}", output.stdout);
    job.load(&[]).expect(0);
    assert_eq!(set.scene.starrocks.count(&set.table).expect("counted"), 3);
}

#[test]
fn a_healthy_set_up_takes_little_time_of_its_own() {
    let set = Set::new(None);
    let output = check(&set, &set.job(), &[]).expect(0);
    assert_eq!(output.stdout.matches("  FAIL  ").count(), 0, "{}", output.stdout);
    assert!(output.stdout.contains("3 records of"), "{}", output.stdout);
    assert!(output.stdout.contains("`load` would read 3 of 3 records"), "{}", output.stdout);
}
