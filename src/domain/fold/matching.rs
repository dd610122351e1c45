//! Matching: selects the leg of the device to which a fact belongs.
//!
//! A reference is trusted within its device. Without one, the remote party, the account, the state
//! of the open legs and the time decide.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::device::Device;
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{EndedBy, Leg, LegSlot, Role, Side};
use crate::domain::time::{At, Span};

/// Maximum number of open legs of one device that are compared with a fact, and of ended ones: no
/// phone has so many lines, and a flood of unfinished legs must not make each fact of it slower. Rings
/// of a queue that have ended displace no conversation.
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
    /// The fact names no party. An empty one after the beginning of a leg is that of a leg without a
    /// number, and none where the phone has no such leg.
    is_unnamed: bool,
}

impl Fold {
    /// The latest legs of a device that are not final, in their order. A device with more of them
    /// has lost their ends, or is none.
    pub(super) fn recent_legs(&self, device: &Device) -> SmallVec<[LegSlot; 8]> {
        let all = self.phones.get(device).map_or(&[][..], |phone| &phone.legs);
        let (mut open, mut ended) = (0, 0);
        let mut latest: SmallVec<[LegSlot; 8]> = all
            .iter()
            .rev()
            .copied()
            .filter(|slot| {
                // A leg that has only just begun is in no call yet.
                let call = self.legs[*slot].call;
                self.calls.contains(call) && !self.is_final(call)
            })
            .filter(|slot| {
                let count = if self.legs[*slot].is_open() {
                    &mut open
                } else {
                    &mut ended
                };
                *count += 1;
                *count <= LEGS_CONSIDERED_MAX
            })
            .collect();
        latest.reverse();

        latest
    }

    /// Determines the meaning of a fact about a call.
    pub(super) fn meaning(&self, fact: &Fact) -> Meaning {
        let slots = self.recent_legs(&fact.device);
        let is_unnamed = match &fact.remote {
            None => true,
            Some(remote) if remote.raw().is_empty() => {
                let mut legs = slots.iter().map(|slot| &self.legs[*slot]);
                !matches!(fact.kind, Kind::Incoming | Kind::Outgoing)
                    && !legs.any(|leg| leg.remote.is_withheld())
            }
            Some(_) => false,
        };
        let legs = Candidates {
            fold: self,
            slots,
            fact,
            is_unnamed,
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
            .filter(|(_, leg)| self.is_unnamed || leg.matches_remote(self.fact))
    }

    /// The only possible leg that satisfies `fits`, if no leg of the device that is open, or was a
    /// moment ago, has the fact's remote party: the PBX updated the number on the way.
    fn only_possible(&self, fits: impl Fn(&Leg) -> bool) -> Option<LegSlot> {
        let may_be_meant = |leg: &Leg| {
            (leg.is_open() || self.recently_ended(leg)) && leg.matches_remote(self.fact)
        };
        if self.slots.iter().any(|slot| may_be_meant(self.leg(*slot))) {
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

        // Of several legs it is the one whose call has this party on another phone, and not the one
        // that the phone dialled, which displays what was dialled.
        only(&|_| true)
            .or_else(|| only(&has_party))
            .or_else(|| only(&|slot| self.leg(slot).side != Side::Outgoing && has_party(slot)))
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

    /// Whether the beginning has the reference of a leg, but is that of another call: of another party,
    /// and too late for a copy. Some phones count their calls from one again, or number their lines.
    fn reuses_reference(&self, leg: &Leg) -> bool {
        let names_another = self.fact.remote.as_ref().is_some_and(|remote| {
            !remote.is_withheld() && !leg.remote.is_withheld() && !leg.matches_remote(self.fact)
        });

        names_another && !self.may_be_duplicate_of(leg.started)
    }

    /// Whether the beginning may be that of the leg: it names the same party, or none, and a later sign
    /// that named it overtook the beginning.
    fn may_begin(&self, leg: &Leg) -> bool {
        let was_overtaken = leg.side == Side::Unknown && self.may_have_overtaken(leg.started);

        leg.matches_remote(self.fact) || (self.is_unnamed && was_overtaken)
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
            } else if !self.reuses_reference(leg) {
                Meaning::Repeats(slot)
            } else if leg.is_open() {
                Meaning::Supersedes(slot)
            } else {
                Meaning::Begins(side)
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

        if let Some(slot) = self.waiting_ring() {
            return Meaning::Answers(slot);
        }
        let just_answered = |leg: &Leg| {
            leg.is_talking() && leg.answered.is_some_and(|at| self.may_be_duplicate_of(at))
        };
        if let Some((slot, _)) = self.likely().find(|(_, leg)| just_answered(leg)) {
            return Meaning::Repeats(slot);
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

    /// The oldest leg that rings or dials, and whose call no other phone has answered: the end of such
    /// a ring was lost.
    fn waiting_ring(&self) -> Option<LegSlot> {
        self.likely()
            .filter(|(slot, leg)| leg.is_pending() && !self.is_answered_elsewhere(*slot))
            .map(|(slot, _)| slot)
            .last()
    }

    /// Whether the leg rings on although its call was answered at another phone.
    fn is_answered_elsewhere(&self, slot: LegSlot) -> bool {
        let leg = self.leg(slot);

        leg.role == Role::Callee
            && self.fold.reading(leg.call).legs().any(|other| {
                other.role == Role::Callee && other.device != leg.device && other.answered.is_some()
            })
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
                && (earlier.answered.is_none() || earlier.ended_by == leg.ended_by)
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

        if let Some(slot) = self.overtaken_by_next_ring() {
            return Meaning::Ends(slot);
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
        self.only_possible(|leg| self.is_unnamed && rings(leg))
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Ends)
    }

    /// The ring whose end the next ring of its caller overtook: that ring seemed to show that its end
    /// was lost.
    fn overtaken_by_next_ring(&self) -> Option<LegSlot> {
        let (_, next) = self.likely().find(|(_, leg)| leg.is_open())?;
        let was_superseded = |leg: &Leg| {
            leg.ended_by == EndedBy::Superseded
                && leg.answered.is_none()
                && leg.started < next.started
        };
        let (slot, _) = self.likely().find(|(_, leg)| was_superseded(leg))?;

        (next.is_pending() && self.may_have_overtaken(next.started)).then_some(slot)
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
        // Phones report the end of a waiting ring as a missed call: a hangup is that of the talk.
        let talks = || {
            let is_waiting = |leg: &Leg| leg.is_pending() && leg.side == Side::Incoming;
            let waits = self.is_unnamed && open().next().is_some_and(|(_, leg)| is_waiting(leg));
            open().find(|(_, leg)| waits && leg.is_talking())
        };
        if let Some((slot, _)) = talks()
            .or_else(|| open().find(|(_, leg)| !just_rang(leg)))
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

        self.only_possible(|leg| leg.is_talking() || (self.is_unnamed && leg.is_open()))
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
            .or_else(|| self.just_handed_over())
            .map_or(Meaning::Begins(Side::Unknown), Meaning::MidCall)
    }

    /// The conversation whose end overtook the report of its transfer, which names the target.
    fn just_handed_over(&self) -> Option<LegSlot> {
        if !self.fact.kind.is_transfer() {
            return None;
        }

        self.possible()
            .find(|(_, leg)| leg.answered.is_some() && self.end_may_have_overtaken(leg))
            .map(|(slot, _)| slot)
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
