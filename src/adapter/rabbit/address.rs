//! The address of the broker, or one for each node of a cluster.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use percent_encoding::percent_decode_str;

use super::{OPERATION_MAX, with_timeout};
use crate::port::broker::BrokerError;

/// A silent peer is given up after about three times this, where the address does not say.
const HEARTBEAT_SECONDS: u16 = 5;
/// The largest frame of a connection that only publishes our messages, where the address does not
/// say: twice the longest event. A connection has room for 32 frames each way from the beginning.
/// Messages of other programs come with headers of any size, in frames as large as the broker
/// allows.
const PUBLISHING_FRAME_BYTES: u32 = 32 * 1024;

/// The checked addresses of all nodes, with blanks between them in their text.
#[derive(Clone)]
pub struct BrokerAddress {
    nodes: Vec<AMQPUri>,
    /// The node that answered last, or the next one to be tried. Clones share it: what one
    /// connection finds out, the others know.
    next: Arc<AtomicUsize>,
}

impl FromStr for BrokerAddress {
    type Err = String;

    fn from_str(urls: &str) -> Result<BrokerAddress, String> {
        let nodes = urls
            .split_whitespace()
            .map(parse_node)
            .collect::<Result<Vec<_>, _>>()?;

        let Some(first) = nodes.first() else {
            return Err("the address is empty".to_owned());
        };
        if nodes.iter().any(|node| node.vhost != first.vhost) {
            return Err("all nodes of a cluster must name the same virtual host".to_owned());
        }

        Ok(BrokerAddress {
            nodes,
            next: Arc::default(),
        })
    }
}

fn parse_node(url: &str) -> Result<AMQPUri, String> {
    // The parser's error may quote the address, and with it a password.
    let parsed: Result<AMQPUri, String> = url.parse();
    let Ok(mut uri) = parsed else {
        return Err(if has_undecodable_path(url) {
            "the virtual host has percent escapes that are not UTF-8".to_owned()
        } else {
            "it is not of the form amqp://user:password@host/vhost".to_owned()
        });
    };
    if uri.vhost.is_empty() {
        return Err("the virtual host is empty; write `/%2f` for the default one".to_owned());
    }

    let timeout_ms = u64::try_from(OPERATION_MAX.as_millis()).unwrap_or(u64::MAX);
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    uri.query.connection_timeout.get_or_insert(timeout_ms);

    Ok(uri)
}

/// Whether the path, which names the virtual host, cannot be decoded.
fn has_undecodable_path(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.split_once('/').map_or("", |(_, path)| path);

    percent_decode_str(path).decode_utf8().is_err()
}

impl BrokerAddress {
    /// Connects to the first node that answers, under a name that operations see.
    pub async fn connect(&self, name: &str) -> Result<Connection, BrokerError> {
        self.connect_with(name, None).await
    }

    /// Connects to publish our messages, and to receive none.
    pub(super) async fn connect_to_publish(&self, name: &str) -> Result<Connection, BrokerError> {
        self.connect_with(name, Some(PUBLISHING_FRAME_BYTES)).await
    }

    async fn connect_with(
        &self,
        name: &str,
        frame_bytes: Option<u32>,
    ) -> Result<Connection, BrokerError> {
        let first = self.next.load(Ordering::Relaxed);
        let mut last_error = None;

        for attempt in 0..self.nodes.len() {
            let index = first.wrapping_add(attempt) % self.nodes.len();
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            let mut node = self.nodes[index].clone();
            node.query.frame_max = node.query.frame_max.or(frame_bytes);

            match with_timeout(Connection::connect_uri(node, properties)).await {
                Ok(connection) => {
                    self.next.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => last_error = Some(error),
            }
        }

        // Parsed addresses have at least one node.
        Err(last_error.unwrap_or_else(|| BrokerError::unavailable("the broker has no address")))
    }

    /// The next connection tries another node first: this one answers, and does not do its work.
    pub fn avoid_node(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn vhost(&self) -> &str {
        self.nodes.first().map_or("", |node| &node.vhost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_explained_and_not_quoted() {
        for (url, reason) in [
            ("amqp://u:hush@h/%ff", "virtual host"),
            ("amqp://u:hush@h/", "virtual host is empty"),
            ("hush", "of the form"),
            ("amqp://u:hush@h:port/v", "of the form"),
            ("amqp://u:hush@h/a amqp://u:hush@i/b", "same virtual host"),
        ] {
            let error = url.parse::<BrokerAddress>().err().unwrap();

            assert!(error.contains(reason) && !error.contains("hush"), "{error}");
        }
    }
}
