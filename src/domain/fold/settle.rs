//! What only the watermark may settle: that a call is over or missed, that its record is final,
//! that it can be forgotten.

use std::cmp::Ordering;

use super::Fold;
use crate::domain::call::ClosedCall;
use crate::domain::fact::CallId;
use crate::domain::leg::{CallSlot, Side};
use crate::domain::number::Number;
use crate::domain::reading::Reading;
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};

/// A call sleeps at most this long in the queue, so that entries which outlived their reason do not
/// pile up.
const SLEEP_MAX: Span = Span::seconds(600);

/// A call to look at when an instant has passed. The earliest is the greatest, as the heap wants
/// it.
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
    /// Looks at the call again when event time has passed `at`.
    pub(super) fn schedule_review(&mut self, call: CallSlot, at: At) {
        self.reviews.push(Alarm {
            at,
            id: self.calls[call].id,
            call,
        });
    }

    /// Brings what is kept about the call's end up to date, and makes sure the call is looked at
    /// when its next decision is due.
    pub(super) fn refresh(&mut self, call: CallSlot) {
        let reading = self.reading(call);
        let (final_at, due) = match reading.silent_since() {
            Some(_) => (reading.final_at(), reading.decide_at()),
            None => (
                reading.lost_for_good_at(),
                reading.call.last.at + SLEEP_MAX.min(self.policy.ring_max),
            ),
        };
        self.calls[call].final_at = final_at;
        if due < self.calls[call].wake {
            self.wake(call, due);
        }
    }

    /// Whether nothing that happens from now on may still concern the call. Letting go of such a
    /// call can never be noticed.
    pub(super) fn is_past(&self, call: CallSlot) -> bool {
        let call = &self.calls[call];
        call.husk.is_some() || self.now > call.final_at
    }

    fn wake(&mut self, call: CallSlot, at: At) {
        self.calls[call].wake = at;
        self.decisions.push(Alarm {
            at,
            id: self.calls[call].id,
            call,
        });
    }

    /// Asks the reviews that event time has passed: those due before `until`, or at it too when
    /// nothing else can happen at that instant.
    pub(super) fn review_until(&mut self, until: At, inclusive: bool) {
        while let Some(alarm) = self.reviews.peek().copied() {
            if alarm.at > until || (alarm.at == until && !inclusive) {
                return;
            }
            self.reviews.pop();
            if self.is_current(alarm) {
                self.now = alarm.at;
                self.review(alarm.call, alarm.at);
            }
        }
    }

    /// The watermark: every fact up to and including it is folded.
    pub fn advance(&mut self, watermark: At) {
        self.review_until(watermark, true);
        while let Some(alarm) = self.decisions.peek().copied() {
            if alarm.at > watermark {
                return;
            }
            self.decisions.pop();
            if self.is_current(alarm) && self.calls[alarm.call].wake == alarm.at {
                self.settle(alarm.call, watermark);
            }
        }
    }

    fn is_current(&self, alarm: Alarm) -> bool {
        self.calls
            .get(alarm.call)
            .is_some_and(|call| call.id == alarm.id)
    }

    fn settle(&mut self, call: CallSlot, watermark: At) {
        if let Some(husk) = &self.calls[call].husk {
            let until = husk.ended + self.policy.link_window;
            if watermark >= until {
                self.forget(call);
            } else {
                self.wake(call, until);
            }
            return;
        }
        let reading = self.reading(call);
        let (decide_at, final_at) = (reading.decide_at(), reading.final_at());
        if watermark >= final_at {
            self.finish(call, watermark);
            return;
        }
        if watermark >= decide_at {
            self.touch(call);
        }
        let due = if watermark >= decide_at {
            final_at
        } else {
            decide_at
        };
        self.wake(call, due.min(watermark + SLEEP_MAX));
    }

    /// The record is final: it is handed out, the legs are let go, and only what links need stays.
    fn finish(&mut self, call: CallSlot, watermark: At) {
        let reading = self.reading(call);
        let record = CallRecord::of(&reading, watermark);
        let husk = ClosedCall {
            party: outside_party(&reading),
            by_us: reading
                .caller()
                .is_some_and(|caller| caller.side == Side::Outgoing),
            answered: reading.has_conversation(),
            ended: reading.silent_since().unwrap_or(reading.call.last.at),
        };
        self.finished.push(record);
        let until = husk.ended + self.policy.link_window;
        let slots = std::mem::take(&mut self.calls[call].legs);
        for slot in slots {
            let leg = self.legs.remove(slot);
            if let Some(phone) = self.phones.get_mut(&leg.device) {
                phone.legs.retain(|other| *other != slot);
            }
        }
        let kept = &mut self.calls[call];
        kept.husk = Some(Box::new(husk));
        kept.steps = Vec::new();
        kept.attempts = Vec::new();
        kept.touched = false;
        if watermark >= until {
            self.forget(call)
        } else {
            self.wake(call, until)
        }
    }

    fn forget(&mut self, call: CallSlot) {
        self.unindex(call);
        self.calls.remove(call);
    }

    /// The calls whose records became final since this was last asked.
    pub fn take_finished(&mut self) -> Vec<CallRecord> {
        std::mem::take(&mut self.finished)
    }

    /// Calls that turned out to be none since this was last asked.
    pub fn take_withdrawn(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.withdrawn)
    }

    /// The records of the calls that changed since this was last asked, as they stand at `now`.
    pub fn take_changed(&mut self, now: At) -> Vec<CallRecord> {
        let touched = std::mem::take(&mut self.touched);
        let mut changed = Vec::with_capacity(touched.len());
        for slot in touched {
            let still = self
                .calls
                .get_mut(slot)
                .is_some_and(|call| std::mem::take(&mut call.touched));
            if still {
                changed.push(CallRecord::of(&self.reading(slot), now));
            }
        }
        changed
    }

    /// What changed is not asked for.
    pub fn forget_changes(&mut self) {
        for slot in std::mem::take(&mut self.touched) {
            if let Some(call) = self.calls.get_mut(slot) {
                call.touched = false;
            }
        }
        self.withdrawn.clear();
    }

    /// The records of all calls that are not final, as they stand at `now`.
    pub fn open_records(&self, now: At) -> Vec<CallRecord> {
        self.calls
            .iter()
            .filter(|(_, call)| call.husk.is_none())
            .map(|(slot, _)| CallRecord::of(&self.reading(slot), now))
            .collect()
    }
}

/// The party whose next call will be linked to this one.
fn outside_party(reading: &Reading<'_>) -> Number {
    let caller = reading
        .caller()
        .filter(|caller| caller.side == Side::Outgoing);
    caller
        .or_else(|| reading.first_callee())
        .map_or_else(Number::withheld, |leg| leg.remote.clone())
}
