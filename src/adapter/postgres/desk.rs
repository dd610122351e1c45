//! The missed-call desk.

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresLedger;
use crate::adapter::sql::desk::{
    LAST_ID, implement_desk, select_answered, select_entries, select_states, update_entries,
};

const SELECT_ENTRIES: [[&str; 2]; 3] = select_entries!(
    text: "::text",
    name: "logs.record #>> '{from,name}'",
    // Few calls go on: they are those with an open state.
    open_calls: "live_states AS open
                JOIN call_logs AS later ON later.call_id = open.our_call
                WHERE open.is_open
                    AND open.ended_at IS NULL",
    is_shown: "NOT missed.retracted",
    no_site: "$1::text IS NULL",
);

const SELECT_ANSWERED: &str = select_answered!(
    keys: "SELECT place, site, number, e164, since
        FROM json_to_recordset($1::json) AS keys (
            place bigint, site text, number text, e164 text, since bigint
        )",
    text: "::text",
    differs: "IS DISTINCT FROM",
);

const SELECT_STATES: &str = select_states!(
    ids: "SELECT value::uuid FROM json_array_elements_text($1::json)",
    text: "::text",
);

const UPDATE_ENTRIES: &str = update_entries!(
    entries: "MATERIALIZED (
        SELECT call_id, desk_status, assigned_to, changed_at, changed_by
        FROM missed_call_logs
        WHERE call_id IN (SELECT value::uuid FROM json_array_elements_text($1::json))
        ORDER BY call_id
        FOR UPDATE
    )",
    callers: "json_to_recordset($10::json) AS callers (site text, number text)",
    is_shown: "NOT missed.retracted",
);

const MARK_REACHED: &str = "-- mark_reached_callers
    UPDATE missed_call_logs
    SET reached_by = reached.reached_by
    FROM json_to_recordset($1::json) AS reached (call_id uuid, reached_by uuid)
    WHERE missed_call_logs.call_id = reached.call_id";

implement_desk!(PostgresLedger, PgRow, id);

/// The turn of a request, which waits for no other one here.
struct DeskTurn;

impl PostgresLedger {
    #[expect(
        clippy::unused_async,
        reason = "requests wait for each other in the other dialect"
    )]
    async fn desk_turn(&self) -> Result<DeskTurn, LedgerError> {
        Ok(DeskTurn)
    }
}

fn id(call_id: &str) -> Option<Uuid> {
    Uuid::try_parse(call_id).ok()
}
