//! Calls that coincide: of one number, of withheld numbers, or at one extension with a pickup.

use super::phone::Loser;
use super::site::{PhoneLeg, Site};
use super::truth::{TrueCall, TrueTransfer};
use super::{MILLI, Micros, SECOND};

/// A phone that rings longer than this after another one answered rang for another call.
const LOSER_MAX: Micros = 2 * SECOND;

/// One of two calls at a time.
struct Single {
    call: usize,
    extension: String,
    ends_ring: Micros,
}

impl Site {
    /// The switchboard of a company shows one number for two of its people.
    pub(super) fn one_number_twice(&mut self, at: Micros) {
        let from = self.customer();
        self.two_calls("one number twice", Some(&from), at);
    }

    /// Two callers withhold their numbers at one time.
    pub(super) fn two_withheld(&mut self, at: Micros) {
        self.two_calls("two withheld", None, at);
    }

    fn two_calls(&mut self, kind: &'static str, from: Option<&str>, at: Micros) {
        let Some((first, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((second, others)) = self.free_extension(at, std::slice::from_ref(&first)) else {
            return;
        };
        let later = at + self.between(3 * SECOND, 12 * SECOND);
        let one = self.single(kind, from, (first, phones), at);
        let other = self.single(kind, from, (second, others), later);
        self.read_as_one(&one, &other);
    }

    /// A call to one extension that is answered, or not.
    fn single(
        &mut self,
        kind: &'static str,
        from: Option<&str>,
        (extension, phones): (String, Vec<usize>),
        at: Micros,
    ) -> Single {
        let call = self.begin(kind, "inbound", from.unwrap_or(""), at);
        let ringing = self.ring(&phones, from, call, at);
        if self.chance(70) {
            let winner = self.pick(ringing.len());
            let answered = at + self.between(2 * SECOND, 15 * SECOND);
            self.answered_by(&ringing, winner, answered);
            let leg = ringing[winner].clone();
            let talk = self.between(20 * SECOND, 120 * SECOND);
            self.hangs_up(&leg, answered + talk);
        } else {
            let rings = self.between(12 * SECOND, 30 * SECOND);
            self.rings_in_vain(&ringing, at + rings);
        }
        let truth = &self.calls[call];

        Single {
            call,
            extension,
            ends_ring: truth.answered.unwrap_or(truth.ended),
        }
    }

    /// An unanswered one of the two calls may also be a part of the other: a ring of the same
    /// group, a forward, or a transfer in vain.
    fn read_as_one(&mut self, one: &Single, other: &Single) {
        let first = self.calls[one.call].reading();
        let second = self.calls[other.call].reading();
        let mut joined = first.clone();
        joined.to.extend(second.to.iter().cloned());

        match (first.answered, second.answered) {
            (Some(_), Some(_)) => return,
            (None, None) => {
                joined.missed.extend(second.missed.iter().cloned());
                joined.ended = first.ended.max(second.ended);
            }
            (None, Some(answered)) => {
                let rang_on = one.ends_ring > answered + LOSER_MAX;
                if rang_on {
                    return;
                }
                joined.answer(&other.extension, answered);
                joined.to.insert(one.extension.clone());
                joined.ended = second.ended;
            }
            (Some(answered), None) => {
                let rang_before = second.started < answered;
                if rang_before && other.ends_ring > answered + LOSER_MAX {
                    return;
                }
                joined.ended = first.ended.max(second.ended);
                if !rang_before {
                    joined.transfer = Some(TrueTransfer {
                        kinds: super::transfers::BLIND,
                        state: "failed",
                        to: other.extension.clone(),
                    });
                }
            }
        }
        self.read_pair_as(one.call, other.call, joined);
    }

    /// The reports of two calls also are those of a single one.
    fn read_pair_as(&mut self, one: usize, other: usize, joined: TrueCall) {
        self.calls[one].readings = vec![vec![joined]];
        self.calls[other].joined_with = Some(one);
    }

    /// Two calls ring at one extension, and a colleague picks up one of them.
    pub(super) fn pickup_of_two(&mut self, at: Micros) {
        let kind = "pickup of two";
        let Some((to, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((taker, takers)) = self.free_extension(at, std::slice::from_ref(&to)) else {
            return;
        };
        let (first, second) = (self.customer(), self.customer());
        if first == second || phones.len() > 1 {
            return;
        }
        let one = self.begin(kind, "inbound", &first, at);
        let ringing = self.ring(&phones, Some(&first), one, at);
        let later = at + self.between(2 * SECOND, 6 * SECOND);
        let other = self.begin(kind, "inbound", &second, later);
        let waiting = self.ring(&phones, Some(&second), other, later);

        let (taken, left) = if self.chance(60) {
            (&ringing[0], &waiting)
        } else {
            (&waiting[0], &ringing)
        };

        let picks = later + self.between(2 * SECOND, 6 * SECOND);
        let code = if self.chance(70) {
            format!("**{to}")
        } else {
            "*8".to_owned()
        };
        let leg = self.leg(takers[0], Some(&code), taken.call);
        self.report(&leg, "outgoing", picks);
        let answered = picks + self.between(80 * MILLI, 300 * MILLI);
        self.answers(&leg, answered);
        self.calls[taken.call].answer(&taker, answered);
        self.loses_while_busy(taken, answered);
        let talk = self.between(10 * SECOND, 120 * SECOND);
        self.hangs_up(&leg, answered + talk);

        if self.chance(60) {
            let lifts = answered + self.between(2 * SECOND, 8 * SECOND);
            self.answered_by(left, 0, lifts);
            let talk = self.between(10 * SECOND, 120 * SECOND);
            self.hangs_up(&left[0], lifts + talk);
        } else {
            let ends = answered + self.between(4 * SECOND, 20 * SECOND);
            self.rings_in_vain(left, ends);
        }
    }

    /// Another phone took a call of a phone that has one more: it is not idle.
    fn loses_while_busy(&mut self, leg: &PhoneLeg, at: Micros) {
        if !matches!(self.phones[leg.phone].profile.loser, Loser::Idle) {
            self.loses(leg, at);
        }
    }
}
