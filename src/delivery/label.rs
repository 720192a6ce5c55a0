//! Label names: the only place where one is made or taken apart. Knows nothing of states.
//!
//! A label is `<prefix>_<r>_<n>_<table hash>`. `r` and `n` make it unique for all time, so a label
//! is never used twice; an intent names its labels by `r`, `n` and the table hashes alone.

use std::fmt;
use std::sync::Arc;

/// The longest prefix kept: 1 + 16 + 1 + 20 + 1 + 8 bytes follow it, and StarRocks allows 128.
const PREFIX_BYTES: usize = 40;

/// 64 random bits drawn for every pass through step 1 (`r` in records and labels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// Number of an attempt at a batch under one [`RunId`]; never restarts, never repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// 32 bits of a table's name: what labels and intents carry instead of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableHash(pub u32);

/// The readable head of every label of one connector: 1 to 40 of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

/// The name of one transaction: one attempt at one batch for one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    pub prefix: Prefix,
    pub run: RunId,
    pub seq: Seq,
    pub table: TableHash,
}

impl Seq {
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl TableHash {
    /// The hash of a table's name. Stable for all versions that write `sk1` records.
    pub fn of(table: &str) -> TableHash {
        // FNV-1a, 64 bits, folded by a multiply-shift so that all bits count.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in table.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        TableHash((hash >> 32) as u32)
    }
}

impl Prefix {
    /// The prefix for a connector's name: other characters become `_`, the rest is cut.
    pub fn of_name(name: &str) -> Prefix {
        let mut text: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .take(PREFIX_BYTES)
            .collect();
        if text.is_empty() {
            text.push('_');
        }
        Prefix(text.into())
    }

    /// Reads a prefix back from a record; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Prefix> {
        let fits = (1..=PREFIX_BYTES).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (fits && clean).then(|| Prefix(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TableHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}_{}", self.prefix, self.run, self.seq, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, seq: u64) -> String {
        let label = Label {
            prefix: Prefix::of_name(name),
            run: RunId(u64::MAX),
            seq: Seq(seq),
            table: TableHash::of("orders"),
        };
        label.to_string()
    }

    #[test]
    fn every_label_is_one_that_starrocks_takes() {
        for name in ["orders-sink", "", "a.b c/ü", &"long".repeat(100)] {
            let text = label(name, u64::MAX);
            assert!(text.len() <= 128, "{text}");
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }

    #[test]
    fn two_attempts_never_share_a_label() {
        assert_ne!(label("s", 1), label("s", 2));
    }

    #[test]
    fn a_table_hash_never_changes_between_versions() {
        assert_eq!(
            TableHash::of("orders").to_string(),
            TableHash(TableHash::of("orders").0).to_string()
        );
        assert_ne!(TableHash::of("orders"), TableHash::of("users"));
    }

    #[test]
    fn a_prefix_reads_back_and_refuses_what_it_never_wrote() {
        let prefix = Prefix::of_name("my sink");
        assert_eq!(Prefix::parse(prefix.as_str()), Some(prefix));
        assert_eq!(Prefix::parse(""), None);
        assert_eq!(Prefix::parse("a;b"), None);
    }
}
