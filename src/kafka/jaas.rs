//! `sasl.jaas.config`: `Module flag key="value" …;` as Kafka's Java clients read it.
//!
//! Owns the grammar; what a module's options mean is `auth.rs`'s business. Errors never repeat the
//! text, for it holds a password.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// The one entry of a JAAS text. No `Debug`: options hold passwords.
#[derive(PartialEq, Eq)]
pub struct Login {
    /// Full Java class name.
    pub module: String,
    /// `required`, `requisite`, `sufficient` or `optional`.
    pub flag: String,
    pub options: BTreeMap<String, String>,
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// Reads the text, which must hold exactly one module.
pub fn parse(text: &str) -> Result<Login, String> {
    let mut tokens = Tokens { letters: text.chars().peekable() };
    let Some(module) = tokens.text() else { return Err("it names no login module".to_owned()) };
    let flag = tokens.text().ok_or("the login module's control flag is missing")?;
    let flag = flag.to_lowercase();
    if !FLAGS.contains(&flag.as_str()) {
        return Err(format!("`{flag}` is no control flag; usual is `required`"));
    }
    let options = options(&mut tokens)?;
    match tokens.next() {
        None => Ok(Login { module, flag, options }),
        Some(_) => Err("it names more than one login module".to_owned()),
    }
}

fn options(tokens: &mut Tokens<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    loop {
        let key = match tokens.next() {
            Some(Token::Mark(';')) => return Ok(options),
            Some(Token::Text(key)) => key,
            Some(Token::Number | Token::Mark(_)) => {
                return Err("an option's name is expected where another sign stands".to_owned());
            }
            None => return Err("it does not end with a semicolon".to_owned()),
        };
        match (tokens.next(), tokens.next()) {
            (Some(Token::Mark('=')), Some(Token::Text(value))) => drop(options.insert(key, value)),
            _ => return Err(format!("option `{key}` has no value, or one that needs quotes")),
        }
    }
}

enum Token {
    /// A word or a quoted text.
    Text(String),
    /// Bare numbers are no values in Java.
    Number,
    Mark(char),
}

/// Java's `StreamTokenizer` as Kafka sets it up.
struct Tokens<'a> {
    letters: Peekable<Chars<'a>>,
}

impl Tokens<'_> {
    /// The next token if it is a word or a quoted text.
    fn text(&mut self) -> Option<String> {
        match self.next()? {
            Token::Text(text) => Some(text),
            Token::Number | Token::Mark(_) => None,
        }
    }

    fn comment(&mut self) {
        if self.letters.next_if_eq(&'*').is_none() {
            while self.letters.next_if(|&letter| letter != '\n' && letter != '\r').is_some() {}
            return;
        }
        let mut star = false;
        for letter in self.letters.by_ref() {
            if star && letter == '/' {
                return;
            }
            star = letter == '*';
        }
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(letter) =
            self.letters.next_if(|&letter| starts_word(letter) || is_numeric(letter))
        {
            word.push(letter);
        }
        word
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(letter) = self.letters.next_if(|&letter| letter != '\n' && letter != '\r') {
            match letter {
                '\\' => text.extend(self.escape()),
                end if end == quote => break,
                other => text.push(other),
            }
        }
        text
    }

    /// C's escapes; `\u` is none of them.
    fn escape(&mut self) -> Option<char> {
        Some(match self.letters.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            digit @ '0'..='7' => self.octal(digit),
            other => other,
        })
    }

    /// Up to three digits, the value 255 at most.
    fn octal(&mut self, first: char) -> char {
        let most = if first <= '3' { 2 } else { 1 };
        let mut code = first.to_digit(8).unwrap_or_default();
        for _ in 0..most {
            let Some(digit) = self.letters.next_if(|letter| ('0'..='7').contains(letter)) else {
                break;
            };
            code = code * 8 + digit.to_digit(8).unwrap_or_default();
        }
        char::from_u32(code).unwrap_or_default()
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            return Some(match self.letters.next()? {
                blank if blank <= ' ' => continue,
                '/' => {
                    self.comment();
                    continue;
                }
                quote @ ('"' | '\'') => Token::Text(self.quoted(quote)),
                first if starts_word(first) => Token::Text(self.word(first)),
                first if is_numeric(first) => {
                    self.word(first);
                    Token::Number
                }
                mark => Token::Mark(mark),
            });
        }
    }
}

fn starts_word(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '_' | '$') || letter >= '\u{a0}'
}

fn is_numeric(letter: char) -> bool {
    letter.is_ascii_digit() || matches!(letter, '.' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let found = match parse(text) {
            Ok(login) => format!("{} {} {:?}", login.module, login.flag, login.options),
            Err(reason) => reason,
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn options_may_be_words_or_quoted_in_two_ways() {
        check(
            "a.B required u=alice p='x;\"y' q=\"p;=\\\"x\\\\\" ;",
            r#"a.B required {"p": "x;\"y", "q": "p;=\"x\\", "u": "alice"}"#,
        );
    }

    #[test]
    fn comments_and_line_breaks_count_as_blanks() {
        check("a.B REQUIRED // x\n /* y\n*/ u='a';", r#"a.B required {"u": "a"}"#);
    }

    #[test]
    fn escapes_are_those_of_c() {
        check("M required p=\"\\101\\t\\u0041\";", r#"M required {"p": "A\tu0041"}"#);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        check("", "it names no login module");
        check("M", "the login module's control flag is missing");
        check("M maybe a=\"b\";", "`maybe` is no control flag; usual is `required`");
        check("M required p=123;", "option `p` has no value, or one that needs quotes");
        check("M required p=\"x\"", "it does not end with a semicolon");
        check("M required; N required;", "it names more than one login module");
    }
}
