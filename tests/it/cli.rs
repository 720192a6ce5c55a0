//! The command line: what parses to what, what is refused in which words, and the generated files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use starsink::cli::{self, Cli, Command, Property};
use starsink::config::Password;
use starsink::config::job::{DeliveryChoice, Extent, Start, Until};
use starsink::secret::Secret;

/// Compares a generated text with the committed file; `UPDATE=1` writes it instead.
#[track_caller]
pub(crate) fn check_generated(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().expect("the file is in a directory"))
            .and_then(|()| std::fs::write(&file, text))
            .expect("the file can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "{path} is not current: run the tests with UPDATE=1");
}

#[test]
fn the_version_said_aloud_names_librdkafka_and_what_it_can_do() {
    let say = |arguments: &[&str]| {
        let mut command = process::Command::new(env!("CARGO_BIN_EXE_starsink"));
        let output = command.args(arguments).output().expect("starsink runs");
        assert!(output.status.success() && output.stderr.is_empty());
        String::from_utf8(output.stdout).expect("text")
    };
    let plain = format!("starsink {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(say(&["-V"]), plain);
    for aloud in [&["-V", "-v"][..], &["tail", "-vV"], &["--version", "--verbose"]] {
        let said = say(aloud);
        let of_library = said.strip_prefix(&plain).expect("the version comes first");
        assert!(
            of_library.starts_with("librdkafka 2.") && of_library.contains("sasl_scram"),
            "{said}"
        );
    }
}

/// What clap answers to these arguments, at a fixed width.
fn answer(arguments: &[&str]) -> String {
    let command = Cli::command().term_width(100);
    let arguments = ["starsink"].iter().chain(arguments);
    command.try_get_matches_from(arguments).expect_err("no run is asked for").to_string()
}

#[test]
fn help_reads_as_agreed() {
    check_generated("tests/golden/help/starsink.txt", &answer(&["-h"]));
    check_generated("tests/golden/help/load.txt", &answer(&["load", "-h"]));
    check_generated("tests/golden/help/tail.txt", &answer(&["tail", "-h"]));
    check_generated("tests/golden/help/check.txt", &answer(&["check", "-h"]));
    check_generated("tests/golden/help/map.txt", &answer(&["map", "-h"]));
}

#[test]
fn completions_and_man_page_are_current() {
    let files = [
        (Shell::Bash, "completions/starsink.bash"),
        (Shell::Zsh, "completions/_starsink"),
        (Shell::Fish, "completions/starsink.fish"),
    ];
    for (shell, path) in files {
        let text = String::from_utf8(cli::completions(shell)).expect("completions are text");
        check_generated(path, &text);
    }
    let man = String::from_utf8(cli::man().expect("memory takes it")).expect("it is text");
    check_generated("docs/starsink.1", &man);
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[track_caller]
fn load(arguments: &[&str]) -> cli::Load {
    let arguments = ["starsink", "load"].iter().chain(arguments);
    match Cli::try_parse_from(arguments).expect("the command line is legal").command {
        Command::Load(load) => *load,
        _ => panic!("another command"),
    }
}

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn check_bounds(arguments: &[&str], start: Start, until: Until, most: Option<u64>) {
    let Extent::Until(bounds) = load(arguments).extent() else { panic!("load has bounds") };
    assert_eq!((bounds.start, bounds.until, bounds.max_messages), (start, until, most));
}

#[test]
fn the_extent_of_a_load_is_typed_as_in_kcat() {
    check_bounds(&[], Start::Stored, Until::Now, None);
    check_bounds(&["-o", "-100", "-c", "5"], Start::Last(100), Until::Now, Some(5));
    check_bounds(&["-o", "17", "--until", "18"], Start::At(17), Until::At(18), None);
    check_bounds(&["-o", "beginning"], Start::Beginning, Until::Now, None);
    check_bounds(&["-o", "end"], Start::End, Until::Now, None);
    check_bounds(
        &["-o", "s@1700000000123", "--until", "e@2023-11-14T22:13:20.5Z"],
        Start::Time(1_700_000_000_123),
        Until::Time(1_700_000_000_500),
        None,
    );
    check_bounds(
        &["-o", "s@2023-11-15T06:13:20+08:00", "--until", "e@2023-11-14T21:43:20-00:30"],
        Start::Time(1_700_000_000_000),
        Until::Time(1_700_000_000_000),
        None,
    );
}

#[test]
fn tail_has_no_end_and_begins_only_where_it_can() {
    let Command::Tail(tail) =
        Cli::try_parse_from(["starsink", "tail", "-o", "end", "f"]).expect("legal").command
    else {
        panic!("another command")
    };
    let Extent::Forever { start, drain_timeout, status_file } = tail.extent() else {
        panic!("tail has no bound")
    };
    assert_eq!((start, drain_timeout, status_file), (Start::End, Duration::from_secs(30), None));
    for refused in [["-o", "-5"], ["-o", "17"], ["-c", "5"], ["--until", "now"], ["-p", "0"]] {
        assert!(Cli::try_parse_from(["starsink", "tail"].iter().chain(&refused)).is_err());
    }
}

#[test]
fn flags_become_overrides_and_name_themselves() {
    let load = load(&[
        "-b",
        "k:1",
        "-t",
        "a,b",
        "-t",
        "c",
        "-G",
        "g",
        "-X",
        "fetch.min.bytes=1",
        "--fe",
        "fe:8030",
        "-D",
        "d",
        "-u",
        "u",
        "--map",
        "a:x",
        "-H",
        "Columns: a,b",
        "--flush-bytes",
        "512KiB",
        "--flush-interval",
        "500ms",
        "--loads",
        "2",
        "--memory",
        "1GB",
        "-p",
        "0,2",
        "--delivery",
        "at-least-once",
        "--redact-values",
        "w.properties",
        "-",
    ]);
    let request = load.request(&vars(&[])).expect("consistent");
    let said: Vec<String> = request
        .overrides
        .keys
        .iter()
        .map(|entry| format!("{} {} {}", entry.key, entry.value, entry.origin))
        .collect();
    assert_eq!(
        said,
        [
            "bootstrap.servers k:1 `-b`",
            "starrocks.http.url fe:8030 `--fe`",
            "starrocks.database.name d `-D`",
            "starrocks.username u `-u`",
            "sink.properties.columns a,b `-H`",
        ]
    );
    let overrides = request.overrides;
    assert_eq!(request.files, ["w.properties", "-"]);
    assert_eq!(overrides.topics, ["a", "b", "c"]);
    assert_eq!(overrides.group.as_deref(), Some("g"));
    assert_eq!(overrides.partitions, [0, 2]);
    assert_eq!(overrides.kafka, [("fetch.min.bytes".to_owned(), "1".to_owned())]);
    assert_eq!(overrides.map[0].value, "a:x");
    assert_eq!(overrides.flush_bytes, Some(512 * 1024));
    assert_eq!(overrides.flush_interval, Some(Duration::from_millis(500)));
    assert_eq!((overrides.loads, overrides.memory_bytes), (2, 1_000_000_000));
    assert_eq!(overrides.delivery, DeliveryChoice::AtLeastOnce);
    assert!(overrides.redact_values && !request.dump);
}

#[test]
fn files_and_passwords_may_come_from_the_environment() {
    let request = load(&[])
        .request(&vars(&[
            ("STARSINK_CONFIG", "a.properties:b.json"),
            ("STARSINK_PASSWORD", "p"),
            ("STARSINK_KAFKA_PASSWORD", "k"),
        ]))
        .expect("consistent");
    assert_eq!(request.files, ["a.properties", "b.json"]);
    assert_eq!(request.overrides.kafka_password, Some(Secret::new("k")));
    assert!(matches!(request.overrides.password, Some(Password::Text { .. })));
    let request = load(&["--password-file", "f", "c"])
        .request(&vars(&[("STARSINK_CONFIG", "a"), ("STARSINK_PASSWORD", "p")]))
        .expect("consistent");
    assert_eq!(request.files, ["c"]);
    assert!(matches!(request.overrides.password, Some(Password::File { .. })));
}

#[test]
fn standard_input_is_read_once() {
    let problem = load(&["--password-file", "-", "-"]).request(&vars(&[])).expect_err("twice");
    assert_eq!(problem.what, "standard input is asked for twice");
    assert_eq!(problem.hints, ["give `-` once, as CONFIG or to `--password-file`"]);
}

#[test]
fn a_dump_is_no_property() {
    let load = load(&["-X", "dump"]);
    assert_eq!(load.shared.kafka.properties, [Property::Dump]);
    assert!(load.request(&vars(&[])).expect("consistent").dump);
}

#[track_caller]
fn check_refused(arguments: &[&str], expect: &str) {
    let all: Vec<&str> = ["load"].iter().chain(arguments).copied().collect();
    let found = answer(&all);
    assert_eq!(found.lines().next().unwrap_or_default(), expect);
}

#[test]
fn no_secret_is_taken_from_the_command_line_and_none_is_repeated() {
    for (arguments, what, hint) in [
        (
            ["-u", "etl:hunter2"],
            "a password must not stand on the command line",
            "use `--password-file FILE` or the environment variable `STARSINK_PASSWORD`",
        ),
        (
            ["-X", "sasl.password=hunter2"],
            "`sasl.password` must not stand on the command line",
            "set the environment variable `STARSINK_KAFKA_PASSWORD`",
        ),
        (
            ["-X", "ssl.key.pem=hunter2"],
            "`ssl.key.pem` must not stand on the command line",
            "put `consumer.override.ssl.keystore.key` into a configuration file",
        ),
        (
            ["-X", "sasl.jaas.config=hunter2"],
            "`sasl.jaas.config` must not stand on the command line",
            "put `consumer.override.sasl.jaas.config` into a configuration file",
        ),
    ] {
        let load = load(&arguments);
        assert!(!format!("{load:?}").contains("hunter2"));
        let problem = load.request(&vars(&[])).expect_err("it is a secret");
        assert_eq!((problem.what.as_str(), problem.hints[0].as_str()), (what, hint));
        assert_eq!(problem.causes, ["other users of this host see it there"]);
        assert_eq!(problem.at, [format!("`{}`", arguments[0])]);
    }
}

#[test]
fn sizes_and_durations_need_units() {
    check_refused(
        &["--flush-bytes", "1000"],
        "error: invalid value '1000' for '--flush-bytes <SIZE>': a size needs a unit: B, KB, MB, GB, KiB, MiB, GiB; for example 512KiB, 90MiB",
    );
    check_refused(
        &["--flush-interval", "5"],
        "error: invalid value '5' for '--flush-interval <DUR>': a duration needs a unit: ms, s, m, h, d; for example 500ms, 10s, 2m",
    );
    check_refused(
        &["-o", "yesterday"],
        "error: invalid value 'yesterday' for '--offset <WHERE>': expected is stored, beginning, end, N, -N, s@MS or s@RFC3339",
    );
}

#[test]
fn check_asks_about_just_the_load_that_load_would_run() {
    let extent = |words: &[&str]| match Cli::try_parse_from(words).expect("it parses").command {
        Command::Load(load) => load.extent(),
        Command::Check(check) => check.extent(),
        _ => panic!("neither"),
    };
    let flags = ["-o", "beginning", "--until", "e@5000", "-c", "1000"];
    let of = |command: &str| extent(&[&["starsink", command][..], &flags].concat());
    assert_eq!(format!("{:?}", of("check")), format!("{:?}", of("load")));
}
