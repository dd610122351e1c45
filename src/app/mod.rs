//! Composes a process from its roles. Listeners are bound before anything works, phones are served
//! before anything can keep them waiting, and everything that was started is stopped.

mod accounts;
mod callers;
mod clock;
mod embedded;
mod error;
mod gateway;
mod handover;
mod http;
mod ingress;
mod lifecycle;
mod listeners;
mod maintenance;
mod part;
mod process;
mod production;
mod reload;
mod stores;
mod webhooks;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::Settings;
use crate::port::clock::Clock;
use crate::setup::{Roles, SetupError, check_partitions, servers};

pub use error::ServiceError;
pub use lifecycle::Stop;
pub use listeners::Addresses;
pub use reload::Reread;

use listeners::Listeners;
use process::Process;

/// The resources that the command line hands to the service.
pub struct Context {
    pub roles: Roles,
    pub clock: Arc<dyn Clock>,
    pub metrics: PrometheusHandle,
    pub reread: Reread,
    pub stop: Stop,
}

/// A started process of the service.
pub struct Service {
    pub addresses: Addresses,
    process: Process,
}

impl Service {
    /// Starts the roles of the process. `None` when the stop came first.
    ///
    /// # Errors
    /// When something cannot be opened.
    pub async fn start(
        settings: &Settings,
        context: Context,
    ) -> Result<Option<Service>, ServiceError> {
        let servers = servers(settings, context.roles)?;
        if servers.is_none() && context.roles != Roles::ALL {
            return Err(SetupError::IncompleteServerSettings(
                "a process with only some of the roles needs `broker.url`: without it the journal is \
                 the queue, and all of the service is one process",
            )
            .into());
        }

        let listeners = Listeners::bind(settings, context.roles).await?;
        let addresses = listeners.addresses();
        if let Some(servers) = &servers {
            check_partitions(servers, context.roles).await?;
            if context.roles.gateway {
                accounts::check_servers(settings, servers, &context.clock).await?;
            }
        }
        let process = match servers {
            Some(servers) => Some(production::start(settings, servers, context, listeners).await?),
            None => embedded::start(settings, context, listeners).await?,
        };

        Ok(process.map(|process| Service { addresses, process }))
    }

    /// Works until the stop, then finishes work under way.
    ///
    /// # Errors
    /// When a part ended before the stop.
    pub async fn run(self) -> Result<(), ServiceError> {
        self.process.run().await
    }
}
