//! The missed-call desk.

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresLedger;
use crate::adapter::sql::desk::implement_desk;

/// `+ 0` keeps the planner from reading all later calls of the site in their order: few calls have
/// the number.
const SELECT_ENTRIES: &str = "-- select_desk_entries
    WITH entries AS (
        SELECT
            missed.call_id, missed.site, missed.from_number, missed.from_e164,
            logs.record #>> '{from,name}' AS name, missed.extensions::text AS extensions,
            logs.started_at, missed.missed_at, logs.total_us, missed.desk_status,
            missed.assigned_to, missed.note, missed.disposition, missed.changed_at,
            missed.changed_by,
            (
                SELECT later.call_id
                FROM call_logs AS later
                WHERE later.site = missed.site
                    AND later.started_at > logs.started_at
                    AND later.outcome = 'answered'
                    AND (
                        later.from_number IN (missed.from_number, missed.from_e164)
                        OR later.to_number IN (missed.from_number, missed.from_e164)
                        OR later.from_e164 = missed.from_e164
                            AND later.from_e164 IS DISTINCT FROM later.from_number
                        OR later.to_e164 = missed.from_e164
                            AND later.to_e164 IS DISTINCT FROM later.to_number
                    )
                ORDER BY later.started_at + 0
                LIMIT 1
            ) AS reached_by,
            (
                SELECT later.call_id
                FROM call_logs AS later
                WHERE later.site = missed.site
                    AND later.started_at > logs.started_at
                    AND later.ended_at IS NULL
                    AND (
                        later.from_number IN (missed.from_number, missed.from_e164)
                        OR later.to_number IN (missed.from_number, missed.from_e164)
                        OR later.from_e164 = missed.from_e164
                            AND later.from_e164 IS DISTINCT FROM later.from_number
                        OR later.to_e164 = missed.from_e164
                            AND later.to_e164 IS DISTINCT FROM later.to_number
                    )
                ORDER BY later.started_at + 0
                LIMIT 1
            ) AS calling
        FROM missed_call_logs AS missed
        JOIN call_logs AS logs ON logs.call_id = missed.call_id
        WHERE NOT missed.retracted
            AND ($1::text IS NULL OR missed.site = $1)
            AND missed.missed_at >= $2
        ORDER BY missed.missed_at DESC, missed.call_id DESC
        LIMIT $3
    )
    SELECT
        entries.call_id::text, entries.site, entries.from_number, entries.from_e164, entries.name,
        entries.extensions, entries.started_at, entries.missed_at, entries.total_us,
        entries.desk_status, entries.assigned_to, entries.note, entries.disposition,
        entries.changed_at, entries.changed_by,
        reached.call_id::text,
        CASE reached.direction WHEN 'inbound' THEN reached.answered_by ELSE reached.from_number END,
        calling.call_id::text,
        CASE calling.direction WHEN 'inbound' THEN calling.answered_by ELSE calling.from_number END
    FROM entries
    LEFT JOIN call_logs AS reached ON reached.call_id = entries.reached_by
    LEFT JOIN call_logs AS calling ON calling.call_id = entries.calling
    ORDER BY entries.missed_at DESC, entries.call_id DESC";

implement_desk!(PostgresLedger, PgRow, SELECT_ENTRIES, id);

fn id(call_id: &str) -> Option<Uuid> {
    Uuid::try_parse(call_id).ok()
}
