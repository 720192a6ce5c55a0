//! Checks that a record's bytes are one JSON object, so that they can be copied as they are: every
//! digit arrives as sent. Builds no tree; a record is looked at once, from front to back.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

use crate::data::json_text::DEEPEST;

/// What a record's bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// One object, surrounding blanks cut off.
    Object(&'a [u8]),
    /// One object that names a member twice at its top: the last one counts, as in Connect.
    RepeatedMember(&'a [u8]),
}

/// Why a record is not one JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson {
    pub what: What,
    /// Byte position in the record, from 0.
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Empty,
    Array,
    Scalar,
    Expected(&'static str),
    Trailing,
    TooDeep,
    NotUtf8,
}

/// What an object says of the operation that it is, as far as its bytes tell at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// No operation: an upsert.
    Nothing,
    /// `__op` as StarRocks reads it: 0, or 1 for a delete.
    Number { deletes: bool },
    /// Something else stands there: the members must be read.
    More,
}

/// Reused from record to record.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What is open: `{` or `[`, outermost first.
    open: Vec<u8>,
    /// Top-level member names of the record: bounds without quotes.
    names: Vec<(u32, u32)>,
    /// A hash of each of them; equal names have equal ones.
    hashes: Vec<u64>,
    /// The last record's hashes, if they were all different: most records look like the one before.
    unlike: Vec<u64>,
    escaped_name: bool,
    high_bit: bool,
    /// Where the values of the members `__op` and `__deleted` begin.
    op: Option<usize>,
    deleted: Option<usize>,
}

/// Checks one record.
pub fn check<'a>(record: &'a [u8], scratch: &mut Scratch) -> Result<Found<'a>, NotJson> {
    scratch.clear();
    let start = if record.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let first = blanks(record, start);
    match record.get(first) {
        Some(b'{') => {}
        Some(b'[') => return Err(NotJson { what: What::Array, at: first }),
        Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            // `not json` begins like one and is none.
            let end = scalar(record, first, scratch).map(|end| blanks(record, end));
            let is_scalar = end.is_ok_and(|end| end == record.len());
            let what = if is_scalar { What::Scalar } else { What::Expected("`{`") };
            return Err(NotJson { what, at: first });
        }
        Some(_) => return Err(NotJson { what: What::Expected("`{`"), at: first }),
        None => return Err(NotJson { what: What::Empty, at: first }),
    }
    let end = walk(record, first, scratch)?;
    let rest = blanks(record, end);
    if rest < record.len() {
        return Err(NotJson { what: What::Trailing, at: rest });
    }
    let object = &record[first..end];
    if scratch.high_bit
        && let Err(error) = std::str::from_utf8(object)
    {
        return Err(NotJson { what: What::NotUtf8, at: first + error.valid_up_to() });
    }
    if scratch.repeats(record) {
        return Ok(Found::RepeatedMember(object));
    }
    Ok(Found::Object(object))
}

/// Hands each element of an array of objects to `each`; text that is no such array is an error.
pub fn elements(
    record: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<(), NotJson>,
) -> Result<(), NotJson> {
    let expected = |what, at| Err(NotJson { what: What::Expected(what), at });
    let mut scratch = Scratch::default();
    let start = if record.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut at = blanks(record, start);
    if record.get(at) != Some(&b'[') {
        return expected("`[`", at);
    }
    at = blanks(record, at + 1);
    let mut may_close = true;
    while !(may_close && record.get(at) == Some(&b']')) {
        if record.get(at) != Some(&b'{') {
            return expected("an object", at);
        }
        scratch.clear();
        let end = walk(record, at, &mut scratch)?;
        each(&record[at..end])?;
        at = blanks(record, end);
        match record.get(at) {
            Some(b']') => may_close = true,
            Some(b',') => (at, may_close) = (blanks(record, at + 1), false),
            _ => return expected("`,` or `]`", at),
        }
    }
    match blanks(record, at + 1) {
        rest if rest < record.len() => Err(NotJson { what: What::Trailing, at: rest }),
        _ => Ok(()),
    }
}

/// Writes an object again with each member once, the last value of each.
pub fn deduplicate(object: &[u8], out: &mut Vec<u8>) {
    let map: BTreeMap<String, &RawValue> =
        serde_json::from_slice(object).expect("`check` found an object");
    serde_json::to_writer(out, &map).expect("writing to memory cannot fail");
}

/// From the opening brace at `at` to behind its partner.
fn walk(text: &[u8], at: usize, scratch: &mut Scratch) -> Result<usize, NotJson> {
    let expected = |what, at| NotJson { what: What::Expected(what), at };
    scratch.open.push(b'{');
    let mut at = blanks(text, at + 1);
    // An empty object or array may close at once; after a comma it may not.
    let mut may_close = true;
    loop {
        // Here a member or an element begins, or the innermost container closes.
        let inner = *scratch.open.last().expect("the walk ends when nothing is open");
        let close = if inner == b'{' { b'}' } else { b']' };
        if may_close && text.get(at) == Some(&close) {
            at += 1;
            scratch.open.pop();
        } else {
            if inner == b'{' {
                at = member_name(text, at, scratch)?;
            }
            match text.get(at) {
                Some(&container @ (b'{' | b'[')) => {
                    if scratch.open.len() == DEEPEST {
                        return Err(NotJson { what: What::TooDeep, at });
                    }
                    scratch.open.push(container);
                    at = blanks(text, at + 1);
                    may_close = true;
                    continue;
                }
                Some(_) => at = scalar(text, at, scratch)?,
                None => return Err(expected("a value", at)),
            }
        }
        // Behind a value: a comma, or one or more ends.
        loop {
            let Some(&inner) = scratch.open.last() else { return Ok(at) };
            at = blanks(text, at);
            match (text.get(at), inner) {
                (Some(b','), _) => {
                    at = blanks(text, at + 1);
                    may_close = false;
                    break;
                }
                (Some(b'}'), b'{') | (Some(b']'), b'[') => {
                    at += 1;
                    scratch.open.pop();
                }
                (_, b'{') => return Err(expected("`,` or `}`", at)),
                _ => return Err(expected("`,` or `]`", at)),
            }
        }
    }
}

/// A name and its colon; returns where the value begins.
#[inline]
fn member_name(text: &[u8], at: usize, scratch: &mut Scratch) -> Result<usize, NotJson> {
    if text.get(at) != Some(&b'"') {
        return Err(NotJson { what: What::Expected("a member name in quotes"), at });
    }
    let (end, escaped) = string(text, at, scratch)?;
    let is_top = scratch.open.len() == 1;
    if is_top {
        scratch.note_name(text, at + 1, end - 1, escaped);
    }
    let colon = blanks(text, end);
    if text.get(colon) != Some(&b':') {
        return Err(NotJson { what: What::Expected("`:`"), at: colon });
    }
    let value = blanks(text, colon + 1);
    if is_top && text[at..].starts_with(b"\"__") {
        match &text[at + 1..end - 1] {
            b"__op" => scratch.op = Some(value),
            b"__deleted" => scratch.deleted = Some(value),
            _ => {}
        }
    }
    Ok(value)
}

#[inline]
fn scalar(text: &[u8], at: usize, scratch: &mut Scratch) -> Result<usize, NotJson> {
    match text[at] {
        b'"' => string(text, at, scratch).map(|(end, _)| end),
        b'-' | b'0'..=b'9' => number(text, at),
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'n' => literal(text, at, b"null"),
        _ => Err(NotJson { what: What::Expected("a value"), at }),
    }
}

fn literal(text: &[u8], at: usize, word: &'static [u8]) -> Result<usize, NotJson> {
    if text[at..].starts_with(word) {
        return Ok(at + word.len());
    }
    Err(NotJson { what: What::Expected("a value"), at })
}

fn number(text: &[u8], at: usize) -> Result<usize, NotJson> {
    let digits = |mut at: usize| {
        let first = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == first {
            return Err(NotJson { what: What::Expected("a digit"), at });
        }
        Ok(at)
    };
    let first = if text[at] == b'-' { at + 1 } else { at };
    let mut end = digits(first)?;
    if end - first > 1 && text[first] == b'0' {
        return Err(NotJson { what: What::Expected("a number without leading zeros"), at: first });
    }
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = matches!(text.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(sign))?;
    }
    Ok(end)
}

/// A string from its opening quote; returns where it ends and whether it holds an escape.
#[inline]
fn string(text: &[u8], at: usize, scratch: &mut Scratch) -> Result<(usize, bool), NotJson> {
    let mut at = at + 1;
    let mut escaped = false;
    loop {
        at = plain_run(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(text, at)?;
            }
            Some(byte) if *byte >= 0x80 => {
                scratch.high_bit = true;
                at += 1;
            }
            Some(_) => {
                return Err(NotJson { what: What::Expected("no control character"), at });
            }
            None => return Err(NotJson { what: What::Expected("`\"`"), at }),
        }
    }
}

/// Skips bytes that need no look: neither quote, backslash, control nor above ASCII. Eight at a
/// time, by the usual arithmetic on words.
#[inline]
fn plain_run(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(chunk) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let special = quote | backslash | control | (word & HIGH);
        if special != 0 {
            // The lowest mark is exact; higher ones may be carries.
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|b| !matches!(b, b'"' | b'\\' | 0..0x20 | 0x80..)) {
        at += 1;
    }
    at
}

fn escape(text: &[u8], at: usize) -> Result<usize, NotJson> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let hex = text.get(at + 2..at + 6).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit));
            if hex {
                return Ok(at + 6);
            }
            Err(NotJson { what: What::Expected("four hex digits"), at: at + 2 })
        }
        _ => Err(NotJson { what: What::Expected("an escape"), at: at + 1 }),
    }
}

#[inline]
fn blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

impl Scratch {
    fn clear(&mut self) {
        self.open.clear();
        self.names.clear();
        self.hashes.clear();
        self.escaped_name = false;
        self.high_bit = false;
        (self.op, self.deleted) = (None, None);
    }

    /// What the object says that was checked last, in the record it was found in.
    pub fn says(&self, record: &[u8]) -> Says {
        let is = |at: usize, value: &[u8]| {
            let rest = record[at..].strip_prefix(value);
            rest.is_some_and(|rest| {
                matches!(rest.first(), Some(b',' | b'}' | b' ' | b'\t'..=b'\r'))
            })
        };
        match (self.op, self.deleted) {
            _ if self.escaped_name => Says::More,
            (Some(at), _) if is(at, b"0") || is(at, b"\"0\"") => Says::Number { deletes: false },
            (Some(at), _) if is(at, b"1") || is(at, b"\"1\"") => Says::Number { deletes: true },
            (Some(_), _) => Says::More,
            (None, None) => Says::Nothing,
            (None, Some(at)) if is(at, b"false") || is(at, b"\"false\"") => Says::Nothing,
            (None, Some(_)) => Says::More,
        }
    }

    #[inline]
    fn note_name(&mut self, text: &[u8], start: usize, end: usize, escaped: bool) {
        self.hashes.push(name_hash(&text[start..end]));
        self.escaped_name |= escaped;
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.names.push((bound(start), bound(end)));
    }

    fn repeats(&mut self, text: &[u8]) -> bool {
        if !self.escaped_name && self.hashes == self.unlike {
            return false;
        }
        if self.escaped_name {
            // Spelled differently, meant the same: rare enough for a tree.
            let map = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text);
            return map.is_ok_and(|map| map.len() < self.names.len());
        }
        let mut sorted = self.hashes.clone();
        sorted.sort_unstable();
        if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
            self.unlike.clone_from(&self.hashes);
            return false;
        }
        let name = |bounds: &(u32, u32)| &text[bounds.0 as usize..bounds.1 as usize];
        let mut names: Vec<&[u8]> = self.names.iter().map(name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// Of a name's length, its first and its last eight bytes: cheap, and good enough to tell the members
/// of one record apart nearly always.
#[inline]
fn name_hash(name: &[u8]) -> u64 {
    let word = |part: &[u8]| match part.try_into() {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => part.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let (head, tail) = (name.get(..8).unwrap_or(name), name.len().saturating_sub(8));
    let ends = word(head).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word(&name[tail..]).rotate_left(29);
    (ends ^ name.len() as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.at + 1;
        match self.what {
            What::Empty => write!(f, "the value is empty"),
            What::Array => write!(f, "the value is a JSON array, not an object"),
            What::Scalar => write!(f, "the value is a JSON scalar, not an object"),
            What::Expected(what) => write!(f, "expected {what} at column {column}"),
            What::Trailing => write!(f, "text after the object at column {column}"),
            What::TooDeep => write!(f, "nested deeper than {DEEPEST} at column {column}"),
            What::NotUtf8 => write!(f, "not UTF-8 at column {column}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(record: &str) {
        let found = check(record.as_bytes(), &mut Scratch::default());
        assert!(matches!(found, Ok(Found::Object(_))), "{record}: {found:?}");
        let parsed =
            serde_json::from_str::<serde_json::Value>(record.trim_start_matches('\u{feff}'));
        assert!(parsed.is_ok(), "{record}");
    }

    #[track_caller]
    fn bad(record: &[u8], expect: &str) {
        let found = check(record, &mut Scratch::default());
        let text =
            found.map(|found| format!("{found:?}")).unwrap_or_else(|error| error.to_string());
        assert_eq!(text, expect, "{}", String::from_utf8_lossy(record));
    }

    #[test]
    fn objects_pass_whatever_they_hold() {
        good("{}");
        good(" \t\r\n{ } \n");
        good(r#"{"a":1,"b":-0.5e+10,"c":[1,[],{}],"d":{"e":null,"f":[true,false]}}"#);
        good(r#"{"a":"\"\\\/\b\f\n\r\tA é 日本 text longer than eight bytes"}"#);
        good("\u{feff}{\"a\":123456789012345678901234567890.1234567890}");
        good(r#"{"":0}"#);
    }

    #[test]
    fn everything_else_is_named_with_its_place() {
        bad(b"", "the value is empty");
        bad(b"  ", "the value is empty");
        bad(b"[1]", "the value is a JSON array, not an object");
        bad(b"42", "the value is a JSON scalar, not an object");
        bad(b"null", "the value is a JSON scalar, not an object");
        bad(br#" "text" "#, "the value is a JSON scalar, not an object");
        bad(b"not json", "expected `{` at column 1");
        bad(b"12:30", "expected `{` at column 1");
        bad(br#""unended"#, "expected `{` at column 1");
        bad(b"bad", "expected `{` at column 1");
        bad(br#"{"a":1"#, "expected `,` or `}` at column 7");
        bad(br#"{"a":[1}"#, "expected `,` or `]` at column 8");
        bad(br#"{"a":1,}"#, "expected a member name in quotes at column 8");
        bad(br#"{"a":[1,]}"#, "expected a value at column 9");
        bad(br#"{a:1}"#, "expected a member name in quotes at column 2");
        bad(br#"{"a" 1}"#, "expected `:` at column 6");
        bad(br#"{"a":01}"#, "expected a number without leading zeros at column 6");
        bad(br#"{"a":1.}"#, "expected a digit at column 8");
        bad(br#"{"a":NaN}"#, "expected a value at column 6");
        bad(br#"{"a":1}{"b":2}"#, "text after the object at column 8");
        bad(br#"{"a":1}garbage"#, "text after the object at column 8");
        bad(b"{\"a\":\"x\ny\"}", "expected no control character at column 8");
        bad(b"{\"a\":\"\xff\"}", "not UTF-8 at column 7");
        bad(br#"{"a":"\x"}"#, "expected an escape at column 8");
        bad(br#"{"a":"\u12g4"}"#, "expected four hex digits at column 9");
        bad(br#"{"a":"unclosed"#, "expected `\"` at column 15");
    }

    #[test]
    fn the_elements_of_an_array_come_one_by_one() {
        let found = |record: &str| {
            let mut all = vec![];
            let walked = elements(record.as_bytes(), |element| {
                all.push(String::from_utf8_lossy(element).into_owned());
                Ok(())
            });
            walked.map(|()| all).map_err(|error| error.to_string())
        };
        assert_eq!(found(r#" [ {"a":[1]} ,{} ] "#), Ok(vec![r#"{"a":[1]}"#.into(), "{}".into()]));
        assert_eq!(found("[]"), Ok(vec![]));
        assert_eq!(found("[1]"), Err("expected an object at column 2".into()));
        assert_eq!(found("[{},]"), Err("expected an object at column 5".into()));
        assert_eq!(found("[{}] x"), Err("text after the object at column 6".into()));
        assert_eq!(found("[{}"), Err("expected `,` or `]` at column 4".into()));
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        good(&deep(100));
        bad(deep(1000).as_bytes(), "nested deeper than 1000 at column 1005");
    }

    #[test]
    fn what_an_object_says_of_its_operation_is_seen_on_the_way() {
        let says = |record: &str| {
            let mut scratch = Scratch::default();
            check(record.as_bytes(), &mut scratch).expect("an object");
            scratch.says(record.as_bytes())
        };
        let number = |deletes| Says::Number { deletes };
        assert_eq!(says(r#"{"a":1,"b":{"__op":1,"__deleted":true}}"#), Says::Nothing);
        assert_eq!(says(r#"{"__op":0}"#), number(false));
        assert_eq!(says(r#" {"a":[1], "__op" : "1" }"#), number(true));
        assert_eq!(says(r#"{"__deleted":"true","__op":0}"#), number(false));
        assert_eq!(says(r#"{"__deleted":"false"}"#), Says::Nothing);
        assert_eq!(says(r#"{"__deleted":false,"a":1}"#), Says::Nothing);
        for more in [
            r#"{"__op":"delete"}"#,
            r#"{"__op":10}"#,
            r#"{"__op":null}"#,
            r#"{"__deleted":"true"}"#,
            r#"{"__deleted":true}"#,
            r#"{"\u005f_op":1}"#,
        ] {
            assert_eq!(says(more), Says::More, "{more}");
        }
    }

    #[test]
    fn a_member_named_twice_is_noticed_and_the_last_one_kept() {
        let repeated = |record: &str| {
            let found = check(record.as_bytes(), &mut Scratch::default());
            matches!(found, Ok(Found::RepeatedMember(_)))
        };
        assert!(repeated(r#"{"a":1,"b":2,"a":3}"#));
        assert!(repeated(r#"{"a":1,"\u0061":2}"#));
        assert!(!repeated(r#"{"a":{"x":1},"b":{"x":1}}"#));
        assert!(!repeated(r#"{"ab":1,"ba":2,"aab":3,"bba":4}"#));
        assert!(!repeated(r#"{"beginning_a_end_of_it":1,"beginning_b_end_of_it":2}"#));
        assert!(repeated(r#"{"beginning_a_end_of_it":1,"beginning_a_end_of_it":2}"#));
        let mut out = vec![];
        deduplicate(br#"{"a":1,"b":1.10,"a":3e5}"#, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":3e5,"b":1.10}"#);
    }

    #[test]
    fn agrees_with_a_full_parser_on_damaged_records() {
        let whole =
            r#"{"id":12,"s":"aé\n\u00e9 bcdefghij","n":[1.5e3,{"k":null}],"t":true}"#.as_bytes();
        let mut scratch = Scratch::default();
        for at in 0..whole.len() {
            for byte in [b'"', b'\\', b'{', b'}', b'0', b',', 0x01, 0xff, b' ', b'e'] {
                let mut damaged = whole.to_vec();
                damaged[at] = byte;
                let parsed =
                    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&damaged);
                let ours = check(&damaged, &mut scratch);
                let text = String::from_utf8_lossy(&damaged);
                // serde_json refuses lone surrogates and the like, which pass here as text.
                assert_eq!(ours.is_ok(), parsed.is_ok(), "{text}: {ours:?} {parsed:?}");
            }
        }
    }
}
