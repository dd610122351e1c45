//! What only the passing of event time shows: a consultation that outlives its call, two phones
//! that both go on talking, a phone that rings on although the call was answered, a phone whose
//! earlier conversation never got an end.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::call::Rule;
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role};
use crate::domain::time::At;

pub(super) type Group = SmallVec<[(LegSlot, Role); 4]>;

impl Fold {
    /// Asks everything that may have become clear at `at`.
    pub(super) fn review(&mut self, call: CallSlot, at: At) {
        if self.review_pickup(call) || !self.calls.contains(call) {
            return;
        }
        self.review_abandoned(call, at);
        self.review_outside_consult(call, at);
        self.review_overlap(call, at);
        self.review_lost_main(call, at);
        self.review_lost_transfer(call, at);
    }

    /// Two phones that both go on talking do not share one outside party: the later answer is
    /// another call of the same number.
    fn review_overlap(&mut self, call: CallSlot, at: At) {
        let Some(later) = self.overlapping(call, at) else {
            return;
        };
        let leg = &self.legs[later];
        let mut group: Group = SmallVec::new();
        group.push((later, Role::Callee));
        if leg.role == Role::Target {
            let attempt = leg.attempt;
            let rang_with_it = self.calls[call].legs.iter().copied().filter(|slot| {
                self.legs[*slot].role == Role::Target
                    && self.legs[*slot].attempt == attempt
                    && self.legs[*slot].answered.is_none()
            });
            group.extend(rang_with_it.map(|slot| (slot, Role::Callee)));
        }
        self.split(&group, Rule::OverlapBecameCall);
    }

    fn overlapping(&self, call: CallSlot, at: At) -> Option<LegSlot> {
        let reading = self.reading(call);
        let outbound = reading.caller().is_some() && reading.role(Role::Callee).next().is_none();
        // Whoever was called holds the conversation; the caller does, where that is somebody
        // outside.
        let holds = |leg: &Leg| match leg.role {
            Role::Callee => true,
            Role::Target => reading.is_unannounced(leg) || reading.was_handed_over(leg),
            Role::Caller => outbound,
            Role::Consult => false,
        };
        let long = |leg: &Leg| {
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
                .filter(|slot| holds(reading.leg(*slot)) && long(reading.leg(*slot)))
        };
        let later =
            talking().max_by_key(|slot| (reading.leg(*slot).answered, reading.leg(*slot).first))?;
        // The caller's one leg proves that all who answered it are in one call.
        let may_split = match reading.leg(later).role {
            Role::Callee => reading.caller().is_none(),
            Role::Target => reading.is_unannounced(reading.leg(later)),
            Role::Caller | Role::Consult => false,
        };
        // Whom the later one shows is at the other end of it.
        let apart = |slot: LegSlot| slot != later && !reading.leg(later).faces(reading.leg(slot));
        (may_split && talking().any(apart)).then_some(later)
    }

    /// Whether a phone speaks of a leg that a newer ring of the same caller had seemed to end: then
    /// both are alive, and are two calls.
    pub(super) fn was_not_over(&self, slot: LegSlot, fact: &Fact) -> bool {
        let leg = &self.legs[slot];
        let Some(newer) = leg.superseded_by.and_then(|newer| self.legs.get(newer)) else {
            return false;
        };
        let says_more = !matches!(fact.kind, Kind::Incoming | Kind::Outgoing)
            && fact.call_ref.is_some()
            && fact.call_ref == leg.call_ref;
        let both_ring =
            newer.call == leg.call && newer.role == Role::Callee && leg.role == Role::Callee;
        says_more && both_ring && fact.at - newer.started >= self.policy.reorder
    }

    /// The leg goes on, and everything that began with the newer ring, or after it, is a call of
    /// its own.
    pub(super) fn unsupersede(&mut self, slot: LegSlot) {
        let Some(newer) = self.legs[slot].superseded_by else {
            return;
        };
        let (call, since) = (self.legs[slot].call, self.legs[newer].started);
        // Other phones of the newer round may have begun a moment earlier.
        let round = since - self.policy.ring_join;
        let superseder = |other: LegSlot| {
            self.calls[call]
                .legs
                .iter()
                .any(|older| self.legs[*older].superseded_by == Some(other))
        };
        let newer_call = |other: &LegSlot| {
            let leg = &self.legs[*other];
            let began_with_it =
                leg.started >= since || (leg.started >= round && superseder(*other));
            *other != slot
                && leg.role == Role::Callee
                && leg.superseded_by.is_none()
                && began_with_it
                && leg.remote.same_party(&self.legs[newer].remote)
        };
        let group: Group = self.calls[call]
            .legs
            .iter()
            .copied()
            .filter(newer_call)
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
        self.refresh(call);
    }

    /// A phone that rang on well after the answer elsewhere rang for another call of the same
    /// number, which nobody took.
    pub(super) fn split_late_ring(&mut self, slot: LegSlot, at: At) {
        let leg = &self.legs[slot];
        let reading = self.reading(leg.call);
        let rang_on = leg.role == Role::Callee
            && reading.caller().is_none()
            && reading.answered_at().is_some_and(|answered| {
                leg.started < answered && at - answered > self.policy.drop_late
            });
        if rang_on {
            self.split(&[(slot, Role::Callee)], Rule::LateRingBecameCall);
        }
    }
}
