//! The stand-in as a client sees it, line by line of its checklist: plain TCP, no loader code.
//! Each module holds the tests of one part of the checklist.

mod client;
mod faults;
mod frontend;
mod happy;
mod matrix;
mod rows;
mod statements;
