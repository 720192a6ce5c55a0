//! Text tables that line up in a terminal, with wide letters too, and fit its width. Owns layout; the
//! cells are the caller's.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::error::is_unseen;

/// Blanks between columns.
const GAP: usize = 2;
/// No column is cut below this width.
const LEAST: usize = 8;

/// Rows under a header, one line each.
#[derive(Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Table { header: header.iter().map(|&name| name.to_owned()).collect(), rows: vec![] }
    }

    /// As many cells as the header has names. Control characters are shown as `␀` and its kin.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns that a terminal needs to show every cell whole.
    pub fn natural_width(&self) -> usize {
        self.widths().iter().sum::<usize>() + GAP * self.header.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }

    /// The lines, each indented by `indent` blanks. `width` is the terminal's; without one nothing is
    /// cut.
    pub fn lines(&self, indent: usize, width: Option<usize>) -> Vec<String> {
        let mut widths = self.widths();
        if let Some(width) = width {
            fit(&mut widths, width.saturating_sub(indent));
        }
        let line = |cells: &Vec<String>| {
            let mut line = " ".repeat(indent);
            for (at, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                let cell = cut(cell, width);
                line.push_str(&cell);
                if at + 1 < cells.len() {
                    line.push_str(&" ".repeat(width - cell.width() + GAP));
                }
            }
            line.trim_end().to_owned()
        };
        std::iter::once(&self.header).chain(&self.rows).map(line).collect()
    }
}

/// Takes from the widest column until the sum fits.
fn fit(widths: &mut [usize], most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().filter(|width| **width > LEAST).max() {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

/// The text in at most `width` columns, `…` for what is left out.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let more = letter.width().unwrap_or(0);
        // One column is for the mark.
        if used + more + 1 > width {
            break;
        }
        out.push(letter);
        used += more;
    }
    out.push('…');
    out
}

/// One line that cannot move the cursor.
pub fn printable(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}'),
        '\x7f' => '␡',
        other if is_unseen(other) => '\u{fffd}',
        other => other,
    };
    text.chars().map(shown).collect()
}

/// A text on as many lines as `width` columns ask for, those after the first indented by `hang`.
pub fn wrapped(text: &str, width: usize, hang: usize) -> Vec<String> {
    // Half a line is the least that anybody can read.
    let hang = hang.min(width / 2);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for letter in text.chars() {
        let more = letter.width().unwrap_or(0);
        if used + more > width && used > hang {
            lines.push(" ".repeat(hang));
            used = hang;
        }
        lines.last_mut().expect("there is one").push(letter);
        used += more;
    }
    lines
}

/// A text that begins in column `at`, on as many lines as `width` columns ask for, broken between words
/// where that is possible; lines after the first begin in column `hang`.
pub fn filled(text: &str, at: usize, hang: usize, width: usize) -> String {
    // Half a line is the least that anybody can read.
    let hang = hang.min(width / 2);
    let mut out = String::new();
    let mut used = at;
    let next_line = |out: &mut String, used: &mut usize| {
        out.push_str(&format!("\n{:hang$}", ""));
        *used = hang;
    };
    for (number, word) in text.split(' ').enumerate() {
        let blank = usize::from(number > 0);
        if used + blank + word.width() > width && used > hang {
            next_line(&mut out, &mut used);
        } else if blank > 0 {
            out.push(' ');
            used += 1;
        }
        for letter in word.chars() {
            let more = letter.width().unwrap_or(0);
            if used + more > width && used > hang {
                next_line(&mut out, &mut used);
            }
            out.push(letter);
            used += more;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_by_columns_and_lose_nothing() {
        assert_eq!(wrapped("short", 10, 2), ["short"]);
        assert_eq!(wrapped("0123456789abcdefghi", 10, 2), ["0123456789", "  abcdefgh", "  i"]);
        assert_eq!(wrapped("北京北京北京", 5, 1), ["北京", " 北京", " 北京"]);
        // However narrow the terminal, it ends.
        assert_eq!(wrapped("北京", 1, 9), ["北", "京"]);
    }

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table = Table::new(&["a", "bb", "c"]);
        rows.iter().for_each(|row| table.row(row.map(str::to_owned).to_vec()));
        table
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let table = table(&[["城市", "x", "1"], ["city", "地址", "2"]]);
        assert_eq!(table.lines(1, None), [" a     bb    c", " 城市  x     1", " city  地址  2"]);
    }

    #[test]
    fn a_table_fits_the_terminal_and_the_widest_column_gives() {
        let long = "一二三四五六七八九十".repeat(2);
        let table = table(&[["id", &long, "ok"]]);
        for width in [60, 40, 25, 20] {
            for line in table.lines(2, Some(width)) {
                assert!(line.width() <= width, "{} > {width}: {line}", line.width());
            }
        }
        assert!(table.lines(0, Some(20))[1].contains('…'));
        assert!(!table.lines(0, None)[1].contains('…'));
    }

    #[test]
    fn nothing_in_a_cell_moves_the_cursor() {
        let table = table(&[["a\nb", "\u{1b}[31m", "\u{202e}x\u{9b}"]]);
        assert_eq!(table.lines(0, None)[1], "a␊b  ␛[31m  \u{fffd}x\u{fffd}");
    }

    #[test]
    fn a_cut_text_has_the_width_asked_for() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("中文字", 4), "中…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
