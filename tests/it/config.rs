//! Configuration files in, a job out: the documentation page's own files, precedence, and what is
//! said about everything that can be wrong.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use starsink::config::job::{
    Body, Compression, FeAddress, Job, PropertyValue, Reset, Retries, Tombstones, Topics, ValueKind,
};
use starsink::config::{Entry, Environment, Note, Origin, Overrides, Password, Weight, load};
use starsink::error::Problem;
use starsink::mapping::maker::{Reason, Way};
use starsink::secret::Secret;
use starsink::transform::Chain;

type Loaded = Result<(Job, Vec<Note>), Vec<Problem>>;

/// Loads named texts as files, in order.
pub(crate) fn load_with(
    files: &[(&str, &str)],
    overrides: &Overrides,
    vars: &[(&str, &str)],
    others: &[(&str, &[u8])],
) -> Loaded {
    let vars: BTreeMap<String, String> =
        vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let read = |path: &Path| {
        let texts = files.iter().map(|&(name, text)| (name, text.as_bytes()));
        let mut all = texts.chain(others.iter().copied());
        all.find(|(name, _)| Path::new(name) == path)
            .map(|(_, bytes)| bytes.to_vec())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "No such file or directory"))
    };
    let exposed = |path: &Path| path.ends_with("exposed");
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &exposed };
    let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    load(&names, overrides, &environment)
}

fn load_files(files: &[(&str, &str)]) -> Loaded {
    load_with(files, &Overrides::default(), &[], &[])
}

/// A complete configuration, for tests about one key more.
pub(crate) const COMPLETE: &str = "name=n\ntopics=t\nbootstrap.servers=k:9092\nstarrocks.http.url=fe:8030\n\
    starrocks.database.name=d\nstarrocks.username=u\nstarrocks.password=p\n";

/// The job of a complete configuration with these lines added.
#[track_caller]
fn job_with(lines: &str) -> Job {
    match load_files(&[("f", &format!("{COMPLETE}{lines}"))]) {
        Ok((job, _)) => job,
        Err(problems) => panic!("{}", told(&problems)),
    }
}

/// Problems as a person reads them, one block each.
pub(crate) fn told(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("error: {}\n", problem.what));
        problem.causes.iter().for_each(|cause| text.push_str(&format!("  cause: {cause}\n")));
        if !problem.at.is_empty() {
            text.push_str(&format!("  at: {}\n", problem.at.join(" · ")));
        }
        problem.hints.iter().for_each(|hint| text.push_str(&format!("hint: {hint}\n")));
    }
    text
}

/// Warnings, or with `Weight::Info` the rest, likewise.
fn noted(notes: &[Note], weight: Weight) -> String {
    let mut text = String::new();
    for note in notes.iter().filter(|note| note.weight == weight) {
        text.push_str(&format!("{} ({})\n", note.text, note.at.join(" · ")));
        note.hint.iter().for_each(|hint| text.push_str(&format!("hint: {hint}\n")));
    }
    text
}

/// What a complete configuration with these lines (from line 8) is refused with.
#[track_caller]
fn check_refused(lines: &str, expect: &str) {
    match load_files(&[("f", &format!("{COMPLETE}{lines}"))]) {
        Ok(_) => panic!("accepted"),
        Err(problems) => assert_eq!(told(&problems), expect),
    }
}

#[track_caller]
fn check_warned(lines: &str, expect: &str) {
    match load_files(&[("f", &format!("{COMPLETE}{lines}"))]) {
        Ok((_, notes)) => assert_eq!(noted(&notes, Weight::Warning), expect),
        Err(problems) => panic!("{}", told(&problems)),
    }
}

fn property<'a>(job: &'a Job, name: &str) -> Option<&'a PropertyValue> {
    job.source.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

const PAGE_WORKER: &str = include_str!("../fixtures/page/connect-standalone.properties");
const PAGE_SINK: &str = include_str!("../fixtures/page/connect-StarRocks-sink.properties");
const PAGE_BODY: &str = include_str!("../fixtures/page/body.json");
const PAGE_DEBEZIUM: &str = include_str!("../fixtures/page/sr-sink.properties");

#[track_caller]
fn check_page(job: &Job) {
    assert_eq!(job.name, "starrocks-kafka-connector");
    assert_eq!(job.source.bootstrap, "192.168.0.2:9092");
    assert!(matches!(&job.source.topics, Topics::Named(names) if names == &["test"]));
    assert_eq!(job.source.group, "connect-starrocks-kafka-connector");
    assert!(!job.source.group_is_explicit);
    assert_eq!(job.source.reset, Reset::Beginning);
    assert_eq!((job.records.value.kind(), &job.format.body), (ValueKind::PlainJson, &Body::Json));
    assert_eq!(job.routes.map, [("test".to_owned(), "test_tbl".to_owned())]);
    let fe = FeAddress { https: false, host: "192.168.0.1".to_owned(), port: 8030 };
    assert_eq!(job.target.fe, [fe]);
    assert_eq!((job.target.database.as_str(), job.target.user.as_str()), ("example_db", "user1"));
    assert_eq!(job.target.password, Secret::new("123456"));
    assert_eq!(job.target.headers, []);
    assert_eq!(job.target.compression, Compression::None);
    assert_eq!(job.target.connect_timeout, Duration::from_secs(1));
    assert_eq!(job.flush.max_bytes, 94_371_840);
    assert_eq!(job.flush.interval, Duration::from_secs(1));
    assert_eq!((job.lanes, job.max_retries), (1, Retries::Unsaid));
}

#[test]
fn the_page_s_two_properties_files_are_a_job() {
    let files = [("w.properties", PAGE_WORKER), ("s.properties", PAGE_SINK)];
    let (job, notes) = load_files(&files).expect("the page's files are complete");
    check_page(&job);
    assert_eq!(job.flush.offset_interval, Duration::from_secs(10));
    assert_eq!(job.target.password_origin, "`starrocks.password` (s.properties:15)");
    assert_eq!(job.target.fe_origin, "`starrocks.http.url` (s.properties:9)");
    assert_eq!(noted(&notes, Weight::Warning), "");
    assert_eq!(
        noted(&notes, Weight::Info),
        "`offset.storage.file.filename` is not needed: offsets are kept in the consumer group (w.properties:4 `offset.storage.file.filename`)\n\
         `plugin.path` is not needed: there are no Java plug-ins (w.properties:11 `plugin.path`)\n\
         `sink.properties.strip_outer_array` is not needed: it is set as the body needs it (s.properties:17 `sink.properties.strip_outer_array`)\n"
    );
}

#[test]
fn the_page_s_rest_body_on_standard_input_with_brokers_by_flag_is_the_same_job() {
    let flag = Entry {
        key: "bootstrap.servers".to_owned(),
        value: "192.168.0.2:9092".to_owned(),
        origin: Origin::Flag("-b"),
    };
    let overrides = Overrides { keys: vec![flag], ..Overrides::default() };
    let (job, _) = load_with(&[("-", PAGE_BODY)], &overrides, &[], &[]).expect("complete");
    check_page(&job);
    assert_eq!(job.target.password_origin, "`starrocks.password` (standard input:13)");
}

#[test]
fn a_properties_file_may_hold_the_rest_body_with_its_transforms() {
    let worker = "bootstrap.servers=k:9092\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\n\
                  value.converter.schemas.enable=false\nbufferflush.maxbytes = 104857600\n";
    let source = "{\"name\": \"inventory-connector\", \"config\": {\"connector.class\": \
                  \"io.debezium.connector.postgresql.PostgresConnector\"}}";
    let files =
        [("w", worker), ("pg-source.properties", source), ("sr-sink.properties", PAGE_DEBEZIUM)];
    let (job, _) = load_files(&files).expect("the page's recipe is complete");
    let chain = Chain::compile(&job.records.chain).expect("compiled before");
    assert_eq!(
        chain.names().collect::<Vec<_>>(),
        [
            ("addfield", "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord"),
            ("unwrap", "io.debezium.transforms.ExtractNewRecordState"),
        ]
    );
    let way = Way::of(&job.records, &job.format.body, &chain).to_string();
    assert_eq!(
        way,
        "values are converted, because transform `addfield` \
         (com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord) looks into them"
    );
}

#[test]
fn every_mistake_in_transforms_is_told_with_its_line() {
    check_refused(
        "transforms=mask,cast,route,route,lost\ntransforms.mask.type=com.acme.MaskPan\n\
         transforms.cast.type=org.apache.kafka.connect.transforms.Cast$Value\n\
         transforms.route.type=RegexRouter\ntransforms.route.regex=a\ntransforms.route.replacement=b\n",
        "error: transform `mask` is `com.acme.MaskPan`, which this program does not have\n  \
         at: f:9 `transforms.mask.type`\n\
         hint: `starsink map --list transforms` shows the ones it has\n\
         error: transform `cast` (org.apache.kafka.connect.transforms.Cast$Value) cannot be configured\n  \
         cause: Missing required configuration \"spec\" which has no default value.\n  \
         at: f:10 `transforms.cast.type`\n\
         error: transform `route` is named twice\n  at: f:8 `transforms`\n\
         error: transform `lost` has no class\n  at: f:8 `transforms`\n\
         hint: set `transforms.lost.type` to the transform's Java class\n",
    );
}

#[test]
fn a_misspelt_option_is_told_beside_options_that_may_have_any_name() {
    check_warned(
        "transforms=m\ntransforms.m.type=starsink.transforms.Metadata\ntransforms.m.offset.field=o\n\
         transforms.m.header.trace.field=t\ntransforms.m.ofset.field=x\n",
        "`transforms.m.ofset.field` has no effect: starsink.transforms.Metadata does not read it \
         (f:12 `transforms.m.ofset.field`)\nhint: did you mean `transforms.m.offset.field`?\n",
    );
}

#[test]
fn deletes_that_an_old_default_drops_are_told() {
    let unwrap = "transforms=u\ntransforms.u.type=io.debezium.transforms.ExtractNewRecordState\n";
    check_warned(unwrap, "");
    check_warned(
        &format!("{unwrap}transforms.u.drop.tombstones=true\n"),
        "`transforms.u.drop.tombstones` without a way to handle deletes means what it meant up to Debezium 3.1: \
         delete events are dropped, and their rows stay (f:10 `transforms.u.drop.tombstones`)\n\
         hint: `transforms.u.delete.tombstone.handling.mode=tombstone` deletes them\n",
    );
    check_warned(
        &format!(
            "{unwrap}transforms.u.drop.tombstones=true\ntransforms.u.delete.handling.mode=none\n"
        ),
        "",
    );
}

#[test]
fn a_wrong_option_is_told_at_its_own_line() {
    check_refused(
        "transforms=mask\ntransforms.mask.type=org.apache.kafka.connect.transforms.MaskField$Value\ntransforms.mask.fields=a\n\
         transforms.mask.replace.null.with.default=maybe\n",
        "error: transform `mask` (org.apache.kafka.connect.transforms.MaskField$Value) cannot be configured\n  \
         cause: Invalid value maybe for configuration replace.null.with.default: Expected value to be \
         either true or false\n  at: f:11 `transforms.mask.replace.null.with.default`\n",
    );
}

#[test]
fn what_changes_nothing_beside_transforms_predicates_and_converters_is_told() {
    check_warned(
        "value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter.schemas.enable=false\nvalue.converter.decimal.fromat=NUMERIC\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         key.converter.schemas.enable=false\nstarsink.tombstones=delete\n\
         transforms=unwrap,drop\ntransforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState\n\
         transforms.unwrap.delete.tombstone.handling.mode=rewrite\n\
         transforms.unwrap.drop.tombstones=false\ntransforms.unwrap.add.feilds=op\n\
         transforms.drop.type=Filter\ntransforms.drop.predicate=old\n\
         transforms.other.type=Filter\ntransforms.other.predicate=old\n\
         predicates=old\npredicates.old.type=HasHeaderKey\npredicates.old.name=v\n\
         predicates.old.nmae=v\n",
        "`transforms.other.predicate` has no effect: `transforms` does not list `other` (f:22 `transforms.other.predicate`)\n\
         `transforms.unwrap.add.feilds` has no effect: io.debezium.transforms.ExtractNewRecordState does not read it \
         (f:18 `transforms.unwrap.add.feilds`)\n\
         hint: did you mean `transforms.unwrap.add.fields`?\n\
         `transforms.unwrap.drop.tombstones` has no effect: io.debezium.transforms.ExtractNewRecordState does not read it \
         (f:17 `transforms.unwrap.drop.tombstones`)\n\
         `predicates.old.nmae` has no effect: org.apache.kafka.connect.transforms.predicates.HasHeaderKey does not read it \
         (f:26 `predicates.old.nmae`)\n\
         hint: did you mean `predicates.old.name`?\n\
         `value.converter.decimal.fromat` has no effect: the converter does not read it (f:10 `value.converter.decimal.fromat`)\n\
         hint: did you mean `value.converter.decimal.format`?\n",
    );
}

#[test]
fn headers_of_one_table_may_not_change_how_rows_are_cut() {
    check_refused(
        "sink.table.t.properties.row_delimiter=x\nsink.table.t.properties.Label=l\nsink.table.t=x\n",
        "error: `sink.table.t` names no header of a table\n  at: f:10 `sink.table.t`\n\
         hint: the form is `sink.table.TABLE.properties.HEADER`\n\
         error: `sink.table.t.properties.Label` cannot be set for one table\n  \
         at: f:9 `sink.table.t.properties.Label`\n\
         hint: labels are made here, one for each attempt; remove the key\n\
         error: `sink.table.t.properties.row_delimiter` cannot be set for one table\n  \
         at: f:8 `sink.table.t.properties.row_delimiter`\n\
         hint: set `sink.properties.row_delimiter`: it is the same for all tables\n",
    );
}

#[test]
fn tombstones_mean_nothing_until_they_are_said_to_delete() {
    assert_eq!(job_with("").records.tombstones, Tombstones::Unsaid);
    assert_eq!(job_with("starsink.tombstones=delete\n").records.tombstones, Tombstones::Delete);
    check_refused(
        "starsink.tombstones=drop\n",
        "error: `starsink.tombstones` must be `skip` or `delete`, not `drop`\n  at: f:8 `starsink.tombstones`\n",
    );
}

#[test]
fn a_key_converter_that_nothing_reads_may_be_any_class_and_one_that_is_needed_may_not() {
    let foreign = "key.converter=com.acme.Xml\n";
    let job = job_with(foreign);
    assert!(job.records.key.class.ends_with("ByteArrayConverter"));
    check_refused(
        &format!("{foreign}starsink.tombstones=delete\n"),
        "error: `key.converter` is `com.acme.Xml`, Java code that this program cannot run\n  \
         at: f:8 `key.converter`\n\
         hint: `starsink map --list converters` shows the ones it has\n",
    );
}

#[test]
fn flush_keys_of_the_worker_file_count_unless_the_connector_has_its_own() {
    let worker =
        "bootstrap.servers=k\nbufferflush.maxbytes = 104857600\nbufferflush.intervalms = 5000\n";
    let sink = COMPLETE.replace("bootstrap.servers=k:9092\n", "");
    let (job, notes) = load_files(&[("w", worker), ("s", &sink)]).expect("complete");
    assert_eq!((job.flush.max_bytes, job.flush.interval), (104_857_600, Duration::from_secs(5)));
    assert_eq!(
        noted(&notes, Weight::Info),
        "`bufferflush.maxbytes` is honoured; the Java connector ignores it in a worker file (w:2 `bufferflush.maxbytes`)\n\
         `bufferflush.intervalms` is honoured; the Java connector ignores it in a worker file (w:3 `bufferflush.intervalms`)\n"
    );
    let own = format!("{sink}bufferflush.intervalms=2000\n");
    for files in [[("w", worker), ("s", own.as_str())], [("s", own.as_str()), ("w", worker)]] {
        let (job, _) = load_files(&files).expect("complete");
        assert_eq!(job.flush.interval, Duration::from_secs(2));
    }
}

#[test]
fn a_later_file_wins_and_a_flag_wins_over_all() {
    let files = [("a", COMPLETE), ("b", "starrocks.database.name=later\n")];
    let (job, _) = load_files(&files).expect("complete");
    assert_eq!(job.target.database, "later");
    let flag = Entry {
        key: "starrocks.database.name".to_owned(),
        value: "flag".to_owned(),
        origin: Origin::Flag("-D"),
    };
    let overrides = Overrides { keys: vec![flag], ..Overrides::default() };
    let (job, _) = load_with(&files, &overrides, &[], &[]).expect("complete");
    assert_eq!(job.target.database, "flag");
}

#[test]
fn converter_options_count_only_where_the_converter_stands() {
    let worker = "bootstrap.servers=k\nvalue.converter=JsonConverter\nvalue.converter.schemas.enable=false\n";
    let sink = COMPLETE.replace("bootstrap.servers=k:9092\n", "");
    let option = format!("{sink}value.converter.schemas.enable=true\n");
    let (_, notes) =
        load_files(&[("w", worker), ("s", &option)]).expect("the worker's options count");
    assert_eq!(
        noted(&notes, Weight::Warning),
        "`value.converter.schemas.enable` is not read: a converter's options count where `value.converter` stands (s:7 `value.converter.schemas.enable`)\n\
         hint: add `value.converter` to the same file\n"
    );
    let own = format!("{sink}value.converter=org.apache.kafka.connect.json.JsonConverter\n");
    let (job, _) = load_files(&[("w", worker), ("s", &own)]).expect("complete");
    assert_eq!(job.records.value.kind(), ValueKind::Schemas, "schemas are on by default");
}

#[test]
fn an_empty_configuration_names_everything_missing_at_once() {
    let problems = load_files(&[]).expect_err("everything is missing");
    assert_eq!(
        told(&problems),
        "error: `name` is missing\n\
         hint: `name` in a connector file names the run and its consumer group; `-G` does too\n\
         error: neither `topics` nor `topics.regex` is set\n\
         hint: name the topics with `-t`\n\
         error: `starrocks.http.url` is missing\n\
         hint: `--fe HOST:PORT` says it too\n\
         error: `starrocks.database.name` is missing\n\
         hint: `-D NAME` says it too\n\
         error: `starrocks.username` is missing\n\
         hint: `-u NAME` says it too\n\
         error: `starrocks.password` is missing\n\
         hint: `--password-file FILE` or the environment variable `STARSINK_PASSWORD` say it too\n\
         error: `bootstrap.servers` is missing\n\
         hint: `-b HOST:PORT` says it too; a worker file usually does\n"
    );
}

#[test]
fn all_errors_of_a_configuration_come_at_once_with_file_and_line() {
    check_refused(
        "topics.regex=o.*\nbufferflush.maxbytes = xxx\nbufferflush.intervalms=999\nsink.properties.format=xml\n\
         sink.properties.Label=x\nstarrocks.topic2table.map=t:tb,,u:tc\nerrors.tolerance=some\n",
        "error: `bufferflush.intervalms` must be a whole number from 1000 to 3600000, not `999`\n  \
         at: f:10 `bufferflush.intervalms`\n\
         error: `bufferflush.maxbytes` must be a whole number from 67108864 to 10737418240, not `xxx`\n  \
         at: f:9 `bufferflush.maxbytes`\n\
         error: `errors.tolerance` must be `none` or `all`, not `some`\n  \
         at: f:14 `errors.tolerance`\n\
         error: `sink.properties.format` must be `json` or `csv`, not `xml`\n  \
         at: f:11 `sink.properties.format`\n\
         error: `sink.properties.label` cannot be set\n  \
         at: f:12 `sink.properties.Label`\n\
         hint: labels are made here, one for each attempt; remove the key\n\
         error: `topics` and `topics.regex` exclude each other, and both are set\n  \
         at: f:2 `topics` · f:8 `topics.regex`\n\
         hint: remove one of them, or name topics with `-t`\n\
         error: the map of topics has an empty part\n  \
         at: f:13 `starrocks.topic2table.map`\n\
         hint: the form is `TOPIC:TABLE,TOPIC:TABLE`\n",
    );
}

#[test]
fn numbers_outside_their_range_are_errors() {
    for (line, range) in [
        ("bufferflush.maxbytes=67108863", "67108864 to 10737418240"),
        ("bufferflush.maxbytes=10737418241", "67108864 to 10737418240"),
        ("bufferflush.intervalms=3600001", "1000 to 3600000"),
        ("connect.timeoutms=99", "100 to 60000"),
        ("connect.timeoutms=1_000", "100 to 60000"),
        ("tasks.max=0", "1 to 2147483647"),
    ] {
        let (key, value) = line.split_once('=').expect("a pair");
        let expect = format!(
            "error: `{key}` must be a whole number from {range}, not `{value}`\n  at: f:8 `{key}`\n"
        );
        check_refused(line, &expect);
    }
    assert_eq!(job_with("sink.maxretries=-1").max_retries, Retries::Endless);
    assert_eq!(job_with("sink.maxretries=0").max_retries, Retries::AtMost(0));
    assert_eq!(job_with("bufferflush.maxbytes= 67108864 ").flush.max_bytes, 67_108_864);
    assert_eq!(job_with("tasks.max=+3").lanes, 3);
}

#[test]
fn an_unknown_key_is_a_warning_that_names_the_nearest() {
    check_warned(
        "bufferflush.interval.ms=1000\nfoo.bar=1\nconsumer.override.fetch.min.byte=1\n",
        "unknown key `bufferflush.interval.ms` has no effect (f:8 `bufferflush.interval.ms`)\n\
         hint: did you mean `bufferflush.intervalms`?\n\
         unknown key `foo.bar` has no effect (f:9 `foo.bar`)\n\
         unknown consumer property `fetch.min.byte` has no effect (f:10 `consumer.override.fetch.min.byte`)\n\
         hint: did you mean `fetch.min.bytes`?\n",
    );
}

#[test]
fn a_malformed_topic_map_is_an_error_and_a_sound_one_is_read() {
    for part in ["a", "a:", ":x", "a:b:c"] {
        let expect = format!(
            "error: `{part}` is not a topic and a table\n  at: f:8 `starrocks.topic2table.map`\n\
             hint: the form is `TOPIC:TABLE,TOPIC:TABLE`\n"
        );
        check_refused(&format!("starrocks.topic2table.map={part}"), &expect);
    }
    check_refused(
        "starrocks.topic2table.map=t:a,t:b",
        "error: topic `t` is mapped twice\n  at: f:8 `starrocks.topic2table.map`\n\
         hint: the form is `TOPIC:TABLE,TOPIC:TABLE`\n",
    );
    check_refused(
        "starrocks.topic2table.map=t:other.tc",
        "error: `other.tc` names a database: one run loads one, `starrocks.database.name`\n  \
         at: f:8 `starrocks.topic2table.map`\nhint: the form is `TOPIC:TABLE,TOPIC:TABLE`\n",
    );
    let job = job_with("starrocks.topic2table.map=t:tb, u : tc,\ntopics=t,u");
    let pair = |topic: &str, table: &str| (topic.to_owned(), table.to_owned());
    assert_eq!(job.routes.map, [pair("t", "tb"), pair("u", "tc")]);
    check_warned(
        "topics=orders\nstarrocks.topic2table.map=order:x",
        "topic `order` is mapped and not among the topics to load (f:9 `starrocks.topic2table.map`)\n\
         hint: did you mean `orders`?\n",
    );
    // A transform may make that topic.
    let lines = "topics=orders\nstarrocks.topic2table.map=copy:x\ntransforms=c\n\
                 transforms.c.type=starsink.transforms.CopyTo\ntransforms.c.topics=copy\n";
    let (_, notes) = load_files(&[("f", &format!("{COMPLETE}{lines}"))]).expect("complete");
    assert!(!notes.iter().any(|note| note.text.contains("is mapped")), "{notes:?}");
}

#[test]
fn flags_add_to_the_map_and_win() {
    let map = |value: &str| Entry {
        key: "starrocks.topic2table.map".to_owned(),
        value: value.to_owned(),
        origin: Origin::Flag("--map"),
    };
    let file = format!("{COMPLETE}topics=t,u\nstarrocks.topic2table.map=t:a,u:b\n");
    let overrides = Overrides { map: vec![map("t:c")], ..Overrides::default() };
    let (job, _) = load_with(&[("f", &file)], &overrides, &[], &[]).expect("complete");
    let pair = |topic: &str, table: &str| (topic.to_owned(), table.to_owned());
    assert_eq!(job.routes.map, [pair("u", "b"), pair("t", "c")]);
}

#[test]
fn topics_by_flag_take_the_place_of_both_keys() {
    let file = COMPLETE.replace("topics=t", "topics.regex=x.*");
    let topics = |names: &[&str]| {
        let topics = names.iter().map(|name| (*name).to_owned()).collect();
        let overrides = Overrides { topics, ..Overrides::default() };
        load_with(&[("f", &file)], &overrides, &[], &[])
    };
    let (job, _) = topics(&["a", "b"]).expect("complete");
    assert!(matches!(&job.source.topics, Topics::Named(names) if names == &["a", "b"]));
    let (job, _) = topics(&["^orders.*"]).expect("complete");
    let Topics::Matching(pattern) = &job.source.topics else { panic!("a pattern is expected") };
    assert!(pattern.is_match("orders-eu") && !pattern.is_match("my-orders"));
    assert_eq!(
        told(&topics(&["^a.*", "b"]).expect_err("two")),
        "error: a pattern must be the only topic\n  at: `-t`\n\
         hint: join patterns with `|`: `^(orders|users)-.*`\n"
    );
}

#[test]
fn fe_addresses_may_be_several_and_https() {
    let job = job_with("starrocks.http.url=fe1:8030, https://fe2:8443/,http://fe3 ,[::1]:8031");
    let shown: Vec<String> = job
        .target
        .fe
        .iter()
        .map(|fe| format!("{} {} {}", if fe.https { "https" } else { "http" }, fe.host, fe.port))
        .collect();
    assert_eq!(shown, ["http fe1 8030", "https fe2 8443", "http fe3 8030", "http [::1] 8031"]);
    check_refused(
        "starrocks.http.url=u:p/q,r@fe:1,fe:x,ftp://a",
        "error: `fe:1` is not the address of an FE\n  cause: user and password have keys of their own\n  \
         at: f:8 `starrocks.http.url`\nhint: write `HOST:PORT` or `https://HOST:PORT`\n\
         error: `fe:x` is not the address of an FE\n  cause: the port must be a number from 1 to 65535\n  \
         at: f:8 `starrocks.http.url`\nhint: write `HOST:PORT` or `https://HOST:PORT`\n\
         error: `ftp://a` is not the address of an FE\n  cause: the scheme must be `http` or `https`\n  \
         at: f:8 `starrocks.http.url`\nhint: write `HOST:PORT` or `https://HOST:PORT`\n",
    );
}

#[test]
fn a_partial_update_names_its_columns() {
    let refused = |prefix: &str| {
        format!(
            "error: `{prefix}partial_update` needs `{prefix}columns`\n  \
             cause: StarRocks updates the columns that are named there, and refuses the load without\n  \
             at: f:8 `{prefix}partial_update`\n\
             hint: name the key columns and those that the rows have; each row must have them all\n"
        )
    };
    for prefix in ["sink.properties.", "sink.table.t.properties."] {
        check_refused(&format!("{prefix}partial_update=true\n"), &refused(prefix));
        job_with(&format!("{prefix}partial_update=false\n"));
        job_with(&format!("{prefix}partial_update=true\n{prefix}columns=id,n\n"));
        job_with(&format!("{prefix}partial_update=true\nsink.properties.columns=id,n\n"));
    }
}

#[test]
fn a_broker_that_is_a_placeholder_is_refused() {
    check_refused(
        "bootstrap.servers=<kafka_broker_ip>:9092\n",
        "error: `<kafka_broker_ip>:9092` is not the address of a broker\n  at: f:8 `bootstrap.servers`\n\
         hint: write `HOST:PORT`, several separated by commas\n",
    );
}

#[test]
fn stream_load_headers_are_sent_in_lower_case_without_ours() {
    let job = job_with(
        "sink.properties.Partial_Update=true\nsink.properties.format=JSON\n\
         sink.properties.compression=LZ4_frame\nsink.properties.columns=a, b\n",
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(job.target.headers, [pair("columns", "a, b"), pair("partial_update", "true")]);
    assert_eq!(job.target.compression, Compression::Lz4Frame);
    check_refused(
        "sink.properties.compression=snappy",
        "error: `sink.properties.compression` must be `none`, `lz4_frame`, `gzip` or `zstd`, not `snappy`\n  \
         at: f:8 `sink.properties.compression`\n",
    );
}

const CSV: &str = "value.converter=org.apache.kafka.connect.storage.StringConverter\nsink.properties.format=csv\n";

#[test]
fn csv_rows_end_with_the_delimiter_however_it_is_written() {
    for (written, bytes, header) in [
        ("\\\\x01", &b"\x01"[..], "\\x01"),
        ("\\\\x0D0A", b"\r\n", "\\x0D0A"),
        ("0x7C", b"|", "0x7C"),
        ("\\n", b"\n", "\\x0A"),
        ("\\\\n", b"\n", "\\x0A"),
        ("||", b"||", "||"),
    ] {
        let job = job_with(&format!("{CSV}sink.properties.row_delimiter={written}\n"));
        assert_eq!(job.records.value.kind(), ValueKind::Text);
        assert_eq!(job.format.body, Body::Csv { row_delimiter: bytes.to_vec() }, "{written}");
        let expect = [("row_delimiter".to_owned(), header.to_owned())];
        assert_eq!(job.target.headers, expect, "{written}");
    }
    assert_eq!(job_with(CSV).format.body, Body::Csv { row_delimiter: b"\n".to_vec() });
}

#[test]
fn delimiters_that_would_not_work_are_refused_and_lost_backslashes_noticed() {
    for (written, cause) in [
        ("\\\\x", "no hexadecimal digits follow"),
        ("\\\\x1", "the number of hexadecimal digits must be even"),
        ("\\\\x0g", "the prefix must be followed by hexadecimal digits only"),
        ("\\\\xff", "StarRocks reads bytes above 7F differently by version"),
    ] {
        let value = written.replace("\\\\", "\\");
        let expect = format!(
            "error: `{value}` is not a delimiter\n  cause: {cause}\n  at: f:10 `sink.properties.row_delimiter`\n\
             hint: write `\\x01` or `\\x0D0A`, or the letters themselves\n"
        );
        check_refused(&format!("{CSV}sink.properties.row_delimiter={written}\n"), &expect);
    }
    check_warned(
        &format!("{CSV}sink.properties.column_separator=\\x01\n"),
        "`x01` is read as plain letters (f:10 `sink.properties.column_separator`)\n\
         hint: a `.properties` file drops a single backslash: write `\\\\x01`\n",
    );
}

#[test]
fn json_values_become_csv_by_their_members() {
    let job = job_with(
        "value.converter=JsonConverter\nvalue.converter.schemas.enable=false\nsink.properties.format=csv\n",
    );
    let way = Way::of(&job.records, &job.format.body, &Chain::default());
    assert_eq!(way, Way::Convert(Reason::Csv));
}

#[test]
fn foreign_converters_are_refused_by_name() {
    check_refused(
        "value.converter=com.acme.XmlConverter\n",
        "error: `value.converter` is `com.acme.XmlConverter`, Java code that this program cannot run\n  \
         at: f:8 `value.converter`\n\
         hint: `starsink map --list converters` shows the ones it has\n",
    );
}

#[test]
fn another_connector_alone_is_refused_and_two_sinks_are_too() {
    let foreign = "name=n\nconnector.class=com.acme.Sink\n";
    assert_eq!(
        told(&load_files(&[("f", foreign)]).expect_err("not ours")),
        "error: connector `com.acme.Sink` is not the StarRocks sink\n  at: f:2 `connector.class`\n\
         hint: `connector.class` must be `com.starrocks.connector.kafka.StarRocksSinkConnector`\n"
    );
    let sink = |name: &str| format!("name={name}\nconnector.class=StarRocksSink\n");
    assert_eq!(
        told(&load_files(&[("f", &sink("a")), ("g", &sink("b"))]).expect_err("two")),
        "error: two connectors are given, `a` and `b`; one process runs one\n  at: f:1 `name` · g:1 `name`\n"
    );
}

#[test]
fn a_file_that_is_no_configuration_is_refused_and_not_read_as_unknown_keys() {
    let hint = "hint: expected is a worker or connector file: `.properties`, flat JSON, or the REST body\n";
    let check = |text: &str, first: &str, line: u32| {
        let expect = format!(
            "error: `f` holds no key of a Connect configuration\n  cause: its first key would be \
             `{first}`\n  at: f:{line}\n{hint}"
        );
        let files = [("f", text), ("g", COMPLETE)];
        assert_eq!(told(&load_files(&files).expect_err("rubbish")), expect);
    };
    check("id,name\n1,x\n", "id,name", 1);
    check("\n<html>\n<body>x</body>\n", "<html>", 2);
    check("{\"id\": 1}", "id", 1);
    let manifest = "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaConnector\nspec:\n  config:\n    topics: a\n";
    assert_eq!(
        told(&load_files(&[("f", manifest)]).expect_err("YAML")),
        "error: `f` is a Kubernetes manifest, which is not read\n\
         hint: put the entries of its `spec.config` into a `.properties` or JSON file\n"
    );
    assert!(load_files(&[("empty", "# nothing\n"), ("g", COMPLETE)]).is_ok());
}

#[test]
fn references_are_resolved_and_undeclared_providers_noticed() {
    let file = COMPLETE.replace("password=p", "password=${file:/run/sr:pw}");
    let file = format!(
        "{file}sink.properties.columns=${{env:COLUMNS}}\nsink.properties.warehouse=${{vault:a:b}}\n"
    );
    let others: [(&str, &[u8]); 1] = [("/run/sr", b"pw=s3cret\n")];
    let vars = [("COLUMNS", "a,b")];
    let (job, notes) =
        load_with(&[("f", &file)], &Overrides::default(), &vars, &others).expect("complete");
    assert_eq!(job.target.password, Secret::new("s3cret"));
    assert_eq!(job.target.headers[0], ("columns".to_owned(), "a,b".to_owned()));
    assert_eq!(
        noted(&notes, Weight::Warning),
        "`${vault:a:b}` names an unknown config provider and stays as written (f:9 `sink.properties.warehouse`)\n"
    );
    check_refused(
        "starrocks.password=${file:/nowhere:pw}\n",
        "error: cannot resolve `${file:/nowhere:pw}`\n  cause: /nowhere: No such file or directory\n  \
         at: f:8 `starrocks.password`\n",
    );
}

#[test]
fn a_password_file_wins_and_one_that_others_read_is_warned_of() {
    let path = "/run/exposed".into();
    let password = Password::File { path, origin: Origin::Flag("--password-file") };
    let overrides = Overrides { password: Some(password), ..Overrides::default() };
    let others: [(&str, &[u8]); 1] = [("/run/exposed", b"from file\n")];
    let (job, notes) = load_with(&[("f", COMPLETE)], &overrides, &[], &others).expect("complete");
    assert_eq!(job.target.password, Secret::new("from file"));
    assert_eq!(job.target.password_origin, "`--password-file` (`/run/exposed`)");
    assert_eq!(
        noted(&notes, Weight::Warning),
        "other users can read the password file `/run/exposed` (`--password-file`)\n\
         hint: `chmod 600 /run/exposed`\n"
    );
}

#[test]
fn confluent_cloud_needs_no_key_for_authorities() {
    let job = job_with(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n\
         sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"KEY\" password=\"SECRET\";\n",
    );
    let plain = |text: &str| Some(PropertyValue::Plain(text.to_owned()));
    assert_eq!(property(&job, "security.protocol").cloned(), plain("sasl_ssl"));
    assert_eq!(property(&job, "sasl.mechanisms").cloned(), plain("PLAIN"));
    assert_eq!(property(&job, "sasl.username").cloned(), plain("KEY"));
    let hidden = PropertyValue::Hidden(Secret::new("SECRET"));
    assert_eq!(property(&job, "sasl.password"), Some(&hidden));
    assert_eq!(property(&job, "ssl.ca.location").cloned(), plain("probe"));
    assert!(!format!("{job:?}").contains("SECRET"));
    let dump = job.source.dump();
    assert!(dump.contains(&"sasl.password=(hidden)".to_owned()));
    assert!(dump.contains(&"bootstrap.servers=k:9092".to_owned()));
    assert!(dump.contains(&"group.id=connect-n".to_owned()));
}

#[test]
fn prefixed_security_takes_the_place_of_the_bare_one() {
    let job = job_with(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nconsumer.security.protocol=PLAINTEXT\n\
         consumer.fetch.min.bytes=1\nconsumer.override.fetch.min.bytes=2\nconsumer.override.group.id=g\n",
    );
    let plain = |text: &str| Some(PropertyValue::Plain(text.to_owned()));
    assert_eq!(property(&job, "security.protocol").cloned(), plain("plaintext"));
    assert_eq!(property(&job, "sasl.mechanisms"), None);
    assert_eq!(property(&job, "fetch.min.bytes").cloned(), plain("2"));
    assert_eq!((job.source.group.as_str(), job.source.group_is_explicit), ("g", true));
    assert_eq!(property(&job, "group.id"), None);
}

#[test]
fn librdkafka_s_own_properties_come_last_and_offsets_stay_ours() {
    let load = |pairs: &[(&str, &str)]| {
        let kafka = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let overrides = Overrides { kafka, ..Overrides::default() };
        let file = format!("{COMPLETE}consumer.fetch.min.bytes=1\n");
        load_with(&[("f", &file)], &overrides, &[], &[])
    };
    let (job, _) =
        load(&[("fetch.min.bytes", "9"), ("bootstrap.servers", "x:1")]).expect("complete");
    let last = job.source.properties.last().expect("there are some");
    assert_eq!(*last, ("fetch.min.bytes".to_owned(), PropertyValue::Plain("9".to_owned())));
    assert_eq!(job.source.bootstrap, "x:1");
    assert_eq!(
        told(&load(&[("enable.auto.commit", "true")]).expect_err("ours")),
        "error: `enable.auto.commit` cannot be set: offsets are committed with the loads\n  at: `-X`\n"
    );
    assert_eq!(
        told(&load(&[("enable.partition.eof", "false")]).expect_err("ours")),
        "error: `enable.partition.eof` cannot be set: a `load` knows by it where a partition ends\n  at: `-X`\n"
    );
}

#[test]
fn what_is_wrong_with_authentication_is_said_without_secrets() {
    check_refused(
        "consumer.security.protocol=SASL_SSL\nconsumer.sasl.mechanism=PLAIN\n",
        "error: `sasl.jaas.config` is missing, which `PLAIN` needs\n  at: f:9 `consumer.sasl.mechanism`\n",
    );
    check_refused(
        "consumer.security.protocol=SASL_PLAINTEXT\nconsumer.sasl.mechanism=SCRAM-SHA-256\n\
         consumer.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=u password=123;\n",
        "error: `sasl.jaas.config` is malformed\n  cause: option `password` has no value, or one that needs quotes\n  \
         at: f:10 `consumer.sasl.jaas.config`\n\
         hint: the form is `MODULE required username=\"NAME\" password=\"PASSWORD\";`\n",
    );
    check_refused(
        "consumer.security.protocol=SASL_SSL\nconsumer.sasl.mechanism=AWS_MSK_IAM\n",
        "error: SASL mechanism `AWS_MSK_IAM` is not supported\n  at: f:9 `consumer.sasl.mechanism`\n\
         hint: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` and `GSSAPI` are known\n",
    );
}

#[test]
fn sasl_extensions_are_refused_by_name() {
    check_refused(
        "consumer.security.protocol=SASL_SSL\nconsumer.sasl.mechanism=OAUTHBEARER\n\
         consumer.sasl.oauthbearer.token.endpoint.url=https://idp/token\n\
         consumer.sasl.jaas.config=o.OAuthBearerLoginModule required clientId=\"i\" \
         clientSecret=\"s\" extension_logicalCluster=\"lkc-1\";\n",
        "error: `extension_logicalCluster` in `sasl.jaas.config`: not supported yet\n  \
         cause: SASL extensions cannot be sent with a token\n  \
         at: f:11 `consumer.sasl.jaas.config`\n\
         hint: an API key works too: `sasl.mechanism=PLAIN`\n",
    );
}

#[cfg(not(feature = "gssapi"))]
#[test]
fn kerberos_says_that_this_build_lacks_it() {
    check_refused(
        "consumer.security.protocol=SASL_PLAINTEXT\n",
        "error: this build has no Kerberos (SASL mechanism `GSSAPI`)\n  \
         cause: `sasl.mechanism` is not set, and its default is `GSSAPI`\n  \
         at: f:8 `consumer.security.protocol`\n\
         hint: set `sasl.mechanism`, or build with `cargo build --release --features gssapi`\n",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let problems = load_with(&[], &Overrides::default(), &[], &[]);
    assert!(problems.is_err());
    let vars = BTreeMap::new();
    let read = |_: &Path| Err(io::Error::from_raw_os_error(2));
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
    let problems = load(&["x.json".to_owned()], &Overrides::default(), &environment);
    assert_eq!(
        told(&problems.expect_err("there is no such file")),
        "error: cannot read `x.json`\n  cause: no such file or directory\n"
    );
}

#[test]
fn a_distributed_worker_file_for_confluent_cloud_brings_no_warning() {
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"K\" password=\"S\";";
    let mut worker = "bootstrap.servers=pkc-1.eu.confluent.cloud:9092\ngroup.id=connect-cluster\n\
        key.converter=org.apache.kafka.connect.json.JsonConverter\nkey.converter.schemas.enable=true\n\
        value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n\
        offset.storage.topic=o\noffset.storage.replication.factor=3\nconfig.storage.topic=c\n\
        config.storage.replication.factor=3\nstatus.storage.topic=s\nstatus.storage.replication.factor=3\n\
        offset.flush.interval.ms=10000\nlisteners=HTTP://:8083\nrest.advertised.host.name=h\n\
        rest.advertised.port=8083\nplugin.path=/usr/share/java\nrequest.timeout.ms=20000\n\
        retry.backoff.ms=500\nclient.dns.lookup=use_all_dns_ips\n"
        .to_owned();
    for prefix in ["", "consumer.", "producer."] {
        worker.push_str(&format!(
            "{prefix}security.protocol=SASL_SSL\n{prefix}sasl.mechanism=PLAIN\n\
             {prefix}sasl.jaas.config={login}\n{prefix}ssl.endpoint.identification.algorithm=https\n"
        ));
    }
    let (job, notes) = load_files(&[("w", &worker), ("s", PAGE_SINK)]).expect("complete");
    assert_eq!(noted(&notes, Weight::Warning), "");
    assert_eq!(job.source.bootstrap, "pkc-1.eu.confluent.cloud:9092");
    assert_eq!(job.source.group, "connect-starrocks-kafka-connector");
    let secret = PropertyValue::Hidden(Secret::new("S"));
    assert_eq!(property(&job, "sasl.password"), Some(&secret));
}

#[test]
fn no_text_makes_a_parser_panic() {
    // A small generator of its own: any seed will do, and a failure repeats.
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize
    };
    let pieces = [
        "a",
        "=",
        ":",
        "\\",
        "\n",
        "\r",
        " ",
        "\\u",
        "12",
        "{",
        "}",
        "\"",
        "name",
        ",",
        "${",
        "env",
        "x:y",
        "é",
        "😀",
        "#",
        "starrocks.http.url=",
        "topics=",
        "sink.properties.",
        "\\x0",
        "[",
        "]",
    ];
    for _ in 0..300 {
        let text: String = (0..next() % 24).map(|_| pieces[next() % pieces.len()]).collect();
        let _ = load_files(&[("f", &text)]);
        let _ = load_files(&[("f", &format!("{COMPLETE}starrocks.topic2table.map={text}"))]);
        let _ = load_files(&[("f", &format!("{COMPLETE}topics.regex={text}"))]);
        let _ = load_files(&[("f", &format!("{COMPLETE}starrocks.http.url={text}"))]);
        let _ = starsink::kafka::jaas::parse(&text);
    }
}

#[test]
fn a_member_of_ours_does_not_look_like_a_connect_worker() {
    // A start is refused where a member's client id begins with `connector-consumer-`.
    let dump = job_with("").source.dump();
    assert!(dump.contains(&"client.id=starsink-n".to_owned()), "{dump:?}");
}
