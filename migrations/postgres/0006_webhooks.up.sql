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
    created_by      text NOT NULL
);

-- One row per message and receiver, until it is a week old.
CREATE TABLE webhook_deliveries (
    webhook     text NOT NULL,
    message     text NOT NULL,
    event       text NOT NULL,
    body        text NOT NULL,
    -- waiting, delivered or failed.
    state       text NOT NULL,
    created_at  bigint NOT NULL,
    -- The next attempt, or, while one is under way, when another process may make it.
    due_at      bigint NOT NULL,
    attempts    bigint NOT NULL,
    answered    bigint,
    error       text,
    finished_at bigint,
    PRIMARY KEY (webhook, message)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (created_at);

-- Up to where notifications have become deliveries.
CREATE TABLE webhook_cursors (
    generation bigint NOT NULL,
    part       bigint NOT NULL,
    number     bigint NOT NULL,
    PRIMARY KEY (generation, part)
);
