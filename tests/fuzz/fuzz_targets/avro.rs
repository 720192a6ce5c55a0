//! Fuzz target `avro`; what it does stands in `doors.rs`.

#![no_main]

#[path = "../doors.rs"]
#[allow(dead_code)]
mod doors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doors::avro(bytes));
