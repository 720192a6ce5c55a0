//! Which of bars, lines, JSON and nothing a run shows: one pure function.

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    Bars,
    Lines,
    Json,
    Nothing,
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    pub json: bool,
    pub no_progress: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub stderr_is_terminal: bool,
    /// `CI` is set, or `TERM` is `dumb`.
    pub ci: bool,
}

/// Chooses.
pub fn display(given: Given) -> Display {
    match given {
        Given { json: true, .. } => Display::Json,
        Given { quiet: true, .. } | Given { no_progress: true, .. } => Display::Nothing,
        // Steps scroll by: bars under them would only flicker.
        Given { stderr_is_terminal: true, ci: false, verbose: false, .. } => Display::Bars,
        _ => Display::Lines,
    }
}

/// Whether to colour: asked for, or a terminal and no `NO_COLOR`.
pub fn color(asked: Option<bool>, no_color: bool, is_terminal: bool) -> bool {
    asked.unwrap_or(is_terminal && !no_color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        for bits in 0..64_u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            let given = Given {
                json: bit(0),
                no_progress: bit(1),
                quiet: bit(2),
                verbose: bit(3),
                stderr_is_terminal: bit(4),
                ci: bit(5),
            };
            let expect = if given.json {
                Display::Json
            } else if given.quiet || given.no_progress {
                Display::Nothing
            } else if given.stderr_is_terminal && !given.ci && !given.verbose {
                Display::Bars
            } else {
                Display::Lines
            };
            assert_eq!(display(given), expect, "{given:?}");
        }
    }

    #[test]
    fn colour_needs_a_terminal_or_an_order() {
        assert!(color(None, false, true));
        assert!(!color(None, true, true));
        assert!(!color(None, false, false));
        assert!(color(Some(true), true, false));
        assert!(!color(Some(false), false, true));
    }
}
