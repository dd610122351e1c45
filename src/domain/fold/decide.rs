//! Settling: the decisions that only the watermark may take. A call is over or missed, its record
//! is final, or the closed call is removed.

use std::cmp::Ordering;

use super::Fold;
use crate::domain::call::ClosedCall;
use crate::domain::fact::CallId;
use crate::domain::leg::{CallSlot, LegSlot, Side};
use crate::domain::number::Number;
use crate::domain::reading::Reading;
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};

/// Maximum time until the next decision of a call. It bounds the number of outdated entries in the
/// queue.
const DECISION_INTERVAL_MAX: Span = Span::seconds(600);

/// A queue entry: a call to process when an instant has passed. The earliest entry is the greatest,
/// as a max-heap requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    at: At,
    id: CallId,
    call: CallSlot,
}

impl Alarm {
    pub(super) fn at(self) -> At {
        self.at
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.id, other.call).cmp(&(self.at, self.id, self.call))
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Fold {
    /// Schedules a review of the call when event time has passed `at`.
    pub(super) fn schedule_review(&mut self, call: CallSlot, at: At) {
        self.reviews.push(Alarm {
            at,
            id: self.calls[call].id,
            call,
        });
    }

    /// Updates the call's final instant and schedules its next decision.
    pub(super) fn update_deadlines(&mut self, call: CallSlot) {
        let reading = self.reading(call);
        let (final_at, due) = match reading.silent_since() {
            Some(_) => (reading.final_at(), reading.decide_at()),
            None => (
                reading.lost_end_final_at(),
                reading
                    .stale_at()
                    .min(reading.call.last.at + DECISION_INTERVAL_MAX),
            ),
        };
        self.calls[call].final_at = final_at;
        if due < self.calls[call].next_decision_at {
            self.schedule_decision(call, due);
        }
    }

    /// Whether no further fact can concern the call, unless its party was parked.
    pub(super) fn is_final(&self, call: CallSlot) -> bool {
        let call = &self.calls[call];
        call.closed.is_some() || self.now > call.final_at
    }

    /// Schedules the call's next decision; an earlier entry of the call becomes outdated.
    fn schedule_decision(&mut self, call: CallSlot, at: At) {
        self.calls[call].next_decision_at = at;
        self.decisions.push(Alarm {
            at,
            id: self.calls[call].id,
            call,
        });
    }

    /// Runs the reviews that event time has passed: all due before `until`, and also those due at
    /// `until` if `inclusive`, when no other fact can occur at that instant.
    pub(super) fn run_reviews(&mut self, until: At, inclusive: bool) {
        while let Some(alarm) = self.reviews.peek().copied() {
            if alarm.at > until || (alarm.at == until && !inclusive) {
                return;
            }

            self.reviews.pop();
            if self.is_current(alarm) {
                // A fact may ask for a review at an instant that is past: time does not go back.
                self.now = self.now.max(alarm.at);
                self.review(alarm.call, self.now);
            }
        }
    }

    /// Moves the watermark: every fact up to and including it is folded.
    pub fn advance(&mut self, watermark: At) {
        self.run_reviews(watermark, true);

        while let Some(alarm) = self.decisions.peek().copied() {
            if alarm.at > watermark {
                return;
            }

            self.decisions.pop();
            if self.is_current(alarm) && self.calls[alarm.call].next_decision_at == alarm.at {
                self.decide(alarm.call, watermark);
            }
        }
    }

    /// Whether the slot still holds the call of the entry.
    fn is_current(&self, alarm: Alarm) -> bool {
        self.calls
            .get(alarm.call)
            .is_some_and(|call| call.id == alarm.id)
    }

    /// Takes the call's next decision: a missed call, the final record, or the removal.
    fn decide(&mut self, call: CallSlot, watermark: At) {
        if let Some(closed) = &self.calls[call].closed {
            let until = closed.ended + self.policy.link_window;
            if watermark >= until {
                self.remove_closed_call(call);
            } else {
                self.schedule_decision(call, until);
            }
            return;
        }

        let reading = self.reading(call);
        let decide_at = reading.decide_at();
        let final_at = reading.record_final_at();
        if watermark >= final_at {
            self.finish(call, watermark);
            return;
        }

        let due = if watermark >= decide_at {
            self.mark_changed(call);
            final_at
        } else {
            decide_at
        };
        self.schedule_decision(call, due.min(watermark + DECISION_INTERVAL_MAX));
    }

    /// Finishes a call: emits its final record, drops its legs and stores only the data that links
    /// need.
    fn finish(&mut self, call: CallSlot, watermark: At) {
        let reading = self.reading(call);
        let record = CallRecord::of(&reading, watermark);
        let closed = ClosedCall {
            party: outside_party(&reading),
            from_site: reading
                .caller()
                .is_some_and(|caller| caller.side == Side::Outgoing),
            answered: reading.has_conversation(),
            ended: reading.silent_since().unwrap_or(reading.call.last.at),
        };
        let until = closed.ended + self.policy.link_window;
        self.finished.push(record);

        let slots = std::mem::take(&mut self.calls[call].legs);
        for slot in slots {
            self.remove_leg(slot);
        }

        let finished = &mut self.calls[call];
        finished.closed = Some(Box::new(closed));
        finished.trace = Vec::new();
        finished.attempts = Vec::new();
        finished.changed = false;

        if watermark >= until {
            self.remove_closed_call(call);
        } else {
            self.schedule_decision(call, until);
        }
    }

    /// Removes a leg that belongs to no call any more.
    pub(super) fn remove_leg(&mut self, slot: LegSlot) {
        let leg = self.legs.remove(slot);
        if let Some(phone) = self.phones.get_mut(&leg.device) {
            phone.legs.retain(|other| *other != slot);
        }
    }

    fn remove_closed_call(&mut self, call: CallSlot) {
        self.unindex(call);
        self.calls.remove(call);
    }
}

/// The party whose next call will be linked to this call.
fn outside_party(reading: &Reading<'_>) -> Number {
    let caller = reading
        .caller()
        .filter(|caller| caller.side == Side::Outgoing);
    caller
        .or_else(|| reading.first_callee())
        .map_or_else(Number::withheld, |leg| leg.remote.clone())
}
