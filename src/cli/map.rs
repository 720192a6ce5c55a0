//! What can be typed after `starsink map`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

use crate::cli::{Color, Files, Kafka, OutputFormat, StarRocks};

pub(super) const MAP_AFTER: &str = "\
Prints per topic: table, then column, type, source field, sample value, verdict; with -v also each
sampled record before and after each transform. Changes nothing anywhere.
Exit codes: 0 done, whatever the verdicts: `check` fails on them; 2 fix the command or config, 4 a record
of --record is refused or the rows differ from --expect, 5 try again later.
Examples:
  starsink map --sample 1000 worker.properties sink.properties
  starsink map --ddl -t orders -b kafka1:9092 -D shop --fe fe1:8030 sink.properties
  starsink map --offline --record records.ndjson --expect rows.ndjson sink.properties
      a mapping test that needs neither Kafka nor StarRocks
  mysql -h fe1 -P 9030 -e 'SHOW CREATE ROUTINE LOAD shop.job' |
      starsink map --from-routine-load - > sink.properties";

/// `starsink map`.
#[derive(Debug, Args)]
pub struct Map {
    #[command(flatten)]
    pub files: Files,

    /// Records read per topic to see fields and types; 0 reads none
    #[arg(long, value_name = "N", default_value = "100", help_heading = "Mapping")]
    pub sample: u64,

    /// Ask neither Kafka nor StarRocks: records come from --record, and no columns are known
    #[arg(long, help_heading = "Mapping")]
    pub offline: bool,

    /// Map the records of FILE instead of Kafka's; one JSON object a line, or the file is one value
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Mapping")]
    pub record: Vec<PathBuf>,

    /// Compare the rows with those of FILE, one JSON object a line; exit 4 with a diff if they differ
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Mapping")]
    #[arg(requires = "record", group = "what")]
    pub expect: Option<PathBuf>,

    /// Print CREATE TABLE for missing tables and ALTER TABLE for missing columns
    #[arg(long, help_heading = "Mapping", group = "what")]
    pub ddl: bool,

    /// Print the mapping as connector keys, to paste into a config
    #[arg(id = "as_keys", long = "properties", help_heading = "Mapping", group = "what")]
    pub properties: bool,

    /// Translate the routine load statement in FILE into a connector configuration; `-` reads stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Mapping")]
    #[arg(group = "what")]
    pub from_routine_load: Option<PathBuf>,

    /// transforms, converters, keys or headers that this program knows
    #[arg(long, value_name = "WHAT", hide_possible_values = true, help_heading = "Mapping")]
    #[arg(group = "what")]
    pub list: Option<Listed>,

    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub starrocks: StarRocks,
    #[command(flatten)]
    pub output: MapOutput,
}

/// What `--list` can list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    Transforms,
    Converters,
    Keys,
    Headers,
}

/// How a mapping is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output options")]
pub struct MapOutput {
    /// human, or json (one document on stdout)
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    #[arg(hide_possible_values = true)]
    pub format: OutputFormat,

    /// auto, always or never; NO_COLOR is respected
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,

    /// Print no record content anywhere
    #[arg(long)]
    pub redact_values: bool,

    /// Only warnings and errors; twice, only errors
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,

    /// Say more: each record before and after each transform
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}
