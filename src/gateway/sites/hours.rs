//! Opening hours: the weekly times at which a site takes calls, in its time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::domain::time::{At, Span};

/// Openings are looked for over so many days.
const DAYS_MAX: i64 = 400;
pub(super) const DAY_MINUTES: u16 = 24 * 60;

/// Times of some days of the week. With `to` before `from` they end on the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// From Monday on.
    pub days: [bool; 7],
    /// Minutes of the day.
    pub from: u16,
    pub to: u16,
}

/// The hours of a site; one without openings is open always.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct OpeningHours {
    zone: TimeZone,
    openings: Vec<Opening>,
}

impl OpeningHours {
    pub(super) fn new(zone: TimeZone, openings: Vec<Opening>) -> OpeningHours {
        OpeningHours { zone, openings }
    }

    pub(super) fn always() -> OpeningHours {
        OpeningHours::new(TimeZone::UTC, Vec::new())
    }

    pub(in crate::gateway) fn is_open(&self, at: At) -> bool {
        self.openings.is_empty()
            || self
                .periods(at)
                .take_while(|(begin, _)| *begin <= at)
                .any(|(_, end)| at < end)
    }

    /// The instant at which the site has been open for so long since another one.
    pub(in crate::gateway) fn after(&self, since: At, open: Span) -> At {
        if self.openings.is_empty() {
            return since + open;
        }

        let mut left = open;
        let mut last = since + open;
        for (begin, end) in self.periods(since) {
            let begin = begin.max(since);
            if end <= begin {
                continue;
            }
            if begin + left <= end {
                return begin + left;
            }
            left = Span(left.0 - (end - begin).0);
            last = end;
        }

        last
    }

    /// The times at which the site is open, in order and apart from each other, from the day before
    /// the instant on.
    fn periods(&self, from: At) -> impl Iterator<Item = (At, At)> {
        let first = Timestamp::from_microsecond(from.0)
            .map(|from| from.to_zoned(self.zone.clone()).date())
            .ok()
            .and_then(|today| today.checked_sub(1.day()).ok());
        let days = first.into_iter().flat_map(|first| {
            (0..DAYS_MAX).filter_map(move |day| first.checked_add(day.days()).ok())
        });

        let mut last_end = At::START;
        days.flat_map(|day| self.periods_of(day))
            .filter_map(move |(begin, end)| {
                let begin = begin.max(last_end);
                last_end = last_end.max(end);

                (begin < end).then_some((begin, end))
            })
    }

    /// The openings that begin on a day.
    fn periods_of(&self, day: Date) -> Vec<(At, At)> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
        let of_day = self.openings.iter().filter(|opening| opening.days[weekday]);

        let mut periods: Vec<(At, At)> = of_day
            .filter_map(|opening| {
                let end_day = if opening.to <= opening.from {
                    day.tomorrow().ok()?
                } else {
                    day
                };
                Some((
                    self.instant(day, opening.from)?,
                    self.instant(end_day, opening.to)?,
                ))
            })
            .collect();
        periods.sort_unstable();

        periods
    }

    /// A time of day as an instant. One that the change to summer time leaves out is an hour later.
    fn instant(&self, day: Date, minute: u16) -> Option<At> {
        let (day, minute) = if minute >= DAY_MINUTES {
            (day.tomorrow().ok()?, 0)
        } else {
            (day, minute)
        };
        let hour = i8::try_from(minute / 60).ok()?;
        let minute = i8::try_from(minute % 60).ok()?;
        let zoned = day
            .at(hour, minute, 0, 0)
            .to_zoned(self.zone.clone())
            .ok()?;

        Some(At(zoned.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::instant;

    const WEEKDAYS: [bool; 7] = [true, true, true, true, true, false, false];
    const EVERY_DAY: [bool; 7] = [true; 7];

    fn hours(openings: &[([bool; 7], u16, u16)]) -> OpeningHours {
        let openings = openings.iter().map(|(days, from, to)| Opening {
            days: *days,
            from: from * 60,
            to: to * 60,
        });

        OpeningHours::new(
            TimeZone::get("Europe/Berlin").expect("a time zone"),
            openings.collect(),
        )
    }

    fn at(text: &str) -> At {
        instant::parse(text).expect("an instant")
    }

    fn minutes(minutes: i64) -> Span {
        Span::seconds(minutes * 60)
    }

    #[test]
    fn a_site_is_open_at_its_times_of_the_week() {
        let hours = hours(&[(WEEKDAYS, 8, 12), (WEEKDAYS, 13, 18)]);

        // A Monday, in winter.
        for (instant, is_open) in [
            ("2026-11-30T07:59:59+01:00", false),
            ("2026-11-30T08:00:00+01:00", true),
            ("2026-11-30T12:30:00+01:00", false),
            ("2026-11-30T17:59:59+01:00", true),
            ("2026-11-30T18:00:00+01:00", false),
            ("2026-11-29T10:00:00+01:00", false),
        ] {
            assert_eq!(hours.is_open(at(instant)), is_open, "{instant}");
        }
        assert!(OpeningHours::always().is_open(at("2026-11-29T10:00:00Z")));
    }

    #[test]
    fn time_passes_only_while_the_site_is_open() {
        let hours = hours(&[(WEEKDAYS, 8, 12), (WEEKDAYS, 13, 18)]);

        for (since, until) in [
            // Within the hours, over noon, over the weekend, before the opening.
            ("2026-11-30T09:00:00+01:00", "2026-11-30T09:30:00+01:00"),
            ("2026-11-30T11:45:00+01:00", "2026-11-30T13:15:00+01:00"),
            ("2026-11-27T17:50:00+01:00", "2026-11-30T08:20:00+01:00"),
            ("2026-11-30T03:00:00+01:00", "2026-11-30T08:30:00+01:00"),
            ("2026-11-30T11:30:00+01:00", "2026-11-30T12:00:00+01:00"),
        ] {
            assert_eq!(hours.after(at(since), minutes(30)), at(until), "{since}");
        }
        let since = at("2026-11-29T03:00:00Z");
        assert_eq!(
            OpeningHours::always().after(since, minutes(30)),
            since + minutes(30)
        );
    }

    #[test]
    fn hours_go_over_midnight_and_over_the_change_of_the_clock() {
        let night = hours(&[(EVERY_DAY, 22, 6), (EVERY_DAY, 5, 7)]);
        assert!(night.is_open(at("2026-11-30T02:00:00+01:00")));
        assert!(!night.is_open(at("2026-11-30T07:00:00+01:00")));
        assert_eq!(
            night.after(at("2026-11-30T05:30:00+01:00"), minutes(120)),
            at("2026-11-30T22:30:00+01:00")
        );

        // The night of the 29th of March has no hour from two to three.
        assert_eq!(
            night.after(at("2026-03-29T01:30:00+01:00"), minutes(60)),
            at("2026-03-29T03:30:00+02:00")
        );
        let whole_day = hours(&[(EVERY_DAY, 0, 24)]);
        assert!(whole_day.is_open(at("2026-11-30T23:59:59+01:00")));
        assert!(whole_day.is_open(at("2026-12-01T00:00:00+01:00")));
    }

    #[test]
    fn a_time_that_never_passes_has_an_end() {
        let rarely = hours(&[([true, false, false, false, false, false, false], 8, 9)]);
        let since = at("2026-11-30T10:00:00+01:00");

        let end = rarely.after(since, minutes(10_000));

        assert!(end > since + Span::seconds(300 * 86_400));
        assert!(end < since + Span::seconds(400 * 86_400));
    }
}
