//! The end-to-end suite: the `starsink` binary between a real Kafka broker and a StarRocks.
//!
//! `cargo test -p e2e --test e2e`. Which parts are real, and the variables that exchange them, are
//! in `tests/e2e/README.md`. What is left out says so on stderr.

/// The broker, the StarRocks and the configuration of a test.
mod scene;

/// Records that cannot be loaded: skipped, set aside, found among the others, loaded again.
mod bad_data;
/// Bounded loads: interrupted, by time, through transactions.
mod bounded;
/// The brokers and loaders themselves keep their promises.
mod brokers;
/// PostgreSQL, Debezium and the page's own files.
mod change_data;
/// Converters and transforms against the Java classes, on random records and chains.
mod differential;
/// What `check` finds on a real broker.
mod check;
/// Errors of Kafka and StarRocks, by text and exit code.
mod errors;
/// Kill −9, SIGSTOP, two processes: each record once all the same.
mod exactly_once;
/// Every line of the fault table.
mod faults;
/// What `map` shows and proposes.
mod map;
/// The documentation page's own files.
mod page;
/// Schemas, columns, transforms and change data.
mod records;
/// Avro, Protobuf and JSON Schema with a schema registry.
mod registered;
/// Topics to tables, formats, partial update.
mod routes;
/// SASL_SSL.
mod security;
/// `tail` with a target that stalls.
mod stalled;
/// Bars and what is left of them.
mod terminal;
