//! Scenes: the kinds of calls of a day, without transfers.

use super::site::{PhoneLeg, Site};
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};

/// Legs that ring for one caller.
pub(super) type Ringing = Vec<PhoneLeg>;

impl Site {
    /// Plays a call of a random kind that begins at this instant.
    pub(super) fn play_scene(&mut self, at: Micros) {
        match self.dice.roll(1_000) {
            0..=159 => self.inbound_direct(at),
            160..=354 => self.inbound_group(at),
            355..=394 => self.inbound_hunt(at),
            395..=499 => self.outbound(at),
            500..=599 => self.internal(at),
            600..=639 => self.internal_group(at),
            640..=674 => self.blind_transfer(at),
            675..=724 => self.attended_transfer(at),
            725..=744 => self.pickup(at),
            745..=769 => self.internal_blind_transfer(at),
            770..=794 => self.repeated(at),
            _ => self.play_rare_scene(at),
        }
    }

    fn play_rare_scene(&mut self, at: Micros) {
        match self.dice.roll(215) {
            0..=34 => self.call_waiting(at),
            35..=54 => self.parked(at),
            55..=79 => self.click_to_call(at),
            80..=94 => self.refused_by_member(at),
            95..=104 => self.busy_colleague(at),
            105..=134 => self.forwarded(at),
            135..=154 => self.semi_attended_transfer(at),
            155..=169 => self.queue_from_outside(at),
            170..=174 => self.queue_from_inside(at),
            175..=184 => self.overflow(at),
            185..=190 => self.two_accounts(at),
            191..=196 => self.one_number_twice(at),
            197..=199 => self.two_withheld(at),
            200..=204 => self.pickup_of_two(at),
            _ => self.outbound_blind_transfer(at),
        }
    }

    /// The caller of a call from outside: digits, or nothing where the number is withheld.
    pub(super) fn caller(&mut self) -> Option<String> {
        (!self.chance(3)).then(|| self.customer())
    }

    pub(super) fn begin(
        &mut self,
        kind: &'static str,
        direction: &'static str,
        from: &str,
        at: Micros,
    ) -> usize {
        self.calls.push(TrueCall::new(kind, direction, from, at));

        self.calls.len() - 1
    }

    /// Lets phones ring for a caller, each a moment later.
    pub(super) fn ring(
        &mut self,
        phones: &[usize],
        remote: Option<&str>,
        call: usize,
        at: Micros,
    ) -> Ringing {
        let mut ringing = Vec::new();
        let mut first = Micros::MAX;
        for phone in phones {
            let leg = self.leg(*phone, remote, call);
            let rings = at + self.between(40 * MILLI, 350 * MILLI);
            first = first.min(rings);
            self.report(&leg, "incoming", rings);
            ringing.push(leg);
        }

        let call = &mut self.calls[call];
        if call.direction == "inbound" && call.answered.is_none() && call.missed.is_empty() {
            // Nothing tells of a call before its first ring.
            call.started = first;
        }
        for leg in &ringing {
            let extension = self.phones[leg.phone].extension.clone();
            self.calls[leg.call].missed.insert(extension);
        }

        ringing
    }

    /// One of the phones answers, the others fall silent.
    pub(super) fn answered_by(&mut self, ringing: &Ringing, winner: usize, at: Micros) {
        let leg = ringing[winner].clone();
        self.answers(&leg, at);
        let extension = self.phones[leg.phone].extension.clone();
        self.calls[leg.call].answer(&extension, at);

        for (place, other) in ringing.iter().enumerate() {
            if place != winner {
                self.loses(other, at);
            }
        }
    }

    /// The conversation of a single phone with an outside party ends.
    pub(super) fn hangs_up(&mut self, leg: &PhoneLeg, at: Micros) {
        self.report(leg, "hangup", at);
        self.calls[leg.call].ended = at;
    }

    pub(super) fn rings_in_vain(&mut self, ringing: &Ringing, at: Micros) {
        for leg in ringing {
            let ends = at + self.between(10 * MILLI, 200 * MILLI);
            self.rings_out(leg, ends);
            let call = &mut self.calls[leg.call];
            call.ended = call.ended.max(ends);
            call.to.insert(self.phones[leg.phone].extension.clone());
        }
    }

    fn inbound_direct(&mut self, at: Micros) {
        let Some((_, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let from = self.caller();
        let call = self.begin("direct", "inbound", from.as_deref().unwrap_or(""), at);
        let ringing = self.ring(&phones, from.as_deref(), call, at);

        if self.chance(70) {
            self.talk(&ringing, at);
        } else {
            let rings = self.between(5 * SECOND, 40 * SECOND);
            self.rings_in_vain(&ringing, at + rings);
        }
    }

    /// One phone answers after a while, may hold its party, and hangs up.
    pub(super) fn talk(&mut self, ringing: &Ringing, at: Micros) {
        let winner = self.pick(ringing.len());
        let answered = at + self.between(SECOND, 20 * SECOND);
        self.answered_by(ringing, winner, answered);

        let leg = ringing[winner].clone();
        let talk = self.between(5 * SECOND, 240 * SECOND);
        if self.phones[leg.phone].profile.reports_hold && self.chance(20) {
            self.report(&leg, "hold", answered + talk / 3);
            self.report(&leg, "unhold", answered + talk / 2);
        }
        self.hangs_up(&leg, answered + talk);
    }

    /// The free phones of a group.
    pub(super) fn free_members(&mut self, group: usize, at: Micros) -> Vec<usize> {
        let members = self.groups[group].1.clone();
        let phones = members
            .into_iter()
            .flat_map(|member| self.extensions[member].1.clone());

        phones
            .filter(|phone| self.phones[*phone].free_from <= at)
            .collect()
    }

    pub(super) fn inbound_group(&mut self, at: Micros) {
        let group = self.pick(self.groups.len());
        let phones = self.free_members(group, at);
        if phones.is_empty() {
            return;
        }
        let from = self.caller();
        let call = self.begin("group", "inbound", from.as_deref().unwrap_or(""), at);

        let rounds = 1 + self.pick(3);
        let mut now = at;
        for round in 1..=rounds {
            let ringing = self.ring(&phones, from.as_deref(), call, now);
            if self.chance(65) {
                self.talk(&ringing, now);
                return;
            }
            let rings = self.between(8 * SECOND, 15 * SECOND);
            self.rings_in_vain(&ringing, now + rings);
            if round < rounds {
                now += rings + self.between(300 * MILLI, 4_500 * MILLI);
            }
        }
    }

    /// One phone of a group after the other.
    fn inbound_hunt(&mut self, at: Micros) {
        let group = self.pick(self.groups.len());
        let phones = self.free_members(group, at);
        if phones.is_empty() {
            return;
        }
        let Some(from) = self.caller() else { return };
        let call = self.begin("hunt", "inbound", &from, at);

        let mut now = at;
        for phone in phones {
            let ringing = self.ring(&[phone], Some(&from), call, now);
            if self.chance(30) {
                self.talk(&ringing, now);
                return;
            }
            let rings = self.between(6 * SECOND, 12 * SECOND);
            self.rings_in_vain(&ringing, now + rings);
            now += rings + self.between(200 * MILLI, 3 * SECOND);
        }
    }

    fn outbound(&mut self, at: Micros) {
        let Some((extension, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let to = self.customer();
        let call = self.begin("outbound", "outbound", &extension, at);
        let leg = self.leg(phones[0], Some(&to), call);
        self.report(&leg, "outgoing", at);
        self.calls[call].to.insert(to);
        self.calls[call].outcome = "no_answer";

        let rings = self.between(2 * SECOND, 25 * SECOND);
        if self.chance(70) {
            self.answers(&leg, at + rings);
            self.calls[call].outcome = "answered";
            self.calls[call].answered = Some(at + rings);
            let talk = self.between(5 * SECOND, 240 * SECOND);
            self.may_hold(&leg, at + rings, talk);
            self.hangs_up(&leg, at + rings + talk);
        } else {
            self.hangs_up(&leg, at + rings);
        }
    }

    fn internal(&mut self, at: Micros) {
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((to, phones)) = self.free_extension(at, std::slice::from_ref(&from)) else {
            return;
        };
        let call = self.begin("internal", "internal", &from, at);
        let caller = self.leg(callers[0], Some(&to), call);
        self.report(&caller, "outgoing", at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        self.calls[call].to.insert(to);

        self.finish_internal(&caller, &ringing, at);
    }

    /// A caller of the site, and phones that ring for him: they talk, or he gives up.
    pub(super) fn finish_internal(&mut self, caller: &PhoneLeg, ringing: &Ringing, at: Micros) {
        let rings = self.between(2 * SECOND, 25 * SECOND);
        if !self.chance(75) {
            self.rings_in_vain(ringing, at + rings);
            let ends = at + rings + self.between(10 * MILLI, 80 * MILLI);
            self.hangs_up(caller, ends);
            return;
        }

        let winner = self.pick(ringing.len());
        self.answered_by(ringing, winner, at + rings);
        if !self.is_connected(caller) {
            let connected = at + rings + self.between(20 * MILLI, 90 * MILLI);
            self.answers(caller, connected);
        }
        let talk = self.between(5 * SECOND, 180 * SECOND);
        let callee = ringing[winner].clone();
        let holder = if self.chance(50) { caller } else { &callee };
        self.may_hold(holder, at + rings, talk);
        self.both_hang_up(caller, &callee, at + rings + talk);
    }

    /// A side of a conversation may let the other one wait, and not always take it back.
    fn may_hold(&mut self, leg: &PhoneLeg, answered: Micros, talk: Micros) {
        if !self.chance(15) {
            return;
        }
        let kind = &mut self.calls[leg.call].kind;
        *kind = match *kind {
            "outbound" => "outbound, held",
            "internal" => "internal, held",
            other => other,
        };

        if self.chance(80) {
            self.holds(leg, answered + talk / 3, answered + talk / 2);
        } else if self.phones[leg.phone].profile.reports_hold {
            self.report(leg, "hold", answered + talk / 3);
        }
    }

    fn is_connected(&self, leg: &PhoneLeg) -> bool {
        let phone = &self.phones[leg.phone];

        self.reports.iter().rev().take(200).any(|report| {
            report.mac == phone.mac
                && report.event == "answered"
                && report.remote == leg.remote
                && report.at + 60 * SECOND > phone.free_from
        })
    }

    /// The two sides of a conversation end with each other.
    pub(super) fn both_hang_up(&mut self, one: &PhoneLeg, other: &PhoneLeg, at: Micros) {
        let (first, second) = if self.chance(50) {
            (one, other)
        } else {
            (other, one)
        };
        let later = at + self.between(15 * MILLI, 150 * MILLI);

        self.hangs_up(first, at);
        self.hangs_up(second, later);
    }

    /// A colleague dials a group or a queue, which may connect him at once.
    fn internal_group(&mut self, at: Micros) {
        let group = self.pick(self.groups.len());
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let mut phones = self.free_members(group, at);
        let caller_device = self.phones[callers[0]].mac.clone();
        phones.retain(|phone| {
            let phone = &self.phones[*phone];
            phone.extension != from && phone.mac != caller_device
        });
        if phones.is_empty() {
            return;
        }
        let number = self.groups[group].0.clone();
        let call = self.begin("internal group", "internal", &from, at);
        let caller = self.leg(callers[0], Some(&number), call);
        self.report(&caller, "outgoing", at);

        let mut now = at;
        if number == "6500" {
            let connected = at + self.between(80 * MILLI, 250 * MILLI);
            self.answers(&caller, connected);
            now += self.between(SECOND, 10 * SECOND);
        }
        let ringing = self.ring(&phones, Some(&from), call, now);
        self.calls[call].to.insert(number);
        self.finish_internal(&caller, &ringing, now);
    }

    fn pickup(&mut self, at: Micros) {
        let Some((to, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((taker, takers)) = self.free_extension(at, std::slice::from_ref(&to)) else {
            return;
        };
        let Some(from) = self.caller() else { return };
        let call = self.begin("pickup", "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), call, at);

        let code = if self.chance(50) {
            format!("**{to}")
        } else {
            "*8".to_owned()
        };
        let picks = at + self.between(3 * SECOND, 10 * SECOND);
        let leg = self.leg(takers[0], Some(&code), call);
        self.report(&leg, "outgoing", picks);
        let answered = picks + self.between(80 * MILLI, 300 * MILLI);
        self.answers(&leg, answered);
        self.calls[call].answer(&taker, answered);
        for other in &ringing {
            self.loses(other, answered);
        }
        let talk = self.between(10 * SECOND, 120 * SECOND);
        self.hangs_up(&leg, answered + talk);
    }

    /// A caller who was missed, or talked, calls again a while later.
    fn repeated(&mut self, at: Micros) {
        let Some((to, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let from = self.customer();

        let first = self.begin("repeat", "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), first, at);
        let answered = self.chance(50);
        let ends = if answered {
            let talks = at + self.between(2 * SECOND, 10 * SECOND);
            self.answered_by(&ringing, 0, talks);
            let ends = talks + self.between(5 * SECOND, 60 * SECOND);
            let leg = ringing[0].clone();
            self.hangs_up(&leg, ends);
            ends
        } else {
            let ends = at + self.between(5 * SECOND, 20 * SECOND);
            self.rings_in_vain(&ringing, ends);
            ends
        };

        let pause = self.between(9 * SECOND, 90 * SECOND);
        let second = self.begin("repeat", "inbound", &from, ends + pause);
        let again = self.ring(&phones, Some(&from), second, ends + pause);
        if self.chance(60) {
            self.talk(&again, ends + pause);
        } else {
            let rings = self.between(5 * SECOND, 25 * SECOND);
            self.rings_in_vain(&again, ends + pause + rings);
        }
        let _ = to;
    }
}
