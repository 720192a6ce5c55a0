//! Keys that stand beside transforms and predicates and that nobody reads: misspelt options, aliases that
//! no list names.

use crate::data::options::Options;

/// A key of the configuration that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    pub key: String,
    pub why: String,
    /// Keys that would have been read, set or not.
    pub read: Vec<String>,
}

impl Idle {
    /// The options under `prefix` that their component did not look at.
    pub(super) fn options(
        options: &Options,
        prefix: &str,
        class: &str,
    ) -> impl Iterator<Item = Idle> {
        let read: Vec<String> =
            options.asked().into_iter().map(|name| format!("{prefix}{name}")).collect();
        options.unread().into_iter().map(move |name| Idle {
            key: format!("{prefix}{name}"),
            why: format!("{class} does not read it"),
            read: read.clone(),
        })
    }

    /// The first option of each alias under `list` that `list` does not name.
    pub(super) fn aliases(config: &Options, list: &'static str) -> Vec<Idle> {
        let aliases = config.list(list);
        let prefix = format!("{list}.");
        let mut idle: Vec<(String, Idle)> = vec![];
        for (key, _) in config.iter() {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            let is_of = |alias: &String| {
                rest.strip_prefix(alias.as_str()).is_some_and(|option| option.starts_with('.'))
            };
            let alias = rest.split('.').next().unwrap_or_default();
            if aliases.iter().any(is_of) || idle.iter().any(|(known, _)| known == alias) {
                continue;
            }
            let why = format!("`{list}` does not list `{alias}`");
            idle.push((alias.to_owned(), Idle { key: key.to_owned(), why, read: vec![] }));
        }
        idle.into_iter().map(|(_, idle)| idle).collect()
    }
}
