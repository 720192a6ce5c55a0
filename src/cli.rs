//! The command line: what can be typed, and the environment variables that go with it. Nothing
//! else: `request.rs` makes overrides and an extent of it, and `cmd/` runs them.
//!
//! Every option of this file appears in `-h`, in the man page and in the completions.

mod man;
mod map;
mod request;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

pub use crate::cli::man::man;
pub use crate::cli::map::{Listed, Map, MapOutput};
pub use crate::cli::request::Request;
use crate::cli::values::{
    area, duration, header, load_start, loads, max_errors, property, size, tail_start, until, user,
};
use crate::config::job::{MaxErrors, Start, Until};
use crate::verdict::Area;

/// Configuration files when none are named, separated by colons.
pub const CONFIG: &str = "STARSINK_CONFIG";
/// Kafka brokers, as `-b`.
pub const BOOTSTRAP_SERVER: &str = "STARSINK_BOOTSTRAP_SERVER";
/// The StarRocks password itself; never bound through clap, which might show it.
pub const PASSWORD: &str = "STARSINK_PASSWORD";
/// A file with the StarRocks password, as `--password-file`.
pub const PASSWORD_FILE: &str = "STARSINK_PASSWORD_FILE";
/// The password of the Kafka user; takes the place of the one in `sasl.jaas.config`.
pub const KAFKA_PASSWORD: &str = "STARSINK_KAFKA_PASSWORD";
/// How much is logged.
pub const LOG: &str = "STARSINK_LOG";
/// No bars and no progress lines, as `--no-progress`.
pub const NO_PROGRESS: &str = "STARSINK_NO_PROGRESS";
/// No colour, whatever its value, as on every well-behaved terminal program.
pub const NO_COLOR: &str = "NO_COLOR";

/// Every variable that is read, with one sentence for the man page and `docs/CONFIG.md`.
pub const VARIABLES: [(&str, &str); 8] = [
    (CONFIG, "Configuration files when none are named, separated by colons."),
    (BOOTSTRAP_SERVER, "Kafka brokers, as -b."),
    (PASSWORD, "The StarRocks password."),
    (
        PASSWORD_FILE,
        "A file with the StarRocks password, as --password-file; wins over the former.",
    ),
    (KAFKA_PASSWORD, "The Kafka user's password, in place of the one in sasl.jaas.config."),
    (LOG, "How much is logged: error, warn, info, debug or trace."),
    (NO_PROGRESS, "No bars and no progress lines, as --no-progress."),
    (NO_COLOR, "No colour."),
];

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "starsink",
    version,
    about = "Load Kafka topics into StarRocks.",
    disable_help_subcommand = true,
    override_usage = "starsink <COMMAND> [CONFIG]...",
    after_help = "CONFIG files are the ones Kafka Connect takes, in the same order:\n  \
                  starsink tail connect-standalone.properties connect-starrocks-sink.properties"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load topics up to a point, then stop
    #[command(after_help = LOAD_AFTER, version, display_name = "starsink")]
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Load(Box<Load>),
    /// Load topics for as long as it runs
    #[command(after_help = TAIL_AFTER, version, display_name = "starsink")]
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Tail(Box<Tail>),
    /// Try every connection, key and column before a deploy; change nothing
    #[command(after_help = CHECK_AFTER, version, display_name = "starsink")]
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Check(Box<Check>),
    /// Show which topic goes to which table and column, and why
    #[command(after_help = map::MAP_AFTER, version, display_name = "starsink")]
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Map(Box<Map>),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    /// Print the man page
    #[command(hide = true)]
    Man,
}

const LOAD_AFTER: &str = "\
Exit codes: 0 done, 2 fix the command or config, 3 done with records set aside or skipped,
4 stopped on a bad record, 5 try again later. Rerunning is safe.
Examples:
  starsink load worker.properties sink.properties
      everything up to now, from where the group stands
  starsink load -o s@2026-11-01T00:00:00Z --until e@2026-11-02T00:00:00Z sink.json
      one day
  starsink load -n -c 1000 sink.properties
      try a thousand records, load nothing
  starsink load -c 1000 -p 0 -b kafka1:9092 -t orders sink.properties
      a thousand records of one partition";

const TAIL_AFTER: &str = "\
Signals: INT or TERM once: stop reading, finish loads, commit, exit 0; twice: exit at once.
HUP: as TERM. USR1: print a progress line now.
Examples:
  starsink tail connect-standalone.properties connect-starrocks-sink.properties
  curl -s connect:8083/connectors/orders-sink | starsink tail -b kafka1:9092 -";

const CHECK_AFTER: &str = "\
Prints one line a check: ok, warn, FAIL or skip, with the reason and a hint; -v adds every key
with its value and where it was said, and what else is known. Without --write nothing is changed
anywhere.
Exit codes: that of the gravest failure: 2 fix the command or config, 4 records would stop a load,
5 try again later; else 0.
Examples:
  starsink check sink.properties && systemctl restart orders-load
  starsink check --only tables,columns --sample 1000 sink.properties
  starsink check --only delivery connect-starrocks-sink.properties";

/// `starsink load`.
#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    pub files: Files,

    /// Where to begin: stored, beginning, end, N, -N (N before the end), s@MS, s@RFC3339
    /// [default: stored, else beginning]
    #[arg(short, long, value_name = "WHERE", allow_hyphen_values = true, value_parser = load_start)]
    #[arg(help_heading = "Extent")]
    pub offset: Option<Start>,

    /// Where to end: now (high watermarks at start), N, e@MS, e@RFC3339
    #[arg(long, value_name = "WHERE", default_value = "now", value_parser = until)]
    #[arg(help_heading = "Extent")]
    pub until: Until,

    /// End after N records at most; with -o they count over all runs of the same command
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(help_heading = "Extent")]
    pub max_messages: Option<u64>,

    /// Only these partitions; needs a single topic
    #[arg(short, long = "partition", value_name = "N", value_delimiter = ',')]
    #[arg(help_heading = "Extent")]
    pub partitions: Vec<u32>,

    #[command(flatten)]
    pub shared: Shared,

    /// Read, convert and count what would be loaded, set aside and skipped; send nothing, commit
    /// nothing
    #[arg(short = 'n', long, help_heading = "Flow and errors")]
    #[arg(conflicts_with_all = ["settle", "restart"])]
    pub dry_run: bool,

    /// Load the dead letters of a topic or file again instead of the topics, each once; what still
    /// cannot be loaded is put there again
    #[arg(long, value_name = "TOPIC|FILE", value_hint = ValueHint::FilePath, help_heading = "Flow and errors")]
    #[arg(conflicts_with_all = ["offset", "until", "partitions"])]
    pub replay: Option<String>,

    /// Load a bounded run again from its start
    #[arg(long, help_heading = "Flow and errors")]
    pub restart: bool,
}

/// `starsink tail`.
#[derive(Debug, Args)]
pub struct Tail {
    #[command(flatten)]
    pub files: Files,

    /// Where to begin if the group has no offset: beginning, end, s@MS, s@RFC3339
    /// [default: beginning, or as consumer.auto.offset.reset says]
    #[arg(short, long, value_name = "WHERE", value_parser = tail_start)]
    #[arg(help_heading = "Extent")]
    pub offset: Option<Start>,

    /// On a signal or rebalance, wait this long for loads in flight
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration)]
    #[arg(help_heading = "Extent")]
    pub drain_timeout: Duration,

    /// Rewrite FILE with offsets, lag and last load at every interval, for probes; OpenMetrics text
    /// when the name ends in .prom, JSON otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Extent")]
    pub status_file: Option<PathBuf>,

    #[command(flatten)]
    pub shared: Shared,
}

/// `starsink check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub files: Files,

    /// Convert N records of each topic and compare them with the table; 0 reads none
    #[arg(long, value_name = "N", default_value = "100", help_heading = "Checks")]
    pub sample: u32,

    /// Also try what leaves a trace: begin and roll back a transaction per table, commit an offset in
    /// a group of its own and delete it, write to the place of dead letters
    #[arg(long, help_heading = "Checks")]
    pub write: bool,

    /// Only these: config, kafka, topics, registry, fe, query, be, auth, tables, columns, dlq,
    /// delivery
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = area())]
    #[arg(hide_possible_values = true, help_heading = "Checks")]
    pub only: Vec<Area>,

    /// A warning fails the run
    #[arg(long, help_heading = "Checks")]
    pub strict: bool,

    /// The FEs' query port
    #[arg(long, value_name = "PORT", default_value = "9030", help_heading = "Checks")]
    pub query_port: u16,

    /// Where the load would begin, as in load
    #[arg(short, long, value_name = "WHERE", allow_hyphen_values = true, value_parser = load_start)]
    #[arg(help_heading = "Extent")]
    pub offset: Option<Start>,

    /// Where the load would end, as in load
    #[arg(long, value_name = "WHERE", default_value = "now", value_parser = until)]
    #[arg(help_heading = "Extent")]
    pub until: Until,

    /// How many records the load would end after, as in load; with -o it is part of what names its group
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(help_heading = "Extent")]
    pub max_messages: Option<u64>,

    /// Only these partitions; needs a single topic
    #[arg(short, long = "partition", value_name = "N", value_delimiter = ',')]
    #[arg(help_heading = "Extent")]
    pub partitions: Vec<u32>,

    #[command(flatten)]
    pub shared: Shared,
}

#[derive(Debug, Args)]
pub struct Files {
    /// Connect worker and connector files: .properties, flat JSON, or the REST body
    /// {"name","config"}. Later files win. `-` reads stdin [env: STARSINK_CONFIG]
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Vec<String>,
}

/// Options that `load` and `tail` share.
#[derive(Debug, Args)]
pub struct Shared {
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub starrocks: StarRocks,
    #[command(flatten)]
    pub flow: Flow,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka options")]
pub struct Kafka {
    /// Brokers, separated by commas; overrides bootstrap.servers
    #[arg(short, long, value_name = "HOST:PORT", env = BOOTSTRAP_SERVER, hide_env_values = true)]
    pub bootstrap_server: Option<String>,

    /// Topics, or a pattern starting with ^; overrides topics and topics.regex
    #[arg(short, long = "topic", value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// Consumer group [default: connect-NAME, the connector's own, so it carries on]
    #[arg(short = 'G', long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub group: Option<String>,

    /// Any librdkafka property. `-X dump` prints the effective ones and exits
    #[arg(short = 'X', long = "kafka-property", value_name = "K=V", value_parser = property)]
    pub properties: Vec<Property>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "StarRocks options")]
pub struct StarRocks {
    /// FE HTTP addresses, separated by commas; overrides starrocks.http.url
    #[arg(long, value_name = "HOST:PORT")]
    pub fe: Option<String>,

    /// Overrides starrocks.database.name
    #[arg(short = 'D', long, value_name = "DB")]
    pub database: Option<String>,

    /// Overrides starrocks.username. `user:password` is refused
    #[arg(short, long, value_name = "USER", value_parser = user)]
    pub user: Option<User>,

    /// Read the password from FILE, or stdin with `-`
    #[arg(long, value_name = "FILE", env = PASSWORD_FILE, hide_env_values = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,

    /// Added to starrocks.topic2table.map
    #[arg(long, value_name = "TOPIC:TABLE")]
    pub map: Vec<String>,

    /// Stream Load header, as with curl; overrides sink.properties.NAME
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<Header>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Flow and errors")]
pub struct Flow {
    /// Load a batch at this size; overrides bufferflush.maxbytes; 512KiB, 90MiB, 1GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub flush_bytes: Option<u64>,

    /// Load a batch at this age; overrides bufferflush.intervalms; 500ms, 10s, 2m
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub flush_interval: Option<Duration>,

    /// Loads in flight at once
    #[arg(long, value_name = "N", default_value = "4", value_parser = loads)]
    pub loads: usize,

    /// Most bytes held in memory
    #[arg(long, value_name = "SIZE", default_value = "96MiB", value_parser = size)]
    pub memory: u64,

    /// What to do with a record that cannot be loaded: stop, skip or dlq; overrides errors.tolerance
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub on_error: Option<OnError>,

    /// Where dlq puts such records: a topic, or a file if the name holds a / or ends in .ndjson;
    /// overrides errors.deadletterqueue.topic.name
    #[arg(long, value_name = "TOPIC|FILE", value_hint = ValueHint::FilePath)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub dlq: Option<String>,

    /// exactly-once: offsets and dead letters in one Kafka transaction; at-least-once: a crash may
    /// put a dead letter twice
    #[arg(long, value_name = "WHAT", default_value = "at-least-once", hide_possible_values = true)]
    pub dlq_delivery: DlqDelivery,

    /// Stop when more than N records, or P% of those read, were skipped or set aside
    #[arg(long, value_name = "N|P%", value_parser = max_errors)]
    pub max_errors: Option<MaxErrors>,

    /// Finish or undo what an earlier run left pending, then stop
    #[arg(long)]
    pub settle: bool,

    /// Where nothing proves whether a pending batch was loaded: committed goes on behind it, reload
    /// reads it again [default: stop]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub on_unknown: Option<OnUnknown>,

    /// exactly-once; at-least-once; auto: exactly once, by labels alone where StarRocks has no
    /// transactions
    #[arg(long, value_name = "WHAT", default_value = "auto", hide_possible_values = true)]
    pub delivery: Delivery,

    /// Write the run's report as JSON, also after an error
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Delivery {
    ExactlyOnce,
    AtLeastOnce,
    Auto,
}

/// `--on-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    Stop,
    Skip,
    Dlq,
}

/// `--dlq-delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DlqDelivery {
    ExactlyOnce,
    AtLeastOnce,
}

/// `--on-unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnUnknown {
    Committed,
    Reload,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output options")]
pub struct Output {
    /// human, or json (one event per line on stdout)
    #[arg(
        long = "output",
        value_name = "FORMAT",
        default_value = "human",
        hide_possible_values = true
    )]
    pub format: OutputFormat,

    /// auto, always or never; NO_COLOR is respected
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,

    /// No bars and no progress lines
    #[arg(long, env = NO_PROGRESS, hide_env_values = true)]
    #[arg(value_parser = clap::builder::FalseyValueParser::new())]
    pub no_progress: bool,

    /// Between progress lines without a terminal
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    pub progress_interval: Duration,

    /// Print no record content anywhere
    #[arg(long)]
    pub redact_values: bool,

    /// Only warnings and errors; twice, only errors
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,

    /// Say more; twice, debug; three times, trace [env: STARSINK_LOG]
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print version; with -v also librdkafka's and its features
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// One `-X`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// `-X dump`.
    Dump,
    Set(String, String),
    /// The name of a property whose value was a secret, and is not kept.
    Secret(String),
}

/// `-u`. A password beside the name is not even kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    Named(String),
    WithPassword,
}

/// One `-H`, the name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// The completions of a shell, as `completions/` holds them.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "starsink", &mut text);
    text
}
