//! States of calls: other programs register them here, and look them up.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use super::time_limits::{with_timeout, with_write_timeout};
use crate::adapter::sql::outdated_states::implement_outdated_states;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::port::states::{
    CallPlace, CallState, Joined, LIST_BYTES_MAX, MERGED_BYTES_MAX, Registered, Registration,
    StateChange, StateLedger,
};

const SELECT_SESSION: &str = "-- select_session
    SELECT session_id
    FROM live_states
    WHERE call_id = $1";

/// A final call of phones has no live state any more: it gets one again, for its session.
const ADOPT_FINAL_CALL: &str = "-- adopt_final_call
    INSERT INTO live_states (
        call_id, our_call, provider, site, direction, status, from_number, to_number,
        call_metadata, created_at, updated_at, ended_at
    )
    SELECT
        call_id::text, call_id, 'grandstream', site, direction, status, from_number, to_number,
        '{}', started_at, coalesce(ended_at, answered_at, started_at), ended_at
    FROM call_logs
    WHERE call_id::text = $1
    ON CONFLICT DO NOTHING";

const UPSERT_STATE: &str = "-- upsert_state
    INSERT INTO live_states (
        call_id, session_id, provider, site, direction, status, from_number, to_number,
        call_metadata, created_at, updated_at, ended_at
    )
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9::json, $10, $11, NULL
    WHERE EXISTS (SELECT 1 FROM live_states WHERE call_id = $1)
        OR NOT EXISTS (SELECT 1 FROM call_logs WHERE call_id::text = $1)
    ON CONFLICT (call_id) DO UPDATE
    SET session_id = coalesce(excluded.session_id, live_states.session_id),
        call_metadata = CASE
            WHEN live_states.provider = 'grandstream' THEN live_states.call_metadata
            ELSE (live_states.call_metadata::jsonb || excluded.call_metadata::jsonb)::json
        END,
        updated_at = greatest(excluded.updated_at, live_states.updated_at + 1)
    WHERE live_states.provider = 'grandstream'
        OR octet_length((live_states.call_metadata::jsonb || excluded.call_metadata::jsonb)::text)
            <= $12";

const UPDATE_STATE: &str = "-- update_state
    UPDATE live_states
    SET status = $2,
        call_metadata = (call_metadata::jsonb || coalesce($3::jsonb, '{}'))::json,
        updated_at = greatest($4, updated_at + 1),
        ended_at = CASE WHEN $5 THEN $4 ELSE ended_at END
    WHERE call_id = $1
        AND provider <> 'grandstream'
        AND ended_at IS NULL
        AND octet_length((call_metadata::jsonb || coalesce($3::jsonb, '{}'))::text) <= $6";

const CLOSE_OLD_STATES: &str = "-- close_old_states
    UPDATE live_states
    SET status = 'failed',
        updated_at = greatest($2, updated_at + 1),
        ended_at = $2
    WHERE ended_at IS NULL
        AND provider <> 'grandstream'
        AND created_at < $1
    RETURNING
        call_id, session_id, provider, site, direction, status, from_number, to_number,
        call_metadata::text, created_at, updated_at, ended_at";

const UNREGISTER_CALL: &str = "-- unregister_call
    UPDATE live_states AS states
    SET session_id = NULL,
        updated_at = updated_at + (provider <> 'grandstream')::int
    FROM (SELECT call_id, session_id FROM live_states WHERE call_id = $1 FOR UPDATE) AS before
    WHERE states.call_id = before.call_id
    RETURNING states.call_id, before.session_id";

const UNREGISTER_SESSION: &str = "-- unregister_session
    UPDATE live_states
    SET session_id = NULL,
        updated_at = updated_at + (provider <> 'grandstream')::int
    WHERE session_id = $1
    RETURNING call_id, $1";

const SELECT_STATE: &str = "-- select_state
    SELECT *
    FROM all_states
    WHERE call_id = $1";

const SELECT_PLACES: &str = "-- select_places_of_calls
    SELECT call_id, site, ended_at IS NOT NULL
    FROM live_states
    WHERE call_id = ANY($1)
    UNION ALL
    SELECT call_id::text, site, ended_at IS NOT NULL
    FROM call_logs
    WHERE call_id::text = ANY($1)";

const SELECT_STATE_OF_SESSION: &str = "-- select_state_of_session
    SELECT *
    FROM shown_states
    WHERE session_id = $1
    ORDER BY created_at DESC
    LIMIT 1";

const SELECT_ENDED_STATES: &str = "-- select_ended_states
    SELECT
        call_id, session_id, provider, site, direction, status, from_number, to_number,
        call_metadata::text, created_at, updated_at, ended_at
    FROM live_states
    WHERE provider <> 'grandstream'
        AND ended_at >= $1
    ORDER BY ended_at DESC
    LIMIT $2";

const SELECT_ACTIVE_STATES: &str = "-- select_active_states
    SELECT
        call_id, session_id, provider, site, direction, status, from_number, to_number,
        call_metadata, created_at, updated_at, ended_at
    FROM (
        SELECT
            first.*,
            sum(octet_length(call_metadata)) OVER (ORDER BY created_at, call_id) AS bytes
        FROM (
            SELECT *
            FROM shown_states
            WHERE ended_at IS NULL
            ORDER BY created_at, call_id
            LIMIT $1
        ) AS first
    ) AS measured
    WHERE bytes <= $2
    ORDER BY created_at, call_id";

#[expect(
    clippy::needless_pass_by_value,
    reason = "the driver passes rows by value"
)]
fn call_state(row: PgRow) -> CallState {
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

implement_outdated_states!(PostgresLedger);

#[async_trait]
impl StateLedger for PostgresLedger {
    async fn register(&self, state: &CallState) -> Result<Registration, LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let before = sqlx::query_scalar::<_, Option<String>>(SELECT_SESSION)
                .bind(&state.call_id)
                .fetch_optional(&mut *writer)
                .await?;
            if before.is_none() && state.session_id.is_some() {
                sqlx::query(ADOPT_FINAL_CALL)
                    .bind(&state.call_id)
                    .execute(&mut *writer)
                    .await?;
            }

            let upserted = sqlx::query(UPSERT_STATE)
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
                .bind(i64::from(MERGED_BYTES_MAX))
                .execute(&mut *writer)
                .await?;
            let stored = sqlx::query(SELECT_STATE)
                .bind(&state.call_id)
                .map(call_state)
                .fetch_one(&mut *writer)
                .await?;
            writer.put_back();

            Ok(Registration {
                state: stored,
                session_before: before.flatten(),
                is_stored: upserted.rows_affected() == 1,
            })
        })
        .await
    }

    async fn update(&self, change: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let updated = sqlx::query(UPDATE_STATE)
                .bind(&change.call_id)
                .bind(&change.status)
                .bind(&change.metadata)
                .bind(change.now.0)
                .bind(change.ends)
                .bind(i64::from(MERGED_BYTES_MAX))
                .execute(&mut *writer)
                .await?;
            let stored = sqlx::query(SELECT_STATE)
                .bind(&change.call_id)
                .map(call_state)
                .fetch_optional(&mut *writer)
                .await?;
            writer.put_back();

            Ok(stored.map(|state| (state, updated.rows_affected() == 1)))
        })
        .await
    }

    async fn ended_since(&self, at: At, max: u32) -> Result<Vec<CallState>, LedgerError> {
        let select = sqlx::query(SELECT_ENDED_STATES)
            .bind(at.0)
            .bind(i64::from(max))
            .map(call_state);

        let mut reader = self.reader().await?;
        let states = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(states)
    }

    async fn close_older(&self, before: At, now: At) -> Result<Vec<CallState>, LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let closed = sqlx::query(CLOSE_OLD_STATES)
                .bind(before.0)
                .bind(now.0)
                .map(call_state)
                .fetch_all(&mut *writer)
                .await?;
            writer.put_back();

            Ok(closed)
        })
        .await
    }

    async fn unregister(&self, what: Registered<'_>) -> Result<Vec<Joined>, LedgerError> {
        let (statement, name) = match what {
            Registered::Call(call) => (UNREGISTER_CALL, call),
            Registered::Session(session) => (UNREGISTER_SESSION, session),
        };

        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let parted = sqlx::query_as::<_, (String, Option<String>)>(statement)
                .bind(name)
                .fetch_all(&mut *writer)
                .await?;
            writer.put_back();

            Ok(parted.into_iter().map(Joined::from).collect())
        })
        .await
    }

    async fn by_id(&self, call_id: &str) -> Result<Option<CallState>, LedgerError> {
        let select = sqlx::query(SELECT_STATE).bind(call_id).map(call_state);

        let mut reader = self.reader().await?;
        let state = with_timeout(reader.time_limit, select.fetch_optional(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(state)
    }

    async fn places(&self, call_ids: &[String]) -> Result<Vec<CallPlace>, LedgerError> {
        let place = |row: PgRow| CallPlace {
            call_id: row.get(0),
            site: row.get(1),
            is_over: row.get(2),
        };
        let select = sqlx::query(SELECT_PLACES).bind(call_ids).map(place);

        let mut reader = self.reader().await?;
        let places = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(places)
    }

    async fn by_session(&self, session_id: &str) -> Result<Option<CallState>, LedgerError> {
        let select = sqlx::query(SELECT_STATE_OF_SESSION)
            .bind(session_id)
            .map(call_state);

        let mut reader = self.reader().await?;
        let state = with_timeout(reader.time_limit, select.fetch_optional(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(state)
    }

    async fn active(&self, max: u32) -> Result<Vec<CallState>, LedgerError> {
        let select = sqlx::query(SELECT_ACTIVE_STATES)
            .bind(i64::from(max))
            .bind(i64::from(LIST_BYTES_MAX))
            .map(call_state);

        let mut reader = self.reader().await?;
        let states = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(states)
    }
}
