//! Fan-out within one process: numbered events, the last of them kept for whoever was away for a
//! moment.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::port::outbox::{Notification, Outbox};
use crate::port::watch::{Watch, WatchEvent};

/// Events kept for watchers who come back; also how far behind a watcher may fall before it has to
/// start over.
const KEPT_MAX: usize = 1_024;

impl Watch for MemoryOutbox {
    fn watch(&self, known: Option<u64>) -> BoxStream<'static, WatchEvent> {
        let Subscription {
            missed,
            complete,
            events,
        } = self.subscribe(known);
        let first = if complete {
            missed.into_iter().map(seen).collect()
        } else {
            vec![WatchEvent::resync()]
        };
        let rest = stream::unfold(events, |mut events| async {
            match events.recv().await {
                Ok(news) => Some((seen(news), events)),
                Err(RecvError::Lagged(_)) => Some((WatchEvent::resync(), events)),
                Err(RecvError::Closed) => None,
            }
        });
        stream::iter(first).chain(rest).boxed()
    }
}

fn seen(news: Notification) -> WatchEvent {
    WatchEvent {
        number: Some(news.number),
        name: news.kind.name(),
        data: news.data,
    }
}

/// Where the worker tells and the gateway listens.
#[derive(Debug)]
pub struct MemoryOutbox {
    /// Events before the known one that are told again.
    overlap: usize,
    sender: broadcast::Sender<Notification>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    events: VecDeque<Notification>,
}

/// What a watcher gets at first, and what follows.
#[derive(Debug)]
pub struct Subscription {
    /// Events since the number the watcher knew.
    pub missed: Vec<Notification>,
    /// False when more was missed than is kept: the watcher must look at everything again.
    pub complete: bool,
    pub events: broadcast::Receiver<Notification>,
}

impl Default for MemoryOutbox {
    fn default() -> Self {
        MemoryOutbox {
            overlap: 0,
            sender: broadcast::Sender::new(KEPT_MAX),
            kept: Mutex::default(),
        }
    }
}

impl MemoryOutbox {
    /// Goes on after the news of an earlier life.
    #[must_use]
    pub fn after(told: u64, news: Vec<Notification>) -> MemoryOutbox {
        let kept = Kept {
            last: told,
            events: news.into(),
        };
        MemoryOutbox {
            overlap: 0,
            sender: broadcast::Sender::new(KEPT_MAX),
            kept: Mutex::new(kept),
        }
    }

    /// Listens from now on, or from after the event with this number.
    #[must_use]
    pub fn subscribe(&self, known: Option<u64>) -> Subscription {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let events = self.sender.subscribe();
        let Some(known) = known else {
            return Subscription {
                missed: Vec::new(),
                complete: true,
                events,
            };
        };
        match kept.after(known, self.overlap) {
            Some(from) => Subscription {
                missed: kept.events.iter().skip(from).cloned().collect(),
                complete: true,
                events,
            },
            None => Subscription {
                missed: Vec::new(),
                complete: false,
                events,
            },
        }
    }

    /// Told from several places, in an order that others may see a little otherwise: whoever comes
    /// back is told some of it again.
    #[must_use]
    pub fn overlapping(self, overlap: usize) -> MemoryOutbox {
        MemoryOutbox { overlap, ..self }
    }
}

impl Kept {
    /// The place of the first event that somebody who knows this one has not seen; none when that
    /// is not kept any more, or never was.
    fn after(&self, known: u64, overlap: usize) -> Option<usize> {
        if let Some(place) = self.events.iter().rposition(|event| event.number == known) {
            return Some((place + 1).saturating_sub(overlap));
        }
        let next = self
            .events
            .front()
            .map_or(self.last, |first| first.number.saturating_sub(1));
        (known == next).then_some(0)
    }
}

impl Outbox for MemoryOutbox {
    fn published_up_to(&self) -> u64 {
        // Nobody outside this process listens.
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last
    }

    fn enqueue(&self, news: Vec<Notification>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for one in news {
            kept.last = one.number;
            if kept.events.len() >= KEPT_MAX {
                kept.events.pop_front();
            }
            kept.events.push_back(one.clone());
            // Nobody listens: that is no failure.
            let _nobody = self.sender.send(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::EventId;
    use crate::domain::notice::NoticeKind;

    fn news(numbers: std::ops::RangeInclusive<u64>) -> Vec<Notification> {
        numbers
            .map(|number| Notification {
                number,
                kind: NoticeKind::Withdrawn,
                call: EventId(1),
                data: "{}".into(),
            })
            .collect()
    }

    #[test]
    fn a_watcher_who_was_away_gets_what_it_missed_without_a_gap() {
        let fanout = MemoryOutbox::default();
        fanout.enqueue(news(1..=5));
        let back = fanout.subscribe(Some(2));
        assert_eq!(
            (
                back.complete,
                back.missed
                    .iter()
                    .map(|event| event.number)
                    .collect::<Vec<_>>()
            ),
            (true, vec![3, 4, 5])
        );
        fanout.enqueue(news(6..=5 + KEPT_MAX as u64));
        assert!(
            !fanout.subscribe(Some(2)).complete,
            "more was missed than is kept"
        );
        assert!(fanout.subscribe(None).complete);
        assert!(
            !fanout.subscribe(Some(9_999_999)).complete,
            "a number from another life"
        );
    }

    #[test]
    fn after_a_restart_the_numbers_go_on() {
        let fanout = MemoryOutbox::after(5, news(4..=5));
        let numbers = |known| {
            fanout
                .subscribe(Some(known))
                .missed
                .iter()
                .map(|news| news.number)
                .collect::<Vec<_>>()
        };
        assert_eq!((numbers(3), numbers(5)), (vec![4, 5], vec![]));
        assert!(!fanout.subscribe(Some(2)).complete && fanout.subscribe(Some(3)).complete);
        fanout.enqueue(news(6..=6));
        assert_eq!(numbers(4), [5, 6]);
    }
}
