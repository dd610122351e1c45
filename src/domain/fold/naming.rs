//! Naming: the remote party of a leg, when a later fact than the first names it.
//!
//! A phone may ring before its PBX sends the caller's number. Such a leg is placed by time alone,
//! like one with a withheld number, and may have joined the call of another caller. Once its party
//! is named, it is placed by that name. Any other number that a leg shows later is an alias.

use smallvec::SmallVec;

use super::Fold;
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

    /// Places a ring by its name: it leaves a call whose callers are others, and takes the phones
    /// that have not named their caller to a call of its own caller.
    fn place_named(&mut self, slot: LegSlot) {
        let call = self.legs[slot].call;
        let beside = || {
            self.reading(call)
                .call
                .legs
                .iter()
                .copied()
                .filter(|other| *other != slot)
        };
        let unnamed: SmallVec<[LegSlot; 8]> = beside()
            .filter(|other| {
                self.legs[*other].is_unnamed() && self.legs[*other].role == Role::Callee
            })
            .collect();
        let is_alone = unnamed.len() == beside().count();
        let belongs = beside().any(|other| is_party_of(&self.legs[slot], &self.legs[other]));

        if belongs {
            self.index_leg(slot);
        } else if is_alone {
            let elsewhere = self.best_match(slot, Some(call));
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
            self.take_along(&unnamed, best.call);
        } else {
            self.leave_for(slot, |fold| {
                fold.assign_call(slot);
            });
            self.reunite(call, slot);
        }
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

/// Whether the two legs have the same remote party, or one is the other's.
fn is_party_of(leg: &Leg, other: &Leg) -> bool {
    other.remote.same_party(&leg.remote) || other.is_party(&leg.remote)
}
