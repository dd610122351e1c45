//! What became of calls, told to other programs: published in order, confirmed, and remembered as
//! told only then. A crash in between tells some of it twice, under the same id.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, PublisherConfirm};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::names::{CALLS, Layout};
use super::{BrokerAddress, BrokerError, close_connection, publisher, topology, with_timeout};
use crate::health::HealthCheck;
use crate::port::outbox::{Notification, Outbox};
use crate::wire::envelope::Trace;

/// News of a process waiting to be sent; those beyond wait in the database until there is room.
const WAITING_MAX: usize = 8_192;
/// Room for what is read from there at once.
const ROOM_MIN: usize = WAITING_MAX / 4;
/// News sent before the first of them is confirmed.
const GROUP_MAX: usize = 512;
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the news of one partition.
pub struct Relay {
    /// Of whom they are.
    part: String,
    queue: mpsc::Sender<Told>,
    relayed: Arc<AtomicU64>,
    /// The last one handed over, where those after it wait in the database: what comes now waits as
    /// well, or it would overtake them.
    behind: Mutex<Option<u64>>,
}

struct Told {
    part: String,
    news: Notification,
    relayed: Arc<AtomicU64>,
}

/// The one connection of a process on which news are told.
#[derive(Clone)]
pub struct Mouth(mpsc::Sender<Told>);

impl Mouth {
    /// Opens it; it speaks until the stop.
    #[must_use]
    pub fn open(
        address: BrokerAddress,
        layout: Layout,
        sign: HealthCheck,
        stop: CancellationToken,
    ) -> (Mouth, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        (
            Mouth(queue),
            tokio::spawn(speak(address, layout, sign, waiting, stop)),
        )
    }

    /// The voice of a partition, where news up to `told` were written and those up to `relayed` are
    /// known to be told.
    #[must_use]
    pub fn of(&self, layout: Layout, part: u32, told: u64, relayed: u64) -> Relay {
        Relay {
            part: format!("g{}.p{part:02}", layout.generation),
            queue: self.0.clone(),
            relayed: Arc::new(AtomicU64::new(relayed)),
            behind: Mutex::new((relayed < told).then_some(relayed)),
        }
    }
}

impl Relay {
    fn behind(&self) -> MutexGuard<'_, Option<u64>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what finds room. Returns the number before the first one that found none, if any.
    fn hand_over(&self, news: Vec<Notification>) -> Option<u64> {
        for one in news {
            let before = one.number.saturating_sub(1);
            let told = Told {
                part: self.part.clone(),
                news: one,
                relayed: Arc::clone(&self.relayed),
            };
            if self.queue.try_send(told).is_err() {
                return Some(before);
            }
        }
        None
    }
}

impl Outbox for Relay {
    fn enqueue(&self, news: Vec<Notification>) {
        let mut behind = self.behind();
        let late = news.len();
        if behind.is_none() {
            *behind = self.hand_over(news);
        }
        if behind.is_some() {
            metrics::counter!("cordboard_broker_news_late_total").increment(late as u64);
        }
    }

    fn published_up_to(&self) -> u64 {
        self.relayed.load(Ordering::Acquire)
    }

    fn resume_after(&self) -> Option<u64> {
        // Where nobody speaks any more, nothing is missed.
        self.behind()
            .filter(|_| self.queue.capacity() >= ROOM_MIN && !self.queue.is_closed())
    }

    fn enqueue_backlog(&self, news: Vec<Notification>, last: u64) {
        let mut behind = self.behind();
        // What the ledger does not keep any more cannot be told any more.
        let reached = news.last().map_or(last, |news| news.number);
        *behind = self.hand_over(news).or((reached < last).then_some(reached));
    }
}

async fn speak(
    address: BrokerAddress,
    layout: Layout,
    sign: HealthCheck,
    mut waiting: mpsc::Receiver<Told>,
    stop: CancellationToken,
) {
    let mut group: Vec<Told> = Vec::new();
    loop {
        let spoke = tokio::select! {
            spoke = speak_on(&address, layout, &sign, &mut waiting, &mut group) => spoke,
            () = stop.cancelled() => return,
        };
        match spoke {
            Ok(()) => return,
            Err(error) => sign.set_down(&error.to_string()),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One connection's life. `group` holds what is under way; it is sent again on the next one.
async fn speak_on(
    address: &BrokerAddress,
    layout: Layout,
    sign: &HealthCheck,
    waiting: &mut mpsc::Receiver<Told>,
    group: &mut Vec<Told>,
) -> Result<(), BrokerError> {
    let connection = address.connect_to_send("cordboard tell").await?;
    let ended = speak_through(&connection, layout, sign, waiting, group).await;
    close_connection(&connection).await;
    ended
}

async fn speak_through(
    connection: &Connection,
    layout: Layout,
    sign: &HealthCheck,
    waiting: &mut mpsc::Receiver<Told>,
    group: &mut Vec<Told>,
) -> Result<(), BrokerError> {
    topology::ensure(connection, layout).await?;
    let channel = with_timeout(connection.create_channel()).await?;
    with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    sign.set_up();
    loop {
        if group.is_empty() && waiting.recv_many(group, GROUP_MAX).await == 0 {
            return Ok(());
        }
        let confirms = with_timeout(publisher::one_after_the_other(
            group.iter().map(|told| send(&channel, told)),
        ))
        .await?;
        for (told, confirm) in group.iter().zip(confirms) {
            publisher::settled(&with_timeout(confirm).await?)?;
            told.relayed.store(told.news.number, Ordering::Release);
        }
        group.clear();
    }
}

async fn send(channel: &Channel, told: &Told) -> Result<PublisherConfirm, lapin::Error> {
    let Told { part, news, .. } = told;
    let mut headers = FieldTable::default();
    headers.insert(
        "traceparent".into(),
        AMQPValue::LongString(Trace::of(news.call).as_str().into()),
    );
    headers.insert(
        "x-cordboard-part".into(),
        AMQPValue::LongString(part.as_str().into()),
    );
    headers.insert(
        "x-cordboard-number".into(),
        AMQPValue::LongLongInt(news.number.cast_signed()),
    );
    let properties = publisher::properties(news.kind.name())
        .with_message_id(format!("{part}.{}", news.number).into())
        .with_headers(headers);
    // Nobody needs to listen.
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(
            CALLS.into(),
            news.kind.name().into(),
            options,
            news.data.as_bytes(),
            properties,
        )
        .await
}
