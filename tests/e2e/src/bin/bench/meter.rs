//! Measures one process: wall clock, CPU, peak resident memory.
//!
//! The kernel keeps the usage of *all* children that a process has waited for. So each contender
//! gets a parent of its own, this program once more, that waits for nothing else and reports.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Value, json};

/// What one run used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) wall_s: f64,
    pub(super) user_s: f64,
    pub(super) system_s: f64,
    pub(super) peak_kib: f64,
}

/// Runs `command` under a parent of its own and returns what it used; its output goes to a file
/// in `dir`.
pub(super) fn measure(command: &Command, dir: &Path) -> Result<Usage> {
    let log = super::output_file(dir);
    let file = File::create(&log).context("open a log")?;
    let me = std::env::current_exe().context("find this program")?;
    let mut meter = Command::new(me);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => meter.env(name, value),
            None => meter.env_remove(name),
        };
    }
    let output = meter
        .arg("meter")
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(file)
        .stdout(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("run this program as a meter")?;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if report["ok"] != true {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(4).collect();
        bail!("it failed: {}", last.into_iter().rev().collect::<Vec<_>>().join(" · "));
    }
    let number = |name: &str| report[name].as_f64().with_context(|| format!("no `{name}`"));
    Ok(Usage {
        wall_s: number("wall_s")?,
        user_s: number("user_s")?,
        system_s: number("system_s")?,
        peak_kib: number("peak_kib")?,
    })
}

/// The meter itself: runs `command` with its output on stderr and prints its usage on stdout.
pub(super) fn run_and_print(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("a command to run")?;
    let start = Instant::now();
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("run `{program}`"))?;
    let wall_s = start.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).context("read a child's usage")?;
    let report = json!({
        "ok": status.success(),
        "wall_s": wall_s,
        "user_s": seconds(used.user_time()),
        "system_s": seconds(used.system_time()),
        // KiB on Linux
        "peak_kib": used.max_rss(),
    });
    println!("{report}");
    ensure!(status.success(), "`{program}` ended with {status}");
    Ok(())
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
