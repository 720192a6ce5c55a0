//! Turns measurements into a table. Medians, with the spread of the two figures that matter.

use std::fmt::Write as _;

use super::meter::Usage;

/// All runs of one contender on one topic.
#[derive(Debug)]
pub(super) struct Runs {
    label: &'static str,
    pub(super) usages: Vec<Usage>,
    /// Why runs gave no figures.
    pub(super) failed: Vec<String>,
}

impl Runs {
    pub(super) fn new(label: &'static str) -> Runs {
        Runs { label, usages: Vec::new(), failed: Vec::new() }
    }
}

/// The table of one topic with `rows` values of `bytes` bytes; ratios are to the first contender.
pub(super) fn render(title: &str, rows: u64, bytes: usize, all: &[Runs]) -> String {
    let mut text = format!(
        "{title:<24}{:>22}{:>8}{:>22}{:>8}{:>8}{:>10}{:>8}{:>9}\n",
        "k rows/s", "MB/s", "CPU-s/M rows", "user", "system", "peak MiB", "time ×", "CPU ×"
    );
    let million = rows as f64 / 1e6;
    let wall = |u: &Usage| u.wall_s;
    let cpu = |u: &Usage| (u.user_s + u.system_s) / million;
    let yardstick = all.first().map(|first| (Spread::of(first, wall), Spread::of(first, cpu)));
    for runs in all {
        line(&mut text, runs, rows, bytes, yardstick);
        for reason in &runs.failed {
            writeln!(text, "  {} {reason}", runs.label).expect("a String takes every write");
        }
    }
    text
}

/// What exactly once costs, in rows per CPU-second against at least once.
pub(super) fn cost(exact: &Runs, least: &Runs) -> String {
    let cpu = |u: &Usage| u.user_s + u.system_s;
    let ratio = Spread::of(least, cpu).median / Spread::of(exact, cpu).median;
    format!(
        "exactly once makes {:+.1} % rows per CPU-second against at least once",
        (ratio - 1.0) * 100.0
    )
}

fn line(
    text: &mut String,
    runs: &Runs,
    rows: u64,
    bytes: usize,
    yardstick: Option<(Spread, Spread)>,
) {
    if runs.usages.is_empty() {
        writeln!(text, "{:<24}no figures", runs.label).expect("a String takes every write");
        return;
    }
    let million = rows as f64 / 1e6;
    let rate = Spread::of(runs, |u| rows as f64 / u.wall_s / 1e3);
    let wall = Spread::of(runs, |u| u.wall_s);
    let cpu = Spread::of(runs, |u| (u.user_s + u.system_s) / million);
    let user = Spread::of(runs, |u| u.user_s / million).median;
    let system = Spread::of(runs, |u| u.system_s / million).median;
    let peak = Spread::of(runs, |u| u.peak_kib / 1024.0).median;
    let (time_ratio, cpu_ratio) =
        yardstick.map_or((1.0, 1.0), |(w, c)| (wall.median / w.median, cpu.median / c.median));
    writeln!(
        text,
        "{:<24}{:>22}{:>8.0}{:>22}{user:>8.2}{system:>8.2}{peak:>10.0}{time_ratio:>8.2}{cpu_ratio:>8.2}",
        runs.label,
        rate.show(0),
        rate.median * 1e3 * bytes as f64 / 1e6,
        cpu.show(2),
    )
    .expect("a String takes every write");
}

#[derive(Debug, Clone, Copy)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// NaN throughout if there is nothing to spread.
    fn of(runs: &Runs, figure: impl Fn(&Usage) -> f64) -> Spread {
        let mut all: Vec<f64> = runs.usages.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        let at = |i: usize| all.get(i).copied().unwrap_or(f64::NAN);
        let last = all.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Spread { least: at(0), median, most: at(last) }
    }

    fn show(self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.least, self.most)
    }
}
