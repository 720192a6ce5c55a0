//! The metadata string beside a committed offset: written and read here and nowhere else.
//!
//! ASCII fields separated by `;`, the version first:
//!
//! ```text
//! sk1;r=<run id>;n=<last sequence used>                                   idle, or a claim (n=0)
//!    ;e=<end>;q=<partitions>;t=<tables>;x=<deadline, epoch s>;d=<database>;p=<prefix>   an intent
//!    ;v=a          an abort of the intent was attempted
//!    ;m=p          its labels are plain loads, sent only after it was written
//!    ;k=<records>  records of the batch from this partition, where they are counted
//!    ;o=<tables>,u=<until>     repeated, in offset order: rows owed to these tables only
//!    ;c=<mapping fingerprint>  with an intent or an owed range
//!    ;b=<request hash>[,[<until>][,<records so far>]]   a bounded load with an explicit start:
//!                  what was asked, where it ends, how many records count as loaded
//! ```
//!
//! Tables are 8 hex digits each, one after the other. The database is percent-encoded. `p` makes
//! an intent complete in itself: its labels can be named even if the connector was renamed.
//! A field that is not listed, missing or out of shape makes the whole string foreign: a decision
//! taken on half a record could lose rows.

use std::fmt::Write as _;

use super::label::{Label, Prefix, RunId, Seq, TableHash};
use crate::record::Offset;

/// First field of every string this version writes.
const VERSION: &str = "sk1";

/// What stands beside a committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub run: RunId,
    /// The last sequence number used under `run` when this was written.
    pub seq: Seq,
    pub intent: Option<Intent>,
    /// Consecutive ranges, the first beginning at the committed offset.
    pub owed: Vec<Owed>,
    /// Fingerprint of the mapping in force; written with an intent or an owed range only.
    pub fingerprint: u64,
    pub request: Option<Request>,
}

/// A batch about to be committed: [`Cursor::run`] and [`Cursor::seq`] are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Where this partition stands once every label is committed.
    pub end: Offset,
    /// How many partitions carry this intent (`q`).
    pub partitions: u32,
    /// One label each.
    pub tables: Vec<TableHash>,
    /// Until then no label can have timed out, epoch seconds; 0: not under our control.
    pub deadline_s: u64,
    pub database: String,
    pub prefix: Prefix,
    /// `v=a`: somebody tried to abort; not that it happened.
    pub abort_attempted: bool,
    /// `m=p`: nothing is prepared; each label is a plain load of exactly these ranges, sent after
    /// the intent was written and repeated under the same name until it is committed.
    pub is_plain: bool,
    /// Records of this batch from this partition; kept where [`Request::counted`] is.
    pub records: Option<u64>,
}

/// Rows up to `until` go to `tables` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    pub until: Offset,
    /// Sorted; empty: these rows are everywhere already.
    pub tables: Vec<TableHash>,
}

/// What a bounded load with an explicit start was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub hash: u64,
    /// Where this partition ends, resolved when the run first started.
    pub until: Option<Offset>,
    /// Records loaded from this partition up to the committed offset, where the request bounds
    /// their number.
    pub counted: Option<u64>,
}

/// Why a metadata string is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Somebody else's.
    NotOurs,
    /// Ours, of a version this program does not know.
    OtherVersion,
    /// Ours by its first field, but damaged or extended.
    Malformed,
}

impl Cursor {
    /// Reads a metadata string. `Ok(None)`: it is empty, as the Java connector and
    /// `kafka-consumer-groups --reset-offsets` leave it; the offset alone counts.
    pub fn parse(text: &str) -> Result<Option<Cursor>, Foreign> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut fields = text.split(';');
        match fields.next() {
            Some(VERSION) => {}
            Some(other) if is_other_version(other) => return Err(Foreign::OtherVersion),
            _ => return Err(Foreign::NotOurs),
        }
        let mut raw = Raw::default();
        for field in fields {
            raw.take(field).ok_or(Foreign::Malformed)?;
        }
        raw.cursor().map(Some).ok_or(Foreign::Malformed)
    }

    /// The string to commit.
    pub fn write(&self) -> String {
        let mut text = format!("{VERSION};r={};n={}", self.run, self.seq);
        if let Some(intent) = &self.intent {
            intent.write(&mut text);
        }
        for owed in &self.owed {
            push(&mut text, format_args!(";o={},u={}", hashes(&owed.tables), owed.until));
        }
        if self.needs_fingerprint() {
            push(&mut text, format_args!(";c={:016x}", self.fingerprint));
        }
        if let Some(request) = &self.request {
            request.write(&mut text);
        }
        text
    }

    /// As [`Cursor::write`], at least `bytes` long: the number gets zeros in front, which every version
    /// reads.
    pub fn write_padded(&self, bytes: usize) -> String {
        let text = self.write();
        let zeros = "0".repeat(bytes.saturating_sub(text.len()));
        text.replacen(";n=", &format!(";n={zeros}"), 1)
    }

    /// Bytes of the longest intent for this many tables that may stand here, beside what is owed.
    pub fn longest_intent(
        &self,
        tables: usize,
        database: &str,
        prefix: &Prefix,
        is_plain: bool,
    ) -> usize {
        let counted = self.request.and_then(|request| request.counted).map(|_| u64::MAX);
        let longest = Cursor {
            seq: Seq(u64::MAX),
            intent: Some(Intent {
                end: Offset(u64::MAX),
                partitions: u32::MAX,
                tables: vec![TableHash(0); tables],
                // The clock needs no more digits for 200 years.
                deadline_s: 9_999_999_999,
                database: database.to_owned(),
                prefix: prefix.clone(),
                abort_attempted: true,
                is_plain,
                records: counted,
            }),
            request: self.request.map(|request| Request { counted, ..request }),
            ..self.clone()
        };
        longest.write().len()
    }

    /// The labels of the intent, one per table; none without an intent.
    pub fn labels(&self) -> Vec<Label> {
        let Some(intent) = &self.intent else { return vec![] };
        let label = |&table: &TableHash| Label {
            prefix: intent.prefix.clone(),
            run: self.run,
            seq: self.seq,
            table,
        };
        intent.tables.iter().map(label).collect()
    }

    /// How many tables an intent of `database` may name so that every record fits `limit_bytes`
    /// together with what is owed already; 0 if none fits.
    pub fn table_limit(
        limit_bytes: usize,
        database: &str,
        prefix: &Prefix,
        owed: &[Owed],
    ) -> usize {
        let longest = Cursor {
            run: RunId(u64::MAX),
            seq: Seq(u64::MAX),
            intent: Some(Intent {
                end: Offset(u64::MAX),
                partitions: u32::MAX,
                tables: vec![],
                deadline_s: u64::MAX,
                database: database.to_owned(),
                prefix: prefix.clone(),
                abort_attempted: true,
                is_plain: true,
                records: Some(u64::MAX),
            }),
            owed: owed.to_vec(),
            fingerprint: u64::MAX,
            request: Some(Request {
                hash: u64::MAX,
                until: Some(Offset(u64::MAX)),
                counted: Some(u64::MAX),
            }),
        };
        limit_bytes.saturating_sub(longest.write().len()) / HASH_DIGITS
    }

    fn needs_fingerprint(&self) -> bool {
        self.intent.is_some() || !self.owed.is_empty()
    }
}

impl Intent {
    fn write(&self, text: &mut String) {
        push(
            text,
            format_args!(";e={};q={};t={}", self.end, self.partitions, hashes(&self.tables)),
        );
        push(text, format_args!(";x={};d={}", self.deadline_s, percent_encode(&self.database)));
        push(text, format_args!(";p={}", self.prefix));
        if self.abort_attempted {
            text.push_str(";v=a");
        }
        if self.is_plain {
            text.push_str(";m=p");
        }
        if let Some(records) = self.records {
            push(text, format_args!(";k={records}"));
        }
    }
}

impl Request {
    /// Counts records as loaded, where their number matters.
    pub(super) fn count(&mut self, records: u64) {
        if let Some(counted) = &mut self.counted {
            *counted += records;
        }
    }

    fn write(&self, text: &mut String) {
        push(text, format_args!(";b={:016x}", self.hash));
        let until = self.until.map(|until| until.to_string());
        match self.counted {
            Some(counted) => {
                push(text, format_args!(",{},{counted}", until.unwrap_or_default()));
            }
            None => until.iter().for_each(|until| push(text, format_args!(",{until}"))),
        }
    }
}

/// Hex digits of one table hash.
const HASH_DIGITS: usize = 8;

/// Fields as found; which belong together is decided in [`Raw::cursor`].
#[derive(Default)]
struct Raw<'a> {
    single: [Option<&'a str>; KEYS.len()],
    owed: Vec<Owed>,
}

/// Every key that stands at most once.
const KEYS: &[u8; 13] = b"rneqtxdpvcbmk";

impl<'a> Raw<'a> {
    fn take(&mut self, field: &'a str) -> Option<()> {
        let (key, value) = field.split_once('=')?;
        if key == "o" {
            let (tables, until) = value.split_once(",u=")?;
            self.owed.push(Owed { until: offset(until)?, tables: read_hashes(tables)? });
            return Some(());
        }
        let &[key] = key.as_bytes() else { return None };
        let slot = &mut self.single[KEYS.iter().position(|&k| k == key)?];
        slot.is_none().then(|| *slot = Some(value))
    }

    fn get(&self, key: u8) -> Option<&'a str> {
        self.single[KEYS.iter().position(|&k| k == key)?]
    }

    fn cursor(self) -> Option<Cursor> {
        let intent = match self.get(b'e') {
            Some(end) => Some(self.intent(offset(end)?)?),
            None if b"qtxdpvmk".iter().any(|&key| self.get(key).is_some()) => return None,
            None => None,
        };
        let fingerprint = match self.get(b'c') {
            Some(text) => hex64(text)?,
            None => 0,
        };
        let request = match self.get(b'b') {
            Some(text) => Some(read_request(text)?),
            None => None,
        };
        let ascending = self.owed.windows(2).all(|pair| pair[0].until < pair[1].until);
        let run = RunId(hex64(self.get(b'r')?)?);
        let seq = Seq(number(self.get(b'n')?)?);
        let has_fingerprint = self.get(b'c').is_some();
        let cursor = Cursor { run, seq, intent, owed: self.owed, fingerprint, request };
        (ascending && cursor.needs_fingerprint() == has_fingerprint).then_some(cursor)
    }

    fn intent(&self, end: Offset) -> Option<Intent> {
        let partitions = u32::try_from(number(self.get(b'q')?)?).ok()?;
        let tables = read_hashes(self.get(b't')?)?;
        let abort_attempted = match self.get(b'v') {
            None => false,
            Some("a") => true,
            Some(_) => return None,
        };
        let is_plain = match self.get(b'm') {
            None => false,
            Some("p") => true,
            Some(_) => return None,
        };
        let records = match self.get(b'k') {
            None => None,
            Some(text) => Some(number(text)?),
        };
        let intent = Intent {
            end,
            partitions,
            tables,
            deadline_s: number(self.get(b'x')?)?,
            database: percent_decode(self.get(b'd')?)?,
            prefix: Prefix::parse(self.get(b'p')?)?,
            abort_attempted,
            is_plain,
            records,
        };
        (partitions > 0 && !intent.tables.is_empty()).then_some(intent)
    }
}

fn is_other_version(field: &str) -> bool {
    field
        .strip_prefix("sk")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a String does not fail");
}

fn hashes(tables: &[TableHash]) -> String {
    tables.iter().map(TableHash::to_string).collect()
}

fn read_hashes(text: &str) -> Option<Vec<TableHash>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(HASH_DIGITS) {
        return None;
    }
    let hash = |digits: &[u8]| hex(std::str::from_utf8(digits).ok()?).map(|h| TableHash(h as u32));
    let tables: Vec<TableHash> = bytes.chunks(HASH_DIGITS).map(hash).collect::<Option<_>>()?;
    tables.windows(2).all(|pair| pair[0] < pair[1]).then_some(tables)
}

fn read_request(text: &str) -> Option<Request> {
    let (hash, rest) = text.split_once(',').map_or((text, None), |(hash, rest)| (hash, Some(rest)));
    let hash = hex64(hash)?;
    let Some(rest) = rest else { return Some(Request { hash, until: None, counted: None }) };
    let (until, counted) = match rest.split_once(',') {
        None => (Some(offset(rest)?), None),
        Some(("", counted)) => (None, Some(number(counted)?)),
        Some((until, counted)) => (Some(offset(until)?), Some(number(counted)?)),
    };
    Some(Request { hash, until, counted })
}

fn offset(text: &str) -> Option<Offset> {
    number(text).map(Offset)
}

/// Decimal digits only: `u64::from_str` would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn hex64(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| hex(text))?
}

fn hex(text: &str) -> Option<u64> {
    let clean = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    clean.then(|| u64::from_str_radix(text, 16).ok())?
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            out.push(char::from(byte));
        } else {
            push(&mut out, format_args!("%{byte:02x}"));
        }
    }
    out
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = match byte {
            b'%' => [rest.next()?, rest.next()?],
            other => {
                bytes.push(other);
                continue;
            }
        };
        bytes.push(u8::try_from(hex(std::str::from_utf8(&digits).ok()?)?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
