-- The call as the phone names it, by which other programs find it.
ALTER TABLE call_participants ADD COLUMN call_ref TEXT;
CREATE INDEX call_participants_by_ref ON call_participants (call_ref) WHERE call_ref IS NOT NULL;

-- Programs read the states of all calls, those that are over too.
ALTER TABLE call_states RENAME TO live_states;
CREATE VIEW all_states AS
 SELECT call_id, session_id, provider, site, direction, status, from_number, to_number, call_metadata, created_at, updated_at, ended_at
 FROM live_states
 UNION ALL
 SELECT call_id, NULL, 'grandstream', site, direction, status, from_number, to_number, record,
    started_at, coalesce(ended_at, answered_at, started_at), ended_at
 FROM call_logs AS logs
 WHERE NOT EXISTS (SELECT 1 FROM live_states WHERE live_states.call_id = logs.call_id);
CREATE VIEW call_states AS
 SELECT call_id, session_id, provider, site, direction, status, from_number, to_number, call_metadata,
    strftime('%Y-%m-%d %H:%M:%f', created_at / 1000000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%d %H:%M:%f', updated_at / 1000000.0, 'unixepoch') AS updated_at,
    strftime('%Y-%m-%d %H:%M:%f', ended_at / 1000000.0, 'unixepoch') AS ended_at
 FROM all_states;
