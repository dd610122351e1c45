//! From notifications to messages, with a delivery for each receiver. One process at a time makes
//! them, so that their instants have the order of the events.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::dispatch::Dispatcher;
use super::messages::messages_of;
use crate::domain::time::{At, Span};
use crate::port::error::LedgerError;
use crate::port::webhooks::{PlacedNotification, Webhook};

/// Deliveries that are made at once, and limits on the notifications of which they are made.
const MADE_AT_ONCE: usize = 12_800;
const NOTIFICATIONS_AT_ONCE: (usize, usize) = (64, 1_000);
/// Reads of notifications in one round. Sending begins after them, also of a long backlog.
const READS_PER_ROUND: usize = 16;
/// While a gateway makes messages, no other one does. It says so again before each of its reads;
/// after this time another one takes over.
pub(super) const MAKER_TIME: Span = Span::seconds(10);
/// A person who sets a receiver up waits for messages of a backlog this long.
const CLEAR_MAX: Duration = Duration::from_secs(5);
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// The result of a round.
pub(super) struct Round {
    /// The receivers that work.
    pub webhooks: Vec<Webhook>,
    /// More notifications wait.
    pub has_more: bool,
    /// Another gateway makes messages.
    is_elsewhere: bool,
    /// An instant after those of its messages.
    after: At,
}

impl Dispatcher {
    /// Makes messages of new notifications.
    pub(super) async fn make_messages(&self) -> Result<Round, LedgerError> {
        let mut round = Round {
            webhooks: self.working_webhooks().await?,
            has_more: false,
            is_elsewhere: false,
            after: At::START,
        };
        if !round.webhooks.is_empty() {
            let is_new = !self.store.unsent_notifications(1).await?.is_empty();
            if is_new {
                let _making = self.memory.making.lock().await;
                let made = self.make_new(&mut round).await;
                self.store.release_making(&self.name).await?;
                made?;
            }
        }

        if !round.is_elsewhere {
            let next = self.clock.now().max(round.after);
            self.memory.note_backlog(round.has_more, next);
        }
        Ok(round)
    }

    async fn make_new(&self, round: &mut Round) -> Result<(), LedgerError> {
        let (least, most) = NOTIFICATIONS_AT_ONCE;
        let at_once = (MADE_AT_ONCE / round.webhooks.len().max(1)).clamp(least, most);
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX);

        for _ in 0..READS_PER_ROUND {
            let held = self
                .store
                .hold_making(&self.name, MAKER_TIME, at_once)
                .await?;
            let Some(first) = held else {
                round.is_elsewhere = true;
                return Ok(());
            };
            let unsent = self.store.unsent_notifications(at_once).await?;
            round.has_more = unsent.len() >= at_once as usize;
            if unsent.is_empty() {
                return Ok(());
            }

            report_skipped(&unsent);
            // Read after the notifications: a receiver gets all that were committed after it was
            // set up.
            round.webhooks = self.working_webhooks().await?;
            round.after = first + Span(i64::try_from(unsent.len()).unwrap_or_default());
            let new = messages_of(&unsent, &round.webhooks, first);
            if !new.is_empty() {
                self.store.add_messages(&new).await?;
            }
            let mut last = BTreeMap::new();
            for placed in &unsent {
                last.insert((placed.generation, placed.partition), placed);
            }
            for placed in last.into_values() {
                self.store.advance(placed).await?;
            }
            if !round.has_more {
                return Ok(());
            }
        }

        Ok(())
    }

    pub(super) async fn working_webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        let mut webhooks = self.store.webhooks().await?;
        webhooks.retain(|webhook| webhook.disabled.is_none());

        Ok(webhooks)
    }

    /// Makes messages of all notifications up to now; where no receiver works, they become none. Of
    /// a long backlog only as many as a moment allows.
    pub(super) async fn clear_backlog(&self) -> Result<(), LedgerError> {
        let deadline = Instant::now() + CLEAR_MAX;

        loop {
            let round = self.make_messages().await?;
            if round.webhooks.is_empty() {
                return self.store.skip_notifications().await;
            }
            if !round.has_more && !round.is_elsewhere || Instant::now() >= deadline {
                return Ok(());
            }
            if round.is_elsewhere {
                sleep(SETTLE_PAUSE).await;
            }
        }
    }
}

/// Counts and reports notifications that were deleted before they could become deliveries.
fn report_skipped(unsent: &[PlacedNotification]) {
    let mut partitions = HashSet::new();

    for first in unsent {
        if !partitions.insert((first.generation, first.partition)) {
            continue;
        }
        let sent = first.sent_before.unwrap_or(first.number - 1);
        let skipped = u64::try_from(first.number - sent - 1).unwrap_or_default();
        if skipped > 0 {
            metrics::counter!("cordboard_webhook_skipped_total").increment(skipped);
            tracing::error!(
                partition = first.partition,
                skipped,
                "events are not sent to webhooks: too many had gathered in the database"
            );
        }
    }
}
