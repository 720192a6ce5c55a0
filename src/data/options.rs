//! One component's options, parsed as Kafka's ConfigDef parses them. Knows no key by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::Failure;

/// Options of a converter, transform or predicate, prefix removed.
#[derive(Default)]
pub struct Options {
    values: BTreeMap<String, String>,
    /// Names that the component looked for, whether they were said or not: the others have no effect.
    asked: Mutex<BTreeSet<String>>,
}

/// Names alone: a value may be a password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Clone for Options {
    fn clone(&self) -> Self {
        Options { values: self.values.clone(), ..Options::default() }
    }
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for Options {}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let values = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Options { values, ..Options::default() }
    }
}

impl Options {
    /// The options under `prefix` (which ends in a dot), with the prefix removed.
    pub fn under(&self, prefix: &str) -> Options {
        self.values
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
            .collect()
    }

    /// As written: Debezium's options are not trimmed.
    pub fn raw(&self, key: &str) -> Option<&str> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.contains(key) {
            asked.insert(key.to_owned());
        }
        self.values.get(key).map(String::as_str)
    }

    /// The options said that nobody has looked at since these were made.
    pub fn unread(&self) -> Vec<&str> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.values.keys().map(String::as_str).filter(|key| !asked.contains(*key)).collect()
    }

    /// The names looked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Type STRING: trimmed.
    pub fn string(&self, key: &str) -> Option<&str> {
        self.raw(key).map(java_trim)
    }

    pub fn required(&self, key: &str) -> Result<&str, Failure> {
        self.string(key).ok_or_else(|| missing(key))
    }

    /// A required STRING that must not be empty.
    pub fn required_text(&self, key: &str) -> Result<&str, Failure> {
        match self.required(key)? {
            "" => Err(Failure::option(key, "", "String must be non-empty")),
            text => Ok(text),
        }
    }

    /// Type LIST; absent is empty.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.raw(key).map(parse_list).unwrap_or_default()
    }

    /// A required LIST that must not be empty.
    pub fn required_list(&self, key: &str) -> Result<Vec<String>, Failure> {
        self.raw(key).ok_or_else(|| missing(key))?;
        match self.list(key) {
            list if list.is_empty() => Err(Failure::option(key, "[]", "Empty list")),
            list => Ok(list),
        }
    }

    /// Type BOOLEAN.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, Failure> {
        match self.string(key) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => {
                Err(Failure::option(key, text, "Expected value to be either true or false"))
            }
        }
    }

    /// Type INT.
    pub fn int(&self, key: &str) -> Result<Option<i32>, Failure> {
        let Some(text) = self.string(key) else { return Ok(None) };
        let number =
            text.parse().map_err(|_| Failure::option(key, text, "Not a number of type INT"))?;
        Ok(Some(number))
    }

    /// A STRING that must be one of `choices`: (text, meaning), letters in either case.
    pub fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        default: T,
    ) -> Result<T, Failure> {
        let Some(text) = self.string(key) else { return Ok(default) };
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let why = format!("String must be one of (case insensitive): {}", names.join(", "));
            Failure::option(key, text, &why)
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// ConfigDef's LIST: trimmed, split at commas with the blanks around them; empty elements stay.
pub fn parse_list(text: &str) -> Vec<String> {
    match java_trim(text) {
        "" => Vec::new(),
        text => text.split(',').map(|part| part.trim_matches(is_regex_space).to_string()).collect(),
    }
}

fn missing(key: &str) -> Failure {
    Failure::config(format!("Missing required configuration \"{key}\" which has no default value."))
}

/// What `String.trim` removes: every character up to the blank.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// What `\s` means to Java.
fn is_regex_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_empty_and_trailing_elements() {
        assert_eq!(parse_list("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(parse_list(" a,,b, "), ["a", "", "b", ""]);
        assert_eq!(parse_list("  "), Vec::<String>::new());
    }

    #[test]
    fn a_boolean_is_true_or_false_and_nothing_else() {
        let options: Options = [("a", " TRUE "), ("b", "yes")].into_iter().collect();
        assert_eq!(options.boolean("a", false), Ok(true));
        assert_eq!(options.boolean("none", true), Ok(true));
        assert!(options.boolean("b", false).is_err());
    }

    #[test]
    fn an_option_that_nobody_looked_for_is_unread() {
        let options: Options = [("a", "1"), ("b", "2"), ("c", "3")].into_iter().collect();
        assert_eq!((options.string("a"), options.list("d")), (Some("1"), vec![]));
        assert!(options.boolean("b", true).is_err());
        assert_eq!(options.unread(), ["c"]);
        assert_eq!(options.asked(), ["a", "b", "d"]);
    }

    #[test]
    fn a_prefix_selects_one_components_options() {
        let all: Options = [("t.a.x", "1"), ("t.ab.x", "2"), ("u", "3")].into_iter().collect();
        assert_eq!(all.under("t.a.").iter().collect::<Vec<_>>(), [("x", "1")]);
    }
}
