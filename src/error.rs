//! What went wrong, for code ([`Kind`]) and for people ([`Problem`]). Prints nothing: `report/` does.

use std::fmt;

/// Why a run ended badly; decides the exit code and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A defect of this program, or an error nobody classified.
    Defect,
    /// Command line or configuration is wrong, refused credentials and missing objects included.
    Usage,
    /// A record that cannot be loaded stopped the run.
    BadRecord,
    /// Kafka or StarRocks is unreachable, busy or too slow after all retries.
    Unavailable,
}

impl Kind {
    /// The process's exit code; the table stands in `docs/ERRORS.md`.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Defect => 1,
            Kind::Usage => 2,
            Kind::BadRecord => 4,
            Kind::Unavailable => 5,
        }
    }
}

/// One thing that could not be done, in the parts a person reads:
/// `error: WHAT`, `  cause: …`, `  at: …`, `hint: …`.
#[derive(Debug)]
pub struct Problem {
    pub kind: Kind,
    /// What could not be done, to what; lowercase, no final dot, values in backticks.
    pub what: String,
    /// Outermost first; server text verbatim.
    pub causes: Vec<String>,
    /// `topic[partition]@offset`, `file:line`, table, label: only those that apply.
    pub at: Vec<String>,
    /// At most two; each names a flag or key.
    pub hints: Vec<String>,
}

impl Problem {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Problem { kind, what: what.into(), causes: vec![], at: vec![], hints: vec![] }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Problem::new(Kind::Usage, what)
    }

    pub fn unavailable(what: impl Into<String>) -> Self {
        Problem::new(Kind::Unavailable, what)
    }

    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.at.push(place.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// A letter that is not seen as it is: controls, and marks without a width, such as those that turn the
/// reading direction. What records and servers say is shown without them. Joiners belong to words.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}
