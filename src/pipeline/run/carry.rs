//! Carries out what the delivery machine asks for, and keeps count of attempts that failed.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::batch::Part;
use crate::config::job::{Extent, Retries};
use crate::delivery::{self, Action, Answer, Input, Label, Receipt, Seq};
use crate::error::{Kind, Problem};
use crate::event::{self, Event, Summary};
use crate::pipeline::lane::Ticket;
use crate::pipeline::loads::Work;
use crate::pipeline::run::group::random_run;
use crate::pipeline::run::{Batch, FIRST_PAUSE, Run, now_ms};
use crate::starrocks::client::TableName;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Retries of a bounded run where nothing else was said: about half a minute in all.
const LOAD_RETRIES: u32 = 6;

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
            Action::Start(readings) => self.start(&readings).map(|()| None),
            Action::Fill { seq } => {
                self.last_ticket = Ticket(self.last_ticket.0 + 1);
                self.filling = Some(self.last_ticket);
                self.batches.insert(self.last_ticket, Batch::new(seq));
                Ok(None)
            }
            Action::Drop { seq } => {
                self.drop_batch(seq);
                Ok(None)
            }
            // A plain load has no steps before it: everything is sent with the commit.
            Action::Prepare { label, .. } if self.plain => {
                Ok(Some(answer(label, delivery::Op::Prepare)))
            }
            Action::Commit { label } if self.plain => {
                self.load_at_once(&label);
                Ok(None)
            }
            Action::RollBack { label } if self.plain => {
                Ok(Some(answer(label, delivery::Op::RollBack)))
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
            Action::FlushDeadLetters => Ok(Some(Input::DeadLettersFlushed(true))),
            Action::WakeAt(at) => {
                self.wakes.push(Reverse(at));
                Ok(None)
            }
            Action::Done(receipt) => self.enter(receipt).map(|()| None),
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
                if let delivery::Note::RolledBack { why, .. } = &note {
                    self.attempt_failed(why);
                }
                (self.report)(Event::Step(note.to_string()));
                Ok(None)
            }
        }
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

    fn drop_batch(&mut self, seq: Seq) {
        let newest = self.batches.iter().rev().find(|(_, batch)| batch.seq == seq);
        let Some(ticket) = newest.map(|(ticket, _)| *ticket) else { return };
        self.plan.dropped.fetch_max(ticket.0, Ordering::Relaxed);
        if let Some(batch) = self.batches.remove(&ticket) {
            batch.labels.values().for_each(|label| self.loads.give_up(label));
            for part in batch.kept.into_values().flatten() {
                self.free(part);
            }
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

    /// A batch is committed: into the books.
    fn enter(&mut self, receipt: Receipt) -> Result<(), Problem> {
        self.attempts = 0;
        self.last_failure = None;
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
        let balance = batch.entry.check();
        self.books.enter(&batch.entry, &receipt.ranges, self.started.elapsed());
        for (table, label) in &batch.labels {
            let sent = batch.entry.tables.get(table).cloned().unwrap_or_default();
            let counted = sent.counted.unwrap_or_default();
            let filtered = counted.filtered + counted.unselected;
            self.books.labels.push(label.to_string());
            self.owners.remove(label);
            self.last_load = Some(Instant::now());
            let table = self.table_name(table).to_string();
            (self.report)(Event::Load(event::Load {
                table,
                label: label.to_string(),
                rows: sent.rows - filtered,
                bytes: sent.bytes,
                filtered,
            }));
        }
        let surplus = self.books.labels.len().saturating_sub(Summary::MOST_LABELS);
        self.books.labels.drain(..surplus);
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
        if self.stopping.is_some() || self.problem.is_some() {
            return;
        }
        self.attempts += 1;
        let failure = self.last_failure.take();
        let limit = match (self.job.max_retries, self.extent) {
            (Retries::AtMost(most), _) => Some(most),
            (Retries::Unsaid, Extent::Until(_)) => Some(LOAD_RETRIES),
            (Retries::Unsaid, Extent::Forever { .. }) | (Retries::Endless, _) => None,
        };
        if limit.is_some_and(|limit| self.attempts > limit) {
            let attempts = self.attempts;
            let problem = failure.unwrap_or_else(|| Problem::unavailable(why.to_string()));
            self.problem = Some(problem.hint(format!(
                "given up after {attempts} attempts (`sink.maxretries`); nothing is lost, run the same command again later"
            )));
            return;
        }
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE * (1 << (self.attempts - 1).min(10)));
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
        .cause(format!("{why:?}: `{metadata}`"))
        .hint("use another group with `-G`, or wipe the metadata with `kafka-consumer-groups.sh --reset-offsets --to-current`"),
        Failure::OtherRequest { partition, .. } => Problem::usage(format!(
            "group `{}` belongs to a bounded load that was asked for something else (`{partition}`)",
            group
        ))
        .hint("leave `-G` out, and each bounded load has a group of its own"),
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

fn answer(label: Label, op: delivery::Op) -> Input {
    Input::Answered { label, op, answer: Answer::Ok }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
