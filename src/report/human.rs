//! Texts for a person: errors, warnings, the summary. Pure: strings out.

use crate::error::{Problem, is_unseen};
use crate::event::{Audited, Load, Reasoned, Refused, Started, Summary, TableProgress};
use crate::record::OffsetRange;
use crate::report::units::{bytes, bytes_per_second, counted, grouped, rows_per_second, time};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// `error:`, its causes, its places, its hints.
pub fn problem(problem: &Problem, color: bool) -> String {
    let mut text = format!("{} {}", painted("error:", RED, color), safe(&problem.what));
    for cause in &problem.causes {
        text.push_str(&format!("\n  cause: {}", safe(cause)));
    }
    if !problem.at.is_empty() {
        text.push_str(&format!("\n  at: {}", safe(&problem.at.join(" · "))));
    }
    for hint in problem.hints.iter().take(2) {
        text.push_str(&format!("\n{} {}", painted("hint:", CYAN, color), safe(hint)));
    }
    text
}

/// `warning:` and its hint.
pub fn warning(text: &str, hint: Option<&str>, color: bool) -> String {
    let mut line = format!("{} {}", painted("warning:", YELLOW, color), safe(text));
    if let Some(hint) = hint {
        line.push_str(&format!("\n{} {}", painted("hint:", CYAN, color), safe(hint)));
    }
    line
}

/// One line at the start: what is read, where it goes, what is promised.
pub fn started(started: &Started) -> String {
    let list = |names: &[String]| match names {
        [] => "nothing".to_string(),
        names if names.len() <= 4 => names.join(", "),
        names => format!("{} and {} more", names[..3].join(", "), names.len() - 3),
    };
    let line = format!(
        "loading {} ({} {}) into {} as group `{}`: {}",
        list(&started.topics),
        started.partitions,
        if started.partitions == 1 { "partition" } else { "partitions" },
        list(&started.tables),
        started.group,
        started.guarantee
    );
    safe(&line)
}

/// One committed load, for `-v`.
pub fn load(load: &Load) -> String {
    let filtered = match load.filtered {
        0 => String::new(),
        count => format!(", {} filtered by StarRocks", grouped(count)),
    };
    format!(
        "loaded {} rows, {} into {} under `{}`{filtered}",
        grouped(load.rows),
        bytes(load.bytes),
        load.table,
        load.label
    )
}

/// One label found pending at the start, for `-v`.
pub fn settled(audited: &Audited) -> String {
    format!(
        "found pending: label `{}` of {} is {}",
        audited.label,
        ranges_text(&audited.ranges),
        audited.state
    )
}

/// One record that was set aside or skipped.
pub fn refused(refused: &Refused) -> String {
    let done = if refused.is_set_aside { "set aside" } else { "skipped" };
    let excerpt = refused.excerpt.iter().map(|text| format!(": {text}"));
    let text = format!("{done} {}: {}", refused.place, reason(&refused.reason));
    safe(&std::iter::once(text).chain(excerpt).collect::<String>())
}

/// What could not be done and why, on one line.
fn reason(reason: &Reasoned) -> String {
    let cause = reason.cause.iter().map(|cause| format!(" ({cause})"));
    std::iter::once(reason.what.clone()).chain(cause).collect()
}

/// The table at the end of a run.
pub fn summary(summary: &Summary) -> String {
    let head =
        ["table", "rows loaded", "set aside", "skipped", "filtered", "bytes", "loads", "time", ""];
    let mut rows = vec![head.map(String::from)];
    if summary.dry_run {
        rows[0][1] = "rows".into();
    }
    rows.extend(summary.tables.iter().map(|table| row(table, "")));
    let total = |get: fn(&TableProgress) -> u64| summary.tables.iter().map(get).sum::<u64>();
    let all = TableProgress {
        table: "total".into(),
        rows: total(|table| table.rows),
        bytes: total(|table| table.bytes),
        loads: total(|table| table.loads),
        filtered_rows: total(|table| table.filtered_rows),
        filtered: total(|table| table.filtered),
        set_aside: total(|table| table.set_aside).max(summary.set_aside),
        skipped: total(|table| table.skipped).max(summary.skipped),
        busy: summary.elapsed,
        ..TableProgress::default()
    };
    let rate = format!(
        "{}   {}",
        rows_per_second(all.rows, summary.elapsed),
        bytes_per_second(all.bytes, summary.elapsed)
    );
    rows.push(row(&all, &rate));
    let mut text = aligned(&rows);
    if all.filtered_rows > 0 {
        text.push_str(&format!(
            "\nleft out: {} by StarRocks (`max_filter_ratio`, `where`)",
            counted(all.filtered_rows, "row")
        ));
    }
    if summary.filtered > summary.repeated {
        text.push_str(&format!(
            "\nfiltered: {} without a value or dropped by a transform",
            counted(summary.filtered - summary.repeated, "record")
        ));
    }
    if summary.repeated > 0 {
        text.push_str(&format!(
            "\nrepeated: {} of records that other letters of this run hold as well",
            counted(summary.repeated, "dead letter")
        ));
    }
    text.push_str(&not_loaded(summary));
    if summary.already_loaded > 0 {
        text.push_str(&format!(
            "\nalready loaded: {} records of a batch that an earlier run had loaded in part",
            grouped(summary.already_loaded)
        ));
    }
    if summary.dry_run {
        text.push_str(&format!(
            "\ndry run: {} records read, nothing loaded, no offset moved",
            grouped(summary.read)
        ));
        return text;
    }
    text.push('\n');
    text.push_str(&match summary.committed.as_slice() {
        [] if summary.done_before => "nothing left to load: an earlier run of the same command \
            loaded everything it asked for\nhint: `--restart` loads it again"
            .to_string(),
        [] if summary.interrupted || summary.left_pending => "nothing was committed".to_string(),
        [] if !summary.settled.is_empty() => "nothing new was loaded".to_string(),
        [] => "nothing new to load".to_string(),
        ranges => format!("committed: {}", ranges_text(ranges)),
    });
    if !summary.settled.is_empty() {
        text.push_str(&format!(
            "\nsettled: {}, left pending by an earlier run",
            ranges_text(&summary.settled)
        ));
    }
    if summary.left_pending {
        text.push_str("\npending: the last batch; the next run settles it first, nothing is lost");
    }
    text
}

/// Records that could not be loaded: where they are, and why.
fn not_loaded(summary: &Summary) -> String {
    const MOST: usize = 10;
    let mut text = String::new();
    let bad = summary.set_aside + summary.skipped;
    if bad == 0 {
        return text;
    }
    let records = if bad == 1 { "record" } else { "records" };
    text.push_str(&match &summary.dead_letters {
        None if summary.dry_run => {
            format!("\ncannot be loaded: {} {records}", grouped(bad))
        }
        Some(place) => format!("\nset aside: {} {records} in {place}", grouped(bad)),
        None => format!("\nskipped: {} {records} that could not be loaded", grouped(bad)),
    });
    if summary.extra_loads > 0 {
        text.push_str(&format!(
            "; {} went into finding those that StarRocks rejects",
            counted(summary.extra_loads, "load")
        ));
    }
    for reason in summary.reasons.iter().take(MOST) {
        text.push_str(&format!(
            "\n  {} × {}; the first is {}",
            grouped(reason.count),
            safe(&self::reason(reason)),
            reason.first
        ));
    }
    if summary.reasons.len() > MOST {
        text.push_str(&format!("\n  and {} reasons more", summary.reasons.len() - MOST));
    }
    text
}

fn row(table: &TableProgress, rate: &str) -> [String; 9] {
    [
        table.table.clone(),
        grouped(table.rows),
        grouped(table.set_aside),
        grouped(table.skipped),
        grouped(table.filtered + table.filtered_rows),
        bytes(table.bytes),
        grouped(table.loads),
        time(table.busy),
        rate.into(),
    ]
}

/// Columns side by side, the first to the left, the others to the right.
fn aligned(rows: &[[String; 9]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| console_width(&row[column])).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..9).map(width).collect();
    let line = |row: &[String; 9]| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - console_width(cell));
            match column {
                0 => line.push_str(&format!("{cell}{pad}")),
                _ => line.push_str(&format!("   {pad}{cell}")),
            }
        }
        line.trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Columns a text takes in a terminal.
pub(super) fn console_width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// `orders 0–5, users 0, 2`, with offsets where there are few.
fn ranges_text(ranges: &[OffsetRange]) -> String {
    const MOST: usize = 12;
    let each: Vec<String> = ranges.iter().take(MOST).map(ToString::to_string).collect();
    match ranges.len() {
        count if count <= MOST => each.join(", "),
        count => format!("{} and {} more partitions", each.join(", "), count - MOST),
    }
}

pub(super) fn painted(text: &str, color: &str, on: bool) -> String {
    if on { format!("{color}{text}{PLAIN}") } else { text.into() }
}

/// Characters that control a terminal, or the order it shows letters in, must not reach it.
pub(super) fn safe(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Kind;
    use crate::record::{Offset, Partition};

    #[test]
    fn what_controls_a_terminal_or_turns_its_text_is_not_printed() {
        assert_eq!(safe("a\u{1b}[2Jb\u{202e}c\u{2066}d\u{200b}e"), "a�[2Jb�c�d�e");
        let plain = "é 日本 می\u{200c}خواهم";
        assert_eq!(safe(plain), plain);
    }

    #[test]
    fn an_error_has_its_parts_in_order() {
        let text = problem(
            &Problem::new(Kind::Usage, "topic `ordres` does not exist")
                .cause("server \x1b[31mtext")
                .at("f:1 `topics`")
                .hint("did you mean `orders`?"),
            false,
        );
        assert_eq!(
            text,
            "error: topic `ordres` does not exist\n  cause: server \u{fffd}[31mtext\n  \
             at: f:1 `topics`\nhint: did you mean `orders`?"
        );
    }

    #[test]
    fn a_summary_lines_up() {
        let table = TableProgress {
            table: "shop.orders".into(),
            rows: 11_402_118,
            bytes: 2_040_109_465,
            loads: 31,
            set_aside: 14,
            filtered: 2,
            busy: Duration::from_millis(27_400),
            ..TableProgress::default()
        };
        let range = OffsetRange {
            partition: Partition::new("orders", 0),
            first: Offset(0),
            next: Offset(11_402_120),
        };
        let text = summary(&Summary {
            tables: vec![table],
            elapsed: Duration::from_millis(27_600),
            filtered: 2,
            set_aside: 14,
            dead_letters: Some("topic `orders.dlq`".into()),
            reasons: vec![Reasoned {
                stage: "VALUE_CONVERTER".into(),
                what: "a record is not one JSON object".into(),
                table: None,
                count: 14,
                first: "orders[2]@918245".into(),
                cause: Some("expected `,`".into()),
            }],
            committed: vec![range],
            ..Summary::default()
        });
        let expect = "\
table         rows loaded   set aside   skipped   filtered     bytes   loads     time
shop.orders    11 402 118          14         0          2   1.9 GiB      31   27.4 s
total          11 402 118          14         0          2   1.9 GiB      31   27.6 s   413k rows/s   70.5 MiB/s
filtered: 2 records without a value or dropped by a transform
set aside: 14 records in topic `orders.dlq`
  14 × a record is not one JSON object (expected `,`); the first is orders[2]@918245
committed: orders[0]@0..11402120";
        assert_eq!(text, expect);
    }

    #[test]
    fn nothing_to_do_says_so() {
        assert!(summary(&Summary::default()).ends_with("nothing new to load"));
        let text = summary(&Summary { done_before: true, ..Summary::default() });
        assert!(text.contains("an earlier run of the same command") && text.contains("--restart"));
        let range = OffsetRange {
            partition: Partition::new("orders", 0),
            first: Offset(5),
            next: Offset(9),
        };
        let text = summary(&Summary { settled: vec![range], ..Summary::default() });
        assert!(text.contains("\nnothing new was loaded\nsettled: orders[0]@5..9"), "{text}");
    }
}
