//! References in values, `${file:PATH:KEY}`, `${dir:PATH:FILE}`, `${env:NAME}`: Kafka Connect's
//! config providers. Owns their syntax and the three providers Kafka ships; other people's
//! providers are Java code and are refused. Reads only through [`Environment`].

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::config::Environment;
use crate::config::entry::{Entry, Note};
use crate::config::{keys, properties};
use crate::error::Problem;

/// The providers a configuration may refer to, by name.
#[derive(Debug)]
pub struct Providers(BTreeMap<String, Provider>);

#[derive(Debug, Clone)]
enum Provider {
    File(Allowed),
    Directory(Allowed),
    Variable { allowlist: Option<regex::Regex> },
}

/// `allowed.paths`: references outside read as if nothing were there.
#[derive(Debug, Clone, Default)]
struct Allowed(Option<Vec<PathBuf>>);

const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

impl Providers {
    /// What `config.providers*` declares; `file`, `dir`, `directory` and `env` when nothing does.
    pub fn declared<'a>(get: impl Fn(&str) -> Option<&'a Entry>) -> Result<Self, Vec<Problem>> {
        let Some(names) = get("config.providers") else { return Ok(Providers::implicit()) };
        let mut providers = BTreeMap::new();
        let mut problems = vec![];
        for name in names.value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Provider::declared(name, names, &get) {
                Ok(provider) => drop(providers.insert(name.to_owned(), provider)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Providers(providers)) } else { Err(problems) }
    }

    fn implicit() -> Self {
        let named = [
            ("file", Provider::File(Allowed::default())),
            ("dir", Provider::Directory(Allowed::default())),
            ("directory", Provider::Directory(Allowed::default())),
            ("env", Provider::Variable { allowlist: None }),
        ];
        Providers(named.map(|(name, provider)| (name.to_owned(), provider)).into())
    }

    /// Replaces the references in one entry's value, once: what they yield is not looked at again.
    /// A reference to an unknown provider or key stays as written, with a warning.
    pub fn resolve(
        &self,
        entry: &mut Entry,
        environment: &Environment<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<(), Problem> {
        let mut resolved = String::new();
        let mut rest = entry.value.as_str();
        while let Some((before, reference, after)) = next_reference(rest) {
            resolved.push_str(before);
            match self.look_up(&reference, environment) {
                Ok(Some(text)) => {
                    resolved.push_str(&text);
                    notes.extend(self.exposed(&reference, entry, environment, notes));
                }
                Ok(None) => {
                    resolved.push_str(reference.text);
                    notes
                        .push(reference.unresolved(self.0.contains_key(reference.provider), entry));
                }
                Err(cause) => {
                    let what = format!("cannot resolve `{}`", reference.text);
                    return Err(Problem::usage(what).cause(cause).at(entry.place()));
                }
            }
            rest = after;
        }
        resolved.push_str(rest);
        entry.value = resolved;
        Ok(())
    }

    /// Says so, once a file, where others can read what a secret comes from.
    fn exposed(
        &self,
        reference: &Reference<'_>,
        entry: &Entry,
        environment: &Environment<'_>,
        notes: &[Note],
    ) -> Option<Note> {
        let path = match self.0.get(reference.provider)? {
            Provider::File(_) => PathBuf::from(reference.path),
            Provider::Directory(_) => Path::new(reference.path).join(reference.key),
            Provider::Variable { .. } => return None,
        };
        let is_secret = keys::is_secret(&entry.key);
        if !is_secret || !(environment.is_exposed)(&path) {
            return None;
        }
        let path = path.display();
        let text = format!("other users can read `{path}`, and secrets come from it");
        let note = Note::warning(text).at(entry.place()).hint(format!("`chmod 600 {path}`"));
        (!notes.iter().any(|known| known.text == note.text)).then_some(note)
    }

    fn look_up(
        &self,
        reference: &Reference<'_>,
        environment: &Environment<'_>,
    ) -> Result<Option<String>, String> {
        let path = Path::new(reference.path);
        match self.0.get(reference.provider) {
            None => Ok(None),
            Some(Provider::File(allowed)) if allowed.admits(path) => {
                let bytes = environment.read(path)?;
                let pairs = properties::parse(&bytes)
                    .map_err(|bad| {
                        format!("{}:{}: bad escape `{}`", path.display(), bad.line, bad.escape)
                    })?
                    .pairs;
                let found = pairs.into_iter().rev().find(|pair| pair.key == reference.key);
                Ok(found.map(|pair| pair.value))
            }
            Some(Provider::Directory(allowed)) if allowed.admits(&path.join(reference.key)) => {
                let bytes = environment.read(&path.join(reference.key))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Some(Provider::File(_) | Provider::Directory(_)) => Ok(None),
            Some(Provider::Variable { .. }) if !reference.path.is_empty() => {
                Err("an environment variable has no path: write `${env:NAME}`".to_owned())
            }
            Some(Provider::Variable { allowlist }) => {
                let admitted = allowlist.as_ref().is_none_or(|names| names.is_match(reference.key));
                Ok(environment.vars.get(reference.key).filter(|_| admitted).cloned())
            }
        }
    }
}

impl Provider {
    fn declared<'a>(
        name: &str,
        names: &Entry,
        get: &impl Fn(&str) -> Option<&'a Entry>,
    ) -> Result<Self, Problem> {
        let Some(class) = get(&format!("config.providers.{name}.class")) else {
            let what = format!("config provider `{name}` has no class");
            return Err(Problem::usage(what)
                .at(names.place())
                .hint(format!("add `config.providers.{name}.class={PACKAGE}FileConfigProvider`")));
        };
        let param = |param: &str| get(&format!("config.providers.{name}.param.{param}"));
        let simple = class.value.trim();
        match simple.strip_prefix(PACKAGE).unwrap_or(simple) {
            "FileConfigProvider" => Ok(Provider::File(Allowed::from(param("allowed.paths")))),
            "DirectoryConfigProvider" => {
                Ok(Provider::Directory(Allowed::from(param("allowed.paths"))))
            }
            "EnvVarConfigProvider" => {
                let allowlist = param("allowlist.pattern").map(whole_name).transpose()?;
                Ok(Provider::Variable { allowlist })
            }
            _ => {
                let what = format!(
                    "config provider `{name}` is `{simple}`, Java code that this program cannot run"
                );
                Err(Problem::usage(what).at(class.place()).hint(
                    "`FileConfigProvider`, `DirectoryConfigProvider` and `EnvVarConfigProvider` are known",
                ))
            }
        }
    }
}

fn whole_name(pattern: &Entry) -> Result<regex::Regex, Problem> {
    regex::Regex::new(&format!("^(?:{})$", pattern.value.trim())).map_err(|error| {
        Problem::usage(format!("`{}` is not a pattern", pattern.value.trim()))
            .cause(error.to_string().lines().last().unwrap_or_default().trim().to_owned())
            .at(pattern.place())
    })
}

impl Allowed {
    fn from(paths: Option<&Entry>) -> Self {
        let split = |entry: &Entry| {
            let paths = entry.value.split(',').map(str::trim).filter(|path| !path.is_empty());
            paths.map(|path| normal(Path::new(path))).collect()
        };
        Allowed(paths.map(split))
    }

    fn admits(&self, path: &Path) -> bool {
        let path = normal(path);
        self.0.as_ref().is_none_or(|allowed| allowed.iter().any(|dir| path.starts_with(dir)))
    }
}

/// Without `.` and `..`, by text alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(part),
        }
    }
    normal
}

/// `${provider:[path:]key}`: the first colon ends the provider, the second the path.
struct Reference<'a> {
    text: &'a str,
    provider: &'a str,
    path: &'a str,
    key: &'a str,
}

impl Reference<'_> {
    fn unresolved(&self, provider_known: bool, entry: &Entry) -> Note {
        let why = if provider_known { "names nothing" } else { "names an unknown config provider" };
        Note::warning(format!("`{}` {why} and stays as written", self.text)).at(entry.place())
    }
}

/// The text before the first reference, the reference, and the text after it.
fn next_reference(text: &str) -> Option<(&str, Reference<'_>, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find("${")?;
        let end = start + text[start..].find('}')?;
        if let Some((provider, rest)) = text[start + 2..end].split_once(':') {
            let (path, key) = rest.split_once(':').unwrap_or(("", rest));
            let reference = Reference { text: &text[start..=end], provider, path, key };
            return Some((&text[..start], reference, &text[end + 1..]));
        }
        from = start + 2;
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::config::entry::Origin;

    fn entry(key: &str, value: &str) -> Entry {
        Entry { key: key.to_owned(), value: value.to_owned(), origin: Origin::Default }
    }

    fn declared(pairs: &[(&str, &str)]) -> Result<Providers, Vec<Problem>> {
        let entries: Vec<Entry> = pairs.iter().map(|(key, value)| entry(key, value)).collect();
        Providers::declared(|key| entries.iter().find(|entry| entry.key == key))
    }

    /// What a value becomes when `/run/a/f` holds `k=v` and `A=1` is set.
    #[track_caller]
    fn check(providers: &Providers, value: &str, expect: &str) {
        let vars = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let read = |path: &Path| match path == Path::new("/run/a/f") {
            true => Ok(b"k=v".to_vec()),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        let environment = Environment { vars: &vars, read_file: &read, is_exposed: &|_| false };
        let mut entry = entry("x", value);
        let found = match providers.resolve(&mut entry, &environment, &mut vec![]) {
            Ok(()) => entry.value,
            Err(problem) => problem.causes.concat(),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn declared_names_are_the_only_ones() {
        let providers = declared(&[
            ("config.providers", "secrets, e"),
            ("config.providers.secrets.class", &format!("{PACKAGE}FileConfigProvider")),
            ("config.providers.secrets.param.allowed.paths", "/run/a,/run/b"),
            ("config.providers.e.class", "EnvVarConfigProvider"),
            ("config.providers.e.param.allowlist.pattern", "A|B.*"),
        ]);
        let providers = providers.expect("all are known");
        check(&providers, "${secrets:/run/a/f:k}", "v");
        check(&providers, "${secrets:/run/a/../c/f:k}", "${secrets:/run/a/../c/f:k}");
        check(&providers, "${e:A}${e:HOME}", "1${e:HOME}");
        check(
            &providers,
            "${e:path:A}",
            "an environment variable has no path: write `${env:NAME}`",
        );
        check(&providers, "${file:/run/a/f:k}", "${file:/run/a/f:k}");
    }

    #[test]
    fn what_only_looks_like_a_reference_stays() {
        let providers = declared(&[]).expect("the implicit ones");
        check(&providers, "$ ${ ${x} ${env:A", "$ ${ ${x} ${env:A");
        check(&providers, "${x} ${env:A}", "${x} 1");
    }

    #[test]
    fn foreign_providers_are_refused_by_class() {
        let problems = declared(&[
            ("config.providers", "vault,none"),
            ("config.providers.vault.class", "com.acme.VaultProvider"),
        ]);
        let what: Vec<String> =
            problems.expect_err("neither is known").into_iter().map(|one| one.what).collect();
        assert_eq!(
            what,
            [
                "config provider `vault` is `com.acme.VaultProvider`, Java code that this program cannot run",
                "config provider `none` has no class",
            ]
        );
    }
}
