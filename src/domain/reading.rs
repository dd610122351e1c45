//! Readings: the derived properties of a call that rules and records ask for, such as caller,
//! answer, silence and final instant.
//!
//! All are pure functions of the call, its legs, the policy and the reported extensions; no result
//! is stored.

use smallvec::SmallVec;

use super::call::{Call, TransferAttempt};
use super::cow_slab::CowSlab;
use super::device::Extension;
use super::extensions::Extensions;
use super::fact::Site;
use super::leg::{Leg, LegSlot, Role, Side};
use super::policy::Policy;
use super::time::{At, Span};

/// A caller whose colleague's phone stopped ringing has hung up, unless a phone says otherwise
/// within this time: forwards ring at once, and a live call is not shown for longer than a minute
/// after its end.
const RINGS_ALONE_MAX: Span = Span::seconds(50);
/// PBXs let no phone ring for longer.
const RING_MAX: Span = Span::seconds(180);

/// A call together with its legs and the data of its site.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub call: &'a Call,
    pub legs: &'a CowSlab<Leg>,
    pub policy: &'a Policy,
    pub extensions: &'a Extensions,
    pub site: &'a Site,
}

/// Legs.
impl<'a> Reading<'a> {
    pub fn leg(&self, slot: LegSlot) -> &'a Leg {
        &self.legs[slot]
    }

    pub fn legs(&self) -> impl Iterator<Item = &'a Leg> + use<'a> {
        let legs = self.legs;
        self.call.legs.iter().map(move |slot| &legs[*slot])
    }

    pub fn legs_with_role(&self, role: Role) -> impl Iterator<Item = &'a Leg> + use<'a> {
        self.legs().filter(move |leg| leg.role == role)
    }

    /// The legs of the call before any transfer: the caller, and the phones that ring or rang
    /// because of the caller.
    pub fn main_legs(&self) -> impl Iterator<Item = &'a Leg> + use<'a> {
        self.legs()
            .filter(|leg| matches!(leg.role, Role::Caller | Role::Callee))
    }

    /// The calling phone of this site, if it reported the call.
    pub fn caller(&self) -> Option<&'a Leg> {
        self.legs_with_role(Role::Caller)
            .min_by_key(|leg| leg.first)
    }

    /// The target legs of a transfer attempt.
    pub fn targets(&self, attempt: usize) -> impl Iterator<Item = &'a Leg> + use<'a> {
        self.legs_with_role(Role::Target).filter(move |leg| {
            leg.attempt
                .is_some_and(|index| usize::from(index) == attempt)
        })
    }

    /// The callee leg that began first.
    pub fn first_callee(&self) -> Option<&'a Leg> {
        first_to_ring(self.legs_with_role(Role::Callee))
    }

    /// The phone that rang first and displays the caller; the one that rang first if none does.
    pub fn first_named_callee(&self) -> Option<&'a Leg> {
        let dialled_code = |leg: &Leg| leg.pickup && self.policy.pickup(&leg.remote).is_some();
        let callees = self.legs_with_role(Role::Callee);
        let named = callees.filter(|leg| !leg.remote.is_withheld() && !dialled_code(leg));

        first_to_ring(named).or_else(|| self.first_callee())
    }

    /// Whether any phone of this site was called.
    pub fn rang_site_phone(&self) -> bool {
        self.legs_with_role(Role::Callee).any(Leg::participated)
    }

    /// Whether the leg rings for an implicit transfer: a blind transfer that no phone reported.
    pub fn is_implicit_target(&self, leg: &Leg) -> bool {
        self.attempt_of(leg)
            .is_some_and(|attempt| attempt.consult.is_none() && !attempt.explicit)
    }

    /// Whether the targets of an implicit transfer ring for another call: no phone left its
    /// conversation when they began to ring, nor when one of them answered.
    pub fn rings_for_other_call(&self, attempt: usize) -> bool {
        let is_implicit = self.call.attempts.get(attempt).is_some_and(|attempt| {
            attempt.consult.is_none() && !attempt.explicit && !attempt.is_decided()
        });
        let is_target = |leg: &Leg| leg.attempt.map(usize::from) == Some(attempt);
        let left_at = |instant: At| {
            self.legs()
                .filter(|leg| leg.answered.is_some() && !is_target(leg))
                .filter_map(|leg| leg.ended)
                .any(|left| (left - instant).abs() <= self.policy.together)
        };

        let mut targets = self.targets(attempt).peekable();
        is_implicit
            && targets.peek().is_some()
            && targets
                .all(|target| !left_at(target.started) && !target.answered.is_some_and(left_at))
    }

    /// Whether the phone that transferred to this target has left the call.
    pub fn was_handed_over(&self, leg: &Leg) -> bool {
        let gone = |slot: LegSlot| self.leg(slot).ended.is_some();

        self.attempt_of(leg).is_some_and(|attempt| {
            attempt.transferor.is_none_or(gone) && attempt.consult.is_none_or(gone)
        })
    }

    fn attempt_of(&self, leg: &Leg) -> Option<&'a TransferAttempt> {
        self.call.attempts.get(usize::from(leg.attempt?))
    }
}

/// Conversation.
impl<'a> Reading<'a> {
    /// The callee legs that hold a conversation, the owner of the answer first. A lost race for the
    /// answer is no conversation.
    pub fn answerers(&self) -> SmallVec<[&'a Leg; 4]> {
        let mut answered: SmallVec<[&Leg; 4]> = self
            .legs_with_role(Role::Callee)
            .filter(|leg| leg.answered.is_some())
            .collect();

        if answered.len() > 1 {
            let all = answered.clone();
            let race = self.policy.claim_race;
            answered.retain(|leg| {
                !all.iter()
                    .any(|other| !std::ptr::eq(*other, *leg) && leg.lost_race_to(other, race))
            });
            answered.sort_by_key(|leg| (leg.answered, leg.first));
        }
        answered
    }

    /// The start of the conversation: the owner's answer, or, if no phone of this site was called,
    /// the answer that the caller's phone reported.
    pub fn answered_at(&self) -> Option<At> {
        let Some(owner) = self.answerers().first().copied() else {
            return self.caller_connected_at();
        };

        let answered = owner.answered?;
        // The reports of the two ends of one answer may overtake each other: the earlier of the two
        // is the answer.
        let caller_reported = self
            .caller()
            .filter(|caller| caller.side == Side::Outgoing)
            .and_then(|caller| caller.answered);

        match caller_reported {
            Some(reported)
                if reported >= owner.started
                    && reported < answered
                    && answered - reported < self.policy.reorder =>
            {
                Some(reported)
            }
            _ => Some(answered),
        }
    }

    /// Whether there was a conversation: a phone of this site answered, or the caller's connection
    /// proves one.
    pub fn has_conversation(&self) -> bool {
        self.legs_with_role(Role::Callee)
            .any(|leg| leg.answered.is_some())
            || self.caller_connected_at().is_some()
    }

    /// The connection of the caller's phone, if that report suffices. For a call to a colleague it
    /// does not: the PBX answers with an announcement, a queue or a forward, and only the
    /// colleague's phone proves that a person answered.
    fn caller_connected_at(&self) -> Option<At> {
        let caller = self.caller()?;
        let answered = caller.answered?;
        if self.rang_site_phone() {
            return None;
        }

        let dial = caller.remote.dial();
        if !self.dials_colleague(caller) || self.policy.is_silent_extension(dial) {
            return Some(answered);
        }

        let never_reported = !self.extensions.was_reported(dial, self.call.last);
        let outlasts_announcement =
            caller.talk_time(self.call.last.at) >= self.policy.announcement_max;

        (never_reported && (caller.may_take_parked || outlasts_announcement)).then_some(answered)
    }

    /// Whether the caller dialled an extension of its own site: reported, listed, or of the same
    /// form as its own.
    pub fn dials_colleague(&self, caller: &Leg) -> bool {
        let own = caller.extension.as_ref().map_or("", |own| own.as_str());
        self.is_site_extension(caller.remote.dial())
            || self.policy.looks_like_extension(&caller.remote, own)
    }

    /// Whether the caller may have dialled a queue or a group: a number too short for the public
    /// network. The PBX answers it at once, and no phone of this site has answered yet.
    pub fn may_have_dialled_group(&self, caller: &Leg) -> bool {
        let dial = caller.remote.dial();

        caller.side == Side::Outgoing
            && caller.remote.is_short()
            && !self
                .policy
                .emergency_numbers
                .iter()
                .any(|number| number == dial)
            && !self.policy.is_silent_extension(dial)
            && !self.extensions.was_reported(dial, self.call.last)
            && self
                .legs_with_role(Role::Callee)
                .all(|callee| callee.answered.is_none())
    }

    /// Whether the number is an extension of this site: listed in the policy, or reported by a
    /// device.
    pub fn is_site_extension(&self, dial: &str) -> bool {
        !dial.is_empty()
            && (self.policy.lists_extension(dial)
                || self.extensions.was_reported(dial, self.call.last))
    }

    /// The first sign of the main legs.
    pub fn started_at(&self) -> At {
        self.main_legs()
            .map(|leg| leg.started)
            .min()
            .unwrap_or(self.call.first.at)
    }
}

/// Life cycle.
impl Reading<'_> {
    /// Whether a leg keeps the call open: it talks, or it rings for an unanswered call or transfer.
    pub fn keeps_call_open(&self, leg: &Leg, conversation: bool) -> bool {
        if !leg.is_open() || self.other_side_left(leg) {
            return false;
        }

        match leg.role {
            Role::Callee => {
                leg.answered.is_some() || !conversation || self.rings_after_conversation(leg)
            }
            // A called-back phone of the caller that did not answer leaves the call as soon as
            // another one answers.
            Role::Caller => {
                leg.side == Side::Outgoing
                    || leg.answered.is_some()
                    || self
                        .legs_with_role(Role::Caller)
                        .all(|other| other.answered.is_none())
                    || self.rings_after_conversation(leg)
            }
            Role::Consult => true,
            Role::Target => {
                (!self.lost_target(leg) || self.rings_after_conversation(leg))
                    && self
                        .attempt_of(leg)
                        .is_none_or(|attempt| self.may_hold_call(attempt))
            }
        }
    }

    /// Whether the leg rang for a transfer that another phone of the target has answered.
    fn lost_target(&self, leg: &Leg) -> bool {
        leg.role == Role::Target
            && leg.answered.is_none()
            && leg.attempt.is_some_and(|index| {
                self.targets(usize::from(index))
                    .any(|other| other.answered.is_some())
            })
    }

    /// Whether the only other side of the leg was a phone of this site that has left. An internal
    /// conversation does not go on with one phone, and a phone does not ring on for a caller who has
    /// hung up, whatever became of the report of its own end.
    fn other_side_left(&self, leg: &Leg) -> bool {
        let Some(caller) = self.caller().filter(|caller| caller.side != Side::Incoming) else {
            return false;
        };
        if leg.role == Role::Callee && leg.answered.is_none() {
            return !leg.pickup && caller.end_reported.is_some() && !self.has_conversation();
        }
        if !self.rang_site_phone() || leg.answered.is_none() && leg.role != Role::Caller {
            return false;
        }

        let mut left: Option<At> = None;
        for other in self.legs().filter(|other| !std::ptr::eq(*other, leg)) {
            let is_party = other.answered.is_some() || other.role == Role::Caller;
            if other.is_open() && (is_party || other.role != Role::Callee) {
                return false;
            }
            if other.held_at_end {
                return false;
            }
            if is_party {
                left = left.max(other.end_reported);
            }
        }
        let goes_on_elsewhere = self
            .call
            .attempts
            .iter()
            .any(|attempt| !attempt.void && attempt.explicit && attempt.consult.is_none());

        left.is_some_and(|left| leg.last_change <= left + self.policy.reorder) && !goes_on_elsewhere
    }

    /// Whether the phone rings although the conversation is over: its party has come back to it.
    pub fn rings_after_conversation(&self, leg: &Leg) -> bool {
        let mut talked = self
            .legs()
            .filter(|other| other.answered.is_some())
            .peekable();

        talked.peek().is_some()
            && talked.all(|other| other.ended.is_some_and(|ended| ended <= leg.started))
    }

    /// The last end of another ring or conversation, if no other leg is open.
    pub fn other_end(&self, slot: LegSlot) -> Option<At> {
        let others = || self.call.legs.iter().filter(|other| **other != slot);
        let all_over = others().all(|other| !self.leg(*other).is_open());

        others()
            .filter_map(|other| self.leg(*other).ended)
            .max()
            .filter(|_| all_over)
    }

    /// Whether the target of an attempt may still hold the call: a consultation does not outlive
    /// its second leg, unless it was handed over.
    fn may_hold_call(&self, attempt: &TransferAttempt) -> bool {
        let Some(consult) = attempt.consult.map(|slot| self.leg(slot)) else {
            return true;
        };

        match (
            consult.ended,
            attempt.transferor.and_then(|slot| self.leg(slot).ended),
        ) {
            (None, _) => true,
            (Some(consult), Some(main)) => (consult - main).abs() <= self.policy.together,
            (Some(_), None) => false,
        }
    }

    /// The end of the last relevant leg; `None` while one goes on.
    pub fn silent_since(&self) -> Option<At> {
        let conversation = self.has_conversation();
        let open = self
            .legs()
            .any(|leg| self.keeps_call_open(leg, conversation));

        (!open).then(|| self.last_end(conversation))
    }

    /// The last end of a conversation or a ring. A phone that stops ringing because another phone
    /// answered does not prolong the call.
    fn last_end(&self, conversation: bool) -> At {
        let is_relevant = |leg: &&Leg| {
            let lost = conversation && leg.role == Role::Callee && leg.answered.is_none();
            !(lost || self.lost_target(leg)) || self.rings_after_conversation(leg)
        };

        self.legs()
            .filter(is_relevant)
            .map(|leg| leg.ended.or(leg.answered).unwrap_or(leg.started))
            .max()
            .unwrap_or(self.call.last.at)
    }

    /// The instant at which an open call has been without a sign for so long that its end must have
    /// been lost.
    pub fn stale_at(&self) -> At {
        let silence_max = if self.caller_rings_alone() {
            RINGS_ALONE_MAX
        } else if self.legs().any(Leg::is_talking) {
            self.policy.duration_max
        } else {
            self.policy.ring_max
        };

        self.call.last.at + silence_max
    }

    /// Whether the called colleague's phones have stopped ringing, and the caller's phone has
    /// reported nothing since.
    fn caller_rings_alone(&self) -> bool {
        let Some(caller) = self.caller().filter(|caller| caller.side != Side::Incoming) else {
            return false;
        };
        let is_caller = |leg: &Leg| std::ptr::eq(leg, caller);
        let others = || self.legs().filter(|leg| !is_caller(leg));

        // Rings of a group or a queue come in rounds, with pauses of any length.
        let rang_colleague = |leg: &Leg| {
            leg.role == Role::Callee
                && leg.answered.is_none()
                && leg
                    .end_reported
                    .is_some_and(|left| caller.last_change <= left)
                && leg.extension.as_ref().map(Extension::as_str) == Some(caller.remote.dial())
        };

        caller.is_open() && self.rang_site_phone() && others().all(rang_colleague)
    }

    /// The end of the call, as seen at `now`: `Some((end, lost))` once it is over. A lost end is
    /// taken to be the last sign of the call.
    pub fn end_at(&self, now: At) -> Option<(At, bool)> {
        match self.silent_since() {
            Some(silent) => Some((silent, false)),
            None if now >= self.stale_at() => {
                let last = self.call.last.at;
                // The instant of an answer may lie between two facts, the later of which is a copy.
                let end = self
                    .answered_at()
                    .map_or(last, |answered| answered.max(last));
                Some((end, true))
            }
            None => None,
        }
    }

    /// Whether the targets of a transfer rang until a moment ago, and none of them answered: the
    /// party rings on elsewhere.
    pub fn has_transfer_under_way(&self, now: At) -> bool {
        let rang_on = |index: usize| {
            let mut targets = self.targets(index).peekable();
            targets.peek().is_some()
                && targets.all(|target| {
                    let ended = target.ended.unwrap_or(now);
                    target.answered.is_none() && now - ended <= self.policy.rering_gap
                })
        };

        (0..self.call.attempts.len()).any(|index| !self.call.attempts[index].void && rang_on(index))
    }

    /// Whether a phone reported a transfer for which no target rings yet.
    pub fn transfer_pending(&self, now: At) -> bool {
        let is_pending = |(index, attempt): (usize, &TransferAttempt)| {
            attempt.explicit
                && attempt.consult.is_none()
                && now - attempt.started <= self.policy.transfer_window
                && self.targets(index).next().is_none()
                && !self.kept_its_party(attempt)
        };

        self.call.attempts.iter().enumerate().any(is_pending)
    }

    /// The instant at which an unanswered call becomes missed and an answered one is over: later
    /// rings do not continue it.
    pub fn decide_at(&self) -> At {
        let Some(silent) = self.silent_since() else {
            return self.stale_at();
        };
        if !self.has_conversation() {
            return silent + self.policy.missed_after();
        }

        let resume = silent + self.policy.resume_gap;
        if !self.transfer_pending(silent) {
            return resume;
        }

        let transfer_deadlines = self
            .call
            .attempts
            .iter()
            .filter(|attempt| attempt.explicit)
            .map(|attempt| attempt.started + self.policy.transfer_window);

        transfer_deadlines
            .max()
            .map_or(resume, |deadline| deadline.max(resume))
    }

    /// Whether nothing tells of the call but a dialling that may repeat the one before.
    pub fn is_repeated_dialling(&self) -> bool {
        let mut legs = self.legs();

        match (legs.next(), legs.next()) {
            (Some(only), None) => only.may_repeat && only.first == only.last,
            _ => false,
        }
    }

    /// The instant after which no further fact belongs to the call, unless a phone takes its party
    /// from a slot of the PBX.
    pub fn final_at(&self) -> At {
        match self.silent_since() {
            Some(_) if self.awaits_end() => self.lost_end_final_at(),
            Some(silent) => self
                .decide_at()
                .max(silent + self.policy.duplicate + self.policy.reorder)
                .max(self.unnamed_until()),
            None => self.lost_end_final_at(),
        }
    }

    /// The instant until which a phone that rings on may still name another caller.
    fn unnamed_until(&self) -> At {
        let rings = self
            .legs()
            .filter(|leg| leg.is_pending() && leg.is_unnamed());

        rings
            .map(|leg| leg.started + RING_MAX)
            .max()
            .unwrap_or(At::START)
    }

    /// The instant until which a phone may still take the party from a slot of the PBX.
    pub fn record_final_at(&self) -> At {
        let final_at = self.final_at();

        match self.silent_since() {
            Some(silent) if self.may_be_parked() => final_at.max(silent + self.policy.park_window),
            _ => final_at,
        }
    }

    /// Whether the call ended as a parked one does: with a transfer that rang at no phone, to no
    /// number or to a number of the PBX, or while the party was held.
    pub fn seems_parked(&self) -> bool {
        let led_nowhere = |index: usize| {
            let attempt = &self.call.attempts[index];
            let to_pbx = attempt
                .target
                .as_ref()
                .is_none_or(|target| target.is_short() && !self.is_site_extension(target.dial()));

            !attempt.void
                && to_pbx
                && (attempt.explicit || attempt.consult.is_some())
                && self.targets(index).next().is_none()
        };

        (0..self.call.attempts.len()).any(led_nowhere) || self.legs().any(|leg| leg.held_at_end)
    }

    /// Whether a party outside talked with a phone of this site.
    fn may_be_parked(&self) -> bool {
        self.legs().any(|leg| {
            leg.answered.is_some()
                && leg.ended.is_some()
                && !leg.remote.is_withheld()
                && !leg.remote.is_short()
        })
    }

    /// Whether a phone has not yet reported the end of its conversation, although the call is over
    /// without it.
    pub fn awaits_end(&self) -> bool {
        self.legs().any(Leg::is_talking)
    }

    /// The instant until which a call with a lost end is held, in case the end arrives late.
    pub fn lost_end_final_at(&self) -> At {
        self.call.last.at + Span(self.policy.duration_max.0.saturating_mul(2))
    }

    /// The silence of the call at `at`; `None` while a leg rings or talks.
    pub fn silence(&self, at: At) -> Option<Span> {
        self.silent_since().map(|since| at - since)
    }
}

fn first_to_ring<'a>(legs: impl Iterator<Item = &'a Leg>) -> Option<&'a Leg> {
    legs.min_by(|a, b| (a.started, &a.extension, a.first).cmp(&(b.started, &b.extension, b.first)))
}
