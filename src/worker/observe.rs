//! Metrics of a worker, and the debug lines that follow one event through it.

use tracing::Level;

use super::Worker;
use super::partition::Batch;
use crate::domain::fact::EventId;
use crate::domain::notice::NoticeKind;
use crate::port::intake::Delivery;
use crate::port::ledger::{Changes, ReceivedFact};
use crate::port::outbox::Notification;
use crate::wire::message::Message;

/// Ingresses whose disbelieved ticks are reported, each once.
const REPORTED_INGRESSES_MAX: usize = 64;

impl Worker {
    pub(super) fn observe_deliveries(&self, deliveries: &[Delivery]) {
        if !tracing::enabled!(Level::DEBUG) {
            return;
        }

        for delivery in deliveries {
            let read = || Message::decode(&delivery.message).ok();
            let Some(Message::Event(envelope)) = delivery.decoded.clone().or_else(read) else {
                continue;
            };
            tracing::debug!(
                station = "deliver",
                event_id = %EventId(envelope.id.as_u128()),
                site = envelope.site,
                partition = self.number,
                redelivered_often = delivery.redelivered_often,
                "event delivered"
            );
        }
    }

    /// Counts a decoded batch, and reports messages that are set aside.
    pub(super) fn observe_batch(&mut self, batch: &Batch) {
        let rejected = batch.rejected().len();
        let messages = batch.facts().count() + rejected;
        let ticks = usize::try_from(batch.counts.ticks).unwrap_or(usize::MAX);
        metrics::histogram!("cordboard_worker_batch_messages").record(float(messages + ticks));

        if rejected > 0 {
            tracing::error!(
                messages = rejected,
                "messages hold no fact, keeping them in the table `dead_events`"
            );
        }
        self.trace_facts("batch", batch.facts());
        self.observe_ticks(batch);
    }

    /// Counts ticks that let no time pass, and reports each of their ingresses once.
    fn observe_ticks(&mut self, batch: &Batch) {
        let count = |reason: &'static str, ticks: u64| {
            metrics::counter!("cordboard_worker_ticks_ignored_total", "reason" => reason)
                .increment(ticks);
        };

        count("unregistered", batch.unregistered_ticks);
        count("outside_window", batch.disbelieved_ticks.len() as u64);
        for (ingress, outside) in &batch.disbelieved_ticks {
            // Forged ticks may bear a new name each.
            let has_room = self.reported_ingresses.len() < REPORTED_INGRESSES_MAX;
            if has_room && self.reported_ingresses.insert(*ingress) {
                tracing::error!(
                    partition = self.number,
                    %ingress,
                    reason = %outside,
                    "the ticks of an ingress let no time pass: set the clock of its machine, or of \
                     this one"
                );
            }
        }
    }

    pub(super) fn observe_commit(&self, changes: &Changes) {
        self.trace_facts("commit", &changes.facts);
    }

    fn trace_facts<'f>(
        &self,
        station: &'static str,
        facts: impl IntoIterator<Item = &'f ReceivedFact>,
    ) {
        if !tracing::enabled!(Level::DEBUG) {
            return;
        }

        for ReceivedFact { fact, .. } in facts {
            tracing::debug!(
                station,
                event_id = %fact.id,
                site = fact.site.as_str(),
                partition = self.number,
                "fact passed"
            );
        }
    }

    pub(super) fn observe_notifications(&self, notifications: &[Notification]) {
        for notification in notifications {
            tracing::debug!(
                station = "notify",
                call_id = %notification.call,
                partition = self.number,
                sequence = notification.number,
                kind = notification.kind.name(),
                "notification decided"
            );
        }

        let retracted = notifications
            .iter()
            .filter(|notification| notification.kind == NoticeKind::MissedRetracted)
            .count();

        metrics::counter!("cordboard_worker_missed_retracted_total").increment(retracted as u64);
        metrics::gauge!("cordboard_worker_calls_held").set(float(self.partition.calls_held()));
    }
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
