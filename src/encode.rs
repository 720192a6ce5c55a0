//! Rows into load bodies. Pure: bytes in, bytes out.

pub mod csv;
pub mod json;
