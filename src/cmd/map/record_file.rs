//! Records from a file, for mapping without Kafka: bare values, one a line or one a file, or records as
//! `kcat -J` prints them and as dead letters are written.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::error::{Kind, Problem};
use crate::kafka::sample::{Headers, Sampled};
use crate::record::Offset;

/// Reads one file. `topic`: where bare values come from; `first`: the offset of the first of them.
pub(super) fn read(
    name: &str,
    bytes: &[u8],
    topic: Option<&Arc<str>>,
    first: u64,
) -> Result<Vec<Sampled>, Problem> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if let Some(line) = record_with_bytes(bytes) {
        let what = format!("`{name}` holds a record whose key or value is no text");
        return Err(Problem::new(Kind::Usage, what)
            .cause("`kcat -J` writes such bytes as they are, and not as JSON")
            .at(format!("{name}:{line}"))
            .hint("write them as `{\"base64\": \"…\"}`, as dead letters do, or give the value alone, one a file"));
    }
    let mut records = vec![];
    for (line, text) in parts(bytes) {
        let at = Offset(first + records.len() as u64);
        let wrong = |what: String| {
            Problem::new(Kind::Usage, format!("`{name}` holds a record that cannot be read"))
                .cause(what)
                .at(format!("{name}:{line}"))
        };
        let record = match whole_record(text) {
            Some(members) => of_members(&members, at).map_err(wrong)?,
            None => {
                let topic = topic.ok_or_else(|| {
                    wrong("a bare value does not say its topic".to_owned())
                        .hint("name one topic with `-t`, or write records as `kcat -J` does")
                })?;
                bare(Arc::clone(topic), at, text)
            }
        };
        records.push(record);
    }
    Ok(records)
}

/// What some editors put before text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first line that is a record as `kcat -J` prints it, but for bytes that are no text.
fn record_with_bytes(bytes: &[u8]) -> Option<usize> {
    let is_one = |line: &[u8]| {
        std::str::from_utf8(line).is_err()
            && whole_record(String::from_utf8_lossy(line).as_bytes()).is_some()
    };
    bytes.split(|&byte| byte == b'\n').position(is_one).map(|at| at + 1)
}

/// Lines, with their numbers; the whole file where its lines are no values of their own: a JSON value
/// over several lines, or bytes that are no text.
fn parts(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let whole = || vec![(1, bytes)];
    let Ok(text) = std::str::from_utf8(bytes) else { return whole() };
    let is_json = |text: &str| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    if lines().count() > 1 && is_json(text) {
        return whole();
    }
    lines().map(|(at, line)| (at + 1, line.as_bytes())).collect()
}

/// The members of a record as `kcat -J` prints it, or of a dead letter: it names its topic and has a
/// value beside it.
fn whole_record(text: &[u8]) -> Option<Map<String, Value>> {
    let members: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let values = ["payload", "value"];
    let is_record = members.get("topic").is_some_and(Value::is_string)
        && values.iter().any(|name| members.contains_key(*name))
        && (members.contains_key("offset") || members.contains_key("partition"));
    is_record.then_some(members)
}

fn bare(topic: Arc<str>, offset: Offset, value: &[u8]) -> Sampled {
    Sampled {
        topic,
        partition: 0,
        offset,
        timestamp: None,
        key: None,
        value: Some(value.to_vec()),
        headers: vec![],
    }
}

fn of_members(members: &Map<String, Value>, at: Offset) -> Result<Sampled, String> {
    let number = |name: &str| members.get(name).and_then(Value::as_u64);
    let timestamp = ["ts", "timestamp"].iter().find_map(|name| members.get(*name)?.as_i64());
    let value = ["payload", "value"].iter().find_map(|name| members.get(*name));
    Ok(Sampled {
        topic: members["topic"].as_str().unwrap_or_default().into(),
        partition: number("partition").unwrap_or(0) as u32,
        offset: number("offset").map_or(at, Offset),
        timestamp,
        key: part(members.get("key"))?,
        value: part(value)?,
        headers: headers(members.get("headers"))?,
    })
}

/// Text is the bytes themselves, `{"base64": …}` other bytes, null is null, other JSON its own text.
fn part(value: Option<&Value>) -> Result<Option<Vec<u8>>, String> {
    Ok(match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone().into_bytes()),
        Some(Value::Object(members)) if members.len() == 1 && members.contains_key("base64") => {
            let text = members["base64"].as_str().unwrap_or_default();
            Some(BASE64.decode(text).map_err(|error| format!("`base64` is none: {error}"))?)
        }
        Some(other) => Some(other.to_string().into_bytes()),
    })
}

/// `["name", "value", …]` as kcat has them, `[["name", "value"], …]` as dead letters do.
fn headers(value: Option<&Value>) -> Result<Headers, String> {
    let items = match value {
        None | Some(Value::Null) => return Ok(vec![]),
        Some(Value::Array(items)) => items,
        Some(_) => return Err("`headers` is no list of names and values".to_owned()),
    };
    let in_pairs = items.iter().all(Value::is_array);
    let pairs: Vec<&[Value]> = match in_pairs {
        true => items.iter().filter_map(Value::as_array).map(Vec::as_slice).collect(),
        false => items.chunks(2).collect(),
    };
    let header = |pair: &[Value]| match pair {
        [Value::String(name), value] => Ok((name.clone(), part(Some(value))?)),
        _ => Err("a header is no name with a value".to_owned()),
    };
    pairs.into_iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Arc<str> {
        "t".into()
    }

    fn values(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let records = read("f", text, Some(&topic()), 0).expect("readable");
        records.into_iter().map(|record| record.value).collect()
    }

    #[test]
    fn values_stand_one_a_line_or_one_a_file() {
        let two = [Some(b"{\"a\":1}".to_vec()), Some(b"{\"a\":2}".to_vec())];
        assert_eq!(values(b"{\"a\":1}\n\n{\"a\":2}\n"), two);
        assert_eq!(values(b"{\n \"a\": 1\n}\n"), [Some(b"{\n \"a\": 1\n}\n".to_vec())]);
        assert_eq!(values(b"1,x\n2,y"), [Some(b"1,x".to_vec()), Some(b"2,y".to_vec())]);
        assert_eq!(values(b"\x00\xff\n\x01"), [Some(b"\x00\xff\n\x01".to_vec())]);
    }

    #[test]
    fn records_as_kcat_prints_them_keep_their_place_and_key() {
        let line = r#"{"topic":"orders","partition":1,"offset":7,"tstype":"create","ts":5,"broker":0,"headers":["a","x","b",null],"key":"{\"id\":1}","payload":"{\"id\":1}"}"#;
        let records = read("f", line.as_bytes(), None, 0).expect("readable");
        let expect = Sampled {
            topic: "orders".into(),
            partition: 1,
            offset: Offset(7),
            timestamp: Some(5),
            key: Some(b"{\"id\":1}".to_vec()),
            value: Some(b"{\"id\":1}".to_vec()),
            headers: vec![("a".into(), Some(b"x".to_vec())), ("b".into(), None)],
        };
        assert_eq!(records, [expect]);
        let tombstone = r#"{"topic":"orders","offset":8,"key":{"id":1},"payload":null}"#;
        let records = read("f", tombstone.as_bytes(), None, 0).expect("readable");
        assert_eq!(
            (records[0].value.clone(), records[0].key.as_deref()),
            (None, Some(&b"{\"id\":1}"[..]))
        );
        let binary = r#"{"topic":"orders","offset":8,"value":{"base64":"AP8="}}"#;
        let records = read("f", binary.as_bytes(), None, 0).expect("readable");
        assert_eq!(records[0].value.as_deref(), Some(&[0, 0xff][..]));
    }

    #[test]
    fn a_dead_letter_is_the_record_it_was() {
        let line = r#"{"topic":"t","partition":2,"offset":9,"timestamp":7,"key":"k","value":"{","headers":[["a","x"],["b",{"base64":"/w=="}]],"error":{"stage":"VALUE_CONVERTER"}}"#;
        let records = read("f", line.as_bytes(), None, 0).expect("readable");
        let expect = Sampled {
            topic: "t".into(),
            partition: 2,
            offset: Offset(9),
            timestamp: Some(7),
            key: Some(b"k".to_vec()),
            value: Some(b"{".to_vec()),
            headers: vec![("a".into(), Some(b"x".to_vec())), ("b".into(), Some(vec![0xff]))],
        };
        assert_eq!(records, [expect]);
    }

    #[test]
    fn a_value_that_only_looks_like_a_record_is_a_value() {
        let text = br#"{"topic":"news","value":1}"#;
        assert_eq!(values(text), [Some(text.to_vec())]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_value() {
        assert_eq!(values(b"\xef\xbb\xbf{\"a\":1}\n"), [Some(b"{\"a\":1}".to_vec())]);
    }

    #[test]
    fn bytes_in_a_record_of_kcat_are_told_with_their_line() {
        let text = b"{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"payload\":\"x\"}\n\
                     {\"topic\":\"t\",\"partition\":0,\"offset\":2,\"payload\":\"\xff\xfe\"}\n";
        let problem = read("f", text, Some(&topic()), 0).expect_err("bytes");
        assert_eq!(problem.at, ["f:2"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let problem = read("f", b"{\"a\":1}", None, 0).expect_err("no topic");
        assert_eq!(problem.at, ["f:1"]);
        let bad = br#"{"topic":"t","offset":1,"value":{"base64":"%"}}"#;
        assert!(read("f", bad, None, 0).is_err());
    }
}
