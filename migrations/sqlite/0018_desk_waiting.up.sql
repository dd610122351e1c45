-- The answered call in which the caller was reached, once it was found.
ALTER TABLE missed_call_logs ADD COLUMN reached_by TEXT;
CREATE INDEX missed_call_logs_waiting ON missed_call_logs (missed_at DESC, call_id DESC)
    WHERE retracted = 0 AND desk_status <> 'done' AND reached_by IS NULL;
CREATE INDEX missed_call_logs_waiting_by_site ON missed_call_logs (site, missed_at DESC, call_id DESC)
    WHERE retracted = 0 AND desk_status <> 'done' AND reached_by IS NULL;
CREATE INDEX missed_call_logs_assigned ON missed_call_logs (missed_at DESC, call_id DESC)
    WHERE retracted = 0 AND desk_status = 'assigned' AND reached_by IS NULL;
CREATE INDEX missed_call_logs_by_site ON missed_call_logs (site, missed_at DESC, call_id DESC)
    WHERE retracted = 0;
