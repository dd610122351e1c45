//! The ledger on PostgreSQL: the laws of the port.

use cordboard::adapter::postgres::PostgresLedger;

use crate::ledger::{Store, conformance};
use crate::support::postgres::{WHOLE, database, ledger, value};

conformance!(Postgres);

/// A database on the server of the run.
struct Postgres {
    url: String,
}

impl Store for Postgres {
    type Ledger = PostgresLedger;

    async fn new() -> Postgres {
        Postgres {
            url: database().await,
        }
    }

    async fn open(&self) -> PostgresLedger {
        ledger(&self.url, WHOLE)
    }

    async fn dead_messages(&self) -> Vec<Vec<u8>> {
        value(
            &self.url,
            "SELECT coalesce(array_agg(message), '{}') FROM dead_events",
        )
        .await
    }

    async fn rows(&self) -> Vec<String> {
        let sql = "
            WITH lines AS (
                SELECT json_build_array(
                    'participant', call_id, place, extension, device, role,
                    rang_at, answered_at, left_at, outcome
                )::text AS line
                FROM call_participants
                UNION ALL
                SELECT json_build_array(
                    'link', call_id, linked_call_id, kind, confidence, reason
                )::text
                FROM call_links
                UNION ALL
                SELECT json_build_array('missed', call_id, extensions, missed_at)::text
                FROM missed_call_logs
                WHERE NOT retracted
                UNION ALL
                SELECT json_build_array(
                    'stats', site, minute, direction, calls, answered, missed, ring_us, talk_us
                )::text
                FROM call_stats
                UNION ALL
                SELECT json_build_array(
                    'state', call_id, site, direction, status, from_number, to_number, ended_at
                )::text
                FROM live_states
            )
            SELECT array_agg(line ORDER BY line)
            FROM lines";

        value(&self.url, sql).await
    }
}
