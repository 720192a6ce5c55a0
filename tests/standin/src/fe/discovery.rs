//! What a frontend tells about itself and its tables: health, version, schemas, SQL over HTTP
//! (STREAM_LOAD 8).

use serde_json::{Value, json};

use super::reply::{access_denied, gson, http_failure};
use super::{Ask, read_body};
use crate::access::{Login, Privilege};
use crate::cluster::State;
use crate::http::{Conn, JSON, Reply};
use crate::service::{Handled, Rest};
use crate::sql::{self, Outcome, Session, Shape, SqlError, create_text, default_kind};
use crate::table::{Column, Schema, Table};
use crate::value::Type;

impl Ask<'_> {
    /// A GET, if it is one of the known ones.
    pub(super) fn discovery(&self, path: &[&str]) -> Option<Handled> {
        Some(match path {
            ["api", "health"] => self.health(),
            ["api", "bootstrap"] => self.bootstrap(),
            ["api", "v2", "feature"] if self.version().has_feature_endpoint() => self.feature(),
            ["metrics"] => self.metrics(),
            ["api", "show_proc"] => self.show_proc(),
            ["api", db, table, "_schema"] => self.with_table(db, table, v1_schema),
            ["api", db, table, "_count"] => self.with_table(db, table, |table| {
                json!({"status": 200, "size": table.row_count()}).to_string()
            }),
            ["api", "v2", "catalogs", _, "databases", db, "tables", table, "schema"]
                if self.version().has_v2_schema() =>
            {
                let nested = self.version().nests_v2_types();
                self.with_table(db, table, |table| v2_schema(&table.schema, nested).to_string())
            }
            _ => return None,
        })
    }

    fn health(&self) -> Handled {
        let state = self.cluster.lock();
        let online = state.backends.iter().filter(|b| b.alive).count();
        let body = format!(
            "{{\"online_backend_num\":{online},\"total_backend_num\":{},\"status\":\"OK\"}}",
            state.backends.len()
        );
        Handled::new(Reply::json(body), "OK")
    }

    fn bootstrap(&self) -> Handled {
        let body = match self.request.param("token") {
            None => {
                "{\"replayedJournalId\":0,\"queryPort\":0,\"rpcPort\":0,\"feStartTime\":0,\
                 \"heapUsedPercent\":0.0,\"cpuCores\":0,\"status\":\"OK\",\"code\":\"0\",\
                 \"msg\":\"Success\",\"message\":\"OK\"}"
            }
            Some(_) => {
                "{\"status\":\"FAILED\",\"code\":\"0\",\"msg\":\"invalid parameter\",\
                 \"message\":\"invalid parameter\"}"
            }
        };
        Handled::new(Reply::json(body), "OK")
    }

    fn feature(&self) -> Handled {
        let version = self.version().text().split('-').take(2).collect::<Vec<_>>().join("-");
        let body = json!({"features": [], "version": version, "status": "OK"}).to_string();
        Handled::new(Reply::json(body), "OK")
    }

    fn metrics(&self) -> Handled {
        let state = self.cluster.lock();
        let master = u8::from(state.leader == self.fe);
        let alive = state.backends.iter().filter(|b| b.alive).count();
        let body = format!(
            "# TYPE node_info gauge\nnode_info{{type=\"is_master\"}} {master}\n\
             node_info{{type=\"be_node_num\", state=\"total\"}} {}\n\
             node_info{{type=\"be_node_num\", state=\"alive\"}} {alive}\n",
            state.backends.len()
        );
        Handled::new(Reply::new(200, "text/plain", body), "OK")
    }

    fn show_proc(&self) -> Handled {
        let state = self.cluster.lock();
        let login = match self.authenticate(&state) {
            Ok(login) => login,
            Err(denied) => return denied,
        };
        if !state.users.check(&login).is_some_and(|u| u.admin) {
            return access_denied("Access denied.");
        }
        let rows: Vec<Value> = match self.request.param("path") {
            Some("/backends") => state
                .backends
                .iter()
                .enumerate()
                .map(|(i, b)| {
                    json!({
                        "BackendId": (10001 + i).to_string(), "IP": b.addr.ip().to_string(),
                        "HttpPort": b.addr.port().to_string(), "Alive": b.alive.to_string(),
                    })
                })
                .collect(),
            _ => Vec::new(),
        };
        Handled::new(Reply::json(Value::from(rows).to_string()), "OK")
    }

    /// Answers about a table, with real HTTP codes where there is none or no SELECT on it.
    fn with_table(&self, db: &str, table: &str, show: impl Fn(&Table) -> String) -> Handled {
        let state = self.cluster.lock();
        let login = match self.authenticate(&state) {
            Ok(login) => login,
            Err(denied) => return denied,
        };
        let missing = |text: String| {
            let body = json!({"status": 404, "exception": text}).to_string();
            Handled::new(Reply::new(404, JSON, body), "404")
        };
        let Some(database) = state.databases.get(db) else {
            return missing(format!("Database [{db}] does not exists"));
        };
        let Some(found) = database.tables.get(table) else {
            return missing(format!("Table [{table}] does not exists"));
        };
        if !may_select(&state, &login, db, table) {
            return access_denied("Access denied.");
        }
        Handled::new(Reply::json(show(found)), "OK")
    }

    /// One statement over HTTP.
    pub(super) fn sql(&self, conn: &mut Conn, db: Option<&str>) -> Handled {
        let Some(body) = read_body(conn, self.request) else {
            return Handled::gone("connection broken");
        };
        self.answer_sql(&body, db).rest(Rest::Read)
    }

    fn answer_sql(&self, body: &[u8], db: Option<&str>) -> Handled {
        if !self.version().has_http_sql() {
            return super::not_found();
        }
        let state = self.cluster.lock();
        let login = match self.authenticate(&state) {
            Ok(login) => login,
            Err(denied) => return denied,
        };
        let sees = |db: &str| state.users.check(&login).is_some_and(|u| u.sees_db(db));
        if let Some(db) = db
            && !db.eq_ignore_ascii_case("information_schema")
            && !(state.databases.contains_key(db) && sees(db))
        {
            return http_failure(403, "set catalog or db failed");
        }
        let has_backend = state.has_live_backend();
        drop(state);
        let code = if self.version().sql_errors_are_500() { 500 } else { 400 };
        let query = match query_of(body) {
            Ok(query) => query,
            Err(text) => return http_failure(code, &text),
        };
        if is_select(&query) && !has_backend {
            return http_failure(500, "Backend node not found. Check if any backend node is down.");
        }
        let mut session = Session { user: login.user, db: db.map(str::to_owned) };
        match sql::execute(self.cluster, &mut session, &query) {
            Ok(Outcome::Rows(table)) => Handled::new(shown(&table), "OK"),
            Ok(Outcome::Done) => http_failure(code, ONLY_READS),
            Err(SqlError { text, .. }) => http_failure(500, &text),
        }
    }
}

const ONLY_READS: &str = "http query only support SELECT, SHOW, EXPLAIN, DESC, KILL statement";

fn may_select(state: &State, login: &Login, db: &str, table: &str) -> bool {
    state.users.check(login).is_some_and(|u| u.may(Privilege::Select, db, table))
}

fn is_select(query: &str) -> bool {
    query.trim_start().get(..6).is_some_and(|w| w.eq_ignore_ascii_case("select"))
}

/// The one readable statement in a request body.
fn query_of(body: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(body);
    let value: Value =
        serde_json::from_str(&text).map_err(|_| format!("malformed json [ {text} ]"))?;
    let query = value.get("query").and_then(Value::as_str).unwrap_or_default();
    let statements = sql::scan::split_statements(query);
    let [one] = statements.as_slice() else {
        return Err(if statements.is_empty() {
            "\"query can not be empty\"".to_owned()
        } else {
            "http query does not support execute multiple query".to_owned()
        });
    };
    let mut words = one.split_whitespace().map(str::to_ascii_uppercase);
    let verb = match words.next().as_deref() {
        Some("ADMIN") => words.next().unwrap_or_default(),
        verb => verb.unwrap_or_default().to_owned(),
    };
    if !matches!(verb.as_str(), "SELECT" | "SHOW" | "EXPLAIN" | "DESC" | "DESCRIBE" | "KILL") {
        return Err(ONLY_READS.to_owned());
    }
    Ok(one.clone())
}

/// SELECT as one JSON per line, SHOW as a single object.
fn shown(table: &sql::Table) -> Reply {
    let meta: Vec<Value> =
        table.columns.iter().map(|(name, ty)| json!({"name": name, "type": ty})).collect();
    let statistics =
        json!({"scanRows": 0, "scanBytes": 0, "returnRows": table.rows.len()}).to_string();
    let meta = Value::from(meta).to_string();
    let body = match table.shape {
        Shape::Select => {
            let mut lines = vec!["{\"connectionId\":1}".to_owned(), format!("{{\"meta\":{meta}}}")];
            for row in &table.rows {
                lines.push(format!("{{\"data\":{}}}", Value::from(row.clone())));
            }
            lines.push(format!("{{\"statistics\":{statistics}}}"));
            lines.join("\n") + "\n"
        }
        Shape::Show => {
            let rows: Vec<Value> = table.rows.iter().map(|row| named(table, row)).collect();
            let data = Value::from(rows).to_string();
            format!("{{\"meta\":{meta},\"data\":{data},\"statistics\":{statistics}}}")
        }
    };
    Reply::new(200, "application/x-ndjson; charset=utf-8", body)
}

/// A row of SHOW: an object of strings and nulls.
fn named(table: &sql::Table, row: &[Value]) -> Value {
    let pairs = table.columns.iter().zip(row).map(|((name, _), value)| {
        let value = match value {
            Value::Null | Value::String(_) => value.clone(),
            other => Value::from(other.to_string()),
        };
        (name.clone(), value)
    });
    Value::Object(pairs.collect())
}

fn v1_schema(table: &Table) -> String {
    let columns: Vec<String> = table
        .schema
        .columns
        .iter()
        .map(|c| {
            let head = format!(
                "{{\"name\":{},\"type\":\"{}\",\"comment\":{}",
                gson(&c.name),
                c.ty.primitive(),
                gson(&c.comment)
            );
            match c.ty {
                Type::Decimal(p, s) => {
                    format!("{head},\"precision\":\"{p}\",\"scale\":\"{s}\"}}")
                }
                _ => head + "}",
            }
        })
        .collect();
    format!("{{\"status\":200,\"properties\":[{}]}}", columns.join(","))
}

fn v2_schema(schema: &Schema, nested: bool) -> Value {
    let columns: Vec<Value> = schema
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| v2_column(schema, i, column, nested))
        .collect();
    let result = json!({
        "id": schema.table_id, "name": schema.name, "tableType": "OLAP",
        "keysType": schema.keys.v2_text(), "comment": schema.comment, "createTime": 0,
        "columns": columns,
        "defaultDistributionInfo": {
            "type": if schema.distributed_by.is_empty() { "RANDOM" } else { "HASH" },
            "bucketNum": schema.buckets, "distributionColumns": schema.distributed_by,
        },
        "properties": schema.properties.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "createTable": create_text(schema),
    });
    if nested {
        json!({"result": result, "code": "0", "message": "OK"})
    } else {
        json!({"result": result, "status": "OK", "code": "0", "msg": "Success", "message": "OK"})
    }
}

fn v2_column(schema: &Schema, i: usize, column: &Column, nested: bool) -> Value {
    let (precision, scale) = match column.ty {
        Type::Decimal(p, s) => (p, s),
        _ => (0, 0),
    };
    let size = column.ty.column_size();
    let mut out = json!({"name": column.name});
    let fields = if nested {
        json!({"type": {
            "typeSize": column.ty.bytes(), "columnSize": size, "precision": precision,
            "scale": scale, "name": column.ty.primitive(),
        }})
    } else {
        json!({
            "primitiveType": column.ty.primitive(), "primitiveTypeSize": column.ty.bytes(),
            "columnSize": size, "precision": precision, "scale": scale,
        })
    };
    let rest = json!({
        "aggregationType": (schema.keys.replaces() && !column.key).then_some("REPLACE"),
        "isKey": column.key, "isAllowNull": column.nullable,
        "isAutoIncrement": column.default == crate::table::Default::AutoIncrement,
        "defaultValueType": default_kind(column),
        "defaultValue": match &column.default {
            crate::table::Default::Const(text) => Some(text.as_str()),
            _ => None,
        },
        "comment": column.comment, "uniqueId": i,
    });
    for part in [fields, rest] {
        if let (Value::Object(out), Value::Object(part)) = (&mut out, part) {
            // Gson leaves nulls out.
            out.extend(part.into_iter().filter(|(_, v)| !v.is_null()));
        }
    }
    out
}
