//! Transactions over several tables of one database (4.0+): begun, committed and rolled back by
//! the frontend alone, loaded table by table on any backend, never prepared (STREAM_LOAD 5.4).

use super::Ask;
use super::reply::{gson, txn_failure, txn_ok};
use crate::be;
use crate::cluster::State;
use crate::context::Context;
use crate::http::Reply;
use crate::profile::Version;
use crate::service::Handled;
use crate::txn::{Begin, Refusal, TxnState};

/// A label's newest transaction: number, state, whether it is one over several tables.
type Known = Option<(i64, TxnState, bool)>;

impl Ask<'_> {
    pub(super) fn multi(
        &self,
        state: &mut State,
        op: &str,
        db: &str,
        label: &str,
    ) -> Result<Handled, Handled> {
        let known = state.txn_of(db, label).map(|t| (t.id, t.state, t.multi));
        match op {
            "begin" => self.multi_begin(state, db, label, known),
            "load" => self.multi_load(state, label, known),
            "commit" => self.multi_commit(state, label, known),
            "rollback" => self.multi_rollback(state, label, known),
            _ => Err(self.failed("Unsupported operation: TXN_PREPARE")),
        }
    }

    fn multi_begin(
        &self,
        state: &mut State,
        db: &str,
        label: &str,
        known: Known,
    ) -> Result<Handled, Handled> {
        let odd = self.version() >= Version::V4_1;
        match known {
            None | Some((_, TxnState::Aborted, _)) => {
                let begin = Begin { db, table: "", label, be: None, timeout_s: None, multi: true };
                let id = state.begin(&begin, self.now_ms()).map_err(|refusal| match refusal {
                    Refusal::Text(text) => self.failed(&text),
                    Refusal::LabelUsed { .. } => self.failed(&used(label)),
                })?;
                Ok(if odd { silent_ok() } else { txn_ok(label, id, "") })
            }
            Some((_, TxnState::Prepare, true)) if odd => Ok(silent_ok()),
            Some((_, held, _)) if odd => Ok(held_begin(label, held)),
            Some((id, TxnState::Prepare, true)) => {
                let text = format!("Transaction already started with label [{label}], txnId: {id}");
                Ok(conflict("BEGIN", &text))
            }
            Some((_, held, _)) => Ok(conflict(held.name(), &used(label))),
        }
    }

    /// Each load goes to the backend that has the table's rows so far, else to the next one.
    fn multi_load(&self, state: &mut State, label: &str, known: Known) -> Result<Handled, Handled> {
        let Some((id, TxnState::Prepare, true)) = known else {
            return Err(self.failed(&format!("stream load task {label} does not exist")));
        };
        let table = self.request.headers.get("table").unwrap_or_default();
        let has_table = |c: &Context| c.txn_id == id && c.table == table;
        let holder = state.backends.iter().position(|b| b.contexts.values().any(has_table));
        let be = holder
            .or_else(|| state.pick_backend())
            .ok_or_else(|| txn_failure("com.starrocks.common.DdlException", "No backend alive."))?;
        Ok(self.redirect(&state.backends[be].authority()))
    }

    fn multi_commit(
        &self,
        state: &mut State,
        label: &str,
        known: Known,
    ) -> Result<Handled, Handled> {
        let odd = self.version() >= Version::V4_1;
        let missing = || self.failed(&format!("stream load task {label} does not exist"));
        let (id, is, _) = known.filter(|(.., multi)| *multi).ok_or_else(missing)?;
        match is {
            TxnState::Prepare | TxnState::Prepared => {}
            _ if odd => return Ok(silent_ok()),
            TxnState::Aborted => {
                let text = format!("Can not commit CANCELLED transaction {id}, label is {label}");
                return Err(self.failed(&text));
            }
            TxnState::Committed | TxnState::Visible => {
                let text = format!("Transaction {id} has already committed, label is {label}");
                return Ok(txn_ok(label, id, &text));
            }
        }
        let contexts = state.take_contexts(id);
        match be::gather(self.cluster, contexts) {
            Ok(staged) => {
                let staged = state.stage(id, staged);
                staged.map_err(|text| self.failed(&text).txn(id))?;
                state.commit(id, self.hits.publish_ms(), self.now_ms());
                Ok(if odd { silent_ok() } else { txn_ok(label, id, "") })
            }
            Err(text) => {
                state.abort(id, &text, self.now_ms());
                Err(self.failed(&text).txn(id))
            }
        }
    }

    fn multi_rollback(
        &self,
        state: &mut State,
        label: &str,
        known: Known,
    ) -> Result<Handled, Handled> {
        let odd = self.version() >= Version::V4_1;
        let Some((id, is, _)) = known else {
            // The missing blanks are the server's.
            return Err(self.failed(&format!("stream load task{label}does not exist")));
        };
        if matches!(is, TxnState::Committed | TxnState::Visible) {
            let text = format!("Can not abort {} transaction {id}, label is {label}", is.name());
            return Err(self.failed(&text).txn(id));
        }
        state.take_contexts(id);
        state.abort(id, "manual abort", self.now_ms());
        let text = format!("stream load {label} abort");
        Ok(if odd { silent_ok() } else { txn_ok(label, id, &text) })
    }
}

fn used(label: &str) -> String {
    format!("Label [{label}] has already been used.")
}

fn silent_ok() -> Handled {
    Handled::new(Reply::json("{\"Status\":\"OK\",\"Message\":\"\"}"), "OK")
}

/// The raw state's name stands where single-table begins say RUNNING or FINISHED.
fn conflict(existing: &str, text: &str) -> Handled {
    let body = format!(
        "{{\"Status\":\"LABEL_ALREADY_EXISTS\",\"ExistingJobStatus\":\"{existing}\",\"Message\":{}}}",
        gson(text)
    );
    Handled::new(Reply::json(body), "LABEL_ALREADY_EXISTS")
}

/// A begin on a label that another task holds: OK, and only the message tells.
fn held_begin(label: &str, held: TxnState) -> Handled {
    let text = match held {
        TxnState::Prepared => format!("stream load task {label} has already been prepared"),
        TxnState::Prepare => format!("stream load {label} channel 0 has already begun"),
        TxnState::Committed | TxnState::Visible | TxnState::Aborted => {
            format!("stream load task {label} has already been finished")
        }
    };
    let body = format!("{{\"Status\":\"OK\",\"Message\":{}}}", gson(&text));
    Handled::new(Reply::json(body), "OK")
}
