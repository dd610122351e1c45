//! `cordboard resend`: delivers retained events of this ingress to the workers again.

use std::io::{self, Write};

use super::failure::Failure;
use super::options::{SettingsArguments, parse_instant};
use super::progress;
use super::runtime::block_on;
use crate::ops::{self, Period};

/// Send the events again that this ingress has received and that its journal retains
///
/// For use after events were lost behind the ingress: a queue was deleted, or a database was
/// restored from a backup. Every event keeps its id and its time, so that a stored event is not
/// stored twice. Run the command on the machine of every ingress, with its settings and as its user.
/// The service may go on working meanwhile.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only events received at or after this instant, such as 2026-11-20T18:00:00Z
    #[arg(long, value_name = "INSTANT")]
    since: String,

    /// Only events received before this instant
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,

    /// Only print the number of events
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let period = Period {
        since: parse_instant("--since", &arguments.since)?,
        until: arguments
            .until
            .as_deref()
            .map(|text| parse_instant("--until", text))
            .transpose()?,
    };

    let counter = progress::counter("events")?;
    let events = block_on(async {
        let progress = |sent| counter.set_position(sent);
        Ok(ops::resend(&settings, period, arguments.dry_run, progress).await?)
    })?;
    counter.finish_and_clear();

    let effect = if arguments.dry_run {
        "would be sent again"
    } else {
        "sent again"
    };
    writeln!(io::stdout().lock(), "{events} events {effect}")?;
    Ok(())
}
