//! The books of a run: what was read and what became of it, per table and in all. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::event::{Audited, PartitionBook, TableProgress};
use crate::pipeline::lane::Tally;
use crate::pipeline::reasons::Reasons;
use crate::record::{Offset, OffsetRange, Partition};

/// What one batch wants to put into the books.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// What became of each partition's records.
    pub partitions: BTreeMap<Partition, Tally>,
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
    /// Records of committed loads whose one row StarRocks left out.
    pub left_out: u64,
    /// Records that make no row, as configured.
    pub filtered: u64,
    /// Those among them that are repeats of dead letters.
    pub repeated: u64,
    pub set_aside: u64,
    pub skipped: u64,
    pub already_loaded: u64,
    /// Loads that only looked for rows that StarRocks rejects.
    pub extra_loads: u64,
    /// Why records were set aside or skipped.
    pub reasons: Reasons,
    pub ranges: BTreeMap<Partition, (Offset, Offset)>,
    /// The newest labels, oldest first, at most [`crate::event::Summary::MOST_LABELS`].
    pub audit: VecDeque<Audited>,
    pub partitions: BTreeMap<Partition, PartitionBook>,
}

impl Entry {
    /// Every record read has exactly one fate, and StarRocks counted as many rows as were sent.
    /// `read` and `refused` were counted elsewhere: by whoever read the records, and by the records kept
    /// because they go no further.
    pub fn check(&self, read: u64, refused: u64) -> Result<(), String> {
        for (partition, tally) in &self.partitions {
            let accounted = tally.accounted();
            if accounted != tally.records {
                return Err(format!(
                    "{} records of `{partition}` were converted, but {accounted} accounted for",
                    tally.records
                ));
            }
        }
        let all = self.tally();
        if all.records != read {
            return Err(format!("{read} records were read, but {} converted", all.records));
        }
        if all.set_aside + all.skipped != refused {
            return Err(format!(
                "{} records cannot be loaded, but {refused} are kept",
                all.set_aside + all.skipped
            ));
        }
        // A record may go to several tables: each of them must have had it.
        let placed: u64 = self.tables.values().map(|sent| sent.records).sum();
        if placed != all.placed {
            return Err(format!(
                "records were placed {} times, but tables had them {placed} times",
                all.placed
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

impl Entry {
    /// Records of which StarRocks took nothing, under `max_filter_ratio` or `where`. Where records have several
    /// rows, or go to several tables, it cannot be told of which record a row is missing: none.
    fn left_out(&self) -> u64 {
        let all = self.tally();
        let is_row_by_row =
            all.placed == all.loaded && self.tables.values().all(|sent| sent.records == sent.rows);
        let missing =
            |sent: &Sent| sent.counted.map_or(0, |counted| counted.filtered + counted.unselected);
        let missing: u64 = self.tables.values().map(missing).sum();
        if is_row_by_row { missing.min(all.loaded) } else { 0 }
    }

    /// Of all partitions.
    pub fn tally(&self) -> Tally {
        let mut all = Tally::default();
        self.partitions.values().for_each(|tally| all.add(tally));
        all
    }
}

impl Books {
    /// Enters a committed batch.
    pub fn enter(&mut self, entry: &Entry, ranges: &[OffsetRange], at: Duration) {
        let tally = entry.tally();
        self.read += tally.records;
        self.filtered += tally.filtered;
        self.repeated += tally.repeated;
        self.set_aside += tally.set_aside;
        self.skipped += tally.skipped;
        self.already_loaded += tally.already_loaded;
        let left_out = entry.left_out();
        self.left_out += left_out;
        self.loaded_records += tally.loaded - left_out;
        for (name, sent) in &entry.tables {
            let table = self.table(name);
            let counted = sent.counted.unwrap_or_default();
            table.rows += sent.rows - counted.filtered - counted.unselected;
            table.filtered_rows += counted.filtered + counted.unselected;
            table.bytes += sent.bytes;
            table.loads += 1;
            table.busy = at;
        }
        let all_loaded = tally.loaded;
        for range in ranges {
            let whole = self.ranges.entry(range.partition.clone());
            let whole = whole.or_insert((range.first, range.next));
            whole.1 = whole.1.max(range.next);
            let tally = entry.partitions.get(&range.partition).cloned().unwrap_or_default();
            // StarRocks does not say which partition a row came from.
            let is_only_one = tally.loaded == all_loaded;
            let left_out = if is_only_one { left_out } else { 0 };
            self.partition(range).enter(range, &tally, left_out);
        }
    }

    fn partition(&mut self, range: &OffsetRange) -> &mut PartitionBook {
        let begin = || PartitionBook::new(range.partition.clone(), range.first);
        self.partitions.entry(range.partition.clone()).or_insert_with(begin)
    }

    /// A record of this table that was set aside or skipped.
    pub fn refuse(&mut self, table: &str, is_set_aside: bool) {
        let table = self.table(table);
        match is_set_aside {
            true => table.set_aside += 1,
            false => table.skipped += 1,
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

impl PartitionBook {
    fn enter(&mut self, range: &OffsetRange, tally: &Tally, left_out: u64) {
        self.first = self.first.min(range.first);
        self.next = self.next.max(range.next);
        self.read += tally.records;
        self.loaded += tally.loaded - left_out;
        self.left_out += left_out;
        self.set_aside += tally.set_aside;
        self.skipped += tally.skipped;
        self.filtered += tally.filtered;
        self.already_loaded += tally.already_loaded;
        self.gaps += (range.next.0 - range.first.0).saturating_sub(tally.records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(records: u64, filtered: u64, sent: u64, counted: Option<u64>) -> Entry {
        let counted = counted.map(|total| Counted { total, loaded: total, ..Counted::default() });
        let sent = Sent { records: sent, rows: sent, bytes: 1, counted };
        let tally = Tally {
            records,
            loaded: records - filtered,
            placed: sent.records,
            filtered,
            ..Tally::default()
        };
        Entry {
            partitions: BTreeMap::from([(Partition::new("t", 0), tally)]),
            tables: BTreeMap::from([("t".into(), sent)]),
        }
    }

    fn change(mut entry: Entry, change: fn(&mut Tally)) -> Entry {
        entry.partitions.values_mut().for_each(change);
        entry
    }

    #[track_caller]
    fn refused(entry: &Entry, read: u64, refused: u64, expect: &str) {
        assert_eq!(entry.check(read, refused).unwrap_err(), expect);
    }

    #[test]
    fn books_balance_or_say_why_not() {
        let good = entry(10, 2, 8, Some(8));
        assert_eq!(good.check(10, 0), Ok(()));
        assert_eq!(entry(10, 2, 8, None).check(10, 0), Ok(()));
        let lost = change(good.clone(), |tally| tally.loaded = 7);
        refused(&lost, 10, 0, "10 records of `t[0]` were converted, but 9 accounted for");
        refused(&good, 11, 0, "11 records were read, but 10 converted");
        refused(&good, 10, 1, "0 records cannot be loaded, but 1 are kept");
        let astray = change(good, |tally| tally.placed = 9);
        let text = "records were placed 9 times, but tables had them 8 times";
        refused(&astray, 10, 0, text);
        let text = "8 rows were sent to `t`, but StarRocks counted 7";
        refused(&entry(10, 2, 8, Some(7)), 10, 0, text);
    }

    /// A small generator of its own: the same fates on every machine.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % sides
        }
    }

    /// One batch of random fates: its entry, records read and refused, and its ranges with gaps.
    fn random_batch(dice: &mut Dice, from: &mut [u64; 3]) -> (Entry, u64, u64, Vec<OffsetRange>) {
        let (mut entry, mut refused, mut read) = (Entry::default(), 0, 0);
        let begin = *from;
        for _ in 0..dice.roll(200) {
            let at = dice.roll(3) as usize;
            from[at] += 1 + dice.roll(3) / 2;
            let number = u32::try_from(at).unwrap();
            let tally = entry.partitions.entry(Partition::new("t", number)).or_default();
            tally.records += 1;
            read += 1;
            match dice.roll(6) {
                0 => tally.filtered += 1,
                1 => tally.already_loaded += 1,
                2 => tally.skipped += 1,
                3 => tally.set_aside += 1,
                _ => {
                    tally.loaded += 1;
                    // One table or two, one row or several.
                    for table in 0..=dice.roll(2) {
                        tally.placed += 1;
                        let sent = entry.tables.entry(format!("t{table}")).or_default();
                        sent.records += 1;
                        sent.rows += 1 + dice.roll(3);
                    }
                }
            }
        }
        for sent in entry.tables.values_mut() {
            let filtered = dice.roll(sent.rows + 1);
            let loaded = sent.rows - filtered;
            sent.counted = Some(Counted { total: sent.rows, loaded, filtered, unselected: 0 });
        }
        let all = entry.tally();
        refused += all.skipped + all.set_aside;
        let range = |at: usize| OffsetRange {
            partition: Partition::new("t", u32::try_from(at).unwrap()),
            first: Offset(begin[at]),
            next: Offset(from[at]),
        };
        let moved = (0..3).filter(|at| from[*at] > begin[*at]);
        (entry, read, refused, moved.map(range).collect())
    }

    #[test]
    fn books_of_random_fates_balance_and_one_record_astray_is_seen() {
        let mut dice = Dice(11);
        for _ in 0..300 {
            let (mut books, mut from) = (Books::default(), [0; 3]);
            let mut offsets = 0;
            for _ in 0..4 {
                let (entry, read, refused, ranges) = random_batch(&mut dice, &mut from);
                assert_eq!(entry.check(read, refused), Ok(()));
                offsets += ranges.iter().map(|range| range.next.0 - range.first.0).sum::<u64>();
                books.enter(&entry, &ranges, Duration::ZERO);
                for spoil in 0..6 {
                    let mut spoilt = entry.clone();
                    let Some(tally) = spoilt.partitions.values_mut().next() else { continue };
                    match spoil {
                        0 => tally.records += 1,
                        1 => tally.loaded += 1,
                        2 => tally.filtered += 1,
                        3 => tally.skipped += 1,
                        4 => tally.set_aside += 1,
                        _ => tally.placed += 1,
                    }
                    assert!(spoilt.check(read, refused).is_err(), "{spoil}");
                }
            }
            let fates = books.loaded_records
                + books.left_out
                + books.set_aside
                + books.skipped
                + books.filtered
                + books.already_loaded;
            assert_eq!(books.read, fates);
            let all = books.partitions.values();
            assert_eq!(all.clone().map(|book| book.read).sum::<u64>(), books.read);
            assert_eq!(all.map(|book| book.read + book.gaps).sum::<u64>(), offsets);
        }
    }

    #[test]
    fn a_record_whose_row_starrocks_left_out_is_not_loaded() {
        let range = |number, next| OffsetRange {
            partition: Partition::new("t", number),
            first: Offset(0),
            next: Offset(next),
        };
        let counted = Counted { total: 8, loaded: 5, filtered: 2, unselected: 1 };
        let left_out = |mut entry: Entry| {
            entry.tables.values_mut().for_each(|sent| sent.counted = Some(counted));
            entry
        };
        let mut books = Books::default();
        books.enter(&left_out(entry(10, 2, 8, None)), &[range(0, 10)], Duration::ZERO);
        assert_eq!((books.loaded_records, books.left_out, books.tables["t"].rows), (5, 3, 5));
        let book = &books.partitions[&Partition::new("t", 0)];
        assert_eq!((book.loaded, book.left_out, book.filtered), (5, 3, 2));
        // Of two partitions it cannot be said which; in all it can.
        let mut two = left_out(entry(10, 2, 8, None));
        let tally = two.partitions[&Partition::new("t", 0)].clone();
        two.partitions.insert(Partition::new("t", 1), tally);
        two.tables.values_mut().for_each(|sent| (sent.records, sent.rows) = (16, 16));
        let mut books = Books::default();
        books.enter(&two, &[range(0, 10), range(1, 10)], Duration::ZERO);
        assert_eq!((books.loaded_records, books.left_out), (13, 3));
        assert!(books.partitions.values().all(|book| (book.loaded, book.left_out) == (8, 0)));
        // A record of two rows may have lost one of them.
        let mut several = left_out(entry(10, 2, 8, None));
        several.tables.values_mut().for_each(|sent| sent.rows = 16);
        let mut books = Books::default();
        books.enter(&several, &[range(0, 10)], Duration::ZERO);
        assert_eq!((books.loaded_records, books.left_out), (8, 0));
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
        assert_eq!((books.read, books.filtered, books.loaded_records), (5, 1, 4));
        assert_eq!(books.tables["t"].rows, 4);
    }
}
