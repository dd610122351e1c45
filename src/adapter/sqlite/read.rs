//! The reading side, for the interfaces.

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::SqliteLedger;
use crate::port::ledger::LedgerError;
use crate::port::query::{CallFilter, Query, StoredCall};

impl Query for SqliteLedger {
    fn calls<'a>(&'a self, filter: &'a CallFilter) -> BoxFuture<'a, Result<Vec<StoredCall>, LedgerError>> {
        Box::pin(async move {
            let mut query = select_calls(filter);
            let stored = |row: SqliteRow| StoredCall { started_at: row.get(0), id: row.get(1), record: row.get(2) };
            Ok(query.build().map(stored).fetch_all(&self.readers).await?)
        })
    }

    fn call<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        Box::pin(async move {
            let found = sqlx::query_scalar("SELECT record FROM call_logs WHERE call_id = ?1").bind(id).fetch_optional(&self.readers).await;
            Ok(found?)
        })
    }

    fn missed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, LedgerError>> {
        Box::pin(async move {
            let sql = "SELECT json_object('call_id', call_id, 'site', site, 'from', json_object('number', from_number, 'e164', from_e164), 'missed_extensions', json(extensions), 'missed_at_us', missed_at, 'status', desk_status, 'assigned_to', assigned_to)
                FROM missed_call_logs WHERE retracted = 0 ORDER BY missed_at DESC LIMIT ?1";
            Ok(sqlx::query_scalar(sql).bind(limit).fetch_all(&self.readers).await?)
        })
    }

    fn stats(&self, since: i64, until: i64) -> BoxFuture<'_, Result<Vec<String>, LedgerError>> {
        Box::pin(async move {
            let sql = "SELECT json_object('site', site, 'hour_us', hour, 'direction', direction, 'calls', calls, 'answered', answered, 'missed', missed, 'ring_seconds', ring_us / 1e6, 'talk_seconds', talk_us / 1e6)
                FROM call_stats WHERE hour >= ?1 AND hour < ?2 ORDER BY hour, site, direction";
            Ok(sqlx::query_scalar(sql).bind(since).bind(until).fetch_all(&self.readers).await?)
        })
    }
}

fn select_calls(filter: &CallFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT started_at, call_id, record FROM call_logs WHERE true");
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
    if let Some(number) = &filter.number {
        query.push(" AND ").push_bind(number.clone()).push(" IN (from_number, from_e164, to_number, to_e164)");
    }
    if let Some(extension) = &filter.extension {
        query.push(" AND call_id IN (SELECT call_id FROM call_participants WHERE extension = ").push_bind(extension.clone()).push(")");
    }
    if filter.live {
        query.push(" AND is_final = 0 AND ended_at IS NULL");
    }
    if let Some((started_at, id)) = &filter.after {
        query.push(" AND (started_at, call_id) < (").push_bind(*started_at).push(", ").push_bind(id.clone()).push(")");
    }
    query.push(" ORDER BY started_at DESC, call_id DESC LIMIT ").push_bind(filter.limit);
    query
}
