//! Callers who wait for a call back for too long: webhooks hear of each of them once.

use std::collections::HashSet;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::callers::{Caller, SHOWN, callers};
use super::documents::entry_json;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::gateway::Gateway;
use crate::gateway::sites::Rules;
use crate::gateway::webhooks::Announcement;
use crate::port::error::LedgerError;

const ROUND_EVERY: Duration = Duration::from_secs(15);
/// Callers whose time ended while no gateway worked for longer are not announced. Messages are kept for
/// longer too, so that none is made twice.
const ANNOUNCED_WITHIN: Span = Span::seconds(86_400);

impl Gateway {
    /// Tells webhooks of callers who wait for longer than permitted, until the stop.
    pub async fn escalate_callers(self, stop: CancellationToken) {
        let mut rounds = interval(ROUND_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut announced = HashSet::new();

        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.escalate(&mut announced).await {
                tracing::warn!(error = %Chain(&error), "escalations of the desk wait for the database");
            }
        }
    }

    /// Announces callers who are not among those announced already.
    async fn escalate(&self, announced: &mut HashSet<String>) -> Result<(), LedgerError> {
        // The list may be long.
        if !self.webhooks.is_wanted(Announcement::OVERDUE).await? {
            return Ok(());
        }
        let now = self.clock.now();
        let waiting = callers(&*self.desk, None, now - SHOWN, None, usize::MAX).await?;

        let rules = self.sites.rules().await?;

        let overdue: Vec<Announcement> = waiting
            .iter()
            .filter_map(|caller| overdue(caller, rules.of(&caller.latest.site), now))
            .collect();
        let all: HashSet<String> = overdue.iter().map(|caller| caller.id.clone()).collect();
        let new = overdue
            .into_iter()
            .filter(|new| !announced.contains(&new.id));
        let new: Vec<Announcement> = new.collect();
        if new.is_empty() || self.webhooks.announce(&new).await? {
            *announced = all;
        }
        Ok(())
    }
}

/// The announcement of a caller whose time has ended, but not long ago.
fn overdue(caller: &Caller, rules: &Rules, now: At) -> Option<Announcement> {
    let ended = rules.escalation(caller.first_missed_at);
    if ended > now || ended < now - ANNOUNCED_WITHIN {
        return None;
    }

    let mut data = entry_json(caller, rules);
    data["escalation_minutes"] = Value::from(rules.goals.escalation_minutes);
    Some(Announcement {
        id: message_id(caller),
        event: Announcement::OVERDUE,
        site: caller.latest.site.clone(),
        call: caller.latest.call_id.clone(),
        data: data.to_string(),
        happened_at: ended,
    })
}

/// The same at every gateway, and however often the caller calls again.
fn message_id(caller: &Caller) -> String {
    let first = caller.call_ids.last().map_or("", String::as_str);
    let mut digest = Sha256::new();
    for part in [Announcement::OVERDUE, &caller.latest.site, first] {
        digest.update(part);
        digest.update([0]);
    }

    format!("msg_{}", HEXLOWER.encode(&digest.finalize()[..16]))
}
