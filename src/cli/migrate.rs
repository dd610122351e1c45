//! `cordboard migrate`: applies the pending migrations of the database.

use std::io::{self, Write};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::ops;

/// Apply the pending migrations of the database
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,

    /// Only list the migrations as applied or pending
    #[arg(long)]
    status: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let migrations = block_on(async { Ok(ops::migrate(&settings, arguments.status).await?) })?;

    let mut out = io::stdout().lock();
    for migration in migrations {
        let state = if migration.applied {
            "applied"
        } else {
            "pending"
        };
        writeln!(
            out,
            "{:>4}  {state}  {}",
            migration.version, migration.description
        )?;
    }

    Ok(())
}
