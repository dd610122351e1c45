//! House rules as tests: the rooms and their arrows, the size and the first line of files, rights, and the
//! words of comments and names.

mod circles;
mod files;
mod rights;
mod rooms;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of Rust code.
struct Source {
    /// Relative to the root of the repository.
    path: String,
    text: String,
}

fn all_sources() -> Vec<Source> {
    let folders = ["src", "tests", "benches", "examples", "fuzz"];
    let sources: Vec<Source> = folders
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root()).unwrap().display().to_string(),
        })
        .collect();
    assert!(sources.len() > 100, "the rules must see the code");

    sources
}

fn program_sources() -> Vec<Source> {
    let mut sources = all_sources();
    sources.retain(|source| source.path.starts_with("src/"));

    sources
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();

    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();

    files
}

/// Fails with all violations of a rule.
fn assert_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n{}", violations.join("\n"));
}
