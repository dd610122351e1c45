//! Which call a new leg belongs to. The leg is held against every call that its parties take part
//! in; the strongest reason wins, and among equals the most recent. Without a reason the leg begins
//! a call of its own.

use smallvec::SmallVec;

use super::Fold;
use super::scene::{Scene, Seat, Strength, is_stale, same_seat};
use crate::domain::call::{Attempt, LEGS_MAX, Rule};
use crate::domain::device::Extension;
use crate::domain::leg::{CallSlot, EndedBy, Leg, LegSlot, Role, Side};
use crate::domain::link::{Confidence, JoinKind};
use crate::domain::number::Form;
use crate::domain::time::At;

/// Calls of one party a new leg is held against. Only a site that shows one number for all its
/// callers reaches it.
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
            self.take_along_second_ring(slot, call);
            self.link_to_previous(call, slot);
            return Rule::Began;
        };
        self.supersede_stale(slot, spot.call);
        match spot.seat {
            Seat::Again(role, attempt) => self.attach(slot, spot.call, role, attempt),
            Seat::Callee => self.attach(slot, spot.call, Role::Callee, None),
            Seat::SameAttempt => {
                let attempt = self.legs[spot.because].attempt;
                self.attach(slot, spot.call, Role::Target, attempt);
            }
            Seat::Pair => self.seat_pair(slot, spot),
            Seat::Transfer if self.legs[slot].is_only_an_end() => {
                self.attach(slot, spot.call, Role::Callee, None)
            }
            Seat::Transfer => self.seat_transfer(slot, spot),
        }
        self.legs[slot].joined = self.join_reason(spot);
        spot.rule
    }

    /// What is told about a leg that continues a call.
    fn join_reason(&self, spot: Spot) -> Option<(JoinKind, Confidence, &'static str)> {
        let announced = self.calls[spot.call]
            .attempts
            .iter()
            .any(|attempt| attempt.explicit && !attempt.void);
        match spot.rule {
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
            Rule::JoinedCaller if spot.seat == Seat::SameAttempt => Some((
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

    fn best_spot(&self, slot: LegSlot) -> Option<Spot> {
        let leg = &self.legs[slot];
        // A feature code is nobody: two phones that dial the same one have nothing to do with each
        // other.
        if leg.remote.form() == Form::Code {
            return None;
        }
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
        let conversation = reading.has_conversation();
        let taken = |other: &Leg| same_seat(other, leg) && !is_stale(other, leg, conversation);
        if reading.call.legs.len() >= LEGS_MAX || reading.legs().any(taken) {
            return None;
        }
        let scene = Scene::of(reading, leg.started);
        if scene.lost {
            return None;
        }
        let mut best: Option<Spot> = None;
        for (slot, other) in reading
            .call
            .legs
            .iter()
            .map(|slot| (*slot, reading.leg(*slot)))
        {
            let Some((strength, seat, rule)) = scene.reason(leg, other) else {
                continue;
            };
            let because_started = (other.started, other.first);
            if best.is_none_or(|best| {
                (strength, because_started) > (best.strength, best.because_started)
            }) {
                best = Some(Spot {
                    call,
                    strength,
                    because: slot,
                    because_started,
                    seat,
                    rule,
                });
            }
        }
        best
    }

    /// The phone rings anew in a call that it rings for already: that ring must be over, although
    /// its end never came. Should the phone speak of it again, it was not, and these were two calls
    /// ([`Fold::unsupersede`]).
    fn supersede_stale(&mut self, slot: LegSlot, call: CallSlot) {
        let conversation = self.reading(call).has_conversation();
        let stale = |other: LegSlot| {
            same_seat(&self.legs[other], &self.legs[slot])
                && is_stale(&self.legs[other], &self.legs[slot], conversation)
        };
        let stale: SmallVec<[LegSlot; 2]> = self.calls[call]
            .legs
            .iter()
            .copied()
            .filter(|other| *other != slot && stale(*other))
            .collect();
        for other in stale {
            let leg = &mut self.legs[other];
            leg.ended = Some(leg.last.at);
            leg.ended_by = EndedBy::Superseded;
            leg.superseded_by = Some(slot);
        }
    }

    /// A second call of a number rings on phones that talk to its first one, and on phones that do
    /// not: what those took for a transfer a moment ago belongs to the second call.
    fn take_along_second_ring(&mut self, slot: LegSlot, call: CallSlot) {
        let leg = &self.legs[slot];
        if leg.remote.is_withheld() || leg.side != Side::Incoming {
            return;
        }
        let since = leg.started - self.policy.ring_join;
        let mut along: SmallVec<[LegSlot; 4]> = SmallVec::new();
        for other in self
            .calls_of(&leg.remote)
            .into_iter()
            .filter(|other| *other != call && !self.is_past(*other))
        {
            let reading = self.reading(other);
            if !reading
                .legs()
                .any(|mine| mine.is_talking() && mine.device == leg.device)
            {
                continue;
            }
            let second = |other: &Leg| {
                other.role == Role::Target
                    && other.is_pending()
                    && other.started >= since
                    && reading.is_unannounced(other)
            };
            along.extend(reading.call.legs.iter().copied().filter(|slot| {
                second(reading.leg(*slot)) && reading.leg(*slot).remote.same_party(&leg.remote)
            }));
        }
        for other in along {
            self.move_leg(other, call, Role::Callee, None);
        }
    }

    /// Two phones that show each other, and neither said that it dials: whoever rang first was
    /// called back to place the call.
    fn seat_pair(&mut self, slot: LegSlot, spot: Spot) {
        let new_one_calls = self.legs[slot].rang.is_none();
        if new_one_calls {
            self.attach(slot, spot.call, Role::Caller, None);
        } else {
            // All phones of the extension that was called back are the caller's.
            let extension = self.legs[spot.because].extension.clone();
            for other in self.calls[spot.call].legs.clone() {
                let leg = &mut self.legs[other];
                if other == spot.because || (leg.role == Role::Callee && leg.extension == extension)
                {
                    leg.role = Role::Caller;
                }
            }
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
        self.schedule_review(spot.call, at + self.policy.duration_max);
    }

    /// A blind transfer under way that one more phone may ring for: nobody has taken it, and
    /// somebody rings or rang a moment ago.
    fn open_blind_attempt(&self, call: CallSlot, at: At) -> Option<usize> {
        let reading = self.reading(call);
        let rings = |index: usize| {
            let mut targets = reading.targets(index).peekable();
            let announced = reading.call.attempts[index].explicit && targets.peek().is_none();
            let mut nobody_took_it = true;
            let mut fresh = false;
            for target in targets {
                nobody_took_it &= target.answered.is_none();
                fresh |= target
                    .ended
                    .is_none_or(|ended| at - ended <= self.policy.rering_gap);
            }
            nobody_took_it && (announced || fresh)
        };
        let attempts = &reading.call.attempts;
        (0..attempts.len()).rev().find(|index| {
            attempts[*index].consult.is_none() && !attempts[*index].void && rings(*index)
        })
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
            let all_face_me = reading.legs().all(|leg| {
                leg.role == Role::Callee
                    && own
                        .as_ref()
                        .is_some_and(|own| leg.remote.is_extension(own.as_str()))
            });
            if all_face_me {
                self.attach(slot, call, Role::Caller, None);
                for leg in overtaken
                    .into_iter()
                    .filter(|leg| self.legs[*leg].call != call)
                    .collect::<SmallVec<[LegSlot; 4]>>()
                {
                    self.move_leg(leg, call, Role::Callee, None);
                }
                return Rule::CallerFound;
            }
            let call = self.new_call(slot, Role::Caller);
            for leg in overtaken {
                self.move_leg(leg, call, Role::Callee, None);
            }
            return Rule::CallerFound;
        }
        let call = self.new_call(slot, Role::Caller);
        self.link_to_previous(call, slot);
        Rule::Began
    }

    /// The leg on which the same phone talks already: to dial now is to ask somebody while that
    /// party waits.
    fn conversation_of(&self, slot: LegSlot) -> Option<LegSlot> {
        let dialling = &self.legs[slot];
        let phone = self.phones.get(&dialling.device)?;
        let talking = phone.legs.iter().copied().filter(|other| {
            *other != slot
                && self.legs[*other].is_talking()
                && self.legs[*other].role != Role::Consult
        });
        let alive = talking.filter(|other| {
            !self.is_past(self.legs[*other].call)
                && self.reading(self.legs[*other].call).stale_at() > dialling.started
        });
        alive.max_by_key(|other| (self.legs[*other].answered, self.legs[*other].first))
    }

    fn seat_consult(&mut self, slot: LegSlot, main: LegSlot, overtaken: &[LegSlot]) -> Rule {
        let call = self.legs[main].call;
        if self.calls[call].attempts.len() >= ATTEMPTS_MAX
            || self.calls[call].legs.len() >= LEGS_MAX
        {
            self.new_call(slot, Role::Caller);
            return Rule::Began;
        }
        let leg = &self.legs[slot];
        let attempt = Attempt::new(
            leg.started,
            Some(main),
            Some(slot),
            Some(leg.remote.clone()),
        );
        self.calls[call].attempts.push(attempt);
        let index = u8::try_from(self.calls[call].attempts.len() - 1).ok();
        self.attach(slot, call, Role::Consult, index);
        for target in overtaken {
            self.move_leg(*target, call, Role::Target, index);
        }
        Rule::ConsultBegan
    }

    /// Phones that show the caller who only now says that it dials: their requests overtook the
    /// caller's.
    fn rings_before_its_caller(&self, slot: LegSlot) -> SmallVec<[LegSlot; 4]> {
        let caller = &self.legs[slot];
        let Some(own) = caller.extension.as_ref().map(Extension::as_str) else {
            return SmallVec::new();
        };
        let since = caller.started - self.policy.reorder;
        let mut found = SmallVec::new();
        for call in self.calls_of_extension(own) {
            if self.is_past(call) {
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
                let shows_me = leg.side != Side::Outgoing
                    && leg.remote.is_extension(own)
                    && leg.started > since;
                // A callee of a call that has its caller already is taken, unless it only seemed to
                // continue that call.
                let free = without_caller || leg.role != Role::Callee || leg.joined.is_some();
                let exact = free && leg.belongs_to(&caller.remote);
                let forwarded = without_caller && began_just_now && leg.role == Role::Callee;
                let mistaken = leg.role == Role::Target && reading.is_unannounced(leg);
                if shows_me && (exact || forwarded || mistaken) {
                    found.push(other);
                }
            }
        }
        found
    }
}
