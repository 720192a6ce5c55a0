//! Messages to the lanes, batches sealed, and when a bounded run is done.

use std::time::{Duration, Instant};

use crate::config::job::Extent;
use crate::delivery::Input;
use crate::error::{Kind, Problem};
use crate::event::Event;
use crate::kafka::ErrorCode;
use crate::kafka::consumer::Committed;
use crate::kafka::queue::{Entry as QueueEntry, Messages};
use crate::pipeline::lane::{self, Ticket};
use crate::pipeline::run::group::BROKER_PATIENCE;
use crate::pipeline::run::prepare::rows_budget;
use crate::pipeline::run::{Run, Stopping, lane_died};
use crate::record::{Offset, Partition};

/// Entries taken from librdkafka's queue at once.
const CHUNK: usize = 4096;
/// What a record costs beside its bytes: librdkafka's bookkeeping.
const RECORD_OVERHEAD: u64 = 96;

impl Run<'_> {
    pub(super) fn seal_if_due(&mut self) -> Result<(), Problem> {
        let done = self.reading && self.positions.all_done();
        let ends = matches!(self.extent, Extent::Until(_))
            || self.stopping.is_some()
            || self.ending.is_some();
        let Some(ticket) = self.filling else {
            // A search goes on with the next batch, however little is left of it.
            return self.finish_if_done(done && ends && !self.aside.is_isolating());
        };
        let moved = self.positions.moved();
        let policy = &self.job.flush;
        let share = self.plan_limit();
        let most_bytes = self.aside.most_bytes();
        let spent = self.plain && self.plan.budget.is_spent();
        let batch = self.batch(ticket);
        if batch.sealing {
            return Ok(());
        }
        if batch.is_replay {
            return if done { self.seal(ticket) } else { Ok(()) };
        }
        if self.aside.is_isolating() {
            return self.seal_piece(ticket, moved);
        }
        let batch = self.batch(ticket);
        let age = batch.began.elapsed();
        let most_bytes = policy.max_bytes.min(most_bytes);
        let full = batch.read_bytes >= most_bytes || batch.kept_bytes >= share || spent;
        let old = age >= policy.interval || age >= policy.offset_interval;
        if moved
            && (full
                || (old && batch.records > 0)
                || (done && ends)
                || batch.seal_first
                || age >= policy.offset_interval)
        {
            return self.seal(ticket);
        }
        if !moved {
            batch.began = Instant::now();
            return self.finish_if_done(done && ends);
        }
        self.make_room();
        Ok(())
    }

    /// Plain loads hold a whole batch in memory: a third of the budget at most.
    fn plan_limit(&self) -> u64 {
        rows_budget(self.job.memory_bytes) / 3
    }

    fn seal(&mut self, ticket: Ticket) -> Result<(), Problem> {
        let ends = self.positions.seal();
        let lanes = self.lanes.len();
        let is_piece = self.aside.is_isolating();
        let batch = self.batch(ticket);
        batch.sealing = true;
        batch.is_piece = is_piece;
        batch.ends = ends;
        batch.lanes_left = lanes;
        let text = format!(
            "step 3: sealing the batch (records: {}, bytes read: {})",
            batch.records, batch.read_bytes
        );
        (self.report)(Event::Step(text));
        self.send_to_lanes(|| lane::Job::Seal(ticket));
        Ok(())
    }

    /// A piece of a refused batch is one batch, however old it grows.
    fn seal_piece(&mut self, ticket: Ticket, moved: bool) -> Result<(), Problem> {
        // The piece before this one is on its way: it may still be refused.
        if self.batches.values().any(|batch| batch.is_piece) {
            return Ok(());
        }
        match (self.positions.all_done(), moved) {
            (true, true) => self.seal(ticket),
            // Nothing is there any more: compacted away, or read before.
            (true, false) if self.stopping.is_none() => self.piece_loaded(false),
            (true | false, _) => {
                self.make_room();
                Ok(())
            }
        }
    }

    fn finish_if_done(&mut self, done: bool) -> Result<(), Problem> {
        if done && self.assigned.is_empty() && self.stopping.is_none() {
            self.finished = self.others_are_done();
            return Ok(());
        }
        let idle = !self.batches.values().any(|batch| batch.sealing || batch.records > 0);
        if done && idle && self.stopping.is_none() {
            let deadline = Instant::now() + self.drain_time();
            self.stopping = Some(Stopping { deadline, told: true, expired: false });
            return self.feed(Input::Stop);
        }
        Ok(())
    }

    /// Other processes of this name have all partitions: the run is over when theirs are loaded. Until
    /// then this one stands by, and takes over what one of them drops.
    fn others_are_done(&mut self) -> bool {
        const EVERY: Duration = Duration::from_secs(1);
        if self.last_topics.elapsed() < EVERY {
            return false;
        }
        self.last_topics = Instant::now();
        self.waiting_for = Some("other processes of this name have all partitions".into());
        let partitions: Vec<Partition> = self.ends.keys().cloned().collect();
        let Ok(committed) = self.consumer.committed(&partitions) else { return false };
        committed.iter().all(|committed| self.is_loaded(committed))
    }

    fn is_loaded(&self, committed: &Committed) -> bool {
        let end = self.ends[&committed.partition];
        match &committed.offset {
            Some((offset, metadata)) => *offset >= end && !metadata.contains(";e="),
            None => self.consumer.watermarks(&committed.partition).is_ok_and(|(low, _)| low >= end),
        }
    }

    /// Whether a bounded run has loaded its share, and other processes of this name have not loaded
    /// theirs: said, because the whole is not complete then. `-c` ends before the ends.
    pub(super) fn others_go_on(&mut self) -> bool {
        let has_loaded = matches!(self.extent, Extent::Until(_))
            && self.positions.all().next().is_some()
            && self.most_records().is_none()
            && self.stop.signal().is_none();
        let others: Vec<Partition> = self
            .ends
            .keys()
            .filter(|partition| !self.assigned.contains(*partition))
            .cloned()
            .collect();
        if !has_loaded || others.is_empty() {
            return false;
        }
        // Where Kafka does not say, they may not be.
        let left: Vec<String> = match self.consumer.committed(&others) {
            Ok(committed) => {
                let left = committed.iter().filter(|committed| !self.is_loaded(committed));
                left.map(|committed| committed.partition.to_string()).collect()
            }
            Err(_) => others.iter().map(Partition::to_string).collect(),
        };
        if left.is_empty() {
            return false;
        }
        (self.report)(Event::Warning {
            text: format!(
                "other processes of this name still load their partitions: {}",
                left.join(", ")
            ),
            hint: Some(
                "the load is complete when they have ended well; the same command again tells"
                    .into(),
            ),
        });
        true
    }

    /// The budget is spent and nothing is on its way to free it: send what the lanes hold.
    fn make_room(&mut self) {
        if self.plan.budget.is_spent() && !self.loads.has_bodies() && !self.plain {
            self.send_to_lanes(|| lane::Job::Flush);
        }
    }

    pub(super) fn send_to_lanes(&mut self, job: impl Fn() -> lane::Job) {
        for lane in self.lanes {
            // A lane ends before its sender only by a panic: nothing of this batch can be kept.
            if lane.send(job()).is_err() {
                self.problem.get_or_insert_with(lane_died);
            }
        }
    }

    /// Takes records if there is room; otherwise waits for news. Returns whether any came.
    pub(super) fn read(&mut self, busy: bool) -> Result<bool, Problem> {
        let wait = Duration::from_millis(if busy { 5 } else { 50 });
        let paused = self.resume_at.is_some_and(|at| at > Instant::now());
        let sealing =
            self.filling.is_none_or(|ticket| self.batches.get(&ticket).is_none_or(|b| b.sealing));
        let open = self.reading && !self.positions.all_done() && self.stopping.is_none();
        // A replay is held whole, whatever `--memory` says: its label stands for all of it.
        let is_replay = self.filling.is_some_and(|ticket| self.batch(ticket).is_replay);
        if paused || sealing || !open || (self.plan.budget.is_spent() && !is_replay) {
            if let Ok(message) = self.inbox.recv_timeout(wait) {
                self.heard(message)?;
            }
            return Ok(true);
        }
        self.resume_at = None;
        let messages = self.consumer.read(CHUNK, wait)?;
        if messages.is_empty() {
            return Ok(false);
        }
        self.distribute(messages).map(|()| true)
    }

    fn distribute(&mut self, messages: Messages) -> Result<(), Problem> {
        let lanes = self.lanes.len();
        let mut bytes = vec![0_u64; lanes];
        let mut failed = None;
        let (positions, read) = (&mut self.positions, &mut self.read_messages);
        let parts = messages.split(lanes, |message| {
            let slot = positions
                .slot(message.topic_key(), message.partition(), || message.topic().into())?;
            match message.entry() {
                QueueEntry::Record => {
                    if !positions.take(slot, Offset(message.offset())) {
                        return None;
                    }
                    *read += 1;
                    let size = message.value().map_or(0, <[u8]>::len)
                        + message.key().map_or(0, <[u8]>::len);
                    bytes[slot % lanes] += size as u64 + RECORD_OVERHEAD;
                    Some(slot % lanes)
                }
                QueueEntry::EndOfPartition => {
                    positions.reached_end(slot, Offset(message.offset()));
                    None
                }
                QueueEntry::Error(error) => {
                    failed = Some((format!("{}[{}]", message.topic(), message.partition()), error));
                    None
                }
            }
        });
        match failed {
            Some((_, ErrorCode::AutoOffsetReset)) => {
                let now = Instant::now();
                self.astray.get_or_insert(Astray { since: now, due: now + LOOK_AGAIN });
            }
            Some((partition, error)) => {
                self.problem.get_or_insert_with(|| unreadable(&partition, error));
            }
            None => {}
        }
        let ticket = self.filling.expect("records are read only into a batch");
        let total: u64 = bytes.iter().sum();
        let batch = self.batch(ticket);
        if batch.records == 0 {
            batch.began = Instant::now();
        }
        batch.read_bytes += total;
        batch.records += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        for (lane, (part, bytes)) in self.lanes.iter().zip(parts.into_iter().zip(bytes)) {
            if !part.is_empty() {
                self.plan.budget.charge(bytes);
                if lane.send(lane::Job::Records { ticket, messages: part, bytes }).is_err() {
                    self.problem.get_or_insert_with(lane_died);
                }
            }
        }
        Ok(())
    }
}

/// librdkafka gave a position up. That is no proof: a leader that has just been elected may not know yet
/// how far its partition was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Astray {
    since: Instant,
    /// When to look again.
    due: Instant,
}

const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A position that is out of range for so long is.
const OUT_OF_RANGE_FOR: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Looks whether the positions are within their partitions, and reads on from them if they are.
    pub(super) fn find_positions(&mut self) -> Result<(), Problem> {
        let Some(astray) = self.astray.filter(|astray| astray.due <= Instant::now()) else {
            return Ok(());
        };
        let open = self.positions.open();
        let mut outside = None;
        for (partition, next) in &open {
            let is_within = self.consumer.watermarks(partition).map(|(low, high)| {
                // The end may lag behind for a moment.
                (low <= *next, *next <= high)
            });
            match is_within {
                Ok((true, true)) => {}
                Ok(_) => outside = Some(lost_place(partition)),
                Err(problem) => outside = Some(problem),
            }
        }
        match outside {
            None => {
                self.astray = None;
                if self.reading && self.assigned_in_kafka {
                    self.consumer.assign(&open)?;
                }
                Ok(())
            }
            Some(problem) => {
                let patience = match problem.kind {
                    Kind::Unavailable => BROKER_PATIENCE,
                    _ => OUT_OF_RANGE_FOR,
                };
                if astray.since.elapsed() > patience {
                    return Err(problem);
                }
                self.waiting_for = Some(problem.what);
                self.astray = Some(Astray { due: Instant::now() + LOOK_AGAIN, ..astray });
                Ok(())
            }
        }
    }
}

fn lost_place(partition: &Partition) -> Problem {
    Problem::usage(format!("`{partition}` no longer holds the offset to read from"))
        .cause("retention deleted it, or the topic was created again")
        .hint("to go on with what is left, move the group with `kafka-consumer-groups.sh --reset-offsets --to-earliest`")
}

fn unreadable(partition: &str, error: ErrorCode) -> Problem {
    Problem::unavailable(format!("cannot read `{partition}`")).cause(error.to_string())
}
