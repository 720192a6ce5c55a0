//! A topic's last records, read without a group: to look at, never to load. Commits nothing and owns
//! no position beyond the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Problem;
use crate::kafka::consumer::Consumer;
use crate::kafka::queue::{Entry, Message};
use crate::record::{Offset, Partition};

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
    pub headers: Vec<(String, Option<Vec<u8>>)>,
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
    let starts: Vec<(Partition, Offset)> = ranges
        .iter()
        .zip(shares)
        .filter(|(_, share)| *share > 0)
        .map(|((partition, _, high), share)| (partition.clone(), Offset(high.0 - share)))
        .collect();
    if starts.is_empty() {
        return Ok(vec![]);
    }
    consumer.assign(&starts)?;
    let read = read(consumer, &ranges, starts.len());
    consumer.unassign();
    read.map(|mut records| {
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    })
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

/// Reads each partition up to its end as it was.
fn read(
    consumer: &Consumer,
    ranges: &[(Partition, Offset, Offset)],
    mut open: usize,
) -> Result<Vec<Sampled>, Problem> {
    let end = |number: u32| {
        let range = ranges.iter().find(|(partition, ..)| partition.number == number);
        range.map_or(0, |(_, _, high)| high.0)
    };
    let mut done: Vec<u32> = vec![];
    let mut records = vec![];
    let mut bytes = 0;
    let mut heard = Instant::now();
    while open > 0 && bytes < MOST_BYTES && heard.elapsed() < PATIENCE {
        // Serves what librdkafka has to say; it is no member of a group.
        consumer.poll(Duration::ZERO)?;
        for message in consumer.queue().read(AT_ONCE, Duration::from_millis(50)).iter() {
            heard = Instant::now();
            let number = message.partition();
            let next = match message.entry() {
                Entry::Record => {
                    bytes += message.value().map_or(0, <[u8]>::len);
                    if message.offset() < end(number) {
                        records.push(owned(message));
                    }
                    message.offset() + 1
                }
                Entry::EndOfPartition => u64::MAX,
                Entry::Error(code) => {
                    let what = format!("cannot read {}[{number}]", message.topic());
                    return Err(Problem::unavailable(what).cause(format!("{code:?}")));
                }
            };
            if next >= end(number) && !done.contains(&number) {
                done.push(number);
                open -= 1;
            }
        }
    }
    Ok(records)
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
