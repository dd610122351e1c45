//! Moving legs between calls: every other rule says *which* legs belong together, this file keeps
//! the books while they move.

use super::Fold;
use crate::domain::call::{Call, Rule, Step};
use crate::domain::leg::{CallSlot, LegSlot, Role};

impl Fold {
    /// A call of its own for a leg without one.
    pub(super) fn new_call(&mut self, slot: LegSlot, role: Role) -> CallSlot {
        let call = self.name_call(slot);
        self.attach(slot, call, role, None);
        call
    }

    /// A call is named after the fact that began it. When the leg of that fact leaves for another
    /// call, the name stays, and the other call is named after the same fact in another way.
    fn name_call(&mut self, slot: LegSlot) -> CallSlot {
        let leg = &mut self.legs[slot];
        let id = leg.first.id.derived(leg.names_given);
        leg.names_given = leg.names_given.saturating_add(1);
        let first = leg.first;
        self.calls.insert(Call::new(id, first))
    }

    pub(super) fn attach(
        &mut self,
        slot: LegSlot,
        call: CallSlot,
        role: Role,
        attempt: Option<u8>,
    ) {
        let leg = &mut self.legs[slot];
        leg.call = call;
        leg.role = role;
        leg.attempt = attempt;
        let last = leg.last;
        let joined = &mut self.calls[call];
        joined.legs.push(slot);
        joined.last = joined.last.max(last);
        self.index_leg(slot);
        self.touch(call);
    }

    /// Takes a leg out of its call, with its part of the trace. A call without legs never was one.
    pub(super) fn detach(&mut self, slot: LegSlot) -> Vec<Step> {
        let call_slot = self.legs[slot].call;
        let call = &mut self.calls[call_slot];
        call.legs.retain(|other| *other != slot);
        for attempt in &mut call.attempts {
            if attempt.by == Some(slot) {
                attempt.by = None;
            }
            if attempt.consult == Some(slot) {
                attempt.consult = None;
                attempt.void |= attempt.settled.is_none();
            }
        }
        let (moved, kept): (Vec<Step>, Vec<Step>) =
            call.steps.iter().partition(|step| step.leg == slot);
        call.steps = kept;
        self.void_idle_attempts(call_slot);
        self.promote_target(call_slot);
        if self.calls[call_slot].legs.is_empty() {
            let leg = &mut self.legs[slot];
            let last_name = leg
                .names_given
                .checked_sub(1)
                .map(|last| leg.first.id.derived(last));
            if last_name == Some(self.calls[call_slot].id) {
                leg.names_given -= 1;
            }
            self.remove_call(call_slot);
        } else {
            self.touch(call_slot);
            self.refresh(call_slot);
        }
        moved
    }

    /// A blind attempt that nobody rings for, and of which no phone spoke, was none.
    fn void_idle_attempts(&mut self, call: CallSlot) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let idle = attempt.consult.is_none()
                && !attempt.explicit
                && attempt.settled.is_none()
                && self.reading(call).targets(index).next().is_none();
            if idle {
                self.calls[call].attempts[index].void = true;
            }
        }
    }

    /// What is left of a call without its conversation is a call of its own: who consulted calls,
    /// who was a target is called.
    fn promote_target(&mut self, call: CallSlot) {
        if self.reading(call).main_legs().next().is_some() {
            return;
        }
        for slot in self.calls[call].legs.clone() {
            let leg = &mut self.legs[slot];
            leg.role = if leg.role == Role::Consult {
                Role::Caller
            } else {
                Role::Callee
            };
            leg.attempt = None;
            leg.joined = None;
        }
        self.calls[call].attempts.clear();
    }

    fn remove_call(&mut self, call: CallSlot) {
        self.unindex(call);
        let removed = self.calls.remove(call);
        self.withdrawn.push(removed.id);
    }

    /// Moves a leg into another call.
    pub(super) fn move_leg(
        &mut self,
        slot: LegSlot,
        call: CallSlot,
        role: Role,
        attempt: Option<u8>,
    ) {
        let steps = self.detach(slot);
        self.attach(slot, call, role, attempt);
        self.receive(call, steps);
        self.refresh(call);
    }

    /// Makes a call of its own out of legs that turned out to be one; the first of them decides
    /// when it began.
    pub(super) fn split(&mut self, legs: &[(LegSlot, Role)], rule: Rule) -> Option<CallSlot> {
        let (first, role) = *legs.iter().min_by_key(|(slot, _)| self.legs[*slot].first)?;
        let call = self.name_call(first);
        for (slot, role) in legs {
            let steps = self.detach(*slot);
            self.attach(*slot, call, *role, None);
            self.receive(call, steps);
        }
        if self.keep_steps
            && let Some(kind) = self.calls[call].steps.last().map(|step| step.kind)
        {
            let key = self.calls[call].last;
            self.calls[call].trace(Step {
                key,
                leg: first,
                kind,
                rule,
            });
        }
        if role != Role::Caller {
            self.link_to_previous(call, first);
        }
        self.refresh(call);
        Some(call)
    }

    fn receive(&mut self, call: CallSlot, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let kept = &mut self.calls[call].steps;
        kept.extend(steps);
        kept.sort_by_key(|step| step.key);
        kept.truncate(crate::domain::call::STEPS_MAX);
    }
}
