//! Rows of a batch for calls: one array per column, one CTE of the batch statement per table. `{rows}`
//! stands for the rows, whose first column is the partition that they belong to.

use super::column::{Columns, uuid};
use super::statement::BatchStatement;
use super::written_rows::OutcomeRow;
use crate::adapter::sql;
use crate::domain::call_back::CallBackCause;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, CallRef};
use crate::domain::link::Link;
use crate::domain::record::{CallRecord, Participant};
use crate::domain::time::At;
use crate::port::ledger::CallUpdate;
use crate::wire::call_json::{
    direction_name, outcome_name, participant_outcome_name, role_name, status_name,
};

const DELETE_STATES: &str = "
    DELETE FROM live_states
    USING fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE live_states.call_id = t.id
        AND session_id IS NULL";

impl<'v> BatchStatement<'v> {
    pub(super) fn upsert_call_logs(&mut self, calls: &[&'v CallUpdate]) {
        const UPSERT_CALL_LOGS: &str = "
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

        self.add_cte("upsert_call_logs", UPSERT_CALL_LOGS, |columns| {
            columns
                .uuids(calls, |call| uuid(call.record.id))
                .texts(calls, |call| call.record.site.as_str())
                .texts(calls, |call| direction_name(call.record.direction))
                .texts(calls, |call| status_name(call.record.status))
                .optional_texts(calls, |call| call.record.outcome.map(outcome_name))
                .optional_texts(calls, |call| call.record.from.number.as_deref())
                .optional_texts(calls, |call| call.record.from.e164.as_deref())
                .optional_texts(calls, |call| call.record.to.number.as_deref())
                .optional_texts(calls, |call| call.record.to.e164.as_deref())
                .optional_texts(calls, |call| sql::answered_by(&call.record))
                .numbers(calls, |call| call.record.started_at.0)
                .optional_numbers(calls, |call| micros(call.record.answered_at))
                .optional_numbers(calls, |call| micros(call.record.ended_at))
                .optional_numbers(calls, |call| call.record.ring.map(|span| span.0))
                .numbers(calls, |call| call.record.talk.0)
                .optional_numbers(calls, |call| call.record.total.map(|span| span.0))
                .texts(calls, |call| call.json());
        });
    }

    pub(super) fn upsert_open_states(&mut self, calls: &[&'v CallUpdate]) {
        // The metadata column of a phone's call stays empty: its log holds the whole record.
        const UPSERT_OPEN_STATES: &str = "
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

        self.add_cte("upsert_open_states", UPSERT_OPEN_STATES, |columns| {
            bind_state_columns(columns, calls);
        });
    }

    /// Closes the states that belong to sessions of other programs, and deletes the others.
    pub(super) fn close_states(&mut self, calls: &[&'v CallUpdate]) {
        // A final call that another program has joined to its own session keeps its state, so that the
        // program finds it; [`DELETE_STATES`] removes the states of other final calls. A call that is
        // joined in the moment of this statement keeps its open state, which has an end, until the next
        // owner of the partition reviews the open calls.
        const UPDATE_FINAL_STATES: &str = "
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

        self.add_cte("update_final_states", UPDATE_FINAL_STATES, |columns| {
            bind_state_columns(columns, calls);
        });
        self.add_cte("delete_final_states", DELETE_STATES, |columns| {
            columns.texts(calls, |call| call.record.id.to_string());
        });
    }

    pub(super) fn upsert_outcomes(&mut self, rows: &[(&'v CallRecord, OutcomeRow)]) {
        const UPSERT_OUTCOMES: &str = "
    INSERT INTO call_outcomes (outcome, started_at, call_id, site, ended_at)
    SELECT outcome, started_at, call_id, site, ended_at
    FROM fence
    JOIN {rows} AS t (part, outcome, started_at, call_id, site, ended_at) USING (part)
    ON CONFLICT (outcome, started_at, call_id, site) DO UPDATE
    SET ended_at = excluded.ended_at";

        self.add_cte("upsert_outcomes", UPSERT_OUTCOMES, |columns| {
            columns
                .texts(rows, |(_, row)| outcome_name(row.outcome))
                .numbers(rows, |(_, row)| row.started_at.0)
                .uuids(rows, |(call, _)| uuid(call.id))
                .texts(rows, |(call, _)| call.site.as_str())
                .numbers(rows, |(_, row)| row.ended_at.0);
        });
    }

    pub(super) fn delete_outcomes(&mut self, rows: &[(CallId, OutcomeRow)]) {
        const DELETE_OUTCOMES: &str = "
    DELETE FROM call_outcomes AS stored
    USING fence
    JOIN {rows} AS t (part, outcome, started_at, call_id) USING (part)
    WHERE stored.outcome = t.outcome
        AND stored.started_at = t.started_at
        AND stored.call_id = t.call_id";

        self.add_cte("delete_outcomes", DELETE_OUTCOMES, |columns| {
            columns
                .texts(rows, |(_, row)| outcome_name(row.outcome))
                .numbers(rows, |(_, row)| row.started_at.0)
                .uuids(rows, |(call, _)| uuid(*call));
        });
    }

    /// Upserts participants, each with its position within its call.
    pub(super) fn upsert_participants(
        &mut self,
        rows: &[(&'v CallRecord, usize, &'v Participant)],
    ) {
        const UPSERT_PARTICIPANTS: &str = "
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

        self.add_cte("upsert_participants", UPSERT_PARTICIPANTS, |columns| {
            columns
                .uuids(rows, |(call, ..)| uuid(call.id))
                .places(rows, |(_, position, _)| *position)
                .texts(rows, |(call, ..)| call.site.as_str())
                .numbers(rows, |(call, ..)| call.started_at.0)
                .optional_texts(rows, |(.., participant)| {
                    participant.extension.as_ref().map(Extension::as_str)
                })
                .texts(rows, |(.., participant)| participant.device.to_string())
                .texts(rows, |(.., participant)| role_name(participant.role))
                .optional_numbers(rows, |(.., participant)| micros(participant.rang_at))
                .optional_numbers(rows, |(.., participant)| micros(participant.answered_at))
                .optional_numbers(rows, |(.., participant)| micros(participant.left_at))
                .texts(rows, |(.., participant)| {
                    participant_outcome_name(participant.outcome)
                })
                .optional_texts(rows, |(.., participant)| {
                    participant.call_ref.as_ref().map(CallRef::as_str)
                });
        });
    }

    /// Deletes the participants of calls beyond their present number.
    pub(super) fn delete_surplus_participants(&mut self, counts: &[(CallId, usize)]) {
        const DELETE_SURPLUS_PARTICIPANTS: &str = "
    DELETE FROM call_participants
    USING fence
    JOIN {rows} AS t (part, id, participants) USING (part)
    WHERE call_participants.call_id = t.id
        AND place >= participants";

        self.add_cte(
            "delete_surplus_participants",
            DELETE_SURPLUS_PARTICIPANTS,
            |columns| {
                columns
                    .uuids(counts, |(call, _)| uuid(*call))
                    .places(counts, |(_, participants)| *participants);
            },
        );
    }

    pub(super) fn upsert_links(&mut self, links: &[(CallId, &'v Link)]) {
        const UPSERT_LINKS: &str = "
    INSERT INTO call_links (call_id, linked_call_id, kind, confidence, reason)
    SELECT call_id, linked_call_id, kind, confidence, reason
    FROM fence
    JOIN {rows} AS t (part, call_id, linked_call_id, kind, confidence, reason) USING (part)
    ON CONFLICT (call_id, linked_call_id, kind) DO UPDATE
    SET confidence = excluded.confidence,
        reason = excluded.reason";

        self.add_cte("upsert_links", UPSERT_LINKS, |columns| {
            columns
                .uuids(links, |(call, _)| uuid(*call))
                .uuids(links, |(_, link)| uuid(link.call))
                .texts(links, |(_, link)| link.kind.name())
                .texts(links, |(_, link)| link.confidence.name())
                .texts(links, |(_, link)| link.reason);
        });
    }

    /// Deletes the links of calls except the current ones and those made by hand. A call without a
    /// current link is given with `None`.
    pub(super) fn delete_stale_links(&mut self, current: &[(CallId, Option<&'v Link>)]) {
        const CURRENT_LINKS: &str = "
    SELECT call_id, linked_call_id, kind
    FROM fence
    JOIN {rows} AS t (part, call_id, linked_call_id, kind) USING (part)";
        // Reads the CTE `current_links`.
        const DELETE_STALE_LINKS: &str = "
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

        self.add_cte("current_links", CURRENT_LINKS, |columns| {
            columns
                .uuids(current, |(call, _)| uuid(*call))
                .optional_uuids(current, |(_, link)| link.map(|link| uuid(link.call)))
                .optional_texts(current, |(_, link)| link.map(|link| link.kind.name()));
        });
        self.add_cte("delete_stale_links", DELETE_STALE_LINKS, |_| ());
    }

    pub(super) fn upsert_missed_calls(&mut self, records: &[&'v CallRecord]) {
        const UPSERT_MISSED_CALLS: &str = "
    INSERT INTO missed_call_logs (
        call_id, site, from_number, from_e164, extensions, missed_at, cause
    )
    SELECT call_id, site, from_number, from_e164, extensions::json, missed_at, cause
    FROM fence
    JOIN {rows} AS t (
        part, call_id, site, from_number, from_e164, extensions, missed_at, cause
    ) USING (part)
    ON CONFLICT (call_id) DO UPDATE
    SET extensions = excluded.extensions,
        cause = excluded.cause,
        missed_at = excluded.missed_at,
        retracted = false";

        self.add_cte("upsert_missed_calls", UPSERT_MISSED_CALLS, |columns| {
            columns
                .uuids(records, |record| uuid(record.id))
                .texts(records, |record| record.site.as_str())
                .optional_texts(records, |record| record.from.number.as_deref())
                .optional_texts(records, |record| record.from.e164.as_deref())
                .texts(records, |record| sql::missed_extensions(record))
                .numbers(records, |record| sql::missed_at(record).0)
                .optional_texts(records, |record| {
                    record.call_back_cause().map(CallBackCause::name)
                });
        });
    }

    pub(super) fn retract_missed_calls(&mut self, calls: &[CallId]) {
        // A missed call that is written again without being missed was answered after all.
        const RETRACT_MISSED_CALLS: &str = "
    UPDATE missed_call_logs
    SET retracted = true
    FROM fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE call_id = t.id
        AND NOT retracted";

        self.add_cte("retract_missed_calls", RETRACT_MISSED_CALLS, |columns| {
            columns.uuids(calls, |call| uuid(*call));
        });
    }

    /// Deletes the logs and states of withdrawn calls. Their participants, outcomes, links and
    /// missed calls have CTEs of their own.
    pub(super) fn delete_withdrawn_calls(&mut self, calls: &[CallId]) {
        const DELETE_CALL_LOGS: &str = "
    DELETE FROM call_logs
    USING fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE call_id = t.id";
        const CLOSE_WITHDRAWN_STATES: &str = "
    UPDATE live_states
    SET is_open = false
    FROM fence
    JOIN {rows} AS t (part, id) USING (part)
    WHERE call_id = t.id
        AND session_id IS NOT NULL";

        self.add_cte("delete_withdrawn_logs", DELETE_CALL_LOGS, |columns| {
            columns.uuids(calls, |call| uuid(*call));
        });
        self.add_cte("delete_withdrawn_states", DELETE_STATES, |columns| {
            columns.texts(calls, ToString::to_string);
        });
        self.add_cte(
            "close_withdrawn_states",
            CLOSE_WITHDRAWN_STATES,
            |columns| {
                columns.texts(calls, ToString::to_string);
            },
        );
    }
}

fn micros(at: Option<At>) -> Option<i64> {
    at.map(|at| at.0)
}

fn bind_state_columns<'v>(columns: &mut Columns<'v>, calls: &[&'v CallUpdate]) {
    columns
        .uuids(calls, |call| uuid(call.record.id))
        .texts(calls, |call| call.record.site.as_str())
        .texts(calls, |call| direction_name(call.record.direction))
        .texts(calls, |call| status_name(call.record.status))
        .optional_texts(calls, |call| call.record.from.number.as_deref())
        .optional_texts(calls, |call| call.record.to.number.as_deref())
        .numbers(calls, |call| call.record.started_at.0)
        .optional_numbers(calls, |call| micros(call.record.ended_at));
}
