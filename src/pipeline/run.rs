//! The reader: polls the group, hands records to the lanes, carries out what the delivery machine
//! asks for, and ends the run. Everything that talks to Kafka happens on this thread.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::batch::{self, Framing, Part};
use crate::config::job::{
    Body, Compression, DeliveryChoice, Extent, Job, PropertyValue, Reset, Retries, Start, Topics,
};
use crate::delivery::{
    self, Action, Answer, CursorWrite, Fetched, Input, Label, Machine, Mode, OnUnknown, Opening,
    Prefix, Reading, Receipt, RunId, Seq, Settings, StartAt, Table, WriteError, WriteOutcome,
};
use crate::error::{Kind, Problem};
use crate::event::{self, Event, Progress, Started, Summary};
use crate::kafka::ErrorCode;
use crate::kafka::consumer::{CommitError, Consumer, GroupEvent};
use crate::kafka::extent;
use crate::kafka::queue::{Entry as QueueEntry, Messages};
use crate::mapping::route;
use crate::pipeline::books::{self, Books, Counted, Sent};
use crate::pipeline::budget::Budget;
use crate::pipeline::lane::{self, OwedRows, Plan, Said, Ticket};
use crate::pipeline::loads::{Done, Loads, Target, What, Work, unreachable_node};
use crate::pipeline::positions::Positions;
use crate::pipeline::{Inbox, Outbox, Stop};
use crate::record::{Offset, OffsetRange, Partition};
use crate::starrocks::catalog::{self, Health};
use crate::starrocks::client::{Client, TableName, TxnTimes};
use crate::starrocks::reply::Report;

/// Entries taken from librdkafka's queue at once.
const CHUNK: usize = 4096;
/// Chunks that wait for a lane; their bytes are in the budget.
const LANE_QUEUE: usize = 8;
/// What a record costs beside its bytes: librdkafka's bookkeeping.
const RECORD_OVERHEAD: u64 = 96;
/// Progress is told this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Topics and partitions are looked up again this often.
const TOPICS_EVERY: Duration = Duration::from_secs(30);
/// Waits between failed attempts at a batch: doubling from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Retries of a bounded run where nothing else was said: about half a minute in all.
const LOAD_RETRIES: u32 = 6;
/// A bounded run drains this long on a signal.
const LOAD_DRAIN: Duration = Duration::from_secs(10);
/// Joining a group takes no longer, unless a dead member holds a place.
const JOIN_PATIENCE: Duration = Duration::from_secs(4);
/// A broker that is away comes back, or its partitions find another leader, within this time.
const BROKER_PATIENCE: Duration = Duration::from_secs(60);
/// How long a transaction may stay open: a batch is far shorter.
const TXN_TIMEOUT: Duration = Duration::from_secs(600);
/// A cron job comes back within a day; a dead `tail` should not hold up an ALTER that long.
const PREPARED_LOAD: Duration = Duration::from_secs(86_400);
const PREPARED_TAIL: Duration = Duration::from_secs(4 * 3600);
/// The broker's default `offset.metadata.max.bytes`.
const METADATA_LIMIT: usize = 4096;

/// What the command line asks beside the job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders {
    /// Finish or undo what an earlier run left pending, then stop.
    pub settle: bool,
    /// Load a bounded run again from its start.
    pub restart: bool,
    /// Where the fate of a forgotten label cannot be proven; `None`: stop.
    pub on_unknown: Option<OnUnknownOrder>,
}

/// `--on-unknown`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknownOrder {
    Committed,
    Reload,
}

struct Run<'a> {
    job: &'a Job,
    extent: &'a Extent,
    consumer: &'a Consumer,
    stop: &'a Stop,
    report: &'a mut dyn FnMut(Event),
    machine: Machine,
    mode: Mode,
    /// No transaction interface: batches are kept and sent by plain loads.
    plain: bool,
    plan: Arc<Plan>,
    loads: &'a Loads,
    lanes: &'a [SyncSender<lane::Job>],
    inbox: Receiver<Inbox>,
    group: String,
    /// Topics this run reads, with their numbers of partitions.
    topics: Vec<(String, u32)>,
    /// Partitions that existed when the run began.
    first_partitions: BTreeSet<Partition>,
    /// Bounds of a bounded run.
    ends: BTreeMap<Partition, Offset>,
    assigned: Vec<Partition>,
    assigned_in_kafka: bool,
    positions: Positions,
    /// No reading before the machine says so, nor while a batch is being given up.
    reading: bool,
    filling: Option<Ticket>,
    last_ticket: Ticket,
    batches: BTreeMap<Ticket, Batch>,
    owners: HashMap<Label, (Ticket, String)>,
    books: Books,
    wakes: BinaryHeap<Reverse<u64>>,
    attempts: u32,
    resume_at: Option<Instant>,
    rejoin_at: Option<Instant>,
    problem: Option<Problem>,
    /// The last failure of an attempt; becomes the problem when patience ends.
    last_failure: Option<Problem>,
    stopping: Option<Stopping>,
    finished: bool,
    read_messages: u64,
    /// The group held no position for some partition: this run began something.
    has_begun_anew: bool,
    started: Instant,
    last_load: Option<Instant>,
    last_progress: Instant,
    last_topics: Instant,
    released_by: Option<Instant>,
    waiting_for: Option<String>,
    /// When to say that the group lets us wait.
    patience: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopping {
    deadline: Instant,
    told: bool,
    expired: bool,
}

/// One batch between its first record and its receipt.
#[derive(Debug)]
struct Batch {
    /// The machine's number for it.
    seq: Seq,
    began: Instant,
    read_bytes: u64,
    records: u64,
    lanes_left: usize,
    sealing: bool,
    handed_over: bool,
    seal_first: bool,
    begins_left: usize,
    parts_left: usize,
    ends: Vec<OffsetRange>,
    labels: BTreeMap<String, Label>,
    entry: books::Entry,
    /// For plain loads: rows kept until the commit.
    kept: BTreeMap<String, Vec<Part>>,
    kept_bytes: u64,
}

/// Runs a job with a consumer that is connected to nothing yet.
pub(super) fn run(
    job: &Job,
    extent: &Extent,
    orders: Orders,
    consumer: Consumer,
    stop: &Stop,
    report: &mut dyn FnMut(Event),
) -> (Summary, Result<(), Problem>) {
    let prepared = match prepare(job, extent, orders, &consumer, report) {
        Ok(prepared) => prepared,
        Err(problem) => return (Summary::default(), Err(problem)),
    };
    let (outbox, inbox) = Outbox::pair(consumer.waker());
    let plan = Arc::clone(&prepared.plan);
    let loads = Loads::start(prepared.target, Arc::clone(&plan), job.loads, &outbox);
    let (summary, problem) = thread::scope(|scope| {
        let (mut lanes, mut threads) = (vec![], vec![]);
        for _ in 0..job.lanes.max(1) {
            let (sender, jobs) = mpsc::sync_channel(LANE_QUEUE);
            let (plan, outbox) = (Arc::clone(&plan), outbox.clone());
            threads.push(scope.spawn(move || lane::run(&plan, &jobs, &outbox)));
            lanes.push(sender);
        }
        let now = Instant::now();
        let mut run = Run {
            job,
            extent,
            consumer: &consumer,
            stop,
            report,
            machine: Machine::new(prepared.settings),
            mode: prepared.mode,
            plain: prepared.plain,
            plan: Arc::clone(&plan),
            loads: &loads,
            lanes: &lanes,
            inbox,
            group: prepared.group,
            first_partitions: all_partitions(&prepared.topics).into_iter().collect(),
            topics: prepared.topics,
            ends: prepared.ends,
            assigned: vec![],
            assigned_in_kafka: false,
            positions: Positions::default(),
            reading: false,
            filling: None,
            last_ticket: Ticket(0),
            batches: BTreeMap::new(),
            owners: HashMap::new(),
            books: Books::default(),
            wakes: BinaryHeap::new(),
            attempts: 0,
            resume_at: None,
            rejoin_at: None,
            problem: None,
            last_failure: None,
            stopping: None,
            finished: false,
            read_messages: 0,
            has_begun_anew: false,
            started: now,
            last_load: None,
            last_progress: now,
            last_topics: now,
            released_by: None,
            waiting_for: None,
            patience: Some(now + JOIN_PATIENCE),
        };
        let ended = run.until_finished();
        let problem = run.problem.take().or(ended.err());
        let summary = run.summary(problem.is_none());
        drop(run);
        drop(lanes);
        // What a lane panicked with was printed when it did.
        let whole = threads.into_iter().map(thread::ScopedJoinHandle::join).all(|end| end.is_ok());
        let problem = if whole { problem } else { Some(lane_died()) };
        (summary, problem)
    });
    loads.close(Duration::from_secs(2));
    // librdkafka does not let go while anybody can still wake its queue.
    drop(outbox);
    leave(consumer);
    (summary, problem.map_or(Ok(()), Err))
}

/// Leaves the group and lets go of librdkafka, on a thread of its own: neither may keep a finished run
/// from ending. A thread that hangs (a request in flight can still wake the queue) ends with the process.
fn leave(consumer: Consumer) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let (done, left) = mpsc::channel();
    thread::spawn(move || {
        consumer.close();
        drop(consumer);
        // Nobody listens any more once patience has ended.
        let _ = done.send(());
    });
    let _ = left.recv_timeout(PATIENCE);
}

/// What is found out before the first record is read.
struct Prepared {
    settings: Settings,
    mode: Mode,
    plain: bool,
    plan: Arc<Plan>,
    target: Target,
    topics: Vec<(String, u32)>,
    ends: BTreeMap<Partition, Offset>,
    group: String,
}

fn prepare(
    job: &Job,
    extent: &Extent,
    orders: Orders,
    consumer: &Consumer,
    report: &mut dyn FnMut(Event),
) -> Result<Prepared, Problem> {
    let client = Client::new(&job.target);
    check_front_ends(job, &client, report)?;
    let mut topics = consumer.select(&job.source.topics)?;
    if let [only] = &job.source.partitions[..]
        && topics.len() == 1
        && *only >= topics[0].1
    {
        return Err(Problem::usage(format!(
            "topic `{}` has {} partitions, so there is no partition {only}",
            topics[0].0, topics[0].1
        )));
    }
    topics.sort();
    if let (true, Topics::Matching(pattern)) = (topics.is_empty(), &job.source.topics) {
        let text = format!("no topic on `{}` matches `{}`", job.source.bootstrap, pattern.as_str());
        match extent {
            Extent::Until(_) => {
                return Err(Problem::usage(text)
                    .hint("the pattern must match the whole name: `orders` does not match `orders_eu`, `orders.*` does"));
            }
            Extent::Forever { .. } => report(Event::Warning { text, hint: None }),
        }
    }
    consumer.refuse_connect_workers(&job.source.group)?;
    let tables = tables_of(job, &topics);
    let idempotent = check_tables(job, &client, &topics)?;
    let (mode, plain) = mode(job, &client)?;
    check_isolation(job, mode)?;
    let wanted = wanted(job, &topics);
    let ends = match extent {
        Extent::Until(bounds) => extent::ends(consumer, bounds.until, &wanted)?,
        Extent::Forever { .. } => BTreeMap::new(),
    };
    let (guarantee_name, guarantee) = guarantee(mode);
    report(Event::Started(Started {
        name: job.name.clone(),
        group: job.source.group.clone(),
        topics: topics.iter().map(|(name, _)| name.clone()).collect(),
        partitions: wanted.len(),
        tables: tables.iter().map(|table| format!("{}.{table}", job.target.database)).collect(),
        guarantee,
        guarantee_name,
    }));
    let prepared = match extent {
        Extent::Until(_) => PREPARED_LOAD,
        Extent::Forever { .. } => PREPARED_TAIL,
    };
    let request = match extent {
        Extent::Until(bounds) if bounds.start != Start::Stored => Some(request_hash(job, extent)),
        _ => None,
    };
    let settings = Settings {
        mode,
        prefix: Prefix::of_name(&job.name),
        database: job.target.database.clone(),
        tables: tables
            .iter()
            .map(|name| Table { name: name.clone(), is_idempotent: idempotent.contains(name) })
            .collect(),
        fingerprint: fingerprint(job),
        prepared_timeout_s: prepared.as_secs(),
        prepared_timeout_is_ours: catalog::knows_prepared_timeout(&client),
        on_unknown: match orders.on_unknown {
            None => OnUnknown::Stop,
            Some(OnUnknownOrder::Committed) => OnUnknown::Committed,
            Some(OnUnknownOrder::Reload) => OnUnknown::Reload,
        },
        metadata_limit_bytes: METADATA_LIMIT,
        request,
        restart: orders.restart,
        settle_only: orders.settle,
    };
    let budget = Arc::new(Budget::new(rows_budget(job.memory_bytes)));
    let plan = Arc::new(Plan {
        format: job.format.clone(),
        routes: job.routes.clone(),
        // For a plain load parts are joined first and compressed then.
        compression: if plain { Compression::None } else { job.target.compression },
        part_bytes: usize::try_from((job.memory_bytes / 24).clamp(256 << 10, 8 << 20))
            .unwrap_or(4 << 20),
        enclose: header(job, "enclose").and_then(|text| text.bytes().next()),
        redact_values: job.redact_values,
        bootstrap: job.source.bootstrap.clone(),
        group: job.source.group.clone(),
        budget: Arc::clone(&budget),
        spare: lane::Spare::default(),
        dropped: AtomicU64::new(0),
    });
    let timeout = header(job, "timeout").and_then(|text| text.parse().ok());
    let times = TxnTimes {
        timeout: timeout.map_or(TXN_TIMEOUT, Duration::from_secs),
        idle: timeout.map_or(TXN_TIMEOUT, Duration::from_secs),
        prepared,
    };
    let target = Target {
        client,
        database: job.target.database.clone(),
        headers: load_headers(job),
        times,
        redact_values: job.redact_values,
        password_origin: job.target.password_origin.clone(),
        user: job.target.user.clone(),
        budget,
    };
    Ok(Prepared {
        settings,
        mode,
        plain,
        plan,
        target,
        topics,
        ends,
        group: job.source.group.clone(),
    })
}

impl Run<'_> {
    fn until_finished(&mut self) -> Result<(), Problem> {
        if !self.topics.is_empty() {
            self.consumer.subscribe(&self.topics)?;
        }
        let mut busy = false;
        while !self.finished {
            self.serve_group()?;
            self.empty_inbox()?;
            self.keep_time()?;
            self.seal_if_due()?;
            if self.finished {
                break;
            }
            busy = self.read(busy)?;
            self.tell_progress();
        }
        Ok(())
    }

    // ---- the group ----

    fn serve_group(&mut self) -> Result<(), Problem> {
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
        }
        Ok(())
    }

    fn assigned(&mut self, partitions: Vec<Partition>) -> Result<(), Problem> {
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
        self.assigned_in_kafka = false;
        self.patience = None;
        let input = Input::Assigned { run: random_run(), partitions: self.assigned.clone() };
        if self.assigned.is_empty() {
            // Another process of this name has all of them.
            self.consumer.assign(&[])?;
            self.positions = Positions::default();
            self.reading = true;
            return Ok(());
        }
        self.feed(input)
    }

    /// The machine is done with the partitions: the group may go on.
    fn give_back(&mut self) {
        self.consumer.unassign();
        self.forget_assignment();
    }

    fn forget_assignment(&mut self) {
        self.assigned.clear();
        self.assigned_in_kafka = false;
        self.positions = Positions::default();
        self.reading = false;
        self.released_by = None;
    }

    // ---- the machine ----

    fn feed(&mut self, input: Input) -> Result<(), Problem> {
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

    fn table_name(&self, table: &str) -> TableName {
        TableName { database: self.job.target.database.clone(), table: table.into() }
    }

    fn fetch_offsets(&mut self) -> Result<Option<Vec<Fetched>>, Problem> {
        let fetched = match self.consumer.committed(&all_partitions(&self.topics)) {
            Ok(fetched) => fetched,
            Err(problem) if problem.kind == Kind::Usage => return Err(problem),
            Err(problem) => {
                self.waiting_for = problem.causes.first().cloned();
                return Ok(None);
            }
        };
        let convert = |committed: crate::kafka::consumer::Committed| Fetched {
            partition: committed.partition,
            committed: committed.offset,
        };
        Ok(Some(fetched.into_iter().map(convert).collect()))
    }

    fn write_offsets(&mut self, cursors: &[CursorWrite]) -> WriteOutcome {
        if self.consumer.is_lost() {
            return WriteOutcome::NotSent;
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

    fn resolve_starts(&mut self, partitions: &[Partition]) -> Result<Vec<StartAt>, Problem> {
        self.has_begun_anew = true;
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
        let mut starts = self.patiently(|run| extent::starts(run.consumer, start, &old))?;
        // A partition that appeared after the start is read whole, whatever `-o` said.
        starts.extend(self.patiently(|run| extent::starts(run.consumer, Start::Beginning, &new))?);
        let records_bound = asked != Start::Stored;
        let start = |(partition, offset): (Partition, Offset)| {
            let until = self.ends.get(&partition).copied().filter(|_| records_bound);
            StartAt { partition, offset, until }
        };
        Ok(starts.into_iter().map(start).collect())
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
    fn start(&mut self, readings: &[Reading]) -> Result<(), Problem> {
        let mut owed = OwedRows::new();
        for reading in readings {
            if let Some(until) = reading.until {
                self.ends.insert(reading.partition.clone(), until);
            }
            if !reading.owed.is_empty() {
                owed.insert(reading.partition.clone(), reading.owed.clone());
            }
        }
        let starts: Vec<(Partition, Offset)> =
            readings.iter().map(|reading| (reading.partition.clone(), reading.from)).collect();
        if !self.assigned_in_kafka {
            for (partition, offset) in &starts {
                self.check_in_range(partition, *offset)?;
            }
        }
        if matches!(self.extent, Extent::Until(_)) {
            self.bound_late_comers(&starts)?;
        }
        self.positions = Positions::new(&starts, &self.ends);
        // What was given up does not count against `-c`.
        let live: u64 = self.batches.values().map(|batch| batch.records).sum();
        self.read_messages = self.books.read + live;
        self.send_to_lanes(|| lane::Job::Owe(Arc::new(owed.clone())));
        let open = self.positions.open();
        if self.assigned_in_kafka {
            if !open.is_empty() {
                self.consumer.seek(&open)?;
            }
        } else {
            self.consumer.assign(&open)?;
            self.assigned_in_kafka = true;
        }
        self.reading = true;
        Ok(())
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

    fn free(&self, part: Part) {
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

    // ---- attempts ----

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
    fn note_failure(&mut self, problem: Problem) {
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

    // ---- lanes and loads ----

    fn empty_inbox(&mut self) -> Result<(), Problem> {
        while let Ok(message) = self.inbox.try_recv() {
            self.heard(message)?;
        }
        Ok(())
    }

    fn heard(&mut self, message: Inbox) -> Result<(), Problem> {
        match message {
            Inbox::Lane(Said::Part { ticket, table, part }) => self.part(ticket, &table, part),
            Inbox::Lane(Said::Sealed { ticket, tally }) => {
                if let Some(batch) = self.batches.get_mut(&ticket) {
                    batch.lanes_left -= 1;
                    batch.entry.tally.records += tally.records;
                    batch.entry.tally.skipped += tally.skipped;
                    batch.entry.tally.already_loaded += tally.already_loaded;
                }
                self.hand_over(ticket)
            }
            Inbox::Lane(Said::Bad { ticket, problem }) => {
                if self.batches.contains_key(&ticket) {
                    self.problem.get_or_insert(problem);
                }
                Ok(())
            }
            Inbox::Load(done) => self.answered(done),
        }
    }

    /// Rows of one table are ready: open its label, and send or keep them.
    fn part(&mut self, ticket: Ticket, table: &str, part: Part) -> Result<(), Problem> {
        let Some(seq) = self.batches.get(&ticket).map(|batch| batch.seq) else {
            self.free(part);
            return Ok(());
        };
        let label = match self.machine.open(seq, table) {
            Opening::New(label) => {
                self.owners.insert(label.clone(), (ticket, table.to_string()));
                let name = self.table_name(table);
                if !self.plain {
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
        if self.plain {
            batch.kept_bytes += part.body.len() as u64;
            batch.kept.entry(table.into()).or_default().push(part);
        } else {
            batch.parts_left += 1;
            let name = self.table_name(table);
            self.loads.push(&label, Some(&name), Work::Part(part));
        }
        Ok(())
    }

    fn batch(&mut self, ticket: Ticket) -> &mut Batch {
        self.batches.get_mut(&ticket).expect("the caller looked it up")
    }

    fn answered(&mut self, done: Done) -> Result<(), Problem> {
        if let Some(problem) = done.problem {
            let welcome = matches!(
                done.what,
                What::Answered { op: delivery::Op::RollBack | delivery::Op::Cancel, .. }
            );
            if !welcome {
                self.note_failure(problem);
            }
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
                    && (op == delivery::Op::Prepare || self.plain && op == delivery::Op::Commit)
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
    fn load_at_once(&mut self, label: &Label) {
        let Some((ticket, table)) = self.owners.get(label).cloned() else { return };
        let Some(batch) = self.batches.get_mut(&ticket) else { return };
        let parts = batch.kept.get_mut(&table).map(std::mem::take).unwrap_or_default();
        let charged: u64 = parts.iter().map(|part| part.body.len() as u64).sum();
        let whole = batch::join(framing(&self.plan.format.body), parts);
        // A retry of the same label needs the same rows again.
        let copy = Part { body: whole.body.clone(), ..whole };
        self.plan.budget.charge(2 * copy.body.len() as u64);
        self.plan.budget.release(charged);
        if let Some(batch) = self.batches.get_mut(&ticket) {
            batch.kept.insert(table.clone(), vec![copy]);
        }
        let compressed = batch::compress(self.job.target.compression, whole.body)
            .expect("writing to memory cannot fail");
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
        batch.handed_over = true;
        let (seq, ends) = (batch.seq, batch.ends.clone());
        if self.filling == Some(ticket) {
            self.filling = None;
        }
        self.feed(Input::Sealed { seq, ends })
    }

    // ---- time ----

    fn keep_time(&mut self) -> Result<(), Problem> {
        let now = now_ms();
        let mut due = false;
        while self.wakes.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.wakes.pop();
            due = true;
        }
        if due {
            self.feed(Input::Tick)?;
        }
        if self.patience.is_some_and(|at| at <= Instant::now()) {
            self.patience = None;
            (self.report)(Event::Warning {
                text: format!(
                    "waiting for consumer group `{}`: a process that ended without leaving keeps its \
                     place until its session times out, within 10 s by default",
                    self.group
                ),
                hint: None,
            });
        }
        if self.rejoin_at.is_some_and(|at| at <= Instant::now()) {
            self.rejoin_at = None;
            self.consumer.subscribe(&self.topics)?;
        }
        if self.released_by.is_some_and(|at| at <= Instant::now()) {
            self.released_by = None;
            self.feed(Input::DrainExpired)?;
        }
        if matches!(self.extent, Extent::Forever { .. })
            && self.last_topics.elapsed() > TOPICS_EVERY
        {
            self.look_for_topics();
        }
        self.stop_if_asked()
    }

    /// New topics that match, new partitions of known ones.
    fn look_for_topics(&mut self) {
        self.last_topics = Instant::now();
        let Ok(mut topics) = self.consumer.select(&self.job.source.topics) else { return };
        topics.sort();
        if topics == self.topics {
            return;
        }
        let new = topics.iter().filter(|(name, _)| !self.topics.iter().any(|(old, _)| old == name));
        let names: Vec<&str> = new.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            (self.report)(Event::Info(format!("new topics: {}", names.join(", "))));
        }
        self.topics = topics;
        // Fails only where the client is being closed.
        let _ = self.consumer.subscribe(&self.topics);
    }

    fn drain_time(&self) -> Duration {
        match self.extent {
            Extent::Forever { drain_timeout, .. } => *drain_timeout,
            Extent::Until(_) => LOAD_DRAIN,
        }
    }

    fn stop_if_asked(&mut self) -> Result<(), Problem> {
        let asked = self.stop.signal().is_some() || self.problem.is_some();
        if asked && self.stopping.is_none() {
            let deadline = Instant::now() + self.drain_time();
            self.stopping = Some(Stopping { deadline, told: false, expired: false });
            self.positions.stop_here();
        }
        let Some(mut stopping) = self.stopping else { return Ok(()) };
        let expired = Instant::now() >= stopping.deadline;
        // A batch that is being sealed is loaded; one that holds a bad record is not.
        let sealing = self.batches.values().any(|batch| batch.sealing && !batch.handed_over);
        let unsealed = self.filling.is_some() && self.positions.moved();
        let wait = self.problem.is_none() && !expired && (sealing || unsealed);
        if !stopping.told && !wait {
            stopping.told = true;
            self.stopping = Some(stopping);
            self.feed(Input::Stop)?;
        }
        if expired && !stopping.expired {
            stopping.expired = true;
            self.stopping = Some(stopping);
            self.feed(Input::DrainExpired)?;
        }
        // Nothing answers any more: what is open expires by itself, and the next start settles it.
        if Instant::now() >= stopping.deadline + Duration::from_secs(5) {
            self.finished = true;
            if self.batches.values().any(|batch| batch.handed_over) {
                self.problem.get_or_insert_with(|| {
                    Problem::unavailable("stopped before the last batch was settled")
                        .cause("StarRocks or Kafka did not answer in time")
                        .hint("run the same command again: it settles the batch first, nothing is lost")
                });
            }
        }
        Ok(())
    }

    // ---- sealing and reading ----

    fn seal_if_due(&mut self) -> Result<(), Problem> {
        let done = self.reading && self.positions.all_done();
        let ends = matches!(self.extent, Extent::Until(_)) || self.stopping.is_some();
        let Some(ticket) = self.filling else {
            return self.finish_if_done(done && ends);
        };
        let moved = self.positions.moved();
        let policy = &self.job.flush;
        let share = self.plan_limit();
        let spent = self.plain && self.plan.budget.is_spent();
        let batch = self.batch(ticket);
        if batch.sealing {
            return Ok(());
        }
        let age = batch.began.elapsed();
        let full = batch.read_bytes >= policy.max_bytes || batch.kept_bytes >= share || spent;
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
        let batch = self.batch(ticket);
        batch.sealing = true;
        batch.ends = ends;
        batch.lanes_left = lanes;
        self.send_to_lanes(|| lane::Job::Seal(ticket));
        Ok(())
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
        committed.iter().all(|committed| {
            let end = self.ends[&committed.partition];
            match &committed.offset {
                Some((offset, metadata)) => *offset >= end && !metadata.contains(";e="),
                None => {
                    self.consumer.watermarks(&committed.partition).is_ok_and(|(low, _)| low >= end)
                }
            }
        })
    }

    /// The budget is spent and nothing is on its way to free it: send what the lanes hold.
    fn make_room(&mut self) {
        if self.plan.budget.is_spent() && !self.loads.has_bodies() && !self.plain {
            self.send_to_lanes(|| lane::Job::Flush);
        }
    }

    fn send_to_lanes(&mut self, job: impl Fn() -> lane::Job) {
        for lane in self.lanes {
            // A lane ends before its sender only by a panic: nothing of this batch can be kept.
            if lane.send(job()).is_err() {
                self.problem.get_or_insert_with(lane_died);
            }
        }
    }

    /// Takes records if there is room; otherwise waits for news. Returns whether any came.
    fn read(&mut self, busy: bool) -> Result<bool, Problem> {
        let wait = Duration::from_millis(if busy { 5 } else { 50 });
        let paused = self.resume_at.is_some_and(|at| at > Instant::now());
        let sealing =
            self.filling.is_none_or(|ticket| self.batches.get(&ticket).is_none_or(|b| b.sealing));
        let open = self.reading && !self.positions.all_done() && self.stopping.is_none();
        if paused || sealing || !open || self.plan.budget.is_spent() {
            if let Ok(message) = self.inbox.recv_timeout(wait) {
                self.heard(message)?;
            }
            return Ok(true);
        }
        self.resume_at = None;
        let messages = self.consumer.queue().read(CHUNK, wait);
        if messages.is_empty() {
            return Ok(false);
        }
        self.distribute(messages).map(|()| true)
    }

    fn distribute(&mut self, messages: Messages) -> Result<(), Problem> {
        let lanes = self.lanes.len();
        let most = match self.extent {
            Extent::Until(bounds) => bounds.max_messages,
            Extent::Forever { .. } => None,
        };
        let mut bytes = vec![0_u64; lanes];
        let mut failed = None;
        let (positions, read) = (&mut self.positions, &mut self.read_messages);
        let parts = messages.split(lanes, |message| {
            let slot = positions
                .slot(message.topic_key(), message.partition(), || message.topic().into())?;
            match message.entry() {
                QueueEntry::Record => {
                    if most.is_some_and(|most| *read >= most) {
                        return None;
                    }
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
        if let Some((partition, error)) = failed {
            self.problem.get_or_insert_with(|| unreadable(&partition, error));
        }
        if most.is_some_and(|most| *read >= most) {
            self.positions.stop_here();
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

    // ---- telling ----

    fn tell_progress(&mut self) {
        let asked = self.stop.progress_asked();
        if !asked && self.last_progress.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.last_progress = Instant::now();
        let progress = Progress {
            tables: self.tables_now(),
            elapsed: self.started.elapsed(),
            read: self.read_messages,
            skipped: self.books.skipped,
            in_flight_loads: self.loads.bodies_in_flight(),
            in_flight_bytes: self.plan.budget.used(),
            lag: self.lag(),
            since_last_load: self.last_load.map(|at| at.elapsed()),
            waiting_for: self.waiting_for.clone(),
            asked,
        };
        (self.report)(Event::Progress(progress));
    }

    /// Records between what is committed and the end, as librdkafka last heard of it.
    fn lag(&self) -> Option<u64> {
        if !self.reading {
            return None;
        }
        let behind = |(partition, next): (&Partition, Offset)| {
            let committed = self.books.ranges.get(partition).map_or(next, |range| range.1);
            let end = self.consumer.queue().cached_end(&partition.topic, partition.number)?;
            Some(end.saturating_sub(committed.0))
        };
        self.positions.all().map(behind).sum()
    }

    fn tables_now(&self) -> Vec<event::TableProgress> {
        let mut tables = self.books.tables.clone();
        if matches!(self.extent, Extent::Until(_)) {
            for (partition, next) in self.positions.all() {
                let table = route::table(&self.job.routes, &partition.topic);
                let entry = tables.entry(table.into()).or_default();
                entry.table = table.into();
                let range = self.books.ranges.get(partition);
                let (first, done) = range.map_or((next, next), |range| *range);
                let first = if range.is_some() {
                    first
                } else {
                    self.positions.batch_first(partition).unwrap_or(next)
                };
                let end = self.ends.get(partition).copied().unwrap_or(first);
                *entry.total.get_or_insert(0) += end.0.saturating_sub(first.0);
                if range.is_some() {
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

    fn summary(&mut self, complete: bool) -> Summary {
        let interrupted = self.stop.signal().is_some();
        let complete = complete && !interrupted;
        let asked_before = matches!(self.extent, Extent::Until(bounds) if bounds.start != Start::Stored)
            && !self.has_begun_anew;
        let at_end = self.positions.all_done() && !self.assigned.is_empty();
        let committed = self.books.committed();
        Summary {
            done_before: complete && asked_before && at_end && committed.is_empty(),
            tables: self.tables_now(),
            elapsed: self.started.elapsed(),
            read: self.books.read,
            loaded_records: self.books.loaded_records,
            skipped: self.books.skipped,
            already_loaded: self.books.already_loaded,
            committed,
            bound: None,
            complete,
            labels: std::mem::take(&mut self.books.labels),
            guarantee_name: guarantee(self.mode).0,
        }
    }
}

impl Batch {
    fn new(seq: Seq) -> Self {
        Batch {
            seq,
            began: Instant::now(),
            read_bytes: 0,
            records: 0,
            lanes_left: 0,
            sealing: false,
            handed_over: false,
            seal_first: false,
            begins_left: 0,
            parts_left: 0,
            ends: vec![],
            labels: BTreeMap::new(),
            entry: books::Entry::default(),
            kept: BTreeMap::new(),
            kept_bytes: 0,
        }
    }
}

// ---- before the first record ----

/// Why the machine gave up, in words.
pub(super) fn machine_failed(group: &str, failure: &delivery::Failure) -> Problem {
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

fn check_front_ends(
    job: &Job,
    client: &Client,
    report: &mut dyn FnMut(Event),
) -> Result<(), Problem> {
    let answers = catalog::health(client);
    let good = answers
        .iter()
        .any(|(_, health)| matches!(health, Health::Fe { backends } if *backends > 0));
    let problem = |(address, health): &(String, Health)| {
        catalog::unusable(client, address, &job.target.fe_origin, health)
    };
    let mut problems: Vec<Problem> = answers.iter().filter_map(problem).collect();
    if good {
        for problem in problems {
            (report)(Event::Warning {
                text: format!(
                    "{}{}",
                    problem.what,
                    problem.causes.first().map(|c| format!(": {c}")).unwrap_or_default()
                ),
                hint: None,
            });
        }
        return Ok(());
    }
    // A wrong address says more than one that is merely silent.
    problems.sort_by_key(|problem| problem.kind);
    problems.into_iter().next().map_or(Ok(()), Err)
}

/// Every table exists; returns those into which loading twice changes nothing.
fn check_tables(
    job: &Job,
    client: &Client,
    topics: &[(String, u32)],
) -> Result<BTreeSet<String>, Problem> {
    let mut idempotent = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (topic, _) in topics {
        let table = route::table(&job.routes, topic);
        if !seen.insert(table.to_string()) {
            continue;
        }
        let name = TableName { database: job.target.database.clone(), table: table.into() };
        let found = catalog::table(client, &name).map_err(|failure| {
            unreachable_node(&format!("cannot read the columns of `{name}`"), &failure)
        })?;
        match found {
            catalog::Table::Columns { primary_key: true, .. }
                if header(job, "merge_condition").is_none() =>
            {
                idempotent.insert(table.to_string());
            }
            catalog::Table::Columns { .. } | catalog::Table::Hidden(_) => {}
            catalog::Table::NoDatabase(text) => {
                return Err(Problem::usage(format!(
                    "database `{}` does not exist in StarRocks",
                    name.database
                ))
                .cause(text)
                .hint("set `starrocks.database.name` or `-D`"));
            }
            catalog::Table::NoTable(text) => {
                return Err(Problem::usage(format!(
                    "topic `{topic}` goes to table `{name}`, which does not exist"
                ))
                .cause(text)
                .hint(format!("create the table, or map the topic with `--map {topic}:NAME`")));
            }
            catalog::Table::Refused(text) => {
                return Err(Problem::usage(format!(
                    "StarRocks does not accept user `{}` at `{}` (HTTP 401)",
                    job.target.user, job.target.fe[0]
                ))
                .cause(text)
                .hint(format!(
                    "the password came from {}; `--password-file FILE` overrides it",
                    job.target.password_origin
                )));
            }
        }
    }
    Ok(idempotent)
}

/// What can be promised, and whether by transactions or by plain loads.
fn mode(job: &Job, client: &Client) -> Result<(Mode, bool), Problem> {
    let transactions = catalog::has_transactions(client, &job.target.database);
    let transactions = transactions
        .map_err(|failure| unreachable_node("cannot ask StarRocks for its interfaces", &failure))?;
    match (job.delivery, transactions) {
        (DeliveryChoice::AtLeastOnce, true) => Ok((Mode::AtLeastOnce, false)),
        (DeliveryChoice::ExactlyOnce | DeliveryChoice::Auto, true) => {
            Ok((Mode::ExactlyOnce, false))
        }
        (DeliveryChoice::AtLeastOnce | DeliveryChoice::Auto, false) => {
            Ok((Mode::AtLeastOnce, true))
        }
        (DeliveryChoice::ExactlyOnce, false) => Err(Problem::usage(
            "exactly once is not possible: this StarRocks has no transaction interface",
        )
        .cause("`/api/transaction` is not answered by the FE; StarRocks has it from 2.4 on")
        .hint("`--delivery auto` or `at-least-once` loads by plain Stream Load")),
    }
}

/// Recovery reads the group's offsets as stably as its records: `read_committed` is part of the
/// protocol, not only of the data path.
fn check_isolation(job: &Job, mode: Mode) -> Result<(), Problem> {
    let uncommitted = PropertyValue::Plain("read_uncommitted".into());
    let said = |(name, value): &(String, PropertyValue)| {
        name == "isolation.level" && *value == uncommitted
    };
    if mode != Mode::ExactlyOnce || !job.source.properties.iter().any(said) {
        return Ok(());
    }
    Err(Problem::usage("exactly once is not possible with `isolation.level=read_uncommitted`")
        .cause("records of transactions that are rolled back later would be loaded")
        .hint("leave the key out, or say `--delivery at-least-once`"))
}

fn guarantee(mode: Mode) -> (&'static str, &'static str) {
    match mode {
        Mode::ExactlyOnce => ("exactly-once", "each record is loaded exactly once"),
        Mode::AtLeastOnce => ("at-least-once", "no record is lost; a crash may load a batch twice"),
    }
}

fn answer(label: Label, op: delivery::Op) -> Input {
    Input::Answered { label, op, answer: Answer::Ok }
}

fn load_headers(job: &Job) -> Vec<(String, String)> {
    let mut headers = job.target.headers.clone();
    let compression = match job.target.compression {
        Compression::None => None,
        Compression::Lz4Frame => Some(("lz4_frame", "lz4")),
        Compression::Gzip => Some(("gzip", "gzip")),
        Compression::Zstd => Some(("zstd", "zstd")),
    };
    let mut set = |name: &str, value: &str| headers.push((name.into(), value.into()));
    match (&job.format.body, compression) {
        (Body::Json, compression) => {
            set("format", "json");
            set("strip_outer_array", "true");
            // The limit counts all parts of a transaction together.
            set("ignore_json_size", "true");
            if let Some((name, _)) = compression {
                set("compression", name);
            }
        }
        (Body::Csv { .. }, None) => set("format", "csv"),
        // CSV names its compression as a format, in every version.
        (Body::Csv { .. }, Some((_, format))) => set("format", format),
    }
    headers
}

fn header<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    job.target.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn framing(body: &Body) -> Framing {
    match body {
        Body::Json => Framing::JsonArray,
        Body::Csv { .. } => Framing::Lines,
    }
}

fn tables_of(job: &Job, topics: &[(String, u32)]) -> BTreeSet<String> {
    topics.iter().map(|(topic, _)| route::table(&job.routes, topic).to_string()).collect()
}

fn all_partitions(topics: &[(String, u32)]) -> Vec<Partition> {
    let of_topic = |(name, count): &(String, u32)| {
        let name: Arc<str> = name.as_str().into();
        (0..*count).map(move |number| Partition { topic: Arc::clone(&name), number })
    };
    topics.iter().flat_map(of_topic).collect()
}

pub(super) fn wanted(job: &Job, topics: &[(String, u32)]) -> Vec<Partition> {
    let chosen = &job.source.partitions;
    let mut all = all_partitions(topics);
    all.retain(|partition| chosen.is_empty() || chosen.contains(&partition.number));
    all
}

/// Half of `--memory` is for rows. A quarter is librdkafka's queue; the rest covers the response being
/// read, bodies kept for another round, and what the allocator holds back.
fn rows_budget(memory_bytes: u64) -> u64 {
    memory_bytes / 2
}

/// Changes whenever a record might go to other tables than before.
fn fingerprint(job: &Job) -> u64 {
    let mut map = job.routes.map.clone();
    map.sort();
    hash(&format!("{map:?}"))
}

/// What a bounded load with an explicit start was asked for.
pub(super) fn request_hash(job: &Job, extent: &Extent) -> u64 {
    let mut map = job.routes.map.clone();
    map.sort();
    let (topics, partitions) = (&job.source.topics, &job.source.partitions);
    hash(&format!("{extent:?} {topics:?} {partitions:?} {} {map:?}", job.target.database))
}

/// FNV-1a: stable across versions and machines.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn lane_died() -> Problem {
    Problem::new(
        Kind::Defect,
        "a conversion lane ended unexpectedly; nothing of its batch was loaded",
    )
    .hint("this is a defect of starsink; please report it with the message above")
}

fn unreadable(partition: &str, error: ErrorCode) -> Problem {
    if error == ErrorCode::AutoOffsetReset {
        return Problem::usage(format!("`{partition}` no longer holds the offset to read from"))
            .cause("retention deleted it, or the topic was created again")
            .hint("to go on with what is left, move the group with `kafka-consumer-groups.sh --reset-offsets --to-earliest`");
    }
    Problem::unavailable(format!("cannot read `{partition}`")).cause(error.to_string())
}

fn random_run() -> RunId {
    let mut bytes = [0; 8];
    openssl::rand::rand_bytes(&mut bytes).expect("the system has randomness");
    RunId(u64::from_le_bytes(bytes))
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
