//! The reading side, for the interfaces.

use futures_util::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::PostgresLedger;
use crate::adapter::sql;
use crate::port::ledger::LedgerError;
use crate::port::query::{CallFilter, Counts, HourStats, KnownExtension, MissedCall, Query, StoredCall};

/// Where a number can stand; each column has an index in the order of pages.
const NUMBER_COLUMNS: [&str; 4] = ["from_number", "from_e164", "to_number", "to_e164"];

impl Query for PostgresLedger {
    fn calls<'a>(&'a self, filter: &'a CallFilter) -> BoxFuture<'a, Result<Vec<StoredCall>, LedgerError>> {
        let mut query = select_calls(filter);
        let stored = |row: PgRow| StoredCall { started_at: row.get(0), id: row.get(1), record: row.get(2) };
        Box::pin(self.ask(move |connection| Box::pin(async move { query.build().map(stored).fetch_all(connection).await })))
    }

    fn call<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        let Ok(id) = uuid::Uuid::try_parse(id) else { return Box::pin(std::future::ready(Ok(None))) };
        let sql = "SELECT record::text FROM call_logs WHERE call_id = $1";
        Box::pin(self.ask(move |connection| Box::pin(sqlx::query_scalar(sql).bind(id).fetch_optional(connection))))
    }

    fn missed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<MissedCall>, LedgerError>> {
        let sql = "SELECT call_id::text, site, from_number, from_e164, extensions::text, missed_at, desk_status, assigned_to
            FROM missed_call_logs WHERE NOT retracted ORDER BY missed_at DESC, call_id DESC LIMIT $1";
        let missed = |row: PgRow| MissedCall {
            call_id: row.get(0),
            site: row.get(1),
            number: row.get::<Option<&str>, _>(2).map(Into::into),
            e164: row.get::<Option<&str>, _>(3).map(Into::into),
            extensions: row.get(4),
            missed_at: row.get(5),
            desk_status: row.get(6),
            assigned_to: row.get(7),
        };
        Box::pin(self.ask(move |connection| {
            Box::pin(async move { sqlx::query(sql).bind(i64::from(limit)).map(missed).fetch_all(connection).await })
        }))
    }

    fn stats(&self, since: i64, until: i64) -> BoxFuture<'_, Result<Vec<HourStats>, LedgerError>> {
        let sql = "SELECT site, minute - minute % $3 AS hour, direction, sum(calls)::bigint, sum(answered)::bigint, sum(missed)::bigint, sum(ring_us)::bigint, sum(talk_us)::bigint
            FROM call_stats WHERE minute >= $1 AND minute < $2 GROUP BY hour, site, direction ORDER BY hour, site, direction";
        let stats = |row: PgRow| HourStats {
            site: row.get(0),
            hour: row.get(1),
            direction: row.get(2),
            calls: row.get(3),
            answered: row.get(4),
            missed: row.get(5),
            ring_us: row.get(6),
            talk_us: row.get(7),
        };
        Box::pin(self.ask(move |connection| {
            Box::pin(async move { sqlx::query(sql).bind(since).bind(until).bind(sql::HOUR_US).map(stats).fetch_all(connection).await })
        }))
    }

    fn devices<'a>(&'a self, site: &'a str) -> BoxFuture<'a, Result<Vec<(String, i64)>, LedgerError>> {
        let sql = "SELECT device, last_seen FROM devices WHERE site = $1 ORDER BY last_seen DESC, device LIMIT 10000";
        let site = site.to_owned();
        Box::pin(self.ask(move |connection| Box::pin(sqlx::query_as(sql).bind(site).fetch_all(connection))))
    }

    fn extensions<'a>(&'a self, site: &'a str) -> BoxFuture<'a, Result<Vec<KnownExtension>, LedgerError>> {
        let sql = "SELECT extensions.extension, first_report, agent, name FROM extensions
            LEFT JOIN agents ON agents.site = extensions.site AND agents.extension = extensions.extension
            WHERE extensions.site = $1 ORDER BY extensions.extension LIMIT 10000";
        let known = |row: PgRow| KnownExtension {
            extension: row.get(0),
            first_report: row.get(1),
            agent: row.get(2),
            name: row.get::<Option<&str>, _>(3).map(Into::into),
        };
        let site = site.to_owned();
        Box::pin(self.ask(move |connection| Box::pin(async move { sqlx::query(sql).bind(site).map(known).fetch_all(connection).await })))
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, LedgerError>> {
        let sql = "SELECT (SELECT count(*) FROM call_states WHERE is_open AND ended_at IS NULL),
            (SELECT count(*) FROM call_states JOIN call_logs ON call_logs.call_id = our_call WHERE is_open AND call_states.ended_at IS NULL AND answered_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM call_participants WHERE call_participants.call_id = call_logs.call_id AND left_at IS NULL)),
            (SELECT count(*) FROM dead_events)";
        let few = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let counts = move |row: PgRow| Counts { live: few(row.get(0)), missed_pending: few(row.get(1)), dead: few(row.get(2)) };
        Box::pin(self.ask(move |connection| Box::pin(async move { sqlx::query(sql).map(counts).fetch_one(connection).await })))
    }
}

/// A page is read from the index that leads to it, whatever is asked for: a number may stand in four places, and each has its own index.
fn select_calls(filter: &CallFilter) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT started_at, call_id::text, record::text FROM ");
    if let Some(number) = &filter.number {
        query.push("(");
        for (place, column) in NUMBER_COLUMNS.into_iter().enumerate() {
            query.push(if place == 0 { "(SELECT * FROM call_logs WHERE " } else { " UNION ALL (SELECT * FROM call_logs WHERE " });
            query.push(column).push(" = ").push_bind(number.clone());
            // A call between equal numbers is found once.
            for before in &NUMBER_COLUMNS[..place] {
                query.push(" AND ").push(*before).push(" IS DISTINCT FROM ").push_bind(number.clone());
            }
            conditions(&mut query, filter);
            page(&mut query, filter);
            query.push(")");
        }
        query.push(") AS found");
    } else {
        query.push("call_logs WHERE true");
        conditions(&mut query, filter);
    }
    page(&mut query, filter);
    query
}

fn conditions(query: &mut QueryBuilder<Postgres>, filter: &CallFilter) {
    let equal = [("site", &filter.site), ("direction", &filter.direction), ("outcome", &filter.outcome), ("status", &filter.status)];
    for (column, wanted) in equal {
        if let Some(wanted) = wanted {
            query.push(" AND ").push(column).push(" = ").push_bind(wanted.clone());
        }
    }
    if let Some(since) = filter.since {
        query.push(" AND started_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND started_at < ").push_bind(until);
    }
    if let Some(extension) = &filter.extension {
        query.push(" AND call_id IN (SELECT call_id FROM call_participants WHERE extension = ").push_bind(extension.clone()).push(")");
    }
    if filter.live {
        query.push(" AND ended_at IS NULL AND call_id = ANY(ARRAY(SELECT our_call FROM call_states WHERE is_open AND ended_at IS NULL))");
    }
    if let Some((started_at, id)) = &filter.after {
        let id = uuid::Uuid::try_parse(id).unwrap_or_default();
        query.push(" AND (started_at, call_id) < (").push_bind(*started_at).push(", ").push_bind(id).push(")");
    }
}

fn page(query: &mut QueryBuilder<Postgres>, filter: &CallFilter) {
    query.push(" ORDER BY started_at DESC, call_id DESC LIMIT ").push_bind(i64::from(filter.limit));
}
