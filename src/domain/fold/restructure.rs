//! Restructuring: moves legs between calls.
//!
//! Other rules decide which legs belong together. These methods keep the roles, attempts, trace,
//! index and ids of the calls consistent while legs move.

use super::Fold;
use crate::domain::call::{Call, Rule, TRACE_ENTRIES_MAX, TraceEntry};
use crate::domain::leg::{CallSlot, LegSlot, Role};

impl Fold {
    /// Creates a call for a leg that has none.
    pub(super) fn begin_call(&mut self, slot: LegSlot, role: Role) -> CallSlot {
        let call = self.create_call(slot);
        self.attach(slot, call, role, None);
        call
    }

    /// Creates an empty call with an id derived from the first fact of the leg. When that leg moves
    /// to another call, the id stays with the old call, and the next call gets the next derived id.
    fn create_call(&mut self, slot: LegSlot) -> CallSlot {
        let leg = &mut self.legs[slot];
        let id = leg.first.id.derived(leg.derived_ids);
        leg.derived_ids = leg.derived_ids.saturating_add(1);
        let first = leg.first;
        self.calls.insert(Call::new(id, first))
    }

    /// Adds a leg to a call, with its role and transfer attempt.
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
        self.mark_changed(call);
    }

    /// Removes a leg and its trace entries from its call. A call without legs is withdrawn.
    pub(super) fn detach(&mut self, slot: LegSlot) -> Vec<TraceEntry> {
        let call_slot = self.legs[slot].call;
        let call = &mut self.calls[call_slot];
        call.legs.retain(|other| *other != slot);
        for attempt in &mut call.attempts {
            if attempt.transferor == Some(slot) {
                attempt.transferor = None;
            }
            if attempt.consult == Some(slot) {
                attempt.consult = None;
                attempt.void |= attempt.decided.is_none();
            }
        }

        let (moved, remaining): (Vec<TraceEntry>, Vec<TraceEntry>) =
            call.trace.iter().partition(|entry| entry.leg == slot);
        call.trace = remaining;

        self.void_idle_attempts(call_slot);
        self.promote_remaining_legs(call_slot);

        if self.calls[call_slot].legs.is_empty() {
            let leg = &mut self.legs[slot];
            let last_derived = leg
                .derived_ids
                .checked_sub(1)
                .map(|last| leg.first.id.derived(last));
            if last_derived == Some(self.calls[call_slot].id) {
                leg.derived_ids -= 1;
            }
            self.remove_call(call_slot);
        } else {
            self.mark_changed(call_slot);
            self.update_deadlines(call_slot);
        }
        moved
    }

    /// Voids blind attempts without a target leg that no phone reported.
    fn void_idle_attempts(&mut self, call: CallSlot) {
        for index in 0..self.calls[call].attempts.len() {
            let attempt = &self.calls[call].attempts[index];
            let idle = attempt.consult.is_none()
                && !attempt.explicit
                && attempt.decided.is_none()
                && self.reading(call).targets(index).next().is_none();
            if idle {
                self.calls[call].attempts[index].void = true;
            }
        }
    }

    /// Turns the remaining legs of a call without main legs into a call of its own: consulting legs
    /// become callers, targets become callees.
    fn promote_remaining_legs(&mut self, call: CallSlot) {
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

    /// Removes an empty call and withdraws it.
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
        let trace = self.detach(slot);
        self.attach(slot, call, role, attempt);
        self.merge_trace(call, trace);
        self.update_deadlines(call);
    }

    /// Splits legs off into a new call; the first of them decides when it began.
    pub(super) fn split(&mut self, legs: &[(LegSlot, Role)], rule: Rule) -> Option<CallSlot> {
        let (first, role) = *legs.iter().min_by_key(|(slot, _)| self.legs[*slot].first)?;
        let call = self.create_call(first);
        for (slot, role) in legs {
            let trace = self.detach(*slot);
            self.attach(*slot, call, *role, None);
            self.merge_trace(call, trace);
        }

        if self.trace_enabled
            && let Some(kind) = self.calls[call].trace.last().map(|entry| entry.kind)
        {
            let key = self.calls[call].last;
            self.calls[call].add_trace_entry(TraceEntry {
                key,
                leg: first,
                kind,
                rule,
            });
        }
        if role != Role::Caller {
            self.link_to_previous(call, first);
        }
        self.update_deadlines(call);
        Some(call)
    }

    /// Merges the trace entries of a moved leg into its new call, in time order.
    pub(super) fn merge_trace(&mut self, call: CallSlot, moved: Vec<TraceEntry>) {
        if moved.is_empty() {
            return;
        }

        let trace = &mut self.calls[call].trace;
        trace.extend(moved);
        trace.sort_by_key(|entry| entry.key);
        trace.truncate(TRACE_ENTRIES_MAX);
    }
}
