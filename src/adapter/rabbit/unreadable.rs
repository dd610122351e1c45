//! Messages that end the connection that receives them: the AMQP library reads no property, header or
//! routing key that is not UTF-8, and the broker takes them from any program that may publish.
//!
//! The broker sets such a message aside after as many deliveries as its policy permits. Until then it
//! must cost no other message a delivery: each partition gets a connection of its own, and the one
//! with the message gets its messages one by one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::ErrorKind;
use parking_lot::Mutex;

/// What this process knows of such messages.
#[derive(Default)]
pub(super) struct Unreadable {
    /// A connection has ended that way.
    is_seen: AtomicBool,
    /// Partitions with such a message in front.
    partitions: Mutex<BTreeSet<u32>>,
}

impl Unreadable {
    pub(super) fn is_seen(&self) -> bool {
        self.is_seen.load(Ordering::Relaxed)
    }

    pub(super) fn is_in(&self, partition: u32) -> bool {
        self.partitions.lock().contains(&partition)
    }

    /// Notes an error of a consumer. Returns whether it comes from such a message. Only a partition
    /// that was alone on its connection is known to have it.
    pub(super) fn note(&self, error: &lapin::Error, partition: u32, is_alone: bool) -> bool {
        if !matches!(error.kind(), ErrorKind::ParsingError(_)) {
            return false;
        }

        self.is_seen.store(true, Ordering::Relaxed);
        metrics::counter!("cordboard_broker_unreadable_total").increment(1);
        if is_alone && self.partitions.lock().insert(partition) {
            tracing::error!(
                partition,
                "a message is no AMQP that can be read, the partition waits until the broker has \
                 set it aside: see the runbook, CordboardUnreadable"
            );
        }
        true
    }

    /// Another message was in front: the broker has set the one before aside.
    pub(super) fn has_gone(&self, partition: u32) {
        if self.partitions.lock().remove(&partition) {
            tracing::info!(
                partition,
                "the message that could not be read is set aside, the partition goes on"
            );
        }
    }
}
