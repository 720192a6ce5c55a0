//! Configurations that are wrong, or that give secrets away.

use super::stage::Stage;
use super::{Case, Java, Verdict};

use Java::{Finds, Misses};
use Verdict::{Fails, Warns};

fn set(key: &str, value: &str) -> Stage {
    let mut stage = Stage::new();
    stage.set(key, value);
    stage
}

fn unset(key: &str) -> Stage {
    let mut stage = Stage::new();
    stage.unset(key);
    stage
}

const fn config(
    name: &'static str,
    broken: fn() -> Stage,
    said: &'static str,
    hint: &'static str,
    java: Java,
) -> Case {
    Case { name, broken, check: "config", verdict: Fails(2), said, hint, java }
}

fn with_args(args: &[&str]) -> Stage {
    let mut stage = Stage::new();
    stage.arg(args);
    stage
}

const fn dead_letters(
    name: &'static str,
    broken: fn() -> Stage,
    verdict: Verdict,
    said: &'static str,
    hint: &'static str,
) -> Case {
    Case { name, broken, check: "dlq", verdict, said, hint, java: Misses }
}

pub(super) const CASES: &[Case] = &[
    config("no name", || unset("name"), "`name` is missing", "-G", Finds),
    config("no topics", || unset("topics"), "neither `topics` nor", "`-t`", Finds),
    config(
        "topics and a pattern",
        || set("topics.regex", "o.*"),
        "exclude each other",
        "remove one of them",
        Finds,
    ),
    config(
        "no brokers",
        || unset("bootstrap.servers"),
        "`bootstrap.servers` is missing",
        "-b",
        Misses,
    ),
    config(
        "no FE",
        || unset("starrocks.http.url"),
        "`starrocks.http.url` is missing",
        "--fe",
        Finds,
    ),
    config(
        "no database",
        || unset("starrocks.database.name"),
        "`starrocks.database.name` is missing",
        "-D",
        Finds,
    ),
    config(
        "no user",
        || unset("starrocks.username"),
        "`starrocks.username` is missing",
        "-u",
        Finds,
    ),
    config(
        "no password",
        || unset("starrocks.password"),
        "`starrocks.password` is missing",
        "--password-file",
        Finds,
    ),
    config(
        "a topic map without a table",
        || set("starrocks.topic2table.map", "orders"),
        "is not a topic and a table",
        "",
        Misses,
    ),
    config(
        "a topic mapped twice",
        || set("starrocks.topic2table.map", "orders:orders,orders:others"),
        "mapped twice",
        "",
        Misses,
    ),
    config(
        "a flush size below its range",
        || set("bufferflush.maxbytes", "1000"),
        "`bufferflush.maxbytes` must be",
        "",
        Finds,
    ),
    config(
        "a flush interval that is no number",
        || set("bufferflush.intervalms", "1s"),
        "`bufferflush.intervalms` must be",
        "",
        Finds,
    ),
    config(
        "a connect timeout below its range",
        || set("connect.timeoutms", "50"),
        "`connect.timeoutms` must be",
        "",
        Finds,
    ),
    config(
        "a format that StarRocks has not",
        || set("sink.properties.format", "xml"),
        "`sink.properties.format` must be",
        "",
        Misses,
    ),
    config(
        "a compression that loses every record in the Java connector",
        || set("sink.properties.compression", "snappy"),
        "`sink.properties.compression` must be",
        "",
        Misses,
    ),
    config(
        "another connector",
        || set("connector.class", "com.acme.Sink"),
        "is not the starrocks sink",
        "connector.class",
        Finds,
    ),
    config(
        "a converter nobody has",
        || set("value.converter", "com.acme.Converter"),
        "com.acme.converter",
        "",
        Finds,
    ),
    config(
        "a row delimiter that is none",
        || {
            let mut stage = set("sink.properties.format", "csv");
            stage
                .set("value.converter", "org.apache.kafka.connect.storage.StringConverter")
                .unset("value.converter.schemas.enable")
                .set("sink.properties.row_delimiter", "\\\\x1");
            stage
        },
        "is not a delimiter",
        "\\x01",
        Misses,
    ),
    config(
        "an FE with a path",
        || set("starrocks.http.url", "fe1:8030/api"),
        "is not the address of an fe",
        "HOST:PORT",
        Misses,
    ),
    config(
        "a user with a password behind it",
        || set("starrocks.username", "etl:secret-7"),
        "holds a colon",
        "--password-file",
        Misses,
    ),
    config(
        "a login before a broker",
        || set("bootstrap.servers", "u:secret-7,x@h:9092"),
        "`h:9092` is not the address of a broker",
        "HOST:PORT",
        Misses,
    ),
    config(
        "a login before an FE",
        || set("starrocks.http.url", "http://u:secret-7,x@fe1:8030"),
        "`fe1:8030` is not the address of an fe",
        "HOST:PORT",
        Misses,
    ),
    config(
        "a slash in a registry's password",
        || {
            let mut stage = set("value.converter", "io.confluent.connect.avro.AvroConverter");
            let url = "http://u:p/secret-7@registry:8081";
            stage.unset("value.converter.schemas.enable");
            stage.set("value.converter.schema.registry.url", url);
            stage
        },
        "`http://registry:8081` is not the address of a schema registry",
        "http://HOST:PORT",
        Misses,
    ),
    config(
        "a broker that is a placeholder",
        || set("bootstrap.servers", "<broker>:9092"),
        "is not the address of a broker",
        "HOST:PORT",
        Misses,
    ),
    config(
        "a SASL mechanism nobody has",
        || {
            let mut stage = set("consumer.override.security.protocol", "SASL_PLAINTEXT");
            stage.set("consumer.override.sasl.mechanism", "DIGEST-MD5");
            stage
        },
        "`digest-md5` is not supported",
        "SCRAM-SHA-512",
        Misses,
    ),
    config(
        "a login without its JAAS text",
        || {
            let mut stage = set("consumer.override.security.protocol", "SASL_PLAINTEXT");
            stage.set("consumer.override.sasl.mechanism", "PLAIN");
            stage
        },
        "`sasl.jaas.config` is missing",
        "",
        Misses,
    ),
    config(
        "a trust store that is not there",
        || {
            let mut stage = set("consumer.override.security.protocol", "SSL");
            stage.set("consumer.override.ssl.truststore.location", "/nowhere/trust.jks");
            stage
        },
        "cannot use the trust store",
        "PEM works everywhere",
        Misses,
    ),
    config(
        "a header that is set here",
        || set("sink.properties.label", "mine"),
        "`sink.properties.label` cannot be set",
        "labels are made here",
        Misses,
    ),
    config(
        "a password file that is not there",
        || {
            let mut stage = Stage::new();
            stage.arg(&["--password-file", "/nowhere/password"]);
            stage
        },
        "cannot read the password file",
        "",
        Misses,
    ),
    Case {
        name: "a slip in a key's name",
        broken: || set("starrocks.usernmae", "etl"),
        check: "config",
        verdict: Warns,
        said: "unknown key `starrocks.usernmae`",
        hint: "did you mean `starrocks.username`",
        java: Misses,
    },
    Case {
        name: "a configuration with a password that others can read",
        broken: || {
            let mut stage = Stage::new();
            stage.readable_by_all();
            stage
        },
        check: "config",
        verdict: Warns,
        said: "other users can read it, and it holds `starrocks.password`",
        hint: "chmod 600",
        java: Misses,
    },
    Case {
        name: "a file of secrets that others can read",
        broken: || {
            let mut stage = Stage::new();
            let file = stage.file("sec.properties");
            std::fs::write(&file, "pw=secret-7\n").expect("the file is written");
            stage.set("starrocks.password", &format!("${{file:{}:pw}}", file.display()));
            stage
        },
        check: "config",
        verdict: Warns,
        said: "sec.properties`, and secrets come from it",
        hint: "chmod 600",
        java: Misses,
    },
    Case {
        name: "a password file that others can read",
        broken: || {
            let mut stage = Stage::new();
            let file = stage.file("password");
            std::fs::write(&file, "secret-7\n").expect("the file is written");
            stage.arg(&["--password-file", &file.display().to_string()]);
            stage
        },
        check: "config",
        verdict: Warns,
        said: "other users can read the password file",
        hint: "chmod 600",
        java: Misses,
    },
    Case {
        name: "a delimiter that lost its backslash",
        broken: || {
            let mut stage = Stage::new();
            stage.set("sink.properties.column_separator", "x01");
            stage
        },
        check: "config",
        verdict: Warns,
        said: "is read as plain letters",
        hint: "drops a single backslash",
        java: Misses,
    },
    dead_letters(
        "a file for dead letters in a directory that is not there",
        || with_args(&["--on-error", "dlq", "--dlq", "/nowhere/dead.ndjson"]),
        Fails(2),
        "its directory is not there",
        "make the directory",
    ),
    dead_letters(
        "a directory in the place of a file for dead letters",
        || with_args(&["--on-error", "dlq", "--dlq", "/tmp/"]),
        Fails(2),
        "this is a directory",
        "name a file",
    ),
    dead_letters(
        "a file of something else for dead letters",
        || {
            let mut stage = Stage::new();
            let file = stage.file("passwd");
            std::fs::write(&file, "root:x:0:0:root:/root:/bin/bash\n").expect("it is written");
            let file = file.display().to_string();
            stage.arg(&["--on-error", "dlq", "--dlq", &file]);
            stage
        },
        Fails(2),
        "is not a file of dead letters",
        "what `--dlq FILE` writes",
    ),
    dead_letters(
        "a full disk for dead letters",
        || with_args(&["--on-error", "dlq", "--dlq", "/dev/full", "--write"]),
        Fails(5),
        "no room is left",
        "free some space",
    ),
    config(
        "dead letters that the run would read",
        || with_args(&["--on-error", "dlq", "--dlq", "orders"]),
        "would take dead letters and is loaded as well",
        "name another topic",
        Misses,
    ),
    dead_letters(
        "bad records that nobody keeps",
        || with_args(&["--on-error", "skip"]),
        Warns,
        "kept nowhere",
        "--dlq",
    ),
];
