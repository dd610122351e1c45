//! Statistics of calls by minute, which always equal the sums over the call logs.
//!
//! A minute is counted from its logs once per connection of the owner. From then on it follows the
//! owner's writes, since no other process writes these logs. Stored are absolute numbers of a
//! minute, never differences.

use std::collections::{BTreeSet, HashMap};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::statement::BatchStatement;
use crate::adapter::sql;
use crate::domain::record::{CallRecord, Direction, Outcome};
use crate::wire::call_json::direction_name;

const UPSERT_STATS: &str = "
    INSERT INTO call_stats (
        site, minute, direction, calls, answered, missed, ring_us, talk_us
    )
    SELECT site, minute, direction, calls, answered, missed, ring_us, talk_us
    FROM fence
    JOIN {rows} AS t (
        part, site, minute, direction, calls, answered, missed, ring_us, talk_us
    ) USING (part)
    ON CONFLICT (site, minute, direction) DO UPDATE
    SET calls = excluded.calls,
        answered = excluded.answered,
        missed = excluded.missed,
        ring_us = excluded.ring_us,
        talk_us = excluded.talk_us";

const DELETE_STATS: &str = "
    DELETE FROM call_stats
    USING fence
    JOIN {rows} AS t (part, site, minute, direction) USING (part)
    WHERE call_stats.site = t.site
        AND call_stats.minute = t.minute
        AND call_stats.direction = t.direction";

const DIRECTIONS: [Direction; 3] = [Direction::Inbound, Direction::Outbound, Direction::Internal];
/// Cached minutes. Beyond this the cache starts anew, and minutes are counted again.
const CACHED_MINUTES_MAX: usize = 20_000;

const COUNT_MINUTES: &str = "-- count_minutes
    SELECT
        t.site,
        t.minute,
        direction,
        count(*),
        count(*) FILTER (WHERE outcome = 'answered'),
        count(*) FILTER (WHERE outcome = 'missed'),
        least(coalesce(sum(ring_us), 0), 9223372036854775807)::bigint,
        least(coalesce(sum(talk_us), 0), 9223372036854775807)::bigint
    FROM unnest($1::text[], $2::bigint[]) AS t (site, minute)
    JOIN call_logs
        ON call_logs.site = t.site
        AND started_at >= t.minute
        AND started_at < least(t.minute, 9223372036854775807 - $3) + $3
    WHERE outcome IS NOT NULL
    GROUP BY t.site, t.minute, direction";

/// A minute of a site.
type Minute = (String, i64);

/// The contribution of one call with an outcome to its minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallShare {
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

impl CallShare {
    /// The share of a call; `None` before it has an outcome.
    pub(super) fn of(record: &CallRecord) -> Option<CallShare> {
        let site = record.site.as_str().to_owned();

        Some(CallShare::new(
            site,
            record.started_at.0,
            record.direction,
            record.outcome?,
            record.ring.map(|span| span.0),
            record.talk.0,
        ))
    }

    pub(super) fn new(
        site: String,
        started_us: i64,
        direction: Direction,
        outcome: Outcome,
        ring_us: Option<i64>,
        talk_us: i64,
    ) -> CallShare {
        let sums = Sums {
            calls: 1,
            answered: i64::from(outcome == Outcome::Answered),
            missed: i64::from(outcome == Outcome::Missed),
            ring_us: ring_us.unwrap_or(0),
            talk_us,
        };

        CallShare {
            minute: (site, sql::minute_of(started_us)),
            direction,
            sums,
        }
    }
}

impl Sums {
    fn add(&mut self, other: Sums, sign: i64) {
        self.calls += sign * other.calls;
        self.answered += sign * other.answered;
        self.missed += sign * other.missed;
        // Sums over absurd spans saturate, so that one call never stops the statistics.
        let add = |sum: i64, span: i64| sum.saturating_add(span.saturating_mul(sign));
        self.ring_us = add(self.ring_us, other.ring_us);
        self.talk_us = add(self.talk_us, other.talk_us);
    }
}

/// The sums of each cached minute by direction.
#[derive(Default)]
pub(super) struct MinuteSums(HashMap<Minute, HashMap<Direction, Sums>>);

impl MinuteSums {
    /// Adds the changed minutes to the statement. `changes` are the shares of calls before and
    /// after it.
    pub(super) async fn write(
        &mut self,
        connection: &mut PgConnection,
        statement: &mut BatchStatement<'_>,
        mut changes: Vec<(Option<CallShare>, Option<CallShare>)>,
    ) -> Result<(), sqlx::Error> {
        if self.0.len() > CACHED_MINUTES_MAX {
            self.0.clear();
        }
        changes.retain(|(before, after)| before != after);

        let changed: BTreeSet<Minute> = changes
            .iter()
            .flat_map(|(before, after)| [before, after])
            .flatten()
            .map(|share| share.minute.clone())
            .collect();
        let uncached = changed
            .iter()
            .filter(|minute| !self.0.contains_key(*minute))
            .cloned()
            .collect();
        self.count_from_logs(connection, uncached).await?;

        self.apply(changes);
        self.write_minutes(statement, &changed);

        Ok(())
    }

    /// Replaces the shares of calls in their cached minutes.
    fn apply(&mut self, changes: Vec<(Option<CallShare>, Option<CallShare>)>) {
        let signed = changes
            .into_iter()
            .flat_map(|(before, after)| [(before, -1), (after, 1)]);

        for (share, sign) in signed {
            if let Some(share) = share
                && let Some(by_direction) = self.0.get_mut(&share.minute)
            {
                by_direction
                    .entry(share.direction)
                    .or_default()
                    .add(share.sums, sign);
            }
        }
    }

    fn write_minutes(&mut self, statement: &mut BatchStatement<'_>, minutes: &BTreeSet<Minute>) {
        let mut filled = Vec::new();
        let mut empty = Vec::new();

        for minute in minutes {
            let Some(by_direction) = self.0.get_mut(minute) else {
                continue;
            };
            for (direction, sums) in &*by_direction {
                if sums.calls == 0 {
                    empty.push((minute, *direction));
                } else {
                    filled.push((minute, *direction, *sums));
                }
            }
            by_direction.retain(|_, sums| sums.calls != 0);
        }

        if !filled.is_empty() {
            statement.upsert_stats(&filled);
        }
        if !empty.is_empty() {
            statement.delete_stats(&empty);
        }
    }

    /// Counts minutes from the logs. A direction without calls is cached as empty, so that a stored
    /// row of it is deleted.
    async fn count_from_logs(
        &mut self,
        connection: &mut PgConnection,
        minutes: Vec<Minute>,
    ) -> Result<(), sqlx::Error> {
        if minutes.is_empty() {
            return Ok(());
        }

        for minute in &minutes {
            let empty = DIRECTIONS.map(|direction| (direction, Sums::default()));
            self.0.insert(minute.clone(), HashMap::from(empty));
        }

        let (sites, starts): (Vec<String>, Vec<i64>) = minutes.into_iter().unzip();
        let minute_sums = |row: PgRow| {
            let sums = Sums {
                calls: row.get(3),
                answered: row.get(4),
                missed: row.get(5),
                ring_us: row.get(6),
                talk_us: row.get(7),
            };
            ((row.get(0), row.get(1)), parse_direction(row.get(2)), sums)
        };
        let counted: Vec<(Minute, Option<Direction>, Sums)> = sqlx::query(COUNT_MINUTES)
            .bind(sites)
            .bind(starts)
            .bind(sql::MINUTE_US)
            .map(minute_sums)
            .fetch_all(connection)
            .await?;

        for (minute, direction, sums) in counted {
            if let (Some(by_direction), Some(direction)) = (self.0.get_mut(&minute), direction) {
                by_direction.insert(direction, sums);
            }
        }

        Ok(())
    }
}

impl BatchStatement<'_> {
    fn upsert_stats(&mut self, rows: &[(&Minute, Direction, Sums)]) {
        self.add_cte("upsert_stats", UPSERT_STATS, |columns| {
            columns
                .texts(rows, |((site, _), ..)| site.clone())
                .numbers(rows, |((_, minute), ..)| *minute)
                .texts(rows, |(_, direction, _)| direction_name(*direction))
                .numbers(rows, |(.., sums)| sums.calls)
                .numbers(rows, |(.., sums)| sums.answered)
                .numbers(rows, |(.., sums)| sums.missed)
                .numbers(rows, |(.., sums)| sums.ring_us)
                .numbers(rows, |(.., sums)| sums.talk_us);
        });
    }

    fn delete_stats(&mut self, rows: &[(&Minute, Direction)]) {
        self.add_cte("delete_stats", DELETE_STATS, |columns| {
            columns
                .texts(rows, |((site, _), _)| site.clone())
                .numbers(rows, |((_, minute), _)| *minute)
                .texts(rows, |(_, direction)| direction_name(*direction));
        });
    }
}

pub(super) fn parse_direction(name: &str) -> Option<Direction> {
    DIRECTIONS
        .into_iter()
        .find(|direction| direction_name(*direction) == name)
}
