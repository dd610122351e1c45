//! `cordboard dead-letters`: lists, prints, retries or drops messages without a readable fact.

use std::io::{self, Write};

use clap::{Subcommand, ValueEnum};

use super::failure::Failure;
use super::options::SettingsArguments;
use super::runtime::block_on;
use crate::domain::time::At;
use crate::ops::{self, DeadLetterAction, DeadLetterFilter, DeadLetterResult, DeadLetterStore};
use crate::wire::envelope::Envelope;
use crate::wire::instant;

/// Characters of a digest in a list: enough to name one letter.
const DIGEST_CHARS: usize = 12;

/// List, print, retry or drop dead letters: messages without a readable fact
///
/// There are two stores of dead letters: the database, where workers store messages that they
/// cannot read, and RabbitMQ's dead-letter queue, for messages that were delivered too often.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List dead letters, one per line: digest, store, time of receipt, reason
    List(ReadArguments),
    /// Print the stored messages. They may contain phone numbers and names of people
    Show(ReadArguments),
    /// Send dead letters again under their ids; an event that is already stored is not stored twice
    Retry(ChangeArguments),
    /// Delete dead letters permanently
    Drop(ChangeArguments),
}

#[derive(clap::Args)]
struct ReadArguments {
    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Args)]
struct ChangeArguments {
    /// Only print what the command would do
    #[arg(long)]
    dry_run: bool,

    /// Select every dead letter; required if no filter is given
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Args)]
struct Filters {
    /// Select by digest, or by the first characters of a digest, as `list` prints them
    #[arg(value_name = "DIGEST")]
    digests: Vec<String>,

    /// Select dead letters whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Select dead letters of this store
    #[arg(long = "in", value_name = "STORE", value_enum)]
    store: Option<Store>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Store {
    Database,
    Broker,
}

impl Filters {
    fn into_filter(self) -> DeadLetterFilter {
        DeadLetterFilter {
            digests: self.digests,
            reason: self.reason,
            store: self.store.map(|store| match store {
                Store::Database => DeadLetterStore::Database,
                Store::Broker => DeadLetterStore::Broker,
            }),
        }
    }

    fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.reason.is_none() && self.store.is_none()
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List(arguments) => read(arguments, list_line),
        Command::Show(arguments) => read(arguments, full_text),
        Command::Retry(arguments) => change(arguments, DeadLetterAction::Retry),
        Command::Drop(arguments) => change(arguments, DeadLetterAction::Drop),
    }
}

fn read(
    arguments: ReadArguments,
    format: impl Fn(&DeadLetterResult) -> String,
) -> Result<(), Failure> {
    apply(
        &arguments.settings,
        arguments.filters,
        DeadLetterAction::Show,
        false,
        format,
    )
}

fn change(arguments: ChangeArguments, action: DeadLetterAction) -> Result<(), Failure> {
    if arguments.filters.is_empty() && !arguments.all {
        return Err(Failure::Usage(
            "no dead letters selected: give digests, --reason or --in, or --all for every one"
                .to_owned(),
        ));
    }

    let effect = match (action, arguments.dry_run) {
        (DeadLetterAction::Retry, false) => "sent again",
        (DeadLetterAction::Retry, true) => "would be sent again",
        (_, false) => "dropped",
        (_, true) => "would be dropped",
    };

    apply(
        &arguments.settings,
        arguments.filters,
        action,
        arguments.dry_run,
        |result| {
            let digest = &result.letter.digest[..DIGEST_CHARS];
            if result.applied {
                format!("{digest}  {effect}")
            } else {
                let reason = &result.letter.reason;
                format!("{digest}  still cannot be read, and stays stored: {reason}")
            }
        },
    )
}

/// Applies an action to the selected dead letters, and prints one text for each.
fn apply(
    settings: &SettingsArguments,
    filters: Filters,
    action: DeadLetterAction,
    dry_run: bool,
    format: impl Fn(&DeadLetterResult) -> String,
) -> Result<(), Failure> {
    let settings = settings.load()?;
    let filter = filters.into_filter();
    // A failed write does not interrupt the action: the letters that follow are changed as asked.
    let mut written = Ok(());

    block_on(async {
        let mut out = io::stdout().lock();
        ops::dead_letters(&settings, &filter, action, dry_run, |result| {
            if written.is_ok() {
                written = writeln!(out, "{}", format(result));
            }
        })
        .await?;
        Ok(())
    })?;

    Ok(written?)
}

fn list_line(result: &DeadLetterResult) -> String {
    let digest = &result.letter.digest[..DIGEST_CHARS];
    let store = match result.store {
        DeadLetterStore::Database => "database",
        DeadLetterStore::Broker => "broker",
    };
    let received = Envelope::decode(&result.letter.message)
        .ok()
        .map(|envelope| instant::text(At(envelope.at)));

    format!(
        "{digest}  {store:<8}  {:<27}  {}",
        received.as_deref().unwrap_or("-"),
        result.letter.reason
    )
}

fn full_text(result: &DeadLetterResult) -> String {
    let letter = &result.letter;
    let message = match std::str::from_utf8(&letter.message) {
        Ok(text) => text.escape_debug().to_string().replace("\\\"", "\""),
        Err(_) => letter.message.escape_ascii().to_string(),
    };

    format!("{}\n  {}\n  {message}", letter.digest, letter.reason)
}
