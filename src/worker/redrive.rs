//! Messages that were set aside because a later version had written them: a program that knows the
//! version reads them at its start.

use super::bisect::Bisection;
use super::{Worker, WorkerError};
use crate::domain::fact::Site;
use crate::port::intake::Delivery;
use crate::wire::envelope::UNKNOWN_VERSION;
use crate::wire::message::Message;

/// Letters looked at with one question.
const LETTERS_AT_ONCE: u32 = 500;

impl Worker {
    /// Handles those of this partition's that can be read now. One that was handled twice, because
    /// the end came before it was forgotten, is known by then.
    pub(super) async fn retry_unknown_versions(&mut self) -> Result<(), WorkerError> {
        let mut after = i64::MIN;
        loop {
            let letters = self
                .retry_while_unavailable("dead letters", || {
                    self.ledger.dead_letters(after, LETTERS_AT_ONCE)
                })
                .await?;
            let Some((last, _)) = letters.last() else {
                return Ok(());
            };
            after = *last;
            for (_, letter) in letters
                .into_iter()
                .filter(|(_, letter)| letter.reason.starts_with(UNKNOWN_VERSION))
            {
                let Ok(Message::Report(envelope)) = Message::decode(&letter.message) else {
                    continue;
                };
                if Site::parse(&envelope.site).is_some_and(|site| self.ledger.owns_site(&site)) {
                    tracing::info!(
                        digest = letter.digest,
                        "a message that was set aside can be read now"
                    );
                    self.work_off(Bisection::whole(vec![Delivery::from(letter.message)]))
                        .await?;
                    self.retry_while_unavailable("dead letters", || {
                        self.ledger.remove_dead_letter(&letter.digest)
                    })
                    .await?;
                }
            }
        }
    }
}
