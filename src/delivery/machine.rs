//! One process's side: which phase it is in, and who an input is for.

use std::collections::{BTreeMap, BTreeSet};

use super::label::{Label, Seq, TableHash};
use super::litter::Litter;
use super::recovery::{Progress, Recovery};
use super::replay::{Outcome, Replay};
use super::running::{Running, Turn};
use super::{Action, Context, Failure, Input, Millis, Note, Opening, Settings};
use crate::record::Partition;

/// Longest pause between two attempts to get an assignment.
const LONGEST_REJOIN_PAUSE_MS: u64 = 30_000;

/// One process's side of the protocol. See [`crate::delivery`] for how to drive it.
#[derive(Debug, Clone)]
pub struct Machine {
    settings: Settings,
    phase: Phase,
    litter: Litter,
    /// Names behind the hashes opened or configured so far.
    names: BTreeMap<TableHash, String>,
    /// Partitions that `--restart` has started again.
    restarted: BTreeSet<Partition>,
    /// Plain loads whose rows StarRocks refused. A label always carries the same rows, so it will not be
    /// loaded by anybody else either.
    rejected: BTreeSet<Label>,
    /// The run ends with the next claim, if not before: step 1 settles what a write of unknown fate
    /// left behind.
    is_stopping: bool,
    /// Rejoins since the last batch or claim that succeeded.
    rejoins: u32,
    /// The tick that was asked for and has not come yet.
    wake: Option<Millis>,
    #[cfg(test)]
    pub(super) mutation: Option<super::Mutation>,
}

#[derive(Debug, Clone)]
enum Phase {
    /// No assignment.
    Unassigned,
    /// Step 1.
    Recovering(Box<Recovery>),
    /// Step 1 waits for a pending plain load to be loaded again.
    Replaying(Box<Replay>),
    /// Steps 2 to 7.
    Running(Box<Running>),
    /// Finished or failed: nothing is answered any more but leftovers.
    Over,
}

impl Machine {
    pub fn new(settings: Settings) -> Machine {
        let name = |table: &super::Table| (TableHash::of(&table.name), table.name.clone());
        Machine {
            names: settings.tables.iter().map(name).collect(),
            settings,
            phase: Phase::Unassigned,
            litter: Litter::default(),
            restarted: BTreeSet::new(),
            rejected: BTreeSet::new(),
            is_stopping: false,
            rejoins: 0,
            wake: None,
            #[cfg(test)]
            mutation: None,
        }
    }

    /// Takes one input and says what to do about it, in order.
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        let mut out = self.take(now, input);
        let is_wake = |action: &mut Action| matches!(action, Action::WakeAt(_));
        let wakes = out.extract_if(.., is_wake).filter_map(|action| match action {
            Action::WakeAt(at) => Some(at),
            _ => None,
        });
        let earliest = wakes.min();
        self.wake = self.wake.filter(|&at| at > now);
        if let Some(at) = earliest
            && self.wake.is_none_or(|wake| at < wake)
        {
            self.wake = Some(at);
            out.push(Action::WakeAt(at));
        }
        out
    }

    fn take(&mut self, now: Millis, input: Input) -> Vec<Action> {
        if let Input::RowsRefused { label, .. } = &input
            && self.settings.is_plain
        {
            self.rejected.insert(label.clone());
        }
        let mut cx = Context {
            now,
            settings: &self.settings,
            restarted: &self.restarted,
            rejected: &self.rejected,
            out: vec![],
            #[cfg(test)]
            mutation: self.mutation,
        };
        self.litter.tick(&mut cx);
        if let Input::Answered { label, op, answer } = &input {
            let is_recoverys = matches!(&self.phase, Phase::Recovering(r) if r.knows(label));
            if !is_recoverys && self.litter.answered(label, *op, answer, &mut cx) {
                return cx.out;
            }
        }
        let is_running = matches!(self.phase, Phase::Running(_));
        self.is_stopping |= is_running && input == Input::Stop;
        let is_over = self.is_stopping && input == Input::DrainExpired;
        #[cfg(test)]
        let is_fetched = matches!(input, Input::Fetched(_));
        let turn = match &mut self.phase {
            Phase::Over => Turn::Stay,
            _ if is_over && !is_running => {
                if let Phase::Replaying(replay) = &self.phase {
                    replay.give_up(&mut cx);
                }
                Turn::Finish
            }
            _ if matches!(input, Input::Assigned { .. }) => Turn::Assigned(input),
            Phase::Unassigned => match input {
                Input::Stop => Turn::Finish,
                Input::Revoked | Input::Lost => Turn::Release,
                _ => Turn::Stay,
            },
            Phase::Recovering(recovery) => match input {
                Input::Revoked | Input::Lost => Turn::Release,
                Input::Stop => Turn::Finish,
                input => match recovery.handle(input, &mut cx) {
                    #[cfg(test)]
                    Progress::Going
                        if is_fetched && cx.mutated(super::Mutation::OrphansBeforeClaim) =>
                    {
                        let tables: Vec<TableHash> = self.names.keys().copied().collect();
                        for (run, last) in recovery.dead_runs(&cx) {
                            let prefix = &self.settings.prefix;
                            self.litter.search(prefix, run, last, tables.clone(), &mut cx);
                        }
                        Turn::Stay
                    }
                    Progress::Going => Turn::Stay,
                    Progress::Replay(replay) => Turn::Replay(replay),
                    Progress::Claimed(claim) => Turn::Claimed(recovery.run, claim),
                    Progress::Rejoin(why) => Turn::Rejoin(why),
                    Progress::Fail(failure) => Turn::Fail(failure),
                },
            },
            Phase::Replaying(replay) => match input {
                Input::Revoked | Input::Lost | Input::DrainExpired => {
                    replay.give_up(&mut cx);
                    Turn::Release
                }
                Input::Stop => {
                    replay.give_up(&mut cx);
                    Turn::Finish
                }
                input => match replay.handle(input, &mut cx) {
                    Outcome::Going => Turn::Stay,
                    Outcome::StartOver(why) => Turn::StartOver(why),
                    Outcome::Fail(failure) => Turn::Fail(failure),
                },
            },
            Phase::Running(running) => running.handle(input, &mut self.litter, &mut cx),
        };
        let out = cx.out;
        self.turn(now, turn, out)
    }

    /// Changes phase where an input asks for it.
    fn turn(&mut self, now: Millis, turn: Turn, out: Vec<Action>) -> Vec<Action> {
        let mut cx = Context {
            now,
            settings: &self.settings,
            restarted: &self.restarted,
            rejected: &self.rejected,
            out,
            #[cfg(test)]
            mutation: self.mutation,
        };
        if turn.ends_assignment() {
            self.litter.forget_searches();
        }
        match turn {
            Turn::Stay => {}
            Turn::Assigned(Input::Assigned { run, partitions }) => {
                match &mut self.phase {
                    Phase::Running(running) => running.abandon(&mut self.litter, &mut cx),
                    Phase::Replaying(replay) => replay.give_up(&mut cx),
                    Phase::Unassigned | Phase::Recovering(_) | Phase::Over => {}
                }
                let mut recovery = Box::new(Recovery::new(run, partitions, now));
                // Nothing has been asked yet, so this only asks for the fetch.
                let _ = recovery.handle(Input::Tick, &mut cx);
                self.phase = Phase::Recovering(recovery);
            }
            Turn::Assigned(_) => {}
            Turn::Replay(replay) => self.phase = Phase::Replaying(replay),
            Turn::Claimed(run, claim) => {
                self.rejoins = 0;
                let tables: Vec<TableHash> = self.names.keys().copied().collect();
                let dead_runs = claim.dead_runs.iter().filter(|_| !self.settings.is_plain);
                for (dead, last) in dead_runs {
                    self.litter.search(
                        &self.settings.prefix,
                        *dead,
                        *last,
                        tables.clone(),
                        &mut cx,
                    );
                }
                let mut running =
                    Box::new(Running::new(run, claim.places, claim.counted_elsewhere));
                let next = if self.settings.settle_only || self.is_stopping {
                    cx.act(Action::Finished);
                    Phase::Over
                } else {
                    running.begin(&mut cx);
                    Phase::Running(running)
                };
                let out = cx.out;
                self.phase = next;
                self.restarted.extend(claim.restarted);
                self.rejected
                    .retain(|label| claim.pending_elsewhere.contains(&(label.run, label.seq)));
                return out;
            }
            Turn::Release => {
                cx.act(Action::Released);
                self.phase = Phase::Unassigned;
            }
            Turn::Finish => {
                cx.act(Action::Finished);
                self.phase = Phase::Over;
            }
            Turn::StartOver(why) => {
                cx.say(Note::StartingOver { why });
                cx.act(Action::StartOver);
                self.phase = Phase::Unassigned;
            }
            Turn::Rejoin(why) => {
                cx.say(Note::Rejoining { why });
                let pause_ms = (500 << self.rejoins.min(10)).min(LONGEST_REJOIN_PAUSE_MS);
                self.rejoins += 1;
                cx.act(Action::LeaveAndRejoin { pause_ms });
                self.phase = Phase::Unassigned;
            }
            Turn::Fail(failure) => {
                if let Phase::Running(running) = &mut self.phase {
                    running.abandon(&mut self.litter, &mut cx);
                }
                cx.act(Action::Fail(failure));
                self.phase = Phase::Over;
            }
        }
        cx.out
    }

    /// The label for rows of `table` in batch `seq`. Call it for the first row of a table only.
    pub fn open(&mut self, seq: Seq, table: &str) -> Opening {
        let hash = TableHash::of(table);
        if let Some(other) = self.names.get(&hash).filter(|name| *name != table) {
            return Opening::Collision { other: other.clone() };
        }
        let opening = match &mut self.phase {
            Phase::Running(running) => running.open(seq, hash, &self.settings),
            Phase::Replaying(replay) => replay.open(seq, hash),
            Phase::Unassigned | Phase::Recovering(_) | Phase::Over => Opening::NotFilling,
        };
        if matches!(opening, Opening::New(_)) {
            self.names.insert(hash, table.to_owned());
        }
        opening
    }

    /// In steps 2 to 7.
    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// True if nothing is under way, not even the ending of leftovers.
    pub fn is_idle(&self) -> bool {
        let is_quiet = match &self.phase {
            Phase::Unassigned | Phase::Over => true,
            Phase::Recovering(_) | Phase::Replaying(_) => false,
            Phase::Running(running) => running.is_idle(),
        };
        is_quiet && self.litter.is_empty()
    }
}

impl Turn {
    fn ends_assignment(&self) -> bool {
        match self {
            Turn::Stay | Turn::Claimed(..) | Turn::Replay(_) | Turn::Finish => false,
            Turn::Assigned(_)
            | Turn::Release
            | Turn::StartOver(_)
            | Turn::Rejoin(_)
            | Turn::Fail(_) => true,
        }
    }
}

impl Failure {
    /// A rule of the interface was broken by the caller.
    pub(super) fn defect(what: impl Into<String>) -> Failure {
        Failure::Defect { what: what.into() }
    }
}
