//! The missed-call desk.

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresLedger;
use crate::adapter::sql::desk::{implement_desk, select_entries};

const SELECT_ENTRIES: &str = select_entries!(
    text: "::text",
    name: "logs.record #>> '{from,name}'",
    differs: "IS DISTINCT FROM",
    // Few calls go on: they are those with an open state.
    open_calls: "live_states AS open
                JOIN call_logs AS later ON later.call_id = open.our_call
                WHERE open.is_open
                    AND open.ended_at IS NULL",
    is_shown: "NOT missed.retracted",
    no_site: "$1::text IS NULL",
);

implement_desk!(PostgresLedger, PgRow, SELECT_ENTRIES, id);

fn id(call_id: &str) -> Option<Uuid> {
    Uuid::try_parse(call_id).ok()
}
