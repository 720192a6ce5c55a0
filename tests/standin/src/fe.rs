//! A frontend: redirects of loads, the transaction interface's frontend half, label states and
//! cancel (STREAM_LOAD 2, 4, 5). Discovery and SQL have their own files.

mod discovery;
mod multi;
mod reply;
mod transaction;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use self::reply::{access_denied, class_failure, not_found, not_implemented, ok, rest_failure};
use crate::access::{Login, NoLogin, Privilege};
use crate::cluster::{Cluster, State};
use crate::fault::Hits;
use crate::http::{Conn, Reply, Request};
use crate::profile::Version;
use crate::service::{Handled, Rest};
use crate::txn::TxnState;

/// One request to frontend `fe`.
pub(super) struct Ask<'a> {
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) fe: usize,
    pub(super) request: &'a Request,
    pub(super) hits: &'a Hits,
    pub(super) client_ip: String,
}

/// Handles one request to frontend `fe`.
pub(crate) fn handle(
    cluster: &Arc<Cluster>,
    fe: usize,
    conn: &mut Conn,
    request: &Request,
    hits: &Hits,
) -> Handled {
    let ask = Ask { cluster, fe, request, hits, client_ip: conn.peer_ip() };
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("PUT", ["api", db, table, "_stream_load"]) => ask.stream_load(db, table),
        ("POST" | "PUT", ["api", "transaction", op]) if ask.version().has_transactions() => {
            ask.transaction(op)
        }
        ("GET", ["api", db, "get_load_state"]) => ask.load_state(db),
        ("POST", ["api", db, table, "_cancel"]) => ask.cancel(db, table),
        ("GET", ["api", db, "_load_info"]) => ask.load_info(db),
        ("POST", ["api", "v1", "catalogs", _, "sql"]) => ask.sql(conn, None),
        ("POST", ["api", "v1", "catalogs", _, "databases", db, "sql"]) => ask.sql(conn, Some(db)),
        ("GET", path) => match ask.discovery(path) {
            Some(handled) => handled,
            None => not_found(),
        },
        _ => not_implemented(),
    }
}

/// Reads a small body, as the frontend gathers a POST's before it looks at it.
pub(super) fn read_body(conn: &mut Conn, request: &Request) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    conn.body(request).take(6_553_600).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl Ask<'_> {
    pub(super) fn version(&self) -> Version {
        self.cluster.version
    }

    fn now_ms(&self) -> u64 {
        self.cluster.clock.now_ms()
    }

    /// The user of the request, if the password is right; else the 401.
    fn authenticate(&self, state: &State) -> Result<Login, Handled> {
        let login = Login::from_header(self.request.headers.get("authorization")).map_err(|e| {
            access_denied(&match e {
                NoLogin::Missing => "Need auth information.".to_owned(),
                NoLogin::Garbled(text) => text,
            })
        })?;
        match state.users.check(&login) {
            Some(_) => Ok(login),
            None => {
                Err(access_denied(&format!("Access denied for {}@{}", login.user, self.client_ip)))
            }
        }
    }

    /// Checks the password, then sends a follower's client to the leader.
    fn at_leader(&self, state: &State) -> Result<Login, Handled> {
        let login = self.authenticate(state)?;
        if self.fe == state.leader || self.is_deposed(state) {
            return Ok(login);
        }
        let leader = state.frontends[state.leader].addr.to_string();
        Err(self.redirect(&leader))
    }

    pub(super) fn is_deposed(&self, state: &State) -> bool {
        state.deposed.as_ref().is_some_and(|d| d.fe == self.fe)
    }

    fn redirect(&self, authority: &str) -> Handled {
        let authority = self.hits.location().unwrap_or(authority);
        let location = format!("http://{authority}{}", self.request.target);
        Handled::new(Reply::redirect(location), "307")
    }

    /// A deposed leader's answer to what it would have to write down: none, until it is gone.
    fn no_answer(&self) -> Handled {
        loop {
            let state = self.cluster.lock();
            let still = state.deposed.as_ref().is_some_and(|d| d.fe == self.fe)
                && state.deposed.as_ref().is_some_and(|d| d.until_ms > self.now_ms());
            if !still || state.faults.shut {
                return Handled::gone("no answer from a deposed leader");
            }
            drop(self.cluster.wait(state, Duration::from_millis(50)));
        }
    }

    fn stream_load(&self, db: &str, table: &str) -> Handled {
        let closes = self.version().closes_after_stream_load();
        let rest = if closes { Rest::Read } else { Rest::NextRequest };
        let closing = |mut handled: Handled| {
            if let Some(reply) = &mut handled.reply {
                reply.close = closes;
            }
            handled.rest(rest)
        };
        let mut state = self.cluster.lock();
        let login = match self.authenticate(&state) {
            Ok(login) => login,
            Err(denied) => return denied,
        };
        let failed = |text: &str| closing(class_failure("com.starrocks.common.DdlException", text));
        if !self.expect_is_fine() {
            return failed("There is no 100-continue header");
        }
        // Query parameters stand in for path segments of the same name.
        let db = self.request.param("db").unwrap_or(db);
        let table = self.request.param("table").unwrap_or(table);
        let exists = state.table(db, table).is_some();
        let user = state.users.check(&login);
        if exists && !user.is_some_and(|u| u.may(Privilege::Insert, db, table)) {
            return closing(if self.version().privilege_is_401() {
                access_denied("Access denied.")
            } else {
                let text = format!(
                    "Access denied; user '{}'@'{}' need INSERT action on {db}.{table}",
                    login.user, self.client_ip
                );
                class_failure("com.starrocks.http.UnauthorizedException", &text)
            });
        }
        match state.pick_backend() {
            None => failed("No backend alive."),
            Some(be) => closing(self.redirect(&state.backends[be].authority())),
        }
    }

    fn expect_is_fine(&self) -> bool {
        let version = self.version();
        if self.request.minor == 0 && version.exempts_http_1_0_from_expect() {
            return true;
        }
        match self.request.headers.get("expect") {
            None => false,
            Some(_) if !version.checks_expect_value() => true,
            Some(value) => value.eq_ignore_ascii_case("100-continue"),
        }
    }

    fn load_state(&self, db: &str) -> Handled {
        let state = self.cluster.lock();
        if let Err(handled) = self.at_leader(&state) {
            return handled;
        }
        let Some(label) = self.request.param("label").filter(|l| !l.is_empty()) else {
            return rest_failure("No label selected.");
        };
        let (db_id, txns) = match &state.deposed {
            Some(deposed) if deposed.fe == self.fe => {
                (deposed.databases.get(db).copied(), &deposed.known)
            }
            _ => (state.db_id(db), &state.txns),
        };
        let Some(db_id) = db_id else {
            return rest_failure(&format!("unknown database, database={db}"));
        };
        // An open multi-table transaction does not show.
        let txn = txns.newest(db_id, label).filter(|t| !(t.multi && t.state == TxnState::Prepare));
        let (name, reason) = match txn {
            Some(txn) => (txn.state.name(), Some(txn.reason.as_str())),
            None => ("UNKNOWN", None),
        };
        let reason = reason.filter(|_| self.version().state_has_reason());
        let reason = reason.map_or(String::new(), |r| format!(",\"reason\":{}", reply::gson(r)));
        let body = format!(
            "{{\"state\":\"{name}\"{reason},\"status\":\"OK\",\"code\":\"0\",\"msg\":\"Success\",\
             \"message\":\"OK\"}}"
        );
        let mut handled = Handled::new(Reply::json(body), name);
        handled.txn_id = txn.map(|t| t.id);
        handled
    }

    fn cancel(&self, db: &str, segment: &str) -> Handled {
        let mut state = self.cluster.lock();
        if let Err(handled) = self.at_leader(&state) {
            return handled;
        }
        if self.is_deposed(&state) {
            drop(state);
            return self.no_answer();
        }
        let label = match self.request.param("label").filter(|l| !l.is_empty()) {
            Some(label) => label,
            None if self.version().cancel_reads_path() => segment,
            None => return rest_failure("No label selected."),
        };
        if state.db_id(db).is_none() {
            return rest_failure(&format!("unknown database, database={db}"));
        }
        let id = match state.txn_of(db, label) {
            Some(txn) if txn.state == TxnState::Prepare => txn.id,
            other => {
                return rest_failure(&self.version().no_cancel_text(label, other.is_some()));
            }
        };
        state.abort(id, "user cancel", self.now_ms());
        ok().txn(id)
    }

    fn load_info(&self, db: &str) -> Handled {
        let state = self.cluster.lock();
        match self.at_leader(&state) {
            Err(handled) => handled,
            Ok(_) => rest_failure(&format!("No jobs belong to database({db})")),
        }
    }
}

/// The page behind a GET that is no route.
pub(super) const PAGE_404: &str = "<html><body>this is 404 page.</body></html>";
