//! A Kafka record in, its rows out: converters, transforms, route, columns. Pure but for the two
//! things it is handed: what StarRocks says of tables, and the bytes of the record.
//!
//! One [`RowMaker`] per lane. It keeps what it learned of schemas and reuses its memory; a record's
//! rows live until the next one is made. Two ways lead to a row: values that no step looks into are
//! checked and copied, all others are converted. [`RowMaker::way`] says which, and why.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::config::job::{
    Body, Format, Job, NewFields, Records, Routes, TableHeaders, Tombstones, ValueKind,
};
use crate::convert::{self, Converter, Payload, SchemaSource, Side};
use crate::data::{ConnectRecord, Datum, Exception, Failure, Header, Value};
use crate::encode::csv::Lines;
use crate::encode::json::{self, Found, NotJson, Scratch, What};
use crate::error::{Kind, Problem};
use crate::mapping::columns::Table;
use crate::mapping::layout::Layout;
use crate::mapping::plan::{Copied, NewField, Op, RowWriter, Unfit};
use crate::mapping::route;
use crate::record::Offset;
use crate::transform::{Chain, Outcome, Reads, StageError, Why};

/// A record as Kafka gave it.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'r> {
    pub topic: &'r Arc<str>,
    pub partition: u32,
    pub offset: Offset,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Option<&'r [u8]>,
    /// `None`: a tombstone.
    pub value: Option<&'r [u8]>,
    /// Needed only where [`RowMaker::reads_headers`].
    pub headers: &'r [(&'r str, Option<&'r [u8]>)],
}

/// What is known of a table.
#[derive(Debug, Clone)]
pub enum Lookup {
    Known(Arc<Table>),
    /// It may exist: the server does not show it.
    Hidden,
    /// Server text.
    Missing(String),
}

/// Where tables are looked up, once for each a maker meets.
pub trait Tables: Send + Sync + fmt::Debug {
    /// The problem: nobody could be asked.
    fn find(&self, table: &str) -> Result<Lookup, Problem>;

    /// Whether anybody is asked at all.
    fn are_asked(&self) -> bool {
        true
    }

    /// The table as it is now, if it is no longer `known`. Asked when a record does not fit; an answer
    /// may be as old as a few seconds.
    fn changed(&self, _known: &Arc<Table>) -> Option<Arc<Table>> {
        None
    }
}

/// Tables of which nothing is known, for work without StarRocks.
#[derive(Debug)]
pub struct NoTables;

impl Tables for NoTables {
    fn find(&self, _: &str) -> Result<Lookup, Problem> {
        Ok(Lookup::Hidden)
    }

    fn are_asked(&self) -> bool {
        false
    }
}

/// Where the schemas of keys and values come from, for converters that need any.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub key: Option<Arc<dyn SchemaSource>>,
    pub value: Option<Arc<dyn SchemaSource>>,
}

/// What became of a record: just one of these.
#[derive(Debug)]
pub enum Fate<'m> {
    /// At least one row.
    Rows(Rows<'m>),
    /// No row, as the configuration asks.
    Skipped(Skip),
    /// It cannot become a row.
    Refused(Box<Refusal>),
    /// Nothing is wrong with the record: something it needs cannot be reached.
    Failed(Problem),
}

/// Why a record is no row although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// A null value.
    Tombstone,
    /// A transform dropped it.
    Dropped(Why),
    /// An array without elements.
    NoElements,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::Tombstone => f.write_str("tombstone"),
            Skip::Dropped(why) => why.fmt(f),
            Skip::NoElements => f.write_str("empty array"),
        }
    }
}

/// The step that refused a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    Transformation,
    /// Topic to table.
    Routing,
    /// Value to the table's columns.
    Mapping,
}

impl Stage {
    /// Connect's name of the stage, as dead letters carry it; a sink's own work is TASK_PUT.
    pub fn connect_name(self) -> &'static str {
        match self {
            Stage::KeyConverter => "KEY_CONVERTER",
            Stage::ValueConverter => "VALUE_CONVERTER",
            Stage::HeaderConverter => "HEADER_CONVERTER",
            Stage::Transformation => "TRANSFORMATION",
            Stage::Routing | Stage::Mapping => "TASK_PUT",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::KeyConverter => "key converter",
            Stage::ValueConverter => "value converter",
            Stage::HeaderConverter => "header converter",
            Stage::Transformation => "transform",
            Stage::Routing => "routing",
            Stage::Mapping => "mapping to columns",
        })
    }
}

/// Why a record cannot become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub stage: Stage,
    /// The Java class Connect would name.
    pub class: String,
    /// The exception Connect would have thrown.
    pub exception: Exception,
    /// What could not be done, without any value of the record.
    pub what: String,
    /// Why; may hold values of the record.
    pub cause: String,
    /// Why, without values.
    pub safe_cause: String,
    pub table: Option<Arc<str>>,
    pub column: Option<String>,
}

/// Connect's class for what a sink itself does.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

/// The rows of one record, in order.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'m> {
    value: &'m [u8],
    scratch: &'m [u8],
    marks: &'m [Mark],
    slots: &'m [Slot],
}

/// One row: JSON without what joins it to others, CSV with its delimiter.
#[derive(Debug, Clone, Copy)]
pub struct Row<'m> {
    /// The maker's number of the table, see [`RowMaker::table_name`].
    pub table: usize,
    pub op: Op,
    pub bytes: &'m [u8],
    /// Ready-made CSV lines may be several.
    pub rows: u64,
}

#[derive(Debug, Clone)]
struct Mark {
    table: usize,
    op: Op,
    rows: u64,
    /// Of the record's own value, else of the scratch memory.
    of_value: bool,
    range: Range<usize>,
}

impl<'m> Rows<'m> {
    pub fn iter(&self) -> impl Iterator<Item = Row<'m>> + use<'m> {
        let (value, scratch) = (self.value, self.scratch);
        self.marks.iter().map(move |mark| {
            let whole = if mark.of_value { value } else { scratch };
            let bytes = &whole[mark.range.clone()];
            Row { table: mark.table, op: mark.op, bytes, rows: mark.rows }
        })
    }

    /// The name of a row's table.
    pub fn table_name(&self, table: usize) -> &'m Arc<str> {
        &self.slots[table].name
    }

    pub fn len(&self) -> usize {
        self.marks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

/// How values become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Checked to be one JSON object (or an array of them) and copied.
    CopyJson,
    /// Ready-made CSV lines, counted and copied.
    CopyLines,
    Convert(Reason),
}

/// Why values are converted and not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The values bring their schemas.
    Schemas,
    /// The converter's values are neither JSON nor text.
    Converter(String),
    /// A transform looks into values: alias and class of the first that does.
    Transform { alias: String, class: String },
    /// CSV rows are made of the values' members.
    Csv,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::CopyJson => f.write_str("values are checked and copied, byte for byte"),
            Way::CopyLines => f.write_str("values are copied as lines"),
            Way::Convert(reason) => write!(f, "values are converted, because {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Schemas => f.write_str("each brings its schema (`schemas.enable`)"),
            Reason::Converter(class) => write!(f, "`{class}` does not give JSON text"),
            Reason::Transform { alias, class } => {
                write!(f, "transform `{alias}` ({class}) looks into them")
            }
            Reason::Csv => f.write_str("their members become CSV columns"),
        }
    }
}

impl Way {
    /// Whether rows are the records' own bytes.
    pub fn copies(&self) -> bool {
        matches!(self, Way::CopyJson | Way::CopyLines)
    }

    /// The way of a configuration's values.
    pub fn of(records: &Records, body: &Body, chain: &Chain) -> Way {
        if let Some((alias, class)) = chain.first_reader_of_values() {
            return Way::Convert(Reason::Transform { alias: alias.into(), class: class.into() });
        }
        match (records.value.kind(), body) {
            (ValueKind::Text, Body::Json) | (ValueKind::PlainJson, Body::Json) => Way::CopyJson,
            (ValueKind::Text, Body::Csv { .. }) => Way::CopyLines,
            (ValueKind::PlainJson, Body::Csv { .. }) => Way::Convert(Reason::Csv),
            (ValueKind::Schemas, _) => Way::Convert(Reason::Schemas),
            (ValueKind::Other, _) => Way::Convert(Reason::Converter(records.value.class.clone())),
        }
    }
}

/// Makes rows of records, for one lane.
#[derive(Debug)]
pub struct RowMaker {
    way: Way,
    format: Format,
    routes: Routes,
    target: TableHeaders,
    database: String,
    tombstones: Tombstones,
    new_fields: NewFields,
    /// Debezium's unwrap is in the chain: a null it leaves is a delete event.
    unwraps: bool,
    reads: Reads,
    key: Converter,
    value: Converter,
    header: Converter,
    chain: Chain,
    lines: Option<Lines>,
    tables: Arc<dyn Tables>,
    slots: Vec<Slot>,
    by_topic: HashMap<Arc<str>, usize>,
    last_topic: Option<(Arc<str>, usize)>,
    out: Out,
}

/// A table that rows went to.
#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    writer: RowWriter,
    /// It does not exist: StarRocks' words.
    missing: Option<String>,
}

impl Slot {
    /// Takes over what became of the table meanwhile; false if it is as it was.
    fn follow(&mut self, tables: &dyn Tables) -> bool {
        let changed = self.writer.table().and_then(|known| tables.changed(known));
        let Some(table) = changed else { return false };
        self.writer = self.writer.for_table(table);
        true
    }
}

/// Memory for one record's rows, used again.
#[derive(Debug, Default)]
struct Out {
    scratch: Vec<u8>,
    marks: Vec<Mark>,
    json: Scratch,
}

/// Why a record goes no further.
enum Halt {
    Refused(Box<Refusal>),
    Failed(Problem),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Halt {
        Halt::Refused(Box::new(refusal))
    }
}

type Step<T> = Result<T, Halt>;

impl RowMaker {
    /// The configuration was compiled once before, so this fails only where it would have then.
    pub fn new(job: &Job, tables: Arc<dyn Tables>, sources: &Sources) -> Result<RowMaker, Problem> {
        let records = &job.records;
        let chain = Chain::compile(&records.chain)?;
        let unwraps = chain.names().any(|(_, class)| class.ends_with("ExtractNewRecordState"));
        let reads = chain.reads();
        let mut value = records.value.compile("value.converter")?;
        value.leave_out_of_envelopes(chain.unused_in_envelopes());
        let mut key = records.key.compile("key.converter")?;
        if let Some(source) = &sources.value {
            value.attach(Side::Value, source);
        }
        if let Some(source) = &sources.key {
            key.attach(Side::Key, source);
        }
        let enclose = header(&job.target.headers, "enclose").and_then(|text| text.bytes().next());
        let lines = match &job.format.body {
            Body::Csv { row_delimiter } => Some(Lines::new(row_delimiter, enclose)),
            Body::Json => None,
        };
        Ok(RowMaker {
            way: Way::of(records, &job.format.body, &chain),
            format: job.format.clone(),
            routes: job.routes.clone(),
            target: job.target.table_headers(),
            database: job.target.database.clone(),
            tombstones: records.tombstones,
            new_fields: records.new_fields,
            unwraps,
            reads,
            key,
            value,
            header: records.header.compile("header.converter")?,
            chain,
            lines,
            tables,
            slots: vec![],
            by_topic: HashMap::new(),
            last_topic: None,
            out: Out::default(),
        })
    }

    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Whether records must be handed in with their headers.
    pub fn reads_headers(&self) -> bool {
        self.reads.headers || self.value.id_header().is_some() || self.key.id_header().is_some()
    }

    /// A table's name by the number that rows carry.
    pub fn table_name(&self, table: usize) -> &Arc<str> {
        &self.slots[table].name
    }

    /// What the table's rows are written by; for verdicts about its columns.
    pub fn writer(&mut self, table: usize) -> &mut RowWriter {
        &mut self.slots[table].writer
    }

    /// Fields that appeared since this was asked last and that no column has, by table.
    pub fn take_new_fields(&mut self) -> Vec<(Arc<str>, NewField)> {
        let of_slot = |slot: &mut Slot| {
            let news = slot.writer.take_new_fields();
            news.into_iter().map(|field| (Arc::clone(&slot.name), field)).collect::<Vec<_>>()
        };
        self.slots.iter_mut().flat_map(of_slot).collect()
    }

    /// Makes the rows of one record.
    pub fn make<'m>(&'m mut self, record: &RawRecord<'m>) -> Fate<'m> {
        self.out.clear();
        let made = match (&self.way, self.chain.is_empty()) {
            (Way::CopyJson | Way::CopyLines, true) => {
                self.slot(record.topic).and_then(|table| self.copy(record, table))
            }
            (Way::CopyJson | Way::CopyLines, false) => self.route_and_copy(record),
            (Way::Convert(_), _) => self.convert_and_write(record),
        };
        match made {
            Ok(None) => Fate::Rows(Rows {
                value: record.value.unwrap_or_default(),
                scratch: &self.out.scratch,
                marks: &self.out.marks,
                slots: &self.slots,
            }),
            Ok(Some(skip)) => Fate::Skipped(skip),
            Err(Halt::Refused(refusal)) => Fate::Refused(refusal),
            Err(Halt::Failed(problem)) => Fate::Failed(problem),
        }
    }

    /// Whether the transforms choose the topic.
    pub fn routes(&self) -> bool {
        self.chain.routes()
    }

    /// For people who want to see all of a record, also what no row will hold.
    pub fn whole_envelopes(mut self) -> RowMaker {
        self.value.leave_out_of_envelopes(&[]);
        self
    }

    /// Converts and transforms a record, whatever its way, and stops before the columns: for people
    /// who want to see. `watch` is called with the converted record and after each transform.
    pub fn trace<'r>(
        &mut self,
        record: &RawRecord<'r>,
        watch: &mut dyn FnMut(Traced<'_>, &ConnectRecord<'r>),
    ) -> Result<Result<Vec<ConnectRecord<'r>>, Skip>, Box<Refusal>> {
        let reads = self.reads;
        let traced = self.converted(record, reads).and_then(|mut converted| {
            // Shown where they can be read, although nothing else looks at them.
            if !reads.key {
                converted.key = self.converted_key(record).unwrap_or(Value::NULL);
            }
            watch(Traced::Converted, &converted);
            let mut seen = |alias: &str, class: &str, record: &ConnectRecord<'r>| {
                watch(Traced::After { alias, class }, record);
            };
            let outcome = self.chain.apply_watched(&mut converted, &mut seen);
            Ok(match outcome.map_err(refused_by_transform)? {
                Outcome::Keep => Ok(vec![converted]),
                Outcome::Many(records) => Ok(records),
                Outcome::Drop(why) => Err(Skip::Dropped(why)),
            })
        });
        traced.map_err(|halt| match halt {
            Halt::Refused(refusal) => refusal,
            Halt::Failed(problem) => {
                let failure = Failure::data(problem.what);
                Box::new(refused(Stage::ValueConverter, self.value.java_class(), failure))
            }
        })
    }

    /// The table of a topic, by number; looks it up when it is met for the first time.
    pub fn table_of(&mut self, topic: &Arc<str>) -> Result<usize, Fate<'static>> {
        self.slot(topic).map_err(|halt| match halt {
            Halt::Refused(refusal) => Fate::Refused(refusal),
            Halt::Failed(problem) => Fate::Failed(problem),
        })
    }

    // ---- routes ----

    #[inline]
    fn slot(&mut self, topic: &Arc<str>) -> Step<usize> {
        if let Some((last, table)) = &self.last_topic
            && (Arc::ptr_eq(last, topic) || last == topic)
        {
            return Ok(*table);
        }
        let table = match self.by_topic.get(topic) {
            Some(&table) => table,
            None => self.new_route(topic)?,
        };
        let slot = &self.slots[table];
        if let Some(words) = &slot.missing {
            let what = format!(
                "a record of topic `{topic}` goes to table `{}.{}`, which does not exist",
                self.database, slot.name
            );
            return Err(Refusal {
                stage: Stage::Routing,
                class: SINK_TASK.into(),
                exception: Exception::Connect,
                what,
                cause: words.clone(),
                safe_cause: words.clone(),
                table: Some(Arc::clone(&slot.name)),
                column: None,
            }
            .into());
        }
        self.last_topic = Some((Arc::clone(topic), table));
        Ok(table)
    }

    fn new_route(&mut self, topic: &Arc<str>) -> Step<usize> {
        let name = route::table(&self.routes, topic);
        let known = self.slots.iter().position(|slot| *slot.name == *name);
        let table = match known {
            Some(table) => table,
            None => {
                let (table, missing) = match self.tables.find(name).map_err(Halt::Failed)? {
                    Lookup::Known(table) => (Some(table), None),
                    Lookup::Hidden => (None, None),
                    Lookup::Missing(words) => (None, Some(words)),
                };
                let layout = Layout::of(&self.format.body, &self.target.of(name));
                let writer = RowWriter::new(name, layout, table, self.new_fields)
                    .offline(!self.tables.are_asked());
                self.slots.push(Slot { name: name.into(), writer, missing });
                self.slots.len() - 1
            }
        };
        self.by_topic.insert(Arc::clone(topic), table);
        Ok(table)
    }

    // ---- the way of copies ----

    #[inline]
    fn copy(&mut self, record: &RawRecord<'_>, table: usize) -> Step<Option<Skip>> {
        let Some(value) = record.value else { return self.null_value(record, None, table) };
        if let Some(lines) = &self.lines {
            if value.is_empty() {
                return Err(self.empty_line().into());
            }
            let start = self.out.scratch.len();
            let rows = lines.append(value, &mut self.out.scratch);
            if rows == 0 {
                return Ok(Some(Skip::NoElements));
            }
            self.out.mark_scratch(table, Op::Upsert, start, rows);
            return Ok(None);
        }
        match json::check(value, &mut self.out.json) {
            Ok(found) => self.copy_object(found, value, true, table).map(|()| None),
            Err(NotJson { what: What::Array, .. }) => self.copy_elements(value, table),
            Err(error) => Err(self.not_an_object(&error).into()),
        }
    }

    /// One object that was just checked, `text` and nothing else. `is_value`: the record's own value.
    #[inline]
    fn copy_object(
        &mut self,
        found: Found<'_>,
        text: &[u8],
        is_value: bool,
        table: usize,
    ) -> Step<()> {
        let slot = &self.slots[table];
        let (Found::Object(row) | Found::RepeatedMember(row)) = found;
        let copied = slot.writer.copied(row, self.out.json.says(text));
        let op = match copied.map_err(|unfit| unfit_refusal(&slot.name, unfit))? {
            Copied::AsItIs(op) => op,
            Copied::Anew(members) => {
                return self.write_value(&Value::schemaless(members), table);
            }
        };
        let start = self.out.scratch.len();
        match found {
            Found::Object(row) if is_value => {
                let start = row.as_ptr() as usize - text.as_ptr() as usize;
                let range = start..start + row.len();
                self.out.marks.push(Mark { table, op, rows: 1, of_value: true, range });
                return Ok(());
            }
            Found::Object(row) => self.out.scratch.extend_from_slice(row),
            Found::RepeatedMember(row) => json::deduplicate(row, &mut self.out.scratch),
        }
        self.out.mark_scratch(table, op, start, 1);
        Ok(())
    }

    /// An array of objects: each is a row.
    fn copy_elements(&mut self, value: &[u8], table: usize) -> Step<Option<Skip>> {
        let mut count = 0;
        let mut halt = Ok(());
        let walked = json::elements(value, |element| {
            count += 1;
            let found = json::check(element, &mut self.out.json)?;
            if halt.is_ok() {
                halt = self.copy_object(found, element, false, table);
            }
            Ok(())
        });
        halt?;
        match walked {
            Ok(()) if count == 0 => Ok(Some(Skip::NoElements)),
            Ok(()) => Ok(None),
            Err(error) => Err(self.not_an_object(&error).into()),
        }
    }

    fn not_an_object(&self, error: &NotJson) -> Refusal {
        let failure = Failure::data(error.to_string());
        let refusal = refused(Stage::ValueConverter, self.value.java_class(), failure);
        let cause = error.to_string();
        Refusal {
            what: "a record is not one JSON object".into(),
            safe_cause: cause.clone(),
            cause,
            ..refusal
        }
    }

    fn empty_line(&self) -> Refusal {
        let failure = Failure::data("the value is empty");
        let refusal = refused(Stage::ValueConverter, self.value.java_class(), failure);
        Refusal {
            what: "a record is empty, not a CSV row".into(),
            cause: String::new(),
            safe_cause: String::new(),
            ..refusal
        }
    }

    /// Transforms that look into no value: they see whether there is one, and say where it goes.
    fn route_and_copy(&mut self, record: &RawRecord<'_>) -> Step<Option<Skip>> {
        let placeholder = match record.value {
            Some(_) => Datum::Boolean(true),
            None => Datum::Null,
        };
        let mut routed = self.envelope(record, self.reads, Value::schemaless(placeholder))?;
        let records = match self.chain.apply(&mut routed).map_err(refused_by_transform)? {
            Outcome::Keep => vec![routed],
            Outcome::Drop(why) => return Ok(Some(Skip::Dropped(why))),
            Outcome::Many(records) => records,
        };
        let mut skip = Some(Skip::NoElements);
        for routed in &records {
            let table = self.slot(&routed.topic)?;
            skip = match record.value {
                Some(_) => self.copy(record, table)?,
                None => self.null_value(record, Some(routed), table)?,
            };
        }
        Ok(if self.out.marks.is_empty() { skip } else { None })
    }

    // ---- the way of values ----

    fn convert_and_write(&mut self, record: &RawRecord<'_>) -> Step<Option<Skip>> {
        let mut converted = self.converted(record, self.reads)?;
        match self.chain.apply(&mut converted).map_err(refused_by_transform)? {
            Outcome::Keep => self.write(record, &converted),
            Outcome::Drop(why) => Ok(Some(Skip::Dropped(why))),
            Outcome::Many(records) => {
                let mut skip = Some(Skip::NoElements);
                for converted in &records {
                    skip = self.write(record, converted)?;
                }
                Ok(if self.out.marks.is_empty() { skip } else { None })
            }
        }
    }

    /// The record as its converters see it: the value, and of key and headers what is read.
    fn converted<'r>(&mut self, record: &RawRecord<'r>, reads: Reads) -> Step<ConnectRecord<'r>> {
        let mut converted = self.envelope(record, reads, Value::NULL)?;
        let class = self.value.java_class();
        let payload = payload(record, self.value.id_header(), record.value);
        let value = self.value.convert_payload(payload);
        let value = value.map_err(|failure| halted(Stage::ValueConverter, class, failure))?;
        // Connect takes these for nulls; whoever sent them did it on purpose or by mistake.
        if record.value.is_some() && value.datum.is_null() && value.schema.is_none() {
            let failure = Failure::data(match record.value {
                Some(b"") => "the value is empty",
                _ => "the value is JSON null",
            });
            return Err(refused(Stage::ValueConverter, class, failure).into());
        }
        converted.value = value;
        Ok(converted)
    }

    fn envelope<'r>(
        &mut self,
        record: &RawRecord<'r>,
        reads: Reads,
        value: Value<'r>,
    ) -> Step<ConnectRecord<'r>> {
        let key = match reads.key {
            true => self.converted_key(record)?,
            false => Value::NULL,
        };
        let mut headers = vec![];
        if reads.headers {
            let class = self.header.java_class();
            for (name, bytes) in record.headers {
                let value = self.header.convert(*bytes);
                let value =
                    value.map_err(|failure| refused(Stage::HeaderConverter, class, failure))?;
                headers.push(Header { name: (*name).into(), value });
            }
        }
        Ok(ConnectRecord {
            topic: Arc::clone(record.topic),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            value,
            headers,
        })
    }

    fn converted_key<'r>(&mut self, record: &RawRecord<'r>) -> Step<Value<'r>> {
        let class = self.key.java_class();
        let key = self.key.convert_payload(payload(record, self.key.id_header(), record.key));
        key.map_err(|failure| halted(Stage::KeyConverter, class, failure))
    }

    fn write(&mut self, raw: &RawRecord<'_>, record: &ConnectRecord<'_>) -> Step<Option<Skip>> {
        let table = self.slot(&record.topic)?;
        match &record.value.datum {
            Datum::Null => self.null_value(raw, Some(record), table),
            Datum::Array(items) => {
                if items.is_empty() {
                    return Ok(Some(Skip::NoElements));
                }
                let of = record.value.schema.as_ref().and_then(|schema| schema.items.clone());
                for item in items {
                    // Rows are written from borrowed values: a struct's list of fields is copied,
                    // its text is not.
                    let value = Value { schema: of.clone(), datum: item.clone() };
                    self.write_value(&value, table)?;
                }
                Ok(None)
            }
            Datum::String(text) if self.takes_text() => self.write_text(text, table),
            _ => self.write_value(&record.value, table).map(|()| None),
        }
    }

    fn write_value(&mut self, value: &Value<'_>, table: usize) -> Step<()> {
        let start = self.out.scratch.len();
        let slot = &mut self.slots[table];
        let mut written = slot.writer.write(value, &mut self.out.scratch);
        if written.is_err() && slot.follow(&*self.tables) {
            written = slot.writer.write(value, &mut self.out.scratch);
        }
        match written {
            Ok(op) => {
                self.out.mark_scratch(table, op, start, 1);
                Ok(())
            }
            Err(unfit) => Err(unfit_refusal(&slot.name, unfit).into()),
        }
    }

    /// Text is a ready-made row for CSV, as the Java connector has it, and where the converter gives
    /// text to JSON loads.
    fn takes_text(&self) -> bool {
        self.lines.is_some() || matches!(self.value, Converter::Primitive(_))
    }

    fn write_text(&mut self, text: &str, table: usize) -> Step<Option<Skip>> {
        if let Some(lines) = &self.lines {
            let start = self.out.scratch.len();
            if text.is_empty() {
                return Err(self.empty_line().into());
            }
            let rows = lines.append(text.as_bytes(), &mut self.out.scratch);
            if rows == 0 {
                return Ok(Some(Skip::NoElements));
            }
            self.out.mark_scratch(table, Op::Upsert, start, rows);
            return Ok(None);
        }
        match json::check(text.as_bytes(), &mut self.out.json) {
            Ok(found) => self.copy_object(found, text.as_bytes(), false, table).map(|()| None),
            Err(error) => Err(self.not_an_object(&error).into()),
        }
    }

    // ---- deletes ----

    /// A null value: nothing, or the delete of the row that the key names.
    fn null_value(
        &mut self,
        raw: &RawRecord<'_>,
        record: Option<&ConnectRecord<'_>>,
        table: usize,
    ) -> Step<Option<Skip>> {
        let deletes = match self.tombstones {
            Tombstones::Delete => true,
            Tombstones::Skip => false,
            // A delete event that the unwrap turned into a null is a delete, whatever follows it.
            Tombstones::Unsaid => self.unwraps && raw.value.is_some(),
        };
        if !deletes {
            return Ok(Some(Skip::Tombstone));
        }
        let given = record.map(|record| &record.key).filter(|key| !key.datum.is_null());
        let own;
        let key = match given {
            Some(key) => key,
            None => {
                own = self.converted_key(raw)?;
                &own
            }
        };
        let start = self.out.scratch.len();
        let slot = &mut self.slots[table];
        let mut written = slot.writer.delete(key, &mut self.out.scratch);
        if written.is_err() && slot.follow(&*self.tables) {
            written = slot.writer.delete(key, &mut self.out.scratch);
        }
        match written {
            Ok(()) => {
                self.out.mark_scratch(table, Op::Delete, start, 1);
                Ok(None)
            }
            Err(unfit) => Err(unfit_refusal(&slot.name, unfit).into()),
        }
    }
}

/// What [`RowMaker::trace`] shows.
#[derive(Debug, Clone, Copy)]
pub enum Traced<'t> {
    Converted,
    After { alias: &'t str, class: &'t str },
}

impl Out {
    fn clear(&mut self) {
        self.scratch.clear();
        self.marks.clear();
    }

    fn mark_scratch(&mut self, table: usize, op: Op, start: usize, rows: u64) {
        let range = start..self.scratch.len();
        self.marks.push(Mark { table, op, rows, of_value: false, range });
    }
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn payload<'r>(
    record: &RawRecord<'r>,
    id_header: Option<&str>,
    bytes: Option<&'r [u8]>,
) -> Payload<'r, 'r> {
    let id_header = id_header.and_then(|name| {
        let named = record.headers.iter().rev().filter(|(known, _)| *known == name);
        named.filter_map(|(_, value)| *value).next()
    });
    Payload { topic: record.topic, id_header, bytes }
}

/// A converter's refusal: of the record, or of what it needs from elsewhere.
fn halted(stage: Stage, class: &str, failure: Failure) -> Halt {
    match convert::kind(&failure) {
        Kind::BadRecord | Kind::Defect => Halt::from(refused(stage, class, failure)),
        kind @ (Kind::Usage | Kind::Unavailable) => {
            let simple = class.rsplit('.').next().unwrap_or(class);
            let what = format!("{simple} cannot get a record's schema");
            Halt::Failed(Problem::new(kind, what).cause(failure.message))
        }
    }
}

fn refused(stage: Stage, class: &str, failure: Failure) -> Refusal {
    let side = match stage {
        Stage::KeyConverter => "key",
        Stage::HeaderConverter => "header",
        _ => "value",
    };
    let simple = class.rsplit('.').next().unwrap_or(class);
    Refusal {
        stage,
        class: class.to_owned(),
        exception: failure.exception,
        what: format!("{simple} cannot read a record's {side}"),
        cause: failure.message,
        safe_cause: failure.exception.java_class().to_owned(),
        table: None,
        column: None,
    }
}

fn refused_by_transform(error: StageError) -> Refusal {
    Refusal {
        stage: Stage::Transformation,
        what: format!("transform `{}` ({}) cannot take a record", error.alias, error.class),
        class: error.class,
        exception: error.failure.exception,
        cause: error.failure.message,
        safe_cause: error.failure.exception.java_class().to_owned(),
        table: None,
        column: None,
    }
}

fn unfit_refusal(table: &Arc<str>, unfit: Unfit) -> Refusal {
    Refusal {
        stage: Stage::Mapping,
        class: SINK_TASK.into(),
        exception: Exception::Data,
        what: format!("a record cannot become a row of table `{table}`"),
        cause: unfit.to_string(),
        safe_cause: unfit.what,
        table: Some(Arc::clone(table)),
        column: unfit.column,
    }
}
