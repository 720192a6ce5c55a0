//! Transactions and their labels as the leading frontend keeps them: the states, what may follow
//! what, timeouts, and how finished labels are forgotten (STREAM_LOAD 3.3, 4, 5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cluster::{Limits, LoadRow, State};
use crate::table::Staged;

/// States of a transaction; a label without one is UNKNOWN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnState {
    Prepare,
    Prepared,
    Committed,
    Visible,
    Aborted,
}

impl TxnState {
    /// The name `get_load_state` answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "PREPARE",
            Self::Prepared => "PREPARED",
            Self::Committed => "COMMITTED",
            Self::Visible => "VISIBLE",
            Self::Aborted => "ABORTED",
        }
    }

    /// Written to the journal: survives a frontend's restart.
    fn is_durable(self) -> bool {
        self != Self::Prepare
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Prepare | Self::Prepared)
    }

    /// Only these are ever forgotten.
    fn is_final(self) -> bool {
        matches!(self, Self::Visible | Self::Aborted)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Txn {
    pub(crate) id: i64,
    pub(crate) db_id: u64,
    pub(crate) label: String,
    /// The backend that began it; a frontend forgets it at its restart.
    pub(crate) be: Option<usize>,
    pub(crate) state: TxnState,
    /// Why it was aborted.
    pub(crate) reason: String,
    timeout_ms: u64,
    prepared_timeout_ms: Option<u64>,
    begun_ms: u64,
    prepared_ms: u64,
    finished_ms: u64,
    visible_at_ms: u64,
    staged: Vec<Staged>,
    /// Of a multi-table transaction, which `get_load_state` does not show while it is open.
    pub(crate) multi: bool,
    /// PREPARED before a restart of a release whose restart lost the commit callback.
    pub(crate) orphaned: bool,
}

impl Txn {
    /// VISIBLE or ABORTED.
    pub(crate) fn is_final(&self) -> bool {
        self.state.is_final()
    }

    /// When it ended, if it has.
    pub(crate) fn finished_ms(&self) -> Option<u64> {
        self.is_final().then_some(self.finished_ms)
    }
}

/// A rollback that a backend sends long after its prepare.
#[derive(Debug, Clone)]
struct LateRollback {
    at_ms: u64,
    txn: i64,
    reason: String,
}

/// All transactions, newest last, with their labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Txns {
    by_id: BTreeMap<i64, Txn>,
    by_label: HashMap<(u64, String), Vec<i64>>,
    /// Those that time can still change: neither VISIBLE nor ABORTED.
    unfinished: BTreeSet<i64>,
    late: Vec<LateRollback>,
    /// Labels that brought rows, by the index rows carry; outlives the transactions.
    provenance: Vec<String>,
    last_id: i64,
}

/// Why a transaction was not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    LabelUsed { state: TxnState },
    Text(String),
}

/// What a begin asks for.
pub(crate) struct Begin<'a> {
    pub(crate) db: &'a str,
    pub(crate) table: &'a str,
    pub(crate) label: &'a str,
    pub(crate) be: Option<usize>,
    pub(crate) timeout_s: Option<u64>,
    pub(crate) multi: bool,
}

/// Answer to a commit: whether the rows were visible when it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    Visible,
    PublishTimeout,
}

/// What the frontend answers when it is asked about a transaction it has lost.
pub(crate) const LOST: &str = "Cannot invoke \"com.starrocks.transaction.TransactionState.\
getTableIdList()\" because \"transactionState\" is null";

impl Txns {
    pub(crate) fn get(&self, id: i64) -> Option<&Txn> {
        self.by_id.get(&id)
    }

    /// The newest transaction of a label.
    pub(crate) fn newest(&self, db_id: u64, label: &str) -> Option<&Txn> {
        let ids = self.by_label.get(&(db_id, label.to_owned()))?;
        ids.iter().max().and_then(|id| self.by_id.get(id))
    }

    pub(crate) fn label_of(&self, provenance: u32) -> &str {
        self.provenance.get(provenance as usize).map_or("", String::as_str)
    }

    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Txn> {
        self.unfinished.iter().filter_map(|id| self.by_id.get(id))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Txn> {
        self.by_id.values()
    }

    fn insert(&mut self, txn: Txn) {
        self.by_label.entry((txn.db_id, txn.label.clone())).or_default().push(txn.id);
        self.unfinished.insert(txn.id);
        self.by_id.insert(txn.id, txn);
    }

    fn remove(&mut self, id: i64) {
        let Some(txn) = self.by_id.remove(&id) else { return };
        self.unfinished.remove(&id);
        let key = (txn.db_id, txn.label);
        if let Some(ids) = self.by_label.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_label.remove(&key);
            }
        }
    }
}

impl State {
    pub(crate) fn db_id(&self, db: &str) -> Option<u64> {
        self.databases.get(db).map(|d| d.id)
    }

    pub(crate) fn txn_of(&self, db: &str, label: &str) -> Option<&Txn> {
        self.txns.newest(self.db_id(db)?, label)
    }

    /// Begins a transaction, or says why not; password and privilege are the caller's business.
    pub(crate) fn begin(&mut self, begin: &Begin<'_>, now_ms: u64) -> Result<i64, Refusal> {
        let text = |text: String| Err(Refusal::Text(text));
        let Some(database) = self.databases.get(begin.db) else {
            return text(format!("unknown database, database={}", begin.db));
        };
        let db_id = database.id;
        if !begin.multi && !database.tables.contains_key(begin.table) {
            return text(format!("unknown table \"{}.{}\"", begin.db, begin.table));
        }
        let timeout_s = begin.timeout_s.unwrap_or(self.limits.stream_load_default_timeout_second);
        if !(1..=259_200).contains(&timeout_s) {
            return text(format!(
                "Invalid timeout: '{timeout_s}'. Expected values should be between 1 and 259200 seconds"
            ));
        }
        if let Some(txn) = self.txns.newest(db_id, begin.label)
            && txn.state != TxnState::Aborted
            // An open multi-table label does not stand in a single-table begin's way.
            && !(txn.multi && !begin.multi && txn.state == TxnState::Prepare)
        {
            let state = txn.state;
            self.record_refused_begin(begin);
            return Err(Refusal::LabelUsed { state });
        }
        let open = self.txns.unfinished().filter(|t| t.db_id == db_id && t.state.is_open()).count();
        let limit = self.limits.max_running_txn_num_per_db;
        if open >= limit {
            return text(format!(
                "current running txns on db {db_id} is {open}, larger than limit {limit}"
            ));
        }
        Ok(self.open_txn(begin, db_id, timeout_s, now_ms))
    }

    fn open_txn(&mut self, begin: &Begin<'_>, db_id: u64, timeout_s: u64, now_ms: u64) -> i64 {
        self.txns.last_id = self.txns.last_id.max(1000) + 1;
        let id = self.txns.last_id;
        self.txns.insert(Txn {
            id,
            db_id,
            label: begin.label.to_owned(),
            be: begin.be,
            state: TxnState::Prepare,
            reason: String::new(),
            timeout_ms: timeout_s * 1000,
            prepared_timeout_ms: None,
            begun_ms: now_ms,
            prepared_ms: 0,
            finished_ms: 0,
            visible_at_ms: 0,
            staged: Vec::new(),
            multi: begin.multi,
            orphaned: false,
        });
        self.set_load_row(begin, "BEFORE_LOAD", id, String::new());
        id
    }

    /// A refused begin replaces the label's row by a false one, as the server was seen to do.
    fn record_refused_begin(&mut self, begin: &Begin<'_>) {
        let error = format!("Label [{}] has already been used.", begin.label);
        self.set_load_row(begin, "CANCELLED", -1, error);
    }

    fn set_load_row(&mut self, begin: &Begin<'_>, state: &'static str, txn_id: i64, error: String) {
        self.loads.retain(|row| row.label != begin.label || row.db != begin.db);
        self.loads.push(LoadRow {
            label: begin.label.to_owned(),
            db: begin.db.to_owned(),
            table: begin.table.to_owned(),
            state,
            txn_id,
            error,
        });
    }

    fn update_load_row(&mut self, txn_id: i64, state: &'static str, error: &str) {
        if let Some(row) = self.loads.iter_mut().find(|row| row.txn_id == txn_id) {
            row.state = state;
            row.error = error.to_owned();
        }
    }

    /// PREPARE to PREPARED; the error is the frontend's text.
    pub(crate) fn prepare(
        &mut self,
        id: i64,
        staged: Vec<Staged>,
        prepared_timeout_s: Option<u64>,
        now_ms: u64,
    ) -> Result<(), String> {
        let txn = self.txns.by_id.get_mut(&id).ok_or_else(|| LOST.to_owned())?;
        match txn.state {
            TxnState::Prepare => {}
            TxnState::Aborted => return Err(txn.reason.clone()),
            other => return Err(format!("transaction {id} is already {}", other.name())),
        }
        txn.state = TxnState::Prepared;
        txn.staged = staged;
        txn.prepared_ms = now_ms;
        txn.prepared_timeout_ms = prepared_timeout_s.map(|s| s * 1000);
        self.update_load_row(id, "PREPARED", "");
        Ok(())
    }

    /// Adds what a backend has ready, for a commit without prepare.
    pub(crate) fn stage(&mut self, id: i64, staged: Vec<Staged>) -> Result<(), String> {
        let txn = self.txns.by_id.get_mut(&id).ok_or_else(|| LOST.to_owned())?;
        match txn.state {
            TxnState::Prepare => {
                txn.staged.extend(staged);
                Ok(())
            }
            TxnState::Aborted => Err(txn.reason.clone()),
            other => Err(format!("transaction {id} is already {}", other.name())),
        }
    }

    /// PREPARE or PREPARED to COMMITTED, and on to VISIBLE unless publishing takes `publish_ms`.
    pub(crate) fn commit(&mut self, id: i64, publish_ms: Option<u64>, now_ms: u64) -> Committed {
        let Some(txn) = self.txns.by_id.get_mut(&id) else { return Committed::Visible };
        if txn.state.is_open() {
            txn.state = TxnState::Committed;
            txn.visible_at_ms = now_ms + publish_ms.unwrap_or(0);
        }
        if publish_ms.is_some() {
            return Committed::PublishTimeout;
        }
        self.publish(id, now_ms);
        Committed::Visible
    }

    fn publish(&mut self, id: i64, now_ms: u64) {
        let Some(txn) = self.txns.by_id.get_mut(&id) else { return };
        txn.state = TxnState::Visible;
        txn.finished_ms = now_ms;
        self.txns.unfinished.remove(&id);
        let (staged, db_id, label) =
            (std::mem::take(&mut txn.staged), txn.db_id, txn.label.clone());
        let label_index = u32::try_from(self.txns.provenance.len()).unwrap_or(u32::MAX);
        self.txns.provenance.push(label);
        let databases = self.databases.values_mut().chain(self.dropped_databases.values_mut());
        if let Some(database) = databases.into_iter().find(|d| d.id == db_id) {
            for part in staged {
                let wanted = part.schema.table_id;
                let tables = database.tables.values_mut().chain(database.dropped.iter_mut());
                if let Some(table) = tables.into_iter().find(|t| t.schema.table_id == wanted) {
                    table.publish(part, label_index);
                }
            }
        }
        self.update_load_row(id, "FINISHED", "");
    }

    /// Ends an open transaction without its rows; a finished one stays as it is.
    pub(crate) fn abort(&mut self, id: i64, reason: &str, now_ms: u64) {
        let Some(txn) = self.txns.by_id.get_mut(&id) else { return };
        if !txn.state.is_open() {
            return;
        }
        txn.state = TxnState::Aborted;
        txn.reason = reason.to_owned();
        txn.staged.clear();
        txn.finished_ms = now_ms;
        self.txns.unfinished.remove(&id);
        self.update_load_row(id, "CANCELLED", reason);
    }

    /// Has a backend roll the transaction back later, because it never learnt that it is prepared.
    pub(crate) fn roll_back_later(&mut self, txn: i64, at_ms: u64, reason: String) {
        self.txns.late.push(LateRollback { at_ms, txn, reason });
    }

    /// Does what was due by `now_ms`: late rollbacks, publishing, timeouts, the timed sweep.
    pub(crate) fn catch_up(&mut self, now_ms: u64) {
        for late in self.txns.late.extract_if(.., |l| l.at_ms <= now_ms).collect::<Vec<_>>() {
            if self.txns.get(late.txn).is_some_and(|t| t.state == TxnState::Prepared) {
                self.abort(late.txn, &late.reason, now_ms);
            }
        }
        let default_ms = self.limits.prepared_transaction_default_timeout_second * 1000;
        let mut publish = Vec::new();
        let mut expired = Vec::new();
        for txn in self.txns.unfinished() {
            match txn.state {
                TxnState::Committed if txn.visible_at_ms <= now_ms => publish.push(txn.id),
                TxnState::Prepare if txn.begun_ms + txn.timeout_ms <= now_ms => {
                    expired.push(txn.id);
                }
                // The default is read at check time, an explicit timeout is the transaction's own.
                TxnState::Prepared
                    if txn.prepared_ms + txn.prepared_timeout_ms.unwrap_or(default_ms)
                        <= now_ms =>
                {
                    expired.push(txn.id);
                }
                _ => {}
            }
        }
        publish.into_iter().for_each(|id| self.publish(id, now_ms));
        expired.into_iter().for_each(|id| self.abort(id, "timeout by txn manager", now_ms));
        self.expire_contexts(now_ms);
        if let Some(every) = self.limits.label_clean_interval_second
            && now_ms.saturating_sub(self.last_sweep_ms) >= every * 1000
        {
            self.last_sweep_ms = now_ms;
            self.sweep(now_ms);
        }
    }

    /// Forgets finished labels by age and by count, oldest first; gives how many.
    pub(crate) fn sweep(&mut self, now_ms: u64) -> usize {
        let Limits { label_keep_max_num, label_keep_max_second, .. } = self.limits;
        let mut by_db: HashMap<u64, Vec<i64>> = HashMap::new();
        for txn in self.txns.all() {
            by_db.entry(txn.db_id).or_default().push(txn.id);
        }
        let mut forgotten = 0;
        for ids in by_db.into_values() {
            let mut kept = ids.len();
            for id in ids {
                let txn = &self.txns.by_id[&id];
                let expired = now_ms.saturating_sub(txn.finished_ms) > label_keep_max_second * 1000;
                if txn.state.is_final() && (expired || kept > label_keep_max_num) {
                    self.txns.remove(id);
                    kept -= 1;
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    /// What a new leader knows: nothing of PREPARE, of the label map or of the loads table.
    pub(crate) fn restart_leader(&mut self, now_ms: u64, lose_prepared_callbacks: bool) {
        let lost: Vec<i64> =
            self.txns.all().filter(|t| !t.state.is_durable()).map(|t| t.id).collect();
        lost.into_iter().for_each(|id| self.txns.remove(id));
        for txn in self.txns.by_id.values_mut() {
            txn.be = None;
            txn.orphaned |= lose_prepared_callbacks && txn.state == TxnState::Prepared;
        }
        self.txns.last_id = self.txns.last_id.max(1000) / 1000 * 1000 + 1000;
        self.label_map.clear();
        self.loads.clear();
        self.sweep(now_ms);
    }
}
