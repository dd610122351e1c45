//! Webhooks: receivers of notifications over HTTP, the deliveries that they get, and the sender.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::access::SiteScope;
use crate::domain::time::At;

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
    pub created_at: At,
    pub created_by: String,
}

/// A notification with its place among those of its partition.
pub struct PlacedNotification {
    pub generation: i64,
    pub partition: i64,
    pub number: i64,
    pub event: String,
    /// The document of the notification, as JSON.
    pub data: String,
}

/// A message for one receiver.
pub struct NewDelivery {
    pub webhook: String,
    /// The same message has the same id, whichever process makes it.
    pub message: String,
    pub event: String,
    pub body: String,
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

/// Stored receivers and deliveries.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// All receivers, by their ids.
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError>;

    /// Stores a receiver in place of the one with its id.
    async fn put_webhook(&self, webhook: &Webhook) -> Result<(), LedgerError>;

    /// Removes a receiver and its deliveries. Returns whether there was one.
    async fn remove_webhook(&self, id: &str) -> Result<bool, LedgerError>;

    /// Notifications up to now become no deliveries.
    async fn skip_notifications(&self) -> Result<(), LedgerError>;

    /// Notifications that have not become deliveries, at most `max` of each partition.
    async fn unsent_notifications(&self, max: u32) -> Result<Vec<PlacedNotification>, LedgerError>;

    /// Stores deliveries that are due at once. Those that are stored already stay as they are.
    async fn add_deliveries(&self, new: &[NewDelivery], now: At) -> Result<(), LedgerError>;

    /// Notifications up to this one have become deliveries.
    async fn advance(&self, last: &PlacedNotification) -> Result<(), LedgerError>;

    /// Takes deliveries that are due, at most `max`, the earliest first. Another process takes them
    /// at `until` if they are not settled by then.
    async fn take_due(
        &self,
        webhook: &str,
        now: At,
        until: At,
        max: u32,
    ) -> Result<Vec<Delivery>, LedgerError>;

    /// Stores state, next attempt and answer of a delivery.
    async fn settle_delivery(&self, delivery: &Delivery) -> Result<(), LedgerError>;

    /// Deliveries of a receiver, the latest first.
    async fn deliveries(
        &self,
        webhook: &str,
        state: Option<DeliveryState>,
        max: u32,
    ) -> Result<Vec<Delivery>, LedgerError>;

    /// Makes a delivery due again, with all its attempts. Returns whether there is one.
    async fn repeat_delivery(
        &self,
        webhook: &str,
        message: &str,
        now: At,
    ) -> Result<bool, LedgerError>;

    /// Removes deliveries from before an instant.
    async fn forget_deliveries(&self, before: At) -> Result<(), LedgerError>;
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
