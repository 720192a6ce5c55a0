//! From the Java client's properties to librdkafka's: names, values, authentication, encryption.
//!
//! Pure: files come through the configuration's environment, and nothing here knows rdkafka. A new
//! mechanism is one arm of `Translator::sasl`; the names stand in `names.rs`.

use crate::config::Environment;
use crate::config::entry::{Entry, Note};
use crate::config::job::{OAuth, PropertyValue, Reset};
use crate::config::keys;
use crate::config::settings::split_list;
use crate::error::Problem;
use crate::kafka::jaas::{self, Login};
use crate::kafka::names::{
    self, DEFAULTS, Fate, OURS, SASL_IGNORED, SASL_READ, SSL_IGNORED, SSL_READ,
};
use crate::keystore;
use crate::secret::Secret;

/// What is to be translated.
pub struct Request<'a> {
    /// The consumer's properties under Java's names, each once.
    pub java: &'a [(String, Entry)],
    /// Takes the place of the password in `sasl.jaas.config`.
    pub kafka_password: Option<&'a Secret>,
    /// librdkafka's own properties, applied last.
    pub librdkafka: &'a [(String, String)],
    /// Unless the properties say another.
    pub client_id: String,
    pub environment: &'a Environment<'a>,
}

/// librdkafka's properties, each once, and what is not a property there.
#[derive(Debug)]
pub struct Translated {
    pub properties: Vec<(String, PropertyValue)>,
    pub group: Option<String>,
    pub bootstrap: Option<String>,
    pub reset: Reset,
    pub oauth: Option<OAuth>,
}

/// Translates; what is wrong goes to `problems`, what is worth saying to `notes`.
pub fn translate(
    request: &Request<'_>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) -> Translated {
    let mut translator = Translator {
        request,
        problems,
        notes,
        out: Translated {
            properties: vec![],
            group: None,
            bootstrap: None,
            reset: Reset::Beginning,
            oauth: None,
        },
    };
    translator.defaults();
    request.java.iter().for_each(|(name, entry)| translator.plain(name, entry));
    translator.security();
    request.librdkafka.iter().for_each(|(name, value)| translator.native(name, value));
    translator.authorities();
    translator.out
}

struct Translator<'a> {
    request: &'a Request<'a>,
    problems: &'a mut Vec<Problem>,
    notes: &'a mut Vec<Note>,
    out: Translated,
}

impl<'a> Translator<'a> {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.put(name, PropertyValue::Plain(value.into()));
    }

    fn hide(&mut self, name: &str, value: &str) {
        self.put(name, PropertyValue::Hidden(Secret::new(value)));
    }

    fn put(&mut self, name: &str, value: PropertyValue) {
        self.out.properties.retain(|(known, _)| known != name);
        self.out.properties.push((name.to_owned(), value));
    }

    /// A Java property's entry, if somebody said it.
    fn java(&self, name: &str) -> Option<&'a Entry> {
        self.request.java.iter().find(|(known, _)| known == name).map(|(_, entry)| entry)
    }

    /// A Java property's text without blanks around it; blank counts as not said.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.java(name).map(|entry| entry.value.trim()).filter(|text| !text.is_empty())
    }

    fn place(&self, name: &str) -> Option<String> {
        self.java(name).map(Entry::place)
    }

    /// Reports a problem at the property it comes from.
    fn refuse(&mut self, problem: Problem, name: &str) {
        let place = self.place(name);
        self.problems.push(place.into_iter().fold(problem, Problem::at));
    }

    fn defaults(&mut self) {
        self.set("client.id", self.request.client_id.clone());
        DEFAULTS.iter().for_each(|(name, value)| self.set(name, *value));
    }

    /// One property outside security.
    fn plain(&mut self, name: &str, entry: &Entry) {
        let value = entry.value.trim();
        match names::fate(name) {
            Some(Fate::Same) => self.set(name, value),
            Some(Fate::Named(other)) => self.set(other, value),
            Some(Fate::Ignored(why)) => {
                let text = format!("`{}` is not needed: {why}", entry.key);
                self.notes.push(Note::info(text).at(entry.place()));
            }
            Some(Fate::Special) => self.special(name, value, entry),
            Some(Fate::Security) => self.known_security(name, entry),
            None => self.unknown(name, entry),
        }
    }

    fn unknown(&mut self, name: &str, entry: &Entry) {
        let text = format!("unknown consumer property `{name}` has no effect");
        let note = Note::warning(text).at(entry.place());
        let names = names::plain().chain(SASL_READ).chain(SSL_READ);
        self.notes.push(match keys::nearest(name, names) {
            Some(known) => note.hint(format!("did you mean `{known}`?")),
            None => note.hint(format!("librdkafka's own properties are set with `-X {name}=…`")),
        });
    }

    fn special(&mut self, name: &str, value: &str, entry: &Entry) {
        match name {
            "bootstrap.servers" => self.out.bootstrap = Some(split_list(value).join(",")),
            "group.id" => self.out.group = Some(value.to_owned()),
            // Java's -1 is "as the system has it", which is 0 there.
            "send.buffer.bytes" => self.set("socket.send.buffer.bytes", not_negative(value)),
            "receive.buffer.bytes" => self.set("socket.receive.buffer.bytes", not_negative(value)),
            "connections.max.idle.ms" => self.set(name, not_negative(value)),
            "request.timeout.ms" => self.set("socket.timeout.ms", clamped(value, 10, 300_000)),
            "socket.connection.setup.timeout.ms" => {
                self.set(name, clamped(value, 1000, i64::from(i32::MAX)));
            }
            "auto.offset.reset" => self.reset(value, &entry.place()),
            "partition.assignment.strategy" => self.assignor(value, entry),
            "group.protocol" if value.eq_ignore_ascii_case("classic") => {}
            _ => {
                let text = format!("`{}` is read as `classic`", entry.key);
                self.notes.push(Note::warning(text).at(entry.place()));
            }
        }
    }

    fn reset(&mut self, value: &str, place: &str) {
        self.out.reset = match value.to_ascii_lowercase().as_str() {
            "earliest" | "smallest" | "beginning" => Reset::Beginning,
            "latest" | "largest" | "end" => Reset::End,
            "none" | "error" => Reset::Refuse,
            _ => {
                let what = format!(
                    "`auto.offset.reset` must be `earliest`, `latest` or `none`, not `{value}`"
                );
                let problem = Problem::usage(what).at(place);
                self.problems.push(problem.hint("`-o s@MS` or `-o s@RFC3339` begins at a time"));
                return;
            }
        };
    }

    /// Partitions are taken and given up whole, so an incremental assignor runs as `range`.
    fn assignor(&mut self, value: &str, entry: &Entry) {
        let classes = split_list(value);
        let first = classes.first().map_or("", String::as_str);
        match first.rsplit('.').next().unwrap_or(first) {
            "RangeAssignor" | "range" => {}
            "RoundRobinAssignor" | "roundrobin" => {
                self.set("partition.assignment.strategy", "roundrobin");
            }
            other => {
                let text = format!("assignor `{other}` is read as `range`");
                self.notes.push(Note::warning(text).at(entry.place()));
            }
        }
    }

    /// Names a security property that is not read.
    fn known_security(&mut self, name: &str, entry: &Entry) {
        let starts = |list: &[&str]| list.iter().any(|known| name.starts_with(known));
        if name == "security.protocol" || SASL_READ.contains(&name) || SSL_READ.contains(&name) {
            return;
        }
        if starts(&SASL_IGNORED) || starts(&SSL_IGNORED) {
            let text = format!("`{}` has no equivalent here", entry.key);
            self.notes.push(Note::info(text).at(entry.place()));
        } else {
            self.unknown(name, entry);
        }
    }

    fn security(&mut self) {
        let protocol = self.text("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
        if !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&protocol.as_str()) {
            let what = format!(
                "`security.protocol` must be `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`, not `{protocol}`"
            );
            self.refuse(Problem::usage(what), "security.protocol");
            return;
        }
        if self.text("security.protocol").is_some() {
            self.set("security.protocol", protocol.to_ascii_lowercase());
        }
        if protocol.ends_with("SSL") {
            self.trust();
            self.identity();
            self.tls_rules();
        }
        if protocol.starts_with("SASL") {
            self.sasl();
        }
        if let Some(password) = self.request.kafka_password {
            self.put("sasl.password", PropertyValue::Hidden(password.clone()));
        }
    }

    fn sasl(&mut self) {
        // Java's default too.
        let mechanism = self.text("sasl.mechanism").unwrap_or("GSSAPI");
        self.set("sasl.mechanisms", mechanism);
        match mechanism {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => self.user_and_password(mechanism),
            "OAUTHBEARER" => self.oauth(),
            "GSSAPI" => self.kerberos(),
            _ => {
                let what = format!("SASL mechanism `{mechanism}` is not supported");
                let hint = "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` and `GSSAPI` are known";
                self.refuse(Problem::usage(what).hint(hint), "sasl.mechanism");
            }
        }
    }

    /// The JAAS text's one login; says what is wrong with it.
    fn login(&mut self, mechanism: &str) -> Option<Login> {
        let Some(text) = self.text("sasl.jaas.config") else {
            let what = format!("`sasl.jaas.config` is missing, which `{mechanism}` needs");
            self.refuse(Problem::usage(what), "sasl.mechanism");
            return None;
        };
        match jaas::parse(text) {
            Ok(login) => Some(login),
            Err(cause) => {
                let problem = Problem::usage("`sasl.jaas.config` is malformed").cause(cause);
                let hint = "the form is `MODULE required username=\"NAME\" password=\"PASSWORD\";`";
                self.refuse(problem.hint(hint), "sasl.jaas.config");
                None
            }
        }
    }

    fn user_and_password(&mut self, mechanism: &str) {
        let by_flag = self.request.librdkafka.iter().any(|(name, _)| name == "sasl.username");
        if by_flag && self.text("sasl.jaas.config").is_none() {
            return;
        }
        let Some(login) = self.login(mechanism) else { return };
        let wanted = if mechanism == "PLAIN" { "PlainLoginModule" } else { "ScramLoginModule" };
        if !self.is_module(&login, wanted, mechanism) {
            return;
        }
        if login.options.get("tokenauth").is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
            let what = "delegation tokens (`tokenauth`) are not supported";
            self.refuse(Problem::usage(what), "sasl.jaas.config");
            return;
        }
        match login.options.get("username") {
            Some(user) => self.set("sasl.username", user.clone()),
            None => self.missing_option("username"),
        }
        match login.options.get("password") {
            Some(password) => self.hide("sasl.password", password),
            None if self.request.kafka_password.is_some() => {}
            None => self.missing_option("password"),
        }
    }

    fn missing_option(&mut self, option: &str) {
        let what = format!("`sasl.jaas.config` has no option `{option}`");
        self.refuse(Problem::usage(what), "sasl.jaas.config");
    }

    /// Whether the login module is the mechanism's own; vendors' are Java code.
    fn is_module(&mut self, login: &Login, wanted: &str, mechanism: &str) -> bool {
        let simple = login.module.rsplit('.').next().unwrap_or(&login.module);
        let fits = simple == wanted;
        if !fits {
            let what = format!(
                "login module `{}` does not belong to SASL mechanism `{mechanism}`",
                login.module
            );
            let hint = format!("it goes with `{wanted}`");
            self.refuse(Problem::usage(what).hint(hint), "sasl.jaas.config");
        }
        fits
    }

    /// OAuth 2 client credentials: the token is fetched by this program, not by librdkafka.
    fn oauth(&mut self) {
        let Some(login) = self.login("OAUTHBEARER") else { return };
        if !self.is_module(&login, "OAuthBearerLoginModule", "OAUTHBEARER") {
            return;
        }
        // The names of Kafka's own module first, then those of a widespread callback handler, then
        // the properties that Kafka 4.1 has instead.
        let option =
            |names: [&str; 2]| names.iter().find_map(|name| login.options.get(*name)).cloned();
        let endpoint = self.text("sasl.oauthbearer.token.endpoint.url").map(str::to_owned);
        let Some(endpoint) =
            endpoint.or_else(|| login.options.get("oauth.token.endpoint.uri").cloned())
        else {
            return self.unsecured(&login);
        };
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            let shown = endpoint.rsplit('@').next().unwrap_or_default();
            let what = format!("`{shown}` is not the address of a token endpoint");
            let problem = Problem::usage(what).hint("it begins with `https://`");
            return self.refuse(problem, "sasl.oauthbearer.token.endpoint.url");
        }
        let property = |name: &str| self.text(name).map(str::to_owned);
        let client_id = option(["clientId", "oauth.client.id"])
            .or_else(|| property("sasl.oauthbearer.client.credentials.client.id"));
        let client_secret = option(["clientSecret", "oauth.client.secret"])
            .or_else(|| property("sasl.oauthbearer.client.credentials.client.secret"));
        let scope = option(["scope", "oauth.scope"]).or_else(|| property("sasl.oauthbearer.scope"));
        let (Some(client_id), Some(client_secret)) = (client_id.clone(), client_secret) else {
            let missing = if client_id.is_none() { "clientId" } else { "clientSecret" };
            return self.missing_option(missing);
        };
        let extension = |(name, value): (&String, &String)| {
            name.strip_prefix("extension_").map(|name| (name.to_owned(), value.clone()))
        };
        self.out.oauth = Some(OAuth {
            endpoint,
            client_id,
            client_secret: Secret::new(client_secret),
            scope,
            extensions: login.options.iter().filter_map(extension).collect(),
        });
    }

    /// Kafka's unsigned tokens for trying things out.
    fn unsecured(&mut self, login: &Login) {
        let Some(subject) = login.options.get("unsecuredLoginStringClaim_sub") else {
            let what =
                "`sasl.oauthbearer.token.endpoint.url` is missing, which `OAUTHBEARER` needs";
            return self.refuse(Problem::usage(what), "sasl.mechanism");
        };
        self.set("enable.sasl.oauthbearer.unsecure.jwt", "true");
        self.set("sasl.oauthbearer.config", format!("principal={subject}"));
    }

    fn kerberos(&mut self) {
        if !cfg!(feature = "gssapi") {
            let what = "this build has no Kerberos (SASL mechanism `GSSAPI`)";
            let problem = match self.text("sasl.mechanism") {
                Some(_) => Problem::usage(what),
                None => Problem::usage(what)
                    .cause("`sasl.mechanism` is not set, and its default is `GSSAPI`"),
            };
            let problem = problem.hint(
                "set `sasl.mechanism`, or build with `cargo build --release --features gssapi`",
            );
            let at = if self.java("sasl.mechanism").is_some() {
                "sasl.mechanism"
            } else {
                "security.protocol"
            };
            return self.refuse(problem, at);
        }
        if let Some(service) = self.text("sasl.kerberos.service.name") {
            self.set("sasl.kerberos.service.name", service);
        }
        if self.text("sasl.jaas.config").is_none() {
            // The ticket cache is used as it is.
            return self.set("sasl.kerberos.kinit.cmd", "");
        }
        let Some(login) = self.login("GSSAPI") else { return };
        if !self.is_module(&login, "Krb5LoginModule", "GSSAPI") {
            return;
        }
        let names = [
            ("keyTab", "sasl.kerberos.keytab"),
            ("principal", "sasl.kerberos.principal"),
            ("serviceName", "sasl.kerberos.service.name"),
        ];
        for (option, property) in names {
            if let Some(value) = login.options.get(option) {
                self.set(property, value.clone());
            }
        }
        if login.options.get("useTicketCache").is_some_and(|flag| flag == "true") {
            self.set("sasl.kerberos.kinit.cmd", "");
        }
    }

    /// Whom to trust: `ssl.truststore.*`.
    fn trust(&mut self) {
        if let Some(pem) = self.text("ssl.truststore.certificates") {
            return self.set("ssl.ca.pem", keystore::broken_into_lines(pem));
        }
        let Some(path) = self.text("ssl.truststore.location") else { return };
        let kind = self.text("ssl.truststore.type").unwrap_or("JKS");
        if kind.eq_ignore_ascii_case("PEM") {
            return self.set("ssl.ca.location", path);
        }
        let password = self.java("ssl.truststore.password").map(|entry| entry.value.trim());
        let read = self.request.environment.read(path.as_ref());
        match read.and_then(|bytes| keystore::certificates(&bytes, password)) {
            Ok(keystore::Trusted::IsPem) => self.set("ssl.ca.location", path),
            Ok(keystore::Trusted::Pem(pem)) => self.set("ssl.ca.pem", pem),
            Err(cause) => {
                self.unreadable_store("trust store", path, cause, "ssl.truststore.location")
            }
        }
    }

    /// Who we are: `ssl.keystore.*`.
    fn identity(&mut self) {
        let key_password = self.java("ssl.key.password").map(|entry| entry.value.trim());
        let password = self.java("ssl.keystore.password").map(|entry| entry.value.trim());
        if let Some(key) = self.text("ssl.keystore.key") {
            self.hide("ssl.key.pem", &keystore::broken_into_lines(key));
            if let Some(chain) = self.text("ssl.keystore.certificate.chain") {
                self.set("ssl.certificate.pem", keystore::broken_into_lines(chain));
            }
            if let Some(password) = key_password {
                self.hide("ssl.key.password", password);
            }
            return;
        }
        let Some(path) = self.text("ssl.keystore.location") else { return };
        let kind = self.text("ssl.keystore.type").unwrap_or("JKS");
        if kind.eq_ignore_ascii_case("PEM") {
            return self.pem_identity(path, key_password);
        }
        // Java's loaders of JKS and PKCS12 read both, whatever the type says.
        let read = self.request.environment.read(path.as_ref());
        match read.and_then(|bytes| keystore::identity(&bytes, password, key_password)) {
            Ok(keystore::Identity::IsPem) => self.pem_identity(path, key_password),
            Ok(keystore::Identity::IsPkcs12) => self.pkcs12_identity(path, password),
            Ok(keystore::Identity::Pem { chain, key }) => {
                self.set("ssl.certificate.pem", chain);
                self.hide("ssl.key.pem", &key);
            }
            Err(cause) => self.unreadable_store("key store", path, cause, "ssl.keystore.location"),
        }
    }

    fn pem_identity(&mut self, path: &str, key_password: Option<&str>) {
        self.set("ssl.certificate.location", path);
        self.set("ssl.key.location", path);
        if let Some(password) = key_password {
            self.hide("ssl.key.password", password);
        }
    }

    fn pkcs12_identity(&mut self, path: &str, password: Option<&str>) {
        self.set("ssl.keystore.location", path);
        if let Some(password) = password {
            self.hide("ssl.keystore.password", password);
        }
    }

    fn unreadable_store(&mut self, what: &str, path: &str, cause: String, name: &str) {
        let problem = Problem::usage(format!("cannot use the {what} `{path}`")).cause(cause);
        let hint = format!(
            "PEM works everywhere: `{}`",
            if name.contains("trust") {
                "keytool -list -rfc -keystore STORE > ca.pem"
            } else {
                "openssl pkcs12 -in STORE -nodes -out client.pem"
            }
        );
        self.refuse(problem.hint(hint), name);
    }

    fn tls_rules(&mut self) {
        if let Some(entry) = self.java("ssl.endpoint.identification.algorithm") {
            // Java's empty text turns the check of the host's name off.
            let value = entry.value.trim().to_ascii_lowercase();
            let value = if value.is_empty() { "none".to_owned() } else { value };
            self.set("ssl.endpoint.identification.algorithm", value);
        }
        let Some(suites) = self.text("ssl.cipher.suites") else { return };
        if suites.contains("_WITH_") || suites.starts_with("TLS_") {
            let text = "`ssl.cipher.suites` holds Java's names, which OpenSSL does not know: its own choice applies";
            let place = self.place("ssl.cipher.suites");
            self.notes.push(place.into_iter().fold(Note::warning(text), Note::at));
        } else {
            self.set("ssl.cipher.suites", split_list(suites).join(":"));
        }
    }

    /// One property of librdkafka's own, by `-X`.
    fn native(&mut self, name: &str, value: &str) {
        match name {
            "bootstrap.servers" | "metadata.broker.list" => {
                self.out.bootstrap = Some(value.to_owned())
            }
            "group.id" => self.out.group = Some(value.to_owned()),
            "auto.offset.reset" => self.reset(value, "`-X`"),
            "enable.auto.commit" | "enable.auto.offset.store" | "auto.commit.interval.ms" => {
                let what = format!("`{name}` cannot be set: {OURS}");
                self.problems.push(Problem::usage(what).at("`-X`"));
            }
            "enable.partition.eof" => {
                let what = "`enable.partition.eof` cannot be set: a `load` knows by it where a partition ends";
                self.problems.push(Problem::usage(what).at("`-X`"));
            }
            "group.protocol" if value != "classic" => {
                let problem = Problem::usage("`group.protocol` must be `classic`").at("`-X`");
                self.problems.push(problem);
            }
            "partition.assignment.strategy" if !["range", "roundrobin"].contains(&value) => {
                let what = "`partition.assignment.strategy` must be `range` or `roundrobin`";
                self.problems.push(Problem::usage(what).at("`-X`"));
            }
            // librdkafka's two names of one property: the last must win.
            "sasl.mechanism" => self.set("sasl.mechanisms", value),
            _ if keys::is_secret_name(name) => self.hide(name, value),
            _ => self.set(name, value),
        }
    }

    /// The OpenSSL built in knows no system's directories: librdkafka is told to look for them.
    fn authorities(&mut self) {
        let find = |name: &str| self.out.properties.iter().find(|(known, _)| known == name);
        let encrypted = match find("security.protocol") {
            Some((_, PropertyValue::Plain(protocol))) => {
                protocol.to_ascii_lowercase().ends_with("ssl")
            }
            _ => false,
        };
        let told = ["ssl.ca.location", "ssl.ca.pem", "ssl.ca.certificate.stores"];
        if encrypted && told.iter().all(|name| find(name).is_none()) {
            self.set("ssl.ca.location", "probe");
        }
    }
}

fn not_negative(value: &str) -> &str {
    if value.starts_with('-') { "0" } else { value }
}

fn clamped(value: &str, least: i64, most: i64) -> String {
    value.parse().map_or(value.to_owned(), |number: i64| number.clamp(least, most).to_string())
}
