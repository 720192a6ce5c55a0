//! What a configuration makes of some records: per topic the tables, per table the columns, for each
//! column the field that feeds it, a value, and a verdict. Pure; reads no topic and asks no server.

mod fields;
mod judge;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::config::job::{Body, Job, Routes, TableHeaders};
use crate::convert::JsonConverter;
use crate::data::json_text::Times;
use crate::data::options::Options;
use crate::data::{ConnectRecord, Datum, Value};
use crate::error::Problem;
use crate::mapping::columns::Column;
use crate::mapping::infer::Shape;
use crate::mapping::layout::{self, Layout};
use crate::mapping::maker::{
    Fate, Lookup, RawRecord, Refusal, RowMaker, Sources, Tables, Traced, Way,
};
use crate::mapping::plan::Op;
use crate::mapping::route;
use crate::mapping::verdict::Sent;
use fields::{FieldUse, Seeing};
use judge::Judge;

/// Everything that was seen.
#[derive(Debug)]
pub struct Survey {
    pub database: String,
    pub way: Way,
    /// By topic, in the order they were met.
    pub topics: Vec<TopicUse>,
    /// What became of each record, in order; of those whose steps are kept, or all if asked for.
    pub outcomes: Vec<(Place, Outcome)>,
    /// Records before and after each transform; empty unless asked for.
    pub steps: Vec<Step>,
}

/// `topic[partition]@offset`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub topic: Arc<str>,
    pub partition: u32,
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// One topic's records.
#[derive(Debug)]
pub struct TopicUse {
    pub topic: Arc<str>,
    pub records: u64,
    /// Why records became no rows, with counts.
    pub skipped: BTreeMap<String, u64>,
    pub refused: Vec<RefusedUse>,
    pub tables: Vec<TableUse>,
}

/// Records refused for the same reason.
#[derive(Debug)]
pub struct RefusedUse {
    pub refusal: Refusal,
    pub records: u64,
    pub first: Place,
}

/// One table that a topic's records go to.
#[derive(Debug)]
pub struct TableUse {
    pub name: String,
    pub lookup: Lookup,
    pub shape: Shape,
    pub rows: u64,
    pub deletes: u64,
    pub columns: Vec<ColumnUse>,
    fields: Vec<FieldUse>,
    /// Where each field stands, by name.
    field_places: HashMap<String, usize>,
    /// The same of the table's columns, where they are known.
    places: HashMap<String, usize>,
    headers: Said,
}

/// What the headers of a table's loads say of columns.
#[derive(Debug)]
struct Said {
    layout: Layout,
    /// The `columns` header's derived columns: name and expression.
    derived: Vec<(String, String)>,
    paths: Vec<String>,
}

impl Said {
    fn of(body: &Body, headers: &[(String, String)]) -> Said {
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let paths = header("jsonpaths").and_then(|text| serde_json::from_str(text).ok());
        Said {
            layout: Layout::of(body, headers),
            derived: header("columns").map(layout::derived_columns).unwrap_or_default(),
            paths: paths.unwrap_or_default(),
        }
    }
}

/// One column, or one field without a column.
#[derive(Debug)]
pub struct ColumnUse {
    /// `None`: the field has no column.
    pub column: Option<String>,
    /// The column's type; in brackets where it is only inferred.
    pub kind: String,
    /// The field, path or expression that feeds it, after the transforms.
    pub source: Option<String>,
    pub source_kind: String,
    pub sample: Option<String>,
    pub verdict: ColumnVerdict,
}

/// Whether a column gets what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnVerdict {
    /// Nobody said what columns there are.
    Unknown,
    Ok(String),
    /// It works, perhaps not as meant.
    Warn(String),
    /// Rows are refused, or lose a value.
    Fail(String),
}

impl ColumnVerdict {
    pub fn word(&self) -> &'static str {
        match self {
            ColumnVerdict::Unknown => "–",
            ColumnVerdict::Ok(_) => "ok",
            ColumnVerdict::Warn(_) => "warn",
            ColumnVerdict::Fail(_) => "FAIL",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            ColumnVerdict::Unknown => "",
            ColumnVerdict::Ok(why) | ColumnVerdict::Warn(why) | ColumnVerdict::Fail(why) => why,
        }
    }
}

impl fmt::Display for ColumnVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => f.write_str(self.word()),
            why => write!(f, "{}: {why}", self.word()),
        }
    }
}
/// What became of one record's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Row { table: String, op: Op, row: String },
    Skipped(String),
    Refused { stage: &'static str, class: String, error: String },
}

/// One record as one step left it.
#[derive(Debug)]
pub struct Step {
    pub place: Place,
    /// The alias in `transforms` and its class; `None`: as it was converted.
    pub after: Option<(String, String)>,
    pub topic: String,
    pub key: String,
    pub value: String,
    pub headers: Vec<(String, String)>,
}

/// What to keep beside the columns.
#[derive(Debug, Clone, Copy)]
pub struct Wants {
    pub outcomes: bool,
    /// Records per topic whose steps are kept.
    pub steps: u64,
    /// Keep no value of any record.
    pub redact: bool,
}

/// Looks at records one by one.
#[derive(Debug)]
pub struct Surveyor {
    maker: RowMaker,
    tables: Arc<dyn Tables>,
    routes: Routes,
    body: Body,
    headers: TableHeaders,
    /// Reads ready-made JSON text.
    plain: JsonConverter,
    wants: Wants,
    survey: Survey,
}

impl Surveyor {
    pub fn new(
        job: &Job,
        tables: Arc<dyn Tables>,
        sources: &Sources,
        wants: Wants,
    ) -> Result<Surveyor, Problem> {
        let maker = RowMaker::new(job, Arc::clone(&tables), sources)?.whole_envelopes();
        let options: Options = [("schemas.enable", "false")].into_iter().collect();
        let plain = JsonConverter::compile(&options).expect("these options are legal");
        Ok(Surveyor {
            survey: Survey {
                database: job.target.database.clone(),
                way: maker.way().clone(),
                topics: vec![],
                outcomes: vec![],
                steps: vec![],
            },
            maker,
            tables,
            routes: job.routes.clone(),
            body: job.format.body.clone(),
            headers: job.target.table_headers(),
            plain,
            wants,
        })
    }

    pub fn reads_headers(&self) -> bool {
        self.maker.reads_headers()
    }

    /// Names a topic although none of its records is looked at; its table too, unless a transform may
    /// choose another.
    pub fn name(&mut self, topic: &Arc<str>) -> Result<(), Problem> {
        let at = self.topic(topic);
        if self.maker.routes() {
            return Ok(());
        }
        self.table(at, topic).map(drop)
    }

    /// Looks at one record. The problem: something it needs cannot be reached.
    pub fn see(&mut self, record: &RawRecord<'_>) -> Result<(), Problem> {
        let at = self.topic(record.topic);
        self.survey.topics[at].records += 1;
        let place = Place {
            topic: Arc::clone(record.topic),
            partition: record.partition,
            offset: record.offset.0,
        };
        for made in self.trace(at, record, &place) {
            let table = self.table(at, &made.topic)?;
            self.look(at, table, &made);
        }
        self.fate(at, record, &place)
    }

    fn topic(&mut self, topic: &Arc<str>) -> usize {
        let topics = &mut self.survey.topics;
        topics.iter().position(|known| known.topic == *topic).unwrap_or_else(|| {
            topics.push(TopicUse {
                topic: Arc::clone(topic),
                records: 0,
                skipped: BTreeMap::new(),
                refused: vec![],
                tables: vec![],
            });
            topics.len() - 1
        })
    }

    fn table(&mut self, at: usize, topic: &str) -> Result<usize, Problem> {
        let name = route::table(&self.routes, topic);
        let tables = &mut self.survey.topics[at].tables;
        if let Some(known) = tables.iter().position(|table| table.name == name) {
            return Ok(known);
        }
        let lookup = self.tables.find(name)?;
        let columns = match &lookup {
            Lookup::Known(table) => table.columns.as_slice(),
            Lookup::Hidden | Lookup::Missing(_) => &[],
        };
        let place = |(at, column): (usize, &Column)| (column.name.clone(), at);
        let places = columns.iter().enumerate().map(place).collect();
        tables.push(TableUse {
            name: name.to_owned(),
            lookup,
            shape: Shape::default(),
            rows: 0,
            deletes: 0,
            columns: vec![],
            fields: vec![],
            field_places: HashMap::new(),
            places,
            headers: Said::of(&self.body, &self.headers.of(name)),
        });
        Ok(tables.len() - 1)
    }

    /// Converts and transforms; gives what goes on to the tables.
    fn trace<'r>(
        &mut self,
        at: usize,
        record: &RawRecord<'r>,
        place: &Place,
    ) -> Vec<ConnectRecord<'r>> {
        let keep = self.survey.topics[at].records <= self.wants.steps && !self.wants.redact;
        let mut steps = vec![];
        let mut watch = |traced: Traced<'_>, record: &ConnectRecord<'r>| {
            if keep {
                steps.push(step(place, traced, record));
            }
        };
        let traced = self.maker.trace(record, &mut watch);
        self.survey.steps.extend(steps);
        traced.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Takes the fields of one transformed record into account.
    fn look(&mut self, at: usize, table: usize, made: &ConnectRecord<'_>) {
        let text = match &made.value.datum {
            Datum::String(text) => Some(text.as_bytes()),
            Datum::Bytes(bytes) => Some(bytes.as_ref()),
            _ => None,
        };
        let parsed;
        let value = match (text, &self.body) {
            (None, _) => &made.value,
            (Some(text), Body::Json) => match self.plain.convert(Some(text)) {
                Ok(value) => {
                    parsed = value;
                    &parsed
                }
                Err(_) => return,
            },
            (Some(text), Body::Csv { row_delimiter }) => {
                parsed = self.csv_value(at, table, text, row_delimiter);
                &parsed
            }
        };
        let key = self.plain_key(&made.key);
        let copied = text.is_some() || self.survey.way.copies();
        let table = &mut self.survey.topics[at].tables[table];
        let sent = Sent::of(&table.headers.layout, copied);
        let seeing = Seeing { sent, redact: self.wants.redact };
        table.shape.see(value);
        table.shape.see_key(key.as_ref().unwrap_or(&made.key));
        table.see(value, seeing);
        if let Datum::Map(_) | Datum::Struct(_) = value.datum {
            for path in table.headers.paths.clone() {
                let (schema, datum) = fields::at_path(&path, value);
                table.field(&path, schema, datum, false, seeing);
            }
        }
    }

    /// A key that no step needed is bytes still: JSON of it has names, also beside its schema.
    fn plain_key<'k>(&mut self, key: &'k Value<'_>) -> Option<Value<'k>> {
        let text = match &key.datum {
            Datum::String(text) => text.as_bytes(),
            Datum::Bytes(bytes) => bytes,
            _ => return None,
        };
        let key = self.plain.convert(Some(text)).ok()?;
        match &key.datum {
            Datum::Map(members) if members.len() == 2 && key.datum.member("schema").is_some() => {
                Some(Value::schemaless(key.datum.member("payload")?.clone()))
            }
            Datum::Map(_) => Some(key),
            _ => None,
        }
    }

    /// The fields of a ready-made CSV line, named by their columns where those are known.
    fn csv_value(
        &self,
        at: usize,
        table: usize,
        text: &[u8],
        row_delimiter: &[u8],
    ) -> Value<'static> {
        let text = String::from_utf8_lossy(text);
        let delimiter = String::from_utf8_lossy(row_delimiter);
        let line = text.split(&*delimiter).next().unwrap_or_default();
        let table = &self.survey.topics[at].tables[table];
        let separator = String::from_utf8_lossy(&table.headers.layout.separator);
        let names = match (&table.headers.layout.listed, &table.lookup) {
            (Some(listed), _) => listed.clone(),
            (None, Lookup::Known(table)) => table.writable().map(|c| c.name.clone()).collect(),
            (None, _) => vec![],
        };
        let entries = line.split(&*separator).enumerate().map(|(at, field)| {
            let name = names.get(at).cloned().unwrap_or_else(|| format!("field {}", at + 1));
            let datum = match field {
                "\\N" => Datum::Null,
                text => Datum::text(text.to_owned()),
            };
            (Datum::text(name), datum)
        });
        Value::schemaless(Datum::Map(entries.collect()))
    }

    /// Makes the record's rows as a load would, and counts what became of it.
    fn fate(&mut self, at: usize, record: &RawRecord<'_>, place: &Place) -> Result<(), Problem> {
        let redact = self.wants.redact;
        let topic = &mut self.survey.topics[at];
        let keep = self.wants.outcomes || topic.records <= self.wants.steps;
        let mut outcomes = vec![];
        match self.maker.make(record) {
            Fate::Rows(rows) => {
                for row in rows.iter() {
                    let name = rows.table_name(row.table);
                    if let Some(table) = topic.tables.iter_mut().find(|t| *t.name == **name) {
                        match row.op {
                            Op::Upsert => table.rows += row.rows,
                            Op::Delete => table.deletes += row.rows,
                        }
                    }
                    if keep {
                        let text = String::from_utf8_lossy(row.bytes);
                        outcomes.push(Outcome::Row {
                            table: name.to_string(),
                            op: row.op,
                            row: text.trim_end_matches('\n').to_owned(),
                        });
                    }
                }
            }
            Fate::Skipped(skip) => {
                *topic.skipped.entry(skip.to_string()).or_default() += 1;
                outcomes.push(Outcome::Skipped(skip.to_string()));
            }
            Fate::Refused(refusal) => {
                let error = if redact { &refusal.safe_cause } else { &refusal.cause };
                outcomes.push(Outcome::Refused {
                    stage: refusal.stage.connect_name(),
                    class: refusal.class.clone(),
                    error: format!("{}: {error}", refusal.what),
                });
                topic.refuse(*refusal, place);
            }
            Fate::Failed(problem) => return Err(problem),
        }
        if keep {
            let placed = outcomes.into_iter().map(|outcome| (place.clone(), outcome));
            self.survey.outcomes.extend(placed);
        }
        Ok(())
    }

    /// Judges every column.
    pub fn finish(mut self) -> Survey {
        for table in self.survey.topics.iter_mut().flat_map(|topic| &mut topic.tables) {
            table.columns = Judge::new(&table.headers, table).columns(table);
        }
        self.survey
    }
}
impl TopicUse {
    fn refuse(&mut self, refusal: Refusal, place: &Place) {
        let same = |known: &&mut RefusedUse| {
            known.refusal.stage == refusal.stage
                && known.refusal.what == refusal.what
                && known.refusal.column == refusal.column
        };
        match self.refused.iter_mut().find(same) {
            Some(known) => known.records += 1,
            None => self.refused.push(RefusedUse { refusal, records: 1, first: place.clone() }),
        }
    }
}
fn step(place: &Place, traced: Traced<'_>, record: &ConnectRecord<'_>) -> Step {
    let text =
        |value: &Value<'_>| fields::json(value.schema.as_ref(), &value.datum, Times::Numbers);
    let header = |header: &crate::data::Header<'_>| (header.name.to_string(), text(&header.value));
    Step {
        place: place.clone(),
        after: match traced {
            Traced::Converted => None,
            Traced::After { alias, class } => Some((alias.to_owned(), class.to_owned())),
        },
        topic: record.topic.to_string(),
        key: text(&record.key),
        value: text(&record.value),
        headers: record.headers.iter().map(header).collect(),
    }
}
