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
        self.read_stored(passed).await?;
        self.health.set_up();
        backoff.reset();

        loop {
            let (partition, notification) = published.next().await?;
            self.pass_on(passed, partition, notification);
        }
    }

    /// Passes on what was stored since the cut. At the start it is the past: watchers that come back
    /// find it, and those that are there already read everything again.
    async fn read_stored(&self, passed: &mut Passed) -> Result<(), FeedError> {
        let last_numbers = self.log.last_numbers().await?;
        let recent = self.log.recent(STORED_READ_MAX).await?;

        // Of partitions that are not among the latest, all is read again, or is the past.
        for (partition, number) in last_numbers {
            if recent.iter().any(|(of, _)| *of == partition) {
                continue;
            }
            if passed.lacks_before(partition, number + 1) {
                self.begin_again(partition, number);
            }
            passed.partitions.entry(partition).or_default().last = number;
        }

        let is_past = !passed.has_begun;
        for (partition, notification) in recent {
            if is_past {
                let notification = passed.note(partition, notification);
                self.watchers.remember(notification);
            } else {
                self.pass_on(passed, partition, notification);
            }
        }
        if is_past {
            passed.has_begun = true;
            self.watchers.resync();
        }

        Ok(())
    }

    /// Notifications before this one are missing.
    fn begin_again(&self, partition: u32, number: u64) {
        tracing::info!(
            partition,
            sequence = number,
            "notifications are missing, watchers read all calls again"
        );
        self.watchers.forget();
        self.watchers.resync();
    }

    /// Passes a notification on unless it was before. A known number with another content is new:
    /// the database was restored to an earlier state.
    fn pass_on(&self, passed: &mut Passed, partition: u32, notification: Notification) {
        let number = notification.number;
        if passed.has(partition, &notification) {
            tracing::debug!(
                partition,
                sequence = number,
                "repeated notification dropped"
            );
            return;
        }
        if passed.lacks_before(partition, number) {
            self.begin_again(partition, number);
        }

        let notification = passed.note(partition, notification);
        self.watchers.pass_on(notification);
    }
}

impl Passed {
    /// Whether a notification was passed on.
    fn has(&self, partition: u32, notification: &Notification) -> bool {
        let number = notification.number;

        self.partitions.get(&partition).is_some_and(|passed| {
            number <= passed.last && passed.digests.get(&number) == Some(&digest_of(notification))
        })
    }

    /// Whether a notification before this one was not passed on.
    fn lacks_before(&self, partition: u32, number: u64) -> bool {
        match self.partitions.get(&partition) {
            Some(passed) => number > passed.last.saturating_add(1),
            None => self.has_begun && number > 1,
        }
    }

    /// Notes a notification as the last one of its partition. Returns it with its number for watchers.
    fn note(&mut self, partition: u32, notification: Notification) -> Notification {
        let number = notification.number;
        let passed = self.partitions.entry(partition).or_default();
        // One that comes late, around a take-over, is not the last.
        let is_late = number < passed.last && !passed.digests.contains_key(&number);
        if !is_late {
            passed.last = number;
        }
        passed.digests.insert(number, digest_of(&notification));
        passed
            .digests
            .remove(&number.saturating_sub(REMEMBERED_MAX));

        Notification {
            // A forged number is no reason to end the feed.
            number: number
                .saturating_mul(PARTITIONS_MAX)
                .saturating_add(u64::from(partition)),
            ..notification
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

    /// An event at the watchers, with its partition and number.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Heard {
        New(u64, u64),
        /// Only watchers that come back find it.
        Past(u64, u64),
        Forget,
        Resync,
    }
    use Heard::{Forget, New, Past, Resync};

    #[derive(Default)]
    struct Listeners(Mutex<Vec<Heard>>);

    impl Watchers for Listeners {
        fn pass_on(&self, Notification { number, .. }: Notification) {
            let heard = New(number % PARTITIONS_MAX, number / PARTITIONS_MAX);
            self.0.lock().push(heard);
        }

        fn remember(&self, Notification { number, .. }: Notification) {
            let past = Past(number % PARTITIONS_MAX, number / PARTITIONS_MAX);
            self.0.lock().push(past);
        }

        fn forget(&self) {
            self.0.lock().push(Forget);
        }

        fn resync(&self) {
            self.0.lock().push(Resync);
        }
    }

    /// Notifications of partitions, by their numbers; after them the broker is away.
    struct Numbers(VecDeque<(u32, u64)>);

    #[async_trait]
    impl NotificationLog for Numbers {
        async fn recent(&self, _: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
            // That of partition 9 is older than all others.
            let recent = self.0.iter().filter(|(partition, _)| *partition != 9);
            Ok(recent.copied().map(notification).collect())
        }

        async fn last_numbers(&self) -> Result<Vec<(u32, u64)>, LedgerError> {
            let last: HashMap<u32, u64> = self.0.iter().copied().collect();
            Ok(last.into_iter().collect())
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

    /// The events at the watchers of one subscription after another, each with stored notifications
    /// and published ones.
    async fn heard(subscriptions: &[[&[(u32, u64)]; 2]]) -> Vec<Heard> {
        let watchers = Arc::new(Listeners::default());
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
            Past(0, 7),
            Past(1, 3),
            Resync,
            New(0, 8),
            New(1, 4),
            New(1, 5),
            New(0, 9),
            New(1, 6),
            New(2, 1),
        ];
        assert_eq!(heard.await, expected);
    }

    #[tokio::test]
    async fn one_that_comes_late_is_passed_on_and_none_is_missing_after_it() {
        let heard = heard(&[[&[(0, 7)], &[(0, 9), (0, 8), (0, 10)]]]).await;

        let expected = [
            Past(0, 7),
            Resync,
            Forget,
            Resync,
            New(0, 9),
            New(0, 8),
            New(0, 10),
        ];
        assert_eq!(heard, expected);
    }

    #[tokio::test]
    async fn watchers_read_all_calls_again_where_notifications_are_missing() {
        let first: [&[(u32, u64)]; 2] = [&[(0, 7), (1, 3)], &[]];
        let begin = [Past(0, 7), Past(1, 3), Resync];

        for (then, expected) in [
            // More was stored during the cut than is read back.
            (
                &[(0, 9), (0, 10)],
                vec![Forget, Resync, New(0, 9), New(0, 10)],
            ),
            (
                &[(0, 8), (1, 5)],
                vec![New(0, 8), Forget, Resync, New(1, 5)],
            ),
            // A partition that had none before.
            (
                &[(0, 8), (2, 2)],
                vec![New(0, 8), Forget, Resync, New(2, 2)],
            ),
            // Nothing of a partition is read back.
            (&[(0, 8), (9, 1)], vec![Forget, Resync, New(0, 8)]),
        ] {
            let heard = heard(&[first, [then, &[]]]).await;
            assert_eq!(heard, [&begin[..], &expected[..]].concat());
        }
    }
}
