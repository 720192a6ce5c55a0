//! The books of a run: what was read and what became of it, per table and in all. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::event::{Audited, TableProgress};
use crate::pipeline::lane::Tally;
use crate::record::{Offset, OffsetRange, Partition};

/// What one batch wants to put into the books.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub tally: Tally,
    /// By table.
    pub tables: BTreeMap<String, Sent>,
}

/// One table's share of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    pub records: u64,
    pub rows: u64,
    pub bytes: u64,
    /// As StarRocks counted them; `None` where it did not say.
    pub counted: Option<Counted>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub total: u64,
    pub loaded: u64,
    pub filtered: u64,
    pub unselected: u64,
}

/// Committed batches only.
#[derive(Debug, Default)]
pub struct Books {
    pub tables: BTreeMap<String, TableProgress>,
    pub read: u64,
    pub loaded_records: u64,
    pub skipped: u64,
    pub already_loaded: u64,
    pub ranges: BTreeMap<Partition, (Offset, Offset)>,
    /// The newest labels, oldest first, at most [`crate::event::Summary::MOST_LABELS`].
    pub audit: VecDeque<Audited>,
}

impl Entry {
    /// Every record read has exactly one fate, and StarRocks counted as many rows as were sent.
    pub fn check(&self) -> Result<(), String> {
        let accounted = self.tally.loaded + self.tally.skipped + self.tally.already_loaded;
        if accounted != self.tally.records {
            return Err(format!(
                "{} records were read, but {accounted} accounted for",
                self.tally.records
            ));
        }
        // A record may go to several tables: each of them must have had it.
        let placed: u64 = self.tables.values().map(|sent| sent.records).sum();
        if placed != self.tally.placed {
            return Err(format!(
                "records were placed {} times, but tables had them {placed} times",
                self.tally.placed
            ));
        }
        for (table, sent) in &self.tables {
            let Some(counted) = sent.counted else { continue };
            if counted.total != sent.rows {
                return Err(format!(
                    "{} rows were sent to `{table}`, but StarRocks counted {}",
                    sent.rows, counted.total
                ));
            }
        }
        Ok(())
    }
}

impl Books {
    /// Enters a committed batch.
    pub fn enter(&mut self, entry: &Entry, ranges: &[OffsetRange], at: Duration) {
        self.read += entry.tally.records;
        self.skipped += entry.tally.skipped;
        self.already_loaded += entry.tally.already_loaded;
        self.loaded_records += entry.tally.loaded;
        for (name, sent) in &entry.tables {
            let table = self.table(name);
            let counted = sent.counted.unwrap_or_default();
            table.rows += sent.rows - counted.filtered - counted.unselected;
            table.filtered += counted.filtered + counted.unselected;
            table.bytes += sent.bytes;
            table.loads += 1;
            table.busy = at;
        }
        for range in ranges {
            let whole = self.ranges.entry(range.partition.clone());
            let whole = whole.or_insert((range.first, range.next));
            whole.1 = whole.1.max(range.next);
        }
    }

    pub fn table(&mut self, name: &str) -> &mut TableProgress {
        self.tables
            .entry(name.into())
            .or_insert_with(|| TableProgress { table: name.into(), ..TableProgress::default() })
    }

    /// What was committed, per partition.
    pub fn committed(&self) -> Vec<OffsetRange> {
        let range = |(partition, (first, next)): (&Partition, &(Offset, Offset))| OffsetRange {
            partition: partition.clone(),
            first: *first,
            next: *next,
        };
        self.ranges.iter().map(range).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(records: u64, skipped: u64, sent: u64, counted: Option<u64>) -> Entry {
        let counted = counted.map(|total| Counted { total, loaded: total, ..Counted::default() });
        let sent = Sent { records: sent, rows: sent, bytes: 1, counted };
        Entry {
            tally: Tally {
                records,
                loaded: records - skipped,
                placed: sent.records,
                skipped,
                already_loaded: 0,
            },
            tables: BTreeMap::from([("t".into(), sent)]),
        }
    }

    #[test]
    fn books_balance_or_say_why_not() {
        assert_eq!(entry(10, 2, 8, Some(8)).check(), Ok(()));
        assert_eq!(entry(10, 2, 8, None).check(), Ok(()));
        let mut lost = entry(10, 1, 8, Some(8));
        lost.tally.loaded = 8;
        let lost = lost.check().unwrap_err();
        assert_eq!(lost, "10 records were read, but 9 accounted for");
        let mut astray = entry(10, 2, 8, Some(8));
        astray.tally.placed = 9;
        let astray = astray.check().unwrap_err();
        assert_eq!(astray, "records were placed 9 times, but tables had them 8 times");
        let miscounted = entry(10, 2, 8, Some(7)).check().unwrap_err();
        assert_eq!(miscounted, "8 rows were sent to `t`, but StarRocks counted 7");
    }

    #[test]
    fn committed_ranges_grow_together() {
        let mut books = Books::default();
        let range = |first, next| OffsetRange {
            partition: Partition::new("t", 0),
            first: Offset(first),
            next: Offset(next),
        };
        books.enter(&entry(2, 0, 2, None), &[range(0, 2)], Duration::ZERO);
        books.enter(&entry(3, 1, 2, None), &[range(2, 5)], Duration::ZERO);
        assert_eq!(books.committed(), [range(0, 5)]);
        assert_eq!((books.read, books.skipped, books.loaded_records), (5, 1, 4));
        assert_eq!(books.tables["t"].rows, 4);
    }
}
