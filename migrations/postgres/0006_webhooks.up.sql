-- Receivers of notifications over HTTP.
CREATE TABLE webhooks (
    id              text PRIMARY KEY,
    url             text NOT NULL,
    -- A JSON list of event names; empty for all.
    events          text NOT NULL,
    -- A JSON list of names; NULL for all sites.
    sites           text,
    -- Signs each delivery, so it is stored as it is. The previous one signs too until its end.
    secret          text NOT NULL,
    previous_secret text,
    previous_until  bigint,
    -- Why nothing is sent; NULL while it works.
    disabled        text,
    created_at      bigint NOT NULL,
    created_by      text NOT NULL,
    -- Counts changes, so that of two at the same time the second finds out.
    version         bigint NOT NULL DEFAULT 0
);

-- One row per message that some receiver gets.
CREATE TABLE webhook_messages (
    message    text PRIMARY KEY,
    event      text NOT NULL,
    -- NULL where the call turned out to be none.
    site       text,
    call_id    text NOT NULL,
    body       text NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX webhook_messages_by_time ON webhook_messages (created_at);

-- One row per message and receiver, until it is old.
CREATE TABLE webhook_deliveries (
    webhook     text NOT NULL,
    message     text NOT NULL,
    -- waiting, delivered or failed.
    state       text NOT NULL,
    created_at  bigint NOT NULL,
    -- The next attempt, or, while one is under way, when another process may make it. At first it is
    -- the instant of the message, and no two messages have the same.
    due_at      bigint NOT NULL,
    attempts    bigint NOT NULL,
    answered    bigint,
    error       text,
    finished_at bigint,
    PRIMARY KEY (webhook, message)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_message ON webhook_deliveries (message);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (webhook, created_at);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- Up to where notifications have become deliveries.
CREATE TABLE webhook_cursors (
    generation bigint NOT NULL,
    part       bigint NOT NULL,
    number     bigint NOT NULL,
    PRIMARY KEY (generation, part)
);
