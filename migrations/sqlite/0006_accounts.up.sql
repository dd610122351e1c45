-- Accounts of people. A role is one of wallboard, agent, supervisor, integrator, admin.
CREATE TABLE users (
    name         TEXT PRIMARY KEY,
    display_name TEXT,
    role         TEXT NOT NULL,
    -- A JSON list of names; NULL for all sites.
    sites        TEXT,
    extension    TEXT,
    -- argon2id; NULL until the person has chosen one.
    password     TEXT,
    is_disabled  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Sessions of browsers, links for one sign-in, tickets for one socket. Only the hash of a secret is stored.
CREATE TABLE user_secrets (
    secret_hash   TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    user_name     TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    used_at       INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    -- Until then the numbers that an admin asked for are shown.
    reveals_until INTEGER
) STRICT;
CREATE INDEX user_secrets_by_user ON user_secrets (user_name);
CREATE INDEX user_secrets_by_end ON user_secrets (expires_at);

-- No version wrote tokens before.
DROP TABLE api_tokens;
CREATE TABLE api_tokens (
    name       TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    role       TEXT NOT NULL,
    sites      TEXT,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- Who signed in, changed an account, exported a list or asked for numbers. Lines are only added.
CREATE TABLE audit_log (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT
) STRICT;
