//! The one table of Stream Load's headers: what StarRocks reads, since when, and who sets it here.
//! StarRocks passes over a header it does not know, so a slip of the pen is told from this table.

use crate::config::keys;

/// One header.
#[derive(Debug)]
pub struct Header {
    pub name: &'static str,
    /// As it would be written, and the default.
    pub form: &'static str,
    /// First version that reads it; empty: every supported one.
    pub since: &'static str,
    pub set_by: SetBy,
    /// One sentence.
    pub doc: &'static str,
}

/// Who writes a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBy {
    /// `sink.properties.NAME` or `-H`.
    User,
    /// This program, as each load needs it.
    Program,
}

impl SetBy {
    pub fn word(self) -> &'static str {
        match self {
            SetBy::User => "sink.properties.*",
            SetBy::Program => "starsink",
        }
    }
}

const fn user(
    name: &'static str,
    form: &'static str,
    since: &'static str,
    doc: &'static str,
) -> Header {
    Header { name, form, since, set_by: SetBy::User, doc }
}

const fn own(name: &'static str, form: &'static str, doc: &'static str) -> Header {
    Header { name, form, since: "", set_by: SetBy::Program, doc }
}

/// Every header that StarRocks reads with a load.
#[rustfmt::skip]
pub const HEADERS: &[Header] = &[
    user("format", "json | csv", "", "What rows are sent as; `json` unless said."),
    user("compression", "none | lz4_frame | gzip | zstd", "", "Compresses the body; JSON bodies since 3.2.7."),
    user("columns", "a, b, c = f(b)", "", "Fields in order and columns made from them; a column left out takes its default."),
    user("where", "SQL predicate", "", "Rows that do not match are left out and counted as unselected."),
    user("max_filter_ratio", "0 to 1, 0", "", "Share of rows that StarRocks may drop as bad before it refuses the load."),
    user("log_rejected_record_num", "-1 or a number, 0", "3.1", "How many rejected rows each BE writes down."),
    user("strict_mode", "true | false, false", "", "A value that does not convert rejects the row instead of becoming NULL."),
    user("timezone", "a zone, the cluster's", "", "Zone of functions such as from_unixtime."),
    user("timeout", "seconds, 600", "", "How long a load may take."),
    user("idle_transaction_timeout", "seconds", "", "How long an open transaction may be idle."),
    user("prepared_timeout", "seconds", "3.5.4", "How long a prepared transaction is kept."),
    user("partitions", "p1, p2", "", "Loads into these partitions only."),
    user("temporary_partitions", "p1, p2", "", "Loads into these temporary partitions only."),
    user("partial_update", "true | false, false", "", "Updates only the columns that `columns` names, the key among them; primary key tables."),
    user("partial_update_mode", "row | auto | column, row", "3.1", "How a partial update is carried out."),
    user("merge_condition", "column", "2.5", "A row counts only where this column is not less than what is stored; primary key tables."),
    user("jsonpaths", "[\"$.a\", \"$.b\"]", "", "Where the fields of `columns` stand in a JSON row."),
    user("json_root", "$.path", "", "The part of each JSON row that is loaded."),
    user("envelope", "debezium | none", "after 4.1", "Lets StarRocks unwrap change events itself."),
    user("column_separator", "text or \\x01, \\t", "", "Stands between CSV columns."),
    user("row_delimiter", "text or \\x0A, \\n", "", "Ends each CSV row."),
    user("skip_header", "rows, 0", "3.0", "Rows of CSV to leave out at the beginning of each load; of no use here."),
    user("trim_space", "true | false, false", "3.0", "Drops blanks around CSV separators."),
    user("enclose", "one character", "3.0", "Encloses CSV values that hold separators."),
    user("escape", "one character", "3.0", "Takes the special meaning from the CSV character behind it."),
    user("load_mem_limit", "bytes", "", "Memory of one load on a BE."),
    user("exec_mem_limit", "bytes", "", "Memory of one load's plan."),
    user("load_dop", "number", "", "Parallelism of one load; above 1 rows may change their order."),
    user("transmission_compression_type", "name, none", "", "Compression between BEs."),
    user("enable_replicated_storage", "true | false", "", "A hint to the planner."),
    user("negative", "true", "", "Takes earlier rows away from sums; aggregate tables."),
    user("warehouse", "name", "", "The warehouse that loads, where storage is shared."),
    own("label", "text", "Names one attempt at one batch."),
    own("db", "name", "The database, of `starrocks.database.name`."),
    own("table", "name", "The table, of `starrocks.topic2table.map` or the topic's name."),
    own("strip_outer_array", "true", "A JSON body is one array of rows."),
    own("ignore_json_size", "true", "Lifts the limit on a JSON body."),
    own("expect", "100-continue", "Part of the protocol."),
    own("authorization", "Basic", "User and password."),
];

/// Headers of other systems that StarRocks passes over, or whose effect is not wanted; why.
const FOREIGN: [(&str, &str); 9] = [
    ("two_phase_commit", "it belongs to Apache Doris; loads here are transactions already"),
    ("hidden_columns", "it belongs to Apache Doris"),
    ("read_json_by_line", "it belongs to Apache Doris; JSON rows are framed here"),
    ("partial_columns", "it belongs to Apache Doris; write `partial_update`"),
    ("group_commit", "it belongs to Apache Doris"),
    ("enable_merge_commit", "a merged load is no transaction of its own"),
    ("merge_commit_async", "a merged load is no transaction of its own"),
    ("merge_commit_interval_ms", "a merged load is no transaction of its own"),
    ("merge_commit_parallel", "a merged load is no transaction of its own"),
];

/// What is to be said about a header that StarRocks does not read: a sentence, and a hint.
pub(super) fn unknown(name: &str) -> Option<(String, Option<String>)> {
    if HEADERS.iter().any(|header| header.name == name) {
        return None;
    }
    let text = format!("`{name}` is no header of Stream Load; StarRocks passes over it");
    if let Some((_, why)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return Some((text, Some((*why).to_owned())));
    }
    let hint = keys::nearest(name, HEADERS.iter().map(|header| header.name))
        .map(|known| format!("did you mean `{known}`?"));
    Some((
        text,
        hint.or_else(|| Some("`starsink map --list headers` shows the ones it reads".into())),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_header_has_one_sentence() {
        for (at, header) in HEADERS.iter().enumerate() {
            assert!(HEADERS[..at].iter().all(|other| other.name != header.name), "{}", header.name);
            assert!(header.doc.ends_with('.') && header.name == header.name.to_lowercase());
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_told_and_a_known_header_is_not() {
        assert_eq!(unknown("strict_mode"), None);
        let hint = |name: &str| unknown(name).and_then(|(_, hint)| hint).unwrap_or_default();
        assert_eq!(hint("strict_mod"), "did you mean `strict_mode`?");
        assert!(hint("two_phase_commit").contains("Apache Doris"));
        assert!(hint("x-forwarded-for").contains("--list headers"));
    }
}
