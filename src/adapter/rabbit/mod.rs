//! RabbitMQ: events from the ingresses to the workers in order, and what became of them to whoever
//! listens.
//!
//! Publishing and consuming have connections of their own, since a broker short of memory stops
//! reading from those that publish. Whatever goes wrong on a connection or channel, it is given up
//! and made anew by us; what was under way is sent or delivered again.

mod dead;
mod feed;
mod foreign;
mod inbox;
mod management;
mod names;
mod publisher;
mod relay;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};

pub use dead::{DeadQueue, Waiting, forward};
pub use feed::Feed;
pub use inbox::{BrokerInbox, Held};
pub use management::{Management, apply};
pub use names::Layout;
pub use publisher::{Publisher, send_again};
pub use relay::{Mouth, Relay};
pub use topology::{Depth, Policy, dead, declare, depths, enlist, ensure, policies, workers};

/// For one step of talking to the broker; one that takes longer is not answered any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon a peer that says nothing is given up, where the address does not say.
const HEARTBEAT_SECONDS: u16 = 5;
/// The largest frame of a connection that only sends what we made, where the address does not say:
/// twice the longest event. For every connection there is room for 32 frames each way from the
/// beginning. What others made comes back with headers of any size, in frames as large as the
/// broker allows.
const OWN_FRAME_BYTES: u32 = 32 * 1024;
const CLOSED: u16 = 200;

/// Why the broker did not do what was asked. The text is for people, and holds no password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BrokerError {
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// It may do later what was asked: whoever goes on without having heard must give up the
    /// connection.
    #[error("it does not answer")]
    Silent,
    /// What exists is not what we need, and we destroy nothing.
    #[error("{0}")]
    Mismatch(String),
    /// A message that found no queue.
    #[error("it has no queue for our events; declaring them again")]
    Astray,
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> BrokerError {
        BrokerError::Unavailable(error.to_string())
    }
}

/// Where the broker is, checked: one address, or one for each node of a cluster.
#[derive(Clone)]
pub struct BrokerAddress {
    nodes: Vec<AMQPUri>,
    /// The node that answered last, or the one to be asked next. Clones share it: what one
    /// connection learns the others need not.
    next: Arc<AtomicUsize>,
}

impl std::str::FromStr for BrokerAddress {
    type Err = String;

    fn from_str(urls: &str) -> Result<BrokerAddress, String> {
        let nodes = urls
            .split_whitespace()
            .map(node)
            .collect::<Result<Vec<_>, _>>()?;
        match nodes.first() {
            None => return Err("there is no address".to_owned()),
            Some(first) if nodes.iter().any(|node| node.vhost != first.vhost) => {
                return Err("the nodes of a cluster have the same virtual hosts".to_owned());
            }
            Some(_) => {}
        }
        Ok(BrokerAddress {
            nodes,
            next: Arc::default(),
        })
    }
}

fn node(url: &str) -> Result<AMQPUri, String> {
    let mut uri: AMQPUri = url.parse()?;
    if uri.vhost.is_empty() {
        return Err("the virtual host is empty; write `/%2f` for the default one".to_owned());
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    uri.query
        .connection_timeout
        .get_or_insert(u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX));
    Ok(uri)
}

impl BrokerAddress {
    /// Connects to the first node that answers, under a name that operations see.
    pub async fn connect(&self, name: &str) -> Result<Connection, BrokerError> {
        self.connect_with(name, None).await
    }

    /// The same to send what is ours, and to receive nothing else.
    async fn connect_to_send(&self, name: &str) -> Result<Connection, BrokerError> {
        self.connect_with(name, Some(OWN_FRAME_BYTES)).await
    }

    async fn connect_with(
        &self,
        name: &str,
        frame_bytes: Option<u32>,
    ) -> Result<Connection, BrokerError> {
        let first = self.next.load(Ordering::Relaxed);
        let mut last = None;
        for at in (first..)
            .map(|at| at % self.nodes.len())
            .take(self.nodes.len())
        {
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            let mut node = self.nodes[at].clone();
            node.query.frame_max = node.query.frame_max.or(frame_bytes);
            match with_timeout(Connection::connect_uri(node, properties)).await {
                Ok(connection) => {
                    self.next.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => last = Some(error),
            }
        }
        // Checked when it was read: there is at least one.
        Err(last.unwrap_or_else(|| BrokerError::Unavailable("it has no address".to_owned())))
    }

    /// What connects next asks another node first: this one answers, and does not do its work.
    pub fn avoid(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn vhost(&self) -> &str {
        self.nodes.first().map_or("", |node| &node.vhost)
    }
}

/// One step, unless it takes too long.
async fn with_timeout<T>(
    step: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(BrokerError::Silent),
    }
}

/// Closes what may be broken already: whatever it says, it is not used again.
async fn close_channel(channel: &Channel) {
    let _closed = hang_up(channel).await;
}

async fn hang_up(channel: &Channel) -> Result<(), BrokerError> {
    with_timeout(channel.close(CLOSED, "done".into())).await
}

async fn close_connection(connection: &Connection) {
    let _closed = with_timeout(connection.close(CLOSED, "done".into())).await;
}
