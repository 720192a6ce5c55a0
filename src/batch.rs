//! Rows of one table on their way into a load body: an open [`Buffer`] grows, a closed [`Part`] is
//! sent. A part is a whole body by itself: a JSON array, or CSV rows that all end.

use std::io::Write;

use crate::config::job::Compression;

/// What joins rows into a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `[row,row]`
    JsonArray,
    /// Rows that carry their delimiter.
    Lines,
}

/// Rows of one table, open.
#[derive(Debug)]
pub struct Buffer {
    framing: Framing,
    body: Vec<u8>,
    rows: u64,
    records: u64,
}

/// Rows of one table, closed.
#[derive(Debug)]
pub struct Part {
    pub body: Vec<u8>,
    pub rows: u64,
    /// Kafka records these rows came from.
    pub records: u64,
    /// Before compression.
    pub raw_bytes: u64,
}

impl Buffer {
    /// Opens a buffer in memory that is used again.
    pub fn new(framing: Framing, mut body: Vec<u8>) -> Self {
        body.clear();
        Buffer { framing, body, rows: 0, records: 0 }
    }

    /// Appends one JSON row that is a record's only one for this table.
    #[inline]
    pub fn push_row(&mut self, row: &[u8]) {
        self.push(row, 1, true);
    }

    /// Appends a JSON row, or `rows` lines of CSV that all end; `begins`: the first of its record.
    #[inline]
    pub fn push(&mut self, bytes: &[u8], rows: u64, begins: bool) {
        if self.framing == Framing::JsonArray {
            self.body.push(if self.body.is_empty() { b'[' } else { b',' });
        }
        self.body.extend_from_slice(bytes);
        self.rows += rows;
        self.records += u64::from(begins);
    }

    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Ends the body.
    pub fn close(mut self) -> Part {
        if self.framing == Framing::JsonArray && !self.body.is_empty() {
            self.body.push(b']');
        }
        let raw_bytes = self.body.len() as u64;
        Part { body: self.body, rows: self.rows, records: self.records, raw_bytes }
    }
}

impl Part {
    /// The same part with its body compressed, and the memory its rows stood in.
    pub fn compressed(self, compression: Compression) -> std::io::Result<(Part, Option<Vec<u8>>)> {
        match compress(compression, &self.body)? {
            None => Ok((self, None)),
            Some(packed) => {
                let rows = self.body;
                Ok((Part { body: packed, ..self }, Some(rows)))
            }
        }
    }
}

/// Compresses a whole body; `None`: it is sent as it is.
pub fn compress(compression: Compression, body: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    /// zstd's own default: good enough, fast enough.
    const ZSTD_LEVEL: i32 = 3;
    let mut packed = match compression {
        Compression::None => return Ok(None),
        Compression::Lz4Frame => {
            let info = lz4_flex::frame::FrameInfo::new().content_size(Some(body.len() as u64));
            let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            out.write_all(body)?;
            out.finish().map_err(std::io::Error::other)?
        }
        Compression::Gzip => {
            let level = flate2::Compression::default();
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            out.write_all(body)?;
            out.finish()?
        }
        Compression::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL)?,
    };
    // Encoders ask for the worst case; what is not needed would be held, unseen by any budget, until
    // the body was sent.
    packed.shrink_to_fit();
    Ok(Some(packed))
}

/// Joins parts into one body, for servers that take a batch in one load only.
pub fn join(framing: Framing, parts: Vec<Part>) -> Part {
    let rows = parts.iter().map(|part| part.rows).sum();
    let records = parts.iter().map(|part| part.records).sum();
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.body.len()).sum());
    for part in parts.iter().filter(|part| !part.body.is_empty()) {
        match framing {
            Framing::Lines => body.extend_from_slice(&part.body),
            Framing::JsonArray => {
                body.push(if body.is_empty() { b'[' } else { b',' });
                body.extend_from_slice(&part.body[1..part.body.len() - 1]);
            }
        }
    }
    if framing == Framing::JsonArray && !body.is_empty() {
        body.push(b']');
    }
    let raw_bytes = body.len() as u64;
    Part { body, rows, records, raw_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(rows: &[&str]) -> Part {
        let mut buffer = Buffer::new(Framing::JsonArray, Vec::new());
        rows.iter().for_each(|row| buffer.push_row(row.as_bytes()));
        buffer.close()
    }

    #[test]
    fn json_rows_become_one_array_also_when_parts_are_joined() {
        assert_eq!(json(&["{}", "{\"a\":1}"]).body, b"[{},{\"a\":1}]");
        let joined = join(Framing::JsonArray, vec![json(&["{}"]), json(&[]), json(&["{}", "{}"])]);
        assert_eq!((joined.body.as_slice(), joined.rows), (&b"[{},{},{}]"[..], 3));
    }

    #[test]
    fn a_compressed_body_unpacks_to_the_same_bytes() {
        use std::io::Read;
        let body = b"[{\"a\":1},{\"a\":2}]".repeat(100);
        let lz4 = compress(Compression::Lz4Frame, &body).unwrap().unwrap();
        let mut back = vec![];
        lz4_flex::frame::FrameDecoder::new(&lz4[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
        let gzip = compress(Compression::Gzip, &body).unwrap().unwrap();
        let mut back = vec![];
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
        let zstd = compress(Compression::Zstd, &body).unwrap().unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, body.len()).unwrap(), body);
    }
}
