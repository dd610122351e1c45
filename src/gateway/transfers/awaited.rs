//! The transfers of a gateway. The database is the truth: every gateway learns of the transfers of
//! all within a second, and decides them by the same records, so that a program may wait at any of
//! them, whichever has registered its transfer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use super::decision::{Period, decision, last_instant};
use crate::chain::Chain;
use crate::domain::time::Span;
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::live::LiveDirectory;
use crate::port::query::Query;
use crate::port::transfers::{RegisteredTransfer, Transfers};
use crate::port::watch::Watch;
use crate::wire::instant;
use crate::wire::transfer::{TransferContext, TransferEvent, TransferEventType};

/// Transfers of other gateways, and those that have expired, are looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While a program waits, its transfer is read again: an event may have reached another gateway.
const WAIT_EVERY: Duration = Duration::from_millis(100);
/// More transfers than this are not under way at once: all are read every second.
const UNDER_WAY_MAX: u32 = 2_000;
/// Calls that are read in one look, beside those whose time has passed: notifications tell of most
/// changes at once.
const LOOKS_AT_ONCE: usize = 50;
const DECIDED_KEPT: Span = Span::seconds(86_400);
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// Registers, decides and awaits transfers.
#[derive(Clone)]
pub struct AwaitedTransfers {
    pub store: Arc<dyn Transfers>,
    pub query: Arc<dyn Query>,
    pub directory: Option<Arc<dyn LiveDirectory>>,
    pub watch: Arc<dyn Watch>,
    pub clock: Arc<dyn Clock>,
    /// Transfers under way, by their calls.
    under_way: Arc<Mutex<HashMap<String, RegisteredTransfer>>>,
    /// Wakes those who wait whenever a transfer is decided.
    decided: Arc<Notify>,
    /// The number of looks so far: each is at other calls.
    looks: Arc<AtomicUsize>,
}

/// Why a transfer is not registered.
#[derive(Debug)]
pub(super) enum NotRegistered {
    /// The transfer of this id is under way.
    UnderWay(String),
    /// A transfer of another call has this id.
    IdInUse,
    TooMany,
    Ledger(LedgerError),
}

impl AwaitedTransfers {
    #[must_use]
    pub fn new(
        store: Arc<dyn Transfers>,
        query: Arc<dyn Query>,
        directory: Option<Arc<dyn LiveDirectory>>,
        watch: Arc<dyn Watch>,
        clock: Arc<dyn Clock>,
    ) -> AwaitedTransfers {
        AwaitedTransfers {
            store,
            query,
            directory,
            watch,
            clock,
            under_way: Arc::default(),
            decided: Arc::default(),
            looks: Arc::default(),
        }
    }

    /// Registers a transfer of a call. Returns it as it is stored: a program that has no answer may
    /// ask again.
    pub(super) async fn register(
        &self,
        mut transfer: RegisteredTransfer,
    ) -> Result<RegisteredTransfer, NotRegistered> {
        if self.under_way.lock().len() >= UNDER_WAY_MAX as usize {
            return Err(NotRegistered::TooMany);
        }
        let record = self.query.call(&transfer.call_id).await;
        if let Some(record) = record.map_err(NotRegistered::Ledger)? {
            let record = serde_json::from_str(&record).unwrap_or_default();
            transfer.facts_after = last_instant(&record).unwrap_or(transfer.facts_after);
        }
        let first = self.store.begin(&transfer).await;
        if let Some(id) = first.map_err(NotRegistered::Ledger)? {
            let stored = self.store.transfer(&transfer.id).await;
            return match stored.map_err(NotRegistered::Ledger)? {
                Some(stored) if is_repetition(&stored, &transfer) => Ok(stored),
                Some(stored) if id == transfer.id && stored.call_id != transfer.call_id => {
                    Err(NotRegistered::IdInUse)
                }
                _ => Err(NotRegistered::UnderWay(id)),
            };
        }

        if let Some(directory) = &self.directory {
            directory.set_transfer(&transfer).await;
        }
        self.look_at(transfer.clone()).await;
        Ok(transfer)
    }

    pub(super) async fn transfer(
        &self,
        id: &str,
    ) -> Result<Option<RegisteredTransfer>, LedgerError> {
        self.store.transfer(id).await
    }

    /// Takes an event of another program. One that decides nothing is passed on only.
    pub(super) async fn take(
        &self,
        transfer: &RegisteredTransfer,
        event: &TransferEvent,
    ) -> Result<bool, LedgerError> {
        if event.kind.is_decisive() {
            return self.decide(transfer, event).await;
        }

        self.publish(transfer, event).await;
        Ok(true)
    }

    /// Waits until a transfer is decided. Returns it as it is then, or when the time has passed.
    pub(super) async fn wait(
        &self,
        id: &str,
        time_max: Duration,
    ) -> Result<Option<RegisteredTransfer>, LedgerError> {
        let until = Instant::now() + time_max;

        loop {
            // Before the look: a decision in between is not missed.
            let decided = self.decided.notified();
            let transfer = self.store.transfer(id).await?;
            let is_over = transfer.as_ref().is_none_or(|one| one.result.is_some());
            let now = Instant::now();
            if is_over || now >= until {
                return Ok(transfer);
            }

            // Either way the transfer is read again.
            let _ = timeout_at(until.min(now + WAIT_EVERY), decided).await;
        }
    }

    /// Decides transfers by the facts of phones and by time, until the stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut notifications = self.watch.watch(None);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgets = interval(FORGET_EVERY);
        forgets.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            let done = tokio::select! {
                Some(event) = notifications.next() => self.heard(&event.data).await,
                _ = looks.tick() => self.look().await,
                _ = forgets.tick() => {
                    self.store.forget_transfers(self.clock.now() - DECIDED_KEPT).await
                }
                () = stop.cancelled() => return,
            };
            if let Err(error) = done {
                tracing::warn!(error = %Chain(&error), "transfers wait for the database");
            }
        }
    }

    /// A call has changed.
    async fn heard(&self, data: &str) -> Result<(), LedgerError> {
        if self.under_way.lock().is_empty() {
            return Ok(());
        }
        let Ok(data) = serde_json::from_str::<Value>(data) else {
            return Ok(());
        };
        let call = data["call_id"].as_str().unwrap_or_default();
        let transfer = self.under_way.lock().get(call).cloned();

        match transfer {
            Some(transfer) => self.decide_by(&transfer, &data["call"]).await,
            None => Ok(()),
        }
    }

    /// Reads the transfers of all gateways, and looks at their calls: not every change of a call is a
    /// notification.
    async fn look(&self) -> Result<(), LedgerError> {
        let stored = self.store.transfers_under_way(UNDER_WAY_MAX).await?;
        let now = self.clock.now();

        let of_calls = stored.iter().map(|one| one.call_id.clone());
        let of_calls: HashSet<String> = of_calls.collect();
        self.under_way
            .lock()
            .retain(|call, _| of_calls.contains(call));
        let parts = stored.len().div_ceil(LOOKS_AT_ONCE).max(1);
        let part = self.looks.fetch_add(1, Ordering::Relaxed) % parts;
        for (place, transfer) in stored.into_iter().enumerate() {
            let call = transfer.call_id.clone();
            let is_new = !self.under_way.lock().contains_key(&call);
            if is_new || place % parts == part || transfer.expires_at <= now {
                // Phones may have decided it in its time, while no gateway looked.
                self.look_at(transfer.clone()).await;
            }
            let is_open = self.under_way.lock().contains_key(&call);
            if is_open && transfer.expires_at <= now {
                let failed = TransferEventType::TransferFailed;
                let context = context_of(&transfer);
                let message = Some("nothing decided the transfer in its time");
                let event = TransferEvent::of(&context, failed, "timeout", message, now);
                self.decide(&transfer, &event).await?;
            }
        }

        Ok(())
    }

    /// Looks whether the phones have decided a transfer.
    async fn look_at(&self, transfer: RegisteredTransfer) {
        let call = transfer.call_id.clone();
        self.under_way.lock().insert(call, transfer.clone());

        let looked = async {
            match self.query.call(&transfer.call_id).await? {
                Some(record) => {
                    let record = serde_json::from_str(&record).unwrap_or_default();
                    self.decide_by(&transfer, &record).await
                }
                None => Ok(()),
            }
        };
        if let Err(error) = looked.await {
            tracing::warn!(error = %Chain(&error), "transfers wait for the database");
        }
    }

    async fn decide_by(
        &self,
        transfer: &RegisteredTransfer,
        record: &Value,
    ) -> Result<(), LedgerError> {
        let context = context_of(transfer);
        let target = context.target_number.as_deref();
        let after = instant::text(transfer.facts_after);
        // A report that is known in time counts, whatever the clock of its ingress says.
        let is_late = self.clock.now() > transfer.expires_at;
        let until = is_late.then(|| instant::text(transfer.expires_at));
        let period = Period {
            after: &after,
            until: until.as_deref(),
        };

        if let Some((kind, reason)) = decision(record, target, period) {
            let now = self.clock.now();
            let event = TransferEvent::of(&context, kind, &reason, None, now);
            self.decide(transfer, &event).await?;
        }
        Ok(())
    }

    /// Decides a transfer. Returns false where another event had decided it.
    async fn decide(
        &self,
        transfer: &RegisteredTransfer,
        event: &TransferEvent,
    ) -> Result<bool, LedgerError> {
        let result = event.to_json();
        let now = self.clock.now();
        let is_first = self.store.decide(&transfer.id, &result, now).await?;
        self.under_way.lock().remove(&transfer.call_id);
        if is_first {
            tracing::info!(
                transfer = transfer.id,
                result = event.kind.name(),
                "transfer decided"
            );
            // A program that has the result finds no context any more.
            if let Some(directory) = &self.directory {
                directory.clear_transfer(transfer).await;
            }
        }
        self.decided.notify_waiters();

        if is_first {
            self.publish(transfer, event).await;
        }
        Ok(is_first)
    }

    async fn publish(&self, transfer: &RegisteredTransfer, event: &TransferEvent) {
        if let Some(directory) = &self.directory {
            let text = event.to_json();
            directory.publish_transfer_event(transfer, &text).await;
        }
    }
}

/// Whether a transfer is the stored one, but for its instant.
fn is_repetition(stored: &RegisteredTransfer, transfer: &RegisteredTransfer) -> bool {
    let stored = context_of(stored);
    let repeated = TransferContext {
        initiated_at: stored.initiated_at,
        ..context_of(transfer)
    };

    stored == repeated
}

/// The context of a transfer. It was written by this program.
pub(super) fn context_of(transfer: &RegisteredTransfer) -> TransferContext {
    serde_json::from_str(&transfer.context).unwrap_or_else(|_| TransferContext {
        transfer_id: transfer.id.clone(),
        original_call_sid: Some(transfer.call_id.clone()),
        ..TransferContext::default()
    })
}
