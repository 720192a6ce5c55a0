//! The control endpoints under `/_standin/` on every frontend port, for scripts in other
//! processes. They need no password and are noted in no journal.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::fe;
use crate::http::{Conn, JSON, Reply, Request};
use crate::node;
use crate::sql::{self, Session};
use crate::table::Keep;

type Answer = Result<String, String>;

/// Answers a control request: 200 with JSON, 400 with `{"error":…}`.
pub(crate) fn handle(cluster: &Arc<Cluster>, conn: &mut Conn, request: &Request) -> Reply {
    let body = fe::read_body(conn, request).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    match answer(cluster, request, &body) {
        Ok(text) => Reply::new(200, JSON, text),
        Err(text) => Reply::new(400, JSON, json!({ "error": text }).to_string()),
    }
}

fn answer(cluster: &Arc<Cluster>, request: &Request, body: &str) -> Answer {
    let need = |name: &str| request.param(name).ok_or_else(|| format!("`{name}` is missing"));
    let number =
        |name: &str| need(name)?.parse::<u64>().map_err(|_| format!("`{name}` is a number"));
    let index = |name: &str| number(name).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let done = || Ok("{}".to_owned());
    let path = request.path.trim_start_matches("/_standin/");
    match (request.method.as_str(), path) {
        ("GET", "rows") => rows(cluster, need("db")?, need("table")?, request),
        ("GET", "count") => count(cluster, need("db")?, need("table")?),
        ("GET", "labels") => labels(cluster, need("db")?),
        ("GET", "journal") => Ok(journal(cluster)),
        ("GET", "held") => Ok(json!(cluster.lock().faults.waiting).to_string()),
        ("POST", "sql") => {
            let outcome = sql::execute_all(cluster, &mut Session::root(), body);
            outcome.map(|_| "{}".to_owned()).map_err(|e| e.to_string())
        }
        ("POST", "fault") => {
            let value: Value = serde_json::from_str(body).map_err(|e| e.to_string())?;
            let fault = Fault::from_json(&value)?;
            cluster.lock().faults.add(fault);
            done()
        }
        ("POST", "clear_faults") => {
            cluster.lock().faults.clear();
            done()
        }
        ("POST", "release") => {
            cluster.lock().faults.release(need("name")?);
            cluster.notify();
            done()
        }
        ("POST", "sweep") => {
            let now_ms = cluster.clock.now_ms();
            let forgotten = cluster.lock().sweep(now_ms);
            Ok(json!({ "forgotten": forgotten }).to_string())
        }
        ("POST", "advance") => {
            cluster.clock.advance(std::time::Duration::from_millis(number("ms")?));
            drop(cluster.lock());
            done()
        }
        ("POST", "keep") => keep(cluster, request),
        ("POST", "config") => {
            let statement = format!(
                "ADMIN SET FRONTEND CONFIG (\"{}\" = \"{}\")",
                need("name")?,
                need("value")?
            );
            let outcome = sql::execute_all(cluster, &mut Session::root(), &statement);
            outcome.map(|_| "{}".to_owned()).map_err(|e| e.to_string())
        }
        ("POST", "kill_be") => node::kill_be(cluster, index("be")?).and_then(|()| done()),
        ("POST", "start_be") => node::start_be(cluster, index("be")?).and_then(|()| done()),
        ("POST", "be_down") => node::notice_dead_be(cluster, index("be")?).and_then(|()| done()),
        ("POST", "be_address") => {
            node::register_be(cluster, index("be")?, request.param("host")).and_then(|()| done())
        }
        ("POST", "kill_fe") => node::kill_fe(cluster, index("fe")?).and_then(|()| done()),
        ("POST", "start_fe") => node::start_fe(cluster, index("fe")?).and_then(|()| done()),
        ("POST", "restart_fe") => {
            node::restart_fe(cluster, request.param("lose_prepared") == Some("true"));
            done()
        }
        ("POST", "change_leader") => {
            let deposed_ms = if request.param("deposed_ms").is_some() {
                Some(number("deposed_ms")?)
            } else {
                None
            };
            node::change_leader(cluster, index("to")?, deposed_ms).and_then(|()| done())
        }
        ("POST", "begin_moves") => {
            cluster.lock().begin_stays = request.param("on") == Some("false");
            done()
        }
        ("POST", "reset") => {
            let mut state = cluster.lock();
            state.faults.clear();
            state.journal.clear();
            for database in state.databases.values_mut() {
                database.tables.values_mut().for_each(crate::table::Table::clear);
            }
            done()
        }
        _ => Err(format!("no control endpoint {} {path}", request.method)),
    }
}

fn unknown(db: &str, table: &str) -> String {
    format!("no table {db}.{table}")
}

/// Rows as JSON lines, `sorted=true` by their columns; `labels=true` wraps each as `{"label":…,"row":…}`.
fn rows(cluster: &Cluster, db: &str, table: &str, request: &Request) -> Answer {
    let state = cluster.lock();
    let found = state.table(db, table).ok_or_else(|| unknown(db, table))?;
    if found.keep != Keep::Rows {
        return Err(format!("{db}.{table} only counts its rows"));
    }
    let with_label = request.param("labels") == Some("true");
    let mut out = String::new();
    let ordered = match request.param("sorted") {
        Some("true") => found.sorted_rows(),
        _ => found.rows().collect(),
    };
    for (cells, label) in ordered {
        let row = found.row_json(cells);
        let line =
            if with_label { json!({"label": state.txns.label_of(label), "row": row}) } else { row };
        out.push_str(&line.to_string());
        out.push('\n');
    }
    Ok(out)
}

fn count(cluster: &Cluster, db: &str, table: &str) -> Answer {
    let state = cluster.lock();
    let found = state.table(db, table).ok_or_else(|| unknown(db, table))?;
    let tally = found.tally;
    let loaded = json!({
        "rows": found.row_count(), "loaded_rows": tally.rows, "loaded_bytes": tally.bytes,
        "id_sum": tally.id_sum, "id_hash": tally.id_hash,
    });
    Ok(loaded.to_string())
}

fn labels(cluster: &Cluster, db: &str) -> Answer {
    let state = cluster.lock();
    let db_id = state.db_id(db).ok_or_else(|| format!("no database {db}"))?;
    let lines: Vec<String> = state
        .txns
        .all()
        .filter(|t| t.db_id == db_id)
        .map(|t| {
            let line = json!({
                "label": t.label, "txn_id": t.id, "state": t.state.name(), "reason": t.reason,
            });
            line.to_string() + "\n"
        })
        .collect();
    Ok(lines.concat())
}

fn journal(cluster: &Cluster) -> String {
    let state = cluster.lock();
    state.journal.entries.iter().map(|e| e.to_json().to_string() + "\n").collect()
}

/// `mode=rows|nothing|tally` with `column`, of one table or, without `table`, of those to come.
fn keep(cluster: &Cluster, request: &Request) -> Answer {
    let mode = match (request.param("mode"), request.param("column")) {
        (Some("rows"), _) => Keep::Rows,
        (Some("nothing"), _) => Keep::Nothing,
        (Some("tally"), Some(column)) => Keep::Tally(column.to_owned()),
        _ => return Err("`mode` is rows, nothing, or tally with `column`".to_owned()),
    };
    let mut state = cluster.lock();
    match (request.param("db"), request.param("table")) {
        (Some(db), Some(table)) => {
            let found = state.table_mut(db, table).ok_or_else(|| unknown(db, table))?;
            found.clear();
            found.keep = mode;
        }
        _ => state.keep = mode,
    }
    Ok("{}".to_owned())
}
