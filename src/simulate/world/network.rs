//! The network between phones and ingress: delays, losses and repetitions.

use super::phone::WorldReport;
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};
use crate::simulate::dice::Dice;

/// Phones whose addresses end so report to the second ingress of their site.
const SECOND_INGRESS: [char; 8] = ['1', '3', '5', '7', '9', 'b', 'd', 'f'];

/// The faults of a network, in requests of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    pub lost: u64,
    pub repeated: u64,
}

impl Network {
    /// Carries reports to the ingress. Returns them in the order of their arrival.
    pub(super) fn carry(
        self,
        reports: Vec<WorldReport>,
        calls: &mut [TrueCall],
        dice: &mut Dice,
    ) -> Vec<WorldReport> {
        let mut arrived = Vec::with_capacity(reports.len());
        let skew = ingress_skew(dice);

        for mut report in reports {
            if dice.roll(1_000) < self.lost {
                calls[report.call].lost_reports += 1;
                continue;
            }
            report.at += delay(dice);
            if report.mac.ends_with(SECOND_INGRESS) {
                report.at += skew;
            }
            if dice.roll(1_000) < self.repeated {
                let mut again = report.clone();
                again.at += millis(dice, 8_000);
                arrived.push(again);
            }
            arrived.push(report);
        }
        arrived.sort_by_key(|report| report.at);

        arrived
    }
}

/// How far the clock of the second ingress is ahead: nothing at most sites, which have one.
fn ingress_skew(dice: &mut Dice) -> Micros {
    if dice.roll(3) == 0 {
        millis(dice, 120) - 60 * MILLI
    } else {
        0
    }
}

/// A few milliseconds; for one request in fifty up to 400.
fn delay(dice: &mut Dice) -> Micros {
    let most = if dice.roll(50) == 0 { 400 } else { 40 };

    2 * MILLI + millis(dice, most)
}

fn millis(dice: &mut Dice, most: u64) -> Micros {
    Micros::try_from(dice.roll(most * 1_000)).unwrap_or(SECOND)
}
