//! Records from elsewhere in the place of a partition's own: what is in a file, read by a member of a
//! group whose offsets count its lines. Kafka keeps the position, and nothing else of it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Problem;
use crate::record::Partition;

/// One record that did not come from Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, counted from 0.
    pub offset: u64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// As [`Given::partition`].
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
}

/// Reads at most so many records from this number on.
pub type Read = Box<dyn FnMut(u64, usize) -> Result<Vec<Record>, Problem> + Send>;

/// Records that stand in for a partition's.
pub struct Given {
    partition: Partition,
    length: u64,
    state: Mutex<State>,
}

struct State {
    read: Read,
    /// The next record, while the partition is assigned.
    next: Option<u64>,
}

impl Record {
    /// A record of `partition`; [`Given`] puts its number and the rest is the caller's.
    pub fn of(partition: &Partition, offset: u64) -> Record {
        Record {
            offset,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: vec![],
            topic: Arc::clone(&partition.topic),
            partition: partition.number,
        }
    }
}

impl Given {
    /// `length` records take the place of those of `partition`.
    pub fn new(partition: Partition, length: u64, read: Read) -> Given {
        Given { partition, length, state: Mutex::new(State { read, next: None }) }
    }

    /// The partition whose place they take; its offsets are their numbers.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads on from this number; `None`: the partition is not assigned.
    pub(super) fn seek(&self, next: Option<u64>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).next = next;
    }

    /// The next records; none at the end, or where the partition is not assigned.
    pub(super) fn read(&self, most: usize) -> Result<Vec<Record>, Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = state.next.filter(|next| *next < self.length) else { return Ok(vec![]) };
        let left = usize::try_from(self.length - next).unwrap_or(usize::MAX);
        let records = (state.read)(next, most.min(left))?;
        state.next = Some(next + records.len() as u64);
        Ok(records)
    }
}
