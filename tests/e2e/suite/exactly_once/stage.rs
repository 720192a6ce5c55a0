//! The stage of the crash tests: a broker with short sessions, three topics that grow, two tables,
//! processes that can be killed and frozen, and the reckoning at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use e2e::kafka::{Kafka, Options};
use e2e::place;
use e2e::produce::{self, Load, Message};
use e2e::starrocks::{self, StarRocks};
use e2e::starsink::Run;
use e2e::topics;
use nix::sys::signal::Signal;

use crate::scene::{Job, Scene, skip, wait_until};

/// Long enough for a busy machine, short enough for many kills.
pub(super) const SESSION: Duration = Duration::from_secs(3);
const PARTITIONS: u32 = 3;
/// Rows per second into each of the two topics of rows.
const ROWS_PER_SECOND: u32 = 100;
/// Ids of the second topic begin here in every partition, so that both can go to one table.
const SECOND_TOPIC: u64 = 500_000_000;
/// Keys per partition of the topic of changes: few, so that order matters.
const KEYS: u64 = 40;
const CHANGES_EVERY: Duration = Duration::from_millis(200);
const CHANGES: u64 = 30;

/// A generator of choices: the same seed makes the same ones (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }

    pub(super) fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }
}

/// A broker that allows short sessions, shared by the tests of this module.
pub(super) fn broker() -> String {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| cluster(1)).bootstrap()
}

/// Brokers that allow short sessions.
pub(super) fn cluster(brokers: usize) -> Kafka {
    let short = ("group.min.session.timeout.ms".to_owned(), "1000".to_owned());
    let options = Options { brokers, properties: vec![short], ..Options::default() };
    Kafka::start(&options).expect("Kafka starts")
}

/// One test's topics, tables and name.
pub(super) struct Stage {
    pub(super) scene: Scene,
    name: String,
    /// Two topics of rows, one of changes.
    topics: [String; 3],
    pub(super) rows: String,
    pub(super) keyed: String,
    logs: PathBuf,
    /// The configuration, written once: a process may be reading it while the next one starts.
    file: OnceLock<String>,
}

/// What was put into the topics.
#[derive(Default)]
pub(super) struct Produced {
    /// Ids of the rows, sorted.
    pub(super) ids: Vec<u64>,
    /// Number of changes.
    pub(super) changes: u64,
    /// What the changes come to: the version that each key ends at.
    keyed: BTreeMap<u64, u64>,
}

impl Stage {
    /// `None`, loudly, where the stand-in is not in use.
    pub(super) fn new(test: &str, bootstrap: &str) -> Option<Stage> {
        if std::env::var(starrocks::FE).is_ok() {
            skip(test, "it needs the stand-in's holds");
            return None;
        }
        Some(Stage::of(Scene::on(bootstrap.to_owned())))
    }

    /// Against a StarRocks that has no transaction interface.
    pub(super) fn old(test: &str, bootstrap: &str) -> Option<Stage> {
        if std::env::var(starrocks::FE).is_ok() {
            skip(test, "it needs an old StarRocks");
            return None;
        }
        let starrocks = StarRocks::standin_with(&["--version", "2.3"]).expect("it starts");
        Some(Stage::of(Scene::of(bootstrap.to_owned(), starrocks)))
    }

    fn of(scene: Scene) -> Stage {
        let topics = ["eo_first", "eo_second", "eo_changes"].map(|n| scene.topic(n, PARTITIONS));
        let rows = scene.table("eo_rows", "(id BIGINT NOT NULL, ts BIGINT) DUPLICATE KEY (id)");
        let keyed = scene.table("eo_keyed", "(id BIGINT NOT NULL, v BIGINT) PRIMARY KEY (id)");
        let logs = place::scratch("exactly-once").expect("a directory");
        let (name, file) = (topics::fresh_name("eo"), OnceLock::new());
        Stage { scene, name, topics, rows, keyed, logs, file }
    }

    pub(super) fn group(&self) -> String {
        format!("connect-{}", self.name)
    }

    pub(super) fn row_topics(&self) -> &[String] {
        &self.topics[..2]
    }

    /// The two topics of rows to one table, the changes to the other.
    fn job(&self) -> Job<'_> {
        let [first, second, changes] = &self.topics;
        let session = SESSION.as_millis().to_string();
        self.scene
            .job(&[(first, &self.rows), (second, &self.rows), (changes, &self.keyed)])
            .set("name", &self.name)
            .set("consumer.override.session.timeout.ms", &session)
            .set("consumer.override.heartbeat.interval.ms", "500")
    }

    /// Starts a `tail` with small batches; more arguments may follow.
    pub(super) fn tail(&self, args: &[&str]) -> Process {
        self.tail_every("300ms", args)
    }

    /// Starts a `tail` with batches of this age.
    pub(super) fn tail_every(&self, age: &str, args: &[&str]) -> Process {
        let few = ["tail", "-v", "--no-progress", "--flush-interval", age];
        let args = [&few[..], &["--drain-timeout", "5s"], args, &[self.file()]].concat();
        Process::of(self.scene.starsink.start(&args, "").expect("starsink starts"), self)
    }

    /// The configuration's path.
    pub(super) fn file(&self) -> &str {
        self.file.get_or_init(|| self.job().file())
    }

    /// The path of the same configuration with these settings changed; replaces the file.
    pub(super) fn file_with(&self, changes: &[(&str, &str)]) -> String {
        changes.iter().fold(self.job(), |job, (key, value)| job.set(key, value)).file()
    }

    /// Fills the topics until `stop`.
    pub(super) fn produce<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        stop: &'s AtomicBool,
    ) -> Producers<'s> {
        let rows = [(0, 0), (1, SECOND_TOPIC)].map(|(topic, first)| {
            let load = Load { first, ..Load::json(&self.topics[topic], PARTITIONS, 100_000_000) };
            scope.spawn(move || {
                let until = || stop.load(Ordering::Relaxed);
                let sent = produce::steady(&self.scene.bootstrap, &load, ROWS_PER_SECOND, until);
                let sent = usize::try_from(sent.expect("produced")).expect("fits memory");
                load.all().take(sent).map(|row| row.id()).collect()
            })
        });
        Producers { rows, changes: scope.spawn(move || self.change(stop)) }
    }

    /// Puts `rows` rows into each topic of rows, from this index on; returns their ids.
    pub(super) fn put_rows(&self, first: u64, rows: u64) -> Vec<u64> {
        let mut ids = vec![];
        for (topic, base) in [(0, 0), (1, SECOND_TOPIC)] {
            let rows = Load::json(&self.topics[topic], PARTITIONS, rows);
            let load = Load { first: base + first, ..rows };
            produce::fast(&self.scene.bootstrap, &load).expect("produced");
            ids.extend(load.all().map(|row| row.id()));
        }
        ids.sort_unstable();
        ids
    }

    /// Upserts and deletes of few keys: only their order says what is left.
    fn change(&self, stop: &AtomicBool) -> (u64, BTreeMap<u64, u64>) {
        let (mut version, mut left) = (0, BTreeMap::new());
        while !stop.load(Ordering::Relaxed) {
            let mut texts = vec![];
            for _ in 0..CHANGES {
                version += 1;
                let (partition, key) = (version % u64::from(PARTITIONS), version * 7 % KEYS);
                let id = partition * 1_000 + key;
                let deletes = version.is_multiple_of(5);
                match deletes {
                    true => left.remove(&id),
                    false => left.insert(id, version),
                };
                let op = u8::from(deletes);
                let text = format!(r#"{{"id":{id},"v":{version},"__op":{op}}}"#);
                texts.push((i32::try_from(partition).expect("small"), text));
            }
            let message = |(partition, text): &'_ (i32, String)| -> (i32, Vec<u8>) {
                (*partition, text.clone().into_bytes())
            };
            let owned: Vec<(i32, Vec<u8>)> = texts.iter().map(message).collect();
            let messages: Vec<Message<'_>> = owned
                .iter()
                .map(|(partition, value)| Message {
                    partition: *partition,
                    value: Some(value),
                    ..Message::default()
                })
                .collect();
            produce::put(&self.scene.bootstrap, &self.topics[2], &messages).expect("produced");
            thread::sleep(CHANGES_EVERY);
        }
        (version, left)
    }

    /// Rows that came into both tables so far, each time one came.
    pub(super) fn arrived(&self) -> u64 {
        let tally = |table: &str| self.scene.starrocks.tally(table).expect("tally").rows;
        tally(&self.rows) + tally(&self.keyed)
    }

    /// Waits until as many rows have arrived as were produced; some must arrive `within` any such time.
    pub(super) fn wait_for(&self, produced: &Produced, within: Duration) {
        let all = produced.ids.len() as u64 + produced.changes;
        let (mut arrived, mut since) = (self.arrived(), Instant::now());
        while arrived < all {
            thread::sleep(Duration::from_millis(100));
            let now = self.arrived();
            if now > arrived {
                since = Instant::now();
            }
            arrived = now;
            assert!(
                since.elapsed() < within,
                "{arrived} of {all} rows, and none in {within:?}; logs in {}",
                self.logs.display()
            );
        }
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        let rows = self.scene.starrocks.rows(&self.rows, &["id"]).expect("rows are read");
        let mut ids: Vec<u64> = rows.iter().map(|id| id.parse().expect("an id")).collect();
        ids.sort_unstable();
        ids
    }

    /// Every id once, every change once and in order, cursors idle at the ends of the topics.
    pub(super) fn check(&self, produced: &Produced) {
        let ids = self.ids();
        assert!(
            ids == produced.ids,
            "{}; logs in {}",
            difference(&produced.ids, &ids),
            self.logs.display()
        );
        let keyed = self.scene.starrocks.rows(&self.keyed, &["id", "v"]).expect("rows are read");
        let mut left: Vec<String> =
            produced.keyed.iter().map(|(id, version)| format!("{id}|{version}")).collect();
        left.sort_unstable();
        assert_eq!(keyed, left, "logs in {}", self.logs.display());
        let loaded = self.scene.starrocks.tally(&self.keyed).expect("tally").rows;
        assert_eq!(loaded, produced.changes, "changes loaded; logs in {}", self.logs.display());
        self.check_cursors();
    }

    fn check_cursors(&self) {
        for topic in &self.topics {
            let bootstrap = &self.scene.bootstrap;
            let ends = topics::watermarks(bootstrap, topic).expect("watermarks");
            let cursors = topics::committed(bootstrap, &self.group(), topic, PARTITIONS);
            for (cursor, (_, end)) in cursors.expect("committed offsets").into_iter().zip(ends) {
                let (offset, metadata) = cursor.unwrap_or((0, String::new()));
                assert_eq!(offset, end, "{topic}: `{metadata}`");
                assert!(!metadata.contains(";e="), "{topic} ends with an intent: `{metadata}`");
            }
        }
    }

    /// Labels of this name that are neither committed nor aborted.
    pub(super) fn open_labels(&self) -> Vec<(String, String)> {
        let labels = self.scene.starrocks.labels().expect("labels");
        labels
            .into_iter()
            .filter(|(_, state)| !matches!(&**state, "COMMITTED" | "VISIBLE" | "ABORTED"))
            .collect()
    }

    /// Waits until a request is held.
    pub(super) fn is_held(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.scene.starrocks.holds().expect("holds") > 0 {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Nothing went wrong: the logs are of no use any more.
    pub(super) fn forget_logs(&self) {
        fs::remove_dir_all(&self.logs).ok();
    }
}

/// Threads that fill the topics.
pub(super) struct Producers<'s> {
    rows: [ScopedJoinHandle<'s, Vec<u64>>; 2],
    changes: ScopedJoinHandle<'s, (u64, BTreeMap<u64, u64>)>,
}

impl Producers<'_> {
    /// What they put, once they were stopped.
    pub(super) fn produced(self) -> Produced {
        let each = self.rows.map(|rows| rows.join().expect("no panic"));
        let mut ids: Vec<u64> = each.into_iter().flatten().collect();
        ids.sort_unstable();
        let (changes, keyed) = self.changes.join().expect("no panic");
        Produced { ids, changes, keyed }
    }
}

/// Tells producers to stop, also when an assertion fails.
pub(super) struct StopOnDrop<'a>(pub(super) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A `tail` that writes its log away when it ends.
pub(super) struct Process {
    run: Option<Run>,
    logs: PathBuf,
}

impl Process {
    pub(super) fn of(run: Run, stage: &Stage) -> Process {
        Process { run: Some(run), logs: stage.logs.clone() }
    }

    pub(super) fn said(&self) -> String {
        self.run.as_ref().map(Run::stderr).unwrap_or_default()
    }

    /// Waits until it says `text` once more than it has.
    pub(super) fn says(&self, text: &str, within: Duration) -> bool {
        let before = self.said().matches(text).count();
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.said().matches(text).count() > before {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(run) = &self.run {
            run.signal(signal);
        }
    }

    /// Panics if it has ended by itself.
    pub(super) fn check_runs(&mut self) {
        let runs = self.run.as_mut().is_some_and(|run| run.runs().expect("its state"));
        assert!(runs, "it ended by itself:\n{}", tail_of(&self.said()));
    }

    /// kill −9, and waits for its end. It must have run until now.
    pub(super) fn kill(mut self) {
        self.check_runs();
        self.signal(Signal::SIGKILL);
        if let Some(run) = &mut self.run {
            run.wait(Duration::from_secs(10)).expect("it ends");
        }
    }

    /// SIGTERM; it must end well.
    pub(super) fn stop(mut self) {
        self.check_runs();
        self.signal(Signal::SIGTERM);
        if let Some(run) = &mut self.run {
            run.wait(Duration::from_secs(30)).expect("it ends").expect(0);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(run) = &self.run else { return };
        let file = fs::OpenOptions::new().create(true).append(true).open(self.logs.join("log"));
        if let Ok(mut file) = file {
            writeln!(file, "---- a process\n{}", run.stderr()).ok();
        }
    }
}

/// Ids lost, doubled and foreign.
pub(super) fn difference(expected: &[u64], found: &[u64]) -> String {
    let mut count: BTreeMap<u64, i64> = BTreeMap::new();
    expected.iter().for_each(|id| *count.entry(*id).or_default() -= 1);
    found.iter().for_each(|id| *count.entry(*id).or_default() += 1);
    let some = |wanted: fn(i64) -> bool| -> (usize, Vec<u64>) {
        let all: Vec<u64> = count.iter().filter(|(_, n)| wanted(**n)).map(|(id, _)| *id).collect();
        (all.len(), all.into_iter().take(5).collect())
    };
    let (lost, doubled) = (some(|n| n < 0), some(|n| n > 0));
    format!("{} lost {:?}, {} doubled {:?}", lost.0, lost.1, doubled.0, doubled.1)
}

fn tail_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Waits until `table`-independent progress is made: more rows than before.
pub(super) fn wait_for_progress(stage: &Stage, within: Duration) {
    let before = stage.arrived();
    wait_until("rows arrive", within, || stage.arrived() > before);
}
