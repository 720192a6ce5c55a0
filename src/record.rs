//! What Kafka gave us: where a record stands. Owns positions and ranges; holds no record bytes.

use std::fmt;
use std::sync::Arc;

/// A record's place in its partition. Never negative: librdkafka's sentinels stay inside `kafka/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub topic: Arc<str>,
    pub number: u32,
}

impl Partition {
    pub fn new(topic: impl Into<Arc<str>>, number: u32) -> Self {
        Partition { topic: topic.into(), number }
    }
}

/// Offsets `first..next` of one partition, half-open: `next` is what Kafka commits, so no `+1`
/// anywhere. `next - first` is no count of records: compaction and transaction markers leave gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRange {
    pub partition: Partition,
    pub first: Offset,
    pub next: Offset,
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Partition {
    /// `topic[number]`, the form every message uses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}..{}", self.partition, self.first, self.next)
    }
}
