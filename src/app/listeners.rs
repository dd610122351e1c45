//! The listeners of a process, bound before anything works.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::ServiceError;
use crate::config::Settings;
use crate::setup::Roles;

/// A bound listener, and its address.
pub(super) struct Listener {
    pub socket: TcpListener,
    pub address: SocketAddr,
}

/// The listeners of the roles of a process.
pub(super) struct Listeners {
    pub ingress: Option<Listener>,
    pub gateway: Option<Listener>,
    pub operations: Listener,
}

/// The bound addresses of a process.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub ingress: Option<SocketAddr>,
    pub gateway: Option<SocketAddr>,
    pub operations: SocketAddr,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings, roles: Roles) -> Result<Listeners, ServiceError> {
        let mut ingress = None;
        if roles.ingress {
            ingress = Some(bind("the ingress", settings.ingress.listen).await?);
        }
        let mut gateway = None;
        if roles.gateway {
            gateway = Some(bind("the gateway", settings.gateway.listen).await?);
        }
        let operations = bind("the operations listener", settings.operations.listen).await?;

        let listeners = Listeners {
            ingress,
            gateway,
            operations,
        };
        listeners.addresses().log();
        Ok(listeners)
    }

    pub(super) fn addresses(&self) -> Addresses {
        let address = |listener: &Option<Listener>| listener.as_ref().map(|one| one.address);

        Addresses {
            ingress: address(&self.ingress),
            gateway: address(&self.gateway),
            operations: self.operations.address,
        }
    }
}

impl Addresses {
    fn log(&self) {
        let text = |address: Option<SocketAddr>| match address {
            Some(address) => address.to_string(),
            None => "-".to_owned(),
        };

        tracing::info!(
            ingress = text(self.ingress),
            gateway = text(self.gateway),
            operations = %self.operations,
            "listening"
        );
    }
}

async fn bind(listener: &'static str, address: SocketAddr) -> Result<Listener, ServiceError> {
    let failed = |source| ServiceError::Bind {
        listener,
        address,
        source,
    };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;

    Ok(Listener { socket, address })
}
