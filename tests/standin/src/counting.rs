//! Rows counted instead of kept, for benchmarks: as little work per byte as tells how many rows
//! there were, and on request the sum of one integer column.

use memchr::{memchr_iter, memmem};

use crate::load_spec::Format;
use crate::table::{Keep, Tally, mix};

/// Counts the rows of one body, piece by piece.
pub(crate) struct Counter {
    end_of_row: u8,
    id: Option<memmem::Finder<'static>>,
    tally: Tally,
    /// The unfinished row of the last piece, while ids are looked for.
    carry: Vec<u8>,
    last: u8,
}

impl Counter {
    /// CSV rows end with a newline, JSON rows with a brace; nested objects are counted as rows.
    pub(crate) fn new(format: Format, keep: &Keep) -> Self {
        let id = match (format, keep) {
            (Format::Json, Keep::Tally(column)) => {
                Some(memmem::Finder::new(format!("\"{column}\":").as_bytes()).into_owned())
            }
            _ => None,
        };
        let end_of_row = if format == Format::Json { b'}' } else { b'\n' };
        Self { end_of_row, id, tally: Tally::default(), carry: Vec::new(), last: end_of_row }
    }

    pub(crate) fn add(&mut self, piece: &[u8]) {
        let Some(&last) = piece.last() else { return };
        self.last = last;
        self.tally.bytes += piece.len() as u64;
        if self.id.is_some() {
            return self.add_with_ids(piece);
        }
        self.tally.rows += memchr_iter(self.end_of_row, piece).count() as u64;
    }

    fn add_with_ids(&mut self, mut piece: &[u8]) {
        if !self.carry.is_empty()
            && let Some(end) = memchr::memchr(self.end_of_row, piece)
        {
            let mut row = std::mem::take(&mut self.carry);
            row.extend_from_slice(&piece[..=end]);
            self.row(&row);
            piece = &piece[end + 1..];
        }
        let mut start = 0;
        for end in memchr_iter(self.end_of_row, piece) {
            self.row(&piece[start..=end]);
            start = end + 1;
        }
        self.carry.extend_from_slice(&piece[start..]);
    }

    fn row(&mut self, row: &[u8]) {
        self.tally.rows += 1;
        let Some(at) =
            self.id.as_ref().and_then(|id| id.find(row).map(|at| at + id.needle().len()))
        else {
            return;
        };
        let digits = row[at..].iter().skip_while(|b| **b == b' ' || **b == b'"');
        let id = digits
            .take_while(|b| b.is_ascii_digit())
            .fold(0u64, |n, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
        self.tally.id_sum = self.tally.id_sum.wrapping_add(id);
        self.tally.id_hash = self.tally.id_hash.wrapping_add(mix(id));
    }

    /// The counts; a CSV body's last row needs no newline.
    pub(crate) fn finish(mut self) -> Tally {
        if self.end_of_row == b'\n' && self.last != b'\n' {
            self.tally.rows += 1;
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, pieces: &[&str], rows: u64, id_sum: u64) {
        let mut counter = Counter::new(format, &Keep::Tally("id".to_owned()));
        pieces.iter().for_each(|p| counter.add(p.as_bytes()));
        let tally = counter.finish();
        assert_eq!((tally.rows, tally.id_sum), (rows, id_sum));
    }

    #[test]
    fn rows_and_ids_are_counted_across_pieces() {
        check(Format::Json, &["[{\"id\":1,\"a\":2},{\"i", "d\": 40", "}]"], 2, 41);
        check(Format::Json, &["{\"id\":7}\n{\"x\":1}"], 2, 7);
        check(Format::Csv, &["1,a\n2,", "b\n3,c"], 3, 0);
        check(Format::Csv, &[""], 0, 0);
    }
}
