//! Dead letters in a file: one JSON object a line, only ever appended, on the disk before the offsets
//! move. A line that a dying process left unfinished is cut off at the next start: the offsets of
//! its record did not move, so it is written again. A last line that lacks nothing but its end is a letter.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use openssl::rand::rand_bytes;
use openssl::sha::sha256;

use crate::dlq::letter::DeadLetter;
use crate::error::{Kind, Problem};

/// A file open at its end; no other process of this program has it open to write.
pub struct Appender {
    file: File,
    path: PathBuf,
}

impl Appender {
    /// Opens or makes the file and mends its end.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        Appender::opened(path, cannot)
    }

    /// `cannot` words what the system refuses.
    fn opened(path: &Path, cannot: Wording) -> Result<Self, Problem> {
        refuse_what_is_no_file(path)?;
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = opened.map_err(|error| {
            cannot("open", path, &error)
                .hint("`--dlq FILE` needs a directory that exists and can be written")
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("another process writes dead letters to `{}`", path.display());
                return Err(Problem::usage(what).hint("give each process a file of its own"));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", path, &error)),
        }
        is_ours(&file, path)?;
        mend(&mut file)
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_directory(path))
            .map_err(|error| cannot("mend the end of", path, &error))?;
        Ok(Appender { file, path: path.to_owned() })
    }

    /// Appends these and waits for the disk. Where it fails the file is as it was before.
    ///
    /// A file that was moved away or removed since (as logrotate does) is let go, and a new one is made
    /// under the name: on return these letters are in a file that has a name.
    pub fn append(&mut self, letters: &[&DeadLetter], connector: &str) -> Result<(), Problem> {
        loop {
            if !self.has_its_name()? {
                *self = Appender::opened(&self.path, cannot_now)?;
            }
            let written = self.write(letters, connector);
            let links = written.and_then(|()| Ok(self.file.metadata()?.nlink()));
            let links = links.map_err(|error| cannot_now("write to", &self.path, &error))?;
            // Moved while they were written is fine: they are there. Removed is not.
            if links > 0 || self.has_its_name()? {
                return Ok(());
            }
        }
    }

    fn write(&mut self, letters: &[&DeadLetter], connector: &str) -> io::Result<()> {
        // Asked each time: somebody may have cut the file (`copytruncate`).
        let length = self.file.metadata()?.len();
        // Tells a new file from an older one with the same first letter: replays count by it.
        let mut mark = (length == 0).then(random_mark);
        let lines: String = letters
            .iter()
            .map(|letter| letter.marked_line(connector, mark.take().as_deref()))
            .collect();
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A half-written line would be mended at the next start as well.
            let _ = self.file.set_len(length);
        }
        written
    }

    /// Whether the name still stands for the file that is open.
    fn has_its_name(&self) -> Result<bool, Problem> {
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let cannot_look = |error: io::Error| cannot_now("open", &self.path, &error);
        let open = self.file.metadata().map(place).map_err(cannot_look)?;
        match fs::metadata(&self.path) {
            Ok(named) => Ok(place(named) == open),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot_look(error)),
        }
    }
}

/// Dead letters of a file by their numbers.
pub struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    /// Where each line begins, and where the last one ends.
    starts: Vec<u64>,
    ends_in_half_a_line: bool,
}

impl Reader {
    /// Looks where the lines are; what is in them is read later.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        refuse_what_is_no_file(path)?;
        let file = File::open(path).map_err(|error| cannot("open", path, &error))?;
        // While somebody writes, the rest of a line may be on its way.
        let is_at_rest = file.try_lock_shared().is_ok();
        if is_at_rest {
            file.unlock().map_err(|error| cannot("unlock", path, &error))?;
        }
        let mut file = BufReader::new(file);
        let (mut starts, mut at, mut line) = (vec![0], 0, vec![]);
        loop {
            line.clear();
            let read = file.read_until(b'\n', &mut line);
            at += read.map_err(|error| cannot("read", path, &error))? as u64;
            if line.last() != Some(&b'\n') {
                break;
            }
            starts.push(at);
        }
        let is_letter = is_at_rest && is_whole(&line);
        if is_letter {
            starts.push(at);
        }
        let ends_in_half_a_line = !is_letter && !line.is_empty();
        Ok(Reader { file, path: path.to_owned(), starts, ends_in_half_a_line })
    }

    /// Something stands behind the last letter that is none yet.
    pub fn ends_in_half_a_line(&self) -> bool {
        self.ends_in_half_a_line
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most so many, from this number on.
    pub fn read(&mut self, from: u64, most: usize) -> Result<Vec<DeadLetter>, Problem> {
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let Some(start) = self.starts.get(first) else { return Ok(vec![]) };
        let sought = self.file.seek(SeekFrom::Start(*start));
        sought.map_err(|error| cannot("read", &self.path, &error))?;
        let count = most.min(self.starts.len() - 1 - first);
        let (mut letters, mut line) = (Vec::with_capacity(count), vec![]);
        for number in first..first + count {
            line.clear();
            let read = self.file.read_until(b'\n', &mut line);
            read.map_err(|error| cannot("read", &self.path, &error))?;
            letters.push(of_line(&line, &self.path, number as u64 + 1)?);
        }
        Ok(letters)
    }
}

fn of_line(line: &[u8], path: &Path, number: u64) -> Result<DeadLetter, Problem> {
    let text = String::from_utf8_lossy(line);
    DeadLetter::of_line(&text).map_err(|why| {
        Problem::usage(format!("`{}` is not a file of dead letters", path.display()))
            .cause(why)
            .at(format!("{}:{number}", path.display()))
            .hint("such a file is what `--dlq FILE` writes")
    })
}

/// Whether dead letters may be appended to a file that is there: it is empty or holds some. Reads its
/// first line.
pub fn takes_letters(path: &Path) -> Result<(), Problem> {
    refuse_what_is_no_file(path)?;
    let file = File::open(path).map_err(|error| cannot("open", path, &error))?;
    is_ours(&file, path)
}

/// A pipe would be waited for without end, and a device may have no end. What is not there is no mistake yet.
fn refuse_what_is_no_file(path: &Path) -> Result<(), Problem> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let what = format!("cannot open dead-letter file `{}`", path.display());
            let cause = if found.is_dir() { "it is a directory" } else { "it is no regular file" };
            Err(Problem::usage(what)
                .cause(cause)
                .hint("dead letters are kept in a plain file or in a topic"))
        }
        _ => Ok(()),
    }
}

/// Nothing is appended to a file that is something else.
fn is_ours(file: &File, path: &Path) -> Result<(), Problem> {
    let mut first = vec![];
    let mut reader = BufReader::new(file);
    // What begins otherwise and ends no line soon is not read whole to say so.
    let head = reader.fill_buf().map_err(|error| cannot("read", path, &error))?;
    let begins = BEGINNING.starts_with(&head[..head.len().min(BEGINNING.len())]);
    if !begins && !head.contains(&b'\n') {
        return of_line(head, path, 1).map(drop);
    }
    reader.read_until(b'\n', &mut first).map_err(|error| cannot("read", path, &error))?;
    // An unfinished first line is one of ours if it begins like one.
    if first.is_empty()
        || (first.last() != Some(&b'\n')
            && BEGINNING.starts_with(&first[..first.len().min(BEGINNING.len())]))
    {
        return Ok(());
    }
    of_line(&first, path, 1).map(drop)
}

/// How every line begins.
const BEGINNING: &[u8] = b"{\"topic\":\"";

/// Ends the last line where it lacks nothing else, and cuts it off where it does.
fn mend(file: &mut File) -> io::Result<()> {
    let length = whole_lines(file)?;
    let mut rest = vec![];
    file.seek(SeekFrom::Start(length))?;
    file.read_to_end(&mut rest)?;
    if is_whole(&rest) { file.write_all(b"\n") } else { file.set_len(length) }
}

/// Whether a line without its end is a letter all the same.
fn is_whole(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| DeadLetter::of_line(line).is_ok())
}

/// What tells a file from all others: its name without links, and a digest of its path and of its first line,
/// which no letter that is appended changes.
pub fn identity(path: &Path) -> Result<String, Problem> {
    refuse_what_is_no_file(path)?;
    let real = fs::canonicalize(path).map_err(|error| cannot("open", path, &error))?;
    let file = File::open(&real).map_err(|error| cannot("open", path, &error))?;
    let mut first = vec![];
    let read = BufReader::new(file).read_until(b'\n', &mut first);
    read.map_err(|error| cannot("read", path, &error))?;
    let line = first.strip_suffix(b"\n").unwrap_or(&first);
    let digest = sha256(&[real.as_os_str().as_bytes(), b"\0", line].concat());
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(64).collect();
    Ok(format!("{name}-{}", hex(&digest[..8])))
}

fn random_mark() -> String {
    let mut bytes = [0; 8];
    rand_bytes(&mut bytes).expect("the system has randomness");
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const CHUNK: u64 = 64 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let begin = end.saturating_sub(CHUNK);
        let mut chunk = vec![0; usize::try_from(end - begin).unwrap_or_default()];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut chunk)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// A new file is there after a crash only if its directory says so.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

type Wording = fn(&str, &Path, &io::Error) -> Problem;

fn cannot(what: &str, path: &Path, error: &io::Error) -> Problem {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    Problem::usage(format!("cannot {what} dead-letter file `{}`", path.display())).cause(text)
}

/// Of a place that was good when the run began, and may be good again.
fn cannot_now(what: &str, path: &Path, error: &io::Error) -> Problem {
    Problem { kind: Kind::Unavailable, ..cannot(what, path, error) }
        .hint("nothing is lost: offsets move only when dead letters are on the disk")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::letter::Reason;
    use crate::record::{Offset, Partition};

    fn read(path: &Path) -> Result<Vec<DeadLetter>, Problem> {
        let mut reader = Reader::open(path)?;
        let count = usize::try_from(reader.len()).unwrap();
        reader.read(0, count + 1)
    }

    fn letter(offset: u64) -> DeadLetter {
        DeadLetter {
            partition: Partition::new("t", 0),
            offset: Offset(offset),
            timestamp_ms: None,
            key: None,
            value: Some(b"v".to_vec()),
            headers: vec![],
            reason: Reason::of_the_sink("no"),
        }
    }

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("starsink-dlq-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Place(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_unopened() {
        for (path, cause) in [("/dev/null", "it is no regular file"), ("/", "it is a directory")] {
            let path = Path::new(path);
            let problems = [
                Appender::open(path).map(drop),
                Reader::open(path).map(drop),
                takes_letters(path),
                identity(path).map(drop),
            ];
            for problem in problems {
                assert_eq!(problem.expect_err("refused").causes, [cause], "{}", path.display());
            }
        }
    }

    #[test]
    fn letters_are_appended_and_read_back() {
        let place = Place::new("append");
        Appender::open(&place.0).unwrap().append(&[&letter(1), &letter(2)], "c").unwrap();
        Appender::open(&place.0).unwrap().append(&[&letter(3)], "c").unwrap();
        assert_eq!(read(&place.0).unwrap(), [letter(1), letter(2), letter(3)]);
        let mut reader = Reader::open(&place.0).unwrap();
        assert_eq!(reader.read(1, 1).unwrap(), [letter(2)]);
        assert_eq!(reader.read(0, 2).unwrap(), [letter(1), letter(2)]);
        assert_eq!((reader.read(3, 9).unwrap(), reader.len()), (vec![], 3));
    }

    #[test]
    fn a_line_torn_anywhere_is_cut_off_and_the_whole_ones_stay() {
        let place = Place::new("torn");
        let whole = letter(1).line("c");
        let next = letter(2).line("c");
        for cut in 0..next.len() - 1 {
            std::fs::write(&place.0, format!("{whole}{}", &next[..cut])).unwrap();
            assert_eq!(read(&place.0).unwrap(), [letter(1)]);
            assert_eq!(Reader::open(&place.0).unwrap().ends_in_half_a_line(), cut > 0);
            let mut file = Appender::open(&place.0).unwrap();
            file.append(&[&letter(3)], "c").unwrap();
            assert_eq!(read(&place.0).unwrap(), [letter(1), letter(3)], "cut at {cut}");
        }
        for cut in 0..whole.len() {
            std::fs::write(&place.0, &whole[..cut]).unwrap();
            Appender::open(&place.0).unwrap_or_else(|problem| panic!("cut at {cut}: {problem}"));
        }
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let place = Place::new("foreign");
        std::fs::write(&place.0, "name=x\n").unwrap();
        let problem = Appender::open(&place.0).err().expect("refused");
        assert!(problem.what.contains("is not a file of dead letters"), "{problem}");
        assert_eq!(std::fs::read_to_string(&place.0).unwrap(), "name=x\n");
    }

    #[test]
    fn one_process_writes_a_file_at_a_time() {
        let place = Place::new("locked");
        let _first = Appender::open(&place.0).unwrap();
        let problem = Appender::open(&place.0).err().expect("refused");
        assert!(problem.what.contains("another process"), "{problem}");
    }

    fn offsets(path: &Path) -> Vec<u64> {
        read(path).unwrap().iter().map(|letter| letter.offset.0).collect()
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_anew_under_its_name() {
        let (place, old) = (Place::new("rotated"), Place::new("rotated.1"));
        let mut file = Appender::open(&place.0).unwrap();
        file.append(&[&letter(1)], "c").unwrap();
        fs::rename(&place.0, &old.0).unwrap();
        file.append(&[&letter(2)], "c").unwrap();
        assert_eq!((offsets(&old.0), offsets(&place.0)), (vec![1], vec![2]));
        fs::remove_file(&place.0).unwrap();
        file.append(&[&letter(3)], "c").unwrap();
        assert_eq!(offsets(&place.0), [3]);
        // Another process made one in its place.
        fs::rename(&place.0, &old.0).unwrap();
        fs::write(&place.0, letter(4).line("c")).unwrap();
        file.append(&[&letter(5)], "c").unwrap();
        assert_eq!(offsets(&place.0), [4, 5]);
        // The old one is let go.
        Appender::open(&old.0).unwrap();
        assert!(Appender::open(&place.0).is_err());
    }

    #[test]
    fn a_directory_that_is_gone_is_waited_for() {
        let directory =
            std::env::temp_dir().join(format!("starsink-dlq-{}-gone", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut file = Appender::open(&directory.join("dead.ndjson")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let problem = file.append(&[&letter(1)], "c").unwrap_err();
        assert_eq!(problem.kind, Kind::Unavailable);
        assert!(problem.hints.iter().any(|hint| hint.contains("nothing is lost")));
        fs::create_dir_all(&directory).unwrap();
        file.append(&[&letter(1)], "c").unwrap();
        assert_eq!(offsets(&directory.join("dead.ndjson")), [1]);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_was_cut_under_the_run_is_appended_to() {
        let place = Place::new("cut");
        let mut file = Appender::open(&place.0).unwrap();
        file.append(&[&letter(1), &letter(2)], "c").unwrap();
        OpenOptions::new().write(true).open(&place.0).unwrap().set_len(0).unwrap();
        file.append(&[&letter(3)], "c").unwrap();
        assert_eq!(offsets(&place.0), [3]);
    }

    #[test]
    fn a_last_line_that_lacks_only_its_end_is_a_letter_unless_somebody_writes() {
        let place = Place::new("end");
        let text = format!("{}{}", letter(1).line("c"), letter(2).line("c").trim_end());
        fs::write(&place.0, &text).unwrap();
        assert_eq!(offsets(&place.0), [1, 2]);
        let mut file = Appender::open(&place.0).unwrap();
        file.append(&[&letter(3)], "c").unwrap();
        assert_eq!(offsets(&place.0), [1, 2, 3]);
        // The end may be on its way.
        fs::write(&place.0, &text).unwrap();
        assert_eq!(offsets(&place.0), [1]);
        drop(file);
        assert_eq!(offsets(&place.0), [1, 2]);
    }

    #[test]
    fn a_file_is_known_by_where_it_is_and_how_it_begins() {
        let (place, link) = (Place::new("known"), Place::new("known.link"));
        let write = |letters: &[&DeadLetter]| {
            Appender::open(&place.0).unwrap().append(letters, "c").unwrap();
            identity(&place.0).unwrap()
        };
        let first = write(&[&letter(1), &letter(2)]);
        assert_eq!(write(&[&letter(3)]), first, "appending changes nothing");
        std::os::unix::fs::symlink(&place.0, &link.0).unwrap();
        assert_eq!(identity(&link.0).unwrap(), first);
        let name = place.0.file_name().unwrap();
        let other_way = place.0.parent().unwrap().join(".").join(name);
        assert_eq!(identity(&other_way).unwrap(), first);
        // A new file is another one, though its first letter be the same.
        fs::remove_file(&place.0).unwrap();
        assert_ne!(write(&[&letter(1)]), first);
        // The same, elsewhere, is another one as well.
        let copy = Place::new("known.copy");
        fs::copy(&place.0, &copy.0).unwrap();
        assert_ne!(identity(&copy.0).unwrap(), identity(&place.0).unwrap());
    }
}
