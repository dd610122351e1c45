//! `cordboard doctor`: checks everything that the service needs, and prints remedies.

use std::io::{self, Write};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::ops::{self, Grade};
use crate::setup::machine_clock;

/// Check settings, disk, journal, database, broker, clock, ports and the running service, and print
/// remedies
///
/// The command changes nothing, and may run beside the service.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let findings = block_on(async { Ok(ops::examine(&settings, &*machine_clock()).await) })?;

    let mut out = io::stdout().lock();
    writeln!(out, "{:<8} {:<10} valid", "ok", "settings")?;
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => "ok",
            Grade::Note => "note",
            Grade::Bad => "problem",
        };
        writeln!(out, "{grade:<8} {:<10} {}", finding.subject, finding.text)?;
    }

    let problems = findings
        .iter()
        .filter(|finding| finding.grade == Grade::Bad)
        .count();
    match problems {
        0 => Ok(()),
        1 => Err(Failure::Service("1 problem found".to_owned())),
        _ => Err(Failure::Service(format!("{problems} problems found"))),
    }
}
