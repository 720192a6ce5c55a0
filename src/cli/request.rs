//! Typed flags and the environment become a [`Request`]: files, overrides and how far the run goes.

use std::collections::BTreeMap;

use crate::cli::{
    BOOTSTRAP_SERVER, CONFIG, Check, Delivery, DlqDelivery, Files, KAFKA_PASSWORD, Kafka, Load,
    Map, OnError, PASSWORD, PASSWORD_FILE, Property, Shared, StarRocks, Tail, User,
};
use crate::config::entry::{Entry, Origin};
use crate::config::job::{Bounds, DeliveryChoice, Extent, Start};
use crate::config::settings::split_list;
use crate::config::{self, Overrides, Password};
use crate::error::Problem;
use crate::secret::Secret;

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
        let mut request = self.shared.request(&self.files, self.partitions.clone(), vars)?;
        request.overrides.replay = self.replay.clone();
        Ok(request)
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

impl Check {
    /// Files and overrides; `vars` is the process's environment.
    pub fn request(&self, vars: &BTreeMap<String, String>) -> Result<Request, Problem> {
        self.shared.request(&self.files, self.partitions.clone(), vars)
    }

    /// How far the load would go that is asked about.
    pub fn extent(&self) -> Extent {
        Extent::Until(Bounds {
            start: self.offset.unwrap_or(Start::Stored),
            until: self.until,
            max_messages: self.max_messages,
        })
    }
}

impl Map {
    /// Files and overrides; `vars` is the process's environment.
    pub fn request(&self, vars: &BTreeMap<String, String>) -> Result<Request, Problem> {
        let request = request(&self.files, &self.kafka, &self.starrocks, vars)?;
        let overrides = Overrides {
            redact_values: self.output.redact_values,
            offline: self.offline,
            ..request.overrides
        };
        Ok(Request { overrides, ..request })
    }
}

impl Shared {
    fn request(
        &self,
        files: &Files,
        partitions: Vec<u32>,
        vars: &BTreeMap<String, String>,
    ) -> Result<Request, Problem> {
        let Request { files, overrides, dump } =
            request(files, &self.kafka, &self.starrocks, vars)?;
        let overrides = Overrides {
            partitions,
            flush_bytes: self.flow.flush_bytes,
            flush_interval: self.flow.flush_interval,
            loads: self.flow.loads,
            memory_bytes: self.flow.memory,
            delivery: match self.flow.delivery {
                Delivery::ExactlyOnce => DeliveryChoice::ExactlyOnce,
                Delivery::AtLeastOnce => DeliveryChoice::AtLeastOnce,
                Delivery::Auto => DeliveryChoice::Auto,
            },
            on_error: self.flow.on_error.map(|what| match what {
                OnError::Stop => config::OnError::Stop,
                OnError::Skip => config::OnError::Skip,
                OnError::Dlq => config::OnError::Dlq,
            }),
            dlq: self.flow.dlq.clone(),
            dlq_exactly_once: self.flow.dlq_delivery == DlqDelivery::ExactlyOnce,
            max_errors: self.flow.max_errors,
            redact_values: self.output.redact_values,
            ..overrides
        };
        Ok(Request { files, overrides, dump })
    }
}

/// What every command is told: where from, where to.
fn request(
    files: &Files,
    kafka: &Kafka,
    starrocks: &StarRocks,
    vars: &BTreeMap<String, String>,
) -> Result<Request, Problem> {
    let password = starrocks.password(vars);
    let files = files.named(vars);
    stdin_is_read_once(&files, password.as_ref())?;
    let mut properties = vec![];
    for property in &kafka.properties {
        match property {
            Property::Dump => {}
            Property::Set(name, value) => properties.push((name.clone(), value.clone())),
            Property::Secret(name) => return Err(property_refused(name)),
        }
    }
    let overrides = Overrides {
        keys: keys(kafka, starrocks, vars)?,
        topics: topics(&kafka.topics),
        map: starrocks.map.iter().map(|map| flag("--map", TOPIC_MAP, map)).collect(),
        password,
        kafka_password: vars.get(KAFKA_PASSWORD).map(Secret::new),
        group: kafka.group.clone(),
        kafka: properties,
        ..Overrides::default()
    };
    let dump = kafka.properties.contains(&Property::Dump);
    Ok(Request { files, overrides, dump })
}

/// Flags that stand for a key of the table.
fn keys(
    kafka: &Kafka,
    starrocks: &StarRocks,
    vars: &BTreeMap<String, String>,
) -> Result<Vec<Entry>, Problem> {
    let user = match &starrocks.user {
        None => None,
        Some(User::Named(name)) => Some(name.clone()),
        Some(User::WithPassword) => {
            let hint =
                format!("use `--password-file FILE` or the environment variable `{PASSWORD}`");
            return Err(secret_refused("a password", hint, "-u"));
        }
    };
    let said = [
        ("--fe", "starrocks.http.url", &starrocks.fe),
        ("-D", "starrocks.database.name", &starrocks.database),
        ("-u", "starrocks.username", &user),
    ];
    let brokers = kafka.bootstrap_server.as_ref().map(|brokers| Entry {
        key: "bootstrap.servers".to_owned(),
        value: brokers.clone(),
        origin: origin("-b", BOOTSTRAP_SERVER, brokers, vars),
    });
    let keys = said
        .into_iter()
        .filter_map(|(name, key, value)| value.as_ref().map(|value| flag(name, key, value)));
    let headers = starrocks
        .headers
        .iter()
        .map(|header| flag("-H", &format!("sink.properties.{}", header.name), &header.value));
    Ok(brokers.into_iter().chain(keys).chain(headers).collect())
}

/// A pattern may hold commas; names cannot.
fn topics(said: &[String]) -> Vec<String> {
    let split = |text: &String| match text.starts_with('^') {
        true => vec![text.clone()],
        false => split_list(text),
    };
    said.iter().flat_map(split).collect()
}

const TOPIC_MAP: &str = "starrocks.topic2table.map";

fn flag(name: &'static str, key: &str, value: &str) -> Entry {
    Entry { key: key.to_owned(), value: value.to_owned(), origin: Origin::Flag(name) }
}

/// Whether a value came by flag or by its variable; clap does not say. Where both say the same it
/// does not matter.
fn origin(
    flag: &'static str,
    variable: &'static str,
    value: &str,
    vars: &BTreeMap<String, String>,
) -> Origin {
    match vars.get(variable) {
        Some(said) if said == value => Origin::Variable(variable),
        _ => Origin::Flag(flag),
    }
}

impl StarRocks {
    /// A password file, by flag or environment, wins over the password in the environment.
    fn password(&self, vars: &BTreeMap<String, String>) -> Option<Password> {
        if let Some(path) = &self.password_file {
            let said = path.to_string_lossy();
            let origin = origin("--password-file", PASSWORD_FILE, &said, vars);
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
