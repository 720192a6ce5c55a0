//! TimezoneConverter: times of a change event's rows shifted to, or shown in, another zone.
//!
//! A zoneless timestamp is read as local time of the zone and becomes that instant; a zoned one
//! keeps its instant and shows the zone's offset. Zoned times of day are shown in a fixed offset
//! only: a geographic zone has no offset without a date, so they stay as they are.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::{Shape, shape};
use crate::data::options::Options;
use crate::data::time::Civil;
use crate::data::{ConnectRecord, Datum, Exception, Failure, Logical, Schema};
use crate::transform::{Step, Transform};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    All,
    Include,
    Exclude,
}

/// Fields per name of a topic or table; an empty set means all.
type Fields = HashMap<String, HashSet<String>>;

#[derive(Debug)]
pub struct TimezoneConverter {
    zone: TimeZone,
    /// Set when the zone is an offset by itself.
    fixed: Option<Offset>,
    mode: Mode,
    topics: Fields,
    tables: Fields,
    /// Names without a prefix: a topic, else a table.
    either: Fields,
}

impl TimezoneConverter {
    pub fn build(options: &Options) -> Result<Self, Failure> {
        let invalid = |why: String| Failure::new(Exception::Connect, why);
        let name = options.required_text("converted.timezone")?;
        let fixed = fixed_offset(name);
        let zone = match fixed {
            Some(offset) => offset.to_time_zone(),
            None => TimeZone::get(name).map_err(|_| {
                invalid(format!(
                    "Invalid timezone format: `{name}` is neither a zone like America/Los_Angeles \
                     nor an offset like +08:00"
                ))
            })?,
        };
        let (include, exclude) = (options.list("include.list"), options.list("exclude.list"));
        if !include.is_empty() && !exclude.is_empty() {
            return Err(invalid(
                "Both include and exclude lists are specified. Please specify only one.".into(),
            ));
        }
        let (mode, rules) = match (include.is_empty(), exclude.is_empty()) {
            (true, true) => (Mode::All, include),
            (false, _) => (Mode::Include, include),
            (true, false) => (Mode::Exclude, exclude),
        };
        let mut converter = TimezoneConverter {
            zone,
            fixed,
            mode,
            topics: Fields::new(),
            tables: Fields::new(),
            either: Fields::new(),
        };
        converter.add_rules(&rules)?;
        Ok(converter)
    }

    /// `source:table[:field]`, `topic:topic[:field]`, `name:field`. A prefix holds until the next.
    fn add_rules(&mut self, rules: &[String]) -> Result<(), Failure> {
        let mut kind = "";
        for rule in rules {
            let parts: Vec<&str> = rule.split(':').map(str::trim).collect();
            let (name, field) = match parts[..] {
                [prefix @ ("source" | "topic"), name] => {
                    kind = prefix;
                    (name, None)
                }
                [prefix @ ("source" | "topic"), name, field] => {
                    kind = prefix;
                    (name, Some(field))
                }
                [name, field] => (name, Some(field)),
                [name] if !name.is_empty() && !kind.is_empty() => (name, None),
                _ => {
                    return Err(Failure::new(
                        Exception::Connect,
                        format!(
                            "Invalid list format: `{rule}` is no rule like source:table:field, \
                             topic:name:field or name:field"
                        ),
                    ));
                }
            };
            let map = match kind {
                "topic" => &mut self.topics,
                "source" => &mut self.tables,
                _ => &mut self.either,
            };
            map.entry(name.to_string()).or_default().extend(field.map(str::to_string));
        }
        Ok(())
    }

    /// The rule's fields for this event, if a rule is for it.
    fn fields(&self, table: &str, topic: &str) -> Option<&HashSet<String>> {
        self.topics
            .get(topic)
            .or_else(|| self.tables.get(table))
            .or_else(|| self.either.get(topic))
            .or_else(|| self.either.get(table))
    }

    fn convert_row(
        &self,
        schema: &Schema,
        row: &mut [Datum<'_>],
        chosen: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        for (value, field) in row.iter_mut().zip(&schema.fields) {
            if !chosen(&field.name) {
                continue;
            }
            let refused = |why: String| Failure::data(format!("{why} (in field `{}`)", field.name));
            match (field.schema.logical(), &mut *value) {
                (Logical::Timestamp, Datum::Int64(count)) => {
                    *count = self.shifted(*count, 1_000).map_err(refused)?;
                }
                (Logical::Epoch { per_second }, Datum::Int64(count)) => {
                    *count = self.shifted(*count, per_second).map_err(refused)?;
                }
                (Logical::ZonedTimestamp, Datum::String(text)) => {
                    *text = Cow::Owned(self.shown(text).map_err(refused)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The instant at which the zone's clocks show this local time.
    fn shifted(&self, count: i64, per_second: i64) -> Result<i64, String> {
        let far = || format!("{count} is too far for a time zone");
        let civil = Civil::of_epoch(count, per_second);
        let clock = civil.nanos / 1_000_000_000;
        let local = i16::try_from(civil.year)
            .ok()
            .and_then(|year| {
                let (month, day) = (civil.month as i8, civil.day as i8);
                DateTime::new(year, month, day, 0, 0, 0, 0).ok()
            })
            .and_then(|midnight| midnight.checked_add(clock.seconds()).ok())
            .ok_or_else(far)?;
        let offset = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            // As Java: a time that is skipped or shown twice counts by the rule before.
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
        };
        count.checked_sub(i64::from(offset.seconds()) * per_second).ok_or_else(far)
    }

    /// The same instant as local time with the zone's offset.
    fn shown(&self, text: &str) -> Result<String, String> {
        let instant: Timestamp =
            text.parse().map_err(|_| format!("`{text}` is no timestamp with an offset"))?;
        let offset = self.fixed.unwrap_or_else(|| self.zone.to_offset(instant));
        let local = offset.to_datetime(instant);
        let seconds = offset.seconds();
        if seconds == 0 {
            return Ok(format!("{local}Z"));
        }
        let sign = if seconds < 0 { '-' } else { '+' };
        let (hours, minutes) = (seconds.abs() / 3_600, seconds.abs() / 60 % 60);
        Ok(match seconds.abs() % 60 {
            0 => format!("{local}{sign}{hours:02}:{minutes:02}"),
            rest => format!("{local}{sign}{hours:02}:{minutes:02}:{rest:02}"),
        })
    }
}

/// `+08:00`, `-03:30:15`
fn fixed_offset(text: &str) -> Option<Offset> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let part = |from: usize| text.get(from..from + 2)?.parse::<u8>().ok().map(i32::from);
    let shaped = matches!(text.len(), 6 | 9) && text.as_bytes()[3] == b':';
    let seconds = if text.len() == 9 { part(7)? } else { 0 };
    let total = (part(1)? * 60 + part(4)?) * 60 + seconds;
    shaped.then(|| Offset::from_seconds(sign * total).ok())?
}

impl Transform for TimezoneConverter {
    fn apply<'a>(&mut self, record: &mut ConnectRecord<'a>) -> Result<Step<'a>, Failure> {
        let (Shape::Typed, Some(schema)) = (shape(&record.value), record.value.schema.clone())
        else {
            return Ok(Step::Keep);
        };
        let Datum::Struct(values) = &mut record.value.datum else { return Ok(Step::Keep) };
        let table = schema.field_at("source").and_then(|at| {
            let Datum::Struct(source) = &values[at] else { return None };
            let table = schema.fields[at].schema.field_at("table")?;
            source[table].as_str().map(str::to_string)
        });
        let rule = self.fields(table.as_deref().unwrap_or_default(), &record.topic);
        let none = HashSet::new();
        // (fields named, whether they are those to convert)
        let (named, included) = match (self.mode, rule) {
            (Mode::All, _) | (Mode::Exclude, None) => (&none, false),
            (Mode::Include, None) => return Ok(Step::Keep),
            (Mode::Include, Some(fields)) => (fields, !fields.is_empty()),
            (Mode::Exclude, Some(fields)) if fields.is_empty() => return Ok(Step::Keep),
            (Mode::Exclude, Some(fields)) => (fields, false),
        };
        for part in ["before", "after", "source"] {
            let Some(at) = schema.field_at(part) else { continue };
            let Datum::Struct(row) = &mut values[at] else { continue };
            let is_named = |name: &str| {
                named.contains(&format!("{part}.{name}"))
                    || part != "source" && named.contains(name)
            };
            // The source's own times are converted only where a rule names one.
            let whole_part =
                part != "source" || named.iter().any(|name| name.starts_with("source."));
            if whole_part {
                let chosen = |name: &str| is_named(name) == included;
                self.convert_row(&schema.fields[at].schema, row, chosen)?;
            }
        }
        Ok(Step::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converter(zone: &str) -> TimezoneConverter {
        let options = [("converted.timezone", zone)].into_iter().collect();
        TimezoneConverter::build(&options).expect("a zone")
    }

    #[test]
    fn zoneless_times_are_local_times_of_the_zone() {
        let eight = 8 * 3_600;
        assert_eq!(
            converter("+08:00").shifted(1_700_000_000_123, 1_000),
            Ok(1_700_000_000_123 - eight * 1_000)
        );
        let berlin = converter("Europe/Berlin");
        assert_eq!(berlin.shifted(1_700_000_000, 1), Ok(1_700_000_000 - 3_600));
        assert_eq!(
            berlin.shifted(1_690_000_000_000_000, 1_000_000),
            Ok((1_690_000_000 - 7_200) * 1_000_000)
        );
        assert_eq!(berlin.shifted(-1, 1), Ok(-3_601));
    }

    #[test]
    fn zoned_times_keep_their_instant() {
        let berlin = converter("Europe/Berlin");
        assert_eq!(
            berlin.shown("2024-01-31T12:00:00.5Z"),
            Ok("2024-01-31T13:00:00.5+01:00".into())
        );
        assert_eq!(berlin.shown("2024-07-31T12:00:00Z"), Ok("2024-07-31T14:00:00+02:00".into()));
        assert_eq!(
            converter("+00:00").shown("2024-07-31T14:00:00+02:00"),
            Ok("2024-07-31T12:00:00Z".into())
        );
        assert!(berlin.shown("yesterday").is_err());
    }

    #[test]
    fn zones_and_lists_are_checked() {
        let build = |pairs: &[(&str, &str)]| {
            TimezoneConverter::build(&pairs.iter().copied().collect()).is_ok()
        };
        let zone = ("converted.timezone", "Asia/Tokyo");
        assert!(build(&[zone, ("include.list", "source:clients:at,orders:at")]));
        assert!(!build(&[("converted.timezone", "Mars/Olympus")]));
        assert!(!build(&[zone, ("include.list", "a:b"), ("exclude.list", "a:b")]));
        assert!(!build(&[zone, ("include.list", "clients")]));
        assert!(!build(&[]));
    }
}
