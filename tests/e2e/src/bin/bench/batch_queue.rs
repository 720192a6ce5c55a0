//! The least that reading with librdkafka can cost: its batch queue, through its C interface.

use std::ptr;

use anyhow::{Result, bail, ensure};
use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

const BATCH: usize = 10_000;
const WAIT_MS: i32 = 1_000;

/// Reads `rows` records and returns.
pub(super) fn read(bootstrap: &str, topic: &str, partitions: i32, rows: u64) -> Result<()> {
    let consumer: BaseConsumer = super::bare_consumer(bootstrap).create()?;
    consumer.assign(&super::whole(topic, partitions)?)?;
    // SAFETY: the client lives until the end of this function, the queue is destroyed before.
    let queue = unsafe { rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    ensure!(!queue.is_null(), "the consumer has no queue");
    let mut batch: Vec<*mut rd::rd_kafka_message_t> = vec![ptr::null_mut(); BATCH];
    let (mut seen, mut bytes) = (0, 0);
    while seen < rows {
        // SAFETY: `batch` has room for BATCH pointers.
        let n =
            unsafe { rd::rd_kafka_consume_batch_queue(queue, WAIT_MS, batch.as_mut_ptr(), BATCH) };
        let Ok(n) = usize::try_from(n) else { bail!("reading a batch failed") };
        for message in &batch[..n] {
            // SAFETY: the first n pointers are messages that are ours until we destroy them, once.
            let (error, len) = unsafe {
                let read = ((**message).err, (**message).len);
                rd::rd_kafka_message_destroy(*message);
                read
            };
            if error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                seen += 1;
                bytes += len;
            }
        }
    }
    // SAFETY: the reference taken above is given back, once.
    unsafe { rd::rd_kafka_queue_destroy(queue) };
    println!("{seen} records, {bytes} bytes");
    Ok(())
}
