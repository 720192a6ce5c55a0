//! Effective settings become a [`Job`]. Owns what keys mean together; single values were held
//! against the key table before.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::entry::{Entry, Note, Origin};
use crate::config::job::{
    FeAddress, FlushPolicy, Job, OAuth, Replay, Retries, Source, Target, Topics,
};
use crate::config::pattern::TopicPattern;
use crate::config::settings::{Settings, split_list};
use crate::config::{Environment, Overrides, Password, client, errors, headers, records, routes};
use crate::error::Problem;
use crate::secret::Secret;

/// The job, or `None` with the reasons in `settings.problems`. Goes on after a problem, so that all
/// are found at once.
pub(super) fn job(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
) -> Option<Job> {
    let name = name(settings, overrides);
    let topics = topics(settings, overrides);
    let format = headers::format(settings);
    let records = records::read(settings, environment, &format);
    // Where transforms choose the topic, any may be meant.
    let known = topics.as_ref().filter(|_| !records.may_route);
    let routes = routes::read(settings, &overrides.map, known);
    let target = target(settings, overrides, environment);
    let flush = flush(settings, overrides);
    let lanes = lanes(settings);
    let max_retries = retries(settings);
    let mut source = source(settings, overrides, environment, name.as_deref(), topics);
    let replay = replay(settings, overrides, source.as_mut());
    let errors = errors::read(settings, overrides, environment, source.as_ref(), replay.as_ref());
    Some(Job {
        name: name?,
        source: source?,
        records,
        format,
        routes,
        target: target?,
        flush: flush?,
        delivery: overrides.delivery,
        lanes: lanes?,
        loads: overrides.loads,
        memory_bytes: overrides.memory_bytes,
        max_retries,
        errors: errors?,
        replay,
        redact_values: overrides.redact_values,
    })
}

fn retries(settings: &Settings) -> Retries {
    match settings.number("sink.maxretries") {
        None => Retries::Unsaid,
        Some(most) => u32::try_from(most).map_or(Retries::Endless, Retries::AtMost),
    }
}

/// Dead letters in place of the topics: read by a group of their own, so that each is loaded once. For
/// a file the group counts its lines, in the place of the first topic's first partition; which file it is
/// becomes part of the group's name when the file is opened.
fn replay(
    settings: &mut Settings,
    overrides: &Overrides,
    source: Option<&mut Source>,
) -> Option<Replay> {
    let from = overrides.replay.as_ref()?;
    let file = errors::is_file(from).then(|| PathBuf::from(from));
    let source = source?;
    let refused = match (&file, &source.topics) {
        (None, _) if !is_topic_name(from) => Some(format!("`{from}` cannot be a topic's name")),
        (Some(_), Topics::Matching(_)) => {
            Some("`--replay FILE` needs a topic by name, which keeps the position".to_owned())
        }
        (None | Some(_), Topics::Named(_) | Topics::Matching(_)) => None,
    };
    if let Some(what) = refused {
        let problem = Problem::usage(what).at("`--replay`");
        settings.problems.push(problem.hint("name the letters' topic with `-t`"));
        return None;
    }
    if file.is_none() && source.topics.take_in(from) {
        let what = format!("topic `{from}` would be replayed and is loaded as well");
        let problem = Problem::usage(what).at("`--replay`");
        settings.problems.push(problem.hint(
            "`--replay` takes a topic of dead letters; `-t` names the topics they came from where the \
             configuration's pattern takes in both",
        ));
        return None;
    }
    // A group that is named may hold the position of the very partition whose place a file takes.
    match &file {
        Some(_) => source.group = format!("{}-replay", source.group),
        None if source.group_is_explicit => {}
        None => source.group = format!("{}-replay-{from}", source.group),
    }
    let read = match (&file, &source.topics) {
        (Some(_), Topics::Named(names)) => {
            source.partitions = vec![0];
            names[..1].to_vec()
        }
        (_, Topics::Named(_) | Topics::Matching(_)) => vec![from.clone()],
    };
    let topics = std::mem::replace(&mut source.topics, Topics::Named(read));
    Some(Replay { topics, file })
}

/// The connector's name; without files a group given by flag names the run.
fn name(settings: &mut Settings, overrides: &Overrides) -> Option<String> {
    if let (None, Some(group)) = (settings.filled("name"), &overrides.group) {
        return Some(group.clone());
    }
    let hint = "`name` in a connector file names the run and its consumer group; `-G` does too";
    let entry = settings.required("name", hint)?;
    let name = entry.value.trim().to_owned();
    if name.chars().any(char::is_control) {
        let what = "`name` holds a control character";
        settings.problems.push(Problem::usage(what).at(entry.place()));
    }
    Some(name)
}

fn topics(settings: &mut Settings, overrides: &Overrides) -> Option<Topics> {
    if !overrides.topics.is_empty() {
        return topics_of_flags(settings, &overrides.topics);
    }
    match (settings.filled("topics").cloned(), settings.filled("topics.regex").cloned()) {
        (Some(named), Some(regex)) => {
            let what = "`topics` and `topics.regex` exclude each other, and both are set";
            let problem = Problem::usage(what).at(named.place()).at(regex.place());
            settings.problems.push(problem.hint("remove one of them, or name topics with `-t`"));
            None
        }
        (Some(named), None) => {
            let mut topics: Vec<String> = vec![];
            for topic in split_list(&named.value) {
                if !topics.contains(&topic) {
                    topics.push(topic);
                }
            }
            if let Some(bad) = topics.iter().find(|topic| !is_topic_name(topic)) {
                let problem = Problem::usage(format!("`{bad}` cannot be a topic's name"));
                settings.problems.push(problem.at(named.place()).hint(
                    "a pattern goes into `topics.regex`; a name holds letters, digits, `.`, `_` and `-`",
                ));
            }
            Some(Topics::Named(topics))
        }
        (None, Some(regex)) => pattern(settings, regex.value.trim(), &regex.place()),
        (None, None) => {
            let what = "neither `topics` nor `topics.regex` is set";
            settings.problems.push(Problem::usage(what).hint("name the topics with `-t`"));
            None
        }
    }
}

fn topics_of_flags(settings: &mut Settings, topics: &[String]) -> Option<Topics> {
    let place = Origin::Flag("-t").to_string();
    if !topics.iter().any(|topic| topic.starts_with('^')) {
        if let Some(bad) = topics.iter().find(|topic| !is_topic_name(topic)) {
            let problem = Problem::usage(format!("`{bad}` cannot be a topic's name")).at(place);
            settings.problems.push(problem.hint("a pattern begins with `^`"));
            return None;
        }
        return Some(Topics::Named(topics.to_vec()));
    }
    match topics {
        [one] => pattern(settings, one, &place),
        _ => {
            let what = "a pattern must be the only topic";
            let hint = "join patterns with `|`: `^(orders|users)-.*`";
            settings.problems.push(Problem::usage(what).at(place).hint(hint));
            None
        }
    }
}

fn pattern(settings: &mut Settings, text: &str, place: &str) -> Option<Topics> {
    match TopicPattern::new(text) {
        Ok(pattern) => Some(Topics::Matching(pattern)),
        Err(cause) => {
            let what = format!("`{text}` is not a pattern");
            settings.problems.push(Problem::usage(what).cause(cause).at(place));
            None
        }
    }
}

/// Kafka's rule for names.
pub(super) fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".."
}

/// More lanes than this bring nothing on any machine.
const MOST_LANES: usize = 64;

fn lanes(settings: &mut Settings) -> Option<usize> {
    let asked = usize::try_from(settings.number("tasks.max")?).unwrap_or(MOST_LANES);
    if asked > MOST_LANES {
        let text = format!("`tasks.max` is read as {MOST_LANES}");
        let place = settings.get("tasks.max").map(Entry::place);
        settings.notes.push(place.into_iter().fold(Note::info(text), Note::at));
    }
    Some(asked.min(MOST_LANES))
}

fn flush(settings: &Settings, overrides: &Overrides) -> Option<FlushPolicy> {
    let millis = |key: &str| settings.number(key).map(|ms| Duration::from_millis(ms as u64));
    let max_bytes = settings.number("bufferflush.maxbytes").map(|bytes| bytes as u64);
    let interval = millis("bufferflush.intervalms");
    Some(FlushPolicy {
        max_bytes: overrides.flush_bytes.or(max_bytes)?,
        interval: overrides.flush_interval.or(interval)?,
        offset_interval: millis("offset.flush.interval.ms")?,
    })
}

fn target(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
) -> Option<Target> {
    let fe_entry = settings.required("starrocks.http.url", "`--fe HOST:PORT` says it too");
    let database = settings.required("starrocks.database.name", "`-D NAME` says it too");
    let user = settings.required("starrocks.username", "`-u NAME` says it too");
    if let Some(entry) = user.as_ref().filter(|entry| entry.value.contains(':')) {
        // HTTP cannot carry such a name, and what follows the colon is likely a password.
        let what = "`starrocks.username` holds a colon, which no name can";
        let problem = Problem::usage(what).at(entry.place());
        let hint =
            "a password belongs in `starrocks.password`, or in the file of `--password-file`";
        settings.problems.push(problem.hint(hint));
    }
    let password = password(settings, overrides, environment);
    let fe = fe_entry.as_ref().map(|entry| fe_addresses(settings, entry));
    let headers = headers::read(settings);
    let own_headers = headers::of_tables(settings);
    headers::partial_updates(settings, &headers, &own_headers);
    let connect_timeout = Duration::from_millis(settings.number("connect.timeoutms")? as u64);
    let (password, password_origin) = password?;
    Some(Target {
        fe: fe?,
        fe_origin: fe_entry.map(|entry| said_at(&entry))?,
        database: database?.value.trim().to_owned(),
        user: user?.value.trim().to_owned(),
        password,
        password_origin,
        headers,
        own_headers,
        compression: headers::compression(settings),
        connect_timeout,
    })
}

/// "`starrocks.password` (sink.properties:9)", or just the flag.
pub(super) fn said_at(entry: &Entry) -> String {
    match entry.origin {
        Origin::File { .. } => format!("`{}` ({})", entry.key, entry.origin),
        Origin::Flag(_) | Origin::Variable(_) | Origin::Default => entry.origin.to_string(),
    }
}

fn fe_addresses(settings: &mut Settings, entry: &Entry) -> Vec<FeAddress> {
    let mut addresses = vec![];
    for text in tellable(&split_list(&entry.value)) {
        match fe_address(text) {
            Ok(address) => addresses.push(address),
            Err(cause) => {
                let shown = without_login(text);
                let what = format!("`{shown}` is not the address of an FE");
                let problem = Problem::usage(what).cause(cause).at(entry.place());
                settings.problems.push(problem.hint("write `HOST:PORT` or `https://HOST:PORT`"));
            }
        }
    }
    addresses
}

/// The parts of a list of addresses that can be told of. A password may hold commas, so what stands before
/// a part with an `@` may belong to one; that part is refused in any case.
fn tellable(parts: &[String]) -> &[String] {
    &parts[parts.iter().rposition(|part| part.contains('@')).unwrap_or_default()..]
}

/// An address without what stands before its `@`.
fn without_login(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}

/// The FE's `http_port` and `https_port` where StarRocks' configuration changes nothing.
const FE_HTTP_PORT: u16 = 8030;
const FE_HTTPS_PORT: u16 = 8443;

fn fe_address(text: &str) -> Result<FeAddress, &'static str> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err("the scheme must be `http` or `https`"),
    };
    if rest.contains('@') {
        return Err("user and password have keys of their own");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) || rest.contains(char::is_whitespace) {
        return Err("a path is not possible");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if host.is_empty() || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
        return Err("the host is missing or malformed");
    }
    let default = if https { FE_HTTPS_PORT } else { FE_HTTP_PORT };
    let port = port.map_or(Some(default), |port| port.parse().ok().filter(|&port| port > 0));
    let port = port.ok_or("the port must be a number from 1 to 65535")?;
    Ok(FeAddress { https, host: host.to_owned(), port })
}

/// Flag and environment first, then the key, which may be empty but must be there.
fn password(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
) -> Option<(Secret, String)> {
    match &overrides.password {
        Some(Password::Text { secret, origin }) => Some((secret.clone(), origin.to_string())),
        Some(Password::File { path, origin }) => {
            let shown = path.display();
            match environment.read(path) {
                Ok(bytes) => {
                    if (environment.is_exposed)(path) {
                        let text = format!("other users can read the password file `{shown}`");
                        let note = Note::warning(text).at(origin.to_string());
                        settings.notes.push(note.hint(format!("`chmod 600 {shown}`")));
                    }
                    let text = String::from_utf8_lossy(&bytes);
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    let text = text.strip_suffix('\r').unwrap_or(text);
                    Some((Secret::new(text), format!("{origin} (`{shown}`)")))
                }
                Err(cause) => {
                    let what = format!("cannot read the password file `{shown}`");
                    let problem = Problem::usage(what).cause(cause).at(origin.to_string());
                    settings.problems.push(problem);
                    None
                }
            }
        }
        None => match settings.get("starrocks.password") {
            // Kafka Connect trims every value.
            Some(entry) => Some((Secret::new(entry.value.trim()), said_at(entry))),
            None => {
                let problem = Problem::usage("`starrocks.password` is missing");
                settings.problems.push(problem.hint(
                    "`--password-file FILE` or the environment variable `STARSINK_PASSWORD` say it too",
                ));
                None
            }
        },
    }
}

fn source(
    settings: &mut Settings,
    overrides: &Overrides,
    environment: &Environment<'_>,
    name: Option<&str>,
    topics: Option<Topics>,
) -> Option<Source> {
    let client = client::translate(settings, overrides, environment, name.unwrap_or_default());
    let bootstrap = match client.bootstrap {
        Some(bootstrap) => Some(bootstrap),
        None => settings
            .required("bootstrap.servers", "`-b HOST:PORT` says it too; a worker file usually does")
            .map(|entry| split_list(&entry.value).join(",")),
    };
    if let Some(bootstrap) = &bootstrap {
        brokers(settings, bootstrap);
    }
    if let Some(oauth) = &client.oauth {
        no_extensions(settings, oauth);
    }
    let topics = topics?;
    one_topic_for_partitions(settings, overrides, &topics);
    let explicit = overrides.group.clone().or(client.group);
    Some(Source {
        bootstrap: bootstrap?,
        topics,
        group_is_explicit: explicit.is_some(),
        group: explicit.unwrap_or_else(|| format!("connect-{}", name.unwrap_or_default())),
        partitions: overrides.partitions.clone(),
        properties: client.properties,
        reset: client.reset,
        oauth: client.oauth,
    })
}

/// The Kafka client in use has no way to send SASL extensions; a broker that wants them would refuse
/// the token with a reason that helps nobody.
fn no_extensions(settings: &mut Settings, oauth: &OAuth) {
    let names: Vec<String> =
        oauth.extensions.iter().map(|(name, _)| format!("`extension_{name}`")).collect();
    if names.is_empty() {
        return;
    }
    let what = format!("{} in `sasl.jaas.config`: not supported yet", names.join(" and "));
    let prefixes = ["consumer.override.", "consumer.", ""];
    let place = prefixes
        .iter()
        .find_map(|prefix| settings.get(&format!("{prefix}sasl.jaas.config")).map(Entry::place));
    let problem = Problem::usage(what).cause("SASL extensions cannot be sent with a token");
    let problem = problem.hint("an API key works too: `sasl.mechanism=PLAIN`");
    settings.problems.push(match place {
        Some(place) => problem.at(place),
        None => problem,
    });
}

/// Catches placeholders and slips; a port may be left out, which is 9092 then.
fn brokers(settings: &mut Settings, bootstrap: &str) {
    let is_legal = |letter: char| letter.is_alphanumeric() || "-._:[]/".contains(letter);
    let parts: Vec<String> = bootstrap.split(',').map(str::to_owned).collect();
    for broker in tellable(&parts).iter().filter(|broker| !broker.chars().all(is_legal)) {
        let shown = without_login(broker);
        let what = format!("`{shown}` is not the address of a broker");
        let place = settings.get("bootstrap.servers").map(Entry::place);
        let problem = place.into_iter().fold(Problem::usage(what), Problem::at);
        settings.problems.push(problem.hint("write `HOST:PORT`, several separated by commas"));
    }
}

fn one_topic_for_partitions(settings: &mut Settings, overrides: &Overrides, topics: &Topics) {
    let single = matches!(topics, Topics::Named(names) if names.len() == 1);
    if !overrides.partitions.is_empty() && !single {
        let problem = Problem::usage("`-p` needs a single topic").hint("name it with `-t`");
        settings.problems.push(problem);
    }
}
