//! Naming: the remote party of a leg, when a later fact than the first names it.
//!
//! A phone may ring before its PBX sends the caller's number. Such a leg is placed by time alone,
//! like one with a withheld number, and may have joined the call of another caller. Once its party
//! is named, it is placed by that name. Any other number that a leg shows later is an alias.

use smallvec::SmallVec;

use super::Fold;
use super::join::is_open_on_same_account;
use crate::domain::call::LEGS_MAX;
use crate::domain::fact::Fact;
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role, Side};
use crate::domain::number::Number;

/// Maximum number of alias numbers per leg. A PBX may display several numbers for one leg, one
/// after another.
const ALIASES_MAX: usize = 4;

impl Fold {
    /// Stores the number of a fact whose leg had none, or another one.
    pub(super) fn learn_remote(&mut self, slot: LegSlot, fact: &Fact) {
        // The report of a transfer may name the target.
        if fact.kind.is_transfer() {
            return;
        }

        let Some(remote) = fact.remote.as_ref().filter(|remote| !remote.is_withheld()) else {
            return;
        };

        let leg = &self.legs[slot];
        // Without a reference, a number beside a withheld one may be that of another call.
        let is_certain =
            leg.began_unnamed || (leg.call_ref.is_some() && leg.call_ref == fact.call_ref);
        if leg.remote.is_withheld() && is_certain {
            self.name_remote(slot, remote, fact);
        } else if leg.aliases.len() < ALIASES_MAX && !leg.matches_remote(fact) {
            self.legs[slot].aliases.push(remote.clone());
        }
    }

    /// Names the remote party of a leg, and places the leg by it.
    fn name_remote(&mut self, slot: LegSlot, remote: &Number, fact: &Fact) {
        let leg = &mut self.legs[slot];
        leg.remote = remote.clone();
        leg.named_late = true;
        if leg.remote_name.is_none() {
            leg.remote_name.clone_from(&fact.remote_name);
        }

        let (call, side) = (leg.call, leg.side);
        if let Some(attempt) = self.legs[slot].attempt.map(usize::from)
            && self.calls[call].attempts[attempt].consult == Some(slot)
        {
            self.calls[call].attempts[attempt].target = Some(remote.clone());
        }
        let is_placed_by_remote = matches!(self.legs[slot].role, Role::Callee | Role::Target);
        if side != Side::Outgoing && is_placed_by_remote {
            self.place_named(slot);
        } else {
            self.index_leg(slot);
        }

        let call = self.legs[slot].call;
        self.mark_changed(call);
        self.update_deadlines(call);
    }

    /// Places a ring by its name. It leaves a call whose rings display another caller, unless it has
    /// handed its party on there: then those rings leave. It takes phones that have not named their
    /// caller to a call of its own caller.
    fn place_named(&mut self, slot: LegSlot) {
        let call = self.legs[slot].call;
        let beside: SmallVec<[LegSlot; 8]> = self.calls[call]
            .legs
            .iter()
            .copied()
            .filter(|other| *other != slot)
            .collect();
        let conflicting: SmallVec<[LegSlot; 8]> = beside
            .iter()
            .copied()
            .filter(|other| displays_another_caller(&self.legs[*other], &self.legs[slot]))
            .collect();
        let belongs = beside
            .iter()
            .any(|other| is_party_of(&self.legs[slot], &self.legs[*other]));

        if belongs {
            self.index_leg(slot);
        } else if conflicting.is_empty() {
            self.join_own_caller(slot, &beside);
        } else if self.has_handed_on(slot) {
            self.index_leg(slot);
            for other in conflicting {
                self.leave_for(other, |fold| {
                    fold.assign_call(other);
                });
            }
        } else {
            self.leave_for(slot, |fold| {
                fold.assign_call(slot);
            });
            self.reunite(call, slot);
        }
    }

    /// Moves a ring with the unnamed ones beside it to another call of its caller, if there is one.
    fn join_own_caller(&mut self, slot: LegSlot, beside: &[LegSlot]) {
        let call = self.legs[slot].call;
        let rings = |other: &LegSlot| {
            self.legs[*other].is_unnamed() && self.legs[*other].role == Role::Callee
        };
        let mut elsewhere = None;
        if beside.iter().all(rings) {
            self.clear_line(slot);
            elsewhere = self.best_match(slot, Some(call));
        }
        let Some(best) = elsewhere else {
            self.index_leg(slot);
            if self.legs[slot].first == self.calls[call].first {
                self.link_to_previous(call, slot);
            }
            return;
        };

        self.leave_for(slot, |fold| {
            fold.join_call(slot, best);
        });
        self.take_along(beside, best.call);
    }

    /// Takes an unnamed ring on the line of the leg out of the other calls of its caller: it rang for
    /// another one.
    fn clear_line(&mut self, slot: LegSlot) {
        let leg = &self.legs[slot];
        let own = leg.call;
        let calls = self.calls_of(&leg.remote).into_iter();
        let calls = calls.filter(|call| *call != own && !self.is_final(*call));
        let calls = calls.filter(|call| {
            let mut legs = self.reading(*call).legs();
            legs.any(|other| other.remote.same_party(&leg.remote))
        });
        let others: SmallVec<[LegSlot; 4]> = calls
            .flat_map(|call| self.calls[call].legs.iter().copied())
            .filter(|other| {
                let other = &self.legs[*other];
                other.is_unnamed()
                    && other.role == Role::Callee
                    && is_open_on_same_account(other, leg)
            })
            .collect();

        for other in others {
            self.leave_for(other, |fold| {
                fold.assign_call(other);
            });
        }
    }

    /// Whether the leg consulted, or transferred its party.
    fn has_handed_on(&self, slot: LegSlot) -> bool {
        let attempts = &self.calls[self.legs[slot].call].attempts;

        attempts
            .iter()
            .any(|attempt| !attempt.void && attempt.transferor == Some(slot))
    }

    /// Moves rings to a call of their caller that had no place for them: a line of their phone was in
    /// it, which has left it as that of another caller.
    fn reunite(&mut self, call: CallSlot, left: LegSlot) {
        let device = self.legs[left].device.clone();
        let party = self
            .calls
            .contains(call)
            .then(|| self.reading(call).first_named_callee())
            .flatten()
            .map(|callee| callee.remote.clone())
            .filter(|party| !party.is_withheld());
        let Some(party) = party else {
            return;
        };

        let others = self.calls_of(&party).into_iter();
        let others = others.filter(|other| *other != call && !self.is_final(*other));
        let apart: SmallVec<[LegSlot; 8]> = others
            .flat_map(|other| self.calls[other].legs.iter().copied())
            .filter(|other| {
                let leg = &self.legs[*other];
                leg.named_late
                    && leg.role == Role::Callee
                    && leg.device == device
                    && leg.remote.same_party(&party)
            })
            .collect();
        for other in apart {
            let own = self.legs[other].call;
            let best = self.best_match(other, Some(own));
            if let Some(best) = best.filter(|best| best.call == call) {
                self.leave_for(other, |fold| {
                    fold.join_call(other, best);
                });
            }
        }
    }

    /// Moves a leg, and what is known of it, to the call that `place` chooses.
    fn leave_for(&mut self, slot: LegSlot, place: impl FnOnce(&mut Fold)) {
        let trace = self.detach(slot);
        place(self);

        let call = self.legs[slot].call;
        self.merge_trace(call, trace);
        self.update_deadlines(call);
    }

    /// Moves phones that rang together with a leg, as it turned out, to the call of that leg.
    fn take_along(&mut self, legs: &[LegSlot], call: CallSlot) {
        for slot in legs.iter().copied() {
            let leg = &self.legs[slot];
            let occupied = self
                .reading(call)
                .legs()
                .any(|other| other.device == leg.device && other.extension == leg.extension);
            if !occupied && self.calls[call].legs.len() < LEGS_MAX {
                self.move_leg(slot, call, Role::Callee, None);
            }
        }
    }
}

/// Whether the call of `other` has another caller than the one that `leg` displays: `other` calls
/// itself, or rings, or rang, for a caller whom it displays, or who hides the number.
fn displays_another_caller(other: &Leg, leg: &Leg) -> bool {
    let displays = match other.role {
        Role::Caller => true,
        Role::Callee => other.side != Side::Outgoing && !other.is_unnamed(),
        Role::Consult | Role::Target => false,
    };

    displays && !is_party_of(leg, other)
}

/// Whether the two legs have the same remote party, or one is the other's.
fn is_party_of(leg: &Leg, other: &Leg) -> bool {
    other.remote.same_party(&leg.remote) || other.is_party(&leg.remote)
}
