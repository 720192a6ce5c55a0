//! Records against columns: some records of each topic go through converters and transforms, and each
//! field is held against its column by the rules that rows are written by. Loads nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::cmd::check::kafka::{Found, ToRead};
use crate::cmd::check::registry;
use crate::cmd::check::side::Lines;
use crate::cmd::check::tables::Table;
use crate::cmd::with_raw;
use crate::config::job::{Body, ConverterChoice, Job, OnBadRecord};
use crate::convert::{Converter, SchemaSource};
use crate::data::options::Options;
use crate::data::{ConnectRecord, Datum, Value};
use crate::error::{Kind, Problem};
use crate::kafka::probe::timed;
use crate::kafka::sample::{self, Sampled, Take, Taken};
use crate::mapping::cell::Misfit;
use crate::mapping::maker::{Lookup, RawRecord, Refusal, RowMaker, Sources, Tables};
use crate::mapping::readable::Unread;
use crate::mapping::verdict::{self, Doubt, FieldLine, Verdict as Meets};
use crate::record::Offset;
use crate::registry::Registry;
use crate::report::units::counted;
use crate::verdict::{Area, Line, Verdict};

/// Reading the sample; a topic of a few records answers in milliseconds.
const READ_LIMIT: Duration = Duration::from_secs(15);
/// Names listed in one line.
const MOST_NAMED: usize = 8;
/// Reasons told of one column.
const MOST_REASONS: usize = 2;

/// A line a topic that cannot be read, and lines a table that its records do not fit.
/// `taken`: the records, where somebody has read them already.
pub(super) fn check<T>(
    job: &Job,
    kafka: &Found,
    wanted: u32,
    taken: Option<Result<Taken, Problem>>,
    tables: &[Table],
    lines: &Lines<T>,
) {
    let (sample, took) = timed(|| taken.or_else(|| take(kafka, wanted)));
    let sample = match sample {
        None => {
            return lines.tell(Line::skip(Area::Columns, "records", "`--sample 0` reads none"));
        }
        Some(Ok(sample)) => sample,
        Some(Err(problem)) => {
            return lines.tell(Line::problem(Area::Columns, "records", &problem).took(took));
        }
    };
    if let Some((partition, code)) = sample.refused.first() {
        let line = Line::wrong(
            Area::Columns,
            format!("topic {}", partition.topic),
            "its records cannot be read",
        );
        let line = line.cause(code.to_string()).hint("the user needs Read on the topic");
        return lines.tell(line.took(took));
    }
    if sample.cut_short {
        let text = format!("not all of them came within {} s", READ_LIMIT.as_secs());
        lines.tell(Line::warn(Area::Columns, "records", text).took(took));
    }
    if sample.records.is_empty() {
        let line = Line::skip(Area::Columns, "records", "the topics are empty: nothing to compare");
        return lines.tell(line.took(took));
    }
    match compare(job, &sample.records, tables) {
        Ok(compared) => compared.tell(job, lines),
        Err(problem) => lines.tell(Line::problem(Area::Columns, "records", &problem)),
    }
}

/// Which topics the sampled records of each topic become: transforms choose them. `None` where no record
/// says so.
pub(super) fn destinations(
    job: &Job,
    sample: &Taken,
) -> Option<BTreeMap<Arc<str>, BTreeSet<Arc<str>>>> {
    let mut maker =
        RowMaker::new(job, Arc::new(Known(HashMap::new())), &sources(job).ok()?).ok()?;
    let mut made: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for record in &sample.records {
        with_raw(record, |raw| {
            let Ok(Ok(records)) = maker.trace(raw, &mut |_, _| {}) else { return };
            let topics = made.entry(Arc::clone(&record.topic)).or_default();
            topics.extend(records.into_iter().map(|record| record.topic));
        });
    }
    (!made.is_empty()).then_some(made)
}

/// Reads `wanted` records of each topic; none where none are wanted or there.
pub(super) fn take(kafka: &Found, wanted: u32) -> Option<Result<Taken, Problem>> {
    let is_worth_it = wanted > 0 && !kafka.to_read.is_empty();
    is_worth_it.then(|| sample::take(&kafka.consumer, &takes(kafka, wanted), READ_LIMIT))
}

/// Of each topic so many: what a load would read first, else the newest there are.
fn takes(kafka: &Found, wanted: u32) -> Vec<Take> {
    let mut takes = vec![];
    for (topic, _) in &kafka.topics {
        let has_records =
            |p: &&ToRead| *p.bounds.partition.topic == **topic && p.bounds.high > p.bounds.low;
        let partitions: Vec<&ToRead> = kafka.to_read.iter().filter(has_records).collect();
        let most = u64::from(wanted).div_ceil(partitions.len().max(1) as u64);
        let take = |p: &&ToRead| {
            let newest = Offset(p.bounds.high.0.saturating_sub(most)).max(p.bounds.low);
            let is_new = p.from >= p.bounds.low && p.from < p.until;
            let from = if is_new { p.from } else { newest };
            Take { partition: p.bounds.partition.clone(), from, most, end: p.bounds.high }
        };
        takes.extend(partitions.iter().map(take));
    }
    takes
}

/// Tables as they were found; what was not asked for is asked nobody.
#[derive(Debug)]
struct Known(HashMap<String, Lookup>);

impl Tables for Known {
    fn find(&self, table: &str) -> Result<Lookup, Problem> {
        Ok(self.0.get(table).cloned().unwrap_or(Lookup::Hidden))
    }
}

/// What was seen, by table and by what is wrong.
#[derive(Default)]
struct Compared {
    way: String,
    /// Records that make no row on purpose.
    skipped: u64,
    refused: BTreeMap<String, Refused>,
    tables: BTreeMap<String, Seen>,
}

/// Records that a converter or transform does not take, for one reason.
struct Refused {
    refusal: Refusal,
    count: u64,
    first: String,
}

#[derive(Default)]
struct Seen {
    rows: u64,
    /// Of them lines of CSV, which StarRocks alone splits.
    unread: u64,
    topics: Vec<Arc<str>>,
    columns: usize,
    /// Members are found by path, so names say nothing.
    by_path: bool,
    /// Told to StarRocks by the `columns` header: others are left out on purpose.
    listed: bool,
    /// By column, with its type.
    misfits: BTreeMap<String, Misfits>,
    unfed: BTreeMap<String, &'static str>,
    no_column: BTreeMap<String, u64>,
    no_field: BTreeMap<String, u64>,
    doubtful: BTreeMap<(String, Doubt), Count>,
}

/// Rows for which one thing holds.
struct Count {
    rows: u64,
    /// The number of the last one: a row counts once, however often it is looked at.
    last: u64,
    /// Where the first stands.
    first: String,
}

/// What one column does not take.
struct Misfits {
    count: Count,
    sample: Option<String>,
    /// Each reason once, with the first value it was given for.
    reasons: Vec<Misfit>,
}

impl Count {
    fn new(first: &str) -> Count {
        Count { rows: 0, last: 0, first: first.to_owned() }
    }

    fn add(&mut self, row: u64) {
        self.rows += u64::from(self.last != row);
        self.last = row;
    }
}

fn compare(job: &Job, records: &[Sampled], tables: &[Table]) -> Result<Compared, Problem> {
    let known = tables.iter().filter_map(|table| {
        Some((table.name.table.clone(), Lookup::Known(Arc::new(table.shape.clone()?))))
    });
    let mut maker = RowMaker::new(job, Arc::new(Known(known.collect())), &sources(job)?)?;
    let mut text = text_reader(job)?;
    let mut compared = Compared { way: maker.way().to_string(), ..Compared::default() };
    for record in records {
        let place = format!("{}[{}]@{}", record.topic, record.partition, record.offset);
        with_raw(record, |raw| match maker.trace(raw, &mut |_, _| {}) {
            Err(refusal) => compared.refuse(*refusal, place),
            Ok(Err(_)) => compared.skipped += 1,
            Ok(Ok(made)) => {
                for one in &made {
                    compared.look(&mut maker, &mut text, raw, one, &place);
                }
            }
        });
    }
    Ok(compared)
}

/// Where converters get their schemas; a registry that is away is no reason to wait long.
fn sources(job: &Job) -> Result<Sources, Problem> {
    let source = |choice: &ConverterChoice| {
        let Some(settings) = &choice.registry else { return Ok(None) };
        let hurried = registry::hurried(settings);
        Registry::new(&hurried).map(|made| Some(Arc::new(made) as Arc<dyn SchemaSource>))
    };
    Ok(Sources { key: source(&job.records.key)?, value: source(&job.records.value)? })
}

/// Ready-made JSON text is read here to see its members; lines of CSV are not.
fn text_reader(job: &Job) -> Result<Option<Converter>, Problem> {
    if job.format.body != Body::Json {
        return Ok(None);
    }
    let options: Options = [("schemas.enable", "false")].into_iter().collect();
    let json = ConverterChoice::new("org.apache.kafka.connect.json.JsonConverter", options);
    json.compile("value.converter").map(Some)
}

impl Compared {
    fn refuse(&mut self, refusal: Refusal, first: String) {
        let reason = format!("{} {} {}", refusal.stage, refusal.what, refusal.safe_cause);
        let entry = self.refused.entry(reason).or_insert(Refused { refusal, count: 0, first });
        entry.count += 1;
    }

    fn look(
        &mut self,
        maker: &mut RowMaker,
        text: &mut Option<Converter>,
        raw: &RawRecord<'_>,
        record: &ConnectRecord<'_>,
        place: &str,
    ) {
        if record.value.datum.is_null() {
            self.skipped += 1;
            return;
        }
        let Ok(table) = maker.table_of(&record.topic) else { return };
        let name = maker.table_name(table).to_string();
        let copies = maker.way().copies();
        let writer = maker.writer(table);
        let seen = self.tables.entry(name).or_default();
        seen.rows += 1;
        seen.columns = writer.table().map_or(0, |table| table.columns.len());
        seen.by_path = writer.layout().by_path;
        seen.listed = writer.layout().listed.is_some();
        if !seen.topics.contains(raw.topic) {
            seen.topics.push(Arc::clone(raw.topic));
        }
        let is_row =
            matches!(record.value.datum, Datum::Map(_) | Datum::Struct(_) | Datum::Array(_));
        let is_text = matches!(record.value.datum, Datum::String(_) | Datum::Bytes(_));
        if !is_row && !is_text {
            let kind = record.value.datum.java_class();
            let why = format!("it is a {kind}, no object whose members could be columns");
            return seen.misfit("value", Misfit::of(why), None, place);
        }
        let lines = match (is_text, text, &record.value.datum) {
            (true, Some(json), _) => match json.convert(raw.value) {
                Ok(value) => verdict::lines(writer, &value, true),
                Err(failure) => {
                    let why = "it is not one JSON object".to_owned();
                    let misfit = Misfit { value: Some(failure.message), ..Misfit::of(why) };
                    return seen.misfit("value", misfit, None, place);
                }
            },
            (true, None, _) => {
                seen.unread += 1;
                vec![]
            }
            (false, _, Datum::Array(items)) => {
                let of = record.value.schema.as_ref().and_then(|schema| schema.items.clone());
                let each = items.iter().flat_map(|item| {
                    let value = Value { schema: of.clone(), datum: item.clone() };
                    verdict::lines(writer, &value, copies)
                });
                each.collect()
            }
            (false, _, _) => verdict::lines(writer, &record.value, copies),
        };
        lines.iter().for_each(|line| seen.add(line, place));
    }

    fn tell<T>(self, job: &Job, lines: &Lines<T>) {
        let total: u64 = self.tables.values().map(|seen| seen.rows).sum::<u64>()
            + self.skipped
            + self.refused.values().map(|refused| refused.count).sum::<u64>();
        for refused in self.refused.values() {
            lines.tell(refused.line(job, total));
        }
        for (table, seen) in &self.tables {
            seen.tell(&format!("{}.{table}", job.target.database), &self.way, job, lines);
        }
    }
}

impl Refused {
    fn line(&self, job: &Job, total: u64) -> Line {
        let refusal = &self.refusal;
        let cause = if job.redact_values { &refusal.safe_cause } else { &refusal.cause };
        let text = format!("{} of {total} records: {}", self.count, refusal.what);
        let line = bad(job, refusal.stage.to_string(), text).at(self.first.clone());
        let line = if cause.is_empty() { line } else { line.cause(cause.clone()) };
        line.hint(
            "check the converter and its options, or set such records aside with `--on-error dlq`",
        )
    }
}

/// A record that would stop a load, or would be skipped or set aside.
fn bad(job: &Job, subject: impl Into<String>, text: impl Into<String>) -> Line {
    let verdict = match job.errors.on_bad_record {
        OnBadRecord::Stop => Verdict::Fail(Kind::BadRecord),
        OnBadRecord::Skip | OnBadRecord::SetAside(_) => Verdict::Warn,
    };
    Line::new(Area::Columns, subject, verdict, text)
}

impl Seen {
    fn add(&mut self, line: &FieldLine, place: &str) {
        let column = line.column.as_ref();
        let name = column.map(|column| column.name.clone()).or_else(|| line.field.clone());
        let name = name.unwrap_or_default();
        match &line.verdict {
            Meets::Fits | Meets::MadeByServer | Meets::Operation | Meets::Unknown => {}
            Meets::Misfit(misfit) => {
                let kind = column.map(|column| format!("{} {}", column.name, column.text));
                self.misfit(&kind.unwrap_or(name), misfit.clone(), line.sample.clone(), place);
            }
            // The default of a column does not stand in for a member that is not there.
            Meets::NoFieldRefused => {
                self.unfed.insert(name, "no field feeds it, and it takes no NULL");
            }
            Meets::Doubtful(Doubt::Unfed) => {
                self.unfed.insert(name, "no field feeds it: NULL, which it does not take");
            }
            Meets::Doubtful(doubt) => {
                let count = self.doubtful.entry((name, *doubt));
                count.or_insert_with(|| Count::new(place)).add(self.rows);
            }
            Meets::NoColumn => *self.no_column.entry(name).or_default() += 1,
            Meets::NoField => *self.no_field.entry(name).or_default() += 1,
        }
    }

    fn misfit(&mut self, column: &str, misfit: Misfit, sample: Option<String>, place: &str) {
        let first = || Misfits { count: Count::new(place), sample, reasons: vec![] };
        let entry = self.misfits.entry(column.to_owned()).or_insert_with(first);
        entry.count.add(self.rows);
        if !entry.reasons.iter().any(|known| known.why == misfit.why) {
            entry.reasons.push(misfit);
        }
    }

    fn tell<T>(&self, table: &str, way: &str, job: &Job, lines: &Lines<T>) {
        let subject = format!("columns of {table}");
        for (column, misfits) in &self.misfits {
            let line = bad(job, &subject, misfits.text(column, self.rows, job.redact_values));
            let causes = misfits.causes(job.redact_values).into_iter();
            lines.tell(causes.fold(line, Line::cause).at(misfits.count.first.clone()).hint(
                "change the column's type, or the value by a transform; `--on-error dlq` sets such records aside",
            ));
        }
        let renamed = self.renamed();
        if let Some(line) = other_letters(&subject, &renamed) {
            lines.tell(line);
        }
        let is_renamed = |column: &str| renamed.iter().any(|(_, known)| *known == column);
        for (column, why) in self.unfed.iter().filter(|(column, _)| !is_renamed(column)) {
            let text = format!("column `{column}`: {why}");
            lines.tell(Line::wrong(Area::Columns, &subject, text).hint(
                "make it NULL, or give it a value: `InsertField$Value`, or an expression in `sink.properties.columns`",
            ));
        }
        if self.by_path {
            let text = "members are found by `jsonpaths` or `json_root`: names are not compared";
            return lines.tell(Line::skip(Area::Columns, subject, text));
        }
        for ((column, doubt), count) in &self.doubtful {
            let text =
                format!("{} of {} records: column `{column}`: {doubt}", count.rows, self.rows);
            let line = Line::warn(Area::Columns, &subject, text);
            lines.tell(line.at(count.first.clone()).hint(mended(*doubt)));
        }
        self.tell_names(&subject, &renamed, lines);
        if self.unread > 0 {
            let text = format!(
                "{} of {} are CSV, which StarRocks splits: not compared",
                counted(self.unread, "row"),
                self.rows
            );
            let line = Line::skip(Area::Columns, subject, text);
            return lines.tell(line.hint("`starsink map` shows the fields of each line"));
        }
        let is_well = self.misfits.is_empty() && self.unfed.is_empty() && renamed.is_empty();
        // A value that becomes NULL fits nothing.
        if is_well && self.doubtful.is_empty() {
            let topics: Vec<&str> = self.topics.iter().map(|topic| &**topic).collect();
            let records = counted(self.rows, "record");
            let text = match self.rows {
                1 => {
                    format!("{records} of {} fits its {} columns", topics.join(", "), self.columns)
                }
                _ => format!("{records} of {} fit its {} columns", topics.join(", "), self.columns),
            };
            lines.tell(Line::ok(Area::Columns, subject, text).details(vec![way.to_owned()]));
        }
    }

    /// Fields that no column takes, with the column that has their name in other letters.
    fn renamed(&self) -> Vec<(&str, &str)> {
        let columns = || self.no_field.keys().chain(self.unfed.keys());
        let pair = |field: &'_ String| {
            let mut columns = columns();
            let column = columns.find(|column| column.eq_ignore_ascii_case(field))?;
            Some(column.as_str())
        };
        let fields = self.no_column.keys();
        fields.filter_map(|field| Some((field.as_str(), pair(field)?))).collect()
    }

    /// Fields nobody takes, columns nobody feeds.
    fn tell_names<T>(&self, subject: &str, renamed: &[(&str, &str)], lines: &Lines<T>) {
        let is_extra = |name: &&String| !renamed.iter().any(|(field, _)| field == name);
        let extra: Vec<&String> = self.no_column.keys().filter(is_extra).collect();
        if !extra.is_empty() {
            let text = format!("no column takes {}", listed(extra.into_iter()));
            let is_envelope =
                ["op", "after", "source"].iter().all(|f| self.no_column.contains_key(*f));
            let line = Line::warn(Area::Columns, subject, text);
            lines.tell(if is_envelope {
                line.hint("these are Debezium's envelopes: `transforms=unwrap` with \
                    `transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState` gives rows")
            } else {
                line.hint("`starsink map --ddl` prints the ALTER TABLE that adds them; `ReplaceField$Value` leaves them out")
            });
        }
        // Only what no record has: a field that is missing now and then is a NULL as any other.
        let never: Vec<&String> = self
            .no_field
            .iter()
            .filter(|(_, count)| **count >= self.rows)
            .map(|(name, _)| name)
            .filter(|name| !renamed.iter().any(|(_, column)| column == name))
            .collect();
        if !never.is_empty() && !self.listed {
            let text =
                format!("no record has {}: NULL, whatever the default", listed(never.into_iter()));
            lines.tell(
                Line::warn(Area::Columns, subject, text)
                    .hint("`starsink map` shows which field feeds which column"),
            );
        }
    }
}

impl Misfits {
    fn text(&self, column: &str, rows: u64, redact: bool) -> String {
        let sample = self.sample.as_ref().filter(|_| !redact);
        let value = sample.map(|sample| format!(", such as {sample}")).unwrap_or_default();
        format!("{} of {rows} records do not fit `{column}`{value}", self.count.rows)
    }

    /// The first reasons, and how many there are besides.
    fn causes(&self, redact: bool) -> Vec<String> {
        let told = |misfit: &Misfit| if redact { misfit.why.clone() } else { misfit.to_string() };
        let mut causes: Vec<String> = self.reasons.iter().take(MOST_REASONS).map(told).collect();
        match self.reasons.len().saturating_sub(MOST_REASONS) {
            0 => {}
            1 => causes.push("and one reason more".to_owned()),
            more => causes.push(format!("and {more} reasons more")),
        }
        causes
    }
}

/// Names of fields are compared letter by letter: one in other letters feeds nothing.
fn other_letters(subject: &str, pairs: &[(&str, &str)]) -> Option<Line> {
    let (field, column) = pairs.first()?;
    let others = match pairs.len() - 1 {
        0 => String::new(),
        1 => ", and another one".to_owned(),
        more => format!(", and {more} others"),
    };
    let text = format!(
        "field `{field}` differs from column `{column}` in upper and lower case{others}: \
         StarRocks reads NULL"
    );
    let renames: Vec<String> =
        pairs.iter().map(|(field, column)| format!("{field}:{column}")).collect();
    let hint = format!("`ReplaceField$Value` with `renames={}` mends it", renames.join(","));
    Some(Line::wrong(Area::Columns, subject, text).hint(hint))
}

/// What helps against a value that becomes another one.
fn mended(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Unfed => "give it a value: `InsertField$Value`",
        Doubt::Unread(Unread::NoNumber) => {
            "send a number, or make the column VARCHAR; `sink.properties.strict_mode=true` refuses such rows"
        }
        Doubt::Unread(
            Unread::Offset
            | Unread::NoDay
            | Unread::NoClock
            | Unread::NoYear
            | Unread::NoTruth
            | Unread::NoList
            | Unread::NoObject,
        ) => "mend it at its source; `sink.properties.strict_mode=true` refuses such rows",
        Doubt::Unread(Unread::NoDate) => {
            "`TimestampConverter$Value` reads other forms; `sink.properties.strict_mode=true` refuses such rows"
        }
        Doubt::Unread(Unread::EpochNumber) => {
            "`TimestampConverter$Value` makes it a time; `sink.properties.strict_mode=true` refuses such rows"
        }
        Doubt::Unread(Unread::Finer(_)) => "a DECIMAL column with a greater scale keeps them all",
        Doubt::TimeOfDay => "a DATETIME column keeps it",
        Doubt::Nanoseconds => "a BIGINT column keeps them all, as a number",
        Doubt::NotFinite => "make it null at its source, or send it to a VARCHAR column",
        Doubt::Base64 => {
            "expect base64 in the column, or decode it by an expression in `sink.properties.columns`"
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match all.len() {
        count if count <= MOST_NAMED => all.join(", "),
        count => format!("{} and {} more", all[..MOST_NAMED].join(", "), count - MOST_NAMED),
    }
}
