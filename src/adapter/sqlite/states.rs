//! States of calls that other programs register and look up, in the table `live_states`.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use super::statements;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::port::states::{CallState, Joined, Registered, StateChange, StateLedger};

#[expect(
    clippy::needless_pass_by_value,
    reason = "the driver passes rows by value"
)]
fn call_state(row: SqliteRow) -> CallState {
    CallState {
        call_id: row.get(0),
        session_id: row.get(1),
        provider: row.get(2),
        site: row.get(3),
        direction: row.get(4),
        status: row.get(5),
        from_number: row.get::<Option<&str>, _>(6).map(Into::into),
        to_number: row.get::<Option<&str>, _>(7).map(Into::into),
        metadata: row.get(8),
        created_at: At(row.get(9)),
        updated_at: At(row.get(10)),
        ended_at: row.get::<Option<i64>, _>(11).map(At),
    }
}

#[async_trait]
impl StateLedger for SqliteLedger {
    async fn register(&self, state: &CallState) -> Result<CallState, LedgerError> {
        let mut writer = self.writer.lease().await?;

        sqlx::query(statements::REGISTER_CALL_STATE)
            .bind(&state.call_id)
            .bind(&state.session_id)
            .bind(&state.provider)
            .bind(&state.site)
            .bind(&state.direction)
            .bind(&state.status)
            .bind(state.from_number.as_deref())
            .bind(state.to_number.as_deref())
            .bind(&state.metadata)
            .bind(state.created_at.0)
            .bind(state.updated_at.0)
            .execute(&mut *writer)
            .await?;
        let stored = sqlx::query(statements::SELECT_CALL_STATE)
            .bind(&state.call_id)
            .map(call_state)
            .fetch_one(&mut *writer)
            .await?;
        writer.put_back();

        Ok(stored)
    }

    async fn update(&self, change: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError> {
        let mut writer = self.writer.lease().await?;

        let updated = sqlx::query(statements::UPDATE_CALL_STATE)
            .bind(&change.call_id)
            .bind(&change.status)
            .bind(&change.metadata)
            .bind(change.now.0)
            .bind(change.ends)
            .execute(&mut *writer)
            .await?;
        let stored = sqlx::query(statements::SELECT_CALL_STATE)
            .bind(&change.call_id)
            .map(call_state)
            .fetch_optional(&mut *writer)
            .await?;
        writer.put_back();

        Ok(stored.map(|state| (state, updated.rows_affected() == 1)))
    }

    async fn close_older(&self, before: At, now: At) -> Result<Vec<CallState>, LedgerError> {
        let mut writer = self.writer.lease().await?;

        let closed = sqlx::query(statements::CLOSE_OLD_CALL_STATES)
            .bind(before.0)
            .bind(now.0)
            .map(call_state)
            .fetch_all(&mut *writer)
            .await?;
        writer.put_back();

        Ok(closed)
    }

    async fn unregister(&self, what: Registered<'_>) -> Result<Vec<Joined>, LedgerError> {
        let (call, session) = match what {
            Registered::Call(call) => (Some(call), None),
            Registered::Session(session) => (None, Some(session)),
        };
        let mut writer = self.writer.lease().await?;

        // The only writer: nothing changes between the two statements.
        let parted = sqlx::query_as::<_, (String, Option<String>)>(statements::SELECT_JOINED)
            .bind(call)
            .bind(session)
            .fetch_all(&mut *writer)
            .await?;
        sqlx::query(statements::PART_SESSION)
            .bind(call)
            .bind(session)
            .execute(&mut *writer)
            .await?;
        writer.put_back();

        Ok(parted.into_iter().map(Joined::from).collect())
    }

    async fn by_id(&self, call_id: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(sqlx::query(statements::SELECT_CALL_STATE)
            .bind(call_id)
            .map(call_state)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn by_session(&self, session_id: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(sqlx::query(statements::SELECT_CALL_STATE_OF_SESSION)
            .bind(session_id)
            .map(call_state)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn active(&self, max: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(sqlx::query(statements::SELECT_ACTIVE_CALL_STATES)
            .bind(max)
            .map(call_state)
            .fetch_all(&self.readers)
            .await?)
    }
}
