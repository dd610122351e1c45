//! Opening what the service works with.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::adapter::journal::{self, Journal};
use crate::adapter::sqlite::{MigrationStatus, SqliteLedger};
use crate::config::Settings;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::wire::message::Message;

/// How long to wait before a database that is away is asked again.
const DATABASE_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, Failed> {
    TcpListener::bind(address).await.map_err(|source| Failed::Bind { what, address, source })
}

/// The journal, and the last instant that was given to anything in it.
pub(super) fn open_journal(settings: &Settings, now: At) -> Result<(Journal, At), Failed> {
    let limits = journal::Limits { segment_bytes: settings.journal.segment_bytes, total_bytes: settings.journal.total_bytes_max };
    let (journal, opened) = Journal::open(&settings.data_dir.join("journal"), limits)?;
    for damage in &opened.damages {
        tracing::error!(segment = %damage.segment.display(), offset = damage.offset, bytes = damage.bytes, "a stretch of the journal cannot be read; the segment was copied to `corrupt`, the rest of it is used");
        metrics::counter!("cordboard_journal_damaged_bytes_total").increment(damage.bytes);
    }
    if settings.journal.refuse_damaged && !opened.damages.is_empty() {
        return Err(Failed::Damaged { stretches: opened.damages.len() });
    }
    if opened.torn_bytes > 0 {
        tracing::warn!(bytes = opened.torn_bytes, "an interrupted append was cut off; nobody had been answered for it");
    }
    let instant = |message: Option<Vec<u8>>| Some(Message::decode(&message?).ok()?.at());
    journal.books().waits_since(instant(opened.first_waiting).unwrap_or(now));
    Ok((journal, instant(opened.last).unwrap_or(At(0))))
}

pub(crate) async fn open_ledger(settings: &Settings) -> Result<SqliteLedger, Failed> {
    let folder = &settings.data_dir;
    std::fs::create_dir_all(folder).map_err(|source| Failed::Folder { path: folder.clone(), source })?;
    Ok(SqliteLedger::open(&folder.join("cordboard.db")).await?)
}

/// Opens the database and brings it up to date, again and again while something else holds it. `None` when the stop came first.
pub(super) async fn open_ledger_patiently(settings: &Settings, stop: &CancellationToken) -> Result<Option<SqliteLedger>, Failed> {
    loop {
        let opened = async {
            let ledger = open_ledger(settings).await?;
            ledger.migrate().await?;
            Ok(ledger)
        };
        match opened.await {
            Ok(ledger) => return Ok(Some(ledger)),
            Err(Failed::Ledger(LedgerError::Fenced)) => return Err(LedgerError::Fenced.into()),
            // Ending would help nobody: phones can be served without it.
            Err(Failed::Ledger(error)) => {
                tracing::error!(%error, "waiting for the database; events are taken and kept in the journal meanwhile. `cordboard doctor` says more");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(DATABASE_AGAIN) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// Brings the database up to date, or only says what is missing.
///
/// # Errors
/// When the database cannot be opened or changed.
pub async fn migrate(settings: &Settings, only_status: bool) -> Result<Vec<MigrationStatus>, Failed> {
    let ledger = open_ledger(settings).await?;
    if !only_status {
        ledger.migrate().await?;
    }
    let status = ledger.migrations().await?;
    ledger.close().await;
    Ok(status)
}
