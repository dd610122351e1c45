//! Disturbances of reports by networks and firmware, which must not change the call records.

use std::time::Duration;

use super::dice::Dice;
use super::fleet::{MacForm, Report};

/// One report in this many is disturbed.
const ONE_IN: u64 = 10;
/// The longest time between a request and its repetition.
const REPEAT_DELAY_MS_MAX: u64 = 10_000;
/// Requests less than this apart may overtake each other.
const OVERTAKE: Duration = Duration::from_secs(1);

/// One kind of disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaos {
    /// Requests that are sent twice.
    Duplicates,
    /// Requests of different phones that overtake each other.
    Swaps,
    /// Ends that are never reported.
    LostEnds,
    /// Phones without call ids.
    NoCallIds,
    /// The same MAC address in every spelling.
    MacForms,
    /// The same number in national and international form.
    NumberForms,
    /// Callers' names as phones send them: with blanks, quotes, brackets, other alphabets, and
    /// parameters of their own.
    RawNames,
}

impl Chaos {
    pub const ALL: [Chaos; 7] = [
        Chaos::Duplicates,
        Chaos::Swaps,
        Chaos::LostEnds,
        Chaos::NoCallIds,
        Chaos::MacForms,
        Chaos::NumberForms,
        Chaos::RawNames,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Chaos::Duplicates => "duplicates",
            Chaos::Swaps => "swaps",
            Chaos::LostEnds => "lost-ends",
            Chaos::NoCallIds => "no-call-ids",
            Chaos::MacForms => "mac-forms",
            Chaos::NumberForms => "number-forms",
            Chaos::RawNames => "raw-names",
        }
    }

    /// Disturbs reports, which are ordered by time before and after.
    pub fn apply_to(self, reports: &mut Vec<Report>, dice: &mut Dice) {
        match self {
            Chaos::Duplicates => duplicate(reports, dice),
            Chaos::Swaps => swap(reports, dice),
            Chaos::LostEnds => reports.retain(|report| !is_end(report) || !is_hit(dice)),
            Chaos::NoCallIds => reports.iter_mut().for_each(|report| report.call_id = None),
            Chaos::MacForms => reports
                .iter_mut()
                .for_each(|report| report.mac_form = MacForm::nth(dice.roll(4))),
            Chaos::NumberForms => reports.iter_mut().for_each(|report| respell(report, dice)),
            Chaos::RawNames => reports
                .iter_mut()
                .for_each(|report| report.name = NAMES[index(dice, NAMES.len())]),
        }

        reports.sort_by_key(|report| report.at);
    }
}

/// Names that standard parsers reject, or that contain parameters, markup or formulas.
const NAMES: [&str; 8] = [
    "John Doe",
    "\"Ann Lee\"",
    "<script>alert(1)</script>",
    "Tom & Jerry",
    "Bob&mac=000b82ffffff&remote=1",
    "王小明",
    "O'Neil #7",
    "=HYPERLINK(\"http://example.com\")",
];

fn is_hit(dice: &mut Dice) -> bool {
    dice.roll(ONE_IN) == 0
}

fn index(dice: &mut Dice, length: usize) -> usize {
    usize::try_from(dice.roll(length as u64)).unwrap_or(0)
}

fn is_end(report: &Report) -> bool {
    matches!(report.event, "hangup" | "missed" | "rejected")
}

fn duplicate(reports: &mut Vec<Report>, dice: &mut Dice) {
    for index in 0..reports.len() {
        if is_hit(dice) {
            let again = Report {
                at: reports[index].at + Duration::from_millis(dice.roll(REPEAT_DELAY_MS_MAX)),
                ..reports[index].clone()
            };
            reports.push(again);
        }
    }
}

fn swap(reports: &mut [Report], dice: &mut Dice) {
    for later in 1..reports.len() {
        let first = reports[later - 1].at;
        let second = reports[later].at;
        let may_overtake = reports[later - 1].phone != reports[later].phone
            && second.saturating_sub(first) < OVERTAKE;

        if may_overtake && is_hit(dice) {
            reports[later - 1].at = second;
            reports[later].at = first;
            reports.swap(later - 1, later);
        }
    }
}

/// Changes the spelling of a German number. The site needs `region = "DE"` to see that both are one
/// number.
fn respell(report: &mut Report, dice: &mut Dice) {
    let Some(national) = report.remote.strip_prefix("+49") else {
        return;
    };

    report.remote = match dice.roll(3) {
        0 => return,
        1 => format!("0{national}"),
        _ => format!("0049{national}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Fleet;

    /// Reports before and after the disturbance.
    fn disturbed(chaos: Chaos) -> (Vec<Report>, Vec<Report>) {
        let fleet = Fleet {
            seed: 1,
            phones: 30,
            calls_per_second: 5.0,
            duration: Duration::from_mins(1),
        };
        let mut reports = fleet.reports();
        chaos.apply_to(&mut reports, &mut Dice::new(1));

        assert!(
            reports.windows(2).all(|pair| pair[0].at <= pair[1].at),
            "{chaos:?}"
        );

        (fleet.reports(), reports)
    }

    #[test]
    fn every_disturbance_changes_some_reports_and_retains_most() {
        for chaos in Chaos::ALL {
            let (before, after) = disturbed(chaos);
            assert_ne!(before, after, "{chaos:?}");

            let most = before.len().max(after.len());
            let least = before.len().min(after.len());
            assert!(
                least * 10 > most * 8,
                "{chaos:?}: {most} and {least} reports"
            );
        }

        let (before, after) = disturbed(Chaos::Duplicates);
        assert!(before.iter().all(|report| after.contains(report)));

        let (before, after) = disturbed(Chaos::LostEnds);
        assert!(after.len() < before.len() && after.iter().all(|report| before.contains(report)));
    }
}
