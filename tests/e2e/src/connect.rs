//! Kafka Connect and Debezium: their jars through Maven, and a standalone worker that runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::child::Guarded;
use crate::kafka::free_port;
use crate::place;

const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The release of Kafka Connect that is compared with and run.
pub const KAFKA: &str = "4.1.0";
/// Debezium with the delete options that the documentation page uses.
pub const DEBEZIUM_2: &str = "2.7.4.Final";
/// Debezium without them.
pub const DEBEZIUM_3: &str = "3.2.0.Final";

/// What `fetch-connect` knows how to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Connect's runtime, converters and transforms.
    Connect,
    /// Debezium's PostgreSQL connector and its transforms.
    Debezium,
}

/// Directory of the part's jars, fetched if they are not there yet.
pub fn fetch(part: Part, version: &str) -> Result<PathBuf> {
    let name = match part {
        Part::Connect => "connect",
        Part::Debezium => "debezium",
    };
    let script = place::workspace().join("tests/e2e/fetch-connect");
    let status = Command::new(&script)
        .args([name, version])
        .env("CARGO_TARGET_DIR", place::target())
        .status()
        .with_context(|| format!("run `{}`", script.display()))?;
    if !status.success() {
        bail!("{name} {version} could not be fetched");
    }
    Ok(place::target().join(name).join(version).join("libs"))
}

/// A standalone worker with one source connector.
#[derive(Debug)]
pub struct Worker {
    process: Guarded,
    dir: PathBuf,
}

impl Worker {
    /// Starts `connect-standalone` with a worker's file, completed by what belongs to this host, and a
    /// connector's. Debezium of that version is its only plug-in.
    pub fn start(debezium: &str, worker: &str, connector: &str) -> Result<Worker> {
        let connect = fetch(Part::Connect, KAFKA)?;
        let plugin = fetch(Part::Debezium, debezium)?;
        let dir = place::scratch("connect")?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
            Ok(path)
        };
        // A connector's jars lie in a directory of their own below the plug-ins'.
        let plugins = plugin.parent().context("the jars lie in a directory")?;
        let own = format!(
            "\noffset.storage.file.filename={}\nplugin.path={}\nplugin.discovery=service_load\n\
             listeners=http://127.0.0.1:{}\n",
            dir.join("offsets").display(),
            plugins.display(),
            free_port()?
        );
        let worker = write("worker.properties", &(worker.to_owned() + &own))?;
        let connector = write("source.properties", connector)?;
        let logging = write("log4j.properties", &logging(&dir))?;
        let console = fs::File::create(dir.join("console.log")).context("open a log")?;
        let mut command = Command::new("java");
        command
            .args(["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j.configuration=file:{}", logging.display()))
            .arg("-cp")
            .arg(connect.join("*"))
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .args([worker, connector])
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("open a log")?)
            .stderr(console);
        let process = Guarded::spawn(&mut command, None)?;
        Ok(Worker { process, dir })
    }

    /// The last lines it has logged.
    pub fn last_words(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let all = read("connect.log") + &read("console.log");
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // In good order, or PostgreSQL waits for its replication connection.
        self.process.signal(Signal::SIGTERM);
        self.process.wait(STOP_WITHIN).ok();
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.dir).ok();
        }
    }
}

fn logging(dir: &Path) -> String {
    format!(
        "log4j.rootLogger=WARN, file\n\
         log4j.appender.file=org.apache.log4j.FileAppender\n\
         log4j.appender.file.File={}/connect.log\n\
         log4j.appender.file.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n\n",
        dir.display()
    )
}
