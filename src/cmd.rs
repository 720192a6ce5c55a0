//! The subcommands: each reads as its story. Composes; owns no logic of its own.

pub mod check;
pub mod load;
pub mod map;
