//! Notifications of all partitions for a gateway: from the broker as they are published, and from
//! the database when the gateway begins or was cut off. A notification that is published twice
//! after a crash is passed on once. Where one is missing, because more were stored meanwhile than are
//! read back, all watchers read everything again.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;
use crate::health::HealthCheck;
use crate::port::broker::{BrokerError, NotificationFeed, NotificationStream};
use crate::port::ledger::LedgerError;
use crate::port::outbox::{Notification, NotificationLog};
use crate::port::watch::Watchers;
use crate::retry::Backoff;

/// Notifications read back at the start, for watchers that were away.
const STORED_READ_MAX: u32 = 1_000;
/// Notifications of a partition that are remembered to recognise repetitions.
const REMEMBERED_MAX: u64 = 4_096;
/// The low part of a watcher's number is the partition.
const PARTITIONS_MAX: u64 = 1_024;
const RECONNECT_FIRST: Duration = Duration::from_millis(500);

/// Feeds the watchers of one gateway.
pub struct Feed {
    pub broker: Arc<dyn NotificationFeed>,
    pub log: Arc<dyn NotificationLog>,
    pub watchers: Arc<dyn Watchers>,
    pub health: HealthCheck,
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The notifications that were passed on.
#[derive(Default)]
struct Passed {
    partitions: HashMap<u32, PassedPartition>,
    /// Stored notifications were read once: no partition has earlier ones.
    has_begun: bool,
}

/// The notifications of one partition that were passed on.
#[derive(Default)]
struct PassedPartition {
    last: u64,
    /// Digests of the latest ones, by number.
    digests: HashMap<u64, u64>,
}

impl Feed {
    /// Passes notifications on until the stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut passed = Passed::default();
        let mut backoff = Backoff::from(RECONNECT_FIRST);

        loop {
            let ended = tokio::select! {
                ended = self.run_subscription(&mut passed, &mut backoff) => ended,
                () = stop.cancelled() => return,
            };
            if let Err(error) = ended {
                self.health.set_down(&Chain(&error).to_string());
                self.broker.avoid_node();
            }
            if !backoff.wait(&stop).await {
                return;
            }
        }
    }

    async fn run_subscription(
        &self,
        passed: &mut Passed,
        backoff: &mut Backoff,
    ) -> Result<(), FeedError> {
        // The subscription begins before stored notifications are read: none falls in between.
        let mut published = self.broker.subscribe().await?;
        let ended = self.follow(&mut *published, passed, backoff).await;
        published.close().await;

        ended
    }

    /// Passes on the latest stored notifications, then published ones until an error.
    async fn follow(
        &self,
        published: &mut dyn NotificationStream,
        passed: &mut Passed,
        backoff: &mut Backoff,
    ) -> Result<(), FeedError> {
        for (partition, notification) in self.log.recent(STORED_READ_MAX).await? {
            self.pass_on(passed, partition, notification);
        }
        passed.has_begun = true;
        self.health.set_up();
        backoff.reset();

        loop {
            let (partition, notification) = published.next().await?;
            self.pass_on(passed, partition, notification);
        }
    }

    /// Passes a notification on unless it was before. A known number with another content is new:
    /// the database was restored to an earlier state.
    fn pass_on(&self, passed: &mut Passed, partition: u32, notification: Notification) {
        let number = notification.number;
        if passed.lacks_before(partition, number) {
            tracing::info!(
                partition,
                sequence = number,
                "notifications are missing: all is read again"
            );
            self.watchers.resync();
        }
        let passed = passed.partitions.entry(partition).or_default();
        let digest = digest_of(&notification);
        if number <= passed.last && passed.digests.get(&number) == Some(&digest) {
            tracing::debug!(
                partition,
                sequence = number,
                "repeated notification dropped"
            );
            return;
        }

        passed.last = number;
        passed.digests.insert(number, digest);
        passed
            .digests
            .remove(&number.saturating_sub(REMEMBERED_MAX));

        self.watchers.pass_on(Notification {
            // A forged number is no reason to end the feed.
            number: number
                .saturating_mul(PARTITIONS_MAX)
                .saturating_add(u64::from(partition)),
            ..notification
        });
    }
}

impl Passed {
    /// Whether a notification before this one was not passed on.
    fn lacks_before(&self, partition: u32, number: u64) -> bool {
        match self.partitions.get(&partition) {
            Some(passed) => number > passed.last.saturating_add(1),
            None => self.has_begun && number > 1,
        }
    }
}

fn digest_of(notification: &Notification) -> u64 {
    let content = (notification.call.0, notification.kind, &*notification.data);

    FixedState::default().hash_one(content)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::domain::fact::EventId;
    use crate::domain::notice::NoticeKind;

    /// What watchers hear: partition and number, or `None` when they read all calls again.
    #[derive(Default)]
    struct Heard(Mutex<Vec<Option<(u64, u64)>>>);

    impl Watchers for Heard {
        fn pass_on(&self, notification: Notification) {
            let number = notification.number;
            let heard = (number % PARTITIONS_MAX, number / PARTITIONS_MAX);
            self.0.lock().push(Some(heard));
        }

        fn resync(&self) {
            self.0.lock().push(None);
        }
    }

    /// Notifications of partitions, by their numbers; after them the broker is away.
    struct Numbers(VecDeque<(u32, u64)>);

    #[async_trait]
    impl NotificationLog for Numbers {
        async fn recent(&self, _: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
            Ok(self.0.iter().copied().map(notification).collect())
        }
    }

    #[async_trait]
    impl NotificationStream for Numbers {
        async fn next(&mut self) -> Result<(u32, Notification), BrokerError> {
            let next = self.0.pop_front().map(notification);

            next.ok_or_else(|| BrokerError::unavailable("the broker is away"))
        }

        async fn close(self: Box<Self>) {}
    }

    #[async_trait]
    impl NotificationFeed for Numbers {
        async fn subscribe(&self) -> Result<Box<dyn NotificationStream>, BrokerError> {
            Ok(Box::new(Numbers(self.0.clone())))
        }

        fn avoid_node(&self) {}
    }

    fn notification((partition, number): (u32, u64)) -> (u32, Notification) {
        let notification = Notification {
            number,
            kind: NoticeKind::Ended,
            call: EventId(1),
            data: format!("{{\"number\":{number}}}").into(),
        };

        (partition, notification)
    }

    /// What watchers hear of one subscription after another, each with stored notifications and
    /// published ones.
    async fn heard(subscriptions: &[[&[(u32, u64)]; 2]]) -> Vec<Option<(u64, u64)>> {
        let watchers = Arc::new(Heard::default());
        let mut passed = Passed::default();

        for [stored, published] in subscriptions {
            let numbers = |numbers: &[(u32, u64)]| Numbers(numbers.iter().copied().collect());
            let feed = Feed {
                broker: Arc::new(numbers(published)),
                log: Arc::new(numbers(stored)),
                watchers: Arc::clone(&watchers) as _,
                health: HealthCheck::pending("feed"),
            };
            let mut backoff = Backoff::from(RECONNECT_FIRST);
            let ended = feed.run_subscription(&mut passed, &mut backoff).await;
            assert!(matches!(ended, Err(FeedError::Broker(_))));
        }

        watchers.0.lock().clone()
    }

    #[tokio::test]
    async fn each_notification_is_passed_on_once_over_a_cut() {
        let heard = heard(&[
            [&[(0, 7), (1, 3)], &[(1, 3), (0, 8), (1, 4)]],
            [&[(0, 8), (1, 4), (1, 5), (0, 9)], &[(0, 9), (1, 6), (2, 1)]],
        ]);

        let expected = [
            (0, 7),
            (1, 3),
            (0, 8),
            (1, 4),
            (1, 5),
            (0, 9),
            (1, 6),
            (2, 1),
        ];
        assert_eq!(heard.await, expected.map(Some));
    }

    #[tokio::test]
    async fn watchers_read_all_calls_again_where_notifications_are_missing() {
        let first: [&[(u32, u64)]; 2] = [&[(0, 7), (1, 3)], &[]];
        let begin = [Some((0, 7)), Some((1, 3))];

        for (then, expected) in [
            // More was stored during the cut than is read back.
            (&[(0, 9), (0, 10)], [None, Some((0, 9)), Some((0, 10))]),
            // Of a partition only the latest one is read back.
            (&[(0, 8), (1, 5)], [Some((0, 8)), None, Some((1, 5))]),
            // A partition that had none before.
            (&[(0, 8), (2, 2)], [Some((0, 8)), None, Some((2, 2))]),
        ] {
            let heard = heard(&[first, [then, &[]]]).await;
            assert_eq!(heard, [&begin[..], &expected].concat());
        }
    }
}
