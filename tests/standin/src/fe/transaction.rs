//! The frontend's half of the transaction interface: which backend a label's requests are sent
//! to, and commit and rollback once a transaction is past PREPARE (STREAM_LOAD 5.1, 5.2).

use super::Ask;
use super::reply::{txn_failure, txn_ok};
use crate::cluster::State;
use crate::service::Handled;
use crate::txn::{Txn, TxnState};

const DDL: &str = "com.starrocks.common.DdlException";

impl Ask<'_> {
    pub(super) fn transaction(&self, op: &str) -> Handled {
        let mut guard = self.cluster.lock();
        if let Err(handled) = self.at_leader(&guard) {
            return handled;
        }
        if self.is_deposed(&guard) {
            drop(guard);
            return self.no_answer();
        }
        match self.dispatch(&mut guard, op) {
            Ok(handled) | Err(handled) => handled,
        }
    }

    pub(super) fn failed(&self, text: &str) -> Handled {
        txn_failure(self.version().user_exception(), text)
    }

    fn header(&self, name: &str) -> &str {
        self.request.headers.get(name).unwrap_or_default()
    }

    fn dispatch(&self, state: &mut State, op: &str) -> Result<Handled, Handled> {
        if self.request.method == "PUT" && op != "load" {
            return Err(txn_failure(DDL, "Invalid request"));
        }
        if !matches!(op, "begin" | "load" | "prepare" | "commit" | "rollback") {
            return Err(self.failed(&format!("Unknown transaction operation: {op}")));
        }
        for name in ["timeout", "prepared_timeout"] {
            if let Some(text) = self.request.headers.filled(name)
                && text.trim().parse::<i64>().is_err()
            {
                let text = format!("For input string: \"{text}\"");
                return Err(txn_failure("java.lang.NumberFormatException", &text));
            }
        }
        if ["channel_id", "channel_num"].iter().any(|n| !self.header(n).is_empty()) {
            return Err(self.failed("stand-in: channel transactions are not imitated"));
        }
        let (db, label) = (self.header("db"), self.header("label"));
        if db.is_empty() {
            return Err(self.failed("No database selected."));
        }
        if label.is_empty() {
            return Err(self.failed(self.version().empty_label_text()));
        }
        if state.db_id(db).is_none() {
            let multi = self.is_multi();
            let stop = if multi { "" } else { "." };
            return Err(self.failed(&format!("Database[{db}] does not exist{stop}")));
        }
        if self.is_multi() {
            return self.multi(state, op, db, label);
        }
        match op {
            "begin" => self.begin(state, label),
            "load" => self.load(state, db, label),
            "prepare" => self.prepare(state, db, label),
            "commit" => self.commit(state, db, label),
            _ => self.rollback(state, db, label),
        }
    }

    fn is_multi(&self) -> bool {
        self.version().has_multi_table()
            && self.header("transaction_type").eq_ignore_ascii_case("multi")
    }

    /// Every begin picks a backend anew and moves the label there, whatever the backend answers.
    fn begin(&self, state: &mut State, label: &str) -> Result<Handled, Handled> {
        let pinned = state
            .begin_stays
            .then(|| state.label_map.get(label, self.now_ms(), &state.limits))
            .flatten()
            .filter(|be| state.backends[*be].alive);
        let be = pinned
            .or_else(|| state.pick_backend())
            .ok_or_else(|| txn_failure(DDL, "No backend alive."))?;
        state.label_map.put(label, be, self.now_ms(), &state.limits);
        Ok(self.redirect(&state.backends[be].authority()))
    }

    /// The backend of a label: by the map, else by the transaction, which forgets it at restart.
    fn backend_of(&self, state: &mut State, db: &str, label: &str) -> Option<Option<usize>> {
        let now_ms = self.now_ms();
        if let Some(be) = state.label_map.get(label, now_ms, &state.limits) {
            return Some(Some(be));
        }
        state.txn_of(db, label).filter(|txn| !txn.multi).map(|txn| txn.be)
    }

    fn to_backend(&self, state: &State, be: Option<usize>) -> Result<Handled, Handled> {
        match be {
            Some(be) => Ok(self.redirect(&state.backends[be].authority())),
            None => Err(self.failed(
                "Can't find node id -1. You can check the cluster to see whether the node exists ",
            )),
        }
    }

    fn load(&self, state: &mut State, db: &str, label: &str) -> Result<Handled, Handled> {
        match self.backend_of(state, db, label) {
            Some(be) => self.to_backend(state, be),
            None => Err(self.failed(&format!(
                "Can't find the transaction with db [{db}] and label[{label}]. The possible \
                 reasons: 1. FE leader is started or switched; 2. The transaction timeouts and is \
                 cleaned."
            ))),
        }
    }

    fn no_transaction(&self, db: &str, label: &str) -> Handled {
        self.failed(&format!("No transaction found with db[{db}] and label[{label}]"))
    }

    fn prepare(&self, state: &mut State, db: &str, label: &str) -> Result<Handled, Handled> {
        match self.backend_of(state, db, label) {
            Some(be) => self.to_backend(state, be),
            None => Err(self.no_transaction(db, label)),
        }
    }

    /// The transaction a commit or rollback is about; one in PREPARE is the backend's business.
    fn past_prepare<'s>(
        &self,
        state: &'s mut State,
        db: &str,
        label: &str,
    ) -> Result<&'s Txn, Handled> {
        let now_ms = self.now_ms();
        let mapped = state.label_map.get(label, now_ms, &state.limits);
        let txn_be = match state.txn_of(db, label) {
            // A multi-table label is no transaction of this interface.
            Some(txn) if txn.multi => return Err(self.no_transaction(db, label)),
            Some(txn) if txn.state == TxnState::Prepare => txn.be,
            Some(_) => {
                let txn = state.txn_of(db, label);
                return txn.ok_or_else(|| self.no_transaction(db, label));
            }
            None if mapped.is_some() || !self.version().names_db_of_lost_label() => {
                return Err(self.failed(&format!("No transaction found by label {label}")));
            }
            None => return Err(self.no_transaction(db, label)),
        };
        match self.to_backend(state, mapped.or(txn_be)) {
            Ok(handled) | Err(handled) => Err(handled),
        }
    }

    fn commit(&self, state: &mut State, db: &str, label: &str) -> Result<Handled, Handled> {
        let txn = self.past_prepare(state, db, label)?;
        let (id, txn_state, orphaned) = (txn.id, txn.state, txn.orphaned);
        match txn_state {
            TxnState::Committed | TxnState::Visible => {
                let text = format!("Transaction {id} has already committed, label is {label}");
                Ok(txn_ok(label, id, &text))
            }
            TxnState::Aborted => Err(self
                .failed(&format!("Can not commit ABORTED transaction {id}, label is {label}"))
                .txn(id)),
            TxnState::Prepare | TxnState::Prepared if orphaned => {
                let text = format!("stream load task {label} does not exist, callback lost");
                Err(self.failed(&text).txn(id))
            }
            TxnState::Prepare | TxnState::Prepared => self.commit_prepared(state, label, id),
        }
    }

    fn commit_prepared(&self, state: &mut State, label: &str, id: i64) -> Result<Handled, Handled> {
        if let Some(text) = self.hits.failure() {
            return Err(self.failed(text).txn(id));
        }
        let wait_ms = self
            .request
            .headers
            .filled("timeout")
            .and_then(|t| t.trim().parse::<u64>().ok())
            .map_or(20_000, |s| s * 1000);
        let publish_ms = self.hits.publish_ms().filter(|ms| *ms > wait_ms);
        state.commit(id, publish_ms, self.now_ms());
        if let Some(text) = self.hits.failure_after_commit() {
            return Err(self.failed(text).txn(id));
        }
        if publish_ms.is_some() {
            let named = self.version().publish_timeout_names_txn();
            let suffix = if named { format!(", transactionId={id}") } else { String::new() };
            return Err(self.failed(&format!("publish timeout: {wait_ms}{suffix}")).txn(id));
        }
        Ok(txn_ok(label, id, ""))
    }

    fn rollback(&self, state: &mut State, db: &str, label: &str) -> Result<Handled, Handled> {
        let txn = self.past_prepare(state, db, label)?;
        let (id, txn_state) = (txn.id, txn.state);
        match txn_state {
            TxnState::Aborted => {
                let text = format!("Transaction {id} has already aborted, label is {label}");
                Ok(txn_ok(label, id, &text))
            }
            TxnState::Committed | TxnState::Visible => Err(self
                .failed(&format!(
                    "Can not abort {} transaction {id}, label is {label}",
                    txn_state.name()
                ))
                .txn(id)),
            TxnState::Prepare | TxnState::Prepared => {
                state.abort(id, "User Aborted", self.now_ms());
                Ok(txn_ok(label, id, ""))
            }
        }
    }
}
