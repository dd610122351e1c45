//! A message that can be neither folded nor written must not hold up its neighbours: the batch is
//! halved until it stands alone, and it is kept as it came.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Worker, WorkerError};
use crate::port::intake::Delivery;
use crate::wire::message::Message;

/// A message, and why it is not to be touched, if that is known.
pub(super) struct BatchItem {
    pub message: Vec<u8>,
    pub read: Option<Message>,
    pub poison: Option<String>,
}

/// What is left of a batch, the next part last.
pub(super) struct Bisection(Vec<Vec<BatchItem>>);

impl Bisection {
    pub(super) fn whole(messages: Vec<Delivery>) -> Bisection {
        Bisection(vec![
            messages
                .into_iter()
                .map(|handed| BatchItem {
                    message: handed.message,
                    read: handed.decoded,
                    poison: None,
                })
                .collect(),
        ])
    }

    /// What there is, is not to be read.
    fn mark(&mut self, why: &str) {
        for part in self.0.iter_mut().flatten() {
            part.poison = Some(why.to_owned());
        }
    }

    pub(super) fn next(&mut self) -> Option<Vec<BatchItem>> {
        self.0.pop()
    }

    /// Puts back a part in which `reason` is somewhere: in two halves, or marked when it is one
    /// message.
    fn split(&mut self, mut part: Vec<BatchItem>, reason: String) {
        if let [only] = &mut part[..] {
            only.poison = Some(reason);
            self.0.push(part);
            return;
        }
        let second = part.split_off(part.len() / 2);
        self.0.push(second);
        self.0.push(part);
    }
}

impl Worker {
    /// After a failure: the same again in smaller parts, if it was poison.
    pub(super) async fn split_after_failure(
        &mut self,
        parts: &mut Bisection,
        part: Vec<BatchItem>,
        error: WorkerError,
    ) -> Result<(), WorkerError> {
        let marked = part.iter().any(|part| part.poison.is_some());
        let WorkerError::Poison(reason) = error else {
            return Err(error);
        };
        if marked || part.is_empty() {
            // Not even the message alone can be kept: that is no matter of what it says.
            return Err(WorkerError::Poison(reason));
        }
        tracing::error!(
            reason,
            messages = part.len(),
            "something in a batch can be neither folded nor written; looking for it by halves"
        );
        // What the batch had changed in memory is not what was committed.
        self.begin_again().await?;
        parts.split(part, reason);
        Ok(())
    }
}

/// A batch that was begun so often and never done is handled message by message.
pub(super) const BATCH_ATTEMPTS_MAX: u32 = 2;
/// A message that was begun so often and never done is not handled again.
const ATTEMPTS_MAX: u32 = 5;

impl Worker {
    /// Handles a message that may end whoever does: each attempt is written down first, and after
    /// some of them it is set aside unread.
    pub(super) async fn handle_alone(&mut self, one: Delivery) -> Result<(), WorkerError> {
        let message = one.message.clone();
        let mut parts = Bisection::whole(vec![one]);
        let attempts = self.attempt(&message).await?;
        if attempts > ATTEMPTS_MAX {
            tracing::error!(
                attempts,
                "a message ended the process that handled it, several times; it is set aside as it came"
            );
            parts.mark("whoever handled it ended before it was done, again and again");
        }
        self.work_off(parts).await?;
        self.acquit(&message).await
    }

    pub(super) async fn attempt(&self, message: &[u8]) -> Result<u32, WorkerError> {
        self.retry_while_unavailable("attempts", || self.ledger.record_attempt(message))
            .await
    }

    pub(super) async fn acquit(&self, message: &[u8]) -> Result<(), WorkerError> {
        self.retry_while_unavailable("attempts", || self.ledger.clear_attempts(message))
            .await
    }
}

/// Does what may panic on a message that nobody foresaw.
pub(super) fn catch_panic<T>(what: impl FnOnce() -> T) -> Result<T, WorkerError> {
    // What a panic leaves half done is thrown away with all that is in memory.
    catch_unwind(AssertUnwindSafe(what))
        .map_err(|_| WorkerError::Poison("folding it ends in a defect of this program".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_finds_the_one_and_keeps_the_order() {
        let mut parts = Bisection::whole((0..11_u8).map(|n| vec![n].into()).collect());
        let (mut written, mut aside) = (Vec::new(), Vec::new());
        while let Some(part) = parts.next() {
            let marked = part.iter().any(|part| part.poison.is_some());
            if !marked
                && part
                    .iter()
                    .any(|part| part.message == [7] || part.message == [0])
            {
                parts.split(part, "bad".to_owned());
                continue;
            }
            let to = if marked { &mut aside } else { &mut written };
            to.extend(part.into_iter().map(|part| part.message[0]));
        }
        assert_eq!(
            (written, aside),
            (vec![1, 2, 3, 4, 5, 6, 8, 9, 10], vec![0, 7])
        );
    }

    #[test]
    fn a_panic_is_poison() {
        assert_eq!(catch_panic(|| 7).ok(), Some(7));
        assert!(matches!(
            catch_panic(|| panic!("at the worst moment")),
            Err(WorkerError::Poison(_))
        ));
    }
}
