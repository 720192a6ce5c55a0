//! `docs/CONFIG.md` is generated here from the table of keys; `UPDATE=1` writes it anew.

use starsink::cli::VARIABLES;
use starsink::config::keys::{KEYS, Key, Status, Type};
use starsink::kafka::names;

/// `docs/CONFIG.md`, from the table.
fn config_md() -> String {
    let mut text = include_str!("../fixtures/config_md/head.md").to_owned();
    for key in KEYS {
        let default = match (key.default, key.kind) {
            (Some(""), _) | (None, _) => "–".to_owned(),
            (Some(default), _) => format!("`{default}`"),
        };
        text.push_str(&format!(
            "| `{}` | {} | {default} | {} | {} |\n",
            key.name,
            kind(key),
            status(key),
            key.doc
        ));
    }
    text.push_str(include_str!("../fixtures/config_md/consumer.md"));
    for (name, fate) in names::known_properties() {
        text.push_str(&format!("| `{name}` | {fate} |\n"));
    }
    text.push_str(include_str!("../fixtures/config_md/tail.md"));
    for (name, meaning) in VARIABLES {
        text.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    text
}

fn kind(key: &Key) -> String {
    match key.kind {
        Type::Text => "text".to_owned(),
        Type::Password => "secret".to_owned(),
        Type::List => "list".to_owned(),
        Type::Boolean => "`true`, `false`".to_owned(),
        Type::Class => "class".to_owned(),
        Type::Integer { least, most: i64::MAX | 2_147_483_647 | 32_767 } => {
            format!("number from {least}")
        }
        Type::Integer { least, most } => format!("{least} to {most}"),
        Type::OneOf(values) => {
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        }
    }
}

fn status(key: &Key) -> String {
    match key.status {
        Status::Honoured => "honoured".to_owned(),
        Status::Translated => "translated".to_owned(),
        Status::Ignored(why) => format!("ignored: {why}"),
        Status::Refused(instead) => format!("refused: {instead}"),
    }
}

#[test]
fn config_md_is_current() {
    crate::cli::check_generated("docs/CONFIG.md", &config_md());
}
