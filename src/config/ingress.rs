//! Settings of the ingress: listen address, sites, credentials of phones, and limits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::bounds::{self, Bound};
use super::secret::Secret;
use crate::domain::device::Device;
use crate::domain::fact::Site;
use crate::ingress::Limits;
use crate::ingress::auth::{Access, Key};

const CONNECTIONS_MAX: u64 = 1_000_000;
const REQUESTS_MAX: u64 = 1_000_000_000;
const HOUR_MS: u64 = 3_600_000;
/// A shorter secret can be guessed: every phone shows a token that is made with it.
const SECRET_BYTES_MIN: usize = 32;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSettings {
    pub listen: SocketAddr,
    site: String,
    networks: Vec<IpNet>,
    trusted_proxies: Vec<IpNet>,
    denied_devices: Vec<String>,
    allow_unauthenticated: bool,
    connections_max: usize,
    connections_per_address_max: usize,
    head_bytes_max: usize,
    headers_max: usize,
    body_bytes_max: usize,
    head_timeout_ms: u64,
    request_timeout_ms: u64,
    per_device_per_second_max: u32,
    per_device_burst_max: u32,
    strangers_per_second_max: u32,
    tick_ms: u64,
    pub durability: Durability,
    #[serde(default)]
    keys: BTreeMap<String, KeySettings>,
    #[serde(default)]
    sites: BTreeMap<String, SiteSettings>,
}

/// Storage that an event must reach before the phone gets its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The journal on the disk of this machine.
    Journal,
    /// The journal, and the broker's confirmation. While the broker is unavailable, the journal is
    /// enough.
    Broker,
}

/// The phone networks of a site.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SiteSettings {
    networks: Vec<IpNet>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeySettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<PathBuf>,
}

impl IngressSettings {
    pub(super) fn check(&self) -> Result<(), BadConfig> {
        bounds::check("ingress", &self.bounds())?;
        bounds::check_networks("ingress.networks", &self.networks)?;
        bounds::check_networks("ingress.trusted_proxies", &self.trusted_proxies)?;
        for (name, site) in &self.sites {
            bounds::check_networks(&format!("ingress.sites.{name}.networks"), &site.networks)?;
        }
        self.site()?;
        self.access_at(self.listen)?;

        Ok(())
    }

    pub(super) fn bounds(&self) -> [Bound; 11] {
        let per_address = self.connections_per_address_max as u64;

        [
            Bound::new(
                "connections_max",
                self.connections_max as u64,
                CONNECTIONS_MAX,
            ),
            Bound::new("connections_per_address_max", per_address, CONNECTIONS_MAX),
            Bound::new("head_bytes_max", self.head_bytes_max as u64, 64 << 10),
            Bound::new("headers_max", self.headers_max as u64, 1_000),
            Bound::new("body_bytes_max", self.body_bytes_max as u64, 64 << 10),
            Bound::new("head_timeout_ms", self.head_timeout_ms, HOUR_MS),
            Bound::new("request_timeout_ms", self.request_timeout_ms, HOUR_MS),
            Bound::new(
                "per_device_per_second_max",
                self.per_device_per_second_max,
                REQUESTS_MAX,
            ),
            Bound::new(
                "per_device_burst_max",
                self.per_device_burst_max,
                REQUESTS_MAX,
            ),
            Bound::new(
                "strangers_per_second_max",
                self.strangers_per_second_max,
                REQUESTS_MAX,
            ),
            Bound::new("tick_ms", self.tick_ms, 10_000),
        ]
    }

    /// The access rules for a listener at this address. On a reload the address is the bound one,
    /// which may differ from the settings.
    ///
    /// # Errors
    /// When the rules are invalid, or other machines reach the listener and no credentials are
    /// checked.
    pub fn access_at(&self, listening: SocketAddr) -> Result<Access, BadConfig> {
        let access = self.access()?;
        if access.has_boundless_network() {
            tracing::warn!(
                "a network of `ingress` covers all addresses: it restricts nothing, and does not \
                 count as authentication"
            );
        }
        let reachable = !listening.ip().is_loopback();
        if reachable && !access.is_restricted() && !self.allow_unauthenticated {
            return Err(BadConfig(format!(
                "the ingress listens on {listening}, which other machines can reach, and no \
                 credentials are checked: set `ingress.keys` or `ingress.networks`, or set \
                 `ingress.allow_unauthenticated = true`"
            )));
        }

        Ok(access)
    }

    /// The access rules for a listener that has some already. They never open an ingress that was
    /// restricted: an empty file may be one that is being written, and a proxy may pass requests from
    /// everywhere.
    pub fn access_after(
        &self,
        listening: SocketAddr,
        was_restricted: bool,
    ) -> Result<Access, BadConfig> {
        let access = self.access_at(listening)?;
        if was_restricted && !access.is_restricted() && !self.allow_unauthenticated {
            return Err(BadConfig(
                "no credentials are left in `ingress`, and the ingress would be open to every \
                 request: restart it to open it, or set `ingress.allow_unauthenticated = true`"
                    .to_owned(),
            ));
        }

        Ok(access)
    }

    pub fn site(&self) -> Result<Site, BadConfig> {
        Site::parse(&self.site).ok_or_else(|| {
            BadConfig("`ingress.site` is not a site name (1 to 64 characters)".to_owned())
        })
    }

    /// The access rules for phone requests. Reads the secret files.
    pub fn access(&self) -> Result<Access, BadConfig> {
        let keys = self
            .keys
            .iter()
            .map(|(id, key)| key.key(id))
            .collect::<Result<Vec<Key>, BadConfig>>()?;

        let denied = self
            .denied_devices
            .iter()
            .map(|text| match Device::parse(text) {
                Some(device @ Device::Mac(_)) => Ok(device),
                _ => Err(BadConfig(format!(
                    "`ingress.denied_devices`: {text:?} is not a MAC address"
                ))),
            });

        let sites = self
            .sites
            .iter()
            .map(|(name, site)| match Site::parse(name) {
                Some(parsed) => Ok((parsed, site.networks.clone())),
                None => Err(BadConfig(
                    "`ingress.sites`: a site name must have 1 to 64 characters".to_owned(),
                )),
            });

        Ok(Access {
            keys,
            sites: sites.collect::<Result<_, BadConfig>>()?,
            networks: self.networks.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            denied: denied.collect::<Result<_, BadConfig>>()?,
        })
    }

    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.connections_max,
            connections_per_address: self.connections_per_address_max,
            head_bytes: self.head_bytes_max,
            headers: self.headers_max,
            body_bytes: self.body_bytes_max,
            head_timeout_ms: self.head_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            per_device_per_second: self.per_device_per_second_max,
            per_device_burst: self.per_device_burst_max,
            strangers_per_second: self.strangers_per_second_max,
        }
    }

    /// Interval of the ingress' promises (ticks) that all events received so far are passed on.
    #[must_use]
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }
}

impl KeySettings {
    fn key(&self, id: &str) -> Result<Key, BadConfig> {
        let invalid = |problem: &str| BadConfig(format!("`ingress.keys.{id}`{problem}"));

        let letter = Some(id)
            .filter(|id| id.len() == 1)
            .and_then(|id| id.chars().next())
            .filter(char::is_ascii_lowercase);
        let letter = letter.ok_or_else(|| invalid(": the name of a key is one letter, a to z"))?;

        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(file)) => Secret::read(file)
                .map_err(|error| invalid(&format!(".secret_file: {}: {error}", file.display())))?,
            _ => return Err(invalid(" needs either `secret` or `secret_file`")),
        };

        let bytes = secret.reveal().trim().len();
        if bytes < SECRET_BYTES_MIN {
            return Err(invalid(&format!(
                ": the secret has {bytes} bytes and can be guessed from a token; make one of at \
                 least {SECRET_BYTES_MIN}, for example with `openssl rand -hex 32`"
            )));
        }
        Key::new(letter, secret.reveal()).ok_or_else(|| invalid(": the secret is empty"))
    }
}
