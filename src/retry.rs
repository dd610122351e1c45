//! The one policy for repeated attempts: exponential back-off with jitter, and an end when the stop
//! comes first.
//!
//! With jitter, a hundred processes that lost the same server do not come back in the same instant.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// The longest delay before jitter, which at most doubles it: after an outage every dependency is
/// tried again within five seconds.
const DELAY_MAX: Duration = Duration::from_millis(2_500);
/// Time for a connection that is being opened when the process is asked to leave.
const LEAVING_OPEN_MAX: Duration = Duration::from_secs(2);

/// Delays between attempts, from `first` up to a limit.
pub struct Backoff {
    first: Duration,
    delays: ExponentialBackoff,
    next: Duration,
}

impl Backoff {
    #[must_use]
    pub fn from(first: Duration) -> Backoff {
        let mut delays = delays_from(first);
        let next = delays.next().unwrap_or(first);

        Backoff {
            first,
            delays,
            next,
        }
    }

    /// The delay before the next attempt.
    #[must_use]
    pub fn next_delay(&self) -> Duration {
        self.next
    }

    /// After a success: the next delay is a first one again.
    pub fn reset(&mut self) {
        *self = Backoff::from(self.first);
    }

    /// Waits for the next attempt. Returns false when the stop came first.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = tokio::time::sleep(self.next) => {}
            () = stop.cancelled() => return false,
        }

        self.next = self.delays.next().unwrap_or(DELAY_MAX);
        true
    }
}

/// The moment at which a connection that is being opened comes too late: a while after the process
/// was asked to leave. What waits for it is stored, and follows after the next start.
pub async fn opens_too_late(leaving: &CancellationToken) {
    leaving.cancelled().await;
    tokio::time::sleep(LEAVING_OPEN_MAX).await;
}

fn delays_from(first: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(DELAY_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_differ_between_processes() {
        let first = Duration::from_millis(100);
        let delays: Vec<_> = delays_from(first).take(12).collect();

        assert!(delays[0] >= first && delays[0] <= 2 * first, "{delays:?}");
        assert!(
            delays[8..]
                .iter()
                .all(|delay| (DELAY_MAX..=2 * DELAY_MAX).contains(delay)),
            "{delays:?}"
        );
        let others: Vec<_> = (0..20).map(|_| Backoff::from(first).next_delay()).collect();
        assert!(others.iter().any(|other| *other != others[0]), "{others:?}");
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait() {
        let stop = CancellationToken::new();
        stop.cancel();

        assert!(!Backoff::from(Duration::from_secs(1)).wait(&stop).await);
    }
}
