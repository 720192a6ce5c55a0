//! The one integration binary: each module is an area seen through its public boundary.

/// The policy for records that cannot be loaded.
mod bad_data;
/// What can be typed, and the files generated from it.
mod cli;
/// `check` on set-ups that are broken in one place each.
mod check;
/// Configuration files to a job, and everything that can be wrong with them.
mod config;
/// The page of errors: each can be said, and a test expects it.
mod errors;
/// The reference of keys, generated from their table.
mod config_md;
/// Java's stores of keys and certificates, made by Java's own tool.
mod keystores;
/// librdkafka's own judgement on translated properties.
mod librdkafka;
/// `starsink map` through the binary.
mod map;
/// The house rules that a machine can check.
mod tidy;
/// Nested arrays into rows.
mod explode;
/// The documented Debezium recipe, with and without schemas.
mod recipe;
/// Records into rows, by configuration text and described tables.
mod rows;
/// The recorded results of Kafka's, Kafka Connect's and Debezium's classes.
mod vectors;
/// The fuzz targets over a bounded corpus.
mod fuzz;
/// A schema registry's client against canned answers.
mod registry;
