//! The writing side: one transaction per batch, guarded by the owner of the partition.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::statement::Fence;
use super::writer::with_timeout;
use super::{Partition, PostgresLedger, batch, recovery, tables, writer};
use crate::adapter::sql;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{
    Changes, Ledger, LedgerError, Lookback, ReceivedFact, RecordAudit, RecoveredState,
};
use crate::port::outbox::{Notification, NotificationLog};
use crate::wire::partition::partition_of;

/// A statement for so many facts takes megabytes, which its connection does not keep: there is one
/// for each partition.
const LARGE_FACTS: usize = 512;

#[async_trait]
impl Ledger for PostgresLedger {
    fn owns_site(&self, site: &Site) -> bool {
        self.partition.contains(site)
    }

    async fn take_over(&self, memory: Lookback) -> Result<RecoveredState, LedgerError> {
        with_timeout(super::SNAPSHOT_PATIENCE, self.take_over_partition(memory)).await
    }

    async fn unknown_facts(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError> {
        writer::write(async {
            let sql = "SELECT event_id FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS t (of, at, id)
                JOIN call_events ON site = t.of AND received_at = t.at AND event_id = t.id";
            let mut writer = self.writer.lease().await?;
            let (connection, written) = writer.parts_mut();
            // What was given up may still come through, and what is asked before it does is
            // answered too early. So the fence is read first.
            written.commit_no = self.last_commit_no(connection, written.commit_no).await?;
            let known: Vec<Uuid> = sqlx::query_scalar(sql)
                .bind(
                    facts
                        .iter()
                        .map(|received| received.fact.site.as_str())
                        .collect::<Vec<_>>(),
                )
                .bind(
                    facts
                        .iter()
                        .map(|received| received.fact.at.0)
                        .collect::<Vec<_>>(),
                )
                .bind(tables::uuids(facts.iter().map(|received| received.fact.id)))
                .fetch_all(connection)
                .await?;
            let known: HashSet<u128> = known.into_iter().map(|id| id.as_u128()).collect();
            writer.give_back();
            Ok(facts
                .iter()
                .map(|received| received.fact.id)
                .filter(|id| !known.contains(&id.0))
                .collect())
        }).await
    }

    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        writer::write(async {
            let mut writer = self.writer.lease().await?;
            let (connection, written) = writer.parts_mut();
            // Over another connection than the last commit: an attempt at this very batch may have
            // been given up on that one.
            let new: HashSet<EventId> = match written.commit_no {
                Some(_) if changes.facts_are_new => changes
                    .facts
                    .iter()
                    .map(|received| received.fact.id)
                    .collect(),
                _ => HashSet::new(),
            };
            let Some(after) = self.last_commit_no(connection, written.commit_no).await? else {
                return Err(LedgerError::Fenced);
            };
            let (epoch, owner) = self.owner();
            let fence = Fence {
                partition: self.partition,
                epoch,
                owner,
                last_commit_no: after,
            };
            let number = batch::write(connection, written, fence, changes, &new).await?;
            if number.is_none() && self.last_commit_no(connection, None).await?.is_some() {
                return Err(LedgerError::Unavailable(
                    "a batch that was given up came through after all".to_owned(),
                ));
            }
            written.commit_no = Some(number.ok_or(LedgerError::Fenced)?);
            if changes.facts.len() >= LARGE_FACTS {
                connection.shrink_buffers();
            }
            writer.give_back();
            Ok(())
        })
        .await
    }

    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let sql = "SELECT envelope FROM call_events WHERE site = $1 AND received_at >= $2 AND received_at <= $3 ORDER BY received_at, event_id";
        let select = sqlx::query_scalar(sql)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0);
        let mut reader = self.slow_reader().await?;
        let envelopes: Vec<String> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        Ok(envelopes.into_iter().map(String::into_bytes).collect())
    }

    async fn notifications_after(
        &self,
        number: u64,
        most: u32,
    ) -> Result<Vec<Notification>, LedgerError> {
        let (generation, part) = (
            self.partition.generation.cast_signed(),
            self.partition.number.cast_signed(),
        );

        let sql = "SELECT number, kind, call_id, data FROM notices WHERE generation = $1 AND part = $2 AND number > $3 ORDER BY number LIMIT $4";
        let select = sqlx::query_as(sql)
            .bind(generation)
            .bind(part)
            .bind(number.cast_signed())
            .bind(i64::from(most));
        let mut reader = self.reader().await?;
        let stored: Vec<(i64, String, Uuid, String)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        stored.into_iter().map(news).collect()
    }

    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError> {
        let sql = "SELECT call_id FROM call_logs WHERE site = $1 AND started_at >= $2 AND started_at <= $3";
        let select = sqlx::query_scalar(sql)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0);
        let mut reader = self.slow_reader().await?;
        let ids: Vec<Uuid> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        Ok(ids.into_iter().map(|id| EventId(id.as_u128())).collect())
    }

    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError> {
        writer::write(async {
            let sql = "INSERT INTO redelivery_attempts AS known (digest, attempts) VALUES ($1, 1)
                ON CONFLICT (digest) DO UPDATE SET attempts = known.attempts + 1 RETURNING attempts";
            let mut writer = self.writer.lease().await?;
            let attempts: i32 = sqlx::query_scalar(sql)
                .bind(sql::digest(message))
                .fetch_one(&mut *writer)
                .await?;
            writer.give_back();
            Ok(attempts.cast_unsigned())
        }).await
    }

    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError> {
        writer::write(async {
            let mut writer = self.writer.lease().await?;
            sqlx::query("DELETE FROM redelivery_attempts WHERE digest = $1")
                .bind(sql::digest(message))
                .execute(&mut *writer)
                .await?;
            writer.give_back();
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl RecordAudit for PostgresLedger {
    async fn sites(&self) -> Result<Vec<(Site, At)>, LedgerError> {
        let Partition {
            generation,
            count: of,
            ..
        } = self.partition;

        let mut reader = self.reader().await?;
        let sites = "SELECT site FROM sites ORDER BY site";
        let names: Vec<String> = with_timeout(
            reader.time_limit,
            sqlx::query_scalar(sites).fetch_all(&mut *reader),
        )
        .await?;
        let sql = "SELECT part, watermark FROM partition_owner WHERE generation = $1";
        let select = sqlx::query_as(sql).bind(generation.cast_signed());
        let watermarks: Vec<(i32, i64)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        let watermarks: HashMap<i32, i64> = watermarks.into_iter().collect();
        let watermark = |site: &Site| {
            watermarks
                .get(&partition_of(site, of).cast_signed())
                .map_or(At::START, |at| At(*at))
        };
        Ok(names
            .iter()
            .filter_map(|name| Site::parse(name))
            .map(|site| (site.clone(), watermark(&site)))
            .collect())
    }

    async fn facts_kept_since(&self) -> Result<At, LedgerError> {
        let mut reader = self.reader().await?;
        let since = with_timeout(
            reader.time_limit,
            sqlx::query_scalar("SELECT since FROM facts_kept").fetch_one(&mut *reader),
        )
        .await?;
        reader.release().await?;

        Ok(At(since))
    }

    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError> {
        let sql =
            "SELECT call_id::text, record::text FROM call_logs WHERE site = $1 ORDER BY call_id";
        let select = sqlx::query_as(sql).bind(site.as_str());
        let mut reader = self.slow_reader().await?;
        let records = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        Ok(records)
    }
}

#[async_trait]
impl NotificationLog for PostgresLedger {
    async fn recent(&self, most: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
        let sql = "SELECT owners.part, number, kind, call_id, data FROM partition_owner AS owners
            CROSS JOIN LATERAL (SELECT * FROM notices WHERE notices.generation = owners.generation AND notices.part = owners.part ORDER BY number DESC LIMIT $2) AS last
            WHERE owners.generation = $1 ORDER BY written DESC, owners.part, number DESC LIMIT $2";
        let generation = self.partition.generation.cast_signed();
        let select = sqlx::query_as(sql).bind(generation).bind(i64::from(most));
        let mut reader = self.reader().await?;
        let stored: Vec<(i32, i64, String, Uuid, String)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.release().await?;

        let read = |(part, number, kind, call, data): (i32, i64, String, Uuid, String)| {
            Ok((part.cast_unsigned(), news((number, kind, call, data))?))
        };
        stored.into_iter().rev().map(read).collect()
    }
}

impl PostgresLedger {
    async fn take_over_partition(&self, memory: Lookback) -> Result<RecoveredState, LedgerError> {
        let owner = Uuid::now_v7();
        let mut writer = self.writer.lease().await?;
        writer.forget_rows();
        let (epoch, number, standing) =
            recovery::take_over(&mut writer, self.partition, owner, memory).await?;
        *self
            .owner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = (epoch, owner);
        writer.parts_mut().1.commit_no = Some(number);
        writer.give_back();
        Ok(standing)
    }

    /// The last statement that wrote to the partition, as far as it is known, or as the database
    /// says; `None` when somebody else owns it. Whatever is asked afterwards and was changed by
    /// then is found out by the fence, which wants this number.
    async fn last_commit_no(
        &self,
        connection: &mut PgConnection,
        known: Option<i64>,
    ) -> Result<Option<i64>, sqlx::Error> {
        if known.is_some() {
            return Ok(known);
        }
        let (epoch, owner) = self.owner();
        sqlx::query_scalar("SELECT commit_no FROM partition_owner WHERE generation = $1 AND part = $2 AND epoch = $3 AND owner = $4")
            .bind(self.partition.generation.cast_signed())
            .bind(self.partition.number.cast_signed())
            .bind(epoch)
            .bind(owner)
            .fetch_optional(connection)
            .await
    }
}

fn news(
    (number, kind, call, data): (i64, String, Uuid, String),
) -> Result<Notification, LedgerError> {
    sql::notification(number, &kind, EventId(call.as_u128()), &data)
}
