//! `check`: what is pending for a name. Reads offsets and label states, joins no group, changes
//! nothing.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Check, Checked, Request};
use crate::cmd::load::{configured, dump_properties, failed};
use crate::error::Problem;
use crate::pipeline::look::look as look_at_delivery;
use crate::report::choose::Display;
use crate::report::{self, Loudness, Reporter, Style, pending};

/// Runs `starsink check`.
pub fn check(arguments: &Check, vars: &BTreeMap<String, String>) -> ExitCode {
    let mut reporter = Reporter::new(style());
    match look(arguments, vars, &mut reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => failed(&mut reporter, &problems),
    }
}

fn look(
    arguments: &Check,
    vars: &BTreeMap<String, String>,
    reporter: &mut Reporter,
) -> Result<(), Vec<Problem>> {
    let request: Request = arguments.request(vars).map_err(|problem| vec![problem])?;
    let job = configured(&request, vars, reporter)?;
    if request.dump {
        dump_properties(&job);
        return Ok(());
    }
    for checked in &arguments.only {
        match checked {
            Checked::Delivery => {
                let findings = look_at_delivery(&job).map_err(|problem| vec![problem])?;
                report::out(&pending::text(&findings));
            }
        }
    }
    Ok(())
}

fn style() -> Style {
    Style {
        display: Display::Nothing,
        loudness: Loudness::Normal,
        color: io::stderr().is_terminal(),
        every: Duration::MAX,
        endless: false,
        status_file: None,
    }
}
