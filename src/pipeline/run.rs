//! The reader: polls the group, hands records to the lanes, carries out what the delivery machine
//! asks for, and ends the run. Everything that talks to Kafka happens on this thread.

mod prepare;
mod group;
mod aside;
mod carry;
mod dry;
mod hear;
mod time;
mod read;
mod tell;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::batch::Part;
use crate::config::job::{Extent, Job};
use crate::delivery::{Label, Machine, Mode, Seq, Taken};
use crate::error::{Kind, Problem};
use crate::event::{Event, Summary};
use crate::kafka::consumer::Consumer;
use crate::pipeline::books::{self, Books};
use crate::pipeline::directory::Directory;
use crate::pipeline::ends::Ends;
use crate::pipeline::lane::{self, Plan, Ticket};
use crate::pipeline::loads::Loads;
use crate::pipeline::positions::Positions;
use crate::pipeline::refuse::Refused;
use crate::pipeline::{Inbox, Outbox, Stop};
use crate::record::{Offset, OffsetRange, Partition};
use crate::registry::Registry;
use aside::{Aside, Keeper};
use carry::Unsettled;
use prepare::prepare;
use read::Astray;

pub(super) use carry::machine_failed;
pub use prepare::promise;
pub(super) use prepare::{request_hash, wanted};

/// Chunks that wait for a lane; their bytes are in the budget.
const LANE_QUEUE: usize = 8;
/// A record may nest a thousand values in one another, and a debug build takes some KiB for each.
const LANE_STACK: usize = 32 << 20;
/// Waits between failed attempts at a batch: doubling from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Joining a group takes no longer, unless a dead member holds a place.
const JOIN_PATIENCE: Duration = Duration::from_secs(4);

/// What the command line asks beside the job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders {
    /// Finish or undo what an earlier run left pending, then stop.
    pub settle: bool,
    /// Load a bounded run again from its start.
    pub restart: bool,
    /// Read, convert and count; change nothing.
    pub dry_run: bool,
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
    /// The request bounds the number of records, and earlier runs of it count.
    counts_records: bool,
    plan: Arc<Plan>,
    directory: Arc<Directory>,
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
    /// Where this run first stood on each partition.
    origins: BTreeMap<Partition, Offset>,
    /// Where the topics of an endless run end.
    watched: &'a Ends,
    registries: &'a [Arc<Registry>],
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
    /// A record that ends the run, once what stands before it is loaded.
    ending: Option<Problem>,
    /// Where partitions stood that an earlier run had left with a batch to settle.
    found_pending: BTreeMap<Partition, Offset>,
    settled: Vec<OffsetRange>,
    /// The last failure of an attempt; becomes the problem when patience ends.
    last_failure: Option<Problem>,
    /// Refused rows end the run, once the intent of their plain load has given way.
    gives_way: bool,
    /// What keeps intents from being settled.
    unsettled: Unsettled,
    stopping: Option<Stopping>,
    finished: bool,
    read_messages: u64,
    /// Records that are not loaded.
    aside: Aside,
    /// Partitions that had an offset in the group before this process joined it; `None`: not known yet.
    held_before: Option<BTreeSet<Partition>>,
    /// Those that had one when step 1 last asked.
    held: BTreeSet<Partition>,
    /// The group held no position for some partition: this run began something.
    has_begun_anew: bool,
    started: Instant,
    last_load: Option<Instant>,
    last_progress: Instant,
    /// When the books were last told in mid-run.
    last_books: Option<Instant>,
    last_topics: Instant,
    released_by: Option<Instant>,
    /// A position is being looked for again.
    astray: Option<Astray>,
    waiting_for: Option<String>,
    /// librdkafka complained, and no broker has answered since.
    away: Option<time::Away>,
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
    ends: Vec<Taken>,
    /// A piece of a batch that was refused.
    is_piece: bool,
    /// Records that go no further.
    refused: Vec<Arc<Refused>>,
    labels: BTreeMap<String, Label>,
    entry: books::Entry,
    /// Its rows are kept and sent whole, label by label.
    is_plain: bool,
    /// A pending plain load read once more: sealed when its ranges are read, and not before.
    is_replay: bool,
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
    if orders.dry_run {
        let ended = dry::run(job, extent, prepared, &consumer, stop, report);
        leave(consumer);
        return ended;
    }
    let (outbox, inbox) = Outbox::pair(consumer.waker());
    let plan = Arc::clone(&prepared.plan);
    let directory = Arc::clone(&prepared.target.directory);
    let loads = Loads::start(prepared.target, Arc::clone(&plan), job.loads, &outbox);
    let watched = Ends::default();
    let (summary, problem) = thread::scope(|scope| {
        let (mut lanes, mut threads) = (vec![], vec![]);
        for maker in prepared.makers {
            let (sender, jobs) = mpsc::sync_channel(LANE_QUEUE);
            let (plan, outbox) = (Arc::clone(&plan), outbox.clone());
            let lane = thread::Builder::new().stack_size(LANE_STACK);
            let run = move || lane::run(&plan, maker, &jobs, &outbox);
            threads.push(lane.spawn_scoped(scope, run).expect("a thread can be made"));
            lanes.push(sender);
        }
        let (stop_watching, stopped) = mpsc::channel();
        if matches!(extent, Extent::Forever { .. }) {
            let (watched, consumer) = (&watched, &consumer);
            scope.spawn(move || watched.ask(consumer, &stopped));
        }
        let keeper = match prepared.dead_letters {
            None => Keeper::Nobody,
            Some(writer) if writer.is_transactional() => Keeper::WithOffsets(Box::new(writer)),
            Some(writer) => {
                let (sender, errands) = mpsc::sync_channel(1);
                let outbox = outbox.clone();
                threads.push(scope.spawn(move || aside::serve(writer, &errands, &outbox)));
                Keeper::Thread(sender)
            }
        };
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
            counts_records: prepared.counts_records,
            plan: Arc::clone(&plan),
            directory: Arc::clone(&directory),
            loads: &loads,
            lanes: &lanes,
            inbox,
            group: prepared.group,
            first_partitions: all_partitions(&prepared.topics).into_iter().collect(),
            topics: prepared.topics,
            ends: prepared.ends,
            assigned: vec![],
            assigned_in_kafka: false,
            origins: BTreeMap::new(),
            watched: &watched,
            registries: &prepared.registries,
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
            ending: None,
            found_pending: BTreeMap::new(),
            settled: vec![],
            last_failure: None,
            gives_way: false,
            unsettled: Unsettled::default(),
            stopping: None,
            finished: false,
            read_messages: 0,
            aside: Aside::new(keeper),
            held_before: prepared.held,
            held: BTreeSet::new(),
            has_begun_anew: false,
            started: now,
            last_load: None,
            last_progress: now,
            last_books: None,
            last_topics: now,
            released_by: None,
            astray: None,
            waiting_for: None,
            away: None,
            patience: Some(now + JOIN_PATIENCE),
        };
        let ended = run.until_finished();
        let problem = run.problem.take().or(ended.err()).or(run.ending.take());
        let complete = problem.is_none() && !run.others_go_on();
        let summary = run.summary(complete);
        drop(run);
        drop(stop_watching);
        drop(lanes);
        prepared.registries.iter().for_each(|registry| registry.close());
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
}

impl Batch {
    fn replay(seq: Seq) -> Self {
        Batch { is_replay: true, ..Batch::new(seq, true) }
    }

    /// What it covers, once it is sealed.
    fn ranges(&self) -> Vec<OffsetRange> {
        self.ends.iter().map(|taken| taken.range.clone()).collect()
    }

    fn new(seq: Seq, is_plain: bool) -> Self {
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
            is_piece: false,
            refused: vec![],
            labels: BTreeMap::new(),
            entry: books::Entry::default(),
            is_plain,
            is_replay: false,
            kept: BTreeMap::new(),
            kept_bytes: 0,
        }
    }
}

fn all_partitions(topics: &[(String, u32)]) -> Vec<Partition> {
    let of_topic = |(name, count): &(String, u32)| {
        let name: Arc<str> = name.as_str().into();
        (0..*count).map(move |number| Partition { topic: Arc::clone(&name), number })
    };
    topics.iter().flat_map(of_topic).collect()
}

fn lane_died() -> Problem {
    Problem::new(
        Kind::Defect,
        "a conversion lane ended unexpectedly; nothing of its batch was loaded",
    )
    .hint("this is a defect of starsink; please report it with the message above")
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
