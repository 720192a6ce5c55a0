//! Which table a topic's rows go to: the map first, then the topic's own name.

use crate::config::job::Routes;

/// The table for `topic`.
pub fn table<'a>(routes: &'a Routes, topic: &'a str) -> &'a str {
    let mapped = routes.map.iter().find(|(from, _)| from == topic);
    mapped.map_or(topic, |(_, table)| table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_without_a_mapping_names_its_table() {
        let routes = Routes { map: vec![("a".into(), "t".into()), ("b".into(), "t".into())] };
        assert_eq!(table(&routes, "a"), "t");
        assert_eq!(table(&routes, "b"), "t");
        assert_eq!(table(&routes, "c"), "c");
    }
}
