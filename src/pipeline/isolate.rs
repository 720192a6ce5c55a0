//! Finds the records whose rows StarRocks rejects: ever smaller pieces of the batch that was refused
//! are loaded, each a batch of its own, until one record is left. Pure: the reader loads the pieces.
//!
//! Costs at most 2·⌈log2(n)⌉ loads for one such record of n, beside the one that the batch takes anyway: on every
//! level the first half is loaded, and the second either as well, or it is known to hold the record and is split
//! at once. What is left of a record that was found is no load.

use std::collections::VecDeque;

use crate::record::{Offset, OffsetRange};

/// Loads of one search; more of them say that the configuration is wrong, not the data.
const MOST_LOADS: u64 = 20_000;

/// What is left to go through of a batch that was refused.
#[derive(Debug)]
pub struct Isolation {
    /// In order; the first is being loaded.
    pieces: VecDeque<Piece>,
    loads: u64,
    found: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    ranges: Vec<OffsetRange>,
    /// The piece before it and this one were refused together: if that one was loaded, it is here.
    is_second_half: bool,
}

/// What to do after a piece was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Load what [`Isolation::piece`] says now.
    Load,
    /// Just this record is refused: the piece is to be loaded without it.
    Found { range: OffsetRange },
    /// Nothing sensible comes of it.
    GiveUp { loads: u64, found: u64 },
}

impl Isolation {
    /// Begins with the ranges of a batch that was refused as a whole. `named`: StarRocks named rows of
    /// it, so it is first tried without them.
    pub fn of(ranges: Vec<OffsetRange>, named: bool) -> (Self, Next) {
        let piece = Piece { ranges, is_second_half: false };
        let mut isolation = Isolation { pieces: VecDeque::from([piece]), loads: 0, found: 0 };
        let next = isolation.refused(named);
        (isolation, next)
    }

    /// What to load now: everything between these offsets that is not loaded yet; empty: all is done.
    pub fn piece(&self) -> &[OffsetRange] {
        self.pieces.front().map(|piece| piece.ranges.as_slice()).unwrap_or_default()
    }

    /// Loads so far, the one of the whole batch among them.
    pub fn loads(&self) -> u64 {
        self.loads
    }

    /// Loads so far that the batch would not have taken without its bad records.
    pub fn extra_loads(&self) -> u64 {
        self.loads.saturating_sub(1)
    }

    /// The piece is committed, whatever it held. `has_rows`: it took a load.
    pub fn loaded(&mut self, has_rows: bool) {
        self.loads += u64::from(has_rows);
        self.pieces.pop_front();
        // Both halves were refused together and the first is fine: no need to try the second whole.
        if self.pieces.front().is_some_and(|piece| piece.is_second_half && !piece.is_single()) {
            self.split();
        }
    }

    /// The piece was refused. `named`: StarRocks named rows in it that are now left out.
    pub fn refused(&mut self, named: bool) -> Next {
        self.loads += 1;
        if self.loads > MOST_LOADS {
            return Next::GiveUp { loads: self.loads, found: self.found };
        }
        // Of the piece behind this one nothing is known now.
        if let Some(second) = self.pieces.get_mut(1) {
            second.is_second_half = false;
        }
        match self.pieces.front() {
            Some(piece) if !named && piece.is_single() => {
                self.found += 1;
                Next::Found { range: piece.ranges[0].clone() }
            }
            Some(_) if !named => {
                self.split();
                Next::Load
            }
            Some(_) | None => Next::Load,
        }
    }

    /// The piece failed and nothing says why: goes on with its halves, if there are two.
    pub fn halve(&mut self) -> bool {
        let Some(piece) = self.pieces.front() else { return false };
        if piece.is_single() {
            return false;
        }
        self.refused(false) == Next::Load
    }

    /// Replaces the first piece by its halves.
    fn split(&mut self) {
        let Some(piece) = self.pieces.pop_front() else { return };
        let (first, second) = piece.halves();
        self.pieces.push_front(Piece { ranges: second, is_second_half: true });
        self.pieces.push_front(Piece { ranges: first, is_second_half: false });
    }
}

impl Piece {
    /// One offset: nothing is left to split.
    fn is_single(&self) -> bool {
        self.ranges.iter().map(length).sum::<u64>() <= 1
    }

    /// Two halves by offsets; a range in the middle is cut in two.
    fn halves(self) -> (Vec<OffsetRange>, Vec<OffsetRange>) {
        let mut left = self.ranges.iter().map(length).sum::<u64>().div_ceil(2);
        let (mut first, mut second) = (vec![], vec![]);
        for range in self.ranges {
            let taken = left.min(length(&range));
            left -= taken;
            let middle = Offset(range.first.0 + taken);
            if taken > 0 {
                first.push(OffsetRange { next: middle, ..range.clone() });
            }
            if middle < range.next {
                second.push(OffsetRange { first: middle, ..range });
            }
        }
        (first, second)
    }
}

fn length(range: &OffsetRange) -> u64 {
    range.next.0 - range.first.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;
    use std::collections::BTreeSet;

    fn range(partition: u32, first: u64, next: u64) -> OffsetRange {
        let partition = Partition::new("t", partition);
        OffsetRange { partition, first: Offset(first), next: Offset(next) }
    }

    type Place = (u32, u64);

    fn places(ranges: &[OffsetRange]) -> Vec<Place> {
        let of = |range: &OffsetRange| {
            let number = range.partition.number;
            (range.first.0..range.next.0).map(move |offset| (number, offset)).collect::<Vec<_>>()
        };
        ranges.iter().flat_map(of).collect()
    }

    /// Goes through all of it against a StarRocks that refuses `bad`: what was loaded, in order, what
    /// was found, and how many loads of rows it took.
    fn search(ranges: Vec<OffsetRange>, bad: &BTreeSet<Place>) -> (Vec<Place>, Vec<Place>, u64) {
        let (mut isolation, mut next) = Isolation::of(ranges, false);
        let (mut loaded, mut found, mut loads) = (vec![], vec![], 0);
        loop {
            match &next {
                Next::Load => {}
                Next::Found { range } => found.extend(places(std::slice::from_ref(range))),
                Next::GiveUp { .. } => panic!("gave up"),
            }
            let rows: Vec<Place> =
                places(isolation.piece()).into_iter().filter(|row| !found.contains(row)).collect();
            if isolation.piece().is_empty() {
                assert_eq!(isolation.loads(), loads + 1, "with that of the whole batch");
                return (loaded, found, isolation.extra_loads());
            }
            loads += u64::from(!rows.is_empty());
            if rows.iter().any(|row| bad.contains(row)) {
                next = isolation.refused(false);
            } else {
                isolation.loaded(!rows.is_empty());
                loaded.extend(rows);
                next = Next::Load;
            }
        }
    }

    #[track_caller]
    fn check(ranges: &[OffsetRange], bad: &[Place]) -> u64 {
        let bad: BTreeSet<Place> = bad.iter().copied().collect();
        let (loaded, found, loads) = search(ranges.to_vec(), &bad);
        let all = places(ranges);
        let good: Vec<Place> = all.iter().copied().filter(|row| !bad.contains(row)).collect();
        assert_eq!(loaded, good, "each good record once, in order");
        assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), bad);
        let levels = u64::from((all.len() as u64).next_power_of_two().ilog2());
        let most = 2 * levels * bad.len() as u64;
        assert!(loads <= most, "{loads} loads for {} of {}, at most {most}", bad.len(), all.len());
        loads
    }

    #[test]
    fn one_bad_record_of_a_million_takes_about_two_loads_a_level() {
        for at in [0, 1, 499_999, 500_000, 999_999] {
            let (first, second) = (range(0, 7, 600_007), range(1, 0, 400_000));
            let place = if at < 600_000 { (0, 7 + at) } else { (1, at - 600_000) };
            let (mut isolation, _) = Isolation::of(vec![first, second], false);
            let holds = |ranges: &[OffsetRange]| {
                ranges.iter().any(|range| {
                    range.partition.number == place.0
                        && (range.first.0..range.next.0).contains(&place.1)
                })
            };
            let mut found = false;
            while !isolation.piece().is_empty() {
                if holds(isolation.piece()) && !found {
                    found = matches!(isolation.refused(false), Next::Found { .. });
                } else {
                    let is_empty = places(isolation.piece()) == [place];
                    isolation.loaded(!is_empty);
                }
            }
            assert!(found && isolation.extra_loads() <= 2 * 20, "{isolation:?}");
        }
    }

    #[test]
    fn every_pattern_of_bad_records_is_found_and_the_rest_is_loaded_in_order() {
        let ranges = [range(0, 3, 8), range(1, 0, 1), range(2, 5, 7)];
        let all = places(&ranges);
        for mask in 1..(1_u32 << all.len()) {
            let chosen = |at: &usize| mask & (1 << at) != 0;
            let bad: Vec<Place> = (0..all.len()).filter(chosen).map(|at| all[at]).collect();
            check(&ranges, &bad);
        }
    }

    #[test]
    fn when_every_record_is_bad_it_takes_about_two_loads_each() {
        let ranges = [range(0, 0, 1000)];
        assert!(check(&ranges, &places(&ranges)) <= 2000);
    }

    #[test]
    fn rows_that_were_named_are_left_out_and_the_rest_is_tried_whole() {
        let (mut isolation, next) = Isolation::of(vec![range(0, 0, 100)], true);
        assert_eq!(next, Next::Load);
        assert_eq!(isolation.piece(), [range(0, 0, 100)]);
        isolation.loaded(true);
        assert!(isolation.piece().is_empty());
        assert_eq!(isolation.extra_loads(), 1);
    }

    #[test]
    fn a_search_without_end_is_given_up() {
        let (mut isolation, mut next) = Isolation::of(vec![range(0, 0, 100)], true);
        while next == Next::Load {
            next = isolation.refused(true);
        }
        assert!(matches!(next, Next::GiveUp { .. }));
    }
}
