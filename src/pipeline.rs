//! A run: threads, channels and their order of stopping. The only module that spawns, and the only
//! one where Kafka and StarRocks meet.
//!
//! ```text
//!  reader (this thread)        lanes                      loads
//!  poll, read, commit ──Job──► convert ──Said::Part──► begin, part, prepare, commit
//!        ▲                                                        │
//!        └──────────────── inbox: Said, Done ◄────────────────────┘
//! ```
//!
//! The reader owns the consumer and the delivery machine; it never waits for a lane's or a load's
//! result. Lanes never wait at all. Memory is bounded in bytes by one [`budget::Budget`]: when it is
//! spent the reader stops taking messages from librdkafka, whose own queue then fills up and stops
//! fetching, while the group is still served.

pub mod books;
pub mod budget;
pub mod directory;
mod ends;
pub mod isolate;
pub mod lane;
pub mod loads;
pub mod look;
pub mod named;
pub mod positions;
pub mod reasons;
pub mod refuse;
pub mod replay;
mod run;

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use crate::config::job::{Extent, Job, Start};
use crate::error::Problem;
use crate::event::{Event, Summary};
use crate::kafka::consumer::Consumer;
use crate::kafka::queue::Waker;

pub use run::{OnUnknownOrder, Orders, promise};

/// What a signal asks of a run.
#[derive(Debug, Default)]
pub struct Stop {
    signal: AtomicI32,
    report: AtomicBool,
}

/// Messages to the reader.
#[derive(Debug)]
enum Inbox {
    Lane(lane::Said),
    Load(Box<loads::Done>),
    /// What became of a batch's dead letters.
    DeadLetters {
        ticket: lane::Ticket,
        outcome: Result<(), Problem>,
    },
}

/// Sends to the reader and wakes it.
#[derive(Clone)]
pub struct Outbox {
    sender: Sender<Inbox>,
    waker: Waker,
}

/// Runs a job to its end. The summary comes back whatever happened; so does the first problem.
pub fn run(
    job: &Job,
    extent: &Extent,
    orders: Orders,
    stop: &Stop,
    report: &mut dyn FnMut(Event),
) -> (Summary, Result<(), Problem>) {
    let consumer = Consumer::new(&job.source, job.memory_bytes);
    let consumer = consumer.and_then(|consumer| match replay::records(job, report)? {
        None => Ok(consumer),
        Some(given) => Ok(consumer.with_records(given)),
    });
    match consumer {
        Ok(consumer) => run::run(job, extent, orders, consumer, stop, report),
        Err(problem) => (Summary::default(), Err(problem)),
    }
}

/// A bounded load with an explicit start gets a group of its own, named by what was asked, so that
/// the same command finds its own progress and disturbs no other run.
pub fn name_group(job: &mut Job, extent: &Extent) {
    if let Extent::Until(bounds) = extent
        && bounds.start != Start::Stored
        && !job.source.group_is_explicit
    {
        let asked = run::request_hash(job, extent);
        job.source.group = format!("{}-load-{asked:016x}", job.source.group);
    }
}

impl Stop {
    /// Asks the run to end in good order; the first signal counts.
    pub fn request(&self, signal: i32) {
        let _ = self.signal.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The signal that asked, if any.
    pub fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }

    /// Asks for a progress line now.
    pub fn ask_progress(&self) {
        self.report.store(true, Ordering::Relaxed);
    }

    fn progress_asked(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }
}

impl Outbox {
    fn pair(waker: Waker) -> (Self, Receiver<Inbox>) {
        let (sender, receiver) = mpsc::channel();
        (Outbox { sender, waker }, receiver)
    }

    fn lane(&self, said: lane::Said) {
        self.send(Inbox::Lane(said));
    }

    fn load(&self, done: loads::Done) {
        self.send(Inbox::Load(Box::new(done)));
    }

    fn send(&self, message: Inbox) {
        // The reader is gone only after a forced stop, when nobody needs the news.
        let _ = self.sender.send(message);
        self.waker.wake();
    }
}
