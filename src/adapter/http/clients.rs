//! Clients that lead to permitted addresses only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::addresses::PermittedAddresses;
use crate::chain::Chain;
use crate::port::webhooks::SendError;

/// Time for a connection, and for the whole request.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const REQUEST_MAX: Duration = Duration::from_secs(15);
const NO_ADDRESS: &str = "it is not an address such as https://crm.example.com/calls";
const URL_BYTES_MAX: usize = 2_000;

/// A client for the public internet and for listed networks.
#[derive(Clone)]
pub(super) struct PermittedClients {
    encrypted: Client,
    /// Leads to listed networks only.
    plain: Client,
    permitted: Arc<PermittedAddresses>,
}

/// Resolves a name once, and passes on only addresses that are permitted: the connection goes to
/// one of them, so a name that is resolved differently a moment later leads nowhere else.
struct PermittedResolver {
    permitted: Arc<PermittedAddresses>,
    /// Only listed networks: the request is not encrypted.
    listed_only: bool,
}

impl Resolve for PermittedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let permitted = Arc::clone(&self.permitted);
        let listed_only = self.listed_only;

        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found
                .filter(|address| permitted.admits(address.ip(), listed_only))
                .collect();
            if addresses.is_empty() {
                return Err("the name has no address that a request may go to".into());
            }

            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl PermittedAddresses {
    fn admits(&self, address: IpAddr, listed_only: bool) -> bool {
        if listed_only {
            self.is_listed(address)
        } else {
            self.is_permitted(address)
        }
    }
}

impl PermittedClients {
    /// Clients for the public internet and the listed networks.
    ///
    /// # Errors
    /// When the certificates of this machine cannot be read.
    pub(super) fn new(listed: Vec<IpNet>) -> Result<PermittedClients, SendError> {
        let permitted = Arc::new(PermittedAddresses { listed });

        Ok(PermittedClients {
            encrypted: client(&permitted, false)?,
            plain: client(&permitted, true)?,
            permitted,
        })
    }

    /// The client for an address.
    pub(super) fn of(&self, url: &Url) -> &Client {
        if url.scheme() == "http" {
            &self.plain
        } else {
            &self.encrypted
        }
    }

    pub(super) fn parse(&self, url: &str) -> Result<Url, SendError> {
        let refused = |reason: &str| SendError::Refused(reason.to_owned());
        if url.len() > URL_BYTES_MAX {
            return Err(refused("an address has at most 2,000 bytes"));
        }
        // The parser would skip these, and take `https:x` and `https:///x` for `https://x`.
        let is_skipped = |char: char| char.is_control() || char.is_whitespace() || char == '\\';
        let has_host = |rest: &str| !rest.is_empty() && !rest.starts_with('/');
        let is_whole = url.split_once("://").is_none_or(|(_, rest)| has_host(rest));
        if url.contains(is_skipped) || !url.contains("://") || !is_whole {
            return Err(refused(NO_ADDRESS));
        }
        let url: Url = url.parse().map_err(|_| refused(NO_ADDRESS))?;

        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("an address begins with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(
                "an address holds no name and no password: the signature tells who sends",
            ));
        }
        // A name is checked when it is resolved.
        let literal = url
            .host_str()
            .and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        let listed_only = url.scheme() == "http";
        match literal {
            Some(address) if !self.permitted.admits(address, listed_only) => Err(refused(
                "this address is not on the public internet, or not encrypted: see \
                 `gateway.webhook_networks`",
            )),
            _ => Ok(url),
        }
    }
}

fn client(permitted: &Arc<PermittedAddresses>, listed_only: bool) -> Result<Client, SendError> {
    let resolver = PermittedResolver {
        permitted: Arc::clone(permitted),
        listed_only,
    };

    Client::builder()
        .connect_timeout(CONNECT_MAX)
        .timeout(REQUEST_MAX)
        .redirect(Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(resolver))
        // A connection that is kept was made when the name had another address.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("cordboard/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| SendError::Unreachable(Chain(&error).to_string()))
}

/// The error of a request, without its address, which may hold a secret or a number.
pub(super) fn send_error(error: reqwest::Error) -> SendError {
    if error.is_timeout() {
        SendError::TimedOut
    } else {
        SendError::Unreachable(Chain(&error.without_url()).to_string())
    }
}
