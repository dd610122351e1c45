//! Notifications of all partitions for a gateway: from the broker as they are published, and from
//! the database when the gateway begins or was cut off. A notification that is published twice
//! after a crash is passed on once.

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
use crate::port::outbox::{Notification, NotificationLog, Outbox};
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
    pub watchers: Arc<dyn Outbox>,
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

/// The notifications of one partition that were passed on.
#[derive(Default)]
struct Passed {
    last: u64,
    /// Digests of the latest ones, by number.
    digests: HashMap<u64, u64>,
}

impl Feed {
    /// Passes notifications on until the stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut passed: HashMap<u32, Passed> = HashMap::new();
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
        passed: &mut HashMap<u32, Passed>,
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
        passed: &mut HashMap<u32, Passed>,
        backoff: &mut Backoff,
    ) -> Result<(), FeedError> {
        for (partition, notification) in self.log.recent(STORED_READ_MAX).await? {
            self.pass_on(passed, partition, notification);
        }
        self.health.set_up();
        backoff.reset();

        loop {
            let (partition, notification) = published.next().await?;
            self.pass_on(passed, partition, notification);
        }
    }

    /// Passes a notification on unless it was before. A known number with another content is new:
    /// the database was restored to an earlier state.
    fn pass_on(
        &self,
        passed: &mut HashMap<u32, Passed>,
        partition: u32,
        notification: Notification,
    ) {
        let passed = passed.entry(partition).or_default();
        let number = notification.number;
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

        self.watchers.enqueue(vec![Notification {
            // A forged number is no reason to end the feed.
            number: number
                .saturating_mul(PARTITIONS_MAX)
                .saturating_add(u64::from(partition)),
            ..notification
        }]);
    }
}

fn digest_of(notification: &Notification) -> u64 {
    let content = (notification.call.0, notification.kind, &*notification.data);

    FixedState::default().hash_one(content)
}
