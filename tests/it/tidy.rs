//! The house rules that a machine can check; `docs/ARCHITECTURE.md` lists them under the same
//! numbers. Every breach is printed as `file:line: rule N: …`, all of them at once.
//!
//! Reads source text line by line, so it knows no macros and no scopes: a rule that needs more than
//! a line is left to clippy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use regex::Regex;
use starsink::cli::{Cli, Command};
use starsink::config::{self, Environment};

/// Modules by level: one imports only modules of lower levels, and itself.
const LEVELS: &[(&str, u8)] = &[
    ("record", 0),
    ("data", 0),
    ("secret", 0),
    ("error", 0),
    ("verdict", 0),
    ("java_regex", 0),
    ("keystore", 0),
    ("http", 1),
    ("config", 1),
    ("convert", 1),
    ("transform", 1),
    ("mapping", 1),
    ("encode", 1),
    ("batch", 1),
    ("delivery", 1),
    ("kafka", 2),
    ("registry", 2),
    ("starrocks", 2),
    ("dlq", 2),
    ("event", 3),
    ("pipeline", 3),
    ("report", 4),
    ("signal", 4),
    ("cli", 4),
    ("cmd", 5),
];

/// Imports that the levels forbid, and why each is right all the same.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("batch", "config::job", "a job's types describe the run to every later stage"),
    ("mapping", "config::job", "likewise"),
    ("encode", "config::job", "likewise"),
    ("verdict", "error", "a failed check has an exit code"),
    ("data", "record", "a Connect record says where it stands"),
    ("java_regex", "data", "a refused pattern fails as any option does"),
    ("mapping", "encode", "a column plan ends in an encoder"),
    ("mapping", "config::keys", "names that were likely meant are found as keys are"),
    ("mapping", "convert", "a record's way to its rows is put together there"),
    ("mapping", "transform", "likewise"),
    ("config", "convert", "the table of converters is what a configuration may name"),
    ("config", "transform", "the table of transforms likewise"),
    ("config", "mapping", "derived mappings are printed as keys"),
    ("transform", "convert", "some transforms read values as converters do"),
    ("config", "http", "a registry's TLS is made where its stores are read"),
    ("config", "kafka::auth", "Java's security keys are translated where librdkafka is known"),
    ("config", "kafka::jaas", "likewise"),
    ("config", "kafka::names", "likewise"),
    ("registry", "kafka::oauth", "one exchange of tokens for brokers and registries"),
    ("pipeline", "event", "events are the pipeline's output"),
    ("dlq", "kafka::producer", "dead letters to a topic go through the one producer"),
];

/// Crates with one user each: `(prefix, files and directories that may name it)`.
const OWNED_CRATES: &[(&str, &[&str])] = &[
    ("rdkafka::", &["src/kafka.rs", "src/kafka/", "src/dlq.rs", "src/dlq/"]),
    (
        "ureq::",
        &[
            "src/starrocks.rs",
            "src/starrocks/",
            "src/http.rs",
            "src/registry.rs",
            "src/registry/",
            "src/kafka/oauth.rs",
        ],
    ),
    ("mysql::", &["src/starrocks/"]),
    ("clap::", &["src/cli.rs", "src/cli/", "src/main.rs"]),
];

/// One file of `src/`, without the tests in it.
struct Source {
    /// From the project's root, with slashes.
    path: String,
    /// Number and text of each line of code; comments and tests are left out.
    code: Vec<(usize, String)>,
    first_line: String,
}

impl Source {
    fn module(&self) -> &str {
        let inner = self.path.trim_start_matches("src/");
        inner.split(['/', '.']).next().unwrap_or_default()
    }

    fn level(&self) -> Option<u8> {
        level(self.module())
    }

    fn is_any_of(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == *place || (place.ends_with('/') && self.path.starts_with(place))
        })
    }
}

fn level(module: &str) -> Option<u8> {
    LEVELS.iter().find(|(name, _)| *name == module).map(|(_, level)| *level)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `directory` whose names end in `ending`, in alphabetical order.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the directory is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("it is below the root").to_string_lossy().replace('\\', "/")
}

fn sources() -> Vec<Source> {
    files("src", ".rs").iter().map(|path| source(path)).collect()
}

fn source(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("source is text");
    let path = relative(path);
    let is_test_file =
        path.ends_with("/tests.rs") || path.contains("/sim/") || path.ends_with("/sim.rs");
    let mut code = vec![];
    if !is_test_file {
        for (at, line) in text.lines().enumerate() {
            // Tests stand at the end of a file.
            if line.starts_with("mod tests {") {
                break;
            }
            if !line.trim_start().starts_with("//") {
                code.push((at + 1, line.to_owned()));
            }
        }
    }
    Source { path, code, first_line: text.lines().next().unwrap_or_default().to_owned() }
}

/// Breaches, told together.
#[derive(Default)]
struct Breaches(Vec<String>);

impl Breaches {
    fn add(&mut self, path: &str, line: usize, rule: u8, what: &str) {
        self.0.push(format!("{path}:{line}: rule {rule}: {what}"));
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "docs/ARCHITECTURE.md says otherwise:\n{}", self.0.join("\n"));
    }
}

#[test]
fn every_file_says_what_it_owns() {
    let mut breaches = Breaches::default();
    for source in sources() {
        if !source.first_line.starts_with("//! ") {
            breaches.add(&source.path, 1, 1, "a file opens with `//!`");
        }
    }
    breaches.none();
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let import = Regex::new(r"\bcrate::([a-z_]+)(?:::([a-z_]+))?").expect("it is a pattern");
    let mut breaches = Breaches::default();
    for source in sources() {
        if matches!(source.path.as_str(), "src/main.rs" | "src/lib.rs") {
            continue;
        }
        let Some(own) = source.level() else {
            breaches.add(&source.path, 1, 2, "this module has no level in tests/it/tidy.rs");
            continue;
        };
        for (line, text) in &source.code {
            if text.contains("use crate::{") {
                breaches.add(&source.path, *line, 2, "one `use` a module, so that levels show");
            }
            for found in import.captures_iter(text) {
                let module = &found[1];
                let path = format!("{module}::{}", found.get(2).map_or("", |inner| inner.as_str()));
                let is_excepted = EXCEPTIONS.iter().any(|(from, to, _)| {
                    *from == source.module() && (*to == module || *to == path)
                });
                let is_below = level(module).is_none_or(|other| other < own);
                if module != source.module() && !is_below && !is_excepted {
                    let what = format!("`{}` may not import `{module}`", source.module());
                    breaches.add(&source.path, *line, 2, &what);
                }
            }
        }
    }
    breaches.none();
}

#[test]
fn a_crate_of_the_outside_world_has_one_user() {
    let mut breaches = Breaches::default();
    for source in sources() {
        for (prefix, places) in OWNED_CRATES {
            if source.is_any_of(places) {
                continue;
            }
            let named = Regex::new(&format!(r"\b{prefix}")).expect("it is a pattern");
            for (line, text) in &source.code {
                if named.is_match(text) {
                    breaches.add(
                        &source.path,
                        *line,
                        3,
                        &format!("`{prefix}` is used only in {places:?}"),
                    );
                }
            }
        }
    }
    breaches.none();
}

#[test]
fn only_the_report_prints() {
    let prints = Regex::new(r"\be?print(ln)?!|\bstd(out|err)\(\)").expect("it is a pattern");
    let mut breaches = Breaches::default();
    for source in sources() {
        if source.is_any_of(&["src/report.rs", "src/report/", "src/main.rs"]) {
            continue;
        }
        for (line, text) in &source.code {
            // Asking whether there is a terminal prints nothing.
            if prints.is_match(
                &text.replace("stderr().is_terminal()", "").replace("stdout().is_terminal()", ""),
            ) {
                breaches.add(&source.path, *line, 4, "only `report/` and `main.rs` print");
            }
        }
    }
    breaches.none();
}

#[test]
fn lower_levels_read_neither_clock_nor_environment_and_never_block() {
    let environment = Regex::new(r"\benv::(var|vars|args)").expect("it is a pattern");
    let world =
        Regex::new(r"\b(Instant|SystemTime)::now\(|\bthread::|\bfs::|\bTcp(Stream|Listener)\b")
            .expect("it is a pattern");
    let mut breaches = Breaches::default();
    for source in sources() {
        for (line, text) in &source.code {
            if source.path != "src/main.rs" && environment.is_match(text) {
                breaches.add(&source.path, *line, 5, "only `main.rs` reads the environment");
            }
            if source.level().is_some_and(|level| level < 2) && world.is_match(text) {
                breaches.add(
                    &source.path,
                    *line,
                    5,
                    "levels 0 and 1 know no clock, thread, file or socket",
                );
            }
        }
    }
    breaches.none();
}

#[test]
fn nothing_is_left_to_be_done() {
    // Written in parts, or this file would find itself.
    let words = [
        concat!("to", "do!("),
        concat!("dbg", "!("),
        concat!("unimplement", "ed!("),
        concat!("#[ign", "ore"),
    ];
    let mut breaches = Breaches::default();
    for path in ["src", "tests"].iter().flat_map(|directory| files(directory, ".rs")) {
        let text = fs::read_to_string(&path).expect("source is text");
        for (at, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                breaches.add(
                    &relative(&path),
                    at + 1,
                    6,
                    &format!("`{word}` is not finished work"),
                );
            }
        }
    }
    breaches.none();
}

#[test]
fn two_places_are_unsafe() {
    let mut breaches = Breaches::default();
    let known = ["src/kafka/queue.rs", "src/kafka/rights.rs"];
    for source in sources().iter().filter(|source| !known.contains(&&*source.path)) {
        for (line, text) in &source.code {
            if text.contains("allow(unsafe_code)") {
                breaches.add(
                    &source.path,
                    *line,
                    7,
                    "`unsafe` stands only in `kafka/queue.rs` and `kafka/rights.rs`",
                );
            }
        }
    }
    breaches.none();
}

/// Every page a reader may open.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    pages.extend(files("docs", ".md"));
    pages
}

#[test]
fn the_index_of_the_documentation_is_complete_and_links_lead_somewhere() {
    let index = fs::read_to_string(root().join("docs/README.md")).expect("the index is there");
    let link = Regex::new(r"\]\(([^)#]+)(#[^)]*)?\)").expect("it is a pattern");
    let mut breaches = Breaches::default();
    for file in files("docs", "") {
        let name = relative(&file);
        let name = name.trim_start_matches("docs/");
        if name != "README.md" && !index.contains(&format!("({name})")) {
            breaches.add("docs/README.md", 1, 8, &format!("`{name}` is not in the index"));
        }
    }
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        for (at, line) in text.lines().enumerate() {
            for target in link.captures_iter(line).map(|found| found[1].to_owned()) {
                let local = !target.contains("://");
                let directory = page.parent().expect("a page is in a directory");
                if local && !directory.join(&target).exists() {
                    breaches.add(
                        &relative(&page),
                        at + 1,
                        8,
                        &format!("`{target}` does not exist"),
                    );
                }
            }
        }
    }
    breaches.none();
}

/// What a page shows: command lines with their line numbers, and named example files.
#[derive(Default)]
struct Shown {
    commands: Vec<(usize, Vec<String>)>,
    /// By name; a fence opens with "properties worker.properties".
    examples: BTreeMap<String, (usize, String)>,
}

fn shown(text: &str) -> Shown {
    let span = Regex::new(r"`(starsink [^`]+)`").expect("it is a pattern");
    let mut shown = Shown::default();
    let mut fence: Option<(usize, Option<String>, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let trimmed = line.trim_start();
        match (&mut fence, trimmed.strip_prefix("```")) {
            (None, Some(info)) => {
                let mut words = info.split_whitespace().skip(1);
                fence = Some((at, words.next().map(str::to_owned), String::new()));
            }
            (Some(_), Some(_)) => {
                let (from, name, body) = fence.take().expect("it is open");
                match name {
                    Some(name) => drop(shown.examples.insert(name, (from, body))),
                    None => shown.commands.extend(commands(from + 1, &body)),
                }
            }
            (Some((.., body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {
                let found = span.captures_iter(line).map(|found| (at, words(&found[1])));
                shown.commands.extend(found);
            }
        }
    }
    shown
}

/// The `starsink` commands of a shell text; `first` is the number of its first line.
fn commands(first: usize, text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = vec![];
    let mut whole = String::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches("$ ");
        whole.push_str(line.trim_end_matches('\\'));
        if line.ends_with('\\') {
            continue;
        }
        let all = words(&std::mem::take(&mut whole));
        let parts = all.split(|word| matches!(word.as_str(), "|" | "&&" | ";" | ">"));
        let ours = parts.filter(|part| part.first().is_some_and(|word| word == "starsink"));
        found.extend(ours.map(|part| (first + at, part.to_vec())));
    }
    found
}

/// Words as a shell has them: quotes hold them together, a `#` ends the line.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn is_help(error: &clap::Error) -> bool {
    use clap::error::ErrorKind;
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

#[test]
fn every_command_line_that_is_shown_parses() {
    let mut breaches = Breaches::default();
    for page in pages().into_iter().chain(files("tests/golden/help", ".txt")) {
        let text = fs::read_to_string(&page).expect("a page is text");
        let is_help_text = page.extension().is_some_and(|ending| ending == "txt");
        let shown = if is_help_text { commands(1, &text) } else { shown(&text).commands };
        for (line, words) in shown {
            if let Err(error) = Cli::try_parse_from(&words)
                && !is_help(&error)
            {
                let reason = error.to_string();
                let reason = reason.lines().next().unwrap_or_default();
                breaches.add(
                    &relative(&page),
                    line,
                    9,
                    &format!("`{}`: {reason}", words.join(" ")),
                );
            }
        }
    }
    breaches.none();
}

#[test]
fn every_example_configuration_loads_with_a_command_of_its_page() {
    let mut breaches = Breaches::default();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        let shown = shown(&text);
        let mut unused: Vec<&String> = shown.examples.keys().collect();
        for (line, words) in &shown.commands {
            let files = files_of(words);
            let used = |name: &&String| shown.examples.contains_key(*name);
            // A page may speak of files it does not show.
            if files.is_empty() || !files.iter().all(|name| used(&name)) {
                continue;
            }
            unused.retain(|name| !files.contains(name));
            for said in said_of(words, &shown.examples) {
                breaches.add(&relative(&page), *line, 10, &said);
            }
        }
        for name in unused {
            let (line, _) = shown.examples[name];
            let what = format!("no command of this page reads `{name}`");
            breaches.add(&relative(&page), line, 10, &what);
        }
    }
    breaches.none();
}

fn files_of(words: &[String]) -> Vec<String> {
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Load(load)) => load.files.config,
        Ok(Command::Tail(tail)) => tail.files.config,
        _ => vec![],
    }
}

/// Problems and warnings of a command with the files of its page.
fn said_of(words: &[String], examples: &BTreeMap<String, (usize, String)>) -> Vec<String> {
    let vars = BTreeMap::from([("STARSINK_PASSWORD".to_owned(), "p".to_owned())]);
    let cli = Cli::try_parse_from(words).expect("another test says so");
    let request = match &cli.command {
        Command::Load(load) => load.request(&vars),
        Command::Tail(tail) => tail.request(&vars),
        _ => return vec![],
    };
    let request = match request {
        Ok(request) => request,
        Err(problem) => return vec![problem.what],
    };
    let read = |path: &Path| match examples.get(&*path.to_string_lossy()) {
        Some((_, body)) => Ok(body.clone().into_bytes()),
        // A password file, say.
        None => Ok(b"p".to_vec()),
    };
    let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
    match config::load(&request.files, &request.overrides, &environment) {
        Err(problems) => problems.into_iter().map(|problem| problem.what).collect(),
        Ok((_, notes)) => {
            let unknown = notes.into_iter().map(|note| note.text);
            unknown.filter(|text| text.starts_with("unknown key")).collect()
        }
    }
}

#[test]
fn the_rules_checked_here_are_the_rules_written_down() {
    let written = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("it is there");
    for rule in 1..=10 {
        assert!(
            written.contains(&format!("\n| {rule} | ")),
            "docs/ARCHITECTURE.md lacks rule {rule}"
        );
    }
    for (from, to, _) in EXCEPTIONS {
        let module = to.split("::").next().unwrap_or_default();
        let path = root().join("src").join(format!("{module}.rs"));
        // Rooms that are not built yet need no mention.
        if path.exists() && root().join("src").join(format!("{from}.rs")).exists() {
            assert!(
                written.contains(&format!("`{from}` → `{to}`")),
                "docs/ARCHITECTURE.md lacks `{from}` → `{to}`"
            );
        }
    }
}

#[test]
fn commands_and_examples_are_found_in_a_page() {
    let page = "Say `starsink man`, or:\n\n```sh\n$ a -s | starsink tail -b k:1 \\\n  - # now\n```\n\
                ```properties f.properties\nname=n\n```\n`starsink` alone is no command.\n";
    let shown = shown(page);
    let commands: Vec<(usize, String)> =
        shown.commands.iter().map(|(line, words)| (*line, words.join(" "))).collect();
    assert_eq!(
        commands,
        [(1, "starsink man".to_owned()), (5, "starsink tail -b k:1 -".to_owned())]
    );
    assert_eq!(
        shown.examples,
        BTreeMap::from([("f.properties".to_owned(), (7, "name=n\n".to_owned()))])
    );
    assert_eq!(words("-H 'columns: id, city' x"), ["-H", "columns: id, city", "x"]);
}
