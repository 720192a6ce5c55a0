//! Statements as people type them: definitions, users, and reading back.

use serde_json::{Value, json};
use standin::{Standin, Version};

use crate::client::{ROOT, ask, load};

fn query(standin: &Standin, text: &str) -> Vec<Value> {
    let body = json!({ "query": text }).to_string();
    let reply = ask(standin.fe(), "POST", "/api/v1/catalogs/c/sql", &[ROOT], &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let lines = reply.body.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    lines.filter_map(|l| l.get("data").cloned()).collect()
}

#[test]
fn the_connector_pages_statements_are_taken_as_they_are() {
    let standin = Standin::builder().start().unwrap();
    standin
        .execute(
            "CREATE DATABASE example_db;\nUSE example_db;\n\
             CREATE TABLE test_tbl (id INT, city STRING);\n\
             CREATE TABLE `customers` (\n`id` int(11) COMMENT \"\",\n\
             `first_name` varchar(65533) NULL COMMENT \"\"\n) ENGINE=OLAP\nPRIMARY KEY(`id`)\n\
             DISTRIBUTED BY hash(id) buckets 1\nPROPERTIES (\n\"bucket_size\" = \"4294967296\",\n\
             \"in_memory\" = \"false\"\n);",
        )
        .unwrap();
    let create = query(&standin, "SHOW CREATE TABLE example_db.customers");
    let text = create[0][0]["Create Table"].as_str().unwrap();
    let expect = "CREATE TABLE `customers` (\n  `id` int(11) NOT NULL COMMENT \"\",\n  `first_name` \
                  varchar(65533) NULL COMMENT \"\"\n) ENGINE=OLAP \nPRIMARY KEY(`id`)\nDISTRIBUTED BY \
                  HASH(`id`) BUCKETS 1 \nPROPERTIES (\n\"compression\" = \"LZ4\",\n\"bucket_size\" = \
                  \"4294967296\",\n\"in_memory\" = \"false\",\n\"replication_num\" = \"1\"\n);";
    assert_eq!(text, expect);
    // What it prints, it takes.
    standin.execute("DROP TABLE example_db.customers").unwrap();
    standin.execute(&format!("USE example_db; {text}")).unwrap();
}

#[test]
fn every_column_type_and_clause_is_read() {
    let standin = Standin::builder().start().unwrap();
    standin
        .execute(
            "CREATE DATABASE IF NOT EXISTS d; -- a comment; with a semicolon
             CREATE TABLE IF NOT EXISTS d.t (
               k BIGINT NOT NULL AUTO_INCREMENT COMMENT 'it''s', a BOOLEAN, b LARGEINT, c CHAR(3),
               e ARRAY<INT>, f MAP<STRING, DECIMAL(10,2)>, g STRUCT<x INT, y ARRAY<DATE>>,
               h DATETIME DEFAULT CURRENT_TIMESTAMP, i INT AS (k + 1), j JSON, l VARBINARY, m DOUBLE
             ) ENGINE = OLAP DUPLICATE KEY (k) COMMENT 'all' PARTITION BY date_trunc('day', h)
             DISTRIBUTED BY HASH(k) BUCKETS 3 ORDER BY (k) PROPERTIES ('replication_num' = '1')",
        )
        .unwrap();
    let types: Vec<String> = query(&standin, "DESC d.t")[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["Type"].as_str().unwrap().to_owned())
        .collect();
    let expect = [
        "bigint",
        "boolean",
        "largeint",
        "char(3)",
        "array<int(11)>",
        "map<varchar(65533),decimal(10, 2)>",
        "struct<x int(11), y array<date>>",
        "datetime",
        "int",
        "json",
        "varbinary",
        "double",
    ];
    assert_eq!(types, expect);
    let body =
        "{\"a\":true,\"b\":170141183460469231731687303715884105727,\"e\":[1],\"f\":{\"x\":1.5}}";
    assert_eq!(load(&standin, "t", &["format: json"], body).field("Status"), "Success");
    let row = &standin.rows("d", "t")[0];
    assert_eq!((&row["k"], &row["e"], &row["i"]), (&json!(1), &json!([1]), &Value::Null));
    assert_eq!(row["b"].to_string(), "170141183460469231731687303715884105727");
    for bad in [
        "CREATE TABLE d.x (a INT) AGGREGATE KEY(a)",
        "CREATE TABLE d.x (a GEOMETRY)",
        "INSERT INTO d.t VALUES (1)",
        "SELECT a FROM d.t JOIN d.t",
        "CREATE TABLE d.x (a INT, A INT)",
        "CREATE TABLE d.x (a INT) PRIMARY KEY(b)",
    ] {
        assert!(standin.execute(bad).is_err(), "{bad}");
    }
}

#[test]
fn users_have_what_they_are_granted() {
    let standin = Standin::builder().version(Version::V4_1).start().unwrap();
    standin
        .execute(
            "CREATE DATABASE d; CREATE TABLE d.t (id INT); CREATE TABLE d.u (id INT);
             CREATE USER IF NOT EXISTS 'u'@'%' IDENTIFIED BY 'p';
             GRANT INSERT, SELECT ON TABLE d.t TO USER 'u'@'%';
             CREATE USER v IDENTIFIED BY 'p'; GRANT SELECT ON ALL TABLES IN DATABASE d TO USER v;
             CREATE USER w IDENTIFIED BY 'p'; GRANT ALL ON d.* TO 'w'; GRANT OPERATE ON SYSTEM TO USER w",
        )
        .unwrap();
    let status = |auth: &str, table: &str| {
        ask(standin.fe(), "GET", &format!("/api/d/{table}/_schema"), &[auth], "").status
    };
    let (u, v) = ("Authorization: Basic dTpw", "Authorization: Basic djpw");
    assert_eq!((status(u, "t"), status(u, "u"), status(v, "u")), (200, 401, 200));
    let backends = |auth: &str| {
        let body = json!({"query": "SHOW BACKENDS"}).to_string();
        ask(standin.fe(), "POST", "/api/v1/catalogs/c/sql", &[auth], &body)
    };
    assert!(backends(v).field("msg").contains("OPERATE OR NODE privilege(s) on SYSTEM"));
    let config = |auth: &str| {
        let body =
            json!({"query": "ADMIN SHOW FRONTEND CONFIG LIKE 'label_keep_max_num'"}).to_string();
        ask(standin.fe(), "POST", "/api/v1/catalogs/c/sql", &[auth], &body)
    };
    assert!(config(v).field("msg").contains("the OPERATE privilege(s) on SYSTEM"));
    assert_eq!(config(ROOT).json()["data"][0]["Value"], json!("1000"));
    assert_eq!(backends("Authorization: Basic dzpw").json()["data"][0]["Alive"], json!("true"));
}

#[test]
fn rows_are_selected_sorted_and_summed() {
    let standin = Standin::builder().start().unwrap();
    standin
        .execute("CREATE DATABASE d; CREATE TABLE d.t (id INT, v VARCHAR(9), p DECIMAL(9,2))")
        .unwrap();
    let body =
        "{\"id\":3,\"v\":\"c\",\"p\":1.5}{\"id\":1,\"v\":\"a\",\"p\":2}{\"id\":2,\"p\":0.25}";
    load(&standin, "t", &["format: json"], body);
    let check =
        |text: &str, expect: Value| assert_eq!(json!(query(&standin, text)), expect, "{text}");
    let ids: Vec<Value> = standin.sorted_rows("d", "t").iter().map(|r| r["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3]);
    check("SELECT * FROM d.t ORDER BY id LIMIT 2", json!([[1, "a", "2.00"], [2, null, "0.25"]]));
    check("SELECT t.v AS x FROM d.t WHERE id IN (1, 3) ORDER BY id DESC", json!([["c"], ["a"]]));
    check("SELECT id FROM d.t WHERE v IS NULL AND id >= 2", json!([[2]]));
    check("SELECT id FROM d.t WHERE v LIKE 'a%'", json!([[1]]));
    check(
        "SELECT COUNT(*), count(v), sum(id), min(id), max(v), count(distinct id) FROM d.t",
        json!([[3, 2, 6, 1, "c", 3]]),
    );
    check("SELECT sum(p) FROM d.t", json!([[3.75]]));
    check("SELECT count(*) FROM d.t WHERE id > 1", json!([[2]]));
    check(
        "SELECT TABLE_MODEL FROM information_schema.tables_config WHERE TABLE_NAME='t'",
        json!([["DUP_KEYS"]]),
    );
}
