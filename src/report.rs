//! What a person or a program sees of a run: bars, lines or JSON while it goes, a summary at its end,
//! errors. stdout carries results, stderr talk. The only module that prints, beside `main`.

pub mod checks;
pub mod choose;
pub mod human;
pub mod json;
pub mod mapping;
pub mod pending;
pub mod progress;
pub mod sheet;
pub mod status;
pub mod table;
pub mod units;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::config::{Note, Weight};
use crate::error::Problem;
use crate::event::{Event, Summary};
use crate::report::choose::Display;
use crate::report::progress::{Bars, Lines};
use crate::report::status::StatusFile;

/// How loudly to talk on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    Errors,
    Warnings,
    Normal,
    /// `-v`: also information and the steps of the delivery protocol.
    Verbose,
}

/// How a run is to be reported; decided once.
#[derive(Debug, Clone)]
pub struct Style {
    pub display: Display,
    pub loudness: Loudness,
    pub color: bool,
    /// Between progress lines without a terminal.
    pub every: Duration,
    /// `tail` shows lag and age, `load` percent and time left.
    pub endless: bool,
    pub status_file: Option<PathBuf>,
}

/// Consumes a run's events.
pub struct Reporter {
    style: Style,
    watch: Watch,
    status: Option<StatusFile>,
    warned: Vec<(String, u64)>,
    stdout_is_gone: bool,
}

enum Watch {
    Bars(Bars),
    Lines(Lines),
    Json(json::Ticker),
    Nothing,
}

impl Reporter {
    pub fn new(style: Style) -> Self {
        let watch = match style.display {
            Display::Bars => Watch::Bars(Bars::new(style.endless, style.color)),
            Display::Lines => Watch::Lines(Lines::new(style.endless, style.every)),
            Display::Json => Watch::Json(json::Ticker::new(style.every)),
            Display::Nothing => Watch::Nothing,
        };
        let status = style.status_file.clone().map(StatusFile::new);
        Reporter { style, watch, status, warned: vec![], stdout_is_gone: false }
    }

    /// Shows one event.
    pub fn event(&mut self, event: Event) {
        if let Some(status) = &mut self.status
            && let Err(error) = status.event(&event)
        {
            self.warn(&format!("cannot write the status file: {error}"), None);
        }
        if let Watch::Json(ticker) = &mut self.watch {
            let detail = matches!(event, Event::Info(_) | Event::Step(_));
            if detail && self.style.loudness < Loudness::Verbose {
                return;
            }
            if let Some(line) = ticker.line(&event) {
                self.out(&line);
            }
            return;
        }
        match event {
            Event::Started(started) => {
                self.talk(Loudness::Normal, &human::started(&started));
            }
            Event::Warning { text, hint } => self.warn(&text, hint.as_deref()),
            Event::Notice(text) => self.talk(Loudness::Normal, &text),
            Event::Info(text) => self.talk(Loudness::Verbose, &text),
            Event::Step(text) => {
                let text = format!("{} {text}", units::clock_now());
                self.talk(Loudness::Verbose, &text);
            }
            Event::Load(load) => {
                self.talk(Loudness::Verbose, &human::load(&load));
            }
            Event::Settled(audited) => {
                self.talk(Loudness::Verbose, &human::settled(&audited));
            }
            Event::Refused(refused) => {
                let at = if refused.is_asked_for { Loudness::Normal } else { Loudness::Verbose };
                self.talk(at, &human::refused(&refused));
            }
            Event::Progress(progress) => match &mut self.watch {
                Watch::Bars(bars) => bars.show(&progress),
                Watch::Lines(lines) => {
                    if let Some(line) = lines.line(&progress) {
                        self.talk(Loudness::Normal, &line);
                    }
                }
                Watch::Json(_) | Watch::Nothing => {}
            },
            Event::Summary(summary) => self.summary(&summary),
        }
    }

    /// Notes about the configuration.
    pub fn notes(&mut self, notes: &[Note]) {
        for note in notes {
            let at = note.at.join(" · ");
            let text =
                if at.is_empty() { note.text.clone() } else { format!("{} ({at})", note.text) };
            match note.weight {
                Weight::Warning => self.event(Event::Warning { text, hint: note.hint.clone() }),
                Weight::Info => self.event(Event::Info(text)),
            }
        }
    }

    /// Shows what ended the run.
    pub fn problem(&mut self, problem: &Problem) {
        if let Watch::Json(_) = self.watch {
            self.out(&json::problem(problem));
        }
        self.clear();
        err(&human::problem(problem, self.style.color));
    }

    /// Takes the bars away, for good.
    pub fn clear(&mut self) {
        if let Watch::Bars(bars) = &self.watch {
            bars.clear();
        }
    }

    fn summary(&mut self, summary: &Summary) {
        self.clear();
        for (text, times) in std::mem::take(&mut self.warned) {
            if times > 1 {
                self.talk(Loudness::Warnings, &format!("warning: {text} ({times} times)"));
            }
        }
        if self.style.loudness >= Loudness::Normal {
            self.out(&human::summary(summary));
        }
    }

    /// A repeated warning is printed once, then counted.
    fn warn(&mut self, text: &str, hint: Option<&str>) {
        if let Some((_, times)) = self.warned.iter_mut().find(|(known, _)| known == text) {
            *times += 1;
            return;
        }
        self.warned.push((text.into(), 1));
        self.talk(Loudness::Warnings, &human::warning(text, hint, self.style.color));
    }

    fn talk(&self, at: Loudness, text: &str) {
        if self.style.loudness < at {
            return;
        }
        match &self.watch {
            Watch::Bars(bars) => bars.above(text),
            Watch::Lines(_) | Watch::Json(_) | Watch::Nothing => err(text),
        }
    }

    /// One result. A closed stdout ends the printing, not the run.
    fn out(&mut self, text: &str) {
        if self.stdout_is_gone {
            return;
        }
        let mut out = io::stdout().lock();
        self.stdout_is_gone = writeln!(out, "{text}").and_then(|()| out.flush()).is_err();
    }
}

/// Columns of the terminal behind stdout, where there is one.
pub fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// One line of talk; nobody is left to tell where stderr is closed.
pub fn err(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// One result of a command that is not a run. Where it cannot be written, [`unwritten`] says so.
pub fn out(text: &str) {
    bytes_out(format!("{text}\n").as_bytes());
}

/// The same of what is no line.
pub fn bytes_out(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        UNWRITTEN.get_or_init(|| error);
    }
}

/// Why a result was lost, if one was. A closed pipe is the reader's choice and loses nothing.
pub fn unwritten() -> Option<Problem> {
    let error = UNWRITTEN.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
    Some(Problem::usage("cannot write to stdout: the output is not whole").cause(error.to_string()))
}

/// The first failure to write a result; the command ends, then its exit code is made.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();
