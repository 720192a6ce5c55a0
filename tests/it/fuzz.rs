//! The fuzz targets of `tests/fuzz` over the inputs kept in `tests/fixtures/fuzz`: seeds, what fuzzing
//! found once, and what covers the code best. One input a line, in hexadecimal.

use std::path::Path;

#[path = "../fuzz/doors.rs"]
mod doors;

#[track_caller]
fn walk(target: &str, door: fn(&[u8])) {
    let path = format!("tests/fixtures/fuzz/{target}.hex");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let text = text.expect("the corpus is there");
    assert!(text.lines().count() > 4, "the corpus of {target} is gone");
    for (at, line) in text.lines().enumerate() {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hexadecimal digit") as u8;
        let two = |two: &[u8]| two.iter().map(digit).fold(0, |sum, digit| sum << 4 | digit);
        let bytes: Vec<u8> = line.as_bytes().chunks(2).map(two).collect();
        let walked = std::panic::catch_unwind(|| door(&bytes));
        assert!(walked.is_ok(), "{target}.hex:{} breaks a promise", at + 1);
    }
}

#[test]
fn configuration_files_of_any_bytes_are_read_or_refused() {
    walk("properties", doors::properties);
}

#[test]
fn json_of_any_bytes_is_checked_and_converted_or_refused() {
    walk("json", doors::json);
}

#[test]
fn avro_of_any_bytes_is_decoded_or_refused() {
    walk("avro", doors::avro);
}

#[test]
fn protobuf_of_any_bytes_is_decoded_or_refused() {
    walk("protobuf", doors::protobuf);
}

#[test]
fn frames_of_any_bytes_are_taken_apart_or_refused() {
    walk("framing", doors::framing);
}
