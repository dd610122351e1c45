//! Matching: selects the leg of the device to which a fact belongs.
//!
//! A reference is trusted within its device. Without one, the remote party, the account, the state
//! of the open legs and the time decide.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::device::Device;
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{Leg, LegSlot, Side};
use crate::domain::time::{At, Span};

/// Maximum number of legs of one device that are compared with a fact: no phone has so many lines,
/// and a flood of unfinished legs must not make each fact of it slower.
const LEGS_CONSIDERED_MAX: usize = 64;

/// The meaning of a fact for the legs of its device.
pub(super) enum Meaning {
    /// The first sign of a new leg.
    Begins(Side),
    /// The ring of a leg whose answer overtook it; the answer seemed too late for this leg.
    BeginsAnswered(LegSlot),
    /// The first sign of a new leg. It proves that this leg is over, although its end was never
    /// reported.
    Supersedes(LegSlot),
    /// The answer to a second ring, which was taken for a duplicate of this leg's ring.
    AnswersRepeatedRing(LegSlot),
    /// A duplicate without new information.
    Repeats(LegSlot),
    /// The beginning of a leg whose later sign overtook it.
    Overtaken(LegSlot),
    Answers(LegSlot),
    /// The answer of a leg whose end overtook it.
    AnswersEnded(LegSlot),
    /// The answer of a ring that a repetition of an earlier ring's end had ended.
    AnswersRinging(LegSlot),
    Ends(LegSlot),
    /// Hold, resume or transfer of a conversation.
    MidCall(LegSlot),
    /// A fact of a leg that is finally over.
    TooLate(LegSlot),
}

/// The legs of one device, as candidates for one fact.
struct Candidates<'a> {
    fold: &'a Fold,
    slots: SmallVec<[LegSlot; 8]>,
    fact: &'a Fact,
}

impl Fold {
    /// The latest legs of a device that are not final, in their order. A device with more of them
    /// has lost their ends, or is none.
    pub(super) fn recent_legs(&self, device: &Device) -> SmallVec<[LegSlot; 8]> {
        let all = self.phones.get(device).map_or(&[][..], |phone| &phone.legs);
        let mut latest: SmallVec<[LegSlot; 8]> = all
            .iter()
            .rev()
            .copied()
            .filter(|slot| {
                // A leg that has only just begun is in no call yet.
                let call = self.legs[*slot].call;
                self.calls.contains(call) && !self.is_final(call)
            })
            .take(LEGS_CONSIDERED_MAX)
            .collect();
        latest.reverse();

        latest
    }

    /// Determines the meaning of a fact about a call.
    pub(super) fn meaning(&self, fact: &Fact) -> Meaning {
        let slots = self.recent_legs(&fact.device);
        let legs = Candidates {
            fold: self,
            slots,
            fact,
        };

        match fact.kind {
            Kind::Incoming => legs.of_beginning(Side::Incoming, Side::Outgoing),
            Kind::Outgoing => legs.of_beginning(Side::Outgoing, Side::Incoming),
            Kind::Answered => legs.of_answered(),
            Kind::Missed | Kind::Rejected => legs.of_unanswered_end(),
            Kind::Hangup => legs.of_hangup(),
            Kind::Hold
            | Kind::Resume
            | Kind::BlindTransfer
            | Kind::AttendedTransfer
            | Kind::Device(_) => legs.of_mid_call(),
        }
    }
}

impl Candidates<'_> {
    fn leg(&self, slot: LegSlot) -> &Leg {
        &self.fold.legs[slot]
    }

    /// The leg with the fact's own reference.
    fn by_reference(&self) -> Option<LegSlot> {
        self.fact.call_ref.as_ref()?;

        self.slots
            .iter()
            .rev()
            .copied()
            .find(|slot| self.leg(*slot).call_ref == self.fact.call_ref)
    }

    /// Legs of the same account without a conflicting reference, the newest first.
    fn possible(&self) -> impl Iterator<Item = (LegSlot, &Leg)> {
        let no_conflict = |leg: &Leg| {
            leg.matches_account(self.fact)
                && (leg.call_ref.is_none() || self.fact.call_ref.is_none())
        };

        self.slots
            .iter()
            .rev()
            .map(|slot| (*slot, self.leg(*slot)))
            .filter(move |(_, leg)| no_conflict(leg))
    }

    /// Possible legs with the fact's remote party; all possible legs if the fact names no party.
    fn likely(&self) -> impl Iterator<Item = (LegSlot, &Leg)> {
        self.possible()
            .filter(|(_, leg)| self.fact.remote.is_none() || leg.matches_remote(self.fact))
    }

    /// The only possible leg that satisfies `fits`, if no leg of the device has the fact's remote
    /// party: the PBX updated the number on the way.
    fn only_possible(&self, fits: impl Fn(&Leg) -> bool) -> Option<LegSlot> {
        if self
            .slots
            .iter()
            .any(|slot| self.leg(*slot).matches_remote(self.fact))
        {
            return None;
        }

        let only = |among: &dyn Fn(LegSlot) -> bool| {
            let mut fitting = self
                .possible()
                .filter(|(slot, leg)| fits(leg) && among(*slot))
                .map(|(slot, _)| slot);
            fitting.next().filter(|_| fitting.next().is_none())
        };
        let has_party = |slot: LegSlot| {
            let call = self.leg(slot).call;
            self.fold
                .reading(call)
                .legs()
                .any(|other| other.matches_remote(self.fact))
        };

        // Of several legs it is the one whose call has this party on another phone.
        only(&|_| true).or_else(|| only(&has_party))
    }

    /// The leg that the fact names, although its first sign did not. A leg of that party that has ended
    /// is another one, unless its end has just come.
    fn awaiting_name(&self, fits: impl Fn(&Leg) -> bool) -> Option<LegSlot> {
        let names = self
            .fact
            .remote
            .as_ref()
            .is_some_and(|remote| !remote.is_withheld());
        let has_just_ended = || {
            self.likely()
                .any(|(_, leg)| self.end_may_have_overtaken(leg))
        };
        let mut unnamed = self
            .possible()
            .filter(|(_, leg)| leg.is_unnamed() && fits(leg))
            .map(|(slot, _)| slot);

        unnamed.next().filter(|_| names && !has_just_ended())
    }

    /// Whether the beginning may be that of the leg: it names the same party, or none, and a later sign
    /// that named it overtook the beginning.
    fn may_begin(&self, leg: &Leg) -> bool {
        let was_overtaken = leg.side == Side::Unknown && self.may_have_overtaken(leg.started);

        leg.matches_remote(self.fact) || (self.fact.remote.is_none() && was_overtaken)
    }

    fn since(&self, at: At) -> Span {
        self.fact.at - at
    }

    fn may_have_overtaken(&self, at: At) -> bool {
        self.since(at) < self.fold.policy.reorder
    }

    fn may_be_duplicate_of(&self, at: At) -> bool {
        self.since(at) <= self.fold.policy.duplicate
    }

    /// Whether a repeated request may still refer to this closed leg.
    fn recently_ended(&self, leg: &Leg) -> bool {
        leg.ended
            .is_some_and(|ended| self.may_be_duplicate_of(ended))
    }

    fn end_may_have_overtaken(&self, leg: &Leg) -> bool {
        leg.end_reported
            .is_some_and(|reported| self.may_have_overtaken(reported))
    }

    /// A ring or a dialling: a new leg, unless it is a duplicate or a later sign of its leg
    /// overtook it.
    fn of_beginning(&self, side: Side, opposite: Side) -> Meaning {
        if let Some(slot) = self.by_reference() {
            let leg = self.leg(slot);
            let late = leg.side == Side::Unknown && self.may_be_duplicate_of(leg.started);
            return if late {
                Meaning::Overtaken(slot)
            } else {
                Meaning::Repeats(slot)
            };
        }

        let same_party = self
            .possible()
            .filter(|(_, leg)| leg.side != opposite && self.may_begin(leg));
        for (slot, leg) in same_party {
            if leg.side == Side::Unknown && self.may_have_overtaken(leg.started) {
                return Meaning::Overtaken(slot);
            }
            if leg
                .late_answer
                .is_some_and(|answered| self.may_have_overtaken(answered))
            {
                return Meaning::BeginsAnswered(slot);
            }
            if !leg.is_open() {
                continue;
            }
            if self.may_be_duplicate_of(leg.started) {
                return Meaning::Repeats(slot);
            }
            if leg.is_pending() {
                return Meaning::Supersedes(slot);
            }
        }

        Meaning::Begins(side)
    }

    /// The answer of a pending leg; else a duplicate, a late answer, or the first sign of a leg.
    fn of_answered(&self) -> Meaning {
        if let Some(slot) = self.by_reference() {
            let leg = self.leg(slot);
            return match (leg.is_open(), leg.answered.is_some()) {
                (_, true) => Meaning::Repeats(slot),
                (true, false) => Meaning::Answers(slot),
                (false, false) if self.end_may_have_overtaken(leg) => Meaning::AnswersEnded(slot),
                (false, false) => Meaning::TooLate(slot),
            };
        }

        if let Some((slot, _)) = self.likely().filter(|(_, leg)| leg.is_pending()).last() {
            return Meaning::Answers(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| leg.is_talking()) {
            return Meaning::Repeats(slot);
        }
        if let Some(slot) = self.awaiting_name(Leg::is_pending) {
            return Meaning::Answers(slot);
        }
        if let Some((slot, leg)) = self.likely().find(|(_, leg)| self.recently_ended(leg)) {
            return match leg.answered {
                Some(_) => Meaning::Repeats(slot),
                None if self.may_ring_on(slot, leg) => Meaning::AnswersRinging(slot),
                None if self.end_may_have_overtaken(leg) => Meaning::AnswersEnded(slot),
                None if leg.repeated_ring.is_some() => Meaning::AnswersRepeatedRing(slot),
                None => Meaning::TooLate(slot),
            };
        }

        self.only_possible(Leg::is_pending)
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Answers)
    }

    /// Whether the end of the ring may repeat that of the ring before: the network delivered it twice,
    /// and a phone without call ids does not say which ring it means.
    fn may_ring_on(&self, slot: LegSlot, leg: &Leg) -> bool {
        let Some(end) = leg.end_reported else {
            return false;
        };
        let ended_before = |(other, earlier): (LegSlot, &Leg)| {
            other != slot
                && earlier.started < leg.started
                && earlier.answered.is_none()
                && earlier.end_reported.is_some_and(|before| {
                    before < end && end - before <= self.fold.policy.duplicate
                })
        };

        self.likely().any(ended_before)
    }

    /// A missed or rejected ring ends a pending leg; else it is a duplicate, or the only sign of a
    /// leg.
    fn of_unanswered_end(&self) -> Meaning {
        if let Some(slot) = self.by_reference() {
            return if self.leg(slot).is_pending() {
                Meaning::Ends(slot)
            } else {
                Meaning::Repeats(slot)
            };
        }

        let pending = |side: Side| {
            self.likely()
                .find(move |(_, leg)| leg.is_pending() && leg.side == side)
        };
        if let Some((slot, _)) = pending(Side::Incoming).or_else(|| pending(Side::Outgoing)) {
            return Meaning::Ends(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| leg.is_talking()) {
            return Meaning::Repeats(slot);
        }
        let rings = |leg: &Leg| leg.is_pending() && leg.side == Side::Incoming;
        if let Some(slot) = self.awaiting_name(rings) {
            return Meaning::Ends(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| self.recently_ended(leg)) {
            return Meaning::Repeats(slot);
        }

        // A phone that names no party can only mean its one ringing leg; a phone that names another
        // party means another leg.
        let unnamed = self.fact.remote.is_none();
        self.only_possible(|leg| unnamed && rings(leg))
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Ends)
    }

    /// A hangup ends an open leg; else it is a duplicate or the only sign of a leg.
    fn of_hangup(&self) -> Meaning {
        if let Some(slot) = self.by_reference() {
            return if self.leg(slot).is_open() {
                Meaning::Ends(slot)
            } else {
                Meaning::Repeats(slot)
            };
        }

        // The newest leg, unless it has only just begun to ring: then that ring overtook the
        // hangup.
        let just_rang = |leg: &Leg| leg.is_pending() && self.may_have_overtaken(leg.started);
        let open = || self.likely().filter(|(_, leg)| leg.is_open());
        if let Some((slot, _)) = open()
            .find(|(_, leg)| !just_rang(leg))
            .or_else(|| open().next())
        {
            return Meaning::Ends(slot);
        }
        if let Some(slot) = self.awaiting_name(Leg::is_open) {
            return Meaning::Ends(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| self.recently_ended(leg)) {
            return Meaning::Repeats(slot);
        }

        let unnamed = self.fact.remote.is_none();
        self.only_possible(|leg| leg.is_talking() || (unnamed && leg.is_open()))
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Ends)
    }

    /// A hold, a resume or a transfer belongs to the talking leg, else to an open or recent one.
    fn of_mid_call(&self) -> Meaning {
        if let Some(slot) = self.by_reference() {
            return self.mid_call_or_repeat(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| leg.is_talking()) {
            return Meaning::MidCall(slot);
        }
        if let Some(slot) = self.awaiting_name(Leg::is_talking) {
            return Meaning::MidCall(slot);
        }
        if let Some((slot, _)) = self
            .likely()
            .find(|(_, leg)| leg.is_open() || self.recently_ended(leg))
        {
            return self.mid_call_or_repeat(slot);
        }

        self.only_possible(Leg::is_talking)
            .map_or(Meaning::Begins(Side::Unknown), Meaning::MidCall)
    }

    /// A transfer report may arrive just after the leg that the transfer ended; any other fact
    /// about a closed leg is a duplicate.
    fn mid_call_or_repeat(&self, slot: LegSlot) -> Meaning {
        let leg = self.leg(slot);
        if leg.is_open() || self.end_may_have_overtaken(leg) {
            Meaning::MidCall(slot)
        } else {
            Meaning::Repeats(slot)
        }
    }
}
