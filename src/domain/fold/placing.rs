//! Which call a new leg belongs to. The leg is held against every call that its parties take part in; the strongest reason wins, and
//! among equals the most recent. Without a reason the leg begins a call of its own.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::call::{Attempt, LEGS_MAX, Rule};
use crate::domain::device::Extension;
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role, Side};
use crate::domain::link::{Confidence, JoinKind};
use crate::domain::reading::Reading;
use crate::domain::time::At;

/// Calls of one party a new leg is held against. Only a site that shows one number for all its callers reaches it.
const CALLS_CONSIDERED_MAX: usize = 64;
/// Transfer attempts kept per call.
pub(super) const ATTEMPTS_MAX: usize = 64;

/// A place for a leg in a call.
#[derive(Clone, Copy, Debug)]
struct Spot {
    call: CallSlot,
    strength: Strength,
    /// The leg of the call that is the reason.
    because: LegSlot,
    because_started: (At, crate::domain::fact::FactKey),
    seat: Seat,
    rule: Rule,
}

/// How strong the reason is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
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
enum Seat {
    Callee,
    /// Another target of the attempt that the reason belongs to.
    SameAttempt,
    /// Target of a transfer of the conversation.
    Transfer,
    /// The two phones show each other: one of them called.
    Pair,
}

impl Fold {
    /// Finds the leg's call and says by which rule.
    pub(super) fn place(&mut self, slot: LegSlot) -> Rule {
        match self.legs[slot].side {
            Side::Outgoing => self.place_outgoing(slot),
            Side::Incoming | Side::Unknown => self.place_incoming(slot),
        }
    }

    fn place_incoming(&mut self, slot: LegSlot) -> Rule {
        let Some(spot) = self.best_spot(slot) else {
            let call = self.new_call(slot, Role::Callee);
            self.link_to_previous(call, slot);
            return Rule::Began;
        };
        match spot.seat {
            Seat::Callee => self.attach(slot, spot.call, Role::Callee, None),
            Seat::SameAttempt => {
                let attempt = self.legs[spot.because].attempt;
                self.attach(slot, spot.call, Role::Target, attempt);
            }
            Seat::Pair => self.seat_pair(slot, spot),
            Seat::Transfer if self.legs[slot].is_only_an_end() => self.attach(slot, spot.call, Role::Callee, None),
            Seat::Transfer => self.seat_transfer(slot, spot),
        }
        self.legs[slot].joined = self.join_reason(spot);
        spot.rule
    }

    /// What is told about a leg that continues a call.
    fn join_reason(&self, spot: Spot) -> Option<(JoinKind, Confidence, &'static str)> {
        let announced = self.calls[spot.call].attempts.iter().any(|attempt| attempt.explicit && !attempt.void);
        match spot.rule {
            Rule::TransferRings if announced => {
                Some((JoinKind::Transfer, Confidence::High, "a phone said that it transfers, and its party rings here"))
            }
            Rule::TransferRings => {
                Some((JoinKind::Transfer, Confidence::Medium, "a party of the conversation rings here during it or moments after"))
            }
            Rule::JoinedCaller if spot.seat == Seat::SameAttempt => {
                Some((JoinKind::Transfer, Confidence::High, "the phone that holds its party dialled this extension"))
            }
            Rule::Resumed => {
                Some((JoinKind::Rering, Confidence::Medium, "the same party rings the same phone moments after the conversation"))
            }
            Rule::RangAgain => {
                Some((JoinKind::Rering, Confidence::High, "the same caller rings again within the gap of a hunt or a queue"))
            }
            _ => None,
        }
    }

    fn best_spot(&self, slot: LegSlot) -> Option<Spot> {
        let leg = &self.legs[slot];
        let mut considered = 0;
        let mut best: Option<Spot> = None;
        for call in self.calls_of(&leg.remote) {
            if self.is_past(call) {
                continue;
            }
            considered += 1;
            if considered > CALLS_CONSIDERED_MAX {
                break;
            }
            let found = self.spot_in(call, leg);
            let rank = |spot: &Spot| (spot.strength, spot.because_started);
            if let Some(found) = found
                && best.as_ref().is_none_or(|best| rank(&found) > rank(best))
            {
                best = Some(found);
            }
        }
        best
    }

    fn spot_in(&self, call: CallSlot, leg: &Leg) -> Option<Spot> {
        let reading = self.reading(call);
        let taken = |other: &Leg| other.is_open() && other.device == leg.device && other.extension == leg.extension;
        if reading.call.legs.len() >= LEGS_MAX || reading.legs().any(taken) {
            return None;
        }
        let scene = Scene::of(reading, leg.started);
        if scene.lost {
            return None;
        }
        let mut best: Option<Spot> = None;
        for (slot, other) in reading.call.legs.iter().map(|slot| (*slot, reading.leg(*slot))) {
            let Some((strength, seat, rule)) = scene.reason(leg, other) else { continue };
            let because_started = (other.started, other.first);
            if best.is_none_or(|best| (strength, because_started) > (best.strength, best.because_started)) {
                best = Some(Spot { call, strength, because: slot, because_started, seat, rule });
            }
        }
        best
    }

    /// Two phones that show each other, and neither said that it dials: whoever rang first was called back to place the call.
    fn seat_pair(&mut self, slot: LegSlot, spot: Spot) {
        let new_one_calls = self.legs[slot].rang.is_none();
        if new_one_calls {
            self.attach(slot, spot.call, Role::Caller, None);
        } else {
            self.legs[spot.because].role = Role::Caller;
            self.attach(slot, spot.call, Role::Callee, None);
        }
    }

    fn seat_transfer(&mut self, slot: LegSlot, spot: Spot) {
        let at = self.legs[slot].started;
        let index = match self.open_blind_attempt(spot.call, at) {
            Some(index) => index,
            None if self.calls[spot.call].attempts.len() >= ATTEMPTS_MAX => {
                self.attach(slot, spot.call, Role::Callee, None);
                return;
            }
            None => {
                let attempt = Attempt::new(at, Some(spot.because), None, None);
                self.calls[spot.call].attempts.push(attempt);
                self.calls[spot.call].attempts.len() - 1
            }
        };
        let index = u8::try_from(index).ok();
        self.attach(slot, spot.call, Role::Target, index);
    }

    /// A blind transfer under way that one more phone may ring for: nobody has taken it, and somebody rings or rang a moment ago.
    fn open_blind_attempt(&self, call: CallSlot, at: At) -> Option<usize> {
        let reading = self.reading(call);
        let rings = |index: usize| {
            let mut targets = reading.targets(index).peekable();
            let announced = reading.call.attempts[index].explicit && targets.peek().is_none();
            let mut nobody_took_it = true;
            let mut fresh = false;
            for target in targets {
                nobody_took_it &= target.answered.is_none();
                fresh |= target.ended.is_none_or(|ended| at - ended <= self.policy.rering_gap);
            }
            nobody_took_it && (announced || fresh)
        };
        let attempts = &reading.call.attempts;
        (0..attempts.len()).rev().find(|index| attempts[*index].consult.is_none() && !attempts[*index].void && rings(*index))
    }

    fn place_outgoing(&mut self, slot: LegSlot) -> Rule {
        let overtaken = self.rings_before_its_caller(slot);
        if let Some(main) = self.conversation_of(slot) {
            return self.seat_consult(slot, main, &overtaken);
        }
        if let Some(first) = overtaken.first().copied() {
            let call = self.legs[first].call;
            let reading = self.reading(call);
            let own = self.legs[slot].extension.clone();
            let all_face_me =
                reading.legs().all(|leg| leg.role == Role::Callee && own.as_ref().is_some_and(|own| leg.remote.is_extension(own.as_str())));
            if all_face_me {
                self.attach(slot, call, Role::Caller, None);
                return Rule::CallerFound;
            }
            let call = self.new_call(slot, Role::Caller);
            for leg in overtaken {
                self.transplant(leg, call, Role::Callee, None);
            }
            return Rule::CallerFound;
        }
        let call = self.new_call(slot, Role::Caller);
        self.link_to_previous(call, slot);
        Rule::Began
    }

    /// The leg on which the same phone talks already: to dial now is to ask somebody while that party waits.
    fn conversation_of(&self, slot: LegSlot) -> Option<LegSlot> {
        let dialling = &self.legs[slot];
        let phone = self.phones.get(&dialling.device)?;
        let talking = phone
            .legs
            .iter()
            .copied()
            .filter(|other| *other != slot && self.legs[*other].is_talking() && self.legs[*other].role != Role::Consult);
        let alive = talking
            .filter(|other| !self.is_past(self.legs[*other].call) && self.reading(self.legs[*other].call).stale_at() > dialling.started);
        alive.max_by_key(|other| (self.legs[*other].answered, self.legs[*other].first))
    }

    fn seat_consult(&mut self, slot: LegSlot, main: LegSlot, overtaken: &[LegSlot]) -> Rule {
        let call = self.legs[main].call;
        if self.calls[call].attempts.len() >= ATTEMPTS_MAX || self.calls[call].legs.len() >= LEGS_MAX {
            self.new_call(slot, Role::Caller);
            return Rule::Began;
        }
        let leg = &self.legs[slot];
        let attempt = Attempt::new(leg.started, Some(main), Some(slot), Some(leg.remote.clone()));
        self.calls[call].attempts.push(attempt);
        let index = u8::try_from(self.calls[call].attempts.len() - 1).ok();
        self.attach(slot, call, Role::Consult, index);
        for target in overtaken {
            self.transplant(*target, call, Role::Target, index);
        }
        Rule::ConsultBegan
    }

    /// Phones that show the caller who only now says that it dials: their requests overtook the caller's.
    fn rings_before_its_caller(&self, slot: LegSlot) -> SmallVec<[LegSlot; 4]> {
        let caller = &self.legs[slot];
        let Some(own) = caller.extension.as_ref().map(Extension::as_str) else { return SmallVec::new() };
        let since = caller.started - self.policy.reorder;
        let mut found = SmallVec::new();
        for call in self.calls_of_extension(own) {
            if self.is_past(call) {
                continue;
            }
            let reading = self.reading(call);
            let without_caller = reading.caller().is_none();
            let began_just_now = reading.call.first.at > since;
            for other in reading.call.legs.iter().copied().filter(|other| *other != slot) {
                let leg = reading.leg(other);
                let shows_me =
                    leg.side != Side::Outgoing && leg.remote.is_extension(own) && leg.started > since && leg.device != caller.device;
                // A callee of a call that has its caller already is taken.
                let free = without_caller || leg.role != Role::Callee;
                let exact = free && leg.belongs_to(&caller.remote);
                let forwarded = without_caller && began_just_now && leg.role == Role::Callee;
                if shows_me && (exact || forwarded) {
                    found.push(other);
                }
            }
        }
        found
    }
}

/// A call at the instant a new leg begins.
struct Scene<'a> {
    reading: Reading<'a>,
    at: At,
    conversation: bool,
    alive: bool,
    lost: bool,
    /// Nobody rings, but so recently that a further ring belongs to the call.
    may_ring_again: bool,
    /// Nobody talks, but so recently, or so explicitly, that a ring continues the conversation.
    may_resume: bool,
}

impl<'a> Scene<'a> {
    fn of(reading: Reading<'a>, at: At) -> Scene<'a> {
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
            may_resume: silence.is_none_or(|silence| silence <= policy.resume_gap) || reading.transfer_pending(at),
        }
    }

    /// Why `leg` belongs to this call because of its leg `other`, if it does.
    fn reason(&self, leg: &Leg, other: &Leg) -> Option<(Strength, Seat, Rule)> {
        if other.belongs_to(&leg.remote) {
            return self.shows_one_of_us(leg, other);
        }
        let same = other.remote.same_party(&leg.remote) || (leg.remote.is_withheld() && other.remote.is_withheld());
        if same && other.role != Role::Consult { self.shows_same_party(leg, other) } else { None }
    }

    /// The new leg shows the extension of `other`.
    fn shows_one_of_us(&self, leg: &Leg, other: &Leg) -> Option<(Strength, Seat, Rule)> {
        let exact = leg.belongs_to(&other.remote);
        // The caller's end may have overtaken the ring it caused.
        let overtook = |ended: At| exact && self.at - ended < self.reading.policy.reorder;
        if other.side == Side::Outgoing && other.end_reported.is_none_or(overtook) && self.nobody_took(other) {
            let seat = if other.role == Role::Consult { Seat::SameAttempt } else { Seat::Callee };
            return Some(if exact {
                (Strength::Exact, seat, Rule::JoinedCaller)
            } else {
                (Strength::Caller, seat, Rule::JoinedSplitTarget)
            });
        }
        if other.side != Side::Outgoing
            && other.is_open()
            && other.role == Role::Callee
            && leg.belongs_to(&other.remote)
            && self.reading.caller().is_none()
        {
            return Some((Strength::Mutual, Seat::Pair, Rule::ClickToCall));
        }
        let in_conversation = other.answered.is_some() && other.role != Role::Consult;
        (in_conversation && self.conversation && self.may_resume).then_some((Strength::Conversation, Seat::Transfer, Rule::TransferRings))
    }

    /// Whether nobody has answered what `caller` dials, or only just now, so that the answer overtook this ring.
    fn nobody_took(&self, caller: &Leg) -> bool {
        let free = |leg: &Leg| leg.answered.is_none_or(|answered| self.at - answered < self.reading.policy.reorder);
        match caller.attempt {
            Some(index) => self.reading.targets(usize::from(index)).all(free),
            None => {
                !self.conversation || self.reading.answered_at().is_none_or(|answered| self.at - answered < self.reading.policy.reorder)
            }
        }
    }

    /// The new leg shows the same party as `other`.
    fn shows_same_party(&self, leg: &Leg, other: &Leg) -> Option<(Strength, Seat, Rule)> {
        if !self.conversation {
            let rings_too = other.side != Side::Outgoing && self.may_ring_again && (!leg.remote.is_withheld() || self.joins_withheld(leg));
            let rule = if self.alive { Rule::JoinedRinging } else { Rule::RangAgain };
            return rings_too.then_some((Strength::SameCaller, Seat::Callee, rule));
        }
        if self.alive {
            return self.rings_during_conversation(leg);
        }
        if !self.may_resume {
            return None;
        }
        let had_it = |mine: &Leg| mine.device == leg.device && mine.answered.is_some();
        let again = self.reading.main_legs().any(had_it);
        Some(if again {
            (Strength::Conversation, Seat::Callee, Rule::Resumed)
        } else {
            (Strength::Conversation, Seat::Transfer, Rule::TransferRings)
        })
    }

    /// The party talks to somebody, and another phone rings for it.
    fn rings_during_conversation(&self, leg: &Leg) -> Option<(Strength, Seat, Rule)> {
        let overtaken_by_answer = self.reading.answered_at().is_some_and(|answered| self.at - answered < self.reading.policy.reorder);
        if overtaken_by_answer && self.reading.caller().is_none() {
            return Some((Strength::SameCaller, Seat::Callee, Rule::JoinedRinging));
        }
        let known = !leg.remote.is_withheld() || self.reading.transfer_pending(self.at);
        known.then_some((Strength::Conversation, Seat::Transfer, Rule::TransferRings))
    }

    /// Callers who withhold the number are told apart by time: phones of one call begin to ring together, or take turns.
    fn joins_withheld(&self, leg: &Leg) -> bool {
        let last_ring = self.reading.role(Role::Callee).filter_map(|callee| callee.rang).max();
        !self.alive || last_ring.is_some_and(|rang| leg.started - rang <= self.reading.policy.ring_join)
    }
}
