//! The harness `java/Differential.java`: compiled once, run as a process, asked case by case.
//!
//! A case goes in as one line of JSON and its answer comes out as one:
//!
//! ```text
//! {"config": {…}, "key": {"class": …, option: …}, "value": {…},
//!  "records": [{"topic", "partition", "offset", "timestamp", "key": base64|null, "value", "headers": [[name, base64|null]]}]}
//! {"error": "configure", "class", "message"}
//! {"results": [{"record": …} | {"dropped": true} | {"error": "key"|"value"|"header"|"apply"|"show", "class", "message"}]}
//! ```
//!
//! A record's values are shown as [`super::show`] shows them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::child::Guarded;
use e2e::connect::{self, Part};
use e2e::place;
use serde_json::Value as Json;

const SOURCE: &str = "tests/e2e/java/Differential.java";

/// The StarRocks connector's jar, which no Maven repository has: its two transforms then take part.
const CONNECTOR: &str = "STARSINK_E2E_CONNECTOR_JAR";

pub(super) fn connector() -> Option<String> {
    std::env::var(CONNECTOR).ok()
}

/// A running harness.
pub(super) struct Java {
    process: Guarded,
    stdout: BufReader<ChildStdout>,
}

impl Java {
    /// Starts it with Debezium of that version on its class path.
    pub(super) fn start(debezium: &str) -> Result<Java> {
        let connect = connect::fetch(Part::Connect, connect::KAFKA)?;
        let debezium = connect::fetch(Part::Debezium, debezium)?;
        let classes = compile(&connect)?;
        let mut class_path =
            format!("{}:{}/*:{}/*", classes.display(), connect.display(), debezium.display());
        if let Some(jar) = connector() {
            ensure!(Path::new(&jar).is_file(), "{CONNECTOR} names `{jar}`, which is not a file");
            class_path = format!("{class_path}:{jar}");
        }
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-Duser.language=en"])
            .args([
                // An exception that is thrown often would lose its message.
                "-XX:-OmitStackTraceInFastThrow",
                "-Dfile.encoding=UTF-8",
                "-Dlog4j.threshold=OFF",
                "-cp",
                &class_path,
                "Differential",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Guarded::spawn(&mut command, None)?;
        let stdout = process.child().stdout.take().context("its stdout is a pipe")?;
        Ok(Java { process, stdout: BufReader::new(stdout) })
    }

    /// Where cases go in, one a line; may be taken once.
    pub(super) fn input(&mut self) -> ChildStdin {
        self.process.child().stdin.take().expect("taken once")
    }

    /// The answer to the next case.
    pub(super) fn answer(&mut self) -> Result<Json> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).context("read an answer of the harness")?;
        ensure!(!line.is_empty(), "the harness has ended");
        serde_json::from_str(&line).with_context(|| format!("answer `{line}`"))
    }
}

/// Compiles the harness beside the jars it stands on, if its source has changed.
fn compile(libs: &Path) -> Result<PathBuf> {
    let source = place::workspace().join(SOURCE);
    let classes = place::target().join("differential/classes");
    let stamp = classes.join("source");
    let text = fs::read(&source).with_context(|| format!("read `{}`", source.display()))?;
    if fs::read(&stamp).is_ok_and(|compiled| compiled == text) {
        return Ok(classes);
    }
    fs::create_dir_all(&classes)?;
    let output = Command::new("javac")
        .arg("-d")
        .arg(&classes)
        .args(["-cp", &format!("{}/*", libs.display())])
        .arg(&source)
        .output()
        .context("run `javac`, which tests/e2e/prerequisites installs")?;
    ensure!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    fs::File::create(&stamp)?.write_all(&text)?;
    Ok(classes)
}
