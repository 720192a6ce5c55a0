//! Reading a topic back, record by record: what a test compares with what it put.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::topics;

const WITHIN: Duration = Duration::from_secs(60);

/// One record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition it stands in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// The text of the first header of this name.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        found.1.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// Every record of committed transactions that `topic` holds now.
pub fn all(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
    let ends = topics::watermarks(bootstrap, topic)?;
    let mut starts = vec![];
    for (partition, (low, _)) in ends.iter().enumerate() {
        starts.push((i32::try_from(partition)?, *low));
    }
    let consumer = reader(bootstrap, topic, &starts)?;
    let (mut records, mut left) = (vec![], ends.len());
    let deadline = Instant::now() + WITHIN;
    while left > 0 {
        if Instant::now() >= deadline {
            bail!("`{topic}` was not read to its end within {WITHIN:?}");
        }
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => return Err(error).context("read a topic"),
            Some(Ok(message)) => records.push(record(&message)),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// The record at one place.
pub fn at(bootstrap: &str, topic: &str, partition: i32, offset: i64) -> Result<Record> {
    let consumer = reader(bootstrap, topic, &[(partition, offset)])?;
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Ok(message)) if message.offset() == offset => return Ok(record(&message)),
            Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => {
                bail!("no record at {topic}[{partition}]@{offset}")
            }
            Some(Err(error)) => return Err(error).context("read a record"),
        }
    }
    bail!("`{topic}` was not read within {WITHIN:?}")
}

/// A consumer that begins at these places.
fn reader(bootstrap: &str, topic: &str, starts: &[(i32, i64)]) -> Result<BaseConsumer> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in starts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "e2e-read")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("log_level", "0")
        .create()
        .context("make a consumer")?;
    consumer.assign(&list).context("assign")?;
    Ok(consumer)
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message
            .headers()
            .iter()
            .flat_map(|headers| headers.iter())
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}
