//! The two stops of a process, and the messages to the service manager.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Time after the soft stop to work on what was received before it.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Time for a transaction under way after the hard stop.
const HARD_STOP_GRACE: Duration = Duration::from_millis(500);
/// Between two messages to the watchdog of the service manager.
const WATCHDOG_EVERY: Duration = Duration::from_secs(5);

/// The soft stop finishes work under way; the hard stop ends now.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub soft: CancellationToken,
    pub hard: CancellationToken,
}

impl Stop {
    /// The first call is a soft stop, the second a hard one.
    pub fn request(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        }
        self.soft.cancel();
    }

    /// Waits for work that ends only by an error. `None` after the soft stop, also when both came
    /// in the same moment.
    pub(super) async fn run_until_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let ended = tokio::select! {
            biased;
            () = self.soft.cancelled() => None,
            ended = work => Some(ended),
        };

        ended.filter(|_| !self.soft.is_cancelled())
    }

    /// Ends a moment after the hard stop.
    pub(super) async fn hard_stop_grace(&self) {
        self.hard.cancelled().await;
        tokio::time::sleep(HARD_STOP_GRACE).await;
    }

    /// Turns the soft stop into a hard one when the work takes too long.
    pub(super) async fn drain_deadline(self) {
        self.soft.cancelled().await;

        tokio::select! {
            () = tokio::time::sleep(DRAIN_MAX) => {
                tracing::warn!(
                    "not all received events have been processed; the rest follows at the next \
                     start"
                );
                self.hard.cancel();
            }
            () = self.hard.cancelled() => {}
        }
    }
}

pub(super) fn ready() {
    notify(NotifyState::Ready);
}

pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    // Without a service manager no process listens.
    let _ = sd_notify::notify(&[state]);
}

/// Tells the service manager that the process works, where it has a watchdog.
pub(super) fn watchdog() -> impl Fn() + Send {
    let is_enabled = sd_notify::watchdog_enabled().is_some();

    move || {
        if is_enabled {
            notify(NotifyState::Watchdog);
        }
    }
}

/// The same, again and again until the stop.
pub(super) async fn keep_watchdog(stop: CancellationToken) {
    let alive = watchdog();

    loop {
        alive();
        tokio::select! {
            () = tokio::time::sleep(WATCHDOG_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_after_the_stop_is_not_early() {
        let stop = Stop::default();
        let early = stop.run_until_stopped(async { "the worker" }).await;
        assert_eq!(early, Some("the worker"));

        let ends_with_the_stop = async {
            stop.request();
            "the worker"
        };
        assert_eq!(stop.run_until_stopped(ends_with_the_stop).await, None);
        let never_ends = std::future::pending::<()>();
        assert_eq!(stop.run_until_stopped(never_ends).await, None);
    }
}
