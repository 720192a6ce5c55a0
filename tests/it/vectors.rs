//! Recorded results of the Java classes (`tests/fixtures/connect_vectors.json`), and of any further
//! file of that format named by `STARSINK_VECTORS`, through converters, transforms and the
//! readers of configuration files.
//!
//! Every vector counts: an unknown kind fails. Where this program differs from Java on purpose,
//! [`DEVIATIONS`] says how, and that is asserted instead.

mod check;
mod notation;

use serde_json::Value as Json;

const FIXTURE: &str = "tests/fixtures/connect_vectors.json";

/// Vectors in the fixture; a change of the file must be noticed.
const IN_FIXTURE: usize = 206;

/// What this program does where Java damages a value or dies of a null pointer.
enum Deviation {
    /// Refuses, with these words.
    Refuses(&'static str),
    /// Gives this value, in the vectors' notation.
    Gives(&'static str),
}

/// Differences on purpose, by vector.
const DEVIATIONS: &[(&str, Deviation)] = &[
    ("hdrfrom-04", Deviation::Refuses("Unknown field: zz")),
    ("replace-07", Deviation::Gives(r#"{"b":2}"#)),
    ("tsconv-09", Deviation::Refuses("without the option `format`")),
    ("dbz-23", Deviation::Refuses("neither before nor after image")),
    ("dbz-30", Deviation::Refuses("no struct `nostruct`")),
    ("props-06", Deviation::Gives(r#"{"pw":"ü"}"#)),
    ("json-07", Deviation::Gives(r#"{"n":9223372036854775808,"m":18446744073709551616}"#)),
    ("json-09", Deviation::Gives(r#"{"n":1e400}"#)),
    ("json-18", Deviation::Refuses("is no value of type INT32 (in field `a`)")),
];

/// What became of the vectors of one file.
#[derive(Default)]
struct Tally {
    seen: usize,
    failures: Vec<String>,
}

fn run(path: &str) -> Tally {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut file: Json = serde_json::from_str(&text).expect("the vectors are JSON");
    let defs = file["defs"].clone();
    let mut tally = Tally::default();
    for vector in file["vectors"].as_array_mut().expect("vectors") {
        notation::resolve(vector, &defs);
        tally.seen += 1;
        let kind = vector["kind"].as_str().unwrap_or_default().to_string();
        let id = vector["id"].as_str().unwrap_or("without id");
        let deviation = DEVIATIONS.iter().find(|(known, _)| *known == id).map(|(_, how)| how);
        // A further file may advise differences that this list cannot know: any but a panic is one.
        let advised = deviation.is_none() && vector.get("advice").is_some() && path != FIXTURE;
        let failure = match check::vector(&kind, vector, deviation) {
            None => format!("kind `{kind}` is not known"),
            Some(Err(why)) if !advised => why,
            Some(_) => continue,
        };
        tally.failures.push(format!("{id} ({}): {failure}", vector["about"]));
    }
    tally
}

#[track_caller]
fn report(tally: &Tally, path: &str) {
    let failures = &tally.failures;
    assert!(
        failures.is_empty(),
        "{} of {} vectors of {path} differ:\n{}",
        failures.len(),
        tally.seen,
        failures.join("\n")
    );
}

#[test]
fn every_recorded_vector_is_met_or_differs_on_purpose() {
    let tally = run(FIXTURE);
    report(&tally, FIXTURE);
    assert_eq!(tally.seen, IN_FIXTURE);
}

#[test]
fn further_vectors_named_by_the_environment_are_met_too() {
    let Ok(paths) = std::env::var("STARSINK_VECTORS") else { return };
    for path in std::env::split_paths(&paths) {
        let path = path.to_string_lossy().into_owned();
        report(&run(&path), &path);
    }
}
