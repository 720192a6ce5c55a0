//! The benchmark's row with its schema beside it, as Kafka Connect's JsonConverter and Debezium's
//! PostgreSQL connector write it.

use std::fmt::Write as _;

use crate::row::Row;

/// Fields of [`Row::json`], as a Connect schema lists them.
const FIELDS: &str = r#"{"type":"int64","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"ts"},{"type":"string","optional":true,"field":"user_id"},{"type":"string","optional":true,"field":"city"},{"type":"double","optional":true,"field":"amount"},{"type":"int32","optional":true,"field":"qty"},{"type":"boolean","optional":true,"field":"paid"},{"type":"string","optional":true,"field":"channel"},{"type":"double","optional":true,"field":"rating"},{"type":"string","optional":true,"field":"note"}"#;

/// Fields of Debezium's `source`.
const SOURCE: &str = r#"{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,last,false,incremental"},"default":"false","field":"snapshot"},{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},{"type":"string","optional":false,"field":"schema"},{"type":"string","optional":false,"field":"table"},{"type":"int64","optional":true,"field":"txId"},{"type":"int64","optional":true,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"}"#;

/// Replaces `out` with `{"schema":…,"payload":row}`, about 0.8 KB.
pub fn with_schema(row: Row, out: &mut String) {
    let mut payload = String::new();
    row.json(&mut payload);
    out.clear();
    write!(
        out,
        r#"{{"schema":{{"type":"struct","fields":[{FIELDS}],"optional":false,"name":"bench.Row"}},"payload":{payload}}}"#
    )
    .expect("a String takes every write");
}

/// Replaces `out` with the change event of an insert, its schema beside it, about 3 KB.
pub fn change_event(row: Row, out: &mut String) {
    let mut after = String::new();
    row.json(&mut after);
    let image = |field: &str| {
        format!(
            r#"{{"type":"struct","fields":[{FIELDS}],"optional":true,"name":"bench.public.rows.Value","field":"{field}"}}"#
        )
    };
    let (before, after_schema) = (image("before"), image("after"));
    out.clear();
    write!(
        out,
        r#"{{"schema":{{"type":"struct","fields":[{before},{after_schema},{{"type":"struct","fields":[{SOURCE}],"optional":false,"name":"io.debezium.connector.postgresql.Source","field":"source"}},{{"type":"string","optional":false,"field":"op"}},{{"type":"int64","optional":true,"field":"ts_ms"}}],"optional":false,"name":"bench.public.rows.Envelope","version":1}},"payload":{{"before":null,"after":{after},"source":{{"version":"2.7.4.Final","connector":"postgresql","name":"bench","ts_ms":1793491200000,"snapshot":"false","db":"bench","sequence":"[\"24023128\",\"24023128\"]","schema":"public","table":"rows","txId":{},"lsn":24023128,"xmin":null}},"op":"c","ts_ms":1793491200123}}}}"#,
        row.index
    )
    .expect("a String takes every write");
}
