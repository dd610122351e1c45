//! The environment variables that set keys.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use super::BadConfig;

pub(super) const PREFIX: &str = "CORDBOARD__";
/// Conventional environment variables for server addresses, and the keys they set.
pub(super) const CONVENTIONAL: [(&str, &str); 3] = [
    ("AMQP_URL", "broker.url"),
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "live.url"),
];

/// The variables of this process that set keys.
///
/// # Errors
/// When one of them is not UTF-8. Its value, which may be a secret, is not quoted.
pub fn environment() -> Result<Vec<(String, String)>, BadConfig> {
    select(std::env::vars_os())
}

fn select(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, BadConfig> {
    variables
        .filter(|(name, _)| is_setting(name))
        .map(|(name, value)| {
            let shown = name.to_string_lossy().into_owned();

            name.into_string()
                .and_then(|name| Ok((name, value.into_string()?)))
                .map_err(|_| BadConfig(format!("the environment variable `{shown}` is not UTF-8")))
        })
        .collect()
}

fn is_setting(name: &OsStr) -> bool {
    let is_ours = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());

    is_ours || CONVENTIONAL.iter().any(|(known, _)| *known == name)
}

/// The keys that environment variables set. A conventional variable sets its key only if no
/// `CORDBOARD__` variable does.
pub(super) fn keys_of(
    environment: impl IntoIterator<Item = (String, String)>,
) -> HashMap<String, String> {
    let mut keys = HashMap::new();

    for (name, value) in environment {
        if let Some((_, key)) = CONVENTIONAL.iter().find(|(known, _)| *known == name) {
            keys.entry((*key).to_owned()).or_insert(value);
        } else if let Some(key) = name.strip_prefix(PREFIX) {
            keys.insert(key.to_lowercase().replace("__", "."), value);
        }
    }

    keys
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn variable(name: &[u8], value: &[u8]) -> (OsString, OsString) {
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());

        (text(name), text(value))
    }

    #[test]
    fn a_variable_that_is_not_utf_8_is_named_and_not_quoted() {
        for (name, value) in [
            (&b"CORDBOARD__BROKER__URL"[..], &b"amqp://hush\xff"[..]),
            (b"AMQP_URL", b"amqp://hush\xff"),
            (b"CORDBOARD__\xff", b"hush"),
        ] {
            let error = select([variable(name, value)].into_iter()).unwrap_err();
            let error = error.to_string();

            let shown = String::from_utf8_lossy(name);
            assert!(
                error.contains(&*shown) && !error.contains("hush"),
                "{error}"
            );
        }
    }

    #[test]
    fn variables_of_other_programs_are_ignored() {
        let others = [variable(b"HOME", b"\xff"), variable(b"\xff", b"x")];

        assert_eq!(select(others.into_iter()).unwrap(), []);
    }
}
