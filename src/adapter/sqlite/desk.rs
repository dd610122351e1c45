//! The missed-call desk.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::desk::{
    LAST_ID, implement_desk, select_answered, select_entries, update_entries,
};

macro_rules! entries {
    ($is_meant:literal) => {
        select_entries!(
            text: "",
            name: "json_extract(logs.record, '$.from.name')",
            // Few calls go on, and they have an index of their own.
            open_calls: "call_logs AS later INDEXED BY call_logs_open
                WHERE later.is_final = 0",
            is_meant: $is_meant,
        )
    };
}

/// By the stage of the work, and by whether a site is named. Entries that wait have indexes of their
/// own, and so do those that are assigned.
const SELECT_ENTRIES: [[&str; 2]; 3] = [
    [
        entries!(
            "missed.retracted = 0 AND missed.desk_status <> 'done' AND missed.reached_by IS NULL
            AND $1 IS NULL"
        ),
        entries!(
            "missed.retracted = 0 AND missed.desk_status <> 'done' AND missed.reached_by IS NULL
            AND missed.site = $1"
        ),
    ],
    [
        entries!(
            "missed.retracted = 0 AND missed.desk_status = 'assigned' AND missed.reached_by IS NULL
            AND $1 IS NULL"
        ),
        entries!(
            "missed.retracted = 0 AND missed.desk_status = 'assigned' AND missed.reached_by IS NULL
            AND missed.site = $1"
        ),
    ],
    [
        entries!("missed.retracted = 0 AND $1 IS NULL"),
        entries!("missed.retracted = 0 AND missed.site = $1"),
    ],
];

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

const UPDATE_ENTRIES: &str = update_entries!(
    entries: "(
        SELECT call_id, desk_status, assigned_to
        FROM missed_call_logs
        WHERE call_id IN (SELECT value FROM json_each($1))
    )",
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
