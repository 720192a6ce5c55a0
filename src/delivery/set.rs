//! The labels of one intent found by step 1, and how their fate is found out and settled.
//!
//! States are asked, never assumed: UNKNOWN, PREPARE and PREPARED can come from a deposed leader,
//! so they decide nothing that cannot be undone. Commit and rollback are first to land wins.

use std::collections::{BTreeMap, BTreeSet};

use super::cursor::{Cursor, Intent, Owed};
use super::label::{Label, RunId, Seq, TableHash};
use super::recovery::{Found, RETRY_MS};
use super::replay::Replay;
use super::running::{commit_refused, is_no_answer, unsettled};
use super::{
    Action, Answer, Context, Doubt, Evidence, Failure, Millis, Note, OnUnknown, Op, Refusal, Rule,
    Settlement, TxnState,
};
use crate::record::{OffsetRange, Partition};

/// Between the two rounds that prove a label forgotten; a deposed leader answers for 40 s at most.
pub(super) const PROOF_MS: Millis = 120_000;
/// A commit refused for this long while the label stays PREPARED will never succeed (R3b).
const REFUSED_MS: Millis = 120_000;
/// A history that does not answer so often is taken for none.
const HISTORY_TRIES: u32 = 5;
/// One cycle of R7.
const CYCLE_MS: Millis = 5_000;

/// All own partitions that carry one intent.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) run: RunId,
    pub(super) seq: Seq,
    pub(super) own: Vec<Partition>,
    pub(super) labels: BTreeMap<Label, Look>,
    ranges: Vec<OffsetRange>,
    /// What was owed on each of these ranges before.
    owed: Vec<Vec<Owed>>,
    /// Its labels are plain loads.
    is_plain: bool,
    fingerprint: u64,
    /// Every partition of the batch carries the intent, by the last fetch.
    is_complete: bool,
    /// A record says `v=a`, by the last fetch or by our own acknowledged write.
    abort_seen: bool,
    own_abort: bool,
    deadline_s: u64,
}

/// What a set needs from the pass it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// Labels are proven forgotten: fetch all offsets again before anything is concluded.
    Refetch,
    /// Write `v=a` to the own intents before a rollback.
    Abort,
    /// Load the batch once more under its labels.
    Replay,
}

/// What is known and under way for one label.
#[derive(Debug, Clone)]
pub(super) struct Look {
    at: At,
    /// When the server first and last refused to commit it, PREPARED all the while.
    refused: Option<(Millis, Millis)>,
    /// When the first full round of UNKNOWN was answered.
    unknown_since: Option<Millis>,
    prepare_seen: u32,
    /// When ABORTED was first answered for a plain load.
    aborted_since: Option<Millis>,
    /// Questions to the load history that were not answered.
    history_lost: u32,
    /// To be rolled back once `v=a` is acknowledged.
    doomed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Due(Millis),
    Asking,
    AskingAll,
    /// UNKNOWN everywhere: a commit request goes with it.
    Pressing,
    Prepared,
    /// PREPARE, twice.
    Loading,
    Committing,
    RollingBack,
    Cancelling,
    /// UNKNOWN, proven.
    Proven,
    HistoryDue(Millis),
    AskingHistory,
    /// Nothing can prove what became of it.
    Forgotten,
    /// A plain load that is not committed, though its records may be under way.
    NotLoaded,
    Settled {
        committed: bool,
    },
}

impl Look {
    fn new() -> Look {
        Look {
            at: At::Due(0),
            refused: None,
            unknown_since: None,
            prepare_seen: 0,
            aborted_since: None,
            history_lost: 0,
            doomed: false,
        }
    }
}

impl Set {
    pub(super) fn new(
        partition: Partition,
        cursor: &Cursor,
        found: &BTreeMap<Partition, Found>,
    ) -> Set {
        let intent = cursor.intent.as_ref().expect("called for a record with an intent");
        let mut set = Set {
            run: cursor.run,
            seq: cursor.seq,
            own: vec![partition],
            labels: cursor.labels().into_iter().map(|label| (label, Look::new())).collect(),
            ranges: vec![],
            owed: vec![],
            is_plain: intent.is_plain,
            fingerprint: cursor.fingerprint,
            is_complete: false,
            abort_seen: false,
            own_abort: false,
            deadline_s: intent.deadline_s,
        };
        set.count(found);
        set
    }

    /// Counts the partitions that carry this intent.
    fn count(&mut self, found: &BTreeMap<Partition, Found>) {
        let carriers: Vec<(&Partition, &Found, &Intent)> = found
            .iter()
            .filter_map(|(partition, found)| {
                let cursor = found.cursor.as_ref()?;
                let is_same = (cursor.run, cursor.seq) == (self.run, self.seq);
                Some((partition, found, cursor.intent.as_ref().filter(|_| is_same)?))
            })
            .collect();
        self.is_complete = carriers
            .first()
            .is_some_and(|(_, _, intent)| carriers.len() == intent.partitions as usize);
        self.abort_seen = self.own_abort || carriers.iter().any(|c| c.2.abort_attempted);
        self.ranges = carriers
            .iter()
            .map(|(partition, found, intent)| OffsetRange {
                partition: (*partition).clone(),
                first: found.offset,
                next: intent.end,
            })
            .collect();
        let owed =
            |found: &Found| found.cursor.as_ref().map(|c| c.owed.clone()).unwrap_or_default();
        self.owed = carriers.iter().map(|(_, found, _)| owed(found)).collect();
    }

    pub(super) fn is_settled(&self) -> bool {
        self.labels.values().all(|look| matches!(look.at, At::Settled { .. }))
    }

    pub(super) fn committed_tables(&self) -> BTreeSet<TableHash> {
        let committed =
            self.labels.iter().filter(|(_, look)| look.at == At::Settled { committed: true });
        committed.map(|(label, _)| label.table).collect()
    }

    /// What became of it, for the report.
    pub(super) fn settlement(&self) -> Settlement {
        let of = |wanted: bool| {
            let labels = self
                .labels
                .iter()
                .filter(move |(_, look)| (look.at == At::Settled { committed: true }) == wanted);
            labels.map(|(label, _)| label.clone()).collect()
        };
        let own = self.ranges.iter().filter(|range| self.own.contains(&range.partition));
        Settlement {
            run: self.run,
            seq: self.seq,
            ranges: own.cloned().collect(),
            committed: of(true),
            aborted: of(false),
        }
    }

    pub(super) fn abort_acknowledged(&mut self) {
        self.own_abort = true;
        self.abort_seen = true;
    }

    /// A commit may be asked for: R3, and the request that goes with R6's proof.
    fn may_commit(&self) -> bool {
        self.is_complete || !self.committed_tables().is_empty()
    }

    fn rule(&self, rule: Rule, cx: &mut Context<'_>) {
        cx.say(Note::Rule { run: self.run, seq: self.seq, rule });
    }

    pub(super) fn answered(&mut self, label: &Label, op: Op, answer: Answer, cx: &mut Context<'_>) {
        let may_press = self.may_commit() && !self.abort_seen;
        let Some(look) = self.labels.get_mut(label) else { return };
        if let Answer::State(state) = answer {
            cx.say(Note::State { label: label.clone(), state });
        }
        // Questions to the history are bounded.
        let is_kept = op == Op::RollBack && matches!(answer, Answer::Refused(Refusal::Other(_)));
        if is_no_answer(&answer) && op != Op::AskHistory || is_kept {
            cx.say(unsettled(label, op, &answer));
        }
        let retry = At::Due(cx.now + RETRY_MS);
        let is_plain = self.is_plain;
        let is_remembered = is_plain && cx.now / 1000 < self.deadline_s;
        let is_rejected = cx.rejected.contains(label);
        let not_loaded = if is_rejected { At::Settled { committed: false } } else { At::NotLoaded };
        let is_complete = self.is_complete;
        look.at = match (look.at, op, answer) {
            (At::Asking | At::AskingAll, Op::AskState | Op::AskStateEverywhere, answer) => {
                match answer {
                    Answer::State(TxnState::Aborted)
                        if is_plain && !is_complete && !is_rejected =>
                    {
                        look.aborted_by_another(cx.now)
                    }
                    Answer::State(state) if is_plain => At::of_plain_load(state, not_loaded, cx),
                    Answer::State(state) => look.state(label, state, op, may_press, cx),
                    _ => retry,
                }
            }
            (At::Pressing, Op::Commit, answer) => match answer {
                Answer::Ok => At::Settled { committed: true },
                Answer::Refused(Refusal::NotFound) => look.unknown_round(label, cx),
                _ => retry,
            },
            (At::Committing, Op::Commit, answer) => match answer {
                Answer::Ok => At::Settled { committed: true },
                Answer::Refused(Refusal::Other(_) | Refusal::NotFound) => {
                    cx.say(commit_refused(label, &answer));
                    let (first, _) = look.refused.unwrap_or((cx.now, cx.now));
                    look.refused = Some((first, cx.now));
                    retry
                }
                _ => retry,
            },
            (At::RollingBack, Op::RollBack, answer) => match answer {
                Answer::Ok => At::Settled { committed: false },
                Answer::Refused(Refusal::NotFound) => {
                    cx.act(Action::Cancel { label: label.clone() });
                    At::Cancelling
                }
                _ => retry,
            },
            (At::Cancelling, Op::Cancel, answer) => match answer {
                Answer::Ok => At::Settled { committed: false },
                _ => retry,
            },
            (At::AskingHistory, Op::AskHistory, answer) => match answer {
                Answer::Finished(true) => {
                    let (label, evidence) = (label.clone(), Evidence::History);
                    cx.say(Note::Evidence { label, evidence });
                    At::Settled { committed: true }
                }
                Answer::Finished(false) if is_remembered => not_loaded,
                Answer::Finished(false) => At::Forgotten,
                _ if look.history_lost < HISTORY_TRIES => {
                    look.history_lost += 1;
                    At::HistoryDue(cx.now + RETRY_MS)
                }
                // Old servers and narrow rights have no history: no evidence.
                _ if is_remembered => not_loaded,
                _ => At::Forgotten,
            },
            // Late answers to something given up since.
            (at, _, _) => at,
        };
    }

    /// Goes on as far as possible without an answer.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Result<Need, Failure> {
        for (label, look) in &mut self.labels {
            look.ask_if_due(label, cx);
        }
        if self.is_plain {
            return self.drive_plain(cx);
        }
        if self.decide_prepared(cx) == Need::Abort {
            return Ok(Need::Abort);
        }
        let is_waiting = |at: At| {
            matches!(
                at,
                At::Settled { .. } | At::Prepared | At::Loading | At::Proven | At::Forgotten
            )
        };
        if !self.labels.values().all(|look| is_waiting(look.at)) {
            return Ok(Need::Nothing);
        }
        if self.labels.values().any(|look| look.at == At::Proven) {
            #[cfg(test)]
            if cx.mutated(super::Mutation::NoSecondFetch) {
                self.infer(cx);
                return self.drive(cx);
            }
            return Ok(Need::Refetch);
        }
        if self.labels.values().any(|look| look.at == At::Forgotten) {
            self.settle_forgotten(Doubt::Forgotten, cx)?;
            return self.drive(cx);
        }
        Ok(Need::Nothing)
    }

    /// R8: an intent of plain loads only ever rolls forward, under its own labels, because the load
    /// of an earlier owner may still be on its way.
    fn drive_plain(&mut self, cx: &mut Context<'_>) -> Result<Need, Failure> {
        let is_known = |at: At| matches!(at, At::Settled { .. } | At::NotLoaded | At::Forgotten);
        if self.is_settled() || !self.labels.values().all(|look| is_known(look.at)) {
            return Ok(Need::Nothing);
        }
        #[cfg(test)]
        if cx.mutated(super::Mutation::NotLoadedReadAsAborted) {
            for look in self.labels.values_mut().filter(|look| look.at == At::NotLoaded) {
                look.at = At::Settled { committed: false };
            }
            return Ok(Need::Nothing);
        }
        let is_doubtful = self.labels.values().any(|look| look.at == At::Forgotten);
        let is_same = self.fingerprint == cx.settings.fingerprint;
        if self.is_complete && !is_doubtful && is_same {
            self.rule(Rule::R8, cx);
            return Ok(Need::Replay);
        }
        for look in self.labels.values_mut().filter(|look| look.at == At::NotLoaded) {
            look.at = At::Forgotten;
        }
        let why = if is_same { Doubt::Forgotten } else { Doubt::MappingChanged };
        self.settle_forgotten(why, cx)?;
        Ok(Need::Nothing)
    }

    /// What is to be loaded again, once [`Need::Replay`] was answered.
    pub(super) fn replay(&self, cx: &mut Context<'_>) -> Replay {
        let missing = self.labels.iter().filter(|(_, look)| look.at == At::NotLoaded);
        let labels = missing.map(|(label, _)| label.clone()).collect();
        let both = self.ranges.iter().cloned().zip(self.owed.iter().cloned());
        #[cfg(test)]
        let both = both.filter(|(range, _)| {
            self.own.contains(&range.partition) || !cx.mutated(super::Mutation::OwnRangesReplayed)
        });
        let (ranges, owed) = both.unzip();
        let replay = Replay::new(self.run, self.seq, labels, ranges, owed);
        replay.begin(cx);
        replay
    }

    /// R3, R3a, R3b and R7 for labels that answered PREPARED or PREPARE.
    fn decide_prepared(&mut self, cx: &mut Context<'_>) -> Need {
        let may_commit = self.may_commit();
        let rest_is_known = self.labels.values().all(|look| {
            matches!(look.at, At::Prepared | At::Loading | At::Settled { committed: false })
        });
        let mut acted = None;
        let mut needs_abort = false;
        for (label, look) in &mut self.labels {
            if !matches!(look.at, At::Prepared | At::Loading) {
                continue;
            }
            let is_refused = look.refused.is_some_and(|(first, last)| last >= first + REFUSED_MS);
            let must_abort = if may_commit { is_refused } else { rest_is_known };
            if look.doomed && self.own_abort {
                cx.act(Action::RollBack { label: label.clone() });
                look.at = At::RollingBack;
            } else if must_abort {
                look.doomed = true;
                if self.own_abort {
                    cx.act(Action::RollBack { label: label.clone() });
                    look.at = At::RollingBack;
                } else {
                    needs_abort = true;
                    acted = Some(if may_commit { Rule::R3b } else { Rule::R3a });
                }
            } else if may_commit && look.at == At::Prepared {
                cx.act(Action::Commit { label: label.clone() });
                look.at = At::Committing;
                acted = acted.or(Some(Rule::R3));
            } else if may_commit {
                // PREPARE cannot follow a complete intent: a stale answer. Never rolled back.
                look.at = At::Due(cx.now + CYCLE_MS);
                cx.wake_at(cx.now + CYCLE_MS);
                acted = acted.or(Some(Rule::R7));
            }
        }
        if let Some(rule) = acted {
            self.rule(rule, cx);
        }
        if needs_abort { Need::Abort } else { Need::Nothing }
    }

    /// Takes the fetch that R6 asks for.
    pub(super) fn refetched(&mut self, found: &BTreeMap<Partition, Found>, cx: &mut Context<'_>) {
        self.count(found);
        if self.labels.values().any(|look| look.at == At::Proven) {
            self.infer(cx);
        }
    }

    /// R6: what was PREPARED cannot be evicted, so what is forgotten was finished, and with a
    /// complete intent and no abort only a commit finishes it.
    fn infer(&mut self, cx: &mut Context<'_>) {
        let is_proof = self.is_complete && !self.abort_seen && cx.now / 1000 < self.deadline_s;
        if is_proof {
            self.rule(Rule::R6, cx);
        }
        #[cfg(test)]
        let abort_is_proof = self.abort_seen && cx.mutated(super::Mutation::AbortReadAsAborted);
        for look in self.labels.values_mut().filter(|look| look.at == At::Proven) {
            look.at =
                if is_proof { At::Settled { committed: true } } else { At::HistoryDue(cx.now) };
            #[cfg(test)]
            if abort_is_proof {
                look.at = At::Settled { committed: false };
            }
        }
    }

    /// R6 and R6′ where nothing is proven: key tables, the operator's word, or a stop.
    fn settle_forgotten(&mut self, why: Doubt, cx: &mut Context<'_>) -> Result<(), Failure> {
        let is_idempotent = |label: &Label| {
            let mut tables = cx.settings.tables.iter();
            tables.any(|table| table.is_idempotent && TableHash::of(&table.name) == label.table)
        };
        let evidence = match cx.settings.on_unknown {
            _ if self.labels.keys().all(is_idempotent) => Evidence::KeyTables,
            OnUnknown::Committed => Evidence::Order { committed: true },
            OnUnknown::Reload => Evidence::Order { committed: false },
            OnUnknown::Stop => {
                let forgotten = self.labels.iter().filter(|(_, look)| look.at == At::Forgotten);
                return Err(Failure::InDoubt {
                    labels: forgotten.map(|(label, _)| label.clone()).collect(),
                    partitions: self.ranges.clone(),
                    why,
                });
            }
        };
        self.rule(Rule::R6Settled, cx);
        let committed = evidence == Evidence::Order { committed: true };
        for (label, look) in self.labels.iter_mut().filter(|(_, look)| look.at == At::Forgotten) {
            cx.say(Note::Evidence { label: label.clone(), evidence });
            look.at = At::Settled { committed };
        }
        Ok(())
    }
}

impl At {
    /// What the state of a plain load's label leads to.
    fn of_plain_load(state: TxnState, not_loaded: At, cx: &mut Context<'_>) -> At {
        match state {
            TxnState::Committed | TxnState::Visible => At::Settled { committed: true },
            // Somebody loads it, or did and died.
            TxnState::Prepare | TxnState::Prepared => At::Due(cx.now + CYCLE_MS),
            TxnState::Aborted => not_loaded,
            TxnState::Unknown => At::HistoryDue(cx.now),
        }
    }
}

impl Look {
    fn ask_if_due(&mut self, label: &Label, cx: &mut Context<'_>) {
        match self.at {
            At::Due(at) | At::HistoryDue(at) if cx.now < at => cx.wake_at(at),
            At::Due(_) => {
                cx.act(Action::AskState { label: label.clone() });
                self.at = At::Asking;
            }
            At::HistoryDue(_) => {
                cx.act(Action::AskHistory { label: label.clone() });
                self.at = At::AskingHistory;
            }
            _ => {}
        }
    }

    /// A plain load that is aborted, and another owner has gone on without its part of the batch: it saw
    /// rows refused, for had it been loaded its state would say so. A label that was aborted may be
    /// loaded later, so a deposed leader's word is not enough.
    fn aborted_by_another(&mut self, now: Millis) -> At {
        let since = *self.aborted_since.get_or_insert(now);
        if now >= since + PROOF_MS {
            At::Settled { committed: false }
        } else {
            At::Due(since + PROOF_MS)
        }
    }

    /// What a state answer leads to.
    fn state(
        &mut self,
        label: &Label,
        state: TxnState,
        op: Op,
        may_press: bool,
        cx: &mut Context<'_>,
    ) -> At {
        if state != TxnState::Unknown {
            self.unknown_since = None;
        }
        if state != TxnState::Prepared {
            self.refused = None;
        }
        match state {
            TxnState::Committed | TxnState::Visible => At::Settled { committed: true },
            TxnState::Aborted => At::Settled { committed: false },
            TxnState::Prepared => At::Prepared,
            TxnState::Prepare if self.prepare_seen == 0 => {
                self.prepare_seen = 1;
                At::Due(cx.now + CYCLE_MS)
            }
            TxnState::Prepare => At::Loading,
            TxnState::Unknown if op == Op::AskState => match self.unknown_since {
                Some(since) if cx.now < since + PROOF_MS => At::Due(since + PROOF_MS),
                _ => {
                    cx.act(Action::AskStateEverywhere { label: label.clone() });
                    At::AskingAll
                }
            },
            TxnState::Unknown if may_press => {
                cx.act(Action::Commit { label: label.clone() });
                At::Pressing
            }
            TxnState::Unknown => self.unknown_round(label, cx),
        }
    }

    /// One full round of UNKNOWN is over; the second one, late enough, is the proof.
    fn unknown_round(&mut self, label: &Label, cx: &mut Context<'_>) -> At {
        #[cfg(test)]
        if cx.mutated(super::Mutation::OneUnknownBelieved) {
            return At::Proven;
        }
        match self.unknown_since {
            Some(since) if cx.now >= since + PROOF_MS => At::Proven,
            Some(since) => At::Due(since + PROOF_MS),
            None => {
                self.unknown_since = Some(cx.now);
                cx.say(Note::Proving { label: label.clone(), wait_s: PROOF_MS / 1000 });
                At::Due(cx.now + PROOF_MS)
            }
        }
    }
}
