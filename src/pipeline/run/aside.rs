//! Records that are not loaded: counted and set aside before their offsets move, told when their batch
//! is committed; and the search for the records whose rows StarRocks rejects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::config::job::{Body, DeadLetterTarget, Job, MaxErrors, NewFields, OnBadRecord};
use crate::delivery::{self, CursorWrite, Input, Label, WriteError, WriteOutcome};
use crate::dlq::{DeadLetter, Writer, Written};
use crate::error::{Kind, Problem};
use crate::event::{self, Event, Reasoned};
use crate::mapping::layout::Layout;
use crate::mapping::plan::NewField;
use crate::mapping::route;
use crate::pipeline::isolate::{Isolation, Next};
use crate::pipeline::lane::{self, Ticket};
use crate::pipeline::loads::{Fault, Rejection};
use crate::pipeline::named::{self, CsvLine};
use crate::pipeline::positions::Positions;
use crate::pipeline::reasons::{self, Reasons};
use crate::pipeline::refuse::{Condemned, Refused, Verdict};
use crate::pipeline::run::{Batch, Run};
use crate::pipeline::{Inbox, Outbox};
use crate::record::{Offset, OffsetRange, Partition};
use crate::starrocks::reply;

/// Records told one by one in a batch unless `errors.log.enable` asks for all of them.
const MOST_TOLD: usize = 3;

/// What a run keeps of the records that it does not load.
pub(super) struct Aside {
    writer: Keeper,
    isolation: Option<Isolation>,
    condemned: Arc<Condemned>,
    /// Written by this process, with offsets that have not moved past them yet: a batch that is
    /// attempted again does not write them again.
    written: BTreeSet<(Partition, Offset)>,
    /// The batch whose dead letters are being written.
    flushing: Option<Ticket>,
    /// The attempt under way leaves out rows that StarRocks named.
    is_by_name: bool,
    /// StarRocks shows rows in a form that is not recognised: names are of no use in this search.
    names_fail: bool,
    /// The attempt that fails now is part of a search and no failure to count.
    is_searching: bool,
    /// Why records could not be loaded, where that ended the run: those of what was not committed as well.
    pub(super) stopped_by: Reasons,
    /// Told already.
    new_fields: BTreeSet<String>,
    /// After a body that was too large: bytes of a batch from then on.
    most_bytes: u64,
    /// A transaction was rolled back between two parts, and nothing says why.
    suspect: Option<Suspect>,
}

/// Records among which something may be wrong.
struct Suspect {
    ranges: Vec<OffsetRange>,
    /// Bytes of a batch until they are loaded.
    most_bytes: u64,
}

/// Who writes dead letters.
pub(super) enum Keeper {
    Nobody,
    /// A thread of its own: acknowledgements may take their time.
    Thread(SyncSender<Errand>),
    /// With the offsets, in one transaction, by the thread that commits offsets.
    WithOffsets(Box<Writer>),
}

/// What the writing thread is asked for.
pub(super) struct Errand {
    ticket: Ticket,
    refused: Vec<Arc<Refused>>,
}

/// Writes until the reader hangs up.
pub(super) fn serve(mut writer: Writer, errands: &Receiver<Errand>, outbox: &Outbox) {
    while let Ok(errand) = errands.recv() {
        let letters: Vec<&DeadLetter> =
            errand.refused.iter().map(|refused| &refused.letter).collect();
        let outcome = writer.write(&letters);
        outbox.send(Inbox::DeadLetters { ticket: errand.ticket, outcome });
    }
}

impl Aside {
    pub(super) fn new(writer: Keeper) -> Self {
        Aside {
            writer,
            isolation: None,
            condemned: Arc::default(),
            written: BTreeSet::new(),
            flushing: None,
            is_by_name: false,
            names_fail: false,
            is_searching: false,
            stopped_by: Reasons::default(),
            new_fields: BTreeSet::new(),
            most_bytes: u64::MAX,
            suspect: None,
        }
    }

    /// Bytes of a batch at most, for now.
    pub(super) fn most_bytes(&self) -> u64 {
        let suspect = self.suspect.as_ref().map_or(u64::MAX, |suspect| suspect.most_bytes);
        self.most_bytes.min(suspect)
    }

    /// The assignment is over: whoever has the partitions now searches anew.
    pub(super) fn forget_search(&mut self) {
        self.isolation = None;
    }

    pub(super) fn is_isolating(&self) -> bool {
        self.isolation.is_some()
    }

    /// Whether the attempt that just failed is part of a search; asked once.
    pub(super) fn take_searching(&mut self) -> bool {
        std::mem::take(&mut self.is_searching)
    }
}

// ---- records that lanes refuse ----

impl Run<'_> {
    /// A lane could make no rows of a record.
    pub(super) fn refused(&mut self, ticket: Ticket, refused: Arc<Refused>) {
        let Some(batch) = self.batches.get_mut(&ticket) else {
            self.plan.budget.release(refused.bytes);
            return;
        };
        batch.refused.push(refused);
        self.check_errors(false);
    }

    /// Told once for each field, with what would keep it.
    pub(super) fn new_field(&mut self, table: &str, field: &NewField) {
        let database = &self.job.target.database;
        let so = match self.job.records.new_fields {
            NewFields::Refuse => "such records are not loaded (`starsink.new.fields=refuse`)",
            NewFields::Warn | NewFields::Ignore => "StarRocks drops it",
        };
        let text = format!(
            "records for `{database}.{table}` have a new field `{}`: no column has this name, so {so}",
            field.name
        );
        if !self.aside.new_fields.insert(text.clone()) {
            return;
        }
        let hint = format!(
            "`ALTER TABLE {database}.{table} ADD COLUMN \\`{}\\` {} NULL` keeps it once the run is started again",
            field.name, field.sql_type
        );
        (self.report)(Event::Warning { text, hint: Some(hint) });
    }

    /// Stops the run when too many records were not loaded. `is_whole`: nothing follows.
    pub(super) fn check_errors(&mut self, is_whole: bool) {
        let Some(limit) = self.job.errors.max_errors else { return };
        let of_batches = self.batches.values().map(|batch| batch.refused.len() as u64).sum::<u64>();
        let bad = self.books.set_aside + self.books.skipped + of_batches;
        let read = self.books.read + self.batches.values().map(|batch| batch.records).sum::<u64>();
        if self.problem.is_some() || !reasons::exceeds(limit, bad, read, is_whole) {
            return;
        }
        let mut all = self.books.reasons.clone();
        for refused in self.batches.values().flat_map(|batch| &batch.refused) {
            all.add(refused.reasoned());
        }
        self.problem = Some(too_many(limit, bad, read, &all));
        self.aside.stopped_by = all;
    }

    /// The dead letters of the sealed batch: written now, or with its offsets.
    pub(super) fn flush_dead_letters(&mut self) -> Option<Input> {
        let done = Some(Input::DeadLettersFlushed(true));
        let sealed = self.batches.iter().rev().find(|(_, batch)| batch.handed_over);
        let Some((&ticket, batch)) = sealed else { return done };
        let Keeper::Thread(errands) = &self.aside.writer else { return done };
        let written = &self.aside.written;
        let is_new = |refused: &&Arc<Refused>| {
            let letter = &refused.letter;
            !written.contains(&(letter.partition.clone(), letter.offset))
        };
        let refused: Vec<_> = batch.refused.iter().filter(is_new).cloned().collect();
        if refused.is_empty() {
            return done;
        }
        self.aside.flushing = Some(ticket);
        let text = format!("step 3a: writing dead letters before offsets move ({})", refused.len());
        (self.report)(Event::Step(text));
        // The thread ends before its sender only by a panic.
        let sent = errands.send(Errand { ticket, refused });
        sent.is_err().then_some(Input::DeadLettersFlushed(false))
    }

    /// A record that ends the run: it is among the reasons, and no record that was read to its end.
    pub(super) fn stopped_by(&mut self, reason: Reasoned) {
        if self.aside.stopped_by.list().is_empty() {
            self.aside.stopped_by = self.books.reasons.clone();
        }
        self.aside.stopped_by.add(reason);
    }

    /// Rows that StarRocks refuses end the run.
    pub(super) fn stopped_by_rows(&mut self, label: &Label, rejection: &Rejection) {
        let shown = self.job.redact_values;
        let line =
            rejection.log.first().map_or(rejection.message.as_str(), |line| named::reason(line));
        let said = if shown { reply::without_values(line) } else { line.to_owned() };
        let first = self.with_ranges(Problem::usage(""), label).at.into_iter().next();
        self.stopped_by(Reasoned {
            stage: "TASK_PUT".into(),
            what: format!("StarRocks rejects rows: {said}"),
            table: Some(rejection.table.to_string()),
            // Where no answer counts them, the log names some.
            count: rejection.rows.unwrap_or(rejection.log.len() as u64).max(1),
            // Which record of the batch it is nobody looked for.
            first: first.unwrap_or_default(),
            cause: Some(rejection.message.clone()).filter(|message| *message != said),
        });
    }

    /// The writing thread is done with a batch.
    pub(super) fn letters_written(
        &mut self,
        ticket: Ticket,
        outcome: Result<(), Problem>,
    ) -> Result<(), Problem> {
        let is_ok = outcome.is_ok();
        if let (true, Some(batch)) = (is_ok, self.batches.get(&ticket)) {
            let letters = batch.refused.iter().map(|refused| &refused.letter);
            let places = letters.map(|letter| (letter.partition.clone(), letter.offset));
            self.aside.written.extend(places);
        }
        if let Err(problem) = outcome {
            self.note_failure(problem);
        }
        // The answer for a batch that was given up meanwhile is none for the next one.
        if self.aside.flushing.take_if(|flushing| *flushing == ticket).is_none() {
            return Ok(());
        }
        self.feed(Input::DeadLettersFlushed(is_ok))
    }

    /// Offsets that must move together with dead letters; `None`: these need no transaction.
    pub(super) fn write_with_letters(&mut self, cursors: &[CursorWrite]) -> Option<WriteOutcome> {
        let Keeper::WithOffsets(writer) = &mut self.aside.writer else { return None };
        let batch = self.batches.values().rev().find(|batch| batch.handed_over)?;
        if batch.refused.is_empty() || !belongs(cursors, &batch.ranges(), batch.seq) {
            return None;
        }
        let Some(member) = self.consumer.group_metadata() else {
            return Some(WriteOutcome::NotSent);
        };
        let offsets: Vec<_> = cursors
            .iter()
            .map(|cursor| (cursor.partition.clone(), cursor.offset, cursor.metadata.clone()))
            .collect();
        let letters: Vec<&DeadLetter> =
            batch.refused.iter().map(|refused| &refused.letter).collect();
        Some(match writer.write_with_offsets(&letters, &offsets, &member) {
            Written::Committed => WriteOutcome::Ok,
            Written::NotWritten(problem) => {
                self.note_failure(problem);
                WriteOutcome::NotSent
            }
            Written::Unknown(text) => {
                self.waiting_for = Some(format!("committing dead letters and offsets: {text}"));
                WriteOutcome::Unknown(WriteError::Transient)
            }
        })
    }

    /// A batch is committed: its refused records are done with.
    pub(super) fn settle_refused(&mut self, refused: &[Arc<Refused>], ranges: &[OffsetRange]) {
        let is_set_aside = matches!(self.job.errors.on_bad_record, OnBadRecord::SetAside(_));
        for (number, refused) in refused.iter().enumerate() {
            self.plan.budget.release(refused.bytes);
            let reason = refused.reasoned();
            self.books.reasons.add(reason.clone());
            let is_told = self.job.errors.tell_each || number < MOST_TOLD;
            if is_told {
                (self.report)(Event::Refused(event::Refused {
                    place: refused.letter.place(),
                    reason,
                    excerpt: refused.excerpt.clone(),
                    is_set_aside,
                    is_asked_for: self.job.errors.tell_each,
                }));
            }
        }
        if let Some(suspect) = &mut self.aside.suspect {
            let is_loaded = |it: &OffsetRange| {
                ranges.iter().any(|r| r.partition == it.partition && it.next <= r.next)
            };
            suspect.ranges.retain(|range| !is_loaded(range));
        }
        self.aside.suspect.take_if(|suspect| suspect.ranges.is_empty());
        for range in ranges {
            let is_behind = |(partition, offset): &(Partition, Offset)| {
                *partition == range.partition && *offset < range.next
            };
            self.aside.written.retain(|place| !is_behind(place));
            if self.aside.condemned.places.contains_key(&range.partition) {
                let condemned = Arc::make_mut(&mut self.aside.condemned);
                condemned.forget_before(&range.partition, range.next);
            }
        }
    }
}

/// Whether this is the write that moves the batch: its intent, or its end where nothing was loaded.
fn belongs(cursors: &[CursorWrite], ranges: &[OffsetRange], seq: delivery::Seq) -> bool {
    let moves = |range: &OffsetRange| {
        let cursor = cursors.iter().find(|cursor| cursor.partition == range.partition);
        cursor.is_some_and(|cursor| {
            let intends = delivery::cursor::Cursor::parse(&cursor.metadata)
                .is_ok_and(|read| read.is_some_and(|it| it.seq == seq && it.intent.is_some()));
            cursor.offset == range.next || intends
        })
    };
    !ranges.is_empty() && ranges.iter().all(moves)
}

fn too_many(limit: MaxErrors, bad: u64, read: u64, reasons: &Reasons) -> Problem {
    const MOST: usize = 5;
    let allowed = match limit {
        MaxErrors::Count(most) => format!("`--max-errors {most}` allows"),
        MaxErrors::Percent(share) => format!("`--max-errors {share}%` allows"),
    };
    let records = if bad == 1 { "record" } else { "records" };
    let what = format!("{bad} {records} of {read} could not be loaded, more than {allowed}");
    let mut problem = Problem::new(Kind::BadRecord, what);
    for reason in reasons.list().iter().take(MOST) {
        problem = problem
            .cause(format!("{} × {}; the first is {}", reason.count, reason.what, reason.first));
    }
    problem
        .hint("the last batch was not loaded and its offsets did not move; mend the data or the mapping and run the same command again")
        .hint("`starsink load -n` with the same configuration counts what would be set aside, and loads nothing")
}

// ---- rows that StarRocks rejects ----

impl Run<'_> {
    /// Whether the batch that holds these rows is gone through in pieces, instead of ending the run.
    pub(super) fn is_searched_for(&self, rejection: &Rejection) -> bool {
        let tolerant = !matches!(self.job.errors.on_bad_record, OnBadRecord::Stop);
        self.problem.is_none() && (tolerant || rejection.fault == Fault::Size)
    }

    /// StarRocks refuses rows: the batch is rolled back, and the next attempt is smaller or goes without
    /// the record that was found.
    pub(super) fn rows_rejected(&mut self, label: &Label, rejection: &Rejection) {
        let ticket = self.owners.get(label).map(|(ticket, _)| *ticket);
        let Some(batch) = ticket.and_then(|ticket| self.batches.get(&ticket)) else { return };
        let mut ranges = if batch.sealing { batch.ranges() } else { self.positions.moved_ranges() };
        // A pending plain load that was read again may hold records of partitions that others own now.
        ranges.retain(|range| self.assigned.contains(&range.partition));
        let (read_bytes, is_piece) = (batch.read_bytes, batch.is_piece);
        if rejection.fault == Fault::Size && !is_piece {
            self.aside.most_bytes = self.aside.most_bytes.min((read_bytes / 2).max(1));
        }
        let was_recognised = batch.refused.iter().any(|refused| refused.by_name);
        let records = batch.records;
        self.aside.names_fail |= self.aside.is_by_name && !was_recognised;
        let is_named = self.name_rows(label, rejection);
        self.aside.is_by_name = is_named;
        let next = match &mut self.aside.isolation {
            Some(isolation) => isolation.refused(is_named),
            None => {
                (self.report)(Event::Step(format!(
                    "StarRocks rejects rows for `{}` ({}): looking for them in {records} records",
                    rejection.table, rejection.message
                )));
                let (isolation, next) = Isolation::of(ranges, is_named);
                self.aside.isolation = Some(isolation);
                next
            }
        };
        match next {
            Next::Load => {}
            Next::Found { range } => self.condemn(&range, label, rejection),
            Next::GiveUp { loads, found } => {
                self.problem.get_or_insert_with(|| gave_up(rejection, loads, found));
            }
        }
        // Another part of the batch is read next, or the same without a record.
        self.assigned_in_kafka = false;
        self.aside.is_searching = true;
    }

    /// A part met a transaction that was over. One document of an earlier part may have spoilt it: that is
    /// told in words only where no part follows. So attempts get smaller until a batch is one part.
    pub(super) fn part_aborted(&mut self, label: &Label) {
        let ticket = self.owners.get(label).map(|(ticket, _)| *ticket);
        let Some(batch) = ticket.and_then(|ticket| self.batches.get(&ticket)) else { return };
        if let Some(isolation) = &mut self.aside.isolation {
            if isolation.halve() {
                self.assigned_in_kafka = false;
                self.aside.is_searching = true;
            }
            return;
        }
        let ranges = if batch.sealing { batch.ranges() } else { self.positions.moved_ranges() };
        let part = self.plan.part_bytes as u64;
        let most_bytes = part.min(self.aside.most_bytes()).min((batch.read_bytes / 2).max(1));
        self.aside.suspect = Some(Suspect { ranges, most_bytes });
    }

    /// Takes down the rows that StarRocks names, for the lanes to leave out; whether any is new.
    fn name_rows(&mut self, label: &Label, rejection: &Rejection) -> bool {
        // A plain load's label stands for every record between its offsets, whoever loads them: what is
        // left out has to be a batch of its own.
        if self.plain || self.aside.names_fail || rejection.log.is_empty() {
            return false;
        }
        let columns = self.directory.columns(&rejection.table.table);
        let lines_as = self.csv_line(&rejection.table.table, &columns);
        let condemned = Arc::make_mut(&mut self.aside.condemned);
        let named = &mut condemned.named;
        let label = label.to_string();
        let is_new = named.add(&rejection.table, &columns, lines_as, &label, &rejection.log);
        if is_new {
            self.tell_condemned();
        }
        is_new
    }

    /// How a line is made, where it is CSV of just these columns in their order and nothing is enclosed.
    fn csv_line(&self, table: &str, columns: &[String]) -> Option<CsvLine> {
        let Body::Csv { row_delimiter } = &self.job.format.body else { return None };
        let layout = Layout::of(&self.job.format.body, &self.directory.headers(table));
        let is_so =
            layout.enclose.is_none() && layout.listed.is_none_or(|listed| listed == columns);
        let (separator, row_delimiter) = (layout.separator, row_delimiter.clone());
        is_so.then_some(CsvLine { separator, row_delimiter })
    }

    /// A plain load without a search leaves nothing out: its label stands for every record between its
    /// offsets, whoever loads them.
    pub(super) fn condemn_nothing(&mut self) {
        if !self.aside.condemned.is_empty() {
            self.aside.condemned = Arc::default();
            self.tell_condemned();
        }
    }

    fn tell_condemned(&mut self) {
        let condemned = Arc::clone(&self.aside.condemned);
        self.send_to_lanes(|| lane::Job::Condemn(Arc::clone(&condemned)));
    }

    /// One record is left, and StarRocks does not take it.
    fn condemn(&mut self, range: &OffsetRange, label: &Label, rejection: &Rejection) {
        if matches!(self.job.errors.on_bad_record, OnBadRecord::Stop) {
            let place = format!("{}@{}", range.partition, range.first);
            self.stopped_by_rows(label, rejection);
            self.problem = Some(
                Problem::new(
                    Kind::BadRecord,
                    format!("a record is too large for a load into `{}`", rejection.table),
                )
                .cause(rejection.message.clone())
                .at(place)
                .hint("`--on-error dlq --dlq TOPIC|FILE` sets such records aside and loads the others"),
            );
            return;
        }
        let reason =
            rejection.log.first().map_or(rejection.message.as_str(), |line| named::reason(line));
        let verdict = Verdict {
            reason: reason.into(),
            words: rejection.log.first().cloned().unwrap_or_else(|| rejection.message.clone()),
            table: rejection.table.to_string(),
            label: label.to_string(),
            by_name: false,
        };
        let condemned = Arc::make_mut(&mut self.aside.condemned);
        condemned.places.entry(range.partition.clone()).or_default().insert(range.first, verdict);
        self.tell_condemned();
    }

    /// Where reading ends during a search: at the end of the piece, and at once on partitions that have
    /// no part in it.
    pub(super) fn search_ends(
        &self,
        starts: &[(Partition, Offset)],
    ) -> Option<BTreeMap<Partition, Offset>> {
        let piece = self.aside.isolation.as_ref()?.piece();
        let end = |(partition, from): &(Partition, Offset)| {
            let range = piece.iter().find(|range| range.partition == *partition);
            (partition.clone(), range.map_or(*from, |range| range.next.max(*from)))
        };
        Some(starts.iter().map(end).collect())
    }

    /// The piece is loaded, or there was nothing in it: on to the next, or back to all partitions.
    pub(super) fn piece_loaded(&mut self, has_rows: bool) -> Result<(), Problem> {
        let Some(isolation) = &mut self.aside.isolation else { return Ok(()) };
        isolation.loaded(has_rows);
        if isolation.piece().is_empty() {
            let loads = isolation.extra_loads();
            (self.report)(Event::Step(format!(
                "the search is over (loads beside the batch: {loads})"
            )));
            self.books.extra_loads += loads;
            self.aside.isolation = None;
            self.aside.names_fail = false;
            self.aside.is_by_name = false;
            if !self.aside.condemned.named.is_empty() {
                Arc::make_mut(&mut self.aside.condemned).named = named::Named::default();
                self.tell_condemned();
            }
        }
        let starts: Vec<(Partition, Offset)> =
            self.positions.all().map(|(partition, next)| (partition.clone(), next)).collect();
        let ends = self.search_ends(&starts);
        self.positions = Positions::new(&starts, ends.as_ref().unwrap_or(&self.ends));
        self.positions.want(self.records_left());
        self.consumer.assign(&self.positions.open())?;
        // During a search only some are assigned: the next start assigns anew.
        self.assigned_in_kafka = ends.is_none();
        Ok(())
    }
}

fn gave_up(rejection: &Rejection, loads: u64, found: u64) -> Problem {
    Problem::new(
        Kind::BadRecord,
        format!(
            "StarRocks rejects too many rows for `{}` to set them aside one by one",
            rejection.table
        ),
    )
    .cause(rejection.message.clone())
    .cause(format!("{found} records of one batch were found in {loads} loads"))
    .hint(format!("compare the records with the columns: `DESC {}`", rejection.table))
    .hint("`--max-errors N` stops earlier")
}

// ---- books ----

impl Run<'_> {
    /// Enters a committed batch into the books, records that were not loaded by table as well.
    pub(super) fn enter_books(&mut self, batch: &Batch, ranges: &[OffsetRange]) {
        self.books.enter(&batch.entry, ranges, self.started.elapsed());
        let is_set_aside = matches!(self.job.errors.on_bad_record, OnBadRecord::SetAside(_));
        for refused in &batch.refused {
            if let Some(table) = table_of(self.job, &refused.letter) {
                self.books.refuse(&table, is_set_aside);
            }
        }
        for (partition, tally) in &batch.entry.partitions {
            if tally.filtered > 0
                && let Some(table) = self.table_of_topic(&partition.topic)
            {
                self.books.table(&table).filtered += tally.filtered;
            }
        }
    }

    /// The table of a topic, where no transform can choose another.
    fn table_of_topic(&self, topic: &str) -> Option<String> {
        self.topics_say_tables().then(|| route::table(&self.job.routes, topic).to_string())
    }

    /// No transform chooses another table, and records are not dead letters of several topics.
    pub(super) fn topics_say_tables(&self) -> bool {
        !self.job.records.may_route && self.job.replay.is_none()
    }

    /// Where dead letters went, in words.
    pub(super) fn dead_letters(&self) -> Option<String> {
        match &self.job.errors.on_bad_record {
            OnBadRecord::Stop | OnBadRecord::Skip => None,
            OnBadRecord::SetAside(letters) => Some(match &letters.target {
                DeadLetterTarget::Topic(topic) => format!("topic `{}`", topic.name),
                DeadLetterTarget::File(path) => format!("file `{}`", path.display()),
            }),
        }
    }

    /// Says of which records a refused load was made.
    pub(super) fn with_ranges(&self, problem: Problem, label: &Label) -> Problem {
        const MOST: usize = 3;
        let batch = self.owners.get(label).and_then(|(ticket, _)| self.batches.get(ticket));
        let ranges = batch.map(|batch| match batch.sealing {
            true => batch.ranges(),
            false => self.positions.moved_ranges(),
        });
        let ranges = ranges.unwrap_or_default();
        ranges.iter().take(MOST).fold(problem, |problem, range| problem.at(range.to_string()))
    }
}

/// The table of a record that is not loaded: what its reason names, or that of its topic, where no transform
/// can choose another. `None` also for a dead letter that does not say what record it holds.
pub(super) fn table_of(job: &Job, letter: &DeadLetter) -> Option<String> {
    let prefix = format!("{}.", job.target.database);
    let named = letter.reason.table.as_deref().and_then(|table| table.strip_prefix(&prefix));
    if let Some(table) = named {
        return Some(table.to_owned());
    }
    let topic = &letter.partition.topic;
    let is_nameless = job.replay.as_ref().is_some_and(|replay| replay.file.is_none())
        && job.source.topics.take_in(topic);
    let is_said = !job.records.may_route && !is_nameless;
    is_said.then(|| route::table(&job.routes, topic).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starrocks::client::TableName;

    #[test]
    fn a_search_that_is_given_up_says_how_far_it_came() {
        let rejection = Rejection {
            table: TableName { database: "d".into(), table: "t".into() },
            fault: Fault::Rows,
            message: "too many filtered rows".into(),
            rows: None,
            log: vec![],
        };
        let problem = gave_up(&rejection, 20_001, 9_000);
        let what = "StarRocks rejects too many rows for `d.t` to set them aside one by one";
        assert_eq!((problem.kind, problem.what.as_str()), (Kind::BadRecord, what));
        let found = "9000 records of one batch were found in 20001 loads";
        assert_eq!(problem.causes, ["too many filtered rows", found]);
        assert!(problem.hints.iter().any(|hint| hint.contains("DESC d.t")), "{:?}", problem.hints);
    }
}
