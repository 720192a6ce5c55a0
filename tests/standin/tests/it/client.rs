//! A client of a few lines: raw requests over TCP and raw replies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use standin::{Standin, Version};

/// A reply as it came.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// `100 Continue` came before it.
    pub continued: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// A field of the JSON body as text; numbers are printed.
    pub fn field(&self, name: &str) -> String {
        match &self.json()[name] {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        }
    }
}

pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// Writes where the peer may already have closed.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Makes a write fail that gets no further for this long.
    pub fn stall_writes(&mut self, time: Duration) {
        self.reader.get_mut().set_write_timeout(Some(time)).unwrap();
    }

    /// `None` when the connection ends without a reply.
    pub fn read(&mut self) -> Option<Reply> {
        let mut reply = self.read_one()?;
        if reply.status == 100 {
            reply = self.read_one()?;
            reply.continued = true;
        }
        Some(reply)
    }

    fn read_one(&mut self) -> Option<Reply> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        let mut reply = Reply { status, headers, body: String::new(), continued: false };
        let length = reply.header("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).ok()?;
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    /// Whether the peer has closed and nothing is left to read.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.reader.read(&mut byte) {
            Ok(n) => n == 0,
            Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// `root:` in Base64.
pub const ROOT: &str = "Authorization: Basic cm9vdDo=";

/// The text of a request.
pub fn request(method: &str, target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n").into_bytes();
    for header in headers {
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
    out
}

/// One request on a connection of its own.
pub fn ask(to: SocketAddr, method: &str, target: &str, headers: &[&str], body: &str) -> Reply {
    let mut client = Client::connect(to);
    client.write(&request(method, target, headers, body.as_bytes()));
    client.read().expect("a reply")
}

/// As root, with `Expect` as a frontend wants it for `_stream_load`.
pub fn as_root<'a>(headers: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec![ROOT];
    all.extend_from_slice(headers);
    all
}

/// The address a redirect names.
pub fn location(reply: &Reply) -> SocketAddr {
    assert_eq!(reply.status, 307, "{reply:?}");
    let rest = reply.header("location").strip_prefix("http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// A transaction operation at the frontend, redirects followed.
pub fn txn(to: SocketAddr, op: &str, headers: &[&str], body: &str) -> Reply {
    let method = if op == "load" { "PUT" } else { "POST" };
    let target = format!("/api/transaction/{op}");
    let headers = as_root(headers);
    // The first hop carries no body.
    let mut reply = ask(to, method, &target, &headers, "");
    for _ in 0..3 {
        if reply.status != 307 {
            break;
        }
        reply = ask(location(&reply), method, &target, &headers, body);
    }
    reply
}

/// A transaction operation on database `d`, table `t` with this label; gives Status.
pub fn op(standin: &Standin, op: &str, label: &str) -> Reply {
    let label = format!("label: {label}");
    let headers = ["db: d", "table: t", &label, "format: json"];
    txn(standin.fe(), op, &headers, if op == "load" { "{\"id\":1}" } else { "" })
}

/// A plain load straight to a backend.
pub fn load(standin: &Standin, table: &str, headers: &[&str], body: &str) -> Reply {
    let target = format!("/api/d/{table}/_stream_load");
    ask(standin.be(), "PUT", &target, &as_root(headers), body)
}

/// `get_load_state` at the first frontend.
pub fn state(standin: &Standin, label: &str) -> String {
    let target = format!("/api/d/get_load_state?label={label}");
    ask(standin.fe(), "GET", &target, &[ROOT], "").field("state")
}

/// A stand-in with two backends, database `d`, and a table `t (id BIGINT, v VARCHAR(20))`.
pub fn start(version: Version) -> Standin {
    let standin = Standin::builder().version(version).be_count(2).start().unwrap();
    standin
        .execute("CREATE DATABASE d; CREATE TABLE d.t (id BIGINT NOT NULL, v VARCHAR(20))")
        .unwrap();
    standin
}
