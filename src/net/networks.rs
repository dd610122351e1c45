//! Membership of an address in networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether one of the networks contains the address. An IPv4 address in the form of IPv6 counts as
/// what it is.
#[must_use]
pub fn any_contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();

    networks.iter().any(|network| network.contains(&address))
}
