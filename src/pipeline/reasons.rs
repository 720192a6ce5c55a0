//! Why records were not loaded, counted by reason with the first example of each; and when there are
//! too many of them. Pure.

use crate::config::job::MaxErrors;
use crate::event::Reasoned;

/// More reasons than these are counted together: a text that holds a value would make one each.
const MOST: usize = 50;

/// Reasons in the order they were met.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasons(Vec<Reasoned>);

impl Reasons {
    /// Counts one record, or those of another book.
    pub fn add(&mut self, reason: Reasoned) {
        let same = |known: &&mut Reasoned| {
            known.stage == reason.stage && known.what == reason.what && known.table == reason.table
        };
        if let Some(known) = self.0.iter_mut().find(same) {
            known.count += reason.count;
            return;
        }
        if self.0.len() < MOST {
            self.0.push(reason);
            return;
        }
        let last = self.0.last_mut().expect("the list is full");
        if last.what != OTHER {
            *last = Reasoned { what: OTHER.into(), cause: None, ..last.clone() };
        }
        last.count += reason.count;
    }

    pub fn extend(&mut self, others: &Reasons) {
        others.0.iter().for_each(|reason| self.add(reason.clone()));
    }

    pub fn list(&self) -> &[Reasoned] {
        &self.0
    }
}

const OTHER: &str = "other reasons";

/// Whether a run has met too many bad records; a share counts once this many were read.
const ENOUGH_READ: u64 = 1000;

/// `bad` records of `read` are more than the limit. `is_whole`: nothing more is read, so that a
/// share can be told however few there are.
pub fn exceeds(limit: MaxErrors, bad: u64, read: u64, is_whole: bool) -> bool {
    match limit {
        MaxErrors::Count(most) => bad > most,
        MaxErrors::Percent(share) => {
            (is_whole || read >= ENOUGH_READ) && bad as f64 * 100.0 > share * read as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(what: &str, first: &str) -> Reasoned {
        Reasoned {
            stage: "TASK_PUT".into(),
            what: what.into(),
            table: None,
            count: 1,
            first: first.into(),
            cause: None,
        }
    }

    #[test]
    fn equal_reasons_are_counted_and_the_first_example_stays() {
        let mut reasons = Reasons::default();
        reasons.add(reason("a", "t[0]@1"));
        reasons.add(reason("b", "t[0]@2"));
        reasons.add(reason("a", "t[0]@3"));
        let told: Vec<_> =
            reasons.list().iter().map(|r| (r.what.as_str(), r.count, r.first.as_str())).collect();
        assert_eq!(told, [("a", 2, "t[0]@1"), ("b", 1, "t[0]@2")]);
    }

    #[test]
    fn many_reasons_are_counted_together_and_none_is_lost() {
        let mut reasons = Reasons::default();
        (0..1000).for_each(|n| reasons.add(reason(&n.to_string(), "t[0]@0")));
        assert_eq!(reasons.list().len(), MOST);
        assert_eq!(reasons.list().iter().map(|r| r.count).sum::<u64>(), 1000);
    }

    #[test]
    fn a_limit_is_passed_by_one_more() {
        assert!(!exceeds(MaxErrors::Count(2), 2, 10, false));
        assert!(exceeds(MaxErrors::Count(2), 3, 10, false));
        assert!(exceeds(MaxErrors::Count(0), 1, 1, false));
        assert!(!exceeds(MaxErrors::Percent(1.0), 10, 1000, false));
        assert!(exceeds(MaxErrors::Percent(1.0), 11, 1000, false));
        // One bad record of one is no hundred per cent yet, unless that was all.
        assert!(!exceeds(MaxErrors::Percent(1.0), 1, 1, false));
        assert!(exceeds(MaxErrors::Percent(1.0), 1, 1, true));
        assert!(!exceeds(MaxErrors::Percent(0.0), 0, 5, true));
    }
}
