//! The headers of a load: what they say, which values are refused, in the server's words
//! (STREAM_LOAD 3.2). What the stand-in does not imitate is refused as well, never ignored.

use crate::http::Headers;
use crate::profile::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Lz4Frame,
    Zstd,
}

/// How CSV text is cut into fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvSpec {
    pub(crate) column_separator: Vec<u8>,
    pub(crate) row_delimiter: Vec<u8>,
    pub(crate) skip_header: usize,
    pub(crate) trim_space: bool,
    pub(crate) enclose: Option<u8>,
    pub(crate) escape: Option<u8>,
}

/// One entry of the `columns` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) name: String,
    /// `name = expr`.
    pub(crate) expr: Option<Expr>,
}

/// The expressions the stand-in knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    Column(String),
    /// A number or string literal's text; `None` is NULL.
    Literal(Option<String>),
}

/// A load's headers, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoadSpec {
    pub(crate) format: Format,
    pub(crate) compression: Option<Compression>,
    pub(crate) columns: Option<Vec<Mapped>>,
    pub(crate) max_filter_ratio: f64,
    pub(crate) strict: bool,
    pub(crate) strip_outer_array: bool,
    /// Each path as its keys; empty is `$`.
    pub(crate) jsonpaths: Option<Vec<Vec<String>>>,
    pub(crate) json_root: Option<Vec<String>>,
    pub(crate) ignore_json_size: bool,
    pub(crate) partial_update: bool,
    pub(crate) merge_condition: Option<String>,
    pub(crate) csv: CsvSpec,
    /// `log_rejected_record_num` asks for rejected records.
    pub(crate) logs_rejected: bool,
}

/// Headers that identify a load; a transaction's loads must agree in them.
const LOAD_HEADERS: [&str; 27] = [
    "format",
    "compression",
    "content-encoding",
    "columns",
    "where",
    "max_filter_ratio",
    "partitions",
    "temporary_partitions",
    "strict_mode",
    "timezone",
    "load_mem_limit",
    "partial_update",
    "partial_update_mode",
    "merge_condition",
    "jsonpaths",
    "json_root",
    "strip_outer_array",
    "column_separator",
    "row_delimiter",
    "skip_header",
    "trim_space",
    "enclose",
    "escape",
    "log_rejected_record_num",
    "negative",
    "envelope",
    "load_dop",
];

/// Names and values of load headers.
pub(crate) type Signature = Vec<(String, String)>;

/// The load headers and values, for comparing one load with the next.
pub(crate) fn signature(headers: &Headers) -> Signature {
    LOAD_HEADERS
        .iter()
        .filter_map(|name| headers.get(name).map(|v| ((*name).to_owned(), v.to_owned())))
        .collect()
}

impl LoadSpec {
    /// Reads the headers; `in_transaction` is the transaction interface's handler, which ignores
    /// some of them.
    pub(crate) fn parse(
        headers: &Headers,
        version: Version,
        in_transaction: bool,
    ) -> Result<Self, String> {
        let (format, named) = format(headers.filled("format").unwrap_or("csv"))?;
        let compression = compression(headers, named)?;
        if format == Format::Json && compression.is_some() && !version.has_json_compression() {
            return Err("compressed JSON is not supported before 3.2.7".to_owned());
        }
        refuse_unknown(headers)?;
        check_numbers(headers, version)?;
        let partial_update = if in_transaction {
            headers.get("partial_update") == Some("true")
        } else {
            flag(headers, "partial_update", "partial update flag format")?
        };
        Ok(Self {
            format,
            compression,
            columns: headers.filled("columns").map(parse_columns).transpose()?,
            // Garbage is 0, as strtod gives.
            max_filter_ratio: headers
                .get("max_filter_ratio")
                .and_then(|v| v.trim().parse().ok())
                .unwrap_or(0.0),
            strict: flag(headers, "strict_mode", "strict mode format")?,
            strip_outer_array: is_true(headers, "strip_outer_array"),
            jsonpaths: headers.filled("jsonpaths").map(json_paths).transpose()?,
            json_root: headers.filled("json_root").map(json_path).transpose()?,
            ignore_json_size: is_true(headers, "ignore_json_size"),
            partial_update,
            merge_condition: headers.filled("merge_condition").map(str::to_owned),
            csv: csv_spec(headers, version, in_transaction)?,
            logs_rejected: !in_transaction
                && version.has_rejected_records()
                && headers.filled("log_rejected_record_num").is_some_and(|n| n != "0"),
        })
    }
}

fn is_true(headers: &Headers, name: &str) -> bool {
    headers.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

fn flag(headers: &Headers, name: &str, what: &str) -> Result<bool, String> {
    match headers.filled(name) {
        None => Ok(false),
        Some(v) if v.eq_ignore_ascii_case("true") => Ok(true),
        Some(v) if v.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(format!("Invalid {what}. Must be bool type")),
    }
}

/// The format and, where the format names one, the compression of a CSV body.
fn format(text: &str) -> Result<(Format, Option<Compression>), String> {
    match text.to_ascii_lowercase().as_str() {
        "csv" => Ok((Format::Csv, None)),
        "json" => Ok((Format::Json, None)),
        "gzip" => Ok((Format::Csv, Some(Compression::Gzip))),
        "zstd" => Ok((Format::Csv, Some(Compression::Zstd))),
        "lz4" => Ok((Format::Csv, Some(Compression::Lz4Frame))),
        "bzip2" | "deflate" => Err(format!("stand-in: format={text} is not imitated")),
        _ => Err(format!("unknown data format, format={text}")),
    }
}

fn compression(
    headers: &Headers,
    named: Option<Compression>,
) -> Result<Option<Compression>, String> {
    let name = match (headers.filled("compression"), headers.filled("content-encoding")) {
        (Some(_), Some(_)) => {
            let text = "Only one of http header content-encoding and compression can be set";
            return Err(text.to_owned());
        }
        (one, other) => one.or(other),
    };
    match name.map(str::to_ascii_uppercase).as_deref() {
        None => Ok(named),
        Some("GZIP") => Ok(Some(Compression::Gzip)),
        Some("LZ4_FRAME" | "LZ4") => Ok(Some(Compression::Lz4Frame)),
        Some("ZSTD") => Ok(Some(Compression::Zstd)),
        Some("BZIP2" | "DEFLATE" | "ZLIB" | "SNAPPY") => {
            Err(format!("stand-in: compression {} is not imitated", name.unwrap_or_default()))
        }
        Some(_) => Err(format!("Unsupported compression type: {}", name.unwrap_or_default())),
    }
}

fn refuse_unknown(headers: &Headers) -> Result<(), String> {
    if headers.filled("partitions").is_some() && headers.filled("temporary_partitions").is_some() {
        return Err("Can not specify both partitions and temporary partitions".to_owned());
    }
    let set = |name: &&&str| headers.filled(name).is_some();
    let names = ["where", "partitions", "temporary_partitions"];
    if let Some(name) = names.iter().find(set) {
        return Err(format!("stand-in: header `{name}` is not imitated"));
    }
    if headers.get("negative") == Some("true") {
        return Err("stand-in: header `negative` is not imitated".to_owned());
    }
    if headers.filled("envelope").is_some_and(|v| !v.eq_ignore_ascii_case("none")) {
        return Err("stand-in: header `envelope` is not imitated".to_owned());
    }
    if is_true(headers, "enable_merge_commit") {
        return Err("stand-in: merge commit is not imitated".to_owned());
    }
    match headers.filled("enable_merge_commit") {
        None => Ok(()),
        Some(v) if v.eq_ignore_ascii_case("false") => Ok(()),
        Some(v) => Err(format!(
            "Invalid parameter enable_merge_commit. The value must be bool type, but is {v}"
        )),
    }
}

fn check_numbers(headers: &Headers, version: Version) -> Result<(), String> {
    match headers.filled("load_mem_limit").map(str::parse::<i64>) {
        Some(Err(_)) => return Err("Invalid load mem limit format".to_owned()),
        Some(Ok(n)) if n < 0 => {
            return Err("load_mem_limit must be equal or greater than 0".to_owned());
        }
        _ => {}
    }
    if let Some(text) = headers.filled("exec_mem_limit")
        && !text.parse::<i64>().is_ok_and(|n| n > 0)
    {
        return Err("exec_mem_limit must be greater than 0".to_owned());
    }
    if version.has_rejected_records()
        && let Some(text) = headers.filled("log_rejected_record_num")
        && !text.parse::<i64>().is_ok_and(|n| n >= -1)
    {
        return Err("log_rejected_record_num must be equal or greater than -1".to_owned());
    }
    Ok(())
}

/// `timeout` of a plain load or a begin sent to the backend, in seconds; range is the frontend's
/// to check.
pub(crate) fn timeout_seconds(headers: &Headers, name: &str) -> Result<Option<u64>, String> {
    headers
        .filled(name)
        .map(|v| v.trim().parse().map_err(|_| "Invalid timeout format".to_owned()))
        .transpose()
}

fn csv_spec(headers: &Headers, version: Version, in_transaction: bool) -> Result<CsvSpec, String> {
    let mut spec = CsvSpec {
        column_separator: delimiter(headers.filled("column_separator").unwrap_or("\t"))?,
        row_delimiter: delimiter(headers.filled("row_delimiter").unwrap_or("\n"))?,
        skip_header: 0,
        trim_space: false,
        enclose: None,
        escape: None,
    };
    // The transaction handler and the old releases do not look at the rest.
    if in_transaction || !version.has_csv_v2() {
        return Ok(spec);
    }
    spec.skip_header = match headers.filled("skip_header").map(str::parse::<i64>) {
        None => 0,
        Some(Err(_)) => return Err("Invalid csv load skip_header format".to_owned()),
        Some(Ok(n)) => usize::try_from(n)
            .map_err(|_| "skip_header must be equal or greater than 0".to_owned())?,
    };
    spec.trim_space = flag(headers, "trim_space", "trim space format")?;
    let first_byte = |name: &str| headers.filled(name).map(|v| v.as_bytes()[0]);
    spec.enclose = first_byte("enclose");
    spec.escape = first_byte("escape");
    Ok(spec)
}

/// A separator as written in a header: literal, or hexadecimal after `\x` or `0x`.
fn delimiter(text: &str) -> Result<Vec<u8>, String> {
    let lower = text.to_ascii_lowercase();
    let Some(hex) = lower.strip_prefix("\\x").or_else(|| lower.strip_prefix("0x")) else {
        if text.len() > 50 {
            return Err(format!("Invalid delimiter '{text}': longer than 50 bytes"));
        }
        return Ok(text.as_bytes().to_vec());
    };
    if hex.is_empty() {
        return Err(format!("Invalid delimiter '{text}: empty hex string"));
    }
    if hex.len() % 2 != 0 {
        return Err(format!("Invalid delimiter '{text}: hex length must be a even number"));
    }
    (0..hex.len())
        .step_by(2)
        .map(|i| hex.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok()))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| format!("Invalid delimiter '{text}': invalid hex format"))
}

/// Splits at commas outside quotes and parentheses.
fn split_list(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quote, mut depth) = (None, 0);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.into_iter().map(|p| p.trim().to_owned()).collect()
}

fn parse_columns(text: &str) -> Result<Vec<Mapped>, String> {
    split_list(text).into_iter().map(|part| parse_mapped(&part)).collect()
}

fn parse_mapped(part: &str) -> Result<Mapped, String> {
    let unquote = |name: &str| name.trim().trim_matches('`').to_owned();
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    };
    let (name, expr) = match part.split_once('=') {
        None => (unquote(part), None),
        Some((name, expr)) => (unquote(name), Some(parse_expr(expr.trim())?)),
    };
    if is_name(&name) {
        Ok(Mapped { name, expr })
    } else {
        Err(format!("Syntax error in columns: {part}"))
    }
}

fn parse_expr(text: &str) -> Result<Expr, String> {
    let quoted = |q: char| text.len() >= 2 && text.starts_with(q) && text.ends_with(q);
    if quoted('\'') || quoted('"') {
        return Ok(Expr::Literal(Some(text[1..text.len() - 1].to_owned())));
    }
    if text.eq_ignore_ascii_case("null") {
        return Ok(Expr::Literal(None));
    }
    if text.parse::<f64>().is_ok() {
        return Ok(Expr::Literal(Some(text.to_owned())));
    }
    let name = text.trim_matches('`');
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain && !name.eq_ignore_ascii_case("default") {
        return Ok(Expr::Column(name.to_owned()));
    }
    Err(format!("stand-in: expression `{text}` is not imitated"))
}

fn json_paths(text: &str) -> Result<Vec<Vec<String>>, String> {
    let paths: Vec<String> =
        serde_json::from_str(text).map_err(|_| format!("Invalid json path: {text}"))?;
    paths.iter().map(|p| json_path(p)).collect()
}

/// `$.a.b` as its keys; array subscripts are refused.
fn json_path(text: &str) -> Result<Vec<String>, String> {
    let rest = text.strip_prefix('$').ok_or_else(|| format!("Invalid json path: {text}"))?;
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    if rest.contains(['[', '*', '"']) {
        return Err(format!("stand-in: json path `{text}` is not imitated"));
    }
    let keys = rest.strip_prefix('.').ok_or_else(|| format!("Invalid json path: {text}"))?;
    let keys: Vec<String> = keys.split('.').map(str::to_owned).collect();
    if keys.iter().any(String::is_empty) {
        return Err(format!("Invalid json path: {text}"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)], in_transaction: bool) -> Result<LoadSpec, String> {
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        LoadSpec::parse(&Headers(pairs), Version::V3_5, in_transaction)
    }

    #[track_caller]
    fn refuses(name: &str, value: &str, text: &str) {
        assert_eq!(parse(&[(name, value)], false).unwrap_err(), text);
    }

    #[test]
    fn bad_header_values_are_refused_in_the_servers_words() {
        refuses("format", "xml", "unknown data format, format=xml");
        refuses("compression", "brotli", "Unsupported compression type: brotli");
        refuses("strict_mode", "yes", "Invalid strict mode format. Must be bool type");
        refuses("partial_update", "1", "Invalid partial update flag format. Must be bool type");
        refuses("trim_space", "1", "Invalid trim space format. Must be bool type");
        refuses("skip_header", "-1", "skip_header must be equal or greater than 0");
        refuses("skip_header", "x", "Invalid csv load skip_header format");
        refuses("load_mem_limit", "-1", "load_mem_limit must be equal or greater than 0");
        refuses("load_mem_limit", "x", "Invalid load mem limit format");
        refuses("exec_mem_limit", "0", "exec_mem_limit must be greater than 0");
        let text = "log_rejected_record_num must be equal or greater than -1";
        refuses("log_rejected_record_num", "-2", text);
        refuses("column_separator", "\\x", "Invalid delimiter '\\x: empty hex string");
        refuses(
            "column_separator",
            "\\x1",
            "Invalid delimiter '\\x1: hex length must be a even number",
        );
        refuses("column_separator", "0xzz", "Invalid delimiter '0xzz': invalid hex format");
        refuses("jsonpaths", "a", "Invalid json path: a");
        refuses("where", "a > 1", "stand-in: header `where` is not imitated");
        refuses("columns", "a, b = a + 1", "stand-in: expression `a + 1` is not imitated");
        let both = parse(&[("compression", "gzip"), ("content-encoding", "gzip")], false);
        let text = "Only one of http header content-encoding and compression can be set";
        assert_eq!(both.unwrap_err(), text);
    }

    #[test]
    fn separators_are_read_in_hexadecimal_and_a_bad_ratio_is_zero() {
        let spec = parse(&[("column_separator", "\\x0102"), ("max_filter_ratio", "x")], false);
        let spec = spec.unwrap();
        assert_eq!(spec.csv.column_separator, [1, 2]);
        assert_eq!(spec.max_filter_ratio, 0.0);
    }

    #[test]
    fn a_transactions_load_ignores_the_newer_csv_headers() {
        let headers = [("enclose", "\""), ("skip_header", "x"), ("trim_space", "1")];
        let spec = parse(&headers, true).unwrap();
        assert_eq!((spec.csv.enclose, spec.csv.skip_header, spec.csv.trim_space), (None, 0, false));
    }
}
