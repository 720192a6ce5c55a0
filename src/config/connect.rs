//! The files Kafka Connect takes: `.properties`, a flat JSON object, or the REST body
//! `{"name","config"}`. Told apart by content, because names lie: the documentation itself puts the
//! REST body into a `.properties` file.
//!
//! Owns the file forms and the question whether a file describes a worker or a connector. It knows
//! no key's meaning and reads no disk.

use serde_json::{Map, Value};

use crate::config::entry::{Entry, Note, Origin};
use crate::config::properties::{self, Charset};
use crate::error::Problem;

/// What a file describes. One that holds both counts as a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Worker,
    Connector,
}

/// One file, read.
#[derive(Debug)]
pub struct ConnectFile {
    /// As given on the command line; `-` is standard input.
    pub path: String,
    pub role: Role,
    /// In file order; the last of equal keys wins.
    pub entries: Vec<Entry>,
}

impl ConnectFile {
    /// The last value of `key`.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }
}

/// Reads one file's bytes.
pub fn parse(path: &str, bytes: &[u8], notes: &mut Vec<Note>) -> Result<ConnectFile, Problem> {
    let entries = match json_text(bytes) {
        Some(text) => parse_json(path, text)?,
        None => parse_properties(path, bytes, notes)?,
    };
    let role = role(&entries);
    Ok(ConnectFile { path: path.to_owned(), role, entries })
}

/// Keys that make a file a connector's.
const CONNECTOR_KEYS: [&str; 4] = ["connector.class", "name", "topics", "topics.regex"];

fn role(entries: &[Entry]) -> Role {
    let is_connector = |entry: &Entry| {
        CONNECTOR_KEYS.contains(&entry.key.as_str()) || entry.key.starts_with("starrocks.")
    };
    if entries.iter().any(is_connector) { Role::Connector } else { Role::Worker }
}

fn parse_properties(
    path: &str,
    bytes: &[u8],
    notes: &mut Vec<Note>,
) -> Result<Vec<Entry>, Problem> {
    let origin = |line| Origin::File { path: path.to_owned(), line: Some(line) };
    let parsed = properties::parse(bytes).map_err(|bad| {
        Problem::usage(format!("`{}` is no Unicode escape", bad.escape))
            .cause("`\\u` must be followed by four hexadecimal digits")
            .at(origin(bad.line).to_string())
            .hint("write a backslash twice to keep it: `\\\\u`")
    })?;
    if let Some(pair) = parsed.first_beyond_ascii() {
        let text = match parsed.charset {
            Charset::Utf8 => "read as UTF-8, while Kafka Connect reads ISO-8859-1",
            Charset::Latin1 => "read as ISO-8859-1, for the file is not UTF-8",
        };
        let place =
            Entry { key: pair.key.clone(), value: String::new(), origin: origin(pair.line) };
        notes.push(Note::warning(format!("letters outside ASCII were {text}")).at(place.place()));
    }
    let entry = |pair: properties::Pair| Entry {
        key: pair.key,
        value: pair.value,
        origin: origin(pair.line),
    };
    Ok(parsed.pairs.into_iter().map(entry).collect())
}

/// The text, if it is an object's: no `.properties` line of use begins with a brace.
fn json_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_start().starts_with('{').then_some(text)
}

fn parse_json(path: &str, text: &str) -> Result<Vec<Entry>, Problem> {
    let file = JsonFile { path, text };
    let object: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
        Problem::usage(format!("{} is not valid JSON", file.origin(None)))
            .cause(reason)
            .at(format!("{}:{}", file.origin(Some(error.line() as u32)), error.column()))
    })?;
    if let (Some(_), Some(Value::String(message))) =
        (object.get("error_code"), object.get("message"))
    {
        let what =
            format!("{} holds an error of Kafka Connect, not a connector", file.origin(None));
        return Err(Problem::usage(what).cause(message.clone()));
    }
    match object.get("config") {
        Some(Value::Object(config)) => file.rest_body(&object, config),
        _ => file.flat(&object),
    }
}

/// A JSON text with the means to say where a member stands.
struct JsonFile<'a> {
    path: &'a str,
    text: &'a str,
}

impl JsonFile<'_> {
    fn origin(&self, line: Option<u32>) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }

    /// `{"name","config":{…}}`, also with what `GET /connectors/NAME` adds (`tasks`, `type`).
    fn rest_body(
        &self,
        body: &Map<String, Value>,
        config: &Map<String, Value>,
    ) -> Result<Vec<Entry>, Problem> {
        let mut entries = self.flat(config)?;
        let Some(Value::String(name)) = body.get("name") else { return Ok(entries) };
        match entries.iter().find(|entry| entry.key == "name") {
            Some(inner) if inner.value != *name => {
                let text =
                    format!("`name` is `{name}` outside `config` and `{}` in it", inner.value);
                Err(Problem::usage(text).at(inner.place()))
            }
            Some(_) => Ok(entries),
            None => {
                entries.insert(0, self.entry("name", name.clone()));
                Ok(entries)
            }
        }
    }

    /// Scalars become text, as Kafka Connect has it; null means not set.
    fn flat(&self, object: &Map<String, Value>) -> Result<Vec<Entry>, Problem> {
        let mut entries = vec![];
        for (key, value) in object {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(Problem::usage(format!(
                        "`{key}` must be text, a number or a boolean"
                    ))
                    .at(self.entry(key, String::new()).place())
                    .hint("expected is a flat object, or `{\"name\": …, \"config\": {…}}`"));
                }
            };
            entries.push(self.entry(key, text));
        }
        Ok(entries)
    }

    fn entry(&self, key: &str, value: String) -> Entry {
        Entry { key: key.to_owned(), value, origin: self.origin(self.line_of(key)) }
    }

    /// The line of the last member of this name. Searched for, because the parsed tree carries no
    /// positions; a text value that looks the same is told apart by the colon.
    fn line_of(&self, key: &str) -> Option<u32> {
        let quoted = Value::from(key).to_string();
        let is_member =
            |&(at, _): &(usize, &str)| self.text[at + quoted.len()..].trim_start().starts_with(':');
        let (at, _) = self.text.match_indices(quoted.as_str()).filter(is_member).last()?;
        Some(1 + self.text[..at].bytes().filter(|&byte| byte == b'\n').count() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ConnectFile, Problem> {
        parse("f", text.as_bytes(), &mut vec![])
    }

    #[track_caller]
    fn check(text: &str, role: Role, expect: &[(&str, &str, &str)]) {
        let file = read(text).expect("the file is well formed");
        let found: Vec<_> = file
            .entries
            .iter()
            .map(|e| (e.key.as_str(), e.value.as_str(), e.origin.to_string()))
            .collect();
        let expect: Vec<_> = expect.iter().map(|&(k, v, o)| (k, v, o.to_owned())).collect();
        assert_eq!((file.role, found), (role, expect));
    }

    #[track_caller]
    fn check_error(text: &str, what: &str, at: &str) {
        let problem = read(text).expect_err("the file is malformed");
        assert_eq!((problem.what.as_str(), problem.at.join(" · ").as_str()), (what, at));
    }

    #[test]
    fn a_flat_object_gives_text_whatever_its_scalars() {
        check(
            "{\"name\": \"n\",\n \"tasks.max\": 2,\n \"x\": true, \"y\": null}",
            Role::Connector,
            &[("name", "n", "f:1"), ("tasks.max", "2", "f:2"), ("x", "true", "f:3")],
        );
    }

    #[test]
    fn a_rest_body_is_its_config_with_the_outer_name() {
        let body = "\n{\"name\": \"n\",\n\"config\": {\n\"topics\": \"t\"},\n\"tasks\": [], \"type\": \"sink\"}";
        check(body, Role::Connector, &[("name", "n", "f:2"), ("topics", "t", "f:4")]);
    }

    #[test]
    fn a_worker_file_is_one_without_any_connector_key() {
        check(
            "bootstrap.servers = k:9092\n",
            Role::Worker,
            &[("bootstrap.servers", "k:9092", "f:1")],
        );
        check(
            "bootstrap.servers=k\nstarrocks.username=u",
            Role::Connector,
            &[("bootstrap.servers", "k", "f:1"), ("starrocks.username", "u", "f:2")],
        );
    }

    #[test]
    fn an_error_answer_of_kafka_connect_is_not_taken_for_a_connector() {
        let answer = "{\"error_code\":404,\"message\":\"Connector x not found\"}";
        check_error(answer, "f holds an error of Kafka Connect, not a connector", "");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_line() {
        check_error("{\"a\": 1,\n}", "f is not valid JSON", "f:2:1");
        check_error("{\n\"a\": [1]}", "`a` must be text, a number or a boolean", "f:2 `a`");
        check_error("a=\\u12", "`\\u12` is no Unicode escape", "f:1");
        check_error(
            "{\"name\": \"a\", \"config\": {\"name\": \"b\"}}",
            "`name` is `a` outside `config` and `b` in it",
            "f:1 `name`",
        );
    }
}
