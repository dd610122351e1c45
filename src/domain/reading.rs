//! Reading a call: the questions about a call and its legs that rules and records ask. Pure, and
//! without memory of its own.

use smallvec::SmallVec;

use super::call::{Attempt, Call};
use super::cow_slab::CowSlab;
use super::extensions::Extensions;
use super::fact::Site;
use super::leg::{Leg, LegSlot, Role, Side};
use super::policy::Policy;
use super::time::{At, Span};

/// A call together with its legs and what the site knows.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub call: &'a Call,
    pub legs: &'a CowSlab<Leg>,
    pub policy: &'a Policy,
    pub extensions: &'a Extensions,
    pub site: &'a Site,
}

/// The legs.
impl<'a> Reading<'a> {
    pub fn leg(&self, slot: LegSlot) -> &'a Leg {
        &self.legs[slot]
    }

    pub fn legs(&self) -> impl Iterator<Item = &'a Leg> + use<'a> {
        let legs = self.legs;
        self.call.legs.iter().map(move |slot| &legs[*slot])
    }

    pub fn role(&self, role: Role) -> impl Iterator<Item = &'a Leg> + use<'a> {
        self.legs().filter(move |leg| leg.role == role)
    }

    /// The call before any transfer: the caller and those who ring or rang because of the caller.
    pub fn main_legs(&self) -> impl Iterator<Item = &'a Leg> + use<'a> {
        self.legs()
            .filter(|leg| matches!(leg.role, Role::Caller | Role::Callee))
    }

    /// The one of us who calls, where that phone reported it.
    pub fn caller(&self) -> Option<&'a Leg> {
        self.role(Role::Caller).min_by_key(|leg| leg.first)
    }

    pub fn targets(&self, attempt: usize) -> impl Iterator<Item = &'a Leg> + use<'a> {
        self.role(Role::Target).filter(move |leg| {
            leg.attempt
                .is_some_and(|index| usize::from(index) == attempt)
        })
    }

    /// The callee leg that began first: whom the call rang first.
    pub fn first_callee(&self) -> Option<&'a Leg> {
        self.role(Role::Callee).min_by(|a, b| {
            (a.started, &a.extension, a.first).cmp(&(b.started, &b.extension, b.first))
        })
    }

    /// Whether any phone of ours was called.
    pub fn rang_ours(&self) -> bool {
        self.role(Role::Callee).any(Leg::took_part)
    }

    /// Whether the leg rings for a transfer that no phone announced.
    pub fn is_unannounced(&self, leg: &Leg) -> bool {
        self.attempt_of(leg)
            .is_some_and(|attempt| attempt.consult.is_none() && !attempt.explicit)
    }

    /// Whether the leg is the target of a phone that asked before it handed over.
    pub fn was_asked_first(&self, leg: &Leg) -> bool {
        leg.role == Role::Target
            && self
                .attempt_of(leg)
                .is_some_and(|attempt| attempt.consult.is_some())
    }

    /// Whether the phone that transferred to this target is out of the call.
    pub fn was_handed_over(&self, leg: &Leg) -> bool {
        let gone = |slot: LegSlot| self.leg(slot).ended.is_some();
        self.attempt_of(leg)
            .is_some_and(|attempt| attempt.by.is_none_or(gone) && attempt.consult.is_none_or(gone))
    }

    fn attempt_of(&self, leg: &Leg) -> Option<&'a Attempt> {
        self.call.attempts.get(usize::from(leg.attempt?))
    }
}

/// The conversation.
impl<'a> Reading<'a> {
    /// The callee legs that hold a conversation, the owner of the answer first. A lost race for the
    /// answer is no conversation.
    pub fn answerers(&self) -> SmallVec<[&'a Leg; 4]> {
        let mut answered: SmallVec<[&Leg; 4]> = self
            .role(Role::Callee)
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

    /// When the conversation began: the owner's answer, or, where none of our phones was called,
    /// the word of the caller's phone.
    pub fn answered_at(&self) -> Option<At> {
        let Some(owner) = self.answerers().first().copied() else {
            return self.caller_connected();
        };
        let answered = owner.answered?;
        // Two ends of one answer may overtake each other on the way here: the earlier of the two is
        // the answer.
        let caller_said = self
            .caller()
            .filter(|caller| caller.side == Side::Outgoing)
            .and_then(|caller| caller.answered);
        match caller_said {
            Some(said)
                if said >= owner.started
                    && said < answered
                    && answered - said < self.policy.reorder =>
            {
                Some(said)
            }
            _ => Some(answered),
        }
    }

    /// Whether anybody talked: somebody of ours answered, or what one of us called surely did.
    pub fn has_conversation(&self) -> bool {
        self.role(Role::Callee).any(|leg| leg.answered.is_some())
            || self.caller_connected().is_some()
    }

    /// When the caller's phone was connected, if its word is enough. To a colleague it is not: the
    /// PBX answers it with an announcement, a queue or a forward, and only the colleague's phone
    /// says that a person took the call.
    fn caller_connected(&self) -> Option<At> {
        let caller = self.caller()?;
        let answered = caller.answered?;
        if self.rang_ours() {
            return None;
        }
        let dial = caller.remote.dial();
        if !self.dials_colleague(caller) || self.policy.is_silent_extension(dial) {
            return Some(answered);
        }
        let never_reported = !self.extensions.reported_by(dial, self.call.last);
        let outlasts_announcement =
            caller.talk_until(self.call.last.at) >= self.policy.announcement_max;
        (never_reported && outlasts_announcement).then_some(answered)
    }

    /// Whether the caller dialled an extension of its own site: reported, listed, or built like its
    /// own.
    pub fn dials_colleague(&self, caller: &Leg) -> bool {
        let own = caller.extension.as_ref().map_or("", |own| own.as_str());
        self.is_our_extension(caller.remote.dial())
            || self.policy.looks_like_extension(&caller.remote, own)
    }

    pub fn is_our_extension(&self, dial: &str) -> bool {
        !dial.is_empty()
            && (self.policy.lists_extension(dial)
                || self.extensions.reported_by(dial, self.call.last))
    }

    pub fn started(&self) -> At {
        self.main_legs()
            .map(|leg| leg.started)
            .min()
            .unwrap_or(self.call.first.at)
    }
}

/// Life and end.
impl Reading<'_> {
    /// Whether a leg keeps the call alive: it talks, or it rings for a call (or a transfer) that
    /// nobody has taken yet.
    fn keeps_alive(&self, leg: &Leg, conversation: bool) -> bool {
        if !leg.is_open() {
            return false;
        }
        match leg.role {
            Role::Callee => leg.answered.is_some() || !conversation,
            // A phone of the caller that was called back and did not take it is out, as soon as
            // another one did.
            Role::Caller => {
                leg.side == Side::Outgoing
                    || leg.answered.is_some()
                    || self
                        .role(Role::Caller)
                        .all(|other| other.answered.is_none())
            }
            Role::Consult => true,
            Role::Target => self
                .attempt_of(leg)
                .is_none_or(|attempt| self.reaches_target(attempt)),
        }
    }

    /// Whether the target of an attempt may still hold the call: a consultation does not outlive
    /// its second leg, unless it was handed over.
    fn reaches_target(&self, attempt: &Attempt) -> bool {
        let Some(consult) = attempt.consult.map(|slot| self.leg(slot)) else {
            return true;
        };
        match (
            consult.ended,
            attempt.by.and_then(|slot| self.leg(slot).ended),
        ) {
            (None, _) => true,
            (Some(consult), Some(main)) => (consult - main).abs() <= self.policy.together,
            (Some(_), None) => false,
        }
    }

    /// When the last leg that mattered ended; `None` while one goes on.
    pub fn silent_since(&self) -> Option<At> {
        let conversation = self.has_conversation();
        let alive = self.legs().any(|leg| self.keeps_alive(leg, conversation));
        (!alive).then(|| self.last_end(conversation))
    }

    /// The end of what was said or rung. A phone that stops ringing because another answered does
    /// not prolong the call.
    fn last_end(&self, conversation: bool) -> At {
        let counts =
            |leg: &&Leg| !(conversation && leg.role == Role::Callee && leg.answered.is_none());
        self.legs()
            .filter(counts)
            .filter_map(|leg| leg.ended)
            .max()
            .unwrap_or(self.call.last.at)
    }

    /// When a call that goes on has been without a sign for so long that its end must have been
    /// lost.
    pub fn stale_at(&self) -> At {
        let talking = self.legs().any(Leg::is_talking);
        self.call.last.at
            + if talking {
                self.policy.duration_max
            } else {
                self.policy.ring_max
            }
    }

    /// When the call ended, seen at `now`: `Some((end, lost))` once it did. A lost end is taken to
    /// be the last sign of the call.
    pub fn end_at(&self, now: At) -> Option<(At, bool)> {
        match self.silent_since() {
            Some(silent) => Some((silent, false)),
            None if now >= self.stale_at() => Some((self.call.last.at, true)),
            None => None,
        }
    }

    /// Whether a phone said that it transfers and nobody rang for it yet.
    pub fn transfer_pending(&self, now: At) -> bool {
        let waits = |(index, attempt): (usize, &Attempt)| {
            attempt.explicit
                && attempt.consult.is_none()
                && now - attempt.started <= self.policy.transfer_window
                && self.targets(index).next().is_none()
        };
        self.call.attempts.iter().enumerate().any(waits)
    }

    /// When an unanswered call becomes missed and an answered one is over: from here on no ring
    /// continues it.
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
        let said = self
            .call
            .attempts
            .iter()
            .filter(|attempt| attempt.explicit)
            .map(|attempt| attempt.started + self.policy.transfer_window);
        said.max().map_or(resume, |until| until.max(resume))
    }

    /// When nothing that may still come can change the record.
    pub fn final_at(&self) -> At {
        match self.silent_since() {
            Some(_) if self.awaits_an_end() => self.lost_for_good_at(),
            Some(silent) => self
                .decide_at()
                .max(silent + self.policy.duplicate + self.policy.reorder),
            None => self.lost_for_good_at(),
        }
    }

    /// Whether some phone has not said yet that it stopped talking, although the call is over
    /// without it.
    pub fn awaits_an_end(&self) -> bool {
        self.legs().any(Leg::is_talking)
    }

    /// How long a call whose end was lost is kept, in case the end comes after all.
    pub fn lost_for_good_at(&self) -> At {
        self.call.last.at + Span(self.policy.duration_max.0.saturating_mul(2))
    }

    /// How long nobody has rung or talked at `at`; `None` while somebody does.
    pub fn silence(&self, at: At) -> Option<Span> {
        self.silent_since().map(|since| at - since)
    }
}
