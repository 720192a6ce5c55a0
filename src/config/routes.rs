//! `starrocks.topic2table.map` and `--map`: which topic goes to which table. Owns the syntax; where
//! Java ignores a malformed map and loads into tables named like the topics, this refuses it.

use crate::config::entry::{Entry, Note};
use crate::config::job::{Routes, Topics};
use crate::config::keys;
use crate::config::settings::Settings;
use crate::error::Problem;

/// Reads the files' map, then the flags', which win.
pub(super) fn read(settings: &mut Settings, flags: &[Entry], topics: Option<&Topics>) -> Routes {
    let mut map: Vec<(String, String)> = vec![];
    let of_files = settings.get("starrocks.topic2table.map").cloned();
    for entry in of_files.iter().chain(flags) {
        match parse(entry) {
            Ok(pairs) => {
                map.retain(|(topic, _)| pairs.iter().all(|(newer, _)| newer != topic));
                settings.notes.extend(pairs.iter().filter_map(|pair| unused(pair, topics, entry)));
                map.extend(pairs);
            }
            Err(problem) => settings.problems.push(problem),
        }
    }
    Routes { map }
}

const FORM: &str = "the form is `TOPIC:TABLE,TOPIC:TABLE`";

fn parse(entry: &Entry) -> Result<Vec<(String, String)>, Problem> {
    let text = entry.value.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    let mut pairs: Vec<(String, String)> = vec![];
    for part in text.split(',').map(str::trim) {
        let (topic, table) = pair(part).map_err(|what| wrong(what, entry))?;
        if pairs.iter().any(|(known, _)| *known == topic) {
            return Err(wrong(format!("topic `{topic}` is mapped twice"), entry));
        }
        pairs.push((topic, table));
    }
    Ok(pairs)
}

fn wrong(what: String, entry: &Entry) -> Problem {
    Problem::usage(what).at(entry.place()).hint(FORM)
}

fn pair(part: &str) -> Result<(String, String), String> {
    if part.is_empty() {
        return Err("the map of topics has an empty part".to_owned());
    }
    let malformed = || format!("`{part}` is not a topic and a table");
    let (topic, table) = part.split_once(':').ok_or_else(malformed)?;
    let (topic, table) = (topic.trim(), table.trim());
    if topic.is_empty() || table.is_empty() || table.contains(':') {
        return Err(malformed());
    }
    if table.contains('.') {
        return Err(format!(
            "`{table}` names a database: one run loads one, `starrocks.database.name`"
        ));
    }
    if table.contains(char::is_whitespace) {
        return Err(format!("`{table}` is not a table's name"));
    }
    Ok((topic.to_owned(), table.to_owned()))
}

/// A mapped topic that is not loaded is likely a slip of the pen; without `topics` nobody knows.
fn unused((topic, _): &(String, String), topics: Option<&Topics>, entry: &Entry) -> Option<Note> {
    let note = Note::warning(format!("topic `{topic}` is mapped and not among the topics to load"))
        .at(entry.place());
    match topics? {
        Topics::Named(names) if names.contains(topic) => None,
        Topics::Named(names) => {
            Some(match keys::nearest(topic, names.iter().map(String::as_str)) {
                Some(name) => note.hint(format!("did you mean `{name}`?")),
                None => note,
            })
        }
        Topics::Matching(pattern) => (!pattern.is_match(topic)).then_some(note),
    }
}
