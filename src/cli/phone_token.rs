//! `cordboard phone-token`: prints the tokens of a phone.

use std::io::{self, Write};

use super::failure::Failure;
use super::options::SettingsArguments;
use crate::domain::device::Device;

/// Print the token of a phone, one for each key
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// MAC address of the phone, in any spelling
    mac: String,

    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;

    let device = Device::parse(&arguments.mac)
        .filter(|device| matches!(device, Device::Mac(_)))
        .ok_or_else(|| {
            Failure::Usage("not a MAC address: it must have 12 hexadecimal digits".to_owned())
        })?;
    let access = settings
        .ingress
        .access()
        .map_err(|error| Failure::Config(error.to_string()))?;
    if access.keys.is_empty() {
        return Err(Failure::Usage(
            "no keys are set: add one in [ingress.keys.a] of the settings".to_owned(),
        ));
    }

    let mut out = io::stdout().lock();
    for key in &access.keys {
        writeln!(out, "{}", key.token(&device))?;
    }

    Ok(())
}
