//! Checks side by side: each group on a thread of its own with a limit of its own, so that one that
//! hangs is cut off and hides no other. Owns those threads; one that is cut off ends with the process.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Kind;
use crate::verdict::{Area, Line, Verdict};

/// Lines of one group that wait until it is heard out: more than any says of a few hundred tables.
const MOST_WAITING: usize = 4096;

/// Where a group says its lines.
pub(super) struct Lines<T>(SyncSender<Said<T>>);

enum Said<T> {
    Line(Box<Line>),
    Done(T),
}

/// A group on its way.
pub(super) struct Running<T> {
    said: Receiver<Said<T>>,
    area: Area,
    subject: &'static str,
    limit: Duration,
    deadline: Instant,
}

impl<T> Lines<T> {
    pub(super) fn tell(&self, line: Line) {
        // Nobody listens any more to who was cut off.
        let _ = self.0.send(Said::Line(Box::new(line)));
    }
}

/// Starts a group; `area` and `subject` name it if it has to be cut off.
pub(super) fn start<T: Send + 'static>(
    area: Area,
    subject: &'static str,
    limit: Duration,
    checks: impl FnOnce(&Lines<T>) -> T + Send + 'static,
) -> Running<T> {
    let (sender, said) = mpsc::sync_channel(MOST_WAITING);
    thread::spawn(move || {
        let lines = Lines(sender);
        let result = checks(&lines);
        let _ = lines.0.send(Said::Done(result));
    });
    Running { said, area, subject, limit, deadline: Instant::now() + limit }
}

impl<T> Running<T> {
    /// Hears a group out; `None` where it had to be cut off.
    pub(super) fn finish(self, tell: &mut dyn FnMut(Line)) -> Option<T> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(Said::Line(line)) => tell(*line),
                Ok(Said::Done(result)) => return Some(result),
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("no end after {} s: cut off", self.limit.as_secs());
                    tell(Line::away(self.area, self.subject, text).hint(
                        "something between here and there holds packets back: a firewall, a proxy",
                    ));
                    return None;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let verdict = Verdict::Fail(Kind::Defect);
                    tell(Line::new(self.area, self.subject, verdict, "the check itself failed"));
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_hangs_is_cut_off_and_keeps_what_it_said() {
        let (_hold, held) = mpsc::channel::<()>();
        let running = start(Area::Kafka, "Kafka", Duration::from_millis(50), move |lines| {
            lines.tell(Line::ok(Area::Kafka, "a", "b"));
            let _ = held.recv();
        });
        let mut heard = vec![];
        assert!(running.finish(&mut |line| heard.push(line.verdict)).is_none());
        assert_eq!(heard, [Verdict::Ok, Verdict::Fail(Kind::Unavailable)]);
    }

    #[test]
    fn a_group_that_ends_gives_its_result() {
        let running = start(Area::Kafka, "Kafka", Duration::from_secs(9), |_: &Lines<u32>| 7);
        assert_eq!(running.finish(&mut |_| {}), Some(7));
    }
}
