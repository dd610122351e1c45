//! The address of a client behind proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::HeaderMap;
use ipnet::IpNet;

use super::networks::any_contains;

/// The address of a client that a trusted proxy named in no readable form. It lies in no network.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Proxies add the address of their client at its end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client of a request, for its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address nearest to us that is no trusted proxy. Entries before an untrusted address can
    /// be forged, and are ignored.
    #[must_use]
    pub fn of(trusted_proxies: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        if !any_contains(trusted_proxies, peer) {
            return ClientAddress(peer.to_canonical());
        }

        // Nothing is left out: an entry that cannot be read hides what the proxy wrote after it.
        let entries: Vec<_> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();

        ClientAddress(origin(trusted_proxies, peer, &entries.join(",")))
    }
}

fn origin(trusted_proxies: &[IpNet], peer: IpAddr, forwarded: &str) -> IpAddr {
    let mut origin = peer.to_canonical();

    for entry in forwarded.rsplit(',') {
        if forwarded.trim().is_empty() || !any_contains(trusted_proxies, origin) {
            break;
        }
        let Some(address) = forwarded_address(entry.trim()) else {
            return UNKNOWN;
        };
        origin = address.to_canonical();
    }

    origin
}

/// Some proxies write ports, and brackets around IPv6.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));

    bare.unwrap_or(entry)
        .parse()
        .ok()
        .or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_name_a_client() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = vec!["10.0.0.0/24".parse().unwrap()];

        for (peer, forwarded, client) in [
            ("10.0.0.1", "192.168.0.7", "192.168.0.7"),
            ("10.0.0.1", "1.2.3.4, 192.168.0.7", "192.168.0.7"),
            ("10.0.0.1", "192.168.0.7, 10.0.0.2", "192.168.0.7"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "nonsense", "0.0.0.0"),
            ("10.0.0.1", "\u{fffd}, 192.168.0.7", "192.168.0.7"),
            ("10.0.0.1", "192.168.0.7:5060", "192.168.0.7"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "192.168.0.7, ", "0.0.0.0"),
            ("10.0.0.1", "1.2.3.4, nonsense", "0.0.0.0"),
            ("192.168.0.9", "10.0.0.7", "192.168.0.9"),
            ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in forwarded.split_inclusive(',') {
                let line = line.strip_suffix(',').unwrap_or(line);
                headers.append(FORWARDED_FOR, line.as_bytes().try_into().unwrap());
            }

            assert_eq!(
                ClientAddress::of(&trusted, address(peer), &headers),
                ClientAddress(address(client)),
                "{peer} says {forwarded:?}"
            );
        }
    }
}
