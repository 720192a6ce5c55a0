//! The subcommands: each reads as its story. Composes; owns no logic of its own.

pub mod check;
pub mod load;
pub mod map;

use crate::kafka::sample::Sampled;
use crate::mapping::maker::RawRecord;

/// Shows a sampled record as a reader of topics hands it on.
fn with_raw<T>(record: &Sampled, look: impl FnOnce(&RawRecord<'_>) -> T) -> T {
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    look(&RawRecord {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    })
}
