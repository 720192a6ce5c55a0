//! A schema registry with Confluent's API: asks for schemas by id, remembers them for all lanes.
//!
//! Schemas never change under an id, so what was fetched is kept. Asks the addresses in turn, again
//! after pauses, and then says that the registry is away. Decides nothing about records.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use ureq::{Agent, Proxy};

use crate::config::job;
use crate::config::job::RegistryLogin;
use crate::convert::wire::SchemaId;
use crate::convert::{RegisteredSchema, SchemaKind, SchemaSource};
use crate::data::{Exception, Failure};
use crate::error::Problem;
use crate::http;
use crate::kafka::oauth::TokenSource;
use crate::secret::Secret;

/// A schema is kilobytes; anything longer is no schema.
const MOST_ANSWER_BYTES: u64 = 16 << 20;
/// Schemas kept; a topic has some dozens.
const MOST_KEPT: usize = 10_000;
/// An unknown id is not asked for again this long: a damaged topic may name it in every record.
const MISSING_LIFE: Duration = Duration::from_secs(10);
/// Schemas that one may refer to, all in all.
const MOST_REFERENCES: usize = 1_000;
/// Kafka Connect's first pause before a converter is tried again.
const FIRST_PAUSE_AGAIN: Duration = Duration::from_millis(300);
/// A token is renewed this long before it ends.
const TOKEN_RESERVE_MS: i64 = 30_000;

/// One registry. Shared by all lanes.
pub struct Registry {
    settings: job::Registry,
    agent: Agent,
    /// The address that answered last; the next request starts there.
    preferred: AtomicUsize,
    known: Mutex<HashMap<SchemaId, Known>>,
    tokens: Option<(TokenSource, Mutex<Option<Token>>)>,
    closed: Mutex<bool>,
    close: Condvar,
    /// Why a schema is waited for at the moment.
    away: Mutex<Option<String>>,
}

enum Known {
    Schema(Arc<RegisteredSchema>),
    Missing(Instant, Failure),
}

struct Token {
    authorization: Secret,
    renew_at_ms: i64,
}

/// What a registry answered.
struct Answer {
    url: String,
    status: u16,
    json: Option<Json>,
}

impl Registry {
    /// Asks nobody yet.
    pub fn new(settings: &job::Registry) -> Result<Self, Problem> {
        let config = http::config(&settings.tls, settings.connect_timeout, settings.read_timeout);
        let proxy = settings.proxy.as_ref().map(|address| Proxy::new(&format!("http://{address}")));
        let proxy = proxy.transpose().map_err(|error| {
            Problem::usage("cannot use the proxy of the schema registry")
                .cause(error.to_string())
                .at(&settings.origin)
        })?;
        let tokens = match &settings.login {
            RegistryLogin::Token(oauth) => Some((TokenSource::new(oauth), Mutex::new(None))),
            RegistryLogin::None | RegistryLogin::Fixed(_) => None,
        };
        Ok(Registry {
            settings: settings.clone(),
            agent: config.proxy(proxy).build().new_agent(),
            preferred: AtomicUsize::new(0),
            known: Mutex::default(),
            tokens,
            closed: Mutex::new(false),
            close: Condvar::new(),
            away: Mutex::new(None),
        })
    }

    /// Ends every wait for a registry that is away; nothing is asked from now on.
    pub fn close(&self) {
        *locked(&self.closed) = true;
        self.close.notify_all();
    }

    /// Why a lane waits for a schema now, if one does.
    pub fn waits(&self) -> Option<String> {
        locked(&self.away).clone()
    }

    /// The latest schema of a subject; `None` where the registry knows no such subject.
    pub fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, Failure> {
        let subject = http::percent_encoded(subject);
        let answer = self.ask(&format!("/subjects/{subject}/versions/latest"))?;
        match answer.missing() {
            Some(_) => Ok(None),
            None => self.read(&answer).map(Some),
        }
    }

    fn fetch(&self, id: SchemaId, subject: Option<&str>) -> Result<RegisteredSchema, Failure> {
        let path = match id {
            SchemaId::Number(id) => format!("/schemas/ids/{id}?fetchMaxId=false"),
            SchemaId::Guid(_) => format!("/schemas/guids/{id}?"),
        };
        let mut answer = match subject {
            Some(subject) => {
                let subject = http::percent_encoded(subject);
                self.ask(&format!("{path}&subject={subject}"))?
            }
            None => self.ask(&path)?,
        };
        // The schema may have been registered under another subject.
        if subject.is_some() && answer.missing().is_some() {
            answer = self.ask(&path)?;
        }
        match answer.missing() {
            None => self.read(&answer),
            Some(message) => {
                let subject = subject.map(|name| format!(" (subject `{name}`)"));
                Err(Failure::data(format!(
                    "the schema registry `{}` has no schema with id {id}{}: {message}",
                    answer.url,
                    subject.unwrap_or_default()
                )))
            }
        }
    }

    fn read(&self, answer: &Answer) -> Result<RegisteredSchema, Failure> {
        let json = answer.good(&self.settings.origin)?;
        let mut schema = schema(json).ok_or_else(|| answer.strange(&self.settings.origin))?;
        refuse_rules(json)?;
        let mut seen = vec![];
        self.references(json, &mut seen, &mut schema.references)?;
        Ok(schema)
    }

    /// Adds what a schema refers to, deepest first, each once.
    fn references(
        &self,
        json: &Json,
        seen: &mut Vec<(String, i64)>,
        found: &mut Vec<(String, String)>,
    ) -> Result<(), Failure> {
        for reference in json["references"].as_array().into_iter().flatten() {
            let (name, subject) = (reference["name"].as_str(), reference["subject"].as_str());
            let (Some(name), Some(subject)) = (name, subject) else {
                return Err(Failure::data("a schema's reference has no name and subject"));
            };
            let version = reference["version"].as_i64().unwrap_or(-1);
            let key = (format!("{name}\n{subject}"), version);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            if seen.len() > MOST_REFERENCES {
                return Err(Failure::data("a schema refers to too many others"));
            }
            let path = format!(
                "/subjects/{}/versions/{version}?deleted=true",
                http::percent_encoded(subject)
            );
            let answer = self.ask(&path)?;
            if let Some(message) = answer.missing() {
                return Err(Failure::data(format!(
                    "the schema registry `{}` has no version {version} of subject `{subject}`, \
                     which a schema refers to as `{name}`: {message}",
                    answer.url
                )));
            }
            let inner = answer.good(&self.settings.origin)?;
            let text = inner["schema"].as_str();
            let text = text.ok_or_else(|| answer.strange(&self.settings.origin))?.to_owned();
            self.references(inner, seen, found)?;
            found.push((name.to_owned(), text));
        }
        Ok(())
    }

    /// One GET, from whichever address answers, until one does or patience ends.
    fn ask(&self, path: &str) -> Result<Answer, Failure> {
        let began = Instant::now();
        let mut tries = 0;
        let mut pause = FIRST_PAUSE_AGAIN;
        let outcome = loop {
            let failure = match self.ask_in_rounds(path, &mut tries) {
                Err(failure) if failure.exception == Exception::Retriable => failure,
                outcome => break outcome,
            };
            let again = self.settings.again;
            let left = again.within.map(|within| within.saturating_sub(began.elapsed()));
            if left == Some(Duration::ZERO) {
                break Err(failure);
            }
            let wait = pause.min(again.longest_pause).min(left.unwrap_or(Duration::MAX));
            if let Err(ended) = self.wait(wait) {
                break Err(ended);
            }
            pause = pause.saturating_mul(2);
        };
        *locked(&self.away) = None;
        outcome
    }

    /// What the registry's own settings allow: some rounds over its addresses.
    fn ask_in_rounds(&self, path: &str, tries: &mut u64) -> Result<Answer, Failure> {
        let mut pause = self.settings.first_pause;
        let mut last = None;
        for round in 0..=self.settings.max_retries {
            if round > 0 {
                self.wait(pause)?;
                pause = (pause * 2).min(self.settings.longest_pause);
            }
            *tries += 1;
            match self.ask_each(path)? {
                Ok(answer) => return Ok(answer),
                Err(why) => {
                    *locked(&self.away) = Some(format!("schema registry: {why}"));
                    last = Some(why);
                }
            }
        }
        let why = last.unwrap_or_default();
        Err(Failure::new(
            Exception::Retriable,
            format!("the schema registry cannot be reached, tried {tries} times: {why}"),
        ))
    }

    /// One round over the addresses. The inner error: why no one could answer.
    fn ask_each(&self, path: &str) -> Result<Result<Answer, String>, Failure> {
        let urls = &self.settings.urls;
        let start = self.preferred.load(Ordering::Relaxed);
        let mut reasons = vec![];
        for turn in 0..urls.len() {
            let index = (start + turn) % urls.len();
            match self.ask_one(&urls[index], path)? {
                Ok(answer) if !passes(answer.status) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(Ok(answer));
                }
                Ok(answer) => reasons.push(format!("`{}`: {}", answer.url, answer.said())),
                Err(cause) => reasons.push(format!("`{}`: {cause}", urls[index])),
            }
        }
        Ok(Err(reasons.join("; ")))
    }

    fn ask_one(&self, url: &str, path: &str) -> Result<Result<Answer, String>, Failure> {
        let mut request = self
            .agent
            .get(format!("{url}{path}"))
            .header("Accept", "application/vnd.schemaregistry.v1+json, application/json")
            .header("Content-Type", "application/vnd.schemaregistry.v1+json");
        for (name, value) in &self.settings.headers {
            request = request.header(name, value.reveal());
        }
        if let Some(authorization) = self.authorization()? {
            request = request.header("Authorization", authorization.reveal());
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Err(http::describe(&error).0)),
        };
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MOST_ANSWER_BYTES).read_to_vec();
        Ok(match body {
            Ok(body) => {
                let json = serde_json::from_slice(&body).ok();
                Ok(Answer { url: url.to_owned(), status, json })
            }
            Err(error) => Err(http::describe(&error).0),
        })
    }

    fn authorization(&self) -> Result<Option<Secret>, Failure> {
        let Some((source, held)) = &self.tokens else {
            return Ok(match &self.settings.login {
                RegistryLogin::Fixed(authorization) => Some(authorization.clone()),
                RegistryLogin::None | RegistryLogin::Token(_) => None,
            });
        };
        let mut held = locked(held);
        match &*held {
            Some(token) if crate::kafka::oauth::now_ms() < token.renew_at_ms => {
                Ok(Some(token.authorization.clone()))
            }
            _ => {
                let token = source.fetch().map_err(refused_token)?;
                let authorization = Secret::new(format!("Bearer {}", token.token));
                let renew_at_ms = token.lifetime_ms - TOKEN_RESERVE_MS;
                *held = Some(Token { authorization: authorization.clone(), renew_at_ms });
                Ok(Some(authorization))
            }
        }
    }

    /// A pause that [`Registry::close`] ends.
    fn wait(&self, pause: Duration) -> Result<(), Failure> {
        let closed = locked(&self.closed);
        let waited = self.close.wait_timeout_while(closed, pause, |closed| !*closed);
        match *waited.unwrap_or_else(PoisonError::into_inner).0 {
            false => Ok(()),
            true => Err(Failure::new(Exception::Retriable, "the run ends")),
        }
    }
}

impl SchemaSource for Registry {
    fn schema(
        &self,
        id: SchemaId,
        subject: Option<&str>,
    ) -> Result<Arc<RegisteredSchema>, Failure> {
        match locked(&self.known).get(&id) {
            Some(Known::Schema(schema)) => return Ok(Arc::clone(schema)),
            Some(Known::Missing(since, failure)) if since.elapsed() < MISSING_LIFE => {
                return Err(failure.clone());
            }
            Some(Known::Missing(..)) | None => {}
        }
        // Not under the lock: other lanes go on with what is known. Two that need the same schema at
        // once both ask, which harms nobody.
        let fetched = self.fetch(id, subject).map(Arc::new);
        let entry = match &fetched {
            Ok(schema) => Known::Schema(Arc::clone(schema)),
            Err(failure) if failure.exception == Exception::Data => {
                Known::Missing(Instant::now(), failure.clone())
            }
            Err(_) => return fetched,
        };
        let mut known = locked(&self.known);
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        known.insert(id, entry);
        fetched
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("urls", &self.settings.urls).finish_non_exhaustive()
    }
}

impl Answer {
    /// The registry's own words, if it has no such schema, subject or version. Anything else that
    /// answers 404 is no registry, or its address lacks a path.
    fn missing(&self) -> Option<String> {
        const NOT_FOUND: std::ops::Range<i64> = 40_400..40_500;
        let json = self.json.as_ref().filter(|_| self.status == 404)?;
        let code = json["error_code"].as_i64().filter(|code| NOT_FOUND.contains(code))?;
        Some(format!("{} (error code {code})", json["message"].as_str().unwrap_or_default()))
    }

    /// Status and the registry's own words.
    fn said(&self) -> String {
        let message = self.json.as_ref().and_then(|json| json["message"].as_str());
        match message {
            Some(message) => format!("HTTP {}: {message}", self.status),
            None => format!("HTTP {}", self.status),
        }
    }

    /// The body of a 200.
    fn good(&self, origin: &str) -> Result<&Json, Failure> {
        match (self.status, &self.json) {
            (200, Some(json)) => Ok(json),
            (401 | 403, _) => Err(Failure::new(
                Exception::Authorization,
                format!(
                    "the schema registry `{}` does not let us in: {}; check the credentials beside {origin}",
                    self.url,
                    self.said()
                ),
            )),
            _ => Err(self.strange(origin)),
        }
    }

    fn strange(&self, origin: &str) -> Failure {
        Failure::config(format!(
            "`{}` does not answer like a schema registry: {}; check {origin}",
            self.url,
            self.said()
        ))
    }
}

fn schema(json: &Json) -> Option<RegisteredSchema> {
    let kind = match json["schemaType"].as_str() {
        None | Some("AVRO") => SchemaKind::Avro,
        Some("PROTOBUF") => SchemaKind::Protobuf,
        Some("JSON") => SchemaKind::Json,
        Some(_) => return None,
    };
    let version = json["version"].as_i64().and_then(|version| i32::try_from(version).ok());
    Some(RegisteredSchema {
        kind,
        text: json["schema"].as_str()?.to_owned(),
        references: vec![],
        version,
    })
}

/// Rules that change values on their way to a reader, encryption among them, are code that this
/// program does not have: to leave them out would load something else than was written.
fn refuse_rules(json: &Json) -> Result<(), Failure> {
    let sets = ["domainRules", "encodingRules"];
    let rules = sets.iter().filter_map(|set| json["ruleSet"][set].as_array()).flatten();
    for rule in rules {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let reads = matches!(text("mode"), "READ" | "WRITEREAD");
        if text("kind") == "TRANSFORM" && reads && rule["disabled"] != true {
            return Err(Failure::config(format!(
                "the schema's rule `{}` of type `{}` changes values for readers, which is not supported",
                text("name"),
                text("type")
            )));
        }
    }
    Ok(())
}

/// Statuses that another address or a later time may mend; those of Confluent's own client.
fn passes(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

fn refused_token(problem: Problem) -> Failure {
    let exception = match problem.kind {
        crate::error::Kind::Unavailable => Exception::Retriable,
        _ => Exception::Authorization,
    };
    let causes: String = problem.causes.iter().map(|cause| format!(": {cause}")).collect();
    Failure::new(exception, format!("{}{causes}", problem.what))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
