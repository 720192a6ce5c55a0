//! Events as JSON lines on stdout: one object a line, numbers unformatted, names as in the code.
//! Within one `schema` number fields are only ever added.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::error::Problem;
use crate::event::{
    Audited, Event, PartitionBook, Progress, Reasoned, Refused, Summary, TableProgress,
};
use crate::record::OffsetRange;
use crate::report::units::stamp;

pub(super) const SCHEMA: u32 = 1;

/// Events into lines; progress at its interval only.
pub struct Ticker {
    every: Duration,
    last: Instant,
}

impl Ticker {
    pub fn new(every: Duration) -> Self {
        Ticker { every, last: Instant::now() }
    }

    /// The line for an event, if it is one that is told.
    pub fn line(&mut self, event: &Event) -> Option<String> {
        let body = match event {
            Event::Started(started) => json!({
                "event": "start",
                "schema": SCHEMA,
                "name": started.name,
                "group": started.group,
                "topics": started.topics,
                "partitions": started.partitions,
                "tables": started.tables,
                "guarantee": started.guarantee_name,
            }),
            Event::Warning { text, hint } => {
                json!({ "event": "warning", "text": text, "hint": hint })
            }
            Event::Notice(text) | Event::Info(text) => json!({ "event": "info", "text": text }),
            Event::Step(text) => json!({ "event": "step", "text": text }),
            Event::Load(load) => json!({
                "event": "load",
                "table": load.table,
                "label": load.label,
                "rows": load.rows,
                "bytes": load.bytes,
                "filtered": load.filtered,
                "ranges": load.ranges.iter().map(range).collect::<Vec<_>>(),
            }),
            Event::Settled(audited) => {
                let Value::Object(mut fields) = self::audited(audited) else { return None };
                fields.shift_insert(0, "event".into(), "settled".into());
                Value::Object(fields)
            }
            Event::Refused(refused) => self::refused(refused),
            Event::Progress(progress) => {
                if !progress.asked && self.last.elapsed() < self.every {
                    return None;
                }
                self.last = Instant::now();
                self::progress(progress)
            }
            Event::Summary(summary) => self::summary(summary),
        };
        Some(stamped(body))
    }
}

fn refused(refused: &Refused) -> Value {
    json!({
        "event": if refused.is_set_aside { "set_aside" } else { "skipped" },
        "record": refused.place,
        "stage": refused.reason.stage,
        "reason": refused.reason.what,
        "cause": refused.reason.cause,
        "table": refused.reason.table,
        "excerpt": refused.excerpt,
    })
}

/// The `error` event.
pub fn problem(problem: &Problem) -> String {
    stamped(json!({
        "event": "error",
        "exit_code": problem.kind.exit_code(),
        "error": problem.what,
        "causes": problem.causes,
        "where": problem.at,
        "hints": problem.hints,
    }))
}

/// Where a run stands; also what the status file holds.
pub fn progress(progress: &Progress) -> Value {
    json!({
        "event": "progress",
        "tables": progress.tables.iter().map(table).collect::<Vec<_>>(),
        "elapsed_s": progress.elapsed.as_secs_f64(),
        "read": progress.read,
        "set_aside": progress.set_aside,
        "skipped": progress.skipped,
        "filtered": progress.filtered,
        "in_flight_loads": progress.in_flight_loads,
        "in_flight_bytes": progress.in_flight_bytes,
        "lag": progress.lag,
        "since_last_load_s": progress.since_last_load.map(|age| age.as_secs_f64()),
        "waiting_for": progress.waiting_for,
    })
}

/// The books; also what `--report` writes.
pub fn summary(summary: &Summary) -> Value {
    let is_stopped = !summary.stopped_by.is_empty();
    let reasons = if is_stopped { &summary.stopped_by } else { &summary.reasons };
    json!({
        "event": "summary",
        "complete": summary.complete,
        "interrupted": summary.interrupted,
        "left_pending": summary.left_pending,
        "settled": summary.settled.iter().map(range).collect::<Vec<_>>(),
        "dry_run": summary.dry_run,
        "done_before": summary.done_before,
        "guarantee": summary.guarantee_name,
        "tables": summary.tables.iter().map(table).collect::<Vec<_>>(),
        "elapsed_s": summary.elapsed.as_secs_f64(),
        "read": summary.read,
        "loaded": summary.loaded_records,
        "left_out": summary.left_out,
        "rows": summary.tables.iter().map(|table| table.rows).sum::<u64>(),
        "filtered_rows": summary.tables.iter().map(|table| table.filtered_rows).sum::<u64>(),
        "set_aside": summary.set_aside,
        "skipped": summary.skipped,
        "filtered": summary.filtered,
        "repeated": summary.repeated,
        "already_loaded": summary.already_loaded,
        "reasons": reasons.iter().map(reasoned).collect::<Vec<_>>(),
        "dead_letters": summary.dead_letters,
        "extra_loads": summary.extra_loads,
        "partitions": summary.partitions.iter().map(partition).collect::<Vec<_>>(),
        "committed": summary.committed.iter().map(range).collect::<Vec<_>>(),
        "labels": summary.audit.iter().map(audited).collect::<Vec<_>>(),
    })
}

fn table(table: &TableProgress) -> Value {
    json!({
        "table": table.table,
        "rows": table.rows,
        "bytes": table.bytes,
        "loads": table.loads,
        "filtered_rows": table.filtered_rows,
        "set_aside": table.set_aside,
        "skipped": table.skipped,
        "filtered": table.filtered,
        "offsets_done": table.done,
        "offsets_total": table.total,
        "busy_s": table.busy.as_secs_f64(),
    })
}

fn audited(audited: &Audited) -> Value {
    json!({
        "label": audited.label,
        "table": audited.table,
        "rows": audited.rows,
        "state": audited.state,
        "found_pending": audited.found_pending,
        "ranges": audited.ranges.iter().map(range).collect::<Vec<_>>(),
    })
}

fn reasoned(reason: &Reasoned) -> Value {
    json!({
        "stage": reason.stage,
        "reason": reason.what,
        "table": reason.table,
        "count": reason.count,
        "first": reason.first,
        "cause": reason.cause,
    })
}

fn partition(book: &PartitionBook) -> Value {
    json!({
        "topic": &*book.partition.topic,
        "partition": book.partition.number,
        "first": book.first.0,
        "next": book.next.0,
        "read": book.read,
        "loaded": book.loaded,
        "left_out": book.left_out,
        "set_aside": book.set_aside,
        "skipped": book.skipped,
        "filtered": book.filtered,
        "already_loaded": book.already_loaded,
        "gaps": book.gaps,
    })
}

fn range(range: &OffsetRange) -> Value {
    json!({
        "topic": &*range.partition.topic,
        "partition": range.partition.number,
        "first": range.first.0,
        "next": range.next.0,
    })
}

/// `event` first, then the time.
pub(super) fn stamped(body: Value) -> String {
    let Value::Object(fields) = body else { return body.to_string() };
    let mut out = serde_json::Map::new();
    for (name, value) in fields {
        let first = name == "event";
        out.insert(name, value);
        if first {
            out.insert("at".into(), Value::from(stamp(SystemTime::now())));
        }
    }
    Value::Object(out).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_line_names_its_event_and_its_time() {
        let line = Ticker::new(Duration::ZERO).line(&Event::Info("x".into())).unwrap();
        assert!(line.starts_with("{\"event\":\"info\",\"at\":\"20"), "{line}");
        let line = problem(&Problem::new(Kind::Unavailable, "w").hint("h"));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((value["exit_code"].as_u64(), value["error"].as_str()), (Some(5), Some("w")));
    }
}
