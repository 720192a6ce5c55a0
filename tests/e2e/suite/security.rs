//! SASL_SSL against a real broker: the mechanisms that work, and what a wrong password or a wrong
//! authority says.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::kafka::{Kafka, Options, SASL_PASSWORD, SASL_USER, Security};
use e2e::produce::{self, Message};
use e2e::starsink::Output;
use e2e::topics;

use crate::scene::Scene;

/// A refused connection must be reported within 15 s; the rest is for a busy machine.
const REPORTED_WITHIN_S: u64 = 20;

pub(crate) fn broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| {
        let options = Options { security: Security::SaslSsl, ..Options::default() };
        Kafka::start(&options).expect("Kafka starts")
    })
}

/// Loads one record with a user's name and password; see [`load_with`].
fn load(mechanism: &str, password: &str, authority: &std::path::Path) -> (Output, u64) {
    let module = match mechanism {
        "PLAIN" => "org.apache.kafka.common.security.plain.PlainLoginModule",
        _ => "org.apache.kafka.common.security.scram.ScramLoginModule",
    };
    let jaas = format!("{module} required username=\"{SASL_USER}\" password=\"{password}\";");
    load_with(mechanism, &jaas, &[], authority)
}

/// Loads one record through the SASL_SSL listener with Java client properties, as they stand in
/// a Connect worker's file; returns the run and what arrived.
fn load_with(
    mechanism: &str,
    jaas: &str,
    more: &[(&str, &str)],
    authority: &std::path::Path,
) -> (Output, u64) {
    let scene = Scene::on(broker().bootstrap());
    let topic = topics::fresh_name("secure");
    topics::create(&scene.bootstrap, &topic, 1, &[]).expect("created");
    produce::put(&scene.bootstrap, &topic, &[Message::value(r#"{"id":1,"city":"Oslo"}"#)])
        .expect("produced");
    let table = scene.table("secure", "(id INT, city STRING)");
    let secure = broker().secure_bootstrap().expect("there is a secure listener");
    let job = scene.job(&[(&topic, &table)]);
    let output = more
        .iter()
        .fold(job, |job, (key, value)| job.set(key, value))
        .set("bootstrap.servers", &secure)
        .set("consumer.override.security.protocol", "SASL_SSL")
        .set("consumer.override.sasl.mechanism", mechanism)
        .set("consumer.override.sasl.jaas.config", jaas)
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
        let output = output.expect(2).says(&["localhost:", "refuses the", mechanism, "hint:"]);
        assert!(!output.stderr.contains("not-the-password"), "{}", output.stderr);
        assert!(output.took.as_secs() < REPORTED_WITHIN_S, "{:?}", output.took);
        assert_eq!(rows, 0);
    }
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let stranger = broker().certificates().expect("certificates").stranger();
    let (output, rows) = load("SCRAM-SHA-512", SASL_PASSWORD, &stranger);
    let output = output.expect_any(&[2, 5]).says(&[
        "localhost:",
        "refuses the connection",
        "certificate",
        "hint:",
    ]);
    assert!(output.took.as_secs() < REPORTED_WITHIN_S, "{:?}", output.took);
    assert_eq!(rows, 0);
}

/// Gives tokens that nobody signed to whoever knows the password, for as long as this process
/// lives; returns its address.
fn token_endpoint() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            listener.incoming().flatten().for_each(|stream| give_token(stream).unwrap_or(()));
        });
        format!("http://{address}/token")
    })
}

fn give_token(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = vec![];
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&request).contains("grant_type=client_credentials") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            n => request.extend_from_slice(&part[..n]),
        }
    }
    let base64 = |text: &str| openssl::base64::encode_block(text.as_bytes());
    let expected = format!("Basic {}", base64(&format!("{SASL_USER}:{SASL_PASSWORD}")));
    let (status, body) = if String::from_utf8_lossy(&request).contains(&expected) {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let url =
            |text: &str| base64(text).trim_end_matches('=').replace('+', "-").replace('/', "_");
        let claims = format!(r#"{{"sub":"{SASL_USER}","iat":{now_s},"exp":{}}}"#, now_s + 600);
        let token = format!("{}.{}.", url(r#"{"alg":"none"}"#), url(&claims));
        ("200 OK", format!(r#"{{"access_token":"{token}","expires_in":600}}"#))
    } else {
        ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned())
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Loads one record with a token of [`token_endpoint`].
fn load_with_token(secret: &str, options: &str) -> (Output, u64) {
    load_with_token_of(token_endpoint(), secret, options)
}

fn load_with_token_of(endpoint: &str, secret: &str, options: &str) -> (Output, u64) {
    let authority = broker().certificates().expect("certificates").authority();
    let jaas = format!(
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
         clientId=\"{SASL_USER}\" clientSecret=\"{secret}\" {options};"
    );
    let endpoint = ("consumer.override.sasl.oauthbearer.token.endpoint.url", endpoint);
    load_with("OAUTHBEARER", &jaas, &[endpoint], &authority)
}

#[test]
fn a_token_endpoint_that_is_away_is_told() {
    let (output, rows) = load_with_token_of("http://127.0.0.1:1/token", SASL_PASSWORD, "");
    output.expect(5).says(&["cannot reach the token endpoint `http://127.0.0.1:1/token`"]);
    assert_eq!(rows, 0);
}

#[test]
fn a_token_for_client_credentials_loads() {
    for options in ["", "scope=\"a b\""] {
        let (output, rows) = load_with_token(SASL_PASSWORD, options);
        output.expect(0);
        assert_eq!(rows, 1, "{options}");
    }
}

#[test]
fn a_client_without_a_token_is_told_what_its_endpoint_says() {
    let (output, rows) = load_with_token("not-the-password", "");
    let output = output.expect(2).says(&[
        "the token endpoint",
        token_endpoint(),
        "refuses (HTTP 401)",
        "invalid_client",
        "hint:",
    ]);
    assert!(!output.stderr.contains("not-the-password"), "{}", output.stderr);
    assert!(output.took.as_secs() < REPORTED_WITHIN_S, "{:?}", output.took);
    assert_eq!(rows, 0);
}

#[test]
fn a_token_of_our_own_making_loads() {
    let authority = broker().certificates().expect("certificates").authority();
    let jaas = format!(
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"{SASL_USER}\";"
    );
    let (output, rows) = load_with("OAUTHBEARER", &jaas, &[], &authority);
    output.expect(0);
    assert_eq!(rows, 1);
}
