//! Attempts to process a message that may end its worker. Each attempt is stored before it begins,
//! so that the count survives the process; after some of them the message is set aside unread.
//!
//! Restarts and lost connections redeliver messages as well. Only a batch that was started several
//! times and never finished is taken apart.

use super::partition::BatchItem;
use super::{Worker, WorkerError};
use crate::port::intake::Delivery;

/// A message that was started so often and never finished is set aside.
const MESSAGE_ATTEMPTS_MAX: u32 = 5;

/// The name under which attempts of a redelivered batch are counted. Its first message stands for
/// it, and differs from the name of that message alone.
pub(super) fn redelivered_batch(deliveries: &[Delivery]) -> Option<Vec<u8>> {
    let first = deliveries.first()?;

    first
        .redelivered_often
        .then(|| [b"batch of ", first.message.as_slice()].concat())
}

impl Worker {
    /// Processes a message of a batch that was started too often by itself.
    pub(super) async fn handle_alone(&mut self, delivery: Delivery) -> Result<(), WorkerError> {
        let message = delivery.message.clone();
        let attempts = self.record_attempt(Some(&message)).await?;

        let mut item = BatchItem::from(delivery);
        if attempts > MESSAGE_ATTEMPTS_MAX {
            tracing::error!(
                attempts,
                "message ended its worker several times, setting it aside unread"
            );
            item.poison = Some("processing it ended the worker several times".to_owned());
        }

        self.process(vec![item]).await?;
        self.clear_attempts(Some(&message)).await
    }

    /// Stores one more attempt of a redelivered batch or message, and returns their number; zero for
    /// a batch that is delivered for the first time.
    pub(super) async fn record_attempt(
        &self,
        redelivered: Option<&[u8]>,
    ) -> Result<u32, WorkerError> {
        match redelivered {
            None => Ok(0),
            Some(message) => {
                self.retry_while_unavailable("record an attempt", || {
                    self.ledger.record_attempt(message)
                })
                .await
            }
        }
    }

    /// The redelivered batch or message was processed.
    pub(super) async fn clear_attempts(
        &self,
        redelivered: Option<&[u8]>,
    ) -> Result<(), WorkerError> {
        match redelivered {
            None => Ok(()),
            Some(message) => {
                self.retry_while_unavailable("clear attempts", || {
                    self.ledger.clear_attempts(message)
                })
                .await
            }
        }
    }
}
