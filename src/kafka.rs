//! Kafka through librdkafka: one consumer, its group, its partitions. The only user of `rdkafka`.
//! Knows nothing of StarRocks, and decides nothing about offsets: `delivery` does.

pub mod admin;
pub mod auth;
pub mod cluster;
pub mod consumer;
pub mod extent;
pub mod given;
pub mod jaas;
pub mod names;
pub mod oauth;
pub mod probe;
pub mod producer;
pub mod queue;
pub mod rights;
pub mod sample;

pub use rdkafka::types::RDKafkaErrorCode as ErrorCode;

/// librdkafka's version and what it was built with, `2.12.1 (gzip,snappy,ssl,…)`.
pub fn version() -> String {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    let config = rdkafka::ClientConfig::new().create_native_config();
    let features = config.and_then(|config| config.get("builtin.features"));
    features.map_or(version.clone(), |features| format!("{version} ({features})"))
}
