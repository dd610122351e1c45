//! The missed-call desk.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::desk::{
    LAST_ID, implement_desk, select_answered, select_entries, select_states, update_entries,
};

const SELECT_ENTRIES: [[&str; 2]; 3] = select_entries!(
    text: "",
    name: "json_extract(logs.record, '$.from.name')",
    // Few calls go on, and they have an index of their own.
    open_calls: "call_logs AS later INDEXED BY call_logs_open
                WHERE later.is_final = 0",
    is_shown: "missed.retracted = 0",
    no_site: "$1 IS NULL",
);

const SELECT_ANSWERED: &str = select_answered!(
    keys: "SELECT
            value->>'place' AS place,
            value->>'site' AS site,
            value->>'number' AS number,
            value->>'e164' AS e164,
            value->>'since' AS since
        FROM json_each($1)",
    text: "",
    differs: "IS NOT",
);

const SELECT_STATES: &str = select_states!(
    ids: "SELECT value FROM json_each($1)",
    text: "",
);

const UPDATE_ENTRIES: &str = update_entries!(
    entries: "(
        SELECT call_id, desk_status, assigned_to, changed_at, changed_by
        FROM missed_call_logs
        WHERE call_id IN (SELECT value FROM json_each($1))
    )",
    callers: "(
                    SELECT value->>'site' AS site, value->>'number' AS number
                    FROM json_each($10)
                ) AS callers",
    is_shown: "missed.retracted = 0",
);

const MARK_REACHED: &str = "-- mark_reached_callers
    UPDATE missed_call_logs
    SET reached_by = reached.value->>'reached_by'
    FROM json_each($1) AS reached
    WHERE missed_call_logs.call_id = reached.value->>'call_id'";

implement_desk!(SqliteLedger, SqliteRow, id);

#[expect(
    clippy::unnecessary_wraps,
    reason = "in the other dialect an id can be unreadable"
)]
fn id(call_id: &str) -> Option<&str> {
    Some(call_id)
}
