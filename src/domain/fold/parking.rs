//! Parking: a party waits in a slot of the PBX, and a phone that dials the slot takes it. The PBX
//! then updates the display of that phone to the party: until then its leg looks like a call to a
//! number of the PBX.
//!
//! Without that update nothing connects the two, and they stay two calls.

use super::Fold;
use super::placing::ATTEMPTS_MAX;
use crate::domain::call::{Rule, TransferAttempt};
use crate::domain::leg::{CallSlot, Leg, LegSlot, Role, Side};
use crate::domain::link::{Confidence, JoinKind};
use crate::domain::number::Number;
use crate::domain::time::{At, Span};

/// The PBX connects a phone that dials a slot within this time; a colleague takes longer.
const CONNECTED_AT_ONCE: Span = Span::seconds(1);

impl Fold {
    /// Whether a phone that was just connected may have taken a party from a slot: it dialled a
    /// number of the PBX that is no phone, and some party is parked.
    pub(super) fn may_take_parked(&self, slot: LegSlot) -> bool {
        let leg = &self.legs[slot];
        let at_once = leg
            .answered
            .is_some_and(|answered| answered - leg.started <= CONNECTED_AT_ONCE);

        at_once && self.dials_pbx_alone(leg) && self.is_party_parked_before(leg)
    }

    /// Whether the phone dialled a number of the PBX that is no phone, and no phone rang for it.
    fn dials_pbx_alone(&self, leg: &Leg) -> bool {
        let own = self.reading(leg.call);

        leg.role == Role::Caller
            && leg.side == Side::Outgoing
            && leg.remote.is_short()
            && own.call.legs.len() == 1
            && !own.is_site_extension(leg.remote.dial())
    }

    /// Whether a phone has reported that it parked a party, or seems to have, and the party is
    /// still there.
    fn is_party_parked_before(&self, taker: &Leg) -> bool {
        let is_parked = |call: CallSlot| {
            let reading = self.reading(call);
            let in_time = reading.silent_since().is_some_and(|silent| {
                silent <= taker.started && taker.started - silent <= self.policy.park_window
            });
            in_time
                && self.now <= reading.record_final_at()
                && reading.has_conversation()
                && reading.seems_parked()
        };

        self.calls
            .iter()
            .any(|(call, found)| found.closed.is_none() && is_parked(call))
    }

    /// Moves a leg to the call of the party that its display names now, if that party may have been
    /// parked when the phone dialled.
    pub(super) fn take_from_slot(&mut self, slot: LegSlot) {
        let Some((call, transferor, parked)) = self.parked_party_of(slot) else {
            return;
        };
        let Some(index) = self.parking_attempt(call, transferor, parked) else {
            return;
        };

        self.move_leg(slot, call, Role::Target, Some(index));
        self.legs[slot].joined = Some((
            JoinKind::Transfer,
            Confidence::Medium,
            "the phone dialled a number of the PBX, and its display then named this party, whose \
             conversation had ended a while before",
        ));
        self.retrace_last(call, slot, Rule::TakenFromPark);
    }

    /// The call of the party that a leg has taken, the leg that parked it, and when.
    fn parked_party_of(&self, slot: LegSlot) -> Option<(CallSlot, LegSlot, At)> {
        let leg = &self.legs[slot];
        let party = leg.aliases.last()?;
        let is_colleague = self.reading(leg.call).is_site_extension(party.dial());
        if leg.answered.is_none() || is_colleague || !self.dials_pbx_alone(leg) {
            return None;
        }

        let others = self.calls_of(party).into_iter();
        let parked = others
            .filter(|call| *call != leg.call)
            .filter_map(|call| self.parked_in(call, party, leg).map(|found| (call, found)));
        let (call, (transferor, at)) =
            parked.max_by_key(|(call, (_, at))| (*at, self.calls[*call].first))?;

        Some((call, transferor, at))
    }

    /// The leg of a call that may have parked the party before another phone dialled, and when.
    fn parked_in(&self, call: CallSlot, party: &Number, taker: &Leg) -> Option<(LegSlot, At)> {
        if self.calls[call].closed.is_some() {
            return None;
        }
        let reading = self.reading(call);
        let silent = reading.silent_since()?;
        let is_in_time = silent <= taker.started
            && taker.started - silent <= self.policy.park_window
            && self.now <= reading.record_final_at();

        let talked = reading.call.legs.iter().copied().filter(|other| {
            let leg = reading.leg(*other);
            leg.answered.is_some() && leg.ended.is_some() && leg.remote.same_party(party)
        });
        let last = talked.max_by_key(|other| (reading.leg(*other).ended, *other));

        last.filter(|_| is_in_time).map(|last| (last, silent))
    }

    /// The attempt that the parking is: a transfer that a phone reported and for which no phone
    /// rang, or a new one.
    fn parking_attempt(&mut self, call: CallSlot, parker: LegSlot, at: At) -> Option<u8> {
        let reading = self.reading(call);
        let attempts = &reading.call.attempts;
        let reported = (0..attempts.len()).rev().find(|index| {
            let attempt = &attempts[*index];
            attempt.explicit
                && attempt.consult.is_none()
                && !attempt.is_decided()
                && reading.targets(*index).next().is_none()
        });
        if reported.is_none() && attempts.len() >= ATTEMPTS_MAX {
            return None;
        }

        let index = reported.unwrap_or(attempts.len());
        if reported.is_none() {
            let mut attempt = TransferAttempt::new(at, Some(parker), None, None);
            // The display says it.
            attempt.explicit = true;
            self.calls[call].attempts.push(attempt);
        }

        u8::try_from(index).ok()
    }
}
