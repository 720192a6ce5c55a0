//! What one check found: an area, a verdict, words, time taken. Owns the list of areas. Prints nothing:
//! `report/` does.

use std::time::Duration;

use crate::error::{Kind, Problem};

/// What can be checked on its own, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    Config,
    Kafka,
    Topics,
    Registry,
    Fe,
    Query,
    Be,
    Auth,
    Tables,
    Columns,
    Dlq,
    Delivery,
}

impl Area {
    pub const ALL: [Area; 12] = [
        Area::Config,
        Area::Kafka,
        Area::Topics,
        Area::Registry,
        Area::Fe,
        Area::Query,
        Area::Be,
        Area::Auth,
        Area::Tables,
        Area::Columns,
        Area::Dlq,
        Area::Delivery,
    ];

    /// As it is typed after `--only` and stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Area::Config => "config",
            Area::Kafka => "kafka",
            Area::Topics => "topics",
            Area::Registry => "registry",
            Area::Fe => "fe",
            Area::Query => "query",
            Area::Be => "be",
            Area::Auth => "auth",
            Area::Tables => "tables",
            Area::Columns => "columns",
            Area::Dlq => "dlq",
            Area::Delivery => "delivery",
        }
    }

    /// The group it is shown in.
    pub fn heading(self) -> &'static str {
        match self {
            Area::Config => "config",
            Area::Kafka | Area::Topics => "Kafka",
            Area::Registry => "registry",
            Area::Fe | Area::Query | Area::Be | Area::Auth => "StarRocks",
            Area::Tables | Area::Columns => "tables",
            Area::Dlq => "dead letters",
            Area::Delivery => "delivery",
        }
    }

    pub fn find(name: &str) -> Option<Area> {
        Area::ALL.into_iter().find(|area| area.name() == name)
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// Not tried: not asked for, not readable, or something it rests on failed.
    Skip,
    /// A load works, but not as its author may expect.
    Warn,
    /// A load would not work; the kind decides the exit code.
    Fail(Kind),
}

/// One check's line.
#[derive(Debug, Clone)]
pub struct Line {
    pub area: Area,
    /// What was looked at: "topic `orders`".
    pub subject: String,
    pub verdict: Verdict,
    /// What was found, or why it fails; lowercase, no final dot, values in backticks.
    pub text: String,
    /// Outermost first; server text verbatim.
    pub causes: Vec<String>,
    /// `file:line`, table, label: only those that apply.
    pub at: Vec<String>,
    pub hints: Vec<String>,
    /// More to know about it, one a line, shown on request.
    pub details: Vec<String>,
    pub took: Option<Duration>,
}

impl Line {
    pub fn new(
        area: Area,
        subject: impl Into<String>,
        verdict: Verdict,
        text: impl Into<String>,
    ) -> Self {
        Line {
            area,
            subject: subject.into(),
            verdict,
            text: text.into(),
            causes: vec![],
            at: vec![],
            hints: vec![],
            details: vec![],
            took: None,
        }
    }

    pub fn ok(area: Area, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Line::new(area, subject, Verdict::Ok, text)
    }

    pub fn skip(area: Area, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Line::new(area, subject, Verdict::Skip, text)
    }

    pub fn warn(area: Area, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Line::new(area, subject, Verdict::Warn, text)
    }

    /// A set-up that must be mended.
    pub fn wrong(area: Area, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Line::new(area, subject, Verdict::Fail(Kind::Usage), text)
    }

    /// Something that is away, perhaps for a time.
    pub fn away(area: Area, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Line::new(area, subject, Verdict::Fail(Kind::Unavailable), text)
    }

    /// What a run would stop with.
    pub fn problem(area: Area, subject: impl Into<String>, problem: &Problem) -> Self {
        Line {
            causes: problem.causes.clone(),
            at: problem.at.clone(),
            hints: problem.hints.clone(),
            ..Line::new(area, subject, Verdict::Fail(problem.kind), problem.what.clone())
        }
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

    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    pub fn took(mut self, time: Duration) -> Self {
        self.took = Some(time);
        self
    }

    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }
}
