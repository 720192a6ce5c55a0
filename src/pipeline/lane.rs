//! One lane: records into rows into parts, a partition always on the same lane, so that its order
//! holds. Decides nothing about batches: the reader says when to close and when to forget.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use crate::batch::{Buffer, Framing, Part};
use crate::config::job::{Compression, ErrorPolicy, OnBadRecord};
use crate::delivery::{Owed, TableHash};
use crate::dlq::letter::take_context;
use crate::error::{Kind, Problem, is_unseen};
use crate::event::Reasoned;
use crate::kafka::queue::{Message, Messages};
use crate::mapping::maker::{Fate, RawRecord, Refusal, RowMaker, Rows, Stage};
use crate::mapping::plan::NewField;
use crate::pipeline::Outbox;
use crate::pipeline::budget::Budget;
use crate::pipeline::refuse::{Condemned, Refused, Verdict, Why};
use crate::pipeline::replay::{Replaying, digest};
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
    /// Records that StarRocks does not take: no rows are made of them.
    Condemn(Arc<Condemned>),
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
    pub filtered: u64,
    /// Those among them that are dead letters of a record which another letter holds as well.
    pub repeated: u64,
    /// Records that cannot be loaded and are kept as dead letters.
    pub set_aside: u64,
    /// Records that cannot be loaded and are passed over.
    pub skipped: u64,
    /// Records of a replay that their tables have already.
    pub already_loaded: u64,
}

impl Tally {
    /// Records whose fate is known: all of them, or the books do not balance.
    pub fn accounted(&self) -> u64 {
        self.loaded + self.filtered + self.set_aside + self.skipped + self.already_loaded
    }

    pub fn add(&mut self, other: &Tally) {
        self.records += other.records;
        self.loaded += other.loaded;
        self.placed += other.placed;
        self.filtered += other.filtered;
        self.repeated += other.repeated;
        self.set_aside += other.set_aside;
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
        /// By partition, as far as the batch has records of it here.
        tallies: Vec<(Partition, Tally)>,
    },
    /// A field appeared that no column has.
    NewField {
        table: Arc<str>,
        field: NewField,
    },
    /// A record that cannot be loaded; the run goes on without it.
    Refused {
        ticket: Ticket,
        refused: Arc<Refused>,
    },
    /// A record that cannot be loaded; the run ends before it.
    Bad {
        ticket: Ticket,
        problem: Problem,
        /// `None` where it is no fault of the record.
        reason: Option<Box<Reasoned>>,
        partition: Partition,
        offset: Offset,
        /// Records of its partition before it, in this batch.
        before: u64,
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
    pub errors: ErrorPolicy,
    /// The records are dead letters.
    pub replaying: Option<Replaying>,
    pub database: String,
    /// For the commands that a message suggests.
    pub bootstrap: String,
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
    condemned: Arc<Condemned>,
    /// Of the partition in hand.
    tally: Tally,
    /// That partition: librdkafka's handle of the topic, and its number.
    place: (usize, u32),
    /// Of the partitions before it in this batch.
    tallies: HashMap<(usize, u32), Tally>,
    /// Records of this batch so far, all partitions.
    records: u64,
    /// Partitions with a record that ends the run: what follows it is left where it is.
    ended: HashSet<(usize, u32)>,
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
        condemned: Arc::default(),
        tally: Tally::default(),
        place: (0, 0),
        tallies: HashMap::new(),
        records: 0,
        ended: HashSet::new(),
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
                    self.tell_new_fields();
                }
                drop(messages);
                self.plan.budget.release(bytes);
            }
            Job::Flush => self.close_all(),
            Job::Seal(ticket) => {
                self.turn_to(ticket);
                self.close_all();
                let tallies = self.all_tallies();
                self.outbox.lane(Said::Sealed { ticket, tallies });
            }
            Job::Condemn(condemned) => self.condemned = condemned,
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
            self.tallies.clear();
            self.records = 0;
            self.ended.clear();
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
        let condemned = Arc::clone(&self.condemned);
        for message in messages.iter() {
            if message.topic_key() != topic.0 {
                topic = (message.topic_key(), self.topic(message));
            }
            let place = (message.topic_key(), message.partition());
            if !self.ended.is_empty() && self.ended.contains(&place) {
                continue;
            }
            self.turn_to_partition(place);
            self.tally.records += 1;
            self.records += 1;
            if self.maker.reads_headers() || self.plan.replaying.is_some() {
                headers.clear();
                message.headers(&mut headers);
            }
            let at = (message.partition(), message.offset());
            let origin = self.plan.replaying.as_ref().map(|it| it.origin(&mut headers, at));
            let mut record = RawRecord {
                topic: &topic.1,
                partition: at.0,
                offset: Offset(at.1),
                timestamp: message.timestamp_ms(),
                key: message.key(),
                value: message.value(),
                headers: &headers,
            };
            // A record that was found by search is known by the place it was read from.
            let verdict = condemned.of_place(record.topic, at.0, record.offset);
            match &origin {
                None => {}
                Some(None) => {
                    self.put_aside(message, &record, Why::nameless());
                    continue;
                }
                Some(Some(origin)) => {
                    let holds = digest(message, &headers);
                    let replaying = self.plan.replaying.as_ref();
                    if replaying.is_some_and(|it| it.is_repeat(origin, holds, at)) {
                        self.tally.filtered += 1;
                        self.tally.repeated += 1;
                        continue;
                    }
                    (record.topic, record.partition) = (&origin.topic, origin.partition);
                    record.offset = origin.offset;
                }
            }
            if let Some(verdict) = verdict {
                self.put_aside(message, &record, Why::rejected(verdict, self.plan.redact_values));
                continue;
            }
            let stopped = match self.maker.make(&record) {
                Fate::Rows(rows) => match condemned.of_rows(&rows) {
                    Some(verdict) => Stopped::Rejected(verdict),
                    None => {
                        let owed = owed_to(&self.owed, message);
                        let open = &mut self.open;
                        if append(self.plan, open, &mut self.tally, self.records, owed, rows) {
                            self.close_full();
                        }
                        continue;
                    }
                },
                Fate::Skipped(_) => {
                    self.tally.filtered += 1;
                    continue;
                }
                Fate::Refused(refusal) => Stopped::Refused(refusal),
                Fate::Failed(problem) => Stopped::Failed(problem),
            };
            let stops = matches!(self.plan.errors.on_bad_record, OnBadRecord::Stop);
            let (problem, reason) = match stopped {
                Stopped::Refused(refusal) if stops => {
                    let why = Why::refused(&refusal, &self.plan.database, self.plan.redact_values);
                    let refused = Refused::new(&record, why, &OnBadRecord::Stop, None);
                    (locate(&refusal, &record, self.plan), Some(Box::new(refused.reasoned())))
                }
                Stopped::Failed(problem) => (problem, None),
                Stopped::Refused(refusal) => {
                    let why = Why::refused(&refusal, &self.plan.database, self.plan.redact_values);
                    self.put_aside(message, &record, why);
                    continue;
                }
                Stopped::Rejected(verdict) => {
                    let why = Why::rejected(&verdict, self.plan.redact_values);
                    self.put_aside(message, &record, why);
                    continue;
                }
            };
            self.ended.insert(place);
            self.tally.records -= 1;
            self.outbox.lane(Said::Bad {
                ticket: self.ticket,
                problem,
                reason,
                partition: Partition::new(Arc::clone(&topic.1), at.0),
                offset: Offset(at.1),
                before: self.tally.records,
            });
        }
    }

    fn tell_new_fields(&mut self) {
        for (table, field) in self.maker.take_new_fields() {
            self.outbox.lane(Said::NewField { table, field });
        }
    }

    /// Tallies are kept by partition.
    #[inline]
    fn turn_to_partition(&mut self, place: (usize, u32)) {
        if place != self.place {
            let tally = std::mem::take(&mut self.tally);
            self.tallies.entry(self.place).or_default().add(&tally);
            self.place = place;
        }
    }

    fn all_tallies(&mut self) -> Vec<(Partition, Tally)> {
        self.turn_to_partition((0, 0));
        let tallies = std::mem::take(&mut self.tallies);
        let named = |((topic, number), tally): ((usize, u32), Tally)| {
            let topic = self.topics.get(&topic).filter(|_| tally.records > 0)?;
            Some((Partition::new(Arc::clone(topic), number), tally))
        };
        tallies.into_iter().filter_map(named).collect()
    }

    /// Keeps what the policy wants of a record that goes no further.
    fn put_aside(&mut self, message: Message, record: &RawRecord<'_>, why: Why) {
        let errors = &self.plan.errors;
        match errors.on_bad_record {
            OnBadRecord::SetAside(_) => self.tally.set_aside += 1,
            OnBadRecord::Stop | OnBadRecord::Skip => self.tally.skipped += 1,
        }
        let mut headers = vec![];
        message.headers(&mut headers);
        if self.plan.replaying.is_some() {
            // What is said of it now takes the place of what was said before.
            take_context(&mut headers);
        }
        let record = RawRecord { headers: &headers, ..*record };
        let shows = errors.tell_content && !self.plan.redact_values;
        let excerpt = record.value.filter(|_| shows).map(excerpt);
        let refused = Refused::new(&record, why, &errors.on_bad_record, excerpt);
        self.plan.budget.charge(refused.bytes);
        self.outbox.lane(Said::Refused { ticket: self.ticket, refused: Arc::new(refused) });
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

/// Why a record became no rows.
enum Stopped {
    Refused(Box<Refusal>),
    Rejected(Verdict),
    Failed(Problem),
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
/// Returns whether a buffer is full.
#[inline]
fn append(
    plan: &Plan,
    tables: &mut Vec<Open>,
    tally: &mut Tally,
    number: u64,
    owed: Option<&Owed>,
    rows: Rows<'_>,
) -> bool {
    let placed = tally.placed;
    let mut full = false;
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
        let begins = open.last_record != number;
        open.last_record = number;
        let buffer =
            open.buffer.get_or_insert_with(|| Buffer::new(plan.framing, plan.spare.take()));
        let before = buffer.bytes();
        buffer.push(row.bytes, row.rows, begins);
        plan.budget.charge((buffer.bytes() - before) as u64);
        tally.placed += u64::from(begins);
        full |= buffer.bytes() >= plan.part_bytes;
    }
    match tally.placed > placed {
        true => tally.loaded += 1,
        false => tally.already_loaded += 1,
    }
    full
}

/// Says where the record stands and what can be done about it.
fn locate(refusal: &Refusal, record: &RawRecord<'_>, plan: &Plan) -> Problem {
    let brokers = &plan.bootstrap;
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
        .hint("`--on-error dlq --dlq TOPIC|FILE` sets such records aside and goes on")
}

/// One line of a value, safe to print.
fn excerpt(value: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * MOST)]);
    let clean = |c: char| if is_unseen(c) { ' ' } else { c };
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
            errors: ErrorPolicy {
                on_bad_record: OnBadRecord::Stop,
                max_errors: None,
                tell_each: false,
                tell_content: false,
            },
            replaying: None,
            database: String::new(),
            bootstrap: String::new(),
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
