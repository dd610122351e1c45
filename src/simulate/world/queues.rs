//! Queues with rounds and pauses, and groups that overflow.

use std::collections::BTreeSet;

use super::site::Site;
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};

/// A ring after a longer silence also is a second call of the same number.
const ROUND_GAP_MAX: Micros = 5_300 * MILLI;

/// The first part of a call, before a long silence.
struct Before {
    started: Micros,
    first: TrueCall,
}

impl Site {
    /// A queue rings its agents in rounds, one after the other or together, and pauses. All of
    /// them may be busy for a while.
    pub(super) fn queue_from_outside(&mut self, at: Micros) {
        let group = self.pick(self.groups.len());
        let phones = self.free_members(group, at);
        if phones.len() < 2 {
            return;
        }
        let from = self.customer();
        let call = self.begin("queue from outside", "inbound", &from, at);
        let together = self.chance(40);
        let busy_after = if self.chance(25) { 1 + self.pick(3) } else { 9 };
        let rounds = 2 + self.pick(4);

        let mut before = None;
        let mut now = at;
        for round in 0..rounds {
            let agents = if together {
                phones.clone()
            } else {
                vec![phones[round % phones.len()]]
            };
            let ringing = self.ring(&agents, Some(&from), call, now);
            if self.chance(30) {
                self.talk(&ringing, now);
                break;
            }
            let rings = self.between(8 * SECOND, 15 * SECOND);
            self.rings_in_vain(&ringing, now + rings);
            if round + 1 == rounds {
                break;
            }
            let pause = if round + 1 == busy_after {
                self.between(10 * SECOND, 60 * SECOND)
            } else {
                self.between(SECOND, 5 * SECOND)
            };
            if pause > ROUND_GAP_MAX {
                before = Some(self.falls_silent(call));
            }
            now += rings + pause;
        }
        if let Some(before) = before {
            self.read_as_two(call, before);
        }
    }

    /// A colleague waits in a queue, and listens to its announcement.
    pub(super) fn queue_from_inside(&mut self, at: Micros) {
        let Some((from, callers)) = self.free_extension(at, &[]) else {
            return;
        };
        let group = self.pick(self.groups.len());
        let device = self.phones[callers[0]].mac.clone();
        let mut phones = self.free_members(group, at);
        phones.retain(|phone| {
            self.phones[*phone].mac != device && self.phones[*phone].extension != from
        });
        if phones.is_empty() {
            return;
        }
        let call = self.begin("queue from inside", "internal", &from, at);
        let caller = self.leg(callers[0], Some("6500"), call);
        self.report(&caller, "outgoing", at);
        let connected = at + self.between(80 * MILLI, 250 * MILLI);
        self.answers(&caller, connected);

        let mut now = connected + self.between(5 * SECOND, 45 * SECOND);
        for _ in 0..self.pick(3) {
            let ringing = self.ring(&phones, Some(&from), call, now);
            let rings = self.between(8 * SECOND, 15 * SECOND);
            self.rings_in_vain(&ringing, now + rings);
            now += rings + self.between(SECOND, 20 * SECOND);
        }
        let ringing = self.ring(&phones, Some(&from), call, now);
        self.calls[call].to.insert("6500".to_owned());
        self.finish_internal(&caller, &ringing, now);
    }

    /// A group that does not answer passes the caller to another one, at once or after an
    /// announcement.
    pub(super) fn overflow(&mut self, at: Micros) {
        let first = self.pick(self.groups.len());
        let second = (first + 1 + self.pick(self.groups.len() - 1)) % self.groups.len();
        let (phones, others) = (self.free_members(first, at), self.free_members(second, at));
        if phones.is_empty() || others.is_empty() {
            return;
        }
        let from = self.customer();
        let call = self.begin("overflow", "inbound", &from, at);
        let ringing = self.ring(&phones, Some(&from), call, at);
        let rings = self.between(10 * SECOND, 25 * SECOND);
        self.rings_in_vain(&ringing, at + rings);

        let is_announced = self.chance(20);
        let pause = if is_announced {
            self.between(7 * SECOND, 20 * SECOND)
        } else {
            self.between(200 * MILLI, 4 * SECOND)
        };
        let before = is_announced.then(|| self.falls_silent(call));
        let now = at + rings + pause;
        let ringing = self.ring(&others, Some(&from), call, now);
        if self.chance(65) {
            self.talk(&ringing, now);
        } else {
            let rings = self.between(8 * SECOND, 20 * SECOND);
            self.rings_in_vain(&ringing, now + rings);
        }
        if let Some(before) = before {
            self.read_as_two(call, before);
        }
    }

    /// A long silence begins: the rings so far, as a call of their own.
    fn falls_silent(&mut self, call: usize) -> Before {
        let truth = &mut self.calls[call];
        let first = truth.reading();
        // The next ring may be the first one of a second call.
        truth.missed = BTreeSet::new();

        Before {
            started: first.started,
            first,
        }
    }

    /// The two parts of a call with a long silence also are two calls of one number.
    fn read_as_two(&mut self, call: usize, before: Before) {
        let truth = &mut self.calls[call];
        let second = truth.reading();
        truth.started = before.started;
        if truth.is_missed() {
            truth.missed.extend(before.first.missed.iter().cloned());
        }
        truth.readings = vec![vec![before.first, second]];
    }
}
