//! The directory, the pauses of agents and the modes of their phones, as windows know them: changes may come from this gateway,
//! from another one, or from a command.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::port::error::LedgerError;

/// Changes of other gateways are seen after so long.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Gateway {
    /// Lets windows follow the directory and pauses until the stop.
    pub async fn keep_popups(self, stop: CancellationToken) {
        let mut rounds = interval(LOOK_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.popups.until_directory_changed() => {}
                () = stop.cancelled() => return,
            }
            for site in self.popups.sites() {
                // Without the database the next round looks again; other tasks log that it is away.
                let _ = self.tell_windows(&site).await;
            }
        }
    }

    /// Tells the windows of a site what the database says, whatever they have heard before.
    async fn tell_windows(&self, site: &str) -> Result<(), LedgerError> {
        let helplines = self.people.helplines(Some(site)).await?;
        let pauses = self.people.pauses(Some(site)).await?;
        let silent = self.query.do_not_disturb(Some(site)).await?;

        let paused: HashSet<String> = pauses.into_iter().map(|pause| pause.extension).collect();
        let silent: HashSet<String> = silent.into_iter().map(|silent| silent.extension).collect();
        self.popups
            .update_site(site, &helplines.into(), &paused, &silent);
        Ok(())
    }
}
