//! A real PostgreSQL with logical decoding, on a free port of this host, gone when dropped.

use std::env;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::child::Guarded;
use crate::kafka::free_port;

/// Where Debian puts a version's programs, below the version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The user that Debian's package makes; PostgreSQL refuses to run as root.
const OWNER: &str = "postgres";
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running server with user and database `postgres`, who needs no password.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    bin: PathBuf,
    dir: PathBuf,
    process: Option<Guarded>,
}

impl Postgres {
    /// Makes a cluster with `wal_level=logical` and starts it.
    pub fn start() -> Result<Postgres> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let bin = programs()?;
        // Not below the target directory: its owner's home may be closed to others.
        let n = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("starsink-postgres-{}-{n}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).with_context(|| format!("make `{}`", dir.display()))?;
        let owner = owner()?;
        if let Some((user, group)) = owner {
            chown(&dir, Some(user), Some(group)).context("give PostgreSQL its directory")?;
        }
        let data = dir.join("data");
        let run = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir(&dir).stdin(Stdio::null());
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let made = run("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "-D"])
            .arg(&data)
            .output()
            .context("run initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port()?;
        let log = fs::File::create(dir.join("log")).context("open PostgreSQL's log")?;
        let mut command = run("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in [
            "wal_level=logical",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "timezone=UTC",
        ] {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().context("open PostgreSQL's log")?).stderr(log);
        let process = Some(Guarded::spawn(&mut command, Some(&dir))?);
        let mut postgres = Postgres { port, bin, dir, process };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements, each in a transaction of its own, and returns what they print.
    pub fn execute(&self, statements: &str) -> Result<String> {
        let output = Command::new(self.bin.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["-v", "ON_ERROR_STOP=1", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .and_then(|mut psql| {
                use std::io::Write as _;
                psql.stdin.take().expect("a pipe").write_all(statements.as_bytes())?;
                psql.wait_with_output()
            })
            .context("run psql")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while self.execute("SELECT 1").is_err() {
            let ended = self.process.as_mut().map_or(Ok(None), Guarded::ended)?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("PostgreSQL does not answer:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Its children are in sessions of their own and end with it, if it is asked.
        process.signal(Signal::SIGINT);
        process.wait(STOP_WITHIN).ok();
        drop(process);
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// User and group that own the server, when this process is root.
fn owner() -> Result<Option<(u32, u32)>> {
    let id = |args: &[&str]| -> Result<u32> {
        let output = Command::new("id").args(args).output().context("run `id`")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse().with_context(|| format!("`id {}` says `{text}`", args.join(" ")))
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", OWNER])?, id(&["-g", OWNER])?)))
}

/// Directory of PostgreSQL's programs: the newest of Debian's, or where `initdb` is found.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|version| Path::new(DEBIAN).join(format!("{version}/bin/initdb")).exists())
        .max();
    if let Some(version) = newest {
        return Ok(Path::new(DEBIAN).join(format!("{version}/bin")));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find(|dir| dir.join("initdb").exists())
        .context("PostgreSQL is not installed; tests/e2e/prerequisites installs it")
}
