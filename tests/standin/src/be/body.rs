//! A load's body: read, decompressed, and turned into rows or only counted.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};

use crate::counting::Counter;
use crate::http::Body;
use crate::load_spec::{Compression, Format};
use crate::plan::{Plan, Rows};
use crate::table::Keep;
use crate::{csv_rows, json_rows};

/// One read of a counted body.
const PIECE_BYTES: usize = 1024 * 1024;

/// Why a body gave no rows.
pub(crate) enum BadBody {
    /// The connection broke before the body's end.
    Broken,
    /// The bytes make no rows; the whole load fails.
    Data(String),
}

/// Reads the body to its end and adds its rows; gives a hash of the bytes as sent, 0 where they
/// are only counted.
pub(crate) fn consume(
    body: &mut Body<'_>,
    plan: &Plan,
    keep: &Keep,
    rows: &mut Rows,
) -> Result<u64, BadBody> {
    if *keep != Keep::Rows {
        return count(body, plan, keep, rows).map(|()| 0);
    }
    let mut sent = Vec::new();
    body.read_to_end(&mut sent).map_err(|_| BadBody::Broken)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&sent);
    let text = match plan.spec.compression {
        None => sent,
        Some(how) => {
            let mut text = Vec::new();
            decoder(how, sent.as_slice())
                .and_then(|mut d| d.read_to_end(&mut text))
                .map_err(|e| BadBody::Data(format!("Failed to decompress: {e}")))?;
            text
        }
    };
    rows.tally.bytes += text.len() as u64;
    let loaded_before = rows.loaded();
    match plan.spec.format {
        Format::Json => json_rows::read(plan, &text, rows),
        Format::Csv => csv_rows::read(plan, &text, rows),
    }
    .map_err(BadBody::Data)?;
    rows.tally.rows += rows.loaded() - loaded_before;
    Ok(hasher.finish())
}

/// Adds a CSV body's last row, for which there is no further body.
pub(crate) fn finish(plan: &Plan, keep: &Keep, rows: &mut Rows) {
    if *keep == Keep::Rows && plan.spec.format == Format::Csv {
        let loaded_before = rows.loaded();
        csv_rows::finish(plan, rows);
        rows.tally.rows += rows.loaded() - loaded_before;
    }
}

fn count(body: &mut Body<'_>, plan: &Plan, keep: &Keep, rows: &mut Rows) -> Result<(), BadBody> {
    let mut counter = Counter::new(plan.spec.format, keep);
    let outcome = match plan.spec.compression {
        None => pour_pieces(body, &mut counter),
        Some(how) => decoder(how, &mut *body).and_then(|mut d| pour(&mut d, &mut counter)),
    };
    outcome.map_err(|_| BadBody::Broken)?;
    // A decoder stops at the end of its frame; what the client still sends is read as well.
    io::copy(body, &mut io::sink()).map_err(|_| BadBody::Broken)?;
    let tally = counter.finish();
    rows.total += tally.rows;
    rows.tally.add(tally);
    Ok(())
}

fn pour_pieces(body: &mut Body<'_>, counter: &mut Counter) -> io::Result<()> {
    loop {
        match body.piece()? {
            [] => return Ok(()),
            piece => counter.add(piece),
        }
    }
}

fn pour(from: &mut dyn Read, counter: &mut Counter) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            n => counter.add(&piece[..n]),
        }
    }
}

fn decoder<'a>(how: Compression, from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match how {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
        Compression::Lz4Frame => Box::new(lz4_flex::frame::FrameDecoder::new(from)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(from)?),
    })
}
