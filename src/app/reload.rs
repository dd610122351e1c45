//! SIGHUP: the access rules are read again. Settings with an error change nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{BadConfig, Settings};
use crate::ingress::Ingress;

/// Reads the settings again from their sources.
pub type Reread = Arc<dyn Fn() -> Result<Settings, BadConfig> + Send + Sync>;

/// Reloads at each SIGHUP until the stop. The ingress stays at `address`, its bound one.
pub(super) async fn reload(
    ingress: Arc<Ingress>,
    address: SocketAddr,
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

        let is_restricted = ingress.access.read().is_restricted();
        let reread =
            reread().and_then(|settings| settings.ingress.access_after(address, is_restricted));
        match reread {
            Ok(access) => {
                tracing::info!(
                    keys = access.keys.len(),
                    networks = access.networks.len(),
                    "keys, networks, proxies and denied devices reloaded; other settings change \
                     with a restart"
                );
                *ingress.access.write() = access;
            }
            Err(error) => {
                metrics::counter!("cordboard_reload_failures_total").increment(1);
                tracing::error!(%error, "settings cannot be reloaded; nothing changes");
            }
        }
    }
}
