//! What lanes and loads answer: parts of a batch, results of requests.

use crate::batch::{self, Part};
use crate::config::job::Extent;
use crate::delivery::{self, Answer, Input, Label, Opening};
use crate::error::Problem;
use crate::pipeline::Inbox;
use crate::pipeline::books::{Counted, Sent};
use crate::pipeline::lane::{Said, Ticket};
use crate::pipeline::loads::{Done, What, Work};
use crate::pipeline::run::{Batch, Run};
use crate::record::{Offset, Partition};
use crate::starrocks::reply::Report;

impl Run<'_> {
    pub(super) fn empty_inbox(&mut self) -> Result<(), Problem> {
        while let Ok(message) = self.inbox.try_recv() {
            self.heard(message)?;
        }
        Ok(())
    }

    pub(super) fn heard(&mut self, message: Inbox) -> Result<(), Problem> {
        match message {
            Inbox::Lane(Said::Part { ticket, table, part }) => self.part(ticket, &table, part),
            Inbox::Lane(Said::Sealed { ticket, tallies }) => {
                if let Some(batch) = self.batches.get_mut(&ticket) {
                    batch.lanes_left -= 1;
                    for (partition, tally) in tallies {
                        batch.entry.partitions.entry(partition).or_default().add(&tally);
                    }
                }
                self.hand_over(ticket)
            }
            Inbox::Lane(Said::Bad { ticket, problem, reason, partition, offset, before }) => {
                if self.ending.is_none() && self.problem.is_none() {
                    reason.into_iter().for_each(|reason| self.stopped_by(*reason));
                }
                self.end_before(ticket, &partition, offset, before, problem);
                Ok(())
            }
            Inbox::Lane(Said::NewField { table, field }) => {
                self.new_field(&table, &field);
                Ok(())
            }
            Inbox::Lane(Said::Refused { ticket, refused }) => {
                self.refused(ticket, refused);
                Ok(())
            }
            Inbox::Load(done) => self.answered(*done),
            Inbox::DeadLetters { ticket, outcome } => self.letters_written(ticket, outcome),
        }
    }

    /// A record ends the run: what stands before it is loaded, so that nothing is lost when somebody
    /// moves the group behind it. Other partitions end where they were read to.
    fn end_before(
        &mut self,
        ticket: Ticket,
        partition: &Partition,
        offset: Offset,
        before: u64,
        problem: Problem,
    ) {
        let Some(batch) = self.batches.get_mut(&ticket) else { return };
        if batch.is_replay || batch.is_piece || self.aside.is_isolating() {
            // These ranges are whole or nothing.
            self.problem.get_or_insert(problem);
            return;
        }
        self.ending.get_or_insert(problem);
        for taken in batch.ends.iter_mut().filter(|taken| taken.range.partition == *partition) {
            batch.records -= taken.records - before;
            taken.range.next = offset;
            taken.records = before;
        }
        batch.ends.retain(|taken| taken.range.first < taken.range.next);
        batch.records -= self.positions.end_before(partition, offset, before, batch.sealing);
        if batch.sealing && batch.ends.is_empty() {
            // Nothing stands before it.
            self.problem = self.problem.take().or(self.ending.take());
        }
        for (partition, next) in self.positions.all() {
            self.ends.insert(partition.clone(), next);
        }
    }

    /// Rows of one table are ready: open its label, and send or keep them.
    fn part(&mut self, ticket: Ticket, table: &str, part: Part) -> Result<(), Problem> {
        let batch = self.batches.get(&ticket);
        let Some((seq, is_plain)) = batch.map(|batch| (batch.seq, batch.is_plain)) else {
            self.free(part);
            return Ok(());
        };
        let label = match self.machine.open(seq, table) {
            Opening::New(label) => {
                self.owners.insert(label.clone(), (ticket, table.to_string()));
                let name = self.table_name(table);
                if !is_plain {
                    self.loads.push(&label, Some(&name), Work::Begin);
                    self.batch(ticket).begins_left += 1;
                }
                self.batch(ticket).labels.insert(table.into(), label.clone());
                label
            }
            Opening::Open(label) => label,
            Opening::SealFirst => {
                return Err(Problem::usage(format!(
                    "one batch would go to more tables than an intent can name (`{table}` is one too many)"
                ))
                .hint("load fewer topics in one run: several processes with different names"));
            }
            Opening::NotFilling => {
                self.free(part);
                return Ok(());
            }
            Opening::Collision { other } => {
                return Err(Problem::usage(format!(
                    "tables `{table}` and `{other}` share a hash and cannot be loaded by one run"
                ))
                .hint("load them by two runs with different names"));
            }
        };
        let batch = self.batches.get_mut(&ticket).expect("looked at above");
        let sent: &mut Sent = batch.entry.tables.entry(table.into()).or_default();
        sent.records += part.records;
        sent.rows += part.rows;
        sent.bytes += part.raw_bytes;
        if is_plain {
            batch.kept_bytes += part.body.len() as u64;
            batch.kept.entry(table.into()).or_default().push(part);
        } else {
            batch.parts_left += 1;
            let name = self.table_name(table);
            self.loads.push(&label, Some(&name), Work::Part(part));
        }
        Ok(())
    }

    pub(super) fn batch(&mut self, ticket: Ticket) -> &mut Batch {
        self.batches.get_mut(&ticket).expect("the caller looked it up")
    }

    fn answered(&mut self, mut done: Done) -> Result<(), Problem> {
        if let Some(rejection) = done.rejection.take() {
            let is_searched_for = self.is_searched_for(&rejection);
            if is_searched_for {
                self.rows_rejected(&done.label, &rejection);
                done.problem = None;
            }
            done.problem = done.problem.map(|problem| self.with_ranges(problem, &done.label));
            if !is_searched_for && self.problem.is_none() {
                self.stopped_by_rows(&done.label, &rejection);
            }
            // A plain load has its intent already, which gives way whatever is done about the rows.
            if is_searched_for || self.is_plain(&done.label) {
                if let Some(problem) = done.problem {
                    self.note_failure(problem);
                    self.gives_way = true;
                }
                let why = rejection.message;
                return self.feed(Input::RowsRefused { label: done.label, why });
            }
        }
        if let Some(problem) = done.problem {
            use delivery::Op;
            match done.what {
                // Welcome, no more: what counts is whether an intent waits for it.
                What::Answered { op: Op::RollBack | Op::Cancel, .. } => {}
                What::Answered { op: Op::AskState | Op::AskStateEverywhere, .. } => {
                    self.unsettled.problem = Some(problem);
                }
                What::Answered { .. } | What::Part { .. } => self.note_failure(problem),
            }
        }
        if matches!(done.what, What::Part { aborted: true, .. }) {
            self.part_aborted(&done.label);
        }
        let owner = self.owners.get(&done.label).cloned();
        match done.what {
            What::Part { accepted, .. } => {
                let Some((ticket, _)) = owner else { return Ok(()) };
                if let Some(batch) = self.batches.get_mut(&ticket) {
                    batch.parts_left -= 1;
                    if !accepted {
                        let why = "a load failed".to_string();
                        return self.feed(Input::LoadFailed { label: done.label, why });
                    }
                    return self.hand_over(ticket);
                }
                Ok(())
            }
            What::Answered { op, answer, report } => {
                if let (Some(report), Some((ticket, table))) = (&report, &owner)
                    && (op == delivery::Op::Prepare
                        || op == delivery::Op::Commit && self.is_plain(&done.label))
                {
                    self.count(*ticket, table, report);
                }
                if op == delivery::Op::RollBack && answer == Answer::Ok {
                    self.loads.forget(&done.label);
                    self.owners.remove(&done.label);
                }
                let begun = op == delivery::Op::Begin;
                let ok = answer == Answer::Ok;
                if begun
                    && let Some((ticket, _)) = &owner
                    && let Some(batch) = self.batches.get_mut(ticket)
                {
                    batch.begins_left -= 1;
                    if !ok {
                        self.loads.give_up(&done.label);
                    }
                }
                self.feed(Input::Answered { label: done.label, op, answer })?;
                match owner {
                    Some((ticket, _)) if begun && ok => self.hand_over(ticket),
                    _ => Ok(()),
                }
            }
        }
    }

    fn count(&mut self, ticket: Ticket, table: &str, report: &Report) {
        // Some answers carry no figures at all.
        if report.total_rows + report.loaded_rows == 0 {
            return;
        }
        if let Some(sent) =
            self.batches.get_mut(&ticket).and_then(|batch| batch.entry.tables.get_mut(table))
        {
            sent.counted = Some(Counted {
                total: report.total_rows,
                loaded: report.loaded_rows,
                filtered: report.filtered_rows,
                unselected: report.unselected_rows,
            });
        }
    }

    /// A plain load: all rows of one table in one request under one label, which StarRocks takes once.
    pub(super) fn load_at_once(&mut self, label: &Label) {
        let Some((ticket, table)) = self.owners.get(label).cloned() else { return };
        let Some(batch) = self.batches.get_mut(&ticket) else { return };
        let parts = batch.kept.get_mut(&table).map(std::mem::take).unwrap_or_default();
        let charged: u64 = parts.iter().map(|part| part.body.len() as u64).sum();
        let whole = batch::join(self.plan.framing, parts);
        // A retry of the same label needs the same rows again.
        let copy = Part { body: whole.body.clone(), ..whole };
        self.plan.budget.charge(2 * copy.body.len() as u64);
        self.plan.budget.release(charged);
        if let Some(batch) = self.batches.get_mut(&ticket) {
            batch.kept.insert(table.clone(), vec![copy]);
        }
        let packed = batch::compress(self.job.target.compression, &whole.body);
        let compressed = packed.expect("writing to memory cannot fail").unwrap_or(whole.body);
        self.plan.budget.charge(compressed.len() as u64);
        self.plan.budget.release(whole.raw_bytes);
        let part = Part { body: compressed, ..whole };
        let name = self.table_name(&table);
        self.loads.push(label, Some(&name), Work::StreamLoad(part));
    }

    /// Every begin and every part was answered: the batch is the machine's.
    fn hand_over(&mut self, ticket: Ticket) -> Result<(), Problem> {
        let Some(batch) = self.batches.get_mut(&ticket) else { return Ok(()) };
        let whole = batch.sealing && batch.lanes_left == 0 && batch.parts_left == 0;
        if !whole || batch.begins_left > 0 || batch.handed_over || self.problem.is_some() {
            return Ok(());
        }
        let is_last = matches!(self.extent, Extent::Until(_)) && self.positions.all_done();
        self.check_errors(is_last && !self.aside.is_isolating());
        if self.problem.is_some() {
            return Ok(());
        }
        let Some(batch) = self.batches.get_mut(&ticket) else { return Ok(()) };
        batch.handed_over = true;
        let (seq, ends) = (batch.seq, batch.ends.clone());
        if self.filling == Some(ticket) {
            self.filling = None;
        }
        self.feed(Input::Sealed { seq, ends })
    }
}
