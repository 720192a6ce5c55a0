//! Values out, load bodies' rows in: what a row looks like on the wire. Knows no table.

pub mod connect_json;
