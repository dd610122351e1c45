//! The checks of single settings: integers with an allowed range, and networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::BadConfig;

/// An integer setting, its value, and the largest allowed value.
pub(super) struct Bound {
    pub key: &'static str,
    pub value: u64,
    pub max: u64,
}

impl Bound {
    pub(super) fn new(key: &'static str, value: impl Into<u64>, max: u64) -> Bound {
        Bound {
            key,
            value: value.into(),
            max,
        }
    }
}

/// Rejects the first setting of a section that is out of its range, which always begins at 1: a zero
/// would switch off a limit or stop a timer.
pub(super) fn check(section: &str, bounds: &[Bound]) -> Result<(), BadConfig> {
    match bounds
        .iter()
        .find(|bound| !(1..=bound.max).contains(&bound.value))
    {
        Some(Bound { key, value, max }) => Err(BadConfig(format!(
            "`{section}.{key}` must be between 1 and {max}, not {value}"
        ))),
        None => Ok(()),
    }
}

/// Rejects networks of IPv4 that are written as IPv6: addresses are compared in their own form, so
/// that such a network would contain none.
pub(super) fn check_networks(key: &str, networks: &[IpNet]) -> Result<(), BadConfig> {
    let mapped = networks.iter().find_map(|network| {
        let IpNet::V6(network) = network else {
            return None;
        };
        let IpAddr::V4(address) = IpAddr::V6(network.addr()).to_canonical() else {
            return None;
        };
        Some((network, address, network.prefix_len().saturating_sub(96)))
    });

    match mapped {
        Some((network, address, length)) => Err(BadConfig(format!(
            "`{key}`: write {network} as a network of IPv4, {address}/{length}"
        ))),
        None => Ok(()),
    }
}

/// Rejects names under which no request can come, such as a whole address.
pub(super) fn check_hosts(key: &str, hosts: &[String]) -> Result<(), BadConfig> {
    let is_name = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|char| char.is_alphanumeric() || matches!(char, '.' | '-' | '_'))
    };

    match hosts.iter().find(|host| !is_name(host)) {
        Some(host) => Err(BadConfig(format!(
            "`{key}`: {host:?} is no name of a host, such as calls.example.com"
        ))),
        None => Ok(()),
    }
}
