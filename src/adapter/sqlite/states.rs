//! States of calls that other programs register and look up, in the table `live_states`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::value::RawValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::database::SqliteLedger;
use crate::adapter::sql::outdated_states::implement_outdated_states;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;
use crate::port::states::{
    CallPlace, CallState, Joined, LIST_BYTES_MAX, MERGED_BYTES_MAX, PHONE_PROVIDER, Registered,
    Registration, StateChange, StateLedger,
};

const SELECT_BEFORE: &str = "\
-- select_state_before
SELECT session_id, provider, call_metadata
FROM live_states
WHERE call_id = ?1";

/// A final call of phones has no live state any more: it gets one again, for its session.
const ADOPT_FINAL_CALL: &str = "\
-- adopt_final_call
INSERT INTO live_states (
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
)
SELECT
    call_id, NULL, 'grandstream', site, direction, status,
    from_number, to_number, record, started_at, coalesce(ended_at, answered_at, started_at), ended_at
FROM call_logs
WHERE call_id = ?1
ON CONFLICT DO NOTHING";

/// A stored state stays unchanged, except for its session and its metadata.
const REGISTER_CALL_STATE: &str = "\
-- register_call_state
INSERT INTO live_states (
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL
WHERE EXISTS (SELECT 1 FROM live_states WHERE call_id = ?1)
    OR NOT EXISTS (SELECT 1 FROM call_logs WHERE call_id = ?1)
ON CONFLICT (call_id) DO UPDATE SET
    session_id = coalesce(excluded.session_id, live_states.session_id),
    call_metadata = CASE
        WHEN live_states.provider = 'grandstream' THEN live_states.call_metadata
        ELSE excluded.call_metadata
    END,
    updated_at = max(excluded.updated_at, live_states.updated_at + 1)";

const UPDATE_CALL_STATE: &str = "\
-- update_call_state
UPDATE live_states
SET
    status = ?2,
    call_metadata = coalesce(?3, call_metadata),
    updated_at = max(?4, updated_at + 1),
    ended_at = CASE WHEN ?5 THEN ?4 ELSE ended_at END
WHERE call_id = ?1 AND provider <> 'grandstream' AND ended_at IS NULL";

const CLOSE_OLD_CALL_STATES: &str = "\
-- close_old_call_states
UPDATE live_states
SET status = 'failed', updated_at = max(?2, updated_at + 1), ended_at = ?2
WHERE ended_at IS NULL AND provider <> 'grandstream' AND created_at < ?1
RETURNING
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at";

const SELECT_JOINED: &str = "\
-- select_joined
SELECT call_id, session_id
FROM live_states
WHERE call_id = ?1 OR session_id = ?2";

const PART_SESSION: &str = "\
-- part_session
UPDATE live_states
SET
    session_id = NULL,
    updated_at = updated_at + (provider <> 'grandstream')
WHERE call_id = ?1 OR session_id = ?2";

const SELECT_CALL_STATE: &str = "\
-- select_call_state
SELECT
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
FROM all_states
WHERE call_id = ?1";

const SELECT_PLACES: &str = "\
-- select_places_of_calls
SELECT call_id, site, ended_at IS NOT NULL
FROM live_states
WHERE call_id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT call_id, site, ended_at IS NOT NULL
FROM call_logs
WHERE call_id IN (SELECT value FROM json_each(?1))";

const SELECT_CALL_STATE_OF_SESSION: &str = "\
-- select_call_state_of_session
SELECT
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
FROM live_states
WHERE session_id = ?1
ORDER BY created_at DESC
LIMIT 1";

const SELECT_ENDED_CALL_STATES: &str = "\
-- select_ended_call_states
SELECT
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
FROM live_states
WHERE provider <> 'grandstream' AND ended_at >= ?1
ORDER BY ended_at DESC
LIMIT ?2";

const SELECT_ACTIVE_CALL_STATES: &str = "\
-- select_active_call_states
SELECT
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
FROM (
    SELECT
        *,
        sum(length(CAST(call_metadata AS BLOB))) OVER (ORDER BY created_at, call_id) AS bytes
    FROM (
        SELECT *
        FROM live_states
        WHERE ended_at IS NULL
        ORDER BY created_at, call_id
        LIMIT ?1
    )
)
WHERE bytes <= ?2
ORDER BY created_at, call_id";

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

/// A stored state before its change.
struct Before {
    session_id: Option<String>,
    provider: String,
    metadata: String,
}

async fn state_before(
    writer: &mut SqliteConnection,
    call: &str,
) -> Result<Option<Before>, sqlx::Error> {
    sqlx::query(SELECT_BEFORE)
        .bind(call)
        .map(|row: SqliteRow| Before {
            session_id: row.get(0),
            provider: row.get(1),
            metadata: row.get(2),
        })
        .fetch_optional(writer)
        .await
}

/// A JSON object with the members of a new one over its own, each as it was written: a number keeps
/// all its digits. `None` if it is too long.
fn merged(old: &str, new: &str) -> Result<Option<String>, LedgerError> {
    let corrupt = |error: serde_json::Error| LedgerError::Corrupt(error.into());
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(old).map_err(corrupt)?;
    let new: BTreeMap<String, &RawValue> = serde_json::from_str(new).map_err(corrupt)?;
    members.extend(new);

    let merged = serde_json::to_string(&members).map_err(corrupt)?;
    Ok((merged.len() <= MERGED_BYTES_MAX as usize).then_some(merged))
}

implement_outdated_states!(SqliteLedger);

#[async_trait]
impl StateLedger for SqliteLedger {
    async fn register(&self, state: &CallState) -> Result<Registration, LedgerError> {
        let mut writer = self.writer.lease().await?;

        // The only writer: nothing changes between the statements.
        let before = state_before(&mut writer, &state.call_id).await?;
        if before.is_none() && state.session_id.is_some() {
            sqlx::query(ADOPT_FINAL_CALL)
                .bind(&state.call_id)
                .execute(&mut *writer)
                .await?;
        }

        let metadata = match &before {
            Some(before) if before.provider != PHONE_PROVIDER => {
                merged(&before.metadata, &state.metadata)?
            }
            _ => Some(state.metadata.clone()),
        };
        let mut is_stored = false;
        if let Some(metadata) = metadata {
            let upserted = sqlx::query(REGISTER_CALL_STATE)
                .bind(&state.call_id)
                .bind(&state.session_id)
                .bind(&state.provider)
                .bind(&state.site)
                .bind(&state.direction)
                .bind(&state.status)
                .bind(state.from_number.as_deref())
                .bind(state.to_number.as_deref())
                .bind(metadata)
                .bind(state.created_at.0)
                .bind(state.updated_at.0)
                .execute(&mut *writer)
                .await?;
            is_stored = upserted.rows_affected() == 1;
        }
        let stored = sqlx::query(SELECT_CALL_STATE)
            .bind(&state.call_id)
            .map(call_state)
            .fetch_one(&mut *writer)
            .await?;
        writer.put_back();

        Ok(Registration {
            state: stored,
            session_before: before.and_then(|before| before.session_id),
            is_stored,
        })
    }

    async fn update(&self, change: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError> {
        let mut writer = self.writer.lease().await?;

        let before = state_before(&mut writer, &change.call_id).await?;
        let metadata = match (&before, &change.metadata) {
            (Some(before), Some(new)) => merged(&before.metadata, new)?,
            _ => None,
        };
        let mut is_changed = false;
        if metadata.is_some() || change.metadata.is_none() {
            let updated = sqlx::query(UPDATE_CALL_STATE)
                .bind(&change.call_id)
                .bind(&change.status)
                .bind(metadata)
                .bind(change.now.0)
                .bind(change.ends)
                .execute(&mut *writer)
                .await?;
            is_changed = updated.rows_affected() == 1;
        }
        let stored = sqlx::query(SELECT_CALL_STATE)
            .bind(&change.call_id)
            .map(call_state)
            .fetch_optional(&mut *writer)
            .await?;
        writer.put_back();

        Ok(stored.map(|state| (state, is_changed)))
    }

    async fn ended_since(&self, at: At, max: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(sqlx::query(SELECT_ENDED_CALL_STATES)
            .bind(at.0)
            .bind(max)
            .map(call_state)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn close_older(&self, before: At, now: At) -> Result<Vec<CallState>, LedgerError> {
        let mut writer = self.writer.lease().await?;

        let closed = sqlx::query(CLOSE_OLD_CALL_STATES)
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
        let parted = sqlx::query_as::<_, (String, Option<String>)>(SELECT_JOINED)
            .bind(call)
            .bind(session)
            .fetch_all(&mut *writer)
            .await?;
        sqlx::query(PART_SESSION)
            .bind(call)
            .bind(session)
            .execute(&mut *writer)
            .await?;
        writer.put_back();

        Ok(parted.into_iter().map(Joined::from).collect())
    }

    async fn by_id(&self, call_id: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(sqlx::query(SELECT_CALL_STATE)
            .bind(call_id)
            .map(call_state)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn places(&self, call_ids: &[String]) -> Result<Vec<CallPlace>, LedgerError> {
        let place = |row: SqliteRow| CallPlace {
            call_id: row.get(0),
            site: row.get(1),
            is_over: row.get(2),
        };

        Ok(sqlx::query(SELECT_PLACES)
            .bind(serde_json::json!(call_ids).to_string())
            .map(place)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn by_session(&self, session_id: &str) -> Result<Option<CallState>, LedgerError> {
        Ok(sqlx::query(SELECT_CALL_STATE_OF_SESSION)
            .bind(session_id)
            .map(call_state)
            .fetch_optional(&self.readers)
            .await?)
    }

    async fn active(&self, max: u32) -> Result<Vec<CallState>, LedgerError> {
        Ok(sqlx::query(SELECT_ACTIVE_CALL_STATES)
            .bind(max)
            .bind(i64::from(LIST_BYTES_MAX))
            .map(call_state)
            .fetch_all(&self.readers)
            .await?)
    }
}
