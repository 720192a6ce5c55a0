//! The backend's half of the transaction interface: begin, load, prepare, commit, rollback on the
//! contexts of this backend (STREAM_LOAD 5.2, 5.3).

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::body::{self, BadBody};
use super::reply::Fields;
use super::stream_load::refused_rows;
use super::{
    begin, check_length, existing_job, keep_error_log, label_used, login, may_load, timestamp,
};
use crate::cluster::{Cluster, State};
use crate::context::Context;
use crate::fault::Hits;
use crate::http::{Conn, Request};
use crate::load_spec::{Format, LoadSpec, signature, timeout_seconds};
use crate::plan::{Plan, Rows};
use crate::service::{Handled, Rest, body_gate};
use crate::txn::{Begin, Committed, LOST, Refusal, TxnState};

const OK: &str = "OK";
const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
const INTERNAL_ERROR: &str = "INTERNAL_ERROR";
const ANALYSIS_ERROR: &str = "ANALYSIS_ERROR";
const TXN_NOT_EXISTS: &str = "TXN_NOT_EXISTS";
const TXN_IN_PROCESSING: &str = "TXN_IN_PROCESSING";
const LABEL_ALREADY_EXISTS: &str = "LABEL_ALREADY_EXISTS";
const ABORTED: &str = "ABORTED";

/// An answer that is not OK.
#[derive(Debug, Default)]
struct Error {
    status: &'static str,
    message: String,
    existing: Option<&'static str>,
    error_url: Option<String>,
    txn_id: Option<i64>,
}

impl Error {
    fn new(status: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), ..Self::default() }
    }

    fn txn(mut self, id: i64) -> Self {
        self.txn_id = Some(id);
        self
    }
}

/// One request to the transaction interface.
struct Ask<'a> {
    cluster: &'a Arc<Cluster>,
    be: usize,
    request: &'a Request,
    hits: &'a Hits,
    label: &'a str,
    /// What the context is found by: the label, and the table where there may be several.
    key: String,
    db: &'a str,
    table: &'a str,
    started: Instant,
}

pub(super) fn handle(
    cluster: &Arc<Cluster>,
    be: usize,
    conn: &mut Conn,
    request: &Request,
    hits: &Hits,
    op: &str,
) -> Handled {
    let header = |name: &str| request.headers.get(name).unwrap_or_default();
    let is_multi = op == "load"
        && cluster.version.has_multi_table()
        && header("transaction_type").eq_ignore_ascii_case("multi");
    let ask = Ask {
        cluster,
        be,
        request,
        hits,
        label: header("label"),
        key: match is_multi {
            true => format!("{}\n{}", header("label"), header("table")),
            false => header("label").to_owned(),
        },
        db: header("db"),
        table: header("table"),
        started: Instant::now(),
    };
    if op == "load" {
        if is_multi && let Err(error) = ask.join_multi() {
            return ask.error(&error);
        }
        return ask.load(conn);
    }
    let outcome = ask.check_managing(op).and_then(|()| match op {
        "begin" => ask.begin(),
        "prepare" => ask.prepare_or_commit(true),
        "commit" => ask.prepare_or_commit(false),
        "rollback" => ask.rollback(),
        _ => {
            let text = format!("unsupport transaction operation {op}");
            Err(Error::new(INVALID_ARGUMENT, text))
        }
    });
    match outcome {
        Ok(handled) => handled,
        Err(error) => ask.error(&error),
    }
}

impl Ask<'_> {
    fn now_ms(&self) -> u64 {
        self.cluster.clock.now_ms()
    }

    fn check_managing(&self, _op: &str) -> Result<(), Error> {
        if self.label.is_empty() {
            return Err(Error::new(INVALID_ARGUMENT, "empty label"));
        }
        let multi = self.request.headers.filled("transaction_type").is_some();
        if multi && self.cluster.version.has_multi_table() {
            let text = "Multi-statement transaction requests can only be sent to FE nodes, not BE \
                        nodes";
            return Err(Error::new(INVALID_ARGUMENT, text));
        }
        Ok(())
    }

    /// `Db` and `Table` of the label's context, for replies that name them.
    fn add_table(&self, fields: &mut Fields, names: (&str, &str)) {
        if self.cluster.version.names_table_in_replies() {
            fields.add("Db", names.0).add("Table", names.1);
        }
    }

    fn names(&self) -> (String, String) {
        let state = self.cluster.lock();
        match state.backends[self.be].contexts.get(&self.key) {
            Some(c) => (c.db.clone(), c.table.clone()),
            None => Default::default(),
        }
    }

    fn error(&self, error: &Error) -> Handled {
        let mut fields = Fields::default();
        fields.add("Status", error.status);
        if error.status == LABEL_ALREADY_EXISTS {
            fields.add("ExistingJobStatus", error.existing.unwrap_or_default());
        }
        if error.status == TXN_IN_PROCESSING {
            fields.add("Label", self.label);
        }
        fields.add("Message", error.message.as_str());
        let (db, table) = self.names();
        self.add_table(&mut fields, (&db, &table));
        if let Some(url) = &error.error_url {
            fields.add("ErrorURL", url.as_str());
        }
        let mut handled = Handled::new(fields.reply(), error.status);
        handled.txn_id = error.txn_id;
        handled
    }

    fn begin(&self) -> Result<Handled, Error> {
        let version = self.cluster.version;
        let headers = &self.request.headers;
        let login = login(self.request).map_err(|text| Error::new(INTERNAL_ERROR, text))?;
        let now_ms = self.now_ms();
        let mut state = self.cluster.lock();
        if state.backends[self.be].contexts.contains_key(&self.key) {
            return Err(Error { existing: Some(""), ..Error::new(LABEL_ALREADY_EXISTS, "") });
        }
        let seconds = |name| {
            timeout_seconds(headers, name).map_err(|text| Error::new(INVALID_ARGUMENT, text))
        };
        let timeout_s = seconds("timeout")?;
        let idle_timeout_s = seconds("idle_transaction_timeout")?;
        let wanted = Begin {
            db: self.db,
            table: self.table,
            label: self.label,
            be: Some(self.be),
            timeout_s,
            multi: false,
        };
        if let Some(text) = self.hits.failure() {
            return Err(Error::new(ANALYSIS_ERROR, text));
        }
        let txn_id = begin(&mut state, version, &login, &wanted, now_ms)
            .map_err(|refusal| self.refused(refusal))?;
        let timeout_s = timeout_s.unwrap_or(state.limits.stream_load_default_timeout_second);
        let context = self.context(&state, txn_id, now_ms, timeout_s, idle_timeout_s)?;
        state.backends[self.be].contexts.insert(self.key.clone(), context);
        drop(state);
        let mut fields = Fields::default();
        fields.add("Status", OK).add("Message", "");
        self.add_table(&mut fields, (self.db, self.table));
        fields.add("Label", self.label).add("TxnId", txn_id).add("BeginTxnTimeMs", 0);
        Ok(Handled::new(fields.reply(), OK).txn(txn_id))
    }

    fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Text(text) if text.contains("Label format error") => {
                Error::new(INTERNAL_ERROR, text)
            }
            Refusal::Text(text) => Error::new(ANALYSIS_ERROR, text),
            Refusal::LabelUsed { .. } if self.cluster.version.hides_label_conflict() => {
                let text = label_used(self.label);
                Error::new(ANALYSIS_ERROR, format!("cancel stream task for exception: {text}"))
            }
            Refusal::LabelUsed { state } => Error {
                existing: Some(existing_job(state)),
                ..Error::new(LABEL_ALREADY_EXISTS, label_used(self.label))
            },
        }
    }

    fn load(&self, conn: &mut Conn) -> Handled {
        let (mut rows, work) = match self.start_load() {
            Ok(started) => started,
            Err(error) => {
                let mut handled = self.error(&error);
                if self.request.expects_continue()
                    && let Some(reply) = &mut handled.reply
                {
                    // The body never comes, so the connection is of no further use.
                    reply.close = true;
                }
                return handled;
            }
        };
        if self.request.expects_continue() && conn.send_continue().is_err() {
            return self.broken(work.txn_id);
        }
        let mut body = conn.body(self.request);
        body.set_limit(self.cluster.lock().limits.streaming_load_max_bytes);
        if let Some(gate) = body_gate(self.cluster, self.hits) {
            body.set_gate(gate);
        }
        let mut outcome = body::consume(&mut body, &work.plan, &work.keep, &mut rows);
        if matches!(outcome, Err(BadBody::Data(_))) && io::copy(&mut body, &mut io::sink()).is_err()
        {
            outcome = Err(BadBody::Broken);
        }
        let received = body.received();
        let (hash, failed) = match outcome {
            Err(BadBody::Broken) => return self.broken(work.txn_id),
            Err(BadBody::Data(message)) => (0, Some(message)),
            Ok(hash) => (hash, None),
        };
        let mut handled = self.end_load(work.txn_id, rows, received, failed);
        handled.body_bytes = received;
        handled.body_hash = hash;
        handled.rest(Rest::Read)
    }

    /// Makes a context for a table that an open transaction over several tables meets first.
    fn join_multi(&self) -> Result<(), Error> {
        let login = login(self.request).map_err(|text| Error::new(INTERNAL_ERROR, text))?;
        let now_ms = self.now_ms();
        let mut state = self.cluster.lock();
        let txn_id = match state.txn_of(self.db, self.label) {
            Some(txn) if txn.multi && txn.state == TxnState::Prepare => txn.id,
            _ => {
                let text = format!("Transaction with label {} not exists", self.label);
                return Err(Error::new(TXN_NOT_EXISTS, text));
            }
        };
        if state.backends[self.be].contexts.contains_key(&self.key) {
            return Ok(());
        }
        may_load(&state, &login, self.db, self.table)
            .map_err(|text| Error::new(ANALYSIS_ERROR, text).txn(txn_id))?;
        let timeout_s = state.limits.stream_load_default_timeout_second;
        let context = self.context(&state, txn_id, now_ms, timeout_s, None)?;
        state.backends[self.be].contexts.insert(self.key.clone(), context);
        Ok(())
    }

    /// A fresh context for this request's table.
    fn context(
        &self,
        state: &State,
        txn_id: i64,
        now_ms: u64,
        timeout_s: u64,
        idle_timeout_s: Option<u64>,
    ) -> Result<Context, Error> {
        let table = state.table(self.db, self.table).ok_or_else(|| {
            let text = format!("unknown table \"{}.{}\"", self.db, self.table);
            Error::new(ANALYSIS_ERROR, text)
        })?;
        Ok(Context {
            db: self.db.to_owned(),
            table: self.table.to_owned(),
            txn_id,
            schema: Arc::clone(&table.schema),
            keep: table.keep.clone(),
            first: None,
            rows: Rows::default(),
            declared_bytes: 0,
            received_bytes: 0,
            failed: None,
            busy: false,
            begun_ms: now_ms,
            used_ms: now_ms,
            timeout_s,
            idle_timeout_s,
        })
    }

    /// Checks a load and takes the context for it.
    fn start_load(&self) -> Result<(Rows, Work), Error> {
        if self.label.is_empty() {
            return Err(Error::new(INVALID_ARGUMENT, "Invalid label "));
        }
        let now_ms = self.now_ms();
        let mut guard = self.cluster.lock();
        let state = &mut *guard;
        let Some(context) = state.backends[self.be].contexts.get(&self.key) else {
            let text = format!("Transaction with label {} not exists", self.label);
            return Err(Error::new(TXN_NOT_EXISTS, text));
        };
        let txn_id = context.txn_id;
        check_same("database", self.db, &context.db)?;
        check_same("table", self.table, &context.table)?;
        if context.busy {
            return Err(in_processing().txn(txn_id));
        }
        if context.failed.is_some() {
            self.roll_back(state, txn_id, "current transaction is aborted", now_ms);
            return Err(Error::new(ABORTED, "current transaction is aborted").txn(txn_id));
        }
        match self.plan(state, now_ms) {
            Ok(work) => {
                let context = state.backends[self.be].contexts.get_mut(&self.key);
                let context = context.ok_or_else(|| Error::new(TXN_NOT_EXISTS, ""))?;
                context.busy = true;
                context.declared_bytes += self.request.content_length().unwrap_or(0);
                let first = (signature(&self.request.headers), Arc::clone(&work.plan));
                context.first.get_or_insert(first);
                Ok((std::mem::take(&mut context.rows), work))
            }
            Err(message) => {
                self.roll_back(state, txn_id, &message, now_ms);
                Err(Error::new(INTERNAL_ERROR, message).txn(txn_id))
            }
        }
    }

    fn plan(&self, state: &State, now_ms: u64) -> Result<Work, String> {
        let headers = &self.request.headers;
        let context = &state.backends[self.be].contexts[&self.key];
        if let Some(text) = self.hits.failure() {
            return Err(text.to_owned());
        }
        let plan = match &context.first {
            Some((first, _)) if *first != signature(headers) => {
                return Err("load request not equal last.".to_owned());
            }
            Some((_, plan)) => Arc::clone(plan),
            None => {
                let spec = LoadSpec::parse(headers, self.cluster.version, true)?;
                Arc::new(Plan::new(
                    Arc::clone(&context.schema),
                    spec,
                    &timestamp(now_ms),
                    self.cluster.version,
                )?)
            }
        };
        let json = plan.spec.format == Format::Json;
        let declared = self.request.content_length();
        let (before, ignore) = (context.declared_bytes, plan.spec.ignore_json_size);
        check_length(state, declared, before, json, ignore)?;
        Ok(Work { txn_id: context.txn_id, plan, keep: context.keep.clone() })
    }

    /// Rolls a transaction back at the frontend and forgets it here.
    fn roll_back(&self, state: &mut State, txn_id: i64, reason: &str, now_ms: u64) {
        state.backends[self.be].contexts.remove(&self.key);
        state.abort(txn_id, reason, now_ms);
    }

    fn broken(&self, txn_id: i64) -> Handled {
        let now_ms = self.now_ms();
        let mut state = self.cluster.lock();
        let context = state.backends[self.be].contexts.get(&self.key);
        if context.is_some_and(|c| c.txn_id == txn_id) {
            let reason = "receive body don't equal with body bytes";
            self.roll_back(&mut state, txn_id, reason, now_ms);
        }
        Handled::gone("connection broken").txn(txn_id)
    }

    /// Gives the context back with what the load brought.
    fn end_load(&self, txn_id: i64, rows: Rows, received: u64, failed: Option<String>) -> Handled {
        let now_ms = self.now_ms();
        let mut state = self.cluster.lock();
        let context = state.backends[self.be].contexts.get_mut(&self.key);
        let Some(context) = context.filter(|c| c.txn_id == txn_id) else {
            return Handled::gone("context lost").txn(txn_id);
        };
        context.rows = rows;
        context.received_bytes += received;
        context.failed = failed;
        context.busy = false;
        context.used_ms = now_ms;
        drop(state);
        let mut fields = Fields::default();
        fields.add("Status", OK).add("Message", "");
        self.add_table(&mut fields, (self.db, self.table));
        fields
            .add("Label", self.label)
            .add("TxnId", txn_id)
            .add("LoadBytes", received)
            .add("StreamLoadPlanTimeMs", 0)
            .add("ReceivedDataTimeMs", self.elapsed_ms());
        Handled::new(fields.reply(), OK).txn(txn_id)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn prepare_or_commit(&self, prepare: bool) -> Result<Handled, Error> {
        let now_ms = self.now_ms();
        let prepared_timeout_s = self.prepared_timeout(prepare)?;
        let mut guard = self.cluster.lock();
        let state = &mut *guard;
        let Some(context) = state.backends[self.be].contexts.get(&self.key) else {
            let text = format!("transaction with label {} not exists", self.label);
            return Err(Error::new(TXN_NOT_EXISTS, text));
        };
        let txn_id = context.txn_id;
        if context.db != self.db {
            let text = format!("request db {} transaction db {} not match", self.db, context.db);
            return Err(Error::new(INVALID_ARGUMENT, text).txn(txn_id));
        }
        if context.busy {
            return Err(in_processing().txn(txn_id));
        }
        // From here the context is gone, whatever comes of it.
        let mut context = match state.backends[self.be].contexts.remove(&self.key) {
            Some(context) => context,
            None => return Err(Error::new(TXN_NOT_EXISTS, "")),
        };
        if let Err(mut error) = self.check_data(&mut context) {
            error.error_url = keep_error_log(state, self.be, &context.rows.log);
            state.abort(txn_id, &error.message, now_ms);
            return Err(error.txn(txn_id));
        }
        let error_url = keep_error_log(state, self.be, &context.rows.log);
        let fate = self.finish(state, &mut context, prepare, prepared_timeout_s, now_ms);
        let (status, message) = fate.map_err(|e| e.txn(txn_id))?;
        drop(guard);
        let mut fields = Fields::default();
        fields.add("Status", status).add("Message", message.as_str());
        self.add_table(&mut fields, (&context.db, &context.table));
        self.add_counts(&mut fields, &context);
        if let Some(url) = error_url {
            fields.add("ErrorURL", url);
        }
        Ok(Handled::new(fields.reply(), status).txn(txn_id))
    }

    fn prepared_timeout(&self, prepare: bool) -> Result<Option<u64>, Error> {
        if !prepare || !self.cluster.version.has_prepared_timeout() {
            return Ok(None);
        }
        let Some(text) = self.request.headers.filled("prepared_timeout") else { return Ok(None) };
        let bad = || Error::new(INVALID_ARGUMENT, format!("Invalid prepared_timeout: {text}"));
        text.trim().parse().map(Some).map_err(|_| bad())
    }

    /// Whether what was loaded may be prepared.
    fn check_data(&self, context: &mut Context) -> Result<(), Error> {
        if let Some(text) = self.hits.failure() {
            return Err(Error::new(INTERNAL_ERROR, text));
        }
        let Some((_, plan)) = &context.first else {
            let text = format!(
                "transaction <{}, {}, {}> hasn't send any data yet",
                context.db, context.table, self.label
            );
            return Err(Error::new(INTERNAL_ERROR, text));
        };
        if let Some(text) = context.failed.take() {
            return Err(Error::new(INTERNAL_ERROR, text));
        }
        body::finish(plan, &context.keep, &mut context.rows);
        match refused_rows(&context.rows, plan, self.cluster) {
            Some(text) => Err(Error::new(INTERNAL_ERROR, text)),
            None => Ok(()),
        }
    }

    /// Asks the frontend to prepare or commit; gives the reply's status and message.
    fn finish(
        &self,
        state: &mut State,
        context: &mut Context,
        prepare: bool,
        prepared_timeout_s: Option<u64>,
        now_ms: u64,
    ) -> Result<(&'static str, String), Error> {
        let txn_id = context.txn_id;
        let staged = match &context.first {
            Some((_, plan)) => vec![context.rows.stage(plan)],
            None => Vec::new(),
        };
        let refused = |text: String| {
            let status = if text == LOST { INTERNAL_ERROR } else { ANALYSIS_ERROR };
            Error::new(status, text)
        };
        if prepare {
            state.prepare(txn_id, staged, prepared_timeout_s, now_ms).map_err(refused)?;
            if let Some(after_ms) = self.hits.lost_prepare_ms() {
                let text = "call frontend service failed, address=TNetworkAddress(hostname=\
                            127.0.0.1, port=9020), reason=THRIFT_EAGAIN (timed out)";
                state.roll_back_later(txn_id, now_ms + after_ms, text.to_owned());
                return Err(Error::new("THRIFT_RPC_ERROR", text));
            }
            return Ok((OK, String::new()));
        }
        state.stage(txn_id, staged).map_err(refused)?;
        let committed = state.commit(txn_id, self.hits.publish_ms(), now_ms);
        if let Some(text) = self.hits.failure_after_commit() {
            return Err(Error::new(INTERNAL_ERROR, text));
        }
        match committed {
            Committed::Visible => Ok((OK, String::new())),
            Committed::PublishTimeout => {
                Ok(("PUBLISH_TIMEOUT", self.cluster.version.publish_timeout_text().to_owned()))
            }
        }
    }

    fn add_counts(&self, fields: &mut Fields, context: &Context) {
        fields
            .add("Label", self.label)
            .add("TxnId", context.txn_id)
            .add("NumberTotalRows", context.rows.total)
            .add("NumberLoadedRows", context.rows.loaded())
            .add("NumberFilteredRows", context.rows.filtered)
            .add("NumberUnselectedRows", 0)
            .add("LoadBytes", context.received_bytes)
            .add("LoadTimeMs", self.now_ms().saturating_sub(context.begun_ms))
            .add(self.cluster.version.plan_time_field(), 0)
            .add("ReceivedDataTimeMs", 0)
            .add("WriteDataTimeMs", 0)
            .add("CommitAndPublishTimeMs", self.elapsed_ms());
    }

    fn rollback(&self) -> Result<Handled, Error> {
        let now_ms = self.now_ms();
        let mut state = self.cluster.lock();
        let Some(context) = state.backends[self.be].contexts.get(&self.key) else {
            let text = format!("transaction with label {} not exists", self.label);
            return Err(Error::new(TXN_NOT_EXISTS, text));
        };
        let txn_id = context.txn_id;
        if context.busy {
            return Err(in_processing().txn(txn_id));
        }
        self.roll_back(&mut state, txn_id, "transaction is aborted by user.", now_ms);
        drop(state);
        let mut fields = Fields::default();
        fields.add("Status", OK).add("Message", "");
        self.add_table(&mut fields, ("", ""));
        fields.add("Label", self.label);
        Ok(Handled::new(fields.reply(), OK).txn(txn_id))
    }
}

/// A load that may go on.
struct Work {
    txn_id: i64,
    plan: Arc<Plan>,
    keep: crate::table::Keep,
}

fn check_same(what: &str, asked: &str, is: &str) -> Result<(), Error> {
    if asked == is {
        return Ok(());
    }
    let text = format!("Request {what} {asked} not equal transaction {what} {is}");
    Err(Error::new(INVALID_ARGUMENT, text))
}

fn in_processing() -> Error {
    Error::new(TXN_IN_PROCESSING, "Transaction in processing, please retry later")
}
