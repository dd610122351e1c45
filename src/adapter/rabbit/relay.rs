//! What became of calls, told to other programs: published in order, confirmed, and remembered as told only then. A crash in between tells
//! some of it twice, under the same id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, PublisherConfirm};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::names::{CALLS, Layout};
use super::{BrokerAddress, BrokerError, close_connection, patiently, publisher, topology};
use crate::port::fanout::{Fanout, News};
use crate::port::sign::Sign;
use crate::wire::envelope::Trace;

/// News of one partition waiting to be sent; beyond it they wait in the database, and are told after the next start of the partition.
const WAITING_MAX: usize = 65_536;
/// News sent before the first of them is confirmed.
const GROUP_MAX: usize = 512;
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the news of one partition.
pub struct Relay {
    /// Of whom they are.
    part: String,
    queue: mpsc::Sender<Told>,
    relayed: Arc<AtomicU64>,
    /// Something had to wait in the database: what comes after it waits as well, or it would be taken for told.
    behind: AtomicBool,
}

struct Told {
    part: String,
    news: News,
    relayed: Arc<AtomicU64>,
}

/// The one connection of a process on which news are told.
#[derive(Clone)]
pub struct Mouth(mpsc::Sender<Told>);

impl Mouth {
    /// Opens it; it speaks until the stop.
    #[must_use]
    pub fn open(address: BrokerAddress, layout: Layout, sign: Sign, stop: CancellationToken) -> (Mouth, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        (Mouth(queue), tokio::spawn(speak(address, layout, sign, waiting, stop)))
    }

    /// The voice of a partition. Begins with what may not have been told before.
    #[must_use]
    pub fn of(&self, layout: Layout, part: u32, told: u64, unrelayed: Vec<News>) -> Relay {
        let first = unrelayed.first().map_or(told, |news| news.number.saturating_sub(1));
        let name = format!("g{}.p{part:02}", layout.generation);
        let relay = Relay { part: name, queue: self.0.clone(), relayed: Arc::new(AtomicU64::new(first)), behind: AtomicBool::new(false) };
        relay.tell(unrelayed);
        relay
    }
}

impl Fanout for Relay {
    fn tell(&self, news: Vec<News>) {
        for one in news {
            if self.behind.load(Ordering::Acquire) {
                metrics::counter!("cordboard_broker_news_late_total").increment(1);
                continue;
            }
            let told = Told { part: self.part.clone(), news: one, relayed: Arc::clone(&self.relayed) };
            if self.queue.try_send(told).is_err() {
                metrics::counter!("cordboard_broker_news_late_total").increment(1);
                tracing::error!(part = self.part, "too much waits to be told; the rest is told when the partition is taken over again");
                self.behind.store(true, Ordering::Release);
            }
        }
    }

    fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Acquire)
    }
}

async fn speak(address: BrokerAddress, layout: Layout, sign: Sign, mut waiting: mpsc::Receiver<Told>, stop: CancellationToken) {
    let mut group: Vec<Told> = Vec::new();
    loop {
        let spoke = tokio::select! {
            spoke = speak_on(&address, layout, &sign, &mut waiting, &mut group) => spoke,
            () = stop.cancelled() => return,
        };
        match spoke {
            Ok(()) => return,
            Err(error) => sign.ill(&error.to_string()),
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
    sign: &Sign,
    waiting: &mut mpsc::Receiver<Told>,
    group: &mut Vec<Told>,
) -> Result<(), BrokerError> {
    let connection = address.connect("cordboard tell").await?;
    let ended = speak_through(&connection, layout, sign, waiting, group).await;
    close_connection(&connection).await;
    ended
}

async fn speak_through(
    connection: &Connection,
    layout: Layout,
    sign: &Sign,
    waiting: &mut mpsc::Receiver<Told>,
    group: &mut Vec<Told>,
) -> Result<(), BrokerError> {
    topology::ensure(connection, layout).await?;
    let channel = patiently(connection.create_channel()).await?;
    patiently(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    sign.well();
    loop {
        if group.is_empty() && waiting.recv_many(group, GROUP_MAX).await == 0 {
            return Ok(());
        }
        let confirms = patiently(publisher::one_after_the_other(group.iter().map(|told| send(&channel, told)))).await?;
        for (told, confirm) in group.iter().zip(confirms) {
            publisher::settled(&patiently(confirm).await?)?;
            told.relayed.store(told.news.number, Ordering::Release);
        }
        group.clear();
    }
}

async fn send(channel: &Channel, told: &Told) -> Result<PublisherConfirm, lapin::Error> {
    let Told { part, news, .. } = told;
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString(Trace::of(news.call).as_str().into()));
    headers.insert("x-cordboard-part".into(), AMQPValue::LongString(part.as_str().into()));
    headers.insert("x-cordboard-number".into(), AMQPValue::LongLongInt(news.number.cast_signed()));
    let properties =
        publisher::properties(news.kind.name()).with_message_id(format!("{part}.{}", news.number).into()).with_headers(headers);
    // Nobody needs to listen.
    let options = BasicPublishOptions::default();
    channel.basic_publish(CALLS.into(), news.kind.name().into(), options, news.data.as_bytes(), properties).await
}
