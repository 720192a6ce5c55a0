//! A set-up in which `check` finds nothing wrong, to be broken in one place; and the real program run
//! on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use standin::Standin;

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) check: String,
    pub(crate) subject: String,
    pub(crate) verdict: String,
    /// Reason and causes, in lower case.
    pub(crate) said: String,
    pub(crate) hints: String,
    pub(crate) exit_code: Option<u64>,
}

/// All of it.
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    pub(crate) summary: Value,
    pub(crate) exit_code: i32,
    /// As it was printed: JSON.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A broker, a StarRocks, a configuration file.
pub(crate) struct Stage {
    pub(crate) kafka: MockCluster<'static, DefaultProducerContext>,
    pub(crate) starrocks: Standin,
    keys: BTreeMap<String, String>,
    args: Vec<String>,
    mode: u32,
    query_port: u16,
    pub(crate) dir: PathBuf,
}

const TOPIC: &str = "orders";
const WAIT: Duration = Duration::from_secs(10);

/// What every record of the healthy set-up looks like.
const RECORD: &str =
    r#"{"id":1,"city":"Oslo","amount":12.50,"at":"2026-11-24 20:00:00","small":3,"note":null}"#;

pub(crate) const TABLE: &str = "CREATE TABLE shop.orders (id INT NOT NULL, city VARCHAR(20), \
    amount DECIMAL(10,2), at DATETIME, small TINYINT, note VARCHAR(65533)) DUPLICATE KEY(id)";

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage::with(Standin::builder(), RECORD)
    }

    /// Another StarRocks, another record.
    pub(crate) fn with(starrocks: standin::Builder, record: &str) -> Stage {
        let kafka = MockCluster::new(1).expect("a mock cluster");
        kafka.create_topic(TOPIC, 3, 1).expect("a topic");
        let starrocks = starrocks.start().expect("a stand-in");
        let stage = Stage::on(kafka, starrocks);
        stage.put(TOPIC, record, 30);
        stage
    }

    fn on(kafka: MockCluster<'static, DefaultProducerContext>, starrocks: Standin) -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = format!("starsink-check-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        fs::create_dir_all(&dir).expect("a directory");
        let statements = format!(
            "CREATE DATABASE shop; {TABLE}; CREATE USER 'etl' IDENTIFIED BY 'secret-7'; \
             GRANT INSERT, SELECT ON shop.orders TO USER 'etl'"
        );
        starrocks.execute(&statements).expect("the table is made");
        let query_port = starrocks.query().port();
        let keys = [
            ("name", "orders-sink"),
            ("connector.class", "com.starrocks.connector.kafka.StarRocksSinkConnector"),
            ("topics", TOPIC),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("starrocks.database.name", "shop"),
            ("starrocks.username", "etl"),
            ("starrocks.password", "secret-7"),
            ("connect.timeoutms", "1000"),
        ];
        let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut stage = Stage {
            keys: keys.into(),
            args: vec![],
            mode: 0o600,
            query_port,
            kafka,
            starrocks,
            dir,
        };
        let (brokers, fe) = (stage.kafka.bootstrap_servers(), stage.starrocks.fe().to_string());
        stage.set("bootstrap.servers", &brokers).set("starrocks.http.url", &fe);
        stage
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> &mut Stage {
        self.keys.insert(key.into(), value.into());
        self
    }

    pub(crate) fn unset(&mut self, key: &str) -> &mut Stage {
        self.keys.remove(key);
        self
    }

    pub(crate) fn arg(&mut self, args: &[&str]) -> &mut Stage {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    pub(crate) fn readable_by_all(&mut self) -> &mut Stage {
        self.mode = 0o644;
        self
    }

    pub(crate) fn query_port(&mut self, port: u16) -> &mut Stage {
        self.query_port = port;
        self
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts records into a topic, spread over three partitions.
    pub(crate) fn put(&self, topic: &str, value: &str, count: i32) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .create()
            .expect("a producer");
        for number in 0..count {
            let record = BaseRecord::<str, str>::to(topic).payload(value).partition(number % 3);
            producer.send(record).map_err(|(error, _)| error).expect("a record is sent");
        }
        producer.flush(WAIT).expect("the records arrive");
    }

    /// Commits this offset and text for the group, on partition 0.
    pub(crate) fn commit(&self, offset: i64, metadata: &str) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .set("group.id", "connect-orders-sink")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(TOPIC, 0);
        element.set_offset(Offset::Offset(offset)).expect("an offset");
        element.set_metadata(metadata);
        consumer.commit(&list, CommitMode::Sync).expect("the offset is committed");
    }

    /// Runs the program on the set-up.
    pub(crate) fn check(&self) -> Report {
        let file = self.file("sink.properties");
        let text: String =
            self.keys.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        fs::write(&file, text).expect("the file is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(self.mode)).expect("its mode is set");
        let mut command = Command::new(env!("CARGO_BIN_EXE_starsink"));
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(name);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STARSINK_") {
                command.env_remove(name);
            }
        }
        command.args(["check", "--output", "json", "--query-port"]);
        command.arg(self.query_port.to_string()).args(&self.args).arg(&file);
        let output = command.output().expect("the program runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut events: Vec<Value> = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect();
        let summary = events.pop().unwrap_or_else(|| panic!("no report: {stderr}"));
        assert_eq!(summary["event"], "summary", "{stderr}");
        assert!(!stdout.contains("secret-7"), "the password is shown: {stdout}");
        let lines = events.iter().map(line).collect();
        let (exit_code, stdout) = (output.status.code().unwrap_or(-1), stdout.into_owned());
        Report { lines, summary, exit_code, stdout, stderr }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What stays behind after a failure helps to find out why.
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.dir).ok();
        }
    }
}

fn line(event: &Value) -> Line {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let all = |name: &str| {
        let texts = event[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.collect::<Vec<_>>().join("\n")
    };
    Line {
        check: text("check"),
        subject: text("subject"),
        verdict: text("verdict"),
        said: format!("{}\n{}", text("text"), all("causes")).to_lowercase(),
        hints: all("hints"),
        exit_code: event["exit_code"].as_u64(),
    }
}
