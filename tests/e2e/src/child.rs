//! A child process in a process group of its own that dies with this process, whatever happens.
//!
//! Three nets: `Drop` kills and reaps it, also while a test panics. If this process is killed, or
//! never drops a value it keeps in a static, a watchdog does it: a shell that waits for the end
//! of a pipe whose other end only this process holds. Nothing is remembered on disk, so there is
//! nothing stale to clean up later.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a dying child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running child process, its group and its watchdog.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watchdog: Child,
    /// Known once the child has been reaped; from then on its id may be somebody else's.
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts `command` in a new process group. When this process dies, the group is killed and
    /// then `remove`, if any, is deleted with all that is in it.
    pub fn spawn(command: &mut Command, remove: Option<&Path>) -> Result<Guarded> {
        let mut child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("start `{}`", command.get_program().to_string_lossy()))?;
        match spawn_watchdog(&child, remove) {
            Ok(watchdog) => Ok(Guarded { child, watchdog, status: None }),
            Err(error) => {
                child.kill().ok();
                child.wait().ok();
                Err(error)
            }
        }
    }

    /// The child's process id, which is its group's id as well.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends `signal` to the whole group; a group that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            killpg(self.pid(), signal).ok();
        }
    }

    /// The child's status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("look at a child process")?;
        }
        Ok(self.status)
    }

    /// Waits for the child to end by itself.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("process {} is still running after {within:?}", self.id());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks the group to end with SIGTERM and insists with SIGKILL after `within`.
    pub fn stop(mut self, within: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM);
        self.wait(within).map(drop).or_else(|_| {
            self.signal(Signal::SIGKILL);
            self.wait(within).map(drop)
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit 32 bits"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Ok(None) = self.ended() {
            self.signal(Signal::SIGKILL);
            self.status = self.child.wait().ok();
        }
        // The watchdog goes before its pipe closes, or it would kill a group whose id may be
        // somebody else's by then.
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
    }
}

/// Starts the shell that kills `child`'s group when this process is gone.
fn spawn_watchdog(child: &Child, remove: Option<&Path>) -> Result<Child> {
    const SCRIPT: &str = r#"while read -r _; do :; done
kill -KILL "-$1" 2>/dev/null
[ -z "$2" ] || rm -rf -- "$2" || { sleep 1; rm -rf -- "$2"; }"#;
    Command::new("sh")
        .args(["-c", SCRIPT, "watchdog", &child.id().to_string()])
        .arg(remove.unwrap_or(Path::new("")))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start a watchdog")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Guarded {
        Guarded::spawn(Command::new("sleep").arg("600"), None).expect("sleep starts")
    }

    fn runs(id: u32) -> bool {
        Path::new("/proc").join(id.to_string()).exists()
    }

    #[test]
    fn dropping_it_ends_the_process_and_its_watchdog() {
        let child = sleeper();
        let ids = [child.id(), child.watchdog.id()];
        assert!(ids.into_iter().all(runs));
        drop(child);
        assert!(!ids.into_iter().any(runs));
    }

    #[test]
    fn a_panic_ends_the_process() {
        let id = thread::spawn(|| {
            let child = sleeper();
            std::panic::panic_any(child.id());
        })
        .join()
        .expect_err("the thread panics")
        .downcast::<u32>()
        .expect("with the id");
        assert!(!runs(*id));
    }

    #[test]
    fn the_watchdog_ends_the_process_and_removes_its_files_when_the_pipe_closes() {
        let files = std::env::temp_dir().join(format!("e2e-watchdog-{}", std::process::id()));
        std::fs::create_dir_all(&files).expect("a directory");
        let mut child = Guarded::spawn(Command::new("sleep").arg("600"), Some(&files)).unwrap();
        drop(child.watchdog.stdin.take());
        child.wait(Duration::from_secs(10)).expect("the watchdog kills it");
        child.watchdog.wait().expect("the watchdog ends");
        assert!(!files.exists());
    }
}
