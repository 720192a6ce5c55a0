//! A real schema registry with Confluent's API: Apicurio Registry, in memory, on a free port, gone when
//! dropped. And topics filled through it by Confluent's Python serializers.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::child::Guarded;
use crate::kafka::free_port;
use crate::place;

/// 4–6 s is usual, more on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    process: Guarded,
    port: u16,
    dir: PathBuf,
}

impl Registry {
    /// Starts one and returns when it answers. Fetches it first if it is not there yet.
    pub fn start() -> Result<Registry> {
        let script = place::workspace().join("tests/e2e/fetch-registry");
        let status = Command::new(script)
            .env("CARGO_TARGET_DIR", place::target())
            .stdin(Stdio::null())
            .status()
            .context("run fetch-registry")?;
        ensure!(status.success(), "fetch-registry could not get the registry");
        let dir = place::scratch("registry")?;
        let port = free_port()?;
        let log = File::create(dir.join("registry.log")).context("open the registry's log")?;
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-Djava.awt.headless=true"])
            .args(["-Dapicurio.storage.kind=sql", "-Dapicurio.storage.sql.kind=h2"])
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={port}"))
            .args(["-jar", "apicurio-registry-app-3.0.9-runner.jar"])
            .current_dir(home().join("server"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open the registry's log")?)
            .stderr(log);
        let process = Guarded::spawn(&mut command, Some(&dir))?;
        let mut registry = Registry { process, port, dir };
        registry.wait_until_ready()?;
        Ok(registry)
    }

    /// Where Confluent's API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Registers an Avro schema and returns its id.
    pub fn register(&self, subject: &str, schema: &str) -> Result<i32> {
        let url = format!("{}/subjects/{subject}/versions", self.url());
        let body = serde_json::json!({ "schema": schema }).to_string();
        let request = agent().post(&url).header("Content-Type", "application/json").send(&body);
        let text = request.context("register a schema")?.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&text).context("read a schema's id")?;
        let id = answer["id"].as_i64().with_context(|| format!("no id in `{text}`"))?;
        i32::try_from(id).context("read a schema's id")
    }

    /// It takes connections and answers none until [`Registry::thaw`].
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// It answers again.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Fills `topic` with `count` messages of one format (`avro`, `protobuf`, `json`), see
    /// `tests/e2e/registry/produce.py`. Returns the rows that they must become.
    pub fn produce(
        &self,
        bootstrap: &str,
        format: &str,
        topic: &str,
        count: usize,
        options: &[&str],
    ) -> Result<Vec<Value>> {
        let output = Command::new(home().join("python/bin/python"))
            .arg(place::workspace().join("tests/e2e/registry/produce.py"))
            .args([bootstrap, &self.url(), format, topic, &count.to_string()])
            .args(options)
            .output()
            .context("run the Python producer")?;
        if !output.status.success() {
            bail!("the Python producer: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout).context("rows are text")?;
        text.lines().map(|line| serde_json::from_str(line).context("read a row")).collect()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + READY_WITHIN;
        while agent().get(format!("{}/subjects", self.url())).call().is_err() {
            let ended = self.process.ended()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.join("registry.log"));
                bail!("the registry does not answer ({ended:?}):\n{}", log.unwrap_or_default());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().proxy(None);
    config.timeout_global(Some(Duration::from_secs(5))).build().into()
}

/// What `fetch-registry` makes.
fn home() -> PathBuf {
    place::target().join("registry")
}
