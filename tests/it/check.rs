//! The fault matrix of `check`: a set-up in which everything is right is broken in one place, and the
//! right line must say so, with the right hint and exit code, and no other line may fail.
//!
//! Each case also says whether the Java connector's own validation, when the connector is created,
//! would have found it. The totals stand in `docs/CHECK.md`.

mod kafka;
mod peers;
mod rows;
mod settings;
mod stage;
mod starrocks;

use std::sync::Mutex;
use std::thread;

use stage::{Line, Report, Stage};

/// Whether creating the Java connector would have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Java {
    Finds,
    Misses,
}

/// One broken set-up.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) broken: fn() -> Stage,
    /// The line that must say so, as `--only` names it.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// Part of its reason or causes, in lower case.
    pub(crate) said: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) java: Java,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Warns,
    /// With this exit code.
    Fails(u64),
}

fn all() -> Vec<&'static Case> {
    [settings::CASES, kafka::CASES, starrocks::CASES, rows::CASES].into_iter().flatten().collect()
}

/// Runs one case; what was wrong about the report.
fn run(case: &Case) -> Result<(), String> {
    let report = (case.broken)().check();
    let word = if case.verdict == Verdict::Warns { "warn" } else { "fail" };
    let (hits, others): (Vec<&Line>, Vec<&Line>) = report.lines.iter().partition(|line| {
        line.check == case.check
            && line.verdict == word
            && line.said.contains(case.said)
            && line.hints.contains(case.hint)
    });
    let told = |what: &str| Err(format!("{}: {what}:\n{}", case.name, shown(&report)));
    if hits.len() != 1 {
        return told(&format!("{} lines say `{}`, hint `{}`", hits.len(), case.said, case.hint));
    }
    if others.iter().any(|line| line.verdict == "fail") {
        return told("another line fails");
    }
    let expected = match case.verdict {
        Verdict::Warns => 0,
        Verdict::Fails(code) => code,
    };
    if u64::try_from(report.exit_code) != Ok(expected) {
        return told(&format!("the exit code is {}, not {expected}", report.exit_code));
    }
    if case.verdict != Verdict::Warns && hits[0].exit_code != Some(expected) {
        return told("the line has another exit code than the program");
    }
    if !report.stderr.is_empty() {
        return told(&format!("something is said besides: {}", report.stderr));
    }
    Ok(())
}

fn shown(report: &Report) -> String {
    let line = |line: &Line| {
        let (said, hints) = (line.said.replace('\n', " | "), line.hints.replace('\n', " | "));
        format!("  {} {} {}: {said} / {hints}\n", line.verdict, line.check, line.subject)
    };
    report.lines.iter().map(line).collect()
}

#[test]
fn every_broken_set_up_is_found_by_its_line_and_by_no_other() {
    let cases = all();
    let queue = Mutex::new(cases.iter());
    let wrong = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().expect("no case panics").next() } {
                    if let Err(what) = run(case) {
                        wrong.lock().expect("no case panics").push(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no case panics");
    let (all, count) = (cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{count} of {all} cases:\n{}", wrong.join("\n"));
}

#[test]
fn the_totals_of_the_matrix_are_written_down() {
    let cases = all();
    let found = cases.iter().filter(|case| case.java == Java::Finds).count();
    let page = include_str!("../../docs/CHECK.md");
    let said = format!("{} broken set-ups, {found} of them", cases.len());
    assert!(page.contains(&said), "docs/CHECK.md must say: {said}");
    assert!(cases.len() >= 60, "{} cases", cases.len());
}

#[test]
fn names_of_cases_are_unique() {
    let mut names: Vec<&str> = all().iter().map(|case| case.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_healthy_set_up_is_all_right_and_says_what_a_load_would_do() {
    let report = Stage::new().check();
    let bad: Vec<&Line> = report
        .lines
        .iter()
        .filter(|line| line.verdict == "fail" || line.verdict == "warn")
        .collect();
    assert!(bad.is_empty(), "{}", shown(&report));
    assert_eq!((report.exit_code, &*report.stderr), (0, ""));
    assert_eq!(report.summary["offsets_to_read"], 30);
    assert_eq!(report.summary["topics"][0], "orders");
    assert_eq!(report.summary["tables"][0], "shop.orders");
}

/// Thirty records, each with another text that is too long.
fn all_too_long() -> Stage {
    let mut stage = Stage::with(standin::Standin::builder(), "{\"id\":1}");
    stage.arg(&["--sample", "300"]);
    for number in 0..30 {
        let city = format!("oslo-{number}-{}", "x".repeat(20 + number));
        stage.put("orders", &format!(r#"{{"id":1,"city":"{city}"}}"#), 1);
    }
    stage
}

#[test]
fn a_column_that_takes_no_value_of_many_has_one_line_with_their_number() {
    let report = all_too_long().check();
    let hits: Vec<&Line> =
        report.lines.iter().filter(|line| line.said.contains("`city varchar(20)`")).collect();
    assert_eq!(hits.len(), 1, "{}", shown(&report));
    assert!(hits[0].said.starts_with("30 of 60 records do not fit"), "{}", hits[0].said);
    assert!(hits[0].said.ends_with("and 28 reasons more"), "{}", hits[0].said);
}

#[test]
fn lines_of_csv_are_not_said_to_fit() {
    let mut stage = Stage::with(standin::Standin::builder(), "abc,300");
    stage
        .set("sink.properties.format", "csv")
        .set("sink.properties.column_separator", ",")
        .set("value.converter", "org.apache.kafka.connect.storage.StringConverter")
        .unset("value.converter.schemas.enable");
    let report = stage.check();
    let told: Vec<&Line> = report.lines.iter().filter(|line| line.check == "columns").collect();
    assert!(
        told.iter().any(|line| line.said.contains("csv, which starrocks splits")),
        "{}",
        shown(&report)
    );
    assert!(told.iter().all(|line| line.verdict == "skip"), "{}", shown(&report));
}

#[test]
fn no_secret_is_among_the_keys_that_are_shown() {
    let mut stage = Stage::new();
    stage
        .set("my.passwd", "s77-a")
        .set("my.api.key", "s77-b")
        .set("my.setting", "s77-c")
        .set("key.converter.schema.registry.url", "http://u:p/s77-d@h")
        .set("value.converter.schema.registry.url", "http://h?token=s77-e")
        .set("consumer.override.security.protocol", "PLAINTEXT")
        .set("security.protocol", "SSL")
        .arg(&["--flush-interval", "2s", "--loads", "3", "-o", "beginning"]);
    let report = stage.check();
    assert!(!report.stdout.contains("s77"), "{}", report.stdout);
    for shown in [
        "my.passwd = (hidden)",
        "my.setting = (not shown: the key is unknown)",
        "http://h?(hidden)",
        "security.protocol = SSL (",
        "; not used, `consumer.override.security.protocol` stands for all of the consumer's",
        "sink.maxretries = 6 in `load`",
        "--flush-interval = 2000 ms (flag)",
        "--loads = 3 (flag)",
        "--memory = 96.0 MiB (default)",
        "-o = beginning (flag)",
    ] {
        assert!(report.stdout.contains(shown), "{shown}: {}", report.stdout);
    }
    assert!(!report.stdout.contains("bufferflush.intervalms = 1000"), "{}", report.stdout);
    assert!(!report.stdout.contains("security.protocol = PLAINTEXT (default"), "{}", report.stdout);
}

#[test]
fn what_only_sql_tells_is_skipped_aloud_without_a_query_port() {
    let mut stage = Stage::new();
    stage.query_port(peers::nobody().port());
    let report = stage.check();
    for subject in ["list of BEs", "clock", "labels", "transactions"] {
        let line = report.lines.iter().find(|line| line.subject == subject);
        assert_eq!(line.map(|line| &*line.verdict), Some("skip"), "{subject}: {}", shown(&report));
    }
}

#[test]
fn a_release_before_sql_over_http_is_told_by_the_query_port() {
    let old = standin::Standin::builder().version(standin::Version::V2_5);
    let report = Stage::with(old, "{\"id\":1}").check();
    let line = report.lines.iter().find(|line| line.subject.starts_with("version 2.5."));
    let line = line.unwrap_or_else(|| panic!("{}", shown(&report)));
    assert!(line.said.contains("before july 2025"), "{}", line.said);
}

#[test]
fn redacted_values_stand_nowhere() {
    let mut stage = all_too_long();
    stage.put("orders", "oslo-plain", 1);
    stage.put("orders", r#"{"id":"oslo-text","amount":1234567890123.45,"at":"oslo-time"}"#, 1);
    assert!(stage.check().stdout.contains("oslo-"));
    let report = stage.arg(&["--redact-values"]).check();
    assert!(report.lines.iter().any(|line| line.said.contains("do not fit `city")));
    for value in ["oslo-", "1234567890123"] {
        assert!(!report.stdout.contains(value), "{value}: {}", report.stdout);
    }
}

#[test]
fn a_check_changes_nothing_unless_it_may_write() {
    let mut stage = Stage::new();
    let before = stage.starrocks.labels("shop").len();
    stage.check();
    assert_eq!(stage.starrocks.labels("shop").len(), before);
    let changing: Vec<String> = stage
        .starrocks
        .journal()
        .iter()
        .filter(|entry| entry.target.contains("transaction/begin"))
        .map(|entry| entry.target.clone())
        .collect();
    assert!(changing.is_empty(), "{changing:?}");
    let report = stage.arg(&["--write"]).check();
    assert_eq!(report.exit_code, 0, "{}", shown(&report));
    let labels = stage.starrocks.labels("shop");
    assert_eq!(labels.len(), before + 1, "one transaction, begun and rolled back");
    assert_eq!(stage.starrocks.count("shop", "orders"), 0);
}

#[test]
fn a_warning_fails_a_strict_check_alone() {
    let mut stage = Stage::new();
    stage.readable_by_all();
    assert_eq!(stage.check().exit_code, 0);
    assert_eq!(stage.arg(&["--strict"]).check().exit_code, 2);
}

#[test]
fn what_was_not_asked_for_is_neither_tried_nor_shown() {
    let mut stage = Stage::new();
    stage.set("starrocks.http.url", &peers::nobody().to_string());
    let report = stage.arg(&["--only", "kafka,topics"]).check();
    assert_eq!(report.exit_code, 0, "{}", shown(&report));
    let others = report.lines.iter().filter(|line| !["kafka", "topics"].contains(&&*line.check));
    assert_eq!(others.count(), 0, "{}", shown(&report));
    // What it rests on shows when it fails.
    let mut stage = Stage::new();
    stage.set("starrocks.http.url", &peers::nobody().to_string());
    let report = stage.arg(&["--only", "tables"]).check();
    assert_eq!(report.exit_code, 5, "{}", shown(&report));
}
