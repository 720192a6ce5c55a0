//! One record in several tables: its process dies when one table of a batch is committed and the others
//! are not. Each table must get each of its rows once all the same, and deletes must reach every one.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use e2e::produce::{self, Message};
use e2e::starrocks::{self, StarRocks};
use e2e::starsink::Run;
use e2e::topics;
use nix::sys::signal::Signal;
use serde_json::json;

use super::stage::{SESSION, broker};
use crate::scene::{SOON, Scene, skip, wait_until};

const PARTITIONS: u64 = 3;
/// Few keys, so that one batch upserts, deletes and upserts the same one.
const KEYS: u64 = 20;
const TABLES: usize = 3;

/// A topic whose records go to three tables: the row itself, a row for each of its items, and a row for
/// each record that ever came.
struct Fan {
    scene: Scene,
    topic: String,
    /// Primary key: the row, upserted and deleted.
    rows: String,
    /// Primary key: its items, likewise.
    items: String,
    /// Duplicate key: every record, deletes too.
    audit: String,
    file: String,
    put: u64,
}

impl Fan {
    fn new(starrocks: StarRocks) -> Fan {
        let scene = Scene::of(broker(), starrocks);
        let topic = scene.topic("fan", PARTITIONS as u32);
        let rows = scene.table("fan_rows", "(id BIGINT NOT NULL, v BIGINT) PRIMARY KEY (id)");
        let items = scene.table(
            "fan_items",
            "(id BIGINT NOT NULL, line INT NOT NULL, v BIGINT, sku STRING) PRIMARY KEY (id, line)",
        );
        let audit = scene.table("fan_audit", "(v BIGINT NOT NULL, id BIGINT) DUPLICATE KEY (v)");
        let map = format!("{topic}:{rows},{topic}_items:{items},{topic}_audit:{audit}");
        let file = [
            ("name", &*topic),
            ("starrocks.topic2table.map", &map),
            ("consumer.override.session.timeout.ms", &SESSION.as_millis().to_string()),
            ("consumer.override.heartbeat.interval.ms", "500"),
            ("transforms", "copy,lines,whole"),
            ("transforms.copy.type", "starsink.transforms.CopyTo"),
            ("transforms.copy.topics", "${topic}_items,${topic}_audit"),
            ("transforms.lines.type", "starsink.transforms.Explode"),
            ("transforms.lines.field", "items"),
            ("transforms.lines.index.field", "line"),
            ("transforms.lines.predicate", "items"),
            ("transforms.whole.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
            ("transforms.whole.exclude", "items,__op"),
            ("transforms.whole.predicate", "audit"),
            ("predicates", "items,audit"),
            ("predicates.items.type", "TopicNameMatches"),
            ("predicates.items.pattern", ".*_items"),
            ("predicates.audit.type", "TopicNameMatches"),
            ("predicates.audit.pattern", ".*_audit"),
        ]
        .into_iter()
        .fold(scene.job(&[(&topic, &rows)]), |job, (key, value)| job.set(key, value))
        .file();
        Fan { scene, topic, rows, items, audit, file, put: 0 }
    }

    /// What record `v` says: key, whether it deletes, how many items it names.
    fn record(v: u64) -> (u64, bool, u64) {
        (v % PARTITIONS * 1_000 + v * 7 % KEYS, v % 4 == 3, 1 + v % 3)
    }

    fn put(&mut self, records: u64) {
        let texts: Vec<(i32, String)> = (self.put..self.put + records)
            .map(|v| {
                let (id, deletes, items) = Fan::record(v);
                let items: Vec<_> = (0..items).map(|n| json!({"sku": format!("s{n}")})).collect();
                let text = json!({"id": id, "v": v, "items": items, "__op": u8::from(deletes)});
                ((v % PARTITIONS) as i32, text.to_string())
            })
            .collect();
        let messages: Vec<Message<'_>> = texts
            .iter()
            .map(|(partition, text)| Message {
                partition: *partition,
                value: Some(text.as_bytes()),
                ..Message::default()
            })
            .collect();
        produce::put(&self.scene.bootstrap, &self.topic, &messages).expect("produced");
        self.put += records;
    }

    fn tail(&self) -> Run {
        let args = ["tail", "-v", "--no-progress", "--flush-interval", "2s", &self.file];
        self.scene.starsink.start(&args, "").expect("starsink starts")
    }

    /// Labels in one of these states.
    fn labels(&self, states: &[&str]) -> usize {
        let labels = self.scene.starrocks.labels().expect("labels");
        labels.iter().filter(|(_, state)| states.contains(&&**state)).count()
    }

    fn committed(&self) -> usize {
        self.labels(&["COMMITTED", "VISIBLE"])
    }

    /// Runs until one more table has its rows and no other gets any, and kills. Requests of `op` at `at`
    /// are what commits. Returns what it said.
    fn die_between_commits(&self, op: &str, at: &str) -> String {
        let lost = json!({"op": op, "at": at, "nth": 2, "times": 0, "do": "drop"});
        self.scene.starrocks.fault(&lost).expect("a fault is set");
        let before = self.committed();
        let mut run = self.tail();
        wait_while_it_runs("one table is committed", &run, || self.committed() > before);
        // The other commits are asked for, in vain.
        thread::sleep(Duration::from_millis(300));
        assert!(run.runs().expect("its state"), "it ended by itself:\n{}", run.stderr());
        run.signal(Signal::SIGKILL);
        run.wait(SOON).expect("it ends");
        self.scene.starrocks.clear_faults().expect("faults are cleared");
        assert_eq!(self.committed(), before + 1, "{}", run.stderr());
        run.stderr()
    }

    /// As if nobody had come back for longer than StarRocks keeps a prepared transaction.
    fn let_prepared_expire(&self) {
        assert!(self.labels(&["PREPARED"]) > 0, "nothing is left prepared");
        self.scene.starrocks.advance(Duration::from_secs(5 * 3600)).expect("the clock moves");
        wait_until("they expire", SOON, || self.labels(&["PREPARED"]) == 0);
    }

    /// Runs until everything that was put has come into all tables; returns what it said.
    fn finish(&self) -> String {
        let mut run = self.tail();
        let items: u64 = (0..self.put).map(|v| Fan::record(v).2).sum();
        let arrived = |table: &str| self.scene.starrocks.tally(table).expect("tally").rows;
        wait_while_it_runs("all rows arrive", &run, || {
            arrived(&self.rows) >= self.put
                && arrived(&self.items) >= items
                && arrived(&self.audit) >= self.put
        });
        run.signal(Signal::SIGTERM);
        run.wait(SOON).expect("it ends").expect(0);
        // Primary keys would hide a row that came twice.
        assert_eq!(arrived(&self.rows), self.put, "rows\n{}", run.stderr());
        assert_eq!(arrived(&self.items), items, "items\n{}", run.stderr());
        assert_eq!(arrived(&self.audit), self.put, "audit\n{}", run.stderr());
        run.stderr()
    }

    /// Every table holds what the records come to, and the group stands at the end.
    fn check(&self) {
        let (mut rows, mut items) = (BTreeMap::new(), BTreeMap::new());
        for v in 0..self.put {
            let (id, deletes, count) = Fan::record(v);
            match deletes {
                true => rows.remove(&id),
                false => rows.insert(id, v),
            };
            for line in 0..count {
                match deletes {
                    true => items.remove(&(id, line)),
                    false => items.insert((id, line), v),
                };
            }
        }
        let sorted = |mut lines: Vec<String>| {
            lines.sort_unstable();
            lines
        };
        let found = |table: &str, columns: &[&str]| {
            self.scene.starrocks.rows(table, columns).expect("rows are read")
        };
        let rows = rows.iter().map(|(id, v)| format!("{id}|{v}")).collect();
        assert_eq!(found(&self.rows, &["id", "v"]), sorted(rows));
        let items =
            items.iter().map(|((id, line), v)| format!("{id}|{line}|{v}|s{line}")).collect();
        assert_eq!(found(&self.items, &["id", "line", "v", "sku"]), sorted(items));
        let audit = (0..self.put).map(|v| v.to_string()).collect();
        assert_eq!(found(&self.audit, &["v"]), sorted(audit));
        let group = format!("connect-{}", self.topic);
        let bootstrap = &self.scene.bootstrap;
        let ends = topics::watermarks(bootstrap, &self.topic).expect("watermarks");
        let cursors = topics::committed(bootstrap, &group, &self.topic, PARTITIONS as u32);
        for (cursor, (_, end)) in cursors.expect("offsets").into_iter().zip(ends) {
            let (offset, metadata) = cursor.expect("a cursor");
            assert_eq!(offset, end, "{metadata}");
            assert!(!metadata.contains(";e="), "it ends with an intent: {metadata}");
        }
    }
}

/// Waits as `wait_until` does, and shows what the process said if it was in vain.
#[track_caller]
fn wait_while_it_runs(what: &str, run: &Run, mut state: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !state() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}\n{}", run.stderr());
        thread::sleep(Duration::from_millis(50));
    }
}

/// `None`, loudly, where the stand-in is not in use.
fn standin(args: &[&str]) -> Option<StarRocks> {
    if std::env::var(starrocks::FE).is_ok() {
        skip("one record, several tables, kill -9", "it needs the stand-in's faults");
        return None;
    }
    Some(StarRocks::standin_with(args).expect("it starts"))
}

#[test]
fn tables_of_a_batch_that_were_only_prepared_are_committed_by_the_next_process() {
    let Some(starrocks) = standin(&[]) else { return };
    let mut fan = Fan::new(starrocks);
    fan.put(300);
    fan.die_between_commits("commit", "fe");
    assert_eq!(fan.labels(&["PREPARED"]), TABLES - 1);
    fan.put(60);
    fan.finish();
    fan.check();
}

#[test]
fn tables_of_a_batch_that_were_lost_get_their_rows_again_and_the_others_do_not() {
    let Some(starrocks) = standin(&[]) else { return };
    let mut fan = Fan::new(starrocks);
    fan.put(300);
    fan.die_between_commits("commit", "fe");
    fan.let_prepared_expire();
    // The heir owes two tables, and dies when one more has its rows.
    fan.put(60);
    let said = fan.die_between_commits("commit", "fe");
    assert!(said.contains("R5: some committed, the other tables are owed"), "{said}");
    fan.let_prepared_expire();
    fan.put(30);
    let said = fan.finish();
    assert!(said.contains("R5: some committed, the other tables are owed"), "{said}");
    fan.check();
}

#[test]
fn tables_of_plain_loads_that_were_not_loaded_are_loaded_by_the_next_process() {
    let Some(starrocks) = standin(&["--version", "2.3"]) else { return };
    let mut fan = Fan::new(starrocks);
    fan.put(300);
    fan.die_between_commits("stream_load", "be");
    fan.put(60);
    fan.finish();
    fan.check();
}
