//! A site and a day of it: its extensions, groups and customers, and the calls in their order.

use super::network::Network;
use super::phone::{Loser, NumberForm, Phone, Profile, RingEnd, WorldReport};
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};
use crate::simulate::dice::Dice;

/// How close the calls of a day follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Light,
    Busy,
    Overload,
}

/// A day to be played.
#[derive(Clone, Copy, Debug)]
pub struct WorldSettings {
    pub seed: u64,
    pub calls: usize,
    pub load: Load,
    pub network: Network,
    /// Whether the phones of this site send the ids of their calls.
    pub call_ids: bool,
}

/// A played day: the reports as they arrive, and the truth.
pub struct Day {
    pub reports: Vec<WorldReport>,
    pub calls: Vec<TrueCall>,
}

/// A site while its day is played.
pub(super) struct Site {
    pub dice: Dice,
    pub phones: Vec<Phone>,
    /// The phones of each extension, as a range of `phones`.
    pub extensions: Vec<(String, Vec<usize>)>,
    /// Groups: a number, and the places of their extensions.
    pub groups: Vec<(String, Vec<usize>)>,
    pub customers: Vec<String>,
    pub reports: Vec<WorldReport>,
    pub calls: Vec<TrueCall>,
    legs: u64,
}

/// A leg of a phone, as its reports name it.
#[derive(Clone, Debug)]
pub(super) struct PhoneLeg {
    pub phone: usize,
    pub remote: Option<String>,
    id: u64,
    pub call: usize,
}

impl Day {
    /// Plays a day.
    #[must_use]
    pub fn play(settings: WorldSettings) -> Day {
        let mut site = Site::new(settings);
        let mut at: Micros = 0;
        let pause = match settings.load {
            Load::Light => 150,
            Load::Busy => 60,
            Load::Overload => 20,
        };

        while site.calls.len() < settings.calls {
            at += site.micros(pause * SECOND * 2);
            site.play_scene(at);
        }

        let Site {
            mut dice,
            reports,
            mut calls,
            ..
        } = site;
        let reports = settings.network.carry(reports, &mut calls, &mut dice);
        Day { reports, calls }
    }
}

/// Some devices serve two extensions as two accounts.
fn share_devices(phones: &mut [Phone], extensions: &[(String, Vec<usize>)], dice: &mut Dice) {
    for pair in extensions.windows(2) {
        let ([one], [other]) = (pair[0].1.as_slice(), pair[1].1.as_slice()) else {
            continue;
        };
        if phones[*one].twin.is_none() && dice.roll(10) == 0 {
            let mac = phones[*one].mac.clone();
            phones[*other].mac = mac;
            phones[*other].profile = phones[*one].profile;
            phones[*one].twin = Some(*other);
            phones[*other].twin = Some(*one);
        }
    }
}

impl Site {
    fn new(settings: WorldSettings) -> Site {
        let mut dice = Dice::new(settings.seed);
        let mut phones = Vec::new();
        let mut extensions = Vec::new();
        let first = [101, 201, 1001][usize::try_from(dice.roll(3)).unwrap_or(0)];
        let count = 12 + dice.roll(20);

        for place in 0..count {
            let extension = (first + place).to_string();
            let devices = if dice.roll(5) == 0 { 2 } else { 1 };
            let mut own = Vec::new();
            for _ in 0..devices {
                own.push(phones.len());
                phones.push(Phone {
                    mac: format!("000b82{:06x}", phones.len() + 1),
                    extension: extension.clone(),
                    profile: Profile::roll(&mut dice, settings.call_ids),
                    twin: None,
                    free_from: 0,
                });
            }
            extensions.push((extension, own));
        }
        share_devices(&mut phones, &extensions, &mut dice);

        let mut groups = Vec::new();
        for number in 0..3 {
            let size = 2 + dice.roll(5);
            let from = dice.roll(count);
            let members =
                (0..size).map(|member| usize::try_from((from + member) % count).unwrap_or(0));
            let name = [(first + 90).to_string(), "6500".to_owned(), "88".to_owned()];
            groups.push((name[number].clone(), members.collect()));
        }
        let customers = (0..120)
            .map(|place| match place % 12 {
                0 => format!("3367050{:04}", 300 + dice.roll(600)),
                1 => format!("4366412345{:02}", 10 + dice.roll(80)),
                2..=6 => format!("49171760{:04}", 1_000 + dice.roll(9_000)),
                _ => format!("494059{:06}", 600_000 + dice.roll(99_999)),
            })
            .collect();

        Site {
            dice,
            phones,
            extensions,
            groups,
            customers,
            reports: Vec::new(),
            calls: Vec::new(),
            legs: 0,
        }
    }

    /// A phone takes part in no other call before this instant, nor does its other account.
    pub(super) fn occupy(&mut self, phone: usize, until: Micros) {
        let twin = self.phones[phone].twin;
        for place in [Some(phone), twin].into_iter().flatten() {
            let phone = &mut self.phones[place];
            phone.free_from = phone.free_from.max(until);
        }
    }

    /// Whether two extensions are accounts of one device, or the same.
    fn shares_device(&self, phones: &[usize], extension: &str) -> bool {
        phones.iter().any(|phone| {
            let phone = &self.phones[*phone];
            let twin = phone.twin.map(|twin| self.phones[twin].extension.as_str());
            phone.extension == extension || twin == Some(extension)
        })
    }

    /// Below a number of microseconds.
    pub(super) fn micros(&mut self, below: Micros) -> Micros {
        let below = u64::try_from(below).unwrap_or(1);

        // The dice has 31 bits.
        let millis = self.dice.roll((below / 1_000).max(1));
        Micros::try_from(millis * 1_000 + self.dice.roll(1_000)).unwrap_or(0)
    }

    pub(super) fn between(&mut self, from: Micros, to: Micros) -> Micros {
        from + self.micros(to - from)
    }

    /// Whether something happens that happens so often in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.dice.roll(100) < percent
    }

    pub(super) fn pick(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(1);

        usize::try_from(self.dice.roll(below)).unwrap_or(0)
    }

    pub(super) fn customer(&mut self) -> String {
        let place = self.pick(self.customers.len());

        self.customers[place].clone()
    }

    /// A free extension with its free phones.
    pub(super) fn free_extension(
        &mut self,
        at: Micros,
        except: &[String],
    ) -> Option<(String, Vec<usize>)> {
        for _ in 0..30 {
            let place = self.pick(self.extensions.len());
            let (extension, phones) = &self.extensions[place];
            let all_free = phones
                .iter()
                .all(|phone| self.phones[*phone].free_from <= at);
            let is_excepted = except
                .iter()
                .any(|excepted| self.shares_device(phones, excepted));
            if all_free && !is_excepted {
                return Some((extension.clone(), phones.clone()));
            }
        }

        None
    }

    /// Begins a leg of a phone. `remote` is a number of the public network as country code and
    /// rest, an extension, a code, or nothing.
    pub(super) fn leg(&mut self, phone: usize, remote: Option<&str>, call: usize) -> PhoneLeg {
        self.legs += 1;

        PhoneLeg {
            phone,
            remote: Some(match remote {
                Some(remote) => self.written(phone, remote),
                None => "anonymous".to_owned(),
            }),
            id: self.legs,
            call,
        }
    }

    /// A number as the phone writes it.
    pub(super) fn written(&self, phone: usize, number: &str) -> String {
        let is_public = number.len() > 8 && number.bytes().all(|byte| byte.is_ascii_digit());
        let form: NumberForm = self.phones[phone].profile.number_form;

        if is_public {
            form.write(number)
        } else {
            number.to_owned()
        }
    }

    pub(super) fn report(&mut self, leg: &PhoneLeg, event: &'static str, at: Micros) {
        self.occupy(leg.phone, at + 2 * SECOND);
        let phone = &self.phones[leg.phone];
        let call_id = phone.profile.call_ids.then(|| format!("{:x}@pbx", leg.id));

        self.reports.push(WorldReport {
            at,
            mac: phone.mac.clone(),
            local: phone.extension.clone(),
            event,
            remote: leg.remote.clone(),
            call_id,
            call: leg.call,
        });
    }

    pub(super) fn answers(&mut self, leg: &PhoneLeg, at: Micros) {
        self.report(leg, "answered", at);
        if self.phones[leg.phone].profile.answers_twice {
            self.report(leg, "answered", at + 40 * MILLI);
        }
    }

    /// The ring of a phone ends without an answer.
    pub(super) fn rings_out(&mut self, leg: &PhoneLeg, at: Micros) {
        match self.phones[leg.phone].profile.ring_end {
            RingEnd::Missed => self.report(leg, "missed", at),
            RingEnd::Hangup => self.report(leg, "hangup", at),
            RingEnd::MissedAndHangup => {
                self.report(leg, "missed", at);
                self.report(leg, "hangup", at + 30 * MILLI);
            }
        }
    }

    /// Another phone took the call that this one rang for.
    pub(super) fn loses(&mut self, leg: &PhoneLeg, at: Micros) {
        let at = at + self.between(20 * MILLI, 700 * MILLI);
        match self.phones[leg.phone].profile.loser {
            Loser::Missed => self.report(leg, "missed", at),
            Loser::Hangup => self.report(leg, "hangup", at),
            Loser::Nothing => self.occupy(leg.phone, at + 2 * SECOND),
            // A device with two accounts is idle when neither has a call.
            Loser::Idle if self.phones[leg.phone].twin.is_some() => {
                self.occupy(leg.phone, at + 2 * SECOND);
            }
            Loser::Idle => {
                let silent = PhoneLeg {
                    remote: None,
                    ..leg.clone()
                };
                let later = at + self.between(SECOND, 60 * SECOND);
                self.idle(&silent, later);
            }
        }
    }

    /// The phone refuses a ring, by its user or by its settings.
    pub(super) fn refuses(&mut self, leg: &PhoneLeg, at: Micros) {
        if self.phones[leg.phone].profile.reports_refusal {
            self.report(leg, "rejected", at);
        } else {
            self.rings_out(leg, at);
        }
    }

    /// A party waits for a part of a conversation; phones that report it say so.
    pub(super) fn holds(&mut self, leg: &PhoneLeg, from: Micros, until: Micros) {
        if self.phones[leg.phone].profile.reports_hold {
            self.report(leg, "hold", from);
            self.report(leg, "unhold", until);
        }
    }

    fn idle(&mut self, leg: &PhoneLeg, at: Micros) {
        self.report(leg, "idle", at);
        if let Some(report) = self.reports.last_mut() {
            report.call_id = None;
        }
    }
}
