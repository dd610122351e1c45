-- Accounts of people. A role is one of wallboard, agent, supervisor, integrator, admin.
CREATE TABLE users (
    name         text PRIMARY KEY,
    display_name text,
    role         text NOT NULL,
    -- A JSON list of names; NULL for all sites.
    sites        text,
    extension    text,
    -- argon2id; NULL until the person has chosen one.
    password     text,
    is_disabled  boolean NOT NULL DEFAULT false
);

-- Sessions of browsers, links for one sign-in, tickets for one socket. Only the hash of a secret is stored.
CREATE TABLE user_secrets (
    secret_hash   text PRIMARY KEY,
    kind          text NOT NULL,
    user_name     text NOT NULL,
    created_at    bigint NOT NULL,
    used_at       bigint NOT NULL,
    expires_at    bigint NOT NULL,
    -- Until then the numbers that an admin asked for are shown.
    reveals_until bigint
);
CREATE INDEX user_secrets_by_user ON user_secrets (user_name);
CREATE INDEX user_secrets_by_end ON user_secrets (expires_at);

-- No version wrote tokens before.
DROP TABLE api_tokens;
CREATE TABLE api_tokens (
    name       text PRIMARY KEY,
    token_hash text NOT NULL UNIQUE,
    role       text NOT NULL,
    sites      text,
    created_at bigint NOT NULL,
    revoked_at bigint
);

-- Who signed in, changed an account, exported a list or asked for numbers. Lines are only added.
CREATE TABLE audit_log (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     bigint NOT NULL,
    who    text NOT NULL,
    action text NOT NULL,
    object text
);
