//! Where topics end, asked of Kafka now and then on a thread of its own: what librdkafka remembers of it
//! stands still while nothing is fetched, which is just when a person looks at the lag.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::kafka::consumer::Consumer;
use crate::record::{Offset, Partition};

/// Asked this often.
const EVERY: Duration = Duration::from_secs(5);

/// Ends as last heard.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    wanted: Vec<Partition>,
    known: HashMap<Partition, Offset>,
}

impl Ends {
    /// From now on these partitions are watched.
    pub(super) fn watch(&self, partitions: &[Partition]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.wanted = partitions.to_vec();
        state.known.clear();
    }

    pub(super) fn of(&self, partition: &Partition) -> Option<Offset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).known.get(partition).copied()
    }

    /// Asks until the other end of `stop` is dropped.
    pub(super) fn ask(&self, consumer: &Consumer, stop: &Receiver<()>) {
        while stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let wanted = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                state.wanted.clone()
            };
            if wanted.is_empty() {
                continue;
            }
            // A broker that is away makes itself heard elsewhere.
            let Ok(found) = consumer.ends_now(&wanted) else { continue };
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.wanted == wanted {
                state.known.extend(found);
            }
        }
    }
}
