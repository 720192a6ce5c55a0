//! Keys that stand beside transforms and predicates and that nobody reads: misspelt options, aliases that
//! no list names.

use crate::data::options::Options;

/// A key of the configuration that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// What the component's keys begin with, the dot included.
    pub prefix: String,
    /// The rest of the key.
    pub name: String,
    pub why: String,
    /// Names that would have been read behind the prefix, set or not.
    pub read: Vec<String>,
}

impl Idle {
    /// The options under `prefix` that their component did not look at.
    pub(super) fn options(
        options: &Options,
        prefix: &str,
        class: &str,
    ) -> impl Iterator<Item = Idle> {
        options.unread().into_iter().map(move |name| Idle {
            prefix: prefix.to_owned(),
            name: name.to_owned(),
            why: format!("{class} does not read it"),
            read: options.asked(),
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
            let (prefix, name) = (prefix.clone(), rest.to_owned());
            idle.push((alias.to_owned(), Idle { prefix, name, why, read: vec![] }));
        }
        idle.into_iter().map(|(_, idle)| idle).collect()
    }
}
