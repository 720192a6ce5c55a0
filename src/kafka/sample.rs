//! Some records of topics, read without a group: to look at, never to load. Commits nothing and owns
//! no position beyond the call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Problem;
use crate::kafka::ErrorCode;
use crate::kafka::consumer::Consumer;
use crate::kafka::queue::{Entry, Message};
use crate::record::{Offset, Partition};

/// A record's headers with bytes of their own; names may repeat.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// One record with bytes of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampled {
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: Offset,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

/// Where to take records from: this many of a partition, from here.
#[derive(Debug, Clone)]
pub struct Take {
    pub partition: Partition,
    pub from: Offset,
    pub most: u64,
    /// The partition's end: behind its last record nothing is waited for.
    pub end: Offset,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Taken {
    /// In order of topic, partition and offset.
    pub records: Vec<Sampled>,
    /// Partitions that cannot be read, each with Kafka's reason.
    pub refused: Vec<(Partition, ErrorCode)>,
    /// Some partition said nothing in time, or there was too much to keep.
    pub cut_short: bool,
}

/// More bytes than this are never kept.
const MOST_BYTES: usize = 64 << 20;
/// A partition that answers nothing for this long is left.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries taken at once.
const AT_ONCE: usize = 500;

/// Up to `count` of the topic's last records, from all partitions alike, in the order of partition
/// and offset. Fewer where the topic holds fewer, or where offsets are gaps.
pub fn sample(
    consumer: &Consumer,
    topic: &str,
    partitions: u32,
    count: u64,
) -> Result<Vec<Sampled>, Problem> {
    if count == 0 {
        return Ok(vec![]);
    }
    let mut ranges = vec![];
    for number in 0..partitions {
        let partition = Partition::new(topic, number);
        let (low, high) = consumer.watermarks(&partition)?;
        if low < high {
            ranges.push((partition, low, high));
        }
    }
    let lengths: Vec<u64> = ranges.iter().map(|(_, low, high)| high.0 - low.0).collect();
    let shares = shares(&lengths, count);
    let takes: Vec<Take> = ranges
        .into_iter()
        .zip(shares)
        .filter(|(_, share)| *share > 0)
        .map(|((partition, _, end), most)| Take {
            partition,
            from: Offset(end.0 - most),
            most,
            end,
        })
        .collect();
    let taken = take(consumer, &takes, PATIENCE)?;
    match taken.refused.first() {
        None => Ok(taken.records),
        Some((partition, code)) => {
            let what = format!("cannot read {partition}");
            Err(Problem::unavailable(what).cause(format!("{code:?}")))
        }
    }
}

/// What each partition gives: the same, and the rest from those that have more.
fn shares(lengths: &[u64], count: u64) -> Vec<u64> {
    let mut shares = vec![0; lengths.len()];
    let mut left = count;
    while left > 0 {
        let open: Vec<usize> = (0..lengths.len()).filter(|&at| shares[at] < lengths[at]).collect();
        if open.is_empty() {
            break;
        }
        let each = (left / open.len() as u64).max(1);
        for at in open {
            let more = each.min(lengths[at] - shares[at]).min(left);
            shares[at] += more;
            left -= more;
        }
    }
    shares
}

/// Reads what `takes` says, for as long as `limit` at most.
pub fn take(consumer: &Consumer, takes: &[Take], limit: Duration) -> Result<Taken, Problem> {
    if takes.is_empty() {
        return Ok(Taken::default());
    }
    let starts: Vec<_> = takes.iter().map(|take| (take.partition.clone(), take.from)).collect();
    consumer.assign(&starts)?;
    let taken = read(consumer, takes, Instant::now() + limit);
    consumer.unassign();
    taken.map(|mut taken| {
        let place = |a: &Sampled| (Arc::clone(&a.topic), a.partition, a.offset);
        taken.records.sort_by_key(place);
        taken
    })
}

fn read(consumer: &Consumer, takes: &[Take], deadline: Instant) -> Result<Taken, Problem> {
    let mut open: BTreeMap<Partition, (u64, Offset)> =
        takes.iter().map(|take| (take.partition.clone(), (take.most, take.end))).collect();
    let mut taken = Taken::default();
    let mut bytes = 0;
    while !open.is_empty() {
        if Instant::now() >= deadline || bytes >= MOST_BYTES {
            taken.cut_short = true;
            break;
        }
        // Serves what librdkafka has to say; it is no member of a group.
        consumer.poll(Duration::ZERO)?;
        for message in consumer.queue().read(AT_ONCE, Duration::from_millis(50)).iter() {
            let partition = Partition::new(message.topic(), message.partition());
            let Some((wanted, end)) = open.get_mut(&partition) else { continue };
            match message.entry() {
                Entry::Record if message.offset() < end.0 => {
                    bytes += message.value().map_or(0, <[u8]>::len);
                    taken.records.push(owned(message));
                    *wanted = wanted.saturating_sub(1);
                    if *wanted == 0 || message.offset() + 1 >= end.0 {
                        open.remove(&partition);
                    }
                }
                Entry::Record | Entry::EndOfPartition => drop(open.remove(&partition)),
                Entry::Error(code) => {
                    open.remove(&partition);
                    taken.refused.push((partition, code));
                }
            }
        }
    }
    Ok(taken)
}

fn owned(message: Message<'_>) -> Sampled {
    let mut headers = vec![];
    message.headers(&mut headers);
    let header =
        |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(<[u8]>::to_vec));
    Sampled {
        topic: message.topic().into(),
        partition: message.partition(),
        offset: Offset(message.offset()),
        timestamp: message.timestamp_ms(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.value().map(<[u8]>::to_vec),
        headers: headers.into_iter().map(header).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_share_alike_and_the_longer_ones_make_up_for_the_shorter() {
        assert_eq!(shares(&[100, 100], 10), [5, 5]);
        assert_eq!(shares(&[1, 100, 0], 10), [1, 9, 0]);
        assert_eq!(shares(&[2, 3], 100), [2, 3]);
        assert_eq!(shares(&[9, 9, 9], 2), [1, 1, 0]);
        assert_eq!(shares(&[], 5), Vec::<u64>::new());
    }
}
