//! Progress for a person: bars in a terminal, a line now and then without one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::{Progress, TableProgress};
use crate::report::human::safe;
use crate::report::units::{self, bytes, bytes_per_second, counted, eta, rows_per_second, short};

/// More bars than this are a wall; the rest is counted.
const MOST_BARS: usize = 8;
/// Redraws a second, at most.
const REDRAWS: u8 = 10;

/// Bars per table and a line of totals, on stderr.
pub struct Bars {
    multi: MultiProgress,
    tables: Vec<ProgressBar>,
    total: ProgressBar,
    endless: bool,
    color: bool,
    recent: Recent,
}

/// A line every so often.
pub struct Lines {
    endless: bool,
    every: Duration,
    last: Option<Instant>,
    recent: Recent,
}

/// What was loaded lately: a rate since the start hides that nothing moves any more.
#[derive(Default)]
struct Recent(VecDeque<(Duration, u64, u64)>);

impl Bars {
    pub fn new(endless: bool, color: bool) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
        let total = multi.add(ProgressBar::no_length());
        total.set_style(template("  {wide_msg}"));
        Bars { multi, tables: vec![], total, endless, color, recent: Recent::default() }
    }

    /// Redraws.
    pub fn show(&mut self, progress: &Progress) {
        self.recent.note(progress);
        let shown = progress.tables.len().min(MOST_BARS);
        while self.tables.len() < shown {
            let bar = self.multi.insert_before(&self.total, ProgressBar::new(0));
            bar.set_style(self.bar_style());
            self.tables.push(bar);
        }
        let names = progress.tables.iter().take(shown).map(|table| table.table.chars().count());
        let width = names.max().unwrap_or_default();
        for (bar, table) in self.tables.iter().zip(&progress.tables) {
            bar.set_prefix(format!("{:width$}", table.table));
            if let Some(total) = table.total {
                bar.set_length(total);
                bar.set_position(table.done);
            }
            bar.set_message(table_text(table, progress.elapsed));
        }
        let rate = self.endless.then(|| self.recent.rate());
        self.total.set_message(total_text(progress, progress.tables.len() - shown, rate));
    }

    /// One line above the bars.
    pub fn above(&self, text: &str) {
        let _ = self.multi.println(text);
    }

    /// Takes them away.
    pub fn clear(&self) {
        let _ = self.multi.clear();
        self.multi.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn bar_style(&self) -> ProgressStyle {
        if self.endless {
            return template("  {prefix}  {wide_msg}");
        }
        let bar = if self.color { "{bar:28.green/dim}" } else { "{bar:28}" };
        template(&format!("  {{prefix}}  {bar}  {{percent:>3}}%   {{wide_msg}}"))
            .progress_chars("━╸━")
    }
}

impl Recent {
    /// What counts as lately.
    const WINDOW: Duration = Duration::from_secs(10);

    fn note(&mut self, progress: &Progress) {
        let rows = progress.tables.iter().map(|table| table.rows).sum();
        let bytes = progress.tables.iter().map(|table| table.bytes).sum();
        self.0.push_back((progress.elapsed, rows, bytes));
        // The one before the window stays, so that there is always something to compare with.
        while self.0.get(1).is_some_and(|second| second.0 + Self::WINDOW < progress.elapsed) {
            self.0.pop_front();
        }
    }

    fn rate(&self) -> String {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return rows_per_second(0, Duration::ZERO);
        };
        rows_per_second(last.1.saturating_sub(first.1), last.0.saturating_sub(first.0))
    }
}

impl Lines {
    pub fn new(endless: bool, every: Duration) -> Self {
        Lines { endless, every, last: None, recent: Recent::default() }
    }

    /// The line that is due, if one is.
    pub fn line(&mut self, progress: &Progress) -> Option<String> {
        self.recent.note(progress);
        let now = Instant::now();
        let last = *self.last.get_or_insert(now);
        if !progress.asked && now.duration_since(last) < self.every {
            return None;
        }
        self.last = Some(now);
        let head = match self.endless {
            true => endless_text(progress, &self.recent),
            false => bounded_text(progress),
        };
        Some(format!("{} {head}", units::clock_now()))
    }
}

fn bounded_text(progress: &Progress) -> String {
    let sum = |get: fn(&TableProgress) -> u64| progress.tables.iter().map(get).sum::<u64>();
    let (rows, done, all) =
        (sum(|table| table.rows), sum(|table| table.done), sum(|table| table.total.unwrap_or(0)));
    // Nothing is known of the extent before the group has given out its partitions.
    let extent = match all {
        0 => String::new(),
        all => format!("{} of {} offsets ({}%), ", short(done), short(all), done * 100 / all),
    };
    format!(
        "loaded {} rows, {extent}{}, {}{}",
        short(rows),
        rows_per_second(rows, progress.elapsed),
        bytes_per_second(sum(|table| table.bytes), progress.elapsed),
        waiting(progress)
    )
}

fn endless_text(progress: &Progress, recent: &Recent) -> String {
    let rows: u64 = progress.tables.iter().map(|table| table.rows).sum();
    let lag = progress.lag.map_or("unknown".into(), short);
    let last =
        progress.since_last_load.map_or("none yet".into(), |age| format!("{} ago", eta(age)));
    format!(
        "loaded {} rows, {}, lag {lag}, last load {last}, in flight {}{}",
        short(rows),
        recent.rate(),
        bytes(progress.in_flight_bytes),
        waiting(progress)
    )
}

fn table_text(table: &TableProgress, elapsed: Duration) -> String {
    let rate = format!(
        "{}   {}",
        rows_per_second(table.rows, elapsed),
        bytes_per_second(table.bytes, elapsed)
    );
    match table.total {
        Some(total) if table.done >= total => {
            format!("{}/{}   done", short(table.done), short(total))
        }
        Some(total) if table.done > 0 => {
            let left = elapsed.as_secs_f64() * (total - table.done) as f64 / table.done as f64;
            let left = eta(Duration::from_secs_f64(left));
            format!("{}/{}   {rate}   eta {left}", short(table.done), short(total))
        }
        Some(total) => format!("0/{}", short(total)),
        None => format!("{} rows   {rate}", short(table.rows)),
    }
}

fn total_text(progress: &Progress, more: usize, rate: Option<String>) -> String {
    let rows: u64 = progress.tables.iter().map(|table| table.rows).sum();
    let mut text = match more {
        0 => String::new(),
        more => format!("and {} · ", counted(more as u64, "more table")),
    };
    text.push_str(&format!(
        "read {} · loaded {} · in flight {}, {}",
        short(progress.read),
        short(rows),
        counted(progress.in_flight_loads as u64, "load"),
        bytes(progress.in_flight_bytes)
    ));
    if let Some(rate) = rate {
        text.push_str(&format!(" · {rate}"));
    }
    if let Some(lag) = progress.lag.filter(|_| progress.tables.iter().all(|t| t.total.is_none())) {
        text.push_str(&format!(" · lag {}", short(lag)));
    }
    if let Some(age) = progress.since_last_load {
        text.push_str(&format!(" · last load {} ago", eta(age)));
    }
    text.push_str(&waiting(progress));
    text
}

fn waiting(progress: &Progress) -> String {
    let why = progress.waiting_for.as_deref().map(safe);
    why.map(|why| format!(" · waiting: {why}")).unwrap_or_default()
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("a template of ours parses")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_an_endless_run_is_that_of_the_last_seconds() {
        let mut recent = Recent::default();
        let mut at = |second: u64, rows: u64| {
            let table = TableProgress { rows, ..TableProgress::default() };
            let elapsed = Duration::from_secs(second);
            recent.note(&Progress { tables: vec![table], elapsed, ..Progress::default() });
            recent.rate()
        };
        assert_eq!(at(0, 0), "0 rows/s");
        assert_eq!(at(10, 1000), "100 rows/s");
        assert_eq!(at(20, 1000), "50 rows/s");
        assert_eq!(at(31, 1000), "0 rows/s");
    }

    #[test]
    fn before_its_extent_is_known_a_bounded_run_tells_no_percentage() {
        assert_eq!(bounded_text(&Progress::default()), "loaded 0 rows, 0 rows/s, 0 B/s");
    }

    #[test]
    fn what_a_server_says_cannot_drive_the_terminal() {
        let progress =
            Progress { waiting_for: Some("busy \x1b[31m".into()), ..Progress::default() };
        assert_eq!(waiting(&progress), " · waiting: busy \u{fffd}[31m");
    }

    #[test]
    fn lines_come_at_their_interval_and_when_asked() {
        let mut lines = Lines::new(false, Duration::from_secs(3600));
        let mut progress = Progress::default();
        assert_eq!(lines.line(&progress), None);
        progress.asked = true;
        assert!(lines.line(&progress).is_some());
    }

    #[test]
    fn a_bounded_run_tells_how_far_it_is() {
        let table = TableProgress {
            rows: 50,
            bytes: 2048,
            done: 50,
            total: Some(200),
            ..TableProgress::default()
        };
        let progress = Progress {
            tables: vec![table],
            elapsed: Duration::from_secs(1),
            ..Progress::default()
        };
        assert_eq!(
            bounded_text(&progress),
            "loaded 50 rows, 50 of 200 offsets (25%), 50 rows/s, 2.0 KiB/s"
        );
        assert_eq!(
            table_text(&progress.tables[0], progress.elapsed),
            "50/200   50 rows/s   2.0 KiB/s   eta 3s"
        );
    }
}
