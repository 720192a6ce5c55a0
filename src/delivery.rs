//! Exactly once from Kafka to StarRocks: the protocol "prepare, intend, commit" as a pure state
//! machine. Inputs in, actions out: no clock, no I/O, no threads, no random numbers.
//!
//! The consumer group's committed offset of a partition and the metadata string beside it are the
//! only store ([`cursor`]). A batch is loaded under one label per table, every label is prepared,
//! the intent that names them is written beside the *unchanged* offsets, and only then are the
//! labels committed. Whoever finds an intent finishes it (`recovery.rs`).
//!
//! A server without the transaction interface gets plain loads ([`Settings::is_plain`]): the
//! intent comes first and fixes which records a label stands for; the load follows, and whoever
//! finds the intent loads just these records under the same label (`replay.rs`). StarRocks takes a
//! label once, for as long as it remembers it.
//!
//! # For the executor
//!
//! One thread owns the consumer and the [`Machine`]. It feeds [`Machine::handle`] and carries out
//! the actions **in the order given**. [`Action::FetchOffsets`] and [`Action::WriteOffsets`] are
//! carried out on that thread, synchronously; their result is the very next input, fed in before
//! the actions that stand behind them in the same list (the machine never puts one behind them).
//! All other work may run elsewhere; answers come back as [`Input::Answered`]. An answer to every
//! HTTP action is owed within 60 seconds ([`Answer::Lost`] if need be), except to [`Action::RollBack`] and [`Action::Cancel`], where it is welcome.

mod batch;
pub mod cursor;
mod describe;
pub mod label;
mod litter;
mod machine;
mod recovery;
mod replay;
mod running;
mod set;
#[cfg(test)]
mod sim;

use std::collections::BTreeSet;
use std::fmt;

use crate::record::{Offset, OffsetRange, Partition};

pub use cursor::{Foreign, Owed, Request};
pub use describe::{Description, NextStart, Pending};
pub use label::{Label, Prefix, RunId, Seq, TableHash};
pub use machine::Machine;

/// Milliseconds since the epoch, by the loader host's clock.
pub type Millis = u64;

/// What is promised, and so which steps are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Prepare, intend, commit; with plain loads: intend, load.
    ExactlyOnce,
    /// The same flow without intents: a crash between commit and cursor loads a batch twice.
    AtLeastOnce,
}

/// What to do where neither outcome of a forgotten label can be proven (`--on-unknown`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Stop: [`Failure::InDoubt`].
    Stop,
    /// The operator says that it was committed.
    Committed,
    /// The operator says that it was not, or that loading it twice does no harm.
    Reload,
}

/// A table that this run may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    /// A primary-key table without conditional update: loading a batch again changes nothing.
    pub is_idempotent: bool,
}

/// What is fixed for a run, checked before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    pub mode: Mode,
    /// No transactions: rows are kept by the executor and sent whole by [`Action::Commit`], which
    /// is asked for again until the label is committed. Nothing is begun, prepared or rolled back.
    pub is_plain: bool,
    /// Head of every label: [`Prefix::of_name`] of the connector's name.
    pub prefix: Prefix,
    pub database: String,
    /// Tables known at start. Others may be opened later; these are looked through for orphans.
    pub tables: Vec<Table>,
    /// Changes whenever a record might be routed to other tables than before.
    pub fingerprint: u64,
    /// Sent as `prepared_timeout`, or the server's default where it does not know that header.
    pub prepared_timeout_s: u64,
    /// False where the server may end a prepared transaction earlier (before 3.5.4 with a lowered
    /// default): then a forgotten label is never inferred to be committed.
    pub prepared_timeout_is_ours: bool,
    pub on_unknown: OnUnknown,
    /// The brokers' `offset.metadata.max.bytes`.
    pub metadata_limit_bytes: usize,
    /// Hash of what a bounded `load` with an explicit start was asked for; recorded with every
    /// cursor of its group. A cursor of another request is refused.
    pub request: Option<u64>,
    /// The request bounds the number of records: how many are loaded is recorded, too.
    pub counts_records: bool,
    /// `--restart`: every partition is settled first and then started again, once per machine.
    pub restart: bool,
    /// `--settle`: recover, claim, and answer [`Action::Finished`] without reading anything.
    pub settle_only: bool,
}

/// A partition's committed offset as fetched, with the metadata beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub partition: Partition,
    /// `None`: nothing is committed for it.
    pub committed: Option<(Offset, String)>,
}

/// Where a partition without a cursor begins, as the executor resolved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartAt {
    pub partition: Partition,
    pub offset: Offset,
    /// Where a bounded load with an explicit start ends; recorded so that a rerun ends there too.
    pub until: Option<Offset>,
}

/// One offset to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorWrite {
    pub partition: Partition,
    pub offset: Offset,
    pub metadata: String,
}

/// Where to read a partition, and what to keep of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub partition: Partition,
    pub from: Offset,
    /// Ranges in offset order, the first beginning at `from`: rows of a record before
    /// [`Owed::until`] go only to its tables, rows for other tables are there already and are
    /// dropped without being counted as filtered. Records past the last range go everywhere.
    pub owed: Vec<Owed>,
    /// The recorded end of a bounded load with an explicit start.
    pub until: Option<Offset>,
}

/// What a batch took from one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub range: OffsetRange,
    /// Records in it, which gaps make fewer than its offsets.
    pub records: u64,
}

/// How a commit of offsets ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    Ok,
    /// Nothing was sent: the member is expelled or the poll deadline is too near.
    NotSent,
    /// Not OK, or no answer. It may have been applied whatever the code says (it may be the code
    /// of a retry); the class serves the message only.
    Unknown(WriteError),
}

/// What a failed commit of offsets looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// Timeout, transport, coordinator moving.
    Transient,
    /// `UNKNOWN_MEMBER_ID`, `ILLEGAL_GENERATION`, `REBALANCE_IN_PROGRESS`, `FENCED_INSTANCE_ID`.
    NotMember,
    /// `GROUP_AUTHORIZATION_FAILED` or `TOPIC_AUTHORIZATION_FAILED`.
    Denied,
    /// `OFFSET_METADATA_TOO_LARGE` or `INVALID_COMMIT_OFFSET_SIZE`.
    TooLong,
}

/// Which request an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    Begin,
    Prepare,
    Commit,
    RollBack,
    Cancel,
    AskState,
    AskStateEverywhere,
    AskHistory,
    /// A part of a body: the executor's own. The machine never asks for it and ignores its answer;
    /// a failure is reported by [`Input::LoadFailed`].
    Load,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done. For [`Op::Commit`]: committed, visible or not.
    Ok,
    /// No answer, an unreadable one, a 5xx, "not leader", or a pool too busy: nothing is known.
    Lost,
    /// The server understood and said no.
    Refused(Refusal),
    /// For [`Op::AskState`]: one FE's word. For [`Op::AskStateEverywhere`]: UNKNOWN only if every
    /// configured FE said so; otherwise the furthest state any of them named; [`Answer::Lost`] if
    /// one of them did not answer and no other named a state.
    State(TxnState),
    /// For [`Op::AskHistory`]: whether `information_schema.loads` or `_statistics_.loads_history`
    /// has a FINISHED row for the label. Every other row is no evidence.
    Finished(bool),
}

/// Why the server said no, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `TXN_NOT_EXISTS`, `No transaction found …`, `transaction not found`.
    NotFound,
    /// `TXN_IN_PROCESSING`, too many running transactions, overload: ask again later.
    Busy,
    /// `Label Already Exists`, `LABEL_ALREADY_EXISTS`.
    LabelTaken,
    /// Anything else, the server's words verbatim.
    Other(String),
}

/// A transaction's state by `get_load_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxnState {
    Unknown,
    Prepare,
    Prepared,
    Committed,
    Visible,
    Aborted,
}

impl TxnState {
    pub fn is_committed(self) -> bool {
        matches!(self, TxnState::Committed | TxnState::Visible)
    }

    /// Terminal answers are never false; the others can come from a deposed leader.
    pub fn is_terminal(self) -> bool {
        self.is_committed() || self == TxnState::Aborted
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The group gave this process these partitions (only those wanted, where `-p` chose), or the
    /// answer to [`Action::StartOver`]. `run` is drawn anew every time.
    Assigned { run: RunId, partitions: Vec<Partition> },
    /// The assignment is about to go; answered by [`Action::Released`].
    Revoked,
    /// The assignment is gone (expelled). No offset is committed after this; answered at once by
    /// [`Action::Released`].
    Lost,
    /// The time to drain after [`Input::Revoked`] or [`Input::Stop`] is over.
    DrainExpired,
    /// The run ends. A batch being filled is rolled back, a sealed one is carried through, then
    /// everything is finalised, if need be after one more pass through step 1: [`Action::Finished`]. A bounded run sends it after the last
    /// [`Action::Done`], because a batch that fails after it is not attempted again.
    Stop,
    /// A moment asked for by [`Action::WakeAt`], or any other; costs nothing.
    Tick,
    /// Answer to [`Action::FetchOffsets`]: **all** partitions of the topics, assigned or not, read
    /// with `require_stable`; `None` if the fetch failed or a partition's answer was an error.
    Fetched(Option<Vec<Fetched>>),
    /// Answer to [`Action::ResolveStarts`], for exactly those partitions.
    Starts(Vec<StartAt>),
    /// Answer to [`Action::WriteOffsets`].
    Written(WriteOutcome),
    /// What an HTTP request came to.
    Answered { label: Label, op: Op, answer: Answer },
    /// A part of this label was refused or its fate is unknown.
    LoadFailed { label: Label, why: String },
    /// StarRocks refuses rows of this label, in a load or at its prepare, and would refuse them again.
    /// The executor leaves them out of the next attempt, which may follow at once. With plain loads it
    /// stands for the answer to [`Op::Commit`].
    RowsRefused { label: Label, why: String },
    /// Batch `seq` is complete: every begin and every part was answered OK. `ends` says, per
    /// partition read from, how far (records dropped or set aside count as read).
    Sealed { seq: Seq, ends: Vec<Taken> },
    /// Answer to [`Action::FlushDeadLetters`]: true if every dead letter is acknowledged.
    DeadLettersFlushed(bool),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// OffsetFetch for all partitions of the topics.
    FetchOffsets,
    /// One OffsetCommit, synchronous, for all of these at once.
    WriteOffsets(Vec<CursorWrite>),
    /// These partitions have no cursor: find where they begin, or end the run with an error of
    /// your own (an offset that was there before, out of range, ...).
    ResolveStarts(Vec<Partition>),
    /// Drop every row and record in memory, and read on from these positions. Comes after every
    /// assignment and after every failed attempt; names every assigned partition.
    Start {
        readings: Vec<Reading>,
        /// Records loaded before these positions, where [`Settings::counts_records`]: by this run,
        /// by earlier ones, by other processes when this one claimed.
        counted: u64,
        /// A claim was just acknowledged: no batch handed over before is on its way any more.
        is_fresh: bool,
    },
    /// Load once more what a pending plain load was to load: read these ranges and nothing else,
    /// assigned or not ([`Reading::until`] is their end), seal the batch when all are read, and
    /// not before. Labels come from [`Machine::open`] as ever.
    Replay {
        seq: Seq,
        readings: Vec<Reading>,
    },
    /// Labels may be opened for batch `seq` from now on ([`Machine::open`]).
    Fill {
        seq: Seq,
    },
    /// Stop feeding this batch: its labels are rolled back by the machine. [`Action::Start`]
    /// follows unless the assignment goes.
    Drop {
        seq: Seq,
    },
    Prepare {
        label: Label,
        timeout_s: u64,
    },
    /// Commit a prepared label; with plain loads: send all its rows under it, now or once more.
    Commit {
        label: Label,
    },
    /// Roll back; the machine asks for [`Action::Cancel`] itself where that finds nothing.
    RollBack {
        label: Label,
    },
    /// `_cancel?label=`: ends PREPARE only.
    Cancel {
        label: Label,
    },
    AskState {
        label: Label,
    },
    AskStateEverywhere {
        label: Label,
    },
    AskHistory {
        label: Label,
    },
    /// Produce what is left and wait for every acknowledgement.
    FlushDeadLetters,
    /// Send [`Input::Tick`] at this time or soon after. Replaces the time asked for before.
    WakeAt(Millis),
    /// Batch finished: every label is committed. For the report and the audit trail.
    Done(Receipt),
    /// A batch found pending is settled and claimed: what became of it. It may be one of an earlier
    /// process, or one of this process that went through recovery.
    Settled(Settlement),
    /// Answer to [`Input::Revoked`] and [`Input::Lost`]: the partitions may be given up.
    Released,
    /// Leave the group, wait `pause_ms`, subscribe again: a new generation shuts out late copies
    /// of an offset commit. The machine holds no assignment from here on.
    LeaveAndRejoin {
        pause_ms: u64,
    },
    /// Answer with [`Input::Assigned`]: the same partitions, a new run id. No rejoin needed.
    StartOver,
    /// Answer to [`Input::Stop`], and to `settle_only` when everything is settled. Labels may still
    /// be on their way to be ended: go on until [`Machine::is_idle`], or leave them to expire.
    Finished,
    /// End the run. No action follows.
    Fail(Failure),
    /// What is being done, for `-v`.
    Say(Note),
}

/// One batch, committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub seq: Seq,
    pub ranges: Vec<OffsetRange>,
    pub labels: Vec<Label>,
}

/// A pending batch, as recovery left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub run: RunId,
    pub seq: Seq,
    /// On partitions of this process.
    pub ranges: Vec<OffsetRange>,
    pub committed: Vec<Label>,
    /// Aborted, or taken for lost: their rows are read again.
    pub aborted: Vec<Label>,
}

/// Answer to [`Machine::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Begin it, once; report anything but OK as the answer to [`Op::Begin`].
    New(Label),
    /// Begun before in this batch.
    Open(Label),
    /// One more table does not fit the intent: seal, and open it in the next batch.
    SealFirst,
    /// No batch is being filled; the rows belong to a batch that was dropped or must wait.
    NotFilling,
    /// Two tables share a hash: the run cannot go on.
    Collision { other: String },
}

/// Why the machine gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Whether these labels were committed can be neither proven nor inferred.
    InDoubt { labels: Vec<Label>, partitions: Vec<OffsetRange>, why: Doubt },
    /// A metadata string that this program did not write, or does not understand.
    ForeignMetadata { partition: Partition, metadata: String, why: Foreign },
    /// The cursor belongs to a bounded load that was asked for something else.
    OtherRequest { partition: Partition, recorded: Option<u64> },
    /// A batch of another database is pending: its labels are unknown in this one.
    OtherDatabase { partition: Partition, database: String },
    /// The broker refuses metadata of this length.
    MetadataTooLong,
    /// This user may not commit offsets in the group.
    MayNotCommit,
    /// The executor broke the rules above.
    Defect { what: String },
}

/// Why a state of affairs cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Forgotten by the server after its prepared deadline, or with an abort under way, or after
    /// another owner had decided.
    Forgotten,
    /// Rows are owed to some tables, but records are routed differently now.
    MappingChanged,
    /// The list of owed ranges no longer fits the metadata.
    OwedListTooLong,
}

/// One step of the protocol, named for `-v`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Fetching,
    /// What step 1 found on one partition.
    Found {
        partition: Partition,
        offset: Offset,
        intent: Option<(RunId, Seq)>,
    },
    /// A rule of recovery was applied to the batch `(run, seq)`.
    Rule {
        run: RunId,
        seq: Seq,
        rule: Rule,
    },
    /// A state was asked for and answered.
    State {
        label: Label,
        state: TxnState,
    },
    /// Offsets of own partitions that stand without metadata of ours: another tool's, or reset.
    TakenOver {
        partitions: usize,
    },
    Claiming {
        run: RunId,
        partitions: usize,
    },
    Claimed {
        run: RunId,
    },
    Filling {
        seq: Seq,
    },
    Preparing {
        seq: Seq,
        labels: usize,
    },
    Intending {
        seq: Seq,
        partitions: usize,
    },
    IntentUnknown {
        seq: Seq,
    },
    Committing {
        seq: Seq,
        labels: usize,
    },
    Finalising {
        seq: Seq,
    },
    /// A label that an intent names could not be committed, or its state not be asked for; that is
    /// tried again until it works.
    Unsettled {
        label: Label,
        why: String,
    },
    /// The server refuses to commit a label that an intent names. If it still does after two minutes,
    /// and says all the while that the label is PREPARED, the label is rolled back (R3b).
    CommitRefused {
        label: Label,
        why: String,
    },
    /// The attempt is given up before any intent; another one follows under a new number.
    RolledBack {
        seq: Seq,
        why: String,
    },
    /// A label without an intent, left behind by an earlier owner, is ended.
    Orphan {
        label: Label,
    },
    /// A pending plain load is read from Kafka once more.
    Replaying {
        run: RunId,
        seq: Seq,
        partitions: usize,
    },
    /// It did not come through; step 1 judges anew.
    ReplayFailed {
        why: String,
    },
    /// StarRocks does not know the label: two rounds of questions prove that, so far apart.
    Proving {
        label: Label,
        wait_s: u64,
    },
    /// What settled a label that StarRocks has forgotten.
    Evidence {
        label: Label,
        evidence: Evidence,
    },
    Rejoining {
        why: &'static str,
    },
    StartingOver {
        why: &'static str,
    },
}

/// What speaks for the fate of a forgotten label where R6 infers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// A FINISHED row of the load history.
    History,
    /// Loading the batch again changes nothing.
    KeyTables,
    /// `--on-unknown`, committed or not.
    Order { committed: bool },
}

/// The recovery rules, by their names in `docs/DELIVERY.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No intent: the cursor stands.
    R1,
    /// All committed: on to the end.
    R2,
    /// Prepared, and the intent is complete: commit.
    R3,
    /// Prepared, and the intent is incomplete: abort.
    R3a,
    /// Prepared, and the server cannot commit it: abort.
    R3b,
    /// All aborted: again from the start.
    R4,
    /// Some committed, some aborted: the rest is owed.
    R5,
    /// Forgotten, inferred to be committed.
    R6,
    /// Forgotten, settled by a FINISHED row, a reload into key tables, or the operator.
    R6Settled,
    /// Still in PREPARE: ask again.
    R7,
    /// A plain load that is not committed: the same records again under its label.
    R8,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::R1 => "R1: nothing pending",
            Rule::R2 => "R2: all committed, going on behind it",
            Rule::R3 => "R3: prepared and intended, committing",
            Rule::R3a => "R3a: prepared, the intent is incomplete, rolling back",
            Rule::R3b => "R3b: prepared, but the server refuses to commit, rolling back",
            Rule::R4 => "R4: all aborted, loading again",
            Rule::R5 => "R5: some committed, the other tables are owed",
            Rule::R6 => "R6: forgotten by the server, inferred to be committed",
            Rule::R6Settled => "R6: forgotten by the server, settled by evidence or by order",
            Rule::R7 => "R7: still loading, asking again",
            Rule::R8 => "R8: intended but not loaded, loading the same records under its label",
        })
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::History => "a FINISHED row in the load history says that it was committed",
            Evidence::KeyTables => "its tables have keys, so the batch is loaded again",
            Evidence::Order { committed: true } => "taken for committed, by `--on-unknown`",
            Evidence::Order { committed: false } => "loaded again, by `--on-unknown`",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Fetching => write!(f, "step 1: fetching the cursors"),
            Note::Found { partition, offset, intent: None } => {
                write!(f, "step 1: {partition} stands at {offset}")
            }
            Note::Found { partition, offset, intent: Some((run, seq)) } => {
                write!(f, "step 1: {partition} stands at {offset}, batch {run}/{seq} pending")
            }
            Note::Rule { run, seq, rule } => write!(f, "step 1: batch {run}/{seq}: {rule}"),
            Note::State { label, state } => write!(f, "label `{label}` is {state}"),
            Note::TakenOver { partitions } => {
                write!(f, "step 1: {partitions} offsets were not written by starsink")
            }
            Note::Claiming { run, partitions } => {
                write!(f, "step 1: claiming {partitions} partitions as run {run}")
            }
            Note::Claimed { run } => write!(f, "step 1: claimed as run {run}"),
            Note::Filling { seq } => write!(f, "step 2: filling batch {seq}"),
            Note::Preparing { seq, labels } => {
                write!(f, "step 4: preparing batch {seq}, {labels} labels")
            }
            Note::Intending { seq, partitions } => {
                write!(f, "step 5: writing the intent of batch {seq} for {partitions} partitions")
            }
            Note::IntentUnknown { seq } => {
                write!(f, "step 5: fate of the intent of batch {seq} unknown, reading back")
            }
            Note::Committing { seq, labels } => {
                write!(f, "step 6: committing batch {seq}, {labels} labels")
            }
            Note::Finalising { seq } => write!(f, "step 7: batch {seq} is final"),
            Note::Unsettled { label, why } => {
                write!(f, "label `{label}` is not settled yet: {why}")
            }
            Note::CommitRefused { label, why } => {
                write!(f, "StarRocks refuses to commit label `{label}`: {why}")
            }
            Note::RolledBack { seq, why } => write!(f, "batch {seq} rolled back: {why}"),
            Note::Orphan { label } => write!(f, "ending label `{label}`, left without an intent"),
            Note::Replaying { run, seq, partitions } => {
                write!(f, "step 1: reading batch {run}/{seq} again from {partitions} partitions")
            }
            Note::ReplayFailed { why } => write!(f, "the pending batch was not loaded: {why}"),
            Note::Proving { label, wait_s } => write!(
                f,
                "StarRocks does not know label `{label}` of a pending batch: asking again in {wait_s} s, \
                 because an FE that has lost its lead may not know what another does"
            ),
            Note::Evidence { label, evidence } => {
                write!(f, "StarRocks has forgotten label `{label}` of a pending batch: {evidence}")
            }
            Note::Rejoining { why } => write!(f, "leaving the group to join again: {why}"),
            Note::StartingOver { why } => write!(f, "going through step 1 again: {why}"),
        }
    }
}

impl fmt::Display for TxnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TxnState::Unknown => "UNKNOWN",
            TxnState::Prepare => "PREPARE",
            TxnState::Prepared => "PREPARED",
            TxnState::Committed => "COMMITTED",
            TxnState::Visible => "VISIBLE",
            TxnState::Aborted => "ABORTED",
        })
    }
}

/// What every step needs at hand: the moment, the settings, and where actions go.
struct Context<'a> {
    now: Millis,
    settings: &'a Settings,
    restarted: &'a BTreeSet<Partition>,
    /// Plain loads whose rows StarRocks refused when this process sent them.
    rejected: &'a BTreeSet<Label>,
    out: Vec<Action>,
    #[cfg(test)]
    mutation: Option<Mutation>,
}

impl Context<'_> {
    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn say(&mut self, note: Note) {
        self.out.push(Action::Say(note));
    }

    fn wake_at(&mut self, at: Millis) {
        if !self.out.contains(&Action::WakeAt(at)) {
            self.out.push(Action::WakeAt(at));
        }
    }

    #[cfg(test)]
    fn mutated(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

/// A deliberate defect: the simulator must catch each of them.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    CommitBeforeIntent,
    RollBackAfterIntent,
    ReadUncommitted,
    LabelWithoutAttempt,
    FinaliseBeforeLastCommit,
    FewerPartitionsFetched,
    PreparedStateAccepted,
    OneUnknownBelieved,
    BeginRepeated,
    NoRejoinAfterClaim,
    NoRejoinAfterFinalise,
    NoRejoinAfterIntent,
    OrphansBeforeClaim,
    OrphansFromOnePartition,
    OneOwedRange,
    AbortReadAsAborted,
    NoSecondFetch,
    OneRunPerProcess,
    /// A plain load that is not committed is read again under a new label.
    NotLoadedReadAsAborted,
    /// Only the own part of a plain load is loaded again under its label.
    OwnRangesReplayed,
}
