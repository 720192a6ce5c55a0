//! What a look before a run wants to know of a cluster: may this user load, which BEs are there, how
//! many labels are remembered and for how long. Reads; the one thing that writes says so in its name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::starrocks::catalog::{self, Health};
use crate::starrocks::client::{Client, Failure, FirstHop, Node, TableName, TxnTimes};
use crate::starrocks::query_port::{Row, Session, SqlFailure};
use crate::starrocks::reply::{Reason, Refusal, Reply};

/// What an FE says to a Stream Load that never comes.
#[derive(Debug)]
pub enum Access {
    /// The login is good, a BE is alive; INSERT is there if the table is.
    Granted(Node),
    /// Name or password; server text.
    WrongLogin(String),
    /// The table is there, the right is not; server text.
    NoInsert(String),
    /// Server text.
    NoBackend(String),
    /// Server text.
    Other(String),
}

/// Asks an FE where a load of `table` would go.
pub fn access(client: &Client, table: &TableName) -> Result<Access, Failure> {
    let reply = match client.first_hop(table)? {
        FirstHop::To(node) => return Ok(Access::Granted(node)),
        FirstHop::Answered(reply) => reply,
    };
    Ok(match reply {
        Reply::Refused(Refusal { reason: Reason::Access, message, .. }) => {
            // Wrong credentials are named with the user; a missing right is not.
            let is_login = message.contains("Access denied for") || message.contains("auth info");
            if is_login { Access::WrongLogin(message) } else { Access::NoInsert(message) }
        }
        Reply::Busy(message) | Reply::Failed(message) => Access::NoBackend(message),
        Reply::Refused(refusal) => Access::Other(refusal.message),
        Reply::NotStarRocks(text) | Reply::Ambiguous(text) => Access::Other(text),
        other => Access::Other(format!("{other:?}")),
    })
}

/// What answers on a BE's HTTP port.
pub fn backend(client: &Client, node: &Node) -> Result<Health, Failure> {
    client.get_from(node, "/api/health").map(|answer| catalog::read_health(&answer))
}

/// Begins a transaction and rolls it back at once: the one proof that a load of `table` would be let
/// in. It takes one label and loads nothing.
pub fn begin_and_roll_back(
    client: &Client,
    table: &TableName,
    label: &str,
) -> Result<Result<(), Reply>, Failure> {
    const BRIEFLY: Duration = Duration::from_secs(60);
    let times = TxnTimes { timeout: BRIEFLY, idle: BRIEFLY, prepared: BRIEFLY };
    let (reply, _) = client.begin(label, table, times)?;
    if !matches!(reply, Reply::Done(_)) {
        return Ok(Err(reply));
    }
    match client.roll_back(&table.database, label)? {
        Reply::Done(_) | Reply::Aborted(_) | Reply::NoTransaction(_) => Ok(Ok(())),
        other => Ok(Err(other)),
    }
}

/// A BE or CN as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `HOST:HTTP_PORT`.
    pub address: String,
    pub alive: bool,
}

impl Listed {
    /// For asking it; `fe` is who listed it.
    pub fn node(&self, fe: &str) -> Node {
        Node::listed(&self.address, fe)
    }
}

/// Every BE and CN; needs OPERATE or NODE on SYSTEM.
pub fn nodes(session: &mut Session) -> Result<Vec<Listed>, SqlFailure> {
    let mut rows = session.rows("SHOW BACKENDS")?;
    // Unknown before 3.0, and empty without compute nodes.
    rows.extend(session.rows("SHOW COMPUTE NODES").unwrap_or_default());
    let mut nodes: Vec<Listed> = vec![];
    for row in &rows {
        let (Some(host), Some(port)) = (cell(row, &["IP", "Host"]), cell(row, &["HttpPort"]))
        else {
            continue;
        };
        let alive = cell(row, &["Alive"]).is_none_or(|text| text.eq_ignore_ascii_case("true"));
        let node = Listed { address: format!("{host}:{port}"), alive };
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// The release as the FE tells it over the query port.
pub fn version(session: &mut Session) -> Option<(u32, u32, u32)> {
    let rows = session.rows("SELECT current_version()").ok()?;
    catalog::read_version(rows.first()?.first()?.1.as_deref()?)
}

/// How long the frontend remembers labels, and how many transactions it lets run in a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub labels: Option<u64>,
    pub label_age: Option<Duration>,
    pub running: Option<u64>,
}

/// Needs OPERATE on SYSTEM.
pub fn limits(session: &mut Session) -> Result<Limits, SqlFailure> {
    let mut found = BTreeMap::new();
    for pattern in ["label_keep_max%", "max_running_txn_num_per_db"] {
        for row in session.rows(&format!("ADMIN SHOW FRONTEND CONFIG LIKE '{pattern}'"))? {
            if let (Some(key), Some(value)) = (cell(&row, &["Key"]), cell(&row, &["Value"])) {
                found.insert(key.to_owned(), value.parse::<u64>().ok());
            }
        }
    }
    let number = |name: &str| found.get(name).copied().flatten();
    Ok(Limits {
        labels: number("label_keep_max_num"),
        label_age: number("label_keep_max_second").map(Duration::from_secs),
        running: number("max_running_txn_num_per_db"),
    })
}

/// The transactions of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transactions {
    pub running: u64,
    /// Remembered, and the time between the end of the oldest and the newest of them.
    pub finished: u64,
    pub span: Option<Duration>,
}

/// Needs OPERATE on SYSTEM; `None`: the database is not listed.
pub fn transactions(
    session: &mut Session,
    database: &str,
) -> Result<Option<Transactions>, SqlFailure> {
    let databases = session.rows("SHOW PROC '/transactions'")?;
    let ours = databases.iter().find(|row| {
        cell(row, &["DbName"]).is_some_and(|name| name.rsplit(':').next() == Some(database))
    });
    let Some(id) = ours.and_then(|row| cell(row, &["DbId"])) else { return Ok(None) };
    let running = session.rows(&format!("SHOW PROC '/transactions/{id}/running'"))?;
    let finished = session.rows(&format!("SHOW PROC '/transactions/{id}/finished'"))?;
    let mut ends: Vec<i64> =
        finished.iter().filter_map(|row| seconds(cell(row, &["FinishTime"])?)).collect();
    ends.sort_unstable();
    let span = ends.first().zip(ends.last()).map(|(first, last)| last - first);
    Ok(Some(Transactions {
        running: running.len() as u64,
        finished: finished.len() as u64,
        span: span.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
    }))
}

/// Seconds that the FE's clock is ahead of `now_s`, by `unix_timestamp()`.
pub fn clock_ahead(session: &mut Session, now_s: i64) -> Option<i64> {
    let rows = session.rows("SELECT unix_timestamp()").ok()?;
    let theirs: i64 = rows.first()?.first()?.1.as_deref()?.parse().ok()?;
    Some(theirs - now_s)
}

/// The first of these columns that a row has.
fn cell<'a>(row: &'a Row, names: &[&str]) -> Option<&'a str> {
    let find = |name: &&str| row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
    names.iter().find_map(find).and_then(|(_, value)| value.as_deref())
}

/// `2026-11-24 20:00:00` as seconds; only differences matter, so the zone does not.
fn seconds(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.trim().replace(' ', "T").parse().ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_any_of_their_names() {
        let row: Row = vec![("IP".into(), Some("h".into())), ("Alive".into(), None)];
        assert_eq!(cell(&row, &["Host", "ip"]), Some("h"));
        assert_eq!(cell(&row, &["Alive"]), None);
    }

    #[test]
    fn times_of_a_listing_can_be_subtracted() {
        let apart = |a, b| seconds(b).unwrap() - seconds(a).unwrap();
        assert_eq!(apart("2026-11-24 20:00:00", "2026-11-24 20:01:00"), 60);
        assert_eq!(seconds("\\N"), None);
    }
}
