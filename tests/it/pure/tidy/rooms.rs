//! Rooms: which may use which, and what the core does without.

use super::{Source, assert_none, program_sources};

/// Every room, and the rooms above it in this list that it may import.
const ROOMS: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    ("chain", &[]),
    ("net", &[]),
    ("retry", &[]),
    ("simulate", &[]),
    ("health", &["domain"]),
    ("provider", &["domain"]),
    ("wire", &["domain", "provider"]),
    ("access", &["domain"]),
    ("port", &["domain", "wire", "access"]),
    (
        "worker",
        &["domain", "wire", "port", "health", "chain", "retry"],
    ),
    (
        "ingress",
        &[
            "domain", "provider", "wire", "port", "health", "chain", "net", "retry",
        ],
    ),
    (
        "gateway",
        &[
            "domain", "wire", "access", "port", "health", "chain", "net", "retry",
        ],
    ),
    (
        "adapter",
        &[
            "domain", "provider", "wire", "access", "port", "health", "chain",
        ],
    ),
    (
        "config",
        &["domain", "wire", "ingress", "gateway", "worker"],
    ),
    ("telemetry", &["config"]),
    (
        "setup",
        &["domain", "wire", "port", "health", "adapter", "config"],
    ),
    (
        "ops",
        &[
            "domain", "wire", "access", "port", "worker", "adapter", "config", "setup", "chain",
        ],
    ),
    (
        "app",
        &[
            "domain", "wire", "port", "health", "chain", "net", "retry", "adapter", "ingress",
            "worker", "gateway", "config", "setup",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "provider",
            "wire",
            "access",
            "config",
            "simulate",
            "telemetry",
            "setup",
            "ops",
            "app",
            "chain",
        ],
    ),
    ("main", &["cli"]),
];

/// Adapters that may be used by the others: the dialects share their errors and digests.
const SHARED_ADAPTERS: [&str; 1] = ["sql"];

#[test]
fn a_room_imports_only_rooms_above_it() {
    let mut violations = Vec::new();

    for Source { path, text } in program_sources() {
        let room = room_of(&path);
        if room == "lib" {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            violations.push(format!("{path}: `{room}` is no room of ROOMS"));
            continue;
        };
        for used in text.split("crate::").skip(1).map(first_name) {
            if used != room && !allowed.contains(&used) {
                violations.push(format!("{path} uses {used}"));
            }
        }
    }

    assert_none("a room imports only rooms above it", &violations);
}

#[test]
fn rooms_use_only_rooms_above_them_in_the_list() {
    for (index, (room, allowed)) in ROOMS.iter().enumerate() {
        for used in *allowed {
            let position = ROOMS.iter().position(|(name, _)| name == used);
            assert!(position.is_some_and(|at| at < index), "{room} uses {used}");
        }
    }
}

#[test]
fn adapters_name_no_other_adapter() {
    let mut violations = Vec::new();

    for Source { path, text } in program_sources() {
        let Some(rest) = path.strip_prefix("src/adapter/") else {
            continue;
        };
        let adapter = rest.split(['/', '.']).next().unwrap();
        for used in text.split("adapter::").skip(1).map(first_name) {
            if used != adapter && !SHARED_ADAPTERS.contains(&used) {
                violations.push(format!("{path} uses {used}"));
            }
        }
    }

    assert_none("adapters name no other adapter", &violations);
}

#[test]
fn the_core_has_no_clock_no_io_no_async_and_no_randomness() {
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
    let is_pure = |path: &str| path.starts_with("src/domain") || path == "src/worker/partition.rs";
    let mut violations = Vec::new();

    for Source { path, text } in program_sources() {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code: Vec<&str> = code.collect();
        for word in banned {
            if is_pure(&path) && code.iter().any(|line| line.contains(word)) {
                violations.push(format!("{path} uses {word}"));
            }
        }
    }

    assert_none("the core is pure", &violations);
}

fn room_of(path: &str) -> &str {
    let rest = path.strip_prefix("src/").unwrap();

    rest.split(['/', '.']).next().unwrap()
}

/// The name at the beginning of a path.
fn first_name(path: &str) -> &str {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');

    &path[..end.unwrap_or(path.len())]
}
