//! Which texts StarRocks reads as a number, a truth value, a day or a time, after its BE's own parsers. What it
//! reads as NULL, or as another value, is named; a text in doubt passes. Looks at bytes, allocates nothing.

use std::fmt;

/// Why StarRocks does not read a value as its column's type. Holds no value: safe to print where values are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    NoNumber,
    NoDate,
    /// 31 February.
    NoDay,
    /// 24:00:00.
    NoClock,
    /// Before 0000 or after 9999.
    NoYear,
    /// `+2:00`: dropped without a word, and the time would be another.
    Offset,
    NoTruth,
    NoList,
    NoObject,
    EpochNumber,
    /// More digits after the point than the column has, and not only zeros: StarRocks rounds.
    Finer(u32),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unread::NoNumber => "text that is no number",
            Unread::NoDate => "text that is no date",
            Unread::NoDay => "a day that no calendar has",
            Unread::NoClock => "a time that no clock has",
            Unread::NoYear => "a year before 0000 or after 9999",
            Unread::Offset => "a time with an offset that cannot be read",
            Unread::NoTruth => "text that is neither true nor false",
            Unread::NoList => "text that is no list",
            Unread::NoObject => "text that is no object",
            Unread::EpochNumber => "an epoch number, which `TimestampConverter` makes a time",
            Unread::Finer(scale) => {
                return write!(f, "more than {scale} digits after the point");
            }
        })
    }
}

/// The parts of a number written out, `-012.50e3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numeral<'a> {
    pub negative: bool,
    /// Digits before the point, without zeros at the front.
    pub whole: &'a str,
    /// Digits behind the point, without zeros at the end.
    pub fraction: &'a str,
    /// All but the sign and the blanks, where there is an exponent.
    pub with_exponent: Option<&'a str>,
}

impl<'a> Numeral<'a> {
    /// Blanks around it and a `+` are read as well.
    pub fn of(text: &'a str) -> Option<Numeral<'a>> {
        let text = text.trim_matches(is_blank);
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let bytes = unsigned.as_bytes();
        let digits = |from: usize| {
            let more = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit());
            from + more.count()
        };
        let point = digits(0);
        let (fraction, end) = match bytes.get(point) {
            Some(b'.') => {
                let end = digits(point + 1);
                (&unsigned[point + 1..end], end)
            }
            _ => ("", point),
        };
        if point == 0 && fraction.is_empty() {
            return None;
        }
        let with_exponent = match bytes.get(end) {
            None => None,
            Some(b'e' | b'E') => {
                let sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
                let first = end + 1 + usize::from(sign);
                if first >= bytes.len() || digits(first) < bytes.len() {
                    return None;
                }
                Some(unsigned)
            }
            Some(_) => return None,
        };
        Some(Numeral {
            negative,
            whole: unsigned[..point].trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
            with_exponent,
        })
    }

    /// The whole number that the digits before the point make; `None`: beyond 128 bits.
    pub fn whole(&self) -> Option<i128> {
        let digit = |number: i128, byte: u8| {
            let digit = i128::from(byte - b'0');
            let number = number.checked_mul(10)?;
            if self.negative { number.checked_sub(digit) } else { number.checked_add(digit) }
        };
        self.whole.bytes().try_fold(0, digit)
    }
}

/// Words that FLOAT and DOUBLE columns take for values that are no numbers.
pub fn is_not_finite(text: &str) -> bool {
    let text = text.trim_matches(is_blank);
    let word = text.strip_prefix(['-', '+']).unwrap_or(text);
    ["nan", "inf", "infinity"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// `true`, `false` in any case, and numbers: out of JSON whole ones of 32 bits only.
pub fn is_truth(text: &str, of_json: bool) -> bool {
    let word = text.trim_matches(is_blank);
    word.eq_ignore_ascii_case("true")
        || word.eq_ignore_ascii_case("false")
        || if of_json { word.parse::<i32>().is_ok() } else { Numeral::of(word).is_some() }
}

/// Whether a sign stands behind `2024-01-31T12:34:56`: StarRocks drops what follows.
pub fn has_offset(text: &str) -> bool {
    let text = text.trim_matches(is_blank).as_bytes();
    let Some((time, rest)) = text.split_first_chunk::<19>() else { return false };
    // Most texts end here, so that is looked at first.
    let sign = rest.iter().find(|byte| !byte.is_ascii_digit() && !matches!(byte, b'.' | b' '));
    sign.is_some_and(|byte| matches!(byte, b'+' | b'-'))
        && time[13] == b':'
        && time[16] == b':'
        && begins_with_a_day(time)
}

/// What is wrong with a text as a DATE, or with `clock` as a DATETIME.
pub fn of_time(text: &str, clock: bool) -> Option<Unread> {
    let text = text.trim_matches(is_blank).as_bytes();
    if begins_with_a_day(text) {
        return (clock && is_no_clock(text.get(10..).unwrap_or_default()))
            .then_some(Unread::NoClock);
    }
    // As Java and Debezium write such years.
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[signed..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if text.get(signed + digits) == Some(&b'-') && (digits > 6 || signed == 1 && digits >= 4) {
        return Some(Unread::NoYear);
    }
    let Some(parts) = Parts::of(text) else { return Some(Unread::NoDate) };
    parts.wrong(clock)
}

/// What is wrong with a number as a DATE or DATETIME: only the digits of a day (20240131), or of a day and a
/// time, are one.
pub fn of_number_as_time(digits: &str, clock: bool) -> Option<Unread> {
    let is_day =
        matches!(digits.len(), 6 | 8 | 12 | 14) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_day && of_time(digits, clock).is_none() { None } else { Some(Unread::EpochNumber) }
}

/// As StarRocks has it: these six and no other spaces of Unicode.
fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t'..='\r')
}

/// A day that exists, as nearly all are written: `2024-01-31`, whatever separates the parts.
fn begins_with_a_day(text: &[u8]) -> bool {
    let Some(day) = text.first_chunk::<10>() else { return false };
    let number = |places: &[usize]| {
        places.iter().try_fold(0, |number, &at| {
            day[at].is_ascii_digit().then(|| number * 10 + u32::from(day[at] - b'0'))
        })
    };
    let (Some(year), Some(month), Some(date)) =
        (number(&[0, 1, 2, 3]), number(&[5, 6]), number(&[8, 9]))
    else {
        return false;
    };
    !day[4].is_ascii_digit() && !day[7].is_ascii_digit() && is_day(year, month, date)
        // More digits would belong to the day.
        && !text.get(10).is_some_and(u8::is_ascii_digit)
}

/// Whether `T12:34:56` or ` 12:34:56` stands there with an hour, a minute or a second that none is.
fn is_no_clock(rest: &[u8]) -> bool {
    let Some(([b'T' | b' ', h, hh, b':', m, mm, b':', s, ss], _)) = rest.split_first_chunk() else {
        return false;
    };
    let number = |tens: &u8, ones: &u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| (tens - b'0') * 10 + ones - b'0')
    };
    match (number(h, hh), number(m, mm), number(s, ss)) {
        (Some(h), Some(m), Some(s)) => h > 23 || m > 59 || s > 59,
        _ => false,
    }
}

/// By StarRocks' calendar, in which the year 0 has no leap day.
fn is_day(year: u32, month: u32, day: u32) -> bool {
    let is_leap = year.is_multiple_of(4)
        && (!year.is_multiple_of(100) || (year.is_multiple_of(400) && year != 0));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// The numbers of a text in any of the forms that StarRocks tries when the usual one fails: year, month, day,
/// hour, minute, second, microseconds, with or without separators, the year with two or four digits.
struct Parts {
    numbers: [u32; 7],
    /// Digits of the year.
    year_digits: usize,
}

impl Parts {
    /// `None`: fewer than three numbers, or none at the beginning.
    fn of(text: &[u8]) -> Option<Parts> {
        let digit = |at: usize| text.get(at).filter(|byte| byte.is_ascii_digit());
        digit(0)?;
        let run = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'T').count();
        // Without separators the numbers have their usual width.
        let runs_on = matches!(text.get(run), None | Some(b'.'));
        let mut width = if matches!(run, 4 | 8 | 14..) { 4 } else { 2 };
        let mut parts = Parts { numbers: [0; 7], year_digits: width };
        let (mut at, mut count) = (0, 0);
        while count < parts.numbers.len() && digit(at).is_some() {
            let first = at;
            let bounded = runs_on || count == 6;
            while let Some(byte) = digit(at).filter(|_| !bounded || at - first < width) {
                let number = &mut parts.numbers[count];
                *number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
                at += 1;
            }
            if parts.numbers[count] > 999_999 {
                return None;
            }
            if count == 0 && !runs_on {
                parts.year_digits = at - first;
            }
            width = 2;
            match (count, text.get(at)) {
                (_, None) => {}
                (2, Some(b'T')) => at += 1,
                (5, Some(b'.')) => (at, width) = (at + 1, 6),
                (5, Some(byte)) if byte.is_ascii_digit() => {
                    count += 1;
                    break;
                }
                (5, _) => {}
                _ => at = behind_separators(text, at, matches!(count, 2 | 6))?,
            }
            count += 1;
        }
        (count >= 3).then_some(parts)
    }

    fn wrong(&self, clock: bool) -> Option<Unread> {
        let [year, month, day, hour, minute, second, _] = self.numbers;
        let year = match (self.year_digits, year) {
            (2, ..70) => year + 2000,
            (2, _) => year + 1900,
            _ => year,
        };
        match () {
            () if year > 9999 => Some(Unread::NoYear),
            () if !is_day(year, month, day) => Some(Unread::NoDay),
            () if clock && (hour > 23 || minute > 59 || second > 59) => Some(Unread::NoClock),
            () => None,
        }
    }
}

/// Skips punctuation, and blanks where they may stand.
fn behind_separators(text: &[u8], mut at: usize, may_be_blank: bool) -> Option<usize> {
    while let Some(byte) = text.get(at) {
        match is_blank(char::from(*byte)) {
            true if !may_be_blank => return None,
            false if !byte.is_ascii_punctuation() => break,
            _ => at += 1,
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_words() {
        for number in
            ["0", "-1", "+5", " 7 ", "\t8\n", "5.", ".5", "1e3", "1.5E-3", "00012", "1.50"]
        {
            assert!(Numeral::of(number).is_some(), "{number}");
        }
        for word in [
            "", " ", ".", "-", "+", "x", "12abc", "1 2", "1,234", "1_000", "0x1A", "1e", "1e+",
            "1.2.3", "--1", "NaN", "١٢", "\u{a0}7",
        ] {
            assert!(Numeral::of(word).is_none(), "{word}");
        }
        let parts = Numeral::of("-0012.3400").expect("a number");
        assert_eq!((parts.negative, parts.whole, parts.fraction), (true, "12", "34"));
        assert_eq!(parts.whole(), Some(-12));
        let least = Numeral::of("-170141183460469231731687303715884105728").expect("a number");
        assert_eq!(least.whole(), Some(i128::MIN));
        let more = Numeral::of("170141183460469231731687303715884105728").expect("a number");
        assert_eq!(more.whole(), None);
    }

    #[test]
    fn words_of_floats_and_truth_values_are_known() {
        for word in ["NaN", "-Infinity", " inf "] {
            assert!(is_not_finite(word), "{word}");
        }
        assert!(!is_not_finite("nancy") && !is_not_finite("information"));
        for truth in ["true", "FALSE", " True ", "1", "0", "-3", "+2"] {
            assert!(is_truth(truth, true) && is_truth(truth, false), "{truth}");
        }
        for word in ["", "yes", "t", "maybe", "true!"] {
            assert!(!is_truth(word, true) && !is_truth(word, false), "{word}");
        }
        assert!(is_truth("1.0", false) && !is_truth("1.0", true) && !is_truth("9999999999", true));
    }

    #[track_caller]
    fn check(text: &str, expect: Option<Unread>) {
        assert_eq!(of_time(text, true), expect, "{text}");
    }

    #[test]
    fn forms_of_times_that_starrocks_reads_pass() {
        for text in [
            "2024-01-31",
            " 2024-01-31 ",
            "2024-01-31 12:34:56",
            "2024-01-31T12:34:56.789012",
            "2024-01-31T12:34:56Z",
            "2024-01-31 12:34:56+02:00",
            "2024-1-2",
            "2024/01/31",
            "2024.01.31",
            "2024x01x31",
            "20240131",
            "240131",
            "20240131123456",
            "20240131T123456",
            "24-01-31 1:2:3",
            "0000-01-01",
            "9999-12-31 23:59:59.999999",
            "2024-02-29",
            "2024-01-31 and more",
            "2024-01-31Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn times_that_become_null_are_named() {
        for text in ["", "soon", "infinity", "-infinity", "18:02", "2024-01", "Jan 1 2024", "0"] {
            check(text, Some(Unread::NoDate));
        }
        for text in ["2024-02-31", "2023-02-29", "0000-02-29", "2024-13-01", "2024-00-01"] {
            check(text, Some(Unread::NoDay));
        }
        for text in ["-0044-03-15", "+12020-01-01", "294247-01-10 04:00:54", "10000-01-01"] {
            check(text, Some(Unread::NoYear));
        }
        for text in ["2024-01-31 24:00:00", "2024-01-31T10:60:00", "2024-1-2 25:00:00"] {
            check(text, Some(Unread::NoClock));
            assert_eq!(of_time(text, false), None, "a DATE does not look at the clock: {text}");
        }
        check("1714283798721", Some(Unread::NoDay));
    }

    #[test]
    fn a_number_is_a_time_only_as_the_digits_of_one() {
        for digits in ["20240131", "20240131123456", "240131"] {
            assert_eq!(of_number_as_time(digits, true), None, "{digits}");
        }
        for digits in ["1714283798721", "19000", "0", "-20240131", "20240132", "12101"] {
            assert_eq!(of_number_as_time(digits, true), Some(Unread::EpochNumber), "{digits}");
        }
    }
}
