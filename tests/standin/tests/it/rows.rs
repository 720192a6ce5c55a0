//! Loads on a backend: what is answered, and what becomes of rows. (Checklist 13–33, 47–53.)

use std::io::Write;

use serde_json::{Value, json};
use standin::{Keep, Standin, Version};

use crate::client::{Client, ROOT, Reply, as_root, ask, load, op, request, start, state, txn};

const LOAD: &str = "/api/d/t/_stream_load";

/// A stand-in of this release with table `t` made of `columns`.
fn with_table(version: Version, columns: &str) -> Standin {
    let standin = Standin::builder().version(version).start().unwrap();
    standin.execute(&format!("CREATE DATABASE d; CREATE TABLE d.t ({columns}")).unwrap();
    standin
}

#[track_caller]
fn fails(reply: &Reply, text: &str) {
    assert_eq!(reply.field("Status"), "Fail", "{}", reply.body);
    let message = reply.field("Message");
    assert!(message.contains(text), "{message}, not {text}");
}

#[test]
fn the_reply_has_its_fields_in_order_as_each_release_prints_them() {
    let expect = |version: Version, extra: &str, plan: &str| {
        let standin = start(version);
        let body = load(&standin, "t", &["label: l", "format: json"], "{\"id\":1}").body;
        let at = body.find("    \"LoadTimeMs\"").unwrap();
        let head = format!(
            "{{\n    \"TxnId\": 1001,\n    \"Label\": \"l\",\n{extra}    \"Status\": \"Success\",\n    \
             \"Message\": \"OK\",\n    \"NumberTotalRows\": 1,\n    \"NumberLoadedRows\": 1,\n    \
             \"NumberFilteredRows\": 0,\n    \"NumberUnselectedRows\": 0,\n    \"LoadBytes\": 8,\n"
        );
        assert_eq!(body[..at], head);
        let names: Vec<&str> = body[at..].lines().filter_map(|l| l.split('"').nth(1)).collect();
        let tail = [
            "LoadTimeMs",
            "BeginTxnTimeMs",
            plan,
            "ReadDataTimeMs",
            "WriteDataTimeMs",
            "CommitAndPublishTimeMs",
        ];
        assert_eq!(names, tail);
    };
    expect(Version::V2_5, "", "StreamLoadPutTimeMs");
    expect(Version::V3_5, "", "StreamLoadPlanTimeMs");
    let named = "    \"Db\": \"d\",\n    \"Table\": \"t\",\n";
    expect(Version::V4_1, named, "StreamLoadPlanTimeMs");
}

#[test]
fn a_load_without_expect_is_fine_and_a_label_is_made_up() {
    let standin = start(Version::V3_5);
    let reply = load(&standin, "t", &["format: json"], "{\"id\":1}");
    assert!(!reply.continued);
    assert_eq!(reply.field("Label").len(), 36);
    assert_eq!(state(&standin, &reply.field("Label")), "VISIBLE");
}

#[test]
fn errors_before_the_body_come_instead_of_100_continue() {
    let standin = start(Version::V3_5);
    load(&standin, "t", &["label: l", "format: json"], "{\"id\":1}");
    let refused = |target: &str, headers: &[&str]| {
        let mut client = Client::connect(standin.be());
        let head =
            format!("PUT {target} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99\r\n");
        client.write(format!("{head}{}\r\n\r\n", headers.join("\r\n")).as_bytes());
        let reply = client.read().unwrap();
        assert!(!reply.continued);
        reply
    };
    let used = refused(LOAD, &[ROOT, "label: l"]);
    assert_eq!(used.field("Status"), "Label Already Exists");
    assert_eq!(
        (used.field("ExistingJobStatus"), used.field("TxnId")),
        ("FINISHED".into(), "-1".into())
    );
    fails(&refused(LOAD, &["a: b"]), "no valid Basic authorization");
    fails(&refused(LOAD, &["Authorization: Basic !!"]), "no valid Basic authorization");
    let wrong = refused(LOAD, &["Authorization: Basic cm9vdDp4"]);
    fails(&wrong, "Access denied for user 'root' (using password: YES)");
    fails(&refused("/api/x/t/_stream_load", &[ROOT]), "unknown database, database=x");
    fails(&refused("/api/d/x/_stream_load", &[ROOT]), "unknown table \"d.x\"");
    fails(
        &refused(LOAD, &[ROOT, "label: a.b"]),
        "Label format error. regex: ^[-\\w]{1,128}$, label: a.b",
    );
    fails(&refused(LOAD, &[ROOT, "timeout: x"]), "Invalid timeout format");
    fails(&refused(LOAD, &[ROOT, "format: xml"]), "unknown data format, format=xml");
    let planned = refused(LOAD, &[ROOT, "label: m", "columns: v"]);
    fails(&planned, "Column has no default value. column: id");
    assert_ne!(planned.field("TxnId"), "-1");
    assert_eq!(state(&standin, "m"), "ABORTED");
}

#[test]
fn one_release_hides_the_used_label_in_a_plain_failure() {
    for version in Version::ALL {
        let standin = start(version);
        let headers = ["label: l", "format: json"];
        load(&standin, "t", &headers, "{\"id\":1}");
        let again = load(&standin, "t", &headers, "{\"id\":1}");
        assert!(again.field("Message").contains("Label [l] has already been used."));
        let status = if version == Version::V3_3 { "Fail" } else { "Label Already Exists" };
        assert_eq!(again.field("Status"), status);
        assert_eq!(standin.count("d", "t"), 1);
        if version < Version::V2_5 {
            let begin = op(&standin, "begin", "m");
            assert_eq!((begin.status, begin.field("msg").as_str()), (501, "Not implemented"));
            continue;
        }
        let begin = op(&standin, "begin", "l").field("Status");
        let hidden = version == Version::V3_3;
        assert_eq!(begin, if hidden { "ANALYSIS_ERROR" } else { "LABEL_ALREADY_EXISTS" });
        assert_eq!(standin.count("d", "t"), 1);
    }
}

#[test]
fn sizes_are_limited_by_the_declared_length() {
    let standin = start(Version::V3_5);
    standin.set_limits(|l| {
        l.json_max_bytes = 20;
        l.streaming_load_max_bytes = 100;
    });
    let body = "{\"id\":1}\n{\"id\":2}\n{\"id\":3}";
    let reply = load(&standin, "t", &["format: json"], body);
    fails(
        &reply,
        "The size of this batch exceed the max size [20]  of json type data  data [ 26 ].",
    );
    let reply = load(&standin, "t", &["format: json", "ignore_json_size: true"], body);
    assert_eq!(reply.field("Status"), "Success");
    let reply = load(&standin, "t", &["ignore_json_size: true"], &"1\tx\n".repeat(40));
    fails(&reply, "body size 160 exceed limit: 100");
    // Chunks declare no length.
    let mut client = Client::connect(standin.be());
    let head = format!(
        "PUT {LOAD} HTTP/1.1\r\n{ROOT}\r\nformat: json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.write(format!("{head}1a\r\n{body}\r\n0\r\n\r\n").as_bytes());
    let reply = client.read().unwrap();
    assert_eq!((reply.field("Status"), reply.field("LoadBytes")), ("Success".into(), "26".into()));
    // The cap on the connection holds for chunks as well.
    let mut client = Client::connect(standin.be());
    client.write(format!("{head}65\r\n{}\r\n0\r\n\r\n", " ".repeat(101)).as_bytes());
    assert!(client.read().is_none());
    // In a transaction the sum counts.
    op(&standin, "begin", "l");
    for _ in 0..2 {
        assert_eq!(op(&standin, "load", "l").field("Status"), "OK");
    }
    assert!(op(&standin, "load", "l").field("Message").contains("data [ 24 ]"));
    assert_eq!(state(&standin, "l"), "ABORTED");
}

#[test]
fn a_connection_cut_in_the_body_aborts_the_transaction() {
    let standin = start(Version::V3_5);
    let mut client = Client::connect(standin.be());
    let headers = as_root(&["label: l", "format: json"]);
    let bytes = request("PUT", LOAD, &headers, &[b' '; 100]);
    client.write(&bytes[..bytes.len() - 50]);
    drop(client);
    wait_for(|| standin.label("d", "l").is_some_and(|(s, _)| s.name() == "ABORTED"));
    assert_eq!(standin.count("d", "t"), 0);
}

pub fn wait_for(mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never came");
}

#[test]
fn json_bodies_are_taken_in_their_root_forms_only() {
    let strip = "strip_outer_array: true";
    let check = |headers: &[&str], body: &str, expect: Result<u64, &str>| {
        let standin = start(Version::V3_5);
        let headers = [&["format: json"], headers].concat();
        let reply = load(&standin, "t", &headers, body);
        match expect {
            Ok(rows) => {
                assert_eq!(reply.field("Status"), "Success", "{body}: {}", reply.body);
                assert_eq!(standin.count("d", "t"), rows, "{body}");
            }
            Err(text) => fails(&reply, text),
        }
    };
    check(&[], "{\"id\":1}", Ok(1));
    check(&[], "{\"id\":1}{\"id\":2}\n \n{\"id\":3}", Ok(3));
    check(&[], "[{\"id\":1}]", Err("The value is array type in json document stream, you can set"));
    check(&[], "{\"id\":1},{\"id\":2}", Err("Failed to parse json"));
    check(&[], "{\"id\":1", Err("Failed to parse json"));
    check(&[], "id", Err("illegal json started with i"));
    check(&[], "", Err("No rows were imported from upstream"));
    check(&[strip], "[{\"id\":1},{\"id\":2}]", Ok(2));
    check(
        &[strip],
        "{\"id\":1}",
        Err("the value should be array type with strip_outer_array=true, value: {"),
    );
    check(&[strip], "[]", Err("No rows were imported from upstream"));
    check(&[strip], "[1]", Err("Failed to iterate json array as object."));
    check(&[strip], "[{\"id\":1}", Err("Failed to parse json as array."));
    check(&["json_root: $.a"], "{\"a\":{\"id\":1}}", Ok(1));
    check(&["json_root: $.a", strip], "{\"a\":[{\"id\":1},{\"id\":2}]}", Ok(2));
    check(&["json_root: $.a"], "[{\"a\":{\"id\":1}}]", Ok(1));
    check(&["json_root: $.a"], "{\"a\":1}", Err("the value should be object type"));
    check(&["max_filter_ratio: 1"], "{\"id\":1}{", Err("Failed to parse json"));
    let paths = "jsonpaths: [\"$.k.n\", \"$\"]";
    check(&[paths, "columns: id, v"], "{\"k\":{\"n\":5}}", Ok(1));
    check(&["jsonpaths: x"], "{}", Err("Invalid json path: x"));
    let old = start(Version::V2_5);
    let reply = load(&old, "t", &["format: json", strip], "[]");
    fails(&reply, "all partitions have no load data");
}

#[test]
fn keys_meet_columns_by_case_and_missing_ones_are_null() {
    let standin = start(Version::V3_5);
    let headers = ["format: json", "max_filter_ratio: 0.5"];
    let reply = load(&standin, "t", &headers, "{\"id\":1,\"V\":\"x\",\"more\":1}{\"ID\":2}");
    assert_eq!(reply.field("NumberFilteredRows"), "1");
    assert_eq!(standin.rows("d", "t"), [json!({"id": 1, "v": null})]);
    let url = reply.field("ErrorURL");
    let target = url.split_once("/api").unwrap().1;
    let log = ask(standin.be(), "GET", &format!("/api{target}"), &[], "");
    assert_eq!(log.body, "Error: NULL value in non-nullable column 'id'. Row: [NULL, NULL]\n");
    assert_eq!(ask(standin.be(), "GET", "/api/_load_error_log?file=x", &[], "").status, 404);
}

#[test]
fn the_filter_ratio_may_be_reached_but_not_passed() {
    for (ratio, fine) in [("0.5", true), ("0.49", false), ("garbage", false), ("1", true)] {
        let standin = start(Version::V3_5);
        let ratio = format!("max_filter_ratio: {ratio}");
        let reply = load(&standin, "t", &["format: json", &ratio, "label: l"], "{\"id\":1}{}");
        if fine {
            assert_eq!(reply.field("Status"), "Success");
        } else {
            fails(&reply, "too many filtered rows");
            assert!(reply.field("ErrorURL").starts_with("http://127.0.0.1:"));
            assert_eq!(standin.label("d", "l").unwrap().1, "too many filtered rows");
        }
    }
    let standin = start(Version::V3_5);
    let reply = load(&standin, "t", &["format: json", "max_filter_ratio: 1"], "{}");
    fails(&reply, "No rows were imported from upstream");
}

#[test]
fn defaults_are_taken_only_by_columns_left_out_of_the_header() {
    let columns = "id BIGINT NOT NULL, v INT DEFAULT '7', at DATETIME DEFAULT CURRENT_TIMESTAMP, \
                   n INT NOT NULL DEFAULT '3')";
    let standin = with_table(Version::V3_5, columns);
    let reply = load(&standin, "t", &["format: json", "columns: id"], "{\"id\":1}");
    assert_eq!(reply.field("Status"), "Success", "{}", reply.body);
    let row = &standin.rows("d", "t")[0];
    assert_eq!((&row["v"], &row["n"]), (&json!(7), &json!(3)));
    assert!(row["at"].as_str().unwrap().starts_with("20"));
    let headers = ["format: json", "max_filter_ratio: 0.9"];
    fails(&load(&standin, "t", &headers, "{\"id\":1}"), "too many filtered rows");
    let says = |columns: &str| {
        let reply = load(&standin, "t", &["format: json", columns], "{\"id\":1}");
        reply.field("Message")
    };
    assert_eq!(says("columns: v"), "Column has no default value. column: id");
    assert_eq!(says("columns: id, x = id"), "Mapping column is not in table. column: x");
    assert_eq!(says("columns: id, id"), "Duplicate column mapping: id");
    assert_eq!(says("columns: id, tmp, v = tmp, n = 5"), "OK");
    assert_eq!(says("columns: id, v = id + 1"), "stand-in: expression `id + 1` is not imitated");
    assert_eq!(standin.rows("d", "t")[1]["n"], json!(5));
}

#[test]
fn values_are_converted_or_null_or_filtered_when_strict() {
    let columns =
        "id BIGINT, i INT, s VARCHAR(5), d DECIMAL(10,2), at DATETIME, b BOOLEAN, j JSON)";
    let check = |strict: &str, row: &str, expect: Option<Value>| {
        let standin = with_table(Version::V3_5, columns);
        let headers = ["format: json", "max_filter_ratio: 1", strict];
        load(&standin, "t", &headers, &format!("{row}{{\"id\":0}}"));
        let rows = standin.rows("d", "t");
        match expect {
            None => assert_eq!(rows.len(), 1, "{row}"),
            Some(expect) => {
                for (name, value) in expect.as_object().unwrap() {
                    assert_eq!(rows[0][name].to_string(), value.to_string(), "{row}");
                }
            }
        }
    };
    let lax = "strict_mode: false";
    let strict = "strict_mode: true";
    for mode in [lax, strict] {
        check(mode, "{\"id\":1,\"i\":1.9,\"s\":true}", Some(json!({"i": 1, "s": "1"})));
        check(mode, "{\"id\":1,\"i\":\"12\",\"d\":\"1.005\"}", Some(json!({"i": 12})));
        check(mode, "{\"id\":1,\"s\":\"sixsix\"}", None);
        check(
            mode,
            "{\"id\":1,\"b\":\"true\",\"j\":{\"a\":[1]}}",
            Some(json!({"b": true, "j": {"a": [1]}})),
        );
    }
    check(lax, "{\"id\":1,\"i\":\"x\",\"at\":\"soon\"}", Some(json!({"i": null, "at": null})));
    check(strict, "{\"id\":1,\"i\":\"x\"}", None);
    check(lax, "{\"id\":1,\"i\":3000000000}", Some(json!({"i": null})));
    check(strict, "{\"id\":1,\"i\":3000000000}", None);
    check(
        lax,
        "{\"id\":1,\"at\":\"2024-01-02 03:04:05\"}",
        Some(json!({"at": "2024-01-02 03:04:05"})),
    );
}

#[test]
fn primary_key_tables_upsert_and_delete() {
    let standin = with_table(Version::V3_5, "id BIGINT, v VARCHAR(9), n INT) PRIMARY KEY(id)");
    let json = |headers: &[&str], body: &str| {
        let reply = load(&standin, "t", &[&["format: json"], headers].concat(), body);
        (reply.field("Status"), reply.field("Message"))
    };
    let ok = || ("Success".to_owned(), "OK".to_owned());
    let rows = || standin.rows("d", "t").iter().map(|r| r["v"].to_string()).collect::<Vec<_>>();
    assert_eq!(
        json(
            &[],
            "{\"id\":1,\"v\":\"a\",\"n\":1}{\"id\":2,\"v\":\"b\"}{\"id\":1,\"v\":\"c\",\"n\":5}"
        ),
        ok()
    );
    assert_eq!(rows(), ["\"c\"", "\"b\""]);
    assert_eq!(
        json(
            &[],
            "{\"id\":2,\"__op\":\"1\"}{\"id\":9,\"__op\":1}{\"id\":3,\"v\":\"d\",\"__op\":0}"
        ),
        ok()
    );
    assert_eq!(rows(), ["\"c\"", "\"d\""]);
    assert_eq!(json(&["columns: id, __op='delete'"], "{\"id\":3}"), ok());
    assert_eq!(rows(), ["\"c\""]);
    let bad = json(&["columns: id, __op='upset'"], "{\"id\":3}").1;
    assert_eq!(bad, "load op type string not supported: upset");
    let bad = json(&["columns: id, __op=2"], "{\"id\":3}").1;
    assert_eq!(bad, "const load op type column should only be upsert(0)/delete(1)");
    assert_eq!(json(&[], "{\"id\":1,\"__op\":null}").1, "too many filtered rows");
    assert_eq!(json(&["partial_update: true", "columns: id,v"], "{\"id\":1,\"v\":\"z\"}"), ok());
    assert_eq!(standin.rows("d", "t"), [json!({"id": 1, "v": "z", "n": 5})]);
    let bad = json(&["partial_update: true", "columns: v"], "{\"v\":\"z\"}").1;
    assert_eq!(bad, "key column id not in partial update columns");
    let merge = ["merge_condition: n"];
    assert_eq!(
        json(&merge, "{\"id\":1,\"v\":\"old\",\"n\":4}{\"id\":1,\"v\":\"new\",\"n\":5}"),
        ok()
    );
    assert_eq!(rows(), ["\"new\""]);
    let csv = load(&standin, "t", &["columns: id,v,__op", "column_separator: ,"], "1,x,1\n4,y,0\n");
    assert_eq!(csv.field("Status"), "Success", "{}", csv.body);
    assert_eq!(rows(), ["\"y\""]);
    let plain = start(Version::V3_5);
    let reply = load(&plain, "t", &["format: json"], "{\"id\":1,\"__op\":1}");
    assert_eq!((reply.field("Status"), plain.count("d", "t")), ("Success".into(), 1));
    let reply = load(&plain, "t", &["format: json", "partial_update: true"], "{\"id\":1}");
    fails(&reply, "Only primary key table support partial update");
}

#[test]
fn long_primary_keys_and_rejected_records_are_told() {
    let standin = with_table(Version::V3_5, "id VARCHAR(200)) PRIMARY KEY(id)");
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(129));
    fails(&load(&standin, "t", &["format: json"], &long), "too many filtered rows");
    let headers = ["format: json", "max_filter_ratio: 1", "log_rejected_record_num: -1"];
    let reply = load(&standin, "t", &headers, &format!("{long}{{\"id\":\"y\"}}"));
    assert_eq!(reply.field("NumberFilteredRows"), "1");
    assert!(reply.field("RejectedRecordPath").starts_with("127.0.0.1:/"));
    let target = reply.field("ErrorURL").split_once("/api").unwrap().1.to_owned();
    let log = ask(standin.be(), "GET", &format!("/api{target}"), &[], "").body;
    assert!(log.starts_with("Error: primary key size exceed the limit. Row: ['xxx"));
}

#[test]
fn csv_rows_are_cut_as_the_headers_say() {
    let check = |headers: &[&str], body: &str, expect: &[(i64, Option<&str>)]| {
        let standin = start(Version::V3_5);
        let headers = [&["max_filter_ratio: 0.9"], headers].concat();
        let reply = load(&standin, "t", &headers, body);
        let got: Vec<Value> = standin.rows("d", "t");
        let expect: Vec<Value> = expect.iter().map(|(id, v)| json!({"id": id, "v": v})).collect();
        assert_eq!(got, expect, "{headers:?} {body:?} {}", reply.body);
        reply
    };
    let comma = "column_separator: ,";
    check(&[], "1\ta\n\n2\t\\N\n3\t", &[(1, Some("a")), (2, None), (3, Some(""))]);
    check(
        &["column_separator: ||", "row_delimiter: \\x0D0A"],
        "1||a\r\n2||b",
        &[(1, Some("a")), (2, Some("b"))],
    );
    check(&["column_separator: 0x01"], "1\x01a\n", &[(1, Some("a"))]);
    let reply = check(&[comma], "1,a\n2,b,c\n", &[(1, Some("a"))]);
    assert_eq!(reply.field("NumberFilteredRows"), "1");
    check(
        &[comma, "enclose: \""],
        "1,\"a,\"\"b\nc\"\n2,\"\\N\"\n",
        &[(1, Some("a,\"b\nc")), (2, Some("\\N"))],
    );
    check(&[comma, "escape: \\"], "1,a\\,b\n", &[(1, Some("a,b"))]);
    check(&[comma, "trim_space: true"], "1, a \n", &[(1, Some("a"))]);
    check(&[comma, "columns: v, id"], "a,1\n", &[(1, Some("a"))]);
    check(&[comma, "skip_header: 1"], "id,v\n1,a\n", &[(1, Some("a"))]);
    let standin = start(Version::V3_5);
    let headers = [ROOT, comma, "max_filter_ratio: 0.9"];
    let mut client = Client::connect(standin.be());
    client.write(&request("PUT", LOAD, &headers, b"1,a\n2,\xff\n"));
    assert_eq!(client.read().unwrap().field("NumberFilteredRows"), "1");
}

fn compressed(how: &str, text: &[u8]) -> Vec<u8> {
    match how {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "lz4_frame" => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::stream::encode_all(text, 1).unwrap(),
    }
}

#[test]
fn compressed_bodies_are_loaded_and_counted_as_sent() {
    for how in ["gzip", "lz4_frame", "zstd"] {
        for (header, keep) in [("compression", Keep::Rows), ("Content-Encoding", Keep::Nothing)] {
            let standin = start(Version::V3_5);
            standin.keep("d", "t", keep);
            let body = compressed(how, "{\"id\":1}\n".repeat(1000).as_bytes());
            let header = format!("{header}: {how}");
            let headers = as_root(&["format: json", &header]);
            let mut client = Client::connect(standin.be());
            client.write(&request("PUT", LOAD, &headers, &body));
            let reply = client.read().unwrap();
            assert_eq!(reply.field("LoadBytes"), body.len().to_string(), "{}", reply.body);
            assert_eq!((standin.count("d", "t"), standin.tally("d", "t").bytes), (1000, 9000));
        }
    }
    let standin = start(Version::V3_5);
    let both = ["format: json", "compression: gzip", "content-encoding: gzip"];
    fails(&load(&standin, "t", &both, "{}"), "Only one of http header");
}

#[test]
fn a_transactions_loads_are_one_load() {
    let standin = start(Version::V3_5);
    let run = |op: &str, label: &str, headers: &[&str], body: &str| {
        let label = format!("label: {label}");
        let all = [&["db: d", "table: t", &label], headers].concat();
        let reply = txn(standin.fe(), op, &all, body);
        format!("{} {}", reply.field("Status"), reply.field("Message")).trim().to_owned()
    };
    // CSV bodies are joined: without a delimiter two rows become one.
    let csv = ["column_separator: ,"];
    run("begin", "a", &[], "");
    run("load", "a", &csv, "1,a\n2,b");
    run("load", "a", &csv, "c\n");
    run("prepare", "a", &[], "");
    run("commit", "a", &[], "");
    assert_eq!(standin.rows("d", "t")[1], json!({"id": 2, "v": "bc"}));
    run("begin", "b", &[], "");
    assert_eq!(run("load", "b", &csv, "1,a\n"), "OK");
    let other = run("load", "b", &["column_separator: |"], "1|a\n");
    assert_eq!(other, "INTERNAL_ERROR load request not equal last.");
    assert_eq!(state(&standin, "b"), "ABORTED");
    run("begin", "c", &[], "");
    assert_eq!(run("load", "c", &["enclose: \"", "column_separator: ,"], "1,\"a\"\n"), "OK");
    run("commit", "c", &[], "");
    assert_eq!(standin.rows("d", "t")[2]["v"], json!("\"a\""));
    run("begin", "e", &[], "");
    let wrong = txn(standin.fe(), "load", &["db: d", "table: x", "label: e"], "");
    assert_eq!(wrong.field("Message"), "Request table x not equal transaction table t");
    // A bad body shows at prepare, or at the next load.
    let json = ["format: json"];
    assert_eq!(run("load", "e", &json, "{"), "OK");
    assert!(run("prepare", "e", &[], "").starts_with("INTERNAL_ERROR Failed to parse json"));
    run("begin", "f", &[], "");
    run("load", "f", &json, "{");
    assert_eq!(run("load", "f", &json, "{}"), "ABORTED current transaction is aborted");
    run("begin", "g", &[], "");
    run("load", "g", &json, "{\"id\":1}{}");
    assert_eq!(run("prepare", "g", &[], ""), "INTERNAL_ERROR too many filtered rows");
    assert_eq!(state(&standin, "g"), "ABORTED");
}

#[test]
fn one_label_may_be_open_in_one_database_at_a_time() {
    let standin = Standin::builder().version(Version::V4_1).start().unwrap();
    standin
        .execute(
            "CREATE DATABASE d; CREATE TABLE d.t (id BIGINT);
             CREATE DATABASE d2; CREATE TABLE d2.t (id BIGINT)",
        )
        .unwrap();
    let in_d2 = |op: &str| txn(standin.fe(), op, &["db: d2", "table: t", "label: l"], "");
    op(&standin, "begin", "l");
    op(&standin, "load", "l");
    assert_eq!(in_d2("begin").field("Status"), "LABEL_ALREADY_EXISTS");
    assert_eq!(
        in_d2("load").field("Message"),
        "Request database d2 not equal transaction database d"
    );
    op(&standin, "prepare", "l");
    assert_eq!(in_d2("begin").field("Status"), "OK");
}

#[test]
fn a_tallied_table_sums_its_ids() {
    let standin = start(Version::V3_5);
    standin.keep("d", "t", Keep::Tally("id".to_owned()));
    let body: String = (0..1000).map(|i| format!("{{\"id\":{i},\"v\":\"x\"}}\n")).collect();
    let reply = load(&standin, "t", &["format: json"], &body);
    assert_eq!(reply.field("NumberLoadedRows"), "1000");
    let tally = standin.tally("d", "t");
    assert_eq!((tally.rows, tally.id_sum), (1000, 499_500));
    assert_eq!(tally.id_hash, (0..1000).map(standin::mix).fold(0, u64::wrapping_add));
}
