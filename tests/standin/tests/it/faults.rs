//! Faults and what the cluster remembers: scripted answers, lost ones, publish timeouts, restarts,
//! leaders, eviction, timeouts; and the process with its control endpoints. (Checklist 34–38, 40,
//! 41, 48, 57–60, 68–73, 75, 78, 79.)

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use standin::{At, Do, Fault, Op, Standin, Version, When};

use crate::client::{Client, ROOT, as_root, ask, load, op, request, start, state};
use crate::rows::wait_for;

fn status(standin: &Standin, name: &str, label: &str) -> String {
    op(standin, name, label).field("Status")
}

fn ok(standin: &Standin, label: &str, ops: &[&str]) {
    for name in ops {
        assert_eq!(status(standin, name, label), "OK", "{name} {label}");
    }
}

fn reason(standin: &Standin, label: &str) -> String {
    standin.label("d", label).unwrap().1
}

#[test]
fn a_publish_timeout_is_committed_first_and_visible_later() {
    let slow = || Do::PublishTimeout(Duration::from_secs(60));
    let standin = start(Version::V4_1);
    standin.fault(Fault::on(Op::StreamLoad, slow()).at(At::AnyBe));
    let reply = load(&standin, "t", &["label: a", "format: json"], "{\"id\":1}");
    assert_eq!(reply.field("Status"), "Publish Timeout");
    assert_eq!((state(&standin, "a").as_str(), standin.count("d", "t")), ("COMMITTED", 0));
    standin.advance(Duration::from_secs(61));
    assert_eq!((state(&standin, "a").as_str(), standin.count("d", "t")), ("VISIBLE", 1));
    ok(&standin, "b", &["begin", "load", "prepare"]);
    standin.fault(Fault::on(Op::Commit, slow()));
    let headers = [ROOT, "db: d", "label: b", "timeout: 3"];
    let reply = ask(standin.fe(), "POST", "/api/transaction/commit", &headers, "");
    assert!(
        reply.body.contains("publish timeout: 3000, transactionId\\u003d1002"),
        "{}",
        reply.body
    );
    assert_eq!(state(&standin, "b"), "COMMITTED");
    let old = start(Version::V3_5);
    ok(&old, "b", &["begin", "load", "prepare"]);
    old.fault(Fault::on(Op::Commit, slow()));
    let text = "class com.starrocks.common.UserException: publish timeout: 20000";
    assert_eq!(op(&old, "commit", "b").field("Message"), text);
}

#[test]
fn failures_are_injected_by_text_with_or_without_a_commit() {
    let text = "Transaction status unknown, you can retry with same label.";
    for (action, rows) in
        [(Do::Fail(text.to_owned()), 0), (Do::FailAfterCommit(text.to_owned()), 1)]
    {
        let standin = start(Version::V3_5);
        standin.fault(Fault::on(Op::StreamLoad, action).at(At::AnyBe));
        let reply = load(&standin, "t", &["label: a", "format: json"], "{\"id\":1}");
        assert_eq!((reply.field("Status"), reply.field("Message")), ("Fail".into(), text.into()));
        assert_eq!(standin.count("d", "t"), rows);
    }
    let standin = start(Version::V3_5);
    let text = "Failed to load data into tablet 1, because of too many versions";
    standin.fault(Fault::on(Op::Load, Do::Fail(text.to_owned())).at(At::AnyBe).nth(2));
    ok(&standin, "a", &["begin", "load"]);
    assert_eq!(op(&standin, "load", "a").field("Message"), text);
    assert_eq!(reason(&standin, "a"), text);
}

#[test]
fn connections_are_dropped_and_answers_cut_or_replaced() {
    let body = "{\"id\":1}";
    let lost = |standin: &Standin, label: &str| {
        let mut client = Client::connect(standin.be());
        let label = format!("label: {label}");
        let headers = as_root(&[&label, "format: json"]);
        client.write(&request("PUT", "/api/d/t/_stream_load", &headers, body.as_bytes()));
        client.read().is_none()
    };
    let standin = start(Version::V3_5);
    let on_be = |action| Fault::on(Op::StreamLoad, action).at(At::AnyBe);
    standin.fault(on_be(Do::Drop));
    assert!(lost(&standin, "a"));
    assert_eq!((state(&standin, "a").as_str(), standin.count("d", "t")), ("UNKNOWN", 0));
    standin.fault(on_be(Do::Drop).after());
    assert!(lost(&standin, "b"));
    assert_eq!((state(&standin, "b").as_str(), standin.count("d", "t")), ("VISIBLE", 1));
    standin.fault(on_be(Do::Truncate(10)).after());
    assert!(lost(&standin, "c"));
    assert_eq!(state(&standin, "c"), "VISIBLE");
    standin.clear_faults();
    standin.fault(on_be(Do::Answer { status: 503, body: "busy".to_owned() }));
    let reply = load(&standin, "t", &["label: e"], "");
    assert_eq!((reply.status, reply.body.as_str()), (503, "busy"));
    let journal = standin.journal();
    let outcomes: Vec<&str> = journal.iter().map(|e| e.outcome.as_str()).collect();
    assert!(outcomes.contains(&"dropped before"), "{outcomes:?}");
    assert!(outcomes.contains(&"Success (answer dropped)"));
    let entry = journal.iter().find(|e| e.header("label") == Some("b")).unwrap();
    assert_eq!((entry.method.as_str(), entry.target.as_str()), ("PUT", "/api/d/t/_stream_load"));
    assert_eq!((entry.node.as_str(), entry.body_bytes, entry.txn_id), ("be0", 8, Some(1001)));
    assert_ne!(entry.body_hash, 0);
    standin.fault(Fault::on(Op::StreamLoad, Do::Location("10.1.1.1:1".to_owned())).at(At::AnyFe));
    let headers = as_root(&["Expect: 100-continue"]);
    let reply = ask(standin.fe(), "PUT", "/api/d/t/_stream_load", &headers, "");
    assert!(reply.header("location").starts_with("http://10.1.1.1:1/"));
}

#[test]
fn a_held_request_goes_on_when_it_is_released() {
    let standin = start(Version::V3_5);
    ok(&standin, "a", &["begin"]);
    standin
        .fault(Fault::on(Op::Load, Do::Hold("gate".to_owned())).at(At::AnyBe).when(When::Body(0)));
    thread::scope(|scope| {
        let loading = scope.spawn(|| op(&standin, "load", "a"));
        standin.wait_held("gate");
        let busy = op(&standin, "load", "a");
        assert_eq!(busy.field("Status"), "TXN_IN_PROCESSING");
        assert_eq!(
            (busy.field("Label"), status(&standin, "prepare", "a")),
            ("a".into(), busy.field("Status"))
        );
        standin.release("gate");
        assert_eq!(loading.join().unwrap().field("Status"), "OK");
    });
    ok(&standin, "a", &["prepare", "commit"]);
    assert_eq!(standin.count("d", "t"), 1);
}

#[test]
fn a_stalled_target_stops_reading() {
    let standin = start(Version::V3_5);
    let stall = Do::Hold("stall".to_owned());
    standin.fault(Fault::on(Op::StreamLoad, stall).at(At::AnyBe).when(When::Body(1000)));
    let mut client = Client::connect(standin.be());
    let head = format!(
        "PUT /api/d/t/_stream_load HTTP/1.1\r\n{ROOT}\r\nContent-Length: 100000000\r\n\r\n"
    );
    client.write(head.as_bytes());
    client.stall_writes(Duration::from_millis(300));
    let piece = vec![b'x'; 1 << 20];
    let stuck = (0..100).any(|_| client.try_write(&piece).is_err());
    assert!(stuck, "the whole body was taken");
    standin.release("stall");
}

#[test]
fn a_body_that_comes_too_late_finds_its_transaction_aborted() {
    let standin = start(Version::V3_5);
    let hold = Do::Hold("body".to_owned());
    standin.fault(Fault::on(Op::StreamLoad, hold).at(At::AnyBe).when(When::Body(0)));
    let headers = ["label: a", "timeout: 10", "format: json"];
    thread::scope(|scope| {
        let loading = scope.spawn(|| load(&standin, "t", &headers, "{\"id\":1}"));
        standin.wait_held("body");
        standin.advance(Duration::from_secs(11));
        assert_eq!(state(&standin, "a"), "ABORTED");
        standin.release("body");
        let reply = loading.join().unwrap();
        assert_eq!(reply.field("Message"), "timeout by txn manager");
    });
    assert_eq!(standin.count("d", "t"), 0);
}

#[test]
fn a_lost_prepare_answer_rolls_back_later_unless_a_commit_comes_first() {
    for commit_first in [false, true] {
        let standin = start(Version::V4_1);
        ok(&standin, "a", &["begin", "load"]);
        let lose = Do::LosePrepareAnswer(Duration::from_secs(11));
        standin.fault(Fault::on(Op::Prepare, lose).at(At::AnyBe));
        let reply = op(&standin, "prepare", "a");
        assert_eq!(reply.field("Status"), "THRIFT_RPC_ERROR");
        assert_eq!(state(&standin, "a"), "PREPARED");
        if commit_first {
            ok(&standin, "a", &["commit"]);
        }
        standin.advance(Duration::from_secs(12));
        if commit_first {
            assert_eq!(state(&standin, "a"), "VISIBLE");
        } else {
            assert_eq!(state(&standin, "a"), "ABORTED");
            assert!(reason(&standin, "a").starts_with("call frontend service failed"));
        }
    }
}

#[test]
fn labels_are_forgotten_by_count_when_swept_and_never_before() {
    let standin = start(Version::V4_1);
    standin.set_limits(|l| l.label_keep_max_num = 2);
    ok(&standin, "open", &["begin", "load", "prepare"]);
    for label in ["a", "b", "c"] {
        ok(&standin, label, &["begin", "load", "prepare", "commit"]);
    }
    assert_eq!(state(&standin, "a"), "VISIBLE");
    assert_eq!(standin.sweep_labels(), 2);
    let states = ["open", "a", "b", "c"].map(|l| state(&standin, l));
    assert_eq!(states, ["PREPARED", "UNKNOWN", "UNKNOWN", "VISIBLE"]);
    // A forgotten label is a fresh one.
    let again = load(&standin, "t", &["label: a", "format: json"], "{\"id\":1}");
    assert_eq!(again.field("Status"), "Success");
    assert_eq!(standin.rows_with_labels("d", "t").iter().filter(|(l, _)| l == "a").count(), 2);
    ok(&standin, "open", &["commit"]);
}

#[test]
fn labels_are_forgotten_by_age_and_on_an_interval() {
    let standin = start(Version::V4_1);
    standin.set_limits(|l| {
        l.label_keep_max_second = 100;
        l.label_clean_interval_second = Some(50);
    });
    ok(&standin, "a", &["begin", "load", "commit"]);
    standin.advance(Duration::from_secs(60));
    assert_eq!(state(&standin, "a"), "VISIBLE");
    standin.advance(Duration::from_secs(60));
    assert_eq!(state(&standin, "a"), "UNKNOWN");
}

#[test]
fn a_restart_forgets_prepare_and_keeps_the_rest() {
    let standin = start(Version::V4_1);
    ok(&standin, "prepare", &["begin", "load"]);
    ok(&standin, "prepared", &["begin", "load", "prepare"]);
    ok(&standin, "visible", &["begin", "load", "commit"]);
    ok(&standin, "aborted", &["begin", "load", "rollback"]);
    standin.restart_fe();
    let states = ["prepare", "prepared", "visible", "aborted"].map(|l| state(&standin, l));
    assert_eq!(states, ["UNKNOWN", "PREPARED", "VISIBLE", "ABORTED"]);
    // The backend still has its context, and the frontend no transaction for it.
    let headers = [ROOT, "db: d", "table: t", "label: prepare"];
    let reply = ask(standin.be(), "POST", "/api/transaction/prepare", &headers, "");
    assert_eq!(reply.field("Status"), "INTERNAL_ERROR");
    assert!(reply.field("Message").ends_with("because \"transactionState\" is null"));
    ok(&standin, "prepared", &["commit"]);
    ok(&standin, "later", &["begin"]);
    assert_eq!(standin.journal().last().unwrap().txn_id, Some(2001));
}

#[test]
fn a_release_with_the_defect_cannot_commit_what_was_prepared_before_a_restart() {
    let standin = start(Version::V3_3);
    ok(&standin, "a", &["begin", "load", "prepare"]);
    standin.restart_fe_losing_prepared();
    assert_eq!(status(&standin, "commit", "a"), "FAILED");
    assert_eq!(state(&standin, "a"), "PREPARED");
    ok(&standin, "a", &["rollback"]);
}

#[test]
fn a_deposed_leader_answers_from_memory_and_then_is_gone() {
    let standin =
        Standin::builder().version(Version::V4_1).fe_count(2).be_count(1).start().unwrap();
    standin.execute("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT)").unwrap();
    ok(&standin, "a", &["begin", "load", "prepare"]);
    standin.depose_leader(1, Duration::from_secs(40));
    let at = |fe: usize, label: &str| {
        let target = format!("/api/d/get_load_state?label={label}");
        ask(standin.fe_at(fe), "GET", &target, &[ROOT], "").field("state")
    };
    let headers = [ROOT, "db: d", "label: a"];
    let reply = ask(standin.fe_at(1), "POST", "/api/transaction/commit", &headers, "");
    assert_eq!(reply.field("Status"), "OK");
    assert_eq!((at(0, "a"), at(1, "a")), ("PREPARED".into(), "VISIBLE".into()));
    thread::scope(|scope| {
        let unanswered = scope.spawn(|| {
            let mut client = Client::connect(standin.fe_at(0));
            client.write(&request("POST", "/api/transaction/rollback", &headers, b""));
            client.read().is_none()
        });
        wait_for(|| standin.journal().last().unwrap().target.ends_with("rollback"));
        standin.advance(Duration::from_secs(41));
        assert!(unanswered.join().unwrap());
    });
    let mut client = Client::connect(standin.fe_at(0));
    assert!(client.is_closed());
}

#[test]
fn a_backends_death_takes_its_contexts_but_not_what_is_prepared() {
    let standin = Standin::builder().version(Version::V4_1).be_count(1).start().unwrap();
    standin.execute("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT)").unwrap();
    ok(&standin, "prepared", &["begin", "load", "prepare"]);
    ok(&standin, "open", &["begin", "load"]);
    standin.kill_be(0);
    assert!(std::net::TcpStream::connect(standin.be()).is_err());
    standin.start_be(0);
    assert_eq!(status(&standin, "load", "open"), "TXN_NOT_EXISTS");
    assert_eq!(state(&standin, "open"), "PREPARE");
    ok(&standin, "prepared", &["commit"]);
    standin.notice_dead_be(0);
    assert_eq!(reason(&standin, "open"), "coordinate BE is down");
}

#[test]
fn a_backend_dying_in_a_load_leaves_the_transaction_open() {
    let standin = start(Version::V3_5);
    let hold = Do::Hold("mid".to_owned());
    standin.fault(Fault::on(Op::StreamLoad, hold).at(At::AnyBe).when(When::Body(1)));
    thread::scope(|scope| {
        let lost = scope.spawn(|| {
            let mut client = Client::connect(standin.be());
            let headers = as_root(&["label: a", "format: json"]);
            client.write(&request("PUT", "/api/d/t/_stream_load", &headers, b"{\"id\":1}"));
            client.read().is_none()
        });
        standin.wait_held("mid");
        standin.kill_be(0);
        standin.release("mid");
        assert!(lost.join().unwrap());
    });
    wait_for(|| {
        standin.journal()[0].outcome == "backend died"
            || standin.journal()[0].outcome == "connection broken"
    });
    assert_eq!((state(&standin, "a").as_str(), standin.count("d", "t")), ("PREPARE", 0));
    standin.advance(Duration::from_secs(601));
    assert_eq!(state(&standin, "a"), "ABORTED");
}

#[test]
fn transactions_time_out_idle_open_and_prepared() {
    let standin = start(Version::V4_1);
    let begin = |label: &str, more: &str| {
        let label = format!("label: {label}");
        let headers = ["db: d", "table: t", &label, more];
        assert_eq!(crate::client::txn(standin.fe(), "begin", &headers, "").field("Status"), "OK");
    };
    begin("idle", "idle_transaction_timeout: 5");
    begin("open", "timeout: 20");
    ok(&standin, "default", &["begin", "load", "prepare"]);
    ok(&standin, "explicit", &["begin", "load"]);
    let headers = ["db: d", "label: explicit", "prepared_timeout: 1000"];
    crate::client::txn(standin.fe(), "prepare", &headers, "");
    standin.advance(Duration::from_secs(6));
    assert!(reason(&standin, "idle").contains("idle timeout 5"));
    standin.advance(Duration::from_secs(15));
    assert_eq!(reason(&standin, "open"), "timeout by txn manager");
    // The backend does not know yet.
    assert_eq!(status(&standin, "prepare", "open"), "INTERNAL_ERROR");
    standin.set_limits(|l| l.prepared_transaction_default_timeout_second = 20);
    standin.restart_fe();
    assert_eq!(
        (state(&standin, "default"), state(&standin, "explicit")),
        ("ABORTED".into(), "PREPARED".into())
    );
    standin.advance(Duration::from_secs(1000));
    assert_eq!(reason(&standin, "explicit"), "timeout by txn manager");
}

#[test]
fn tables_change_while_a_transaction_is_prepared() {
    let standin = start(Version::V4_1);
    ok(&standin, "a", &["begin", "load", "prepare"]);
    standin.execute("ALTER TABLE d.t ADD COLUMN n INT").unwrap();
    ok(&standin, "a", &["commit"]);
    assert_eq!(standin.rows("d", "t"), [json!({"id": 1, "v": null, "n": null})]);
    ok(&standin, "b", &["begin", "load", "prepare"]);
    standin.execute("DROP DATABASE d").unwrap();
    let text = "class com.starrocks.common.StarRocksException: Database[d] does not exist.";
    assert_eq!(op(&standin, "commit", "b").field("Message"), text);
    standin.execute("RECOVER DATABASE d").unwrap();
    assert_eq!(state(&standin, "b"), "PREPARED");
    ok(&standin, "b", &["commit"]);
    ok(&standin, "c", &["begin", "load", "prepare"]);
    standin.execute("DROP TABLE d.t").unwrap();
    ok(&standin, "c", &["commit"]);
    assert_eq!(state(&standin, "c"), "VISIBLE");
}

#[test]
fn the_loads_table_is_no_second_memory() {
    let standin = start(Version::V4_1);
    let row = || {
        let query = "SELECT STATE, TXN_ID FROM information_schema.loads WHERE LABEL='a'";
        let body = json!({ "query": query }).to_string();
        let reply = ask(standin.fe(), "POST", "/api/v1/catalogs/c/sql", &[ROOT], &body);
        reply.body.lines().find(|l| l.contains("data")).unwrap_or_default().to_owned()
    };
    ok(&standin, "a", &["begin", "load", "commit"]);
    assert_eq!(row(), "{\"data\":[\"FINISHED\",1001]}");
    assert_eq!(status(&standin, "begin", "a"), "LABEL_ALREADY_EXISTS");
    assert_eq!(row(), "{\"data\":[\"CANCELLED\",-1]}");
    standin.restart_fe();
    assert_eq!(row(), "");
}

/// The stand-in's own process; killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_process_prints_its_addresses_and_obeys_the_control_endpoints() {
    let file = std::env::temp_dir().join(format!("standin-{}.sql", std::process::id()));
    std::fs::write(&file, "CREATE DATABASE d; USE d; CREATE TABLE t (id BIGINT, v INT);").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_standin"))
        .args(["--fe", "0", "--be", "0", "--be", "0", "--query", "0", "--version", "3.5", "--init"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _process = Process(child);
    let _ = std::fs::remove_file(&file);
    let addresses: Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<&String> = addresses.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["fe", "query", "be"]);
    let fe: SocketAddr = addresses["fe"].as_str().unwrap().parse().unwrap();
    let be: SocketAddr = addresses["be"][1].as_str().unwrap().parse().unwrap();
    let headers = as_root(&["label: a", "format: json"]);
    ask(be, "PUT", "/api/d/t/_stream_load", &headers, "{\"id\":3,\"v\":4}");
    let get = |what: &str| ask(fe, "GET", &format!("/_standin/{what}"), &[], "");
    let post = |what: &str, body: &str| ask(fe, "POST", &format!("/_standin/{what}"), &[], body);
    assert_eq!(get("rows?db=d&table=t").body, "{\"id\":3,\"v\":4}\n");
    let labelled = get("rows?db=d&table=t&labels=true").body;
    assert_eq!(labelled, "{\"label\":\"a\",\"row\":{\"id\":3,\"v\":4}}\n");
    assert_eq!(get("rows?db=d&table=t&sorted=true").body, "{\"id\":3,\"v\":4}\n");
    assert_eq!(get("count?db=d&table=t").field("rows"), "1");
    assert_eq!(post("config?name=streaming_load_max_batch_size_mb&value=1", "").status, 200);
    assert!(get("labels?db=d").body.contains("\"state\":\"VISIBLE\""));
    assert_eq!(get("journal").body.lines().count(), 1);
    assert_eq!(post("fault", "{\"op\":\"health\",\"do\":\"answer\",\"status\":500}").status, 200);
    assert_eq!(ask(fe, "GET", "/api/health", &[], "").status, 500);
    assert_eq!(post("fault", "{\"op\":\"health\",\"do\":\"explode\"}").status, 400);
    assert_eq!(post("sql", "CREATE TABLE d.u (id INT)").status, 200);
    assert_eq!(post("config?name=label_keep_max_num&value=0", "").status, 200);
    assert_eq!(post("sweep", "").field("forgotten"), "1");
    assert_eq!(post("keep?db=d&table=t&mode=tally&column=id", "").status, 200);
    assert_eq!(get("rows?db=d&table=t").status, 400);
    assert_eq!(post("kill_be?be=0", "").status, 200);
    assert_eq!(post("start_be?be=0", "").status, 200);
    assert_eq!(post("restart_fe", "").status, 200);
    assert_eq!(post("reset", "").status, 200);
    assert_eq!(get("journal").body, "");
    assert_eq!(get("nope").status, 400);
    for op in
        ["begin_moves?on=false", "advance?ms=5", "release?name=x", "clear_faults", "be_down?be=1"]
    {
        assert_eq!(post(op, "").status, 200, "{op}");
    }
}
