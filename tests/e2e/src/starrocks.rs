//! The StarRocks under test: the stand-in as a process of its own, or a real cluster named by
//! the environment. Creates tables, counts and reads rows; knows nothing of `starsink`.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::child::Guarded;
use crate::place;
use crate::row::Row;

/// FE's HTTP address of a real StarRocks, `host:8030`; with it the suite leaves the stand-in out.
pub const FE: &str = "STARSINK_E2E_FE";
/// FE's query address, `host:9030`, for the `mysql` program.
pub const QUERY: &str = "STARSINK_E2E_QUERY";
/// A user who may create tables in the database and load into them.
pub const USER: &str = "STARSINK_E2E_USER";
/// That user's password.
pub const PASSWORD: &str = "STARSINK_E2E_PASSWORD";
/// An existing database for the suite's tables.
pub const DB: &str = "STARSINK_E2E_DB";
/// Names a stand-in binary to use instead of building one.
pub const STANDIN_BIN: &str = "STARSINK_E2E_STANDIN_BIN";

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A StarRocks with one database and one user.
#[derive(Debug)]
pub struct StarRocks {
    /// FE's HTTP address, `host:port`.
    pub fe: String,
    /// FE's query address, `host:port`.
    pub query: String,
    /// A backend's HTTP address, if known.
    pub be: Option<String>,
    /// Database of the tables.
    pub db: String,
    /// User that loads.
    pub user: String,
    /// The user's password.
    pub password: String,
    standin: Option<Guarded>,
}

/// Rows of a table of [`crate::row`]s, told by their ids: equal counts and sums of what was produced
/// and what is there leave no room for a lost row or a doubled one that a test would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the `id` column, modulo 2^64.
    pub sum: u64,
}

impl FromIterator<Row> for Ids {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Ids {
        rows.into_iter().fold(Ids::default(), |ids, row| Ids {
            rows: ids.rows + 1,
            sum: ids.sum.wrapping_add(row.id()),
        })
    }
}

/// What the stand-in has counted in a table since it was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Rows loaded.
    pub rows: u64,
    /// Bytes of the bodies they came in.
    pub bytes: u64,
}

impl StarRocks {
    /// The real one if the environment names it, or else a stand-in.
    pub fn start() -> Result<StarRocks> {
        match env::var(FE) {
            Ok(fe) => StarRocks::real(fe),
            Err(_) => StarRocks::standin(),
        }
    }

    /// Starts a stand-in with database `example_db` and user `user1`.
    pub fn standin() -> Result<StarRocks> {
        StarRocks::standin_with(&[])
    }

    /// The same with more arguments for the stand-in, such as `--version 2.3`.
    pub fn standin_with(args: &[&str]) -> Result<StarRocks> {
        let binary = place::binary("standin", STANDIN_BIN)?;
        let mut command = Command::new(binary);
        command.args(["--fe", "0", "--query", "0", "--be", "0"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Guarded::spawn(&mut command, None)?;
        let out = process.child().stdout.take().context("the stand-in's output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).context("read the stand-in's addresses")?;
        let at: Value = serde_json::from_str(&line).with_context(|| {
            format!("the stand-in printed `{}`, not its addresses", line.trim())
        })?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let starrocks = StarRocks {
            fe: text(&at["fe"]),
            query: text(&at["query"]),
            be: Some(text(&at["be"][0])),
            db: "example_db".into(),
            user: "user1".into(),
            password: "123456".into(),
            standin: Some(process),
        };
        starrocks.execute(
            "CREATE DATABASE example_db; \
             CREATE USER 'user1'@'%' IDENTIFIED BY '123456'; \
             GRANT SELECT, INSERT ON ALL TABLES IN DATABASE example_db TO USER 'user1'@'%';",
        )?;
        Ok(starrocks)
    }

    fn real(fe: String) -> Result<StarRocks> {
        let need = |name| env::var(name).with_context(|| format!("{FE} is set, {name} is not"));
        Ok(StarRocks {
            fe,
            query: need(QUERY)?,
            be: None,
            db: need(DB)?,
            user: need(USER)?,
            password: need(PASSWORD)?,
            standin: None,
        })
    }

    /// Whether this is the stand-in, with its faults and its control endpoints.
    pub fn is_standin(&self) -> bool {
        self.standin.is_some()
    }

    /// Makes `table` anew in the database. `definition` is what follows the name in CREATE TABLE.
    pub fn create_table(&self, table: &str, definition: &str) -> Result<()> {
        // A small real cluster may have one backend only.
        let copies =
            if self.is_standin() { "" } else { " PROPERTIES (\"replication_num\" = \"1\")" };
        self.execute(&format!(
            "DROP TABLE IF EXISTS {db}.{table}; CREATE TABLE {db}.{table} {definition}{copies};",
            db = self.db
        ))
    }

    /// Rows that `table` holds now.
    pub fn count(&self, table: &str) -> Result<u64> {
        if self.is_standin() {
            let counted = self.get(&format!("count?db={}&table={table}", self.db))?;
            let counted: Value = serde_json::from_str(&counted).context("read a count")?;
            return counted["rows"].as_u64().context("a count of rows");
        }
        let sql = format!("SELECT count(*) FROM {}.{table}", self.db);
        self.mysql(&sql)?.trim().parse().context("read a count")
    }

    /// Loaded rows and bytes of `table` as the stand-in counted them on their way in.
    pub fn tally(&self, table: &str) -> Result<Tally> {
        let counted = self.get(&format!("count?db={}&table={table}", self.db))?;
        let counted: Value = serde_json::from_str(&counted).context("read a count")?;
        let number = |name: &str| counted[name].as_u64().with_context(|| format!("count `{name}`"));
        Ok(Tally { rows: number("loaded_rows")?, bytes: number("loaded_bytes")? })
    }

    /// Ids of the rows of `table`; on the stand-in, call [`StarRocks::tally_ids`] before any load.
    pub fn ids(&self, table: &str) -> Result<Ids> {
        if self.is_standin() {
            let counted = self.get(&format!("count?db={}&table={table}", self.db))?;
            let counted: Value = serde_json::from_str(&counted).context("read a count")?;
            let number = |name: &str| integer(&counted[name]).with_context(|| name.to_owned());
            return Ok(Ids { rows: number("loaded_rows")?, sum: number("id_sum")? });
        }
        let sql = format!(
            "SELECT count(*), coalesce(sum(cast(id AS LARGEINT)), 0) FROM {}.{table}",
            self.db
        );
        let line = self.mysql(&sql)?;
        let (rows, sum) = line.trim().split_once('\t').context("a count and a sum")?;
        let sum: i128 = sum.parse().context("read a sum")?;
        Ok(Ids { rows: rows.parse().context("read a count")?, sum: sum as u64 })
    }

    /// Has the stand-in keep no rows of `table` but count them and add up their ids, so that many
    /// millions need no memory. A real StarRocks needs no such favour.
    pub fn tally_ids(&self, table: &str) -> Result<()> {
        if self.is_standin() {
            self.post(&format!("keep?mode=tally&column=id&db={}&table={table}", self.db), "")?;
        }
        Ok(())
    }

    /// Has the stand-in forget `table`'s rows and from now on only count them.
    pub fn only_count(&self, table: &str) -> Result<()> {
        self.post(&format!("keep?mode=nothing&db={}&table={table}", self.db), "").map(drop)
    }

    /// Values of `columns` of every row of `table`, sorted, each row joined with a bar.
    pub fn rows(&self, table: &str, columns: &[&str]) -> Result<Vec<String>> {
        let mut rows: Vec<String> = if self.is_standin() {
            let lines = self.get(&format!("rows?db={}&table={table}", self.db))?;
            lines.lines().map(|line| shown(line, columns)).collect::<Result<_>>()?
        } else {
            let sql = format!("SELECT {} FROM {}.{table}", columns.join(","), self.db);
            self.mysql(&sql)?.lines().map(|line| line.replace('\t', "|")).collect()
        };
        rows.sort_unstable();
        Ok(rows)
    }

    /// Adds a fault to the stand-in, in the JSON form of its control endpoint.
    pub fn fault(&self, fault: &Value) -> Result<()> {
        self.post("fault", &fault.to_string()).map(drop)
    }

    /// Removes all faults that have not struck yet.
    pub fn clear_faults(&self) -> Result<()> {
        self.post("clear_faults", "").map(drop)
    }

    /// Lets requests go on that a `hold` fault with this name keeps waiting.
    pub fn release(&self, name: &str) -> Result<()> {
        self.post(&format!("release?name={name}"), "").map(drop)
    }

    /// How many requests `hold` faults keep waiting.
    pub fn holds(&self) -> Result<usize> {
        let held: Vec<String> =
            serde_json::from_str(&self.get("held")?).context("read what is held")?;
        Ok(held.len())
    }

    /// Labels of the database that the stand-in remembers, with their states.
    pub fn labels(&self) -> Result<Vec<(String, String)>> {
        let lines = self.get(&format!("labels?db={}", self.db))?;
        let read = |line: &str| -> Result<(String, String)> {
            let value: Value = serde_json::from_str(line).context("read a label")?;
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            Ok((text("label"), text("state")))
        };
        lines.lines().map(read).collect()
    }

    /// Has the stand-in forget every finished label, as an FE does that restarts on a busy day.
    pub fn forget_labels(&self) -> Result<()> {
        self.post("config?name=label_keep_max_num&value=0", "")?;
        self.post("restart_fe", "").map(drop)
    }

    /// Restarts the stand-in's FE as releases do that can then commit nothing that was prepared.
    pub fn lose_prepared(&self) -> Result<()> {
        self.post("restart_fe?lose_prepared=true", "").map(drop)
    }

    /// The stand-in's first backend dies, and the frontend has noticed.
    pub fn lose_backend(&self) -> Result<()> {
        self.post("kill_be?be=0", "")?;
        self.post("be_down?be=0", "").map(drop)
    }

    /// Moves the stand-in's clock on.
    pub fn advance(&self, by: Duration) -> Result<()> {
        self.post(&format!("advance?ms={}", by.as_millis()), "").map(drop)
    }

    /// Runs statements as an administrator.
    pub fn execute(&self, statements: &str) -> Result<()> {
        if self.is_standin() {
            self.post("sql", statements).map(drop)
        } else {
            self.mysql(statements).map(drop)
        }
    }

    fn get(&self, what: &str) -> Result<String> {
        let url = format!("http://{}/_standin/{what}", self.fe);
        answer(agent().get(&url).call(), &url)
    }

    fn post(&self, what: &str, body: &str) -> Result<String> {
        let url = format!("http://{}/_standin/{what}", self.fe);
        answer(agent().post(&url).send(body), &url)
    }

    fn mysql(&self, sql: &str) -> Result<String> {
        let (host, port) = self.query.rsplit_once(':').context("a query address has a port")?;
        let output = Command::new("mysql")
            .args(["--batch", "--skip-column-names", "-h", host, "-P", port, "-u", &self.user])
            .args(["-e", sql])
            // Not on the command line, where other users see it.
            .env("MYSQL_PWD", &self.password)
            .output()
            .context("run `mysql`, which a real StarRocks is asked with")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "mysql: {}", said.trim());
        String::from_utf8(output.stdout).context("mysql's answer is not UTF-8")
    }
}

/// A 64-bit number, signed or not, or one that was written as text.
fn integer(value: &Value) -> Option<u64> {
    let signed = || value.as_i64().map(|n| n as u64);
    let text = || value.as_str()?.parse::<i128>().ok().map(|n| n as u64);
    value.as_u64().or_else(signed).or_else(text)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(ANSWER_WITHIN))
        .build()
        .into()
}

fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    url: &str,
) -> Result<String> {
    /// A million rows of JSON read back.
    const MOST_BYTES: u64 = 1 << 30;
    let mut response = response.with_context(|| format!("ask {url}"))?;
    let text = response.body_mut().with_config().limit(MOST_BYTES).read_to_string()?;
    if response.status() != 200 {
        bail!("{url} answers {}: {text}", response.status());
    }
    Ok(text)
}

/// A row of the stand-in as `mysql --batch` would show it, with bars for tabs.
fn shown(line: &str, columns: &[&str]) -> Result<String> {
    let row: Value = serde_json::from_str(line).with_context(|| format!("row `{line}`"))?;
    let cell = |name: &&str| match &row[*name] {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(is) => u8::from(*is).to_string(),
        other => other.to_string(),
    };
    Ok(columns.iter().map(cell).collect::<Vec<_>>().join("|"))
}
