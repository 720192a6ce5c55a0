//! The schema registry's client, from a converter's options to a schema: what it asks for, whom it
//! shows which credentials, and what it makes of every kind of answer.

mod server;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use server::{Identity, Server};
use starsink::config::connect;
use starsink::config::registry::read;
use starsink::config::settings::Settings;
use starsink::config::{Environment, Note, job};
use starsink::convert::wire::SchemaId;
use starsink::convert::{RegisteredSchema, SchemaKind, SchemaSource, kind};
use starsink::data::{Exception, Failure};
use starsink::error::{Kind, Problem};
use starsink::registry::Registry;

/// What a configuration's lines come to; `files` are what its stores hold.
fn settings(
    lines: &str,
    files: &[(&str, Vec<u8>)],
) -> (Option<job::Registry>, Vec<Problem>, Vec<Note>) {
    let text = lines.replace("\n@", "\nvalue.converter.");
    let file = connect::parse("f", text.as_bytes(), &mut vec![]).expect("a file");
    let mut settings = Settings::layered(vec![file], vec![]);
    let vars = BTreeMap::new();
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores");
    let read_file = |path: &Path| {
        let held = files.iter().find(|(name, _)| Path::new(name) == path);
        held.map_or_else(|| std::fs::read(stores.join(path)), |(_, bytes)| Ok(bytes.clone()))
    };
    let environment = Environment { vars: &vars, read_file: &read_file, is_exposed: &|_| false };
    let found = read(&mut settings, &environment, "value.converter.");
    (found, settings.problems, settings.notes)
}

/// A client that does not wait long; `more` lines begin with `@` for `value.converter.`.
fn client_of(urls: &str, more: &str, files: &[(&str, Vec<u8>)]) -> Registry {
    let lines = format!("\n@schema.registry.url={urls}\n@retries.wait.ms=5\n{more}");
    let (settings, problems, _) = settings(&lines, files);
    assert!(problems.is_empty(), "{problems:?}");
    Registry::new(&settings.expect("it is described")).expect("it is set up")
}

fn client(urls: &str) -> Registry {
    client_of(urls, "", &[])
}

fn number(id: i32) -> SchemaId {
    SchemaId::Number(id)
}

fn get(registry: &Registry, id: i32) -> Result<Arc<RegisteredSchema>, Failure> {
    registry.schema(number(id), Some("t-value"))
}

fn schema(text: &str) -> (u16, String) {
    (200, serde_json::json!({ "schema": text }).to_string())
}

fn missing(code: u16, message: &str) -> (u16, String) {
    (404, serde_json::json!({ "error_code": code, "message": message }).to_string())
}

#[test]
fn a_schema_is_asked_for_once_and_shared() {
    let server = Server::start(|_, _| schema("\"int\""));
    let registry = Arc::new(client(&server.url()));
    let first = get(&registry, 7).expect("a schema");
    assert_eq!(
        (first.kind, first.text.as_str(), first.version),
        (SchemaKind::Avro, "\"int\"", None)
    );
    let other = Arc::clone(&registry);
    let second = thread::spawn(move || get(&other, 7)).join().unwrap().expect("a schema");
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(server.paths(), ["/schemas/ids/7?fetchMaxId=false&subject=t-value"]);
}

#[test]
fn guids_have_a_path_of_their_own_and_no_subject_is_no_parameter() {
    let server = Server::start(|_, _| schema("\"int\""));
    let registry = client(&format!("{}/apis/v7/", server.url()));
    registry.schema(SchemaId::Guid([0xab; 16]), None).expect("a schema");
    assert_eq!(server.paths(), ["/apis/v7/schemas/guids/abababab-abab-abab-abab-abababababab?"]);
}

#[test]
fn references_come_deepest_first_and_each_once() {
    let answer = |path: &str, _| {
        let reference = |name, subject, version| serde_json::json!({ "name": name, "subject": subject, "version": version });
        let (text, references) = match path.split('?').next().unwrap() {
            "/schemas/ids/1" => ("root", vec![reference("a", "s/a", 3), reference("b", "b", 1)]),
            "/subjects/s%2Fa/versions/3" => ("text a", vec![reference("b", "b", 1)]),
            "/subjects/b/versions/1" => ("text b", vec![]),
            _ => return missing(40402, "Version not found."),
        };
        let json = serde_json::json!({
            "schemaType": "PROTOBUF", "schema": text, "references": references, "version": 4
        });
        (200, json.to_string())
    };
    let server = Server::start(answer);
    let found = get(&client(&server.url()), 1).expect("a schema");
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(found.references, [pair("b", "text b"), pair("a", "text a")]);
    assert_eq!((found.kind, found.version), (SchemaKind::Protobuf, Some(4)));
    assert!(server.paths().contains(&"/subjects/b/versions/1?deleted=true".to_owned()));
}

#[test]
fn an_unknown_id_names_id_and_subject_and_is_not_asked_for_at_once_again() {
    let server = Server::start(|_, _| missing(40403, "Schema 9 not found"));
    let registry = client(&server.url());
    for _ in 0..2 {
        let failure = get(&registry, 9).expect_err("there is none");
        assert_eq!(kind(&failure), Kind::BadRecord);
        for part in ["id 9", "`t-value`", "Schema 9 not found", &server.url()] {
            assert!(failure.message.contains(part), "{failure}");
        }
    }
    // Once under its subject, once without.
    let id = "/schemas/ids/9?fetchMaxId=false";
    assert_eq!(server.paths(), [&format!("{id}&subject=t-value"), id]);
}

#[test]
fn a_schema_of_another_subject_is_found_all_the_same() {
    let server = Server::start(|path, _| match path.contains("subject=") {
        true => missing(40403, "not there"),
        false => schema("\"long\""),
    });
    assert_eq!(get(&client(&server.url()), 1).expect("a schema").text, "\"long\"");
}

#[test]
fn the_next_address_answers_for_one_that_is_away_and_stays_preferred() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let busy = Server::start(|_, _| (503, "{}".into()));
    let good = Server::start(|_, _| schema("\"int\""));
    let urls = format!("http://{away},{},{}", busy.url(), good.url());
    let registry = client(&urls);
    get(&registry, 1).expect("a schema");
    get(&registry, 2).expect("a schema");
    assert_eq!((busy.requests().len(), good.requests().len()), (1, 2));
}

#[test]
fn a_busy_registry_is_asked_again() {
    let server = Server::start(|_, before| match before {
        0 | 1 => (503, "{}".into()),
        _ => schema("\"int\""),
    });
    get(&client(&server.url()), 1).expect("a schema");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_registry_that_stays_away_is_said_to_be_with_address_and_cause_and_no_secret() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let busy = Server::start(|_, _| (500, r#"{"error_code":50001,"message":"store"}"#.into()));
    let urls = format!("http://me:hunter2@{away},{}", busy.url());
    let registry = client_of(&urls, "@max.retries=2\n", &[]);
    let failure = get(&registry, 1).expect_err("nobody is there");
    assert_eq!((failure.exception, kind(&failure)), (Exception::Retriable, Kind::Unavailable));
    let text = failure.message;
    let away = format!("`http://{away}`");
    for part in [away.as_str(), "refused", "HTTP 500: store", "3 times"] {
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{registry:?}").contains("hunter2"));
    assert_eq!(busy.requests().len(), 3);
}

/// How often a registry was asked that is busy at first, and how it ended.
fn asked_while_busy(busy: usize, lines: &str) -> (usize, Result<(), String>) {
    let server = Server::start(move |_, before| match before < busy {
        true => (503, "{}".into()),
        false => schema("\"int\""),
    });
    let registry = client_of(&server.url(), &format!("@max.retries=0\n{lines}"), &[]);
    let outcome = get(&registry, 1);
    assert_eq!(registry.waits(), None, "nobody waits any more");
    (server.requests().len(), outcome.map(drop).map_err(|failure| failure.message))
}

#[test]
fn kafka_connects_own_patience_comes_on_top_of_the_registrys() {
    let (asked, outcome) = asked_while_busy(3, "");
    assert_eq!(asked, 1);
    assert!(outcome.expect_err("it was asked once").contains("tried 1 times"));
    // 300, 600 and 1200 ms unless the longest pause is shorter.
    let start = Instant::now();
    let (asked, outcome) = asked_while_busy(2, "errors.retry.timeout=60000\n");
    assert_eq!((asked, outcome), (3, Ok(())));
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    let quick = "errors.retry.timeout=-1\nerrors.retry.delay.max.ms=1\n";
    assert_eq!(asked_while_busy(20, quick), (21, Ok(())));
    let start = Instant::now();
    let (asked, outcome) = asked_while_busy(1000, "errors.retry.timeout=700\n");
    assert!((3..=4).contains(&asked), "{asked}");
    assert!(outcome.expect_err("it stays away").contains(&format!("tried {asked} times")));
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
}

#[test]
fn whoever_waits_for_a_schema_can_be_asked_why() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = "@max.retries=0\nerrors.retry.timeout=-1\n";
    let registry = Arc::new(client_of(&format!("http://{away}"), lines, &[]));
    let waiting = Arc::clone(&registry);
    let lane = thread::spawn(move || get(&waiting, 1));
    let deadline = Instant::now() + Duration::from_secs(20);
    let why = loop {
        match registry.waits() {
            Some(why) => break why,
            None => assert!(Instant::now() < deadline, "it says nothing"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(why.contains("schema registry") && why.contains(&away.to_string()), "{why}");
    registry.close();
    lane.join().unwrap().expect_err("it is closed");
}

#[test]
fn the_end_of_a_run_ends_the_wait() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = client_of(&format!("http://{away}"), "@retries.wait.ms=600000\n", &[]);
    let registry = Arc::new(registry);
    let waiting = Arc::clone(&registry);
    let start = Instant::now();
    let lane = thread::spawn(move || get(&waiting, 1));
    registry.close();
    lane.join().unwrap().expect_err("it is closed");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[track_caller]
fn check_config(status: u16, body: &str, is: Kind, says: &[&str]) {
    let body = body.to_owned();
    let server = Server::start(move |_, _| (status, body.clone()));
    let failure = get(&client(&server.url()), 1).expect_err("no schema");
    assert_eq!(kind(&failure), is, "{failure}");
    for part in says.iter().chain(&["`value.converter.schema.registry.url` (f:"]) {
        assert!(failure.message.contains(part), "{failure}");
    }
    // Neither time nor another address helps.
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_the_configuration_has_wrong_is_no_fault_of_the_record() {
    let refused = r#"{"error_code":40101,"message":"Unauthorized"}"#;
    check_config(
        401,
        refused,
        Kind::Usage,
        &["does not let us in: HTTP 401: Unauthorized", "credentials"],
    );
    check_config(403, "", Kind::Usage, &["HTTP 403"]);
    let strange = ["does not answer like a schema registry", "HTTP 404"];
    check_config(404, "<html>nginx</html>", Kind::Usage, &strange);
    check_config(404, r#"{"error_code":404,"message":"x"}"#, Kind::Usage, &["HTTP 404: x"]);
    check_config(200, "<html>hello</html>", Kind::Usage, &["HTTP 200"]);
    check_config(200, r#"{"schemaType":"THRIFT","schema":"x"}"#, Kind::Usage, &[]);
    check_config(302, "", Kind::Usage, &["HTTP 302"]);
}

#[test]
fn rules_that_change_values_are_refused() {
    let answer = |mode: &'static str, kind: &'static str| {
        let rules = serde_json::json!([{
            "name": "crypt", "kind": kind, "mode": mode, "type": "ENCRYPT", "tags": ["PII"]
        }]);
        let body = serde_json::json!({ "schema": "\"int\"", "ruleSet": { "domainRules": rules } });
        let server = Server::start(move |_, _| (200, body.to_string()));
        get(&client(&server.url()), 1)
    };
    let failure = answer("WRITEREAD", "TRANSFORM").expect_err("values are encrypted");
    for part in ["`crypt`", "`ENCRYPT`", "changes values for readers"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    answer("WRITE", "TRANSFORM").expect("readers are not concerned");
    answer("WRITEREAD", "CONDITION").expect("values are not changed");
}

#[test]
fn the_latest_schema_of_a_subject_is_found_or_not_there() {
    let server = Server::start(|path, _| match path {
        "/subjects/t-value/versions/latest" => schema("\"int\""),
        _ => missing(40401, "Subject not found."),
    });
    let registry = client(&server.url());
    assert_eq!(registry.latest("t-value").expect("it answers").expect("one").text, "\"int\"");
    assert_eq!(registry.latest("u-value").expect("it answers"), None);
}

/// What the registry is shown, in lower case, with these lines.
fn shown(lines: &str, user: &str) -> String {
    let server = Server::start(|_, _| schema("\"int\""));
    let urls = format!("http://{user}127.0.0.1:{}", server.port);
    get(&client_of(&urls, lines, &[]), 1).expect("a schema");
    server.requests()[0].to_lowercase()
}

#[test]
fn credentials_come_from_every_source() {
    let basic = "authorization: basic bwu6ahvudgvymg==\r\n";
    let jaas =
        "@sasl.jaas.config=x.PlainLoginModule required username=\"me\" password=\"hunter2\";\n";
    for (lines, user) in [
        ("", "me:hunter2@"),
        ("@basic.auth.credentials.source=URL\n", "me:hunter2@"),
        ("@basic.auth.credentials.source=USER_INFO\n@basic.auth.user.info=me:hunter2\n", ""),
        (
            "@schema.registry.basic.auth.credentials.source=USER_INFO\n@schema.registry.basic.auth.user.info=me:hunter2\n",
            "",
        ),
        ("@basic.auth.user.info=me:hunter2\n", ""),
        (&format!("@basic.auth.credentials.source=SASL_INHERIT\n{jaas}"), ""),
    ] {
        let head = shown(lines, user);
        assert!(head.contains(basic), "{lines}: {head}");
        assert!(!head.contains("hunter2"), "{lines}: {head}");
    }
    let head = shown("@bearer.auth.credentials.source=STATIC_TOKEN\n@bearer.auth.token=abc\n", "");
    assert!(head.contains("authorization: bearer abc\r\n"), "{head}");
    assert!(!shown("", "").contains("authorization"));
}

#[test]
fn own_headers_and_those_of_the_cloud_are_sent() {
    let head = shown(
        "@request.header.X-Team=data\n@bearer.auth.token=t\n@bearer.auth.logical.cluster=lsrc-1\n\
         @bearer.auth.identity.pool.id=pool-2\n",
        "",
    );
    for header in
        ["x-team: data", "target-sr-cluster: lsrc-1", "confluent-identity-pool-id: pool-2"]
    {
        assert!(head.contains(&format!("{header}\r\n")), "{head}");
    }
}

#[test]
fn a_token_is_fetched_once_and_shown() {
    let issuer = Server::start(|_, _| (200, r#"{"access_token":"fresh","expires_in":600}"#.into()));
    let server = Server::start(|_, _| schema("\"int\""));
    let lines = format!(
        "@bearer.auth.credentials.source=OAUTHBEARER\n@bearer.auth.issuer.endpoint.url={}/token\n\
         @bearer.auth.client.id=me\n@bearer.auth.client.secret=hunter2\n@bearer.auth.scope=s\n",
        issuer.url()
    );
    let registry = client_of(&server.url(), &lines, &[]);
    get(&registry, 1).expect("a schema");
    get(&registry, 2).expect("a schema");
    assert!(
        server
            .requests()
            .iter()
            .all(|head| { head.to_lowercase().contains("authorization: bearer fresh\r\n") })
    );
    assert_eq!(issuer.requests().len(), 1);
}

#[test]
fn tls_trusts_the_configured_authority_alone_and_shows_who_we_are() {
    let identity = Identity::new();
    let server = Server::start_tls(&identity, |_, _| schema("\"int\""));
    let url = format!("https://localhost:{}", server.port);
    let files = [("ca.crt", identity.pem())];
    let trust = "@schema.registry.ssl.truststore.location=ca.crt\n@max.retries=0\n";
    get(&client_of(&url, trust, &files), 1).expect("a schema");
    let mine = "@schema.registry.ssl.keystore.location=client.jks\n\
                @schema.registry.ssl.keystore.password=changeit\n\
                @schema.registry.ssl.key.password=keypass\n";
    get(&client_of(&url, &format!("{trust}{mine}"), &files), 1).expect("a schema");
    assert_eq!(server.peers(), [false, true]);
    // Without the prefix it is not the registry's, and another authority is none.
    for other in [
        "@max.retries=0\n@ssl.truststore.location=ca.crt\n",
        "@max.retries=0\n@schema.registry.ssl.truststore.location=trust.jks\n",
    ] {
        let failure = get(&client_of(&url, other, &files), 1).expect_err("not trusted");
        assert!(failure.message.contains("TLS"), "{failure}");
    }
}

#[test]
fn own_certificates_are_read_from_pkcs12_and_pem() {
    let identity = Identity::new();
    let server = Server::start_tls(&identity, |_, _| schema("\"int\""));
    let url = format!("https://localhost:{}", server.port);
    let mut p12 = openssl::pkcs12::Pkcs12::builder();
    let p12 = p12.name("me").pkey(&identity.key).cert(&identity.certificate).build2("pw").unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let key = identity.key.private_key_to_pem_pkcs8_passphrase(cipher, b"pw").unwrap();
    let files = [
        ("ca.crt", identity.pem()),
        ("me.p12", p12.to_der().unwrap()),
        ("me.pem", [key.clone(), identity.pem()].concat()),
    ];
    let trust = "@schema.registry.ssl.truststore.location=ca.crt\n";
    let inline = |pem: &[u8]| String::from_utf8_lossy(pem).trim_end().replace('\n', " ");
    for mine in [
        "@schema.registry.ssl.keystore.location=me.p12\n@schema.registry.ssl.keystore.password=pw\n",
        "@schema.registry.ssl.keystore.location=me.pem\n@schema.registry.ssl.key.password=pw\n",
        &format!(
            "@schema.registry.ssl.keystore.key={}\n@schema.registry.ssl.keystore.certificate.chain={}\n\
             @schema.registry.ssl.key.password=pw\n",
            inline(&key),
            inline(&identity.pem())
        ),
    ] {
        get(&client_of(&url, &format!("{trust}{mine}"), &files), 1).expect("a schema");
    }
    assert_eq!(server.peers(), [true; 3]);
}

#[track_caller]
fn check_refused(lines: &str, what: &str) {
    let (found, problems, _) = settings(lines, &[]);
    assert!(found.is_none(), "{lines}");
    let [problem] = &problems[..] else { panic!("one problem is expected: {problems:?}") };
    assert!(problem.what.contains(what), "{problem:?}");
    assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
}

#[test]
fn what_is_wrong_with_the_options_is_said() {
    let url = "\n@schema.registry.url=http://h:1";
    check_refused("\nx=1", "`value.converter.schema.registry.url` is missing");
    check_refused("\n@schema.registry.url=ftp://u:hunter2@h", "`ftp://h` is not the address");
    check_refused(&format!("{url}\n@max.retries=x"), "`value.converter.max.retries`");
    check_refused(
        &format!("{url}\n@basic.auth.credentials.source=USER_INFO"),
        "`value.converter.basic.auth.user.info` is missing",
    );
    check_refused(
        &format!("{url}\n@basic.auth.credentials.source=SASL_INHERIT\n@sasl.jaas.config=hunter2"),
        "`value.converter.sasl.jaas.config` holds no username and password",
    );
    check_refused(&format!("{url}\n@basic.auth.credentials.source=VAULT"), "not `VAULT`");
    check_refused(&format!("{url}\n@bearer.auth.credentials.source=UAMI"), "not `UAMI`");
    check_refused(
        &format!("{url}\n@schema.registry.ssl.truststore.location=nowhere"),
        "cannot use the trust store `nowhere` of the schema registry",
    );
    check_refused(
        &format!("{url}\n@schema.registry.ssl.endpoint.identification.algorithm="),
        "cannot be empty",
    );
    check_refused(&format!("{url}\n@proxy.host=p"), "`value.converter.proxy.port` is missing");
}

#[test]
fn a_proxy_is_asked_instead() {
    let proxy = Server::start(|_, _| (403, String::new()));
    let lines = format!("@max.retries=0\n@proxy.host=127.0.0.1\n@proxy.port={}\n", proxy.port);
    let registry = client_of("http://registry.invalid:8081", &lines, &[]);
    // A name that cannot be looked up, so only the proxy could reach it; this one does not want to.
    get(&registry, 1).expect_err("the proxy refuses");
    assert!(proxy.requests()[0].starts_with("CONNECT registry.invalid:8081 "));
}
