//! Waiting before something that is away is asked again: a little longer every time, and never once
//! the stop was asked for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long to wait next.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    pub next: Duration,
}

impl BackOff {
    /// Waits so long the first time.
    #[must_use]
    pub fn from(first: Duration) -> BackOff {
        BackOff { next: first }
    }

    /// Waits. Returns whether to ask again: not when the stop came first.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = tokio::time::sleep(self.next) => {}
            () = stop.cancelled() => return false,
        }
        self.next = (self.next * 2).min(WAIT_MAX);
        true
    }
}
