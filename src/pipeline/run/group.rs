//! The consumer group: partitions come and go, offsets are fetched and written, reading begins.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::job::{Extent, Reset, Start};
use crate::delivery::{
    CursorWrite, Fetched, Input, Reading, RunId, StartAt, WriteError, WriteOutcome,
};
use crate::error::{Kind, Problem};
use crate::event::Event;
use crate::kafka::consumer::{CommitError, GroupEvent};
use crate::kafka::extent;
use crate::pipeline::lane::{self, OwedRows};
use crate::pipeline::positions::Positions;
use crate::pipeline::run::prepare::held;
use crate::pipeline::run::{FIRST_PAUSE, Run, all_partitions, time};
use crate::record::{Offset, OffsetRange, Partition};

/// A broker that is away comes back, or its partitions find another leader, within this time.
pub(super) const BROKER_PATIENCE: Duration = Duration::from_secs(60);

impl Run<'_> {
    pub(super) fn serve_group(&mut self) -> Result<(), Problem> {
        for event in self.consumer.poll(Duration::ZERO)? {
            match event {
                GroupEvent::Assigned(partitions) => self.assigned(partitions)?,
                GroupEvent::Revoked if self.assigned.is_empty() => self.give_back(),
                GroupEvent::Revoked => {
                    self.released_by = Some(Instant::now() + self.drain_time());
                    self.feed(Input::Revoked)?;
                }
                GroupEvent::Lost => {
                    (self.report)(Event::Warning {
                        text: "this process was expelled from the consumer group; joining again"
                            .into(),
                        hint: None,
                    });
                    self.feed(Input::Lost)?;
                }
            }
        }
        for text in self.consumer.complaints() {
            self.waiting_for = Some(format!("Kafka: {text}"));
            self.away.get_or_insert_with(time::Away::begin);
        }
        Ok(())
    }

    pub(super) fn assigned(&mut self, partitions: Vec<Partition>) -> Result<(), Problem> {
        let unknown = |partition: &Partition| {
            !self
                .topics
                .iter()
                .any(|(name, count)| **name == *partition.topic && partition.number < *count)
        };
        if partitions.iter().any(unknown) {
            self.topics = self.patiently(|run| run.consumer.select(&run.job.source.topics))?;
        }
        let chosen = &self.job.source.partitions;
        let wanted =
            |partition: &Partition| chosen.is_empty() || chosen.contains(&partition.number);
        self.assigned = partitions.into_iter().filter(wanted).collect();
        self.aside.forget_search();
        self.assigned_in_kafka = false;
        self.patience = None;
        let input = Input::Assigned { run: random_run(), partitions: self.assigned.clone() };
        // The group's answer is taken note of at once, whatever step 1 has to wait for: until then
        // librdkafka neither passes on the next rebalance nor leaves.
        self.consumer.assign(&[])?;
        if self.assigned.is_empty() {
            // Another process of this name has all of them.
            self.positions = Positions::default();
            self.reading = true;
            return Ok(());
        }
        self.feed(input)
    }

    /// The machine is done with the partitions: the group may go on.
    pub(super) fn give_back(&mut self) {
        self.consumer.unassign();
        self.forget_assignment();
    }

    pub(super) fn forget_assignment(&mut self) {
        self.aside.forget_search();
        self.assigned.clear();
        self.assigned_in_kafka = false;
        self.positions = Positions::default();
        self.reading = false;
        self.released_by = None;
    }

    pub(super) fn fetch_offsets(&mut self) -> Result<Option<Vec<Fetched>>, Problem> {
        let fetched = match self.consumer.committed(&all_partitions(&self.topics)) {
            Ok(fetched) => fetched,
            Err(problem) if problem.kind == Kind::Usage => return Err(problem),
            Err(problem) => {
                self.waiting_for = problem.causes.first().cloned();
                return Ok(None);
            }
        };
        self.held = held(&fetched);
        if self.held_before.is_none() {
            self.held_before = Some(self.held.clone());
        }
        let convert = |committed: crate::kafka::consumer::Committed| Fetched {
            partition: committed.partition,
            committed: committed.offset,
        };
        Ok(Some(fetched.into_iter().map(convert).collect()))
    }

    pub(super) fn write_offsets(&mut self, cursors: &[CursorWrite]) -> WriteOutcome {
        if self.consumer.is_lost() {
            return WriteOutcome::NotSent;
        }
        if let Some(outcome) = self.write_with_letters(cursors) {
            return outcome;
        }
        let all: Vec<_> = cursors
            .iter()
            .map(|cursor| (cursor.partition.clone(), cursor.offset, cursor.metadata.clone()))
            .collect();
        match self.consumer.commit(&all) {
            Ok(()) => WriteOutcome::Ok,
            Err((error, text)) => {
                self.waiting_for = Some(format!("committing offsets: {text}"));
                WriteOutcome::Unknown(match error {
                    CommitError::Transient => WriteError::Transient,
                    CommitError::NotMember => WriteError::NotMember,
                    CommitError::Denied => WriteError::Denied,
                    CommitError::TooLong => WriteError::TooLong,
                })
            }
        }
    }

    pub(super) fn resolve_starts(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<StartAt>, Problem> {
        let is_first = !std::mem::replace(&mut self.has_begun_anew, true);
        let asked = match self.extent {
            Extent::Until(bounds) => bounds.start,
            Extent::Forever { start, .. } => *start,
        };
        let is_new = |partition: &&Partition| !self.first_partitions.contains(*partition);
        let (new, old): (Vec<&Partition>, Vec<&Partition>) = partitions.iter().partition(is_new);
        let start = match (asked, self.job.source.reset) {
            (Start::Stored, Reset::Beginning) => Start::Beginning,
            (Start::Stored, Reset::End) => Start::End,
            (Start::Stored, Reset::Refuse) if !old.is_empty() => {
                return Err(self.no_position(old[0]));
            }
            (other, _) => other,
        };
        let own = |partitions: Vec<&Partition>| partitions.into_iter().cloned().collect::<Vec<_>>();
        let (old, new) = (own(old), own(new));
        let (lost, old): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|partition| self.may_be_lost(partition));
        // Where an offset was lost, the end would pass over records that were never loaded.
        let start_of_lost = match asked {
            Start::Stored => Start::Beginning,
            other => other,
        };
        let mut starts = self.patiently(|run| extent::starts(run.consumer, start, &old))?;
        let again = self.patiently(|run| extent::starts(run.consumer, start_of_lost, &lost))?;
        self.tell_lost(&again);
        if is_first && self.held.is_empty() {
            self.tell_first_start(start);
        }
        starts.extend(again);
        // A partition that appeared after the start is read whole, whatever `-o` said.
        starts.extend(self.patiently(|run| extent::starts(run.consumer, Start::Beginning, &new))?);
        let records_bound = asked != Start::Stored;
        let start = |(partition, offset): (Partition, Offset)| {
            let until = self.ends.get(&partition).copied().filter(|_| records_bound);
            StartAt { partition, offset, until }
        };
        Ok(starts.into_iter().map(start).collect())
    }

    /// A partition without an offset while its topic had one in the group before this run. A new one,
    /// or one that `-p` left out, is among them as well as one whose offset is gone: Kafka does not tell.
    fn may_be_lost(&self, partition: &Partition) -> bool {
        let before = self.held_before.iter().flatten();
        !self.held.contains(partition)
            && before.into_iter().any(|held| held.topic == partition.topic)
    }

    fn tell_lost(&mut self, again: &[(Partition, Offset)]) {
        const MOST_NAMED: usize = 10;
        if again.is_empty() {
            return;
        }
        let named =
            again.iter().take(MOST_NAMED).map(|(partition, at)| format!("{partition}@{at}"));
        let mut named: Vec<String> = named.collect();
        if again.len() > MOST_NAMED {
            named.push(format!("{} more", again.len() - MOST_NAMED));
        }
        (self.report)(Event::Warning {
            text: format!(
                "group `{}` has no offset for some partitions of a topic and has offsets for others: \
                 beginning at {}",
                self.group,
                named.join(", ")
            ),
            hint: Some(
                "that is right for a partition which is new or was never loaded; where an offset was \
                 deleted or has expired, what was loaded before it is loaded again"
                    .into(),
            ),
        });
    }

    /// The file whose lines are read, if it is one.
    fn replayed_file(&self) -> Option<&Path> {
        self.job.replay.as_ref()?.file.as_deref()
    }

    /// A group whose offsets have expired looks the same.
    fn tell_first_start(&mut self, start: Start) {
        if let (Some(file), Start::Stored | Start::Beginning) = (self.replayed_file(), start) {
            let text = format!(
                "no line of `{}` was replayed before, as far as its path and its first line tell: \
                 beginning with the first",
                file.display()
            );
            (self.report)(Event::Notice(text));
            return;
        }
        let place = match start {
            Start::Stored | Start::Beginning => "with the first record of each partition",
            Start::End => "at the end of each partition",
            Start::At(_) | Start::Last(_) | Start::Time(_) => "where `-o` says",
        };
        (self.report)(Event::Notice(format!(
            "group `{}` has no offsets: a first start, {place}",
            self.group
        )));
    }

    /// Asks Kafka again while a broker is away: a rebalance often comes with just that. Polling may
    /// pause so long; heartbeats go on.
    fn patiently<T>(&self, ask: impl Fn(&Self) -> Result<T, Problem>) -> Result<T, Problem> {
        let deadline = Instant::now() + BROKER_PATIENCE;
        loop {
            match ask(self) {
                Err(problem)
                    if problem.kind == Kind::Unavailable
                        && Instant::now() < deadline
                        && self.stop.signal().is_none() =>
                {
                    thread::sleep(FIRST_PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Reads on from these positions and forgets every record and row in memory.
    ///
    /// `counted`: records of the request that were loaded before, where their number is bounded.
    pub(super) fn start(&mut self, readings: &[Reading], counted: u64) -> Result<(), Problem> {
        for reading in readings {
            if let Some(until) = reading.until {
                self.ends.insert(reading.partition.clone(), until);
            }
        }
        let starts = starts(readings);
        if !self.assigned_in_kafka {
            for (partition, offset) in &starts {
                self.check_in_range(partition, *offset)?;
            }
        }
        if matches!(self.extent, Extent::Until(_)) {
            self.bound_late_comers(&starts)?;
        }
        for (partition, offset) in &starts {
            if let Some(stood) = self.found_pending.remove(partition)
                && stood < *offset
            {
                let (partition, next) = (partition.clone(), *offset);
                self.settled.push(OffsetRange { partition, first: stood, next });
            }
            self.origins.entry(partition.clone()).or_insert(*offset);
        }
        self.watched.watch(&self.assigned);
        let ends = self.search_ends(&starts);
        self.astray = None;
        self.positions = Positions::new(&starts, ends.as_ref().unwrap_or(&self.ends));
        // What was given up does not count against `-c`.
        let live: u64 = self.batches.values().map(|batch| batch.records).sum();
        self.read_messages = self.books.read + live;
        if self.counts_records {
            self.read_messages = counted;
        }
        self.positions.want(self.records_left());
        self.plan.joins_bodies.store(self.plain, Ordering::Relaxed);
        self.owe(readings);
        let open = self.positions.open();
        if self.assigned_in_kafka {
            if !open.is_empty() {
                self.consumer.seek(&open)?;
            }
        } else {
            self.consumer.assign(&open)?;
            // A search reads some partitions only.
            self.assigned_in_kafka = ends.is_none();
        }
        self.reading = true;
        Ok(())
    }

    /// Reads a pending plain load's records once more, and nothing else: also from partitions that
    /// others own now, because its label stands for all of them.
    pub(super) fn replay(&mut self, readings: &[Reading]) -> Result<(), Problem> {
        let starts = starts(readings);
        for (partition, offset) in &starts {
            self.check_in_range(partition, *offset)?;
        }
        let bound = |reading: &Reading| Some((reading.partition.clone(), reading.until?));
        self.positions = Positions::new(&starts, &readings.iter().filter_map(bound).collect());
        self.plan.joins_bodies.store(true, Ordering::Relaxed);
        self.owe(readings);
        self.consumer.assign(&self.positions.open())?;
        // The next start assigns what this process owns.
        self.assigned_in_kafka = false;
        self.reading = true;
        Ok(())
    }

    /// Tells the lanes which rows their tables have already.
    fn owe(&mut self, readings: &[Reading]) {
        let owing = readings.iter().filter(|reading| !reading.owed.is_empty());
        let owed: OwedRows =
            owing.map(|reading| (reading.partition.clone(), reading.owed.clone())).collect();
        let owed = Arc::new(owed);
        self.send_to_lanes(|| lane::Job::Owe(Arc::clone(&owed)));
    }

    /// `-c`
    pub(super) fn most_records(&self) -> Option<u64> {
        match self.extent {
            Extent::Until(bounds) => bounds.max_messages,
            Extent::Forever { .. } => None,
        }
    }

    /// How many records of `-c` are still to be read.
    pub(super) fn records_left(&self) -> Option<u64> {
        Some(self.most_records()?.saturating_sub(self.read_messages))
    }

    /// A partition that appeared after the bounds were fixed has none: it is not read.
    fn bound_late_comers(&mut self, starts: &[(Partition, Offset)]) -> Result<(), Problem> {
        for (partition, from) in starts {
            self.ends.entry(partition.clone()).or_insert(*from);
        }
        Ok(())
    }

    fn check_in_range(&self, partition: &Partition, from: Offset) -> Result<(), Problem> {
        let (low, high) = match self.consumer.watermarks(partition) {
            Ok(marks) => marks,
            // Its leader is away for now: the fetch itself refuses an offset out of range.
            Err(problem) if problem.kind == Kind::Unavailable => return Ok(()),
            Err(problem) => return Err(problem),
        };
        if from < low {
            return Err(Problem::usage(format!(
                "`{partition}` begins at {low}, but group `{}` stands at {from}: {} records were \
                 deleted by retention before they were loaded",
                self.group,
                low.0 - from.0
            ))
            .hint("to go on with what is left, move the group with `kafka-consumer-groups.sh --reset-offsets --to-earliest`"));
        }
        if from > high
            && let Some(file) = self.replayed_file()
        {
            let file = file.display();
            return Err(Problem::usage(format!(
                "`{file}` has {high} lines, but {from} of it were replayed before: it was cut"
            ))
            .at(format!("group `{}`", self.group))
            .hint("what was appended since cannot be told from what was loaded: copy the lines that are to be loaded to a new file, and replay that")
            .hint("`-o beginning` loads every line that is left"));
        }
        if from > high {
            return Err(Problem::usage(format!(
                "`{partition}` ends at {high}, but group `{}` stands at {from}: the topic was \
                 created again or truncated",
                self.group
            ))
            .hint("to load the new topic, move the group with `kafka-consumer-groups.sh --reset-offsets --to-earliest`"));
        }
        Ok(())
    }

    fn no_position(&self, partition: &Partition) -> Problem {
        Problem::usage(format!("group `{}` has no offset for `{partition}`", self.group))
            .cause("`auto.offset.reset` is `none`")
            .hint("say where to begin with `-o beginning` or `-o end`")
    }
}

fn starts(readings: &[Reading]) -> Vec<(Partition, Offset)> {
    readings.iter().map(|reading| (reading.partition.clone(), reading.from)).collect()
}

pub(super) fn random_run() -> RunId {
    let mut bytes = [0; 8];
    openssl::rand::rand_bytes(&mut bytes).expect("the system has randomness");
    RunId(u64::from_le_bytes(bytes))
}
