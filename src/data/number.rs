//! Numbers in Java's notation: text of floating-point values and text that Java reads as a number.

/// A JSON number without fraction and exponent: Java's Long, however many digits it has.
pub fn is_whole(text: &str) -> bool {
    text.bytes().all(|b| b == b'-' || b.is_ascii_digit())
}

/// `Double.toString`: `100.0`, `1.0E7`, `1.0E-5`, `NaN`, `-Infinity`; the shortest digits that read
/// back as the same value (as the JDK from 19 on; older ones sometimes print one digit more).
pub fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let shortest = format!("{value:e}");
    // Java has two digits at least, and then the two nearest: 4.9E-324, not 5.0E-324.
    layout(&if shortest.contains('.') { shortest } else { format!("{value:.1e}") })
}

/// Room for [`short_double`].
pub const SHORT_DOUBLE: usize = 24;

/// What [`java_double`] gives, without its cost, for numbers of the usual kind: between 0.001 and 10^7
/// (or the same below zero) and with at most six places. `None`: ask [`java_double`].
pub fn short_double(value: f64, buffer: &mut [u8; SHORT_DOUBLE]) -> Option<&str> {
    const TENS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    let magnitude = value.abs();
    if !(1e-3..1e7).contains(&magnitude) {
        return None;
    }
    // Scaled, it has 13 digits at most. Numbers of up to 15 digits are told apart by a double, and a
    // division of whole numbers is rounded to the nearest: so where it gives the value, these digits
    // are the value's, and the first ones to do so are the shortest.
    let (mut left, places) = (1..TENS.len()).find_map(|places| {
        let scaled = (magnitude * TENS[places]).round();
        (scaled / TENS[places] == magnitude).then_some((scaled as u64, places))
    })?;
    let mut at = SHORT_DOUBLE;
    let mut written = 0;
    while left > 0 || written <= places {
        at -= 1;
        if written == places {
            buffer[at] = b'.';
            at -= 1;
        }
        buffer[at] = b'0' + (left % 10) as u8;
        left /= 10;
        written += 1;
    }
    if value < 0.0 {
        at -= 1;
        buffer[at] = b'-';
    }
    std::str::from_utf8(&buffer[at..]).ok()
}

/// `Float.toString`, likewise.
pub fn java_float(value: f32) -> String {
    if !value.is_finite() {
        return java_double(f64::from(value));
    }
    let shortest = format!("{value:e}");
    layout(&if shortest.contains('.') { shortest } else { format!("{value:.1e}") })
}

/// Turns Rust's `-1.25e-7` into Java's layout: plain from 10^-3 up to 10^7, else with exponent.
fn layout(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => return format!("{sign}0.0"),
        digits => digits.to_string(),
    };
    let or_zero = |text: &str| if text.is_empty() { "0".to_string() } else { text.to_string() };
    match exponent {
        -3..=-1 => format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        0..=6 => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            format!("{sign}{}.{}", &padded[..whole], or_zero(&padded[whole..]))
        }
        _ => format!("{sign}{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    }
}

/// `Double.parseDouble`: blanks around it, a `f` or `d` behind it, `NaN`, `Infinity` and hexadecimal
/// notation are all right.
pub fn parse_java_double(text: &str) -> Option<f64> {
    let (negative, body) = java_float_body(text)?;
    let value = match body {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ if body.starts_with("0x") || body.starts_with("0X") => parse_hex(&body[2..])?,
        _ => decimal_body(body)?.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

/// `Float.parseFloat`: rounded once, from the text.
pub fn parse_java_float(text: &str) -> Option<f32> {
    let (negative, body) = java_float_body(text)?;
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') || body.contains(['x', 'X']) {
        return parse_java_double(text).map(|value| value as f32);
    }
    let value: f32 = decimal_body(body)?.parse().ok()?;
    Some(if negative { -value } else { value })
}

fn java_float_body(text: &str) -> Option<(bool, &str)> {
    let text = text.trim_matches(|c| c <= ' ');
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    Some((negative, body))
}

fn decimal_body(body: &str) -> Option<&str> {
    let body = body.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(body);
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    (body.bytes().all(plain) && body.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        .then_some(body)
}

/// Hexadecimal digits with a binary exponent, which Java requires.
fn parse_hex(body: &str) -> Option<f64> {
    let body = body.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(body);
    let (mantissa, exponent) = body.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.parse::<i32>().ok()? - 4 * fraction.len() as i32;
    (!mantissa.trim_matches('.').is_empty()).then(|| value * 2f64.powi(shift))
}

/// `Long.parseLong` within a range: a sign and digits of any script, no blanks.
pub fn parse_java_integer(text: &str, min: i64, max: i64) -> Option<i64> {
    let (negative, digits) = match text.chars().next()? {
        '-' => (true, &text[1..]),
        '+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for c in digits.chars() {
        let digit = i64::from(digit_value(c)?);
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    (min..=max).contains(&value).then_some(value)
}

/// The first character of each run of ten decimal digits outside ASCII (Unicode, basic plane).
const ZEROS: [u32; 37] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0,
];

/// `Character.digit(c, 10)`.
fn digit_value(c: char) -> Option<u32> {
    if c.is_ascii_digit() {
        return c.to_digit(10);
    }
    let code = u32::from(c);
    let zero = ZEROS.iter().rev().find(|&&zero| zero <= code)?;
    (code - zero < 10).then_some(code - zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_usual_kind_are_written_the_same_the_short_way() {
        let mut short = 0;
        let mut check = |value: f64| {
            let mut buffer = [0; SHORT_DOUBLE];
            if let Some(text) = short_double(value, &mut buffer) {
                assert_eq!(text, java_double(value), "{value:e}");
                short += 1;
            }
        };
        for value in [0.0, -0.0, 0.001, 9_999_999.999_999, 1e7, 9.5e-4, 0.1 + 0.2, f64::NAN] {
            check(value);
            check(-value);
        }
        let mut bits: u64 = 7;
        for n in 0..200_000_u64 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Decimals of every length, their neighbours, and any bits at all.
            let decimal = (bits >> 20) as f64 / 10f64.powi((n % 14) as i32);
            check(decimal);
            check(-f64::from_bits(decimal.to_bits() + 1));
            check((bits >> 44) as f64 / 100.0);
            check(f64::from_bits(bits));
        }
        assert!(short > 200_000, "{short}");
        assert_eq!(short_double(12.5, &mut [0; SHORT_DOUBLE]), Some("12.5"));
        assert_eq!(short_double(-0.05, &mut [0; SHORT_DOUBLE]), Some("-0.05"));
        assert_eq!(short_double(700.0, &mut [0; SHORT_DOUBLE]), Some("700.0"));
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        let table = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (1e-5, "1.0E-5"),
            (0.001, "0.001"),
            (9999999.5, "9999999.5"),
            (123.456, "123.456"),
            (-1.5e300, "-1.5E300"),
            (f64::INFINITY, "Infinity"),
        ];
        for (value, text) in table {
            assert_eq!(java_double(value), text);
        }
        assert_eq!(java_float(0.1), "0.1");
        assert_eq!(java_float(1e10), "1.0E10");
    }

    #[test]
    fn java_reads_more_than_plain_digits_as_a_double() {
        let table = [
            (" 1.5 ", Some(1.5)),
            ("2.5f", Some(2.5)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0x1.8p1", Some(3.0)),
            ("1e3d", Some(1000.0)),
            (".5", Some(0.5)),
            ("", None),
            ("inf", None),
            ("1,5", None),
            ("--1", None),
        ];
        for (text, value) in table {
            assert_eq!(parse_java_double(text), value, "{text}");
        }
        assert!(parse_java_double("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn java_reads_digits_of_any_script_as_an_integer() {
        let table = [
            ("+7", Some(7)),
            ("١٢", Some(12)),
            ("-128", Some(-128)),
            ("128", None),
            (" 5", None),
            ("", None),
            ("-", None),
            ("17.0", None),
        ];
        for (text, value) in table {
            assert_eq!(parse_java_integer(text, -128, 127), value, "{text}");
        }
    }
}
