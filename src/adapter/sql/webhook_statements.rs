//! The statements on webhooks that are the same on either database, but for the clock of the database:
//! `clocked` has those with it.

/// Statements with the clock of the database, in microseconds. A rest or a right that goes on for longer
/// than ten minutes was begun by a clock that was ahead, and is over.
macro_rules! clocked {
    ($now:literal) => {
        const SELECT_WEBHOOKS: &str = concat!(
            "-- select_webhooks
    SELECT
        id, url, events, sites, secret, previous_secret, previous_until, disabled, created_at,
        created_by, version, failing_since, rests_until > ",
            $now,
            " AND rests_until < ",
            $now,
            " + 600000000
    FROM webhooks
    WHERE $1 = ''
        OR id = $1
    ORDER BY created_at, id
    LIMIT 1000"
        );

        const REST_WEBHOOK: &str = concat!(
            "-- rest_webhook
    UPDATE webhooks
    SET failing_since = coalesce(failing_since, ",
            $now,
            "),
        rests_until = ",
            $now,
            " + $2
    WHERE id = $1
        AND version = $3"
        );

        const HOLD_WEBHOOK: &str = concat!(
            "-- hold_webhook
    UPDATE webhooks
    SET sender = $2,
        sender_until = ",
            $now,
            " + $4
    WHERE id = $1
        AND (
            sender IS NULL
            OR sender = $2
            OR sender_until < ",
            $now,
            "
            OR sender_until > ",
            $now,
            " + 600000000
        )
        AND EXISTS (
            SELECT 1
            FROM webhook_deliveries
            WHERE webhook = $1
                AND state = 'waiting'
                AND due_at <= $3
        )"
        );

        const SELECT_OTHER_SENDER: &str = concat!(
            "-- select_other_sender_of_webhook
    SELECT 1
    FROM webhooks
    WHERE id = $1
        AND sender <> $2
        AND sender_until >= ",
            $now,
            "
        AND sender_until <= ",
            $now,
            " + 600000000"
        );

        const HOLD_MAKING: &str = concat!(
            "-- hold_making_of_webhook_messages
    UPDATE webhook_maker
    SET maker = $1,
        maker_until = ",
            $now,
            " + $2,
        last_instant = CASE WHEN last_instant < ",
            $now,
            " THEN ",
            $now,
            " ELSE last_instant END + $3
    WHERE maker IS NULL
        OR maker = $1
        OR maker_until < ",
            $now,
            "
        OR maker_until > ",
            $now,
            " + 600000000
    RETURNING last_instant"
        );
    };
}
pub(in crate::adapter) use clocked;

pub(in crate::adapter) const INSERT_WEBHOOK: &str = "-- insert_webhook
    INSERT INTO webhooks (
        id, url, events, sites, secret, previous_secret, previous_until, disabled, created_at,
        created_by, version
    )
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0
    WHERE (SELECT count(*) FROM webhooks WHERE created_by = $10) < $11
        AND (SELECT count(*) FROM webhooks) < $12";

pub(in crate::adapter) const UPDATE_WEBHOOK: &str = "-- update_webhook
    UPDATE webhooks
    SET url = $3,
        events = $4,
        sites = $5,
        secret = $6,
        previous_secret = $7,
        previous_until = $8,
        disabled = $9,
        version = version + 1
    WHERE id = $1
        AND version = $2";

pub(in crate::adapter) const END_WEBHOOK: &str = "-- end_webhook
    UPDATE webhooks
    SET disabled = $2,
        version = version + 1
    WHERE id = $1
        AND disabled IS NULL
        AND version = $3";

pub(in crate::adapter) const WAKE_WEBHOOK: &str = "-- wake_webhook
    UPDATE webhooks
    SET failing_since = NULL,
        rests_until = NULL
    WHERE id = $1";

pub(in crate::adapter) const FAIL_WAITING: &str = "-- fail_waiting_webhook_deliveries
    UPDATE webhook_deliveries
    SET state = 'failed',
        error = $2,
        finished_at = $3
    WHERE webhook = $1
        AND state = 'waiting'";

pub(in crate::adapter) const FAIL_WAITING_OF_VERSION: &str = "-- fail_waiting_of_webhook_version
    UPDATE webhook_deliveries
    SET state = 'failed',
        error = $2,
        finished_at = $3
    WHERE webhook = $1
        AND state = 'waiting'
        AND EXISTS (SELECT 1 FROM webhooks WHERE id = $1 AND version = $4)";

pub(in crate::adapter) const DELETE_WEBHOOK: &str = "-- delete_webhook
    DELETE FROM webhooks
    WHERE id = $1";

pub(in crate::adapter) const UPSERT_CURSOR: &str = "-- upsert_webhook_cursor
    INSERT INTO webhook_cursors (generation, part, number)
    VALUES ($1, $2, $3)
    ON CONFLICT (generation, part) DO UPDATE
    SET number = excluded.number
    WHERE webhook_cursors.number < excluded.number";

pub(in crate::adapter) const RELEASE_MAKING: &str = "-- release_making_of_webhook_messages
    UPDATE webhook_maker
    SET maker = NULL
    WHERE maker = $1";

pub(in crate::adapter) const RELEASE_WEBHOOK: &str = "-- release_webhook
    UPDATE webhooks
    SET sender = NULL
    WHERE id = $1
        AND sender = $2";

pub(in crate::adapter) const SELECT_DUE: &str = "-- select_due_webhook_deliveries
    SELECT
        webhook, d.message, state, d.created_at, due_at, attempts, answered, error, finished_at,
        event, site, call_id, body
    FROM webhook_deliveries AS d
    JOIN webhook_messages AS m ON m.message = d.message
    WHERE webhook = $1
        AND state = 'waiting'
        AND due_at <= $2
    ORDER BY due_at, d.created_at
    LIMIT $3";

pub(in crate::adapter) const FINISH_DELIVERY: &str = "-- finish_webhook_delivery
    UPDATE webhook_deliveries
    SET state = $3,
        due_at = $4,
        answered = $5,
        error = $6,
        finished_at = $7,
        attempts = $8
    WHERE webhook = $1
        AND message = $2
        AND state = 'waiting'";

pub(in crate::adapter) const COUNT_WAITING: &str = "-- count_waiting_webhook_deliveries
    SELECT count(*)
    FROM (
        SELECT 1
        FROM webhook_deliveries
        WHERE webhook = $1
            AND state = 'waiting'
            AND created_at >= $2
        LIMIT $3
    ) AS waiting";

pub(in crate::adapter) const COUNT_UNTRIED: &str = "-- count_untried_webhook_deliveries
    SELECT count(*)
    FROM (
        SELECT 1
        FROM webhook_deliveries
        WHERE webhook = $1
            AND state = 'waiting'
            AND attempts = 0
            AND created_at <= $2
        LIMIT $3
    ) AS waiting";

pub(in crate::adapter) const SELECT_DELIVERIES: &str = "-- select_webhook_deliveries
    SELECT
        webhook, d.message, state, d.created_at, due_at, attempts, answered, error, finished_at,
        event, site, call_id, body
    FROM webhook_deliveries AS d
    JOIN webhook_messages AS m ON m.message = d.message
    WHERE webhook = $1
        AND ($2 = '' OR state = $2)
        AND ($3 = '' OR d.message = $3)
    ORDER BY d.created_at DESC
    LIMIT $4";

pub(in crate::adapter) const REPEAT_DELIVERY: &str = "-- repeat_webhook_delivery
    UPDATE webhook_deliveries
    SET state = 'waiting',
        due_at = $3,
        attempts = 0,
        finished_at = NULL
    WHERE webhook = $1
        AND message = $2";

pub(in crate::adapter) const FORGET_FINISHED: &str = "-- forget_finished_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE (webhook, message) IN (
        SELECT webhook, message
        FROM webhook_deliveries
        WHERE finished_at < $1
        LIMIT 2000
    )";

/// Deliveries that no process took, because their receiver is gone.
pub(in crate::adapter) const FORGET_OLD: &str = "-- forget_old_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE message IN (
        SELECT message
        FROM webhook_messages
        WHERE created_at < $1
        ORDER BY created_at
        LIMIT 100
    )";

pub(in crate::adapter) const DELETE_DELIVERIES: &str = "-- delete_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE webhook = $1
        AND message IN (
            SELECT message
            FROM webhook_deliveries
            WHERE webhook = $1
            LIMIT 2000
        )";

pub(in crate::adapter) const FORGET_MESSAGES: &str = "-- forget_webhook_messages
    DELETE FROM webhook_messages
    WHERE message IN (
        SELECT message
        FROM webhook_messages AS m
        WHERE created_at < $1
            AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.message = m.message)
        LIMIT 2000
    )";

/// Rows that one statement of the clean-up removes at most.
pub(in crate::adapter) const FORGOTTEN_AT_ONCE: u64 = 2_000;
