//! The missed-call desk.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::desk::{implement_desk, select_entries};

const SELECT_ENTRIES: &str = select_entries!(
    text: "",
    name: "json_extract(logs.record, '$.from.name')",
    differs: "IS NOT",
    // Few calls go on, and they have an index of their own.
    open_calls: "call_logs AS later INDEXED BY call_logs_open
                WHERE later.is_final = 0",
    is_shown: "missed.retracted = 0",
    no_site: "$1 IS NULL",
);

implement_desk!(SqliteLedger, SqliteRow, SELECT_ENTRIES, id);

#[expect(
    clippy::unnecessary_wraps,
    reason = "in the other dialect an id can be unreadable"
)]
fn id(call_id: &str) -> Option<&str> {
    Some(call_id)
}
