//! `check`: tries everything a load would need and changes nothing. Composes the groups of checks,
//! side by side where none rests on another; each group is a file of its own.

mod columns;
mod config;
mod delivery;
mod dlq;
mod kafka;
mod registry;
mod side;
mod starrocks;
mod tables;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{self, Check, Color, OutputFormat};
use crate::cmd::load::{dump_properties, failed, is_readable_by_others, read_file};
use crate::config::job::{Extent, Job};
use crate::config::{Environment, Reading};
use crate::error::{Kind, Problem};
use crate::kafka::sample::Taken;
use crate::pipeline;
use crate::report::checks::{Look, Outlook};
use crate::report::choose::{self, Display};
use crate::report::sheet::{Sheet, SheetStyle};
use crate::report::{self, Loudness, Reporter, Style};
use crate::verdict::{Area, Line, Verdict};

/// Limits of the groups: the first contact with Kafka alone may take ten seconds.
const KAFKA_LIMIT: Duration = Duration::from_secs(30);
const STARROCKS_LIMIT: Duration = Duration::from_secs(30);
const REGISTRY_LIMIT: Duration = Duration::from_secs(30);
const TABLES_LIMIT: Duration = Duration::from_secs(60);
const DLQ_LIMIT: Duration = Duration::from_secs(30);
const DELIVERY_LIMIT: Duration = Duration::from_secs(30);

/// Runs `starsink check`.
pub fn check(arguments: &Check, vars: &BTreeMap<String, String>) -> ExitCode {
    let request = match arguments.request(vars) {
        Ok(request) => request,
        Err(problem) => return failed(&mut Reporter::new(plain_style()), &[problem]),
    };
    let environment =
        Environment { vars, read_file: &read_file, is_exposed: &is_readable_by_others };
    let reading = crate::config::read(&request.files, &request.overrides, &environment);
    if request.dump {
        return dump(reading);
    }
    let mut told = Told { sheet: Sheet::new(style(arguments, vars)), only: arguments.only.clone() };
    let flags = config::flags(&request.overrides, &arguments.extent());
    let config = config::lines(&reading, &request.files, &flags, vars, &is_readable_by_others);
    config.into_iter().for_each(|line| told.tell(line));
    let outlook = match reading.job {
        Some(mut job) => {
            let extent = arguments.extent();
            pipeline::name_group(&mut job, &extent);
            connected(Arc::new(job), extent, arguments, &mut told)
        }
        None => {
            told.skip_all();
            Outlook::default()
        }
    };
    ExitCode::from(told.sheet.end(&outlook))
}

/// Everything that needs a connection.
fn connected(job: Arc<Job>, extent: Extent, arguments: &Check, told: &mut Told) -> Outlook {
    use Area::{Auth, Be, Columns, Delivery, Dlq, Fe, Kafka, Query, Registry, Tables, Topics};
    let (write, port) = (arguments.write, arguments.query_port);
    let kafka = told.wants(&[Kafka, Topics, Tables, Columns, Dlq, Delivery]).then(|| {
        let (job, extent) = (Arc::clone(&job), extent.clone());
        side::start(Kafka, "Kafka", KAFKA_LIMIT, move |lines| {
            kafka::check(&job, &extent, write, lines)
        })
    });
    let starrocks = told.wants(&[Fe, Query, Be, Auth, Tables, Columns, Delivery]).then(|| {
        let job = Arc::clone(&job);
        side::start(Fe, "StarRocks", STARROCKS_LIMIT, move |lines| {
            starrocks::check(&job, port, lines)
        })
    });
    let registry = told.wants(&[Registry]).then(|| {
        let job = Arc::clone(&job);
        side::start(Registry, "registry", REGISTRY_LIMIT, move |lines| {
            registry::check(&job, lines);
        })
    });
    let kafka = kafka.and_then(|running| running.finish(&mut |line| told.tell(line))).flatten();
    let kafka = kafka.map(Arc::new);
    let mut registry_fails = false;
    registry.map(|running| {
        running.finish(&mut |line| {
            registry_fails |= line.verdict == Verdict::Fail(Kind::Unavailable);
            told.tell(line);
        })
    });
    let starrocks =
        starrocks.and_then(|running| running.finish(&mut |line| told.tell(line))).flatten();

    // Records are read once, here where they say which tables there are.
    let (sample, mut taken) = (arguments.sample, None);
    let wanted = match &kafka {
        Some(found) if job.records.may_route && !registry_fails => {
            let (job, found) = (Arc::clone(&job), Arc::clone(found));
            let looked =
                side::start(Tables, "where records go", KAFKA_LIMIT, move |_: &side::Lines<_>| {
                    let taken = columns::take(&found, sample);
                    let made = taken
                        .as_ref()
                        .and_then(|taken| columns::destinations(&job, taken.as_ref().ok()?));
                    (made.map(|made| tables::routed(&job, &made)), taken)
                });
            let (wanted, read) = looked.finish(&mut |line| told.tell(line)).unwrap_or_default();
            taken = read;
            wanted.unwrap_or_else(|| {
                let text = "transforms choose the topic, and no record shows which";
                told.tell(Line::skip(Tables, "tables", text));
                BTreeMap::new()
            })
        }
        Some(found) => tables::wanted(&job, Some(&found.topics)),
        None => tables::wanted(&job, None),
    };
    let mut outlook = Outlook {
        topics: kafka.iter().flat_map(|k| &k.topics).map(|(name, _)| name.clone()).collect(),
        tables: wanted.keys().map(|table| format!("{}.{table}", job.target.database)).collect(),
        offsets: kafka.as_ref().map(|found| found.offsets()),
        settles_first: false,
        promise: starrocks
            .as_ref()
            .and_then(|found| pipeline::promise(&job, found.transactions).ok())
            .map(|(_, promise)| promise),
    };
    let both = kafka.clone().filter(|found| starrocks.is_some() && !found.to_read.is_empty());
    let delivery = told.wants(&[Delivery]).then(|| {
        let job = Arc::clone(&job);
        side::start(Delivery, "pending", DELIVERY_LIMIT, move |lines| match both {
            Some(kafka) => delivery::check(&job, &kafka, lines),
            None => {
                let text = "offsets or label states cannot be read";
                lines.tell(Line::skip(Delivery, format!("group {}", job.source.group), text));
                false
            }
        })
    });
    let sampled = kafka.clone();
    let wants_columns = told.wants(&[Columns]);
    let dead_letters = told.wants(&[Dlq]).then(|| {
        let (job, kafka) = (Arc::clone(&job), kafka.clone());
        side::start(Dlq, "dead letters", DLQ_LIMIT, move |lines| {
            dlq::check(&job, kafka.as_deref(), write, lines);
        })
    });
    let tables = told.wants(&[Tables, Columns]).then(|| {
        side::start(Tables, "tables", TABLES_LIMIT, move |lines| match &starrocks {
            Some(found) => {
                let tables = tables::check(&job, &found.client, &wanted, write, lines);
                if wants_columns && registry_fails {
                    let text = "the registry cannot be asked for their schemas";
                    lines.tell(Line::skip(Columns, "records", text));
                } else if wants_columns {
                    columns(&job, sampled.as_deref(), sample, taken, &tables, lines);
                }
            }
            None => lines.tell(Line::skip(Tables, "tables", "StarRocks cannot be asked")),
        })
    });
    tables.map(|running| running.finish(&mut |line| told.tell(line)));
    dead_letters.map(|running| running.finish(&mut |line| told.tell(line)));
    let is_pending = delivery.and_then(|running| running.finish(&mut |line| told.tell(line)));
    outlook.settles_first = is_pending.unwrap_or(false);
    // The process ends here: librdkafka would take a tenth of a second to let go of its client.
    std::mem::forget(kafka);
    outlook
}

fn columns<T>(
    job: &Job,
    kafka: Option<&kafka::Found>,
    sample: u32,
    taken: Option<Result<Taken, Problem>>,
    tables: &[tables::Table],
    lines: &side::Lines<T>,
) {
    match kafka.filter(|found| !found.to_read.is_empty()) {
        Some(found) if !tables.is_empty() => {
            columns::check(job, found, sample, taken, tables, lines)
        }
        _ => {
            let text = "there are no records or no table to compare";
            lines.tell(Line::skip(Area::Columns, "records", text));
        }
    }
}

/// What has been said, and what is asked for.
struct Told {
    sheet: Sheet,
    /// Empty: all.
    only: Vec<Area>,
}

impl Told {
    fn wants(&self, areas: &[Area]) -> bool {
        self.only.is_empty() || areas.iter().any(|area| self.only.contains(area))
    }

    /// A failure shows wherever it is: what was asked for rests on it.
    fn tell(&mut self, line: Line) {
        if self.wants(&[line.area]) || matches!(line.verdict, Verdict::Fail(_)) {
            self.sheet.tell(&line);
        }
    }

    fn skip_all(&mut self) {
        let areas =
            [Area::Kafka, Area::Registry, Area::Fe, Area::Tables, Area::Dlq, Area::Delivery];
        let wanted: Vec<Area> = areas.into_iter().filter(|area| self.wants(&[*area])).collect();
        for area in wanted {
            let text = "the configuration has errors";
            self.sheet.tell(&Line::skip(area, area.heading(), text));
        }
    }
}

fn dump(reading: Reading) -> ExitCode {
    match reading.job {
        Some(job) => {
            dump_properties(&job);
            ExitCode::SUCCESS
        }
        None => failed(&mut Reporter::new(plain_style()), &reading.problems),
    }
}

fn style(arguments: &Check, vars: &BTreeMap<String, String>) -> SheetStyle {
    let output = &arguments.shared.output;
    let is_set = |name: &str| vars.get(name).is_some_and(|value| !value.is_empty());
    let asked = match output.color {
        Color::Auto => None,
        Color::Always => Some(true),
        Color::Never => Some(false),
    };
    let is_terminal = io::stdout().is_terminal();
    let verbose = output.verbose > 0
        || vars.get(cli::LOG).is_some_and(|log| matches!(&**log, "info" | "debug" | "trace"))
        // Whoever asks for one thing wants to see all of it.
        || arguments.only.len() == 1;
    SheetStyle {
        json: output.format == OutputFormat::Json,
        look: Look {
            color: choose::color(asked, is_set(cli::NO_COLOR), is_terminal),
            verbose,
            width: is_terminal.then(report::terminal_width).flatten(),
        },
        quiet: output.quiet,
        strict: arguments.strict,
    }
}

/// For errors of the command line itself.
fn plain_style() -> Style {
    Style {
        display: Display::Nothing,
        loudness: Loudness::Normal,
        color: io::stderr().is_terminal(),
        every: Duration::MAX,
        endless: false,
        status_file: None,
    }
}
