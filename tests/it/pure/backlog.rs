//! What gathers for a receiver of webhooks: when it is ended, and when it gets everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};

use async_trait::async_trait;
use cordboard::access::SiteScope;
use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::memory::MemoryOutbox;
use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::domain::time::{At, Span};
use cordboard::gateway::Dispatcher;
use cordboard::port::clock::Clock;
use cordboard::port::ledger::{Changes, Ledger};
use cordboard::port::outbox::Notification;
use cordboard::port::webhooks::{NewMessage, SendError, Sender, Waiting, Webhook, Webhooks};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::batches::LOOKBACK;
use crate::support::sqlite;
use crate::support::wait::{PATIENCE, eventually, within};

/// As many as end a receiver.
const MANY: i64 = 10_000;
/// More than several batches.
const SOME: i64 = 500;
/// Messages that are sent before a failure counts.
const TAKEN_AT_ONCE: usize = 16;
const HOUR: i64 = Span::seconds(3_600).0;
/// A rest that is over.
const OVER: Span = Span::seconds(-1);

/// A receiver without a network, with the status that it answers, and a clock.
struct Scene {
    ledger: Arc<SqliteLedger>,
    dispatcher: Dispatcher,
    status: Arc<AtomicU16>,
    clock: Arc<AtomicI64>,
    requests: mpsc::UnboundedReceiver<String>,
    sender: mpsc::UnboundedSender<String>,
    stop: CancellationToken,
    _folder: TempDir,
}

/// The receiver that answers, and tells the test of each message that it gets.
struct Answers {
    status: Arc<AtomicU16>,
    requests: mpsc::UnboundedSender<String>,
}

/// The status that stands for no answer at all.
const SILENT: u16 = 0;
/// The status that stands for 204, and for 400 to every tenth message.
const CHOOSY: u16 = 1;

struct Hand(Arc<AtomicI64>);

#[async_trait]
impl Sender for Answers {
    fn check(&self, _: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn post(
        &self,
        _: &str,
        headers: &[(&'static str, String)],
        _: String,
    ) -> Result<u16, SendError> {
        let message = headers
            .iter()
            .find(|(name, _)| *name == "webhook-id")
            .map(|(_, message)| message.clone())
            .unwrap();
        let is_tenth = message.ends_with('0');
        // The test may be over.
        let _ = self.requests.send(message);

        match self.status.load(Ordering::Relaxed) {
            SILENT => std::future::pending().await,
            CHOOSY => Ok(if is_tenth { 400 } else { 204 }),
            status => Ok(status),
        }
    }
}

impl Clock for Hand {
    fn now(&self) -> At {
        At(self.0.load(Ordering::Relaxed))
    }

    fn steady(&self) -> Span {
        Span(self.0.load(Ordering::Relaxed))
    }
}

impl Scene {
    async fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(sqlite::open(folder.path()).await);
        let receiver = Webhook {
            id: "w".to_owned(),
            url: "https://crm.example.com/".to_owned(),
            events: Vec::new(),
            sites: SiteScope::All,
            secret: "secret".to_owned(),
            previous_secret: None,
            disabled: None,
            failing: None,
            created_at: At(0),
            created_by: "katrin".to_owned(),
            version: 0,
        };
        assert!(ledger.add_webhook(&receiver, 1, 1).await.unwrap());

        let status = Arc::new(AtomicU16::new(204));
        let clock = Arc::new(AtomicI64::new(real_now()));
        let (sender, requests) = mpsc::unbounded_channel();
        let dispatcher = dispatcher("one", &ledger, &status, &clock, sender.clone());
        Scene {
            ledger,
            dispatcher,
            status,
            clock,
            requests,
            sender,
            stop: CancellationToken::new(),
            _folder: folder,
        }
    }

    /// Another gateway on the same database.
    fn other(&self) -> Dispatcher {
        let sender = self.sender.clone();

        dispatcher("two", &self.ledger, &self.status, &self.clock, sender)
    }

    /// Messages of now that no gateway has sent so far.
    async fn messages(&self, first: i64) {
        self.some_messages(first, MANY).await;
    }

    async fn some_messages(&self, first: i64, count: i64) {
        let now = real_now();
        let message = |number: i64| NewMessage {
            id: format!("m{number}"),
            event: "call.missed".to_owned(),
            site: None,
            call: format!("c{number}"),
            body: "{}".to_owned(),
            created_at: At(now + number - first),
            receivers: vec!["w".to_owned()],
        };
        let new: Vec<NewMessage> = (first..first + count).map(message).collect();

        for part in new.chunks(1_000) {
            self.ledger.add_messages(part).await.unwrap();
        }
    }

    /// The message of the next request.
    async fn request(&mut self) -> String {
        within(PATIENCE, "a request to the receiver", self.requests.recv())
            .await
            .unwrap()
    }

    /// The receiver fails, and is tried again.
    async fn rest_is_over(&self) {
        let receiver = self.ledger.webhook("w").await.unwrap().unwrap();
        self.ledger.rest_webhook(&receiver, OVER).await.unwrap();
    }

    async fn end_reason(&self) -> Option<String> {
        self.ledger.webhook("w").await.unwrap().unwrap().disabled
    }
}

/// The clock of the database, by which failures and messages are compared.
fn real_now() -> i64 {
    SystemClock::default().now().0
}

fn dispatcher(
    name: &str,
    ledger: &Arc<SqliteLedger>,
    status: &Arc<AtomicU16>,
    clock: &Arc<AtomicI64>,
    requests: mpsc::UnboundedSender<String>,
) -> Dispatcher {
    let answers = Answers {
        status: Arc::clone(status),
        requests,
    };

    Dispatcher::new(
        name,
        Arc::<SqliteLedger>::clone(ledger),
        Arc::new(answers),
        Arc::new(MemoryOutbox::default()),
        Arc::new(Hand(Arc::clone(clock))),
    )
}

/// A gateway that stops leaves nothing behind that another one would have to wait for.
#[tokio::test]
async fn after_a_stop_another_gateway_goes_on_at_once_and_in_order() {
    let mut scene = Scene::new().await;
    scene.some_messages(0, SOME).await;
    scene.status.store(SILENT, Ordering::Relaxed);
    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    let first = scene.request().await;
    scene.stop.cancel();
    running.await.unwrap();
    while scene.requests.try_recv().is_ok() {}

    scene.status.store(204, Ordering::Relaxed);
    let stop = CancellationToken::new();
    let running = tokio::spawn(scene.other().run(stop.clone()));
    assert_eq!(scene.request().await, first);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_refuses_some_messages_gets_all_others() {
    let mut scene = Scene::new().await;
    scene.some_messages(0, SOME).await;
    scene.status.store(CHOOSY, Ordering::Relaxed);
    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    for _ in 0..SOME {
        scene.request().await;
    }
    let receiver = scene.ledger.webhook("w").await.unwrap().unwrap();
    assert_eq!(receiver.failing, None);
    scene.stop.cancel();
    running.await.unwrap();
}

/// The receiver wants other events than those that wait.
#[tokio::test]
async fn messages_that_a_receiver_does_not_want_any_more_are_not_sent() {
    let scene = Scene::new().await;
    scene.some_messages(0, SOME).await;
    let mut receiver = scene.ledger.webhook("w").await.unwrap().unwrap();
    receiver.events = vec!["call.ended".to_owned()];
    assert!(scene.ledger.update_webhook(&receiver).await.unwrap());

    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    eventually(PATIENCE, "the end of all that waited", async || {
        let all = Waiting::Since(At::START);
        match scene.ledger.count_waiting("w", all, 20_000).await.unwrap() {
            0 => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        }
    })
    .await;
    scene.stop.cancel();
    running.await.unwrap();
    assert!(scene.requests.is_empty());
}

/// The gateway that does not send has nothing to say about a receiver that works.
#[tokio::test]
async fn a_receiver_that_works_is_not_ended_by_a_gateway_that_saw_it_fail() {
    let mut scene = Scene::new().await;
    let other = scene.other();
    scene.status.store(500, Ordering::Relaxed);
    scene.messages(0).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(other.clone().run(stop.clone()));
    for _ in 0..TAKEN_AT_ONCE {
        scene.request().await;
    }
    stop.cancel();
    running.await.unwrap();

    scene.status.store(204, Ordering::Relaxed);
    scene.rest_is_over().await;
    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    scene.request().await;
    eventually(PATIENCE, "the receiver as one that works", async || {
        let receiver = scene.ledger.webhook("w").await.unwrap().unwrap();
        receiver
            .failing
            .map_or(Ok(()), |_| Err("it fails".to_owned()))
    })
    .await;
    scene.stop.cancel();
    running.await.unwrap();
    scene.messages(MANY).await;
    other.keep_up().await;
    assert_eq!(scene.end_reason().await, None);
}

#[tokio::test]
async fn what_gathered_without_a_gateway_ends_no_receiver_that_takes_it() {
    let mut scene = Scene::new().await;
    scene.messages(0).await;

    scene.dispatcher.keep_up().await;
    assert_eq!(scene.end_reason().await, None);

    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    for _ in 0..100 {
        scene.request().await;
    }
    scene.dispatcher.keep_up().await;
    assert_eq!(scene.end_reason().await, None);
    scene.stop.cancel();
    running.await.unwrap();
}

/// The backlog becomes deliveries while the receiver fails already.
#[tokio::test]
async fn what_gathered_without_a_gateway_ends_no_receiver_that_fails_at_first() {
    let mut scene = Scene::new().await;
    scene.ledger.take_over(LOOKBACK).await.unwrap();
    let notification = |number| Notification {
        number,
        kind: NoticeKind::Missed,
        call: EventId(number.into()),
        data: "{\"site\":\"default\"}".into(),
    };
    for first in (0..12).map(|part| 1 + part * 1_000) {
        let changes = Changes {
            notifications: (first..first + 1_000).map(notification).collect(),
            ..Changes::default()
        };
        scene.ledger.commit(&changes).await.unwrap();
    }

    // It failed before the outage too.
    scene.rest_is_over().await;
    scene.status.store(500, Ordering::Relaxed);
    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    eventually(PATIENCE, "deliveries of the backlog", async || {
        let all = Waiting::Since(At::START);
        let waiting = scene.ledger.count_waiting("w", all, 20_000).await.unwrap();
        let left = scene.ledger.unsent_notifications(1).await.unwrap().len();
        if left == 0 && i64::from(waiting) >= MANY {
            Ok(())
        } else {
            Err(format!("{waiting} wait, and more notifications: {left}"))
        }
    })
    .await;
    scene.request().await;
    scene.dispatcher.keep_up().await;
    assert_eq!(scene.end_reason().await, None);
    scene.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_takes_none_of_ten_thousand_messages_is_ended() {
    let mut scene = Scene::new().await;
    scene.status.store(500, Ordering::Relaxed);
    scene.messages(0).await;
    let running = tokio::spawn(scene.dispatcher.clone().run(scene.stop.clone()));
    for _ in 0..TAKEN_AT_ONCE {
        scene.request().await;
    }
    scene.dispatcher.keep_up().await;
    let before = scene.end_reason().await;
    assert_eq!(before, None, "they came before it failed");

    scene.messages(MANY).await;
    let reason = eventually(PATIENCE, "the end of the receiver", async || {
        scene.dispatcher.keep_up().await;
        let reason = scene.end_reason().await;
        reason.ok_or_else(|| "it works".to_owned())
    });
    assert!(reason.await.contains("10000"));
    scene.stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_an_hour_and_ten_thousand_messages_behind_is_ended() {
    let scene = Scene::new().await;
    scene.messages(0).await;

    let later = scene.clock.load(Ordering::Relaxed) + HOUR + HOUR / 60;
    scene.clock.store(later, Ordering::Relaxed);
    scene.dispatcher.keep_up().await;
    assert!(scene.end_reason().await.is_some());
}
