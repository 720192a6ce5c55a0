//! Which of a configuration's keys are the sink consumer's, in Kafka Connect's order of precedence.
//! Their translation is `kafka/auth.rs`'s business.

use crate::config::entry::{Entry, Note};
use crate::config::settings::Settings;
use crate::config::{Environment, Overrides};
use crate::kafka::auth::{self, Translated};

/// Collects the consumer's properties and translates them for librdkafka.
pub(super) fn translate(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
    name: &str,
) -> Translated {
    let entries = consumer_entries(settings);
    let request = auth::Request {
        java: &entries,
        kafka_password: overrides.kafka_password.as_ref(),
        librdkafka: &overrides.kafka,
        // Not as Connect names its consumers: that is how they are told apart in a group.
        client_id: format!("starsink-{name}"),
        environment,
    };
    auth::translate(&request, &mut settings.problems, &mut settings.notes)
}

/// Java names without prefix, each once: `consumer.override.*` over `consumer.*` over, for security
/// alone, the bare names.
fn consumer_entries(settings: &mut Settings) -> Vec<(String, Entry)> {
    let mut chosen: Vec<(String, Entry)> = vec![];
    let of_worker =
        settings.prefixed("consumer.").filter(|(name, _)| !name.starts_with("override."));
    for (name, entry) in settings.prefixed("consumer.override.").chain(of_worker) {
        if !chosen.iter().any(|(known, _)| known == name) {
            chosen.push((name.to_owned(), entry.clone()));
        }
    }
    if chosen.iter().any(|(name, _)| is_security(name)) {
        return chosen;
    }
    let bare = ["security.protocol", "sasl.", "ssl."];
    let bare: Vec<(String, Entry)> = bare
        .iter()
        .flat_map(|prefix| {
            settings.prefixed(prefix).map(move |(rest, e)| (format!("{prefix}{rest}"), e))
        })
        .map(|(name, entry)| (name, entry.clone()))
        .collect();
    if let Some((name, entry)) = bare.first() {
        let text = format!(
            "`{name}` and its kin serve this run; in Kafka Connect a sink reads them as `consumer.{name}` only"
        );
        settings.notes.push(Note::info(text).at(entry.place()));
    }
    chosen.extend(bare);
    chosen
}

fn is_security(name: &str) -> bool {
    name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.")
}
