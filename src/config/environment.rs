//! The environment variables that set keys.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::BadConfig;

pub(super) const PREFIX: &str = "CORDBOARD__";
/// Conventional environment variables for server addresses, and the keys they set.
pub(super) const CONVENTIONAL: [(&str, &str); 6] = [
    ("AMQP_URL", "broker.url"),
    ("RABBITMQ_URL", "broker.url"),
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "live.url"),
    ("REDIS_CALLS_DB", "live.calls_database"),
    ("REDIS_CACHE_DB", "live.cache_database"),
];
/// A file with variables in the folder in which the program starts.
const FILE: &str = ".env";
/// The address of Redis in parts, where no address is set.
const REDIS_PARTS: [&str; 4] = ["REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"];

/// The variables of this process that set keys.
///
/// # Errors
/// When one of them is not UTF-8. Its value, which may be a secret, is not quoted.
pub fn environment() -> Result<Vec<(String, String)>, BadConfig> {
    let mut variables = in_file(Path::new(FILE))?;
    // Later ones win: those of the process.
    variables.extend(select(std::env::vars_os())?);

    Ok(variables)
}

/// The variables of a file that set keys; none where it does not exist.
fn in_file(path: &Path) -> Result<Vec<(String, String)>, BadConfig> {
    let shown = path.display();
    let lines = match dotenvy::from_path_iter(path) {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(dotenvy::Error::Io(error)) => return Err(BadConfig(format!("{shown}: {error}"))),
        Err(_) => return Err(BadConfig(format!("{shown} cannot be read"))),
    };

    let mut variables = Vec::new();
    for (index, line) in lines.enumerate() {
        // The error would quote the line, which may hold a secret.
        let (name, value) = line.map_err(|_| {
            let number = index + 1;
            BadConfig(format!("{shown}: setting {number} is not `NAME=value`"))
        })?;
        if is_setting(OsStr::new(&name)) {
            variables.push((name, value));
        }
    }

    Ok(variables)
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

    is_ours
        || CONVENTIONAL.iter().any(|(known, _)| *known == name)
        || REDIS_PARTS.iter().any(|known| *known == name)
}

/// The keys that environment variables set. A conventional variable sets its key only if no
/// `CORDBOARD__` variable does.
pub(super) fn keys_of(
    environment: impl IntoIterator<Item = (String, String)>,
) -> HashMap<String, String> {
    let mut keys = HashMap::new();
    let mut conventional = HashMap::new();

    for (name, value) in environment {
        match name.strip_prefix(PREFIX) {
            Some(key) => {
                keys.insert(key.to_lowercase().replace("__", "."), value);
            }
            None => {
                conventional.insert(name, value);
            }
        }
    }
    for (name, key) in CONVENTIONAL {
        if let Some(value) = conventional.remove(name) {
            keys.entry(key.to_owned()).or_insert(value);
        }
    }
    add_redis_parts(&mut keys, &conventional);

    keys
}

/// Takes the address of Redis from its parts, unless it is set as one.
fn add_redis_parts(keys: &mut HashMap<String, String>, parts: &HashMap<String, String>) {
    let part = |name: &str| {
        parts
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    };

    if let Some(host) = part("REDIS_HOST") {
        let password = part("REDIS_PASSWORD").map_or_else(String::new, |password| {
            format!(":{}@", utf8_percent_encode(password, NON_ALPHANUMERIC))
        });
        let port = part("REDIS_PORT").unwrap_or("6379");
        keys.entry("live.url".to_owned())
            .or_insert_with(|| format!("redis://{password}{host}:{port}"));
    }
    if let Some(database) = part("REDIS_DB") {
        keys.entry("live.calls_database".to_owned())
            .or_insert_with(|| database.to_owned());
    }
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
    fn conventional_variables_set_keys_and_ours_win() {
        let keys = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| {
                let text = |text: &str| text.to_owned();
                (text(name), text(value))
            });
            keys_of(variables)
        };

        let set = keys(&[
            ("RABBITMQ_URL", "amqp://rabbit"),
            ("REDIS_HOST", "cache"),
            ("REDIS_PASSWORD", "a/b@c"),
            ("REDIS_DB", "3"),
            ("REDIS_CACHE_DB", "4"),
            ("DATABASE_URL", "sqlite:///./x.db"),
            ("CORDBOARD__DATABASE__URL", "postgres://ours"),
        ]);
        for (key, value) in [
            ("broker.url", "amqp://rabbit"),
            ("live.url", "redis://:a%2Fb%40c@cache:6379"),
            ("live.calls_database", "3"),
            ("live.cache_database", "4"),
            ("database.url", "postgres://ours"),
        ] {
            assert_eq!(set.get(key).map(String::as_str), Some(value), "{key}");
        }

        let whole = keys(&[("REDIS_URL", "redis://whole"), ("REDIS_HOST", "part")]);
        assert_eq!(whole["live.url"], "redis://whole");
        assert_eq!(keys(&[("REDIS_PORT", "6380")]).get("live.url"), None);
    }

    #[test]
    fn a_file_sets_variables_and_its_errors_quote_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".env");
        assert_eq!(in_file(&file).unwrap(), []);

        std::fs::write(
            &file,
            "# Comment\nexport REDIS_HOST='cache'\nHOME=/x\nDATABASE_URL=sqlite:a.db\n",
        )
        .unwrap();
        let set = [("REDIS_HOST", "cache"), ("DATABASE_URL", "sqlite:a.db")];
        assert_eq!(
            in_file(&file).unwrap(),
            set.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );

        std::fs::write(&file, "REDIS_HOST=cache\nhush hush\n").unwrap();
        let error = in_file(&file).unwrap_err().to_string();
        assert!(
            error.contains("setting 2") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn variables_of_other_programs_are_ignored() {
        let others = [variable(b"HOME", b"\xff"), variable(b"\xff", b"x")];

        assert_eq!(select(others.into_iter()).unwrap(), []);
    }
}
