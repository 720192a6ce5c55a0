//! What StarRocks says about itself and its tables, over HTTP alone. Reads; never changes anything.

use serde_json::Value;

use crate::error::Problem;
use crate::starrocks::client::{Answer, Client, Failure, TableName};

/// One column as `DESC` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// SQL type text, `varchar(20)`.
    pub kind: String,
    pub nullable: bool,
    pub key: bool,
    pub default: Option<String>,
}

/// What asking for a table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    Columns(Vec<Column>),
    /// Server text.
    NoDatabase(String),
    NoTable(String),
    /// The server would not say: no right to look, or no such interface.
    Hidden(String),
}

/// How one configured FE answered.
#[derive(Debug)]
pub enum Health {
    Fe {
        backends: u64,
    },
    /// A BE or CN: its HTTP port was given for the FE's.
    Backend,
    Foreign(String),
    Silent(Failure),
}

/// Asks each configured FE how it is; free of any right.
pub fn health(client: &Client) -> Vec<(String, Health)> {
    let read = |(address, answer): (String, Result<Answer, Failure>)| {
        let health = answer.map_or_else(Health::Silent, |answer| read_health(&answer));
        (address, health)
    };
    client.get_from_each("/api/health").into_iter().map(read).collect()
}

/// Reads a table's columns.
pub fn table(client: &Client, name: &TableName) -> Result<Table, Failure> {
    let statement = format!("DESC `{}`.`{}`", name.database, name.table);
    let answer = client.sql(&name.database, &statement)?;
    if let Some(columns) = described(&answer.body) {
        return Ok(Table::Columns(columns));
    }
    // Before 3.2 there is no SQL over HTTP; `_schema` knows names and types only.
    let plain = client.get(&format!("/api/{}/{}/_schema", name.database, name.table))?;
    Ok(from_schema(&answer, &plain))
}

fn read_health(answer: &Answer) -> Health {
    let text = || String::from_utf8_lossy(&answer.body).chars().take(120).collect();
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return Health::Foreign(text());
    };
    match body.get("online_backend_num").and_then(Value::as_u64) {
        Some(backends) => Health::Fe { backends },
        None if body.get("status").is_some() => Health::Backend,
        None => Health::Foreign(text()),
    }
}

/// SHOW and DESC answer with one object whose `data` is an array of objects.
fn described(body: &[u8]) -> Option<Vec<Column>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let column = |row: &Value| {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        Some(Column {
            name: text("Field")?.into(),
            kind: text("Type")?.into(),
            nullable: text("Null") == Some("YES"),
            key: matches!(text("Key"), Some("true" | "YES")),
            default: text("Default").map(String::from),
        })
    };
    body.get("data")?.as_array()?.iter().map(column).collect()
}

fn from_schema(sql: &Answer, schema: &Answer) -> Table {
    let body: Value = serde_json::from_slice(&schema.body).unwrap_or(Value::Null);
    let words = |body: &Value| {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(String::from);
        text("exception").or_else(|| text("msg")).unwrap_or_default()
    };
    let message = words(&body);
    if schema.http == 404 && message.starts_with("Database") {
        return Table::NoDatabase(message);
    }
    if schema.http == 404 && message.starts_with("Table") {
        return Table::NoTable(message);
    }
    if let Some(properties) = body.get("properties").and_then(Value::as_array) {
        let column = |row: &Value| {
            let text = |name: &str| row.get(name).and_then(Value::as_str);
            let kind = text("type")?.to_lowercase();
            let name = text("name")?.into();
            Some(Column { name, kind, nullable: true, key: false, default: None })
        };
        return Table::Columns(properties.iter().filter_map(column).collect());
    }
    let of_sql: Value = serde_json::from_slice(&sql.body).unwrap_or(Value::Null);
    Table::Hidden(if message.is_empty() { words(&of_sql) } else { message })
}

/// What is wrong with an FE that cannot be used, in the words of `docs/ERRORS.md`.
pub fn unusable(client: &Client, address: &str, origin: &str, health: &Health) -> Option<Problem> {
    match health {
        Health::Fe { backends: 0 } => Some(
            Problem::unavailable(format!("no BE of the StarRocks cluster at `{address}` is alive"))
                .hint("start a BE or CN, or wait until one has registered, then rerun"),
        ),
        Health::Fe { .. } => None,
        Health::Backend => Some(
            Problem::usage(format!("`{address}` is a StarRocks BE, not an FE"))
                .at(origin)
                .hint("give the FE's HTTP port, 8030 by default"),
        ),
        Health::Foreign(text) => Some(
            Problem::usage(format!("cannot talk to the StarRocks FE at `{address}`"))
                .cause(format!("the answer is HTTP, but not StarRocks': {text}"))
                .at(origin)
                .hint("give the FE's HTTP port, 8030 by default"),
        ),
        Health::Silent(failure) if failure.not_http || client.greets_like_mysql(address) => {
            let mysql = client.greets_like_mysql(address);
            let cause = if mysql {
                "the answer is not HTTP; it looks like a MySQL greeting"
            } else {
                "the answer is not HTTP"
            };
            let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
            let hint = if mysql {
                format!("{port} is the FE's query port; use its HTTP port, 8030 by default")
            } else {
                "give the FE's HTTP port, 8030 by default; an `https://` address needs that prefix"
                    .into()
            };
            Some(
                Problem::usage(format!("cannot talk to the StarRocks FE at `{address}`"))
                    .cause(cause)
                    .at(origin)
                    .hint(hint),
            )
        }
        Health::Silent(failure) => Some(
            Problem::unavailable(format!("cannot reach the StarRocks FE at `{address}`"))
                .cause(failure.cause.clone())
                .at(origin)
                .hint("check host, port and firewall; the FE's HTTP port is 8030 by default"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desc_rows_become_columns() {
        let body = br#"{"meta":[],"data":[{"Field":"id","Type":"bigint","Null":"NO","Key":"true","Default":null,"Extra":""}],"statistics":{}}"#;
        let expect = Column {
            name: "id".into(),
            kind: "bigint".into(),
            nullable: false,
            key: true,
            default: None,
        };
        assert_eq!(described(body), Some(vec![expect]));
        assert_eq!(described(br#"{"status":"FAILED","msg":"x"}"#), None);
    }
}
