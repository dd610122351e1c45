//! Placing: assigns a new leg to a call.
//!
//! The leg is compared with every live call of its parties. The strongest reason wins; among equal
//! reasons the most recent leg wins. A leg without a reason begins a call of its own.
//!
//! Limits: [`CALLS_CONSIDERED_MAX`] calls per new leg, [`ATTEMPTS_MAX`] transfer attempts per call.

use smallvec::SmallVec;

use super::Fold;
use super::join::{
    JoinContext, JoinReason, JoinRole, Strength, is_open_on_same_account, may_have_lost_end,
};
use crate::domain::call::{LEGS_MAX, Rule, TransferAttempt};
use crate::domain::device::Extension;
use crate::domain::fact::FactKey;
use crate::domain::leg::{CallSlot, EndedBy, Leg, LegSlot, Role, Side};
use crate::domain::link::{Confidence, JoinKind};
use crate::domain::number::Form;
use crate::domain::time::At;

/// Maximum number of calls of one party that are compared with a new leg. Only a site that displays
/// one number for all its callers reaches it.
const CALLS_CONSIDERED_MAX: usize = 64;
/// Maximum number of transfer attempts per call.
pub(super) const ATTEMPTS_MAX: usize = 64;

/// A call that the new leg may join, and the reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallMatch {
    pub(super) call: CallSlot,
    /// The leg of the call that gives the reason.
    matched_leg: LegSlot,
    matched_began: (At, FactKey),
    reason: JoinReason,
}

impl CallMatch {
    /// The order of preference, greatest first.
    fn rank(&self) -> (Strength, (At, FactKey)) {
        (self.reason.strength, self.matched_began)
    }
}

/// Incoming legs, and legs whose direction is unknown.
impl Fold {
    /// Assigns the leg to a call and returns the deciding rule.
    pub(super) fn assign_call(&mut self, slot: LegSlot) -> Rule {
        match self.legs[slot].side {
            Side::Outgoing => self.assign_outgoing(slot),
            Side::Incoming | Side::Unknown => self.assign_incoming(slot),
        }
    }

    fn assign_incoming(&mut self, slot: LegSlot) -> Rule {
        if let Some(best) = self.best_match(slot, None) {
            return self.join_call(slot, best);
        }

        let call = self.begin_call(slot, Role::Callee);
        self.move_second_ring(slot, call);
        self.link_to_previous(call, slot);
        Rule::Began
    }

    /// Adds a leg without a call to the call that it matches best.
    pub(super) fn join_call(&mut self, slot: LegSlot, best: CallMatch) -> Rule {
        self.supersede_stale(slot, best.call);

        match best.reason.join_role {
            JoinRole::Again(role, attempt) => self.attach(slot, best.call, role, attempt),
            JoinRole::Callee => self.attach(slot, best.call, Role::Callee, None),
            JoinRole::SameAttempt => {
                let attempt = self.legs[best.matched_leg].attempt;
                self.attach(slot, best.call, Role::Target, attempt);
            }
            JoinRole::Pair => self.join_click_to_call(slot, best),
            JoinRole::Transfer if self.legs[slot].has_only_end() => {
                self.join_lone_end(slot, best);
            }
            JoinRole::Transfer => self.join_transfer(slot, best),
        }

        self.legs[slot].joined = self.describe_join(best);
        best.reason.rule
    }

    /// The join that the record reports for a leg that continues a call.
    fn describe_join(&self, joined: CallMatch) -> Option<(JoinKind, Confidence, &'static str)> {
        let announced = self.calls[joined.call]
            .attempts
            .iter()
            .any(|attempt| attempt.explicit && !attempt.void);

        match joined.reason.rule {
            Rule::TransferRings if announced => Some((
                JoinKind::Transfer,
                Confidence::High,
                "a phone said that it transfers, and its party rings here",
            )),
            Rule::TransferRings => Some((
                JoinKind::Transfer,
                Confidence::Medium,
                "a party of the conversation rings here during it or moments after",
            )),
            Rule::JoinedCaller if joined.reason.join_role == JoinRole::SameAttempt => Some((
                JoinKind::Transfer,
                Confidence::High,
                "the phone that holds its party dialled this extension",
            )),
            Rule::Resumed => Some((
                JoinKind::Rering,
                Confidence::Medium,
                "the same party rings the same phone moments after the conversation",
            )),
            Rule::RangAgain => Some((
                JoinKind::Rering,
                Confidence::High,
                "the same caller rings again within the gap of a hunt or a queue",
            )),
            _ => None,
        }
    }

    /// The call that the leg matches best, other than `except`.
    pub(super) fn best_match(&self, slot: LegSlot, except: Option<CallSlot>) -> Option<CallMatch> {
        let leg = &self.legs[slot];
        // A feature code is no party: two phones that dial the same code are unrelated.
        if leg.remote.form() == Form::Code {
            return None;
        }

        let mut considered = 0;
        let mut best: Option<CallMatch> = None;
        for call in self.calls_of(&leg.remote) {
            if self.is_final(call) || except == Some(call) {
                continue;
            }
            considered += 1;
            if considered > CALLS_CONSIDERED_MAX {
                break;
            }

            if let Some(found) = self.match_in(call, leg)
                && best.is_none_or(|best| found.rank() > best.rank())
            {
                best = Some(found);
            }
        }
        best
    }

    fn match_in(&self, call: CallSlot, leg: &Leg) -> Option<CallMatch> {
        let reading = self.reading(call);
        let conversation = reading.has_conversation();
        // A group of which the caller is a member rings at his own phone too, with his own number.
        let dials =
            |other: &Leg| other.side == Side::Outgoing && is_open_on_same_account(other, leg);
        let rings_in_own_group = leg.is_party(&leg.remote) && reading.legs().any(dials);
        let occupied = |other: &Leg| {
            is_open_on_same_account(other, leg)
                && !may_have_lost_end(other, leg, conversation)
                && !rings_in_own_group
        };
        if reading.call.legs.len() >= LEGS_MAX || reading.legs().any(occupied) {
            return None;
        }

        let context = JoinContext::of(reading, leg.started);
        if context.end_lost {
            return None;
        }

        let mut best: Option<CallMatch> = None;
        for slot in reading.call.legs.iter().copied() {
            let other = reading.leg(slot);
            let Some(reason) = context.reason(leg, other) else {
                continue;
            };

            let found = CallMatch {
                call,
                matched_leg: slot,
                matched_began: (other.started, other.first),
                reason,
            };
            if best.is_none_or(|best| found.rank() > best.rank()) {
                best = Some(found);
            }
        }
        best
    }

    /// Ends the pending legs of the phone in this call, because it rings anew there and their ends
    /// were lost. If the phone reports one of them again, they were two calls
    /// ([`Fold::undo_supersession`]).
    fn supersede_stale(&mut self, slot: LegSlot, call: CallSlot) {
        let conversation = self.reading(call).has_conversation();
        let is_stale = |other: LegSlot| {
            is_open_on_same_account(&self.legs[other], &self.legs[slot])
                && may_have_lost_end(&self.legs[other], &self.legs[slot], conversation)
        };
        let stale: SmallVec<[LegSlot; 2]> = self.calls[call]
            .legs
            .iter()
            .copied()
            .filter(|other| *other != slot && is_stale(*other))
            .collect();

        for other in stale {
            let leg = &mut self.legs[other];
            leg.ended = Some(leg.last.at);
            leg.ended_by = EndedBy::Superseded;
            leg.superseded_by = Some(slot);
        }
    }

    /// Moves the fresh rings of a second call of a number into that call. It rings both on phones
    /// that talk in the first call and on other phones; the rings on the other phones were taken
    /// for a transfer a moment ago.
    fn move_second_ring(&mut self, slot: LegSlot, call: CallSlot) {
        let leg = &self.legs[slot];
        if leg.remote.is_withheld() || leg.side != Side::Incoming {
            return;
        }

        let since = leg.started - self.policy.ring_join;
        let mut moved: SmallVec<[LegSlot; 4]> = SmallVec::new();
        for other in self
            .calls_of(&leg.remote)
            .into_iter()
            .filter(|other| *other != call && !self.is_final(*other))
        {
            let reading = self.reading(other);
            let phone_talks = reading
                .legs()
                .any(|own| own.is_talking() && own.device == leg.device);
            if !phone_talks {
                continue;
            }

            let is_fresh_ring = |other: &Leg| {
                other.role == Role::Target
                    && other.is_pending()
                    && other.started >= since
                    && reading.is_implicit_target(other)
            };
            moved.extend(reading.call.legs.iter().copied().filter(|slot| {
                let other = reading.leg(*slot);
                is_fresh_ring(other) && other.remote.same_party(&leg.remote)
            }));
        }

        for other in moved {
            self.move_leg(other, call, Role::Callee, None);
        }
    }

    /// Adds the second leg of a click-to-call. The two phones display each other and neither
    /// dialled, so the phone that rang first was called back to place the call.
    fn join_click_to_call(&mut self, slot: LegSlot, joined: CallMatch) {
        let new_leg_calls = self.legs[slot].rang.is_none();
        if new_leg_calls {
            self.attach(slot, joined.call, Role::Caller, None);
            return;
        }

        // All phones of the called-back extension are the caller's.
        let extension = self.legs[joined.matched_leg].extension.clone();
        for other in self.calls[joined.call].legs.clone() {
            let leg = &mut self.legs[other];
            if other == joined.matched_leg
                || (leg.role == Role::Callee && leg.extension == extension)
            {
                leg.role = Role::Caller;
            }
        }
        self.attach(slot, joined.call, Role::Callee, None);
    }

    fn join_transfer(&mut self, slot: LegSlot, joined: CallMatch) {
        let at = self.legs[slot].started;
        let index = match self.open_blind_attempt(joined.call, at) {
            Some(index) => index,
            None if self.calls[joined.call].attempts.len() >= ATTEMPTS_MAX => {
                self.attach(slot, joined.call, Role::Callee, None);
                return;
            }
            None => {
                let attempt = TransferAttempt::new(at, Some(joined.matched_leg), None, None);
                self.calls[joined.call].attempts.push(attempt);
                self.calls[joined.call].attempts.len() - 1
            }
        };

        let index = u8::try_from(index).ok();
        self.attach(slot, joined.call, Role::Target, index);
        self.schedule_review(joined.call, at + self.policy.duration_max);
    }

    /// Adds a ring of which only the end came. It rang for the call itself, and in one that was dialled
    /// for its last transfer.
    fn join_lone_end(&mut self, slot: LegSlot, joined: CallMatch) {
        let call = joined.call;
        let party = &self.legs[slot].remote;
        let is_dialled = self
            .reading(call)
            .caller()
            .is_some_and(|caller| caller.side == Side::Outgoing && caller.remote.same_party(party));
        if !is_dialled {
            self.attach(slot, call, Role::Callee, None);
            return;
        }

        let attempts = &self.calls[call].attempts;
        let last = attempts
            .iter()
            .rposition(|attempt| attempt.consult.is_none() && !attempt.void)
            .and_then(|index| u8::try_from(index).ok());
        match last {
            Some(attempt) => self.attach(slot, call, Role::Target, Some(attempt)),
            None => self.join_transfer(slot, joined),
        }
    }

    /// The blind transfer under way that one more phone may ring for: it is unanswered, and a
    /// target rings, rang a moment ago, or is still expected.
    fn open_blind_attempt(&self, call: CallSlot, at: At) -> Option<usize> {
        let reading = self.reading(call);
        let awaits_answer = |index: usize| {
            let mut targets = reading.targets(index).peekable();
            let expected = reading.call.attempts[index].explicit && targets.peek().is_none();
            let mut unanswered = true;
            let mut rings = false;
            for target in targets {
                unanswered &= target.answered.is_none();
                rings |= target
                    .ended
                    .is_none_or(|ended| at - ended <= self.policy.rering_gap);
            }
            unanswered && (expected || rings)
        };

        let attempts = &reading.call.attempts;
        (0..attempts.len()).rev().find(|index| {
            attempts[*index].consult.is_none() && !attempts[*index].void && awaits_answer(*index)
        })
    }
}

/// Outgoing legs.
impl Fold {
    fn assign_outgoing(&mut self, slot: LegSlot) -> Rule {
        let overtaking = self.rings_overtaking_caller(slot);
        if let Some(main) = self.waiting_conversation(slot) {
            return self.join_consultation(slot, main, &overtaking);
        }

        let Some(first) = overtaking.first().copied() else {
            let call = self.begin_call(slot, Role::Caller);
            self.link_to_previous(call, slot);
            return Rule::Began;
        };

        let call = self.legs[first].call;
        let own = self.legs[slot].extension.clone();
        let all_display_caller = self.reading(call).legs().all(|leg| {
            leg.role == Role::Callee
                && own
                    .as_ref()
                    .is_some_and(|own| leg.remote.is_extension(own.as_str()))
        });

        if all_display_caller {
            self.attach(slot, call, Role::Caller, None);
            for leg in overtaking
                .into_iter()
                .filter(|leg| self.legs[*leg].call != call)
                .collect::<SmallVec<[LegSlot; 4]>>()
            {
                self.move_leg(leg, call, Role::Callee, None);
            }
        } else {
            let call = self.begin_call(slot, Role::Caller);
            for leg in overtaking {
                self.move_leg(leg, call, Role::Callee, None);
            }
        }
        Rule::CallerFound
    }

    /// The conversation of the same phone that waits while the phone dials: dialling during a
    /// conversation is a consultation.
    fn waiting_conversation(&self, slot: LegSlot) -> Option<LegSlot> {
        let dialling = &self.legs[slot];
        let legs = self.recent_legs(&dialling.device);
        let talking = legs.into_iter().filter(|other| {
            *other != slot
                && self.legs[*other].is_talking()
                && self.legs[*other].role != Role::Consult
        });
        let live = talking.filter(|other| {
            let reading = self.reading(self.legs[*other].call);
            !self.is_final(self.legs[*other].call)
                && reading.stale_at() > dialling.started
                && reading.keeps_call_open(&self.legs[*other], true)
                && self.may_still_talk(&self.legs[*other], dialling.started)
        });

        live.max_by_key(|other| (self.legs[*other].answered, self.legs[*other].first))
    }

    /// Whether a conversation may still go on: it had a sign not long ago, or its party was put on
    /// hold.
    fn may_still_talk(&self, leg: &Leg, at: At) -> bool {
        leg.held || at - leg.last_change <= self.policy.doubt_after
    }

    fn join_consultation(&mut self, slot: LegSlot, main: LegSlot, overtaking: &[LegSlot]) -> Rule {
        let call = self.legs[main].call;
        if self.calls[call].attempts.len() >= ATTEMPTS_MAX
            || self.calls[call].legs.len() >= LEGS_MAX
        {
            self.begin_call(slot, Role::Caller);
            return Rule::Began;
        }

        let leg = &self.legs[slot];
        let attempt = TransferAttempt::new(
            leg.started,
            Some(main),
            Some(slot),
            Some(leg.remote.clone()),
        );
        self.calls[call].attempts.push(attempt);
        let index = u8::try_from(self.calls[call].attempts.len() - 1).ok();

        self.attach(slot, call, Role::Consult, index);
        for target in overtaking {
            self.move_leg(*target, call, Role::Target, index);
        }
        Rule::ConsultBegan
    }

    /// Legs that display the caller and began just before the caller's own report: their requests
    /// overtook the caller's request.
    fn rings_overtaking_caller(&self, slot: LegSlot) -> SmallVec<[LegSlot; 4]> {
        let caller = &self.legs[slot];
        let Some(own) = caller.extension.as_ref().map(Extension::as_str) else {
            return SmallVec::new();
        };

        let since = caller.started - self.policy.reorder;
        let mut found = SmallVec::new();
        for call in self.calls_of_extension(own) {
            if self.is_final(call) {
                continue;
            }

            let reading = self.reading(call);
            let without_caller = reading.caller().is_none();
            let began_just_now = reading.call.first.at > since;
            for other in reading
                .call
                .legs
                .iter()
                .copied()
                .filter(|other| *other != slot)
            {
                let leg = reading.leg(other);
                let displays_caller = leg.side != Side::Outgoing
                    && leg.remote.is_extension(own)
                    && leg.started > since;
                // A callee of a call with a caller is not available, unless it only seemed to
                // continue that call.
                let available = without_caller || leg.role != Role::Callee || leg.joined.is_some();
                let exact = available && leg.is_party(&caller.remote);
                let forwarded = without_caller && began_just_now && leg.role == Role::Callee;
                let mistaken = leg.role == Role::Target && reading.is_implicit_target(leg);

                if displays_caller && (exact || forwarded || mistaken) {
                    found.push(other);
                }
            }
        }
        found
    }
}
