//! Publishing with confirms: in order, mandatory, and done only when a message is stored and
//! routed.

use std::time::Duration;

use futures_util::future::{BoxFuture, maybe_done};
use futures_util::poll;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::watch;

use super::addressing::{self, Addressed};
use super::names::EVENTS;
use super::{close_channel, confirming_channel, unavailable, with_timeout};
use crate::port::broker::BrokerError;
use crate::wire::partition::Layout;

/// A confirmation takes at most this long while the broker is not blocked.
const CONFIRM_MAX: Duration = Duration::from_secs(10);
/// Messages published before the first of them is confirmed.
const RESEND_GROUP: usize = 256;

/// Publishes an event that must reach a queue.
pub(super) async fn publish_event(
    channel: &Channel,
    message: Addressed<'_>,
) -> Result<PublisherConfirm, lapin::Error> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let Addressed {
        key,
        properties,
        body,
    } = message;

    channel
        .basic_publish(EVENTS.into(), key.into(), options, &body, properties)
        .await
}

/// Hands messages to the connection in their order, and only then waits until they are written to
/// the socket. Waiting for each message would cost a way to the connection's thread and back each
/// time.
pub(super) async fn pipeline_publishes<T>(
    publishes: impl Iterator<Item = impl Future<Output = Result<T, lapin::Error>>>,
) -> Result<Vec<T>, lapin::Error> {
    let mut pending: Vec<_> = publishes.map(|one| Box::pin(maybe_done(one))).collect();
    for one in &mut pending {
        // The first poll hands the message over; the rest of the future is awaited below.
        let _ = poll!(one.as_mut());
    }

    let mut published = Vec::with_capacity(pending.len());
    for mut one in pending {
        one.as_mut().await;
        published.extend(one.as_mut().take_output().transpose()?);
    }

    Ok(published)
}

/// Resolves when all of these messages are confirmed and routed. A blocked broker has its time: it
/// confirms when it has memory and disk again.
pub(super) fn confirmed(
    confirms: Vec<PublisherConfirm>,
    mut blocked: watch::Receiver<bool>,
) -> BoxFuture<'static, Result<(), BrokerError>> {
    Box::pin(async move {
        for confirm in confirms {
            check(&await_confirm(confirm, &mut blocked).await?)?;
        }

        Ok(())
    })
}

async fn await_confirm(
    mut confirm: PublisherConfirm,
    blocked: &mut watch::Receiver<bool>,
) -> Result<Confirmation, BrokerError> {
    loop {
        let is_blocked = *blocked.borrow();

        tokio::select! {
            biased;
            confirmation = &mut confirm => return confirmation.map_err(unavailable),
            // After the block the broker has the whole time again.
            Ok(()) = blocked.changed() => {}
            () = tokio::time::sleep(CONFIRM_MAX), if !is_blocked => {
                return Err(BrokerError::unavailable("the broker confirms no messages"));
            }
        }
    }
}

/// Whether the broker has stored a message *and* put it into a queue.
fn check(confirmation: &Confirmation) -> Result<(), BrokerError> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(BrokerError::Unroutable),
        Confirmation::Nack(_) => Err(BrokerError::unavailable(
            "the broker refuses messages: a queue is full or has lost its leader",
        )),
        Confirmation::NotRequested => Err(BrokerError::unavailable(
            "the broker sends no confirmations",
        )),
    }
}

/// Publishes a message, and returns when it is in its queue.
pub(super) async fn publish_confirmed(
    channel: &Channel,
    message: Addressed<'_>,
) -> Result<(), BrokerError> {
    publish_all_confirmed(channel, std::iter::once(message)).await
}

/// Publishes messages in their order, and returns when all of them are in their queues.
pub(super) async fn publish_all_confirmed<'a>(
    channel: &Channel,
    messages: impl Iterator<Item = Addressed<'a>>,
) -> Result<(), BrokerError> {
    let publishes = messages.map(|message| publish_event(channel, message));
    let confirms = with_timeout(pipeline_publishes(publishes)).await?;
    for confirm in confirms {
        check(&with_timeout(confirm).await?)?;
    }

    Ok(())
}

/// Publishes records of a journal again, in their order, and returns when all of them are in their
/// queues.
pub(super) async fn resend(
    connection: &Connection,
    layout: Layout,
    records: &[Vec<u8>],
) -> Result<(), BrokerError> {
    let channel = confirming_channel(connection).await?;

    for group in records.chunks(RESEND_GROUP) {
        let messages = group
            .iter()
            .flat_map(|record| addressing::of_record(layout, record));
        publish_all_confirmed(&channel, messages).await?;
    }

    // All records are in their queues: a failed close changes nothing.
    let _ = close_channel(&channel).await;

    Ok(())
}
