//! The reading side, for the interfaces.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::PostgresLedger;
use super::writer::with_timeout;
use crate::adapter::sql;
use crate::port::ledger::LedgerError;
use crate::port::query::{
    CallFilter, HourStats, KnownExtension, MissedCall, OperationCounts, Query, StoredCall,
};

/// Where a number can stand; each column has an index in the order of pages.
const NUMBER_COLUMNS: [&str; 4] = ["from_number", "from_e164", "to_number", "to_e164"];
/// What a call can be when it has an end.
const OVER: [&str; 2] = ["completed", "failed"];

#[async_trait]
impl Query for PostgresLedger {
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError> {
        let mut query = select_calls(filter);
        let stored = |row: PgRow| StoredCall {
            started_at: row.get(0),
            id: row.get(1),
            record: row.get(2),
        };
        let mut reader = self.reader().await?;
        let calls = with_timeout(
            reader.time_limit,
            query.build().map(stored).fetch_all(&mut *reader),
        )
        .await?;
        reader.release().await?;

        Ok(calls)
    }

    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError> {
        let Ok(id) = uuid::Uuid::try_parse(id) else {
            return Ok(None);
        };
        let sql = "SELECT record::text FROM call_logs WHERE call_id = $1";
        let mut reader = self.reader().await?;
        let record = with_timeout(
            reader.time_limit,
            sqlx::query_scalar(sql)
                .bind(id)
                .fetch_optional(&mut *reader),
        )
        .await?;
        reader.release().await?;

        Ok(record)
    }

    async fn missed(&self, limit: u32) -> Result<Vec<MissedCall>, LedgerError> {
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
        let select = sqlx::query(sql).bind(i64::from(limit)).map(missed);
        let mut reader = self.reader().await?;
        let calls = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        Ok(calls)
    }

    async fn stats(&self, since: i64, until: i64) -> Result<Vec<HourStats>, LedgerError> {
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
        let select = sqlx::query(sql)
            .bind(since)
            .bind(until)
            .bind(sql::HOUR_US)
            .map(stats);
        let mut reader = self.reader().await?;
        let hours = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        Ok(hours)
    }

    async fn devices(&self, site: &str) -> Result<Vec<(String, i64)>, LedgerError> {
        let sql = "SELECT device, last_seen FROM devices WHERE site = $1 ORDER BY last_seen DESC, device LIMIT 10000";
        let mut reader = self.reader().await?;
        let devices = with_timeout(
            reader.time_limit,
            sqlx::query_as(sql).bind(site).fetch_all(&mut *reader),
        )
        .await?;
        reader.release().await?;

        Ok(devices)
    }

    async fn extensions(&self, site: &str) -> Result<Vec<KnownExtension>, LedgerError> {
        let sql = "SELECT extensions.extension, first_report, agent, name FROM extensions
            LEFT JOIN agents ON agents.site = extensions.site AND agents.extension = extensions.extension
            WHERE extensions.site = $1 ORDER BY extensions.extension LIMIT 10000";
        let known = |row: PgRow| KnownExtension {
            extension: row.get(0),
            first_report: row.get(1),
            agent: row.get(2),
            name: row.get::<Option<&str>, _>(3).map(Into::into),
        };
        let select = sqlx::query(sql).bind(site).map(known);
        let mut reader = self.reader().await?;
        let extensions = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        Ok(extensions)
    }

    async fn counts(&self) -> Result<OperationCounts, LedgerError> {
        let sql = "SELECT (SELECT count(*) FROM call_states WHERE is_open AND ended_at IS NULL),
            (SELECT count(*) FROM call_states JOIN call_logs ON call_logs.call_id = our_call WHERE is_open AND call_states.ended_at IS NULL AND answered_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM call_participants WHERE call_participants.call_id = call_logs.call_id AND left_at IS NULL)),
            (SELECT count(*) FROM dead_events)";
        let few = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let counts = move |row: PgRow| OperationCounts {
            live: few(row.get(0)),
            missed_pending: few(row.get(1)),
            dead: few(row.get(2)),
        };
        let mut reader = self.reader().await?;
        let counts = with_timeout(
            reader.time_limit,
            sqlx::query(sql).map(counts).fetch_one(&mut *reader),
        )
        .await?;
        reader.release().await?;

        Ok(counts)
    }
}

/// What leads to calls, newest first: the table that is read in this order, and its name in the
/// question.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    Logs,
    Participants,
    Outcomes,
}

impl Lead {
    fn to(filter: &CallFilter) -> Lead {
        match filter {
            // The logs have an index for each place of a number.
            CallFilter {
                number: Some(_), ..
            } => Lead::Logs,
            CallFilter {
                extension: Some(_), ..
            } => Lead::Participants,
            CallFilter {
                outcome: Some(_), ..
            } => Lead::Outcomes,
            _ => Lead::Logs,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Lead::Logs => "logs",
            Lead::Participants | Lead::Outcomes => "lead",
        }
    }
}

/// A page is read along an index that leads to it in its order, whatever is asked for, and ends
/// with the page.
fn select_calls(filter: &CallFilter) -> QueryBuilder<Postgres> {
    let filter = &with_outcome(filter);
    let mut query = QueryBuilder::new(
        "SELECT found.started_at, found.call_id::text, found.record::text FROM (",
    );
    if let Some(number) = &filter.number {
        for (place, column) in NUMBER_COLUMNS.into_iter().enumerate() {
            query.push(if place == 0 { "(" } else { " UNION ALL (" });
            select_along(&mut query, filter);
            query
                .push(" AND logs.")
                .push(column)
                .push(" = ")
                .push_bind(number.clone());
            if let Some(party) = column.strip_suffix("e164") {
                query.push(format_args!(
                    " AND logs.{column} IS DISTINCT FROM logs.{party}number"
                ));
            }
            // A call between equal numbers is found once.
            for before in &NUMBER_COLUMNS[..place] {
                query
                    .push(" AND logs.")
                    .push(*before)
                    .push(" IS DISTINCT FROM ")
                    .push_bind(number.clone());
            }
            page(&mut query, filter, Lead::Logs.name());
            query.push(")");
        }
    } else {
        select_along(&mut query, filter);
        page(&mut query, filter, Lead::to(filter).name());
    }
    query.push(") AS found");
    page(&mut query, filter, "found");
    query
}

/// What has failed is what nobody knows the end of.
fn with_outcome(filter: &CallFilter) -> CallFilter {
    let mut filter = filter.clone();
    if filter.outcome.is_none() && filter.status.as_deref() == Some("failed") {
        filter.outcome = Some("lost".to_owned());
    }
    filter
}

/// The calls that everything but a number leaves.
fn select_along(query: &mut QueryBuilder<Postgres>, filter: &CallFilter) {
    let lead = Lead::to(filter);
    query.push("SELECT logs.started_at, logs.call_id, logs.record FROM ");
    match (lead, &filter.extension, &filter.outcome) {
        (Lead::Participants, Some(extension), _) => {
            // An extension may be at several devices.
            query
                .push("(SELECT DISTINCT started_at, call_id FROM call_participants AS lead WHERE extension = ")
                .push_bind(extension.clone());
            of_site_and_time(query, filter, lead);
            // Distinct rows come in some order, and it is not ours unless it is asked for.
            query.push(" ORDER BY started_at DESC, call_id DESC) AS lead JOIN call_logs AS logs USING (call_id) WHERE true");
        }
        (Lead::Outcomes, _, Some(outcome)) => {
            query.push("call_outcomes AS lead JOIN call_logs AS logs USING (call_id) WHERE lead.outcome = ").push_bind(outcome.clone());
            of_site_and_time(query, filter, lead);
        }
        _ => {
            query.push("call_logs AS logs WHERE true");
            of_site_and_time(query, filter, lead);
        }
    }
    for (column, wanted) in [
        ("direction", &filter.direction),
        ("outcome", &filter.outcome),
        ("status", &filter.status),
    ] {
        if let Some(wanted) = wanted {
            query
                .push(" AND logs.")
                .push(column)
                .push(" = ")
                .push_bind(wanted.clone());
        }
    }
    if let (Some(extension), false) = (&filter.extension, lead == Lead::Participants) {
        query.push(" AND EXISTS (SELECT FROM call_participants AS party WHERE party.call_id = logs.call_id AND party.extension = ");
        query.push_bind(extension.clone()).push(")");
    }
    if filter.live
        || filter
            .status
            .as_deref()
            .is_some_and(|status| !OVER.contains(&status))
    {
        query.push(
            " AND logs.ended_at IS NULL AND logs.call_id = ANY(ARRAY(SELECT our_call FROM call_states WHERE is_open AND ended_at IS NULL))",
        );
    }
}

/// Of which site, from when to when, and behind which call.
fn of_site_and_time(query: &mut QueryBuilder<Postgres>, filter: &CallFilter, lead: Lead) {
    let lead = lead.name();
    if let Some(site) = &filter.site {
        query
            .push(format_args!(" AND {lead}.site = "))
            .push_bind(site.clone());
    }
    if let Some(since) = filter.since {
        query
            .push(format_args!(" AND {lead}.started_at >= "))
            .push_bind(since);
    }
    if let Some(until) = filter.until {
        query
            .push(format_args!(" AND {lead}.started_at < "))
            .push_bind(until);
    }
    if let Some((started_at, id)) = &filter.after {
        let id = uuid::Uuid::try_parse(id).unwrap_or_default();
        query
            .push(format_args!(" AND ({lead}.started_at, {lead}.call_id) < ("))
            .push_bind(*started_at)
            .push(", ")
            .push_bind(id)
            .push(")");
    }
}

fn page(query: &mut QueryBuilder<Postgres>, filter: &CallFilter, table: &str) {
    query
        .push(format_args!(
            " ORDER BY {table}.started_at DESC, {table}.call_id DESC LIMIT "
        ))
        .push_bind(i64::from(filter.limit));
}
