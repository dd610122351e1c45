//! `cordboard broker`: what the service needs of RabbitMQ, and what waits there.

use std::io::{self, Write};

use clap::Subcommand;

use super::failure::Failure;
use super::serve::{SettingsArguments, block_on};
use crate::app::{self, Applied};

/// Set up RabbitMQ, or see what waits there
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Declare exchanges and queues, and set the policies; without `broker.management_url`, print
    /// the commands that set them
    Apply(Settings),
    /// The queues: messages that wait, and whether somebody reads them
    Status(Settings),
    /// Put the number of partitions and the generation of the settings in force;
    /// `deploy/RUNBOOK.md` says when
    Adopt(Settings),
}

#[derive(clap::Args)]
struct Settings {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match &arguments.command {
        Command::Apply(Settings { settings }) => {
            let settings = settings.load()?;
            match block_on(async { Ok(app::apply_broker(&settings).await?) })? {
                Applied::Set(policies) => writeln!(
                    out,
                    "exchanges and queues are there; policies set: {}",
                    policies.join(", ")
                )?,
                Applied::Commands(commands) => {
                    writeln!(
                        out,
                        "# exchanges and queues are there; these commands set the policies, on a machine of the broker:"
                    )?;
                    for command in commands {
                        writeln!(out, "{command}")?;
                    }
                }
            }
        }
        Command::Adopt(Settings { settings }) => {
            let settings = settings.load()?;
            let sent = block_on(async { Ok(app::adopt_layout(&settings).await?) })?;
            writeln!(
                out,
                "generation {} with {} partitions is in force",
                settings.broker.generation, settings.broker.partitions
            )?;
            if sent > 0 {
                writeln!(
                    out,
                    "{sent} messages of older queues were sent to where they belong now"
                )?;
            }
        }
        Command::Status(Settings { settings }) => {
            let settings = settings.load()?;
            let (queues, workers) = block_on(async { Ok(app::broker_status(&settings).await?) })?;
            writeln!(out, "{workers} workers")?;
            for (queue, depth) in queues {
                match depth {
                    None => writeln!(out, "{queue:<28}  missing")?,
                    Some(depth) => {
                        let read = if depth.consumers > 0 {
                            "read"
                        } else {
                            "not read by anybody"
                        };
                        writeln!(out, "{queue:<28}  {:>9} messages, {read}", depth.messages)?;
                    }
                }
            }
        }
    }
    Ok(())
}
