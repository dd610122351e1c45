//! Consultations: the second leg of a phone whose party waits. The ends of the legs decide to which
//! conversation a consultation belongs, and whether it is a call of its own.

use smallvec::SmallVec;

use super::Fold;
use super::review::LegGroup;
use crate::domain::call::{Rule, TransferAttempt};
use crate::domain::fact::CallId;
use crate::domain::leg::{CallSlot, EndedBy, Leg, LegSlot, Role};
use crate::domain::link::{Confidence, Link, LinkKind};
use crate::domain::time::At;
use crate::domain::transfer::TransferState;

impl Fold {
    /// Ends consultations whose other side, a phone of this site, has left: the report of the
    /// consulting phone was lost.
    pub(super) fn review_left_consult(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let Some(consult) = attempt.consult.filter(|_| !attempt.is_decided()) else {
                continue;
            };

            let reading = self.reading(call);
            let all_left = reading.targets(index).all(|target| !target.is_open());
            let last_left = reading
                .targets(index)
                .filter_map(|target| target.ended)
                .max();
            let Some(left) = last_left.filter(|_| all_left) else {
                continue;
            };
            let leg = &self.legs[consult];
            let is_silent = leg.is_open() && leg.last_change <= left + self.policy.reorder;
            if !is_silent || at - left < self.policy.rering_gap {
                continue;
            }

            let leg = &mut self.legs[consult];
            // Its answer may have come a moment after the target had left.
            let ended = leg.answered.map_or(left, |answered| answered.max(left));
            leg.ended = Some(ended);
            leg.end_reported = Some(ended);
            leg.ended_by = EndedBy::Superseded;
            self.mark_changed(call);
            self.update_deadlines(call);
        }
    }

    /// Splits off consultations that went on after the waiting party left: each is a call of its
    /// own.
    pub(super) fn review_abandoned(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            if attempt.is_decided() {
                continue;
            }
            let (Some(main), Some(consult)) = (attempt.transferor, attempt.consult) else {
                continue;
            };

            let Some(left) = self.legs[main]
                .ended
                .filter(|ended| at - *ended >= self.policy.together)
            else {
                continue;
            };
            if !self.legs[consult].is_open() {
                continue;
            }

            // A consultation dialled at the moment of the hangup had no waiting party: the two
            // requests overtook each other.
            if left - self.legs[consult].started < self.policy.reorder {
                self.calls[call].attempts[index].void = true;
                self.split(
                    &self.consult_legs(call, index, consult),
                    Rule::ConsultBecameCall,
                );
                continue;
            }

            self.calls[call].attempts[index].decided = Some(TransferState::Abandoned);
            let reason = "the consultation went on after the party it was made for had left";
            self.split_consult(call, index, consult, Confidence::High, reason);
        }
    }

    /// Makes the consultation a call of its own, linked to the call in which it began.
    fn split_consult(
        &mut self,
        call: CallSlot,
        index: usize,
        consult: LegSlot,
        confidence: Confidence,
        reason: &'static str,
    ) {
        let parent: CallId = self.calls[call].id;

        if let Some(split) = self.split(
            &self.consult_legs(call, index, consult),
            Rule::ConsultBecameCall,
        ) {
            self.calls[split].links.push(Link {
                kind: LinkKind::Transfer,
                call: parent,
                confidence,
                reason,
            });
        }
    }

    /// The legs of a consultation, with their roles in a call of their own.
    fn consult_legs(&self, call: CallSlot, index: usize, consult: LegSlot) -> LegGroup {
        let mut group: LegGroup = SmallVec::new();
        group.push((consult, Role::Caller));
        let targets = self.target_slots(call, index).into_iter();
        group.extend(targets.map(|slot| (slot, Role::Callee)));
        group
    }

    /// The target legs of an attempt.
    pub(super) fn target_slots(&self, call: CallSlot, index: usize) -> SmallVec<[LegSlot; 4]> {
        let is_target = |leg: &Leg| {
            leg.role == Role::Target
                && leg
                    .attempt
                    .is_some_and(|attempt| usize::from(attempt) == index)
        };

        let legs = self.calls[call].legs.iter().copied();
        legs.filter(|slot| is_target(&self.legs[*slot])).collect()
    }

    /// Splits off answered consultations with outside parties that were not handed the waiting
    /// party. Each is a call of its own, so that it can be found when the phone bill is checked.
    pub(super) fn review_outside_consult(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let (Some(main), Some(consult)) = (attempt.transferor, attempt.consult) else {
                continue;
            };

            let leg = &self.legs[consult];
            let Some(ended) = leg
                .ended
                .filter(|ended| leg.answered.is_some() && at - *ended >= self.policy.together)
            else {
                continue;
            };

            let handed_over = self.legs[main]
                .ended
                .is_some_and(|main| (main - ended).abs() <= self.policy.together);
            let reading = self.reading(call);
            let outside = reading.targets(index).next().is_none() && !reading.dials_colleague(leg);
            if attempt.is_decided() || handed_over || !outside {
                continue;
            }

            self.calls[call].attempts[index].decided = Some(TransferState::Cancelled);
            self.split_consult(
                call,
                index,
                consult,
                Confidence::High,
                "made while the party of this call waited",
            );
        }
    }

    /// Moves a consultation to the conversation that ended together with it. A phone with several
    /// parties on hold hands over exactly that one.
    pub(super) fn reassign_consult(&mut self, slot: LegSlot, at: At) {
        let Some(phone) = self.phones.get(&self.legs[slot].device) else {
            return;
        };

        let just_ended = |leg: &Leg| {
            leg.answered.is_some()
                && leg
                    .ended
                    .is_some_and(|ended| at - ended <= self.policy.together)
        };
        let of_phone = || {
            phone.legs.iter().copied().filter(|other| {
                just_ended(&self.legs[*other]) && !self.is_final(self.legs[*other].call)
            })
        };

        let Some(consult) = of_phone()
            .filter(|other| self.legs[*other].role == Role::Consult)
            .max_by_key(|other| self.legs[*other].ended)
        else {
            return;
        };
        let main = of_phone()
            .filter(|other| self.legs[*other].role != Role::Consult)
            .max_by_key(|other| self.legs[*other].ended);
        let (Some(main), Some(index)) = (main, self.legs[consult].attempt) else {
            return;
        };

        let from = self.legs[consult].call;
        let to = self.legs[main].call;
        let transferor_talks = self.calls[from]
            .attempts
            .get(usize::from(index))
            .and_then(|attempt| attempt.transferor)
            .is_some_and(|transferor| self.legs[transferor].is_talking());
        if from == to
            || !transferor_talks
            || self.calls[to].attempts.len() >= super::placing::ATTEMPTS_MAX
        {
            return;
        }

        let leg = &self.legs[consult];
        let attempt = TransferAttempt::new(
            leg.started,
            Some(main),
            Some(consult),
            Some(leg.remote.clone()),
        );
        let targets = self.target_slots(from, usize::from(index));
        self.calls[to].attempts.push(attempt);
        let new_index = u8::try_from(self.calls[to].attempts.len() - 1).ok();

        for target in targets {
            self.move_leg(target, to, Role::Target, new_index);
        }
        self.move_leg(consult, to, Role::Consult, new_index);
    }

    /// Schedules the decision whether a phone joined its two parties: both of its legs ended together,
    /// and each is in a call of its own.
    pub(super) fn schedule_join_review(&mut self, slot: LegSlot, at: At) {
        let due = at + self.policy.together;
        if let Some(other) = self.ended_together(slot) {
            for leg in [slot, other] {
                self.schedule_review(self.legs[leg].call, due);
            }
        }
    }

    /// Joins the call of a colleague to that of an outside party, if the phone that talked with both
    /// has left them, and the colleague talks on: the colleague had called, or was called before the
    /// party did.
    pub(super) fn review_joined(&mut self, call: CallSlot, at: At) {
        let has_left = |slot: &LegSlot| {
            let leg = &self.legs[*slot];
            let ended = leg.ended.filter(|_| leg.answered.is_some());
            leg.role == Role::Callee
                && ended.is_some_and(|ended| at - ended >= self.policy.together)
        };
        let mut left = self.calls[call].legs.iter().copied().filter(has_left);
        let Some(main) = left.next().filter(|_| left.next().is_none()) else {
            return;
        };
        let goes_on = self.reading(call).legs().any(Leg::is_open);
        let Some(second) = self.ended_together(main).filter(|_| !goes_on) else {
            return;
        };
        let from = self.legs[second].call;
        let others: SmallVec<[LegSlot; 4]> = self.calls[from]
            .legs
            .iter()
            .copied()
            .filter(|other| *other != second)
            .collect();
        let talks_on = |slot: &LegSlot| {
            let leg = &self.legs[*slot];
            leg.is_talking() && leg.remote_is(&self.legs[second])
        };
        if !others.iter().any(talks_on)
            || !self.calls[from].attempts.is_empty()
            || self.is_final(call)
            || self.is_final(from)
            || self.calls[call].attempts.len() >= super::placing::ATTEMPTS_MAX
        {
            return;
        }

        let leg = &self.legs[second];
        let target = Some(leg.remote.clone());
        let attempt = TransferAttempt::new(leg.started, Some(main), Some(second), target);
        self.calls[call].attempts.push(attempt);
        let index = u8::try_from(self.calls[call].attempts.len() - 1).ok();
        for other in others {
            self.move_leg(other, call, Role::Target, index);
        }
        self.move_leg(second, call, Role::Consult, index);
    }

    /// The leg of the same account, in another call, whose conversation ended together with this one.
    fn ended_together(&self, slot: LegSlot) -> Option<LegSlot> {
        let leg = &self.legs[slot];
        let ended = leg.ended.filter(|_| leg.answered.is_some())?;
        let phone = self.phones.get(&leg.device)?;

        phone.legs.iter().copied().find(|other| {
            let second = &self.legs[*other];
            second.call != leg.call
                && second.extension == leg.extension
                && second.answered.is_some()
                && !second.remote.same_party(&leg.remote)
                && second
                    .ended
                    .is_some_and(|other| (other - ended).abs() <= self.policy.together)
        })
    }

    /// Splits off answered calls that a phone made after a conversation whose end was lost.
    pub(super) fn review_lost_main(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let (Some(main), Some(consult)) = (attempt.transferor, attempt.consult) else {
                continue;
            };

            let silent_since_then = self.legs[main].is_open()
                && self.legs[consult]
                    .ended
                    .is_some_and(|ended| self.legs[main].last.at <= ended);
            if attempt.is_decided()
                || !silent_since_then
                || !self.consult_was_answered(call, index, consult)
            {
                continue;
            }

            // Later consultations are no sign of the conversation.
            let due = self.legs[main].last_change + self.policy.duration_max;
            if at < due {
                self.schedule_review(call, due);
                continue;
            }

            self.calls[call].attempts[index].void = true;
            let reason = "made from a phone whose earlier conversation never got an end";
            self.split_consult(call, index, consult, Confidence::Low, reason);
        }
    }

    fn consult_was_answered(&self, call: CallSlot, index: usize, consult: LegSlot) -> bool {
        let mut targets = self.reading(call).targets(index).peekable();
        if targets.peek().is_none() {
            self.legs[consult].answered.is_some()
        } else {
            targets.any(|target| target.answered.is_some())
        }
    }

    /// Splits off unanswered calls of the party of a conversation whose end was lost, if they came
    /// long after the last sign of that conversation.
    pub(super) fn review_lost_transfer(&mut self, call: CallSlot, at: At) {
        let due = self.calls[call].last.at + self.policy.duration_max;
        for index in 0..self.calls[call].attempts.len() {
            if !self.rang_after_lost_end(call, index) {
                continue;
            }
            if at < due {
                self.schedule_review(call, due);
                return;
            }

            let targets = self.target_slots(call, index).into_iter();
            let group: LegGroup = targets.map(|slot| (slot, Role::Callee)).collect();
            self.calls[call].attempts[index].void = true;
            self.split(&group, Rule::LateRingBecameCall);
        }
    }

    /// Whether the attempt began long after the last sign of an unended conversation, was never
    /// reported by a phone, and was not answered.
    fn rang_after_lost_end(&self, call: CallSlot, index: usize) -> bool {
        let reading = self.reading(call);
        let attempt = &reading.call.attempts[index];
        let mut targets = reading.targets(index).peekable();
        let unanswered = targets.peek().is_some()
            && targets.all(|target| target.answered.is_none() && !target.is_open());

        let mut talking = reading
            .main_legs()
            .filter(|leg| leg.is_talking())
            .peekable();
        let end_lost = talking.peek().is_some()
            && talking.all(|leg| attempt.started - leg.last.at >= self.policy.doubt_after);

        !attempt.is_decided()
            && !attempt.explicit
            && attempt.consult.is_none()
            && unanswered
            && end_lost
    }
}
