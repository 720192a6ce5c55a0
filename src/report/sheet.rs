//! Prints a check's lines as they come, group by group, and its sum. Owns what has been said so far;
//! wording is in `checks.rs`.

use std::time::{Duration, Instant};

use crate::error::Kind;
use crate::report::checks::{self, Count, Look, Outlook};
use crate::report::out;
use crate::verdict::{Line, Verdict};

/// How a check is to be reported; decided once.
#[derive(Debug, Clone, Copy)]
pub struct SheetStyle {
    pub json: bool,
    pub look: Look,
    /// Only warnings and failures; from 2 on only failures.
    pub quiet: u8,
    /// A warning counts as a failure.
    pub strict: bool,
}

/// One check's report in the making.
pub struct Sheet {
    style: SheetStyle,
    began: Instant,
    heading: &'static str,
    count: Count,
    gravest: Option<Kind>,
}

impl Sheet {
    pub fn new(style: SheetStyle) -> Self {
        let (count, gravest) = (Count::default(), None);
        Sheet { style, began: Instant::now(), heading: "", count, gravest }
    }

    /// Shows one check.
    pub fn tell(&mut self, line: &Line) {
        self.count.add(line.verdict);
        self.gravest = match (line.verdict, self.style.strict) {
            (Verdict::Fail(kind), _) => self.gravest.into_iter().chain([kind]).min(),
            (Verdict::Warn, true) => self.gravest.into_iter().chain([Kind::Usage]).min(),
            _ => self.gravest,
        };
        if self.style.json {
            return out(&checks::json_line(line));
        }
        let is_shown = match line.verdict {
            Verdict::Fail(_) => true,
            Verdict::Warn => self.style.quiet < 2,
            Verdict::Ok | Verdict::Skip => self.style.quiet == 0,
        };
        if !is_shown {
            return;
        }
        if self.heading != line.area.heading() {
            self.heading = line.area.heading();
            out(&checks::heading(self.heading, self.style.look));
        }
        out(&checks::line(line, self.style.look));
    }

    /// Shows the sum; the exit code is that of the gravest failure.
    pub fn end(self, outlook: &Outlook) -> u8 {
        let took = self.elapsed();
        let exit_code = self.gravest.map_or(0, Kind::exit_code);
        if self.style.json {
            out(&checks::json_sum(&self.count, outlook, took, exit_code));
        } else if self.style.quiet == 0 {
            out(&checks::sum(&self.count, outlook, took, self.style.look.width));
        }
        exit_code
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
