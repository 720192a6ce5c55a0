//! Bad data: nothing lost, nothing stuck, every row accounted for.

use std::fs;
use std::time::{Duration, Instant};

use e2e::produce::{self, Message};
use e2e::read::{self, Record};
use e2e::starsink::Output;
use e2e::topics;
use serde_json::Value;

use crate::scene::{Job, SOON, Scene, scaled};

/// One bad record among many, for each stage and each way in which StarRocks refuses a row.
mod stages;
/// Places for dead letters that refuse them, are too small, full, away or deleted.
mod targets;
/// What a run says of a bad record, word for word.
mod words;

const TABLE: &str = "(id BIGINT NOT NULL, city VARCHAR(10) NOT NULL, n INT)";

/// A topic, a table and a place for dead letters.
struct Stage {
    scene: Scene,
    topic: String,
    table: String,
    dead: String,
    /// A load ends in this time.
    within: Duration,
}

/// What one record of a test is.
type Put = (Option<String>, String);

fn an_hour_ago_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later");
    i64::try_from(now.as_millis()).expect("small") - 3_600_000
}

fn good(id: u64) -> String {
    format!("{{\"id\":{id},\"city\":\"Oslo\",\"n\":{id}}}")
}

impl Stage {
    fn new(partitions: u32, definition: &str) -> Stage {
        Stage::on(Scene::new(), partitions, definition)
    }

    fn on(scene: Scene, partitions: u32, definition: &str) -> Stage {
        let (topic, table) = (scene.topic("bad", partitions), scene.table("bad", definition));
        let dead = topics::fresh_name("dead");
        Stage { scene, topic, table, dead, within: SOON }
    }

    fn put_all(&self, partition: i32, records: &[Put]) {
        let messages: Vec<Message<'_>> = records
            .iter()
            .map(|(key, value)| Message {
                partition,
                key: key.as_ref().map(|key| key.as_bytes()),
                value: Some(value.as_bytes()),
                // A time of its own, and not so old that retention takes the record.
                timestamp_ms: Some(an_hour_ago_ms()),
                ..Message::default()
            })
            .collect();
        produce::put(&self.scene.bootstrap, &self.topic, &messages).expect("produced");
    }

    /// Records `0..rows` with `bad` in the places named.
    fn put(&self, rows: u64, bad: &str, places: &[u64]) {
        let value = |id: u64| if places.contains(&id) { bad.to_owned() } else { good(id) };
        let records: Vec<Put> = (0..rows).map(|id| (None, value(id))).collect();
        self.put_all(0, &records);
    }

    fn job(&self) -> Job<'_> {
        self.scene.job(&[(&self.topic, &self.table)])
    }

    fn letters(&self) -> Vec<Record> {
        read::all(&self.scene.bootstrap, &self.dead).expect("dead letters are read")
    }

    fn count(&self) -> u64 {
        self.scene.starrocks.count(&self.table).expect("counted")
    }

    /// Loads with dead letters in the topic; the report is checked to balance.
    fn load(&self, job: &Job<'_>, args: &[&str], code: i32) -> (Output, Value) {
        let report = self.scene.dir.join("report.json");
        let shown = report.to_string_lossy().into_owned();
        let args = [args, &["--report", &shown]].concat();
        let output = job.load_within(self.within, &args).expect(code);
        let report: Value =
            serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
        balances(&report);
        (output, report)
    }

    /// Dead letters are just these records of partition 0, each once and byte for byte.
    #[track_caller]
    fn check_letters(&self, offsets: &[u64]) -> Vec<Record> {
        let letters = self.letters();
        let mut found: Vec<u64> = letters.iter().map(|letter| number(letter, "offset")).collect();
        found.sort_unstable();
        assert_eq!(found, offsets);
        for letter in &letters {
            let offset = i64::try_from(number(letter, "offset")).expect("small");
            let record =
                read::at(&self.scene.bootstrap, &self.topic, 0, offset).expect("the record");
            assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
            assert_eq!(letter.timestamp_ms, record.timestamp_ms);
            assert_eq!(letter.headers[..record.headers.len()], record.headers[..]);
        }
        letters
    }
}

fn number(letter: &Record, what: &str) -> u64 {
    let text = letter.header(&format!("__connect.errors.{what}")).expect("a header");
    text.parse().expect("a number")
}

/// Records read = loaded + set aside + skipped + filtered + already loaded, in all and by partition.
#[track_caller]
fn balances(report: &Value) {
    let sum = |book: &Value| -> u64 {
        let names = ["loaded", "left_out", "set_aside", "skipped", "filtered", "already_loaded"];
        names.iter().map(|name| book[*name].as_u64().unwrap_or_default()).sum()
    };
    assert_eq!(report["read"].as_u64(), Some(sum(report)), "{report}");
    for book in report["partitions"].as_array().expect("partitions") {
        assert_eq!(book["read"].as_u64(), Some(sum(book)), "{book}");
        let span = book["next"].as_u64().expect("next") - book["first"].as_u64().expect("first");
        let read = book["read"].as_u64().expect("read") + book["gaps"].as_u64().expect("gaps");
        assert_eq!(span, read, "{book}");
    }
}

/// Of a transaction's bodies only the last one's fate is told in words; after an earlier one the next
/// is refused with no reason.
#[test]
fn a_document_that_spoils_a_body_before_the_last_is_found_all_the_same() {
    let mut stage = Stage::new(1, TABLE);
    stage.within = SOON * 3;
    let deep = format!(r#"{{"id":7,"city":"Oslo","x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let rows = 60_000;
    stage.put(rows, &deep, &[9_000]);
    // Bodies are a twenty-fourth of the memory: several of them to a batch.
    let small = ["--memory", "16MiB"];
    let job = stage.job();
    let (_, report) = stage.load(&job, &[&["--dlq", stage.dead.as_str()], &small[..]].concat(), 3);
    assert_eq!(stage.count(), rows - 1);
    stage.check_letters(&[9_000]);
    eprintln!("a spoilt body before the last: {} loads more", report["extra_loads"]);
    let output = stage.job().load_within(stage.within, &small).expect(4);
    output.says(&["arse json", "StarRocks rejected"]);
}

#[test]
fn max_filter_ratio_keeps_its_meaning_and_what_it_leaves_out_is_counted() {
    let stage = Stage::new(1, TABLE);
    stage.put(100, r#"{"id":7}"#, &[5, 50]);
    let job = stage.job().set("sink.properties.max_filter_ratio", "0.02");
    let (output, report) = stage.load(&job, &["--dlq", &stage.dead], 0);
    assert_eq!((stage.count(), stage.letters().len()), (98, 0));
    let table = &report["tables"][0];
    assert_eq!((&table["rows"], &table["filtered_rows"]), (&98.into(), &2.into()), "{report}");
    let totals =
        ["read", "loaded", "left_out", "rows", "filtered_rows"].map(|name| report[name].as_u64());
    assert_eq!(totals, [100, 98, 2, 98, 2].map(Some), "{report}");
    assert!(output.stdout.contains("left out: 2 rows by StarRocks"), "{}", output.stdout);
    assert_eq!(report["extra_loads"], 0, "{}", output.stdout);
    // One more than it allows: all of them are looked for.
    let stage = Stage::new(1, TABLE);
    stage.put(100, r#"{"id":7}"#, &[5, 50, 99]);
    let job = stage.job().set("sink.properties.max_filter_ratio", "0.02");
    let (_, report) = stage.load(&job, &["--on-error", "stop"], 4);
    let reason = &report["reasons"][0];
    assert_eq!((&reason["count"], &reason["stage"]), (&3.into(), &"TASK_PUT".into()), "{report}");
    assert_eq!(stage.count(), 0);
    stage.load(&job, &["--dlq", &stage.dead], 3);
    assert_eq!(stage.count(), 97);
}

/// Values are converted, and nothing is changed.
fn converted(job: Job<'_>) -> Job<'_> {
    let class = "org.apache.kafka.connect.transforms.ReplaceField$Value";
    job.set("transforms", "r").set("transforms.r.type", class).set("transforms.r.exclude", "none")
}

#[test]
fn a_field_that_appears_is_told_once_with_the_statement_that_keeps_it() {
    let drifting = |stage: &Stage| {
        let value = |id: u64| match id {
            0..50 => good(id),
            _ => format!("{{\"id\":{id},\"city\":\"Oslo\",\"n\":1,\"extra\":1.5}}"),
        };
        let records: Vec<Put> = (0..100).map(|id| (None, value(id))).collect();
        stage.put_all(0, &records);
    };
    let stage = Stage::new(1, TABLE);
    drifting(&stage);
    let (output, _) = stage.load(&converted(stage.job()), &[], 0);
    assert_eq!(stage.count(), 100);
    assert_eq!(output.stderr.matches("have a new field").count(), 1, "{}", output.stderr);
    let alter = format!("`ALTER TABLE {}.{} ADD COLUMN", stage.scene.starrocks.db, stage.table);
    output.says(&[&alter, "extra"]);
    let stage = Stage::new(1, TABLE);
    drifting(&stage);
    let job = converted(stage.job()).set("starsink.new.fields", "refuse");
    let (output, report) = stage.load(&job, &["--dlq", &stage.dead], 3);
    assert_eq!((stage.count(), report["set_aside"].as_u64()), (50, Some(50)));
    output.says(&["have a new field `extra`", "such records are not loaded"]);
}

#[test]
fn skipped_records_are_counted_and_told() {
    let stage = Stage::new(1, TABLE);
    stage.put(500, "not json", &[0, 17, 499]);
    let job = stage.job().set("errors.tolerance", "all").set("errors.log.enable", "true");
    let (output, report) = stage.load(&job, &[], 3);
    assert_eq!((stage.count(), report["skipped"].as_u64()), (497, Some(3)));
    output.says(&[&format!("skipped {}[0]@17: ", stage.topic)]);
}

#[test]
fn first_and_last_row_may_be_bad() {
    let stage = Stage::new(1, TABLE);
    stage.put(1000, r#"{"id":7}"#, &[0, 999]);
    stage.load(&stage.job(), &["--dlq", &stage.dead], 3);
    assert_eq!(stage.count(), 998);
    stage.check_letters(&[0, 999]);
}

#[test]
fn every_second_row_may_be_bad() {
    let stage = Stage::new(1, TABLE);
    let bad: Vec<u64> = (0..64).filter(|id| id % 2 == 0).collect();
    stage.put(64, r#"{"id":7}"#, &bad);
    let (_, report) = stage.load(&stage.job(), &["--dlq", &stage.dead], 3);
    assert_eq!(stage.count(), 32);
    stage.check_letters(&bad);
    eprintln!("every second of 64 rows bad: {} loads more", report["extra_loads"]);
}

#[test]
fn every_row_may_be_bad() {
    let stage = Stage::new(1, TABLE);
    let bad: Vec<u64> = (0..40).collect();
    stage.put(40, r#"{"id":7}"#, &bad);
    stage.load(&stage.job(), &["--dlq", &stage.dead], 3);
    assert_eq!(stage.count(), 0);
    stage.check_letters(&bad);
    stage.load(&stage.job(), &["--on-error", "stop"], 4);
}

#[test]
fn bad_rows_of_two_tables_in_one_batch_leave_the_others() {
    let stage = Stage::new(1, TABLE);
    let (topic, table) = (stage.scene.topic("bad", 3), stage.scene.table("bad", TABLE));
    let put = |topic: &str, partition: i32, bad: u64| {
        let values: Vec<String> =
            (0..300).map(|id| if id == bad { r#"{"id":7}"#.into() } else { good(id) }).collect();
        let messages: Vec<Message<'_>> =
            values.iter().map(|v| Message { partition, ..Message::value(v) }).collect();
        produce::put(&stage.scene.bootstrap, topic, &messages).expect("produced");
    };
    put(&stage.topic, 0, 11);
    (0..3).for_each(|partition| put(&topic, partition, 290));
    let job = stage.scene.job(&[(&stage.topic, &stage.table), (&topic, &table)]);
    let (_, report) = stage.load(&job, &["--dlq", &stage.dead], 3);
    assert_eq!(stage.count(), 299);
    assert_eq!(stage.scene.starrocks.count(&table).expect("counted"), 897);
    assert_eq!(report["set_aside"], 4);
    assert_eq!(stage.letters().len(), 4);
}

#[test]
fn too_many_errors_stop_the_run_before_the_batch_is_loaded() {
    let stage = Stage::new(1, TABLE);
    stage.put(100, "not json", &[1, 2, 3]);
    let limited = ["--dlq", &stage.dead, "--max-errors", "2"];
    let (output, report) = stage.load(&stage.job(), &limited, 4);
    output.says(&["more than `--max-errors 2` allows", "not one json object"]);
    let reason = &report["reasons"][0];
    assert_eq!((&reason["count"], &reason["stage"]), (&3.into(), &"VALUE_CONVERTER".into()));
    assert_eq!((stage.count(), stage.letters().len()), (0, 0));
    stage.load(&stage.job(), &["--dlq", &stage.dead, "--max-errors", "3%"], 3);
    assert_eq!((stage.count(), stage.letters().len()), (97, 3));
}

#[test]
fn exactly_once_dead_letters_ride_with_the_offsets() {
    let stage = Stage::new(1, TABLE);
    stage.put(500, "not json", &[3, 400]);
    let args = ["--dlq", &stage.dead, "--dlq-delivery", "exactly-once"];
    stage.load(&stage.job(), &args, 3);
    assert_eq!(stage.count(), 498);
    stage.check_letters(&[3, 400]);
}

/// Two rows that one setting loads and another refuses, and one that nothing loads.
fn to_replay(stage: &Stage) {
    let values = [
        good(0),
        r#"{"id":1,"city":"Oslo","n":"many"}"#.into(),
        "not json".into(),
        good(3),
        r#"{"id":4,"city":"Lagos","n":"few"}"#.into(),
    ];
    let records: Vec<Put> = values.into_iter().map(|value| (Some("k".into()), value)).collect();
    stage.put_all(0, &records);
}

/// Sets aside in `dead`, mends the configuration, and loads again twice.
fn replayed(stage: &Stage, dead: &str) {
    to_replay(stage);
    let strict = stage.job().set("sink.properties.strict_mode", "true");
    let (_, report) = stage.load(&strict, &["--dlq", dead], 3);
    assert_eq!((stage.count(), report["set_aside"].as_u64()), (2, Some(3)));
    let job = strict.set("sink.properties.strict_mode", "false");
    let (_, report) = stage.load(&job, &["--replay", dead], 3);
    assert_eq!((report["loaded"].as_u64(), report["set_aside"].as_u64()), (Some(2), Some(1)));
    let rows = ["0|Oslo|0", "1|Oslo|NULL", "3|Oslo|3", "4|Lagos|NULL"];
    stage.scene.check_rows(&stage.table, &["id", "city", "n"], &rows);
    // Only what could not be loaded is there again.
    let (_, report) = stage.load(&job, &["--replay", dead], 3);
    assert_eq!((report["loaded"].as_u64(), report["read"].as_u64()), (Some(0), Some(1)));
    stage.scene.check_rows(&stage.table, &["id", "city", "n"], &rows);
    // And the topic itself is where it was.
    let (_, report) = stage.load(&job, &["--dlq", dead], 0);
    assert_eq!(report["read"], 0);
}

#[test]
fn dead_letters_of_a_topic_are_loaded_again_once() {
    let stage = Stage::new(1, TABLE);
    replayed(&stage, &stage.dead);
    let letters = stage.letters();
    // Three at first, and the one that still cannot be loaded after each replay.
    assert_eq!(letters.len(), 5);
    let last = &letters[4];
    assert_eq!((number(last, "offset"), last.value.as_deref()), (2, Some(&b"not json"[..])));
    let names: Vec<&String> = last.headers.iter().map(|(name, _)| name).collect();
    let connect = names.iter().filter(|name| **name == "__connect.errors.offset").count();
    assert_eq!(connect, 1, "context is not piled up: {names:?}");
}

#[test]
fn dead_letters_of_a_file_are_loaded_again_once() {
    let stage = Stage::new(1, TABLE);
    let file = stage.scene.dir.join("dead.ndjson").to_string_lossy().into_owned();
    replayed(&stage, &file);
    assert_eq!(fs::read_to_string(&file).expect("the file").lines().count(), 5);
}

/// The group counts lines of one file: by which name it is opened makes no difference, a new file under the
/// old name does, and a file that was cut is refused.
#[test]
fn lines_of_a_file_are_counted_for_that_file_alone() {
    let stage = Stage::new(1, TABLE);
    let bad = r#"{"id":7,"city":"Oslo","n":"secret"}"#;
    stage.put(3, bad, &[0, 2]);
    let path = |name: &str| stage.scene.dir.join(name).to_string_lossy().into_owned();
    let file = path("dead.ndjson");
    let strict = stage.job().set("sink.properties.strict_mode", "true");
    let (output, report) = stage.load(&strict, &["-v", "--dlq", &file, "--redact-values"], 3);
    // Nothing but the record itself holds the value that StarRocks quotes.
    for line in fs::read_to_string(&file).expect("the file").lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert!(!line["error"].to_string().contains("secret"), "{line}");
        assert_eq!(line["value"], bad);
    }
    let told = format!("{}{}{report}", output.stdout, output.stderr);
    assert!(told.contains("The field (name = n") && !told.contains("secret"), "{told}");
    let job = strict.set("sink.properties.strict_mode", "false");
    let replayed = |name: &str, loaded: u64| {
        let (output, report) = stage.load(&job, &["--replay", name], 0);
        assert_eq!(report["loaded"].as_u64(), Some(loaded), "{name}: {}", output.stderr);
        output
    };
    replayed(&file, 2).says(&["no line of", &file, "was replayed before"]);
    std::os::unix::fs::symlink("dead.ndjson", path("link.ndjson")).expect("a link");
    replayed(&path("link.ndjson"), 0);
    // Cut to its first line: what is left was loaded, and so it stays.
    let text = fs::read_to_string(&file).expect("the file");
    let first = text.lines().next().expect("a line");
    fs::write(&file, format!("{first}\n")).expect("cut");
    let output = job.load(&["--replay", &file]).expect(2);
    output.says(&[&file, "has 1 lines, but 2 of it were replayed before", "-o beginning"]);
    assert_eq!(stage.count(), 3);
    // A new file under the old name begins with the same record, and its last line has no end.
    fs::remove_file(&file).expect("removed");
    let strict =
        stage.job().set("name", job.get("name")).set("sink.properties.strict_mode", "true");
    stage.load(&strict, &["-o", "beginning", "--dlq", &file], 3);
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, text.trim_end()).expect("written");
    replayed(&file, 2);
}

/// A dry run takes letters for letters; a topic that was made anew has other records at the same places; a
/// record's own headers of Connect's names are not taken for those of its letter.
#[test]
fn letters_are_told_apart_by_what_they_hold() {
    let stage = Stage::new(1, TABLE);
    let at = |offset: &str| -> Vec<(String, Vec<u8>)> {
        [("topic", stage.topic.as_str()), ("partition", "0"), ("offset", offset)]
            .map(|(name, text)| (format!("__connect.errors.{name}"), text.into()))
            .to_vec()
    };
    let own = vec![("__connect.errors.topic".to_owned(), b"elsewhere".to_vec())];
    let letter =
        |value: &str, own: &[(String, Vec<u8>)]| (value.to_owned(), [own, &at("5")].concat());
    let letters = [
        letter(&good(1), &[]),
        letter(&good(1), &[]),
        letter(&good(2), &[]),
        letter("not json", &own),
    ];
    topics::create(&stage.scene.bootstrap, &stage.dead, 1, &[]).expect("created");
    let timestamp_ms = Some(an_hour_ago_ms());
    for (value, headers) in &letters {
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let message = Message { headers: &headers, timestamp_ms, ..Message::value(value) };
        produce::put(&stage.scene.bootstrap, &stage.dead, &[message]).expect("produced");
    }
    let counts = |report: &Value| {
        let of_table = report["tables"][0]["set_aside"].as_u64();
        let names = ["read", "loaded", "filtered", "repeated", "set_aside"];
        (names.map(|name| report[name].as_u64().expect("a number")), of_table)
    };
    let expect = ([4, 2, 1, 1, 1], Some(1));
    let job = stage.job();
    let (_, report) = stage.load(&job, &["-n", "--replay", &stage.dead], 3);
    assert_eq!(counts(&report), expect, "{report}");
    let (output, report) = stage.load(&job, &["--replay", &stage.dead], 3);
    assert_eq!(counts(&report), expect, "{report}");
    assert!(output.stdout.contains("repeated: 1 dead letter of records"), "{}", output.stdout);
    assert_eq!(stage.count(), 2);
    let again = stage.letters().pop().expect("the one that is bad");
    let topics = again.headers.iter().filter(|(name, _)| name == "__connect.errors.topic");
    let topics: Vec<_> = topics.map(|(_, value)| value.clone().expect("a value")).collect();
    assert_eq!(topics, [b"elsewhere".to_vec(), stage.topic.clone().into_bytes()]);
    // And a third time.
    stage.load(&job, &["--replay", &stage.dead], 3);
    let third = stage.letters().pop().expect("the one that is bad");
    assert_eq!((third.headers, third.value), (again.headers, again.value));
}

#[test]
fn a_record_that_was_set_aside_twice_is_loaded_again_once() {
    let stage = Stage::new(1, TABLE);
    to_replay(&stage);
    let strict = stage.job().set("sink.properties.strict_mode", "true");
    stage.load(&strict, &["--dlq", &stage.dead], 3);
    stage.load(&strict, &["-o", "beginning", "--dlq", &stage.dead], 3);
    assert_eq!(stage.letters().len(), 6);
    let before = stage.count();
    let job = strict.set("sink.properties.strict_mode", "false");
    let (_, report) = stage.load(&job, &["--replay", &stage.dead], 3);
    assert_eq!((report["loaded"].as_u64(), report["read"].as_u64()), (Some(2), Some(6)));
    assert_eq!(stage.count(), before + 2);
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let stage = Stage::new(1, TABLE);
    stage.put(300, "not json", &[5, 77]);
    let job = stage.job();
    let (output, report) = stage.load(&job, &["-n", "--dlq", &stage.dead], 3);
    assert_eq!(report["set_aside"], 2);
    assert_eq!((report["dry_run"].as_bool(), report["loaded"].as_u64()), (Some(true), Some(298)));
    assert!(output.stdout.contains("dry run: 300 records read"), "{}", output.stdout);
    stage.load(&job, &["-n"], 4);
    assert_eq!(stage.count(), 0);
    let group = format!("connect-{}", job.get("name"));
    let committed = topics::committed(&stage.scene.bootstrap, &group, &stage.topic, 1);
    assert_eq!(committed.expect("offsets"), [None]);
    // And then for real.
    stage.load(&job, &["--dlq", &stage.dead], 3);
    assert_eq!((stage.count(), stage.letters().len()), (298, 2));
}

/// Where the dead letters of a crash loop go, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    Topic,
    File,
    /// A topic, in one transaction with the offsets.
    ExactlyOnce,
}

/// Kill −9 in a loop while one record in a hundred is bad, at the converter or in StarRocks.
fn killed(letters: Letters) {
    let rows = scaled("STARSINK_E2E_BAD_KILL_ROWS", 20_000);
    let kills = scaled("STARSINK_E2E_BAD_KILLS", 6);
    let stage = Stage::new(1, TABLE);
    let bad: Vec<u64> = (0..rows).filter(|id| id % 100 == 7).collect();
    // Most of them are no JSON; a few go as far as StarRocks.
    let value = |id: u64| match id {
        _ if id % 5_000 == 7 => r#"{"id":7}"#.to_owned(),
        _ if id % 100 == 7 => "not json".to_owned(),
        _ => good(id),
    };
    let records: Vec<Put> = (0..rows).map(|id| (None, value(id))).collect();
    stage.put_all(0, &records);
    let job = stage
        .job()
        .set("bufferflush.intervalms", "1000")
        .set("consumer.override.session.timeout.ms", "6000");
    let file = stage.scene.dir.join("dead.ndjson");
    let shown = file.to_string_lossy().into_owned();
    let to = if letters == Letters::File { &shown } else { &stage.dead };
    let delivery = if letters == Letters::ExactlyOnce { "exactly-once" } else { "at-least-once" };
    let place = ["--dlq", to, "--dlq-delivery", delivery];
    let args = [&["tail", "--no-progress", "--flush-bytes", "64KiB"], &place[..]].concat();
    let mut at_work = 0;
    for kill in 0..kills {
        let before = stage.count();
        let run = job.start(&args);
        // A member that was killed keeps its place until its session ends.
        let deadline = Instant::now() + SOON;
        while stage.count() == before && before + (bad.len() as u64) < rows {
            assert!(Instant::now() < deadline, "no progress: {}", run.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(kill * 413 % 700));
        run.signal(nix::sys::signal::Signal::SIGKILL);
        drop(run);
        at_work += u64::from(stage.count() + (bad.len() as u64) < rows);
    }
    job.load(&place).expect_any(&[0, 3]);
    assert_eq!(stage.count(), rows - bad.len() as u64);
    let mut found: Vec<u64> = match letters {
        Letters::File => fs::read_to_string(&file)
            .expect("the file")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("whole lines"))
            .map(|line| line["offset"].as_u64().expect("an offset"))
            .collect(),
        Letters::Topic | Letters::ExactlyOnce => {
            stage.letters().iter().map(|letter| number(letter, "offset")).collect()
        }
    };
    found.sort_unstable();
    let all = found.len();
    found.dedup();
    assert_eq!(found, bad, "every bad record is a dead letter");
    let doubled = all - bad.len();
    eprintln!(
        "{letters:?}: {rows} records, {} of them bad, {kills} processes killed, {at_work} of them with \
         records left: {doubled} dead letters doubled",
        bad.len()
    );
    assert!(letters != Letters::ExactlyOnce || doubled == 0, "{doubled} dead letters doubled");
}

#[test]
fn kill_9_loses_no_dead_letter() {
    killed(Letters::Topic);
}

#[test]
fn kill_9_leaves_whole_lines_in_a_file_of_dead_letters_and_loses_none() {
    killed(Letters::File);
}

#[test]
fn kill_9_doubles_no_dead_letter_in_the_exactly_once_mode() {
    killed(Letters::ExactlyOnce);
}
