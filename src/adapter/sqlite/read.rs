//! The reading side, for the interfaces.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::SqliteLedger;
use crate::adapter::sql;
use crate::port::ledger::LedgerError;
use crate::port::query::{
    CallFilter, HourStats, KnownExtension, MissedCall, OperationCounts, Query, StoredCall,
};

#[async_trait]
impl Query for SqliteLedger {
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        let mut query = select_calls(filter);
        let stored = |row: SqliteRow| StoredCall {
            started_at: row.get(0),
            id: row.get(1),
            record: row.get(2),
        };
        Ok(query.build().map(stored).fetch_all(&self.readers).await?)
    }

    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError> {
        let found = sqlx::query_scalar("SELECT record FROM call_logs WHERE call_id = ?1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await;
        Ok(found?)
    }

    async fn missed(&self, limit: u32) -> Result<Vec<MissedCall>, LedgerError> {
        let sql = "SELECT call_id, site, from_number, from_e164, extensions, missed_at, desk_status, assigned_to
                FROM missed_call_logs WHERE retracted = 0 ORDER BY missed_at DESC, call_id DESC LIMIT ?1";
        let missed = |row: SqliteRow| MissedCall {
            call_id: row.get(0),
            site: row.get(1),
            number: row.get::<Option<&str>, _>(2).map(Into::into),
            e164: row.get::<Option<&str>, _>(3).map(Into::into),
            extensions: row.get(4),
            missed_at: row.get(5),
            desk_status: row.get(6),
            assigned_to: row.get(7),
        };
        Ok(sqlx::query(sql)
            .bind(limit)
            .map(missed)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn stats(&self, since: i64, until: i64) -> Result<Vec<HourStats>, LedgerError> {
        let sql =
                "SELECT site, minute - minute % ?3 AS hour, direction, sum(calls), sum(answered), sum(missed), sum(ring_us), sum(talk_us)
                FROM call_stats WHERE minute >= ?1 AND minute < ?2 GROUP BY hour, site, direction ORDER BY hour, site, direction";
        let stats = |row: SqliteRow| HourStats {
            site: row.get(0),
            hour: row.get(1),
            direction: row.get(2),
            calls: row.get(3),
            answered: row.get(4),
            missed: row.get(5),
            ring_us: row.get(6),
            talk_us: row.get(7),
        };
        Ok(sqlx::query(sql)
            .bind(since)
            .bind(until)
            .bind(sql::HOUR_US)
            .map(stats)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn devices(&self, site: &str) -> Result<Vec<(String, i64)>, LedgerError> {
        let sql = "SELECT device, last_seen FROM devices WHERE site = ?1 ORDER BY last_seen DESC, device LIMIT 10000";

        Ok(sqlx::query_as(sql)
            .bind(site)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn extensions(&self, site: &str) -> Result<Vec<KnownExtension>, LedgerError> {
        let sql = "SELECT extensions.extension, first_report, agent, name FROM extensions
            LEFT JOIN agents ON agents.site = extensions.site AND agents.extension = extensions.extension
            WHERE extensions.site = ?1 ORDER BY extensions.extension LIMIT 10000";
        let known = |row: SqliteRow| KnownExtension {
            extension: row.get(0),
            first_report: row.get(1),
            agent: row.get(2),
            name: row.get::<Option<&str>, _>(3).map(Into::into),
        };

        Ok(sqlx::query(sql)
            .bind(site)
            .map(known)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        let sql = "SELECT (SELECT count(*) FROM call_logs WHERE is_final = 0 AND ended_at IS NULL),
                (SELECT count(*) FROM call_logs WHERE is_final = 0 AND ended_at IS NULL AND answered_at IS NULL
                    AND NOT EXISTS (SELECT 1 FROM call_participants WHERE call_participants.call_id = call_logs.call_id AND left_at IS NULL)),
                (SELECT count(*) FROM dead_events)";
        let counts = |row: SqliteRow| OperationCounts {
            live: row.get(0),
            missed_pending: row.get(1),
            dead: row.get(2),
        };
        Ok(sqlx::query(sql)
            .map(counts)
            .fetch_one(&self.readers)
            .await?)
    }
}

fn select_calls(filter: &CallFilter) -> QueryBuilder<Sqlite> {
    let mut query =
        QueryBuilder::new("SELECT started_at, call_id, record FROM call_logs WHERE true");
    let equal = [
        ("site", &filter.site),
        ("direction", &filter.direction),
        ("outcome", &filter.outcome),
        ("status", &filter.status),
    ];
    for (column, wanted) in equal {
        if let Some(wanted) = wanted {
            query
                .push(" AND ")
                .push(column)
                .push(" = ")
                .push_bind(wanted.clone());
        }
    }
    if let Some(since) = filter.since {
        query.push(" AND started_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND started_at < ").push_bind(until);
    }
    if let Some(number) = &filter.number {
        query
            .push(" AND ")
            .push_bind(number.clone())
            .push(" IN (from_number, from_e164, to_number, to_e164)");
    }
    if let Some(extension) = &filter.extension {
        query
            .push(" AND call_id IN (SELECT call_id FROM call_participants WHERE extension = ")
            .push_bind(extension.clone())
            .push(")");
    }
    if filter.live {
        query.push(" AND is_final = 0 AND ended_at IS NULL");
    }
    if let Some((started_at, id)) = &filter.after {
        query
            .push(" AND (started_at, call_id) < (")
            .push_bind(*started_at)
            .push(", ")
            .push_bind(id.clone())
            .push(")");
    }
    query
        .push(" ORDER BY started_at DESC, call_id DESC LIMIT ")
        .push_bind(filter.limit);
    query
}
