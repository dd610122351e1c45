//! Bisection of a batch that fails because of one of its messages: it is halved until the message
//! stands alone, and that message is set aside as it came. Its neighbours are processed.

use super::WorkerError;
use super::partition::BatchItem;
use crate::port::intake::Delivery;

/// The sub-batches that are left of a batch, the next one last.
pub(super) struct Bisection(Vec<Vec<BatchItem>>);

impl Bisection {
    /// The whole batch as one.
    pub(super) fn of(deliveries: Vec<Delivery>) -> Bisection {
        Bisection(vec![deliveries.into_iter().map(Into::into).collect()])
    }

    /// A message that is set aside unread.
    pub(super) fn poisoned(delivery: Delivery, reason: &str) -> Bisection {
        let poison = Some(reason.to_owned());

        Bisection(vec![vec![BatchItem {
            poison,
            ..delivery.into()
        }]])
    }

    pub(super) fn next(&mut self) -> Option<Vec<BatchItem>> {
        self.0.pop()
    }

    /// Adds a failed sub-batch again, in two halves; a single message is marked instead.
    ///
    /// # Errors
    /// When the sub-batch held only messages that are set aside: the reason lies elsewhere.
    pub(super) fn split(
        &mut self,
        mut sub_batch: Vec<BatchItem>,
        reason: &str,
    ) -> Result<(), WorkerError> {
        let is_marked = sub_batch.iter().any(|item| item.poison.is_some());
        if is_marked || sub_batch.is_empty() {
            return Err(WorkerError::Poison(reason.to_owned()));
        }

        if let [only] = &mut sub_batch[..] {
            only.poison = Some(reason.to_owned());
            self.0.push(sub_batch);
            return Ok(());
        }
        let second = sub_batch.split_off(sub_batch.len() / 2);
        self.0.push(second);
        self.0.push(sub_batch);

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bisection_isolates_bad_messages_and_keeps_the_order_of_the_others() {
        let mut bisection = Bisection::of((0..11_u8).map(|n| vec![n].into()).collect());
        let mut written = Vec::new();
        let mut aside = Vec::new();

        while let Some(sub_batch) = bisection.next() {
            let is_marked = sub_batch.iter().any(|item| item.poison.is_some());
            let is_bad = sub_batch
                .iter()
                .any(|item| [0, 7].contains(&item.message[0]));
            if is_bad && !is_marked {
                bisection.split(sub_batch, "bad").unwrap();
                continue;
            }

            let target = if is_marked { &mut aside } else { &mut written };
            target.extend(sub_batch.into_iter().map(|item| item.message[0]));
        }

        assert_eq!(written, [1, 2, 3, 4, 5, 6, 8, 9, 10]);
        assert_eq!(aside, [0, 7]);
    }

    #[test]
    fn a_failure_of_a_message_that_is_set_aside_is_not_charged_to_it() {
        let mut bisection = Bisection::poisoned(vec![1].into(), "bad");
        let sub_batch = bisection.next().unwrap();

        assert!(matches!(
            bisection.split(sub_batch, "worse"),
            Err(WorkerError::Poison(_))
        ));
    }
}
