//! The status file of `tail`: rewritten as a whole, by a rename, so that a reader never sees half of
//! it. JSON, or OpenMetrics text when its name ends in `.prom`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::event::{Event, Progress};
use crate::report::json;
use crate::report::units::stamp;

/// Rewritten at most this often.
const EVERY: Duration = Duration::from_secs(1);

/// Where a probe looks.
pub struct StatusFile {
    path: PathBuf,
    last: Option<Instant>,
}

impl StatusFile {
    pub fn new(path: PathBuf) -> Self {
        StatusFile { path, last: None }
    }

    /// Writes the file if the event is news and it is time.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        let text = match event {
            Event::Progress(progress) => {
                if self.last.is_some_and(|last| last.elapsed() < EVERY) {
                    return Ok(());
                }
                self.render(progress)
            }
            Event::Summary(summary) if !self.is_metrics() => json::summary(summary).to_string(),
            _ => return Ok(()),
        };
        self.last = Some(Instant::now());
        replace(&self.path, &text)
    }

    fn is_metrics(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "prom")
    }

    fn render(&self, progress: &Progress) -> String {
        if self.is_metrics() {
            return metrics(progress, SystemTime::now());
        }
        let mut body = json::progress(progress);
        body["at"] = stamp(SystemTime::now()).into();
        body.to_string()
    }
}

/// Writes a whole file or leaves the old one.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)
}

/// OpenMetrics text, for node_exporter's textfile collector.
fn metrics(progress: &Progress, now: SystemTime) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
        text.push_str(&format!("# HELP starsink_{name} {help}\n# TYPE starsink_{name} {kind}\n"));
        for (labels, value) in samples {
            text.push_str(&format!("starsink_{name}{labels} {value}\n"));
        }
    };
    let by_table = |get: fn(&crate::event::TableProgress) -> u64| {
        let sample = |table: &crate::event::TableProgress| {
            (format!("{{table=\"{}\"}}", escaped(&table.table)), get(table) as f64)
        };
        progress.tables.iter().map(sample).collect::<Vec<_>>()
    };
    family("rows_loaded_total", "counter", "Rows committed.", by_table(|table| table.rows));
    family("bytes_loaded_total", "counter", "Body bytes committed.", by_table(|table| table.bytes));
    family("loads_total", "counter", "Committed loads.", by_table(|table| table.loads));
    let one = |value: f64| vec![(String::new(), value)];
    let counters = [
        ("records_read_total", "Records read.", progress.read),
        ("records_set_aside_total", "Records kept as dead letters.", progress.set_aside),
        ("records_skipped_total", "Records passed over.", progress.skipped),
        ("records_filtered_total", "Records that make no row.", progress.filtered),
    ];
    for (name, help, count) in counters {
        family(name, "counter", help, one(count as f64));
    }
    if let Some(lag) = progress.lag {
        family("lag_records", "gauge", "Records behind the end.", one(lag as f64));
    }
    if let Some(age) = progress.since_last_load {
        family("last_load_age_seconds", "gauge", "Since the last load.", one(age.as_secs_f64()));
    }
    let waits = f64::from(u8::from(progress.waiting_for.is_some()));
    family("waiting", "gauge", "1 while something is in the way.", one(waits));
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    family("updated_timestamp_seconds", "gauge", "When this was written.", one(seconds));
    text.push_str("# EOF");
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TableProgress;

    #[test]
    fn metrics_are_what_a_textfile_collector_takes() {
        let table = TableProgress { table: "d.\"t".into(), rows: 3, ..TableProgress::default() };
        let progress = Progress { tables: vec![table], lag: Some(7), ..Progress::default() };
        let text = metrics(&progress, UNIX_EPOCH);
        assert!(text.contains("starsink_rows_loaded_total{table=\"d.\\\"t\"} 3\n"), "{text}");
        assert!(text.contains("starsink_lag_records 7\n"));
        assert!(text.ends_with("# EOF"));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let directory =
            std::env::temp_dir().join(format!("starsink-status-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("s.json");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
