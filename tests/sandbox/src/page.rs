//! The documentation page's example as text: three records, a table, two files. Knows no server;
//! addresses are filled in on request.

/// The topic of the example, with one partition.
pub(crate) const TOPIC: &str = "test";
pub(crate) const DATABASE: &str = "example_db";
pub(crate) const TABLE: &str = "test_tbl";

pub(crate) const RECORDS: [&str; 3] = [
    r#"{"id":1,"city":"New York"}"#,
    r#"{"id":2,"city":"Los Angeles"}"#,
    r#"{"id":3,"city":"Chicago"}"#,
];

/// What the page has its reader type into StarRocks, and the user whom its configuration names.
pub(crate) const STATEMENTS: [&str; 5] = [
    "CREATE DATABASE example_db;",
    "USE example_db;",
    "CREATE TABLE test_tbl (id INT, city STRING);",
    "CREATE USER 'user1' IDENTIFIED BY '123456';",
    "GRANT INSERT ON example_db.test_tbl TO USER 'user1';",
];

/// The worker's file.
pub(crate) const WORKER: File = File {
    name: "connect-standalone.properties",
    text: "\
# kafka broker 的地址,多个 Broker 之间以英文逗号 (,) 分隔。
bootstrap.servers=<kafka_broker_ip>:9092
offset.storage.file.filename=/tmp/connect.offsets
offset.flush.interval.ms=10000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=false
# Kafka connector 解压后所在的绝对路径,例如:
plugin.path=/home/kafka-connect/starrocks-kafka-connector-1.0.3
",
    address: "<kafka_broker_ip>:9092",
};

/// The connector's file.
pub(crate) const SINK: File = File {
    name: "connect-starrocks-sink.properties",
    text: "\
name=starrocks-kafka-connector
connector.class=com.starrocks.connector.kafka.StarRocksSinkConnector
topics=test
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=false
# StarRocks FE 的 HTTP Server 地址,默认端口 8030
starrocks.http.url=192.168.xxx.xxx:8030
# 当 Kafka Topic 的名称与 StarRocks 表名不一致时,需要配置两者的映射关系
starrocks.topic2table.map=test:test_tbl
# StarRocks 用户名
starrocks.username=user1
# StarRocks 用户密码。您必须输入用户密码。
starrocks.password=123456
starrocks.database.name=example_db
sink.properties.strip_outer_array=true
",
    address: "192.168.xxx.xxx:8030",
};

/// A configuration file as the page prints it.
pub(crate) struct File {
    pub(crate) name: &'static str,
    text: &'static str,
    /// The part that differs from site to site.
    address: &'static str,
}

impl File {
    /// The text with an address (`host:port`) in the place the page leaves open.
    pub(crate) fn at(&self, address: &str) -> String {
        self.text.replace(self.address, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_the_place_the_page_leaves_open() {
        assert!(WORKER.at("h:1").contains("\nbootstrap.servers=h:1\n"));
        assert!(SINK.at("h:2").contains("\nstarrocks.http.url=h:2\n"));
    }
}
