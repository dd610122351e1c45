//! What a fact changes on the leg it speaks of, and what follows for the leg's call.

use super::Fold;
use crate::domain::call::{Attempt, Rule};
use crate::domain::fact::{Fact, Kind};
use crate::domain::leg::{EndedBy, Leg, LegSlot, Role, Side};
use crate::domain::time::{At, Span};

/// Numbers a PBX may show for one leg after another.
const ALIASES_MAX: usize = 4;

impl Fold {
    /// A leg begins, and finds its call.
    pub(super) fn begin(&mut self, fact: &Fact, side: Side, rule: Rule) {
        let slot = self.new_leg(fact, side);
        let leg = &mut self.legs[slot];
        match fact.kind {
            Kind::Answered
            | Kind::Hold
            | Kind::Resume
            | Kind::BlindTransfer
            | Kind::AttendedTransfer => leg.answered = Some(fact.at),
            Kind::Missed | Kind::Rejected | Kind::Hangup => close(leg, fact),
            Kind::Incoming | Kind::Outgoing | Kind::Device(_) => {}
        }
        let placed = self.place(slot);
        let rule = match (side, rule) {
            (Side::Unknown, _) => Rule::LateJoin,
            (_, Rule::Began) => placed,
            (_, told) => told,
        };
        self.news(slot, fact, rule);
        if self.legs[slot].answered.is_some() {
            self.after_answer(slot, fact.at);
        }
        self.mark_kind(slot, fact);
        self.refresh(self.legs[slot].call);
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

    /// The ring of a leg whose answer came just before it.
    pub(super) fn begin_answered(&mut self, old: LegSlot, fact: &Fact) {
        let answered = self.legs[old].late_answer.take().unwrap_or(fact.at);
        let slot = self.new_leg(
            fact,
            if fact.kind == Kind::Outgoing {
                Side::Outgoing
            } else {
                Side::Incoming
            },
        );
        let leg = &mut self.legs[slot];
        leg.started = answered;
        leg.rang = leg.rang.map(|_| answered);
        leg.answered = Some(fact.at);
        self.place(slot);
        self.news(slot, fact, Rule::Swapped);
        self.after_answer(slot, fact.at);
    }

    /// A phone that says it is idle, or has just started, is in no call: ends that were never
    /// reported are made up for.
    pub(super) fn phone_is_idle(&mut self, fact: &Fact) {
        let open = |leg: &Leg| leg.is_open() && fact.at - leg.last.at >= self.policy.reorder;
        let legs = self
            .phones
            .get(&fact.device)
            .map(|phone| phone.legs.clone())
            .unwrap_or_default();
        for slot in legs
            .into_iter()
            .filter(|slot| open(&self.legs[*slot]) && !self.is_past(self.legs[*slot].call))
            .collect::<Vec<_>>()
        {
            self.end(slot, fact);
        }
    }

    /// The phone rings or dials anew although the end of this leg never came: it ended some time
    /// after its last sign.
    pub(super) fn supersede(&mut self, old: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[old];
        leg.ended = Some(leg.last.at);
        leg.end_reported = Some(leg.last.at);
        leg.ended_by = EndedBy::Superseded;
        let call = leg.call;
        self.touch(call);
        self.refresh(call);
        let side = if fact.kind == Kind::Outgoing {
            Side::Outgoing
        } else {
            Side::Incoming
        };
        self.begin(fact, side, Rule::Superseded);
    }

    /// Somebody answers the second ring of a phone without references; the first one is over
    /// already.
    pub(super) fn revive(&mut self, old: LegSlot, fact: &Fact) {
        let rang = self.legs[old].repeated.take();
        let slot = self.new_leg(fact, Side::Incoming);
        let leg = &mut self.legs[slot];
        leg.rang = rang;
        leg.started = rang.unwrap_or(fact.at);
        self.place(slot);
        self.answer(slot, fact);
    }

    /// Nothing new. But a phone does not ring or answer after its end: if it seems to, less than
    /// the reorder window later, either this is a late copy or the end overtook it, and half way
    /// between is never far from the truth.
    pub(super) fn repeat(&mut self, slot: LegSlot, fact: &Fact) {
        let reorder = self.policy.reorder;
        let leg = &mut self.legs[slot];
        if leg.call_ref.is_none() {
            leg.call_ref.clone_from(&fact.call_ref);
        }
        if leg.is_pending() && fact.kind == Kind::Incoming && fact.call_ref.is_none() {
            leg.repeated.get_or_insert(fact.at);
        }
        if leg.is_only_an_end()
            && matches!(fact.kind, Kind::Missed | Kind::Rejected)
            && leg.ended_by == EndedBy::Hangup
        {
            // Only now it is known what had ended.
            leg.ended_by = EndedBy::Missed;
            let call = leg.call;
            self.touch(call);
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
            self.touch(call);
            self.refresh(call);
        }
        self.trace(slot, fact, Rule::Duplicate);
    }

    /// The beginning of a leg arrives after a later sign of it. Less than the reorder window apart,
    /// the two change places in time.
    pub(super) fn overtaken(&mut self, slot: LegSlot, fact: &Fact) {
        let side = if fact.kind == Kind::Outgoing {
            Side::Outgoing
        } else {
            Side::Incoming
        };
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
        let replace = side == Side::Outgoing || leg.is_only_an_end();
        let answered = leg.is_talking();
        leg.side = side;
        if leg.extension.is_none() {
            leg.extension.clone_from(&fact.local);
        }
        if replace && !leg.pickup {
            self.detach(slot);
            self.place(slot);
        }
        self.news(slot, fact, Rule::Swapped);
        if answered {
            self.after_answer(slot, fact.at);
        }
    }

    pub(super) fn answer(&mut self, slot: LegSlot, fact: &Fact) {
        let first = !self.reading(self.legs[slot].call).has_conversation();
        self.learn_alias(slot, fact);
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
        self.news(slot, fact, rule);
        self.after_answer(slot, fact.at);
    }

    /// The answer arrives less than the reorder window after the end: the two change places in
    /// time.
    pub(super) fn answer_ended(&mut self, slot: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[slot];
        leg.answered = leg.end_reported;
        leg.ended = Some(fact.at);
        self.news(slot, fact, Rule::Swapped);
        self.after_answer(slot, fact.at);
    }

    fn after_answer(&mut self, slot: LegSlot, at: At) {
        if self.try_pickup(slot, at) {
            return;
        }
        let call = self.legs[slot].call;
        let talking = self
            .reading(call)
            .legs()
            .filter(|leg| leg.is_talking())
            .count();
        if talking > 1 {
            self.schedule_review(call, at + self.policy.overlap);
        }
    }

    pub(super) fn end(&mut self, slot: LegSlot, fact: &Fact) {
        let unanswered = self.legs[slot].answered.is_none();
        self.learn_alias(slot, fact);
        let leg = &mut self.legs[slot];
        close(leg, fact);
        if leg.call_ref.is_none() {
            leg.call_ref.clone_from(&fact.call_ref);
        }
        self.news(
            slot,
            fact,
            if unanswered {
                Rule::EndedUnanswered
            } else {
                Rule::Ended
            },
        );
        if unanswered {
            self.picked_up_in_silence(slot, fact.at);
            self.split_late_ring(slot, fact.at);
        } else {
            self.schedule_abandonment(slot, fact.at);
        }
        self.rehome_consult(slot, fact.at);
        if self.legs[slot].role == Role::Consult {
            self.schedule_review(self.legs[slot].call, fact.at + self.policy.together);
            self.schedule_review(self.legs[slot].call, fact.at + self.policy.duration_max);
        }
    }

    /// The phone speaks of the leg under another number than before.
    fn learn_alias(&mut self, slot: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[slot];
        if let Some(remote) = &fact.remote
            && !remote.is_withheld()
            && leg.aliases.len() < ALIASES_MAX
            && !leg.same_remote(fact)
        {
            leg.aliases.push(remote.clone());
        }
    }

    /// A conversation leg that ended while its phone consults somebody: whether the consultation
    /// goes on without it shows a little later.
    fn schedule_abandonment(&mut self, slot: LegSlot, at: At) {
        let call = self.legs[slot].call;
        let consults = |attempt: &Attempt| {
            attempt.by == Some(slot) && attempt.consult.is_some() && !attempt.is_settled()
        };
        if self.calls[call].attempts.iter().any(consults) {
            self.schedule_review(call, at + self.policy.together);
        }
    }

    pub(super) fn mark(&mut self, slot: LegSlot, fact: &Fact) {
        let leg = &mut self.legs[slot];
        let implies_answer = matches!(fact.kind, Kind::Hold | Kind::Resume) && leg.is_pending();
        if implies_answer {
            leg.answered = Some(fact.at);
        }
        self.mark_kind(slot, fact);
        let transfer = matches!(fact.kind, Kind::BlindTransfer | Kind::AttendedTransfer);
        self.news(
            slot,
            fact,
            if transfer {
                Rule::TransferSaid
            } else {
                Rule::HeldOrResumed
            },
        );
    }

    fn mark_kind(&mut self, slot: LegSlot, fact: &Fact) {
        match fact.kind {
            Kind::Hold => self.legs[slot].held = true,
            Kind::Resume => self.legs[slot].held = false,
            Kind::BlindTransfer => self.note_blind_transfer(slot, fact.at),
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

    /// The phone says that it sends its party on. If somebody rings for it already, that attempt is
    /// meant.
    fn note_blind_transfer(&mut self, slot: LegSlot, at: At) {
        let call = self.legs[slot].call;
        let rings = |index: usize| self.reading(call).targets(index).any(Leg::is_open);
        let attempts = &self.calls[call].attempts;
        let meant = (0..attempts.len()).rev().find(|index| {
            attempts[*index].consult.is_none()
                && !attempts[*index].void
                && (attempts[*index].explicit || rings(*index))
        });
        match meant {
            Some(index) => self.calls[call].attempts[index].explicit = true,
            None if self.calls[call].attempts.len() < super::placing::ATTEMPTS_MAX => {
                let mut attempt = Attempt::new(at, Some(slot), None, None);
                attempt.explicit = true;
                self.calls[call].attempts.push(attempt);
            }
            None => {}
        }
    }

    pub(super) fn too_late(&mut self, slot: LegSlot, fact: &Fact) {
        let call = self.legs[slot].call;
        self.calls[call].late_facts = self.calls[call].late_facts.saturating_add(1);
        self.legs[slot].late_answer = Some(fact.at);
        self.trace(slot, fact, Rule::TooLate);
        self.touch(call);
    }
}

fn close(leg: &mut Leg, fact: &Fact) {
    leg.ended = Some(fact.at);
    leg.end_reported = Some(fact.at);
    leg.held = false;
    leg.ended_by = match fact.kind {
        Kind::Missed => EndedBy::Missed,
        Kind::Rejected => EndedBy::Rejected,
        _ => EndedBy::Hangup,
    };
}
