//! The ledger of the worker: one owner, one transaction per batch.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::Connection;

use super::database::SqliteLedger;
use super::notifications::{self, NotificationRow};
use super::{batch, recovery, rows, statements};
use crate::adapter::sql;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{
    Changes, FactHistory, HistoryLimit, Ledger, LedgerError, Lookback, ReceivedFact, RecoveredState,
};
use crate::port::outbox::Notification;

#[async_trait]
impl FactHistory for SqliteLedger {
    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
        limit: HistoryLimit,
    ) -> Result<Option<Vec<Vec<u8>>>, LedgerError> {
        let envelopes = sqlx::query_scalar(statements::SELECT_ENVELOPES_OF_SITE)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0)
            .bind(i64::from(limit.messages) + 1)
            .fetch(&self.readers);

        Ok(sql::within_limit(envelopes, limit).await?)
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn take_over(&self, lookback: Lookback) -> Result<RecoveredState, LedgerError> {
        let mut writer = self.writer.lease().await?;

        let state = recovery::take_over(&mut writer, &self.owner, lookback).await?;
        writer.put_back();

        Ok(state)
    }

    async fn facts_not_stored(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError> {
        let ids: Vec<EventId> = facts.iter().map(|received| received.fact.id).collect();

        let stored: Vec<String> = sqlx::query_scalar(statements::SELECT_KNOWN_EVENTS)
            .bind(rows::id_array(&ids))
            .fetch_all(&self.readers)
            .await?;
        let stored: HashSet<String> = stored.into_iter().collect();

        Ok(ids
            .into_iter()
            .filter(|id| !stored.contains(&id.to_string()))
            .collect())
    }

    async fn stored_messages(
        &self,
        facts: &[ReceivedFact],
    ) -> Result<Vec<(EventId, Vec<u8>)>, LedgerError> {
        let ids: Vec<EventId> = facts.iter().map(|received| received.fact.id).collect();

        let stored: Vec<(String, String)> = sqlx::query_as(statements::SELECT_ENVELOPES)
            .bind(rows::id_array(&ids))
            .fetch_all(&self.readers)
            .await?;

        Ok(stored
            .into_iter()
            .filter_map(|(id, envelope)| Some((EventId::parse(&id)?, envelope.into_bytes())))
            .collect())
    }

    async fn ids_of_calls(&self, ids: &[EventId]) -> Result<Vec<EventId>, LedgerError> {
        let calls: Vec<String> = sqlx::query_scalar(statements::SELECT_IDS_OF_CALLS)
            .bind(rows::id_array(ids))
            .fetch_all(&self.readers)
            .await?;

        Ok(calls.iter().filter_map(|id| EventId::parse(id)).collect())
    }

    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;

        if !batch::pass_fence(&mut transaction, &self.owner, changes).await? {
            return Err(LedgerError::Fenced);
        }
        batch::write_batch(&mut transaction, changes).await?;

        transaction.commit().await?;
        writer.put_back();
        Ok(())
    }

    async fn facts_kept_since(&self) -> Result<At, LedgerError> {
        Ok(At::START)
    }

    async fn notifications_after(
        &self,
        number: u64,
        max: u32,
    ) -> Result<Vec<Notification>, LedgerError> {
        let rows: Vec<NotificationRow> = sqlx::query_as(statements::SELECT_NOTICES_AFTER)
            .bind(number.cast_signed())
            .bind(max)
            .fetch_all(&self.readers)
            .await?;

        rows.into_iter().map(notifications::notification).collect()
    }

    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError> {
        let mut writer = self.writer.lease().await?;

        let attempts: u32 = sqlx::query_scalar(statements::RECORD_ATTEMPT)
            .bind(sql::digest(message))
            .fetch_one(&mut *writer)
            .await?;
        writer.put_back();

        Ok(attempts)
    }

    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;

        sqlx::query(statements::CLEAR_ATTEMPTS)
            .bind(sql::digest(message))
            .execute(&mut *writer)
            .await?;
        writer.put_back();

        Ok(())
    }

    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError> {
        let ids: Vec<String> = sqlx::query_scalar(statements::SELECT_CALLS_STARTED)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0)
            .fetch_all(&self.readers)
            .await?;

        ids.iter().map(|id| sql::parse_call_id(id)).collect()
    }
}
