//! `map --from-routine-load`: a statement in, a configuration out.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::Request;
use crate::cmd::load::read_file;
use crate::config::routine_load::{self, Translation};
use crate::error::Problem;
use crate::report;

/// Translates the file and prints the configuration; what flags say joins it.
pub(super) fn print(path: &Path, request: &Request, json: bool) -> Result<(), Problem> {
    let name = path.display();
    let bytes = read_file(path).map_err(|error| {
        Problem::usage(format!("cannot read `{name}`")).cause(error.to_string())
    })?;
    let mut translation = routine_load::translate(&String::from_utf8_lossy(&bytes))
        .map_err(|problem| problem.at(format!("`{name}`")))?;
    for entry in &request.overrides.keys {
        translation.add(&entry.key, &entry.value);
    }
    if json {
        report::out(&document(&translation).to_string());
        return Ok(());
    }
    report::out(translation.properties_file().trim_end());
    let left = translation.untranslated.len();
    if left > 0 {
        let (are, they) =
            if left == 1 { ("thing differs", "it is") } else { ("things differ", "they are") };
        report::err(&format!(
            "note: {left} {are} from the routine load job; {they} listed at the end of the output"
        ));
    }
    Ok(())
}

fn document(translation: &Translation) -> Value {
    let config: Map<String, Value> =
        translation.keys.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let missing: Map<String, Value> =
        translation.missing.iter().map(|(key, flag)| ((*key).to_owned(), (*flag).into())).collect();
    json!({
        "schema": 1,
        "name": translation.job,
        "config": config,
        "missing": missing,
        "flags": translation.flags,
        "commands": translation.commands,
        "untranslated": translation.untranslated,
    })
}
