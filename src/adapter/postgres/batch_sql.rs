//! SQL texts of the common table expressions of a batch statement. `{rows}` stands for the rows,
//! whose first column is the partition that they belong to.

pub(super) const INSERT_EVENTS: &str = "
    INSERT INTO call_events (
        event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref,
        envelope
    )
    SELECT
        event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref,
        envelope
    FROM fence
    JOIN {rows} AS t (
        part, event_id, site, received_at, event, device, extension, remote, remote_e164,
        call_ref, envelope
    ) USING (part)
    ON CONFLICT DO NOTHING";

pub(super) const INSERT_DEAD_EVENTS: &str = "
    INSERT INTO dead_events (digest, reason, message)
    SELECT digest, reason, message
    FROM fence
    JOIN {rows} AS t (part, digest, reason, message) USING (part)
    ON CONFLICT DO NOTHING";

pub(super) const INSERT_SITES: &str = "
    INSERT INTO sites (site, first_seen)
    SELECT site, first_seen
    FROM fence
    JOIN {rows} AS t (part, site, first_seen) USING (part)
    ON CONFLICT DO NOTHING";

pub(super) const UPSERT_DEVICES: &str = "
    INSERT INTO devices AS stored (site, device, last_seen)
    SELECT site, device, last_seen
    FROM fence
    JOIN {rows} AS t (part, site, device, last_seen) USING (part)
    ON CONFLICT (site, device) DO UPDATE
    SET last_seen = excluded.last_seen
    WHERE excluded.last_seen > stored.last_seen";

pub(super) const UPSERT_EXTENSIONS: &str = "
    INSERT INTO extensions AS stored (site, extension, first_report)
    SELECT site, extension, first_report
    FROM fence
    JOIN {rows} AS t (part, site, extension, first_report) USING (part)
    ON CONFLICT (site, extension) DO UPDATE
    SET first_report = excluded.first_report
    WHERE excluded.first_report < stored.first_report";

pub(super) const UPSERT_CALL_LOGS: &str = "
    INSERT INTO call_logs (
        call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164,
        answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record
    )
    SELECT
        call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164,
        answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record::json
    FROM fence
    JOIN {rows} AS t (
        part, call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164,
        answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, record
    ) USING (part)
    ON CONFLICT (call_id) DO UPDATE
    SET direction = excluded.direction,
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
        record = excluded.record";

/// The metadata column of a phone's call stays empty: its log holds the whole record.
pub(super) const UPSERT_OPEN_STATES: &str = "
    INSERT INTO live_states (
        call_id, our_call, is_open, provider, site, direction, status, from_number, to_number,
        call_metadata, created_at, updated_at, ended_at
    )
    SELECT
        call_id::text, call_id, true, 'grandstream', site, direction, status, from_number,
        to_number, '{}', started_at, watermark, ended_at
    FROM fence
    JOIN {rows} AS t (
        part, call_id, site, direction, status, from_number, to_number, started_at, ended_at
    ) USING (part)
    ON CONFLICT (call_id) DO UPDATE
    SET direction = excluded.direction,
        status = excluded.status,
        from_number = excluded.from_number,
        to_number = excluded.to_number,
        updated_at = excluded.updated_at,
        ended_at = excluded.ended_at,
        our_call = excluded.our_call,
        is_open = excluded.is_open";

/// A final call that another program has joined to its own session keeps its state, so that the
/// program finds it; [`DELETE_STATES`] removes the states of other final calls. A call that is
/// joined in the moment of this statement keeps its open state, which has an end, until the next
/// owner of the partition reviews the open calls.
pub(super) const UPDATE_FINAL_STATES: &str = "
    UPDATE live_states
    SET direction = t.direction,
        status = t.status,
        from_number = t.from_number,
        to_number = t.to_number,
        updated_at = watermark,
        ended_at = t.ended_at,
        our_call = t.call_id,
        is_open = false
    FROM fence
    JOIN {rows} AS t (
        part, call_id, site, direction, status, from_number, to_number, started_at, ended_at
    ) USING (part)
    WHERE live_states.call_id = t.call_id::text
        AND session_id IS NOT NULL";

pub(super) const DELETE_STATES: &str = "
    DELETE FROM live_states
    USING fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE live_states.call_id = t.id
        AND session_id IS NULL";

pub(super) const CLOSE_WITHDRAWN_STATES: &str = "
    UPDATE live_states
    SET is_open = false
    FROM fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE call_id = t.id
        AND session_id IS NOT NULL";

pub(super) const DELETE_CALL_LOGS: &str = "
    DELETE FROM call_logs
    USING fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE call_id = t.id";

pub(super) const UPSERT_PARTICIPANTS: &str = "
    INSERT INTO call_participants (
        call_id, place, site, started_at, extension, device, role, rang_at, answered_at, left_at,
        outcome, call_ref
    )
    SELECT
        call_id, place, site, started_at, extension, device, role, rang_at, answered_at,
        left_at, outcome, call_ref
    FROM fence
    JOIN {rows} AS t (
        part, call_id, place, site, started_at, extension, device, role, rang_at, answered_at,
        left_at, outcome, call_ref
    ) USING (part)
    ON CONFLICT (call_id, place) DO UPDATE
    SET started_at = excluded.started_at,
        extension = excluded.extension,
        device = excluded.device,
        role = excluded.role,
        rang_at = excluded.rang_at,
        answered_at = excluded.answered_at,
        left_at = excluded.left_at,
        outcome = excluded.outcome,
        call_ref = excluded.call_ref";

pub(super) const DELETE_SURPLUS_PARTICIPANTS: &str = "
    DELETE FROM call_participants
    USING fence
    JOIN {rows} AS t (part, id, participants) USING (part)
    WHERE call_participants.call_id = t.id
        AND place >= participants";

pub(super) const UPSERT_OUTCOMES: &str = "
    INSERT INTO call_outcomes (outcome, started_at, call_id, site, ended_at)
    SELECT outcome, started_at, call_id, site, ended_at
    FROM fence
    JOIN {rows} AS t (part, outcome, started_at, call_id, site, ended_at) USING (part)
    ON CONFLICT (outcome, started_at, call_id, site) DO UPDATE
    SET ended_at = excluded.ended_at";

pub(super) const DELETE_OUTCOMES: &str = "
    DELETE FROM call_outcomes AS stored
    USING fence
    JOIN {rows} AS t (part, outcome, started_at, call_id) USING (part)
    WHERE stored.outcome = t.outcome
        AND stored.started_at = t.started_at
        AND stored.call_id = t.call_id";

pub(super) const UPSERT_LINKS: &str = "
    INSERT INTO call_links (call_id, linked_call_id, kind, confidence, reason)
    SELECT call_id, linked_call_id, kind, confidence, reason
    FROM fence
    JOIN {rows} AS t (part, call_id, linked_call_id, kind, confidence, reason) USING (part)
    ON CONFLICT (call_id, linked_call_id, kind) DO UPDATE
    SET confidence = excluded.confidence,
        reason = excluded.reason";

pub(super) const CURRENT_LINKS: &str = "
    SELECT call_id, linked_call_id, kind
    FROM fence
    JOIN {rows} AS t (part, call_id, linked_call_id, kind) USING (part)";

/// Reads the CTE `current_links`.
pub(super) const DELETE_STALE_LINKS: &str = "
    DELETE FROM call_links AS stored
    WHERE NOT by_hand
        AND call_id IN (SELECT call_id FROM current_links)
        AND NOT EXISTS (
            SELECT
            FROM current_links AS t
            WHERE t.call_id = stored.call_id
                AND t.linked_call_id = stored.linked_call_id
                AND t.kind = stored.kind
        )";

pub(super) const UPSERT_MISSED_CALLS: &str = "
    INSERT INTO missed_call_logs (call_id, site, from_number, from_e164, extensions, missed_at)
    SELECT call_id, site, from_number, from_e164, extensions::json, missed_at
    FROM fence
    JOIN {rows} AS t (
        part, call_id, site, from_number, from_e164, extensions, missed_at
    ) USING (part)
    ON CONFLICT (call_id) DO UPDATE
    SET extensions = excluded.extensions,
        missed_at = excluded.missed_at,
        retracted = false";

/// A missed call that is written again without being missed was answered after all.
pub(super) const RETRACT_MISSED_CALLS: &str = "
    UPDATE missed_call_logs
    SET retracted = true
    FROM fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE call_id = t.id
        AND NOT retracted";

pub(super) const UPSERT_NOTIFICATIONS: &str = "
    INSERT INTO notices (generation, part, number, kind, call_id, data)
    SELECT generation, part, number, kind, call_id, data
    FROM fence
    JOIN {rows} AS t (part, number, kind, call_id, data) USING (part)
    ON CONFLICT (generation, part, number) DO UPDATE
    SET kind = excluded.kind,
        call_id = excluded.call_id,
        data = excluded.data";

pub(super) const DELETE_NOTIFICATIONS: &str = "
    DELETE FROM notices
    USING fence
    JOIN {rows} AS t (part, last, unsent) USING (part)
    WHERE notices.generation = fence.generation
        AND notices.part = fence.part
        AND number <= CASE
            WHEN EXISTS (SELECT 1 FROM webhooks WHERE disabled IS NULL) THEN least(
                last,
                greatest(
                    last - unsent,
                    coalesce(
                        (
                            SELECT cursors.number
                            FROM webhook_cursors AS cursors
                            WHERE cursors.generation = fence.generation
                                AND cursors.part = fence.part
                        ),
                        0
                    )
                )
            )
            ELSE last
        END";

pub(super) const UPSERT_STATS: &str = "
    INSERT INTO call_stats (
        site, minute, direction, calls, answered, missed, ring_us, talk_us
    )
    SELECT site, minute, direction, calls, answered, missed, ring_us, talk_us
    FROM fence
    JOIN {rows} AS t (
        part, site, minute, direction, calls, answered, missed, ring_us, talk_us
    ) USING (part)
    ON CONFLICT (site, minute, direction) DO UPDATE
    SET calls = excluded.calls,
        answered = excluded.answered,
        missed = excluded.missed,
        ring_us = excluded.ring_us,
        talk_us = excluded.talk_us";

pub(super) const DELETE_STATS: &str = "
    DELETE FROM call_stats
    USING fence
    JOIN {rows} AS t (part, site, minute, direction) USING (part)
    WHERE call_stats.site = t.site
        AND call_stats.minute = t.minute
        AND call_stats.direction = t.direction";
