//! starsink loads Apache Kafka topics into StarRocks through Stream Load.
//!
//! Modules stand in reading order: what a record is, how a run is described, how rows are made,
//! how they reach StarRocks, and what a person sees of it. `docs/ARCHITECTURE.md` is the map.

pub mod batch;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod delivery;
pub mod encode;
pub mod error;
pub mod event;
pub mod kafka;
pub mod mapping;
pub mod pipeline;
pub mod record;
pub mod report;
pub mod secret;
pub mod signal;
pub mod starrocks;
