//! Names other programs rely on: exchanges, queues, routing keys. They never change their meaning.

use crate::domain::fact::{Kind, Site};
use crate::wire::partition::partition_of;

/// Events of phones.
pub(super) const EVENTS: &str = "grandstream";
/// What the broker gives up.
pub(super) const DEAD_EXCHANGE: &str = "grandstream.dlx";
pub(super) const DEAD_QUEUE: &str = "grandstream-queue.dead";
/// What became of calls, for other programs.
pub(super) const CALLS: &str = "cordboard.calls";
/// What other programs publish has no partition in its key; the first partition sees to it.
pub(super) const FOREIGN_KEYS: [&str; 2] = ["call.*", "device.*"];
/// Nothing is ever in it: every worker reads it, so the broker can say how many there are.
pub(super) const WORKERS: &str = "cordboard.workers";
pub(super) const APP_ID: &str = "cordboard";

/// How sites are spread over queues. Another number of partitions is another generation, with
/// queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub generation: u32,
    pub partitions: u32,
}

impl Layout {
    /// The name of a partition: `p03`, and `g2.p03` from the second generation on.
    #[must_use]
    pub fn partition_name(self, part: u32) -> String {
        if self.generation <= 1 {
            format!("p{part:02}")
        } else {
            format!("g{}.p{part:02}", self.generation)
        }
    }

    #[must_use]
    pub fn queue(self, part: u32) -> String {
        format!("grandstream-queue.{}", self.partition_name(part))
    }

    #[must_use]
    pub fn partition_of(self, site: &Site) -> u32 {
        partition_of(site, self.partitions)
    }

    /// The keys of everything a partition holds.
    pub(super) fn bindings(self, part: u32) -> [String; 3] {
        ["call", "device", "tick"].map(|topic| match topic {
            "tick" => format!("tick.{}", self.partition_name(part)),
            _ => format!("{topic}.*.{}", self.partition_name(part)),
        })
    }

    pub(super) fn event_key(self, kind: Kind, part: u32) -> String {
        let topic = if matches!(kind, Kind::Device(_)) {
            "device"
        } else {
            "call"
        };
        format!("{topic}.{}.{}", kind.name(), self.partition_name(part))
    }

    /// Of what concerns one partition and nobody else: promises, and what was published where it
    /// does not belong, and has been heard there.
    pub(super) fn own_key(self, part: u32) -> String {
        format!("tick.{}", self.partition_name(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::DeviceState;

    #[test]
    fn names_are_those_that_others_bind_to() {
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
