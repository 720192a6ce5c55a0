//! The query port: enough of the MySQL protocol for a real client to log in and run the
//! statements of `sql`. Text protocol only: prepared statements are refused.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::sha1::sha1;
use crate::sql::{self, Outcome, Session, SqlError, Table};

/// Long password, long flag, connect with database, protocol 4.1, transactions, secure connection,
/// plugin authentication: what the frontend was seen to offer, with the database added.
const CAPABILITIES: u32 = 0x0038_820c | 0x0000_0208 | 0x0008_8000;
const CONNECT_WITH_DB: u32 = 0x0000_0008;
const PLUGIN_AUTH: u32 = 0x0008_0000;
const SALT: &[u8; 20] = b"StandInSaltOf20Bytes";
const PLUGIN: &[u8] = b"mysql_native_password\0";
/// utf8_general_ci.
const CHARSET: u8 = 33;
const AUTOCOMMIT: u16 = 2;

/// Bytes per packet; longer ones are sent in pieces of this size.
const LARGEST_PACKET: usize = 0xff_ffff;

struct Wire {
    stream: TcpStream,
    sequence: u8,
}

/// Serves one client until it leaves.
pub(crate) fn serve(cluster: &Arc<Cluster>, stream: TcpStream) {
    let mut wire = Wire { stream, sequence: 0 };
    // A client that goes away is no error of ours.
    let _ = talk(cluster, &mut wire);
}

fn talk(cluster: &Cluster, wire: &mut Wire) -> io::Result<()> {
    wire.send(&greeting(cluster))?;
    let answer = Login::parse(&wire.receive()?);
    let mut proof = answer.proof.clone();
    if answer.plugin.as_deref().is_some_and(|p| p != "mysql_native_password") {
        let mut packet = vec![0xfe];
        packet.extend_from_slice(PLUGIN);
        packet.extend_from_slice(SALT);
        packet.push(0);
        wire.send(&packet)?;
        proof = wire.receive()?;
    }
    if !is_right(cluster, &answer.user, &proof) {
        let using = if proof.is_empty() { "NO" } else { "YES" };
        let text = format!("Access denied for user '{}' (using password: {using})", answer.user);
        return wire.send_error(&SqlError::new(1045, text));
    }
    let mut session = Session { user: answer.user, db: None };
    if let Some(db) = answer.db.filter(|db| !db.is_empty())
        && let Err(error) = sql::use_db(cluster, &mut session, &db)
    {
        return wire.send_error(&error);
    }
    wire.send_ok()?;
    loop {
        wire.sequence = 0;
        let packet = wire.receive()?;
        let Some((&command, rest)) = packet.split_first() else { return Ok(()) };
        let text = String::from_utf8_lossy(rest);
        match command {
            0x01 => return Ok(()),
            0x02 => match sql::use_db(cluster, &mut session, &text) {
                Ok(()) => wire.send_ok()?,
                Err(error) => wire.send_error(&error)?,
            },
            0x03 => answer_query(cluster, wire, &mut session, &text)?,
            // Field list, which clients ask for completion: an empty one.
            0x04 => wire.send_eof()?,
            0x0e => wire.send_ok()?,
            other => {
                let text = format!("stand-in: MySQL command {other:#x} is not imitated");
                wire.send_error(&SqlError::new(1047, text))?;
            }
        }
    }
}

fn answer_query(
    cluster: &Cluster,
    wire: &mut Wire,
    session: &mut Session,
    text: &str,
) -> io::Result<()> {
    let statements = sql::scan::split_statements(text);
    let [one] = statements.as_slice() else {
        let error = if statements.is_empty() {
            SqlError::new(1065, "Query was empty")
        } else {
            SqlError::unknown("several statements in one query")
        };
        return wire.send_error(&error);
    };
    match sql::execute(cluster, session, one) {
        Ok(Outcome::Done) => wire.send_ok(),
        Ok(Outcome::Rows(table)) => wire.send_table(&table),
        Err(error) => wire.send_error(&error),
    }
}

fn greeting(cluster: &Cluster) -> Vec<u8> {
    let mut out = vec![10];
    out.extend_from_slice(cluster.version.mysql_text().as_bytes());
    out.push(0);
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&SALT[..8]);
    out.push(0);
    let capabilities = CAPABILITIES.to_le_bytes();
    out.extend_from_slice(&capabilities[..2]);
    out.push(CHARSET);
    out.extend_from_slice(&AUTOCOMMIT.to_le_bytes());
    out.extend_from_slice(&capabilities[2..]);
    out.push(21);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&SALT[8..]);
    out.push(0);
    out.extend_from_slice(PLUGIN);
    out
}

/// The client's handshake response.
#[derive(Debug, Default)]
struct Login {
    user: String,
    proof: Vec<u8>,
    db: Option<String>,
    plugin: Option<String>,
}

impl Login {
    fn parse(packet: &[u8]) -> Self {
        let mut login = Self::default();
        if packet.len() < 32 {
            return login;
        }
        let flags = u32::from_le_bytes([packet[0], packet[1], packet[2], packet[3]]);
        let mut rest = &packet[32..];
        login.user = until_zero(&mut rest);
        if let Some((&n, tail)) = rest.split_first() {
            let n = usize::from(n).min(tail.len());
            login.proof = tail[..n].to_vec();
            rest = &tail[n..];
        }
        if flags & CONNECT_WITH_DB != 0 {
            login.db = Some(until_zero(&mut rest));
        }
        if flags & PLUGIN_AUTH != 0 {
            login.plugin = Some(until_zero(&mut rest)).filter(|p| !p.is_empty());
        }
        login
    }
}

fn until_zero(rest: &mut &[u8]) -> String {
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[(end + 1).min(rest.len())..];
    text
}

/// Checks `SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))`.
fn is_right(cluster: &Cluster, user: &str, proof: &[u8]) -> bool {
    let state = cluster.lock();
    let Some(user) = state.users.0.get(user) else { return false };
    if user.password.is_empty() {
        return proof.is_empty();
    }
    let once = sha1(user.password.as_bytes());
    let mut salted = SALT.to_vec();
    salted.extend_from_slice(&sha1(&once));
    let expected: Vec<u8> = once.iter().zip(sha1(&salted)).map(|(a, b)| a ^ b).collect();
    expected == proof
}

impl Wire {
    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head)?;
            let length =
                usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
            self.sequence = head[3].wrapping_add(1);
            let start = out.len();
            if start + length > 64 * 1024 * 1024 {
                return Err(ErrorKind::InvalidData.into());
            }
            out.resize(start + length, 0);
            self.stream.read_exact(&mut out[start..])?;
            if length < LARGEST_PACKET {
                return Ok(out);
            }
        }
    }

    fn frame(&mut self, to: &mut Vec<u8>, payload: &[u8]) {
        let mut pieces: Vec<&[u8]> = payload.chunks(LARGEST_PACKET).collect();
        if payload.len().is_multiple_of(LARGEST_PACKET) {
            pieces.push(&[]);
        }
        for piece in pieces {
            to.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(0).to_le_bytes()[..3]);
            to.push(self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
            to.extend_from_slice(piece);
        }
    }

    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(payload.len() + 4);
        self.frame(&mut out, payload);
        self.stream.write_all(&out)
    }

    fn send_ok(&mut self) -> io::Result<()> {
        self.send(&[0, 0, 0, 2, 0, 0, 0])
    }

    fn send_eof(&mut self) -> io::Result<()> {
        self.send(&EOF)
    }

    fn send_error(&mut self, error: &SqlError) -> io::Result<()> {
        let mut out = vec![0xff];
        out.extend_from_slice(&error.code.to_le_bytes());
        out.extend_from_slice(b"#HY000");
        out.extend_from_slice(error.text.as_bytes());
        self.send(&out)
    }

    fn send_table(&mut self, table: &Table) -> io::Result<()> {
        let mut out = Vec::new();
        let mut count = Vec::new();
        put_length(&mut count, table.columns.len());
        self.frame(&mut out, &count);
        for (name, ty) in &table.columns {
            self.frame(&mut out, &column(name, ty));
        }
        self.frame(&mut out, &EOF);
        for row in &table.rows {
            let mut packet = Vec::new();
            for value in row {
                match value {
                    Value::Null => packet.push(0xfb),
                    Value::String(text) => put_text(&mut packet, text),
                    other => put_text(&mut packet, &other.to_string()),
                }
            }
            self.frame(&mut out, &packet);
            if out.len() > 1 << 20 {
                self.stream.write_all(&out)?;
                out.clear();
            }
        }
        self.frame(&mut out, &EOF);
        self.stream.write_all(&out)
    }
}

const EOF: [u8; 5] = [0xfe, 0, 0, 2, 0];

fn column(name: &str, ty: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["def", "", "", "", name, name] {
        put_text(&mut out, text);
    }
    out.push(0x0c);
    out.extend_from_slice(&u16::from(CHARSET).to_le_bytes());
    out.extend_from_slice(&1024u32.to_le_bytes());
    out.push(type_code(ty));
    out.extend_from_slice(&[0, 0, 0, 0, 0]);
    out
}

/// Numbers are told apart so that clients align them; the rest is text.
fn type_code(ty: &str) -> u8 {
    match ty.split('(').next().unwrap_or_default() {
        "tinyint" | "boolean" => 1,
        "smallint" => 2,
        "int" => 3,
        "float" => 4,
        "double" => 5,
        "bigint" => 8,
        "decimal" => 0xf6,
        "date" => 10,
        "datetime" => 12,
        _ => 0xfd,
    }
}

fn put_length(out: &mut Vec<u8>, n: usize) {
    match n {
        0..=250 => out.push(n as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&(n as u64).to_le_bytes());
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
