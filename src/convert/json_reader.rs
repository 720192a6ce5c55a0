//! A JSON reader that pulls values one by one out of text, without building a tree.
//!
//! Accepts what Connect's parser accepts (leading zeros) and nothing else outside the standard.
//! Numbers stay text; strings borrow from the input unless they hold an escape.

use std::borrow::Cow;

use crate::data::Datum;
use crate::data::json_text::{DEEPEST, plain_end};

/// Where the text stops being JSON, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset.
    pub at: usize,
    pub expected: &'static str,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at + 1)
    }
}

type Result<T> = std::result::Result<T, JsonError>;

#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Reader { text, at: 0, depth: 0 }
    }

    /// Byte offset of what comes next.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn fail<T>(&self, expected: &'static str) -> Result<T> {
        Err(JsonError { at: self.at, expected })
    }

    /// Text not read yet.
    #[inline]
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Moves on by `bytes` of text known to be right; must end on a character's edge.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The first byte of what comes next, blanks skipped; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.byte()
    }

    pub fn at_end(&mut self) -> bool {
        self.peek() == 0 && self.at == self.text.len()
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.peek() != byte {
            return self.fail(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes `null` if it comes next.
    #[inline]
    pub fn null(&mut self) -> Result<bool> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.word("null")?;
        Ok(true)
    }

    pub fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => self.fail("a boolean"),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        let rest = self.rest();
        let ends = !rest.as_bytes().get(word.len()).is_some_and(u8::is_ascii_alphanumeric);
        if !rest.starts_with(word) || !ends {
            return self.fail("a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// A string's content.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        self.at = plain_end(self.text.as_bytes(), start);
        match self.byte() {
            b'"' => {
                self.at += 1;
                Ok(Cow::Borrowed(&self.text[start..self.at - 1]))
            }
            b'\\' => self.escaped(start).map(Cow::Owned),
            _ => self.fail("the end of the string"),
        }
    }

    /// The rest of a string whose first escape comes next.
    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut out = self.text[start..self.at].to_string();
        loop {
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return self.fail("the end of the string"),
            }
            let from = self.at;
            self.at = plain_end(self.text.as_bytes(), from);
            out.push_str(&self.text[from..self.at]);
        }
    }

    fn escape(&mut self) -> Result<char> {
        let c = match self.byte() {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.fail("a known escape"),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..0xdc00 if self.rest().starts_with("\\u") => {
                self.at += 2;
                match self.hex4()? {
                    second @ 0xdc00..0xe000 => {
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => return self.fail("the second half of a surrogate pair"),
                }
            }
            other => other,
        };
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.fail("both halves of a surrogate pair"),
        }
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or("");
        if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return self.fail("four hexadecimal digits");
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).or_else(|_| self.fail("four hexadecimal digits"))
    }

    /// A number's text, and whether it is a whole number (no point, no exponent).
    #[inline]
    pub fn number(&mut self) -> Result<(&'a str, bool)> {
        self.peek();
        let start = self.at;
        if self.byte() == b'-' {
            self.at += 1;
        }
        self.digits()?;
        let mut whole = true;
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
            whole = false;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
            whole = false;
        }
        Ok((&self.text[start..self.at], whole))
    }

    /// A whole number that surely fits an int64; `None`: it is something else, and nothing was read.
    #[inline]
    pub fn short_integer(&mut self) -> Option<i64> {
        const MOST_DIGITS: usize = 18;
        self.peek();
        let bytes = &self.text.as_bytes()[self.at..];
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let (mut value, mut at) = (0, sign);
        while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            if at - sign == MOST_DIGITS {
                return None;
            }
            value = value * 10 + i64::from(digit);
            at += 1;
        }
        if at == sign || matches!(bytes.get(at), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += at;
        Some(if sign == 1 { -value } else { value })
    }

    #[inline]
    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit") } else { Ok(()) }
    }

    /// Enters an array or object whose bracket comes next.
    pub fn open(&mut self, bracket: u8, expected: &'static str) -> Result<()> {
        self.expect(bracket, expected)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fail("nesting no deeper than 1000");
        }
        Ok(())
    }

    /// Before each element: true when there is one more. `first` starts as true.
    #[inline]
    pub fn more(&mut self, first: &mut bool, close: u8) -> Result<bool> {
        if self.peek() == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            let expected = if close == b'}' { "`,` or `}`" } else { "`,` or `]`" };
            self.expect(b',', expected)?;
            if self.peek() == close {
                return self.fail("a value");
            }
        }
        Ok(true)
    }

    /// A member's name and its colon.
    #[inline]
    pub fn name(&mut self) -> Result<Cow<'a, str>> {
        let name = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(name)
    }

    /// Checks one value and gives its text.
    pub fn raw(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Checks a string and moves behind it.
    #[inline]
    fn skip_string(&mut self) -> Result<()> {
        self.expect(b'"', "a string")?;
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    self.escape()?;
                }
                _ => return self.fail("the end of the string"),
            }
        }
    }

    /// Checks one value and moves behind it.
    pub fn skip(&mut self) -> Result<()> {
        match self.peek() {
            b'{' => {
                self.open(b'{', "an object")?;
                let mut first = true;
                while self.more(&mut first, b'}')? {
                    self.skip_string()?;
                    self.expect(b':', "`:`")?;
                    self.skip()?;
                }
                Ok(())
            }
            b'[' => {
                self.open(b'[', "an array")?;
                let mut first = true;
                while self.more(&mut first, b']')? {
                    self.skip()?;
                }
                Ok(())
            }
            b'"' => self.skip_string(),
            b't' | b'f' => self.boolean().map(drop),
            b'n' => self.null().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => self.fail("a value"),
        }
    }

    /// One value of any kind, as schemaless Connect data: whole numbers that fit are int64, other
    /// numbers keep their text. The last of equal names wins.
    pub fn datum(&mut self) -> Result<Datum<'a>> {
        match self.peek() {
            b'{' => self.object(),
            b'[' => {
                self.open(b'[', "an array")?;
                let (mut items, mut first) = (Vec::new(), true);
                while self.more(&mut first, b']')? {
                    items.push(self.datum()?);
                }
                Ok(Datum::Array(items))
            }
            b'"' => self.string().map(Datum::String),
            b't' | b'f' => self.boolean().map(Datum::Boolean),
            b'n' => {
                self.word("null")?;
                Ok(Datum::Null)
            }
            b'-' | b'0'..=b'9' => match self.short_integer() {
                Some(value) => Ok(Datum::Int64(value)),
                None => self.number().map(|(text, whole)| number_datum(text, whole)),
            },
            _ => self.fail("a value"),
        }
    }

    fn object(&mut self) -> Result<Datum<'a>> {
        self.open(b'{', "an object")?;
        let mut entries: Vec<(Datum<'a>, Datum<'a>)> = Vec::new();
        let mut first = true;
        while self.more(&mut first, b'}')? {
            if entries.is_empty() {
                entries.reserve(FIRST_RESERVED);
            }
            let name = self.name()?;
            let value = self.datum()?;
            entries.push((Datum::String(name), value));
        }
        drop_repeated(&mut entries);
        Ok(Datum::Map(entries))
    }
}

/// Members an object is given room for when its first one comes.
const FIRST_RESERVED: usize = 8;
/// Entries from which repeated names are looked for by hash.
const MANY: usize = 16;

/// Keeps the last of equal names, in the first one's place.
fn drop_repeated(entries: &mut Vec<(Datum<'_>, Datum<'_>)>) {
    let repeated = if entries.len() < MANY {
        entries.iter().enumerate().any(|(at, (key, _))| {
            entries[..at].iter().any(|(known, _)| known.as_str() == key.as_str())
        })
    } else {
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        !entries.iter().all(|(key, _)| seen.insert(key.as_str()))
    };
    if !repeated {
        return;
    }
    let mut places = std::collections::HashMap::new();
    let mut kept: Vec<(Datum<'_>, Datum<'_>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries.drain(..) {
        let name = key.as_str().unwrap_or_default().to_string();
        match places.get(&name) {
            Some(&at) => kept[at] = (key, value),
            None => {
                places.insert(name, kept.len());
                kept.push((key, value));
            }
        }
    }
    *entries = kept;
}

/// A JSON number without a schema. Leading zeros go, every other digit stays.
fn number_datum(text: &str, whole: bool) -> Datum<'_> {
    if whole && let Ok(value) = text.parse() {
        return Datum::Int64(value);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let significant = digits.trim_start_matches('0');
    let dropped = digits.len() - significant.len();
    // A zero before the point stays.
    let zeros = if significant.starts_with(|c: char| c.is_ascii_digit()) {
        dropped
    } else {
        dropped.saturating_sub(1)
    };
    match (zeros, sign) {
        (0, _) => Datum::Number(Cow::Borrowed(text)),
        (zeros, "") => Datum::Number(Cow::Borrowed(&digits[zeros..])),
        (zeros, sign) => Datum::Number(Cow::Owned(format!("{sign}{}", &digits[zeros..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<Datum<'_>>) {
        let mut reader = Reader::new(text);
        let found = reader.datum().ok().filter(|_| reader.at_end());
        assert_eq!(found, expect, "{text}");
        let mut skipping = Reader::new(text);
        let valid = skipping.skip().is_ok() && skipping.at_end();
        assert_eq!(valid, expect.is_some(), "skip of {text}");
    }

    #[test]
    fn numbers_keep_every_digit() {
        let number = |text: &'static str| Some(Datum::Number(text.into()));
        check("9223372036854775807", Some(Datum::Int64(i64::MAX)));
        check("-9223372036854775808", Some(Datum::Int64(i64::MIN)));
        check("999999999999999999", Some(Datum::Int64(999_999_999_999_999_999)));
        check("-1000000000000000000", Some(Datum::Int64(-1_000_000_000_000_000_000)));
        check("-0", Some(Datum::Int64(0)));
        check(" 12 ", Some(Datum::Int64(12)));
        check("9223372036854775808", number("9223372036854775808"));
        check("-1.50", number("-1.50"));
        check("1e400", number("1e400"));
        check("007", Some(Datum::Int64(7)));
        check("00.50", number("0.50"));
        check("-007.5", number("-7.5"));
        for bad in ["01x", "+1", ".5", "1.", "1e", "-", "--1", "1-", "NaN", "0x1"] {
            check(bad, None);
        }
    }

    #[test]
    fn strings_are_unescaped_and_checked() {
        check(
            r#""a\"b\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#,
            Some(Datum::text("a\"b\\/\u{8}\u{c}\n\r\té😀")),
        );
        check(
            "\"ünïcödé and a long run of text\"",
            Some(Datum::text("ünïcödé and a long run of text")),
        );
        for bad in ["\"a", "\"a\nb\"", r#""\x""#, r#""\ud800""#, r#""\ud800\u0041""#, "'a'"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_last_of_equal_names_wins_in_small_and_large_objects() {
        check(r#"{"a":1,"a":2}"#, Some(Datum::Map(vec![(Datum::text("a"), Datum::Int64(2))])));
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 20)).collect();
        let text = format!("{{{}}}", many.join(","));
        let found = Reader::new(&text).datum().expect("valid");
        assert_eq!(found.member("k3"), Some(&Datum::Int64(23)));
        assert!(matches!(found, Datum::Map(entries) if entries.len() == 20));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for bad in ["", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "[1 2]", "nulll", "// c\n1", "truex"]
        {
            check(bad, None);
        }
        let error = Reader::new("{\"a\":12.5 \"b\":1}").datum().expect_err("no comma");
        assert_eq!(error.to_string(), "expected `,` or `}` at byte 11");
        check(&"[".repeat(100_000), None);
    }
}
