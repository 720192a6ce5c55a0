//! A stand-in StarRocks for tests and benchmarks: frontends and backends in one process, tables in
//! memory, faults on demand. It imitates what a loader sees of StarRocks over HTTP and MySQL;
//! what it does not imitate it refuses, and `README.md` lists it. It shares no code with the
//! loader it tests.
//!
//! ```
//! let standin = standin::Standin::builder().start().unwrap();
//! standin.execute("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT) PRIMARY KEY(id)").unwrap();
//! assert_eq!(standin.count("d", "t"), 0);
//! println!("load into http://{}/api/d/t/_stream_load", standin.fe());
//! ```

mod access;
mod be;
mod clock;
mod cluster;
mod context;
mod control;
mod counting;
mod csv_rows;
mod fault;
mod fe;
mod http;
mod journal;
mod json_rows;
mod load_spec;
mod mysql;
mod node;
mod plan;
mod port;
mod profile;
mod service;
mod sha1;
mod sql;
mod table;
mod txn;
mod value;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Backend, Cluster, Frontend, Ports};
use crate::fault::Node;
use crate::port::Port;
use crate::sql::Session;

pub use crate::cluster::Limits;
pub use crate::fault::{At, Do, Fault, Op, When};
pub use crate::journal::Entry;
pub use crate::profile::{UnknownVersion, Version};
pub use crate::sql::SqlError;
pub use crate::table::{Keep, Tally, mix};
pub use crate::txn::TxnState;

/// What to start; everything has a default.
#[derive(Debug, Clone)]
pub struct Builder {
    version: Version,
    host: IpAddr,
    fe_ports: Vec<u16>,
    be_ports: Vec<u16>,
    query_port: u16,
    limits: Limits,
    keep: Keep,
}

impl Builder {
    /// The release to imitate; 3.5 unless told.
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The address to listen at; 127.0.0.1 unless told.
    pub fn host(mut self, host: IpAddr) -> Self {
        self.host = host;
        self
    }

    /// So many frontends on free ports; the first leads. One unless told.
    pub fn fe_count(self, n: usize) -> Self {
        self.fe_ports(&vec![0; n])
    }

    /// Frontends on these ports, 0 for any free one.
    pub fn fe_ports(mut self, ports: &[u16]) -> Self {
        self.fe_ports = ports.to_vec();
        self
    }

    /// So many backends on free ports. One unless told.
    pub fn be_count(self, n: usize) -> Self {
        self.be_ports(&vec![0; n])
    }

    /// Backends on these ports, 0 for any free one.
    pub fn be_ports(mut self, ports: &[u16]) -> Self {
        self.be_ports = ports.to_vec();
        self
    }

    /// The MySQL port, 0 for any free one.
    pub fn query_port(mut self, port: u16) -> Self {
        self.query_port = port;
        self
    }

    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What tables created later keep of their rows.
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Listens and serves until the `Standin` is dropped.
    pub fn start(self) -> io::Result<Standin> {
        let cluster = Arc::new(Cluster::new(self.version, self.limits.clone(), self.keep.clone()));
        let bind = |port: u16, node: Option<Node>| {
            let cluster: Weak<Cluster> = Arc::downgrade(&cluster);
            Port::bind(SocketAddr::new(self.host, port), move |stream| {
                let Some(cluster) = cluster.upgrade() else { return };
                match node {
                    Some(node) => service::serve(&cluster, node, stream),
                    None => mysql::serve(&cluster, stream),
                }
            })
        };
        let fe: io::Result<Vec<Port>> =
            self.fe_ports.iter().enumerate().map(|(i, p)| bind(*p, Some(Node::Fe(i)))).collect();
        let be: io::Result<Vec<Port>> =
            self.be_ports.iter().enumerate().map(|(i, p)| bind(*p, Some(Node::Be(i)))).collect();
        let ports = Ports { fe: fe?, be: be?, query: bind(self.query_port, None)? };
        let mut state = cluster.lock();
        state.frontends =
            ports.fe.iter().map(|p| Frontend { addr: p.addr(), alive: true }).collect();
        state.backends = ports
            .be
            .iter()
            .map(|p| Backend {
                addr: p.addr(),
                registered: None,
                alive: true,
                epoch: 0,
                contexts: Default::default(),
                error_logs: Default::default(),
            })
            .collect();
        drop(state);
        cluster.set_ports(ports);
        Ok(Standin { cluster })
    }
}

/// A running stand-in; dropping it stops it.
#[derive(Debug)]
pub struct Standin {
    cluster: Arc<Cluster>,
}

impl Standin {
    pub fn builder() -> Builder {
        Builder {
            version: Version::V3_5,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            fe_ports: vec![0],
            be_ports: vec![0],
            query_port: 0,
            limits: Limits::default(),
            keep: Keep::Rows,
        }
    }

    /// The first frontend's HTTP address.
    pub fn fe(&self) -> SocketAddr {
        self.fe_at(0)
    }

    /// A frontend's HTTP address, counted from 0.
    pub fn fe_at(&self, fe: usize) -> SocketAddr {
        self.cluster.ports().fe[fe].addr()
    }

    /// All frontends' HTTP addresses.
    pub fn fes(&self) -> Vec<SocketAddr> {
        self.cluster.ports().fe.iter().map(Port::addr).collect()
    }

    /// The first backend's HTTP address.
    pub fn be(&self) -> SocketAddr {
        self.be_at(0)
    }

    /// A backend's HTTP address, counted from 0.
    pub fn be_at(&self, be: usize) -> SocketAddr {
        self.cluster.ports().be[be].addr()
    }

    /// All backends' HTTP addresses.
    pub fn bes(&self) -> Vec<SocketAddr> {
        self.cluster.ports().be.iter().map(Port::addr).collect()
    }

    /// The MySQL address.
    pub fn query(&self) -> SocketAddr {
        self.cluster.ports().query.addr()
    }

    pub fn version(&self) -> Version {
        self.cluster.version
    }

    /// Executes statements as root, separated by semicolons; stops at the first error.
    pub fn execute(&self, statements: &str) -> Result<(), SqlError> {
        sql::execute_all(&self.cluster, &mut Session::root(), statements).map(|_| ())
    }

    /// The visible rows of a table, in order of arrival, as JSON objects.
    ///
    /// # Panics
    /// If there is no such table, or it only counts its rows.
    pub fn rows(&self, db: &str, table: &str) -> Vec<Value> {
        self.rows_with_labels(db, table).into_iter().map(|(_, row)| row).collect()
    }

    /// The visible rows with the label that brought each.
    ///
    /// # Panics
    /// If there is no such table, or it only counts its rows.
    pub fn rows_with_labels(&self, db: &str, table: &str) -> Vec<(String, Value)> {
        let state = self.cluster.lock();
        let found = state.table(db, table).unwrap_or_else(|| panic!("no table {db}.{table}"));
        assert_eq!(found.keep, Keep::Rows, "{db}.{table} only counts its rows");
        found
            .rows()
            .map(|(cells, label)| (state.txns.label_of(label).to_owned(), found.row_json(cells)))
            .collect()
    }

    /// The visible rows ordered by their columns from left to right.
    ///
    /// # Panics
    /// If there is no such table, or it only counts its rows.
    pub fn sorted_rows(&self, db: &str, table: &str) -> Vec<Value> {
        let state = self.cluster.lock();
        let found = state.table(db, table).unwrap_or_else(|| panic!("no table {db}.{table}"));
        assert_eq!(found.keep, Keep::Rows, "{db}.{table} only counts its rows");
        found.sorted_rows().into_iter().map(|(cells, _)| found.row_json(cells)).collect()
    }

    /// How many rows are visible.
    ///
    /// # Panics
    /// If there is no such table.
    pub fn count(&self, db: &str, table: &str) -> u64 {
        let state = self.cluster.lock();
        state.table(db, table).unwrap_or_else(|| panic!("no table {db}.{table}")).row_count()
    }

    /// What has been loaded into a table and become visible, deletes and overwritten rows
    /// included.
    ///
    /// # Panics
    /// If there is no such table.
    pub fn tally(&self, db: &str, table: &str) -> Tally {
        let state = self.cluster.lock();
        state.table(db, table).unwrap_or_else(|| panic!("no table {db}.{table}")).tally
    }

    /// Empties a table and says what it keeps from now on.
    ///
    /// # Panics
    /// If there is no such table.
    pub fn keep(&self, db: &str, table: &str, keep: Keep) {
        let mut state = self.cluster.lock();
        let found = state.table_mut(db, table);
        let found = found.unwrap_or_else(|| panic!("no table {db}.{table}"));
        found.clear();
        found.keep = keep;
    }

    /// State and abort reason of a label's newest transaction; `None` is UNKNOWN.
    pub fn label(&self, db: &str, label: &str) -> Option<(TxnState, String)> {
        let state = self.cluster.lock();
        state.txn_of(db, label).map(|t| (t.state, t.reason.clone()))
    }

    /// All labels a database remembers, oldest first, with the state of each transaction.
    pub fn labels(&self, db: &str) -> Vec<(String, TxnState)> {
        let state = self.cluster.lock();
        let db_id = state.db_id(db);
        let of_db = state.txns.all().filter(|t| Some(t.db_id) == db_id);
        of_db.map(|t| (t.label.clone(), t.state)).collect()
    }

    /// All requests so far, control requests left out.
    pub fn journal(&self) -> Vec<Entry> {
        self.cluster.lock().journal.entries.clone()
    }

    pub fn clear_journal(&self) {
        self.cluster.lock().journal.clear();
    }

    /// Adds a fault to those set.
    pub fn fault(&self, fault: Fault) {
        self.cluster.lock().faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.cluster.lock().faults.clear();
    }

    /// Lets go whoever waits in `Do::Hold(name)`, now and later.
    pub fn release(&self, name: &str) {
        self.cluster.lock().faults.release(name);
        self.cluster.notify();
    }

    /// Waits until a request is held by name.
    ///
    /// # Panics
    /// If none comes within 20 seconds.
    pub fn wait_held(&self, name: &str) {
        let end = Instant::now() + node::PATIENCE;
        let mut state = self.cluster.lock();
        while !state.faults.waiting.iter().any(|n| n == name) {
            assert!(Instant::now() < end, "nothing came to be held in {name}");
            state = self.cluster.wait(state, Duration::from_millis(100));
        }
    }

    /// Moves the clock that all timeouts go by.
    pub fn advance(&self, by: Duration) {
        self.cluster.clock.advance(by);
        drop(self.cluster.lock());
    }

    /// Forgets finished labels beyond what is kept; gives how many.
    pub fn sweep_labels(&self) -> usize {
        let now_ms = self.cluster.clock.now_ms();
        self.cluster.lock().sweep(now_ms)
    }

    /// Changes limits while running.
    pub fn set_limits(&self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.cluster.lock().limits);
    }

    /// Whether a repeated begin moves the label to another backend, as 4.1 does (the default).
    pub fn set_begin_moves(&self, moves: bool) {
        self.cluster.lock().begin_stays = !moves;
    }

    /// Kills a backend: connections break, its memory is gone; frontends go on naming it.
    ///
    /// # Panics
    /// If there is no such backend.
    pub fn kill_be(&self, be: usize) {
        node::kill_be(&self.cluster, be).unwrap_or_else(|e| panic!("{e}"));
    }

    /// The frontends notice that a backend is down.
    ///
    /// # Panics
    /// If there is no such backend.
    pub fn notice_dead_be(&self, be: usize) {
        node::notice_dead_be(&self.cluster, be).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Starts a killed backend at its old address.
    ///
    /// # Panics
    /// If there is no such backend or its port has been taken.
    pub fn start_be(&self, be: usize) {
        node::start_be(&self.cluster, be).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Redirects name `host` (`host:port`) for a backend; `None` names its address again.
    ///
    /// # Panics
    /// If there is no such backend.
    pub fn register_be(&self, be: usize, host: Option<&str>) {
        node::register_be(&self.cluster, be, host).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Restarts the leading frontend: PREPARE and the label map are lost, labels are swept.
    pub fn restart_fe(&self) {
        node::restart_fe(&self.cluster, false);
    }

    /// As `restart_fe`, of a release whose restart makes PREPARED transactions uncommittable.
    pub fn restart_fe_losing_prepared(&self) {
        node::restart_fe(&self.cluster, true);
    }

    /// Makes frontend `to` the leader; the old one follows.
    ///
    /// # Panics
    /// If there is no such frontend.
    pub fn change_leader(&self, to: usize) {
        node::change_leader(&self.cluster, to, None).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Makes frontend `to` the leader; the old one answers states from memory for `time`, then
    /// is dead.
    ///
    /// # Panics
    /// If there is no such frontend.
    pub fn depose_leader(&self, to: usize, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        node::change_leader(&self.cluster, to, Some(ms)).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Kills a frontend's port and connections; who leads does not change.
    ///
    /// # Panics
    /// If there is no such frontend.
    pub fn kill_fe(&self, fe: usize) {
        node::kill_fe(&self.cluster, fe).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Starts a killed or ended frontend at its old address.
    ///
    /// # Panics
    /// If there is no such frontend or its port has been taken.
    pub fn start_fe(&self, fe: usize) {
        node::start_fe(&self.cluster, fe).unwrap_or_else(|e| panic!("{e}"));
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.cluster.lock().faults.shut = true;
        self.cluster.notify();
        let ports = self.cluster.ports();
        for port in ports.fe.iter().chain(&ports.be).chain([&ports.query]) {
            port.shut();
        }
    }
}
