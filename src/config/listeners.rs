//! Settings of the listeners for people and programs (`[gateway]`) and for operations.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::bounds::{self, Bound};
use crate::gateway::{Goals, OwnHosts, WatcherLimit};

const CONNECTIONS_MAX: u64 = 1_000_000;
const HOUR_SECONDS: u64 = 3_600;
const DAY_MINUTES: u64 = 1_440;

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
    answer_goal_seconds: u32,
    desk_goal_minutes: u32,
    desk_escalation_minutes: u32,
    pub webhook_networks: Vec<IpNet>,
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
        bounds::check("gateway", &self.bounds())?;
        bounds::check_networks("gateway.trusted_proxies", &self.trusted_proxies)?;
        bounds::check_networks("gateway.webhook_networks", &self.webhook_networks)?;
        bounds::check_hosts("gateway.hosts", &self.hosts)?;

        if self.watchers_max >= self.connections_max {
            return Err(BadConfig(format!(
                "`gateway.watchers_max` is {}: it must be less than `gateway.connections_max` ({}), \
                 so that connections are left for the API",
                self.watchers_max, self.connections_max
            )));
        }

        Ok(())
    }

    pub(super) fn bounds(&self) -> [Bound; 7] {
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
            Bound::new(
                "answer_goal_seconds",
                u64::from(self.answer_goal_seconds),
                HOUR_SECONDS,
            ),
            Bound::new(
                "desk_goal_minutes",
                u64::from(self.desk_goal_minutes),
                DAY_MINUTES,
            ),
            Bound::new(
                "desk_escalation_minutes",
                u64::from(self.desk_escalation_minutes),
                DAY_MINUTES,
            ),
        ]
    }

    /// Whether the listener may serve without any account: only this machine reaches it, or it is
    /// permitted.
    #[must_use]
    pub fn is_open_allowed(&self) -> bool {
        self.listen.ip().is_loopback() || self.allow_unauthenticated
    }

    /// The names under which the listener is served.
    #[must_use]
    pub fn own_hosts(&self) -> OwnHosts {
        OwnHosts::new("gateway", &self.hosts)
    }

    /// The first configured name: that of a proxy in front of the listener.
    #[must_use]
    pub fn public_host(&self) -> Option<&str> {
        self.hosts.first().map(String::as_str)
    }

    /// The goals of sites without rules of their own.
    #[must_use]
    pub fn default_goals(&self) -> Goals {
        Goals {
            answer_seconds: self.answer_goal_seconds,
            desk_minutes: self.desk_goal_minutes,
            escalation_minutes: self.desk_escalation_minutes,
        }
    }

    #[must_use]
    pub fn watcher_limit(&self) -> WatcherLimit {
        WatcherLimit::new(self.watchers_max, Duration::from_secs(self.ping_seconds))
    }
}

impl OperationsSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        bounds::check_hosts("operations.hosts", &self.hosts)?;
        if self.listen.ip().is_loopback() || self.allow_unauthenticated {
            return Ok(());
        }

        // It has no authentication of its own.
        Err(BadConfig(format!(
            "`operations.listen` is {}, where other machines can read metrics without \
             authentication: listen on a loopback address behind an authenticating reverse proxy, \
             or set `operations.allow_unauthenticated = true`",
            self.listen
        )))
    }

    /// The names under which the listener is served.
    #[must_use]
    pub fn own_hosts(&self) -> OwnHosts {
        OwnHosts::new("operations", &self.hosts)
    }
}
