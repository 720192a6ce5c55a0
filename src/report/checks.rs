//! How `check` is shown: a line a check under the heading of its group, a sum at the end; or JSON.
//! Pure: strings out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::report::human::{console_width, painted, safe};
use crate::report::json::stamped;
use crate::report::table::filled;
use crate::report::units::{counted, grouped};
use crate::verdict::{Line, Verdict};

const RED: &str = "\x1b[1;31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const BOLD: &str = "\x1b[1m";

/// Subjects are padded to this width, longer ones are not cut.
const SUBJECT_WIDTH: usize = 30;
/// Columns before a subject.
const VERDICT: usize = 8;
/// Columns before what stands below a check.
const BELOW: usize = 10;
/// A reason in fewer columns than this goes below its subject.
const NARROWEST: usize = 30;

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub ok: usize,
    pub warn: usize,
    pub fail: usize,
    pub skip: usize,
}

/// What a load of this configuration would do now, where it could be found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    pub topics: Vec<String>,
    pub tables: Vec<String>,
    /// Offsets to read and offsets there are; `None` where Kafka did not say.
    pub offsets: Option<(u64, u64)>,
    /// A batch is pending: what of it is loaded is not known before it is settled.
    pub settles_first: bool,
    pub promise: Option<&'static str>,
}

/// Which of a line's parts are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub color: bool,
    /// Details too (`-v`).
    pub verbose: bool,
    /// The terminal's; without one a check's verdict and reason stand in one line, however long.
    pub width: Option<usize>,
}

impl Count {
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Skip => self.skip += 1,
            Verdict::Warn => self.warn += 1,
            Verdict::Fail(_) => self.fail += 1,
        }
    }
}

/// The heading of a group.
pub fn heading(text: &str, look: Look) -> String {
    painted(text, BOLD, look.color)
}

/// One check: verdict, subject, reason, time; then causes, places, hints and details below.
pub fn line(line: &Line, look: Look) -> String {
    let word = match line.verdict {
        Verdict::Ok => painted("ok  ", GREEN, look.color),
        Verdict::Skip => painted("skip", CYAN, look.color),
        Verdict::Warn => painted("warn", YELLOW, look.color),
        Verdict::Fail(_) => painted("FAIL", RED, look.color),
    };
    let time = line.took.map(|took| format!(" ({})", short_time(took))).unwrap_or_default();
    let text = format!("{}{time}", safe(&line.text));
    let mut out = format!("  {word}  {}", reason(&safe(&line.subject), &text, look.width));
    let mut below = |name: &str, shown: &str, text: &str| {
        let text = fitted(&safe(text), BELOW + console_width(name), BELOW + 2, look.width);
        out.push_str(&format!("\n{:BELOW$}{shown}{text}", ""));
    };
    line.causes.iter().for_each(|cause| below("cause: ", "cause: ", cause));
    if !line.at.is_empty() {
        below("at: ", "at: ", &line.at.join(" · "));
    }
    let hint = format!("{} ", painted("hint:", CYAN, look.color));
    line.hints.iter().take(2).for_each(|text| below("hint: ", &hint, text));
    if look.verbose {
        line.details.iter().for_each(|detail| below("", "", detail));
    }
    out
}

/// Subject and text after the verdict, side by side where the terminal has room for that.
fn reason(subject: &str, text: &str, width: Option<usize>) -> String {
    let used = console_width(subject);
    let gap = SUBJECT_WIDTH.saturating_sub(used);
    let text_at = VERDICT + SUBJECT_WIDTH + 2;
    match width {
        Some(width) if width < text_at + NARROWEST => {
            let subject = fitted(subject, VERDICT, BELOW, Some(width));
            format!("{subject}\n{:BELOW$}{}", "", fitted(text, BELOW, BELOW, Some(width)))
        }
        Some(width) if used > SUBJECT_WIDTH => {
            let subject = fitted(subject, VERDICT, BELOW, Some(width));
            format!("{subject}\n{:text_at$}{}", "", fitted(text, text_at, text_at, Some(width)))
        }
        _ => format!("{subject}{:gap$}  {}", "", fitted(text, text_at, text_at, width)),
    }
}

/// A text that begins in column `at` and goes on in column `hang` of as many lines as it needs.
fn fitted(text: &str, at: usize, hang: usize, width: Option<usize>) -> String {
    width.map_or_else(|| text.to_owned(), |width| filled(text, at, hang, width))
}

/// The two lines at the end.
pub fn sum(count: &Count, outlook: &Outlook, took: Duration, width: Option<usize>) -> String {
    let mut out = String::new();
    if !outlook.topics.is_empty() {
        out.push_str(&format!("{}\n", fitted(&outlook_text(outlook), 0, 2, width)));
    }
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    out.push_str(&format!(
        "{} ok, {}, {} failed, {} skipped in {}",
        count.ok,
        plural(count.warn, "warning"),
        count.fail,
        count.skip,
        short_time(took)
    ));
    out
}

fn outlook_text(outlook: &Outlook) -> String {
    let list = |names: &[String]| match names {
        [] => "no table".to_owned(),
        names if names.len() <= 4 => names.join(", "),
        names => format!("{} and {} more", names[..3].join(", "), names.len() - 3),
    };
    let (does, at_most) = match outlook.settles_first {
        true => ("would settle what is pending, then read", "up to "),
        false => ("would read", ""),
    };
    let offsets = match outlook.offsets {
        Some((to_read, all)) => {
            format!("{does} {at_most}{} of {} of ", grouped(to_read), counted(all, "record"))
        }
        None => format!("{does} "),
    };
    let promise = outlook.promise.map(|promise| format!(", {promise}")).unwrap_or_default();
    format!("`load` {offsets}{} into {}{promise}", list(&outlook.topics), list(&outlook.tables))
}

/// The `check` event.
pub fn json_line(line: &Line) -> String {
    let (verdict, exit_code) = match line.verdict {
        Verdict::Ok => ("ok", None),
        Verdict::Skip => ("skip", None),
        Verdict::Warn => ("warn", None),
        Verdict::Fail(kind) => ("fail", Some(kind.exit_code())),
    };
    stamped(json!({
        "event": "check",
        "check": line.area.name(),
        "group": line.area.heading(),
        "subject": line.subject,
        "verdict": verdict,
        "text": line.text,
        "causes": line.causes,
        "where": line.at,
        "hints": line.hints,
        "details": line.details,
        "took_ms": line.took.map(milliseconds),
        "exit_code": exit_code,
    }))
}

/// The `summary` event of a check.
pub fn json_sum(count: &Count, outlook: &Outlook, took: Duration, exit_code: u8) -> String {
    stamped(json!({
        "event": "summary",
        "schema": super::json::SCHEMA,
        "ok": count.ok,
        "warn": count.warn,
        "fail": count.fail,
        "skip": count.skip,
        "exit_code": exit_code,
        "elapsed_s": took.as_secs_f64(),
        "topics": outlook.topics,
        "tables": outlook.tables,
        "offsets_to_read": outlook.offsets.map(|(to_read, _)| to_read),
        "offsets_total": outlook.offsets.map(|(_, all)| all),
        "guarantee": outlook.promise,
    }))
}

fn milliseconds(time: Duration) -> Value {
    Value::from((time.as_secs_f64() * 10_000.0).round() / 10.0)
}

/// `0.4 ms`, `12 ms`, `1.2 s`.
fn short_time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::verdict::Area;

    const BARE: Look = Look { color: false, verbose: false, width: None };

    #[test]
    fn lines_fit_the_terminal_between_words_and_lose_nothing() {
        let failed = |subject: &str| {
            Line::warn(
                Area::Fe,
                subject,
                "the newest 1 000 of a database are remembered for 3 days",
            )
            .cause("it is for `kafka7.example`, and for no other name than this one, says OpenSSL")
            .at("sink.properties:6")
            .hint(
                "raise the FE's `label_keep_max_num`, or load less often: `bufferflush.intervalms`",
            )
            .took(Duration::from_millis(3))
        };
        assert_eq!(
            line(&failed("labels"), Look { width: Some(80), ..BARE }),
            "  warn  labels                          the newest 1 000 of a database are
                                        remembered for 3 days (3.0 ms)
          cause: it is for `kafka7.example`, and for no other name than this
            one, says OpenSSL
          at: sink.properties:6
          hint: raise the FE's `label_keep_max_num`, or load less often:
            `bufferflush.intervalms`"
        );
        let long = failed("query port starrocks-fe-0.starrocks.svc.cluster.local:9030");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for width in [100, 80, 60, 40, 30] {
            let shown = line(&long, Look { width: Some(width), ..BARE });
            for one in shown.lines() {
                assert!(console_width(one) <= width, "{width}: {one}");
            }
            if width >= 80 {
                assert_eq!(words(&shown), words(&line(&long, BARE)));
            }
        }
    }

    #[test]
    fn a_failed_check_says_why_where_and_what_next() {
        let failed =
            Line::new(Area::Be, "BE 10.0.0.7:8040", Verdict::Fail(Kind::Unavailable), "no")
                .cause("connection refused")
                .at("sink.properties:6")
                .hint("every BE must be reachable")
                .details(vec!["named by fe1:8030".into()])
                .took(Duration::from_millis(3));
        let expected = "  FAIL  BE 10.0.0.7:8040                no (3.0 ms)\n          \
                        cause: connection refused\n          at: sink.properties:6\n          \
                        hint: every BE must be reachable";
        assert_eq!(line(&failed, BARE), expected);
        let verbose = Look { verbose: true, ..BARE };
        assert_eq!(line(&failed, verbose), format!("{expected}\n          named by fe1:8030"));
        let json: Value = serde_json::from_str(&json_line(&failed)).unwrap();
        assert_eq!(json["exit_code"], 5);
        assert_eq!((json["check"].as_str(), json["verdict"].as_str()), (Some("be"), Some("fail")));
    }

    #[test]
    fn the_sum_counts_verdicts_and_says_what_would_be_loaded() {
        let mut count = Count::default();
        for verdict in [Verdict::Ok, Verdict::Warn, Verdict::Fail(Kind::Usage), Verdict::Skip] {
            count.add(verdict);
        }
        let outlook = Outlook {
            topics: vec!["orders".into()],
            tables: vec!["shop.orders".into()],
            offsets: Some((204, 1204)),
            settles_first: false,
            promise: Some("each record is loaded exactly once"),
        };
        assert_eq!(
            sum(&count, &outlook, Duration::from_millis(86), None),
            "`load` would read 204 of 1 204 records of orders into shop.orders, each record is \
             loaded exactly once\n1 ok, 1 warning, 1 failed, 1 skipped in 86 ms"
        );
        let outlook = Outlook { settles_first: true, promise: None, ..outlook };
        let text = sum(&count, &outlook, Duration::from_millis(86), None);
        let expected = "`load` would settle what is pending, then read up to 204 of 1 204 records \
                        of orders into shop.orders\n";
        assert!(text.starts_with(expected), "{text}");
    }
}
