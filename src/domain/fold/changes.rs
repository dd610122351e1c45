//! The effect of a fact on its leg, and the consequences for the leg's call.

use super::Fold;
use crate::domain::call::{Rule, TransferAttempt};
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{EndedBy, Leg, LegSlot, Role, Side};
use crate::domain::time::{At, Span};

/// Most PBXs let a phone ring no longer before they try another one.
const USUAL_RING_MAX: Span = Span::seconds(60);

impl Fold {
    /// Begins a new leg and assigns it to a call.
    pub(super) fn begin_leg(&mut self, fact: &Fact, side: Side, rule: Rule) {
        let slot = self.new_leg(fact, side);
        let leg = &mut self.legs[slot];
        match fact.kind {
            Kind::Answered
            | Kind::Hold
            | Kind::Resume
            | Kind::BlindTransfer
            | Kind::AttendedTransfer => leg.answered = Some(fact.at),
            Kind::Missed | Kind::Rejected | Kind::Hangup => close_leg(leg, fact),
            Kind::Incoming | Kind::Outgoing | Kind::Device(_) => {}
        }

        self.legs[slot].may_repeat = self.repeats_dialling(slot);
        let placed = self.assign_call(slot);
        if self.legs[slot].may_repeat {
            let stale_at = self.reading(self.legs[slot].call).stale_at();
            self.schedule_review(self.legs[slot].call, stale_at);
        }
        let rule = match (side, rule) {
            (Side::Unknown, _) => Rule::LateJoin,
            (_, Rule::Began) => placed,
            (_, given) => given,
        };
        self.register_change(slot, fact, rule);

        if self.legs[slot].answered.is_some() {
            self.after_answer(slot, fact.at);
        }
        self.apply_kind(slot, fact);
        self.update_deadlines(self.legs[slot].call);
    }

    /// Whether the phone dialled the same number a moment before, and that leg is over: the network
    /// may have delivered the request twice.
    fn repeats_dialling(&self, slot: LegSlot) -> bool {
        let leg = &self.legs[slot];
        let is_earlier = |other: &Leg| {
            other.side == Side::Outgoing
                && other.extension == leg.extension
                && other.remote.same_party(&leg.remote)
                && other.ended.is_some()
                && leg.started - other.started <= self.policy.duplicate
        };

        leg.side == Side::Outgoing
            && leg.call_ref.is_none()
            && self
                .recent_legs(&leg.device)
                .iter()
                .any(|other| *other != slot && is_earlier(&self.legs[*other]))
    }

    fn new_leg(&mut self, fact: &Fact, side: Side) -> LegSlot {
        let mut leg = Leg::new(fact, side);
        let phone = self.phones.entry(fact.device.clone()).or_default();
        if leg.extension.is_none() {
            leg.extension.clone_from(&phone.account);
        }

        let slot = self.legs.insert(leg);
        phone.legs.push(slot);
        slot
    }

    /// Begins a leg with the ring that follows its own answer: the answer overtook the ring.
    pub(super) fn begin_answered_leg(&mut self, old: LegSlot, fact: &Fact) {
        let answered = self.legs[old].late_answer.take().unwrap_or(fact.at);
        let slot = self.new_leg(fact, side_of_beginning(fact.kind));
        let leg = &mut self.legs[slot];
        leg.started = answered;
        leg.rang = leg.rang.map(|_| answered);
        leg.answered = Some(fact.at);

        self.assign_call(slot);
        self.register_change(slot, fact, Rule::Swapped);
        self.after_answer(slot, fact.at);
    }

    /// Ends all open legs of a phone that reports that it is idle or has just booted: such a phone
    /// is in no call, so the ends of these legs were lost. Legs with a sign within the reorder
    /// window stay open, and so do those that have only just begun: the report may be a late one, or
    /// a copy, from the moment before.
    pub(super) fn end_legs_of_idle_phone(&mut self, fact: &Fact) {
        let lost_end = |leg: &Leg| {
            leg.is_open()
                && fact.at - leg.last.at >= self.policy.reorder
                && fact.at - leg.started > self.policy.duplicate
        };
        let legs = self
            .phones
            .get(&fact.device)
            .map(|phone| phone.legs.clone())
            .unwrap_or_default();

        for slot in legs
            .into_iter()
            .filter(|slot| lost_end(&self.legs[*slot]) && !self.is_final(self.legs[*slot].call))
            .collect::<Vec<_>>()
        {
            let leg = &self.legs[slot];
            let conversation = self.reading(leg.call).has_conversation();
            let goes_on = self.reading(leg.call).keeps_call_open(leg, conversation);
            if leg.is_pending() || !goes_on {
                self.end_earlier_leg_of_idle_phone(slot, fact);
            } else {
                self.end_leg(slot, fact);
            }
        }
    }

    /// Ends a ring, a dialling, or a conversation that its other side has left, whose end was lost.
    /// That the phone is idle does not say since when: a ring was over with the answer of another
    /// phone, and each of them with the rest of its call.
    fn end_earlier_leg_of_idle_phone(&mut self, slot: LegSlot, fact: &Fact) {
        let reading = self.reading(self.legs[slot].call);
        let is_ring = self.legs[slot].is_pending();
        let other_end = reading.other_end(slot);
        let over_with = match self.legs[slot].attempt {
            _ if !is_ring => other_end,
            // The party of a transfer waits for its targets.
            Some(attempt) => reading
                .targets(usize::from(attempt))
                .filter_map(|target| target.answered)
                .min(),
            // What was over before the ring says nothing.
            None => reading
                .answered_at()
                .or(other_end)
                .filter(|over| *over > self.legs[slot].started),
        };
        let leg = &mut self.legs[slot];
        let ended = over_with.map_or(fact.at, |over| over.clamp(leg.last.at, fact.at));

        leg.ended = Some(ended);
        leg.end_reported = Some(fact.at);
        let rule = if is_ring {
            Rule::EndedUnanswered
        } else {
            Rule::Ended
        };
        self.register_change(slot, fact, rule);
    }

    /// Ends a leg whose end was lost, because the phone rings or dials anew. A ring is taken to have
    /// lasted until then, if rings last so long, and anything else until its last sign.
    pub(super) fn supersede_leg(&mut self, old: LegSlot, fact: &Fact) {
        let call = self.legs[old].call;
        if !self.withdraw_repeated_dialling(call) {
            let leg = &mut self.legs[old];
            let rang_until_now =
                leg.side == Side::Incoming && fact.at - leg.last.at <= USUAL_RING_MAX;
            leg.ended = Some(if rang_until_now { fact.at } else { leg.last.at });
            leg.end_reported = Some(leg.last.at);
            leg.ended_by = EndedBy::Superseded;

            self.mark_changed(call);
            self.update_deadlines(call);
        }

        self.begin_leg(fact, side_of_beginning(fact.kind), Rule::Superseded);
    }

    /// Answers the repeated ring of a phone without references; the first ring is over already.
    pub(super) fn answer_repeated_ring(&mut self, old: LegSlot, fact: &Fact) {
        let rang = self.legs[old].repeated_ring.take();
        let slot = self.new_leg(fact, Side::Incoming);
        let leg = &mut self.legs[slot];
        leg.rang = rang;
        leg.started = rang.unwrap_or(fact.at);

        self.assign_call(slot);
        self.apply_answer(slot, fact);
    }

    /// Handles a duplicate, which brings no new information. One exception: a phone does not ring
    /// or answer after its end. If the fact follows the end within the reorder window, either it is
    /// a late copy or the end overtook it. The midpoint between the two is then the best estimate
    /// of the end.
    pub(super) fn apply_duplicate(&mut self, slot: LegSlot, fact: &Fact) {
        let reorder = self.policy.reorder;
        // The second report of an end may be the first one with the number.
        if self.legs[slot].remote.is_withheld() {
            self.learn_remote(slot, fact);
        }
        let leg = &mut self.legs[slot];
        if leg.call_ref.is_none() && fact.call_ref.is_some() {
            leg.call_ref.clone_from(&fact.call_ref);
            let call = leg.call;
            self.mark_changed(call);
        }
        let leg = &mut self.legs[slot];
        if leg.is_pending() && fact.kind == Kind::Incoming && fact.call_ref.is_none() {
            leg.repeated_ring.get_or_insert(fact.at);
        }
        if leg.has_only_end()
            && matches!(fact.kind, Kind::Missed | Kind::Rejected)
            && leg.ended_by == EndedBy::Hangup
        {
            // This fact reveals that the ended leg was a missed ring.
            leg.ended_by = EndedBy::Missed;
            let call = leg.call;
            self.mark_changed(call);
            self.update_deadlines(call);
        }

        let leg = &mut self.legs[slot];
        let begins = matches!(fact.kind, Kind::Incoming | Kind::Outgoing | Kind::Answered);
        let reported = leg
            .end_reported
            .filter(|reported| begins && fact.at > *reported && fact.at - *reported < reorder);
        if let Some(reported) = reported {
            leg.ended = leg
                .ended
                .max(Some(reported + Span((fact.at - reported).0 / 2)));
            let call = leg.call;
            self.mark_changed(call);
            self.update_deadlines(call);
        }

        self.register_sign(slot, fact, Rule::Duplicate);
    }

    /// Applies the beginning of a leg that arrives after a later sign of it. Less than the reorder
    /// window apart, the two swap their instants.
    pub(super) fn apply_overtaken(&mut self, slot: LegSlot, fact: &Fact) {
        let side = side_of_beginning(fact.kind);
        let swapped = fact.at - self.legs[slot].started < self.policy.reorder;

        let leg = &mut self.legs[slot];
        if side == Side::Incoming && swapped {
            leg.rang = Some(leg.started);
        }
        if leg.answered == Some(leg.started) && swapped {
            leg.answered = Some(leg.ended.map_or(fact.at, |ended| ended.min(fact.at)));
        } else if leg.ended.is_some() && swapped {
            leg.ended = leg.ended.max(Some(fact.at));
        }

        let replace = side == Side::Outgoing || leg.has_only_end();
        let answered = leg.is_talking();
        leg.side = side;
        if leg.extension.is_none() {
            leg.extension.clone_from(&fact.local);
        }

        if replace && !leg.pickup {
            self.detach(slot);
            self.assign_call(slot);
        }
        self.register_change(slot, fact, Rule::Swapped);
        if answered {
            self.after_answer(slot, fact.at);
        }
    }

    pub(super) fn apply_answer(&mut self, slot: LegSlot, fact: &Fact) {
        self.learn_remote(slot, fact);
        let first = !self.reading(self.legs[slot].call).has_conversation();

        let leg = &mut self.legs[slot];
        leg.answered = Some(fact.at);
        if leg.call_ref.is_none() {
            leg.call_ref.clone_from(&fact.call_ref);
        }

        let rule = if first && leg.role == Role::Callee {
            Rule::AnsweredFirst
        } else {
            Rule::Answered
        };
        self.register_change(slot, fact, rule);
        self.take_from_slot(slot);
        self.after_answer(slot, fact.at);
    }

    /// Applies an answer that arrives less than the reorder window after the end: the two swap
    /// their instants.
    pub(super) fn apply_answer_after_end(&mut self, slot: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[slot];
        leg.answered = leg.end_reported;
        leg.ended = Some(fact.at);
        self.register_change(slot, fact, Rule::Swapped);
        self.after_answer(slot, fact.at);
    }

    /// Applies the answer of a ring that seemed to have ended.
    pub(super) fn answer_ringing(&mut self, slot: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[slot];
        leg.ended = None;
        leg.end_reported = None;

        self.apply_answer(slot, fact);
    }

    /// Checks an answered leg for a pickup and a slot, and its call for overlapping conversations.
    fn after_answer(&mut self, slot: LegSlot, at: At) {
        if self.try_pickup(slot, at) {
            return;
        }

        let call = self.legs[slot].call;
        if self.may_take_parked(slot) {
            self.legs[slot].may_take_parked = true;
            self.update_deadlines(call);
        }
        if self.reading(call).is_implicit_target(&self.legs[slot]) {
            self.schedule_review(call, at + self.policy.together);
        }
        let talking = self
            .reading(call)
            .legs()
            .filter(|leg| leg.is_talking())
            .count();
        if talking > 1 {
            self.schedule_review(call, at + self.policy.overlap);
        }
    }

    pub(super) fn end_leg(&mut self, slot: LegSlot, fact: &Fact) {
        let unanswered = self.legs[slot].answered.is_none();
        self.learn_remote(slot, fact);

        let leg = &mut self.legs[slot];
        close_leg(leg, fact);
        if leg.call_ref.is_none() {
            leg.call_ref.clone_from(&fact.call_ref);
        }

        let rule = if unanswered {
            Rule::EndedUnanswered
        } else {
            Rule::Ended
        };
        self.register_change(slot, fact, rule);
        self.take_from_slot(slot);

        if unanswered {
            self.detect_silent_pickup(slot, fact.at);
            self.split_late_ring(slot, fact.at);
            self.split_vain_repeat(slot);
            self.split_other_call(slot);
        } else {
            self.schedule_join_review(slot, fact.at);
            self.schedule_abandonment_review(slot, fact.at);
            if !self.calls[self.legs[slot].call].attempts.is_empty() {
                self.schedule_review(self.legs[slot].call, fact.at);
            }
        }

        if self.legs[slot].role == Role::Target {
            self.schedule_review(self.legs[slot].call, fact.at + self.policy.rering_gap);
        }
        self.reassign_consult(slot, fact.at);
        if self.legs[slot].role == Role::Consult {
            self.schedule_review(self.legs[slot].call, fact.at + self.policy.together);
            self.schedule_review(self.legs[slot].call, fact.at + self.policy.duration_max);
        }
    }

    /// Schedules a review of a conversation leg that ended while its phone consults: only later
    /// facts show whether the consultation goes on without it.
    fn schedule_abandonment_review(&mut self, slot: LegSlot, at: At) {
        let call = self.legs[slot].call;
        let consults = |attempt: &TransferAttempt| {
            attempt.transferor == Some(slot) && attempt.consult.is_some() && !attempt.is_decided()
        };

        if self.calls[call].attempts.iter().any(consults) {
            self.schedule_review(call, at + self.policy.together);
        }
    }

    /// Applies a hold, a resume or a transfer report.
    pub(super) fn apply_mid_call(&mut self, slot: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[slot];
        let implies_answer = matches!(fact.kind, Kind::Hold | Kind::Resume) && leg.is_pending();
        if implies_answer {
            leg.answered = Some(fact.at);
        }
        self.learn_remote(slot, fact);
        self.apply_kind(slot, fact);

        let rule = if fact.kind.is_transfer() {
            Rule::TransferReported
        } else {
            Rule::HeldOrResumed
        };
        self.register_change(slot, fact, rule);
        self.take_from_slot(slot);
    }

    fn apply_kind(&mut self, slot: LegSlot, fact: &Fact) {
        match fact.kind {
            Kind::Hold => self.legs[slot].held = true,
            Kind::Resume => self.legs[slot].held = false,
            Kind::BlindTransfer => self.mark_blind_transfer(slot, fact.at),
            Kind::AttendedTransfer => {
                let call = self.legs[slot].call;
                if let Some(attempt) = self.calls[call]
                    .attempts
                    .iter_mut()
                    .rev()
                    .find(|attempt| attempt.consult.is_some() && !attempt.void)
                {
                    attempt.explicit = true;
                }
            }
            _ => {}
        }
    }

    /// Marks the attempt that the phone reports as a blind transfer: the newest one whose target
    /// rings or that is explicit already, else a new one.
    fn mark_blind_transfer(&mut self, slot: LegSlot, at: At) {
        let call = self.legs[slot].call;
        let rings = |index: usize| self.reading(call).targets(index).any(Leg::is_open);
        let attempts = &self.calls[call].attempts;
        let reported = (0..attempts.len()).rev().find(|index| {
            attempts[*index].consult.is_none()
                && !attempts[*index].void
                && (attempts[*index].explicit || rings(*index))
        });

        match reported {
            Some(index) => self.calls[call].attempts[index].explicit = true,
            None if self.calls[call].attempts.len() < super::placing::ATTEMPTS_MAX => {
                let mut attempt = TransferAttempt::new(at, Some(slot), None, None);
                attempt.explicit = true;
                self.calls[call].attempts.push(attempt);
            }
            None => {}
        }
    }

    /// Counts an answer that came after the final end of its leg. It may belong to the next leg.
    pub(super) fn count_late_fact(&mut self, slot: LegSlot, fact: &Fact) {
        let call = self.legs[slot].call;
        self.calls[call].late_facts = self.calls[call].late_facts.saturating_add(1);
        self.legs[slot].late_answer = Some(fact.at);
        self.register_sign(slot, fact, Rule::TooLate);
        self.mark_changed(call);
    }
}

/// The direction of a leg that begins with a ring or a dialling.
fn side_of_beginning(kind: Kind) -> Side {
    if kind == Kind::Outgoing {
        Side::Outgoing
    } else {
        Side::Incoming
    }
}

fn close_leg(leg: &mut Leg, fact: &Fact) {
    leg.ended = Some(fact.at);
    leg.end_reported = Some(fact.at);
    leg.held_at_end = std::mem::take(&mut leg.held);
    leg.ended_by = match fact.kind {
        Kind::Missed => EndedBy::Missed,
        Kind::Rejected => EndedBy::Rejected,
        _ => EndedBy::Hangup,
    };
}
