//! Queries of the interfaces.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::database::SqliteLedger;
use super::statements;
use crate::adapter::sql;
use crate::port::ledger::LedgerError;
use crate::port::query::{
    CallFilter, HourStats, OperationCounts, Query, ReportedExtension, StoredCall,
};

#[async_trait]
impl Query for SqliteLedger {
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        let mut query = select_calls(filter);
        let stored_call = |row: SqliteRow| StoredCall {
            started_at: row.get(0),
            id: row.get(1),
            record: row.get(2),
        };

        Ok(query
            .build()
            .map(stored_call)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError> {
        Ok(sqlx::query_scalar(statements::SELECT_RECORD)
            .bind(id)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn stats(
        &self,
        site: Option<&str>,
        since: i64,
        until: i64,
    ) -> Result<Vec<HourStats>, LedgerError> {
        let hour_stats = |row: SqliteRow| HourStats {
            site: row.get(0),
            hour: row.get(1),
            direction: row.get(2),
            calls: row.get(3),
            answered: row.get(4),
            missed: row.get(5),
            ring_us: row.get(6),
            talk_us: row.get(7),
        };

        Ok(sqlx::query(statements::SELECT_CALL_STATS)
            .bind(since)
            .bind(until)
            .bind(sql::HOUR_US)
            .bind(site)
            .map(hour_stats)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn sites(&self) -> Result<Vec<String>, LedgerError> {
        Ok(sqlx::query_scalar(statements::SELECT_SITES)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn devices(&self, site: &str) -> Result<Vec<(String, i64)>, LedgerError> {
        Ok(sqlx::query_as(statements::SELECT_DEVICES)
            .bind(site)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn extensions(&self, site: &str) -> Result<Vec<ReportedExtension>, LedgerError> {
        let extension = |row: SqliteRow| ReportedExtension {
            extension: row.get(0),
            first_report: row.get(1),
            agent: row.get(2),
            name: row.get::<Option<&str>, _>(3).map(Into::into),
        };

        Ok(sqlx::query(statements::SELECT_EXTENSIONS)
            .bind(site)
            .map(extension)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        let counts = |row: SqliteRow| OperationCounts {
            live: row.get(0),
            missed_pending: row.get(1),
            dead: row.get(2),
        };

        Ok(sqlx::query(statements::COUNT_OPERATIONS)
            .map(counts)
            .fetch_one(&self.readers)
            .await?)
    }
}

/// Builds the query for one page of calls, the newest first.
fn select_calls(filter: &CallFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(statements::SELECT_CALLS);

    let columns = [
        ("site", &filter.site),
        ("direction", &filter.direction),
        ("outcome", &filter.outcome),
        ("status", &filter.status),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            query
                .push("\nAND ")
                .push(column)
                .push(" = ")
                .push_bind(value.clone());
        }
    }

    if let Some(since) = filter.since {
        query.push("\nAND started_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push("\nAND started_at < ").push_bind(until);
    }
    if let Some(number) = &filter.number {
        query
            .push("\nAND ")
            .push_bind(number.clone())
            .push(" IN (from_number, from_e164, to_number, to_e164)");
    }
    if let Some(text) = &filter.text {
        push_text(&mut query, text);
    }
    let of_participants = [
        ("extension", &filter.extension),
        ("call_ref", &filter.call_ref),
    ];
    for (column, value) in of_participants {
        if let Some(value) = value {
            query
                .push("\nAND call_id IN (SELECT call_id FROM call_participants WHERE ")
                .push(column)
                .push(" = ")
                .push_bind(value.clone())
                .push(")");
        }
    }
    if filter.live {
        query.push("\nAND is_final = 0 AND ended_at IS NULL");
    }
    if let Some((started_at, id)) = &filter.after {
        query
            .push("\nAND (started_at, call_id) < (")
            .push_bind(*started_at)
            .push(", ")
            .push_bind(id.clone())
            .push(")");
    }

    query
        .push("\nORDER BY started_at DESC, call_id DESC\nLIMIT ")
        .push_bind(filter.limit);
    query
}

/// Adds the condition on a part of a number or a name.
fn push_text(query: &mut QueryBuilder<Sqlite>, text: &str) {
    let pattern = sql::pattern(text);
    query
        .push("\nAND (json_extract(record, '$.from.name') LIKE ")
        .push_bind(pattern.clone());
    query
        .push(" ESCAPE '\\' OR answered_by = ")
        .push_bind(text.to_owned());
    for column in ["from_number", "from_e164", "to_number", "to_e164"] {
        query
            .push(format_args!(" OR {column} LIKE "))
            .push_bind(pattern.clone())
            .push(" ESCAPE '\\'");
    }
    query.push(")");
}
