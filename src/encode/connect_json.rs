//! A record's value as one JSON row, as the Java connector writes it, but exact: decimals are plain
//! digits, numbers without schema keep theirs, nulls stay nulls where a field has a default, and
//! Debezium's variable-scale decimals are numbers.

use crate::data::json_text::{self, Times};
use crate::data::{Datum, Failure, Value};

/// Appends the row. Only objects are rows: anything else is refused, since no column could be named.
pub fn write_row(out: &mut Vec<u8>, value: &Value<'_>, times: Times) -> Result<(), Failure> {
    match &value.datum {
        Datum::Struct(_) | Datum::Map(_) => {
            let start = out.len();
            json_text::write(out, value.schema.as_ref(), &value.datum, times)?;
            if out[start] != b'{' {
                out.truncate(start);
                return Err(Failure::data("the value is a map with keys other than text, no row"));
            }
            Ok(())
        }
        other => Err(Failure::data(format!(
            "the value is a {}, not an object whose members could be columns",
            other.java_class()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_rows() {
        let mut out = b"kept".to_vec();
        let row = |datum| Value::schemaless(datum);
        let good = row(Datum::Map(vec![(Datum::text("a"), Datum::Int64(1))]));
        write_row(&mut out, &good, Times::Numbers).expect("a row");
        assert_eq!(out, b"kept{\"a\":1}");
        for bad in [
            row(Datum::text("x")),
            row(Datum::Array(vec![])),
            row(Datum::Map(vec![(Datum::Int8(1), Datum::Null)])),
        ] {
            assert!(write_row(&mut out, &bad, Times::Numbers).is_err());
            assert_eq!(out, b"kept{\"a\":1}");
        }
    }
}
