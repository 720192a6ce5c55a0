//! The yardstick: one thread, one `poll` per record, nothing done with it.

use std::time::Duration;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// Reads `rows` records and returns.
pub(super) fn read(bootstrap: &str, topic: &str, partitions: i32, rows: u64) -> Result<()> {
    let consumer: BaseConsumer = super::bare_consumer(bootstrap).create()?;
    consumer.assign(&super::whole(topic, partitions)?)?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < rows {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            bytes += message?.payload_len();
            seen += 1;
        }
    }
    println!("{seen} records, {bytes} bytes");
    Ok(())
}
