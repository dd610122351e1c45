//! Options that several commands share: the settings file, and the input of facts.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::config::{Settings, environment};
use crate::domain::time::At;
use crate::wire::instant;
use crate::wire::policy_file::Policies;

/// The option of every command that reads the settings.
#[derive(clap::Args)]
pub(super) struct SettingsArguments {
    /// Settings file in TOML; its keys override the defaults
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl SettingsArguments {
    pub(super) fn load(&self) -> Result<Settings, Failure> {
        environment()
            .and_then(|variables| Settings::load(self.file(), variables))
            .map_err(|error| Failure::Config(error.to_string()))
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// The options of the commands that read facts from standard input.
#[derive(clap::Args)]
pub(super) struct InputArguments {
    /// Policy file: the rules of the sites, as TOML or JSON; the default rules without it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Stop the watermark at this instant (RFC 3339): later facts are ignored, and calls that are
    /// open at the instant are printed in their state at that time
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
}

impl InputArguments {
    pub(super) fn policies(&self) -> Result<Policies, Failure> {
        Ok(read_policies(self.policy.as_deref())?.unwrap_or_default())
    }

    pub(super) fn limit(&self) -> Result<Option<At>, Failure> {
        self.at
            .as_deref()
            .map(|text| parse_instant("--at", text))
            .transpose()
    }
}

pub(super) fn read_policies(file: Option<&Path>) -> Result<Option<Policies>, Failure> {
    file.map(Policies::read)
        .transpose()
        .map_err(|error| Failure::Policy(error.to_string()))
}

pub(super) fn parse_instant(option: &str, text: &str) -> Result<At, Failure> {
    instant::parse(text).map_err(|error| {
        Failure::Usage(format!(
            "{option} {text:?} is not an RFC 3339 instant, such as 2026-11-20T18:00:00Z: {error}"
        ))
    })
}
