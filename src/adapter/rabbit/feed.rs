//! What became of calls, for a gateway: a queue of its own on the exchange where it is told, and
//! the database for what it missed while it was away. What is told twice after a crash is told on
//! once.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use futures_util::StreamExt;
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, Consumer};
use tokio_util::sync::CancellationToken;

use super::inbox::whole;
use super::names::{CALLS, Layout};
use super::{BrokerAddress, BrokerError, close_connection, with_timeout};
use crate::adapter::memory::MemoryOutbox;
use crate::adapter::postgres::PostgresLedger;
use crate::domain::fact::EventId;
use crate::domain::notice::NoticeKind;
use crate::health::HealthCheck;
use crate::port::outbox::{Notification, NotificationLog, Outbox};

/// What a gateway reads back when it starts, for those who were away.
const BACK_MAX: u32 = 1_000;
/// News of a partition that are known again when they are told twice.
const KNOWN_MAX: u64 = 4_096;
/// The number of a partition is the low part of a number that watchers see.
const PARTS_MAX: u64 = 1_024;
const AGAIN: Duration = Duration::from_secs(1);

/// What a gateway listens with.
pub struct Feed {
    pub address: BrokerAddress,
    pub layout: Layout,
    pub ledger: Arc<PostgresLedger>,
    pub to: Arc<MemoryOutbox>,
    pub sign: HealthCheck,
}

/// What has been told on of a partition: the last number, and what the last of them said.
#[derive(Default)]
struct Known {
    last: u64,
    said: HashMap<u64, u64>,
}

impl Feed {
    /// Listens until the stop, and tells everything on.
    pub async fn run(self, stop: CancellationToken) {
        let mut known: HashMap<u32, Known> = HashMap::new();
        loop {
            let ended = tokio::select! {
                ended = self.listen(&mut known) => ended,
                () = stop.cancelled() => return,
            };
            if let Err(error) = ended {
                self.sign.set_down(&error.to_string());
                self.address.avoid();
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn listen(&self, known: &mut HashMap<u32, Known>) -> Result<(), BrokerError> {
        let connection = self.address.connect("cordboard feed").await?;
        let listened = self.listen_on(&connection, known).await;
        close_connection(&connection).await;
        listened
    }

    async fn listen_on(
        &self,
        connection: &Connection,
        known: &mut HashMap<u32, Known>,
    ) -> Result<(), BrokerError> {
        // Listening begins before what was missed is read: nothing falls in between.
        let mut told = subscribe(connection).await?;
        let missed = self
            .ledger
            .recent(BACK_MAX)
            .await
            .map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        for (part, news) in missed {
            self.tell(known, part, news);
        }
        self.sign.set_up();
        loop {
            match told.next().await {
                Some(Ok(delivery)) => {
                    if let Some((part, news)) = read(&delivery, self.layout) {
                        self.tell(known, part, news);
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None => {
                    return Err(BrokerError::Unavailable(
                        "the broker took the queue away".to_owned(),
                    ));
                }
            }
        }
    }

    /// Tells on what is new. A number that comes again with other news is new: the database was put
    /// back to an earlier state.
    fn tell(&self, known: &mut HashMap<u32, Known>, part: u32, news: Notification) {
        let known = known.entry(part).or_default();
        let said = said(&news);
        if news.number <= known.last && known.said.get(&news.number) == Some(&said) {
            return;
        }
        known.last = news.number;
        known.said.insert(news.number, said);
        known.said.remove(&news.number.saturating_sub(KNOWN_MAX));
        self.to.enqueue(vec![Notification {
            number: news.number * PARTS_MAX + u64::from(part),
            ..news
        }]);
    }
}

fn said(news: &Notification) -> u64 {
    FixedState::default().hash_one((news.call.0, news.kind, &*news.data))
}

async fn subscribe(connection: &Connection) -> Result<Consumer, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue =
        with_timeout(channel.queue_declare("".into(), options, FieldTable::default())).await?;
    let name = queue.name().clone();
    with_timeout(channel.queue_bind(
        name.clone(),
        CALLS.into(),
        "#".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    ))
    .await?;
    // Whoever is slow here loses nothing but time: it is told from memory, and the database knows
    // the rest.
    let options = BasicConsumeOptions {
        no_ack: true,
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    with_timeout(channel.basic_consume(name, "".into(), options, FieldTable::default())).await
}

fn read(delivery: &AmqpDelivery, layout: Layout) -> Option<(u32, Notification)> {
    let headers = delivery.properties.headers().as_ref()?.inner();
    let part = headers
        .get("x-cordboard-part")
        .and_then(AMQPValue::as_long_string)?
        .to_string();
    let part = (0..layout.partitions)
        .find(|number| format!("g{}.p{number:02}", layout.generation) == part)?;
    let number = whole(headers.get("x-cordboard-number")?)?.cast_unsigned();
    let data = String::from_utf8(delivery.data.clone()).ok()?;
    let call = EventId::parse(&serde_json::from_str::<Told>(&data).ok()?.call_id)?;
    let kind = NoticeKind::named(delivery.routing_key.as_str())?;
    Some((
        part,
        Notification {
            number,
            kind,
            call,
            data: data.into(),
        },
    ))
}

#[derive(serde::Deserialize)]
struct Told {
    call_id: String,
}
