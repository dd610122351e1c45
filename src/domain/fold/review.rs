//! What only the passing of event time shows: a consultation that outlives its call, two phones that both go on talking, a phone that
//! rings on although the call was answered, a phone whose earlier conversation never got an end.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::call::Rule;
use crate::domain::fact::CallId;
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role};
use crate::domain::link::{Confidence, Link, LinkKind};
use crate::domain::time::At;

type Group = SmallVec<[(LegSlot, Role); 4]>;

impl Fold {
    /// Asks everything that may have become clear at `at`.
    pub(super) fn review(&mut self, call: CallSlot, at: At) {
        if self.review_pickup(call) || !self.calls.contains(call) {
            return;
        }
        self.review_abandoned(call, at);
        self.review_overlap(call, at);
        self.review_lost_main(call, at);
    }

    /// The party left, and the consultation went on: it is a call of its own.
    fn review_abandoned(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            if attempt.void || attempt.abandoned {
                continue;
            }
            let (Some(main), Some(consult)) = (attempt.by, attempt.consult) else { continue };
            let left = self.legs[main].ended.filter(|ended| at - *ended >= self.policy.together);
            if left.is_none() || !self.legs[consult].is_open() {
                continue;
            }
            self.calls[call].attempts[index].abandoned = true;
            let reason = "the consultation went on after the party it was made for had left";
            self.split_consult(call, index, consult, Confidence::High, reason);
        }
    }

    fn split_consult(&mut self, call: CallSlot, index: usize, consult: LegSlot, confidence: Confidence, reason: &'static str) {
        let parent: CallId = self.calls[call].id;
        let mut group: Group = SmallVec::new();
        group.push((consult, Role::Caller));
        let belongs = |leg: &Leg| leg.role == Role::Target && leg.attempt.is_some_and(|attempt| usize::from(attempt) == index);
        group.extend(self.calls[call].legs.iter().copied().filter(|slot| belongs(&self.legs[*slot])).map(|slot| (slot, Role::Callee)));
        if let Some(split) = self.split(&group, Rule::ConsultBecameCall) {
            self.calls[split].links.push(Link { kind: LinkKind::Transfer, call: parent, confidence, reason });
        }
    }

    /// Two phones that both go on talking do not share one outside party: the later answer is another call of the same number.
    fn review_overlap(&mut self, call: CallSlot, at: At) {
        let Some(later) = self.overlapping(call, at) else { return };
        let leg = &self.legs[later];
        let mut group: Group = SmallVec::new();
        group.push((later, Role::Callee));
        if leg.role == Role::Target {
            let attempt = leg.attempt;
            let rang_with_it = self.calls[call].legs.iter().copied().filter(|slot| {
                self.legs[*slot].role == Role::Target && self.legs[*slot].attempt == attempt && self.legs[*slot].answered.is_none()
            });
            group.extend(rang_with_it.map(|slot| (slot, Role::Callee)));
        }
        self.split(&group, Rule::OverlapBecameCall);
    }

    fn overlapping(&self, call: CallSlot, at: At) -> Option<LegSlot> {
        let reading = self.reading(call);
        let outbound = reading.caller().is_some() && reading.role(Role::Callee).next().is_none();
        let unannounced = |leg: &Leg| {
            leg.attempt
                .and_then(|index| reading.call.attempts.get(usize::from(index)))
                .is_some_and(|attempt| attempt.consult.is_none() && !attempt.explicit)
        };
        // Whoever was called holds the conversation; the caller does, where that is somebody outside.
        let holds = |leg: &Leg| match leg.role {
            Role::Callee => true,
            Role::Target => unannounced(leg),
            Role::Caller => outbound,
            Role::Consult => false,
        };
        let long = |leg: &Leg| leg.is_talking() && leg.answered.is_some_and(|answered| at - answered >= self.policy.overlap);
        let talking = || reading.call.legs.iter().copied().filter(|slot| holds(reading.leg(*slot)) && long(reading.leg(*slot)));
        let later = talking().max_by_key(|slot| (reading.leg(*slot).answered, reading.leg(*slot).first))?;
        // The caller's one leg proves that all who answered it are in one call.
        let may_split = match reading.leg(later).role {
            Role::Callee => reading.caller().is_none(),
            Role::Target => true,
            Role::Caller | Role::Consult => false,
        };
        // Whom the later one shows is at the other end of it.
        let apart = |slot: LegSlot| slot != later && !reading.leg(later).faces(reading.leg(slot));
        (may_split && talking().any(apart)).then_some(later)
    }

    /// A phone that rang on well after the answer elsewhere rang for another call of the same number, which nobody took.
    pub(super) fn split_late_ring(&mut self, slot: LegSlot, at: At) {
        let leg = &self.legs[slot];
        let reading = self.reading(leg.call);
        let rang_on = leg.role == Role::Callee
            && reading.caller().is_none()
            && reading.answered_at().is_some_and(|answered| leg.started < answered && at - answered > self.policy.drop_late);
        if rang_on {
            self.split(&[(slot, Role::Callee)], Rule::LateRingBecameCall);
        }
    }

    /// A conversation whose end never came does not swallow the answered calls that its phone made later.
    fn review_lost_main(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let (Some(main), Some(consult)) = (attempt.by, attempt.consult) else { continue };
            let silent_since_then =
                self.legs[main].is_open() && self.legs[consult].ended.is_some_and(|ended| self.legs[main].last.at <= ended);
            if attempt.void || attempt.abandoned || !silent_since_then || !self.consult_was_answered(call, index, consult) {
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
        if targets.peek().is_none() { self.legs[consult].answered.is_some() } else { targets.any(|target| target.answered.is_some()) }
    }
}
