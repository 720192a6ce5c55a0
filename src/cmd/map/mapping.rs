//! `map` itself: records in, a survey out, shown as asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::cli::Map;
use crate::cmd::load::read_file;
use crate::cmd::map::{is_json, record_file, width};
use crate::cmd::with_raw;
use crate::config::job::{ConverterChoice, Job, Topics};
use crate::config::properties;
use crate::convert::SchemaSource;
use crate::error::{Kind, Problem};
use crate::kafka::consumer::Consumer;
use crate::kafka::sample::{self, Sampled};
use crate::mapping::ddl;
use crate::mapping::derive::{self, Proposed};
use crate::mapping::maker::{Lookup, NoTables, RowMaker, Sources, Tables};
use crate::mapping::survey::{Survey, Surveyor, TableUse, Wants};
use crate::pipeline::directory::Directory;
use crate::registry::Registry;
use crate::report::table::printable;
use crate::report::{self, mapping};
use crate::starrocks::client::Client;

/// Longest wait for an answer of StarRocks: questions about tables are short, and somebody waits.
const ANSWER: Duration = Duration::from_secs(5);
/// Records of a topic whose steps are shown with `-v`.
const STEPS_SHOWN: u64 = 3;

/// Reads records, maps them, prints what was asked for.
pub(super) fn print(arguments: &Map, job: &Job) -> Result<(), Problem> {
    let survey = survey(arguments, job)?;
    let redact = job.redact_values;
    if let Some(expect) = &arguments.expect {
        return compare(expect, &survey, is_json(arguments), redact);
    }
    if arguments.ddl {
        print_ddl(&survey, arguments.offline, is_json(arguments));
        return Ok(());
    }
    if arguments.properties {
        print_keys(&derive::proposals(job, &survey), is_json(arguments));
        return Ok(());
    }
    if is_json(arguments) {
        report::out(&mapping::document(&survey, redact).to_string());
    } else {
        let verbose = arguments.output.verbose > 0 && !redact;
        let steps = if verbose { mapping::steps(&survey, width()) } else { vec![] };
        let lines = mapping::text(&survey, redact, width());
        let between = if steps.is_empty() { vec![] } else { vec![String::new()] };
        steps.iter().chain(&between).chain(&lines).for_each(|line| report::out(line));
    }
    refused(arguments, &survey)
}

/// A mapping test fails on a record that cannot be mapped; a look at a topic only shows it.
fn refused(arguments: &Map, survey: &Survey) -> Result<(), Problem> {
    let refused = survey.topics.iter().flat_map(|topic| &topic.refused);
    let count: u64 = refused.map(|refused| refused.records).sum();
    if arguments.record.is_empty() || count == 0 {
        return Ok(());
    }
    let records =
        if count == 1 { "1 record is".to_owned() } else { format!("{count} records are") };
    Err(Problem::new(Kind::BadRecord, format!("{records} refused"))
        .hint("`--expect FILE` takes refusals too: `{\"refused\": \"TRANSFORMATION\"}`"))
}

fn survey(arguments: &Map, job: &Job) -> Result<Survey, Problem> {
    let from_files = !arguments.record.is_empty();
    let wants = Wants {
        outcomes: from_files,
        steps: match (arguments.output.verbose, from_files) {
            (0, _) => 0,
            (_, true) => u64::MAX,
            (_, false) => STEPS_SHOWN,
        },
        redact: job.redact_values,
    };
    let sources = sources(job)?;
    let mut surveyor = Surveyor::new(job, tables(arguments, job, &sources)?, &sources, wants)?;
    if from_files {
        for record in files(&arguments.record, &job.source.topics)? {
            see(&mut surveyor, &record)?;
        }
    } else if !arguments.offline {
        let consumer = Consumer::new(&job.source, job.memory_bytes)?;
        let selected = consumer.select(&job.source.topics)?;
        if selected.is_empty()
            && let Topics::Matching(pattern) = &job.source.topics
        {
            return Err(Problem::usage(format!("no topic matches `{}`", pattern.as_str()))
                .hint("a pattern has to match the whole name: `kcat -L` lists the topics"));
        }
        for (topic, partitions) in selected {
            surveyor.name(&topic.as_str().into())?;
            for record in sample::sample(&consumer, &topic, partitions, arguments.sample)? {
                see(&mut surveyor, &record)?;
            }
        }
    } else if let Topics::Named(topics) = &job.source.topics {
        topics.iter().try_for_each(|topic| surveyor.name(&topic.as_str().into()))?;
    }
    Ok(surveyor.finish())
}

fn tables(arguments: &Map, job: &Job, sources: &Sources) -> Result<Arc<dyn Tables>, Problem> {
    if arguments.offline {
        return Ok(Arc::new(NoTables));
    }
    let maker = RowMaker::new(job, Arc::new(NoTables), sources)?;
    let client = Client::with_patience(&job.target, ANSWER);
    Ok(Arc::new(Directory::new(client, job, maker.way(), vec![])))
}

/// Schemas of keys and values, where their converters take any from a registry.
fn sources(job: &Job) -> Result<Sources, Problem> {
    let source = |choice: &ConverterChoice| -> Result<Option<Arc<dyn SchemaSource>>, Problem> {
        let Some(registry) = &choice.registry else { return Ok(None) };
        Ok(Some(Arc::new(Registry::new(registry)?)))
    };
    Ok(Sources { key: source(&job.records.key)?, value: source(&job.records.value)? })
}

fn see(surveyor: &mut Surveyor, record: &Sampled) -> Result<(), Problem> {
    with_raw(record, |raw| surveyor.see(raw))
}

/// The records of all files; bare values belong to the only topic of the configuration.
fn files(paths: &[PathBuf], topics: &Topics) -> Result<Vec<Sampled>, Problem> {
    let topic: Option<Arc<str>> = match topics {
        Topics::Named(names) if names.len() == 1 => Some(names[0].as_str().into()),
        _ => None,
    };
    let mut records = vec![];
    for path in paths {
        let name = path.display().to_string();
        let bytes = read(path)?;
        records.extend(record_file::read(&name, &bytes, topic.as_ref(), records.len() as u64)?);
    }
    Ok(records)
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let what = || format!("cannot read `{}`", path.display());
    read_file(path).map_err(|error| Problem::usage(what()).cause(error.to_string()))
}

/// The rows expected against those made; the difference is the result.
fn compare(path: &Path, survey: &Survey, json: bool, redact: bool) -> Result<(), Problem> {
    let name = path.display();
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut expected: Vec<(usize, Value)> = vec![];
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value = serde_json::from_str(line).map_err(|error| {
            Problem::usage(format!("`{name}` holds a line that is not JSON"))
                .cause(error.to_string())
                .at(format!("{name}:{}", at + 1))
        })?;
        expected.push((at + 1, value));
    }
    let made: Vec<Value> = survey
        .outcomes
        .iter()
        .map(|(place, outcome)| mapping::outcome_value(place, outcome))
        .collect();
    let differences = mapping::difference(&expected, &made);
    if json {
        let path = name.to_string();
        report::out(&mapping::difference_document(&path, &differences, redact).to_string());
    }
    if differences.iter().all(|difference| difference.agrees) {
        return Ok(());
    }
    if !json {
        report::out(&format!("--- {}\n+++ rows made", printable(&name.to_string())));
        mapping::difference_text(&differences, redact).iter().for_each(|line| report::out(line));
    }
    Err(Problem::new(Kind::BadRecord, format!("the rows differ from `{name}`")))
}

/// CREATE TABLE for missing tables, ALTER TABLE for missing columns.
fn print_ddl(survey: &Survey, offline: bool, json: bool) {
    let mut statements = vec![];
    for topic in &survey.topics {
        for table in &topic.tables {
            let source = format!("from Kafka topic {}", topic.topic);
            let statement = match &table.lookup {
                Lookup::Known(known) => ddl::alter(&survey.database, known, &table.shape),
                Lookup::Hidden | Lookup::Missing(_) => {
                    ddl::create(&survey.database, &table.name, &table.shape, &source)
                }
            };
            let said = match &table.lookup {
                Lookup::Known(_) if table.shape.rows == 0 => "no record to compare with the table",
                Lookup::Known(_) if statement.is_none() => "every field has a column",
                Lookup::Known(_) => "columns that the table lacks",
                _ if !ddl::is_name(&table.name) => "no table can be named so",
                _ if statement.is_none() => "no record to infer columns from",
                Lookup::Hidden if offline => "StarRocks was not asked for the table",
                Lookup::Hidden => "the table is not shown to this user; if it is missing:",
                Lookup::Missing(_) => "the table does not exist",
            };
            statements.push((topic.topic.to_string(), table, statement, said));
        }
    }
    if json {
        let values = statements.iter().map(|(topic, table, statement, said)| {
            serde_json::json!({
                "topic": topic,
                "database": survey.database,
                "table": table.name,
                "rows": table.shape.rows,
                "statement": statement,
                "reason": said,
                "left_out": left_out(table).collect::<Vec<_>>(),
            })
        });
        report::out(&Value::Array(values.collect()).to_string());
        return;
    }
    for (topic, table, statement, said) in &statements {
        let rows = table.shape.rows;
        let about = format!("topic {topic}, table {}, {rows} rows seen: {said}", table.name);
        report::out(&format!("-- {}", printable(&about)));
        for name in left_out(table) {
            let name = printable(name);
            report::out(&format!("-- left out: member \"{name}\", which no column can be named"));
        }
        if let Some(statement) = statement {
            if statement.contains("PRIMARY KEY") && !table.shape.says_operation {
                report::out(
                    "-- rows of equal key replace each other; DUPLICATE KEY would keep them all",
                );
            }
            report::out(statement);
        }
    }
}

/// Members that can be no columns, by their names alone.
fn left_out(table: &TableUse) -> impl Iterator<Item = &str> {
    table.shape.names().filter(|name| !ddl::is_name(name))
}

/// Keys to paste; what is proposed stands under a comment that says why.
fn print_keys(keys: &[Proposed], json: bool) {
    if json {
        let config: serde_json::Map<String, Value> =
            keys.iter().map(|key| (key.key.clone(), key.value.as_str().into())).collect();
        let proposed: serde_json::Map<String, Value> = keys
            .iter()
            .filter_map(|key| Some((key.key.clone(), key.why.as_deref()?.into())))
            .collect();
        let document = serde_json::json!({"schema": 1, "config": config, "proposed": proposed});
        report::out(&document.to_string());
        return;
    }
    let mut said: Option<&str> = None;
    for key in keys {
        if let Some(why) = key.why.as_deref()
            && said != Some(why)
        {
            report::out(&format!("# proposed: {why}"));
        }
        said = key.why.as_deref();
        report::out(&properties::line(&key.key, &key.value));
    }
}
