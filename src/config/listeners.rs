//! Settings of the listeners for people and programs (`[gateway]`) and for operations.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::bounds::{self, Bound};
use crate::gateway::{OwnHosts, WatcherLimit};

const CONNECTIONS_MAX: u64 = 1_000_000;
const HOUR_SECONDS: u64 = 3_600;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    pub listen: SocketAddr,
    allow_unauthenticated: bool,
    hosts: Vec<String>,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub trusted_proxies: Vec<IpNet>,
    watchers_max: usize,
    ping_seconds: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OperationsSettings {
    pub listen: SocketAddr,
    allow_unauthenticated: bool,
    hosts: Vec<String>,
}

impl GatewaySettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        check_reachable("gateway", self.listen, self.allow_unauthenticated, "calls")?;
        bounds::check("gateway", &self.bounds())?;

        if self.watchers_max >= self.connections_max {
            return Err(BadConfig(format!(
                "`gateway.watchers_max` is {}: it must be less than `gateway.connections_max` ({}), \
                 so that connections are left for the API",
                self.watchers_max, self.connections_max
            )));
        }

        Ok(())
    }

    pub(super) fn bounds(&self) -> [Bound; 4] {
        [
            Bound::new(
                "connections_max",
                self.connections_max as u64,
                CONNECTIONS_MAX,
            ),
            Bound::new(
                "connections_per_address_max",
                self.connections_per_address_max as u64,
                CONNECTIONS_MAX,
            ),
            Bound::new("watchers_max", self.watchers_max as u64, CONNECTIONS_MAX),
            Bound::new("ping_seconds", self.ping_seconds, HOUR_SECONDS),
        ]
    }

    /// The names under which the listener is served.
    #[must_use]
    pub fn own_hosts(&self) -> OwnHosts {
        OwnHosts::new("gateway", &self.hosts)
    }

    #[must_use]
    pub fn watcher_limit(&self) -> WatcherLimit {
        WatcherLimit::new(self.watchers_max, Duration::from_secs(self.ping_seconds))
    }
}

impl OperationsSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        check_reachable(
            "operations",
            self.listen,
            self.allow_unauthenticated,
            "metrics",
        )
    }

    /// The names under which the listener is served.
    #[must_use]
    pub fn own_hosts(&self) -> OwnHosts {
        OwnHosts::new("operations", &self.hosts)
    }
}

/// Rejects a listener that other machines reach without an explicit permission: it has no
/// authentication of its own.
fn check_reachable(
    section: &str,
    listen: SocketAddr,
    is_allowed: bool,
    content: &str,
) -> Result<(), BadConfig> {
    if listen.ip().is_loopback() || is_allowed {
        return Ok(());
    }

    Err(BadConfig(format!(
        "`{section}.listen` is {listen}, where other machines can read {content} without \
         authentication: listen on a loopback address behind an authenticating reverse proxy, or \
         set `{section}.allow_unauthenticated = true`"
    )))
}
