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
