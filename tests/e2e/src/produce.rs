//! Fills topics through librdkafka's producer: as fast as it goes, at a steady rate, or in
//! transactions. Every record that the broker did not acknowledge is an error.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::envelope;
use crate::row::Row;

const FLUSH_WITHIN: Duration = Duration::from_secs(120);
const TRANSACTION_WITHIN: Duration = Duration::from_secs(60);
/// A paced producer sleeps this long between bursts.
const BEAT: Duration = Duration::from_millis(10);

/// How record batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Compression, String> {
        [Compression::None, Compression::Lz4, Compression::Zstd]
            .into_iter()
            .find(|known| known.to_string() == text)
            .ok_or_else(|| format!("no compression `{text}`; there are none, lz4 and zstd"))
    }
}

/// What a row looks like as a record's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One JSON object, 185 bytes.
    Json,
    /// One line of CSV without its end, with this separator.
    Csv(String),
    /// JSON with its schema, for JsonConverter with `schemas.enable=true`.
    Schema,
    /// A Debezium insert with its schema.
    ChangeEvent,
    /// JSON, but every n-th record of a partition (the first, the n+1-st, …) has no value.
    JsonWithTombstones(u64),
    /// Avro in Confluent's frame, 36 bytes, under the schema with this id.
    Avro(i32),
}

/// The timestamp of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// When it was produced.
    Now,
    /// `first_ms` for the first record of each partition, and one more for each that follows.
    Counting {
        /// Milliseconds since 1970.
        first_ms: i64,
    },
}

/// Which rows to put where.
#[derive(Debug, Clone)]
pub struct Load {
    /// An existing topic.
    pub topic: String,
    /// Partitions to fill, from 0; row by row in turn.
    pub partitions: u32,
    /// Index in its partition of the first row ([`Row::index`]).
    pub first: u64,
    /// Rows in all.
    pub rows: u64,
    /// Form of the values; the key is the row's id in decimal.
    pub shape: Shape,
    /// Timestamps.
    pub stamp: Stamp,
    /// Batches on the wire.
    pub compression: Compression,
}

impl Load {
    /// `rows` JSON rows, uncompressed, stamped now, into partitions that are empty so far.
    pub fn json(topic: &str, partitions: u32, rows: u64) -> Load {
        Load {
            topic: topic.to_owned(),
            partitions,
            first: 0,
            rows,
            shape: Shape::Json,
            stamp: Stamp::Now,
            compression: Compression::None,
        }
    }

    /// The rows this load produces, in order.
    pub fn all(&self) -> impl Iterator<Item = Row> + use<> {
        let (partitions, first) = (u64::from(self.partitions), self.first);
        (0..self.rows).map(move |n| Row {
            partition: u32::try_from(n % partitions).expect("less than a u32"),
            index: first + n / partitions,
        })
    }
}

/// One record to put as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    /// Kafka partition.
    pub partition: i32,
    /// Key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values of its headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Milliseconds since 1970; now, if absent.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Message<'a> {
    /// A record for partition 0 without a key.
    pub fn value(value: &'a str) -> Message<'a> {
        Message { value: Some(value.as_bytes()), ..Message::default() }
    }
}

/// Puts `messages` into `topic` in order and returns when all are acknowledged.
pub fn put(bootstrap: &str, topic: &str, messages: &[Message<'_>]) -> Result<()> {
    let sender = Sender::new(bootstrap, Compression::None, None)?;
    messages.iter().try_for_each(|message| sender.send(topic, message))?;
    sender.finish()
}

/// Produces `load` as fast as it goes.
pub fn fast(bootstrap: &str, load: &Load) -> Result<()> {
    let sender = Sender::new(bootstrap, load.compression, None)?;
    let mut text = String::with_capacity(256);
    load.all().try_for_each(|row| sender.send_row(load, row, &mut text))?;
    sender.finish()
}

/// Produces `load` at `per_second` rows until it is done or `stop` says so; returns the number of
/// rows put.
pub fn steady(
    bootstrap: &str,
    load: &Load,
    per_second: u32,
    stop: impl Fn() -> bool,
) -> Result<u64> {
    let sender = Sender::new(bootstrap, load.compression, None)?;
    let (start, mut text, mut sent) = (Instant::now(), String::with_capacity(256), 0_u64);
    let mut rows = load.all();
    while !stop() {
        // Counted from the start, so that a late beat is made up for.
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        for row in rows.by_ref().take(due.saturating_sub(sent).try_into()?) {
            sender.send_row(load, row, &mut text)?;
            sent += 1;
        }
        if sent == load.rows {
            break;
        }
        sender.producer.poll(Duration::ZERO);
        thread::sleep(BEAT);
    }
    sender.finish()?;
    Ok(sent)
}

/// What became of a load in transactions.
#[derive(Debug)]
pub struct Transactions {
    /// Rows of committed transactions: what a `read_committed` reader must see, in order.
    pub committed: Vec<Row>,
    /// Number of rows in transactions that were rolled back.
    pub aborted: u64,
}

/// Produces `load` in transactions of `each` rows and rolls every `abort_every`-th back (0: none).
/// With control records and rolled back rows in between, an index is no longer an offset.
pub fn in_transactions(
    bootstrap: &str,
    load: &Load,
    each: u64,
    abort_every: u64,
) -> Result<Transactions> {
    ensure!(each > 0, "a transaction needs a row");
    let id = format!("e2e-{}-{}", std::process::id(), load.topic);
    let sender = Sender::new(bootstrap, load.compression, Some(&id))?;
    sender.producer.init_transactions(TRANSACTION_WITHIN).context("init transactions")?;
    let mut done = Transactions { committed: Vec::new(), aborted: 0 };
    let (mut rows, mut text) = (load.all().peekable(), String::new());
    let mut count = 0;
    while rows.peek().is_some() {
        count += 1;
        let part: Vec<Row> = rows.by_ref().take(usize::try_from(each)?).collect();
        sender.producer.begin_transaction().context("begin a transaction")?;
        part.iter().try_for_each(|row| sender.send_row(load, *row, &mut text))?;
        // Rows must reach the log before they are rolled back, or nothing would be there to skip.
        sender.producer.flush(FLUSH_WITHIN).context("flush")?;
        if abort_every > 0 && count % abort_every == 0 {
            sender.producer.abort_transaction(TRANSACTION_WITHIN).context("abort")?;
            done.aborted += part.len() as u64;
        } else {
            sender.producer.commit_transaction(TRANSACTION_WITHIN).context("commit")?;
            done.committed.extend(part);
        }
    }
    sender.finish()?;
    Ok(done)
}

/// A transaction that is neither committed nor rolled back while this value lives.
pub struct OpenTransaction {
    _sender: Sender,
}

/// Leaves `load` in an open transaction: its rows are in the log, and `read_committed` readers
/// reach the end of the partition before them.
pub fn leave_open(bootstrap: &str, load: &Load) -> Result<OpenTransaction> {
    let id = format!("e2e-open-{}-{}", std::process::id(), load.topic);
    let sender = Sender::new(bootstrap, load.compression, Some(&id))?;
    sender.producer.init_transactions(TRANSACTION_WITHIN).context("init transactions")?;
    sender.producer.begin_transaction().context("begin a transaction")?;
    let mut text = String::new();
    load.all().try_for_each(|row| sender.send_row(load, row, &mut text))?;
    sender.producer.flush(FLUSH_WITHIN).context("flush")?;
    Ok(OpenTransaction { _sender: sender })
}

/// Counts records that the broker refused or never acknowledged.
#[derive(Clone, Default)]
struct Undelivered(Arc<AtomicU64>);

impl ClientContext for Undelivered {}

impl ProducerContext for Undelivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Sender {
    producer: BaseProducer<Undelivered>,
    undelivered: Undelivered,
}

impl Sender {
    fn new(bootstrap: &str, compression: Compression, transaction: Option<&str>) -> Result<Sender> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("log_level", "3")
            // Keeps the order of a partition's records also when one is sent again.
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            // The topic's own limit decides what is too large.
            .set("message.max.bytes", "100000000")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "262144")
            .set("compression.codec", compression.to_string());
        if let Some(id) = transaction {
            config.set("transactional.id", id);
        }
        let undelivered = Undelivered::default();
        let producer =
            config.create_with_context(undelivered.clone()).context("make a Kafka producer")?;
        Ok(Sender { producer, undelivered })
    }

    fn send_row(&self, load: &Load, row: Row, text: &mut String) -> Result<()> {
        let tombstone = match &load.shape {
            Shape::Json => false,
            Shape::JsonWithTombstones(every) => row.index.is_multiple_of(*every),
            Shape::Csv(_) | Shape::Schema | Shape::ChangeEvent | Shape::Avro(_) => false,
        };
        let mut binary = Vec::new();
        match &load.shape {
            Shape::Json | Shape::JsonWithTombstones(_) => row.json(text),
            Shape::Csv(separator) => row.csv(separator, text),
            Shape::Schema => envelope::with_schema(row, text),
            Shape::ChangeEvent => envelope::change_event(row, text),
            Shape::Avro(id) => row.avro(*id, &mut binary),
        }
        let timestamp_ms = match load.stamp {
            Stamp::Now => None,
            Stamp::Counting { first_ms } => Some(first_ms + i64::try_from(row.index)?),
        };
        let value = if binary.is_empty() { text.as_bytes() } else { &binary };
        let key = row.id().to_string();
        self.send(
            &load.topic,
            &Message {
                partition: i32::try_from(row.partition)?,
                key: Some(key.as_bytes()),
                value: (!tombstone).then_some(value),
                headers: &[],
                timestamp_ms,
            },
        )
    }

    /// Hands one record to librdkafka, waiting while its queue is full.
    fn send(&self, topic: &str, message: &Message<'_>) -> Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(message.partition);
        record.key = message.key;
        record.payload = message.value;
        record.timestamp = message.timestamp_ms;
        if !message.headers.is_empty() {
            let headers =
                message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(*value) })
                });
            record = record.headers(headers);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(20));
                }
                Err((error, _)) => {
                    return Err(error).with_context(|| format!("produce to `{topic}`"));
                }
            }
        }
    }

    fn finish(self) -> Result<()> {
        self.producer.flush(FLUSH_WITHIN).context("flush what was produced")?;
        match self.undelivered.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            n => bail!("{n} records were not acknowledged"),
        }
    }
}
