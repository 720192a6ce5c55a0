//! The schema registries that converters ask: do they answer, is the login good, which schemas do the
//! topics have? Reads the latest schema of each subject.

use std::time::Duration;

use crate::cmd::check::side::Lines;
use crate::config::job::{self, Job, Topics};
use crate::data::Exception;
use crate::kafka::probe::timed;
use crate::registry::Registry;
use crate::verdict::{Area, Line};

/// A registry that does not answer a short question in this time is away; a run is more patient.
const ANSWER: Duration = Duration::from_secs(4);
/// Subjects asked for by name.
const MOST_SUBJECTS: usize = 20;

/// A line a registry, and one a subject.
pub(super) fn check(job: &Job, lines: &Lines<()>) {
    let sides = [("key", &job.records.key), ("value", &job.records.value)];
    let mut asked = false;
    for (side, converter) in sides {
        if let Some(settings) = &converter.registry {
            asked = true;
            one(job, side, settings, lines);
        }
    }
    if !asked {
        lines.tell(Line::skip(Area::Registry, "registry", "no converter asks for one"));
    }
}

/// The same registry with less patience.
pub(super) fn hurried(settings: &job::Registry) -> job::Registry {
    job::Registry {
        max_retries: 0,
        again: job::Again::NEVER,
        connect_timeout: settings.connect_timeout.min(ANSWER),
        read_timeout: settings.read_timeout.min(ANSWER),
        ..settings.clone()
    }
}

fn one(job: &Job, side: &str, settings: &job::Registry, lines: &Lines<()>) {
    let hurried = hurried(settings);
    let subject = format!("registry of {side}s");
    let registry = match Registry::new(&hurried) {
        Ok(registry) => registry,
        Err(problem) => return lines.tell(Line::problem(Area::Registry, subject, &problem)),
    };
    let topics: &[String] = match &job.source.topics {
        Topics::Named(names) => names,
        Topics::Matching(_) => &[],
    };
    if topics.is_empty() {
        let (answer, took) = timed(|| registry.latest("starsink-check"));
        let line = match answer {
            Ok(_) => Line::ok(Area::Registry, subject, settings.urls.join(", ")),
            Err(failure) => failed(subject, settings, failure.exception, failure.message),
        };
        return lines.tell(line.took(took));
    }
    for topic in topics.iter().take(MOST_SUBJECTS) {
        // The name that serializers give a topic's schemas unless told otherwise.
        let name = format!("{topic}-{side}");
        let (answer, took) = timed(|| registry.latest(&name));
        let line = match answer {
            Ok(Some(schema)) => {
                let version = schema.version.map(|number| format!(" version {number}"));
                let text = format!("{} schema{}", schema.kind.name(), version.unwrap_or_default());
                Line::ok(Area::Registry, format!("subject {name}"), text)
            }
            Ok(None) => Line::warn(
                Area::Registry,
                format!("subject {name}"),
                "it has no schema yet",
            )
            .at(settings.origin.clone())
            .hint(
                "records name their schemas by id, so another naming strategy works all the same",
            ),
            Err(failure) => {
                let line = failed(subject, settings, failure.exception, failure.message);
                return lines.tell(line.took(took));
            }
        };
        lines.tell(line.took(took));
    }
}

fn failed(subject: String, settings: &job::Registry, kind: Exception, cause: String) -> Line {
    let line = match kind {
        Exception::Retriable => Line::away(Area::Registry, subject, "it cannot be reached")
            .hint("check the address, its port (8081 by default) and what stands in between"),
        Exception::Data
        | Exception::Connect
        | Exception::Config
        | Exception::SchemaBuilder
        | Exception::IllegalArgument
        | Exception::IndexOutOfBounds
        | Exception::NullPointer
        | Exception::Serialization
        | Exception::Authorization => {
            Line::wrong(Area::Registry, subject, "it does not give out its schemas").hint(
                "check the address and the login: `basic.auth.credentials.source`, `bearer.auth.*`",
            )
        }
    };
    line.cause(cause).at(settings.origin.clone())
}
