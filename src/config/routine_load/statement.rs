//! The syntax of `CREATE ROUTINE LOAD`: text in, its parts out. Owns tokens, quoting and comments; an
//! expression stays text, for StarRocks reads it again as a Stream Load header.

use std::borrow::Cow;

use crate::error::Problem;

/// One statement in its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) database: Option<String>,
    pub(super) job: String,
    pub(super) table: String,
    pub(super) column_separator: Option<String>,
    pub(super) row_delimiter: Option<String>,
    /// What stands between the parentheses of COLUMNS.
    pub(super) columns: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) partitions: Vec<String>,
    pub(super) temporary: bool,
    /// Item and alias.
    pub(super) metadata: Vec<(String, Option<String>)>,
    pub(super) job_properties: Vec<(String, String)>,
    /// `KAFKA`.
    pub(super) source: String,
    pub(super) source_properties: Vec<(String, String)>,
}

impl Statement {
    /// A job property by name, whatever its case; the last one counts.
    pub(super) fn of_job(&self, name: &str) -> Option<&str> {
        find(&self.job_properties, name)
    }

    pub(super) fn of_source(&self, name: &str) -> Option<&str> {
        find(&self.source_properties, name)
    }
}

fn find<'a>(properties: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let named = |(known, _): &&(String, String)| known.trim().eq_ignore_ascii_case(name);
    properties.iter().rev().find(named).map(|(_, value)| value.as_str())
}

/// Reads the only statement of a text, which may be the output of a MySQL client.
pub(super) fn parse(text: &str) -> Result<Statement, Problem> {
    let text = &*unbatched(text);
    let begins = beginnings(text);
    let begin = match begins.as_slice() {
        [begin] => *begin,
        [] => {
            return Err(Problem::usage("the text holds no `CREATE ROUTINE LOAD` statement")
                .hint("`SHOW CREATE ROUTINE LOAD db.job` prints one"));
        }
        several => {
            let what = format!("the text holds {} `CREATE ROUTINE LOAD` statements", several.len());
            return Err(Problem::usage(what).hint("give one at a time: a process loads one job"));
        }
    };
    let mut parser = Parser { text, at: begin };
    parser.statement()
}

/// Undoes what `mysql --batch` does to an answer: a line break becomes `\n`, a backslash two.
fn unbatched(text: &str) -> Cow<'_, str> {
    // The server begins a line with PROPERTIES, whatever the job.
    if !text.contains("\\nPROPERTIES\\n") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, if letter == '\\' { letters.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('0')) => out.push('\0'),
            ('\\', Some(other)) => out.push(other),
            _ => out.push(letter),
        }
    }
    Cow::Owned(out)
}

/// Where `CREATE ROUTINE LOAD` stands outside of comments and quotes; of `SHOW CREATE ROUTINE LOAD`
/// only the answer counts.
fn beginnings(text: &str) -> Vec<usize> {
    let mut parser = Parser { text, at: 0 };
    let mut begins = vec![];
    let mut after_show = false;
    while parser.at < text.len() {
        let begin = {
            parser.skip_blanks();
            parser.at
        };
        let Ok(Some(token)) = parser.token() else {
            // What surrounds a statement need not be SQL.
            parser.at = begin + text[begin..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let is_show = token.is("SHOW") || (after_show && token.is("ALL"));
        if token.is("CREATE") && !after_show {
            let mut ahead = Parser { text, at: parser.at };
            if ahead.take("ROUTINE") && ahead.take("LOAD") {
                begins.push(begin);
            }
        }
        after_show = is_show;
    }
    begins
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word or number.
    Word(String),
    /// In backticks.
    Name(String),
    /// In quotes, escapes resolved.
    Text(String),
    Symbol(char),
}

impl Token {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// "line 3", for messages.
    fn place(&self) -> String {
        let before = &self.text[..self.at.min(self.text.len())];
        format!("line {}", 1 + before.bytes().filter(|&byte| byte == b'\n').count())
    }

    fn wrong(&self, expected: &str) -> Problem {
        let mut ahead = Parser { text: self.text, at: self.at };
        ahead.skip_blanks();
        let word: String =
            ahead.rest().chars().take_while(|c| !c.is_whitespace()).take(40).collect();
        let found = match word.as_str() {
            "" => "the end".to_owned(),
            word => format!("`{word}`"),
        };
        Problem::usage("the routine load statement cannot be read")
            .cause(format!("expected {expected}, found {found}"))
            .at(ahead.place())
    }

    /// Blanks and comments.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            let comment = match &rest[blank..] {
                line if line.starts_with("--") || line.starts_with('#') => {
                    line.find('\n').unwrap_or(line.len())
                }
                block if block.starts_with("/*") => {
                    block.find("*/").map_or(block.len(), |end| end + 2)
                }
                _ => 0,
            };
            self.at += blank + comment;
            if comment == 0 {
                return;
            }
        }
    }

    fn token(&mut self) -> Result<Option<Token>, Problem> {
        self.skip_blanks();
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        Ok(Some(match first {
            '\'' | '"' => Token::Text(self.quoted(first)?),
            '`' => Token::Name(self.quoted(first)?),
            c if is_word(c) => {
                let word: String = self.rest().chars().take_while(|&c| is_word(c)).collect();
                self.at += word.len();
                Token::Word(word)
            }
            c => {
                self.at += c.len_utf8();
                Token::Symbol(c)
            }
        }))
    }

    /// What stands in quotes, a doubled quote for one, and a backslash for what follows it.
    fn quoted(&mut self, quote: char) -> Result<String, Problem> {
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                if chars.peek().map(|&(_, next)| next) != Some(quote) {
                    self.at += at + quote.len_utf8();
                    return Ok(out);
                }
                chars.next();
                out.push(quote);
            } else if c == '\\' && quote != '`' {
                let Some((_, escaped)) = chars.next() else { break };
                unescape(escaped, &mut out);
            } else {
                out.push(c);
            }
        }
        Err(Problem::usage("the routine load statement cannot be read")
            .cause(format!("a text in {quote} has no end"))
            .at(self.place()))
    }

    fn peek(&self) -> Option<Token> {
        let mut ahead = Parser { text: self.text, at: self.at };
        ahead.token().ok().flatten()
    }

    fn take(&mut self, keyword: &str) -> bool {
        let mut ahead = Parser { text: self.text, at: self.at };
        let taken = matches!(ahead.token(), Ok(Some(token)) if token.is(keyword));
        if taken {
            self.at = ahead.at;
        }
        taken
    }

    fn need(&mut self, keyword: &str) -> Result<(), Problem> {
        if self.take(keyword) { Ok(()) } else { Err(self.wrong(&format!("`{keyword}`"))) }
    }

    fn take_symbol(&mut self, symbol: char) -> bool {
        let mut ahead = Parser { text: self.text, at: self.at };
        let taken = matches!(ahead.token(), Ok(Some(Token::Symbol(found))) if found == symbol);
        if taken {
            self.at = ahead.at;
        }
        taken
    }

    fn need_symbol(&mut self, symbol: char) -> Result<(), Problem> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.wrong(&format!("`{symbol}`"))) }
    }

    fn name(&mut self) -> Result<String, Problem> {
        let mut ahead = Parser { text: self.text, at: self.at };
        match ahead.token()? {
            Some(Token::Word(name) | Token::Name(name)) => {
                self.at = ahead.at;
                Ok(name)
            }
            _ => Err(self.wrong("a name")),
        }
    }

    fn literal(&mut self) -> Result<String, Problem> {
        let mut ahead = Parser { text: self.text, at: self.at };
        match ahead.token()? {
            Some(Token::Text(text)) => {
                self.at = ahead.at;
                Ok(text)
            }
            _ => Err(self.wrong("a text in quotes")),
        }
    }

    /// `a`, `a.b`, `a.b.c`; the last two parts count.
    fn qualified(&mut self) -> Result<(Option<String>, String), Problem> {
        let mut name = self.name()?;
        let mut qualifier = None;
        while self.take_symbol('.') {
            qualifier = Some(std::mem::replace(&mut name, self.name()?));
        }
        Ok((qualifier, name))
    }

    fn statement(&mut self) -> Result<Statement, Problem> {
        for keyword in ["CREATE", "ROUTINE", "LOAD"] {
            self.need(keyword)?;
        }
        let (database, job) = self.qualified()?;
        self.need("ON")?;
        let (of_table, table) = self.qualified()?;
        let database = database.or(of_table).map(without_cluster);
        let mut statement = Statement { database, job, table, ..Statement::default() };
        self.clauses(&mut statement)?;
        if self.take("PROPERTIES") {
            statement.job_properties = self.properties()?;
        }
        self.need("FROM")?;
        statement.source = self.name()?;
        statement.source_properties = self.properties()?;
        Ok(statement)
    }

    /// Older servers print a comma before the first clause too.
    fn clauses(&mut self, statement: &mut Statement) -> Result<(), Problem> {
        loop {
            self.take_symbol(',');
            if self.take("COLUMNS") {
                if self.take("TERMINATED") {
                    self.need("BY")?;
                    statement.column_separator = Some(self.literal()?);
                } else {
                    self.need_symbol('(')?;
                    statement.columns = Some(self.until_close()?);
                }
            } else if self.take("ROWS") {
                self.need("TERMINATED")?;
                self.need("BY")?;
                statement.row_delimiter = Some(self.literal()?);
            } else if self.take("INCLUDE") {
                self.need("METADATA")?;
                statement.metadata = self.metadata()?;
            } else if self.take("WHERE") {
                statement.filter = Some(self.expression()?);
            } else if self.take("TEMPORARY") {
                statement.temporary = true;
            } else if self.take("PARTITION") || self.take("PARTITIONS") {
                statement.partitions = self.names()?;
            } else {
                return Ok(());
            }
        }
    }

    fn names(&mut self) -> Result<Vec<String>, Problem> {
        self.need_symbol('(')?;
        let mut names = vec![self.name()?];
        while self.take_symbol(',') {
            names.push(self.name()?);
        }
        self.need_symbol(')')?;
        Ok(names)
    }

    fn metadata(&mut self) -> Result<Vec<(String, Option<String>)>, Problem> {
        self.need_symbol('(')?;
        let mut items = vec![];
        loop {
            let item = self.name()?;
            let alias = if self.take("AS") { Some(self.name()?) } else { None };
            items.push((item, alias));
            if !self.take_symbol(',') {
                break;
            }
        }
        self.need_symbol(')')?;
        Ok(items)
    }

    /// The text up to the parenthesis that closes the one just read.
    fn until_close(&mut self) -> Result<String, Problem> {
        let mut depth = 0;
        self.raw(|_, token| {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') if depth == 0 => return true,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
            false
        })
        .and_then(|text| self.need_symbol(')').map(|()| text))
    }

    /// An expression up to the next clause.
    fn expression(&mut self) -> Result<String, Problem> {
        let mut depth = 0;
        self.raw(|ahead, token| {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                Token::Symbol(',') if depth == 0 => return ahead.peek().is_some_and(is_clause),
                Token::Word(word) if depth == 0 => {
                    return word.eq_ignore_ascii_case("PROPERTIES")
                        || word.eq_ignore_ascii_case("FROM");
                }
                _ => {}
            }
            false
        })
    }

    /// Source text up to the token that `ends` says, on one line: blanks and comments between tokens
    /// become one blank.
    fn raw(
        &mut self,
        mut ends: impl FnMut(&Parser<'a>, &Token) -> bool,
    ) -> Result<String, Problem> {
        let mut out = String::new();
        loop {
            let before = self.at;
            let mut ahead = Parser { text: self.text, at: self.at };
            ahead.skip_blanks();
            let begin = ahead.at;
            let Some(token) = ahead.token()? else {
                return Err(self.wrong("the rest of the statement"));
            };
            if ends(&ahead, &token) {
                return Ok(out);
            }
            if begin > before && !out.is_empty() {
                out.push(' ');
            }
            out.push_str(&self.text[begin..ahead.at]);
            self.at = ahead.at;
        }
    }

    /// `("key" = "value", …)`.
    fn properties(&mut self) -> Result<Vec<(String, String)>, Problem> {
        self.need_symbol('(')?;
        let mut properties = vec![];
        while !self.take_symbol(')') {
            let key = match self.peek() {
                Some(Token::Text(_)) => self.literal()?,
                _ => self.name()?,
            };
            self.need_symbol('=')?;
            properties.push((key, self.value()?));
            if !self.take_symbol(',') {
                self.need_symbol(')')?;
                break;
            }
        }
        Ok(properties)
    }

    /// A property's value. Servers before 4.1.4 print JSON paths without escaping their quotes, one
    /// property a line: such a value ends with the line's last quote.
    fn value(&mut self) -> Result<String, Problem> {
        let begin = {
            self.skip_blanks();
            self.at
        };
        if let Some(Token::Word(word)) = self.peek() {
            self.token()?;
            return Ok(word);
        }
        let strict = self.literal();
        if strict.is_ok() && self.ends_a_property() {
            return strict;
        }
        let line = self.text[begin..].lines().next().unwrap_or_default().trim_end();
        let quoted = line.trim_end_matches([',', ')', ';', ' ']);
        match quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => {
                self.at = begin + quoted.len();
                Ok(text.to_owned())
            }
            None => {
                self.at = begin;
                strict.and_then(|_| Err(self.wrong("a text in quotes")))
            }
        }
    }

    /// Whether `)`, or `,` and another property, comes next.
    fn ends_a_property(&self) -> bool {
        let mut ahead = Parser { text: self.text, at: self.at };
        match ahead.token() {
            Ok(Some(Token::Symbol(')'))) => true,
            Ok(Some(Token::Symbol(','))) => match ahead.token() {
                Ok(Some(Token::Symbol(')'))) => true,
                Ok(Some(_)) => matches!(ahead.token(), Ok(Some(Token::Symbol('=')))),
                _ => false,
            },
            _ => false,
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_$@".contains(c)
}

fn is_clause(token: Token) -> bool {
    ["COLUMNS", "ROWS", "INCLUDE", "WHERE", "PARTITION", "PARTITIONS", "TEMPORARY"]
        .iter()
        .any(|keyword| token.is(keyword))
}

/// `default_cluster:shop`, as old servers print a database.
fn without_cluster(name: String) -> String {
    match name.rsplit_once(':') {
        Some((_, name)) => name.to_owned(),
        None => name,
    }
}

/// What a backslash and a letter stand for; `\x01` stays as it is, for it is a delimiter's own form.
fn unescape(letter: char, out: &mut String) {
    match letter {
        'n' => out.push('\n'),
        't' => out.push('\t'),
        'r' => out.push('\r'),
        'b' => out.push('\u{8}'),
        '0' => out.push('\0'),
        'Z' => out.push('\u{1a}'),
        'x' | 'X' | '_' | '%' => {
            out.push('\\');
            out.push(letter);
        }
        other => out.push(other),
    }
}
