//! The steps: which input is answered by which actions. Recovery has its own file.

use super::label::Seq;
use super::{Action, Input, Millis, Opening, Settings};

/// One process's side of the protocol. See [`crate::delivery`] for how to drive it.
#[derive(Debug, Clone)]
pub struct Machine {
    settings: Settings,
}

impl Machine {
    pub fn new(settings: Settings) -> Machine {
        Machine { settings }
    }

    /// Takes one input and says what to do about it, in order.
    pub fn handle(&mut self, _now: Millis, _input: Input) -> Vec<Action> {
        let _ = &self.settings;
        vec![]
    }

    /// The label for rows of `table` in batch `seq`. Call it for the first row only.
    pub fn open(&mut self, _seq: Seq, _table: &str) -> Opening {
        Opening::NotFilling
    }

    /// True if nothing is being filled, prepared, committed or finalised.
    pub fn is_idle(&self) -> bool {
        true
    }
}
