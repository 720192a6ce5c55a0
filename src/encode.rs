//! Rows into load bodies. Pure: bytes and values in, bytes out. Knows no table.

pub mod connect_json;
pub mod csv;
pub mod json;
