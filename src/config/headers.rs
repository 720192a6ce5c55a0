//! `sink.properties.*` and `-H`: what becomes Stream Load headers, and how rows are delimited.
//!
//! Owns the delimiter syntax and the headers the program sets by itself. What a header means is
//! StarRocks' business.

use crate::config::entry::{Entry, Note};
use crate::config::job::{Body, Compression, Format};
use crate::config::keys::{self, Status};
use crate::config::settings::Settings;
use crate::config::stream_load;
use crate::error::Problem;

/// Headers that the loader writes by itself, from typed fields.
const OURS: [&str; 4] = ["format", "compression", "strip_outer_array", "ignore_json_size"];

/// Headers whose value is a delimiter; written in hexadecimal where HTTP cannot carry the letters.
const DELIMITERS: [&str; 2] = ["row_delimiter", "column_separator"];

/// The headers of every load, in alphabetical order. Refused ones were reported with the key table.
pub(super) fn read(settings: &mut Settings) -> Vec<(String, String)> {
    let entries: Vec<(String, Entry)> = settings
        .prefixed("sink.properties.")
        .filter(|(name, _)| !OURS.contains(name))
        .map(|(name, entry)| (name.to_owned(), entry.clone()))
        .collect();
    entries.iter().filter_map(|(name, entry)| header(settings, name, entry)).collect()
}

/// Headers that concern a whole run: its rows are made and cut in one way.
const OF_THE_RUN: [&str; 5] =
    ["row_delimiter", "format", "compression", "strip_outer_array", "ignore_json_size"];

/// Headers of single tables, `sink.table.TABLE.properties.HEADER`: (table, name, value).
pub(super) fn of_tables(settings: &mut Settings) -> Vec<(String, String, String)> {
    let entries: Vec<(String, Entry)> = settings
        .prefixed("sink.table.")
        .map(|(rest, entry)| (rest.to_owned(), entry.clone()))
        .collect();
    let mut headers = vec![];
    for (rest, entry) in entries {
        let Some((table, name)) = rest.split_once(".properties.") else {
            let what = format!("`{}` names no header of a table", entry.key);
            let hint = "the form is `sink.table.TABLE.properties.HEADER`";
            settings.problems.push(Problem::usage(what).at(entry.place()).hint(hint));
            continue;
        };
        let name = name.to_ascii_lowercase();
        let general = format!("sink.properties.{name}");
        let refused = match keys::find(&general).map(|key| key.status) {
            _ if OF_THE_RUN.contains(&name.as_str()) => {
                Some(format!("set `{general}`: it is the same for all tables"))
            }
            Some(Status::Refused(instead)) => Some(instead.to_owned()),
            _ => None,
        };
        if let Some(hint) = refused {
            let what = format!("`{}` cannot be set for one table", entry.key);
            settings.problems.push(Problem::usage(what).at(entry.place()).hint(hint));
            continue;
        }
        let header = header(settings, &name, &entry);
        headers.extend(header.map(|(name, value)| (table.to_owned(), name, value)));
    }
    headers
}

/// StarRocks updates some of the columns only if `columns` names them, the key among them: without it
/// every such load is refused.
pub(super) fn partial_updates(
    settings: &mut Settings,
    general: &[(String, String)],
    own: &[(String, String, String)],
) {
    let is =
        |name: &str, value: &str| name == "partial_update" && value.eq_ignore_ascii_case("true");
    // Tables that name their columns may be all there are.
    let names_columns = general.iter().any(|(name, _)| name == "columns");
    let general = general.iter().any(|(name, value)| is(name, value))
        && own.iter().all(|(_, name, _)| name != "columns");
    let mut lacking: Vec<String> = own
        .iter()
        .filter(|(_, name, value)| is(name, value))
        .filter(|(table, ..)| !own.iter().any(|(of, name, _)| of == table && name == "columns"))
        .map(|(table, ..)| format!("sink.table.{table}.properties."))
        .collect();
    lacking.extend(general.then(|| "sink.properties.".to_owned()));
    for prefix in lacking.iter().filter(|_| !names_columns) {
        let key = format!("{prefix}partial_update");
        let problem = Problem::usage(format!("`{key}` needs `{prefix}columns`"))
            .cause(
                "StarRocks updates the columns that are named there, and refuses the load without",
            )
            .hint("name the key columns and those that the rows have; each row must have them all");
        let place = settings.get(&key).map(Entry::place);
        settings.problems.push(place.into_iter().fold(problem, Problem::at));
    }
}

/// One header as it can be sent, or the reason why not in `settings.problems`.
fn header(settings: &mut Settings, name: &str, entry: &Entry) -> Option<(String, String)> {
    settings.notes.extend(stream_load::unknown(name).map(|(text, hint)| {
        let note = Note::warning(text).at(entry.place());
        hint.into_iter().fold(note, Note::hint)
    }));
    let value = if DELIMITERS.contains(&name) {
        settings.notes.extend(lost_backslash(entry));
        portable(&entry.value)
    } else {
        entry.value.trim().to_owned()
    };
    if let Some(what) = illegal(name, &value) {
        settings.problems.push(Problem::usage(what).at(entry.place()));
        return None;
    }
    Some((name.to_owned(), value))
}

fn illegal(name: &str, value: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some(format!("`{name}` is not a header's name"));
    }
    let control = value.chars().any(char::is_control);
    control.then(|| format!("header `{name}` holds a line break or another control character"))
}

/// A delimiter as a header can carry it.
fn portable(value: &str) -> String {
    let text = unescaped(value);
    if text.trim() != text || text.chars().any(char::is_control) {
        text.bytes().fold("\\x".to_owned(), |hex, byte| format!("{hex}{byte:02X}"))
    } else {
        text
    }
}

/// Two-letter escapes that people write in JSON and that StarRocks' versions read differently.
fn unescaped(value: &str) -> String {
    value.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")
}

/// `\x01` in a `.properties` file is read as `x01`.
fn lost_backslash(entry: &Entry) -> Option<Note> {
    let hex = entry.value.strip_prefix(['x', 'X'])?;
    let is_hex =
        !hex.is_empty() && hex.len() % 2 == 0 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| {
        let text = format!("`{}` is read as plain letters", entry.value);
        let hint =
            format!("a `.properties` file drops a single backslash: write `\\\\{}`", entry.value);
        Note::warning(text).at(entry.place()).hint(hint)
    })
}

/// The bytes between rows, from `row_delimiter`.
pub(super) fn row_delimiter(settings: &mut Settings) -> Vec<u8> {
    let Some(entry) = settings.get("sink.properties.row_delimiter") else { return vec![b'\n'] };
    match delimiter(&entry.value) {
        Ok(bytes) => bytes,
        Err(cause) => {
            let what = format!("`{}` is not a delimiter", entry.value);
            let problem = Problem::usage(what).cause(cause).at(entry.place());
            settings
                .problems
                .push(problem.hint("write `\\x01` or `\\x0D0A`, or the letters themselves"));
            vec![b'\n']
        }
    }
}

/// A delimiter's bytes: hexadecimal after `\x` or `0x`, else the letters themselves.
pub(super) fn delimiter(value: &str) -> Result<Vec<u8>, &'static str> {
    let hex = ["\\x", "\\X", "0x", "0X"].iter().find_map(|prefix| value.strip_prefix(prefix));
    let Some(hex) = hex else {
        return match unescaped(value) {
            text if text.is_empty() => Err("it is empty"),
            text => Ok(text.into_bytes()),
        };
    };
    if hex.is_empty() {
        return Err("no hexadecimal digits follow");
    }
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.ok_or("the prefix must be followed by hexadecimal digits only")?;
    if digits.len() % 2 == 1 {
        return Err("the number of hexadecimal digits must be even");
    }
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if bytes.is_ascii() {
        Ok(bytes)
    } else {
        Err("StarRocks reads bytes above 7F differently by version")
    }
}

/// `json` or `csv` bodies, and which converter's values go into them.
pub(super) fn format(settings: &mut Settings) -> Format {
    let format = settings.text("sink.properties.format").unwrap_or_default().to_ascii_lowercase();
    if format != "csv" {
        return Format { body: Body::Json };
    }
    Format { body: Body::Csv { row_delimiter: row_delimiter(settings) } }
}

/// `sink.properties.compression`; a name StarRocks' loader here cannot write was reported before.
pub(super) fn compression(settings: &Settings) -> Compression {
    let name = settings.text("sink.properties.compression").unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "lz4_frame" => Compression::Lz4Frame,
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    }
}
