//! Replies as the frontend prints them: compact JSON with Gson's escapes, mostly under HTTP 200.

use crate::http::{HTML, Reply};
use crate::service::Handled;

/// A JSON string with the characters escaped that Gson escapes.
pub(crate) fn gson(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('=', "\\u003d")
        .replace('\'', "\\u0027")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn rest_json(status: &str, code: u8, msg: &str) -> String {
    let msg = gson(msg);
    format!("{{\"status\":\"{status}\",\"code\":\"{code}\",\"msg\":{msg},\"message\":{msg}}}")
}

pub(super) fn ok() -> Handled {
    let body = r#"{"status":"OK","code":"0","msg":"Success","message":"OK"}"#;
    Handled::new(Reply::json(body), "OK")
}

/// A failure told under HTTP 200.
pub(super) fn rest_failure(msg: &str) -> Handled {
    Handled::new(Reply::json(rest_json("FAILED", 1, msg)), "FAILED")
}

/// A failure told with its HTTP status.
pub(super) fn http_failure(status: u16, msg: &str) -> Handled {
    let reply = Reply::new(status, HTML, rest_json("FAILED", 1, msg));
    Handled::new(reply, status.to_string())
}

pub(super) fn access_denied(msg: &str) -> Handled {
    let reply = Reply::new(401, HTML, rest_json("FAILED", 1, msg))
        .header("WWW-Authenticate", "Basic realm=\"\"");
    Handled::new(reply, "401")
}

pub(super) fn not_implemented() -> Handled {
    http_failure(501, "Not implemented")
}

pub(super) fn not_found() -> Handled {
    Handled::new(Reply::new(404, HTML, super::PAGE_404), "404")
}

/// `_stream_load`'s failures: pretty-printed, the exception's class before the text.
pub(super) fn class_failure(class: &str, text: &str) -> Handled {
    let message = gson(&format!("class {class}: {text}"));
    let body = format!("{{\n  \"Status\": \"FAILED\",\n  \"Message\": {message}\n}}");
    Handled::new(Reply::json(body), "FAILED")
}

/// The transaction interface's failures.
pub(super) fn txn_failure(class: &str, text: &str) -> Handled {
    let message = gson(&format!("class {class}: {text}"));
    let body = format!("{{\"Status\":\"FAILED\",\"Message\":{message}}}");
    Handled::new(Reply::json(body), "FAILED")
}

/// The transaction interface's successes.
pub(super) fn txn_ok(label: &str, txn_id: i64, message: &str) -> Handled {
    let (label, message) = (gson(label), gson(message));
    let body =
        format!("{{\"Label\":{label},\"Status\":\"OK\",\"TxnId\":{txn_id},\"Message\":{message}}}");
    Handled::new(Reply::json(body), "OK").txn(txn_id)
}
