//! Does librdkafka take what is translated for it? It checks names and values when a client is made,
//! before any connection.

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use starsink::config::job::{Job, PropertyValue};

use crate::config::{COMPLETE, load_with};
use starsink::config::Overrides;

const TRUST: &[u8] = include_bytes!("../fixtures/stores/trust.jks");
const CLIENT: &[u8] = include_bytes!("../fixtures/stores/client.jks");

fn consumer(job: &Job) -> Result<BaseConsumer, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.source.bootstrap).set("group.id", &job.source.group);
    for (name, value) in &job.source.properties {
        match value {
            PropertyValue::Plain(text) => config.set(name, text),
            PropertyValue::Hidden(secret) => config.set(name, secret.reveal()),
        };
    }
    config.create().map_err(|error| error.to_string())
}

#[track_caller]
fn check(lines: &str) {
    let file = format!("{COMPLETE}bootstrap.servers=127.0.0.1:1\n{lines}");
    let stores = [("/trust.jks", TRUST), ("/client.jks", CLIENT)];
    match load_with(&[("f", &file)], &Overrides::default(), &[], &stores) {
        Ok((job, _)) => drop(consumer(&job).expect("librdkafka takes it")),
        Err(problems) => panic!("{problems:?}"),
    }
}

#[test]
fn librdkafka_takes_the_defaults() {
    check("");
}

#[test]
fn librdkafka_takes_every_property_that_keeps_its_name() {
    check(
        "consumer.client.id=c\nconsumer.client.rack=r\nconsumer.group.instance.id=i\n\
         consumer.session.timeout.ms=45000\nconsumer.heartbeat.interval.ms=3000\n\
         consumer.max.poll.interval.ms=300000\nconsumer.fetch.min.bytes=1\n\
         consumer.fetch.max.bytes=52428800\nconsumer.max.partition.fetch.bytes=1048576\n\
         consumer.isolation.level=read_uncommitted\nconsumer.check.crcs=false\n\
         consumer.retry.backoff.ms=100\nconsumer.retry.backoff.max.ms=1000\n\
         consumer.reconnect.backoff.ms=50\nconsumer.reconnect.backoff.max.ms=1000\n\
         consumer.connections.max.idle.ms=-1\nconsumer.socket.connection.setup.timeout.ms=500\n\
         consumer.client.dns.lookup=use_all_dns_ips\nconsumer.enable.metrics.push=true\n\
         consumer.metadata.recovery.strategy=rebootstrap\nconsumer.metadata.max.age.ms=300000\n\
         consumer.fetch.max.wait.ms=500\nconsumer.request.timeout.ms=900000\n\
         consumer.send.buffer.bytes=-1\nconsumer.receive.buffer.bytes=65536\n\
         consumer.partition.assignment.strategy=org.apache.kafka.clients.consumer.RoundRobinAssignor\n",
    );
}

#[test]
fn librdkafka_takes_passwords_tokens_and_the_stores_of_java() {
    let login = "required username=\"u\" password=\"p\";";
    for (mechanism, module) in [
        ("PLAIN", "org.apache.kafka.common.security.plain.PlainLoginModule"),
        ("SCRAM-SHA-512", "org.apache.kafka.common.security.scram.ScramLoginModule"),
    ] {
        check(&format!(
            "consumer.security.protocol=SASL_SSL\nconsumer.sasl.mechanism={mechanism}\n\
             consumer.sasl.jaas.config={module} {login}\n"
        ));
    }
    check(
        "consumer.security.protocol=SASL_PLAINTEXT\nconsumer.sasl.mechanism=OAUTHBEARER\n\
         consumer.sasl.jaas.config=o.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"x\";\n",
    );
    check(
        "consumer.security.protocol=SSL\nconsumer.ssl.truststore.location=/trust.jks\n\
         consumer.ssl.truststore.password=changeit\nconsumer.ssl.keystore.location=/client.jks\n\
         consumer.ssl.keystore.password=changeit\nconsumer.ssl.key.password=keypass\n\
         consumer.ssl.endpoint.identification.algorithm=\n",
    );
}
