//! Which agents have a window open, for all gateways.
//!
//! Each gateway stores the lines of its windows: at once when one opens, within a second when one
//! closes, and again before others would take them for those of a gateway that has died. A browser that vanished is noticed
//! by its connection, which ends when nothing is acknowledged any more.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::gateway::Gateway;
use crate::port::error::LedgerError;
use crate::port::windows::Line;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const RENEWED_EVERY: Duration = Duration::from_secs(30);
/// A gateway that has given no sign for so long has died: it gives one every 30 seconds.
const ALIVE: Span = Span::seconds(75);
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// The presence of the people of a site, or of all sites.
pub(in crate::gateway) struct PeoplePresent(HashMap<Line, (bool, At)>);

impl PeoplePresent {
    /// Whether a window of the line is open, and the last sign of one.
    pub(in crate::gateway) fn of(&self, line: &Line) -> (bool, Option<At>) {
        match self.0.get(line) {
            Some((is_open, seen_at)) => (*is_open, Some(*seen_at)),
            None => (false, None),
        }
    }
}

impl Gateway {
    pub(in crate::gateway) async fn people_present(
        &self,
        site: Option<&str>,
    ) -> Result<PeoplePresent, LedgerError> {
        let now = self.clock.now();
        let windows = self
            .windows
            .last_windows(site, now - ALIVE)
            .await?
            .into_iter();

        let mut present: HashMap<Line, (bool, At)> = windows
            .map(|last| (last.line, (last.is_open, last.seen_at)))
            .collect();
        // Those of this gateway are known at once.
        for line in self.popups.open_lines() {
            present.insert(line, (true, now));
        }
        Ok(PeoplePresent(present))
    }

    /// Stores which windows are open at this gateway, until the stop.
    pub async fn keep_windows(self, stop: CancellationToken) {
        let mut rounds = interval(LOOK_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stored: Option<(Vec<Line>, Instant)> = None;
        let mut is_failing = false;

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.popups.until_window_opens() => {}
                () = stop.cancelled() => break,
            }

            let lines = self.popups.open_lines();
            let is_stored = stored.as_ref().is_some_and(|(last, at)| {
                *last == lines && (lines.is_empty() || at.elapsed() < RENEWED_EVERY)
            });
            if is_stored {
                continue;
            }
            match self.store_windows(&lines).await {
                Ok(()) => {
                    is_failing = false;
                    stored = Some((lines, Instant::now()));
                }
                Err(error) if !std::mem::replace(&mut is_failing, true) => tracing::warn!(
                    error = %Chain(&error),
                    "it cannot be stored which windows of agents are open",
                ),
                Err(_) => {}
            }
        }

        // Without an answer others take them for closed a little later.
        let _ = timeout(GOODBYE_MAX, self.store_windows(&[])).await;
    }

    async fn store_windows(&self, lines: &[Line]) -> Result<(), LedgerError> {
        let now = self.clock.now();

        self.windows.keep_windows(&self.process, lines, now).await
    }
}
