//! Webhooks and their deliveries.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use crate::adapter::sql::webhook_statements::clocked;
use crate::adapter::sql::webhooks::implement_webhooks;

const SKIP_NOTIFICATIONS: &str = "-- skip_webhook_notifications
    INSERT INTO webhook_cursors (generation, part, number)
    SELECT 0, 0, coalesce(max(number), 0)
    FROM notices
    WHERE true
    ON CONFLICT (generation, part) DO UPDATE
    SET number = excluded.number";

const SELECT_UNSENT: &str = "-- select_unsent_notifications
    SELECT 0, 0, notices.number, kind, data, cursors.number
    FROM notices
    LEFT JOIN webhook_cursors AS cursors ON cursors.generation = 0
    WHERE notices.number > coalesce(cursors.number, 0)
    ORDER BY notices.number
    LIMIT $1";

const ADD_MESSAGES: &str = "-- add_webhook_messages
    INSERT INTO webhook_messages (message, event, site, call_id, body, created_at)
    SELECT
        value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each($1)
    WHERE true
    ON CONFLICT DO NOTHING";

const ADD_DELIVERIES: &str = "-- add_webhook_deliveries
    INSERT INTO webhook_deliveries (webhook, message, state, created_at, due_at, attempts)
    SELECT value ->> 0, value ->> 1, 'waiting', value ->> 2, 0, 0
    FROM json_each($1)
    WHERE true
    ON CONFLICT DO NOTHING";

clocked!("CAST(unixepoch('subsec') * 1000000 AS INTEGER)");

implement_webhooks!(SqliteLedger, SqliteRow);
