//! The one place that joins the parts, in the order in which they start: ports are bound before
//! anything works, phones are served before anything can keep them waiting, and everything that was
//! started is stopped.

mod broker;
mod dead_letters;
mod doctor;
mod embedded;
mod http;
mod lifecycle;
mod open;
mod partitions;
mod phones;
mod place;
mod production;
mod rebuild;
mod reload;
mod resend;
mod servers;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::adapter::clock::SystemClock;
use crate::adapter::journal;
use crate::adapter::rabbit::BrokerError;
use crate::config::{BadConfig, Settings};
use crate::port::clock::Clock;
use crate::port::ledger::LedgerError;
use crate::worker::WorkerError;

pub use broker::{Applied, adopt_layout, apply_broker, broker_status};
pub use dead_letters::{
    DeadLetterAction, DeadLetterFilter, DeadLetterResult, DeadLetterStore, dead_letters,
};
pub use doctor::{Finding, Grade, examine};
use embedded::Embedded;
pub use lifecycle::Stop;
use open::bind;
pub use open::migrate;
use production::Production;
pub use rebuild::{Difference, Scope, differences, rebuild};
pub use reload::Reread;
pub use resend::{Period, resend};

/// Why the service could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(
        "{what} cannot listen on {address}: {source}; is another process there? Choose another address in the settings"
    )]
    Bind {
        what: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    #[error(
        "{stretches} stretches of the journal cannot be read, and `journal.refuse_damaged` is set; copies are in its `corrupt` folder"
    )]
    Damaged { stretches: usize },
    #[error("the journal cannot be read: {0}")]
    Inbox(io::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error("the broker: {0}")]
    Broker(#[from] BrokerError),
    #[error("`live.url`: {0}")]
    Live(String),
    #[error("{0}")]
    IncompleteServerSettings(&'static str),
    #[error("{path}: there is no database yet; the first start of the service makes it")]
    NoDatabase { path: PathBuf },
    #[error("{0}: stop the service first, it holds calls in memory")]
    Running(journal::OpenError),
    #[error("{0} ended although nobody asked it to")]
    Ended(&'static str),
}

/// Where the service can be reached, by the roles it has.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub ingress: Option<SocketAddr>,
    pub gateway: Option<SocketAddr>,
    pub operations: SocketAddr,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub ingress: bool,
    pub worker: bool,
    pub gateway: bool,
}

impl Roles {
    pub const ALL: Roles = Roles {
        ingress: true,
        worker: true,
        gateway: true,
    };
}

/// What the service is given by whoever starts it.
pub struct Context {
    pub roles: Roles,
    pub clock: Arc<dyn Clock>,
    pub metrics: PrometheusHandle,
    pub reread: Reread,
    pub stop: Stop,
}

/// One process of the service: phones are served, and what stands behind them is ready to run.
pub struct Service {
    pub addresses: Addresses,
    backend: Backend,
}

/// What stands behind the phones.
enum Backend {
    Embedded(Box<Embedded>),
    Production(Box<Production>),
}

/// The listeners of a process, bound before anything works.
struct Listeners {
    ingress: Option<(TcpListener, SocketAddr)>,
    gateway: Option<Arc<TcpListener>>,
    operations: TcpListener,
}

impl Service {
    /// Opens everything, in the order in which it depends on each other. `None` when the stop was
    /// asked for meanwhile.
    ///
    /// # Errors
    /// Says what cannot be opened, and why.
    pub async fn start(
        settings: &Settings,
        surroundings: Context,
    ) -> Result<Option<Service>, ServiceError> {
        let servers = place::servers(settings, surroundings.roles)?;
        if servers.is_none() && surroundings.roles != Roles::ALL {
            return Err(ServiceError::IncompleteServerSettings(
                "a process with only some of the roles needs `broker.url` and `database.url`: without them, all of the service is one process",
            ));
        }
        let (listeners, addresses) = listen(settings, surroundings.roles).await?;
        let behind = match servers {
            Some(servers) => Backend::Production(Box::new(Production::start(
                settings,
                servers,
                surroundings,
                listeners,
            )?)),
            None => match Embedded::start(settings, surroundings, listeners).await? {
                Some(embedded) => Backend::Embedded(Box::new(embedded)),
                None => return Ok(None),
            },
        };
        Ok(Some(Service {
            addresses,
            backend: behind,
        }))
    }

    /// Works until the stop, then finishes what is under way: first no more requests, then the
    /// worker, then the rest.
    ///
    /// # Errors
    /// When a part failed that cannot go on.
    pub async fn run(self) -> Result<(), ServiceError> {
        match self.backend {
            Backend::Embedded(embedded) => embedded.run().await,
            Backend::Production(production) => production.run().await,
        }
    }
}

async fn listen(settings: &Settings, roles: Roles) -> Result<(Listeners, Addresses), ServiceError> {
    let mut phones = None;
    if roles.ingress {
        phones = Some(bind("the ingress", settings.ingress.listen).await?);
    }
    let mut people = None;
    if roles.gateway {
        people = Some(bind("the gateway", settings.gateway.listen).await?);
    }
    let (signs, operations) = bind("the operations listener", settings.operations.listen).await?;
    let addresses = Addresses {
        ingress: phones.as_ref().map(|(_, at)| *at),
        gateway: people.as_ref().map(|(_, at)| *at),
        operations,
    };
    let shown = |address: Option<SocketAddr>| {
        address.map_or_else(|| "-".to_owned(), |address| address.to_string())
    };
    let (ingress, gateway) = (shown(addresses.ingress), shown(addresses.gateway));
    tracing::info!(ingress, gateway, operations = %addresses.operations, "listening");
    Ok((
        Listeners {
            ingress: phones,
            gateway: people.map(|(listener, _)| Arc::new(listener)),
            operations: signs,
        },
        addresses,
    ))
}

/// The clock of this machine.
#[must_use]
pub fn machine_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}
