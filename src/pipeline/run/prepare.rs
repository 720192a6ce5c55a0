//! What is found out before the first record is read: addresses, topics, tables, bounds, the guarantee.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use crate::batch::Framing;
use crate::config::job::{
    Body, Compression, ConverterChoice, DeliveryChoice, Extent, Job, OnBadRecord, PropertyValue,
    Start, Tombstones, Topics,
};
use crate::convert::SchemaSource;
use crate::delivery::{Mode, OnUnknown, Prefix, Settings, Table};
use crate::dlq::Writer;
use crate::error::{Kind, Problem};
use crate::event::{Event, Started};
use crate::kafka::consumer::{Committed, Consumer};
use crate::kafka::extent;
use crate::mapping::columns::{self, TableKind};
use crate::mapping::maker::{Lookup, NoTables, RowMaker, Sources, Tables, Way};
use crate::mapping::route;
use crate::pipeline::budget::Budget;
use crate::pipeline::directory::Directory;
use crate::pipeline::lane::{self, Plan};
use crate::pipeline::loads::{Target, unreachable_node};
use crate::pipeline::replay::Replaying;
use crate::pipeline::run::group::random_run;
use crate::pipeline::run::{OnUnknownOrder, Orders, all_partitions};
use crate::record::{Offset, Partition};
use crate::registry::Registry;
use crate::starrocks::catalog::{self, Health};
use crate::starrocks::client::{Client, TableName, TxnTimes};

/// How long a transaction may stay open: a batch is far shorter.
const TXN_TIMEOUT: Duration = Duration::from_secs(600);
/// A cron job comes back within a day; a dead `tail` should not hold up an ALTER that long.
const PREPARED_LOAD: Duration = Duration::from_secs(86_400);
const PREPARED_TAIL: Duration = Duration::from_secs(4 * 3600);
/// The broker's default `offset.metadata.max.bytes`.
const METADATA_LIMIT: usize = 4096;

/// What is found out before the first record is read.
pub(super) struct Prepared {
    pub(super) settings: Settings,
    pub(super) mode: Mode,
    pub(super) plain: bool,
    pub(super) counts_records: bool,
    pub(super) plan: Arc<Plan>,
    /// One for each lane.
    pub(super) makers: Vec<RowMaker>,
    /// To be closed when the run ends, so that no lane waits for them.
    pub(super) registries: Vec<Arc<Registry>>,
    pub(super) target: Target,
    pub(super) topics: Vec<(String, u32)>,
    pub(super) ends: BTreeMap<Partition, Offset>,
    pub(super) group: String,
    pub(super) dead_letters: Option<Writer>,
    /// Partitions that have an offset in the group, which no process of this start has written yet;
    /// `None` where Kafka did not say.
    pub(super) held: Option<BTreeSet<Partition>>,
}

pub(super) fn prepare(
    job: &Job,
    extent: &Extent,
    orders: Orders,
    consumer: &Consumer,
    report: &mut dyn FnMut(Event),
) -> Result<Prepared, Problem> {
    let client = Client::new(&job.target);
    check_front_ends(job, &client, report)?;
    let mut topics = consumer.select(&job.source.topics)?;
    if let [only] = &job.source.partitions[..]
        && topics.len() == 1
        && *only >= topics[0].1
    {
        return Err(Problem::usage(format!(
            "topic `{}` has {} partitions, so there is no partition {only}",
            topics[0].0, topics[0].1
        )));
    }
    topics.sort();
    if let (true, Topics::Matching(pattern)) = (topics.is_empty(), &job.source.topics) {
        let text = format!("no topic on `{}` matches `{}`", job.source.bootstrap, pattern.as_str());
        match extent {
            Extent::Until(_) => {
                return Err(Problem::usage(text)
                    .hint("the pattern must match the whole name: `orders` does not match `orders_eu`, `orders.*` does"));
            }
            Extent::Forever { .. } => report(Event::Warning { text, hint: None }),
        }
    }
    if !orders.dry_run {
        consumer.refuse_connect_workers(&job.source.group)?;
    }
    let [of_keys, of_values] = registries(job)?;
    let sources = Sources {
        key: of_keys.clone().map(|registry| registry as Arc<dyn SchemaSource>),
        value: of_values.clone().map(|registry| registry as Arc<dyn SchemaSource>),
    };
    let way = RowMaker::new(job, Arc::new(NoTables), &sources)?.way().clone();
    report(Event::Info(way.to_string()));
    let directory =
        Arc::new(Directory::new(Client::new(&job.target), job, &way, load_headers(job)));
    let maker = |_| RowMaker::new(job, Arc::clone(&directory) as Arc<dyn Tables>, &sources);
    let makers = (0..job.lanes.max(1)).map(maker).collect::<Result<Vec<_>, _>>()?;
    let routed = match job.replay.as_ref().map(|replay| &replay.topics) {
        None => topics.clone(),
        Some(Topics::Named(names)) => names.iter().map(|name| (name.clone(), 0)).collect(),
        Some(pattern) => consumer.select(pattern)?,
    };
    let tables = check_tables(job, &client, &routed, &directory)?;
    warn_of_hidden(job, &way, &tables, report);
    let (mode, plain) = mode(job, &client)?;
    check_isolation(job, mode)?;
    let dead_letters = match orders.dry_run {
        true => None,
        false => dead_letters(job, mode, plain)?,
    };
    // Step 1 asks again, and says why it cannot. By then another process may have claimed its share.
    let held = match orders.dry_run {
        true => None,
        false => match consumer.committed(&all_partitions(&topics)) {
            Ok(found) => Some(held(&found)),
            // librdkafka says only once that the group is denied: step 1 would wait for ever.
            Err(problem) if problem.kind == Kind::Usage => {
                return Err(Problem {
                    what: "Kafka refuses to let this user read".into(),
                    ..problem
                });
            }
            Err(_) => None,
        },
    };
    let wanted = wanted(job, &topics);
    let ends = match extent {
        Extent::Until(bounds) => extent::ends(consumer, bounds.until, &wanted)?,
        Extent::Forever { .. } => BTreeMap::new(),
    };
    let (guarantee_name, guarantee) = match orders.dry_run {
        true => ("dry-run", "nothing is loaded, and no offset moves: a dry run"),
        false => guarantee(mode, plain),
    };
    report(Event::Started(Started {
        name: job.name.clone(),
        group: job.source.group.clone(),
        topics: topics.iter().map(|(name, _)| name.clone()).collect(),
        partitions: wanted.len(),
        tables: tables.keys().map(|table| format!("{}.{table}", job.target.database)).collect(),
        guarantee,
        guarantee_name,
    }));
    let prepared = match extent {
        Extent::Until(_) => PREPARED_LOAD,
        Extent::Forever { .. } => PREPARED_TAIL,
    };
    let request = match extent {
        Extent::Until(bounds) if bounds.start != Start::Stored => Some(request_hash(job, extent)),
        _ => None,
    };
    let counts_records = request.is_some()
        && matches!(extent, Extent::Until(bounds) if bounds.max_messages.is_some());
    let settings = Settings {
        mode,
        is_plain: plain,
        prefix: Prefix::of_name(&job.name),
        database: job.target.database.clone(),
        tables: tables
            .iter()
            .map(|(name, found)| Table {
                name: name.clone(),
                is_idempotent: is_idempotent(job, found.as_deref()),
            })
            .collect(),
        fingerprint: fingerprint(job),
        prepared_timeout_s: prepared.as_secs(),
        prepared_timeout_is_ours: catalog::knows_prepared_timeout(&client),
        on_unknown: match orders.on_unknown {
            None => OnUnknown::Stop,
            Some(OnUnknownOrder::Committed) => OnUnknown::Committed,
            Some(OnUnknownOrder::Reload) => OnUnknown::Reload,
        },
        metadata_limit_bytes: METADATA_LIMIT,
        request,
        counts_records,
        restart: orders.restart,
        settle_only: orders.settle,
    };
    let budget = Arc::new(Budget::new(rows_budget(job.memory_bytes)));
    let plan = Arc::new(Plan {
        framing: match job.format.body {
            Body::Json => Framing::JsonArray,
            Body::Csv { .. } => Framing::Lines,
        },
        compression: job.target.compression,
        joins_bodies: AtomicBool::new(plain),
        part_bytes: usize::try_from((job.memory_bytes / 24).clamp(256 << 10, 8 << 20))
            .unwrap_or(4 << 20),
        redact_values: job.redact_values,
        errors: job.errors.clone(),
        replaying: job.replay.as_ref().map(|replay| Replaying::of(&replay.topics)),
        database: job.target.database.clone(),
        bootstrap: job.source.bootstrap.clone(),
        budget: Arc::clone(&budget),
        spare: lane::Spare::default(),
        dropped: AtomicU64::new(0),
    });
    let timeout = header(job, "timeout").and_then(|text| text.parse().ok());
    let times = TxnTimes {
        timeout: timeout.map_or(TXN_TIMEOUT, Duration::from_secs),
        idle: timeout.map_or(TXN_TIMEOUT, Duration::from_secs),
        prepared,
    };
    let target = Target {
        client,
        database: job.target.database.clone(),
        directory,
        times,
        redact_values: job.redact_values,
        password_origin: job.target.password_origin.clone(),
        user: job.target.user.clone(),
        budget,
    };
    Ok(Prepared {
        settings,
        mode,
        plain,
        counts_records,
        plan,
        makers,
        registries: of_keys.into_iter().chain(of_values).collect(),
        target,
        topics,
        ends,
        group: job.source.group.clone(),
        dead_letters,
        held,
    })
}

/// The partitions that have an offset.
pub(super) fn held(committed: &[Committed]) -> BTreeSet<Partition> {
    let with_offset = committed.iter().filter(|committed| committed.offset.is_some());
    with_offset.map(|committed| committed.partition.clone()).collect()
}

/// Opens the place for dead letters, so that a wrong one is known before a record is read.
fn dead_letters(job: &Job, mode: Mode, plain: bool) -> Result<Option<Writer>, Problem> {
    let OnBadRecord::SetAside(letters) = &job.errors.on_bad_record else { return Ok(None) };
    let writer = Writer::open(letters, &job.name, &format!("{}", random_run()))?;
    if writer.is_transactional() && (mode != Mode::ExactlyOnce || plain) {
        return Err(Problem::usage(
            "`--dlq-delivery exactly-once` needs exactly-once delivery by StarRocks' transactions",
        )
        .hint("leave `--dlq-delivery` out, or say `--delivery exactly-once`"));
    }
    Ok(Some(writer))
}

fn check_front_ends(
    job: &Job,
    client: &Client,
    report: &mut dyn FnMut(Event),
) -> Result<(), Problem> {
    let answers = catalog::health(client);
    let good = answers
        .iter()
        .any(|(_, health)| matches!(health, Health::Fe { backends } if *backends > 0));
    let problem = |(address, health): &(String, Health)| {
        catalog::unusable(client, address, &job.target.fe_origin, health)
    };
    let mut problems: Vec<Problem> = answers.iter().filter_map(problem).collect();
    if good {
        for problem in problems {
            (report)(Event::Warning {
                text: format!(
                    "{}{}",
                    problem.what,
                    problem.causes.first().map(|c| format!(": {c}")).unwrap_or_default()
                ),
                hint: None,
            });
        }
        return Ok(());
    }
    // A wrong address says more than one that is merely silent.
    problems.sort_by_key(|problem| problem.kind);
    problems.into_iter().next().map_or(Ok(()), Err)
}

/// The schema registries of keys and values.
fn registries(job: &Job) -> Result<[Option<Arc<Registry>>; 2], Problem> {
    let registry = |choice: &ConverterChoice| {
        choice.registry.as_ref().map(Registry::new).transpose().map(|made| made.map(Arc::new))
    };
    Ok([registry(&job.records.key)?, registry(&job.records.value)?])
}

/// Loading a row again changes nothing.
fn is_idempotent(job: &Job, table: Option<&columns::Table>) -> bool {
    table.is_some_and(|table| table.kind == TableKind::Primary)
        && header(job, "merge_condition").is_none()
}

/// What the tables of the topics are, by name; every one exists, unless transforms may send the records
/// elsewhere.
fn check_tables(
    job: &Job,
    client: &Client,
    topics: &[(String, u32)],
    directory: &Directory,
) -> Result<BTreeMap<String, Option<Arc<columns::Table>>>, Problem> {
    let mut tables = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (topic, _) in topics {
        let table = route::table(&job.routes, topic);
        if !seen.insert(table.to_string()) {
            continue;
        }
        let name = TableName { database: job.target.database.clone(), table: table.into() };
        let found = catalog::table(client, &name).map_err(|failure| {
            unreachable_node(&format!("cannot read the columns of `{name}`"), &failure)
        })?;
        match found {
            catalog::Table::Columns(columns) => {
                let columns = Arc::new(columns);
                directory.put(table, Lookup::Known(Arc::clone(&columns)));
                tables.insert(table.to_string(), Some(columns));
            }
            catalog::Table::Hidden(_) => {
                directory.put(table, Lookup::Hidden);
                tables.insert(table.to_string(), None);
            }
            catalog::Table::NoTable(_) if job.records.may_route => {}
            catalog::Table::NoDatabase(text) => {
                return Err(Problem::usage(format!(
                    "database `{}` does not exist in StarRocks",
                    name.database
                ))
                .cause(text)
                .hint("set `starrocks.database.name` or `-D`"));
            }
            catalog::Table::NoTable(text) => {
                return Err(Problem::usage(format!(
                    "topic `{topic}` goes to table `{name}`, which does not exist"
                ))
                .cause(text)
                .hint(format!("create the table, or map the topic with `--map {topic}:NAME`")));
            }
            catalog::Table::Refused(text) => {
                return Err(Problem::usage(format!(
                    "StarRocks does not accept user `{}` at `{}` (HTTP 401)",
                    job.target.user, job.target.fe[0]
                ))
                .cause(text)
                .hint(format!(
                    "the password came from {}; `--password-file FILE` overrides it",
                    job.target.password_origin
                )));
            }
        }
    }
    Ok(tables)
}

/// Says where unknown columns change what is written.
fn warn_of_hidden(
    job: &Job,
    way: &Way,
    tables: &BTreeMap<String, Option<Arc<columns::Table>>>,
    report: &mut dyn FnMut(Event),
) {
    if !matches!(way, Way::Convert(_)) && job.records.tombstones != Tombstones::Delete {
        return;
    }
    let database = &job.target.database;
    for (name, table) in tables {
        let (text, hint) = match table {
            None => (
                format!(
                    "StarRocks does not show the columns of `{database}.{name}`: dates and times are \
                     sent as text, whatever their columns, and deletes are not checked"
                ),
                format!("`GRANT SELECT ON {database}.{name}` to the user lets it"),
            ),
            Some(table) if table.kind == TableKind::Unknown => (
                format!(
                    "StarRocks does not say whether `{database}.{name}` is a primary key table; \
                     another kind of table would insert what a delete should remove"
                ),
                "servers from 3.2 on tell it over HTTP".to_owned(),
            ),
            Some(_) => continue,
        };
        report(Event::Warning { text, hint: Some(hint) });
    }
}

/// What can be promised, and whether by transactions or by plain loads.
fn mode(job: &Job, client: &Client) -> Result<(Mode, bool), Problem> {
    let transactions = catalog::has_transactions(client, &job.target.database);
    let transactions = transactions
        .map_err(|failure| unreachable_node("cannot ask StarRocks for its interfaces", &failure))?;
    mode_for(job, transactions)
}

/// What can be promised to this job, in a word and in a sentence, where the server has transactions or
/// not; or why nothing can that was asked for.
pub fn promise(job: &Job, transactions: bool) -> Result<(&'static str, &'static str), Problem> {
    let (mode, plain) = mode_for(job, transactions)?;
    check_isolation(job, mode)?;
    Ok(guarantee(mode, plain))
}

fn mode_for(job: &Job, transactions: bool) -> Result<(Mode, bool), Problem> {
    match (job.delivery, transactions) {
        (DeliveryChoice::AtLeastOnce, true) => Ok((Mode::AtLeastOnce, false)),
        (DeliveryChoice::ExactlyOnce | DeliveryChoice::Auto, true) => {
            Ok((Mode::ExactlyOnce, false))
        }
        (DeliveryChoice::AtLeastOnce, false) => Ok((Mode::AtLeastOnce, true)),
        (DeliveryChoice::Auto, false) => Ok((Mode::ExactlyOnce, true)),
        (DeliveryChoice::ExactlyOnce, false) => Err(Problem::usage(
            "exactly once is not possible without condition: this StarRocks has no transaction interface",
        )
        .cause("`/api/transaction` is not answered by the FE; StarRocks has it from 2.4 on")
        .hint("`--delivery auto` loads by plain Stream Load, exactly once as long as StarRocks remembers the label of a pending load")),
    }
}

/// Recovery reads the group's offsets as stably as its records: `read_committed` is part of the
/// protocol, not only of the data path.
fn check_isolation(job: &Job, mode: Mode) -> Result<(), Problem> {
    let uncommitted = PropertyValue::Plain("read_uncommitted".into());
    let said = |(name, value): &(String, PropertyValue)| {
        name == "isolation.level" && *value == uncommitted
    };
    if mode != Mode::ExactlyOnce || !job.source.properties.iter().any(said) {
        return Ok(());
    }
    Err(Problem::usage("exactly once is not possible with `isolation.level=read_uncommitted`")
        .cause("records of transactions that are rolled back later would be loaded")
        .hint("leave the key out, or say `--delivery at-least-once`"))
}

pub(super) fn guarantee(mode: Mode, plain: bool) -> (&'static str, &'static str) {
    match mode {
        Mode::ExactlyOnce if plain => (
            "exactly-once-by-label",
            "each record is loaded exactly once, as long as StarRocks remembers the label of a \
             pending load (it has no transaction interface)",
        ),
        Mode::ExactlyOnce => ("exactly-once", "each record is loaded exactly once"),
        Mode::AtLeastOnce => ("at-least-once", "no record is lost; a crash may load a batch twice"),
    }
}

fn load_headers(job: &Job) -> Vec<(String, String)> {
    let mut headers = job.target.headers.clone();
    let compression = match job.target.compression {
        Compression::None => None,
        Compression::Lz4Frame => Some(("lz4_frame", "lz4")),
        Compression::Gzip => Some(("gzip", "gzip")),
        Compression::Zstd => Some(("zstd", "zstd")),
    };
    let mut set = |name: &str, value: &str| headers.push((name.into(), value.into()));
    match (&job.format.body, compression) {
        (Body::Json, compression) => {
            set("format", "json");
            set("strip_outer_array", "true");
            // The limit counts all parts of a transaction together.
            set("ignore_json_size", "true");
            if let Some((name, _)) = compression {
                set("compression", name);
            }
        }
        (Body::Csv { .. }, None) => set("format", "csv"),
        // CSV names its compression as a format, in every version.
        (Body::Csv { .. }, Some((_, format))) => set("format", format),
    }
    headers
}

fn header<'a>(job: &'a Job, name: &str) -> Option<&'a str> {
    job.target.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

pub(in crate::pipeline) fn wanted(job: &Job, topics: &[(String, u32)]) -> Vec<Partition> {
    let chosen = &job.source.partitions;
    let mut all = all_partitions(topics);
    all.retain(|partition| chosen.is_empty() || chosen.contains(&partition.number));
    all
}

/// Half of `--memory` is for rows. A quarter is librdkafka's queue; the rest covers the response being
/// read, bodies kept for another round, and what the allocator holds back.
pub(super) fn rows_budget(memory_bytes: u64) -> u64 {
    memory_bytes / 2
}

/// Changes whenever a record might go to other tables than before.
fn fingerprint(job: &Job) -> u64 {
    let mut map = job.routes.map.clone();
    map.sort();
    let mut text = format!("{map:?}");
    // Transforms may send a record elsewhere; without any the fingerprint is as it always was.
    for (key, value) in job.records.chain.iter() {
        text.push_str(&format!("{key}={value};"));
    }
    hash(&text)
}

/// What a bounded load with an explicit start was asked for.
pub(in crate::pipeline) fn request_hash(job: &Job, extent: &Extent) -> u64 {
    let mut map = job.routes.map.clone();
    map.sort();
    let (topics, partitions) = (&job.source.topics, &job.source.partitions);
    hash(&format!("{extent:?} {topics:?} {partitions:?} {} {map:?}", job.target.database))
}

/// FNV-1a: stable across versions and machines.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
