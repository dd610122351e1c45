//! The connections of the live view.

use std::sync::Arc;

use super::{Roles, SetupError};
use crate::adapter::redis::{RedisAddress, RedisLink};
use crate::config::Settings;
use crate::health::HealthCheck;

/// Connections to the two Redis databases of the live view.
#[derive(Clone)]
pub struct LiveLinks {
    pub calls: Arc<RedisLink>,
    pub cache: Arc<RedisLink>,
}

impl LiveLinks {
    /// The connections, with a health check for each. `None` where the settings name no Redis, or
    /// no role uses it.
    pub fn open(
        settings: &Settings,
        roles: Roles,
        checks: &mut Vec<HealthCheck>,
    ) -> Result<Option<LiveLinks>, SetupError> {
        let address: Option<RedisAddress> = settings.live.address()?;
        let Some(address) = address.filter(|_| roles.need_database()) else {
            return Ok(None);
        };

        // Optional: every look-up has the ledger as well.
        let calls_check = HealthCheck::optional("live view");
        let cache_check = HealthCheck::optional("cache");
        checks.extend([calls_check.clone(), cache_check.clone()]);
        let calls = RedisLink::new(&address, settings.live.calls_database, calls_check);
        let cache = RedisLink::new(&address, settings.live.cache_database, cache_check);

        Ok(Some(LiveLinks {
            calls: Arc::new(calls.map_err(SetupError::Live)?),
            cache: Arc::new(cache.map_err(SetupError::Live)?),
        }))
    }
}
