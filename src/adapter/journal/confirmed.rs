//! The journal as intake that waits for confirmations, and its depth for operations.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::open::{Journal, not_durable};
use super::progress::Progress;
use crate::health::HealthCheck;
use crate::port::intake::{Intake, JournalDepth, NotDurable};

/// How long an accepted message waits for its confirmation.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// An intake that answers when a message is durable in the journal and confirmed by the consumer of
/// the journal. While the consumer is unavailable, the journal alone is enough.
#[derive(Debug)]
pub struct ConfirmedIntake {
    journal: Journal,
    /// Health of the consumer that confirms.
    consumer: HealthCheck,
}

impl ConfirmedIntake {
    #[must_use]
    pub fn new(journal: Journal, consumer: HealthCheck) -> ConfirmedIntake {
        ConfirmedIntake { journal, consumer }
    }
}

#[async_trait]
impl Intake for ConfirmedIntake {
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable> {
        let sequence = self
            .journal
            .append_record(message, false)
            .await
            .map_err(not_durable)?;

        if self.consumer.last_error().is_none() {
            let progress = self.journal.progress();
            let confirmed = progress.wait_until_settled(sequence);
            if tokio::time::timeout(CONFIRM_TIMEOUT, confirmed)
                .await
                .is_err()
            {
                metrics::counter!("cordboard_ingress_unconfirmed_total").increment(1);
            }
        }
        Ok(())
    }

    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable> {
        self.journal.accept_tick(tick).await
    }
}

/// Depth, size and rejection reason of the journal, for operations. It does not hold the journal
/// open.
#[derive(Debug)]
pub struct JournalBacklog(Arc<Progress>);

impl JournalBacklog {
    #[must_use]
    pub fn new(journal: &Journal) -> JournalBacklog {
        JournalBacklog(journal.progress())
    }
}

impl JournalDepth for JournalBacklog {
    fn depth(&self) -> u64 {
        self.0.depth()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn refusal_reason(&self) -> Option<String> {
        self.0.rejection_reason()
    }
}
