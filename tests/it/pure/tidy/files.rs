//! Files: their size, names and first lines, the migrations, the metrics, and the bans of tests.

use std::fs;
use std::path::Path;

use super::{Source, all_sources, assert_none, program_sources, root};

const LINES_MAX: usize = 600;

/// Names that say nothing about the content.
const EMPTY_NAMES: [&str; 8] = [
    "utils", "util", "helpers", "helper", "common", "misc", "manager", "types",
];

#[test]
fn files_are_short_enough_to_read_at_once() {
    for Source { path, text } in all_sources() {
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{path} has {lines} lines; split it by concept"
        );
    }
}

#[test]
fn files_begin_with_their_purpose() {
    let without: Vec<String> = all_sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();

    assert_none("files begin with a `//!` line", &without);
}

#[test]
fn file_names_say_something() {
    for Source { path, .. } in all_sources() {
        let stem = Path::new(&path).file_stem().unwrap().to_string_lossy();
        assert!(!EMPTY_NAMES.contains(&&*stem), "{path}");
    }
}

#[test]
fn tests_neither_sleep_nor_are_ignored() {
    let banned = [
        concat!("thread::", "sleep"),
        concat!("time::", "sleep"),
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("dbg", "!("),
    ];
    let mut violations = Vec::new();

    for Source { path, text } in all_sources() {
        for word in banned {
            if !path.starts_with("src/") && text.contains(word) {
                violations.push(format!("{path} contains {word}"));
            }
        }
    }

    assert_none("tests wait for events", &violations);
}

#[test]
fn migrations_can_be_reverted() {
    for dialect in ["sqlite", "postgres"] {
        let folder = root().join("migrations").join(dialect);
        let names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!names.is_empty(), "{dialect} has migrations");

        for name in &names {
            let twin = if name.contains(".up.") {
                name.replace(".up.", ".down.")
            } else {
                name.replace(".down.", ".up.")
            };
            assert!(
                twin != *name && names.contains(&twin),
                "{dialect}/{name} has no twin"
            );
        }
    }
}

#[test]
fn the_program_carries_every_migration() {
    for dialect in ["sqlite", "postgres"] {
        let list = format!("src/adapter/{dialect}/migrations.rs");
        let list = fs::read_to_string(root().join(list)).unwrap();

        for entry in fs::read_dir(root().join("migrations").join(dialect)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let stem = file.split('.').next().unwrap();
            let (version, name) = stem.split_once('_').unwrap();
            assert!(
                list.contains(&format!("\"{version}\" \"{name}\"")),
                "{dialect}/{file} is not embedded"
            );
        }
    }
}

#[test]
fn metrics_have_a_help_text() {
    let described = fs::read_to_string(root().join("src/telemetry/metrics.rs")).unwrap();
    let mut seen = 0;
    let mut violations = Vec::new();

    for Source { path, text } in program_sources() {
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            for name in text.split(kind).skip(1).filter_map(metric_name) {
                seen += 1;
                if !described.contains(&format!("\"{name}\"")) {
                    violations.push(format!("{path}: {name}"));
                }
            }
        }
    }

    assert!(seen > 40, "the rule must see metrics");
    assert_none("metrics have a help text", &violations);
}

/// The name of our metric behind a macro's parenthesis.
fn metric_name(arguments: &str) -> Option<&str> {
    let name = arguments
        .trim_start()
        .strip_prefix('"')?
        .split('"')
        .next()?;

    name.starts_with("cordboard_").then_some(name)
}
