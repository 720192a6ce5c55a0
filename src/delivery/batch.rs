//! One batch on its way: which of its labels are begun, prepared, committed.

use std::collections::BTreeMap;

use super::label::{Label, Prefix, RunId, Seq, TableHash};
use super::{Failure, Millis, Taken};
use crate::record::Partition;

/// One attempt at a batch.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) seq: Seq,
    pub(super) labels: BTreeMap<TableHash, Part>,
    pub(super) stage: Stage,
    /// What it covers; known once sealed.
    pub(super) ends: Vec<Taken>,
    /// No label of it can time out before, epoch seconds; 0: not under our control.
    pub(super) deadline_s: u64,
    /// How often its intent was written without an answer of OK.
    pub(super) intent_tries: u32,
    /// The broker's last answer to it, where it would be the same again.
    pub(super) intent_refused: Option<Failure>,
}

/// One label of a batch.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) label: Label,
    /// Its begin was not answered.
    pub(super) begin_is_lost: bool,
    pub(super) is_prepared: bool,
    pub(super) commit: Commit,
    /// UNKNOWN answers to questions after a commit.
    pub(super) unknowns: u32,
}

/// How far the commit of one label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    NotYet,
    Asked,
    /// The commit was not answered with OK: the state is asked.
    AskingState {
        refused: bool,
    },
    /// To be committed again at this time.
    Again(Millis),
    /// A plain load is under way under the label: its state is to be asked again at this time.
    AskAgain(Millis),
    Done,
}

/// How far a batch is, up to its intent; afterwards its labels' [`Commit`] says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Filling,
    Preparing,
    FlushingDeadLetters,
    /// Waits for the batch before it.
    Ready,
    /// No rows for any table: its end is being written.
    Emptying,
    /// Its intent is being written; from here on it is never rolled back.
    Intending,
    /// The intent's fate is unknown: offsets are to be fetched at this time, or are being.
    ReadBackAt(Millis),
    ReadingBack,
    /// Step 6.
    Committing,
}

impl Batch {
    pub(super) fn new(seq: Seq) -> Batch {
        Batch {
            seq,
            labels: BTreeMap::new(),
            stage: Stage::Filling,
            ends: vec![],
            deadline_s: 0,
            intent_tries: 0,
            intent_refused: None,
        }
    }

    pub(super) fn open(&mut self, prefix: &Prefix, run: RunId, table: TableHash) -> Label {
        let label = Label { prefix: prefix.clone(), run, seq: self.seq, table };
        let part = Part {
            label: label.clone(),
            begin_is_lost: false,
            is_prepared: false,
            commit: Commit::NotYet,
            unknowns: 0,
        };
        self.labels.insert(table, part);
        label
    }

    pub(super) fn part(&mut self, label: &Label) -> Option<&mut Part> {
        self.labels.get_mut(&label.table).filter(|part| part.label == *label)
    }

    /// An intent naming it was, or may have been, sent.
    pub(super) fn is_intended(&self) -> bool {
        match self.stage {
            Stage::Filling
            | Stage::Preparing
            | Stage::FlushingDeadLetters
            | Stage::Ready
            | Stage::Emptying => false,
            Stage::Intending | Stage::ReadBackAt(_) | Stage::ReadingBack | Stage::Committing => {
                true
            }
        }
    }

    pub(super) fn is_committed(&self) -> bool {
        self.labels.values().all(|part| part.commit == Commit::Done)
    }

    pub(super) fn covers(&self, partition: &Partition) -> bool {
        self.ends.iter().any(|taken| taken.range.partition == *partition)
    }
}
