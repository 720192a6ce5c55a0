//! What the end-to-end suite and the benchmark stand on: real Kafka brokers, loaders of test
//! data, the StarRocks under test and the `starsink` program as a user would run it.
//!
//! Shares no code with the program itself: what it counts, it counts by its own means.

/// A child process that never outlives this one.
pub mod child;
/// The benchmark's row with its schema, and as a change event.
pub mod envelope;
/// Kafka Connect and Debezium, started from Maven artifacts.
pub mod connect;
/// Apache Kafka brokers, started from Maven artifacts.
pub mod kafka;
/// The workspace's directories and binaries.
pub mod place;
/// A PostgreSQL that decodes its log.
pub mod postgres;
/// Filling topics: fast, at a rate, in transactions.
pub mod produce;
/// A TCP relay that can die.
pub mod proxy;
/// A schema registry, and producers that use it.
pub mod registry;
/// Reading topics back.
pub mod read;
/// The benchmark's row.
pub mod row;
/// The StarRocks under test: the stand-in, or a real one.
pub mod starrocks;
/// The `starsink` program and what it wrote.
pub mod starsink;
/// Creating, deleting and measuring topics.
pub mod topics;
