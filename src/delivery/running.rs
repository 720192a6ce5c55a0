//! Steps 2 to 7, once a claim is acknowledged: fill, seal, prepare, intend, commit, finalise.
//!
//! Two batches at most are on their way: one being filled or prepared, one being committed. Every
//! offset commit whose fate is unknown is followed by leaving and rejoining the group.

use std::collections::BTreeMap;

use super::batch::{Batch, Commit, Part, Stage};
use super::cursor::{Cursor, Intent};
use super::label::{Label, RunId, Seq, TableHash};
use super::litter::Litter;
use super::recovery::{Claim, Place, RETRY_MS, read_all};
use super::replay::Replay;
use super::{
    Action, Answer, Context, CursorWrite, Failure, Fetched, Input, Millis, Mode, Note, Op, Opening,
    Reading, Receipt, Refusal, Settings, Taken, TxnState, WriteError, WriteOutcome,
};
use crate::record::{Offset, Partition};

/// A batch is finalised alone if no intent has taken its cursors along by then.
const FINALISE_ALONE_MS: Millis = 1_000;
/// Most tables in one batch; fewer where the metadata limit says so.
pub(super) const MOST_TABLES: usize = 256;
/// StarRocks' default `label_keep_max_second`: a plain load's label is believed to be remembered so
/// long. 1,000 other loads of the database can end that sooner.
const LABEL_KEPT_S: u64 = 259_200;
/// An intent written this often in vain is left to recovery.
const INTENT_TRIES: u32 = 5;
/// First pause before a failed batch is attempted again; doubles up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: Millis = 200;
const LONGEST_PAUSE_MS: Millis = 10_000;

/// What the machine is to do about its phase.
#[derive(Debug)]
pub(super) enum Turn {
    Stay,
    Assigned(Input),
    Claimed(RunId, Claim),
    Replay(Box<Replay>),
    Release,
    Finish,
    StartOver(&'static str),
    Rejoin(&'static str),
    Fail(Failure),
}

/// An assignment at work.
#[derive(Debug, Clone)]
pub(super) struct Running {
    run: RunId,
    places: BTreeMap<Partition, Place>,
    /// Records of the request that partitions of others had loaded at the claim.
    counted_elsewhere: u64,
    /// The last sequence number used.
    seq: Seq,
    filling: Option<Batch>,
    committing: Option<Batch>,
    finalise: Option<Finalise>,
    writing: Option<Writing>,
    /// An offset commit's fate was unknown: only the lone finalise may precede the rejoin.
    tainted: bool,
    leaving: Option<Leaving>,
    /// Failed attempts in a row, and when the next may begin.
    failures: u32,
    fill_at: Millis,
}

/// A committed batch whose cursors are not written yet.
#[derive(Debug, Clone)]
struct Finalise {
    seq: Seq,
    ends: Vec<(Partition, Offset)>,
    due: Millis,
}

/// The offset commit under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Intent,
    Empty,
    Finalise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Revoked,
    Stopping,
}

impl Running {
    pub(super) fn new(
        run: RunId,
        places: BTreeMap<Partition, Place>,
        counted_elsewhere: u64,
    ) -> Running {
        Running {
            run,
            places,
            counted_elsewhere,
            seq: Seq(0),
            filling: None,
            committing: None,
            finalise: None,
            writing: None,
            tainted: false,
            leaving: None,
            failures: 0,
            fill_at: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let is_empty = self.filling.as_ref().is_none_or(|batch| batch.labels.is_empty());
        is_empty && self.committing.is_none() && self.finalise.is_none()
    }

    /// Begins reading after a claim.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>) {
        self.start(true, cx);
        self.fill(cx);
    }

    pub(super) fn open(&mut self, seq: Seq, table: TableHash, settings: &Settings) -> Opening {
        let (run, limit) = (self.run, self.table_limit(settings));
        let Some(batch) =
            self.filling.as_mut().filter(|b| b.seq == seq && b.stage == Stage::Filling)
        else {
            return Opening::NotFilling;
        };
        if let Some(part) = batch.labels.get(&table) {
            return Opening::Open(part.label.clone());
        }
        if batch.labels.len() >= limit {
            return Opening::SealFirst;
        }
        Opening::New(batch.open(&settings.prefix, run, table))
    }

    /// How many tables one intent can name, whatever partition it stands beside.
    fn table_limit(&self, settings: &Settings) -> usize {
        let limit = |place: &Place| {
            Cursor::table_limit(
                settings.metadata_limit_bytes,
                &settings.database,
                &settings.prefix,
                &place.owed,
            )
        };
        self.places.values().map(limit).min().unwrap_or(0).min(MOST_TABLES)
    }

    pub(super) fn handle(
        &mut self,
        input: Input,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        let turn = match input {
            Input::Answered { label, op, answer } => self.answered(&label, op, answer, litter, cx),
            Input::LoadFailed { label, why } => {
                let is_ours = self.filling.as_mut().is_some_and(|b| b.part(&label).is_some());
                if is_ours { self.fail_batch(why, litter, cx) } else { Turn::Stay }
            }
            Input::RowsRefused { label, why } => {
                let is_ours = |batch: &mut Option<Batch>| {
                    batch.as_mut().is_some_and(|batch| batch.part(&label).is_some())
                };
                if is_ours(&mut self.filling) {
                    self.refuse_batch(why, litter, cx)
                } else if cx.settings.is_plain && is_ours(&mut self.committing) {
                    cx.say(Note::RolledBack { seq: label.seq, why });
                    // Its intent gives way in step 1, beside what became of the other tables.
                    self.start_over("rows of an intended batch were refused", litter, cx)
                } else {
                    Turn::Stay
                }
            }
            Input::Sealed { seq, ends } => self.sealed(seq, ends, cx),
            Input::DeadLettersFlushed(flushed) => self.flushed(flushed, litter, cx),
            Input::Written(outcome) => self.written(outcome, litter, cx),
            Input::Fetched(list) => self.read_back(list, litter, cx),
            Input::Revoked => {
                self.leaving = Some(Leaving::Revoked);
                self.drop_filling("the partitions are revoked", litter, cx);
                Turn::Stay
            }
            Input::Stop => {
                self.leaving.get_or_insert(Leaving::Stopping);
                if self.filling.as_ref().is_some_and(|batch| batch.stage == Stage::Filling) {
                    self.drop_filling("the run is stopping", litter, cx);
                }
                Turn::Stay
            }
            Input::Lost => {
                self.abandon(litter, cx);
                Turn::Release
            }
            Input::DrainExpired => {
                self.abandon(litter, cx);
                self.gone()
            }
            Input::Tick | Input::Starts(_) | Input::Assigned { .. } => Turn::Stay,
        };
        match turn {
            Turn::Stay => self.drive(litter, cx),
            other => other,
        }
    }

    /// The assignment ends now: what no intent names is rolled back, the rest is left as it is.
    pub(super) fn abandon(&mut self, litter: &mut Litter, cx: &mut Context<'_>) {
        self.drop_filling("the assignment has ended", litter, cx);
        self.filling = None;
        self.committing = None;
    }

    fn gone(&self) -> Turn {
        match self.leaving {
            Some(Leaving::Stopping) => Turn::Finish,
            Some(Leaving::Revoked) | None => Turn::Release,
        }
    }

    /// Leaves the group: what no intent names is rolled back first.
    fn rejoin(&mut self, why: &'static str, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        self.abandon(litter, cx);
        match self.leaving {
            // A run that ends, too: what an unknown write left behind is settled before.
            None | Some(Leaving::Stopping) => Turn::Rejoin(why),
            Some(Leaving::Revoked) => self.gone(),
        }
    }

    /// Through step 1 again, with a new generation if an old copy may still be under way.
    fn start_over(&mut self, why: &'static str, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        let is_tainted = self.tainted;
        self.abandon(litter, cx);
        match self.leaving {
            Some(Leaving::Revoked) => self.gone(),
            _ if is_tainted => Turn::Rejoin(why),
            None | Some(Leaving::Stopping) => Turn::StartOver(why),
        }
    }

    /// Rolls back the batch that no intent names, if there is one.
    fn drop_filling(&mut self, why: &str, litter: &mut Litter, cx: &mut Context<'_>) {
        let Some(batch) = self.filling.take_if(|batch| !batch.is_intended()) else { return };
        cx.act(Action::Drop { seq: batch.seq });
        if !batch.labels.is_empty() {
            cx.say(Note::RolledBack { seq: batch.seq, why: why.to_owned() });
        }
        // A plain load has begun nothing that could be ended.
        for part in batch.labels.into_values().filter(|_| !cx.settings.is_plain) {
            litter.end(part.label, part.begin_is_lost, cx);
        }
    }

    /// An attempt failed before its intent: roll back, rewind, try again under a new number.
    fn fail_batch(&mut self, why: String, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        self.drop_filling(&why, litter, cx);
        let pause = (FIRST_PAUSE_MS << self.failures.min(10)).min(LONGEST_PAUSE_MS);
        self.failures += 1;
        self.fill_at = cx.now + pause;
        if self.leaving.is_none() && !self.tainted {
            self.start(false, cx);
        }
        Turn::Stay
    }

    /// As [`Running::fail_batch`], without a pause: the next attempt is another one.
    fn refuse_batch(&mut self, why: String, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        let failures = self.failures;
        let turn = self.fail_batch(why, litter, cx);
        self.failures = failures;
        self.fill_at = cx.now;
        turn
    }

    fn start(&mut self, is_fresh: bool, cx: &mut Context<'_>) {
        let reading = |(partition, place): (&Partition, &Place)| Reading {
            partition: partition.clone(),
            from: place.position,
            owed: place.owed.clone(),
            until: place.request.and_then(|request| request.until),
        };
        let counted = |place: &Place| place.request.and_then(|request| request.counted);
        let own: u64 = self.places.values().filter_map(counted).sum();
        cx.act(Action::Start {
            readings: self.places.iter().map(reading).collect(),
            counted: own + self.counted_elsewhere,
            is_fresh,
        });
    }

    /// Lets the executor fill the next batch, if it may.
    fn fill(&mut self, cx: &mut Context<'_>) {
        let may = self.filling.is_none() && self.leaving.is_none() && !self.tainted;
        if !may || self.places.is_empty() {
            return;
        }
        if cx.now < self.fill_at {
            cx.wake_at(self.fill_at);
            return;
        }
        #[cfg(test)]
        let keeps_number = cx.mutated(super::Mutation::LabelWithoutAttempt)
            && self.committing.is_none()
            && self.failures > 0;
        #[cfg(not(test))]
        let keeps_number = false;
        if !keeps_number {
            self.seq = self.seq.next();
        }
        cx.say(Note::Filling { seq: self.seq });
        cx.act(Action::Fill { seq: self.seq });
        self.filling = Some(Batch::new(self.seq));
    }

    fn sealed(&mut self, seq: Seq, ends: Vec<Taken>, cx: &mut Context<'_>) -> Turn {
        let Some(batch) =
            self.filling.as_mut().filter(|b| b.seq == seq && b.stage == Stage::Filling)
        else {
            return Turn::Stay;
        };
        for Taken { range, .. } in &ends {
            match self.places.get(&range.partition) {
                Some(place) if range.first >= place.position && range.next > range.first => {}
                _ => {
                    return Turn::Fail(Failure::defect(format!(
                        "sealed {range}, never handed out"
                    )));
                }
            }
        }
        batch.ends = ends;
        let timeout_s =
            if cx.settings.is_plain { LABEL_KEPT_S } else { cx.settings.prepared_timeout_s };
        let trusted_s = timeout_s - timeout_s / 10;
        let is_known = cx.settings.is_plain || cx.settings.prepared_timeout_is_ours;
        batch.deadline_s = if is_known { cx.now / 1000 + trusted_s } else { 0 };
        if batch.labels.is_empty() || cx.settings.is_plain {
            batch.stage = Stage::FlushingDeadLetters;
            cx.act(Action::FlushDeadLetters);
            return Turn::Stay;
        }
        batch.stage = Stage::Preparing;
        cx.say(Note::Preparing { seq, labels: batch.labels.len() });
        for part in batch.labels.values() {
            cx.act(Action::Prepare { label: part.label.clone(), timeout_s });
        }
        Turn::Stay
    }

    fn flushed(&mut self, flushed: bool, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        match &mut self.filling {
            Some(batch) if batch.stage == Stage::FlushingDeadLetters => {
                if !flushed {
                    return self.fail_batch("dead letters were not taken".into(), litter, cx);
                }
                batch.stage = Stage::Ready;
                Turn::Stay
            }
            _ => Turn::Stay,
        }
    }

    fn answered(
        &mut self,
        label: &Label,
        op: Op,
        answer: Answer,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        if let Some(part) = self.filling.as_mut().and_then(|batch| batch.part(label)) {
            return match (op, answer) {
                (Op::Begin, Answer::Ok) => Turn::Stay,
                (Op::Begin, answer) => {
                    part.begin_is_lost = answer == Answer::Lost;
                    self.fail_batch(format!("begin: {}", describe(&answer)), litter, cx)
                }
                (Op::Prepare, answer) => self.prepared(label, answer, litter, cx),
                #[cfg(test)]
                (Op::AskState, Answer::State(TxnState::Prepared))
                    if cx.mutated(super::Mutation::PreparedStateAccepted) =>
                {
                    self.prepared(label, Answer::Ok, litter, cx)
                }
                _ => Turn::Stay,
            };
        }
        if self.committing.as_mut().and_then(|batch| batch.part(label)).is_some() {
            return self.commit_answered(label, op, answer, litter, cx);
        }
        Turn::Stay
    }

    fn prepared(
        &mut self,
        label: &Label,
        answer: Answer,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        #[cfg(test)]
        if answer == Answer::Lost && cx.mutated(super::Mutation::PreparedStateAccepted) {
            cx.act(Action::AskState { label: label.clone() });
            return Turn::Stay;
        }
        if answer != Answer::Ok {
            return self.fail_batch(format!("prepare: {}", describe(&answer)), litter, cx);
        }
        let Some(batch) = self.filling.as_mut().filter(|b| b.stage == Stage::Preparing) else {
            return Turn::Stay;
        };
        if let Some(part) = batch.part(label) {
            part.is_prepared = true;
        }
        if batch.labels.values().all(|part| part.is_prepared) {
            batch.stage = Stage::FlushingDeadLetters;
            cx.act(Action::FlushDeadLetters);
        }
        Turn::Stay
    }

    /// Goes on as far as possible without an answer.
    fn drive(&mut self, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        if self.writing.is_some() {
            return Turn::Stay;
        }
        if let Some(turn) = self.read_back_if_due(cx) {
            return turn;
        }
        self.commit_again_if_due(cx);
        self.retire_committed(cx);
        let is_ready = self.filling.as_ref().is_some_and(|batch| batch.stage == Stage::Ready);
        #[cfg(test)]
        if is_ready && self.committing.is_none() && cx.mutated(super::Mutation::CommitBeforeIntent)
        {
            for part in self.filling.iter().flat_map(|batch| batch.labels.values()) {
                cx.act(Action::Commit { label: part.label.clone() });
            }
        }
        if is_ready && self.committing.is_none() && !self.tainted {
            return self.step_five(litter, cx);
        }
        if let Some(turn) = self.finalise_if_due(cx) {
            return turn;
        }
        let is_busy = self.filling.as_ref().is_some_and(|b| b.stage != Stage::Filling)
            || self.committing.is_some()
            || self.finalise.is_some();
        if !is_busy && self.leaving.is_some() {
            self.abandon(litter, cx);
            return self.gone();
        }
        if self.tainted && self.committing.is_none() && self.finalise.is_none() {
            return self.rejoin("the fate of an offset commit was unknown", litter, cx);
        }
        self.fill(cx);
        Turn::Stay
    }

    /// Step 4a, step 5, or, at least once, step 6 at once. The batch before is committed.
    fn step_five(&mut self, litter: &mut Litter, cx: &mut Context<'_>) -> Turn {
        let batch = self.filling.as_ref().expect("called with a batch ready");
        let has_passed = batch.deadline_s != 0 && cx.now / 1000 >= batch.deadline_s;
        if batch.labels.is_empty() {
            if self.finalise.is_some() {
                return self.write_finalise(cx);
            }
            return self.write_empty(cx);
        }
        if has_passed && cx.settings.mode == Mode::ExactlyOnce {
            return self.fail_batch("its prepared deadline has passed".into(), litter, cx);
        }
        if cx.settings.mode == Mode::AtLeastOnce {
            // No intent takes the cursors of the batch before along.
            if self.finalise.is_some() {
                return self.write_finalise(cx);
            }
            self.commit_filling(cx);
            return Turn::Stay;
        }
        self.write_intent(cx)
    }

    fn write_intent(&mut self, cx: &mut Context<'_>) -> Turn {
        let Some(batch) = self.filling.as_mut() else { return Turn::Stay };
        batch.stage = Stage::Intending;
        let Some(batch) = self.filling.as_ref() else { return Turn::Stay };
        cx.say(Note::Intending { seq: batch.seq, partitions: batch.ends.len() });
        let mut writes = vec![];
        for Taken { range, records } in &batch.ends {
            let place = &self.places[&range.partition];
            let mut cursor = place.cursor(self.run, batch.seq, cx.settings);
            cursor.intent = Some(Intent {
                end: range.next,
                partitions: u32::try_from(batch.ends.len()).expect("partitions fit 32 bits"),
                tables: batch.labels.keys().copied().collect(),
                deadline_s: batch.deadline_s,
                database: cx.settings.database.clone(),
                prefix: cx.settings.prefix.clone(),
                abort_attempted: false,
                is_plain: cx.settings.is_plain,
                records: place.request.and_then(|request| request.counted).and(Some(*records)),
            });
            writes.push(CursorWrite {
                partition: range.partition.clone(),
                offset: place.position,
                metadata: cursor.write(),
            });
        }
        if let Some(finalise) = &self.finalise {
            let rest = finalise.ends.iter().filter(|(p, _)| !batch.covers(p));
            for (partition, end) in rest {
                writes.push(self.idle_write(partition, *end, 0, finalise.seq, cx.settings));
            }
        }
        self.write(Writing::Intent, writes, cx)
    }

    /// Step 4a: nothing reached any table, so the end is written straight away.
    fn write_empty(&mut self, cx: &mut Context<'_>) -> Turn {
        let Some(batch) = self.filling.as_mut() else { return Turn::Stay };
        if batch.ends.is_empty() {
            self.filling = None;
            return Turn::Stay;
        }
        batch.stage = Stage::Emptying;
        let seq = batch.seq;
        let ends = batch.ends.clone();
        let idle = |Taken { range, records }: &Taken| {
            self.idle_write(&range.partition, range.next, *records, seq, cx.settings)
        };
        let writes = ends.iter().map(idle).collect();
        self.write(Writing::Empty, writes, cx)
    }

    /// Step 7.
    fn write_finalise(&mut self, cx: &mut Context<'_>) -> Turn {
        let Some(finalise) = &self.finalise else { return Turn::Stay };
        cx.say(Note::Finalising { seq: finalise.seq });
        let (seq, ends) = (finalise.seq, &finalise.ends);
        let writes =
            ends.iter().map(|(p, end)| self.idle_write(p, *end, 0, seq, cx.settings)).collect();
        self.write(Writing::Finalise, writes, cx)
    }

    fn write(&mut self, what: Writing, writes: Vec<CursorWrite>, cx: &mut Context<'_>) -> Turn {
        self.writing = Some(what);
        cx.act(Action::WriteOffsets(writes));
        Turn::Stay
    }

    /// The cursor at `end`; `records` of it are not counted yet.
    fn idle_write(
        &self,
        partition: &Partition,
        end: Offset,
        records: u64,
        seq: Seq,
        settings: &Settings,
    ) -> CursorWrite {
        let mut place = self.places[partition].clone();
        place.advance(end, records);
        let metadata = place.cursor(self.run, seq, settings).write();
        CursorWrite { partition: partition.clone(), offset: end, metadata }
    }

    fn finalise_if_due(&mut self, cx: &mut Context<'_>) -> Option<Turn> {
        let due = self.finalise.as_ref()?.due;
        if cx.now < due && !self.tainted && self.leaving.is_none() {
            cx.wake_at(due);
            return None;
        }
        // An intent that is being found out about takes the cursors along.
        let is_intending = self.filling.as_ref().is_some_and(Batch::is_intended);
        (!is_intending).then(|| self.write_finalise(cx))
    }

    fn written(
        &mut self,
        outcome: WriteOutcome,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        match (self.writing.take(), outcome) {
            (None, _) => Turn::Stay,
            (Some(Writing::Intent), WriteOutcome::Ok) => {
                self.finalise = None;
                self.commit_filling(cx);
                Turn::Stay
            }
            (Some(Writing::Intent), WriteOutcome::NotSent) => {
                if let Some(batch) = self.filling.as_mut().filter(|b| b.intent_tries == 0) {
                    batch.stage = Stage::Ready;
                }
                self.rejoin("an offset commit could not be sent", litter, cx)
            }
            (Some(Writing::Intent), WriteOutcome::Unknown(error)) => {
                self.intent_unknown(error, litter, cx)
            }
            (Some(Writing::Empty), WriteOutcome::Ok) => {
                if let Some(batch) = self.filling.take() {
                    self.advance(&batch);
                    self.done(&batch, cx);
                }
                Turn::Stay
            }
            (Some(Writing::Finalise), WriteOutcome::Ok) => {
                self.finalise = None;
                Turn::Stay
            }
            #[cfg(test)]
            (Some(Writing::Finalise), _) if cx.mutated(super::Mutation::NoRejoinAfterFinalise) => {
                self.finalise = None;
                Turn::Stay
            }
            (Some(Writing::Empty | Writing::Finalise), _) => {
                self.rejoin("the fate of an offset commit is unknown", litter, cx)
            }
        }
    }

    /// Step 5, on failure: never roll back; read back what the group holds.
    fn intent_unknown(
        &mut self,
        error: WriteError,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        let Some(batch) = self.filling.as_mut() else { return Turn::Stay };
        #[cfg(test)]
        if cx.mutated(super::Mutation::RollBackAfterIntent) {
            batch.stage = Stage::Ready;
            return self.fail_batch("mutation".into(), litter, cx);
        }
        self.tainted = true;
        #[cfg(test)]
        if cx.mutated(super::Mutation::NoRejoinAfterIntent) {
            self.tainted = false;
        }
        cx.say(Note::IntentUnknown { seq: batch.seq });
        batch.intent_tries += 1;
        batch.intent_refused = match error {
            WriteError::Denied => Some(Failure::MayNotCommit),
            WriteError::TooLong => Some(Failure::MetadataTooLong),
            WriteError::Transient | WriteError::NotMember => None,
        };
        if error == WriteError::NotMember && batch.intent_tries > 1 {
            return self.rejoin("this member was expelled", litter, cx);
        }
        batch.stage = Stage::ReadBackAt(cx.now);
        Turn::Stay
    }

    fn read_back_if_due(&mut self, cx: &mut Context<'_>) -> Option<Turn> {
        let batch = self.filling.as_mut()?;
        let Stage::ReadBackAt(at) = batch.stage else { return None };
        if cx.now < at {
            cx.wake_at(at);
            return None;
        }
        batch.stage = Stage::ReadingBack;
        cx.act(Action::FetchOffsets);
        Some(Turn::Stay)
    }

    fn read_back(
        &mut self,
        list: Option<Vec<Fetched>>,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        let Some(batch) = self.filling.as_mut().filter(|b| b.stage == Stage::ReadingBack) else {
            return Turn::Stay;
        };
        let Some(list) = list else {
            batch.stage = Stage::ReadBackAt(cx.now + RETRY_MS);
            return Turn::Stay;
        };
        let found = match read_all(list) {
            Ok(found) => found,
            Err(failure) => return Turn::Fail(failure),
        };
        let mut landed = 0;
        for Taken { range, .. } in &batch.ends {
            let cursor = found.get(&range.partition).and_then(|found| found.cursor.as_ref());
            match cursor {
                Some(cursor) if cursor.run == self.run => {
                    landed += usize::from(cursor.seq == batch.seq && cursor.intent.is_some());
                }
                // A new owner decides; this process touches nothing of it any more.
                _ => return self.rejoin("another process owns the batch now", litter, cx),
            }
        }
        if landed == batch.ends.len() {
            self.finalise = None;
            self.commit_filling(cx);
            return Turn::Stay;
        }
        // To end now is no worse than a crash: what is prepared is rolled back by the next owner.
        if landed == 0
            && let Some(failure) = batch.intent_refused.take()
        {
            return Turn::Fail(failure);
        }
        let is_late = batch.deadline_s != 0 && cx.now / 1000 >= batch.deadline_s;
        if batch.intent_tries >= INTENT_TRIES || is_late {
            return self.rejoin("the intent cannot be written", litter, cx);
        }
        if self.leaving == Some(Leaving::Revoked) {
            return self.rejoin("the partitions are revoked", litter, cx);
        }
        self.write_intent(cx)
    }

    /// Step 6 for the batch whose intent is known to stand.
    fn commit_filling(&mut self, cx: &mut Context<'_>) {
        let Some(mut batch) = self.filling.take() else { return };
        batch.stage = Stage::Committing;
        self.failures = 0;
        self.advance(&batch);
        cx.say(Note::Committing { seq: batch.seq, labels: batch.labels.len() });
        for part in batch.labels.values_mut() {
            part.ask_commit(cx);
        }
        self.committing = Some(batch);
    }

    fn advance(&mut self, batch: &Batch) {
        for Taken { range, records } in &batch.ends {
            if let Some(place) = self.places.get_mut(&range.partition) {
                place.advance(range.next, *records);
            }
        }
    }

    fn commit_answered(
        &mut self,
        label: &Label,
        op: Op,
        answer: Answer,
        litter: &mut Litter,
        cx: &mut Context<'_>,
    ) -> Turn {
        let Some(part) = self.committing.as_mut().and_then(|batch| batch.part(label)) else {
            return Turn::Stay;
        };
        if let Answer::State(state) = answer {
            cx.say(Note::State { label: label.clone(), state });
        }
        let is_refused = !cx.settings.is_plain
            && op == Op::Commit
            && matches!(answer, Answer::Refused(Refusal::Other(_) | Refusal::NotFound));
        if is_refused {
            cx.say(commit_refused(label, &answer));
        } else if op == Op::Commit && answer != Answer::Ok || is_no_answer(&answer) {
            cx.say(unsettled(label, op, &answer));
        }
        let again = Commit::Again(cx.now + RETRY_MS);
        if cx.settings.is_plain
            && cx.settings.mode == Mode::ExactlyOnce
            && let (Commit::AskingState { .. }, Op::AskState, Answer::State(state)) =
                (part.commit, op, &answer)
        {
            // Never another label: this one may still be loaded by a request on its way.
            part.commit = match state {
                TxnState::Committed | TxnState::Visible => Commit::Done,
                TxnState::Aborted | TxnState::Unknown => again,
                TxnState::Prepare | TxnState::Prepared => Commit::AskAgain(cx.now + RETRY_MS),
            };
            return Turn::Stay;
        }
        part.commit = match (part.commit, op, answer) {
            (Commit::Asked, Op::Commit, Answer::Ok) => Commit::Done,
            (Commit::Asked, Op::Commit, _) => {
                cx.act(Action::AskState { label: label.clone() });
                Commit::AskingState { refused: is_refused }
            }
            (Commit::AskingState { refused }, Op::AskState, Answer::State(state)) => match state {
                TxnState::Committed | TxnState::Visible => Commit::Done,
                TxnState::Aborted => {
                    return self.start_over("a label was aborted", litter, cx);
                }
                TxnState::Prepared if refused => {
                    return self.start_over("a commit was refused", litter, cx);
                }
                TxnState::Unknown => {
                    part.unknowns += 1;
                    if part.unknowns >= UNKNOWNS {
                        return self.start_over("a label seems forgotten", litter, cx);
                    }
                    again
                }
                TxnState::Prepared | TxnState::Prepare => again,
            },
            (Commit::AskingState { .. }, Op::AskState, _) => again,
            (commit, _, _) => commit,
        };
        Turn::Stay
    }

    fn commit_again_if_due(&mut self, cx: &mut Context<'_>) {
        for part in self.committing.iter_mut().flat_map(|batch| batch.labels.values_mut()) {
            match part.commit {
                Commit::Again(at) if at <= cx.now => part.ask_commit(cx),
                Commit::AskAgain(at) if at <= cx.now => {
                    part.commit = Commit::AskingState { refused: false };
                    cx.act(Action::AskState { label: part.label.clone() });
                }
                Commit::Again(at) | Commit::AskAgain(at) => cx.wake_at(at),
                Commit::NotYet | Commit::Asked | Commit::AskingState { .. } | Commit::Done => {}
            }
        }
    }

    /// Hands a batch whose labels are all committed on to step 7.
    fn retire_committed(&mut self, cx: &mut Context<'_>) {
        let is_over = |batch: &mut Batch| batch.is_committed();
        #[cfg(test)]
        let is_over = |batch: &mut Batch| {
            let any = batch.labels.values().any(|part| part.commit == Commit::Done);
            is_over(batch) || any && cx.mutated(super::Mutation::FinaliseBeforeLastCommit)
        };
        let Some(batch) = self.committing.take_if(is_over) else { return };
        let at_once = cx.settings.mode == Mode::AtLeastOnce;
        self.finalise = Some(Finalise {
            seq: batch.seq,
            ends: batch.ends.iter().map(|t| (t.range.partition.clone(), t.range.next)).collect(),
            due: if at_once { cx.now } else { cx.now + FINALISE_ALONE_MS },
        });
        self.done(&batch, cx);
    }

    fn done(&self, batch: &Batch, cx: &mut Context<'_>) {
        cx.act(Action::Done(Receipt {
            seq: batch.seq,
            ranges: batch.ends.iter().map(|taken| taken.range.clone()).collect(),
            labels: batch.labels.values().map(|part| part.label.clone()).collect(),
        }));
    }
}

/// UNKNOWN answers in a row, a second apart, after which step 1 judges: more than the 40 s for
/// which a deposed leader may answer.
const UNKNOWNS: u32 = 60;

impl Part {
    fn ask_commit(&mut self, cx: &mut Context<'_>) {
        self.commit = Commit::Asked;
        let label = self.label.clone();
        cx.act(Action::Commit { label });
    }
}

/// Nothing was learnt, so the request is made again.
pub(super) fn is_no_answer(answer: &Answer) -> bool {
    matches!(answer, Answer::Lost | Answer::Refused(Refusal::Busy))
}

/// Why a label that an intent names has to wait.
pub(super) fn unsettled(label: &Label, op: Op, answer: &Answer) -> Note {
    let what = match op {
        Op::AskState | Op::AskStateEverywhere | Op::AskHistory => "state",
        Op::RollBack | Op::Cancel => "rollback",
        Op::Commit | Op::Begin | Op::Load | Op::Prepare => "commit",
    };
    Note::Unsettled { label: label.clone(), why: format!("{what}: {}", describe(answer)) }
}

/// A commit that the server refuses; R3b ends that.
pub(super) fn commit_refused(label: &Label, answer: &Answer) -> Note {
    Note::CommitRefused { label: label.clone(), why: describe(answer) }
}

pub(super) fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Ok => "ok".into(),
        Answer::Lost => "no answer".into(),
        Answer::Refused(Refusal::NotFound) => "the transaction is gone".into(),
        Answer::Refused(Refusal::Busy) => "the server is busy".into(),
        Answer::Refused(Refusal::LabelTaken) => "the label is taken".into(),
        Answer::Refused(Refusal::Other(text)) => text.clone(),
        Answer::State(state) => state.to_string(),
        Answer::Finished(finished) => format!("finished: {finished}"),
    }
}
