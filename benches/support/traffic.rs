//! A realistic mix of traffic for one site: ring groups of three phones; 60 % of the calls
//! answered, 25 % missed, 5 % rejected, 10 % outgoing; 5 % of all transferred. About 6.6 facts per
//! call, in the order of their receipt.

use std::sync::Arc;

use cordboard::domain::device::{Device, Extension};
use cordboard::domain::fact::{CallRef, EventId, Fact, Kind, Site};
use cordboard::domain::number::Number;
use cordboard::domain::time::{At, Span};
use cordboard::simulate::Dice;

const EPOCH: i64 = 1_767_225_600_000_000;
/// Every run measures the same facts.
const SEED: u64 = 1;
const TALK_SECONDS: u64 = 60;

struct Writer {
    dice: Dice,
    facts: Vec<Fact>,
    legs: u64,
    phones: u64,
}

/// The identity of a leg in its phone's reports.
#[derive(Clone)]
struct Leg {
    phone: u64,
    call_ref: Option<CallRef>,
    remote: Number,
}

impl Writer {
    fn millis(&mut self, from: u64, to: u64) -> Span {
        Span::millis(i64::try_from(from + self.dice.roll(to - from)).unwrap_or(0))
    }

    fn leg(&mut self, phone: u64, remote: &Number) -> Leg {
        self.legs += 1;
        // Every third model has no call id.
        let call_ref = if phone.is_multiple_of(3) {
            None
        } else {
            CallRef::parse(&format!("{:x}-{phone}@10.0.0.1", self.legs))
        };

        Leg {
            phone,
            call_ref,
            remote: remote.clone(),
        }
    }

    fn report(&mut self, at: At, leg: &Leg, kind: Kind) {
        self.facts.push(Fact {
            id: EventId(self.facts.len() as u128 + 1),
            at,
            site: Site::default(),
            device: Device::Mac(0x000b_8200_0000 + leg.phone),
            local: Extension::parse(&extension(leg.phone)),
            kind,
            remote: Some(leg.remote.clone()),
            call_ref: leg.call_ref.clone(),
            remote_name: None,
            local_name: None,
            product: None,
        });
    }

    /// One call that begins at `at`.
    fn call(&mut self, at: At) {
        let customer = Number::parse(&format!("+49301{:07}", self.dice.roll(10_000_000)), None);
        let group = self.dice.roll(self.phones / 3) * 3;

        match self.dice.roll(100) {
            0..60 => self.answered(at, &customer, group),
            60..85 => self.unanswered(at, &customer, group, Kind::Missed),
            85..90 => self.unanswered(at, &customer, group, Kind::Rejected),
            _ => self.outgoing(at, &customer, group),
        }
    }

    fn ring(&mut self, at: At, customer: &Number, group: u64) -> Vec<Leg> {
        let mut legs = Vec::new();
        for phone in group..group + 3 {
            let leg = self.leg(phone, customer);
            let rang = at + self.millis(0, 120);
            self.report(rang, &leg, Kind::Incoming);
            legs.push(leg);
        }

        legs
    }

    fn answered(&mut self, at: At, customer: &Number, group: u64) {
        let legs = self.ring(at, customer, group);

        let answered = at + self.millis(1_000, 12_000);
        let owner = usize::try_from(self.dice.roll(3)).unwrap_or(0);
        self.report(answered, &legs[owner], Kind::Answered);
        for (index, leg) in legs.iter().enumerate() {
            if index != owner && self.dice.roll(3) > 0 {
                let dropped = answered + self.millis(5, 300);
                self.report(dropped, leg, Kind::Missed);
            }
        }

        let ended = answered + self.millis(5_000, TALK_SECONDS * 2_000);
        // 5 % of all calls are transferred, and only answered ones can be.
        if self.dice.roll(60) < 5 {
            self.transfer(ended, &legs[owner].clone());
        } else {
            self.report(ended, &legs[owner], Kind::Hangup);
        }
    }

    fn transfer(&mut self, at: At, owner: &Leg) {
        let target = (owner.phone + 3) % self.phones;
        let own = Number::parse(&extension(owner.phone), None);
        let other = Number::parse(&extension(target), None);
        let consult = self.leg(owner.phone, &other);
        let asked = self.leg(target, &own);
        let second = |seconds: i64| at + Span::millis(seconds * 1_000);

        self.report(at, owner, Kind::Hold);
        self.report(second(1), &consult, Kind::Outgoing);
        self.report(second(1) + Span::millis(80), &asked, Kind::Incoming);
        self.report(second(4), &asked, Kind::Answered);
        self.report(second(4) + Span::millis(20), &consult, Kind::Answered);
        self.report(second(12), &consult, Kind::Hangup);
        self.report(second(12) + Span::millis(40), owner, Kind::Hangup);
        self.report(second(60), &asked, Kind::Hangup);
    }

    fn unanswered(&mut self, at: At, customer: &Number, group: u64, kind: Kind) {
        let legs = self.ring(at, customer, group);
        let ended = at + self.millis(8_000, 25_000);

        for leg in &legs {
            let silent = ended + self.millis(0, 200);
            self.report(silent, leg, kind);
        }
    }

    fn outgoing(&mut self, at: At, customer: &Number, phone: u64) {
        let leg = self.leg(phone, customer);
        self.report(at, &leg, Kind::Outgoing);

        let answered = at + self.millis(2_000, 15_000);
        self.report(answered, &leg, Kind::Answered);

        let ended = answered + self.millis(5_000, TALK_SECONDS * 2_000);
        self.report(ended, &leg, Kind::Hangup);
    }
}

fn extension(phone: u64) -> String {
    format!("{}", 10_000 + phone)
}

/// At least `count` facts of a site in which about `open_calls` calls are open at any time.
pub fn facts(open_calls: u64, count: usize) -> Arc<Vec<Fact>> {
    let phones = (open_calls * 4).max(30) / 3 * 3;
    let mut writer = Writer {
        dice: Dice::new(SEED),
        facts: Vec::new(),
        legs: 0,
        phones,
    };
    // The mean life of a call in this mix, found by counting the open calls of the result.
    let mean_millis = 46_000;
    let mut at = At(EPOCH);
    // Calls that are open at the last fact go on beyond it.
    let margin = usize::try_from(open_calls * 20).unwrap_or(0) + 1_000;

    while writer.facts.len() < count + margin {
        writer.call(at);
        at = at + writer.millis(0, 2 * mean_millis / open_calls.max(1) + 1);
    }

    let mut facts = writer.facts;
    facts.sort_by_key(Fact::key);
    facts.truncate(count);

    Arc::new(facts)
}
