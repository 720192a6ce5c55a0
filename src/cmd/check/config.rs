//! What the configuration says: every key with its value and where it was said, what is wrong or
//! ignored, which files give secrets away, what of the environment is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::Reading;
use crate::config::entry::{Entry, Note, Origin, Weight};
use crate::config::keys::{self, Status};
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
        lines.push(Line::ok(Area::Config, subject, text).details(details(reading)));
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

/// Every key in force, what is not needed and why, and defaults that differ.
fn details(reading: &Reading) -> Vec<String> {
    let mut details: Vec<String> = reading.said.iter().map(|entry| said(entry, reading)).collect();
    let is_said = |name: &str| reading.said.iter().any(|entry| entry.key == name);
    for key in keys::KEYS {
        let Some(default) = key.default.filter(|default| !default.is_empty()) else { continue };
        if key.name.ends_with('*') || is_said(key.name) || matches!(key.status, Status::Ignored(_))
        {
            continue;
        }
        let java = java_default(key.name);
        details.push(format!("{} = {default} (default{java})", key.name));
    }
    let infos = reading.notes.iter().filter(|note| note.weight == Weight::Info);
    details.extend(infos.map(|note| match note.at.join(" · ") {
        at if at.is_empty() => note.text.clone(),
        at => format!("{} ({at})", note.text),
    }));
    details
}

fn said(entry: &Entry, reading: &Reading) -> String {
    let hides = keys::find(&entry.key).is_some_and(|key| key.hides(&entry.key))
        || keys::is_secret_name(&entry.key);
    let value = match reading.referred.contains(&entry.key) {
        _ if hides => "(hidden)".to_owned(),
        true => "(from its reference)".to_owned(),
        false => without_login(&entry.value),
    };
    format!("{} = {value} ({})", entry.key, entry.origin)
}

fn java_default(key: &str) -> String {
    let known = JAVA_DEFAULTS.iter().find(|(name, _)| *name == key);
    known.map(|(_, java)| format!("; the Java connector's is {java}")).unwrap_or_default()
}

/// A URL may hold a password.
fn without_login(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', ',', ' ']).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(login) => {
                out.push_str("(hidden)");
                &after[login..]
            }
            None => after,
        };
    }
    out + rest
}

/// Files that others can read and that hold a secret.
fn exposed(reading: &Reading, is_exposed: &dyn Fn(&Path) -> bool) -> Vec<Line> {
    let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let written = reading.said.iter().filter(|entry| !reading.referred.contains(&entry.key));
    for entry in written {
        let Origin::File { path, .. } = &entry.origin else { continue };
        let is_secret = keys::find(&entry.key).is_some_and(|key| key.hides(&entry.key));
        if is_secret && path != "-" && !entry.value.trim().is_empty() && is_exposed(path.as_ref()) {
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
        assert_eq!(
            without_login("http://u:p@h:1,http://h:2/x@y"),
            "http://(hidden)@h:1,http://h:2/x@y"
        );
        assert_eq!(without_login("plain:text"), "plain:text");
    }
}
