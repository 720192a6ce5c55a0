//! Java's `.properties` grammar: bytes in, keys and values with their line numbers out.
//!
//! Owns the syntax only (`java.util.Properties.load`). It knows no key, trims no value (Java keeps
//! trailing blanks too) and reads no file.

/// One `key=value`, in file order; a key may occur twice, the last one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: String,
    /// Where the pair begins, counted from 1.
    pub line: u32,
}

/// How the bytes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    /// The bytes are no UTF-8; this is what Java reads always.
    Latin1,
}

/// A whole file.
#[derive(Debug)]
pub struct Properties {
    pub pairs: Vec<Pair>,
    pub charset: Charset,
}

impl Properties {
    /// The first pair with a letter outside ASCII: Java, which reads ISO-8859-1, sees another text
    /// there unless the file is ISO-8859-1.
    pub fn first_beyond_ascii(&self) -> Option<&Pair> {
        self.pairs.iter().find(|pair| !pair.key.is_ascii() || !pair.value.is_ascii())
    }
}

/// A `\u` without four hexadecimal digits: Java refuses the whole file.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    pub line: u32,
    pub escape: String,
}

/// Reads a file's bytes: as UTF-8 if they are UTF-8, as ISO-8859-1 otherwise.
pub fn parse(bytes: &[u8]) -> Result<Properties, Malformed> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Properties { pairs: parse_text(text)?, charset: Charset::Utf8 }),
        Err(_) => {
            let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
            Ok(Properties { pairs: parse_text(&text)?, charset: Charset::Latin1 })
        }
    }
}

/// Reads decoded text.
pub fn parse_text(text: &str) -> Result<Vec<Pair>, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    logical_lines(text).into_iter().map(|(line, text)| pair(line, &text)).collect()
}

/// One `key=value` line that reads back as it was, here and in Java: letters outside ASCII as `\uXXXX`.
pub fn line(key: &str, value: &str) -> String {
    let mut out = String::new();
    escape(key, " =:#!", &mut out);
    out.push('=');
    let blanks = value.len() - value.trim_start_matches(BLANKS).len();
    value[..blanks].chars().for_each(|blank| escape_letter(blank, " ", &mut out));
    escape(&value[blanks..], "", &mut out);
    out
}

fn escape(text: &str, special: &str, out: &mut String) {
    text.chars().for_each(|letter| escape_letter(letter, special, out));
}

fn escape_letter(letter: char, special: &str, out: &mut String) {
    match letter {
        '\\' => out.push_str("\\\\"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\u{c}' => out.push_str("\\f"),
        ' '..='~' => {
            if special.contains(letter) {
                out.push('\\');
            }
            out.push(letter);
        }
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// Joins continued lines and drops blank ones and comments.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = vec![];
    let mut open: Option<(u32, String)> = None;
    for (number, natural) in natural_lines(text) {
        let content = natural.trim_start_matches(BLANKS);
        if open.is_none() && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let (first, mut logical) = open.take().unwrap_or((number, String::new()));
        match continued(content) {
            Some(head) => {
                logical.push_str(head);
                open = Some((first, logical));
            }
            None => {
                logical.push_str(content);
                lines.push((first, logical));
            }
        }
    }
    lines.extend(open);
    lines.retain(|(_, logical)| !logical.is_empty());
    lines
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// The line without its last backslash if that backslash continues it.
fn continued(line: &str) -> Option<&str> {
    let backslashes = line.bytes().rev().take_while(|&byte| byte == b'\\').count();
    (backslashes % 2 == 1).then(|| &line[..line.len() - 1])
}

/// Splits at `\n`, `\r` and `\r\n`, with numbers from 1.
fn natural_lines(text: &str) -> Vec<(u32, &str)> {
    let mut lines = vec![];
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let ending = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + ending..];
    }
    lines.push(rest);
    (1..).zip(lines).collect()
}

fn pair(line: u32, text: &str) -> Result<Pair, Malformed> {
    let end = key_end(text);
    let after = text[end..].trim_start_matches(BLANKS);
    let value = match after.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches(BLANKS),
        None => after,
    };
    Ok(Pair { key: unescape(&text[..end], line)?, value: unescape(value, line)?, line })
}

/// Where the first unescaped `=`, `:` or blank stands.
fn key_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' => return at,
            blank if BLANKS.contains(&blank) => return at,
            _ => {}
        }
    }
    text.len()
}

/// Resolves escapes. UTF-16 units in between, because `\ud83d\ude00` is one letter.
fn unescape(text: &str, line: u32) -> Result<String, Malformed> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut units: Vec<u16> = vec![];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            units.extend(letter.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        match letters.next() {
            Some('u') => units.push(unicode_escape(letters.by_ref(), line)?),
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(0xc),
            Some(other) => units.extend(other.encode_utf16(&mut [0; 2]).iter()),
            None => {}
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

fn unicode_escape(letters: impl Iterator<Item = char>, line: u32) -> Result<u16, Malformed> {
    let digits: String = letters.take(4).collect();
    let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    match u16::from_str_radix(&digits, 16) {
        Ok(unit) if is_hex => Ok(unit),
        _ => Err(Malformed { line, escape: format!("\\u{digits}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(&str, &str, u32)]) {
        let pairs = parse_text(text).expect("the text is well formed");
        let found: Vec<_> =
            pairs.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn separators_may_be_equals_colon_or_blanks() {
        check(
            "a=1\nb: 2\nc 3\n d = 4\n",
            &[("a", "1", 1), ("b", "2", 2), ("c", "3", 3), ("d", "4", 4)],
        );
    }

    #[test]
    fn only_one_separator_is_taken_and_trailing_blanks_stay() {
        check("a==1 \nb : = 2", &[("a", "=1 ", 1), ("b", "= 2", 2)]);
    }

    #[test]
    fn comments_and_blank_lines_count_as_lines_and_nothing_else() {
        check("# x \\\n! y\n\n  \na=1 # z\n", &[("a", "1 # z", 5)]);
    }

    #[test]
    fn a_continued_value_keeps_the_line_it_began_on() {
        check(
            "\na=one,\\\n   two\nb=1\\\\\nc=2",
            &[("a", "one,two", 2), ("b", "1\\", 4), ("c", "2", 5)],
        );
    }

    #[test]
    fn a_backslash_at_the_end_of_the_file_is_dropped() {
        check("a=1\\", &[("a", "1", 1)]);
    }

    #[test]
    fn keys_may_hold_escaped_separators() {
        check("a\\:b\\ c\\=d=1", &[("a:b c=d", "1", 1)]);
    }

    #[test]
    fn unknown_escapes_lose_the_backslash_and_known_ones_work() {
        check(
            "a=\\x01\nb=\\\\x01\nc=\\t\\n\\u0041\\ud83d\\ude00",
            &[("a", "x01", 1), ("b", "\\x01", 2), ("c", "\t\nA😀", 3)],
        );
    }

    #[test]
    fn a_short_unicode_escape_spoils_the_file() {
        let expect = Malformed { line: 2, escape: "\\u00g1".to_owned() };
        assert_eq!(parse_text("a=1\nb=\\u00g1"), Err(expect));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_read_as_latin_1() {
        let latin = parse(b"pw=\xfc\n").expect("well formed");
        assert_eq!((latin.charset, latin.pairs[0].value.as_str()), (Charset::Latin1, "ü"));
        let utf = parse("# 地址\npw=ü\n".as_bytes()).expect("well formed");
        assert_eq!((utf.charset, utf.pairs[0].value.as_str()), (Charset::Utf8, "ü"));
        assert_eq!(utf.first_beyond_ascii().map(|pair| pair.line), Some(2));
    }

    #[test]
    fn escaping_every_letter_and_reading_back_gives_the_text() {
        for text in ["", " a b ", "=:#!", "\\\\x01", "tab\tnew\nline", "中文 😀", "trailing\\"]
        {
            let escaped: String = text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
            check(&format!("k={escaped}"), &[("k", text, 1)]);
        }
    }

    #[test]
    fn a_written_line_reads_back_as_it_was() {
        for text in
            ["", " a b ", "=:#!", "\\x01", "\ttab\nline\r", "中文 😀", "end\\", "#no comment"]
        {
            check(&line(text, text), &[(text, text, 1)]);
            check(&line("k", text), &[("k", text, 1)]);
        }
        assert_eq!(line("a b", " \\x01=ü"), "a\\ b=\\ \\\\x01=\\u00fc");
    }
}
