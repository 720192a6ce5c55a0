//! The one byte budget: what was read and is not yet in StarRocks' hands.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in use against a limit. Charged before memory is filled, given back when it is free.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Budget { used: AtomicU64::new(0), limit }
    }

    pub fn charge(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "released {bytes} of {before}");
    }

    pub fn is_spent(&self) -> bool {
        self.used() >= self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
