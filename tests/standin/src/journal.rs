//! What was asked of the stand-in and what it answered, in order.

use serde_json::{Value, json};

/// One request, as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1 in order of arrival.
    pub number: u64,
    /// `fe0`, `be1`, ….
    pub node: String,
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Body bytes read, as they came over the wire.
    pub body_bytes: u64,
    /// A hash of the body as sent, 0 where the body was only counted.
    pub body_hash: u64,
    /// The transaction it was about, where there was one.
    pub txn_id: Option<i64>,
    /// HTTP status of the reply; `None` while there is none, and when the connection was dropped.
    pub status: Option<u16>,
    /// The `Status` or state in the reply, or what a fault did instead of replying.
    pub outcome: String,
}

impl Entry {
    /// A request header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn to_json(&self) -> Value {
        let headers: serde_json::Map<String, Value> =
            self.headers.iter().map(|(n, v)| (n.clone(), Value::from(v.as_str()))).collect();
        json!({
            "number": self.number, "node": self.node, "method": self.method,
            "target": self.target, "headers": headers, "body_bytes": self.body_bytes,
            "body_hash": format!("{:016x}", self.body_hash), "txn_id": self.txn_id,
            "status": self.status, "outcome": self.outcome,
        })
    }
}

/// Entries kept; of more, the older half is dropped.
const MOST_ENTRIES: usize = 200_000;

/// Entries since start or the last reset.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
    last: u64,
}

impl Journal {
    /// Notes a request's arrival; gives its number.
    pub(crate) fn arrive(&mut self, mut entry: Entry) -> u64 {
        self.last += 1;
        entry.number = self.last;
        // Long benchmarks must not fill memory with it.
        if self.entries.len() >= MOST_ENTRIES {
            self.entries.drain(..MOST_ENTRIES / 2);
        }
        self.entries.push(entry);
        self.last
    }

    /// The entry of a request that has arrived; gone after a reset.
    pub(crate) fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let first = self.entries.first()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.entries.get_mut(at)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
