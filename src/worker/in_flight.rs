//! Process-wide limit on messages being processed (backpressure). After an outage a batch is large: each
//! message takes some ten kilobytes until it is committed. A few batches keep the broker and the database
//! busy; more would only take memory.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::port::intake::Delivery;

/// A message counts once for so many of its bytes. An ordinary one counts once, the longest eight
/// times.
const COUNTED_BYTES: usize = 2 << 10;
/// Messages in flight: two of the largest batches.
const MESSAGES_MAX: usize = 2 * super::BATCH_MESSAGES_MAX;
/// Smaller batches take little memory and need no permit: live events do not wait for a backlog.
const SMALL_MESSAGES: usize = 256;
/// A batch waits no longer than this: the one before it may be held up for a reason of its own.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Shared by the partitions of a process.
pub struct InFlightLimit {
    free: Semaphore,
    wait_max: Duration,
}

impl Default for InFlightLimit {
    fn default() -> InFlightLimit {
        InFlightLimit {
            free: Semaphore::new(MESSAGES_MAX),
            wait_max: WAIT_MAX,
        }
    }
}

impl InFlightLimit {
    /// Waits for a permit for a batch; the permit lasts until it is dropped.
    pub(super) async fn acquire_for(&self, batch: &[Delivery]) -> Option<SemaphorePermit<'_>> {
        let counts = batch.iter().map(|delivery| counts(delivery.message.len()));

        self.acquire(counts.sum()).await
    }

    async fn acquire(&self, messages: usize) -> Option<SemaphorePermit<'_>> {
        if messages <= SMALL_MESSAGES {
            return None;
        }

        let permits = u32::try_from(messages.min(MESSAGES_MAX)).unwrap_or(u32::MAX);
        let acquired = tokio::time::timeout(self.wait_max, self.free.acquire_many(permits));

        acquired.await.ok()?.ok()
    }
}

/// How often a message counts.
fn counts(bytes: usize) -> usize {
    bytes.div_ceil(COUNTED_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn large_batches_wait_for_each_other_within_limits_and_small_ones_do_not() {
        let mut limit = InFlightLimit::default();
        let first = limit.acquire(MESSAGES_MAX - 1_000).await;
        assert!(
            first.is_some() && limit.acquire(1_001).now_or_never().is_none(),
            "no permit is free"
        );
        assert!(
            limit.acquire(SMALL_MESSAGES).now_or_never().is_some(),
            "a small batch needs none"
        );
        assert!(
            limit
                .acquire(1_000)
                .now_or_never()
                .is_some_and(|permit| permit.is_some()),
            "just enough are free"
        );
        drop(first);
        assert!(
            limit
                .acquire(MESSAGES_MAX + 1)
                .now_or_never()
                .is_some_and(|permit| permit.is_some()),
            "a batch that is larger than the limit takes all"
        );
        limit.wait_max = Duration::ZERO;
        let _first = limit.acquire(MESSAGES_MAX).await;
        assert!(
            limit.acquire(1_001).await.is_none(),
            "the batch goes on without"
        );
    }

    #[tokio::test]
    async fn long_messages_count_more_than_once() {
        let limit = InFlightLimit::default();
        let batch = |messages: usize, bytes: usize| -> Vec<Delivery> {
            (0..messages).map(|_| vec![0; bytes].into()).collect()
        };

        let _ordinary = limit.acquire_for(&batch(1_000, 700)).await.unwrap();
        assert_eq!(limit.free.available_permits(), MESSAGES_MAX - 1_000);

        let _long = limit.acquire_for(&batch(100, 16 << 10)).await.unwrap();
        assert_eq!(limit.free.available_permits(), MESSAGES_MAX - 1_800);
    }
}
