//! Everything the frontends and backends share: catalog, users, transactions, backend contexts,
//! faults, journal. One lock; no handler holds it while it reads a body or waits.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::access::Users;
use crate::clock::Clock;
use crate::context::Context;
use crate::fault::Faults;
use crate::journal::Journal;
use crate::port::{Port, lock};
use crate::profile::Version;
use crate::table::{Keep, Table};
use crate::txn::Txns;

/// Limits of a real cluster's configuration, by their configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Running and finished transactions a database remembers.
    pub label_keep_max_num: usize,
    /// Age at which a finished transaction may be forgotten.
    pub label_keep_max_second: u64,
    /// Time between two sweeps of finished labels; `None` sweeps only on demand and at restart.
    pub label_clean_interval_second: Option<u64>,
    /// Open transactions a database may have.
    pub max_running_txn_num_per_db: usize,
    /// Largest body in bytes (`streaming_load_max_mb`).
    pub streaming_load_max_bytes: u64,
    /// Largest JSON body by `Content-Length` (`streaming_load_max_batch_size_mb`), in bytes.
    pub json_max_bytes: u64,
    /// PREPARE lives this long unless `timeout` says otherwise.
    pub stream_load_default_timeout_second: u64,
    /// PREPARED lives this long unless `prepared_timeout` says otherwise.
    pub prepared_transaction_default_timeout_second: u64,
    /// Entries of the frontend's label to backend map.
    pub label_map_max_num: usize,
    /// Seconds after its last use that an entry of that map lives.
    pub label_map_max_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            label_keep_max_num: 1000,
            label_keep_max_second: 259_200,
            label_clean_interval_second: None,
            max_running_txn_num_per_db: 1000,
            streaming_load_max_bytes: 102_400 * 1024 * 1024,
            json_max_bytes: 100 * 1024 * 1024,
            stream_load_default_timeout_second: 600,
            prepared_transaction_default_timeout_second: 86_400,
            label_map_max_num: 4096,
            label_map_max_second: 900,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) id: u64,
    pub(crate) tables: BTreeMap<String, Table>,
    /// Dropped tables: transactions prepared before still publish into them, unseen.
    pub(crate) dropped: Vec<Table>,
}

/// One backend.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    /// Authority that redirects name instead of `addr`: the address it was registered with.
    pub(crate) registered: Option<String>,
    pub(crate) alive: bool,
    /// Counts its deaths: what was under way before one never ends.
    pub(crate) epoch: u64,
    pub(crate) contexts: HashMap<String, Context>,
    pub(crate) error_logs: BTreeMap<String, String>,
}

impl Backend {
    pub(crate) fn authority(&self) -> String {
        self.registered.clone().unwrap_or_else(|| self.addr.to_string())
    }
}

/// One frontend.
#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) addr: SocketAddr,
    pub(crate) alive: bool,
}

/// Which backend a label's requests are sent to: the leader's memory, lost at its restart.
#[derive(Debug, Default)]
pub(crate) struct LabelMap(HashMap<String, (usize, u64)>);

impl LabelMap {
    pub(crate) fn put(&mut self, label: &str, be: usize, now_ms: u64, limits: &Limits) {
        if self.0.len() >= limits.label_map_max_num
            && !self.0.contains_key(label)
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, (_, at))| *at).map(|(l, _)| l.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(label.to_owned(), (be, now_ms));
    }

    pub(crate) fn get(&mut self, label: &str, now_ms: u64, limits: &Limits) -> Option<usize> {
        let (be, used) = self.0.get_mut(label)?;
        if now_ms.saturating_sub(*used) > limits.label_map_max_second * 1000 {
            self.0.remove(label);
            return None;
        }
        *used = now_ms;
        Some(*be)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A row of `information_schema.loads`.
#[derive(Debug, Clone)]
pub(crate) struct LoadRow {
    pub(crate) label: String,
    pub(crate) db: String,
    pub(crate) table: String,
    pub(crate) state: &'static str,
    pub(crate) txn_id: i64,
    pub(crate) error: String,
}

/// All that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) users: Users,
    pub(crate) databases: BTreeMap<String, Database>,
    pub(crate) dropped_databases: BTreeMap<String, Database>,
    pub(crate) next_id: u64,
    pub(crate) txns: Txns,
    pub(crate) label_map: LabelMap,
    pub(crate) loads: Vec<LoadRow>,
    pub(crate) frontends: Vec<Frontend>,
    pub(crate) leader: usize,
    pub(crate) backends: Vec<Backend>,
    pub(crate) next_backend: usize,
    /// A repeated begin stays with the label's backend instead of moving it.
    pub(crate) begin_stays: bool,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    /// Keep for tables made from now on.
    pub(crate) keep: Keep,
    pub(crate) deposed: Option<Deposed>,
    /// Time of the last sweep that came by itself.
    pub(crate) last_sweep_ms: u64,
}

/// A leader that has been replaced and does not know it: answers states from what it knew.
#[derive(Debug)]
pub(crate) struct Deposed {
    pub(crate) fe: usize,
    pub(crate) until_ms: u64,
    pub(crate) known: Txns,
    pub(crate) databases: HashMap<String, u64>,
}

impl State {
    pub(crate) fn table(&self, db: &str, table: &str) -> Option<&Table> {
        self.databases.get(db)?.tables.get(table)
    }

    pub(crate) fn table_mut(&mut self, db: &str, table: &str) -> Option<&mut Table> {
        self.databases.get_mut(db)?.tables.get_mut(table)
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The next live backend in turn.
    pub(crate) fn pick_backend(&mut self) -> Option<usize> {
        let n = self.backends.len();
        let be = (0..n)
            .map(|step| (self.next_backend + step) % n)
            .find(|&be| self.backends[be].alive)?;
        self.next_backend = be + 1;
        Some(be)
    }

    pub(crate) fn has_live_backend(&self) -> bool {
        self.backends.iter().any(|b| b.alive)
    }
}

/// Where the nodes listen.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) fe: Vec<Port>,
    pub(crate) be: Vec<Port>,
    pub(crate) query: Port,
}

/// The cluster: its state, its clock, and what never changes.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) version: Version,
    pub(crate) clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
    ports: OnceLock<Ports>,
}

impl Cluster {
    pub(crate) fn new(version: Version, limits: Limits, keep: Keep) -> Self {
        let state = State {
            limits,
            users: Users::default(),
            databases: BTreeMap::new(),
            dropped_databases: BTreeMap::new(),
            next_id: 11000,
            txns: Txns::default(),
            label_map: LabelMap::default(),
            loads: Vec::new(),
            frontends: Vec::new(),
            leader: 0,
            backends: Vec::new(),
            next_backend: 0,
            begin_stays: false,
            faults: Faults::default(),
            journal: Journal::default(),
            keep,
            deposed: None,
            last_sweep_ms: 0,
        };
        Self {
            version,
            clock: Clock::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            ports: OnceLock::new(),
        }
    }

    /// The listeners; they are set once, before anything is served.
    pub(crate) fn ports(&self) -> &Ports {
        self.ports.get().expect("ports are set before the cluster is handed out")
    }

    pub(crate) fn set_ports(&self, ports: Ports) {
        let set = self.ports.set(ports);
        debug_assert!(set.is_ok(), "ports are set once");
    }

    /// The state, with everything done that was due by now.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        let now_ms = self.clock.now_ms();
        state.catch_up(now_ms);
        // A deposed leader ends once it has noticed.
        if let Some(deposed) = state.deposed.take_if(|d| d.until_ms <= now_ms)
            && let Some(frontend) = state.frontends.get_mut(deposed.fe)
        {
            frontend.alive = false;
        }
        state
    }

    /// Tells whoever waits in `wait` to look again.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change, at most `for_at_most`; the lock is given up meanwhile.
    pub(crate) fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        for_at_most: Duration,
    ) -> MutexGuard<'a, State> {
        let (state, _) = self
            .changed
            .wait_timeout(state, for_at_most)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state
    }
}
