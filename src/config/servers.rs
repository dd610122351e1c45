//! The settings of the servers: broker, database, live view. Without them the service runs
//! embedded.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::secret::Secret;

const PARTITIONS_MAX: u32 = 1_024;
const GENERATION_MAX: u32 = 1_000_000;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSettings {
    url: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url_file: Option<PathBuf>,
    management_url: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    management_url_file: Option<PathBuf>,
    pub partitions: u32,
    pub generation: u32,
    pub balance_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    url: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url_file: Option<PathBuf>,
    pub facts_kept_days: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LiveSettings {
    url: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url_file: Option<PathBuf>,
    pub calls_database: u32,
    pub cache_database: u32,
    pub prefix: String,
}

/// The address in force: in the file if one is named, else as it stands; `None` when there is none.
fn address<T: FromStr<Err = String>>(
    key: &str,
    url: &Secret,
    file: Option<&PathBuf>,
) -> Result<Option<T>, BadConfig> {
    let given = match file {
        None => url.clone(),
        Some(file) if url.reveal().is_empty() => Secret::read(file)
            .map_err(|error| BadConfig(format!("`{key}_file`: {}: {error}", file.display())))?,
        Some(_) => {
            return Err(BadConfig(format!(
                "`{key}` and `{key}_file` are both given; one is enough"
            )));
        }
    };
    let text = given.reveal().trim();
    if text.is_empty() {
        return Ok(None);
    }
    // What the parsers say may quote the address, and the address may hold a password.
    text.parse().map(Some).map_err(|_: String| {
        BadConfig(format!(
            "`{key}` is no address of that kind; see config/default.toml for its form"
        ))
    })
}

impl BrokerSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        let bounds = [
            (
                "partitions",
                u64::from(self.partitions),
                u64::from(PARTITIONS_MAX),
            ),
            (
                "generation",
                u64::from(self.generation),
                u64::from(GENERATION_MAX),
            ),
            ("balance_ms", self.balance_ms, 3_600_000),
        ];
        match bounds
            .iter()
            .find(|(_, value, most)| !(1..=*most).contains(value))
        {
            Some((key, value, most)) => Err(BadConfig(format!(
                "`broker.{key}` must be between 1 and {most}, not {value}"
            ))),
            None => Ok(()),
        }
    }

    pub fn address<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        address("broker.url", &self.url, self.url_file.as_ref())
    }

    pub fn management<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        address(
            "broker.management_url",
            &self.management_url,
            self.management_url_file.as_ref(),
        )
    }
}

impl DatabaseSettings {
    pub fn address<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        address("database.url", &self.url, self.url_file.as_ref())
    }
}

impl LiveSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        let plain = self.prefix.len() <= 64
            && self
                .prefix
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte));
        if plain {
            Ok(())
        } else {
            Err(BadConfig(
                "`live.prefix` has at most 64 letters, digits and :_-.".to_owned(),
            ))
        }
    }

    pub fn address<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        address("live.url", &self.url, self.url_file.as_ref())
    }
}
