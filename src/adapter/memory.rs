//! Fan-out of notifications within one process.
//!
//! The last 1,024 notifications are buffered for watchers that reconnect. A watcher that missed
//! more, or falls further behind, receives `resync` and reads all calls again.

use std::collections::VecDeque;

use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::port::outbox::{Notification, Outbox};
use crate::port::watch::{Watch, WatchEvent, Watchers};

/// Notifications buffered for watchers that reconnect; also how far behind a watcher may fall
/// before it has to start over.
const BUFFERED_MAX: usize = 1_024;

/// Passes notifications from the worker to the gateway.
#[derive(Debug)]
pub struct MemoryOutbox {
    /// Notifications up to the last received one that are sent again.
    overlap: usize,
    sender: broadcast::Sender<WatchEvent>,
    recent: Mutex<RecentNotifications>,
}

/// The latest notifications, the oldest first.
#[derive(Debug, Default)]
struct RecentNotifications {
    last_number: u64,
    /// The number of the notification before the first one; `None` if it is unknown.
    before_first: Option<u64>,
    notifications: VecDeque<Notification>,
}

/// Missed and future notifications of one watcher.
pub struct WatcherSubscription {
    /// Notifications after the last one that the watcher received.
    pub missed: Vec<Notification>,
    /// False when some missed notifications are no longer buffered: the watcher must read all calls
    /// again.
    pub complete: bool,
    pub events: broadcast::Receiver<WatchEvent>,
}

impl Default for MemoryOutbox {
    fn default() -> Self {
        MemoryOutbox {
            overlap: 0,
            sender: broadcast::Sender::new(BUFFERED_MAX),
            recent: Mutex::new(RecentNotifications {
                before_first: Some(0),
                ..RecentNotifications::default()
            }),
        }
    }
}

impl MemoryOutbox {
    /// Continues the numbering of an earlier process, with its latest notifications.
    #[must_use]
    pub fn resume_after_number(last_number: u64, notifications: Vec<Notification>) -> MemoryOutbox {
        let before_first = notifications
            .first()
            .map_or(last_number, |first| first.number.saturating_sub(1));
        let recent = RecentNotifications {
            last_number,
            before_first: Some(before_first),
            notifications: notifications.into(),
        };

        MemoryOutbox {
            overlap: 0,
            sender: broadcast::Sender::new(BUFFERED_MAX),
            recent: Mutex::new(recent),
        }
    }

    /// Sends `overlap` notifications again to each watcher that reconnects. Notifications of
    /// several workers arrive at each gateway in a slightly different order, so the number alone
    /// does not say which of them a watcher has received, nor which one comes before another.
    #[must_use]
    pub fn with_overlap(self, overlap: usize) -> MemoryOutbox {
        self.recent.lock().before_first = None;

        MemoryOutbox { overlap, ..self }
    }

    /// Subscribes to all future notifications, and to the buffered ones after `last_received`.
    #[must_use]
    pub fn subscribe(&self, last_received: Option<u64>) -> WatcherSubscription {
        // Under the lock no notification is sent, so none falls between the buffer and the
        // receiver.
        let recent = self.recent.lock();
        let events = self.sender.subscribe();

        let Some(last_received) = last_received else {
            return WatcherSubscription {
                missed: Vec::new(),
                complete: true,
                events,
            };
        };

        match recent.first_missed(last_received, self.overlap) {
            Some(index) => WatcherSubscription {
                missed: recent.notifications.iter().skip(index).cloned().collect(),
                complete: true,
                events,
            },
            None => WatcherSubscription {
                missed: Vec::new(),
                complete: false,
                events,
            },
        }
    }
}

impl RecentNotifications {
    fn add(&mut self, notification: Notification) {
        self.last_number = notification.number;
        if self.notifications.len() >= BUFFERED_MAX {
            let first = self.notifications.pop_front();
            let known = self.before_first.and(first);
            self.before_first = known.map(|first| first.number);
        }
        self.notifications.push_back(notification);
    }

    /// Returns the index of the first notification that a watcher missed, or `None` when that one
    /// is no longer buffered or the number is unknown.
    fn first_missed(&self, last_received: u64, overlap: usize) -> Option<usize> {
        let index = self
            .notifications
            .iter()
            .rposition(|notification| notification.number == last_received);
        if let Some(index) = index {
            return Some((index + 1).saturating_sub(overlap));
        }

        (self.before_first == Some(last_received)).then_some(0)
    }
}

impl Outbox for MemoryOutbox {
    fn published_up_to(&self) -> u64 {
        // All watchers live in this process, so a notification is published when it is enqueued.
        self.recent.lock().last_number
    }

    fn enqueue(&self, notifications: Vec<Notification>) {
        for notification in notifications {
            self.pass_on(notification);
        }
    }
}

impl Watchers for MemoryOutbox {
    fn pass_on(&self, notification: Notification) {
        let mut recent = self.recent.lock();
        recent.add(notification.clone());

        // The send fails only without watchers, which is a normal state.
        let _ = self.sender.send(watch_event(notification));
    }

    fn remember(&self, notification: Notification) {
        self.recent.lock().add(notification);
    }

    fn forget(&self) {
        let mut recent = self.recent.lock();
        recent.before_first = None;
        recent.notifications.clear();
    }

    fn resync(&self) {
        let _ = self.sender.send(WatchEvent::resync());
    }
}

impl Watch for MemoryOutbox {
    fn watch(&self, last_received: Option<u64>) -> BoxStream<'static, WatchEvent> {
        let WatcherSubscription {
            missed,
            complete,
            events,
        } = self.subscribe(last_received);

        let first = if complete {
            missed.into_iter().map(watch_event).collect()
        } else {
            vec![WatchEvent::resync()]
        };
        let rest = stream::unfold(events, |mut events| async {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(RecvError::Lagged(_)) => Some((WatchEvent::resync(), events)),
                Err(RecvError::Closed) => None,
            }
        });

        stream::iter(first).chain(rest).boxed()
    }
}

fn watch_event(notification: Notification) -> WatchEvent {
    WatchEvent {
        number: Some(notification.number),
        name: notification.kind.name(),
        data: notification.data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::EventId;
    use crate::domain::notice::NoticeKind;

    fn notifications(numbers: std::ops::RangeInclusive<u64>) -> Vec<Notification> {
        numbers
            .map(|number| Notification {
                number,
                kind: NoticeKind::Withdrawn,
                call: EventId(1),
                data: "{}".into(),
            })
            .collect()
    }

    fn missed_numbers(outbox: &MemoryOutbox, last_received: u64) -> Vec<u64> {
        outbox
            .subscribe(Some(last_received))
            .missed
            .iter()
            .map(|notification| notification.number)
            .collect()
    }

    #[test]
    fn a_watcher_that_reconnects_gets_its_missed_notifications_without_a_gap() {
        let outbox = MemoryOutbox::default();
        outbox.enqueue(notifications(1..=5));

        assert!(outbox.subscribe(Some(2)).complete);
        assert_eq!(missed_numbers(&outbox, 2), [3, 4, 5]);

        outbox.enqueue(notifications(6..=5 + BUFFERED_MAX as u64));
        assert!(
            !outbox.subscribe(Some(2)).complete,
            "some missed notifications are no longer buffered"
        );
        assert!(outbox.subscribe(None).complete);
        assert!(
            !outbox.subscribe(Some(9_999_999)).complete,
            "an unknown number"
        );
    }

    #[test]
    fn the_numbers_continue_after_a_restart() {
        let outbox = MemoryOutbox::resume_after_number(5, notifications(4..=5));

        assert_eq!(missed_numbers(&outbox, 3), [4, 5]);
        assert!(missed_numbers(&outbox, 5).is_empty());
        assert!(!outbox.subscribe(Some(2)).complete);
        assert!(outbox.subscribe(Some(3)).complete);

        outbox.enqueue(notifications(6..=6));
        assert_eq!(missed_numbers(&outbox, 4), [5, 6]);
    }

    #[test]
    fn behind_a_gap_every_watcher_reads_all_calls_again() {
        let outbox = MemoryOutbox::default();
        outbox.enqueue(notifications(1..=5));
        let mut open = outbox.subscribe(Some(5)).events;

        outbox.forget();
        outbox.resync();
        assert_eq!(open.try_recv().unwrap().number, None);
        for number in 1..=5 {
            assert!(!outbox.subscribe(Some(number)).complete, "{number}");
        }

        outbox.enqueue(notifications(8..=9));
        assert!(!outbox.subscribe(Some(5)).complete);
        assert!(!outbox.subscribe(Some(7)).complete, "it may be another one");
        assert_eq!(missed_numbers(&outbox, 8), [9]);
    }
}
