//! Where things are: the workspace, its target directory, the binaries built from it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

/// The workspace's top directory.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/e2e lies two below the top").to_path_buf()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Whether this program was built with optimisation; the binaries it runs are then too.
pub const RELEASE: bool = !cfg!(debug_assertions);

/// Path of the workspace binary `name`: what environment variable `variable` says, or else the
/// one cargo builds now, which is quick when it is up to date.
pub fn binary(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(given) = env::var_os(variable).map(PathBuf::from) {
        if !given.is_file() {
            bail!("{variable} names `{}`, which is not a file", given.display());
        }
        return Ok(given);
    }
    build(name, RELEASE)?;
    let profile = if RELEASE { "release" } else { "debug" };
    Ok(target().join(profile).join(name))
}

/// The whole workspace is named, so that features stay as in every other build: with a package alone
/// librdkafka and OpenSSL would be compiled anew.
fn build(name: &str, release: bool) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bin", name]);
    if release {
        command.arg("--release");
    }
    let status = command.current_dir(workspace()).status().context("run cargo")?;
    if !status.success() {
        bail!("cargo could not build `{name}`");
    }
    Ok(())
}

/// Makes a new empty directory `target/e2e/<process>-<n>-<purpose>`, after removing those of
/// processes that no longer run.
pub fn scratch(purpose: &str) -> Result<PathBuf> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let all = target().join("e2e");
    remove_stale(&all);
    let n = MADE.fetch_add(1, Ordering::Relaxed);
    let dir = all.join(format!("{}-{n}-{purpose}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("make directory `{}`", dir.display()))?;
    Ok(dir)
}

fn remove_stale(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_string_lossy().split('-').next().map(str::to_owned);
        let lives = owner.is_some_and(|id| Path::new("/proc").join(id).exists());
        if !lives {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
