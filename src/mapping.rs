//! Topic to table. Columns and record plans join here with the formats.

pub mod route;
