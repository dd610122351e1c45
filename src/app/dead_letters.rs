//! Dead letters, wherever they are: in the database, where workers set aside what they cannot read,
//! and in the broker's queue of what it gave up. They can be looked at, sent again under the id
//! they have, or dropped.

use super::open::{open_journal, open_ledger};
use super::place::{Database, Servers};
use super::{Roles, ServiceError, machine_clock, place};
use crate::adapter::postgres::{Partition, PostgresLedger, readers};
use crate::adapter::rabbit::{DeadQueue, Waiting};
use crate::adapter::sql::digest;
use crate::config::Settings;
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::wire::envelope::Envelope;

/// Letters read from the database at once.
const PAGE: u32 = 500;

/// Where a letter lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterStore {
    Database,
    Broker,
}

/// Which letters are meant; every part that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// The beginnings of their digests; all when empty.
    pub digests: Vec<String>,
    /// A part of the reason.
    pub reason: Option<String>,
    pub shelf: Option<DeadLetterStore>,
}

/// What is to be done with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterAction {
    Show,
    Retry,
    Drop,
}

/// What was done with one.
pub struct DeadLetterResult {
    pub shelf: DeadLetterStore,
    pub letter: DeadLetter,
    /// Whether it could be: a letter that is still unreadable cannot be sent again.
    pub possible: bool,
}

impl DeadLetterFilter {
    fn means(&self, shelf: DeadLetterStore, letter: &DeadLetter) -> bool {
        self.shelf.is_none_or(|wanted| wanted == shelf)
            && self
                .reason
                .as_ref()
                .is_none_or(|part| letter.reason.contains(part))
            && (self.digests.is_empty()
                || self
                    .digests
                    .iter()
                    .any(|begin| letter.digest.starts_with(begin)))
    }
}

/// Does it to all that are meant, or only says to which. `each` hears of every one, in turn.
///
/// # Errors
/// When they cannot be reached. What was done before stays done.
pub async fn dead_letters(
    settings: &Settings,
    which: &DeadLetterFilter,
    deed: DeadLetterAction,
    dry_run: bool,
    mut each: impl FnMut(&DeadLetterResult),
) -> Result<(), ServiceError> {
    let deed = if dry_run && deed == DeadLetterAction::Drop {
        DeadLetterAction::Show
    } else {
        deed
    };
    let (Database::Server(address), Some(servers)) = (
        place::database(settings)?,
        place::servers(settings, Roles::ALL)?,
    ) else {
        return in_files(settings, which, deed, dry_run, &mut each).await;
    };
    let part = Partition {
        generation: servers.layout.generation,
        number: 0,
        count: servers.layout.partitions,
    };
    let ledger = PostgresLedger::new(&address, readers(&address), part);
    let queue = DeadQueue::open(&servers.broker, servers.layout, machine_clock()).await?;
    let done = on_servers(&ledger, &queue, which, deed, dry_run, &mut each).await;
    queue.close().await;
    ledger.close().await;
    done
}

async fn in_files(
    settings: &Settings,
    which: &DeadLetterFilter,
    deed: DeadLetterAction,
    dry_run: bool,
    each: &mut impl FnMut(&DeadLetterResult),
) -> Result<(), ServiceError> {
    let ledger = open_ledger(settings).await?;
    ledger.migrate().await?;
    // Sent again means: into the journal, as if it had just been received.
    let journal = match deed {
        DeadLetterAction::Retry if !dry_run => {
            Some(open_journal(settings, machine_clock().now())?.0)
        }
        _ => None,
    };
    for (_, letter) in all(&ledger, which).await? {
        let possible = deed != DeadLetterAction::Retry || readable(&letter.message).is_some();
        if let (Some(journal), true) = (&journal, possible) {
            journal
                .append(letter.message.clone())
                .await
                .map_err(|refused| ServiceError::Inbox(std::io::Error::other(refused)))?;
        }
        if possible && !dry_run && deed != DeadLetterAction::Show {
            ledger.remove_dead_letter(&letter.digest).await?;
        }
        each(&DeadLetterResult {
            shelf: DeadLetterStore::Database,
            letter,
            possible,
        });
    }
    ledger.close().await;
    Ok(())
}

async fn on_servers(
    ledger: &PostgresLedger,
    queue: &DeadQueue,
    which: &DeadLetterFilter,
    deed: DeadLetterAction,
    dry_run: bool,
    each: &mut impl FnMut(&DeadLetterResult),
) -> Result<(), ServiceError> {
    for (_, letter) in all(ledger, which).await? {
        let possible = send(queue, &letter.message, deed, dry_run).await?;
        if possible && !dry_run && deed != DeadLetterAction::Show {
            ledger.remove_dead_letter(&letter.digest).await?;
        }
        each(&DeadLetterResult {
            shelf: DeadLetterStore::Database,
            letter,
            possible,
        });
    }
    // Only those that are there now: what is sent again may come back.
    for _ in 0..queue.depth().await? {
        let Some(waiting) = queue.next().await? else {
            break;
        };
        let letter = letter_of(&waiting);
        if !which.means(DeadLetterStore::Broker, &letter) {
            continue;
        }
        let possible = send(queue, &letter.message, deed, dry_run).await?;
        if possible && !dry_run && deed != DeadLetterAction::Show {
            queue.drop(&waiting).await?;
        }
        each(&DeadLetterResult {
            shelf: DeadLetterStore::Broker,
            letter,
            possible,
        });
    }
    Ok(())
}

/// Whether it can be done; and if it is a retry, does it.
async fn send(
    queue: &DeadQueue,
    message: &[u8],
    deed: DeadLetterAction,
    dry_run: bool,
) -> Result<bool, ServiceError> {
    if deed != DeadLetterAction::Retry {
        return Ok(true);
    }
    let Some(envelope) = readable(message) else {
        return Ok(false);
    };
    if !dry_run {
        queue.send(&envelope).await?;
    }
    Ok(true)
}

fn letter_of(waiting: &Waiting) -> DeadLetter {
    DeadLetter {
        digest: digest(&waiting.message),
        reason: waiting.reason.clone(),
        message: waiting.message.clone(),
    }
}

fn readable(message: &[u8]) -> Option<Envelope> {
    Envelope::decode(message).ok()
}

async fn all(
    ledger: &impl DeadLetters,
    which: &DeadLetterFilter,
) -> Result<Vec<(i64, DeadLetter)>, ServiceError> {
    let (mut found, mut after) = (Vec::new(), i64::MIN);
    loop {
        let page = ledger.dead_letters(after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after = *last;
        found.extend(
            page.into_iter()
                .filter(|(_, letter)| which.means(DeadLetterStore::Database, letter)),
        );
    }
}

/// The servers that a command of the broker needs.
pub(super) fn needed(settings: &Settings) -> Result<Servers, ServiceError> {
    place::servers(settings, Roles::ALL)?
        .ok_or(ServiceError::IncompleteServerSettings("`broker.url` and `database.url` are not set: the service runs embedded, and there is no broker"))
}
