//! `docs/configuration.md`, generated from `config/default.toml` and compared by tests with the
//! code.
//!
//! The default file has one form: the comment before a section or a key is its meaning, and a line
//! behind `#` is an optional section or key. [`read_entries`] depends on that form.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::bounds::Bound;
use super::environment::{CONVENTIONAL, PREFIX};
use super::{DEFAULTS, Settings};
use crate::domain::fact::Site;
use crate::wire::policy_file::{BadPolicy, Policies};

const PAGE: &str = "docs/configuration.md";
const UPDATE_COMMAND: &str = "UPDATE_DOCS=1 cargo test --lib config::reference";
/// A key that no section has: the error about it lists the keys of the section.
const UNKNOWN_KEY: &str = "unknown_key";

const INTRODUCTION: &str = "\
# Configuration

The settings of `cordboard`: every section and key with its type, default and meaning.
`cordboard config` prints the settings in force, with hidden secrets; `cordboard doctor` checks
them.

Three layers, each overriding the one before:

1. the defaults of this page;
2. the settings file given with `--config FILE`, in TOML. `config/production.toml` is an example;
3. the environment. `CORDBOARD__SECTION__KEY` sets `key` in `[section]`. Where the table below names
   a second variable, it sets the key only if the first one is unset. A list can be set only in a
   file.

Redis can be named in parts too: `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_DB` (the
database of calls) are used where no address of it is set in the environment. A file `.env` in the
folder in which the program starts sets what the environment does not set; lines of other programs
in it are ignored. An empty second variable sets nothing.

An unknown key or an invalid value ends the command with exit code 78 and one line that names the
key. `SIGHUP` makes a running service read keys, networks, proxies and denied devices again; other
settings need a restart.

`NAME` in a section stands for a name of your choice. *unset* means that the key has no default.
";

/// A section or a key of the default file.
#[derive(Debug)]
struct Entry {
    /// The section in the file, with an example in the place of a name; empty at the top.
    section: String,
    meaning: String,
    /// `None` for the section itself.
    setting: Option<Setting>,
}

#[derive(Debug)]
struct Setting {
    key: String,
    value: toml::Value,
    /// The value as written in the file.
    text: String,
    /// Whether the line is behind `#`.
    optional: bool,
}

fn read_entries(file: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut section = String::new();
    let mut comment: Vec<&str> = Vec::new();

    for line in file.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);

        let setting = if let Some(name) = section_name(text) {
            section = name.to_owned();
            None
        } else if let Some((key, value)) = key_and_value(text) {
            Some(Setting {
                key: key.to_owned(),
                value: parse_value(value),
                text: value.to_owned(),
                optional: text != line,
            })
        } else {
            if line.is_empty() {
                comment.clear();
            } else {
                comment.push(text);
            }
            continue;
        };

        entries.push(Entry {
            section: section.clone(),
            meaning: comment.join(" "),
            setting,
        });
        comment.clear();
    }

    entries
}

fn section_name(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']').filter(|name| {
        name.chars()
            .all(|c| c.is_alphanumeric() || "._".contains(c))
    })
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    line.split_once(" = ")
        .filter(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

fn parse_value(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("value = {text}"))
        .unwrap()
        .remove("value")
        .unwrap()
}

impl Entry {
    /// The section with `NAME` in the place of the example.
    fn general_section(&self) -> String {
        for group in ["ingress.keys.", "ingress.sites.", "policy.site."] {
            if self.section.starts_with(group) {
                return format!("{group}NAME");
            }
        }
        self.section.clone()
    }

    fn path(&self, setting: &Setting) -> String {
        let section = self.general_section();
        if section.is_empty() {
            setting.key.clone()
        } else {
            format!("{section}.{}", setting.key)
        }
    }
}

/// The ranges that the code checks, by path.
fn ranges() -> BTreeMap<String, String> {
    let settings = Settings::load(None, []).unwrap();
    let mut ranges = BTreeMap::new();

    let mut insert = |section: &str, bounds: &[Bound]| {
        for bound in bounds {
            ranges.insert(
                format!("{section}.{}", bound.key),
                format!("1 to {}", bound.max),
            );
        }
    };
    insert("ingress", &settings.ingress.bounds());
    insert("contacts", &settings.contacts.bounds());
    insert("broker", &settings.broker.bounds());

    for key in policy_keys().iter().filter(|key| key.ends_with("_ms")) {
        match Policies::from_table(policy(key, u64::MAX.into())) {
            Err(BadPolicy::OutOfRange { min, max, .. }) => {
                ranges.insert(format!("policy.{key}"), format!("{min} to {max}"))
            }
            other => panic!("policy.{key} accepts any number: {other:?}"),
        };
    }

    ranges
}

fn policy(key: &str, value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    [(key.to_owned(), value)].into_iter().collect()
}

fn policy_keys() -> Vec<String> {
    let error = Policies::from_table(policy(UNKNOWN_KEY, true.into())).unwrap_err();
    expected_keys(&error.to_string())
}

/// The keys that an error about [`UNKNOWN_KEY`] lists: "expected one of `listen`, `site`".
fn expected_keys(error: &str) -> Vec<String> {
    let (_, list) = error
        .split_once("expected ")
        .unwrap_or_else(|| panic!("no list of keys: {error}"));
    let list = list.split(" for key ").next().unwrap();

    list.split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

/// Whether the value of an optional key is the default in the code, and not an example.
fn is_default(section: &str, setting: &Setting) -> bool {
    let value = serde_json::to_value(&setting.value).unwrap();
    let site = Site::default();
    section == "policy"
        && Policies::from_table(policy(&setting.key, value))
            .unwrap()
            .of(&site)
            == Policies::default().of(&site)
}

fn kind(path: &str, setting: &Setting) -> String {
    let key = setting.key.as_str();
    match &setting.value {
        toml::Value::Boolean(_) => "boolean".to_owned(),
        toml::Value::Integer(_) => {
            let units = [
                ("_ms", "milliseconds"),
                ("_hours", "hours"),
                ("_days", "days"),
            ];
            let unit = units.iter().find(|(suffix, _)| key.ends_with(suffix));
            let unit = match unit {
                Some((_, unit)) => Some(*unit),
                None => key.contains("_bytes").then_some("bytes"),
            };
            unit.map_or_else(|| "integer".to_owned(), |unit| format!("integer, {unit}"))
        }
        toml::Value::Array(_) if path.ends_with("networks") || path.ends_with("proxies") => {
            "list of networks".to_owned()
        }
        toml::Value::Array(_) => "list of strings".to_owned(),
        _ if key == "listen" => "address and port".to_owned(),
        _ if key.ends_with("_file") || key.ends_with("_dir") => "path".to_owned(),
        _ if key.ends_with("url") => "URL".to_owned(),
        _ => "string".to_owned(),
    }
}

fn default_text(entry: &Entry, setting: &Setting) -> String {
    if setting.optional && !is_default(&entry.section, setting) {
        format!("*unset*; for example `{}`", setting.text)
    } else {
        format!("`{}`", setting.text)
    }
}

fn environment_variables(path: &str, setting: &Setting) -> String {
    if setting.value.is_array() {
        return "none".to_owned();
    }

    let own = format!("`{PREFIX}{}`", path.to_uppercase().replace('.', "__"));
    let conventional = CONVENTIONAL.iter().filter(|(_, key)| *key == path);

    conventional.fold(own, |names, (name, _)| format!("{names}, `{name}`"))
}

fn render() -> String {
    let ranges = ranges();
    let mut page = INTRODUCTION.to_owned();
    let mut in_table = false;

    for entry in read_entries(DEFAULTS) {
        let Some(setting) = &entry.setting else {
            write!(page, "\n## `[{}]`\n\n", entry.general_section()).unwrap();
            writeln!(page, "{}", entry.meaning).unwrap();
            in_table = false;
            continue;
        };

        if !in_table {
            page.push_str(if entry.section.is_empty() {
                "\n## Keys before the first section\n\n"
            } else {
                "\n"
            });
            page.push_str("| key | type | default | meaning | environment |\n");
            page.push_str("|---|---|---|---|---|\n");
            in_table = true;
        }

        let path = entry.path(setting);
        let kind = match ranges.get(&path) {
            Some(range) => format!("{}, {range}", kind(&path, setting)),
            None => kind(&path, setting),
        };
        writeln!(
            page,
            "| `{}` | {kind} | {} | {} | {} |",
            setting.key,
            default_text(&entry, setting),
            entry.meaning,
            environment_variables(&path, setting),
        )
        .unwrap();
    }

    page
}

fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the variable is the request to rewrite the page, not a setting of the program"
)]
fn the_reference_page_matches_the_default_file_and_the_code() {
    let page = render();

    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(repository_file(PAGE), &page).unwrap();
    }

    let stored = fs::read_to_string(repository_file(PAGE)).unwrap_or_default();
    assert!(
        stored == page,
        "{PAGE} is out of date; `{UPDATE_COMMAND}` rewrites it"
    );
}

#[test]
fn the_default_file_contains_every_key_that_the_code_accepts() {
    let entries = read_entries(DEFAULTS);
    let sections: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.setting.is_none())
        .map(|entry| entry.section.as_str())
        .collect();

    for section in sections.into_iter().chain([""]) {
        let accepted = if section.starts_with("policy") {
            policy_keys()
        } else {
            keys_of_section(section)
        };
        let documented: Vec<&str> = entries
            .iter()
            .filter(|entry| entry.section == section)
            .filter_map(|entry| Some(entry.setting.as_ref()?.key.as_str()))
            .collect();

        for key in &documented {
            assert!(
                accepted.iter().any(|accepted| accepted == key),
                "config/default.toml: [{section}] has no key `{key}`"
            );
        }
        // The rules of one site are those of all sites: one key shows the form.
        if section.starts_with("policy.") {
            continue;
        }
        for key in accepted {
            let is_section = entries
                .iter()
                .any(|entry| format!("{}.", entry.section).starts_with(&join(section, &key)));
            assert!(
                is_section || documented.contains(&key.as_str()),
                "config/default.toml: [{section}] lacks `{key}`"
            );
        }
    }
}

/// The path of a subsection, with a dot at its end.
fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        format!("{key}.")
    } else {
        format!("{section}.{key}.")
    }
}

fn keys_of_section(section: &str) -> Vec<String> {
    let header = if section.is_empty() {
        String::new()
    } else {
        format!("[{section}]\n")
    };
    let error = config::Config::builder()
        .add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml))
        .add_source(config::File::from_str(
            &format!("{header}{UNKNOWN_KEY} = true"),
            config::FileFormat::Toml,
        ))
        .build()
        .and_then(config::Config::try_deserialize::<Settings>)
        .unwrap_err();
    expected_keys(&error.to_string())
}

#[test]
fn every_section_and_key_has_a_meaning() {
    for entry in read_entries(DEFAULTS) {
        assert!(
            entry.meaning.ends_with('.'),
            "config/default.toml: no sentence before {:?} of [{}]",
            entry.setting.map(|setting| setting.key),
            entry.section
        );
    }
}

#[test]
fn the_readme_lists_the_rules_of_the_reference_or_links_to_it() {
    let readme = fs::read_to_string(repository_file("README.md")).unwrap();
    let Some(rules) = readme
        .split("```toml\n")
        .filter_map(|rest| rest.split("\n```").next())
        .find(|block| block.contains("missed_delay_ms"))
    else {
        assert!(
            readme.contains(PAGE),
            "README.md neither lists the rules of a site nor links to {PAGE}"
        );
        return;
    };

    let listed: toml::Table = toml::from_str(rules).unwrap();
    let reference: BTreeMap<String, toml::Value> = read_entries(DEFAULTS)
        .into_iter()
        .filter(|entry| entry.section == "policy")
        .filter_map(|entry| entry.setting)
        .map(|setting| (setting.key, setting.value))
        .collect();
    for (key, value) in listed.iter().filter(|(key, _)| *key != "site") {
        assert_eq!(
            reference.get(key),
            Some(value),
            "README.md, the rules of a site: `{key}`"
        );
    }
    for key in reference.keys() {
        assert!(
            listed.contains_key(key),
            "README.md, the rules of a site: `{key}` is missing"
        );
    }
}

#[test]
fn a_list_cannot_come_from_the_environment() {
    for (name, value) in [
        ("CORDBOARD__INGRESS__NETWORKS", "10.0.0.0/8"),
        ("CORDBOARD__POLICY__EXTENSIONS", "2XX"),
    ] {
        let environment = [(name.to_owned(), value.to_owned())];
        assert!(Settings::load(None, environment).is_err(), "{name}");
    }
}
