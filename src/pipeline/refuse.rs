//! Records that go no further: why, what is kept of them, and which ones StarRocks has rejected before.
//! Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::job::OnBadRecord;
use crate::dlq::{DeadLetter, Reason};
use crate::event::Reasoned;
use crate::mapping::maker::{RawRecord, Refusal, Rows};
use crate::pipeline::named::Named;
use crate::record::{Offset, Partition};
use crate::starrocks::reply;

/// A record that goes no further, with what is kept of it.
#[derive(Debug)]
pub struct Refused {
    /// Whole where it is set aside; without key, value and headers where it is skipped.
    pub letter: DeadLetter,
    /// What could not be done, without any value of the record.
    pub what: String,
    pub cause: Option<String>,
    /// The beginning of its value, where that is to be shown.
    pub excerpt: Option<String>,
    /// Recognised by its row, which StarRocks named.
    pub by_name: bool,
    /// To be charged to the budget, and given back when it is dropped.
    pub bytes: u64,
}

/// Why a record goes no further: for its dead letter, and for people.
#[derive(Debug, Clone)]
pub struct Why {
    reason: Reason,
    what: String,
    cause: Option<String>,
    by_name: bool,
}

/// Records whose rows StarRocks rejects.
#[derive(Debug, Clone, Default)]
pub struct Condemned {
    /// Found by search.
    pub places: HashMap<Partition, BTreeMap<Offset, Verdict>>,
    /// Named by StarRocks.
    pub named: Named,
}

/// Why StarRocks rejects a record's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Without the row.
    pub reason: String,
    /// StarRocks' own, in full.
    pub words: String,
    /// `database.table`.
    pub table: String,
    /// Of the load that was refused.
    pub label: String,
    /// Recognised by its row, which StarRocks named.
    pub by_name: bool,
}

impl Condemned {
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.named.is_empty()
    }

    /// What was found out about the record at this place.
    pub fn of_place(&self, topic: &Arc<str>, number: u32, offset: Offset) -> Option<&Verdict> {
        if self.places.is_empty() {
            return None;
        }
        self.places.get(&Partition::new(Arc::clone(topic), number))?.get(&offset)
    }

    /// What StarRocks said of one of these rows.
    pub fn of_rows(&self, rows: &Rows<'_>) -> Option<Verdict> {
        if self.named.is_empty() {
            return None;
        }
        rows.iter().find_map(|row| self.named.find(rows.table_name(row.table), row.bytes)).cloned()
    }

    /// Forgets the places before `next`: their offsets have moved.
    pub fn forget_before(&mut self, partition: &Partition, next: Offset) {
        if let Some(of_partition) = self.places.get_mut(partition) {
            of_partition.retain(|offset, _| *offset >= next);
            if of_partition.is_empty() {
                self.places.remove(partition);
            }
        }
    }
}

impl Why {
    /// By one of our own steps.
    pub fn refused(refusal: &Refusal, database: &str, redacts: bool) -> Why {
        let shown = if redacts { &refusal.safe_cause } else { &refusal.cause };
        let message = match shown.as_str() {
            "" => refusal.what.clone(),
            cause => format!("{}: {cause}", refusal.what),
        };
        let reason = Reason {
            stage: refusal.stage.connect_name().into(),
            class: refusal.class.clone(),
            exception: refusal.exception.java_class().into(),
            message,
            table: refusal.table.as_ref().map(|table| format!("{database}.{table}")),
            ..Reason::default()
        };
        let cause = Some(shown.clone()).filter(|cause| !cause.is_empty());
        Why { reason, what: refusal.what.clone(), cause, by_name: false }
    }

    /// A dead letter that does not say which record it holds.
    pub fn nameless() -> Why {
        let what = "a dead letter has no headers that say which topic it came from";
        Why { reason: Reason::of_the_sink(what), what: what.into(), cause: None, by_name: false }
    }

    /// By StarRocks.
    pub fn rejected(verdict: &Verdict, redacts: bool) -> Why {
        let said = match redacts {
            true => reply::without_values(&verdict.reason),
            false => verdict.reason.clone(),
        };
        let what = format!("StarRocks rejects its row: {said}");
        let words = if redacts { &said } else { &verdict.words };
        let reason = Reason {
            table: Some(verdict.table.clone()),
            label: Some(verdict.label.clone()),
            starrocks: Some(words.clone()),
            ..Reason::of_the_sink(what.clone())
        };
        let words = words.strip_prefix("Error: ").unwrap_or(words);
        let cause = Some(words.to_owned()).filter(|words| *words != said);
        Why { reason, what, cause, by_name: verdict.by_name }
    }
}

impl Refused {
    /// One record for the book of reasons.
    pub fn reasoned(&self) -> Reasoned {
        Reasoned {
            stage: self.letter.reason.stage.clone(),
            what: self.what.clone(),
            table: self.letter.reason.table.clone(),
            count: 1,
            first: self.letter.place(),
            cause: self.cause.clone(),
        }
    }

    /// Keeps of a record what the policy wants.
    pub fn new(
        record: &RawRecord<'_>,
        why: Why,
        policy: &OnBadRecord,
        excerpt: Option<String>,
    ) -> Refused {
        let is_kept = matches!(policy, OnBadRecord::SetAside(_));
        let own = |bytes: Option<&[u8]>| bytes.filter(|_| is_kept).map(<[u8]>::to_vec);
        let headers = if is_kept { record.headers } else { &[] };
        let header =
            |(name, value): &(&str, Option<&[u8]>)| ((*name).to_owned(), value.map(<[u8]>::to_vec));
        let letter = DeadLetter {
            partition: Partition::new(Arc::clone(record.topic), record.partition),
            offset: record.offset,
            timestamp_ms: record.timestamp,
            key: own(record.key),
            value: own(record.value),
            headers: headers.iter().map(header).collect(),
            reason: why.reason,
        };
        let bytes = letter.bytes() as u64;
        Refused { letter, what: why.what, cause: why.cause, excerpt, by_name: why.by_name, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_without_values_has_none_of_starrocks_either() {
        let said = "The field (name = n, pos = 2) is out of range. Type: INT";
        let reason = format!("{said}, Value length: 6, Value: secret");
        let verdict = Verdict {
            words: format!("Error: {reason}. Row: {{\"n\":\"secret\"}}"),
            reason,
            table: "d.t".into(),
            label: "l".into(),
            by_name: true,
        };
        let why = Why::rejected(&verdict, true);
        assert!(!format!("{why:?}").contains("secret"), "{why:?}");
        assert_eq!(why.reason.starrocks.as_deref(), Some(said));
        assert_eq!((why.what, why.cause), (format!("StarRocks rejects its row: {said}"), None));
        let why = Why::rejected(&verdict, false);
        assert_eq!(why.reason.starrocks.as_deref(), Some(&*verdict.words));
        assert_eq!(why.cause.as_deref(), verdict.words.strip_prefix("Error: "));
    }
}
