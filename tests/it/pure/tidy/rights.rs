//! The access list of Redis permits what the code does.

use std::collections::BTreeSet;

use super::{program_sources, root};

#[test]
fn the_service_may_use_its_keys_and_commands() {
    let list = std::fs::read_to_string(root().join("deploy/redis/users.acl")).unwrap();
    let user = list
        .lines()
        .find(|line| line.starts_with("user cordboard on "))
        .unwrap();
    let permitted: BTreeSet<&str> = user
        .split(' ')
        .filter_map(|right| right.strip_prefix('+'))
        .collect();
    let keys: Vec<&str> = user
        .split(' ')
        .filter_map(|right| right.strip_prefix("~*"))
        .map(|pattern| pattern.trim_end_matches('*'))
        .collect();

    let mut commands = BTreeSet::new();
    for source in program_sources() {
        if source.path.starts_with("src/adapter/redis/") {
            commands.extend(quoted(&source.text, "cmd(\"", '"'));
            commands.extend(quoted(&source.text, "redis.call('", '\''));
        }
    }
    assert!(commands.len() > 20, "the test must find the commands");
    for command in commands {
        assert!(permitted.contains(command.as_str()), "+{command}");
    }

    let document = std::fs::read_to_string(root().join("docs/redis.md")).unwrap();
    let documented: Vec<String> = quoted(&document, "### `", '`').collect();
    assert!(documented.len() > 20, "the test must find the keys");
    for key in documented {
        assert!(
            keys.iter().any(|pattern| key.starts_with(pattern)),
            "~*{key}"
        );
    }
}

/// The words between an opening text and a closing character, in lower case.
fn quoted(text: &str, open: &str, close: char) -> impl Iterator<Item = String> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| Some(rest.split_once(close)?.0.to_lowercase()))
}
