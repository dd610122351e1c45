//! The publisher follows the journal in its order: what the broker has confirmed and routed is
//! released, everything else is sent again after any doubt, from the lowest message that is not
//! confirmed. While the broker is away or blocks, the journal grows and phones notice nothing.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::maybe_done;
use futures_util::{FutureExt, Stream, StreamExt, poll};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event, PublisherConfirm};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::names::{APP_ID, EVENTS, Layout};
use super::{BrokerAddress, BrokerError, close_channel, close_connection, topology, with_timeout};
use crate::adapter::journal::{Entry, JournalTail};
use crate::domain::fact::{EventId, Site};
use crate::health::HealthCheck;
use crate::provider::grandstream::Request;
use crate::wire::envelope::Envelope;
use crate::wire::message::{Message, Tick};

/// Messages sent and not confirmed.
const WINDOW_MESSAGES_MAX: usize = 1_024;
/// Records read at once, and the room there must be for them: a full window is filled up in steps,
/// not one by one.
const READ_RECORDS_MAX: usize = 256;
/// Under load groups begin no sooner after each other than this: the broker stores, confirms and
/// hands out each of them by itself.
const PACE: Duration = Duration::from_millis(5);
/// A group of so many is load.
const BUSY_RECORDS: usize = 8;
/// So many records that wait are sent although others are not confirmed yet.
const GROUP_RECORDS: usize = 64;
/// How long a confirmation may take while the broker does not say that it is blocked.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(10);
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);
const PERSISTENT: u8 = 2;

/// Takes what the journal holds to the broker.
pub struct Publisher {
    address: BrokerAddress,
    layout: Layout,
    tail: JournalTail,
    sign: HealthCheck,
    /// A message found no queue.
    astray: bool,
    /// The earliest moment for the next group, where there is load.
    paced: Option<Instant>,
}

/// A record under way.
struct Sent {
    entry: Entry,
    confirms: Vec<PublisherConfirm>,
}

impl Publisher {
    #[must_use]
    pub fn new(
        address: BrokerAddress,
        layout: Layout,
        tail: JournalTail,
        sign: HealthCheck,
    ) -> Publisher {
        Publisher {
            address,
            layout,
            tail,
            sign,
            astray: false,
            paced: None,
        }
    }

    /// Publishes until the stop, and what is left when it is asked to leave, as long as the broker
    /// takes it; what is not confirmed by then follows after the next start.
    pub async fn run(mut self, leaving: CancellationToken, stop: CancellationToken) {
        let mut again = AGAIN_MIN;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.follow() => ended,
                () = stop.cancelled() => break,
            };
            let Err(error) = ended else { break };
            self.sign.set_down(&error.to_string());
            self.astray = matches!(error, BrokerError::Astray);
            self.address.avoid();
            metrics::counter!("cordboard_broker_reconnects_total").increment(1);
            self.tail.back();
            if began.elapsed() > AGAIN_MAX {
                again = AGAIN_MIN;
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(again)) => {}
                // Nobody is there to take the rest: it follows after the next start.
                () = leaving.cancelled() => break,
                () = stop.cancelled() => break,
            }
            again = (again * 2).min(AGAIN_MAX);
        }
        self.tail.store();
    }

    /// One connection's life. Ends well only when the journal does, and everything in it is
    /// confirmed.
    async fn follow(&mut self) -> Result<(), BrokerError> {
        let connection = self.address.connect_to_send("cordboard publish").await?;
        let followed = self.follow_on(&connection).await;
        close_connection(&connection).await;
        followed
    }

    async fn follow_on(&mut self, connection: &Connection) -> Result<(), BrokerError> {
        // Whoever took a queue or a binding away left messages without a way: everything is
        // declared again then.
        if std::mem::take(&mut self.astray) {
            topology::declare(connection, self.layout).await?;
        } else {
            topology::ensure(connection, self.layout).await?;
        }
        let channel = with_timeout(connection.create_channel()).await?;
        with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        self.sign.set_up();
        let mut events = std::pin::pin!(connection.events_listener());
        let mut under_way: VecDeque<Sent> = VecDeque::new();
        let mut ended = false;
        loop {
            let waiting = under_way.len();
            let room = WINDOW_MESSAGES_MAX
                .saturating_sub(under_way.iter().map(|sent| sent.confirms.len()).sum());
            if under_way.is_empty() && ended {
                return Ok(());
            }
            tokio::select! {
                // What is confirmed makes room: it goes first.
                biased;
                confirmed = confirmed(under_way.front_mut(), connection) => {
                    confirmed?;
                    self.release(&mut under_way, connection)?;
                }
                // Short of memory or disk it reads nothing from us, and we give it nothing that
                // would wait in between.
                Some(event) = events.next() => tell_blocked(&event, &self.sign),
                more = self.more(waiting), if room >= READ_RECORDS_MAX && !ended && self.is_worth_sending(waiting) && !connection.status().blocked() => {
                    ended = !more;
                    let entries = self.tail.read(READ_RECORDS_MAX).map_err(|error| BrokerError::Unavailable(error.to_string()))?;
                    self.paced = (entries.len() >= BUSY_RECORDS).then(|| Instant::now() + PACE);
                    under_way.extend(telling(self.publish(&channel, entries), &mut events, &self.sign).await?);
                }
            }
        }
    }

    /// What waits for its confirmation holds up what comes after it, unless that is a group by
    /// itself: what is sent one by one is stored, confirmed and handed out one by one, and
    /// everybody has more to do.
    fn is_worth_sending(&self, under_way: usize) -> bool {
        under_way == 0 || self.tail.depth() >= (under_way + GROUP_RECORDS) as u64
    }

    /// Waits until there is something to send, and it is time. Returns whether there will ever be.
    async fn more(&mut self, under_way: usize) -> bool {
        if let Some(at) = self.paced
            && self.tail.depth() < (under_way + GROUP_RECORDS) as u64
        {
            tokio::time::sleep_until(at).await;
        }
        self.tail.wait().await
    }

    /// The first record under way is confirmed: it is done with, and all behind it that are
    /// confirmed by now.
    fn release(
        &mut self,
        under_way: &mut VecDeque<Sent>,
        connection: &Connection,
    ) -> Result<(), BrokerError> {
        let (mut last, mut count) = (under_way.pop_front(), 1);
        while let Some(confirmed) = under_way
            .front_mut()
            .and_then(|next| confirmed(Some(next), connection).now_or_never())
        {
            confirmed?;
            last = under_way.pop_front();
            count += 1;
        }
        if let Some(last) = last {
            self.tail.release(&last.entry, count);
        }
        Ok(())
    }

    /// Sends records in their order. Resolves when they are written to the socket.
    async fn publish(
        &self,
        channel: &Channel,
        entries: Vec<Entry>,
    ) -> Result<Vec<Sent>, BrokerError> {
        let addresses: Vec<_> = entries
            .iter()
            .map(|entry| addresses(self.layout, &entry.payload))
            .collect();
        let counts: Vec<usize> = addresses.iter().map(Vec::len).collect();
        let messages = entries
            .iter()
            .zip(addresses)
            .flat_map(|(entry, addresses)| addresses.into_iter().map(move |to| (entry, to)));
        let sending = messages
            .map(|(entry, (key, properties))| send(channel, key, properties, &entry.payload));
        let mut confirms = one_after_the_other(sending).await?.into_iter();
        Ok(entries
            .into_iter()
            .zip(counts)
            .map(|(entry, count)| Sent {
                entry,
                confirms: confirms.by_ref().take(count).collect(),
            })
            .collect())
    }
}

/// Where a record of the journal goes.
fn addresses(layout: Layout, payload: &[u8]) -> Vec<(String, BasicProperties)> {
    match Message::decode(payload) {
        Ok(Message::Report(envelope)) => vec![address(layout, &envelope)],
        // The promise stands before nothing less than everything: in every partition.
        Ok(Message::Tick(tick)) => (0..layout.partitions)
            .map(|part| (layout.own_key(part), tick_properties(&tick)))
            .collect(),
        // Our own ingress writes no such thing; if it ever did, the worker sets it aside as it is.
        Err(_) => vec![(
            format!("call.unreadable.{}", layout.partition_name(0)),
            properties("unreadable"),
        )],
    }
}

/// Where an envelope goes, and what the broker is told about it.
pub(super) fn address(layout: Layout, envelope: &Envelope) -> (String, BasicProperties) {
    let part = Site::parse(&envelope.site).map_or(0, |site| layout.partition_of(&site));
    let kind = Request::event(&envelope.target);
    let key = kind.map_or_else(
        || format!("call.unreadable.{}", layout.partition_name(part)),
        |kind| layout.event_key(kind, part),
    );
    let mut headers = FieldTable::default();
    headers.insert(
        "traceparent".into(),
        AMQPValue::LongString(envelope.trace().as_str().into()),
    );
    let seconds = u64::try_from(envelope.at.div_euclid(1_000_000)).unwrap_or(0);
    let properties = properties(kind.map_or("unreadable", crate::domain::fact::Kind::name))
        .with_message_id(EventId(envelope.id.as_u128()).to_string().into())
        .with_timestamp(seconds)
        .with_headers(headers);
    (key, properties)
}

pub(super) fn properties(kind: &str) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_type(kind.into())
        .with_app_id(APP_ID.into())
}

fn tick_properties(tick: &Tick) -> BasicProperties {
    properties("tick").with_timestamp(u64::try_from(tick.at.0.div_euclid(1_000_000)).unwrap_or(0))
}

async fn send(
    channel: &Channel,
    key: String,
    properties: BasicProperties,
    payload: &[u8],
) -> Result<PublisherConfirm, lapin::Error> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    channel
        .basic_publish(EVENTS.into(), key.into(), options, payload, properties)
        .await
}

/// Hands messages to the connection in their order, and only then waits until they are written to
/// the socket: to wait for each one is a way to the connection's thread and back for each.
pub(super) async fn one_after_the_other<T>(
    sending: impl Iterator<Item = impl Future<Output = Result<T, lapin::Error>>>,
) -> Result<Vec<T>, lapin::Error> {
    let mut under_way: Vec<_> = sending.map(|one| Box::pin(maybe_done(one))).collect();
    for one in &mut under_way {
        // What a message is made of is handed over when it is looked at first.
        let _begun = poll!(one.as_mut());
    }
    let mut sent = Vec::with_capacity(under_way.len());
    for mut one in under_way {
        one.as_mut().await;
        sent.extend(one.as_mut().take_output().transpose()?);
    }
    Ok(sent)
}

/// Sends, and returns when the message is in its queue.
pub(super) async fn deliver(
    channel: &Channel,
    key: &str,
    properties: BasicProperties,
    payload: &[u8],
) -> Result<(), BrokerError> {
    let sent = send(channel, key.to_owned(), properties, payload).await?;
    settled(&with_timeout(sent).await?)
}

/// Sends messages in their order once more, and returns when all of them are in their queues.
pub async fn send_again(
    connection: &Connection,
    layout: Layout,
    messages: &[Vec<u8>],
) -> Result<(), BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    for group in messages.chunks(READ_RECORDS_MAX) {
        let addressed = group.iter().flat_map(|message| {
            addresses(layout, message)
                .into_iter()
                .map(move |to| (message, to))
        });
        let sending =
            addressed.map(|(message, (key, properties))| send(&channel, key, properties, message));
        for confirm in one_after_the_other(sending).await? {
            settled(&with_timeout(confirm).await?)?;
        }
    }
    close_channel(&channel).await;
    Ok(())
}

/// Sends, and says meanwhile whether the broker takes anything: a blocked connection takes nothing
/// until it is free again.
async fn telling<T>(
    sending: impl Future<Output = T>,
    events: &mut (impl Stream<Item = Event> + Unpin),
    sign: &HealthCheck,
) -> T {
    let mut sending = std::pin::pin!(sending);
    loop {
        tokio::select! {
            sent = sending.as_mut() => return sent,
            Some(event) = events.next() => tell_blocked(&event, sign),
        }
    }
}

fn tell_blocked(event: &Event, sign: &HealthCheck) {
    let blocked = match event {
        Event::ConnectionBlocked(_) => true,
        Event::ConnectionUnblocked => false,
        _ => return,
    };
    if blocked {
        sign.set_down("it is short of memory or disk, and takes no messages");
    } else {
        sign.set_up();
    }
    metrics::gauge!("cordboard_broker_blocked").set(if blocked { 1.0 } else { 0.0 });
}

/// Waits until the first record under way is confirmed in full. Without one it waits for ever.
async fn confirmed(sent: Option<&mut Sent>, connection: &Connection) -> Result<(), BrokerError> {
    let Some(sent) = sent else {
        return std::future::pending().await;
    };
    while let Some(confirm) = sent.confirms.first_mut() {
        loop {
            match tokio::time::timeout(CONFIRM_PATIENCE, &mut *confirm).await {
                Ok(confirmation) => {
                    settled(&confirmation?)?;
                    break;
                }
                // It says that it is short of memory or disk: what was sent is confirmed when it
                // has some again.
                Err(_) if connection.status().blocked() => {}
                Err(_) => return Err(BrokerError::Unavailable("it confirms nothing".to_owned())),
            }
        }
        sent.confirms.remove(0);
    }
    Ok(())
}

/// Only what the broker has taken *and* put into a queue counts.
pub(super) fn settled(confirmation: &Confirmation) -> Result<(), BrokerError> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(BrokerError::Astray),
        Confirmation::Nack(_) => Err(BrokerError::Unavailable(
            "it refuses messages: a queue is full or has lost its leader".to_owned(),
        )),
        Confirmation::NotRequested => {
            Err(BrokerError::Unavailable("it does not confirm".to_owned()))
        }
    }
}

/// Not all of a fleet come back at the same moment.
fn jittered(wait: Duration) -> Duration {
    let part = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    wait / 2 + wait * part / 512
}
