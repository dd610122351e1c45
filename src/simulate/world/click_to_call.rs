//! Click-to-call: the PBX calls the caller's own phone first, and then the called party.

use super::site::Site;
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};

impl Site {
    /// A call that begins in a program. The phone of the caller rings first and shows the called
    /// number, or its own.
    pub(super) fn click_to_call(&mut self, at: Micros) {
        if self.chance(25) {
            self.click_to_customer(at);
            return;
        }
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((to, phones)) = self.free_extension(at, std::slice::from_ref(&from)) else {
            return;
        };
        let call = self.begin("click-to-call", "internal", &from, at);
        let shown = if self.chance(30) { &from } else { &to };
        let caller = self.leg(callers[0], Some(shown), call);
        let first = at + self.between(40 * MILLI, 350 * MILLI);
        self.report(&caller, "incoming", first);
        self.calls[call].started = first;
        self.calls[call].to.insert(to.clone());

        if self.chance(12) {
            let ends = at + self.between(10 * SECOND, 30 * SECOND);
            self.rings_out(&caller, ends);
            self.calls[call].ended = ends;
            self.read_as_call_to_caller(call, &from, &to);
            return;
        }
        let lifts = at + self.between(SECOND, 8 * SECOND);
        self.answers(&caller, lifts);
        let rings = lifts + self.between(50 * MILLI, 400 * MILLI);
        let ringing = self.ring(&phones, Some(&from), call, rings);
        if self.chance(25) {
            let ends = rings + self.between(5 * SECOND, 30 * SECOND);
            self.rings_in_vain(&ringing, ends);
            let gives_up = ends + self.between(10 * MILLI, 80 * MILLI);
            self.hangs_up(&caller, gives_up);
            return;
        }
        let winner = self.pick(ringing.len());
        let answered = rings + self.between(2 * SECOND, 20 * SECOND);
        self.answered_by(&ringing, winner, answered);
        let talk = self.between(5 * SECOND, 120 * SECOND);
        let callee = ringing[winner].clone();
        self.both_hang_up(&caller, &callee, answered + talk);
    }

    /// A ring of the caller's phone in vain also is the ring of a colleague whose device reports
    /// nothing: the reports name no caller.
    fn read_as_call_to_caller(&mut self, call: usize, from: &str, to: &str) {
        let truth = self.calls[call].reading();
        let mut readings = Vec::new();
        for party in [from, to, ""] {
            for missed in [Some(from), Some(to), None] {
                let mut reading = truth.clone();
                party.clone_into(&mut reading.from);
                reading.to.insert(from.to_owned());
                reading.missed.extend(missed.map(str::to_owned));
                readings.push(vec![reading.clone()]);
                // A phone that shows a number of its own names no caller of the site.
                reading.direction = "inbound";
                readings.push(vec![reading]);
            }
        }
        self.calls[call].readings = readings;
    }

    /// The called party is outside: its leg is one of the PBX alone, and the reports are those of
    /// a call of this party.
    fn click_to_customer(&mut self, at: Micros) {
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let to = self.customer();
        let call = self.begin("click-to-call outside", "outbound", &from, at);
        let leg = self.leg(callers[0], Some(&to), call);
        let first = at + self.between(40 * MILLI, 350 * MILLI);
        self.report(&leg, "incoming", first);
        let truth = &mut self.calls[call];
        truth.started = first;
        truth.outcome = "no_answer";
        truth.to.insert(to.clone());

        let mut inbound = TrueCall::new("click-to-call outside", "inbound", &to, first);
        if self.chance(12) {
            let ends = at + self.between(10 * SECOND, 30 * SECOND);
            self.rings_out(&leg, ends);
            self.calls[call].ended = ends;
            inbound.missed.insert(from.clone());
        } else {
            let lifts = at + self.between(SECOND, 8 * SECOND);
            self.answers(&leg, lifts);
            inbound.answer(&from, lifts);
            let answered = lifts + self.between(3 * SECOND, 20 * SECOND);
            let talk = self.between(5 * SECOND, 120 * SECOND);
            if self.chance(70) {
                self.calls[call].outcome = "answered";
                self.calls[call].answered = Some(answered);
                self.hangs_up(&leg, answered + talk);
            } else {
                self.hangs_up(&leg, answered);
            }
        }
        inbound.to.insert(from);
        inbound.ended = self.calls[call].ended;
        self.calls[call].readings = vec![vec![inbound]];
    }
}
