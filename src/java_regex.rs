//! Java's regular expressions and replacement texts, on top of a backtracking engine.
//!
//! Patterns are translated where the two dialects differ and matter for topic names: ASCII classes,
//! `\Q…\E`, `\h`, `\R`, POSIX names, `\uXXXX`, octal. Flags that change line ends are not.

use std::fmt::Write as _;

use fancy_regex::{Captures, Regex, RegexBuilder};

use crate::data::{Exception, Failure};

/// A compiled `java.util.regex.Pattern`.
#[derive(Debug)]
pub struct JavaRegex {
    whole: Regex,
    first: Regex,
}

/// Steps back the engine may take on one text.
const BACKTRACK_LIMIT: usize = 10_000_000;

impl JavaRegex {
    /// The failure says what is wrong with the pattern, and not the pattern itself.
    pub fn compile(pattern: &str) -> Result<JavaRegex, Failure> {
        let translated = translate(pattern);
        let build = |text: &str| {
            let built = RegexBuilder::new(text).backtrack_limit(BACKTRACK_LIMIT).build();
            built.map_err(|error| Failure::new(Exception::IllegalArgument, reason(&error)))
        };
        // Alone first: the engine's words count places in the text it is given.
        let first = build(&translated)?;
        Ok(JavaRegex { whole: build(&format!(r"\A(?:{translated})\z"))?, first })
    }

    /// `matches()`: the whole text. A pattern that backtracks beyond the engine's limit does not
    /// match.
    pub fn is_full_match(&self, text: &str) -> bool {
        self.whole.is_match(text).unwrap_or(false)
    }

    /// `replaceFirst`: the first match, which may be shorter than the whole text.
    pub fn replace_first(&self, text: &str, replacement: &str) -> Result<String, Failure> {
        let Ok(Some(groups)) = self.first.captures(text) else { return Ok(text.to_string()) };
        let found = groups.get(0).expect("group 0 is the match itself");
        let mut out = text[..found.start()].to_string();
        expand(&groups, replacement, &mut out)?;
        out.push_str(&text[found.end()..]);
        Ok(out)
    }
}

/// The engine's own words, without the picture it draws of the pattern.
fn reason(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}

/// Appends `replacement` with `$1`, `${name}` and `\c` resolved as `Matcher.appendReplacement` does.
fn expand(groups: &Captures<'_, str>, replacement: &str, out: &mut String) -> Result<(), Failure> {
    let illegal = |why: &str| Err(Failure::new(Exception::IllegalArgument, why));
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(literal) => out.push(literal),
                None => return illegal("character to be escaped is missing"),
            },
            '$' => match chars.peek().copied() {
                Some('{') => {
                    chars.next();
                    let name: String = chars.by_ref().take_while(|&c| c != '}').collect();
                    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                        return illegal("capturing group name does not start with a letter");
                    }
                    match groups.name(&name) {
                        Some(text) => out.push_str(text.as_str()),
                        None => return illegal(&format!("No group with name {{{name}}}")),
                    }
                }
                Some(digit) if digit.is_ascii_digit() => {
                    let mut number = 0;
                    let mut any = false;
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let longer = number * 10 + digit as usize;
                        // Only as many digits as still name a group.
                        if any && longer >= groups.len() {
                            break;
                        }
                        (number, any) = (longer, true);
                        chars.next();
                    }
                    if number >= groups.len() {
                        let why = format!("No group {number}");
                        return Err(Failure::new(Exception::IndexOutOfBounds, why));
                    }
                    out.push_str(groups.get(number).map_or("", |group| group.as_str()));
                }
                _ => return illegal("Illegal group reference"),
            },
            _ => out.push(c),
        }
    }
    Ok(())
}

const HORIZONTAL: &str = r" \t\x{a0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}";

/// Rewrites a Java pattern for the engine.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut class_depth = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, class_depth > 0, &mut out),
            '[' => {
                class_depth += 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.push('^');
                    chars.next();
                }
            }
            ']' if class_depth > 0 => {
                class_depth -= 1;
                out.push(']');
            }
            // The engine's set difference and symmetric difference; plain characters to Java.
            '~' if class_depth > 0 => out.push_str(r"\~"),
            '-' if class_depth > 0 && chars.peek() == Some(&'-') => out.push_str(r"\-"),
            _ => out.push(c),
        }
    }
    out
}

type Chars<'p> = std::iter::Peekable<std::str::Chars<'p>>;

/// Translates what follows a backslash.
fn escape(chars: &mut Chars<'_>, in_class: bool, out: &mut String) {
    let Some(c) = chars.next() else {
        out.push('\\');
        return;
    };
    let set = |out: &mut String, negated: bool, members: &str| match (in_class, negated) {
        (true, false) => out.push_str(members),
        (_, negated) => {
            let _ = write!(out, "[{}{members}]", if negated { "^" } else { "" });
        }
    };
    match c {
        'd' | 'D' => set(out, c == 'D', "0-9"),
        'w' | 'W' => set(out, c == 'W', "A-Za-z0-9_"),
        's' | 'S' => set(out, c == 'S', r" \t\n\x0B\f\r"),
        'h' | 'H' => set(out, c == 'H', HORIZONTAL),
        'R' => out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
        'Z' => out.push_str(r"(?=\n?\z)"),
        'Q' => quoted(chars, out),
        'E' => {}
        'e' => out.push_str(r"\x1B"),
        'a' => out.push_str(r"\x07"),
        'c' => {
            if let Some(control) = chars.next() {
                let _ = write!(out, r"\x{{{:x}}}", u32::from(control) ^ 0x40);
            }
        }
        'u' => code_point(chars, 16, 4, out),
        '0' => code_point(chars, 8, 3, out),
        'p' | 'P' => property(chars, c == 'P', in_class, out),
        _ => {
            out.push('\\');
            out.push(c);
        }
    }
}

/// `\Q…\E`: every character stands for itself.
fn quoted(chars: &mut Chars<'_>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() == Some(&'E') {
            chars.next();
            return;
        }
        out.push_str(&fancy_regex::escape(&c.to_string()));
    }
}

fn code_point(chars: &mut Chars<'_>, radix: u32, most: usize, out: &mut String) {
    let mut code = 0;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
        code = code * radix + digit;
        chars.next();
    }
    let _ = write!(out, r"\x{{{code:x}}}");
}

/// `\p{Name}`: Java's POSIX names are ASCII; other names are the engine's own.
fn property(chars: &mut Chars<'_>, negated: bool, in_class: bool, out: &mut String) {
    let name: String = if chars.peek() == Some(&'{') {
        chars.next();
        chars.by_ref().take_while(|&c| c != '}').collect()
    } else {
        chars.next().into_iter().collect()
    };
    let members = match name.as_str() {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "A-Za-z",
        "Digit" => "0-9",
        "Alnum" => "A-Za-z0-9",
        "Punct" => r"!-/:-@\[-`{-\~",
        "Graph" => r"!-\~",
        "Print" => r" -\~",
        "Blank" => r" \t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9A-Fa-f",
        "Space" => r" \t\n\x0B\f\r",
        other => {
            let name = other.strip_prefix("Is").unwrap_or(other);
            let _ = write!(out, r"\{}{{{name}}}", if negated { 'P' } else { 'p' });
            return;
        }
    };
    match (in_class, negated) {
        (true, false) => out.push_str(members),
        (_, negated) => {
            let _ = write!(out, "[{}{members}]", if negated { "^" } else { "" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, matches: bool) {
        let regex = JavaRegex::compile(pattern).expect("compiles");
        assert_eq!(regex.is_full_match(text), matches, "`{pattern}` on `{text}`");
    }

    #[test]
    fn the_whole_name_must_match() {
        check("shop", "srv.shop", false);
        check("a|ab", "ab", true);
        check(r"crm\.public\.(clients|orders)", "crm.public.orders2", false);
        check("(?!dlq-).*", "dlq-a", false);
        check("(?!dlq-).*", "orders", true);
    }

    #[test]
    fn javas_own_syntax_is_understood() {
        check(r"\Qa.b\E\d", "a.b7", true);
        check(r"\Qa.b\E\d", "axb7", false);
        check(r"\w+", "größe", false);
        check(r"[\w.]+", "a.b_c", true);
        check(r"[^\d]+", "abc", true);
        check(r"\p{Alpha}+\p{Digit}", "abc1", true);
        check(r"\p{Punct}", "~", true);
        check(r"\u0061\0142\x63", "abc", true);
        check(r"a\hb", "a b", true);
        check(r"([a-z]++)-(\d+)", "orders-12", true);
        check(r"(a+)\1", "aaaa", true);
        check("(?i)ORDERS", "orders", true);
        check(r"[a-z&&[^b]]+", "abc", false);
    }

    #[track_caller]
    fn replaced(pattern: &str, replacement: &str, text: &str) -> Result<String, Exception> {
        let regex = JavaRegex::compile(pattern).expect("compiles");
        regex.replace_first(text, replacement).map_err(|failure| failure.exception)
    }

    #[test]
    fn replacements_follow_matcher() {
        let three = r"(\w+)\.(\w+)\.(\w+)";
        assert_eq!(replaced(three, "$2_$3", "srv.shop.orders"), Ok("shop_orders".into()));
        assert_eq!(replaced("(a)(b)", "$12", "ab"), Ok("a2".into()));
        assert_eq!(replaced("(?<db>[^.]+)\\.(?<t>.+)", "${t}\\$${db}", "s.o"), Ok("o$s".into()));
        assert_eq!(replaced("a|ab", "x", "ab"), Ok("xb".into()));
        assert_eq!(replaced("a", "$1", "a"), Err(Exception::IndexOutOfBounds));
        assert_eq!(replaced("a", "${3}", "a"), Err(Exception::IllegalArgument));
        assert_eq!(replaced("a", "x\\", "a"), Err(Exception::IllegalArgument));
        assert_eq!(replaced("a", "$", "a"), Err(Exception::IllegalArgument));
        assert_eq!(replaced("(a)|(b)", "[$1$2]", "b"), Ok("[b]".into()));
    }
}
