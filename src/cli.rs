//! The command line: what can be typed, and the environment variables that go with it. Nothing
//! else: flags become [`Overrides`] and an [`Extent`], and `cmd/` runs them.
//!
//! Every option of this file appears in `-h`, in the man page and in the completions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use crate::config::entry::{Entry, Origin};
use crate::config::job::{Bounds, DeliveryChoice, Extent, Start, Until};
use crate::config::{Overrides, Password, keys};
use crate::error::Problem;
use crate::secret::Secret;

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
/// How much is logged: `error`, `warn`, `info`, `debug` or `trace`.
pub const LOG: &str = "STARSINK_LOG";
/// No bars and no progress lines, as `--no-progress`.
pub const NO_PROGRESS: &str = "STARSINK_NO_PROGRESS";

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
    #[command(after_help = LOAD_AFTER)]
    Load(Box<Load>),
    /// Load topics for as long as it runs
    #[command(after_help = TAIL_AFTER)]
    Tail(Box<Tail>),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    /// Print the man page
    #[command(hide = true)]
    Man,
}

const LOAD_AFTER: &str = "\
Exit codes: 0 done, 2 fix the command or config, 4 stopped on a bad record,
5 try again later. Rerunning is safe.
Examples:
  starsink load worker.properties sink.properties
      everything up to now, from where the group stands
  starsink load -o s@2026-11-01T00:00:00Z --until e@2026-11-02T00:00:00Z sink.json
      one day
  starsink load -c 1000 -p 0 -b kafka1:9092 -t orders sink.properties
      a thousand records of one partition";

const TAIL_AFTER: &str = "\
Signals: INT or TERM once: stop reading, finish loads, commit, exit 0; twice: exit at once.
HUP: as TERM. USR1: print a progress line now.
Examples:
  starsink tail connect-standalone.properties connect-starrocks-sink.properties
  curl -s connect:8083/connectors/orders-sink | starsink tail -b kafka1:9092 -";

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

    /// End after N records at most
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(help_heading = "Extent")]
    pub max_messages: Option<u64>,

    /// Only these partitions; needs a single topic
    #[arg(short, long = "partition", value_name = "N", value_delimiter = ',')]
    #[arg(help_heading = "Extent")]
    pub partitions: Vec<u32>,

    /// Load a bounded run again from its start
    #[arg(long, help_heading = "Flow and errors")]
    pub restart: bool,

    #[command(flatten)]
    pub shared: Shared,
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

#[derive(Debug, Args)]
pub struct Files {
    /// Connect worker and connector files: .properties, flat JSON, or the REST body
    /// {"name","config"}. Later files win. `-` reads stdin [env: STARSINK_CONFIG]
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Vec<String>,
}

impl Files {
    /// The files named, else those of `STARSINK_CONFIG`, which colons separate.
    fn named(&self, vars: &BTreeMap<String, String>) -> Vec<String> {
        match vars.get(CONFIG) {
            Some(paths) if self.config.is_empty() => {
                paths.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect()
            }
            _ => self.config.clone(),
        }
    }
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
    /// Brokers; overrides bootstrap.servers
    #[arg(short, long, value_name = "HOST:PORT,..", env = BOOTSTRAP_SERVER, hide_env_values = true)]
    pub bootstrap_server: Option<String>,

    /// Topics, or a pattern starting with ^; overrides topics and topics.regex
    #[arg(short, long = "topic", value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// Consumer group [default: connect-<name>, the connector's own, so it carries on]
    #[arg(short = 'G', long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub group: Option<String>,

    /// Any librdkafka property. `-X dump` prints the effective ones and exits
    #[arg(short = 'X', long = "kafka-property", value_name = "K=V", value_parser = property)]
    pub properties: Vec<Property>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "StarRocks options")]
pub struct StarRocks {
    /// FE HTTP addresses; overrides starrocks.http.url
    #[arg(long, value_name = "HOST:PORT,..")]
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

    /// Finish or undo what an earlier run left pending, then stop
    #[arg(long)]
    pub settle: bool,

    /// exactly-once, at-least-once or auto
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

impl Load {
    /// How far the run goes.
    pub fn extent(&self) -> Extent {
        Extent::Until(Bounds {
            start: self.offset.unwrap_or(Start::Stored),
            until: self.until,
            max_messages: self.max_messages,
        })
    }

    /// Files and overrides; `vars` is the process's environment.
    pub fn request(&self, vars: &BTreeMap<String, String>) -> Result<Request, Problem> {
        self.shared.request(&self.files, self.partitions.clone(), vars)
    }
}

impl Tail {
    /// How far the run goes; its start matters only where the group has no offset.
    pub fn extent(&self) -> Extent {
        Extent::Forever {
            start: self.offset.unwrap_or(Start::Stored),
            drain_timeout: self.drain_timeout,
            status_file: self.status_file.clone(),
        }
    }

    /// Files and overrides; `vars` is the process's environment.
    pub fn request(&self, vars: &BTreeMap<String, String>) -> Result<Request, Problem> {
        self.shared.request(&self.files, vec![], vars)
    }
}

/// What `config::load` is asked for.
#[derive(Debug)]
pub struct Request {
    /// In order; `-` is standard input.
    pub files: Vec<String>,
    pub overrides: Overrides,
    /// `-X dump`: print the effective librdkafka properties and stop.
    pub dump: bool,
}

impl Shared {
    fn request(
        &self,
        files: &Files,
        partitions: Vec<u32>,
        vars: &BTreeMap<String, String>,
    ) -> Result<Request, Problem> {
        let password = self.starrocks.password(vars);
        let files = files.named(vars);
        stdin_is_read_once(&files, password.as_ref())?;
        let mut kafka = vec![];
        for property in &self.kafka.properties {
            match property {
                Property::Dump => {}
                Property::Set(name, value) => kafka.push((name.clone(), value.clone())),
                Property::Secret(name) => return Err(property_refused(name)),
            }
        }
        let overrides = Overrides {
            keys: self.keys()?,
            topics: self.kafka.topics.clone(),
            map: self.starrocks.map.iter().map(|map| flag("--map", TOPIC_MAP, map)).collect(),
            password,
            kafka_password: vars.get(KAFKA_PASSWORD).map(Secret::new),
            group: self.kafka.group.clone(),
            partitions,
            kafka,
            flush_bytes: self.flow.flush_bytes,
            flush_interval: self.flow.flush_interval,
            loads: self.flow.loads,
            memory_bytes: self.flow.memory,
            delivery: match self.flow.delivery {
                Delivery::ExactlyOnce => DeliveryChoice::ExactlyOnce,
                Delivery::AtLeastOnce => DeliveryChoice::AtLeastOnce,
                Delivery::Auto => DeliveryChoice::Auto,
            },
            redact_values: self.output.redact_values,
        };
        let dump = self.kafka.properties.contains(&Property::Dump);
        Ok(Request { files, overrides, dump })
    }

    /// Flags that stand for a key of the table.
    fn keys(&self) -> Result<Vec<Entry>, Problem> {
        let user = match &self.starrocks.user {
            None => None,
            Some(User::Named(name)) => Some(name.clone()),
            Some(User::WithPassword) => {
                let hint =
                    format!("use `--password-file FILE` or the environment variable `{PASSWORD}`");
                return Err(secret_refused("a password", hint, "-u"));
            }
        };
        let said = [
            ("-b", "bootstrap.servers", &self.kafka.bootstrap_server),
            ("--fe", "starrocks.http.url", &self.starrocks.fe),
            ("-D", "starrocks.database.name", &self.starrocks.database),
            ("-u", "starrocks.username", &user),
        ];
        let keys = said
            .into_iter()
            .filter_map(|(name, key, value)| value.as_ref().map(|value| flag(name, key, value)));
        let headers =
            self.starrocks.headers.iter().map(|header| {
                flag("-H", &format!("sink.properties.{}", header.name), &header.value)
            });
        Ok(keys.chain(headers).collect())
    }
}

const TOPIC_MAP: &str = "starrocks.topic2table.map";

fn flag(name: &'static str, key: &str, value: &str) -> Entry {
    Entry { key: key.to_owned(), value: value.to_owned(), origin: Origin::Flag(name) }
}

impl StarRocks {
    /// A password file, by flag or environment, wins over the password in the environment.
    fn password(&self, vars: &BTreeMap<String, String>) -> Option<Password> {
        if let Some(path) = &self.password_file {
            let by_variable =
                vars.get(PASSWORD_FILE).is_some_and(|value| path.as_os_str() == value.as_str());
            let origin = match by_variable {
                true => Origin::Variable(PASSWORD_FILE),
                false => Origin::Flag("--password-file"),
            };
            return Some(Password::File { path: path.clone(), origin });
        }
        let secret = Secret::new(vars.get(PASSWORD)?);
        Some(Password::Text { secret, origin: Origin::Variable(PASSWORD) })
    }
}

fn stdin_is_read_once(files: &[String], password: Option<&Password>) -> Result<(), Problem> {
    let of_password =
        matches!(password, Some(Password::File { path, .. }) if path.as_os_str() == "-");
    let readers = files.iter().filter(|file| *file == "-").count() + usize::from(of_password);
    if readers > 1 {
        return Err(Problem::usage("standard input is asked for twice")
            .hint("give `-` once, as CONFIG or to `--password-file`"));
    }
    Ok(())
}

/// The completions of a shell, as `completions/` holds them.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "starsink", &mut text);
    text
}

/// The man page, as `docs/starsink.1` holds it: the commands' options follow the overview.
pub fn man() -> std::io::Result<Vec<u8>> {
    let command = Cli::command();
    let mut text = vec![];
    clap_mangen::Man::new(command.clone()).date("").render(&mut text)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let title = format!("starsink {}", sub.get_name());
        let page = clap_mangen::Man::new(sub.clone().bin_name(&title).display_name(&title));
        text.extend(format!(".SH \"{}\"\n", title.to_uppercase()).bytes());
        page.render_synopsis_section(&mut text)?;
        page.render_options_section(&mut text)?;
        page.render_extra_section(&mut text)?;
    }
    Ok(text)
}

fn load_start(text: &str) -> Result<Start, String> {
    if let Some(count) = text.strip_prefix('-') {
        return count.parse().map(Start::Last).map_err(|_| START_FORMS.to_owned());
    }
    match text {
        "stored" => Ok(Start::Stored),
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        _ => match text.strip_prefix("s@") {
            Some(time) => instant(time).map(Start::Time),
            None => text.parse().map(Start::At).map_err(|_| START_FORMS.to_owned()),
        },
    }
}

const START_FORMS: &str = "expected is stored, beginning, end, N, -N, s@MS or s@RFC3339";

fn tail_start(text: &str) -> Result<Start, String> {
    match (text, text.strip_prefix("s@")) {
        ("beginning", _) => Ok(Start::Beginning),
        ("end", _) => Ok(Start::End),
        (_, Some(time)) => instant(time).map(Start::Time),
        _ => Err("expected is beginning, end, s@MS or s@RFC3339".to_owned()),
    }
}

fn until(text: &str) -> Result<Until, String> {
    match (text, text.strip_prefix("e@")) {
        ("now", _) => Ok(Until::Now),
        (_, Some(time)) => instant(time).map(Until::Time),
        _ => text
            .parse()
            .map(Until::At)
            .map_err(|_| "expected is now, N, e@MS or e@RFC3339".to_owned()),
    }
}

/// Milliseconds since the epoch, or RFC 3339 with `Z` or an offset.
fn instant(text: &str) -> Result<i64, String> {
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.parse().map_err(|_| "too many milliseconds".to_owned());
    }
    let (local, offset_s) = without_offset(text);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| {
        "expected are milliseconds since 1970 or a time like 2026-11-01T00:00:00Z or …+08:00"
            .to_owned()
    })?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    let millis = i64::try_from(since.as_millis()).map_err(|_| "too late".to_owned())?;
    Ok((millis - offset_s * 1000).max(0))
}

/// The date and time, and the seconds its clock is ahead of UTC.
fn without_offset(text: &str) -> (&str, i64) {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, 0);
    }
    let Some((local, zone)) = text.len().checked_sub(6).and_then(|at| text.split_at_checked(at))
    else {
        return ("", 0);
    };
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return ("", 0),
    };
    match zone[1..].split_once(':').map(|(h, m)| (h.parse::<i64>(), m.parse::<i64>())) {
        Some((Ok(hours @ 0..=23), Ok(minutes @ 0..=59))) => {
            (local, sign * (hours * 3600 + minutes * 60))
        }
        _ => ("", 0),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let units = "a duration needs a unit: ms, s, m, h, d; for example 500ms, 10s, 2m";
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be longer than nothing".to_owned()),
        Ok(duration) if text.parse::<f64>().is_err() => Ok(duration),
        _ => Err(units.to_owned()),
    }
}

/// Bytes with a unit; decimal ones count in thousands, as everywhere else.
fn size(text: &str) -> Result<u64, String> {
    let units = "a size needs a unit: B, KB, MB, GB, KiB, MiB, GiB; for example 512KiB, 90MiB";
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or(units)?;
    let (count, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(units.to_owned()),
    };
    let count = u64::from_str(count.trim()).map_err(|_| units.to_owned())?;
    match count.checked_mul(unit) {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("too many bytes".to_owned()),
    }
}

/// No machine gains from more.
const MOST_LOADS: usize = 256;

fn loads(text: &str) -> Result<usize, String> {
    let fits = |count: &usize| (1..=MOST_LOADS).contains(count);
    text.parse()
        .ok()
        .filter(fits)
        .ok_or_else(|| format!("expected is a number from 1 to {MOST_LOADS}"))
}

/// Parses anything: what clap refuses it prints, and this may be a password.
fn user(text: &str) -> Result<User, Infallible> {
    Ok(if text.contains(':') { User::WithPassword } else { User::Named(text.to_owned()) })
}

fn property(text: &str) -> Result<Property, String> {
    if text == "dump" {
        return Ok(Property::Dump);
    }
    let (name, value) = text.split_once('=').ok_or("expected is K=V or dump")?;
    let name = name.trim().to_owned();
    match name.as_str() {
        "" => Err("the property's name is missing".to_owned()),
        secret if keys::is_secret_name(secret) => Ok(Property::Secret(name)),
        _ => Ok(Property::Set(name, value.to_owned())),
    }
}

/// What to do with a secret instead of typing it.
fn secret_refused(what: &str, hint: String, flag: &str) -> Problem {
    Problem::usage(format!("{what} must not stand on the command line"))
        .cause("other users of this host see it there")
        .at(format!("`{flag}`"))
        .hint(hint)
}

fn property_refused(name: &str) -> Problem {
    let hint = match name {
        "sasl.password" => format!("set the environment variable `{KAFKA_PASSWORD}`"),
        _ => format!("put `consumer.override.{}` into a configuration file", java_name(name)),
    };
    secret_refused(&format!("`{name}`"), hint, "-X")
}

/// Where a secret of librdkafka's has another name in the Java client.
fn java_name(name: &str) -> &str {
    match name {
        "ssl.key.pem" => "ssl.keystore.key",
        other if other.starts_with("sasl.oauthbearer.") => "sasl.jaas.config",
        other => other,
    }
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("expected is 'NAME: VALUE'")?;
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() {
        return Err("the header's name is missing".to_owned());
    }
    Ok(Header { name, value: value.trim().to_owned() })
}
