//! Records that the table cannot take.

use super::Case;

pub(super) const CASES: &[Case] = &[];
