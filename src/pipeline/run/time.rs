//! What is due: wake-ups, topics to look up, signals to obey.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::config::job::Extent;
use crate::delivery::Input;
use crate::error::Problem;
use crate::event::Event;
use crate::pipeline::run::group::BROKER_PATIENCE;
use crate::pipeline::run::{Run, Stopping, now_ms};

/// Topics and partitions are looked up again this often.
const TOPICS_EVERY: Duration = Duration::from_secs(30);
/// A bounded run drains this long on a signal.
const LOAD_DRAIN: Duration = Duration::from_secs(10);

/// Brokers of which nothing is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Away {
    since: Instant,
    /// When to ask again.
    due: Instant,
    is_told: bool,
}

const ASK_BROKERS_EVERY: Duration = Duration::from_secs(5);
/// A question to brokers keeps the reader so long, which has nothing else to do.
const BROKERS_ANSWER: Duration = Duration::from_secs(1);

impl Away {
    pub(super) fn begin() -> Away {
        let now = Instant::now();
        Away { since: now, due: now + ASK_BROKERS_EVERY, is_told: false }
    }
}

impl Run<'_> {
    /// Looks whether brokers are back. A run that may retry only so often ends when they stay away: the
    /// group would be waited for without end.
    fn ask_brokers(&mut self) {
        let Some(away) = self.away.filter(|away| away.due <= Instant::now()) else { return };
        let topic = self.topics.first().map(|(name, _)| name.as_str());
        let Err(problem) = self.consumer.reach(topic, BROKERS_ANSWER) else {
            self.away = None;
            return;
        };
        if self.stopping.is_some() || self.problem.is_some() {
            return;
        }
        let lasted = away.since.elapsed();
        if self.retry_patience().is_some_and(|patience| lasted >= patience.max(BROKER_PATIENCE)) {
            let hint = format!(
                "given up after {} s without an answer; nothing is lost, run the same command again later",
                lasted.as_secs()
            );
            self.give_up(problem.hint(hint));
            return;
        }
        if !away.is_told {
            let cause =
                problem.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
            let text = format!("{}{cause}; waiting for a broker", problem.what);
            (self.report)(Event::Warning { text, hint: None });
        }
        self.away = Some(Away { due: Instant::now() + ASK_BROKERS_EVERY, is_told: true, ..away });
    }

    /// Ends the run with what has no answer: no time to drain.
    pub(super) fn give_up(&mut self, problem: Problem) {
        self.problem = Some(problem);
        let deadline = Instant::now();
        self.stopping = Some(Stopping { deadline, told: false, expired: false });
        self.positions.stop_here();
    }

    pub(super) fn keep_time(&mut self) -> Result<(), Problem> {
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
        self.find_positions()?;
        self.ask_brokers();
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

    pub(super) fn drain_time(&self) -> Duration {
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
        let is_loading = self.problem.is_none() && (sealing || unsealed);
        let wait = !expired && (is_loading || self.gives_way);
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
}
