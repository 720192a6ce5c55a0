//! A record's way to its rows: topic to table, value to columns. Knows tables as it is told of them;
//! asks nobody.

pub mod cell;
pub mod columns;
pub mod layout;
pub mod maker;
pub mod plan;
pub mod readable;
pub mod route;
pub mod verdict;
pub mod ddl;
pub mod derive;
pub mod infer;
pub mod survey;
