//! starsink loads Apache Kafka topics into StarRocks through Stream Load.
//!
//! Modules stand in reading order: what a record is, how a run is described, how rows are made,
//! how they reach StarRocks, and what a person sees of it. `docs/ARCHITECTURE.md` is the map.

pub mod data;
pub mod error;
pub mod java_regex;
pub mod record;
pub mod secret;

pub mod config;
pub mod convert;
pub mod encode;
pub mod transform;
