//! The documentation page's change-data example for real: PostgreSQL, Debezium in Kafka Connect, a
//! broker, `starsink tail` with the page's own files, and the table after each statement.

use std::time::Duration;

use e2e::connect::{DEBEZIUM_2, DEBEZIUM_3, Worker};
use e2e::kafka::{Kafka, Options};
use e2e::postgres::Postgres;
use e2e::starsink::Run;
use nix::sys::signal::Signal;

use crate::scene::{SOON, Scene};

/// Debezium's start, or a row's way through everything, on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// Step 2.3 of the page.
const CUSTOMERS_IN_POSTGRES: &str = "\
CREATE TABLE customers (
id int primary key ,
first_name varchar(65533) NULL,
last_name varchar(65533) NULL ,
email varchar(65533) NULL
);
INSERT INTO customers VALUES (1,'a','a','a@a.com');";

/// Step 3 of the page.
const CUSTOMERS_IN_STARROCKS: &str = "\
CREATE TABLE `customers` (
`id` int(11) COMMENT \"\",
`first_name` varchar(65533) NULL COMMENT \"\",
`last_name` varchar(65533) NULL COMMENT \"\",
`email` varchar(65533) NULL COMMENT \"\"
) ENGINE=OLAP
PRIMARY KEY(`id`)
DISTRIBUTED BY hash(id) buckets 1
PROPERTIES (
\"bucket_size\" = \"4294967296\",
\"in_memory\" = \"false\",
\"enable_persistent_index\" = \"false\",
\"replicated_storage\" = \"true\",
\"fast_schema_evolution\" = \"true\"
);";

/// Step 4.2 of the page. `@` marks what differs from site to site.
const SOURCE: &str = r#"{
"name": "inventory-connector",
"config": {
"connector.class": "io.debezium.connector.postgresql.PostgresConnector",
"plugin.name": "pgoutput",
"database.hostname": "localhost",
"database.port": "@PORT",
"database.user": "postgres",
"database.password": "",
"database.dbname" : "postgres",
"topic.prefix": "test"
}
}"#;

/// Step 4.3 of the page.
const SINK: &str = r#"{
"name": "starrocks-kafka-connector",
"config": {
"connector.class": "com.starrocks.connector.kafka.StarRocksSinkConnector",
"tasks.max": "1",
"topics": "test.public.customers",
"starrocks.http.url": "@FE",
"starrocks.database.name": "@DB",
"starrocks.username": "@USER",
"starrocks.password": "@PASSWORD",
"sink.properties.strip_outer_array": "true",
"connect.timeoutms": "3000",
"starrocks.topic2table.map": "test.public.customers:customers",
"transforms": "addfield,unwrap",
"transforms.addfield.type": "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord",
"transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
"transforms.unwrap.drop.tombstones": "true",
"transforms.unwrap.delete.handling.mode": "rewrite"
}
}"#;

/// Step 4.4 of the page, for source and sink alike; `plugin.path` and the offsets' file are the
/// worker's own business.
const WORKER: &str = "\
# Kafka Broker 的地址。多个 Kafka Broker 的地址需要用逗号(,)隔开。
bootstrap.servers=@BOOTSTRAP
offset.storage.file.filename=/tmp/connect.offsets
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=@SCHEMAS
# 控制 Flush 策略的参数。更多信息,请参阅使用说明部分。
offset.flush.interval.ms=10000
bufferflush.maxbytes = 67108864
bufferflush.intervalms = 1000
";

/// A database with its change events on the way to a StarRocks.
struct Pipeline {
    scene: Scene,
    postgres: Postgres,
    worker: Worker,
    _kafka: Kafka,
    schemas: bool,
}

impl Pipeline {
    /// The page's steps up to the running connector.
    fn open(debezium: &str, schemas: bool) -> Pipeline {
        Pipeline::open_with(debezium, schemas, "", &[])
    }

    /// The same with more tables, made by `more`, and more settings of the source connector.
    fn open_with(debezium: &str, schemas: bool, more: &str, settings: &[(&str, &str)]) -> Pipeline {
        // As brokers are by default; the source connector relies on it.
        let properties = vec![("auto.create.topics.enable".to_owned(), "true".to_owned())];
        let kafka = Kafka::start(&Options { properties, ..Options::default() }).expect("a broker");
        let scene = Scene::on(kafka.bootstrap());
        let postgres = Postgres::start().expect("PostgreSQL starts");
        postgres.execute(CUSTOMERS_IN_POSTGRES).expect("the page's table is made");
        postgres.execute(more).expect("more tables are made");
        scene
            .starrocks
            .execute(&format!("USE {}; {CUSTOMERS_IN_STARROCKS}", scene.starrocks.db))
            .expect("a table");
        let settings = settings.iter().map(|(key, value)| format!("\n\"{key}\": \"{value}\","));
        let source = SOURCE
            .replace("@PORT", &postgres.port().to_string())
            .replace("\"config\": {", &format!("\"config\": {{{}", settings.collect::<String>()));
        let worker = WORKER
            .replace("@BOOTSTRAP", &scene.bootstrap)
            .replace("@SCHEMAS", if schemas { "true" } else { "false" });
        let worker = Worker::start(debezium, &worker, &source).expect("a worker");
        Pipeline { scene, postgres, worker, _kafka: kafka, schemas }
    }

    /// Step 5 of the page, with `starsink tail` in the place of the sink connector: the same three
    /// files.
    fn tail(&self, sink: &str) -> Run {
        let starrocks = &self.scene.starrocks;
        let sink = sink
            .replace("@FE", &starrocks.fe)
            .replace("@USER", &starrocks.user)
            .replace("@PASSWORD", &starrocks.password)
            .replace("@DB", &starrocks.db);
        let worker = WORKER
            .replace("@BOOTSTRAP", &self.scene.bootstrap)
            .replace("@SCHEMAS", if self.schemas { "true" } else { "false" });
        let source = SOURCE.replace("@PORT", &self.postgres.port().to_string());
        let file = |name: &str, text: &str| {
            let path = self.scene.dir.join(name);
            std::fs::write(&path, text).expect("a file is written");
            path.to_string_lossy().into_owned()
        };
        let files = [
            file("connect-standalone.properties", &worker),
            file("pg-source.properties", &source),
            file("sr-sink.properties", &sink),
        ];
        let args = ["tail", "--no-progress", &files[0], &files[1], &files[2]];
        self.scene.starsink.start(&args, "").expect("starsink starts")
    }

    /// Waits until `topic` exists, which the source connector makes with its first message.
    fn wait_for_topic(&mut self, topic: &str) {
        let deadline = std::time::Instant::now() + WITHIN;
        loop {
            let seen = e2e::topics::watermarks(&self.scene.bootstrap, topic);
            if seen.is_ok_and(|all| all.iter().any(|(low, high)| high > low)) {
                return;
            }
            let runs = self.worker.runs().expect("the worker is looked at");
            assert!(
                runs && std::time::Instant::now() < deadline,
                "no message in `{topic}`:\n{}",
                self.worker.last_words()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Executes statements in PostgreSQL.
    #[track_caller]
    fn execute(&self, statements: &str) {
        self.postgres.execute(statements).expect("PostgreSQL executes it");
    }

    /// Waits until `table` holds just these rows while `run` goes on.
    #[track_caller]
    fn expect(&mut self, run: &mut Run, table: &str, columns: &[&str], rows: &[&str]) {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        let deadline = std::time::Instant::now() + WITHIN;
        loop {
            let found = self.scene.starrocks.rows(table, columns).expect("rows are read");
            if found == rows {
                return;
            }
            let runs = run.runs().expect("starsink is looked at");
            assert!(
                runs && std::time::Instant::now() < deadline,
                "`{table}` holds {found:#?}, not {rows:#?}\nstarsink, running: {runs}\n{}\nworker\n{}",
                run.stderr(),
                self.worker.last_words()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Step 6 of the page.
    fn check_the_page(&mut self) {
        const COLUMNS: [&str; 4] = ["id", "first_name", "last_name", "email"];
        self.wait_for_topic("test.public.customers");
        let mut run = self.tail(SINK);
        self.expect(&mut run, "customers", &COLUMNS, &["1|a|a|a@a.com"]);
        self.execute("insert into customers values (2,'b','b','b@b.com');");
        self.expect(&mut run, "customers", &COLUMNS, &["1|a|a|a@a.com", "2|b|b|b@b.com"]);
        self.execute("update customers set email='c@c.com';");
        self.expect(&mut run, "customers", &COLUMNS, &["1|a|a|c@c.com", "2|b|b|c@c.com"]);
        self.execute("delete from customers where id=1;");
        self.expect(&mut run, "customers", &COLUMNS, &["2|b|b|c@c.com"]);
        stop(run);
    }
}

/// A clean stop.
#[track_caller]
fn stop(mut run: Run) {
    run.signal(Signal::SIGTERM);
    run.wait(SOON).expect("starsink ends").expect(0);
}

#[test]
fn the_pages_statements_arrive_from_debezium_3_as_the_page_has_it() {
    // The worker's file says that values are written without schemas.
    Pipeline::open(DEBEZIUM_3, false).check_the_page();
}

#[test]
fn the_pages_statements_arrive_from_debezium_3_with_schemas() {
    Pipeline::open(DEBEZIUM_3, true).check_the_page();
}

#[test]
fn the_pages_statements_arrive_from_debezium_2_as_the_page_has_it() {
    Pipeline::open(DEBEZIUM_2, false).check_the_page();
}

#[test]
fn the_pages_statements_arrive_from_debezium_2_with_schemas() {
    Pipeline::open(DEBEZIUM_2, true).check_the_page();
}

/// A column of each kind, all of it in the log (`REPLICA IDENTITY FULL`), a key of its own making.
const WARES_IN_POSTGRES: &str = "\
CREATE TABLE wares (
  id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  price numeric(12,4), weight numeric, due date, seen timestamp(6), sold timestamptz, clock time(6),
  doc jsonb, raw bytea, ok boolean, nums int[], tags text[], ref uuid, note text DEFAULT 'none',
  ratio double precision, big text);
ALTER TABLE wares REPLICA IDENTITY FULL;
INSERT INTO wares (price, weight, due, seen, sold, clock, doc, raw, ok, nums, tags, ref, note, ratio, big)
VALUES (12.5, 1234567890123456789.125, '2024-01-31', '2024-01-31 12:34:56.789012',
  '2024-01-31 12:34:56.5+02', '18:02:37.123456', '{\"a\": [1, 2.50]}', '\\x00ff10', true, '{1,NULL,3}',
  '{x,\"y z\"}', 'c0ffee00-1234-4567-89ab-0123456789ab', 'first', 0.1,
  (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) n));";

/// All columns but the long one.
const WARES: [&str; 15] = [
    "id", "price", "weight", "due", "seen", "sold", "clock", "doc", "raw", "ok", "nums", "tags",
    "ref", "note", "ratio",
];

const NEXT_WARES: &str = "\
INSERT INTO wares (note) VALUES (NULL);
UPDATE wares SET price = -0.0001, ok = false WHERE id = 1;";

/// A key change; then everything goes, which is no event of a row; then one row comes.
const LAST_WARES: &str = "\
UPDATE wares SET id = 7 WHERE id = 2;
TRUNCATE wares;
INSERT INTO wares (id, note) VALUES (8, 'after');";

/// As [`SINK`], for `wares`.
fn sink_of(table: &str) -> String {
    SINK.replace("customers", table).replace("starrocks-kafka-connector", &format!("{table}-sink"))
}

/// What the columns of `wares` behind the id hold.
struct Wares {
    definition: &'static str,
    /// The first row, as inserted and as updated.
    first: &'static str,
    updated: &'static str,
    /// A row of nulls; `NOTE` stands for its note.
    nulls: &'static str,
    /// What a null becomes in a column with a default.
    null_note: &'static str,
}

impl Pipeline {
    /// The rows of `wares` through all of its events.
    fn check_wares(&mut self, wares: &Wares) {
        self.scene.starrocks.create_table("wares", wares.definition).expect("a table");
        self.wait_for_topic("test.public.wares");
        let mut run = self.tail(&sink_of("wares"));
        let row = |id: u32, rest: &str| format!("{id}|{rest}");
        let nulls = |id: u32, note: &str| row(id, &wares.nulls.replace("NOTE", note));
        self.expect(&mut run, "wares", &WARES, &[&row(1, wares.first)]);
        self.execute(NEXT_WARES);
        let updated = row(1, wares.updated);
        self.expect(&mut run, "wares", &WARES, &[&updated, &nulls(2, wares.null_note)]);
        let long = self.postgres.execute("SELECT big FROM wares WHERE id = 1").expect("a text");
        self.expect(&mut run, "wares", &["id", "big"], &[&row(1, long.trim()), "2|NULL"]);
        self.execute(LAST_WARES);
        let all = [updated, nulls(7, wares.null_note), nulls(8, "after")];
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.expect(&mut run, "wares", &WARES, &all);
        stop(run);
        // Of the snapshot, an insert, an update, delete and tombstone and insert of the key change, the
        // truncate that changed nothing, and the last insert.
        let topic = e2e::topics::watermarks(&self.scene.bootstrap, "test.public.wares");
        let messages: i64 = topic.expect("marks").iter().map(|(low, high)| high - low).sum();
        assert_eq!(messages, 8);
    }

    /// An update that leaves a long column alone, in a table whose log does not hold it: the row is
    /// refused, for the placeholder would take the value's place.
    fn check_what_is_not_logged(&mut self) {
        let definition =
            "(id INT NOT NULL, n INT, big STRING) PRIMARY KEY(id) DISTRIBUTED BY HASH(id)";
        self.scene.starrocks.create_table("letters", definition).expect("a table");
        self.wait_for_topic("test.public.letters");
        let mut run = self.tail(&sink_of("letters"));
        let long = self.postgres.execute("SELECT big FROM letters").expect("a text");
        let row = format!("1|1|{}", long.trim());
        self.expect(&mut run, "letters", &["id", "n", "big"], &[&row]);
        self.execute("UPDATE letters SET n = 2;");
        let said = run.wait(WITHIN).expect("starsink ends").expect(4);
        said.says(&[
            "column `big` is unchanged and PostgreSQL did not log its value",
            "REPLICA IDENTITY FULL",
        ]);
        self.expect_now("letters", &["id", "n", "big"], &[&row]);
    }

    #[track_caller]
    fn expect_now(&self, table: &str, columns: &[&str], rows: &[&str]) {
        self.scene.check_rows(table, columns, rows);
    }
}

/// A table whose long column is not in the log unless it changes.
const LETTERS_IN_POSTGRES: &str = "\
CREATE TABLE letters (id int PRIMARY KEY, n int, big text);
ALTER TABLE letters ALTER COLUMN big SET STORAGE EXTERNAL;
INSERT INTO letters SELECT 1, 1, string_agg(md5(n::text), '') FROM generate_series(1, 300) n;";

#[test]
fn every_kind_of_column_and_event_arrives_with_schemas() {
    let tables = format!("{WARES_IN_POSTGRES}{LETTERS_IN_POSTGRES}");
    let mut pipeline =
        Pipeline::open_with(DEBEZIUM_3, true, &tables, &[("skipped.operations", "none")]);
    pipeline.check_wares(&Wares {
        definition: "(id INT NOT NULL, price DECIMAL(12,4), weight DECIMAL(38,9), due DATE, seen DATETIME, \
             sold DATETIME, clock STRING, doc JSON, raw VARBINARY, ok BOOLEAN, nums ARRAY<INT>, \
             tags ARRAY<STRING>, ref STRING, note STRING, ratio DOUBLE, big STRING) \
             PRIMARY KEY(id) DISTRIBUTED BY HASH(id)",
        first: "12.5000|1234567890123456789.125000000|2024-01-31|2024-01-31 12:34:56.789012|\
             2024-01-31 10:34:56.500000|18:02:37.123456|{\"a\":[1,2.50]}|AP8Q|1|[1,null,3]|[\"x\",\"y z\"]|\
             c0ffee00-1234-4567-89ab-0123456789ab|first|0.1",
        updated: "-0.0001|1234567890123456789.125000000|2024-01-31|2024-01-31 12:34:56.789012|\
             2024-01-31 10:34:56.500000|18:02:37.123456|{\"a\":[1,2.50]}|AP8Q|0|[1,null,3]|[\"x\",\"y z\"]|\
             c0ffee00-1234-4567-89ab-0123456789ab|first|0.1",
        nulls: "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NOTE|NULL",
        null_note: "none",
    });
    pipeline.check_what_is_not_logged();
}

#[test]
fn every_kind_of_column_and_event_arrives_without_schemas() {
    let tables = format!("{WARES_IN_POSTGRES}{LETTERS_IN_POSTGRES}");
    // Without a schema a decimal is base64 and its scale is lost.
    let settings = [("skipped.operations", "none"), ("decimal.handling.mode", "string")];
    let mut pipeline = Pipeline::open_with(DEBEZIUM_3, false, &tables, &settings);
    pipeline.check_wares(&Wares {
        definition: "(id INT NOT NULL, price DECIMAL(12,4), weight DECIMAL(38,9), due INT, seen BIGINT, \
             sold STRING, clock BIGINT, doc STRING, raw STRING, ok BOOLEAN, nums ARRAY<INT>, \
             tags ARRAY<STRING>, ref STRING, note STRING, ratio DOUBLE, big STRING) \
             PRIMARY KEY(id) DISTRIBUTED BY HASH(id)",
        first: "12.5000|1234567890123456789.125000000|19753|1706704496789012|2024-01-31T10:34:56.500000Z|\
             64957123456|{\"a\": [1, 2.50]}|AP8Q|1|[1,null,3]|[\"x\",\"y z\"]|\
             c0ffee00-1234-4567-89ab-0123456789ab|first|0.1",
        updated: "-0.0001|1234567890123456789.125000000|19753|1706704496789012|2024-01-31T10:34:56.500000Z|\
             64957123456|{\"a\": [1, 2.50]}|AP8Q|0|[1,null,3]|[\"x\",\"y z\"]|\
             c0ffee00-1234-4567-89ab-0123456789ab|first|0.1",
        nulls: "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NOTE|NULL",
        null_note: "none",
    });
    pipeline.check_what_is_not_logged();
}
