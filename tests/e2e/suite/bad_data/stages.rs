//! One bad record among many good ones: the others are in the table, it is one dead letter, and the
//! record at the letter's offset is the very one. Each test says what it took as a row of the table
//! in `docs/BAD_DATA.md`; `STARSINK_E2E_BAD_ROWS=1000000` is the full size.

use std::fmt::Write as _;
use std::process::Command;

use e2e::produce::{self, Message};
use e2e::topics;
use serde_json::json;

use super::{Stage, TABLE, an_hour_ago_ms, good, number};
use crate::scene::{SOON, scaled, skip};

const PRIMARY: &str =
    "(city VARCHAR(500) NOT NULL, id BIGINT NOT NULL, n INT) PRIMARY KEY (city, id)";

/// What a record of a test is made of.
#[derive(Debug, Clone, Default)]
struct Given {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    header: Option<(&'static str, Vec<u8>)>,
}

/// One way to be bad.
struct Case {
    /// As `docs/BAD_DATA.md` names it.
    name: &'static str,
    definition: &'static str,
    settings: Vec<(&'static str, &'static str)>,
    args: Vec<&'static str>,
    good: fn(u64) -> Given,
    bad: Given,
    /// Connect's name of the stage.
    stage: &'static str,
    /// What the dead letter says.
    words: &'static str,
    /// Loads that the search may take at most, beside the one that succeeds; `None`: what the promise
    /// for one record allows.
    most_loads: Option<u64>,
}

/// What all cases have in common with most of the others.
fn case(name: &'static str, bad: &str, words: &'static str) -> Case {
    Case {
        name,
        definition: TABLE,
        settings: vec![],
        args: vec![],
        good: |id| json_of(&good(id)),
        bad: json_of(bad),
        stage: "TASK_PUT",
        words,
        most_loads: None,
    }
}

fn json_of(value: &str) -> Given {
    Given { value: value.as_bytes().to_vec(), ..Given::default() }
}

/// Of our own stages none costs StarRocks a load.
fn of_stage(stage: &'static str, case: Case) -> Case {
    Case { stage, most_loads: Some(0), ..case }
}

impl Case {
    fn of_table(self, definition: &'static str) -> Case {
        Case { definition, ..self }
    }

    fn set(mut self, settings: &[(&'static str, &'static str)]) -> Case {
        self.settings.extend(settings);
        self
    }

    /// The error log names the row, so the second attempt goes without it.
    fn named(self) -> Case {
        Case { most_loads: Some(1), ..self }
    }

    #[track_caller]
    fn check(self) {
        self.check_on(|_| {});
    }

    /// `prepare` makes trouble before the load.
    #[track_caller]
    fn check_on(self, prepare: impl Fn(&Stage)) {
        let rows = scaled("STARSINK_E2E_BAD_ROWS", 5_000);
        let mut stage = Stage::new(1, self.definition);
        // A debug build between two others on a busy machine.
        stage.within = SOON * (1 + u32::try_from(rows / 50_000).expect("a number of rows"));
        let settings = [("max.message.bytes", "8000000")];
        stage.topic = topics::fresh_name("one_bad");
        for topic in [&stage.topic, &stage.dead] {
            topics::create(&stage.scene.bootstrap, topic, 1, &settings).expect("created");
        }
        let at = rows * 2 / 3;
        self.put(&stage, rows, at);
        prepare(&stage);
        let job = self.settings.iter().fold(stage.job(), |job, (key, value)| job.set(key, value));
        let args = [&["--dlq", stage.dead.as_str()], self.args.as_slice()].concat();
        let (output, report) = stage.load(&job, &args, 3);
        assert_eq!(stage.count(), rows - 1, "{}", output.stdout);
        self.check_letter(&stage, at);
        assert_eq!((&report["set_aside"], &report["reasons"][0]["count"]), (&json!(1), &json!(1)));
        assert!(output.stdout.contains(&format!("set aside: 1 record in topic `{}`", stage.dead)));
        let loads = report["extra_loads"].as_u64().expect("a number");
        let levels = u64::from(rows.next_power_of_two().ilog2());
        // One more where a log names rows in a form that is not recognised.
        let most = self.most_loads.unwrap_or(2 * levels + 1);
        assert!(loads <= most, "{loads} loads more than without it, at most {most}");
        // Nothing is left to do, and nothing is doubled.
        stage.load(&job, &args, 0);
        assert_eq!((stage.count(), stage.letters().len()), (rows - 1, 1));
        eprintln!("| {} | {rows} | {} | 1 | {loads} |", self.name, rows - 1);
    }

    /// The bad record stands at `at`, good ones before and behind it.
    fn put(&self, stage: &Stage, rows: u64, at: u64) {
        let all: Vec<Given> =
            (0..rows).map(|id| if id == at { self.bad.clone() } else { (self.good)(id) }).collect();
        let timestamp_ms = Some(an_hour_ago_ms());
        let headers: Vec<Vec<(&str, &[u8])>> = all
            .iter()
            .map(|given| given.header.iter().map(|(name, value)| (*name, &**value)).collect())
            .collect();
        let messages: Vec<Message<'_>> = all
            .iter()
            .zip(&headers)
            .map(|(given, headers)| Message {
                key: given.key.as_deref(),
                value: Some(&given.value),
                headers,
                timestamp_ms,
                ..Message::default()
            })
            .collect();
        produce::put(&stage.scene.bootstrap, &stage.topic, &messages).expect("produced");
    }

    /// The one letter is the record at its offset, for our own reader and for kcat's.
    fn check_letter(&self, stage: &Stage, at: u64) {
        let letters = stage.check_letters(&[at]);
        let letter = &letters[0];
        assert_eq!(letter.value.as_deref(), Some(self.bad.value.as_slice()));
        let mut expect = format!("{at}:").into_bytes();
        expect.extend(letter.key.as_deref().unwrap_or_default());
        expect.push(b':');
        expect.extend(&self.bad.value);
        assert_eq!(kcat(stage, number(letter, "offset")), expect);
        let header = |name: &str| letter.header(name).unwrap_or_default();
        assert_eq!(header("__connect.errors.stage"), self.stage);
        assert_eq!(header("__connect.errors.topic"), stage.topic);
        assert_eq!(header("__connect.errors.partition"), "0");
        let mut all = String::new();
        for (name, value) in &letter.headers {
            let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default());
            writeln!(all, "{name}: {value}").expect("text");
        }
        assert!(all.contains(self.words), "no `{}` in {all}", self.words);
    }
}

/// Offset, key and value of the record there, as kcat shows them.
fn kcat(stage: &Stage, offset: u64) -> Vec<u8> {
    let output = Command::new("kcat")
        .args(["-C", "-b", &stage.scene.bootstrap, "-t", &stage.topic, "-p", "0"])
        .args(["-o", &offset.to_string(), "-c", "1", "-e", "-q", "-f", "%o:%k:%s"])
        .output()
        .expect("tests/e2e/prerequisites installs kcat");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

// ---- our own stages ----

const CAST: &str = "org.apache.kafka.connect.transforms.Cast$Value";
const EXTRACT_KEY: &str = "org.apache.kafka.connect.transforms.ExtractField$Key";
const INSERT: &str = "org.apache.kafka.connect.transforms.InsertField$Value";
const TOPIC_OF_FIELD: &str = "io.confluent.connect.transforms.ExtractTopic$Value";
const TOPIC_OF_HEADER: &str = "io.confluent.connect.transforms.ExtractTopic$Header";
const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

#[test]
fn a_key_that_its_converter_refuses() {
    let keyed =
        |key: &str, value: String| Given { key: Some(key.as_bytes().to_vec()), ..json_of(&value) };
    let case = Case {
        good: |id| Given {
            key: Some(format!("{{\"id\":{id}}}").into_bytes()),
            ..json_of(&good(id))
        },
        bad: keyed("{\"id\":", good(7)),
        ..case("key converter", "", JSON)
    };
    of_stage("KEY_CONVERTER", case)
        .set(&[
            ("key.converter", JSON),
            ("key.converter.schemas.enable", "false"),
            ("transforms", "k"),
            ("transforms.k.type", EXTRACT_KEY),
            ("transforms.k.field", "id"),
        ])
        .check();
}

#[test]
fn a_value_that_is_no_json_object() {
    of_stage("VALUE_CONVERTER", case("value converter, values are copied", "not json", JSON))
        .check();
}

#[test]
fn a_value_that_its_converter_refuses() {
    of_stage("VALUE_CONVERTER", case("value converter, values are converted", "{\"id\":7", JSON))
        .set(&[
            ("transforms", "i"),
            ("transforms.i.type", INSERT),
            ("transforms.i.static.field", "city"),
            ("transforms.i.static.value", "Oslo"),
        ])
        .check();
}

#[test]
fn a_header_that_its_converter_refuses() {
    let case = Case {
        bad: Given { header: Some(("to", b"{".to_vec())), ..json_of(&good(7)) },
        ..case("header converter", "", JSON)
    };
    of_stage("HEADER_CONVERTER", case)
        .set(&[
            ("header.converter", JSON),
            ("header.converter.schemas.enable", "false"),
            ("transforms", "t"),
            ("transforms.t.type", TOPIC_OF_HEADER),
            ("transforms.t.field", "to"),
            ("transforms.t.skip.missing.or.null", "true"),
        ])
        .check();
}

#[test]
fn a_record_that_a_transform_refuses() {
    let bad = r#"{"id":"x","city":"Oslo"}"#;
    of_stage("TRANSFORMATION", case("transform", bad, CAST))
        .set(&[("transforms", "c"), ("transforms.c.type", CAST), ("transforms.c.spec", "id:int64")])
        .check();
}

#[test]
fn a_record_that_a_transform_sends_to_no_table() {
    let bad = r#"{"id":7,"city":"Oslo","n":7,"to":"no_such_table"}"#;
    of_stage("TASK_PUT", case("routing to a table", bad, "no_such_table"))
        .set(&[
            ("transforms", "t"),
            ("transforms.t.type", TOPIC_OF_FIELD),
            ("transforms.t.field", "to"),
            ("transforms.t.skip.missing.or.null", "true"),
        ])
        .check();
}

#[test]
fn a_value_that_does_not_fit_its_column() {
    let bad = r#"{"id":7,"city":"Oslo","n":99999999999}"#;
    of_stage("TASK_PUT", case("mapping to columns", bad, "99999999999"))
        .set(&[
            ("transforms", "i"),
            ("transforms.i.type", INSERT),
            ("transforms.i.static.field", "city"),
            ("transforms.i.static.value", "Oslo"),
        ])
        .check();
}

// ---- rows that StarRocks filters ----

#[test]
fn a_row_with_null_in_a_not_null_column() {
    case("NULL in a NOT NULL column", r#"{"id":7}"#, "NULL value in non-nullable column 'city'")
        .named()
        .check();
}

#[test]
fn a_row_whose_text_is_too_long() {
    let bad = r#"{"id":7,"city":"Llanfairpwllgwyngyll"}"#;
    case("text too long for its column", bad, "StarRocks rejects its row: String").named().check();
}

#[test]
fn a_row_that_strict_mode_refuses() {
    let bad = r#"{"id":7,"city":"Oslo","n":"many"}"#;
    case("`strict_mode`: no conversion", bad, "out of range")
        .set(&[("sink.properties.strict_mode", "true")])
        .named()
        .check();
}

#[test]
fn a_row_out_of_range_in_strict_mode() {
    let bad = r#"{"id":7,"city":"Oslo","n":99999999999}"#;
    case("`strict_mode`: number out of range", bad, "out of range")
        .set(&[("sink.properties.strict_mode", "true")])
        .named()
        .check();
}

#[test]
fn a_row_with_too_long_a_primary_key() {
    let bad = format!(r#"{{"id":7,"city":"{}","n":1}}"#, "x".repeat(200));
    case("primary key too long", &bad, "primary key size exceed the limit")
        .of_table(PRIMARY)
        .named()
        .check();
}

#[test]
fn a_row_with_an_operation_that_is_none() {
    let bad = r#"{"id":7,"city":"Oslo","n":1,"__op":7}"#;
    case("`__op` is neither 0 nor 1", bad, "`__op` is neither 0 nor 1").of_table(PRIMARY).check();
}

#[test]
fn a_row_with_null_as_its_operation() {
    let bad = r#"{"id":7,"city":"Oslo","n":1,"__op":null}"#;
    case("`__op` is null", bad, "`__op` is neither 0 nor 1").of_table(PRIMARY).check();
}

#[test]
fn a_row_with_a_value_for_a_bitmap() {
    let table = "(id BIGINT NOT NULL, city VARCHAR(10) NOT NULL, n INT, b BITMAP)";
    case("value for a BITMAP", r#"{"id":7,"city":"Oslo","b":1}"#, "column needs an expression")
        .of_table(table)
        .named()
        .check();
}

// ---- CSV ----

/// Lines as the producer wrote them.
fn csv(name: &'static str, bad: &[u8], words: &'static str) -> Case {
    Case {
        good: |id| Given { value: format!("{id},Oslo,{id}").into_bytes(), ..Given::default() },
        bad: Given { value: bad.to_vec(), ..Given::default() },
        ..case(name, "", words)
    }
    .set(&[
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("sink.properties.format", "csv"),
        ("sink.properties.column_separator", ","),
        ("sink.properties.row_delimiter", "\\x0a"),
    ])
}

#[test]
fn a_line_with_too_few_fields() {
    csv("CSV: number of fields", b"7,Oslo", "doesn't match source value column count: 2")
        .named()
        .check();
}

#[test]
fn a_line_that_is_no_utf_8() {
    csv("CSV: no UTF-8", b"7,Osl\xff,7", "Invalid UTF-8 row").check();
}

#[test]
fn a_line_with_null_in_a_not_null_column() {
    csv("CSV: NULL in a NOT NULL column", b"7,\\N,7", "NULL value in non-nullable column 'city'")
        .named()
        .check();
}

#[test]
fn a_line_whose_text_is_too_long() {
    csv("CSV: text too long", b"7,Llanfairpwllgwyngyll,7", "is too long").named().check();
}

// ---- what fails a load as a whole ----

#[test]
fn a_document_that_starrocks_cannot_parse() {
    // Deeper than the stand-in's parser goes.
    let deep = format!(r#"{{"id":7,"city":"Oslo","x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    case("JSON that StarRocks cannot parse", &deep, "arse json").check();
}

#[test]
fn a_row_that_no_error_log_names() {
    let case = case("NULL in a NOT NULL column, no error log", r#"{"id":7}"#, "filtered rows");
    if std::env::var(e2e::starrocks::FE).is_ok() {
        skip(case.name, "a real StarRocks serves its error log");
        return;
    }
    case.check_on(|stage| {
        let gone = json!({"op": "other", "at": "be", "times": 0, "do": "answer", "status": 404});
        stage.scene.starrocks.fault(&gone).expect("a fault is set");
    });
}

#[test]
fn a_record_larger_than_a_load_may_be() {
    let bad = format!(r#"{{"id":7,"city":"Oslo","x":"{}"}}"#, "x".repeat(1_500_000));
    let case = Case {
        // Other batches are far from the limit.
        args: vec!["--flush-bytes", "512KiB"],
        ..case("record larger than a load may be", &bad, "exceed limit")
    };
    if std::env::var(e2e::starrocks::FE).is_ok() {
        skip(case.name, "it changes a limit of the cluster");
        return;
    }
    case.check_on(|stage| {
        let small = "ADMIN SET FRONTEND CONFIG (\"streaming_load_max_mb\" = \"1\")";
        stage.scene.starrocks.execute(small).expect("the limit is set");
    });
}
