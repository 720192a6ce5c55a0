//! The tables: are they there, may this user load into them, what kind are they? With `--write` a
//! transaction is begun and rolled back in each. Columns and records are `columns.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cmd::check::side::Lines;
use crate::config::job::{Job, Topics};
use crate::kafka::probe::timed;
use crate::mapping::columns::{self, TableKind};
use crate::mapping::route;
use crate::starrocks::catalog;
use crate::starrocks::client::{Client, TableName};
use crate::starrocks::probe::{self, Access};
use crate::starrocks::reply::Reply;
use crate::verdict::{Area, Line};

/// A table that is there.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: TableName,
    /// Those that go into it.
    pub(super) topics: Vec<String>,
    /// `None`: this user may not see them.
    pub(super) shape: Option<columns::Table>,
}

/// Tables with the topics that go into each, before any transform; topics as the configuration names
/// them where Kafka could not be asked.
pub(super) fn wanted(job: &Job, found: Option<&[(String, u32)]>) -> BTreeMap<String, Vec<String>> {
    let named = match (&job.source.topics, found) {
        (_, Some(found)) => found.iter().map(|(topic, _)| topic.clone()).collect(),
        (Topics::Named(names), None) => names.clone(),
        (Topics::Matching(_), None) => vec![],
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for topic in named {
        tables.entry(route::table(&job.routes, &topic).to_owned()).or_default().push(topic);
    }
    tables
}

/// The same where transforms choose the topic: `made` says which topics the records of each became.
pub(super) fn routed(
    job: &Job,
    made: &BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (topic, names) in made {
        for name in names {
            let topics = tables.entry(route::table(&job.routes, name).to_owned()).or_default();
            if !topics.iter().any(|known| **known == **topic) {
                topics.push(topic.to_string());
            }
        }
    }
    tables
}

/// One line a table; returns those that are there.
pub(super) fn check<T>(
    job: &Job,
    client: &Client,
    tables: &BTreeMap<String, Vec<String>>,
    write: bool,
    lines: &Lines<T>,
) -> Vec<Table> {
    let mut found = vec![];
    for (table, topics) in tables {
        let name = TableName { database: job.target.database.clone(), table: table.clone() };
        let (looked, took) = timed(|| look(job, client, &name, topics));
        let table = match looked {
            Looked::Usable(table) => table,
            Looked::Bad(line) => {
                lines.tell(line.took(took));
                continue;
            }
            Looked::NoDatabase(line) => {
                lines.tell(line.took(took));
                break;
            }
        };
        lines.tell(there(&table).took(took));
        if let Some(line) = changes_nowhere(job, &table) {
            lines.tell(line);
        }
        if write {
            lines.tell(tried(job, client, &table.name));
        }
        found.push(table);
    }
    found
}

/// What looking at a table came to.
enum Looked {
    Usable(Table),
    Bad(Line),
    /// None of the others is there either.
    NoDatabase(Line),
}

/// What is wrong with a table, or the table.
fn look(job: &Job, client: &Client, name: &TableName, topics: &[String]) -> Looked {
    let subject = format!("table {name}");
    let away = |failure: crate::starrocks::client::Failure| {
        let text = format!("`{}` does not answer", failure.address);
        Looked::Bad(Line::away(Area::Tables, &subject, text).cause(failure.cause))
    };
    let answer = match catalog::table(client, name) {
        Ok(answer) => answer,
        Err(failure) => return away(failure),
    };
    let shape = match answer {
        catalog::Table::Columns(shape) => Some(shape),
        catalog::Table::Hidden(_) => None,
        catalog::Table::NoDatabase(cause) => {
            let subject = format!("database {}", name.database);
            let line = Line::wrong(Area::Tables, subject, "it does not exist in StarRocks");
            let hint = "set `starrocks.database.name` or `-D`";
            return Looked::NoDatabase(line.cause(cause).hint(hint));
        }
        catalog::Table::NoTable(cause) => {
            let text = format!("topic `{}` goes there, and it does not exist", topics.join("`, `"));
            let line = Line::wrong(Area::Tables, subject, text).cause(cause).hint(format!(
                "map it with `--map {}:NAME`, or print a CREATE TABLE with `starsink map --ddl`",
                topics.first().map_or("TOPIC", String::as_str)
            ));
            return Looked::Bad(line);
        }
        catalog::Table::Refused(cause) => {
            let line = Line::wrong(Area::Auth, "login", "StarRocks does not accept this user");
            return Looked::Bad(line.cause(cause));
        }
    };
    match probe::access(client, name) {
        Ok(Access::NoInsert(cause)) => {
            let text = format!("user `{}` may not load into it", job.target.user);
            let grant = format!("`GRANT INSERT ON {name} TO USER '{}'`", job.target.user);
            Looked::Bad(Line::wrong(Area::Tables, subject, text).cause(cause).hint(grant))
        }
        Err(failure) => away(failure),
        Ok(Access::Granted(_)) => {
            Looked::Usable(Table { name: name.clone(), topics: topics.to_vec(), shape })
        }
        Ok(Access::WrongLogin(cause)) => {
            let text = "StarRocks does not accept this user any more";
            Looked::Bad(Line::wrong(Area::Auth, "login", text).cause(cause))
        }
        Ok(Access::NoBackend(cause)) => {
            let text = "no BE can take a load, so nobody says whether INSERT is granted";
            Looked::Bad(Line::away(Area::Tables, subject, text).cause(cause))
        }
        Ok(Access::Other(cause)) => {
            let text = "StarRocks does not say where a load would go";
            Looked::Bad(Line::wrong(Area::Tables, subject, text).cause(cause))
        }
    }
}

fn there(table: &Table) -> Line {
    let subject = format!("table {}", table.name);
    let topics = match table.topics.as_slice() {
        [one] => format!("topic {one}"),
        topics => format!("{} topics", topics.len()),
    };
    let Some(shape) = &table.shape else {
        let text = format!("of {topics}; its columns are hidden from this user");
        return Line::warn(Area::Tables, subject, text)
            .hint(format!("`GRANT SELECT ON {} TO USER …` shows them", table.name));
    };
    let kind = match shape.kind {
        TableKind::Unknown => String::new(),
        kind => format!("{kind}, "),
    };
    let details = shape.columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " NOT NULL" };
        let default =
            column.default.as_ref().map(|text| format!(" DEFAULT {text}")).unwrap_or_default();
        format!("{} {}{null}{default}", column.name, column.text)
    });
    let text = format!("of {topics}; {kind}{} columns, INSERT granted", shape.columns.len());
    Line::ok(Area::Tables, subject, text).details(details.collect())
}

/// Classes whose records bring deletes.
const CHANGE_DATA: [&str; 2] = ["ExtractNewRecordState", "AddOpFieldForDebeziumRecord"];

/// Change data into a table that knows no deletes.
fn changes_nowhere(job: &Job, table: &Table) -> Option<Line> {
    let kind = table.shape.as_ref()?.kind;
    if matches!(kind, TableKind::Primary | TableKind::Unknown) {
        return None;
    }
    let mut chain = job.records.chain.iter();
    let (key, class) = chain.find(|(key, class)| {
        key.ends_with(".type") && CHANGE_DATA.iter().any(|known| class.ends_with(known))
    })?;
    let text = format!("change data goes there, and a {kind} table knows no deletes");
    let class = class.rsplit('.').next().unwrap_or(class);
    let line = Line::wrong(Area::Tables, format!("table {}", table.name), text);
    Some(
        line.at(format!("`{key}` {class}"))
            .hint("a table with a PRIMARY KEY takes deletes; `starsink map --ddl` prints one"),
    )
}

/// `--write`: the one proof that leaves a label behind.
fn tried(job: &Job, client: &Client, name: &TableName) -> Line {
    let subject = format!("transaction in {}", name.table);
    let label = format!(
        "starsink_check_{:x}_{}",
        jiff::Timestamp::now().as_nanosecond(),
        std::process::id()
    );
    let (outcome, took) = timed(|| probe::begin_and_roll_back(client, name, &label));
    let line = match outcome {
        Ok(Ok(())) => Line::ok(Area::Tables, subject, "begun and rolled back"),
        Ok(Err(Reply::Refused(refusal))) => {
            let text = format!("user `{}` cannot begin one", job.target.user);
            Line::wrong(Area::Tables, subject, text).cause(refusal.message)
        }
        Ok(Err(reply)) => {
            Line::away(Area::Tables, subject, "it cannot be begun now").cause(words(&reply))
        }
        Err(failure) => {
            Line::away(Area::Tables, subject, format!("`{}` does not answer", failure.address))
                .cause(failure.cause)
        }
    };
    line.at(format!("label `{label}`")).took(took)
}

fn words(reply: &Reply) -> String {
    match reply {
        Reply::Busy(text)
        | Reply::Failed(text)
        | Reply::Ambiguous(text)
        | Reply::NotStarRocks(text)
        | Reply::Aborted(text)
        | Reply::NoTransaction(text) => text.clone(),
        Reply::Refused(refusal) => refusal.message.clone(),
        Reply::LabelTaken(_) => "the label is taken".into(),
        Reply::Done(report) | Reply::Publishing(report) => report.message.clone(),
    }
}
