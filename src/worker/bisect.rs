//! Bisection of a batch that fails because of one of its messages: it is halved until the message
//! stands alone. Its neighbours are processed.

use super::WorkerError;
use super::partition::BatchItem;

/// The sub-batches that are left of a batch, the next one last.
pub(super) struct Bisection(Vec<Vec<BatchItem>>);

impl Bisection {
    /// The whole batch as one.
    pub(super) fn of(batch: Vec<BatchItem>) -> Bisection {
        Bisection(vec![batch])
    }

    pub(super) fn next(&mut self) -> Option<Vec<BatchItem>> {
        self.0.pop()
    }

    /// Adds a failed sub-batch again, in two halves. A single message is a
    /// suspect, and is returned.
    ///
    /// # Errors
    /// When the sub-batch held only messages that are set aside: the reason lies elsewhere.
    pub(super) fn split(
        &mut self,
        mut sub_batch: Vec<BatchItem>,
        reason: &str,
    ) -> Result<Option<BatchItem>, WorkerError> {
        let is_marked = sub_batch.iter().any(|item| item.poison.is_some());
        if is_marked || sub_batch.is_empty() {
            return Err(WorkerError::Poison(reason.to_owned()));
        }

        if sub_batch.len() == 1 {
            return Ok(sub_batch.pop());
        }
        let second = sub_batch.split_off(sub_batch.len() / 2);
        self.0.push(second);
        self.0.push(sub_batch);

        Ok(None)
    }

    /// Adds messages that are no suspects after all, to be processed next.
    pub(super) fn retry(&mut self, messages: Vec<BatchItem>) {
        self.0.push(messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::intake::Delivery;

    /// Processes sub-batches until the end. Returns written messages, and suspects.
    fn bisect(bisection: &mut Bisection, bad: &[u8]) -> (Vec<u8>, Vec<BatchItem>) {
        let mut written = Vec::new();
        let mut suspects = Vec::new();

        while let Some(sub_batch) = bisection.next() {
            if sub_batch.iter().any(|item| bad.contains(&item.message[0])) {
                suspects.extend(bisection.split(sub_batch, "bad").unwrap());
            } else {
                written.extend(sub_batch.into_iter().map(|item| item.message[0]));
            }
        }

        (written, suspects)
    }

    #[test]
    fn bisection_isolates_bad_messages_and_keeps_the_order_of_the_others() {
        let batch = (0..11_u8).map(|n| Delivery::from(vec![n]).into());
        let mut bisection = Bisection::of(batch.collect());
        let (written, suspects) = bisect(&mut bisection, &[0, 7]);
        assert_eq!(written, [1, 2, 3, 4, 5, 6, 8, 9, 10]);
        assert_eq!(
            suspects
                .iter()
                .map(|item| item.message[0])
                .collect::<Vec<_>>(),
            [0, 7]
        );

        bisection.retry(suspects);
        let (written, suspects) = bisect(&mut bisection, &[]);
        assert_eq!(written, [0, 7]);
        assert!(suspects.is_empty());
    }

    #[test]
    fn a_failure_of_a_message_that_is_set_aside_is_not_its_own() {
        let mut item = BatchItem::from(Delivery::from(vec![1]));
        item.poison = Some("bad".to_owned());
        let mut bisection = Bisection::of(vec![item]);
        let sub_batch = bisection.next().unwrap();

        assert!(matches!(
            bisection.split(sub_batch, "worse"),
            Err(WorkerError::Poison(_))
        ));
    }
}
