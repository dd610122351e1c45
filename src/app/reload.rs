//! SIGHUP: who may report is read again. What cannot be read changes nothing.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{BadConfig, Settings};
use crate::ingress::Ingress;

/// Reads the settings again, from wherever they were read at first.
pub type Reread = Arc<dyn Fn() -> Result<Settings, BadConfig> + Send + Sync>;

/// `listening` is where phones reach us, whatever the settings say now.
pub(super) async fn reload(
    ingress: Arc<Ingress>,
    listening: SocketAddr,
    reread: Reread,
    stop: CancellationToken,
) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        return stop.cancelled().await;
    };
    loop {
        tokio::select! {
            _ = hangups.recv() => {}
            () = stop.cancelled() => return,
        }
        match reread().and_then(|settings| settings.ingress.access_at(listening)) {
            Ok(access) => {
                let (keys, networks) = (access.keys.len(), access.networks.len());
                *ingress
                    .access
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = access;
                tracing::info!(
                    keys,
                    networks,
                    "keys, networks, proxies and denied devices were read again; other settings change with a restart"
                );
            }
            Err(error) => {
                metrics::counter!("cordboard_reload_failures_total").increment(1);
                tracing::error!(%error, "the settings cannot be read again; everything stays as it was");
            }
        }
    }
}
