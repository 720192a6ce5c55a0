//! A fake StarRocks: labels, their states, and what a fault may do to them. Answers are already
//! classified; the wire is the stand-in's business.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::{Answer, Label, Millis, Op, Refusal, TableHash, TxnState};

/// One row: partition, offset, table.
pub(super) type Row = (u32, u64, TableHash);

#[derive(Debug, Clone)]
pub(super) struct Txn {
    pub(super) state: TxnState,
    pub(super) rows: Vec<Row>,
    has_load: bool,
    /// The map label -> node points elsewhere (a second begin).
    moved: bool,
    expires: Millis,
    /// F7b: a rollback of the coordinator is on its way.
    pub(super) rolls_back_at: Option<Millis>,
}

impl Txn {
    fn new(now: Millis, state: TxnState) -> Txn {
        Txn {
            state,
            rows: vec![],
            has_load: false,
            moved: false,
            expires: now + 600_000,
            rolls_back_at: None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Frontend {
    pub(super) txns: BTreeMap<Label, Txn>,
    /// Forgotten labels and what they really came to.
    pub(super) evicted: BTreeMap<Label, TxnState>,
    pub(super) begun: BTreeSet<Label>,
    stale: Option<(Millis, BTreeMap<Label, TxnState>)>,
    /// F8: these PREPARED labels cannot be committed.
    pub(super) refused: BTreeSet<Label>,
    pub(super) history_is_kept: bool,
}

impl Frontend {
    /// What the label really came to, also if it is forgotten.
    pub(super) fn truth(&self, label: &Label) -> TxnState {
        match self.txns.get(label) {
            Some(txn) => txn.state,
            None => self.evicted.get(label).copied().unwrap_or(TxnState::Unknown),
        }
    }

    /// The second value: rows that became committed by this request.
    pub(super) fn request(
        &mut self,
        now: Millis,
        is_plain: bool,
        label: &Label,
        op: Op,
        rows: &[Row],
        timeout_s: u64,
    ) -> (Answer, Vec<Row>) {
        if self.stale.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.stale = None;
        }
        if let Some((_, view)) = &self.stale {
            match op {
                Op::AskState | Op::AskStateEverywhere => {
                    let state = view.get(label).copied().unwrap_or(TxnState::Unknown);
                    return (Answer::State(state), vec![]);
                }
                Op::Commit if !view.contains_key(label) => return (not_found(), vec![]),
                _ => return (Answer::Lost, vec![]),
            }
        }
        let answer = match op {
            Op::Begin => self.begin(now, label),
            Op::Load if is_plain => return self.load_plain(now, label, rows),
            Op::Load => self.load(label, rows),
            Op::Prepare => self.prepare(now, label, timeout_s),
            Op::Commit => return self.commit(label),
            Op::RollBack => self.roll_back(label),
            Op::Cancel => self.cancel(label),
            Op::AskState | Op::AskStateEverywhere => {
                Answer::State(self.txns.get(label).map_or(TxnState::Unknown, |txn| txn.state))
            }
            Op::AskHistory => {
                let is_kept = self.history_is_kept;
                Answer::Finished(is_kept && self.truth(label).is_committed())
            }
        };
        (answer, vec![])
    }

    fn begin(&mut self, now: Millis, label: &Label) -> Answer {
        if let Some(txn) = self.txns.get_mut(label).filter(|t| t.state != TxnState::Aborted) {
            txn.moved = txn.state == TxnState::Prepare;
            return Answer::Refused(Refusal::LabelTaken);
        }
        self.begun.insert(label.clone());
        self.txns.insert(label.clone(), Txn::new(now, TxnState::Prepare));
        Answer::Ok
    }

    fn load(&mut self, label: &Label, rows: &[Row]) -> Answer {
        match self.txns.get_mut(label) {
            Some(txn) if txn.state == TxnState::Prepare && !txn.moved => {
                txn.rows.extend_from_slice(rows);
                txn.has_load = true;
                Answer::Ok
            }
            _ => not_found(),
        }
    }

    /// A plain load: the label is taken once, unless its transaction was aborted.
    fn load_plain(&mut self, now: Millis, label: &Label, rows: &[Row]) -> (Answer, Vec<Row>) {
        match self.txns.get(label).map(|txn| txn.state) {
            None | Some(TxnState::Aborted) => {
                let txn = Txn { rows: rows.to_vec(), ..Txn::new(now, TxnState::Visible) };
                self.txns.insert(label.clone(), txn);
                (Answer::Ok, rows.to_vec())
            }
            Some(state) if state.is_committed() => (Answer::Ok, vec![]),
            Some(_) => (Answer::Refused(Refusal::LabelTaken), vec![]),
        }
    }

    /// A plain load that StarRocks refused.
    pub(super) fn abort_plain(&mut self, now: Millis, label: &Label) {
        self.txns.entry(label.clone()).or_insert_with(|| Txn::new(now, TxnState::Aborted));
    }

    fn prepare(&mut self, now: Millis, label: &Label, timeout_s: u64) -> Answer {
        match self.txns.get_mut(label) {
            Some(txn) if txn.state == TxnState::Prepare && !txn.moved && txn.has_load => {
                txn.state = TxnState::Prepared;
                txn.expires = now + timeout_s * 1000;
                Answer::Ok
            }
            _ => not_found(),
        }
    }

    fn commit(&mut self, label: &Label) -> (Answer, Vec<Row>) {
        let refused = self.refused.contains(label);
        match self.txns.get_mut(label) {
            Some(txn) => match txn.state {
                TxnState::Prepared if refused => (other("callback lost"), vec![]),
                TxnState::Prepared => {
                    txn.state = TxnState::Visible;
                    txn.rolls_back_at = None;
                    (Answer::Ok, txn.rows.clone())
                }
                TxnState::Committed | TxnState::Visible => (Answer::Ok, vec![]),
                _ => (other("cannot commit"), vec![]),
            },
            None => (not_found(), vec![]),
        }
    }

    fn roll_back(&mut self, label: &Label) -> Answer {
        match self.txns.get_mut(label) {
            Some(txn) => match txn.state {
                TxnState::Prepare if txn.moved => not_found(),
                TxnState::Prepare | TxnState::Prepared | TxnState::Aborted => {
                    txn.state = TxnState::Aborted;
                    Answer::Ok
                }
                _ => other("committed"),
            },
            None => not_found(),
        }
    }

    fn cancel(&mut self, label: &Label) -> Answer {
        match self.txns.get_mut(label).filter(|txn| txn.state == TxnState::Prepare) {
            Some(txn) => {
                txn.state = TxnState::Aborted;
                Answer::Ok
            }
            None => not_found(),
        }
    }

    /// Timeouts and late rollbacks that are due.
    pub(super) fn pass_time(&mut self, now: Millis) {
        for txn in self.txns.values_mut() {
            let is_open = matches!(txn.state, TxnState::Prepare | TxnState::Prepared);
            let is_rolled_back = txn.rolls_back_at.is_some_and(|at| at <= now);
            if is_open && (txn.expires <= now || is_rolled_back) {
                txn.state = TxnState::Aborted;
            }
        }
    }

    /// Restart or leader change: PREPARE is lost.
    pub(super) fn restart(&mut self) {
        self.txns.retain(|_, txn| txn.state != TxnState::Prepare);
    }

    /// The coordinator BE is down: PREPARE is aborted, PREPARED left alone.
    pub(super) fn lose_backend(&mut self) {
        for txn in self.txns.values_mut().filter(|txn| txn.state == TxnState::Prepare) {
            txn.state = TxnState::Aborted;
        }
    }

    /// Finished labels are forgotten.
    pub(super) fn sweep(&mut self) {
        let finished: Vec<Label> =
            self.txns.iter().filter(|(_, t)| t.state.is_terminal()).map(|t| t.0.clone()).collect();
        for label in finished {
            let txn = self.txns.remove(&label).expect("listed just now");
            self.evicted.insert(label, txn.state);
        }
    }

    /// A deposed leader answers from its memory of now, or from an empty one.
    pub(super) fn go_stale(&mut self, until: Millis, empty: bool) {
        let open = self.txns.iter().filter(|(_, txn)| !empty && !txn.state.is_terminal());
        self.stale = Some((until, open.map(|(label, txn)| (label.clone(), txn.state)).collect()));
    }

    /// F8: every label prepared now, of one table or of all, can no longer be committed.
    pub(super) fn refuse(&mut self, table: Option<TableHash>) {
        let of_table = |label: &&Label| table.is_none_or(|table| label.table == table);
        let prepared = self.txns.iter().filter(|(_, txn)| txn.state == TxnState::Prepared);
        self.refused.extend(prepared.map(|(label, _)| label).filter(of_table).cloned());
    }
}

fn not_found() -> Answer {
    Answer::Refused(Refusal::NotFound)
}

fn other(text: &str) -> Answer {
    Answer::Refused(Refusal::Other(text.into()))
}
