//! Names of exchanges, queues and routing keys. Other programs rely on them: their meaning never
//! changes.

use crate::domain::fact::Kind;
use crate::wire::partition::Layout;

/// The exchange of phones' events.
pub(super) const EVENTS: &str = "grandstream";
/// Messages that the broker gives up.
pub(super) const DEAD_EXCHANGE: &str = "grandstream.dlx";
pub(super) const DEAD_QUEUE: &str = "grandstream-queue.dead";
/// The exchange of notifications.
pub(super) const CALLS: &str = "cordboard.calls";
/// Keys of reports, of phones and of other programs.
pub(super) const REPORT_KEYS: [&str; 2] = ["call.#", "device.#"];
/// Receives everything with a key of [`REPORT_KEYS`]. What has the key of a partition is an event of
/// a phone, and leads to [`ROUTED`]; the rest goes to [`FOREIGN`].
pub(super) const PLAIN: &str = "grandstream.plain";
/// Leads nowhere: its messages are in the queue of their partition.
pub(super) const ROUTED: &str = "grandstream.routed";
/// Messages of other programs, for the first partition.
pub(super) const FOREIGN: &str = "grandstream.foreign";
/// An empty queue that every worker consumes, so that the broker knows their number.
pub(super) const WORKERS: &str = "cordboard.workers";
/// An empty queue whose greatest length is the number of partitions: the broker refuses to declare
/// it with another one.
const PARTITIONS: &str = "cordboard.partitions";
pub(super) const APP_ID: &str = "cordboard";

impl Layout {
    /// The queue of a partition.
    #[must_use]
    pub fn queue(self, partition: u32) -> String {
        format!("grandstream-queue.{}", self.partition_name(partition))
    }

    /// The queue that holds the number of partitions.
    pub(super) fn partitions_queue(self) -> String {
        if self.generation <= 1 {
            PARTITIONS.to_owned()
        } else {
            format!("{PARTITIONS}.g{}", self.generation)
        }
    }

    /// The keys of all events of a partition.
    pub(super) fn event_keys(self, partition: u32) -> [String; 2] {
        ["call", "device"].map(|topic| format!("{topic}.*.{}", self.partition_name(partition)))
    }

    pub(super) fn event_key(self, kind: Kind, partition: u32) -> String {
        format!("{}.{}", topic_key(kind), self.partition_name(partition))
    }

    /// The key of messages for one partition alone: ticks, and events that were published to
    /// another partition first.
    pub(super) fn own_key(self, partition: u32) -> String {
        format!("tick.{}", self.partition_name(partition))
    }
}

/// The key of an event as programs know it that know no partitions.
pub(super) fn topic_key(kind: Kind) -> String {
    let topic = if matches!(kind, Kind::Device(_)) {
        "device"
    } else {
        "call"
    };

    format!("{topic}.{}", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::DeviceState;

    #[test]
    fn names_are_the_documented_ones() {
        let first = Layout {
            generation: 1,
            partitions: 16,
        };
        assert_eq!(
            (first.queue(3), first.event_key(Kind::Incoming, 3)),
            ("grandstream-queue.p03".into(), "call.incoming.p03".into())
        );
        assert_eq!(
            first.event_key(Kind::Device(DeviceState::DndOn), 12),
            "device.dnd_on.p12"
        );
        let second = Layout {
            generation: 2,
            partitions: 24,
        };
        assert_eq!(
            (second.queue(3), second.event_key(Kind::Missed, 3)),
            (
                "grandstream-queue.g2.p03".into(),
                "call.missed.g2.p03".into()
            )
        );
    }
}
