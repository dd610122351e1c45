//! Changes of the desk for those who watch, whichever gateway they were made at.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::time::Span;
use crate::gateway::Gateway;
use crate::port::desk::SiteChange;
use crate::port::error::LedgerError;
use crate::port::watch::WatchEvent;

/// The published name of a change.
const CHANGED: &str = "desk.changed";
/// Changes at other gateways are seen after so long.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Clocks of gateways may differ by this time.
const READ_BACK: Span = Span::seconds(60);
const CHANGES_MAX: u32 = 1_000;
/// Changes that wait for a slow watcher. One that lags behind hears of the later ones.
const WAITING_MAX: usize = 64;

/// Tells watchers of this gateway that the desk of a site has changed.
#[derive(Clone)]
pub struct DeskBell {
    events: broadcast::Sender<WatchEvent>,
    /// A change was made at this gateway.
    changed_here: Arc<Notify>,
}

impl Default for DeskBell {
    fn default() -> Self {
        DeskBell {
            events: broadcast::Sender::new(WAITING_MAX),
            changed_here: Arc::default(),
        }
    }
}

impl DeskBell {
    /// A change was made at this gateway: it is read at once.
    pub(in crate::gateway) fn changed_here(&self) {
        self.changed_here.notify_one();
    }

    fn ring(&self, site: &str) {
        let event = WatchEvent {
            number: None,
            name: CHANGED,
            data: json!({ "site": site }).to_string().into(),
        };

        // There may be no watcher.
        let _ = self.events.send(event);
    }

    /// Changes from now on.
    pub(in crate::gateway) fn events(&self) -> impl Stream<Item = WatchEvent> + use<> {
        unfold(self.events.subscribe(), async |mut events| {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((event, events)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
    }
}

impl Gateway {
    /// Tells watchers of changes of the desk, until the stop.
    pub async fn watch_desk(self, stop: CancellationToken) {
        let mut rounds = interval(LOOK_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = None;

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.desk_bell.changed_here.notified() => {}
                () = stop.cancelled() => return,
            }
            // Without the database the next round looks again; other tasks log that it is away.
            let _ = self.tell_changes(&mut known).await;
        }
    }

    /// Tells the changes that are not among the known ones, which those of the first look are.
    async fn tell_changes(
        &self,
        known: &mut Option<HashSet<SiteChange>>,
    ) -> Result<(), LedgerError> {
        let since = self.clock.now() - READ_BACK;
        let changes = self.desk.changes(since, CHANGES_MAX).await?;

        if let Some(known) = known {
            let new = changes.iter().filter(|change| !known.contains(*change));
            let sites: BTreeSet<&str> = new.map(|change| change.site.as_str()).collect();
            for site in sites {
                self.desk_bell.ring(site);
            }
        }
        *known = Some(changes.into_iter().collect());
        Ok(())
    }
}
