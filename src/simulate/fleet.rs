//! The reports of a site's phones. Ring groups have three phones; 60 % of the calls are answered,
//! 25 % missed, 5 % rejected and 10 % outgoing; one answered call in twelve is transferred.

use std::time::Duration;

use super::dice::Dice;

/// The mean duration of a talk; the longest is about twice as long.
const TALK_SECONDS: u64 = 30;

/// A fleet, and its load.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub seed: u64,
    pub phones: u64,
    pub calls_per_second: f64,
    pub duration: Duration,
}

/// One request of one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Time since the beginning.
    pub at: Duration,
    pub phone: u64,
    pub event: &'static str,
    pub remote: String,
    /// `None` for a phone that sends the name of the variable instead.
    pub call_id: Option<u64>,
    pub mac_form: MacForm,
    /// The caller's name; empty for a phone without one.
    pub name: &'static str,
}

/// The spelling of a MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacForm {
    #[default]
    Plain,
    Upper,
    Colons,
    Dashes,
}

impl MacForm {
    pub(super) fn nth(number: u64) -> MacForm {
        match number {
            0 => MacForm::Plain,
            1 => MacForm::Upper,
            2 => MacForm::Colons,
            _ => MacForm::Dashes,
        }
    }

    fn write(self, plain: &str) -> String {
        let pairs = |separator: &str| {
            let pairs: Vec<&str> = (0..plain.len() / 2)
                .map(|pair| &plain[pair * 2..pair * 2 + 2])
                .collect();
            pairs.join(separator)
        };

        match self {
            MacForm::Plain => plain.to_owned(),
            MacForm::Upper => plain.to_uppercase(),
            MacForm::Colons => pairs(":"),
            MacForm::Dashes => pairs("-"),
        }
    }
}

impl Report {
    /// The parameters as the phone writes them, with free text at the end.
    #[must_use]
    pub fn parameters(&self) -> String {
        let call_id = self
            .call_id
            .map_or_else(|| "$call-id".to_owned(), |id| format!("{id:x}@10.0.0.1"));
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!("&n={}", self.name)
        };
        let mac = self.mac_form.write(&mac(self.phone));

        format!(
            "m={mac}&l={}&r={}&c={call_id}{name}",
            extension(self.phone),
            self.remote
        )
    }
}

/// The MAC address of a phone.
#[must_use]
pub fn mac(phone: u64) -> String {
    format!("000b82{phone:06x}")
}

fn extension(phone: u64) -> u64 {
    10_000 + phone
}

impl Fleet {
    /// All reports of the fleet, ordered by time.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let mut script = Script {
            dice: Dice::new(self.seed),
            reports: Vec::new(),
            legs: 0,
            phones: self.phones.max(6) / 3 * 3,
        };
        let gap = Duration::from_secs_f64(1.0 / self.calls_per_second.max(0.001));
        let mut at = Duration::ZERO;

        while at < self.duration {
            script.call(at);
            // A gap between zero and twice the mean.
            at += gap * u32::try_from(script.dice.roll(2_000) + 1).unwrap_or(1_000) / 1_000;
        }

        script.reports.sort_by_key(|report| report.at);
        script.reports
    }
}

/// Writes the reports of one call after the other.
struct Script {
    dice: Dice,
    reports: Vec<Report>,
    legs: u64,
    phones: u64,
}

/// One phone's leg of a call.
#[derive(Clone)]
struct Leg {
    phone: u64,
    id: u64,
    remote: String,
}

impl Script {
    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.dice.roll(to - from))
    }

    fn leg(&mut self, phone: u64, remote: &str) -> Leg {
        self.legs += 1;

        Leg {
            phone,
            id: self.legs,
            remote: remote.to_owned(),
        }
    }

    fn report(&mut self, at: Duration, leg: &Leg, event: &'static str) {
        // Every third phone sends no call id.
        let call_id = (!leg.phone.is_multiple_of(3)).then_some(leg.id);

        self.reports.push(Report {
            at,
            phone: leg.phone,
            event,
            remote: leg.remote.clone(),
            call_id,
            mac_form: MacForm::default(),
            name: "",
        });
    }

    fn call(&mut self, at: Duration) {
        let customer = format!("+49301{:07}", self.dice.roll(10_000_000));
        let group = self.dice.roll(self.phones / 3) * 3;

        match self.dice.roll(100) {
            0..60 => self.answered(at, &customer, group),
            60..85 => self.unanswered(at, &customer, group, "missed"),
            85..90 => self.unanswered(at, &customer, group, "rejected"),
            _ => self.outgoing(at, &customer, group),
        }
    }

    fn ring(&mut self, at: Duration, customer: &str, group: u64) -> Vec<Leg> {
        let mut legs = Vec::new();

        for phone in group..group + 3 {
            let leg = self.leg(phone, customer);
            let rang = at + self.millis(0, 120);
            self.report(rang, &leg, "incoming");
            legs.push(leg);
        }

        legs
    }

    fn answered(&mut self, at: Duration, customer: &str, group: u64) {
        let legs = self.ring(at, customer, group);
        let answered = at + self.millis(1_000, 12_000);
        let owner = usize::try_from(self.dice.roll(3)).unwrap_or(0);
        self.report(answered, &legs[owner], "answered");

        for (index, leg) in legs.iter().enumerate() {
            if index != owner && self.dice.roll(3) > 0 {
                let dropped = answered + self.millis(5, 300);
                self.report(dropped, leg, "missed");
            }
        }

        let ended = answered + self.millis(2_000, TALK_SECONDS * 2_000);
        if self.dice.roll(12) == 0 {
            self.transfer(ended, &legs[owner]);
        } else {
            self.report(ended, &legs[owner], "hangup");
        }
    }

    fn transfer(&mut self, at: Duration, owner: &Leg) {
        let target = (owner.phone + 3) % self.phones;
        let consult = self.leg(owner.phone, &extension(target).to_string());
        let asked = self.leg(target, &extension(owner.phone).to_string());
        let after = |millis: u64| at + Duration::from_millis(millis);

        self.report(at, owner, "hold");
        self.report(after(1_000), &consult, "outgoing");
        self.report(after(1_080), &asked, "incoming");
        self.report(after(4_000), &asked, "answered");
        self.report(after(4_020), &consult, "answered");
        self.report(after(9_000), &consult, "hangup");
        self.report(after(9_040), owner, "hangup");
        self.report(after(30_000), &asked, "hangup");
    }

    fn unanswered(&mut self, at: Duration, customer: &str, group: u64, event: &'static str) {
        let legs = self.ring(at, customer, group);
        let ended = at + self.millis(8_000, 25_000);

        for leg in &legs {
            let silent = ended + self.millis(0, 200);
            self.report(silent, leg, event);
        }
    }

    fn outgoing(&mut self, at: Duration, customer: &str, phone: u64) {
        let leg = self.leg(phone, customer);
        let answered = at + self.millis(2_000, 15_000);
        let ended = answered + self.millis(2_000, TALK_SECONDS * 2_000);

        self.report(at, &leg, "outgoing");
        self.report(answered, &leg, "answered");
        self.report(ended, &leg, "hangup");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(seed: u64) -> Fleet {
        Fleet {
            seed,
            phones: 30,
            calls_per_second: 5.0,
            duration: Duration::from_mins(1),
        }
    }

    #[test]
    fn the_same_seed_plays_the_same_flows() {
        assert_eq!(fleet(1).reports(), fleet(1).reports());
        assert_ne!(fleet(1).reports(), fleet(2).reports());
    }

    #[test]
    fn a_fleet_has_about_the_requested_load() {
        let reports = fleet(1).reports();
        let rings = reports
            .iter()
            .filter(|report| report.event == "incoming")
            .count();

        assert!(
            (500..1_000).contains(&rings),
            "{rings} rings of about 300 calls"
        );
        assert!(reports.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
