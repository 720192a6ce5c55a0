//! One dead letter: what it carries, as headers of a Kafka record and as a line of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::record::{Offset, Partition};

/// Names of the headers that Kafka Connect adds begin so.
const CONNECT: &str = "__connect.errors.";
/// Names of ours.
const OURS: &str = "__starsink.errors.";

/// A record that could not be loaded, whole, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub partition: Partition,
    pub offset: Offset,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    /// In order; names may repeat.
    pub headers: Vec<Header>,
    pub reason: Reason,
}

/// A header's name and value.
pub type Header = (String, Option<Vec<u8>>);

/// Why a record cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reason {
    /// Connect's name: `KEY_CONVERTER`, `VALUE_CONVERTER`, `HEADER_CONVERTER`, `TRANSFORMATION` or
    /// `TASK_PUT`, which is everything from the routing on.
    pub stage: String,
    /// The Java class of the step.
    pub class: String,
    /// The Java class of the exception Connect would throw.
    pub exception: String,
    pub message: String,
    /// `database.table`, where it is known.
    pub table: Option<String>,
    /// Of the load that was refused.
    pub label: Option<String>,
    /// StarRocks' own words.
    pub starrocks: Option<String>,
}

impl Reason {
    /// What StarRocks or the routing refused, in Connect's terms: the sink task's own doing.
    pub fn of_the_sink(message: impl Into<String>) -> Self {
        Reason {
            stage: "TASK_PUT".into(),
            class: "org.apache.kafka.connect.sink.SinkTask".into(),
            exception: "org.apache.kafka.connect.errors.DataException".into(),
            message: message.into(),
            ..Reason::default()
        }
    }
}

impl DeadLetter {
    /// `topic[partition]@offset`.
    pub fn place(&self) -> String {
        format!("{}@{}", self.partition, self.offset)
    }

    /// Memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        let header = |(name, value): &Header| name.len() + value.as_ref().map_or(0, Vec::len);
        OVERHEAD
            + self.key.as_ref().map_or(0, Vec::len)
            + self.value.as_ref().map_or(0, Vec::len)
            + self.headers.iter().map(header).sum::<usize>()
            + self.reason.message.len()
    }

    /// The headers that say where it came from and why: Connect's, in its order, then ours.
    pub fn context(&self, connector: &str) -> Vec<Header> {
        let reason = &self.reason;
        let trace = format!("{}: {}", reason.exception, reason.message);
        let connect = [
            ("topic", self.partition.topic.to_string()),
            ("partition", self.partition.number.to_string()),
            ("offset", self.offset.to_string()),
            ("connector.name", connector.to_string()),
            ("task.id", "0".to_string()),
            ("stage", reason.stage.clone()),
            ("class.name", reason.class.clone()),
            ("exception.class.name", reason.exception.clone()),
            ("exception.message", reason.message.clone()),
            ("exception.stacktrace", trace),
        ];
        let ours =
            [("table", &reason.table), ("label", &reason.label), ("starrocks", &reason.starrocks)];
        let connect = connect
            .into_iter()
            .map(|(name, text)| (format!("{CONNECT}{name}"), Some(text.into_bytes())));
        let ours = ours.into_iter().filter_map(|(name, text)| {
            text.as_ref().map(|text| (format!("{OURS}{name}"), Some(text.clone().into_bytes())))
        });
        connect.chain(ours).collect()
    }

    /// One line of a dead-letter file, its end included.
    pub fn line(&self, connector: &str) -> String {
        self.marked_line(connector, None)
    }

    /// `mark`: what only the first line of a new file has, and no other file's.
    pub fn marked_line(&self, connector: &str, mark: Option<&str>) -> String {
        let reason = &self.reason;
        let mut error = Map::new();
        let said = [
            ("stage", Some(&reason.stage)),
            ("class", Some(&reason.class)),
            ("exception", Some(&reason.exception)),
            ("message", Some(&reason.message)),
            ("table", reason.table.as_ref()),
            ("label", reason.label.as_ref()),
            ("starrocks", reason.starrocks.as_ref()),
        ];
        for (name, text) in said {
            if let Some(text) = text {
                error.insert(name.into(), Value::from(text.as_str()));
            }
        }
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!([name, bytes_to_json(value.as_deref())]))
            .collect();
        let mut line = json!({
            "topic": &*self.partition.topic,
            "partition": self.partition.number,
            "offset": self.offset.0,
            "timestamp": self.timestamp_ms,
            "key": bytes_to_json(self.key.as_deref()),
            "value": bytes_to_json(self.value.as_deref()),
            "headers": headers,
            "connector": connector,
            "error": error,
        });
        if let Some(mark) = mark {
            line["file"] = Value::from(mark);
        }
        format!("{line}\n")
    }

    /// Reads a line of a dead-letter file; says what is wrong with it otherwise.
    pub fn of_line(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let missing = |name: &str| format!("`{name}` is missing or malformed");
        let topic = value["topic"].as_str().ok_or_else(|| missing("topic"))?;
        let number = value["partition"].as_u64().and_then(|number| u32::try_from(number).ok());
        let offset = value["offset"].as_u64().ok_or_else(|| missing("offset"))?;
        let bytes = |name: &str| bytes_of_json(&value[name]).map_err(|()| missing(name));
        let header = |pair: &Value| {
            let name = pair[0].as_str().ok_or_else(|| missing("headers"))?;
            let value = bytes_of_json(&pair[1]).map_err(|()| missing("headers"))?;
            Ok((name.to_owned(), value))
        };
        let headers = value["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |name: &str| value["error"][name].as_str().map(str::to_owned);
        Ok(DeadLetter {
            partition: Partition::new(topic, number.ok_or_else(|| missing("partition"))?),
            offset: Offset(offset),
            timestamp_ms: value["timestamp"].as_i64(),
            key: bytes("key")?,
            value: bytes("value")?,
            headers: headers.iter().map(header).collect::<Result<_, String>>()?,
            reason: Reason {
                stage: text("stage").unwrap_or_default(),
                class: text("class").unwrap_or_default(),
                exception: text("exception").unwrap_or_default(),
                message: text("message").unwrap_or_default(),
                table: text("table"),
                label: text("label"),
                starrocks: text("starrocks"),
            },
        })
    }
}

/// Headers of a dead letter, their values borrowed from wherever it was read.
pub type Headers<'m> = Vec<(&'m str, Option<&'m [u8]>)>;

/// Takes away what was added when the record was set aside, by Kafka Connect or by us, and gives it back.
///
/// Both append to what the record had, beginning with its topic. So headers of these names that stand before the
/// last topic are the record's own: it was a dead letter itself when it was read.
pub fn take_context<'m>(headers: &mut Headers<'m>) -> Headers<'m> {
    let first = connect_header("topic");
    let Some(begin) = headers.iter().rposition(|(name, _)| *name == first) else { return vec![] };
    let behind = headers.split_off(begin);
    let is_added = |name: &str| name.starts_with(CONNECT) || name.starts_with(OURS);
    let (added, own) = behind.into_iter().partition(|(name, _)| is_added(name));
    headers.extend::<Headers<'m>>(own);
    added
}

/// The name of the header that carries one piece of the context, such as `topic`.
pub fn connect_header(piece: &str) -> String {
    format!("{CONNECT}{piece}")
}

/// Text where the bytes are text, else `{"base64": …}`: either way the same bytes come back.
fn bytes_to_json(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    }
}

fn bytes_of_json(value: &Value) -> Result<Option<Vec<u8>>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone().into_bytes())),
        other => {
            let text = other.get("base64").and_then(Value::as_str).ok_or(())?;
            BASE64.decode(text).map(Some).map_err(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            partition: Partition::new("orders", 2),
            offset: Offset(918_245),
            timestamp_ms: Some(1_700_000_000_000),
            key: Some(vec![0xff, 0]),
            value: Some(b"{\"a\": \"\xc3\xa9\n\"}".to_vec()),
            headers: vec![
                ("h".into(), Some(b"1".to_vec())),
                ("h".into(), None),
                ("e".into(), Some(vec![])),
            ],
            reason: Reason {
                table: Some("shop.orders".into()),
                starrocks: Some("NULL value".into()),
                ..Reason::of_the_sink("rejected")
            },
        }
    }

    #[test]
    fn a_line_brings_every_byte_back() {
        let line = letter().line("c");
        assert!(line.ends_with("}\n") && !line[..line.len() - 1].contains('\n'), "{line}");
        assert_eq!(DeadLetter::of_line(&line), Ok(letter()));
        let tombstone = DeadLetter { key: None, value: None, timestamp_ms: None, ..letter() };
        assert_eq!(DeadLetter::of_line(&tombstone.line("c")), Ok(tombstone));
        assert!(DeadLetter::of_line("{\"topic\":\"t\"}").is_err());
        assert!(DeadLetter::of_line("{\"topic\":\"t\",\"par").is_err());
    }

    #[test]
    fn headers_are_those_of_connect_and_then_ours() {
        let context = letter().context("sink");
        let names: Vec<&str> = context.iter().map(|(name, _)| name.as_str()).collect();
        let expect = [
            "__connect.errors.topic",
            "__connect.errors.partition",
            "__connect.errors.offset",
            "__connect.errors.connector.name",
            "__connect.errors.task.id",
            "__connect.errors.stage",
            "__connect.errors.class.name",
            "__connect.errors.exception.class.name",
            "__connect.errors.exception.message",
            "__connect.errors.exception.stacktrace",
            "__starsink.errors.table",
            "__starsink.errors.starrocks",
        ];
        assert_eq!(names, expect);
        assert_eq!(context[2].1.as_deref(), Some(&b"918245"[..]));
    }

    #[test]
    fn what_was_added_last_is_taken_away_and_the_record_keeps_its_own() {
        let (inner, outer) = (letter().context("first"), letter().context("second"));
        let own: Vec<Header> = [letter().headers, inner, vec![("z".into(), None)]].concat();
        let all: Vec<Header> = [own.clone(), outer.clone()].concat();
        let borrowed = |headers: &'static [Header]| -> Headers<'static> {
            headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect()
        };
        let mut headers = borrowed(Box::leak(all.into()));
        let own: &'static [Header] = Box::leak(own.into());
        assert_eq!(take_context(&mut headers), borrowed(Box::leak(outer.into())));
        assert_eq!(headers, borrowed(own));
        let mut none = vec![("h", None)];
        assert_eq!((take_context(&mut none), none), (vec![], vec![("h", None)]));
    }
}
