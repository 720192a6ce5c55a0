//! A pending plain load, loaded once more: the records that its intent names, under the label that
//! it names. Writes no offset and claims nothing; step 1 judges by the label's state afterwards.
//!
//! Two owners may do this at once, each holding a part of the batch's partitions: both read all of
//! its ranges, and StarRocks takes the label once.

use std::collections::BTreeMap;

use super::label::{Label, RunId, Seq, TableHash};
use super::recovery::RETRY_MS;
use super::{
    Action, Answer, Context, Doubt, Failure, Input, Millis, Note, Op, Opening, Owed, Reading, Taken,
};
use crate::record::OffsetRange;

/// One intent's labels that are not committed yet, on their way.
#[derive(Debug, Clone)]
pub(super) struct Replay {
    run: RunId,
    seq: Seq,
    labels: BTreeMap<TableHash, Load>,
    /// On every partition of the batch.
    ranges: Vec<OffsetRange>,
    /// What was owed on each of them before.
    owed: Vec<Vec<Owed>>,
    stage: Stage,
}

#[derive(Debug, Clone)]
struct Load {
    label: Label,
    has_rows: bool,
    is_done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Filling,
    FlushingDeadLetters,
    Loading,
    /// It failed: step 1 anew at this time.
    OverAt(Millis),
}

/// What a replay came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Going,
    /// Step 1 judges, after a success as after a failure.
    StartOver(&'static str),
    Fail(Failure),
}

impl Replay {
    pub(super) fn new(
        run: RunId,
        seq: Seq,
        labels: Vec<Label>,
        ranges: Vec<OffsetRange>,
        owed: Vec<Vec<Owed>>,
    ) -> Replay {
        let load = |label: Label| (label.table, Load { label, has_rows: false, is_done: false });
        let labels = labels.into_iter().map(load).collect();
        Replay { run, seq, labels, ranges, owed, stage: Stage::Filling }
    }

    pub(super) fn begin(&self, cx: &mut Context<'_>) {
        let partitions = self.ranges.len();
        cx.say(Note::Replaying { run: self.run, seq: self.seq, partitions });
        let readings = self.ranges.iter().zip(&self.owed).map(|(range, owed)| Reading {
            partition: range.partition.clone(),
            from: range.first,
            owed: self.wanted(range, owed),
            until: Some(range.next),
        });
        cx.act(Action::Replay { seq: self.seq, readings: readings.collect() });
    }

    /// Only tables whose labels are not committed, and of them only what was owed before.
    fn wanted(&self, range: &OffsetRange, owed: &[Owed]) -> Vec<Owed> {
        let all: Vec<TableHash> = self.labels.keys().copied().collect();
        let mut wanted = vec![];
        let mut at = range.first;
        for old in owed.iter().filter(|old| old.until > range.first) {
            if at >= range.next {
                break;
            }
            at = old.until.min(range.next);
            let tables = old.tables.iter().copied().filter(|table| all.contains(table)).collect();
            wanted.push(Owed { until: at, tables });
        }
        if at < range.next {
            wanted.push(Owed { until: range.next, tables: all });
        }
        wanted
    }

    pub(super) fn open(&mut self, seq: Seq, table: TableHash) -> Opening {
        if self.stage != Stage::Filling || seq != self.seq {
            return Opening::NotFilling;
        }
        match self.labels.get_mut(&table) {
            Some(load) if load.has_rows => Opening::Open(load.label.clone()),
            Some(load) => {
                load.has_rows = true;
                Opening::New(load.label.clone())
            }
            // The mapping is the recorded one, so no other table can get rows.
            None => Opening::NotFilling,
        }
    }

    pub(super) fn handle(&mut self, input: Input, cx: &mut Context<'_>) -> Outcome {
        match input {
            Input::Sealed { seq, ends } if seq == self.seq && self.stage == Stage::Filling => {
                self.sealed(&ends, cx)
            }
            Input::DeadLettersFlushed(flushed) if self.stage == Stage::FlushingDeadLetters => {
                if !flushed {
                    return self.failed("dead letters were not taken".into(), cx);
                }
                self.stage = Stage::Loading;
                for load in self.labels.values() {
                    cx.act(Action::Commit { label: load.label.clone() });
                }
                Outcome::Going
            }
            Input::Answered { label, op: Op::Commit, answer } if self.stage == Stage::Loading => {
                self.answered(&label, answer, cx)
            }
            Input::RowsRefused { label, why }
                if self.stage == Stage::Loading && self.is_ours(&label) =>
            {
                self.give_up(cx);
                cx.say(Note::ReplayFailed { why });
                Outcome::StartOver("rows of the pending batch were refused")
            }
            _ => self.tick(cx),
        }
    }

    fn is_ours(&self, label: &Label) -> bool {
        self.labels.get(&label.table).is_some_and(|load| load.label == *label)
    }

    fn sealed(&mut self, ends: &[Taken], cx: &mut Context<'_>) -> Outcome {
        let is_whole = |range: &OffsetRange| ends.iter().any(|taken| taken.range == *range);
        if !self.ranges.iter().all(is_whole) {
            return self.failed("its records could not all be read".into(), cx);
        }
        if self.labels.values().any(|load| !load.has_rows) {
            return Outcome::Fail(Failure::InDoubt {
                labels: self.labels.values().map(|load| load.label.clone()).collect(),
                partitions: self.ranges.clone(),
                why: Doubt::MappingChanged,
            });
        }
        self.stage = Stage::FlushingDeadLetters;
        cx.act(Action::FlushDeadLetters);
        Outcome::Going
    }

    fn answered(&mut self, label: &Label, answer: Answer, cx: &mut Context<'_>) -> Outcome {
        let Some(load) = self.labels.get_mut(&label.table).filter(|load| load.label == *label)
        else {
            return Outcome::Going;
        };
        if answer != Answer::Ok {
            return self.failed(super::running::describe(&answer), cx);
        }
        load.is_done = true;
        match self.labels.values().all(|load| load.is_done) {
            true => Outcome::StartOver("the pending batch is loaded"),
            false => Outcome::Going,
        }
    }

    fn failed(&mut self, why: String, cx: &mut Context<'_>) -> Outcome {
        self.give_up(cx);
        cx.say(Note::ReplayFailed { why });
        self.stage = Stage::OverAt(cx.now + RETRY_MS);
        self.tick(cx)
    }

    /// Rows in memory are of no use any more.
    pub(super) fn give_up(&self, cx: &mut Context<'_>) {
        if !matches!(self.stage, Stage::OverAt(_)) {
            cx.act(Action::Drop { seq: self.seq });
        }
    }

    fn tick(&self, cx: &mut Context<'_>) -> Outcome {
        match self.stage {
            Stage::OverAt(at) if at <= cx.now => {
                Outcome::StartOver("the pending batch is not loaded")
            }
            Stage::OverAt(at) => {
                cx.wake_at(at);
                Outcome::Going
            }
            _ => Outcome::Going,
        }
    }
}
