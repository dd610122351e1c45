//! Statistics of a minute are what its logs say. They are counted from the logs once for as long as this owner's connection lives, and from then on
//! follow what the owner writes, since nobody else does; written are always whole numbers of a minute, never differences.

use std::collections::{BTreeSet, HashMap};

use sqlx::Row;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;

use crate::adapter::sql;
use crate::domain::fact::CallId;
use crate::domain::record::{CallRecord, Direction, Outcome};
use crate::wire::call_json::direction_name;

const DIRECTIONS: [Direction; 3] = [Direction::Inbound, Direction::Outbound, Direction::Internal];
/// Minutes that are remembered; where more of them change, they are counted again.
const REMEMBERED_MAX: usize = 20_000;
const COUNT: &str =
    "SELECT t.site, t.minute, direction, count(*), count(*) FILTER (WHERE outcome = 'answered'), count(*) FILTER (WHERE outcome = 'missed'),
    coalesce(sum(ring_us), 0)::bigint, coalesce(sum(talk_us), 0)::bigint
 FROM unnest($1::text[], $2::bigint[]) AS t (site, minute) JOIN call_logs ON call_logs.site = t.site AND started_at >= t.minute AND started_at < t.minute + $3
 WHERE outcome IS NOT NULL GROUP BY t.site, t.minute, direction";
const DELETE: &str = "DELETE FROM call_stats USING unnest($1::text[], $2::bigint[], $3::text[]) AS t (site, minute, direction)
 WHERE call_stats.site = t.site AND call_stats.minute = t.minute AND call_stats.direction = t.direction";
const UPSERT: &str = "INSERT INTO call_stats (site, minute, direction, calls, answered, missed, ring_us, talk_us)
 SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
 ON CONFLICT (site, minute, direction) DO UPDATE SET calls = excluded.calls, answered = excluded.answered, missed = excluded.missed, ring_us = excluded.ring_us, talk_us = excluded.talk_us";

/// A minute of a site.
pub(super) type Minute = (String, i64);

/// What a call adds to its minute, once it is known what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    minute: Minute,
    direction: Direction,
    sums: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    calls: i64,
    answered: i64,
    missed: i64,
    ring_us: i64,
    talk_us: i64,
}

impl Share {
    pub(super) fn of(record: &CallRecord) -> Option<Share> {
        let outcome = record.outcome?;
        Some(Share {
            minute: (record.site.as_str().to_owned(), sql::minute_of(record.started_at.0)),
            direction: record.direction,
            sums: Sums {
                calls: 1,
                answered: i64::from(outcome == Outcome::Answered),
                missed: i64::from(outcome == Outcome::Missed),
                ring_us: record.ring.map_or(0, |span| span.0),
                talk_us: record.talk.0,
            },
        })
    }
}

impl Sums {
    fn add(&mut self, other: Sums, sign: i64) {
        self.calls += sign * other.calls;
        self.answered += sign * other.answered;
        self.missed += sign * other.missed;
        self.ring_us += sign * other.ring_us;
        self.talk_us += sign * other.talk_us;
    }
}

/// The minutes that are known, by direction.
#[derive(Default)]
pub(super) struct Known(HashMap<Minute, HashMap<Direction, Sums>>);

/// What a batch changes of the statistics.
#[derive(Default)]
pub(super) struct Shares {
    /// Minutes of which it is not known what they held.
    touched: BTreeSet<Minute>,
    changes: Vec<(Share, i64)>,
}

impl Shares {
    /// What a call added before, and what it adds now.
    pub(super) fn change(&mut self, before: Option<&Share>, now: Option<Share>) {
        if before != now.as_ref() {
            self.changes.extend(before.cloned().map(|share| (share, -1)));
            self.changes.extend(now.map(|share| (share, 1)));
        }
    }

    /// Calls that were written before, nobody here knows how.
    pub(super) fn touch(&mut self, minutes: &HashMap<CallId, Minute>) {
        self.touched.extend(minutes.values().cloned());
    }
}

impl Known {
    /// Writes what the logs say of the minutes that changed. The logs are written already.
    pub(super) async fn write(&mut self, transaction: &mut PgConnection, shares: Shares) -> Result<(), sqlx::Error> {
        if self.0.len() > REMEMBERED_MAX {
            self.0.clear();
        }
        let Shares { touched, changes } = shares;
        for minute in &touched {
            self.0.remove(minute);
        }
        // What is counted now has the changes in it.
        for (share, sign) in &changes {
            if let Some(of_it) = self.0.get_mut(&share.minute) {
                of_it.entry(share.direction).or_default().add(share.sums, *sign);
            }
        }
        let changed: BTreeSet<Minute> = touched.into_iter().chain(changes.into_iter().map(|(share, _)| share.minute)).collect();
        self.count(transaction, changed.iter().filter(|minute| !self.0.contains_key(*minute)).cloned().collect()).await?;
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for minute in &changed {
            let Some(of_it) = self.0.get_mut(minute) else { continue };
            for (direction, sums) in &*of_it {
                if sums.calls == 0 { gone.push((minute, *direction)) } else { rows.push((minute, *direction, *sums)) }
            }
            of_it.retain(|_, sums| sums.calls != 0);
        }
        if !gone.is_empty() {
            let delete = sqlx::query(DELETE).bind(gone.iter().map(|((site, _), _)| &**site).collect::<Vec<_>>());
            let delete = delete.bind(gone.iter().map(|((_, minute), _)| *minute).collect::<Vec<_>>());
            delete
                .bind(gone.iter().map(|(_, direction)| direction_name(*direction)).collect::<Vec<_>>())
                .execute(&mut *transaction)
                .await?;
        }
        if !rows.is_empty() {
            upsert(&rows).execute(transaction).await?;
        }
        Ok(())
    }

    /// Counts minutes from the logs. A direction of which there is nothing has nothing: whatever stands there of it goes.
    async fn count(&mut self, transaction: &mut PgConnection, minutes: Vec<Minute>) -> Result<(), sqlx::Error> {
        if minutes.is_empty() {
            return Ok(());
        }
        for minute in &minutes {
            self.0.insert(minute.clone(), DIRECTIONS.into_iter().map(|direction| (direction, Sums::default())).collect());
        }
        let (sites, begins): (Vec<String>, Vec<i64>) = minutes.into_iter().unzip();
        let sums = |row: PgRow| {
            let sums = Sums { calls: row.get(3), answered: row.get(4), missed: row.get(5), ring_us: row.get(6), talk_us: row.get(7) };
            ((row.get(0), row.get(1)), row.get(2), sums)
        };
        let counted: Vec<(Minute, String, Sums)> =
            sqlx::query(COUNT).bind(sites).bind(begins).bind(sql::MINUTE_US).map(sums).fetch_all(transaction).await?;
        for (minute, name, sums) in counted {
            let direction = DIRECTIONS.into_iter().find(|direction| direction_name(*direction) == name);
            if let (Some(of_it), Some(direction)) = (self.0.get_mut(&minute), direction) {
                of_it.insert(direction, sums);
            }
        }
        Ok(())
    }
}

fn upsert<'q>(rows: &'q [(&'q Minute, Direction, Sums)]) -> Query<'q, Postgres, PgArguments> {
    let sums = |sum: fn(&Sums) -> i64| rows.iter().map(|(.., sums)| sum(sums)).collect::<Vec<_>>();
    sqlx::query(UPSERT)
        .bind(rows.iter().map(|((site, _), ..)| &**site).collect::<Vec<_>>())
        .bind(rows.iter().map(|((_, minute), ..)| *minute).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, direction, _)| direction_name(*direction)).collect::<Vec<_>>())
        .bind(sums(|sums| sums.calls))
        .bind(sums(|sums| sums.answered))
        .bind(sums(|sums| sums.missed))
        .bind(sums(|sums| sums.ring_us))
        .bind(sums(|sums| sums.talk_us))
}
