//! The `starsink` program as its users meet it: arguments, environment, files, signals, exit
//! status and what it wrote.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::child::Guarded;
use crate::place;

/// Names a binary to test instead of the one built from this workspace.
pub const BIN: &str = "STARSINK_BIN";

/// The program.
#[derive(Debug, Clone)]
pub struct Starsink {
    binary: PathBuf,
}

impl Starsink {
    /// The binary that [`BIN`] names, or this workspace's, built if it is not up to date.
    pub fn find() -> Result<Starsink> {
        Ok(Starsink { binary: place::binary("starsink", BIN)? })
    }

    /// A command without arguments, with the caller's `STARSINK_*` variables removed.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STARSINK_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end with `input` on stdin.
    pub fn run(&self, args: &[&str], input: &str, within: Duration) -> Result<Output> {
        let mut run = self.start(args, input)?;
        run.wait(within)
    }

    /// Starts it with `input` on stdin.
    pub fn start(&self, args: &[&str], input: &str) -> Result<Run> {
        let dir = place::scratch("starsink")?;
        let stdin = dir.join("stdin");
        fs::write(&stdin, input).context("write its input")?;
        let mut command = self.command();
        command
            .args(args)
            .stdin(File::open(&stdin).context("open its input")?)
            .stdout(File::create(dir.join("stdout")).context("open its output")?)
            .stderr(File::create(dir.join("stderr")).context("open its output")?);
        let process = Guarded::spawn(&mut command, None)?;
        let shown = format!("starsink {}", args.join(" "));
        Ok(Run { process, dir, shown })
    }
}

/// A run that has not been waited for.
#[derive(Debug)]
pub struct Run {
    process: Guarded,
    dir: PathBuf,
    shown: String,
}

impl Run {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Its resident memory now, in bytes; its peak so far if `peak`.
    pub fn resident_bytes(&self, peak: bool) -> Result<u64> {
        let field = if peak { "VmHWM:" } else { "VmRSS:" };
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .context("read a process's status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib =
            line.and_then(|rest| rest.split_whitespace().next()).context("no memory figure")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.dir.join("stderr"))
    }

    /// Waits for its end; a run that goes on is killed and an error.
    pub fn wait(&mut self, within: Duration) -> Result<Output> {
        let start = Instant::now();
        let status = match self.process.wait(within) {
            Ok(status) => status,
            Err(error) => {
                self.signal(Signal::SIGKILL);
                bail!("`{}`: {error:#}; stderr:\n{}", self.shown, self.stderr());
            }
        };
        Ok(Output {
            command: self.shown.clone(),
            status,
            took: start.elapsed(),
            stdout: read(&self.dir.join("stdout")),
            stderr: self.stderr(),
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it was waited for.
    pub took: Duration,
    /// All it wrote to stdout.
    pub stdout: String,
    /// All it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// The exit code as a shell shows it: 128 + signal for a death by signal.
    pub fn code(&self) -> i32 {
        self.status.code().or(self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// Panics with all that was written unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Output {
        self.expect_any(&[code])
    }

    /// Panics with all that was written unless the exit code is one of `codes`.
    #[track_caller]
    pub fn expect_any(self, codes: &[i32]) -> Output {
        let (code, command) = (self.code(), &self.command);
        assert!(
            codes.contains(&code),
            "`{command}` exits {code}, not {codes:?}\n--- stdout\n{}--- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Panics unless stderr holds every one of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Output {
        for text in texts {
            let found = self.stderr.to_lowercase().contains(&text.to_lowercase());
            assert!(found, "`{}` does not say `{text}`:\n{}", self.command, self.stderr);
        }
        self
    }
}

/// Writes lines of a Java `.properties` file.
pub fn write_properties(path: &Path, entries: &[(&str, &str)]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("write `{}`", path.display()))?;
    for (key, value) in entries {
        writeln!(file, "{key}={}", value.replace('\\', "\\\\"))?;
    }
    Ok(())
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
