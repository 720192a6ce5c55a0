//! Converters and transforms against the Java classes: random records through random chains, in both,
//! and what comes out compared.
//!
//! A seed makes the same cases everywhere. Each case is a configuration and some records; the
//! comparison is of topic, timestamp, key, value, headers and every schema. A difference must be one
//! of [`known::DIFFERENCES`], each of which has a reason, or the test fails and prints the case.
//! An error counts as equal to an error in the same phase, whatever its words.

mod chains;
mod dice;
mod java;
mod known;
mod records;
mod show;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::thread;

use e2e::connect::{DEBEZIUM_2, DEBEZIUM_3};
use serde_json::{Value as Json, json};
use starsink::convert::Converter;
use starsink::data::options::Options;
use starsink::data::{ConnectRecord, Header};
use starsink::record::Offset;
use starsink::transform::{Chain, Outcome};

use self::chains::Generation;
use self::dice::Dice;
use self::java::Java;
use self::records::{Side, Wild};

/// Cases of one run; `just differential SEED CASES` sets it.
const CASES: &str = "STARSINK_E2E_CASES";
/// Repeats a run's choices.
const SEED: &str = "STARSINK_E2E_SEED";
/// Runs this case of the seed alone and prints it.
const CASE: &str = "STARSINK_E2E_CASE";

const CASES_UNLESS_SET: u64 = 250;
const RECORDS_PER_CASE: usize = 50;
/// Differences shown in full.
const SHOWN: usize = 60;

/// One record as a producer wrote it.
struct Given {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
    /// Some value is of another type than its schema says.
    is_wild: bool,
}

/// A configuration and records for it.
struct Case {
    /// `transforms.*`, `predicates.*`.
    config: chains::Config,
    /// Class and options.
    key: chains::Config,
    value: chains::Config,
    topic: &'static str,
    records: Vec<Given>,
    /// Whether the converter leaves out what no transform reads, as a run does.
    is_lean: bool,
}

const PARTITION: u32 = 3;
const FIRST_OFFSET: u64 = 9;

impl Case {
    fn random(seed: u64, number: u64, debezium: &str) -> Case {
        let old = debezium.starts_with("2.");
        let generation = if old { Generation::Old } else { Generation::New };
        let mut dice = Dice::of(seed, number);
        let value = Side::value(&mut dice);
        let is_envelope = value.form == records::Form::Envelope;
        let key = Side::key(&mut dice, is_envelope);
        let connector = java::connector().is_some();
        let config = chains::random(&mut dice, value.form, generation, connector);
        let options = |side: &Side, dice: &mut Dice| {
            let mut options = vec![("class".to_owned(), side.class())];
            let schemas = side.form != records::Form::Schemaless;
            options.push(("schemas.enable".to_owned(), schemas.to_string()));
            if dice.once_in(2) {
                let choice = dice.pick(&["true", "false"]).to_owned();
                options.push(("replace.null.with.default".to_owned(), choice));
            }
            options
        };
        let topic = dice.pick(&["orders", "shop.lines", "bc"]);
        let has_wild = dice.once_in(8);
        let records = (0..RECORDS_PER_CASE)
            .map(|_| {
                let mut wild = if has_wild { Wild::once_in(60) } else { Wild::never() };
                let timestamp =
                    (!dice.once_in(10)).then(|| 1_700_000_000_123 + dice.below(9_999_999) as i64);
                Given {
                    key: key.bytes(&mut dice, &mut wild),
                    value: value.bytes(&mut dice, &mut wild),
                    headers: records::headers(&mut dice),
                    timestamp,
                    is_wild: wild.struck,
                }
            })
            .collect();
        let (key, value) = (options(&key, &mut dice), options(&value, &mut dice));
        Case { config, key, value, topic, records, is_lean: dice.once_in(2) }
    }

    /// The line for the harness.
    fn to_json(&self) -> Json {
        let object = |pairs: &chains::Config| -> Json {
            pairs
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let record = |(at, given): (usize, &Given)| {
            let headers = given
                .headers
                .iter()
                .map(|(name, value)| json!([name, records::in_base64(value.as_deref())]));
            json!({
                "topic": self.topic,
                "partition": PARTITION,
                "offset": FIRST_OFFSET + at as u64,
                "timestamp": given.timestamp,
                "key": records::in_base64(given.key.as_deref()),
                "value": records::in_base64(given.value.as_deref()),
                "headers": headers.collect::<Vec<_>>(),
            })
        };
        json!({
            "config": object(&self.config),
            "key": object(&self.key),
            "value": object(&self.value),
            "records": self.records.iter().enumerate().map(record).collect::<Vec<_>>(),
        })
    }

    /// What the library makes of it, as the harness would print it.
    fn ours(&self, debezium: &str) -> Json {
        match self.compile(debezium) {
            Err(message) => json!({ "error": "configure", "message": message }),
            Ok(mut plan) => {
                let one = |(at, given)| plan.run(self, at, given);
                json!({ "results": self.records.iter().enumerate().map(one).collect::<Vec<_>>() })
            }
        }
    }

    /// Simple names of its transforms.
    fn classes(&self) -> String {
        let types = self
            .config
            .iter()
            .filter(|(key, _)| key.starts_with("transforms.") && key.ends_with(".type"));
        let names = types.map(|(_, class)| class.rsplit('.').next().unwrap_or_default());
        names.collect::<Vec<_>>().join(" ")
    }

    /// The configuration without predicates that nothing names.
    fn shown(&self) -> String {
        let named: Vec<&str> = self
            .config
            .iter()
            .filter(|(key, _)| key.ends_with(".predicate"))
            .map(|(_, name)| name.as_str())
            .collect();
        let lines = self.config.iter().filter(|(key, _)| {
            let predicate = key.strip_prefix("predicates.").and_then(|rest| rest.split('.').next());
            predicate.is_none_or(|alias| named.contains(&alias)) && key != "predicates"
        });
        lines.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn compile(&self, debezium: &str) -> Result<Plan, String> {
        let mut config = self.config.clone();
        if debezium.starts_with("2.") {
            let unwraps = self.config.iter().filter(|(key, value)| {
                key.ends_with(".type") && value.ends_with(".ExtractNewRecordState")
            });
            for (key, _) in unwraps {
                let key = key.replace(".type", ".starsink.debezium");
                config.push((key, "3.1".to_owned()));
            }
        }
        let chain = Chain::compile(&config.into_iter().collect())
            .map_err(|problem| format!("{problem} {:?}", problem.causes))?;
        let converter = |side: &chains::Config| {
            let options: Options = side.iter().cloned().collect();
            Converter::compile(&side[0].1, &options).map_err(|failure| failure.message)
        };
        let header = "org.apache.kafka.connect.storage.SimpleHeaderConverter";
        let mut value = converter(&self.value)?;
        if self.is_lean {
            value.leave_out_of_envelopes(chain.unused_in_envelopes());
        }
        Ok(Plan {
            chain,
            key: converter(&self.key)?,
            value,
            header: Converter::compile(header, &Options::default()).expect("it has no options"),
        })
    }
}

/// Converters and chain of a case.
struct Plan {
    chain: Chain,
    key: Converter,
    value: Converter,
    header: Converter,
}

impl Plan {
    fn run(&mut self, case: &Case, at: usize, given: &Given) -> Json {
        let failed = |phase: &str, message: String| json!({ "error": phase, "message": message });
        let key = match self.key.convert(given.key.as_deref()) {
            Ok(key) => key,
            Err(failure) => return failed("key", failure.message),
        };
        let value = match self.value.convert(given.value.as_deref()) {
            Ok(value) => value,
            Err(failure) => return failed("value", failure.message),
        };
        let mut headers = Vec::new();
        for (name, bytes) in &given.headers {
            match self.header.convert(bytes.as_deref()) {
                Ok(value) => headers.push(Header { name: name.into(), value }),
                Err(failure) => return failed("header", failure.message),
            }
        }
        let mut record = ConnectRecord {
            topic: Arc::from(case.topic),
            partition: PARTITION,
            offset: Offset(FIRST_OFFSET + at as u64),
            timestamp: given.timestamp,
            key,
            value,
            headers,
        };
        match self.chain.apply(&mut record) {
            Err(error) => failed("apply", error.failure.message),
            Ok(Outcome::Drop(_)) => json!({ "dropped": true }),
            Ok(Outcome::Many(_)) => json!({ "error": "apply", "message": "became several" }),
            Ok(Outcome::Keep) => json!({ "record": show::record(&record) }),
        }
    }
}

/// A value's beginning.
fn short(value: &Json) -> String {
    value.to_string().chars().take(150).collect()
}

/// What a run came to.
#[derive(Default)]
struct Tally {
    records: u64,
    /// Alike as records, as drops, as refusals; and configurations that both refuse.
    alike: BTreeMap<&'static str, u64>,
    known: BTreeMap<&'static str, u64>,
    differing: u64,
    /// One of each kind, by transforms and place.
    differences: BTreeMap<String, String>,
}

fn phase(result: &Json) -> Option<&str> {
    result["error"].as_str()
}

impl Tally {
    fn add(&mut self, number: u64, case: &Case, mut java: Json, mut ours: Json) {
        show::normalise(&mut java);
        show::normalise(&mut ours);
        if phase(&java).is_some() || phase(&ours).is_some() {
            self.records += case.records.len() as u64;
            if phase(&java) == phase(&ours) {
                *self.alike.entry("configurations refused").or_default() += 1;
            } else {
                self.differ(number, case, None, &java, &ours);
            }
            return;
        }
        for (at, (java, ours)) in java["results"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(ours["results"].as_array().into_iter().flatten())
            .enumerate()
        {
            self.records += 1;
            let kind = match (phase(java), phase(ours)) {
                (Some(theirs), Some(own)) if theirs == own => "records refused",
                (None, None) if java == ours && java["dropped"] == true => "records dropped",
                (None, None) if java == ours => "records equal",
                _ => {
                    self.differ(number, case, Some(at), java, ours);
                    continue;
                }
            };
            *self.alike.entry(kind).or_default() += 1;
        }
    }

    fn differ(&mut self, number: u64, case: &Case, at: Option<usize>, java: &Json, ours: &Json) {
        let given = at.map(|at| &case.records[at]);
        let difference = known::Difference { config: &case.config, given, java, ours };
        if let Some(name) = known::find(&difference) {
            *self.known.entry(name).or_default() += 1;
            return;
        }
        self.differing += 1;
        let (path, theirs, own) = show::first_difference(java, ours);
        let mut here = path.clone();
        here.retain(|letter| !letter.is_ascii_digit());
        let likeness = format!("{} {here}", case.classes());
        if self.differences.contains_key(&likeness) {
            return;
        }
        let text = |bytes: &Option<Vec<u8>>| match bytes {
            None => "null".to_owned(),
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        let record = given.map_or_else(String::new, |given| {
            let headers =
                given.headers.iter().map(|(name, value)| format!("{name}: {}", text(value)));
            format!(
                "  record {} key {}\n  value {}\n  headers {:?}\n",
                at.unwrap_or_default(),
                text(&given.key),
                text(&given.value),
                headers.collect::<Vec<_>>(),
            )
        });
        let mut shown = format!(
            "case {number}: {}\n  {path}: Java {} | ours {}\n",
            case.classes(),
            short(&theirs),
            short(&own)
        );
        if variable(CASE).is_some() {
            shown += &format!(
                "{}\n{record}  key {:?}, value {:?}\n  Java {java}\n  ours {ours}\n",
                case.shown(),
                case.key,
                case.value
            );
        } else {
            let message = |result: &Json| short(&result["message"]);
            shown += &format!("    {} | {}\n", message(java), message(ours));
        }
        self.differences.insert(likeness, shown);
    }

    /// Prints the counts and panics if anything differs that is not known to.
    #[track_caller]
    fn report(self, seed: u64, cases: u64, debezium: &str) {
        let mut said = format!(
            "differential seed {seed}, Debezium {debezium}: {cases} chains, {} records\n",
            self.records
        );
        for (kind, count) in self.alike.iter().chain(&self.known) {
            said += &format!("  {count:>8} {kind}\n");
        }
        said += &format!("  {:>8} differ\n", self.differing);
        write!(std::io::stderr(), "{said}").ok();
        let shown: Vec<String> = self.differences.into_values().take(SHOWN).collect();
        assert!(
            self.differing == 0,
            "{} differences; seed {seed}; {CASE}=N runs one case alone\n{}",
            self.differing,
            shown.join("\n")
        );
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Runs the seed's cases through the harness and the library, and compares.
#[track_caller]
fn compare(debezium: &'static str) {
    let seed = variable(SEED).unwrap_or(1);
    let numbers = match variable(CASE) {
        Some(one) => one..one + 1,
        None => 0..variable(CASES).unwrap_or(CASES_UNLESS_SET),
    };
    let cases = numbers.end - numbers.start;
    let mut java = Java::start(debezium).expect("the harness starts");
    let mut input = java.input();
    let all = numbers.clone();
    // The harness reads the next case while this one is compared.
    let feeder = thread::spawn(move || {
        for number in all {
            let line = Case::random(seed, number, debezium).to_json();
            if writeln!(input, "{line}").is_err() {
                break;
            }
        }
    });
    let mut tally = Tally::default();
    for number in numbers {
        let case = Case::random(seed, number, debezium);
        let ours = case.ours(debezium);
        let theirs = java.answer().expect("the harness answers");
        tally.add(number, &case, theirs, ours);
    }
    feeder.join().expect("the feeder ends");
    tally.report(seed, cases, debezium);
}

#[test]
fn random_chains_give_what_kafka_connect_and_debezium_3_give() {
    compare(DEBEZIUM_3);
}

#[test]
fn random_chains_give_what_kafka_connect_and_debezium_2_give() {
    compare(DEBEZIUM_2);
}
