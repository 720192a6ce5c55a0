//! What stands beside a name's cursors, and what the next start would do. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::label::Label;
use super::recovery::{Found, check_database, read_all};
use super::{Failure, Fetched, Millis, Rule, TxnState};
use crate::record::{Offset, OffsetRange, Partition};

/// The cursors of all partitions, as fetched.
#[derive(Debug, Clone)]
pub struct Description {
    found: BTreeMap<Partition, Found>,
}

/// One partition that has a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub partition: Partition,
    pub committed: Offset,
    /// The batch whose fate is not written down yet: its range here and its labels with the state
    /// each was found in.
    pub intent: Option<(OffsetRange, Vec<(Label, TxnState)>)>,
    /// Up to here some rows are owed to some tables only.
    pub owed_until: Option<Offset>,
    pub next: NextStart,
}

/// What the next start would do with one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStart {
    /// Go on here.
    GoOnAt(Offset),
    /// Apply this rule first; the offset is where it would go on if nothing changes meanwhile.
    Apply(Rule, Offset),
}

impl Description {
    /// Reads the cursors; metadata that is not ours is an error here as it is at a start.
    pub fn new(fetched: Vec<Fetched>) -> Result<Description, Failure> {
        Ok(Description { found: read_all(fetched)? })
    }

    /// Refuses a batch that is pending in another database, as a start does.
    pub fn check_database(&self, database: &str) -> Result<(), Failure> {
        check_database(self.found.iter(), database)
    }

    /// The labels whose states are wanted.
    pub fn labels(&self) -> Vec<Label> {
        let cursors = self.found.values().filter_map(|found| found.cursor.as_ref());
        let labels: BTreeSet<Label> = cursors.flat_map(|cursor| cursor.labels()).collect();
        labels.into_iter().collect()
    }

    /// One entry per partition with a cursor; a label without a state counts as UNKNOWN.
    pub fn pending(&self, now: Millis, states: &BTreeMap<Label, TxnState>) -> Vec<Pending> {
        let entry = |(partition, found): (&Partition, &Found)| {
            let cursor = found.cursor.as_ref();
            let owed_until = cursor.and_then(|c| c.owed.last()).map(|owed| owed.until);
            let state = |label: Label| {
                let state = states.get(&label).copied().unwrap_or(TxnState::Unknown);
                (label, state)
            };
            let intent = cursor.and_then(|cursor| {
                let next = cursor.intent.as_ref()?.end;
                let range = OffsetRange { partition: partition.clone(), first: found.offset, next };
                Some((range, cursor.labels().into_iter().map(state).collect::<Vec<_>>()))
            });
            let next = match &intent {
                None => NextStart::GoOnAt(found.offset),
                Some((range, labels)) => self.foresee(found, range.next, labels, now),
            };
            Pending {
                partition: partition.clone(),
                committed: found.offset,
                intent,
                owed_until,
                next,
            }
        };
        self.found.iter().map(entry).collect()
    }

    /// The rule that these states call for.
    fn foresee(
        &self,
        found: &Found,
        end: Offset,
        labels: &[(Label, TxnState)],
        now: Millis,
    ) -> NextStart {
        let Some((cursor, intent)) =
            found.cursor.as_ref().and_then(|c| Some((c, c.intent.as_ref()?)))
        else {
            return NextStart::GoOnAt(found.offset);
        };
        let carriers = self.found.values().filter_map(|found| found.cursor.as_ref());
        let carriers: Vec<_> = carriers
            .filter(|c| (c.run, c.seq) == (cursor.run, cursor.seq))
            .filter_map(|c| c.intent.as_ref())
            .collect();
        let is_complete = carriers.len() == intent.partitions as usize;
        let is_aborting = carriers.iter().any(|intent| intent.abort_attempted);
        let any = |wanted: TxnState| labels.iter().any(|(_, state)| *state == wanted);
        let committed = labels.iter().filter(|(_, state)| state.is_committed()).count();
        if intent.is_plain && committed < labels.len() {
            return match is_complete && now / 1000 < intent.deadline_s {
                _ if any(TxnState::Prepare) => NextStart::Apply(Rule::R7, found.offset),
                true => NextStart::Apply(Rule::R8, end),
                false => NextStart::Apply(Rule::R6Settled, found.offset),
            };
        }
        if any(TxnState::Unknown) {
            let is_inferable = is_complete && !is_aborting && now / 1000 < intent.deadline_s;
            return match is_inferable {
                true => NextStart::Apply(Rule::R6, end),
                false => NextStart::Apply(Rule::R6Settled, found.offset),
            };
        }
        if any(TxnState::Prepared) {
            return match is_complete || committed > 0 {
                true => NextStart::Apply(Rule::R3, end),
                false => NextStart::Apply(Rule::R3a, found.offset),
            };
        }
        if any(TxnState::Prepare) {
            return NextStart::Apply(Rule::R7, found.offset);
        }
        match committed {
            0 => NextStart::Apply(Rule::R4, found.offset),
            all if all == labels.len() => NextStart::Apply(Rule::R2, end),
            _ => NextStart::Apply(Rule::R5, found.offset),
        }
    }
}
