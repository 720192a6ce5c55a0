//! Everything that speaks to Kafka, and the translation of what its Java clients are told.

pub mod auth;
pub mod jaas;
mod keystore;
pub mod names;
