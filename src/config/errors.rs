//! What becomes of bad records: `errors.*`, and the flags that override it, into an [`ErrorPolicy`].
//! Writes nothing anywhere: `dlq.rs` does.

use std::path::PathBuf;

use crate::config::build::is_topic_name;
use crate::config::entry::{Entry, Note, Origin};
use crate::config::job::{
    DeadLetterTarget, DeadLetterTopic, DeadLetters, ErrorPolicy, OAuth, OnBadRecord, PropertyValue,
    Replay, Source,
};
use crate::config::settings::{Settings, split_list};
use crate::config::{Environment, OnError, Overrides};
use crate::error::Problem;
use crate::kafka::auth;

const TOPIC: &str = "errors.deadletterqueue.topic.name";
const TOLERANCE: &str = "errors.tolerance";

/// The policy, or `None` with the reasons in `settings.problems`.
pub(super) fn read(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
    source: Option<&Source>,
    replay: Option<&Replay>,
) -> Option<ErrorPolicy> {
    let named = target_named(settings, overrides);
    let on_bad_record = match asked(settings, overrides, named.as_ref())? {
        OnError::Stop => OnBadRecord::Stop,
        OnError::Skip => OnBadRecord::Skip,
        OnError::Dlq => {
            let named = named?;
            let target = target(settings, overrides, environment, &named, source, replay)?;
            let context_headers =
                is_true(settings, "errors.deadletterqueue.context.headers.enable");
            OnBadRecord::SetAside(Box::new(DeadLetters { target, context_headers }))
        }
    };
    if overrides.dlq_exactly_once && !is_exactly_once(&on_bad_record) {
        let what = "`--dlq-delivery exactly-once` needs a dead-letter topic";
        let hint = "name one with `--dlq TOPIC`; only Kafka can take dead letters and offsets in one transaction";
        settings.problems.push(Problem::usage(what).hint(hint));
    }
    if matches!(on_bad_record, OnBadRecord::Stop) && overrides.max_errors.is_some() {
        let text = "`--max-errors` has no effect: the run stops at the first bad record";
        settings.notes.push(
            Note::warning(text).hint("say `--on-error skip`, or `--dlq TOPIC|FILE`, as well"),
        );
    }
    Some(ErrorPolicy {
        on_bad_record,
        max_errors: overrides.max_errors,
        tell_each: is_true(settings, "errors.log.enable"),
        tell_content: is_true(settings, "errors.log.include.messages"),
    })
}

/// What is to be done, flags first.
fn asked(settings: &mut Settings, overrides: &Overrides, named: Option<&Entry>) -> Option<OnError> {
    let by_flag = named.filter(|entry| entry.origin == Origin::Flag("--dlq"));
    // What still cannot be loaded stays a dead letter.
    if overrides.on_error.is_none() && overrides.replay.is_some() {
        return Some(OnError::Dlq);
    }
    match (overrides.on_error, by_flag) {
        (Some(OnError::Dlq), _) if named.is_none() => {
            let what = "`--on-error dlq` does not say where dead letters go";
            let hint = format!("add `--dlq TOPIC` or `--dlq FILE`, or set `{TOPIC}`");
            settings.problems.push(Problem::usage(what).hint(hint));
            return None;
        }
        (Some(said @ (OnError::Stop | OnError::Skip)), Some(_)) => {
            let word = if said == OnError::Stop { "stop" } else { "skip" };
            let what = format!("`--dlq` and `--on-error {word}` contradict each other");
            settings.problems.push(Problem::usage(what).hint("leave one of them out"));
            return None;
        }
        (Some(said), _) => return Some(said),
        (None, Some(_)) => return Some(OnError::Dlq),
        (None, None) => {}
    }
    let tolerant = settings.text(TOLERANCE).is_some_and(|text| text.eq_ignore_ascii_case("all"));
    match named {
        Some(_) if tolerant => Some(OnError::Dlq),
        None if tolerant => Some(OnError::Skip),
        Some(entry) => {
            let text = format!(
                "`{TOPIC}` gets nothing: `{TOLERANCE}` is `none`, so the first bad record stops the run"
            );
            settings.notes.push(Note::info(text).at(entry.place()));
            Some(OnError::Stop)
        }
        None => Some(OnError::Stop),
    }
}

/// Who names the target, and how.
fn target_named(settings: &Settings, overrides: &Overrides) -> Option<Entry> {
    let by_flag = overrides.dlq.as_ref().map(|value| Entry {
        key: TOPIC.to_owned(),
        value: value.clone(),
        origin: Origin::Flag("--dlq"),
    });
    let replayed = overrides.replay.as_ref().map(|value| Entry {
        key: TOPIC.to_owned(),
        value: value.clone(),
        origin: Origin::Flag("--replay"),
    });
    by_flag.or(replayed).or_else(|| settings.filled(TOPIC).cloned())
}

fn target(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
    named: &Entry,
    source: Option<&Source>,
    replay: Option<&Replay>,
) -> Option<DeadLetterTarget> {
    let name = named.value.trim();
    let by_flag = [Origin::Flag("--dlq"), Origin::Flag("--replay")].contains(&named.origin);
    if by_flag && is_file(name) {
        return Some(DeadLetterTarget::File(PathBuf::from(name)));
    }
    if !is_topic_name(name) {
        let what = format!("`{name}` cannot be a topic's name");
        let problem = Problem::usage(what).at(named.place());
        settings.problems.push(problem.hint(FILE_HINT));
        return None;
    }
    let source = source?;
    // A replay leaves what it cannot load where it is; the topics that are loaded otherwise stay as they are.
    let reads_it = match (replay, &overrides.replay) {
        (Some(replay), _) => replay.topics.take_in(name),
        (None, None) => source.topics.take_in(name),
        // It was refused.
        (None, Some(_)) => false,
    };
    if reads_it {
        let what = format!("topic `{name}` would take dead letters and is loaded as well");
        let hint = "its records would be set aside again and again; name another topic";
        settings.problems.push(Problem::usage(what).at(named.place()).hint(hint));
        return None;
    }
    let (bootstrap, properties, oauth) = producer(settings, overrides, environment, source);
    if overrides.dlq_exactly_once && bootstrap != source.bootstrap {
        let what = "exactly-once dead letters must go to the cluster that holds the offsets";
        let hint = "leave `producer.bootstrap.servers` out";
        settings.problems.push(Problem::usage(what).hint(hint));
    }
    let replication = settings.number("errors.deadletterqueue.topic.replication.factor")?;
    Some(DeadLetterTarget::Topic(DeadLetterTopic {
        name: name.to_owned(),
        replication: u16::try_from(replication).ok().filter(|count| *count > 0),
        exactly_once: overrides.dlq_exactly_once,
        bootstrap,
        properties,
        oauth,
    }))
}

const FILE_HINT: &str =
    "`--dlq` takes a file where its name holds a `/` or ends in `.ndjson` or `.jsonl`";

/// A topic's name has no slash, and few end like a file of JSON lines.
pub(super) fn is_file(name: &str) -> bool {
    name.contains('/') || name.ends_with(".ndjson") || name.ends_with(".jsonl")
}

fn is_exactly_once(on_bad_record: &OnBadRecord) -> bool {
    let OnBadRecord::SetAside(letters) = on_bad_record else { return false };
    matches!(&letters.target, DeadLetterTarget::Topic(topic) if topic.exactly_once)
}

fn is_true(settings: &Settings, key: &str) -> bool {
    settings.text(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// Address and properties of the producer: its own where any security is said for it, else those of
/// the consumer, which reaches the same brokers.
fn producer(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
    source: &Source,
) -> (String, Vec<(String, PropertyValue)>, Option<OAuth>) {
    let own = producer_entries(settings);
    let address = own.iter().find(|(name, _)| name == "bootstrap.servers");
    let bootstrap = address
        .map_or_else(|| source.bootstrap.clone(), |(_, entry)| split_list(&entry.value).join(","));
    if !own.iter().any(|(name, _)| is_security(name)) {
        return (bootstrap, kept(&source.properties), source.oauth.clone());
    }
    let request = auth::Request {
        java: &own,
        kafka_password: overrides.kafka_password.as_ref(),
        librdkafka: &[],
        client_id: String::new(),
        environment,
    };
    let translated = auth::translate(&request, &mut settings.problems, &mut settings.notes);
    (bootstrap, kept(&translated.properties), translated.oauth)
}

/// Java names without prefix, each once. What has nothing to do with reaching brokers is named as not
/// needed: how dead letters are sent is part of what is promised.
fn producer_entries(settings: &mut Settings) -> Vec<(String, Entry)> {
    let mut chosen: Vec<(String, Entry)> = vec![];
    let of_worker =
        settings.prefixed("producer.").filter(|(name, _)| !name.starts_with("override."));
    for (name, entry) in settings.prefixed("producer.override.").chain(of_worker) {
        if !chosen.iter().any(|(known, _)| known == name) {
            chosen.push((name.to_owned(), entry.clone()));
        }
    }
    let (used, unused): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|(name, _)| is_security(name) || name == "bootstrap.servers");
    for (_, entry) in unused {
        let text = format!("`{}` is not needed: how dead letters are sent is fixed", entry.key);
        settings.notes.push(Note::info(text).at(entry.place()));
    }
    used
}

fn is_security(name: &str) -> bool {
    name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.")
}

/// librdkafka properties that are about reaching brokers, whatever the client does there.
fn kept(properties: &[(String, PropertyValue)]) -> Vec<(String, PropertyValue)> {
    const NAMES: [&str; 3] = ["security.protocol", "client.dns.lookup", "api.version.request"];
    const PREFIXES: [&str; 6] =
        ["sasl.", "ssl.", "enable.ssl.", "socket.", "broker.address.", "reconnect.backoff."];
    let is_kept = |(name, _): &&(String, PropertyValue)| {
        NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    properties.iter().filter(is_kept).cloned().collect()
}
