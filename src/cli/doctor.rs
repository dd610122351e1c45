//! `cordboard doctor`: is everything as the service needs it, and if not, what to do.

use std::io::{self, Write};

use super::failure::Failure;
use super::serve::{SettingsArguments, block_on};
use crate::app::{self, Grade};

/// Check settings, disk, journal, database, clock and ports, and say what to do
///
/// Changes nothing, and may run beside the service.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let findings = block_on(async { Ok(app::examine(&settings, &*app::machine_clock()).await) })?;
    let mut out = io::stdout().lock();
    writeln!(out, "{:<8} {:<10} sound", "ok", "settings")?;
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => "ok",
            Grade::Note => "note",
            Grade::Bad => "problem",
        };
        writeln!(out, "{grade:<8} {:<10} {}", finding.place, finding.told)?;
    }
    match findings
        .iter()
        .filter(|finding| finding.grade == Grade::Bad)
        .count()
    {
        0 => Ok(()),
        1 => Err(Failure::Service("1 problem was found".to_owned())),
        bad => Err(Failure::Service(format!("{bad} problems were found"))),
    }
}
