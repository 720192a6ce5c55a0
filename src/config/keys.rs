//! The one table of configuration keys. Parsing, validation, messages and `docs/CONFIG.md` all read
//! it; a new key is one row here.
//!
//! Owns names, types, defaults, ranges and what becomes of a key. Values live in `settings.rs`.

/// One key, or all keys of one prefix when the name ends with `*`.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Type,
    /// As it would be written; `None`: none, or the key is required.
    pub default: Option<&'static str>,
    pub status: Status,
    /// One sentence for `docs/CONFIG.md`.
    pub doc: &'static str,
}

/// What a value must look like. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Text,
    /// Never printed.
    Password,
    /// Parts between commas, blanks around them dropped.
    List,
    Boolean,
    Integer {
        least: i64,
        most: i64,
    },
    /// A Java class name.
    Class,
    OneOf(&'static [&'static str]),
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Honoured,
    /// Does its work in another form.
    Translated,
    /// Known and not needed here; says why.
    Ignored(&'static str),
    /// Not known to this program; says what to do instead.
    Refused(&'static str),
}

const MIB: i64 = 1024 * 1024;
const ANY_COUNT: Type = Type::Integer { least: 0, most: i64::MAX };

const fn key(
    name: &'static str,
    kind: Type,
    default: Option<&'static str>,
    status: Status,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, status, doc }
}

use Status::{Honoured, Ignored, Refused, Translated};
use Type::{Boolean, Class, Integer, List, OneOf, Password, Text};

/// Every key, in the order of `docs/CONFIG.md`.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    // The connector.
    key("name", Text, None, Honoured, "Names the connector; the consumer group is `connect-` and this name."),
    key("connector.class", Class, None, Honoured, "Must be the StarRocks sink, `com.starrocks.connector.kafka.StarRocksSinkConnector`; a file of another connector is left out."),
    key("topics", List, None, Honoured, "Topics to load, separated by commas; exclusive with `topics.regex`."),
    key("topics.regex", Text, None, Honoured, "Loads the topics whose whole name matches this pattern, in the syntax of Java."),
    key("tasks.max", Integer { least: 1, most: i32::MAX as i64 }, Some("1"), Translated, "Conversion lanes working in parallel inside the process."),
    key("tasks.max.enforce", Boolean, Some("true"), Ignored("there are no tasks to count"), "Concerns how Kafka Connect counts tasks."),

    // StarRocks.
    key("starrocks.http.url", List, None, Honoured, "FE addresses, `HOST:HTTP_PORT` separated by commas, also with `http://` or `https://`; all are used, the others when one fails."),
    key("starrocks.database.name", Text, None, Honoured, "The target database."),
    key("starrocks.username", Text, None, Honoured, "StarRocks user, with the INSERT privilege on the tables."),
    key("starrocks.password", Password, None, Honoured, "The user's password; may be empty; `--password-file` keeps it out of the file."),
    key("starrocks.topic2table.map", List, None, Honoured, "`TOPIC:TABLE` pairs for topics whose table has another name; anything malformed is an error."),
    key("starrocks.envelope", OneOf(&["none", "debezium"]), Some("none"), Honoured, "`debezium`: values are change events; the same as `AddOpFieldForDebeziumRecord` and `ExtractNewRecordState` before all `transforms`."),
    key("bufferflush.maxbytes", Integer { least: 64 * MIB, most: 10 * 1024 * MIB }, Some("94371840"), Honoured, "Loads a batch when it holds this many bytes."),
    key("bufferflush.intervalms", Integer { least: 1000, most: 3_600_000 }, Some("1000"), Honoured, "Loads a batch when this many milliseconds have passed since the last load."),
    key("connect.timeoutms", Integer { least: 100, most: 60_000 }, Some("1000"), Honoured, "Milliseconds a connection to FE or BE may take to open."),
    key("sink.maxretries", Integer { least: -1, most: i64::MAX }, None, Translated, "Failed attempts in a row at one batch, or at settling a pending one, before the run gives up; -1: never. Without it `load` gives up after 6 retries, `tail` never."),

    // Stream Load headers.
    key("sink.properties.format", OneOf(&["json", "csv"]), Some("json"), Honoured, "What rows are sent as: `json` or `csv`."),
    key("sink.properties.compression", OneOf(&["none", "lz4_frame", "gzip", "zstd"]), Some("none"), Honoured, "Compresses the bodies sent to StarRocks."),
    key("sink.properties.row_delimiter", Text, Some("\\n"), Honoured, "Ends each CSV row; `\\x01` in hexadecimal, which a `.properties` file writes `\\\\x01`."),
    key("sink.properties.column_separator", Text, Some("\\t"), Honoured, "Stands between CSV columns; written like `row_delimiter`."),
    key("sink.properties.partial_update", OneOf(&["true", "false"]), Some("false"), Honoured, "Updates only the columns that `sink.properties.columns` names, which must hold the key; each row has them all. Primary key tables."),
    key("sink.properties.partial_update_mode", Text, Some("row"), Honoured, "How a partial update is carried out."),
    key("sink.properties.strip_outer_array", Boolean, Some("true"), Ignored("it is set as the body needs it"), "Tells StarRocks that a JSON body is an array of rows."),
    key("sink.properties.ignore_json_size", Boolean, Some("true"), Ignored("it is set as the body needs it"), "Lifts the size limit of JSON bodies."),
    key("sink.properties.label", Text, None, Refused("labels are made here, one for each attempt; remove the key"), "The label of a load."),
    key("sink.properties.db", Text, None, Refused("use `starrocks.database.name`"), "The target database."),
    key("sink.properties.table", Text, None, Refused("use `starrocks.topic2table.map`"), "The target table."),
    key("sink.properties.expect", Text, None, Refused("this header is set here; remove the key"), "An HTTP header of the protocol itself."),
    key("sink.properties.authorization", Password, None, Refused("use `starrocks.username` and `starrocks.password`"), "An HTTP header of the protocol itself."),
    key("sink.properties.content-length", Text, None, Refused("this header is set here; remove the key"), "An HTTP header of the protocol itself."),
    key("sink.properties.transfer-encoding", Text, None, Refused("this header is set here; remove the key"), "An HTTP header of the protocol itself."),
    key("sink.properties.content-encoding", Text, None, Refused("use `sink.properties.compression`"), "An HTTP header of the protocol itself."),
    key("sink.properties.host", Text, None, Refused("use `starrocks.http.url`"), "An HTTP header of the protocol itself."),
    key("sink.properties.*", Text, None, Honoured, "Any other Stream Load header, such as `columns`, `jsonpaths`, `timeout`, `max_filter_ratio`, `merge_condition`, `strict_mode`, `timezone` or `warehouse`; sent in lower case with every load."),
    key("sink.table.*", Text, None, Honoured, "Headers for one table's loads, `sink.table.TABLE.properties.HEADER`; they win over `sink.properties.*`."),

    // Converters.
    key("value.converter", Class, Some("org.apache.kafka.connect.json.JsonConverter"), Honoured, "How a record's value is read; [TRANSFORMS.md](TRANSFORMS.md) lists the classes. The worker's when the connector has none."),
    key("value.converter.schemas.enable", Boolean, Some("true"), Honoured, "Whether JsonConverter expects a schema with every value."),
    key("value.converter.schema.registry.url", List, None, Honoured, "Addresses of the schema registry, tried in order; [REGISTRY.md](REGISTRY.md) has the options beside it."),
    key("value.converter.decimal.format", Text, Some("BASE64"), Ignored("rows carry numbers as sent"), "How decimals are written."),
    key("value.converter.replace.null.with.default", Boolean, Some("true"), Honoured, "Whether a schema's default replaces a null that a value with schema holds."),
    key("value.converter.schemas.cache.size", ANY_COUNT, Some("1000"), Honoured, "Size of JsonConverter's schema cache."),
    key("value.converter.*", Text, None, Honoured, "Options of the value's converter."),
    key("key.converter", Class, None, Honoured, "How a record's key is read, where a transform or a delete needs it."),
    key("key.converter.schema.registry.url", List, None, Honoured, "Addresses of the schema registry for keys."),
    key("key.converter.*", Text, None, Honoured, "Options of the key's converter."),
    key("header.converter", Class, Some("org.apache.kafka.connect.storage.SimpleHeaderConverter"), Honoured, "How a record's headers are read, where a transform needs them."),
    key("header.converter.*", Text, None, Honoured, "Options of the headers' converter."),

    // Transforms and errors.
    key("transforms", List, Some(""), Honoured, "Aliases of the transforms that change records before they are loaded, in order; see [TRANSFORMS.md](TRANSFORMS.md)."),
    key("transforms.*", Text, None, Honoured, "Class (`transforms.ALIAS.type`), condition (`.predicate`, `.negate`) and options of a transform."),
    key("predicates", List, Some(""), Honoured, "Aliases of conditions for transforms."),
    key("predicates.*", Text, None, Honoured, "Class (`predicates.ALIAS.type`) and options of a condition."),
    key("starsink.tombstones", OneOf(&["skip", "delete"]), None, Honoured, "What a record without value means: `skip`: nothing; `delete`: the row that the key names is deleted from its primary key table. Without the key a tombstone is skipped, and a delete event that `ExtractNewRecordState` turned into a null deletes."),
    key("starsink.new.fields", OneOf(&["warn", "refuse", "ignore"]), Some("warn"), Honoured, "What a field without a column means where values are converted and the columns are known: `warn`: it is left to StarRocks, which drops it, and one that appears during the run is told once with the ALTER TABLE that would keep it; `refuse`: the record is a bad record, see `errors.tolerance`; `ignore`: nothing is told."),
    key("errors.tolerance", OneOf(&["none", "all"]), Some("none"), Honoured, "`none`: a record that cannot be loaded stops the run; `all`: it is set aside where `errors.deadletterqueue.topic.name` is set, else skipped. Covers every stage, rows that StarRocks rejects included; `--on-error` overrides it."),
    key("errors.deadletterqueue.topic.name", Text, Some(""), Honoured, "Topic that takes the records that cannot be loaded; created if it is missing; `--dlq` overrides it and can name a file."),
    key("errors.deadletterqueue.topic.replication.factor", Integer { least: -1, most: i16::MAX as i64 }, Some("-1"), Honoured, "Replicas of the dead-letter topic if it must be created; -1: the broker's default, where Kafka Connect takes 3."),
    key("errors.deadletterqueue.context.headers.enable", Boolean, Some("true"), Honoured, "Whether the headers of a dead letter say where it came from and why; on unless it is `false`, where Kafka Connect has it off: `load --replay` drops repeats by these headers."),
    key("errors.log.enable", Boolean, Some("false"), Honoured, "Tells every record that is skipped or set aside, not only the first of a kind."),
    key("errors.log.include.messages", Boolean, Some("false"), Honoured, "Shows the beginning of the record's value as well; its place is always told."),
    key("errors.retry.timeout", Integer { least: -1, most: i64::MAX }, Some("0"), Honoured, "Milliseconds to go on asking a schema registry that is away, beside its own `max.retries`, before the run ends; -1: for ever. Nothing else in a converter or transform fails for a time only; loads have `sink.maxretries`."),
    key("errors.retry.delay.max.ms", Integer { least: -1, most: i64::MAX }, Some("60000"), Honoured, "Longest pause in milliseconds between such questions; the first is 300 ms, each following one twice as long."),

    // Kafka.
    key("bootstrap.servers", List, None, Honoured, "Kafka brokers, `HOST:PORT` separated by commas."),
    key("consumer.override.*", Text, None, Translated, "Consumer properties of the connector, under the names of the Java client."),
    key("consumer.*", Text, None, Translated, "Consumer properties of the worker, under the names of the Java client; `consumer.override.*` wins."),
    key("security.protocol", Text, Some("PLAINTEXT"), Translated, "How brokers are spoken to: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. Without a prefix this serves the worker's own clients in Kafka Connect; here it is used when no `consumer.` key says anything about security."),
    key("sasl.*", Text, None, Translated, "Authentication; without a prefix as `security.protocol`."),
    key("ssl.*", Text, None, Translated, "Encryption; without a prefix as `security.protocol`."),

    // The worker.
    key("offset.flush.interval.ms", Integer { least: 1, most: i64::MAX }, Some("60000"), Honoured, "Loads what is buffered and commits offsets at least this often, in milliseconds."),
    key("config.providers", List, None, Honoured, "Names of config providers for references such as `${file:/run/secrets/db:password}`; without it `file`, `dir` and `env` are known."),
    key("config.providers.*", Text, None, Honoured, "Class and parameters of a config provider: Kafka's File, Directory and EnvVar."),
    key("offset.flush.timeout.ms", ANY_COUNT, Some("5000"), Ignored("a commit has its own limit"), "How long a commit of offsets may take."),
    key("offset.storage.*", Text, None, Ignored("offsets are kept in the consumer group"), "Where a worker keeps the offsets of sources."),
    key("config.storage.*", Text, None, Ignored("there is no worker cluster"), "Where a worker cluster keeps its configuration."),
    key("status.storage.*", Text, None, Ignored("there is no worker cluster"), "Where a worker cluster keeps its status."),
    key("group.id", Text, None, Ignored("it names the worker cluster; the consumer group is `connect-` and the connector's name"), "The worker cluster's id; use `-G` or `consumer.override.group.id` for the consumer group."),
    key("client.id", Text, None, Ignored("it names the worker's own clients"), "Names the worker's own clients."),
    key("plugin.path", List, None, Ignored("there are no Java plug-ins"), "Where a worker finds Java plug-ins."),
    key("plugin.discovery", Text, None, Ignored("there are no Java plug-ins"), "How a worker finds Java plug-ins."),
    key("listeners", List, None, Ignored("there is no REST server"), "Addresses of a worker's REST server."),
    key("listeners.*", Text, None, Ignored("there is no REST server"), "Options of a worker's REST server."),
    key("rest.*", Text, None, Ignored("there is no REST server"), "Options of a worker's REST server."),
    key("admin.listeners*", Text, None, Ignored("there is no REST server"), "Options of a worker's REST server."),
    key("access.control.*", Text, None, Ignored("there is no REST server"), "Options of a worker's REST server."),
    key("response.http.headers.config", Text, None, Ignored("there is no REST server"), "Options of a worker's REST server."),
    key("producer.override.*", Text, None, Translated, "Connection and security of the producer of dead letters, under the names of the Java client; the consumer's where nothing is said."),
    key("producer.*", Text, None, Translated, "Likewise, from the worker; `producer.override.*` wins."),
    key("admin.*", Text, None, Ignored("topics are only read"), "Admin client properties of the worker."),
    key("task.shutdown.graceful.timeout.ms", ANY_COUNT, Some("5000"), Ignored("see `--drain-timeout`"), "How long a task may take to stop."),
    key("connector.client.config.override.policy", Text, Some("All"), Ignored("every override is allowed"), "Which overrides a worker allows."),
    key("config.action.reload", OneOf(&["restart", "none"]), Some("restart"), Ignored("references are read once, at start"), "What happens when a config provider's value changes."),
    key("exactly.once.*", Text, None, Ignored("it concerns source connectors"), "Exactly-once for source connectors."),
    key("topic.tracking.*", Text, None, Ignored("there is no REST server"), "Whether a worker tracks topics in use."),
    key("topic.creation.*", Text, None, Ignored("topics are only read"), "How a worker creates topics."),
    key("internal.*", Text, None, Ignored("there is no worker"), "Internal converters of a worker."),
    key("metrics.*", Text, None, Ignored("see `--status-file`"), "Metrics of a worker."),
    key("metric.reporters", List, None, Ignored("see `--status-file`"), "Metrics of a worker."),
    key("auto.include.jmx.reporter", Boolean, None, Ignored("see `--status-file`"), "Metrics of a worker."),
    key("inter.worker.*", Text, None, Ignored("there is no worker cluster"), "How workers talk to each other."),
    key("connect.protocol", Text, None, Ignored("there is no worker cluster"), "How workers share connectors."),
    key("scheduled.rebalance.max.delay.ms", ANY_COUNT, None, Ignored("there is no worker cluster"), "How workers share connectors."),
    key("worker.*", Text, None, Ignored("there is no worker cluster"), "How workers share connectors."),
    key("session.timeout.ms", ANY_COUNT, None, Ignored("it concerns the worker cluster; write `consumer.session.timeout.ms`"), "The worker cluster's membership."),
    key("heartbeat.interval.ms", ANY_COUNT, None, Ignored("it concerns the worker cluster; write `consumer.heartbeat.interval.ms`"), "The worker cluster's membership."),
    key("rebalance.timeout.ms", ANY_COUNT, None, Ignored("it concerns the worker cluster"), "The worker cluster's membership."),
    key("request.timeout.ms", ANY_COUNT, None, Ignored("it concerns the worker's own clients"), "A time limit of the worker's own clients."),
    key("retry.backoff.*", ANY_COUNT, None, Ignored("it concerns the worker's own clients"), "A pause of the worker's own clients."),
    key("reconnect.backoff.*", ANY_COUNT, None, Ignored("it concerns the worker's own clients"), "A pause of the worker's own clients."),
    key("metadata.*", Text, None, Ignored("it concerns the worker's own clients"), "Metadata of the worker's own clients."),
    key("client.dns.lookup", Text, None, Ignored("it concerns the worker's own clients"), "Name look-up of the worker's own clients."),
    key("connections.max.idle.ms", Text, None, Ignored("it concerns the worker's own clients"), "Connections of the worker's own clients."),
    key("send.buffer.bytes", Text, None, Ignored("it concerns the worker's own clients"), "Buffers of the worker's own clients."),
    key("receive.buffer.bytes", Text, None, Ignored("it concerns the worker's own clients"), "Buffers of the worker's own clients."),
    key("socket.connection.setup.*", Text, None, Ignored("it concerns the worker's own clients"), "Connections of the worker's own clients."),
    key("connector.plugin.version", Text, None, Ignored("there are no Java plug-ins"), "The version of a Java plug-in."),
    key("confluent.*", Text, None, Ignored("it concerns Confluent's own plug-ins"), "Licence and metrics of Confluent Platform."),
];

impl Key {
    /// Whether this row is about `name`.
    pub fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => self.name == name,
        }
    }

    /// Whether a value under `name` must not be printed.
    pub fn hides(&self, name: &str) -> bool {
        self.kind == Type::Password || is_secret_name(name)
    }
}

/// Names whose values are secrets wherever they stand.
pub fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 16] = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "api.key",
        "api_key",
        "apikey",
        "access.key",
        "private.key",
        "secret",
        "jaas.config",
        "keystore.key",
        "key.pem",
        "token",
        "user.info",
        "request.header.",
    ];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part)) && !name.ends_with("token.endpoint.url")
}

/// Whether a key's value must not be printed: by its row, or by its name where there is none.
pub fn is_secret(name: &str) -> bool {
    find(name).is_some_and(|key| key.hides(name)) || is_secret_name(name)
}

/// The row for a key: its own, else that of the longest prefix. `sink.properties.*` names are
/// compared in lower case, as they are sent.
pub fn find(name: &str) -> Option<&'static Key> {
    let name = &*canonical(name);
    let covering = KEYS.iter().filter(|key| key.covers(name));
    covering.max_by_key(|key| (key.name == name, key.name.len()))
}

/// The key's name as the table has it.
pub fn canonical(name: &str) -> std::borrow::Cow<'_, str> {
    match name.strip_prefix("sink.properties.") {
        Some(header) => format!("sink.properties.{}", header.to_ascii_lowercase()).into(),
        None => name.into(),
    }
}

/// The row of a key that is known to be in the table.
pub fn row(name: &str) -> &'static Key {
    find(name).expect("the program asks only for keys of its own table")
}

/// The known name nearest to `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 4).clamp(1, 4);
    let distances = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    distances.filter(|&(distance, _)| distance <= limit).min().map(|(_, candidate)| candidate)
}

/// The known key nearest to `name`, or the only one that begins like it.
pub fn did_you_mean(name: &str) -> Option<&'static str> {
    let known = || KEYS.iter().map(|key| key.name).filter(|known| !known.ends_with('*'));
    nearest(name, known()).or_else(|| {
        let mut longer = known().filter(|known| known.starts_with(name));
        longer.next().filter(|_| longer.next().is_none())
    })
}

/// Letters to insert, delete, replace or swap with a neighbour to get from one text to the other;
/// upper and lower case are the same letter.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_key_has_one_sentence() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(!KEYS[..at].iter().any(|other| other.name == key.name), "{} twice", key.name);
            assert!(key.doc.ends_with('.') && !key.doc.contains('|'), "{}", key.name);
        }
    }

    #[test]
    fn defaults_are_valid_values_of_their_type() {
        for key in KEYS {
            let Some(default) = key.default else { continue };
            match key.kind {
                Type::Integer { least, most } => {
                    let number: i64 = default.parse().expect(key.name);
                    assert!((least..=most).contains(&number), "{}", key.name);
                }
                Type::Boolean => assert!(matches!(default, "true" | "false"), "{}", key.name),
                Type::OneOf(values) => assert!(values.contains(&default), "{}", key.name),
                Type::Text | Type::Password | Type::List | Type::Class => {}
            }
        }
    }

    #[test]
    fn a_key_s_own_row_wins_over_the_longest_prefix() {
        let name_of = |name: &str| find(name).map(|key| key.name);
        assert_eq!(name_of("sink.properties.FORMAT"), Some("sink.properties.format"));
        assert_eq!(name_of("sink.properties.columns"), Some("sink.properties.*"));
        assert_eq!(name_of("consumer.override.x"), Some("consumer.override.*"));
        assert_eq!(name_of("consumer.x"), Some("consumer.*"));
        assert_eq!(name_of("topic"), None);
    }

    #[test]
    fn a_slip_of_the_pen_finds_the_key_and_a_foreign_name_none() {
        assert_eq!(did_you_mean("bufferflush.interval.ms"), Some("bufferflush.intervalms"));
        assert_eq!(did_you_mean("starrocks.user"), Some("starrocks.username"));
        assert_eq!(did_you_mean("starrocks"), None);
        assert_eq!(did_you_mean("starrocks.usernmae"), Some("starrocks.username"));
        assert_eq!(did_you_mean("topic"), Some("topics"));
        assert_eq!(did_you_mean("hello.world"), None);
    }
}
