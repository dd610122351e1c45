//! Dead letters of a later version: a worker that knows the version processes them at its start.

use super::{Worker, WorkerError};
use crate::domain::fact::Site;
use crate::port::dead_letters::DeadLetter;
use crate::port::intake::Delivery;
use crate::wire::envelope::UNKNOWN_VERSION;
use crate::wire::message::Message;

/// Dead letters read with one query.
const PAGE_LETTERS: u32 = 500;

impl Worker {
    /// Processes the partition's dead letters that can be read now. A letter that is processed
    /// twice, because the process was killed before it was removed, is a duplicate by then.
    pub(super) async fn retry_unknown_versions(&mut self) -> Result<(), WorkerError> {
        let mut after = i64::MIN;

        loop {
            let page = self
                .retry_while_unavailable("read dead letters", || {
                    self.ledger.dead_letters(after, PAGE_LETTERS)
                })
                .await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;

            for (_, letter) in page {
                if self.can_process(&letter) {
                    self.process_letter(letter).await?;
                }
            }
        }
    }

    fn can_process(&self, letter: &DeadLetter) -> bool {
        if !letter.reason.starts_with(UNKNOWN_VERSION) {
            return false;
        }

        match Message::decode(&letter.message) {
            Ok(Message::Event(envelope)) => {
                Site::parse(&envelope.site).is_some_and(|site| self.ledger.owns_site(&site))
            }
            _ => false,
        }
    }

    async fn process_letter(&mut self, letter: DeadLetter) -> Result<(), WorkerError> {
        let digest = letter.digest;
        tracing::info!(
            digest,
            "processing a dead letter whose version is known now"
        );
        let message = Delivery::from(letter.message);

        self.process(vec![message.into()]).await?;
        self.retry_while_unavailable("remove a dead letter", || {
            self.ledger.remove_dead_letter(&digest)
        })
        .await
    }
}
