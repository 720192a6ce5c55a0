//! Carries out what the delivery machine asks for, and keeps count of attempts that failed.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::batch::Part;
use crate::config::job::{Extent, Retries};
use crate::delivery::{self, Action, Input, Label, Receipt, Seq, Settlement, TableHash};
use crate::error::{Kind, Problem};
use crate::event::{self, Event, Summary};
use crate::mapping::route;
use crate::pipeline::lane::Ticket;
use crate::pipeline::loads::Work;
use crate::pipeline::run::group::random_run;
use crate::pipeline::run::{Batch, FIRST_PAUSE, Run, now_ms};
use crate::starrocks::client::TableName;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Since when, and how often for each label, settling an intent has failed; nothing where none waits.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    since: Option<Instant>,
    tries: HashMap<Label, u32>,
    /// Why the last question was not answered.
    pub(super) problem: Option<Problem>,
    /// Labels that StarRocks refuses to commit.
    refused: HashSet<Label>,
}

impl Unsettled {
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some() || !self.refused.is_empty()
    }
}

/// The pause after so many failed attempts in a row.
fn pause_after(attempts: u32) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE * (1 << attempts.saturating_sub(1).min(10)))
}

impl Run<'_> {
    pub(super) fn feed(&mut self, input: Input) -> Result<(), Problem> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.machine.handle(now_ms(), input) {
                if let Some(next) = self.carry_out(action)? {
                    inputs.push_back(next);
                }
            }
        }
        Ok(())
    }

    /// Does one thing; the result of a synchronous one is the machine's next input.
    fn carry_out(&mut self, action: Action) -> Result<Option<Input>, Problem> {
        match action {
            Action::FetchOffsets => Ok(Some(Input::Fetched(self.fetch_offsets()?))),
            Action::WriteOffsets(cursors) => Ok(Some(Input::Written(self.write_offsets(&cursors)))),
            Action::ResolveStarts(partitions) => {
                self.resolve_starts(&partitions).map(|starts| Some(Input::Starts(starts)))
            }
            Action::Start { readings, counted, is_fresh } => {
                if is_fresh {
                    self.forget_batches();
                    self.unsettled = Unsettled::default();
                    self.gives_way = false;
                    if self.plain && !self.aside.is_isolating() {
                        self.condemn_nothing();
                    }
                }
                self.start(&readings, counted).map(|()| None)
            }
            Action::Replay { seq, readings } => {
                self.forget_batches();
                self.condemn_nothing();
                self.fill(Batch::replay(seq));
                self.replay(&readings).map(|()| None)
            }
            Action::Fill { seq } => {
                self.fill(Batch::new(seq, self.plain));
                Ok(None)
            }
            Action::Drop { seq } => {
                self.drop_batch(seq);
                Ok(None)
            }
            // A plain load has no steps before it: everything is sent with the commit.
            Action::Commit { label } if self.is_plain(&label) => {
                self.load_at_once(&label);
                Ok(None)
            }
            Action::Prepare { label, timeout_s } => {
                self.ask(&label, Work::Prepare { prepared: Duration::from_secs(timeout_s) });
                Ok(None)
            }
            Action::Commit { label } => self.asked(&label, Work::Commit),
            Action::RollBack { label } => {
                self.loads.give_up(&label);
                self.asked(&label, Work::RollBack)
            }
            Action::Cancel { label } => self.asked(&label, Work::Cancel),
            Action::AskState { label } => self.asked(&label, Work::AskState),
            Action::AskStateEverywhere { label } => self.asked(&label, Work::AskStateEverywhere),
            Action::AskHistory { label } => self.asked(&label, Work::AskHistory),
            Action::FlushDeadLetters => Ok(self.flush_dead_letters()),
            Action::WakeAt(at) => {
                self.wakes.push(Reverse(at));
                Ok(None)
            }
            Action::Done(receipt) => self.enter(receipt).map(|()| None),
            Action::Settled(settlement) => self.settled(settlement).map(|()| None),
            Action::Released => {
                self.give_back();
                Ok(None)
            }
            Action::LeaveAndRejoin { pause_ms } => {
                // The partitions go back when the group asks for them.
                self.consumer.leave();
                self.forget_assignment();
                self.rejoin_at = Some(Instant::now() + Duration::from_millis(pause_ms));
                Ok(None)
            }
            Action::StartOver => {
                // Nothing more is read, and no end is reached, before the next start.
                self.reading = false;
                Ok(Some(Input::Assigned { run: random_run(), partitions: self.assigned.clone() }))
            }
            Action::Finished => {
                self.finished = true;
                Ok(None)
            }
            Action::Fail(failure) => {
                self.finished = true;
                Err(self.machine_failed(&failure))
            }
            Action::Say(note) => {
                if let delivery::Note::Found { partition, offset, intent: Some(_) } = &note {
                    self.found_pending.insert(partition.clone(), *offset);
                }
                if let delivery::Note::RolledBack { why, .. }
                | delivery::Note::ReplayFailed { why } = &note
                {
                    self.attempt_failed(why);
                }
                if let delivery::Note::Unsettled { label, why } = &note {
                    self.wait_to_settle(label, why);
                }
                if let delivery::Note::Rule { rule: delivery::Rule::R3b, .. } = &note {
                    self.refused_for_good();
                }
                if let delivery::Note::CommitRefused { label, why } = &note {
                    self.wait_for_commit(label, why);
                }
                if let delivery::Note::TakenOver { partitions } = &note {
                    self.taken_over(*partitions);
                }
                let text = note.to_string();
                (self.report)(match note {
                    delivery::Note::Proving { .. } | delivery::Note::Evidence { .. } => {
                        Event::Notice(text)
                    }
                    _ => Event::Step(text),
                });
                Ok(None)
            }
        }
    }

    /// Offsets of the Java connector, or set by hand.
    fn taken_over(&mut self, partitions: usize) {
        (self.report)(Event::Warning {
            text: format!(
                "going on at offsets of group `{}` which starsink did not write ({partitions} {})",
                self.group,
                if partitions == 1 { "partition" } else { "partitions" }
            ),
            hint: Some(
                "versions 1.0.3 and 1.0.4 of the StarRocks connector commit one offset less than they loaded: \
                 if these are theirs, the last record of each partition is loaded once more"
                    .into(),
            ),
        });
    }

    fn asked(&mut self, label: &Label, work: Work) -> Result<Option<Input>, Problem> {
        self.ask(label, work);
        Ok(None)
    }

    fn ask(&mut self, label: &Label, work: Work) {
        let table = self.owners.get(label).map(|(_, table)| self.table_name(table));
        self.loads.push(label, table.as_ref(), work);
    }

    pub(super) fn table_name(&self, table: &str) -> TableName {
        TableName { database: self.job.target.database.clone(), table: table.into() }
    }

    fn fill(&mut self, batch: Batch) {
        self.last_ticket = Ticket(self.last_ticket.0 + 1);
        self.filling = Some(self.last_ticket);
        self.batches.insert(self.last_ticket, batch);
    }

    pub(super) fn is_plain(&self, label: &Label) -> bool {
        let ticket = self.owners.get(label).map(|(ticket, _)| ticket);
        ticket.and_then(|ticket| self.batches.get(ticket)).is_some_and(|batch| batch.is_plain)
    }

    /// Batches of an assignment that is over: recovery has judged them.
    fn forget_batches(&mut self) {
        self.plan.dropped.fetch_max(self.last_ticket.0, Ordering::Relaxed);
        for (_, batch) in std::mem::take(&mut self.batches) {
            self.discard(batch);
        }
        self.filling = None;
    }

    fn discard(&mut self, batch: Batch) {
        for label in batch.labels.values() {
            self.loads.give_up(label);
            if batch.is_plain {
                self.loads.forget(label);
                self.owners.remove(label);
            }
        }
        batch.refused.iter().for_each(|refused| self.plan.budget.release(refused.bytes));
        batch.kept.into_values().flatten().for_each(|part| self.free(part));
    }

    fn drop_batch(&mut self, seq: Seq) {
        let newest = self.batches.iter().rev().find(|(_, batch)| batch.seq == seq);
        let Some(ticket) = newest.map(|(ticket, _)| *ticket) else { return };
        self.plan.dropped.fetch_max(ticket.0, Ordering::Relaxed);
        if let Some(batch) = self.batches.remove(&ticket) {
            self.discard(batch);
        }
        if self.filling == Some(ticket) {
            self.filling = None;
        }
        self.reading = false;
    }

    pub(super) fn free(&self, part: Part) {
        self.plan.budget.release(part.body.len() as u64);
        self.plan.spare.give(part.body);
    }

    /// A pending batch was settled by recovery. One of this process that came through is entered like
    /// any other; of one of an earlier process only labels and offsets are known.
    fn settled(&mut self, settlement: Settlement) -> Result<(), Problem> {
        let Settlement { seq, ranges, committed, aborted, .. } = settlement;
        let is_ours = |label: &Label| self.is_held(label);
        if aborted.is_empty() && committed.iter().any(is_ours) {
            return self.enter(Receipt { seq, ranges, labels: committed });
        }
        if aborted.is_empty() {
            for range in &ranges {
                // With `--settle` nothing starts behind it.
                if self.found_pending.remove(&range.partition).is_some() {
                    self.settled.push(range.clone());
                }
            }
        }
        for (labels, state) in [(committed, "committed"), (aborted, "aborted")] {
            for label in labels {
                // A batch of this run whose rows were refused was never left to anybody.
                let found_pending = state == "committed" || !self.is_held(&label);
                self.audit(event::Audited {
                    label: label.to_string(),
                    table: self.table_of(&label),
                    rows: None,
                    state,
                    found_pending,
                    ranges: ranges.clone(),
                });
            }
        }
        Ok(())
    }

    /// The table that a label names by its hash, with its database, if a topic of this run goes there.
    fn table_of(&self, label: &Label) -> Option<String> {
        let routed = self.topics.iter().map(|(topic, _)| route::table(&self.job.routes, topic));
        let named = routed.into_iter().find(|table| TableHash::of(table) == label.table)?;
        Some(self.table_name(named).to_string())
    }

    /// The labels of batches that the run leaves to the next one.
    pub(super) fn left_pending(&self) -> Vec<event::Audited> {
        let entry = |label: &Label, table, rows, ranges| event::Audited {
            label: label.to_string(),
            table,
            rows,
            state: "pending",
            found_pending: false,
            ranges,
        };
        let mut left = vec![];
        for batch in self.batches.values().filter(|batch| batch.handed_over) {
            for (table, label) in &batch.labels {
                let rows = batch.entry.tables.get(table).map(|sent| sent.rows);
                let table = self.table_name(table).to_string();
                left.push(entry(label, Some(table), rows, batch.ranges()));
            }
        }
        let found = self.unsettled.tries.keys().filter(|label| !self.is_held(label));
        left.extend(found.map(|label| entry(label, self.table_of(label), None, vec![])));
        left
    }

    fn is_held(&self, label: &Label) -> bool {
        self.owners.get(label).is_some_and(|(ticket, _)| self.batches.contains_key(ticket))
    }

    /// One line of the audit trail; the newest are kept for the summary.
    fn audit(&mut self, audited: event::Audited) {
        if audited.found_pending {
            (self.report)(Event::Settled(audited.clone()));
        }
        self.books.audit.push_back(audited);
        if self.books.audit.len() > Summary::MOST_LABELS {
            self.books.audit.pop_front();
        }
    }

    /// A batch is committed: into the books.
    fn enter(&mut self, receipt: Receipt) -> Result<(), Problem> {
        self.attempts = 0;
        self.last_failure = None;
        self.unsettled = Unsettled::default();
        self.waiting_for = None;
        // A batch whose commit went through recovery comes back under its labels.
        let by_label = receipt.labels.first().and_then(|label| self.owners.get(label));
        let ticket = by_label.map(|(ticket, _)| *ticket).or_else(|| {
            let same =
                |(_, batch): &(&Ticket, &Batch)| batch.seq == receipt.seq && batch.handed_over;
            self.batches.iter().find(same).map(|(ticket, _)| *ticket)
        });
        let Some(batch) = ticket.and_then(|ticket| self.batches.remove(&ticket)) else {
            // Found at start-up and finished for an earlier process.
            return Ok(());
        };
        let mut batch = batch;
        for part in std::mem::take(&mut batch.kept).into_values().flatten() {
            self.free(part);
        }
        let labels = receipt.labels.iter();
        labels.for_each(|label| self.loads.forget(label));
        let balance = batch.entry.check(batch.records, batch.refused.len() as u64);
        self.enter_books(&batch, &receipt.ranges);
        self.settle_refused(&batch.refused, &receipt.ranges);
        for (table, label) in &batch.labels {
            let sent = batch.entry.tables.get(table).cloned().unwrap_or_default();
            let counted = sent.counted.unwrap_or_default();
            let filtered = counted.filtered + counted.unselected;
            self.owners.remove(label);
            self.last_load = Some(Instant::now());
            let table = self.table_name(table).to_string();
            let rows = sent.rows - filtered;
            self.audit(event::Audited {
                label: label.to_string(),
                table: Some(table.clone()),
                rows: Some(rows),
                state: "committed",
                found_pending: false,
                ranges: receipt.ranges.clone(),
            });
            (self.report)(Event::Load(event::Load {
                table,
                label: label.to_string(),
                rows,
                bytes: sent.bytes,
                filtered,
                ranges: receipt.ranges.clone(),
            }));
        }
        if batch.is_piece {
            self.piece_loaded(!batch.labels.is_empty())?;
        }
        balance.map_err(|text| {
            Problem::new(
                Kind::Defect,
                format!("the books of batch {} do not balance: {text}", receipt.seq),
            )
            .hint("this is a defect of starsink; please report it with this message")
        })
    }

    fn machine_failed(&self, failure: &delivery::Failure) -> Problem {
        machine_failed(&self.group, failure)
    }

    fn attempt_failed(&mut self, why: &str) {
        if self.aside.take_searching() || self.stopping.is_some() || self.problem.is_some() {
            return;
        }
        self.attempts += 1;
        let failure = self.last_failure.take();
        let limit = self.retry_limit();
        if limit.is_some_and(|limit| self.attempts > limit) {
            let attempts = self.attempts;
            let problem = failure.unwrap_or_else(|| Problem::unavailable(why.to_string()));
            self.problem = Some(problem.hint(format!(
                "given up after {attempts} attempts (`sink.maxretries`); nothing is lost, run the same command again later"
            )));
            return;
        }
        let pause = pause_after(self.attempts);
        self.resume_at = Some(Instant::now() + pause);
        let text =
            failure.as_ref().map_or(why, |problem| problem.causes.first().unwrap_or(&problem.what));
        self.waiting_for = Some(text.to_string());
        // The first retry is silent.
        if self.attempts > 1 {
            let what = failure.as_ref().map_or(why, |problem| &problem.what);
            (self.report)(Event::Warning {
                text: format!(
                    "{what} ({text}); attempt {} follows in {}",
                    self.attempts + 1,
                    seconds(pause)
                ),
                hint: None,
            });
        }
        self.last_failure = failure;
    }

    fn retry_limit(&self) -> Option<u32> {
        match (self.job.max_retries, self.extent) {
            (Retries::AtMost(most), _) => Some(most),
            (Retries::Unsaid, Extent::Until(_)) => Some(Retries::OF_LOAD),
            (Retries::Unsaid, Extent::Forever { .. }) | (Retries::Endless, _) => None,
        }
    }

    /// How long the attempts take that a run may make at one batch.
    pub(super) fn retry_patience(&self) -> Option<Duration> {
        let limit = self.retry_limit()?;
        Some((1..=limit).map(pause_after).sum())
    }

    /// An intent stands and its label cannot be settled: StarRocks does not answer, or is busy. The
    /// machine asks again every second; here it is said, and a run that may retry only so often ends when
    /// it has, and took as long as its attempts before an intent would have.
    fn wait_to_settle(&mut self, label: &Label, why: &str) {
        if self.stopping.is_some() || self.problem.is_some() {
            return;
        }
        let tries = self.unsettled.tries.entry(label.clone()).or_default();
        *tries += 1;
        let tries = *tries;
        let lasted = self.unsettled.since.get_or_insert_with(Instant::now).elapsed();
        let failure = self.last_failure.take().or(self.unsettled.problem.take());
        self.waiting_for = Some(why.to_owned());
        let is_over = self.retry_limit().is_some_and(|limit| tries > limit)
            && self.retry_patience().is_some_and(|patience| lasted >= patience);
        if is_over {
            let lost =
                || Problem::unavailable(format!("label `{label}` cannot be settled")).cause(why);
            let problem = failure.unwrap_or_else(lost);
            let hint = format!(
                "given up after {tries} attempts (`sink.maxretries`); the batch is pending, nothing is lost"
            );
            let next =
                "the same command again settles it first; `starsink load --settle` does only that";
            self.give_up(problem.hint(hint).hint(next));
            return;
        }
        // The first retry is silent; an outage may be long.
        if tries > 1 && tries.is_power_of_two() {
            (self.report)(Event::Warning {
                text: format!(
                    "a pending batch waits for StarRocks, label `{label}` is tried again ({why})"
                ),
                hint: None,
            });
        }
        self.last_failure = failure;
    }

    /// StarRocks answers, and refuses. The machine ends that after two minutes (R3b), so no attempt is
    /// counted; those that get no answer in between are, as ever.
    fn wait_for_commit(&mut self, label: &Label, why: &str) {
        self.waiting_for = Some(why.to_owned());
        if self.stopping.is_none() && self.unsettled.refused.insert(label.clone()) {
            (self.report)(Event::Warning {
                text: format!("StarRocks refuses to commit label `{label}` ({why})"),
                hint: Some(
                    "asked again for two minutes; then the label is rolled back, and its rows are \
                     loaded again: rule R3b"
                        .into(),
                ),
            });
        }
    }

    /// R3b: the rows are loaded again. One such attempt is always allowed; a server that never commits
    /// anything must not be loaded for ever.
    fn refused_for_good(&mut self) {
        self.attempts += 1;
        if self.retry_limit().is_none_or(|limit| self.attempts <= limit.max(1)) {
            return;
        }
        let unnamed = || Problem::unavailable("StarRocks refuses to commit what it has prepared");
        let hint = format!(
            "given up after {} batches that were prepared and refused for two minutes each \
             (`sink.maxretries`); nothing is lost, run the same command again later",
            self.attempts
        );
        let problem = self.last_failure.take().unwrap_or_else(unnamed);
        self.give_up(problem.hint(hint));
    }

    /// An answer that no retry can change ends the run; others are kept for the message.
    pub(super) fn note_failure(&mut self, problem: Problem) {
        match problem.kind {
            Kind::Unavailable => {
                self.last_failure.get_or_insert(problem);
            }
            Kind::Defect | Kind::Usage | Kind::BadRecord => {
                if self.stopping.is_none_or(|_| self.problem.is_none()) {
                    self.problem.get_or_insert(problem);
                }
            }
        }
    }
}

/// Why the machine gave up, in words.
pub(in crate::pipeline) fn machine_failed(group: &str, failure: &delivery::Failure) -> Problem {
    use delivery::Failure;
    match failure {
        Failure::InDoubt { labels, partitions, why } => {
            let why = match why {
                delivery::Doubt::Forgotten => "StarRocks has forgotten these labels, and nothing else proves their fate",
                delivery::Doubt::MappingChanged => "rows are owed to some tables only, but records are routed differently now",
                delivery::Doubt::OwedListTooLong => "the list of owed ranges no longer fits the offset metadata",
            };
            let mut problem = Problem::usage(format!(
                "it is in doubt whether a pending batch of group `{}` was loaded",
                group
            ))
            .cause(why);
            for range in partitions.iter().take(10) {
                problem = problem.at(range.to_string());
            }
            for label in labels.iter().take(10) {
                problem = problem.at(format!("label `{label}`"));
            }
            problem.hint("look into the table, then say `--on-unknown committed` or `--on-unknown reload`")
        }
        Failure::ForeignMetadata { partition, metadata, why } => Problem::usage(format!(
            "the offset of `{partition}` in group `{}` carries metadata that starsink cannot use",
            group
        ))
        .cause(format!("{}: `{metadata}`", foreign(*why)))
        .hint("use another group with `-G`, or wipe the metadata with `kafka-consumer-groups.sh --reset-offsets --to-current`"),
        Failure::OtherRequest { partition, .. } => Problem::usage(format!(
            "group `{}` belongs to a bounded load that was asked for something else (`{partition}`)",
            group
        ))
        .hint("leave `-G` out, and each bounded load has a group of its own"),
        Failure::OtherDatabase { partition, database } => Problem::usage(format!(
            "a batch of group `{group}` is pending in database `{database}`, where its labels are known (`{partition}`)"
        ))
        .hint(format!("`load --settle -D {database}` with the same configuration settles it; then this database can be loaded into")),
        Failure::MetadataTooLong => Problem::usage(
            "the broker refuses offset metadata as long as an intent of this configuration",
        )
        .hint("raise the broker's `offset.metadata.max.bytes`, or load fewer tables in one run"),
        Failure::MayNotCommit => Problem::usage(format!(
            "Kafka does not let this user commit offsets in group `{}`",
            group
        ))
        .hint("the user needs Read on the consumer group and on the topics"),
        Failure::Defect { what } => Problem::new(Kind::Defect, what.clone()),
    }
}

fn foreign(why: delivery::Foreign) -> &'static str {
    match why {
        delivery::Foreign::NotOurs => "another program wrote it",
        delivery::Foreign::OtherVersion => "another version of starsink wrote it",
        delivery::Foreign::Malformed => "it begins as starsink's does, but is damaged",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failure: &delivery::Failure, what: &str, hint: &str) {
        let problem = machine_failed("g", failure);
        assert_eq!((problem.kind, problem.what.as_str()), (Kind::Usage, what));
        assert!(problem.hints.iter().any(|text| text.contains(hint)), "{:?}", problem.hints);
    }

    #[test]
    fn what_the_broker_refuses_says_what_to_change() {
        check(
            &delivery::Failure::MayNotCommit,
            "Kafka does not let this user commit offsets in group `g`",
            "Read on the consumer group",
        );
        check(
            &delivery::Failure::MetadataTooLong,
            "the broker refuses offset metadata as long as an intent of this configuration",
            "`offset.metadata.max.bytes`",
        );
    }
}
