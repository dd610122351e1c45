-- Gateways look for the latest changes of the desk again and again.
CREATE INDEX missed_call_logs_changed ON missed_call_logs (changed_at) WHERE changed_at IS NOT NULL;
