//! Settings from three layers: the embedded default file, a settings file, the environment.
//!
//! Each layer overrides the one before. Unknown keys are rejected, and every value is checked
//! before the service starts. `docs/configuration.md` is the reference of all keys; it is generated
//! from the default file, and a test keeps it current.

mod bounds;
mod contacts;
mod environment;
mod file;
mod ingress;
mod listeners;
#[cfg(test)]
mod reference;
mod secret;
mod servers;
mod worker;

use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

use crate::wire::policy_file::Policies;
pub use contacts::ContactSettings;
pub use environment::environment;
pub use ingress::{Durability, IngressSettings};
pub use listeners::{GatewaySettings, OperationsSettings};
pub use servers::{BrokerSettings, DatabaseSettings, LiveSettings};
pub use worker::WorkerSettings;

const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Invalid settings: the key, and its problem.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub ingress: IngressSettings,
    pub journal: JournalSettings,
    pub worker: WorkerSettings,
    pub gateway: GatewaySettings,
    pub contacts: ContactSettings,
    pub operations: OperationsSettings,
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
    /// Merges the defaults, the settings file and the environment, and checks the result.
    ///
    /// # Errors
    /// The first unknown key or invalid value, as one line of text.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Settings, BadConfig> {
        let mut builder =
            config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            file::check_numbers(file)?;
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let variables = environment::keys_of(environment);
        let environment = Environment::default()
            .separator(".")
            .source(Some(variables));

        let settings: Settings = builder
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| single_line_error(&error))?;
        settings.check()?;

        Ok(settings)
    }

    fn check(&self) -> Result<(), BadConfig> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(BadConfig("`data_dir` is empty".to_owned()));
        }
        if !(1 << 12..=1 << 32).contains(&self.journal.segment_bytes) {
            return Err(BadConfig(
                "`journal.segment_bytes` must be between 4 KiB and 4 GiB".to_owned(),
            ));
        }
        // The segment that grows is released only behind a further one.
        if self.journal.total_bytes_max / 2 < self.journal.segment_bytes {
            return Err(BadConfig(
                "`journal.total_bytes_max` must be at least two segments (`journal.segment_bytes`)"
                    .to_owned(),
            ));
        }
        self.policies()?;
        tracing_subscriber::EnvFilter::try_new(&self.log.filter)
            .map_err(|error| BadConfig(format!("`log.filter`: {error}")))?;
        self.ingress.check()?;
        self.worker.check()?;
        self.broker.check()?;
        self.live.check()?;
        self.gateway.check()?;
        self.contacts.check()?;
        self.operations.check()
    }

    pub fn policies(&self) -> Result<Policies, BadConfig> {
        Policies::from_table(self.policy.clone())
            .map_err(|error| BadConfig(format!("`policy`: {error}")))
    }

    /// The settings in force as a settings file, with hidden secrets.
    ///
    /// # Errors
    /// When a value has no TOML form.
    pub fn to_redacted_toml(&self) -> Result<String, BadConfig> {
        toml::to_string(self).map_err(|error| BadConfig(error.to_string()))
    }
}

/// Joins the lines of a parser error, without the lines that quote the file.
fn single_line_error(error: &config::ConfigError) -> BadConfig {
    let text = error.to_string();

    // A value in the place of a key's table may be the secret itself, so it is never quoted.
    if text.contains("KeySettings") {
        return BadConfig(
            "`ingress.keys` holds tables, such as [ingress.keys.a] with `secret` or `secret_file`"
                .to_owned(),
        );
    }

    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains('|'))
        .collect();
    BadConfig(lines.join(": "))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Of the least length.
    const SECRET: &str = "hush hush hush hush hush hush hu";

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let environment = environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::load(Some(file.path()), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_complete_and_valid() {
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
    fn errors_name_the_key_on_one_line() {
        let error_of = |text: &str| {
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
            ("[journal]\nsegment_bytes = 1", "journal.segment_bytes"),
            (
                "[journal]\ntotal_bytes_max = 67108864",
                "journal.total_bytes_max",
            ),
            (
                "[ingress]\ntrusted_proxies = [\"::ffff:10.0.0.1/128\"]",
                "10.0.0.1/32",
            ),
            (
                "[gateway]\nwebhook_networks = [\"::ffff:10.0.0.0/104\"]",
                "10.0.0.0/8",
            ),
            ("[policy]\nmissed_dely_ms = 1", "missed_dely_ms"),
            ("[ingress]\nlisten = ", "line 2"),
            ("\u{0}\u{1}\u{2}", "line 1"),
            ("[ingress.keys.a]\nsecret = \" \"", "0 bytes"),
            (
                "[ingress.keys.a]\nsecret = \"hush hush hush hush hush hush h\"",
                "31 bytes",
            ),
            ("[ingress.keys.ab]\nsecret = \"s\"", "ingress.keys.ab"),
            ("[ingress.keys.a]", "secret_file"),
            ("[ingress.keys]\na = \"hush\"", "[ingress.keys.a]"),
            (
                "[ingress]\nconnections_max = 9000000000000000000",
                "ingress.connections_max",
            ),
            ("[gateway]\nwatchers_max = 10000", "gateway.watchers_max"),
            (
                "[worker]\nbelieved_ahead_ms = 0",
                "worker.believed_ahead_ms",
            ),
            ("[worker]\ningresses = [\"x\"]", "ingresses"),
            ("[gateway]\nping_seconds = 0", "gateway.ping_seconds"),
            ("[ingress]\ndenied_devices = [\"zz zz\"]", "denied_devices"),
            (
                "[ingress.keys.a]\nsecret_file = \"/nowhere/at/all\"",
                "/nowhere/at/all",
            ),
        ] {
            let error = error_of(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }

        assert!(
            load("", &[("CORDBOARD__INGRESS__LISSTEN", "x")])
                .unwrap_err()
                .contains("lissten")
        );
    }

    #[test]
    fn numbers_and_rules_that_cannot_work_are_refused() {
        for (text, expected) in [
            (
                "[ingress]\ntick_ms = 1.5",
                "`ingress.tick_ms` must be a whole",
            ),
            (
                "[ingress]\ntick_ms = 99999999999999999999",
                "`ingress.tick_ms` is too large",
            ),
            (
                "[policy.site.a]\nring_max_ms = 1e9",
                "`policy.site.a.ring_max_ms`",
            ),
            ("[policy]\nextensions = [\"X*(\"]", "`extensions`"),
            ("[policy]\nsite = 5", "`site`"),
            ("[gateway]\nhosts = [\"https://x.y\"]", "`gateway.hosts`"),
            ("[operations]\nhosts = [\"\"]", "`operations.hosts`"),
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn secrets_come_from_a_private_file_or_the_environment_and_are_never_printed() {
        let settings = load("", &[("CORDBOARD__INGRESS__KEYS__A__SECRET", SECRET)]).unwrap();
        assert_eq!(settings.ingress.access().unwrap().keys.len(), 1);
        assert!(!format!("{settings:?}").contains("hush"));
        let printed = settings.to_redacted_toml().unwrap();
        assert!(
            !printed.contains("hush") && printed.contains("(hidden)"),
            "{printed}"
        );

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(SECRET.as_bytes()).unwrap();
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
    fn printed_settings_read_back_as_the_same_settings() {
        let printed = load(
            "[policy]\nregion = \"FR\"\n[policy.site.a]\nring_max_ms = 5000",
            &[],
        )
        .unwrap()
        .to_redacted_toml()
        .unwrap();

        let reread = load(&printed, &[]).unwrap();
        assert_eq!(reread.to_redacted_toml().unwrap(), printed);
    }

    #[test]
    fn the_example_for_production_loads() {
        let text = include_str!("../../config/production.toml");
        let secret = [("CORDBOARD__INGRESS__KEYS__A__SECRET", SECRET)];
        let without_file: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("secret_file"))
            .collect();

        let settings = load(&without_file.join("\n"), &secret).unwrap();
        assert!(!settings.ingress.listen.ip().is_loopback() && settings.data_dir.is_absolute());
    }

    #[test]
    fn a_listener_without_authentication_needs_an_explicit_permission() {
        let open = "[ingress]\nlisten = \"0.0.0.0:8080\"\n";
        assert!(
            load(open, &[])
                .unwrap_err()
                .contains("allow_unauthenticated")
        );
        assert!(load(&format!("{open}allow_unauthenticated = true"), &[]).is_ok());
        assert!(load(&format!("{open}networks = [\"10.0.0.0/8\"]"), &[]).is_ok());
        assert!(load(&format!("{open}networks = [\"0.0.0.0/0\"]"), &[]).is_err());
        let everywhere = "networks = [\"10.0.0.0/8\", \"::/0\"]";
        assert!(load(&format!("{open}{everywhere}"), &[]).is_err());
        let key = format!("{open}[ingress.keys.a]\nsecret = {SECRET:?}");
        assert!(load(&key, &[]).is_ok());

        let open = "[operations]\nlisten = \"0.0.0.0:8081\"\n";
        assert!(load(open, &[]).unwrap_err().contains("operations"));
        assert!(load(&format!("{open}allow_unauthenticated = true"), &[]).is_ok());
    }
}
