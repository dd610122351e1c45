//! Messages that end the connection that receives them: the AMQP library reads no property, header or
//! routing key that is not UTF-8, and the broker takes them from any program that may publish.
//!
//! The broker sets such a message aside after as many deliveries as its policy permits. Until then it
//! must cost no other message a delivery: each partition gets a connection of its own, and the one
//! with the message gets its messages one by one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::ErrorKind;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Messages come one by one for so long after a connection was ended.
const CAUTION: Duration = Duration::from_secs(30);

/// The knowledge of this process about such messages.
#[derive(Default)]
pub(super) struct Unreadable {
    /// A connection has ended that way.
    is_seen: AtomicBool,
    /// Partitions with such a message among the next ones, and when it ended a connection last.
    partitions: Mutex<BTreeMap<u32, Instant>>,
}

impl Unreadable {
    pub(super) fn is_seen(&self) -> bool {
        self.is_seen.load(Ordering::Relaxed)
    }

    pub(super) fn is_in(&self, partition: u32) -> bool {
        self.partitions.lock().contains_key(&partition)
    }

    /// Notes an error of a consumer. Returns whether it comes from such a message. Only a partition
    /// that was alone on its connection is known to have it.
    pub(super) fn note(&self, error: &lapin::Error, partition: u32, is_alone: bool) -> bool {
        if !matches!(error.kind(), ErrorKind::ParsingError(_)) {
            return false;
        }

        self.is_seen.store(true, Ordering::Relaxed);
        metrics::counter!("cordboard_broker_unreadable_total").increment(1);
        let mut partitions = self.partitions.lock();
        if is_alone && partitions.insert(partition, Instant::now()).is_none() {
            tracing::error!(
                partition,
                "a message is no AMQP that can be read, the partition waits until the broker has \
                 set it aside: see the runbook, CordboardUnreadable"
            );
        }
        true
    }

    /// Notes a message that was read. It may have stood in front of the other one, which has gone when it
    /// ends no connection for a while.
    pub(super) fn note_read(&self, partition: u32) {
        let mut partitions = self.partitions.lock();
        let has_gone = partitions
            .get(&partition)
            .is_some_and(|ended_at| ended_at.elapsed() >= CAUTION);

        if has_gone {
            partitions.remove(&partition);
            tracing::info!(
                partition,
                "the message that could not be read is set aside, the partition goes on"
            );
        }
    }
}
