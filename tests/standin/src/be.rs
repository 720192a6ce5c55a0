//! A backend: plain Stream Load, the transaction interface's backend half, error logs
//! (STREAM_LOAD 3 and 5.2). What the backend asks the frontend for, it does to the shared state.

pub(crate) mod body;
mod reply;
mod stream_load;
mod transaction;

use std::sync::Arc;

use crate::access::{Login, NoLogin, Privilege};
use crate::cluster::{Cluster, State};
use crate::context::Context;
use crate::fault::Hits;
use crate::http::{Conn, Reply, Request};
use crate::profile::Version;
use crate::service::Handled;
use crate::table::Staged;
use crate::txn::{Begin, Refusal, TxnState};

const PLAIN: &str = "text/plain";

/// Handles one request to backend `be`.
pub(crate) fn handle(
    cluster: &Arc<Cluster>,
    be: usize,
    conn: &mut Conn,
    request: &Request,
    hits: &Hits,
) -> Handled {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("PUT", ["api", db, table, "_stream_load"]) => {
            stream_load::handle(cluster, be, conn, request, hits, db, table)
        }
        ("PUT" | "POST", ["api", "transaction", op]) if cluster.version.has_transactions() => {
            transaction::handle(cluster, be, conn, request, hits, op)
        }
        ("GET", ["api", "_load_error_log"]) => error_log(cluster, be, request),
        ("GET", ["api", "health"]) => {
            Handled::new(Reply::json("{\"status\": \"OK\",\"msg\": \"To Be Added\"}"), "OK")
        }
        _ => Handled::new(Reply::new(404, PLAIN, "Not Found"), "404"),
    }
}

fn error_log(cluster: &Cluster, be: usize, request: &Request) -> Handled {
    let state = cluster.lock();
    let name = request.param("file").unwrap_or_default();
    match state.backends[be].error_logs.get(name) {
        Some(log) => Handled::new(Reply::new(200, PLAIN, log.as_str()), "OK"),
        None => Handled::new(Reply::new(404, PLAIN, "File not exist."), "404"),
    }
}

/// Keeps an error log; gives the URL it is served at.
fn keep_error_log(state: &mut State, be: usize, log: &[String]) -> Option<String> {
    if log.is_empty() {
        return None;
    }
    let (a, b) = (state.new_id(), state.new_id());
    let backend = &mut state.backends[be];
    let name = format!("error_log_{a:x}_{b:x}");
    let url = format!("http://{}/api/_load_error_log?file={name}", backend.authority());
    backend.error_logs.insert(name, log.join("\n") + "\n");
    Some(url)
}

/// What a load asks to begin, in the order the frontend checks it.
fn begin(
    state: &mut State,
    version: Version,
    login: &Login,
    begin: &Begin<'_>,
    now_ms: u64,
) -> Result<i64, Refusal> {
    may_load(state, login, begin.db, begin.table).map_err(Refusal::Text)?;
    if !is_label(begin.label) {
        let text = format!("Label format error. regex: ^[-\\w]{{1,128}}$, label: {}", begin.label);
        return Err(Refusal::Text(if version.wraps_analysis_errors() {
            format!("Getting analyzing error. Detail message: {text}.")
        } else {
            text
        }));
    }
    state.begin(begin, now_ms)
}

/// Password and INSERT; a table that does not exist is not this check's business.
fn may_load(state: &State, login: &Login, db: &str, table: &str) -> Result<(), String> {
    let Some(user) = state.users.check(login) else {
        let using = if login.password.is_empty() { "NO" } else { "YES" };
        return Err(format!("Access denied for user '{}' (using password: {using})", login.user));
    };
    if state.table(db, table).is_some() && !user.may(Privilege::Insert, db, table) {
        let text = "Access denied; you need (at least one of) the INSERT privilege(s) for this \
                    operation";
        return Err(text.to_owned());
    }
    Ok(())
}

/// The rows of all tables of a transaction, or why they may not be committed.
pub(crate) fn gather(cluster: &Cluster, contexts: Vec<Context>) -> Result<Vec<Staged>, String> {
    let mut staged = Vec::new();
    for mut context in contexts {
        if context.busy {
            return Err("Transaction in processing, please retry later".to_owned());
        }
        if let Some(text) = context.failed.take() {
            return Err(text);
        }
        let Some((_, plan)) = &context.first else { continue };
        body::finish(plan, &context.keep, &mut context.rows);
        if let Some(text) = stream_load::refused_rows(&context.rows, plan, cluster) {
            return Err(text);
        }
        staged.push(context.rows.stage(plan));
    }
    Ok(staged)
}

pub(crate) fn is_label(label: &str) -> bool {
    (1..=128).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `RUNNING` or `FINISHED`, as a used label is described.
fn existing_job(state: TxnState) -> &'static str {
    match state {
        TxnState::Prepare | TxnState::Prepared => "RUNNING",
        TxnState::Committed | TxnState::Visible | TxnState::Aborted => "FINISHED",
    }
}

fn label_used(label: &str) -> String {
    format!("Label [{label}] has already been used.")
}

fn login(request: &Request) -> Result<Login, String> {
    Login::from_header(request.headers.get("authorization"))
        .map_err(|_: NoLogin| "no valid Basic authorization".to_owned())
}

/// Limits on a body that its declared length can break.
fn check_length(
    state: &State,
    declared: Option<u64>,
    before: u64,
    json: bool,
    ignore_json_size: bool,
) -> Result<(), String> {
    let Some(bytes) = declared else { return Ok(()) };
    let limit = state.limits.streaming_load_max_bytes;
    if bytes > limit {
        return Err(format!(
            "body size {bytes} exceed limit: {limit}, You can increase the limit by setting \
             streaming_load_max_mb in be.conf."
        ));
    }
    let (limit, sum) = (state.limits.json_max_bytes, before + bytes);
    if json && !ignore_json_size && sum > limit {
        return Err(format!(
            "The size of this batch exceed the max size [{limit}]  of json type data  data [ {sum} ]. \
             Set ignore_json_size to skip the check, although it may lead huge memory consuming."
        ));
    }
    Ok(())
}

/// `YYYY-MM-DD hh:mm:ss` of a time in UTC, for CURRENT_TIMESTAMP.
pub(crate) fn timestamp(now_ms: u64) -> String {
    let seconds = now_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, by eras of 400 years that start in March.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_civil_dates() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00");
        assert_eq!(timestamp(1_709_209_445_000), "2024-02-29 12:24:05");
    }

    #[test]
    fn labels_are_128_word_characters_and_hyphens_at_most() {
        assert!(is_label("a-B_9"));
        assert!(is_label(&"x".repeat(128)));
        for bad in ["", "a.b", "a:b", "é", &"x".repeat(129)] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
