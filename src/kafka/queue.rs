//! librdkafka's batch queue behind a safe interface; with `rights.rs` the only `unsafe` code.
//!
//! Reading messages one by one through `poll` costs 0.68 CPU-seconds per million records of 185
//! bytes, this queue 0.25 (2 cores, uncompressed, 6 partitions). All partitions of the consumer are
//! forwarded to one queue of our own; group events stay on the consumer's queue and are served by
//! `poll`, so a queue that nobody reads keeps the group membership. librdkafka stops fetching when
//! the queue is full, which makes "do not read" the way to pause.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;
use std::{ptr, slice};

use rdkafka::bindings as ffi;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::kafka::given::Record;

/// A queue that all assigned partitions are forwarded to. One thread reads it.
pub struct Queue<C: ConsumerContext + 'static> {
    ptr: Arc<QueuePtr>,
    // Declared after the queue: the queue is destroyed first.
    consumer: Arc<BaseConsumer<C>>,
}

struct QueuePtr(NonNull<ffi::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread; they lock inside.
unsafe impl Send for QueuePtr {}
unsafe impl Sync for QueuePtr {}

/// Ends a waiting [`Queue::read`] from another thread.
#[derive(Clone)]
pub struct Waker(Arc<QueuePtr>);

/// Messages in the order they arrived. Their bytes live in librdkafka's fetch buffers until the
/// last message of a buffer is dropped.
pub struct Messages {
    ptrs: Vec<NonNull<ffi::rd_kafka_message_t>>,
    /// Records from elsewhere.
    given: Vec<Record>,
}

// SAFETY: a message belongs to whoever holds its pointer; librdkafka allows reading and destroying
// it on any thread.
unsafe impl Send for Messages {}

/// One message, or the news that a partition's end was reached.
#[derive(Clone, Copy)]
pub struct Message<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Kafka(&'a ffi::rd_kafka_message_t),
    Given(&'a Record),
}

/// What a queue entry is.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    Record,
    /// Nothing is left at the moment; the entry's offset is the position at the end, past control
    /// records and compacted ones.
    EndOfPartition,
    /// The partition cannot be read on.
    Error(RDKafkaErrorCode),
}

impl<C: ConsumerContext + 'static> Queue<C> {
    pub fn new(consumer: Arc<BaseConsumer<C>>) -> Self {
        // SAFETY: the handle is alive as long as the consumer; a queue is never null.
        let ptr = unsafe { ffi::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let ptr = NonNull::new(ptr).expect("rd_kafka_queue_new allocates or aborts");
        Queue { ptr: Arc::new(QueuePtr(ptr)), consumer }
    }

    /// Sends a partition's messages here from now on. To be called before each assignment: the
    /// forwarding then outlives the start of the fetcher.
    pub fn forward(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: handle and both queues are alive; the partition's reference is given back.
        unsafe {
            let client = self.consumer.client().native_ptr();
            let source = ffi::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !source.is_null() {
                ffi::rd_kafka_queue_forward(source, self.ptr.0.as_ptr());
                ffi::rd_kafka_queue_destroy(source);
            }
        }
    }

    /// Takes up to `most` entries, waiting up to `wait` for the first.
    pub fn read(&self, most: usize, wait: Duration) -> Messages {
        let mut ptrs: Vec<*mut ffi::rd_kafka_message_t> = Vec::with_capacity(most);
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: librdkafka writes at most `most` pointers into the spare capacity and returns
        // how many (negative: none); each is then owned here.
        let count = unsafe {
            ffi::rd_kafka_consume_batch_queue(self.ptr.0.as_ptr(), wait_ms, ptrs.as_mut_ptr(), most)
        };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the first `count` elements were written just now.
        unsafe { ptrs.set_len(count) };
        Messages { ptrs: ptrs.into_iter().filter_map(NonNull::new).collect(), given: vec![] }
    }

    /// The end of a partition as last heard from its leader; asks nobody.
    pub fn cached_end(&self, topic: &str, partition: u32) -> Option<u64> {
        let topic = CString::new(topic).ok()?;
        let partition = i32::try_from(partition).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the handle is alive; librdkafka writes two numbers.
        let error = unsafe {
            let client = self.consumer.client().native_ptr();
            ffi::rd_kafka_get_watermark_offsets(
                client,
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        let known = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        u64::try_from(high).ok().filter(|_| known)
    }

    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.ptr))
    }
}

impl Drop for QueuePtr {
    fn drop(&mut self) {
        // SAFETY: the last holder gives the queue back once.
        unsafe { ffi::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

impl Waker {
    pub fn wake(&self) {
        // SAFETY: the queue is alive as long as this reference.
        unsafe { ffi::rd_kafka_queue_yield(self.0.0.as_ptr()) };
    }
}

impl Messages {
    pub fn none() -> Self {
        Messages { ptrs: vec![], given: vec![] }
    }

    /// Records from elsewhere.
    pub fn of(given: Vec<Record>) -> Self {
        Messages { ptrs: vec![], given }
    }

    pub fn len(&self) -> usize {
        self.ptrs.len() + self.given.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ptrs.is_empty() && self.given.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: each pointer is a live message owned by `self`.
        let kafka = self.ptrs.iter().map(|ptr| Message(Form::Kafka(unsafe { ptr.as_ref() })));
        kafka.chain(self.given.iter().map(|record| Message(Form::Given(record))))
    }

    /// Gives each message to the lane that `choose` names, `None` destroys it; order is kept.
    pub fn split(
        mut self,
        lanes: usize,
        mut choose: impl FnMut(Message) -> Option<usize>,
    ) -> Vec<Messages> {
        let mut parts: Vec<Messages> = (0..lanes).map(|_| Messages::none()).collect();
        for ptr in self.ptrs.drain(..) {
            // SAFETY: the message is alive and owned here until it is pushed or dropped.
            match choose(Message(Form::Kafka(unsafe { ptr.as_ref() }))) {
                Some(lane) => parts[lane].ptrs.push(ptr),
                None => drop(Messages { ptrs: vec![ptr], given: vec![] }),
            }
        }
        for record in self.given.drain(..) {
            if let Some(lane) = choose(Message(Form::Given(&record))) {
                parts[lane].given.push(record);
            }
        }
        parts
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for ptr in &self.ptrs {
            // SAFETY: owned here, destroyed once.
            unsafe { ffi::rd_kafka_message_destroy(ptr.as_ptr()) };
        }
    }
}

impl<'a> Message<'a> {
    pub fn entry(self) -> Entry {
        let Form::Kafka(message) = self.0 else { return Entry::Record };
        match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Entry::Record,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Entry::EndOfPartition,
            error => Entry::Error(error.into()),
        }
    }

    /// Names the topic for as long as the consumer lives: equal keys, equal topics.
    pub fn topic_key(self) -> usize {
        match self.0 {
            Form::Kafka(message) => message.rkt as usize,
            Form::Given(record) => Arc::as_ptr(&record.topic).cast::<u8>() as usize,
        }
    }

    pub fn topic(self) -> &'a str {
        let message = match self.0 {
            Form::Kafka(message) => message,
            Form::Given(record) => return &record.topic,
        };
        if message.rkt.is_null() {
            return "";
        }
        // SAFETY: the message holds its topic; topic names are ASCII.
        let name: *const c_char = unsafe { ffi::rd_kafka_topic_name(message.rkt) };
        // SAFETY: a NUL-terminated string that lives as long as the topic.
        unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default()
    }

    pub fn partition(self) -> u32 {
        match self.0 {
            Form::Kafka(message) => u32::try_from(message.partition).unwrap_or_default(),
            Form::Given(record) => record.partition,
        }
    }

    /// The record's offset, or the position at an end of partition.
    pub fn offset(self) -> u64 {
        match self.0 {
            Form::Kafka(message) => u64::try_from(message.offset).unwrap_or_default(),
            Form::Given(record) => record.offset,
        }
    }

    /// `None`: a tombstone.
    pub fn value(self) -> Option<&'a [u8]> {
        match self.0 {
            Form::Kafka(message) => bytes(message.payload, message.len),
            Form::Given(record) => record.value.as_deref(),
        }
    }

    pub fn key(self) -> Option<&'a [u8]> {
        match self.0 {
            Form::Kafka(message) => bytes(message.key, message.key_len),
            Form::Given(record) => record.key.as_deref(),
        }
    }

    /// Appends the headers in order; a name that is not UTF-8 is empty.
    pub fn headers(self, out: &mut Vec<(&'a str, Option<&'a [u8]>)>) {
        let message = match self.0 {
            Form::Kafka(message) => message,
            Form::Given(record) => {
                let headers = record.headers.iter();
                return out.extend(headers.map(|(name, value)| (&**name, value.as_deref())));
            }
        };
        let mut headers: *mut ffi::rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: the message is alive; librdkafka writes a pointer to headers it keeps with it.
        let error = unsafe { ffi::rd_kafka_message_headers(message, &raw mut headers) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: librdkafka writes name, value and length of header `at`, or says there is none.
            let error = unsafe {
                ffi::rd_kafka_header_get_all(
                    headers,
                    at,
                    &raw mut name,
                    &raw mut value,
                    &raw mut len,
                )
            };
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return;
            }
            // SAFETY: a NUL-terminated string that lives as long as the message.
            let name: &'a CStr = unsafe { CStr::from_ptr(name) };
            out.push((name.to_str().unwrap_or_default(), bytes(value.cast_mut(), len)));
        }
    }

    /// Milliseconds since the epoch.
    pub fn timestamp_ms(self) -> Option<i64> {
        let message = match self.0 {
            Form::Kafka(message) => message,
            Form::Given(record) => return record.timestamp_ms,
        };
        // SAFETY: reads fields of a live message.
        let time = unsafe { ffi::rd_kafka_message_timestamp(message, ptr::null_mut()) };
        (time >= 0).then_some(time)
    }
}

impl Message<'_> {
    /// Milliseconds since the epoch, as its producer said; `None` where the broker stamps records itself.
    pub fn created_ms(self) -> Option<i64> {
        let Form::Kafka(message) = self.0 else { return self.timestamp_ms() };
        let mut kind = ffi::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads fields of a live message, and writes the kind.
        let time = unsafe { ffi::rd_kafka_message_timestamp(message, &raw mut kind) };
        let is_created = kind == ffi::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME;
        (is_created && time >= 0).then_some(time)
    }
}

fn bytes<'a>(start: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka's pointer and length describe bytes that live as long as the message.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), len) })
}
