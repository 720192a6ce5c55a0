//! Statements as a person types them: split, told apart, and executed against the cluster. DDL
//! and grants are in `ddl`, what reads is in `query`, the tables of `information_schema` in
//! `catalog`. A statement that is not imitated is an error that says so.

mod catalog;
mod ddl;
mod query;
pub(crate) mod scan;

use serde_json::Value;

use crate::access::User;
use crate::cluster::Cluster;
use scan::{Scanner, split_statements};

pub(crate) use catalog::{create_text, default_kind};

/// Who executes, and where names without a database are looked up.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) db: Option<String>,
}

impl Session {
    pub(crate) fn root() -> Self {
        Self { user: "root".to_owned(), db: None }
    }
}

/// A statement's failure: MySQL error number and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub code: u16,
    pub text: String,
}

impl SqlError {
    pub(crate) fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A statement, or a part of one, that the stand-in does not know.
    pub(crate) fn unknown(what: &str) -> Self {
        Self::new(1064, format!("stand-in: not imitated: {what}"))
    }
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error {}: {}", self.code, self.text)
    }
}

impl std::error::Error for SqlError {}

/// What kind of statement gave a result; HTTP shows them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Select,
    Show,
}

/// Columns with their type names, and rows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) shape: Shape,
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// What a statement came to.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Done,
    Rows(Table),
}

/// Executes all statements of `text`; stops at the first error.
pub(crate) fn execute_all(
    cluster: &Cluster,
    session: &mut Session,
    text: &str,
) -> Result<Vec<Outcome>, SqlError> {
    split_statements(text).iter().map(|one| execute(cluster, session, one)).collect()
}

/// Executes one statement.
pub(crate) fn execute(
    cluster: &Cluster,
    session: &mut Session,
    text: &str,
) -> Result<Outcome, SqlError> {
    let mut scanner = Scanner::new(text)?;
    let verb = scanner.peek_word().unwrap_or_default().to_ascii_uppercase();
    match verb.as_str() {
        "ADMIN" if scanner.take("ADMIN SHOW FRONTEND CONFIG") => {
            query::frontend_config(cluster, session, &mut scanner).map(Outcome::Rows)
        }
        "CREATE" | "DROP" | "ALTER" | "GRANT" | "REVOKE" | "TRUNCATE" | "DELETE" | "RECOVER"
        | "INSERT" | "ADMIN" => ddl::execute(cluster, session, &mut scanner),
        "USE" => {
            scanner.next();
            let db = scanner.name()?;
            scanner.end()?;
            use_db(cluster, session, &db)?;
            Ok(Outcome::Done)
        }
        // Session settings of clients change nothing here.
        "SET" => Ok(Outcome::Done),
        "SELECT" | "SHOW" | "DESC" | "DESCRIBE" | "EXPLAIN" => {
            query::execute(cluster, session, &mut scanner).map(Outcome::Rows)
        }
        "" => Err(SqlError::new(1065, "Query was empty")),
        other => Err(SqlError::unknown(other)),
    }
}

/// Changes the session's database.
pub(crate) fn use_db(cluster: &Cluster, session: &mut Session, db: &str) -> Result<(), SqlError> {
    let state = cluster.lock();
    let known = state.databases.contains_key(db) || db.eq_ignore_ascii_case("information_schema");
    if !known {
        return Err(unknown_database(db));
    }
    let may = user(&state, session).is_some_and(|u| u.sees_db(db))
        || db.eq_ignore_ascii_case("information_schema");
    if !may {
        let text = format!(
            "Access denied; you need (at least one of) the ANY privilege(s) on DATABASE {db} for \
             this operation."
        );
        return Err(SqlError::new(5203, text));
    }
    session.db = Some(db.to_owned());
    Ok(())
}

fn user<'a>(state: &'a crate::cluster::State, session: &Session) -> Option<&'a User> {
    state.users.0.get(&session.user)
}

fn unknown_database(db: &str) -> SqlError {
    SqlError::new(
        1049,
        format!("Getting analyzing error. Detail message: Unknown database '{db}'."),
    )
}

fn unknown_table(db: &str, table: &str) -> SqlError {
    let text = format!("Getting analyzing error. Detail message: Unknown table '{db}.{table}'.");
    SqlError::new(5502, text)
}
