//! Semi-attended transfers: the transferor leaves while the target still rings.

use super::scene::Ringing;
use super::site::Site;
use super::truth::TrueTransfer;
use super::waiting::Talking;
use super::{MILLI, Micros, SECOND};

const SEMI_ATTENDED: &[&str] = &["semi_attended"];

impl Site {
    /// The target takes the call, refuses it, or lets it ring; the PBX then rings the transferor
    /// again or drops the party.
    pub(super) fn semi_attended_transfer(&mut self, at: Micros) {
        let kind = match self.pick(20) {
            0..=10 => "semi-attended, taken",
            11..=14 => "semi-attended, refused",
            _ => "semi-attended, timed out",
        };
        let from = self.customer();
        let Some(talking) = self.answered_caller(kind, Some(&from), at) else {
            return;
        };
        let leg = talking.leg.clone();
        let call = leg.call;
        let consults = talking.answered + self.between(8 * SECOND, 60 * SECOND);
        let own = std::slice::from_ref(&talking.extension);
        let Some((target, targets)) = self.free_extension(at, own) else {
            self.hangs_up(&leg, consults);
            return;
        };

        let profile = self.phones[leg.phone].profile;
        if profile.reports_hold {
            self.report(&leg, "hold", consults - 300 * MILLI);
        }
        let consult = self.leg(leg.phone, Some(&target), call);
        self.report(&consult, "outgoing", consults);
        let rings = self.ring_target(&targets, &talking.extension, call, consults);
        let leaves = consults + self.between(1_500 * MILLI, 6 * SECOND);
        if profile.reports_transfer {
            self.report(&consult, "attended_transfer", leaves - 50 * MILLI);
        }
        self.report(&consult, "hangup", leaves);
        let gone = leaves + self.between(20 * MILLI, 300 * MILLI);
        self.report(&leg, "hangup", gone);

        let is_taken = kind == "semi-attended, taken";
        self.calls[call].transfer = Some(TrueTransfer {
            kinds: SEMI_ATTENDED,
            state: if is_taken { "completed" } else { "failed" },
            to: target.clone(),
        });
        if is_taken {
            self.calls[call].to.insert(target);
            self.target_talks(&rings, &from, gone);
        } else {
            self.target_fails(&talking, &rings, &from, gone);
        }
    }

    fn target_talks(&mut self, rings: &Ringing, from: &str, gone: Micros) {
        let takes = gone + self.between(SECOND, 12 * SECOND);
        self.target_takes(rings, takes);
        let mut leg = rings[0].clone();
        if self.phones[leg.phone].profile.follows_party {
            leg.remote = Some(self.written(leg.phone, from));
        }
        let talk = self.between(10 * SECOND, 120 * SECOND);
        self.hangs_up(&leg, takes + talk);
    }

    fn target_fails(&mut self, talking: &Talking, rings: &Ringing, from: &str, gone: Micros) {
        let call = talking.leg.call;
        let is_refused = self.calls[call].kind == "semi-attended, refused" && rings.len() == 1;
        let fails = if is_refused {
            gone + self.between(SECOND, 8 * SECOND)
        } else {
            gone + self.between(12 * SECOND, 25 * SECOND)
        };
        for leg in rings {
            if is_refused {
                self.refuses(leg, fails);
            } else {
                self.rings_out(leg, fails);
            }
        }
        self.calls[call].ended = fails;
        if self.chance(25) {
            return;
        }

        let recall = self.leg(talking.leg.phone, Some(from), call);
        let rings = fails + self.between(200 * MILLI, 3 * SECOND);
        self.report(&recall, "incoming", rings);
        if self.chance(75) {
            let answered = rings + self.between(2 * SECOND, 8 * SECOND);
            self.answers(&recall, answered);
            let talk = self.between(10 * SECOND, 60 * SECOND);
            self.hangs_up(&recall, answered + talk);
        } else {
            let ends = rings + self.between(10 * SECOND, 25 * SECOND);
            self.rings_out(&recall, ends);
            self.calls[call].ended = ends;
        }
    }
}
