//! Settings: an embedded commented default, files, the environment; unknown keys are refused,
//! everything is checked at the start.

mod ingress;
mod secret;
mod servers;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

use crate::wire::policy_file::Policies;
pub use ingress::{Durability, IngressSettings};
pub use servers::{BrokerSettings, DatabaseSettings, LiveSettings};

const DEFAULTS: &str = include_str!("../../config/default.toml");
const ENVIRONMENT_PREFIX: &str = "CORDBOARD__";
/// Names under which programs are told where their servers are.
const CUSTOMARY: [(&str, &str); 3] = [
    ("AMQP_URL", "broker.url"),
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "live.url"),
];

/// Why the settings cannot be used: which key, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub ingress: IngressSettings,
    pub journal: JournalSettings,
    pub gateway: Listener,
    pub operations: Listener,
    pub broker: BrokerSettings,
    pub database: DatabaseSettings,
    pub live: LiveSettings,
    pub log: LogSettings,
    #[serde(default)]
    policy: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSettings {
    pub segment_bytes: u64,
    pub total_bytes_max: u64,
    pub kept_hours: u32,
    pub refuse_damaged: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub listen: SocketAddr,
    allow_unauthenticated: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

impl Settings {
    /// Reads the defaults, then a file, then the environment, each over the one before it.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Settings, BadConfig> {
        let mut ours: HashMap<String, String> = HashMap::new();
        for (key, value) in environment {
            // What other programs on the machine call the same servers counts where nothing of ours
            // is said.
            if let Some((_, key)) = CUSTOMARY.iter().find(|(name, _)| *name == key) {
                ours.entry((*key).to_owned()).or_insert(value);
            } else if let Some(key) = key.strip_prefix(ENVIRONMENT_PREFIX) {
                ours.insert(key.to_lowercase().replace("__", "."), value);
            }
        }
        let mut builder =
            config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let builder = builder.add_source(Environment::default().separator(".").source(Some(ours)));
        let settings: Settings = builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| one_line(&error))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), BadConfig> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(BadConfig("`data_dir` is empty".to_owned()));
        }
        if !(1..=1 << 32).contains(&self.journal.segment_bytes) {
            return Err(BadConfig(
                "`journal.segment_bytes` must be between 1 and 4 GiB".to_owned(),
            ));
        }
        if self.journal.total_bytes_max < self.journal.segment_bytes {
            return Err(BadConfig("`journal.total_bytes_max` must hold at least one segment (`journal.segment_bytes`)".to_owned()));
        }
        self.policies()?;
        tracing_subscriber::EnvFilter::try_new(&self.log.filter)
            .map_err(|error| BadConfig(format!("`log.filter`: {error}")))?;
        self.ingress.check()?;
        self.broker.check()?;
        self.live.check()?;
        for (section, listener, what) in [
            ("gateway", &self.gateway, "calls"),
            ("operations", &self.operations, "metrics"),
        ] {
            if !listener.listen.ip().is_loopback() && !listener.allow_unauthenticated {
                return Err(BadConfig(format!(
                    "`{section}.listen` is {}, where everybody who can reach it could read {what}: keep it on this machine behind a proxy that asks who is there, or say `{section}.allow_unauthenticated = true`",
                    listener.listen
                )));
            }
        }
        Ok(())
    }

    pub fn policies(&self) -> Result<Policies, BadConfig> {
        Policies::from_table(self.policy.clone())
            .map_err(|error| BadConfig(format!("`policy`: {error}")))
    }

    /// The settings in force as a file would state them, secrets hidden.
    ///
    /// # Errors
    /// When they cannot be written as TOML.
    pub fn shown(&self) -> Result<String, BadConfig> {
        toml::to_string(self).map_err(|error| BadConfig(error.to_string()))
    }
}

/// What the parsers tell over several lines, on one.
fn one_line(error: &config::ConfigError) -> BadConfig {
    let text = error.to_string();
    // What stands where a table of a key should stand may be the secret itself.
    if text.contains("KeySettings") {
        return BadConfig(
            "`ingress.keys` holds tables, such as [ingress.keys.a] with `secret` or `secret_file`"
                .to_owned(),
        );
    }
    let told = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains('|'));
    BadConfig(told.collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let environment = environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::load(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_complete_and_sound() {
        let settings = load("", &[]).unwrap();
        assert!(
            settings.ingress.listen.ip().is_loopback()
                && settings.gateway.listen.ip().is_loopback()
        );
    }

    #[test]
    fn a_file_overrides_the_defaults_and_the_environment_overrides_the_file() {
        let settings = load(
            "[ingress]\nlisten = \"127.0.0.1:1\"\n[gateway]\nlisten = \"127.0.0.1:2\"",
            &[
                ("CORDBOARD__INGRESS__LISTEN", "127.0.0.1:3"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(
            (
                settings.ingress.listen.port(),
                settings.gateway.listen.port()
            ),
            (3, 2)
        );
        assert_eq!(
            load("", &[("CORDBOARD__JOURNAL__SEGMENT_BYTES", "4096")])
                .unwrap()
                .journal
                .segment_bytes,
            4096
        );
        let scaled = load(
            "",
            &[
                ("CORDBOARD__POLICY__MISSED_DELAY_MS", "250"),
                ("CORDBOARD__POLICY__REGION", "FR"),
            ],
        )
        .unwrap();
        let site = crate::domain::fact::Site::default();
        assert_eq!(
            scaled.policies().unwrap().of(&site).missed_delay,
            crate::domain::time::Span::millis(250)
        );
    }

    #[test]
    fn mistakes_are_named_on_one_line() {
        let wrong = |text: &str| {
            let error = load(text, &[]).unwrap_err();
            assert!(
                error.lines().count() == 1 && !error.contains("hush"),
                "{error}"
            );
            error
        };
        for (text, expected) in [
            ("[ingress]\nlissten = \"x\"", "lissten"),
            ("[ingress]\nlisten = \"nowhere\"", "listen"),
            ("[ingress]\nlisten = \"127.0.0.1:65536\"", "listen"),
            ("[ingress]\ntick_ms = -1", "tick_ms"),
            ("[ingress]\ntick_ms = \"soon\"", "tick_ms"),
            ("[ingress]\ntick_ms = 0", "ingress.tick_ms"),
            ("[ingress]\nnetworks = [\"10.0.0.0/99\"]", "networks"),
            ("[journal]\nsegment_bytes = 0", "journal.segment_bytes"),
            ("[policy]\nmissed_dely_ms = 1", "missed_dely_ms"),
            ("[ingress]\nlisten = ", "line 2"),
            ("\u{0}\u{1}\u{2}", "line 1"),
            ("[ingress.keys.a]\nsecret = \" \"", "empty"),
            ("[ingress.keys.ab]\nsecret = \"s\"", "ingress.keys.ab"),
            ("[ingress.keys.a]", "secret_file"),
            ("[ingress.keys]\na = \"hush\"", "[ingress.keys.a]"),
            (
                "[ingress]\nconnections_max = 9000000000000000000",
                "ingress.connections_max",
            ),
            ("[ingress]\ndenied_devices = [\"zz zz\"]", "denied_devices"),
            (
                "[ingress.keys.a]\nsecret_file = \"/nowhere/at/all\"",
                "/nowhere/at/all",
            ),
        ] {
            assert!(wrong(text).contains(expected), "{text:?}: {}", wrong(text));
        }
        assert!(
            load("", &[("CORDBOARD__INGRESS__LISSTEN", "x")])
                .unwrap_err()
                .contains("lissten")
        );
    }

    #[test]
    fn secrets_come_from_a_file_of_ones_own_or_the_environment_and_are_never_shown() {
        let settings = load("", &[("CORDBOARD__INGRESS__KEYS__A__SECRET", "hush")]).unwrap();
        assert_eq!(settings.ingress.access().unwrap().keys.len(), 1);
        assert!(!format!("{settings:?}").contains("hush"));
        let shown = settings.shown().unwrap();
        assert!(
            !shown.contains("hush") && shown.contains("(hidden)"),
            "{shown}"
        );

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hush\n").unwrap();
        let text = format!("[ingress.keys.b]\nsecret_file = {:?}", file.path());
        assert_eq!(
            load(&text, &[])
                .unwrap()
                .ingress
                .access()
                .unwrap()
                .keys
                .len(),
            1
        );
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .unwrap();
        assert!(
            load(&format!("[ingress]\nlisten = \"0.0.0.0:1\"\n{text}"), &[])
                .unwrap_err()
                .contains("every user")
        );
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_settings() {
        let shown = load(
            "[policy]\nregion = \"FR\"\n[policy.site.a]\nring_max_ms = 5000",
            &[],
        )
        .unwrap()
        .shown()
        .unwrap();
        assert_eq!(load(&shown, &[]).unwrap().shown().unwrap(), shown);
    }

    #[test]
    fn the_example_for_production_loads() {
        let text = include_str!("../../config/production.toml");
        let secret = [("CORDBOARD__INGRESS__KEYS__A__SECRET", "s")];
        let without_file: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("secret_file"))
            .collect();
        let settings = load(&without_file.join("\n"), &secret).unwrap();
        assert!(!settings.ingress.listen.ip().is_loopback() && settings.data_dir.is_absolute());
    }

    #[test]
    fn an_open_door_must_be_meant() {
        let open = "[ingress]\nlisten = \"0.0.0.0:8080\"\n";
        assert!(
            load(open, &[])
                .unwrap_err()
                .contains("allow_unauthenticated")
        );
        assert!(load(&format!("{open}allow_unauthenticated = true"), &[]).is_ok());
        assert!(load(&format!("{open}networks = [\"10.0.0.0/8\"]"), &[]).is_ok());
        assert!(load(&format!("{open}[ingress.keys.a]\nsecret = \"s\""), &[]).is_ok());
        for section in ["gateway", "operations"] {
            let open = format!("[{section}]\nlisten = \"0.0.0.0:8081\"\n");
            assert!(load(&open, &[]).unwrap_err().contains(section));
            assert!(load(&format!("{open}allow_unauthenticated = true"), &[]).is_ok());
        }
    }
}
