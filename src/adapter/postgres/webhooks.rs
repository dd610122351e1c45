//! Webhooks and their deliveries.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use crate::adapter::sql::webhooks::implement_webhooks;

const SKIP_NOTIFICATIONS: &str = "-- skip_webhook_notifications
    INSERT INTO webhook_cursors (generation, part, number)
    SELECT owners.generation, owners.part, coalesce(last.number, 0)
    FROM partition_owner AS owners
    CROSS JOIN LATERAL (
        SELECT max(number) AS number
        FROM notices
        WHERE notices.generation = owners.generation
            AND notices.part = owners.part
    ) AS last
    ON CONFLICT (generation, part) DO UPDATE
    SET number = excluded.number";

const SELECT_UNSENT: &str = "-- select_unsent_notifications
    SELECT owners.generation::bigint, owners.part::bigint, unsent.number, kind, data
    FROM partition_owner AS owners
    LEFT JOIN webhook_cursors AS cursors
        ON cursors.generation = owners.generation
        AND cursors.part = owners.part
    CROSS JOIN LATERAL (
        SELECT *
        FROM notices
        WHERE notices.generation = owners.generation
            AND notices.part = owners.part
            AND notices.number > coalesce(cursors.number, 0)
        ORDER BY number
        LIMIT $1
    ) AS unsent
    ORDER BY owners.generation, owners.part, unsent.number";

const ADD_DELIVERIES: &str = "-- add_webhook_deliveries
    INSERT INTO webhook_deliveries (
        webhook, message, event, body, state, created_at, due_at, attempts
    )
    SELECT
        value ->> 'webhook', value ->> 'message', value ->> 'event', value ->> 'body',
        'waiting', $2, $2, 0
    FROM json_array_elements($1::json)
    ON CONFLICT DO NOTHING";

implement_webhooks!(PostgresLedger, PgRow);
