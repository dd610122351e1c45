//! Scenes in which a phone in a conversation is asked for another one: call waiting, and the
//! accounts of a device.

use super::scene::Ringing;
use super::site::{PhoneLeg, Site};
use super::{MILLI, Micros, SECOND};

/// A phone in a conversation.
pub(super) struct Talking {
    pub leg: PhoneLeg,
    pub extension: String,
    pub phones: Vec<usize>,
    pub answered: Micros,
}

/// The call that knocks at a phone in a conversation.
struct Waiting {
    ringing: Ringing,
    /// The leg of a colleague who calls; nothing for a caller from outside.
    caller: Option<PhoneLeg>,
    /// The place of the busy phone in `ringing`.
    busy: usize,
    began: Micros,
}

impl Site {
    /// A caller from outside who is answered by an extension.
    pub(super) fn answered_caller(
        &mut self,
        kind: &'static str,
        from: Option<&str>,
        at: Micros,
    ) -> Option<Talking> {
        let (extension, phones) = self.free_extension(at, &[])?;
        let call = self.begin(kind, "inbound", from.unwrap_or(""), at);
        let ringing = self.ring(&phones, from, call, at);
        let answered = at + self.between(2 * SECOND, 8 * SECOND);
        self.answered_by(&ringing, 0, answered);

        Some(Talking {
            leg: ringing[0].clone(),
            extension,
            phones,
            answered,
        })
    }

    /// A call to the outside that is answered.
    pub(super) fn answered_outbound(&mut self, kind: &'static str, at: Micros) -> Option<Talking> {
        let (extension, phones) = self.free_extension(at, &[])?;
        let to = self.customer();
        let call = self.begin(kind, "outbound", &extension, at);
        let leg = self.leg(phones[0], Some(&to), call);
        self.report(&leg, "outgoing", at);
        let answered = at + self.between(2 * SECOND, 20 * SECOND);
        self.answers(&leg, answered);
        let call = &mut self.calls[call];
        call.to.insert(to);
        call.outcome = "answered";
        call.answered = Some(answered);

        Some(Talking {
            leg,
            extension,
            phones,
            answered,
        })
    }

    /// A second call rings at the extension of a phone in a conversation.
    pub(super) fn call_waiting(&mut self, at: Micros) {
        let kind = match self.pick(20) {
            0..=5 => "waiting, taken with hold",
            6..=8 => "waiting, taken after",
            9..=13 => "waiting, ignored",
            14..=15 => "waiting, forwarded",
            _ => "waiting, refused",
        };
        let from = self.customer();
        let talking = if self.chance(75) {
            self.answered_caller(kind, Some(&from), at)
        } else {
            self.answered_outbound(kind, at)
        };
        let Some(talking) = talking else { return };

        let phones = talking.phones.clone();
        self.second_call(kind, &talking, &phones);
    }

    /// A device with two accounts talks on one of them, and rings on the other.
    pub(super) fn two_accounts(&mut self, at: Micros) {
        let kind = "two accounts";
        for _ in 0..10 {
            let place = self.pick(self.phones.len());
            let phone = &self.phones[place];
            let (Some(twin), true) = (phone.twin, phone.free_from <= at) else {
                continue;
            };
            let extension = phone.extension.clone();
            let from = self.customer();
            let call = self.begin(kind, "inbound", &from, at);
            let ringing = self.ring(&[place], Some(&from), call, at);
            let answered = at + self.between(2 * SECOND, 8 * SECOND);
            self.answered_by(&ringing, 0, answered);
            let talking = Talking {
                leg: ringing[0].clone(),
                extension,
                phones: vec![place],
                answered,
            };
            self.second_call(kind, &talking, &[twin]);
            return;
        }
    }

    fn second_call(&mut self, kind: &'static str, talking: &Talking, phones: &[usize]) {
        let began = talking.answered + self.between(5 * SECOND, 40 * SECOND);
        let Some(waiting) = self.knock(kind, talking, phones, began) else {
            let talk = self.between(5 * SECOND, 60 * SECOND);
            self.hangs_up(&talking.leg, began + talk);
            return;
        };
        let fate = match kind {
            "waiting, taken with hold" => 0,
            "waiting, taken after" => 1,
            "waiting, ignored" => 2,
            "waiting, refused" => 3,
            "waiting, forwarded" => 4,
            _ => self.pick(5),
        };
        match fate {
            0 => self.takes_with_hold(talking, &waiting),
            1 => self.takes_after(talking, &waiting),
            2 => self.ignores(talking, &waiting),
            4 => self.forwards_second(talking, &waiting),
            _ if waiting.ringing.len() > 1 => self.ignores(talking, &waiting),
            _ => self.refuses_second(talking, &waiting),
        }
    }

    /// The second call: of a customer, or of a colleague.
    fn knock(
        &mut self,
        kind: &'static str,
        talking: &Talking,
        phones: &[usize],
        at: Micros,
    ) -> Option<Waiting> {
        let mut caller = None;
        let (call, from) = if self.chance(70) {
            let from = self.customer();
            if talking.leg.remote == Some(self.written(talking.leg.phone, &from)) {
                return None;
            }
            (self.begin(kind, "inbound", &from, at), from)
        } else {
            let own = std::slice::from_ref(&talking.extension);
            let (from, callers) = self.free_extension(at, own)?;
            let call = self.begin(kind, "internal", &from, at);
            let called = self.phones[phones[0]].extension.clone();
            let leg = self.leg(callers[0], Some(&called), call);
            self.report(&leg, "outgoing", at);
            self.calls[call].to.insert(called);
            caller = Some(leg);
            (call, from)
        };
        let ringing = self.ring(phones, Some(&from), call, at);
        let device = &self.phones[talking.leg.phone].mac;
        let busy = ringing
            .iter()
            .position(|leg| self.phones[leg.phone].mac == *device)
            .unwrap_or(0);

        Some(Waiting {
            ringing,
            caller,
            busy,
            began: at,
        })
    }

    /// The busy phone answers the second call.
    fn takes_second(&mut self, waiting: &Waiting, at: Micros) {
        self.answered_by(&waiting.ringing, waiting.busy, at);
        if let Some(caller) = &waiting.caller {
            let connected = at + self.between(20 * MILLI, 90 * MILLI);
            self.answers(caller, connected);
        }
    }

    fn second_ends(&mut self, waiting: &Waiting, at: Micros) {
        let leg = waiting.ringing[waiting.busy].clone();
        match &waiting.caller {
            Some(caller) => self.both_hang_up(caller, &leg, at),
            None => self.hangs_up(&leg, at),
        }
    }

    /// The first party waits during the second conversation; it may lose patience.
    fn takes_with_hold(&mut self, talking: &Talking, waiting: &Waiting) {
        let takes = waiting.began + self.between(3 * SECOND, 12 * SECOND);
        let reports_hold = self.phones[talking.leg.phone].profile.reports_hold;
        if reports_hold {
            let holds = takes - self.between(50 * MILLI, 400 * MILLI);
            self.report(&talking.leg, "hold", holds);
        }
        self.takes_second(waiting, takes);

        let talk = self.between(15 * SECOND, 60 * SECOND);
        if self.chance(25) {
            self.hangs_up(&talking.leg, takes + talk / 2);
            self.second_ends(waiting, takes + talk);
            return;
        }
        if reports_hold && self.chance(30) {
            self.toggles(talking, waiting, takes, talk);
        }
        self.second_ends(waiting, takes + talk);
        let back = takes + talk + self.between(300 * MILLI, 2 * SECOND);
        if reports_hold {
            self.report(&talking.leg, "unhold", back);
        }
        let rest = self.between(5 * SECOND, 60 * SECOND);
        self.hangs_up(&talking.leg, back + rest);
    }

    /// The phone goes to its first party and back to the second.
    fn toggles(&mut self, talking: &Talking, waiting: &Waiting, takes: Micros, talk: Micros) {
        let second = waiting.ringing[waiting.busy].clone();
        let away = takes + talk / 3;
        let back = takes + talk / 2;

        self.report(&second, "hold", away);
        self.report(&talking.leg, "unhold", away + 200 * MILLI);
        self.report(&talking.leg, "hold", back);
        self.report(&second, "unhold", back + 200 * MILLI);
    }

    /// The first conversation ends, and the second call is answered.
    fn takes_after(&mut self, talking: &Talking, waiting: &Waiting) {
        let ends = waiting.began + self.between(3 * SECOND, 10 * SECOND);
        self.hangs_up(&talking.leg, ends);
        let takes = ends + self.between(500 * MILLI, 3 * SECOND);
        self.takes_second(waiting, takes);

        let talk = self.between(10 * SECOND, 120 * SECOND);
        self.second_ends(waiting, takes + talk);
    }

    /// The second caller gives up.
    fn ignores(&mut self, talking: &Talking, waiting: &Waiting) {
        let ends = waiting.began + self.between(8 * SECOND, 30 * SECOND);
        self.rings_in_vain(&waiting.ringing, ends);
        if let Some(caller) = &waiting.caller {
            let gives_up = ends + self.between(10 * MILLI, 80 * MILLI);
            self.hangs_up(caller, gives_up);
        }
        let rest = self.between(5 * SECOND, 60 * SECOND);
        self.hangs_up(&talking.leg, ends + rest);
    }

    /// The second call rings in vain and goes to another colleague.
    fn forwards_second(&mut self, talking: &Talking, waiting: &Waiting) {
        let moves = waiting.began + self.between(5 * SECOND, 15 * SECOND);
        self.rings_in_vain(&waiting.ringing, moves);
        let call = waiting.ringing[0].call;
        let mut others = vec![talking.extension.clone()];
        others.extend(
            waiting
                .ringing
                .iter()
                .map(|leg| self.phones[leg.phone].extension.clone()),
        );
        let from = self.calls[call].from.clone();
        others.push(from.clone());
        let rings = moves + self.between(100 * MILLI, 2 * SECOND);

        match (self.free_extension(rings, &others), &waiting.caller) {
            (Some((_, targets)), Some(caller)) => {
                let ringing = self.ring(&targets, Some(&from), call, rings);
                self.finish_internal(caller, &ringing, rings);
            }
            (Some((_, targets)), None) => {
                let ringing = self.ring(&targets, Some(&from), call, rings);
                self.talk(&ringing, rings);
            }
            (None, Some(caller)) => self.hangs_up(caller, rings),
            (None, None) => {}
        }
        let rest = self.between(5 * SECOND, 60 * SECOND);
        self.hangs_up(&talking.leg, rings + rest);
    }

    /// The phone refuses the second call; a colleague hears the busy tone for a while.
    fn refuses_second(&mut self, talking: &Talking, waiting: &Waiting) {
        let refuses = waiting.began + self.between(1_500 * MILLI, 8 * SECOND);
        let leg = waiting.ringing[0].clone();
        self.refuses(&leg, refuses);
        let call = &mut self.calls[leg.call];
        call.to.insert(self.phones[leg.phone].extension.clone());
        call.ended = refuses;
        if let Some(caller) = &waiting.caller {
            let gives_up = refuses + self.between(50 * MILLI, 3 * SECOND);
            self.hangs_up(caller, gives_up);
        }
        let rest = self.between(5 * SECOND, 60 * SECOND);
        self.hangs_up(&talking.leg, refuses + rest);
    }
}
