//! Parse, call, exit. Everything else is in the library.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use starsink::cli::{self, Cli, Command};
use starsink::cmd;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let vars: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match command {
        Command::Load(arguments) => cmd::load::load(&arguments, &vars),
        Command::Tail(arguments) => cmd::load::tail(&arguments, &vars),
        Command::Check(arguments) => cmd::check::check(&arguments, &vars),
        Command::Map(arguments) => cmd::map::map(&arguments, &vars),
        Command::Completions { shell } => write(&cli::completions(shell)),
        Command::Man => cli::man().map_or(ExitCode::FAILURE, |page| write(&page)),
    }
}

/// A closed stdout is the reader's choice.
fn write(bytes: &[u8]) -> ExitCode {
    let _ = std::io::stdout().lock().write_all(bytes);
    ExitCode::SUCCESS
}
