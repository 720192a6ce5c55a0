//! What a run tells whoever watches it. Facts only: wording belongs to `report/`.

use std::time::Duration;

use crate::record::{Offset, OffsetRange, Partition};

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    Started(Started),
    /// Something that was coped with; the hint says what would avoid it.
    Warning {
        text: String,
        hint: Option<String>,
    },
    /// Worth a line, though nothing is wrong.
    Notice(String),
    /// Worth a line at `-v`.
    Info(String),
    /// One step of the delivery protocol, at `-v`.
    Step(String),
    /// One table's share of a committed batch.
    Load(Load),
    /// A label found pending at a start, and what became of it.
    Settled(Audited),
    /// A record that was set aside or skipped; told when its batch is committed.
    Refused(Refused),
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
    /// `None` where an earlier process loaded it into a table that no topic of this run names: a label
    /// carries only its table's hash.
    pub table: Option<String>,
    /// `None` where an earlier process loaded it.
    pub rows: Option<u64>,
    /// `committed`; `aborted`: its rows were read again; or `pending`: the next run settles it.
    pub state: &'static str,
    /// Left by an earlier process or assignment and settled by this run.
    pub found_pending: bool,
    /// Offsets of the batch, on partitions of this process.
    pub ranges: Vec<OffsetRange>,
}

/// One record that was not loaded.
#[derive(Debug, Clone)]
pub struct Refused {
    /// `topic[partition]@offset`.
    pub place: String,
    pub reason: Reasoned,
    /// The beginning of its value, where that is to be shown.
    pub excerpt: Option<String>,
    /// Set aside as a dead letter, else skipped.
    pub is_set_aside: bool,
    /// Each one is to be told, not only the first of a batch.
    pub is_asked_for: bool,
}

/// Why records were not loaded, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Reasoned {
    /// Connect's name of the stage.
    pub stage: String,
    /// What could not be done, without any value of the record.
    pub what: String,
    /// `database.table`, where it is known.
    pub table: Option<String>,
    pub count: u64,
    /// The first one: `topic[partition]@offset`.
    pub first: String,
    /// Why, for the first one.
    pub cause: Option<String>,
}

/// One table so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableProgress {
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    pub loads: u64,
    /// Rows that StarRocks left out: `max_filter_ratio`, `where`.
    pub filtered_rows: u64,
    /// Records that make no row, as configured; where the topic alone says the table.
    pub filtered: u64,
    pub set_aside: u64,
    pub skipped: u64,
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
    pub filtered: u64,
    pub set_aside: u64,
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
    /// Once a second, where a status file is kept: what is committed so far.
    pub books: Option<Box<Summary>>,
}

/// The books of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBook {
    pub partition: Partition,
    pub first: Offset,
    pub next: Offset,
    pub read: u64,
    pub loaded: u64,
    /// Records whose one row StarRocks left out, where all of a batch came from this partition; else they are
    /// among the loaded here.
    pub left_out: u64,
    pub set_aside: u64,
    pub skipped: u64,
    pub filtered: u64,
    pub already_loaded: u64,
    /// Offsets without a record: compaction, transaction markers, aborted transactions.
    pub gaps: u64,
}

impl PartitionBook {
    pub fn new(partition: Partition, first: Offset) -> Self {
        PartitionBook {
            partition,
            first,
            next: first,
            read: 0,
            loaded: 0,
            left_out: 0,
            set_aside: 0,
            skipped: 0,
            filtered: 0,
            already_loaded: 0,
            gaps: 0,
        }
    }
}

/// The books of a run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub tables: Vec<TableProgress>,
    pub elapsed: Duration,
    /// Records read = `loaded_records` + `left_out` + `set_aside` + `skipped` + `filtered` + `already_loaded`,
    /// for what was committed.
    pub read: u64,
    pub loaded_records: u64,
    /// Records whose one row StarRocks left out (`max_filter_ratio`, `where`).
    pub left_out: u64,
    /// Records that could not be loaded and are kept as dead letters.
    pub set_aside: u64,
    /// Records that could not be loaded and were passed over.
    pub skipped: u64,
    /// Records that make no row, as configured: tombstones, what transforms drop, repeated dead letters.
    pub filtered: u64,
    /// Those among them that are dead letters of a record which another letter of this run holds as well.
    pub repeated: u64,
    /// Why records were set aside or skipped.
    pub reasons: Vec<Reasoned>,
    /// The same, with those of the batch that ended the run and was not loaded; empty if none did.
    pub stopped_by: Vec<Reasoned>,
    /// Where dead letters went, in words.
    pub dead_letters: Option<String>,
    /// Loads that only looked for rows that StarRocks rejects.
    pub extra_loads: u64,
    /// The same by partition.
    pub partitions: Vec<PartitionBook>,
    /// Rows of a replay that their table had already.
    pub already_loaded: u64,
    /// What was committed in this run, per partition.
    pub committed: Vec<OffsetRange>,
    /// Where a bounded run had to end, in words.
    pub bound: Option<String>,
    pub complete: bool,
    /// Batches that an earlier run had left pending: found loaded, or finished, at the start of this one.
    pub settled: Vec<OffsetRange>,
    /// A batch of this run is not settled: the next run does it first.
    pub left_pending: bool,
    /// A signal ended it.
    pub interrupted: bool,
    /// Nothing was loaded: records were read and converted to be counted.
    pub dry_run: bool,
    /// An earlier run of the same bounded load had loaded everything: nothing was left to do.
    pub done_before: bool,
    /// Labels of the run, newest last, at most [`Summary::MOST_LABELS`].
    pub audit: Vec<Audited>,
    pub guarantee_name: &'static str,
}

impl Summary {
    pub const MOST_LABELS: usize = 1000;
}
