//! How far each assigned partition was read, and where it ends. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::delivery::Taken;
use crate::record::{Offset, OffsetRange, Partition};

/// The assigned partitions of one run.
#[derive(Debug, Default)]
pub struct Positions {
    slots: Vec<Slot>,
    /// By librdkafka's handle of the topic and the partition's number.
    known: HashMap<(usize, u32), usize>,
    last: Option<((usize, u32), usize)>,
    unfinished: usize,
    /// How many more records are wanted in all.
    wanted: Option<u64>,
}

#[derive(Debug)]
struct Slot {
    partition: Partition,
    /// Where the present batch began on it.
    batch_first: Offset,
    next: Offset,
    /// Records taken since the last seal.
    records: u64,
    end: Option<Offset>,
    done: bool,
}

impl Positions {
    /// Begins anew from these positions; `ends` holds the bounds of a bounded run.
    pub fn new(starts: &[(Partition, Offset)], ends: &BTreeMap<Partition, Offset>) -> Self {
        let slot = |(partition, first): &(Partition, Offset)| {
            let end = ends.get(partition).copied();
            let done = end.is_some_and(|end| *first >= end);
            Slot {
                partition: partition.clone(),
                batch_first: *first,
                next: *first,
                records: 0,
                end,
                done,
            }
        };
        let slots: Vec<Slot> = starts.iter().map(slot).collect();
        let unfinished = slots.iter().filter(|slot| !slot.done).count();
        Positions { slots, unfinished, ..Positions::default() }
    }

    /// Every partition ends with the last of so many more records, wherever it stands then.
    pub fn want(&mut self, records: Option<u64>) {
        self.wanted = records;
        if records == Some(0) {
            self.stop_here();
        }
    }

    /// The partition's place here; `None` if it is not read (any more).
    #[inline]
    pub fn slot(
        &mut self,
        topic_key: usize,
        number: u32,
        topic: impl Fn() -> String,
    ) -> Option<usize> {
        let key = (topic_key, number);
        if let Some((last, slot)) = self.last
            && last == key
        {
            return Some(slot);
        }
        let slot = match self.known.get(&key) {
            Some(slot) => *slot,
            None => {
                let wanted = Partition::new(topic(), number);
                let slot = self.slots.iter().position(|slot| slot.partition == wanted)?;
                self.known.insert(key, slot);
                slot
            }
        };
        self.last = Some((key, slot));
        Some(slot)
    }

    /// Whether a record is still wanted; one at or behind the end finishes its partition.
    #[inline]
    pub fn take(&mut self, slot: usize, offset: Offset) -> bool {
        let slot = &mut self.slots[slot];
        if slot.done || offset < slot.next {
            return false;
        }
        if let Some(end) = slot.end {
            if offset >= end {
                slot.next = end;
                slot.done = true;
                self.unfinished -= 1;
                return false;
            }
            if offset.0 + 1 == end.0 {
                slot.done = true;
                self.unfinished -= 1;
            }
        }
        slot.next = Offset(offset.0 + 1);
        slot.records += 1;
        if let Some(wanted) = &mut self.wanted {
            *wanted -= 1;
            if *wanted == 0 {
                // At once: records behind this one are passed over, and the end of a partition that
                // comes with them must not move a position past them.
                self.stop_here();
            }
        }
        true
    }

    /// The end of a partition was reached at `position`: past control records and compacted ones.
    pub fn reached_end(&mut self, slot: usize, position: Offset) {
        let slot = &mut self.slots[slot];
        if slot.done {
            return;
        }
        slot.next = slot.next.max(position);
        if let Some(end) = slot.end {
            // Nothing is left to read up to a bound that was fixed before.
            slot.next = slot.next.min(end).max(slot.batch_first);
            slot.done = true;
            self.unfinished -= 1;
        }
    }

    /// Ends every partition where it stands.
    pub fn stop_here(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.done = true);
        self.unfinished = 0;
    }

    /// Ends every partition where it stands, and one before a record of the batch in hand (`is_sealed`:
    /// of the batch sealed last), of which it has `records` before that one. Returns how many of the batch in hand it gives up.
    pub fn end_before(
        &mut self,
        partition: &Partition,
        offset: Offset,
        records: u64,
        is_sealed: bool,
    ) -> u64 {
        self.stop_here();
        let slot = self.slots.iter_mut().find(|slot| slot.partition == *partition);
        let Some(slot) = slot else { return 0 };
        slot.next = offset;
        if is_sealed {
            slot.batch_first = offset;
            return 0;
        }
        std::mem::replace(&mut slot.records, records) - records
    }

    pub fn all_done(&self) -> bool {
        self.unfinished == 0
    }

    /// Whether anything was read since the last seal.
    pub fn moved(&self) -> bool {
        self.slots.iter().any(|slot| slot.next > slot.batch_first)
    }

    /// Closes the batch: what each partition moved by.
    pub fn seal(&mut self) -> Vec<Taken> {
        let moved = self.slots.iter_mut().filter(|slot| slot.next > slot.batch_first);
        moved
            .map(|slot| {
                let (partition, first) = (slot.partition.clone(), slot.batch_first);
                slot.batch_first = slot.next;
                let records = std::mem::take(&mut slot.records);
                Taken { range: OffsetRange { partition, first, next: slot.next }, records }
            })
            .collect()
    }

    /// What each partition moved by since the last seal.
    pub fn moved_ranges(&self) -> Vec<OffsetRange> {
        let moved = self.slots.iter().filter(|slot| slot.next > slot.batch_first);
        let range = |slot: &Slot| OffsetRange {
            partition: slot.partition.clone(),
            first: slot.batch_first,
            next: slot.next,
        };
        moved.map(range).collect()
    }

    /// Partitions still to be read, with their positions.
    pub fn open(&self) -> Vec<(Partition, Offset)> {
        let open = self.slots.iter().filter(|slot| !slot.done);
        open.map(|slot| (slot.partition.clone(), slot.next)).collect()
    }

    /// Every assigned partition with its position.
    pub fn all(&self) -> impl Iterator<Item = (&Partition, Offset)> {
        self.slots.iter().map(|slot| (&slot.partition, slot.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(first: u64, end: Option<u64>) -> Positions {
        let partition = Partition::new("t", 0);
        let ends = end.map(|end| (partition.clone(), Offset(end))).into_iter().collect();
        let mut positions = Positions::new(&[(partition, Offset(first))], &ends);
        assert_eq!(positions.slot(1, 0, || "t".into()), Some(0));
        positions
    }

    fn range(positions: &mut Positions) -> Vec<(u64, u64)> {
        positions.seal().iter().map(|t| (t.range.first.0, t.range.next.0)).collect()
    }

    #[test]
    fn the_last_record_before_the_bound_finishes_a_partition() {
        let mut positions = one(5, Some(7));
        assert!(positions.take(0, Offset(5)));
        assert!(!positions.all_done());
        assert!(positions.take(0, Offset(6)));
        assert!(positions.all_done());
        assert!(!positions.take(0, Offset(7)));
        assert_eq!(range(&mut positions), [(5, 7)]);
    }

    #[test]
    fn a_gap_at_the_bound_finishes_it_with_the_next_record_or_the_end_of_the_partition() {
        let mut positions = one(5, Some(8));
        assert!(positions.take(0, Offset(5)));
        assert!(!positions.take(0, Offset(9)));
        assert!(positions.all_done());
        assert_eq!(range(&mut positions), [(5, 8)]);
        let mut positions = one(5, Some(8));
        assert!(positions.take(0, Offset(5)));
        positions.reached_end(0, Offset(8));
        assert!(positions.all_done());
        assert_eq!(range(&mut positions), [(5, 8)]);
    }

    #[test]
    fn records_are_counted_and_gaps_are_not() {
        let mut positions = one(5, Some(9));
        assert!(positions.take(0, Offset(5)) && positions.take(0, Offset(8)));
        assert_eq!(positions.seal()[0].records, 2);
        assert!(!positions.take(0, Offset(9)));
        assert!(positions.seal().is_empty());
    }

    #[test]
    fn an_open_transaction_at_the_end_does_not_keep_a_bounded_run_waiting() {
        let mut positions = one(0, Some(10));
        assert!(positions.take(0, Offset(0)));
        positions.reached_end(0, Offset(4));
        assert!(positions.all_done());
        assert_eq!(range(&mut positions), [(0, 4)]);
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        assert!(one(7, Some(7)).all_done());
        assert!(one(9, Some(7)).all_done());
        assert!(!one(7, None).all_done());
        let mut empty = one(3, Some(5));
        empty.reached_end(0, Offset(3));
        assert!(empty.all_done() && !empty.moved());
    }

    #[test]
    fn without_a_bound_the_end_of_a_partition_moves_the_position_past_control_records() {
        let mut positions = one(0, None);
        assert!(positions.take(0, Offset(0)));
        positions.reached_end(0, Offset(2));
        assert!(!positions.all_done());
        assert_eq!(range(&mut positions), [(0, 2)]);
        assert!(!positions.moved());
    }

    #[test]
    fn a_batch_ends_before_the_record_that_ends_the_run() {
        let partition = Partition::new("t", 0);
        let mut positions = one(5, None);
        (5..9).for_each(|offset| assert!(positions.take(0, Offset(offset))));
        assert_eq!(positions.end_before(&partition, Offset(7), 2, false), 2);
        assert!(positions.all_done());
        assert_eq!(range(&mut positions), [(5, 7)]);
        assert_eq!(positions.end_before(&partition, Offset(6), 1, true), 0);
        assert!(!positions.moved());
    }

    #[test]
    fn the_last_record_wanted_ends_all_partitions_where_they_stand() {
        for end in [None, Some(9)] {
            let mut positions = one(5, end);
            positions.want(Some(2));
            assert!(positions.take(0, Offset(5)) && !positions.all_done());
            assert!(positions.take(0, Offset(6)) && positions.all_done());
            assert!(!positions.take(0, Offset(7)));
            positions.reached_end(0, Offset(9));
            assert_eq!(range(&mut positions), [(5, 7)], "records behind it are not read");
        }
        let mut positions = one(5, None);
        positions.want(Some(0));
        assert!(positions.all_done());
    }

    #[test]
    fn a_record_from_before_a_rewind_is_not_taken_twice() {
        let mut positions = one(5, None);
        assert!(!positions.take(0, Offset(4)));
        assert!(positions.take(0, Offset(5)));
        assert!(!positions.take(0, Offset(5)));
    }
}
