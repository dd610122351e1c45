//! `cordboard dead-letters`: what could not be read, looked at, sent again, or dropped.

use std::io::{self, Write};

use clap::{Subcommand, ValueEnum};

use super::failure::Failure;
use super::serve::{SettingsArguments, block_on};
use crate::app::{self, DeadLetterAction, DeadLetterFilter, DeadLetterResult, DeadLetterStore};
use crate::domain::time::At;
use crate::wire::envelope::Envelope;
use crate::wire::instant;

const DIGEST_SHOWN: usize = 12;

/// Look at messages that hold no fact, send them again, or drop them
///
/// They lie in the database, where workers set aside what they cannot read, and in the broker's
/// queue of what it gave up.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One line for each: digest, where it lies, when it was received, why it is there
    List(Few),
    /// The messages as they came. They may hold numbers and names of people
    Show(Few),
    /// Send again, under the id it has: what is known already changes nothing
    Retry(Many),
    /// Forget for good
    Drop(Many),
}

#[derive(clap::Args)]
struct Few {
    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Args)]
struct Many {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Every letter there is, where no filter is given
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(clap::Args)]
struct Filters {
    /// Digests, or how they begin, as `list` shows them
    #[arg(value_name = "DIGEST")]
    digests: Vec<String>,

    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Only those that lie there
    #[arg(long = "in", value_name = "PLACE", value_enum)]
    place: Option<Place>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Place {
    Database,
    Broker,
}

impl Filters {
    fn which(self) -> DeadLetterFilter {
        let shelf = self.place.map(|place| match place {
            Place::Database => DeadLetterStore::Database,
            Place::Broker => DeadLetterStore::Broker,
        });
        DeadLetterFilter {
            digests: self.digests,
            reason: self.reason,
            shelf,
        }
    }

    fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.reason.is_none() && self.place.is_none()
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::List(few) => each(
            &few.settings,
            few.filters,
            DeadLetterAction::Show,
            false,
            list,
        ),
        Command::Show(few) => each(
            &few.settings,
            few.filters,
            DeadLetterAction::Show,
            false,
            show,
        ),
        Command::Retry(many) => change(many, DeadLetterAction::Retry),
        Command::Drop(many) => change(many, DeadLetterAction::Drop),
    }
}

fn change(many: Many, deed: DeadLetterAction) -> Result<(), Failure> {
    if many.filters.is_empty() && !many.all {
        return Err(Failure::Usage(
            "say which: digests, --reason or --in, or --all for every letter there is".to_owned(),
        ));
    }
    let verb = match (deed, many.dry_run) {
        (DeadLetterAction::Retry, false) => "sent again",
        (DeadLetterAction::Retry, true) => "would be sent again",
        (_, false) => "dropped",
        (_, true) => "would be dropped",
    };
    each(&many.settings, many.filters, deed, many.dry_run, |done| {
        let digest = &done.letter.digest[..DIGEST_SHOWN];
        if done.possible {
            format!("{digest}  {verb}")
        } else {
            format!(
                "{digest}  still cannot be read, and stays: {}",
                done.letter.reason
            )
        }
    })
}

/// Does it, and tells of each in a line.
fn each(
    settings: &SettingsArguments,
    filters: Filters,
    deed: DeadLetterAction,
    dry_run: bool,
    line: impl Fn(&DeadLetterResult) -> String,
) -> Result<(), Failure> {
    let settings = settings.load()?;
    let which = filters.which();
    let mut told = Ok(());
    block_on(async {
        let mut out = io::stdout().lock();
        app::dead_letters(&settings, &which, deed, dry_run, |done| {
            if told.is_ok() {
                told = writeln!(out, "{}", line(done));
            }
        })
        .await?;
        Ok(())
    })?;
    Ok(told?)
}

fn list(done: &DeadLetterResult) -> String {
    let place = if done.shelf == DeadLetterStore::Database {
        "database"
    } else {
        "broker"
    };
    let received = Envelope::decode(&done.letter.message)
        .ok()
        .map(|envelope| instant::text(At(envelope.at)));
    let digest = &done.letter.digest[..DIGEST_SHOWN];
    format!(
        "{digest}  {place:<8}  {:<27}  {}",
        received.as_deref().unwrap_or("-"),
        done.letter.reason
    )
}

fn show(done: &DeadLetterResult) -> String {
    let text = match std::str::from_utf8(&done.letter.message) {
        Ok(text) => text.escape_debug().to_string().replace("\\\"", "\""),
        Err(_) => done.letter.message.escape_ascii().to_string(),
    };
    format!("{}\n  {}\n  {text}", done.letter.digest, done.letter.reason)
}
