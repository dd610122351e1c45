//! The network between phones and ingress: delays, losses and repetitions.

use super::phone::WorldReport;
use super::truth::TrueCall;
use super::{MILLI, Micros, SECOND};
use crate::simulate::dice::Dice;

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

        for mut report in reports {
            if dice.roll(1_000) < self.lost {
                calls[report.call].lost_reports += 1;
                continue;
            }
            report.at += delay(dice);
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

/// A few milliseconds; for one request in fifty up to 400.
fn delay(dice: &mut Dice) -> Micros {
    let most = if dice.roll(50) == 0 { 400 } else { 40 };

    2 * MILLI + millis(dice, most)
}

fn millis(dice: &mut Dice, most: u64) -> Micros {
    Micros::try_from(dice.roll(most * 1_000)).unwrap_or(SECOND)
}
