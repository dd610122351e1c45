//! Kind, state and target of a transfer attempt, derived from its legs.
//!
//! The ends of the legs decide. A transfer report of a phone is evidence, never a condition,
//! because many phones cannot send one.

use super::call::TransferAttempt;
use super::leg::{EndedBy, Leg};
use super::reading::Reading;
use super::time::At;
use super::transfer::{Transfer, TransferKind, TransferState};

impl Reading<'_> {
    /// The attempts of the call, in their order.
    pub fn transfers(&self) -> Vec<Transfer> {
        let attempts = self
            .call
            .attempts
            .iter()
            .enumerate()
            .filter(|(_, attempt)| !attempt.void);
        // A ring of which nothing more was heard, during a conversation that no phone left for it.
        let is_over = !self.legs().any(Leg::is_talking);
        let is_forgotten = |index: usize| {
            is_over && self.targets(index).all(Leg::is_pending) && self.rings_for_other_call(index)
        };
        let attempts = attempts.filter(|(index, _)| !is_forgotten(*index));

        attempts
            .map(|(index, attempt)| self.transfer(index, attempt))
            .collect()
    }

    /// The most informative transfer of the call: the last completed one, else the last one.
    pub fn main_transfer(&self) -> Option<Transfer> {
        let mut transfers = self.transfers();
        let completed = transfers
            .iter()
            .rposition(|transfer| transfer.state == TransferState::Completed);

        match completed {
            Some(index) => Some(transfers.swap_remove(index)),
            None => transfers.pop(),
        }
    }

    /// Whether the last transfer failed, and every phone had left the conversation by then: the party
    /// spoke with no phone afterwards.
    pub fn lost_in_transfer(&self) -> bool {
        let failed_at = self
            .transfers()
            .pop()
            .filter(|transfer| transfer.state == TransferState::Failed)
            .and_then(|transfer| transfer.decided_at);
        let Some(failed_at) = failed_at else {
            return false;
        };

        // The report of the transferor may be later than that of a target that refused.
        let left = |leg: &Leg| {
            leg.ended
                .is_some_and(|ended| ended < failed_at + self.policy.reorder)
        };
        self.legs()
            .filter(|leg| leg.answered.is_some())
            .all(|leg| left(leg) && leg.answered < Some(failed_at))
    }

    /// Whether the phone talked on for a while after it had reported the transfer: it was refused.
    pub(super) fn kept_its_party(&self, attempt: &TransferAttempt) -> bool {
        let transferor = attempt.transferor.map(|slot| self.leg(slot));

        transferor
            .and_then(|leg| leg.ended)
            .is_some_and(|ended| ended - attempt.started > self.policy.rering_gap)
    }

    fn transfer(&self, index: usize, attempt: &TransferAttempt) -> Transfer {
        let (kind, state, completed_at) = match (attempt.decided, attempt.consult) {
            (Some(state), _) => (TransferKind::Attended, state, None),
            (None, Some(consult)) => self.consultation(index, attempt, self.leg(consult)),
            (None, None) => self.blind(index),
        };

        let answering_target = self
            .targets(index)
            .filter(|leg| leg.answered.is_some())
            .max_by_key(|leg| leg.ended.unwrap_or(At::END));
        let target = answering_target.or_else(|| self.targets(index).next());
        let rung_extension = target
            .and_then(|leg| leg.extension.as_ref())
            .map(|own| own.as_str().to_owned());
        let dialled_number = attempt
            .target
            .as_ref()
            .map(|number| number.raw().to_owned());
        let to = if answering_target.is_some() || dialled_number.is_none() {
            rung_extension.or(dialled_number)
        } else {
            dialled_number
        };

        Transfer {
            kind,
            state,
            to,
            reason: self.failure_reason(index, state),
            initiated_at: attempt.started,
            decided_at: completed_at.or_else(|| self.decided_at(index, attempt, state)),
            completed_at,
        }
    }

    /// The instant at which a transfer came to its state, if that state is more than a beginning.
    fn decided_at(
        &self,
        index: usize,
        attempt: &TransferAttempt,
        state: TransferState,
    ) -> Option<At> {
        let consult = attempt.consult.map(|slot| self.leg(slot));
        let legs = || self.targets(index).chain(consult);

        match state {
            TransferState::Initiated | TransferState::Ringing => None,
            TransferState::Answered => {
                let answered = self.targets(index).filter_map(|leg| leg.answered).min();
                answered.or_else(|| consult?.answered)
            }
            TransferState::Completed
            | TransferState::Cancelled
            | TransferState::Failed
            | TransferState::Abandoned => legs().filter_map(|leg| leg.ended).max(),
        }
    }

    /// The reason of a cancelled or failed transfer whose targets did not answer.
    fn failure_reason(&self, index: usize, state: TransferState) -> Option<&'static str> {
        let unanswered = self.targets(index).all(|leg| leg.answered.is_none());
        if !matches!(state, TransferState::Cancelled | TransferState::Failed) || !unanswered {
            return None;
        }

        let mut targets = self.targets(index).peekable();
        targets.peek()?;
        Some(if targets.any(|leg| leg.ended_by == EndedBy::Rejected) {
            "busy"
        } else {
            "no_answer"
        })
    }

    /// The state of a consultation, derived from the ends of the two legs of the consulting phone.
    fn consultation(
        &self,
        index: usize,
        attempt: &TransferAttempt,
        consult: &Leg,
    ) -> (TransferKind, TransferState, Option<At>) {
        use TransferKind::{Attended, SemiAttended};

        let talked = self.targets(index).any(|leg| leg.answered.is_some())
            || (self.targets(index).next().is_none() && consult.answered.is_some());
        let Some(consult_ended) = consult.ended else {
            let state = if talked {
                TransferState::Answered
            } else {
                TransferState::Ringing
            };
            return (Attended, state, None);
        };

        let main_ended = attempt.transferor.and_then(|slot| self.leg(slot).ended);
        let Some(main_ended) =
            main_ended.filter(|main| (*main - consult_ended).abs() <= self.policy.together)
        else {
            return (Attended, TransferState::Cancelled, None);
        };

        let handed_over = main_ended.max(consult_ended);
        let stayed = |leg: &&Leg| {
            leg.ended
                .is_none_or(|ended| ended - handed_over >= self.policy.reorder)
        };
        if let Some(target) = self
            .targets(index)
            .filter(stayed)
            .max_by_key(|leg| leg.answered)
        {
            return match target.answered {
                Some(answered) if answered <= handed_over => {
                    (Attended, TransferState::Completed, Some(handed_over))
                }
                Some(answered) => (SemiAttended, TransferState::Completed, Some(answered)),
                None if target.is_open() => (SemiAttended, TransferState::Ringing, None),
                None => (SemiAttended, TransferState::Failed, None),
            };
        }

        // An outside party was consulted: no phone of this site can report that it stayed, only
        // that both legs ended together.
        let outside = self.targets(index).next().is_none();
        match (outside && talked, main_ended < consult_ended) {
            (true, _) => (Attended, TransferState::Completed, Some(handed_over)),
            (false, true) => (Attended, TransferState::Abandoned, None),
            (false, false) => (Attended, TransferState::Cancelled, None),
        }
    }

    /// The state of a blind transfer: a phone rings for a party that is in a conversation, or was a
    /// moment ago.
    fn blind(&self, index: usize) -> (TransferKind, TransferState, Option<At>) {
        let answered = self.targets(index).filter_map(|leg| leg.answered).min();
        let state = match answered {
            Some(answered) if self.conversation_left(answered) => TransferState::Completed,
            Some(_) => TransferState::Answered,
            None if self.targets(index).any(Leg::is_open) => TransferState::Ringing,
            None if self.targets(index).next().is_none() => TransferState::Initiated,
            None => TransferState::Failed,
        };

        (
            TransferKind::Blind,
            state,
            answered.filter(|_| state == TransferState::Completed),
        )
    }

    /// Whether a leg that was answered before `instant` has left the conversation.
    fn conversation_left(&self, instant: At) -> bool {
        self.legs().any(|leg| {
            leg.ended.is_some() && leg.answered.is_some_and(|answered| answered < instant)
        })
    }
}
