//! One key with its value and where it was said. Owns origins and notes; interprets nothing.

use std::fmt;

/// Where a value came from, in the words a message uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file; `-` is standard input. JSON members that were not found again have no
    /// line.
    File { path: String, line: Option<u32> },
    /// A flag, with its dashes.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
    /// Nobody said it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => {
                f.write_str(if path == "-" { "standard input" } else { path })?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))
            }
            Origin::Flag(flag) => write!(f, "`{flag}`"),
            Origin::Variable(name) => write!(f, "environment variable `{name}`"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One `key=value` of a configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// May be a secret: `Debug` leaves it out.
    pub value: String,
    pub origin: Origin,
}

impl Entry {
    /// The place as messages give it: "sink.properties:6 `starrocks.http.url`", or just the flag.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::File { .. } => format!("{} `{}`", self.origin, self.key),
            Origin::Flag(_) | Origin::Variable(_) | Origin::Default => self.origin.to_string(),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.origin)
    }
}

/// How loudly a note is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The run may not do what the author of the configuration expected.
    Warning,
    /// Known and harmless: a key that is not needed here.
    Info,
}

/// Something about a configuration worth saying that does not stop the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub weight: Weight,
    /// Lowercase, no final dot, values in backticks, as in a `Problem`.
    pub text: String,
    /// "file:line `key`" or a flag; empty when it is about the whole.
    pub at: Vec<String>,
    pub hint: Option<String>,
}

impl Note {
    pub fn warning(text: impl Into<String>) -> Self {
        Note { weight: Weight::Warning, text: text.into(), at: vec![], hint: None }
    }

    pub fn info(text: impl Into<String>) -> Self {
        Note { weight: Weight::Info, ..Note::warning(text) }
    }

    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.at.push(place.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
