//! Which leg of its device a fact speaks of. A reference is trusted within its device; without one,
//! the other party, the account, the state of the open legs and the time decide.

use smallvec::SmallVec;

use super::Fold;
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{Leg, LegSlot, Side};
use crate::domain::time::At;

/// What a fact means to the legs of its device.
pub(super) enum Meaning {
    /// The first sign of a new leg.
    Begins(Side),
    /// The ring of a leg whose answer overtook it, and seemed too late for this one.
    BeginsAnswered(LegSlot),
    /// The first sign of a new leg, which shows that this one is over although its end was never
    /// reported.
    Supersedes(LegSlot),
    /// The answer to a second ring that looked like a duplicate of this leg's.
    Revives(LegSlot),
    /// Says again what is known.
    Repeats(LegSlot),
    /// The beginning of a leg whose later sign overtook it.
    Overtaken(LegSlot),
    Answers(LegSlot),
    /// The answer of a leg whose end overtook it.
    AnswersEnded(LegSlot),
    Ends(LegSlot),
    /// Hold, resume or transfer of a conversation.
    Marks(LegSlot),
    /// Belongs to a leg that is over for good.
    TooLate(LegSlot),
}

/// The legs of one device, as one fact sees them.
struct Candidates<'a> {
    fold: &'a Fold,
    slots: SmallVec<[LegSlot; 8]>,
    fact: &'a Fact,
}

impl Fold {
    pub(super) fn meaning(&self, fact: &Fact) -> Meaning {
        let known = self
            .phones
            .get(&fact.device)
            .map_or(&[][..], |phone| &phone.legs);
        let slots = known
            .iter()
            .copied()
            .filter(|slot| !self.is_past(self.legs[*slot].call))
            .collect();
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
            | Kind::Device(_) => legs.of_mark(),
        }
    }
}

impl Candidates<'_> {
    fn leg(&self, slot: LegSlot) -> &Leg {
        &self.fold.legs[slot]
    }

    /// The leg with the fact's own reference.
    fn referred(&self) -> Option<LegSlot> {
        self.fact.call_ref.as_ref()?;
        self.slots
            .iter()
            .rev()
            .copied()
            .find(|slot| self.leg(*slot).call_ref == self.fact.call_ref)
    }

    /// Legs of the same account that no different reference keeps apart from the fact, the newest
    /// first.
    fn possible(&self) -> impl Iterator<Item = (LegSlot, &Leg)> {
        let open_to = |leg: &Leg| {
            leg.same_account(self.fact) && (leg.call_ref.is_none() || self.fact.call_ref.is_none())
        };
        self.slots
            .iter()
            .rev()
            .map(|slot| (*slot, self.leg(*slot)))
            .filter(move |(_, leg)| open_to(leg))
    }

    /// Possible legs with the party the fact names; any party where it names none.
    fn likely(&self) -> impl Iterator<Item = (LegSlot, &Leg)> {
        self.possible()
            .filter(|(_, leg)| self.fact.remote.is_none() || leg.same_remote(self.fact))
    }

    /// The only possible leg that fits, where no leg of the device has the party the fact names:
    /// the PBX updated the number on the way.
    fn only(&self, fits: impl Fn(&Leg) -> bool) -> Option<LegSlot> {
        if self
            .slots
            .iter()
            .any(|slot| self.leg(*slot).same_remote(self.fact))
        {
            return None;
        }
        let mut fitting = self
            .possible()
            .filter(|(_, leg)| fits(leg))
            .map(|(slot, _)| slot);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    fn since(&self, at: At) -> i64 {
        (self.fact.at - at).0
    }

    fn may_have_overtaken(&self, at: At) -> bool {
        self.since(at) < self.fold.policy.reorder.0
    }

    fn may_be_duplicate_of(&self, at: At) -> bool {
        self.since(at) <= self.fold.policy.duplicate.0
    }

    /// A closed leg that may still be meant by a repeated request.
    fn recently_ended(&self, leg: &Leg) -> bool {
        leg.ended
            .is_some_and(|ended| self.may_be_duplicate_of(ended))
    }

    fn end_may_have_overtaken(&self, leg: &Leg) -> bool {
        leg.end_reported
            .is_some_and(|reported| self.may_have_overtaken(reported))
    }

    /// A ring or a dialling: new, unless the leg is known already or its later sign overtook this
    /// one.
    fn of_beginning(&self, side: Side, opposite: Side) -> Meaning {
        if let Some(slot) = self.referred() {
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
            .filter(|(_, leg)| leg.side != opposite && leg.same_remote(self.fact));
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

    fn of_answered(&self) -> Meaning {
        if let Some(slot) = self.referred() {
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
        if let Some((slot, leg)) = self.likely().find(|(_, leg)| self.recently_ended(leg)) {
            return match leg.answered {
                Some(_) => Meaning::Repeats(slot),
                None if self.end_may_have_overtaken(leg) => Meaning::AnswersEnded(slot),
                None if leg.repeated.is_some() => Meaning::Revives(slot),
                None => Meaning::TooLate(slot),
            };
        }
        self.only(Leg::is_pending)
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Answers)
    }

    fn of_unanswered_end(&self) -> Meaning {
        if let Some(slot) = self.referred() {
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
        if let Some((slot, _)) = self
            .likely()
            .find(|(_, leg)| self.recently_ended(leg) || leg.is_talking())
        {
            return Meaning::Repeats(slot);
        }
        // A phone that names nobody can only mean its one ringing leg; one that names somebody else
        // means another.
        let unnamed = self.fact.remote.is_none();
        self.only(|leg| unnamed && leg.is_pending() && leg.side == Side::Incoming)
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Ends)
    }

    fn of_hangup(&self) -> Meaning {
        if let Some(slot) = self.referred() {
            return if self.leg(slot).is_open() {
                Meaning::Ends(slot)
            } else {
                Meaning::Repeats(slot)
            };
        }
        // The newest leg, unless it has only just begun to ring: then the hangup was overtaken by
        // that ring.
        let just_rang = |leg: &Leg| leg.is_pending() && self.may_have_overtaken(leg.started);
        let open = || self.likely().filter(|(_, leg)| leg.is_open());
        if let Some((slot, _)) = open()
            .find(|(_, leg)| !just_rang(leg))
            .or_else(|| open().next())
        {
            return Meaning::Ends(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| self.recently_ended(leg)) {
            return Meaning::Repeats(slot);
        }
        let unnamed = self.fact.remote.is_none();
        self.only(|leg| leg.is_talking() || (unnamed && leg.is_open()))
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Ends)
    }

    fn of_mark(&self) -> Meaning {
        if let Some(slot) = self.referred() {
            return self.mark_or_repeat(slot);
        }
        if let Some((slot, _)) = self.likely().find(|(_, leg)| leg.is_talking()) {
            return Meaning::Marks(slot);
        }
        if let Some((slot, _)) = self
            .likely()
            .find(|(_, leg)| leg.is_open() || self.recently_ended(leg))
        {
            return self.mark_or_repeat(slot);
        }
        self.only(Leg::is_talking)
            .map_or(Meaning::Begins(Side::Unknown), Meaning::Marks)
    }

    /// A transfer may be said just after the leg that it ended; anything else about a closed leg is
    /// old news.
    fn mark_or_repeat(&self, slot: LegSlot) -> Meaning {
        let leg = self.leg(slot);
        if leg.is_open() || self.end_may_have_overtaken(leg) {
            Meaning::Marks(slot)
        } else {
            Meaning::Repeats(slot)
        }
    }
}
