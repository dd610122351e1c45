//! What the partitions of one process may have in hand together. A batch of a backlog takes some
//! ten kilobytes for each message until it is written; with a few of them under way both ends have
//! enough to do, and more would only take memory.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Messages in hand: two of the largest batches.
const MESSAGES_MAX: usize = 2 * super::BATCH_MESSAGES_MAX;
/// Batches of so many take next to nothing, and need no leave: what is reported now does not wait
/// for a backlog.
const SMALL_MESSAGES: usize = 256;
/// Nobody waits longer than this: whoever is in front may be held up by something that holds up
/// nobody else.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct InFlightLimit {
    free: Semaphore,
    patience: Duration,
}

impl Default for InFlightLimit {
    fn default() -> InFlightLimit {
        InFlightLimit {
            free: Semaphore::new(MESSAGES_MAX),
            patience: PATIENCE,
        }
    }
}

impl InFlightLimit {
    /// Waits until there is room for a batch; it is held until what is returned is dropped.
    pub(super) async fn acquire(&self, messages: usize) -> Option<SemaphorePermit<'_>> {
        if messages <= SMALL_MESSAGES {
            return None;
        }
        let all = u32::try_from(messages.min(MESSAGES_MAX)).unwrap_or(u32::MAX);
        tokio::time::timeout(self.patience, self.free.acquire_many(all))
            .await
            .ok()?
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn large_batches_wait_for_each_other_but_not_for_ever_and_small_ones_never() {
        let mut room = InFlightLimit::default();
        let first = room.acquire(MESSAGES_MAX - 1_000).await;
        assert!(
            first.is_some() && room.acquire(1_001).now_or_never().is_none(),
            "there is no room"
        );
        assert!(
            room.acquire(SMALL_MESSAGES).now_or_never().is_some(),
            "it needs none"
        );
        assert!(
            room.acquire(1_000)
                .now_or_never()
                .is_some_and(|room| room.is_some()),
            "there is just enough"
        );
        drop(first);
        assert!(
            room.acquire(MESSAGES_MAX + 1)
                .now_or_never()
                .is_some_and(|room| room.is_some()),
            "one that is larger than all has all"
        );
        room.patience = Duration::ZERO;
        let _first = room.acquire(MESSAGES_MAX).await;
        assert!(room.acquire(1_001).await.is_none(), "it goes on without");
    }
}
