//! Just enough HTTP/1.1 for a server: requests in, bodies by length or by chunks, replies out.
//! It knows nothing of StarRocks and decides no policy about keep-alive.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Room for one read; a load's body passes through in pieces of this size.
const BUFFER_BYTES: usize = 512 * 1024;
/// Request line and headers together; longer ones are refused.
const HEAD_BYTES: usize = 64 * 1024;

/// Request headers in order of arrival; names compare without case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The header's value unless it is absent or empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }
}

/// A request up to its blank line.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) target: String,
    /// Path without query, not decoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub(crate) minor: u8,
    pub(crate) headers: Headers,
}

impl Request {
    /// A query parameter, decoded.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The path's segments, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|s| !s.is_empty()).map(decode).collect()
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.headers.get("content-length").and_then(|v| v.trim().parse().ok())
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.headers.get("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.headers.get("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
    }

    fn wants_close(&self) -> bool {
        match self.headers.get("connection") {
            Some(v) if v.eq_ignore_ascii_case("close") => true,
            Some(v) if v.eq_ignore_ascii_case("keep-alive") => false,
            _ => self.minor == 0,
        }
    }
}

/// A reply to be written; `close` also closes the connection.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) extra: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) close: bool,
}

pub(crate) const JSON: &str = "application/json; charset=UTF-8";
pub(crate) const HTML: &str = "text/html";

impl Reply {
    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, JSON, body)
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, extra: Vec::new(), body: body.into(), close: false }
    }

    pub(crate) fn redirect(location: String) -> Self {
        Self::new(307, HTML, "").header("location", location)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.extra.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }
}

/// What can come instead of a request.
pub(crate) enum NoRequest {
    /// The peer closed, or the connection broke.
    Gone,
    /// Bytes that are no request; the cause is worded as the frontend words it.
    Bad(&'static str),
}

/// One connection: a stream with its read buffer.
pub(crate) struct Conn {
    stream: TcpStream,
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Replies are small and written at once; without this they wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        Self { stream, buf: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    pub(crate) fn peer_ip(&self) -> String {
        self.stream.peer_addr().map(|a| a.ip().to_string()).unwrap_or_default()
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let n = self.stream.read(&mut self.buf[self.end..])?;
        self.end += n;
        Ok(n)
    }

    /// Waits for the next request's head.
    pub(crate) fn read_request(&mut self) -> Result<Request, NoRequest> {
        let mut searched = 0;
        loop {
            let have = &self.buf[self.start..self.end];
            if let Some(at) = find_head_end(have, searched) {
                let head = have[..at].to_vec();
                self.start += at + 4;
                return parse_head(&head);
            }
            searched = have.len().saturating_sub(3);
            // A bad first line is answered without waiting for more of it.
            if let Some(eol) = memchr::memchr(b'\n', have)
                && request_line(&have[..eol]).is_none()
            {
                return Err(NoRequest::Bad("text is empty (possibly HTTP/0.9)"));
            }
            if have.len() > HEAD_BYTES {
                return Err(NoRequest::Bad("HTTP header is larger than 65536 bytes."));
            }
            match self.fill() {
                Ok(0) | Err(_) => {
                    let text_left = self.start < self.end;
                    return Err(if text_left {
                        NoRequest::Bad("text is empty (possibly HTTP/0.9)")
                    } else {
                        NoRequest::Gone
                    });
                }
                Ok(_) => {}
            }
        }
    }

    pub(crate) fn body<'a>(&'a mut self, request: &Request) -> Body<'a> {
        let framing = if request.is_chunked() {
            Framing::Chunked { left: 0, first: true }
        } else {
            match request.content_length() {
                Some(0) | None => Framing::Done,
                Some(n) => Framing::Length(n),
            }
        };
        Body { conn: self, framing, received: 0, gate: None, limit: u64::MAX }
    }

    pub(crate) fn send_continue(&mut self) -> io::Result<()> {
        self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
    }

    /// Writes `reply`; `keep_bytes` cuts the written bytes short and is for faults only.
    pub(crate) fn send(&mut self, reply: &Reply, keep_bytes: Option<usize>) -> io::Result<()> {
        let mut out = Vec::with_capacity(reply.body.len() + 256);
        write!(out, "HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status))?;
        for (name, value) in &reply.extra {
            write!(out, "{name}: {value}\r\n")?;
        }
        write!(out, "content-type: {}\r\n", reply.content_type)?;
        write!(out, "content-length: {}\r\n", reply.body.len())?;
        let connection = if reply.close { "close" } else { "keep-alive" };
        write!(out, "connection: {connection}\r\n\r\n")?;
        out.extend_from_slice(&reply.body);
        let keep =
            keep_bytes.map_or(out.len(), |k| (out.len() - reply.body.len() + k).min(out.len()));
        self.stream.write_all(&out[..keep])
    }

    fn read_into(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            // Large reads go straight to the caller, small ones through the buffer.
            if to.len() >= 64 * 1024 {
                return self.stream.read(to);
            }
            self.fill()?;
        }
        let n = to.len().min(self.end - self.start);
        to[..n].copy_from_slice(&self.buf[self.start..self.start + n]);
        self.start += n;
        Ok(n)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0u8; 1];
        loop {
            if self.read_into(&mut byte)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if byte[0] == b'\n' {
                break;
            }
            line.push(byte[0]);
            if line.len() > 1024 {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

enum Framing {
    Done,
    Length(u64),
    Chunked { left: u64, first: bool },
}

/// Called with the number of payload bytes read so far; may block or break the body off.
pub(crate) type Gate = Box<dyn FnMut(u64) -> io::Result<()>>;

/// A request's body; reading past its end gives 0, a peer that stops early an error.
pub(crate) struct Body<'a> {
    conn: &'a mut Conn,
    framing: Framing,
    received: u64,
    gate: Option<Gate>,
    /// Payload bytes after which reading fails.
    limit: u64,
}

impl Body<'_> {
    /// Payload bytes read so far, chunk framing not counted.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Breaks the body off once more than so many bytes have come, as a connection's cap does.
    pub(crate) fn set_limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    pub(crate) fn set_gate(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    /// The next bytes of the body where they lie in the connection's buffer; empty at its end.
    pub(crate) fn piece(&mut self) -> io::Result<&[u8]> {
        let Some(left) = self.left()? else { return Ok(&[]) };
        if self.conn.start == self.conn.end && self.conn.fill()? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let start = self.conn.start;
        let n = (self.conn.end - start).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.conn.start += n;
        self.took(n);
        Ok(&self.conn.buf[start..start + n])
    }

    /// Bytes that may be read now: of the body, or of the present chunk; `None` at the end.
    fn left(&mut self) -> io::Result<Option<u64>> {
        if let Some(gate) = &mut self.gate {
            gate(self.received)?;
        }
        if self.received > self.limit {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.next_chunk()?;
        Ok(match &self.framing {
            Framing::Done => None,
            Framing::Length(left) | Framing::Chunked { left, .. } => Some(*left),
        })
    }

    fn took(&mut self, n: usize) {
        self.received += n as u64;
        match &mut self.framing {
            Framing::Length(left) => {
                *left -= n as u64;
                if *left == 0 {
                    self.framing = Framing::Done;
                }
            }
            Framing::Chunked { left, .. } => *left -= n as u64,
            Framing::Done => {}
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let Framing::Chunked { left, first } = &mut self.framing else { return Ok(()) };
        if *left > 0 {
            return Ok(());
        }
        if !*first {
            self.conn.read_line()?;
        }
        *first = false;
        let line = self.conn.read_line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "bad chunk size"))?;
        if size == 0 {
            while !self.conn.read_line()?.is_empty() {}
            self.framing = Framing::Done;
        } else {
            *left = size;
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left()? else { return Ok(0) };
        let room = to.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.conn.read_into(&mut to[..room])?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.took(n);
        Ok(n)
    }
}

/// Whether the connection may serve another request after `reply`.
pub(crate) fn keeps_alive(request: &Request, reply: &Reply) -> bool {
    !reply.close && !request.wants_close()
}

fn find_head_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| at + from)
}

fn request_line(line: &[u8]) -> Option<(String, String, u8)> {
    let text = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    let mut parts = text.split(' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let minor = version.strip_prefix("HTTP/1.")?.parse().ok()?;
    let well_formed = parts.next().is_none()
        && !method.is_empty()
        && method.bytes().all(|b| b.is_ascii_uppercase())
        && target.starts_with('/');
    well_formed.then(|| (method.to_owned(), target.to_owned(), minor))
}

fn parse_head(head: &[u8]) -> Result<Request, NoRequest> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let (method, target, minor) = request_line(first.as_bytes())
        .ok_or(NoRequest::Bad("text is empty (possibly HTTP/0.9)"))?;
    let mut headers = Headers::default();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(NoRequest::Bad("invalid header"))?;
        headers.0.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), parse_query(query)),
        None => (target.clone(), Vec::new()),
    };
    Ok(Request { method, target, path, query, minor, headers })
}

pub(crate) fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Percent-decoding; malformed escapes stay as they are.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%')
            .then(|| bytes.get(i + 1..i + 3))
            .flatten()
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
