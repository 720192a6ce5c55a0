//! Access tokens for SASL OAUTHBEARER: OAuth 2's client credentials grant, one POST a token. Keeps
//! no token and decides no time: librdkafka asks for the next one when the last grows old.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;
use serde_json::{Value, json};
use ureq::Agent;

use crate::config::job::OAuth;
use crate::error::{Kind, Problem};
use crate::http::{self, Tls};
use crate::secret::Secret;

/// For each part of the exchange: connecting, sending, the answer.
const WAIT: Duration = Duration::from_secs(10);
/// A token is a few kilobytes.
const MOST_ANSWER_BYTES: u64 = 1 << 20;
/// How long a token of our own making is good.
const UNSECURED_LIFE: Duration = Duration::from_secs(3600);

/// Where tokens come from: one client at one endpoint.
pub struct TokenSource {
    agent: Agent,
    oauth: OAuth,
    authorization: Secret,
}

impl TokenSource {
    /// Asks nobody yet.
    pub fn new(oauth: &OAuth) -> Self {
        let config = http::config(&Tls::default(), WAIT, WAIT).timeout_send_body(Some(WAIT));
        TokenSource {
            agent: config.build().new_agent(),
            oauth: oauth.clone(),
            authorization: http::basic(&oauth.client_id, oauth.client_secret.reveal()),
        }
    }

    /// Gets a token. Blocks for some tens of seconds at worst.
    pub fn fetch(&self) -> Result<OAuthToken, Problem> {
        let (status, body) = self.ask().map_err(|error| {
            Problem::unavailable(format!("cannot reach the token endpoint {}", self.endpoint()))
                .cause(error.to_string())
                .hint("check `sasl.oauthbearer.token.endpoint.url`")
        })?;
        if status != 200 {
            return Err(self.refused(status, &body));
        }
        self.read(&body)
    }

    fn ask(&self) -> Result<(u16, Vec<u8>), ureq::Error> {
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.oauth.scope {
            form += "&scope=";
            form += &http::percent_encoded(scope);
        }
        let request = self
            .agent
            .post(&self.oauth.endpoint)
            .header("Authorization", self.authorization.reveal())
            .header("Accept", "application/json")
            .content_type("application/x-www-form-urlencoded");
        let mut response = request.send(&form)?;
        let body = response.body_mut().with_config().limit(MOST_ANSWER_BYTES).read_to_vec()?;
        Ok((response.status().as_u16(), body))
    }

    /// An answer other than 200, with the reason the endpoint gives.
    fn refused(&self, status: u16, body: &[u8]) -> Problem {
        // Overloaded and broken endpoints recover; the rest is ours to mend.
        let passes = status >= 500 || matches!(status, 408 | 425 | 429);
        let kind = if passes { Kind::Unavailable } else { Kind::Usage };
        let what = format!("the token endpoint {} refuses (HTTP {status})", self.endpoint());
        let mut problem = Problem::new(kind, what);
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        for field in ["error", "error_description"] {
            if let Some(text) = answer[field].as_str() {
                problem = problem.cause(self.without_secret(text));
            }
        }
        if passes {
            return problem;
        }
        match status {
            300..400 => problem.hint("give the address that answers without a redirect"),
            _ => problem
                .hint("check `clientId`, `clientSecret` and `scope` in `sasl.jaas.config`")
                .hint("check `sasl.oauthbearer.token.endpoint.url`"),
        }
    }

    fn read(&self, body: &[u8]) -> Result<OAuthToken, Problem> {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let bad = |cause: &str| {
            let what = format!("the token endpoint {} gives no token", self.endpoint());
            Problem::usage(what).cause(cause)
        };
        let token = answer["access_token"].as_str().ok_or_else(|| {
            bad("its answer is not a JSON object with `access_token`")
                .hint("check `sasl.oauthbearer.token.endpoint.url`")
        })?;
        // Anything else would not survive the SASL message the token travels in.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("`access_token` is empty or holds blanks or control characters"));
        }
        let claims = claims(token);
        let in_seconds = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
        let expires_ms = match in_seconds(&answer["expires_in"]) {
            Some(seconds) => Some(now_ms().saturating_add(millis(seconds))),
            None => claims["exp"].as_f64().map(millis),
        };
        let expires_ms = expires_ms.ok_or_else(|| {
            bad("neither `expires_in` nor the claim `exp` says how long it lives")
        })?;
        if expires_ms <= now_ms() {
            return Err(bad("the token has expired already").hint("check this machine's clock"));
        }
        let principal = claims["sub"].as_str().unwrap_or(&self.oauth.client_id);
        Ok(OAuthToken {
            token: token.into(),
            principal_name: principal.into(),
            lifetime_ms: expires_ms,
        })
    }

    /// The endpoint for messages, in backticks: without user and password, should it hold them.
    fn endpoint(&self) -> String {
        format!("`{}`", http::shown(&self.oauth.endpoint))
    }

    fn without_secret(&self, text: &str) -> String {
        let secret = self.oauth.client_secret.reveal();
        if secret.is_empty() { text.into() } else { text.replace(secret, "(hidden)") }
    }
}

/// A token nobody signed, as Kafka's brokers take them where no validator is set up: for trying
/// things out. `config` is librdkafka's `sasl.oauthbearer.config`, `principal=NAME`.
pub fn unsecured(config: Option<&str>) -> Result<OAuthToken, Problem> {
    let name = config.and_then(|config| config.strip_prefix("principal="));
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let what = "SASL OAUTHBEARER needs a token endpoint or a principal";
        return Err(Problem::usage(what).hint("set `sasl.oauthbearer.token.endpoint.url`"));
    };
    let now_ms = now_ms();
    let end_ms = now_ms.saturating_add(millis(UNSECURED_LIFE.as_secs_f64()));
    let head = json!({ "alg": "none" }).to_string();
    let body = json!({ "sub": name, "iat": now_ms / 1000, "exp": end_ms / 1000 }).to_string();
    Ok(OAuthToken {
        token: format!("{}.{}.", base64_url(&head), base64_url(&body)),
        principal_name: name.into(),
        lifetime_ms: end_ms,
    })
}

/// What a JWT says of itself; null where the token is something else.
fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap_or_default();
    let mut base64 = body.trim_end_matches('=').replace('-', "+").replace('_', "/");
    base64.push_str(["", "", "==", "="][base64.len() % 4]);
    let bytes = openssl::base64::decode_block(&base64).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn base64_url(text: &str) -> String {
    let base64 = openssl::base64::encode_block(text.as_bytes());
    base64.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A float beyond the integers becomes the nearest one.
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const SECRET: &str = "hunter2";

    /// Answers one request with `status` and `body`; returns the outcome and the request.
    fn exchange(
        status: &str,
        body: &str,
        change: impl FnOnce(&mut OAuth),
    ) -> (Result<OAuthToken, Problem>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut part = [0; 4096];
            while !request.contains("grant_type=") {
                let n = stream.read(&mut part).unwrap();
                assert!(n > 0, "the request ends early: {request}");
                request += std::str::from_utf8(&part[..n]).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let mut oauth = OAuth {
            endpoint: format!("http://{address}/token"),
            client_id: "id".into(),
            client_secret: Secret::new(SECRET),
            scope: None,
            extensions: vec![],
        };
        change(&mut oauth);
        let outcome = TokenSource::new(&oauth).fetch();
        (outcome, server.join().unwrap())
    }

    #[track_caller]
    fn check_refused(status: &str, body: &str, kind: Kind, says: &str) {
        let (outcome, _) = exchange(status, body, |_| {});
        let problem = outcome.err().expect("no token");
        assert_eq!(problem.kind, kind, "{problem:?}");
        assert!(problem.what.contains("`http://127.0.0.1:"), "{problem:?}");
        assert!(problem.causes.join("; ").contains(says), "{problem:?}");
        assert!(!format!("{problem:?}").contains(SECRET), "{problem:?}");
    }

    #[test]
    fn a_request_carries_the_client_in_its_header_and_the_scope_in_its_form() {
        let body = r#"{"access_token":"t","expires_in":60}"#;
        let (outcome, request) = exchange("200 OK", body, |o| o.scope = Some("a b&c".into()));
        outcome.expect("a token");
        let request = request.to_lowercase();
        assert!(request.starts_with("post /token http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: basic awq6ahvudgvymg==\r\n"), "{request}");
        assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"));
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a%20b%26c"));
    }

    #[test]
    fn an_opaque_token_lives_as_long_as_the_endpoint_says_and_goes_by_the_client() {
        let before = now_ms();
        let body = r#"{"access_token":"opaque","expires_in":60,"token_type":"Bearer"}"#;
        let token = exchange("200 OK", body, |_| {}).0.expect("a token");
        assert_eq!((&*token.token, &*token.principal_name), ("opaque", "id"));
        assert!((before + 60_000..=now_ms() + 60_000).contains(&token.lifetime_ms));
    }

    #[test]
    fn a_jwt_says_itself_whose_it_is_and_until_when() {
        let jwt = unsecured(Some("principal=alice")).expect("a token");
        let body = json!({ "access_token": jwt.token }).to_string();
        let token = exchange("200 OK", &body, |_| {}).0.expect("a token");
        assert_eq!(token.principal_name, "alice");
        assert_eq!(token.lifetime_ms, jwt.lifetime_ms / 1000 * 1000);
    }

    #[test]
    fn a_refusal_names_endpoint_and_reason_and_never_the_secret() {
        let body = r#"{"error":"invalid_client","error_description":"no such secret: hunter2"}"#;
        check_refused("401 Unauthorized", body, Kind::Usage, "invalid_client; no such secret");
        check_refused("503 Busy", "<html>", Kind::Unavailable, "");
        check_refused("302 Found", "", Kind::Usage, "");
    }

    #[test]
    fn an_answer_without_a_usable_token_is_refused() {
        check_refused("200 OK", "<html>", Kind::Usage, "`access_token`");
        check_refused("200 OK", r#"{"access_token":"t"}"#, Kind::Usage, "`expires_in`");
        let spaced = r#"{"access_token":"a b","expires_in":9}"#;
        check_refused("200 OK", spaced, Kind::Usage, "control characters");
        let old = r#"{"access_token":"t","expires_in":0}"#;
        check_refused("200 OK", old, Kind::Usage, "expired already");
    }

    #[test]
    fn an_endpoint_that_does_not_answer_may_be_tried_again() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let oauth = OAuth {
            endpoint: format!("http://u:{SECRET}@127.0.0.1:{port}/token?k={SECRET}"),
            client_id: "id".into(),
            client_secret: Secret::new(SECRET),
            scope: None,
            extensions: vec![],
        };
        let problem = TokenSource::new(&oauth).fetch().err().expect("nobody is there");
        assert_eq!(problem.kind, Kind::Unavailable);
        assert!(problem.what.ends_with(&format!("`http://127.0.0.1:{port}/token`")), "{problem:?}");
        assert!(!format!("{problem:?}").contains(SECRET), "{problem:?}");
    }
}
