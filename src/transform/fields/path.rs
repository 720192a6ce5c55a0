//! Field paths of `field.syntax.version=V2`: steps parted by dots, backticks around a step with dots.

use crate::data::Failure;

/// The steps of a path.
pub(super) fn steps(path: &str) -> Result<Vec<String>, Failure> {
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        let (step, behind) = match rest.strip_prefix('`') {
            Some(quoted) => backticked(quoted).ok_or_else(|| {
                Failure::config(format!(
                    "Incomplete backtick pair in path: [{path}], consider adding a backslash \
                     before backtick at position {} to escape it",
                    path.len() - rest.len()
                ))
            })?,
            None => match rest.split_once('.') {
                Some((step, behind)) => (step.to_string(), Some(behind)),
                None => (rest.to_string(), None),
            },
        };
        steps.push(step);
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(steps),
        }
    }
}

/// A step in backticks and what follows its dot. It ends at the first backtick that stands before
/// a dot or the end and has no backslash; the backslash itself is dropped.
fn backticked(text: &str) -> Option<(String, Option<&str>)> {
    let mut step = String::new();
    for (at, c) in text.char_indices() {
        let behind = &text[at + c.len_utf8()..];
        let closes = c == '`' && (behind.is_empty() || behind.starts_with('.'));
        if !closes {
            step.push(c);
        } else if step.ends_with('\\') {
            step.pop();
            step.push('`');
        } else {
            return Some((step, behind.strip_prefix('.')));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expect: &[&str]) {
        assert_eq!(steps(path).expect("a path"), expect, "{path}");
    }

    #[test]
    fn dots_part_steps_and_backticks_hold_them_together() {
        check("a", &["a"]);
        check("a.b.c", &["a", "b", "c"]);
        check("`a.b`.c", &["a.b", "c"]);
        check("`a`b`.c", &["a`b", "c"]);
        check(r"`a\`.b`.c", &["a`.b", "c"]);
        check("a`b.c", &["a`b", "c"]);
        assert!(steps("`a.b").is_err());
    }
}
