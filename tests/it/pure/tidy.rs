//! House rules as tests: which layer may use which, how long a file may be, and that every file
//! says what it is.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 900;

/// What a layer may use, itself aside. Arrows point down only.
const LAYERS: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("provider", &["domain"]),
    ("wire", &["domain", "provider"]),
    ("health", &["domain"]),
    ("net", &[]),
    ("port", &["domain", "wire"]),
    ("worker", &["domain", "provider", "wire", "port", "health"]),
    (
        "ingress",
        &["domain", "provider", "wire", "port", "health", "net"],
    ),
    ("gateway", &["domain", "wire", "port", "health"]),
    ("config", &["domain", "wire", "ingress"]),
    ("telemetry", &["config"]),
    ("simulate", &[]),
    (
        "app",
        &[
            "domain",
            "wire",
            "port",
            "health",
            "net",
            "adapter",
            "ingress",
            "worker",
            "gateway",
            "config",
            "telemetry",
        ],
    ),
    ("adapter", &["domain", "provider", "wire", "port", "health"]),
    (
        "cli",
        &[
            "domain",
            "provider",
            "wire",
            "app",
            "config",
            "simulate",
            "telemetry",
        ],
    ),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "utils", "util", "helpers", "helper", "common", "misc", "manager", "types",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn all_rust_files() -> Vec<(String, String)> {
    let folders = ["src", "tests", "benches"];
    let paths = folders
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)));
    let told = |path: PathBuf| {
        (
            path.strip_prefix(root()).unwrap().display().to_string(),
            fs::read_to_string(&path).unwrap(),
        )
    };
    let files: Vec<_> = paths.map(told).collect();
    assert!(files.len() > 20, "the rules must see the code");
    files
}

#[test]
fn arrows_point_down_only() {
    let mut wrong = Vec::new();
    for (path, text) in all_rust_files() {
        let Some(layer) = path
            .strip_prefix("src/")
            .and_then(|rest| rest.split(['/', '.']).next())
        else {
            continue;
        };
        if layer == "lib" || layer == "main" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{path}: `{layer}` is no layer of LAYERS"));
            continue;
        };
        for used in text.split("crate::").skip(1) {
            let used: String = used
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if used != layer && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{path} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_knows_no_clock_no_io_no_async_and_no_randomness() {
    let banned = [
        "std::io",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "async ",
        "tokio",
        "SystemTime",
        "Instant::now",
        "rand::",
        "serde",
        "jiff",
        "println!",
    ];
    for (path, text) in all_rust_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("src/domain"))
    {
        for word in banned {
            assert!(!text.contains(word), "{path} uses {word}");
        }
    }
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    for (path, text) in all_rust_files() {
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{path} has {lines} lines; split it by concept"
        );
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in all_rust_files() {
        assert!(
            text.starts_with("//!"),
            "{path} does not begin with a `//!` line"
        );
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for (path, _) in all_rust_files() {
        let stem = Path::new(&path)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert!(!EMPTY_NAMES.contains(&stem.as_str()), "{path}");
    }
}

#[test]
fn nothing_waits_and_nothing_is_ignored_in_tests() {
    let banned = [
        concat!("thread::", "sleep"),
        concat!("time::", "sleep"),
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("dbg", "!("),
    ];
    for (path, text) in all_rust_files()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("src/"))
    {
        for word in banned {
            assert!(!text.contains(word), "{path} contains {word}");
        }
    }
}

#[test]
fn every_migration_has_its_twin() {
    for kind in ["sqlite", "postgres"] {
        let folder = root().join("migrations").join(kind);
        let names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!names.is_empty());
        for name in &names {
            let twin = if name.contains(".up.") {
                name.replace(".up.", ".down.")
            } else {
                name.replace(".down.", ".up.")
            };
            assert!(
                twin != *name && names.contains(&twin),
                "{kind}/{name} has no twin"
            );
        }
    }
}

#[test]
fn every_metric_is_described() {
    let described = fs::read_to_string(root().join("src/telemetry/metrics.rs")).unwrap();
    for (path, text) in all_rust_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("src/"))
    {
        for name in text
            .split("counter!(\"")
            .chain(text.split("gauge!(\""))
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| name.starts_with("cordboard_"))
        {
            assert!(
                described.contains(&format!("\"{name}\"")),
                "{path}: {name} has no help"
            );
        }
    }
}
