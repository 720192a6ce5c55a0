//! Text in, [`job::Job`] out: files, flags and environment become one validated description of a run.

pub mod job;
