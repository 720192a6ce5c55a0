//! What a run tells whoever watches it. Facts only: wording belongs to `report/`.

use std::time::Duration;

use crate::record::OffsetRange;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    Started(Started),
    /// Something that was coped with; the hint says what would avoid it.
    Warning {
        text: String,
        hint: Option<String>,
    },
    /// Worth a line at `-v`.
    Info(String),
    /// One step of the delivery protocol, at `-v`.
    Step(String),
    /// One table's share of a committed batch.
    Load(Load),
    /// A label found pending at a start, and what became of it.
    Settled(Audited),
    /// Where the run stands; several times a second.
    Progress(Progress),
    /// The run is over, well or not.
    Summary(Summary),
}

#[derive(Debug, Clone)]
pub struct Started {
    pub name: String,
    pub group: String,
    pub topics: Vec<String>,
    pub partitions: usize,
    pub tables: Vec<String>,
    /// One sentence: what is promised.
    pub guarantee: &'static str,
    pub guarantee_name: &'static str,
}

#[derive(Debug, Clone)]
pub struct Load {
    pub table: String,
    pub label: String,
    pub rows: u64,
    pub bytes: u64,
    pub filtered: u64,
    /// Offsets of the batch that the label belongs to: the rows came from here.
    pub ranges: Vec<OffsetRange>,
}

/// One label of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    pub label: String,
    /// `None` where an earlier process loaded it: a label carries only its table's hash.
    pub table: Option<String>,
    pub rows: Option<u64>,
    /// `committed`, or `aborted`: its rows were read again.
    pub state: &'static str,
    /// Left by an earlier process or assignment and settled by this run.
    pub found_pending: bool,
    /// Offsets of the batch, on partitions of this process.
    pub ranges: Vec<OffsetRange>,
}

/// One table so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableProgress {
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    pub loads: u64,
    pub filtered: u64,
    /// Offsets done and to do, where the run has an end.
    pub done: u64,
    pub total: Option<u64>,
    /// From the first record of this table to its last receipt.
    pub busy: Duration,
}

#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub tables: Vec<TableProgress>,
    /// Since the run began.
    pub elapsed: Duration,
    pub read: u64,
    pub skipped: u64,
    pub in_flight_loads: usize,
    pub in_flight_bytes: u64,
    /// Records behind the end of the topics, where known.
    pub lag: Option<u64>,
    pub since_last_load: Option<Duration>,
    /// Why nothing moves, if something is known to be in the way.
    pub waiting_for: Option<String>,
    /// A person asked (SIGUSR1): print a line now.
    pub asked: bool,
}

/// The books of a run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub tables: Vec<TableProgress>,
    pub elapsed: Duration,
    /// Records read = `loaded_records` + `skipped` + `already_loaded`, for what was committed.
    pub read: u64,
    pub loaded_records: u64,
    pub skipped: u64,
    /// Rows of a replay that their table had already.
    pub already_loaded: u64,
    /// What was committed in this run, per partition.
    pub committed: Vec<OffsetRange>,
    /// Where a bounded run had to end, in words.
    pub bound: Option<String>,
    pub complete: bool,
    /// An earlier run of the same bounded load had loaded everything: nothing was left to do.
    pub done_before: bool,
    /// Labels of the run, newest last, at most [`Summary::MOST_LABELS`].
    pub audit: Vec<Audited>,
    pub guarantee_name: &'static str,
}

impl Summary {
    pub const MOST_LABELS: usize = 1000;
}
