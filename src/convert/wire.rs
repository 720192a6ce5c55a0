//! Confluent's framing: which schema a payload was written with. Fetches nothing.
//!
//! Three forms are read, as Confluent's default deserializer reads them: a record header with the
//! id, else `00` and a four-byte id before the payload, else `01` and a sixteen-byte GUID.

use std::fmt;

use crate::data::{Exception, Failure};

/// Names of the record headers that carry the id of a key or a value.
pub const KEY_HEADER: &str = "__key_schema_id";
pub const VALUE_HEADER: &str = "__value_schema_id";

/// How a registry knows a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaId {
    Number(i32),
    Guid([u8; 16]),
}

impl SchemaId {
    /// A GUID as people write it, with or without dashes.
    pub fn parse_guid(text: &str) -> Option<SchemaId> {
        let digits: Vec<u32> =
            text.chars().filter(|&c| c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|two| two.iter().fold(0, |a, d| a << 4 | d) as u8).collect();
        (digits.len() == 32).then(|| SchemaId::Guid(bytes.try_into().expect("sixteen bytes")))
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaId::Number(id) => write!(f, "{id}"),
            SchemaId::Guid(bytes) => {
                for (at, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// A message taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed<'a> {
    pub id: SchemaId,
    /// Protobuf only: the path to the message type, `[0]` for the first one.
    pub message_indexes: Vec<i32>,
    pub payload: &'a [u8],
}

/// Longest path of nested message types believed; a longer one is no Protobuf message.
const DEEPEST_MESSAGE: usize = 64;

/// Takes a message apart. `header` is the last `__key_schema_id` or `__value_schema_id` of the
/// record that is not null; `protobuf` says that message indexes follow the id.
pub fn split<'a>(
    header: Option<&[u8]>,
    bytes: &'a [u8],
    protobuf: bool,
) -> Result<Framed<'a>, Failure> {
    match header {
        Some(block) => {
            let (id, message_indexes, _) = id_block(block, protobuf)?;
            Ok(Framed { id, message_indexes, payload: bytes })
        }
        None => {
            let (id, message_indexes, used) = id_block(bytes, protobuf)?;
            Ok(Framed { id, message_indexes, payload: &bytes[used..] })
        }
    }
}

fn broken(why: &str) -> Failure {
    Failure::new(Exception::Serialization, format!("Error deserializing schema ID: {why}"))
}

fn id_block(block: &[u8], protobuf: bool) -> Result<(SchemaId, Vec<i32>, usize), Failure> {
    let short = || broken("the message is too short");
    let (id, mut used) = match block.first() {
        Some(0) => {
            let id = block.get(1..5).ok_or_else(short)?;
            (SchemaId::Number(i32::from_be_bytes(id.try_into().expect("four bytes"))), 5)
        }
        Some(1) => {
            let guid = block.get(1..17).ok_or_else(short)?;
            (SchemaId::Guid(guid.try_into().expect("sixteen bytes")), 17)
        }
        Some(_) => return Err(broken("Unknown magic byte!")),
        None => return Err(short()),
    };
    let mut indexes = Vec::new();
    if protobuf {
        let count = varint(block, &mut used)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= DEEPEST_MESSAGE);
        for _ in 0..count.ok_or_else(|| broken("Invalid message indexes"))? {
            indexes.push(varint(block, &mut used)?);
        }
        if indexes.is_empty() {
            indexes.push(0);
        }
    }
    Ok((id, indexes, used))
}

/// A zig-zag varint of 32 bits.
fn varint(bytes: &[u8], at: &mut usize) -> Result<i32, Failure> {
    let mut value: u32 = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at).ok_or_else(|| broken("the message is too short"))?;
        *at += 1;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    Err(broken("a message index is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_payload_are_taken_apart() {
        let framed = split(None, &[0, 0, 0, 0, 7, b'x'], false).expect("framed");
        assert_eq!(
            framed,
            Framed { id: SchemaId::Number(7), message_indexes: vec![], payload: b"x" }
        );
        let header = [&[1][..], &[0xab; 16]].concat();
        let framed = split(Some(&header), b"x", false).expect("framed");
        assert_eq!(framed.id.to_string(), "abababab-abab-abab-abab-abababababab");
        assert_eq!(framed.payload, b"x");
        assert_eq!(SchemaId::parse_guid(&framed.id.to_string()), Some(framed.id));
        assert_eq!(SchemaId::parse_guid("abababab-abab"), None);
    }

    #[test]
    fn message_indexes_are_zig_zag_numbers() {
        let framed = split(None, &[0, 0, 0, 0, 7, 4, 2, 0, b'x'], true).expect("framed");
        assert_eq!((framed.message_indexes, framed.payload), (vec![1, 0], &b"x"[..]));
        let framed = split(None, &[0, 0, 0, 0, 7, 0, b'x'], true).expect("framed");
        assert_eq!(framed.message_indexes, [0]);
    }

    #[test]
    fn broken_frames_are_refused() {
        for bytes in
            [&b""[..], b"{\"a\":1}", &[0, 0], &[0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(split(None, bytes, true).is_err(), "{bytes:?}");
        }
    }
}
