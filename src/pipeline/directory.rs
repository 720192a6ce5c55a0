//! The tables of a run: what StarRocks says of each, asked once, and the headers of its loads. Shared
//! by all lanes; a lane that meets a new table waits for the answer, the reader never does.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::job::{Body, Job, TableHeaders};
use crate::error::Problem;
use crate::mapping::columns::Table;
use crate::mapping::layout::Layout;
use crate::mapping::maker::{Lookup, Tables, Way};
use crate::pipeline::loads::unreachable_node;
use crate::starrocks::catalog;
use crate::starrocks::client::{Client, TableName};

/// Headers of one table's loads.
pub type Headers = Arc<[(String, String)]>;

pub struct Directory {
    client: Client,
    database: String,
    target: TableHeaders,
    /// Set where CSV rows are made here: StarRocks must then be told their columns.
    made_csv: Option<Body>,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    lookup: Lookup,
    headers: Headers,
    asked: Instant,
}

/// A table that a record does not fit is asked for again, at most this often.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Directory {
    /// `client`: whom to ask, and how long; `general`: what the job says of every load.
    pub fn new(client: Client, job: &Job, way: &Way, general: Vec<(String, String)>) -> Directory {
        let makes_csv = matches!(way, Way::Convert(_)) && job.format.body != Body::Json;
        Directory {
            client,
            database: job.target.database.clone(),
            target: job.target.table_headers().with_general(general),
            made_csv: makes_csv.then(|| job.format.body.clone()),
            known: Mutex::default(),
        }
    }

    /// Puts down what was asked before the run began.
    pub fn put(&self, table: &str, lookup: Lookup) {
        let headers = self.headers_for(table, &lookup);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(table.to_owned(), Known { lookup, headers, asked: Instant::now() });
    }

    /// The headers of a table's loads.
    pub fn headers(&self, table: &str) -> Headers {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(table) {
            Some(known) => Arc::clone(&known.headers),
            None => self.target.of(table).into(),
        }
    }

    /// Names of a table's columns, in order; empty where StarRocks does not show them.
    pub fn columns(&self, table: &str) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(table).map(|known| &known.lookup) {
            Some(Lookup::Known(table)) => {
                table.columns.iter().map(|column| column.name.clone()).collect()
            }
            Some(Lookup::Hidden | Lookup::Missing(_)) | None => vec![],
        }
    }

    fn headers_for(&self, table: &str, lookup: &Lookup) -> Headers {
        let mut headers = self.target.of(table);
        if let (Some(body), Lookup::Known(table)) = (&self.made_csv, lookup)
            && let Some(columns) = Layout::of(body, &headers).columns_header(table)
        {
            headers.retain(|(name, _)| name != "columns");
            headers.push(("columns".to_owned(), columns));
        }
        headers.into()
    }

    fn ask(&self, table: &str) -> Result<Lookup, Problem> {
        let name = TableName { database: self.database.clone(), table: table.into() };
        let found = catalog::table(&self.client, &name).map_err(|failure| {
            unreachable_node(&format!("cannot read the columns of `{name}`"), &failure)
        })?;
        Ok(match found {
            catalog::Table::Columns(table) => Lookup::Known(Arc::<Table>::new(table)),
            catalog::Table::Hidden(_) | catalog::Table::Refused(_) => Lookup::Hidden,
            catalog::Table::NoTable(words) | catalog::Table::NoDatabase(words) => {
                Lookup::Missing(words)
            }
        })
    }
}

impl Tables for Directory {
    fn find(&self, table: &str) -> Result<Lookup, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(table) {
            return Ok(known.lookup.clone());
        }
        // Not asked under the lock: other lanes go on meanwhile.
        drop(known);
        let lookup = self.ask(table)?;
        self.put(table, lookup.clone());
        Ok(lookup)
    }

    fn changed(&self, known: &Arc<Table>) -> Option<Arc<Table>> {
        // Loads of one label must name the same columns, and other lanes know the old ones.
        if self.made_csv.is_some() {
            return None;
        }
        let tables = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let last = tables.get(&known.name)?;
        let (asked, mut lookup) = (last.asked, last.lookup.clone());
        drop(tables);
        if asked.elapsed() >= ASK_AGAIN {
            lookup = self.ask(&known.name).ok()?;
            self.put(&known.name, lookup.clone());
        }
        match lookup {
            Lookup::Known(table) if table != *known => Some(table),
            Lookup::Known(_) | Lookup::Hidden | Lookup::Missing(_) => None,
        }
    }
}
