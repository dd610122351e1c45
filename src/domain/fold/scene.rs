//! A call at the instant a new leg begins: is there a reason for the leg to be part of it, and how
//! strong is that reason?

use std::cell::OnceCell;

use crate::domain::call::Rule;
use crate::domain::leg::{Leg, Role, Side};
use crate::domain::reading::Reading;
use crate::domain::time::At;

/// How strong the reason is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// The party is in a conversation already, or was a moment ago.
    Conversation,
    /// The same outside caller rings, or rang a moment ago.
    SameCaller,
    /// One of us calls somebody, and this phone shows that caller.
    Caller,
    /// The two phones show each other.
    Mutual,
    /// One of us calls exactly this extension.
    Exact,
}

/// What the leg becomes in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    Callee,
    /// Another target of the attempt that the reason belongs to.
    SameAttempt,
    /// Target of a transfer of the conversation.
    Transfer,
    /// The two phones show each other: one of them called.
    Pair,
    /// Where this phone sat before: the call comes back to it.
    Again(Role, Option<u8>),
}

/// A call at the instant a new leg begins.
pub(super) struct Scene<'a> {
    reading: Reading<'a>,
    at: At,
    conversation: bool,
    alive: bool,
    pub(super) lost: bool,
    /// Nobody rings, but so recently that a further ring belongs to the call.
    may_ring_again: bool,
    /// Nobody talks, but so recently, or so explicitly, that a ring continues the conversation.
    may_resume: bool,
    /// Answers about the new leg that do not depend on which leg of the call they are asked for: a
    /// call may have hundreds of legs.
    ours: OnceCell<bool>,
    continues: OnceCell<(Strength, Seat, Rule)>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(reading: Reading<'a>, at: At) -> Scene<'a> {
        let policy = reading.policy;
        let silence = reading.silence(at);
        let alive = silence.is_none();
        Scene {
            reading,
            at,
            conversation: reading.has_conversation(),
            alive,
            lost: alive && at >= reading.stale_at(),
            may_ring_again: silence.is_none_or(|silence| silence <= policy.rering_gap),
            may_resume: silence.is_none_or(|silence| silence <= policy.resume_gap)
                || reading.transfer_pending(at),
            ours: OnceCell::new(),
            continues: OnceCell::new(),
        }
    }

    /// Why `leg` belongs to this call because of its leg `other`, if it does.
    pub(super) fn reason(&self, leg: &Leg, other: &Leg) -> Option<(Strength, Seat, Rule)> {
        if other.belongs_to(&leg.remote) {
            return self.shows_one_of_us(leg, other);
        }
        let same = other.remote.same_party(&leg.remote)
            || (leg.remote.is_withheld() && other.remote.is_withheld());
        // One of us is in the call with a phone that speaks for itself.
        let ours = *self
            .ours
            .get_or_init(|| self.reading.legs().any(|mine| mine.belongs_to(&leg.remote)));
        if !same || other.role == Role::Consult {
            return None;
        }
        if !ours {
            return self.shows_same_party(leg, other);
        }
        // Handed over while it rang, and nobody took it there: it rings on elsewhere, still in the
        // name of who handed it over.
        let rings_on = other
            .ended
            .is_some_and(|ended| self.at - ended <= self.reading.policy.rering_gap);
        let handed_over =
            self.reading.was_asked_first(other) && other.answered.is_none() && rings_on;
        handed_over.then_some((Strength::SameCaller, Seat::SameAttempt, Rule::TransferRings))
    }

    /// The new leg shows the extension of `other`.
    fn shows_one_of_us(&self, leg: &Leg, other: &Leg) -> Option<(Strength, Seat, Rule)> {
        let exact = leg.belongs_to(&other.remote);
        // The caller's end may have overtaken the ring it caused.
        let overtook = |ended: At| exact && self.at - ended < self.reading.policy.reorder;
        let calls = other.side == Side::Outgoing || other.role == Role::Caller;
        if calls && other.end_reported.is_none_or(overtook) && self.nobody_took(other) {
            let seat = if other.role == Role::Consult {
                Seat::SameAttempt
            } else {
                Seat::Callee
            };
            return Some(if exact {
                (Strength::Exact, seat, Rule::JoinedCaller)
            } else {
                (Strength::Caller, seat, Rule::JoinedSplitTarget)
            });
        }
        let shown_back = leg.belongs_to(&other.remote) || self.was_called_back(other);
        if other.side != Side::Outgoing
            && other.is_open()
            && other.role == Role::Callee
            && shown_back
            && self.reading.caller().is_none()
        {
            return Some((Strength::Mutual, Seat::Pair, Rule::ClickToCall));
        }
        // One of us who has hung up is gone: only a transfer that rings at the same moment may
        // still show that number.
        let there = other
            .ended
            .is_none_or(|ended| self.at - ended < self.reading.policy.reorder);
        let in_conversation = other.answered.is_some() && other.role != Role::Consult && there;
        (in_conversation && self.conversation && self.may_resume).then(|| self.continues(leg))
    }

    /// Whether the PBX called this phone back to place a call for it: it shows its own number, or
    /// it took a call of what looks like a colleague or a group of ours only a moment ago, and
    /// already others ring in its name.
    fn was_called_back(&self, phone: &Leg) -> bool {
        let just_answered = phone
            .answered
            .is_some_and(|answered| self.at - answered <= self.reading.policy.rering_gap);
        phone.belongs_to(&phone.remote)
            || (phone.side == Side::Incoming
                && just_answered
                && self.reading.dials_colleague(phone))
    }

    /// Whether nobody has answered what `caller` dials, or only just now, so that the answer
    /// overtook this ring.
    fn nobody_took(&self, caller: &Leg) -> bool {
        let free = |leg: &Leg| {
            leg.answered
                .is_none_or(|answered| self.at - answered < self.reading.policy.reorder)
        };
        match caller.attempt {
            Some(index) => self.reading.targets(usize::from(index)).all(free),
            None => {
                !self.conversation
                    || self
                        .reading
                        .answered_at()
                        .is_none_or(|answered| self.at - answered < self.reading.policy.reorder)
            }
        }
    }

    /// The new leg shows the same party as `other`.
    fn shows_same_party(&self, leg: &Leg, other: &Leg) -> Option<(Strength, Seat, Rule)> {
        if !self.conversation {
            let rings_too = other.side != Side::Outgoing
                && self.may_ring_again
                && (!leg.remote.is_withheld() || self.joins_withheld(leg));
            let rule = if self.alive {
                Rule::JoinedRinging
            } else {
                Rule::RangAgain
            };
            return rings_too.then_some((Strength::SameCaller, Seat::Callee, rule));
        }
        if self.alive {
            return self.rings_during_conversation(leg);
        }
        if !self.may_resume {
            return None;
        }
        Some(self.continues(leg))
    }

    /// A party of the conversation rings at `leg`: it comes back to a phone that had it, or it is
    /// sent on to another.
    fn continues(&self, leg: &Leg) -> (Strength, Seat, Rule) {
        *self.continues.get_or_init(|| self.where_to_continue(leg))
    }

    fn where_to_continue(&self, leg: &Leg) -> (Strength, Seat, Rule) {
        let talked = || {
            self.reading
                .legs()
                .filter(|other| other.role != Role::Consult && other.answered.is_some())
        };
        let mine = talked()
            .filter(|other| other.device == leg.device && other.extension == leg.extension)
            .max_by_key(|other| other.answered);
        let last_talked = talked().max_by_key(|other| (other.answered, other.first));
        match mine {
            Some(mine)
                if self.sent_on_in_vain()
                    || last_talked.is_some_and(|last| last.device == leg.device) =>
            {
                (
                    Strength::Conversation,
                    Seat::Again(mine.role, mine.attempt),
                    Rule::Resumed,
                )
            }
            _ => (Strength::Conversation, Seat::Transfer, Rule::TransferRings),
        }
    }

    /// Whether nobody took the last transfer, so that the party may come back to whoever sent it
    /// on.
    fn sent_on_in_vain(&self) -> bool {
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

    /// The party talks to somebody, and another phone rings for it.
    fn rings_during_conversation(&self, leg: &Leg) -> Option<(Strength, Seat, Rule)> {
        let overtaken_by_answer = self
            .reading
            .answered_at()
            .is_some_and(|answered| self.at - answered < self.reading.policy.reorder);
        if overtaken_by_answer && self.reading.caller().is_none() {
            return Some((Strength::SameCaller, Seat::Callee, Rule::JoinedRinging));
        }
        let known = !leg.remote.is_withheld() || self.reading.transfer_pending(self.at);
        known.then(|| self.continues(leg))
    }

    /// Callers who withhold the number are told apart by time: phones of one call begin to ring
    /// together, or take turns.
    fn joins_withheld(&self, leg: &Leg) -> bool {
        let last_ring = self
            .reading
            .role(Role::Callee)
            .filter_map(|callee| callee.rang)
            .max();
        !self.alive
            || last_ring.is_some_and(|rang| leg.started - rang <= self.reading.policy.ring_join)
    }
}

/// Whether the phone has an open leg in the call already.
pub(super) fn same_seat(other: &Leg, leg: &Leg) -> bool {
    other.is_open() && other.device == leg.device && other.extension == leg.extension
}

/// Whether that leg may be one whose end was never reported: it still rings for the same caller, or
/// for a call that others talk in.
pub(super) fn is_stale(other: &Leg, leg: &Leg, conversation: bool) -> bool {
    let same_caller = other.remote.same_party(&leg.remote)
        || (other.remote.is_withheld() && leg.remote.is_withheld());
    other.is_pending()
        && leg.is_open()
        && other.side == Side::Incoming
        && leg.side == Side::Incoming
        && (same_caller || conversation)
}
