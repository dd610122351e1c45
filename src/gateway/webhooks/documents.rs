//! Bodies and answers of the routes of webhooks, and the texts of their description.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::parameters::{Limit, Parameters, SiteName};
use super::announcement::Announcement;
use crate::access::Principal;
use crate::domain::notice::NoticeKind;
use crate::port::webhooks::{Delivery, DeliveryState, Webhook};
use crate::wire::instant;
use crate::wire::names::{one_of, schemas};

pub(super) const NO_RIGHT: &str = "`no_right`: webhooks are for integrators and admins.";
pub(super) const NO_WEBHOOK: &str = "`not_found`: there is no such webhook.";
pub(super) const BAD_BODY: &str = "`bad_body`: the body is not such an object, or the address is \
                                   not permitted.";

schemas! {
    EventName = one_of(&event_names()), "The name of an event.";
    DeliveryStateName = one_of(&DeliveryState::ALL.map(DeliveryState::name)),
        "The state of a delivery. `failed`: all attempts failed.";
}

/// The names of all events that a receiver may get.
pub(super) fn event_names() -> Vec<&'static str> {
    let of_calls = NoticeKind::ALL.map(NoticeKind::name);

    of_calls.into_iter().chain(Announcement::ALL).collect()
}

/// The fields of a new receiver.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    pub url: String,
    /// All events if absent.
    #[serde(default)]
    #[schema(value_type = Vec<EventName>)]
    pub events: Vec<String>,
    /// The sites of the account if absent.
    #[serde(default)]
    #[schema(value_type = Vec<SiteName>)]
    pub sites: Vec<String>,
}

/// The fields of a receiver that change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookChange)]
pub(super) struct Change {
    pub url: Option<String>,
    #[schema(value_type = Option<Vec<EventName>>)]
    pub events: Option<Vec<String>>,
    #[schema(value_type = Option<Vec<SiteName>>)]
    pub sites: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// The query of the deliveries of a receiver.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesParameters {
    /// Deliveries of every state if absent.
    #[param(inline, value_type = Option<DeliveryStateName>)]
    pub state: Option<String>,
    /// The length of the list; 200 if absent.
    #[param(inline, value_type = Option<Limit>)]
    pub limit: Option<u32>,
}

impl Parameters for DeliveriesParameters {
    const NAMES: &'static str = "`state` and `limit`";
}

/// A receiver of events.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookJson {
    #[schema(format = "uuid")]
    id: String,
    url: String,
    /// Empty for all events.
    #[schema(value_type = Vec<EventName>)]
    events: Vec<String>,
    /// `null` for all sites.
    sites: Option<Vec<String>>,
    enabled: bool,
    /// The reason why nothing is sent.
    disabled_reason: Option<String>,
    /// Since when it takes nothing.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// The account or token; `-` where no account existed.
    created_by: String,
}

impl From<&Webhook> for WebhookJson {
    fn from(webhook: &Webhook) -> WebhookJson {
        let sites = webhook.sites.names();

        WebhookJson {
            id: webhook.id.clone(),
            url: webhook.url.clone(),
            events: webhook.events.clone(),
            sites: sites.map(|names| names.into_iter().map(str::to_owned).collect()),
            enabled: webhook.disabled.is_none(),
            disabled_reason: webhook.disabled.clone(),
            failing_since: webhook.failing.map(|failing| instant::text(failing.since)),
            created_at: instant::text(webhook.created_at),
            created_by: webhook.created_by.clone(),
        }
    }
}

/// A list of receivers.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    pub webhooks: Vec<WebhookJson>,
}

/// A new receiver.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedWebhook {
    #[serde(flatten)]
    pub webhook: WebhookJson,
    /// Signs each delivery; shown this once.
    pub secret: String,
}

/// The receiver that was removed.
#[derive(Serialize, ToSchema)]
pub(super) struct RemovedWebhook {
    /// Its id.
    pub removed: String,
}

/// The new secret of a receiver.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookSecret {
    #[schema(format = "uuid")]
    pub id: String,
    /// Signs each delivery; shown this once.
    pub secret: String,
    /// The instant until which the secret before it signs too.
    #[schema(format = DateTime)]
    pub previous_until: String,
}

/// The result of a test.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookTest {
    /// The id of the message.
    pub message: String,
    /// Whether the receiver took the message.
    pub taken: bool,
    /// The status of the answer.
    pub answered: Option<u16>,
    /// The reason why there is no answer.
    pub error: Option<String>,
    pub seconds: f64,
}

/// A message for one receiver, and its state.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryJson {
    /// The id of the message.
    message: String,
    #[schema(value_type = EventName)]
    event: String,
    #[schema(value_type = DeliveryStateName)]
    state: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    attempts: i64,
    /// `null` unless the delivery waits.
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    /// The status of the last answer.
    answered: Option<u16>,
    /// The reason why the last attempt failed.
    error: Option<String>,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// The message, as JSON; `null` for accounts that do not see all numbers.
    body: Option<String>,
}

impl DeliveryJson {
    /// The body holds numbers.
    pub(super) fn of(principal: &Principal, delivery: Delivery) -> DeliveryJson {
        let is_waiting = delivery.state == DeliveryState::Waiting;

        DeliveryJson {
            message: delivery.message,
            event: delivery.event,
            state: delivery.state.name(),
            created_at: instant::text(delivery.created_at),
            attempts: delivery.attempts,
            // One that was never attempted is due at once.
            next_attempt_at: is_waiting
                .then(|| instant::text(delivery.due_at.max(delivery.created_at))),
            answered: delivery.answered,
            error: delivery.error,
            finished_at: delivery.finished_at.map(instant::text),
            body: principal.sees_all_numbers().then_some(delivery.body),
        }
    }
}

/// A list of deliveries.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryList {
    pub deliveries: Vec<DeliveryJson>,
}

/// The message that is sent again.
#[derive(Serialize, ToSchema)]
pub(super) struct RepeatedDelivery {
    /// Its id.
    pub repeated: String,
}
