//! The settings of the ingress: where it listens, who may report, how much it puts up with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::BadConfig;
use super::secret::Secret;
use crate::domain::device::Device;
use crate::domain::fact::Site;
use crate::ingress::Limits;
use crate::ingress::auth::{Access, Key};

const HOUR_MS: u64 = 3_600_000;

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

/// What a phone's answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The event is on the disk of this machine.
    Journal,
    /// The broker has confirmed it, too; while it is away, the disk is enough.
    Broker,
}

/// Where a site's phones are.
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
        let bounds = [
            ("connections_max", self.connections_max as u64, 1_000_000),
            (
                "connections_per_address_max",
                self.connections_per_address_max as u64,
                1_000_000,
            ),
            ("head_bytes_max", self.head_bytes_max as u64, 1 << 20),
            ("headers_max", self.headers_max as u64, 1_000),
            ("body_bytes_max", self.body_bytes_max as u64, 512 << 10),
            ("head_timeout_ms", self.head_timeout_ms, HOUR_MS),
            ("request_timeout_ms", self.request_timeout_ms, HOUR_MS),
            (
                "per_device_per_second_max",
                u64::from(self.per_device_per_second_max),
                1_000_000_000,
            ),
            (
                "per_device_burst_max",
                u64::from(self.per_device_burst_max),
                1_000_000_000,
            ),
            (
                "strangers_per_second_max",
                u64::from(self.strangers_per_second_max),
                1_000_000_000,
            ),
            ("tick_ms", self.tick_ms, 10_000),
        ];
        if let Some((key, value, most)) = bounds
            .iter()
            .find(|(_, value, most)| !(1..=*most).contains(value))
        {
            return Err(BadConfig(format!(
                "`ingress.{key}` must be between 1 and {most}, not {value}"
            )));
        }
        self.site()?;
        self.access_at(self.listen).map(|_| ())
    }

    /// Who may report at this address, which may be another than the settings now say.
    pub fn access_at(&self, listening: SocketAddr) -> Result<Access, BadConfig> {
        let access = self.access()?;
        if !listening.ip().is_loopback() && !access.checks_anything() && !self.allow_unauthenticated
        {
            return Err(BadConfig(format!(
                "the ingress listens on {listening}, which others can reach, and nobody is asked who they are: set `ingress.keys` or `ingress.networks`, or say `ingress.allow_unauthenticated = true`"
            )));
        }
        Ok(access)
    }

    pub fn site(&self) -> Result<Site, BadConfig> {
        Site::parse(&self.site).ok_or_else(|| {
            BadConfig("`ingress.site` is no site name (1 to 64 characters)".to_owned())
        })
    }

    /// Who may report. Reads the secret files.
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
                    "`ingress.denied_devices`: {text:?} is no MAC address"
                ))),
            });
        let sites = self
            .sites
            .iter()
            .map(|(name, site)| match Site::parse(name) {
                Some(parsed) => Ok((parsed, site.networks.clone())),
                None => Err(BadConfig(
                    "`ingress.sites` names a site that is none (1 to 64 characters)".to_owned(),
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

    /// How often the ingress promises that everything received so far has been sent.
    #[must_use]
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }
}

impl KeySettings {
    fn key(&self, id: &str) -> Result<Key, BadConfig> {
        let wrong = |what: &str| BadConfig(format!("`ingress.keys.{id}`{what}"));
        let letter = Some(id)
            .filter(|id| id.len() == 1)
            .and_then(|id| id.chars().next())
            .filter(char::is_ascii_lowercase);
        let letter = letter.ok_or_else(|| wrong(": a key is named by one letter, a to z"))?;
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(file)) => Secret::read(file)
                .map_err(|error| wrong(&format!(".secret_file: {}: {error}", file.display())))?,
            _ => return Err(wrong(" needs either `secret` or `secret_file`")),
        };
        Key::new(letter, secret.reveal()).ok_or_else(|| wrong(": the secret is empty"))
    }
}
