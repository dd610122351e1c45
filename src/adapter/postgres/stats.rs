//! Statistics of a minute are what its logs say. They are counted from the logs once for as long as
//! this owner's connection lives, and from then on follow what the owner writes, since nobody else
//! does; written are always whole numbers of a minute, never differences.

use std::collections::{BTreeSet, HashMap};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::statement::BatchStatement;
use crate::adapter::sql;
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
const STATS: &str = "INSERT INTO call_stats (site, minute, direction, calls, answered, missed, ring_us, talk_us) SELECT t.* FROM fence, {rows} AS t
 ON CONFLICT (site, minute, direction) DO UPDATE SET calls = excluded.calls, answered = excluded.answered, missed = excluded.missed, ring_us = excluded.ring_us, talk_us = excluded.talk_us";
const NO_STATS: &str = "DELETE FROM call_stats USING fence, {rows} AS t (site, minute, direction)
 WHERE call_stats.site = t.site AND call_stats.minute = t.minute AND call_stats.direction = t.direction";

/// A minute of a site.
type Minute = (String, i64);

/// What a call adds to its minute, once it is known what became of it.
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
        let (answered, missed) = (
            i64::from(outcome == Outcome::Answered),
            i64::from(outcome == Outcome::Missed),
        );
        let sums = Sums {
            calls: 1,
            answered,
            missed,
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
        self.ring_us += sign * other.ring_us;
        self.talk_us += sign * other.talk_us;
    }
}

/// The minutes that are known, by direction.
#[derive(Default)]
pub(super) struct MinuteSums(HashMap<Minute, HashMap<Direction, Sums>>);

impl MinuteSums {
    /// Writes what the logs will say of the minutes that change: from what calls added before, and
    /// what they add now.
    pub(super) async fn write(
        &mut self,
        connection: &mut PgConnection,
        all: &mut BatchStatement,
        mut changes: Vec<(Option<CallShare>, Option<CallShare>)>,
    ) -> Result<(), sqlx::Error> {
        if self.0.len() > REMEMBERED_MAX {
            self.0.clear();
        }
        changes.retain(|(before, now)| before != now);
        let changed: BTreeSet<Minute> = changes
            .iter()
            .flat_map(|(before, now)| [before, now])
            .flatten()
            .map(|share| share.minute.clone())
            .collect();
        self.count(
            connection,
            changed
                .iter()
                .filter(|minute| !self.0.contains_key(*minute))
                .cloned()
                .collect(),
        )
        .await?;
        for (share, sign) in changes
            .into_iter()
            .flat_map(|(before, now)| [(before, -1), (now, 1)])
        {
            if let Some(share) = share
                && let Some(of_it) = self.0.get_mut(&share.minute)
            {
                of_it
                    .entry(share.direction)
                    .or_default()
                    .add(share.sums, sign);
            }
        }
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for minute in &changed {
            let Some(of_it) = self.0.get_mut(minute) else {
                continue;
            };
            for (direction, sums) in &*of_it {
                if sums.calls == 0 {
                    gone.push((minute, *direction))
                } else {
                    rows.push((minute, *direction, *sums))
                }
            }
            of_it.retain(|_, sums| sums.calls != 0);
        }
        all.stats(&rows, &gone);
        Ok(())
    }

    /// Counts minutes from the logs. A direction of which there is nothing has nothing: whatever
    /// stands there of it goes.
    async fn count(
        &mut self,
        connection: &mut PgConnection,
        minutes: Vec<Minute>,
    ) -> Result<(), sqlx::Error> {
        if minutes.is_empty() {
            return Ok(());
        }
        for minute in &minutes {
            self.0.insert(
                minute.clone(),
                DIRECTIONS
                    .into_iter()
                    .map(|direction| (direction, Sums::default()))
                    .collect(),
            );
        }
        let (sites, begins): (Vec<String>, Vec<i64>) = minutes.into_iter().unzip();
        let sums = |row: PgRow| {
            let sums = Sums {
                calls: row.get(3),
                answered: row.get(4),
                missed: row.get(5),
                ring_us: row.get(6),
                talk_us: row.get(7),
            };
            ((row.get(0), row.get(1)), direction_named(row.get(2)), sums)
        };
        let counted: Vec<(Minute, Option<Direction>, Sums)> = sqlx::query(COUNT)
            .bind(sites)
            .bind(begins)
            .bind(sql::MINUTE_US)
            .map(sums)
            .fetch_all(connection)
            .await?;
        for (minute, direction, sums) in counted {
            if let (Some(of_it), Some(direction)) = (self.0.get_mut(&minute), direction) {
                of_it.insert(direction, sums);
            }
        }
        Ok(())
    }
}

impl BatchStatement {
    fn stats(&mut self, rows: &[(&Minute, Direction, Sums)], gone: &[(&Minute, Direction)]) {
        let sums =
            |sum: fn(&Sums) -> i64| rows.iter().map(|(.., sums)| sum(sums)).collect::<Vec<_>>();
        if !rows.is_empty() {
            self.add("stats", STATS, |columns| {
                columns
                    .push_bind(
                        rows.iter()
                            .map(|((site, _), ..)| &**site)
                            .collect::<Vec<_>>(),
                    )
                    .push_bind(
                        rows.iter()
                            .map(|((_, minute), ..)| *minute)
                            .collect::<Vec<_>>(),
                    )
                    .push_bind(
                        rows.iter()
                            .map(|(_, direction, _)| direction_name(*direction))
                            .collect::<Vec<_>>(),
                    )
                    .push_bind(sums(|sums| sums.calls))
                    .push_bind(sums(|sums| sums.answered))
                    .push_bind(sums(|sums| sums.missed))
                    .push_bind(sums(|sums| sums.ring_us))
                    .push_bind(sums(|sums| sums.talk_us));
            });
        }
        if !gone.is_empty() {
            self.add("no_stats", NO_STATS, |columns| {
                columns
                    .push_bind(
                        gone.iter()
                            .map(|((site, _), _)| &**site)
                            .collect::<Vec<_>>(),
                    )
                    .push_bind(
                        gone.iter()
                            .map(|((_, minute), _)| *minute)
                            .collect::<Vec<_>>(),
                    )
                    .push_bind(
                        gone.iter()
                            .map(|(_, direction)| direction_name(*direction))
                            .collect::<Vec<_>>(),
                    );
            });
        }
    }
}

pub(super) fn direction_named(name: &str) -> Option<Direction> {
    DIRECTIONS
        .into_iter()
        .find(|direction| direction_name(*direction) == name)
}
