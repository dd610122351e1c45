//! SIGHUP: who may report is read again. What cannot be read changes nothing.

use std::sync::{Arc, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{BadConfig, Settings};
use crate::ingress::Ingress;

/// Reads the settings again, from wherever they were read at first.
pub type Reread = Arc<dyn Fn() -> Result<Settings, BadConfig> + Send + Sync>;

pub(super) async fn reload(ingress: Arc<Ingress>, reread: Reread, stop: CancellationToken) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            _ = hangups.recv() => {}
            () = stop.cancelled() => return,
        }
        match reread().and_then(|settings| settings.ingress.access()) {
            Ok(access) => {
                *ingress.access.write().unwrap_or_else(PoisonError::into_inner) = access;
                tracing::info!("keys, networks, proxies and denied devices were read again; other settings change with a restart");
            }
            Err(error) => {
                metrics::counter!("cordboard_reload_failures_total").increment(1);
                tracing::error!(%error, "the settings cannot be read again; everything stays as it was");
            }
        }
    }
}
