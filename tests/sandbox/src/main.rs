//! The documentation page's example from topic to table in one process: librdkafka's mock cluster
//! and the stand-in StarRocks, `starsink map` and `load` on the page's own configuration, the rows
//! read back.
//!
//! It shows; it measures and asserts nothing but that the rows arrived.

mod grid;
mod page;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use standin::Standin;
use starsink::cli::{self, Cli, Command};
use starsink::cmd;

use crate::page::{DATABASE, RECORDS, SINK, STATEMENTS, TABLE, TOPIC, WORKER};

/// Load the documentation page's example: topic `test` into table `example_db.test_tbl`.
#[derive(Debug, Parser)]
#[command(name = "sandbox")]
struct Options {
    /// Leave Kafka and StarRocks running afterwards, to play with
    #[arg(long)]
    keep: bool,
}

/// Everything that runs, and the files. Dropping it stops and removes all of it.
struct Sandbox {
    kafka: MockCluster<'static, DefaultProducerContext>,
    starrocks: Standin,
    dir: Dir,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print(std::io::stderr().lock(), &format!("\nerror: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let vars = environment()?;
    say("The documentation's example, from a Kafka topic to a StarRocks table.");
    let sandbox = Sandbox::start()?;
    sandbox.configure()?;
    sandbox.map(&vars)?;
    sandbox.load(&vars)?;
    sandbox.read_back()?;
    if options.keep {
        sandbox.keep()?;
    } else {
        say("\nDone. `cargo run --release -p sandbox -- --keep` leaves both running to play with.");
    }
    Ok(())
}

impl Sandbox {
    fn start() -> Result<Self> {
        let kafka = MockCluster::new(1).context("start librdkafka's mock cluster")?;
        let brokers = kafka.bootstrap_servers();
        step(1, &format!("Kafka at {brokers} (librdkafka's mock cluster), topic `{TOPIC}`:"));
        kafka.create_topic(TOPIC, 1, 1).context("create the topic")?;
        produce(&brokers)?;
        RECORDS.iter().for_each(|record| show(record));

        let starrocks = Standin::builder().start().context("start the stand-in StarRocks")?;
        step(2, &format!("StarRocks at {} (a stand-in), an empty table:", starrocks.fe()));
        starrocks.execute(&STATEMENTS.concat()).context("make the table")?;
        STATEMENTS.iter().for_each(|statement| show(statement));
        Ok(Sandbox { kafka, starrocks, dir: Dir::new()? })
    }

    /// Writes the page's two files.
    fn configure(&self) -> Result<()> {
        step(3, "The page's two configuration files, with these addresses filled in:");
        let brokers = self.kafka.bootstrap_servers();
        let fe = self.starrocks.fe().to_string();
        for (file, address) in [(&WORKER, &brokers), (&SINK, &fe)] {
            let text = file.at(address);
            let path = self.dir.file(file.name);
            std::fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
            say("");
            show(&format!("[{}]", path.display()));
            text.lines().for_each(show);
        }
        Ok(())
    }

    fn map(&self, vars: &BTreeMap<String, String>) -> Result<()> {
        step(4, "What will go where:");
        show(&format!("$ starsink map {} {}", WORKER.name, SINK.name));
        say("");
        let Command::Map(arguments) = self.command("map")? else {
            bail!("`map` is not the map command");
        };
        let code = cmd::map::map(&arguments, vars);
        ensure!(code == ExitCode::SUCCESS, "`starsink map` failed; the message above says why");
        Ok(())
    }

    /// The command line of a command and the page's two files.
    fn command(&self, name: &str) -> Result<Command> {
        let [worker, sink] = [&WORKER, &SINK].map(|file| self.dir.file(file.name));
        let words = ["starsink".as_ref(), name.as_ref(), worker.as_os_str(), sink.as_os_str()];
        Ok(Cli::try_parse_from(words)?.command)
    }

    fn load(&self, vars: &BTreeMap<String, String>) -> Result<()> {
        step(5, "The load:");
        show(&format!("$ starsink load {} {}", WORKER.name, SINK.name));
        show("(Before a group starts, this Kafka waits three seconds for more members.)");
        say("");
        let Command::Load(arguments) = self.command("load")? else {
            bail!("`load` is not the load command");
        };
        let code = cmd::load::load(&arguments, vars);
        // An exit code can be compared with nothing but another one.
        ensure!(code == ExitCode::SUCCESS, "`starsink load` failed; the message above says why");
        Ok(())
    }

    fn read_back(&self) -> Result<()> {
        step(6, "The table:");
        show(&format!("MySQL [{DATABASE}]> select * from {TABLE};"));
        let rows = self.starrocks.rows(DATABASE, TABLE);
        grid::grid(&["id", "city"], &rows).iter().for_each(|line| show(line));
        show(&format!("{} rows in set", rows.len()));
        let expected: Vec<Value> =
            RECORDS.iter().map(|record| serde_json::from_str(record)).collect::<Result<_, _>>()?;
        let missing = expected.iter().filter(|row| !rows.contains(row)).count();
        ensure!(
            missing == 0 && rows.len() == expected.len(),
            "the table should hold {} and holds {}",
            json!(expected),
            json!(rows),
        );
        Ok(())
    }

    /// Says what can be done now, and waits to be interrupted.
    fn keep(&self) -> Result<()> {
        let brokers = self.kafka.bootstrap_servers();
        let query = self.starrocks.query();
        let [worker, sink] = [&WORKER, &SINK].map(|file| quoted(&self.dir.file(file.name)));
        step(7, "Both are still running. In another terminal, from this directory:");
        say("\n   # one more record");
        show(&format!(
            r#"echo '{{"id":4,"city":"Boston"}}' | kcat -P -b {brokers} -t {TOPIC} -p 0"#
        ));
        say("\n   # load it");
        show("cargo run --release --bin starsink -- load \\");
        show(&format!("  {worker} \\"));
        show(&format!("  {sink}"));
        say("\n   # see it");
        show(&format!(
            "mysql -h{} -P{} -uroot -e 'select * from {DATABASE}.{TABLE}'",
            query.ip(),
            query.port()
        ));
        say(
            "\n`tail` in place of `load` goes on loading until Ctrl-C. Ctrl-C here ends the sandbox.",
        );
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("wait for signals")?;
        signals.forever().next();
        say("\nThe sandbox is gone.");
        Ok(())
    }
}

fn produce(brokers: &str) -> Result<()> {
    const WAIT: Duration = Duration::from_secs(10);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.timeout.ms", WAIT.as_millis().to_string())
        .create()
        .context("make a producer")?;
    for record in RECORDS {
        let record = BaseRecord::<str, str>::to(TOPIC).payload(record).partition(0);
        producer.send(record).map_err(|(error, _)| error).context("produce a record")?;
    }
    producer.flush(WAIT).context("produce the records")
}

/// The environment `starsink` sees: its own variables would lead it away from the example.
fn environment() -> Result<BTreeMap<String, String>> {
    let vars: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let astray = [cli::CONFIG, cli::BOOTSTRAP_SERVER, cli::PASSWORD, cli::PASSWORD_FILE];
    let set: Vec<&str> = astray.into_iter().filter(|name| vars.contains_key(*name)).collect();
    ensure!(set.is_empty(), "the example has its own addresses: unset {}", set.join(", "));
    Ok(vars)
}

/// A directory of our own, removed in the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("starsink-sandbox-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Dir(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What stays behind is two small files in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as a shell wants it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn step(number: u32, title: &str) {
    say(&format!("\n{number}. {title}"));
}

fn show(line: &str) {
    say(&format!("   {line}"));
}

fn say(line: &str) {
    print(std::io::stdout().lock(), line);
}

/// The only place that prints. A closed pipe is the reader's choice.
fn print(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
