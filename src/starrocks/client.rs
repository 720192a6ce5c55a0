//! Requests to FEs and BEs: addresses, redirects, credentials, timeouts. Makes every request once
//! and says what came of it; who asks decides what follows.
//!
//! Facts this file rests on. An FE answers 307 from the headers alone, so its hop carries no body;
//! the body goes to the BE that `Location` names. After `begin` the BE may be talked to directly
//! for `load` and `prepare`; `commit` and `rollback` belong to the FE. ureq follows no redirect
//! that carries a body and drops `Authorization`, so redirects are followed here, and the
//! credentials go only to addresses that an FE named.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, io};

use ureq::Agent;
use ureq::http::{Method, Request};

use crate::config::job::{FeAddress, Target};
use crate::http::{self, Tls};
use crate::secret::Secret;
use crate::starrocks::reply::{LabelState, Reply, classify, label_state};

/// Follower FE, leader FE, BE: the longest chain there is.
const MOST_HOPS: usize = 4;
/// Answers are small; anything longer is not StarRocks.
const MOST_ANSWER_BYTES: u64 = 4 << 20;
/// Answers to everything but a load's body.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections are dropped before a server would drop them.
const IDLE_AGE: Duration = Duration::from_secs(4);

/// A database and a table, as the load endpoints want them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    pub database: String,
    pub table: String,
}

/// A BE or CN that an FE named, `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    base: String,
    /// The FE that named it, for the error of an unreachable one.
    named_by: String,
}

/// No answer.
#[derive(Debug, Clone)]
pub struct Failure {
    /// `host:port` that was tried.
    pub address: String,
    /// The FE that sent us there, where it was not configured.
    pub named_by: Option<String>,
    pub cause: String,
    /// False where no connection was made, so the request cannot have had an effect.
    pub sent: bool,
    /// The peer answered, but not in HTTP.
    pub not_http: bool,
    /// TLS could not be agreed on, or the certificate is not trusted: trying again mends nothing.
    pub no_tls: bool,
}

/// Times a transaction may take, sent with `begin` and `prepare`.
#[derive(Debug, Clone, Copy)]
pub struct TxnTimes {
    pub timeout: Duration,
    pub idle: Duration,
    pub prepared: Duration,
}

/// One StarRocks cluster, one user. Shared by all threads.
pub struct Client {
    agent: Agent,
    fe: Vec<FeAddress>,
    /// The FE that answered last; the next request starts there.
    preferred: AtomicUsize,
    authorization: Secret,
    /// `warehouse` must go with `begin` too.
    warehouse: Option<String>,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

/// What the first hop of a Stream Load came to.
pub(super) enum FirstHop {
    /// Where the FE would send the rows.
    To(Node),
    Answered(Reply),
}

/// An answer before anybody has looked at it.
pub(super) struct Answer {
    pub http: u16,
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub node: Node,
}

struct Call<'a> {
    method: Method,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
    content_type: Option<&'a str>,
}

impl Client {
    pub fn new(target: &Target) -> Self {
        Client::with_patience(target, ANSWER_TIMEOUT)
    }

    /// As [`Client::new`], for who does not want to wait long for answers that are short.
    pub fn with_patience(target: &Target, answer_timeout: Duration) -> Self {
        let config = http::config(&Tls::default(), target.connect_timeout, answer_timeout)
            .max_idle_age(IDLE_AGE)
            .max_idle_connections_per_host(16)
            .build();
        let warehouse = target.headers.iter().find(|(name, _)| name == "warehouse");
        Client {
            agent: config.new_agent(),
            fe: target.fe.clone(),
            preferred: AtomicUsize::new(0),
            authorization: http::basic(&target.user, target.password.reveal()),
            warehouse: warehouse.map(|(_, value)| value.clone()),
            connect_timeout: target.connect_timeout,
            answer_timeout,
        }
    }

    /// Opens a transaction. Sent once, never repeated: a second `begin` of a label could strand it
    /// on another BE. `Node` is the BE that holds it.
    pub fn begin(
        &self,
        label: &str,
        table: &TableName,
        times: TxnTimes,
    ) -> Result<(Reply, Node), Failure> {
        let (timeout, idle) = (seconds(times.timeout), seconds(times.idle));
        let mut headers = vec![
            ("db", table.database.as_str()),
            ("table", table.table.as_str()),
            ("label", label),
            ("timeout", timeout.as_str()),
            ("idle_transaction_timeout", idle.as_str()),
        ];
        headers.extend(self.warehouse.as_deref().map(|name| ("warehouse", name)));
        let answer = self.ask_fe(&Call::post("/api/transaction/begin", &headers), false)?;
        Ok((classify(answer.http, &answer.body), answer.node))
    }

    /// Sends one part of a transaction's rows to the BE that holds it.
    pub fn load(
        &self,
        node: &Node,
        label: &str,
        table: &TableName,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Reply, Failure> {
        let mut all = vec![
            ("db", table.database.as_str()),
            ("table", table.table.as_str()),
            ("label", label),
        ];
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let call = Call {
            method: Method::PUT,
            path: "/api/transaction/load",
            headers: &all,
            body,
            content_type: None,
        };
        self.ask_node(node, &call)
    }

    /// Makes a transaction durable and waiting for commit. Its BE forgets it with the answer.
    pub fn prepare(
        &self,
        node: &Node,
        database: &str,
        label: &str,
        prepared: Duration,
    ) -> Result<Reply, Failure> {
        let prepared = seconds(prepared);
        let headers = [("db", database), ("label", label), ("prepared_timeout", prepared.as_str())];
        self.ask_node(node, &Call::post("/api/transaction/prepare", &headers))
    }

    /// Commits a prepared transaction. May be repeated: the first to land wins.
    pub fn commit(&self, database: &str, label: &str) -> Result<Reply, Failure> {
        let headers = [("db", database), ("label", label)];
        let answer = self.ask_fe(&Call::post("/api/transaction/commit", &headers), true)?;
        Ok(classify(answer.http, &answer.body))
    }

    /// Rolls a transaction back, prepared or not. May be repeated.
    pub fn roll_back(&self, database: &str, label: &str) -> Result<Reply, Failure> {
        let headers = [("db", database), ("label", label)];
        let answer = self.ask_fe(&Call::post("/api/transaction/rollback", &headers), true)?;
        Ok(classify(answer.http, &answer.body))
    }

    /// Ends a transaction in PREPARE whose BE is gone or unknown. May be repeated.
    pub fn cancel(&self, table: &TableName, label: &str) -> Result<Reply, Failure> {
        let path = format!("/api/{}/{}/_cancel?label={label}", table.database, table.table);
        let answer = self.ask_fe(&Call::post(&path, &[]), true)?;
        Ok(classify(answer.http, &answer.body))
    }

    /// Asks what became of a label; any FE may answer.
    pub fn state(&self, database: &str, label: &str) -> Result<LabelState, Failure> {
        let path = format!("/api/{database}/get_load_state?label={label}");
        let answer = self.ask_fe(&Call::get(&path), true)?;
        read_state(&answer)
    }

    /// Asks every configured FE, in order: one answer each.
    pub fn state_everywhere(
        &self,
        database: &str,
        label: &str,
    ) -> Vec<Result<LabelState, Failure>> {
        let path = format!("/api/{database}/get_load_state?label={label}");
        let ask = |fe: &FeAddress| {
            self.follow(&fe.base(), &Call::get(&path)).and_then(|answer| read_state(&answer))
        };
        self.fe.iter().map(ask).collect()
    }

    /// One plain Stream Load: the whole body under one label, committed when answered.
    pub fn stream_load(
        &self,
        label: &str,
        table: &TableName,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Reply, Failure> {
        let node = match self.first_hop(table)? {
            FirstHop::To(node) => node,
            FirstHop::Answered(reply) => return Ok(reply),
        };
        let path = stream_load_path(table);
        let mut all = vec![("label", label)];
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let call =
            Call { method: Method::PUT, path: &path, headers: &all, body, content_type: None };
        self.ask_node(&node, &call)
    }

    /// Asks an FE where it would send a Stream Load; sends no row and changes nothing.
    pub(super) fn first_hop(&self, table: &TableName) -> Result<FirstHop, Failure> {
        // The FE insists on this header; its hop has no body that could wait for a 100.
        let headers = [("Expect", "100-continue"), ("Connection", "close")];
        let path = stream_load_path(table);
        let probe = Call {
            method: Method::PUT,
            path: &path,
            headers: &headers,
            body: b"",
            content_type: None,
        };
        Ok(match self.ask_fe_once(&probe)? {
            Hop::Redirect(node) => FirstHop::To(node),
            Hop::Final(answer) => FirstHop::Answered(classify(answer.http, &answer.body)),
        })
    }

    /// One GET from a node that an FE named.
    pub(super) fn get_from(&self, node: &Node, path: &str) -> Result<Answer, Failure> {
        self.follow_from(node.clone(), &Call::get(path))
    }

    /// The rows a load refused, as far as StarRocks names them; empty where the log cannot be had.
    pub fn error_log(&self, url: &str) -> Vec<String> {
        const MOST_BYTES: u64 = 256 << 10;
        /// StarRocks writes about fifty.
        const MOST_LINES: usize = 200;
        const WAIT: Duration = Duration::from_secs(3);
        let request = self.agent.get(url).config().timeout_global(Some(WAIT)).build();
        let Ok(mut response) = request.call() else { return vec![] };
        let mut bytes = vec![];
        // What came before an interruption is worth having.
        let _ = response.body_mut().as_reader().take(MOST_BYTES).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().take(MOST_LINES).map(String::from).collect()
    }

    /// One GET, from whichever FE answers.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask_fe(&Call::get(path), true)
    }

    /// One GET from each FE, in the configured order.
    pub(super) fn get_from_each(&self, path: &str) -> Vec<(String, Result<Answer, Failure>)> {
        let ask = |fe: &FeAddress| (fe.to_string(), self.follow(&fe.base(), &Call::get(path)));
        self.fe.iter().map(ask).collect()
    }

    /// One SQL statement over HTTP.
    pub(super) fn sql(&self, database: &str, statement: &str) -> Result<Answer, Failure> {
        let path = format!("/api/v1/catalogs/default_catalog/databases/{database}/sql");
        let body = serde_json::json!({ "query": statement }).to_string();
        let call = Call {
            method: Method::POST,
            path: &path,
            headers: &[],
            body: body.as_bytes(),
            content_type: Some("application/json"),
        };
        self.ask_fe(&call, true)
    }

    /// Whether the peer at `address` greets like a MySQL server: the FE's query port, mostly.
    pub(super) fn greets_like_mysql(&self, address: &str) -> bool {
        use io::Read;
        let Ok(mut addresses) = address.to_socket_addrs() else { return false };
        let Some(first) = addresses.next() else { return false };
        let Ok(mut stream) = TcpStream::connect_timeout(&first, self.connect_timeout) else {
            return false;
        };
        let mut head = [0; 5];
        let limited = stream.set_read_timeout(Some(self.connect_timeout)).is_ok();
        // Three bytes of length, a sequence number, then protocol version 10.
        limited && stream.read_exact(&mut head).is_ok() && head[4] == 10
    }

    /// Tries the FEs in turn. `repeatable`: a lost answer moves on to the next FE too.
    fn ask_fe(&self, call: &Call, repeatable: bool) -> Result<Answer, Failure> {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut last = None;
        for turn in 0..self.fe.len() {
            let index = (start + turn) % self.fe.len();
            match self.follow(&self.fe[index].base(), call) {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) if failure.sent && !repeatable => return Err(failure),
                // A BE that does not answer is no reason to leave the FE that named it.
                Err(failure) if failure.named_by.is_some() && !repeatable => return Err(failure),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.expect("a target has at least one FE"))
    }

    /// One hop to one FE, the next one where none listens.
    fn ask_fe_once(&self, call: &Call) -> Result<Hop, Failure> {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut last = None;
        for turn in 0..self.fe.len() {
            let index = (start + turn) % self.fe.len();
            match self.hop(&Node::fe(&self.fe[index]), call) {
                Ok(hop) => return Ok(hop),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.expect("a target has at least one FE"))
    }

    fn ask_node(&self, node: &Node, call: &Call) -> Result<Reply, Failure> {
        match self.hop(node, call)? {
            Hop::Final(answer) => Ok(classify(answer.http, &answer.body)),
            Hop::Redirect(_) => Ok(Reply::NotStarRocks(format!("`{}` redirects", node.address()))),
        }
    }

    /// Follows redirects from `base`, credentials and headers sent anew at each hop.
    fn follow(&self, base: &str, call: &Call) -> Result<Answer, Failure> {
        self.follow_from(Node { base: base.into(), named_by: String::new() }, call)
    }

    fn follow_from(&self, mut node: Node, call: &Call) -> Result<Answer, Failure> {
        for _ in 0..MOST_HOPS {
            match self.hop(&node, call)? {
                Hop::Final(answer) => return Ok(answer),
                Hop::Redirect(next) => node = next,
            }
        }
        Err(node.failure("more redirects than StarRocks makes", true))
    }

    fn hop(&self, node: &Node, call: &Call) -> Result<Hop, Failure> {
        let uri = format!("{}{}", node.base, call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(&uri);
        request = request.header("Authorization", self.authorization.reveal());
        for (name, value) in call.headers {
            // As bytes: column names in `columns` may be Chinese, which a header text may not.
            request = request.header(*name, value.as_bytes());
        }
        if let Some(kind) = call.content_type {
            request = request.header("Content-Type", kind);
        }
        let bad = |error: ureq::http::Error| node.failure(&error.to_string(), false);
        // A load's answer waits for the rows to be written.
        let loads = call.method == Method::PUT && !call.body.is_empty();
        let answer_within = if loads { LOAD_TIMEOUT } else { self.answer_timeout };
        let sent = if call.method == Method::GET {
            self.agent.run(request.body(()).map_err(bad)?)
        } else {
            let request = request.body(call.body).map_err(bad)?;
            let request = self.agent.configure_request(request);
            let request = request.timeout_recv_response(Some(answer_within));
            self.agent.run(request.timeout_per_write(Some(LOAD_TIMEOUT)).build())
        };
        let mut response = sent.map_err(|error| node.no_answer(&error))?;
        let http = response.status().as_u16();
        if matches!(http, 301 | 302 | 307 | 308) {
            let location = response.headers().get("location").and_then(|v| v.to_str().ok());
            let next = location.and_then(|text| node.named(text));
            return next.map(Hop::Redirect).ok_or_else(|| {
                node.failure("a redirect without an address that can be read", true)
            });
        }
        let body = response.body_mut().with_config().limit(MOST_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| node.no_answer(&error))?;
        Ok(Hop::Final(Answer { http, body, node: node.clone() }))
    }
}

/// A stalled BE is given up after this long without a byte moving; the server's own transaction
/// timeout is of the same size.
const LOAD_TIMEOUT: Duration = Duration::from_secs(660);

enum Hop {
    Final(Answer),
    Redirect(Node),
}

impl<'a> Call<'a> {
    fn post(path: &'a str, headers: &'a [(&'a str, &'a str)]) -> Self {
        Call { method: Method::POST, path, headers, body: b"", content_type: None }
    }

    fn get(path: &'a str) -> Self {
        Call { method: Method::GET, path, headers: &[], body: b"", content_type: None }
    }
}

impl Node {
    fn fe(address: &FeAddress) -> Self {
        Node { base: address.base(), named_by: String::new() }
    }

    /// A BE or CN that `fe` lists.
    pub(super) fn listed(address: &str, fe: &str) -> Self {
        Node { base: format!("http://{address}"), named_by: fe.into() }
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> &str {
        self.base.split_once("://").map_or(&self.base, |(_, rest)| rest)
    }

    /// The node a `Location` names. A loopback name from an FE elsewhere means the FE's own host.
    fn named(&self, location: &str) -> Option<Node> {
        let (scheme, rest) = location.split_once("://")?;
        let authority = rest.split(['/', '?']).next().filter(|text| !text.is_empty())?;
        // Old servers put `user:password@` there; ours goes in the header.
        let authority = authority.rsplit('@').next()?;
        let (host, port) = authority.rsplit_once(':')?;
        let own_host = self.address().rsplit_once(':').map_or(self.address(), |(host, _)| host);
        let host = if is_loopback(host) && !is_loopback(own_host) { own_host } else { host };
        let named_by =
            if self.named_by.is_empty() { self.address().into() } else { self.named_by.clone() };
        Some(Node { base: format!("{scheme}://{host}:{port}"), named_by })
    }

    fn failure(&self, cause: &str, sent: bool) -> Failure {
        Failure {
            address: self.address().into(),
            named_by: Some(self.named_by.clone()).filter(|fe| !fe.is_empty()),
            cause: cause.into(),
            sent,
            not_http: false,
            no_tls: false,
        }
    }

    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let (cause, sent) = http::describe(error);
        Failure {
            not_http: matches!(error, ureq::Error::Protocol(_)),
            no_tls: http::is_of_tls(error),
            ..self.failure(&cause, sent)
        }
    }
}

fn read_state(answer: &Answer) -> Result<LabelState, Failure> {
    label_state(answer.http, &answer.body).ok_or_else(|| {
        let text = String::from_utf8_lossy(&answer.body);
        answer.node.failure(&format!("no label state in HTTP {} {text:.120}", answer.http), true)
    })
}

fn stream_load_path(table: &TableName) -> String {
    format!("/api/{}/{}/_stream_load", table.database, table.table)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

fn seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

impl FeAddress {
    fn base(&self) -> String {
        format!("{}://{self}", if self.https { "https" } else { "http" })
    }
}

impl fmt::Display for FeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("fe", &self.fe).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fe: &str, location: &str, expect: Option<&str>) {
        let fe = Node { base: format!("http://{fe}"), named_by: String::new() };
        let node = fe.named(location);
        assert_eq!(node.as_ref().map(Node::address), expect);
    }

    #[test]
    fn a_redirect_names_a_node_with_its_whole_authority() {
        check("fe1:8030", "http://10.0.0.7:8040/api/d/t/_stream_load?x=1", Some("10.0.0.7:8040"));
        check("fe1:8030", "http://root:pw@be:8040/api", Some("be:8040"));
        check("fe1:8030", "/api/d/t", None);
        check("fe1:8030", "http://be/api", None);
    }

    #[test]
    fn a_loopback_name_from_a_remote_fe_means_that_host() {
        check("fe1:8030", "http://127.0.0.1:8040/api", Some("fe1:8040"));
        check("127.0.0.1:8030", "http://127.0.0.1:8040/api", Some("127.0.0.1:8040"));
    }

    fn target(host: &str, port: u16, user: &str, password: &str) -> Target {
        Target {
            fe: vec![FeAddress { https: false, host: host.into(), port }],
            database: "d".into(),
            user: user.into(),
            password: Secret::new(password),
            password_origin: String::new(),
            fe_origin: String::new(),
            headers: vec![],
            own_headers: vec![],
            compression: crate::config::job::Compression::None,
            connect_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn credentials_do_not_show_in_debug() {
        let client = Client::new(&target("h", 1, "u", "hunter2"));
        assert!(!format!("{client:?}").contains("hunter2"));
    }

    #[test]
    fn a_column_with_a_chinese_name_can_be_named_in_a_header() {
        let standin = standin::Standin::builder().start().unwrap();
        let ddl = "CREATE DATABASE d; CREATE TABLE d.t (id INT, `城市` STRING)";
        standin.execute(ddl).unwrap();
        let client = Client::new(&target("127.0.0.1", standin.fe().port(), "root", ""));
        let table = TableName { database: "d".into(), table: "t".into() };
        let headers = [("columns".to_string(), "城市, id".to_string())];
        client.stream_load("l", &table, &headers, "北京\t1\n".as_bytes()).unwrap();
        assert_eq!(standin.rows("d", "t"), [serde_json::json!({ "id": 1, "城市": "北京" })]);
    }
}
