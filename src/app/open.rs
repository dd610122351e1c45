//! Opening what the service works with.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::place::Database;
use super::{ServiceError, place};
use crate::adapter::journal::{self, Journal, Opened};
use crate::adapter::postgres;
use crate::adapter::sql::MigrationStatus;
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::domain::time::{At, Span};
use crate::port::ledger::LedgerError;
use crate::wire::message::Message;
use crate::worker::BackOff;

/// How long to wait at first before a database that is away is asked again.
const DATABASE_AGAIN: Duration = Duration::from_millis(250);

/// Instants run ahead of the clock by no more than this while nothing is wrong.
const CLOCK_AHEAD_MAX: Span = Span::seconds(1);

/// A listener, and the address it got.
pub(super) async fn bind(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServiceError> {
    let failed = |source| ServiceError::Bind {
        what,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The journal, what was found in it, and the last instant that was given to anything in it.
pub(super) fn open_journal(
    settings: &Settings,
    now: At,
) -> Result<(Journal, Opened, At), ServiceError> {
    create_data_folder(settings)?;
    let limits = journal::Limits {
        segment_bytes: settings.journal.segment_bytes,
        total_bytes: settings.journal.total_bytes_max,
        kept: Duration::from_hours(settings.journal.kept_hours.into()),
    };
    let (journal, opened) = Journal::open(&settings.data_dir.join("journal"), limits)?;
    for damage in &opened.damages {
        tracing::error!(segment = %damage.segment.display(), offset = damage.offset, bytes = damage.bytes, "a stretch of the journal cannot be read; the segment was copied to `corrupt`, the rest of it is used");
        metrics::counter!("cordboard_journal_damaged_bytes_total").increment(damage.bytes);
    }
    if settings.journal.refuse_damaged && !opened.damages.is_empty() {
        return Err(ServiceError::Damaged {
            stretches: opened.damages.len(),
        });
    }
    if opened.torn_bytes > 0 {
        tracing::warn!(
            bytes = opened.torn_bytes,
            "the end of the journal was cut off where an append was interrupted"
        );
    }
    let instant = |message: &Option<Vec<u8>>| Some(Message::decode(message.as_deref()?).ok()?.at());
    journal
        .books()
        .set_oldest_waiting(instant(&opened.first_waiting).unwrap_or(now));
    let last = instant(&opened.last).unwrap_or(At(0));
    if last > now + CLOCK_AHEAD_MAX {
        let seconds = (last - now).0 / 1_000_000;
        tracing::error!(
            seconds,
            "the clock of this machine is behind instants that events were given already: it was ahead once, or is wrong now. Events go on from there, a little slower than time, until it has caught up"
        );
    }
    Ok((journal, opened, last))
}

/// The file of the database, where it is one.
pub(super) fn database_path(settings: &Settings) -> Result<PathBuf, ServiceError> {
    match place::database(settings)? {
        Database::File(path) => Ok(path),
        Database::Server(_) => Err(ServiceError::IncompleteServerSettings(
            "the database is PostgreSQL, not a file",
        )),
    }
}

/// The folder of all data; nobody else may look into it.
fn create_data_folder(settings: &Settings) -> Result<(), ServiceError> {
    let path = &settings.data_dir;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| ServiceError::Folder {
        path: path.clone(),
        source,
    })
}

pub(crate) async fn open_ledger(settings: &Settings) -> Result<SqliteLedger, ServiceError> {
    create_data_folder(settings)?;
    Ok(SqliteLedger::open(&database_path(settings)?).await?)
}

/// Does what needs the database, again and again while something else holds it or its disk is full.
/// `None` when the stop came first.
pub(super) async fn retry_until_available<T>(
    stop: &CancellationToken,
    what: impl AsyncFn() -> Result<T, ServiceError>,
) -> Result<Option<T>, ServiceError> {
    let mut back_off = BackOff::from(DATABASE_AGAIN);
    loop {
        match what().await {
            Ok(done) => return Ok(Some(done)),
            Err(ServiceError::Ledger(LedgerError::Fenced)) => {
                return Err(LedgerError::Fenced.into());
            }
            // Ending would help nobody: phones can be served without it.
            Err(ServiceError::Ledger(error)) => {
                tracing::error!(%error, retry_in_ms = back_off.next.as_millis(), "waiting for the database; events are taken and kept in the journal meanwhile. `cordboard doctor` says more");
            }
            Err(error) => return Err(error),
        }
        if !back_off.wait(stop).await {
            return Ok(None);
        }
    }
}

/// Brings the database up to date, or only says what is missing.
///
/// # Errors
/// When the database cannot be opened or changed.
pub async fn migrate(
    settings: &Settings,
    only_status: bool,
) -> Result<Vec<MigrationStatus>, ServiceError> {
    let path = match place::database(settings)? {
        Database::File(path) => path,
        Database::Server(address) => {
            if !only_status {
                postgres::migrate(&address).await?;
            }
            return Ok(postgres::migrations(&address).await?);
        }
    };
    if only_status && !path.exists() {
        return Ok(SqliteLedger::all_migrations(&[]));
    }
    let ledger = open_ledger(settings).await?;
    if !only_status {
        ledger.migrate().await?;
    }
    let status = ledger.migrations().await?;
    ledger.close().await;
    Ok(status)
}
