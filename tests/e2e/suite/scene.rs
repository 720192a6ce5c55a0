//! What a test plays on: a broker shared by all tests, a StarRocks of its own, a configuration.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::kafka::{Kafka, Options};
use e2e::place;
use e2e::starrocks::{self, StarRocks};
use e2e::starsink::{Output, Run, Starsink, write_properties};
use e2e::topics;

/// Address of a real Kafka to use instead of starting one; it needs no password and its
/// administrator allows topics to be created.
const BOOTSTRAP: &str = "STARSINK_E2E_BOOTSTRAP";

/// No run of the suite's small jobs takes longer, on a busy machine with a debug build.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The broker of all tests: the one the environment names, or one that lives as long as this
/// process (its watchdog ends it).
pub(crate) fn bootstrap() -> String {
    env::var(BOOTSTRAP).unwrap_or_else(|_| own_broker().bootstrap())
}

/// The shared broker if it is ours, so that its log can be read.
pub(crate) fn own_broker_log() -> Option<String> {
    env::var(BOOTSTRAP).is_err().then(|| own_broker().log(0))
}

/// Whether names such as `test` may be taken by somebody else.
pub(crate) fn broker_is_given() -> bool {
    env::var(BOOTSTRAP).is_ok()
}

fn own_broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| Kafka::start(&Options::default()).expect("Kafka starts"))
}

/// Says that `what` is left out and why, past the test harness's capture.
pub(crate) fn skip(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}: {why}").ok();
}

/// A number from the environment, for tests that can be made bigger.
pub(crate) fn scaled(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => {
            skip(&format!("more than {default}"), &format!("set {variable} for a bigger run"));
            default
        }
    }
}

/// One test's StarRocks and files.
pub(crate) struct Scene {
    pub(crate) bootstrap: String,
    pub(crate) starrocks: StarRocks,
    pub(crate) starsink: Starsink,
    pub(crate) dir: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene::on(bootstrap())
    }

    /// With another broker than the shared one.
    pub(crate) fn on(bootstrap: String) -> Scene {
        Scene::of(bootstrap, StarRocks::start().expect("StarRocks starts"))
    }

    /// With a broker and a StarRocks.
    pub(crate) fn of(bootstrap: String, starrocks: StarRocks) -> Scene {
        Scene {
            bootstrap,
            starrocks,
            starsink: Starsink::find().expect("starsink is built"),
            dir: place::scratch("scene").expect("a directory"),
        }
    }

    /// A scene for tests that need the stand-in's faults or addresses; `None`, loudly, on a real one.
    pub(crate) fn with_standin(test: &str) -> Option<Scene> {
        if env::var(starrocks::FE).is_ok() {
            skip(test, &format!("it needs the stand-in's faults; unset {}", starrocks::FE));
            return None;
        }
        Some(Scene::new())
    }

    /// A new topic with a name of its own.
    pub(crate) fn topic(&self, name: &str, partitions: u32) -> String {
        let topic = topics::fresh_name(name);
        topics::create(&self.bootstrap, &topic, partitions, &[]).expect("the topic is created");
        topic
    }

    /// A new table with a name of its own.
    pub(crate) fn table(&self, name: &str, definition: &str) -> String {
        let table = topics::fresh_name(name);
        self.starrocks.create_table(&table, definition).expect("the table is created");
        table
    }

    /// A configuration that loads `routes` (topic, table) as JSON.
    pub(crate) fn job(&self, routes: &[(&str, &str)]) -> Job<'_> {
        let list = |all: Vec<String>| all.join(",");
        let (topics_, map) = (
            list(routes.iter().map(|(topic, _)| (*topic).to_owned()).collect()),
            list(routes.iter().map(|(topic, table)| format!("{topic}:{table}")).collect()),
        );
        let job = Job { scene: self, entries: BTreeMap::new() };
        job.set("name", &topics::fresh_name("e2e"))
            .set("connector.class", "com.starrocks.connector.kafka.StarRocksSinkConnector")
            .set("bootstrap.servers", &self.bootstrap)
            .set("topics", &topics_)
            .set("key.converter", "org.apache.kafka.connect.storage.StringConverter")
            .set("value.converter", "org.apache.kafka.connect.json.JsonConverter")
            .set("value.converter.schemas.enable", "false")
            .set("starrocks.topic2table.map", &map)
            .set("starrocks.http.url", &self.starrocks.fe)
            .set("starrocks.database.name", &self.starrocks.db)
            .set("starrocks.username", &self.starrocks.user)
            .set("starrocks.password", &self.starrocks.password)
            .set("sink.properties.format", "json")
            .set("sink.properties.strip_outer_array", "true")
    }

    /// Asserts that `table` holds just `expected` (see [`StarRocks::rows`]), in any order.
    #[track_caller]
    pub(crate) fn check_rows(&self, table: &str, columns: &[&str], expected: &[&str]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(self.starrocks.rows(table, columns).expect("rows are read"), expected);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// A configuration in the making.
pub(crate) struct Job<'a> {
    scene: &'a Scene,
    entries: BTreeMap<String, String>,
}

impl Job<'_> {
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.entries.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.entries.remove(key);
        self
    }

    pub(crate) fn get(&self, key: &str) -> &str {
        self.entries.get(key).map_or("", String::as_str)
    }

    /// Writes the file and returns its path.
    pub(crate) fn file(&self) -> String {
        let path = self.scene.dir.join(format!("{}.properties", self.get("name")));
        let entries: Vec<(&str, &str)> =
            self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        write_properties(&path, &entries).expect("the configuration is written");
        path.to_string_lossy().into_owned()
    }

    /// Runs `starsink load` with more arguments to its end.
    pub(crate) fn load(&self, args: &[&str]) -> Output {
        self.load_within(SOON, args)
    }

    /// The same with more patience, or less.
    pub(crate) fn load_within(&self, within: Duration, args: &[&str]) -> Output {
        let file = self.file();
        let args = [&["load", "--no-progress"], args, &[&file]].concat();
        self.scene.starsink.run(&args, "", within).expect("starsink runs")
    }

    /// Starts `starsink` with these arguments and the file.
    pub(crate) fn start(&self, args: &[&str]) -> Run {
        let file = self.file();
        self.scene.starsink.start(&[args, &[&file]].concat(), "").expect("starsink starts")
    }
}

/// Waits until `state` is true; panics with `what` if it is not in time.
#[track_caller]
pub(crate) fn wait_until(what: &str, within: Duration, mut state: impl FnMut() -> bool) {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + within;
    while !state() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
