//! What networks and firmware do to reports without changing what happened.

use std::time::Duration;

use super::dice::Dice;
use super::fleet::{MacForm, Report};

/// Of so many reports one is hit.
const ONE_IN: u64 = 10;
/// A request comes again at most so much later.
const AGAIN_MS: u64 = 10_000;
/// Requests less than this apart may overtake each other.
const OVERTAKE: Duration = Duration::from_secs(1);

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaos {
    /// Requests that come twice.
    Duplicates,
    /// Requests of different phones that overtake each other.
    Swaps,
    /// Ends that are never reported.
    LostEnds,
    /// Phones that know no call id.
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

    /// Does it to reports in their order, and leaves them in order.
    pub fn strike(self, reports: &mut Vec<Report>, dice: &mut Dice) {
        match self {
            Chaos::Duplicates => duplicate(reports, dice),
            Chaos::Swaps => swap(reports, dice),
            Chaos::LostEnds => reports.retain(|report| !is_end(report) || !hits(dice)),
            Chaos::NoCallIds => reports.iter_mut().for_each(|report| report.call_id = None),
            Chaos::MacForms => reports
                .iter_mut()
                .for_each(|report| report.mac_form = MacForm::of(dice.roll(4))),
            Chaos::NumberForms => reports.iter_mut().for_each(|report| spell(report, dice)),
            Chaos::RawNames => reports
                .iter_mut()
                .for_each(|report| report.name = NAMES[place(dice, NAMES.len())]),
        }
        reports.sort_by_key(|report| report.at);
    }
}

/// Names that stock parsers choke on, or that try to be more than a name.
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

fn hits(dice: &mut Dice) -> bool {
    dice.roll(ONE_IN) == 0
}

fn place(dice: &mut Dice, length: usize) -> usize {
    usize::try_from(dice.roll(length as u64)).unwrap_or(0)
}

fn is_end(report: &Report) -> bool {
    matches!(report.event, "hangup" | "missed" | "rejected")
}

fn duplicate(reports: &mut Vec<Report>, dice: &mut Dice) {
    for index in 0..reports.len() {
        if hits(dice) {
            let again = Report {
                at: reports[index].at + Duration::from_millis(dice.roll(AGAIN_MS)),
                ..reports[index].clone()
            };
            reports.push(again);
        }
    }
}

fn swap(reports: &mut [Report], dice: &mut Dice) {
    for later in 1..reports.len() {
        let (first, second) = (reports[later - 1].at, reports[later].at);
        let apart = reports[later - 1].phone != reports[later].phone
            && second.saturating_sub(first) < OVERTAKE;
        if apart && hits(dice) {
            reports[later - 1].at = second;
            reports[later].at = first;
            reports.swap(later - 1, later);
        }
    }
}

/// Another spelling of a German number; the site needs `region = "DE"` to know that they are one.
fn spell(report: &mut Report, dice: &mut Dice) {
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

    fn struck(chaos: Chaos) -> (Vec<Report>, Vec<Report>) {
        let fleet = Fleet {
            seed: 1,
            phones: 30,
            calls_per_second: 5.0,
            duration: Duration::from_mins(1),
        };
        let mut reports = fleet.reports();
        chaos.strike(&mut reports, &mut Dice::new(1));
        assert!(
            reports.windows(2).all(|pair| pair[0].at <= pair[1].at),
            "{chaos:?}"
        );
        (fleet.reports(), reports)
    }

    #[test]
    fn every_kind_of_trouble_does_something_and_keeps_the_rest() {
        for chaos in Chaos::ALL {
            let (before, after) = struck(chaos);
            assert_ne!(before, after, "{chaos:?}");
            let (most, least) = (before.len().max(after.len()), before.len().min(after.len()));
            assert!(
                least * 10 > most * 8,
                "{chaos:?}: {most} and {least} reports"
            );
        }
        let (before, after) = struck(Chaos::Duplicates);
        assert!(before.iter().all(|report| after.contains(report)));
        let (before, after) = struck(Chaos::LostEnds);
        assert!(after.len() < before.len() && after.iter().all(|report| before.contains(report)));
    }
}
