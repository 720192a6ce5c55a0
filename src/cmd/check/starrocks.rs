//! StarRocks as a run would meet it: every FE's HTTP port, the login, every BE that a load may be sent
//! to; and what a person wants to know beside: query port, version, clock, labels and transactions.
//! Reads; changes nothing.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::cmd::check::side::Lines;
use crate::config::job::{Job, Target, Topics};
use crate::kafka::probe::timed;
use crate::mapping::route;
use crate::pipeline;
use crate::report::units::{grouped, long_time};
use crate::starrocks::catalog::{self, Health};
use crate::starrocks::client::{Client, Node, TableName};
use crate::starrocks::probe::{self, Access, Limits, Listed, Transactions};
use crate::starrocks::query_port::{Refused, Security, Session, SqlFailure};
use crate::verdict::{Area, Line, Verdict};

/// Answers to short questions; a healthy FE takes milliseconds.
const ANSWER: Duration = Duration::from_secs(4);
/// A table that no job of anybody's has: any name asks for login and BE alone.
const NO_TABLE: &str = "starsink_check";
/// Probes in search of BEs: FEs name them in turn.
const MOST_PROBES: u64 = 16;
/// Clocks further apart than this make times in logs and timeouts misleading.
const CLOCK_TOLERANCE_S: i64 = 5;
/// Running transactions above this share of the limit are worth a word.
const NEARLY_FULL: f64 = 0.8;
/// Labels must outlive a restart by hand.
const SHORT_MEMORY: Duration = Duration::from_secs(600);

/// Why something was not read that only SQL tells.
const NO_SESSION: &str = "it is read over the query port, where there was no login";

/// What later checks need of StarRocks.
pub(super) struct Found {
    pub(super) client: Client,
    pub(super) transactions: bool,
}

/// All of it, in order; `None` where later checks have nothing to stand on.
pub(super) fn check(job: &Job, query_port: u16, lines: &Lines<Option<Found>>) -> Option<Found> {
    let client = Client::with_patience(&job.target, ANSWER);
    if !front_ends(job, lines) {
        for (area, subject) in [(Area::Auth, "login"), (Area::Be, "BEs")] {
            lines.tell(Line::skip(area, subject, "no FE can be used"));
        }
        return None;
    }
    let (access, took) = timed(|| access(job, &client));
    let first = match access {
        Ok(node) => {
            let text = format!("user `{}` is accepted", job.target.user);
            lines.tell(Line::ok(Area::Auth, "login", text).took(took));
            node
        }
        Err(line) => {
            lines.tell(line.took(took));
            return None;
        }
    };
    let (mut session, version) = query_ports(job, query_port, lines).unzip();
    let transactions = interface(job, &client, version.flatten(), lines)?;
    back_ends(job, &client, first, session.as_mut(), lines);
    match &mut session {
        Some(session) => {
            clock(session, lines);
            memory(job, session, lines);
        }
        None => {
            for subject in ["clock", "labels", "transactions"] {
                lines.tell(Line::skip(Area::Fe, subject, NO_SESSION));
            }
        }
    }
    Some(Found { client, transactions })
}

/// Each FE's HTTP port, side by side; whether any can be used.
fn front_ends(job: &Job, lines: &Lines<Option<Found>>) -> bool {
    let started: Vec<_> = job
        .target
        .fe
        .iter()
        .map(|fe| {
            let client = Arc::new(Client::with_patience(
                &Target { fe: vec![fe.clone()], ..job.target.clone() },
                ANSWER,
            ));
            let asked = Arc::clone(&client);
            let thread = thread::spawn(move || {
                timed(|| {
                    let health = catalog::health(&asked).pop();
                    let is_fe = matches!(&health, Some((_, Health::Fe { .. })));
                    (health, is_fe.then(|| catalog::version_text(&asked)).flatten())
                })
            });
            (fe, client, thread)
        })
        .collect();
    let mut answers = vec![];
    for (fe, client, thread) in started {
        if let Ok(((Some((address, health)), version), took)) = thread.join() {
            answers.push((fe, client, address, health, version, took));
        }
    }
    let any = answers
        .iter()
        .any(|(_, _, _, health, ..)| matches!(health, Health::Fe { backends } if *backends > 0));
    for (fe, client, address, health, version, took) in answers {
        let subject = format!("FE {fe}");
        let line =
            match (catalog::unusable(&client, &address, &job.target.fe_origin, &health), &health) {
                (Some(problem), _) => {
                    let line = Line::problem(Area::Fe, subject, &problem);
                    // The others serve a run all the same.
                    if any { line.verdict(Verdict::Warn) } else { line }
                }
                (None, Health::Fe { backends }) => {
                    let nodes = if *backends == 1 { "1 BE" } else { "BEs" };
                    let count = if *backends == 1 { String::new() } else { format!("{backends} ") };
                    let version = version.map_or("StarRocks".into(), |v| format!("StarRocks {v}"));
                    Line::ok(Area::Fe, subject, format!("{version}, {count}{nodes} alive"))
                }
                (None, _) => Line::ok(Area::Fe, subject, "it answers"),
            };
        lines.tell(line.took(took));
    }
    any
}

/// Whether user and password are good and a BE is there; asks about a table of the job, or of nobody.
fn access(job: &Job, client: &Client) -> Result<Option<Node>, Box<Line>> {
    let table = match &job.source.topics {
        Topics::Named(names) => {
            names.first().map(|topic| route::table(&job.routes, topic).to_owned())
        }
        Topics::Matching(_) => job.routes.map.first().map(|(_, table)| table.clone()),
    };
    let table = table.unwrap_or_else(|| NO_TABLE.to_owned());
    let name = TableName { database: job.target.database.clone(), table };
    let fe = job.target.fe.first().map(ToString::to_string).unwrap_or_default();
    match probe::access(client, &name) {
        Ok(Access::Granted(node)) => Ok(Some(node)),
        // The table's own line says so.
        Ok(Access::NoInsert(_)) => Ok(None),
        Ok(Access::WrongLogin(cause)) => {
            let text = format!(
                "StarRocks does not accept user `{}` at `{fe}` (HTTP 401)",
                job.target.user
            );
            Err(Box::new(Line::wrong(Area::Auth, "login", text).cause(cause).hint(format!(
                "the password came from {}; `--password-file FILE` overrides it",
                job.target.password_origin
            ))))
        }
        Ok(Access::NoBackend(cause)) => Err(Box::new(
            Line::away(Area::Be, "BEs", "no BE can take a load")
                .cause(cause)
                .hint("start a BE or CN, or wait until one has registered, then rerun"),
        )),
        Ok(Access::Other(cause)) => {
            let text = format!("`{fe}` does not say where a load would go");
            Err(Box::new(
                Line::wrong(Area::Fe, "redirect", text)
                    .cause(cause)
                    .hint("give the FE's HTTP port, 8030 by default, without a proxy before it"),
            ))
        }
        Err(failure) => {
            let text = format!("`{}` does not answer", failure.address);
            Err(Box::new(Line::away(Area::Fe, "redirect", text).cause(failure.cause)))
        }
    }
}

/// The version and what follows from it for delivery; `None` where what was asked for cannot be kept.
/// `told`: the version as the query port tells it; releases before 3.2 tell it nowhere else.
fn interface(
    job: &Job,
    client: &Client,
    told: Option<Version>,
    lines: &Lines<Option<Found>>,
) -> Option<bool> {
    let (has, took) = timed(|| catalog::has_transactions(client, &job.target.database));
    let version = catalog::version(client).or(told);
    let subject = match version {
        Some((major, minor, patch)) => format!("version {major}.{minor}.{patch}"),
        None => "version".to_owned(),
    };
    let has = match has {
        Ok(has) => has,
        Err(failure) => {
            let text = "it does not say whether it has the transaction interface";
            lines.tell(Line::away(Area::Fe, subject, text).cause(failure.cause));
            return None;
        }
    };
    let line = match pipeline::promise(job, has) {
        Err(problem) => Line::problem(Area::Fe, subject, &problem),
        Ok((_, promise)) if !has => {
            Line::warn(Area::Fe, subject, "no transaction interface: plain Stream Load")
                .cause(promise)
                .hint("StarRocks has transactions from 2.4 on")
        }
        // Their restart loses the way to commit what is prepared; the batch is loaded anew.
        Ok(_) if version.is_some_and(|version| version < (3, 5, 1)) => Line::ok(
            Area::Fe,
            subject,
            "transactions; releases before July 2025 repeat a batch after an FE restart",
        ),
        Ok(_) if version.is_none() => Line::ok(
            Area::Fe,
            subject,
            "transactions; it does not tell its release, and those before July 2025 repeat a batch \
             after an FE restart",
        ),
        Ok(_) => Line::ok(Area::Fe, subject, "transactions"),
    };
    let refused = matches!(line.verdict, Verdict::Fail(_));
    let mut details = vec![];
    if version.is_some_and(|version| version < (3, 5, 4)) {
        details.push(
            "`prepared_timeout` is not kept before 3.5.4: the server's own default counts".into(),
        );
    }
    if version.is_some_and(|version| version < (3, 2, 0)) {
        details.push("no SQL over HTTP before 3.2: columns are read by `_schema`".into());
    }
    lines.tell(line.details(details).took(took));
    (!refused).then_some(has)
}

/// Major, minor and patch.
type Version = (u32, u32, u32);

/// Each FE's query port, side by side; the first session serves the later questions, and tells the
/// version.
fn query_ports(
    job: &Job,
    port: u16,
    lines: &Lines<Option<Found>>,
) -> Option<(Session, Option<Version>)> {
    let started: Vec<_> = job
        .target
        .fe
        .iter()
        .map(|fe| {
            let (host, user) = (fe.host.clone(), job.target.user.clone());
            let password = job.target.password.clone();
            let limit = job.target.connect_timeout.max(Duration::from_secs(1));
            let thread = thread::spawn(move || {
                timed(|| {
                    let mut session = Session::log_in(&host, port, &user, &password, limit)?;
                    let version = probe::version(&mut session);
                    Ok((session, version))
                })
            });
            (fe, thread)
        })
        .collect();
    let mut first = None;
    for (fe, thread) in started {
        let Ok((outcome, took)) = thread.join() else { continue };
        let subject = format!("query port {}:{port}", fe.host);
        let line = match outcome {
            Ok((session, version)) => {
                let line = logged_in(subject, &session, version.is_some());
                first.get_or_insert((session, version));
                line
            }
            Err(refused) => not_logged_in(subject, &refused),
        };
        lines.tell(line.took(took));
    }
    first
}

fn logged_in(subject: String, session: &Session, answers: bool) -> Line {
    let text = format!("logged in, MySQL {} spoken", session.mysql_version());
    let text = if answers { text } else { format!("{text}, no version told") };
    match &session.security {
        Security::Plain => Line::ok(Area::Query, subject, format!("{text}, no TLS offered")),
        Security::Encrypted => Line::ok(Area::Query, subject, format!("{text}, TLS")),
        Security::Untrusted(cause) => {
            Line::warn(Area::Query, subject, format!("{text}, TLS with a certificate not trusted"))
                .cause(cause)
                .hint("loads do not use this port; other clients may refuse it")
        }
    }
}

/// Loads do not need the port, so nothing here fails a run.
fn not_logged_in(subject: String, refused: &Refused) -> Line {
    let line = |text: &str| Line::warn(Area::Query, &subject, text);
    match refused {
        Refused::Unreachable(cause) => {
            line("it cannot be reached; loads do not need it").cause(cause)
        }
        Refused::NotMysql(cause) => line("it does not speak MySQL's protocol").cause(cause),
        Refused::Denied(cause) => line("it refuses the user whom HTTP accepts").cause(cause),
        Refused::Other(cause) => line("no login").cause(cause),
    }
    .hint("`--query-port PORT` names another one than 9030")
}

/// Every BE a load may be sent to: those FEs name in turn, and those the cluster lists.
fn back_ends(
    job: &Job,
    client: &Client,
    first: Option<Node>,
    session: Option<&mut Session>,
    lines: &Lines<Option<Found>>,
) {
    let fe = job.target.fe.first().map(ToString::to_string).unwrap_or_default();
    let (mut nodes, mut dead) = (vec![], vec![]);
    let listed = match session.map(probe::nodes) {
        None => Err(None),
        Some(Err(failure)) => Err(Some(failure)),
        Some(Ok(listed)) => Ok(listed),
    };
    nodes.extend(first);
    if let Ok(listed) = &listed {
        let unknown =
            |node: &&Listed| !nodes.iter().any(|known: &Node| known.address() == node.address);
        let others: Vec<&Listed> = listed.iter().filter(unknown).collect();
        dead.extend(others.iter().filter(|node| !node.alive).map(|node| node.address.clone()));
        let alive = others.iter().filter(|node| node.alive).map(|node| node.node(&fe));
        nodes.extend(alive.collect::<Vec<_>>());
    } else {
        named_in_turn(job, client, &mut nodes);
    }
    let started: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            let client = Client::with_patience(&job.target, ANSWER);
            thread::spawn(move || {
                let (outcome, took) = timed(|| probe::backend(&client, &node));
                (node, outcome, took)
            })
        })
        .collect();
    for thread in started {
        let Ok((node, outcome, took)) = thread.join() else { continue };
        let subject = format!("BE {}", node.address());
        let line = match outcome {
            Ok(Health::Backend) => Line::ok(Area::Be, subject, "it answers on its HTTP port"),
            Ok(health @ (Health::Fe { .. } | Health::Foreign(_) | Health::Silent(_))) => {
                no_backend(subject, &fe, &health)
            }
            Err(failure) => Line::away(Area::Be, subject, format!("FE `{fe}` sends loads there, and this host cannot reach it"))
                .cause(failure.cause)
                .hint("every BE must be reachable on its HTTP port from here, under the address it is registered with"),
        };
        lines.tell(line.took(took));
    }
    for address in dead {
        lines.tell(
            Line::warn(Area::Be, format!("BE {address}"), "the cluster lists it as not alive")
                .hint("loads are not sent there; replicas may be missing"),
        );
    }
    match listed {
        Ok(_) => {}
        Err(Some(failure)) => lines.tell(needs(Area::Be, "list of BEs", &failure, job)),
        Err(None) => lines.tell(Line::skip(Area::Be, "list of BEs", NO_SESSION)),
    }
}

/// Something else answers where a BE should.
fn no_backend(subject: String, fe: &str, health: &Health) -> Line {
    let cause = match health {
        Health::Fe { .. } => "it answers as an FE does".to_owned(),
        Health::Backend => "it answers as a BE does".to_owned(),
        Health::Foreign(text) => format!("the answer is HTTP, but not StarRocks': {text}"),
        Health::Silent(failure) => failure.cause.clone(),
    };
    let text = format!("FE `{fe}` sends loads there, and what answers is no BE");
    Line::wrong(Area::Be, subject, text).cause(cause).hint(
        "a proxy may stand in between, or the BE may be registered with another port than its \
         `be_http_port`, 8040 by default",
    )
}

/// Asks the FE as often as it has BEs, at most: it names them in turn.
fn named_in_turn(job: &Job, client: &Client, nodes: &mut Vec<Node>) {
    let count = catalog::health(client).iter().find_map(|(_, health)| match health {
        Health::Fe { backends } => Some(*backends),
        _ => None,
    });
    let table = TableName { database: job.target.database.clone(), table: NO_TABLE.into() };
    for _ in 1..count.unwrap_or(1).min(MOST_PROBES) {
        if let Ok(Access::Granted(node)) = probe::access(client, &table)
            && !nodes.contains(&node)
        {
            nodes.push(node);
        }
    }
}

/// A line about what this user may not read.
fn needs(area: Area, subject: &str, failure: &SqlFailure, job: &Job) -> Line {
    if !failure.is_missing_right() {
        return Line::skip(area, subject, "it cannot be read").cause(&failure.text);
    }
    let grant = format!("`GRANT OPERATE ON SYSTEM TO USER '{}'` would show it", job.target.user);
    Line::skip(area, subject, "this user may not read it").hint(grant)
}

fn clock(session: &mut Session, lines: &Lines<Option<Found>>) {
    let Some(ahead_s) = probe::clock_ahead(session, jiff::Timestamp::now().as_second()) else {
        return lines.tell(Line::skip(Area::Fe, "clock", "the FE does not tell its time"));
    };
    let line = if ahead_s.abs() <= CLOCK_TOLERANCE_S {
        Line::ok(Area::Fe, "clock", format!("FE and this host are {} s apart", ahead_s.abs()))
    } else {
        let way = if ahead_s > 0 { "ahead of" } else { "behind" };
        Line::warn(Area::Fe, "clock", format!("the FE is {} s {way} this host", ahead_s.abs()))
            .hint("keep both in step with NTP: timeouts are judged by both clocks")
    };
    lines.tell(line);
}

/// How long labels are remembered, and how full the database is with transactions.
fn memory(job: &Job, session: &mut Session, lines: &Lines<Option<Found>>) {
    let limits = match probe::limits(session) {
        Ok(limits) => limits,
        Err(failure) => {
            return lines.tell(needs(Area::Fe, "labels, transactions", &failure, job));
        }
    };
    let (transactions, line) = match probe::transactions(session, &job.target.database) {
        Ok(Some(now)) => (Some(now), running(&limits, now)),
        Ok(None) => {
            let text = format!("database `{}` is not listed", job.target.database);
            (None, Line::skip(Area::Fe, "transactions", text))
        }
        Err(failure) => (None, needs(Area::Fe, "transactions", &failure, job)),
    };
    lines.tell(labels(&limits, transactions));
    lines.tell(line);
}

fn labels(limits: &Limits, transactions: Option<Transactions>) -> Line {
    let kept = limits.labels.map_or("some".into(), grouped);
    let age = limits.label_age.map(|age| format!(" for {}", long_time(age))).unwrap_or_default();
    let text = format!("the newest {kept} of a database are remembered{age}");
    let rate = transactions.and_then(|now| {
        let span = now.span.filter(|span| !span.is_zero())?;
        Some(now.finished as f64 / span.as_secs_f64())
    });
    let (Some(rate), Some(most)) = (rate, limits.labels) else {
        return Line::ok(Area::Fe, "labels", text);
    };
    let lasts = Duration::from_secs_f64(most as f64 / rate);
    let lasts = limits.label_age.map_or(lasts, |age| lasts.min(age));
    let text = format!("{text}; at this rate one is forgotten after {}", long_time(lasts));
    if lasts < SHORT_MEMORY {
        return Line::warn(Area::Fe, "labels", text).hint(
            "raise the FE's `label_keep_max_num`, or load less often: `bufferflush.intervalms`",
        );
    }
    Line::ok(Area::Fe, "labels", text)
}

fn running(limits: &Limits, now: Transactions) -> Line {
    let text = match limits.running {
        Some(most) => format!("{} of at most {} run in the database", now.running, grouped(most)),
        None => format!("{} run in the database", now.running),
    };
    let full = limits.running.is_some_and(|most| now.running as f64 > most as f64 * NEARLY_FULL);
    if full {
        return Line::warn(Area::Fe, "transactions", text)
            .hint("a load is refused at the limit: see `SHOW PROC '/transactions'`");
    }
    Line::ok(Area::Fe, "transactions", text)
}
