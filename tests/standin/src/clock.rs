//! The time all timeouts are measured by: the machine's, plus what a test has added to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that can be moved forward; milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    added_ms: AtomicU64,
}

impl Clock {
    pub(crate) fn now_ms(&self) -> u64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let real_ms = u64::try_from(real.as_millis()).unwrap_or(u64::MAX);
        real_ms + self.added_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.added_ms.fetch_add(ms, Ordering::SeqCst);
    }
}
