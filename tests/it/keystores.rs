//! Java's stores of keys and certificates. The fixtures were written by `keytool`: an authority
//! (`ca.pem`) in three trust stores, and a key with a password of its own in `client.jks`.

use std::collections::BTreeMap;
use std::path::Path;

use openssl::pkey::PKey;
use openssl::x509::X509;
use starsink::config::Environment;
use starsink::config::entry::{Entry, Origin};
use starsink::config::job::PropertyValue;
use starsink::error::Problem;
use starsink::kafka::auth::{self, Translated};

fn translate(java: &[(&str, &str)]) -> (Translated, Vec<Problem>) {
    let origin = || Origin::File { path: "f".to_owned(), line: Some(1) };
    let entry = |&(key, value): &(&str, &str)| {
        (key.to_owned(), Entry { key: key.to_owned(), value: value.to_owned(), origin: origin() })
    };
    let java: Vec<_> = [("security.protocol", "SSL")].iter().chain(java).map(entry).collect();
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores");
    let read = |path: &Path| std::fs::read(stores.join(path));
    let vars = BTreeMap::new();
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
    let request = auth::Request {
        java: &java,
        kafka_password: None,
        librdkafka: &[],
        client_id: String::new(),
        environment: &environment,
    };
    let mut problems = vec![];
    let translated = auth::translate(&request, &mut problems, &mut vec![]);
    (translated, problems)
}

fn value(translated: &Translated, name: &str) -> Option<PropertyValue> {
    translated.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[track_caller]
fn text(translated: &Translated, name: &str) -> String {
    match value(translated, name) {
        Some(PropertyValue::Plain(text)) => text,
        Some(PropertyValue::Hidden(secret)) => secret.reveal().to_owned(),
        None => panic!("{name} is not set"),
    }
}

#[test]
fn the_authority_of_every_trust_store_is_the_same() {
    let pem = include_bytes!("../fixtures/stores/ca.pem");
    let authority = X509::from_pem(pem).and_then(|one| one.to_der()).expect("a certificate");
    for (store, password) in
        [("trust.jks", Some("changeit")), ("trust.jks", None), ("trust.p12", Some("changeit"))]
    {
        let mut java = vec![("ssl.truststore.location", store)];
        java.extend(password.map(|password| ("ssl.truststore.password", password)));
        let (translated, problems) = translate(&java);
        assert!(problems.is_empty(), "{store}: {problems:?}");
        let found = X509::from_pem(text(&translated, "ssl.ca.pem").as_bytes());
        let found = found.and_then(|one| one.to_der()).expect("a certificate");
        assert!(found == authority, "{store}");
        assert_eq!(value(&translated, "ssl.ca.location"), None);
    }
}

#[test]
fn pem_is_used_where_it_lies_whatever_its_type_says() {
    for kind in ["PEM", "JKS"] {
        let (translated, problems) =
            translate(&[("ssl.truststore.location", "ca.pem"), ("ssl.truststore.type", kind)]);
        assert!(problems.is_empty());
        assert_eq!(text(&translated, "ssl.ca.location"), "ca.pem");
    }
}

#[test]
fn the_key_of_a_java_store_fits_its_certificate() {
    let (translated, problems) = translate(&[
        ("ssl.keystore.location", "client.jks"),
        ("ssl.keystore.password", "changeit"),
        ("ssl.key.password", "keypass"),
    ]);
    assert!(problems.is_empty(), "{problems:?}");
    let key = PKey::private_key_from_pem(text(&translated, "ssl.key.pem").as_bytes());
    let chain = X509::from_pem(text(&translated, "ssl.certificate.pem").as_bytes());
    let public = chain.and_then(|certificate| certificate.public_key()).expect("a certificate");
    assert!(public.public_eq(&key.expect("a key")));
    assert!(matches!(value(&translated, "ssl.key.pem"), Some(PropertyValue::Hidden(_))));
    assert_eq!(text(&translated, "ssl.ca.location"), "probe");
}

#[test]
fn pem_on_one_line_is_broken_into_lines_again() {
    let pem = include_str!("../fixtures/stores/ca.pem");
    let joined = pem.lines().collect::<Vec<_>>().join(" ");
    let (translated, problems) =
        translate(&[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", &joined)]);
    assert!(problems.is_empty());
    assert_eq!(text(&translated, "ssl.ca.pem").trim_end(), pem.trim_end());
}

#[track_caller]
fn check_refused(java: &[(&str, &str)], what: &str, cause: &str) {
    let (_, problems) = translate(java);
    let [problem] = &problems[..] else { panic!("one problem is expected: {problems:?}") };
    assert_eq!((problem.what.as_str(), problem.causes.join("; ").as_str()), (what, cause));
}

#[test]
fn a_store_that_does_not_open_says_why() {
    let trust = |store, password| {
        [("ssl.truststore.location", store), ("ssl.truststore.password", password)]
    };
    check_refused(
        &trust("trust.jks", "wrong"),
        "cannot use the trust store `trust.jks`",
        "the password does not open it, or it is damaged",
    );
    check_refused(
        &trust("trust.p12", "wrong"),
        "cannot use the trust store `trust.p12`",
        "the password does not open it",
    );
    check_refused(
        &[("ssl.keystore.location", "client.jks"), ("ssl.keystore.password", "changeit")],
        "cannot use the key store `client.jks`",
        "the password does not open its key",
    );
    check_refused(
        &[("ssl.keystore.location", "nowhere.jks")],
        "cannot use the key store `nowhere.jks`",
        "nowhere.jks: No such file or directory (os error 2)",
    );
}

#[test]
fn a_store_with_encryption_of_old_java_says_what_helps() {
    check_refused(
        &[("ssl.truststore.location", "trust-legacy.p12"), ("ssl.truststore.password", "changeit")],
        "cannot use the trust store `trust-legacy.p12`",
        "its encryption is too old for OpenSSL 3; a current `keytool -importkeystore` writes it anew",
    );
}
