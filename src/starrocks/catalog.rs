//! What StarRocks says about itself and its tables, over HTTP alone. Reads; never changes anything.

use serde_json::Value;

use crate::error::Problem;
use crate::mapping::columns::{self, Column, ColumnType, TableKind};
use crate::starrocks::client::{Answer, Client, Failure, TableName};
use crate::starrocks::reply::{Reason, Refusal, Reply};

/// What asking for a table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    Columns(columns::Table),
    /// User or password is wrong; server text.
    Refused(String),
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
        let (kind, table) = (table_kind(client, name), name.table.clone());
        return Ok(Table::Columns(columns::Table { name: table, kind, columns }));
    }
    // Before 3.2 there is no SQL over HTTP; `_schema` knows names and types only.
    let plain = client.get(&format!("/api/{}/{}/_schema", name.database, name.table))?;
    Ok(from_schema(&name.table, &answer, &plain))
}

/// What kind of table it is, as its own DDL says.
fn table_kind(client: &Client, name: &TableName) -> TableKind {
    let statement = format!("SHOW CREATE TABLE `{}`.`{}`", name.database, name.table);
    let answer = client.sql(&name.database, &statement);
    let ddl = answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
    ddl.map_or(TableKind::Unknown, |ddl| TableKind::of_ddl(&ddl))
}

/// Whether the server has the transaction interface: a rollback of a label that nobody used finds
/// nothing, or finds no such address.
pub fn has_transactions(client: &Client, database: &str) -> Result<bool, Failure> {
    let reply = client.roll_back(database, "starsink_probe")?;
    Ok(!matches!(reply, Reply::Refused(Refusal { reason: Reason::NoInterface, .. })))
}

/// Whether the server keeps a `prepared_timeout` it is sent (3.5.4 and later).
pub fn knows_prepared_timeout(client: &Client) -> bool {
    version(client).is_some_and(|version| version >= (3, 5, 4))
}

/// The server's version, where it tells.
pub fn version(client: &Client) -> Option<(u32, u32, u32)> {
    let feature = client.get("/api/v2/feature").ok();
    let told = feature.and_then(|answer| {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        read_version(body.get("version")?.as_str()?)
    });
    told.or_else(|| {
        let answer =
            client.sql("information_schema", "SHOW VARIABLES LIKE 'version_comment'").ok()?;
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let row = body.get("data")?.as_array()?.first()?.as_object()?;
        row.values().filter_map(Value::as_str).find_map(read_version)
    })
}

/// The server's version as people write it.
pub fn version_text(client: &Client) -> Option<String> {
    version(client).map(|(major, minor, patch)| format!("{major}.{minor}.{patch}"))
}

/// The first `x.y.z` of a text such as `3.3.5-abcdef` or `StarRocks version 3.5.4`.
pub fn read_version(text: &str) -> Option<(u32, u32, u32)> {
    let read = |word: &str| {
        let mut numbers = word.split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    };
    text.split(|c: char| c.is_whitespace() || c == '-').find_map(read)
}

/// Whether the server still lists a load of this label as finished; `None` where it cannot be asked.
/// Other rows are no evidence: they may be made by a refused attempt.
pub fn load_finished(client: &Client, database: &str, label: &str) -> Option<bool> {
    let tables = ["information_schema.loads", "_statistics_.loads_history"];
    let mut asked = None;
    for table in tables {
        let statement =
            format!("SELECT STATE FROM {table} WHERE LABEL = '{label}' AND STATE = 'FINISHED'");
        let Ok(answer) = client.sql(database, &statement) else { continue };
        let lines = String::from_utf8_lossy(&answer.body);
        // A stream that was cut off lacks its last line.
        if answer.http != 200 || !lines.contains("\"statistics\"") {
            continue;
        }
        if lines.lines().any(|line| line.contains("\"data\"") && line.contains("FINISHED")) {
            return Some(true);
        }
        asked = Some(false);
    }
    asked
}

pub(super) fn read_health(answer: &Answer) -> Health {
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
        let key = matches!(text("Key"), Some("true" | "YES"));
        let extra = text("Extra").unwrap_or_default().to_ascii_lowercase();
        Some(Column {
            default: text("Default").map(String::from),
            made_by_server: is_made_by_server(&extra),
            ..Column::new(text("Field")?, text("Type")?, text("Null") == Some("YES"), key)
        })
    };
    body.get("data")?.as_array()?.iter().map(column).collect()
}

/// Extra says so of numbered and computed columns; a default that is a function is no such thing.
fn is_made_by_server(extra: &str) -> bool {
    let computed = extra.contains("generated") && !extra.contains("default_generated");
    computed || extra.contains("auto_increment")
}

fn from_schema(table: &str, sql: &Answer, schema: &Answer) -> Table {
    let body: Value = serde_json::from_slice(&schema.body).unwrap_or(Value::Null);
    let words = |body: &Value| {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(String::from);
        text("exception").or_else(|| text("msg")).unwrap_or_default()
    };
    let message = words(&body);
    // Wrong credentials are named with the user; a missing right is not.
    if schema.http == 401 && (message.contains("Access denied for") || message.contains("auth")) {
        return Table::Refused(message);
    }
    if schema.http == 404 && message.starts_with("Database") {
        return Table::NoDatabase(message);
    }
    if schema.http == 404 && message.starts_with("Table") {
        return Table::NoTable(message);
    }
    if let Some(properties) = body.get("properties").and_then(Value::as_array) {
        let column = |row: &Value| {
            let text = |name: &str| row.get(name).and_then(Value::as_str);
            let mut column = Column::new(text("name")?, text("type")?, true, false);
            // Lengths are not told, and a decimal's digits stand beside its type.
            let number = |name| text(name).and_then(|digits| digits.parse().ok());
            match (&column.kind, number("precision"), number("scale")) {
                (ColumnType::Decimal { .. }, Some(precision), Some(scale)) => {
                    column.kind = ColumnType::Decimal { precision, scale };
                }
                (ColumnType::Text { .. }, ..) => {
                    column.kind = ColumnType::Text { most_bytes: None };
                }
                _ => {}
            }
            Some(column)
        };
        let columns = properties.iter().filter_map(column).collect();
        let (name, kind) = (table.to_owned(), TableKind::Unknown);
        return Table::Columns(columns::Table { name, kind, columns });
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
        Health::Silent(failure) if failure.no_tls => Some(
            Problem::usage(format!("cannot talk to the StarRocks FE at `{address}`"))
                .cause(failure.cause.clone())
                .at(origin)
                .hint(
                    "`https://` needs the FE's HTTPS port, 8443 by default, and a certificate that \
                     this host trusts, under the name that is written here",
                ),
        ),
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
        let expect = Column::new("id", "bigint", false, true);
        assert_eq!(described(body), Some(vec![expect]));
        assert_eq!(described(br#"{"status":"FAILED","msg":"x"}"#), None);
    }

    #[test]
    fn a_default_that_is_a_function_does_not_make_a_column_the_server_s() {
        for (extra, made) in [
            ("default_generated", false),
            ("", false),
            ("auto_increment", true),
            ("stored generated", true),
        ] {
            assert_eq!(is_made_by_server(extra), made, "{extra}");
        }
    }
}
