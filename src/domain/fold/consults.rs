//! Consultations: the second leg of a phone whose party waits. Which conversation it belongs to,
//! and whether it is a call of its own, shows only by how the legs end.

use smallvec::SmallVec;

use super::Fold;
use super::review::Group;
use crate::domain::call::{Attempt, Rule};
use crate::domain::fact::CallId;
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role};
use crate::domain::link::{Confidence, Link, LinkKind};
use crate::domain::time::At;
use crate::domain::transfer::TransferState;

impl Fold {
    /// The party left, and the consultation went on: it is a call of its own.
    pub(super) fn review_abandoned(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            if attempt.is_settled() {
                continue;
            }
            let (Some(main), Some(consult)) = (attempt.by, attempt.consult) else {
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
            // Dialled in the moment of the hangup: nobody waited, the two requests overtook each
            // other.
            if left - self.legs[consult].started < self.policy.reorder {
                self.calls[call].attempts[index].void = true;
                self.split(
                    &self.consult_group(call, index, consult),
                    Rule::ConsultBecameCall,
                );
                continue;
            }
            self.calls[call].attempts[index].settled = Some(TransferState::Abandoned);
            let reason = "the consultation went on after the party it was made for had left";
            self.split_consult(call, index, consult, Confidence::High, reason);
        }
    }

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
            &self.consult_group(call, index, consult),
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

    /// The legs of a consultation, as they sit in a call of their own.
    fn consult_group(&self, call: CallSlot, index: usize, consult: LegSlot) -> Group {
        let mut group: Group = SmallVec::new();
        group.push((consult, Role::Caller));
        let belongs = |leg: &Leg| {
            leg.role == Role::Target
                && leg
                    .attempt
                    .is_some_and(|attempt| usize::from(attempt) == index)
        };
        group.extend(
            self.calls[call]
                .legs
                .iter()
                .copied()
                .filter(|slot| belongs(&self.legs[*slot]))
                .map(|slot| (slot, Role::Callee)),
        );
        group
    }

    /// Somebody outside was asked, talked, and was not handed the party: that was a call, and
    /// whoever pays for it looks for it.
    pub(super) fn review_outside_consult(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let (Some(main), Some(consult)) = (attempt.by, attempt.consult) else {
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
            if attempt.is_settled() || handed_over || !outside {
                continue;
            }
            self.calls[call].attempts[index].settled = Some(TransferState::Cancelled);
            self.split_consult(
                call,
                index,
                consult,
                Confidence::High,
                "made while the party of this call waited",
            );
        }
    }

    /// A phone with several parties on hold hands over the one whose leg ends together with the
    /// consultation, whichever it was.
    pub(super) fn rehome_consult(&mut self, slot: LegSlot, at: At) {
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
                just_ended(&self.legs[*other]) && !self.is_past(self.legs[*other].call)
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
        let (from, to) = (self.legs[consult].call, self.legs[main].call);
        let still_there = self.calls[from]
            .attempts
            .get(usize::from(index))
            .and_then(|attempt| attempt.by)
            .is_some_and(|by| self.legs[by].is_talking());
        if from == to
            || !still_there
            || self.calls[to].attempts.len() >= super::placing::ATTEMPTS_MAX
        {
            return;
        }
        let leg = &self.legs[consult];
        let attempt = Attempt::new(
            leg.started,
            Some(main),
            Some(consult),
            Some(leg.remote.clone()),
        );
        let targets: SmallVec<[LegSlot; 4]> = self.calls[from]
            .legs
            .iter()
            .copied()
            .filter(|other| {
                self.legs[*other].role == Role::Target && self.legs[*other].attempt == Some(index)
            })
            .collect();
        self.calls[to].attempts.push(attempt);
        let new_index = u8::try_from(self.calls[to].attempts.len() - 1).ok();
        for target in targets {
            self.move_leg(target, to, Role::Target, new_index);
        }
        self.move_leg(consult, to, Role::Consult, new_index);
    }

    /// A conversation whose end never came does not swallow the answered calls that its phone made
    /// later.
    pub(super) fn review_lost_main(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let (Some(main), Some(consult)) = (attempt.by, attempt.consult) else {
                continue;
            };
            let silent_since_then = self.legs[main].is_open()
                && self.legs[consult]
                    .ended
                    .is_some_and(|ended| self.legs[main].last.at <= ended);
            if attempt.is_settled()
                || !silent_since_then
                || !self.consult_was_answered(call, index, consult)
            {
                continue;
            }
            let due = self.calls[call].last.at + self.policy.duration_max;
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

    /// A conversation whose end never came does not hide that its party called again, long after
    /// its last sign, and nobody answered.
    pub(super) fn review_lost_transfer(&mut self, call: CallSlot, at: At) {
        let due = self.calls[call].last.at + self.policy.duration_max;
        for index in 0..self.calls[call].attempts.len() {
            if !self.rang_after_a_lost_end(call, index) {
                continue;
            }
            if at < due {
                self.schedule_review(call, due);
                return;
            }
            let of_attempt = |leg: &Leg| {
                leg.role == Role::Target
                    && leg
                        .attempt
                        .is_some_and(|attempt| usize::from(attempt) == index)
            };
            let legs = self.calls[call].legs.iter().copied();
            let group: Group = legs
                .filter(|slot| of_attempt(&self.legs[*slot]))
                .map(|slot| (slot, Role::Callee))
                .collect();
            self.calls[call].attempts[index].void = true;
            self.split(&group, Rule::LateRingBecameCall);
        }
    }

    /// Whether this attempt began long after the last sign of a conversation that has not ended, no
    /// phone announced it, and nobody took it.
    fn rang_after_a_lost_end(&self, call: CallSlot, index: usize) -> bool {
        let reading = self.reading(call);
        let attempt = &reading.call.attempts[index];
        let mut targets = reading.targets(index).peekable();
        let in_vain = targets.peek().is_some()
            && targets.all(|target| target.answered.is_none() && !target.is_open());
        let mut talking = reading
            .main_legs()
            .filter(|leg| leg.is_talking())
            .peekable();
        let lost = talking.peek().is_some()
            && talking.all(|leg| attempt.started - leg.last.at >= self.policy.doubt_after);
        !attempt.is_settled() && !attempt.explicit && attempt.consult.is_none() && in_vain && lost
    }
}
