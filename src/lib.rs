//! starsink loads Apache Kafka topics into StarRocks through Stream Load.
//!
//! Modules stand in reading order: what a record is, how a run is described, how rows are made,
//! how they reach StarRocks, and what a person sees of it. `docs/ARCHITECTURE.md` is the map.

pub mod java_regex;
pub mod keystore;
pub mod error;
pub mod record;
pub mod secret;
pub mod verdict;
pub mod http;
pub mod data;
pub mod config;
pub mod convert;
pub mod transform;
pub mod mapping;
pub mod encode;
pub mod batch;
pub mod delivery;
pub mod kafka;
pub mod registry;
pub mod starrocks;
pub mod dlq;
pub mod event;
pub mod pipeline;
pub mod report;
pub mod signal;
pub mod cli;
pub mod cmd;
