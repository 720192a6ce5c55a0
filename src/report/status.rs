//! The status file of `tail`: rewritten as a whole, by a rename, so that a reader never sees half of
//! it. JSON, or OpenMetrics text when its name ends in `.prom`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

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
        replace(&self.path, &text, Pipe::PassOver)
    }

    fn is_metrics(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "prom")
    }

    fn render(&self, progress: &Progress) -> String {
        if self.is_metrics() {
            return metrics(progress, SystemTime::now());
        }
        /// What a summary says of what is committed, and progress does not.
        const BOOKS: [&str; 10] = [
            "loaded",
            "left_out",
            "repeated",
            "already_loaded",
            "extra_loads",
            "reasons",
            "dead_letters",
            "partitions",
            "committed",
            "labels",
        ];
        let mut body = json::progress(progress);
        if let Some(books) = &progress.books {
            let books = json::summary(books);
            BOOKS.iter().for_each(|name| body[*name] = books[*name].clone());
        }
        body["at"] = stamp(SystemTime::now()).into();
        body.to_string()
    }
}

/// What to do about a pipe that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipe {
    Wait,
    /// Nobody looks: nothing is written.
    PassOver,
}

/// Writes a whole file or leaves the old one, also where the name is a link to it. What is no regular
/// file (a device, a pipe, a socket) and what a process has open (`/dev/stdout`) is never replaced: the
/// text is added to it.
pub fn replace(path: &Path, text: &str, pipe: Pipe) -> io::Result<()> {
    match destination(path)? {
        Destination::File(file) => renew(&file, |new| writeln!(new, "{text}")),
        Destination::InPlace => add(path, text, pipe),
    }
}

enum Destination {
    /// Absent, or a regular file; links are resolved.
    File(PathBuf),
    InPlace,
}

fn destination(path: &Path) -> io::Result<Destination> {
    // As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Destination::File(path));
            }
            Err(error) => return Err(error),
        };
        if !kind.is_symlink() {
            let is_file = kind.is_file();
            return Ok(if is_file { Destination::File(path) } else { Destination::InPlace });
        }
        let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        if directory.is_absolute() && fs::canonicalize(&directory)?.starts_with("/proc") {
            // An open descriptor's name: whoever holds it would go on with the old file.
            return Ok(Destination::InPlace);
        }
        path = directory.join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// By a file beside it, of which nothing is left when that fails.
fn renew(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    let written =
        fill(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // What made the write fail is the better message.
        let _ = fs::remove_file(&new);
    }
    written
}

fn add(path: &Path, text: &str, pipe: Pipe) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true);
    if pipe == Pipe::PassOver {
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    }
    let written =
        options.open(path).and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()));
    match written {
        Err(error) if pipe == Pipe::PassOver && is_unread(&error) => Ok(()),
        other => other,
    }
}

/// A pipe without a reader, or one whose reader is behind.
fn is_unread(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
        || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe)
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
    use crate::event::{Summary, TableProgress};

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
    fn a_status_has_the_books() {
        let books = Summary { loaded_records: 7, ..Summary::default() };
        let progress = Progress { read: 9, books: Some(Box::new(books)), ..Progress::default() };
        let text = StatusFile::new("s.json".into()).render(&progress);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&status["read"], &status["loaded"]), (&9.into(), &7.into()));
        for name in ["reasons", "partitions", "labels", "committed"] {
            assert!(status[name].is_array(), "{name}: {status}");
        }
    }

    /// A directory of its own, gone at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("starsink-status-{}-{name}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            fs::create_dir_all(&directory).unwrap();
            Place(directory)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        fn fifo(&self, name: &str) -> PathBuf {
            let path = self.path(name);
            let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
            assert!(made.success());
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let place = Place::new("whole");
        let path = place.path("s.json");
        replace(&path, "one", Pipe::Wait).unwrap();
        replace(&path, "two", Pipe::Wait).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(place.names(), ["s.json"]);
    }

    #[test]
    fn links_stay_and_what_they_point_at_is_written() {
        let place = Place::new("links");
        std::os::unix::fs::symlink("file", place.path("link")).unwrap();
        std::os::unix::fs::symlink(place.path("link"), place.path("far")).unwrap();
        for text in ["one", "two"] {
            replace(&place.path("far"), text, Pipe::Wait).unwrap();
            assert_eq!(fs::read_to_string(place.path("file")).unwrap(), format!("{text}\n"));
        }
        assert_eq!(place.names(), ["far", "file", "link"]);
        assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(place.path("far")).unwrap().is_symlink());
        std::os::unix::fs::symlink("round", place.path("round")).unwrap();
        assert!(replace(&place.path("round"), "one", Pipe::Wait).is_err());
    }

    #[test]
    fn a_pipe_gets_the_text_and_stays_a_pipe() {
        use std::os::unix::fs::FileTypeExt;
        let place = Place::new("pipe");
        let fifo = place.fifo("fifo");
        std::os::unix::fs::symlink("fifo", place.path("link")).unwrap();
        // Nobody reads: a status is passed over.
        replace(&fifo, "unread", Pipe::PassOver).unwrap();
        assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo(), "{:?}", place.names());
        let reader = {
            let fifo = fifo.clone();
            std::thread::spawn(move || fs::read_to_string(fifo).unwrap())
        };
        replace(&place.path("link"), "one", Pipe::Wait).unwrap();
        assert_eq!(reader.join().unwrap(), "one\n");
        assert_eq!(place.names(), ["fifo", "link"]);
    }

    #[test]
    fn what_a_process_has_open_is_added_to() {
        use std::os::fd::AsRawFd;
        let place = Place::new("open");
        let path = place.path("out");
        let mut open = File::create(&path).unwrap();
        writeln!(open, "before").unwrap();
        let name = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        replace(&name, "one", Pipe::Wait).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\none\n");
    }

    #[test]
    fn nothing_is_left_of_a_write_that_fails() {
        let place = Place::new("full");
        let path = place.path("s.json");
        fs::write(&path, "old").unwrap();
        let full = |file: &mut File| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let error = renew(&path, full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(place.names(), ["s.json"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
