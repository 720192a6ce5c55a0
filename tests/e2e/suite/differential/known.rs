//! Where the results may differ from Java's, and why: each entry has a reason that the documentation
//! gives too, and a test as narrow as it can be.

use serde_json::{Value as Json, json};

use super::Given;
use super::records::BEYOND_INT64;
use super::show;

/// One record, or one configuration, whose results are not equal.
pub(super) struct Difference<'a> {
    pub(super) config: &'a [(String, String)],
    /// None: the configuration itself.
    pub(super) given: Option<&'a Given>,
    pub(super) java: &'a Json,
    pub(super) ours: &'a Json,
}

impl Difference<'_> {
    /// Our refusal's words, empty if we do not refuse.
    fn refusal(&self) -> &str {
        self.ours["message"].as_str().unwrap_or_default()
    }

    fn java_refusal(&self) -> &str {
        self.java["message"].as_str().unwrap_or_default()
    }

    fn only_java_refuses(&self) -> bool {
        self.ours["error"].is_null()
    }

    fn only_we_refuse(&self) -> bool {
        self.java["error"].is_null()
    }

    fn has(&self, class: &str) -> bool {
        self.config.iter().any(|(key, value)| key.ends_with(".type") && value.contains(class))
    }

    fn has_option(&self, name: &str, value: &str) -> bool {
        self.config.iter().any(|(key, given)| key.ends_with(name) && given == value)
    }

    /// Our result has a null key or value.
    fn has_null_side(&self) -> bool {
        self.ours["record"].is_object()
            && (self.ours["record"]["key"].is_null() || self.ours["record"]["value"].is_null())
    }

    /// The key or value was null, also under a schema.
    fn was_null(&self) -> bool {
        let sides = self.given.map(|given| [&given.key, &given.value]);
        sides.into_iter().flatten().any(|bytes| match bytes {
            None => true,
            Some(bytes) => bytes.ends_with(b"\"payload\":null}"),
        })
    }

    /// Whether the key or value holds this text.
    fn was_given(&self, text: &str) -> bool {
        let sides = self.given.map(|given| [&given.key, &given.value]);
        let mut texts = sides.into_iter().flatten().flatten();
        texts.any(|bytes| String::from_utf8_lossy(bytes).contains(text))
    }

    /// Where the two records differ, if they have the same shape: Java's value and ours.
    fn leaves(&self) -> Option<Vec<(Json, Json)>> {
        let mut leaves = Vec::new();
        let (java, ours) = (&self.java["record"], &self.ours["record"]);
        (java.is_object() && show::leaves(java, ours, &mut leaves)).then_some(leaves)
    }

    /// A negative number that may be a time before 1582, in whatever unit.
    fn holds_early_time(&self) -> bool {
        const SECONDS_BEFORE_1582: usize = "12219292800".len();
        let sides = self.given.map(|given| [&given.key, &given.value]);
        sides.into_iter().flatten().flatten().any(|bytes| {
            let mut parts = bytes.split(|byte| *byte == b'-').skip(1);
            parts.any(|rest| {
                rest.iter().take_while(|byte| byte.is_ascii_digit()).count() >= SECONDS_BEFORE_1582
            })
        })
    }

    fn holds_number_beyond_int64(&self) -> bool {
        BEYOND_INT64.iter().any(|number| self.was_given(number))
    }

    /// The envelope's payload, if the value is one.
    fn envelope(&self) -> Option<Json> {
        let value: Json = serde_json::from_slice(self.given?.value.as_deref()?).ok()?;
        Some(value["payload"].clone()).filter(|payload| payload["op"].is_string())
    }
}

type Is = fn(&Difference<'_>) -> bool;

/// Reason, and how the difference is told.
pub(super) const DIFFERENCES: &[(&str, Is)] = &[
    ("a value of another type than its schema is refused, not cut to fit", |it| {
        it.given.is_some_and(|given| given.is_wild)
            && matches!(it.ours["error"].as_str(), Some("key" | "value"))
    }),
    ("a delete without images is refused or keeps its key, not dropped", |it| {
        it.envelope().is_some_and(|envelope| {
            envelope["op"] == "d" && envelope["before"].is_null() && envelope["after"].is_null()
        })
    }),
    ("a field of a transaction that the envelope lacks is left out", |it| {
        const WORDS: &str = "Cannot invoke \"org.apache.kafka.connect.data.Field.schema()\"";
        it.has("ExtractNewRecordState")
            && it.only_java_refuses()
            && it.java_refusal().starts_with(WORDS)
    }),
    ("ExtractChangedRecordState lists nothing as an empty list, as Debezium 3 does", |it| {
        it.has("ExtractChangedRecordState")
            && it.java["record"] == without_empty_lists(&it.ours["record"])
    }),
    ("ExtractChangedRecordState knows equal bytes for equal, which Java never does", |it| {
        it.has("ExtractChangedRecordState")
            && it.was_given("\"type\":\"bytes\"")
            && without_lists(it.java) == without_lists(it.ours)
    }),
    ("add.fields of a struct that the envelope lacks is refused at once", |it| {
        it.refusal().contains("the envelope has no struct `transaction`")
    }),
    ("a null passes what Java refuses for its schema", |it| {
        const WORDS: [&str; 4] = [
            "Cannot look up fields on non-struct type",
            "Cannot list fields on non-struct type",
            "Unknown field",
            "does not correspond to a known timestamp type format",
        ];
        it.only_java_refuses()
            && WORDS.iter().any(|words| it.java_refusal().contains(words))
            && (it.has_null_side() || it.was_null() || it.has("ExtractField"))
    }),
    ("a list of fields to drop that is no list matters only to a row", |it| {
        it.only_java_refuses()
            && it.java_refusal().contains("cannot be cast to class java.util.List")
            && (it.ours["dropped"] == true
                || it.ours["record"]["value"].is_null()
                || it.envelope().is_some_and(|envelope| envelope["after"].is_null()))
    }),
    ("a key that is no struct keeps what it holds where Java fails to drop any", |it| {
        it.only_java_refuses()
            && it.has_option("drop.fields.from.key", "true")
            && (it.java_refusal().ends_with("Schema.fields()\" because \"schema\" is null")
                || it
                    .java_refusal()
                    .starts_with("Only Struct objects supported for [field replacement]"))
    }),
    (
        "a key that may lose fields says otherwise whether it is optional, which no row shows",
        |it| {
            let is_flag = |(java, ours): &(Json, Json)| java.is_boolean() && ours.is_boolean();
            it.has_option("drop.fields.from.key", "true")
                && it.java["record"]["key_schema"]["optional"]
                    != it.ours["record"]["key_schema"]["optional"]
                && it.leaves().is_some_and(|leaves| leaves.len() == 1 && leaves.iter().all(is_flag))
        },
    ),
    ("text with more digits than a year can have is refused as a time", |it| {
        it.only_we_refuse()
            && it.refusal().starts_with("Could not parse timestamp: value (9223372036854775808)")
    }),
    ("ByLogicalTableRouter keeps nulls of fields with a default", |it| {
        it.has("ByLogicalTableRouter")
            && it.leaves().is_some_and(|leaves| leaves.iter().all(|(_, ours)| ours.is_null()))
    }),
    ("a whole number beyond int64 keeps its value in a cast to a float", |it| {
        let float = |value: &Json| {
            value.as_str().is_some_and(|text| text.starts_with("d:") || text.starts_with("f:"))
        };
        it.has("Cast")
            && it.holds_number_beyond_int64()
            && it
                .leaves()
                .is_some_and(|leaves| leaves.iter().all(|(java, ours)| float(java) && float(ours)))
    }),
    ("dates before 1582 are of the calendar of ISO 8601, not of the Julian one", |it| {
        let text = |value: &Json| digits(value).is_some();
        it.has("TimestampConverter")
            && it.holds_early_time()
            && it
                .leaves()
                .is_some_and(|leaves| leaves.iter().all(|(java, ours)| text(java) && text(ours)))
    }),
    ("a number that no int64 or double holds is cast to its own digits", |it| {
        let own = |(java, ours): &(Json, Json)| {
            let (Some(java), Some(ours)) = (digits(java), digits(ours)) else { return false };
            it.was_given(ours) && same_in_java(ours, java)
        };
        it.has("Cast") && it.leaves().is_some_and(|leaves| leaves.iter().all(own))
    }),
    ("the schema of a null value is left as it is", |it| {
        it.only_java_refuses()
            && it.only_we_refuse()
            && (without_schemas_of_nulls(it.java) == without_schemas_of_nulls(it.ours)
                // Hoisted, the null is one field of a row.
                || it.has("TimestampConverter")
                    && it.was_null()
                    && without_schemas(it.java) == without_schemas(it.ours))
    }),
    ("SetSchemaMetadata names any schema, not only a struct's", |it| {
        it.has("SetSchemaMetadata")
            && it.only_java_refuses()
            && it.java_refusal() == "Cannot list fields on non-struct type"
    }),
    ("the default of a struct is read", |it| it.java_refusal() == "Invalid default value"),
    ("a time that does not fit into milliseconds is refused, not cut to fit", |it| {
        it.ours["error"] == "apply"
            && (it.refusal().contains("do not fit into milliseconds")
                || it.refusal().contains("is too far for a Date")
                || it.refusal().contains("is too far for this unix.precision"))
    }),
    ("a whole number beyond int64 is refused where Java takes its low bits", |it| {
        it.only_we_refuse()
            && it.holds_number_beyond_int64()
            && (it.refusal().ends_with("was out of range for requested data type")
                || it.refusal().ends_with("java.lang.Double objects as timestamps"))
    }),
    ("a null in a required field that InsertField made passes", |it| {
        it.only_java_refuses()
            && it.java_refusal()
                == "Invalid value: null used for required field: \"_ts\", schema type: INT64"
    }),
];

/// The digits of a text value.
fn digits(value: &Json) -> Option<&str> {
    value.as_str()?.strip_prefix("t:")
}

/// Whether Java's text stands for the same number, cut to what Java holds.
fn same_in_java(ours: &str, java: &str) -> bool {
    if ours.contains(['.', 'e', 'E']) {
        return ours.parse::<f64>().ok() == java.parse::<f64>().ok();
    }
    show::as_java_holds(ours) == format!("l:{java}")
}

/// A record without headers that are empty lists of columns.
fn without_empty_lists(record: &Json) -> Json {
    let mut record = record.clone();
    if let Some(Json::Array(headers)) = record.get_mut("headers") {
        headers.retain(|header| {
            let lists = matches!(header["name"].as_str(), Some("changed" | "unchanged"));
            !(lists && header["header"] == json!([]))
        });
    }
    record
}

/// A result without the headers that list columns.
fn without_lists(result: &Json) -> Json {
    let mut result = result.clone();
    if let Some(Json::Array(headers)) = result["record"].get_mut("headers") {
        headers.retain(|header| !matches!(header["name"].as_str(), Some("changed" | "unchanged")));
    }
    result
}

/// A result whose null sides have no schema.
fn without_schemas_of_nulls(result: &Json) -> Json {
    let mut result = result.clone();
    for side in ["key", "value"] {
        if result["record"][side].is_null() {
            result["record"][format!("{side}_schema")] = Json::Null;
        }
    }
    result
}

/// A result without the schemas of key and value.
fn without_schemas(result: &Json) -> Json {
    let mut result = result.clone();
    for side in ["key_schema", "value_schema"] {
        result["record"][side] = Json::Null;
    }
    result
}

/// The reason for this difference, if it is a known one.
pub(super) fn find(difference: &Difference<'_>) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(_, is)| is(difference)).map(|(reason, _)| *reason)
}
