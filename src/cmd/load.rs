//! `load` and `tail`: configuration, run, report, exit.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::{self, Color, Flow, Load, OnUnknown, Output, OutputFormat, Request, Shared, Tail};
use crate::config::job::{Extent, Job, OnBadRecord, PropertyValue};
use crate::config::{self, Environment};
use crate::error::{Kind, Problem};
use crate::event::Event;
use crate::kafka::consumer;
use crate::pipeline::{self, OnUnknownOrder, Orders, Stop};
use crate::report::choose::{self, Given};
use crate::report::{self, Loudness, Reporter, Style, json, status};
use crate::signal;

/// Done, but records were set aside or skipped.
const DONE_WITHOUT_SOME: u8 = 3;

/// Runs `starsink load`.
pub fn load(arguments: &Load, vars: &BTreeMap<String, String>) -> ExitCode {
    let orders = Orders {
        restart: arguments.restart,
        dry_run: arguments.dry_run,
        ..orders(&arguments.shared.flow)
    };
    run(&arguments.shared, arguments.request(vars), arguments.extent(), orders, vars)
}

/// Runs `starsink tail`.
pub fn tail(arguments: &Tail, vars: &BTreeMap<String, String>) -> ExitCode {
    let orders = orders(&arguments.shared.flow);
    run(&arguments.shared, arguments.request(vars), arguments.extent(), orders, vars)
}

fn orders(flow: &Flow) -> Orders {
    let on_unknown = flow.on_unknown.map(|what| match what {
        OnUnknown::Committed => OnUnknownOrder::Committed,
        OnUnknown::Reload => OnUnknownOrder::Reload,
    });
    Orders { settle: flow.settle, restart: false, dry_run: false, on_unknown }
}

fn run(
    shared: &Shared,
    request: Result<Request, Problem>,
    extent: Extent,
    orders: Orders,
    vars: &BTreeMap<String, String>,
) -> ExitCode {
    let style = style(&shared.output, &extent, vars);
    let mut reporter = Reporter::new(style);
    let (mut job, dump) = match request.map_err(|problem| vec![problem]).and_then(|request| {
        let dump = request.dump;
        configured(&request, vars, &mut reporter).map(|job| (job, dump))
    }) {
        Ok(configured) => configured,
        Err(problems) => return failed(&mut reporter, &problems),
    };
    if let Err(problem) = pipeline::replay::bind_group(&mut job) {
        return failed(&mut reporter, &[problem]);
    }
    pipeline::name_group(&mut job, &extent);
    if dump {
        dump_properties(&job);
        return ExitCode::SUCCESS;
    }
    let stop = Arc::new(Stop::default());
    if let Err(error) = signal::listen(Arc::clone(&stop)) {
        let problem = Problem::new(Kind::Defect, "cannot handle signals").cause(error.to_string());
        return failed(&mut reporter, &[problem]);
    }
    let (summary, ended) =
        pipeline::run(&job, &extent, orders, &stop, &mut |event| reporter.event(event));
    let mut ended = ended;
    if let Some(path) = &shared.flow.report
        && let Err(error) = write_report(path, &summary, ended.as_ref().err())
        && ended.is_ok()
    {
        let what = format!("cannot write the report to `{}`", path.display());
        ended = Err(Problem::new(report_failure(error.kind()), what).cause(error.to_string()));
    }
    let has_bad = summary.set_aside + summary.skipped > 0;
    // A run with this configuration would stop at the first of them.
    let would_stop = summary.dry_run && matches!(job.errors.on_bad_record, OnBadRecord::Stop);
    let has_run = ended.is_ok() || summary.read > 0;
    if let Err(problem) = &ended {
        reporter.problem(problem);
    }
    if has_run || shared.output.format == OutputFormat::Json {
        reporter.event(Event::Summary(summary));
    }
    match (ended, stop.signal()) {
        (Err(problem), _) => ExitCode::from(problem.kind.exit_code()),
        // A bounded run that was cut short dies of its signal; `tail` was only asked to end.
        (Ok(()), Some(signal)) if matches!(extent, Extent::Until(_)) => {
            signal::die_by(signal);
            ExitCode::from(1)
        }
        (Ok(()), _) if has_bad && would_stop => ExitCode::from(Kind::BadRecord.exit_code()),
        (Ok(()), _) if has_bad => ExitCode::from(DONE_WITHOUT_SOME),
        (Ok(()), _) => ExitCode::SUCCESS,
    }
}

/// Files, flags and environment into a job; notes are said on the way.
pub(super) fn configured(
    request: &Request,
    vars: &BTreeMap<String, String>,
    reporter: &mut Reporter,
) -> Result<Job, Vec<Problem>> {
    let environment =
        Environment { vars, read_file: &read_file, is_exposed: &is_readable_by_others };
    let reading = config::read(&request.files, &request.overrides, &environment);
    // A mistyped key is often the reason for an error beside it.
    reporter.notes(&reading.notes);
    reading.job.ok_or(reading.problems)
}

fn style(output: &Output, extent: &Extent, vars: &BTreeMap<String, String>) -> Style {
    let is_set = |name: &str| vars.get(name).is_some_and(|value| !value.is_empty());
    let terminal = io::stderr().is_terminal();
    let verbose = output.verbose > 0
        || vars.get(cli::LOG).is_some_and(|log| matches!(&**log, "info" | "debug" | "trace"));
    let loudness = match output.quiet {
        0 if verbose => Loudness::Verbose,
        0 => Loudness::Normal,
        1 => Loudness::Warnings,
        _ => Loudness::Errors,
    };
    let display = choose::display(Given {
        json: output.format == OutputFormat::Json,
        no_progress: output.no_progress,
        quiet: output.quiet > 0,
        verbose,
        stderr_is_terminal: terminal,
        ci: is_set("CI") || vars.get("TERM").is_some_and(|term| term == "dumb"),
    });
    let asked = match output.color {
        Color::Auto => None,
        Color::Always => Some(true),
        Color::Never => Some(false),
    };
    let status_file = match extent {
        Extent::Forever { status_file, .. } => status_file.clone(),
        Extent::Until(_) => None,
    };
    Style {
        display,
        loudness,
        color: choose::color(asked, is_set("NO_COLOR"), terminal),
        every: output.progress_interval,
        endless: matches!(extent, Extent::Forever { .. }),
        status_file,
    }
}

pub(super) fn failed(reporter: &mut Reporter, problems: &[Problem]) -> ExitCode {
    problems.iter().for_each(|problem| reporter.problem(problem));
    let kind = problems.iter().map(|problem| problem.kind).min().unwrap_or(Kind::Defect);
    ExitCode::from(kind.exit_code())
}

/// `-X dump`: what librdkafka is told, one property a line.
pub(super) fn dump_properties(job: &Job) {
    for (name, value) in consumer::properties(&job.source, job.memory_bytes) {
        match value {
            PropertyValue::Plain(text) => report::out(&format!("{name} = {text}")),
            PropertyValue::Hidden(_) => report::out(&format!("{name} = (hidden)")),
        }
    }
}

fn write_report(
    path: &Path,
    summary: &crate::event::Summary,
    problem: Option<&Problem>,
) -> io::Result<()> {
    let mut body = json::summary(summary);
    if let Some(problem) = problem {
        body["error"] = serde_json::from_str(&json::problem(problem)).unwrap_or_default();
    }
    status::replace(path, &body.to_string(), status::Pipe::Wait)
}

/// A full disk has room again some day; another place has to be named where this one takes no report.
fn report_failure(kind: io::ErrorKind) -> Kind {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match kind {
        StorageFull | QuotaExceeded | FileTooLarge => Kind::Unavailable,
        _ => Kind::Usage,
    }
}

/// A file's bytes; `-` is standard input.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return std::fs::read(path);
    }
    let mut bytes = vec![];
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o044 != 0)
}
