//! Text in, [`job::Job`] out: files, flags and environment become one validated description of a run.
//!
//! [`load`] is the only door. It reads nothing by itself: files come through [`Environment`], flags
//! through [`Overrides`]. Every problem of a configuration is found in one pass.

mod build;
mod client;
pub mod connect;
pub mod entry;
mod errors;
mod headers;
pub mod job;
pub mod keys;
pub mod pattern;
pub mod properties;
pub mod providers;
mod records;
pub mod registry;
pub mod routine_load;
mod routes;
pub mod settings;
pub mod stream_load;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::connect::ConnectFile;
pub use crate::config::entry::{Entry, Note, Origin, Weight};
use crate::config::job::{DeliveryChoice, Job, MaxErrors};
use crate::config::providers::Providers;
use crate::config::settings::Settings;
use crate::error::Problem;
use crate::secret::Secret;

/// What the process hands down of the world outside.
pub struct Environment<'a> {
    /// For `${env:NAME}`.
    pub vars: &'a BTreeMap<String, String>,
    /// A file's bytes; the path `-` is standard input.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Whether others than the owner may read this file.
    pub is_exposed: &'a dyn Fn(&Path) -> bool,
}

impl Environment<'_> {
    /// A file's bytes, or one line that says why not.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        (self.read_file)(path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// What flags and their environment variables say; they win over every file.
#[derive(Debug)]
pub struct Overrides {
    /// Keys of the table, said by flags; the last of equal ones wins.
    pub keys: Vec<Entry>,
    /// `-t`: topics, or one pattern beginning with `^`; empty: the files'.
    pub topics: Vec<String>,
    /// `--map`, each `TOPIC:TABLE[,…]`; added to the files' map and stronger.
    pub map: Vec<Entry>,
    pub password: Option<Password>,
    /// `STARSINK_KAFKA_PASSWORD`: takes the place of the password in `sasl.jaas.config`.
    pub kafka_password: Option<Secret>,
    /// `-G`.
    pub group: Option<String>,
    /// `-p`.
    pub partitions: Vec<u32>,
    /// `-X`: librdkafka's own properties, applied last.
    pub kafka: Vec<(String, String)>,
    /// `--flush-bytes`; not held to the range of `bufferflush.maxbytes`.
    pub flush_bytes: Option<u64>,
    /// `--flush-interval`; not held to the range of `bufferflush.intervalms`.
    pub flush_interval: Option<Duration>,
    pub loads: usize,
    pub memory_bytes: u64,
    pub delivery: DeliveryChoice,
    /// `--on-error`.
    pub on_error: Option<OnError>,
    /// `--dlq`: a topic, or a file where it looks like one.
    pub dlq: Option<String>,
    /// `--dlq-delivery exactly-once`.
    pub dlq_exactly_once: bool,
    /// `--max-errors`.
    pub max_errors: Option<MaxErrors>,
    /// `--replay`: a topic of dead letters, or a file where it looks like one.
    pub replay: Option<String>,
    pub redact_values: bool,
    /// Nothing is connected to: what only a connection needs may be missing, and is not looked at.
    pub offline: bool,
}

/// `--on-error`: what a flag says of records that cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    Stop,
    Skip,
    Dlq,
}

/// `--loads` and `--memory` when not given.
pub const DEFAULT_LOADS: usize = 4;
pub const DEFAULT_MEMORY_BYTES: u64 = 96 * 1024 * 1024;

impl Default for Overrides {
    fn default() -> Self {
        Overrides {
            keys: vec![],
            topics: vec![],
            map: vec![],
            password: None,
            kafka_password: None,
            group: None,
            partitions: vec![],
            kafka: vec![],
            flush_bytes: None,
            flush_interval: None,
            loads: DEFAULT_LOADS,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            delivery: DeliveryChoice::Auto,
            on_error: None,
            dlq: None,
            dlq_exactly_once: false,
            max_errors: None,
            replay: None,
            redact_values: false,
            offline: false,
        }
    }
}

/// The StarRocks password from outside the files.
#[derive(Debug)]
pub enum Password {
    /// The file's text without its final newline; `-` is standard input.
    File {
        path: PathBuf,
        origin: Origin,
    },
    Text {
        secret: Secret,
        origin: Origin,
    },
}

/// What a configuration came to, good or not.
#[derive(Debug)]
pub struct Reading {
    /// `None` where something is wrong; `problems` says what.
    pub job: Option<Job>,
    pub problems: Vec<Problem>,
    /// What is worth saying about a good one.
    pub notes: Vec<Note>,
    /// The value in force of every key somebody said, in alphabetical order.
    pub said: Vec<Entry>,
    /// Keys whose value came through a reference to a config provider.
    pub referred: BTreeSet<String>,
}

/// Reads the configuration of one run: files in the order given, `-` for standard input, then
/// overrides. Gives all problems at once; notes tell what is worth saying about a good one.
pub fn load(
    files: &[String],
    overrides: &Overrides,
    environment: &Environment<'_>,
) -> Result<(Job, Vec<Note>), Vec<Problem>> {
    let reading = read(files, overrides, environment);
    match reading.job {
        Some(job) => Ok((job, reading.notes)),
        None => Err(reading.problems),
    }
}

/// As [`load`], for who wants to see what stands in it even where it is wrong.
pub fn read(files: &[String], overrides: &Overrides, environment: &Environment<'_>) -> Reading {
    let mut notes = vec![];
    let mut referred = BTreeSet::new();
    let mut keys = overrides.keys.clone();
    let files = read_files(files, environment, &mut notes)
        .and_then(|files| one_connector(files, &mut notes))
        .and_then(|mut files| {
            if overrides.offline {
                leave_out_connections(&mut files, &mut keys);
            }
            let entries = files.iter().flat_map(|file| &file.entries);
            let refer = entries.filter(|entry| entry.value.contains("${"));
            referred.extend(refer.map(|entry| entry.key.clone()));
            resolve_references(files, environment, &mut notes)
        });
    let files = match files {
        Ok(files) => files,
        Err(problems) => return Reading { job: None, problems, notes, said: vec![], referred },
    };
    let mut settings = Settings::layered(files, keys);
    settings.check_against_table();
    let job = build::job(&mut settings, overrides, environment);
    notes.append(&mut settings.notes);
    let said = settings.prefixed("").map(|(_, entry)| entry.clone()).collect();
    let problems = settings.problems;
    Reading { job: job.filter(|_| problems.is_empty()), problems, notes, said, referred }
}

fn read_files(
    paths: &[String],
    environment: &Environment<'_>,
    notes: &mut Vec<Note>,
) -> Result<Vec<ConnectFile>, Vec<Problem>> {
    let mut files = vec![];
    let mut problems = vec![];
    for path in paths {
        let bytes = (environment.read_file)(Path::new(path)).map_err(|error| {
            let name = if path == "-" { "standard input" } else { path };
            Problem::usage(format!("cannot read `{name}`")).cause(reason(&error))
        });
        let parsed = bytes.and_then(|bytes| connect::parse(path, &bytes, notes));
        match parsed.and_then(is_configuration) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Almost any text reads as `.properties`: one without a single known key is no configuration.
fn is_configuration(file: ConnectFile) -> Result<ConnectFile, Problem> {
    let name = if file.path == "-" { "standard input" } else { &file.path };
    if file.get("apiVersion").is_some() && file.get("kind").is_some() {
        let what = format!("`{name}` is a Kubernetes manifest, which is not read");
        return Err(Problem::usage(what)
            .hint("put the entries of its `spec.config` into a `.properties` or JSON file"));
    }
    match file.entries.first() {
        Some(first) if file.entries.iter().all(|entry| keys::find(&entry.key).is_none()) => {
            let key: String = first.key.chars().take(40).collect();
            let what = format!("`{name}` holds no key of a Connect configuration");
            Err(Problem::usage(what)
                .cause(format!("its first key would be `{key}`"))
                .at(first.origin.to_string())
                .hint("expected is a worker or connector file: `.properties`, flat JSON, or the REST body"))
        }
        _ => Ok(file),
    }
}

/// An I/O error's words without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The StarRocks sink's class, and what Kafka Connect lets people write instead.
const CONNECTOR_CLASSES: [&str; 3] = [
    "com.starrocks.connector.kafka.StarRocksSinkConnector",
    "StarRocksSinkConnector",
    "StarRocksSink",
];

/// Leaves out files of other connectors, which `connect-standalone` is given on the same command
/// line, and refuses two StarRocks sinks.
fn one_connector(
    files: Vec<ConnectFile>,
    notes: &mut Vec<Note>,
) -> Result<Vec<ConnectFile>, Vec<Problem>> {
    let is_ours = |class: &Entry| CONNECTOR_CLASSES.contains(&class.value.trim());
    let (ours, foreign): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.get("connector.class").is_none_or(is_ours));
    let has_sink = ours.iter().any(|file| file.get("connector.class").is_some());
    let classes = || foreign.iter().filter_map(|file| file.get("connector.class"));
    if !has_sink && !foreign.is_empty() {
        let refuse = |class: &Entry| {
            let what = format!("connector `{}` is not the StarRocks sink", class.value.trim());
            let hint = format!("`connector.class` must be `{}`", CONNECTOR_CLASSES[0]);
            Problem::usage(what).at(class.place()).hint(hint)
        };
        return Err(classes().map(refuse).collect());
    }
    for class in classes() {
        let text = format!("the file of connector `{}` is left out", class.value.trim());
        notes.push(Note::warning(text).at(class.place()));
    }
    match two_names(&ours) {
        Some(problem) => Err(vec![problem]),
        None => Ok(ours),
    }
}

fn two_names(files: &[ConnectFile]) -> Option<Problem> {
    let sinks = files.iter().filter(|file| file.get("connector.class").is_some());
    let mut names = sinks.filter_map(|file| file.get("name"));
    let first = names.next()?;
    let second = names.find(|name| name.value.trim() != first.value.trim())?;
    let what = format!(
        "two connectors are given, `{}` and `{}`; one process runs one",
        first.value.trim(),
        second.value.trim()
    );
    Some(Problem::usage(what).at(first.place()).at(second.place()))
}

/// Keys that only a connection needs, with what stands in for those that must be there.
const CONNECTIONS: [(&str, &str); 12] = [
    ("bootstrap.servers", "offline:9092"),
    ("starrocks.http.url", "offline:8030"),
    ("starrocks.username", "offline"),
    ("starrocks.password", ""),
    ("consumer.", ""),
    ("producer.", ""),
    ("admin.", ""),
    ("security.protocol", ""),
    ("sasl.", ""),
    ("ssl.", ""),
    ("connect.timeoutms", ""),
    ("errors.deadletterqueue.", ""),
];

/// Takes connections out of a configuration, with the secrets they refer to, and puts names in their
/// place that nobody will look up.
fn leave_out_connections(files: &mut [ConnectFile], keys: &mut Vec<Entry>) {
    let connects = |key: &str| {
        CONNECTIONS.iter().any(|(name, _)| match name.ends_with('.') {
            true => key.starts_with(name),
            false => key == *name,
        })
    };
    for file in files.iter_mut() {
        file.entries.retain(|entry| !connects(&entry.key));
    }
    keys.retain(|entry| !connects(&entry.key));
    let required = CONNECTIONS
        .iter()
        .filter(|(name, value)| !value.is_empty() || *name == "starrocks.password");
    let stand_in = |(name, value): &(&str, &str)| Entry {
        key: (*name).to_owned(),
        value: (*value).to_owned(),
        origin: Origin::Default,
    };
    keys.extend(required.map(stand_in));
    let optional = [("name", "offline"), ("starrocks.database.name", "offline")];
    let is_said = |name: &str, keys: &[Entry]| {
        files.iter().any(|file| file.get(name).is_some())
            || keys.iter().any(|entry| entry.key == name)
    };
    for pair in optional {
        if !is_said(pair.0, keys) {
            keys.push(stand_in(&pair));
        }
    }
}

fn resolve_references(
    mut files: Vec<ConnectFile>,
    environment: &Environment<'_>,
    notes: &mut Vec<Note>,
) -> Result<Vec<ConnectFile>, Vec<Problem>> {
    let declared = |key: &str| files.iter().rev().find_map(|file| file.get(key));
    let providers = Providers::declared(declared)?;
    let mut problems = vec![];
    for entry in files.iter_mut().flat_map(|file| &mut file.entries) {
        if let Err(problem) = providers.resolve(entry, environment, notes) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}
