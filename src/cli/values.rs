//! How the values of flags are read: places in a topic, times, sizes and durations with units.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::{Header, Property, User};
use crate::config::job::{MaxErrors, Start, Until};
use crate::config::keys;
use crate::verdict::Area;

/// One of the things `check` can look at.
pub(super) fn area() -> impl TypedValueParser<Value = Area> {
    let find = |name: String| Area::find(&name).expect("only names of areas pass the parser");
    PossibleValuesParser::new(Area::ALL.map(Area::name)).map(find)
}

pub(super) fn load_start(text: &str) -> Result<Start, String> {
    if let Some(count) = text.strip_prefix('-') {
        return count.parse().map(Start::Last).map_err(|_| START_FORMS.to_owned());
    }
    match text {
        "stored" => Ok(Start::Stored),
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        _ => match text.strip_prefix("s@") {
            Some(time) => instant(time).map(Start::Time),
            None => text.parse().map(Start::At).map_err(|_| START_FORMS.to_owned()),
        },
    }
}

const START_FORMS: &str = "expected is stored, beginning, end, N, -N, s@MS or s@RFC3339";

pub(super) fn tail_start(text: &str) -> Result<Start, String> {
    match (text, text.strip_prefix("s@")) {
        ("beginning", _) => Ok(Start::Beginning),
        ("end", _) => Ok(Start::End),
        (_, Some(time)) => instant(time).map(Start::Time),
        _ => Err("expected is beginning, end, s@MS or s@RFC3339".to_owned()),
    }
}

pub(super) fn until(text: &str) -> Result<Until, String> {
    match (text, text.strip_prefix("e@")) {
        ("now", _) => Ok(Until::Now),
        (_, Some(time)) => instant(time).map(Until::Time),
        _ => text
            .parse()
            .map(Until::At)
            .map_err(|_| "expected is now, N, e@MS or e@RFC3339".to_owned()),
    }
}

/// Milliseconds since the epoch, or RFC 3339 with `Z` or an offset.
fn instant(text: &str) -> Result<i64, String> {
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.parse().map_err(|_| "too many milliseconds".to_owned());
    }
    let (local, offset_s) = without_offset(text);
    let time = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| {
        "expected are milliseconds since 1970 or a time like 2026-11-01T00:00:00Z or …+08:00"
            .to_owned()
    })?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    let millis = i64::try_from(since.as_millis()).map_err(|_| "too late".to_owned())?;
    Ok((millis - offset_s * 1000).max(0))
}

/// The date and time, and the seconds its clock is ahead of UTC.
fn without_offset(text: &str) -> (&str, i64) {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, 0);
    }
    let Some((local, zone)) = text.len().checked_sub(6).and_then(|at| text.split_at_checked(at))
    else {
        return ("", 0);
    };
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return ("", 0),
    };
    match zone[1..].split_once(':').map(|(h, m)| (h.parse::<i64>(), m.parse::<i64>())) {
        Some((Ok(hours @ 0..=23), Ok(minutes @ 0..=59))) => {
            (local, sign * (hours * 3600 + minutes * 60))
        }
        _ => ("", 0),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = "a duration needs a unit: ms, s, m, h, d; for example 500ms, 10s, 2m";
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be longer than nothing".to_owned()),
        Ok(duration) if text.parse::<f64>().is_err() => Ok(duration),
        _ => Err(units.to_owned()),
    }
}

/// Bytes with a unit; decimal ones count in thousands, as everywhere else.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = "a size needs a unit: B, KB, MB, GB, KiB, MiB, GiB; for example 512KiB, 90MiB";
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or(units)?;
    let (count, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(units.to_owned()),
    };
    let count = u64::from_str(count.trim()).map_err(|_| units.to_owned())?;
    match count.checked_mul(unit) {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("too many bytes".to_owned()),
    }
}

/// No machine gains from more.
const MOST_LOADS: usize = 256;

pub(super) fn loads(text: &str) -> Result<usize, String> {
    let fits = |count: &usize| (1..=MOST_LOADS).contains(count);
    text.parse()
        .ok()
        .filter(fits)
        .ok_or_else(|| format!("expected is a number from 1 to {MOST_LOADS}"))
}

/// A number of records, or a share of those read.
pub(super) fn max_errors(text: &str) -> Result<MaxErrors, String> {
    let expected = "expected is a number of records such as 100, or a percentage such as 0.5%";
    let Some(share) = text.strip_suffix('%') else {
        return text.parse().map(MaxErrors::Count).map_err(|_| expected.to_owned());
    };
    let share = share.trim().parse::<f64>().ok().filter(|share| (0.0..=100.0).contains(share));
    share.map(MaxErrors::Percent).ok_or_else(|| expected.to_owned())
}

/// Parses anything: what clap refuses it prints, and this may be a password.
pub(super) fn user(text: &str) -> Result<User, Infallible> {
    Ok(if text.contains(':') { User::WithPassword } else { User::Named(text.to_owned()) })
}

pub(super) fn property(text: &str) -> Result<Property, String> {
    if text == "dump" {
        return Ok(Property::Dump);
    }
    let (name, value) = text.split_once('=').ok_or("expected is K=V or dump")?;
    let name = name.trim().to_owned();
    match name.as_str() {
        "" => Err("the property's name is missing".to_owned()),
        secret if keys::is_secret_name(secret) => Ok(Property::Secret(name)),
        _ => Ok(Property::Set(name, value.to_owned())),
    }
}

pub(super) fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("expected is 'NAME: VALUE'")?;
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() {
        return Err("the header's name is missing".to_owned());
    }
    Ok(Header { name, value: value.trim().to_owned() })
}
