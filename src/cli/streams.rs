//! `cordboard streams`: what the event logs in Redis hold, and whether they can be written.

use std::io::{self, Write};

use clap::Subcommand;

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::domain::fact::Site;
use crate::ops::{self, Inspected};
use crate::wire::instant;

/// Look into the event logs in Redis, or try them out
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the logs of today and yesterday of a site, and of calls whose site is not known yet:
    /// entries, types and the newest ones, without numbers and names
    Inspect(Inspect),
    /// Write an event into a log of its own, read it back, and remove the log
    Test(Test),
}

#[derive(clap::Args)]
struct Inspect {
    #[command(flatten)]
    settings: SettingsArguments,

    /// The site
    #[arg(long, default_value = "default")]
    site: String,

    /// The number of entries that are listed of each log
    #[arg(long, default_value_t = 10)]
    newest: usize,
}

#[derive(clap::Args)]
struct Test {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Inspect(inspect) => list(inspect),
        Command::Test(test) => try_out(test),
    }
}

fn list(arguments: &Inspect) -> Result<(), Failure> {
    if Site::parse(&arguments.site).is_none() {
        return Err(Failure::Usage("`--site` is not a site name".to_owned()));
    }
    let settings = arguments.settings.load()?;
    let logs = block_on(async {
        Ok(ops::inspect_streams(&settings, &arguments.site, arguments.newest).await?)
    })?;

    let mut out = io::stdout().lock();
    if logs.is_empty() {
        writeln!(out, "no events of the last two days")?;
    }
    for log in &logs {
        print(&mut out, log)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, log: &Inspected) -> io::Result<()> {
    let expiry = log.day.expires_in.map_or_else(
        || "never deleted".to_owned(),
        |seconds| format!("deleted in {} h {} min", seconds / 3_600, seconds / 60 % 60),
    );
    writeln!(
        out,
        "{}  {} entries, {expiry}",
        log.day.key, log.day.entries
    )?;

    for (event_type, count) in &log.types {
        writeln!(out, "{count:>8}  {event_type}")?;
    }
    for stored in &log.newest {
        let event = &stored.event;
        writeln!(
            out,
            "          {}  {}  {}",
            instant::text(event.at),
            event.event_type,
            event.call_id
        )?;
    }
    Ok(())
}

fn try_out(arguments: &Test) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let took = block_on(async { Ok(ops::try_streams(&settings).await?) })?;

    let mut out = io::stdout().lock();
    writeln!(
        out,
        "an event was written, read back and removed in {} ms",
        took.as_millis()
    )?;
    Ok(())
}
