//! Parked calls: taken from another phone that dials the slot, or rung back at the parker.

use super::site::Site;
use super::truth::{TrueCall, TrueTransfer};
use super::waiting::Talking;
use super::{MILLI, Micros, SECOND};

const ANY: &[&str] = &["blind", "attended", "semi_attended"];

impl Site {
    /// A phone parks its party. A colleague takes it from the slot, or the PBX gives it back.
    pub(super) fn parked(&mut self, at: Micros) {
        let is_taken = self.chance(70);
        let kind = if is_taken {
            "parked, taken"
        } else {
            "parked, given back"
        };
        let from = self.customer();
        let Some(talking) = self.answered_caller(kind, Some(&from), at) else {
            return;
        };
        let slot = (701 + self.pick(4)).to_string();
        let parks = talking.answered + self.between(8 * SECOND, 60 * SECOND);
        let consults = self.chance(40);
        let gone = self.parks(&talking, parks, consults);
        self.calls[talking.leg.call].ended = gone;

        if is_taken {
            self.takes_from_slot(&talking, &from, &slot, gone, consults);
        } else {
            self.given_back(&talking, &from, gone, consults);
        }
    }

    /// The transfer to the park extension: blind, or after the PBX said the slot. Returns the
    /// instant at which the parker is out.
    fn parks(&mut self, talking: &Talking, at: Micros, consults: bool) -> Micros {
        let leg = talking.leg.clone();
        let profile = self.phones[leg.phone].profile;
        if profile.reports_hold {
            self.report(&leg, "hold", at - 300 * MILLI);
        }
        if !consults {
            if profile.reports_transfer {
                self.report(&leg, "blind_transfer", at);
            }
            let gone = at + self.between(50 * MILLI, 500 * MILLI);
            self.report(&leg, "hangup", gone);
            return gone;
        }

        let consult = self.leg(leg.phone, Some("700"), leg.call);
        self.report(&consult, "outgoing", at);
        let connected = at + self.between(50 * MILLI, 200 * MILLI);
        self.answers(&consult, connected);
        let decides = connected + self.between(2 * SECOND, 5 * SECOND);
        if profile.reports_transfer {
            self.report(&consult, "attended_transfer", decides - 50 * MILLI);
        }
        self.report(&consult, "hangup", decides);
        let gone = decides + self.between(20 * MILLI, 300 * MILLI);
        self.report(&leg, "hangup", gone);

        gone
    }

    fn takes_from_slot(
        &mut self,
        talking: &Talking,
        from: &str,
        slot: &str,
        gone: Micros,
        consults: bool,
    ) {
        let call = talking.leg.call;
        let dials = gone + self.between(5 * SECOND, 90 * SECOND);
        let own = std::slice::from_ref(&talking.extension);
        let Some((taker, takers)) = self.free_extension(dials, own) else {
            return;
        };
        let parked = self.calls[call].reading();

        let mut leg = self.leg(takers[0], Some(slot), call);
        self.report(&leg, "outgoing", dials);
        let answered = dials + self.between(60 * MILLI, 250 * MILLI);
        self.answers(&leg, answered);
        let follows = self.phones[leg.phone].profile.follows_party;
        if follows {
            leg.remote = Some(self.written(leg.phone, from));
        }
        let talk = self.between(10 * SECOND, 120 * SECOND);
        let ends = answered + talk;
        self.hangs_up(&leg, ends);

        let truth = &mut self.calls[call];
        truth.to.insert(taker.clone());
        truth.transfer = Some(TrueTransfer {
            kinds: ANY,
            state: "completed",
            to: taker.clone(),
        });
        // The display of the taker names the party: one conversation. Otherwise the reports do not
        // say who waited in the slot.
        if follows {
            return;
        }
        let mut dialled = TrueCall::new(parked.kind, "internal", &taker, dials);
        dialled.outcome = "answered";
        dialled.to.insert(slot.to_owned());
        dialled.answered = Some(answered);
        dialled.ended = ends;
        for direction in ["internal", "outbound"] {
            dialled.direction = direction;
            for first in parked_readings(&parked, consults) {
                let reading = vec![first, dialled.clone()];
                self.calls[call].readings.push(reading);
            }
        }
    }

    /// The slot times out: the PBX rings the parker. His reports are also those of a caller who
    /// calls again.
    fn given_back(&mut self, talking: &Talking, from: &str, gone: Micros, consults: bool) {
        let call = talking.leg.call;
        let parked = self.calls[call].reading();
        let rings = gone + self.between(30 * SECOND, 90 * SECOND);
        let leg = self.leg(talking.leg.phone, Some(from), call);
        self.report(&leg, "incoming", rings);

        let mut again = TrueCall::new(parked.kind, "inbound", from, rings);
        again.to.insert(talking.extension.clone());
        if self.chance(70) {
            let answered = rings + self.between(2 * SECOND, 10 * SECOND);
            self.answers(&leg, answered);
            let talk = self.between(10 * SECOND, 90 * SECOND);
            self.hangs_up(&leg, answered + talk);
            again.answer(&talking.extension, answered);
        } else {
            let ends = rings + self.between(10 * SECOND, 30 * SECOND);
            self.rings_out(&leg, ends);
            self.calls[call].ended = ends;
            again.missed.insert(talking.extension.clone());
        }
        again.ended = self.calls[call].ended;

        let whole = parked_readings(&self.calls[call].reading(), consults);
        let mut readings: Vec<Vec<TrueCall>> = whole.into_iter().map(|one| vec![one]).collect();
        for first in parked_readings(&parked, consults) {
            readings.push(vec![first, again.clone()]);
        }
        self.calls[call].readings = readings;
    }
}

/// The conversation until the party was parked: a plain one, or one with a transfer of which the
/// reports name no target, or the park extension.
fn parked_readings(parked: &TrueCall, consults: bool) -> Vec<TrueCall> {
    let with = |state: &'static str, to: &str| {
        let mut reading = parked.reading();
        reading.transfer = Some(TrueTransfer {
            kinds: ANY,
            state,
            to: to.to_owned(),
        });
        reading.to.insert(to.to_owned());
        reading
    };
    let target = if consults { "700" } else { "" };

    let states = ["completed", "initiated", "cancelled", "failed"];
    let mut readings: Vec<TrueCall> = states.map(|state| with(state, target)).into();
    readings.push(parked.reading());
    readings
}
