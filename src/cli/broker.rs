//! `cordboard broker`: declares the RabbitMQ topology, adopts partition layouts, and lists queues.

use std::io::{self, Write};

use clap::Subcommand;

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::config::Settings;
use crate::ops::{self, Applied, BrokerStatus};

/// Set up RabbitMQ, or list its queues
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Declare exchanges and queues, and set policies; without `broker.management_url`, print the
    /// commands that set the policies
    Apply(CommandArguments),
    /// List the queues with their waiting messages, and whether a worker consumes them
    Status(CommandArguments),
    /// Activate the number of partitions and the generation of the settings; `deploy/RUNBOOK.md`
    /// has the procedure
    Adopt(CommandArguments),
}

#[derive(clap::Args)]
struct CommandArguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Apply(command) => apply(&command.settings.load()?),
        Command::Status(command) => status(&command.settings.load()?),
        Command::Adopt(command) => adopt(&command.settings.load()?),
    }
}

fn apply(settings: &Settings) -> Result<(), Failure> {
    let applied = block_on(async { Ok(ops::apply_broker(settings).await?) })?;
    let mut out = io::stdout().lock();

    match applied {
        Applied::PoliciesSet(policies) => writeln!(
            out,
            "exchanges and queues declared; policies set: {}",
            policies.join(", ")
        )?,
        Applied::PolicyCommands(commands) => {
            writeln!(
                out,
                "# exchanges and queues declared; to set the policies, run these commands on a \
                 machine of the broker:"
            )?;
            for command in commands {
                writeln!(out, "{command}")?;
            }
        }
    }

    Ok(())
}

fn adopt(settings: &Settings) -> Result<(), Failure> {
    let forwarded = block_on(async { Ok(ops::adopt_layout(settings).await?) })?;
    let mut out = io::stdout().lock();

    writeln!(
        out,
        "generation {} with {} partitions is in force",
        settings.broker.generation, settings.broker.partitions
    )?;
    if forwarded > 0 {
        writeln!(
            out,
            "{forwarded} messages forwarded from queues of older generations"
        )?;
    }

    Ok(())
}

fn status(settings: &Settings) -> Result<(), Failure> {
    let BrokerStatus { queues, workers } =
        block_on(async { Ok(ops::broker_status(settings).await?) })?;
    let mut out = io::stdout().lock();

    writeln!(out, "{workers} workers")?;
    for (queue, depth) in queues {
        let Some(depth) = depth else {
            writeln!(out, "{queue:<28}  missing")?;
            continue;
        };

        let consumer = if depth.consumers > 0 {
            "consumed"
        } else {
            "no consumer"
        };
        writeln!(
            out,
            "{queue:<28}  {:>9} messages, {consumer}",
            depth.messages
        )?;
    }

    Ok(())
}
