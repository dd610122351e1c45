//! The SQL statements of the `SQLite` ledger. Each begins with its name as a comment.
//!
//! Statements for a batch take their rows as one JSON array, `?1`. `WHERE true` before
//! `ON CONFLICT` tells the parser that the clause does not belong to a join.

// Facts, sites, devices and extensions.

pub(super) const INSERT_CALL_EVENTS: &str = "\
-- insert_call_events
INSERT OR IGNORE INTO call_events (
    event_id, site, received_at, event, device,
    extension, remote, remote_e164, call_ref, envelope
)
SELECT
    value->>'event_id', value->>'site', value->>'received_at', value->>'event', value->>'device',
    value->>'extension', value->>'remote', value->>'remote_e164', value->>'call_ref',
    value->>'envelope'
FROM json_each(?1)";

pub(super) const INSERT_SITES: &str = "\
-- insert_sites
INSERT OR IGNORE INTO sites (site, first_seen)
SELECT value->>'site', min(value->>'received_at')
FROM json_each(?1)
GROUP BY 1";

pub(super) const UPSERT_DEVICES: &str = "\
-- upsert_devices
INSERT INTO devices (
    site, device, last_seen, extension, model, firmware, state, state_since
)
SELECT
    value->>'site', value->>'device', value->>'last_seen', value->>'extension', value->>'model',
    value->>'firmware', value->>'state', value->>'state_since'
FROM json_each(?1)
WHERE true
ON CONFLICT DO UPDATE SET
    last_seen = max(last_seen, excluded.last_seen),
    extension = iif(
        excluded.last_seen >= last_seen,
        coalesce(excluded.extension, extension), coalesce(extension, excluded.extension)
    ),
    model = iif(
        excluded.last_seen >= last_seen,
        coalesce(excluded.model, model), coalesce(model, excluded.model)
    ),
    firmware = iif(
        excluded.last_seen >= last_seen,
        coalesce(excluded.firmware, firmware), coalesce(firmware, excluded.firmware)
    ),
    state = iif(
        excluded.state_since >= coalesce(state_since, 0), excluded.state, state
    ),
    state_since = iif(
        excluded.state_since >= coalesce(state_since, 0), excluded.state_since, state_since
    )";

pub(super) const UPSERT_EXTENSIONS: &str = "\
-- upsert_extensions
INSERT INTO extensions (site, extension, first_report)
SELECT value->>'site', value->>'extension', min(value->>'received_at')
FROM json_each(?1)
WHERE value->>'extension' IS NOT NULL
GROUP BY 1, 2
ON CONFLICT DO UPDATE SET first_report = min(first_report, excluded.first_report)";

pub(super) const SELECT_KNOWN_EVENTS: &str = "\
-- select_known_events
SELECT event_id
FROM call_events
WHERE event_id IN (SELECT value FROM json_each(?1))";

pub(super) const SELECT_ENVELOPES: &str = "\
-- select_envelopes
SELECT event_id, envelope
FROM call_events
WHERE event_id IN (SELECT value FROM json_each(?1))";

pub(super) const SELECT_IDS_OF_CALLS: &str = "\
-- select_ids_of_calls
SELECT call_id
FROM call_logs
WHERE call_id IN (SELECT value FROM json_each(?1))";

pub(super) const SELECT_ENVELOPES_OF_SITE: &str = "\
-- select_envelopes_of_site
SELECT envelope
FROM call_events
WHERE site = ?1 AND received_at >= ?2 AND received_at <= ?3
ORDER BY received_at, event_id
LIMIT ?4";

pub(super) const SELECT_SITES: &str = "\
-- select_sites
SELECT site
FROM sites
ORDER BY site";

pub(super) const SELECT_DEVICES: &str = "\
-- select_devices
SELECT device, last_seen, extension, model, firmware, state, state_since
FROM devices
WHERE site = ?1
ORDER BY last_seen DESC, device
LIMIT 10000";

pub(super) const SELECT_SILENT_EXTENSIONS: &str = "\
-- select_silent_extensions
WITH silent AS (
    SELECT site, extension, max(state_since) AS since
    FROM devices
    WHERE state = 'dnd'
        AND extension IS NOT NULL
        AND (?1 IS NULL OR site = ?1)
    GROUP BY site, extension
)
SELECT site, extension, since
FROM silent
WHERE NOT EXISTS (
    SELECT 1
    FROM devices AS other INDEXED BY devices_by_extension
    WHERE other.site = silent.site
        AND other.extension = silent.extension
        AND other.state IS NOT 'dnd'
        AND other.last_seen > silent.since
)
ORDER BY site, extension";

pub(super) const SELECT_EXTENSIONS: &str = "\
-- select_extensions
SELECT extensions.extension, first_report, agent, name
FROM extensions
LEFT JOIN agents
    ON agents.site = extensions.site AND agents.extension = extensions.extension
WHERE extensions.site = ?1
ORDER BY extensions.extension
LIMIT 10000";

// Calls.

pub(super) const UPSERT_CALL_LOGS: &str = "\
-- upsert_call_logs
INSERT INTO call_logs (
    call_id, site, direction, status, outcome,
    from_number, from_e164, to_number, to_e164, answered_by,
    started_at, answered_at, ended_at, ring_us, talk_us, total_us,
    is_final, record
)
SELECT
    value->>'call_id', value->>'site', value->>'direction', value->>'status', value->>'outcome',
    value->>'from_number', value->>'from_e164', value->>'to_number', value->>'to_e164',
    value->>'answered_by', value->>'started_at', value->>'answered_at', value->>'ended_at',
    value->>'ring_us', value->>'talk_us', value->>'total_us',
    value->>'is_final', value->>'record'
FROM json_each(?1)
WHERE true
ON CONFLICT DO UPDATE SET
    direction = excluded.direction,
    status = excluded.status,
    outcome = excluded.outcome,
    from_number = excluded.from_number,
    from_e164 = excluded.from_e164,
    to_number = excluded.to_number,
    to_e164 = excluded.to_e164,
    answered_by = excluded.answered_by,
    started_at = excluded.started_at,
    answered_at = excluded.answered_at,
    ended_at = excluded.ended_at,
    ring_us = excluded.ring_us,
    talk_us = excluded.talk_us,
    total_us = excluded.total_us,
    is_final = excluded.is_final,
    record = excluded.record";

pub(super) const DELETE_CALL_LOGS: &str = "\
-- delete_call_logs
DELETE FROM call_logs
WHERE call_id IN (SELECT value FROM json_each(?1))";

pub(super) const INSERT_CALL_PARTICIPANTS: &str = "\
-- insert_call_participants
INSERT INTO call_participants (
    call_id, place, extension, device, role,
    rang_at, answered_at, left_at, outcome, call_ref
)
SELECT
    value->>'call_id', value->>'place', value->>'extension', value->>'device', value->>'role',
    value->>'rang_at', value->>'answered_at', value->>'left_at', value->>'outcome',
    value->>'call_ref'
FROM json_each(?1)";

pub(super) const DELETE_CALL_PARTICIPANTS: &str = "\
-- delete_call_participants
DELETE FROM call_participants
WHERE call_id IN (SELECT value FROM json_each(?1))";

pub(super) const INSERT_CALL_LINKS: &str = "\
-- insert_call_links
INSERT OR REPLACE INTO call_links (call_id, linked_call_id, kind, confidence, reason)
SELECT
    value->>'call_id', value->>'linked_call_id', value->>'kind',
    value->>'confidence', value->>'reason'
FROM json_each(?1)";

/// Links that a person made stay.
pub(super) const DELETE_CALL_LINKS: &str = "\
-- delete_call_links
DELETE FROM call_links
WHERE by_hand = 0 AND call_id IN (SELECT value FROM json_each(?1))";

pub(super) const SELECT_CALL_STARTS: &str = "\
-- select_call_starts
SELECT site, started_at
FROM call_logs
WHERE call_id IN (SELECT value FROM json_each(?1))";

pub(super) const SELECT_CALLS_STARTED: &str = "\
-- select_calls_started
SELECT call_id
FROM call_logs
WHERE site = ?1 AND started_at >= ?2 AND started_at <= ?3";

pub(super) const SELECT_RECORD: &str = "\
-- select_record
SELECT record
FROM call_logs
WHERE call_id = ?1";

pub(super) const SELECT_RECORDS_OF_SITE: &str = "\
-- select_records_of_site
SELECT call_id, record
FROM call_logs
WHERE site = ?1
ORDER BY call_id";

/// A page of calls; `read.rs` appends its filters.
pub(super) const SELECT_CALLS: &str = "\
-- select_calls
SELECT started_at, call_id, record
FROM call_logs
WHERE true";

// Missed calls.

pub(super) const UPSERT_MISSED_CALL_LOGS: &str = "\
-- upsert_missed_call_logs
INSERT INTO missed_call_logs (
    call_id, site, from_number, from_e164, extensions, missed_at, cause
)
SELECT
    value->>'call_id', value->>'site', value->>'from_number', value->>'from_e164',
    value->>'extensions', value->>'missed_at', value->>'cause'
FROM json_each(?1)
WHERE true
ON CONFLICT DO UPDATE SET
    extensions = excluded.extensions,
    cause = excluded.cause,
    missed_at = excluded.missed_at,
    retracted = 0";

/// Retracts calls whose records need no call back any more: they were answered after all.
pub(super) const RETRACT_MISSED_CALL_LOGS: &str = "\
-- retract_missed_call_logs
UPDATE missed_call_logs
SET retracted = 1
WHERE call_id IN (SELECT value FROM json_each(?1))";

// Statistics of a minute are counted from the logs of that minute, never counted up. A minute is
// small because every commit counts the calls of all minutes that it changed.

pub(super) const DELETE_CALL_STATS: &str = "\
-- delete_call_stats
DELETE FROM call_stats
WHERE (site, minute) IN (SELECT value->>'site', value->>'minute' FROM json_each(?1))";

pub(super) const INSERT_CALL_STATS: &str = "\
-- insert_call_stats
INSERT INTO call_stats (site, minute, direction, calls, answered, missed, ring_us, talk_us)
SELECT
    changed.value->>'site',
    changed.value->>'minute',
    direction,
    count(*),
    count(*) FILTER (WHERE outcome = 'answered'),
    count(*) FILTER (WHERE outcome = 'missed'),
    CAST(min(total(ring_us), 9e18) AS INTEGER),
    CAST(min(total(talk_us), 9e18) AS INTEGER)
FROM json_each(?1) AS changed
JOIN call_logs
    ON call_logs.site = changed.value->>'site'
    AND started_at >= changed.value->>'minute'
    AND started_at < (changed.value->>'minute') + ?2
WHERE outcome IS NOT NULL
GROUP BY 1, 2, 3";

pub(super) const SELECT_CALL_STATS: &str = "\
-- select_call_stats
SELECT
    site, minute - (minute - ?5) % ?3 AS hour, direction,
    sum(calls), sum(answered), sum(missed),
    CAST(min(total(ring_us), 9e18) AS INTEGER), CAST(min(total(talk_us), 9e18) AS INTEGER)
FROM call_stats
WHERE minute >= ?1 AND minute < ?2 AND (?4 IS NULL OR site = ?4)
GROUP BY hour, site, direction
ORDER BY hour, site, direction";

/// Open calls, unanswered calls without a ringing phone, and dead letters.
pub(super) const COUNT_OPERATIONS: &str = "\
-- count_operations
SELECT
    (
        SELECT count(*)
        FROM call_logs
        WHERE is_final = 0 AND ended_at IS NULL
    ),
    (
        SELECT count(*)
        FROM call_logs
        WHERE is_final = 0 AND ended_at IS NULL AND answered_at IS NULL
            AND NOT EXISTS (
                SELECT 1
                FROM call_participants
                WHERE call_participants.call_id = call_logs.call_id AND left_at IS NULL
            )
    ),
    (SELECT count(*) FROM dead_events)";

// States of calls, of phones and of other programs.

/// Final calls get a new state only where one is stored already.
pub(super) const UPSERT_CALL_STATES: &str = "\
-- upsert_call_states
INSERT INTO live_states (
    call_id, session_id, provider, site, direction, status,
    from_number, to_number, call_metadata, created_at, updated_at, ended_at
)
SELECT
    value->>'call_id', NULL, 'grandstream', value->>'site', value->>'direction', value->>'status',
    value->>'from_number', value->>'to_number', value->>'record', value->>'started_at',
    ?2, value->>'ended_at'
FROM json_each(?1)
WHERE value->>'is_final' = 0
    OR EXISTS (SELECT 1 FROM live_states WHERE call_id = value->>'call_id')
ON CONFLICT DO UPDATE SET
    direction = excluded.direction,
    status = excluded.status,
    from_number = excluded.from_number,
    to_number = excluded.to_number,
    call_metadata = excluded.call_metadata,
    updated_at = excluded.updated_at,
    ended_at = excluded.ended_at";

/// A state that another program has joined to a session stays available to that program.
pub(super) const DELETE_CALL_STATES: &str = "\
-- delete_call_states
DELETE FROM live_states
WHERE session_id IS NULL AND call_id IN (SELECT value FROM json_each(?1))";

// Notifications.

pub(super) const INSERT_NOTICES: &str = "\
-- insert_notices
INSERT OR REPLACE INTO notices (number, kind, call_id, data)
SELECT value->>'number', value->>'kind', value->>'call_id', value->>'data'
FROM json_each(?1)";

pub(super) const DELETE_OLD_NOTICES: &str = "\
-- delete_old_notices
DELETE FROM notices
WHERE number <= CASE
    WHEN EXISTS (SELECT 1 FROM webhooks WHERE disabled IS NULL) THEN min(
        ?1,
        max(coalesce((SELECT number FROM webhook_cursors WHERE generation = 0), 0), ?1 - ?2)
    )
    ELSE ?1
END";

pub(super) const SELECT_NOTICES_AFTER: &str = "\
-- select_notices_after
SELECT number, kind, call_id, data
FROM notices
WHERE number > ?1
ORDER BY number
LIMIT ?2";

pub(super) const SELECT_RECENT_NOTICES: &str = "\
-- select_recent_notices
SELECT number, kind, call_id, data
FROM notices
ORDER BY number DESC
LIMIT ?1";

pub(super) const SELECT_LAST_NOTICE: &str = "\
-- select_last_notice
SELECT coalesce(max(number), 0)
FROM notices";

// Dead letters and redelivered messages.

pub(super) const INSERT_DEAD_EVENTS: &str = "\
-- insert_dead_events
INSERT OR IGNORE INTO dead_events (digest, reason, message)
SELECT value->>'digest', value->>'reason', unhex(value->>'message')
FROM json_each(?1)";

pub(super) const SELECT_DEAD_EVENTS: &str = "\
-- select_dead_events
SELECT id, digest, reason, message
FROM dead_events
WHERE id > ?1
ORDER BY id
LIMIT ?2";

pub(super) const DELETE_DEAD_EVENT: &str = "\
-- delete_dead_event
DELETE FROM dead_events
WHERE digest = ?1";

pub(super) const RECORD_ATTEMPT: &str = "\
-- record_attempt
INSERT INTO redelivery_attempts (digest, attempts)
VALUES (?1, 1)
ON CONFLICT DO UPDATE SET attempts = attempts + 1
RETURNING attempts";

pub(super) const CLEAR_ATTEMPTS: &str = "\
-- clear_attempts
DELETE FROM redelivery_attempts
WHERE digest = ?1";

// Ownership of the partition, and recovery.

pub(super) const TAKE_OVER_PARTITION: &str = "\
-- take_over_partition
INSERT INTO partition_owner (part, epoch, owner, watermark)
VALUES (?1, 1, ?2, ?3)
ON CONFLICT DO UPDATE SET epoch = epoch + 1, owner = excluded.owner
RETURNING watermark, ticks";

pub(super) const CORRECT_TIME: &str = "\
-- correct_time
UPDATE partition_owner
SET watermark = ?2, ticks = ?3
WHERE part = ?1";

pub(super) const SELECT_FACTS_AHEAD: &str = "\
-- select_facts_ahead
SELECT sites.site, min(received_at), max(received_at), count(*)
FROM sites
JOIN call_events ON call_events.site = sites.site AND received_at > ?1
GROUP BY sites.site";

pub(super) const SELECT_IMPOSSIBLE_CALLS: &str = "\
-- select_impossible_calls
SELECT call_id
FROM call_logs
WHERE started_at < ?1
UNION ALL
SELECT call_id
FROM call_logs
WHERE started_at > ?2";

/// The fence: changes no row for any but the last owner.
pub(super) const PASS_FENCE: &str = "\
-- pass_fence
UPDATE partition_owner
SET
    watermark = max(watermark, ?3),
    ticks = CASE ?4 WHEN '{}' THEN ticks ELSE ?4 END
WHERE part = ?1 AND owner = ?2";

pub(super) const SELECT_WATERMARK: &str = "\
-- select_watermark
SELECT watermark
FROM partition_owner
WHERE part = ?1";

pub(super) const SELECT_OPEN_CALLS: &str = "\
-- select_open_calls
SELECT call_id, started_at
FROM call_logs
WHERE is_final = 0";

pub(super) const SELECT_FIRST_RELEVANT_CALL: &str = "\
-- select_first_relevant_call
SELECT min(started_at)
FROM call_logs
WHERE is_final = 0 OR (started_at >= ?1 AND ended_at >= ?2)";

pub(super) const SELECT_ENVELOPES_SINCE: &str = "\
-- select_envelopes_since
SELECT envelope
FROM call_events
WHERE received_at >= ?1 AND received_at <= ?2
ORDER BY received_at, event_id";

pub(super) const SELECT_ALL_EXTENSIONS: &str = "\
-- select_all_extensions
SELECT site, extension, first_report
FROM extensions";

/// One index look-up per site instead of a scan of all facts.
pub(super) const SELECT_LAST_FACT: &str = "\
-- select_last_fact
SELECT max(
    (SELECT max(received_at) FROM call_events WHERE call_events.site = sites.site)
)
FROM sites";

// The database itself.

pub(super) const SELECT_APPLIED_MIGRATIONS: &str = "\
-- select_applied_migrations
SELECT version
FROM _sqlx_migrations
WHERE success
ORDER BY version";

pub(super) const SELECT_NEWEST_MIGRATION: &str = "\
-- select_newest_migration
SELECT max(version)
FROM _sqlx_migrations";

pub(super) const QUICK_CHECK: &str = "\
-- quick_check
PRAGMA quick_check(1)";
