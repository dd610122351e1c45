//! The environment variables that set keys.

use std::collections::{HashMap, HashSet};
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
    ("REDIS_URL", REDIS_KEY),
    ("REDIS_CALLS_DB", REDIS_DATABASE_KEY),
    ("REDIS_CACHE_DB", "live.cache_database"),
];
/// A file with variables in the folder in which the program starts.
const FILE: &str = ".env";
/// The address of Redis in parts, where no address is set.
const REDIS_KEY: &str = "live.url";
const REDIS_DATABASE_KEY: &str = "live.calls_database";
const REDIS_PORT: &str = "6379";
const REDIS_PARTS: [&str; 4] = ["REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"];

/// The variables that set keys: those of this process, and those of the file whose keys the process
/// does not set.
///
/// # Errors
/// When one of them cannot be read. Its value, which may be a secret, is not quoted.
pub fn environment() -> Result<Vec<(String, String)>, BadConfig> {
    let of_process = select(std::env::vars_os())?;
    let of_file = in_file(Path::new(FILE))?;

    Ok(layered(of_file, of_process))
}

/// The variables of the process, after those of the file that set no key of theirs.
fn layered(
    of_file: Vec<(String, String)>,
    of_process: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let set: HashSet<String> = of_process
        .iter()
        .filter_map(|(name, value)| key_of(name, value))
        .collect();
    let is_part = |name: &str| REDIS_PARTS.contains(&name);
    let mut variables = of_file;
    // Parts of one address may come from both.
    variables.retain(|(name, value)| {
        is_part(name) || key_of(name, value).is_none_or(|key| !set.contains(&key))
    });

    variables.extend(of_process);
    variables
}

/// The key that a variable sets.
fn key_of(name: &str, value: &str) -> Option<String> {
    if let Some(key) = name.strip_prefix(PREFIX) {
        return Some(key.to_lowercase().replace("__", "."));
    }
    let conventional = CONVENTIONAL
        .into_iter()
        .chain([("REDIS_HOST", REDIS_KEY), ("REDIS_DB", REDIS_DATABASE_KEY)])
        .find(|(known, _)| *known == name && !value.is_empty());

    conventional.map(|(_, key)| key.to_owned())
}

/// The variables of a file that set keys; none where there is no such file. Lines of other programs
/// may have any form.
fn in_file(path: &Path) -> Result<Vec<(String, String)>, BadConfig> {
    let shown = path.display();
    // A folder of this name holds another program's packages, and a pipe would be waited for.
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(path).map_err(|error| BadConfig(format!("{shown}: {error}")))?;
    let text = String::from_utf8_lossy(&bytes);

    let mut readable = String::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if assignment(line).is_some() {
            readable.push_str(line);
            readable.push('\n');
        } else if is_setting(OsStr::new(name_in(line))) {
            // The error would quote the line, which may hold a secret.
            let number = index + 1;
            return Err(BadConfig(format!(
                "{shown}: line {number} is not `NAME=value`"
            )));
        }
    }

    // Once more as a whole: a value may name variables of lines before it.
    let variables = dotenvy::from_read_iter(readable.as_bytes()).flatten();
    Ok(variables
        .filter(|(name, _)| is_setting(OsStr::new(name)))
        .collect())
}

/// The variable that a line sets on its own.
fn assignment(line: &str) -> Option<(String, String)> {
    dotenvy::from_read_iter(line.as_bytes()).next()?.ok()
}

/// The name with which a line begins.
fn name_in(line: &str) -> &str {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();

    line.split(|char: char| char == '=' || char.is_whitespace())
        .next()
        .unwrap_or_default()
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
        match key_of(&name, &value) {
            Some(key) if name.starts_with(PREFIX) => {
                keys.insert(key, value);
            }
            // An empty conventional variable sets nothing.
            _ if value.is_empty() => {}
            _ => {
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
    let part = |name: &str| parts.get(name).map(String::as_str);

    if let Some(host) = part("REDIS_HOST") {
        let password = part("REDIS_PASSWORD").map_or_else(String::new, |password| {
            format!(":{}@", utf8_percent_encode(password, NON_ALPHANUMERIC))
        });
        // Kubernetes sets `tcp://ADDRESS:PORT` for a service of this name.
        let port = part("REDIS_PORT").map_or(REDIS_PORT, |port| match port.rsplit_once(':') {
            Some((_, port)) => port,
            None => port,
        });
        keys.entry(REDIS_KEY.to_owned())
            .or_insert_with(|| format!("redis://{password}{host}:{port}"));
    }
    if let Some(database) = part("REDIS_DB") {
        keys.entry(REDIS_DATABASE_KEY.to_owned())
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

        std::fs::write(&file, "REDIS_HOST=cache\nDATABASE_URL hush\n").unwrap();
        let error = in_file(&file).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn lines_of_other_programs_may_have_any_form() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(in_file(folder.path()).unwrap(), [], "a folder is no file");

        let file = folder.path().join(".env");
        let lines = b"\xef\xbb\xbfREDIS_HOST=cache\nGREETING=Don't\nno sense\nKEY=\"a\nb\"\n\
                      NAME=\xff\nUSER_OF=x\nDATABASE_URL=postgres://${USER_OF}@db\n";
        std::fs::write(&file, lines).unwrap();
        let set = [("REDIS_HOST", "cache"), ("DATABASE_URL", "postgres://x@db")];
        assert_eq!(
            in_file(&file).unwrap(),
            set.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn the_process_wins_over_the_file() {
        let keys = |of_file: &[(&str, &str)], of_process: &[(&str, &str)]| {
            let owned = |variables: &[(&str, &str)]| {
                let text = |text: &str| text.to_owned();
                variables
                    .iter()
                    .map(|(name, value)| (text(name), text(value)))
                    .collect()
            };
            keys_of(layered(owned(of_file), owned(of_process)))
        };

        let set = keys(
            &[
                ("CORDBOARD__DATABASE__URL", "postgres://file"),
                ("REDIS_URL", "redis://file"),
                ("REDIS_PASSWORD", "p"),
                ("AMQP_URL", "amqp://file"),
            ],
            &[
                ("DATABASE_URL", "postgres://process"),
                ("REDIS_HOST", "process"),
                ("REDIS_PORT", "tcp://10.0.0.1:6380"),
                ("AMQP_URL", ""),
            ],
        );
        assert_eq!(set["database.url"], "postgres://process");
        assert_eq!(set["live.url"], "redis://:p@process:6380");
        assert_eq!(set["broker.url"], "amqp://file");
        let empty = keys(&[], &[("REDIS_URL", ""), ("REDIS_HOST", "cache")]);
        assert_eq!(empty["live.url"], "redis://cache:6379");
    }

    #[test]
    fn variables_of_other_programs_are_ignored() {
        let others = [variable(b"HOME", b"\xff"), variable(b"\xff", b"x")];

        assert_eq!(select(others.into_iter()).unwrap(), []);
    }
}
