-- Transfers that other programs register, and wait for; of a call one is under way at most.
CREATE TABLE registered_transfers (
    transfer_id      TEXT PRIMARY KEY,
    original_call_id TEXT NOT NULL,
    site             TEXT NOT NULL,
    context          TEXT NOT NULL,
    initiated_at     INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    result           TEXT,
    decided_at       INTEGER
) STRICT;
CREATE UNIQUE INDEX registered_transfers_under_way ON registered_transfers (original_call_id) WHERE decided_at IS NULL;
CREATE INDEX registered_transfers_decided ON registered_transfers (decided_at) WHERE decided_at IS NOT NULL;
