//! Records into rows through the public interface: configuration text in, rows out, with columns as
//! StarRocks would tell them.

use std::collections::HashMap;
use std::sync::Arc;

use starsink::config::Overrides;
use starsink::error::Problem;
use starsink::mapping::columns::{Column, Table, TableKind};
use starsink::mapping::maker::{Fate, Lookup, NoTables, RawRecord, RowMaker, Sources, Tables};
use starsink::record::Offset;

use crate::config::{COMPLETE, load_with};

/// Tables that the test describes; others do not exist.
#[derive(Debug, Default)]
struct Described(HashMap<String, Arc<Table>>);

impl Tables for Described {
    fn find(&self, table: &str) -> Result<Lookup, Problem> {
        Ok(match self.0.get(table) {
            Some(table) => Lookup::Known(Arc::clone(table)),
            None if table.starts_with("hidden") => Lookup::Hidden,
            None => Lookup::Missing(format!("Table [{table}] does not exists")),
        })
    }
}

struct Bench {
    lines: String,
    tables: Described,
}

struct Given<'r> {
    topic: &'r str,
    key: Option<&'r str>,
    value: Option<&'r str>,
    headers: &'r [(&'r str, Option<&'r [u8]>)],
}

fn value(text: &str) -> Given<'_> {
    Given { topic: "t", key: None, value: Some(text), headers: &[] }
}

fn keyed<'r>(key: &'r str, value: Option<&'r str>) -> Given<'r> {
    Given { topic: "t", key: Some(key), value, headers: &[] }
}

impl Bench {
    fn new(lines: &str) -> Bench {
        Bench { lines: lines.into(), tables: Described::default() }
    }

    /// `columns`: "id int key, name varchar(10) not null".
    fn table(mut self, name: &str, kind: TableKind, columns: &str) -> Bench {
        let column = |text: &str| {
            let (name, rest) = text.trim().split_once(' ').expect("a name and a type");
            let key = rest.ends_with(" key");
            let rest = rest.trim_end_matches(" key");
            let nullable = !rest.ends_with(" not null") && !key;
            Column::new(name, rest.trim_end_matches(" not null"), nullable, key)
        };
        let columns = columns.split(", ").map(column).collect();
        let table = Table { name: name.into(), kind, columns };
        self.tables.0.insert(name.into(), Arc::new(table));
        self
    }

    fn primary(self, columns: &str) -> Bench {
        self.table("t", TableKind::Primary, columns)
    }

    fn duplicate(self, columns: &str) -> Bench {
        self.table("t", TableKind::Duplicate, columns)
    }

    fn maker(self) -> RowMaker {
        let text = format!("{COMPLETE}{}", self.lines);
        let loaded = load_with(&[("f", &text)], &Overrides::default(), &[], &[]);
        let (job, _) = loaded.unwrap_or_else(|problems| panic!("{:?}", problems));
        RowMaker::new(&job, Arc::new(self.tables), &Sources::default()).expect("compiled before")
    }
}

/// What became of a record: `table: row` lines, or why not.
fn told(maker: &mut RowMaker, given: &Given<'_>) -> String {
    let topic = given.topic.into();
    let record = RawRecord {
        topic: &topic,
        partition: 3,
        offset: Offset(42),
        timestamp: Some(1_700_000_000_123),
        key: given.key.map(str::as_bytes),
        value: given.value.map(str::as_bytes),
        headers: given.headers,
    };
    match maker.make(&record) {
        Fate::Rows(rows) => {
            let line = |row: starsink::mapping::maker::Row<'_>| {
                let text = String::from_utf8_lossy(row.bytes).into_owned();
                format!("{}: {text}", rows.table_name(row.table))
            };
            rows.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Fate::Skipped(skip) => format!("skipped: {skip}"),
        Fate::Refused(refusal) => {
            format!("{}: {}: {}", refusal.stage.connect_name(), refusal.what, refusal.cause)
        }
        Fate::Failed(problem) => format!("failed: {}", problem.what),
    }
}

#[track_caller]
fn check(bench: Bench, records: &[(Given<'_>, &str)]) {
    let mut maker = bench.maker();
    for (given, expect) in records {
        assert_eq!(told(&mut maker, given), *expect, "{:?}", given.value);
    }
}

const SCHEMAS: &str = "value.converter=org.apache.kafka.connect.json.JsonConverter\nkey.converter=JsonConverter\nkey.converter.schemas.enable=false\n";
const PLAIN: &str = "value.converter=JsonConverter\nvalue.converter.schemas.enable=false\n\
    key.converter=JsonConverter\nkey.converter.schemas.enable=false\n";

#[test]
fn plain_json_is_copied_byte_for_byte_and_arrays_become_rows() {
    check(
        Bench::new(PLAIN).duplicate("a int"),
        &[
            (
                value(r#"{"a":1.10, "b" : 12345678901234567890}"#),
                r#"t: {"a":1.10, "b" : 12345678901234567890}"#,
            ),
            (value(r#"[{"a":1},{"a":2}]"#), "t: {\"a\":1}\nt: {\"a\":2}"),
            (value("[]"), "skipped: empty array"),
            (
                value("[1]"),
                "VALUE_CONVERTER: a record is not one JSON object: expected an object at column 2",
            ),
            (
                value("x"),
                "VALUE_CONVERTER: a record is not one JSON object: expected `{` at column 1",
            ),
            (keyed("{}", None), "skipped: tombstone"),
        ],
    );
}

#[test]
fn values_with_schema_follow_the_columns_types() {
    let schema = r#"{"type":"struct","fields":[
        {"field":"id","type":"int32"},
        {"field":"d","type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Date"},
        {"field":"ts","type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp"},
        {"field":"n","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},
        {"field":"b","type":"boolean","optional":true}]}"#;
    let message = |payload: &str| format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
    let whole = message(r#"{"id":1,"d":19000,"ts":1714283798721,"n":"BOI=","b":true}"#);
    let nulls = message(r#"{"id":2}"#);
    check(
        Bench::new(SCHEMAS)
            .duplicate("id int key, d date, ts datetime, n decimal(10,2), b tinyint"),
        &[
            (
                value(&whole),
                r#"t: {"id":1,"d":"2022-01-08","ts":"2024-04-28 05:56:38.721","n":12.50,"b":1}"#,
            ),
            (value(&nulls), r#"t: {"id":2,"d":null,"ts":null,"n":null,"b":null}"#),
        ],
    );
    check(
        Bench::new(SCHEMAS).duplicate("id int key, d int, ts bigint, n string, b boolean"),
        &[(value(&whole), r#"t: {"id":1,"d":19000,"ts":1714283798721,"n":12.50,"b":true}"#)],
    );
    let csv = format!("{SCHEMAS}sink.properties.format=csv\nsink.properties.column_separator=|\n");
    check(
        Bench::new(&csv).duplicate("ts datetime, id int key, x string, d date, n decimal(10,2)"),
        &[
            (value(&whole), "t: 2024-04-28 05:56:38.721|1|\\N|2022-01-08|12.50\n"),
            (value(&nulls), "t: \\N|2|\\N|\\N|\\N\n"),
        ],
    );
}

#[test]
fn a_value_that_its_column_cannot_hold_names_the_column() {
    let transform = "transforms=c\ntransforms.c.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
        transforms.c.offset.field=o\n";
    let plain = format!("{PLAIN}{transform}");
    check(
        Bench::new(&plain).duplicate("id tinyint key, s varchar(3), o bigint, r int not null"),
        &[
            (
                value(r#"{"id":300,"r":1}"#),
                "TASK_PUT: a record cannot become a row of table `t`: a value does not fit column `id` (TINYINT) of `t`: the number is out of its range: 300",
            ),
            (
                value(r#"{"id":1,"s":"abcd","r":1}"#),
                "TASK_PUT: a record cannot become a row of table `t`: a value does not fit column `s` (VARCHAR(3)) of `t`: the text has 4 bytes: abcd",
            ),
            (
                value(r#"{"id":1,"r":null}"#),
                "TASK_PUT: a record cannot become a row of table `t`: column `r` (INT) of `t` takes no NULL, and its value is null",
            ),
            (
                value(r#"{"id":1}"#),
                "TASK_PUT: a record cannot become a row of table `t`: column `r` (INT) of `t` takes no NULL, and no field feeds it",
            ),
            (value(r#"{"id":1,"r":2,"x":[1]}"#), r#"t: {"id":1,"r":2,"x":[1],"o":42}"#),
        ],
    );
    let lenient = format!("{plain}sink.properties.strict_mode=false\n");
    check(
        Bench::new(&lenient).duplicate("id tinyint key, o bigint"),
        &[(value(r#"{"id":300}"#), r#"t: {"id":300,"o":42}"#)],
    );
}

#[test]
fn text_that_starrocks_would_make_null_is_refused_by_name_where_rows_are_made_here() {
    let transform = "transforms=c\ntransforms.c.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
        transforms.c.offset.field=o\n";
    let plain = format!("{PLAIN}{transform}");
    let columns = "id int key, n int, d decimal(6,2), b boolean, at datetime, l array<int>";
    let refused = |column: &str, why: &str| {
        format!(
            "TASK_PUT: a record cannot become a row of table `t`: a value does not fit column {column} of `t`: {why}"
        )
    };
    let (word, digits) = (r#"{"id":1,"n":"many"}"#, r#"{"id":1,"d":1.005}"#);
    check(
        Bench::new(&plain).duplicate(columns),
        &[
            (value(word), &refused("`n` (INT)", "text that is no number: many")),
            (
                value(digits),
                &refused("`d` (DECIMAL(6,2))", "more than 2 digits after the point: 1.005"),
            ),
            (
                value(r#"{"id":1,"b":"maybe"}"#),
                &refused("`b` (BOOLEAN)", "text that is neither true nor false: maybe"),
            ),
            (
                value(r#"{"id":1,"at":"infinity"}"#),
                &refused("`at` (DATETIME)", "text that is no date: infinity"),
            ),
            (value(r#"{"id":1,"l":"x"}"#), &refused("`l` (ARRAY<INT>)", "text that is no list: x")),
            (
                value(
                    r#"{"id":1,"n":" +5 ","d":"1.50","b":"TRUE","at":"2020-01-02T03:04:05Z","l":[1]}"#,
                ),
                r#"t: {"id":1,"n":" +5 ","d":"1.50","b":"TRUE","at":"2020-01-02 03:04:05","l":[1],"o":42}"#,
            ),
        ],
    );
    // Whoever wants NULL says so.
    check(
        Bench::new(&format!("{plain}sink.properties.strict_mode=false\n")).duplicate(columns),
        &[
            (value(word), r#"t: {"id":1,"n":"many","o":42}"#),
            (value(digits), r#"t: {"id":1,"d":1.005,"o":42}"#),
        ],
    );
    check(Bench::new(PLAIN).duplicate(columns), &[(value(word), r#"t: {"id":1,"n":"many"}"#)]);
}

const RECIPE: &str = "transforms=addfield,unwrap\n\
    transforms.addfield.type=com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord\n\
    transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState\n\
    transforms.unwrap.drop.tombstones=true\ntransforms.unwrap.delete.handling.mode=rewrite\n";

fn event(op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql"}},"op":"{op}","ts_ms":1}}"#
    )
}

#[test]
fn debezium_events_upsert_and_delete() {
    let (c, u) =
        (event("c", "null", r#"{"id":1,"n":"a"}"#), event("u", "null", r#"{"id":1,"n":"b"}"#));
    let r = event("r", "null", r#"{"id":1,"n":"s"}"#);
    let d = event("d", r#"{"id":1,"n":null}"#, "null");
    let t = r#"{"source":{"connector":"postgresql"},"op":"t","before":null,"after":null}"#;
    check(
        Bench::new(&format!("{PLAIN}{RECIPE}"))
            .primary("id int key, n varchar(10), z int not null"),
        &[(
            value(&c),
            "TASK_PUT: a record cannot become a row of table `t`: column `z` (INT) of `t` takes no NULL, and no field feeds it",
        )],
    );
    check(
        Bench::new(&format!("{PLAIN}{RECIPE}")).primary("id int key, n varchar(10) not null"),
        &[
            (value(&r), r#"t: {"id":1,"n":"s","__op":0}"#),
            (value(&c), r#"t: {"id":1,"n":"a","__op":0}"#),
            (value(&u), r#"t: {"id":1,"n":"b","__op":0}"#),
            // A column that takes no NULL gets something, so that StarRocks lets the delete pass.
            (value(&d), r#"t: {"id":1,"n":"","__op":1}"#),
            (keyed(r#"{"id":1}"#, None), "skipped: tombstone dropped"),
            (value(t), "skipped: truncate event"),
        ],
    );
    check(
        Bench::new(&format!("{PLAIN}{RECIPE}")).duplicate("id int key, n varchar(10)"),
        &[
            (value(&c), r#"t: {"id":1,"n":"a"}"#),
            (
                value(&d),
                "TASK_PUT: a record cannot become a row of table `t`: a row is to be deleted from `t`, a duplicate key table, which knows no deletes",
            ),
        ],
    );
}

#[test]
fn an_envelope_may_be_asked_for_without_transforms() {
    let d = event("d", r#"{"id":1,"n":"x"}"#, "null");
    check(
        Bench::new(&format!("{PLAIN}starrocks.envelope=debezium\n"))
            .primary("id int key, n string"),
        &[
            (value(&event("c", "null", r#"{"id":1,"n":"x"}"#)), r#"t: {"id":1,"n":"x","__op":0}"#),
            (value(&d), r#"t: {"id":1,"__op":1}"#),
        ],
    );
}

#[test]
fn a_copied_row_that_is_a_delete_is_no_row_of_a_table_that_knows_none() {
    let of = |topic, text| Given { topic, ..value(text) };
    check(
        Bench::new(PLAIN).table("p", TableKind::Primary, "id int key").duplicate("id int"),
        &[
            (of("p", r#"{"id":1,"__op":1}"#), r#"p: {"id":1,"__op":1}"#),
            (of("t", r#"{"id":1,"__op":0}"#), r#"t: {"id":1,"__op":0}"#),
            (
                of("t", r#"{"id":1,"__op":1}"#),
                "TASK_PUT: a record cannot become a row of table `t`: a row is to be deleted from `t`, a duplicate key table, which knows no deletes",
            ),
        ],
    );
}

#[test]
fn a_delete_means_the_same_whether_rows_are_copied_or_made() {
    let transform = "transforms=c\ntransforms.c.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
        transforms.c.static.field=x\ntransforms.c.static.value=y\n";
    let of = |topic, text| Given { topic, ..value(text) };
    let bench = |lines: &str| {
        Bench::new(lines)
            .table("p", TableKind::Primary, "id int key, n string not null")
            .table("soft", TableKind::Primary, "id int key, __deleted string")
            .duplicate("id int")
    };
    let knows_none = "TASK_PUT: a record cannot become a row of table `t`: a row is to be deleted from `t`, a duplicate key table, which knows no deletes";
    let hidden = "TASK_PUT: a record cannot become a row of table `hidden`: `__deleted` marks the row as deleted, and StarRocks does not show whether `hidden` has such a column; `__op` beside it says what is meant (`AddOpFieldForDebeziumRecord`), or let the user see the table";
    let no_op = "TASK_PUT: a record cannot become a row of table `p`: `__op` is neither 0 nor 1";
    let deleted = r#"p: {"id":1,"n":"","__op":1}"#;
    for lines in [PLAIN.to_owned(), format!("{PLAIN}{transform}")] {
        check(
            bench(&lines),
            &[
                (of("p", r#"{"id":1,"__deleted":"true"}"#), deleted),
                (of("p", r#"{"id":1,"__deleted":true}"#), deleted),
                (of("p", r#"{"id":1,"__op":"delete"}"#), deleted),
                (of("p", r#"{"id":1,"__op":"d","__deleted":"false"}"#), deleted),
                (of("p", r#"{"id":1,"\u005f_op":"delete"}"#), deleted),
                (of("p", r#"{"id":1,"__op":7}"#), no_op),
                (of("p", r#"{"id":1,"__op":null}"#), no_op),
                (of("t", r#"{"id":1,"__deleted":"true"}"#), knows_none),
                (of("t", r#"{"id":1,"__op":"delete"}"#), knows_none),
                (of("hidden", r#"{"id":1,"__deleted":"true"}"#), hidden),
            ],
        );
    }
    // What StarRocks reads as it is meant is copied.
    check(
        bench(PLAIN),
        &[
            (of("p", r#"[{"id":1,"__op":"delete"}]"#), deleted),
            (of("t", r#"[{"id":1,"__op":1}]"#), knows_none),
            (of("p", r#"{"id":1, "__op":"1"}"#), r#"p: {"id":1, "__op":"1"}"#),
            (of("p", r#"{"id":1, "__deleted":null}"#), r#"p: {"id":1, "__deleted":null}"#),
            (of("p", r#"{"id":1,"n":"a", "__op":"u"}"#), r#"p: {"id":1,"n":"a","__op":0}"#),
            (
                of("soft", r#"{"id":1, "__deleted":"true"}"#),
                r#"soft: {"id":1, "__deleted":"true"}"#,
            ),
            (of("hidden", r#"{"id":1, "__op":1}"#), r#"hidden: {"id":1, "__op":1}"#),
        ],
    );
    // Without StarRocks the rows are shown as for a table that has no such column.
    let text = format!("{COMPLETE}{PLAIN}");
    let loaded = load_with(&[("f", &text)], &Overrides::default(), &[], &[]);
    let (job, _) = loaded.expect("legal");
    let mut offline = RowMaker::new(&job, Arc::new(NoTables), &Sources::default()).expect("legal");
    let row = r#"{"id":1,"__deleted":"true"}"#;
    let shown = r#"t: {"id":1,"__deleted":"true","__op":1}"#;
    assert_eq!(told(&mut offline, &value(row)), shown);
    // The header says how the operation is found.
    let computed = format!("{PLAIN}sink.properties.columns=id,o,__op=if(o='D',1,0)\n");
    let row = r#"{"id":1,"o":"D","__op":"delete"}"#;
    check(bench(&computed), &[(of("p", row), &format!("p: {row}"))]);
}

#[test]
fn a_table_may_have_headers_of_its_own() {
    let lines = format!(
        "{PLAIN}sink.properties.format=csv\nsink.properties.column_separator=|\n\
         sink.table.u.properties.columns=b,a\n"
    );
    let of = |topic| Given { topic, ..value(r#"{"a":1,"b":2}"#) };
    check(
        Bench::new(&lines).duplicate("a int, b int").table(
            "u",
            TableKind::Duplicate,
            "a int, b int",
        ),
        &[(of("t"), "t: 1|2\n"), (of("u"), "u: 2|1\n")],
    );
}

#[test]
fn a_rewritten_delete_deletes_also_without_the_operation_field() {
    let unwrap = "transforms=u\ntransforms.u.type=io.debezium.transforms.ExtractNewRecordState\n\
        transforms.u.delete.tombstone.handling.mode=rewrite\n";
    let d = event("d", r#"{"id":1,"n":"x"}"#, "null");
    check(
        Bench::new(&format!("{PLAIN}{unwrap}")).primary("id int key, n varchar(10)"),
        &[(value(&d), r#"t: {"id":1,"__op":1}"#)],
    );
    // Who has a column for the mark wants to keep the row.
    check(
        Bench::new(&format!("{PLAIN}{unwrap}"))
            .primary("id int key, n varchar(10), __deleted boolean"),
        &[(value(&d), r#"t: {"id":1,"n":"x","__deleted":"true"}"#)],
    );
}

#[test]
fn a_delete_event_that_became_a_null_deletes_by_key_and_a_bare_tombstone_when_asked() {
    let unwrap = "transforms=u\ntransforms.u.type=io.debezium.transforms.ExtractNewRecordState\n";
    let d = event("d", r#"{"id":1,"n":"x"}"#, "null");
    let table = "id int key, n varchar(10)";
    check(
        Bench::new(&format!("{PLAIN}{unwrap}")).primary(table),
        &[
            (keyed(r#"{"id":1}"#, Some(&d)), r#"t: {"id":1,"__op":1}"#),
            (keyed(r#"{"id":1}"#, None), "skipped: tombstone dropped"),
            (
                keyed(r#"{"other":1}"#, Some(&d)),
                "TASK_PUT: a record cannot become a row of table `t`: a delete from `t` names no row: it has no `id`",
            ),
        ],
    );
    check(
        Bench::new(&format!("{PLAIN}{unwrap}starsink.tombstones=skip\n")).primary(table),
        &[(keyed(r#"{"id":1}"#, Some(&d)), "skipped: tombstone")],
    );
    let delete = format!("{PLAIN}starsink.tombstones=delete\n");
    check(
        Bench::new(&delete).primary(table),
        &[
            (keyed(r#"{"id":7}"#, None), r#"t: {"id":7,"__op":1}"#),
            (keyed("7", None), r#"t: {"id":7,"__op":1}"#),
            (keyed(r#"{"id":7}"#, Some(r#"{"id":7,"n":"x"}"#)), r#"t: {"id":7,"n":"x"}"#),
        ],
    );
    check(
        Bench::new(&delete).duplicate(table),
        &[(
            keyed("7", None),
            "TASK_PUT: a record cannot become a row of table `t`: a row is to be deleted from `t`, a duplicate key table, which knows no deletes",
        )],
    );
    let csv = format!("{delete}sink.properties.format=csv\nsink.properties.column_separator=,\n");
    check(
        Bench::new(&csv).primary(table),
        &[
            (keyed("7", None), "t: 7,\\N,1\n"),
            (keyed("7", Some(r#"{"n":"x","id":7}"#)), "t: 7,x,0\n"),
            (
                keyed("7", Some(r#"{"n":"x,y","id":7}"#)),
                "TASK_PUT: a record cannot become a row of table `t`: the value of `n` holds the column separator or the row delimiter; `sink.properties.column_separator=\\x01` and `row_delimiter=\\x02` are rarely met",
            ),
        ],
    );
}

#[test]
fn a_json_key_that_is_read_as_text_deletes_its_row_or_is_refused() {
    let text = "value.converter=JsonConverter\nvalue.converter.schemas.enable=false\n\
        key.converter=org.apache.kafka.connect.storage.StringConverter\n\
        starsink.tombstones=delete\n";
    let refused = "TASK_PUT: a record cannot become a row of table `t`: a delete from `t` names no row: the record's key is JSON, read as plain text; `key.converter=org.apache.kafka.connect.json.JsonConverter` reads it (`key.converter.schemas.enable=false` where it brings no schema)";
    check(
        Bench::new(text).primary("id varchar(40) key, n string"),
        &[
            (keyed("a", None), r#"t: {"id":"a","__op":1}"#),
            (keyed(r#"{"id":"a"}"#, None), r#"t: {"id":"a","__op":1}"#),
            (keyed(r#"{"schema":{},"payload":{"id":"a"}}"#, None), refused),
            (keyed(r#""a""#, None), refused),
            (keyed("{a}", None), r#"t: {"id":"{a}","__op":1}"#),
        ],
    );
    check(
        Bench::new(text).primary("a int key, b int key"),
        &[
            (keyed(r#"{"b":2,"a":1}"#, None), r#"t: {"a":1,"b":2,"__op":1}"#),
            (keyed(r#"{"a":1}"#, None), refused),
        ],
    );
}

#[test]
fn one_record_becomes_rows_of_several_tables() {
    let lines = "transforms=copy,lines\ntransforms.copy.type=starsink.transforms.CopyTo\n\
        transforms.copy.topics=${topic}_items\n\
        transforms.lines.type=starsink.transforms.Explode\ntransforms.lines.field=items\n\
        transforms.lines.fields.keep=id\ntransforms.lines.predicate=p\npredicates=p\n\
        predicates.p.type=TopicNameMatches\npredicates.p.pattern=.*_items\n";
    check(
        Bench::new(&format!("{PLAIN}{lines}")).duplicate("id int key, items json").table(
            "t_items",
            TableKind::Duplicate,
            "id int key, sku string",
        ),
        &[(
            value(r#"{"id":7,"items":[{"sku":"a"},{"sku":"b"}]}"#),
            "t: {\"id\":7,\"items\":[{\"sku\":\"a\"},{\"sku\":\"b\"}]}\n\
                 t_items: {\"id\":7,\"sku\":\"a\"}\nt_items: {\"id\":7,\"sku\":\"b\"}",
        )],
    );
}

#[test]
fn routers_choose_the_table_and_leave_values_alone() {
    let router = "transforms=r\ntransforms.r.type=RegexRouter\ntransforms.r.regex=(.*)-v[0-9]+\n\
        transforms.r.replacement=$1\n";
    let mut maker = Bench::new(&format!("{PLAIN}{router}")).duplicate("a int").maker();
    assert_eq!(maker.way().to_string(), "values are checked and copied, byte for byte");
    let of = |topic| Given { topic, ..value(r#"{"a": 1}"#) };
    assert_eq!(told(&mut maker, &of("t-v2")), r#"t: {"a": 1}"#);
    assert_eq!(
        told(&mut maker, &of("other")),
        "TASK_PUT: a record of topic `other` goes to table `d.other`, which does not exist: Table [other] does not exists"
    );
}

#[test]
fn what_kafka_knows_of_a_record_becomes_columns() {
    let metadata = "transforms=m\ntransforms.m.type=starsink.transforms.Metadata\n\
        transforms.m.topic.field=tp\ntransforms.m.partition.field=p\ntransforms.m.offset.field=o\n\
        transforms.m.timestamp.field=at\ntransforms.m.key.field=k\ntransforms.m.header.trace.field=h\n";
    let given =
        Given { headers: &[("trace", Some(b"abc"))], ..keyed(r#"{"id":1}"#, Some(r#"{"a":1}"#)) };
    check(
        Bench::new(&format!("{PLAIN}{metadata}"))
            .duplicate("a int, tp string, p int, o bigint, at datetime, k json, h string"),
        &[(
            given,
            r#"t: {"a":1,"tp":"t","p":3,"o":42,"at":"2023-11-14 22:13:20.123","k":{"id":1},"h":"abc"}"#,
        )],
    );
    check(
        Bench::new(&format!("{PLAIN}{metadata}")).duplicate("a int, at bigint"),
        &[(
            keyed("1", Some(r#"{"a":1}"#)),
            r#"t: {"a":1,"tp":"t","p":3,"o":42,"at":1700000000123,"k":1,"h":null}"#,
        )],
    );
}

#[test]
fn refusals_name_stage_and_class_as_connect_does() {
    let mut maker = Bench::new(SCHEMAS).duplicate("a int").maker();
    let topic = "t".into();
    let record = RawRecord {
        topic: &topic,
        partition: 0,
        offset: Offset(0),
        timestamp: None,
        key: None,
        value: Some(b"{\"id\":1}"),
        headers: &[],
    };
    let Fate::Refused(refusal) = maker.make(&record) else { panic!("refused") };
    assert_eq!(refusal.stage.connect_name(), "VALUE_CONVERTER");
    assert_eq!(refusal.class, "org.apache.kafka.connect.json.JsonConverter");
    assert_eq!(refusal.exception.java_class(), "org.apache.kafka.connect.errors.DataException");
    assert!(refusal.cause.contains("requires \"schema\" and \"payload\""), "{}", refusal.cause);
    // Nothing of the record in the text that is printed with `--redact-values`.
    assert!(!refusal.safe_cause.contains("id"), "{}", refusal.safe_cause);
}

#[test]
fn nesting_ends_at_the_same_depth_whether_rows_are_copied_or_made() {
    let transform = "transforms=c\ntransforms.c.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
        transforms.c.offset.field=o\n";
    let deep =
        |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    for lines in [
        PLAIN.to_owned(),
        format!("{PLAIN}{transform}"),
        format!(
            "{PLAIN}transforms=f\ntransforms.f.type=org.apache.kafka.connect.transforms.Flatten$Value\n"
        ),
    ] {
        let mut maker = Bench::new(&lines).duplicate("a json").maker();
        assert!(told(&mut maker, &value(&deep(1000))).starts_with("t: {\"a\":[["), "{lines}");
        let said = told(&mut maker, &value(&deep(1001)));
        assert!(said.contains("deeper than 1000"), "{lines}: {said}");
    }
}
