//! What becomes of records that cannot be loaded, as far as configuration says it: which policy, where
//! dead letters go, and what contradicts itself.

use starsink::config::job::{DeadLetterTarget, ErrorPolicy, MaxErrors, OnBadRecord, PropertyValue};
use starsink::config::{OnError, Overrides};

use crate::config::{COMPLETE, load_with, told};

const TOPIC: &str = "errors.deadletterqueue.topic.name=dead\n";

fn loaded(lines: &str, overrides: &Overrides) -> Result<ErrorPolicy, String> {
    let text = format!("{COMPLETE}{lines}");
    match load_with(&[("f", &text)], overrides, &[], &[]) {
        Ok((job, _)) => Ok(job.errors),
        Err(problems) => Err(told(&problems)),
    }
}

/// The policy in a word or two.
#[track_caller]
fn check(lines: &str, overrides: &Overrides, expect: &str) {
    let policy = loaded(lines, overrides).unwrap_or_else(|text| panic!("{text}"));
    let word = match policy.on_bad_record {
        OnBadRecord::Stop => "stop".to_owned(),
        OnBadRecord::Skip => "skip".to_owned(),
        OnBadRecord::SetAside(letters) => match letters.target {
            DeadLetterTarget::Topic(topic) => format!("topic {}", topic.name),
            DeadLetterTarget::File(path) => format!("file {}", path.display()),
        },
    };
    assert_eq!(word, expect, "{lines:?} {overrides:?}");
}

#[track_caller]
fn check_refused(lines: &str, overrides: &Overrides, expect: &str) {
    match loaded(lines, overrides) {
        Ok(policy) => panic!("accepted: {policy:?}"),
        Err(text) => assert_eq!(text, expect),
    }
}

fn dlq(target: &str) -> Overrides {
    Overrides { dlq: Some(target.into()), ..Overrides::default() }
}

fn on_error(what: OnError) -> Overrides {
    Overrides { on_error: Some(what), ..Overrides::default() }
}

#[test]
fn the_keys_of_kafka_connect_decide_unless_a_flag_does() {
    let none = Overrides::default();
    check("", &none, "stop");
    check(TOPIC, &none, "stop");
    check("errors.tolerance=all\n", &none, "skip");
    check(&format!("errors.tolerance=ALL\n{TOPIC}"), &none, "topic dead");
    check(&format!("errors.tolerance=all\n{TOPIC}"), &on_error(OnError::Stop), "stop");
    check(&format!("errors.tolerance=all\n{TOPIC}"), &on_error(OnError::Skip), "skip");
    check(TOPIC, &on_error(OnError::Dlq), "topic dead");
    check("", &dlq("other"), "topic other");
    check(TOPIC, &dlq("other"), "topic other");
    check("", &dlq("orders.dlq"), "topic orders.dlq");
}

#[test]
fn a_dead_letter_target_that_looks_like_a_file_is_one() {
    check("", &dlq("./dead"), "file ./dead");
    check("", &dlq("/var/lib/dead"), "file /var/lib/dead");
    check("", &dlq("dead.ndjson"), "file dead.ndjson");
    check("", &dlq("dead.jsonl"), "file dead.jsonl");
}

#[test]
fn what_contradicts_itself_is_refused() {
    check_refused(
        "",
        &on_error(OnError::Dlq),
        "error: `--on-error dlq` does not say where dead letters go\n\
         hint: add `--dlq TOPIC` or `--dlq FILE`, or set `errors.deadletterqueue.topic.name`\n",
    );
    check_refused(
        "",
        &Overrides { on_error: Some(OnError::Skip), ..dlq("dead") },
        "error: `--dlq` and `--on-error skip` contradict each other\nhint: leave one of them out\n",
    );
    check_refused(
        "",
        &dlq("t"),
        "error: topic `t` would take dead letters and is loaded as well\n  at: `--dlq`\n\
         hint: its records would be set aside again and again; name another topic\n",
    );
    check_refused(
        "errors.tolerance=all\nerrors.deadletterqueue.topic.name=no such\n",
        &Overrides::default(),
        "error: `no such` cannot be a topic's name\n  at: f:9 `errors.deadletterqueue.topic.name`\n\
         hint: `--dlq` takes a file where its name holds a `/` or ends in `.ndjson` or `.jsonl`\n",
    );
    check_refused(
        "producer.bootstrap.servers=elsewhere:9092\n",
        &Overrides { dlq_exactly_once: true, ..dlq("dead") },
        "error: exactly-once dead letters must go to the cluster that holds the offsets\n\
         hint: leave `producer.bootstrap.servers` out\n",
    );
    check_refused(
        "",
        &Overrides { dlq_exactly_once: true, ..dlq("./dead") },
        "error: `--dlq-delivery exactly-once` needs a dead-letter topic\n\
         hint: name one with `--dlq TOPIC`; only Kafka can take dead letters and offsets in one transaction\n",
    );
}

fn replay(from: &str) -> Overrides {
    Overrides { replay: Some(from.into()), ..Overrides::default() }
}

#[test]
fn a_topic_that_is_loaded_cannot_be_replayed_nor_take_what_a_replay_leaves() {
    let hint = "hint: `--replay` takes a topic of dead letters; `-t` names the topics they came from where the \
                configuration's pattern takes in both\n";
    let refused = |topic: &str| {
        format!(
            "error: topic `{topic}` would be replayed and is loaded as well\n  at: `--replay`\n{hint}"
        )
    };
    check_refused("", &replay("t"), &refused("t"));
    let pattern = COMPLETE.replace("topics=t\n", "topics.regex=t.*\n");
    let problems = load_with(&[("f", &pattern)], &replay("t.dlq"), &[], &[]).map(drop);
    assert_eq!(told(&problems.expect_err("refused")), refused("t.dlq"));
    check("", &replay("t.dlq"), "topic t.dlq");
    // Nor is a source topic made a place for letters by the way.
    check_refused(
        "",
        &Overrides { dlq: Some("t".into()), ..replay("t.dlq") },
        "error: topic `t` would take dead letters and is loaded as well\n  at: `--dlq`\n\
         hint: its records would be set aside again and again; name another topic\n",
    );
}

#[test]
fn the_lines_of_a_file_are_counted_by_a_group_of_its_own() {
    let group = |lines: &str, overrides: &Overrides| {
        let text = format!("{COMPLETE}{lines}");
        let (job, _) = load_with(&[("f", &text)], overrides, &[], &[]).expect("accepted");
        job.source.group
    };
    let plain = group("", &Overrides::default());
    assert_eq!(group("", &replay("./dead.ndjson")), format!("{plain}-replay"));
    // The group that is named holds the position of the very partition whose place the file takes.
    let named = "consumer.override.group.id=g\n";
    assert_eq!(group(named, &replay("./dead.ndjson")), "g-replay");
    assert_eq!(group(named, &replay("t.dlq")), "g");
}

fn topic_of(lines: &str) -> starsink::config::job::DeadLetterTopic {
    let lines = format!("{lines}errors.tolerance=all\n{TOPIC}");
    let policy = loaded(&lines, &Overrides::default()).unwrap_or_else(|text| panic!("{text}"));
    match policy.on_bad_record {
        OnBadRecord::SetAside(letters) => match letters.target {
            DeadLetterTarget::Topic(topic) => topic,
            DeadLetterTarget::File(_) => panic!("a file"),
        },
        OnBadRecord::Stop | OnBadRecord::Skip => panic!("no dead letters"),
    }
}

#[test]
fn the_producer_of_dead_letters_logs_in_as_the_consumer_does_unless_it_has_its_own_keys() {
    let value = |lines: &str, name: &str| {
        let topic = topic_of(lines);
        let found = topic.properties.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| match value {
            PropertyValue::Plain(text) => text,
            PropertyValue::Hidden(secret) => format!("hidden {}", secret.reveal()),
        })
    };
    let jaas = |user: &str| {
        format!(
            "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{user}\" password=\"p-{user}\";\n"
        )
    };
    let login = |prefix: &str, user: &str| {
        format!(
            "{prefix}security.protocol=SASL_PLAINTEXT\n{prefix}sasl.mechanism=PLAIN\n{prefix}{}",
            jaas(user)
        )
    };
    let consumer = login("consumer.override.", "c");
    assert_eq!(value(&consumer, "sasl.username").as_deref(), Some("c"));
    assert_eq!(value(&consumer, "sasl.password").as_deref(), Some("hidden p-c"));
    let both = format!("{consumer}{}", login("producer.", "p"));
    assert_eq!(value(&both, "sasl.username").as_deref(), Some("p"));
    let all = format!("{both}{}", login("producer.override.", "o"));
    assert_eq!(value(&all, "sasl.username").as_deref(), Some("o"));
    // What only a consumer has is not handed on.
    assert_eq!(value("consumer.fetch.min.bytes=7\n", "fetch.min.bytes"), None);
}

#[test]
fn a_topic_that_must_be_created_has_the_replicas_asked_for() {
    assert_eq!(topic_of("").replication, None);
    let asked = "errors.deadletterqueue.topic.replication.factor=2\n";
    assert_eq!(topic_of(asked).replication, Some(2));
}

#[test]
fn headers_of_dead_letters_are_on_unless_switched_off() {
    let is_on = |lines: &str| {
        let lines = format!("{lines}errors.tolerance=all\n{TOPIC}");
        match loaded(&lines, &Overrides::default()).expect("accepted").on_bad_record {
            OnBadRecord::SetAside(letters) => letters.context_headers,
            OnBadRecord::Stop | OnBadRecord::Skip => panic!("no dead letters"),
        }
    };
    assert!(is_on(""));
    assert!(!is_on("errors.deadletterqueue.context.headers.enable=false\n"));
}

#[test]
fn a_limit_of_errors_is_a_number_or_a_share() {
    use clap::Parser;
    use starsink::cli::{Cli, Command};
    let parsed = |text: &str| {
        let cli = Cli::try_parse_from(["starsink", "load", "--max-errors", text, "f"]);
        cli.map(|cli| match cli.command {
            Command::Load(load) => load.shared.flow.max_errors,
            _ => panic!("another command"),
        })
    };
    assert_eq!(parsed("0").expect("legal"), Some(MaxErrors::Count(0)));
    assert_eq!(parsed("0.5%").expect("legal"), Some(MaxErrors::Percent(0.5)));
    for refused in ["-1", "101%", "x", "5 %%", "nan%"] {
        assert!(parsed(refused).is_err(), "{refused}");
    }
}

#[test]
fn retries_without_anything_to_repeat_are_told() {
    let text = format!("{COMPLETE}errors.retry.timeout=5000\n");
    let (_, notes) = load_with(&[("f", &text)], &Overrides::default(), &[], &[]).expect("accepted");
    let told = notes.iter().filter(|note| note.text.contains("`errors.retry.timeout` has nothing"));
    assert_eq!(told.count(), 1, "{notes:?}");
    let text = format!("{COMPLETE}errors.retry.timeout=0\n");
    let (_, notes) = load_with(&[("f", &text)], &Overrides::default(), &[], &[]).expect("accepted");
    assert!(!notes.iter().any(|note| note.text.contains("errors.retry")), "{notes:?}");
}
