//! Dead letters of both stores: of the database, where workers store messages that they cannot
//! read, and of the broker's dead letter queue. They are shown, sent again under their ids, or
//! dropped.

use crate::adapter::journal::Journal;
use crate::adapter::postgres::{PartitionAddress, PostgresLedger, readers};
use crate::adapter::rabbit::RabbitDeadLetters;
use crate::config::Settings;
use crate::port::broker::DeadLetterQueue;
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::setup::{
    DatabaseAddress, Roles, Servers, SetupError, database, layout, machine_clock, open_journal,
    open_ledger_of, servers,
};
use crate::wire::envelope::Envelope;

/// Letters read from the database at once.
const PAGE_LETTERS: u32 = 500;

/// The store of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterStore {
    Database,
    Broker,
}

/// Chooses dead letters. All conditions that are set must hold.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Beginnings of digests; any digest when empty.
    pub digests: Vec<String>,
    /// Part of the reason.
    pub reason: Option<String>,
    pub store: Option<DeadLetterStore>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterAction {
    Show,
    Retry,
    Drop,
}

/// A chosen letter, and what became of it.
pub struct DeadLetterResult {
    pub store: DeadLetterStore,
    pub letter: DeadLetter,
    /// False for a letter to retry that is still unreadable.
    pub applied: bool,
}

impl DeadLetterFilter {
    fn matches(&self, store: DeadLetterStore, letter: &DeadLetter) -> bool {
        let reason_matches = match &self.reason {
            Some(part) => letter.reason.contains(part),
            None => true,
        };
        let digest_matches = self.digests.is_empty()
            || self
                .digests
                .iter()
                .any(|beginning| letter.digest.starts_with(beginning));

        self.store.is_none_or(|wanted| wanted == store) && reason_matches && digest_matches
    }
}

/// Acts on all letters that match, or with `dry_run` only says on which. Passes each of them to
/// `report`.
///
/// # Errors
/// When a store cannot be reached. Earlier letters are done.
pub async fn dead_letters(
    settings: &Settings,
    filter: &DeadLetterFilter,
    action: DeadLetterAction,
    dry_run: bool,
    report: impl FnMut(&DeadLetterResult),
) -> Result<(), SetupError> {
    let mut command = Command {
        filter,
        action,
        dry_run,
        report,
    };

    match servers(settings, Roles::ALL)? {
        Some(servers) => on_servers(&servers, &mut command).await,
        None => embedded(settings, &mut command).await,
    }
}

async fn embedded(
    settings: &Settings,
    command: &mut Command<'_, impl FnMut(&DeadLetterResult)>,
) -> Result<(), SetupError> {
    let target = if command.is_resending() {
        let opened = open_journal(settings, machine_clock().now())?;
        Target::Journal(Box::new(opened.journal))
    } else {
        Target::None
    };

    match database(settings)? {
        DatabaseAddress::File(path) => {
            let ledger = open_ledger_of(settings, &path).await?;
            ledger.migrate().await?;
            command.database(&ledger, &target).await?;
            ledger.close().await;
        }
        DatabaseAddress::Server(address) => {
            let partition = PartitionAddress::of(layout(settings), 0);
            let ledger = PostgresLedger::new(&address, readers(&address), partition);
            command.database(&ledger, &target).await?;
            ledger.close().await;
        }
    }

    Ok(())
}

async fn on_servers(
    servers: &Servers,
    command: &mut Command<'_, impl FnMut(&DeadLetterResult)>,
) -> Result<(), SetupError> {
    let Some(database) = &servers.database else {
        return Ok(());
    };
    let ledger = PostgresLedger::new(database, readers(database), servers.partition(0));
    let queue = RabbitDeadLetters::open(&servers.broker, servers.layout, machine_clock()).await?;

    let target = Target::Broker(&queue);
    let done = async {
        command.database(&ledger, &target).await?;
        command.broker(&queue, &target).await
    };
    let done = done.await;
    queue.close().await;
    ledger.close().await;

    done
}

/// The destination of letters that are sent again.
enum Target<'t> {
    None,
    /// As if they had just been received.
    Journal(Box<Journal>),
    Broker(&'t dyn DeadLetterQueue),
}

impl Target<'_> {
    async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SetupError> {
        match self {
            Target::None => {}
            Target::Journal(journal) => journal.append(message.to_vec()).await?,
            Target::Broker(queue) => queue.resend(envelope).await?,
        }

        Ok(())
    }
}

struct Command<'r, R> {
    filter: &'r DeadLetterFilter,
    action: DeadLetterAction,
    dry_run: bool,
    report: R,
}

impl<R: FnMut(&DeadLetterResult)> Command<'_, R> {
    fn is_resending(&self) -> bool {
        self.action == DeadLetterAction::Retry && !self.dry_run
    }

    fn is_removing(&self) -> bool {
        self.action != DeadLetterAction::Show && !self.dry_run
    }

    async fn database(
        &mut self,
        ledger: &impl DeadLetters,
        target: &Target<'_>,
    ) -> Result<(), SetupError> {
        let store = DeadLetterStore::Database;

        for letter in matching(ledger, self.filter).await? {
            let applied = self.send(&letter, target).await?;
            if applied && self.is_removing() {
                ledger.remove_dead_letter(&letter.digest).await?;
            }
            (self.report)(&DeadLetterResult {
                store,
                letter,
                applied,
            });
        }

        Ok(())
    }

    async fn broker(
        &mut self,
        queue: &dyn DeadLetterQueue,
        target: &Target<'_>,
    ) -> Result<(), SetupError> {
        let store = DeadLetterStore::Broker;

        // Only letters that are there now: one that is sent again may come back.
        for _ in 0..queue.depth().await? {
            let Some(queued) = queue.next().await? else {
                break;
            };
            if !self.filter.matches(store, &queued.letter) {
                continue;
            }

            let applied = self.send(&queued.letter, target).await?;
            if applied && self.is_removing() {
                queue.remove(&queued).await?;
            }
            (self.report)(&DeadLetterResult {
                store,
                letter: queued.letter,
                applied,
            });
        }

        Ok(())
    }

    /// Sends a letter again, if that is the action. Returns whether the action was applied.
    async fn send(&self, letter: &DeadLetter, target: &Target<'_>) -> Result<bool, SetupError> {
        if self.action != DeadLetterAction::Retry {
            return Ok(true);
        }
        let Ok(envelope) = Envelope::decode(&letter.message) else {
            return Ok(false);
        };

        if !self.dry_run {
            target.send(&envelope, &letter.message).await?;
        }
        Ok(true)
    }
}

/// The letters of the database that match. They are read before any of them is removed.
async fn matching(
    ledger: &impl DeadLetters,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, SetupError> {
    let mut found = Vec::new();
    let mut after = i64::MIN;

    loop {
        let page = ledger.dead_letters(after, PAGE_LETTERS).await?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after = *last;

        let letters = page.into_iter().map(|(_, letter)| letter);
        found.extend(letters.filter(|letter| filter.matches(DeadLetterStore::Database, letter)));
    }
}
