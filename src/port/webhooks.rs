//! Webhooks: receivers of notifications over HTTP, the deliveries that they get, and the sender.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::access::SiteScope;
use crate::domain::time::{At, Span};

/// A receiver. It has no debug form, because of its secrets.
#[derive(Clone)]
pub struct Webhook {
    pub id: String,
    pub url: String,
    /// Names of events; empty for all.
    pub events: Vec<String>,
    pub sites: SiteScope,
    /// Signs each delivery.
    pub secret: String,
    /// The secret before it, and until when it signs too.
    pub previous_secret: Option<(String, At)>,
    /// Why nothing is sent.
    pub disabled: Option<String>,
    /// Since when it takes nothing, and whether it is left alone.
    pub failing: Option<Failing>,
    pub created_at: At,
    pub created_by: String,
    /// The number of its changes so far.
    pub version: i64,
}

/// How long a receiver takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub since: At,
    pub rests: bool,
}

/// Deliveries that wait for a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Deliveries made at this instant or later.
    Since(At),
    /// Deliveries made at this instant or earlier, and never attempted.
    UntriedUntil(At),
}

/// Whether a process may send to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Held,
    NothingDue,
    /// Another process sends.
    Elsewhere,
}

/// A notification with its place among those of its partition.
pub struct PlacedNotification {
    pub generation: i64,
    pub partition: i64,
    pub number: i64,
    pub event: String,
    /// The document of the notification, as JSON.
    pub data: String,
    /// The number up to which those of its partition have become deliveries.
    pub sent_before: Option<i64>,
}

/// A message, and the receivers that get it.
pub struct NewMessage {
    /// The same message has the same id, whichever process makes it.
    pub id: String,
    pub event: String,
    /// `None` where the call turned out to be none.
    pub site: Option<String>,
    pub call: String,
    pub body: String,
    /// No two messages have the same, and they have the order of their events.
    pub created_at: At,
    pub receivers: Vec<String>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Waiting,
    Delivered,
    /// All attempts failed.
    Failed,
}

/// A message for one receiver, and what became of it.
#[derive(Clone)]
pub struct Delivery {
    pub webhook: String,
    pub message: String,
    pub event: String,
    pub site: Option<String>,
    pub call: String,
    pub body: String,
    pub state: DeliveryState,
    pub created_at: At,
    pub due_at: At,
    pub attempts: i64,
    /// The status of the last answer.
    pub answered: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub finished_at: Option<At>,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 3] = [
        DeliveryState::Waiting,
        DeliveryState::Delivered,
        DeliveryState::Failed,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<DeliveryState> {
        DeliveryState::ALL
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// Stored receivers and deliveries. All that processes agree on goes by the clock of the database, which
/// is one: holds, rests, and the instants of messages.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// All receivers, the oldest first.
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError>;

    /// The receiver with an id.
    async fn webhook(&self, id: &str) -> Result<Option<Webhook>, LedgerError>;

    /// Stores a new receiver. False when its account has `own_max` of them, or there are `max`.
    async fn add_webhook(
        &self,
        webhook: &Webhook,
        own_max: u32,
        max: u32,
    ) -> Result<bool, LedgerError>;

    /// Changes a receiver, except for its failures. False when it was changed or removed since it was
    /// read.
    async fn update_webhook(&self, webhook: &Webhook) -> Result<bool, LedgerError>;

    /// Ends a receiver that is as it was read: what waits for it has failed. Nothing else of it
    /// changes.
    async fn end_webhook(
        &self,
        webhook: &Webhook,
        reason: &str,
        now: At,
    ) -> Result<(), LedgerError>;

    /// What waits for a receiver that is as it was read has failed.
    async fn fail_waiting(
        &self,
        webhook: &Webhook,
        reason: &str,
        now: At,
    ) -> Result<(), LedgerError>;

    /// Notes that a receiver that is as it was read takes nothing, and is left alone for a time.
    async fn rest_webhook(&self, webhook: &Webhook, rest: Span) -> Result<(), LedgerError>;

    /// Notes that a receiver works, or is to be tried at once.
    async fn wake_webhook(&self, id: &str) -> Result<(), LedgerError>;

    /// Removes a receiver and its deliveries. Returns whether there was one.
    async fn remove_webhook(&self, id: &str) -> Result<bool, LedgerError>;

    /// Notifications up to now become no deliveries.
    async fn skip_notifications(&self) -> Result<(), LedgerError>;

    /// Notifications that have not become deliveries, at most `max`, in the order of their partitions.
    async fn unsent_notifications(&self, max: u32) -> Result<Vec<PlacedNotification>, LedgerError>;

    /// Stores messages with a delivery, due at once whatever the clocks say, for each receiver. Those that are stored already
    /// stay as they are.
    async fn add_messages(&self, new: &[NewMessage]) -> Result<(), LedgerError>;

    /// Notifications up to this one have become deliveries.
    async fn advance(&self, last: &PlacedNotification) -> Result<(), LedgerError>;

    /// Makes a process the only one that makes messages for a time, if no other one is, and reserves as
    /// many instants, later than those of all messages. Returns the first of them; `None` while another
    /// process makes messages.
    async fn hold_making(
        &self,
        maker: &str,
        time: Span,
        instants: u32,
    ) -> Result<Option<At>, LedgerError>;

    /// Lets other processes make messages again.
    async fn release_making(&self, maker: &str) -> Result<(), LedgerError>;

    /// Makes a process the only one that sends to a receiver for a time, if something is due at `now` and
    /// no other one is.
    async fn hold_webhook(
        &self,
        webhook: &str,
        sender: &str,
        now: At,
        time: Span,
    ) -> Result<Hold, LedgerError>;

    /// Lets other processes send to a receiver again.
    async fn release_webhook(&self, webhook: &str, sender: &str) -> Result<(), LedgerError>;

    /// Deliveries that are due, at most `max`, the earliest first. They stay due until they are
    /// finished.
    async fn due_deliveries(
        &self,
        webhook: &str,
        now: At,
        max: u32,
    ) -> Result<Vec<Delivery>, LedgerError>;

    /// Stores state, attempts, next attempt and answer of a delivery.
    async fn finish_delivery(&self, delivery: &Delivery) -> Result<(), LedgerError>;

    /// The number of deliveries that wait for a receiver; it is not counted beyond `max`.
    async fn count_waiting(
        &self,
        webhook: &str,
        waiting: Waiting,
        max: u32,
    ) -> Result<u32, LedgerError>;

    /// Deliveries of a receiver, the latest first.
    async fn deliveries(
        &self,
        webhook: &str,
        state: Option<DeliveryState>,
        max: u32,
    ) -> Result<Vec<Delivery>, LedgerError>;

    /// One delivery.
    async fn delivery(&self, webhook: &str, message: &str)
    -> Result<Option<Delivery>, LedgerError>;

    /// Makes a delivery due again, with all its attempts.
    async fn repeat_delivery(
        &self,
        webhook: &str,
        message: &str,
        now: At,
    ) -> Result<(), LedgerError>;

    /// Removes deliveries that were finished, or made, before an instant, and messages without any;
    /// some thousands at once. Returns whether there may be more.
    async fn forget_deliveries(
        &self,
        finished_before: At,
        made_before: At,
    ) -> Result<bool, LedgerError>;
}

/// Why a request got no answer. The texts are for the person who set the receiver up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("{0}")]
    Refused(String),
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("no answer within the time limit")]
    TimedOut,
}

/// Sends requests to receivers, and to no address that they may not have.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Whether requests may go to an address, as far as its text tells.
    ///
    /// # Errors
    /// Why not, for a person.
    fn check(&self, url: &str) -> Result<(), SendError>;

    /// Posts a JSON body, and returns the status of the answer. Redirections are not followed.
    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<u16, SendError>;
}
