//! Plain Stream Load on a backend: begin and plan on the headers alone, then the body, then
//! commit and publish, all in one request (STREAM_LOAD 3).

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::body::{self, BadBody};
use super::reply::Fields;
use super::{begin, check_length, existing_job, keep_error_log, label_used, login, timestamp};
use crate::cluster::Cluster;
use crate::fault::Hits;
use crate::http::{Conn, Request};
use crate::load_spec::{LoadSpec, timeout_seconds};
use crate::plan::{Plan, Rows};
use crate::service::{Handled, Rest, body_gate};
use crate::table::Keep;
use crate::txn::{Begin, Committed, Refusal};

/// What a reply says of the load.
struct Report {
    txn_id: i64,
    label: String,
    status: &'static str,
    existing: Option<&'static str>,
    message: String,
    rows: Rows,
    received: u64,
    error_url: Option<String>,
    rejected: bool,
}

impl Report {
    fn failed(label: &str, message: impl Into<String>) -> Self {
        Self {
            txn_id: -1,
            label: label.to_owned(),
            status: "Fail",
            existing: None,
            message: message.into(),
            rows: Rows::default(),
            received: 0,
            error_url: None,
            rejected: false,
        }
    }
}

/// A load that has begun and is planned.
struct Begun {
    txn_id: i64,
    plan: Plan,
    keep: Keep,
    /// The backend's life it began in.
    epoch: u64,
}

struct Load<'a> {
    cluster: &'a Arc<Cluster>,
    be: usize,
    request: &'a Request,
    hits: &'a Hits,
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
    db: &str,
    table: &str,
) -> Handled {
    let load = Load { cluster, be, request, hits, db, table, started: Instant::now() };
    let label = match request.headers.filled("label") {
        Some(label) => label.to_owned(),
        None => load.generated_label(),
    };
    let begun = match load.header_phase(&label) {
        Ok(begun) => begun,
        // With `Expect` the body never comes, so the connection is of no further use.
        Err(report) if request.expects_continue() => return load.answer(&report, true),
        Err(report) => return load.answer(&report, false),
    };
    if request.expects_continue() && conn.send_continue().is_err() {
        return load.broken(begun.txn_id, begun.epoch);
    }
    load.body_phase(conn, begun, label)
}

impl Load<'_> {
    /// A UUID-shaped label, as the server makes up.
    fn generated_label(&self) -> String {
        let id = self.cluster.lock().new_id();
        let mixed = crate::table::mix(id);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            mixed >> 32,
            (mixed >> 16) & 0xffff,
            mixed & 0xfff,
            (mixed >> 12) & 0xfff,
            id
        )
    }

    fn header_phase(&self, label: &str) -> Result<Begun, Box<Report>> {
        let fail = |message: String| Box::new(Report::failed(label, message));
        let headers = &self.request.headers;
        let login = login(self.request).map_err(fail)?;
        let spec = LoadSpec::parse(headers, self.cluster.version, false);
        let is_format_error =
            |e: &str| e.starts_with("unknown data format") || e.starts_with("Invalid parameter");
        if let Err(error) = &spec
            && is_format_error(error)
        {
            return Err(fail(error.clone()));
        }
        let timeout_s = timeout_seconds(headers, "timeout").map_err(fail)?;
        let now_ms = self.cluster.clock.now_ms();
        let mut state = self.cluster.lock();
        let is_json = headers.get("format").is_some_and(|f| f.eq_ignore_ascii_case("json"));
        let ignore =
            headers.get("ignore_json_size").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        check_length(&state, self.request.content_length(), 0, is_json, ignore).map_err(fail)?;
        let wanted = Begin {
            db: self.db,
            table: self.table,
            label,
            be: Some(self.be),
            timeout_s,
            multi: false,
        };
        let txn_id = begin(&mut state, self.cluster.version, &login, &wanted, now_ms)
            .map_err(|refusal| self.refused(label, refusal))?;
        let planned = spec.and_then(|spec| {
            let table = state.table(self.db, self.table).ok_or("unknown table")?;
            let plan = Plan::new(
                Arc::clone(&table.schema),
                spec,
                &timestamp(now_ms),
                self.cluster.version,
            )?;
            Ok((plan, table.keep.clone()))
        });
        match planned {
            Ok((plan, keep)) => {
                Ok(Begun { txn_id, plan, keep, epoch: state.backends[self.be].epoch })
            }
            Err(message) => {
                state.abort(txn_id, &message, now_ms);
                let mut report = fail(message);
                report.txn_id = txn_id;
                Err(report)
            }
        }
    }

    fn refused(&self, label: &str, refusal: Refusal) -> Box<Report> {
        Box::new(match refusal {
            Refusal::Text(text) => Report::failed(label, text),
            Refusal::LabelUsed { .. } if self.cluster.version.hides_label_conflict() => {
                let text = label_used(label);
                Report::failed(label, format!("cancel stream task for exception: {text}"))
            }
            Refusal::LabelUsed { state } => {
                let mut report = Report::failed(label, label_used(label));
                report.status = "Label Already Exists";
                report.existing = Some(existing_job(state));
                report
            }
        })
    }

    fn broken(&self, txn_id: i64, epoch: u64) -> Handled {
        let now_ms = self.cluster.clock.now_ms();
        let mut state = self.cluster.lock();
        // A backend that died rolls nothing back.
        if state.backends[self.be].epoch == epoch {
            state.abort(txn_id, "receive body don't equal with body bytes", now_ms);
        }
        Handled::gone("connection broken").txn(txn_id)
    }

    fn body_phase(&self, conn: &mut Conn, begun: Begun, label: String) -> Handled {
        let Begun { txn_id, plan, keep, epoch } = begun;
        let mut report = Report::failed(&label, "OK");
        report.txn_id = txn_id;
        let mut body = conn.body(self.request);
        body.set_limit(self.cluster.lock().limits.streaming_load_max_bytes);
        if let Some(gate) = body_gate(self.cluster, self.hits) {
            body.set_gate(gate);
        }
        let outcome = body::consume(&mut body, &plan, &keep, &mut report.rows);
        if matches!(outcome, Err(BadBody::Data(_))) && io::copy(&mut body, &mut io::sink()).is_err()
        {
            return self.broken(txn_id, epoch);
        }
        report.received = body.received();
        if self.cluster.lock().backends[self.be].epoch != epoch {
            return Handled::gone("backend died").txn(txn_id);
        }
        let hash = match outcome {
            Err(BadBody::Broken) => return self.broken(txn_id, epoch),
            Err(BadBody::Data(message)) => {
                self.fail(&mut report, message);
                0
            }
            Ok(hash) => {
                body::finish(&plan, &keep, &mut report.rows);
                report.rejected = plan.spec.logs_rejected && report.rows.filtered > 0;
                self.commit(&mut report, &plan);
                hash
            }
        };
        let mut handled = self.answer(&report, false).rest(Rest::Read);
        handled.body_hash = hash;
        handled
    }

    fn fail(&self, report: &mut Report, message: String) {
        let now_ms = self.cluster.clock.now_ms();
        let mut state = self.cluster.lock();
        report.error_url = keep_error_log(&mut state, self.be, &report.rows.log);
        state.abort(report.txn_id, &message, now_ms);
        report.message = message;
    }

    fn commit(&self, report: &mut Report, plan: &Plan) {
        if let Some(text) = self.hits.failure() {
            return self.fail(report, text.to_owned());
        }
        if let Some(message) = refused_rows(&report.rows, plan, self.cluster) {
            return self.fail(report, message);
        }
        let now_ms = self.cluster.clock.now_ms();
        let mut state = self.cluster.lock();
        report.error_url = keep_error_log(&mut state, self.be, &report.rows.log);
        let staged = vec![report.rows.stage(plan)];
        if let Err(message) = state.stage(report.txn_id, staged) {
            report.message = message;
            return;
        }
        report.status = "Success";
        let committed = state.commit(report.txn_id, self.hits.publish_ms(), now_ms);
        if committed == Committed::PublishTimeout {
            report.status = "Publish Timeout";
            report.message = self.cluster.version.publish_timeout_text().to_owned();
        }
        if let Some(text) = self.hits.failure_after_commit() {
            report.status = "Fail";
            report.message = text.to_owned();
        }
    }

    fn host(&self) -> String {
        self.cluster.lock().backends[self.be].addr.ip().to_string()
    }

    fn answer(&self, report: &Report, close: bool) -> Handled {
        let mut fields = Fields::default();
        fields.add("TxnId", report.txn_id).add("Label", report.label.as_str());
        if self.cluster.version.names_table_in_replies() {
            let known = report.txn_id >= 0;
            fields.add("Db", if known { self.db } else { "" });
            fields.add("Table", if known { self.table } else { "" });
        }
        fields.add("Status", report.status);
        if let Some(existing) = report.existing {
            fields.add("ExistingJobStatus", existing);
        }
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        fields
            .add("Message", report.message.as_str())
            .add("NumberTotalRows", report.rows.total)
            .add("NumberLoadedRows", report.rows.loaded())
            .add("NumberFilteredRows", report.rows.filtered)
            .add("NumberUnselectedRows", 0)
            .add("LoadBytes", report.received)
            .add("LoadTimeMs", elapsed)
            .add("BeginTxnTimeMs", 0)
            .add(self.cluster.version.plan_time_field(), 0)
            .add("ReadDataTimeMs", 0)
            .add("WriteDataTimeMs", 0)
            .add("CommitAndPublishTimeMs", 0);
        if let Some(url) = &report.error_url {
            fields.add("ErrorURL", url.as_str());
        }
        if report.rejected {
            let path = format!("{}:/rejected_record/{}", self.host(), report.label);
            fields.add("RejectedRecordPath", path);
        }
        let mut reply = fields.reply();
        reply.close = close;
        let mut handled = Handled::new(reply, report.status);
        handled.txn_id = (report.txn_id >= 0).then_some(report.txn_id);
        handled.body_bytes = report.received;
        handled
    }
}

/// Why these rows may not be committed: too many filtered, or none left.
pub(super) fn refused_rows(rows: &Rows, plan: &Plan, cluster: &Cluster) -> Option<String> {
    if rows.total > 0 && rows.filtered as f64 / rows.total as f64 > plan.spec.max_filter_ratio {
        return Some("too many filtered rows".to_owned());
    }
    (rows.loaded() == 0).then(|| cluster.version.no_rows_text().to_owned())
}
