//! Messages to receivers that are no notifications of calls.

use super::dispatch::Dispatcher;
use super::making::MAKER_TIME;
use super::messages::{body, sees, wants};
use crate::domain::time::At;
use crate::port::error::LedgerError;
use crate::port::webhooks::{NewMessage, Webhook};

/// One message.
pub(in crate::gateway) struct Announcement {
    /// The same message has the same id, whichever gateway makes it.
    pub id: String,
    pub event: &'static str,
    pub site: String,
    pub call: String,
    /// Its document, as JSON.
    pub data: String,
    /// Receivers that were set up later do not get it.
    pub happened_at: At,
}

impl Announcement {
    /// A missed caller waits for a call back for too long.
    pub(in crate::gateway) const OVERDUE: &str = "desk.overdue";
    pub(super) const ALL: [&str; 1] = [Announcement::OVERDUE];

    fn message(&self, webhooks: &[Webhook], at: At) -> Option<NewMessage> {
        let receivers: Vec<String> = webhooks
            .iter()
            .filter(|webhook| webhook.created_at <= self.happened_at)
            .filter(|webhook| wants(webhook, self.event) && sees(webhook, Some(&self.site)))
            .map(|webhook| webhook.id.clone())
            .collect();

        (!receivers.is_empty()).then(|| NewMessage {
            id: self.id.clone(),
            event: self.event.to_owned(),
            site: Some(self.site.clone()),
            call: self.call.clone(),
            body: body(self.event, at, &self.data),
            created_at: at,
            receivers,
        })
    }
}

impl Dispatcher {
    /// Whether a receiver wants such messages.
    pub(in crate::gateway) async fn is_wanted(&self, event: &str) -> Result<bool, LedgerError> {
        let webhooks = self.working_webhooks().await?;

        Ok(webhooks.iter().any(|webhook| wants(webhook, event)))
    }

    /// Makes messages, those among them that are not made yet. False while another gateway makes
    /// messages.
    pub(in crate::gateway) async fn announce(
        &self,
        new: &[Announcement],
    ) -> Result<bool, LedgerError> {
        let webhooks = self.working_webhooks().await?;
        let is_wanted = |new: &Announcement| new.message(&webhooks, At::START).is_some();
        let wanted: Vec<&Announcement> = new.iter().filter(|new| is_wanted(new)).collect();
        if wanted.is_empty() {
            return Ok(true);
        }

        // The same process holds it for notifications too.
        let _making = self.memory.making.lock().await;
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        let held = self.store.hold_making(&self.name, MAKER_TIME, count);
        let Some(first) = held.await? else {
            return Ok(false);
        };
        let instants = (first.0..).map(At);
        let messages = wanted.iter().zip(instants);
        let messages: Vec<NewMessage> = messages
            .filter_map(|(new, at)| new.message(&webhooks, at))
            .collect();

        let added = self.store.add_messages(&messages).await;
        self.store.release_making(&self.name).await?;
        added.map(|()| true)
    }
}
