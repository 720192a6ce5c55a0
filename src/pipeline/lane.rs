//! One lane: records into rows into parts, a partition always on the same lane, so that its order
//! holds. Decides nothing about batches: the reader says when to close and when to forget.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use crate::batch::{Buffer, Framing, Part};
use crate::config::job::Compression;
use crate::delivery::{Owed, TableHash};
use crate::error::{Kind, Problem};
use crate::kafka::queue::{Message, Messages};
use crate::mapping::maker::{Fate, RawRecord, Refusal, RowMaker, Rows, Stage};
use crate::pipeline::Outbox;
use crate::pipeline::budget::Budget;
use crate::record::{Offset, Partition};

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
    /// Records with rows for at least one table.
    pub loaded: u64,
    /// Tables that these records went to, each counted once per record.
    pub placed: u64,
    /// Records that make no row, as configured: tombstones, what transforms drop.
    pub skipped: u64,
    /// Records of a replay that their tables have already.
    pub already_loaded: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.records += other.records;
        self.loaded += other.loaded;
        self.placed += other.placed;
        self.skipped += other.skipped;
        self.already_loaded += other.already_loaded;
    }
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
    pub framing: Framing,
    pub compression: Compression,
    /// Parts are joined before they are sent, and compressed then.
    pub joins_bodies: AtomicBool,
    /// A buffer is closed once it is this long.
    pub part_bytes: usize,
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
    maker: RowMaker,
    /// By the maker's numbers of tables.
    open: Vec<Open>,
    /// Topic names by librdkafka's handle of the topic.
    topics: HashMap<usize, Arc<str>>,
    owed: Arc<OwedRows>,
    tally: Tally,
    ticket: Ticket,
    stopped: bool,
}

struct Open {
    table: Arc<str>,
    hash: TableHash,
    buffer: Option<Buffer>,
    /// The last record with a row here, by its number in the batch.
    last_record: u64,
}

/// Works until the reader hangs up.
pub fn run(plan: &Plan, maker: RowMaker, jobs: &Receiver<Job>, outbox: &Outbox) {
    let mut lane = Lane {
        plan,
        outbox,
        maker,
        open: vec![],
        topics: HashMap::new(),
        owed: Arc::default(),
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
                self.topics.clear();
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
                open.last_record = 0;
                if let Some(buffer) = open.buffer.take() {
                    self.plan.discard(buffer);
                }
            }
        }
        self.stopped |= self.plan.dropped.load(Ordering::Relaxed) >= ticket.0;
    }

    fn convert(&mut self, messages: &Messages) {
        let mut topic: (usize, Arc<str>) = (0, "".into());
        let mut headers = vec![];
        for message in messages.iter() {
            if message.topic_key() != topic.0 {
                topic = (message.topic_key(), self.topic(message));
            }
            self.tally.records += 1;
            if self.maker.reads_headers() {
                headers.clear();
                message.headers(&mut headers);
            }
            let record = RawRecord {
                topic: &topic.1,
                partition: message.partition(),
                offset: Offset(message.offset()),
                timestamp: message.timestamp_ms(),
                key: message.key(),
                value: message.value(),
                headers: &headers,
            };
            let problem = match self.maker.make(&record) {
                Fate::Rows(rows) => {
                    let owed = owed_to(&self.owed, message);
                    let open = &mut self.open;
                    append(self.plan, open, &mut self.tally, owed, rows);
                    self.close_full();
                    continue;
                }
                Fate::Skipped(_) => {
                    self.tally.skipped += 1;
                    continue;
                }
                Fate::Refused(refusal) => locate(&refusal, &record, self.plan),
                Fate::Failed(problem) => problem,
            };
            self.stopped = true;
            self.outbox.lane(Said::Bad { ticket: self.ticket, problem });
            return;
        }
    }

    fn close_full(&mut self) {
        for table in 0..self.open.len() {
            let full = |buffer: &Buffer| buffer.bytes() >= self.plan.part_bytes;
            if self.open[table].buffer.as_ref().is_some_and(full) {
                self.close(table);
            }
        }
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
        let compression = match self.plan.joins_bodies.load(Ordering::Relaxed) {
            true => Compression::None,
            false => self.plan.compression,
        };
        let packed = part.compressed(compression);
        let (part, rows) = packed.expect("writing to memory cannot fail");
        self.plan.budget.charge(part.body.len() as u64);
        if let Some(rows) = rows {
            self.plan.spare.give(rows);
        }
        self.plan.budget.release(charged);
        let table = Arc::clone(&open.table);
        self.outbox.lane(Said::Part { ticket: self.ticket, table, part });
    }

    fn topic(&mut self, message: Message) -> Arc<str> {
        let name = self.topics.entry(message.topic_key());
        Arc::clone(name.or_insert_with(|| message.topic().into()))
    }
}

/// Where a replayed record's rows are still owed; `None`: everywhere.
fn owed_to<'o>(owed: &'o OwedRows, message: Message) -> Option<&'o Owed> {
    if owed.is_empty() {
        return None;
    }
    let partition = Partition::new(message.topic(), message.partition());
    let ranges = owed.get(&partition).map(Vec::as_slice).unwrap_or_default();
    ranges.iter().find(|owed| message.offset() < owed.until.0)
}

/// Puts a record's rows into the buffers of their tables, but for those that are there already.
#[inline]
fn append(
    plan: &Plan,
    tables: &mut Vec<Open>,
    tally: &mut Tally,
    owed: Option<&Owed>,
    rows: Rows<'_>,
) {
    let placed = tally.placed;
    for row in rows.iter() {
        while tables.len() <= row.table {
            let table = Arc::clone(rows.table_name(tables.len()));
            let hash = TableHash::of(&table);
            tables.push(Open { table, hash, buffer: None, last_record: 0 });
        }
        let open = &mut tables[row.table];
        if owed.is_some_and(|owed| !owed.tables.contains(&open.hash)) {
            continue;
        }
        let begins = open.last_record != tally.records;
        open.last_record = tally.records;
        let buffer =
            open.buffer.get_or_insert_with(|| Buffer::new(plan.framing, plan.spare.take()));
        let before = buffer.bytes();
        buffer.push(row.bytes, row.rows, begins);
        plan.budget.charge((buffer.bytes() - before) as u64);
        tally.placed += u64::from(begins);
    }
    match tally.placed > placed {
        true => tally.loaded += 1,
        false => tally.already_loaded += 1,
    }
}

/// Says where the record stands and what can be done about it.
fn locate(refusal: &Refusal, record: &RawRecord<'_>, plan: &Plan) -> Problem {
    let (brokers, group) = (&plan.bootstrap, &plan.group);
    let (topic, partition, offset) = (record.topic, record.partition, record.offset.0);
    let (side, bytes) = match refusal.stage {
        Stage::KeyConverter => ("key", record.key),
        Stage::HeaderConverter => ("headers", None),
        Stage::ValueConverter | Stage::Transformation | Stage::Routing | Stage::Mapping => {
            ("value", record.value)
        }
    };
    let mut problem = Problem::new(Kind::BadRecord, refusal.what.clone());
    let cause = if plan.redact_values { &refusal.safe_cause } else { &refusal.cause };
    if !cause.is_empty() {
        problem = problem.cause(match bytes {
            Some(bytes) if !plan.redact_values && !bytes.is_empty() => {
                format!("{cause}: {}", excerpt(bytes))
            }
            _ => cause.clone(),
        });
    }
    problem
        .at(format!("{topic}[{partition}]@{offset} · {side}"))
        .at(format!("{} {}", refusal.stage.connect_name(), refusal.class))
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
            framing: Framing::JsonArray,
            compression: Compression::None,
            joins_bodies: AtomicBool::new(false),
            part_bytes: 1 << 20,
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
