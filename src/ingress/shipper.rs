//! The shipper takes the journal to the broker, in its order.
//!
//! A record is released when the broker has confirmed and routed it. After any failure the shipper
//! starts again at the first unreleased record, so duplicates are normal and known by their ids.
//! While the broker is away or blocked, the journal grows and phones notice nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::chain::Chain;
use crate::health::HealthCheck;
use crate::port::broker::{BrokerError, EventBroker, EventChannel, PublishReceipt};
use crate::port::intake::{InboxError, JournalRecord, JournalSource};
use crate::retry::{Backoff, opens_too_late};

/// Messages that are published and not confirmed.
const WINDOW_MESSAGES_MAX: usize = 1_024;
/// Records read at once, and the room there must be for them: a full window is filled up in steps,
/// not record by record.
const READ_RECORDS_MAX: usize = 256;
/// Under load groups start at least this far apart: the broker stores, confirms and delivers each
/// group by itself.
const PACE: Duration = Duration::from_millis(5);
/// A group of this size is load.
const BUSY_RECORDS: usize = 8;
/// A group of this size is published although earlier records are not confirmed yet.
const GROUP_RECORDS: usize = 64;
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
/// A connection that lasted longer was a good one: the next delay is a first one again.
const STABLE: Duration = Duration::from_secs(5);

/// Ships the records of one journal.
pub struct Shipper {
    source: Box<dyn JournalSource>,
    broker: Arc<dyn EventBroker>,
    health: HealthCheck,
    /// A message was not routed: a queue or a binding is missing.
    redeclare: bool,
    /// The earliest moment for the next group, under load.
    paced: Option<Instant>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Journal(#[from] InboxError),
}

/// A published record that is not confirmed.
struct InFlight {
    sequence: u64,
    receipt: PublishReceipt,
}

impl Shipper {
    #[must_use]
    pub fn new(
        source: Box<dyn JournalSource>,
        broker: Arc<dyn EventBroker>,
        health: HealthCheck,
    ) -> Shipper {
        Shipper {
            source,
            broker,
            health,
            redeclare: false,
            paced: None,
        }
    }

    /// Ships until the stop. When it is asked to leave it ships the rest, as long as the broker
    /// takes it; records that are not confirmed by then follow after the next start.
    pub async fn run(mut self, leaving: CancellationToken, stop: CancellationToken) {
        let mut backoff = Backoff::from(RECONNECT_FIRST);

        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.run_connection(&leaving) => ended,
                () = stop.cancelled() => break,
            };
            let Err(error) = ended else { break };

            self.health.set_down(&Chain(&error).to_string());
            metrics::counter!("cordboard_broker_reconnects_total").increment(1);
            self.redeclare = matches!(error, ShipError::Broker(BrokerError::Unroutable));
            self.broker.avoid_node();
            self.source.rewind();

            if began.elapsed() > STABLE {
                backoff.reset();
            }
            // Without a broker the rest follows after the next start.
            let again = tokio::select! {
                again = backoff.wait(&stop) => again,
                () = leaving.cancelled() => false,
            };
            if !again {
                break;
            }
        }

        self.source.checkpoint();
    }

    /// Ends well only when the journal has ended, and all of it is confirmed.
    async fn run_connection(&mut self, leaving: &CancellationToken) -> Result<(), ShipError> {
        let redeclare = std::mem::take(&mut self.redeclare);
        let channel = tokio::select! {
            channel = self.broker.open(redeclare) => channel?,
            () = opens_too_late(leaving) => return Err(BrokerError::Silent.into()),
        };
        self.health.set_up();

        let shipped = self.ship(&*channel).await;
        channel.close().await;

        shipped
    }

    async fn ship(&mut self, channel: &dyn EventChannel) -> Result<(), ShipError> {
        let mut blocked = channel.blocked();
        let mut window: VecDeque<InFlight> = VecDeque::new();
        let mut has_ended = false;

        loop {
            if window.is_empty() && has_ended {
                return Ok(());
            }
            let in_flight = window.len();
            let messages: usize = window.iter().map(|one| one.receipt.messages).sum();
            let has_room = WINDOW_MESSAGES_MAX.saturating_sub(messages) >= READ_RECORDS_MAX;
            // A blocked broker reads nothing, and gets nothing that would wait in between.
            let may_publish =
                has_room && !has_ended && self.is_worth_publishing(in_flight) && !*blocked.borrow();

            tokio::select! {
                // Confirmations make room: they come first.
                biased;
                confirmed = first_confirmed(&mut window) => {
                    confirmed?;
                    self.release_confirmed(&mut window)?;
                }
                Ok(()) = blocked.changed() => self.report_blocked(&mut blocked),
                more = self.wait_for_records(in_flight), if may_publish => {
                    has_ended = !more;
                    window.extend(self.publish(channel, &mut blocked).await?);
                }
            }
        }
    }

    /// Records that wait for confirmation hold up later ones, unless those are a group by
    /// themselves: single messages are stored, confirmed and delivered one by one, and cost every
    /// server more.
    fn is_worth_publishing(&self, in_flight: usize) -> bool {
        in_flight == 0 || self.source.depth() >= (in_flight + GROUP_RECORDS) as u64
    }

    /// Waits until there is a record, and it is time for the next group. Returns whether there will
    /// ever be one.
    async fn wait_for_records(&mut self, in_flight: usize) -> bool {
        if let Some(at) = self.paced
            && self.source.depth() < (in_flight + GROUP_RECORDS) as u64
        {
            tokio::time::sleep_until(at).await;
        }

        self.source.wait().await
    }

    async fn publish(
        &mut self,
        channel: &dyn EventChannel,
        blocked: &mut watch::Receiver<bool>,
    ) -> Result<Vec<InFlight>, ShipError> {
        let records = self.source.read(READ_RECORDS_MAX)?;
        self.paced = (records.len() >= BUSY_RECORDS).then(|| Instant::now() + PACE);

        let receipts = self.publish_reporting(channel, &records, blocked).await?;
        let in_flight = records.iter().zip(receipts);

        Ok(in_flight
            .map(|(record, receipt)| InFlight {
                sequence: record.sequence,
                receipt,
            })
            .collect())
    }

    /// Publishes, and reports meanwhile whether the broker is blocked: a blocked connection takes
    /// nothing until it is free again.
    async fn publish_reporting(
        &self,
        channel: &dyn EventChannel,
        records: &[JournalRecord],
        blocked: &mut watch::Receiver<bool>,
    ) -> Result<Vec<PublishReceipt>, BrokerError> {
        let span = tracing::debug_span!("publish", records = records.len());
        let publishing = channel.publish(records).instrument(span);
        tokio::pin!(publishing);

        loop {
            tokio::select! {
                published = &mut publishing => return published,
                Ok(()) = blocked.changed() => self.report_blocked(blocked),
            }
        }
    }

    /// The first record of the window is confirmed: releases it, and those behind it that are
    /// confirmed by now.
    fn release_confirmed(&mut self, window: &mut VecDeque<InFlight>) -> Result<(), BrokerError> {
        let mut last = window.pop_front();
        let mut count = 1;

        while let Some(next) = window.front_mut()
            && let Some(confirmed) = (&mut next.receipt.confirmed).now_or_never()
        {
            confirmed?;
            last = window.pop_front();
            count += 1;
        }
        if let Some(last) = last {
            self.source.release(last.sequence, count);
        }

        Ok(())
    }

    fn report_blocked(&self, blocked: &mut watch::Receiver<bool>) {
        let is_blocked = *blocked.borrow_and_update();

        if is_blocked {
            self.health
                .set_down("the broker is short of memory or disk, and takes no messages");
        } else {
            self.health.set_up();
        }
        metrics::gauge!("cordboard_broker_blocked").set(f64::from(u8::from(is_blocked)));
    }
}

/// Waits for the first record of the window. Without one it waits for ever.
async fn first_confirmed(window: &mut VecDeque<InFlight>) -> Result<(), BrokerError> {
    match window.front_mut() {
        Some(first) => (&mut first.receipt.confirmed).await,
        None => std::future::pending().await,
    }
}
