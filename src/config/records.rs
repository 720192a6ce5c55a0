//! Converters, transforms and the meaning of null values: what a record's bytes become. Compiles
//! everything once, so that a run cannot meet a mistake of the configuration later.

use crate::config::entry::{Entry, Note};
use crate::config::job::{
    Body, ConverterChoice, Format, NewFields, Records, Tombstones, ValueKind,
};
use crate::config::settings::Settings;
use crate::config::{Environment, keys, registry};
use crate::convert::Converter;
use crate::data::options::Options;
use crate::error::Problem;
use crate::mapping::maker::Way;
use crate::transform::Chain;

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
const SIMPLE: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";
const UNWRAP: &str = "ExtractNewRecordState";

pub(super) fn read(
    settings: &mut Settings,
    environment: &Environment<'_>,
    format: &Format,
) -> Records {
    let options = chain_options(settings);
    let chain = chain(settings, &options);
    let tombstones = match settings.text("starsink.tombstones") {
        Some(text) if text.eq_ignore_ascii_case("delete") => Tombstones::Delete,
        Some(text) if text.eq_ignore_ascii_case("skip") => Tombstones::Skip,
        _ => Tombstones::Unsaid,
    };
    let value = value(settings, environment);
    let unwraps = chain.names().any(|(_, class)| class.ends_with(UNWRAP));
    let deletes = match tombstones {
        Tombstones::Delete => true,
        Tombstones::Unsaid => unwraps,
        Tombstones::Skip => false,
    };
    let reads = chain.reads();
    let key = part(settings, environment, "key.converter", JSON, reads.key || deletes);
    let header = part(settings, environment, "header.converter", SIMPLE, reads.headers);
    let new_fields = match settings.text("starsink.new.fields") {
        Some(text) if text.eq_ignore_ascii_case("refuse") => NewFields::Refuse,
        Some(text) if text.eq_ignore_ascii_case("ignore") => NewFields::Ignore,
        _ => NewFields::Warn,
    };
    let may_route = chain.routes();
    let records = Records { key, value, header, chain: options, may_route, tombstones, new_fields };
    note_text(settings, &records, format, &chain);
    note_retries(settings, &records);
    records
}

/// Only a schema registry fails for a time only.
fn note_retries(settings: &mut Settings, records: &Records) {
    const TIMEOUT: &str = "errors.retry.timeout";
    let asks = records.key.registry.is_some() || records.value.registry.is_some();
    let Some(entry) = settings.filled(TIMEOUT).filter(|entry| !asks && entry.value.trim() != "0")
    else {
        return;
    };
    let text = format!(
        "`{TIMEOUT}` has nothing to repeat: no converter here asks a schema registry, and no other step \
         fails for a time only"
    );
    let note = Note::info(text).at(entry.place());
    settings.notes.push(note);
}

fn chain_options(settings: &Settings) -> Options {
    let whole = ["transforms", "predicates"].into_iter().filter_map(|key| {
        let entry = settings.get(key)?;
        Some((key.to_owned(), entry.value.clone()))
    });
    let under = ["transforms.", "predicates."].into_iter().flat_map(|prefix| {
        let entries = settings.prefixed(prefix);
        entries.map(move |(rest, entry)| (format!("{prefix}{rest}"), entry.value.clone()))
    });
    let said: Options = whole.chain(under).collect();
    match settings.text("starrocks.envelope") {
        Some(word) if word.eq_ignore_ascii_case("debezium") => with_envelope(&said),
        _ => said,
    }
}

/// `starrocks.envelope=debezium`: rows out of change events, before everything else.
fn with_envelope(said: &Options) -> Options {
    const ADD_OP: &str = "com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord";
    const UNWRAP_CLASS: &str = "io.debezium.transforms.ExtractNewRecordState";
    let mut aliases = vec!["envelope-op".to_owned(), "envelope-row".to_owned()];
    aliases.extend(said.list("transforms").into_iter().filter(|alias| !alias.is_empty()));
    let own = [
        ("transforms", aliases.join(",")),
        ("transforms.envelope-op.type", ADD_OP.to_owned()),
        ("transforms.envelope-row.type", UNWRAP_CLASS.to_owned()),
        ("transforms.envelope-row.delete.tombstone.handling.mode", "rewrite".to_owned()),
    ];
    let said = said.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    said.chain(own.map(|(key, value)| (key.to_owned(), value))).collect()
}

fn chain(settings: &mut Settings, options: &Options) -> Chain {
    let chain = Chain::compile_all(options).unwrap_or_else(|problems| {
        for (key, problem) in problems {
            let place = settings.get(&key).map_or_else(|| format!("`{key}`"), Entry::place);
            settings.problems.push(problem.at(place));
        }
        Chain::default()
    });
    note_old_default(settings, &chain, options);
    for (at, idle) in chain.idle().iter().enumerate() {
        // One predicate may serve several transforms.
        if !chain.idle()[..at].contains(idle) {
            note_idle(settings, &idle.prefix, &idle.name, &idle.why, &idle.read);
        }
    }
    chain
}

/// `drop.tombstones` alone stands for Debezium's old default, which drops deletes: told, because rows
/// stay that are gone in the source.
fn note_old_default(settings: &mut Settings, chain: &Chain, options: &Options) {
    for (alias, _) in chain.names().filter(|(_, class)| class.ends_with(UNWRAP)) {
        let of = options.under(&format!("transforms.{alias}."));
        let key = format!("transforms.{alias}.drop.tombstones");
        let says = ["delete.tombstone.handling.mode", "delete.handling.mode"];
        let Some(entry) =
            settings.get(&key).filter(|_| says.iter().all(|name| of.raw(name).is_none()))
        else {
            continue;
        };
        let text = format!(
            "`{key}` without a way to handle deletes means what it meant up to Debezium 3.1: delete events \
             are dropped, and their rows stay"
        );
        let hint =
            format!("`transforms.{alias}.delete.tombstone.handling.mode=tombstone` deletes them");
        let note = Note::warning(text).at(entry.place()).hint(hint);
        settings.notes.push(note);
    }
}

/// A key that changes nothing, with the one that was probably meant: of the names `read` behind its prefix.
fn note_idle(settings: &mut Settings, prefix: &str, name: &str, why: &str, read: &[String]) {
    let key = format!("{prefix}{name}");
    let place = settings.get(&key).map_or_else(|| format!("`{key}`"), Entry::place);
    let note = Note::warning(format!("`{key}` has no effect: {why}")).at(place);
    settings.notes.push(match nearest(name, read) {
        Some(near) => note.hint(format!("did you mean `{prefix}{near}`?")),
        None => note,
    });
}

/// A name that ends in `*` stands for several, so it is never the one meant.
fn nearest<'a>(name: &str, read: &'a [String]) -> Option<&'a str> {
    keys::nearest(name, read.iter().map(String::as_str).filter(|known| !known.ends_with('*')))
}

/// Options of a converter that it does not read. One with a registry has many that only matter to who
/// writes: of those only a name that is nearly another's is told.
fn note_idle_options(settings: &mut Settings, key: &str, options: &Options, has_registry: bool) {
    let own = registry::OPTIONS.iter().filter(|_| has_registry).map(|name| (*name).to_owned());
    // Written beside any converter by habit, though only JsonConverter has it.
    let habit = "schemas.enable".to_owned();
    let read: Vec<String> = options.asked().into_iter().chain(own).chain([habit]).collect();
    for name in options.unread() {
        let bare = name.strip_prefix("schema.registry.").filter(|_| has_registry).unwrap_or(name);
        let is_known = read.iter().any(|known| match known.strip_suffix('*') {
            Some(begin) => bare.starts_with(begin),
            None => known == bare || known == name,
        });
        if !is_known && (!has_registry || nearest(name, &read).is_some()) {
            let why = "the converter does not read it";
            note_idle(settings, &format!("{key}."), name, why, &read);
        }
    }
}

/// A converter's own options, prefix removed.
fn options_of(settings: &Settings, converter: &str) -> Options {
    let prefix = format!("{converter}.");
    let options = settings.prefixed(&prefix);
    options.map(|(name, entry)| (name.to_owned(), entry.value.clone())).collect()
}

/// The value's converter. Where no file names one, values are plain JSON.
fn value(settings: &mut Settings, environment: &Environment<'_>) -> ConverterChoice {
    const KEY: &str = "value.converter";
    let options = options_of(settings, KEY);
    let Some(entry) = settings.filled(KEY).cloned() else {
        if settings.get("connector.class").is_some() {
            let text = "no file names a `value.converter`: values are taken as plain JSON";
            settings.notes.push(Note::info(text));
        }
        return unnamed(settings, KEY, options);
    };
    let choice = ConverterChoice::new(&entry.value, options);
    match choice.compile(KEY) {
        Ok(converter) => {
            note_idle_options(settings, KEY, &choice.options, converter.needs_schemas());
            with_registry(settings, environment, KEY, choice, &converter)
        }
        Err(problem) => {
            settings.problems.push(refused(KEY, &choice, problem).at(entry.place()));
            ConverterChoice::new(BYTES, Options::default())
        }
    }
}

/// JsonConverter without schemas, unless its options say otherwise.
fn unnamed(settings: &mut Settings, key: &str, options: Options) -> ConverterChoice {
    let has = options.string("schemas.enable").is_some();
    let plain = (!has).then(|| ("schemas.enable".to_owned(), "false".to_owned()));
    let said = options.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let choice = ConverterChoice::new(JSON, said.chain(plain).collect());
    if let Err(problem) = choice.compile(key) {
        let place = format!("{key}.schemas.enable");
        let place = settings.get(&place).map_or(format!("`{key}.*`"), Entry::place);
        settings.problems.push(problem.at(place));
        return ConverterChoice::new(BYTES, Options::default());
    }
    note_idle_options(settings, key, &choice.options, false);
    choice
}

/// The converter of keys or headers. One that nothing reads may be any class: it is never run.
fn part(
    settings: &mut Settings,
    environment: &Environment<'_>,
    key: &str,
    default: &str,
    needed: bool,
) -> ConverterChoice {
    let options = options_of(settings, key);
    let Some(entry) = settings.filled(key).cloned() else {
        return match default {
            JSON if needed => unnamed(settings, key, options),
            _ => ConverterChoice::new(if default == JSON { BYTES } else { default }, options),
        };
    };
    let choice = ConverterChoice::new(&entry.value, options);
    match choice.compile(key) {
        Ok(converter) if needed => {
            note_idle_options(settings, key, &choice.options, converter.needs_schemas());
            with_registry(settings, environment, key, choice, &converter)
        }
        Ok(converter) if converter.needs_schemas() => {
            ConverterChoice::new(BYTES, Options::default())
        }
        Ok(_) => choice,
        Err(problem) if needed => {
            settings.problems.push(refused(key, &choice, problem).at(entry.place()));
            ConverterChoice::new(BYTES, Options::default())
        }
        Err(_) => {
            let side = key.split('.').next().unwrap_or_default();
            let text = format!("`{key}` is not needed: nothing reads a record's {side}");
            settings.notes.push(Note::info(text).at(entry.place()));
            ConverterChoice::new(BYTES, Options::default())
        }
    }
}

/// The choice with its schema registry, where it needs one.
fn with_registry(
    settings: &mut Settings,
    environment: &Environment<'_>,
    key: &str,
    choice: ConverterChoice,
    converter: &Converter,
) -> ConverterChoice {
    if !converter.needs_schemas() {
        return choice;
    }
    let registry = registry::read(settings, environment, &format!("{key}."));
    ConverterChoice { registry, ..choice }
}

/// An unknown class is told from a wrong option.
fn refused(key: &str, choice: &ConverterChoice, problem: Problem) -> Problem {
    if crate::convert::is_known(&choice.class) {
        return problem;
    }
    let what = format!("`{key}` is `{}`, Java code that this program cannot run", choice.class);
    Problem::usage(what).hint("`starsink map --list converters` shows the ones it has")
}

fn note_text(settings: &mut Settings, records: &Records, format: &Format, chain: &Chain) {
    let copied = Way::of(records, &format.body, chain) == Way::CopyJson;
    if copied && records.value.kind() == ValueKind::Text && format.body == Body::Json {
        let text = "values are taken as ready-made JSON text; the Java connector sends them as JSON strings";
        let place = settings.get("value.converter").map(Entry::place);
        settings.notes.push(place.into_iter().fold(Note::info(text), Note::at));
    }
}
