//! Join reasons: decides whether, and how strongly, a new leg belongs to an existing call.
//!
//! [`JoinContext`] is the state of one call at the instant the new leg begins.
//! [`JoinContext::reason`] compares the new leg with one leg of that call; [`super::placing`]
//! chooses the strongest reason of all calls.

use std::cell::OnceCell;

use crate::domain::call::Rule;
use crate::domain::leg::{Leg, Role, Side};
use crate::domain::reading::Reading;
use crate::domain::time::At;

/// The reason why a new leg belongs to a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinReason {
    pub(super) strength: Strength,
    pub(super) join_role: JoinRole,
    pub(super) rule: Rule,
}

impl JoinReason {
    fn new(strength: Strength, join_role: JoinRole, rule: Rule) -> JoinReason {
        JoinReason {
            strength,
            join_role,
            rule,
        }
    }
}

/// The strength of a reason, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// The party is in a conversation already, or was a moment ago.
    Conversation,
    /// The same outside caller rings, or rang a moment ago.
    SameCaller,
    /// A caller of this site is dialling, and the new leg displays that caller.
    Caller,
    /// The two phones display each other.
    Mutual,
    /// A caller of this site dials exactly the extension of the new leg.
    Exact,
}

/// The role of the new leg in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinRole {
    Callee,
    /// Another target of the attempt of the reason's leg.
    SameAttempt,
    /// Target of a transfer of the conversation.
    Transfer,
    /// One of two phones that display each other (click-to-call).
    Pair,
    /// The earlier role of the same phone: the call returns to it.
    Again(Role, Option<u8>),
}

/// The state of a call at the instant a new leg begins.
pub(super) struct JoinContext<'a> {
    reading: Reading<'a>,
    at: At,
    conversation: bool,
    active: bool,
    pub(super) end_lost: bool,
    /// A phone rings, or rang so recently that a further ring belongs to the call.
    may_ring_again: bool,
    /// The conversation goes on, or ended so recently (or with an explicit transfer) that a ring
    /// continues it.
    may_resume: bool,
    /// The conversation goes on, or ended so recently that the party is being transferred.
    may_be_transferred: bool,
    /// Cached answers that do not depend on the compared leg of the call: a call may have hundreds
    /// of legs.
    remote_has_own_leg: OnceCell<bool>,
    names_caller: OnceCell<bool>,
    continuation: OnceCell<JoinReason>,
}

impl<'a> JoinContext<'a> {
    pub(super) fn of(reading: Reading<'a>, at: At) -> JoinContext<'a> {
        let policy = reading.policy;
        let silence = reading.silence(at);
        let active = silence.is_none();

        JoinContext {
            reading,
            at,
            conversation: reading.has_conversation(),
            active,
            end_lost: active && at >= reading.stale_at(),
            may_ring_again: silence.is_none_or(|silence| silence <= policy.rering_gap),
            may_resume: silence.is_none_or(|silence| silence <= policy.resume_gap)
                || reading.transfer_pending(at),
            may_be_transferred: silence.is_none_or(|silence| silence <= policy.together)
                || reading.transfer_pending(at)
                || reading.has_transfer_under_way(at),
            remote_has_own_leg: OnceCell::new(),
            names_caller: OnceCell::new(),
            continuation: OnceCell::new(),
        }
    }

    /// The reason why `leg` belongs to this call because of its leg `other`, if there is one.
    pub(super) fn reason(&self, leg: &Leg, other: &Leg) -> Option<JoinReason> {
        if other.is_party(&leg.remote) {
            return self.reason_of_displayed_extension(leg, other);
        }

        let same = other.remote.same_party(&leg.remote)
            || (leg.remote.is_withheld() && other.remote.is_withheld() && !self.names_caller());
        // The remote party is an extension of this site, and its phone reports its own leg of the
        // call.
        let remote_has_own_leg = *self
            .remote_has_own_leg
            .get_or_init(|| self.reading.legs().any(|own| own.is_party(&leg.remote)));

        if !same || other.role == Role::Consult {
            return None;
        }
        if !remote_has_own_leg {
            return self.reason_of_same_party(leg, other);
        }

        // Another phone of the target rings, or the target did not answer and the call rings on
        // elsewhere, still with the number of the transferor.
        let rings_on = other
            .ended
            .is_none_or(|ended| self.at - ended <= self.reading.policy.rering_gap);
        let had_the_party = || {
            self.reading
                .legs()
                .any(|own| own.answered.is_some() && own.device == leg.device)
        };
        let rings_for_target =
            other.role == Role::Target && other.answered.is_none() && rings_on && !had_the_party();

        rings_for_target.then_some(JoinReason::new(
            Strength::SameCaller,
            JoinRole::SameAttempt,
            Rule::TransferRings,
        ))
    }

    /// The new leg displays the extension of `other`.
    fn reason_of_displayed_extension(&self, leg: &Leg, other: &Leg) -> Option<JoinReason> {
        let exact = leg.is_party(&other.remote);
        // The caller's end may have overtaken the ring that the caller caused.
        let overtook = |ended: At| exact && self.at - ended < self.reading.policy.reorder;
        let calls = other.side == Side::Outgoing || other.role == Role::Caller;
        if calls && other.end_reported.is_none_or(overtook) && self.is_target_unanswered(other) {
            let join_role = if other.role == Role::Consult {
                JoinRole::SameAttempt
            } else {
                JoinRole::Callee
            };
            return Some(if exact {
                JoinReason::new(Strength::Exact, join_role, Rule::JoinedCaller)
            } else {
                JoinReason::new(Strength::Caller, join_role, Rule::JoinedForward)
            });
        }

        let mutual = leg.is_party(&other.remote) || self.was_called_back(other);
        if other.side != Side::Outgoing
            && other.is_open()
            && other.role == Role::Callee
            && mutual
            && self.reading.caller().is_none()
        {
            return Some(JoinReason::new(
                Strength::Mutual,
                JoinRole::Pair,
                Rule::ClickToCall,
            ));
        }

        // A phone of this site that hung up has left the call; only a transfer that rings at the
        // same moment may still display its number.
        let present = other
            .ended
            .is_none_or(|ended| self.at - ended < self.reading.policy.reorder);
        let in_conversation = other.answered.is_some() && other.role != Role::Consult && present;

        (in_conversation && self.conversation && self.may_resume).then(|| self.continuation(leg))
    }

    /// Whether the PBX called this phone back to place a call for it. Either the phone displays its
    /// own number, or it has just answered a call from an apparent colleague or group of this site,
    /// and other phones already ring with its number.
    fn was_called_back(&self, phone: &Leg) -> bool {
        let just_answered = phone
            .answered
            .is_some_and(|answered| self.at - answered <= self.reading.policy.rering_gap);

        phone.is_party(&phone.remote)
            || (phone.side == Side::Incoming
                && just_answered
                && self.reading.dials_colleague(phone))
    }

    /// Whether the caller's target is unanswered, or was answered so recently that the answer
    /// overtook this ring.
    fn is_target_unanswered(&self, caller: &Leg) -> bool {
        let overtook = |answered: At| self.at - answered < self.reading.policy.reorder;

        match caller.attempt {
            Some(index) => self
                .reading
                .targets(usize::from(index))
                .all(|target| target.answered.is_none_or(overtook)),
            None => {
                !self.conversation
                    || self.reading.answered_at().is_none_or(overtook)
                    || self.reading.may_have_dialled_group(caller)
            }
        }
    }

    /// The new leg displays the same party as `other`.
    fn reason_of_same_party(&self, leg: &Leg, other: &Leg) -> Option<JoinReason> {
        if !self.conversation {
            let rings_too = other.side != Side::Outgoing
                && self.may_ring_again
                && (!leg.remote.is_withheld() || self.joins_withheld(leg));
            let rule = if self.active {
                Rule::JoinedRinging
            } else {
                Rule::RangAgain
            };
            return rings_too.then_some(JoinReason::new(
                Strength::SameCaller,
                JoinRole::Callee,
                rule,
            ));
        }
        if self.active {
            return self.reason_during_conversation(leg);
        }
        if !self.may_resume || self.is_next_withheld_caller(leg) {
            return None;
        }

        // A party that is transferred rings at once; one that calls again takes a moment.
        Some(self.continuation(leg))
            .filter(|reason| reason.join_role != JoinRole::Transfer || self.may_be_transferred)
    }

    /// Whether a ring without a number is that of the next caller: nothing gave the party of the
    /// conversation away, and it rings at a phone that has just talked.
    fn is_next_withheld_caller(&self, leg: &Leg) -> bool {
        let talked_here =
            |own: &Leg| own.answered.is_some() && own.device == leg.device && !own.held_at_end;
        let is_given_away = self.reading.transfer_pending(self.at)
            || self.reading.has_transfer_under_way(self.at)
            || self.last_transfer_failed();

        leg.remote.is_withheld() && self.reading.legs().any(talked_here) && !is_given_away
    }

    /// A party of the conversation rings at `leg`: the call returns to an earlier phone, or is
    /// transferred to another phone.
    fn continuation(&self, leg: &Leg) -> JoinReason {
        *self
            .continuation
            .get_or_init(|| self.find_continuation(leg))
    }

    fn find_continuation(&self, leg: &Leg) -> JoinReason {
        let talked = || {
            self.reading
                .legs()
                .filter(|other| other.role != Role::Consult && other.answered.is_some())
        };
        let same_phone = talked()
            .filter(|other| other.device == leg.device && other.extension == leg.extension)
            .max_by_key(|other| other.answered);
        let last_talked = talked().max_by_key(|other| (other.answered, other.first));

        match same_phone {
            Some(earlier)
                if self.last_transfer_failed()
                    || last_talked.is_some_and(|last| last.device == leg.device) =>
            {
                JoinReason::new(
                    Strength::Conversation,
                    JoinRole::Again(earlier.role, earlier.attempt),
                    Rule::Resumed,
                )
            }
            _ => JoinReason::new(
                Strength::Conversation,
                JoinRole::Transfer,
                Rule::TransferRings,
            ),
        }
    }

    /// Whether the targets of the last transfer did not answer, so that the party may return to the
    /// transferor.
    fn last_transfer_failed(&self) -> bool {
        let Some((index, attempt)) = self
            .reading
            .call
            .attempts
            .iter()
            .enumerate()
            .rev()
            .find(|(_, attempt)| !attempt.void)
        else {
            return false;
        };

        let mut targets = self.reading.targets(index).peekable();
        attempt.consult.is_none()
            && targets.peek().is_some()
            && targets.all(|target| target.answered.is_none())
    }

    /// The party is in a conversation, and another phone rings for it.
    fn reason_during_conversation(&self, leg: &Leg) -> Option<JoinReason> {
        let overtaken_by_answer = self
            .reading
            .answered_at()
            .is_some_and(|answered| self.at - answered < self.reading.policy.reorder);
        if overtaken_by_answer && self.reading.caller().is_none() {
            return Some(JoinReason::new(
                Strength::SameCaller,
                JoinRole::Callee,
                Rule::JoinedRinging,
            ));
        }

        let identified = !leg.remote.is_withheld() || self.reading.transfer_pending(self.at);
        identified.then(|| self.continuation(leg))
    }

    /// Whether a phone displays the caller: a ring without a number is then none of this call.
    fn names_caller(&self) -> bool {
        *self.names_caller.get_or_init(|| {
            let mut callees = self.reading.legs_with_role(Role::Callee);
            callees.any(|callee| !callee.remote.is_withheld())
        })
    }

    /// Time distinguishes callers who withhold the number: phones of one call begin to ring
    /// together, or take turns.
    fn joins_withheld(&self, leg: &Leg) -> bool {
        let last_ring = self
            .reading
            .legs_with_role(Role::Callee)
            .filter_map(|callee| callee.rang)
            .max();

        !self.active
            || last_ring.is_some_and(|rang| leg.started - rang <= self.reading.policy.ring_join)
    }
}

/// Whether the account of the device already has an open leg in the call.
pub(super) fn is_open_on_same_account(other: &Leg, leg: &Leg) -> bool {
    other.is_open() && other.device == leg.device && other.extension == leg.extension
}

/// Whether the end of `other` may have been lost: it still rings for the same caller, or for a call
/// in which other phones talk.
pub(super) fn may_have_lost_end(other: &Leg, leg: &Leg, conversation: bool) -> bool {
    let both_withheld = other.remote.is_withheld() && leg.remote.is_withheld();
    // Two rings with ids of their own, and without numbers, are those of two callers.
    if both_withheld && other.call_ref.is_some() && leg.call_ref.is_some() {
        return false;
    }
    let same_caller = both_withheld || other.remote.same_party(&leg.remote);

    other.is_pending()
        && leg.is_open()
        && other.side == Side::Incoming
        && leg.side == Side::Incoming
        && (same_caller || conversation)
}
