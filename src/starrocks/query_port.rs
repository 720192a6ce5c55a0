//! An FE's query port: a login with the MySQL protocol, in TLS where the server offers it, and
//! statements that read. Loads never use it; who looks at a cluster before a deploy does. Owns the
//! only use of `mysql`.

use std::time::Duration;

use mysql::prelude::Queryable as _;
use mysql::{Conn, DriverError, Error, Opts, OptsBuilder, SslOpts, Value};

use crate::secret::Secret;

/// MySQL's error for a wrong name or password.
const ACCESS_DENIED: u16 = 1045;
/// StarRocks' error for a missing right.
pub const NO_RIGHT: u16 = 5203;
/// Answers are short lists; longer ones are not ours.
const LARGEST_PACKET: usize = 16 << 20;

/// A session on one FE.
pub struct Session {
    connection: Conn,
    pub security: Security,
}

/// How the session is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// The server offers no TLS.
    Plain,
    Encrypted,
    /// In TLS, but the certificate proves nothing, for this reason.
    Untrusted(String),
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Unreachable(String),
    /// Something answers, but not in MySQL's protocol.
    NotMysql(String),
    /// Name or password; server text.
    Denied(String),
    Other(String),
}

/// A statement that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFailure {
    pub code: u16,
    /// Server text.
    pub text: String,
}

impl SqlFailure {
    /// The user lacks a right that would let the statement through.
    pub fn is_missing_right(&self) -> bool {
        self.code == NO_RIGHT || self.text.starts_with("Access denied")
    }
}

/// One row: names of columns and their texts.
pub type Row = Vec<(String, Option<String>)>;

impl Session {
    /// Logs in; TLS first, and without only where the server has none.
    pub fn log_in(
        host: &str,
        port: u16,
        user: &str,
        password: &Secret,
        limit: Duration,
    ) -> Result<Session, Refused> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let options = |tls: Option<SslOpts>| {
            OptsBuilder::new()
                .ip_or_hostname(Some(host))
                .tcp_port(port)
                .user(Some(user))
                .pass(Some(password.reveal()))
                .prefer_socket(false)
                .max_allowed_packet(Some(LARGEST_PACKET))
                .tcp_connect_timeout(Some(limit))
                .read_timeout(Some(limit))
                .write_timeout(Some(limit))
                .ssl_opts(tls)
        };
        let open = |tls: Option<SslOpts>| Conn::new(Opts::from(options(tls)));
        let session = |connection, security| Session { connection, security };
        match open(Some(SslOpts::default())) {
            Ok(connection) => Ok(session(connection, Security::Encrypted)),
            Err(Error::DriverError(DriverError::TlsNotSupported)) => {
                open(None).map(|c| session(c, Security::Plain)).map_err(|error| refused(&error))
            }
            Err(Error::TlsError(why)) => {
                let trusting = SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true);
                let security = Security::Untrusted(why.to_string());
                open(Some(trusting)).map(|c| session(c, security)).map_err(|error| refused(&error))
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// The MySQL version the server says it has.
    pub fn mysql_version(&self) -> String {
        let (major, minor, patch) = self.connection.server_version();
        format!("{major}.{minor}.{patch}")
    }

    /// Runs one statement that reads.
    pub fn rows(&mut self, statement: &str) -> Result<Vec<Row>, SqlFailure> {
        let rows: Vec<mysql::Row> = self.connection.query(statement).map_err(sql_failure)?;
        Ok(rows.into_iter().map(row).collect())
    }
}

fn row(row: mysql::Row) -> Row {
    let names: Vec<String> = row.columns_ref().iter().map(|c| c.name_str().into_owned()).collect();
    names.into_iter().zip(row.unwrap().into_iter().map(text)).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

fn sql_failure(error: Error) -> SqlFailure {
    match error {
        Error::MySqlError(error) => SqlFailure { code: error.code, text: error.message },
        other => SqlFailure { code: 0, text: other.to_string() },
    }
}

fn refused(error: &Error) -> Refused {
    match error {
        Error::MySqlError(server) if server.code == ACCESS_DENIED => {
            Refused::Denied(server.message.clone())
        }
        Error::MySqlError(server) => Refused::Other(server.message.clone()),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, why, _)))) => {
            let why = why.split(" (os error").next().unwrap_or(why);
            Refused::Unreachable(why.to_lowercase())
        }
        Error::DriverError(DriverError::CouldNotConnect(None) | DriverError::ConnectTimeout) => {
            Refused::Unreachable("no answer in time".into())
        }
        Error::DriverError(
            DriverError::UnsupportedProtocol(_)
            | DriverError::Protocol41NotSet
            | DriverError::CouldNotParseVersion
            | DriverError::UnexpectedPacket
            | DriverError::PacketOutOfSync
            | DriverError::PacketTooLarge,
        )
        | Error::CodecError(_) => Refused::NotMysql("the answer is not MySQL's greeting".into()),
        Error::IoError(error) => Refused::NotMysql(match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                "it is open, and says nothing".into()
            }
            _ => format!("the connection breaks off: {error}"),
        }),
        other => Refused::Other(other.to_string()),
    }
}
