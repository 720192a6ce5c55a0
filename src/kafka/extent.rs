//! Where a run begins and ends, per partition: flags in, offsets out.

use std::collections::BTreeMap;

use crate::config::job::{Start, Until};
use crate::error::Problem;
use crate::kafka::consumer::Consumer;
use crate::record::{Offset, Partition};

/// Resolves where partitions without a cursor begin. `Stored` falls back to the beginning, as
/// Connect's `auto.offset.reset=earliest` does.
pub fn starts(
    consumer: &Consumer,
    start: Start,
    partitions: &[Partition],
) -> Result<Vec<(Partition, Offset)>, Problem> {
    if partitions.is_empty() {
        // A question about no partition is not answered.
        return Ok(vec![]);
    }
    let times = match start {
        Start::Time(time_ms) => at_time(consumer, partitions, time_ms)?,
        _ => BTreeMap::new(),
    };
    let resolve = |partition: &Partition| {
        let (low, high) = consumer.watermarks(partition)?;
        let offset = match start {
            Start::Stored | Start::Beginning => low,
            Start::End => high,
            Start::At(offset) => Offset(offset).clamp(low, high),
            Start::Last(count) => Offset(high.0.saturating_sub(count)).max(low),
            Start::Time(_) => times.get(partition).copied().flatten().unwrap_or(high),
        };
        Ok((partition.clone(), offset))
    };
    partitions.iter().map(resolve).collect()
}

/// Fixes where a bounded run ends; exclusive. Never past the high watermark of this moment, so a
/// topic that keeps growing ends too.
pub fn ends(
    consumer: &Consumer,
    until: Until,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, Offset>, Problem> {
    let times = match until {
        Until::Time(time_ms) => at_time(consumer, partitions, time_ms)?,
        _ => BTreeMap::new(),
    };
    let resolve = |partition: &Partition| {
        let (_, high) = consumer.watermarks(partition)?;
        let end = match until {
            Until::Now => high,
            Until::At(offset) => Offset(offset).min(high),
            Until::Time(_) => times.get(partition).copied().flatten().unwrap_or(high),
        };
        Ok((partition.clone(), end))
    };
    partitions.iter().map(resolve).collect()
}

fn at_time(
    consumer: &Consumer,
    partitions: &[Partition],
    time_ms: i64,
) -> Result<BTreeMap<Partition, Option<Offset>>, Problem> {
    Ok(consumer.offsets_at(partitions, time_ms)?.into_iter().collect())
}
