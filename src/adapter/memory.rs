//! Fan-out within one process: numbered events, the last of them kept for whoever was away for a moment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::port::fanout::{Fanout, News};
use crate::port::watch::{Seen, Watch};
use crate::wire::call_json::CallJson;

/// Events kept for watchers who come back; also how far behind a watcher may fall before it has to start over.
const KEPT_MAX: usize = 1_024;

impl Watch for MemoryFanout {
    fn watch(&self, known: Option<u64>) -> BoxStream<'static, Seen> {
        let Subscription { missed, complete, events } = self.subscribe(known);
        let first = if complete { missed.into_iter().map(Event::seen).collect() } else { vec![Seen::resync()] };
        let rest = stream::unfold(events, |mut events| async {
            match events.recv().await {
                Ok(event) => Some((event.seen(), events)),
                Err(RecvError::Lagged(_)) => Some((Seen::resync(), events)),
                Err(RecvError::Closed) => None,
            }
        });
        stream::iter(first).chain(rest).boxed()
    }
}

impl Event {
    fn seen(self) -> Seen {
        Seen { number: Some(self.number), name: self.name, data: self.data }
    }
}

/// One event, ready to be sent.
#[derive(Clone, Debug)]
pub struct Event {
    pub number: u64,
    pub name: &'static str,
    /// `{"call_id":..,"call":{..}}`; without a call when it turned out to be none.
    pub data: Arc<str>,
}

/// Where the worker tells and the gateway listens.
#[derive(Debug)]
pub struct MemoryFanout {
    sender: broadcast::Sender<Event>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    events: VecDeque<Event>,
}

/// What a watcher gets at first, and what follows.
#[derive(Debug)]
pub struct Subscription {
    /// Events since the number the watcher knew.
    pub missed: Vec<Event>,
    /// False when more was missed than is kept: the watcher must look at everything again.
    pub complete: bool,
    pub events: broadcast::Receiver<Event>,
}

impl Default for MemoryFanout {
    fn default() -> Self {
        MemoryFanout { sender: broadcast::Sender::new(KEPT_MAX), kept: Mutex::default() }
    }
}

impl MemoryFanout {
    /// Listens from now on, or from after the event with this number.
    #[must_use]
    pub fn subscribe(&self, known: Option<u64>) -> Subscription {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let events = self.sender.subscribe();
        let Some(known) = known else { return Subscription { missed: Vec::new(), complete: true, events } };
        let missed: Vec<Event> = kept.events.iter().filter(|event| event.number > known).cloned().collect();
        let oldest = kept.events.front().map_or(kept.last + 1, |event| event.number);
        Subscription { complete: known + 1 >= oldest && known <= kept.last, missed, events }
    }
}

impl Fanout for MemoryFanout {
    fn tell(&self, news: Vec<News>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for one in news {
            kept.last += 1;
            let call = one.record.as_ref().map(CallJson::of);
            let data = serde_json::json!({ "call_id": one.notice.call.to_string(), "call": call }).to_string();
            let event = Event { number: kept.last, name: one.notice.kind.name(), data: data.into() };
            if kept.events.len() >= KEPT_MAX {
                kept.events.pop_front();
            }
            kept.events.push_back(event.clone());
            // Nobody listens: that is no failure.
            let _nobody = self.sender.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::EventId;
    use crate::domain::notice::{Notice, NoticeKind};

    fn news(n: usize) -> Vec<News> {
        (0..n).map(|n| News { notice: Notice { call: EventId(n as u128), kind: NoticeKind::Withdrawn }, record: None }).collect()
    }

    #[test]
    fn a_watcher_who_was_away_gets_what_it_missed_without_a_gap() {
        let fanout = MemoryFanout::default();
        fanout.tell(news(5));
        let back = fanout.subscribe(Some(2));
        assert_eq!((back.complete, back.missed.iter().map(|event| event.number).collect::<Vec<_>>()), (true, vec![3, 4, 5]));
        fanout.tell(news(KEPT_MAX));
        assert!(!fanout.subscribe(Some(2)).complete, "more was missed than is kept");
        assert!(fanout.subscribe(None).complete);
        assert!(!fanout.subscribe(Some(9_999_999)).complete, "a number from another life");
    }
}
