//! StarRocks over HTTP: requests, redirects, and what an answer means. The only user of `ureq` for
//! loads. Decides nothing about offsets or retries of a batch: `delivery` does.

pub mod catalog;
pub mod client;
pub mod probe;
pub mod query_port;
pub mod reply;
