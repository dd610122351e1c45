//! Phones: what each model reports of a call, and how.

use super::Micros;
use crate::simulate::dice::Dice;

/// How a phone reports that its ring ended without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum RingEnd {
    Missed,
    MissedAndHangup,
    Hangup,
}

/// What a phone reports when another one took the call that it rang for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loser {
    Missed,
    Hangup,
    Nothing,
    /// Nothing of the call, and `idle` much later.
    Idle,
}

/// The quirks of a phone, by model and configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    pub call_ids: bool,
    pub answers_twice: bool,
    pub ring_end: RingEnd,
    pub loser: Loser,
    pub reports_hold: bool,
    /// It reports a refusal as such, and not as the end of a ring.
    pub reports_refusal: bool,
    pub reports_transfer: bool,
    /// How it writes numbers of the public network.
    pub number_form: NumberForm,
    /// Its display follows the party after a transfer.
    pub follows_party: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NumberForm {
    Plus,
    Idd,
    Bare,
    National,
}

impl NumberForm {
    /// Writes a German or foreign number, given as country code and rest.
    pub(super) fn write(self, number: &str) -> String {
        match (self, number.strip_prefix("49")) {
            (NumberForm::Plus, _) => format!("+{number}"),
            (NumberForm::Idd, _) | (NumberForm::National, None) => format!("00{number}"),
            (NumberForm::Bare, _) => number.to_owned(),
            (NumberForm::National, Some(rest)) => format!("0{rest}"),
        }
    }
}

impl Profile {
    pub(super) fn roll(dice: &mut Dice, call_ids: bool) -> Profile {
        Profile {
            call_ids,
            answers_twice: dice.roll(4) == 0,
            ring_end: match dice.roll(4) {
                0 | 1 => RingEnd::Missed,
                2 => RingEnd::MissedAndHangup,
                _ => RingEnd::Hangup,
            },
            loser: match dice.roll(10) {
                0..=3 => Loser::Missed,
                4 | 5 => Loser::Hangup,
                6..=8 => Loser::Nothing,
                _ => Loser::Idle,
            },
            reports_hold: dice.roll(3) == 0,
            reports_refusal: dice.roll(4) == 0,
            reports_transfer: dice.roll(3) == 0,
            number_form: match dice.roll(8) {
                0..=3 => NumberForm::Plus,
                4 => NumberForm::Idd,
                5 => NumberForm::Bare,
                _ => NumberForm::National,
            },
            follows_party: dice.roll(3) == 0,
        }
    }
}

/// A device of an extension.
#[derive(Clone, Debug)]
pub(super) struct Phone {
    pub mac: String,
    pub extension: String,
    pub profile: Profile,
    /// The other account of the same device, as a place in the list of phones.
    pub twin: Option<usize>,
    /// The instant from which it takes part in no call.
    pub free_from: Micros,
}

/// One report on its way: a request of a phone, before or after the network.
#[derive(Clone, Debug)]
pub struct WorldReport {
    /// When the phone sent it, and after the network when it arrived.
    pub at: Micros,
    pub mac: String,
    pub local: String,
    pub event: &'static str,
    /// Nothing for a withheld number, and for events of the device.
    pub remote: Option<String>,
    pub call_id: Option<String>,
    /// The call that it belongs to.
    pub call: usize,
}
