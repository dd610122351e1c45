//! Workers over prepared deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::Timeline;
use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::health::FlowCounters;
use cordboard::port::clock::Clock;
use cordboard::port::intake::{Delivery, Inbox, InboxError};
use cordboard::port::ledger::{Ledger, RecordAudit};
use cordboard::port::live::NoLiveView;
use cordboard::port::outbox::{Notification, Outbox};
use cordboard::simulate::Fleet;
use cordboard::wire::call_json::CallJson;
use cordboard::wire::message::Message;
use cordboard::wire::policy_file::Policies;
use cordboard::worker::{Believed, Dependencies, Worker, lookback};
use tokio_util::sync::CancellationToken;

use super::fleet;

/// Records of a site, by their call ids.
pub type Records = BTreeMap<String, String>;

/// A worker that takes its partition over, processes prepared batches, and gives it up.
pub struct WorkerUnderTest {
    ledger: Arc<dyn Ledger>,
    policies: Policies,
    counters: Arc<FlowCounters>,
    believed: Believed,
    clock: Arc<dyn Clock>,
}

/// A clock that stands still.
pub struct FixedClock(pub At);

impl Clock for FixedClock {
    fn now(&self) -> At {
        self.0
    }

    fn steady(&self) -> Span {
        Span::ZERO
    }
}

impl WorkerUnderTest {
    pub fn on(ledger: Arc<dyn Ledger>) -> WorkerUnderTest {
        WorkerUnderTest {
            ledger,
            policies: Policies::default(),
            counters: Arc::default(),
            believed: Believed::default(),
            clock: Arc::new(FixedClock(At(0))),
        }
    }

    pub fn on_sqlite(ledger: &Arc<SqliteLedger>) -> WorkerUnderTest {
        WorkerUnderTest::on(Arc::clone(ledger) as Arc<dyn Ledger>)
    }

    pub fn policies(self, policies: &Policies) -> WorkerUnderTest {
        WorkerUnderTest {
            policies: policies.clone(),
            ..self
        }
    }

    pub fn believed(self, believed: Believed) -> WorkerUnderTest {
        WorkerUnderTest { believed, ..self }
    }

    pub fn clock(self, clock: Arc<dyn Clock>) -> WorkerUnderTest {
        WorkerUnderTest { clock, ..self }
    }

    pub fn counters(self, counters: &Arc<FlowCounters>) -> WorkerUnderTest {
        WorkerUnderTest {
            counters: Arc::clone(counters),
            ..self
        }
    }

    /// Processes the batches, and returns the notifications.
    pub async fn run(self, batches: Vec<Vec<Vec<u8>>>) -> Vec<Notification> {
        let deliveries = batches
            .into_iter()
            .map(|batch| batch.into_iter().map(Delivery::from).collect());

        self.run_deliveries(deliveries.collect()).await
    }

    pub async fn run_deliveries(self, batches: Vec<Vec<Delivery>>) -> Vec<Notification> {
        let state = self
            .ledger
            .take_over(lookback(
                &self.policies,
                self.believed.instants(self.clock.now()),
            ))
            .await
            .unwrap();
        let outbox = Arc::new(RecordingOutbox::default());
        let dependencies = Dependencies {
            number: 0,
            inbox: Box::new(PreparedInbox(batches.into())),
            ledger: self.ledger,
            outbox: Arc::clone(&outbox) as Arc<dyn Outbox>,
            live: Arc::new(NoLiveView),
            counters: self.counters,
            in_flight: Arc::default(),
            clock: self.clock,
            believed: self.believed,
        };
        let worker = Worker::new(dependencies, self.policies, state);
        worker.run(CancellationToken::new()).await.unwrap();

        std::mem::take(&mut outbox.0.lock().unwrap())
    }
}

/// Delivers prepared batches, and then ends.
struct PreparedInbox(VecDeque<Vec<Delivery>>);

#[async_trait]
impl Inbox for PreparedInbox {
    async fn next_batch(&mut self, _max: usize) -> Result<Vec<Delivery>, InboxError> {
        Ok(self.0.pop_front().unwrap_or_default())
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        Ok(())
    }
}

#[derive(Default)]
struct RecordingOutbox(Mutex<Vec<Notification>>);

impl Outbox for RecordingOutbox {
    fn published_up_to(&self) -> u64 {
        0
    }

    fn enqueue(&self, notifications: Vec<Notification>) {
        self.0.lock().unwrap().extend(notifications);
    }
}

/// The reports of 60 phones, with a tick every second.
pub fn traffic(duration: Duration) -> Vec<Message> {
    fleet::messages(&Fleet {
        seed: 7,
        phones: 60,
        calls_per_second: 0.5,
        duration,
    })
}

pub fn encode(messages: &[Message]) -> Vec<Vec<u8>> {
    messages.iter().map(Message::encode).collect()
}

/// The messages in batches of one size.
pub fn batches(messages: &[Message], size: usize) -> Vec<Vec<Vec<u8>>> {
    batches_of(&encode(messages), size)
}

pub fn batches_of(encoded: &[Vec<u8>], size: usize) -> Vec<Vec<Vec<u8>>> {
    encoded.chunks(size).map(<[Vec<u8>]>::to_vec).collect()
}

/// The records that a fold of all messages at once gives.
pub fn folded(messages: &[Message], policy: &Policy) -> Records {
    let mut facts: Vec<Fact> = Vec::new();
    let mut watermark = At::START;
    for message in messages {
        match message {
            Message::Event(envelope) => facts.push(envelope.fact(|_| policy).unwrap()),
            Message::Tick(tick) => watermark = watermark.max(tick.at),
        }
    }

    let mut timeline = Timeline::new(Site::default(), Arc::new(policy.clone()));
    let delta = timeline.apply(facts, watermark);
    let records = delta.changed.iter().chain(&delta.finished);
    records
        .map(|record| {
            let json = serde_json::to_string(&CallJson::of(record)).unwrap();
            (record.id.to_string(), json)
        })
        .collect()
}

pub async fn stored(ledger: &SqliteLedger) -> Records {
    let records = ledger.stored_records(&Site::default()).await.unwrap();

    records.into_iter().collect()
}

/// Compares the stored records with a fold of all messages at once.
pub async fn assert_stored(ledger: &SqliteLedger, messages: &[Message]) {
    let stored = stored(ledger).await;
    let expected = folded(messages, &Policy::default());

    assert!(expected.len() > 20, "too few calls to compare");
    for (id, record) in &expected {
        assert_eq!(stored.get(id), Some(record), "call {id}");
    }
    let surplus: Vec<&String> = stored
        .keys()
        .filter(|id| !expected.contains_key(*id))
        .collect();
    assert!(surplus.is_empty(), "surplus calls: {surplus:?}");
}
