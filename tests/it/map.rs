//! `starsink map` through the binary: what it prints, byte for byte, and how it ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use starsink::config::{self, Environment, Overrides};

use crate::cli::check_generated;

/// Runs the binary in the project's root, without the environment of whoever runs the tests.
fn run(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_starsink"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .arg("map")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // A run that reads no input may have closed it.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// What a run printed: the arguments, stdout, then stderr, then the exit code.
fn transcript(arguments: &[&str], stdin: &str) -> String {
    let output = run(arguments, stdin);
    let shown = |name: &str, bytes: &[u8]| match String::from_utf8_lossy(bytes) {
        text if text.is_empty() => String::new(),
        text => format!("--- {name}\n{text}"),
    };
    format!(
        "$ starsink map {}\n{}{}--- exit {}\n",
        arguments.join(" "),
        shown("stdout", &output.stdout),
        shown("stderr", &output.stderr),
        output.status.code().expect("it was not killed")
    )
}

#[track_caller]
fn check(golden: &str, arguments: &[&str], stdin: &str) {
    check_generated(&format!("tests/golden/map/{golden}.txt"), &transcript(arguments, stdin));
}

const JOB: &str = "tests/fixtures/routine_load/orders.sql";

#[test]
fn what_is_known_is_listed() {
    check("list_transforms", &["--list", "transforms"], "");
    let converters = transcript(&["--list", "converters"], "");
    for (class, alias, _) in starsink::convert::CONVERTERS {
        let listed =
            converters.lines().any(|line| line.starts_with(class) && line.ends_with(alias));
        assert!(listed, "{class} is not in {converters}");
    }
    check("list_headers", &["--list", "headers"], "");
    let keys = transcript(&["--list", "keys", "--output", "json"], "");
    let json = keys.lines().find(|line| line.starts_with('[')).expect("a document");
    let keys: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    let keys = keys.as_array().expect("an array");
    assert_eq!(keys.len(), config::keys::KEYS.len());
    assert!(keys.iter().all(|key| key["doc"].is_string() && key["status"].is_string()));
}

#[test]
fn a_routine_load_job_becomes_a_configuration() {
    check("routine_load", &["--from-routine-load", JOB], "");
    let flags =
        ["--from-routine-load", "-", "--fe", "fe1:8030", "-u", "loader", "--output", "json"];
    let statement = std::fs::read_to_string(JOB).expect("the fixture is there");
    check("routine_load_json", &flags, &statement);
    check("routine_load_broken", &["--from-routine-load", "-"], "CREATE ROUTINE LOAD j\nINTO t");
    check("routine_load_absent", &["--from-routine-load", "no/such.sql"], "");
}

#[test]
fn the_configuration_of_a_routine_load_job_is_accepted_by_load() {
    let output = run(&["--from-routine-load", JOB, "--fe", "fe1:8030", "-u", "loader"], "");
    let read_file = |path: &Path| match path.to_str() {
        Some("sink.properties") => Ok(output.stdout.clone()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let vars = BTreeMap::new();
    let environment = Environment { vars: &vars, read_file: &read_file, is_exposed: &|_| false };
    let password = config::Password::Text {
        secret: starsink::secret::Secret::new("x"),
        origin: config::Origin::Flag("--password-file"),
    };
    let overrides = Overrides { password: Some(password), ..Overrides::default() };
    let (job, _) = config::load(&["sink.properties".to_owned()], &overrides, &environment)
        .expect("the configuration is legal");
    assert_eq!(job.source.group, "connect-orders_job");
    assert_eq!(job.target.database, "shop");
    assert_eq!(job.routes.map, [("orders".to_owned(), "orders_raw".to_owned())]);
    let header = |name: &str| {
        let found = job.target.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(header("columns"), Some("id, city, at, day=date(at)"));
    assert_eq!(header("jsonpaths"), Some(r#"["$.id","$.city","$.at"]"#));
}

#[test]
fn one_thing_is_asked_at_a_time() {
    let output = run(&["--list", "keys", "--ddl"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"));
}

const ORDERS: &str = "tests/fixtures/map/orders.properties";
const CITIES: &str = "tests/fixtures/map/flat.properties";

#[test]
fn records_from_a_file_are_mapped_without_kafka_and_starrocks() {
    let cities = ["--offline", "--record", "tests/fixtures/map/cities.ndjson"];
    let orders = ["--offline", "--record", "tests/fixtures/map/orders.ndjson"];
    check("offline", &[&cities[..], &[CITIES]].concat(), "");
    check("offline_debezium", &[&orders[..], &[ORDERS]].concat(), "");
    check("offline_steps", &[&orders[..], &["-v", ORDERS]].concat(), "");
    check("offline_json", &[&cities[..], &["--output", "json", CITIES]].concat(), "");
    check("offline_redacted", &[&orders[..], &["-v", "--redact-values", ORDERS]].concat(), "");
    check("offline_ddl", &[&cities[..], &["--ddl", CITIES]].concat(), "");
    check("offline_ddl_debezium", &[&orders[..], &["--ddl", ORDERS]].concat(), "");
    check("offline_properties", &[&orders[..], &["--properties", ORDERS]].concat(), "");
}

#[test]
fn a_mapping_test_passes_or_shows_what_differs() {
    let rows = "tests/fixtures/map/orders.rows.ndjson";
    let record = ["--offline", "--record", "tests/fixtures/map/orders.ndjson", "--expect"];
    check("expect_met", &[&record[..], &[rows, ORDERS]].concat(), "");
    let cities = ["--offline", "--record", "tests/fixtures/map/cities.ndjson", "--expect"];
    let other = "tests/fixtures/map/cities.other.ndjson";
    check("expect_missed", &[&cities[..], &[other, CITIES]].concat(), "");
    check("expect_absent", &[&cities[..], &["no/such.ndjson", CITIES]].concat(), "");
}

/// A member that no row will hold, which a load leaves out from the second record of a schema on.
#[test]
fn each_step_shows_the_whole_record() {
    let schema = r#"{"type":"struct","optional":false,"name":"shop.public.orders.Envelope","fields":[
        {"field":"before","type":"struct","optional":true,"fields":[{"field":"id","type":"int32","optional":false}]},
        {"field":"after","type":"struct","optional":true,"fields":[{"field":"id","type":"int32","optional":false}]},
        {"field":"source","type":"struct","optional":false,"fields":[{"field":"lsn","type":"int64","optional":false}]},
        {"field":"op","type":"string","optional":false}]}"#;
    let records: Vec<String> = (1..=3)
        .map(|id| {
            let payload = format!(
                r#"{{"before":null,"after":{{"id":{id}}},"source":{{"lsn":{id}00}},"op":"c"}}"#
            );
            format!(r#"{{"schema":{},"payload":{payload}}}"#, schema.replace(['\n', ' '], ""))
        })
        .collect();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (file, config) = (dir.join("whole.ndjson"), dir.join("whole.properties"));
    std::fs::write(&file, records.join("\n")).expect("it is written");
    let orders = std::fs::read_to_string(ORDERS).expect("a fixture");
    let with_schemas = orders.replace("schemas.enable=false", "schemas.enable=true");
    std::fs::write(&config, with_schemas).expect("it is written");
    let (file, config) = (file.to_str().expect("text"), config.to_str().expect("text"));
    let output = run(&["--offline", "--record", file, "-v", config], "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    for id in 1..=3 {
        let converted = format!(r#""after":{{"id":{id}}},"source":{{"lsn":{id}00}}"#);
        assert!(stdout.contains(&converted), "{stdout}");
    }
    assert_eq!(output.status.code(), Some(0), "{stdout}");
}

#[test]
fn what_offline_needs_is_said() {
    check("offline_alone", &["--offline", "--ddl", CITIES], "");
    let no_topic =
        ["--offline", "--record", "tests/fixtures/map/cities.ndjson", "-t", "a,b", CITIES];
    check("offline_no_topic", &no_topic, "");
    check("expect_alone", &["--expect", "x", CITIES], "");
}

#[test]
fn the_ddl_is_taken_by_starrocks() {
    let standin = standin::Standin::builder().start().expect("it starts");
    standin.execute("CREATE DATABASE shop").expect("a database");
    for (records, config) in [("cities", CITIES), ("orders", ORDERS)] {
        let records = format!("tests/fixtures/map/{records}.ndjson");
        let output = run(&["--offline", "--record", &records, "--ddl", config], "");
        let statements = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(statements.contains("CREATE TABLE"), "{statements}");
        standin.execute(&statements).unwrap_or_else(|error| panic!("{error}: {statements}"));
    }
    assert_eq!(standin.rows("shop", "orders").len(), 0);
}

/// The stand-in with a table, and flags that lead to it.
fn with_table(columns: &str) -> (standin::Standin, Vec<String>) {
    let standin = standin::Standin::builder().start().expect("it starts");
    let statement = format!("CREATE DATABASE shop; CREATE TABLE shop.cities {columns}");
    standin.execute(&statement).expect("a table");
    let fe = standin.fe().to_string();
    (standin, ["--fe", &fe, "-u", "root", "-b", "127.0.0.1:1"].map(str::to_owned).to_vec())
}

#[test]
fn columns_that_get_nothing_or_the_wrong_thing_are_told() {
    let definition = "(id INT NOT NULL, city VARCHAR(6), made DATETIME DEFAULT CURRENT_TIMESTAMP, \
                      must INT NOT NULL, Tags ARRAY<STRING>, at DATE) DUPLICATE KEY(id)";
    let (_standin, flags) = with_table(definition);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let record = ["--record", "tests/fixtures/map/cities.ndjson", "--output", "json"];
    let empty_password = "tests/fixtures/map/no.password";
    let more = ["--password-file", empty_password, CITIES];
    let output = run(&[&record[..], &flags, &more].concat(), "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let document: serde_json::Value = serde_json::from_str(stdout.trim())
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let columns = document["topics"][0]["tables"][0]["columns"].as_array().expect("columns");
    let told: Vec<String> = columns
        .iter()
        .map(|column| {
            let text = |name: &str| column[name].as_str().unwrap_or("–").to_owned();
            format!(
                "{} ← {}: {} {}",
                text("column"),
                text("source"),
                text("verdict"),
                text("reason")
            )
        })
        .collect();
    let expect = [
        "id ← id: fail 1 of 3: the number is out of its range: 12345678901234567890",
        "city ← city: fail 2 of 3: the text has 8 bytes: New York",
        "made ← –: warn no field feeds it: NULL; its default `CURRENT_TIMESTAMP` is used only if \
         `sink.properties.columns` leaves it out",
        "must ← –: fail no field feeds it, and it takes no NULL",
        "Tags ← tags: fail field `tags` differs in upper and lower case, so StarRocks reads NULL",
        "at ← at: ok ",
    ];
    assert_eq!(told, expect);
}

/// What a run said on stderr, and its exit code.
fn said(output: &Output) -> (String, Option<i32>) {
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

fn scratch(name: &str, text: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("it is written");
    path.to_str().expect("text").to_owned()
}

#[test]
fn redacted_differences_name_places_and_members_alone() {
    let other = "tests/fixtures/map/cities.other.ndjson";
    let flags = ["--offline", "--record", "tests/fixtures/map/cities.ndjson", "--expect", other];
    for format in ["human", "json"] {
        let open = run(&[&flags[..], &["--output", format, CITIES]].concat(), "");
        let open = String::from_utf8_lossy(&open.stdout).into_owned();
        assert!(
            open.contains("Peking") && open.contains("北京") && open.contains("cities[0]@1"),
            "{open}"
        );
        let redacted = ["--output", format, "--redact-values", CITIES];
        let output = run(&[&flags[..], &redacted].concat(), "");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            !stdout.contains("Peking")
                && !stdout.contains("北京")
                && stdout.contains("cities[0]@1"),
            "{stdout}"
        );
        assert_eq!(output.status.code(), Some(4));
    }
}

#[test]
fn differences_are_one_document_in_json() {
    let record = ["--offline", "--output", "json", "--record", "tests/fixtures/map/cities.ndjson"];
    let document = |expect: &str| -> serde_json::Value {
        let output = run(&[&record[..], &["--expect", expect, CITIES]].concat(), "");
        serde_json::from_slice(&output.stdout).expect("one document")
    };
    let missed = document("tests/fixtures/map/cities.other.ndjson");
    assert_eq!(missed["agrees"], false);
    let first = &missed["differences"][0];
    assert_eq!(first["line"], 2);
    assert_eq!(first["members"], serde_json::json!(["city"]));
    assert!(first["expected"].is_object() && first["made"].is_object());
}

/// A name out of a record is shown and never obeyed.
#[test]
fn a_statement_holds_no_name_that_is_none() {
    let payload = serde_json::json!({"a\u{1b}b": 1, "": 2, "c": 3}).to_string();
    let record = |topic: &str| {
        let record = serde_json::json!(
            {"topic": topic, "partition": 0, "offset": 0, "payload": payload}
        );
        format!("{record}\n")
    };
    let records = record("x\nDROP TABLE shop.orders; -- ") + &record("cities");
    let file = scratch("names.ndjson", records.as_bytes());
    let output = run(&["--offline", "--record", &file, "--ddl", CITIES], "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("(\n  `c` BIGINT NULL\n)"), "{stdout}");
    assert!(stdout.contains("-- left out: member \"a␛b\""), "{stdout}");
    assert!(stdout.contains("no table can be named so"), "{stdout}");
    let plain = run(&["--offline", "--record", &file, CITIES], "");
    for stdout in [stdout, String::from_utf8_lossy(&plain.stdout)] {
        assert!(!stdout.contains('\u{1b}'), "{stdout}");
        assert!(stdout.contains("x␊DROP"), "{stdout}");
        assert!(!stdout.lines().any(|line| line.trim_start().starts_with("DROP")), "{stdout}");
    }
}

/// An FE that takes connections and never answers.
#[test]
fn a_silent_starrocks_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let fe = listener.local_addr().expect("it has one").to_string();
    let began = std::time::Instant::now();
    let record = ["--record", "tests/fixtures/map/cities.ndjson", "--fe", &fe, "-u", "root"];
    let password = "tests/fixtures/map/no.password";
    let more = ["-b", "127.0.0.1:1", "--password-file", password, CITIES];
    let output = run(&[&record[..], &more].concat(), "");
    let (stderr, code) = said(&output);
    assert_eq!(code, Some(5), "{stderr}");
    assert!(stderr.contains("cannot read the columns of `shop.cities`"), "{stderr}");
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn ten_thousand_columns_and_many_steps_take_no_time_to_speak_of() {
    let members: Vec<String> = (0..10_000).map(|at| format!(r#""field_{at}":{at}"#)).collect();
    let row = format!("{{{}}}", members.join(","));
    let file = scratch("wide.ndjson", format!("{row}\n{row}\n").as_bytes());
    let many: String = (0..5_000).map(|at| format!("{{\"id\":{at}}}\n")).collect();
    let many = scratch("many.ndjson", many.as_bytes());
    let columns: Vec<String> = (5_000..15_000).map(|at| format!("FIELD_{at} INT")).collect();
    let (_standin, flags) =
        with_table(&format!("(id INT, {}) DUPLICATE KEY(id)", columns.join(", ")));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let password = ["--password-file", "tests/fixtures/map/no.password"];
    for arguments in [
        vec!["--offline", "--record", &file],
        vec!["--offline", "--ddl", "--record", &file],
        vec!["--offline", "-v", "--record", &many],
        [&["--record", &file][..], &flags, &password].concat(),
    ] {
        let began = std::time::Instant::now();
        let output = run(&[&arguments[..], &[CITIES]].concat(), "");
        let (stderr, code) = said(&output);
        assert!(matches!(code, Some(0 | 4)), "{stderr}");
        // Each with each would take minutes; a busy machine takes some seconds for one by one.
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(30), "{arguments:?}: {took:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let to = |stdout: Stdio, arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_starsink"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .output()
            .expect("it runs")
    };
    let check = ["check", "--only", "config", "tests/fixtures/map/flat.properties"];
    let check_json = [&check[..], &["--output", "json"]].concat();
    let cities = "tests/fixtures/map/cities.ndjson";
    let ddl = ["map", "--offline", "--record", cities, "--ddl", CITIES];
    for arguments in [&check[..], &check_json, &ddl, &["map", "--list", "keys"], &["man"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let (stderr, code) = said(&to(full.into(), arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("cannot write to stdout"), "{arguments:?}: {stderr}");
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let (stderr, code) = said(&to(writer.into(), &["map", "--list", "keys"]));
    assert_eq!((stderr.as_str(), code), ("", Some(0)));
}

/// A terminal of 80 columns, by `script`, which util-linux brings.
#[test]
fn names_in_a_list_are_whole_in_a_narrow_terminal() {
    let command =
        format!("stty rows 24 cols 80; {} map --list keys", env!("CARGO_BIN_EXE_starsink"));
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("`script` runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    for key in config::keys::KEYS {
        assert!(stdout.lines().any(|line| line.trim_end() == key.name), "{}: {stdout}", key.name);
    }
    assert!(stdout.lines().all(|line| line.trim_end().chars().count() <= 80), "{stdout}");
}
