//! JSON bodies into rows: which root forms are taken, and the words they are refused with
//! (STREAM_LOAD 6.1). Parsing is strict; how lenient the server's parser is beyond that is not
//! imitated.

use serde_json::{Deserializer, Value};

use crate::plan::{Field, Plan, Rows};

/// Adds every row of `body`. An error fails the whole load, whatever its filter ratio.
pub(crate) fn read(plan: &Plan, body: &[u8], rows: &mut Rows) -> Result<(), String> {
    let body = trim(body);
    let Some(&first) = body.first() else { return Ok(()) };
    let strip = plan.spec.strip_outer_array;
    let root = plan.spec.json_root.as_deref();
    match (first, strip, root) {
        (b'{' | b'[', _, Some(root)) => each(body, &mut |v| rooted(plan, v, root, rows)),
        (b'{', false, None) => documents(body, &mut |v| object(plan, &v, rows)),
        (b'[', true, None) => each(body, &mut |v| element(plan, &v, rows)),
        (b'[', false, None) => Err(array_in_stream(plan)),
        (b'{', true, None) => Err(format!(
            "the value should be array type with strip_outer_array=true, value: {}",
            excerpt(body)
        )),
        (other, ..) => Err(format!("illegal json started with {}", char::from(other))),
    }
    .inspect_err(|reason| rows.filter(reason, &excerpt(body)))
}

fn array_in_stream(plan: &Plan) -> String {
    if !plan.array_hint {
        return "Failed to iterate document stream as object. error: INCORRECT_TYPE".to_owned();
    }
    "The value is array type in json document stream, you can set strip_outer_array=true to parse \
     each element of the array as individual rows"
        .to_owned()
}

type Sink<'a> = &'a mut dyn FnMut(Value) -> Result<(), String>;

/// Concatenated documents.
fn documents(body: &[u8], sink: Sink<'_>) -> Result<(), String> {
    for value in Deserializer::from_slice(body).into_iter::<Value>() {
        sink(value.map_err(|e| format!("Failed to parse json as document stream. error: {e}"))?)?;
    }
    Ok(())
}

/// Elements of an outer array, or concatenated documents where there is none.
fn each(body: &[u8], sink: Sink<'_>) -> Result<(), String> {
    if body.first() != Some(&b'[') {
        return documents(body, sink);
    }
    let bad = |what: &str| format!("Failed to parse json as array. error: {what}");
    let mut rest = trim(&body[1..]);
    if let Some(b']') = rest.first() {
        return end_of_array(&rest[1..]);
    }
    loop {
        let mut stream = Deserializer::from_slice(rest).into_iter::<Value>();
        let value = stream.next().ok_or_else(|| bad("the array is not closed"))?;
        let value = value.map_err(|e| bad(&e.to_string()))?;
        rest = trim(&rest[stream.byte_offset()..]);
        sink(value)?;
        match rest.first() {
            Some(b',') => rest = trim(&rest[1..]),
            Some(b']') => return end_of_array(&rest[1..]),
            _ => return Err(bad("the array is not closed")),
        }
    }
}

fn end_of_array(rest: &[u8]) -> Result<(), String> {
    if trim(rest).is_empty() {
        return Ok(());
    }
    Err("Failed to parse json as array. error: text after the array".to_owned())
}

fn object(plan: &Plan, value: &Value, rows: &mut Rows) -> Result<(), String> {
    match value {
        Value::Object(_) => {
            add(plan, value, rows);
            Ok(())
        }
        Value::Array(_) => Err(array_in_stream(plan)),
        _ => Err("Failed to iterate document stream as object. error: INCORRECT_TYPE".to_owned()),
    }
}

fn element(plan: &Plan, value: &Value, rows: &mut Rows) -> Result<(), String> {
    if !value.is_object() {
        let text = "Failed to iterate json array as object. error: INCORRECT_TYPE";
        return Err(text.to_owned());
    }
    add(plan, value, rows);
    Ok(())
}

fn rooted(plan: &Plan, value: Value, root: &[String], rows: &mut Rows) -> Result<(), String> {
    let found = walk(&value, root).ok_or("Failed to parse json with root: no such path")?;
    if !plan.spec.strip_outer_array {
        if !found.is_object() {
            return Err("the value should be object type".to_owned());
        }
        add(plan, found, rows);
        return Ok(());
    }
    let items = found.as_array().ok_or("the value should be array type in json root")?;
    items.iter().try_for_each(|item| element(plan, item, rows))
}

fn add(plan: &Plan, row: &Value, rows: &mut Rows) {
    let raw = || row.to_string();
    match &plan.spec.jsonpaths {
        None => plan.add(rows, |i| present(row.get(plan.fields[i].as_str())), raw),
        Some(paths) => plan.add(
            rows,
            |i| match paths.get(i) {
                Some(path) => present(walk(row, path)),
                // The operation may still be picked up by its name.
                None if plan.fields[i] == "__op" => present(row.get("__op")),
                None => Field::Missing,
            },
            raw,
        ),
    }
}

fn present(value: Option<&Value>) -> Field<'_> {
    value.map_or(Field::Missing, Field::Json)
}

fn walk<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key.as_str()))
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}
