//! Authorization of requests: a token of the phone, and the network that the request came from.
//!
//! A phone cannot sign anything, so a token bound to its MAC has to do. The token stands in the
//! path because a caller's name can add query parameters, but never a path segment.

use std::net::IpAddr;

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::device::Device;
use crate::domain::fact::Site;
use crate::net::any_contains;

/// 26 characters of base 32 are 130 bits.
const TOKEN_CHARS: usize = 26;

/// A secret that tokens are derived from. Several may be valid at once, while phones are
/// provisioned with new tokens.
#[derive(Clone)]
pub struct Key {
    id: char,
    secret: Hmac<Sha256>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// A key with a one-letter name; `None` when the secret is empty.
    #[must_use]
    pub fn new(id: char, secret: &str) -> Option<Key> {
        let secret = secret.trim();
        let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;

        (!secret.is_empty()).then_some(Key { id, secret: keyed })
    }

    /// The token of one device: the name of the key, and the device's code under its secret.
    #[must_use]
    pub fn token(&self, device: &Device) -> String {
        let mut keyed = self.secret.clone();
        keyed.update(device.to_string().as_bytes());
        let digest = keyed.finalize().into_bytes();

        let mut code = BASE32_NOPAD.encode(&digest);
        code.truncate(TOKEN_CHARS);
        code.make_ascii_lowercase();

        format!("{}{code}", self.id)
    }
}

/// The rules of access. Without keys no request needs a token.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub keys: Vec<Key>,
    /// Networks of phones; any network where the list is empty.
    pub networks: Vec<IpNet>,
    /// Proxies whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Phones without access, even with a valid token.
    pub denied: Vec<Device>,
    /// The networks of each site's phones. They have access as well.
    pub sites: Vec<(Site, Vec<IpNet>)>,
}

impl Access {
    /// Whether a token or a network is required. A network of all addresses is none.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        let has_bounds = !self.networks.is_empty() && !self.has_boundless_network();

        !self.keys.is_empty() || has_bounds
    }

    /// Whether a network, also of a site, covers all addresses.
    #[must_use]
    pub fn has_boundless_network(&self) -> bool {
        let of_sites = self.sites.iter().flat_map(|(_, networks)| networks);

        self.networks
            .iter()
            .chain(of_sites)
            .any(|network| network.prefix_len() == 0)
    }

    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        any_contains(&self.trusted_proxies, address)
    }

    #[must_use]
    pub fn allows_network(&self, from: IpAddr) -> bool {
        self.networks.is_empty()
            || any_contains(&self.networks, from)
            || self.site_of(from).is_some()
    }

    /// The site of an address; the site with the smallest network where networks overlap.
    #[must_use]
    pub fn site_of(&self, from: IpAddr) -> Option<&Site> {
        let from = from.to_canonical();
        let all = self
            .sites
            .iter()
            .flat_map(|(site, networks)| networks.iter().map(move |network| (site, network)));

        all.filter(|(_, network)| network.contains(&from))
            .max_by_key(|(_, network)| network.prefix_len())
            .map(|(site, _)| site)
    }

    /// Whether the device has access with this token.
    #[must_use]
    pub fn allows(&self, token: Option<&str>, device: &Device) -> bool {
        if self.denied.contains(device) {
            return false;
        }
        if self.keys.is_empty() {
            return true;
        }
        let Some(token) = token else { return false };

        // Every key is tried, in constant time, so that the duration does not reveal which key
        // nearly matched.
        self.keys
            .iter()
            .fold(subtle::Choice::from(0), |found, key| {
                found | key.token(device).as_bytes().ct_eq(token.as_bytes())
            })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> Device {
        Device::parse(text).unwrap()
    }

    #[test]
    fn a_token_opens_for_its_own_device_only() {
        let key = Key::new('a', "secret").unwrap();
        let access = Access {
            keys: vec![key.clone()],
            ..Access::default()
        };
        let token = key.token(&device("00:0b:82:00:00:01"));

        assert_eq!(token.len(), TOKEN_CHARS + 1);
        assert!(access.allows(Some(&token), &device("000B82000001")));
        assert!(!access.allows(Some(&token), &device("000b82000002")));
        assert!(!access.allows(None, &device("000b82000001")));

        let shorter = &token[..TOKEN_CHARS];
        let longer = format!("{token}a");
        let uppercase = token.to_uppercase();
        for wrong in [shorter, &longer, &uppercase, "", "a"] {
            assert!(
                !access.allows(Some(wrong), &device("000b82000001")),
                "{wrong}"
            );
        }

        for index in 0..token.len() {
            let mut flipped = token.clone().into_bytes();
            flipped[index] ^= 1;
            assert!(
                !access.allows(str::from_utf8(&flipped).ok(), &device("000b82000001")),
                "bit in byte {index}"
            );
        }
    }

    #[test]
    fn tokens_never_change_because_phones_are_provisioned_with_them() {
        let token =
            |secret: &str, id: char, text: &str| Key::new(id, secret).unwrap().token(&device(text));

        assert_eq!(
            token("secret", 'a', "000b82000001"),
            "aplrixeul3aidnue7ik7gag44av"
        );
        assert_eq!(
            token("old", 'B', "000b82ffffff"),
            "Bnut2rjbsy2xri5mxbqrogcusdt"
        );
    }

    #[test]
    fn two_keys_are_valid_during_a_change_and_a_withdrawn_one_is_not() {
        let old = Key::new('a', "old").unwrap();
        let new = Key::new('b', "new").unwrap();
        let phone = device("000b82000001");
        let both = Access {
            keys: vec![old.clone(), new.clone()],
            ..Access::default()
        };
        assert!(both.allows(Some(&old.token(&phone)), &phone));
        assert!(both.allows(Some(&new.token(&phone)), &phone));

        let later = Access {
            keys: vec![new],
            ..Access::default()
        };
        assert!(!later.allows(Some(&old.token(&phone)), &phone));
        assert!(Key::new('a', " \n").is_none());
    }

    #[test]
    fn networks_are_a_second_factor() {
        let access = Access {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Access::default()
        };

        assert!(access.allows_network("10.1.2.3".parse().unwrap()));
        assert!(access.allows_network("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!access.allows_network("192.168.0.1".parse().unwrap()));
        assert!(access.is_restricted());
        assert!(!Access::default().is_restricted());
    }

    #[test]
    fn a_denied_phone_has_no_access_even_with_a_valid_token() {
        let key = Key::new('a', "secret").unwrap();
        let token = key.token(&device("000b82000001"));
        let denied = vec![device("00:0B:82:00:00:01")];

        assert!(
            !Access {
                keys: vec![key],
                denied: denied.clone(),
                ..Access::default()
            }
            .allows(Some(&token), &device("000b82000001"))
        );
        assert!(
            !Access {
                denied,
                ..Access::default()
            }
            .allows(None, &device("000b82000001"))
        );
    }

    #[test]
    fn a_phone_belongs_to_the_site_of_its_network() {
        let site = |name: &str| Site::parse(name).unwrap();
        let sites = vec![
            (site("berlin"), vec!["10.1.0.0/16".parse().unwrap()]),
            (
                site("annex"),
                vec![
                    "10.1.7.0/24".parse().unwrap(),
                    "2001:db8::/32".parse().unwrap(),
                ],
            ),
        ];
        let access = Access {
            networks: vec!["10.9.0.0/16".parse().unwrap()],
            sites,
            ..Access::default()
        };

        for (from, expected) in [
            ("10.1.2.3", Some("berlin")),
            ("10.1.7.3", Some("annex")),
            ("2001:db8::7", Some("annex")),
            ("10.9.0.1", None),
        ] {
            let from: IpAddr = from.parse().unwrap();
            assert_eq!(access.site_of(from).map(Site::as_str), expected);
            assert!(access.allows_network(from), "{from}");
        }
        assert!(!access.allows_network("10.8.0.1".parse().unwrap()));
    }
}
