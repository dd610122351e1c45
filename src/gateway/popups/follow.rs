//! The directory and the pauses of agents, as windows know them: changes may come from this gateway,
//! from another one, or from a command.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::switch::Switch;
use crate::gateway::Gateway;
use crate::port::directory::{Helpline, Pause};
use crate::port::error::LedgerError;

/// Changes of other gateways are seen after so long.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Gateway {
    /// Lets windows follow the directory and pauses until the stop.
    pub async fn keep_popups(self, stop: CancellationToken) {
        let mut rounds = interval(LOOK_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: Option<Known> = None;

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.popups.until_directory_changed() => {}
                () = stop.cancelled() => return,
            }
            // Without the database the next round looks again; other tasks log that it is away.
            let Ok(now) = self.known().await else {
                continue;
            };
            if let Some(before) = &known {
                before.pass_on(&now, &self.popups);
            }
            known = Some(now);
        }
    }

    async fn known(&self) -> Result<Known, LedgerError> {
        Ok(Known {
            helplines: self.people.helplines(None).await?,
            pauses: self.people.pauses(None).await?,
        })
    }
}

struct Known {
    helplines: Vec<Helpline>,
    pauses: Vec<Pause>,
}

impl Known {
    /// Tells windows what differs now.
    fn pass_on(&self, now: &Known, switch: &Switch) {
        let gone = self
            .helplines
            .iter()
            .filter(|it| !now.helplines.contains(it));
        let new = now
            .helplines
            .iter()
            .filter(|it| !self.helplines.contains(it));
        let sites: BTreeSet<&str> = gone.chain(new).map(|it| it.site.as_str()).collect();
        for site in sites {
            let of_site = now.helplines.iter().filter(|it| it.site == site);
            switch.helplines_changed(site, of_site.cloned().collect());
        }

        for pause in now.pauses.iter().filter(|it| !self.has_pause(it)) {
            switch.set_paused(&pause.site, &pause.extension, true);
        }
        for pause in self.pauses.iter().filter(|it| !now.has_pause(it)) {
            switch.set_paused(&pause.site, &pause.extension, false);
        }
    }

    fn has_pause(&self, other: &Pause) -> bool {
        let is_same = |own: &Pause| own.site == other.site && own.extension == other.extension;

        self.pauses.iter().any(is_same)
    }
}
