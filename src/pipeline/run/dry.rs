//! A dry run: reads, converts, counts, and changes nothing anywhere. No group is joined, no offset
//! moves, nothing is sent to StarRocks but questions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::job::{Bounds, Extent, Job, OnBadRecord, Reset, Start};
use crate::error::{Kind, Problem};
use crate::event::{Event, PartitionBook, Progress, Summary, TableProgress};
use crate::kafka::consumer::Consumer;
use crate::kafka::extent;
use crate::kafka::queue::{Entry, Message};
use crate::mapping::maker::{Fate, RawRecord, RowMaker};
use crate::pipeline::Stop;
use crate::pipeline::positions::Positions;
use crate::pipeline::reasons::Reasons;
use crate::pipeline::refuse::{Refused, Why};
use crate::pipeline::replay::{Replaying, digest};
use crate::pipeline::run::aside::table_of;
use crate::pipeline::run::prepare::{Prepared, wanted};
use crate::record::{Offset, Partition};

/// Entries taken from librdkafka's queue at once.
const CHUNK: usize = 4096;
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What was counted so far.
struct Dry<'a> {
    job: &'a Job,
    maker: RowMaker,
    tables: BTreeMap<String, TableProgress>,
    partitions: BTreeMap<Partition, PartitionBook>,
    reasons: Reasons,
    /// The records are dead letters.
    replaying: Option<Replaying>,
    repeated: u64,
    topic: (usize, Arc<str>),
    read: u64,
}

/// Reads what a run would read now, up to its end.
pub(super) fn run(
    job: &Job,
    extent: &Extent,
    mut prepared: Prepared,
    consumer: &Consumer,
    stop: &Stop,
    report: &mut dyn FnMut(Event),
) -> (Summary, Result<(), Problem>) {
    let Extent::Until(bounds) = extent else {
        return (Summary::default(), Err(Problem::usage("only a bounded run can be tried")));
    };
    let began = Instant::now();
    let maker = prepared.makers.remove(0);
    let mut dry = Dry {
        job,
        maker,
        tables: BTreeMap::new(),
        partitions: BTreeMap::new(),
        reasons: Reasons::default(),
        replaying: job.replay.as_ref().map(|replay| Replaying::of(&replay.topics)),
        repeated: 0,
        topic: (0, "".into()),
        read: 0,
    };
    let ended = dry.until_done(bounds, &prepared, consumer, stop, report);
    let complete = ended.is_ok() && stop.signal().is_none();
    (dry.summary(began.elapsed(), complete), ended)
}

impl Dry<'_> {
    fn until_done(
        &mut self,
        bounds: &Bounds,
        prepared: &Prepared,
        consumer: &Consumer,
        stop: &Stop,
        report: &mut dyn FnMut(Event),
    ) -> Result<(), Problem> {
        let (began, mut told) = (Instant::now(), Instant::now());
        let starts = starts(self.job, bounds, &wanted(self.job, &prepared.topics), consumer)?;
        let mut positions = Positions::new(&starts, &prepared.ends);
        positions.want(bounds.max_messages);
        let open = positions.open();
        if open.is_empty() {
            return Ok(());
        }
        consumer.assign(&open)?;
        while !positions.all_done() && stop.signal().is_none() {
            consumer.poll(Duration::ZERO)?;
            let messages = consumer.read(CHUNK, Duration::from_millis(50))?;
            for message in messages.iter() {
                let (key, number) = (message.topic_key(), message.partition());
                let Some(slot) = positions.slot(key, number, || message.topic().into()) else {
                    continue;
                };
                match message.entry() {
                    Entry::Record if positions.take(slot, Offset(message.offset())) => {
                        self.count(message)?;
                    }
                    Entry::Record => {}
                    Entry::EndOfPartition => positions.reached_end(slot, Offset(message.offset())),
                    Entry::Error(error) => {
                        let what = format!("cannot read `{}[{number}]`", message.topic());
                        return Err(Problem::unavailable(what).cause(error.to_string()));
                    }
                }
            }
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                let (read, elapsed) = (self.read, began.elapsed());
                let tables = self.tables.values().cloned().collect();
                report(Event::Progress(Progress { read, elapsed, tables, ..Progress::default() }));
            }
        }
        for range in positions.seal().into_iter().map(|taken| taken.range) {
            let book = self.partitions.entry(range.partition.clone());
            let book = book.or_insert_with(|| PartitionBook::new(range.partition, range.first));
            (book.first, book.next) = (range.first, range.next);
            book.gaps = (range.next.0 - range.first.0).saturating_sub(book.read);
        }
        Ok(())
    }

    fn count(&mut self, message: Message<'_>) -> Result<(), Problem> {
        self.read += 1;
        if message.topic_key() != self.topic.0 {
            self.topic = (message.topic_key(), message.topic().into());
        }
        let topic = Arc::clone(&self.topic.1);
        let partition = Partition::new(Arc::clone(&topic), message.partition());
        let begin = || PartitionBook::new(partition.clone(), Offset(message.offset()));
        let book = self.partitions.entry(partition.clone()).or_insert_with(begin);
        book.read += 1;
        let mut headers = vec![];
        if self.maker.reads_headers() || self.replaying.is_some() {
            message.headers(&mut headers);
        }
        let at = (message.partition(), message.offset());
        let origin = self.replaying.as_ref().map(|it| it.origin(&mut headers, at));
        let mut record = RawRecord {
            topic: &topic,
            partition: at.0,
            offset: Offset(at.1),
            timestamp: message.timestamp_ms(),
            key: message.key(),
            value: message.value(),
            headers: &headers,
        };
        let why = match &origin {
            Some(None) => Why::nameless(),
            Some(Some(origin))
                if self
                    .replaying
                    .as_ref()
                    .is_some_and(|it| it.is_repeat(origin, digest(message, &headers), at)) =>
            {
                book.filtered += 1;
                self.repeated += 1;
                return Ok(());
            }
            None | Some(Some(_)) => {
                if let Some(Some(origin)) = &origin {
                    (record.topic, record.partition) = (&origin.topic, origin.partition);
                    record.offset = origin.offset;
                }
                match self.maker.make(&record) {
                    Fate::Rows(rows) => {
                        book.loaded += 1;
                        for row in rows.iter() {
                            let name = rows.table_name(row.table);
                            let table = self.tables.entry(name.to_string()).or_default();
                            table.rows += row.rows;
                            table.bytes += row.bytes.len() as u64;
                        }
                        return Ok(());
                    }
                    Fate::Skipped(_) => {
                        book.filtered += 1;
                        return Ok(());
                    }
                    Fate::Failed(problem) => return Err(problem),
                    Fate::Refused(refusal) => {
                        Why::refused(&refusal, &self.job.target.database, self.job.redact_values)
                    }
                }
            }
        };
        let is_set_aside = matches!(self.job.errors.on_bad_record, OnBadRecord::SetAside(_));
        match is_set_aside {
            true => book.set_aside += 1,
            false => book.skipped += 1,
        }
        let refused = Refused::new(&record, why, &OnBadRecord::Skip, None);
        if let Some(table) = table_of(self.job, &refused.letter) {
            let table = self.tables.entry(table).or_default();
            match is_set_aside {
                true => table.set_aside += 1,
                false => table.skipped += 1,
            }
        }
        self.reasons.add(refused.reasoned());
        Ok(())
    }

    fn summary(self, elapsed: Duration, complete: bool) -> Summary {
        let sum = |get: fn(&PartitionBook) -> u64| self.partitions.values().map(get).sum::<u64>();
        let database = &self.job.target.database;
        let named = |(name, table): (&String, &TableProgress)| TableProgress {
            table: format!("{database}.{name}"),
            busy: elapsed,
            ..table.clone()
        };
        Summary {
            dry_run: true,
            tables: self.tables.iter().map(named).collect(),
            elapsed,
            read: self.read,
            loaded_records: sum(|book| book.loaded),
            set_aside: sum(|book| book.set_aside),
            skipped: sum(|book| book.skipped),
            filtered: sum(|book| book.filtered),
            repeated: self.repeated,
            reasons: self.reasons.list().to_vec(),
            partitions: self.partitions.into_values().collect(),
            complete,
            guarantee_name: "dry-run",
            ..Summary::default()
        }
    }
}

/// Where a run would begin now: the group's offsets, else what the configuration says.
fn starts(
    job: &Job,
    bounds: &Bounds,
    wanted: &[Partition],
    consumer: &Consumer,
) -> Result<Vec<(Partition, Offset)>, Problem> {
    if bounds.start != Start::Stored {
        return extent::starts(consumer, bounds.start, wanted);
    }
    let (mut starts, mut new) = (vec![], vec![]);
    for committed in consumer.committed(wanted)? {
        match committed.offset {
            Some((offset, _)) => starts.push((committed.partition, offset)),
            None => new.push(committed.partition),
        }
    }
    let start = match job.source.reset {
        Reset::Beginning => Start::Beginning,
        Reset::End => Start::End,
        Reset::Refuse if !new.is_empty() => {
            let what = format!("group `{}` has no offset for `{}`", job.source.group, new[0]);
            return Err(Problem::new(Kind::Usage, what)
                .cause("`auto.offset.reset` is `none`")
                .hint("say where to begin with `-o beginning` or `-o end`"));
        }
        Reset::Refuse => Start::Stored,
    };
    starts.extend(extent::starts(consumer, start, &new)?);
    Ok(starts)
}
