//! Replies as the backend prints them: JSON with four spaces, fields in a fixed order.

use serde_json::Value;

use crate::http::{JSON, Reply};

/// Fields in the order they are printed.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0.push((name, value.into()));
        self
    }

    pub(crate) fn reply(&self) -> Reply {
        let lines: Vec<String> =
            self.0.iter().map(|(name, value)| format!("    \"{name}\": {value}")).collect();
        Reply::new(200, JSON, format!("{{\n{}\n}}", lines.join(",\n")))
    }
}
