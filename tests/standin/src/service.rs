//! A connection's life: read a request, note it, let faults strike, have it handled, answer, and
//! decide whether the connection serves another.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::fault::{Call, Do, Hits, Node, Op, When};
use crate::http::{Conn, Gate, NoRequest, Reply, Request, keeps_alive};
use crate::journal::Entry;
use crate::{be, control, fe};

/// What becomes of body bytes that the handler has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There are none.
    Read,
    /// They are read and thrown away before the next request.
    Drain,
    /// They are taken for the next request.
    NextRequest,
}

/// A handled request.
#[derive(Debug)]
pub(crate) struct Handled {
    /// `None` closes the connection without an answer.
    pub(crate) reply: Option<Box<Reply>>,
    /// For the journal: the `Status`, state or HTTP code.
    pub(crate) outcome: String,
    pub(crate) txn_id: Option<i64>,
    pub(crate) body_bytes: u64,
    pub(crate) body_hash: u64,
    pub(crate) rest: Rest,
}

impl Handled {
    pub(crate) fn new(reply: Reply, outcome: impl Into<String>) -> Self {
        Self {
            reply: Some(Box::new(reply)),
            outcome: outcome.into(),
            txn_id: None,
            body_bytes: 0,
            body_hash: 0,
            rest: Rest::Drain,
        }
    }

    pub(crate) fn gone(outcome: &str) -> Self {
        Self {
            reply: None,
            outcome: outcome.to_owned(),
            txn_id: None,
            body_bytes: 0,
            body_hash: 0,
            rest: Rest::Read,
        }
    }

    pub(crate) fn txn(mut self, id: i64) -> Self {
        self.txn_id = Some(id);
        self
    }

    pub(crate) fn rest(mut self, rest: Rest) -> Self {
        self.rest = rest;
        self
    }
}

/// Serves one connection until it ends.
pub(crate) fn serve(cluster: &Arc<Cluster>, node: Node, stream: TcpStream) {
    let mut conn = Conn::new(stream);
    while is_alive(cluster, node) {
        let request = match conn.read_request() {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Bad(cause)) => {
                let body = format!("Bad Request. <br/> {cause}");
                let _ = conn.send(&Reply::new(400, crate::http::HTML, body).closing(), None);
                return;
            }
        };
        if !serve_one(cluster, node, &mut conn, &request) {
            return;
        }
    }
}

fn is_alive(cluster: &Cluster, node: Node) -> bool {
    let state = cluster.lock();
    match node {
        Node::Fe(i) => state.frontends.get(i).is_none_or(|f| f.alive),
        Node::Be(i) => state.backends.get(i).is_none_or(|b| b.alive),
    }
}

/// Whether the connection goes on.
fn serve_one(cluster: &Arc<Cluster>, node: Node, conn: &mut Conn, request: &Request) -> bool {
    if let Node::Fe(_) = node
        && request.path.starts_with("/_standin/")
    {
        let reply = control::handle(cluster, conn, request);
        return conn.send(&reply, None).is_ok() && keeps_alive(request, &reply);
    }
    let (number, hits) = arrive(cluster, node, request);
    let handled = match before(cluster, &hits) {
        Ok(None) => match node {
            Node::Fe(i) => fe::handle(cluster, i, conn, request, &hits),
            Node::Be(i) => be::handle(cluster, i, conn, request, &hits),
        },
        Ok(Some(reply)) => Handled::new(reply, "answered by a fault"),
        Err(_) => Handled::gone("dropped before"),
    };
    finish(cluster, conn, request, number, &hits, handled)
}

/// Notes the request and asks the faults.
fn arrive(cluster: &Cluster, node: Node, request: &Request) -> (u64, Hits) {
    let segments = request.segments();
    let (op, db, table) = classify(request, &segments);
    let label = request.param("label").or(request.headers.get("label")).unwrap_or_default();
    let node_name = match node {
        Node::Fe(i) => format!("fe{i}"),
        Node::Be(i) => format!("be{i}"),
    };
    let mut state = cluster.lock();
    let number = state.journal.arrive(Entry {
        number: 0,
        node: node_name,
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.0.clone(),
        body_bytes: 0,
        body_hash: 0,
        txn_id: None,
        status: None,
        outcome: String::new(),
    });
    let hits = state.faults.strike(&Call { node, op, db: &db, table: &table, label });
    drop(state);
    cluster.notify();
    (number, hits)
}

fn classify(request: &Request, segments: &[String]) -> (Op, String, String) {
    let header = |name: &str| request.headers.get(name).unwrap_or_default().to_owned();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["api", "transaction", op] => {
            let op = match *op {
                "begin" => Op::Begin,
                "load" => Op::Load,
                "prepare" => Op::Prepare,
                "commit" => Op::Commit,
                "rollback" => Op::Rollback,
                _ => Op::Other,
            };
            (op, header("db"), header("table"))
        }
        ["api", db, table, "_stream_load"] => {
            (Op::StreamLoad, (*db).to_owned(), (*table).to_owned())
        }
        ["api", db, table, "_cancel"] => (Op::Cancel, (*db).to_owned(), (*table).to_owned()),
        ["api", db, table, "_schema"] => (Op::Schema, (*db).to_owned(), (*table).to_owned()),
        ["api", "v2", "catalogs", _, "databases", db, "tables", table, "schema"] => {
            (Op::Schema, (*db).to_owned(), (*table).to_owned())
        }
        ["api", db, "get_load_state"] => (Op::GetLoadState, (*db).to_owned(), String::new()),
        ["api", "health"] => (Op::Health, String::new(), String::new()),
        ["api", "v1", "catalogs", .., "sql"] => (Op::Sql, String::new(), String::new()),
        _ => (Op::Other, String::new(), String::new()),
    }
}

/// Faults that come before the effect; a reply replaces the effect.
fn before(cluster: &Cluster, hits: &Hits) -> io::Result<Option<Reply>> {
    for (when, action) in &hits.0 {
        if *when != When::Before {
            continue;
        }
        if let Some(reply) = strike(cluster, action)? {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

/// Waits, drops or answers as a fault says; those the handler itself minds do nothing here.
fn strike(cluster: &Cluster, action: &Do) -> io::Result<Option<Reply>> {
    match action {
        Do::Answer { status, body } => {
            let reply = Reply::new(*status, crate::http::JSON, body.as_bytes());
            Ok(Some(reply.closing()))
        }
        Do::Drop => Err(ErrorKind::ConnectionAborted.into()),
        Do::Delay(time) => {
            thread::sleep(*time);
            Ok(None)
        }
        Do::Hold(name) => {
            hold(cluster, name);
            Ok(None)
        }
        Do::Truncate(_)
        | Do::Fail(_)
        | Do::FailAfterCommit(_)
        | Do::PublishTimeout(_)
        | Do::LosePrepareAnswer(_)
        | Do::Location(_) => Ok(None),
    }
}

fn hold(cluster: &Cluster, name: &str) {
    let mut state = cluster.lock();
    state.faults.waiting.push(name.to_owned());
    cluster.notify();
    while !state.faults.is_released(name) && !state.faults.shut {
        state = cluster.wait(state, Duration::from_millis(200));
    }
    if let Some(at) = state.faults.waiting.iter().position(|n| n == name) {
        state.faults.waiting.remove(at);
    }
}

/// A gate that strikes once each fault's number of body bytes has been read.
pub(crate) fn body_gate(cluster: &Arc<Cluster>, hits: &Hits) -> Option<Gate> {
    let mut waiting: Vec<(u64, Do)> = hits
        .0
        .iter()
        .filter_map(|(when, action)| match when {
            When::Body(at) => Some((*at, action.clone())),
            When::Before | When::After => None,
        })
        .collect();
    if waiting.is_empty() {
        return None;
    }
    let cluster = Arc::clone(cluster);
    Some(Box::new(move |received| {
        while let Some(at) = waiting.iter().position(|(at, _)| *at <= received) {
            let (_, action) = waiting.remove(at);
            if strike(&cluster, &action)?.is_some() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }))
}

/// Faults after the effect, the journal, the reply, and what is left of the body.
fn finish(
    cluster: &Cluster,
    conn: &mut Conn,
    request: &Request,
    number: u64,
    hits: &Hits,
    mut handled: Handled,
) -> bool {
    let mut keep_bytes = None;
    for (when, action) in &hits.0 {
        if let Do::Truncate(bytes) = action {
            keep_bytes = Some(*bytes);
        }
        if *when == When::After {
            match strike(cluster, action) {
                Ok(Some(reply)) => handled.reply = Some(Box::new(reply)),
                Ok(None) => {}
                Err(_) => {
                    handled.outcome = format!("{} (answer dropped)", handled.outcome);
                    handled.reply = None;
                }
            }
        }
    }
    note(cluster, number, &handled);
    let Some(reply) = handled.reply else { return false };
    if conn.send(&reply, keep_bytes).is_err() || keep_bytes.is_some() {
        return false;
    }
    if !keeps_alive(request, &reply) {
        return false;
    }
    handled.rest != Rest::Drain || drain(conn, request)
}

fn note(cluster: &Cluster, number: u64, handled: &Handled) {
    let mut state = cluster.lock();
    if let Some(entry) = state.journal.entry(number) {
        entry.status = handled.reply.as_ref().map(|r| r.status);
        entry.outcome.clone_from(&handled.outcome);
        entry.txn_id = handled.txn_id;
        entry.body_bytes = handled.body_bytes;
        entry.body_hash = handled.body_hash;
    }
    drop(state);
    cluster.notify();
}

fn drain(conn: &mut Conn, request: &Request) -> bool {
    let mut body = conn.body(request);
    let mut waste = vec![0; 64 * 1024];
    loop {
        match body.read(&mut waste) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
