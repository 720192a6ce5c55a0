//! Brokers, topics and groups that are not as they should be.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::peers::{self, Authority, Then};
use super::stage::Stage;
use super::{Case, Java, Verdict};

use Java::Misses;
use Verdict::{Fails, Warns};

const fn broken(
    name: &'static str,
    broken: fn() -> Stage,
    check: &'static str,
    exit_code: u64,
    said: &'static str,
    hint: &'static str,
) -> Case {
    Case { name, broken, check, verdict: Fails(exit_code), said, hint, java: Misses }
}

/// The healthy set-up with its brokers elsewhere.
fn at(address: impl ToString) -> Stage {
    let mut stage = Stage::new();
    stage.set("bootstrap.servers", &address.to_string());
    stage
}

/// Likewise, over TLS with an authority's certificate.
fn over_tls(address: impl ToString, authority: &Authority) -> Stage {
    let mut stage = at(address);
    let file = stage.file("authority.pem");
    std::fs::write(&file, authority.pem()).expect("the file is written");
    stage
        .set("consumer.override.security.protocol", "SSL")
        .set("consumer.override.ssl.truststore.type", "PEM")
        .set("consumer.override.ssl.truststore.location", &file.display().to_string());
    stage
}

fn with_login(address: impl ToString, mechanism: &str, module: &str) -> Stage {
    let mut stage = at(address);
    let jaas = format!(
        "org.apache.kafka.common.security.{module} required username=\"u\" password=\"secret-7\";"
    );
    stage
        .set("consumer.override.security.protocol", "SASL_PLAINTEXT")
        .set("consumer.override.sasl.mechanism", mechanism)
        .set("consumer.override.sasl.jaas.config", &jaas);
    stage
}

fn with_error(key: RDKafkaApiKey, error: RDKafkaRespErr) -> Stage {
    let stage = Stage::new();
    stage.kafka.request_errors(key, &[error; 40]);
    stage
}

/// An authority of the test's own, at this name and with so many days to go.
fn signed(name: &str, days: i64) -> Stage {
    let authority = Authority::new();
    let address = authority.server(name, days);
    over_tls(format!("localhost:{}", address.port()), &authority)
}

pub(super) const CASES: &[Case] = &[
    broken(
        "a broker that is not there",
        || at(peers::nobody()),
        "kafka",
        5,
        "connection refused",
        "firewall",
    ),
    broken(
        "a broker whose name nobody knows",
        || at("broker.invalid:9092"),
        "kafka",
        5,
        "cannot be resolved",
        "bootstrap.servers",
    ),
    broken("a broker that is a web server", || at(peers::web()), "kafka", 2, "not kafka", "9092"),
    broken(
        "a broker that never answers",
        || at(peers::silent()),
        "kafka",
        5,
        "no answer in 3 s",
        "security.protocol",
    ),
    broken(
        "an FE in the broker's place",
        || {
            let mut stage = Stage::new();
            let fe = stage.starrocks.fe().to_string();
            stage.set("bootstrap.servers", &fe);
            stage
        },
        "kafka",
        2,
        "not kafka",
        "StarRocks",
    ),
    broken(
        "TLS to a broker that never answers",
        || over_tls(peers::silent(), &Authority::new()),
        "kafka",
        5,
        "no answer in 3 s",
        "security.protocol",
    ),
    broken(
        "TLS to a plain listener",
        || {
            let mut stage = Stage::new();
            stage.set("consumer.override.security.protocol", "SSL");
            stage
        },
        "kafka",
        2,
        "does not speak tls",
        "security.protocol=PLAINTEXT",
    ),
    broken(
        "plain text to a TLS listener",
        || at(Authority::new().server("localhost", 365)),
        "kafka",
        2,
        "it speaks tls",
        "security.protocol=SSL",
    ),
    broken(
        "an expired certificate",
        || signed("localhost", -3),
        "kafka",
        2,
        "expired on",
        "renewed",
    ),
    broken(
        "a certificate of another host",
        || signed("kafka7.example", 365),
        "kafka",
        2,
        "it is for `kafka7.example`",
        "use that name",
    ),
    broken(
        "a certificate of a strange authority",
        || {
            let address = Authority::new().server("localhost", 365);
            over_tls(format!("localhost:{}", address.port()), &Authority::new())
        },
        "kafka",
        2,
        "not trusted",
        "ssl.truststore.location",
    ),
    broken(
        "a listener that wants a login",
        || at(peers::broker(Then::WantLogin)),
        "kafka",
        2,
        "wants a login",
        "sasl.jaas.config",
    ),
    broken(
        "a login where none is taken",
        || with_login(peers::broker(Then::KnowNoLogin), "PLAIN", "plain.PlainLoginModule"),
        "kafka",
        2,
        "takes no login",
        "security.protocol=PLAINTEXT",
    ),
    broken(
        "a mechanism that the listener has not",
        || {
            let address = peers::broker(Then::KnowPlain);
            with_login(address, "SCRAM-SHA-512", "scram.ScramLoginModule")
        },
        "kafka",
        2,
        "it knows plain",
        "sasl.mechanism",
    ),
    broken(
        "an advertised broker that is not there",
        || at(peers::advertising(peers::nobody(), "orders")),
        "kafka",
        5,
        "it advertises this address",
        "advertised.listeners",
    ),
    Case {
        name: "one bootstrap address of two that is not there",
        broken: || {
            let mut stage = Stage::new();
            let both = format!("{},{}", peers::nobody(), stage.kafka.bootstrap_servers());
            stage.set("bootstrap.servers", &both);
            stage
        },
        check: "kafka",
        verdict: Warns,
        said: "cannot be reached",
        hint: "firewall",
        java: Misses,
    },
    broken(
        "a topic that is not there",
        || {
            let mut stage = Stage::new();
            stage.set("topics", "ordres").set("starrocks.topic2table.map", "ordres:orders");
            stage
        },
        "topics",
        2,
        "`ordres` does not exist",
        "did you mean `orders`",
    ),
    broken(
        "a topic this user may not see",
        || {
            let stage = Stage::new();
            let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
            stage.kafka.topic_error("orders", denied).expect("the topic is hidden");
            stage
        },
        "topics",
        2,
        "does not let this user see it",
        "needs Read",
    ),
    broken(
        "a pattern that matches nothing",
        || {
            let mut stage = Stage::new();
            stage.unset("topics").set("topics.regex", "order");
            stage
        },
        "topics",
        2,
        "no topic on",
        "the whole name",
    ),
    broken(
        "a partition that is not there",
        || {
            let mut stage = Stage::new();
            stage.arg(&["-p", "7"]);
            stage
        },
        "topics",
        2,
        "it has 3 partitions",
        "count from 0",
    ),
    broken(
        "a partition without a leader",
        || {
            let stage = Stage::new();
            stage.kafka.partition_leader("orders", 1, None).expect("no leader");
            stage
        },
        "topics",
        5,
        "have no leader",
        "unavailable-partitions",
    ),
    broken(
        "a group this user may not read",
        || {
            with_error(
                RDKafkaApiKey::OffsetFetch,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            )
        },
        "topics",
        2,
        "cannot read the group's offsets",
        "needs Read",
    ),
    broken(
        "offsets past the end of a topic that was created again",
        || {
            let stage = Stage::new();
            stage.commit(1_000, "");
            stage
        },
        "topics",
        2,
        "past the end",
        "--reset-offsets",
    ),
    broken(
        "no offsets and no leave to choose",
        || {
            let mut stage = Stage::new();
            stage.set("consumer.override.auto.offset.reset", "none");
            stage
        },
        "topics",
        2,
        "3 partitions have none",
        "-o beginning",
    ),
    broken(
        "offsets that carry somebody else's metadata",
        || {
            let stage = Stage::new();
            stage.commit(3, "not ours");
            stage
        },
        "delivery",
        2,
        "metadata that starsink cannot use",
        "-G",
    ),
];
