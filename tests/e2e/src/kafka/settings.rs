//! A broker's `server.properties` and logging. Pure text; ports come from the caller.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::{Certificates, SASL_PASSWORD, SASL_USER, Security};

/// One process that is broker and controller.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    /// Port for clients and for the other brokers, PLAINTEXT.
    pub(super) client: u16,
    pub(super) controller: u16,
    /// Port of the SASL_SSL listener.
    pub(super) secure: Option<u16>,
}

/// `count` nodes with ports from `port`.
pub(super) fn nodes(
    count: usize,
    security: Security,
    port: impl Fn() -> Result<u16>,
) -> Result<Vec<Node>> {
    let node = |id| {
        let secure = match security {
            Security::Open => None,
            Security::SaslSsl => Some(port()?),
        };
        Ok(Node { id, client: port()?, controller: port()?, secure })
    };
    (0..count).map(node).collect()
}

/// The text of `node`'s `server.properties`; `extra` comes last and so wins.
pub(super) fn server(
    node: &Node,
    nodes: &[Node],
    certificates: Option<&Certificates>,
    dir: &Path,
    extra: &[(String, String)],
) -> String {
    let mut lines = basics(node, nodes, dir);
    lines.extend(listeners(node));
    if let Some(certificates) = certificates {
        lines.extend(sasl_ssl(certificates));
    }
    let extra = extra.iter().map(|(key, value)| (key.as_str(), value.clone()));
    lines.into_iter().chain(extra).fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{key}={value}").expect("a String takes every write");
        text
    })
}

type Lines = Vec<(&'static str, String)>;

fn basics(node: &Node, nodes: &[Node], dir: &Path) -> Lines {
    let voters: Vec<String> =
        nodes.iter().map(|n| format!("{}@127.0.0.1:{}", n.id, n.controller)).collect();
    let copies = nodes.len().to_string();
    let enough = if nodes.len() > 1 { "2" } else { "1" }.to_owned();
    vec![
        ("process.roles", "broker,controller".into()),
        ("node.id", node.id.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("log.dirs", dir.join("data").display().to_string()),
        ("auto.create.topics.enable", "false".into()),
        ("default.replication.factor", copies.clone()),
        ("min.insync.replicas", enough.clone()),
        // The defaults want three brokers.
        ("offsets.topic.replication.factor", copies.clone()),
        ("transaction.state.log.replication.factor", copies),
        ("transaction.state.log.min.isr", enough),
        // Fifty partitions each by default: files nobody needs here.
        ("offsets.topic.num.partitions", "4".into()),
        ("transaction.state.log.num.partitions", "4".into()),
        // Members of a test's group do not wait for more to come.
        ("group.initial.rebalance.delay.ms", "0".into()),
        ("log.cleaner.dedupe.buffer.size", (16 << 20).to_string()),
    ]
}

fn listeners(node: &Node) -> Lines {
    let mut clients = format!("CLIENT://127.0.0.1:{}", node.client);
    if let Some(port) = node.secure {
        // By name: the certificate is for `localhost`.
        write!(clients, ",SECURE://localhost:{port}").expect("a String takes every write");
    }
    vec![
        ("listeners", format!("{clients},CONTROLLER://127.0.0.1:{}", node.controller)),
        ("advertised.listeners", clients),
        (
            "listener.security.protocol.map",
            "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL".into(),
        ),
        ("inter.broker.listener.name", "CLIENT".into()),
        ("controller.listener.names", "CONTROLLER".into()),
    ]
}

fn sasl_ssl(certificates: &Certificates) -> Lines {
    const SECURITY: &str = "org.apache.kafka.common.security";
    let scram = format!("{SECURITY}.scram.ScramLoginModule required;");
    let plain =
        format!("{SECURITY}.plain.PlainLoginModule required user_{SASL_USER}=\"{SASL_PASSWORD}\";");
    // Without a validator of its own Kafka takes tokens that nobody signed.
    let bearer = format!(
        "{SECURITY}.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"broker\";"
    );
    vec![
        ("listener.name.secure.ssl.keystore.type", "PEM".into()),
        ("listener.name.secure.ssl.keystore.location", certificates.server().display().to_string()),
        (
            "listener.name.secure.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".into(),
        ),
        ("listener.name.secure.plain.sasl.jaas.config", plain),
        ("listener.name.secure.scram-sha-256.sasl.jaas.config", scram.clone()),
        ("listener.name.secure.scram-sha-512.sasl.jaas.config", scram),
        ("listener.name.secure.oauthbearer.sasl.jaas.config", bearer),
    ]
}

/// The text of a `log4j.properties` that logs into `dir`: what brokers and group coordinator do.
pub(super) fn logging(dir: &Path) -> String {
    format!(
        "log4j.rootLogger=INFO, file\n\
         log4j.appender.file=org.apache.log4j.FileAppender\n\
         log4j.appender.file.File={}/server.log\n\
         log4j.appender.file.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n\n",
        dir.display()
    )
}
