//! Dead letters read again: where each one came from, which are repeats, and which file they are in.
//!
//! A batch that was attempted again after a crash may have put a dead letter twice; its headers
//! name the record, so that it is loaded once all the same. A topic that was deleted and made anew has other
//! records under the same offsets: letters are repeats only if they hold the same record.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::job::{Job, Replay, Topics};
use crate::dlq::file::{self, Reader};
use crate::dlq::letter::{Headers, connect_header, take_context};
use crate::error::Problem;
use crate::event::Event;
use crate::kafka::given::{Given, Record};
use crate::kafka::queue::Message;
use crate::record::{Offset, Partition};

/// The record that a dead letter holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: Offset,
}

/// The dead letters of a file as records of the partition that keeps the position; `None`: they are in
/// Kafka, or none are asked for.
pub fn records(job: &Job, report: &mut dyn FnMut(Event)) -> Result<Option<Given>, Problem> {
    let (Some(Replay { file: Some(path), .. }), Topics::Named(topics)) =
        (&job.replay, &job.source.topics)
    else {
        return Ok(None);
    };
    let mut reader = Reader::open(path)?;
    if reader.ends_in_half_a_line() {
        let text = format!("the last line of `{}` is not whole and is passed over", path.display());
        let hint = "a process that writes dead letters there finishes it, or cuts it off at its next start; \
                    a line that was written by hand is one JSON object";
        report(Event::Warning { text, hint: Some(hint.into()) });
    }
    let partition = Partition::new(topics[0].as_str(), 0);
    let (place, connector) = (partition.clone(), job.name.clone());
    let length = reader.len();
    let read = move |from: u64, most: usize| {
        let letters = reader.read(from, most)?;
        let record = |(number, letter): (u64, crate::dlq::DeadLetter)| {
            let context = letter.context(&connector);
            let headers = letter.headers.into_iter().chain(context).collect();
            let mut record = Record::of(&place, number);
            record.timestamp_ms = letter.timestamp_ms;
            (record.key, record.value, record.headers) = (letter.key, letter.value, headers);
            record
        };
        Ok((from..).zip(letters).map(record).collect())
    };
    Ok(Some(Given::new(partition, length, Box::new(read))))
}

/// Lets the group count the lines of one file alone: a new file under the old name is counted anew, and
/// another spelling of the name is the same file.
pub fn bind_group(job: &mut Job) -> Result<(), Problem> {
    if let Some(Replay { file: Some(path), .. }) = &job.replay {
        job.source.group = format!("{}-{}", job.source.group, file::identity(path)?);
    }
    Ok(())
}

/// What is known while dead letters are read.
#[derive(Debug)]
pub struct Replaying {
    /// The topic of letters that do not name one, where there is no choice.
    only_topic: Option<Arc<str>>,
    /// Where each record was met first, by a digest of what it holds.
    seen: Mutex<HashMap<(Origin, u64), (u32, u64)>>,
}

impl Replaying {
    /// `topics`: those that the configuration loads.
    pub fn of(topics: &Topics) -> Replaying {
        let only_topic = match topics {
            Topics::Named(names) if names.len() == 1 => Some(names[0].as_str().into()),
            Topics::Named(_) | Topics::Matching(_) => None,
        };
        Replaying { only_topic, seen: Mutex::default() }
    }

    /// Where a dead letter came from, `at` being its own partition and offset; takes the headers that
    /// were added to it away. `None`: it does not say.
    pub fn origin(&self, headers: &mut Headers<'_>, at: (u32, u64)) -> Option<Origin> {
        let added = take_context(headers);
        let text = |piece: &str| {
            let name = connect_header(piece);
            let (_, value) = added.iter().rev().find(|(known, _)| *known == name)?;
            std::str::from_utf8((*value)?).ok()
        };
        let number = |piece: &str| text(piece)?.parse::<u64>().ok();
        let named = (|| {
            Some(Origin {
                topic: text("topic")?.into(),
                partition: u32::try_from(number("partition")?).ok()?,
                offset: Offset(number("offset")?),
            })
        })();
        let unnamed = || {
            let topic = Arc::clone(self.only_topic.as_ref()?);
            Some(Origin { topic, partition: at.0, offset: Offset(at.1) })
        };
        named.or_else(unnamed)
    }

    /// Whether another dead letter of the same record was met before this one; `holds`: [`digest`].
    pub fn is_repeat(&self, origin: &Origin, holds: u64, at: (u32, u64)) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry((origin.clone(), holds)).or_insert(at) != at
    }
}

/// What a letter holds, in short: time, key, value and the record's own headers.
pub fn digest(letter: Message<'_>, own_headers: &Headers<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (letter.created_ms(), letter.key(), letter.value(), own_headers).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::queue::Messages;

    fn origin(topic: &str, partition: u32, offset: u64) -> Origin {
        Origin { topic: topic.into(), partition, offset: Offset(offset) }
    }

    #[test]
    fn a_dead_letter_says_where_it_came_from_and_keeps_its_own_headers() {
        let replaying = Replaying::of(&Topics::Named(vec!["a".into(), "b".into()]));
        let value = |text: &'static str| Some(text.as_bytes());
        let mut headers = vec![
            ("own", value("1")),
            ("__connect.errors.topic", value("a")),
            ("__connect.errors.partition", value("2")),
            ("__connect.errors.offset", value("77")),
            ("__starsink.errors.table", value("d.a")),
            ("own", None),
        ];
        assert_eq!(replaying.origin(&mut headers, (0, 5)), Some(origin("a", 2, 77)));
        assert_eq!(headers, [("own", value("1")), ("own", None)]);
        assert_eq!(replaying.origin(&mut headers, (0, 5)), None);
        let one = Replaying::of(&Topics::Named(vec!["a".into()]));
        assert_eq!(one.origin(&mut headers, (0, 5)), Some(origin("a", 0, 5)));
    }

    #[test]
    fn a_record_is_taken_once_and_the_same_letter_again_after_a_rewind() {
        let replaying = Replaying::of(&Topics::Named(vec!["a".into()]));
        let record = origin("a", 2, 77);
        assert!(!replaying.is_repeat(&record, 1, (0, 5)));
        assert!(replaying.is_repeat(&record, 1, (0, 6)));
        assert!(!replaying.is_repeat(&record, 1, (0, 5)));
        assert!(!replaying.is_repeat(&origin("a", 2, 78), 1, (0, 7)));
        assert!(!replaying.is_repeat(&record, 2, (0, 8)), "its place holds another record now");
    }

    #[test]
    fn letters_of_one_place_are_told_apart_by_what_they_hold() {
        let place = Partition::new("dead", 0);
        let record = |time: i64, key: &str, value: &str| {
            let mut record = Record::of(&place, 0);
            record.timestamp_ms = Some(time);
            (record.key, record.value) = (Some(key.into()), Some(value.into()));
            record
        };
        let records = Messages::of(vec![
            record(1, "k", "v"),
            record(1, "k", "v"),
            record(2, "k", "v"),
            record(1, "kv", ""),
            record(1, "k", "w"),
        ]);
        let own: Headers<'_> = vec![("h", None)];
        let digests: Vec<u64> = records.iter().map(|letter| digest(letter, &own)).collect();
        assert_eq!(digests[0], digests[1]);
        assert!(digests[2..].iter().all(|digest| *digest != digests[0]));
        assert_ne!(digest(records.iter().next().unwrap(), &vec![]), digests[0]);
    }
}
