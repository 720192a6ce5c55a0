//! What a run tells of itself: progress, lag, the summary.

use std::time::{Duration, Instant};

use crate::config::job::{Extent, Start};
use crate::event::{self, Event, Progress, Summary};
use crate::mapping::route;
use crate::pipeline::run::Run;
use crate::pipeline::run::prepare::guarantee;
use crate::record::{Offset, Partition};

/// Progress is told this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// The status file is rewritten as often.
const BOOKS_EVERY: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) fn tell_progress(&mut self) {
        let asked = self.stop.progress_asked();
        if !asked && self.last_progress.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.last_progress = Instant::now();
        let progress = Progress {
            tables: self.tables_now(),
            elapsed: self.started.elapsed(),
            read: self.read_messages,
            filtered: self.books.filtered,
            set_aside: self.books.set_aside,
            skipped: self.books.skipped,
            in_flight_loads: self.loads.bodies_in_flight(),
            in_flight_bytes: self.plan.budget.used(),
            lag: self.lag(),
            since_last_load: self.last_load.map(|at| at.elapsed()),
            waiting_for: self.waiting_for.clone().or_else(|| self.schema_waited_for()),
            asked,
            books: self.is_status_due().then(|| Box::new(self.books_now())),
        };
        (self.report)(Event::Progress(progress));
    }

    /// Whether the books are wanted: they are long, and nobody else reads them in mid-run.
    fn is_status_due(&mut self) -> bool {
        let is_kept = matches!(self.extent, Extent::Forever { status_file: Some(_), .. });
        let is_due = is_kept && self.last_books.is_none_or(|last| last.elapsed() >= BOOKS_EVERY);
        if is_due {
            self.last_books = Some(Instant::now());
        }
        is_due
    }

    /// What is committed so far.
    fn books_now(&self) -> Summary {
        Summary {
            tables: self.tables_now(),
            elapsed: self.started.elapsed(),
            read: self.books.read,
            loaded_records: self.books.loaded_records,
            left_out: self.books.left_out,
            set_aside: self.books.set_aside,
            skipped: self.books.skipped,
            filtered: self.books.filtered,
            repeated: self.books.repeated,
            reasons: self.books.reasons.list().to_vec(),
            dead_letters: self.dead_letters(),
            extra_loads: self.books.extra_loads,
            partitions: self.books.partitions.values().cloned().collect(),
            already_loaded: self.books.already_loaded,
            committed: self.books.committed(),
            audit: self.books.audit.iter().cloned().collect(),
            guarantee_name: guarantee(self.mode, self.plain).0,
            ..Summary::default()
        }
    }

    /// Why lanes stand still for a schema, if they do.
    fn schema_waited_for(&self) -> Option<String> {
        self.registries.iter().find_map(|registry| registry.waits())
    }

    /// Records between what is committed and the end, as Kafka or librdkafka last told.
    fn lag(&self) -> Option<u64> {
        if !self.reading {
            return None;
        }
        let behind = |(partition, next): (&Partition, Offset)| {
            let committed = self.books.ranges.get(partition).map_or(next, |range| range.1);
            let cached = self.consumer.queue().cached_end(&partition.topic, partition.number);
            let asked = self.watched.of(partition).map(|end| end.0);
            Some(cached.max(asked)?.saturating_sub(committed.0))
        };
        self.positions.all().map(behind).sum()
    }

    fn tables_now(&self) -> Vec<event::TableProgress> {
        let mut tables = self.books.tables.clone();
        // Where transforms choose the table, offsets do not tell how much is left for each.
        if matches!(self.extent, Extent::Until(_)) && self.topics_say_tables() {
            for (partition, next) in self.positions.all() {
                let table = route::table(&self.job.routes, &partition.topic);
                let entry = tables.entry(table.into()).or_default();
                entry.table = table.into();
                let first = self.origins.get(partition).copied().unwrap_or(next);
                let end = self.ends.get(partition).copied().unwrap_or(first);
                *entry.total.get_or_insert(0) += end.0.saturating_sub(first.0);
                if let Some((_, done)) = self.books.ranges.get(partition) {
                    entry.done += done.0.saturating_sub(first.0);
                }
            }
        }
        let database = &self.job.target.database;
        let full = |(_, mut table): (String, event::TableProgress)| {
            table.table = format!("{database}.{}", table.table);
            table
        };
        tables.into_iter().map(full).collect()
    }

    pub(super) fn summary(&mut self, complete: bool) -> Summary {
        let interrupted = self.stop.signal().is_some();
        let complete = complete && !interrupted;
        let asked_before = matches!(self.extent, Extent::Until(bounds) if bounds.start != Start::Stored)
            && !self.has_begun_anew;
        let at_end = self.positions.all_done() && !self.assigned.is_empty();
        let pending = self.left_pending();
        self.books.audit.extend(pending);
        let books = self.books_now();
        Summary {
            done_before: complete && asked_before && at_end && books.committed.is_empty(),
            stopped_by: self.aside.stopped_by.list().to_vec(),
            settled: std::mem::take(&mut self.settled),
            left_pending: self.unsettled.is_waiting()
                || self.batches.values().any(|batch| batch.handed_over),
            interrupted,
            complete,
            ..books
        }
    }
}
