//! Table 4.5 of the specification: what every operation answers for a label in every state.
//! (Checklist 39, 41, 42, 46, 47, 49, 52, 54–56, 80.)

use std::time::Duration;

use standin::{Do, Fault, Op, Standin, Version};

use crate::client::{ROOT, ask, load, op, start, state, txn};

/// A label's states, as the table's rows name them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Row {
    Unknown,
    UnknownInMap,
    Prepare,
    PrepareMoved,
    Prepared,
    Committed,
    Visible,
    Aborted,
    AbortedByFe,
}

const OPS: [&str; 7] = ["begin", "load", "prepare", "commit", "rollback", "plain", "cancel"];

/// A stand-in with label `L` in the state of `row`.
fn arrange(row: Row) -> Standin {
    let standin = start(Version::V4_1);
    let ask_begin_only = || {
        let headers = [ROOT, "db: d", "table: t", "label: L"];
        assert_eq!(ask(standin.fe(), "POST", "/api/transaction/begin", &headers, "").status, 307);
    };
    let do_all = |ops: &[&str]| {
        for name in ops {
            assert_eq!(op(&standin, name, "L").field("Status"), "OK", "{row:?} {name}");
        }
    };
    match row {
        Row::Unknown => {}
        Row::UnknownInMap => ask_begin_only(),
        Row::Prepare => do_all(&["begin", "load"]),
        Row::PrepareMoved => {
            do_all(&["begin", "load"]);
            ask_begin_only();
        }
        Row::Prepared => do_all(&["begin", "load", "prepare"]),
        Row::Committed => {
            do_all(&["begin", "load", "prepare"]);
            let slow = Do::PublishTimeout(Duration::from_secs(3600));
            standin.fault(Fault::on(Op::Commit, slow));
            assert!(
                op(&standin, "commit", "L").field("Message").contains("publish timeout: 20000")
            );
        }
        Row::Visible => do_all(&["begin", "load", "prepare", "commit"]),
        Row::Aborted => do_all(&["begin", "load", "rollback"]),
        Row::AbortedByFe => {
            do_all(&["begin", "load"]);
            assert_eq!(cancel(&standin), "OK");
        }
    }
    standin
}

fn cancel(standin: &Standin) -> String {
    let reply = ask(standin.fe(), "POST", "/api/d/t/_cancel?label=L", &[ROOT], "");
    match reply.field("status").as_str() {
        "OK" => "OK".to_owned(),
        _ => reply.field("msg"),
    }
}

/// The answer in short: Status, then what tells it from others of that Status.
fn answer(standin: &Standin, name: &str) -> String {
    let reply = match name {
        "cancel" => return cancel(standin),
        "plain" => load(standin, "t", &["label: L", "format: json"], "{\"id\":1}"),
        name => op(standin, name, "L"),
    };
    let message = reply.field("Message");
    let message = message.split("Exception: ").last().unwrap();
    let tail = match reply.json().get("ExistingJobStatus") {
        Some(existing) => existing.as_str().unwrap().to_owned(),
        None => message.to_owned(),
    };
    format!("{} {tail}", reply.field("Status")).trim().to_owned()
}

#[track_caller]
fn check(row: Row, expect: [&str; 7]) {
    for (name, expect) in OPS.iter().zip(expect) {
        let standin = arrange(row);
        let got = answer(&standin, name);
        let fits = match expect.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == expect,
        };
        assert!(fits, "{row:?}, {name}: {got}, not {expect}");
    }
}

const TNE: &str = "TXN_NOT_EXISTS …";
const LOST: &str = "FAILED No transaction found with db[d] and label[L]";
const NONE: &str = "transaction not found: L";

#[test]
fn unknown() {
    let load = "FAILED Can't find the transaction with db [d] and label[L]. The possible reasons: \
                1. FE leader is started or switched; 2. The transaction timeouts and is cleaned.";
    check(Row::Unknown, ["OK", load, LOST, LOST, LOST, "Success OK", NONE]);
}

#[test]
fn unknown_but_in_the_frontends_map() {
    let lost = "FAILED No transaction found by label L";
    check(Row::UnknownInMap, ["OK", TNE, TNE, lost, lost, "Success OK", NONE]);
}

#[test]
fn prepare() {
    let begin = "LABEL_ALREADY_EXISTS RUNNING";
    check(Row::Prepare, [begin, "OK", "OK", "OK", "OK", "Label Already Exists RUNNING", "OK"]);
}

#[test]
fn prepare_with_the_map_moved_to_another_backend() {
    let plain = "Label Already Exists RUNNING";
    check(Row::PrepareMoved, ["LABEL_ALREADY_EXISTS", TNE, TNE, TNE, TNE, plain, "OK"]);
}

#[test]
fn prepared() {
    let begin = "LABEL_ALREADY_EXISTS RUNNING";
    check(Row::Prepared, [begin, TNE, TNE, "OK", "OK", "Label Already Exists RUNNING", NONE]);
}

#[test]
fn committed() {
    let commit = "OK Transaction 1001 has already committed, label is L";
    let rollback = "FAILED Can not abort COMMITTED transaction 1001, label is L";
    let plain = "Label Already Exists FINISHED";
    let begin = "LABEL_ALREADY_EXISTS FINISHED";
    check(Row::Committed, [begin, TNE, TNE, commit, rollback, plain, NONE]);
}

#[test]
fn visible() {
    let commit = "OK Transaction 1001 has already committed, label is L";
    let rollback = "FAILED Can not abort VISIBLE transaction 1001, label is L";
    let plain = "Label Already Exists FINISHED";
    let begin = "LABEL_ALREADY_EXISTS FINISHED";
    check(Row::Visible, [begin, TNE, TNE, commit, rollback, plain, NONE]);
}

#[test]
fn aborted() {
    let commit = "FAILED Can not commit ABORTED transaction 1001, label is L";
    let rollback = "OK Transaction 1001 has already aborted, label is L";
    check(Row::Aborted, ["OK", TNE, TNE, commit, rollback, "Success OK", NONE]);
}

#[test]
fn aborted_by_the_frontend_with_the_context_left() {
    let commit = "FAILED Can not commit ABORTED transaction 1001, label is L";
    let rollback = "OK Transaction 1001 has already aborted, label is L";
    let prepare = "ANALYSIS_ERROR user cancel";
    // The second of two backends knows nothing of the context, so begin is fine there.
    check(Row::AbortedByFe, ["OK", "OK", prepare, commit, rollback, "Success OK", NONE]);
}

#[test]
fn a_context_left_behind_refuses_begin_until_one_prepare_drops_it() {
    let standin = Standin::builder().version(Version::V4_1).start().unwrap();
    standin.execute("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT)").unwrap();
    for name in ["begin", "load"] {
        op(&standin, name, "L");
    }
    assert_eq!(cancel(&standin), "OK");
    assert_eq!(standin.label("d", "L").unwrap().1, "user cancel");
    assert_eq!(answer(&standin, "begin"), "LABEL_ALREADY_EXISTS");
    assert_eq!(answer(&standin, "prepare"), "ANALYSIS_ERROR user cancel");
    assert_eq!(answer(&standin, "begin"), "OK");
}

#[test]
fn a_repeated_begin_moves_the_label_or_stays_as_selected() {
    let standin = arrange(Row::Prepare);
    assert_eq!(answer(&standin, "begin"), "LABEL_ALREADY_EXISTS RUNNING");
    assert_eq!(answer(&standin, "load"), "TXN_NOT_EXISTS Transaction with label L not exists");
    assert_eq!(answer(&standin, "prepare"), "TXN_NOT_EXISTS transaction with label L not exists");
    // A further begin moves the map back to the owner.
    assert_eq!(answer(&standin, "begin"), "LABEL_ALREADY_EXISTS");
    assert_eq!(answer(&standin, "load"), "OK");
    let standin = arrange(Row::Unknown);
    standin.set_begin_moves(false);
    assert_eq!(answer(&standin, "begin"), "OK");
    assert_eq!(answer(&standin, "begin"), "LABEL_ALREADY_EXISTS");
    assert_eq!(answer(&standin, "load"), "OK");
}

#[test]
fn prepare_without_data_aborts() {
    let standin = start(Version::V4_1);
    op(&standin, "begin", "L");
    let got = answer(&standin, "prepare");
    assert!(
        got.starts_with("INTERNAL_ERROR transaction <")
            && got.ends_with("hasn't send any data yet")
    );
    assert_eq!(state(&standin, "L"), "ABORTED");
}

#[test]
fn after_a_restart_a_prepared_label_has_no_node_but_commits() {
    for then in ["commit", "rollback"] {
        let standin = arrange(Row::Prepared);
        standin.restart_fe();
        let no_node = "FAILED Can't find node id -1. You can check the cluster to see whether the \
                       node exists";
        assert_eq!(answer(&standin, "prepare"), no_node);
        assert_eq!(answer(&standin, "load"), no_node);
        assert_eq!(answer(&standin, then), "OK");
    }
}

#[test]
fn older_releases_word_a_lost_label_differently() {
    let standin = start(Version::V3_5);
    assert_eq!(cancel(&standin), "transaction not found, label=L");
    assert_eq!(answer(&standin, "commit"), "FAILED No transaction found by label L");
    load(&standin, "t", &["label: L", "format: json"], "{\"id\":1}");
    assert_eq!(cancel(&standin), "running transaction not found, label=L");
    // The label may stand in the path.
    op(&standin, "begin", "M");
    let reply = ask(standin.fe(), "POST", "/api/d/M/_cancel", &[ROOT], "");
    assert_eq!(reply.field("status"), "OK");
}

#[test]
fn the_odd_state_answers_have_their_texts() {
    let standin = start(Version::V4_1);
    let get = |target: &str| ask(standin.fe(), "GET", target, &[ROOT], "").body;
    let unknown = r#"{"state":"UNKNOWN","status":"OK","code":"0","msg":"Success","message":"OK"}"#;
    assert_eq!(get("/api/d/get_load_state?label=x"), unknown);
    load(&standin, "t", &["label: x", "format: json"], "{\"id\":1}");
    let visible = r#"{"state":"VISIBLE","reason":"","status":"OK","code":"0","msg":"Success","message":"OK"}"#;
    assert_eq!(get("/api/d/get_load_state?label=x"), visible);
    let text = "unknown database, database\\u003dX";
    let no_db = format!(r#"{{"status":"FAILED","code":"1","msg":"{text}","message":"{text}"}}"#);
    assert_eq!(get("/api/X/get_load_state?label=x"), no_db);
    assert!(get("/api/d/get_load_state").contains("No label selected."));
    assert!(get("/api/d/_load_info?label=x").contains("No jobs belong to database(d)"));
    let post = |target: &str| ask(standin.fe(), "POST", target, &[ROOT], "");
    assert_eq!(post("/api/d/get_load_state?label=x").status, 501);
    assert_eq!(post("/api/d/_cancel?label=x").status, 501);
    assert_eq!(post("/api/X/t/_cancel?label=x").field("msg"), "unknown database, database=X");
    assert_eq!(post("/api/X/x/_cancel").field("msg"), "No label selected.");
    let headers = ["db: d", "label: x", "table: t"];
    assert_eq!(txn(standin.fe(), "list", &headers, "").field("Status"), "FAILED");
}
