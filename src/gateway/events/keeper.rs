//! Events of other programs: appended to the log of the site of their call, or to the pending ones
//! until its site is known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;
use crate::domain::time::Span;
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::event_log::{EventLog, LoggedEvent, PENDING};
use crate::port::states::StateLedger;

const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// Pending events that are looked at in one round; the next round goes on after them.
const PENDING_MAX: usize = 1_000;
/// A call without a site after this time gets none.
const PENDING_KEPT: Span = Span::seconds(25 * 3_600);

/// Appends events, and moves pending ones.
#[derive(Clone)]
pub struct EventKeeper {
    pub log: Arc<dyn EventLog>,
    pub states: Arc<dyn StateLedger>,
    pub clock: Arc<dyn Clock>,
}

impl EventKeeper {
    /// Appends an event of another program to the log of its call's site. Returns the log; `None`
    /// when it could not be written.
    pub(super) async fn append(&self, mut event: LoggedEvent) -> Option<String> {
        event.log = match self.site_of(&event.call_id).await {
            Ok(Some(site)) => site,
            Ok(None) => PENDING.to_owned(),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the site of an event is looked up later");
                PENDING.to_owned()
            }
        };

        let log = event.log.clone();
        self.log.append(&[event]).await.map(|()| log)
    }

    async fn site_of(&self, call: &str) -> Result<Option<String>, LedgerError> {
        let state = self.states.by_id(call).await?;

        Ok(state.map(|state| state.site))
    }

    /// Moves pending events to their sites until the stop; of several gateways one does.
    pub async fn run(self, stop: CancellationToken) {
        let mut after = None;
        let mut rounds = interval(SETTLE_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = stop.cancelled() => return,
            }
            if !self.log.may_assign().await {
                continue;
            }
            after = match self.assign(after.as_deref()).await {
                Ok(last) => last,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "events without a site stay pending");
                    None
                }
            };
        }
    }

    /// Moves pending events after one. Returns the last one that was looked at; `None` when all were.
    async fn assign(&self, after: Option<&str>) -> Result<Option<String>, LedgerError> {
        let now = self.clock.now();
        let since = now - PENDING_KEPT;
        let pending = self.log.pending(after, since, now, PENDING_MAX).await;
        let pending = pending.unwrap_or_default();
        let calls: HashSet<&String> = pending.iter().map(|one| &one.event.call_id).collect();
        let calls: Vec<String> = calls.into_iter().cloned().collect();
        let places = self.states.places(&calls).await?;
        let sites: HashMap<String, String> = places
            .into_iter()
            .map(|place| (place.call_id, place.site))
            .collect();

        for stored in &pending {
            // A site of that name has its events in the log of the pending ones.
            let site = sites.get(&stored.event.call_id);
            let Some(site) = site.filter(|site| *site != PENDING) else {
                continue;
            };
            if self.log.assign(stored, site).await.is_none() {
                return Ok(None);
            }
        }

        let is_full = pending.len() == PENDING_MAX;
        let last = pending.into_iter().next_back();
        Ok(last.filter(|_| is_full).map(|last| last.id))
    }
}
