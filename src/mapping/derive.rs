//! A mapping as connector keys to paste: what the configuration says of topics, tables, converters and
//! transforms, and what the records seen would need beside it.

use std::collections::HashSet;

use crate::config::job::{ConverterChoice, Job, Topics};
use crate::config::keys;
use crate::mapping::maker::Lookup;
use crate::mapping::survey::{ColumnUse, ColumnVerdict, Survey, TableUse};

/// One key, and why it is proposed; `None`: the configuration has it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    pub key: String,
    pub value: String,
    pub why: Option<String>,
}

/// The keys, in reading order.
pub fn proposals(job: &Job, survey: &Survey) -> Vec<Proposed> {
    let mut out = Out { keys: vec![] };
    match &job.source.topics {
        Topics::Named(names) => out.plain("topics", names.join(",")),
        Topics::Matching(pattern) => out.plain("topics.regex", pattern.as_str()),
    }
    let pairs: Vec<String> = survey
        .topics
        .iter()
        .flat_map(|topic| topic.tables.iter().map(|table| (&topic.topic, &table.name)))
        .map(|(topic, table)| format!("{topic}:{table}"))
        .collect();
    if !pairs.is_empty() {
        out.plain("starrocks.topic2table.map", pairs.join(","));
    }
    let wrapped = tables(survey).any(|table| has_only(table, &["schema", "payload"]));
    converter(&mut out, "value.converter", &job.records.value, wrapped);
    transforms(&mut out, job, survey);
    for (name, value) in &job.target.headers {
        out.plain(format!("sink.properties.{name}"), value);
    }
    for (table, name, value) in &job.target.own_headers {
        out.plain(format!("sink.table.{table}.properties.{name}"), value);
    }
    columns(&mut out, job, survey);
    out.keys
}

struct Out {
    keys: Vec<Proposed>,
}

impl Out {
    fn plain(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.keys.push(Proposed { key: key.into(), value: value.into(), why: None });
    }

    fn proposed(&mut self, key: &str, value: impl Into<String>, why: &str) {
        let why = Some(why.to_owned());
        self.keys.push(Proposed { key: key.to_owned(), value: value.into(), why });
    }
}

fn tables(survey: &Survey) -> impl Iterator<Item = &TableUse> {
    survey.topics.iter().flat_map(|topic| &topic.tables)
}

/// Whether the rows have these fields and no other.
fn has_only(table: &TableUse, names: &[&str]) -> bool {
    let fields: Vec<&str> = fields(table).collect();
    fields.len() == names.len() && names.iter().all(|name| fields.contains(name))
}

fn fields(table: &TableUse) -> impl Iterator<Item = &str> {
    table.columns.iter().filter_map(|column| column.source.as_deref())
}

fn converter(out: &mut Out, key: &str, choice: &ConverterChoice, wrapped: bool) {
    out.plain(key, &choice.class);
    for (name, value) in choice.options.iter() {
        let name = format!("{key}.{name}");
        let is_secret = keys::is_secret_name(&name);
        let switched = wrapped && name.ends_with(".schemas.enable") && value != "true";
        if !is_secret && !switched {
            out.plain(name, value);
        }
    }
    if wrapped {
        let why = "each value is a schema with its payload";
        out.proposed(&format!("{key}.schemas.enable"), "true", why);
    }
}

/// The configured transforms, and those that the records seem to need.
fn transforms(out: &mut Out, job: &Job, survey: &Survey) {
    let options = &job.records.chain;
    let mut chain = options.list("transforms");
    let envelope = tables(survey).any(|table| {
        let fields: Vec<&str> = fields(table).collect();
        ["op", "after"].iter().all(|name| fields.contains(name))
            && (fields.contains(&"before") || fields.contains(&"source"))
    });
    let renames = renames(survey);
    let mut added: Vec<(&str, String)> = vec![];
    if envelope {
        chain.push("unwrap".to_owned());
        let class = "io.debezium.transforms.ExtractNewRecordState";
        added.push(("transforms.unwrap.type", class.to_owned()));
        added.push(("transforms.unwrap.delete.tombstone.handling.mode", "rewrite".to_owned()));
    }
    if !renames.is_empty() {
        chain.push("rename".to_owned());
        let class = "org.apache.kafka.connect.transforms.ReplaceField$Value";
        added.push(("transforms.rename.type", class.to_owned()));
        added.push(("transforms.rename.renames", renames.join(",")));
    }
    let why = match (envelope, renames.is_empty()) {
        (true, _) => "the values are change events",
        (false, _) => "fields and columns differ in upper and lower case",
    };
    if added.is_empty() {
        if !chain.is_empty() {
            out.plain("transforms", chain.join(","));
        }
    } else {
        out.proposed("transforms", chain.join(","), why);
    }
    for (name, value) in options.iter().filter(|(name, _)| *name != "transforms") {
        out.plain(name, value);
    }
    for (name, value) in added {
        out.proposed(name, value, why);
    }
}

/// `field:column` where only the case of letters differs.
fn renames(survey: &Survey) -> Vec<String> {
    let differs = |column: &&ColumnUse| {
        let pair = column.column.as_ref().zip(column.source.as_ref());
        pair.is_some_and(|(column, source)| column != source && column.eq_ignore_ascii_case(source))
            && matches!(column.verdict, ColumnVerdict::Fail(_))
    };
    let columns = tables(survey).flat_map(|table| &table.columns).filter(differs);
    let pair = |column: &ColumnUse| {
        Some(format!("{}:{}", column.source.as_ref()?, column.column.as_ref()?))
    };
    let mut pairs: Vec<String> = columns.filter_map(pair).collect();
    pairs.dedup();
    pairs
}

/// A `columns` header that leaves out what no field feeds, so that defaults apply: of the only table, or
/// of each.
fn columns(out: &mut Out, job: &Job, survey: &Survey) {
    let several = tables(survey).count() > 1;
    for table in tables(survey) {
        let headers = job.target.table_headers().of(&table.name);
        if headers.iter().any(|(name, _)| name == "columns") {
            continue;
        }
        let Some(fed) = fed_where_defaults_wait(table) else { continue };
        let why = "columns that no field feeds take their defaults only if they are left out here";
        let key = match several {
            true => format!("sink.table.{}.properties.columns", table.name),
            false => "sink.properties.columns".to_owned(),
        };
        out.proposed(&key, fed, why);
    }
}

/// The columns that fields feed, where another has a default.
fn fed_where_defaults_wait(table: &TableUse) -> Option<String> {
    let Lookup::Known(known) = &table.lookup else { return None };
    let with_source = table.columns.iter().filter(|column| column.source.is_some());
    let fed: HashSet<&str> = with_source.filter_map(|column| column.column.as_deref()).collect();
    let is_fed = |name: &str| fed.contains(name);
    let waits = known.writable().any(|column| column.default.is_some() && !is_fed(&column.name));
    let fed: Vec<String> = known
        .writable()
        .filter(|column| is_fed(&column.name))
        .map(|column| format!("`{}`", column.name.replace('`', "``")))
        .collect();
    (waits && !fed.is_empty()).then(|| fed.join(","))
}
