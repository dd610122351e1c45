//! Queries of the interfaces.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use super::call_page::select_calls;
use super::time_limits::with_timeout;
use crate::adapter::sql;
use crate::adapter::sql::devices::{self, StoredDevice};
use crate::domain::time::At;
use crate::port::clock::CommonClock;
use crate::port::ledger::LedgerError;
use crate::port::query::{
    CallFilter, HourStats, OperationCounts, Query, ReportedDevice, ReportedExtension,
    SilentExtension, StoredCall,
};

const SELECT_CALL: &str = "-- select_call
    SELECT record::text
    FROM call_logs
    WHERE call_id = $1";

const SELECT_SITES: &str = "-- select_sites
    SELECT site
    FROM sites
    ORDER BY site
    LIMIT 10000";

const SELECT_STATS: &str = "-- select_stats
    SELECT
        site,
        minute - (minute - $5) % $3 AS hour,
        direction,
        sum(calls)::bigint,
        sum(answered)::bigint,
        sum(missed)::bigint,
        least(sum(ring_us), 9223372036854775807)::bigint,
        least(sum(talk_us), 9223372036854775807)::bigint
    FROM call_stats
    WHERE minute >= $1
        AND minute < $2
        AND ($4::text IS NULL OR site = $4)
    GROUP BY hour, site, direction
    ORDER BY hour, site, direction";

const SELECT_DEVICES: &str = "-- select_devices
    SELECT device, last_seen, extension, model, firmware, state, state_since
    FROM devices
    WHERE site = $1
    ORDER BY last_seen DESC, device
    LIMIT 10000";

const SELECT_SILENT_EXTENSIONS: &str = "-- select_silent_extensions
    WITH silent AS (
        SELECT site, extension, max(state_since) AS since
        FROM devices
        WHERE state = 'dnd'
            AND extension IS NOT NULL
            AND ($1::text IS NULL OR site = $1)
        GROUP BY site, extension
    )
    SELECT site, extension, since
    FROM silent
    WHERE NOT EXISTS (
        SELECT 1
        FROM devices AS other
        WHERE other.site = silent.site
            AND other.extension = silent.extension
            AND other.state IS DISTINCT FROM 'dnd'
            AND other.last_seen > silent.since
    )
    ORDER BY site, extension";

const SELECT_EXTENSIONS: &str = "-- select_extensions_with_agents
    SELECT extensions.extension, first_report, agent, name
    FROM extensions
    LEFT JOIN agents
        ON agents.site = extensions.site
        AND agents.extension = extensions.extension
    WHERE extensions.site = $1
    ORDER BY extensions.extension
    LIMIT 10000";

const COUNT_OPERATIONS: &str = "-- count_operations
    SELECT
        (
            SELECT count(*)
            FROM live_states
            WHERE is_open
                AND ended_at IS NULL
        ),
        (
            SELECT count(*)
            FROM live_states
            JOIN call_logs ON call_logs.call_id = our_call
            WHERE is_open
                AND live_states.ended_at IS NULL
                AND answered_at IS NULL
                AND NOT EXISTS (
                    SELECT 1
                    FROM call_participants
                    WHERE call_participants.call_id = call_logs.call_id
                        AND left_at IS NULL
                )
        ),
        (
            SELECT count(*)
            FROM dead_events
        )";

#[async_trait]
impl Query for PostgresLedger {
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        let stored_call = |row: PgRow| StoredCall {
            started_at: row.get(0),
            id: row.get(1),
            record: row.get(2),
        };
        let mut query = select_calls(filter);
        let select = query.build().map(stored_call);

        let mut reader = self.reader().await?;
        let calls = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(calls)
    }

    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError> {
        let Ok(id) = uuid::Uuid::try_parse(id) else {
            return Ok(None);
        };
        let select = sqlx::query_scalar(SELECT_CALL).bind(id);

        let mut reader = self.reader().await?;
        let record = with_timeout(reader.time_limit, select.fetch_optional(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(record)
    }

    async fn stats(
        &self,
        site: Option<&str>,
        since: i64,
        until: i64,
    ) -> Result<Vec<HourStats>, LedgerError> {
        let hour_stats = |row: PgRow| HourStats {
            site: row.get(0),
            hour: row.get(1),
            direction: row.get(2),
            calls: row.get(3),
            answered: row.get(4),
            missed: row.get(5),
            ring_us: row.get(6),
            talk_us: row.get(7),
        };
        let select = sqlx::query(SELECT_STATS)
            .bind(since)
            .bind(until)
            .bind(sql::HOUR_US)
            .bind(site)
            .bind(sql::begin_of_hours(since))
            .map(hour_stats);

        let mut reader = self.reader().await?;
        let hours = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(hours)
    }

    async fn sites(&self) -> Result<Vec<String>, LedgerError> {
        let select = sqlx::query_scalar(SELECT_SITES);

        let mut reader = self.reader().await?;
        let sites = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(sites)
    }

    async fn devices(&self, site: &str) -> Result<Vec<ReportedDevice>, LedgerError> {
        let select = sqlx::query_as::<_, StoredDevice>(SELECT_DEVICES).bind(site);

        let mut reader = self.reader().await?;
        let stored = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(stored.into_iter().map(devices::reported).collect())
    }

    async fn do_not_disturb(
        &self,
        site: Option<&str>,
    ) -> Result<Vec<SilentExtension>, LedgerError> {
        let select = sqlx::query_as(SELECT_SILENT_EXTENSIONS).bind(site);

        let mut reader = self.reader().await?;
        let stored = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(stored.into_iter().map(devices::silent).collect())
    }

    async fn extensions(&self, site: &str) -> Result<Vec<ReportedExtension>, LedgerError> {
        let extension = |row: PgRow| ReportedExtension {
            extension: row.get(0),
            first_report: row.get(1),
            agent: row.get(2),
            name: row.get::<Option<&str>, _>(3).map(Into::into),
        };
        let select = sqlx::query(SELECT_EXTENSIONS).bind(site).map(extension);

        let mut reader = self.reader().await?;
        let extensions = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(extensions)
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        let capped = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let operation_counts = |row: PgRow| OperationCounts {
            live: capped(row.get(0)),
            missed_pending: capped(row.get(1)),
            dead: capped(row.get(2)),
        };
        let select = sqlx::query(COUNT_OPERATIONS).map(operation_counts);

        let mut reader = self.reader().await?;
        let counts = with_timeout(reader.time_limit, select.fetch_one(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(counts)
    }
}

const SELECT_NOW: &str = "-- select_now
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

#[async_trait]
impl CommonClock for PostgresLedger {
    async fn common_now(&self) -> Result<At, LedgerError> {
        let select = sqlx::query_scalar(SELECT_NOW);

        let mut reader = self.reader().await?;
        let now = with_timeout(reader.time_limit, select.fetch_one(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(At(now))
    }
}
