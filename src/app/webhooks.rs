//! The part of a process that sends webhooks.

use std::sync::Arc;

use super::part::Part;
use super::{ServiceError, Stop};
use crate::adapter::http::WebhookSender;
use crate::config::GatewaySettings;
use crate::gateway::{Dispatcher, Gateway};
use crate::port::clock::Clock;
use crate::port::watch::Watch;
use crate::port::webhooks::Webhooks;

/// The dispatcher of a gateway. `name` is that of its process among those of the database.
pub(super) fn dispatcher(
    name: &str,
    settings: &GatewaySettings,
    store: Arc<dyn Webhooks>,
    watch: Arc<dyn Watch>,
    clock: &Arc<dyn Clock>,
) -> Result<Dispatcher, ServiceError> {
    let sender = WebhookSender::new(settings.webhook_networks.clone())?;

    Ok(Dispatcher::new(
        name,
        store,
        Arc::new(sender),
        watch,
        Arc::clone(clock),
    ))
}

/// Sends webhooks until the stop.
pub(super) fn send_webhooks(gateway: &Gateway, stop: &Stop) -> Part {
    let dispatcher = gateway.webhooks.clone();

    Part::spawn("the webhooks", dispatcher.run(stop.soft.clone()))
}
