//! Parse, call, exit. Everything else is in the library.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use starsink::cli::{self, Cli, Command};
use starsink::{cmd, kafka, report};

fn main() -> ExitCode {
    let command = Cli::try_parse().unwrap_or_else(|error| answer(&error)).command;
    let vars: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let code = match command {
        Command::Load(arguments) => cmd::load::load(&arguments, &vars),
        Command::Tail(arguments) => cmd::load::tail(&arguments, &vars),
        Command::Check(arguments) => cmd::check::check(&arguments, &vars),
        Command::Map(arguments) => cmd::map::map(&arguments, &vars),
        Command::Completions { shell } => write(&cli::completions(shell)),
        Command::Man => cli::man().map_or(ExitCode::FAILURE, |page| write(&page)),
    };
    match report::unwritten() {
        Some(problem) => {
            report::err(&report::human::problem(&problem, false));
            ExitCode::from(problem.kind.exit_code())
        }
        None => code,
    }
}

/// Help, the version or a refusal, and the end; the version with `-v` names librdkafka's too.
fn answer(error: &clap::Error) -> ! {
    let is_verbose = |argument: String| {
        argument == "--verbose"
            || (argument.starts_with('-') && !argument.starts_with("--") && argument.contains('v'))
    };
    let code = error.exit_code();
    // A closed stdout is the reader's choice.
    let _ = error.print();
    if error.kind() == ErrorKind::DisplayVersion && std::env::args().any(is_verbose) {
        write(format!("librdkafka {}\n", kafka::version()).as_bytes());
    }
    std::process::exit(code)
}

fn write(bytes: &[u8]) -> ExitCode {
    report::bytes_out(bytes);
    ExitCode::SUCCESS
}
