//! Statements as people write them and as servers print them, and what becomes of each.

use super::*;

#[track_caller]
fn translated(text: &str) -> Translation {
    translate(text).expect("the statement is legal")
}

#[track_caller]
fn check_keys(text: &str, expect: &[(&str, &str)]) {
    let translation = translated(text);
    let keys: Vec<_> =
        translation.keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    for pair in expect {
        assert!(keys.contains(pair), "{pair:?} is not among {keys:#?}");
    }
}

#[track_caller]
fn check_error(text: &str, cause: &str) {
    let problem = translate(text).expect_err("it is refused");
    let said = [vec![problem.what], problem.causes, problem.at].concat().join("; ");
    assert!(said.contains(cause), "{said}");
}

const SOURCE: &str =
    r#"FROM KAFKA ("kafka_broker_list" = "k1:9092, k2:9092", "kafka_topic" = "orders")"#;

#[test]
fn the_names_of_a_job_become_a_connector() {
    let text = format!("create routine load shop.orders_job on `orders_raw` {SOURCE}");
    let expect = [
        ("name", "orders_job"),
        ("topics", "orders"),
        ("bootstrap.servers", "k1:9092,k2:9092"),
        ("starrocks.database.name", "shop"),
        ("starrocks.topic2table.map", "orders:orders_raw"),
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("sink.properties.format", "csv"),
        ("consumer.override.auto.offset.reset", "latest"),
    ];
    check_keys(&text, &expect);
}

#[test]
fn clauses_become_headers_in_any_order_and_expressions_stay_as_they_are() {
    let text = format!(
        r#"CREATE ROUTINE LOAD j ON t
           COLUMNS TERMINATED BY ",",
           COLUMNS (id, -- the key
                    tmp,   v = if(tmp = 'a,b', 1, 2)),
           WHERE id > 100 AND v IN (1, 2),
           PARTITION (p1, `p2`),
           ROWS TERMINATED BY '\x0A'
           PROPERTIES ("max_filter_ratio" = "0.1", "strict_mode" = "true")
           {SOURCE}"#
    );
    let expect = [
        ("sink.properties.column_separator", ","),
        ("sink.properties.row_delimiter", "\\x0A"),
        ("sink.properties.columns", "id, tmp, v = if(tmp = 'a,b', 1, 2)"),
        ("sink.properties.where", "id > 100 AND v IN (1, 2)"),
        ("sink.properties.partitions", "p1,p2"),
        ("sink.properties.max_filter_ratio", "0.1"),
        ("sink.properties.strict_mode", "true"),
    ];
    check_keys(&text, &expect);
}

/// As a server before 4.1.4 prints it: a comma before the first clause, JSON paths with their quotes.
const SHOWN: &str = r#"*************************** 1. row ***************************
             Job: orders_job
Create Statement: CREATE ROUTINE LOAD shop.orders_job on orders,
COLUMNS (id, day, amount=price*2)
PROPERTIES
(
"desired_concurrent_number"="3",
"max_error_number"="10",
"max_filter_ratio"="1.0",
"max_batch_interval"="10",
"max_batch_rows"="200000",
"task_consume_second"="15",
"task_timeout_second"="60",
"format"="json",
"jsonpaths"="["$.id","$.at","$.price"]",
"strip_outer_array"="false",
"json_root"="",
"strict_mode"="false",
"pause_on_fatal_parse_error"="false",
"timezone"="Asia/Shanghai",
"partial_update"="false",
"trim_space"="false",
"enclose"="\u0000",
"escape"="\u0000",
"log_rejected_record_num"="0"
)
FROM KAFKA
(
"kafka_broker_list"="k1:9092",
"kafka_topic"="orders",
"kafka_partitions"="0,1",
"kafka_offsets"="17,OFFSET_END",
"property.group.id"="orders_job_3f"
);
"#;

#[track_caller]
fn check_shown(text: &str) {
    let translation = translated(text);
    let expect = [
        ("name", "orders_job"),
        ("connector.class", "com.starrocks.connector.kafka.StarRocksSinkConnector"),
        ("bootstrap.servers", "k1:9092"),
        ("topics", "orders"),
        ("starrocks.database.name", "shop"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("sink.properties.format", "json"),
        ("sink.properties.columns", "id, day, amount=price*2"),
        ("tasks.max", "3"),
        ("bufferflush.intervalms", "10000"),
        ("sink.properties.jsonpaths", r#"["$.id","$.at","$.price"]"#),
        ("sink.properties.timezone", "Asia/Shanghai"),
    ];
    let keys: Vec<_> =
        translation.keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(keys, expect);
    let [first, second] = translation.commands.as_slice() else { panic!("{translation:?}") };
    assert!(first.contains("--topic orders:0 --reset-offsets --to-offset 17"));
    assert!(second.contains("--topic orders:1 --reset-offsets --to-latest"));
    let untranslated = translation.untranslated.join("\n");
    for part in ["max_error_number", "group `orders_job_3f`", "partitions 0, 1"] {
        assert!(untranslated.contains(part), "{part} is not in {untranslated}");
    }
}

/// What becomes of a job's partitions and offsets: flags of its commands, and all that is said beside.
fn begun(partitions: &str, offsets: &str) -> (Vec<String>, Translation) {
    let text = format!(
        r#"CREATE ROUTINE LOAD j ON t FROM KAFKA ("kafka_broker_list" = "k:9092",
           "kafka_topic" = "t", "kafka_partitions" = "{partitions}", "kafka_offsets" = "{offsets}")"#
    );
    let translation = translated(&text);
    let flag = |command: &String| {
        let (_, rest) = command.split_once("--topic t:").expect("it names its partition");
        rest.replace(" --reset-offsets", "").replace(" --execute", "")
    };
    (translation.commands.iter().map(flag).collect(), translation)
}

#[test]
fn each_partition_goes_on_where_it_stood_or_is_listed() {
    let mixed = "0,1000,OFFSET_END,OFFSET_BEGINNING,2024-01-01 00:00:00";
    let (commands, translation) = begun("0,1,2,3,4", mixed);
    let expect = [
        "0 --to-offset 0",
        "1 --to-offset 1000",
        "2 --to-latest",
        "3 --to-earliest",
        "4 --to-datetime 2024-01-01T00:00:00.000",
    ];
    assert_eq!(commands, expect);
    assert!(translation.untranslated.join("\n").contains("the commands take UTC"));
    let (commands, translation) = begun("0,1", "OFFSET_END,OFFSET_BEGINNING");
    assert_eq!(commands, ["0 --to-latest", "1 --to-earliest"]);
    let has_reset = |translation: &Translation| {
        translation.keys.iter().any(|(key, _)| key.ends_with("auto.offset.reset"))
    };
    assert!(!has_reset(&translation));
    let (commands, _) = begun("0,1", "2024-01-01 00:00:00,2024-01-02 00:00:00");
    assert_eq!(commands.len(), 2);
    let (commands, translation) = begun("0,1", "OFFSET_END,OFFSET_END");
    assert!(commands.is_empty() && has_reset(&translation));
    let (commands, translation) = begun("0,1", "5,soon");
    assert_eq!(commands, ["0 --to-offset 5"]);
    assert!(translation.untranslated.join("\n").contains("partition 1 begins at `soon`"));
    for (partitions, offsets) in [("0", "1,2"), ("", "1,2")] {
        let (commands, translation) = begun(partitions, offsets);
        assert_eq!(commands, Vec::<String>::new());
        assert!(translation.untranslated.join("\n").contains("are no pairs"), "{translation:?}");
    }
}

#[test]
fn a_secret_in_an_address_is_not_repeated_wherever_it_stands() {
    let registry = r#""confluent.schema.registry.url" = "https://u:sekret@r:8081""#;
    let login = r#""x.url" = "https://u:sekret@h/", "x.Password" = "sekret""#;
    let source = SOURCE.trim_end_matches(')');
    for format in ["avro", "json"] {
        for (job, source) in [
            (format!("{registry}, {login}"), format!("{source})")),
            (
                login.to_owned(),
                format!("{source}, {registry}, {login}, \"property.y\" = \"http://u:sekret@h\")"),
            ),
        ] {
            let text = format!(
                r#"CREATE ROUTINE LOAD j ON t PROPERTIES ("format" = "{format}", {job}) {source}"#
            );
            let translation = translated(&text);
            assert!(!format!("{translation:?}").contains("sekret"), "{translation:?}");
            let has_registry = |pair: &(String, String)| pair.1 == "https://r:8081";
            assert_eq!(translation.keys.iter().any(has_registry), format == "avro");
            let left = translation.untranslated.join("\n");
            assert!(left.contains("`x.url` has no counterpart"), "{left}");
        }
    }
}

#[test]
fn what_the_server_prints_is_read_with_its_flaws() {
    check_shown(SHOWN);
}

#[test]
fn what_a_mysql_client_prints_in_batch_mode_is_read() {
    let batch = SHOWN.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
    check_shown(&format!("Job\tCreate Statement\norders_job\t{batch}\n"));
}

#[test]
fn escaped_json_paths_are_read_too() {
    let text = format!(
        r#"CREATE ROUTINE LOAD j ON t PROPERTIES ("format"="json", "jsonpaths" = "[\"$.a\",\"$.b\"]", "json_root" = '$.x') {SOURCE}"#
    );
    let expect =
        [("sink.properties.jsonpaths", r#"["$.a","$.b"]"#), ("sink.properties.json_root", "$.x")];
    check_keys(&text, &expect);
}

#[test]
fn change_events_and_metadata_become_transforms() {
    let text = format!(
        r#"CREATE ROUTINE LOAD j ON t INCLUDE METADATA (TOPIC AS src, OFFSET)
           PROPERTIES ("format" = "json", "envelope" = "debezium") {SOURCE}"#
    );
    let expect = [
        ("transforms", "addfield,unwrap,metadata"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
        ("transforms.metadata.topic.field", "src"),
        ("transforms.metadata.offset.field", "offset"),
    ];
    check_keys(&text, &expect);
}

#[test]
fn a_login_becomes_the_java_client_s_and_no_secret_is_written_out() {
    let text = r#"CREATE ROUTINE LOAD j ON t PROPERTIES ("format"="avro") FROM KAFKA (
        "kafka_broker_list" = "k:9092", "kafka_topic" = "t",
        "confluent.schema.registry.url" = "https://key:hunter2@r:8081",
        "property.security.protocol" = "sasl_ssl", "property.sasl.mechanism" = "SCRAM-SHA-512",
        "property.sasl.username" = "u\"x", "property.sasl.password" = "hunter2",
        "property.ssl.ca.location" = "FILE:ca.pem", "property.ssl.key.password" = "hunter2",
        "property.fetch.wait.max.ms" = "50", "property.kafka_default_offsets" = "OFFSET_BEGINNING")"#;
    let expect = [
        ("consumer.override.security.protocol", "SASL_SSL"),
        ("consumer.override.sasl.mechanism", "SCRAM-SHA-512"),
        ("consumer.override.ssl.truststore.type", "PEM"),
        ("consumer.override.ssl.truststore.location", "ca.pem"),
        ("consumer.override.auto.offset.reset", "earliest"),
        ("value.converter.schema.registry.url", "https://r:8081"),
        ("value.converter.basic.auth.user.info", "key:${env:REGISTRY_SECRET}"),
        (
            "consumer.override.sasl.jaas.config",
            r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="u\"x" password="${env:STARSINK_KAFKA_PASSWORD}";"#,
        ),
    ];
    check_keys(text, &expect);
    let translation = translated(text);
    assert_eq!(translation.flags, ["-X fetch.wait.max.ms=50"]);
    assert!(!translation.properties_file().contains("hunter2"));
}

#[test]
fn the_file_says_all_that_is_left_to_do_and_reads_back() {
    let mut translation = translated(SHOWN);
    translation.add("starrocks.http.url", "fe:8030");
    translation.add("name", "not twice");
    let text = translation.properties_file();
    for part in ["Left to say", "starrocks.username (-u)", "Not translated", "To go on where"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("(--fe)"));
    let pairs = properties::parse_text(&text).expect("it is a properties file");
    let pairs: Vec<_> = pairs.into_iter().map(|pair| (pair.key, pair.value)).collect();
    assert_eq!(pairs, translation.keys);
}

#[test]
fn what_is_wrong_with_a_statement_is_said_with_its_line() {
    check_error("SELECT 1", "holds no `CREATE ROUTINE LOAD`");
    check_error("SHOW CREATE ROUTINE LOAD a.b;", "holds no `CREATE ROUTINE LOAD`");
    let twice = format!("{SHOWN}\n{SHOWN}");
    check_error(&twice, "holds 2 `CREATE ROUTINE LOAD` statements");
    check_error("CREATE ROUTINE LOAD j\n\nTO t", "expected `ON`, found `TO`; line 3");
    check_error("CREATE ROUTINE LOAD j ON t", "expected `FROM`, found the end");
    check_error("CREATE ROUTINE LOAD j ON t FROM KAFKA (\"a\" = \"b", "has no end");
    check_error(
        "CREATE ROUTINE LOAD j ON t FROM KAFKA (\"kafka_topic\" = \"t\")",
        "no `kafka_broker_list`",
    );
    check_error("CREATE ROUTINE LOAD j ON t FROM PULSAR (\"a\" = \"b\")", "reads from `PULSAR`");
}
