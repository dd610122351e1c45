//! Imports between files make no circle.
//!
//! A parent that re-exports its children, and children that use names of their parent, are one unit
//! and no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, program_sources};

/// Files by their module paths, such as `worker::handle`.
type Modules = BTreeMap<String, Imports>;
type Imports = BTreeSet<String>;

#[test]
fn imports_make_no_circle() {
    let sources = program_sources();
    let names: BTreeSet<String> = sources
        .iter()
        .map(|source| module_of(&source.path))
        .collect();
    let modules: Modules = sources
        .iter()
        .map(|source| (module_of(&source.path), imports(source, &names)))
        .collect();
    assert!(
        modules.values().map(BTreeSet::len).sum::<usize>() > 200,
        "the rule must see imports"
    );

    let circles: Vec<String> = modules
        .keys()
        .filter(|module| reaches_itself(module, &modules))
        .cloned()
        .collect();

    assert_none("these files import each other in a circle", &circles);
}

#[test]
fn a_circle_is_found() {
    let modules: Modules = [("a", "b"), ("b", "c"), ("c", "b")]
        .map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])))
        .into();

    let circles: Vec<&String> = modules
        .keys()
        .filter(|module| reaches_itself(module, &modules))
        .collect();
    assert_eq!(circles, ["b", "c"]);
}

fn reaches_itself(module: &str, modules: &Modules) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = modules[module].iter().collect();

    while let Some(next) = open.pop() {
        if next == module {
            return true;
        }
        if seen.insert(next) {
            open.extend(modules.get(next).into_iter().flatten());
        }
    }

    false
}

/// The module of a file: `src/worker/mod.rs` is `worker`.
fn module_of(path: &str) -> String {
    let name = path
        .strip_prefix("src/")
        .unwrap()
        .strip_suffix(".rs")
        .unwrap();
    let name = name.strip_suffix("/mod").unwrap_or(name);

    name.replace('/', "::")
}

/// The modules that a file's `use` items name.
fn imports(source: &Source, names: &BTreeSet<String>) -> Imports {
    let module = module_of(&source.path);
    // Unit tests may use more, and no code depends on them.
    let code = source.text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut imports = BTreeSet::new();

    for statement in use_items(code) {
        for path in expand(&statement) {
            let absolute = absolute(&path, &module);
            let target = longest_module(&absolute, names);
            imports.extend(target.filter(|target| !are_family(target, &module)));
        }
    }

    imports
}

/// The paths of all `use` items, without blanks.
fn use_items(code: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut rest = code;

    while let Some(start) = rest.find("use ") {
        let line_start = rest[..start].rfind('\n').map_or(0, |end| end + 1);
        let before = rest[line_start..start].trim();
        let begins_line = before.is_empty() || before.starts_with("pub");
        rest = &rest[start + 4..];
        if begins_line && let Some(end) = rest.find(';') {
            items.push(rest[..end].split_whitespace().collect());
        }
    }

    items
}

/// `a::{b, c::d}` names `a::b` and `a::c::d`.
fn expand(path: &str) -> Vec<String> {
    let Some((before, group)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);

    let mut paths = Vec::new();
    let mut depth = 0;
    let mut begin = 0;
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths.push(&group[begin..index]);
                begin = index + 1;
            }
            _ => {}
        }
    }
    paths.push(&group[begin..]);

    paths
        .into_iter()
        .flat_map(|one| expand(&format!("{before}{one}")))
        .collect()
}

/// The path from the crate on.
fn absolute(path: &str, module: &str) -> String {
    let mut parent: Vec<&str> = module.split("::").collect();
    let mut rest = path;

    if let Some(from_crate) = rest.strip_prefix("crate::") {
        return from_crate.to_owned();
    }
    while let Some(above) = rest.strip_prefix("super::") {
        parent.pop();
        rest = above;
    }
    let rest = rest.strip_prefix("self::").unwrap_or(rest);

    parent.push(rest);
    parent.join("::")
}

/// The file that a path leads to.
fn longest_module(path: &str, names: &BTreeSet<String>) -> Option<String> {
    let mut path = path;

    loop {
        if names.contains(path) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// Whether one is the other, or its ancestor.
fn are_family(one: &str, other: &str) -> bool {
    let is_below = |child: &str, parent: &str| {
        child
            .strip_prefix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };

    is_below(one, other) || is_below(other, one)
}
