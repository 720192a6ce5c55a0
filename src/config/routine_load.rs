//! A `CREATE ROUTINE LOAD` statement, as typed or as `SHOW CREATE ROUTINE LOAD` prints it, becomes a
//! connector configuration. Owns the meaning of the job's properties; the statement's syntax is
//! `statement.rs`'s. Whatever has no counterpart is listed, never dropped in silence.

mod statement;

use crate::config::{keys, properties};
use crate::error::Problem;
use statement::Statement;

/// The environment variable that the translated configuration takes the Kafka password from: a
/// secret of the statement is not written out again.
const KAFKA_PASSWORD: &str = "STARSINK_KAFKA_PASSWORD";

/// What became of one statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// The routine load job's name.
    pub job: String,
    /// Keys of a connector configuration, in reading order.
    pub keys: Vec<(String, String)>,
    /// What no key can say, as flags of `load` or `tail`.
    pub flags: Vec<String>,
    /// What behaves differently or was left out, in sentences.
    pub untranslated: Vec<String>,
    /// Commands to type once the job is stopped, to go on where it stood.
    pub commands: Vec<String>,
    /// Required keys that the statement cannot know, with the flag that says each.
    pub missing: Vec<(&'static str, &'static str)>,
}

/// Translates the one statement in `text`; whatever stands before and behind it is read over.
pub fn translate(text: &str) -> Result<Translation, Problem> {
    let statement = statement::parse(text)?;
    if !statement.source.eq_ignore_ascii_case("kafka") {
        let what = format!("the job reads from `{}`, not from Kafka", statement.source);
        return Err(Problem::usage(what));
    }
    let mut translator = Translator::default();
    translator.out.job = statement.job.clone();
    translator.names(&statement)?;
    translator.format(&statement);
    translator.metadata(&statement);
    translator.clauses(&statement);
    translator.job_properties(&statement);
    translator.source_properties(&statement);
    translator.positions(&statement);
    Ok(translator.out)
}

impl Translation {
    /// Adds a key that was said elsewhere, such as by a flag, unless the statement says it.
    pub fn add(&mut self, key: &str, value: &str) {
        self.missing.retain(|(missing, _)| *missing != key);
        if self.keys.iter().all(|(known, _)| known != key) {
            self.keys.push((key.to_owned(), value.to_owned()));
        }
    }

    /// A `.properties` file: the keys, and as comments all that is left to do.
    pub fn properties_file(&self) -> String {
        let mut text = format!("# From the routine load job `{}`.\n", self.job);
        for (key, value) in &self.keys {
            text.push_str(&properties::line(key, value));
            text.push('\n');
        }
        let missing: Vec<String> =
            self.missing.iter().map(|(key, flag)| format!("{key} ({flag})")).collect();
        let sections = [
            ("Left to say, here or by flag:", &missing),
            ("Flags that say the rest:", &self.flags),
            ("To go on where the job stood: stop it, then type", &self.commands),
            ("Not translated, or different here:", &self.untranslated),
        ];
        for (title, lines) in sections {
            if lines.is_empty() {
                continue;
            }
            text.push_str(&format!("#\n# {title}\n"));
            for line in lines {
                text.push_str(&format!("#   {}\n", line.replace(['\n', '\r'], " ")));
            }
        }
        text
    }
}

/// What the body of a load is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Csv,
    Json,
    Avro,
}

#[derive(Default)]
struct Translator {
    out: Translation,
    form: Form,
}

/// Properties of a job that are Stream Load headers of the same name.
const HEADERS: [&str; 11] = [
    "strict_mode",
    "timezone",
    "jsonpaths",
    "json_root",
    "partial_update",
    "partial_update_mode",
    "merge_condition",
    "trim_space",
    "enclose",
    "escape",
    "log_rejected_record_num",
];

/// Properties whose absence changes nothing that is loaded, and why.
const NOT_NEEDED: [(&str, &str); 6] = [
    ("max_batch_rows", "batches are bounded by bytes and by time"),
    ("max_batch_size", "`bufferflush.maxbytes` bounds a batch"),
    ("task_consume_second", "there are no tasks; `bufferflush.intervalms` bounds a batch"),
    ("task_timeout_second", "there are no tasks; `sink.properties.timeout` bounds a load"),
    (
        "pause_on_fatal_parse_error",
        "a record that is no JSON always stops the run, unless told otherwise",
    ),
    ("strip_outer_array", "an array's elements always become rows"),
];

/// What a job has unless it says otherwise: not worth a word. `SHOW CREATE` prints them all.
const DEFAULTS: [(&str, &[&str]); 16] = [
    ("strict_mode", &["false"]),
    ("jsonpaths", &[""]),
    ("json_root", &[""]),
    ("partial_update", &["false"]),
    ("trim_space", &["false"]),
    ("trimspace", &["false"]),
    ("enclose", &["", "0", "\0", "u0000", "\\u0000"]),
    ("escape", &["", "0", "\0", "u0000", "\\u0000"]),
    ("log_rejected_record_num", &["0"]),
    ("max_batch_rows", &["200000"]),
    ("task_consume_second", &["15"]),
    ("task_timeout_second", &["60"]),
    ("pause_on_fatal_parse_error", &["false"]),
    ("strip_outer_array", &["false"]),
    ("max_error_number", &["0"]),
    ("merge_condition", &[""]),
];

impl Translator {
    fn key(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.out.keys.push((key.into(), value.into()));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.out.untranslated.push(text.into());
    }

    /// Name, topic, brokers, database, table: what every configuration begins with.
    fn names(&mut self, statement: &Statement) -> Result<(), Problem> {
        let required = |name: &str| {
            let missing = || Problem::usage(format!("the statement has no `{name}`"));
            statement.of_source(name).filter(|value| !value.trim().is_empty()).ok_or_else(missing)
        };
        let topic = required("kafka_topic")?.trim().to_owned();
        let brokers = required("kafka_broker_list")?;
        let brokers: Vec<&str> = brokers.split(',').map(str::trim).collect();
        self.key("name", &statement.job);
        self.key("connector.class", "com.starrocks.connector.kafka.StarRocksSinkConnector");
        self.key("bootstrap.servers", brokers.join(","));
        self.key("topics", &topic);
        if let Some(database) = &statement.database {
            self.key("starrocks.database.name", database);
        }
        if statement.table != topic {
            self.key("starrocks.topic2table.map", format!("{topic}:{}", statement.table));
        }
        let missing = [
            ("starrocks.http.url", "--fe"),
            ("starrocks.username", "-u"),
            ("starrocks.password", "--password-file"),
        ];
        if statement.database.is_none() {
            self.out.missing.push(("starrocks.database.name", "-D"));
        }
        self.out.missing.extend(missing);
        Ok(())
    }

    /// `format` decides the converter.
    fn format(&mut self, statement: &Statement) {
        let said = statement.of_job("format").unwrap_or("csv").trim().to_ascii_lowercase();
        self.form = match said.as_str() {
            "json" => Form::Json,
            "avro" => Form::Avro,
            _ => Form::Csv,
        };
        match self.form {
            Form::Csv => {
                self.key("value.converter", "org.apache.kafka.connect.storage.StringConverter");
                self.key("sink.properties.format", "csv");
            }
            Form::Json => {
                self.key("value.converter", "org.apache.kafka.connect.json.JsonConverter");
                self.key("value.converter.schemas.enable", "false");
                self.key("sink.properties.format", "json");
            }
            Form::Avro => {
                self.key("value.converter", "io.confluent.connect.avro.AvroConverter");
                self.registry(statement);
                self.key("sink.properties.format", "json");
            }
        }
        if !["csv", "json", "avro", ""].contains(&said.as_str()) {
            self.note(format!(
                "`format` = `{said}` is not known; the values are taken as CSV lines"
            ));
        }
    }

    /// The registry's address, which may hold key and secret.
    fn registry(&mut self, statement: &Statement) {
        let said = statement.of_source(REGISTRY).or_else(|| statement.of_job(REGISTRY));
        let Some(url) = said else {
            self.out.missing.push(("value.converter.schema.registry.url", "in the file"));
            return;
        };
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        match rest.rsplit_once('@') {
            Some((user_info, host)) => {
                let user = user_info.split(':').next().unwrap_or_default();
                self.key("value.converter.schema.registry.url", format!("{scheme}://{host}"));
                self.key("value.converter.basic.auth.credentials.source", "USER_INFO");
                self.key(
                    "value.converter.basic.auth.user.info",
                    format!("{user}:${{env:REGISTRY_SECRET}}"),
                );
                self.note("the registry's secret is not repeated: set the environment variable `REGISTRY_SECRET`");
            }
            None => self.key("value.converter.schema.registry.url", url.trim()),
        }
    }

    /// `INCLUDE METADATA (TOPIC AS t, …)` becomes our transform, and with `envelope` the recipe for
    /// change events stands before it.
    fn metadata(&mut self, statement: &Statement) {
        let mut transforms = vec![];
        let envelope = statement.of_job("envelope").unwrap_or_default().to_ascii_lowercase();
        if envelope == "debezium" {
            transforms.extend(["addfield", "unwrap"]);
        } else if !["", "none"].contains(&envelope.as_str()) {
            self.note(format!("`envelope` = `{envelope}` is not known"));
        }
        let items: Vec<_> = statement
            .metadata
            .iter()
            .filter_map(|(item, alias)| {
                let option = match item.to_ascii_uppercase().as_str() {
                    "TOPIC" => "topic.field",
                    "PARTITION" => "partition.field",
                    "OFFSET" => "offset.field",
                    "TIMESTAMP_MS" | "TIMESTAMP" => "timestamp.field",
                    "KEY" => "key.field",
                    "HEADERS" => "headers.field",
                    _ => return None,
                };
                Some((option, alias.clone().unwrap_or_else(|| item.to_ascii_lowercase())))
            })
            .collect();
        if items.len() < statement.metadata.len() {
            self.note("`INCLUDE METADATA` names an item that is not known");
        }
        if self.form == Form::Csv && !items.is_empty() {
            self.note("`INCLUDE METADATA` has no counterpart for CSV lines: a line has no fields to add to");
        } else if !items.is_empty() {
            transforms.push("metadata");
        }
        if transforms.is_empty() {
            return;
        }
        self.key("transforms", transforms.join(","));
        if transforms.contains(&"unwrap") {
            let add_op = "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord";
            self.key("transforms.addfield.type", add_op);
            self.key("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState");
            self.key("transforms.unwrap.drop.tombstones", "true");
            self.key("transforms.unwrap.delete.handling.mode", "rewrite");
        }
        if transforms.contains(&"metadata") {
            self.key("transforms.metadata.type", "starsink.transforms.Metadata");
            for (option, field) in items {
                self.key(format!("transforms.metadata.{option}"), field);
            }
        }
    }

    /// What stands between table and PROPERTIES.
    fn clauses(&mut self, statement: &Statement) {
        let headers = [
            ("column_separator", &statement.column_separator),
            ("row_delimiter", &statement.row_delimiter),
            ("columns", &statement.columns),
            ("where", &statement.filter),
        ];
        for (header, value) in headers {
            let Some(value) = value else { continue };
            let is_default = matches!(
                (header, value.as_str()),
                ("column_separator", "\t") | ("row_delimiter", "\n")
            );
            let of_csv = ["column_separator", "row_delimiter"].contains(&header);
            if !is_default && (self.form == Form::Csv || !of_csv) {
                self.key(format!("sink.properties.{header}"), value);
            }
        }
        if !statement.partitions.is_empty() {
            let header = if statement.temporary { "temporary_partitions" } else { "partitions" };
            self.key(format!("sink.properties.{header}"), statement.partitions.join(","));
        }
    }

    fn job_properties(&mut self, statement: &Statement) {
        for (name, value) in &statement.job_properties {
            let name = name.trim().to_ascii_lowercase();
            let is_default = DEFAULTS
                .iter()
                .any(|(known, values)| *known == name && values.contains(&value.trim()));
            if !is_default {
                self.job_property(&name, value.trim());
            }
        }
        let no_limit = statement.of_job("max_error_number").is_none_or(|n| n.trim() == "0");
        if no_limit {
            self.note("a bad row: the job pauses after dropping it; here the run stops before it, unless `--on-error` says otherwise");
        }
    }

    fn job_property(&mut self, name: &str, value: &str) {
        let header = if name == "trimspace" { "trim_space" } else { name };
        if HEADERS.contains(&header) {
            self.key(format!("sink.properties.{header}"), value);
            return;
        }
        if let Some((_, why)) = NOT_NEEDED.iter().find(|(known, _)| *known == name) {
            self.note(format!("`{name}` = `{value}` is not needed: {why}"));
            return;
        }
        match (name, value.parse::<u64>()) {
            ("format" | "envelope", _) => {}
            ("desired_concurrent_number", Ok(tasks)) if tasks > 0 => {
                self.key("tasks.max", tasks.to_string());
            }
            ("max_batch_interval", Ok(seconds)) if (1..=3_600).contains(&seconds) => {
                self.key("bufferflush.intervalms", (seconds * 1_000).to_string());
            }
            ("warehouse", _) => self.key("sink.properties.warehouse", value),
            ("max_error_number", _) => self.note(format!(
                "`max_error_number` = `{value}` counts in a window of rows; here `--on-error dlq --max-errors {value}` sets bad records aside and counts in the whole run"
            )),
            ("max_filter_ratio", _) => self.ratio(value),
            // With Avro it was read by name.
            (REGISTRY, _) if self.form == Form::Avro => {}
            _ => self.no_counterpart(name, value),
        }
    }

    /// The value is left out where it is, or may hold, a secret.
    fn no_counterpart(&mut self, name: &str, value: &str) {
        self.note(match may_hold_secret(name, value) {
            true => format!("`{name}` has no counterpart; its value may hold a secret"),
            false => format!("`{name}` = `{value}` has no counterpart"),
        });
    }

    /// Routine Load's ratio of 1 lets every row pass; Stream Load's default of 0 lets none.
    fn ratio(&mut self, value: &str) {
        match value.parse::<f64>() {
            Ok(ratio) if ratio >= 1.0 => {}
            Ok(_) => self.key("sink.properties.max_filter_ratio", value),
            Err(_) => self.note(format!("`max_filter_ratio` = `{value}` is not a number")),
        }
    }

    fn source_properties(&mut self, statement: &Statement) {
        let get = |name: &str| statement.of_source(&format!("property.{name}")).map(str::trim);
        self.login(
            get("sasl.username"),
            get("sasl.password"),
            get("sasl.mechanism").or_else(|| get("sasl.mechanisms")),
        );
        for (name, value) in &statement.source_properties {
            let value = value.trim();
            match name.strip_prefix("property.") {
                Some(name) => self.client_property(name, value),
                None if name == REGISTRY && self.form == Form::Avro => {}
                None if SOURCE_KEYS.contains(&name.as_str()) => {}
                None => self.no_counterpart(name, value),
            }
        }
    }

    /// User and password become the Java client's one property.
    fn login(&mut self, user: Option<&str>, password: Option<&str>, mechanism: Option<&str>) {
        let Some(user) = user else { return };
        let module = match mechanism {
            Some(scram) if scram.to_ascii_uppercase().starts_with("SCRAM-") => {
                "scram.ScramLoginModule"
            }
            _ => "plain.PlainLoginModule",
        };
        let quoted = user.replace('\\', "\\\\").replace('"', "\\\"");
        let jaas = format!(
            "org.apache.kafka.common.security.{module} required username=\"{quoted}\" password=\"${{env:{KAFKA_PASSWORD}}}\";"
        );
        self.key("consumer.override.sasl.jaas.config", jaas);
        if password.is_some() {
            self.note(format!("`property.sasl.password` is not repeated: set the environment variable `{KAFKA_PASSWORD}`"));
        }
    }

    /// One of librdkafka's properties.
    fn client_property(&mut self, name: &str, value: &str) {
        let path = value.strip_prefix("FILE:");
        if let Some(file) = path {
            self.note(format!(
                "`{file}` is a file kept in StarRocks (`SHOW FILE`): copy it to this host"
            ));
        }
        let value = path.unwrap_or(value);
        let same = |translator: &mut Self, name: &str, value: &str| {
            translator.key(format!("consumer.override.{name}"), value);
        };
        match name {
            "security.protocol" => same(self, name, &value.to_ascii_uppercase()),
            "sasl.mechanism" | "sasl.mechanisms" => same(self, "sasl.mechanism", value),
            "sasl.kerberos.service.name" | "client.id" | "client.rack" => same(self, name, value),
            "ssl.ca.location" => {
                same(self, "ssl.truststore.type", "PEM");
                same(self, "ssl.truststore.location", value);
            }
            "ssl.endpoint.identification.algorithm" => {
                let algorithm = if value.eq_ignore_ascii_case("none") { "" } else { value };
                same(self, name, algorithm);
            }
            "ssl.key.password" => {
                same(self, name, "${env:KAFKA_KEY_PASSWORD}");
                self.note("`property.ssl.key.password` is not repeated: set the environment variable `KAFKA_KEY_PASSWORD`");
            }
            "sasl.username" | "sasl.password" | "kafka_default_offsets" => {}
            "group.id" => self.note(format!(
                "group `{value}` is the job's own; the group here is `connect-{}`, and `-G` names another",
                self.out.job
            )),
            _ if may_hold_secret(name, value) => {
                self.note(format!("`property.{name}` holds a secret: say it as `consumer.override.{name}`"));
            }
            _ => self.out.flags.push(format!("-X {name}={value}")),
        }
    }

    /// A command for each partition; what cannot be said by one is listed.
    fn seek(&mut self, statement: &Statement, partitions: &[&str], offsets: &[&str]) {
        let topic = statement.of_source("kafka_topic").unwrap_or_default().trim();
        let servers = statement.of_source("kafka_broker_list").unwrap_or_default();
        let servers = servers.replace(' ', "");
        let mut has_times = false;
        for (partition, text) in partitions.iter().zip(offsets) {
            let begin = Begin::of(text);
            has_times |= matches!(begin, Begin::Time(_));
            match begin.flag() {
                Some(flag) => self.out.commands.push(format!(
                    "kafka-consumer-groups.sh --bootstrap-server {servers} --group connect-{} --topic {topic}:{partition} --reset-offsets {flag} --execute",
                    self.out.job
                )),
                None => self.note(format!(
                    "partition {partition} begins at `{text}`, which is neither an offset nor a time: set the group's offset by hand"
                )),
            }
        }
        if has_times {
            self.note("times in `kafka_offsets` are meant in the job's time zone; the commands take UTC, unless an offset such as `+08:00` is added to the time");
        }
    }

    /// Where the job begins. Without a word it is the end of each partition; here it is the group's
    /// offset, else the beginning.
    fn positions(&mut self, statement: &Statement) {
        let list = |name: &str| -> Vec<&str> {
            let value = statement.of_source(name).unwrap_or_default();
            value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
        };
        let partitions = list("kafka_partitions");
        let offsets = list("kafka_offsets");
        let default = statement.of_source("property.kafka_default_offsets").unwrap_or("OFFSET_END");
        // What no partition is named for.
        let all = if offsets.is_empty() { vec![default.trim()] } else { offsets.clone() };
        let begins: Vec<Begin> = all.iter().map(|text| Begin::of(text)).collect();
        let is_one = begins.iter().all(|begin| *begin == begins[0]);
        let in_pairs = !offsets.is_empty() && offsets.len() == partitions.len();
        match &begins[0] {
            Begin::Beginning if is_one => {
                self.key("consumer.override.auto.offset.reset", "earliest");
            }
            Begin::End if is_one => self.key("consumer.override.auto.offset.reset", "latest"),
            _ if in_pairs => self.seek(statement, &partitions, &offsets),
            Begin::Offset(offset) if begins.len() == 1 => {
                self.out.flags.push(format!("-o {offset} (`load` only)"));
            }
            _ if offsets.is_empty() => self.note(format!(
                "`property.kafka_default_offsets` = `{}`: say with `load -o` where to begin",
                default.trim()
            )),
            _ => self.note(format!(
                "`kafka_offsets` = `{}` and the {} partitions of `kafka_partitions` are no pairs: the group's offsets are to be set by hand",
                offsets.join(","),
                partitions.len()
            )),
        }
        if !partitions.is_empty() {
            self.note(format!(
                "the job names partitions {}; here all are read, or with `load -p {}` those",
                partitions.join(", "),
                partitions.join(",")
            ));
        }
    }
}

/// Properties of the source that were read by name.
const SOURCE_KEYS: [&str; 4] =
    ["kafka_broker_list", "kafka_topic", "kafka_partitions", "kafka_offsets"];

/// May hold key and secret: `https://key:secret@host`.
const REGISTRY: &str = "confluent.schema.registry.url";

/// By its name, or because the value is an address with a login.
fn may_hold_secret(name: &str, value: &str) -> bool {
    let has_login = value.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    has_login || keys::is_secret_name(&name.to_ascii_lowercase())
}

/// Where a partition begins, as a statement says it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Begin {
    Offset(u64),
    Beginning,
    End,
    /// `2024-01-31 12:00:00` as `2024-01-31T12:00:00.000`.
    Time(String),
    Unknown,
}

impl Begin {
    fn of(text: &str) -> Begin {
        match text.to_ascii_uppercase().as_str() {
            // As numbers they are Kafka's own.
            "OFFSET_BEGINNING" | "-2" => return Begin::Beginning,
            "OFFSET_END" | "-1" => return Begin::End,
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            return Begin::Offset(offset);
        }
        let form = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        match form.eq(*b"0000-00-00 00:00:00") {
            true => Begin::Time(format!("{}.000", text.replace(' ', "T"))),
            false => Begin::Unknown,
        }
    }

    /// The flag of `kafka-consumer-groups.sh --reset-offsets`.
    fn flag(&self) -> Option<String> {
        match self {
            Begin::Offset(offset) => Some(format!("--to-offset {offset}")),
            Begin::Beginning => Some("--to-earliest".to_owned()),
            Begin::End => Some("--to-latest".to_owned()),
            Begin::Time(time) => Some(format!("--to-datetime {time}")),
            Begin::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests;
