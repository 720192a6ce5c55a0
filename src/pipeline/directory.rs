//! The tables of a run: what StarRocks says of each, asked once, and the headers of its loads. Shared
//! by all lanes; a lane that meets a new table waits for the answer, the reader never does.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::job::Job;
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
    /// Headers of every table's loads.
    general: Headers,
    /// CSV rows are made here, so StarRocks must be told their columns.
    csv_layout: Option<Layout>,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    lookup: Lookup,
    headers: Headers,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Directory {
    /// `general`: what the job says of every load.
    pub fn new(job: &Job, way: &Way, general: Vec<(String, String)>) -> Directory {
        let csv_layout = match way {
            Way::Convert(_) => Some(Layout::of(&job.format.body, &job.target.headers)),
            Way::CopyJson | Way::CopyLines => None,
        };
        Directory {
            client: Client::new(&job.target),
            database: job.target.database.clone(),
            general: general.into(),
            csv_layout,
            known: Mutex::default(),
        }
    }

    /// Puts down what was asked before the run began.
    pub fn put(&self, table: &str, lookup: Lookup) {
        let headers = self.headers_for(&lookup);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(table.to_owned(), Known { lookup, headers });
    }

    /// The headers of a table's loads.
    pub fn headers(&self, table: &str) -> Headers {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(table)
            .map_or_else(|| Arc::clone(&self.general), |known| Arc::clone(&known.headers))
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

    fn headers_for(&self, lookup: &Lookup) -> Headers {
        let columns = |layout: &Layout| match lookup {
            Lookup::Known(table) => layout.columns_header(table),
            Lookup::Hidden | Lookup::Missing(_) => None,
        };
        let Some(columns) = self.csv_layout.as_ref().and_then(columns) else {
            return Arc::clone(&self.general);
        };
        let others = self.general.iter().filter(|(name, _)| name != "columns").cloned();
        others.chain([("columns".to_owned(), columns)]).collect()
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
}
