//! Java's SimpleDateFormat in UTC and English, lenient as it is by default.
//!
//! Two stated deviations: two-digit years 50–99 are 19xx whatever the day's date, and week fields
//! are written but not read.

use crate::data::time::{Civil, MILLIS_PER_DAY, days_of_date};
use crate::data::{Exception, Failure};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From Thursday, the day of the epoch.
const DAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
/// Java's pattern letters.
const LETTERS: &str = "GyMLwWDdFEuaHkKhmsSzZXY";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    Field(char, usize),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat {
    items: Vec<Item>,
}

impl DateFormat {
    pub fn compile(pattern: &str) -> Result<DateFormat, Failure> {
        let illegal = |why: String| Err(Failure::new(Exception::IllegalArgument, why));
        let mut items: Vec<Item> = Vec::new();
        let literal = |items: &mut Vec<Item>, c: char| match items.last_mut() {
            Some(Item::Literal(text)) => text.push(c),
            _ => items.push(Item::Literal(c.to_string())),
        };
        let mut chars = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    literal(&mut items, '\'');
                }
                '\'' => quoted = !quoted,
                c if !quoted && c.is_ascii_alphabetic() => {
                    if !LETTERS.contains(c) {
                        return illegal(format!("Illegal pattern character '{c}'"));
                    }
                    let mut count = 1;
                    while chars.peek() == Some(&c) {
                        chars.next();
                        count += 1;
                    }
                    if c == 'X' && count > 3 {
                        return illegal(format!("invalid ISO 8601 format: length={count}"));
                    }
                    items.push(Item::Field(c, count));
                }
                c => literal(&mut items, c),
            }
        }
        if quoted {
            return illegal("Unterminated quote".into());
        }
        Ok(DateFormat { items })
    }

    /// The text of an instant, in milliseconds since the epoch.
    pub fn format(&self, millis: i64) -> String {
        let civil = Civil::of_epoch(millis, 1_000);
        let days = millis.div_euclid(MILLIS_PER_DAY);
        let mut out = String::new();
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Field(letter, count) => format_field(*letter, *count, &civil, days, &mut out),
            }
        }
        out
    }

    /// The instant a text begins with; what follows it is not looked at. `None`: no match.
    pub fn parse(&self, text: &str) -> Option<i64> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (at, item) in self.items.iter().enumerate() {
            match item {
                Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Item::Field(letter, count) => {
                    let abutting = matches!(self.items.get(at + 1), Some(Item::Field(..)));
                    rest = rest.trim_start_matches([' ', '\t']);
                    rest = fields.read(*letter, *count, abutting, rest)?;
                }
            }
        }
        fields.instant()
    }
}

fn format_field(letter: char, count: usize, civil: &Civil, days: i64, out: &mut String) {
    use std::fmt::Write as _;
    let seconds = civil.nanos / 1_000_000_000;
    let hour = seconds / 3_600;
    let mut number = |value: i64| {
        let _ = write!(out, "{value:0count$}");
    };
    // Java's calendar has years of an era; year 0 is 1 BC.
    let year_of_era = if civil.year > 0 { civil.year } else { 1 - civil.year };
    match letter {
        'y' if count == 2 => number(year_of_era % 100),
        'y' => number(year_of_era),
        'Y' if count == 2 => number(week_year(civil, days).0 % 100),
        'Y' => number(week_year(civil, days).0),
        'M' | 'L' if count >= 4 => out.push_str(MONTHS[civil.month as usize - 1]),
        'M' | 'L' if count == 3 => out.push_str(&MONTHS[civil.month as usize - 1][..3]),
        'M' | 'L' => number(civil.month.into()),
        'w' => number(week_year(civil, days).1),
        'W' => {
            let first = sunday_based(days - i64::from(civil.day) + 1);
            number((i64::from(civil.day) - 1 + first) / 7 + 1);
        }
        'D' => number(days - days_of_date(civil.year, 1, 1) + 1),
        'd' => number(civil.day.into()),
        'F' => number((i64::from(civil.day) - 1) / 7 + 1),
        'E' => {
            let name = DAYS[days.rem_euclid(7) as usize];
            out.push_str(if count >= 4 { name } else { &name[..3] });
        }
        'u' => number((sunday_based(days) + 6) % 7 + 1),
        'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'H' => number(hour),
        'k' => number(if hour == 0 { 24 } else { hour }),
        'K' => number(hour % 12),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }),
        'm' => number(seconds / 60 % 60),
        's' => number(seconds % 60),
        'S' => number(civil.nanos / 1_000_000 % 1_000),
        'z' if count >= 4 => out.push_str("Coordinated Universal Time"),
        'z' => out.push_str("UTC"),
        'Z' => out.push_str("+0000"),
        'X' => out.push('Z'),
        _ => out.push_str(if civil.year > 0 { "AD" } else { "BC" }),
    }
}

/// Days since the last Sunday.
fn sunday_based(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// Week year and week, English rules: weeks begin on Sunday, the first one holds 1 January.
fn week_year(civil: &Civil, days: i64) -> (i64, i64) {
    let next = days_of_date(civil.year + 1, 1, 1);
    if days >= next - sunday_based(next) {
        return (civil.year + 1, 1);
    }
    let first = days_of_date(civil.year, 1, 1);
    (civil.year, (days - first + sunday_based(first)) / 7 + 1)
}

/// What a text said, field by field.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    /// 0–23, or 0–11 with `pm`.
    hour: i64,
    half_day: Option<bool>,
    twelve_hours: bool,
    minute: i64,
    second: i64,
    millis: i64,
    zone_millis: i64,
    before_christ: bool,
}

impl Fields {
    /// Reads one field and gives the rest of the text.
    fn read<'t>(
        &mut self,
        letter: char,
        count: usize,
        abutting: bool,
        text: &'t str,
    ) -> Option<&'t str> {
        match letter {
            'M' | 'L' if count >= 3 => {
                let (at, rest) = name(&MONTHS, text)?;
                self.month = Some(at as i64 + 1);
                return Some(rest);
            }
            'E' => return name(&DAYS, text).map(|(_, rest)| rest),
            'a' => {
                let pm = text.get(..2)?;
                self.half_day = Some(pm.eq_ignore_ascii_case("PM"));
                return (pm.eq_ignore_ascii_case("AM") || pm.eq_ignore_ascii_case("PM"))
                    .then(|| &text[2..]);
            }
            'G' => {
                let era = text.get(..2)?;
                self.before_christ = era.eq_ignore_ascii_case("BC");
                return (self.before_christ || era.eq_ignore_ascii_case("AD")).then(|| &text[2..]);
            }
            'z' | 'Z' | 'X' => {
                let (millis, rest) = zone(text)?;
                self.zone_millis = millis;
                return Some(rest);
            }
            'w' | 'W' | 'F' | 'Y' => return None,
            _ => {}
        }
        let (value, digits, rest) = integer(text, abutting.then_some(count))?;
        match letter {
            'y' if count <= 2 && digits == 2 && value >= 0 => {
                self.year = Some(if value >= 50 { 1900 + value } else { 2000 + value });
            }
            'y' => self.year = Some(value),
            'M' | 'L' => self.month = Some(value),
            'd' => self.day = Some(value),
            'D' => self.day_of_year = Some(value),
            'H' => self.hour = value,
            'k' => self.hour = if value == 24 { 0 } else { value },
            'K' => (self.hour, self.twelve_hours) = (value, true),
            'h' => (self.hour, self.twelve_hours) = (if value == 12 { 0 } else { value }, true),
            'm' => self.minute = value,
            's' => self.second = value,
            'S' => self.millis = value,
            // `u`: a day of the week says nothing that the date does not.
            _ => {}
        }
        Some(rest)
    }

    fn instant(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        // Beyond this the count of milliseconds leaves int64.
        if year.abs() > 200_000_000 {
            return None;
        }
        let days = match (self.day_of_year, self.month, self.day) {
            (Some(day), None, None) => days_of_date(year, 1, 1).checked_add(day - 1)?,
            (_, month, day) => {
                let month = month.unwrap_or(1);
                let first = (month.abs() < 1_000_000).then(|| days_of_date(year, month, 1))?;
                first.checked_add(day.unwrap_or(1) - 1)?
            }
        };
        let afternoon = self.half_day == Some(true) && self.twelve_hours;
        let hour = self.hour.checked_add(if afternoon { 12 } else { 0 })?;
        let minutes = hour.checked_mul(60)?.checked_add(self.minute)?;
        let seconds = minutes.checked_mul(60)?.checked_add(self.second)?;
        days.checked_mul(MILLIS_PER_DAY)?
            .checked_add(seconds.checked_mul(1_000)?)?
            .checked_add(self.millis)?
            .checked_sub(self.zone_millis)
    }
}

/// The name a text begins with, long or short.
fn name<'t>(names: &[&str], text: &'t str) -> Option<(usize, &'t str)> {
    let begins = |name: &str| {
        text.get(..name.len()).filter(|part| part.eq_ignore_ascii_case(name)).map(|_| name.len())
    };
    names.iter().enumerate().find_map(|(at, name)| {
        let length = begins(name).or_else(|| begins(&name[..3]))?;
        Some((at, &text[length..]))
    })
}

/// A number: exactly `width` characters if given, else as many digits as there are. Gives the value,
/// its number of digits and the rest.
fn integer(text: &str, width: Option<usize>) -> Option<(i64, usize, &str)> {
    let text_here = match width {
        Some(width) => text.get(..width)?,
        None => text,
    };
    let (negative, digits) = match text_here.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text_here),
    };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let value: i64 = digits[..length].parse().ok()?;
    let used = length + usize::from(negative);
    Some((if negative { -value } else { value }, length, &text[used..]))
}

/// `Z`, `UTC`, `GMT`, `GMT+1:00`, `+0100`, `+01:00`, `+01`: milliseconds east of UTC.
fn zone(text: &str) -> Option<(i64, &str)> {
    let named = ["GMT", "UTC", "UT"].iter().find_map(|name| {
        text.get(..name.len()).filter(|part| part.eq_ignore_ascii_case(name)).map(|_| name.len())
    });
    let rest = &text[named.unwrap_or(0)..];
    let sign = match rest.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(b'Z') if named.is_none() => return Some((0, &rest[1..])),
        _ => return named.map(|_| (0, rest)),
    };
    let rest = &rest[1..];
    let two = |text: &str| text.get(..2)?.parse::<u8>().ok().map(i64::from);
    let (hours, rest) = match two(rest) {
        Some(hours) => (hours, &rest[2..]),
        None => (i64::from(rest.get(..1)?.parse::<u8>().ok()?), &rest[1..]),
    };
    let behind = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = match two(behind) {
        Some(minutes) => (minutes, &behind[2..]),
        None => (0, rest),
    };
    (minutes < 60).then_some((sign * (hours * 60 + minutes) * 60_000, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(pattern: &str) -> DateFormat {
        DateFormat::compile(pattern).expect("a pattern")
    }

    #[test]
    fn instants_are_written_field_by_field() {
        let table = [
            ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            ("yyyy-MM-dd HH:mm:ss.SSSSSS", 1_700_000_000_123, "2023-11-14 22:13:20.000123"),
            ("EEE, d MMM yyyy", 1_700_000_000_123, "Tue, 14 Nov 2023"),
            ("yyyyDDD kk", 1_699_920_000_000, "2023318 24"),
            ("h:mm a ''yy", 1_700_000_000_123, "10:13 PM '23"),
            ("YYYY-'W'ww u", 1_704_000_000_000, "2024-W01 7"),
            ("Z X z", 0, "+0000 Z UTC"),
        ];
        for (pattern, millis, text) in table {
            assert_eq!(format(pattern).format(millis), text, "{pattern}");
        }
    }

    #[track_caller]
    fn check(pattern: &str, text: &str, expect: Option<i64>) {
        assert_eq!(format(pattern).parse(text), expect, "{text} by {pattern}");
    }

    #[test]
    fn text_is_read_leniently() {
        check(
            "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
            "2023-11-14T22:13:20.123456",
            Some(1_700_000_123_456),
        );
        check("yyyyMMddHHmmss", "20231114221320", Some(1_700_000_000_000));
        check("yy-MM-dd", "70-01-02", Some(86_400_000));
        check("yyyy-MM-dd", "2023-13-40", Some(days_of_date(2024, 2, 9) * MILLIS_PER_DAY));
        check("yyyy-MM-dd", "2023-11-14 and more", Some(1_699_920_000_000));
        check("yyyy-MM-dd", "14/11/2023", None);
        check("d MMM yyyy HH:mm Z", "14 nov 2023 23:13 +0100", Some(1_699_999_980_000));
        check("hh:mm a", "12:30 AM", Some(30 * 60_000));
        check("yyyy-MM-dd'T'HH:mm:ssXXX", "2023-11-14T22:13:20+01:00", Some(1_699_996_400_000));
        check("yyyy", "99999999999999999999", None);
        check("D", "9223372036854775807", None);
    }

    #[test]
    fn unknown_letters_and_open_quotes_are_refused() {
        for pattern in ["yyyy-MM-ddB", "'x", "XXXX"] {
            assert!(DateFormat::compile(pattern).is_err(), "{pattern}");
        }
    }
}
