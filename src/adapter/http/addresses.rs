//! Which addresses requests may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks that no machine of the public internet has (IANA, special-purpose registries).
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
];
/// Only this network of IPv6 is in public use.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
/// Parts of it that lead elsewhere: protocol assignments, documentation, and 6to4, which carries an
/// IPv4 address.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0], 23),
    v6([0x2001, 0x0db8, 0], 32),
    v6([0x2002, 0, 0], 16),
    v6([0x3fff, 0, 0], 20),
];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;

    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(segments: [u16; 3], length: u8) -> Ipv6Net {
    let [a, b, c] = segments;

    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

/// The addresses that receivers may have.
#[derive(Clone, Debug)]
pub(super) struct PermittedAddresses {
    /// Networks beside the public internet.
    pub listed: Vec<IpNet>,
}

impl PermittedAddresses {
    pub(super) fn is_listed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();

        self.listed.iter().any(|network| network.contains(&address))
    }

    pub(super) fn is_permitted(&self, address: IpAddr) -> bool {
        is_public(address.to_canonical()) || self.is_listed(address)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|special| special.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address)
                && !SPECIAL_V6.iter().any(|special| special.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_and_listed_addresses_are_permitted() {
        let permitted = PermittedAddresses {
            listed: vec!["10.1.0.0/16".parse().unwrap()],
        };

        for address in [
            "93.184.216.34",
            "2606:2800:220:1::1",
            "10.1.2.3",
            "::ffff:10.1.2.3",
        ] {
            assert!(
                permitted.is_permitted(address.parse().unwrap()),
                "{address}"
            );
        }
        for address in [
            "127.0.0.1",
            "10.2.0.1",
            "169.254.169.254",
            "192.168.1.1",
            "100.100.100.200",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "fd00::1",
            "fe80::1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(
                !permitted.is_permitted(address.parse().unwrap()),
                "{address}"
            );
        }
    }
}
