//! `cordboard resend`: once more to the workers what this ingress received.

use std::io::{self, Write};

use super::failure::Failure;
use super::progress;
use super::serve::{SettingsArguments, block_on};
use crate::app::{self, Period};
use crate::domain::time::At;
use crate::wire::instant;

/// Send again what this ingress received, as long as its journal keeps it
///
/// For when it was lost after it had been delivered: with a queue that was deleted, or a database
/// that was restored from a backup. Every event keeps its id and its time; what is stored already
/// is not stored twice. Run it on the machine and with the settings of every ingress, which may go
/// on working meanwhile; where everything is one process, stop that before.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Events received at or after this instant, such as 2026-11-20T18:00:00Z
    #[arg(long, value_name = "INSTANT")]
    since: String,

    /// Only events received before this instant
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,

    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let parse = |name: &str, text: &str| -> Result<At, Failure> {
        instant::parse(text)
            .map_err(|error| Failure::Usage(format!("--{name} {text:?} is no instant: {error}")))
    };
    let since = parse("since", &arguments.since)?;
    let until = arguments
        .until
        .as_deref()
        .map(|text| parse("until", text))
        .transpose()?;
    let bar = progress::count("events")?;
    let sent = block_on(async {
        Ok(app::resend(
            &settings,
            Period { since, until },
            arguments.dry_run,
            |sent| bar.set_position(sent),
        )
        .await?)
    })?;
    bar.finish_and_clear();
    let done = if arguments.dry_run {
        "would be sent again"
    } else {
        "sent again"
    };
    writeln!(io::stdout().lock(), "{sent} events {done}")?;
    Ok(())
}
