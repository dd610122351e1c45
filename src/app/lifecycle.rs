//! Beginning and ending: what the service manager is told, and the two ways to stop.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// How long the worker may take after the stop to read what was received before it.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a transaction under way may take after the hard stop.
const GRACE: Duration = Duration::from_millis(500);

/// Two wishes: finish what is under way and end; end now.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub soft: CancellationToken,
    pub hard: CancellationToken,
}

impl Stop {
    /// The first call asks to finish, the second to end now.
    pub fn ask(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        }
        self.soft.cancel();
    }

    /// A moment after the hard stop.
    pub(super) async fn grace_is_over(&self) {
        self.hard.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    /// After the soft stop: waits for so long, then stops hard.
    pub(super) async fn lose_patience(self) {
        self.soft.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(DRAIN) => {
                tracing::warn!("not everything received has been worked on; the rest follows at the next start");
                self.hard.cancel();
            }
            () = self.hard.cancelled() => {}
        }
    }
}

pub(super) fn ready() {
    // Without a service manager there is nobody to tell.
    let _told = sd_notify::notify(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    let _told = sd_notify::notify(&[NotifyState::Stopping]);
}

/// Tells the service manager that the process works, if it asked to be told.
pub(super) fn watchdog() -> impl Fn() + Send {
    let asked = sd_notify::watchdog_enabled().is_some();
    move || {
        if asked {
            let _told = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }
}
