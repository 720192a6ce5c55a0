//! The documentation page's example: its two files unchanged but for addresses, its REST body on
//! stdin, its three records.

use e2e::kafka::{Kafka, Options, Version};
use e2e::produce::{self, Message};
use e2e::topics;
use serde_json::json;

use crate::scene::{self, SOON, Scene};

const RECORDS: [&str; 3] = [
    r#"{"id":1,"city":"New York"}"#,
    r#"{"id":2,"city":"Los Angeles"}"#,
    r#"{"id":3,"city":"Chicago"}"#,
];
const ROWS: [&str; 3] = ["1|New York", "2|Los Angeles", "3|Chicago"];
const MORE: [&str; 3] =
    [r#"{"id":4,"city":"Oslo"}"#, r#"{"id":5,"city":"Lagos"}"#, r#"{"id":6,"city":"Beijing"}"#];

/// The page's connector file. `@` marks what differs from site to site.
const SINK: &str = "\
name=@NAME
connector.class=com.starrocks.connector.kafka.StarRocksSinkConnector
topics=@TOPIC
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=false
# StarRocks FE 的 HTTP Server 地址,默认端口 8030
starrocks.http.url=@FE
# 当 Kafka Topic 的名称与 StarRocks 表名不一致时,需要配置两者的映射关系
starrocks.topic2table.map=@TOPIC:test_tbl
# StarRocks 用户名
starrocks.username=@USER
# StarRocks 用户密码。您必须输入用户密码。
starrocks.password=@PASSWORD
starrocks.database.name=@DB
sink.properties.strip_outer_array=true
";

/// The page's worker file.
const WORKER: &str = "\
# kafka broker 的地址,多个 Broker 之间以英文逗号 (,) 分隔。
bootstrap.servers=@BOOTSTRAP
offset.storage.file.filename=/tmp/connect.offsets
offset.flush.interval.ms=10000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=false
# Kafka connector 解压后所在的绝对路径,例如:
plugin.path=/home/kafka-connect/starrocks-kafka-connector-1.0.3
";

/// A broker to itself, because the page's names are not to be shared; or the given one with
/// names that are free there.
struct Page {
    scene: Scene,
    topic: String,
    name: String,
    _kafka: Option<Kafka>,
}

impl Page {
    fn open(version: Version) -> Page {
        let kafka = (!scene::broker_is_given()).then(|| {
            Kafka::start(&Options { version, ..Options::default() }).expect("Kafka starts")
        });
        let bootstrap = kafka.as_ref().map_or_else(scene::bootstrap, Kafka::bootstrap);
        let (topic, name) = match &kafka {
            Some(_) => ("test".to_owned(), "starrocks-kafka-connector".to_owned()),
            None => (topics::fresh_name("test"), topics::fresh_name("starrocks-kafka-connector")),
        };
        topics::create(&bootstrap, &topic, 1, &[]).expect("the topic is created");
        let page = Page { scene: Scene::on(bootstrap), topic, name, _kafka: kafka };
        page.scene
            .starrocks
            .create_table("test_tbl", "(id INT, city STRING)")
            .expect("the table is created");
        page.put(&RECORDS);
        page
    }

    fn put(&self, records: &[&str]) {
        let messages: Vec<Message<'_>> = records.iter().map(|text| Message::value(text)).collect();
        produce::put(&self.scene.bootstrap, &self.topic, &messages).expect("produced");
    }

    fn fill(&self, text: &str) -> String {
        let starrocks = &self.scene.starrocks;
        text.replace("@NAME", &self.name)
            .replace("@TOPIC", &self.topic)
            .replace("@BOOTSTRAP", &self.scene.bootstrap)
            .replace("@FE", &starrocks.fe)
            .replace("@USER", &starrocks.user)
            .replace("@PASSWORD", &starrocks.password)
            .replace("@DB", &starrocks.db)
    }

    /// Loads the three records, then nothing, then three more.
    fn check(&self, args: &[&str], input: &str) {
        let load = || self.scene.starsink.run(args, input, SOON).expect("starsink runs").expect(0);
        load();
        self.scene.check_rows("test_tbl", &["id", "city"], &ROWS);
        load();
        self.scene.check_rows("test_tbl", &["id", "city"], &ROWS);
        self.put(&MORE);
        load();
        let all = [&ROWS[..], &["4|Oslo", "5|Lagos", "6|Beijing"]].concat();
        self.scene.check_rows("test_tbl", &["id", "city"], &all);
    }
}

#[test]
fn the_pages_two_files_load_its_records_once() {
    let page = Page::open(Version::V3_9);
    let file = |name: &str, text: &str| {
        let path = page.scene.dir.join(name);
        std::fs::write(&path, page.fill(text)).expect("a file is written");
        path.to_string_lossy().into_owned()
    };
    let worker = file("connect-standalone.properties", WORKER);
    let sink = file("connect-StarRocks-sink.properties", SINK);
    page.check(&["load", &worker, &sink], "");
}

#[test]
fn the_pages_rest_body_on_stdin_loads_its_records_once() {
    let page = Page::open(Version::V4_1);
    let config: serde_json::Map<String, serde_json::Value> = page
        .fill(SINK)
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("name="))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let body = json!({ "name": page.name, "config": config }).to_string();
    page.check(&["load", "-b", &page.scene.bootstrap, "-"], &body);
}
