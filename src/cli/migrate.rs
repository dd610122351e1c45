//! `cordboard migrate`: applies the pending migrations of the database, or shows its state.

use std::io::{self, Write};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;

use crate::ops::{self, DatabaseStatus, MigrationStatus, TableStatus};

/// Apply the pending migrations of the database
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,

    /// Only list migrations and tables, and check the database
    #[arg(long)]
    status: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let mut out = io::stdout().lock();
    if !arguments.status {
        let migrations = block_on(async { Ok(ops::migrate(&settings).await?) })?;
        return Ok(write_migrations(&mut out, &migrations)?);
    }

    let status = block_on(async { Ok(ops::database_status(&settings).await?) })?;
    write_migrations(&mut out, &status.migrations)?;
    write_tables(&mut out, &status.tables)?;
    write_health(&mut out, &status)?;
    match &status.damage {
        Some(damage) => Err(Failure::Service(format!(
            "the database is damaged: {damage}"
        ))),
        None => Ok(()),
    }
}

fn write_migrations(out: &mut impl Write, migrations: &[MigrationStatus]) -> io::Result<()> {
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

fn write_tables(out: &mut impl Write, tables: &[TableStatus]) -> io::Result<()> {
    if tables.is_empty() {
        return Ok(());
    }

    writeln!(out, "\n{:<28} {:>12}  size", "table", "rows")?;
    for table in tables {
        let bytes = table.bytes.map_or_else(|| "-".to_owned(), size_text);
        writeln!(out, "{:<28} {:>12}  {bytes}", table.name, table.rows)?;
    }
    Ok(())
}

fn write_health(out: &mut impl Write, status: &DatabaseStatus) -> io::Result<()> {
    let Some(server) = &status.server else {
        return writeln!(
            out,
            "\nThere is no database yet; `cordboard migrate` makes it."
        );
    };

    let pending = status
        .migrations
        .iter()
        .filter(|migration| !migration.applied)
        .count();
    let state = match (&status.damage, pending) {
        (Some(_), _) => "damaged".to_owned(),
        (None, 0) => "ok".to_owned(),
        (None, pending) => format!("ok, {pending} migrations pending: run `cordboard migrate`"),
    };
    writeln!(out, "\n{server}, {}: {state}", size_text(status.bytes))
}

/// A size in the largest unit of which there is one.
fn size_text(bytes: i64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
