//! A backend's memory of a transaction between begin and prepare. It is lost when the backend
//! restarts, and the frontend does not tell it what it did to the transaction.

use std::sync::Arc;

use crate::cluster::State;
use crate::load_spec::Signature;
use crate::plan::{Plan, Rows};
use crate::table::{Keep, Schema};

/// One open transaction on one backend, found by its label alone; of a transaction over several
/// tables each table has one.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) db: String,
    pub(crate) table: String,
    pub(crate) txn_id: i64,
    pub(crate) schema: Arc<Schema>,
    pub(crate) keep: Keep,
    /// Headers and plan of the first load; the others must agree.
    pub(crate) first: Option<(Signature, Arc<Plan>)>,
    pub(crate) rows: Rows,
    /// Sum of the loads' declared lengths, which the JSON limit counts.
    pub(crate) declared_bytes: u64,
    pub(crate) received_bytes: u64,
    /// A data error of an earlier load, which surfaces later.
    pub(crate) failed: Option<String>,
    /// A request is working on it.
    pub(crate) busy: bool,
    pub(crate) begun_ms: u64,
    pub(crate) used_ms: u64,
    pub(crate) timeout_s: u64,
    pub(crate) idle_timeout_s: Option<u64>,
}

impl State {
    /// Takes what all backends hold of a transaction.
    pub(crate) fn take_contexts(&mut self, txn_id: i64) -> Vec<Context> {
        let backends = self.backends.iter_mut();
        let taken = backends.flat_map(|b| b.contexts.extract_if(|_, c| c.txn_id == txn_id));
        taken.map(|(_, context)| context).collect()
    }

    /// Backends give up contexts that are too old or too long unused.
    pub(crate) fn expire_contexts(&mut self, now_ms: u64) {
        let mut ended = Vec::new();
        for backend in &mut self.backends {
            backend.contexts.retain(|_, c| {
                let idle = c.idle_timeout_s.filter(|s| c.used_ms + s * 1000 <= now_ms);
                // The frontend's timeout leaves the context behind; the backend's own one follows
                // it half a minute later, when its cleaner comes round.
                let old = c.begun_ms + c.timeout_s * 1000 + 30_000 <= now_ms;
                let reason = match idle {
                    Some(s) => format!("transaction is aborted by idle timeout {s} seconds."),
                    None if old => {
                        format!("transaction is aborted by timeout {} seconds.", c.timeout_s)
                    }
                    None => return true,
                };
                if c.busy {
                    return true;
                }
                ended.push((c.txn_id, reason));
                false
            });
        }
        for (txn, reason) in ended {
            self.abort(txn, &reason, now_ms);
        }
    }
}
