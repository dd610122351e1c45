//! Webhooks and their deliveries.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use crate::adapter::sql::webhook_statements::clocked;
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
    SELECT
        owners.generation::bigint, owners.part::bigint, unsent.number, kind, data, cursors.number
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
    ORDER BY owners.generation, owners.part, unsent.number
    LIMIT $1";

const ADD_MESSAGES: &str = "-- add_webhook_messages
    INSERT INTO webhook_messages (message, event, site, call_id, body, created_at)
    SELECT
        value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, (value ->> 5)::bigint
    FROM json_array_elements($1::json)
    ON CONFLICT DO NOTHING";

const ADD_DELIVERIES: &str = "-- add_webhook_deliveries
    INSERT INTO webhook_deliveries (webhook, message, state, created_at, due_at, attempts)
    SELECT
        value ->> 0, value ->> 1, 'waiting', (value ->> 2)::bigint, 0, 0
    FROM json_array_elements($1::json)
    ON CONFLICT DO NOTHING";

clocked!("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint");

implement_webhooks!(PostgresLedger, PgRow);
