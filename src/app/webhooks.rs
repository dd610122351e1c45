//! The sender of webhooks.

use std::sync::Arc;

use super::ServiceError;
use crate::adapter::http::WebhookSender;
use crate::config::GatewaySettings;
use crate::gateway::Dispatcher;
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
