//! The Java consumer's properties, and what becomes of each. Tables only; `auth.rs` works by them.

/// What we set where nobody says otherwise, and why.
pub(super) const DEFAULTS: [(&str, &str); 10] = [
    // Offsets move with loads, never by time.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Rows of aborted transactions are not loaded; Java's own default would.
    ("isolation.level", "read_committed"),
    // Java's defaults where librdkafka's differ.
    ("partition.assignment.strategy", "range"),
    ("check.crcs", "true"),
    ("connections.max.idle.ms", "540000"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    // The state machine of delivery relies on the classic protocol's generations.
    ("group.protocol", "classic"),
    // Reading must not make topics.
    ("allow.auto.create.topics", "false"),
];

/// What becomes of one of the Java consumer's properties.
pub(super) enum Fate {
    Same,
    Named(&'static str),
    /// Not settable, or without an equivalent; says why.
    Ignored(&'static str),
    /// Handled by a function of its own.
    Special,
    /// `sasl.*`, `ssl.*`, `security.protocol`.
    Security,
}

pub(super) const OURS: &str = "offsets are committed with the loads";
const NOT_USED: &str = "there is no Java client here";
const NO_EQUIVALENT: &str = "librdkafka has no such limit";

#[rustfmt::skip]
const NAMES: &[(&str, Fate)] = &[
    ("client.id", Fate::Same),
    ("client.rack", Fate::Same),
    ("group.instance.id", Fate::Same),
    ("session.timeout.ms", Fate::Same),
    ("heartbeat.interval.ms", Fate::Same),
    ("max.poll.interval.ms", Fate::Same),
    ("fetch.min.bytes", Fate::Same),
    ("fetch.max.bytes", Fate::Same),
    ("max.partition.fetch.bytes", Fate::Same),
    ("isolation.level", Fate::Same),
    ("check.crcs", Fate::Same),
    ("retry.backoff.ms", Fate::Same),
    ("retry.backoff.max.ms", Fate::Same),
    ("reconnect.backoff.ms", Fate::Same),
    ("reconnect.backoff.max.ms", Fate::Same),
    ("connections.max.idle.ms", Fate::Special),
    ("socket.connection.setup.timeout.ms", Fate::Special),
    ("client.dns.lookup", Fate::Same),
    ("group.remote.assignor", Fate::Ignored("it needs the consumer group protocol")),
    ("enable.metrics.push", Fate::Same),
    ("metadata.recovery.strategy", Fate::Same),
    ("metadata.max.age.ms", Fate::Named("topic.metadata.refresh.interval.ms")),
    ("fetch.max.wait.ms", Fate::Named("fetch.wait.max.ms")),
    ("request.timeout.ms", Fate::Special),
    ("send.buffer.bytes", Fate::Special),
    ("receive.buffer.bytes", Fate::Special),
    ("partition.assignment.strategy", Fate::Special),
    ("group.protocol", Fate::Special),
    ("auto.offset.reset", Fate::Special),
    ("bootstrap.servers", Fate::Special),
    ("group.id", Fate::Special),
    ("allow.auto.create.topics", Fate::Ignored("topics are never made by reading")),
    ("enable.auto.commit", Fate::Ignored(OURS)),
    ("auto.commit.interval.ms", Fate::Ignored(OURS)),
    ("max.poll.records", Fate::Ignored("records are not fetched by count")),
    ("default.api.timeout.ms", Fate::Ignored(NO_EQUIVALENT)),
    ("socket.connection.setup.timeout.max.ms", Fate::Ignored(NO_EQUIVALENT)),
    ("metadata.recovery.rebootstrap.trigger.ms", Fate::Ignored(NO_EQUIVALENT)),
    ("exclude.internal.topics", Fate::Ignored("Kafka's own topics are never loaded")),
    ("internal.leave.group.on.close", Fate::Ignored(NOT_USED)),
    ("interceptor.classes", Fate::Ignored(NOT_USED)),
    ("metric.reporters", Fate::Ignored(NOT_USED)),
    ("metrics.", Fate::Ignored(NOT_USED)),
    ("auto.include.jmx.reporter", Fate::Ignored(NOT_USED)),
    ("key.deserializer", Fate::Ignored(NOT_USED)),
    ("value.deserializer", Fate::Ignored(NOT_USED)),
    ("security.providers", Fate::Ignored(NOT_USED)),
    ("client.telemetry", Fate::Ignored(NOT_USED)),
    ("confluent.", Fate::Ignored(NOT_USED)),
    ("security.protocol", Fate::Security),
    ("sasl.", Fate::Security),
    ("ssl.", Fate::Security),
];

/// SASL properties without an equivalent that change nothing for a client like this one.
pub(super) const SASL_IGNORED: [&str; 12] = [
    "sasl.login.",
    "sasl.client.callback.handler.class",
    "sasl.kerberos.ticket.renew.",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.oauthbearer.scope.claim.name",
    "sasl.oauthbearer.sub.claim.name",
    "sasl.oauthbearer.jwks.",
    "sasl.oauthbearer.expected.",
    "sasl.oauthbearer.clock.skew.seconds",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.jwt.",
];

pub(super) const SASL_READ: [&str; 7] = [
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.kerberos.service.name",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
];

pub(super) const SSL_IGNORED: [&str; 7] = [
    "ssl.protocol",
    "ssl.enabled.protocols",
    "ssl.provider",
    "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm",
    "ssl.secure.random.implementation",
    "ssl.engine.factory.class",
];

pub(super) const SSL_READ: [&str; 12] = [
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.certificates",
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.key.password",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
];

/// Every property of the Java consumer that is known, with what becomes of it in a few words: for
/// `docs/CONFIG.md`.
pub fn known_properties() -> Vec<(String, String)> {
    let words = |fate: &Fate| match fate {
        Fate::Same => "kept".to_owned(),
        Fate::Named(other) => format!("becomes `{other}`"),
        Fate::Special => "translated".to_owned(),
        Fate::Ignored(why) => format!("ignored: {why}"),
        Fate::Security => "see below".to_owned(),
    };
    let plain = NAMES.iter().filter(|(_, fate)| !matches!(fate, Fate::Security));
    let plain = plain.map(|(name, fate)| (starred(name), words(fate)));
    let read = ["security.protocol"].into_iter().chain(SASL_READ).chain(SSL_READ);
    let read = read.map(|name| (name.to_owned(), "translated".to_owned()));
    let ignored = SASL_IGNORED.into_iter().chain(SSL_IGNORED);
    let ignored = ignored.map(|name| (starred(name), "ignored: it has no equivalent".to_owned()));
    plain.chain(read).chain(ignored).collect()
}

/// A prefix as people write one.
fn starred(name: &str) -> String {
    if name.ends_with('.') { format!("{name}*") } else { name.to_owned() }
}

/// What becomes of a property, if it is known.
pub(super) fn fate(name: &str) -> Option<&'static Fate> {
    let covers = |known: &str| match known.ends_with('.') || known == "client.telemetry" {
        true => name.starts_with(known),
        false => name == known,
    };
    NAMES.iter().find(|(known, _)| covers(known)).map(|(_, fate)| fate)
}

/// The names and prefixes of the table, for "did you mean".
pub(super) fn plain() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}
