//! FEs, BEs, users and tables that are not as they should be.

use std::time::Duration;

use standin::{Do, Fault, Op, Standin, Version};
use starsink::config::job::{Compression, FeAddress, Target};
use starsink::secret::Secret;
use starsink::starrocks::client::{Client, TableName, TxnTimes};

use super::peers;
use super::stage::Stage;
use super::{Case, Java, Verdict};

use Java::Misses;
use Verdict::{Fails, Warns};

const fn broken(
    name: &'static str,
    broken: fn() -> Stage,
    check: &'static str,
    exit_code: u64,
    said: &'static str,
    hint: &'static str,
) -> Case {
    Case { name, broken, check, verdict: Fails(exit_code), said, hint, java: Misses }
}

const fn doubtful(
    name: &'static str,
    broken: fn() -> Stage,
    check: &'static str,
    said: &'static str,
    hint: &'static str,
) -> Case {
    Case { name, broken, check, verdict: Warns, said, hint, java: Misses }
}

fn set(key: &str, value: impl ToString) -> Stage {
    let mut stage = Stage::new();
    stage.set(key, &value.to_string());
    stage
}

fn fe(address: impl ToString) -> Stage {
    set("starrocks.http.url", address)
}

/// The healthy set-up as somebody who may see everything.
fn as_root(starrocks: standin::Builder) -> Stage {
    let mut stage = Stage::with(starrocks, RECORD);
    stage.set("starrocks.username", "root").set("starrocks.password", "");
    stage
}

const RECORD: &str =
    r#"{"id":1,"city":"Oslo","amount":12.50,"at":"2026-11-24 20:00:00","small":3,"note":null}"#;

pub(super) const CASES: &[Case] = &[
    broken("an FE that is not there", || fe(peers::nobody()), "fe", 5, "cannot reach", "8030"),
    broken(
        "an FE whose name nobody knows",
        || fe("fe.invalid:8030"),
        "fe",
        5,
        "name lookup",
        "8030",
    ),
    broken(
        "the FE's query port",
        || {
            let mut stage = Stage::new();
            let port = stage.starrocks.query();
            stage.set("starrocks.http.url", &port.to_string());
            stage
        },
        "fe",
        2,
        "mysql greeting",
        "HTTP port",
    ),
    broken(
        "a BE in the FE's place",
        || {
            let mut stage = Stage::new();
            let be = stage.starrocks.be();
            stage.set("starrocks.http.url", &be.to_string());
            stage
        },
        "fe",
        2,
        "is a starrocks be",
        "8030",
    ),
    broken("an FE that is a web server", || fe(peers::web()), "fe", 2, "not starrocks'", "8030"),
    broken(
        "an FE that never answers",
        || fe(peers::silent()),
        "fe",
        5,
        "no answer in time",
        "firewall",
    ),
    broken(
        "https to a plain FE",
        || {
            let mut stage = Stage::new();
            let url = format!("https://{}", stage.starrocks.fe());
            stage.set("starrocks.http.url", &url);
            stage
        },
        "fe",
        2,
        "does not speak tls",
        "8443",
    ),
    broken(
        "an FE whose certificate nobody here signed",
        || {
            let port = peers::Authority::new().server("localhost", 365).port();
            fe(format!("https://localhost:{port}"))
        },
        "fe",
        2,
        "tls: ",
        "this host trusts",
    ),
    broken(
        "a BE that is a web server",
        || {
            let stage = Stage::new();
            stage.starrocks.register_be(0, Some(&peers::web().to_string()));
            stage
        },
        "be",
        2,
        "what answers is no be",
        "be_http_port",
    ),
    doubtful(
        "one FE of two that is not there",
        || {
            let mut stage = Stage::new();
            let both = format!("{},{}", stage.starrocks.fe(), peers::nobody());
            stage.set("starrocks.http.url", &both);
            stage
        },
        "fe",
        "cannot reach",
        "8030",
    ),
    broken(
        "no BE alive",
        || {
            let stage = Stage::new();
            stage.starrocks.kill_be(0);
            stage.starrocks.notice_dead_be(0);
            stage
        },
        "fe",
        5,
        "no be of the starrocks cluster",
        "start a BE",
    ),
    broken(
        "a BE that is not there",
        || {
            let stage = Stage::new();
            stage.starrocks.kill_be(0);
            stage
        },
        "be",
        5,
        "connection refused",
        "every BE must be reachable",
    ),
    broken(
        "a BE registered under a name nobody knows",
        || {
            let stage = Stage::new();
            stage.starrocks.register_be(0, Some("be-0.invalid:8040"));
            stage
        },
        "be",
        5,
        "name lookup failed",
        "registered",
    ),
    broken(
        "the second BE of two that is not there",
        || {
            let stage = Stage::with(Standin::builder().be_count(2), RECORD);
            stage.starrocks.kill_be(1);
            stage
        },
        "be",
        5,
        "connection refused",
        "every BE must be reachable",
    ),
    doubtful(
        "a BE that the cluster has given up",
        || {
            let stage = as_root(Standin::builder().be_count(2));
            stage.starrocks.kill_be(1);
            stage.starrocks.notice_dead_be(1);
            stage
        },
        "be",
        "not alive",
        "replicas",
    ),
    broken(
        "a wrong password",
        || set("starrocks.password", "wrong"),
        "auth",
        2,
        "(http 401)",
        "sink.properties:",
    ),
    broken(
        "a user nobody knows",
        || set("starrocks.username", "elt"),
        "auth",
        2,
        "does not accept user `elt`",
        "--password-file",
    ),
    doubtful(
        "a query port that is closed",
        || {
            let mut stage = Stage::new();
            stage.query_port(peers::nobody().port());
            stage
        },
        "query",
        "cannot be reached",
        "--query-port",
    ),
    doubtful(
        "a query port that is a web server",
        || {
            let mut stage = Stage::new();
            stage.query_port(peers::web().port());
            stage
        },
        "query",
        "does not speak mysql",
        "--query-port",
    ),
    doubtful(
        "labels that are soon forgotten",
        || {
            let stage = as_root(Standin::builder());
            stage.starrocks.set_limits(|limits| limits.label_keep_max_num = 5);
            let client = client(&stage);
            for label in ["a", "b", "c", "d"] {
                begin(&client, label);
                client.roll_back("shop", label).expect("it is rolled back");
                stage.starrocks.advance(Duration::from_secs(1));
            }
            stage
        },
        "fe",
        "is forgotten after",
        "label_keep_max_num",
    ),
    doubtful(
        "transactions near their limit",
        || {
            let stage = as_root(Standin::builder());
            let client = client(&stage);
            ["a", "b", "c", "d", "e", "f", "g", "h", "i"].iter().for_each(|l| begin(&client, l));
            stage.starrocks.set_limits(|limits| limits.max_running_txn_num_per_db = 10);
            stage
        },
        "fe",
        "9 of at most 10",
        "SHOW PROC",
    ),
    doubtful(
        "clocks that are not in step",
        || {
            let stage = Stage::new();
            stage.starrocks.advance(Duration::from_secs(90));
            stage
        },
        "fe",
        "s ahead of this host",
        "NTP",
    ),
    doubtful(
        "a StarRocks without transactions",
        || Stage::with(Standin::builder().version(Version::V2_3), RECORD),
        "fe",
        "no transaction interface",
        "from 2.4 on",
    ),
    broken(
        "exactly once of a StarRocks without transactions",
        || {
            let mut stage = Stage::with(Standin::builder().version(Version::V2_3), RECORD);
            stage.arg(&["--delivery", "exactly-once"]);
            stage
        },
        "fe",
        2,
        "not possible without condition",
        "--delivery auto",
    ),
    broken(
        "exactly once of records that may be rolled back",
        || set("consumer.override.isolation.level", "read_uncommitted"),
        "fe",
        2,
        "isolation.level",
        "at-least-once",
    ),
    broken(
        "a database that is not there",
        || set("starrocks.database.name", "shpo"),
        "tables",
        2,
        "does not exist",
        "-D",
    ),
    broken(
        "a table that is not there",
        || set("starrocks.topic2table.map", "orders:order"),
        "tables",
        2,
        "does not exist",
        "--map orders:NAME",
    ),
    broken(
        "no right to load into the table",
        || {
            let stage = Stage::new();
            let reader = "CREATE USER 'reader' IDENTIFIED BY 'secret-7'; \
                          GRANT SELECT ON shop.orders TO USER 'reader'";
            stage.starrocks.execute(reader).expect("a user is made");
            let mut stage = stage;
            stage.set("starrocks.username", "reader");
            stage
        },
        "tables",
        2,
        "may not load into it",
        "GRANT INSERT",
    ),
    broken(
        "no right to begin a transaction",
        || {
            let mut stage = Stage::new();
            let body = r#"{"Status":"ANALYSIS_ERROR","Label":"l","Message":"Access denied; you need (at least one of) the INSERT privilege(s) for this operation"}"#;
            let answer = Do::Answer { status: 200, body: body.into() };
            stage.starrocks.fault(Fault::on(Op::Begin, answer));
            stage.arg(&["--write"]);
            stage
        },
        "tables",
        2,
        "cannot begin one",
        "",
    ),
];

/// A client of the stage's StarRocks, as root.
fn client(stage: &Stage) -> Client {
    let fe = stage.starrocks.fe();
    Client::new(&Target {
        fe: vec![FeAddress { https: false, host: fe.ip().to_string(), port: fe.port() }],
        database: "shop".into(),
        user: "root".into(),
        password: Secret::new(""),
        password_origin: String::new(),
        fe_origin: String::new(),
        headers: vec![],
        own_headers: Default::default(),
        compression: Compression::None,
        connect_timeout: Duration::from_secs(1),
    })
}

fn begin(client: &Client, label: &str) {
    let minute = Duration::from_secs(60);
    let times = TxnTimes { timeout: minute, idle: minute, prepared: minute };
    let table = TableName { database: "shop".into(), table: "orders".into() };
    client.begin(label, &table, times).expect("it is begun");
}
