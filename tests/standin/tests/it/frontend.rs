//! The frontend: checks before the redirect, the redirect, connections after it, two frontends,
//! discovery. (Checklist 1–12, 43–45, 61–67, 74, 76.)

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;
use standin::{Standin, Version};

use crate::client::{Client, ROOT, as_root, ask, location, op, request, start, state, txn};

const LOAD: &str = "/api/d/t/_stream_load";
const EXPECT: &str = "Expect: 100-continue";
/// `u:p`, who has no grant until one is given.
const USER: &str = "Authorization: Basic dTpw";

fn put(standin: &Standin, target: &str, headers: &[&str]) -> crate::client::Reply {
    ask(standin.fe(), "PUT", target, headers, "")
}

#[test]
fn a_missing_or_wrong_password_is_a_401_that_keeps_the_connection() {
    let standin = start(Version::V3_5);
    let reply = put(&standin, LOAD, &[EXPECT]);
    let body = r#"{"status":"FAILED","code":"1","msg":"Need auth information.","message":"Need auth information."}"#;
    assert_eq!((reply.status, reply.body.as_str()), (401, body));
    assert_eq!(reply.header("www-authenticate"), "Basic realm=\"\"");
    assert_eq!(reply.header("connection"), "keep-alive");
    let reply = put(&standin, LOAD, &[EXPECT, "Authorization: Basic !!"]);
    assert_eq!(reply.field("msg"), "invalid Base64 input character: 33 (decimal)");
    let reply = put(&standin, LOAD, &[EXPECT, USER]);
    assert_eq!((reply.status, reply.field("msg").as_str()), (401, "Access denied for u@127.0.0.1"));
    // `root@cluster:`
    let reply = put(&standin, LOAD, &[EXPECT, "Authorization: Basic cm9vdEBjbHVzdGVyOg=="]);
    assert_eq!(reply.status, 307);
}

#[test]
fn other_methods_are_told_apart() {
    let standin = start(Version::V3_5);
    let reply = ask(standin.fe(), "POST", LOAD, &[ROOT], "");
    let body =
        r#"{"status":"FAILED","code":"1","msg":"Not implemented","message":"Not implemented"}"#;
    assert_eq!((reply.status, reply.body.as_str()), (501, body));
    let reply = ask(standin.fe(), "GET", LOAD, &[ROOT], "");
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("this is 404 page."));
}

#[test]
fn a_missing_privilege_shows_only_where_the_table_exists() {
    let make = |version| {
        let standin = start(version);
        standin.execute("CREATE USER 'u'@'%' IDENTIFIED BY 'p'").unwrap();
        standin
    };
    let standin = make(Version::V3_5);
    let reply = put(&standin, LOAD, &[EXPECT, USER]);
    assert_eq!((reply.status, reply.field("msg").as_str()), (401, "Access denied."));
    assert_eq!(reply.header("connection"), "close");
    for target in ["/api/d/nope/_stream_load", "/api/x/y/_stream_load"] {
        assert_eq!(put(&standin, target, &[EXPECT, USER]).status, 307);
    }
    standin.execute("GRANT INSERT ON d.t TO USER u").unwrap();
    assert_eq!(put(&standin, LOAD, &[EXPECT, USER]).status, 307);
    let reply = put(&make(Version::V2_5), LOAD, &[EXPECT, USER]);
    assert_eq!(reply.status, 200);
    assert!(reply.field("Message").contains("UnauthorizedException: Access denied; user 'u'"));
}

#[test]
fn expect_is_asked_for_as_each_release_asks() {
    let text = "{\n  \"Status\": \"FAILED\",\n  \"Message\": \"class com.starrocks.common.\
                DdlException: There is no 100-continue header\"\n}";
    for version in Version::ALL {
        let standin = start(version);
        let reply = put(&standin, LOAD, &[ROOT]);
        assert_eq!((reply.status, reply.body.as_str()), (200, text), "{version:?}");
        let strange = put(&standin, LOAD, &[ROOT, "Expect: foo"]);
        let accepts = version < Version::V3_3;
        assert_eq!(strange.status == 307, accepts, "{version:?}");
        let mut client = Client::connect(standin.fe());
        client.write(format!("PUT {LOAD} HTTP/1.0\r\n{ROOT}\r\n\r\n").as_bytes());
        let old = client.read().unwrap();
        assert_eq!(old.status == 307, version >= Version::V3_5, "{version:?}");
    }
    let standin = start(Version::V3_5);
    assert_eq!(put(&standin, LOAD, &[ROOT]).header("connection"), "close");
}

#[test]
fn the_redirect_keeps_path_and_query_and_begins_nothing() {
    let standin = start(Version::V3_5);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let reply = put(&standin, "/api/d/t/_stream_load?a=b%20c", &[ROOT, EXPECT, "label: l"]);
        let be = location(&reply);
        assert_eq!(reply.header("location"), format!("http://{be}/api/d/t/_stream_load?a=b%20c"));
        assert_eq!((reply.body.as_str(), reply.continued), ("", false));
        assert_eq!(reply.header("connection"), "close");
        seen.push(be);
    }
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[3]);
    assert_ne!(seen[0], seen[1]);
    assert_eq!(standin.labels("d"), []);
    standin.register_be(0, Some("10.9.8.7:8040"));
    standin.register_be(1, Some("be.example:8040"));
    let hosts = [0, 1].map(|_| put(&standin, LOAD, &[ROOT, EXPECT]).header("location").to_owned());
    assert!(hosts.contains(&format!("http://10.9.8.7:8040{LOAD}")), "{hosts:?}");
    assert!(hosts.contains(&format!("http://be.example:8040{LOAD}")), "{hosts:?}");
}

#[test]
fn without_a_live_backend_nothing_is_redirected() {
    let standin = start(Version::V4_1);
    standin.notice_dead_be(0);
    standin.notice_dead_be(1);
    let text = "class com.starrocks.common.DdlException: No backend alive.";
    assert_eq!(put(&standin, LOAD, &[ROOT, EXPECT]).field("Message"), text);
    assert_eq!(op(&standin, "begin", "l").field("Message"), text);
    let health = ask(standin.fe(), "GET", "/api/health", &[], "");
    let body = r#"{"online_backend_num":0,"total_backend_num":2,"status":"OK"}"#;
    assert_eq!((health.status, health.body.as_str()), (200, body));
}

#[test]
fn a_body_sent_to_the_frontend_meets_a_closed_connection() {
    let standin = start(Version::V3_5);
    let mut client = Client::connect(standin.fe());
    let head =
        format!("PUT {LOAD} HTTP/1.1\r\n{ROOT}\r\n{EXPECT}\r\nContent-Length: 100000000\r\n\r\n");
    client.write(head.as_bytes());
    let piece = vec![b'x'; 1 << 20];
    let broken = (0..100).any(|_| client.try_write(&piece).is_err());
    assert!(broken, "the frontend took the whole body");
}

#[test]
fn old_releases_take_the_body_for_the_next_request() {
    for version in [Version::V2_5, Version::V3_2] {
        let standin = start(version);
        let mut client = Client::connect(standin.fe());
        client.write(&request("PUT", LOAD, &[ROOT, EXPECT], b"{\"id\":1}\n{\"id\":2}\n"));
        assert_eq!(client.read().unwrap().status, 307);
        let next = client.read().unwrap();
        assert_eq!(next.status, 400);
        assert_eq!(next.body, "Bad Request. <br/> text is empty (possibly HTTP/0.9)");
        assert!(client.is_closed());
    }
}

#[test]
fn a_transaction_load_keeps_the_connection_and_an_unsent_body_poisons_it() {
    let standin = start(Version::V4_1);
    op(&standin, "begin", "l");
    let head = format!(
        "PUT /api/transaction/load HTTP/1.1\r\n{ROOT}\r\ndb: d\r\ntable: t\r\nlabel: l\r\n\
         Content-Length: 21\r\n\r\n"
    );
    let next = request("GET", "/api/d/get_load_state?label=l", &[ROOT], b"");
    let mut client = Client::connect(standin.fe());
    client.write(head.as_bytes());
    let reply = client.read().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (307, "keep-alive"));
    client.write(&next);
    assert_eq!(client.read().unwrap().status, 400);
    let mut client = Client::connect(standin.fe());
    client.write(head.as_bytes());
    assert_eq!(client.read().unwrap().status, 307);
    client.write(b"012345678901234567890");
    client.write(&next);
    assert_eq!(client.read().unwrap().field("state"), "PREPARE");
}

#[test]
fn a_follower_sends_loads_to_a_backend_and_the_rest_to_the_leader() {
    let standin = Standin::builder().fe_count(2).be_count(1).start().unwrap();
    standin.execute("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT)").unwrap();
    let follower = standin.fe_at(1);
    assert_eq!(location(&ask(follower, "PUT", LOAD, &[ROOT, EXPECT], "")), standin.be());
    // Parameters are not looked at: this begin has no database.
    let reply = ask(follower, "POST", "/api/transaction/begin", &[ROOT], "");
    assert_eq!((location(&reply), reply.header("connection")), (standin.fe(), "keep-alive"));
    for target in ["/api/d/get_load_state?label=l", "/api/d/_load_info?label=l"] {
        let reply = ask(follower, "GET", target, &[ROOT], "");
        assert_eq!(reply.header("location"), format!("http://{}{target}", standin.fe()));
    }
    let cancel = "/api/d/t/_cancel?label=l";
    assert_eq!(location(&ask(follower, "POST", cancel, &[ROOT], "")), standin.fe());
    assert_eq!(ask(follower, "GET", "/api/d/get_load_state?label=l", &[], "").status, 401);
    assert_eq!(ask(follower, "GET", "/api/health", &[], "").status, 200);
    // A dead leader is named until another one leads.
    standin.kill_fe(0);
    assert!(TcpStream::connect(standin.fe()).is_err());
    let reply = ask(follower, "GET", "/api/d/get_load_state?label=l", &[ROOT], "");
    assert_eq!(location(&reply), standin.fe());
    standin.change_leader(1);
    let reply = ask(follower, "GET", "/api/d/get_load_state?label=l", &[ROOT], "");
    assert_eq!(reply.field("state"), "UNKNOWN");
}

#[test]
fn begin_is_checked_by_the_frontend_and_then_by_the_backend() {
    let standin = start(Version::V4_1);
    let says = |headers: &[&str]| {
        let reply = txn(standin.fe(), "begin", headers, "");
        format!("{} {}", reply.field("Status"), reply.field("Message"))
    };
    let class = "FAILED class com.starrocks.common.StarRocksException:";
    assert_eq!(says(&["db: d", "table: t"]), format!("{class} Empty label."));
    assert_eq!(says(&["label: l", "table: t"]), format!("{class} No database selected."));
    assert_eq!(says(&["label: l", "db: x"]), format!("{class} Database[x] does not exist."));
    let number = "FAILED class java.lang.NumberFormatException: For input string: \"abc\"";
    assert_eq!(says(&["timeout: abc"]), number);
    let named = ["db: d", "table: t"];
    let with = |more: &[&'static str]| says(&[&named[..], more].concat());
    let range = "Expected values should be between 1 and 259200 seconds";
    for bad in ["0", "300000"] {
        let header: &'static str = if bad == "0" { "timeout: 0" } else { "timeout: 300000" };
        let text = format!("ANALYSIS_ERROR Invalid timeout: '{bad}'. {range}");
        assert_eq!(with(&["label: l", header]), text);
    }
    let text = "INTERNAL_ERROR Getting analyzing error. Detail message: Label format error. \
                regex: ^[-\\w]{1,128}$, label: c.7.";
    assert_eq!(with(&["label: c.7"]), text);
    let unknown = says(&["db: d", "table: nope", "label: l"]);
    assert_eq!(unknown, "ANALYSIS_ERROR unknown table \"d.nope\"");
    assert_eq!(state(&standin, "l"), "UNKNOWN");
    let reply = ask(standin.fe(), "PUT", "/api/transaction/begin", &[ROOT], "");
    assert_eq!(reply.field("Message"), "class com.starrocks.common.DdlException: Invalid request");
    let old = start(Version::V3_5);
    let reply = ask(old.fe(), "POST", "/api/transaction/begin", &[ROOT], "");
    let text = "class com.starrocks.common.UserException: No database selected.";
    assert_eq!(reply.field("Message"), text);
}

#[test]
fn only_begin_asks_for_a_privilege() {
    let standin = start(Version::V4_1);
    standin.execute("CREATE USER u IDENTIFIED BY 'p'").unwrap();
    let by_user = |op: &str, label: &str| {
        let label = format!("label: {label}");
        let headers = [USER, "db: d", "table: t", &label];
        let method = "POST";
        let target = format!("/api/transaction/{op}");
        let reply = ask(standin.fe(), method, &target, &headers, "");
        match reply.status {
            307 => ask(location(&reply), method, &target, &headers, ""),
            _ => reply,
        }
    };
    let denied = by_user("begin", "a");
    let text =
        "Access denied; you need (at least one of) the INSERT privilege(s) for this operation";
    assert_eq!(
        (denied.field("Status"), denied.field("Message")),
        ("ANALYSIS_ERROR".into(), text.into())
    );
    for name in ["begin", "load", "prepare"] {
        op(&standin, name, "b");
    }
    assert_eq!(by_user("commit", "b").field("Status"), "OK");
    op(&standin, "begin", "c");
    let reply = ask(standin.fe(), "POST", "/api/d/t/_cancel?label=c", &[USER], "");
    assert_eq!(reply.field("status"), "OK");
    let reply = ask(standin.fe(), "GET", "/api/d/get_load_state?label=c", &[USER], "");
    assert_eq!(
        (reply.field("state"), reply.field("reason")),
        ("ABORTED".into(), "user cancel".into())
    );
}

#[test]
fn open_transactions_are_limited_and_prepared_ones_count() {
    let standin = start(Version::V4_1);
    standin.set_limits(|l| l.max_running_txn_num_per_db = 1);
    for name in ["begin", "load", "prepare"] {
        assert_eq!(op(&standin, name, "a").field("Status"), "OK");
    }
    let reply = op(&standin, "begin", "b");
    assert_eq!(reply.field("Status"), "ANALYSIS_ERROR");
    let text = reply.field("Message");
    assert!(
        text.starts_with("current running txns on db 11001 is 1, larger than limit 1"),
        "{text}"
    );
    assert_eq!(state(&standin, "b"), "UNKNOWN");
}

#[test]
fn schemas_are_told_with_real_status_codes() {
    let standin = start(Version::V4_1);
    standin
        .execute(
            "CREATE TABLE d.p (id BIGINT, v DECIMAL(10,2) DEFAULT '1.50') PRIMARY KEY(id);
             CREATE USER u IDENTIFIED BY 'p'; GRANT INSERT ON d.p TO USER u",
        )
        .unwrap();
    let get = |target: &str, auth: &str| ask(standin.fe(), "GET", target, &[auth], "");
    let body = r#"{"status":200,"properties":[{"name":"id","type":"BIGINT","comment":""},{"name":"v","type":"DECIMAL64","comment":"","precision":"10","scale":"2"}]}"#;
    assert_eq!(get("/api/d/p/_schema", ROOT).body, body);
    assert_eq!(get("/api/d/p/_schema", USER).status, 401);
    let missing = get("/api/d/x/_schema", USER);
    assert_eq!(missing.body, r#"{"status":404,"exception":"Table [x] does not exists"}"#);
    assert_eq!(missing.status, 404);
    let missing = get("/api/x/x/_schema", ROOT);
    assert_eq!(missing.body, r#"{"status":404,"exception":"Database [x] does not exists"}"#);
    assert_eq!(get("/api/d/p/_count", ROOT).body, r#"{"status":200,"size":0}"#);
    let v2 = "/api/v2/catalogs/default_catalog/databases/d/tables/p/schema";
    let column = &get(v2, ROOT).json()["result"]["columns"][1];
    let ty =
        json!({"typeSize": 8, "columnSize": 10, "precision": 10, "scale": 2, "name": "DECIMAL64"});
    assert_eq!(column["type"], ty);
    assert_eq!((&column["defaultValue"], &column["isKey"]), (&json!("1.50"), &json!(false)));
    assert_eq!(ask(start(Version::V3_2).fe(), "GET", v2, &[ROOT], "").status, 404);
}

#[test]
fn discovery_needs_no_login() {
    let standin = start(Version::V4_1);
    let get = |target: &str| ask(standin.fe(), "GET", target, &[], "");
    assert_eq!(get("/api/v2/feature").field("version"), "4.1.0-src");
    assert_eq!(get("/api/bootstrap").field("status"), "OK");
    assert_eq!(get("/api/bootstrap?token=x").field("msg"), "invalid parameter");
    assert!(get("/metrics").body.contains("node_info{type=\"is_master\"} 1"));
    assert_eq!(get("/api/show_proc?path=/backends").status, 401);
    assert_eq!(ask(standin.be(), "GET", "/api/health", &[], "").status, 200);
    assert_eq!(ask(standin.be(), "GET", "/api/nope", &[], "").status, 404);
}

fn sql(standin: &Standin, path: &str, query: &str) -> crate::client::Reply {
    let body = json!({ "query": query }).to_string();
    ask(
        standin.fe(),
        "POST",
        &format!("/api/v1/catalogs/default_catalog{path}/sql"),
        &[ROOT],
        &body,
    )
}

#[test]
fn sql_over_http_shows_select_by_lines_and_show_as_one_object() {
    let standin = start(Version::V4_1);
    let reply = sql(&standin, "", "SELECT current_version()");
    let lines: Vec<&str> = reply.body.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2], "{\"data\":[\"4.1.0-src-70d1c24\"]}");
    assert!(lines[3].starts_with("{\"statistics\":"));
    let reply = sql(&standin, "/databases/d", "DESC t");
    assert_eq!(
        reply.json()["data"][0],
        json!({"Field": "id", "Type": "bigint", "Null": "NO",
        "Key": "true", "Default": null, "Extra": ""})
    );
    assert_eq!(reply.json()["statistics"]["returnRows"], json!(2));
    let create = sql(&standin, "", "SHOW CREATE TABLE d.t").json();
    let text = create["data"][0]["Create Table"].as_str().unwrap();
    assert!(text.starts_with("CREATE TABLE `t` (\n  `id` bigint(20) NOT NULL COMMENT \"\",\n"));
    let query = "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.columns \
                 WHERE TABLE_SCHEMA='d' AND TABLE_NAME='t' ORDER BY ORDINAL_POSITION";
    assert_eq!(
        sql(&standin, "", query).body.lines().nth(2),
        Some("{\"data\":[\"id\",\"bigint(20)\"]}")
    );
}

#[test]
fn sql_over_http_fails_as_each_release_fails() {
    let standin = start(Version::V4_1);
    assert_eq!(sql(&standin, "/databases/x", "SELECT 1").status, 403);
    for (query, text) in [
        ("", "\"query can not be empty\""),
        ("select 1; select 2", "http query does not support execute multiple query"),
        ("DROP TABLE t", "http query only support SELECT, SHOW, EXPLAIN, DESC, KILL statement"),
    ] {
        let reply = sql(&standin, "", query);
        assert_eq!((reply.status, reply.field("msg").as_str()), (500, text));
    }
    assert_eq!(sql(&start(Version::V3_5), "", "").status, 400);
    assert_eq!(sql(&start(Version::V2_5), "", "SELECT 1").status, 404);
    standin.notice_dead_be(0);
    standin.notice_dead_be(1);
    assert!(sql(&standin, "", "SELECT 1").field("msg").starts_with("Backend node not found."));
    assert_eq!(sql(&standin, "", "SHOW DATABASES").status, 200);
}

#[test]
fn the_query_port_greets_as_mysql_does_and_refuses_a_bad_login() {
    let standin = start(Version::V4_1);
    let mut stream = TcpStream::connect(standin.query()).unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut packet = vec![0; usize::from(head[0])];
    stream.read_exact(&mut packet).unwrap();
    assert_eq!(packet[0], 10);
    assert!(packet[1..].starts_with(b"8.0.33\0"));
    // A handshake response of user `x` with a wrong proof.
    let mut answer = vec![0; 32];
    answer.extend_from_slice(b"x\0\x01z");
    stream.write_all(&[answer.len() as u8, 0, 0, 1]).unwrap();
    stream.write_all(&answer).unwrap();
    stream.read_exact(&mut head).unwrap();
    let mut packet = vec![0; usize::from(head[0])];
    stream.read_exact(&mut packet).unwrap();
    assert_eq!((packet[0], u16::from_le_bytes([packet[1], packet[2]])), (0xff, 1045));
}

/// Runs where a client is installed; the packets themselves are tested above.
#[test]
fn a_real_mysql_client_can_look_around() {
    let standin = start(Version::V3_5);
    standin.execute("CREATE USER u IDENTIFIED BY 'p'; GRANT SELECT ON d.t TO USER u").unwrap();
    let headers = ["format: json", "label: l"];
    crate::client::load(&standin, "t", &headers, "{\"id\":7,\"v\":\"x\"}");
    let port = standin.query().port().to_string();
    let query = "select * from d.t; select count(*) from d.t; desc d.t";
    let args = ["-h127.0.0.1", "-P", &port, "-uu", "-pp", "--protocol=tcp", "-N", "-e", query];
    let Ok(output) = Command::new("mysql").args(args).output() else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("7\tx\n1\nid\tbigint\tNO\ttrue\tNULL\t\n"),
        "{text}{output:?}",
        output = output.stderr
    );
}

#[test]
fn a_multi_table_transaction_is_the_frontends_alone() {
    let standin = start(Version::V4_1);
    let says = |op: &str, label: &str| {
        let label = format!("label: {label}");
        let headers = ["db: d", "table: t", &label, "transaction_type: multi"];
        ask(standin.fe(), "POST", &format!("/api/transaction/{op}"), &as_root(&headers), "").body
    };
    let ok = "{\"Status\":\"OK\",\"Message\":\"\"}";
    assert_eq!(says("begin", "m"), ok);
    assert_eq!(says("begin", "m"), ok);
    assert_eq!(state(&standin, "m"), "UNKNOWN");
    assert!(says("prepare", "m").contains("Unsupported operation: TXN_PREPARE"));
    assert_eq!(says("commit", "m"), ok);
    assert!(says("commit", "n").contains("stream load task n does not exist"));
    assert!(says("rollback", "n").contains("stream load taskndoes not exist"));
    for name in ["begin", "load", "prepare"] {
        op(&standin, name, "p");
    }
    assert!(says("begin", "p").contains("stream load task p has already been prepared"));
    let headers = [ROOT, "db: d", "table: t", "label: q", "transaction_type: multi"];
    let reply = ask(standin.be(), "POST", "/api/transaction/begin", &headers, "");
    assert_eq!(reply.field("Status"), "INVALID_ARGUMENT");
    // Before 4.0 the header means nothing.
    let old = start(Version::V3_5);
    let headers = ["db: d", "table: t", "label: q", "transaction_type: multi"];
    assert_eq!(txn(old.fe(), "begin", &headers, "").field("TxnId"), "1001");
}

#[test]
fn a_transaction_over_two_tables_is_committed_at_once() {
    for version in [Version::V4_0, Version::V4_1] {
        let standin = start(version);
        standin.execute("CREATE TABLE d.u (id BIGINT)").unwrap();
        let run = |op: &str, label: &str, table: &str| {
            let (label, table) = (format!("label: {label}"), format!("table: {table}"));
            let headers = ["db: d", &table, &label, "format: json", "transaction_type: multi"];
            txn(standin.fe(), op, &headers, if op == "load" { "{\"id\":1}" } else { "" })
        };
        run("begin", "m", "");
        for table in ["t", "u", "t"] {
            assert_eq!(run("load", "m", table).field("Status"), "OK");
        }
        assert_eq!((standin.count("d", "t"), standin.count("d", "u")), (0, 0));
        assert_eq!(state(&standin, "m"), "UNKNOWN");
        assert_eq!(run("commit", "m", "").field("Status"), "OK");
        assert_eq!((standin.count("d", "t"), standin.count("d", "u")), (2, 1));
        assert_eq!(state(&standin, "m"), "VISIBLE");
        let again = run("begin", "m", "");
        let odd = version == Version::V4_1;
        assert_eq!(again.field("Status"), if odd { "OK" } else { "LABEL_ALREADY_EXISTS" });
        assert_ne!(again.field("Message"), "");
        run("begin", "n", "");
        assert_eq!(run("load", "n", "x").field("Message"), "unknown table \"d.x\"");
        run("load", "n", "u");
        assert_eq!(run("rollback", "n", "").field("Status"), "OK");
        assert_eq!(standin.count("d", "u"), 1);
        // A restart forgets it.
        run("begin", "o", "");
        run("load", "o", "u");
        standin.restart_fe();
        assert_eq!(run("commit", "o", "").field("Status"), "FAILED");
    }
}
