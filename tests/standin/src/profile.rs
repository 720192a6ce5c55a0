//! Which release of StarRocks is imitated, and what that changes. A difference is one method
//! here, so that the list of differences can be read in one place.

use std::fmt;
use std::str::FromStr;

/// A release line; behaviour not known to differ is that of `V4_1`, the one that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The last line without the transaction interface.
    V2_3,
    V2_5,
    V3_2,
    V3_3,
    V3_5,
    V4_0,
    V4_1,
}

impl Version {
    /// Every profile, oldest first.
    pub const ALL: [Version; 7] =
        [Self::V2_3, Self::V2_5, Self::V3_2, Self::V3_3, Self::V3_5, Self::V4_0, Self::V4_1];

    /// What `current_version()` answers.
    pub fn text(self) -> &'static str {
        match self {
            Self::V2_3 => "2.3.18-6b71f2f",
            Self::V2_5 => "2.5.21-57b9d2c",
            Self::V3_2 => "3.2.11-ab6c5b9",
            Self::V3_3 => "3.3.6-3ffe4f4",
            Self::V3_5 => "3.5.5-cf4a9f5",
            Self::V4_0 => "4.0.1-2ab8d4c",
            Self::V4_1 => "4.1.0-src-70d1c24",
        }
    }

    /// `mysql_server_version`: the version the MySQL greeting names.
    pub fn mysql_text(self) -> &'static str {
        if self >= Self::V3_5 { "8.0.33" } else { "5.1.0" }
    }

    /// `/api/transaction/*`, on frontend and backend.
    pub(crate) fn has_transactions(self) -> bool {
        self >= Self::V2_5
    }

    pub(crate) fn closes_after_stream_load(self) -> bool {
        self >= Self::V3_3
    }

    pub(crate) fn checks_expect_value(self) -> bool {
        self >= Self::V3_3
    }

    pub(crate) fn exempts_http_1_0_from_expect(self) -> bool {
        self >= Self::V3_5
    }

    /// The missing INSERT privilege is a 401 rather than a 200 with a class name.
    pub(crate) fn privilege_is_401(self) -> bool {
        self > Self::V2_5
    }

    /// A used label comes back as `Fail` or `ANALYSIS_ERROR` instead of as a label status.
    pub(crate) fn hides_label_conflict(self) -> bool {
        self == Self::V3_3
    }

    pub(crate) fn plan_time_field(self) -> &'static str {
        if self <= Self::V2_5 { "StreamLoadPutTimeMs" } else { "StreamLoadPlanTimeMs" }
    }

    /// `Db` and `Table` in backend replies.
    pub(crate) fn names_table_in_replies(self) -> bool {
        self >= Self::V4_1
    }

    pub(crate) fn wraps_analysis_errors(self) -> bool {
        self >= Self::V4_1
    }

    pub(crate) fn no_rows_text(self) -> &'static str {
        if self <= Self::V3_2 {
            "all partitions have no load data"
        } else {
            "No rows were imported from upstream"
        }
    }

    pub(crate) fn user_exception(self) -> &'static str {
        if self >= Self::V4_0 {
            "com.starrocks.common.StarRocksException"
        } else {
            "com.starrocks.common.UserException"
        }
    }

    pub(crate) fn empty_label_text(self) -> &'static str {
        if self >= Self::V3_2 { "Empty label." } else { "empty label." }
    }

    /// What `_cancel` says of a label it cannot cancel; `known` has a finished transaction.
    pub(crate) fn no_cancel_text(self, label: &str, known: bool) -> String {
        match (self >= Self::V4_1, known) {
            (true, _) => format!("transaction not found: {label}"),
            (false, true) => format!("running transaction not found, label={label}"),
            (false, false) => format!("transaction not found, label={label}"),
        }
    }

    /// Commit and rollback name the database of a label they do not find.
    pub(crate) fn names_db_of_lost_label(self) -> bool {
        self >= Self::V4_1
    }

    /// A plain load's message when publishing is slow.
    pub(crate) fn publish_timeout_text(self) -> &'static str {
        if self <= Self::V2_5 {
            "transaction commit successfully, BUT data will be visible later"
        } else {
            "Publish timeout. The data will be visible after a while, "
        }
    }

    pub(crate) fn cancel_reads_path(self) -> bool {
        self <= Self::V4_0
    }

    pub(crate) fn state_has_reason(self) -> bool {
        self >= Self::V3_2
    }

    pub(crate) fn has_http_sql(self) -> bool {
        self >= Self::V3_2
    }

    pub(crate) fn sql_errors_are_500(self) -> bool {
        self >= Self::V4_1
    }

    pub(crate) fn has_v2_schema(self) -> bool {
        self >= Self::V3_5
    }

    pub(crate) fn nests_v2_types(self) -> bool {
        self >= Self::V4_1
    }

    pub(crate) fn has_feature_endpoint(self) -> bool {
        self >= Self::V4_1
    }

    pub(crate) fn has_json_compression(self) -> bool {
        self >= Self::V3_2
    }

    pub(crate) fn has_csv_v2(self) -> bool {
        self >= Self::V3_2
    }

    pub(crate) fn has_rejected_records(self) -> bool {
        self >= Self::V3_2
    }

    pub(crate) fn has_prepared_timeout(self) -> bool {
        self >= Self::V3_5
    }

    pub(crate) fn has_multi_table(self) -> bool {
        self >= Self::V4_0
    }

    pub(crate) fn has_loads_table(self) -> bool {
        self >= Self::V3_2
    }

    /// The publish timeout text carries the transaction id.
    pub(crate) fn publish_timeout_names_txn(self) -> bool {
        self >= Self::V4_1
    }

    /// An array in a document stream is refused with a hint at `strip_outer_array`.
    pub(crate) fn array_hint(self) -> bool {
        self >= Self::V3_5
    }

    /// A backend found dead aborts its open transactions at once.
    pub(crate) fn aborts_on_dead_backend(self) -> bool {
        self >= Self::V4_1
    }
}

/// A version text that names no profile.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVersion(String);

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no profile for version `{}`: one of 2.3, 2.5, 3.2, 3.3, 3.5, 4.0, 4.1", self.0)
    }
}

impl std::error::Error for UnknownVersion {}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Reads `3.5` or `3.5.4`; a patch number picks the release line only.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let line: Vec<&str> = text.splitn(3, '.').collect();
        match line.as_slice() {
            ["2", "3", ..] => Ok(Self::V2_3),
            ["2", "5", ..] => Ok(Self::V2_5),
            ["3", "2", ..] => Ok(Self::V3_2),
            ["3", "3", ..] => Ok(Self::V3_3),
            ["3", "5", ..] => Ok(Self::V3_5),
            ["4", "0", ..] => Ok(Self::V4_0),
            ["4", "1", ..] => Ok(Self::V4_1),
            _ => Err(UnknownVersion(text.to_owned())),
        }
    }
}
