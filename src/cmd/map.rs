//! `map`: what goes where and why, and what is known here. Changes nothing anywhere.

mod list;
mod mapping;
mod record_file;
mod routine_load;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{self, Color, Map, OutputFormat};
use crate::cmd::load::{configured, dump_properties};
use crate::error::Problem;
use crate::report::choose::{self, Display};
use crate::report::{self, Loudness, Reporter, Style};

/// Runs `starsink map`.
pub fn map(arguments: &Map, vars: &BTreeMap<String, String>) -> ExitCode {
    let mut reporter = Reporter::new(style(arguments, vars));
    match print(arguments, vars, &mut reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => super::load::failed(&mut reporter, &problems),
    }
}

fn print(
    arguments: &Map,
    vars: &BTreeMap<String, String>,
    reporter: &mut Reporter,
) -> Result<(), Vec<Problem>> {
    let one = |problem| vec![problem];
    if let Some(what) = arguments.list {
        list::print(what, is_json(arguments));
        return Ok(());
    }
    if let Some(path) = &arguments.from_routine_load {
        let request = arguments.request(vars).map_err(one)?;
        return routine_load::print(path, &request, is_json(arguments)).map_err(one);
    }
    let request = arguments.request(vars).map_err(one)?;
    let job = configured(&request, vars, reporter)?;
    if request.dump {
        dump_properties(&job);
        return Ok(());
    }
    mapping::print(arguments, &job).map_err(one)
}

fn is_json(arguments: &Map) -> bool {
    arguments.output.format == OutputFormat::Json
}

/// The width to fit: the terminal's; what is piped is not cut.
fn width() -> Option<usize> {
    io::stdout().is_terminal().then(report::terminal_width).flatten()
}

fn style(arguments: &Map, vars: &BTreeMap<String, String>) -> Style {
    let asked = match arguments.output.color {
        Color::Auto => None,
        Color::Always => Some(true),
        Color::Never => Some(false),
    };
    let no_color = vars.get(cli::NO_COLOR).is_some_and(|value| !value.is_empty());
    let loudness = match (arguments.output.quiet, arguments.output.verbose) {
        (0, 0) => Loudness::Normal,
        (0, _) => Loudness::Verbose,
        (1, _) => Loudness::Warnings,
        _ => Loudness::Errors,
    };
    Style {
        // stdout holds one document; what else there is to say goes to stderr.
        display: Display::Nothing,
        loudness,
        color: choose::color(asked, no_color, io::stderr().is_terminal()),
        every: Duration::MAX,
        endless: false,
        status_file: None,
    }
}
