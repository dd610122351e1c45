//! Writes of a partition's owner: one statement per batch, guarded by the fence. Small batches share
//! a statement with those of other partitions.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::column::column;
use super::column::uuids;
use super::statement::{BatchStatement, Fence};
use super::time_limits::{HISTORY_LIMIT, with_timeout, with_write_timeout};
use super::{PostgresLedger, batch, commit_group, recovery};
use crate::adapter::sql;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{
    Changes, FactHistory, HistoryLimit, Ledger, LedgerError, Lookback, ReceivedFact, RecoveredState,
};
use crate::port::outbox::Notification;

/// A statement for at least this many facts grows the connection's buffers to megabytes. They are
/// released afterwards, since every partition has a connection.
const LARGE_BATCH_FACTS: usize = 512;

const SELECT_STORED_FACTS: &str = "-- select_stored_facts
    SELECT event_id
    FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS t (of, at, id)
    JOIN call_events
        ON site = t.of
        AND received_at = t.at
        AND event_id = t.id";

const SELECT_STORED_MESSAGES: &str = "-- select_stored_messages
    SELECT event_id, envelope
    FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS t (of, at, id)
    JOIN call_events
        ON site = t.of
        AND received_at = t.at
        AND event_id = t.id";

const SELECT_IDS_OF_CALLS: &str = "-- select_ids_of_calls
    SELECT call_id
    FROM call_logs
    WHERE call_id = ANY($1)";

const SELECT_FACT_MESSAGES: &str = "-- select_fact_messages
    SELECT envelope
    FROM call_events
    WHERE site = $1
        AND received_at >= $2
        AND received_at <= $3
    ORDER BY received_at, event_id
    LIMIT $4";

const SELECT_FACTS_KEPT: &str = "-- select_facts_kept
    SELECT since
    FROM facts_kept";

const SELECT_CALLS_STARTED: &str = "-- select_calls_started
    SELECT call_id
    FROM call_logs
    WHERE site = $1
        AND started_at >= $2
        AND started_at <= $3";

const RECORD_ATTEMPT: &str = "-- record_attempt
    INSERT INTO redelivery_attempts AS stored (digest, attempts)
    VALUES ($1, 1)
    ON CONFLICT (digest) DO UPDATE
    SET attempts = stored.attempts + 1
    RETURNING attempts";

const CLEAR_ATTEMPTS: &str = "-- clear_attempts
    DELETE FROM redelivery_attempts
    WHERE digest = $1";

const SELECT_COMMIT_NO: &str = "-- select_commit_no
    SELECT commit_no
    FROM partition_owner
    WHERE generation = $1
        AND part = $2
        AND epoch = $3
        AND owner = $4";

#[async_trait]
impl FactHistory for PostgresLedger {
    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
        limit: HistoryLimit,
    ) -> Result<Option<Vec<Vec<u8>>>, LedgerError> {
        let select = sqlx::query_scalar(SELECT_FACT_MESSAGES)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0)
            .bind(i64::from(limit.messages) + 1);

        let mut reader = self.slow_reader().await?;
        let time_limit = reader.time_limit;
        let read = sql::within_limit(select.fetch(&mut *reader), limit);
        let messages = with_timeout(time_limit, read).await?;
        // A connection with rows left to read is closed.
        if messages.is_some() {
            reader.put_back().await?;
        }

        Ok(messages)
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    fn owns_site(&self, site: &Site) -> bool {
        self.partition.contains(site)
    }

    async fn take_over(&self, lookback: Lookback) -> Result<RecoveredState, LedgerError> {
        with_timeout(HISTORY_LIMIT, self.take_over_partition(lookback)).await
    }

    async fn facts_not_stored(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError> {
        with_write_timeout(async {
            let mut writer = self.writer.lease().await?;
            let (connection, written) = writer.parts_mut();

            // An abandoned statement may still be committed, after the facts were read. The fence
            // is read first, so that it refuses a batch that relies on such a read.
            written.commit_no = self.last_commit_no(connection, written.commit_no).await?;
            let stored: Vec<Uuid> = sqlx::query_scalar(SELECT_STORED_FACTS)
                .bind(column(facts, |received| received.fact.site.as_str()))
                .bind(column(facts, |received| received.fact.at.0))
                .bind(uuids(facts.iter().map(|received| received.fact.id)))
                .fetch_all(connection)
                .await?;
            writer.put_back();

            let stored: HashSet<u128> = stored.into_iter().map(|id| id.as_u128()).collect();

            Ok(facts
                .iter()
                .map(|received| received.fact.id)
                .filter(|id| !stored.contains(&id.0))
                .collect())
        })
        .await
    }

    async fn stored_messages(
        &self,
        facts: &[ReceivedFact],
    ) -> Result<Vec<(EventId, Vec<u8>)>, LedgerError> {
        let select = sqlx::query_as(SELECT_STORED_MESSAGES)
            .bind(column(facts, |received| received.fact.site.as_str()))
            .bind(column(facts, |received| received.fact.at.0))
            .bind(uuids(facts.iter().map(|received| received.fact.id)));

        let mut reader = self.slow_reader().await?;
        let stored: Vec<(Uuid, String)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(stored
            .into_iter()
            .map(|(id, envelope)| (EventId(id.as_u128()), envelope.into_bytes()))
            .collect())
    }

    async fn ids_of_calls(&self, ids: &[EventId]) -> Result<Vec<EventId>, LedgerError> {
        let select = sqlx::query_scalar(SELECT_IDS_OF_CALLS).bind(uuids(ids.iter().copied()));

        let mut reader = self.slow_reader().await?;
        let calls: Vec<Uuid> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(calls.iter().map(|id| EventId(id.as_u128())).collect())
    }

    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        with_write_timeout(async {
            let mut writer = self.writer.lease().await?;
            let (connection, written) = writer.parts_mut();

            // A new connection has no cached number. An earlier attempt at this batch may have been
            // abandoned on the old connection and committed since: its facts may be stored.
            let new: HashSet<EventId> = match written.commit_no {
                Some(_) if changes.facts_are_new => {
                    let facts = changes.facts.iter();
                    facts.map(|received| received.fact.id).collect()
                }
                _ => HashSet::new(),
            };
            let Some(last_commit_no) = self.last_commit_no(connection, written.commit_no).await?
            else {
                return Err(LedgerError::Fenced);
            };
            let (epoch, owner) = self.owner();
            let fence = Fence {
                partition: self.partition,
                epoch,
                owner,
                last_commit_no,
            };

            // After a failure the batch is committed alone: it may fail again, and hold up others.
            let is_first = written.commit_no.is_none();
            let statement = batch::statement(connection, written, fence, changes, &new).await?;
            let commit_no = self.run(statement, is_first, connection).await?;
            if commit_no.is_none() && self.last_commit_no(connection, None).await?.is_some() {
                return Err(LedgerError::Unavailable(
                    "an abandoned batch was committed after all".into(),
                ));
            }
            let commit_no = commit_no.ok_or(LedgerError::Fenced)?;
            written.commit_no = Some(commit_no);
            self.acknowledged.store(commit_no, Ordering::Relaxed);

            if changes.facts.len() >= LARGE_BATCH_FACTS {
                connection.shrink_buffers();
            }
            writer.put_back();

            Ok(())
        })
        .await
    }

    async fn facts_kept_since(&self) -> Result<At, LedgerError> {
        let select = sqlx::query_scalar(SELECT_FACTS_KEPT);

        let mut reader = self.reader().await?;
        let since = with_timeout(reader.time_limit, select.fetch_one(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(At(since))
    }

    async fn notifications_after(
        &self,
        number: u64,
        max: u32,
    ) -> Result<Vec<Notification>, LedgerError> {
        self.select_notifications_after(number, max).await
    }

    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError> {
        let select = sqlx::query_scalar(SELECT_CALLS_STARTED)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0);

        let mut reader = self.slow_reader().await?;
        let ids: Vec<Uuid> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(ids.into_iter().map(|id| EventId(id.as_u128())).collect())
    }

    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError> {
        with_write_timeout(async {
            let mut writer = self.writer.lease().await?;
            let attempts: i32 = sqlx::query_scalar(RECORD_ATTEMPT)
                .bind(sql::digest(message))
                .fetch_one(&mut *writer)
                .await?;
            writer.put_back();

            Ok(attempts.cast_unsigned())
        })
        .await
    }

    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError> {
        with_write_timeout(async {
            let mut writer = self.writer.lease().await?;
            sqlx::query(CLEAR_ATTEMPTS)
                .bind(sql::digest(message))
                .execute(&mut *writer)
                .await?;
            writer.put_back();

            Ok(())
        })
        .await
    }

    async fn close(&self) {
        self.writer.close().await;
    }
}

impl PostgresLedger {
    async fn take_over_partition(&self, lookback: Lookback) -> Result<RecoveredState, LedgerError> {
        let owner = Uuid::now_v7();
        let mut writer = self.writer.lease().await?;
        writer.clear_written_rows();

        let taken = recovery::take_over(&mut writer, self.partition, owner, lookback).await?;

        *self.owner.lock() = (taken.epoch, owner);
        self.acknowledged.store(taken.commit_no, Ordering::Relaxed);
        let (_, written) = writer.parts_mut();
        written.commit_no = Some(taken.commit_no);
        writer.put_back();

        Ok(taken.state)
    }

    /// Runs the statement of a batch, a small one together with those of other partitions, unless it is
    /// the first one of its connection. Returns its number; `None` when the fence refused it.
    async fn run(
        &self,
        statement: BatchStatement<'_>,
        is_first: bool,
        connection: &mut PgConnection,
    ) -> Result<Option<i64>, sqlx::Error> {
        let is_small = statement.rows() <= commit_group::ROWS_MAX;
        let Some(group) = self.group.as_ref().filter(|_| is_small && !is_first) else {
            return statement.run(connection).await;
        };

        let statement = Arc::new(statement.into_owned());
        match group.commit(&statement).await {
            Some(number) => Ok(Some(number)),
            None => statement.run(connection).await,
        }
    }

    /// Returns the number of the last statement that wrote to the partition: the cached one, or the
    /// one in the database; `None` when the partition has another owner.
    ///
    /// Later reads may miss a statement that is committed meanwhile. The fence then refuses a batch
    /// with this number.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`] when the number is lower than that of an acknowledged batch: the database
    /// was set back under its owner, whose memory is ahead of it.
    async fn last_commit_no(
        &self,
        connection: &mut PgConnection,
        cached: Option<i64>,
    ) -> Result<Option<i64>, LedgerError> {
        if cached.is_some() {
            return Ok(cached);
        }

        let (epoch, owner) = self.owner();
        let stored: Option<i64> = sqlx::query_scalar(SELECT_COMMIT_NO)
            .bind(self.partition.generation.cast_signed())
            .bind(self.partition.number.cast_signed())
            .bind(epoch)
            .bind(owner)
            .fetch_optional(connection)
            .await?;

        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        if stored.is_some_and(|stored| stored < acknowledged) {
            tracing::error!(
                partition = self.partition.number,
                stored,
                acknowledged,
                "the database was set back: the partition is taken over again as it is stored. \
                 See the runbook, Losing the database"
            );
            return Err(LedgerError::Fenced);
        }

        Ok(stored)
    }
}
