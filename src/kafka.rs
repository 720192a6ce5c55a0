<<<<<<< HEAD
//! Kafka through librdkafka: one consumer, its group, its partitions. The only user of `rdkafka`.
//! Knows nothing of StarRocks, and decides nothing about offsets: `delivery` does.

pub mod consumer;
pub mod extent;
pub mod queue;
=======
//! Everything that speaks to Kafka, and the translation of what its Java clients are told.

pub mod auth;
pub mod jaas;
mod keystore;
>>>>>>> front
