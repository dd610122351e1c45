//! Settings: an embedded commented default, files, the environment; unknown keys are refused, everything is checked at the start.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::Deserialize;

use crate::domain::fact::Site;
use crate::ingress::Limits;
use crate::ingress::auth::{Access, Key};
use crate::wire::policy_file::Policies;

const DEFAULTS: &str = include_str!("../config/default.toml");
const ENVIRONMENT_PREFIX: &str = "CORDBOARD__";
/// A secret is a line of text, not a file somebody pointed at by mistake.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Why the settings cannot be used: which key, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub ingress: IngressSettings,
    pub journal: JournalSettings,
    pub gateway: Listener,
    pub operations: Listener,
    pub log: LogSettings,
    #[serde(default)]
    policy: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSettings {
    pub listen: SocketAddr,
    site: String,
    networks: Vec<ipnet::IpNet>,
    allow_unauthenticated: bool,
    #[serde(default)]
    keys: Vec<KeySettings>,
    connections_max: usize,
    connections_per_address_max: usize,
    head_bytes_max: usize,
    headers_max: usize,
    body_bytes_max: usize,
    head_timeout_ms: u64,
    request_timeout_ms: u64,
    per_device_per_second_max: u32,
    per_device_burst_max: u32,
    strangers_per_second_max: u32,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySettings {
    id: char,
    secret: Option<String>,
    secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for KeySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySettings").field("id", &self.id).field("secret_file", &self.secret_file).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSettings {
    pub segment_bytes: u64,
    pub total_bytes_max: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

impl Settings {
    /// Reads the defaults, then a file, then the environment, each over the one before it.
    pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Settings, BadConfig> {
        let ours: HashMap<String, String> = environment
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(ENVIRONMENT_PREFIX)?.to_lowercase().replace("__", "."), value)))
            .collect();
        let mut builder = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let builder = builder.add_source(Environment::default().separator(".").source(Some(ours)));
        let settings: Settings = builder.build().and_then(config::Config::try_deserialize).map_err(|error| BadConfig(error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), BadConfig> {
        let positive = [
            ("ingress.connections_max", self.ingress.connections_max as u64),
            ("ingress.connections_per_address_max", self.ingress.connections_per_address_max as u64),
            ("ingress.head_timeout_ms", self.ingress.head_timeout_ms),
            ("ingress.request_timeout_ms", self.ingress.request_timeout_ms),
            ("ingress.per_device_per_second_max", u64::from(self.ingress.per_device_per_second_max)),
            ("ingress.per_device_burst_max", u64::from(self.ingress.per_device_burst_max)),
            ("ingress.headers_max", self.ingress.headers_max as u64),
            ("journal.segment_bytes", self.journal.segment_bytes),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(BadConfig(format!("`{key}` must be at least 1")));
        }
        if self.journal.total_bytes_max < self.journal.segment_bytes {
            return Err(BadConfig("`journal.total_bytes_max` must hold at least one segment (`journal.segment_bytes`)".to_owned()));
        }
        self.site()?;
        self.policies()?;
        let access = self.access()?;
        if !self.ingress.listen.ip().is_loopback() && !access.checks_anything() && !self.ingress.allow_unauthenticated {
            return Err(BadConfig(format!(
                "`ingress.listen` is {}, which others can reach, and nobody is asked who they are: set `ingress.keys` or `ingress.networks`, or say `ingress.allow_unauthenticated = true`",
                self.ingress.listen
            )));
        }
        Ok(())
    }

    pub fn site(&self) -> Result<Site, BadConfig> {
        Site::parse(&self.ingress.site).ok_or_else(|| BadConfig("`ingress.site` is no site name (1 to 64 characters)".to_owned()))
    }

    pub fn policies(&self) -> Result<Policies, BadConfig> {
        Policies::from_table(self.policy.clone()).map_err(|error| BadConfig(format!("`policy`: {error}")))
    }

    /// Who may report. Reads secret files, so that a changed one counts when the settings are read again.
    pub fn access(&self) -> Result<Access, BadConfig> {
        let keys = self.ingress.keys.iter().map(KeySettings::key).collect::<Result<Vec<Key>, BadConfig>>()?;
        Ok(Access { keys, networks: self.ingress.networks.clone() })
    }

    #[must_use]
    pub fn limits(&self) -> Limits {
        let ingress = &self.ingress;
        Limits {
            connections: ingress.connections_max,
            connections_per_address: ingress.connections_per_address_max,
            head_bytes: ingress.head_bytes_max,
            headers: ingress.headers_max,
            body_bytes: ingress.body_bytes_max,
            head_timeout_ms: ingress.head_timeout_ms,
            request_timeout_ms: ingress.request_timeout_ms,
            per_device_per_second: ingress.per_device_per_second_max,
            per_device_burst: ingress.per_device_burst_max,
            strangers_per_second: ingress.strangers_per_second_max,
        }
    }
}

impl KeySettings {
    fn key(&self) -> Result<Key, BadConfig> {
        let id = self.id;
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(file)) => {
                read_secret(file).map_err(|error| BadConfig(format!("`ingress.keys` {id:?}: {}: {error}", file.display())))?
            }
            _ => return Err(BadConfig(format!("`ingress.keys` {id:?} needs either `secret` or `secret_file`"))),
        };
        Key::new(id, &secret).ok_or_else(|| BadConfig(format!("`ingress.keys` {id:?}: the secret is empty")))
    }
}

fn read_secret(file: &Path) -> std::io::Result<String> {
    if file.metadata()?.len() > SECRET_BYTES_MAX {
        return Err(std::io::Error::other(format!("is larger than {SECRET_BYTES_MAX} bytes: that is no secret")));
    }
    std::fs::read_to_string(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::load(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_complete_and_sound() {
        let settings = load("", &[]).unwrap();
        assert!(settings.ingress.listen.ip().is_loopback() && settings.gateway.listen.ip().is_loopback());
    }

    #[test]
    fn a_file_overrides_the_defaults_and_the_environment_overrides_the_file() {
        let settings = load(
            "[ingress]\nlisten = \"127.0.0.1:1\"\n[gateway]\nlisten = \"127.0.0.1:2\"",
            &[("CORDBOARD__INGRESS__LISTEN", "127.0.0.1:3"), ("OTHER", "x")],
        )
        .unwrap();
        assert_eq!((settings.ingress.listen.port(), settings.gateway.listen.port()), (3, 2));
        assert_eq!(load("", &[("CORDBOARD__JOURNAL__SEGMENT_BYTES", "4096")]).unwrap().journal.segment_bytes, 4096);
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let wrong = |text: &str| load(text, &[]).unwrap_err();
        assert!(wrong("[ingress]\nlissten = \"x\"").contains("lissten"));
        assert!(wrong("[ingress]\nlisten = \"nowhere\"").contains("listen") || wrong("[ingress]\nlisten = \"nowhere\"").contains("socket"));
        assert!(wrong("[journal]\nsegment_bytes = 0").contains("journal.segment_bytes"));
        assert!(wrong("[policy]\nmissed_dely_ms = 1").contains("missed_dely_ms"));
        assert!(wrong("[[ingress.keys]]\nid = \"a\"\nsecret = \" \"").contains("empty"));
        assert!(load("", &[("CORDBOARD__INGRESS__LISSTEN", "x")]).unwrap_err().contains("lissten"));
        let settings = load("[[ingress.keys]]\nid = \"a\"\nsecret = \"hush\"", &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn an_open_door_must_be_meant() {
        let open = "[ingress]\nlisten = \"0.0.0.0:8080\"\n";
        assert!(load(open, &[]).unwrap_err().contains("allow_unauthenticated"));
        assert!(load(&format!("{open}allow_unauthenticated = true"), &[]).is_ok());
        assert!(load(&format!("{open}networks = [\"10.0.0.0/8\"]"), &[]).is_ok());
        assert!(load(&format!("{open}[[ingress.keys]]\nid = \"a\"\nsecret = \"s\""), &[]).is_ok());
    }
}
