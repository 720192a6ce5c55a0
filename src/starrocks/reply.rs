//! What an answer of an FE or BE means. Pure: one table from (HTTP status, body) to [`Reply`].
//!
//! HTTP 200 proves nothing: StarRocks sends most failures as 200 with a JSON body. The status word
//! decides, then the message's text; texts are matched in lower case, after JSON decoding.

use serde_json::Value;

/// One answer, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done as asked.
    Done(Report),
    /// Committed; visible later. The manual says not to load it again.
    Publishing(Report),
    /// The label belongs to an earlier transaction.
    LabelTaken(JobState),
    /// The server knows no such transaction, here or any more.
    NoTransaction(String),
    /// The transaction is aborted; nothing of it is in the table.
    Aborted(String),
    /// The server refuses, and would refuse again.
    Refused(Refusal),
    /// Try again later: limits, back-pressure, elections.
    Busy(String),
    /// A no in words that this table does not know. Most pass with time.
    Failed(String),
    /// May or may not have happened: ask the label's state.
    Ambiguous(String),
    /// Not an answer StarRocks gives: a wrong port, a proxy, a broken body.
    NotStarRocks(String),
}

/// Figures of a finished step; zero where the answer does not carry them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub txn_id: i64,
    pub label: String,
    /// The server's own words, mostly empty.
    pub message: String,
    pub total_rows: u64,
    pub loaded_rows: u64,
    pub filtered_rows: u64,
    pub unselected_rows: u64,
    /// Where the filtered rows are listed.
    pub error_url: Option<String>,
}

/// State of the transaction that holds a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Running,
    Finished,
    /// The answer did not say.
    Unstated,
}

/// A final no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// Server text, verbatim.
    pub message: String,
    /// Error log of rejected rows, where there is one.
    pub error_url: Option<String>,
    /// Rows that were rejected, and rows in all, where the answer counts them.
    pub rejected_of: Option<(u64, u64)>,
}

/// What has to change before the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Some rows do not fit the table; the others would.
    Rows,
    /// The body as a whole cannot be read, because of one of its documents.
    Document,
    /// The body is too large; in pieces it would fit.
    Size,
    /// Names, headers or table type.
    Setup,
    /// User, password or privilege.
    Access,
    /// The server has no such interface.
    NoInterface,
}

/// State of a label as `get_load_state` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelState {
    Unknown,
    Prepare,
    Prepared,
    Committed,
    Visible,
    Aborted,
}

/// Rows that do not fit; StarRocks may name some of them in its error log.
const ROWS: &[&str] = &[
    "too many filtered rows",
    "primary key size exceed the limit",
    "no load data",
    "no rows were imported",
];

/// One document spoils the body, and the answer does not say which.
const DOCUMENT: &[&str] = &[
    "illegal json",
    "failed to parse json",
    "failed to iterate",
    "should be array type",
    "array type in json document stream",
    "should be object type",
];

/// Limits of a body.
const SIZE: &[&str] =
    &["exceed the max size", "parser can't support a document", "payload size", "body size"];

/// User or privilege.
const ACCESS: &[&str] = &["access denied", "no valid basic authorization", "need auth information"];

/// Names, headers, table type.
const SETUP: &[&str] = &[
    "unknown table",
    "unknown database",
    "does not exist",
    "not exists",
    "label format error",
    "invalid json path",
    "unknown data format",
    "column has no default value",
    "mapping column",
    "duplicate column mapping",
    "only primary key table support partial update",
    "not in partial update columns",
    "unsupported compression",
    "is not supported",
    "data size exceeds quota",
    "only olap/lake table",
    "is a materialized view",
    "100-continue",
    "no database selected",
    "no table selected",
    "empty label",
    "invalid ",
    "numberformatexception",
    "must be bool type",
    "must be equal or greater",
    "load request not equal last",
    "can not specify both",
    "only one of http header",
];

/// Limits, back-pressure, elections: they pass.
const BUSY: &[&str] = &[
    "larger than limit",
    "too many versions",
    "retry later",
    "processing",
    "shutting down",
    "leader",
    "no backend alive",
    "timeout",
    "timed out",
];

/// It may have happened: the label's state decides.
const AMBIGUOUS: &[&str] = &[
    "transaction status unknown",
    "call frontend service failed",
    "can't find node id",
    "\"transactionstate\" is null",
];

/// The transaction is gone or was never there.
const NO_TRANSACTION: &[&str] =
    &["no transaction found", "can't find the transaction", "transaction not found"];

/// Classifies any answer of the load endpoints.
pub fn classify(http: u16, body: &[u8]) -> Reply {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
        return not_json(http, body);
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let status = if text("Status").is_empty() { text("status") } else { text("Status") };
    let message = if text("Message").is_empty() { text("msg") } else { text("Message") };
    let report = || report(&fields, message);
    match status.to_ascii_uppercase().as_str() {
        _ if http == 401 || http == 403 => refused(Reason::Access, message, None),
        _ if matches!(http, 404 | 405 | 501) => refused(Reason::NoInterface, message, None),
        "OK" | "SUCCESS" => Reply::Done(report()),
        "PUBLISH TIMEOUT" | "PUBLISH_TIMEOUT" => Reply::Publishing(report()),
        "LABEL ALREADY EXISTS" | "LABEL_ALREADY_EXISTS" => {
            Reply::LabelTaken(job_state(text("ExistingJobStatus")))
        }
        "TXN_NOT_EXISTS" => Reply::NoTransaction(message.into()),
        "TXN_IN_PROCESSING" => Reply::Busy(message.into()),
        "" => Reply::NotStarRocks(excerpt(body)),
        _ => match by_text(message, fields.get("ErrorURL").and_then(Value::as_str)) {
            Reply::Refused(refusal) => {
                let report = report();
                let counts = (report.filtered_rows, report.total_rows);
                let rejected_of = Some(counts).filter(|(rejected, _)| *rejected > 0);
                Reply::Refused(Refusal { rejected_of, ..refusal })
            }
            other => other,
        },
    }
}

/// Reads the answer of `get_load_state`; `None` where it is no state.
pub fn label_state(http: u16, body: &[u8]) -> Option<LabelState> {
    let fields: Value = serde_json::from_slice(body).ok().filter(|_| http == 200)?;
    match fields.get("state")?.as_str()? {
        "UNKNOWN" => Some(LabelState::Unknown),
        "PREPARE" => Some(LabelState::Prepare),
        "PREPARED" => Some(LabelState::Prepared),
        "COMMITTED" => Some(LabelState::Committed),
        "VISIBLE" => Some(LabelState::Visible),
        "ABORTED" => Some(LabelState::Aborted),
        _ => None,
    }
}

impl Refusal {
    /// Without what it may quote of a row; who asks, names and headers are no values.
    pub fn without_values(self) -> Refusal {
        match self.reason {
            Reason::Rows | Reason::Document | Reason::Size => {
                Refusal { message: without_values(&self.message), ..self }
            }
            Reason::Access | Reason::Setup | Reason::NoInterface => self,
        }
    }
}

/// What StarRocks says of rows, without a value of any: only what is known to hold none is left.
pub fn without_values(text: &str) -> String {
    const HIDDEN: &str = "StarRocks' words are not shown, they may quote a value";
    // Of a field: name, place and type stand before the value.
    if text.starts_with("The field (name = ")
        && let Some((before, _)) = text.split_once(", Value length: ")
    {
        return before.to_owned();
    }
    if text.starts_with("String '")
        && let Some((_, limit)) = text.rsplit_once("' is too long. The max length is ")
    {
        return format!("String is too long. The max length is {limit}");
    }
    let is_name = |name: &str| !name.contains(char::is_whitespace);
    let null = text.strip_prefix("NULL value in non-nullable column '");
    let counts_fields =
        text.starts_with("Target column count: ") && text.contains("source value column count: ");
    if null.and_then(|name| name.strip_suffix('\'')).is_some_and(is_name) || counts_fields {
        return text.to_owned();
    }
    const KNOWN: &[&str] = &[
        "Invalid UTF-8 row",
        "load op type string not supported",
        "is out of range",
        "is too long",
    ];
    let lower = text.to_lowercase();
    let known = [KNOWN, ROWS, DOCUMENT, SIZE].into_iter().flatten();
    let found = known.copied().find(|words| lower.contains(&words.to_lowercase()));
    found.unwrap_or(HIDDEN).to_owned()
}

fn by_text(message: &str, error_url: Option<&str>) -> Reply {
    let lower = message.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    // Order matters: the more certain reading first.
    if lower.contains("has already been used") {
        return Reply::LabelTaken(JobState::Unstated);
    }
    if lower.contains("publish timeout") {
        return Reply::Ambiguous(message.into());
    }
    if any(NO_TRANSACTION) {
        return Reply::NoTransaction(message.into());
    }
    if any(AMBIGUOUS) {
        return Reply::Ambiguous(message.into());
    }
    if lower.contains("is aborted") || lower.contains("can not commit aborted") {
        return Reply::Aborted(message.into());
    }
    if any(ACCESS) {
        return refused(Reason::Access, message, error_url);
    }
    // Longest first: "primary key size exceed the limit" is no limit of a body.
    for (words, reason) in
        [(ROWS, Reason::Rows), (DOCUMENT, Reason::Document), (SIZE, Reason::Size)]
    {
        if any(words) {
            return refused(reason, message, error_url);
        }
    }
    if any(SETUP) {
        return refused(Reason::Setup, message, error_url);
    }
    if any(BUSY) { Reply::Busy(message.into()) } else { Reply::Failed(message.into()) }
}

fn refused(reason: Reason, message: &str, error_url: Option<&str>) -> Reply {
    let error_url = error_url.filter(|url| !url.is_empty()).map(String::from);
    Reply::Refused(Refusal { reason, message: message.into(), error_url, rejected_of: None })
}

/// HTML pages, empty bodies and other people's answers.
fn not_json(http: u16, body: &[u8]) -> Reply {
    match http {
        401 | 403 => refused(Reason::Access, &excerpt(body), None),
        404 | 405 | 501 => refused(Reason::NoInterface, &excerpt(body), None),
        500..=599 => Reply::Busy(format!("HTTP {http} {}", excerpt(body)).trim_end().into()),
        // A cut-off answer of a request that may have taken effect.
        200 => Reply::Ambiguous(format!("unreadable answer {}", excerpt(body)).trim_end().into()),
        _ => Reply::NotStarRocks(format!("HTTP {http} {}", excerpt(body)).trim_end().into()),
    }
}

fn job_state(text: &str) -> JobState {
    match text {
        "RUNNING" => JobState::Running,
        "FINISHED" => JobState::Finished,
        _ => JobState::Unstated,
    }
}

fn report(fields: &serde_json::Map<String, Value>, message: &str) -> Report {
    let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    Report {
        txn_id: fields.get("TxnId").and_then(Value::as_i64).unwrap_or(-1),
        label: text("Label").unwrap_or_default().into(),
        message: if message == "OK" { String::new() } else { message.into() },
        total_rows: number("NumberTotalRows"),
        loaded_rows: number("NumberLoadedRows"),
        filtered_rows: number("NumberFilteredRows"),
        unselected_rows: number("NumberUnselectedRows"),
        error_url: text("ErrorURL").filter(|url| !url.is_empty()).map(String::from),
    }
}

/// One line of a foreign answer, for the person who must find out what answered.
fn excerpt(body: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MOST)]);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(http: u16, body: &str, expect: &str) {
        let reply = classify(http, body.as_bytes());
        let name = match &reply {
            Reply::Refused(refusal) => format!("Refused {:?}", refusal.reason),
            other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_string(),
        };
        assert_eq!(name, expect, "{reply:?}");
    }

    #[test]
    fn status_words_decide_before_texts() {
        check(200, r#"{"Status":"OK","Message":""}"#, "Done");
        check(200, r#"{"Status":"Success","Message":"OK"}"#, "Done");
        check(200, r#"{"status":"OK","code":"0","msg":"Success","message":"OK"}"#, "Done");
        check(200, r#"{"Status":"Publish Timeout","Message":"Publish timeout. x"}"#, "Publishing");
        check(200, r#"{"Status":"PUBLISH_TIMEOUT","Message":"Publish timeout"}"#, "Publishing");
        check(
            200,
            r#"{"Status":"TXN_NOT_EXISTS","Message":"transaction with label L not exists"}"#,
            "NoTransaction",
        );
        check(200, r#"{"Status":"TXN_IN_PROCESSING","Label":"L","Message":"retry later"}"#, "Busy");
    }

    #[test]
    fn rejected_rows_are_counted_where_the_answer_counts_them() {
        let counts = |body: &str| match classify(200, body.as_bytes()) {
            Reply::Refused(refusal) => refusal.rejected_of,
            other => panic!("{other:?}"),
        };
        let message = "\"Status\":\"Fail\",\"Message\":\"too many filtered rows\"";
        let counted = format!("{{{message},\"NumberTotalRows\":50,\"NumberFilteredRows\":3}}");
        assert_eq!(counts(&counted), Some((3, 50)));
        assert_eq!(counts(&format!("{{{message}}}")), None);
    }

    #[test]
    fn a_used_label_is_known_in_every_era() {
        let taken = |body: &str| classify(200, body.as_bytes());
        assert_eq!(
            taken(
                r#"{"Status":"Label Already Exists","ExistingJobStatus":"FINISHED","Message":"Label [L] has already been used."}"#
            ),
            Reply::LabelTaken(JobState::Finished)
        );
        assert_eq!(
            taken(
                r#"{"Status":"LABEL_ALREADY_EXISTS","ExistingJobStatus":"RUNNING","Message":""}"#
            ),
            Reply::LabelTaken(JobState::Running)
        );
        assert_eq!(
            taken(
                r#"{"Status":"Fail","Message":"cancel stream task for exception: Label [L] has already been used."}"#
            ),
            Reply::LabelTaken(JobState::Unstated)
        );
    }

    #[test]
    fn texts_decide_what_a_failure_means() {
        let fail = |message: &str| format!(r#"{{"Status":"Fail","Message":"{message}"}}"#);
        check(200, &fail("too many filtered rows"), "Refused Rows");
        check(200, &fail("illegal json started with c"), "Refused Document");
        check(200, &fail("primary key size exceed the limit"), "Refused Rows");
        check(
            200,
            &fail(
                "The size of this batch exceed the max size [104857600]  of json type data  data [ 7 ].",
            ),
            "Refused Size",
        );
        check(
            200,
            &fail("body size 9 exceed limit: 8, ... You can increase the limit"),
            "Refused Size",
        );
        check(200, &fail("all partitions have no load data"), "Refused Rows");
        check(200, &fail("unknown table \\\"d.t\\\""), "Refused Setup");
        check(200, &fail("unknown database, database=X"), "Refused Setup");
        check(200, &fail("Database[X] does not exist"), "Refused Setup");
        check(200, &fail("Unsupported compression type: X"), "Refused Setup");
        check(200, &fail("no valid Basic authorization"), "Refused Access");
        check(
            200,
            &fail(
                "Access denied; you need (at least one of) the INSERT privilege(s) for this operation",
            ),
            "Refused Access",
        );
        check(200, &fail("current running txns on db 1 is 2, larger than limit 2"), "Busy");
        check(
            200,
            &fail(
                "Failed to load data into tablet 1, because of too many versions, current/limit: 1/1",
            ),
            "Busy",
        );
        check(200, &fail("Service is shutting down, please retry later!"), "Busy");
        check(
            200,
            &fail("Transaction status unknown, you can retry with same label."),
            "Ambiguous",
        );
        check(200, &fail("call frontend service failed, address=a, reason=b"), "Ambiguous");
        check(200, &fail("publish refused: callback lost"), "Failed");
        check(200, &fail("current transaction is aborted"), "Aborted");
        check(200, &fail("No transaction found with db[d] and label[l]"), "NoTransaction");
        check(
            200,
            r#"{"Status":"FAILED","Message":"class com.starrocks.common.StarRocksException: publish timeout: 20000"}"#,
            "Ambiguous",
        );
        check(
            200,
            r#"{"Status":"FAILED","Message":"class com.starrocks.common.DdlException: No backend alive."}"#,
            "Busy",
        );
    }

    #[test]
    fn http_status_counts_where_there_is_no_status_word() {
        check(
            401,
            r#"{"status":"FAILED","code":"1","msg":"Access denied for root@10.0.0.9"}"#,
            "Refused Access",
        );
        check(404, "<html>this is 404 page.</html>", "Refused NoInterface");
        check(
            501,
            r#"{"status":"FAILED","code":"1","msg":"Not implemented"}"#,
            "Refused NoInterface",
        );
        check(503, "", "Busy");
        check(200, "{\"Status\":\"O", "Ambiguous");
        check(200, "{}", "NotStarRocks");
        check(302, "", "NotStarRocks");
    }

    #[test]
    fn a_state_is_read_only_from_a_good_answer() {
        assert_eq!(
            label_state(200, br#"{"state":"PREPARED","status":"OK"}"#),
            Some(LabelState::Prepared)
        );
        assert_eq!(
            label_state(200, br#"{"state":"UNKNOWN","status":"OK"}"#),
            Some(LabelState::Unknown)
        );
        assert_eq!(label_state(500, br#"{"state":"VISIBLE"}"#), None);
        assert_eq!(label_state(200, br#"{"status":"FAILED"}"#), None);
    }

    #[test]
    fn what_is_shown_without_values_holds_none() {
        let check = |text: &str, expect: &str| assert_eq!(without_values(text), expect);
        let null = "NULL value in non-nullable column 'city'";
        check(null, null);
        let field = "The field (name = n, pos = 2) is out of range. Type: INT";
        check(&format!("{field}, Value length: 6, Value: secret, 1"), field);
        check(
            "String 'it's ' is too long. The max length is 9, secret' is too long. The max length is 10",
            "String is too long. The max length is 10",
        );
        check("too many filtered rows, first: secret", "too many filtered rows");
        check("Failed to parse json as object. error: secret", "failed to parse json");
        check("load op type string not supported: secret", "load op type string not supported");
        check("decimal 'secret' is out of range", "is out of range");
        let hidden = "StarRocks' words are not shown, they may quote a value";
        check("value secret is odd", hidden);
        check("NULL value in non-nullable column 'a' of 'secret'", hidden);
    }
}
