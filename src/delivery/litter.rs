//! Labels to be ended because no intent will ever name them. Hygiene: they would expire anyway,
//! and nothing waits for the answers.

use std::collections::{BTreeMap, VecDeque};

use super::label::{Label, Prefix, RunId, Seq, TableHash};
use super::{Action, Answer, Context, Millis, Note, Op, Refusal, TxnState};

/// A label is left to its timeout after this many tries.
const TRIES: u32 = 6;
const PAUSE_MS: Millis = 2_000;
/// Orphans of a run are looked for until this many sequence numbers in a row had none.
const EMPTY_IN_A_ROW: u32 = 2;

/// Everything that is being ended, and the runs still looked through for orphans.
#[derive(Debug, Clone, Default)]
pub(super) struct Litter {
    labels: BTreeMap<Label, Ending>,
    searches: VecDeque<Search>,
}

#[derive(Debug, Clone)]
struct Ending {
    /// Its begin was not answered: only `_cancel` can reach it.
    by_cancel: bool,
    tries: u32,
    /// When to ask again; `None` while an answer is awaited.
    due: Option<Millis>,
}

/// Labels of a dead run, one sequence number at a time.
#[derive(Debug, Clone)]
struct Search {
    prefix: Prefix,
    run: RunId,
    seq: Seq,
    tables: Vec<TableHash>,
    awaited: usize,
    found_any: bool,
    empty_in_a_row: u32,
}

impl Litter {
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.searches.is_empty()
    }

    /// Ends a label of our own that no intent names.
    pub(super) fn end(&mut self, label: Label, by_cancel: bool, cx: &mut Context<'_>) {
        let mut ending = Ending { by_cancel, tries: 0, due: Some(cx.now) };
        ending.go(&label, cx);
        self.labels.insert(label, ending);
    }

    /// Looks for labels of a dead run behind its last recorded sequence number. Call only after
    /// the own claim was acknowledged: before, the run may still be alive.
    pub(super) fn search(
        &mut self,
        prefix: &Prefix,
        run: RunId,
        last: Seq,
        tables: Vec<TableHash>,
        cx: &mut Context<'_>,
    ) {
        let search = Search {
            prefix: prefix.clone(),
            run,
            seq: last,
            tables,
            awaited: 0,
            found_any: false,
            empty_in_a_row: 0,
        };
        self.searches.push_back(search);
        self.next_search(cx);
    }

    /// The assignment is gone: dead runs are the next owner's business.
    pub(super) fn forget_searches(&mut self) {
        self.searches.clear();
    }

    fn next_search(&mut self, cx: &mut Context<'_>) {
        while let Some(search) = self.searches.front_mut() {
            if search.awaited > 0 {
                return;
            }
            if search.empty_in_a_row >= EMPTY_IN_A_ROW || search.tables.is_empty() {
                self.searches.pop_front();
                continue;
            }
            search.seq = search.seq.next();
            search.found_any = false;
            search.awaited = search.tables.len();
            for &table in &search.tables {
                cx.act(Action::AskState { label: search.label(table) });
            }
        }
    }

    /// Takes an answer; false if it is none of ours.
    pub(super) fn answered(
        &mut self,
        label: &Label,
        op: Op,
        answer: &Answer,
        cx: &mut Context<'_>,
    ) -> bool {
        match op {
            Op::AskState => self.found(label, answer, cx),
            Op::RollBack | Op::Cancel => self.ended(label, op, answer, cx),
            _ => false,
        }
    }

    fn found(&mut self, label: &Label, answer: &Answer, cx: &mut Context<'_>) -> bool {
        let Some(search) = self.searches.front_mut() else { return false };
        if (search.run, search.seq) != (label.run, label.seq) || search.awaited == 0 {
            return false;
        }
        search.awaited -= 1;
        let is_open = matches!(answer, Answer::State(TxnState::Prepare | TxnState::Prepared));
        search.found_any |= is_open;
        if search.awaited == 0 {
            search.empty_in_a_row = if search.found_any { 0 } else { search.empty_in_a_row + 1 };
        }
        if is_open && !self.labels.contains_key(label) {
            cx.say(Note::Orphan { label: label.clone() });
            self.end(label.clone(), false, cx);
        }
        self.next_search(cx);
        true
    }

    fn ended(&mut self, label: &Label, op: Op, answer: &Answer, cx: &mut Context<'_>) -> bool {
        let Some(ending) = self.labels.get_mut(label) else { return false };
        match (op, answer) {
            (Op::RollBack, Answer::Refused(Refusal::NotFound)) => {
                ending.by_cancel = true;
                ending.go(label, cx);
            }
            (_, Answer::Lost | Answer::Refused(Refusal::Busy)) if ending.tries < TRIES => {
                let due = cx.now + PAUSE_MS;
                ending.due = Some(due);
                cx.wake_at(due);
            }
            _ => {
                self.labels.remove(label);
            }
        }
        true
    }

    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        for (label, ending) in &mut self.labels {
            match ending.due {
                Some(due) if due <= cx.now => ending.go(label, cx),
                Some(due) => cx.wake_at(due),
                None => {}
            }
        }
    }
}

impl Ending {
    fn go(&mut self, label: &Label, cx: &mut Context<'_>) {
        self.tries += 1;
        self.due = None;
        let label = label.clone();
        cx.act(if self.by_cancel { Action::Cancel { label } } else { Action::RollBack { label } });
    }
}

impl Search {
    fn label(&self, table: TableHash) -> Label {
        Label { prefix: self.prefix.clone(), run: self.run, seq: self.seq, table }
    }
}
