-- Receivers of notifications over HTTP.
CREATE TABLE webhooks (
    id              TEXT PRIMARY KEY,
    url             TEXT NOT NULL,
    -- A JSON list of event names; empty for all.
    events          TEXT NOT NULL,
    -- A JSON list of names; NULL for all sites.
    sites           TEXT,
    -- Signs each delivery, so it is stored as it is. The previous one signs too until its end.
    secret          TEXT NOT NULL,
    previous_secret TEXT,
    previous_until  INTEGER,
    -- Why nothing is sent; NULL while it works.
    disabled        TEXT,
    created_at      INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    -- Counts changes, so that of two at the same time the second finds out.
    version         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- One row per message that some receiver gets.
CREATE TABLE webhook_messages (
    message    TEXT PRIMARY KEY,
    event      TEXT NOT NULL,
    -- NULL where the call turned out to be none.
    site       TEXT,
    call_id    TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_messages_by_time ON webhook_messages (created_at);

-- One row per message and receiver, until it is old.
CREATE TABLE webhook_deliveries (
    webhook     TEXT NOT NULL,
    message     TEXT NOT NULL,
    -- waiting, delivered or failed.
    state       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    -- The next attempt, or, while one is under way, when another process may make it. At first it is
    -- the instant of the message, and no two messages have the same.
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    answered    INTEGER,
    error       TEXT,
    finished_at INTEGER,
    PRIMARY KEY (webhook, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_message ON webhook_deliveries (message);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (webhook, created_at);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- Up to where notifications have become deliveries.
CREATE TABLE webhook_cursors (
    generation INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    PRIMARY KEY (generation, part)
) STRICT, WITHOUT ROWID;
