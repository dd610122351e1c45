-- Transfers that other programs register, and wait for; of a call one is under way at most.
CREATE TABLE registered_transfers (
    transfer_id      text PRIMARY KEY,
    original_call_id text NOT NULL,
    site             text NOT NULL,
    context          text NOT NULL,
    initiated_at     bigint NOT NULL,
    expires_at       bigint NOT NULL,
    result           text,
    decided_at       bigint
);
CREATE UNIQUE INDEX registered_transfers_under_way ON registered_transfers (original_call_id) WHERE decided_at IS NULL;
CREATE INDEX registered_transfers_decided ON registered_transfers (decided_at) WHERE decided_at IS NOT NULL;
