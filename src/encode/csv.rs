//! Ready-made CSV lines: a record is one line (or several, joined by the row delimiter) and goes
//! into the body as it is. Counts its rows, so that the books balance with what StarRocks counts.

use csv::ReaderBuilder;

/// How rows are told apart; from `sink.properties.row_delimiter` and `enclose`.
#[derive(Debug, Clone)]
pub struct Lines {
    row_delimiter: Vec<u8>,
    enclose: Option<u8>,
}

impl Lines {
    pub fn new(row_delimiter: &[u8], enclose: Option<u8>) -> Self {
        Lines { row_delimiter: row_delimiter.to_vec(), enclose }
    }

    /// Appends a record's rows, each closed by the delimiter; returns how many. Blank lines are
    /// no rows to StarRocks.
    pub fn append(&self, record: &[u8], body: &mut Vec<u8>) -> u64 {
        let rows = record.strip_suffix(&self.row_delimiter[..]).unwrap_or(record);
        if rows.is_empty() {
            return 0;
        }
        body.extend_from_slice(rows);
        body.extend_from_slice(&self.row_delimiter);
        self.count(rows)
    }

    fn count(&self, rows: &[u8]) -> u64 {
        if memchr::memmem::find(rows, &self.row_delimiter).is_none() {
            return 1;
        }
        match (self.enclose, &self.row_delimiter[..]) {
            // Delimiters inside quotes do not count; the csv crate knows which are.
            (Some(quote), &[terminator]) => {
                let mut reader = ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .quote(quote)
                    .terminator(csv::Terminator::Any(terminator))
                    .from_reader(rows);
                reader.byte_records().filter(|row| row.is_ok()).count() as u64
            }
            _ => {
                let mut count = 0;
                let mut rest = rows;
                while let Some(at) = memchr::memmem::find(rest, &self.row_delimiter) {
                    count += u64::from(at > 0);
                    rest = &rest[at + self.row_delimiter.len()..];
                }
                count + u64::from(!rest.is_empty())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(delimiter: &[u8], enclose: Option<u8>, record: &str, rows: u64, body: &str) {
        let mut out = vec![];
        let counted = Lines::new(delimiter, enclose).append(record.as_bytes(), &mut out);
        assert_eq!((counted, String::from_utf8(out).unwrap().as_str()), (rows, body));
    }

    #[test]
    fn a_line_is_closed_once() {
        check(b"\n", None, "1,a", 1, "1,a\n");
        check(b"\n", None, "1,a\n", 1, "1,a\n");
        check(b"\x01", None, "1,a", 1, "1,a\x01");
        check(b"\r\n", None, "1,a\r\n", 1, "1,a\r\n");
        check(b"\n", None, "\n", 0, "");
    }

    #[test]
    fn a_record_may_hold_several_rows() {
        check(b"\n", None, "1,a\n2,b\n", 2, "1,a\n2,b\n");
        check(b"\n", None, "1,a\n\n2,b", 2, "1,a\n\n2,b\n");
        check(b"\n", Some(b'"'), "1,\"a\nb\"\n2,c", 2, "1,\"a\nb\"\n2,c\n");
    }
}
