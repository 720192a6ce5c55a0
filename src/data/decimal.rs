//! A decimal number of any size, digit for digit: Java's BigDecimal as far as Connect uses it.

use std::fmt;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};

/// `unscaled` × 10^-`scale`. Equal only with equal scale, as in Java.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    unscaled: BigInt,
    scale: i32,
}

/// Zeros written out at most; beyond it a number keeps its exponent, or a few bytes of input would
/// become gigabytes of output.
const ZEROS_WRITTEN: i64 = 400;

impl Decimal {
    pub fn new(unscaled: BigInt, scale: i32) -> Self {
        Decimal { unscaled, scale }
    }

    /// From two's complement, big-endian, as Connect and Avro write it. Empty is zero.
    pub fn from_bytes(bytes: &[u8], scale: i32) -> Self {
        Decimal { unscaled: BigInt::from_signed_bytes_be(bytes), scale }
    }

    /// From number text: sign, digits, point, exponent; nothing around it. The scale is the text's own.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, body) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        if whole.len() + fraction.len() == 0
            || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let magnitude = BigInt::parse_bytes(format!("{whole}{fraction}").as_bytes(), 10)?;
        let unscaled = if negative { -magnitude } else { magnitude };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Decimal { unscaled, scale })
    }

    pub fn scale(&self) -> i32 {
        self.scale
    }

    pub fn is_zero(&self) -> bool {
        self.unscaled.is_zero()
    }

    pub fn negated(self) -> Self {
        Decimal { unscaled: -self.unscaled, ..self }
    }

    pub fn is_negative(&self) -> bool {
        self.unscaled.is_negative()
    }

    /// Two's complement, big-endian, shortest.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.unscaled.to_signed_bytes_be()
    }

    /// All digits, no exponent: `0.00000001`. Exponents far out are kept, see `ZEROS_WRITTEN`.
    pub fn to_plain(&self) -> String {
        let digits = self.unscaled.magnitude().to_string();
        let sign = if self.is_negative() { "-" } else { "" };
        let point = digits.len() as i64 - i64::from(self.scale);
        if point < -ZEROS_WRITTEN || point > digits.len() as i64 + ZEROS_WRITTEN {
            return self.to_string();
        }
        match usize::try_from(point) {
            _ if self.scale == 0 => format!("{sign}{digits}"),
            Ok(point) if point >= digits.len() && self.is_zero() => "0".into(),
            Ok(point) if point >= digits.len() => format!("{sign}{digits:0<point$}"),
            Ok(point) if point > 0 => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
            _ => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        }
    }

    /// `doubleValue`: the nearest.
    pub fn to_f64(&self) -> f64 {
        self.scientific().parse().unwrap_or(f64::NAN)
    }

    /// `floatValue`: the nearest, rounded once.
    pub fn to_f32(&self) -> f32 {
        self.scientific().parse().unwrap_or(f32::NAN)
    }

    fn scientific(&self) -> String {
        format!("{}e{}", self.unscaled, -i64::from(self.scale))
    }

    /// The whole part, fraction dropped; `None` when it has thousands of digits.
    pub fn to_integer(&self) -> Option<BigInt> {
        let shift = i64::from(self.scale);
        if shift < -4 * ZEROS_WRITTEN {
            return self.is_zero().then(BigInt::zero);
        }
        if shift <= 0 {
            return Some(&self.unscaled * BigInt::from(10).pow((-shift) as u32));
        }
        if self.unscaled.bits() as i64 * 31 / 100 < shift - 1 {
            return Some(BigInt::zero());
        }
        Some(&self.unscaled / BigInt::from(10).pow(shift as u32))
    }

    /// The value, if it is whole and fits.
    pub fn to_i64_exact(&self) -> Option<i64> {
        let stripped = self.stripped();
        if stripped.scale > 0 {
            return None;
        }
        stripped.to_integer()?.to_i64()
    }

    /// Equal as a number, whatever the scale.
    pub fn is_number(&self, other: &Decimal) -> bool {
        self.stripped() == other.stripped()
    }

    /// Without trailing zeros.
    fn stripped(&self) -> Decimal {
        let digits = self.unscaled.to_string();
        let kept = digits.trim_end_matches('0');
        if self.is_zero() {
            return Decimal { unscaled: BigInt::zero(), scale: 0 };
        }
        let unscaled = BigInt::parse_bytes(kept.as_bytes(), 10).expect("digits of a number");
        let cut = (digits.len() - kept.len()) as i32;
        Decimal { unscaled, scale: self.scale.saturating_sub(cut) }
    }
}

impl fmt::Display for Decimal {
    /// `BigDecimal.toString`: plain while the scale is not negative and the exponent is at least -6.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.unscaled.magnitude().to_string();
        let sign = if self.is_negative() { "-" } else { "" };
        let adjusted = digits.len() as i64 - 1 - i64::from(self.scale);
        if self.scale >= 0 && adjusted >= -6 {
            let point = digits.len() as i64 - i64::from(self.scale);
            return match usize::try_from(point) {
                _ if self.scale == 0 => write!(f, "{sign}{digits}"),
                Ok(point) if point > 0 => {
                    write!(f, "{sign}{}.{}", &digits[..point], &digits[point..])
                }
                _ => {
                    let zeros = "0".repeat(point.unsigned_abs() as usize);
                    write!(f, "{sign}0.{zeros}{digits}")
                }
            };
        }
        let tail = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        if adjusted == 0 {
            return write!(f, "{sign}{}{tail}", &digits[..1]);
        }
        write!(f, "{sign}{}{tail}E{adjusted:+}", &digits[..1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, java: &str, plain: &str) {
        let decimal = Decimal::parse(text).expect("a number");
        assert_eq!(decimal.to_string(), java, "toString of {text}");
        assert_eq!(decimal.to_plain(), plain, "plain form of {text}");
    }

    #[test]
    fn decimals_print_as_java_prints_them_and_plain() {
        check("1.50", "1.50", "1.50");
        check("1E-8", "1E-8", "0.00000001");
        check("0E-18", "0E-18", "0.000000000000000000");
        check("1E+3", "1E+3", "1000");
        check("-1.23E-7", "-1.23E-7", "-0.000000123");
        check("0.000001", "0.000001", "0.000001");
        check(
            "123456789012345678901234567890.12",
            "123456789012345678901234567890.12",
            "123456789012345678901234567890.12",
        );
        check("-12", "-12", "-12");
        check("1e400000", "1E+400000", "1E+400000");
    }

    #[test]
    fn bytes_are_twos_complement() {
        let decimal = Decimal::from_bytes(&[0x04, 0xe2], 2);
        assert_eq!(decimal.to_string(), "12.50");
        assert_eq!(Decimal::from_bytes(&decimal.to_bytes(), 2), decimal);
        assert_eq!(Decimal::from_bytes(&[0xfa, 0xed], 2).to_string(), "-12.99");
        assert_eq!(Decimal::from_bytes(&[], 0).to_string(), "0");
    }

    #[test]
    fn the_whole_part_drops_the_fraction_toward_zero() {
        for (text, whole) in
            [("12.99", "12"), ("-12.99", "-12"), ("0.5", "0"), ("5E2", "500"), ("9E-30", "0")]
        {
            let decimal = Decimal::parse(text).expect("a number");
            assert_eq!(decimal.to_integer().expect("short").to_string(), whole);
        }
        assert!(Decimal::parse("1e999999").expect("a number").to_integer().is_none());
    }

    #[test]
    fn numbers_compare_by_value() {
        let number = |text| Decimal::parse(text).expect("a number");
        assert!(number("1.50").is_number(&number("15e-1")));
        assert!(number("0.00").is_number(&number("0")));
        assert!(!number("1.5").is_number(&number("1.51")));
        assert_eq!(number("1.00").to_i64_exact(), Some(1));
        assert_eq!(number("1.01").to_i64_exact(), None);
        assert!(Decimal::parse("1.2.3").is_none());
    }
}
