//! A converter's schema registry: addresses, login, TLS and patience from the converter's options.
//!
//! Every option may also carry the prefix `schema.registry.`, as Confluent's client has it; `ssl.*`
//! is read only with it.

use std::time::Duration;

use crate::config::Environment;
use crate::config::entry::{Entry, Note};
use crate::config::job::{Again, OAuth, Registry, RegistryLogin};
use crate::config::settings::{Settings, choice, split_list};
use crate::error::Problem;
use crate::http::{self, Tls};
use crate::kafka::jaas;
use crate::keystore;
use crate::secret::Secret;

/// Reads the registry of the converter under `prefix` (`value.converter.`); `None` with the reasons
/// in `settings.problems`.
pub fn read(
    settings: &mut Settings,
    environment: &Environment<'_>,
    prefix: &str,
) -> Option<Registry> {
    let mut reader = Reader { settings, environment, prefix };
    let (urls, user_info) = reader.urls()?;
    let login = reader.login(user_info);
    let tls = reader.tls();
    let headers = reader.headers();
    let proxy = reader.proxy();
    let connect_timeout = reader.number("http.connect.timeout.ms", 10_000);
    let read_timeout = reader.number("http.read.timeout.ms", 60_000);
    let max_retries = reader.number("max.retries", 3);
    let first_pause = reader.number("retries.wait.ms", 1_000);
    let longest_pause = reader.number("retries.max.wait.ms", 20_000);
    let again = again(reader.settings);
    reader.rest();
    let origin = reader.entry("schema.registry.url").map(super::build::said_at)?;
    let millis = |number: u32| Duration::from_millis(number.into());
    Some(Registry {
        urls,
        origin,
        login: login?,
        headers,
        tls: tls?,
        proxy: proxy?,
        connect_timeout: millis(connect_timeout?.max(1)),
        read_timeout: millis(read_timeout?.max(1)),
        max_retries: max_retries?,
        first_pause: millis(first_pause?),
        longest_pause: millis(longest_pause?),
        again: again?,
    })
}

/// Kafka Connect's own patience, for every converter of the job.
fn again(settings: &mut Settings) -> Option<Again> {
    let within = settings.number("errors.retry.timeout")?;
    let longest_ms = settings.number("errors.retry.delay.max.ms")?;
    Some(Again {
        within: u64::try_from(within).ok().map(Duration::from_millis),
        longest_pause: Duration::from_millis(u64::try_from(longest_ms).unwrap_or_default()),
    })
}

/// Names of the options read here and of those that only matter to who writes, after which a misspelt
/// one is guessed; `*` stands for any end.
pub const OPTIONS: &[&str] = &[
    "schema.registry.url",
    "basic.auth.credentials.source",
    "basic.auth.user.info",
    "bearer.auth.*",
    "bearer.auth.credentials.source",
    "bearer.auth.token",
    "bearer.auth.issuer.endpoint.url",
    "bearer.auth.client.id",
    "bearer.auth.client.secret",
    "bearer.auth.scope",
    "sasl.jaas.config",
    "ssl.*",
    "request.header.*",
    "proxy.host",
    "proxy.port",
    "url.randomize",
    "http.connect.timeout.ms",
    "http.read.timeout.ms",
    "max.retries",
    "retries.wait.ms",
    "retries.max.wait.ms",
    "auto.register.schemas",
    "normalize.schemas",
    "latest.compatibility.strict",
    "key.subject.name.strategy",
    "value.subject.name.strategy",
    "schemas.cache.config",
];

struct Reader<'a> {
    settings: &'a mut Settings,
    environment: &'a Environment<'a>,
    /// `key.converter.` or `value.converter.`.
    prefix: &'a str,
}

impl Reader<'_> {
    fn entry(&self, option: &str) -> Option<&Entry> {
        let plain = self.settings.filled(&format!("{}{option}", self.prefix));
        let long = || self.settings.filled(&format!("{}schema.registry.{option}", self.prefix));
        plain.or_else(long)
    }

    fn text(&self, option: &str) -> Option<String> {
        self.entry(option).map(|entry| entry.value.trim().to_owned())
    }

    /// Reports a problem where its option stands.
    fn refuse(&mut self, option: &str, problem: Problem) {
        let place = self.entry(option).map(Entry::place);
        self.settings.problems.push(place.into_iter().fold(problem, Problem::at));
    }

    fn note(&mut self, option: &str, note: Note) {
        let place = self.entry(option).map(Entry::place);
        self.settings.notes.push(place.into_iter().fold(note, Note::at));
    }

    fn missing(&mut self, option: &str, needed_by: &str) {
        let what = format!("`{}{option}` is missing, which {needed_by} needs", self.prefix);
        self.settings.problems.push(Problem::usage(what));
    }

    fn number(&mut self, option: &str, default: u32) -> Option<u32> {
        let Some(text) = self.text(option) else { return Some(default) };
        let number = text.parse().ok().filter(|&number: &u32| number <= i32::MAX as u32);
        if number.is_none() {
            let what = format!("`{}{option}` must be a whole number, not `{text}`", self.prefix);
            self.refuse(option, Problem::usage(what));
        }
        number
    }

    /// The addresses without user and password, and what stood there: `user:password`.
    fn urls(&mut self) -> Option<(Vec<String>, Option<String>)> {
        const URL: &str = "schema.registry.url";
        let Some(list) = self.text(URL) else {
            let what = format!("`{}{URL}` is missing, which the converter needs", self.prefix);
            let problem = Problem::usage(what);
            self.settings.problems.push(problem.hint("it is like `http://HOST:8081`"));
            return None;
        };
        let mut urls = vec![];
        let mut user_info = None;
        for text in split_list(&list) {
            match url(&text) {
                Some((address, user)) => {
                    urls.push(address);
                    user_info = user_info.or(user);
                }
                None => {
                    // A comma in a password cuts it in two.
                    let whole = if list.contains('@') { &list } else { &text };
                    let shown = http::shown(whole);
                    let what = format!("`{shown}` is not the address of a schema registry");
                    let hint = "write `http://HOST:PORT` or `https://HOST:PORT`";
                    self.refuse(URL, Problem::usage(what).hint(hint));
                    return None;
                }
            }
        }
        Some((urls, user_info))
    }

    fn login(&mut self, user_info: Option<String>) -> Option<RegistryLogin> {
        const BEARER: &str = "bearer.auth.credentials.source";
        let source = self.text(BEARER).map(|text| text.to_ascii_uppercase());
        match source.as_deref() {
            Some("STATIC_TOKEN") => return self.static_token(),
            Some("OAUTHBEARER") => return self.token_endpoint(),
            Some(other) => {
                let known = choice(&["STATIC_TOKEN", "OAUTHBEARER"]);
                let what = format!("`{}{BEARER}` must be {known}, not `{other}`", self.prefix);
                self.refuse(BEARER, Problem::usage(what));
                return None;
            }
            None if self.entry("bearer.auth.token").is_some() => return self.static_token(),
            None => {}
        }
        self.basic(user_info)
    }

    fn basic(&mut self, of_url: Option<String>) -> Option<RegistryLogin> {
        const BASIC: &str = "basic.auth.credentials.source";
        let pair = match self.text(BASIC).map(|text| text.to_ascii_uppercase()).as_deref() {
            Some("USER_INFO") => {
                let pair = self.text("basic.auth.user.info");
                if pair.is_none() {
                    self.missing("basic.auth.user.info", "`USER_INFO`");
                    return None;
                }
                pair
            }
            Some("SASL_INHERIT") => Some(self.inherited()?),
            Some("URL") => of_url,
            None if of_url.is_some() => of_url,
            None => {
                let pair = self.text("basic.auth.user.info");
                if pair.is_some() {
                    let text = format!(
                        "`{}basic.auth.user.info` is used; Java's converters need `{BASIC}=USER_INFO` for it",
                        self.prefix
                    );
                    self.note("basic.auth.user.info", Note::info(text));
                }
                pair
            }
            Some(other) => {
                let known = choice(&["URL", "USER_INFO", "SASL_INHERIT"]);
                let what = format!("`{}{BASIC}` must be {known}, not `{other}`", self.prefix);
                self.refuse(BASIC, Problem::usage(what));
                return None;
            }
        };
        Some(match pair {
            None => RegistryLogin::None,
            Some(pair) => {
                let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
                RegistryLogin::Fixed(http::basic(user, password))
            }
        })
    }

    /// `user:password` of the converter's own `sasl.jaas.config`.
    fn inherited(&mut self) -> Option<String> {
        const JAAS: &str = "sasl.jaas.config";
        let Some(text) = self.text(JAAS) else {
            self.missing(JAAS, "`SASL_INHERIT`");
            return None;
        };
        let login = jaas::parse(&text);
        let option = |name: &str| login.as_ref().ok()?.options.get(name).cloned();
        match (option("username"), option("password")) {
            (Some(user), Some(password)) => Some(format!("{user}:{password}")),
            _ => {
                let what = format!("`{}{JAAS}` holds no username and password", self.prefix);
                let cause = login.err();
                self.refuse(JAAS, cause.into_iter().fold(Problem::usage(what), Problem::cause));
                None
            }
        }
    }

    fn static_token(&mut self) -> Option<RegistryLogin> {
        match self.text("bearer.auth.token") {
            Some(token) => Some(RegistryLogin::Fixed(Secret::new(format!("Bearer {token}")))),
            None => {
                self.missing("bearer.auth.token", "`STATIC_TOKEN`");
                None
            }
        }
    }

    fn token_endpoint(&mut self) -> Option<RegistryLogin> {
        let names = ["issuer.endpoint.url", "client.id", "client.secret"];
        let mut values = vec![];
        for name in names {
            let option = format!("bearer.auth.{name}");
            match self.text(&option) {
                Some(value) => values.push(value),
                None => self.missing(&option, "`OAUTHBEARER`"),
            }
        }
        let [endpoint, client_id, client_secret] = values.try_into().ok()?;
        Some(RegistryLogin::Token(OAuth {
            endpoint,
            client_id,
            client_secret: Secret::new(client_secret),
            scope: self.text("bearer.auth.scope"),
            extensions: vec![],
        }))
    }

    fn tls(&mut self) -> Option<Tls> {
        const CHECK: &str = "schema.registry.ssl.endpoint.identification.algorithm";
        let key = format!("{}{CHECK}", self.prefix);
        if self.settings.get(&key).is_some_and(|entry| entry.value.trim().is_empty()) {
            let what = format!("`{key}` cannot be empty: the registry's name is always checked");
            self.settings
                .problems
                .push(Problem::usage(what).hint("name the registry as its certificate does"));
            return None;
        }
        let authorities = self.authorities()?;
        let identity = self.identity()?;
        let identity = identity.as_ref().map(|(chain, key)| (chain.as_str(), key.as_str()));
        let tls = Tls::new(authorities.as_deref(), identity);
        tls.map_err(|cause| {
            let what = "cannot use the stores of the schema registry";
            self.refuse("ssl.truststore.location", Problem::usage(what).cause(cause));
        })
        .ok()
    }

    /// Option `ssl.*`, which only the long prefix makes the registry's.
    fn ssl(&self, option: &str) -> Option<String> {
        let key = format!("{}schema.registry.ssl.{option}", self.prefix);
        self.settings.filled(&key).map(|entry| entry.value.trim().to_owned())
    }

    /// `None`: refused; the inner one: the system's.
    fn authorities(&mut self) -> Option<Option<String>> {
        if let Some(pem) = self.ssl("truststore.certificates") {
            return Some(Some(keystore::broken_into_lines(&pem)));
        }
        let Some(path) = self.ssl("truststore.location") else { return Some(None) };
        let password = self.ssl("truststore.password");
        let bytes = self.environment.read(path.as_ref());
        match bytes.and_then(|bytes| keystore::pem_certificates(&bytes, password.as_deref())) {
            Ok(pem) => Some(Some(pem)),
            Err(cause) => {
                self.unusable("trust store", &path, cause, "ssl.truststore.location");
                None
            }
        }
    }

    /// `None`: refused; the inner one: nobody. Chain and key in PEM.
    fn identity(&mut self) -> Option<Option<(String, String)>> {
        let key_password = self.ssl("key.password");
        if let Some(key) = self.ssl("keystore.key") {
            let chain = self.ssl("keystore.certificate.chain").unwrap_or_default();
            let both = keystore::broken_into_lines(&format!("{key}\n{chain}"));
            return match keystore::pem_identity(both.as_bytes(), None, key_password.as_deref()) {
                Ok(identity) => Some(Some(identity)),
                Err(cause) => {
                    self.unusable("key", "ssl.keystore.key", cause, "ssl.keystore.key");
                    None
                }
            };
        }
        let Some(path) = self.ssl("keystore.location") else { return Some(None) };
        let password = self.ssl("keystore.password");
        let bytes = self.environment.read(path.as_ref());
        match bytes.and_then(|bytes| {
            keystore::pem_identity(&bytes, password.as_deref(), key_password.as_deref())
        }) {
            Ok(identity) => Some(Some(identity)),
            Err(cause) => {
                self.unusable("key store", &path, cause, "ssl.keystore.location");
                None
            }
        }
    }

    fn unusable(&mut self, what: &str, path: &str, cause: String, option: &str) {
        let what = format!("cannot use the {what} `{path}` of the schema registry");
        self.refuse(option, Problem::usage(what).cause(cause));
    }

    /// `request.header.NAME=VALUE`, and the two that Confluent Cloud wants beside a token.
    fn headers(&mut self) -> Vec<(String, Secret)> {
        let mut headers = vec![];
        for prefix in ["", "schema.registry."] {
            let prefix = format!("{}{prefix}request.header.", self.prefix);
            for (name, entry) in self.settings.prefixed(&prefix) {
                headers.push((name.to_owned(), Secret::new(entry.value.trim())));
            }
        }
        for (option, name) in [
            ("bearer.auth.logical.cluster", "target-sr-cluster"),
            ("bearer.auth.identity.pool.id", "Confluent-Identity-Pool-Id"),
        ] {
            headers.extend(self.text(option).map(|value| (name.to_owned(), Secret::new(value))));
        }
        headers
    }

    fn proxy(&mut self) -> Option<Option<String>> {
        match (self.text("proxy.host"), self.text("proxy.port")) {
            (None, _) => Some(None),
            (Some(host), Some(port)) => Some(Some(format!("{host}:{port}"))),
            (Some(_), None) => {
                self.missing("proxy.port", "`proxy.host`");
                None
            }
        }
    }

    /// Options that say something else than what is done here.
    fn rest(&mut self) {
        if self.text("url.randomize").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            let text = "the registry's addresses are tried in their order";
            self.note("url.randomize", Note::info(text));
        }
    }
}

/// An address without user and final slash, and the user. A scheme may be left out.
fn url(text: &str) -> Option<(String, Option<String>)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, authority),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let legal = matches!(scheme.as_str(), "http" | "https")
        && !host.is_empty()
        && host.chars().all(fits)
        // A `/` in a password would make its beginning the host.
        && !path.contains(['?', '#', ' ', '@']);
    legal.then(|| (format!("{scheme}://{host}{}", path.trim_end_matches('/')), user))
}
