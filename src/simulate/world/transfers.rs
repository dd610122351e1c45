//! Scenes with transfers.

use super::site::Site;
use super::truth::TrueTransfer;
use super::{MILLI, Micros, SECOND};

pub(super) const BLIND: &[&str] = &["blind"];
const ATTENDED: &[&str] = &["attended"];

impl Site {
    /// A phone hands its party over without a word. The target takes it, or it comes back.
    pub(super) fn blind_transfer(&mut self, at: Micros) {
        let Some((first, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((target, targets)) = self.free_extension(at, std::slice::from_ref(&first)) else {
            return;
        };
        let from = self.customer();
        let call = self.begin("blind transfer", "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        let answered = at + self.between(2 * SECOND, 8 * SECOND);
        self.answered_by(&ringing, 0, answered);
        let leg = ringing[0].clone();

        let hands_over = answered + self.between(8 * SECOND, 60 * SECOND);
        if self.phones[leg.phone].profile.reports_transfer {
            self.report(&leg, "blind_transfer", hands_over);
        }
        let shown = if self.chance(70) { from } else { first.clone() };
        let gone = hands_over + self.between(50 * MILLI, 500 * MILLI);
        self.report(&leg, "hangup", gone);
        let rings = self.ring_target(&targets, &shown, call, hands_over);

        if self.chance(75) {
            let takes = hands_over + self.between(2 * SECOND, 12 * SECOND);
            self.target_takes(&rings, takes);
            self.calls[call].transfer = Some(TrueTransfer {
                kinds: BLIND,
                state: "completed",
                to: target.clone(),
            });
            self.calls[call].to.insert(target);
            let talk = self.between(10 * SECOND, 120 * SECOND);
            let leg = rings[0].clone();
            self.hangs_up(&leg, takes + talk);
        } else {
            let gives_up = hands_over + self.between(10 * SECOND, 20 * SECOND);
            for leg in &rings {
                self.rings_out(leg, gives_up);
            }
            self.calls[call].transfer = Some(TrueTransfer {
                kinds: BLIND,
                state: "failed",
                to: target,
            });
            self.calls[call].ended = gives_up;
        }
    }

    /// Rings at the target do not make the call missed there.
    pub(super) fn ring_target(
        &mut self,
        targets: &[usize],
        shown: &str,
        call: usize,
        at: Micros,
    ) -> super::scene::Ringing {
        let missed = self.calls[call].missed.clone();
        let rings = self.ring(targets, Some(shown), call, at);
        self.calls[call].missed = missed;

        rings
    }

    pub(super) fn target_takes(&mut self, rings: &super::scene::Ringing, at: Micros) {
        let leg = rings[0].clone();
        self.answers(&leg, at);
        for other in &rings[1..] {
            self.loses(other, at);
        }
    }

    /// A phone consults a colleague while its party waits, and hands it over or takes it back.
    pub(super) fn attended_transfer(&mut self, at: Micros) {
        let Some((first, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((target, targets)) = self.free_extension(at, std::slice::from_ref(&first)) else {
            return;
        };
        let from = self.customer();
        let call = self.begin("attended transfer", "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        let answered = at + self.between(2 * SECOND, 8 * SECOND);
        self.answered_by(&ringing, 0, answered);
        let leg = ringing[0].clone();

        let consults = answered + self.between(8 * SECOND, 60 * SECOND);
        if self.phones[leg.phone].profile.reports_hold {
            self.report(&leg, "hold", consults - 300 * MILLI);
        }
        let consult = self.leg(leg.phone, Some(&target), call);
        self.report(&consult, "outgoing", consults);
        let rings = self.ring_target(&targets, &first, call, consults);

        if !self.chance(80) {
            let ends = consults + self.between(8 * SECOND, 20 * SECOND);
            for other in &rings {
                self.rings_out(other, ends);
            }
            self.report(&consult, "hangup", ends + 40 * MILLI);
            self.takes_back(&leg, &target, ends);
            return;
        }
        let takes = consults + self.between(2 * SECOND, 10 * SECOND);
        self.target_takes(&rings, takes);
        let connected = takes + self.between(20 * MILLI, 90 * MILLI);
        self.answers(&consult, connected);
        let decides = takes + self.between(4 * SECOND, 20 * SECOND);
        let mut other = rings[0].clone();

        if self.chance(30) {
            self.report(&consult, "hangup", decides);
            self.report(&other, "hangup", decides + 60 * MILLI);
            self.takes_back(&leg, &target, decides);
            return;
        }
        let second = decides + self.between(20 * MILLI, 300 * MILLI);
        self.report(&consult, "hangup", decides);
        self.report(&leg, "hangup", second);
        self.calls[call].transfer = Some(TrueTransfer {
            kinds: ATTENDED,
            state: "completed",
            to: target.clone(),
        });
        self.calls[call].to.insert(target);
        if self.phones[other.phone].profile.follows_party {
            other.remote = Some(self.written(other.phone, &from));
        }
        let talk = self.between(10 * SECOND, 120 * SECOND);
        self.hangs_up(&other, second + talk);
    }

    /// The waiting party is taken back, and the conversation goes on.
    pub(super) fn takes_back(&mut self, leg: &super::site::PhoneLeg, target: &str, at: Micros) {
        if self.phones[leg.phone].profile.reports_hold {
            self.report(leg, "unhold", at + SECOND);
        }
        self.calls[leg.call].transfer = Some(TrueTransfer {
            kinds: ATTENDED,
            state: "cancelled",
            to: target.to_owned(),
        });
        let talk = self.between(5 * SECOND, 60 * SECOND);
        self.hangs_up(leg, at + SECOND + talk);
    }

    /// The caller of an internal call hands the called colleague over to a third.
    pub(super) fn internal_blind_transfer(&mut self, at: Micros) {
        let Some((first, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((party, phones)) = self.free_extension(at, std::slice::from_ref(&first)) else {
            return;
        };
        let others = [first.clone(), party.clone()];
        let Some((target, targets)) = self.free_extension(at, &others) else {
            return;
        };
        let call = self.begin("internal blind transfer", "internal", &first, at);
        let caller = self.leg(callers[0], Some(&party), call);
        self.report(&caller, "outgoing", at);
        let ringing = self.ring(&phones, Some(&first), call, at);
        let answered = at + self.between(2 * SECOND, 8 * SECOND);
        self.answered_by(&ringing, 0, answered);
        let connected = answered + self.between(20 * MILLI, 90 * MILLI);
        self.answers(&caller, connected);

        let hands_over = answered + self.between(8 * SECOND, 60 * SECOND);
        if self.phones[caller.phone].profile.reports_transfer {
            self.report(&caller, "blind_transfer", hands_over);
        }
        let rings = self.ring_target(&targets, &first, call, hands_over);
        let gone = hands_over + self.between(50 * MILLI, 400 * MILLI);
        self.report(&caller, "hangup", gone);
        let takes = hands_over + self.between(2 * SECOND, 12 * SECOND);
        self.target_takes(&rings, takes);
        self.calls[call].transfer = Some(TrueTransfer {
            kinds: BLIND,
            state: "completed",
            to: target.clone(),
        });
        self.calls[call].to.insert(target);

        let talk = self.between(10 * SECOND, 120 * SECOND);
        let (one, other) = (ringing[0].clone(), rings[0].clone());
        self.both_hang_up(&one, &other, takes + talk);
    }

    /// A phone that called a customer hands him over without a word.
    pub(super) fn outbound_blind_transfer(&mut self, at: Micros) {
        let Some(talking) = self.answered_outbound("outbound blind transfer", at) else {
            return;
        };
        let own = std::slice::from_ref(&talking.extension);
        let hands_over = talking.answered + self.between(8 * SECOND, 60 * SECOND);
        let leg = talking.leg;
        let Some((target, targets)) = self.free_extension(at, own) else {
            self.hangs_up(&leg, hands_over);
            return;
        };
        if self.phones[leg.phone].profile.reports_transfer {
            self.report(&leg, "blind_transfer", hands_over);
        }
        let customer = self.calls[leg.call].to.first().cloned();
        let shown = customer.filter(|_| self.chance(70));
        let shown = shown.unwrap_or_else(|| talking.extension.clone());
        let rings = self.ring_target(&targets, &shown, leg.call, hands_over);
        let gone = hands_over + self.between(50 * MILLI, 500 * MILLI);
        self.report(&leg, "hangup", gone);

        let takes = hands_over + self.between(2 * SECOND, 12 * SECOND);
        self.target_takes(&rings, takes);
        let truth = &mut self.calls[leg.call];
        truth.transfer = Some(TrueTransfer {
            kinds: BLIND,
            state: "completed",
            to: target.clone(),
        });
        truth.to.insert(target);
        let talk = self.between(10 * SECOND, 120 * SECOND);
        let taken = rings[0].clone();
        self.hangs_up(&taken, takes + talk);
    }
}
