//! SASL_SSL against a real broker: the mechanisms that work, and what a wrong password or a wrong
//! authority says.

use std::sync::OnceLock;

use e2e::kafka::{Kafka, Options, SASL_PASSWORD, SASL_USER, Security};
use e2e::produce::{self, Message};
use e2e::starsink::Output;
use e2e::topics;

use crate::scene::Scene;

/// A refused connection must be reported within 15 s; the rest is for a busy machine.
const REPORTED_WITHIN_S: u64 = 20;

fn broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| {
        let options = Options { security: Security::SaslSsl, ..Options::default() };
        Kafka::start(&options).expect("Kafka starts")
    })
}

/// Loads one record through the SASL_SSL listener with Java client properties, as they stand in
/// a Connect worker's file; returns the run and what arrived.
fn load(mechanism: &str, password: &str, authority: &std::path::Path) -> (Output, u64) {
    let scene = Scene::on(broker().bootstrap());
    let topic = topics::fresh_name("secure");
    topics::create(&scene.bootstrap, &topic, 1, &[]).expect("created");
    produce::put(&scene.bootstrap, &topic, &[Message::value(r#"{"id":1,"city":"Oslo"}"#)])
        .expect("produced");
    let table = scene.table("secure", "(id INT, city STRING)");
    let module = match mechanism {
        "PLAIN" => "org.apache.kafka.common.security.plain.PlainLoginModule",
        _ => "org.apache.kafka.common.security.scram.ScramLoginModule",
    };
    let jaas = format!("{module} required username=\"{SASL_USER}\" password=\"{password}\";");
    let secure = broker().secure_bootstrap().expect("there is a secure listener");
    let output = scene
        .job(&[(&topic, &table)])
        .set("bootstrap.servers", &secure)
        .set("consumer.override.security.protocol", "SASL_SSL")
        .set("consumer.override.sasl.mechanism", mechanism)
        .set("consumer.override.sasl.jaas.config", &jaas)
        .set("consumer.override.ssl.truststore.type", "PEM")
        .set("consumer.override.ssl.truststore.location", &authority.display().to_string())
        .load(&[]);
    (output, scene.starrocks.count(&table).expect("counted"))
}

#[test]
fn every_mechanism_loads_over_tls() {
    let authority = broker().certificates().expect("certificates").authority();
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        let (output, rows) = load(mechanism, SASL_PASSWORD, &authority);
        output.expect(0);
        assert_eq!(rows, 1, "{mechanism}");
    }
}

#[test]
fn a_wrong_password_is_refused_by_name_and_never_shown() {
    let authority = broker().certificates().expect("certificates").authority();
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let (output, rows) = load(mechanism, "not-the-password", &authority);
        let output = output.expect(2).says(&["localhost:", mechanism, "hint:"]);
        assert!(!output.stderr.contains("not-the-password"), "{}", output.stderr);
        assert!(output.took.as_secs() < REPORTED_WITHIN_S, "{:?}", output.took);
        assert_eq!(rows, 0);
    }
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let stranger = broker().certificates().expect("certificates").stranger();
    let (output, rows) = load("SCRAM-SHA-512", SASL_PASSWORD, &stranger);
    let output = output.expect_any(&[2, 5]).says(&["localhost:", "certificate", "hint:"]);
    assert!(output.took.as_secs() < REPORTED_WITHIN_S, "{:?}", output.took);
    assert_eq!(rows, 0);
}
