//! Topic patterns with Java's meaning: the whole name must match.
//!
//! Owns what no pattern means; Java's syntax is `java_regex.rs`'s, which topics exist is `kafka/`'s.

use std::fmt;
use std::sync::Arc;

use crate::java_regex::JavaRegex;

/// A compiled `topics.regex`.
#[derive(Clone)]
pub struct TopicPattern {
    source: String,
    regex: Arc<JavaRegex>,
}

/// Topics of Kafka itself, which no pattern means.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

impl TopicPattern {
    /// Compiles Java's text, or says what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let regex = JavaRegex::compile(source).map_err(|failure| failure.message)?;
        Ok(TopicPattern { source: source.to_owned(), regex: Arc::new(regex) })
    }

    /// Whether the pattern means this topic. A name that exhausts the matcher counts as no match.
    pub fn is_match(&self, topic: &str) -> bool {
        !INTERNAL.contains(&topic) && self.regex.is_full_match(topic)
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
        let why = TopicPattern::new("orders(").expect_err("it is not closed");
        assert!(why.contains("parenthesis") && !why.contains("orders("), "{why}");
    }
}
