//! Dead letters read again: where each one came from, and which are repeats.
//!
//! A batch that was attempted again after a crash may have put a dead letter twice; its headers
//! name the record, so that it is loaded once all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::job::{Job, Replay, Topics};
use crate::dlq::file::Reader;
use crate::dlq::letter::{connect_header, is_context};
use crate::error::Problem;
use crate::kafka::given::{Given, Record};
use crate::record::{Offset, Partition};

/// A record's headers, in order.
pub type Headers<'m> = Vec<(&'m str, Option<&'m [u8]>)>;

/// The record that a dead letter holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: Offset,
}

/// The dead letters of a file as records of the partition that keeps the position; `None`: they are in
/// Kafka, or none are asked for.
pub fn records(job: &Job) -> Result<Option<Given>, Problem> {
    let (Some(Replay { file: Some(path), .. }), Topics::Named(topics)) =
        (&job.replay, &job.source.topics)
    else {
        return Ok(None);
    };
    let mut reader = Reader::open(path)?;
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

/// What is known while dead letters are read.
#[derive(Debug)]
pub struct Replaying {
    /// The topic of letters that do not name one, where there is no choice.
    only_topic: Option<Arc<str>>,
    /// Where each record was met first.
    seen: Mutex<HashMap<Origin, (u32, u64)>>,
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
        let text = |piece: &str| {
            let name = connect_header(piece);
            let (_, value) = headers.iter().rev().find(|(known, _)| *known == name)?;
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
        headers.retain(|(name, _)| !is_context(name));
        let unnamed = || {
            let topic = Arc::clone(self.only_topic.as_ref()?);
            Some(Origin { topic, partition: at.0, offset: Offset(at.1) })
        };
        named.or_else(unnamed)
    }

    /// Whether another dead letter of the same record was met before this one.
    pub fn is_repeat(&self, origin: &Origin, at: (u32, u64)) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(origin.clone()).or_insert(at) != at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(!replaying.is_repeat(&record, (0, 5)));
        assert!(replaying.is_repeat(&record, (0, 6)));
        assert!(!replaying.is_repeat(&record, (0, 5)));
        assert!(!replaying.is_repeat(&origin("a", 2, 78), (0, 7)));
    }
}
