//! `docs/ERRORS.md` against the program and its tests: every line of its tables stands for an error
//! that the source can say and that a test sees said. Errors of the configuration that no other
//! module tests are here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use starsink::config::{Origin, Overrides, Password};

use crate::config::{COMPLETE, load_with, told};

/// An error of the page, and what shows that it is real.
struct Proof {
    /// As the page has it: the first cell of a line, or one of its parts between `; `.
    error: &'static str,
    /// A part of its text in `src/`.
    source: &'static str,
    /// The test module, or the golden file, that expects the error.
    file: &'static str,
    /// What is expected there.
    seen: &'static str,
}

/// The lines of `tests/it/errors/proofs.md`.
fn proofs() -> Vec<Proof> {
    let lines = include_str!("errors/proofs.md").lines().filter(|line| line.starts_with("| "));
    let proof = |line: &'static str| {
        let cells: Vec<&str> = line[2..].trim_end_matches(" |").split(" | ").collect();
        let [error, source, file, seen] = cells[..] else { panic!("four cells: {line}") };
        Proof { error, source, file, seen }
    };
    lines.skip(1).map(proof).collect()
}

/// Line breaks inside a literal, as rustfmt leaves them, are none.
fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\\n") {
        out.push_str(&rest[..at]);
        rest = rest[at + 2..].trim_start();
    }
    out + rest
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The program without its tests.
fn source() -> String {
    let mut files = vec![];
    rust_files(&top().join("src"), &mut files);
    let text = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file");
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        joined(&text[..end])
    };
    files.iter().map(text).collect()
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Errors of the page's tables: first cells, cut at `; `, in order.
fn listed() -> Vec<String> {
    let page = fs::read_to_string(top().join("docs/ERRORS.md")).expect("the page");
    let mut is_of_errors = false;
    let mut found = vec![];
    for line in page.lines() {
        if line.starts_with("| error |") {
            is_of_errors = true;
        } else if !line.starts_with('|') {
            // A blank line ends a table.
            is_of_errors = false;
        } else if is_of_errors && !line.starts_with("|---") {
            let cell = line[2..].split(" | ").next().unwrap_or_default();
            found.extend(cell.split("; ").map(|part| part.trim().to_owned()));
        }
    }
    found
}

#[test]
fn every_error_of_the_page_can_be_said_and_is_expected_by_a_test() {
    let proofs = proofs();
    let listed: BTreeSet<String> = listed().into_iter().collect();
    let proven: BTreeSet<String> = proofs.iter().map(|proof| proof.error.to_owned()).collect();
    let without: Vec<&String> = listed.difference(&proven).collect();
    let missing = "each needs a line in tests/it/errors/proofs.md, and a test that expects it";
    assert!(without.is_empty(), "new on docs/ERRORS.md: {without:#?}; {missing}");
    let gone: Vec<&String> = proven.difference(&listed).collect();
    assert!(gone.is_empty(), "in proofs.md, and not on docs/ERRORS.md: {gone:#?}");
    let source = source();
    let mut wrong = vec![];
    for proof in &proofs {
        if !source.contains(proof.source) {
            wrong.push(format!("no source says `{}` ({})", proof.source, proof.error));
        }
        let file = fs::read_to_string(top().join(proof.file)).unwrap_or_default();
        let expects = joined(&file).to_lowercase().contains(&proof.seen.to_lowercase());
        if !expects {
            wrong
                .push(format!("{} does not expect `{}` ({})", proof.file, proof.seen, proof.error));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// ---- errors of the configuration that nobody else looks at ----

#[track_caller]
fn check(lines: &str, overrides: &Overrides, expect: &str) {
    let text = format!("{COMPLETE}{lines}");
    match load_with(&[("f", &text)], overrides, &[], &[]) {
        Ok((job, _)) => panic!("accepted: {job:?}"),
        Err(problems) => assert_eq!(told(&problems), expect),
    }
}

#[test]
fn partitions_are_those_of_one_topic() {
    let overrides = Overrides { partitions: vec![1], ..Overrides::default() };
    let expect = "error: `-p` needs a single topic\nhint: name it with `-t`\n";
    check("topics=t,u\n", &overrides, expect);
}

#[test]
fn a_pattern_must_be_one() {
    let text = format!("{COMPLETE}topics.regex=(\n").replace("topics=t\n", "");
    let problems = load_with(&[("f", &text)], &Overrides::default(), &[], &[]);
    let said = told(&problems.expect_err("it is none"));
    assert!(said.starts_with("error: `(` is not a pattern\n"), "{said}");
}

#[test]
fn a_table_is_named_without_blanks() {
    let expect = "error: `a b` is not a table's name\n  at: f:8 `starrocks.topic2table.map`\n\
                  hint: the form is `TOPIC:TABLE,TOPIC:TABLE`\n";
    check("starrocks.topic2table.map=t:a b\n", &Overrides::default(), expect);
}

#[test]
fn a_header_is_a_token_and_its_value_one_line() {
    let none = Overrides::default();
    check(
        "sink.properties.no\\ blank=1\n",
        &none,
        "error: `no blank` is not a header's name\n  at: f:8 `sink.properties.no blank`\n",
    );
    check(
        "sink.properties.columns=a\\nb\n",
        &none,
        "error: header `columns` holds a line break or another control character\n  \
         at: f:8 `sink.properties.columns`\n",
    );
}

#[test]
fn security_is_one_of_four_and_a_login_module_belongs_to_its_mechanism() {
    let none = Overrides::default();
    check(
        "consumer.security.protocol=TLS\n",
        &none,
        "error: `security.protocol` must be `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`, not `TLS`\n  \
         at: f:8 `consumer.security.protocol`\n",
    );
    check(
        "consumer.security.protocol=SASL_SSL\nconsumer.sasl.mechanism=PLAIN\n\
         consumer.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p\";\n",
        &none,
        "error: login module `org.apache.kafka.common.security.scram.ScramLoginModule` does not belong to SASL mechanism `PLAIN`\n  \
         at: f:10 `consumer.sasl.jaas.config`\nhint: it goes with `PlainLoginModule`\n",
    );
}

#[test]
fn exactly_once_rests_on_how_the_group_shares_partitions() {
    let kafka = |name: &str, value: &str| Overrides {
        kafka: vec![(name.to_owned(), value.to_owned())],
        ..Overrides::default()
    };
    check(
        "",
        &kafka("group.protocol", "consumer"),
        "error: `group.protocol` must be `classic`\n  at: `-X`\n",
    );
    check(
        "",
        &kafka("partition.assignment.strategy", "cooperative-sticky"),
        "error: `partition.assignment.strategy` must be `range` or `roundrobin`\n  at: `-X`\n",
    );
}

#[test]
fn a_name_holds_no_control_character() {
    let expect = "error: `name` holds a control character\n  at: f:8 `name`\n";
    check("name=a\\tb\n", &Overrides::default(), expect);
}

#[test]
fn a_position_to_begin_at_is_one_of_three() {
    check(
        "consumer.override.auto.offset.reset=yesterday\n",
        &Overrides::default(),
        "error: `auto.offset.reset` must be `earliest`, `latest` or `none`, not `yesterday`\n  \
         at: f:8 `consumer.override.auto.offset.reset`\n\
         hint: `-o s@MS` or `-o s@RFC3339` begins at a time\n",
    );
}

#[test]
fn a_password_file_is_there() {
    let origin = Origin::Flag("--password-file");
    let password = Some(Password::File { path: "/nowhere/pw".into(), origin });
    let overrides = Overrides { password, ..Overrides::default() };
    let text = load_with(&[("f", COMPLETE)], &overrides, &[], &[]);
    let said = told(&text.expect_err("there is none"));
    assert!(said.starts_with("error: cannot read the password file `/nowhere/pw`\n"), "{said}");
}

#[test]
fn a_converter_with_a_wrong_option_cannot_be_used() {
    let said = refused(
        "value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.decimal.format=roman\n",
    );
    let what = "error: `value.converter` is `org.apache.kafka.connect.json.JsonConverter`, which cannot be used\n";
    assert!(said.starts_with(what), "{said}");
}

fn refused(lines: &str) -> String {
    let text = format!("{COMPLETE}{lines}");
    told(&load_with(&[("f", &text)], &Overrides::default(), &[], &[]).expect_err("refused"))
}

#[test]
fn logins_lack_no_option_and_are_of_a_kind_that_works() {
    let sasl = |mechanism: &str, module: &str, options: &str| {
        refused(&format!(
            "consumer.security.protocol=SASL_SSL\nconsumer.sasl.mechanism={mechanism}\n\
             consumer.sasl.jaas.config=org.apache.kafka.common.security.{module} required {options};\n"
        ))
    };
    let scram = "scram.ScramLoginModule";
    let said = sasl("SCRAM-SHA-256", scram, "username=\"u\"");
    assert!(said.starts_with("error: `sasl.jaas.config` has no option `password`\n"), "{said}");
    let said = sasl("SCRAM-SHA-256", scram, "username=\"u\" password=\"p\" tokenauth=\"true\"");
    let what = "error: delegation tokens (`tokenauth`) are not supported\n";
    assert!(said.starts_with(what), "{said}");
    let bearer = "oauthbearer.OAuthBearerLoginModule";
    let said = sasl("OAUTHBEARER", bearer, "clientId=\"c\"");
    let what =
        "error: `sasl.oauthbearer.token.endpoint.url` is missing, which `OAUTHBEARER` needs\n";
    assert!(said.starts_with(what), "{said}");
    let said =
        sasl("OAUTHBEARER", bearer, "oauth.token.endpoint.uri=\"id.example\" clientId=\"c\"");
    let what = "error: `id.example` is not the address of a token endpoint\n";
    assert!(said.starts_with(what), "{said}");
}

#[test]
fn a_schema_registry_has_an_address() {
    let said = refused(
        "value.converter=io.confluent.connect.avro.AvroConverter\nvalue.converter.schema.registry.url=ftp://registry\n",
    );
    let what = "error: `ftp://registry` is not the address of a schema registry\n";
    assert!(said.starts_with(what), "{said}");
}
