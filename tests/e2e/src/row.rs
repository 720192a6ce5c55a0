//! The benchmark's row: ten flat fields, 185 bytes of JSON, every byte a function of its id.
//!
//! The id carries where the row was put, so a row read back from StarRocks can be checked without
//! any memory of what was produced.

use std::fmt::Write as _;

/// Length of a row as JSON, in bytes; the same for every row.
pub const JSON_BYTES: usize = 185;

/// Length of a row as an Avro message, in bytes; small numbers make it shorter.
pub const AVRO_BYTES: usize = 35;

/// The schema of [`Row::avro`].
pub const AVRO_SCHEMA: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"ts","type":"long"},{"name":"user_id","type":"string"},{"name":"qty","type":"int"},{"name":"rating","type":"double"}]}"#;

/// Columns of a table for these rows, as they stand in CREATE TABLE.
pub const COLUMNS: &str = "id BIGINT NOT NULL, ts BIGINT, user_id VARCHAR(16), city VARCHAR(32), \
    amount DECIMAL(10,2), qty INT, paid BOOLEAN, channel VARCHAR(16), rating DOUBLE, note VARCHAR(128)";

/// Names of the columns, in the order of [`Row::csv`].
pub const NAMES: &str = "id,ts,user_id,city,amount,qty,paid,channel,rating,note";

/// 2026-11-01T00:00:00Z; row `n` of a partition is `n` milliseconds later.
const FIRST_TS_MS: u64 = 1_793_491_200_000;
/// Rows a partition may hold before ids of two partitions meet.
const PARTITION_SPAN: u64 = 1_000_000_000;
/// Makes every id 13 digits long, so that every row has the same length.
const FIRST_PARTITION: u64 = 1_000;

const CITIES: [&str; 8] =
    ["New York", "Los Angeles", "Chicago", "Hangzhou", "Beijing", "Lagos", "Oslo", "São Paulo"];
const CHANNELS: [&str; 4] = ["web", "app", "store", "partner"];

/// A row's identity: the `index`-th row put into `partition`, which on a fresh topic without
/// transactions is its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Kafka partition, below 9000.
    pub partition: u32,
    /// Count of rows put into that partition before.
    pub index: u64,
}

impl Row {
    /// The `id` column: unique within a topic.
    pub fn id(self) -> u64 {
        (FIRST_PARTITION + u64::from(self.partition)) * PARTITION_SPAN + self.index
    }

    /// The row whose `id` column says `id`; `None` if no row has it.
    pub fn from_id(id: u64) -> Option<Row> {
        let partition = (id / PARTITION_SPAN).checked_sub(FIRST_PARTITION)?;
        Some(Row { partition: u32::try_from(partition).ok()?, index: id % PARTITION_SPAN })
    }

    /// Replaces `out` with the row as one JSON object of [`JSON_BYTES`] bytes.
    pub fn json(self, out: &mut String) {
        let f = self.fields();
        out.clear();
        write!(
            out,
            r#"{{"id":{},"ts":{},"user_id":"{}","city":"{}","amount":{}.{:02},"qty":{},"paid":{},"channel":"{}","rating":{}.{},"note":""#,
            f.id, f.ts, f.user, f.city, f.cents / 100, f.cents % 100, f.qty, f.paid, f.channel, f.tenths / 10, f.tenths % 10,
        )
        .expect("a String takes every write");
        fill(out, f.noise, JSON_BYTES - 2);
        out.push_str("\"}");
    }

    /// Replaces `out` with the row as one line of CSV, without a line end and without quotes.
    pub fn csv(self, separator: &str, out: &mut String) {
        let f = self.fields();
        out.clear();
        let s = separator;
        write!(
            out,
            "{}{s}{}{s}{}{s}{}{s}{}.{:02}{s}{}{s}{}{s}{}{s}{}.{}{s}",
            f.id,
            f.ts,
            f.user,
            f.city,
            f.cents / 100,
            f.cents % 100,
            f.qty,
            f.paid,
            f.channel,
            f.tenths / 10,
            f.tenths % 10,
        )
        .expect("a String takes every write");
        let until = out.len() + 40;
        fill(out, f.noise, until);
    }

    /// Replaces `out` with five of the row's fields as a message of at most [`AVRO_BYTES`] bytes: Confluent's
    /// frame with the schema's `id`, then Avro under [`AVRO_SCHEMA`].
    pub fn avro(self, id: i32, out: &mut Vec<u8>) {
        let f = self.fields();
        out.clear();
        out.push(0);
        out.extend(id.to_be_bytes());
        long(out, f.id as i64);
        long(out, f.ts as i64);
        long(out, f.user.len() as i64);
        out.extend(f.user.as_bytes());
        long(out, f.qty as i64);
        out.extend((f.tenths as f64 / 10.0).to_le_bytes());
    }

    fn fields(self) -> Fields {
        let noise = mix(self.id());
        Fields {
            id: self.id(),
            ts: FIRST_TS_MS + self.index,
            user: user_id(noise),
            city: CITIES[(noise >> 20) as usize % CITIES.len()],
            cents: noise >> 24 & 0x7_ffff,
            qty: 1 + (noise >> 43) % 20,
            paid: noise >> 48 & 7 != 0,
            channel: CHANNELS[(noise >> 52) as usize % CHANNELS.len()],
            tenths: (noise >> 56) % 51,
            noise,
        }
    }
}

struct Fields {
    id: u64,
    ts: u64,
    user: String,
    city: &'static str,
    cents: u64,
    qty: u64,
    paid: bool,
    channel: &'static str,
    tenths: u64,
    noise: u64,
}

/// Avro's zig-zag varint.
fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn user_id(noise: u64) -> String {
    format!("u{:07}", noise % 1_000_000)
}

/// Appends letters, digits and blanks until `out` is `len` bytes long: text that compresses
/// about as badly as a person's remarks do.
fn fill(out: &mut String, seed: u64, len: usize) {
    const LETTERS: &[u8; 32] = b"eeeetttaaaooiinnssrrhhldcu 0127 ";
    let (mut noise, mut left) = (mix(seed), 12);
    while out.len() < len {
        if left == 0 {
            (noise, left) = (mix(noise), 12);
        }
        out.push(char::from(LETTERS[(noise & 31) as usize]));
        noise >>= 5;
        left -= 1;
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014): spreads consecutive ids evenly.
fn mix(id: u64) -> u64 {
    let x = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_185_bytes_of_json_with_ten_fields() {
        let mut text = String::new();
        for n in 0..20_000 {
            let row = Row { partition: n % 12, index: u64::from(n) * 7919 };
            row.json(&mut text);
            assert_eq!(text.len(), JSON_BYTES, "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(value.as_object().map(|fields| fields.len()), Some(10));
            assert_eq!(value["id"], row.id());
        }
    }

    #[test]
    fn a_row_is_35_bytes_of_avro_but_for_small_numbers() {
        let mut out = vec![];
        let mut whole = 0;
        for n in 0..20_000 {
            Row { partition: n % 12, index: u64::from(n) * 7919 }.avro(7, &mut out);
            assert!(out.len() <= AVRO_BYTES, "{}", out.len());
            whole += u32::from(out.len() == AVRO_BYTES);
        }
        assert!(whole > 18_000, "{whole}");
    }

    #[test]
    fn an_id_gives_its_partition_and_index_back() {
        for (partition, index) in [(0, 0), (5, 999_999_999), (8_999, 42)] {
            let row = Row { partition, index };
            assert_eq!(Row::from_id(row.id()), Some(row));
        }
        assert_eq!(Row::from_id(7), None);
    }

    #[test]
    fn a_csv_line_has_the_columns_the_table_has() {
        let mut text = String::new();
        Row { partition: 1, index: 2 }.csv("\u{1}", &mut text);
        assert_eq!(text.split('\u{1}').count(), NAMES.split(',').count());
        assert_eq!(COLUMNS.split(", ").count(), NAMES.split(',').count());
    }
}
