//! Topic patterns with Java's meaning: the whole name must match, and look-around, possessive
//! quantifiers and `\Q…\E` are understood.
//!
//! Owns the translation of Java's syntax; which topics exist is `kafka/`'s business.

use std::fmt;

/// A compiled `topics.regex`.
#[derive(Clone)]
pub struct TopicPattern {
    source: String,
    whole: fancy_regex::Regex,
}

/// Topics of Kafka itself, which no pattern means.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Steps back the matcher may take on one name; a name has 249 letters at most.
const BACKTRACK_LIMIT: usize = 10_000_000;

impl TopicPattern {
    /// Compiles Java's text, or says what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let text = format!("^(?:{})$", to_rust(source));
        // Java's `\w`, `\d` and `\s` know ASCII only, and so do the names of topics: no difference.
        let whole = fancy_regex::RegexBuilder::new(&text)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
            .map_err(|error| reason(&error))?;
        Ok(TopicPattern { source: source.to_owned(), whole })
    }

    /// Whether the pattern means this topic. A name that exhausts the matcher counts as no match.
    pub fn is_match(&self, topic: &str) -> bool {
        !INTERNAL.contains(&topic) && self.whole.is_match(topic).unwrap_or(false)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn reason(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
}

/// Rewrites what Java writes differently: `\Q…\E`, `\p{Alpha}` and its kin, `\h`, `\R`, `\Z`.
fn to_rust(java: &str) -> String {
    let mut rust = String::new();
    let mut rest = java;
    while let Some(at) = rest.find('\\') {
        rust.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            rust.push_str(&fancy_regex::escape(literal));
            rest = after;
        } else if let Some((written, meant)) =
            ESCAPES.iter().find(|(java, _)| rest.starts_with(java))
        {
            rust.push_str(meant);
            rest = &rest[written.len()..];
        } else {
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            rust.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    rust.push_str(rest);
    rust
}

/// Java's escapes and the same in Rust's syntax; those in braces are legal inside a class too.
const ESCAPES: [(&str, &str); 13] = [
    ("\\p{Alpha}", "[[:alpha:]]"),
    ("\\p{Alnum}", "[[:alnum:]]"),
    ("\\p{Digit}", "[[:digit:]]"),
    ("\\p{Lower}", "[[:lower:]]"),
    ("\\p{Upper}", "[[:upper:]]"),
    ("\\p{Punct}", "[[:punct:]]"),
    ("\\p{Space}", "[[:space:]]"),
    ("\\p{XDigit}", "[[:xdigit:]]"),
    ("\\p{ASCII}", "[[:ascii:]]"),
    ("\\h", "[ \\t]"),
    ("\\R", "(?:\\r\\n|[\\n\\r])"),
    ("\\Z", "\\z"),
    ("\\e", "\\x1B"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = TopicPattern::new(pattern).expect("the pattern is legal in Java");
        for topic in matching {
            assert!(pattern.is_match(topic), "{topic} should match");
        }
        for topic in others {
            assert!(!pattern.is_match(topic), "{topic} should not match");
        }
    }

    #[test]
    fn the_whole_name_must_match() {
        check("orders|users", &["orders", "users"], &["orders2", "x.users", "order"]);
        check("^orders.*", &["orders", "orders-eu"], &["my-orders"]);
    }

    #[test]
    fn look_ahead_and_possessive_quantifiers_work() {
        check("(?!dlq-).*", &["orders"], &["dlq-a"]);
        check("[a-z]++-\\d+", &["orders-12"], &["orders-", "-12"]);
    }

    #[test]
    fn quoting_and_posix_names_work() {
        check("\\Qa.b\\E.*", &["a.b", "a.bc"], &["axb"]);
        check("\\p{Upper}[\\p{Alnum}_]*", &["A_1"], &["a1"]);
        check("\\w+", &["abc_1"], &["a-b"]);
    }

    #[test]
    fn no_pattern_means_kafka_s_own_topics() {
        check(".*", &["orders", "__mine"], &["__consumer_offsets", "__transaction_state"]);
    }

    #[test]
    fn a_broken_pattern_says_why() {
        assert!(TopicPattern::new("orders(").is_err());
    }
}
