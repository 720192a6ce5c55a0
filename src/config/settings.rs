//! The entries of all files and flags, one value per key: who wins, and is the value of its type?
//!
//! Owns precedence and the checks the key table asks for, and collects every problem instead of
//! stopping at the first. What values mean together is `build.rs`'s business.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::connect::{ConnectFile, Role};
use crate::config::entry::{Entry, Note};
use crate::config::keys::{self, Status, Type};
use crate::error::Problem;

/// Effective values, with what was found wrong so far.
#[derive(Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, Ranked>,
    pub problems: Vec<Problem>,
    pub notes: Vec<Note>,
}

#[derive(Debug)]
struct Ranked {
    entry: Entry,
    side: Side,
}

/// Who said a value, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Worker,
    Connector,
    Override,
}

/// Keys a connector file says with more right than a worker file, whatever their order. Of all
/// other keys the later file's value counts.
const CONNECTOR_KEYS: [&str; 15] = [
    "name",
    "connector.class",
    "topics",
    "tasks.max",
    "starrocks.",
    "sink.",
    "bufferflush.",
    "connect.timeoutms",
    "key.converter",
    "value.converter",
    "header.converter",
    "transforms",
    "predicates",
    "starsink.",
    "errors.",
];

impl Settings {
    /// Files in the order of the command line, then what flags and environment say.
    pub fn layered(files: Vec<ConnectFile>, overrides: Vec<Entry>) -> Self {
        let of_files = files.into_iter().flat_map(|file| {
            let side = match file.role {
                Role::Worker => Side::Worker,
                Role::Connector => Side::Connector,
            };
            file.entries.into_iter().map(move |entry| Ranked { entry, side })
        });
        let of_flags = overrides.into_iter().map(|entry| Ranked { entry, side: Side::Override });
        let mut said: Vec<Ranked> = of_files.chain(of_flags).collect();
        let mut settings = Settings::default();
        for converter in ["key.converter", "value.converter", "header.converter"] {
            settings.keep_options_of(converter, &mut said);
        }
        said.into_iter().for_each(|ranked| settings.put(ranked));
        settings.note_flush_keys_of_the_worker();
        settings
    }

    fn put(&mut self, ranked: Ranked) {
        let key = keys::canonical(&ranked.entry.key).into_owned();
        let of_connector = CONNECTOR_KEYS.iter().any(|prefix| key.starts_with(prefix));
        match self.values.get(&key) {
            Some(earlier) if of_connector && earlier.side > ranked.side => {}
            _ => drop(self.values.insert(key, ranked)),
        }
    }

    /// A converter's options are read where the converter itself is named, never mixed: so does
    /// Kafka Connect.
    fn keep_options_of(&mut self, converter: &str, said: &mut Vec<Ranked>) {
        let named = said.iter().filter(|ranked| ranked.entry.key == converter);
        let Some(side) = named.map(|ranked| ranked.side).max() else { return };
        let is_option =
            |key: &str| key.strip_prefix(converter).is_some_and(|option| option.starts_with('.'));
        said.retain(|ranked| {
            let key = &ranked.entry.key;
            let is_read = !is_option(key) || ranked.side == side;
            // A worker's options beside a connector's own converter are the normal case.
            if !is_read && ranked.side == Side::Connector {
                let text = format!(
                    "`{key}` is not read: a converter's options count where `{converter}` stands"
                );
                let hint = format!("add `{converter}` to the same file");
                self.notes.push(Note::warning(text).at(ranked.entry.place()).hint(hint));
            }
            is_read
        });
    }

    /// The connector's documentation puts these keys into the worker file, where Java ignores them.
    fn note_flush_keys_of_the_worker(&mut self) {
        for key in ["bufferflush.maxbytes", "bufferflush.intervalms"] {
            let Some(ranked) = self.values.get(key) else { continue };
            if ranked.side == Side::Worker {
                let text =
                    format!("`{key}` is honoured; the Java connector ignores it in a worker file");
                self.notes.push(Note::info(text).at(ranked.entry.place()));
            }
        }
    }

    /// The effective entry of a key, if somebody said it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.values.get(key).map(|ranked| &ranked.entry)
    }

    /// As [`Settings::get`], blank values left out.
    pub fn filled(&self, key: &str) -> Option<&Entry> {
        self.get(key).filter(|entry| !entry.value.trim().is_empty())
    }

    /// Effective entries under a prefix, with the rest of their names, in alphabetical order.
    pub fn prefixed<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Entry)> + 'a {
        self.under(prefix).map(move |(key, ranked)| (&key[prefix.len()..], &ranked.entry))
    }

    fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Ranked)> + 'a {
        let from = prefix.to_owned();
        self.values.range(from..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Holds every value against its row of the key table.
    pub fn check_against_table(&mut self) {
        let mut problems = vec![];
        let mut notes = vec![];
        for (name, ranked) in &self.values {
            match keys::find(name) {
                None => notes.push(unknown(name, &ranked.entry)),
                Some(key) => match check(name, key, &ranked.entry) {
                    Verdict::Fine => {}
                    Verdict::Noted(note) => notes.push(note),
                    Verdict::Wrong(problem) => problems.push(problem),
                },
            }
        }
        self.problems.extend(problems);
        self.notes.extend(notes);
    }

    /// A key's text without blanks around it: what was said, else the table's default.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|entry| entry.value.trim()).or(keys::row(key).default)
    }

    /// A number known to be in its range, or `None` when that was reported already.
    pub fn number(&self, key: &str) -> Option<i64> {
        let Type::Integer { least, most } = keys::row(key).kind else { return None };
        parse_number(self.text(key)?, least..most.saturating_add(1))
    }

    /// The parts of a list, blanks around them dropped, empty ones left out.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.text(key).map(split_list).unwrap_or_default()
    }

    /// The entry of a key that must be there; reports it missing with `hint` otherwise.
    pub fn required(&mut self, key: &'static str, hint: &str) -> Option<Entry> {
        if let Some(entry) = self.filled(key) {
            return Some(entry.clone());
        }
        let problem = match self.get(key) {
            Some(entry) => Problem::usage(format!("`{key}` is empty")).at(entry.place()),
            None => Problem::usage(format!("`{key}` is missing")),
        };
        self.problems.push(problem.hint(hint));
        None
    }
}

/// The non-empty parts of a Kafka list.
pub fn split_list(text: &str) -> Vec<String> {
    java_list(text).into_iter().filter(|part| !part.is_empty()).collect()
}

/// Kafka's own rule for lists: empty parts and a trailing one are kept, a blank text is no part.
pub fn java_list(text: &str) -> Vec<String> {
    match text.trim() {
        "" => vec![],
        text => text.split(',').map(|part| part.trim().to_owned()).collect(),
    }
}

fn parse_number(text: &str, range: Range<i64>) -> Option<i64> {
    text.trim().parse().ok().filter(|number| range.contains(number) || *number == i64::MAX)
}

enum Verdict {
    Fine,
    Noted(Note),
    Wrong(Problem),
}

fn unknown(name: &str, entry: &Entry) -> Note {
    let note = Note::warning(format!("unknown key `{name}` has no effect")).at(entry.place());
    match keys::did_you_mean(name) {
        Some(known) => note.hint(format!("did you mean `{known}`?")),
        None => note,
    }
}

fn check(name: &str, key: &keys::Key, entry: &Entry) -> Verdict {
    let value = entry.value.trim();
    match key.status {
        Status::Ignored(why) => {
            Verdict::Noted(Note::info(format!("`{name}` is not needed: {why}")).at(entry.place()))
        }
        Status::Refused(instead) => {
            let what = format!("`{name}` cannot be set");
            Verdict::Wrong(Problem::usage(what).at(entry.place()).hint(instead))
        }
        Status::Honoured | Status::Translated => match expected(key.kind, value) {
            None => Verdict::Fine,
            Some(expected) => {
                let what = format!("`{name}` must be {expected}, not `{value}`");
                Verdict::Wrong(Problem::usage(what).at(entry.place()))
            }
        },
    }
}

/// What a value of this type looks like, if this one does not.
fn expected(kind: Type, value: &str) -> Option<String> {
    match kind {
        Type::Text | Type::Password | Type::List | Type::Class => None,
        Type::Boolean => {
            let is_boolean = ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word));
            (!is_boolean).then(|| "`true` or `false`".to_owned())
        }
        Type::OneOf(values) => {
            let known = values.iter().any(|known| value.eq_ignore_ascii_case(known));
            (!known).then(|| choice(values))
        }
        Type::Integer { least, most } => {
            let range = least..most.saturating_add(1);
            parse_number(value, range).is_none().then(|| match most {
                i64::MAX => format!("a whole number from {least}"),
                _ => format!("a whole number from {least} to {most}"),
            })
        }
    }
}

/// "`a`, `b` or `c`".
pub fn choice(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
