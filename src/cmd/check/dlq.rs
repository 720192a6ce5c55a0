//! Where records that cannot be loaded go: is the topic there or can it be made, can the file be
//! written? Makes no topic, and leaves no byte behind: with `--write` a scratch file is made beside the
//! file and removed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::cmd::check::kafka::Found;
use crate::cmd::check::side::Lines;
use crate::config::job::{DeadLetterTarget, DeadLetterTopic, Job, OnBadRecord, Source};
use crate::dlq;
use crate::kafka::admin::Admin;
use crate::kafka::probe::timed;
use crate::report::units::{bytes, counted};
use crate::verdict::{Area, Line};

/// Less room than this is as good as none: one record and its reasons.
const LEAST_BYTES: u64 = 1 << 20;

/// One line.
pub(super) fn check(job: &Job, kafka: Option<&Found>, write: bool, lines: &Lines<()>) {
    let (line, took) = timed(|| match &job.errors.on_bad_record {
        OnBadRecord::Stop => {
            Line::skip(Area::Dlq, "dead letters", "a record that cannot be loaded stops the run")
        }
        OnBadRecord::Skip => {
            let text = "records that cannot be loaded are skipped, and kept nowhere";
            Line::warn(Area::Dlq, "dead letters", text)
                .hint("`--on-error dlq` with `--dlq TOPIC|FILE` keeps them")
        }
        OnBadRecord::SetAside(letters) => match &letters.target {
            DeadLetterTarget::File(path) => file(path, write),
            DeadLetterTarget::Topic(topic) => self::topic(job, topic, kafka),
        },
    });
    lines.tell(line.took(took));
}

fn topic(job: &Job, topic: &DeadLetterTopic, kafka: Option<&Found>) -> Line {
    let subject = format!("topic {}", topic.name);
    let Some(found) = kafka else {
        return Line::skip(Area::Dlq, subject, "Kafka cannot be asked");
    };
    // As the producer logs in.
    let source = Source {
        bootstrap: topic.bootstrap.clone(),
        properties: topic.properties.clone(),
        oauth: topic.oauth.clone(),
        ..job.source.clone()
    };
    let admin = Admin::new(&source);
    let rights = admin.as_ref().map(|admin| admin.rights(&[&topic.name])).unwrap_or_default();
    let rights = rights.get(&topic.name);
    if rights.is_some_and(|rights| !rights.write) {
        return Line::wrong(Area::Dlq, subject, "Kafka does not let this user write to it")
            .hint("the user needs Write on the topic");
    }
    if topic.bootstrap != job.source.bootstrap {
        let text = format!("it is in another cluster, `{}`, which is not asked", topic.bootstrap);
        return match rights {
            Some(_) => {
                Line::ok(Area::Dlq, subject, format!("it is there, at `{}`", topic.bootstrap))
            }
            None => Line::skip(Area::Dlq, subject, text),
        };
    }
    if job_reads(&topic.name, found) {
        return Line::wrong(Area::Dlq, subject, "the run would read its own dead letters")
            .hint("name a topic that the run does not read");
    }
    if let Some(known) = found.all_topics.iter().find(|known| known.name == topic.name) {
        let partitions = counted(u64::from(known.partitions), "partition");
        let text = match rights {
            Some(_) => format!("it is there and can be written, {partitions}"),
            None => format!("it is there, {partitions}; nobody says whether it can be written"),
        };
        return Line::ok(Area::Dlq, subject, text);
    }
    if found.consumer.is_denied(&topic.name) {
        return Line::wrong(Area::Dlq, subject, "Kafka does not let this user see it")
            .hint("the user needs Write and Describe on the topic");
    }
    let tried = admin.map(|admin| admin.may_create(&topic.name, topic.replication));
    match tried {
        Ok(Ok(())) => Line::ok(Area::Dlq, subject, "it is not there yet and can be made"),
        Ok(Err(None)) | Err(_) => Line::skip(
            Area::Dlq,
            subject,
            "it is not there yet; nobody says whether it can be made",
        ),
        Ok(Err(Some(cause))) => {
            Line::wrong(Area::Dlq, subject, "it is not there and cannot be made").cause(cause).hint(
                "create it, or let the user: Create on the topic; \
                 `errors.deadletterqueue.topic.replication.factor` must not exceed the brokers",
            )
        }
    }
}

fn job_reads(topic: &str, found: &Found) -> bool {
    found.topics.iter().any(|(name, _)| name == topic)
}

fn file(path: &Path, write: bool) -> Line {
    let subject = format!("file {}", path.display());
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Line::wrong(Area::Dlq, subject, "its directory is not there")
            .at(parent.display().to_string())
            .hint("make the directory, or name another file with `--dlq`");
    }
    if path.is_dir() {
        return Line::wrong(Area::Dlq, subject, "this is a directory")
            .hint("name a file in it with `--dlq`");
    }
    let refused = |error: &io::Error| {
        Line::wrong(Area::Dlq, &subject, "it cannot be written")
            .cause(error.to_string())
            .hint("check owner and mode of file and directory")
    };
    // Opening it to append changes nothing.
    if path.exists()
        && let Err(error) = OpenOptions::new().append(true).open(path)
    {
        return refused(&error);
    }
    if path.is_file()
        && let Err(problem) = dlq::file::takes_letters(path)
    {
        return Line::problem(Area::Dlq, subject, &problem);
    }
    if let Err(error) = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK) {
        return refused(&error.into());
    }
    let room = rustix::fs::statvfs(parent).map(|disk| disk.f_bavail * disk.f_frsize);
    if let Ok(room) = room
        && room < LEAST_BYTES
    {
        return full(subject, &format!("{} left", bytes(room)));
    }
    if write && let Err(error) = scratch(path, parent) {
        return match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOSPC.raw_os_error() => {
                full(subject, &error.to_string())
            }
            _ => refused(&error),
        };
    }
    let room = room.map(|room| format!("; {} free", bytes(room))).unwrap_or_default();
    Line::ok(Area::Dlq, subject, format!("it can be written{room}"))
}

fn full(subject: String, cause: &str) -> Line {
    Line::away(Area::Dlq, subject, "no room is left for it")
        .cause(cause)
        .hint("free some space, or name a file elsewhere with `--dlq`")
}

/// Writes and removes a file beside it; a device is written to itself.
fn scratch(path: &Path, parent: &Path) -> io::Result<()> {
    let is_device = path.metadata().is_ok_and(|meta| !meta.is_file());
    if is_device {
        return OpenOptions::new().append(true).open(path)?.write_all(b"\n");
    }
    let name = format!(".starsink-check-{}", std::process::id());
    let scratch = parent.join(name);
    let written = fs::File::create(&scratch).and_then(|mut file| {
        file.write_all(&[b'\n'; 4096])?;
        file.sync_all()
    });
    fs::remove_file(&scratch).ok();
    written
}
