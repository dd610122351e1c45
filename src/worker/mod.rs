//! The worker: messages in, calls out. One actor per partition; everything it decides is decided by
//! the pure core, everything it does is done in `handle`.

mod back_off;
mod bisect;
mod handle;
mod in_flight;
mod read;
mod reconstruct;
mod recover;
mod redrive;
mod refold;
mod watermark;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::domain::Timeline;
use crate::domain::fact::{CallId, Site};
use crate::domain::time::At;
use crate::health::FlowCounters;
use crate::port::intake::{Inbox, InboxError};
use crate::port::ledger::{CallUpdate, Ledger, LedgerError};
use crate::port::live::LiveView;
use crate::port::outbox::Outbox;
use crate::wire::policy_file::Policies;

pub use back_off::BackOff;
pub use in_flight::InFlightLimit;
pub use recover::lookback;
use watermark::WatermarkTracker;

/// Messages handled in one transaction.
pub const BATCH_MESSAGES_MAX: usize = 4_096;
const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// Why a worker ends before it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// Something in the batch can be neither folded nor written.
    #[error("a message cannot be handled: {0}")]
    Poison(String),
    /// The batch under way is handled again after the next start.
    #[error("stopped while the database was away")]
    Stopped,
}

/// One partition and what is known of its sites.
pub struct Worker {
    inbox: Box<dyn Inbox>,
    ledger: Arc<dyn Ledger>,
    fanout: Arc<dyn Outbox>,
    policies: Policies,
    sites: BTreeMap<Site, Timeline>,
    watermark: At,
    promises: WatermarkTracker,
    /// The watermark of the last commit.
    committed: At,
    /// When the last fact was received that somebody else may have stored: what came later, and was
    /// not folded here, is new.
    stored_until: At,
    /// Fragments of calls that were over before the history that was read at the start: they are no
    /// calls of their own.
    fragments: HashSet<CallId>,
    /// Calls that were over before, and stand as if they were not: they are written with the next
    /// batch.
    left_open: Vec<CallUpdate>,
    /// The number of the last news.
    told: u64,
    live: Arc<dyn LiveView>,
    books: Arc<FlowCounters>,
    room: Arc<InFlightLimit>,
    stop: CancellationToken,
}

impl Worker {
    /// Works until the stop is asked for; the batch under way is finished first.
    ///
    /// # Errors
    /// When another worker has taken over, or the inbox cannot be read.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), WorkerError> {
        self.stop = stop;
        self.show_all().await;
        let worked = self.work().await;
        self.inbox.close().await?;
        worked
    }

    async fn work(&mut self) -> Result<(), WorkerError> {
        self.retry_unknown_versions().await?;
        self.tell_missing().await?;
        loop {
            let messages = tokio::select! {
                messages = self.inbox.next_batch(BATCH_MESSAGES_MAX) => messages?,
                () = self.stop.cancelled() => return Ok(()),
            };
            if messages.is_empty() {
                return Ok(());
            }
            let room = Arc::clone(&self.room);
            let _in_hand = room.acquire(messages.len()).await;
            match self.handle(messages).await {
                Err(WorkerError::Stopped) => return Ok(()),
                handled => handled?,
            }
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Asks the ledger, again and again while it is away: the batch stays where it is, and nothing
    /// overtakes it.
    async fn retry_while_unavailable<'a, T>(
        &self,
        what: &'static str,
        ask: impl Fn() -> BoxFuture<'a, Result<T, LedgerError>>,
    ) -> Result<T, WorkerError> {
        let mut back_off = BackOff::from(BACK_OFF_MIN);
        loop {
            match ask().await {
                Ok(done) => {
                    if back_off.next > BACK_OFF_MIN {
                        self.books.set_blocked(None);
                        tracing::info!(what, "the database answers again");
                    }
                    return Ok(done);
                }
                Err(error @ LedgerError::Unavailable(_)) => {
                    self.books.set_blocked(Some(error.to_string()));
                    tracing::error!(%error, what, retry_in_ms = back_off.next.as_millis(), "a batch waits for the database; check its disk and who else has it open");
                    metrics::counter!("cordboard_worker_retries_total").increment(1);
                }
                Err(LedgerError::Rejected(reason)) => return Err(WorkerError::Poison(reason)),
                Err(error) => return Err(error.into()),
            }
            if !back_off.wait(&self.stop).await {
                return Err(WorkerError::Stopped);
            }
        }
    }
}
