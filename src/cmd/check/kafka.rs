//! Kafka as a run would meet it: addresses, login, advertised addresses, topics, the group and its
//! offsets. Asks; joins no group. With `--write` it commits once in a group of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cmd::check::side::Lines;
use crate::config::job::{Bounds as JobBounds, Extent, Job, Reset, Start, Topics, Until};
use crate::error::{Kind, Problem};
use crate::kafka::admin::{Admin, NoCommit};
use crate::kafka::cluster::{Advertised, Bounds, Cluster, Member, Topic};
use crate::kafka::consumer::{Committed, Consumer};
use crate::kafka::extent;
use crate::kafka::probe::{self, Broker, Failure, FaultKind, Probe};
use crate::record::{Offset, Partition};
use crate::report::units::{counted, grouped, long_time};
use crate::verdict::{Area, Line};

/// A connection to one address.
const CONNECT: Duration = Duration::from_secs(3);
/// The longest text that is ever written beside an offset: Kafka's default limit.
const METADATA_LIMIT: u64 = 4096;
/// A certificate is worth a word when it ends within this time.
const ENDS_SOON_DAYS: i32 = 14;
/// Questions that a cluster cannot answer just now are asked again this long, after such pauses.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// Members named one by one.
const MOST_NAMED: usize = 3;

/// What later checks need of Kafka.
pub(super) struct Found {
    pub(super) consumer: Consumer,
    /// Those of the job that exist, with their numbers of partitions.
    pub(super) topics: Vec<(String, u32)>,
    pub(super) to_read: Vec<ToRead>,
    /// All of the cluster.
    pub(super) all_topics: Vec<Topic>,
}

/// What a load would read of one partition.
#[derive(Debug, Clone)]
pub(super) struct ToRead {
    pub(super) bounds: Bounds,
    pub(super) from: Offset,
    pub(super) until: Offset,
}

impl Found {
    /// Offsets a load would read, and all there are.
    pub(super) fn offsets(&self) -> (u64, u64) {
        let to_read = self.to_read.iter().map(ToRead::count).sum();
        let all = self.to_read.iter().map(|p| p.bounds.high.0 - p.bounds.low.0).sum();
        (to_read, all)
    }
}

impl ToRead {
    fn count(&self) -> u64 {
        self.until.0.saturating_sub(self.from.0)
    }
}

/// All of it, in order; `None` where later checks have nothing to stand on.
pub(super) fn check(
    job: &Job,
    extent: &Extent,
    write: bool,
    lines: &Lines<Option<Found>>,
) -> Option<Found> {
    let probe = match Probe::new(&job.source, CONNECT) {
        Ok(probe) => Arc::new(probe),
        Err(cause) => {
            let text = "certificates and keys for Kafka cannot be used";
            lines.tell(Line::wrong(Area::Kafka, "TLS", text).cause(cause).hint(TRUST_HINT));
            return None;
        }
    };
    let addresses = probe::addresses(&job.source.bootstrap);
    if !bootstrap(&probe, &addresses, lines) {
        lines.tell(Line::skip(Area::Kafka, "login", "no broker can be used"));
        return None;
    }
    let consumer = match Consumer::new(&job.source, job.memory_bytes) {
        Ok(consumer) => consumer,
        Err(problem) => {
            lines.tell(Line::problem(Area::Kafka, "client", &problem));
            return None;
        }
    };
    let (cluster, took) = probe::timed(|| consumer.cluster());
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(problem) => {
            lines.tell(Line::problem(Area::Kafka, "login", &problem).took(took));
            return None;
        }
    };
    lines.tell(logged_in(job, &probe, &cluster).took(took));
    let all_there = advertised(&probe, &cluster, &addresses, lines);
    let topics = topics(job, &consumer, &cluster, lines);
    let to_read = if all_there {
        let admin = Admin::new(&job.source).ok();
        let readable = readable(&topics, admin.as_ref(), lines);
        let to_read = group(job, extent, &consumer, &readable, admin.as_ref(), lines);
        if let Some(admin) = admin.filter(|_| !to_read.is_empty()) {
            commit(job, &admin, &cluster, &to_read, write, lines);
        }
        to_read
    } else {
        // Each question would wait for a broker that does not come.
        let text = "a broker cannot be reached";
        lines.tell(Line::skip(Area::Topics, format!("group {}", job.source.group), text));
        vec![]
    };
    let topics = topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    Some(Found { consumer, topics, to_read, all_topics: cluster.topics })
}

/// Each address of `bootstrap.servers`, side by side; whether any can be used.
fn bootstrap(probe: &Arc<Probe>, addresses: &[String], lines: &Lines<Option<Found>>) -> bool {
    let tried = try_all(probe, addresses.iter().map(String::as_str));
    let any = tried.iter().any(|(_, outcome, _)| outcome.is_ok());
    for (address, outcome, took) in tried {
        let subject = format!("bootstrap {address}");
        let line = match &outcome {
            Ok(broker) => reached(Area::Kafka, &subject, broker),
            Err(failure) => {
                let line = unreached(&subject, failure, probe.mechanism());
                // The others let a run begin all the same.
                if any { line.verdict(crate::verdict::Verdict::Warn) } else { line }
            }
        };
        lines.tell(line.took(took));
    }
    any
}

type Tried = (String, Result<Broker, Failure>, Duration);

fn try_all<'a>(probe: &Arc<Probe>, addresses: impl Iterator<Item = &'a str>) -> Vec<Tried> {
    let started: Vec<_> = addresses
        .map(|address| {
            let (probe, address) = (Arc::clone(probe), address.to_owned());
            thread::spawn(move || {
                let (outcome, took) = probe::timed(|| probe.broker(&address));
                (address, outcome, took)
            })
        })
        .collect();
    started.into_iter().filter_map(|thread| thread.join().ok()).collect()
}

fn reached(area: Area, subject: &str, broker: &Broker) -> Line {
    let live: Vec<String> = broker
        .tried
        .iter()
        .filter(|tried| tried.outcome.is_ok())
        .map(|tried| tried.address.ip().to_string())
        .collect();
    let mut text = format!("{} at {}", broker.version, live.join(", "));
    match &broker.certificate {
        None => text.push_str(", in plain text"),
        Some(certificate) => {
            text.push_str(&format!(", TLS, certificate good until {}", certificate.until));
            if certificate.days_left < ENDS_SOON_DAYS {
                return Line::warn(area, subject, format!("{text}: soon"))
                    .hint("have the broker's certificate renewed");
            }
        }
    }
    let slow = broker.tried.iter().find(|tried| tried.timed_out);
    match slow {
        None => Line::ok(area, subject, text),
        Some(tried) => {
            let text = format!("{text}; its address {} does not answer", tried.address.ip());
            let family = if tried.address.is_ipv6() { "v4" } else { "v6" };
            Line::warn(area, subject, text).hint(format!("`-X broker.address.family={family}`"))
        }
    }
}

const TRUST_HINT: &str = "check `ssl.truststore.*` and `ssl.keystore.*`";

fn unreached(subject: &str, failure: &Failure, mechanism: Option<&str>) -> Line {
    let wrong = |text: &str| Line::wrong(Area::Kafka, subject, text);
    let away = |text: &str| Line::away(Area::Kafka, subject, text);
    let with_tls = if mechanism.is_some() { "SASL_SSL" } else { "SSL" };
    let without_tls = if mechanism.is_some() { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
    match failure {
        Failure::Malformed => wrong("this is not `HOST:PORT`").hint("check `bootstrap.servers`"),
        Failure::NoSuchName(cause) => away("its name cannot be resolved")
            .cause(cause)
            .hint("check the name in `bootstrap.servers`, and this host's name service"),
        Failure::Unreachable(tried) => {
            let line = away("it cannot be reached");
            let causes = tried.iter().filter_map(|tried| {
                Some(format!("{}: {}", tried.address, tried.outcome.as_ref().err()?))
            });
            causes.fold(line, Line::cause).hint("check host, port and firewall in between")
        }
        Failure::NotTls(cause) => wrong("it does not speak TLS")
            .cause(cause)
            .hint(format!("`security.protocol={without_tls}`, or the port of a TLS listener")),
        Failure::WantsTls => wrong("it speaks TLS, and was spoken to in plain text")
            .hint(format!("`security.protocol={with_tls}`, or the port of another listener")),
        Failure::Untrusted { certificate, why } => {
            let expired = certificate.days_left < 0;
            let line = if expired {
                wrong(&format!("its certificate expired on {}", certificate.until))
            } else {
                wrong("its certificate is not trusted")
            };
            let line =
                why.iter().take(2).fold(line, |line, fault| line.cause(fault.text.to_lowercase()));
            let is_name = why.iter().any(|fault| fault.kind == FaultKind::Name);
            if is_name && !certificate.names.is_empty() {
                let names = certificate.names.join("`, `");
                return line.cause(format!("it is for `{names}`")).hint(
                    "use that name in `bootstrap.servers`; \
                     `ssl.endpoint.identification.algorithm=` turns the check off",
                );
            }
            if expired {
                return line.hint("have the broker's certificate renewed");
            }
            line.hint("`ssl.truststore.location` names the authority that signed it")
        }
        Failure::OwnTls(cause) => wrong("no TLS is possible").cause(cause).hint(TRUST_HINT),
        Failure::NotKafka => wrong("what answers is not Kafka")
            .hint("Kafka's port is 9092 by default; ZooKeeper, REST and StarRocks have others"),
        Failure::Silent => away(&format!("no answer in {} s", CONNECT.as_secs())).hint(
            "check host and port, `security.protocol` against the listener, and what stands in \
             between",
        ),
        Failure::WantsLogin => wrong("it wants a login, and none is configured").hint(
            "`security.protocol=SASL_PLAINTEXT` or `SASL_SSL`, `sasl.mechanism` and \
             `sasl.jaas.config`, each after `consumer.override.`",
        ),
        Failure::NoLogin => wrong("this listener takes no login")
            .hint("`security.protocol=PLAINTEXT` or `SSL`, or the port of a SASL listener"),
        Failure::NoMechanism { asked, known } => {
            wrong(&format!("it does not know SASL mechanism `{asked}`"))
                .cause(format!("it knows {}", known.join(", ")))
                .hint("set `sasl.mechanism` to one of them")
        }
        Failure::Broken(cause) => away("the connection breaks off")
            .cause(cause)
            .hint("check `security.protocol` against the listener, and what stands in between"),
    }
}

fn logged_in(job: &Job, probe: &Probe, cluster: &Cluster) -> Line {
    let brokers = match cluster.brokers.len() {
        1 => "1 broker".to_owned(),
        count => format!("{count} brokers"),
    };
    let text = match probe.mechanism() {
        None => format!("none asked for; {brokers}"),
        Some(mechanism) => {
            let user = job.source.properties.iter().find_map(|(name, value)| match value {
                crate::config::job::PropertyValue::Plain(user) if name == "sasl.username" => {
                    Some(format!(" as `{user}`"))
                }
                _ => None,
            });
            format!("{mechanism}{}; {brokers}", user.unwrap_or_default())
        }
    };
    Line::ok(Area::Kafka, "login", text)
}

/// Every address that brokers give to clients: records come from there, whatever bootstrap says.
/// Whether all can be used.
fn advertised(
    probe: &Arc<Probe>,
    cluster: &Cluster,
    known: &[String],
    lines: &Lines<Option<Found>>,
) -> bool {
    let mut all_there = true;
    let new = |broker: &&Advertised| !known.contains(&broker.address);
    let others: Vec<&Advertised> = cluster.brokers.iter().filter(new).collect();
    let tried = try_all(probe, others.iter().map(|broker| broker.address.as_str()));
    for (broker, (address, outcome, took)) in others.iter().zip(tried) {
        let subject = format!("broker {} at {address}", broker.id);
        let line = match &outcome {
            Ok(broker) => reached(Area::Kafka, &subject, broker),
            Err(failure) => {
                all_there = false;
                let line = unreached(&subject, failure, probe.mechanism());
                let text = format!("it advertises this address: {}", line.text);
                let hint = "its `advertised.listeners` must name an address that works from this \
                            host; records it leads cannot be read";
                Line { text, hints: vec![hint.to_owned()], ..line }
            }
        };
        lines.tell(line.took(took));
    }
    all_there
}

/// The topics of the job that exist and can be seen; a line for each that cannot.
fn topics(
    job: &Job,
    consumer: &Consumer,
    cluster: &Cluster,
    lines: &Lines<Option<Found>>,
) -> Vec<Topic> {
    let mut chosen: Vec<Topic> = match &job.source.topics {
        Topics::Matching(pattern) => {
            let matching = cluster.topics.iter().filter(|topic| pattern.is_match(&topic.name));
            let matching: Vec<Topic> = matching.cloned().collect();
            if matching.is_empty() {
                let text = format!("no topic on `{}` matches", job.source.bootstrap);
                let line =
                    Line::wrong(Area::Topics, format!("pattern `{}`", pattern.as_str()), text);
                lines.tell(line.hint(
                    "the pattern must match the whole name: `orders` does not match `orders_eu`, \
                     `orders.*` does",
                ));
            }
            matching
        }
        Topics::Named(names) => names
            .iter()
            .filter_map(|name| {
                let found = cluster.topics.iter().find(|topic| topic.name == *name);
                if found.is_none() {
                    lines.tell(no_topic(name, consumer, cluster));
                }
                found.cloned()
            })
            .collect(),
    };
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    if let [topic] = chosen.as_slice() {
        let absent = job.source.partitions.iter().find(|number| **number >= topic.partitions);
        if let Some(number) = absent {
            let count = counted(topic.partitions.into(), "partition");
            let text = format!("it has {count}, so there is no {number}");
            let line = Line::wrong(Area::Topics, subject(&topic.name), text);
            lines.tell(line.hint("partitions of `-p` count from 0"));
        }
    }
    chosen
}

fn subject(topic: &str) -> String {
    format!("topic {topic}")
}

fn no_topic(name: &str, consumer: &Consumer, cluster: &Cluster) -> Line {
    if consumer.is_denied(name) {
        return Line::wrong(Area::Topics, subject(name), "Kafka does not let this user see it")
            .hint("the user needs Read on the topic");
    }
    let all: Vec<(String, u32)> =
        cluster.topics.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect();
    let problem = consumer.no_such_topic(name, &all);
    Line::problem(Area::Topics, subject(name), &problem)
}

/// The topics whose records this user may read, as far as Kafka says; a line for each of the others.
fn readable(topics: &[Topic], admin: Option<&Admin>, lines: &Lines<Option<Found>>) -> Vec<Topic> {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let rights = admin.map(|admin| admin.rights(&names)).unwrap_or_default();
    let may_read = |topic: &&Topic| rights.get(&topic.name).is_none_or(|rights| rights.read);
    let (readable, others): (Vec<&Topic>, Vec<&Topic>) = topics.iter().partition(may_read);
    for topic in others {
        let text = "Kafka does not let this user read its records";
        let line = Line::wrong(Area::Topics, subject(&topic.name), text);
        lines.tell(line.hint("the user needs Read on the topic"));
    }
    readable.into_iter().cloned().collect()
}

/// The group: its members, its offsets, and what is left to read of each topic.
fn group(
    job: &Job,
    extent: &Extent,
    consumer: &Consumer,
    topics: &[Topic],
    admin: Option<&Admin>,
    lines: &Lines<Option<Found>>,
) -> Vec<ToRead> {
    let group = &job.source.group;
    let subject = format!("group {group}");
    let partitions = partitions(job, topics);
    if partitions.is_empty() {
        lines.tell(Line::skip(Area::Topics, subject, "there is no partition to read"));
        return vec![];
    }
    let began = Instant::now();
    let members = consumer.members(group).unwrap_or_default();
    let workers: Vec<&Member> = members.iter().filter(|m| m.is_connect_worker()).collect();
    if !workers.is_empty() {
        let text = "a Kafka Connect worker is in it; both would share its partitions";
        let line = Line::wrong(Area::Topics, &subject, text);
        let line = workers
            .iter()
            .take(MOST_NAMED)
            .fold(line, |line, worker| line.at(format!("{} on {}", worker.id, worker.host)));
        lines.tell(line.hint("stop or delete the connector first; its offsets carry over"));
    }
    let committed = match patiently(|| consumer.committed(&partitions)) {
        Ok(committed) => committed,
        Err(problem) => {
            lines.tell(Line::problem(Area::Topics, subject, &problem).took(began.elapsed()));
            for topic in topics {
                let text = "where the group stands is not known";
                lines.tell(Line::skip(Area::Topics, self::subject(&topic.name), text));
            }
            return vec![];
        }
    };
    let bounds = match patiently(|| consumer.bounds(&partitions)) {
        Ok(bounds) => bounds,
        Err(problem) => {
            lines.tell(Line::problem(Area::Topics, "ends of partitions", &problem));
            return vec![];
        }
    };
    let to_read = to_read(job, extent, consumer, &bounds, &committed, lines);
    let took = began.elapsed();
    for topic in topics {
        lines.tell(topic_line(job, topic, &to_read, &committed));
    }
    if let Some(admin) = admin {
        retention(admin, consumer, topics, &to_read, lines);
    }
    if workers.is_empty() {
        lines.tell(group_line(&subject, &members, &committed).took(took));
    }
    to_read
}

/// A coordinator or leader that is only just being found, as in a cluster that has just started, is
/// asked again.
fn patiently<T>(ask: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(problem) if problem.kind == Kind::Unavailable && Instant::now() < deadline => {
                thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

fn partitions(job: &Job, topics: &[Topic]) -> Vec<Partition> {
    let of_topic = |topic: &Topic| {
        let name: Arc<str> = topic.name.as_str().into();
        let led: Vec<u32> =
            (0..topic.partitions).filter(|number| !topic.leaderless.contains(number)).collect();
        led.into_iter().map(move |number| Partition { topic: Arc::clone(&name), number })
    };
    let mut all: Vec<Partition> = topics.iter().flat_map(of_topic).collect();
    let chosen = &job.source.partitions;
    all.retain(|partition| chosen.is_empty() || chosen.contains(&partition.number));
    all
}

/// Where a load would begin and end; a line for each partition where it would refuse to.
fn to_read(
    job: &Job,
    extent: &Extent,
    consumer: &Consumer,
    bounds: &[Bounds],
    committed: &[Committed],
    lines: &Lines<Option<Found>>,
) -> Vec<ToRead> {
    let (start, until) = match extent {
        Extent::Until(JobBounds { start, until, .. }) => (*start, *until),
        Extent::Forever { start, .. } => (*start, Until::Now),
    };
    let all: Vec<Partition> = bounds.iter().map(|bounds| bounds.partition.clone()).collect();
    let stored: BTreeMap<&Partition, Offset> = committed
        .iter()
        .filter_map(|found| Some((&found.partition, found.offset.as_ref()?.0)))
        .collect();
    // An explicit start is asked of the same function that a run asks.
    let starts: BTreeMap<Partition, Offset> = match start {
        Start::Stored | Start::Beginning | Start::End => BTreeMap::new(),
        _ => extent::starts(consumer, start, &all).unwrap_or_default().into_iter().collect(),
    };
    let ends = match until {
        Until::Now => BTreeMap::new(),
        _ => extent::ends(consumer, until, &all).unwrap_or_default(),
    };
    let mut lost = Lost::default();
    let mut out = vec![];
    for one in bounds {
        let stored = stored.get(&one.partition).copied();
        let from = match (stored, start) {
            (Some(stored), _) => {
                lost.look(one, stored);
                stored
            }
            (None, Start::Beginning) => one.low,
            (None, Start::End) => one.high,
            (None, Start::Stored) => match job.source.reset {
                Reset::Beginning => one.low,
                Reset::End => one.high,
                Reset::Refuse => {
                    lost.without.push(one.partition.clone());
                    one.high
                }
            },
            (None, _) => starts.get(&one.partition).copied().unwrap_or(one.low),
        };
        let until = ends.get(&one.partition).copied().unwrap_or(one.high);
        out.push(ToRead { bounds: one.clone(), from, until });
    }
    lost.tell(&job.source.group, lines);
    out
}

/// Offsets that lead nowhere, gathered so that one cause makes one line.
#[derive(Default)]
struct Lost {
    deleted: Vec<(Partition, u64)>,
    recreated: Vec<Partition>,
    without: Vec<Partition>,
}

impl Lost {
    fn look(&mut self, bounds: &Bounds, stored: Offset) {
        if stored < bounds.low {
            self.deleted.push((bounds.partition.clone(), bounds.low.0 - stored.0));
        }
        if stored > bounds.high {
            self.recreated.push(bounds.partition.clone());
        }
    }

    fn tell(&self, group: &str, lines: &Lines<Option<Found>>) {
        let subject = format!("offsets of {group}");
        let at = |line: Line, partitions: &mut dyn Iterator<Item = &Partition>| {
            partitions.take(MOST_NAMED).fold(line, |line, partition| line.at(partition.to_string()))
        };
        let reset = "`kafka-consumer-groups.sh --reset-offsets --to-earliest` moves the group to \
                     what is there";
        if !self.deleted.is_empty() {
            let count: u64 = self.deleted.iter().map(|(_, count)| count).sum();
            let text = format!(
                "{} records were deleted by retention before they were loaded",
                grouped(count)
            );
            let line = Line::wrong(Area::Topics, &subject, text).hint(reset);
            lines.tell(at(line, &mut self.deleted.iter().map(|(partition, _)| partition)));
        }
        if !self.recreated.is_empty() {
            let text = "they stand past the end: the topic was created again or truncated";
            let line = Line::wrong(Area::Topics, &subject, text).hint(reset);
            lines.tell(at(line, &mut self.recreated.iter()));
        }
        if !self.without.is_empty() {
            let text = format!(
                "{} partitions have none, and `auto.offset.reset` is `none`",
                self.without.len()
            );
            let line = Line::wrong(Area::Topics, subject, text);
            let line = line.hint("say where to begin with `-o beginning` or `-o end`");
            lines.tell(at(line, &mut self.without.iter()));
        }
    }
}

fn topic_line(job: &Job, topic: &Topic, to_read: &[ToRead], committed: &[Committed]) -> Line {
    let subject = subject(&topic.name);
    let ours = to_read.iter().filter(|p| *p.bounds.partition.topic == *topic.name);
    let all: u64 = ours.clone().map(|p| p.bounds.high.0 - p.bounds.low.0).sum();
    let left: u64 = ours.clone().map(ToRead::count).sum();
    let partitions = match (topic.partitions, job.source.partitions.len()) {
        (1, _) => "1 partition".to_owned(),
        (count, 0) => format!("{count} partitions"),
        (count, chosen) => format!("{chosen} of {count} partitions"),
    };
    if !topic.leaderless.is_empty() {
        let text = format!("{} of {partitions} have no leader", topic.leaderless.len());
        return Line::away(Area::Topics, subject, text)
            .hint("a broker is down: see `kafka-topics.sh --describe --unavailable-partitions`");
    }
    let text = format!("{partitions}, {}, {} to load", counted(all, "record"), grouped(left));
    let details = ours.map(|p| {
        let known = committed.iter().find(|found| found.partition == p.bounds.partition);
        let stored = match known.and_then(|found| found.offset.as_ref()) {
            Some((offset, _)) => format!("committed {offset}"),
            None => "no offset".to_owned(),
        };
        let (low, high) = (p.bounds.low, p.bounds.high);
        format!("{}: {low}..{high}, {stored}, lag {}", p.bounds.partition, grouped(p.count()))
    });
    Line::ok(Area::Topics, subject, text).details(details.collect())
}

fn group_line(subject: &str, members: &[Member], committed: &[Committed]) -> Line {
    let with_offset = committed.iter().filter(|found| found.offset.is_some()).count();
    let offsets = format!("offsets for {with_offset} of {} partitions", committed.len());
    let who = match members {
        [] => "nobody in it".to_owned(),
        [one] => format!("in use by `{}` on {}", one.client_id, one.host),
        members => format!("in use by {} members", members.len()),
    };
    let details = members.iter().map(|m| format!("member {} on {}", m.id, m.host));
    Line::ok(Area::Topics, subject, format!("{offsets}, {who}")).details(details.collect())
}

/// Says so where retention is about to delete what was not loaded yet.
fn retention(
    admin: &Admin,
    consumer: &Consumer,
    topics: &[Topic],
    to_read: &[ToRead],
    lines: &Lines<Option<Found>>,
) {
    let behind: BTreeSet<&str> =
        to_read.iter().filter(|p| p.count() > 0).map(|p| &*p.bounds.partition.topic).collect();
    let names: Vec<&str> =
        topics.iter().map(|topic| topic.name.as_str()).filter(|n| behind.contains(n)).collect();
    if names.is_empty() {
        return;
    }
    let kept = admin.topic_settings(&names, "retention.ms");
    for (name, kept) in names.iter().zip(kept) {
        let Some(kept_ms) = kept.and_then(|text| text.parse::<i64>().ok()).filter(|ms| *ms > 0)
        else {
            continue;
        };
        // What is older than nine tenths of the time it is kept may go at any moment.
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let ours: Vec<&ToRead> = to_read
            .iter()
            .filter(|p| *p.bounds.partition.topic == **name && p.count() > 0)
            .collect();
        let partitions: Vec<Partition> = ours.iter().map(|p| p.bounds.partition.clone()).collect();
        let Ok(young) = consumer.offsets_at(&partitions, now_ms - kept_ms / 10 * 9) else {
            continue;
        };
        let old = young
            .iter()
            .zip(&ours)
            .filter(|((_, young), p)| young.unwrap_or(p.bounds.high) > p.from);
        let count = old.count();
        if count > 0 {
            let text = format!(
                "retention ({}) is about to delete records of {} that are not loaded yet",
                long_time(Duration::from_millis(kept_ms.unsigned_abs())),
                counted(count as u64, "partition")
            );
            lines.tell(
                Line::warn(Area::Topics, subject(name), text)
                    .hint("load now, or raise the topic's `retention.ms`"),
            );
        }
    }
}

/// Whether offsets can be committed with the text that exactly once rests on.
fn commit(
    job: &Job,
    admin: &Admin,
    cluster: &Cluster,
    to_read: &[ToRead],
    write: bool,
    lines: &Lines<Option<Found>>,
) {
    let subject = "offset metadata";
    let limit = cluster
        .brokers
        .first()
        .map(|broker| admin.broker_setting(broker.id, "offset.metadata.max.bytes"));
    if let Some(Ok(Some(text))) = &limit
        && let Ok(bytes) = text.parse::<u64>()
        && bytes < METADATA_LIMIT
    {
        let text = format!(
            "brokers allow {bytes} bytes beside an offset, {METADATA_LIMIT} are needed at most"
        );
        let line = Line::warn(Area::Topics, subject, text);
        return lines.tell(line.hint("raise the brokers' `offset.metadata.max.bytes`"));
    }
    let known = match &limit {
        Some(Ok(Some(bytes))) => format!("{bytes} bytes allowed"),
        _ => "the limit cannot be read without DescribeConfigs on the cluster".to_owned(),
    };
    let Some(first) = to_read.first().filter(|_| write) else {
        let line = match limit {
            Some(Ok(Some(_))) => Line::ok(Area::Topics, subject, known),
            _ => Line::skip(Area::Topics, subject, known)
                .hint("`--write` tries a commit in a group of its own"),
        };
        return lines.tell(line);
    };
    let group = format!("{}-check", job.source.group);
    let at = (&first.bounds.partition, first.bounds.low);
    let length = usize::try_from(METADATA_LIMIT).unwrap_or_default();
    let (tried, took) = probe::timed(|| admin.try_commit(&job.source, &group, at, length));
    let line = match tried {
        Ok(true) => {
            let text = format!("{METADATA_LIMIT} bytes committed in group `{group}`, which is deleted");
            Line::ok(Area::Topics, subject, text)
        }
        Ok(false) => {
            let text = format!("{METADATA_LIMIT} bytes committed in group `{group}`, which stays");
            Line::warn(Area::Topics, subject, text)
                .hint("with Delete on that group it would be deleted again; Kafka forgets it by itself")
        }
        // The group that counts is another.
        Err(NoCommit::Denied(cause)) => {
            let text = format!("no commit can be tried: this user may not use group `{group}`");
            Line::skip(Area::Topics, subject, text).cause(cause)
        }
        Err(NoCommit::Failed(cause)) => Line::wrong(Area::Topics, subject, "a commit with metadata is refused")
            .cause(cause)
            .at(format!("group `{group}`"))
            .hint("the user needs Read on the consumer group; brokers need `offset.metadata.max.bytes` of 4096"),
    };
    lines.tell(line.took(took));
}
