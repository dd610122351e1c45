-- Pages of calls are read along an index that has their whole order: with less, the planner sorts all calls for a short page.
DROP INDEX call_logs_by_time;
CREATE INDEX call_logs_by_time ON call_logs (started_at DESC, call_id DESC);
DROP INDEX call_logs_by_site;
CREATE INDEX call_logs_by_site ON call_logs (site, started_at DESC, call_id DESC);
DROP INDEX call_logs_by_from;
CREATE INDEX call_logs_by_from ON call_logs (from_number, started_at DESC, call_id DESC);
DROP INDEX call_logs_by_to;
CREATE INDEX call_logs_by_to ON call_logs (to_number, started_at DESC, call_id DESC);
DROP INDEX call_logs_by_from_e164;
-- Most numbers have one form: these calls are found by the other index.
CREATE INDEX call_logs_by_from_e164 ON call_logs (from_e164, started_at DESC, call_id DESC) WHERE from_e164 IS NOT from_number;
DROP INDEX call_logs_by_to_e164;
CREATE INDEX call_logs_by_to_e164 ON call_logs (to_e164, started_at DESC, call_id DESC) WHERE to_e164 IS NOT to_number;
