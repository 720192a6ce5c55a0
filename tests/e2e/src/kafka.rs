//! Real Apache Kafka (KRaft): one broker or three on free ports of this host, gone when dropped.
//!
//! Owns install, format, start, readiness, kill and restart. Does not put anything into topics.

/// Authorities, certificates and keys for the TLS listener.
mod certificates;
/// The text of a broker's `server.properties`.
mod settings;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

pub use self::certificates::Certificates;
use self::settings::Node;
use crate::child::Guarded;
use crate::place;

/// A started broker answers after 3–9 s as a rule, and has this long on a busy machine as long as it
/// goes on logging.
const READY_WITHIN: Duration = Duration::from_secs(900);
/// Brokers that log nothing for this long are stuck.
const SILENT_FOR: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Ports may be taken between choosing and binding them: then new ones are tried.
const STARTS: u32 = 3;
/// Any 16 bytes in URL-safe base64: names the cluster in its data directories.
const CLUSTER_ID: &str = "c3RhcnNpbmstZTJlLXRlcw";

/// The user every mechanism of the SASL listener knows.
pub const SASL_USER: &str = "loader";
/// That user's password.
pub const SASL_PASSWORD: &str = "correct-horse-7";

/// Kafka releases that `fetch-kafka` knows how to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 3.9.1, the last line that still has ZooKeeper; started as KRaft all the same.
    V3_9,
    /// 4.1.0
    V4_1,
}

impl Version {
    /// The version as Maven writes it.
    pub fn number(self) -> &'static str {
        match self {
            Version::V3_9 => "3.9.1",
            Version::V4_1 => "4.1.0",
        }
    }
}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        [Version::V3_9, Version::V4_1]
            .into_iter()
            .find(|version| version.number() == text)
            .ok_or_else(|| format!("no Kafka `{text}`; there are 3.9.1 and 4.1.0"))
    }
}

/// Whether there is a second listener that asks who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// PLAINTEXT only.
    Open,
    /// PLAINTEXT, and beside it SASL_SSL with PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and OAUTHBEARER
    /// with tokens that nobody signed.
    SaslSsl,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kafka's release.
    pub version: Version,
    /// 1 or 3; each is broker and controller at once.
    pub brokers: usize,
    /// Listeners.
    pub security: Security,
    /// More lines for `server.properties`; they win over ours.
    pub properties: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        let version = Version::V4_1;
        Options { version, brokers: 1, security: Security::Open, properties: Vec::new() }
    }
}

impl Options {
    /// A broker that asks who is there and lets nobody do what no access list allows; whoever comes
    /// by the PLAINTEXT listener may do everything.
    pub fn with_access_lists() -> Options {
        let properties = [
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", "User:ANONYMOUS"),
        ];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Options {
            security: Security::SaslSsl,
            properties: properties.to_vec(),
            ..Options::default()
        }
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Kafka {
    dir: PathBuf,
    version: Version,
    nodes: Vec<Node>,
    running: Vec<Option<Guarded>>,
    certificates: Option<Certificates>,
}

impl Kafka {
    /// Starts what `options` say and returns when every broker answers. Fetches Kafka first if it
    /// is not there yet.
    pub fn start(options: &Options) -> Result<Kafka> {
        ensure!(matches!(options.brokers, 1 | 3), "one broker or three, not {}", options.brokers);
        install(options.version)?;
        for _ in 1..STARTS {
            if let Ok(kafka) = Kafka::try_start(options) {
                return Ok(kafka);
            }
        }
        Kafka::try_start(options)
    }

    fn try_start(options: &Options) -> Result<Kafka> {
        let dir = place::scratch("kafka")?;
        let certificates = match options.security {
            Security::Open => None,
            Security::SaslSsl => Some(Certificates::make(&dir.join("tls"))?),
        };
        let nodes = settings::nodes(options.brokers, options.security, free_port)?;
        let running = nodes.iter().map(|_| None).collect();
        let mut kafka = Kafka { dir, version: options.version, nodes, running, certificates };
        kafka.write_settings(options)?;
        kafka.format_all(options.security)?;
        for i in 0..kafka.nodes.len() {
            kafka.launch(i)?;
        }
        kafka.wait_until_ready(options.brokers)?;
        Ok(kafka)
    }

    /// `host:port,…` of the PLAINTEXT listener.
    pub fn bootstrap(&self) -> String {
        addresses(self.nodes.iter().map(|node| node.client))
    }

    /// `host:port,…` of the SASL_SSL listener, by the name its certificate holds.
    pub fn secure_bootstrap(&self) -> Option<String> {
        let ports: Option<Vec<u16>> = self.nodes.iter().map(|node| node.secure).collect();
        ports.map(|ports| {
            ports.iter().map(|p| format!("localhost:{p}")).collect::<Vec<_>>().join(",")
        })
    }

    /// Files of the TLS listener, if there is one.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Process ids of the brokers that run.
    pub fn process_ids(&self) -> Vec<u32> {
        self.running.iter().flatten().map(Guarded::id).collect()
    }

    /// What broker `i` has logged so far.
    pub fn log(&self, i: usize) -> String {
        fs::read_to_string(self.node_dir(i).join("server.log")).unwrap_or_default()
    }

    /// Kills broker `i` with SIGKILL.
    pub fn kill(&mut self, i: usize) {
        if let Some(broker) = self.running[i].take() {
            broker.signal(Signal::SIGKILL);
        }
    }

    /// Starts broker `i` again on its old ports and data, ending it first if it runs; returns when
    /// the cluster is whole.
    pub fn restart(&mut self, i: usize) -> Result<()> {
        if let Some(broker) = self.running[i].take() {
            broker.stop(STOP_WITHIN)?;
        }
        self.launch(i)?;
        let running = self.running.iter().flatten().count();
        self.wait_until_ready(running)
    }

    /// Allows `user` of the SASL listener an operation such as `Write` on something that is named in
    /// the words of `kafka-acls.sh` (`--topic NAME`); needs [`Options::with_access_lists`].
    pub fn allow(&self, user: &str, operation: &str, on: &[&str]) -> Result<()> {
        self.access(&["--add"], user, operation, on)
    }

    /// Takes back what [`Kafka::allow`] allowed.
    pub fn forbid(&self, user: &str, operation: &str, on: &[&str]) -> Result<()> {
        self.access(&["--remove", "--force"], user, operation, on)
    }

    fn access(&self, how: &[&str], user: &str, operation: &str, on: &[&str]) -> Result<()> {
        let mut command = self.java(0, "org.apache.kafka.tools.AclCommand");
        command.args(["--bootstrap-server", &self.bootstrap()]).args(how).args(on);
        command.args(["--allow-principal", &format!("User:{user}"), "--operation", operation]);
        let output = command.output().context("run `java`")?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "AclCommand: {}", String::from_utf8_lossy(&said).trim());
        Ok(())
    }

    /// Ends all brokers in good order and removes their data.
    pub fn stop(mut self) -> Result<()> {
        // All are asked before any is waited for: a lone controller out of three waits for ever.
        for broker in self.running.iter().flatten() {
            broker.signal(Signal::SIGTERM);
        }
        self.running.drain(..).flatten().try_for_each(|broker| broker.stop(STOP_WITHIN))
    }

    fn write_settings(&self, options: &Options) -> Result<()> {
        for (i, node) in self.nodes.iter().enumerate() {
            let dir = self.node_dir(i);
            fs::create_dir_all(&dir).context("make a broker's directory")?;
            let text =
                settings::server(node, &self.nodes, self.certificates(), &dir, &options.properties);
            fs::write(dir.join("server.properties"), text).context("write server.properties")?;
            fs::write(dir.join("log4j.properties"), settings::logging(&dir))
                .context("write log4j.properties")?;
        }
        Ok(())
    }

    /// Formats the data directories, all at once: each takes a JVM a second or two.
    fn format_all(&self, security: Security) -> Result<()> {
        thread::scope(|scope| {
            let each: Vec<_> = (0..self.nodes.len())
                .map(|i| scope.spawn(move || self.format(i, security)))
                .collect();
            each.into_iter().try_for_each(|one| one.join().expect("formatting does not panic"))
        })
    }

    fn format(&self, i: usize, security: Security) -> Result<()> {
        let mut command = self.java(i, "kafka.tools.StorageTool");
        command.args(["format", "--cluster-id", CLUSTER_ID, "--config"]);
        command.arg(self.node_dir(i).join("server.properties"));
        if security == Security::SaslSsl {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let user = format!("{mechanism}=[name={SASL_USER},password={SASL_PASSWORD}]");
                command.args(["--add-scram", &user]);
            }
        }
        let output = command.output().context("run `java`; tests/e2e/prerequisites installs it")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("Kafka's StorageTool failed: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(())
    }

    fn launch(&mut self, i: usize) -> Result<()> {
        let dir = self.node_dir(i);
        let console = fs::File::create(dir.join("console.log")).context("open a broker's log")?;
        let mut command = self.java(i, "kafka.Kafka");
        command
            .arg(dir.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("open a broker's log")?)
            .stderr(console);
        self.running[i] = Some(Guarded::spawn(&mut command, Some(&self.dir))?);
        Ok(())
    }

    fn java(&self, i: usize, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xms128m", "-Xmx512m", "-Djava.awt.headless=true"])
            .arg(format!(
                "-Dlog4j.configuration=file:{}/log4j.properties",
                self.node_dir(i).display()
            ))
            .arg("-cp")
            .arg(home(self.version).join("libs").join("*"))
            .arg(class);
        command
    }

    fn node_dir(&self, i: usize) -> PathBuf {
        self.dir.join(format!("node{i}"))
    }

    /// Asks the brokers themselves; a log line says nothing about whether they answer.
    fn wait_until_ready(&mut self, brokers: usize) -> Result<()> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("log_level", "0")
            .set("reconnect.backoff.max.ms", "250")
            .create()
            .context("make a Kafka client")?;
        let deadline = Instant::now() + READY_WITHIN;
        let (mut logged, mut since) = (self.logged(), Instant::now());
        while Instant::now() < deadline && since.elapsed() < SILENT_FOR {
            self.fail_if_one_ended()?;
            let now = self.logged();
            if now != logged {
                (logged, since) = (now, Instant::now());
            }
            let seen = consumer.fetch_metadata(None, Duration::from_secs(1));
            if seen.is_ok_and(|metadata| metadata.brokers().len() >= brokers) {
                return Ok(());
            }
            // Errors such as a refused connection come at once: do not ask in a tight loop.
            consumer.poll(Duration::from_millis(100));
        }
        let logs: Vec<String> = (0..self.nodes.len()).map(|i| self.last_words(i)).collect();
        bail!(
            "Kafka does not answer, and logged last {:?} ago:\n{}",
            since.elapsed(),
            logs.join("\n--\n")
        );
    }

    /// Bytes in the logs of all brokers, consoles included.
    fn logged(&self) -> u64 {
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        let of = |i| {
            let dir = self.node_dir(i);
            size(dir.join("server.log")) + size(dir.join("console.log"))
        };
        (0..self.nodes.len()).map(of).sum()
    }

    fn fail_if_one_ended(&mut self) -> Result<()> {
        for i in 0..self.running.len() {
            if let Some(broker) = &mut self.running[i]
                && let Some(status) = broker.ended()?
            {
                bail!("Kafka's node {i} ended with {status}:\n{}", self.last_words(i));
            }
        }
        Ok(())
    }

    fn last_words(&self, i: usize) -> String {
        let console = fs::read_to_string(self.node_dir(i).join("console.log")).unwrap_or_default();
        let all = self.log(i) + &console;
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.running.clear();
        // After a panic the brokers' logs may tell why; the next run removes them.
        if !thread::panicking() {
            fs::remove_dir_all(&self.dir).ok();
        }
    }
}

fn home(version: Version) -> PathBuf {
    place::target().join("kafka").join(version.number())
}

/// Runs `fetch-kafka`, which does nothing when there is nothing to do.
fn install(version: Version) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fetch-kafka");
    let status = Command::new(script)
        .arg(version.number())
        .env("CARGO_TARGET_DIR", place::target())
        .stdin(Stdio::null())
        .status()
        .context("run fetch-kafka")?;
    ensure!(status.success(), "fetch-kafka could not get Apache Kafka {}", version.number());
    Ok(())
}

fn addresses(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// A port nobody listens on now. Below the range the system hands out by itself, so that no
/// outgoing connection takes it before the broker does.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes start at different places, or two test runs would race for every port.
    let start = (std::process::id() * 61 % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {FIRST} on")
}
