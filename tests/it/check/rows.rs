//! Records that the table cannot take as they are.

use standin::Standin;

use super::peers;
use super::stage::Stage;
use super::{Case, Java, Verdict};

use Java::Misses;
use Verdict::{Fails, Warns};

/// A record that would stop a load.
const fn refused(
    name: &'static str,
    broken: fn() -> Stage,
    said: &'static str,
    hint: &'static str,
) -> Case {
    Case { name, broken, check: "columns", verdict: Fails(4), said, hint, java: Misses }
}

const fn doubtful(
    name: &'static str,
    broken: fn() -> Stage,
    said: &'static str,
    hint: &'static str,
) -> Case {
    Case { name, broken, check: "columns", verdict: Warns, said, hint, java: Misses }
}

/// The healthy set-up with other records.
fn of(record: &str) -> Stage {
    Stage::with(Standin::builder(), record)
}

/// Likewise, with one more column.
fn with_column(definition: &str) -> Stage {
    add_column(Stage::new(), definition)
}

fn add_column(stage: Stage, definition: &str) -> Stage {
    let ddl = format!("ALTER TABLE shop.orders ADD COLUMN {definition}");
    stage.starrocks.execute(&ddl).expect("the column is added");
    stage
}

fn with_table(ddl: &str) -> Stage {
    let mut stage = Stage::new();
    stage.starrocks.execute(ddl).expect("the table is made");
    let grant = "GRANT INSERT, SELECT ON shop.other TO USER 'etl'";
    stage.starrocks.execute(grant).expect("granted");
    stage.set("starrocks.topic2table.map", "orders:other");
    stage
}

/// The healthy set-up with Avro values and a registry.
fn avro(registry: impl std::fmt::Display) -> Stage {
    let mut stage = Stage::new();
    stage
        .unset("value.converter.schemas.enable")
        .set("value.converter", "io.confluent.connect.avro.AvroConverter")
        .set("value.converter.schema.registry.url", &format!("http://{registry}"));
    stage
}

/// Likewise; its records are not looked at.
fn avro_without_sample(registry: impl std::fmt::Display) -> Stage {
    let mut stage = avro(registry);
    stage.arg(&["--sample", "0"]);
    stage
}

const SCHEMA: &str = r#"{"subject":"orders-value","version":1,"id":1,"schema":"\"int\""}"#;
const NO_SUBJECT: &str = r#"{"error_code":40401,"message":"Subject not found."}"#;
const UNAUTHORIZED: &str = r#"{"error_code":401,"message":"Unauthorized"}"#;

const UNWRAP: &str = "io.debezium.transforms.ExtractNewRecordState";

pub(super) const CASES: &[Case] = &[
    refused(
        "a number too big for a TINYINT",
        || of(r#"{"id":1,"city":"Oslo","amount":1,"small":300}"#),
        "do not fit `small tinyint`",
        "--on-error dlq",
    ),
    refused(
        "a text too long for a VARCHAR(20)",
        || of(r#"{"id":1,"city":"Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"}"#),
        "do not fit `city varchar(20)`",
        "--on-error dlq",
    ),
    refused(
        "70,000 bytes for a VARCHAR(65533)",
        || of(&format!(r#"{{"id":1,"note":"{}"}}"#, "x".repeat(70_000))),
        "do not fit `note varchar(65533)`",
        "--on-error dlq",
    ),
    refused(
        "text for an INT",
        || of(r#"{"id":"first","city":"Oslo"}"#),
        "do not fit `id int`",
        "--on-error dlq",
    ),
    refused(
        "text for a nullable DOUBLE, where rows are made here",
        || {
            let mut stage = of(r#"{"id":1,"city":"Oslo","price":"cheap"}"#);
            stage
                .set("transforms", "o")
                .set("transforms.o.type", "org.apache.kafka.connect.transforms.InsertField$Value")
                .set("transforms.o.offset.field", "small");
            add_column(stage, "price DOUBLE")
        },
        "do not fit `price double`",
        "--on-error dlq",
    ),
    doubtful(
        "an epoch number for a DATETIME",
        || of(r#"{"id":1,"at":1700000000123}"#),
        "column `at`: an epoch number: starrocks makes it null",
        "TimestampConverter$Value",
    ),
    doubtful(
        "a text that is no time",
        || of(r#"{"id":1,"at":"yesterday"}"#),
        "30 of 30 records: column `at`: text that is no date: starrocks makes it null",
        "strict_mode",
    ),
    doubtful(
        "a text that is no number",
        || add_column(of(r#"{"id":1,"city":"Oslo","price":"cheap"}"#), "price DOUBLE"),
        "column `price`: text that is no number: starrocks makes it null",
        "send a number",
    ),
    doubtful(
        "more digits after the point than a DECIMAL keeps",
        || of(r#"{"id":1,"amount":1.2345}"#),
        "30 of 30 records: column `amount`: it is rounded",
        "greater scale",
    ),
    refused(
        "a decimal with too many digits",
        || of(r#"{"id":1,"amount":1234567890123.45}"#),
        "do not fit `amount decimal(10",
        "--on-error dlq",
    ),
    refused(
        "an object for a DECIMAL",
        || of(r#"{"id":1,"amount":{"value":1}}"#),
        "do not fit `amount decimal(10",
        "--on-error dlq",
    ),
    refused(
        "NULL for a column that takes none",
        || of(r#"{"id":null,"city":"Oslo"}"#),
        "do not fit `id int`",
        "--on-error dlq",
    ),
    refused("records that are no JSON", || of("id=1;city=Oslo"), "records: ", "converter"),
    refused(
        "records that are no objects",
        || of("17"),
        "no object whose members",
        "--on-error dlq",
    ),
    refused(
        "JSON without the schema that the converter expects",
        || {
            let mut stage = Stage::new();
            stage.set("value.converter.schemas.enable", "true");
            stage
        },
        "records: ",
        "converter",
    ),
    Case {
        name: "a column that takes no NULL and gets no value",
        broken: || with_column("shop_id INT NOT NULL"),
        check: "columns",
        verdict: Fails(2),
        said: "column `shop_id`: no field feeds it",
        hint: "InsertField$Value",
        java: Misses,
    },
    Case {
        name: "a key that no field feeds",
        broken: || {
            with_table("CREATE TABLE shop.other (nr INT NOT NULL, city STRING) PRIMARY KEY(nr)")
        },
        check: "columns",
        verdict: Fails(2),
        said: "column `nr`: no field feeds it",
        hint: "make it NULL",
        java: Misses,
    },
    doubtful(
        "a field that no column takes",
        || of(r#"{"id":1,"city":"Oslo","amount":1,"at":null,"currency":"EUR"}"#),
        "no column takes `currency`",
        "starsink map --ddl",
    ),
    doubtful(
        "a column that no record feeds",
        || with_column("loaded_at DATETIME DEFAULT CURRENT_TIMESTAMP"),
        "`loaded_at`",
        "starsink map",
    ),
    Case {
        name: "names in other letters",
        broken: || of(r#"{"ID":1,"City":"Oslo","amount":1,"at":null}"#),
        check: "columns",
        verdict: Fails(2),
        said: "field `city` differs from column `city` in upper and lower case, and another one",
        hint: "renames=City:city,ID:id",
        java: Misses,
    },
    doubtful(
        "envelopes that nothing unwraps",
        || {
            let table = "CREATE TABLE shop.other (id INT, city STRING) PRIMARY KEY(id)";
            let mut stage = Stage::with(
                Standin::builder(),
                r#"{"id":1,"before":null,"after":{"id":1,"city":"Oslo"},"source":{},"op":"c","ts_ms":1}"#,
            );
            stage.starrocks.execute(table).expect("the table is made");
            let grant = "GRANT INSERT, SELECT ON shop.other TO USER 'etl'";
            stage.starrocks.execute(grant).expect("granted");
            stage.set("starrocks.topic2table.map", "orders:other");
            stage
        },
        "no column takes `after`",
        "ExtractNewRecordState",
    ),
    Case {
        name: "change data into a table without a primary key",
        broken: || {
            let mut stage = Stage::new();
            stage.set("transforms", "unwrap").set("transforms.unwrap.type", UNWRAP);
            stage
        },
        check: "tables",
        verdict: Fails(2),
        said: "a duplicate key table knows no deletes",
        hint: "PRIMARY KEY",
        java: Misses,
    },
    Case {
        name: "a registry that is not there",
        broken: || avro_without_sample(peers::nobody()),
        check: "registry",
        verdict: Fails(5),
        said: "cannot be reached",
        hint: "8081",
        java: Misses,
    },
    Case {
        name: "a registry that wants a login",
        broken: || avro_without_sample(peers::registry("401 Unauthorized", UNAUTHORIZED)),
        check: "registry",
        verdict: Fails(2),
        said: "does not give out its schemas",
        hint: "basic.auth.credentials.source",
        java: Misses,
    },
    Case {
        name: "a subject without a schema",
        broken: || avro_without_sample(peers::registry("404 Not Found", NO_SUBJECT)),
        check: "registry",
        verdict: Warns,
        said: "no schema yet",
        hint: "naming strategy",
        java: Misses,
    },
    refused(
        "JSON where Avro is expected",
        || avro(peers::registry("200 OK", SCHEMA)),
        "records: ",
        "converter",
    ),
    Case {
        name: "a transform nobody has",
        broken: || {
            let mut stage = Stage::new();
            stage.set("transforms", "mask").set("transforms.mask.type", "com.acme.MaskPan");
            stage
        },
        check: "config",
        verdict: Fails(2),
        said: "com.acme.maskpan",
        hint: "",
        java: Java::Finds,
    },
];
