//! Reviews: decisions that need later event time, such as a consultation that outlives its call,
//! two phones that both go on talking, a phone that rings on although the call was answered, and a
//! phone whose earlier conversation never got an end.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::call::Rule;
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role};
use crate::domain::link::JoinKind;
use crate::domain::time::{At, Span};

/// A phone that tried to transfer its party, in vain, and stayed on the line hangs up soon. Beside a
/// conversation that went on for longer than this, the ring was another call of the same number.
const BESIDE_CONVERSATION: Span = Span::seconds(10);

/// Legs that form a call of their own, each with its role there.
pub(super) type LegGroup = SmallVec<[(LegSlot, Role); 4]>;

impl Fold {
    /// Runs all rules that may have become decidable at `at`.
    pub(super) fn review(&mut self, call: CallSlot, at: At) {
        if self.review_repeated_dialling(call, at) {
            return;
        }
        // A call that is final may have been removed already.
        if !self.is_final(call) && (self.review_pickup(call) || self.review_silent_pickup(call)) {
            return;
        }
        if !self.calls.contains(call) {
            return;
        }
        let is_final = self.is_final(call);

        if !is_final {
            self.review_left_consult(call, at);
        }
        self.review_joined(call, at);
        self.review_abandoned(call, at);
        self.review_outside_consult(call, at);
        self.review_overlap(call, at);
        if !is_final {
            self.review_other_call(call, at);
        }
        self.review_lost_main(call, at);
        self.review_lost_transfer(call, at);
    }

    /// Withdraws a call whose only fact repeats the dialling of the call before: no phone rings, and
    /// its end never came. Returns whether it was one.
    fn review_repeated_dialling(&mut self, call: CallSlot, at: At) -> bool {
        let reading = self.reading(call);
        if !reading.is_repeated_dialling() || at < reading.stale_at() || self.is_final(call) {
            return false;
        }

        self.withdraw_call(call);
        true
    }

    /// Withdraws a call that only repeats a dialling, when its phone dials or rings anew: the end of
    /// that call never came. Returns whether it was one.
    pub(super) fn withdraw_repeated_dialling(&mut self, call: CallSlot) -> bool {
        let is_repeated = self.reading(call).is_repeated_dialling();
        if is_repeated {
            self.withdraw_call(call);
        }

        is_repeated
    }

    fn withdraw_call(&mut self, call: CallSlot) {
        for slot in self.calls[call].legs.clone() {
            self.detach(slot);
            self.remove_leg(slot);
        }
    }

    /// Splits off the later of two long conversations. Two phones that both go on talking do not
    /// share one outside party, so the later answer is another call of the same number.
    fn review_overlap(&mut self, call: CallSlot, at: At) {
        let Some(later) = self.later_overlapping_leg(call, at) else {
            return;
        };

        let leg = &self.legs[later];
        let mut group: LegGroup = SmallVec::new();
        group.push((later, Role::Callee));
        if leg.role == Role::Target {
            let attempt = leg.attempt;
            let rang_with_it = self.calls[call].legs.iter().copied().filter(|slot| {
                self.legs[*slot].role == Role::Target
                    && self.legs[*slot].attempt == attempt
                    && self.legs[*slot].answered.is_none()
            });
            group.extend(rang_with_it.map(|slot| (slot, Role::Callee)));
        } else {
            group.extend(self.rings_of(later).map(|slot| (slot, Role::Callee)));
        }

        self.split(&group, Rule::OverlapBecameCall);
    }

    /// The legs of the call that began to ring with this one, rather than with the phone that owns
    /// the answer.
    fn rings_of(&self, slot: LegSlot) -> impl Iterator<Item = LegSlot> {
        let leg = &self.legs[slot];
        let reading = self.reading(leg.call);
        let owner = reading.answerers().first().copied();
        let apart = |one: At, other: At| (one - other).abs();
        let began_with_it = move |other: &LegSlot| {
            let ring = reading.leg(*other);
            let began = apart(ring.started, leg.started);

            *other != slot
                && ring.role == Role::Callee
                && began <= self.policy.ring_join
                && owner.is_none_or(|owner| {
                    ring.first != owner.first && began < apart(ring.started, owner.started)
                })
        };

        self.calls[leg.call]
            .legs
            .iter()
            .copied()
            .filter(began_with_it)
    }

    /// The later of two long conversations in the call, if it can be split off.
    fn later_overlapping_leg(&self, call: CallSlot, at: At) -> Option<LegSlot> {
        let reading = self.reading(call);
        let outbound =
            reading.caller().is_some() && reading.legs_with_role(Role::Callee).next().is_none();
        // The called phones hold the conversation; in an outbound call the caller holds it.
        let holds = |leg: &Leg| match leg.role {
            Role::Callee => true,
            Role::Target => reading.is_implicit_target(leg) || reading.was_handed_over(leg),
            Role::Caller => outbound,
            Role::Consult => false,
        };
        let talks_long = |leg: &Leg| {
            leg.is_talking()
                && leg
                    .answered
                    .is_some_and(|answered| at - answered >= self.policy.overlap)
        };
        let talking = || {
            reading
                .call
                .legs
                .iter()
                .copied()
                .filter(|slot| holds(reading.leg(*slot)) && talks_long(reading.leg(*slot)))
        };

        let later =
            talking().max_by_key(|slot| (reading.leg(*slot).answered, reading.leg(*slot).first))?;
        // The caller's single leg proves that all phones that answered it are in one call.
        let may_split = match reading.leg(later).role {
            Role::Callee => reading.caller().is_none(),
            Role::Target => reading.is_implicit_target(reading.leg(later)),
            Role::Caller | Role::Consult => false,
        };
        // The caller of an internal call has handed its party over and left: the two phones that go
        // on are the two sides.
        let handed_over = reading.caller().is_some_and(|caller| !caller.is_open())
            && reading.was_handed_over(reading.leg(later));
        // A leg displayed by the later leg is at its other end, so the two do not compete.
        let competes = |slot: LegSlot| {
            slot != later && !handed_over && !reading.leg(later).remote_is(reading.leg(slot))
        };

        (may_split && talking().any(competes)).then_some(later)
    }

    /// Whether the fact reports a leg that a newer ring of the same caller seemed to end. Both legs
    /// are then alive and belong to two calls.
    pub(super) fn revives_superseded(&self, slot: LegSlot, fact: &Fact) -> bool {
        let leg = &self.legs[slot];
        let Some(newer) = leg.superseded_by.and_then(|newer| self.legs.get(newer)) else {
            return false;
        };

        let is_later_sign = !matches!(fact.kind, Kind::Incoming | Kind::Outgoing)
            && fact.call_ref.is_some()
            && fact.call_ref == leg.call_ref;
        let both_ring =
            newer.call == leg.call && newer.role == Role::Callee && leg.role == Role::Callee;

        is_later_sign && both_ring && fact.at - newer.started >= self.policy.reorder
    }

    /// Reopens the leg and splits off the legs that began with the newer ring or after it, as a
    /// call of its own.
    pub(super) fn undo_supersession(&mut self, slot: LegSlot) {
        let Some(newer) = self.legs[slot].superseded_by else {
            return;
        };

        let call = self.legs[slot].call;
        let since = self.legs[newer].started;
        // Other phones of the newer round may have begun a moment earlier.
        let round_since = since - self.policy.ring_join;
        let superseder = |other: LegSlot| {
            self.calls[call]
                .legs
                .iter()
                .any(|older| self.legs[*older].superseded_by == Some(other))
        };
        let belongs_to_newer = |other: &LegSlot| {
            let leg = &self.legs[*other];
            let began_with_it =
                leg.started >= since || (leg.started >= round_since && superseder(*other));

            *other != slot
                && leg.role == Role::Callee
                && leg.superseded_by.is_none()
                && began_with_it
                && leg.remote.same_party(&self.legs[newer].remote)
        };
        let group: LegGroup = self.calls[call]
            .legs
            .iter()
            .copied()
            .filter(belongs_to_newer)
            .map(|other| (other, Role::Callee))
            .collect();

        for other in self.calls[call].legs.clone() {
            let leg = &mut self.legs[other];
            if leg
                .superseded_by
                .is_some_and(|newer| group.iter().any(|(moved, _)| *moved == newer))
            {
                leg.superseded_by = None;
                leg.ended = None;
            }
        }

        if group.len() < self.calls[call].legs.len() {
            self.split(&group, Rule::OverlapBecameCall);
        }
        self.update_deadlines(call);
    }

    /// Splits off an unanswered ring for which no phone left its conversation: it rang for another
    /// call of the same number.
    pub(super) fn split_other_call(&mut self, slot: LegSlot) {
        let leg = &self.legs[slot];
        if leg.role != Role::Target || !self.reading(leg.call).is_implicit_target(leg) {
            return;
        }

        // One extension that rang in vain may be a target whose transferor stayed on the line; a
        // group rings for a caller.
        let reading = self.reading(leg.call);
        let rings_group = leg.attempt.is_some_and(|index| {
            reading
                .targets(usize::from(index))
                .any(|other| other.extension != leg.extension)
        });
        let (call, attempt) = (
            leg.call,
            leg.attempt.filter(|_| rings_group).map(usize::from),
        );
        if let Some(index) = attempt.filter(|index| self.reading(call).rings_for_other_call(*index))
        {
            self.split_attempt(call, index);
        }
    }

    /// Splits off rings for which no phone left its conversation: answered ones, and those in vain
    /// beside a conversation that goes on.
    fn review_other_call(&mut self, call: CallSlot, at: At) {
        for index in 0..self.calls[call].attempts.len() {
            let reading = self.reading(call);
            let is_answered = reading.targets(index).any(|target| {
                reading.is_implicit_target(target)
                    && target
                        .answered
                        .is_some_and(|answered| at - answered >= self.policy.together)
            });
            let is_due = is_answered || self.rang_beside_conversation(call, index);

            if is_due && self.reading(call).rings_for_other_call(index) {
                self.split_attempt(call, index);
                return;
            }
        }
    }

    /// Whether the targets rang in vain, and the conversation was reported to end well after them.
    fn rang_beside_conversation(&self, call: CallSlot, attempt: usize) -> bool {
        let reading = self.reading(call);
        let mut silent_since: Option<At> = None;
        for target in reading.targets(attempt) {
            let Some(ended) = target.ended.filter(|_| target.answered.is_none()) else {
                return false;
            };
            silent_since = silent_since.max(Some(ended));
        }

        let goes_on = |leg: &Leg, since: At| {
            leg.answered.is_some()
                && leg
                    .end_reported
                    .is_some_and(|ended| ended - since >= BESIDE_CONVERSATION)
        };
        silent_since.is_some_and(|since| reading.main_legs().any(|leg| goes_on(leg, since)))
    }

    fn split_attempt(&mut self, call: CallSlot, index: usize) {
        let targets = self.target_slots(call, index).into_iter();
        let group: LegGroup = targets.map(|slot| (slot, Role::Callee)).collect();

        self.calls[call].attempts[index].void = true;
        self.split(&group, Rule::OverlapBecameCall);
    }

    /// Splits off an unanswered ring of a party that had hung up, or was hung up on, moments before:
    /// it called again, in vain. After a transfer that failed the party has only come back.
    pub(super) fn split_vain_repeat(&mut self, slot: LegSlot) {
        let leg = &self.legs[slot];
        let is_repeat = leg.role == Role::Callee
            && leg
                .joined
                .is_some_and(|(kind, ..)| kind == JoinKind::Rering)
            && self.reading(leg.call).rings_after_conversation(leg)
            && self.calls[leg.call]
                .attempts
                .iter()
                .all(|attempt| attempt.void);

        if is_repeat {
            self.split(&[(slot, Role::Callee)], Rule::LateRingBecameCall);
        }
    }

    /// Splits off a leg that rang on well after the answer elsewhere: it rang for another,
    /// unanswered call of the same number.
    pub(super) fn split_late_ring(&mut self, slot: LegSlot, at: At) {
        let leg = &self.legs[slot];
        let reading = self.reading(leg.call);
        let rang_on = leg.role == Role::Callee
            && reading.caller().is_none()
            && reading.answered_at().is_some_and(|answered| {
                leg.started < answered && at - answered > self.policy.drop_late
            });

        if rang_on {
            let mut group: LegGroup = SmallVec::new();
            group.push((slot, Role::Callee));
            group.extend(self.rings_of(slot).map(|other| (other, Role::Callee)));
            self.split(&group, Rule::LateRingBecameCall);
        }
    }
}
