//! One lane: records into rows into parts, a partition always on the same lane, so that its order
//! holds. Decides nothing about batches: the reader says when to close and when to forget.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use crate::batch::{Buffer, Framing, Part};
use crate::config::job::{Body, Compression, Format, Routes, ValueForm};
use crate::delivery::{Owed, TableHash};
use crate::encode::csv::Lines;
use crate::encode::json::{self, Found, Scratch};
use crate::error::{Kind, Problem};
use crate::kafka::queue::{Message, Messages};
use crate::mapping::route;
use crate::pipeline::Outbox;
use crate::pipeline::budget::Budget;
use crate::record::Partition;

/// Numbers a batch within this process. The machine's own numbers begin again with every assignment;
/// these never do, so that nothing of an old batch is taken for a part of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the reader asks of a lane, in order.
#[derive(Debug)]
pub enum Job {
    /// Convert these for this batch.
    Records { ticket: Ticket, messages: Messages, bytes: u64 },
    /// Memory is short: close every open buffer.
    Flush,
    /// Close every open buffer and report what the batch came to on this lane.
    Seal(Ticket),
    /// Rows that a replay must not write again.
    Owe(Arc<OwedRows>),
}

/// Per partition: ranges whose rows go to some tables only (rule R5 of the delivery protocol).
pub type OwedRows = HashMap<Partition, Vec<Owed>>;

/// What a lane did for one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub records: u64,
    /// Tombstones.
    pub skipped: u64,
    /// Rows of a replay that their table has already.
    pub already_loaded: u64,
}

/// What a lane tells the reader.
#[derive(Debug)]
pub enum Said {
    Part {
        ticket: Ticket,
        table: Arc<str>,
        part: Part,
    },
    Sealed {
        ticket: Ticket,
        tally: Tally,
    },
    /// A record that cannot be loaded; the run ends.
    Bad {
        ticket: Ticket,
        problem: Problem,
    },
}

/// What every lane of a run shares.
#[derive(Debug)]
pub struct Plan {
    pub format: Format,
    pub routes: Routes,
    pub compression: Compression,
    /// A buffer is closed once it is this long.
    pub part_bytes: usize,
    pub enclose: Option<u8>,
    pub redact_values: bool,
    /// For the commands that a message suggests.
    pub bootstrap: String,
    pub group: String,
    pub budget: Arc<Budget>,
    pub spare: Spare,
    /// Batches up to this one are given up: their records are not worth converting.
    pub dropped: AtomicU64,
}

impl Plan {
    /// Throws open rows away: gives back what was charged, which is less than the closed body.
    fn discard(&self, buffer: Buffer) {
        self.budget.release(buffer.bytes() as u64);
        self.spare.give(buffer.close().body);
    }
}

/// Body memory that is used again.
#[derive(Debug, Default)]
pub struct Spare(std::sync::Mutex<Vec<Vec<u8>>>);

struct Lane<'a> {
    plan: &'a Plan,
    outbox: &'a Outbox,
    lines: Option<Lines>,
    open: Vec<Open>,
    /// Where each topic's rows go, by librdkafka's handle of the topic.
    routes: HashMap<usize, usize>,
    owed: Arc<OwedRows>,
    scratch: Scratch,
    tally: Tally,
    ticket: Ticket,
    stopped: bool,
}

struct Open {
    table: Arc<str>,
    hash: TableHash,
    buffer: Option<Buffer>,
}

/// Works until the reader hangs up.
pub fn run(plan: &Plan, jobs: &Receiver<Job>, outbox: &Outbox) {
    let lines = match &plan.format.body {
        Body::Csv { row_delimiter } => Some(Lines::new(row_delimiter, plan.enclose)),
        Body::Json => None,
    };
    let mut lane = Lane {
        plan,
        outbox,
        lines,
        open: vec![],
        routes: HashMap::new(),
        owed: Arc::default(),
        scratch: Scratch::default(),
        tally: Tally::default(),
        ticket: Ticket(0),
        stopped: false,
    };
    while let Ok(job) = jobs.recv() {
        lane.work(job);
    }
}

impl Lane<'_> {
    fn work(&mut self, job: Job) {
        match job {
            Job::Records { ticket, messages, bytes } => {
                self.turn_to(ticket);
                if !self.stopped {
                    self.convert(&messages);
                }
                drop(messages);
                self.plan.budget.release(bytes);
            }
            Job::Flush => self.close_all(),
            Job::Seal(ticket) => {
                self.turn_to(ticket);
                self.close_all();
                let tally = std::mem::take(&mut self.tally);
                self.outbox.lane(Said::Sealed { ticket, tally });
            }
            Job::Owe(owed) => {
                self.owed = owed;
                // A topic that was deleted gives its handle back; another may get the same one.
                self.routes.clear();
            }
        }
    }

    /// A new batch begins: what is left of an older one was given up.
    fn turn_to(&mut self, ticket: Ticket) {
        if ticket != self.ticket {
            self.ticket = ticket;
            self.tally = Tally::default();
            self.stopped = false;
            for open in &mut self.open {
                if let Some(buffer) = open.buffer.take() {
                    self.plan.discard(buffer);
                }
            }
        }
        self.stopped |= self.plan.dropped.load(Ordering::Relaxed) >= ticket.0;
    }

    fn convert(&mut self, messages: &Messages) {
        let mut topic = (0, 0);
        for message in messages.iter() {
            if message.topic_key() != topic.0 {
                topic = (message.topic_key(), self.route(message));
            }
            self.tally.records += 1;
            let Some(value) = message.value() else {
                self.tally.skipped += 1;
                continue;
            };
            if !self.owed.is_empty() && self.is_there(message, topic.1) {
                self.tally.already_loaded += 1;
                continue;
            }
            if let Err(problem) = self.append(topic.1, value) {
                self.stopped = true;
                let problem = locate(problem, message, value, self.plan);
                self.outbox.lane(Said::Bad { ticket: self.ticket, problem });
                return;
            }
        }
    }

    #[inline]
    fn append(&mut self, table: usize, value: &[u8]) -> Result<(), BadValue> {
        let open = &mut self.open[table];
        let framing = if self.lines.is_some() { Framing::Lines } else { Framing::JsonArray };
        let buffer =
            open.buffer.get_or_insert_with(|| Buffer::new(framing, self.plan.spare.take()));
        let before = buffer.bytes();
        match (&self.lines, self.plan.format.value) {
            (Some(_), _) if value.is_empty() => return Err(BadValue::Empty),
            (Some(lines), _) => buffer.push_with(|body| lines.append(value, body)),
            (None, ValueForm::Json | ValueForm::Text) => {
                match json::check(value, &mut self.scratch).map_err(BadValue::NotJson)? {
                    Found::Object(row) => buffer.push_row(row),
                    Found::RepeatedMember(row) => buffer.push_with(|body| {
                        json::deduplicate(row, body);
                        1
                    }),
                }
            }
        }
        let bytes = buffer.bytes();
        self.plan.budget.charge((bytes - before) as u64);
        if bytes >= self.plan.part_bytes {
            self.close(table);
        }
        Ok(())
    }

    fn close_all(&mut self) {
        for table in 0..self.open.len() {
            self.close(table);
        }
    }

    fn close(&mut self, table: usize) {
        let open = &mut self.open[table];
        let Some(buffer) = open.buffer.take_if(|buffer| !buffer.is_empty()) else { return };
        let charged = buffer.bytes() as u64;
        let part = buffer.close();
        let part = part.compressed(self.plan.compression).expect("writing to memory cannot fail");
        self.plan.budget.charge(part.body.len() as u64);
        self.plan.budget.release(charged);
        let table = Arc::clone(&open.table);
        self.outbox.lane(Said::Part { ticket: self.ticket, table, part });
    }

    fn route(&mut self, message: Message) -> usize {
        let key = message.topic_key();
        if let Some(&table) = self.routes.get(&key) {
            return table;
        }
        let name = route::table(&self.plan.routes, message.topic());
        let known = self.open.iter().position(|open| *open.table == *name);
        let table = known.unwrap_or_else(|| {
            let hash = TableHash::of(name);
            self.open.push(Open { table: name.into(), hash, buffer: None });
            self.open.len() - 1
        });
        self.routes.insert(key, table);
        table
    }

    /// Whether a replayed record's row is in its table already.
    fn is_there(&self, message: Message, table: usize) -> bool {
        let partition = Partition::new(message.topic(), message.partition());
        let ranges = self.owed.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let owed = ranges.iter().find(|owed| message.offset() < owed.until.0);
        owed.is_some_and(|owed| !owed.tables.contains(&self.open[table].hash))
    }
}

enum BadValue {
    Empty,
    NotJson(json::NotJson),
}

/// Says where the record stands and what can be done about it.
fn locate(bad: BadValue, message: Message, value: &[u8], plan: &Plan) -> Problem {
    let (brokers, group) = (&plan.bootstrap, &plan.group);
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    let (what, cause) = match bad {
        BadValue::Empty => ("a record is empty, not a CSV row", String::new()),
        BadValue::NotJson(error) => ("a record is not one JSON object", error.to_string()),
    };
    let mut problem = Problem::new(Kind::BadRecord, what);
    if !cause.is_empty() {
        let shown = if plan.redact_values || value.is_empty() {
            cause
        } else {
            format!("{cause}: {}", excerpt(value))
        };
        problem = problem.cause(shown);
    }
    problem
        .at(format!("{topic}[{partition}]@{offset} · value"))
        .hint(format!(
            "look at it with `kcat -C -b {brokers} -t {topic} -p {partition} -o {offset} -c 1`"
        ))
        .hint(format!(
            "to go on behind it, move the group: `kafka-consumer-groups.sh --bootstrap-server \
             {brokers} --group {group} --reset-offsets --topic {topic}:{partition} --to-offset {} \
             --execute`",
            offset + 1
        ))
}

/// One line of a value, safe to print.
fn excerpt(value: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * MOST)]);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().map(clean).take(MOST).collect();
    if value.len() > line.len() {
        line.push('…');
    }
    line
}

impl Spare {
    /// Bodies kept for another round; more are given back to the system.
    const MOST: usize = 4;

    pub fn take(&self) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    pub fn give(&self, body: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if spare.len() < Self::MOST {
            spare.push(body);
        }
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} messages", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_batch_that_was_given_up_give_back_just_what_they_took() {
        let budget = Arc::new(Budget::new(1 << 20));
        let plan = Plan {
            format: Format { value: ValueForm::Json, body: Body::Json },
            routes: Routes::default(),
            compression: Compression::None,
            part_bytes: 1 << 20,
            enclose: None,
            redact_values: false,
            bootstrap: String::new(),
            group: String::new(),
            budget: Arc::clone(&budget),
            spare: Spare::default(),
            dropped: AtomicU64::new(0),
        };
        let mut buffer = Buffer::new(Framing::JsonArray, vec![]);
        buffer.push_row(b"{}");
        budget.charge(buffer.bytes() as u64);
        plan.discard(buffer);
        assert_eq!(budget.used(), 0);
    }
}
