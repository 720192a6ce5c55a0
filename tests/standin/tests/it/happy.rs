//! Loads that go well: plain and by transaction, with redirects, and what is read back.

use serde_json::json;
use standin::{TxnState, Version};

use crate::client::{as_root, ask, load, location, op, start, state, txn};

#[test]
fn a_plain_load_goes_through_the_redirect_and_is_visible() {
    for version in Version::ALL {
        let standin = start(version);
        let headers = as_root(&["Expect: 100-continue", "format: json", "label: a"]);
        let target = "/api/d/t/_stream_load";
        let first = ask(standin.fe(), "PUT", target, &headers, "");
        let body = "{\"id\":1,\"v\":\"x\"}\n{\"id\":2}";
        let reply = ask(location(&first), "PUT", target, &headers, body);
        assert!(reply.continued);
        assert_eq!(reply.field("Status"), "Success", "{}", reply.body);
        assert_eq!(reply.field("NumberLoadedRows"), "2");
        assert_eq!(reply.field("LoadBytes"), body.len().to_string());
        let rows = [json!({"id": 1, "v": "x"}), json!({"id": 2, "v": null})];
        assert_eq!(standin.rows("d", "t"), rows);
        assert_eq!(standin.rows_with_labels("d", "t")[0].0, "a");
        assert_eq!(state(&standin, "a"), "VISIBLE");
    }
}

#[test]
fn a_transaction_is_invisible_until_it_is_committed() {
    for version in Version::ALL.into_iter().filter(|v| *v >= Version::V2_5) {
        let standin = start(version);
        assert_eq!(op(&standin, "begin", "b").field("Status"), "OK");
        assert_eq!(op(&standin, "load", "b").field("Status"), "OK");
        assert_eq!(op(&standin, "load", "b").field("Status"), "OK");
        assert_eq!(op(&standin, "prepare", "b").field("NumberLoadedRows"), "2");
        assert_eq!((standin.count("d", "t"), state(&standin, "b").as_str()), (0, "PREPARED"));
        let commit = op(&standin, "commit", "b");
        assert_eq!(commit.field("Status"), "OK", "{}", commit.body);
        assert_eq!((standin.count("d", "t"), state(&standin, "b").as_str()), (2, "VISIBLE"));
        assert_eq!(standin.labels("d"), [("b".to_owned(), TxnState::Visible)]);
    }
}

#[test]
fn a_rolled_back_transactions_rows_are_never_seen() {
    let standin = start(Version::V3_5);
    for prepared in [false, true] {
        let label = format!("c{prepared}");
        op(&standin, "begin", &label);
        op(&standin, "load", &label);
        if prepared {
            op(&standin, "prepare", &label);
        }
        assert_eq!(op(&standin, "rollback", &label).field("Status"), "OK");
        assert_eq!(state(&standin, &label), "ABORTED");
    }
    assert_eq!(standin.count("d", "t"), 0);
}

#[test]
fn an_array_body_is_loaded_element_by_element() {
    let standin = start(Version::V3_5);
    let headers = ["format: json", "strip_outer_array: true"];
    let reply = load(&standin, "t", &headers, "[{\"id\":1},\n{\"id\":2}]");
    assert_eq!(reply.field("Status"), "Success", "{}", reply.body);
    assert_eq!(standin.count("d", "t"), 2);
    let headers = ["db: d", "table: t", "label: x", "format: json"];
    assert_eq!(txn(standin.fe(), "begin", &headers, "").field("Label"), "x");
}

#[test]
fn many_loaders_at_once_lose_and_repeat_nothing() {
    let standin = start(Version::V3_5);
    std::thread::scope(|scope| {
        for loader in 0..8 {
            let standin = &standin;
            scope.spawn(move || {
                for n in 0..10 {
                    let label = format!("l{loader}-{n}");
                    for name in ["begin", "load", "load", "prepare", "commit"] {
                        assert_eq!(op(standin, name, &label).field("Status"), "OK");
                    }
                }
            });
        }
    });
    let mut labels: Vec<String> =
        standin.rows_with_labels("d", "t").into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels.len(), 160);
    labels.sort();
    labels.dedup();
    assert_eq!(labels.len(), 80);
}
