//! `cordboard config`: prints the settings in force.

use std::io::{self, Write};

use super::failure::Failure;
use super::options::SettingsArguments;
use crate::setup::check_addresses;

/// Print the settings in force; secrets are hidden
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    check_addresses(&settings).map_err(|error| Failure::Config(error.to_string()))?;
    let text = settings
        .to_redacted_toml()
        .map_err(|error| Failure::Config(error.to_string()))?;

    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
