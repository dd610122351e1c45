//! The check at the start that calls are not open to other machines.

use std::sync::Arc;
use std::time::Duration;

use super::ServiceError;
use crate::adapter::postgres::{PostgresLedger, readers};
use crate::config::{GatewaySettings, Settings};
use crate::gateway::Access;
use crate::port::clock::Clock;
use crate::setup::Servers;

/// A database that is away does not keep the gateway from its start: until it can be asked, every
/// request without an account is refused.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Refuses a listener that other machines reach while no account exists.
pub(super) async fn require_accounts(
    access: &Access,
    settings: &GatewaySettings,
) -> Result<(), ServiceError> {
    if settings.is_open_allowed() {
        return Ok(());
    }

    match tokio::time::timeout(ANSWER_MAX, access.has_accounts()).await {
        Ok(Ok(false)) => Err(ServiceError::NoAccounts(settings.listen)),
        Ok(Ok(true) | Err(_)) | Err(_) => Ok(()),
    }
}

/// The same check before any role of the production profile starts.
pub(super) async fn check_servers(
    settings: &Settings,
    servers: &Servers,
    clock: &Arc<dyn Clock>,
) -> Result<(), ServiceError> {
    let Some(address) = &servers.database else {
        return Ok(());
    };
    if settings.gateway.is_open_allowed() {
        return Ok(());
    }

    let ledger = PostgresLedger::new(address, readers(address), servers.partition(0));
    let ledger = Arc::new(ledger);
    let access = Access::new(Arc::clone(&ledger) as _, Arc::clone(clock), false);

    require_accounts(&access, &settings.gateway).await
}
