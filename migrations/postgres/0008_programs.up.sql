-- The call as the phone names it, by which other programs find it.
ALTER TABLE call_participants ADD COLUMN call_ref text;
CREATE INDEX call_participants_by_ref ON call_participants (call_ref) WHERE call_ref IS NOT NULL;

-- Programs read the states of all calls, those that are over too.
ALTER TABLE call_states RENAME TO live_states;
CREATE INDEX call_logs_by_text ON call_logs ((call_id::text));
CREATE VIEW all_states AS
 SELECT * FROM shown_states
 UNION ALL
 SELECT logs.call_id::text, NULL, 'grandstream', logs.site, logs.direction, logs.status, logs.from_number, logs.to_number, logs.record::text,
    logs.started_at, coalesce(logs.ended_at, logs.answered_at, logs.started_at), logs.ended_at
 FROM call_logs AS logs
 WHERE NOT EXISTS (SELECT 1 FROM live_states WHERE live_states.call_id = logs.call_id::text);
CREATE VIEW call_states AS
 SELECT call_id, session_id, provider, site, direction, status, from_number, to_number, call_metadata::json AS call_metadata,
    timestamptz 'epoch' + created_at * interval '1 microsecond' AS created_at,
    timestamptz 'epoch' + updated_at * interval '1 microsecond' AS updated_at,
    timestamptz 'epoch' + ended_at * interval '1 microsecond' AS ended_at
 FROM all_states;
