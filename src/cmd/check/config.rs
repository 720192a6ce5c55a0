//! What the configuration says: every key with its value and where it was said, what is wrong or
//! ignored, which files give secrets away, what of the environment is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::config::entry::{Entry, Note, Origin, Weight};
use crate::config::job::{Extent, Job, Retries, Start, Until};
use crate::config::keys::{self, Status};
use crate::config::{DEFAULT_LOADS, DEFAULT_MEMORY_BYTES, OnError, Overrides, Reading};
use crate::report::units::bytes;
use crate::verdict::{Area, Line};

/// Defaults that the Java connector's code has, where its documentation says something else.
const JAVA_DEFAULTS: [(&str, &str); 4] = [
    ("bufferflush.maxbytes", "67108864; its documentation says 94371840"),
    ("connect.timeoutms", "100; its documentation says 1000"),
    ("bufferflush.intervalms", "1000; its older documentation says 300000"),
    ("sink.maxretries", "3; its documentation leaves the key out"),
];

/// Variables with which other programs are sent through a proxy.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

/// One line a problem, a warning, and what else is worth one.
pub(super) fn lines(
    reading: &Reading,
    files: &[String],
    flags: &[Flag],
    vars: &BTreeMap<String, String>,
    is_exposed: &dyn Fn(&Path) -> bool,
) -> Vec<Line> {
    let mut lines = vec![];
    let subject = match files {
        [] => "flags".to_owned(),
        [one] => file_name(one).to_owned(),
        [first, others @ ..] => format!("{} + {}", file_name(first), others.len()),
    };
    if reading.problems.is_empty() {
        let keys = reading.said.len();
        let text = match &reading.job {
            Some(job) => format!("connector `{}`, {keys} keys", job.name),
            None => format!("{keys} keys"),
        };
        lines.push(Line::ok(Area::Config, subject, text).details(details(
            reading,
            reading.job.as_ref(),
            flags,
        )));
    }
    lines.extend(reading.problems.iter().map(|p| Line::problem(Area::Config, place(&p.at), p)));
    let warnings = reading.notes.iter().filter(|note| note.weight == Weight::Warning);
    lines.extend(warnings.map(warning));
    lines.extend(exposed(reading, is_exposed));
    lines.extend(proxy(vars));
    lines
}

fn warning(note: &Note) -> Line {
    let line = Line::warn(Area::Config, place(&note.at), note.text.clone());
    let line = note.at.iter().fold(line, Line::at);
    note.hint.iter().fold(line, Line::hint)
}

/// What a line about the configuration is about: the key, where there is one.
fn place(at: &[String]) -> String {
    let key = at.first().and_then(|place| place.split('`').nth(1));
    key.map_or_else(|| "configuration".to_owned(), |key| format!("`{key}`"))
}

fn file_name(path: &str) -> &str {
    match path {
        "-" => "standard input",
        path => Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path),
    }
}

/// Every key in force, what flags say beside keys, what is not needed and why, and defaults that differ.
fn details(reading: &Reading, job: Option<&Job>, flags: &[Flag]) -> Vec<String> {
    let mut details: Vec<String> =
        reading.said.iter().map(|entry| said(entry, reading, flags)).collect();
    let is_said = |name: &str| reading.said.iter().any(|entry| names(&entry.key, name));
    let by_flag = |name: &str| flags.iter().any(|flag| flag.replaces == Some(name));
    for key in keys::KEYS {
        let Some(default) = key.default.filter(|default| !default.is_empty()) else { continue };
        let is_needless = key.name.ends_with('*') || matches!(key.status, Status::Ignored(_));
        if is_needless || is_said(key.name) || by_flag(key.name) {
            continue;
        }
        let java = java_default(key.name);
        details.push(format!("{} = {default} (default{java})", key.name));
    }
    if job.is_some_and(|job| job.max_retries == Retries::Unsaid) {
        let java = java_default("sink.maxretries");
        let most = Retries::OF_LOAD;
        details.push(format!("sink.maxretries = {most} in `load`, -1 in `tail` (default{java})"));
    }
    details.extend(flags.iter().map(|flag| flag.to_string()));
    let infos = reading.notes.iter().filter(|note| note.weight == Weight::Info);
    details.extend(infos.map(|note| match note.at.join(" · ") {
        at if at.is_empty() => note.text.clone(),
        at => format!("{} ({at})", note.text),
    }));
    details
}

/// Prefixes of the consumer's keys, the stronger one first.
const CONSUMER: [&str; 2] = ["consumer.override.", "consumer."];

/// Whether a key is this one, with or without a prefix of the consumer's.
fn names(key: &str, name: &str) -> bool {
    key == name || CONSUMER.iter().any(|prefix| key.strip_prefix(prefix) == Some(name))
}

fn said(entry: &Entry, reading: &Reading, flags: &[Flag]) -> String {
    let value = match keys::find(&entry.key) {
        _ if keys::is_secret(&entry.key) => "(hidden)".to_owned(),
        None => "(not shown: the key is unknown)".to_owned(),
        Some(_) if reading.referred.contains(&entry.key) => "(from its reference)".to_owned(),
        Some(_) => without_login(&entry.value),
    };
    let mut place = entry.origin.to_string();
    if let Some(stronger) = stronger(&entry.key, reading, flags) {
        place.push_str(&format!("; not used, {stronger}"));
    }
    format!("{} = {value} ({place})", entry.key)
}

/// What takes a key's place, though it is said.
fn stronger(key: &str, reading: &Reading, flags: &[Flag]) -> Option<String> {
    if let Some(flag) = flags.iter().find(|flag| flag.replaces == Some(key)) {
        return Some(format!("`{}` is stronger", flag.name));
    }
    let is_said = |name: &str| reading.said.iter().any(|entry| entry.key == name);
    if let Some(name) = key.strip_prefix(CONSUMER[1]).filter(|_| !key.starts_with(CONSUMER[0])) {
        let other = format!("{}{name}", CONSUMER[0]);
        return is_said(&other).then(|| format!("`{other}` is stronger"));
    }
    if !is_security(key) {
        return None;
    }
    let consumer = |entry: &&Entry| {
        CONSUMER.iter().any(|prefix| entry.key.strip_prefix(prefix).is_some_and(is_security))
    };
    let other = reading.said.iter().find(consumer)?;
    Some(format!("`{}` stands for all of the consumer's security", other.key))
}

/// How brokers are spoken to: without a prefix for a run that says none with one.
fn is_security(name: &str) -> bool {
    name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.")
}

/// What a flag says, or would say.
pub(super) struct Flag {
    name: &'static str,
    value: String,
    is_default: bool,
    /// The key whose value it takes the place of.
    replaces: Option<&'static str>,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = if self.is_default { "default" } else { "flag" };
        write!(f, "{} = {} ({origin})", self.name, self.value)
    }
}

/// The flags that decide what is loaded and how, where no line of its own shows them.
pub(super) fn flags(overrides: &Overrides, extent: &Extent) -> Vec<Flag> {
    let flag =
        |name, value: String, is_default, replaces| Flag { name, value, is_default, replaces };
    let mut flags = vec![
        flag("--loads", overrides.loads.to_string(), overrides.loads == DEFAULT_LOADS, None),
        flag(
            "--memory",
            bytes(overrides.memory_bytes),
            overrides.memory_bytes == DEFAULT_MEMORY_BYTES,
            None,
        ),
    ];
    let (start, until, most) = match extent {
        Extent::Until(bounds) => (bounds.start, Some(bounds.until), bounds.max_messages),
        Extent::Forever { start, .. } => (*start, None, None),
    };
    flags.push(flag("-o", words_of_start(start), start == Start::Stored, None));
    if let Some(until) = until {
        flags.push(flag("--until", words_of_until(until), until == Until::Now, None));
    }
    flags.extend(most.map(|most| flag("-c", most.to_string(), false, None)));
    if let Some(most) = overrides.flush_bytes {
        flags.push(flag("--flush-bytes", bytes(most), false, Some("bufferflush.maxbytes")));
    }
    if let Some(time) = overrides.flush_interval {
        let time = format!("{} ms", time.as_millis());
        flags.push(flag("--flush-interval", time, false, Some("bufferflush.intervalms")));
    }
    if let Some(on_error) = overrides.on_error {
        let word = match on_error {
            OnError::Stop => "stop",
            OnError::Skip => "skip",
            OnError::Dlq => "dlq",
        };
        flags.push(flag("--on-error", word.to_owned(), false, Some("errors.tolerance")));
    }
    if let Some(dlq) = &overrides.dlq {
        let key = "errors.deadletterqueue.topic.name";
        flags.push(flag("--dlq", dlq.clone(), false, Some(key)));
    }
    flags.extend(overrides.group.iter().map(|group| flag("-G", group.clone(), false, None)));
    flags.extend(overrides.kafka.iter().map(|(name, value)| {
        let value = if keys::is_secret(name) { "(hidden)" } else { value };
        flag("-X", format!("{name}={value}"), false, None)
    }));
    flags
}

fn words_of_start(start: Start) -> String {
    match start {
        Start::Stored => "stored".to_owned(),
        Start::Beginning => "beginning".to_owned(),
        Start::End => "end".to_owned(),
        Start::At(offset) => offset.to_string(),
        Start::Last(count) => format!("-{count}"),
        Start::Time(ms) => format!("s@{ms}"),
    }
}

fn words_of_until(until: Until) -> String {
    match until {
        Until::Now => "now".to_owned(),
        Until::At(offset) => offset.to_string(),
        Until::Time(ms) => format!("e@{ms}"),
    }
}

fn java_default(key: &str) -> String {
    let known = JAVA_DEFAULTS.iter().find(|(name, _)| *name == key);
    known.map(|(_, java)| format!("; the Java connector's is {java}")).unwrap_or_default()
}

/// A value without what may be a login or a query: passwords and tokens stand there, and may hold any
/// letter, commas too, so of a list with a login only what follows the last `@` is shown.
fn without_login(value: &str) -> String {
    const HIDDEN: &str = "(hidden)";
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), value),
    };
    let is_url = !scheme.is_empty();
    let (login, rest) = match rest.rsplit_once('@') {
        // Which of both the `@` belongs to, nobody can say.
        Some((before, _)) if is_url && before.contains('?') => {
            return format!("{scheme}{HIDDEN}");
        }
        Some((before, host)) if is_url || before.contains(':') => (format!("{HIDDEN}@"), host),
        _ => (String::new(), rest),
    };
    match rest.split_once('?').filter(|_| is_url) {
        Some((address, _)) => format!("{scheme}{login}{address}?{HIDDEN}"),
        None => format!("{scheme}{login}{rest}"),
    }
}

/// Files that others can read and that hold a secret.
fn exposed(reading: &Reading, is_exposed: &dyn Fn(&Path) -> bool) -> Vec<Line> {
    let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let written = reading.said.iter().filter(|entry| !reading.referred.contains(&entry.key));
    for entry in written {
        let Origin::File { path, .. } = &entry.origin else { continue };
        if keys::is_secret(&entry.key)
            && path != "-"
            && !entry.value.trim().is_empty()
            && is_exposed(path.as_ref())
        {
            files.entry(path).or_default().insert(&entry.key);
        }
    }
    let line = |(path, keys): (&str, BTreeSet<&str>)| {
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let text = format!("other users can read it, and it holds {}", keys.join(", "));
        Line::warn(Area::Config, file_name(path), text).hint(format!("`chmod 600 {path}`"))
    };
    files.into_iter().map(line).collect()
}

fn proxy(vars: &BTreeMap<String, String>) -> Option<Line> {
    let set =
        PROXIES.iter().find(|name| vars.get(**name).is_some_and(|value| !value.is_empty()))?;
    let text = format!("`{set}` is set and not used: FE and BE are spoken to directly");
    Some(Line::ok(Area::Config, "proxy", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_an_address_is_not_shown() {
        for (value, shown) in [
            ("http://h:1,https://h:2/x", "http://h:1,https://h:2/x"),
            ("http://u:p@h:1,http://v:q@h:2", "http://(hidden)@h:2"),
            ("http://u:p/w77@h:1", "http://(hidden)@h:1"),
            ("http://u:p,w77@h:1", "http://(hidden)@h:1"),
            ("http://u:p@w77@h:1", "http://(hidden)@h:1"),
            ("http://u:p://w77@h:1", "http://(hidden)@h:1"),
            ("http://u:p#w77@h:1", "http://(hidden)@h:1"),
            ("http://u:p?w77@h:1", "http://(hidden)"),
            ("u:p,w77@h:9092", "(hidden)@h:9092"),
            ("http://h/x?token=s77,t", "http://h/x?(hidden)"),
            ("http://h?token=s@77", "http://(hidden)"),
            ("me@home", "me@home"),
        ] {
            assert_eq!(without_login(value), shown);
        }
        assert_eq!(without_login("plain:text"), "plain:text");
    }
}
