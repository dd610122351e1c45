//! Refusals, forwards and voicemail.
//!
//! A forward to voicemail or to a number outside leaves no report: the record is that of a call
//! which no phone of the site answered, and it stays on the list of missed calls.

use super::scene::Ringing;
use super::site::{PhoneLeg, Site};
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};

/// The longest announcement that a reader takes for one, by a caller whose colleague rang in vain.
const ANNOUNCEMENT_MAX: Micros = 30 * SECOND;

impl Site {
    /// One phone of a group refuses at once in every round (do not disturb, or busy), and the
    /// others ring on.
    pub(super) fn refused_by_member(&mut self, at: Micros) {
        let group = self.pick(self.groups.len());
        let mut phones = self.free_members(group, at);
        let mut devices = Vec::new();
        phones.retain(|phone| {
            let device = self.phones[*phone].mac.clone();
            let is_new = !devices.contains(&device);
            devices.push(device);
            is_new
        });
        if phones.len() < 2 {
            return;
        }
        let from = self.customer();
        let call = self.begin("refused by a member", "inbound", &from, at);
        let refuser = phones.swap_remove(self.pick(phones.len()));
        let by_user = self.chance(40);
        let rounds = 1 + self.pick(2);

        let mut now = at;
        for round in 1..=rounds {
            let all: Vec<usize> = phones.iter().copied().chain([refuser]).collect();
            let mut ringing = self.ring(&all, Some(&from), call, now);
            let Some(refusing) = ringing.pop() else {
                return;
            };
            let wait = if by_user {
                self.between(2 * SECOND, 4 * SECOND)
            } else {
                self.between(400 * MILLI, 700 * MILLI)
            };
            self.refuses(&refusing, now + wait);
            if self.chance(65) {
                let lifts = now + wait + SECOND;
                self.talk(&ringing, lifts);
                return;
            }
            let rings = self.between(8 * SECOND, 15 * SECOND);
            self.rings_in_vain(&ringing, now + rings);
            if round < rounds {
                now += rings + self.between(300 * MILLI, 4_500 * MILLI);
            }
        }

        let refuser = self.phones[refuser].extension.clone();
        self.calls[call].to.insert(refuser.clone());
        // Whether a phone that refuses at once missed the call is a matter of taste.
        let mut others = self.calls[call].reading();
        others.missed.remove(&refuser);
        self.calls[call].readings = vec![vec![others]];
    }

    /// A colleague whose phone reports nothing, or refuses at once; an announcement may say so.
    pub(super) fn busy_colleague(&mut self, at: Micros) {
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((to, phones)) = self.free_extension(at, std::slice::from_ref(&from)) else {
            return;
        };
        let call = self.begin("busy colleague", "internal", &from, at);
        let caller = self.leg(callers[0], Some(&to), call);
        self.report(&caller, "outgoing", at);
        if self.chance(50) {
            let ringing = self.ring(&phones, Some(&from), call, at);
            for leg in &ringing {
                let refuses = at + self.between(400 * MILLI, 600 * MILLI);
                self.refuses(leg, refuses);
            }
        }
        self.calls[call].missed.insert(to.clone());
        self.calls[call].to.insert(to);

        let mut now = at + self.between(700 * MILLI, 1_200 * MILLI);
        if self.chance(40) {
            self.answers(&caller, now);
            now += self.between(3 * SECOND, 15 * SECOND);
        }
        let gives_up = now + self.between(500 * MILLI, 4 * SECOND);
        self.hangs_up(&caller, gives_up);
    }

    /// A call that its first extension does not take goes elsewhere.
    pub(super) fn forwarded(&mut self, at: Micros) {
        match self.pick(12) {
            0..=2 => self.forwarded_to_colleague(at, false),
            3 => self.forwarded_to_colleague(at, true),
            4 => self.forwarded_by_phone(at),
            5..=6 => self.internal_forward(at),
            7 => self.unconditional_forward(at),
            8..=9 => self.reaches_voicemail(at),
            _ => self.internal_to_voicemail(at),
        }
    }

    fn forwarded_to_colleague(&mut self, at: Micros, is_busy: bool) {
        let kind = if is_busy {
            "forward on busy"
        } else {
            "forward on no answer"
        };
        let Some((first, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((_, targets)) = self.free_extension(at, std::slice::from_ref(&first)) else {
            return;
        };
        let Some(from) = self.caller() else { return };
        let call = self.begin(kind, "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        let moves = at + self.first_ends(&ringing, at, is_busy);
        let forwarded = moves + self.between(100 * MILLI, 2 * SECOND);
        self.rings_at_target(&targets, &from, call, forwarded);
        self.was_meant_for(call, first);
    }

    /// The first extension refuses at once, or rings in vain; the time that this took.
    fn first_ends(&mut self, ringing: &Ringing, at: Micros, is_busy: bool) -> Micros {
        if !is_busy {
            let rings = self.between(10 * SECOND, 25 * SECOND);
            self.rings_in_vain(ringing, at + rings);
            return rings;
        }
        let refuses = self.between(400 * MILLI, 700 * MILLI);
        for leg in ringing {
            self.refuses(leg, at + refuses);
        }

        refuses
    }

    fn rings_at_target(&mut self, targets: &[usize], from: &str, call: usize, at: Micros) {
        let ringing = self.ring(targets, Some(from), call, at);
        if self.chance(70) {
            self.talk(&ringing, at);
        } else {
            let rings = self.between(5 * SECOND, 25 * SECOND);
            self.rings_in_vain(&ringing, at + rings);
        }
    }

    /// A call that is not answered may be recorded as one to the extension that was asked first.
    fn was_meant_for(&mut self, call: usize, first: String) {
        let truth = &mut self.calls[call];
        if truth.answered.is_none() {
            truth.to.insert(first);
        }
    }

    /// The phone itself sends the call on; the target may ring before the phone is silent.
    fn forwarded_by_phone(&mut self, at: Micros) {
        let Some((first, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((_, targets)) = self.free_extension(at, std::slice::from_ref(&first)) else {
            return;
        };
        if phones.len() > 1 {
            return;
        }
        let from = self.customer();
        let call = self.begin("forward by the phone", "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        let moves = at + self.between(8 * SECOND, 20 * SECOND);
        let silent = moves + self.between(0, 400 * MILLI);
        self.rings_out(&ringing[0], silent);
        self.rings_at_target(&targets, &from, call, moves);
        self.was_meant_for(call, first);
    }

    /// A colleague calls; an announcement may tell him that the call is sent on.
    fn internal_forward(&mut self, at: Micros) {
        let Some((caller, ringing, to)) = self.calls_colleague("forward, internal", at) else {
            return;
        };
        let is_busy = self.chance(30);
        let moves = at + self.first_ends(&ringing, at, is_busy);
        let mut rings = moves + self.between(100 * MILLI, 2 * SECOND);
        if self.chance(30) {
            let announced = moves + self.between(10 * MILLI, 150 * MILLI);
            self.answers(&caller, announced);
            rings = announced + self.between(SECOND, 4_500 * MILLI);
        }
        self.rings_at_internal_target(&caller, &to, rings);
    }

    /// A phone that forwards every call reports none of them.
    fn unconditional_forward(&mut self, at: Micros) {
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let Some((to, _)) = self.free_extension(at, std::slice::from_ref(&from)) else {
            return;
        };
        let call = self.begin("forward, unconditional", "internal", &from, at);
        let caller = self.leg(callers[0], Some(&to), call);
        self.report(&caller, "outgoing", at);
        self.calls[call].to.insert(to.clone());
        self.rings_at_internal_target(&caller, &to, at);
    }

    fn calls_colleague(
        &mut self,
        kind: &'static str,
        at: Micros,
    ) -> Option<(PhoneLeg, Ringing, String)> {
        let (from, callers) = self.free_extension(at, &[])?;
        let (to, phones) = self.free_extension(at, std::slice::from_ref(&from))?;
        let call = self.begin(kind, "internal", &from, at);
        let caller = self.leg(callers[0], Some(&to), call);
        self.report(&caller, "outgoing", at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        self.calls[call].to.insert(to.clone());

        Some((caller, ringing, to))
    }

    fn rings_at_internal_target(&mut self, caller: &PhoneLeg, to: &str, at: Micros) {
        let from = self.phones[caller.phone].extension.clone();
        let others = [from.clone(), to.to_owned()];
        let Some((_, targets)) = self.free_extension(at, &others) else {
            self.hangs_up(caller, at);
            return;
        };
        let ringing = self.ring(&targets, Some(&from), caller.call, at);
        self.finish_internal(caller, &ringing, at);
    }

    /// A call from outside goes to voicemail, or to a number outside.
    fn reaches_voicemail(&mut self, at: Micros) {
        let Some((_, phones)) = self.free_extension(at, &[]) else {
            return;
        };
        let from = self.caller();
        let kind = "voicemail or forward outside";
        let call = self.begin(kind, "inbound", from.as_deref().unwrap_or(""), at);
        let ringing = self.ring(&phones, from.as_deref(), call, at);
        let rings = self.between(12 * SECOND, 25 * SECOND);
        self.rings_in_vain(&ringing, at + rings);
    }

    /// The caller's phone reports an answer in the moment in which the colleague's ring ends: of a
    /// mailbox, an announcement, or a person outside.
    fn internal_to_voicemail(&mut self, at: Micros) {
        let kind = "voicemail, internal";
        let Some((caller, ringing, _)) = self.calls_colleague(kind, at) else {
            return;
        };
        let rings = self.between(10 * SECOND, 25 * SECOND);
        self.rings_in_vain(&ringing, at + rings);
        let answered = at + rings + self.between(0, 250 * MILLI);
        self.answers(&caller, answered);
        let talk = self.between(4 * SECOND, 60 * SECOND);
        self.hangs_up(&caller, answered + talk);

        let call = caller.call;
        if talk > ANNOUNCEMENT_MAX {
            let mut spoken: TrueCall = self.calls[call].reading();
            spoken.outcome = "answered";
            spoken.answered = Some(answered);
            self.calls[call].readings = vec![vec![spoken]];
        }
    }
}
