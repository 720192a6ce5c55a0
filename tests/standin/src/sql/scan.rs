//! SQL text into tokens.

use super::SqlError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word, or a name in backticks (`quoted`).
    Word {
        text: String,
        quoted: bool,
    },
    /// A string literal.
    Text(String),
    Number(String),
    Symbol(char),
}

/// Tokens of one statement with a position.
#[derive(Debug)]
pub(crate) struct Scanner {
    tokens: Vec<Token>,
    at: usize,
}

/// Splits at semicolons outside quotes and comments; empty statements are left out.
pub(crate) fn split_statements(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\'' | '"' | '`' => quoted_end(rest, c),
            '-' if rest.starts_with("-- ") || rest.starts_with("--\n") => line_end(rest),
            '#' => line_end(rest),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |e| e + 2),
            ';' => {
                statements.push(String::new());
                rest = &rest[1..];
                continue;
            }
            c => c.len_utf8(),
        };
        if let Some(last) = statements.last_mut() {
            last.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    statements.retain(|s| Scanner::new(s).map_or(true, |s| !s.tokens.is_empty()));
    statements
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Where the quoted text that `text` starts with ends; backslash and doubling escape.
fn quoted_end(text: &str, quote: char) -> usize {
    let bytes = text.as_bytes();
    let mut i = 1;
    while i < bytes.len() {
        if bytes[i] == b'\\' && quote != '`' {
            i += 2;
        } else if bytes[i] == quote as u8 {
            if bytes.get(i + 1) == Some(&(quote as u8)) {
                i += 2;
            } else {
                return i + 1;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

fn unquote(text: &str, quote: char) -> String {
    let inner = text[1..].strip_suffix(quote).unwrap_or(&text[1..]);
    let mut out = String::new();
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote != '`' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => {}
            },
            c if c == quote => {
                chars.next();
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

impl Scanner {
    pub(crate) fn new(text: &str) -> Result<Self, SqlError> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(c) = rest.chars().next() {
            let taken = match c {
                '\'' | '"' => {
                    let end = quoted_end(rest, c);
                    tokens.push(Token::Text(unquote(&rest[..end], c)));
                    end
                }
                '`' => {
                    let end = quoted_end(rest, c);
                    tokens.push(Token::Word { text: unquote(&rest[..end], c), quoted: true });
                    end
                }
                '-' if rest.starts_with("-- ") || rest.starts_with("--\n") || rest == "--" => {
                    line_end(rest)
                }
                '#' => line_end(rest),
                '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |e| e + 2),
                c if c.is_ascii_digit() => {
                    let end = rest
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
                        .unwrap_or(rest.len());
                    tokens.push(number_or_word(&rest[..end]));
                    end
                }
                c if is_word(c) => {
                    let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                    tokens.push(Token::Word { text: rest[..end].to_owned(), quoted: false });
                    end
                }
                c => {
                    tokens.push(Token::Symbol(c));
                    c.len_utf8()
                }
            };
            rest = rest[taken.min(rest.len())..].trim_start();
        }
        if tokens.last() == Some(&Token::Symbol(';')) {
            tokens.pop();
        }
        Ok(Self { tokens, at: 0 })
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(crate) fn peek_word(&self) -> Option<&str> {
        self.word_at(0)
    }

    fn word_at(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Word { text, quoted: false }) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Takes the words if they come next, in any case.
    pub(crate) fn take(&mut self, words: &str) -> bool {
        let words: Vec<&str> = words.split(' ').collect();
        let all = words
            .iter()
            .enumerate()
            .all(|(i, w)| self.word_at(i).is_some_and(|t| t.eq_ignore_ascii_case(w)));
        if all {
            self.at += words.len();
        }
        all
    }

    pub(crate) fn take_symbol(&mut self, symbol: char) -> bool {
        let there = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(there);
        there
    }

    pub(crate) fn need(&mut self, words: &str) -> Result<(), SqlError> {
        if self.take(words) { Ok(()) } else { Err(self.unexpected(words)) }
    }

    pub(crate) fn need_symbol(&mut self, symbol: char) -> Result<(), SqlError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&symbol.to_string())) }
    }

    pub(crate) fn end(&mut self) -> Result<(), SqlError> {
        if self.is_end() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// A syntax error at the present token.
    pub(crate) fn unexpected(&self, wanted: &str) -> SqlError {
        let found = match self.peek() {
            None => "<EOF>".to_owned(),
            Some(Token::Word { text, .. } | Token::Number(text)) => text.clone(),
            Some(Token::Text(text)) => format!("'{text}'"),
            Some(Token::Symbol(c)) => c.to_string(),
        };
        SqlError::new(
            1064,
            format!(
                "Getting syntax error. Detail message: Unexpected input '{found}', the most similar input is {{'{wanted}'}}."
            ),
        )
    }

    /// An identifier, quoted or not; digits may lead in an unquoted one.
    pub(crate) fn name(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Token::Word { text, .. }) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("identifier")),
        }
    }

    /// `[db.]table`; catalogs are cut off.
    pub(crate) fn table_name(&mut self, db: Option<&str>) -> Result<(String, String), SqlError> {
        let mut parts = vec![self.name()?];
        while self.take_symbol('.') {
            parts.push(self.name()?);
        }
        let table = parts.pop().unwrap_or_default();
        match parts.pop().or_else(|| db.map(str::to_owned)) {
            Some(db) => Ok((db, table)),
            None => Err(SqlError::new(1046, "No database selected")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("string")),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u32, SqlError> {
        match self.peek() {
            Some(Token::Number(text)) if text.parse::<u32>().is_ok() => {
                let number = text.parse().unwrap_or(0);
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.unexpected("number")),
        }
    }

    /// The tokens up to the parenthesis that closes one already taken, as text.
    pub(crate) fn skip_to_close(&mut self) -> Result<String, SqlError> {
        let (mut depth, mut out) = (1, String::new());
        while let Some(token) = self.next() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(out);
            }
            match token {
                Token::Word { text, .. } | Token::Number(text) => {
                    if out.ends_with(|c: char| c.is_alphanumeric()) {
                        out.push(' ');
                    }
                    out.push_str(&text);
                }
                Token::Text(text) => out.push_str(&format!("'{text}'")),
                Token::Symbol(c) => out.push(c),
            }
        }
        Err(self.unexpected(")"))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '@'
}

/// `12`, `1.5` and `1e3` are numbers, `3abc` is a name.
fn number_or_word(text: &str) -> Token {
    if text.parse::<f64>().is_ok() {
        Token::Number(text.to_owned())
    } else {
        Token::Word { text: text.to_owned(), quoted: false }
    }
}
