//! Settings of the servers: broker, database and live view. Without server addresses the service
//! runs embedded, in one process.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::bounds::{self, Bound};
use super::secret::Secret;

const PARTITIONS_MAX: u64 = 1_024;
const GENERATION_MAX: u64 = 1_000_000;
const HOUR_MS: u64 = 3_600_000;
const PREFIX_BYTES_MAX: usize = 64;

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

/// Parses the address of a server, whose errors quote nothing of it, from the settings or, if `{key}_file` is set, from that file.
/// `None` when neither contains an address.
fn parse_address<T: FromStr<Err = String>>(
    key: &str,
    url: &Secret,
    file: Option<&PathBuf>,
) -> Result<Option<T>, BadConfig> {
    let secret = match file {
        None => url.clone(),
        Some(file) if url.reveal().is_empty() => Secret::read(file)
            .map_err(|error| BadConfig(format!("`{key}_file`: {}: {error}", file.display())))?,
        Some(_) => {
            return Err(BadConfig(format!(
                "`{key}` and `{key}_file` are both set; remove one of them"
            )));
        }
    };

    let text = secret.reveal().trim();
    if text.is_empty() {
        return Ok(None);
    }

    text.parse().map(Some).map_err(|reason: String| {
        BadConfig(format!(
            "`{key}` is not a valid address: {reason}; config/default.toml shows the form"
        ))
    })
}

impl BrokerSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        bounds::check("broker", &self.bounds())
    }

    pub(super) fn bounds(&self) -> [Bound; 3] {
        [
            Bound::new("partitions", self.partitions, PARTITIONS_MAX),
            Bound::new("generation", self.generation, GENERATION_MAX),
            Bound::new("balance_ms", self.balance_ms, HOUR_MS),
        ]
    }

    pub fn address<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        parse_address("broker.url", &self.url, self.url_file.as_ref())
    }

    pub fn management<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        parse_address(
            "broker.management_url",
            &self.management_url,
            self.management_url_file.as_ref(),
        )
    }
}

impl DatabaseSettings {
    pub fn address<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        parse_address("database.url", &self.url, self.url_file.as_ref())
    }
}

impl LiveSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        let valid = self.prefix.len() <= PREFIX_BYTES_MAX
            && self
                .prefix
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte));

        if valid {
            Ok(())
        } else {
            Err(BadConfig(format!(
                "`live.prefix` must have at most {PREFIX_BYTES_MAX} characters, each an ASCII \
                 letter, a digit or one of `:_-.`"
            )))
        }
    }

    pub fn address<T: FromStr<Err = String>>(&self) -> Result<Option<T>, BadConfig> {
        parse_address("live.url", &self.url, self.url_file.as_ref())
    }
}
